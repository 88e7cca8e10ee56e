/*
 * The syntax of a head: first line and fields, from left to right, nothing remembered but views.
 *
 * A head that comes in one piece, as nearly all do, is read once. One that comes in several is checked line by line as
 * they come, so that what is wrong is refused at its first byte; the parser keeps only where the whole lines end
 * (`scanned`) and how many there were. When the head is complete, it is read again for its views, since the bytes may
 * have moved. A line that is not whole is read again at the next piece: its long runs go 16 bytes a step, the slow
 * ones (method, name) are short by decree.
 *
 * All that depends on several lines (h1_meaning.c) is judged at the end of the head. So the outcome does not depend on
 * where the pieces were cut.
 */
#include "http/h1_internal.h"

/* Matches `form`, in which '#' stands for a digit. *at moves behind it only when all of it is there. */
static int match(struct sg_str in, size_t *at, const char *form)
{
        size_t i = *at;

        for (; *form; form++, i++) {
                if (i == in.n)
                        return H1_WAIT;
                if (*form == '#' ? !http_is(in.p[i], HTTP_DIGIT) : in.p[i] != *form)
                        return SG_H1_E_BAD;
        }
        *at = i;
        return 0;
}

/* A run from `at` may have up to max bytes: what is longer ends one byte further. */
static struct sg_str window(struct sg_str in, size_t at, size_t max)
{
        return in.n - at > max ? sg_str_head(in, at + max + 1) : in;
}

/* "HTTP/1.1" and the line's end (RFC 9112 section 2.3). */
static int read_version(struct sg_str in, size_t *at, unsigned *ret_minor)
{
        const size_t start = *at;
        int r;

        r = match(in, at, "HTTP/#.#\r\n");
        if (r)
                return r;
        if (in.p[start + 5] != '1' || in.p[start + 7] > '1')
                return SG_H1_E_VERSION;
        *ret_minor = (unsigned)(in.p[start + 7] - '0');
        return 0;
}

static int read_request_line(struct sg_str in, size_t *at, struct sg_head *head)
{
        size_t method = http_token_end(window(in, 0, SG_METHOD_BYTES_MAX), 0), target;

        if (method > SG_METHOD_BYTES_MAX)
                return SG_H1_E_BAD;
        if (method == in.n)
                return H1_WAIT;
        if (method == 0 || in.p[method] != ' ')
                return SG_H1_E_BAD;
        target = method + 1;
        *at = http_target_end(window(in, target, SG_TARGET_BYTES_MAX), target);
        if (*at - target > SG_TARGET_BYTES_MAX)
                return SG_H1_E_TARGET_TOO_LONG;
        if (*at == in.n)
                return H1_WAIT;
        if (*at == target || in.p[*at] != ' ')
                return SG_H1_E_BAD;
        head->method_text = sg_str_head(in, method);
        head->target = sg_str_make(in.p + target, *at - target);
        (*at)++;
        return read_version(in, at, &head->minor);
}

/* CRLF behind a run that ended at *at. */
static int read_line_end(struct sg_str in, size_t *at)
{
        if (*at == in.n)
                return H1_WAIT;
        if (in.p[*at] != '\r')
                return SG_H1_E_BAD;
        if (*at + 1 == in.n)
                return H1_WAIT;
        if (in.p[*at + 1] != '\n')
                return SG_H1_E_BAD;
        *at += 2;
        return 0;
}

/* The space behind the status may be missing together with the phrase. */
static int read_status_line(struct sg_str in, size_t *at, struct sg_head *head)
{
        int r;

        *at = 0;
        r = match(in, at, "HTTP/1.# ###");
        if (r)
                return r;
        if (in.p[7] > '1')
                return SG_H1_E_VERSION;
        head->minor = (unsigned)(in.p[7] - '0');
        head->status = (unsigned)((in.p[9] - '0') * 100 + (in.p[10] - '0') * 10 + (in.p[11] - '0'));
        if (head->status < 100)
                return SG_H1_E_BAD;
        if (*at < in.n && in.p[*at] == ' ')
                *at = http_value_end(in, *at);
        return read_line_end(in, at);
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t';
}

static int read_field(struct sg_str in, size_t *at, bool is_client, struct sg_header *ret)
{
        const size_t start = *at;
        size_t end = http_token_end(window(in, start, SG_FIELD_NAME_BYTES_MAX), start), value;

        if (end - start > SG_FIELD_NAME_BYTES_MAX)
                return SG_H1_E_HEAD_TOO_LARGE;
        /* A folded line begins with a blank: it is an empty name, too. */
        if (end == start && end < in.n)
                return SG_H1_E_BAD;
        ret->name = sg_str_make(in.p + start, end - start);
        /* From a server the blank is tolerated, as it does not reach anyone else (RFC 9112 section 5.1). */
        while (is_client && end < in.n && is_blank(in.p[end]))
                end++;
        if (end == in.n)
                return H1_WAIT;
        if (in.p[end] != ':')
                return SG_H1_E_BAD;
        value = end + 1;
        while (value < in.n && is_blank(in.p[value]))
                value++;
        end = *at = http_value_end(in, value);
        while (end > value && is_blank(in.p[end - 1]))
                end--;
        ret->value = sg_str_make(in.p + value, end - value);
        return read_line_end(in, at);
}

/* `word` is in lower case and of the same length. Setting the bit makes no other token byte equal to a letter or to
 * the hyphen. */
static bool is_word(const char *p, const char *word, bool *ret_is_disguised)
{
        *ret_is_disguised = false;
        for (; *word; p++, word++) {
                if ((*p | 0x20) == *word)
                        continue;
                if (*word != '-' || *p != '_')
                        return false;
                *ret_is_disguised = true;
        }
        return true;
}

static void note_field(struct h1_known *known, struct sg_str name, size_t place)
{
        static const struct {
                enum h1_field field;
                const char *word;
        } by_length[] = {
                [4] = {H1_HOST, "host"},
                [6] = {H1_EXPECT, "expect"},
                [7] = {H1_UPGRADE, "upgrade"},
                [10] = {H1_CONNECTION, "connection"},
                [14] = {H1_CONTENT_LENGTH, "content-length"},
                [17] = {H1_TRANSFER_ENCODING, "transfer-encoding"},
        };
        bool is_disguised;
        enum h1_field field;

        if (name.n >= SG_N_ELEMENTS(by_length) || !by_length[name.n].word ||
            !is_word(name.p, by_length[name.n].word, &is_disguised))
                return;
        field = is_disguised ? H1_DISGUISED : by_length[name.n].field;
        if (known->n[field]++ == 0)
                known->first[field] = (uint8_t)place;
}

static int read_fields(struct sg_h1 *p, struct sg_str in, size_t *at, struct sg_head *head, struct h1_known *known)
{
        for (;;) {
                size_t next = *at;
                int r;

                if (next < in.n && in.p[next] == '\r')
                        return read_line_end(in, at);
                if (next == in.n)
                        return H1_WAIT;
                if (head->n_headers == SG_HEADERS_MAX)
                        return SG_H1_E_HEAD_TOO_LARGE;
                r = read_field(in, &next, p->role == SG_H1_CLIENT, &head->headers[head->n_headers]);
                if (r)
                        return r;
                note_field(known, head->headers[head->n_headers].name, head->n_headers);
                head->n_headers++;
                *at = next;
        }
}

/* From the place where the whole lines end. */
static int read_on(struct sg_h1 *p, struct sg_str in, bool has_first_line, struct sg_head *head, struct h1_known *known,
                   size_t *at)
{
        int r;

        *known = (struct h1_known){0};
        *at = p->scanned;
        head->n_headers = p->n_fields;
        if (has_first_line && *at == 0) {
                size_t next = 0;

                if (p->role == SG_H1_SERVER)
                        r = read_request_line(in, &next, head);
                else
                        r = read_status_line(in, &next, head);
                if (r)
                        return r;
                *at = next;
        }
        r = read_fields(p, in, at, head, known);
        p->scanned = *at;
        p->n_fields = (unsigned)head->n_headers;
        return r;
}

static int read_block(struct sg_h1 *p, struct sg_str in, bool has_first_line, struct sg_head *head,
                      struct h1_known *known, size_t *ret_used)
{
        const struct sg_str whole = sg_str_head(in, SG_MIN(in.n, p->limits.head_bytes));
        const bool is_resumed = p->scanned > 0;
        int r;

        r = read_on(p, whole, has_first_line, head, known, ret_used);
        if (r == 0 && is_resumed) {
                p->scanned = p->n_fields = 0;
                r = read_on(p, whole, has_first_line, head, known, ret_used);
        }
        if (r == H1_WAIT && whole.n == p->limits.head_bytes)
                r = has_first_line && p->scanned == 0 && p->role == SG_H1_SERVER ? SG_H1_E_TARGET_TOO_LONG
                                                                                 : SG_H1_E_HEAD_TOO_LARGE;
        if (r == 0)
                p->scanned = p->n_fields = 0;
        return r;
}

int h1_read_head(struct sg_h1 *p, struct sg_str in, struct sg_head *head, struct h1_known *ret, size_t *ret_used)
{
        return read_block(p, in, true, head, ret, ret_used);
}

/* Fields that would change what was decided at the head are refused (RFC 9110 section 6.5.1). */
int h1_read_trailers(struct sg_h1 *p, struct sg_str in, struct sg_head *head, size_t *ret_used)
{
        struct h1_known known;
        int r;

        r = read_block(p, in, false, head, &known, ret_used);
        if (r)
                return r;
        if (known.n[H1_HOST] || known.n[H1_CONTENT_LENGTH] || known.n[H1_TRANSFER_ENCODING] ||
            (p->role == SG_H1_SERVER && known.n[H1_DISGUISED]))
                return SG_H1_E_BAD;
        return 0;
}
