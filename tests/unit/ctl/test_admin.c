/* Keys with limits, groups, import and export, the audit, limits in use: what scribectl asks, shows and refuses. */
#include "played.h"

#include <sys/stat.h>

#define DIGEST "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define KEY                                                                                                            \
        "{\"id\":7,\"name\":\"alice\",\"prefix\":\"sk-Abcd\",\"state\":\"active\",\"models\":null,\"group\":\"team\"," \
        "\"limits\":[\"600 requests/minute\",\"20 usd/month\"],\"created_wall_usec\":1795244400000000,"                \
        "\"expires_wall_usec\":0,\"revoked_wall_usec\":0,\"rotated_wall_usec\":0}"
#define GROUP(name, parent, limits, keys)                                                                              \
        "{\"id\":1,\"name\":\"" name "\",\"parent\":" parent ",\"limits\":" limits ",\"keys\":" keys                   \
        ",\"created_wall_usec\":1795244400000000}"

static void key_answer(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        answer(call, parameters, owner,
               "{\"key\":" KEY ",\"secret\":\"sk-secret\",\"note\":\"limit '9 usd/day' is above \\u001b[1mthat of "
               "group team\"}");
}

static void show_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        answer(call, parameters, owner,
               "{\"key\":" KEY ",\"groups\":[" GROUP("team", "\"acme\"", "[\"8 concurrent\"]",
                                                     "1") "," GROUP("acme", "null", "[\"500 usd/month\"]", "0") "]}");
}

static void list_keys(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct world *w = owner;

        if (!sg_varlink_expect_more(call))
                return;
        if (sg_ctl_member(parameters, "name")) {
                answer(call, parameters, owner, "{\"keys\":[]}");
                return;
        }
        meet(w);
        sg_varlink_reply_more(call, json_tokener_parse("{\"keys\":[" KEY "," KEY "]}"));
        answer(call, parameters, owner,
               sg_ctl_member(parameters, "limit") ? "{\"keys\":[" KEY "],\"next_id\":8}" : "{\"keys\":[" KEY "]}");
}

static void export_keys(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct world *w = owner;
        bool fails;

        if (!sg_varlink_expect_more(call))
                return;
        meet(w);
        fails = w->upgrade_fails;
        meet(w);
        if (fails) {
                sg_varlink_fail_text(call, "io.scribe.Ledger.DatabaseFailed", "it is gone");
                return;
        }
        sg_varlink_reply_more(call, json_tokener_parse("{\"keys\":[{\"name\":\"a/b\",\"digest\":\"" DIGEST "\"}]}"));
        answer(call, parameters, owner, "{\"keys\":[{\"name\":\"c\",\"digest\":\"" DIGEST "\"}]}");
}

/* Takes what it is given; a key "bad" is refused. n_events counts keys, in the check and then. */
static void import_keys(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct json_object *keys = sg_ctl_member(parameters, "keys"), *o;
        struct world *w = owner;
        size_t n = json_object_array_length(keys);
        char text[128];

        meet(w);
        snprintf(w->asked, sizeof(w->asked), "check %d replace %d create_groups %d",
                 json_object_get_boolean(sg_ctl_member(parameters, "check")),
                 json_object_get_boolean(sg_ctl_member(parameters, "replace")),
                 json_object_get_boolean(sg_ctl_member(parameters, "create_groups")));
        for (size_t i = 0; i < n; i++) {
                if (strcmp(sg_ctl_text(json_object_array_get_idx(keys, i), "name"), "bad") != 0)
                        continue;
                o = json_object_new_object();
                json_object_object_add(o, "message", json_object_new_string("there is no group \"\033tean\""));
                json_object_object_add(o, "index", json_object_new_uint64(i));
                meet(w);
                sg_varlink_fail(call, "io.scribe.Ledger.BadImport", o);
                return;
        }
        w->n_events += (unsigned)n;
        meet(w);
        snprintf(text, sizeof(text), "{\"added\":%zu,\"replaced\":0,\"same\":0,\"groups\":0}", n);
        sg_varlink_reply(call, json_tokener_parse(text));
}

static void group_answer(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        answer(call, parameters, owner, "{\"group\":" GROUP("team", "\"acme\"", "[\"8 concurrent\"]", "12") "}");
}

static void show_group(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        answer(call, parameters, owner,
               "{\"group\":" GROUP("team", "\"acme\"", "null", "12") ",\"above\":[" GROUP(
                       "acme", "null", "[\"500 usd/month\",\"9 concurrent\"]",
                       "0") "],\"below\":[" GROUP("x", "\"team\"", "null", "3") "]}");
}

static void list_groups(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct world *w = owner;

        if (!sg_varlink_expect_more(call))
                return;
        meet(w);
        if (w->has_no_service) {
                answer(call, parameters, owner, "{\"groups\":[]}");
                return;
        }
        sg_varlink_reply_more(call, json_tokener_parse("{\"groups\":[" GROUP("zoo", "null", "null", "2") "," GROUP(
                                            "interns", "\"research\"", "[\"2 concurrent\"]", "3") "]}"));
        answer(call, parameters, owner,
               "{\"groups\":[" GROUP("research", "\"acme\"", "null", "12") "," GROUP(
                       "sales", "\"acme\"", "null", "1") "," GROUP("acme", "null", "[\"500 usd/month\"]", "0") "]}");
}

static void query_audit(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        answer(call, parameters, owner,
               "{\"is_limited\":true,\"entries\":["
               "{\"id\":3,\"wall_usec\":1795244400000000,\"uid\":1000,\"pid\":4711,\"user\":\"ann\",\"verb\":"
               "\"ChangeKey"
               "\",\"subject\":\"key:alice\",\"before\":{\"group\":null,\"limits\":[\"1 concurrent\"],"
               "\"expires_wall_usec\":0},\"after\":{\"group\":\"te\\u001bam\",\"limits\":[\"1 concurrent\"],"
               "\"expires_wall_usec\":1795244400000000}},"
               "{\"id\":2,\"wall_usec\":1795244400000000,\"uid\":1001,\"pid\":1,\"user\":\"\",\"verb\":\"RemoveGroup\","
               "\"subject\":\"group:x\",\"before\":{\"parent\":null},\"after\":null},"
               "{\"id\":1,\"wall_usec\":1795244400000000,\"uid\":0,\"pid\":1,\"user\":\"root\",\"verb\":"
               "\"CreateGroup\","
               "\"subject\":\"group:x\",\"before\":null,\"after\":{\"parent\":null,\"limits\":[\"8 concurrent\"]}}]}");
}

static void show_limits(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct world *w = owner;

        if (!sg_varlink_expect_more(call))
                return;
        meet(w);
        if (sg_ctl_text(parameters, "name")[0]) {
                answer(call, parameters, owner, "{\"limits\":[]}");
                return;
        }
        sg_varlink_reply_more(
                call,
                json_tokener_parse(
                        "{\"limits\":[{\"subject\":\"key\",\"name\":\"ali\\u001bce\",\"limit\":\"20 "
                        "usd/month warn=80%\",\"amount\":20000000,\"used\":5000001,\"reserved\":500001,\"remaining\":"
                        "14999999,\"reset_usec\":93600000000,\"alone\":false}]}"));
        answer(call, parameters, owner,
               w->upgrade_fails ? "{\"limits\":[{\"subject\":\"group\",\"name\":\"acme\",\"limit\":\"10000000 "
                                  "tokens/day\",\"amount\":10000000,"
                                  "\"used\":9999999,\"reserved\":0,\"remaining\":1,\"reset_usec\":0,\"granted\":1000,"
                                  "\"alone\":true,\"bound\":2500000}]}"
                                : "{\"limits\":[]}");
}

static const struct sg_varlink_method gateway_methods[] = {
        {"io.scribe.Gateway.ShowLimits", SG_VARLINK_VIEW, show_limits},
};
static const struct sg_varlink_method ledger_methods[] = {
        {"io.scribe.Ledger.CreateKey", SG_VARLINK_CHANGE, key_answer},
        {"io.scribe.Ledger.ChangeKey", SG_VARLINK_CHANGE, key_answer},
        {"io.scribe.Ledger.ShowKey", SG_VARLINK_VIEW, show_key},
        {"io.scribe.Ledger.ListKeys", SG_VARLINK_VIEW, list_keys},
        {"io.scribe.Ledger.ExportKeys", SG_VARLINK_CHANGE, export_keys},
        {"io.scribe.Ledger.ImportKeys", SG_VARLINK_CHANGE, import_keys},
        {"io.scribe.Ledger.CreateGroup", SG_VARLINK_CHANGE, group_answer},
        {"io.scribe.Ledger.ChangeGroup", SG_VARLINK_CHANGE, group_answer},
        {"io.scribe.Ledger.RemoveGroup", SG_VARLINK_CHANGE, group_answer},
        {"io.scribe.Ledger.ListGroups", SG_VARLINK_VIEW, list_groups},
        {"io.scribe.Ledger.ShowGroup", SG_VARLINK_VIEW, show_group},
        {"io.scribe.Ledger.QueryAudit", SG_VARLINK_VIEW, query_audit},
};

static int setup(void **state)
{
        return played_setup(state, gateway_methods, SG_N_ELEMENTS(gateway_methods), ledger_methods,
                            SG_N_ELEMENTS(ledger_methods));
}

/* ---- keys */

static void test_limits_are_asked_for_in_their_own_language(void **state)
{
        struct world *w = *state;

        assert_int_equal(ctl(w, "key create alice --group team --rpm 600 --tpm 200K --concurrency 8 "
                                "--budget 20usd/month --limit '5M tokens/day warn=80%'"),
                         0);
        assert_string_equal(w->asked, "{\"name\":\"alice\",\"limits\":[\"5M tokens\\/day warn=80%\",\"600 requests\\/"
                                      "minute\",\"200K tokens\\/minute\",\"8 concurrent\",\"20 usd\\/month\"],"
                                      "\"group\":\"team\"}");
        assert_has(w->out, "  group     team\n  limits    600 requests/minute\n            20 usd/month\n");
        assert_has(w->err, "limit '9 usd/day' is above \\x1b[1mthat of group team\n");
        assert_int_equal(ctl(w, "key create alice --budget '1.5K usd/month warn=80%' --quiet"), 0);
        assert_has(w->asked, "[\"1.5K usd\\/month warn=80%\"]");
        assert_string_equal(w->out, "sk-secret\n");
        assert_int_equal(ctl(w, "key create alice --budget 100MXN/day --rpm -5"), 0);
        assert_has(w->asked, "[\"-5 requests\\/minute\",\"100 MXN\\/day\"]");
        assert_int_equal(ctl(w, "key create alice --expires never"), 0);
        assert_string_equal(w->asked, "{\"name\":\"alice\"}");
        assert_int_equal(ctl(w, "key create alice --no-group"), 2);
}

static void test_a_change_names_only_what_changes(void **state)
{
        struct world *w = *state;

        assert_int_equal(ctl(w, "key change alice --no-limits --no-group --expires never --all-models"), 0);
        assert_string_equal(w->asked, "{\"name\":\"alice\",\"all_models\":true,\"expires_wall_usec\":0,\"limits\":[],"
                                      "\"group\":\"\"}");
        assert_null(strstr(w->out, "sk-secret"));
        assert_int_equal(ctl(w, "key change alice --models a,b --group team"), 0);
        assert_string_equal(w->asked, "{\"name\":\"alice\",\"models\":[\"a\",\"b\"],\"group\":\"team\"}");
        assert_int_equal(ctl(w, "key change alice"), 2);
        assert_has(w->err, "nothing to change was given");
        assert_int_equal(ctl(w, "key change alice --no-limits --rpm 5"), 2);
        assert_int_equal(ctl(w, "key change alice --no-group --group x"), 2);
        assert_int_equal(ctl(w, "key change alice --models x --all-models"), 2);
        w->may_change = false;
        assert_int_equal(ctl(w, "key change alice --rpm 5"), 4);
}

static void test_a_key_is_shown_with_what_limits_it(void **state)
{
        struct world *w = *state;

        assert_int_equal(ctl(w, "key show alice"), 0);
        assert_has(w->out, "  group     team, in acme\n"
                           "  limits    600 requests/minute\n"
                           "            20 usd/month\n"
                           "            of team: 8 concurrent\n"
                           "            of acme: 500 usd/month\n");
}

static void test_lists_come_page_by_page(void **state)
{
        struct world *w = *state;
        struct json_object *o;

        assert_int_equal(ctl(w, "key list --group team --limit 3 --from 2"), 0);
        assert_string_equal(w->asked, "{\"include_revoked\":false,\"group\":\"team\",\"limit\":3,\"from_id\":2}");
        assert_has(w->out, "name   state   secret      group  limits                             models  created   "
                           "           expires\n");
        assert_has(w->err, "there is more: go on with --from 8\n");
        assert_int_equal(ctl(w, "key list --limit 3 --json"), 0);
        o = json(w);
        assert_int_equal(json_object_array_length(sg_ctl_member(o, "keys")), 3);
        assert_int_equal(sg_ctl_u64(o, "next_id"), 8);
        json_object_put(o);
        assert_int_equal(ctl(w, "key list --name 'x*'"), 0);
        assert_string_equal(w->out, "there is no such key\n");
        assert_int_equal(ctl(w, "key list --name 'x*' --json"), 0);
        o = json(w);
        assert_int_equal(json_object_array_length(sg_ctl_member(o, "keys")), 0);
        json_object_put(o);
        assert_int_equal(ctl(w, "key list --limit 0"), 2);
        assert_int_equal(ctl(w, "key list --from x"), 2);
}

/* ---- export, import */

static void write_file(struct world *w, const char *name, const char *text)
{
        char path[160];
        FILE *f;

        snprintf(path, sizeof(path), "%s/%s", w->directory, name);
        f = fopen(path, "w");
        assert_non_null(f);
        fputs(text, f);
        assert_int_equal(fclose(f), 0);
}

static int ctl_file(struct world *w, const char *verb, const char *name, const char *options)
{
        char arguments[256];

        snprintf(arguments, sizeof(arguments), "%s %s/%s %s", verb, w->directory, name, options);
        return ctl(w, arguments);
}

static void test_an_export_is_there_whole_or_not_at_all(void **state)
{
        struct world *w = *state;
        char path[160], text[512];
        struct stat st;

        assert_int_equal(ctl(w, "key export"), 0);
        assert_string_equal(w->out, "{\"name\":\"a/b\",\"digest\":\"" DIGEST "\"}\n{\"name\":\"c\",\"digest\":\"" DIGEST
                                    "\"}\n");
        write_file(w, "keys", "of yesterday\n");
        w->upgrade_fails = true;
        assert_int_equal(ctl_file(w, "key export", "keys", ""), 1);
        snprintf(path, sizeof(path), "%s/keys", w->directory);
        slurp(path, text, sizeof(text));
        assert_string_equal(text, "of yesterday\n");
        w->upgrade_fails = false;
        assert_int_equal(ctl_file(w, "key export", "keys", ""), 0);
        assert_string_equal(w->out, "2 keys exported\n");
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        slurp(path, text, sizeof(text));
        assert_has(text, "{\"name\":\"c\",\"digest\":\"" DIGEST "\"}\n");
        assert_int_equal(ctl_file(w, "key export", "no/such/directory", ""), 1);
        assert_int_equal(ctl(w, "key export /dev/null"), 1);
        assert_has(w->err, "is no file that could be replaced");
        w->may_change = false;
        assert_int_equal(ctl_file(w, "key export", "keys", ""), 4);
}

static void test_an_import_checks_all_before_the_first_goes_in(void **state)
{
        struct world *w = *state;
        char path[160];
        FILE *f;

        snprintf(path, sizeof(path), "%s/keys", w->directory);
        f = fopen(path, "w");
        assert_non_null(f);
        for (unsigned i = 0; i < 2500; i++)
                fprintf(f, "{\"name\":\"k%u\",\"digest\":\"" DIGEST "\",\"prefix\":\"sk-Abcd\"}\n%s", i,
                        i % 9 ? "" : "\n");
        fclose(f);
        assert_int_equal(ctl_file(w, "key import", "keys", "--replace --create-groups"), 0);
        assert_string_equal(w->out, "2500 added, 0 replaced, 0 there already, 0 groups made\n");
        assert_string_equal(w->asked, "check 0 replace 1 create_groups 1");
        assert_int_equal(w->n_events, 5000);

        f = fopen(path, "a");
        assert_non_null(f);
        fputs("{\"name\":\"bad\"}", f); /* without a line end */
        fclose(f);
        w->n_events = 0;
        assert_int_equal(ctl_file(w, "key import", "keys", ""), 1);
        assert_has(w->err, "/keys:2779: there is no group \"\\x1btean\"\n");
        assert_has(w->err, "nothing was imported\n");
        assert_string_equal(w->asked, "check 1 replace 0 create_groups 0");
        unlink(path);
}

static void test_lines_that_are_no_keys_are_named(void **state)
{
        static const struct {
                const char *text, *told;
        } cases[] = {
                {"\n[1]\n", "/bad:2: is no JSON object"},
                {"{\"name\":\"a\"} x\n", "/bad:1: is no JSON object"},
                {"{\"name\":\"a\"\n", "/bad:1: is no JSON object"},
                {"{\"name\":\"a\xff\"}\n", "/bad:1: is no JSON object"},
                {"{'name':'a'}\n", "/bad:1: is no JSON object"},
                {"{\"name\":\"a\"}\n{\"name\":\"b\"}\n{\"name\":\"a\"}\n",
                 "/bad:3: the name \"a\" stands in line 1, too"},
        };
        struct world *w = *state;
        char path[160];
        FILE *f;

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                write_file(w, "bad", cases[i].text);
                assert_int_equal(ctl_file(w, "key import", "bad", ""), 1);
                assert_has(w->err, cases[i].told);
                assert_has(w->err, "nothing was imported");
        }
        snprintf(path, sizeof(path), "%s/bad", w->directory);
        f = fopen(path, "w");
        assert_non_null(f);
        fprintf(f, "{\"name\":\"%0200000d\"}\n", 1);
        fclose(f);
        assert_int_equal(ctl_file(w, "key import", "bad", ""), 1);
        assert_has(w->err, "/bad:1: is too long for a key");
        unlink(path);
        assert_int_equal(ctl_file(w, "key import", "bad", ""), 1);
        assert_has(w->err, "No such file");
        assert_int_equal(ctl(w, "key import /dev/null"), 1);
        assert_has(w->err, "is no file; it is read twice");
}

/* ---- groups */

static void test_groups_are_made_and_changed(void **state)
{
        struct world *w = *state;

        assert_int_equal(ctl(w, "group create team --parent acme --concurrency 8"), 0);
        assert_string_equal(w->asked, "{\"name\":\"team\",\"limits\":[\"8 concurrent\"],\"parent\":\"acme\"}");
        assert_string_equal(w->out, "group team\n  parent    acme\n  limits    8 concurrent\n  keys      12\n"
                                    "  created   2026-11-21 07:00:00\n");
        assert_int_equal(ctl(w, "group change team --no-parent --no-limits"), 0);
        assert_string_equal(w->asked, "{\"name\":\"team\",\"limits\":[],\"parent\":\"\"}");
        assert_int_equal(ctl(w, "group change team"), 2);
        assert_int_equal(ctl(w, "group remove team"), 0);
        assert_string_equal(w->out, "group team is removed\n");
        assert_int_equal(ctl(w, "group show team"), 0);
        assert_has(w->out, "  limits    none of its own\n");
        assert_has(w->out, "  above     acme: 500 usd/month, 9 concurrent\n  below     x\n");
        w->may_change = false;
        assert_int_equal(ctl(w, "group create team"), 4);
        assert_int_equal(ctl(w, "group show team"), 0);
}

static void test_groups_are_listed_as_a_tree(void **state)
{
        struct world *w = *state;

        assert_int_equal(ctl(w, "group list"), 0);
        assert_string_equal(w->out, "name         keys  limits\n"
                                    "acme            0  500 usd/month\n"
                                    "  research     12  -\n"
                                    "    interns     3  2 concurrent\n"
                                    "  sales         1  -\n"
                                    "zoo             2  -\n");
        assert_int_equal(ctl(w, "group list --quiet"), 0);
        assert_string_equal(w->out, "zoo\ninterns\nresearch\nsales\nacme\n");
        w->has_no_service = true;
        assert_int_equal(ctl(w, "group list"), 0);
        assert_has(w->out, "scribectl group create NAME");
}

/* ---- audit, limits */

static void test_the_audit_says_who_changed_what(void **state)
{
        struct world *w = *state;

        assert_int_equal(ctl(w, "audit --subject 'key:*' --since 2026-11-21T07:00:00Z -n 3"), 0);
        assert_string_equal(w->asked, "{\"limit\":3,\"from_wall_usec\":1795244400000000,\"subject\":\"key:*\"}");
        assert_has(w->out,
                   "ann   4711  ChangeKey    key:alice  group: none -> te\\x1bam; expires: - -> 2026-11-21 07:00:00\n");
        assert_has(w->out, "1001  1     RemoveGroup  group:x    removed\n");
        assert_has(w->out, "root  1     CreateGroup  group:x    limits: 8 concurrent\n");
        assert_has(w->err, "there is more");
        assert_int_equal(ctl(w, "audit --since yesterdy"), 2);
        assert_int_equal(ctl(w, "audit -n 0"), 2);
        assert_int_equal(ctl(w, "audit"), 0);
        assert_string_equal(w->asked, "{\"limit\":50}");
}

static void test_limits_in_use(void **state)
{
        struct world *w = *state;

        assert_int_equal(ctl(w, "limits show"), 0);
        assert_has(w->out,
                   "of   name       limit                  part          used      reserved           left  resets\n"
                   "key  ali\\x1bce  20 usd/month warn=80%   25%  5.000001 usd  0.500001 usd  14.999999 usd  in 1 d 2 "
                   "h\n");
        assert_null(strstr(w->out, "Redis"));
        w->upgrade_fails = true;
        assert_int_equal(ctl(w, "limits show"), 0);
        assert_has(w->out,
                   "group  acme       10000000 tokens/day     99%          9.9M             0              1  -  "
                   "            1000   2.5M\n");
        assert_has(w->out, "Redis does not answer: this node goes on by itself.");
        assert_int_equal(ctl(w, "limits show qwen:7b"), 0);
        assert_string_equal(w->asked, "{\"name\":\"qwen:7b\"}");
        assert_int_equal(ctl(w, "limits show model:qwen:7b"), 0);
        assert_string_equal(w->asked, "{\"subject\":\"model\",\"name\":\"qwen:7b\"}");
        assert_has(w->out, "nothing of that name");
}

#define admin_test(f) cmocka_unit_test_setup_teardown(f, setup, played_teardown)

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                admin_test(test_limits_are_asked_for_in_their_own_language),
                admin_test(test_a_change_names_only_what_changes),
                admin_test(test_a_key_is_shown_with_what_limits_it),
                admin_test(test_lists_come_page_by_page),
                admin_test(test_an_export_is_there_whole_or_not_at_all),
                admin_test(test_an_import_checks_all_before_the_first_goes_in),
                admin_test(test_lines_that_are_no_keys_are_named),
                admin_test(test_groups_are_made_and_changed),
                admin_test(test_groups_are_listed_as_a_tree),
                admin_test(test_the_audit_says_who_changed_what),
                admin_test(test_limits_in_use),
        };

        if (argc != 2) {
                fprintf(stderr, "usage: test_admin PATH-OF-SCRIBECTL\n");
                return 2;
        }
        program = argv[1];
        return cmocka_run_group_tests(tests, NULL, NULL);
}
