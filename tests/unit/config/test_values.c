/* Units, the table of settings, and each kind of value into its field. */
#include "config_test.h"

#include <sched.h>

#include "base/limits.h"
#include "config/render.h"
#include "config/units.h"

static void test_durations(void **state)
{
        static const struct {
                const char *text;
                uint64_t usec;
        } good[] = {
                {"0s", 0},          {"1us", 1},          {"250ms", 250000},
                {"90s", 90000000},  {"5m", 300000000},   {"5 min", 300000000},
                {"2h", 7200000000}, {"1d", 86400000000}, {"007S", 7000000},
        };
        static const struct {
                const char *text;
                int e;
        } bad[] = {
                {"90", SG_UNITS_E_NO_UNIT},       {"", SG_UNITS_E_SYNTAX},
                {"s", SG_UNITS_E_SYNTAX},         {"-1s", SG_UNITS_E_SYNTAX},
                {"1.5s", SG_UNITS_E_UNIT},        {"5 parsecs", SG_UNITS_E_UNIT},
                {"1h30m", SG_UNITS_E_UNIT},       {"99999999999999999999s", SG_UNITS_E_RANGE},
                {"300000000d", SG_UNITS_E_RANGE},
        };
        uint64_t usec;

        for (size_t i = 0; i < SG_N_ELEMENTS(good); i++) {
                assert_int_equal(sg_units_duration(sg_str_from(good[i].text), &usec), 0);
                assert_int_equal(usec, good[i].usec);
        }
        for (size_t i = 0; i < SG_N_ELEMENTS(bad); i++)
                assert_int_equal(sg_units_duration(sg_str_from(bad[i].text), &usec), bad[i].e);
}

static void test_sizes(void **state)
{
        uint64_t n;

        assert_int_equal(sg_units_size(SG_STR("65536"), &n), 0);
        assert_int_equal(n, 65536);
        assert_int_equal(sg_units_size(SG_STR("64K"), &n), 0);
        assert_int_equal(n, 65536);
        assert_int_equal(sg_units_size(SG_STR("64kib"), &n), 0);
        assert_int_equal(n, 65536);
        assert_int_equal(sg_units_size(SG_STR("1 MiB"), &n), 0);
        assert_int_equal(n, 1 << 20);
        assert_int_equal(sg_units_size(SG_STR("16G"), &n), 0);
        assert_int_equal(n, UINT64_C(16) << 30);
        assert_int_equal(sg_units_size(SG_STR("1MB"), &n), SG_UNITS_E_UNIT);
        assert_int_equal(sg_units_size(SG_STR("M"), &n), SG_UNITS_E_SYNTAX);
        assert_int_equal(sg_units_size(SG_STR("18446744073709551615"), &n), 0);
        assert_int_equal(sg_units_size(SG_STR("18446744073709551616"), &n), SG_UNITS_E_RANGE);
        assert_int_equal(sg_units_size(SG_STR("17179869184G"), &n), SG_UNITS_E_RANGE);
}

static void test_units_are_written_as_they_are_read(void **state)
{
        static const uint64_t numbers[] = {0,      1,        999,        1000,       1500,          60000000,
                                           65536,  1048576,  90000000,   3600000000, 5400000000,    86400000000,
                                           123456, 67108864, 4294967296, 1000000007, UINT64_MAX - 1};
        char out[SG_UNITS_TEXT_BYTES];
        uint64_t back;

        for (size_t i = 0; i < SG_N_ELEMENTS(numbers); i++) {
                assert_int_equal(sg_units_duration(sg_str_from(sg_units_duration_text(numbers[i], out)), &back), 0);
                assert_int_equal(back, numbers[i]);
                assert_int_equal(sg_units_size(sg_str_from(sg_units_size_text(numbers[i], out)), &back), 0);
                assert_int_equal(back, numbers[i]);
        }
        assert_string_equal(sg_units_duration_text(90000000, out), "90s");
        assert_string_equal(sg_units_duration_text(300000000, out), "5m");
        assert_string_equal(sg_units_size_text(64 << 20, out), "64M");
}

static void test_table_is_sound(void **state)
{
        for (const struct sg_setting *s = sg_settings; s < sg_settings_end; s++) {
                char key[128];

                snprintf(key, sizeof(key), "%s.%s", sg_sections[s->section].name, s->name);
                assert_string_equal(key, s->key);
                assert_ptr_equal(sg_setting_find(s->section, sg_str_from(s->name)), s);
                assert_ptr_equal(sg_setting_get(s->key), s);
                assert_true(s->help[strlen(s->help) - 1] == '.');
                assert_true(s->default_text || s->example);
                assert_true(s->width > 0 || s->kind == SG_KIND_TARGETS);
                if (s->kind == SG_KIND_DURATION || s->kind == SG_KIND_SIZE || s->kind == SG_KIND_COUNT)
                        assert_true(s->max > s->min);
        }
        assert_null(sg_setting_find(SG_SECTION_LOG, SG_STR("workers")));
        assert_int_equal(sg_section_find(SG_STR("model")), SG_SECTION_MODEL);
        assert_int_equal(sg_section_find(SG_STR("services")), SG_SECTION_N);
}

static void test_defaults_are_the_documented_ones(void **state)
{
        SG_AUTO(sg_config_unref) struct sg_config *c = test_config("");
        cpu_set_t set;

        assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
        assert_int_equal(c->workers, SG_MIN((unsigned)CPU_COUNT(&set), SG_WORKERS_MAX));
        assert_int_equal(c->drain_timeout_usec, 90000000);
        assert_string_equal(c->state_directory, "/var/lib/scribe-gateway");
        assert_string_equal(c->runtime_directory, "/run/scribe-gateway");
        assert_int_equal(c->head_bytes_max, 65536);
        assert_int_equal(c->body_bytes_max, SG_BODY_BYTES_DEFAULT);
        assert_int_equal(c->bodies_bytes_max, SG_BODIES_BYTES_DEFAULT);
        assert_int_equal(c->head_timeout_usec, 15000000);
        assert_int_equal(c->body_timeout_usec, 60000000);
        assert_int_equal(c->idle_timeout_usec, 75000000);
        assert_int_equal(c->write_timeout_usec, 60000000);
        assert_int_equal(c->connections_max, 10000);
        assert_string_equal(c->group, "scribe-gateway");
        assert_int_equal(c->journal_bytes, 64 << 20);
        assert_int_equal(c->journal_sync, SG_JOURNAL_SYNC_INTERVAL);
        assert_int_equal(c->journal_when_full, SG_WHEN_FULL_REFUSE);
        assert_string_equal(c->ledger_database, "sqlite:/var/lib/scribe-gateway/ledger.db");
        assert_int_equal(c->ledger_start, SG_LEDGER_START_AUTO);
        assert_int_equal(c->n_admins, 0);
        assert_int_equal(c->log_level, SG_LOG_INFO);
        assert_true(c->log_sink_is_auto && c->log_access);
        assert_int_equal(c->n_listeners, 1);
        assert_string_equal(c->listeners[0].name, "http");
        assert_string_equal(c->listeners[0].address, "127.0.0.1:8000");
        assert_int_equal(c->n_providers + c->n_models, 0);
}

static void test_every_kind_reaches_its_field(void **state)
{
        SG_AUTO(sg_config_unref)
        struct sg_config *c = test_config("[gateway]\n"
                                          "workers = 3\n"
                                          "state_directory = /srv/state/\n"
                                          "max_head = 8K\n"
                                          "max_body = 1M\n"
                                          "max_bodies = 2M\n"
                                          "max_connections = 7\n"
                                          "group = adm\n"
                                          "[journal]\n"
                                          "size = 1MiB\n"
                                          "sync = always\n"
                                          "when_full = count\n"
                                          "[ledger]\n"
                                          "start = NO\n"
                                          "[control]\n"
                                          "admins = root, daemon root\n"
                                          "[log]\n"
                                          "level = debug\n"
                                          "to = file:/var/log/x.log\n"
                                          "access = off\n");

        assert_int_equal(c->workers, 3);
        assert_string_equal(c->state_directory, "/srv/state");
        assert_int_equal(c->head_bytes_max, 8192);
        assert_int_equal(c->body_bytes_max, 1 << 20);
        assert_int_equal(c->bodies_bytes_max, 2 << 20);
        assert_int_equal(c->connections_max, 7);
        assert_string_equal(c->group, "adm");
        assert_int_equal(c->journal_bytes, 1 << 20);
        assert_int_equal(c->journal_sync, SG_JOURNAL_SYNC_ALWAYS);
        assert_int_equal(c->journal_when_full, SG_WHEN_FULL_COUNT);
        assert_string_equal(c->ledger_database, "sqlite:/srv/state/ledger.db");
        assert_int_equal(c->ledger_start, SG_LEDGER_START_NO);
        assert_int_equal(c->n_admins, 2);
        assert_string_equal(c->admins[0], "root");
        assert_string_equal(c->admins[1], "daemon");
        assert_int_equal(c->log_level, SG_LOG_DEBUG);
        assert_int_equal(c->log_sink, SG_LOG_TO_FILE);
        assert_string_equal(c->log_path, "/var/log/x.log");
        assert_false(c->log_sink_is_auto || c->log_access);
}

static void test_log_sinks(void **state)
{
        static const struct {
                const char *text;
                enum sg_log_sink sink;
        } cases[] = {
                {"[log]\nto = journal\n", SG_LOG_TO_JOURNAL},
                {"[log]\nto = stderr\n", SG_LOG_TO_STDERR},
                {"[log]\nto = none\n", SG_LOG_TO_NONE},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                SG_AUTO(sg_config_unref) struct sg_config *c = test_config(cases[i].text);

                assert_int_equal(c->log_sink, cases[i].sink);
                assert_false(c->log_sink_is_auto);
        }
}

static void test_booleans(void **state)
{
        static const char *const yes[] = {"yes", "true", "on", "1", "YES"}, *const no[] = {"no", "false", "off", "0"};
        char text[64];

        for (size_t i = 0; i < SG_N_ELEMENTS(yes); i++) {
                snprintf(text, sizeof(text), "[log]\naccess = %s\n", yes[i]);
                SG_AUTO(sg_config_unref) struct sg_config *c = test_config(text);
                assert_true(c->log_access);
        }
        for (size_t i = 0; i < SG_N_ELEMENTS(no); i++) {
                snprintf(text, sizeof(text), "[log]\naccess = %s\n", no[i]);
                SG_AUTO(sg_config_unref) struct sg_config *c = test_config(text);
                assert_false(c->log_access);
        }
}

static void test_addresses(void **state)
{
        static const char *const good[] = {"127.0.0.1:8000", "[::]:8443", "[::1]:1",           "8000",
                                           "*:8000",         "0.0.0.0:0", "unix:/run/x.socket"};
        char text[128];

        for (size_t i = 0; i < SG_N_ELEMENTS(good); i++) {
                snprintf(text, sizeof(text), "[listener \"l\"]\naddress = %s\n", good[i]);
                SG_AUTO(sg_config_unref) struct sg_config *c = test_config(text);
                assert_int_equal(c->n_listeners, 1);
                assert_string_equal(c->listeners[0].name, "l");
                assert_string_equal(c->listeners[0].address, good[i]);
                assert_string_equal(c->listeners[0].where, "a.conf:1");
        }
        {
                SG_AUTO(sg_config_unref) struct sg_config *c = test_config("[listener \"from-systemd\"]\n");

                assert_int_equal(c->n_listeners, 1);
                assert_null(c->listeners[0].address);
        }
}

static void test_base_urls(void **state)
{
        static const struct {
                const char *url, *host, *prefix, *authority;
                bool is_tls;
                uint16_t port;
        } cases[] = {
                {"https://API.Moonshot.cn/v1", "api.moonshot.cn", "/v1", "api.moonshot.cn", true, 443},
                {"http://127.0.0.1:9000", "127.0.0.1", "", "127.0.0.1:9000", false, 9000},
                {"HTTP://host/", "host", "", "host", false, 80},
                {"https://h:443/a/b//", "h", "/a/b", "h", true, 443},
                {"http://h:443/%7Eu", "h", "/%7Eu", "h:443", false, 443},
                {"http://[::1]:8080/V1", "::1", "/V1", "[::1]:8080", false, 8080},
                {"https://[2001:DB8::1]", "2001:db8::1", "", "[2001:db8::1]", true, 443},
                {"http://my_host.local.:80", "my_host.local.", "", "my_host.local.", false, 80},
        };
        char text[256];

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                snprintf(text, sizeof(text), "[provider \"p\"]\ndialect = openai\nbase_url = %s\n", cases[i].url);
                SG_AUTO(sg_config_unref) struct sg_config *c = test_config(text);
                const struct sg_config_provider *p = sg_config_find_provider(c, SG_STR("p"));

                assert_non_null(p);
                assert_string_equal(p->base_url, cases[i].url);
                assert_string_equal(p->host, cases[i].host);
                assert_string_equal(p->path_prefix, cases[i].prefix);
                assert_string_equal(p->authority, cases[i].authority);
                assert_int_equal(p->is_tls, cases[i].is_tls);
                assert_int_equal(p->port, cases[i].port);
        }
}

static void test_provider_defaults(void **state)
{
        SG_AUTO(sg_config_unref)
        struct sg_config *c =
                test_config("[provider \"echo\"]\ndialect = echo\n"
                            "[provider \"p\"]\ndialect = openai\nbase_url = http://h\nca_file = /ca.pem\n");
        const struct sg_config_provider *echo = &c->providers[0], *p = &c->providers[1];

        assert_int_equal(echo->dialect, SG_DIALECT_ECHO);
        assert_int_equal(echo->echo_pace_usec, 40000);
        assert_null(echo->base_url);
        assert_string_equal(echo->host, "");
        assert_int_equal(p->dialect, SG_DIALECT_OPENAI);
        assert_int_equal(p->connect_timeout_usec, 10000000);
        assert_int_equal(p->first_byte_timeout_usec, 600000000);
        assert_int_equal(p->between_bytes_timeout_usec, 120000000);
        assert_int_equal(p->idle_timeout_usec, 60000000);
        assert_int_equal(p->pool_max, 64);
        assert_string_equal(p->ca_file, "/ca.pem");
        assert_null(p->api_key);
        assert_string_equal(p->where, "a.conf:3");
        assert_null(sg_config_find_provider(c, SG_STR("q")));
        assert_string_equal(sg_dialect_name(p->dialect), "openai");
}

#define M "[provider \"echo\"]\ndialect = echo\n[model \"m\"]\ntarget = echo\n"

static void test_providers_of_other_dialects(void **state)
{
        SG_AUTO(sg_config_unref)
        struct sg_config *c = test_config("[provider \"a\"]\ndialect = anthropic\nbase_url = https://h/v1\n"
                                          "[provider \"b\"]\ndialect = Anthropic\nbase_url = https://h/v1\n"
                                          "api_version = 2027-01-01\nmax_tokens = 100\n"
                                          "[provider \"z\"]\ndialect = azure\nbase_url = https://x.openai.azure.com/\n"
                                          "api_version = 2025-01-01-preview\nresponses = yes\n");
        const struct sg_config_provider *p = c->providers;

        assert_int_equal(p[0].dialect, SG_DIALECT_ANTHROPIC);
        assert_string_equal(p[0].api_version, SG_ANTHROPIC_VERSION);
        assert_int_equal(p[0].max_tokens, 4096);
        assert_int_equal(p[0].responses, SG_RESPONSES_NO);
        assert_string_equal(p[1].api_version, "2027-01-01");
        assert_int_equal(p[1].max_tokens, 100);
        assert_int_equal(p[2].dialect, SG_DIALECT_AZURE);
        assert_string_equal(p[2].api_version, "2025-01-01-preview");
        assert_string_equal(p[2].path_prefix, "");
        assert_int_equal(p[2].responses, SG_RESPONSES_YES);
        for (unsigned d = 0; d < SG_DIALECT_N; d++)
                assert_string_not_equal(sg_dialect_name((enum sg_dialect)d), "?");
}

static void test_ways_of_models(void **state)
{
        static const char *const strategies[SG_STRATEGY_N] = {"weighted", "ordered", "least_latency", "cheapest"};
        char text[256];

        for (unsigned i = 0; i < SG_STRATEGY_N; i++) {
                snprintf(text, sizeof(text), M "strategy = %s\naffinity = none\n", strategies[i]);
                SG_AUTO(sg_config_unref) struct sg_config *c = test_config(text);

                assert_int_equal(c->models[0].strategy, i);
                assert_string_equal(sg_strategy_name(c->models[0].strategy), strategies[i]);
        }
        {
                SG_AUTO(sg_config_unref) struct sg_config *c = test_config(M);
                const struct sg_config_model *m = &c->models[0];

                assert_int_equal(m->strategy, SG_STRATEGY_WEIGHTED);
                assert_int_equal(m->affinity, SG_AFFINITY_NONE);
                assert_int_equal(m->retries, 2);
                assert_int_equal(m->on_disconnect, SG_DISCONNECT_CANCEL);
                assert_int_equal(m->drain_usec, 60000000);
                assert_int_equal(m->drain_tokens, 8192);
                assert_false(c->server_timing);
        }
        {
                SG_AUTO(sg_config_unref)
                struct sg_config *c =
                        test_config(M "affinity = conversation\nretries = 8\non_disconnect = drain\n"
                                      "drain_time = 1s\ndrain_tokens = 1\n[gateway]\nserver_timing = yes\n");
                const struct sg_config_model *m = &c->models[0];

                assert_int_equal(m->affinity, SG_AFFINITY_CONVERSATION);
                assert_int_equal(m->retries, 8);
                assert_int_equal(m->on_disconnect, SG_DISCONNECT_DRAIN);
                assert_int_equal(m->drain_usec, 1000000);
                assert_int_equal(m->drain_tokens, 1);
                assert_true(c->server_timing);
        }
}

static const char *nearest(const char *word, const char *const *candidates, char *out)
{
        struct sg_nearest n;

        sg_nearest_init(&n, sg_str_from(word));
        for (size_t i = 0; candidates[i]; i++)
                sg_nearest_try(&n, sg_str_from(candidates[i]));
        return sg_nearest_text(&n, out, 64);
}

static void test_suggestions_are_near(void **state)
{
        static const char *const words[] = {"address", "openai", "echo", "moonshot", NULL};
        char out[64];

        assert_string_equal(nearest("adress", words, out), "; did you mean 'address'?");
        assert_string_equal(nearest("ADDRESS", words, out), "; did you mean 'address'?");
        assert_string_equal(nearest("opneai", words, out), "; did you mean 'openai'?");
        assert_string_equal(nearest("ecko", words, out), "; did you mean 'echo'?");
        assert_string_equal(nearest("monshoot", words, out), "; did you mean 'moonshot'?");
        assert_string_equal(nearest("anthropic", words, out), "");
        assert_string_equal(nearest("x", words, out), "");
}

static void test_example_is_valid_when_uncommented(void **state)
{
        struct sg_buf example, text;
        struct sg_str rest, line;

        sg_buf_init(&example, 1 << 20);
        sg_buf_init(&text, 1 << 20);
        assert_int_equal(sg_render_example(&example), 0);
        rest = sg_buf_view(&example);
        while (sg_str_cut(&rest, '\n', &line)) {
                if (line.n > 1 && line.p[0] == '#' && line.p[1] != ' ')
                        line = sg_str_skip(line, 1);
                /* No user of every machine, and no second model. */
                if (sg_str_starts(line, SG_STR("admins")) || sg_str_starts(line, SG_STR("downgrade")))
                        continue;
                assert_int_equal(sg_buf_add(&text, line), 0);
                assert_int_equal(sg_buf_add(&text, SG_STR("\n")), 0);
        }
        assert_int_equal(sg_buf_add(&text, SG_STR("")), 0);
        {
                const struct sg_surroundings around = {0};
                SG_AUTO(sg_whole_free) struct sg_whole *w = sg_whole_new();
                struct sg_error err = {0};
                int r = sg_raw_add_bytes(&w->raw, sg_buf_view(&text), "example", &err);

                if (!r)
                        r = sg_whole_build(w, &around, &err);
                assert_string_equal(err.text, "");
                assert_int_equal(r, 0);
                assert_int_equal(w->config.n_providers, 4);
                assert_int_equal(w->config.n_models, 1);
                assert_int_equal(w->config.n_services, 1);
        }
        sg_buf_done(&example);
        sg_buf_done(&text);
}

static void test_documents_name_every_setting(void **state)
{
        static int (*const renders[])(struct sg_buf * b) = {sg_render_markdown, sg_render_man, sg_render_example};
        char name[64];

        for (size_t i = 0; i < SG_N_ELEMENTS(renders); i++) {
                struct sg_buf b;

                sg_buf_init(&b, 1 << 20);
                assert_int_equal(renders[i](&b), 0);
                for (const struct sg_setting *s = sg_settings; s < sg_settings_end; s++) {
                        snprintf(name, sizeof(name), "%s", s->name);
                        assert_true(sg_str_find(sg_buf_view(&b), sg_str_from(name)) < sg_buf_length(&b));
                }
                sg_buf_done(&b);
                /* What does not fit is an error, not half a document. */
                sg_buf_init(&b, 1000);
                assert_int_equal(renders[i](&b), SG_BUF_E_FULL);
                sg_buf_done(&b);
        }
}

static void test_documents_name_dialects(void **state)
{
        struct sg_buf b;

        sg_buf_init(&b, 1 << 20);
        assert_int_equal(sg_render_markdown(&b), 0);
        assert_true(sg_str_find(sg_buf_view(&b), SG_STR(" Dialects `openai` and `azure` only.")) < sg_buf_length(&b));
        assert_true(sg_str_find(sg_buf_view(&b), SG_STR(" Dialect `anthropic` only.")) < sg_buf_length(&b));
        assert_true(sg_str_find(sg_buf_view(&b), SG_STR(" Dialect `echo` only.")) < sg_buf_length(&b));
        assert_true(sg_str_find(sg_buf_view(&b), SG_STR("`openai`, `anthropic`")) < sg_buf_length(&b));
        assert_int_equal(sg_str_find(sg_buf_view(&b), SG_STR("`openai`, `anthropic` and `azure` only")),
                         sg_buf_length(&b));
        sg_buf_done(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_durations),
                cmocka_unit_test(test_sizes),
                cmocka_unit_test(test_units_are_written_as_they_are_read),
                cmocka_unit_test(test_table_is_sound),
                cmocka_unit_test(test_defaults_are_the_documented_ones),
                cmocka_unit_test(test_every_kind_reaches_its_field),
                cmocka_unit_test(test_log_sinks),
                cmocka_unit_test(test_booleans),
                cmocka_unit_test(test_addresses),
                cmocka_unit_test(test_base_urls),
                cmocka_unit_test(test_provider_defaults),
                cmocka_unit_test(test_providers_of_other_dialects),
                cmocka_unit_test(test_ways_of_models),
                cmocka_unit_test(test_suggestions_are_near),
                cmocka_unit_test(test_example_is_valid_when_uncommented),
                cmocka_unit_test(test_documents_name_every_setting),
                cmocka_unit_test(test_documents_name_dialects),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
