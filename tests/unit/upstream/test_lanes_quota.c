#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/prices.h"
#include "lanes_test.h"

static uint64_t tokens_today(struct world *w, size_t credential)
{
        return view(w, row_of_credential(w, 0, credential)).used_tokens;
}

static void use(struct world *w, struct sg_lane_pick p, uint64_t n_tokens)
{
        const struct sg_lane_result result = {.fault = SG_LANE_OK, .n_tokens = n_tokens};

        sg_lanes_done(w->l, &p, &result, w->now_usec, w->wall_usec, w->text);
}

/* Credential "a" has 1000 tokens a day, which begins at 8 o'clock; "b" comes after it. */
static void begin_with_quota(struct world *w)
{
        world_begin(w, SG_STRATEGY_ORDERED, 1, 2);
        w->credentials[0][0].daily_tokens = 1000;
        w->credentials[0][1].priority = 2;
        w->providers[0].quota_reset_usec = 8 * HOUR;
        world_configure(w);
        w->wall_usec = 20000 * DAY + 9 * HOUR;
}

/* ---- daily quotas */

static void test_the_next_credential_is_asked_when_one_is_spent(void **state)
{
        struct sg_lane_view v;
        struct world w;

        begin_with_quota(&w);
        w.n_tokens = 400;
        use(&w, pick(&w), 700);
        assert_int_equal(tokens_today(&w, 0), 700);
        assert_string_equal(pick(&w).credential->name, "b"); /* 400 more do not fit */
        w.n_tokens = 300;
        use(&w, pick(&w), 300);
        v = view(&w, row_of_credential(&w, 0, 0));
        assert_int_equal(v.state, SG_LANE_SPENT);
        assert_int_equal(v.used_tokens, 1000);
        assert_int_equal(v.daily_tokens, 1000);
        assert_int_equal(v.rests_usec, 23 * HOUR);
        assert_string_equal(v.text, "has used or reserved 1000 of the 1000 tokens that it has a day");
        w.n_tokens = 0;
        assert_string_equal(pick(&w).credential->name, "b");
        w.providers[0].n_credentials = 1;
        world_configure(&w);
        pick_none(&w);
        assert_int_equal(w.wait_usec, 23 * HOUR);
        assert_non_null(strstr(w.why, "credential \"a\" of p0 has used or reserved 1000 of the 1000 tokens"));
        turn_clock(&w, 23 * HOUR - 1);
        pick_none(&w);
        turn_clock(&w, 1); /* by date, and not by 24 hours */
        assert_string_equal(pick(&w).credential->name, "a");
        assert_int_equal(tokens_today(&w, 0), 0);
        world_end(&w);
}

static void test_what_is_open_is_reserved(void **state)
{
        struct sg_lane_pick held;
        struct world w;

        begin_with_quota(&w);
        w.n_tokens = 600;
        held = pick(&w);
        assert_string_equal(held.credential->name, "a");
        assert_string_equal(pick(&w).credential->name, "b");
        world_configure(&w); /* a reload forgets no reservation */
        assert_string_equal(pick(&w).credential->name, "b");
        use(&w, held, 100);
        assert_string_equal(pick(&w).credential->name, "a");
        world_end(&w);
}

static void test_an_exchange_over_midnight_counts_where_it_ends(void **state)
{
        struct sg_lane_pick held;
        struct world w;

        begin_with_quota(&w);
        w.wall_usec = 20001 * DAY + 8 * HOUR - SEC;
        w.n_tokens = 900;
        held = pick(&w);
        turn_clock(&w, 2 * SEC);
        assert_string_equal(pick(&w).credential->name, "b");
        use(&w, held, 800);
        assert_int_equal(tokens_today(&w, 0), 800);
        world_end(&w);
}

static void test_a_file_keeps_them(void **state)
{
        char directory[] = "/tmp/test-lanes-XXXXXX", path[64], text[256];
        struct world w;

        snprintf(path, sizeof(path), "%s/quotas", mkdtemp(directory));
        world_begin(&w, SG_STRATEGY_ORDERED, 1, 1);
        assert_true(sg_lanes_keep_quotas(w.l, path, text));
        assert_int_equal(access(path, F_OK), -1); /* nobody asked for any */
        world_end(&w);
        for (unsigned i = 0; i < 3; i++) {
                begin_with_quota(&w);
                assert_true(sg_lanes_keep_quotas(w.l, path, text));
                assert_int_equal(tokens_today(&w, 0), i * 100);
                world_configure(&w);
                assert_true(sg_lanes_keep_quotas(w.l, "/nowhere/quotas", text)); /* it is kept already */
                use(&w, pick(&w), 100);
                world_end(&w);
        }
        begin_with_quota(&w);
        assert_false(sg_lanes_keep_quotas(w.l, "/nowhere/quotas", text));
        assert_non_null(strstr(text, "/nowhere/quotas: No such file or directory"));
        use(&w, pick(&w), 100);
        world_configure(&w);
        assert_true(sg_lanes_keep_quotas(w.l, "/nowhere/quotas", text)); /* told once */
        assert_int_equal(tokens_today(&w, 0), 100);
        world_end(&w);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rmdir(directory), 0);
}

#define N_THREADS 4

static void *overdraw(void *at)
{
        struct world *w = at;
        const struct sg_lane_ask ask = world_ask(w);

        for (unsigned i = 0; i < 3000; i++) {
                const struct sg_lane_result result = {.fault = SG_LANE_OK, .n_tokens = 7};
                struct sg_lane_tried tried = {0};
                struct sg_lane_pick p;
                uint64_t wait_usec;
                char why[160], text[256];

                if (sg_lanes_pick(w->l, &ask, &tried, &p, &wait_usec, why) == 0)
                        sg_lanes_done(w->l, &p, &result, w->now_usec, w->wall_usec, text);
        }
        return NULL;
}

static void test_threads_do_not_overdraw(void **state)
{
        pthread_t threads[N_THREADS];
        struct world w;

        begin_with_quota(&w);
        w.providers[0].n_credentials = 1;
        w.n_tokens = 7; /* as they use */
        world_configure(&w);
        for (unsigned i = 0; i < N_THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, overdraw, &w), 0);
        for (unsigned i = 0; i < N_THREADS; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(tokens_today(&w, 0), 1000 / 7 * 7); /* all, and not one more */
        world_end(&w);
}

/* ---- cheapest */

static void read_prices(struct world *w, const char *text)
{
        char directory[] = "/tmp/test-prices-XXXXXX", path[64];
        struct sg_error err = {0};
        FILE *f;

        snprintf(path, sizeof(path), "%s/test.conf", mkdtemp(directory));
        f = fopen(path, "w");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
        if (sg_prices_read(&w->config.prices, directory, &err))
                fail_msg("%s: %s", err.where, err.text);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rmdir(directory), 0);
}

static void test_the_cheapest_of_today_is_asked(void **state)
{
        struct world w;

        world_begin(&w, SG_STRATEGY_CHEAPEST, 4, 1);
        /* Day 20000 is 2024-10-04. */
        read_prices(&w, "[price \"p1/m\"]\nfrom = 2024-01-01\ncurrency = USD\ninput = 2\noutput = 9\n"
                        "[price \"p1/m\"]\nfrom = 2024-10-05\ncurrency = USD\ninput = 0.5\noutput = 4\n"
                        "[price \"p2/*\"]\nfrom = 2024-01-01\ncurrency = USD\ninput = 1\noutput = 5\n"
                        "[price \"p3/m\"]\nfrom = 2024-01-01\ncurrency = CNY\ninput = 0.1\noutput = 0.1\n");
        world_configure(&w);
        assert_int_equal(pick(&w).lane, 2);
        sg_lanes_set_drained(w.l, 2, true);
        assert_int_equal(pick(&w).lane, 1);
        sg_lanes_set_drained(w.l, 1, true);
        assert_int_equal(pick(&w).lane, 3); /* the only one with a price */
        sg_lanes_set_drained(w.l, 3, true);
        assert_int_equal(pick(&w).lane, 0); /* unknown comes last */
        for (size_t i = 1; i < 4; i++)
                sg_lanes_set_drained(w.l, i, false);
        turn_clock(&w, DAY);
        assert_int_equal(pick(&w).lane, 1); /* its new price */
        sg_prices_free(w.config.prices);
        world_end(&w);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_next_credential_is_asked_when_one_is_spent),
                cmocka_unit_test(test_what_is_open_is_reserved),
                cmocka_unit_test(test_an_exchange_over_midnight_counts_where_it_ends),
                cmocka_unit_test(test_a_file_keeps_them),
                cmocka_unit_test(test_threads_do_not_overdraw),
                cmocka_unit_test(test_the_cheapest_of_today_is_asked),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
