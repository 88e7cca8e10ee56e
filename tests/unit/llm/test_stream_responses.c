#include "run.h"

#define EVENT(type, rest) "event: " type "\ndata: {\"type\":\"" type "\"" rest "}\n\n"
#define CREATED                                                                                                        \
        EVENT("response.created", ",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"model\":\"gpt-x\","        \
                                  "\"error\":null,\"usage\":null}")
#define TEXT(t) EVENT("response.output_text.delta", ",\"item_id\":\"i\",\"delta\":\"" t "\",\"sequence_number\":4")
#define USAGE                                                                                                          \
        "{\"input_tokens\":37,\"input_tokens_details\":{\"cached_tokens\":12,\"cache_write_tokens\":3},"               \
        "\"output_tokens\":11,\"output_tokens_details\":{\"reasoning_tokens\":5},\"total_tokens\":48}"
#define COMPLETED                                                                                                      \
        EVENT("response.completed", ",\"response\":{\"status\":\"completed\",\"model\":\"gpt-x\",\"usage\":" USAGE "}")

static void test_a_whole_stream_passes_byte_for_byte(void **state)
{
        static const struct sg_str bytes = SG_STR(CREATED TEXT("Hello") EVENT("response.brand_new", "") COMPLETED);

        for (size_t step = 1; step < 200; step += 13) {
                struct sg_usage u;
                struct run t;

                run(&t, SG_OP_RESPONSES, true, bytes, step);
                assert_out(&t, bytes);
                assert_true(sg_llm_stream_is_complete(&t.s));
                assert_string_equal(t.s.finish_reason, "completed");
                assert_string_equal(t.s.model, "gpt-x");
                u = sg_llm_stream_usage(&t.s, 999);
                assert_int_equal(u.certainty, SG_CERTAINTY_MEASURED);
                assert_int_equal(u.input_tokens, 37);
                assert_int_equal(u.cached_tokens, 12);
                assert_int_equal(u.cache_write_tokens, 3);
                assert_int_equal(u.output_tokens, 11);
                assert_int_equal(u.reasoning_tokens, 5);
                assert_true(sg_str_eq(u.raw, SG_STR(USAGE)));
                end(&t);
        }
}

static void test_the_event_line_may_be_missing(void **state)
{
        struct run t;

        run(&t, SG_OP_RESPONSES, false,
            SG_STR("data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n"
                   "data: {\"type\":\"response.incomplete\",\"response\":{\"incomplete_details\":{\"reason\":"
                   "\"max_output_tokens\"},\"usage\":" USAGE "}}\n\ndata: [DONE]\n\n"),
            999);
        assert_int_equal(t.n_verdicts[SG_EVENT_LAST], 1);
        assert_int_equal(t.n_verdicts[SG_EVENT_DROP], 1); /* [DONE] is none of its words */
        assert_true(sg_llm_stream_is_complete(&t.s));
        assert_string_equal(t.s.finish_reason, "max_output_tokens");
        end(&t);
}

static void test_cut_off(void **state)
{
        struct sg_usage u;
        struct run t;

        run(&t, SG_OP_RESPONSES, false, SG_STR(CREATED TEXT("twelve bytes")), 999);
        assert_false(sg_llm_stream_is_complete(&t.s));
        u = sg_llm_stream_usage(&t.s, 400);
        assert_int_equal(u.certainty, SG_CERTAINTY_ESTIMATED);
        assert_int_equal(u.input_tokens, 100);
        assert_int_equal(u.output_tokens, 3);
        end(&t);
        run(&t, SG_OP_RESPONSES, false, SG_STR(CREATED TEXT("a") "data: [DONE]\n\n"), 999);
        assert_int_equal(t.n_verdicts[SG_EVENT_ERROR], 1);
        assert_true(t.s.ended_early);
        assert_string_equal(t.fault.text, "the provider ended the stream without a terminal event");
        end(&t);
}

static void test_errors(void **state)
{
        static const struct {
                struct sg_str bytes;
                const char *text;
                enum sg_refusal refusal;
        } cases[] = {
                {SG_STR(EVENT("response.failed", ",\"response\":{\"status\":\"failed\",\"error\":{\"code\":"
                                                 "\"server_error\",\"message\":\"The model failed\"},\"usage\":null}")),
                 "The model failed", SG_REFUSAL_SERVER},
                {SG_STR(EVENT(
                         "response.failed",
                         ",\"response\":{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"You exceeded\"}}")),
                 "You exceeded", SG_REFUSAL_QUOTA},
                {SG_STR(EVENT("response.failed", ",\"response\":{\"error\":null}")),
                 "the provider reported an error without a message", SG_REFUSAL_SERVER},
                {SG_STR(EVENT("response.completed", ",\"response\":{\"status\":\"failed\",\"error\":{\"code\":"
                                                    "\"rate_limit_exceeded\",\"message\":\"slow down\"}}")),
                 "slow down", SG_REFUSAL_RATE},
                {SG_STR("data: {\"type\":\"error\",\"code\":\"context_length_exceeded\",\"message\":\"too long\","
                        "\"param\":null,\"sequence_number\":1}\n\n"),
                 "too long", SG_REFUSAL_CONTEXT},
                {SG_STR(EVENT("error", ",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"nested\"}")),
                 "nested", SG_REFUSAL_CLIENT},
                {SG_STR("data: {\"error\":{\"message\":\"untyped\"}}\n\n"), "untyped", SG_REFUSAL_SERVER},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct run t;

                run(&t, SG_OP_RESPONSES, false, cases[i].bytes, 999);
                assert_int_equal(t.n_verdicts[SG_EVENT_ERROR], 1);
                assert_string_equal(t.fault.text, cases[i].text);
                assert_int_equal(t.s.refusal, cases[i].refusal);
                assert_false(t.s.ended_early);
                end(&t);
        }
}

static void test_garbage(void **state)
{
        struct run t;

        run(&t, SG_OP_RESPONSES, false, SG_STR("event: response.completed\ndata: ok\n\n"), 999);
        assert_int_equal(t.n_verdicts[SG_EVENT_GARBAGE], 1);
        end(&t);
}

static void test_what_came_before_a_failure_is_counted(void **state)
{
        struct sg_usage u;
        struct run t;

        run(&t, SG_OP_RESPONSES, false,
            SG_STR(CREATED TEXT("abcd") EVENT("response.failed", ",\"response\":{\"error\":{\"message\":\"x\"},"
                                                                 "\"usage\":" USAGE "}")),
            999);
        u = sg_llm_stream_usage(&t.s, 0);
        assert_int_equal(u.certainty, SG_CERTAINTY_PARTIAL);
        assert_int_equal(u.output_tokens, 11);
        end(&t);
}

static void test_sound_is_no_text(void **state)
{
        struct run t;

        run(&t, SG_OP_RESPONSES, false,
            SG_STR(EVENT("response.audio.delta", ",\"delta\":\"UklGRg==\"")
                           EVENT("response.function_call_arguments.delta", ",\"delta\":\"{}\"")
                                   EVENT("response.reasoning_summary_text.delta", ",\"delta\":\"abc\"")),
            999);
        assert_int_equal(t.s.text_bytes, 5);
        end(&t);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_whole_stream_passes_byte_for_byte),
                cmocka_unit_test(test_the_event_line_may_be_missing),
                cmocka_unit_test(test_cut_off),
                cmocka_unit_test(test_errors),
                cmocka_unit_test(test_garbage),
                cmocka_unit_test(test_what_came_before_a_failure_is_counted),
                cmocka_unit_test(test_sound_is_no_text),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
