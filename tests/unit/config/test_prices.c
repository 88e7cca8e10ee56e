/* Tables of prices: what is taken, what is refused and where, which price holds on a day, and what tokens cost then. */
#include "config_test.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/prices.h"

#define USD "currency = USD\n"

static struct sg_prices *read_good(const char *text)
{
        struct sg_prices *p = NULL;
        struct sg_error err = {0};
        int r = sg_prices_read_bytes(&p, sg_str_from(text), "p.conf", &err);

        if (r)
                print_error("%s: %s\n", err.where, err.text);
        assert_int_equal(r, 0);
        return p;
}

static void refused(const char *text, const char *where, const char *words)
{
        struct sg_prices *p = NULL;
        struct sg_error err = {0};

        assert_int_equal(sg_prices_read_bytes(&p, sg_str_from(text), "p.conf", &err), -EINVAL);
        assert_null(p);
        assert_string_equal(err.where, where);
        if (!strstr(err.text, words))
                print_error("%s\n", err.text);
        assert_non_null(strstr(err.text, words));
}

static const struct sg_price *find(const struct sg_prices *p, const char *provider, const char *model, uint64_t day)
{
        return sg_prices_find(p, sg_str_from(provider), sg_str_from(model), day);
}

static void test_a_price_is_read_to_the_last_digit(void **state)
{
        SG_AUTO(sg_prices_free)
        struct sg_prices *p =
                read_good("[price \"openai/gpt-4o\"]\nfrom = 2024-10-01\nsource = https://a/#b, read\n" USD
                          "input = 2.50\ncached_input = 0.000001\ncache_write = 999999.999999\n"
                          "cache_write_1h = 0\noutput = 10\nreasoning = 10.0\naudio_input = 40\n"
                          "audio_output = 80\nimage = 5\nrequest = 0.01\n");
        const struct sg_price *x = find(p, "openai", "gpt-4o", 19997);

        assert_int_equal(sg_prices_count(p), 1);
        assert_non_null(x);
        assert_int_equal(x->from_day, 19997); /* date -d 2024-10-01 +%s / 86400 */
        assert_string_equal(x->currency, "USD");
        assert_string_equal(x->source, "https://a/#b, read");
        assert_string_equal(x->where, "p.conf:1");
        assert_int_equal(x->known, (1u << SG_PRICE_N) - 1);
        assert_int_equal(x->pico[SG_PRICE_INPUT], 2500000);
        assert_int_equal(x->pico[SG_PRICE_CACHED_INPUT], 1);
        assert_int_equal(x->pico[SG_PRICE_CACHE_WRITE], 999999999999);
        assert_int_equal(x->pico[SG_PRICE_CACHE_WRITE_1H], 0);
        assert_int_equal(x->pico[SG_PRICE_REASONING], 10000000);
        assert_int_equal(x->pico[SG_PRICE_REQUEST], 10000000000);
        assert_null(find(p, "openai", "gpt-4o", 19996));
        assert_null(find(p, "openai", "gpt-4o-mini", 20000));
        assert_null(find(p, "openai", "gpt-4", 20000));
        assert_null(find(p, "open", "ai/gpt-4o", 20000));
}

static void test_days_are_counted_right(void **state)
{
        static const struct {
                const char *text;
                uint64_t day;
        } days[] = {{"1970-01-01", 0},     {"1972-02-29", 789},   {"1972-03-01", 790},   {"2000-02-29", 11016},
                    {"2000-12-31", 11322}, {"2026-11-21", 20778}, {"2100-03-01", 47541}, {"9999-12-31", 2932896}};
        char text[128];

        for (size_t i = 0; i < SG_N_ELEMENTS(days); i++) {
                struct sg_prices *p;

                snprintf(text, sizeof(text), "[price \"a/b\"]\nfrom = %s\n" USD "input = 1\n", days[i].text);
                p = read_good(text);
                assert_int_equal(find(p, "a", "b", days[i].day)->from_day, days[i].day);
                if (days[i].day)
                        assert_null(find(p, "a", "b", days[i].day - 1));
                sg_prices_free(p);
        }
}

static void test_each_mistake_is_told_with_its_line(void **state)
{
        static const struct {
                const char *text, *where, *words;
        } bad[] = {
                {"[price \"a/b\"]\nfrom = 2026-02-29\n", "p.conf:2", "'from' is a day"},
                {"[price \"a/b\"]\nfrom = 2026-13-01\n", "p.conf:2", "'from' is a day"},
                {"[price \"a/b\"]\nfrom = 2026-1-1\n", "p.conf:2", "'from' is a day"},
                {"[price \"a/b\"]\nfrom = 1969-12-31\n", "p.conf:2", "'from' is a day"},
                {"[price \"a/b\"]\nfrom = 2026-01-011\n", "p.conf:2", "'from' is a day"},
                {"[price \"a/b\"]\ncurrency = usd\n", "p.conf:2", "three capital letters"},
                {"[price \"a/b\"]\ncurrency = USDT\n", "p.conf:2", "three capital letters"},
                {"[price \"a/b\"]\ncurrency =\n", "p.conf:2", "three capital letters"},
                {"[price \"a/b\"]\ninput = 1.2345678\n", "p.conf:2", "at most 6 digits"},
                {"[price \"a/b\"]\ninput = 1000000\n", "p.conf:2", "below 1000000"},
                {"[price \"a/b\"]\ninput = -1\n", "p.conf:2", "a price like"},
                {"[price \"a/b\"]\ninput = 1,5\n", "p.conf:2", "a price like"},
                {"[price \"a/b\"]\ninput = .5\n", "p.conf:2", "a price like"},
                {"[price \"a/b\"]\ninput = 1.\n", "p.conf:2", "a price like"},
                {"[price \"a/b\"]\ninput = 1e3\n", "p.conf:2", "a price like"},
                {"[price \"a/b\"]\ninput = $2\n", "p.conf:2", "a price like"},
                {"[price \"a/b\"]\ninput = 0x10\n", "p.conf:2", "a price like"},
                {"[price \"a/b\"]\noutptu = 1\n", "p.conf:2", "did you mean 'output'?"},
                {"[price \"a/b\"]\ninput = 1\ninput = 2\n", "p.conf:3", "'input' is set in this section already"},
                {"[price \"a/b\"]\n" USD "input = 1\n", "p.conf:1", "lacks 'from'"},
                {"[price \"a/b\"]\nfrom = 2026-01-01\ninput = 1\n", "p.conf:1", "lacks 'currency'"},
                {"[price \"a/b\"]\nfrom = 2026-01-01\n" USD, "p.conf:1", "lacks a price"},
                {"\n[price]\n", "p.conf:2", "[price \"PROVIDER/MODEL\"]"},
                {"[model \"a/b\"]\n", "p.conf:1", "[price \"PROVIDER/MODEL\"]"},
                {"[price \"ab\"]\n", "p.conf:1", "PROVIDER/MODEL"},
                {"[price \"/b\"]\n", "p.conf:1", "PROVIDER/MODEL"},
                {"[price \"a/\"]\n", "p.conf:1", "PROVIDER/MODEL"},
                {"[price \"a/*b\"]\n", "p.conf:1", "end with a *"},
                {"[price \"a*c/b\"]\n", "p.conf:1", "end with a *"},
                {"[price \"a/b\"]\nfrom = 2026-01-01\n" USD "input = 1\n[price \"c/*\"]\nfrom = 2026-01-01\n" USD
                 "input = 1\n[price \"a/b\"]\nfrom = 2026-01-01\n" USD "input = 2\n",
                 "p.conf:9", "already, in p.conf:1"},
                {"[price \"a/b*\"]\nfrom = 2026-01-01\n" USD "input = 1\n[price \"a/b*\"]\nfrom = 2026-01-01\n" USD
                 "input = 2\n",
                 "p.conf:5", "already, in p.conf:1"},
                {"from = 2026-01-01\n", "p.conf:1", "before the first [section]"},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(bad); i++)
                refused(bad[i].text, bad[i].where, bad[i].words);
}

static void test_the_latest_of_the_longest_name_holds(void **state)
{
#define PRICE(name, from, input) "[price \"" name "\"]\nfrom = " from "\n" USD "input = " input "\n"
        SG_AUTO(sg_prices_free)
        struct sg_prices *p = read_good(
                PRICE("a/gpt*", "1970-01-11", "2") PRICE("a/gpt-4o", "1970-01-21", "4") PRICE("a/*", "1970-01-01", "1")
                        PRICE("a/gpt-4o", "1970-02-10", "5") PRICE("a/gpt-4o", "1970-01-31", "6")
                                PRICE("az*/gpt-4o", "1970-01-01", "7") PRICE("a/gpt-4o*", "1970-01-01", "3")
                                        PRICE("*/*", "1970-01-01", "9") PRICE("b/x/y", "1970-01-01", "8"));

        assert_int_equal(sg_prices_count(p), 9);
        assert_int_equal(find(p, "a", "gpt-4o", 20)->pico[0], 4000000);
        assert_int_equal(find(p, "a", "gpt-4o", 29)->pico[0], 4000000);
        assert_int_equal(find(p, "a", "gpt-4o", 30)->pico[0], 6000000);
        assert_int_equal(find(p, "a", "gpt-4o", 39)->pico[0], 6000000);
        assert_int_equal(find(p, "a", "gpt-4o", 40)->pico[0], 5000000);
        assert_int_equal(find(p, "a", "gpt-4o", UINT64_MAX)->pico[0], 5000000);
        /* Before the first day of the name that matches best nothing is known: a pattern's price was never its. */
        assert_null(find(p, "a", "gpt-4o", 19));
        assert_int_equal(find(p, "a", "gpt-4o-mini", 0)->pico[0], 3000000);
        assert_null(find(p, "a", "gpt-5", 9));
        assert_int_equal(find(p, "a", "gpt-5", 10)->pico[0], 2000000);
        assert_int_equal(find(p, "a", "o3", 0)->pico[0], 1000000);
        assert_int_equal(find(p, "azure-1", "gpt-4o", 0)->pico[0], 7000000);
        assert_int_equal(find(p, "b", "x/y", 0)->pico[0], 8000000);
        assert_int_equal(find(p, "c", "", 0)->pico[0], 9000000);
        assert_null(find(NULL, "a", "gpt-4o", 50));
}

static void test_many_prices_are_found_and_one_too_many_refused(void **state)
{
        SG_AUTO(sg_prices_free) struct sg_prices *p = NULL;
        struct sg_error err = {0};
        struct sg_buf b;
        char model[16];

        sg_buf_init(&b, 8u << 20);
        for (unsigned i = 0; i < SG_PRICES_MAX; i++)
                assert_int_equal(sg_buf_printf(&b, "[price \"p/m%u\"]\nfrom=2026-01-01\n" USD "input=%u.5\n", i, i), 0);
        assert_int_equal(sg_prices_read_bytes(&p, sg_buf_view(&b), "p.conf", &err), 0);
        for (unsigned i = 0; i < SG_PRICES_MAX; i++) {
                snprintf(model, sizeof(model), "m%u", i);
                assert_int_equal(find(p, "p", model, 30000)->pico[0], i * UINT64_C(1000000) + 500000);
        }
        assert_null(find(p, "p", "m", 30000));
        assert_int_equal(sg_buf_printf(&b, "[price \"p/more\"]\n%c", '\0'), 0);
        refused(sg_buf_view(&b).p, "p.conf:40001", "more than 10000 prices");
        sg_buf_done(&b);
}

/* ---- cost */

static void test_no_token_is_billed_twice(void **state)
{
        const struct sg_tokens t = {.n_requests = 3,
                                    .input = 1000,
                                    .cached = 200,
                                    .cache_write = 300,
                                    .cache_write_1h = 100,
                                    .output = 500,
                                    .reasoning = 400,
                                    .audio_input = 50,
                                    .audio_output = 60,
                                    .image = 70};
        const struct sg_billed b = sg_billed_of(&t);

        assert_int_equal(b.n[SG_PRICE_INPUT], 380);
        assert_int_equal(b.n[SG_PRICE_CACHED_INPUT], 200);
        assert_int_equal(b.n[SG_PRICE_CACHE_WRITE], 200);
        assert_int_equal(b.n[SG_PRICE_CACHE_WRITE_1H], 100);
        assert_int_equal(b.n[SG_PRICE_AUDIO_INPUT], 50);
        assert_int_equal(b.n[SG_PRICE_IMAGE], 70);
        assert_int_equal(b.n[SG_PRICE_OUTPUT], 40);
        assert_int_equal(b.n[SG_PRICE_REASONING], 400);
        assert_int_equal(b.n[SG_PRICE_AUDIO_OUTPUT], 60);
        assert_int_equal(b.n[SG_PRICE_REQUEST], 3);
}

static void test_what_cannot_be_is_billed_as_far_as_it_goes(void **state)
{
        const struct sg_tokens t = {.input = 100,
                                    .cached = 80,
                                    .cache_write = 80,
                                    .cache_write_1h = UINT64_MAX,
                                    .audio_input = 7,
                                    .output = 10,
                                    .reasoning = 11,
                                    .audio_output = 1};
        const struct sg_billed b = sg_billed_of(&t);
        uint64_t input = 0, output = 0;

        for (int i = 0; i < SG_PRICE_N; i++)
                if (i == SG_PRICE_OUTPUT || i == SG_PRICE_REASONING || i == SG_PRICE_AUDIO_OUTPUT)
                        output += b.n[i];
                else
                        input += b.n[i];
        assert_int_equal(input, 100);
        assert_int_equal(output, 10);
        assert_int_equal(b.n[SG_PRICE_CACHED_INPUT], 80);
        assert_int_equal(b.n[SG_PRICE_CACHE_WRITE_1H], 20);
        assert_int_equal(b.n[SG_PRICE_REASONING], 10);
}

static bool cost_is(const struct sg_price *p, struct sg_billed b, uint64_t expected)
{
        uint64_t pico = 7;

        return sg_price_cost(p, &b, &pico) && pico == expected;
}

static void test_cost_is_exact_and_unknown_stays_unknown(void **state)
{
        SG_AUTO(sg_prices_free)
        struct sg_prices *p = read_good("[price \"a/b\"]\nfrom = 1970-01-01\n" USD
                                        "input = 0.15\noutput = 0.6\ncached_input = 0.075\n"
                                        "[price \"a/dear\"]\nfrom = 1970-01-01\n" USD "input = 999999.999999\n"
                                        "request = 999999.999999\n");
        const struct sg_price *x = find(p, "a", "b", 0), *dear = find(p, "a", "dear", 0);
        uint64_t pico = 7;

        assert_true(cost_is(x, (struct sg_billed){{0}}, 0));
        assert_true(cost_is(x, (struct sg_billed){.n = {[SG_PRICE_INPUT] = 1, [SG_PRICE_CACHED_INPUT] = 1}}, 225000));
        assert_true(cost_is(x, (struct sg_billed){.n = {[SG_PRICE_OUTPUT] = 1000000}}, UINT64_C(600000000000)));
        /* Reasoning costs as output where it is not said; requests nothing. */
        assert_true(cost_is(x, (struct sg_billed){.n = {[SG_PRICE_REASONING] = 3, [SG_PRICE_REQUEST] = 9}}, 1800000));
        for (int i = 0; i < SG_PRICE_N; i++) {
                struct sg_billed b = {{0}};
                bool is_known = i == SG_PRICE_INPUT || i == SG_PRICE_CACHED_INPUT || i == SG_PRICE_OUTPUT ||
                                i == SG_PRICE_REASONING || i == SG_PRICE_REQUEST;

                b.n[i] = 1;
                pico = 7;
                assert_int_equal(sg_price_cost(x, &b, &pico), is_known);
                if (!is_known)
                        assert_int_equal(pico, 7);
        }
        assert_true(cost_is(dear, (struct sg_billed){.n = {[SG_PRICE_REQUEST] = 18}}, UINT64_C(17999999999982000000)));
        assert_true(cost_is(dear, (struct sg_billed){.n = {[SG_PRICE_REQUEST] = 19}}, UINT64_MAX));
        assert_true(cost_is(dear, (struct sg_billed){.n = {[SG_PRICE_INPUT] = UINT64_MAX}}, UINT64_MAX));
}

/* ---- files */

static void put(const char *directory, const char *name, const char *text)
{
        char path[256];
        FILE *f;

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        f = fopen(path, "w");
        assert_non_null(f);
        fputs(text, f);
        assert_int_equal(fclose(f), 0);
}

static void test_a_configuration_reads_the_prices_beside_it(void **state)
{
        char directory[] = "/tmp/scribe-prices-XXXXXX", prices[64], command[64];
        struct sg_config *c = NULL;
        struct sg_error err = {0};

        assert_non_null(mkdtemp(directory));
        put(directory, "gateway.conf", "[log]\nlevel = info\n");
        assert_int_equal(sg_config_read_without_secrets(&c, directory, &err), 0);
        assert_int_equal(sg_prices_count(c->prices), 0);
        c = sg_config_unref(c);
        snprintf(prices, sizeof(prices), "%s/prices.d", directory);
        assert_int_equal(mkdir(prices, 0700), 0);
        put(prices, "b.conf", PRICE("a/b", "2026-01-02", "2"));
        put(prices, "a.conf", PRICE("a/b", "2026-01-01", "1"));
        put(prices, "a.conf.dpkg-old", "garbage");
        put(prices, ".hidden.conf", "garbage");
        assert_int_equal(sg_config_read_without_secrets(&c, directory, &err), 0);
        assert_int_equal(sg_prices_count(c->prices), 2);
        assert_int_equal(find(c->prices, "a", "b", 30000)->pico[0], 2000000);
        c = sg_config_unref(c);
        put(prices, "c.conf", PRICE("a/b", "2026-01-01", "3"));
        assert_int_equal(sg_config_read_without_secrets(&c, directory, &err), -EINVAL);
        assert_non_null(strstr(err.where, "/prices.d/c.conf:1"));
        assert_non_null(strstr(err.text, "/prices.d/a.conf:1"));
        assert_null(c);
        snprintf(command, sizeof(command), "rm -rf %s", directory);
        assert_int_equal(system(command), 0);
}

static void test_the_starter_table_is_taken(void **state)
{
        const char *etc = getenv("SCRIBE_TEST_ETC");
        SG_AUTO(sg_prices_free) struct sg_prices *p = NULL;
        struct sg_error err = {0};
        char path[4096];

        assert_non_null(etc);
        snprintf(path, sizeof(path), "%s/prices.d", etc);
        assert_int_equal(sg_prices_read(&p, path, &err), 0);
        assert_non_null(find(p, "anthropic", "claude-haiku-4-5-20251001", 20778));
        assert_null(find(p, "anthropic", "claude-haiku-4-5-20251001", 20777));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_price_is_read_to_the_last_digit),
                cmocka_unit_test(test_days_are_counted_right),
                cmocka_unit_test(test_each_mistake_is_told_with_its_line),
                cmocka_unit_test(test_the_latest_of_the_longest_name_holds),
                cmocka_unit_test(test_many_prices_are_found_and_one_too_many_refused),
                cmocka_unit_test(test_no_token_is_billed_twice),
                cmocka_unit_test(test_what_cannot_be_is_billed_as_far_as_it_goes),
                cmocka_unit_test(test_cost_is_exact_and_unknown_stays_unknown),
                cmocka_unit_test(test_a_configuration_reads_the_prices_beside_it),
                cmocka_unit_test(test_the_starter_table_is_taken),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
