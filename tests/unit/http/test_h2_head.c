/* Heads over HTTP/2, with the one right outcome of each: what the owner is told, and the frames that answer. The same in
 * one piece, byte by byte and in pieces of a few bytes. */
#include "h2_assert.h"

#define REQUEST(more)    ":method=GET|:scheme=https|:path=/|:authority=x" more
#define WITH(method)     ":method=" method "|:scheme=https|:path=/|:authority=x"
#define PATH(path)       ":method=GET|:scheme=https|:authority=x|:path=" path
#define AUTHORITY(value) ":method=GET|:scheme=https|:path=/|:authority=" value
#define POST(more)       ":method=POST|:scheme=https|:path=/|:authority=x" more
#define REFUSED          "S Sa R1:1"
#define FINE             "S Sa"

struct head_case {
        struct sg_str fields;
        const char *told, *frames;
        bool has_body;
};

/* clang-format off: SG_STR() is no constant for static data */
#define STR(fields)                                                                                                    \
        {                                                                                                              \
                "" fields, sizeof(fields) - 1                                                                          \
        }
#define GOOD(fields, told)                                                                                             \
        {                                                                                                              \
                STR(fields), told, FINE, false                                                                         \
        }
#define BAD(fields)                                                                                                    \
        {                                                                                                              \
                STR(fields), "", REFUSED, false                                                                        \
        }
#define OPEN(fields, told)                                                                                             \
        {                                                                                                              \
                STR(fields), told, FINE, true                                                                          \
        }
/* clang-format on */

static void check_head(const struct head_case *c, size_t n)
{
        struct sg_buf in;
        struct owner o;

        owner_init(&o);
        sg_buf_init(&in, SIZE_MAX);
        add(&in, PREFACE_SETTINGS, sizeof(PREFACE_SETTINGS) - 1);
        add_head(&in, 1, c->fields, !c->has_body);
        assert_int_equal(owner_receive(&o, sg_buf_view(&in), n), 0);
        assert_int_equal(owner_produce(&o), 0);
        if (!sg_str_eq(sg_buf_view(&o.text), sg_str_from(c->told)) ||
            !sg_str_eq(sg_buf_view(&o.frames), sg_str_from(c->frames)))
                fail_msg(SG_STR_FMT "\n--- pieces of %zu: expected \"%s\" and %s, got \"" SG_STR_FMT
                                    "\" and " SG_STR_FMT,
                         SG_STR_ARG(c->fields), n, c->told, c->frames, SG_STR_ARG(sg_buf_view(&o.text)),
                         SG_STR_ARG(sg_buf_view(&o.frames)));
        sg_buf_done(&in);
        owner_done(&o);
}

static void check_heads(const struct head_case *cases, size_t n)
{
        static const size_t pieces[] = {SIZE_MAX, 1, 2, 5, 11};

        for (size_t i = 0; i < n; i++)
                for (size_t p = 0; p < SG_N_ELEMENTS(pieces); p++)
                        check_head(&cases[i], pieces[p]);
}

static void test_requests(void **state)
{
        static const struct head_case cases[] = {
                GOOD(REQUEST(""), "<1 GET / @x >."),
                GOOD(REQUEST("|a=b|c="), "<1 GET / @x |a=b|c=>."),
                GOOD(WITH("HEAD"), "<1 HEAD / @x >."),
                GOOD(WITH("M-SEARCH"), "<1 M-SEARCH / @x >."),
                GOOD(WITH("get"), "<1 get / @x >."),
                GOOD(PATH("/a/b?c=d&e"), "<1 GET /a/b?c=d&e @x >."),
                GOOD(PATH("//"), "<1 GET // @x >."),
                GOOD(":method=OPTIONS|:scheme=http|:authority=x|:path=*", "<1 OPTIONS * @x >."),
                GOOD(":method=CONNECT|:authority=x:443", "<1 CONNECT x:443 @x:443 >."),
                GOOD(":method=GET|:scheme=HTTP|:path=/|:authority=x", "<1 GET / @x >."),
                GOOD(":method=GET|:scheme=http|:path=/|host=x:80", "<1 GET / @x:80 |host=x:80>."),
                GOOD(REQUEST("|host=X"), "<1 GET / @x |host=X>."),
                GOOD(AUTHORITY("[::1]:8000"), "<1 GET / @[::1]:8000 >."),
                OPEN(POST(""), "<1 POST / @x >"),
                OPEN(POST("|content-length=5"), "<1 POST / @x l5|content-length=5>"),
                GOOD(POST("|content-length=0"), "<1 POST / @x l0|content-length=0>."),
                OPEN(POST("|content-length=0"), "<1 POST / @x l0|content-length=0>"),
                OPEN(POST("|content-length=9223372036854775807"),
                     "<1 POST / @x l9223372036854775807|content-length=9223372036854775807>"),
                OPEN(POST("|expect=100-Continue"), "<1 POST / @x e|expect=100-Continue>"),
                GOOD(POST("|expect=100-continue"), "<1 POST / @x |expect=100-continue>."),
                OPEN(POST("|expect=100-continue|content-length=0"),
                     "<1 POST / @x l0|expect=100-continue|content-length=0>"),
                GOOD(REQUEST("|te=trailers"), "<1 GET / @x |te=trailers>."),
                GOOD(REQUEST("|a=\xc3\xa9"), "<1 GET / @x |a=\xc3\xa9>."),
                GOOD(REQUEST("|a=b\tc"), "<1 GET / @x |a=b\tc>."),
                GOOD(REQUEST("|priority=u=0"), "<1 GET / @x |priority=u=0>."),
        };

        check_heads(cases, SG_N_ELEMENTS(cases));
}

static void test_cookies(void **state)
{
        static const struct head_case cases[] = {
                GOOD(REQUEST("|cookie=a=b"), "<1 GET / @x |cookie=a=b>."),
                GOOD(REQUEST("|cookie=a=b|cookie=c=d"), "<1 GET / @x |cookie=a=b; c=d>."),
                GOOD(REQUEST("|e=f|cookie=a|g=h|cookie=|cookie=b|i=j"), "<1 GET / @x |e=f|cookie=a; ; b|g=h|i=j>."),
        };

        check_heads(cases, SG_N_ELEMENTS(cases));
}

static void test_pseudo_fields(void **state)
{
        static const struct head_case cases[] = {
                BAD(":scheme=https|:path=/|:authority=x"),
                BAD(":method=GET|:path=/|:authority=x"),
                BAD(":method=GET|:scheme=https|:authority=x"),
                BAD(":method=GET|:scheme=https|:path=/"),
                BAD(REQUEST("|:method=GET")),
                BAD(REQUEST("|:path=/")),
                BAD(REQUEST("|:authority=x")),
                BAD(REQUEST("|a=b|:scheme=https")),
                BAD(":method=GET|a=b|:scheme=https|:path=/|:authority=x"),
                BAD(REQUEST("|:status=200")),
                BAD(REQUEST("|:unknown=a")),
                BAD(REQUEST("|:protocol=websocket")),
                BAD(":method=CONNECT|:scheme=https|:path=/|:authority=x|:protocol=websocket"),
                BAD(":method=CONNECT|:scheme=https|:path=/|:authority=x:443"),
                BAD(":method=CONNECT|:authority=x"),
                BAD(":method=CONNECT|host=x:443"),
                BAD(":method=CONNECT|:authority=x:443|host=y:443"),
                BAD(WITH("")),
                BAD(WITH("G T")),
                BAD(WITH("G\0T")),
                BAD(WITH("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG")),
                BAD(":method=GET|:scheme=ftp|:path=/|:authority=x"),
                BAD(":method=GET|:scheme=|:path=/|:authority=x"),
                BAD(":Method=GET|:scheme=https|:path=/|:authority=x"),
        };

        check_heads(cases, SG_N_ELEMENTS(cases));
}

static void test_targets(void **state)
{
        static const struct head_case cases[] = {
                BAD(PATH("")),
                BAD(PATH("*")),
                BAD(PATH("a")),
                BAD(PATH("https://x/")),
                BAD(PATH("x:443")),
                BAD(PATH("/a#b")),
                BAD(PATH("/a b")),
                BAD(PATH("/a\\b")),
                BAD(PATH("/\xc3")),
                BAD(PATH("/a\0b")),
                BAD(PATH("/a\r\nb")),
                BAD(PATH("/\x7f")),
                BAD(PATH("/\t")),
                BAD(PATH("?a")),
                BAD(AUTHORITY("")),
                BAD(AUTHORITY("u@x")),
                BAD(AUTHORITY("x/")),
                BAD(AUTHORITY("x:")),
                BAD(AUTHORITY("x:1a")),
                BAD(AUTHORITY("x y")),
                BAD(AUTHORITY("[::1")),
                BAD(AUTHORITY("x:65536")),
                BAD(AUTHORITY("x,y")),
                BAD(AUTHORITY("x%zz")),
                BAD(REQUEST("|host=y")),
                BAD(REQUEST("|host=")),
                BAD(REQUEST("|host=x|host=x")),
                BAD(REQUEST("|host=x:443")),
        };

        check_heads(cases, SG_N_ELEMENTS(cases));
}

static void test_fields_of_the_connection(void **state)
{
        static const struct head_case cases[] = {
                BAD(REQUEST("|connection=close")),
                BAD(REQUEST("|connection=keep-alive")),
                BAD(REQUEST("|keep-alive=timeout=5")),
                BAD(REQUEST("|proxy-connection=close")),
                BAD(POST("|transfer-encoding=chunked")),
                BAD(REQUEST("|upgrade=websocket")),
                BAD(REQUEST("|te=gzip")),
                BAD(REQUEST("|te=trailers, gzip")),
                BAD(REQUEST("|te=")),
                BAD(POST("|transfer_encoding=chunked")),
                BAD(POST("|content_length=5")),
        };

        check_heads(cases, SG_N_ELEMENTS(cases));
}

static void test_names_and_values(void **state)
{
        static const struct head_case cases[] = {
                BAD(REQUEST("|A=b")),         BAD(REQUEST("|content-Length=0")),
                BAD(REQUEST("|a b=c")),       BAD(REQUEST("|a\0=b")),
                BAD(REQUEST("|a\r\n=b")),     BAD(REQUEST("|\xc3\xa9=b")),
                BAD(REQUEST("|a:=b")),        BAD(REQUEST("|a(=b")),
                BAD(REQUEST("|\x7f=b")),      BAD(REQUEST("|a=b\r\nc: d")),
                BAD(REQUEST("|a=b\nc")),      BAD(REQUEST("|a=b\rc")),
                BAD(REQUEST("|a=b\0c")),      BAD(REQUEST("|a=\x01")),
                BAD(REQUEST("|a=\x7f")),      BAD(REQUEST("|a= b")),
                BAD(REQUEST("|a=b ")),        BAD(REQUEST("|a=\tb")),
                BAD(REQUEST("|cookie=a\nb")),
        };

        check_heads(cases, SG_N_ELEMENTS(cases));
}

static void test_empty_name(void **state)
{
        struct sg_buf block, in;
        struct owner o;

        owner_init(&o);
        sg_buf_init(&block, SIZE_MAX);
        sg_buf_init(&in, SIZE_MAX);
        add_block(&block, SG_STR(REQUEST("")));
        add(&block, "\0\0\1b", 4);
        add(&in, PREFACE_SETTINGS, sizeof(PREFACE_SETTINGS) - 1);
        add_frame(&in, NGHTTP2_HEADERS, 5, 1, sg_buf_view(&block));
        assert_int_equal(owner_receive(&o, sg_buf_view(&in), SIZE_MAX), 0);
        assert_int_equal(owner_produce(&o), 0);
        assert_text(&o.text, "");
        assert_text(&o.frames, REFUSED);
        sg_buf_done(&block);
        sg_buf_done(&in);
        owner_done(&o);
}

static void test_lengths_and_expectations(void **state)
{
        static const struct head_case cases[] = {
                BAD(POST("|content-length=5")), /* and no body */
                BAD(POST("|content-length=5|content-length=5")),
                BAD(POST("|content-length=0|content-length=0")),
                BAD(POST("|content-length=00")),
                BAD(POST("|content-length=+0")),
                BAD(POST("|content-length=-0")),
                BAD(POST("|content-length=")),
                BAD(POST("|content-length=0, 0")),
                BAD(POST("|content-length=0x0")),
                BAD(POST("|content-length=9223372036854775808")),
                BAD(POST("|content-length=99999999999999999999")),
                {STR(POST("|content-length=05")), "", REFUSED, true},
                {STR(POST("|content-length=9223372036854775808")), "", REFUSED, true},
                {STR(POST("|expect=200-ok")), "", REFUSED, true},
                {STR(POST("|expect=")), "", REFUSED, true},
        };

        check_heads(cases, SG_N_ELEMENTS(cases));
}

#define TOO_LARGE "<1 too large>1.1sent"
#define TOO_LONG  "<1 too long>1.1sent"

/* Behind a request's fields, `field` n_fields times, each with n letters at its end. too: what is told, or NULL. */
static void check_large(const char *first, const char *field, size_t n_fields, size_t n, const char *too)
{
        const struct sg_h2_limits limits = {
                .n_streams_max = 10, .stream_window = 65535, .connection_window = 65535, .head_bytes = 20000};
        struct sg_buf in, fields;
        struct owner o;

        owner_init_as(&o, &limits);
        sg_buf_init(&in, SIZE_MAX);
        sg_buf_init(&fields, SIZE_MAX);
        SG_ASSERT(sg_buf_printf(&fields, "%s", first) == 0);
        for (size_t i = 0; i < n_fields; i++) {
                SG_ASSERT(sg_buf_printf(&fields, "|%s", field) == 0);
                for (size_t k = 0; k < n; k++)
                        add(&fields, "a", 1);
        }
        add(&in, PREFACE_SETTINGS, sizeof(PREFACE_SETTINGS) - 1);
        add_head(&in, 1, sg_buf_view(&fields), true);
        assert_int_equal(owner_receive(&o, sg_buf_view(&in), SIZE_MAX), 0);
        assert_int_equal(owner_produce(&o), 0);
        if (too)
                assert_text(&o.text, too);
        else
                assert_true(sg_str_starts(sg_buf_view(&o.text), SG_STR("<1 GET /")));
        assert_text(&o.frames, too ? "S Sa H1." : FINE);
        sg_buf_done(&in);
        sg_buf_done(&fields);
        owner_done(&o);
}

static void test_too_large_is_answered(void **state)
{
        check_large(REQUEST(""), "a=b", SG_HEADERS_MAX, 0, NULL);
        check_large(REQUEST(""), "a=b", SG_HEADERS_MAX + 1, 0, TOO_LARGE);
        check_large(REQUEST("|b=c"), "cookie=b", SG_HEADERS_MAX + 1, 0, NULL); /* they are one */
        check_large(REQUEST(""), "", 1, SG_FIELD_NAME_BYTES_MAX, NULL);
        check_large(REQUEST(""), "", 1, SG_FIELD_NAME_BYTES_MAX + 1, TOO_LARGE);
        check_large(":method=GET|:scheme=https|:authority=x", ":path=/", 1, SG_TARGET_BYTES_MAX - 1, NULL);
        check_large(":method=GET|:scheme=https|:authority=x", ":path=/", 1, SG_TARGET_BYTES_MAX, TOO_LONG);
        /* Pseudo-fields count for 167, this one for 33 and its value. */
        check_large(REQUEST(""), "a=", 2, 9883, NULL);
        check_large(REQUEST(""), "a=", 2, 9884, TOO_LARGE);
}

static void test_head_over_its_limit_by_a_byte(void **state)
{
        const struct sg_h2_limits limits = {
                .n_streams_max = 10, .stream_window = 65535, .connection_window = 65535, .head_bytes = 210};
        struct sg_buf in;
        struct owner o;

        owner_init_as(&o, &limits);
        sg_buf_init(&in, SIZE_MAX);
        add(&in, PREFACE_SETTINGS, sizeof(PREFACE_SETTINGS) - 1);
        add_head(&in, 1, SG_STR(REQUEST("|a=0123456789")), true);
        add_head(&in, 3, SG_STR(REQUEST("|a=0123456789a")), true);
        assert_int_equal(owner_receive(&o, sg_buf_view(&in), SIZE_MAX), 0);
        assert_int_equal(owner_produce(&o), 0);
        assert_text(&o.text, "<1 GET / @x |a=0123456789>.<3 too large>3.3sent");
        assert_text(&o.frames, "S Sa H3.");
        sg_buf_done(&in);
        owner_done(&o);
}

/* Those that may not stand there are left out, or refused by nghttp2. */
static void test_trailers_are_told(void **state)
{
        static const struct {
                const char *fields, *told, *frames;
        } cases[] = {
                {"a=b|c=", "<1 POST / @x >1[|a=b|c=]1.", FINE},
                {"a=b|host=y|authorization=c|cookie=d|cookie=e|te=trailers", "<1 POST / @x >1[|a=b]1.", FINE},
                {"content-type=a|trailer=b", "<1 POST / @x >1.", FINE},
                {"content-length=0|a=b", "<1 POST / @x >1[|a=b]1.", FINE},
                {"content-length=1|a=b", "<1 POST / @x >1!protocol", REFUSED},
                {":path=/", "<1 POST / @x >1!protocol", REFUSED},
                {"connection=close", "<1 POST / @x >1!protocol", REFUSED},
                {"A=b", "<1 POST / @x >1!protocol", REFUSED},
                {"a=b\nc", "<1 POST / @x >1!protocol", REFUSED},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct sg_buf in;
                struct owner o;

                owner_init_with(&o, &owner_limits, &owner_events_all);
                sg_buf_init(&in, SIZE_MAX);
                add(&in, PREFACE_SETTINGS, sizeof(PREFACE_SETTINGS) - 1);
                add_head(&in, 1, SG_STR(POST("")), false);
                add_head(&in, 1, sg_str_from(cases[i].fields), true);
                assert_int_equal(owner_receive(&o, sg_buf_view(&in), 1 + i % 7), 0);
                assert_int_equal(owner_produce(&o), 0);
                assert_text(&o.text, cases[i].told);
                assert_text(&o.frames, cases[i].frames);
                sg_buf_done(&in);
                owner_done(&o);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_requests),
                cmocka_unit_test(test_cookies),
                cmocka_unit_test(test_pseudo_fields),
                cmocka_unit_test(test_targets),
                cmocka_unit_test(test_fields_of_the_connection),
                cmocka_unit_test(test_names_and_values),
                cmocka_unit_test(test_empty_name),
                cmocka_unit_test(test_lengths_and_expectations),
                cmocka_unit_test(test_too_large_is_answered),
                cmocka_unit_test(test_head_over_its_limit_by_a_byte),
                cmocka_unit_test(test_trailers_are_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
