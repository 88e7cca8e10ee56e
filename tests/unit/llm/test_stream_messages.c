#include "run.h"

#define EVENT(name, rest) "event: " name "\ndata: {\"type\":\"" name "\"" rest "}\n\n"
#define START(usage)                                                                                                   \
        EVENT("message_start",                                                                                         \
              ",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\","     \
              "\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":" usage "}")
#define BLOCK     EVENT("content_block_start", ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}")
#define TEXT(t)   EVENT("content_block_delta", ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"" t "\"}")
#define BLOCK_END EVENT("content_block_stop", ",\"index\":0")
#define DELTA(reason, usage)                                                                                           \
        EVENT("message_delta", ",\"delta\":{\"stop_reason\":" reason ",\"stop_sequence\":null},\"usage\":" usage)
#define STOP EVENT("message_stop", "")
#define PING EVENT("ping", "")
#define INPUT                                                                                                          \
        "{\"input_tokens\":20,\"cache_creation_input_tokens\":100,\"cache_read_input_tokens\":1000,\"output_tokens\":" \
        "1}"

static struct sg_usage usage_of(struct sg_str bytes, bool complete)
{
        struct sg_usage u;
        struct run t;

        run(&t, SG_OP_MESSAGES, true, bytes, bytes.n);
        assert_int_equal(sg_llm_stream_is_complete(&t.s), complete);
        u = sg_llm_stream_usage(&t.s, 400);
        u.raw = SG_STR_NONE;
        end(&t);
        return u;
}

static void test_a_whole_stream_passes_byte_for_byte(void **state)
{
        static const struct sg_str bytes = SG_STR(START(INPUT) BLOCK PING TEXT("Hello") TEXT(", you") BLOCK_END EVENT(
                "brand_new", ",\"x\":[1]") DELTA("\"end_turn\"", "{\"output_tokens\":15}") STOP);

        for (size_t step = 1; step < 200; step += 13) {
                struct sg_usage u;
                struct run t;

                run(&t, SG_OP_MESSAGES, true, bytes, step);
                assert_out(&t, bytes);
                assert_int_equal(t.n_verdicts[SG_EVENT_LAST], 1);
                assert_true(sg_llm_stream_is_complete(&t.s));
                assert_string_equal(t.s.finish_reason, "end_turn");
                assert_string_equal(t.s.model, "claude-x");
                assert_int_equal(t.s.text_bytes, 10);
                u = sg_llm_stream_usage(&t.s, 999);
                assert_int_equal(u.certainty, SG_CERTAINTY_MEASURED);
                assert_int_equal(u.input_tokens, 1120);
                assert_int_equal(u.cached_tokens, 1000);
                assert_int_equal(u.cache_write_tokens, 100);
                assert_int_equal(u.output_tokens, 15);
                end(&t);
        }
}

/* The bill can be had from the raw text alone. */
static void test_raw_has_both_and_gives_the_same_figures(void **state)
{
        static const struct sg_str bytes =
                SG_STR(START(INPUT) TEXT("Hello") DELTA("null", "{\"output_tokens\":2}")
                               DELTA("\"end_turn\"", "{\"cache_read_input_tokens\":2000,\"output_tokens\":15}") STOP);
        struct sg_usage u, again;
        struct sg_json_value raw;
        struct run t;

        run(&t, SG_OP_MESSAGES, false, bytes, 7);
        u = sg_llm_stream_usage(&t.s, 0);
        assert_true(
                sg_str_eq(u.raw, SG_STR("{\"message_start\":" INPUT ",\"message_delta\":{\"cache_read_input_tokens\":"
                                        "2000,\"output_tokens\":15}}")));
        assert_int_equal(sg_json_check(u.raw, &raw, NULL), 0);
        assert_true(sg_usage_read(&again, raw));
        assert_int_equal(again.input_tokens, u.input_tokens);
        assert_int_equal(again.output_tokens, u.output_tokens);
        assert_int_equal(again.cached_tokens, u.cached_tokens);
        assert_int_equal(again.cache_write_tokens, u.cache_write_tokens);
        assert_int_equal(u.input_tokens, 2120);
        assert_int_equal(u.output_tokens, 15);
        end(&t);
}

static void test_the_last_figures_win_field_by_field(void **state)
{
        struct sg_usage u =
                usage_of(SG_STR(START("{\"input_tokens\":0,\"cache_creation\":{\"ephemeral_5m_input_tokens\":5,"
                                      "\"ephemeral_1h_input_tokens\":7},\"output_tokens\":1}") TEXT("a")
                                        DELTA("\"end_turn\"", "{\"input_tokens\":30,\"cache_read_input_tokens\":null,"
                                                              "\"output_tokens\":0,\"output_tokens_details\":"
                                                              "{\"thinking_tokens\":9}}") STOP),
                         true);

        assert_int_equal(u.certainty, SG_CERTAINTY_MEASURED);
        assert_int_equal(u.input_tokens, 42);
        assert_int_equal(u.cache_write_tokens, 12);
        assert_int_equal(u.cache_write_1h_tokens, 7);
        assert_int_equal(u.output_tokens, 0); /* a zero is a figure */
        assert_int_equal(u.reasoning_tokens, 0);
}

static void test_the_placeholder_is_never_the_output(void **state)
{
        struct sg_usage u = usage_of(SG_STR(START(INPUT) BLOCK TEXT("twelve bytes")), false);

        assert_int_equal(u.certainty, SG_CERTAINTY_PARTIAL);
        assert_int_equal(u.input_tokens, 1120);
        assert_int_equal(u.output_tokens, 3);
        u = usage_of(SG_STR(START(INPUT)), false);
        assert_int_equal(u.output_tokens, 0);
        u = usage_of(SG_STR(START(INPUT) TEXT("twelve bytes") DELTA("\"end_turn\"", "{}") STOP), true);
        assert_int_equal(u.certainty, SG_CERTAINTY_PARTIAL);
        assert_int_equal(u.output_tokens, 3);
}

static void test_cut_behind_the_last_figures(void **state)
{
        struct sg_usage u =
                usage_of(SG_STR(START(INPUT) TEXT("a") DELTA("\"end_turn\"", "{\"output_tokens\":15}")), false);

        assert_int_equal(u.certainty, SG_CERTAINTY_PARTIAL);
        assert_int_equal(u.output_tokens, 15);
        u = usage_of(SG_STR(START(INPUT) DELTA("null", "{\"output_tokens\":15}") TEXT("twelve bytes")), false);
        assert_int_equal(u.output_tokens, 18);
}

static void test_without_figures_all_is_guessed(void **state)
{
        struct sg_usage u = usage_of(SG_STR(BLOCK TEXT("twelve bytes") DELTA("\"end_turn\"", "null") STOP), true);

        assert_int_equal(u.certainty, SG_CERTAINTY_ESTIMATED);
        assert_int_equal(u.input_tokens, 100);
        assert_int_equal(u.output_tokens, 3);
        u = usage_of(SG_STR(TEXT("a") DELTA("\"end_turn\"", "{\"output_tokens\":5}") STOP), true);
        assert_int_equal(u.certainty, SG_CERTAINTY_PARTIAL); /* of one side only */
        assert_int_equal(u.input_tokens, 100);
        assert_int_equal(u.output_tokens, 5);
}

static void test_stop_without_a_reason_is_an_early_end(void **state)
{
        static const struct sg_str cases[] = {
                SG_STR(START(INPUT) TEXT("a") STOP),
                SG_STR(START(INPUT) TEXT("a") DELTA("null", "{\"output_tokens\":1}") STOP),
                SG_STR(START(INPUT) TEXT("a") "data: [DONE]\n\n"),
                SG_STR(START(INPUT) TEXT("a") DELTA("\"end_turn\"", "{\"output_tokens\":1}") "data: [DONE]\n\n"),
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct run t;

                run(&t, SG_OP_MESSAGES, false, cases[i], 64);
                assert_int_equal(t.n_verdicts[SG_EVENT_ERROR], 1);
                assert_true(t.s.ended_early);
                assert_string_equal(t.fault.text,
                                    "the provider ended the stream without a stop reason and message_stop");
                assert_false(sg_llm_stream_is_complete(&t.s));
                end(&t);
        }
}

static void test_cut_before_stop_is_not_complete(void **state)
{
        (void)usage_of(SG_STR(START(INPUT) TEXT("a") DELTA("\"end_turn\"", "{\"output_tokens\":1}")), false);
        (void)usage_of(SG_STR(START(INPUT) TEXT("a")), false);
        (void)usage_of(SG_STR(""), false);
}

static void test_what_follows_the_end_is_dropped(void **state)
{
        static const struct sg_str whole = SG_STR(START(INPUT) DELTA("\"end_turn\"", "{\"output_tokens\":1}") STOP);
        struct run t;

        run(&t, SG_OP_MESSAGES, false,
            SG_STR(START(INPUT) DELTA("\"end_turn\"", "{\"output_tokens\":1}") STOP TEXT("x") STOP "data: [DONE]\n\n"),
            999);
        assert_out(&t, whole);
        assert_int_equal(t.n_verdicts[SG_EVENT_DROP], 3);
        assert_true(sg_llm_stream_is_complete(&t.s));
        end(&t);
}

static void test_errors(void **state)
{
        static const struct {
                struct sg_str bytes;
                const char *text;
                enum sg_refusal refusal;
        } cases[] = {
                {SG_STR(EVENT("error", ",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}")),
                 "Overloaded", SG_REFUSAL_OVERLOAD},
                {SG_STR("data: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"oops\"}}\n\n"),
                 "oops", SG_REFUSAL_SERVER},
                {SG_STR("event: error\ndata: {\"message\":\"bare\"}\n\n"), "bare", SG_REFUSAL_SERVER},
                {SG_STR("data: {\"error\":{\"code\":429,\"message\":\"slow\"}}\n\n"), "slow", SG_REFUSAL_RATE},
                {SG_STR("data: {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
                        "\"prompt is too long: 2 tokens > 1 maximum\"}}\n\n"),
                 "prompt is too long: 2 tokens > 1 maximum", SG_REFUSAL_CONTEXT},
                {SG_STR("data: {\"type\":\"error\",\"error\":null}\n\n"),
                 "the provider reported an error without a message", SG_REFUSAL_SERVER},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct run t;

                run(&t, SG_OP_MESSAGES, false, cases[i].bytes, 999);
                assert_int_equal(t.n_verdicts[SG_EVENT_ERROR], 1);
                assert_string_equal(t.fault.text, cases[i].text);
                assert_int_equal(t.s.refusal, cases[i].refusal);
                assert_false(t.s.ended_early);
                assert_int_equal(sg_buf_length(&t.out), 0);
                end(&t);
        }
}

static void test_garbage(void **state)
{
        static const struct sg_str cases[] = {SG_STR("event: ping\ndata: pong\n\n"), SG_STR("data: [1]\n\n"),
                                              SG_STR("event: message_stop\ndata: {\"type\":\n\n"),
                                              SG_STR("data: {\"type\":\"ping\",\"x\":\"\xff\"}\n\n")};

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct run t;

                run(&t, SG_OP_MESSAGES, false, cases[i], 999);
                assert_int_equal(t.n_verdicts[SG_EVENT_GARBAGE], 1);
                assert_int_equal(sg_buf_length(&t.out), 0);
                end(&t);
        }
}

static void test_the_type_counts_and_the_event_line_where_there_is_none(void **state)
{
        struct run t;

        run(&t, SG_OP_MESSAGES, false,
            SG_STR("data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"}}\n\n"
                   "event: message_stop\ndata: {\"type\":\"pi\\u006eg\"}\n\nevent: message_stop\ndata: {}\n\n"),
            5);
        assert_int_equal(t.n_verdicts[SG_EVENT_PASS], 2);
        assert_int_equal(t.n_verdicts[SG_EVENT_LAST], 1);
        assert_string_equal(t.s.finish_reason, "tool_use");
        end(&t);
}

static void test_all_delivered_text_is_counted(void **state)
{
        struct run t;

        run(&t, SG_OP_MESSAGES, false,
            SG_STR(EVENT("content_block_start", ",\"content_block\":{\"type\":\"text\",\"text\":\"ab\"}")
                           EVENT("content_block_delta", ",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"abc\"}")
                                   EVENT("content_block_delta",
                                         ",\"delta\":{\"type\":\"signature_delta\",\"signature\":\"zzz\"}")
                                           EVENT("content_block_delta",
                                                 ",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"abcd\"}")
                                                   EVENT("content_block_delta", ",\"delta\":[7]")),
            999);
        assert_int_equal(t.s.text_bytes, 9);
        end(&t);
}

/* Usage larger than what is kept counts all the same. */
static void test_a_huge_usage_counts_without_its_text(void **state)
{
        char bytes[4096];
        struct sg_usage u;
        struct run t;
        int n = snprintf(bytes, sizeof(bytes),
                         "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":"
                         "{\"input_tokens\":3,\"output_tokens\":4,\"x\":\"%02500d\"}}\n\n" STOP,
                         0);

        run(&t, SG_OP_MESSAGES, false, sg_str_make(bytes, (size_t)n), 999);
        u = sg_llm_stream_usage(&t.s, 0);
        assert_int_equal(u.certainty, SG_CERTAINTY_MEASURED);
        assert_int_equal(u.input_tokens, 3);
        assert_int_equal(u.raw.n, 0);
        end(&t);
}

static void test_absurd_figures_are_none(void **state)
{
        struct sg_usage u =
                usage_of(SG_STR(START("{\"input_tokens\":1e300,\"cache_read_input_tokens\":9007199254740992,"
                                      "\"cache_creation_input_tokens\":9007199254740992}")
                                        DELTA("\"end_turn\"", "{\"output_tokens\":-4}") STOP),
                         true);

        assert_int_equal(u.certainty, SG_CERTAINTY_PARTIAL);
        assert_int_equal(u.cached_tokens, UINT64_C(1) << 53);
        assert_int_equal(u.input_tokens, (UINT64_C(1) << 54) + 100);
        assert_int_equal(u.output_tokens, 0);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_whole_stream_passes_byte_for_byte),
                cmocka_unit_test(test_raw_has_both_and_gives_the_same_figures),
                cmocka_unit_test(test_the_last_figures_win_field_by_field),
                cmocka_unit_test(test_the_placeholder_is_never_the_output),
                cmocka_unit_test(test_cut_behind_the_last_figures),
                cmocka_unit_test(test_without_figures_all_is_guessed),
                cmocka_unit_test(test_stop_without_a_reason_is_an_early_end),
                cmocka_unit_test(test_cut_before_stop_is_not_complete),
                cmocka_unit_test(test_what_follows_the_end_is_dropped),
                cmocka_unit_test(test_errors),
                cmocka_unit_test(test_garbage),
                cmocka_unit_test(test_the_type_counts_and_the_event_line_where_there_is_none),
                cmocka_unit_test(test_all_delivered_text_is_counted),
                cmocka_unit_test(test_a_huge_usage_counts_without_its_text),
                cmocka_unit_test(test_absurd_figures_are_none),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
