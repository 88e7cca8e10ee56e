/* Groups, limits of keys, import and export, the audit log: the verbs over a real socket. */
#include "served.h"

#include "base/clock.h"
#include "base/log.h"

static void done(struct bench *b, const char *method, const char *parameters)
{
        json_object_put(expect(b, method, parameters));
}

/* The array's strings, as "a|b". */
static const char *joined(struct json_object *array)
{
        static char text[1024];
        size_t n = array ? json_object_array_length(array) : 0;

        text[0] = '\0';
        for (size_t i = 0; i < n; i++)
                (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? "|" : "",
                               json_object_get_string(at(array, i)));
        return text;
}

/* ---- keys */

static void test_a_key_has_limits_and_a_group(void **state)
{
        struct json_object *o;
        struct bench b;

        bench_start(&b, NULL);
        done(&b, "CreateGroup", "{\"name\":\"acme\",\"limits\":[\"500 usd/month\"]}");
        done(&b, "CreateGroup", "{\"name\":\"team\",\"parent\":\"acme\",\"limits\":[\"300 requests/minute\"]}");
        o = expect(&b, "CreateKey",
                   "{\"name\":\"alice\",\"group\":\"team\",\"limits\":[\"1K Requests/Minute\",\"20 USD/month "
                   "warn=80%\"]}");
        assert_string_equal(get_text(o, "key.group"), "team");
        assert_string_equal(joined(get(o, "key.limits")), "1000 requests/minute|20 usd/month warn=80%");
        assert_string_equal(get_text(o, "note"),
                            "limit '1000 requests/minute' is never reached: group \"team\" has '300 "
                            "requests/minute' for all below it");
        json_object_put(o);
        o = expect(&b, "ShowKey", "{\"name\":\"alice\"}");
        assert_string_equal(get_text(at(get(o, "groups"), 0), "name"), "team");
        assert_string_equal(get_text(at(get(o, "groups"), 1), "name"), "acme");
        assert_string_equal(joined(get(at(get(o, "groups"), 1), "limits")), "500 usd/month");
        json_object_put(o);
        bench_stop(&b);
}

static void test_a_change_leaves_what_it_does_not_name(void **state)
{
        struct json_object *o;
        struct bench b;
        int64_t expires;

        bench_start(&b, NULL);
        done(&b, "CreateGroup", "{\"name\":\"team\"}");
        done(&b, "CreateKey",
             "{\"name\":\"alice\",\"models\":[\"m\"],\"group\":\"team\",\"limits\":[\"8 concurrent\"],"
             "\"expires_in_sec\":1000}");
        o = expect(&b, "ChangeKey", "{\"name\":\"alice\",\"limits\":[\"9 concurrent\",\"5 requests/day\"]}");
        assert_string_equal(joined(get(o, "key.limits")), "9 concurrent|5 requests/day");
        assert_string_equal(joined(get(o, "key.models")), "m");
        assert_string_equal(get_text(o, "key.group"), "team");
        expires = get_int(o, "key.expires_wall_usec");
        assert_true(expires > (int64_t)sg_clock_wall_usec());
        json_object_put(o);
        o = expect(&b, "ChangeKey", "{\"name\":\"alice\",\"all_models\":true,\"group\":\"\"}");
        assert_null(get(o, "key.models"));
        assert_null(get(o, "key.group"));
        assert_int_equal(get_int(o, "key.expires_wall_usec"), expires);
        json_object_put(o);
        o = expect(&b, "ChangeKey", "{\"name\":\"alice\",\"limits\":[],\"expires_wall_usec\":0}");
        assert_null(get(o, "key.limits"));
        assert_int_equal(get_int(o, "key.expires_wall_usec"), 0);
        json_object_put(o);
        expect_error(&b, "ChangeKey", "{\"name\":\"bob\",\"limits\":[]}", "NoSuchKey", "bob");
        done(&b, "RevokeKey", "{\"name\":\"alice\"}");
        expect_error(&b, "ChangeKey", "{\"name\":\"alice\",\"limits\":[]}", "NoSuchKey", "revoked already");
        bench_stop(&b);
}

static void test_bad_limits_and_groups_say_what_to_change(void **state)
{
        static const struct {
                const char *parameters, *error, *told;
        } cases[] = {
                {"\"limits\":[\"-5 requests/minute\"]", "BadLimit", "begins with no amount above zero"},
                {"\"limits\":[\"0 requests/minute\"]", "BadLimit", "zero"},
                {"\"limits\":[\"99999999999999999999 tokens/day\"]", "BadLimit", "too large"},
                {"\"limits\":[\"5 requests/fortnight\"]", "BadLimit", "minute, hour, day, month"},
                {"\"limits\":[\"5 usd/minute\"]", "BadLimit", "a day or a month"},
                {"\"limits\":[\"5 requests/minute\",\"6 requests/minute\"]", "BadLimit", "keep one of them"},
                {"\"limits\":[\"600 requests/minute\",\"100 requests/day\"]", "BadLimit", "never reached"},
                {"\"limits\":[\"\"]", "BadLimit", "8 concurrent"},
                {"\"limits\":[\"5 requests/minute\\u001b[1m\"]", "BadLimit", "letters and digits"},
                {"\"limits\":[\"1 concurrent\",\"1 concurrent\",\"1 concurrent\",\"1 concurrent\",\"1 concurrent\","
                 "\"1 concurrent\",\"1 concurrent\",\"1 concurrent\",\"1 concurrent\"]",
                 "BadLimit", "at most 8"},
                {"\"limits\":\"5 requests/minute\"", "InvalidParameter", "limits"},
                {"\"limits\":[5]", "InvalidParameter", "limits"},
                {"\"group\":\"tean\"", "NoSuchGroup", "did you mean 'team'?"},
                {"\"group\":\"a b\"", "NoSuchGroup", "letters, digits"},
                {"\"group\":\"t\\u00e9am\"", "NoSuchGroup", "letters, digits"},
                {"\"group\":7", "InvalidParameter", "group"},
                {"\"models\":[\"x\"],\"all_models\":true", "BadModels", "not both"},
                {"\"expires_wall_usec\":-1", "BadTime", "future"},
        };
        char parameters[512];
        struct bench b;

        bench_start(&b, NULL);
        done(&b, "CreateGroup", "{\"name\":\"team\"}");
        done(&b, "CreateKey", "{\"name\":\"alice\"}");
        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                (void)snprintf(parameters, sizeof(parameters), "{\"name\":\"alice\",%s}", cases[i].parameters);
                expect_error(&b, "ChangeKey", parameters, cases[i].error, cases[i].told);
        }
        expect_error(&b, "CreateKey", "{\"name\":\"bob\",\"group\":\"tean\"}", "NoSuchGroup", "did you mean 'team'?");
        expect_error(&b, "ShowKey", "{\"name\":\"bob\"}", "NoSuchKey", NULL); /* it was not made */
        bench_stop(&b);
}

static void test_arguments_of_ten_thousand_letters_are_refused(void **state)
{
        static const struct {
                const char *method, *before, *after, *error;
        } cases[] = {
                {"CreateKey", "{\"name\":\"", "\"}", "BadName"},
                {"ShowKey", "{\"name\":\"", "\"}", "NoSuchKey"},
                {"ChangeKey", "{\"name\":\"alice\",\"limits\":[\"5 ", "/day\"]}", "BadLimit"},
                {"ChangeKey", "{\"name\":\"alice\",\"group\":\"", "\"}", "NoSuchGroup"},
                {"ListKeys", "{\"name\":\"", "*\"}", "BadName"},
                {"ListKeys", "{\"group\":\"", "\"}", "NoSuchGroup"},
                {"CreateGroup", "{\"name\":\"", "\"}", "BadName"},
                {"CreateGroup", "{\"name\":\"g\",\"parent\":\"", "\"}", "NoSuchGroup"},
                {"ImportKeys", "{\"keys\":[{\"name\":\"", "\",\"digest\":\"\",\"prefix\":\"\"}]}", "BadImport"},
                {"ImportKeys", "{\"keys\":[{\"name\":\"x\",\"digest\":\"", "\",\"prefix\":\"\"}]}", "BadImport"},
                {"ImportKeys", "{\"keys\":[{\"", "\":1}]}", "BadImport"},
        };
        static char parameters[11000], many[10001];
        struct bench b;

        memset(many, 'a', sizeof(many) - 1);
        bench_start(&b, NULL);
        done(&b, "CreateKey", "{\"name\":\"alice\"}");
        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                (void)snprintf(parameters, sizeof(parameters), "%s%s%s", cases[i].before, many, cases[i].after);
                expect_error(&b, cases[i].method, parameters, cases[i].error, NULL);
        }
        (void)snprintf(parameters, sizeof(parameters), "{\"subject\":\"%s\"}", many);
        done(&b, "QueryAudit", parameters); /* finds nothing */
        bench_stop(&b);
}

static void test_keys_are_found_by_name_and_group_and_in_parts(void **state)
{
        struct json_object *o;
        struct bench b;
        char parameters[96];

        bench_start(&b, NULL);
        done(&b, "CreateGroup", "{\"name\":\"team\"}");
        for (int i = 0; i < 10; i++) {
                (void)snprintf(parameters, sizeof(parameters), "{\"name\":\"%s-%d\",\"group\":\"%s\"}",
                               i % 2 ? "ci" : "dev", i, i < 4 ? "team" : "");
                done(&b, "CreateKey", parameters);
        }
        o = expect(&b, "ListKeys", "{\"name\":\"ci-*\"}");
        assert_int_equal(json_object_array_length(get(o, "keys")), 5);
        json_object_put(o);
        o = expect(&b, "ListKeys", "{\"name\":\"ci-*\",\"group\":\"team\"}");
        assert_int_equal(json_object_array_length(get(o, "keys")), 2);
        assert_false(json_object_object_get_ex(o, "next_id", NULL));
        json_object_put(o);
        o = expect(&b, "ListKeys", "{\"name\":\"ci-3\"}");
        assert_int_equal(json_object_array_length(get(o, "keys")), 1);
        json_object_put(o);
        o = expect(&b, "ListKeys", "{\"limit\":4}");
        assert_int_equal(json_object_array_length(get(o, "keys")), 4);
        assert_string_equal(get_text(at(get(o, "keys"), 3), "name"), "ci-3");
        (void)snprintf(parameters, sizeof(parameters), "{\"limit\":6,\"from_id\":%lld}",
                       (long long)get_int(o, "next_id"));
        json_object_put(o);
        o = expect(&b, "ListKeys", parameters);
        assert_int_equal(json_object_array_length(get(o, "keys")), 6);
        assert_string_equal(get_text(at(get(o, "keys"), 0), "name"), "dev-4");
        assert_false(json_object_object_get_ex(o, "next_id", NULL)); /* these were all */
        json_object_put(o);
        expect_error(&b, "ListKeys", "{\"group\":\"tean\"}", "NoSuchGroup", "'team'");
        expect_error(&b, "ListKeys", "{\"name\":\"a*b\"}", "BadName", NULL);
        expect_error(&b, "ListKeys", "{\"limit\":0}", "InvalidParameter", "limit");
        bench_stop(&b);
}

/* ---- groups */

static void test_groups_are_a_tree_without_circles(void **state)
{
        struct json_object *o;
        struct bench b;
        char parameters[96];

        bench_start(&b, NULL);
        done(&b, "CreateGroup", "{\"name\":\"g1\"}");
        for (int i = 2; i <= 8; i++) {
                (void)snprintf(parameters, sizeof(parameters), "{\"name\":\"g%d\",\"parent\":\"g%d\"}", i, i - 1);
                done(&b, "CreateGroup", parameters);
        }
        expect_error(&b, "CreateGroup", "{\"name\":\"g9\",\"parent\":\"g8\"}", "BadGroup", "at most 8 levels");
        expect_error(&b, "CreateGroup", "{\"name\":\"g1\"}", "GroupExists", "another name");
        expect_error(&b, "CreateGroup", "{\"name\":\"x\",\"parent\":\"g\"}", "NoSuchGroup", "did you mean 'g1'");
        expect_error(&b, "CreateGroup", "{\"name\":\"x y\"}", "BadName", "letters");
        expect_error(&b, "ChangeGroup", "{\"name\":\"g1\",\"parent\":\"g5\"}", "BadGroup", "below it already");
        expect_error(&b, "ChangeGroup", "{\"name\":\"g1\",\"parent\":\"g1\"}", "BadGroup", "itself");
        expect_error(&b, "ChangeGroup", "{\"name\":\"nobody\",\"parent\":\"g1\"}", "NoSuchGroup", NULL);
        done(&b, "CreateGroup", "{\"name\":\"top\"}");
        expect_error(&b, "ChangeGroup", "{\"name\":\"g1\",\"parent\":\"top\"}", "BadGroup", "would make 9");
        done(&b, "ChangeGroup", "{\"name\":\"g2\",\"parent\":\"top\"}");
        o = expect(&b, "ShowGroup", "{\"name\":\"g3\"}");
        assert_string_equal(get_text(o, "group.parent"), "g2");
        assert_string_equal(get_text(at(get(o, "above"), 0), "name"), "g2");
        assert_string_equal(get_text(at(get(o, "above"), 1), "name"), "top");
        assert_string_equal(get_text(at(get(o, "below"), 0), "name"), "g4");
        json_object_put(o);
        o = expect(&b, "ChangeGroup", "{\"name\":\"g2\",\"parent\":\"\",\"limits\":[\"5 eur/day\"]}");
        assert_null(get(o, "group.parent"));
        assert_string_equal(joined(get(o, "group.limits")), "5 eur/day");
        json_object_put(o);
        o = expect(&b, "ListGroups", "{}");
        assert_int_equal(json_object_array_length(get(o, "groups")), 9);
        json_object_put(o);
        bench_stop(&b);
}

static void test_a_group_that_is_used_stays(void **state)
{
        struct json_object *o;
        struct bench b;

        bench_start(&b, NULL);
        done(&b, "CreateGroup", "{\"name\":\"acme\"}");
        done(&b, "CreateGroup", "{\"name\":\"team\",\"parent\":\"acme\"}");
        done(&b, "CreateKey", "{\"name\":\"alice\",\"group\":\"team\"}");
        expect_error(&b, "RemoveGroup", "{\"name\":\"acme\"}", "GroupInUse", "has 1 group below it");
        expect_error(&b, "RemoveGroup", "{\"name\":\"team\"}", "GroupInUse", "has 1 key");
        expect_error(&b, "RemoveGroup", "{\"name\":\"tea\"}", "NoSuchGroup", "'team'");
        done(&b, "RevokeKey", "{\"name\":\"alice\"}");
        o = expect(&b, "RemoveGroup", "{\"name\":\"team\"}");
        assert_string_equal(get_text(o, "group.name"), "team");
        json_object_put(o);
        done(&b, "RemoveGroup", "{\"name\":\"acme\"}");
        done(&b, "CreateGroup", "{\"name\":\"acme\"}"); /* the name is free again */
        bench_stop(&b);
}

static void test_watchers_are_told_of_groups_before_their_keys(void **state)
{
        struct json_object *o, *one;
        bool has_groups = false, is_complete = false;
        struct watch w;
        struct bench b;
        int64_t id;

        bench_start(&b, NULL);
        done(&b, "CreateGroup", "{\"name\":\"acme\",\"limits\":[\"8 concurrent\"]}");
        done(&b, "CreateGroup", "{\"name\":\"team\",\"parent\":\"acme\"}");
        done(&b, "CreateKey", "{\"name\":\"alice\",\"group\":\"team\",\"limits\":[\"5 tokens/day\"]}");
        w = (struct watch){.caller = connect_to(&b)};
        send_to(w.caller, "WatchKeys", "{}", true);
        while (!is_complete) {
                o = next(&w);
                if (json_object_object_get_ex(o, "groups", &one)) {
                        assert_int_equal(json_object_array_length(one), 2);
                        assert_string_equal(joined(get(at(one, 0), "limits")), "8 concurrent");
                        assert_int_equal(get_int(at(one, 1), "parent"), get_int(at(one, 0), "id"));
                        has_groups = true;
                }
                if (json_object_object_get_ex(o, "changes", &one)) {
                        assert_true(has_groups);
                        assert_int_equal(get_int(at(one, 0), "group"), 2);
                        assert_string_equal(joined(get(at(one, 0), "limits")), "5 tokens/day");
                }
                is_complete = json_object_object_get_ex(o, "complete", NULL);
                if (is_complete)
                        assert_int_equal(get_int(o, "version"), 3);
                json_object_put(o);
        }
        assert_true(has_groups);
        done(&b, "ChangeGroup", "{\"name\":\"team\",\"parent\":\"\",\"limits\":[\"9 concurrent\"]}");
        o = next_news(&w, "groups");
        one = at(get(o, "groups"), 0);
        id = get_int(one, "id");
        assert_null(get(one, "parent"));
        assert_string_equal(joined(get(one, "limits")), "9 concurrent");
        assert_int_equal(get_int(o, "version"), 4);
        json_object_put(o);
        done(&b, "ChangeKey", "{\"name\":\"alice\",\"group\":\"\"}");
        o = next_news(&w, "changes");
        assert_null(get(at(get(o, "changes"), 0), "group"));
        json_object_put(o);
        done(&b, "RemoveGroup", "{\"name\":\"team\"}");
        o = next_news(&w, "groups");
        assert_int_equal(get_int(at(get(o, "groups"), 0), "id"), id);
        assert_true(json_object_get_boolean(get(at(get(o, "groups"), 0), "removed")));
        assert_int_equal(get_int(o, "version"), 6);
        json_object_put(o);
        bench_stop(&b);
        sg_varlink_caller_free(w.caller);
}

static void test_two_thousand_groups_come_in_pages(void **state)
{
        struct json_object *o, *groups;
        struct sg_varlink_caller *caller;
        char error[ERROR_BYTES];
        bool continues = true;
        struct bench b;
        size_t n = 0;

        bench_start(&b, NULL);
        done(&b, "ListGroups", "{}"); /* the database is open */
        run_sql("INSERT INTO key_group (name, parent_id, created_wall_usec, removed_wall_usec, version)"
                " WITH RECURSIVE c(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM c WHERE v < 2500)"
                " SELECT 'g' || v, 0, 1, 0, 1 FROM c");
        caller = connect_to(&b);
        send_to(caller, "ListGroups", "{}", true);
        while (continues) {
                o = receive(caller, error, &continues);
                assert_string_equal(error, "");
                groups = get(o, "groups");
                assert_in_range(json_object_array_length(groups), 1, 1000);
                n += json_object_array_length(groups);
                json_object_put(o);
        }
        assert_int_equal(n, 2500);
        sg_varlink_caller_free(caller);
        bench_stop(&b);
}

/* ---- import, export */

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddee"
#define RECORD(name, digest_end, more)                                                                                 \
        "{\"name\":\"" name "\",\"digest\":\"" HEX digest_end "\",\"prefix\":\"sk-Abcd\"" more "}"

static void expect_import(struct bench *b, const char *parameters, const char *counts)
{
        struct json_object *o = expect(b, "ImportKeys", parameters);
        char text[96];

        (void)snprintf(text, sizeof(text), "%lld %lld %lld %lld", (long long)get_int(o, "added"),
                       (long long)get_int(o, "replaced"), (long long)get_int(o, "same"),
                       (long long)get_int(o, "groups"));
        assert_string_equal(text, counts);
        json_object_put(o);
}

static struct json_object *exported(struct bench *b)
{
        struct sg_varlink_caller *caller = connect_to(b);
        char error[ERROR_BYTES];
        struct json_object *o;
        bool continues;

        send_to(caller, "ExportKeys", "{}", true);
        o = receive(caller, error, &continues);
        assert_string_equal(error, "");
        assert_false(continues);
        sg_varlink_caller_free(caller);
        return o;
}

static void test_an_import_adds_keeps_or_replaces(void **state)
{
        static const char two[] = "{\"create_groups\":true,\"keys\":[" RECORD(
                "a", "01",
                ",\"group\":\"team\",\"limits\":[\"1K tokens/day\"],\"models\":[\"m*\"]") "," RECORD("b", "02",
                                                                                                     "") "]}";
        struct json_object *o, *key;
        struct bench b;

        bench_start(&b, NULL);
        expect_import(&b, two, "2 0 0 1");
        expect_import(&b, two, "0 0 2 0");
        o = exported(&b);
        key = at(get(o, "keys"), 0);
        assert_string_equal(json_object_get_string(get(key, "digest")), HEX "01");
        assert_string_equal(get_text(key, "group"), "team");
        assert_string_equal(joined(get(key, "limits")), "1000 tokens/day");
        assert_string_equal(get_text(key, "state"), "active");
        assert_null(strstr(json_object_get_string(o), "\"secret\""));
        json_object_put(o);

        /* The same digest with another limit: left alone, or replaced. */
        expect_import(&b, "{\"keys\":[" RECORD("b", "02", ",\"limits\":[\"8 concurrent\"]") "]}", "0 0 1 0");
        expect_import(&b, "{\"replace\":true,\"keys\":[" RECORD("b", "02", ",\"limits\":[\"8 concurrent\"]") "]}",
                      "0 1 0 0");
        o = expect(&b, "ShowKey", "{\"name\":\"b\"}");
        assert_string_equal(joined(get(o, "key.limits")), "8 concurrent");
        assert_int_equal(get_int(o, "key.rotated_wall_usec"), 0);
        json_object_put(o);
        expect_error(&b, "ImportKeys", "{\"keys\":[" RECORD("b", "03", "") "]}", "BadImport", "with another secret");
        expect_import(&b, "{\"replace\":true,\"keys\":[" RECORD("b", "03", "") "]}", "0 1 0 0");
        o = expect(&b, "ShowKey", "{\"name\":\"b\"}");
        assert_true(get_int(o, "key.rotated_wall_usec") > 0);
        assert_null(get(o, "key.limits"));
        json_object_put(o);
        bench_stop(&b);
}

static void test_an_import_is_whole_or_not_at_all(void **state)
{
        struct json_object *o;
        char error[ERROR_BYTES];
        struct bench b;

        bench_start(&b, NULL);
        o = call(&b, "ImportKeys",
                 "{\"create_groups\":true,\"keys\":[" RECORD("a", "01", ",\"group\":\"x\"") "," RECORD(
                         "b", "02", ",\"limits\":[\"5 apples/day\"]") "]}",
                 error);
        assert_string_equal(error, "BadImport");
        assert_int_equal(get_int(o, "index"), 1);
        assert_non_null(strstr(get_text(o, "message"), "key \"b\": limit '5 apples/day'"));
        json_object_put(o);
        o = expect(&b, "ListGroups", "{}");
        assert_int_equal(json_object_array_length(get(o, "groups")), 0);
        json_object_put(o);
        expect_import(&b,
                      "{\"check\":true,\"create_groups\":true,\"keys\":[" RECORD("a", "01", ",\"group\":\"x\"") "]}",
                      "1 0 0 1");
        o = exported(&b);
        assert_int_equal(json_object_array_length(get(o, "keys")), 0);
        json_object_put(o);
        o = expect(&b, "QueryAudit", "{}");
        assert_int_equal(json_object_array_length(get(o, "entries")), 0);
        json_object_put(o);
        bench_stop(&b);
}

static void test_bad_records_say_what_is_wrong(void **state)
{
        static const struct {
                const char *record, *told;
        } cases[] = {
                {"{\"name\":\"a\"}", "member \\\"digest\\\" is missing"},
                {RECORD("a b", "01", ""), "letters, digits"},
                {RECORD("a", "0x", ""), "64 hex digits"},
                {RECORD("a", "0", ""), "64 hex digits"},
                {"{\"name\":\"a\",\"digest\":\"" HEX "01\",\"prefix\":\"sk-Abcdefgh\"}", "prefix"},
                {"{\"name\":\"a\",\"digest\":\"" HEX "01\",\"prefix\":\"\\u001b[1m\"}", "prefix"},
                {RECORD("a", "01", ",\"group\":\"nowhere\""), "there is no group"},
                {RECORD("a", "01", ",\"group\":\"x y\""), "letters, digits"},
                {RECORD("a", "01", ",\"models\":[]"), "1 to 64 models"},
                {RECORD("a", "01", ",\"state\":\"revoked\""), "leave it out"},
                {RECORD("a", "01", ",\"expires_wall_usec\":-1"), "year 10000"},
                {RECORD("a", "01", ",\"secret\":\"sk-x\""), "member \\\"secret\\\""},
                {RECORD("a", "01", ",\"limits\":\"x\""), "member \\\"limits\\\""},
                {RECORD("a", "0f", ""), "that of another key"},
        };
        char parameters[512];
        struct bench b;

        bench_start(&b, NULL);
        expect_import(&b, "{\"keys\":[" RECORD("first", "0f", "") "]}", "1 0 0 0");
        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                (void)snprintf(parameters, sizeof(parameters), "{\"keys\":[%s]}", cases[i].record);
                expect_error(&b, "ImportKeys", parameters, "BadImport", cases[i].told);
        }
        expect_error(&b, "ImportKeys", "{\"keys\":[1]}", "InvalidParameter", "keys");
        expect_error(&b, "ImportKeys", "{}", "InvalidParameter", "keys");
        bench_stop(&b);
}

/* ---- the audit log */

static void test_each_change_is_in_the_audit_log(void **state)
{
        static const char *const verbs[] = {"RemoveGroup", "RevokeKey",   "RotateKey",  "ChangeKey",
                                            "CreateKey",   "ChangeGroup", "CreateGroup"};
        struct json_object *o, *entries, *change;
        struct bench b;
        char secret[96];

        bench_start(&b, NULL);
        done(&b, "CreateGroup", "{\"name\":\"team\"}");
        done(&b, "ChangeGroup", "{\"name\":\"team\",\"limits\":[\"8 concurrent\"]}");
        done(&b, "CreateKey", "{\"name\":\"alice\",\"group\":\"team\"}");
        done(&b, "ChangeKey", "{\"name\":\"alice\",\"limits\":[\"5 tokens/day\"]}");
        o = expect(&b, "RotateKey", "{\"name\":\"alice\"}");
        (void)snprintf(secret, sizeof(secret), "%s", get_text(o, "secret"));
        json_object_put(o);
        done(&b, "RevokeKey", "{\"name\":\"alice\"}");
        done(&b, "RemoveGroup", "{\"name\":\"team\"}");
        expect_error(&b, "RemoveGroup", "{\"name\":\"team\"}", "NoSuchGroup", NULL);

        o = expect(&b, "QueryAudit", "{}");
        entries = get(o, "entries");
        assert_int_equal(json_object_array_length(entries), SG_N_ELEMENTS(verbs));
        for (size_t i = 0; i < SG_N_ELEMENTS(verbs); i++) {
                assert_string_equal(get_text(at(entries, i), "verb"), verbs[i]);
                assert_int_equal(get_int(at(entries, i), "uid"), geteuid());
                assert_int_equal(get_int(at(entries, i), "pid"), getpid());
        }
        change = at(entries, 3);
        assert_string_equal(get_text(change, "subject"), "key:alice");
        assert_null(get(change, "before.limits"));
        assert_string_equal(joined(get(change, "after.limits")), "5 tokens/day");
        assert_string_equal(get_text(change, "after.group"), "team");
        assert_null(get(at(entries, 0), "after"));
        assert_null(get(at(entries, 6), "before"));
        assert_null(strstr(json_object_get_string(o), "digest"));
        assert_null(strstr(json_object_get_string(o), secret + 10));
        json_object_put(o);

        o = expect(&b, "QueryAudit", "{\"subject\":\"key:*\",\"limit\":2}");
        assert_int_equal(json_object_array_length(get(o, "entries")), 2);
        assert_true(json_object_get_boolean(get(o, "is_limited")));
        json_object_put(o);
        o = expect(&b, "QueryAudit", "{\"to_wall_usec\":1000}");
        assert_int_equal(json_object_array_length(get(o, "entries")), 0);
        assert_false(json_object_get_boolean(get(o, "is_limited")));
        json_object_put(o);
        expect_error(&b, "QueryAudit", "{\"limit\":0}", "InvalidParameter", "limit");
        expect_error(&b, "QueryAudit", "{\"from_wall_usec\":-1}", "InvalidParameter", "from_wall_usec");
        bench_stop(&b);
}

/* The change and its entry are one: when there is no room for the entry, there is no change. */
static void test_what_cannot_be_audited_is_not_done(void **state)
{
        struct bench b;

        bench_start(&b, NULL);
        done(&b, "CreateKey", "{\"name\":\"alice\"}");
        done(&b, "CreateGroup", "{\"name\":\"team\"}");
        run_sql("CREATE TRIGGER t BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no more'); END");
        expect_error(&b, "CreateKey", "{\"name\":\"bob\"}", "DatabaseFailed", "Nothing was changed");
        expect_error(&b, "RevokeKey", "{\"name\":\"alice\"}", "DatabaseFailed", "Nothing was changed");
        expect_error(&b, "RemoveGroup", "{\"name\":\"team\"}", "DatabaseFailed", "Nothing was changed");
        expect_error(&b, "ImportKeys", "{\"keys\":[" RECORD("c", "01", "") "]}", "DatabaseFailed",
                     "Nothing was changed");
        run_sql("DROP TRIGGER t");
        expect_error(&b, "ShowKey", "{\"name\":\"bob\"}", "NoSuchKey", NULL);
        expect_error(&b, "ShowKey", "{\"name\":\"c\"}", "NoSuchKey", NULL);
        done(&b, "ChangeKey", "{\"name\":\"alice\",\"group\":\"team\"}");
        bench_stop(&b);
}

#define admin_test(f) cmocka_unit_test_setup_teardown(f, test_setup, test_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                admin_test(test_a_key_has_limits_and_a_group),
                admin_test(test_a_change_leaves_what_it_does_not_name),
                admin_test(test_bad_limits_and_groups_say_what_to_change),
                admin_test(test_arguments_of_ten_thousand_letters_are_refused),
                admin_test(test_keys_are_found_by_name_and_group_and_in_parts),
                admin_test(test_groups_are_a_tree_without_circles),
                admin_test(test_a_group_that_is_used_stays),
                admin_test(test_watchers_are_told_of_groups_before_their_keys),
                admin_test(test_two_thousand_groups_come_in_pages),
                admin_test(test_an_import_adds_keeps_or_replaces),
                admin_test(test_an_import_is_whole_or_not_at_all),
                admin_test(test_bad_records_say_what_is_wrong),
                admin_test(test_each_change_is_in_the_audit_log),
                admin_test(test_what_cannot_be_audited_is_not_done),
        };

        sg_log_set_level(SG_LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
