/* What only PostgreSQL has: a server that goes away, roles, other nodes, partitions, and word of changes. */
#include <errno.h>
#include <sys/wait.h>

#include "fixture_pg.h"
#include "store_test.h"

#include "base/clock.h"
#include "ledger/pg.h"
#include "ledger/pg_listen.h"
#include "loop/loop.h"

#define SOON_USEC (SG_USEC_PER_SEC / 2)

static struct sg_store *open_as(const char *user, const char *node)
{
        struct sg_store_options options = {.url = pg_url(user), .node = node};
        struct sg_store *s = NULL;
        struct sg_error err = {0};

        if (sg_store_open(&s, &options, &err) != 0)
                fail_msg("%s: %s", err.where, err.text);
        return s;
}

static void refuse(const char *url, int code, const char *text)
{
        struct sg_store *s = NULL;
        struct sg_error err = {0};

        assert_int_equal(open_url(&s, url, &err), code);
        assert_null(s);
        if (!strstr(err.text, text))
                print_error("\"%s\" is not in \"%s\"\n", text, err.text);
        assert_non_null(strstr(err.text, text));
}

/* ---- addresses */

static void test_what_a_url_may_say(void **state)
{
        refuse("postgresql://u:secret@h/d", -EINVAL, "[ledger] password");
        refuse("postgresql://u@h/d?sslrootcert=/x", -EINVAL, "ca_file");
        refuse("postgresql://u@h/d?options=-cfoo", -EINVAL, "options is not known here");
        refuse("postgresql://u@h/d?sslmode=maybe", -EINVAL, "sslmode must be");
        refuse("postgresql://u@h/d?target_session_attrs=standby", -EINVAL, "read-write");
        refuse("postgresql://h/d", -EINVAL, "user and database");
        refuse("postgresql://u@h1,,h2/d", -EINVAL, "a host is missing");
        refuse("postgresql://u@h1:1,h2:2,h3:3,h4:4,h5:5,h6:6,h7:7,h8:8,h9:9/d", -EINVAL, "too many hosts");
        refuse("postgresql:nonsense", -EINVAL, "no URL");
        refuse("postgres://u@h/d?sslmode=require&sslcert=x", -EINVAL, "tls_certificate");
}

static void test_who_is_not_let_in_is_told_why(void **state)
{
        char url[200];

        (void)snprintf(url, sizeof(url), "postgresql://scribe_ledger@127.0.0.1:%d/scribe", 1);
        refuse(url, -ECONNREFUSED, "start PostgreSQL");
        refuse(pg_url("nobody"), -EACCES, "role \"nobody\" does not exist");
        refuse(pg_ask("url scribe_ledger\tnowhere"), -ENOENT, "no such database");
        refuse(pg_ask("url scribe_ledger\tscribe\t?sslmode=verify-full"), -EPROTO, "has no TLS");
        refuse("postgresql://u@/d", -EINVAL, "host is missing");
        refuse("postgresql://u@%2Fnowhere/d", -ECONNREFUSED, "no socket");
}

/* ---- schema and roles */

static void test_the_service_s_role_says_what_to_run(void **state)
{
        (void)pg_ask("sql DROP SCHEMA scribe CASCADE\tscribe");
        refuse(pg_url("scribe_ledger"), -EACCES, "no schema yet");
        refuse(pg_url("scribe_ledger"), -EACCES, "scribe-ledger --migrate postgresql://scribe_owner@127.0.0.1:");
        assert_int_equal(check_url(pg_url("scribe_ledger"), NULL), -EACCES);
        assert_int_equal(check_url(pg_url("scribe_owner"), NULL), 0);
        sg_store_free(open_as("scribe_owner", NULL));
        assert_int_equal(check_url(pg_url("scribe_ledger"), NULL), 0);
        sg_store_free(open_as("scribe_ledger", NULL));
}

static void test_the_service_s_role_has_rows_and_nothing_else(void **state)
{
        static const char may_sql[] = "sql SELECT has_table_privilege('%s', 'scribe.%s', '%s')\tscribe";

        assert_string_equal(pg_ask(may_sql, "scribe_ledger", "usage", "INSERT"), "t");
        assert_string_equal(pg_ask(may_sql, "scribe_ledger", "usage", "UPDATE"), "f");
        assert_string_equal(pg_ask(may_sql, "scribe_ledger", "audit", "DELETE"), "f");
        assert_string_equal(pg_ask(may_sql, "scribe_ledger", "audit", "UPDATE"), "f");
        assert_string_equal(pg_ask(may_sql, "scribe_ledger", "schema_version", "INSERT"), "f");
        assert_string_equal(pg_ask("sql SELECT has_schema_privilege('scribe_ledger', 'scribe', 'CREATE')\tscribe"),
                            "f");
        assert_string_equal(pg_ask(may_sql, "scribe_reader", "usage_event", "SELECT"), "t");
        assert_string_equal(pg_ask(may_sql, "scribe_reader", "key", "SELECT"), "t");
        assert_string_equal(pg_ask(may_sql, "scribe_reader", "api_key", "SELECT"), "f");
}

static void test_a_newer_schema_is_refused_with_both_versions(void **state)
{
        char both[100];

        (void)pg_ask("sql INSERT INTO scribe.schema_version VALUES (77, 0)\tscribe");
        (void)snprintf(both, sizeof(both), "schema version 77, this program knows versions up to %d",
                       SG_SCHEMA_VERSION);
        refuse(pg_url("scribe_ledger"), -ENOTSUP, both);
        refuse(pg_url("scribe_owner"), -ENOTSUP, both);
}

static void test_a_foreign_schema_is_left_as_it_is(void **state)
{
        (void)pg_ask("sql DROP SCHEMA scribe CASCADE; CREATE SCHEMA scribe AUTHORIZATION scribe_owner;"
                     " CREATE TABLE scribe.recipes (name text)\tscribe");
        refuse(pg_url("scribe_owner"), -EMEDIUMTYPE, "belongs to another program");
        assert_string_equal(
                pg_ask("sql SELECT count(*) FROM pg_class WHERE relnamespace = 'scribe'::regnamespace\tscribe"), "1");
}

static void test_several_ledgers_may_start_at_once(void **state)
{
        char url[200];

        (void)snprintf(url, sizeof(url), "%s", pg_url("scribe_owner"));
        (void)pg_ask("sql DROP SCHEMA scribe CASCADE\tscribe");
        for (int i = 0; i < 4; i++) {
                pid_t pid = fork();

                assert_true(pid >= 0);
                if (pid == 0) {
                        struct sg_store *s = NULL;

                        _exit(open_url(&s, url, NULL) == 0 ? 0 : 1);
                }
        }
        for (int i = 0; i < 4; i++) {
                int status = -1;

                assert_true(wait(&status) > 0);
                assert_int_equal(status, 0);
        }
}

/* ---- a server that goes away */

static void test_a_paused_server_costs_seconds(void **state)
{
        struct sg_store *s = open_as("scribe_ledger", NULL);
        struct sg_store_limit limit = {.until_usec = sg_clock_usec() + SOON_USEC};
        struct sg_store_counts counts;
        struct sg_error err = {0};
        uint64_t began;

        (void)pg_ask("pause");
        began = sg_clock_usec();
        sg_store_set_limit(s, &limit);
        assert_int_equal(sg_store_count(s, 0, &counts, &err), -ETIME);
        assert_true(sg_clock_usec() - began < 4 * SOON_USEC);
        /* The kernel takes the connection, and nobody answers on it. */
        sg_store_set_limit(s, NULL);
        began = sg_clock_usec();
        assert_int_equal(sg_store_count(s, 0, &counts, &err), -ETIMEDOUT);
        assert_true(sg_clock_usec() - began < SG_PG_CONNECT_USEC + 3 * SG_USEC_PER_SEC);
        assert_non_null(strstr(err.text, "does not answer"));
        (void)pg_ask("resume");
        assert_int_equal(sg_store_count(s, 0, &counts, &err), 0);
        sg_store_free(s);
}

static void test_after_a_restart_it_goes_on_by_itself(void **state)
{
        struct sg_store *s = open_as("scribe_ledger", NULL);
        struct sg_record rec = sample(1);
        struct sg_error err = {0};

        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        (void)pg_ask("stop");
        assert_int_equal(sg_store_usage_add(s, RING, &rec, &err), -ECONNREFUSED);
        (void)pg_ask("start");
        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        assert_int_equal(total(s).n_requests, 2);
        sg_store_free(s);
}

static void test_a_transaction_is_lost_with_its_connection(void **state)
{
        struct sg_store *s = open_as("scribe_ledger", NULL);
        struct sg_record rec = sample(1);
        struct sg_store_counts counts;
        struct sg_error err = {0};
        int r;

        assert_int_equal(sg_store_begin(s, NULL), 0);
        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        assert_int_equal(sg_store_count(s, 0, &counts, NULL), 0); /* now it is at the server */
        (void)pg_ask("kill");
        (void)pg_ask("start");
        r = sg_store_usage_add(s, RING, &rec, &err);
        if (!r)
                r = sg_store_commit(s, &err);
        else
                sg_store_rollback(s);
        assert_true(r < 0);
        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        assert_int_equal(total(s).n_requests, 1);
        sg_store_free(s);
}

/* ---- exactly once */

static void put_mark(struct sg_store *s, uint64_t sequence, int expected, const char *text)
{
        struct sg_store_ring ring = {.id = RING, .sequence = sequence, .offset = 64 * sequence};
        struct sg_record rec = sample(sequence);
        struct sg_error err = {0};
        int r;

        assert_int_equal(sg_store_begin(s, NULL), 0);
        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        r = sg_store_ring_put(s, &ring, &err);
        if (r)
                sg_store_rollback(s);
        else
                r = sg_store_commit(s, &err);
        assert_int_equal(r, expected);
        assert_non_null(strstr(err.text, text));
}

static void test_a_mark_moves_only_from_where_it_was_seen(void **state)
{
        struct sg_store *one = open_as("scribe_ledger", NULL), *other = open_as("scribe_ledger", NULL);
        struct sg_store_ring ring;

        assert_int_equal(sg_store_ring_get(one, RING, &ring, NULL), SG_STORE_E_NONE);
        assert_int_equal(sg_store_ring_get(other, RING, &ring, NULL), SG_STORE_E_NONE);
        put_mark(one, 5, 0, "");
        put_mark(other, 5, -ESTALE, "somebody else");
        put_mark(one, 9, 0, "");
        assert_int_equal(sg_store_ring_get(other, RING, &ring, NULL), 0);
        assert_int_equal(ring.sequence, 9);
        put_mark(other, 11, 0, "");
        put_mark(one, 11, -ESTALE, "somebody else");
        assert_int_equal(total(one).n_requests, 3);
        sg_store_free(one);
        sg_store_free(other);
}

static void test_after_a_lost_answer_the_mark_is_asked_for(void **state)
{
        struct sg_store *s = open_as("scribe_ledger", NULL);
        struct sg_store_limit limit = {0};
        struct sg_store_ring ring = {.id = RING, .sequence = 7, .offset = 640}, got;
        struct sg_pg *q = (struct sg_pg *)s;
        struct sg_record rec = sample(1);
        struct sg_error err = {0};

        assert_int_equal(sg_store_ring_get(s, RING, &got, NULL), SG_STORE_E_NONE);
        assert_int_equal(sg_store_begin(s, NULL), 0);
        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        assert_int_equal(sg_store_ring_put(s, &ring, NULL), 0);
        assert_int_equal(sg_pg_enter(q, NULL), 0); /* all is at the server but the COMMIT */
        (void)pg_ask("pause");
        limit.until_usec = sg_clock_usec() + SOON_USEC;
        sg_store_set_limit(s, &limit);
        assert_int_equal(sg_store_commit(s, &err), -ETIME);
        assert_non_null(strstr(err.text, "not known whether"));
        sg_store_set_limit(s, NULL);
        (void)pg_ask("resume");
        assert_int_equal(sg_store_ring_put(s, &ring, &err), -ESTALE);
        /* Until the other session is over, the mark may still move: whoever comes too early gets -ESTALE once more. */
        for (uint64_t until = sg_clock_usec() + 20 * SG_USEC_PER_SEC;
             strcmp(pg_ask("sql SELECT count(*) FROM pg_stat_activity WHERE usename = 'scribe_ledger'"), "0") != 0;)
                assert_true(sg_clock_usec() < until);
        /* It came through, when the server took the COMMIT before it noticed that nobody waited; or it did not. */
        if (sg_store_ring_get(s, RING, &got, NULL) == 0) {
                assert_int_equal(got.sequence, 7);
                assert_int_equal(total(s).n_requests, 1);
        } else
                assert_int_equal(total(s).n_requests, 0);
        put_mark(s, 9, 0, "");
        sg_store_free(s);
}

static void count_ring(const struct sg_store_ring *ring, void *owner)
{
        ++*(size_t *)owner;
}

static void test_a_node_misses_only_its_own_rings(void **state)
{
        struct sg_store *one = open_as("scribe_ledger", "one"), *other = open_as("scribe_ledger", "other");
        struct sg_store_ring ring = {.id = RING, .sequence = 5, .offset = 640};
        struct sg_store_counts counts;
        struct sg_record rec = sample(1);
        size_t n = 0;

        assert_int_equal(sg_store_ring_put(one, &ring, NULL), 0);
        assert_int_equal(sg_store_usage_add(one, RING, &rec, NULL), 0);
        assert_int_equal(sg_store_usage_add(other, RING, &rec, NULL), 0);
        assert_int_equal(sg_store_ring_list(other, count_ring, &n, NULL), 0);
        assert_int_equal(n, 0);
        assert_int_equal(sg_store_ring_list(one, count_ring, &n, NULL), 0);
        assert_int_equal(n, 1);
        assert_int_equal(sg_store_count(one, 0, &counts, NULL), 0);
        assert_int_equal(counts.n_usage, 2);
        sg_store_free(one);
        sg_store_free(other);
}

/* ---- partitions */

static void test_months_are_partitions_and_go_whole(void **state)
{
        static const char rest_sql[] = "sql SELECT count(*) FROM scribe.usage_rest\tscribe";
        struct sg_store *s = open_as("scribe_ledger", NULL);
        struct sg_record rec = sample(1);
        struct sg_store_counts counts;
        uint64_t n = 0;

        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0); /* of 2023 */
        rec.start_wall_usec = sg_clock_wall_usec();
        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        assert_string_equal(pg_ask("%s", rest_sql), "1");
        /* What has come to the rest moves into its month. */
        assert_string_equal(pg_ask("sql SELECT scribe.make_partition('2023-11-01')\tscribe\tscribe_ledger"), "t");
        assert_string_equal(pg_ask("sql SELECT scribe.make_partition('2023-11-01')\tscribe\tscribe_ledger"), "f");
        assert_string_equal(pg_ask("%s", rest_sql), "0");
        assert_string_equal(pg_ask("sql SELECT count(*) FROM scribe.usage_202311\tscribe"), "1");
        assert_int_equal(sg_store_usage_prune(s, sg_clock_wall_usec() - SG_USEC_PER_SEC * 3600, 10, &n, NULL), 0);
        assert_int_equal(n, 1);
        assert_string_equal(pg_ask("sql SELECT to_regclass('scribe.usage_202311') IS NULL\tscribe"), "t");
        assert_int_equal(sg_store_count(s, 0, &counts, NULL), 0);
        assert_int_equal(counts.n_usage, 1);
        assert_int_equal(total(s).n_requests, 2); /* the sums stay */
        sg_store_free(s);
}

/* ---- word of changes */

struct ear {
        struct sg_loop *loop;
        uint64_t version, awaited;
};

static void on_change(uint64_t version, void *owner)
{
        struct ear *e = owner;

        e->version = version;
        if (version >= e->awaited)
                sg_loop_stop(e->loop);
}

static void give_up(struct sg_timer *t, void *owner)
{
        sg_loop_stop(owner);
}

static uint64_t hear(struct ear *e, uint64_t version, uint64_t usec)
{
        uint64_t began = sg_clock_usec();
        struct sg_timer timer;

        e->awaited = version;
        assert_int_equal(sg_timer_init(&timer, e->loop, give_up, e->loop), 0);
        sg_timer_start(&timer, usec);
        if (e->version < version)
                sg_loop_run(e->loop, SG_USEC_NEVER, NULL, NULL);
        sg_timer_done(&timer);
        assert_int_equal(e->version, version);
        return sg_clock_usec() - began;
}

static void test_a_change_is_heard_at_once(void **state)
{
        struct sg_store *s = open_as("scribe_ledger", NULL);
        struct sg_pg_listen *listen = NULL;
        struct ear e = {.version = 0};
        uint64_t id;

        id = add_key(s, "a", 1, 0);
        assert_int_equal(sg_loop_new(&e.loop), 0);
        assert_int_equal(sg_pg_listen_new(&listen, e.loop, sg_store_get_options(s), on_change, &e, NULL), 0);
        (void)hear(&e, 1, 20 * SG_USEC_PER_SEC);
        assert_int_equal(sg_store_key_revoke(s, id, 5, NULL), 0);
        assert_true(hear(&e, 2, 20 * SG_USEC_PER_SEC) < SG_USEC_PER_SEC);
        /* Also what a server that was away has to tell. */
        (void)pg_ask("kill");
        (void)pg_ask("start");
        (void)add_key(s, "b", 2, 0);
        (void)hear(&e, 3, 20 * SG_USEC_PER_SEC);
        sg_pg_listen_free(listen);
        sg_loop_free(e.loop);
        sg_store_free(s);
}

static void test_listening_ends_at_once_whatever_the_server_does(void **state)
{
        struct sg_store_options options = {.url = db_url};
        struct sg_pg_listen *listen = NULL;
        struct ear e = {.version = 0};
        uint64_t began;

        (void)pg_ask("pause");
        assert_int_equal(sg_loop_new(&e.loop), 0);
        assert_int_equal(sg_pg_listen_new(&listen, e.loop, &options, on_change, &e, NULL), 0);
        began = sg_clock_usec();
        sg_pg_listen_free(listen);
        assert_true(sg_clock_usec() - began < SG_USEC_PER_SEC);
        sg_loop_free(e.loop);
        (void)pg_ask("resume");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, fixture_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_what_a_url_may_say),
                TEST(test_who_is_not_let_in_is_told_why),
                TEST(test_the_service_s_role_says_what_to_run),
                TEST(test_the_service_s_role_has_rows_and_nothing_else),
                TEST(test_a_newer_schema_is_refused_with_both_versions),
                TEST(test_a_foreign_schema_is_left_as_it_is),
                TEST(test_several_ledgers_may_start_at_once),
                TEST(test_a_paused_server_costs_seconds),
                TEST(test_after_a_restart_it_goes_on_by_itself),
                TEST(test_a_transaction_is_lost_with_its_connection),
                TEST(test_a_mark_moves_only_from_where_it_was_seen),
                TEST(test_after_a_lost_answer_the_mark_is_asked_for),
                TEST(test_a_node_misses_only_its_own_rings),
                TEST(test_months_are_partitions_and_go_whole),
                TEST(test_a_change_is_heard_at_once),
                TEST(test_listening_ends_at_once_whatever_the_server_does),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
