/*
 * The parser's states and the order of its events:
 *
 *      idle -> head -> HEAD -> [length | close | chunk line -> chunk -> chunk end -> … -> trailers] -> END -> idle
 *
 * h1_head.c reads the head's bytes, h1_meaning.c says what follows it, h1_body.c reads the lines between chunks.
 */
#include "http/h1_internal.h"

#define EMPTY_LINES_MAX 4u /* before a request line; RFC 9112 section 2.2 asks for one */

const char *sg_h1_error_name(enum sg_h1_error e)
{
        static const char *const names[SG_H1_E_N] = {
                [SG_H1_E_BAD] = "bad",
                [SG_H1_E_HEAD_TOO_LARGE] = "head_too_large",
                [SG_H1_E_TARGET_TOO_LONG] = "target_too_long",
                [SG_H1_E_BODY_TOO_LARGE] = "body_too_large",
                [SG_H1_E_VERSION] = "version",
                [SG_H1_E_CODING] = "coding",
                [SG_H1_E_TRUNCATED] = "truncated",
        };

        return e > 0 && e < SG_H1_E_N ? names[e] : "unknown";
}

unsigned sg_h1_error_status(enum sg_h1_error e)
{
        static const unsigned statuses[SG_H1_E_N] = {
                [SG_H1_E_HEAD_TOO_LARGE] = 431, [SG_H1_E_TARGET_TOO_LONG] = 414, [SG_H1_E_BODY_TOO_LARGE] = 413,
                [SG_H1_E_VERSION] = 505,        [SG_H1_E_CODING] = 501,
        };

        return e > 0 && e < SG_H1_E_N && statuses[e] ? statuses[e] : 400;
}

void sg_h1_init(struct sg_h1 *p, enum sg_h1_role role, const struct sg_h1_limits *limits)
{
        *p = (struct sg_h1){.role = role};
        if (limits)
                p->limits = *limits;
        if (p->limits.head_bytes == 0)
                p->limits.head_bytes = SG_HEAD_BYTES_MAX;
}

static void h1_go(struct sg_h1 *p, enum h1_state to)
{
        p->state = to;
}

static bool is_over_limit(const struct sg_h1 *p, uint64_t more)
{
        return p->body_limit && more > p->body_limit - SG_MIN(p->body_limit, p->body_bytes);
}

int sg_h1_limit_body(struct sg_h1 *p, const struct sg_head *head, uint64_t body_bytes)
{
        SG_ASSERT(p->role == SG_H1_SERVER && p->body_bytes == 0);
        p->body_limit = body_bytes;
        return head->has_length && is_over_limit(p, head->length) ? SG_H1_E_BODY_TOO_LARGE : 0;
}

void sg_h1_expect(struct sg_h1 *p, enum sg_method method)
{
        SG_ASSERT(p->role == SG_H1_CLIENT);
        p->is_head_request = method == SG_METHOD_HEAD;
        p->is_connect_request = method == SG_METHOD_CONNECT;
}

bool sg_h1_is_idle(const struct sg_h1 *p)
{
        return p->state == H1_IDLE && !p->sent_interim;
}

/* ---- head */

/* What follows an accepted head. */
static int begin_body(struct sg_h1 *p, const struct sg_head *head)
{
        const bool is_silent = p->role == SG_H1_CLIENT && (p->is_head_request || head->status == 304);

        p->body_bytes = 0;
        p->body_limit = p->limits.body_bytes;
        p->left = 0;
        if (is_silent) {
                h1_go(p, H1_END);
        } else if (head->is_chunked) {
                h1_go(p, H1_CHUNK_LINE);
        } else if (head->is_close_delimited) {
                h1_go(p, H1_CLOSE);
        } else {
                if (is_over_limit(p, head->length))
                        return SG_H1_E_BODY_TOO_LARGE;
                p->left = head->length;
                h1_go(p, H1_LENGTH);
        }
        return 0;
}

static int skip_empty_lines(struct sg_h1 *p, struct sg_str in, size_t *used)
{
        while (p->role == SG_H1_SERVER && p->scanned == 0 && *used < in.n && in.p[*used] == '\r') {
                if (*used + 1 == in.n)
                        return H1_WAIT;
                if (in.p[*used + 1] != '\n' || p->n_empty == EMPTY_LINES_MAX)
                        return SG_H1_E_BAD;
                p->n_empty++;
                *used += 2;
        }
        return *used == in.n ? H1_WAIT : 0;
}

static int next_head(struct sg_h1 *p, struct sg_str in, struct sg_head *head, struct sg_h1_event *ret)
{
        struct h1_known known;
        size_t n = 0;
        int r;

        r = skip_empty_lines(p, in, &ret->used);
        if (r == 0)
                r = h1_read_head(p, sg_str_skip(in, ret->used), head, &known, &n);
        if (r == H1_WAIT && in.n)
                h1_go(p, in.n > ret->used ? H1_HEAD : H1_IDLE);
        if (r)
                return r;
        if (p->role == SG_H1_SERVER)
                r = h1_understand_request(head, &known);
        else
                r = h1_understand_answer(p, head, &known);
        if (r)
                return r;
        p->n_empty = 0;
        p->sent_interim = p->role == SG_H1_CLIENT && head->status < 200 && head->status != 101;
        ret->kind = SG_H1_HEAD;
        ret->used += n;
        return begin_body(p, head);
}

/* ---- body */

static int give_end(struct sg_h1 *p, struct sg_h1_event *ret)
{
        ret->kind = SG_H1_END;
        if (!p->sent_interim)
                p->is_head_request = p->is_connect_request = false;
        h1_go(p, H1_IDLE);
        return 0;
}

static int give_bytes(struct sg_h1 *p, struct sg_str in, uint64_t most, struct sg_h1_event *ret)
{
        const struct sg_str rest = sg_str_skip(in, ret->used);

        if (rest.n == 0)
                return H1_WAIT;
        ret->kind = SG_H1_BODY;
        ret->bytes = sg_str_head(rest, (size_t)SG_MIN((uint64_t)rest.n, most));
        ret->used += ret->bytes.n;
        p->body_bytes += ret->bytes.n;
        return 0;
}

static int next_of_length(struct sg_h1 *p, struct sg_str in, struct sg_h1_event *ret)
{
        int r;

        if (p->left == 0)
                return give_end(p, ret);
        r = give_bytes(p, in, p->left, ret);
        p->left -= ret->bytes.n;
        return r;
}

static int next_to_close(struct sg_h1 *p, struct sg_str in, struct sg_h1_event *ret)
{
        const uint64_t room = p->body_limit ? p->body_limit - p->body_bytes : UINT64_MAX;

        if (room == 0 && in.n)
                return SG_H1_E_BODY_TOO_LARGE;
        return give_bytes(p, in, room, ret);
}

static int read_chunk_line(struct sg_h1 *p, struct sg_str in, struct sg_h1_event *ret)
{
        size_t n;
        int r;

        r = h1_read_chunk_line(p->role, sg_str_skip(in, ret->used), &p->left, &n);
        if (r)
                return r;
        if (is_over_limit(p, p->left))
                return SG_H1_E_BODY_TOO_LARGE;
        ret->used += n;
        h1_go(p, p->left ? H1_CHUNK : H1_TRAILERS);
        return 0;
}

static int read_chunk_end(struct sg_h1 *p, struct sg_str in, struct sg_h1_event *ret)
{
        const struct sg_str rest = sg_str_skip(in, ret->used);

        if ((rest.n > 0 && rest.p[0] != '\r') || (rest.n > 1 && rest.p[1] != '\n'))
                return SG_H1_E_BAD;
        if (rest.n < 2)
                return H1_WAIT;
        ret->used += 2;
        h1_go(p, H1_CHUNK_LINE);
        return 0;
}

static int next_trailers(struct sg_h1 *p, struct sg_str in, struct sg_head *head, struct sg_h1_event *ret)
{
        size_t n;
        int r;

        r = h1_read_trailers(p, sg_str_skip(in, ret->used), head, &n);
        if (r)
                return r;
        ret->used += n;
        if (head->n_headers == 0)
                return give_end(p, ret);
        ret->kind = SG_H1_TRAILERS;
        h1_go(p, H1_END);
        return 0;
}

static int next_chunked(struct sg_h1 *p, struct sg_str in, struct sg_head *head, struct sg_h1_event *ret)
{
        int r = 0;

        while (r == 0) {
                switch (p->state) {
                case H1_CHUNK_LINE:
                        r = read_chunk_line(p, in, ret);
                        break;
                case H1_CHUNK:
                        r = give_bytes(p, in, p->left, ret);
                        p->left -= ret->bytes.n;
                        if (p->left == 0)
                                h1_go(p, H1_CHUNK_END);
                        return r;
                case H1_CHUNK_END:
                        r = read_chunk_end(p, in, ret);
                        break;
                case H1_TRAILERS:
                        return next_trailers(p, in, head, ret);
                default:
                        SG_UNREACHABLE();
                }
        }
        return r;
}

/* ---- both */

static int next_event(struct sg_h1 *p, struct sg_str in, struct sg_head *head, struct sg_h1_event *ret)
{
        switch ((enum h1_state)p->state) {
        case H1_IDLE:
        case H1_HEAD:
                return next_head(p, in, head, ret);
        case H1_LENGTH:
                return next_of_length(p, in, ret);
        case H1_CLOSE:
                return next_to_close(p, in, ret);
        case H1_CHUNK_LINE:
        case H1_CHUNK:
        case H1_CHUNK_END:
        case H1_TRAILERS:
                return next_chunked(p, in, head, ret);
        case H1_END:
                return give_end(p, ret);
        case H1_FAILED:
                return (int)p->left;
        case H1_STATE_N:
                break;
        }
        SG_UNREACHABLE();
}

int sg_h1_next(struct sg_h1 *p, struct sg_str in, struct sg_head *head, struct sg_h1_event *ret)
{
        int r;

        *ret = (struct sg_h1_event){.kind = SG_H1_MORE};
        r = next_event(p, in, head, ret);
        if (r == H1_WAIT) {
                ret->kind = SG_H1_MORE;
                return 0;
        }
        if (r) {
                *ret = (struct sg_h1_event){.kind = SG_H1_MORE};
                p->left = (uint64_t)r;
                h1_go(p, H1_FAILED);
        }
        return r;
}

bool sg_h1_awaits_end(const struct sg_h1 *p)
{
        return p->state == H1_END || (p->state == H1_LENGTH && p->left == 0);
}

int sg_h1_eof(struct sg_h1 *p, struct sg_h1_event *ret)
{
        *ret = (struct sg_h1_event){.kind = SG_H1_MORE};
        if (p->state == H1_FAILED)
                return (int)p->left;
        if (sg_h1_is_idle(p))
                return 0;
        if (p->state == H1_CLOSE || sg_h1_awaits_end(p))
                return give_end(p, ret);
        p->left = SG_H1_E_TRUNCATED;
        h1_go(p, H1_FAILED);
        return SG_H1_E_TRUNCATED;
}
