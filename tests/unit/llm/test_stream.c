#include "base/limits.h"
#include "run.h"

#define CHUNK(rest)                                                                                                    \
        "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-1\"," rest "}\n\n"
#define DELTA(text, finish)                                                                                            \
        "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"},\"logprobs\":null,\"finish_reason\":" finish   \
        "}]"
#define DONE "data: [DONE]\n\n"

static const struct sg_str openai = SG_STR(
        CHUNK("\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],"
              "\"usage\":null") CHUNK(DELTA("Hello", "null") ",\"usage\":null,\"obfuscation\":\"x7\"")
                CHUNK("\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null") CHUNK(
                        "\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11,"
                        "\"prompt_tokens_details\":{\"cached_tokens\":4}}") DONE);

static void test_openai_passes_byte_for_byte_for_who_asked_for_usage(void **state)
{
        for (size_t step = 1; step < 90; step += 11) {
                struct sg_usage u;
                struct run t;

                run(&t, SG_OP_CHAT, false, openai, step);
                assert_out(&t, openai);
                assert_true(sg_llm_stream_is_complete(&t.s));
                assert_int_equal(t.n_verdicts[SG_EVENT_LAST], 1);
                assert_int_equal(t.s.n_events, 5);
                assert_int_equal(t.s.text_bytes, 5);
                assert_string_equal(t.s.model, "m-1");
                assert_string_equal(t.s.finish_reason, "stop");
                u = sg_llm_stream_usage(&t.s, 1000);
                assert_int_equal(u.certainty, SG_CERTAINTY_MEASURED);
                assert_int_equal(u.input_tokens, 9);
                assert_int_equal(u.output_tokens, 2);
                assert_int_equal(u.cached_tokens, 4);
                assert_true(sg_str_starts(u.raw, SG_STR("{\"prompt_tokens\":9,")));
                end(&t);
        }
}

static void test_openai_shows_no_usage_to_who_did_not_ask(void **state)
{
        static const struct sg_str want =
                SG_STR(CHUNK("\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                             "\"finish_reason\":null}]") CHUNK(DELTA("Hello", "null") ",\"obfuscation\":\"x7\"")
                               CHUNK("\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]") DONE);
        struct run t;

        run(&t, SG_OP_CHAT, true, openai, 64);
        assert_out(&t, want);
        assert_int_equal(t.n_verdicts[SG_EVENT_DROP], 1);
        assert_int_equal(t.n_verdicts[SG_EVENT_REPLACE], 3);
        assert_int_equal(sg_llm_stream_usage(&t.s, 0).output_tokens, 2);
        end(&t);
}

static void test_deepseek_keep_alives_and_reasoning(void **state)
{
        static const struct sg_str bytes = SG_STR(
                ": keep-alive\n\n: keep-alive\n\n"
                "data: "
                "{\"model\":\"deepseek-reasoner\",\"choices\":[{\"delta\":{\"content\":null,\"reasoning_content\":"
                "\"hmm\"},\"finish_reason\":null}]}\n\n"
                "data: "
                "{\"choices\":[{\"delta\":{\"content\":\"ok\",\"reasoning_content\":null},\"finish_reason\":\"stop\"}],"
                "\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":3,\"prompt_cache_hit_tokens\":6,"
                "\"prompt_cache_miss_tokens\":4,\"completion_tokens_details\":{\"reasoning_tokens\":2}}}\n\n" DONE);
        struct sg_usage u;
        struct run t;

        run(&t, SG_OP_CHAT, false, bytes, 7);
        assert_out(&t, bytes);
        assert_int_equal(t.s.n_events, 3);
        assert_int_equal(t.s.text_bytes, 5);
        assert_true(sg_llm_stream_is_complete(&t.s));
        u = sg_llm_stream_usage(&t.s, 0);
        assert_int_equal(u.cached_tokens, 6);
        assert_int_equal(u.reasoning_tokens, 2);
        end(&t);
}

static void test_moonshot_usage_in_the_finish_choice(void **state)
{
        static const struct sg_str bytes = SG_STR(
                "data: {\"id\":\"cmpl-04\",\"model\":\"moonshot-v1-8k\",\"choices\":[{\"index\":0,\"delta\":{\"role\":"
                "\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n"
                "data: "
                "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\xe4\xbd\xa0\"},\"finish_reason\":null}]}\n\n"
                "data: "
                "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\",\"usage\":{\"prompt_tokens\":39,"
                "\"completion_tokens\":211,\"total_tokens\":250,\"cached_tokens\":8}}]}\n\n" DONE);
        struct sg_usage u;
        struct run t;

        run(&t, SG_OP_CHAT, true, bytes, 1000);
        assert_out(&t, bytes); /* usage of a choice stays, hidden or not */
        u = sg_llm_stream_usage(&t.s, 0);
        assert_int_equal(u.certainty, SG_CERTAINTY_MEASURED);
        assert_int_equal(u.input_tokens, 39);
        assert_int_equal(u.output_tokens, 211);
        assert_int_equal(u.cached_tokens, 8);
        end(&t);
}

static void test_usage_in_two_places_counts_once_and_null_resets_nothing(void **state)
{
        static const struct sg_str bytes =
                SG_STR("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"usage\":{\"prompt_tokens\":39,"
                       "\"completion_tokens\":211}}]}\n\n"
                       "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":39,\"completion_tokens\":211}}\n\n"
                       "data: {\"choices\":[],\"usage\":null}\n\n" DONE);
        struct run t;

        run(&t, SG_OP_CHAT, true, bytes, 1000);
        assert_int_equal(sg_llm_stream_usage(&t.s, 0).input_tokens, 39);
        assert_int_equal(sg_llm_stream_usage(&t.s, 0).output_tokens, 211);
        end(&t);
}

static void test_azures_first_chunk_without_choices_passes(void **state)
{
        static const struct sg_str bytes = SG_STR(
                "data: "
                "{\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\",\"prompt_filter_results\":"
                "[{\"prompt_index\":0,\"content_filter_results\":{}}]}\n\n"
                "data: "
                "{\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}],\"model\":\"gpt-4o\"}"
                "\n\n" DONE);
        struct run t;

        run(&t, SG_OP_CHAT, true, bytes, 1000);
        assert_out(&t, bytes);
        assert_string_equal(t.s.model, "gpt-4o");
        end(&t);
}

static void test_groq_usage(void **state)
{
        static const struct sg_str bytes = SG_STR(
                "data: "
                "{\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":null}],\"x_groq\":{\"id\":\"req\"}}\n\n"
                "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"x_groq\":{\"id\":\"req\",\"usage\":{"
                "\"queue_time\":0.03,\"prompt_tokens\":24,\"completion_tokens\":377,\"total_time\":0.46}}}\n\n" DONE);
        struct run t;

        run(&t, SG_OP_CHAT, true, bytes, 1000);
        assert_out(&t, bytes);
        assert_int_equal(sg_llm_stream_usage(&t.s, 0).output_tokens, 377);
        end(&t);
}

static void test_openrouter_comments_and_an_error_in_mid_stream(void **state)
{
        static const struct sg_str bytes = SG_STR(": OPENROUTER PROCESSING\n\n" CHUNK(
                DELTA("abc", "null")) "data: {\"id\":\"c1\",\"error\":{\"code\":502,\"message\":\"Provider "
                                      "disconnected\"},\"choices\":[{\"index\":0,"
                                      "\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}\n\n" DONE);
        struct sg_usage u;
        struct run t;

        run(&t, SG_OP_CHAT, true, bytes, 1000);
        assert_out(&t, SG_STR(": OPENROUTER PROCESSING\n\n" CHUNK(DELTA("abc", "null"))));
        assert_int_equal(t.n_verdicts[SG_EVENT_ERROR], 1);
        assert_int_equal(t.n_verdicts[SG_EVENT_LAST], 0);
        assert_string_equal(t.fault.text, "Provider disconnected");
        assert_false(sg_llm_stream_is_complete(&t.s));
        u = sg_llm_stream_usage(&t.s, 400);
        assert_int_equal(u.certainty, SG_CERTAINTY_ESTIMATED);
        assert_int_equal(u.input_tokens, 100);
        assert_int_equal(u.output_tokens, 1);
        end(&t);
}

static void test_errors_of_each_form_and_what_is_none(void **state)
{
        static const struct {
                struct sg_str bytes;
                enum sg_stream_verdict verdict;
        } cases[] = {
                {SG_STR("data: {\"error\":\"text\"}\n\n"), SG_EVENT_ERROR},
                {SG_STR("data: {\"\\u0065rror\":{\"message\":\"x\"}}\n\n"), SG_EVENT_ERROR},
                {SG_STR("event: error\ndata: {\"message\":\"x\"}\n\n"), SG_EVENT_ERROR},
                {SG_STR("data: {\"error\":null,\"choices\":[]}\n\n"), SG_EVENT_PASS},
                {SG_STR("data: {\"error\":\"\",\"choices\":[]}\n\n"), SG_EVENT_PASS},
                {SG_STR("data: {\"error\":{},\"choices\":[]}\n\n"), SG_EVENT_PASS},
                {SG_STR("data: {\"choices\":[{\"delta\":{\"error\":{\"message\":\"x\"}}}]}\n\n"), SG_EVENT_PASS},
                {SG_STR("data: {\"choices\":[{\"delta\":{\"content\":\"\\\"error\\\":{}\"}}]}\n\n"), SG_EVENT_PASS},
                {SG_STR("event: message\ndata: {\"choices\":[]}\n\n"), SG_EVENT_PASS},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct run t;

                run(&t, SG_OP_CHAT, true, cases[i].bytes, 1000);
                assert_int_equal(t.n_verdicts[cases[i].verdict], 1);
                end(&t);
        }
}

static void test_garbage_is_found_and_nothing_follows_it(void **state)
{
        static const struct sg_str bad[] = {
                SG_STR("data: oops\n\n"),
                SG_STR("data: {\"choices\":[}\n\n"),
                SG_STR("data: [1]\n\n"),
                SG_STR("data: \"x\"\n\n"),
                SG_STR("data: {} {}\n\n"),
                SG_STR("data: [DONE] x\n\n"),
                SG_STR("data: {\"a\":\"\xff\"}\n\n"),
                SG_STR("data: null\n\n"),
                SG_STR("data:\t[DONE]\n\n"),
                SG_STR("data: {\ndata: }x\n\n"),
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(bad); i++) {
                struct sg_sse_event done = {SG_STR(DONE), SG_STR("[DONE]"), SG_STR(""), true};
                struct run t;

                run(&t, SG_OP_CHAT, true, bad[i], 1000);
                assert_int_equal(t.n_verdicts[SG_EVENT_GARBAGE], 1);
                assert_true(t.fault.text[0]);
                judge(&t, &done);
                assert_int_equal(t.n_verdicts[SG_EVENT_DROP], 1);
                assert_out(&t, SG_STR(""));
                assert_false(sg_llm_stream_is_complete(&t.s));
                end(&t);
        }
}

static void test_done_without_a_finish_reason_is_an_error(void **state)
{
        static const struct sg_str without[] = {
                SG_STR(DONE),
                SG_STR(CHUNK(DELTA("x", "null")) DONE),
                SG_STR(CHUNK(DELTA("x", "\"\"")) DONE),
                SG_STR("data: {\"choices\":[{\"delta\":{\"finish_reason\":\"stop\"}}]}\n\n" DONE),
                SG_STR("data: {\"finish_reason\":\"stop\",\"choices\":[]}\n\n" DONE),
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(without); i++) {
                struct run t;

                run(&t, SG_OP_CHAT, false, without[i], 1000);
                assert_int_equal(t.n_verdicts[SG_EVENT_ERROR], 1);
                assert_int_equal(t.n_verdicts[SG_EVENT_LAST], 0);
                assert_string_equal(t.fault.text, "the provider ended the stream without a finish reason");
                assert_false(sg_llm_stream_is_complete(&t.s));
                end(&t);
        }
}

static void test_a_finish_reason_without_done_is_not_complete(void **state)
{
        struct run t;

        run(&t, SG_OP_CHAT, false, SG_STR(CHUNK(DELTA("x", "\"stop\""))), 1000);
        assert_false(sg_llm_stream_is_complete(&t.s));
        end(&t);
}

static void test_any_choice_may_finish(void **state)
{
        struct run t;

        run(&t, SG_OP_CHAT, false,
            SG_STR("data: "
                   "{\"choices\":[{\"index\":0,\"finish_reason\":null},{\"index\":1,\"finish_reason\":\"tool_calls\"}]}"
                   "\n\n" DONE),
            1000);
        assert_true(sg_llm_stream_is_complete(&t.s));
        assert_string_equal(t.s.finish_reason, "tool_calls");
        end(&t);
}

static void test_what_follows_done_is_dropped(void **state)
{
        static const struct sg_str whole = SG_STR(CHUNK(DELTA("x", "\"stop\"")) DONE);
        struct sg_buf bytes;
        struct run t;

        sg_buf_init(&bytes, 4096);
        assert_int_equal(sg_buf_add(&bytes, whole), 0);
        assert_int_equal(sg_buf_add(&bytes, SG_STR(CHUNK(DELTA("late", "null")) ": late\n\n" DONE "data: oops\n\n")),
                         0);
        run(&t, SG_OP_CHAT, false, sg_buf_view(&bytes), 1000);
        assert_out(&t, whole);
        assert_int_equal(t.n_verdicts[SG_EVENT_DROP], 4);
        assert_int_equal(t.n_verdicts[SG_EVENT_LAST], 1);
        assert_true(sg_llm_stream_is_complete(&t.s));
        end(&t);
        sg_buf_done(&bytes);
}

static void test_text_is_counted_wherever_it_stands(void **state)
{
        struct run t;

        run(&t, SG_OP_CHAT, false,
            SG_STR("data: "
                   "{\"choices\":[{\"delta\":{\"content\":\"12\",\"refusal\":\"345\",\"tool_calls\":[{\"index\":0,"
                   "\"function\":{\"name\":\"nnnn\",\"arguments\":\"6789\"}},{\"index\":1,\"function\":{\"arguments\":"
                   "\"a\"}}]}}"
                   ",{\"delta\":{\"reasoning\":\"bc\",\"reasoning_content\":\"bc\"}},{\"delta\":{\"function_call\":"
                   "{\"arguments\":\"d\"}}}]}\n\n"),
            1000);
        assert_int_equal(t.s.text_bytes, 2 + 3 + 4 + 1 + 2 + 1);
        end(&t);
        run(&t, SG_OP_COMPLETION, false, SG_STR("data: {\"choices\":[{\"text\":\"1234\",\"finish_reason\":null}]}\n\n"),
            1000);
        assert_int_equal(t.s.text_bytes, 4);
        end(&t);
}

static void test_usage_before_a_cut_is_partial_and_grows_by_what_followed(void **state)
{
        struct sg_usage u;
        struct run t;

        run(&t, SG_OP_CHAT, false,
            SG_STR("data: {\"choices\":[{\"delta\":{\"content\":\"1234\"}}],\"usage\":{\"prompt_tokens\":7,"
                   "\"completion_tokens\":1}}\n\n" CHUNK(DELTA("12345678", "null"))),
            1000);
        u = sg_llm_stream_usage(&t.s, 4000);
        assert_int_equal(u.certainty, SG_CERTAINTY_PARTIAL);
        assert_int_equal(u.input_tokens, 7);
        assert_int_equal(u.output_tokens, 3);
        end(&t);
}

static void test_complete_without_usage_is_estimated(void **state)
{
        struct sg_usage u;
        struct run t;

        run(&t, SG_OP_CHAT, true, SG_STR(CHUNK(DELTA("12345678", "\"stop\"")) DONE), 1000);
        u = sg_llm_stream_usage(&t.s, 41);
        assert_int_equal(u.certainty, SG_CERTAINTY_ESTIMATED);
        assert_int_equal(u.input_tokens, 11);
        assert_int_equal(u.output_tokens, 2);
        assert_int_equal(u.raw.n, 0);
        end(&t);
}

static void test_a_byte_order_mark_is_only_at_the_begin(void **state)
{
        static const struct sg_str first = SG_STR("\xef\xbb\xbf" CHUNK(DELTA("x", "null")));
        struct run t;

        run(&t, SG_OP_CHAT, false, first, 1000);
        assert_out(&t, first);
        end(&t);
        run(&t, SG_OP_CHAT, false,
            SG_STR("data:\n\n\xef\xbb\xbf"
                   "data: oops\n\n"),
            1000);
        assert_int_equal(t.n_verdicts[SG_EVENT_GARBAGE], 1);
        assert_out(&t, SG_STR(""));
        end(&t);
}

static void test_empty_data_is_dropped(void **state)
{
        struct run t;

        run(&t, SG_OP_CHAT, false, SG_STR("data:\n\ndata: \n\n"), 1000);
        assert_int_equal(t.n_verdicts[SG_EVENT_DROP], 2);
        assert_int_equal(t.s.n_events, 0);
        end(&t);
}

/* What the client gets of one event when its usage is hidden. */
static void assert_hidden(struct sg_str event, struct sg_str want)
{
        struct run t;

        run(&t, SG_OP_CHAT, true, event, 1000);
        assert_int_equal(t.n_verdicts[SG_EVENT_REPLACE], 1);
        assert_out(&t, want);
        end(&t);
}

static void test_hiding_keeps_the_frame(void **state)
{
        assert_hidden(SG_STR(": note\nid: 7\nevent: chunk\ndata:{\"choices\":[1],\"usage\":null}\nretry: 5\n\n"),
                      SG_STR(": note\nid: 7\nevent: chunk\ndata:{\"choices\":[1]}\nretry: 5\n\n"));
        assert_hidden(SG_STR("data: {\"usage\":{\"prompt_tokens\":1},\"choices\":[1]}\r\n\r\n"),
                      SG_STR("data: {\"choices\":[1]}\r\n\r\n"));
        assert_hidden(SG_STR("data: {\"choices\":[], \"\\u0075sage\" : null }\n\n"),
                      SG_STR("data: {\"choices\":[] }\n\n"));
}

static void test_hiding_in_several_data_lines_joins_them(void **state)
{
        assert_hidden(SG_STR("data: {\"choices\":\ndata: [1\ndata: ],\nid: 3\ndata: \"usage\":null}\n: end\n\n"),
                      SG_STR("data: {\"choices\": [1 ]}\nid: 3\n: end\n\n"));
        assert_hidden(SG_STR("\xef\xbb\xbf"
                             "data: {\"choices\":[1],\r\ndata: \"usage\":null}\r\n\r\n"),
                      SG_STR("data: {\"choices\":[1]}\r\n\r\n"));
}

static void test_hiding_takes_every_usage(void **state)
{
        assert_hidden(
                SG_STR("data: "
                       "{\"usage\":null,\"choices\":[{\"usage\":0}],\"usage\":{\"prompt_tokens\":2},\"a\":1}\n\n"),
                SG_STR("data: {\"choices\":[{\"usage\":0}],\"a\":1}\n\n"));
}

static void test_other_operations_are_not_judged(void **state)
{
        static const struct sg_str bytes =
                SG_STR("event: response.created\ndata: {\"type\":\"response.created\",\"error\":{\"x\":1}}\n\ndata: "
                       "hello\n\ndata:\n\n");
        struct run t;

        run(&t, SG_OP_PASS, true, bytes, 1000);
        assert_out(&t, bytes);
        assert_true(sg_llm_stream_is_complete(&t.s));
        assert_int_equal(sg_llm_stream_usage(&t.s, 100).certainty, SG_CERTAINTY_NONE);
        end(&t);
}

static void test_a_huge_usage_counts_without_its_text(void **state)
{
        struct sg_buf bytes;
        struct sg_usage u;
        struct run t;

        sg_buf_init(&bytes, 8192);
        assert_int_equal(sg_buf_printf(&bytes,
                                       "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"x\":\"%0*d\"}}\n\n",
                                       (int)SG_RAW_USAGE_BYTES_MAX, 0),
                         0);
        run(&t, SG_OP_CHAT, true, sg_buf_view(&bytes), 1000);
        u = sg_llm_stream_usage(&t.s, 0);
        assert_int_equal(u.input_tokens, 5);
        assert_int_equal(u.raw.n, 0);
        end(&t);
        sg_buf_done(&bytes);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_openai_passes_byte_for_byte_for_who_asked_for_usage),
                cmocka_unit_test(test_openai_shows_no_usage_to_who_did_not_ask),
                cmocka_unit_test(test_deepseek_keep_alives_and_reasoning),
                cmocka_unit_test(test_moonshot_usage_in_the_finish_choice),
                cmocka_unit_test(test_usage_in_two_places_counts_once_and_null_resets_nothing),
                cmocka_unit_test(test_azures_first_chunk_without_choices_passes),
                cmocka_unit_test(test_groq_usage),
                cmocka_unit_test(test_openrouter_comments_and_an_error_in_mid_stream),
                cmocka_unit_test(test_errors_of_each_form_and_what_is_none),
                cmocka_unit_test(test_garbage_is_found_and_nothing_follows_it),
                cmocka_unit_test(test_done_without_a_finish_reason_is_an_error),
                cmocka_unit_test(test_a_finish_reason_without_done_is_not_complete),
                cmocka_unit_test(test_any_choice_may_finish),
                cmocka_unit_test(test_what_follows_done_is_dropped),
                cmocka_unit_test(test_text_is_counted_wherever_it_stands),
                cmocka_unit_test(test_usage_before_a_cut_is_partial_and_grows_by_what_followed),
                cmocka_unit_test(test_complete_without_usage_is_estimated),
                cmocka_unit_test(test_a_byte_order_mark_is_only_at_the_begin),
                cmocka_unit_test(test_empty_data_is_dropped),
                cmocka_unit_test(test_hiding_keeps_the_frame),
                cmocka_unit_test(test_hiding_in_several_data_lines_joins_them),
                cmocka_unit_test(test_hiding_takes_every_usage),
                cmocka_unit_test(test_other_operations_are_not_judged),
                cmocka_unit_test(test_a_huge_usage_counts_without_its_text),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
