/* The PROXY protocol, by its specification: what is a header, what is none, and how much of the bytes is it. */
#include "net_test.h"

#include "net/proxy_header.h"

#define SIGNATURE      "\r\n\r\n\0\r\nQUIT\n"
#define BYTES(literal) sg_str_make("" literal, sizeof(literal) - 1)

/* Every prefix must ask for more, and what follows the header must change nothing. */
static struct sg_proxy_header read_whole(struct sg_str bytes)
{
        struct sg_proxy_header h, again;
        char longer[8192];

        for (size_t n = 0; n < bytes.n; n++) {
                int r = sg_proxy_header_read(&h, sg_str_head(bytes, n));

                if (r != SG_PROXY_HEADER_E_MORE)
                        fail_msg("after %zu of %zu bytes: %s", n, bytes.n,
                                 r ? sg_proxy_header_error_text((enum sg_proxy_header_error)r) : "whole");
        }
        assert_int_equal(sg_proxy_header_read(&h, bytes), 0);
        assert_int_equal(h.n_bytes, bytes.n);
        assert_true(bytes.n + 16 <= sizeof(longer));
        memcpy(longer, bytes.p, bytes.n);
        memcpy(longer + bytes.n, "\r\n\r\nPROXY TCP4 x", 16);
        assert_int_equal(sg_proxy_header_read(&again, sg_str_make(longer, bytes.n + 16)), 0);
        assert_int_equal(again.n_bytes, h.n_bytes);
        assert_int_equal(again.kind, h.kind);
        return h;
}

static void assert_source(struct sg_str bytes, const char *address, unsigned port)
{
        struct sg_proxy_header h = read_whole(bytes);
        char out[SG_IP_TEXT_BYTES];

        assert_int_equal(h.kind, SG_PROXY_HEADER_SOURCE);
        assert_string_equal(sg_ip_text(&h.source, out), address);
        assert_int_equal(h.source_port, port);
}

static void assert_error(struct sg_str bytes, int e)
{
        struct sg_proxy_header h;
        int r = sg_proxy_header_read(&h, bytes);

        if (r != e)
                fail_msg("\"" SG_STR_FMT "\" gave %d, not %d", SG_STR_ARG(bytes), r, e);
}

/* ---- version 1 */

static void test_lines_of_version_1(void **state)
{
        assert_source(SG_STR("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"), "192.168.0.1", 56324);
        assert_source(SG_STR("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255", 65535);
        assert_source(SG_STR("PROXY TCP4 1.2.3.4 5.6.7.8 0 0\r\n"), "1.2.3.4", 0);
        assert_source(SG_STR("PROXY TCP6 2001:DB8::1 ::1 1 2\r\n"), "2001:db8::1", 1);
        assert_source(SG_STR("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                             "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
                      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535);
        assert_source(SG_STR("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), "192.0.2.1", 1);
}

static void test_unknown_of_version_1(void **state)
{
        assert_int_equal(read_whole(SG_STR("PROXY UNKNOWN\r\n")).kind, SG_PROXY_HEADER_UNKNOWN);
        /* the longest line of the specification, 107 bytes, and what it says is ignored */
        assert_int_equal(read_whole(SG_STR("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                                           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"))
                                 .kind,
                         SG_PROXY_HEADER_UNKNOWN);
        assert_int_equal(read_whole(SG_STR("PROXY UNKNOWN 1.2.3.4  nonsense\r\n")).kind, SG_PROXY_HEADER_UNKNOWN);
}

static void test_malformed_lines_of_version_1(void **state)
{
        static const char *const bad[] = {
                "PROXY \r\n",
                "PROXY TCP4\r\n",
                "PROXY TCP4 \r\n",
                "PROXY TCP4 1.2.3.4\r\n",
                "PROXY TCP4 1.2.3.4 5.6.7.8\r\n",
                "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
                "PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n",
                "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
                "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
                "PROXY TCP4 1.2.3.4 5.6.7.8  1 2\r\n",
                "PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
                "PROXY TCP4\t1.2.3.4 5.6.7.8 1 2\r\n",
                "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",    /* LF alone */
                "PROXY TCP4 1.2.3.4\r5.6.7.8 1 2\r\n", /* CR alone */
                "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n",
                "PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n", /* ports */
                "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
                "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
                "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
                "PROXY TCP4 1.2.3.4 5.6.7.8 1 x\r\n",
                "PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n", /* addresses */
                "PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
                "PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n",
                "PROXY TCP4 1.2.3.4 5.6.7.8.9 1 2\r\n",
                "PROXY TCP4 ::1 ::1 1 2\r\n", /* of the other family */
                "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
                "PROXY TCP6 ::1 5.6.7.8 1 2\r\n",
                "PROXY TCP6 [::1] [::1] 1 2\r\n",
                "PROXY TCP6 ::1%lo ::1 1 2\r\n",
                "PROXY TCP6 1::2::3 ::1 1 2\r\n",
                "PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n", /* words */
                "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
                "PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n",
                "PROXY unknown\r\n",
                "PROXY UNKNOWNS\r\n",
                "PROXY UNKNOWN\n",
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(bad); i++)
                assert_error(sg_str_from(bad[i]), SG_PROXY_HEADER_E_LINE);
}

static void test_line_without_end_is_refused_at_107_bytes(void **state)
{
        char line[256];

        memset(line, ' ', sizeof(line));
        memcpy(line, "PROXY UNKNOWN", 13);
        assert_error(sg_str_make(line, 106), SG_PROXY_HEADER_E_MORE);
        assert_error(sg_str_make(line, 107), SG_PROXY_HEADER_E_LINE);
        memcpy(line + 105, "\r\n", 2);
        assert_int_equal(read_whole(sg_str_make(line, 107)).kind, SG_PROXY_HEADER_UNKNOWN);
        memset(line + 105, ' ', 2);
        memcpy(line + 106, "\r\n", 2);
        assert_error(sg_str_make(line, 108), SG_PROXY_HEADER_E_LINE);
}

static void test_other_protocols_are_told_at_their_first_byte(void **state)
{
        assert_error(SG_STR("GET / HTTP/1.1\r\n"), SG_PROXY_HEADER_E_NONE);
        assert_error(SG_STR("G"), SG_PROXY_HEADER_E_NONE);
        assert_error(SG_STR("\x16\x03\x01"), SG_PROXY_HEADER_E_NONE);
        assert_error(SG_STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), SG_PROXY_HEADER_E_NONE);
        assert_error(SG_STR("PROXI"), SG_PROXY_HEADER_E_NONE);
        assert_error(SG_STR("proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n"), SG_PROXY_HEADER_E_NONE);
        assert_error(SG_STR("\r\n\r\nGET"), SG_PROXY_HEADER_E_NONE);
        assert_error(SG_STR("PROX"), SG_PROXY_HEADER_E_MORE);
        assert_error(SG_STR_NONE, SG_PROXY_HEADER_E_MORE);
}

/* ---- version 2 */

static void test_addresses_of_version_2(void **state)
{
        assert_source(BYTES(SIGNATURE "\x21\x11\x00\x0c"
                                      "\xc0\x00\x02\x01"
                                      "\x0a\x00\x00\x01"
                                      "\xdc\x04"
                                      "\x01\xbb"),
                      "192.0.2.1", 56324);
        assert_source(BYTES(SIGNATURE "\x21\x12\x00\x0c"
                                      "\xc0\x00\x02\x01"
                                      "\x0a\x00\x00\x01"
                                      "\x00\x00"
                                      "\x01\xbb"),
                      "192.0.2.1", 0);
        assert_source(BYTES(SIGNATURE "\x21\x21\x00\x24"
                                      "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                                      "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
                                      "\xff\xff"
                                      "\x01\xbb"),
                      "2001:db8::1", 65535);
        assert_source(BYTES(SIGNATURE "\x21\x22\x00\x24"
                                      "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x07"
                                      "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
                                      "\xff\xff"
                                      "\x01\xbb"),
                      "192.0.2.7", 65535);
}

static void test_extensions_are_skipped(void **state)
{
        /* ALPN h2, NOOP of no bytes, unique id */
        assert_source(BYTES(SIGNATURE "\x21\x11\x00\x1a"
                                      "\xc0\x00\x02\x01"
                                      "\x0a\x00\x00\x01"
                                      "\x00\x01"
                                      "\x00\x02"
                                      "\x01\x00\x02h2"
                                      "\x04\x00\x00"
                                      "\x05\x00\x03xyz"),
                      "192.0.2.1", 1);
        assert_error(BYTES(SIGNATURE "\x21\x11\x00\x0d"
                                     "\xc0\x00\x02\x01"
                                     "\x0a\x00\x00\x01"
                                     "\x00\x01"
                                     "\x00\x02"
                                     "\x01"),
                     SG_PROXY_HEADER_E_ADDITION);
        assert_error(BYTES(SIGNATURE "\x21\x11\x00\x11"
                                     "\xc0\x00\x02\x01"
                                     "\x0a\x00\x00\x01"
                                     "\x00\x01"
                                     "\x00\x02"
                                     "\x01\x00\x03h2"),
                     SG_PROXY_HEADER_E_ADDITION);
}

static void test_local_connections_are_the_proxys_own(void **state)
{
        assert_int_equal(read_whole(BYTES(SIGNATURE "\x20\x00\x00\x00")).kind, SG_PROXY_HEADER_LOCAL);
        /* the block behind it is skipped, whatever it says */
        assert_int_equal(read_whole(BYTES(SIGNATURE "\x20\x11\x00\x0c"
                                                    "\xc0\x00\x02\x01"
                                                    "\x0a\x00\x00\x01"
                                                    "\x00\x01"
                                                    "\x00\x02"))
                                 .kind,
                         SG_PROXY_HEADER_LOCAL);
        assert_int_equal(read_whole(BYTES(SIGNATURE "\x20\xff\x00\x02"
                                                    "zz"))
                                 .kind,
                         SG_PROXY_HEADER_LOCAL);
}

static void test_connections_of_no_ip_address(void **state)
{
        char of_unix[16 + 216] = SIGNATURE "\x21\x31\x00\xd8";

        memcpy(of_unix + 16, "/run/client", 11);
        assert_int_equal(read_whole(sg_str_make(of_unix, sizeof(of_unix))).kind, SG_PROXY_HEADER_UNKNOWN);
        of_unix[13] = 0x32;
        assert_int_equal(read_whole(sg_str_make(of_unix, sizeof(of_unix))).kind, SG_PROXY_HEADER_UNKNOWN);
        assert_int_equal(read_whole(BYTES(SIGNATURE "\x21\x00\x00\x00")).kind, SG_PROXY_HEADER_UNKNOWN);
        assert_int_equal(read_whole(BYTES(SIGNATURE "\x21\x00\x00\x03"
                                                    "abc"))
                                 .kind,
                         SG_PROXY_HEADER_UNKNOWN);
        assert_int_equal(read_whole(BYTES(SIGNATURE "\x21\x10\x00\x02"
                                                    "ab"))
                                 .kind,
                         SG_PROXY_HEADER_UNKNOWN);
        assert_int_equal(read_whole(BYTES(SIGNATURE "\x21\x01\x00\x00")).kind, SG_PROXY_HEADER_UNKNOWN);
}

static void test_malformed_headers_of_version_2(void **state)
{
        assert_error(BYTES(SIGNATURE "\x11"), SG_PROXY_HEADER_E_COMMAND); /* told at once */
        assert_error(BYTES(SIGNATURE "\x31"), SG_PROXY_HEADER_E_COMMAND);
        assert_error(BYTES(SIGNATURE "\x22"), SG_PROXY_HEADER_E_COMMAND);
        assert_error(BYTES(SIGNATURE "\x2f\x11\x00\x0c"), SG_PROXY_HEADER_E_COMMAND);
        assert_error(BYTES(SIGNATURE "\x21\x41\x00\x0c"), SG_PROXY_HEADER_E_FAMILY);
        assert_error(BYTES(SIGNATURE "\x21\xf1\x00\x0c"), SG_PROXY_HEADER_E_FAMILY);
        assert_error(BYTES(SIGNATURE "\x21\x13\x00\x0c"), SG_PROXY_HEADER_E_FAMILY);
        assert_error(BYTES(SIGNATURE "\x21\x11\x00\x0b"), SG_PROXY_HEADER_E_LENGTH);
        assert_error(BYTES(SIGNATURE "\x21\x21\x00\x23"), SG_PROXY_HEADER_E_LENGTH);
        assert_error(BYTES(SIGNATURE "\x21\x31\x00\xd7"), SG_PROXY_HEADER_E_LENGTH);
        assert_error(BYTES(SIGNATURE "\x21\x11\x00\x00"), SG_PROXY_HEADER_E_LENGTH);
}

static void test_length_has_a_limit(void **state)
{
        static char bytes[SG_PROXY_HEADER_BYTES_MAX + 16] = SIGNATURE "\x21\x11";
        const size_t n = SG_PROXY_HEADER_BYTES_MAX - 16, n_value = n - 12 - 3;

        bytes[14] = (char)(n >> 8);
        bytes[15] = (char)n;
        bytes[28] = 0x04; /* one long NOOP */
        bytes[29] = (char)(n_value >> 8);
        bytes[30] = (char)n_value;
        assert_source(sg_str_make(bytes, SG_PROXY_HEADER_BYTES_MAX), "0.0.0.0", 0);
        bytes[15] = (char)(n + 1);
        assert_error(sg_str_make(bytes, 16), SG_PROXY_HEADER_E_LENGTH); /* nobody waits for the rest */
        bytes[12] = 0x20;
        assert_error(sg_str_make(bytes, 16), SG_PROXY_HEADER_E_LENGTH);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lines_of_version_1),
                cmocka_unit_test(test_unknown_of_version_1),
                cmocka_unit_test(test_malformed_lines_of_version_1),
                cmocka_unit_test(test_line_without_end_is_refused_at_107_bytes),
                cmocka_unit_test(test_other_protocols_are_told_at_their_first_byte),
                cmocka_unit_test(test_addresses_of_version_2),
                cmocka_unit_test(test_extensions_are_skipped),
                cmocka_unit_test(test_local_connections_are_the_proxys_own),
                cmocka_unit_test(test_connections_of_no_ip_address),
                cmocka_unit_test(test_malformed_headers_of_version_2),
                cmocka_unit_test(test_length_has_a_limit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
