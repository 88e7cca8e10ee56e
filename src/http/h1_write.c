#include "http/h1_internal.h"

/* All pieces or none. */
static int add_pieces(struct sg_buf *b, const struct sg_str *pieces, size_t n)
{
        size_t n_bytes = 0;
        char *at;
        int r;

        for (size_t i = 0; i < n; i++)
                n_bytes += pieces[i].n;
        r = sg_buf_reserve(b, n_bytes, &at);
        if (r)
                return r;
        for (size_t i = 0; i < n; i++) {
                if (pieces[i].n)
                        memcpy(at, pieces[i].p, pieces[i].n);
                at += pieces[i].n;
        }
        sg_buf_added(b, n_bytes);
        return 0;
}

int sg_h1_add_request_line(struct sg_buf *b, struct sg_str method, struct sg_str target)
{
        const struct sg_str pieces[] = {method, SG_STR(" "), target, SG_STR(" HTTP/1.1\r\n")};

        SG_ASSERT(sg_token_is_valid(method));
        SG_ASSERT(target.n && http_target_end(target, 0) == target.n);
        return add_pieces(b, pieces, SG_N_ELEMENTS(pieces));
}

int sg_h1_add_status_line(struct sg_buf *b, unsigned status)
{
        const char digits[] = {(char)('0' + status / 100 % 10), (char)('0' + status / 10 % 10),
                               (char)('0' + status % 10), ' '};
        const struct sg_str pieces[] = {SG_STR("HTTP/1.1 "), sg_str_make(digits, sizeof(digits)),
                                        sg_str_from(sg_status_phrase(status)), SG_STR("\r\n")};

        SG_ASSERT(status >= 100 && status <= 999);
        return add_pieces(b, pieces, SG_N_ELEMENTS(pieces));
}

int sg_h1_add_header(struct sg_buf *b, struct sg_str name, struct sg_str value)
{
        const struct sg_str pieces[] = {name, SG_STR(": "), value, SG_STR("\r\n")};

        SG_ASSERT(sg_token_is_valid(name));
        return add_pieces(b, pieces, SG_N_ELEMENTS(pieces));
}

int sg_h1_add_header_u64(struct sg_buf *b, struct sg_str name, uint64_t value)
{
        char digits[20];
        size_t at = sizeof(digits);

        do
                digits[--at] = (char)('0' + value % 10);
        while (value /= 10);
        return sg_h1_add_header(b, name, sg_str_make(digits + at, sizeof(digits) - at));
}

int sg_h1_add_head_end(struct sg_buf *b)
{
        return sg_buf_add(b, SG_STR("\r\n"));
}

size_t sg_h1_chunk_head(char out[SG_H1_CHUNK_HEAD_BYTES], size_t n)
{
        size_t n_digits = 1, at;

        for (size_t rest = n >> 4; rest; rest >>= 4)
                n_digits++;
        for (at = n_digits; at-- > 0; n >>= 4)
                out[at] = "0123456789abcdef"[n & 15];
        out[n_digits] = '\r';
        out[n_digits + 1] = '\n';
        return n_digits + 2;
}
