/* What watchers are told of limits of a day or a month. */
#include <errno.h>
#include <time.h>

#include "store_test.h"

#include "base/clock.h"
#include "base/log.h"
#include "ledger/totals.h"

#define LONG (20 * SG_USEC_PER_SEC)

struct bench {
        struct sg_store *store;
        struct sg_loop *loop;
        struct sg_keeper *keeper;
        struct sg_totals *totals;
        char text[4000];
        const char *awaited;
        size_t n_fired;
};

/* "key 1 day 3/33 USD 0.5; ", sorted by nothing. */
static void hear(struct json_object *totals, void *owner)
{
        struct bench *b = owner;

        for (size_t i = 0; i < json_object_array_length(totals); i++) {
                struct json_object *t = json_object_array_get_idx(totals, i), *name = json_object_object_get(t, "name");
                struct json_object *costs = json_object_object_get(t, "costs");
                size_t at = strlen(b->text);

                at += (size_t)snprintf(b->text + at, sizeof(b->text) - at, "%s %s %s %d/%d",
                                       json_object_get_string(json_object_object_get(t, "of")),
                                       name ? json_object_get_string(name)
                                            : json_object_get_string(json_object_object_get(t, "id")),
                                       json_object_get_string(json_object_object_get(t, "window")),
                                       json_object_get_int(json_object_object_get(t, "requests")),
                                       json_object_get_int(json_object_object_get(t, "tokens")));
                for (size_t c = 0; c < json_object_array_length(costs); c++) {
                        struct json_object *cost = json_object_array_get_idx(costs, c);

                        at += (size_t)snprintf(b->text + at, sizeof(b->text) - at, " %s %s",
                                               json_object_get_string(json_object_object_get(cost, "currency")),
                                               json_object_get_string(json_object_object_get(cost, "amount")));
                }
                (void)snprintf(b->text + at, sizeof(b->text) - at, "; ");
        }
        json_object_put(totals);
        if (b->awaited && strstr(b->text, b->awaited))
                sg_loop_stop(b->loop);
}

static void begin(struct bench *b)
{
        struct sg_store_options options;
        struct sg_error err = {0};

        *b = (struct bench){.store = open_store()};
        options = *sg_store_get_options(b->store);
        assert_int_equal(sg_loop_new(&b->loop), 0);
        assert_int_equal(sg_keeper_new(&b->keeper, b->loop, &options, &err), 0);
        assert_int_equal(sg_totals_new(&b->totals, b->loop, b->keeper, hear, b), 0);
}

static void end(struct bench *b)
{
        sg_keeper_free(b->keeper);
        sg_totals_free(b->totals);
        sg_loop_free(b->loop);
        sg_store_free(b->store);
}

static void give_up(struct sg_timer *t, void *owner)
{
        sg_loop_stop(((struct bench *)owner)->loop);
}

/* What was told until that came. */
static const char *await(struct bench *b, const char *awaited)
{
        struct sg_timer late;

        b->awaited = awaited;
        assert_int_equal(sg_timer_init(&late, b->loop, give_up, b), 0);
        sg_timer_start(&late, LONG);
        if (!strstr(b->text, awaited))
                sg_loop_run(b->loop, SG_USEC_NEVER, NULL, NULL);
        sg_timer_done(&late);
        if (!strstr(b->text, awaited))
                print_error("\"%s\" is not in \"%s\"\n", awaited, b->text);
        assert_non_null(strstr(b->text, awaited));
        return b->text;
}

static void forget(struct bench *b)
{
        b->text[0] = 0;
}

static void use(struct sg_store *s, uint64_t key_id, const char *model, const char *provider)
{
        struct sg_record rec = sample(1);

        rec.key_id = key_id;
        rec.model = sg_str_from(model);
        rec.provider = sg_str_from(provider);
        rec.upstream_model = SG_STR("m");
        rec.start_wall_usec = sg_clock_wall_usec();
        rec.input_tokens = 1000000;
        rec.output_tokens = 1;
        rec.cached_tokens = rec.cache_write_tokens = rec.cache_write_1h_tokens = 0;
        rec.reasoning_tokens = rec.audio_input_tokens = rec.audio_output_tokens = rec.image_tokens = 0;
        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
}

static uint64_t add_limited(struct sg_store *s, const char *name, uint8_t digest, uint64_t group, const char *limits)
{
        struct sg_store_key key = key_of(name, digest);
        uint64_t id = 0;

        key.group_id = group;
        key.limits = sg_str_from(limits);
        assert_int_equal(sg_store_key_add(s, &key, &id, NULL), 0);
        return id;
}

static void limit_group(struct sg_store *s, uint64_t id, uint64_t parent, const char *limits)
{
        const struct sg_store_group group = {.parent_id = parent, .limits = sg_str_from(limits)};

        assert_int_equal(sg_store_group_change(s, id, &group, NULL), 0);
}

static void put_file(const char *name, const char *text)
{
        char path[300];
        FILE *f;

        (void)snprintf(path, sizeof(path), "%s/%s", test_dir, name);
        f = fopen(path, "w");
        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
}

static struct sg_config *read_config(const char *conf)
{
        struct sg_config *config = NULL;
        struct sg_error err = {0};
        char path[300];

        (void)snprintf(path, sizeof(path), "%s/prices.d", test_dir);
        assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
        put_file("prices.d/a.conf", "[price \"p/*\"]\nfrom = 2023-01-01\ncurrency = USD\ninput = 2.5\noutput = 0\n");
        put_file("gateway.conf", conf);
        if (sg_config_read_without_secrets(&config, test_dir, &err) != 0)
                print_error("%s: %s\n", err.where, err.text);
        assert_non_null(config);
        return config;
}

static void test_only_what_has_such_limits_and_was_touched_is_told(void **state)
{
        struct sg_config *config = read_config("");
        struct bench b;
        uint64_t org, team;

        begin(&b);
        sg_totals_set_config(b.totals, config);
        org = add_group(b.store, "org", 0);
        team = add_group(b.store, "team", org);
        limit_group(b.store, org, 0, "[\"50 usd/month\"]");
        (void)add_limited(b.store, "a", 1, team, "[\"100 requests/day\",\"9 usd/month\"]");
        (void)add_limited(b.store, "b", 2, 0, "[\"600 requests/minute\",\"5 concurrent\"]");
        (void)add_limited(b.store, "c", 3, 0, "[\"2000 tokens/day\"]");
        use(b.store, 1, "gpt", "p");
        use(b.store, 2, "gpt", "p");
        sg_totals_want_all(b.totals);
        assert_string_equal(await(&b, "group"), "key 1 day 1/1000001 USD 2.5; key 1 month 1/1000001 USD 2.5; "
                                                "group 1 month 1/1000001 USD 2.5; ");
        /* The first key is not told of again for what others used. */
        forget(&b);
        use(b.store, 3, "gpt", "q");
        assert_string_equal(await(&b, "key 3"), "key 3 day 1/1000001; ");
        forget(&b);
        use(b.store, 1, "gpt", "q");
        assert_string_equal(await(&b, "group"), "key 1 day 2/2000002 USD 2.5; key 1 month 2/2000002 USD 2.5; "
                                                "group 1 month 2/2000002 USD 2.5; ");
        end(&b);
        sg_config_unref(config);
}

static void test_a_new_limit_or_place_is_told_what_was_used_before(void **state)
{
        struct sg_store_key change = key_of("a", 1);
        struct bench b;
        uint64_t id, team;

        begin(&b);
        id = add_key(b.store, "a", 1, 0);
        (void)add_limited(b.store, "other", 2, 0, "[\"5 requests/day\"]");
        team = add_group(b.store, "team", 0);
        use(b.store, id, "gpt", "p");
        use(b.store, 2, "gpt", "p");
        sg_totals_want_all(b.totals);
        assert_string_equal(await(&b, "key 2 day"), "key 2 day 1/1000001; ");
        forget(&b);
        change.limits = SG_STR("[\"5 requests/month\"]");
        assert_int_equal(sg_store_key_change(b.store, id, &change, NULL), 0);
        assert_string_equal(await(&b, "key 1"), "key 1 month 1/1000001; ");
        forget(&b);
        limit_group(b.store, team, 0, "[\"7 requests/day\"]");
        assert_string_equal(await(&b, "group 1"), "group 1 day 0/0; ");
        forget(&b);
        change.group_id = team;
        change.limits = SG_STR_NONE;
        assert_int_equal(sg_store_key_change(b.store, id, &change, NULL), 0);
        assert_string_equal(await(&b, "group 1"), "group 1 day 1/1000001; ");
        end(&b);
}

/* By the model that the configuration finds for a name. */
static void test_models_and_providers_are_told_by_name(void **state)
{
        struct sg_config *config = read_config("[provider \"p\"]\ndialect = echo\nlimit = 100 usd/month\n"
                                               "[provider \"q\"]\ndialect = echo\n"
                                               "[model \"gpt-*\"]\ntarget = p\nlimit = 10 requests/day\n"
                                               "[model \"k2\"]\ntarget = q\nalias = kimi\nlimit = 5 requests/month\n");
        struct bench b;

        begin(&b);
        sg_totals_set_config(b.totals, config);
        use(b.store, 0, "gpt-4o", "p");
        use(b.store, 0, "gpt-5", "p");
        use(b.store, 0, "kimi", "q");
        use(b.store, 0, "k2", "q");
        use(b.store, 0, "unknown", "q");
        sg_totals_want_all(b.totals);
        assert_string_equal(await(&b, "provider"), "model gpt-* day 2/2000002 USD 5; model k2 month 2/2000002; "
                                                   "provider p month 2/2000002 USD 5; ");
        end(&b);
        sg_config_unref(config);
}

static void test_many_keys_come_in_many_jobs(void **state)
{
        struct bench b;
        size_t n = 0;
        char name[32];

        begin(&b);
        assert_int_equal(sg_store_begin(b.store, NULL), 0);
        for (uint8_t i = 0; i < 50; i++) {
                (void)snprintf(name, sizeof(name), "k%d", i);
                use(b.store, add_limited(b.store, name, i, 0, "[\"5 requests/day\"]"), "gpt", "p");
        }
        assert_int_equal(sg_store_commit(b.store, NULL), 0);
        sg_totals_want_all(b.totals);
        (void)await(&b, "key 1 day"); /* the first is the last */
        for (const char *p = b.text; (p = strstr(p, "key ")); p++)
                n++;
        assert_int_equal(n, 50);
        /* Somebody who comes later is told all of it. */
        forget(&b);
        sg_totals_want_all(b.totals);
        (void)await(&b, "key 1 day");
        assert_non_null(strstr(b.text, "key 50 day"));
        end(&b);
}

static void fire(struct sg_timer *t, void *owner)
{
        struct bench *b = owner;

        use(b->store, 1, "gpt", "p");
        if (++b->n_fired < 8)
                sg_timer_start(t, 300 * SG_USEC_PER_MSEC);
}

static void test_under_load_it_is_told_at_most_once_a_second(void **state)
{
        struct sg_timer timer;
        uint64_t start;
        struct bench b;
        size_t n = 0;

        begin(&b);
        (void)add_limited(b.store, "a", 1, 0, "[\"5 requests/day\"]");
        use(b.store, 1, "gpt", "p");
        assert_int_equal(sg_timer_init(&timer, b.loop, fire, &b), 0);
        sg_timer_start(&timer, 0);
        start = sg_clock_usec();
        sg_totals_want_all(b.totals);
        (void)await(&b, "day 9/");
        for (const char *p = b.text; (p = strstr(p, "key ")); p++)
                n++;
        assert_true(n <= 1 + (sg_clock_usec() - start) / SG_USEC_PER_SEC);
        sg_timer_done(&timer);
        end(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, fixture_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_only_what_has_such_limits_and_was_touched_is_told),
                TEST(test_a_new_limit_or_place_is_told_what_was_used_before),
                TEST(test_models_and_providers_are_told_by_name),
                TEST(test_many_keys_come_in_many_jobs),
                TEST(test_under_load_it_is_told_at_most_once_a_second),
        };

        sg_log_set_level(SG_LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
