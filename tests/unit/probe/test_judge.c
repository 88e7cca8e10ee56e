/* Bytes in, judgement out: what real servers say, what others say on their ports, and all of it cut anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "probe/judge.h"

struct answer {
        struct sg_str bytes;
        enum sg_judgement judgement;
        enum sg_probe_fault fault;
        const char *text;
};

#define ALIVE(literal)                                                                                                 \
        {                                                                                                              \
                SG_STR(literal), SG_JUDGEMENT_ALIVE, SG_PROBE_F_NONE, NULL                                             \
        }
#define MORE(literal)                                                                                                  \
        {                                                                                                              \
                SG_STR(literal), SG_JUDGEMENT_MORE, SG_PROBE_F_NONE, NULL                                              \
        }
#define DEAD(literal, fault, text)                                                                                     \
        {                                                                                                              \
                SG_STR(literal), SG_JUDGEMENT_DEAD, SG_PROBE_F_##fault, text                                           \
        }

#define ENDPOINT SG_PROBE_N /* in place of a kind: the check of an endpoint */

static enum sg_judgement judge(enum sg_probe_kind kind, struct sg_str answer, struct sg_judge_words *words)
{
        return kind == ENDPOINT ? sg_judge_check(answer, words) : sg_judge_answer(kind, answer, words);
}

static void check(enum sg_probe_kind kind, const struct answer *a)
{
        struct sg_judge_words words = {SG_PROBE_F_NONE, ""};
        const enum sg_judgement found = judge(kind, a->bytes, &words);

        if (found != a->judgement || words.fault != a->fault)
                print_error("%u: '%.*s': %s\n", kind, (int)a->bytes.n, a->bytes.p, words.text);
        assert_int_equal(found, a->judgement);
        assert_int_equal(words.fault, a->fault);
        if (a->text)
                assert_string_equal(words.text, a->text);
        /* What is judged alive or dead is so however much of it has come: less is either the same or not enough. */
        for (size_t n = 0; n < a->bytes.n; n++) {
                const enum sg_judgement before = judge(kind, sg_str_head(a->bytes, n), &words);

                assert_true(before == SG_JUDGEMENT_MORE || before == found);
        }
}

#define CHECK(kind, answers)                                                                                           \
        for (size_t i_ = 0; i_ < SG_N_ELEMENTS(answers); i_++)                                                         \
        check(kind, &(answers)[i_])

static void test_redis(void **state)
{
        static const struct answer answers[] = {
                ALIVE("+PONG\r\n"),
                ALIVE("-NOAUTH Authentication required.\r\n"),
                ALIVE("-NOPERM this user has no permissions to run the 'ping' command\r\n"),
                MORE(""),
                MORE("+PON"),
                MORE("+PONG"),
                MORE("+PONG\r"),
                DEAD("-LOADING Redis is loading the dataset in memory\r\n", UNAVAILABLE,
                     "it says: LOADING Redis is loading the dataset in memory"),
                DEAD("-DENIED Redis is running in protected mode\r\n", UNAVAILABLE, NULL),
                DEAD("-ERR max number of clients reached\r\n", UNAVAILABLE, NULL),
                DEAD("-NOAUTHOR\r\n", UNAVAILABLE, NULL),
                DEAD("+PONGO\r\n", GARBAGE, NULL),
                DEAD("+OK\r\n", GARBAGE, "the answer to PING is not PONG"),
                DEAD("HTTP/1.1 400 Bad Request\r\n", GARBAGE, "the answer is not Redis'"),
                DEAD("-\x1b[2Jno\xff\r\n", UNAVAILABLE, "it says: ?[2Jno?"),
                DEAD("\0\0\0\0", GARBAGE, NULL),
        };

        CHECK(SG_PROBE_REDIS, answers);
}

/* An ErrorResponse with its length. */
#define PG_ERROR(length, code, text) "E\0\0\0" length "SFATAL\0VFATAL\0C" code "\0M" text "\0\0"

static void test_postgres(void **state)
{
        static const struct answer answers[] = {
                ALIVE("R\0\0\0\x17\0\0\0\nSCRAM-SHA-256\0\0"),
                ALIVE("R\0\0\0\x08\0\0\0\0"),
                ALIVE(PG_ERROR("\x26", "28000", "no role of")),
                ALIVE(PG_ERROR("\x26", "53300", "too many..")),
                DEAD(PG_ERROR("\x2b", "57P03", "it is starting."), UNAVAILABLE, "it says: it is starting."),
                ALIVE("v\0\0\0\x0c\0\3\0\0\0\0\0\0R\0\0\0\x08\0\0\0\0"),
                MORE("N\0\0\0\x0aSINFO\0"),
                MORE(""),
                MORE("R"),
                MORE("R\0\0\0"),
                MORE("E\0\0\0\x26SFATAL"),
                DEAD("E\0\0\0\x08SFAT", GARBAGE, NULL),
                DEAD("R\0\0\0\x02", GARBAGE, NULL),
                DEAD("R\xff\xff\xff\xff", GARBAGE, NULL),
                DEAD("ECould not fork new process for connection: Cannot allocate memory\n\0", UNAVAILABLE,
                     "it says: Could not fork new process for connection: Cannot allocate memory?"),
                DEAD("E\xff\xff\xff\xff", GARBAGE, NULL),
                DEAD("+PONG\r\n", GARBAGE, "the answer is not PostgreSQL's"),
                DEAD("\0\0\0\0", GARBAGE, NULL),
                DEAD("J\0\0\0\x0a\5\0\0\0", GARBAGE, NULL), /* MySQL's greeting begins like this */
        };

        CHECK(SG_PROBE_POSTGRES, answers);
}

static void test_bolt(void **state)
{
        static const struct answer answers[] = {
                ALIVE("\0\0\4\5"),
                ALIVE("\0\0\0\3"),
                ALIVE("\0\0\0\0"), /* none of our versions: it speaks Bolt all the same */
                MORE("\0\0\4"),
                DEAD("HTTP/1.1 400 Bad Request", GARBAGE, "HTTP answers there, not Bolt"),
                DEAD("\0\0\4\6", GARBAGE, "the answer is not Bolt's"),
                DEAD("\0\1\4\4", GARBAGE, NULL),
                DEAD("-ERR", GARBAGE, NULL),
        };

        CHECK(SG_PROBE_BOLT, answers);
}

static void test_http(void **state)
{
        static const struct answer answers[] = {
                ALIVE("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"),
                ALIVE("HTTP/1.1 204 No Content\r\n\r\n"),
                ALIVE("HTTP/1.0 302 Found\r\nlocation: /login\r\n\r\n"),
                ALIVE("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
                ALIVE("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
                MORE("HTTP/1.1 100 Continue\r\n\r\n"),
                MORE("HTTP/1.1 200 OK\r\ncontent-le"),
                DEAD("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", UNAVAILABLE, "it answers 503"),
                DEAD("HTTP/1.1 500 Oh\r\n\r\n", UNAVAILABLE, "it answers 500"),
                DEAD("HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n", GARBAGE, NULL),
                DEAD("SSH-2.0-OpenSSH_9.2p1\r\n", GARBAGE, NULL),
                DEAD("HTTP/2 200\r\n\r\n", GARBAGE, NULL),
                DEAD("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", GARBAGE, NULL),
        };

        CHECK(SG_PROBE_HTTP, answers);
}

static void test_check_of_an_endpoint(void **state)
{
        static const struct answer answers[] = {
                ALIVE("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n"),
                ALIVE("HTTP/1.0 399 Still\r\n\r\n"),
                ALIVE("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
                MORE("HTTP/1.1 199 Odd\r\n\r\n"),
                MORE("HTTP/1.1 200 OK\r\n"),
                DEAD("HTTP/1.1 400 Bad Request\r\n\r\n", UNAVAILABLE, "status 400"),
                DEAD("HTTP/1.1 401 Unauthorized\r\n\r\n", UNAVAILABLE, "status 401"),
                DEAD("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 503 Away\r\n\r\n", UNAVAILABLE, "status 503"),
                DEAD("HTTP/1.1 101 Switching Protocols\r\n\r\n", GARBAGE, NULL),
                DEAD("\x16\x03\x01", GARBAGE, NULL),
        };

        CHECK(ENDPOINT, answers);
}

static void test_tcp_needs_no_answer(void **state)
{
        struct sg_judge_words words;

        assert_int_equal(sg_judge_answer(SG_PROBE_TCP, SG_STR_NONE, &words), SG_JUDGEMENT_ALIVE);
        assert_int_equal(sg_judge_answer(SG_PROBE_TCP, SG_STR("anything"), &words), SG_JUDGEMENT_ALIVE);
}

/* A stranger who goes on for ever is judged when there is enough of it. */
static void test_no_answer_is_waited_for_without_end(void **state)
{
        static const struct {
                enum sg_probe_kind kind;
                const char *head;
        } endless[] = {{SG_PROBE_REDIS, "+"},
                       {SG_PROBE_REDIS, "-ERR "},
                       {SG_PROBE_HTTP, "HTTP/1.1 200 OK\r\nx: "},
                       {SG_PROBE_POSTGRES, "EFATAL: "}};
        char *bytes = malloc(SG_JUDGE_BYTES_MAX);

        assert_non_null(bytes);
        for (size_t i = 0; i < SG_N_ELEMENTS(endless); i++) {
                struct sg_judge_words words;

                memset(bytes, 'a', SG_JUDGE_BYTES_MAX);
                memcpy(bytes, endless[i].head, strlen(endless[i].head));
                assert_int_equal(sg_judge_answer(endless[i].kind, sg_str_make(bytes, 100), &words), SG_JUDGEMENT_MORE);
                assert_int_equal(sg_judge_answer(endless[i].kind, sg_str_make(bytes, SG_JUDGE_BYTES_MAX), &words),
                                 SG_JUDGEMENT_DEAD);
                assert_int_equal(words.fault, SG_PROBE_F_GARBAGE);
        }
        free(bytes);
}

static void check_question(const struct sg_config_dependency *d, struct sg_str expected)
{
        struct sg_buf b;

        sg_buf_init(&b, 4096);
        assert_int_equal(sg_judge_add_question(&b, d), 0);
        assert_int_equal(sg_buf_length(&b), expected.n);
        assert_memory_equal(sg_buf_view(&b).p, expected.p, expected.n);
        sg_buf_done(&b);
}

static void test_questions(void **state)
{
        struct sg_config_dependency d = {.kind = SG_PROBE_REDIS};
        struct sg_buf b;

        check_question(&d, SG_STR("*1\r\n$4\r\nPING\r\n"));
        d.kind = SG_PROBE_BOLT;
        check_question(&d, SG_STR("\x60\x60\xb0\x17\0\x08\x08\x05\0\x02\x04\x04\0\0\x01\x04\0\0\0\x03"));
        d.kind = SG_PROBE_POSTGRES;
        check_question(&d, SG_STR("\0\0\0\x4f\0\3\0\0user\0scribe-gateway\0database\0postgres\0"
                                  "application_name\0scribe-gateway\0\0"));
        d = (struct sg_config_dependency){.kind = SG_PROBE_HTTP, .path = "/healthz?full=1", .authority = "[::1]:81"};
        sg_buf_init(&b, 4096);
        assert_int_equal(sg_judge_add_question(&b, &d), 0);
        assert_true(sg_str_starts(sg_buf_view(&b), SG_STR("GET /healthz?full=1 HTTP/1.1\r\nhost: [::1]:81\r\n")));
        assert_true(sg_str_ends(sg_buf_view(&b), SG_STR("connection: close\r\n\r\n")));
        sg_buf_done(&b);
        sg_buf_init(&b, 4096);
        d.kind = SG_PROBE_TCP;
        assert_int_equal(sg_judge_add_question(&b, &d), 0);
        assert_int_equal(sg_buf_length(&b), 0);
        sg_buf_done(&b);
}

static void test_question_of_an_endpoint(void **state)
{
        const struct sg_config_service s = {.health_path = "/api/health"};
        const struct sg_config_endpoint e = {.path_prefix = "/v2", .authority = "query.example:8082"};
        struct sg_buf b;

        sg_buf_init(&b, 4096);
        assert_int_equal(sg_judge_add_check(&b, &s, &e), 0);
        assert_true(
                sg_str_starts(sg_buf_view(&b), SG_STR("GET /v2/api/health HTTP/1.1\r\nhost: query.example:8082\r\n")));
        assert_true(sg_str_ends(sg_buf_view(&b), SG_STR("connection: close\r\n\r\n")));
        sg_buf_done(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_redis),
                cmocka_unit_test(test_postgres),
                cmocka_unit_test(test_bolt),
                cmocka_unit_test(test_http),
                cmocka_unit_test(test_check_of_an_endpoint),
                cmocka_unit_test(test_tcp_needs_no_answer),
                cmocka_unit_test(test_no_answer_is_waited_for_without_end),
                cmocka_unit_test(test_questions),
                cmocka_unit_test(test_question_of_an_endpoint),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
