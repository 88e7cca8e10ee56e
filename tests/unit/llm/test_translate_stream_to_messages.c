#include "translate_stream.h"

#include <stdio.h>

#define CHUNK_REST(choices, rest)                                                                                      \
        "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-x\","         \
        "\"choices\":[" choices "]" rest "}\n\n"
#define CHOICE(delta, rest) "{\"index\":0,\"delta\":{" delta "}," rest "}"
#define CHUNK(delta)        CHUNK_REST(CHOICE(delta, "\"finish_reason\":null"), "")
#define ROLE                CHUNK("\"role\":\"assistant\",\"content\":\"\",\"refusal\":null")
#define CONTENT(text)       CHUNK("\"content\":\"" text "\"")
#define REASONING(text)     CHUNK("\"reasoning_content\":\"" text "\"")
#define CALL(i, id, name, arguments)                                                                                   \
        CHUNK("\"tool_calls\":[{\"index\":" i ",\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":"       \
              "\"" name "\",\"arguments\":\"" arguments "\"}}]")
#define ARGUMENTS(i, json) CHUNK("\"tool_calls\":[{\"index\":" i ",\"function\":{\"arguments\":\"" json "\"}}]")
#define FINISH(reason)     CHUNK_REST(CHOICE("", "\"finish_reason\":\"" reason "\""), "")
#define DONE               "data: [DONE]\n\n"

#define EVENT(type, rest)  "event: " type "\ndata: {\"type\":\"" type "\"" rest "}\n\n"
#define ZERO               "{\"input_tokens\":0,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":0}"
#define START_USAGE(usage)                                                                                             \
        EVENT("message_start", ",\"message\":{\"id\":\"chatcmpl-1\",\"type\":\"message\",\"role\":\"assistant\","      \
                               "\"model\":\"gpt-x\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"       \
                               "\"usage\":" usage "}")
#define START           START_USAGE(ZERO)
#define BEGIN(i, block) EVENT("content_block_start", ",\"index\":" i ",\"content_block\":{" block "}")
#define DELTA(i, delta) EVENT("content_block_delta", ",\"index\":" i ",\"delta\":{" delta "}")
#define STOP(i)         EVENT("content_block_stop", ",\"index\":" i)
#define END_USAGE(stop, usage)                                                                                         \
        EVENT("message_delta", ",\"delta\":{\"stop_reason\":" stop "},\"usage\":" usage) EVENT("message_stop", "")
#define END(reason)             END_USAGE("\"" reason "\",\"stop_sequence\":null", ZERO)

#define BEGIN_TEXT(i)           BEGIN(i, "\"type\":\"text\",\"text\":\"\"")
#define TEXT(i, text)           DELTA(i, "\"type\":\"text_delta\",\"text\":\"" text "\"")
#define BEGIN_THINKING(i)       BEGIN(i, "\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"")
#define THINKING(i, text)       DELTA(i, "\"type\":\"thinking_delta\",\"thinking\":\"" text "\"")
#define SIGNATURE(i, text)      DELTA(i, "\"type\":\"signature_delta\",\"signature\":\"" text "\"")
#define BEGIN_CALL(i, id, name) BEGIN(i, "\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"" name "\",\"input\":{}")
#define INPUT(i, json)          DELTA(i, "\"type\":\"input_json_delta\",\"partial_json\":\"" json "\"")

static void assert_to_messages(struct sg_str bytes, struct sg_str want)
{
        assert_stream(SG_OP_CHAT, bytes, &exchange, want);
}

/* ---- what an SDK makes of the events, which must come in the order that it wants */

struct reader {
        struct sg_buf *told; /* "text[Hi] f(id:{}) end_turn" */
        bool has_start, is_open, has_end, has_stop;
        uint64_t n_blocks;
        struct sg_buf text, signature;
        char before[256], after[8];
};

static struct sg_str plain(struct sg_json_value in, const char *path)
{
        struct sg_str s;

        assert_true(sg_json_plain(sg_json_path(in, sg_str_from(path)), &s));
        return s;
}

static void read_block_start(struct reader *r, struct sg_json_value data)
{
        struct sg_str type = plain(data, "content_block.type");

        assert_false(r->is_open);
        assert_false(r->has_end);
        r->is_open = true;
        snprintf(r->after, sizeof(r->after), "] ");
        snprintf(r->before, sizeof(r->before), SG_STR_FMT "[", SG_STR_ARG(type));
        if (sg_str_eq(type, SG_STR("redacted_thinking"))) {
                add(&r->text, plain(data, "content_block.data"));
        } else if (sg_str_eq(type, SG_STR("tool_use"))) {
                snprintf(r->before, sizeof(r->before), SG_STR_FMT "(" SG_STR_FMT ":",
                         SG_STR_ARG(plain(data, "content_block.name")), SG_STR_ARG(plain(data, "content_block.id")));
                snprintf(r->after, sizeof(r->after), ") ");
                assert_is(sg_json_path(data, SG_STR("content_block.input")).text, SG_STR("{}"));
        }
}

static void read_delta(struct reader *r, struct sg_json_value data)
{
        static const char *const texts[] = {"delta.text", "delta.thinking", "delta.partial_json"};
        struct sg_json_value v;

        assert_true(r->is_open);
        for (size_t i = 0; i < SG_N_ELEMENTS(texts); i++)
                assert_int_equal(sg_json_add_decoded(&r->text, sg_json_path(data, sg_str_from(texts[i]))), 0);
        v = sg_json_path(data, SG_STR("delta.signature"));
        if (v.kind == SG_JSON_STRING) {
                sg_buf_clear(&r->signature);
                add(&r->signature, SG_STR("|"));
                assert_int_equal(sg_json_add_decoded(&r->signature, v), 0);
        }
}

static void read_block_stop(struct reader *r)
{
        assert_true(r->is_open);
        r->is_open = false;
        r->n_blocks++;
        add(r->told, sg_str_from(r->before));
        add(r->told, sg_buf_view(&r->text));
        add(r->told, sg_buf_view(&r->signature));
        add(r->told, sg_str_from(r->after));
        sg_buf_clear(&r->text);
        sg_buf_clear(&r->signature);
}

static void read_event(struct reader *r, const struct sg_sse_event *ev)
{
        struct sg_json_value data;
        uint64_t index;

        assert_false(r->has_stop);
        assert_int_equal(sg_json_check(ev->data, &data, NULL), 0);
        assert_is(plain(data, "type"), ev->name);
        if (sg_json_u64(sg_json_get(data, SG_STR("index")), &index))
                assert_int_equal(index, r->n_blocks);
        assert_int_equal(r->has_start, !sg_str_eq(ev->name, SG_STR("message_start")));
        if (sg_str_eq(ev->name, SG_STR("message_start"))) {
                r->has_start = true;
        } else if (sg_str_eq(ev->name, SG_STR("content_block_start"))) {
                read_block_start(r, data);
        } else if (sg_str_eq(ev->name, SG_STR("content_block_delta"))) {
                read_delta(r, data);
        } else if (sg_str_eq(ev->name, SG_STR("content_block_stop"))) {
                read_block_stop(r);
        } else if (sg_str_eq(ev->name, SG_STR("message_delta"))) {
                assert_false(r->is_open);
                r->has_end = true;
                add(r->told, plain(data, "delta.stop_reason"));
        } else {
                assert_is(ev->name, SG_STR("message_stop"));
                assert_true(r->has_end);
                r->has_stop = true;
        }
}

static void tell(struct sg_buf *told, struct sg_str events)
{
        struct reader r = {.told = told};
        struct sg_sse_event ev;
        struct sg_sse sse;

        sg_buf_init(told, OUT_BYTES_MAX);
        sg_buf_init(&r.text, OUT_BYTES_MAX);
        sg_buf_init(&r.signature, OUT_BYTES_MAX);
        sg_sse_init(&sse, 0);
        while (sg_sse_next(&sse, &events, &ev) == 0)
                read_event(&r, &ev);
        assert_true(r.has_stop);
        sg_sse_done(&sse);
        sg_buf_done(&r.text);
        sg_buf_done(&r.signature);
}

static void assert_told(struct sg_str bytes, const char *want)
{
        struct sg_buf told;
        struct run t;

        run(&t, SG_OP_CHAT, bytes);
        if (t.r)
                fail_msg("error %d: %s", t.r, t.fault.text);
        tell(&told, sg_buf_view(&t.out));
        assert_is(sg_buf_view(&told), sg_str_from(want));
        sg_buf_done(&told);
        end(&t);
}

/* ---- texts, usage, ends */

static void test_text_and_usage(void **state)
{
        assert_to_messages(
                SG_STR("data: {\"id\":\"\",\"model\":\"\",\"choices\":[],\"prompt_filter_results\":[]}\n\n"
                       ": keep-alive\n\n" ROLE CONTENT("He \\ud83d") CONTENT("\\ude00\\\"") FINISH("stop") CHUNK_REST(
                               "", ",\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":20,"
                                   "\"prompt_tokens_details\":{\"cached_tokens\":60,\"cache_write_tokens\":30},"
                                   "\"completion_tokens_details\":{\"reasoning_tokens\":5}}") DONE),
                SG_STR(START BEGIN_TEXT("0") TEXT("0", "He \\ud83d") TEXT("0", "\\ude00\\\"") STOP("0") END_USAGE(
                        "\"end_turn\",\"stop_sequence\":null",
                        "{\"input_tokens\":10,\"cache_creation_input_tokens\":30,"
                        "\"cache_read_input_tokens\":60,\"output_tokens\":20,\"output_tokens_details\":{"
                        "\"thinking_tokens\":5}}")));
}

#define USED "{\"prompt_tokens\":9,\"completion_tokens\":4,\"cached_tokens\":2}"
#define COUNTS                                                                                                         \
        "{\"input_tokens\":7,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":2,\"output_tokens\":4}"

static void test_usage_wherever_it_stands(void **state)
{
        static const struct sg_str want = SG_STR(START BEGIN_TEXT("0") TEXT("0", "a") STOP("0")
                                                         END_USAGE("\"end_turn\",\"stop_sequence\":null", COUNTS));

        assert_to_messages(
                SG_STR(CONTENT("a") CHUNK_REST(CHOICE("", "\"finish_reason\":\"stop\""), ",\"usage\":" USED) DONE),
                want);
        assert_to_messages(
                SG_STR(CONTENT("a") CHUNK_REST(CHOICE("", "\"finish_reason\":\"stop\",\"usage\":" USED), "") DONE),
                want);
        assert_to_messages(SG_STR(CONTENT("a") CHUNK_REST(CHOICE("", "\"finish_reason\":\"stop\""),
                                                          ",\"x_groq\":{\"usage\":" USED "}") DONE),
                           want);
        assert_to_messages(SG_STR(CONTENT("a") FINISH("stop") CHUNK_REST("", ",\"usage\":null")
                                          CHUNK_REST("", ",\"usage\":" USED) DONE),
                           want);
}

static void test_usage_that_is_known_at_the_begin(void **state)
{
        assert_to_messages(SG_STR(CHUNK_REST(CHOICE("\"content\":\"a\"", "\"finish_reason\":null"), ",\"usage\":" USED)
                                          FINISH("stop") DONE),
                           SG_STR(START_USAGE(COUNTS) BEGIN_TEXT("0") TEXT("0", "a") STOP("0")
                                          END_USAGE("\"end_turn\",\"stop_sequence\":null", COUNTS)));
}

static void test_blocks_end_with_the_finish_reason(void **state)
{
        struct run t;

        run(&t, SG_OP_CHAT, SG_STR(CONTENT("a") FINISH("stop")));
        assert_int_equal(t.r, 0);
        assert_is(sg_buf_view(&t.out), SG_STR(START BEGIN_TEXT("0") TEXT("0", "a") STOP("0")));
        end(&t);
}

static void test_no_end_is_made_up(void **state)
{
        struct run t;

        run(&t, SG_OP_CHAT, SG_STR(ROLE CONTENT("a")));
        assert_is(sg_buf_view(&t.out), SG_STR(START BEGIN_TEXT("0") TEXT("0", "a")));
        end(&t);
        assert_nonsense(SG_OP_CHAT, SG_STR(CONTENT("a") DONE), "without a finish reason");
        assert_nonsense(SG_OP_CHAT, SG_STR(DONE), "without a finish reason");
}

static void test_nothing_after_the_end(void **state)
{
        assert_told(SG_STR(CONTENT("a") FINISH("stop") DONE CONTENT("b") "data: {\n\n" DONE), "text[a] end_turn");
}

static void test_ids_of_the_exchange_where_there_is_none(void **state)
{
        assert_to_messages(SG_STR("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n" DONE),
                           SG_STR(EVENT("message_start", ",\"message\":{\"id\":\"req-7\",\"type\":\"message\",\"role\":"
                                                         "\"assistant\",\"model\":\"asked-for\",\"content\":[],"
                                                         "\"stop_reason\":null,\"stop_sequence\":null,\"usage\":" ZERO
                                                         "}") END("end_turn")));
}

static void test_only_the_first_choice_counts(void **state)
{
        assert_told(SG_STR(CHUNK_REST("{\"index\":1,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"length\"}", "")
                                   CHUNK_REST("{\"index\":0,\"delta\":{\"content\":\"a\"}},{\"index\":1,\"delta\":{"
                                              "\"content\":\"y\"}}",
                                              "") FINISH("stop") DONE),
                    "text[a] end_turn");
}

static void test_stop_reasons(void **state)
{
        assert_told(SG_STR(CONTENT("a") FINISH("length") DONE), "text[a] max_tokens");
        assert_told(SG_STR(CONTENT("a") FINISH("content_filter") DONE), "text[a] refusal");
        assert_told(SG_STR(CONTENT("a") FINISH("something_new") DONE), "text[a] max_tokens");
        assert_told(SG_STR(CONTENT("a") FINISH("function_call") DONE), "text[a] tool_use");
        assert_told(SG_STR(CONTENT("a") FINISH("length") FINISH("stop") DONE), "text[a] max_tokens");
        assert_told(SG_STR(CALL("0", "c", "f", "{}") FINISH("stop") DONE), "f(c:{}) tool_use");
        assert_told(SG_STR(CALL("0", "c", "f", "{") FINISH("length") DONE), "f(c:{) max_tokens");
        assert_told(SG_STR(CHUNK_REST(CHOICE("\"content\":\"a\"", "\"finish_reason\":\"\""), "") FINISH("stop") DONE),
                    "text[a] end_turn");
        assert_to_messages(
                SG_STR(CHUNK_REST(CHOICE("", "\"finish_reason\":\"stop\",\"stop_reason\":\"\\nEND\""), "") DONE),
                SG_STR(START END_USAGE("\"stop_sequence\",\"stop_sequence\":\"\\nEND\"", ZERO)));
}

static void test_refusal(void **state)
{
        assert_told(SG_STR(ROLE CHUNK("\"refusal\":\"I \"") CHUNK("\"refusal\":\"won't.\"") FINISH("stop") DONE),
                    "text[I won't.] refusal");
        assert_told(SG_STR(CHUNK("\"content\":[{\"type\":\"refusal\",\"refusal\":\"No\"}]") FINISH("stop") DONE),
                    "text[No] refusal");
}

static void test_content_in_parts(void **state)
{
        assert_told(SG_STR(CHUNK("\"content\":[{\"type\":\"text\",\"text\":\"a\"},7,{\"type\":\"image\"}]") CONTENT("b")
                                   CHUNK("\"content\":null") FINISH("stop") DONE),
                    "text[ab] end_turn");
}

/* ---- thinking */

static void test_reasoning(void **state)
{
        assert_to_messages(SG_STR(REASONING("Hm") CHUNK("\"content\":null,\"reasoning\":\" so\"") CONTENT("a")
                                          FINISH("stop") DONE),
                           SG_STR(START BEGIN_THINKING("0") THINKING("0", "Hm") THINKING("0", " so") STOP("0")
                                          BEGIN_TEXT("1") TEXT("1", "a") STOP("1") END("end_turn")));
        assert_told(SG_STR(REASONING("Hm") CONTENT("a") REASONING("so") FINISH("stop") DONE),
                    "thinking[Hm] text[a] thinking[so] end_turn");
        assert_told(SG_STR(CHUNK("\"reasoning_content\":\"Hm\",\"reasoning\":\"Hm\",\"content\":\"a\"") FINISH("stop")
                                   DONE),
                    "thinking[Hm] text[a] end_turn");
}

#define SIGNED(text) "{\"type\":\"thinking\",\"thinking\":\"" text "\",\"signature\":\"c2ln\"}"
#define REDACTED     "{\"type\":\"redacted_thinking\", \"data\":\"eHg=\"}"

static void test_signatures(void **state)
{
        assert_to_messages(SG_STR(REASONING("H") REASONING("m") CHUNK("\"thinking_blocks\":[" SIGNED(
                                   "Hm") "," REDACTED "]") CONTENT("a") FINISH("stop") DONE),
                           SG_STR(START BEGIN_THINKING("0") THINKING("0", "H") THINKING("0", "m") SIGNATURE("0", "c2ln")
                                          STOP("0") BEGIN("1", "\"type\":\"redacted_thinking\", \"data\":\"eHg=\"")
                                                  STOP("1") BEGIN_TEXT("2") TEXT("2", "a") STOP("2") END("end_turn")));
        /* text and signature piece by piece, and once more as reasoning_content */
        assert_told(
                SG_STR(CHUNK("\"reasoning_content\":\"H\",\"thinking_blocks\":[{\"type\":\"thinking\",\"thinking\":"
                             "\"H\"}]") CHUNK("\"thinking_blocks\":[" SIGNED("") "]") CONTENT("a") FINISH("stop") DONE),
                "thinking[H|c2ln] text[a] end_turn");
        assert_told(SG_STR(CHUNK("\"thinking_blocks\":[{\"type\":\"thinking\",\"thinking\":\"H\"}]")
                                   CHUNK("\"thinking_blocks\":[{\"type\":\"thinking\",\"thinking\":\"m\"}]")
                                           CHUNK("\"thinking_blocks\":[" SIGNED("") "]") FINISH("stop") DONE),
                    "thinking[Hm|c2ln] end_turn");
        assert_told(SG_STR(CHUNK("\"thinking_blocks\":[" SIGNED("") "," SIGNED("x") "]") REASONING("y") FINISH("stop")
                                   DONE),
                    "thinking[|c2ln] thinking[x|c2ln] thinking[y] end_turn");
}

static void test_a_signature_of_another_text_is_not_given(void **state)
{
        assert_told(SG_STR(REASONING("HmSo") CHUNK("\"thinking_blocks\":[" SIGNED("Hm") "," SIGNED("So") "]")
                                   CONTENT("a") FINISH("stop") DONE),
                    "thinking[HmSo] text[a] end_turn");
        assert_told(SG_STR(REASONING("Hm") CONTENT("a") CHUNK("\"thinking_blocks\":[" SIGNED("Hm") "]") FINISH("stop")
                                   DONE),
                    "thinking[Hm] text[a] end_turn");
}

/* ---- calls */

static void test_calls_one_after_the_other_are_not_held(void **state)
{
        assert_to_messages(
                SG_STR(CONTENT("a") CALL("0", "c1", "f", "") ARGUMENTS("0", "{\\\"n\\\": 1") ARGUMENTS("0", "2.50}")
                               CALL("1", "c2", "g", "{") ARGUMENTS("1", "}") FINISH("tool_calls") DONE),
                SG_STR(START BEGIN_TEXT("0") TEXT("0", "a") STOP("0") BEGIN_CALL("1", "c1", "f")
                               INPUT("1", "{\\\"n\\\": 1") INPUT("1", "2.50}") STOP("1") BEGIN_CALL("2", "c2", "g")
                                       INPUT("2", "{") INPUT("2", "}") STOP("2") END("tool_use")));
}

static void test_the_second_call_goes_on_as_soon_as_the_first_is_whole(void **state)
{
        struct run t;

        run(&t, SG_OP_CHAT, SG_STR(CALL("0", "c1", "f", "{") CALL("1", "c2", "g", "{\\\"b\\\"") ARGUMENTS("1", ":1")));
        assert_is(sg_buf_view(&t.out), SG_STR(START BEGIN_CALL("0", "c1", "f") INPUT("0", "{")));
        end(&t);
        run(&t, SG_OP_CHAT,
            SG_STR(CALL("0", "c1", "f", "{") CALL("1", "c2", "g", "{\\\"b\\\"") ARGUMENTS("1", ":1")
                           ARGUMENTS("0", "}")));
        assert_is(sg_buf_view(&t.out), SG_STR(START BEGIN_CALL("0", "c1", "f") INPUT("0", "{") INPUT("0", "}") STOP("0")
                                                      BEGIN_CALL("1", "c2", "g") INPUT("1", "{\\\"b\\\":1")));
        end(&t);
}

static void test_calls_of_which_the_provider_says_less(void **state)
{
        assert_told(SG_STR(CHUNK("\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{\"function\":{"
                                 "\"name\":\"g\",\"arguments\":\"{\"}}]")
                                   CHUNK("\"tool_calls\":[{\"function\":{\"arguments\":\"}\"}}]") FINISH("tool_calls")
                                           DONE),
                    "f(call_req-7_0:{}) g(call_req-7_1:{}) tool_use");
        assert_told(
                SG_STR(CHUNK("\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]") CHUNK(
                        "\"tool_calls\":[{\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]")
                               CHUNK("\"tool_calls\":[{\"id\":\"a\",\"function\":{\"arguments\":\"}\"}}]")
                                       FINISH("tool_calls") DONE),
                "f(a:{}) g(b:{}) tool_use");
        assert_told(SG_STR(CALL("0", "a", "f", "{}") CALL("0", "b", "g", "{") ARGUMENTS("0", "}") FINISH("stop") DONE),
                    "f(a:{}) g(b:{}) tool_use");
        assert_told(SG_STR(CALL("0", "a", "", "{") CALL("0", "a", "f", "\\\"x\\\":1") ARGUMENTS("0", "}") FINISH("stop")
                                   DONE),
                    "f(a:{\"x\":1}) tool_use");
        assert_told(SG_STR(CALL("0", "a", "f", "") CALL("1", "b", "g", "") FINISH("tool_calls") DONE),
                    "f(a:) g(b:) tool_use");
        assert_told(SG_STR(CALL("0", "a", "f", "{}") CONTENT("\\n") CALL("1", "b", "g", "{}") ARGUMENTS("0", " \\n")
                                   FINISH("tool_calls") DONE),
                    "f(a:{}) text[\n] g(b:{}) tool_use");
        assert_told(SG_STR(CALL("0", "a", "f", "{") CONTENT("x") REASONING("y") ARGUMENTS("0", "}") CONTENT("z")
                                   FINISH("tool_calls") DONE),
                    "f(a:{}) text[x] thinking[y] text[z] tool_use");
}

/* Every way in which the pieces of two calls may be mixed. */
static void test_every_interleaving_of_two_calls(void **state)
{
        static const char *const pieces[2][5] = {
                {"", "{\\\"a\\\":\\\"\\\\\\\"}", "{\\\"", ",\\\"b\\\":[{", "}]}"},
                {"{", "\\u0022c\\u0022:", "{\\\"d\\\":\\\"\\\\\\\\\\\"", "}", " }\\n"},
        };
        unsigned n_tried = 0;

        for (unsigned mix = 0; mix < 1u << 10; mix++) {
                unsigned n[2] = {0, 0};
                struct sg_buf bytes;

                if (__builtin_popcount(mix) != 5)
                        continue;
                sg_buf_init(&bytes, OUT_BYTES_MAX);
                for (unsigned i = 0; i < 10; i++) {
                        unsigned which = mix >> i & 1;

                        assert_int_equal(
                                sg_buf_printf(&bytes,
                                              "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":%u,%s"
                                              "\"function\":{%s\"arguments\":\"%s\"}}]}}]}\n\n",
                                              which,
                                              n[which] ? ""
                                              : which  ? "\"id\":\"c1\","
                                                       : "\"id\":\"c0\",",
                                              n[which] ? ""
                                              : which  ? "\"name\":\"g\","
                                                       : "\"name\":\"f\",",
                                              pieces[which][n[which]]),
                                0);
                        n[which]++;
                }
                add(&bytes, SG_STR(FINISH("tool_calls") DONE));
                assert_told(sg_buf_view(&bytes),
                            mix & 1 ? "g(c1:{\"c\":{\"d\":\"\\\\\"} }\n) f(c0:{\"a\":\"\\\"}{\",\"b\":[{}]}) tool_use"
                                    : "f(c0:{\"a\":\"\\\"}{\",\"b\":[{}]}) g(c1:{\"c\":{\"d\":\"\\\\\"} }\n) tool_use");
                sg_buf_done(&bytes);
                n_tried++;
        }
        assert_int_equal(n_tried, 252);
}

static void add_arguments_piece(struct sg_buf *b, unsigned which, bool is_first, struct sg_str piece)
{
        assert_int_equal(sg_buf_printf(b, "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":%u,", which), 0);
        if (is_first)
                assert_int_equal(sg_buf_printf(b, "\"id\":\"c%u\",", which), 0);
        add(b, SG_STR("\"function\":{"));
        if (is_first)
                add(b, SG_STR("\"name\":\"f\","));
        add(b, SG_STR("\"arguments\":"));
        add_string(b, piece);
        add(b, SG_STR("}}]}}]}\n\n"));
}

/* Two calls of the same arguments by turns, cut at every byte. */
static void test_arguments_cut_at_every_byte(void **state)
{
        static const struct sg_str input =
                SG_STR("{\"a\":\"\\\"}{\\\\\",\"b\":[1,{\"c\":\"\\u00e9\"}],\"d\":-1.5e300}");
        char want[256];

        snprintf(want, sizeof(want), "f(c0:%s) f(c1:%s) tool_use", input.p, input.p);
        for (size_t cut = 0; cut <= input.n; cut++) {
                for (unsigned is_mixed = 0; is_mixed < 2; is_mixed++) {
                        struct sg_buf bytes;

                        sg_buf_init(&bytes, OUT_BYTES_MAX);
                        for (unsigned i = 0; i < 4; i++) {
                                unsigned which = is_mixed ? i & 1 : i >> 1;
                                bool is_first = is_mixed ? i < 2 : !(i & 1);

                                add_arguments_piece(&bytes, which, is_first,
                                                    is_first ? sg_str_head(input, cut) : sg_str_skip(input, cut));
                        }
                        add(&bytes, SG_STR(FINISH("tool_calls") DONE));
                        assert_told(sg_buf_view(&bytes), want);
                        sg_buf_done(&bytes);
                }
        }
}

/* ---- errors */

static void test_nonsense(void **state)
{
        assert_nonsense(SG_OP_CHAT, SG_STR("data: {\n\n"), "not a JSON object");
        assert_nonsense(SG_OP_CHAT, SG_STR("data: {\"choices\":5}\n\n"), "makes no sense");
        assert_nonsense(SG_OP_CHAT, SG_STR(CHUNK("\"content\":{\"text\":\"a\"}")), "makes no sense");
        assert_nonsense(SG_OP_CHAT, SG_STR(CALL("0", "a", "", "{}") FINISH("tool_calls") DONE), "without a name");
        assert_nonsense(SG_OP_CHAT,
                        SG_STR(CALL("0", "a", "f", "{}") CALL("1", "b", "g", "{}") ARGUMENTS("0", "{}") FINISH("stop")),
                        "behind their end");
}

static void test_what_is_no_call_is_ignored(void **state)
{
        assert_told(SG_STR(CHUNK("\"tool_calls\":[7,{},{\"index\":0,\"function\":null}]") CHUNK("\"tool_calls\":{}")
                                   CHUNK_REST("7,{\"delta\":null},{\"delta\":[]}", "") FINISH("stop") DONE),
                    "end_turn");
}

static void add_long_piece(struct sg_buf *b, const char *before, const char *after)
{
        char *room;

        add(b, sg_str_from(before));
        assert_int_equal(sg_buf_reserve(b, 1u << 20, &room), 0);
        memset(room, 'x', 1u << 20);
        sg_buf_added(b, 1u << 20);
        add(b, sg_str_from(after));
}

static void test_more_than_may_be_held(void **state)
{
        struct sg_buf bytes;
        struct run t;

        sg_buf_init(&bytes, 16u << 20);
        add(&bytes, SG_STR(CALL("0", "a", "f", "{")));
        for (int i = 0; i < 4; i++)
                add_long_piece(
                        &bytes,
                        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"",
                        "\"}}]}}]}\n\n");
        run(&t, SG_OP_CHAT, sg_buf_view(&bytes));
        assert_int_equal(t.r, SG_LLM_E_NOT_JSON);
        assert_non_null(strstr(t.fault.text, "too much of it must wait"));
        end(&t);
        sg_buf_done(&bytes);
}

static void test_more_blocks_than_may_be(void **state)
{
        struct sg_buf bytes;
        struct run t;

        sg_buf_init(&bytes, OUT_BYTES_MAX);
        for (unsigned i = 0; i < SG_LLM_BLOCKS_MAX / 2; i++)
                add(&bytes, SG_STR(CONTENT("a") REASONING("b")));
        run(&t, SG_OP_CHAT, sg_buf_view(&bytes));
        assert_int_equal(t.r, 0);
        end(&t);
        add(&bytes, SG_STR(CONTENT("a")));
        run(&t, SG_OP_CHAT, sg_buf_view(&bytes));
        assert_int_equal(t.r, SG_LLM_E_NOT_JSON);
        assert_non_null(strstr(t.fault.text, "too many blocks"));
        end(&t);
        sg_buf_done(&bytes);
}

static void test_output_full_at_every_maximum(void **state)
{
        assert_full_at_every_maximum(SG_OP_CHAT, SG_STR(REASONING("Hm") CONTENT("a") CALL("0", "c1", "f", "{")
                                                                CALL("1", "c2", "g", "{") ARGUMENTS("0", "}")
                                                                        FINISH("tool_calls") DONE));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text_and_usage),
                cmocka_unit_test(test_usage_wherever_it_stands),
                cmocka_unit_test(test_usage_that_is_known_at_the_begin),
                cmocka_unit_test(test_blocks_end_with_the_finish_reason),
                cmocka_unit_test(test_no_end_is_made_up),
                cmocka_unit_test(test_nothing_after_the_end),
                cmocka_unit_test(test_ids_of_the_exchange_where_there_is_none),
                cmocka_unit_test(test_only_the_first_choice_counts),
                cmocka_unit_test(test_stop_reasons),
                cmocka_unit_test(test_refusal),
                cmocka_unit_test(test_content_in_parts),
                cmocka_unit_test(test_reasoning),
                cmocka_unit_test(test_signatures),
                cmocka_unit_test(test_a_signature_of_another_text_is_not_given),
                cmocka_unit_test(test_calls_one_after_the_other_are_not_held),
                cmocka_unit_test(test_the_second_call_goes_on_as_soon_as_the_first_is_whole),
                cmocka_unit_test(test_calls_of_which_the_provider_says_less),
                cmocka_unit_test(test_every_interleaving_of_two_calls),
                cmocka_unit_test(test_arguments_cut_at_every_byte),
                cmocka_unit_test(test_nonsense),
                cmocka_unit_test(test_what_is_no_call_is_ignored),
                cmocka_unit_test(test_more_than_may_be_held),
                cmocka_unit_test(test_more_blocks_than_may_be),
                cmocka_unit_test(test_output_full_at_every_maximum),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
