/* The store's tests on PostgreSQL: the schema is its owner's, the tests log in as scribe_ledger, who has rows and nothing
 * else. */
#include <sys/wait.h>

#include "fixture_pg.h"
#include "store_test.h"

static FILE *to_server, *from_server;
static pid_t server;

static void end_server(void)
{
        (void)fclose(to_server);
        (void)fclose(from_server);
        (void)waitpid(server, NULL, 0);
}

static void start_server(void)
{
        int in[2], out[2];

        assert_int_equal(pipe2(in, O_CLOEXEC), 0);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        server = fork();
        assert_true(server >= 0);
        if (server == 0) {
                (void)dup2(in[0], STDIN_FILENO);
                (void)dup2(out[1], STDOUT_FILENO);
                (void)execl("/usr/bin/python3", "python3", POSTGRES_PY, (char *)NULL);
                _exit(127);
        }
        (void)close(in[0]);
        (void)close(out[1]);
        to_server = fdopen(in[1], "w");
        from_server = fdopen(out[0], "r");
        assert_true(to_server && from_server);
        (void)atexit(end_server);
}

const char *pg_ask(const char *command, ...)
{
        static char answer[4096];
        va_list args;

        if (!to_server)
                start_server();
        va_start(args, command);
        assert_true(vfprintf(to_server, command, args) > 0);
        va_end(args);
        assert_true(fputc('\n', to_server) == '\n' && fflush(to_server) == 0);
        if (!fgets(answer, sizeof(answer), from_server))
                fail_msg("PostgreSQL for tests does not answer: see what was written above");
        answer[strcspn(answer, "\n")] = '\0';
        return answer;
}

const char *pg_url(const char *user)
{
        return pg_ask("url %s", user);
}

void pg_fresh(void)
{
        struct sg_store *s = NULL;
        struct sg_error err = {0};
        int r;

        (void)pg_ask("sql DROP SCHEMA IF EXISTS scribe CASCADE\tscribe");
        r = open_url(&s, pg_url("scribe_owner"), &err);
        if (r)
                print_error("%s: %s\n", err.where, err.text);
        assert_int_equal(r, 0);
        sg_store_free(s);
}

int fixture_setup(void **state)
{
        pg_fresh();
        return 0;
}

int fixture_teardown(void **state)
{
        return 0;
}

const char *fixture_url(void)
{
        return pg_url("scribe_ledger");
}
