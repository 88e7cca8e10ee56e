/* Peers that break the rules, and peers that keep them and are nothing but work: who is cut off, by what, and that others
 * are not. */
#include "h2_assert.h"
#include "heap.h"

#define GET ":method=GET|:scheme=https|:path=/|:authority=x"

/* A connection that has begun; its first frames are read. */
static void open_as(struct owner *o, struct sg_buf *in, const struct sg_h2_limits *limits)
{
        owner_init_as(o, limits);
        sg_buf_init(in, SIZE_MAX);
        assert_int_equal(owner_receive(o, SG_STR(PREFACE_SETTINGS), SIZE_MAX), 0);
        assert_int_equal(owner_produce(o), 0);
        assert_text(&o->frames, "S Sa");
        add_frame(in, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, SG_STR(""));
}

static void open_one(struct owner *o, struct sg_buf *in)
{
        open_as(o, in, &owner_limits);
}

static void close_one(struct owner *o, struct sg_buf *in)
{
        sg_buf_done(in);
        owner_done(o);
}

/* What is in `in` goes in; frames are produced behind it. The first failure of both. */
static int hand_over(struct owner *o, struct sg_buf *in)
{
        int r, produced;

        r = owner_receive(o, sg_buf_view(in), 16384);
        sg_buf_clear(in);
        produced = owner_produce(o);
        return r ? r : produced;
}

static void check_broken(struct owner *o, struct sg_buf *in, const char *goaway)
{
        assert_int_equal(hand_over(o, in), SG_H2_E_BROKEN);
        assert_true(sg_str_ends(sg_buf_view(&o->frames), sg_str_from(goaway)));
        assert_true(sg_h2_is_over(o->h));
        close_one(o, in);
}

static void test_not_http2(void **state)
{
        struct owner o;

        owner_init(&o);
        assert_int_equal(owner_receive(&o, SG_STR("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 1), SG_H2_E_BROKEN);
        assert_int_equal(owner_produce(&o), SG_H2_E_BROKEN);
        assert_text(&o.frames, "S G:1");
        assert_true(sg_h2_is_over(o.h));
        owner_done(&o);
        owner_init(&o);
        assert_int_equal(owner_receive(&o, SG_STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x06\0\0\0\0\0"), 5), 0);
        assert_int_equal(owner_produce(&o), SG_H2_E_BROKEN);
        assert_text(&o.frames, "S G:1");
        owner_done(&o);
}

static void test_broken_connections(void **state)
{
        static char large[16385];
        static const struct {
                uint8_t type, flags;
                uint32_t id;
                struct sg_str payload;
                const char *goaway;
        } frames[] = {
                {NGHTTP2_PING, 0, 0, {"123456789", 9}, "G:6"},
                {99, 0, 0, {large, sizeof(large)}, "G:6"},
                {NGHTTP2_CONTINUATION, 4, 1, {"", 0}, "G:1"},
                {NGHTTP2_HEADERS, 5, 2, {"", 0}, "G:1"}, /* even */
                {NGHTTP2_HEADERS, 5, 1, {"\xff\xff\xff\xff\xff", 5}, "G:9"},
                {NGHTTP2_DATA, 0, 1, {"a", 1}, "G:1"}, /* idle */
                {NGHTTP2_WINDOW_UPDATE, 0, 0, {"\0\0\0\0", 4}, "G:1"},
                {NGHTTP2_WINDOW_UPDATE, 0, 0, {"\x7f\xff\xff\xff", 4}, "G:3"},
                {NGHTTP2_PUSH_PROMISE, 4, 1, {"\0\0\0\2", 4}, "G:1"},
        };
        struct sg_buf in;
        struct owner o;

        for (size_t i = 0; i < SG_N_ELEMENTS(frames); i++) {
                open_one(&o, &in);
                add_frame(&in, frames[i].type, frames[i].flags, frames[i].id, frames[i].payload);
                check_broken(&o, &in, frames[i].goaway);
        }
        open_one(&o, &in);
        add_head(&in, 1, SG_STR(GET), true);
        add_frame(&in, NGHTTP2_DATA, 0, 1, SG_STR("after its end"));
        check_broken(&o, &in, "G:5");
        open_one(&o, &in);
        add_frame(&in, NGHTTP2_HEADERS, 1, 1, SG_STR("")); /* and something between it and its CONTINUATION */
        add_frame(&in, NGHTTP2_PING, 0, 0, SG_STR("12345678"));
        check_broken(&o, &in, "G:1");
}

/* The stream ends, inside of sg_h2_receive(); the connection goes on. */
static void check_stream_refused(struct sg_buf *frames, const char *told, const char *answered)
{
        static const size_t pieces[] = {SIZE_MAX, 1, 9, 10};

        for (size_t i = 0; i < SG_N_ELEMENTS(pieces); i++) {
                struct sg_buf in;
                struct owner o;

                open_one(&o, &in);
                assert_int_equal(owner_receive(&o, sg_buf_view(&in), pieces[i]), 0);
                assert_int_equal(owner_receive(&o, sg_buf_view(frames), pieces[i]), 0);
                assert_text(&o.text, told);
                sg_buf_clear(&in);
                add_head(&in, 101, SG_STR(GET), true);
                assert_int_equal(owner_receive(&o, sg_buf_view(&in), pieces[i]), 0);
                assert_text(&o.text, "<101 GET / @x >.");
                assert_int_equal(owner_produce(&o), 0);
                assert_text(&o.frames, answered);
                close_one(&o, &in);
        }
        sg_buf_clear(frames);
}

#define POST(more) ":method=POST|:scheme=https|:path=/|:authority=x" more

/* A request on stream 1; what is behind it follows. */
static struct sg_buf *post(struct sg_buf *in, struct sg_str fields)
{
        add_head(in, 1, fields, false);
        return in;
}

#define FIVE      POST("|content-length=5")
#define TOLD_FIVE "<1 POST / @x l5|content-length=5>"

static void test_broken_lengths(void **state)
{
        static const struct {
                uint8_t flags[2];
                struct sg_str data[2]; /* the second may be missing */
                const char *told, *answered;
        } cases[] = {
                {{0, 0}, {{"hell", 4}, {"o!", 2}}, TOLD_FIVE "1+hell1!protocol", "R1:1"},
                {{8, 9}, {{"\3hell\0\0\0", 8}, {"\2o!\0\0", 5}}, TOLD_FIVE "1+hell1!protocol", "R1:1"},
                {{8, 9}, {{"\3hell\0\0\0", 8}, {"\2o\0\0", 4}}, TOLD_FIVE "1+hello1.", ""},
                {{1, 0}, {{"hell", 4}}, TOLD_FIVE "1+hell1!protocol", "R1:1"},
                {{1, 0}, {{"", 0}}, TOLD_FIVE "1!protocol", "R1:1"},
        };
        struct sg_buf in;

        sg_buf_init(&in, SIZE_MAX);
        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                post(&in, SG_STR(FIVE));
                for (size_t k = 0; k < 2 && (k == 0 || cases[i].data[k].n); k++)
                        add_frame(&in, NGHTTP2_DATA, cases[i].flags[k], 1, cases[i].data[k]);
                check_stream_refused(&in, cases[i].told, cases[i].answered);
        }
        add_frame(post(&in, SG_STR(FIVE)), NGHTTP2_DATA, 0, 1, SG_STR("hell"));
        add_head(&in, 1, SG_STR("a=b"), true);
        check_stream_refused(&in, TOLD_FIVE "1+hell1!protocol", "R1:1");
        sg_buf_done(&in);
}

static void test_broken_streams(void **state)
{
        static const struct {
                const char *trailers;
                bool is_end;
        } cases[] = {{"a=b", false}, {":path=/", true}, {"A=b", true}};
        struct sg_buf in;

        sg_buf_init(&in, SIZE_MAX);
        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                add_head(post(&in, SG_STR(POST(""))), 1, sg_str_from(cases[i].trailers), cases[i].is_end);
                check_stream_refused(&in, "<1 POST / @x >1!protocol", "R1:1");
        }
        add_u32_frame(post(&in, SG_STR(POST(""))), NGHTTP2_WINDOW_UPDATE, 1, INT32_MAX);
        check_stream_refused(&in, "<1 POST / @x >1!protocol", "R1:3");
        sg_buf_done(&in);
}

static void test_trailers_are_counted_and_dropped(void **state)
{
        struct sg_buf in, many;

        sg_buf_init(&in, SIZE_MAX);
        sg_buf_init(&many, SIZE_MAX);
        add_head(&in, 1, SG_STR(POST("")), false);
        add_frame(&in, NGHTTP2_DATA, 0, 1, SG_STR("hello"));
        add_head(&in, 1, SG_STR("a=b|authorization=c"), true);
        check_stream_refused(&in, "<1 POST / @x >1+hello1.", "");
        for (unsigned i = 0; i <= SG_HEADERS_MAX; i++)
                SG_ASSERT(sg_buf_printf(&many, "%sa=b", i ? "|" : "") == 0);
        add_head(&in, 1, SG_STR(POST("")), false);
        add_head(&in, 1, sg_buf_view(&many), true);
        check_stream_refused(&in, "<1 POST / @x >1!protocol", "R1:11");
        sg_buf_done(&in);
        sg_buf_done(&many);
}

/* ---- floods: the same frame again and again, at most 20,000 times */

#define FLOOD 20000u

/* How often until the connection failed. */
static unsigned flood(struct owner *o, struct sg_buf *frame)
{
        for (unsigned n = 1; n <= FLOOD; n++) {
                int r = owner_receive(o, sg_buf_view(frame), SIZE_MAX), produced = owner_produce(o);

                if (r == 0 && produced == 0)
                        continue;
                assert_int_equal(produced, SG_H2_E_ABUSE);
                assert_true(r == 0 || r == SG_H2_E_ABUSE);
                assert_true(sg_str_ends(sg_buf_view(&o->frames), SG_STR("G:11")));
                assert_true(sg_h2_is_over(o->h));
                assert_int_equal(owner_receive(o, SG_STR("x"), 1), SG_H2_E_ABUSE);
                close_one(o, frame);
                return n;
        }
        fail();
        return 0;
}

static void test_floods_of_frames(void **state)
{
        static const struct {
                uint8_t type, flags;
                uint32_t id;
                struct sg_str payload;
        } frames[] = {
                {NGHTTP2_PING, 0, 0, {"12345678", 8}},
                {NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, {"12345678", 8}},
                {NGHTTP2_SETTINGS, 0, 0, {"", 0}},
                {NGHTTP2_SETTINGS, 0, 0, {"\0\4\0\0\0\1", 6}},
                {NGHTTP2_PRIORITY, 0, 1, {"\0\0\0\0\1", 5}},
                {NGHTTP2_PRIORITY, 0, 9, {"\0\0\0\1\1", 5}},
                {NGHTTP2_WINDOW_UPDATE, 0, 0, {"\0\0\0\1", 4}},
                {NGHTTP2_WINDOW_UPDATE, 0, 1, {"\0\0\0\1", 4}},
                {NGHTTP2_DATA, 0, 1, {"", 0}},
                {NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, {"\0", 1}},
                {NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, {"\3\0\0\0", 4}},
                {99, 0, 0, {"", 0}},
                {99, 0, 1, {"unknown", 7}},
                {NGHTTP2_PRIORITY_UPDATE, 0, 0, {"\0\0\0\1u=0", 7}},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(frames); i++) {
                struct sg_buf in;
                struct owner o;

                open_one(&o, &in);
                add_head(&in, 1, SG_STR(POST("")), false);
                assert_int_equal(hand_over(&o, &in), 0);
                add_frame(&in, frames[i].type, frames[i].flags, frames[i].id, frames[i].payload);
                assert_in_range(flood(&o, &in), frames[i].type == NGHTTP2_SETTINGS ? 395 : 1990, 2001);
        }
}

/* All at once, with nothing produced between: what waits to be answered is bounded, too. */
static void test_flood_without_reading(void **state)
{
        static const uint8_t types[] = {NGHTTP2_PING, NGHTTP2_SETTINGS};

        for (size_t i = 0; i < SG_N_ELEMENTS(types); i++) {
                struct sg_buf in;
                struct owner o;

                open_one(&o, &in);
                for (unsigned n = 0; n < 200; n++)
                        add_frame(&in, types[i], 0, 0, types[i] == NGHTTP2_PING ? SG_STR("12345678") : SG_STR(""));
                assert_int_equal(hand_over(&o, &in), SG_H2_E_ABUSE);
                assert_true(sg_str_ends(sg_buf_view(&o.frames), SG_STR("G:11")));
                close_one(&o, &in);
        }
}

static void test_empty_continuations(void **state)
{
        struct sg_buf in;
        struct owner o;

        open_one(&o, &in);
        add_frame(&in, NGHTTP2_HEADERS, 1, 1, SG_STR(""));
        assert_int_equal(hand_over(&o, &in), 0);
        add_frame(&in, NGHTTP2_CONTINUATION, 0, 1, SG_STR(""));
        assert_int_equal(flood(&o, &in), 9);
}

/* A head that has been refused is not read any more, but its CONTINUATION frames come. */
static void test_continuations_of_a_refused_head(void **state)
{
        struct sg_buf in;
        struct owner o;

        open_one(&o, &in);
        add_frame(&in, NGHTTP2_HEADERS, 1, 1, SG_STR("\0\1A\1b"));
        assert_int_equal(hand_over(&o, &in), 0);
        add_frame(&in, NGHTTP2_CONTINUATION, 0, 1, SG_STR("\0\1a\1b"));
        assert_int_equal(flood(&o, &in), 9);
}

/* One field of 4,000 bytes put into the table, then named by one byte each: 4 kB of HPACK for 16 MB of fields. */
static void test_hpack_bomb(void **state)
{
        static char indices[8000];
        struct sg_buf block, in;
        struct owner o;

        open_one(&o, &in);
        sg_buf_init(&block, SIZE_MAX);
        add(&block, "\x40\1a\x7f\xa1\x1e", 6); /* 127 + 33 + 30 * 128 = 4,000 */
        memset(indices, 'v', sizeof(indices));
        add(&block, indices, 4000);
        memset(indices, 0xbe, sizeof(indices)); /* the newest */
        add(&block, indices, sizeof(indices));
        add_block_frames(&in, 1, sg_buf_view(&block), true);
        assert_int_equal(hand_over(&o, &in), SG_H2_E_ABUSE);
        assert_text(&o.text, "");
        assert_text(&o.frames, "G:11");
        assert_true(o.h == NULL || sg_h2_is_over(o.h));
        sg_buf_done(&block);
        close_one(&o, &in);
}

/* Requests, each with a frame of four bytes behind it unless that is DATA: how many until the connection failed. */
static unsigned flood_of_requests(struct sg_str fields, uint8_t type, uint32_t v)
{
        uint32_t id = 1;
        struct sg_buf in;
        struct owner o;
        int r = 0;

        open_one(&o, &in);
        for (; id < 2 * FLOOD && !r; id += 2) {
                add_head(&in, id, fields, true);
                if (type != NGHTTP2_DATA)
                        add_u32_frame(&in, type, id, v);
                r = hand_over(&o, &in);
        }
        assert_int_equal(r, SG_H2_E_ABUSE);
        assert_true(sg_str_ends(sg_buf_view(&o.frames), SG_STR("G:11")));
        close_one(&o, &in);
        return id / 2;
}

static void test_rapid_reset(void **state)
{
        assert_in_range(flood_of_requests(SG_STR(GET), NGHTTP2_RST_STREAM, NGHTTP2_CANCEL), 330, 336);
}

/* Requests that are refused one by one, by nghttp2 and by ourselves: the RST_STREAM is our work (CVE-2025-8671). */
static void test_flood_of_malformed_requests(void **state)
{
        static const char *const fields[] = {GET "|connection=close", GET "|host=y", GET "|A=b", "a=b"};

        for (size_t i = 0; i < SG_N_ELEMENTS(fields); i++)
                assert_in_range(flood_of_requests(sg_str_from(fields[i]), NGHTTP2_DATA, 0), 180, 202);
}

/* "made you reset": streams that are opened well and then broken. */
static void test_flood_of_broken_streams(void **state)
{
        assert_in_range(flood_of_requests(SG_STR(GET), NGHTTP2_WINDOW_UPDATE, INT32_MAX), 180, 202);
}

static void test_more_streams_than_allowed(void **state)
{
        const struct sg_h2_limits limits = {.n_streams_max = 3, .stream_window = 65535, .connection_window = 65535};
        struct sg_buf in;
        struct owner o;

        owner_init_as(&o, &limits); /* before the settings are acknowledged: it may not know */
        sg_buf_init(&in, SIZE_MAX);
        add(&in, PREFACE_SETTINGS, sizeof(PREFACE_SETTINGS) - 1);
        for (uint32_t id = 1; id <= 9; id += 2)
                add_head(&in, id, SG_STR(GET), true);
        assert_int_equal(hand_over(&o, &in), 0);
        assert_text(&o.frames, "S Sa R7:7 R9:7");
        assert_int_equal(sg_h2_n_streams(o.h), 3);
        close_one(&o, &in);
        open_as(&o, &in, &limits);
        for (uint32_t id = 1; id <= 7; id += 2)
                add_head(&in, id, SG_STR(GET), true);
        check_broken(&o, &in, "G:1");
}

static void test_over_the_window(void **state)
{
        static char large[16384];
        struct sg_buf in;
        struct owner o;

        open_one(&o, &in);
        o.keeps = o.is_quiet = true;
        add_head(&in, 1, SG_STR(POST("")), false);
        for (int i = 0; i < 4; i++)
                add_frame(&in, NGHTTP2_DATA, 0, 1, sg_str_make(large, i < 3 ? sizeof(large) : sizeof(large) - 1));
        assert_int_equal(hand_over(&o, &in), 0);
        assert_int_equal(owner_last(&o)->n_body, 65535);
        assert_text(&o.frames, ""); /* no window is given back for what is not consumed */
        add_frame(&in, NGHTTP2_DATA, 0, 1, SG_STR("a"));
        check_broken(&o, &in, "G:3");
}

static void test_window_comes_back_when_consumed(void **state)
{
        static char large[16384];
        struct sg_buf in;
        struct owner o;

        open_one(&o, &in);
        o.keeps = o.is_quiet = true;
        add_head(&in, 1, SG_STR(POST("")), false);
        for (int i = 0; i < 3; i++)
                add_frame(&in, NGHTTP2_DATA, 0, 1, sg_str_make(large, sizeof(large)));
        assert_int_equal(hand_over(&o, &in), 0);
        sg_h2_consume(&owner_last(&o)->stream, 40000);
        assert_int_equal(owner_produce(&o), 0);
        assert_text(&o.frames, "W:40000 W1:40000");
        add_frame(&in, NGHTTP2_DATA, 1, 1, SG_STR("the end"));
        assert_int_equal(hand_over(&o, &in), 0);
        sg_h2_consume(&owner_last(&o)->stream, 3 * 16384 + 7 - 40000);
        sg_h2_untie(&owner_last(&o)->stream, SG_H2_RESET_CANCEL);
        assert_int_equal(owner_produce(&o), 0);
        assert_text(&o.frames, "R1:8");
        close_one(&o, &in);
}

/* The window of the connection comes back for what nobody reads: refused, reset, padding. */
static void test_window_is_not_lost(void **state)
{
        static char padded[10001] = "\xff";
        struct sg_buf in;
        struct owner o;

        open_one(&o, &in);
        o.keeps = o.is_quiet = true;
        for (uint32_t id = 1; id < 200; id += 2) {
                o.refuses = id % 4 == 1;
                add_head(&in, id, SG_STR(POST("")), false);
                add_frame(&in, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, id, sg_str_make(padded, sizeof(padded)));
                if (id % 8 == 3)
                        add_u32_frame(&in, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
                assert_int_equal(hand_over(&o, &in), 0);
                if (id % 8 == 7)
                        sg_h2_untie(&owner_last(&o)->stream, SG_H2_RESET_CANCEL);
                sg_buf_clear(&o.frames);
        }
        close_one(&o, &in);
}

/* The client opens its window byte by byte: a frame of ours for each of its own. */
static void test_dribble(void **state)
{
        struct sg_buf in;
        struct owner o;

        open_one(&o, &in);
        add_frame(&in, NGHTTP2_SETTINGS, 0, 0, SG_STR("\0\4\0\0\0\0"));
        add_head(&in, 1, SG_STR(GET), true);
        assert_int_equal(hand_over(&o, &in), 0);
        assert_int_equal(sg_h2_send_head(&owner_last(&o)->stream, 200, SG_STR(""), false, 0, false), 0);
        for (int i = 0; i < 1000; i++)
                assert_int_equal(sg_h2_send_body(&owner_last(&o)->stream,
                                                 &SG_STR("01234567890123456789012345678901234567890123456789"), 1,
                                                 false),
                                 0);
        add_u32_frame(&in, NGHTTP2_WINDOW_UPDATE, 1, 1);
        assert_in_range(flood(&o, &in), 1990, 2020);
}

/* ---- who works is left alone */

static void answer(struct owner *o, struct exchange *e)
{
        assert_int_equal(sg_h2_send_head(&e->stream, 200, SG_STR(""), false, 0, false), 0);
        assert_int_equal(sg_h2_send_body(&e->stream, &SG_STR("answer"), 1, true), 0);
}

/* Each exchange with what chatty clients send along: settings, pings, windows for every frame, a cancelled one now and
 * then. */
static void test_chatty_client_is_served(void **state)
{
        struct sg_buf in;
        struct owner o;

        open_one(&o, &in);
        o.is_quiet = true;
        o.on_end = answer;
        for (uint32_t id = 1; id < 2 * FLOOD; id += 2) {
                o.on_end = id % 10 == 1 ? NULL : answer;
                add_head(&in, id, SG_STR(POST("")), false);
                add_frame(&in, NGHTTP2_DATA, 0, id, SG_STR("b"));
                add_frame(&in, NGHTTP2_DATA, 1, id, SG_STR(""));
                if (id % 10 == 1)
                        add_u32_frame(&in, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
                add_frame(&in, NGHTTP2_PING, 0, 0, SG_STR("12345678"));
                add_u32_frame(&in, NGHTTP2_WINDOW_UPDATE, 0, 6);
                assert_int_equal(hand_over(&o, &in), 0);
                sg_buf_clear(&o.frames);
        }
        close_one(&o, &in);
}

/* A stream of events, each with a window for stream and connection and a ping behind it. */
static void test_stream_of_events_is_served(void **state)
{
        struct sg_buf in;
        struct owner o;

        open_one(&o, &in);
        add_head(&in, 1, SG_STR(GET), true);
        assert_int_equal(hand_over(&o, &in), 0);
        assert_int_equal(sg_h2_send_head(&owner_last(&o)->stream, 200, SG_STR(""), false, 0, false), 0);
        for (unsigned i = 0; i < FLOOD; i++) {
                assert_int_equal(sg_h2_send_body(&owner_last(&o)->stream, &SG_STR("event"), 1, false), 0);
                add_u32_frame(&in, NGHTTP2_WINDOW_UPDATE, 0, 5);
                add_u32_frame(&in, NGHTTP2_WINDOW_UPDATE, 1, 5);
                add_frame(&in, NGHTTP2_PING, 0, 0, SG_STR("12345678"));
                assert_int_equal(owner_produce(&o), 0);
                assert_int_equal(hand_over(&o, &in), 0);
                sg_buf_clear(&o.frames);
        }
        close_one(&o, &in);
}

static void test_small_pieces_of_a_body_are_taken(void **state)
{
        struct sg_buf in;
        struct owner o;

        open_one(&o, &in);
        o.is_quiet = true;
        add_head(&in, 1, SG_STR(POST("")), false);
        for (unsigned i = 0; i < FLOOD; i++)
                add_frame(&in, NGHTTP2_DATA, 0, 1, SG_STR("a"));
        assert_int_equal(hand_over(&o, &in), 0);
        assert_int_equal(owner_last(&o)->n_body, FLOOD);
        close_one(&o, &in);
}

static void test_time_forgives(void **state)
{
        struct sg_buf in;
        struct owner o;

        open_one(&o, &in);
        assert_int_equal(hand_over(&o, &in), 0);
        add_frame(&in, NGHTTP2_PING, 0, 0, SG_STR("12345678"));
        for (unsigned i = 0; i < FLOOD; i++) {
                assert_int_equal(owner_receive(&o, sg_buf_view(&in), SIZE_MAX), 0);
                assert_int_equal(owner_produce(&o), 0);
                sg_h2_forgive(o.h, 1 + i % 3);
        }
        close_one(&o, &in);
}

/* ---- memory */

static size_t cost_of_a_connection(void)
{
        struct sg_h2 *all[50];
        size_t before = heap(), cost;

        for (size_t i = 0; i < SG_N_ELEMENTS(all); i++)
                assert_int_equal(sg_h2_new(&all[i], &owner_limits, &owner_events, NULL), 0);
        cost = (heap() - before) / SG_N_ELEMENTS(all);
        for (size_t i = 0; i < SG_N_ELEMENTS(all); i++)
                sg_h2_free(all[i]);
        return cost;
}

/* That are asked for and answered by a head; nothing waits for them. */
static size_t cost_of_a_stream(void)
{
        enum {
                N = 100
        };
        size_t before, cost;
        struct sg_buf in;
        struct owner o;

        open_one(&o, &in);
        o.is_quiet = true;
        assert_int_equal(hand_over(&o, &in), 0);
        before = heap();
        for (uint32_t id = 1; id < 2 * N; id += 2) {
                add_head(&in, id, SG_STR(GET), true);
                assert_int_equal(hand_over(&o, &in), 0);
                assert_int_equal(sg_h2_send_head(&owner_last(&o)->stream, 200, SG_STR(""), false, 0, false), 0);
                assert_int_equal(owner_produce(&o), 0);
                sg_buf_clear(&o.frames);
        }
        cost = (heap() - before) / N;
        close_one(&o, &in);
        return cost;
}

static void test_memory_is_bounded(void **state)
{
        const size_t connection = cost_of_a_connection(), stream = cost_of_a_stream();

        print_message("# a connection: %zu bytes; an open stream with struct exchange: %zu\n", connection, stream);
        assert_in_range(connection, 1, 32 * 1024);
        assert_in_range(stream, 1, 1024);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_not_http2),
                cmocka_unit_test(test_broken_connections),
                cmocka_unit_test(test_broken_lengths),
                cmocka_unit_test(test_broken_streams),
                cmocka_unit_test(test_trailers_are_counted_and_dropped),
                cmocka_unit_test(test_floods_of_frames),
                cmocka_unit_test(test_flood_without_reading),
                cmocka_unit_test(test_empty_continuations),
                cmocka_unit_test(test_continuations_of_a_refused_head),
                cmocka_unit_test(test_hpack_bomb),
                cmocka_unit_test(test_rapid_reset),
                cmocka_unit_test(test_flood_of_malformed_requests),
                cmocka_unit_test(test_flood_of_broken_streams),
                cmocka_unit_test(test_more_streams_than_allowed),
                cmocka_unit_test(test_over_the_window),
                cmocka_unit_test(test_window_comes_back_when_consumed),
                cmocka_unit_test(test_window_is_not_lost),
                cmocka_unit_test(test_dribble),
                cmocka_unit_test(test_chatty_client_is_served),
                cmocka_unit_test(test_stream_of_events_is_served),
                cmocka_unit_test(test_small_pieces_of_a_body_are_taken),
                cmocka_unit_test(test_time_forgives),
                cmocka_unit_test(test_memory_is_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
