/*
 * The line before a chunk: size in hexadecimal, extensions, CRLF (RFC 9112 section 7.1). Extensions are checked and
 * forgotten. Where the grammar knows "bad white space" a server's is tolerated and a client's is not: front ends were
 * misled by it.
 */
#include "http/h1_internal.h"

struct line {
        struct sg_str in;
        size_t at;
        bool is_client;
};

static bool is_at_end(const struct line *l)
{
        return l->at == l->in.n;
}

static bool has(const struct line *l, char c)
{
        return l->at < l->in.n && l->in.p[l->at] == c;
}

static void skip_blanks(struct line *l)
{
        while (l->is_client && (has(l, ' ') || has(l, '\t')))
                l->at++;
}

static int read_size(struct line *l, uint64_t *ret)
{
        const struct sg_str digits = sg_str_head(l->in, http_span(l->in, 0, HTTP_HEX));

        if (digits.n > 16)
                return SG_H1_E_BAD;
        l->at = digits.n;
        if (is_at_end(l))
                return H1_WAIT;
        if (sg_str_to_hex64(digits, ret) || *ret > INT64_MAX)
                return SG_H1_E_BAD;
        return 0;
}

static int read_token(struct line *l)
{
        const size_t end = http_span(l->in, l->at, HTTP_TOKEN);
        const bool is_empty = end == l->at;

        l->at = end;
        if (is_at_end(l))
                return H1_WAIT;
        return is_empty ? SG_H1_E_BAD : 0;
}

static int read_quoted(struct line *l)
{
        l->at++;
        for (;;) {
                l->at = http_span(l->in, l->at, HTTP_QUOTED);
                if (is_at_end(l))
                        return H1_WAIT;
                if (l->in.p[l->at] == '"') {
                        l->at++;
                        return 0;
                }
                if (l->in.p[l->at] != '\\')
                        return SG_H1_E_BAD;
                l->at++;
                if (is_at_end(l))
                        return H1_WAIT;
                if (!http_is(l->in.p[l->at], HTTP_VALUE))
                        return SG_H1_E_BAD;
                l->at++;
        }
}

/* One ";name" or ";name=value". */
static int read_extension(struct line *l)
{
        int r;

        l->at++;
        skip_blanks(l);
        r = read_token(l);
        if (r)
                return r;
        skip_blanks(l);
        if (!has(l, '='))
                return 0;
        l->at++;
        skip_blanks(l);
        return has(l, '"') ? read_quoted(l) : read_token(l);
}

static int read_line(struct line *l, uint64_t *ret_size)
{
        int r;

        r = read_size(l, ret_size);
        if (r)
                return r;
        skip_blanks(l);
        while (has(l, ';')) {
                r = read_extension(l);
                if (r)
                        return r;
                skip_blanks(l);
        }
        for (const char *end = "\r\n"; *end; end++, l->at++) {
                if (is_at_end(l))
                        return H1_WAIT;
                if (!has(l, *end))
                        return SG_H1_E_BAD;
        }
        return 0;
}

int h1_read_chunk_line(enum sg_h1_role role, struct sg_str in, uint64_t *ret_size, size_t *ret_used)
{
        struct line l = {.in = sg_str_head(in, SG_MIN(in.n, (size_t)SG_CHUNK_LINE_BYTES_MAX)),
                         .is_client = role == SG_H1_CLIENT};
        int r;

        r = read_line(&l, ret_size);
        if (r == H1_WAIT && l.in.n == SG_CHUNK_LINE_BYTES_MAX)
                return SG_H1_E_BAD;
        *ret_used = l.at;
        return r;
}
