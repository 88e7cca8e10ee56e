#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "llm/llm.h"

struct talk {
        struct sg_echo echo;
        struct sg_buf out;
};

static struct sg_json_value answer(struct talk *t, enum sg_operation op, struct sg_str body)
{
        struct sg_llm_fault fault = {0};
        struct sg_json_value whole;

        if (sg_echo_init(&t->echo, op, body, &fault))
                fail_msg("%s", fault.text);
        sg_buf_init(&t->out, 1u << 20);
        assert_int_equal(sg_echo_add_answer(&t->echo, &t->out), 0);
        assert_int_equal(sg_json_check(sg_buf_view(&t->out), &whole, NULL), 0);
        return whole;
}

static void end(struct talk *t)
{
        sg_buf_done(&t->out);
        sg_echo_done(&t->echo);
}

static void assert_at(struct sg_json_value whole, const char *path, const char *want)
{
        struct sg_json_value v = sg_json_path(whole, sg_str_from(path));

        if (!sg_str_eq(v.text, sg_str_from(want)))
                fail_msg("%s is " SG_STR_FMT ", want %s", path, SG_STR_ARG(v.text), want);
}

static void test_a_chat_answers_with_the_last_user_message(void **state)
{
        struct talk t;
        struct sg_json_value v = answer(
                &t, SG_OP_CHAT,
                SG_STR("{\"model\":\"echo-1\",\"messages\":[{\"role\":\"system\",\"content\":\"be "
                       "kind\"},{\"role\":\"user\","
                       "\"content\":\"first\"},{\"role\":\"user\",\"content\":\"say \\\"hi\\\"\\nto me\"},{\"role\":"
                       "\"assistant\",\"content\":null}]}"));
        struct sg_str id = sg_json_get(v, SG_STR("id")).text;

        assert_at(v, "object", "\"chat.completion\"");
        assert_at(v, "model", "\"echo-1\"");
        assert_at(v, "choices.0.message.role", "\"assistant\"");
        assert_at(v, "choices.0.message.content", "\"say \\\"hi\\\"\\nto me\"");
        assert_at(v, "choices.0.finish_reason", "\"stop\"");
        assert_at(v, "usage.prompt_tokens", "7");
        assert_at(v, "usage.completion_tokens", "4");
        assert_at(v, "usage.total_tokens", "11");
        assert_true(sg_str_starts(id, SG_STR("\"chatcmpl-echo-")));
        assert_int_equal(id.n, 2 + 14 + 16);
        assert_int_equal(sg_json_get(v, SG_STR("created")).kind, SG_JSON_NUMBER);
        end(&t);
}

static void test_parts_are_joined_by_spaces(void **state)
{
        struct talk t;
        struct sg_json_value v =
                answer(&t, SG_OP_CHAT,
                       SG_STR("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"one\"},"
                              "{\"type\":\"image_url\",\"image_url\":{\"url\":\"x\"}},{\"type\":\"text\",\"text\":"
                              "\"two\"}]}]}"));

        assert_at(v, "choices.0.message.content", "\"one two\"");
        assert_at(v, "model", "\"echo\"");
        end(&t);
}

static void test_without_user_text_the_answer_says_so(void **state)
{
        static const struct sg_str bodies[] = {
                SG_STR("{\"messages\":[]}"),
                SG_STR("{\"messages\":[{\"role\":\"system\",\"content\":\"x\"}]}"),
                SG_STR("{\"messages\":[{\"role\":\"user\"}]}"),
                SG_STR("{\"messages\":[{\"role\":\"user\",\"content\":\" \\n \"}]}"),
                SG_STR("{\"messages\":[{\"role\":\"user\",\"content\":[]}]}"),
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(bodies); i++) {
                struct talk t;
                struct sg_json_value v = answer(&t, SG_OP_CHAT, bodies[i]);

                assert_at(v, "choices.0.message.content", "\"(empty)\"");
                assert_at(v, "usage.prompt_tokens", "1");
                assert_at(v, "usage.completion_tokens", "1");
                end(&t);
        }
}

static void test_max_tokens_cuts(void **state)
{
        struct talk t;
        struct sg_json_value v = answer(
                &t, SG_OP_CHAT, SG_STR("{\"max_tokens\":2,\"messages\":[{\"role\":\"user\",\"content\":\"a b c\"}]}"));

        assert_at(v, "choices.0.message.content", "\"a b \"");
        assert_at(v, "choices.0.finish_reason", "\"length\"");
        assert_at(v, "usage.completion_tokens", "2");
        end(&t);
        v = answer(&t, SG_OP_CHAT,
                   SG_STR("{\"max_completion_tokens\":3,\"messages\":[{\"role\":\"user\",\"content\":\"a b c\"}]}"));
        assert_at(v, "choices.0.finish_reason", "\"stop\"");
        end(&t);
}

static void test_completions_answer_with_the_prompt(void **state)
{
        struct talk t;
        struct sg_json_value v = answer(&t, SG_OP_COMPLETION, SG_STR("{\"model\":\"m\",\"prompt\":[\"a b\",\"c\"]}"));

        assert_at(v, "object", "\"text_completion\"");
        assert_at(v, "choices.0.text", "\"a b c\"");
        assert_at(v, "usage.prompt_tokens", "3");
        end(&t);
        v = answer(&t, SG_OP_COMPLETION, SG_STR("{\"model\":\"m\",\"prompt\":\"x\"}"));
        assert_at(v, "choices.0.text", "\"x\"");
        end(&t);
        v = answer(&t, SG_OP_COMPLETION, SG_STR("{\"model\":\"m\",\"prompt\":[1,2]}"));
        assert_at(v, "choices.0.text", "\"(empty)\"");
        end(&t);
}

static double length_of(struct sg_json_value vector)
{
        struct sg_json_value v;
        double sum = 0;
        size_t at = 0;

        while (sg_json_each(vector, &at, NULL, &v)) {
                char text[32];
                double x;

                snprintf(text, sizeof(text), SG_STR_FMT, SG_STR_ARG(v.text));
                assert_int_equal(sscanf(text, "%lf", &x), 1);
                sum += x * x;
        }
        return sqrt(sum);
}

static void test_embeddings_are_unit_vectors_of_their_text(void **state)
{
        struct talk t;
        struct sg_json_value v = answer(
                &t, SG_OP_EMBEDDINGS, SG_STR("{\"model\":\"e\",\"input\":[\"one two\",\"three\",\"one\\u0020two\"]}"));

        assert_at(v, "object", "\"list\"");
        assert_at(v, "data.2.index", "2");
        assert_at(v, "data.0.object", "\"embedding\"");
        assert_at(v, "usage.prompt_tokens", "5");
        assert_at(v, "usage.total_tokens", "5");
        assert_int_equal(sg_json_path(v, SG_STR("data.3")).kind, SG_JSON_NONE);
        assert_int_equal(sg_json_path(v, SG_STR("data.0.embedding.7")).kind, SG_JSON_NUMBER);
        assert_int_equal(sg_json_path(v, SG_STR("data.0.embedding.8")).kind, SG_JSON_NONE);
        for (int i = 0; i < 3; i++) {
                char path[32];

                snprintf(path, sizeof(path), "data.%d.embedding", i);
                assert_true(fabs(length_of(sg_json_path(v, sg_str_from(path))) - 1.0) < 1e-6);
        }
        assert_true(sg_str_eq(sg_json_path(v, SG_STR("data.0.embedding")).text,
                              sg_json_path(v, SG_STR("data.2.embedding")).text));
        assert_false(sg_str_eq(sg_json_path(v, SG_STR("data.0.embedding")).text,
                               sg_json_path(v, SG_STR("data.1.embedding")).text));
        end(&t);
}

/* The official npm client asks for base64 unless told otherwise. */
static void test_embeddings_as_base64_are_the_same_floats(void **state)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        unsigned char bytes[36];
        struct sg_json_value v;
        struct sg_str text;
        struct talk t;
        char first[16];
        uint32_t bits;
        float x;

        v = answer(&t, SG_OP_EMBEDDINGS, SG_STR("{\"model\":\"e\",\"input\":\"one\",\"encoding_format\":\"base64\"}"));
        assert_true(sg_json_plain(sg_json_path(v, SG_STR("data.0.embedding")), &text));
        assert_int_equal(text.n, 44);
        assert_int_equal(text.p[43], '=');
        for (size_t i = 0; i < 11; i++) {
                unsigned n = 0;

                for (size_t k = 0; k < 4; k++) {
                        const char *hit = memchr(digits, text.p[4 * i + k], 64);

                        n = n << 6 | (hit ? (unsigned)(hit - digits) : 0);
                }
                bytes[3 * i] = (unsigned char)(n >> 16);
                bytes[3 * i + 1] = (unsigned char)(n >> 8);
                bytes[3 * i + 2] = (unsigned char)n;
        }
        bits = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
        memcpy(&x, &bits, 4);
        snprintf(first, sizeof(first), "%.6f", (double)x);
        end(&t);

        v = answer(&t, SG_OP_EMBEDDINGS, SG_STR("{\"model\":\"e\",\"input\":\"one\",\"encoding_format\":\"float\"}"));
        text = sg_json_path(v, SG_STR("data.0.embedding.0")).text;
        assert_true(text.n >= 8);
        assert_memory_equal(first, text.p, 7);
        end(&t);
}

static void test_embeddings_of_tokens(void **state)
{
        struct talk t;
        struct sg_json_value v = answer(&t, SG_OP_EMBEDDINGS, SG_STR("{\"model\":\"e\",\"input\":[1,2,3]}"));

        assert_at(v, "usage.prompt_tokens", "3");
        assert_int_equal(sg_json_path(v, SG_STR("data.1")).kind, SG_JSON_NONE);
        end(&t);
        v = answer(&t, SG_OP_EMBEDDINGS, SG_STR("{\"model\":\"e\",\"input\":[[1,2],[3]]}"));
        assert_int_equal(sg_json_path(v, SG_STR("data.1")).kind, SG_JSON_OBJECT);
        end(&t);
}

static void test_bad_requests_are_refused(void **state)
{
        static const struct {
                enum sg_operation op;
                struct sg_str body;
                int code;
                const char *param;
        } cases[] = {
                {SG_OP_CHAT, SG_STR("{"), SG_LLM_E_BAD_JSON, ""},
                {SG_OP_CHAT, SG_STR("{\"model\":\"m\"}"), SG_LLM_E_BAD_FIELD, "messages"},
                {SG_OP_CHAT, SG_STR("{\"messages\":[1]}"), SG_LLM_E_BAD_FIELD, "messages"},
                {SG_OP_CHAT, SG_STR("{\"messages\":[{}]}"), SG_LLM_E_BAD_FIELD, "messages"},
                {SG_OP_CHAT, SG_STR("{\"messages\":[{\"role\":\"user\",\"content\":5}]}"), SG_LLM_E_BAD_FIELD,
                 "messages"},
                {SG_OP_COMPLETION, SG_STR("{\"prompt\":5}"), SG_LLM_E_BAD_FIELD, "prompt"},
                {SG_OP_EMBEDDINGS, SG_STR("{}"), SG_LLM_E_BAD_FIELD, "input"},
                {SG_OP_EMBEDDINGS, SG_STR("{\"input\":[]}"), SG_LLM_E_BAD_FIELD, "input"},
                {SG_OP_EMBEDDINGS, SG_STR("{\"input\":[\"a\",null]}"), SG_LLM_E_BAD_FIELD, "input"},
                {SG_OP_EMBEDDINGS, SG_STR("{\"input\":[1,\"a\"]}"), SG_LLM_E_BAD_FIELD, "input"},
                {SG_OP_EMBEDDINGS, SG_STR("{\"input\":\"a\",\"encoding_format\":\"hex\"}"), SG_LLM_E_BAD_FIELD,
                 "encoding_format"},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct sg_llm_fault fault = {0};
                struct sg_echo e;

                assert_int_equal(sg_echo_init(&e, cases[i].op, cases[i].body, &fault), cases[i].code);
                assert_string_equal(fault.param, cases[i].param);
                assert_true(fault.text[0]);
        }
}

/* All events; the contents joined. Each must be an event of its own, and JSON or [DONE]. */
static size_t stream(struct talk *t, enum sg_operation op, struct sg_str body, struct sg_buf *text)
{
        struct sg_str content = op == SG_OP_CHAT ? SG_STR("choices.0.delta.content") : SG_STR("choices.0.text");
        bool last = false;
        size_t n = 0;

        assert_int_equal(sg_echo_init(&t->echo, op, body, NULL), 0);
        assert_true(t->echo.is_stream);
        sg_buf_init(&t->out, 1u << 20);
        sg_buf_init(text, 1u << 20);
        for (; !last; n++) {
                size_t before = sg_buf_length(&t->out);
                struct sg_json_value v;
                struct sg_str event;

                assert_int_equal(sg_echo_add_event(&t->echo, &t->out, &last), 0);
                event = sg_str_skip(sg_buf_view(&t->out), before);
                assert_true(sg_str_starts(event, SG_STR("data: ")) && sg_str_ends(event, SG_STR("\n\n")));
                event = sg_str_make(event.p + 6, event.n - 8);
                if (last) {
                        assert_true(sg_str_eq(event, SG_STR("[DONE]")));
                        break;
                }
                assert_int_equal(sg_json_check(event, &v, NULL), 0);
                v = sg_json_path(v, content);
                if (v.kind == SG_JSON_STRING)
                        assert_int_equal(sg_json_add_decoded(text, v), 0);
        }
        return n;
}

static void test_a_stream_goes_word_by_word(void **state)
{
        struct sg_buf text;
        struct sg_str out;
        struct talk t;
        size_t n = stream(&t, SG_OP_CHAT,
                          SG_STR("{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":"
                                 "\" one  two\\nthree \"}]}"),
                          &text);

        assert_int_equal(n, 5); /* role, three words, finish; then [DONE] */
        assert_true(sg_str_eq(sg_buf_view(&text), SG_STR(" one  two\nthree ")));
        out = sg_buf_view(&t.out);
        assert_true(sg_str_find(out, SG_STR("{\"role\":\"assistant\",\"content\":\"\"}")) < out.n);
        assert_true(sg_str_find(out, SG_STR("{\"content\":\" one  \"}")) < out.n);
        assert_true(sg_str_find(out, SG_STR("\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"")) < out.n);
        assert_int_equal(sg_str_find(out, SG_STR("usage")), out.n);
        sg_buf_done(&text);
        end(&t);
}

static void test_a_stream_gives_usage_when_asked(void **state)
{
        struct sg_buf text;
        struct sg_str out;
        struct talk t;
        size_t n = stream(&t, SG_OP_CHAT,
                          SG_STR("{\"stream\":true,\"stream_options\":{\"include_usage\":true},\"messages\":[{\"role\":"
                                 "\"user\",\"content\":\"one two\"}]}"),
                          &text);

        assert_int_equal(n, 5);
        out = sg_buf_view(&t.out);
        assert_true(sg_str_find(out, SG_STR("\"usage\":null")) < out.n);
        assert_true(sg_str_find(out, SG_STR("\"choices\":[],\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":2,"
                                            "\"total_tokens\":4}}\n\ndata: [DONE]\n\n")) < out.n);
        sg_buf_done(&text);
        end(&t);
}

static void test_text_without_spaces_is_cut_between_characters(void **state)
{
        static const struct sg_str cjk =
                SG_STR("\xe4\xbd\xa0\xe5\xa5\xbd\xef\xbc\x8c\xe4\xb8\x96\xe7\x95\x8c\xe3\x80\x82");
        struct sg_buf text, body;
        struct talk t;

        sg_buf_init(&body, 8192);
        assert_int_equal(sg_buf_printf(&body, "{\"stream\":true,\"prompt\":\"" SG_STR_FMT "\"}", SG_STR_ARG(cjk)), 0);
        assert_int_equal(stream(&t, SG_OP_COMPLETION, sg_buf_view(&body), &text), 3); /* 4 + 2 characters, finish */
        assert_true(sg_str_eq(sg_buf_view(&text), cjk));
        assert_int_equal(t.echo.output_tokens, 2);
        sg_buf_done(&text);
        end(&t);

        sg_buf_clear(&body);
        assert_int_equal(sg_buf_printf(&body, "{\"stream\":true,\"prompt\":\"%03000d\"}", 7), 0);
        assert_int_equal(stream(&t, SG_OP_COMPLETION, sg_buf_view(&body), &text), 4); /* 1024 + 1024 + 952, finish */
        sg_buf_done(&text);
        end(&t);
        sg_buf_done(&body);
}

static void test_a_full_buffer_loses_no_event(void **state)
{
        struct sg_str body = SG_STR("{\"stream\":true,\"prompt\":\"one two\"}");
        struct sg_buf small, whole;
        struct sg_echo e;
        bool last = false;

        assert_int_equal(sg_echo_init(&e, SG_OP_COMPLETION, body, NULL), 0);
        sg_buf_init(&small, 300);
        sg_buf_init(&whole, 1u << 16);
        while (!last) {
                int r = sg_echo_add_event(&e, &small, &last);

                if (r == 0)
                        continue;
                assert_int_equal(r, SG_BUF_E_FULL);
                assert_true(sg_buf_length(&small) > 0);
                assert_int_equal(sg_buf_add(&whole, sg_buf_view(&small)), 0);
                sg_buf_clear(&small);
        }
        assert_int_equal(sg_buf_add(&whole, sg_buf_view(&small)), 0);
        assert_true(sg_str_find(sg_buf_view(&whole), SG_STR("\"text\":\"one \"")) < sg_buf_length(&whole));
        assert_true(sg_str_find(sg_buf_view(&whole), SG_STR("\"text\":\"two\"")) < sg_buf_length(&whole));
        assert_true(sg_str_ends(sg_buf_view(&whole), SG_STR("data: [DONE]\n\n")));
        sg_buf_done(&small);
        sg_buf_done(&whole);
        sg_echo_done(&e);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_chat_answers_with_the_last_user_message),
                cmocka_unit_test(test_parts_are_joined_by_spaces),
                cmocka_unit_test(test_without_user_text_the_answer_says_so),
                cmocka_unit_test(test_max_tokens_cuts),
                cmocka_unit_test(test_completions_answer_with_the_prompt),
                cmocka_unit_test(test_embeddings_are_unit_vectors_of_their_text),
                cmocka_unit_test(test_embeddings_as_base64_are_the_same_floats),
                cmocka_unit_test(test_embeddings_of_tokens),
                cmocka_unit_test(test_bad_requests_are_refused),
                cmocka_unit_test(test_a_stream_goes_word_by_word),
                cmocka_unit_test(test_a_stream_gives_usage_when_asked),
                cmocka_unit_test(test_text_without_spaces_is_cut_between_characters),
                cmocka_unit_test(test_a_full_buffer_loses_no_event),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
