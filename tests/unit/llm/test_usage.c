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

static void test_whose_input_tokens_have_the_cached_in_them(void **state)
{
        static const struct {
                struct sg_str text;
                uint64_t input, cached, write;
        } rows[] = {
                /* Anthropic: by any of three members, null or not */
                {SG_STR("{\"input_tokens\":10,\"cache_read_input_tokens\":100,\"cache_creation_input_tokens\":5}"), 115,
                 100, 5},
                {SG_STR("{\"input_tokens\":10,\"cache_read_input_tokens\":null,\"output_tokens\":1}"), 10, 0, 0},
                {SG_STR("{\"input_tokens\":10,\"cache_creation\":{\"ephemeral_5m_input_tokens\":4}}"), 14, 0, 4},
                {SG_STR("{\"cache_read_input_tokens\":7}"), 7, 7, 0},
                /* Responses, and images and transcriptions by their own names of the details */
                {SG_STR("{\"input_tokens\":10,\"input_tokens_details\":{\"cached_tokens\":6,\"cache_write_tokens\":2}"
                        "}"),
                 10, 6, 2},
                {SG_STR("{\"input_tokens\":10,\"input_tokens_details\":{},\"cache_read_input_tokens\":4}"), 10, 4, 0},
                {SG_STR("{\"input_tokens\":10,\"output_tokens\":1}"), 10, 0, 0},
                /* gateways that give Anthropic's names beside OpenAI's */
                {SG_STR("{\"prompt_tokens\":110,\"completion_tokens\":1,\"cache_read_input_tokens\":100,"
                        "\"cache_creation_input_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":100}}"),
                 110, 100, 5},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(rows); i++) {
                struct sg_usage u = usage_of(rows[i].text);

                assert_int_equal(u.input_tokens, rows[i].input);
                assert_int_equal(u.cached_tokens, rows[i].cached);
                assert_int_equal(u.cache_write_tokens, rows[i].write);
        }
}

static void test_one_hour_writes_are_of_the_writes(void **state)
{
        struct sg_usage u = usage_of(SG_STR("{\"input_tokens\":1,\"cache_creation_input_tokens\":10,\"cache_creation\":"
                                            "{\"ephemeral_5m_input_tokens\":4,\"ephemeral_1h_input_tokens\":6},"
                                            "\"output_tokens\":8,\"output_tokens_details\":{\"thinking_tokens\":3}}"));

        assert_int_equal(u.cache_write_tokens, 10);
        assert_int_equal(u.cache_write_1h_tokens, 6);
        assert_int_equal(u.reasoning_tokens, 3);
        u = usage_of(SG_STR("{\"input_tokens\":1,\"cache_creation_input_tokens\":2,\"cache_creation\":"
                            "{\"ephemeral_1h_input_tokens\":6}}"));
        assert_int_equal(u.cache_write_1h_tokens, 2);
}

static void test_parts_of_sound_and_images(void **state)
{
        struct sg_usage u = usage_of(SG_STR("{\"type\":\"tokens\",\"input_tokens\":14,\"input_token_details\":"
                                            "{\"text_tokens\":4,\"audio_tokens\":10},\"output_tokens\":45}"));

        assert_int_equal(u.audio_input_tokens, 10);
        u = usage_of(SG_STR("{\"input_tokens\":50,\"output_tokens\":4,\"input_tokens_details\":{\"image_tokens\":70},"
                            "\"output_tokens_details\":{\"audio_tokens\":9}}"));
        assert_int_equal(u.image_tokens, 50); /* no part is more than its whole */
        assert_int_equal(u.audio_output_tokens, 4);
        assert_false(is_usage(SG_STR("{\"type\":\"duration\",\"seconds\":9}")));
}

static void test_the_raw_text_of_a_stream_of_messages(void **state)
{
        struct sg_usage u = usage_of(SG_STR("{\"message_start\":{\"input_tokens\":10,\"cache_read_input_tokens\":5,"
                                            "\"output_tokens\":1},\"message_delta\":{\"output_tokens\":9}}"));

        assert_int_equal(u.input_tokens, 15);
        assert_int_equal(u.output_tokens, 9);
        u = usage_of(SG_STR("{\"message_start\":{\"input_tokens\":10,\"output_tokens\":1}}"));
        assert_int_equal(u.output_tokens, 0); /* a placeholder */
        assert_false(is_usage(SG_STR("{\"message_start\":{},\"message_delta\":7}")));
}

static void test_absurd_figures_of_anthropics(void **state)
{
        struct sg_usage u = usage_of(SG_STR("{\"input_tokens\":9007199254740992,\"cache_read_input_tokens\":"
                                            "9007199254740992,\"cache_creation_input_tokens\":9007199254740992}"));

        assert_int_equal(u.input_tokens, UINT64_C(3) << 53);
        assert_false(is_usage(SG_STR("{\"cache_read_input_tokens\":18446744073709551615,\"input_tokens\":-1}")));
        u = usage_of(SG_STR("{\"input_tokens\":5,\"cache_read_input_tokens\":1e99}"));
        assert_int_equal(u.input_tokens, 5);
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
                cmocka_unit_test(test_whose_input_tokens_have_the_cached_in_them),
                cmocka_unit_test(test_one_hour_writes_are_of_the_writes),
                cmocka_unit_test(test_parts_of_sound_and_images),
                cmocka_unit_test(test_the_raw_text_of_a_stream_of_messages),
                cmocka_unit_test(test_absurd_figures_of_anthropics),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
