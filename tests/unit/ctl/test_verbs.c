/* scribectl as a process against gateway and ledger played by the test: what is asked, shown, and the exit status. */
#include "played.h"

#define KEY                                                                                                            \
        "{\"id\":1,\"name\":\"alice\",\"prefix\":\"sk-Abcdef\",\"state\":\"active\",\"models\":[\"gpt-*\","            \
        "\"evil\\u001b[2J\"],"                                                                                         \
        "\"created_wall_usec\":1795244400000000,\"expires_wall_usec\":0,\"revoked_wall_usec\":0,\"rotated_wall_"       \
        "usec\":0}"
#define SECRET "sk-AbcdefGhijklmnopqrstuvwxyz0123456789"

static void get_status(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        answer(call, parameters, owner,
               "{\"version\":\"9.8.7\",\"pid\":4711,\"started_wall_usec\":1795244400000000,\"uptime_usec\":90000000000,"
               "\"state\":\"running\",\"status_text\":\"running\",\"config\":{\"number\":3,\"directory\":\"/etc/x\","
               "\"read_wall_usec\":1795244400000000},\"workers\":[{\"name\":\"worker0\",\"connections\":12,"
               "\"exchanges\":3,"
               "\"idle_upstreams\":1,\"busy_upstreams\":2,\"turns\":99}],\"exchanges\":{\"n_open\":3,\"n_total\":1042,"
               "\"n_streams\":7,\"by_status\":{\"2xx\":1000,\"3xx\":0,\"5xx\":42}},\"counters\":{\"recorded\":1042,"
               "\"unknown_model\":5,\"input_tokens\":10},\"keys\":{\"state\":\"current\",\"n_keys\":2,\"version\":8,"
               "\"changed_wall_usec\":1795244400000000},\"journal\":[{\"id\":\"r\",\"bytes\":1048576,\"used_bytes\":"
               "1536,"
               "\"n_open\":3,\"written\":9,\"synced\":7,\"drained\":5}],\"memory\":{\"bodies_bytes\":0,"
               "\"bodies_bytes_max\":536870912},\"log\":{\"level\":\"info\",\"sink\":\"journal\",\"n_lost\":0},"
               "\"listeners\":[{\"name\":\"http\",\"address\":\"127.0.0.1:8000\",\"n_accepted\":44}]}");
}

static void reload(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        answer(call, parameters, owner, "{\"number\":4,\"changes_need_restart\":\"gateway.workers\"}");
}

static void check_config(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        answer(call, parameters, owner, "{\"ok\":false,\"where\":\"gateway.conf:7\",\"text\":\"no such setting\"}");
}

static void set_level(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        answer(call, parameters, owner, "{\"level\":\"debug\"}");
}

static void upgrade(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct world *w = owner;

        meet(w);
        if (w->upgrade_fails)
                sg_varlink_fail(call, "io.scribe.Gateway.UpgradeFailed",
                                json_tokener_parse("{\"where\":\"/usr/bin/scribe-gateway\",\"text\":\"it ended with "
                                                   "status 78\"}"));
        else
                answer(call, parameters, owner,
                       "{\"old_pid\":4711,\"new_pid\":4712,\"version\":\"9.9.0\",\"n_open\":2}");
}

#define ENDPOINT(name, state, n_open, why)                                                                             \
        "{\"service\":\"query\",\"endpoint\":\"http://10.0.0." name ":80\",\"weight\":1,\"state\":\"" state "\","      \
        "\"state_for_usec\":63000000,\"n_open\":" n_open ",\"n_asked\":1200,\"n_failed\":5,\"why\":\"" why "\"}"

static void list_upstreams(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct world *w = owner;

        meet(w);
        if (!sg_varlink_expect_more(call))
                return;
        if (w->has_no_service) {
                answer(call, parameters, owner, "{\"endpoints\":[]}");
                return;
        }
        sg_varlink_reply_more(call, json_tokener_parse("{\"endpoints\":[" ENDPOINT("7", "up", "3", "") "," ENDPOINT(
                                            "8", "tripped", "0", "5 failures in a row, last: \\u001b[2J") "]}"));
        answer(call, parameters, owner, "{\"endpoints\":[]}");
}

#define LANE(kind, name, state, rests, daily, why)                                                                     \
        "{\"kind\":\"" kind "\",\"provider\":\"openai\",\"name\":\"" name "\",\"state\":\"" state                      \
        "\",\"rests_usec\":" rests ",\"n_open\":2,\"n_asked\":40,\"n_failed\":1,\"latency_usec\":" daily               \
        "500,\"used_tokens\":7,\"daily_tokens\":" daily ",\"why\":\"" why "\"}"

static void list_lanes(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct world *w = owner;

        meet(w);
        if (!sg_varlink_expect_more(call))
                return;
        if (w->has_no_service) {
                answer(call, parameters, owner, "{\"lanes\":[]}");
                return;
        }
        sg_varlink_reply_more(
                call, json_tokener_parse("{\"lanes\":[" LANE("lane", "openai/gpt-4o", "up", "0", "0", "") "]}"));
        answer(call, parameters, owner,
               "{\"lanes\":[" LANE("credential", "b", "spent", "63000000", "1000", "has used") "]}");
}

static void drain_lane(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        answer(call, parameters, owner,
               sg_ctl_member(parameters, "credential")
                       ? "{\"lane\":" LANE("credential", "b", "drained", "0", "0", "by an admin") ",\"changed\":true}"
                       : "{\"lane\":" LANE("lane", "openai/gpt-4o", "drained", "0", "0", "x") ",\"changed\":false}");
}

static void drain_upstream(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        if (strcmp(sg_ctl_text(parameters, "service"), "query") == 0)
                answer(call, parameters, owner,
                       "{\"endpoint\":" ENDPOINT("7", "drained", "1",
                                                 "by an admin") ",\"changed\":true,\"usable\":false}");
        else
                sg_varlink_fail_text(call, "io.scribe.Gateway.NoSuchService",
                                     "there is no service \"quary\"; did you mean 'query'?");
}

static void enable_upstream(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        answer(call, parameters, owner,
               "{\"endpoint\":" ENDPOINT("7", "down", "0", "status 503") ",\"changed\":false,\"usable\":true}");
}

static void reject(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        sg_varlink_fail(call, "io.scribe.Gateway.ConfigRejected",
                        json_tokener_parse("{\"where\":\"gateway.conf:7\",\"text\":\"no such setting\"}"));
}

static void create_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        answer(call, parameters, owner, "{\"key\":" KEY ",\"secret\":\"" SECRET "\"}");
}

static void show_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        if (strcmp(sg_ctl_text(parameters, "name"), "alice") == 0)
                answer(call, parameters, owner, "{\"key\":" KEY "}");
        else
                sg_varlink_fail_text(call, "io.scribe.Ledger.NoSuchKey", "there is no key \"bob\"");
}

static void list_keys(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        if (!sg_varlink_expect_more(call))
                return;
        sg_varlink_reply_more(call, json_tokener_parse("{\"keys\":[" KEY "]}"));
        sg_varlink_reply_more(call, json_tokener_parse("{\"keys\":[" KEY "," KEY "]}"));
        answer(call, parameters, owner, "{\"keys\":[]}");
}

/* Event n began at microsecond 1000 + n / 3: always three at once. Newest first. */
static void reply_events(struct world *w, struct sg_varlink_call *call, struct json_object *parameters)
{
        uint64_t to = sg_ctl_u64(parameters, "to_wall_usec"), limit = sg_ctl_u64(parameters, "limit"), n = 0;
        struct json_object *o = json_object_new_object(), *events = json_object_new_array();
        unsigned i = w->n_events;

        meet(w); /* it has been read */
        assert_in_range(limit, 1, 1000);
        for (; i > 0 && n < limit; i--) {
                uint64_t at = 1000 + i / 3;
                struct json_object *event;

                if (to && at >= to)
                        continue;
                event = json_object_new_object();
                json_object_object_add(event, "id", json_object_new_uint64(i));
                json_object_object_add(event, "start_wall_usec", json_object_new_uint64(at));
                json_object_array_add(events, event);
                n++;
        }
        json_object_object_add(o, "rows", json_object_new_array());
        json_object_object_add(o, "events", events);
        json_object_object_add(o, "is_limited", json_object_new_boolean(i > 0));
        sg_varlink_reply(call, o);
}

static void query_usage(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        if (sg_ctl_member(parameters, "requests"))
                reply_events(owner, call, parameters);
        else
                answer(call, parameters, owner,
                       "{\"rows\":[{\"group\":\"alice\",\"requests\":10,\"failed\":1,\"truncated\":1,\"cut_off\":0,"
                       "\"measured\":9,\"partial\":0,\"estimated\":1,\"input_tokens\":100,\"output_tokens\":50,"
                       "\"cached_tokens\":20},{\"group\":\"b\\u001b[31m\",\"requests\":1,\"input_tokens\":7,"
                       "\"output_tokens\":3}],\"events\":[],\"is_limited\":true}");
}

static const struct sg_varlink_method gateway_methods[] = {
        {"io.scribe.Gateway.GetStatus", SG_VARLINK_VIEW, get_status},
        {"io.scribe.Gateway.Reload", SG_VARLINK_CHANGE, reload},
        {"io.scribe.Gateway.Upgrade", SG_VARLINK_CHANGE, upgrade},
        {"io.scribe.Gateway.CheckConfig", SG_VARLINK_VIEW, check_config},
        {"io.scribe.Gateway.GetConfig", SG_VARLINK_VIEW, reject},
        {"io.scribe.Gateway.SetLogLevel", SG_VARLINK_VIEW, set_level},
        {"io.scribe.Gateway.GetLogLevel", SG_VARLINK_VIEW, set_level},
        {"io.scribe.Gateway.ListUpstreams", SG_VARLINK_VIEW, list_upstreams},
        {"io.scribe.Gateway.DrainUpstream", SG_VARLINK_CHANGE, drain_upstream},
        {"io.scribe.Gateway.EnableUpstream", SG_VARLINK_CHANGE, enable_upstream},
        {"io.scribe.Gateway.ListLanes", SG_VARLINK_VIEW, list_lanes},
        {"io.scribe.Gateway.DrainLane", SG_VARLINK_CHANGE, drain_lane},
        {"io.scribe.Gateway.EnableLane", SG_VARLINK_CHANGE, drain_lane},
};
static const struct sg_varlink_method ledger_methods[] = {
        {"io.scribe.Ledger.CreateKey", SG_VARLINK_CHANGE, create_key},
        {"io.scribe.Ledger.ShowKey", SG_VARLINK_VIEW, show_key},
        {"io.scribe.Ledger.ListKeys", SG_VARLINK_VIEW, list_keys},
        {"io.scribe.Ledger.QueryUsage", SG_VARLINK_VIEW, query_usage},
};

static int setup(void **state)
{
        return played_setup(state, gateway_methods, SG_N_ELEMENTS(gateway_methods), ledger_methods,
                            SG_N_ELEMENTS(ledger_methods));
}

static void test_status_for_people_and_programs(void **state)
{
        struct world *w = *state;
        struct json_object *o;

        assert_int_equal(ctl(w, "status"), 0);
        assert_has(w->out, "scribe-gateway 9.8.7: running\n");
        assert_has(w->out, "4711, up 1 d 1 h, since 2026-11-21 07:00:00\n");
        assert_has(w->out, "3 open, 1042 in all (2xx 1000, 5xx 42), 7 streamed\n");
        assert_has(w->out, "unknown_model 5\n");
        assert_has(w->out, "1.5 KiB of 1 MiB used in 1 rings, 3 exchanges open, 2 records not yet on disk\n");
        assert_has(w->out, "worker0           12          3               1               2     99\n");
        assert_int_equal(ctl(w, "--json status"), 0);
        o = json(w);
        assert_int_equal(sg_ctl_u64(o, "pid"), 4711);
        json_object_put(o);
}

static void test_create_shows_the_secret_once(void **state)
{
        struct world *w = *state;
        struct json_object *o;

        assert_int_equal(ctl(w, "key create alice --models 'gpt-*, x' --expires 2099-01-01T00:00:00Z"), 0);
        assert_string_equal(w->asked,
                            "{\"name\":\"alice\",\"models\":[\"gpt-*\",\"x\"],\"expires_wall_usec\":4070908800000000}");
        assert_has(w->out, "\n" SECRET "  (shown once; store it now)\n");
        assert_has(w->out, "models    gpt-*, evil\\x1b[2J\n");
        assert_int_equal(ctl(w, "key create alice --quiet"), 0);
        assert_string_equal(w->asked, "{\"name\":\"alice\"}");
        assert_string_equal(w->out, SECRET "\n");
        assert_int_equal(ctl(w, "key create alice --json"), 0);
        o = json(w);
        assert_string_equal(sg_ctl_text(o, "secret"), SECRET);
        assert_string_equal(sg_ctl_text(sg_ctl_member(o, "key"), "name"), "alice");
        json_object_put(o);
        assert_int_equal(ctl(w, "key create alice --expires 2001-01-01"), 2);
        assert_int_equal(ctl(w, "key create alice --expires soon"), 2);
}

static void test_lists_are_put_together(void **state)
{
        struct world *w = *state;
        struct json_object *o;

        assert_int_equal(ctl(w, "key list --all"), 0);
        assert_string_equal(w->asked, "{\"include_revoked\":true}");
        assert_has(w->out,
                   "name   state   secret        group  limits  models              created              expires\n"
                   "alice  active  sk-Abcdef...  -      -       gpt-*, evil\\x1b[2J  2026-11-21 07:00:00  "
                   "never\n");
        assert_int_equal(ctl(w, "key list --json"), 0);
        o = json(w);
        assert_int_equal(json_object_array_length(sg_ctl_member(o, "keys")), 3);
        json_object_put(o);
        assert_int_equal(ctl(w, "key list --quiet"), 0);
        assert_string_equal(w->out, "alice\nalice\nalice\n");
}

static void test_exit_statuses_tell_the_kind_of_failure(void **state)
{
        struct world *w = *state;

        assert_int_equal(ctl(w, "key show alice"), 0);
        assert_int_equal(ctl(w, "key show bob"), 5);
        assert_has(w->err, "there is no key \"bob\"");
        assert_int_equal(ctl(w, "config show"), 1);
        assert_has(w->err, "gateway.conf:7: no such setting");
        assert_int_equal(ctl(w, "key revoke alice"), 1); /* this ledger does not know that */
        assert_has(w->err, "another version");
        w->may_change = false;
        assert_int_equal(ctl(w, "reload"), 4);
        assert_has(w->err, "root, or a user named in [control] admins");
        assert_int_equal(ctl(w, "nonsense"), 2);
        assert_int_equal(ctl(w, ""), 2);
        assert_int_equal(ctl(w, "status --control /nowhere/at.all"), 3);
        assert_has(w->err, "/nowhere/at.all: is it running? systemctl status scribe-gateway");
        assert_int_equal(ctl(w, "key list --ledger /nowhere/at.all"), 3);
        assert_has(w->err, "systemctl status scribe-ledger");
        assert_int_equal(ctl(w, "status >/dev/full; exit $?"), 1);
}

static void test_reload_and_check_and_level(void **state)
{
        struct world *w = *state;

        assert_int_equal(ctl(w, "reload"), 0);
        assert_string_equal(w->out,
                            "configuration 4 is in force\n"
                            "but a change of gateway.workers needs a restart: systemctl restart scribe-gateway\n");
        assert_int_equal(ctl(w, "config check"), 1);
        assert_string_equal(w->err, "gateway.conf:7: no such setting\n");
        assert_int_equal(ctl(w, "log-level debug"), 0);
        assert_string_equal(w->out, "debug\n");
        assert_string_equal(w->asked, "{\"level\":\"debug\"}");
        assert_int_equal(ctl(w, "log-level loud"), 2);
        assert_int_equal(ctl(w, "version"), 0);
        assert_has(w->out, "scribe-gateway  9.8.7\n");
}

static void test_usage_sums_have_a_total(void **state)
{
        struct world *w = *state;

        assert_int_equal(ctl(w, "usage --by key --since 2026-11-01 --until 2026-12-01 --key alice --model m --limit 5"),
                         0);
        assert_string_equal(w->asked, "{\"from_wall_usec\":1793491200000000,\"to_wall_usec\":1796083200000000,"
                                      "\"key\":\"alice\",\"model\":\"m\",\"limit\":5,\"by\":\"key\"}");
        assert_string_equal(w->out, "key        requests  input  output  cached  total  estimated  failed\n"
                                    "alice            10    100      50      20    150      10.0%       2\n"
                                    "b\\x1b[31m         1      7       3       0     10          -       0\n"
                                    "total            11    107      53      20    160       9.1%       2\n");
        assert_has(w->err, "there is more");
        assert_int_equal(ctl(w, "usage --requests --by key"), 2);
        assert_int_equal(ctl(w, "usage --limit 0"), 2);
        assert_int_equal(ctl(w, "usage --since never"), 2);
}

static void test_requests_come_page_by_page_and_once_each(void **state)
{
        static const unsigned counts[] = {0, 1, 999, 1000, 1001, 2500};
        struct world *w = *state;

        for (size_t i = 0; i < SG_N_ELEMENTS(counts); i++) {
                char path[128], arguments[256];
                struct json_object *o, *events;

                w->n_events = counts[i];
                snprintf(path, sizeof(path), "%s/json", w->directory);
                snprintf(arguments, sizeof(arguments), "usage --requests --limit 10000 --json | tee %s", path);
                assert_int_equal(ctl(w, arguments), 0);
                o = json_object_from_file(path);
                unlink(path);
                events = sg_ctl_member(o, "events");
                assert_int_equal(json_object_array_length(events), counts[i]);
                for (unsigned k = 0; k < counts[i]; k++)
                        assert_int_equal(sg_ctl_u64(json_object_array_get_idx(events, k), "id"), counts[i] - k);
                assert_false(json_object_get_boolean(sg_ctl_member(o, "is_limited")));
                json_object_put(o);
        }
        assert_int_equal(ctl(w, "usage --requests --limit 3"), 0);
        assert_has(w->err, "there is more");
}

static void test_upgrade_tells_old_and_new(void **state)
{
        struct world *w = *state;
        struct json_object *o;

        assert_int_equal(ctl(w, "upgrade"), 0);
        assert_string_equal(w->out, "upgraded: process 4711 (9.8.7) \xe2\x86\x92 4712 (9.9.0); "
                                    "2 exchanges are finished by the old one\n");
        setenv("LC_ALL", "C", 1);
        assert_int_equal(ctl(w, "upgrade"), 0);
        assert_has(w->out, "process 4711 (9.8.7) -> 4712 (9.9.0)");
        setenv("LC_ALL", "C.UTF-8", 1);
        assert_int_equal(ctl(w, "upgrade --json"), 0);
        o = json(w);
        assert_int_equal(sg_ctl_u64(o, "new_pid"), 4712);
        assert_string_equal(sg_ctl_text(o, "old_version"), "9.8.7");
        json_object_put(o);
        assert_int_equal(ctl(w, "upgrade --quiet"), 0);
        assert_string_equal(w->out, "");
        w->upgrade_fails = true;
        assert_int_equal(ctl(w, "upgrade"), 1);
        assert_string_equal(w->out, "");
        assert_string_equal(w->err, "scribectl: not upgraded, the old process goes on undisturbed: /usr/bin/scribe-"
                                    "gateway: it ended with status 78\n");
        w->may_change = false;
        assert_int_equal(ctl(w, "upgrade"), 4);
}

static void test_upstreams(void **state)
{
        struct world *w = *state;
        struct json_object *o;

        assert_int_equal(ctl(w, "upstream list"), 0);
        assert_string_equal(w->asked, "{}");
        assert_string_equal(
                w->out,
                "service  endpoint            weight  state    for        open  asked  failed  why\n"
                "query    http://10.0.0.7:80       1  up       1 min 3 s     3   1200       5  \n"
                "query    http://10.0.0.8:80       1  tripped  1 min 3 s     0   1200       5  5 failures in a row, "
                "last: \\x1b[2J\n"
                "\n"
                "lane or credential   state  for        first byte  open  asked  failed     tokens  why\n"
                "openai/gpt-4o        up                      1 ms     2     40       1             \n"
                "openai credential b  spent  1 min 3 s     1001 ms     2     40       1  7 of 1000  has used\n");
        assert_int_equal(ctl(w, "upstream list --json"), 0);
        o = json(w);
        assert_int_equal(json_object_array_length(sg_ctl_member(o, "endpoints")), 2);
        assert_int_equal(json_object_array_length(sg_ctl_member(o, "lanes")), 2);
        json_object_put(o);
        assert_int_equal(ctl(w, "upstream list query --json"), 0);
        assert_string_equal(w->asked, "{\"service\":\"query\"}");
        o = json(w);
        assert_int_equal(json_object_array_length(sg_ctl_member(o, "endpoints")), 2);
        assert_null(sg_ctl_member(o, "lanes"));
        json_object_put(o);
        assert_int_equal(ctl(w, "upstream list --quiet"), 0);
        assert_string_equal(w->out, "query\n");
        assert_int_equal(ctl(w, "upstream list query --quiet"), 0);
        assert_string_equal(w->out, "http://10.0.0.7:80\nhttp://10.0.0.8:80\n");
        w->has_no_service = true;
        assert_int_equal(ctl(w, "upstream list"), 0);
        assert_string_equal(w->out, "there is no service: the configuration has no [service] section\n");
}

static void test_upstream_drain_and_enable(void **state)
{
        struct world *w = *state;
        struct json_object *o;

        assert_int_equal(ctl(w, "upstream drain query 10.0.0.7"), 0);
        assert_string_equal(w->asked, "{\"service\":\"query\",\"endpoint\":\"10.0.0.7\"}");
        assert_string_equal(w->out, "endpoint http://10.0.0.7:80 of service query is drained; 1 exchange is still open "
                                    "there\n"
                                    "no other endpoint of the service can be asked now: its clients get 503\n");
        assert_int_equal(ctl(w, "upstream drain quary x"), 5);
        assert_has(w->err, "did you mean 'query'?");
        assert_int_equal(ctl(w, "upstream drain"), 2);
        assert_int_equal(ctl(w, "upstream drain openai with b"), 2);
        assert_string_equal(w->err, "scribectl: a credential is named by: PROVIDER credential NAME\n");
        assert_int_equal(ctl(w, "upstream drain openai/gpt-4o"), 0);
        assert_string_equal(w->asked, "{\"name\":\"openai\\/gpt-4o\"}");
        assert_string_equal(w->out, "lane openai/gpt-4o was drained already; 2 exchanges are still open there\n");
        assert_int_equal(ctl(w, "upstream drain openai credential b"), 0);
        assert_string_equal(w->asked, "{\"name\":\"openai\",\"credential\":\"b\"}");
        assert_string_equal(w->out, "credential b of provider openai is drained; 2 exchanges are still open there\n");
        assert_int_equal(ctl(w, "upstream enable openai credential b"), 0);
        assert_string_equal(w->out, "credential b of provider openai is enabled, but it is drained: by an admin\n");
        assert_int_equal(ctl(w, "upstream enable query 10.0.0.7:80"), 0);
        assert_string_equal(w->out, "endpoint http://10.0.0.7:80 of service query was enabled already, but it is down: "
                                    "status 503\n");
        assert_int_equal(ctl(w, "upstream enable query 10.0.0.7:80 --quiet"), 0);
        assert_string_equal(w->out, "");
        assert_int_equal(ctl(w, "upstream enable query 10.0.0.7:80 --json"), 0);
        o = json(w);
        assert_false(json_object_get_boolean(sg_ctl_member(o, "changed")));
        json_object_put(o);
        w->may_change = false;
        assert_int_equal(ctl(w, "upstream drain query 10.0.0.7"), 4);
}

#define verb_test(f) cmocka_unit_test_setup_teardown(f, setup, played_teardown)

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                verb_test(test_status_for_people_and_programs),
                verb_test(test_create_shows_the_secret_once),
                verb_test(test_lists_are_put_together),
                verb_test(test_exit_statuses_tell_the_kind_of_failure),
                verb_test(test_reload_and_check_and_level),
                verb_test(test_usage_sums_have_a_total),
                verb_test(test_requests_come_page_by_page_and_once_each),
                verb_test(test_upgrade_tells_old_and_new),
                verb_test(test_upstreams),
                verb_test(test_upstream_drain_and_enable),
        };

        if (argc != 2) {
                fprintf(stderr, "usage: test_verbs PATH-OF-SCRIBECTL\n");
                return 2;
        }
        program = argv[1];
        return cmocka_run_group_tests(tests, NULL, NULL);
}
