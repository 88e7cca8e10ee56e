/*
 * Checks over HTTP/2 against our own codec in the server's role, in memory: what is asked, and what each answer shows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/h2.h"
#include "probe/ask_h2.h"

struct answer {
        unsigned status;
        const char *fields;
        struct sg_str body;
        const char *trailers; /* NULL: none */
        bool is_reset;
        enum sg_probe_fault fault; /* SG_PROBE_F_NONE: alive */
        const char *text;
};

struct server {
        const struct answer *answer;
        struct sg_h2_stream stream;
        char method[8], path[128], authority[64], type[64], te[16];
        struct sg_buf body;
        unsigned n_heads;
};

static void copy(char *out, size_t out_bytes, struct sg_str s)
{
        assert_true(s.n < out_bytes);
        memcpy(out, s.p ? s.p : "", s.n);
        out[s.n] = '\0';
}

static void answer(struct server *v)
{
        const struct answer *a = v->answer;

        if (a->is_reset) {
                sg_h2_untie(&v->stream, SG_H2_RESET_REFUSED);
                return;
        }
        assert_int_equal(
                sg_h2_send_head(&v->stream, a->status, sg_str_from(a->fields), false, 0, !a->body.p && !a->trailers),
                0);
        if (a->body.p)
                assert_int_equal(sg_h2_send_body(&v->stream, &a->body, 1, !a->trailers), 0);
        if (a->trailers)
                assert_int_equal(sg_h2_send_trailers(&v->stream, sg_str_from(a->trailers)), 0);
}

static void on_head(struct sg_h2 *h, int32_t id, const struct sg_head *head, bool is_end, void *owner)
{
        struct server *v = owner;

        v->n_heads++;
        copy(v->method, sizeof(v->method), head->method_text);
        copy(v->path, sizeof(v->path), head->target);
        copy(v->authority, sizeof(v->authority), head->host);
        copy(v->type, sizeof(v->type), sg_head_value(head, SG_STR("content-type")));
        copy(v->te, sizeof(v->te), sg_head_value(head, SG_STR("te")));
        sg_h2_tie(h, id, &v->stream, v);
        if (is_end)
                answer(v);
}

static void on_body(struct sg_h2_stream *s, struct sg_str bytes)
{
        struct server *v = s->owner;

        assert_int_equal(sg_buf_add(&v->body, bytes), 0);
        sg_h2_consume(s, bytes.n);
}

static void on_end(struct sg_h2_stream *s)
{
        answer(s->owner);
}

static void on_reset(struct sg_h2_stream *s, enum sg_h2_reset why)
{
}

static const struct sg_h2_events events = {
        .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_reset = on_reset};

/* Both ends in turn, the server's bytes in pieces of `piece`, until there is a judgement or nobody says anything. */
static enum sg_judgement talk(struct server *v, const struct sg_config_service *s, const struct sg_config_endpoint *e,
                              size_t piece, struct sg_judge_words *words)
{
        const struct sg_h2_limits limits = {.n_streams_max = 1, .stream_window = 65535, .connection_window = 65535};
        enum sg_judgement j = SG_JUDGEMENT_MORE;
        struct sg_buf up, down;
        struct ask_h2 *a;
        struct sg_h2 *h;

        assert_int_equal(ask_h2_new(&a, s, e), 0);
        assert_int_equal(sg_h2_new(&h, &limits, &events, v), 0);
        sg_buf_init(&v->body, 65536);
        sg_buf_init(&up, ASK_H2_OUT_BYTES_MAX);
        sg_buf_init(&down, 1024 * 1024);
        j = ask_h2_turn(a, SG_STR_NONE, &up, words);
        while (j == SG_JUDGEMENT_MORE && sg_buf_length(&up)) {
                struct sg_str rest;

                assert_int_equal(sg_h2_receive(h, sg_buf_view(&up)), 0);
                sg_buf_clear(&up);
                assert_int_equal(sg_h2_produce(h, &down, SIZE_MAX), 0);
                for (rest = sg_buf_view(&down); rest.n && j == SG_JUDGEMENT_MORE;
                     rest = sg_str_skip(rest, SG_MIN(piece, rest.n)))
                        j = ask_h2_turn(a, sg_str_head(rest, SG_MIN(piece, rest.n)), &up, words);
                sg_buf_clear(&down);
        }
        sg_buf_done(&up);
        sg_buf_done(&down);
        ask_h2_free(a);
        sg_h2_free(h);
        return j;
}

static void check(const struct answer *a, const struct sg_config_service *s, const struct sg_config_endpoint *e)
{
        for (size_t piece = 1; piece <= 4096; piece *= 8) {
                struct sg_judge_words words = {SG_PROBE_F_NONE, ""};
                struct server v = {.answer = a};
                const enum sg_judgement j = talk(&v, s, e, piece, &words);

                if (j != (a->fault ? SG_JUDGEMENT_DEAD : SG_JUDGEMENT_ALIVE) || words.fault != a->fault ||
                    strcmp(words.text, a->text) != 0)
                        print_error("'%s' in place of '%s'\n", words.text, a->text);
                assert_int_equal(j, a->fault ? SG_JUDGEMENT_DEAD : SG_JUDGEMENT_ALIVE);
                assert_int_equal(words.fault, a->fault);
                assert_string_equal(words.text, a->text);
                assert_int_equal(v.n_heads, 1);
                assert_string_equal(v.authority, e->authority);
                if (s->check == SG_CHECK_GRPC) {
                        assert_string_equal(v.method, "POST");
                        assert_string_equal(v.path, "/grpc.health.v1.Health/Check");
                        assert_string_equal(v.type, "application/grpc");
                        assert_string_equal(v.te, "trailers");
                        assert_true(sg_str_eq(sg_buf_view(&v.body), SG_STR("\0\0\0\0\x0b\x0a\x09q.v1.Find")));
                } else {
                        assert_string_equal(v.method, "GET");
                        assert_string_equal(v.path, "/v2/health?x=1");
                        assert_int_equal(sg_buf_length(&v.body), 0);
                }
                sg_buf_done(&v.body);
        }
}

#define GRPC "content-type: application/grpc+proto\r\n"

static void test_http(void **state)
{
        static const struct answer answers[] = {
                {200, "", SG_STR("all well"), NULL, false, SG_PROBE_F_NONE, ""},
                {204, "", SG_STR_NONE, NULL, false, SG_PROBE_F_NONE, ""},
                {399, "", SG_STR_NONE, NULL, false, SG_PROBE_F_NONE, ""},
                {400, "", SG_STR_NONE, NULL, false, SG_PROBE_F_UNAVAILABLE, "status 400"},
                {503, "", SG_STR("away"), NULL, false, SG_PROBE_F_UNAVAILABLE, "status 503"},
                {0, "", SG_STR_NONE, NULL, true, SG_PROBE_F_CLOSED, "reset before an answer (refused)"},
        };
        const struct sg_config_service s = {
                .check = SG_CHECK_HTTP, .protocol = SG_PROTOCOL_HTTP2, .health_path = "/health?x=1"};
        const struct sg_config_endpoint e = {.authority = "query.example:8082", .path_prefix = "/v2"};

        for (size_t i = 0; i < SG_N_ELEMENTS(answers); i++)
                check(&answers[i], &s, &e);
}

static void test_grpc(void **state)
{
        static char long_body[ASK_H2_BODY_BYTES_MAX + 1];
        const struct answer answers[] = {
                {200, GRPC, SG_STR("\0\0\0\0\x02\x08\x01"), "grpc-status: 0\r\n", false, SG_PROBE_F_NONE, ""},
                {200, GRPC, SG_STR("\0\0\0\0\x02\x08\x02"), "grpc-status: 0\r\n", false, SG_PROBE_F_UNAVAILABLE,
                 "it says: NOT_SERVING"},
                {200, GRPC, SG_STR("\0\0\0\0\0"), "grpc-status: 0\r\n", false, SG_PROBE_F_UNAVAILABLE,
                 "it says: UNKNOWN"},
                /* Serving, and then not, all the same. */
                {200, GRPC, SG_STR("\0\0\0\0\x02\x08\x01"), "grpc-status: 14\r\ngrpc-message: going\r\n", false,
                 SG_PROBE_F_UNAVAILABLE, "grpc-status 14: going"},
                /* Trailers alone: the head is the end. */
                {200, GRPC "grpc-status: 5\r\ngrpc-message: unknown service\r\n", SG_STR_NONE, NULL, false,
                 SG_PROBE_F_UNAVAILABLE, "grpc-status 5: unknown service"},
                {200, GRPC "grpc-status: 0\r\n", SG_STR_NONE, NULL, false, SG_PROBE_F_GARBAGE,
                 "the answer is not that of a health check"},
                {200, GRPC, SG_STR("\0\0\0\0\x02\x08\x01"), NULL, false, SG_PROBE_F_GARBAGE,
                 "the answer has no grpc-status"},
                {200, GRPC, SG_STR("\0\0\0\0\x02\x08\x01"), "grpc-status: -1\r\n", false, SG_PROBE_F_GARBAGE,
                 "the answer has no grpc-status"},
                {200, "content-type: text/html\r\n", SG_STR("<html>"), NULL, false, SG_PROBE_F_GARBAGE,
                 "the answer is not gRPC's"},
                {200, GRPC, sg_str_make(long_body, sizeof(long_body)), "grpc-status: 0\r\n", false, SG_PROBE_F_GARBAGE,
                 "the answer is too long for that of a health check"},
                {404, "", SG_STR("none"), NULL, false, SG_PROBE_F_UNAVAILABLE, "status 404"},
                {302, GRPC, SG_STR_NONE, NULL, false, SG_PROBE_F_UNAVAILABLE, "status 302"},
        };
        const struct sg_config_service s = {.check = SG_CHECK_GRPC, .health_path = "q.v1.Find"};
        const struct sg_config_endpoint e = {.authority = "127.0.0.1:50051", .path_prefix = ""};

        for (size_t i = 0; i < SG_N_ELEMENTS(answers); i++)
                check(&answers[i], &s, &e);
}

static void test_other_protocols_are_garbage(void **state)
{
        static const char *const said[] = {"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
                                           "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"};
        const struct sg_config_service s = {.check = SG_CHECK_GRPC, .health_path = ""};
        const struct sg_config_endpoint e = {.authority = "localhost", .path_prefix = ""};

        for (size_t i = 0; i < SG_N_ELEMENTS(said); i++) {
                struct sg_judge_words words;
                struct ask_h2 *a;
                struct sg_buf out;

                assert_int_equal(ask_h2_new(&a, &s, &e), 0);
                sg_buf_init(&out, ASK_H2_OUT_BYTES_MAX);
                assert_int_equal(ask_h2_turn(a, SG_STR_NONE, &out, &words), SG_JUDGEMENT_MORE);
                assert_true(sg_str_starts(sg_buf_view(&out), SG_H2_PREFACE));
                assert_int_equal(ask_h2_turn(a, sg_str_from(said[i]), &out, &words), SG_JUDGEMENT_DEAD);
                assert_int_equal(words.fault, SG_PROBE_F_GARBAGE);
                assert_string_equal(words.text, "the answer is not HTTP/2's (broken)");
                sg_buf_done(&out);
                ask_h2_free(a);
        }
}

/* ---- the messages themselves */

static void test_requests_of_grpc(void **state)
{
        static const struct {
                size_t n;
                struct sg_str begin;
        } cases[] = {
                {0, SG_STR("\0\0\0\0\0")},
                {1, SG_STR("\0\0\0\0\x03\x0a\x01")},
                {127, SG_STR("\0\0\0\0\x81\x0a\x7f")},
                {128, SG_STR("\0\0\0\0\x83\x0a\x80\x01")},
                {8000, SG_STR("\0\0\0\x1f\x43\x0a\xc0\x3e")},
        };
        static char name[8000];

        memset(name, 'a', sizeof(name));
        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct sg_buf b;

                sg_buf_init(&b, 65536);
                assert_int_equal(sg_judge_add_grpc_check(&b, sg_str_make(name, cases[i].n)), 0);
                assert_true(sg_str_starts(sg_buf_view(&b), cases[i].begin));
                assert_int_equal(sg_buf_length(&b), cases[i].begin.n + cases[i].n);
                sg_buf_done(&b);
        }
}

static void test_answers_of_grpc(void **state)
{
        static const struct {
                struct sg_str body;
                enum sg_probe_fault fault;
                const char *text;
        } cases[] = {
                {SG_STR("\0\0\0\0\x02\x08\x01"), SG_PROBE_F_NONE, ""},
                {SG_STR("\0\0\0\0\x04\x08\x02\x08\x01"), SG_PROBE_F_NONE, ""},     /* the last one counts */
                {SG_STR("\0\0\0\0\x04\x10\x05\x08\x01"), SG_PROBE_F_NONE, ""},     /* a field of later versions */
                {SG_STR("\0\0\0\0\x07\x0d\1\2\3\4\x08\x01"), SG_PROBE_F_NONE, ""}, /* of 4 bytes */
                {SG_STR("\0\0\0\0\x0b\x11\1\2\3\4\5\6\7\x08\x08\x01"), SG_PROBE_F_NONE, ""}, /* of 8 */
                {SG_STR("\0\0\0\0\x06\x1a\x02\x08\x02\x08\x01"), SG_PROBE_F_NONE, ""},       /* of a length */
                {SG_STR("\0\0\0\0\x03\x08\x81\x00"), SG_PROBE_F_NONE, ""},                   /* longer than needed */
                {SG_STR("\0\0\0\0\x02\x08\x03"), SG_PROBE_F_UNAVAILABLE, "it says: SERVICE_UNKNOWN"},
                {SG_STR("\0\0\0\0\x02\x08\x07"), SG_PROBE_F_UNAVAILABLE, "it says: 7"},
                {SG_STR("\0\0\0\0\x02\x10\x01"), SG_PROBE_F_UNAVAILABLE, "it says: UNKNOWN"},
                {SG_STR("\1\0\0\0\x02\x08\x01"), SG_PROBE_F_GARBAGE, NULL}, /* compressed, which nobody offered */
                {SG_STR("\0\0\0\0\x03\x08\x01"), SG_PROBE_F_GARBAGE, NULL},
                {SG_STR("\0\0\0\0\x01\x08\x01"), SG_PROBE_F_GARBAGE, NULL},
                {SG_STR("\0\0\0\0\x01\x08"), SG_PROBE_F_GARBAGE, NULL},
                {SG_STR("\0\0\0\0\x02\x08\x81"), SG_PROBE_F_GARBAGE, NULL},
                {SG_STR("\0\0\0\0\x02\x00\x01"), SG_PROBE_F_GARBAGE, NULL}, /* there is no field 0 */
                {SG_STR("\0\0\0\0\x02\x0b\x0c"), SG_PROBE_F_GARBAGE, NULL}, /* groups are gone */
                {SG_STR("\0\0\0\0\x03\x1a\x7f\x01"), SG_PROBE_F_GARBAGE, NULL},
                {SG_STR("\0\0\0\0\x0b\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), SG_PROBE_F_GARBAGE, NULL},
                {SG_STR("\0\0\0\0\x0c\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), SG_PROBE_F_GARBAGE, NULL},
                {SG_STR("\0\0\0\0"), SG_PROBE_F_GARBAGE, NULL},
                {SG_STR_NONE, SG_PROBE_F_GARBAGE, NULL},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct sg_judge_words words = {SG_PROBE_F_NONE, ""};
                const enum sg_judgement j = sg_judge_grpc_answer(cases[i].body, &words);

                if (words.fault != cases[i].fault)
                        print_error("case %zu: %s\n", i, words.text);
                assert_int_equal(words.fault, cases[i].fault);
                assert_int_equal(j, cases[i].fault ? SG_JUDGEMENT_DEAD : SG_JUDGEMENT_ALIVE);
                if (cases[i].text)
                        assert_string_equal(words.text, cases[i].text);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_http),
                cmocka_unit_test(test_grpc),
                cmocka_unit_test(test_other_protocols_are_garbage),
                cmocka_unit_test(test_requests_of_grpc),
                cmocka_unit_test(test_answers_of_grpc),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
