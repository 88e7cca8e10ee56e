/* Answers byte by byte, as a server would send them or as none should: what the client's owner is told, the frames that
 * answer, and who is cut off. The same in one piece, byte by byte and in pieces of a few bytes. */
#include "h2_asker.h"
#include "h2_assert.h"

#define SERVER_SETTINGS "\0\0\0\x04\0\0\0\0\0"

static const size_t all_pieces[] = {SIZE_MAX, 1, 2, 5, 9, 11};

/* A connection that has begun, on both sides, with a request on stream 1. */
static void begin_as(struct asker *a, const struct sg_h2_limits *limits, const char *method, bool is_last)
{
        asker_init_as(a, limits);
        ask_for(a, method, is_last);
        assert_int_equal(asker_produce(a), 0);
        assert_text(&a->frames, is_last ? "S H1." : "S H1");
        assert_int_equal(asker_receive(a, SG_STR(SERVER_SETTINGS), 4), 0);
        assert_int_equal(asker_produce(a), 0);
        assert_text(&a->frames, "Sa");
}

static void begin(struct asker *a, const char *method)
{
        begin_as(a, &owner_limits, method, true);
}

/* What is in `in` goes in; frames are produced behind it. The first failure of both. */
static int hand_over(struct asker *a, struct sg_buf *in, size_t n)
{
        int r, produced;

        r = asker_receive(a, sg_buf_view(in), n);
        sg_buf_clear(in);
        produced = asker_produce(a);
        return r ? r : produced;
}

static void check(struct sg_buf *in, const char *method, bool is_last, const char *told, const char *frames)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(all_pieces); i++) {
                struct asker a;

                begin_as(&a, &owner_limits, method, is_last);
                assert_int_equal(asker_receive(&a, sg_buf_view(in), all_pieces[i]), 0);
                assert_text(&a.text, told);
                assert_int_equal(asker_produce(&a), 0);
                assert_text(&a.frames, frames);
                /* The connection goes on. */
                assert_int_equal(sg_h2_room(a.h), owner_limits.n_streams_max - sg_h2_n_streams(a.h));
                asker_done(&a);
        }
        sg_buf_clear(in);
}

static void check_head(const char *method, struct sg_str fields, bool is_end, const char *told, const char *frames)
{
        struct sg_buf in;

        sg_buf_init(&in, SIZE_MAX);
        add_head(&in, 1, fields, is_end);
        check(&in, method, true, told, frames);
        sg_buf_done(&in);
}

#define GOOD(fields, told) check_head("GET", SG_STR(fields), true, told, "")
#define OPEN(fields, told) check_head("GET", SG_STR(fields), false, told, "")
#define BAD(fields)        check_head("GET", SG_STR(fields), true, "1!protocol", "R1:1")
#define BAD_OPEN(fields)   check_head("GET", SG_STR(fields), false, "1!protocol", "R1:1")

static void test_heads(void **state)
{
        GOOD(":status=200", "<1 200 >.");
        OPEN(":status=200|a=b|c=", "<1 200 |a=b|c=>");
        OPEN(":status=200|content-length=5", "<1 200 l5|content-length=5>");
        GOOD(":status=200|content-length=0", "<1 200 l0|content-length=0>.");
        GOOD(":status=404|set-cookie=a=b|set-cookie=c=d", "<1 404 |set-cookie=a=b|set-cookie=c=d>.");
        GOOD(":status=304|content-length=5", "<1 304 l5|content-length=5>.");
        GOOD(":status=204", "<1 204 >.");
        GOOD(":status=204|content-length=0", "<1 204 >.");
        GOOD(":status=999", "<1 999 >.");
        GOOD(":status=200|a=\xc3\xa9", "<1 200 |a=\xc3\xa9>.");
        GOOD(":status=200|grpc-status=0|content-type=application/grpc",
             "<1 200 |grpc-status=0|content-type=application/grpc>.");
        check_head("HEAD", SG_STR(":status=200|content-length=5"), true, "<1 200 l5|content-length=5>.", "");
        check_head("HEAD", SG_STR(":status=200"), true, "<1 200 >.", "");
}

static void test_malformed_heads(void **state)
{
        BAD("a=b");
        BAD(":status=");
        BAD(":status=20");
        BAD(":status=2000");
        BAD(":status=099");
        BAD(":status=000");
        BAD(":status=+20");
        BAD(":status=abc");
        BAD(":status=101");
        BAD_OPEN(":status=101");
        BAD(":status=200|:status=200");
        BAD("a=b|:status=200");
        BAD(":status=200|:path=/");
        BAD(":status=200|:unknown=a");
        BAD(":status=200|content-length=5");
        BAD(":status=200|content-length=0|content-length=0");
        BAD_OPEN(":status=200|content-length=5|content-length=6");
        BAD_OPEN(":status=200|content-length=5, 5");
        BAD_OPEN(":status=200|content-length=-5");
        BAD_OPEN(":status=200|content-length=");
        BAD_OPEN(":status=200|content-length=9223372036854775808");
        BAD_OPEN(":status=204|content-length=5");
        BAD(":status=200|connection=close");
        BAD(":status=200|transfer-encoding=chunked");
        BAD(":status=200|upgrade=a");
        BAD(":status=200|A=b");
        BAD(":status=200|a b=c");
        BAD(":status=200|a=b\r\nc: d");
        BAD(":status=200|a=b\0c");
        BAD(":status=200|a= b");
        BAD(":status=100"); /* it cannot be the end */
        BAD_OPEN(":status=103|content-length=0");
}

static void test_bodies(void **state)
{
        struct sg_buf in;

        sg_buf_init(&in, SIZE_MAX);
        add_head(&in, 1, SG_STR(":status=200"), false);
        add_frame(&in, NGHTTP2_DATA, 0, 1, SG_STR("hell"));
        add_frame(&in, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, SG_STR("\2o!\0\0"));
        add_frame(&in, NGHTTP2_DATA, 1, 1, SG_STR(""));
        check(&in, "GET", true, "<1 200 >1+hello!1.", "");
        add_head(&in, 1, SG_STR(":status=200|content-length=5"), false);
        add_frame(&in, NGHTTP2_DATA, 1, 1, SG_STR("hello"));
        check(&in, "GET", true, "<1 200 l5|content-length=5>1+hello1.", "");
        add_head(&in, 1, SG_STR(":status=200|content-length=5"), false);
        add_frame(&in, NGHTTP2_DATA, 0, 1, SG_STR("hell"));
        add_frame(&in, NGHTTP2_DATA, 0, 1, SG_STR("o!"));
        check(&in, "GET", true, "<1 200 l5|content-length=5>1+hell1!protocol", "R1:1");
        add_head(&in, 1, SG_STR(":status=200|content-length=5"), false);
        add_frame(&in, NGHTTP2_DATA, 1, 1, SG_STR("hell"));
        check(&in, "GET", true, "<1 200 l5|content-length=5>1+hell1!protocol", "R1:1");
        add_head(&in, 1, SG_STR(":status=200|content-length=5"), false);
        add_frame(&in, NGHTTP2_DATA, 0, 1, SG_STR("hell"));
        add_head(&in, 1, SG_STR("a=b"), true);
        check(&in, "GET", true, "<1 200 l5|content-length=5>1+hell1!protocol", "R1:1");
        sg_buf_done(&in);
}

/* To HEAD, of 204 and of 304: the stream may end later, but nothing comes on it. */
static void test_answers_without_body(void **state)
{
        static const struct {
                const char *method, *fields, *told;
        } cases[] = {
                {"HEAD", ":status=200|content-length=5", "<1 200 l5|content-length=5>"},
                {"GET", ":status=204", "<1 204 >"},
                {"GET", ":status=304|content-length=5", "<1 304 l5|content-length=5>"},
        };
        struct sg_buf in, text;

        sg_buf_init(&in, SIZE_MAX);
        sg_buf_init(&text, SIZE_MAX);
        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                add_head(&in, 1, sg_str_from(cases[i].fields), false);
                add_frame(&in, NGHTTP2_DATA, 1, 1, SG_STR(""));
                SG_ASSERT(sg_buf_printf(&text, "%s1.%c", cases[i].told, 0) == 0);
                check(&in, cases[i].method, true, sg_buf_view(&text).p, "");
                sg_buf_clear(&text);
                add_head(&in, 1, sg_str_from(cases[i].fields), false);
                add_frame(&in, NGHTTP2_DATA, 1, 1, SG_STR("hello"));
                SG_ASSERT(sg_buf_printf(&text, "%s1!protocol%c", cases[i].told, 0) == 0);
                check(&in, cases[i].method, true, sg_buf_view(&text).p, "R1:1");
                sg_buf_clear(&text);
        }
        sg_buf_done(&in);
        sg_buf_done(&text);
}

static void test_interim_heads_are_swallowed(void **state)
{
        struct sg_buf in;

        sg_buf_init(&in, SIZE_MAX);
        add_head(&in, 1, SG_STR(":status=100"), false);
        add_head(&in, 1, SG_STR(":status=103|link=a"), false);
        add_head(&in, 1, SG_STR(":status=200|a=b"), false);
        add_frame(&in, NGHTTP2_DATA, 0, 1, SG_STR("hello"));
        add_head(&in, 1, SG_STR("c=d"), true);
        check(&in, "GET", true, "<1 200 |a=b>1+hello1[|c=d]1.", "");
        add_head(&in, 1, SG_STR(":status=103"), false);
        add_frame(&in, NGHTTP2_DATA, 1, 1, SG_STR("hello"));
        check(&in, "GET", true, "1!protocol", "R1:1");
        sg_buf_done(&in);
}

static void test_trailers(void **state)
{
        struct sg_buf in, many;

        sg_buf_init(&in, SIZE_MAX);
        sg_buf_init(&many, SIZE_MAX);
        add_head(&in, 1, SG_STR(":status=200"), false);
        add_head(&in, 1, SG_STR("grpc-status=0|grpc-message="), true);
        check(&in, "GET", true, "<1 200 >1[|grpc-status=0|grpc-message=]1.", "");
        add_head(&in, 1, SG_STR(":status=200"), false);
        add_head(&in, 1, SG_STR("set-cookie=a|b=c|host=x|content-type=d"), true);
        check(&in, "GET", true, "<1 200 >1[|b=c]1.", "");
        add_head(&in, 1, SG_STR(":status=200"), false);
        add_head(&in, 1, SG_STR("cookie=a|cookie=b"), true); /* none is left to be told */
        check(&in, "GET", true, "<1 200 >1.", "");
        add_head(&in, 1, SG_STR(":status=200"), false);
        add_head(&in, 1, SG_STR("a=b"), false); /* they do not end it */
        check(&in, "GET", true, "<1 200 >1!protocol", "R1:1");
        add_head(&in, 1, SG_STR(":status=200"), false);
        add_head(&in, 1, SG_STR(":status=200"), true);
        check(&in, "GET", true, "<1 200 >1!protocol", "R1:1");
        add_head(&in, 1, SG_STR(":status=200"), false);
        add_head(&in, 1, SG_STR("connection=close"), true);
        check(&in, "GET", true, "<1 200 >1!protocol", "R1:1");
        for (unsigned i = 0; i <= SG_HEADERS_MAX; i++)
                SG_ASSERT(sg_buf_printf(&many, "%sa=b", i ? "|" : "") == 0);
        add_head(&in, 1, SG_STR(":status=200"), false);
        add_head(&in, 1, sg_buf_view(&many), true);
        check(&in, "GET", true, "<1 200 >1!protocol", "R1:11");
        sg_buf_done(&in);
        sg_buf_done(&many);
}

static void test_too_large_is_reset(void **state)
{
        const struct sg_h2_limits limits = {
                .n_streams_max = 10, .stream_window = 65535, .connection_window = 65535, .head_bytes = 100};
        struct sg_buf in;
        struct asker a;

        begin_as(&a, &limits, "GET", true);
        ask_for(&a, "GET", true);
        assert_int_equal(asker_produce(&a), 0);
        assert_text(&a.frames, "H3.");
        sg_buf_init(&in, SIZE_MAX);
        add_head(&in, 1, SG_STR(":status=200|a=0123456789012345678901234"), true); /* 42, 33 and 25 */
        add_head(&in, 3, SG_STR(":status=200|a=01234567890123456789012345"), true);
        assert_int_equal(hand_over(&a, &in, 7), 0);
        assert_text(&a.text, "<1 200 |a=0123456789012345678901234>.3!protocol");
        assert_text(&a.frames, "R3:11");
        sg_buf_done(&in);
        asker_done(&a);
}

/* Untied between the frames of a head, at a head, and before all of it: nothing is told any more, windows come back. */
static void test_untied(void **state)
{
        struct sg_buf in, block;
        struct asker a;

        begin(&a, "GET");
        sg_buf_init(&in, SIZE_MAX);
        sg_buf_init(&block, SIZE_MAX);
        add_block(&block, SG_STR(":status=200"));
        add_frame(&in, NGHTTP2_HEADERS, 0, 1, sg_buf_view(&block));
        assert_int_equal(asker_receive(&a, sg_buf_view(&in), SIZE_MAX), 0);
        sg_h2_untie(&asker_nth(&a, 0)->stream, SG_H2_RESET_CANCEL);
        sg_buf_clear(&in);
        add_frame(&in, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, SG_STR("\0\1a\1b"));
        add_frame(&in, NGHTTP2_DATA, 0, 1, SG_STR("hello"));
        assert_int_equal(hand_over(&a, &in, SIZE_MAX), 0);
        assert_text(&a.text, "");
        assert_text(&a.frames, "R1:8");
        a.unties_answer = true;
        ask_for(&a, "GET", true);
        assert_int_equal(asker_produce(&a), 0);
        assert_text(&a.frames, "H3.");
        add_head(&in, 3, SG_STR(":status=200"), false);
        add_frame(&in, NGHTTP2_DATA, 1, 3, SG_STR("hello"));
        assert_int_equal(hand_over(&a, &in, SIZE_MAX), 0);
        assert_text(&a.text, "<3 200 >");
        assert_text(&a.frames, "R3:8");
        ask_for(&a, "GET", true);
        sg_h2_untie(&asker_nth(&a, 2)->stream, SG_H2_RESET_CANCEL);
        assert_int_equal(asker_produce(&a), 0);
        assert_text(&a.frames, ""); /* it was never there */
        ask_for(&a, "GET", true);
        assert_int_equal(asker_produce(&a), 0);
        assert_text(&a.frames, "H7.");
        sg_buf_done(&in);
        sg_buf_done(&block);
        asker_done(&a);
}

/* ---- the connection ends */

static void check_broken(struct asker *a, struct sg_buf *in, const char *goaway)
{
        assert_int_equal(hand_over(a, in, 16384), SG_H2_E_BROKEN);
        assert_true(sg_str_ends(sg_buf_view(&a->frames), sg_str_from(goaway)));
        assert_true(sg_h2_is_over(a->h));
        assert_int_equal(sg_h2_room(a->h), 0);
        asker_done(a);
}

static void test_not_http2(void **state)
{
        struct asker a;

        asker_init(&a);
        ask_for(&a, "GET", true);
        assert_int_equal(asker_produce(&a), 0);
        assert_int_equal(asker_receive(&a, SG_STR("HTTP/1.1 400 Bad Request\r\n\r\n"), 1), 0);
        assert_int_equal(asker_produce(&a), SG_H2_E_BROKEN);
        assert_text(&a.frames, "S H1. G:1");
        assert_int_equal(sg_h2_room(a.h), 0);
        asker_done(&a);
}

static void test_broken_connections(void **state)
{
        struct sg_buf in;
        struct asker a;

        sg_buf_init(&in, SIZE_MAX);
        begin(&a, "GET");
        add_frame(&in, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, SG_STR(""));
        add_frame(&in, NGHTTP2_PUSH_PROMISE, 4, 1, SG_STR("\0\0\0\2"));
        check_broken(&a, &in, "G:1");
        begin(&a, "GET");
        add_head(&in, 3, SG_STR(":status=200"), true); /* nobody asked */
        check_broken(&a, &in, "G:1");
        begin(&a, "GET");
        add_head(&in, 2, SG_STR(":status=200"), true);
        check_broken(&a, &in, "G:1");
        begin(&a, "GET");
        add_frame(&in, NGHTTP2_DATA, 0, 1, SG_STR("before its head"));
        check_broken(&a, &in, "G:1");
        begin(&a, "GET");
        ask_for(&a, "GET", true);
        add_head(&in, 3, SG_STR(":status=200"), true); /* not sent yet */
        check_broken(&a, &in, "G:1");
        begin(&a, "GET");
        add_frame(&in, NGHTTP2_GOAWAY, 0, 0, SG_STR("\0\0\0\2\0\0\0\0"));
        check_broken(&a, &in, "G:1");
        begin(&a, "GET");
        add_frame(&in, NGHTTP2_SETTINGS, 0, 0, SG_STR("\0\2\0\0\0\1")); /* ENABLE_PUSH, of a server */
        check_broken(&a, &in, "G:1");
        sg_buf_done(&in);
}

#define FLOOD 20000u

/* `in` once more and more: how often until the connection failed. */
static unsigned flood(struct asker *a, struct sg_buf *in)
{
        for (unsigned n = 1; n <= FLOOD; n++) {
                int r = asker_receive(a, sg_buf_view(in), SIZE_MAX), produced = asker_produce(a);

                if (r == 0 && produced == 0)
                        continue;
                assert_int_equal(produced, SG_H2_E_ABUSE);
                assert_true(sg_str_ends(sg_buf_view(&a->frames), SG_STR("G:11")));
                assert_true(sg_h2_is_over(a->h));
                asker_done(a);
                sg_buf_clear(in);
                return n;
        }
        fail();
        return 0;
}

static void test_floods(void **state)
{
        static const struct {
                uint8_t type, flags;
                uint32_t id;
                struct sg_str payload;
        } frames[] = {
                {NGHTTP2_PING, 0, 0, {"12345678", 8}},
                {NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, {"12345678", 8}},
                {NGHTTP2_SETTINGS, 0, 0, {"\0\4\0\0\0\1", 6}},
                {NGHTTP2_WINDOW_UPDATE, 0, 1, {"\0\0\0\1", 4}},
                {NGHTTP2_DATA, 0, 1, {"", 0}},
                {NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, {"\3\0\0\0", 4}},
                {NGHTTP2_GOAWAY, 0, 0, {"\0\0\0\1\0\0\0\0", 8}},
                {10, 0, 0, {"\0\1xa=b", 6}}, /* ALTSVC */
        };
        struct sg_buf in;
        struct asker a;

        sg_buf_init(&in, SIZE_MAX);
        for (size_t i = 0; i < SG_N_ELEMENTS(frames); i++) {
                begin_as(&a, &owner_limits, "POST", false);
                add_head(&in, 1, SG_STR(":status=200"), false);
                assert_int_equal(hand_over(&a, &in, SIZE_MAX), 0);
                add_frame(&in, frames[i].type, frames[i].flags, frames[i].id, frames[i].payload);
                assert_in_range(flood(&a, &in), frames[i].type == NGHTTP2_SETTINGS ? 395 : 995, 2020);
        }
        begin(&a, "GET");
        add_head(&in, 1, SG_STR(":status=103"), false);
        assert_in_range(flood(&a, &in), 1990, 2020);
        begin(&a, "GET");
        add_frame(&in, NGHTTP2_HEADERS, 0, 1, SG_STR(""));
        assert_int_equal(hand_over(&a, &in, SIZE_MAX), 0);
        add_frame(&in, NGHTTP2_CONTINUATION, 0, 1, SG_STR(""));
        assert_int_equal(flood(&a, &in), 9);
        sg_buf_done(&in);
}

/* Before it has read our SETTINGS it may push; that is reset, not for ever. */
static void test_flood_of_pushes(void **state)
{
        struct sg_buf in;
        struct asker a;
        uint32_t id = 2;
        int r = 0;

        begin(&a, "GET");
        sg_buf_init(&in, SIZE_MAX);
        for (; id < 2 * FLOOD && !r; id += 2) {
                const uint8_t payload[4] = {0, 0, (uint8_t)(id >> 8), (uint8_t)id};

                add_frame(&in, NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, 1, sg_str_make(payload, 4));
                r = hand_over(&a, &in, SIZE_MAX);
                if (id == 2)
                        assert_text(&a.frames, "R2:8");
        }
        assert_int_equal(r, SG_H2_E_ABUSE);
        assert_in_range(id / 2, 195, 205);
        assert_text(&a.text, "");
        sg_buf_done(&in);
        asker_done(&a);
}

/* A server that answers everything badly makes no more work than was asked of it: the connection is worth keeping. And one
 * that answers with what busy servers send along is left alone. */
static void test_many_answers(void **state)
{
        struct sg_buf in;
        struct asker a;

        begin(&a, "GET");
        a.is_quiet = true;
        sg_buf_init(&in, SIZE_MAX);
        for (uint32_t id = 1; id < 2 * FLOOD; id += 2) {
                if (id % 16 == 1)
                        add_u32_frame(&in, NGHTTP2_RST_STREAM, id, NGHTTP2_REFUSED_STREAM);
                else
                        add_head(&in, id, id % 16 == 3 ? SG_STR("a=b") : SG_STR(":status=200"), id % 16 == 3);
                if (id % 16 > 3) {
                        add_frame(&in, NGHTTP2_DATA, 0, id, SG_STR("b"));
                        add_head(&in, id, SG_STR("grpc-status=0"), true);
                }
                add_frame(&in, NGHTTP2_PING, 0, 0, SG_STR("12345678"));
                add_u32_frame(&in, NGHTTP2_WINDOW_UPDATE, 0, 6);
                assert_int_equal(hand_over(&a, &in, SIZE_MAX), 0);
                assert_int_equal(sg_h2_n_streams(a.h), 0);
                sg_buf_clear(&a.frames);
                ask_for(&a, "GET", true);
                assert_int_equal(asker_produce(&a), 0);
        }
        sg_buf_done(&in);
        asker_done(&a);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_heads),
                cmocka_unit_test(test_malformed_heads),
                cmocka_unit_test(test_bodies),
                cmocka_unit_test(test_answers_without_body),
                cmocka_unit_test(test_interim_heads_are_swallowed),
                cmocka_unit_test(test_trailers),
                cmocka_unit_test(test_too_large_is_reset),
                cmocka_unit_test(test_untied),
                cmocka_unit_test(test_not_http2),
                cmocka_unit_test(test_broken_connections),
                cmocka_unit_test(test_floods),
                cmocka_unit_test(test_flood_of_pushes),
                cmocka_unit_test(test_many_answers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
