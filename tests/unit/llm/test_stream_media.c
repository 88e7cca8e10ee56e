#include "run.h"

static struct sg_usage usage_of(enum sg_operation op, struct sg_str bytes, bool complete)
{
        struct sg_usage u;
        struct run t;

        run(&t, op, false, bytes, bytes.n);
        assert_int_equal(sg_llm_stream_is_complete(&t.s), complete);
        if (complete)
                assert_out(&t, bytes);
        u = sg_llm_stream_usage(&t.s, 1u << 20); /* a form with sound in it */
        u.raw.p = NULL;
        end(&t);
        return u;
}

static void test_images(void **state)
{
        struct sg_usage u = usage_of(
                SG_OP_IMAGES,
                SG_STR("event: image_generation.partial_image\ndata: {\"type\":\"image_generation.partial_image\","
                       "\"b64_json\":\"AAAA\",\"partial_image_index\":0}\n\n"
                       "event: image_generation.completed\ndata: {\"type\":\"image_generation.completed\",\"b64_json\":"
                       "\"AAAA\",\"usage\":{\"total_tokens\":100,\"input_tokens\":50,\"output_tokens\":50,"
                       "\"input_tokens_details\":{\"text_tokens\":10,\"image_tokens\":40}}}\n\n"),
                true);

        assert_int_equal(u.certainty, SG_CERTAINTY_MEASURED);
        assert_int_equal(u.input_tokens, 50);
        assert_int_equal(u.image_tokens, 40);
        assert_int_equal(u.output_tokens, 50);
        u = usage_of(SG_OP_IMAGES, SG_STR("data: {\"type\":\"image_edit.completed\"}\n\n"), true);
        assert_int_equal(u.certainty, SG_CERTAINTY_NONE);
        u = usage_of(SG_OP_IMAGES, SG_STR("data: {\"type\":\"image_edit.partial_image\"}\n\n"), false);
        assert_int_equal(u.certainty, SG_CERTAINTY_ESTIMATED);
        assert_int_equal(u.input_tokens, 0); /* not of the bytes of an image */
}

static void test_speech(void **state)
{
        struct sg_usage u = usage_of(SG_OP_SPEECH,
                                     SG_STR("data: {\"type\":\"speech.audio.delta\",\"audio\":\"AAAA\"}\n\n"
                                            "data: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":14,"
                                            "\"output_tokens\":101,\"total_tokens\":115}}\n\n"),
                                     true);

        assert_int_equal(u.input_tokens, 14);
        assert_int_equal(u.output_tokens, 101);
}

static void test_transcription(void **state)
{
        struct sg_usage u = usage_of(
                SG_OP_TRANSCRIPTION,
                SG_STR("data: {\"type\":\"transcript.text.delta\",\"delta\":\"I\"}\n\n"
                       "data: {\"type\":\"transcript.text.done\",\"text\":\"I see\",\"usage\":{\"type\":\"tokens\","
                       "\"input_tokens\":14,\"input_token_details\":{\"text_tokens\":4,\"audio_tokens\":10},"
                       "\"output_tokens\":31,\"total_tokens\":45}}\n\n"),
                true);

        assert_int_equal(u.input_tokens, 14);
        assert_int_equal(u.audio_input_tokens, 10);
        assert_int_equal(u.output_tokens, 31);
        u = usage_of(SG_OP_TRANSCRIPTION,
                     SG_STR("data: {\"type\":\"transcript.text.done\",\"text\":\"I\",\"usage\":{\"type\":\"duration\","
                            "\"seconds\":9}}\n\n"),
                     true);
        assert_int_equal(u.certainty, SG_CERTAINTY_NONE);
        assert_int_equal(u.raw.n, sizeof("{\"type\":\"duration\",\"seconds\":9}") - 1);
        u = usage_of(SG_OP_TRANSCRIPTION,
                     SG_STR("data: {\"type\":\"transcript.text.delta\",\"delta\":\"twelve bytes\"}\n\n"), false);
        assert_int_equal(u.certainty, SG_CERTAINTY_ESTIMATED);
        assert_int_equal(u.output_tokens, 3);
        assert_int_equal(u.input_tokens, 0);
}

static void test_transcriptions_in_chunks_of_a_chat(void **state)
{
        struct sg_usage u =
                usage_of(SG_OP_TRANSCRIPTION,
                         SG_STR("data: {\"object\":\"transcription.chunk\",\"choices\":[{\"delta\":{\"content\":\"a\"},"
                                "\"finish_reason\":null}]}\n\n"
                                "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n"
                                "data: [DONE]\n\n"),
                         true);

        assert_int_equal(u.certainty, SG_CERTAINTY_NONE);
}

static void test_errors_and_early_ends(void **state)
{
        static const struct {
                struct sg_str bytes;
                bool ended_early;
                const char *text;
        } cases[] = {
                {SG_STR("data: {\"type\":\"error\",\"message\":\"no\"}\n\n"), false, "no"},
                {SG_STR("event: error\ndata: {\"error\":{\"message\":\"nested\"}}\n\n"), false, "nested"},
                {SG_STR("data: {\"type\":\"transcript.text.delta\",\"delta\":\"a\"}\n\ndata: [DONE]\n\n"), true,
                 "the provider ended the stream without a finish reason or its last event"},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct run t;

                run(&t, SG_OP_TRANSCRIPTION, false, cases[i].bytes, 999);
                assert_int_equal(t.n_verdicts[SG_EVENT_ERROR], 1);
                assert_string_equal(t.fault.text, cases[i].text);
                assert_int_equal(t.s.ended_early, cases[i].ended_early);
                end(&t);
        }
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_images),
                cmocka_unit_test(test_speech),
                cmocka_unit_test(test_transcription),
                cmocka_unit_test(test_transcriptions_in_chunks_of_a_chat),
                cmocka_unit_test(test_errors_and_early_ends),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
