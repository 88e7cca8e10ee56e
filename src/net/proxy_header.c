#include "net/proxy_header.h"

#define LINE_BYTES_MAX 107u /* with CRLF; version 1 */
#define FIXED_BYTES    16u  /* version 2: signature, command, family, length */
#define UNIX_BYTES     216u

static const struct sg_str line_start = {"PROXY ", 6};
static const struct sg_str signature = {"\r\n\r\n\0\r\nQUIT\n", 12};

enum command {
        COMMAND_LOCAL = 0x20, /* with the version, which is 2 */
        COMMAND_PROXY = 0x21,
};

const char *sg_proxy_header_error_text(enum sg_proxy_header_error e)
{
        static const char *const texts[SG_PROXY_HEADER_E_N] = {
                [SG_PROXY_HEADER_E_MORE] = "it is not whole",
                [SG_PROXY_HEADER_E_NONE] = "what came is none",
                [SG_PROXY_HEADER_E_LINE] = "the line is malformed",
                [SG_PROXY_HEADER_E_COMMAND] = "unknown version or command",
                [SG_PROXY_HEADER_E_FAMILY] = "unknown address family or transport",
                [SG_PROXY_HEADER_E_LENGTH] = "its length is too small for its addresses, or beyond 4096",
                [SG_PROXY_HEADER_E_ADDITION] = "the extensions do not fit their length",
        };

        return e > 0 && e < SG_PROXY_HEADER_E_N ? texts[e] : "unknown";
}

/* ---- version 1 */

static bool read_port(struct sg_str text, uint16_t *ret)
{
        uint64_t port;

        if (text.n > 5 || (text.n > 1 && text.p[0] == '0') || sg_str_to_u64(text, &port) || port > UINT16_MAX)
                return false;
        *ret = (uint16_t)port;
        return true;
}

static bool read_address(struct sg_str text, bool is_v6, struct sg_ip *ret)
{
        return (sg_str_find_byte(text, ':') < text.n) == is_v6 && sg_ip_parse(ret, text);
}

/* "SOURCE DESTINATION PORT PORT", one blank between each. */
static bool read_ends(struct sg_proxy_header *h, struct sg_str rest, bool is_v6)
{
        struct sg_str source, destination, source_port;
        uint16_t port;
        struct sg_ip ip;

        h->kind = SG_PROXY_HEADER_SOURCE;
        return sg_str_cut(&rest, ' ', &source) && sg_str_cut(&rest, ' ', &destination) &&
               sg_str_cut(&rest, ' ', &source_port) && read_address(source, is_v6, &h->source) &&
               read_address(destination, is_v6, &ip) && read_port(source_port, &h->source_port) &&
               read_port(rest, &port);
}

static int read_line(struct sg_proxy_header *h, struct sg_str bytes)
{
        size_t end = sg_str_find_byte(sg_str_head(bytes, SG_MIN(bytes.n, (size_t)LINE_BYTES_MAX)), '\n');
        struct sg_str rest, word;
        bool has_more;

        if (end >= LINE_BYTES_MAX)
                return SG_PROXY_HEADER_E_LINE;
        if (end == bytes.n)
                return SG_PROXY_HEADER_E_MORE;
        if (bytes.p[end - 1] != '\r')
                return SG_PROXY_HEADER_E_LINE;
        h->n_bytes = end + 1;
        rest = sg_str_skip(sg_str_head(bytes, end - 1), line_start.n);
        if (sg_str_find_byte(rest, '\r') < rest.n)
                return SG_PROXY_HEADER_E_LINE;
        has_more = sg_str_cut(&rest, ' ', &word);
        if (sg_str_eq(word, SG_STR("UNKNOWN"))) {
                h->kind = SG_PROXY_HEADER_UNKNOWN; /* and the rest of the line means nothing */
                return 0;
        }
        if (has_more && sg_str_eq(word, SG_STR("TCP4")))
                return read_ends(h, rest, false) ? 0 : SG_PROXY_HEADER_E_LINE;
        if (has_more && sg_str_eq(word, SG_STR("TCP6")))
                return read_ends(h, rest, true) ? 0 : SG_PROXY_HEADER_E_LINE;
        return SG_PROXY_HEADER_E_LINE;
}

/* ---- version 2 */

static unsigned u8_at(struct sg_str bytes, size_t at)
{
        return (uint8_t)bytes.p[at];
}

static unsigned u16_at(struct sg_str bytes, size_t at)
{
        return u8_at(bytes, at) << 8 | u8_at(bytes, at + 1);
}

/* Of the addresses; false for what is not assigned. *ret_ip: of one, 0 where there is none that could be told. */
static bool family_bytes(unsigned family, size_t *ret, size_t *ret_ip)
{
        static const struct {
                size_t n, n_ip;
        } families[] = {{0, 0}, {12, 4}, {36, 16}, {UNIX_BYTES, 0}}; /* UNSPEC, INET, INET6, UNIX */
        const unsigned transport = family & 0x0f;

        if (family >> 4 >= SG_N_ELEMENTS(families) || transport > 2) /* UNSPEC, STREAM, DGRAM */
                return false;
        *ret = transport ? families[family >> 4].n : 0;
        *ret_ip = transport ? families[family >> 4].n_ip : 0;
        return true;
}

/* Type, length in two bytes, value; and so on to the end. */
static bool are_additions(struct sg_str rest)
{
        while (rest.n >= 3) {
                size_t n = 3 + u16_at(rest, 1);

                if (n > rest.n)
                        return false;
                rest = sg_str_skip(rest, n);
        }
        return rest.n == 0;
}

static int read_proxied(struct sg_proxy_header *h, struct sg_str bytes)
{
        struct sg_str rest = sg_str_skip(bytes, FIXED_BYTES);
        size_t n_addresses, n_ip;

        if (!family_bytes(u8_at(bytes, 13), &n_addresses, &n_ip))
                return SG_PROXY_HEADER_E_FAMILY;
        if (h->n_bytes < FIXED_BYTES + n_addresses)
                return SG_PROXY_HEADER_E_LENGTH;
        if (bytes.n < h->n_bytes)
                return SG_PROXY_HEADER_E_MORE;
        h->kind = n_ip ? SG_PROXY_HEADER_SOURCE : SG_PROXY_HEADER_UNKNOWN;
        if (n_ip) {
                sg_ip_from_bytes(&h->source, rest.p, n_ip);
                h->source_port = (uint16_t)u16_at(rest, 2 * n_ip);
        }
        rest = sg_str_head(rest, h->n_bytes - FIXED_BYTES);
        /* What an unspecified transport is said to have for addresses has no known length: nothing behind it is read. */
        if (n_addresses && !are_additions(sg_str_skip(rest, n_addresses)))
                return SG_PROXY_HEADER_E_ADDITION;
        return 0;
}

static int read_binary(struct sg_proxy_header *h, struct sg_str bytes)
{
        if (bytes.n > 12 && u8_at(bytes, 12) != COMMAND_LOCAL && u8_at(bytes, 12) != COMMAND_PROXY)
                return SG_PROXY_HEADER_E_COMMAND;
        if (bytes.n < FIXED_BYTES)
                return SG_PROXY_HEADER_E_MORE;
        h->n_bytes = FIXED_BYTES + u16_at(bytes, 14);
        if (h->n_bytes > SG_PROXY_HEADER_BYTES_MAX)
                return SG_PROXY_HEADER_E_LENGTH;
        if (u8_at(bytes, 12) == COMMAND_PROXY)
                return read_proxied(h, bytes);
        h->kind = SG_PROXY_HEADER_LOCAL; /* family and addresses are ignored, whatever they are */
        return bytes.n < h->n_bytes ? SG_PROXY_HEADER_E_MORE : 0;
}

/* ---- both */

/* As far as bytes go. */
static bool begins(struct sg_str bytes, struct sg_str with)
{
        const size_t n = SG_MIN(bytes.n, with.n);

        return sg_str_eq(sg_str_head(bytes, n), sg_str_head(with, n));
}

int sg_proxy_header_read(struct sg_proxy_header *ret, struct sg_str bytes)
{
        struct sg_proxy_header h = {.kind = SG_PROXY_HEADER_LOCAL};
        int r;

        if (bytes.n == 0)
                return SG_PROXY_HEADER_E_MORE;
        if (begins(bytes, line_start))
                r = bytes.n < line_start.n ? SG_PROXY_HEADER_E_MORE : read_line(&h, bytes);
        else if (begins(bytes, signature))
                r = read_binary(&h, bytes);
        else
                r = SG_PROXY_HEADER_E_NONE;
        if (!r)
                *ret = h;
        return r;
}
