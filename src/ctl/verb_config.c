#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "ctl/ctl.h"
#include "sg_build.h"

#define OUTPUT_BYTES_MAX (256u * 1024u)

/* ---- config show */

enum sg_ctl_exit sg_ctl_verb_config_show(struct sg_ctl *ctl)
{
        struct json_object *reply;
        enum sg_ctl_exit e = sg_ctl_ask(ctl, SG_CTL_GATEWAY, "io.scribe.Gateway.GetConfig", NULL, &reply);

        if (e)
                return e;
        if (sg_ctl_has(ctl, SG_CTL_JSON)) {
                sg_ctl_print_json(reply);
        } else {
                struct sg_str text = sg_str_from(sg_ctl_text(reply, "text")), line;

                while (text.n) {
                        SG_AUTO(sg_text_free) char *shown = NULL;

                        (void)sg_str_cut(&text, '\n', &line);
                        shown = sg_ctl_escape(line);
                        puts(shown ? shown : "");
                }
        }
        json_object_put(reply);
        return SG_CTL_OK;
}

/* ---- config check by the gateway that runs */

static enum sg_ctl_exit show_verdict(const struct sg_ctl *ctl, struct json_object *verdict)
{
        bool is_good = json_object_get_boolean(sg_ctl_member(verdict, "ok"));
        const char *where = sg_ctl_text(verdict, "where");

        if (sg_ctl_has(ctl, SG_CTL_JSON)) {
                sg_ctl_print_json(verdict);
        } else if (!is_good) {
                SG_AUTO(sg_text_free) char *place = sg_ctl_escape(sg_str_from(where));
                SG_AUTO(sg_text_free) char *text = sg_ctl_escape(sg_str_from(sg_ctl_text(verdict, "text")));

                fprintf(stderr, "%s%s%s\n", place ? place : "", where[0] ? ": " : "", text ? text : "");
        } else if (!sg_ctl_has(ctl, SG_CTL_QUIET)) {
                puts("the configuration is good");
        }
        return is_good ? SG_CTL_OK : SG_CTL_FAILED;
}

static enum sg_ctl_exit check_by_gateway(struct sg_ctl *ctl)
{
        struct json_object *verdict;
        enum sg_ctl_exit e = sg_ctl_ask(ctl, SG_CTL_GATEWAY, "io.scribe.Gateway.CheckConfig", NULL, &verdict);

        if (e)
                return e;
        e = show_verdict(ctl, verdict);
        json_object_put(verdict);
        return e;
}

/* ---- config check by a gateway that is started for it */

/* Does not return when it succeeds. */
static void exec_check(const char *directory)
{
        char path[4200];
        const char *gateway = sg_ctl_find_program(path, sizeof(path), "scribe-gateway", "../daemon/");

        if (directory)
                execlp(gateway, "scribe-gateway", "--check", "--config", directory, (char *)NULL);
        else
                execlp(gateway, "scribe-gateway", "--check", (char *)NULL);
        sg_ctl_complain("cannot start %s: %s", gateway, strerror(errno));
}

/* All that the child says on either stream. */
static int read_output(int fd, struct sg_buf *b)
{
        for (;;) {
                char *at;
                ssize_t n;
                int r = sg_buf_reserve(b, 4096, &at);

                if (r)
                        return r > 0 ? -EFBIG : r;
                n = read(fd, at, 4096);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n ? -errno : 0;
                sg_buf_added(b, (size_t)n);
        }
}

static pid_t start_check(const char *directory, int *ret_fd)
{
        int fds[2];
        pid_t pid;

        if (pipe(fds))
                return -1;
        (void)fflush(NULL);
        pid = fork();
        if (pid == 0) {
                dup2(fds[1], STDOUT_FILENO);
                dup2(fds[1], STDERR_FILENO);
                close(fds[0]);
                close(fds[1]);
                exec_check(directory);
                _exit(127);
        }
        close(fds[1]);
        *ret_fd = fds[0];
        if (pid < 0)
                close(fds[0]);
        return pid;
}

/* With --json the child's words become one object. */
static enum sg_ctl_exit check_by_child(struct sg_ctl *ctl, const char *directory)
{
        struct json_object *verdict;
        struct sg_str said;
        struct sg_buf b;
        enum sg_ctl_exit e;
        int fd, status = 0;
        pid_t pid = start_check(directory, &fd);

        if (pid < 0) {
                sg_ctl_complain("cannot start a process: %s", strerror(errno));
                return SG_CTL_FAILED;
        }
        sg_buf_init(&b, OUTPUT_BYTES_MAX);
        (void)!read_output(fd, &b);
        close(fd);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        verdict = json_object_new_object();
        json_object_object_add(verdict, "ok", json_object_new_boolean(WIFEXITED(status) && WEXITSTATUS(status) == 0));
        said = sg_buf_view(&b);
        while (said.n && said.p[said.n - 1] == '\n')
                said.n--;
        json_object_object_add(verdict, "text", json_object_new_string_len(said.n ? said.p : "", (int)said.n));
        e = show_verdict(ctl, verdict);
        json_object_put(verdict);
        sg_buf_done(&b);
        return e;
}

enum sg_ctl_exit sg_ctl_verb_config_check(struct sg_ctl *ctl)
{
        const char *directory = ctl->n_arguments ? ctl->arguments[0] : NULL;
        struct json_object *running = NULL;

        if (!directory &&
            sg_ctl_ask_quietly(ctl, SG_CTL_GATEWAY, "io.scribe.Gateway.GetLogLevel", &running) != SG_CTL_UNREACHABLE) {
                json_object_put(running);
                return check_by_gateway(ctl);
        }
        if (sg_ctl_has(ctl, SG_CTL_JSON))
                return check_by_child(ctl, directory);
        (void)fflush(NULL);
        exec_check(directory);
        return SG_CTL_FAILED;
}
