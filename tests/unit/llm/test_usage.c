#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "llm/llm.h"

static struct sg_usage usage_of(struct sg_str text)
{
        struct sg_json_value v;
        struct sg_usage u;

        assert_int_equal(sg_json_check(text, &v, NULL), 0);
        assert_true(sg_usage_read(&u, v));
        assert_int_equal(u.certainty, SG_CERTAINTY_MEASURED);
        return u;
}

static bool is_usage(struct sg_str text)
{
        struct sg_json_value v;
        struct sg_usage u;

        assert_int_equal(sg_json_check(text, &v, NULL), 0);
        return sg_usage_read(&u, v);
}

static void test_openai(void **state)
{
        static const struct sg_str text =
                SG_STR("{\"prompt_tokens\":19,\"completion_tokens\":10,\"total_tokens\":29,"
                       "\"prompt_tokens_details\":{\"cached_tokens\":8,\"cache_write_tokens\":4,\"audio_tokens\":2,"
                       "\"image_tokens\":3},\"completion_tokens_details\":{\"reasoning_tokens\":6,\"audio_tokens\":1,"
                       "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}");
        struct sg_usage u = usage_of(text);

        assert_int_equal(u.input_tokens, 19);
        assert_int_equal(u.output_tokens, 10);
        assert_int_equal(u.cached_tokens, 8);
        assert_int_equal(u.cache_write_tokens, 4);
        assert_int_equal(u.audio_input_tokens, 2);
        assert_int_equal(u.image_tokens, 3);
        assert_int_equal(u.reasoning_tokens, 6);
        assert_int_equal(u.audio_output_tokens, 1);
        assert_true(sg_str_eq(u.raw, text));
}

static void test_deepseek(void **state)
{
        struct sg_usage u = usage_of(SG_STR(
                "{\"prompt_tokens\":100,\"completion_tokens\":50,\"total_tokens\":150,\"prompt_cache_hit_tokens\":64,"
                "\"prompt_cache_miss_tokens\":36,\"completion_tokens_details\":{\"reasoning_tokens\":30}}"));

        assert_int_equal(u.input_tokens, 100);
        assert_int_equal(u.cached_tokens, 64);
        assert_int_equal(u.reasoning_tokens, 30);
        u = usage_of(
                SG_STR("{\"prompt_cache_hit_tokens\":64,\"prompt_cache_miss_tokens\":36,\"completion_tokens\":1}"));
        assert_int_equal(u.input_tokens, 100);
}

static void test_moonshot(void **state)
{
        struct sg_usage u = usage_of(
                SG_STR("{\"prompt_tokens\":39,\"completion_tokens\":211,\"total_tokens\":250,\"cached_tokens\":32}"));

        assert_int_equal(u.input_tokens, 39);
        assert_int_equal(u.output_tokens, 211);
        assert_int_equal(u.cached_tokens, 32);
}

static void test_the_responses_api(void **state)
{
        struct sg_usage u = usage_of(SG_STR("{\"input_tokens\":7,\"input_tokens_details\":{\"cached_tokens\":5},"
                                            "\"output_tokens\":9,\"output_tokens_details\":{\"reasoning_tokens\":4}}"));

        assert_int_equal(u.input_tokens, 7);
        assert_int_equal(u.cached_tokens, 5);
        assert_int_equal(u.output_tokens, 9);
        assert_int_equal(u.reasoning_tokens, 4);
}

static void test_embeddings_have_no_output(void **state)
{
        struct sg_usage u = usage_of(SG_STR("{\"prompt_tokens\":8,\"total_tokens\":8}"));

        assert_int_equal(u.input_tokens, 8);
        assert_int_equal(u.output_tokens, 0);
        assert_int_equal(usage_of(SG_STR("{\"total_tokens\":8}")).input_tokens, 8);
}

static void test_zero_is_a_figure(void **state)
{
        struct sg_usage u = usage_of(SG_STR("{\"prompt_tokens\":0,\"completion_tokens\":0}"));

        assert_int_equal(u.input_tokens, 0);
        /* the more specific place says none were cached */
        u = usage_of(
                SG_STR("{\"prompt_tokens\":9,\"cached_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":0}}"));
        assert_int_equal(u.cached_tokens, 0);
}

static void test_numbers_may_have_a_point(void **state)
{
        struct sg_usage u = usage_of(SG_STR("{\"prompt_tokens\":12.0,\"completion_tokens\":1e2}"));

        assert_int_equal(u.input_tokens, 12);
        assert_int_equal(u.output_tokens, 100);
}

static void test_figures_that_are_none_are_ignored(void **state)
{
        struct sg_usage u =
                usage_of(SG_STR("{\"prompt_tokens\":-1,\"completion_tokens\":5,\"prompt_tokens_details\":null,"
                                "\"completion_tokens_details\":{\"reasoning_tokens\":\"4\"}}"));

        assert_int_equal(u.input_tokens, 0);
        assert_int_equal(u.output_tokens, 5);
        assert_int_equal(u.reasoning_tokens, 0);
        assert_int_equal(usage_of(SG_STR("{\"prompt_tokens\":3,\"completion_tokens\":9007199254740993}")).output_tokens,
                         0);
        assert_int_equal(usage_of(SG_STR("{\"prompt_tokens\":9007199254740992}")).input_tokens, UINT64_C(1) << 53);
}

static void test_without_a_count_there_is_no_usage(void **state)
{
        assert_false(is_usage(SG_STR("{}")));
        assert_false(is_usage(SG_STR("null")));
        assert_false(is_usage(SG_STR("[1]")));
        assert_false(is_usage(SG_STR("{\"prompt_tokens\":null,\"completion_tokens\":\"5\"}")));
        assert_false(is_usage(SG_STR("{\"cost\":0.1}")));
}

static void test_parts_never_exceed_their_whole(void **state)
{
        struct sg_usage u = usage_of(SG_STR("{\"prompt_tokens\":10,\"completion_tokens\":5,\"prompt_tokens_details\":"
                                            "{\"cached_tokens\":8,\"cache_write_tokens\":9},"
                                            "\"completion_tokens_details\":{\"reasoning_tokens\":50}}"));

        assert_int_equal(u.cached_tokens, 8);
        assert_int_equal(u.cache_write_tokens, 2);
        assert_int_equal(u.reasoning_tokens, 5);
}

static void test_a_huge_object_is_counted_but_not_kept(void **state)
{
        static char text[SG_RAW_USAGE_BYTES_MAX + 100];
        struct sg_usage u;

        memset(text, ' ', sizeof(text));
        memcpy(text, "{\"prompt_tokens\":3", 18);
        text[sizeof(text) - 1] = '}';
        u = usage_of(sg_str_make(text, sizeof(text)));
        assert_int_equal(u.input_tokens, 3);
        assert_int_equal(u.raw.n, 0);
}

static void test_the_last_of_two_figures_counts(void **state)
{
        assert_int_equal(usage_of(SG_STR("{\"prompt_tokens\":3,\"prompt_tokens\":4}")).input_tokens, 4);
}

static void test_guesses(void **state)
{
        struct sg_usage u = {.certainty = SG_CERTAINTY_ESTIMATED, .output_tokens = 3};

        assert_int_equal(sg_usage_guess(0), 0);
        assert_int_equal(sg_usage_guess(1), 1);
        assert_int_equal(sg_usage_guess(4), 1);
        assert_int_equal(sg_usage_guess(5), 2);
        assert_int_equal(sg_usage_guess(UINT64_MAX), UINT64_MAX / 4 + 1);

        sg_usage_fill_input(&u, 400);
        assert_int_equal(u.input_tokens, 100);
        u = (struct sg_usage){.certainty = SG_CERTAINTY_MEASURED};
        sg_usage_fill_input(&u, 400);
        assert_int_equal(u.input_tokens, 0);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_openai),
                cmocka_unit_test(test_deepseek),
                cmocka_unit_test(test_moonshot),
                cmocka_unit_test(test_the_responses_api),
                cmocka_unit_test(test_embeddings_have_no_output),
                cmocka_unit_test(test_zero_is_a_figure),
                cmocka_unit_test(test_numbers_may_have_a_point),
                cmocka_unit_test(test_figures_that_are_none_are_ignored),
                cmocka_unit_test(test_without_a_count_there_is_no_usage),
                cmocka_unit_test(test_parts_never_exceed_their_whole),
                cmocka_unit_test(test_a_huge_object_is_counted_but_not_kept),
                cmocka_unit_test(test_the_last_of_two_figures_counts),
                cmocka_unit_test(test_guesses),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
