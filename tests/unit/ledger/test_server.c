/* The verbs over a real socket: the loop turns in a thread, the calls come from the test. */
#include <errno.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "served.h"

#include "../skip.h"
#include "auth/apikey.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "journal/ring.h"

/* Takes a good part of a second to sum up, from a time that is no whole hour. */
#define SLOW_QUESTION "{\"by\":\"key\",\"from_wall_usec\":1}"
#define MANY_EVENTS                                                                                                    \
        "INSERT INTO usage SELECT NULL, 'r', 1, '2025-01-01', value, 1, '', 'k', '', 'm', 'p', '', 0, 0, 'complete', " \
        "200,"                                                                                                         \
        " 'measured', 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, '', '', '', 0, 0 FROM (WITH RECURSIVE c(value) AS"              \
        " (SELECT 1 UNION ALL SELECT value + 1 FROM c WHERE value < 600000) SELECT value FROM c)"

/* ---- keys */

static void test_a_created_key_is_shown_once_and_stored_as_digest(void **state)
{
        struct json_object *o, *shown;
        struct bench b;
        const char *secret;

        bench_start(&b, NULL);
        o = expect(&b, "CreateKey", "{\"name\":\"alice\",\"models\":[\"gpt-*\",\"\\\"q\"],\"expires_in_sec\":3600}");
        secret = get_text(o, "secret");
        assert_true(sg_apikey_is_well_formed(sg_str_from(secret)));
        assert_string_equal(get_text(o, "key.name"), "alice");
        assert_string_equal(get_text(o, "key.state"), "active");
        assert_memory_equal(get_text(o, "key.prefix"), secret, SG_KEY_PREFIX_CHARS);
        assert_string_equal(json_object_get_string(at(get(o, "key.models"), 1)), "\"q");
        assert_true(get_int(o, "key.expires_wall_usec") > (int64_t)sg_clock_wall_usec());
        shown = expect(&b, "ShowKey", "{\"name\":\"alice\"}");
        assert_null(strstr(json_object_get_string(shown), secret));
        assert_string_equal(get_text(shown, "key.name"), "alice");
        json_object_put(shown);
        expect_error(&b, "CreateKey", "{\"name\":\"alice\"}", "KeyExists", "choose another name");
        json_object_put(o);
        o = expect(&b, "CreateKey", "{\"name\":\"bob\",\"models\":null}");
        assert_null(get(o, "key.models"));
        assert_int_equal(get_int(o, "key.expires_wall_usec"), 0);
        json_object_put(o);
        bench_stop(&b);
}

static void test_bad_requests_say_what_is_wrong(void **state)
{
        struct bench b;

        bench_start(&b, NULL);
        expect_error(&b, "CreateKey", "{\"name\":\"\"}", "BadName", "letters");
        expect_error(&b, "CreateKey", "{\"name\":\"a b\"}", "BadName", NULL);
        expect_error(&b, "CreateKey", "{\"name\":\"../x\"}", "BadName", NULL);
        expect_error(&b, "CreateKey",
                     "{\"name\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}", "BadName",
                     NULL);
        expect_error(&b, "CreateKey", "{\"name\":\"x\",\"models\":[]}", "BadModels", "all");
        expect_error(&b, "CreateKey", "{\"name\":\"x\",\"models\":[\"a\",\"\"]}", "BadModels", "pattern 2 is empty");
        expect_error(&b, "CreateKey", "{\"name\":\"x\",\"models\":[\"a*b\"]}", "BadModels", "before its end");
        expect_error(&b, "CreateKey", "{\"name\":\"x\",\"models\":[\"a\\nb\"]}", "BadModels", "control");
        expect_error(&b, "CreateKey", "{\"name\":\"x\",\"expires_in_sec\":0}", "BadTime", "future");
        expect_error(&b, "CreateKey", "{\"name\":\"x\",\"expires_in_sec\":9000000000000000000}", "BadTime", NULL);
        expect_error(&b, "CreateKey", "{\"name\":\"x\",\"expires_wall_usec\":1000}", "BadTime", NULL);
        expect_error(&b, "CreateKey", "{\"name\":\"x\",\"expires_in_sec\":5,\"expires_wall_usec\":1000}", "BadTime",
                     "not both");
        expect_error(&b, "CreateKey", "{\"name\":5}", "InvalidParameter", "name");
        expect_error(&b, "CreateKey", "{}", "InvalidParameter", "name");
        expect_error(&b, "CreateKey", "{\"name\":\"x\",\"colour\":1}", "InvalidParameter", "colour");
        expect_error(&b, "ShowKey", "{\"name\":\"nobody\"}", "NoSuchKey", "nobody");
        expect_error(&b, "RevokeKey", "{\"name\":\"nobody\"}", "NoSuchKey", NULL);
        expect_error(&b, "RotateKey", "{\"name\":\"no body\"}", "NoSuchKey", NULL);
        expect_error(&b, "WatchKeys", "{}", "ExpectedMore", NULL);
        expect_error(&b, "QueryUsage", "{\"by\":\"colour\"}", "InvalidParameter", "by");
        expect_error(&b, "QueryUsage", "{\"limit\":0}", "InvalidParameter", "limit");
        expect_error(&b, "QueryUsage", "{\"from_wall_usec\":-1}", "InvalidParameter", "from_wall_usec");
        expect_error(&b, "NoSuchVerb", "{}", "MethodNotFound", NULL);
        bench_stop(&b);
}

static void test_rotating_and_revoking(void **state)
{
        struct json_object *o, *second;
        struct bench b;

        bench_start(&b, NULL);
        o = expect(&b, "CreateKey", "{\"name\":\"alice\"}");
        second = expect(&b, "RotateKey", "{\"name\":\"alice\"}");
        assert_string_not_equal(get_text(o, "secret"), get_text(second, "secret"));
        assert_int_equal(get_int(o, "key.id"), get_int(second, "key.id"));
        assert_true(get_int(second, "key.rotated_wall_usec") > 0);
        json_object_put(o);
        json_object_put(second);
        o = expect(&b, "RevokeKey", "{\"name\":\"alice\"}");
        assert_string_equal(get_text(o, "key.state"), "revoked");
        json_object_put(o);
        expect_error(&b, "RevokeKey", "{\"name\":\"alice\"}", "NoSuchKey", "revoked already");
        expect_error(&b, "RotateKey", "{\"name\":\"alice\"}", "NoSuchKey", "revoked already");
        o = expect(&b, "ShowKey", "{\"name\":\"alice\"}");
        assert_string_equal(get_text(o, "key.state"), "revoked");
        json_object_put(o);
        o = expect(&b, "ListKeys", "{}");
        assert_int_equal(json_object_array_length(get(o, "keys")), 0);
        json_object_put(o);
        o = expect(&b, "ListKeys", "{\"include_revoked\":true}");
        assert_int_equal(json_object_array_length(get(o, "keys")), 1);
        json_object_put(o);
        bench_stop(&b);
}

/* ---- the feed */

static void test_watchers_get_the_picture_then_each_change(void **state)
{
        struct json_object *o, *change, *reply;
        struct watch w, w2;
        struct bench b;
        uint8_t digest[SG_APIKEY_DIGEST_BYTES];
        char hex[2 * sizeof(digest) + 1];

        bench_start(&b, NULL);
        json_object_put(expect(&b, "CreateKey", "{\"name\":\"alice\"}"));
        json_object_put(expect(&b, "CreateKey", "{\"name\":\"carol\"}"));
        json_object_put(expect(&b, "RevokeKey", "{\"name\":\"carol\"}"));
        watch_start(&b, &w);
        watch_start(&b, &w2);
        assert_int_equal(w.n_keys, 2); /* the revoked one, too */
        assert_int_equal(w.version, 3);

        reply = expect(&b, "CreateKey", "{\"name\":\"bob\",\"models\":[\"m\"]}");
        sg_apikey_digest(digest, sg_str_from(get_text(reply, "secret")));
        sg_hex(hex, digest, sizeof(digest));
        o = next(&w);
        change = at(get(o, "changes"), 0);
        assert_int_equal(get_int(o, "version"), 4);
        assert_string_equal(get_text(change, "name"), "bob");
        assert_string_equal(get_text(change, "digest"), hex);
        assert_string_equal(json_object_get_string(at(get(change, "models"), 0)), "m");
        assert_false(json_object_get_boolean(get(change, "revoked")));
        json_object_put(o);
        json_object_put(reply);
        json_object_put(next(&w2));

        json_object_put(expect(&b, "RotateKey", "{\"name\":\"bob\"}"));
        o = next(&w);
        assert_string_not_equal(get_text(at(get(o, "changes"), 0), "digest"), hex);
        json_object_put(o);
        json_object_put(expect(&b, "RevokeKey", "{\"name\":\"bob\"}"));
        o = next(&w);
        assert_true(json_object_get_boolean(get(at(get(o, "changes"), 0), "revoked")));
        assert_int_equal(get_int(o, "version"), 6);
        json_object_put(o);

        o = expect(&b, "GetStatus", "{}");
        assert_int_equal(get_int(o, "watchers"), 2);
        json_object_put(o);
        sg_varlink_caller_free(w.caller);
        for (int64_t n = 2; n > 1;) {
                o = expect(&b, "GetStatus", "{}");
                n = get_int(o, "watchers");
                json_object_put(o);
        }
        /* The other one goes with the server. */
        bench_stop(&b);
        sg_varlink_caller_free(w2.caller);
}

static void test_many_keys_come_in_pages(void **state)
{
        struct sg_store *s = open_store();
        struct sg_store_key key = {.prefix = "sk-AbCd"};
        struct watch w;
        struct bench b;
        size_t n_pages = 0, n_keys = 0;
        bool continues = true;
        uint64_t id;

        for (unsigned i = 0; i < 2500; i++) {
                char name[32];

                (void)snprintf(name, sizeof(name), "key-%u", i);
                memcpy(key.digest, &i, sizeof(i));
                key.name = sg_str_from(name);
                assert_int_equal(sg_store_key_add(s, &key, &id, NULL), 0);
        }
        sg_store_free(s);
        bench_start(&b, NULL);
        watch_start(&b, &w);
        assert_int_equal(w.n_keys, 2500);
        sg_varlink_caller_free(w.caller);
        send_to(b.caller, "ListKeys", "{}", true);
        while (continues) {
                char error[ERROR_BYTES];
                struct json_object *o = receive(b.caller, error, &continues);

                assert_string_equal(error, "");
                n_keys += json_object_array_length(get(o, "keys"));
                n_pages++;
                json_object_put(o);
        }
        assert_int_equal(n_keys, 2500);
        assert_int_equal(n_pages, 3);
        bench_stop(&b);
}

/* ---- usage and status */

static void test_usage_is_fresh_when_asked(void **state)
{
        struct sg_ring *ring = NULL;
        struct sg_record rec = sample(1);
        struct json_object *o, *row;
        struct sg_error err;
        uint64_t exchange, sequence;
        struct bench b;

        bench_start(&b, NULL);
        o = expect(&b, "QueryUsage", "{}");
        assert_int_equal(get_int(at(get(o, "rows"), 0), "requests"), 0);
        json_object_put(o);
        assert_int_equal(sg_ring_create(&ring, journal_dir, journal_dir, SG_RING_BYTES_MIN, &err), 0);
        for (int i = 0; i < 3; i++) {
                rec = sample(1);
                assert_int_equal(sg_ring_open(ring, &rec, &exchange), 0);
                rec = sample(1);
                rec.model = i ? SG_STR("b") : SG_STR("a");
                sg_ring_close(ring, exchange, &rec, &sequence);
        }
        o = expect(&b, "QueryUsage", "{\"by\":\"model\"}");
        assert_int_equal(json_object_array_length(get(o, "rows")), 2);
        row = at(get(o, "rows"), 0);
        assert_string_equal(get_text(row, "group"), "b");
        assert_int_equal(get_int(row, "requests"), 2);
        assert_int_equal(get_int(row, "complete"), 2);
        assert_int_equal(get_int(row, "cut_off"), 0);
        assert_int_equal(get_int(row, "measured"), 2);
        assert_int_equal(get_int(row, "uncounted"), 0);
        assert_int_equal(get_int(row, "input_tokens"), 20);
        assert_int_equal(get_int(row, "output_tokens"), 2);
        assert_false(json_object_get_boolean(get(o, "is_limited")));
        json_object_put(o);
        o = expect(&b, "QueryUsage", "{\"by\":\"model\",\"limit\":1}");
        assert_int_equal(json_object_array_length(get(o, "rows")), 1);
        assert_true(json_object_get_boolean(get(o, "is_limited")));
        json_object_put(o);
        o = expect(&b, "QueryUsage", "{\"requests\":true,\"key\":\"alice\",\"model\":\"a\"}");
        assert_int_equal(json_object_array_length(get(o, "events")), 1);
        row = at(get(o, "events"), 0);
        assert_string_equal(get_text(row, "key"), "alice");
        assert_string_equal(get_text(row, "outcome"), "complete");
        assert_true(json_object_get_boolean(get(row, "stream")));
        assert_string_equal(get_text(row, "raw_usage"), "{\"total_tokens\":3}");
        assert_int_equal(get_int(row, "image_tokens"), 8);
        json_object_put(o);
        bench_stop(&b);
        sg_ring_free(ring);
}

static void write_file(const char *name, const char *text)
{
        char path[300];
        FILE *f;

        (void)snprintf(path, sizeof(path), "%s/%s", test_dir, name);
        f = fopen(path, "w");
        assert_non_null(f);
        fputs(text, f);
        assert_int_equal(fclose(f), 0);
}

static void set_price(const char *input)
{
        struct sg_error err = {0};
        char text[300];

        (void)snprintf(text, sizeof(text),
                       "[price \"echo/*\"]\nfrom = 2023-01-01\ncurrency = USD\ninput = %s\noutput = 1\n", input);
        write_file("gateway.conf", "");
        write_file("prices.d/a.conf", text);
        prices_in_force = sg_config_unref(prices_in_force);
        assert_int_equal(sg_config_read_without_secrets(&prices_in_force, test_dir, &err), 0);
}

static const char *cost_of(struct json_object *row)
{
        return json_object_to_json_string_ext(get(row, "costs"), JSON_C_TO_STRING_PLAIN);
}

static void check_costs(const char *of_bob, const char *of_event, const char *of_bill)
{
        struct json_object *o, *row;
        struct bench b;

        bench_start(&b, NULL);
        o = expect(&b, "QueryUsage", "{\"by\":\"key\",\"cost\":true}");
        row = at(get(o, "rows"), 0);
        assert_string_equal(get_text(row, "group"), "alice");
        assert_string_equal(cost_of(row), "[]");
        assert_int_equal(get_int(row, "unpriced_requests"), 2);
        row = at(get(o, "rows"), 1);
        assert_string_equal(cost_of(row), of_bob);
        assert_int_equal(get_int(row, "unpriced_requests"), 0);
        row = at(get(o, "unpriced"), 0);
        assert_int_equal(json_object_array_length(get(o, "unpriced")), 1);
        assert_string_equal(get_text(row, "provider"), "other");
        assert_string_equal(get_text(row, "why"), "no price");
        assert_int_equal(get_int(row, "requests"), 2);
        json_object_put(o);
        o = expect(&b, "QueryUsage", "{\"requests\":true,\"key\":\"bob\",\"cost\":true}");
        assert_string_equal(cost_of(at(get(o, "events"), 0)), of_event);
        json_object_put(o);
        o = expect(&b, "QueryUsage", "{\"by\":\"key\"}");
        assert_false(json_object_object_get_ex(at(get(o, "rows"), 0), "costs", NULL));
        assert_false(json_object_object_get_ex(o, "unpriced", NULL));
        json_object_put(o);
        o = expect(&b, "QueryBills", "{\"provider\":\"echo\"}");
        assert_int_equal(json_object_array_length(get(o, "bills")), 1);
        row = at(get(o, "bills"), 0);
        assert_string_equal(get_text(row, "day"), "2023-11-14");
        assert_string_equal(get_text(row, "model"), "echo-1");
        assert_int_equal(get_int(row, "requests"), 1);
        assert_int_equal(get_int(row, "input_tokens"), 1000000);
        assert_string_equal(cost_of(row), of_bill);
        assert_false(json_object_get_boolean(get(o, "is_limited")));
        json_object_put(o);
        expect_error(&b, "QueryBills", "{\"to_wall_usec\":-1}", "InvalidParameter", "to_wall_usec");
        bench_stop(&b);
}

static void add_plain(struct sg_store *s, const char *key, const char *provider)
{
        const struct sg_record rec = {.kind = SG_RECORD_CLOSE,
                                      .start_wall_usec = UINT64_C(1700000000000000),
                                      .key_name = sg_str_from(key),
                                      .model = SG_STR("m"),
                                      .provider = sg_str_from(provider),
                                      .upstream_model = SG_STR("echo-1"),
                                      .input_tokens = 1000000,
                                      .output_tokens = 500000};

        assert_int_equal(sg_store_usage_add(s, "r", &rec, NULL), 0);
}

/* What was used is priced when it is asked: another price, and the past costs something else. */
static void test_costs_follow_the_prices(void **state)
{
        char path[300];
        struct sg_store *s = open_store();

        add_plain(s, "alice", "other");
        add_plain(s, "alice", "other");
        add_plain(s, "bob", "echo");
        sg_store_free(s);
        (void)snprintf(path, sizeof(path), "%s/prices.d", test_dir);
        assert_int_equal(mkdir(path, 0700), 0);
#define USD(amount) "[{\"currency\":\"USD\",\"amount\":\"" amount "\"}]"
        set_price("2.25");
        check_costs(USD("2.75"), USD("2.75"), USD("2.75"));
        set_price("4");
        check_costs(USD("4.5"), USD("4.5"), USD("4.5"));
        prices_in_force = sg_config_unref(prices_in_force);
}

static void test_keys_change_while_usage_is_summed_up(void **state)
{
        struct sg_varlink_caller *other;
        uint64_t start, asked, changed;
        struct json_object *o;
        char error[ERROR_BYTES];
        struct bench b;
        bool continues;

        sg_store_free(open_store());
        run_sql(MANY_EVENTS);
        bench_start(&b, NULL);
        other = connect_to(&b);
        start = sg_clock_usec();
        send_to(other, "QueryUsage", SLOW_QUESTION, false);
        json_object_put(expect(&b, "CreateKey", "{\"name\":\"alice\"}"));
        changed = sg_clock_usec();
        o = receive(other, error, &continues);
        asked = sg_clock_usec();
        assert_string_equal(error, "");
        assert_int_equal(get_int(at(get(o, "rows"), 0), "requests"), 600000);
        json_object_put(o);
        assert_true(changed - start < (asked - start) / 2);

        sg_varlink_caller_free(other);
        bench_stop(&b);
}

static void test_too_many_questions_are_refused_and_none_keeps_the_end_waiting(void **state)
{
        struct sg_varlink_caller *others[SG_ASKER_QUEUE_MAX + 6];
        struct json_object *o;
        uint64_t start;
        struct bench b;

        sg_store_free(open_store());
        run_sql(MANY_EVENTS);
        bench_start(&b, NULL);
        for (size_t i = 0; i < SG_N_ELEMENTS(others); i++) {
                others[i] = connect_to(&b);
                send_to(others[i], "QueryUsage", SLOW_QUESTION, false);
                /* Received before the next is sent: one runs, the others wait. */
                o = expect(&b, "GetStatus", "{}");
                json_object_put(o);
        }
        expect_error(&b, "QueryUsage", "{}", "Busy", "try again later");
        start = sg_clock_usec();
        bench_stop(&b);
        assert_true(sg_clock_usec() - start < SG_USEC_PER_SEC);
        for (size_t i = 0; i < SG_N_ELEMENTS(others); i++)
                sg_varlink_caller_free(others[i]);
}

static void test_status_counts(void **state)
{
        struct json_object *o;
        struct bench b;

        bench_start(&b, NULL);
        json_object_put(expect(&b, "CreateKey", "{\"name\":\"alice\"}"));
        /* Counted in the background, at once after a change. */
        o = expect(&b, "GetStatus", "{}");
        while (get_int(o, "keys_active") != 1) {
                json_object_put(o);
                o = expect(&b, "GetStatus", "{}");
        }
        assert_string_equal(get_text(o, "state"), "ok");
        assert_string_equal(get_text(o, "database_state"), "up");
        assert_true(get_int(o, "counted_wall_usec") >= get_int(o, "start_wall_usec"));
        assert_string_equal(get_text(o, "database"), db_url);
        assert_int_equal(get_int(o, "schema_version"), SG_SCHEMA_VERSION);
        assert_int_equal(get_int(o, "keys_active"), 1);
        assert_int_equal(get_int(o, "rings"), 0);
        assert_false(json_object_object_get_ex(o, "last_error", NULL));
        json_object_put(o);
        bench_stop(&b);
}

/* ---- who may */

/* What a user of that uid and gid is answered: the error's last word, or "". */
static void answer_for(const struct bench *b, uid_t uid, gid_t gid, const char *method, char out[ERROR_BYTES])
{
        int pipe_fds[2], status;
        ssize_t n;
        pid_t pid;

        assert_int_equal(pipe(pipe_fds), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                struct sg_varlink_caller *caller = NULL;
                struct json_object *reply = NULL;
                char error[ERROR_BYTES] = "no answer", name[64];
                bool continues;

                (void)snprintf(name, sizeof(name), "io.scribe.Ledger.%s", method);
                if (setgroups(0, NULL) == 0 && setgid(gid) == 0 && setuid(uid) == 0 &&
                    sg_varlink_caller_new(&caller, b->path, NULL) == 0 &&
                    sg_varlink_caller_send(caller, name, json_tokener_parse("{\"name\":\"x\"}"), false, NULL) == 0)
                        if (sg_varlink_caller_receive(caller, &reply, error, sizeof(error), &continues, NULL) != 0)
                                (void)snprintf(error, sizeof(error), "no answer");
                _exit(write(pipe_fds[1], error, sizeof(error)) == (ssize_t)sizeof(error) ? 0 : 1);
        }
        n = read(pipe_fds[0], out, ERROR_BYTES);
        assert_int_equal(n, ERROR_BYTES);
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (strrchr(out, '.'))
                memmove(out, strrchr(out, '.') + 1, strlen(strrchr(out, '.')));
}

static void test_three_kinds_of_users(void **state)
{
        const char *admins[] = {"daemon"};
        const struct sg_ledger_access access = {.group = "games", .admins = admins, .n_admins = 1};
        const struct group *games = getgrnam("games");
        char error[ERROR_BYTES];
        struct bench b;

        if (geteuid() != 0 || !games)
                TEST_SKIP("only root can become other users");
        assert_int_equal(chmod(test_dir, 0755), 0);
        bench_start(&b, &access);
        /* The socket's mode keeps strangers out before any of this; here it is the server's own check that counts. */
        assert_int_equal(chmod(b.path, 0666), 0);
        answer_for(&b, 1, 1, "CreateKey", error); /* daemon, an admin */
        assert_string_equal(error, "");
        answer_for(&b, 12345, games->gr_gid, "ShowKey", error);
        assert_string_equal(error, "");
        answer_for(&b, 12345, games->gr_gid, "RevokeKey", error);
        assert_string_equal(error, "PermissionDenied");
        answer_for(&b, 12345, games->gr_gid, "WatchKeys", error);
        assert_string_equal(error, "PermissionDenied");
        answer_for(&b, 12345, 12345, "ShowKey", error);
        assert_string_equal(error, "PermissionDenied");
        answer_for(&b, 0, 0, "RevokeKey", error);
        assert_string_equal(error, "");
        bench_stop(&b);
}

static void test_an_unknown_admin_is_an_error(void **state)
{
        const char *admins[] = {"no-such-user"};
        const struct sg_ledger_access access = {.admins = admins, .n_admins = 1};
        struct sg_ledger_server *server = NULL;
        struct sg_error err = {0};

        assert_int_equal(sg_ledger_server_new(&server, NULL, &(struct sg_ledger_parts){0}, &access, &err), -ESRCH);
        assert_non_null(strstr(err.text, "no-such-user"));
}

static void test_a_failing_database_refuses_key_changes_with_the_reason(void **state)
{
        struct bench b;
        sqlite3 *db;

        bench_start(&b, NULL);
        json_object_put(expect(&b, "CreateKey", "{\"name\":\"a\"}"));
        /* Another program holds a lock: busy, with what to do. */
        assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        expect_error(&b, "CreateKey", "{\"name\":\"b\"}", "Busy", "end its transaction");
        expect_error(&b, "RevokeKey", "{\"name\":\"a\"}", "Busy", "Nothing was changed");
        assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
        json_object_put(expect(&b, "RevokeKey", "{\"name\":\"a\"}"));
        /* And one that is broken. */
        assert_int_equal(sqlite3_exec(db, "DROP TABLE counter", NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        expect_error(&b, "CreateKey", "{\"name\":\"c\"}", "DatabaseFailed", "counter");
        bench_stop(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, test_setup, test_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_a_created_key_is_shown_once_and_stored_as_digest),
                TEST(test_bad_requests_say_what_is_wrong),
                TEST(test_rotating_and_revoking),
                TEST(test_watchers_get_the_picture_then_each_change),
                TEST(test_many_keys_come_in_pages),
                TEST(test_usage_is_fresh_when_asked),
                TEST(test_costs_follow_the_prices),
                TEST(test_keys_change_while_usage_is_summed_up),
                TEST(test_too_many_questions_are_refused_and_none_keeps_the_end_waiting),
                TEST(test_status_counts),
                TEST(test_three_kinds_of_users),
                TEST(test_an_unknown_admin_is_an_error),
                TEST(test_a_failing_database_refuses_key_changes_with_the_reason),
        };

        sg_log_set_level(SG_LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
