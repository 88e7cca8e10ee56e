/*
 * Messages out. A stream's bytes wait in its `out`, trailers behind them; nghttp2 asks for them frame by frame, as windows and the other streams
 * allow, and they are copied once, from there into what is sent (NGHTTP2_DATA_FLAG_NO_COPY).
 */
#include <errno.h>

#include "http/bytes.h"
#include "http/h2_internal.h"

#define DATA_BYTES_MAX (16u * 1024u) /* of nghttp2, in one frame */
#define KEEP_BYTES     (4u * 1024u)  /* of memory, while a stream has nothing to send */

/* ---- frames */

static bool keeps_in_trailers(const struct h2_list *l, struct sg_str name, struct sg_str *value)
{
        return sg_name_may_trail(name);
}

static void drop_trailers(struct sg_h2_stream *s)
{
        sg_buf_take(&s->out, s->n_trailers);
        s->n_trailers = 0;
}

/* The last of the body is in this frame, if any is left: without a body there is no frame, and nothing behind it. */
static int submit_trailers(struct sg_h2_stream *s)
{
        const size_t n_body = sg_buf_length(&s->out) - s->n_trailers;
        struct h2_list l;
        int r;

        h2_list_init(&l);
        SG_ASSERT(h2_list_add_lines(&l, sg_str_skip(sg_buf_view(&s->out), n_body), keeps_in_trailers) == 0);
        r = nghttp2_submit_trailer(s->h2->session, s->id, l.all, l.n);
        if (r)
                s->h2->failure = -ENOMEM;
        if (n_body == 0)
                drop_trailers(s);
        return r;
}

ssize_t h2_read_out(nghttp2_session *session, int32_t id, uint8_t *to, size_t n, uint32_t *flags,
                    nghttp2_data_source *source, void *owner)
{
        struct sg_h2_stream *s = h2_stream_of(owner, id);
        size_t n_out;

        if (!s)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        n_out = sg_buf_length(&s->out) - s->n_trailers;
        if (n_out == 0 && !s->is_last_given) {
                s->is_deferred = true;
                return NGHTTP2_ERR_DEFERRED;
        }
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
        if (n_out <= n && s->is_last_given) {
                *flags |= NGHTTP2_DATA_FLAG_EOF;
                if (s->n_trailers) {
                        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
                        return submit_trailers(s) ? NGHTTP2_ERR_CALLBACK_FAILURE : (ssize_t)n_out;
                }
        }
        return (ssize_t)SG_MIN(n_out, n);
}

static bool has_room(const struct sg_buf *b)
{
        return b->max - sg_buf_length(b) >= SG_H2_FRAME_BYTES_MAX;
}

/* A frame that is smaller than what waits was cut by the peer's window: it is worth its bytes only. */
static void pay_for_data(struct sg_h2 *h, size_t n, size_t n_waiting)
{
        const bool is_cut = n_waiting > 0 && n < DATA_BYTES_MAX;

        h2_pay(h, is_cut || n == 0 ? 0 : H2_WORTH_DATA, n);
}

int h2_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t n,
                 nghttp2_data_source *source, void *owner)
{
        struct sg_h2 *h = owner;
        struct sg_h2_stream *s;
        char *at;
        int r;

        s = h2_stream_of(h, frame->hd.stream_id);
        if (!s)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        r = sg_buf_reserve(h->into, H2_FRAME_HEAD_BYTES + n, &at);
        if (r) {
                h->failure = -ENOMEM; /* there was room by the maximum */
                return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
        memcpy(at, head, H2_FRAME_HEAD_BYTES);
        if (n)
                memcpy(at + H2_FRAME_HEAD_BYTES, sg_buf_view(&s->out).p, n);
        sg_buf_added(h->into, H2_FRAME_HEAD_BYTES + n);
        sg_buf_take(&s->out, n);
        if (s->n_trailers && sg_buf_length(&s->out) == s->n_trailers)
                drop_trailers(s); /* they are submitted */
        pay_for_data(h, n, sg_buf_length(&s->out));
        if (sg_buf_length(&s->out) == 0 && s->out.room > KEEP_BYTES)
                sg_buf_release(&s->out);
        return sg_buf_length(h->into) < h->enough && has_room(h->into) ? 0 : NGHTTP2_ERR_PAUSE;
}

static int produce(struct sg_h2 *h, struct sg_buf *b)
{
        while (sg_buf_length(b) < h->enough && has_room(b)) {
                const uint8_t *bytes;
                ssize_t n = nghttp2_session_mem_send(h->session, &bytes);
                int r;

                if (n < 0)
                        return h->failure < 0 || n == NGHTTP2_ERR_NOMEM ? -ENOMEM : SG_H2_E_BROKEN;
                if (n == 0)
                        break;
                r = sg_buf_add(b, sg_str_make(bytes, (size_t)n));
                if (r)
                        return -ENOMEM;
        }
        return h->failure && (h->failure < 0 || !sg_h2_wants_to_send(h)) ? h->failure : 0;
}

int sg_h2_produce(struct sg_h2 *h, struct sg_buf *b, size_t enough)
{
        int r;

        SG_ASSERT(!h->is_inside);
        if (h->failure < 0)
                return h->failure;
        h->is_inside = true;
        h->into = b;
        h->enough = enough;
        r = produce(h, b);
        h->into = NULL;
        h->is_inside = false;
        if (r < 0)
                h->failure = r;
        return r;
}

/* ---- what is given */

static nghttp2_nv field_of(struct sg_str name, struct sg_str value)
{
        /* Not written to: nghttp2 copies both, the name in lower case. */
        return (nghttp2_nv){(uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n, value.n,
                            NGHTTP2_NV_FLAG_NONE};
}

void h2_list_init(struct h2_list *l)
{
        l->n = l->n_lines = l->n_bytes = 0;
        l->has_length = false;
}

void h2_list_add(struct h2_list *l, struct sg_str name, struct sg_str value)
{
        SG_ASSERT(l->n < SG_N_ELEMENTS(l->all));
        l->n_bytes += name.n + value.n + H2_FIELD_OVERHEAD;
        l->all[l->n++] = field_of(name, value);
}

static struct sg_str digits_of(char room[20], uint64_t v)
{
        size_t at = 20;

        do
                room[--at] = (char)('0' + v % 10);
        while (v /= 10);
        return sg_str_make(room + at, 20 - at);
}

void h2_list_add_length(struct h2_list *l, uint64_t length)
{
        h2_list_add(l, SG_STR("content-length"), digits_of(l->digits, length));
        l->has_length = true;
}

/* Of one hop, or told by frames here (RFC 9113 section 8.2.2). */
bool h2_keeps_in_head(const struct h2_list *l, struct sg_str name, struct sg_str *value)
{
        switch (name.n) {
        case 7:
                return !sg_str_ieq(name, SG_STR("upgrade"));
        case 10:
                return !sg_str_ieq(name, SG_STR("connection")) && !sg_str_ieq(name, SG_STR("keep-alive"));
        case 14:
                return !l->has_length || !sg_str_ieq(name, SG_STR("content-length"));
        case 16:
                return !sg_str_ieq(name, SG_STR("proxy-connection"));
        case 17:
                return !sg_str_ieq(name, SG_STR("transfer-encoding"));
        default:
                return true;
        }
}

int h2_list_add_lines(struct h2_list *l, struct sg_str lines,
                      bool (*keeps)(const struct h2_list *l, struct sg_str name, struct sg_str *value))
{
        while (lines.n) {
                const size_t end = http_line_end(lines, 0);
                struct sg_str name, value = sg_str_head(lines, end);

                SG_ASSERT(lines.n >= end + 2 && lines.p[end] == '\r' && lines.p[end + 1] == '\n');
                lines = sg_str_skip(lines, end + 2);
                SG_ASSERT(sg_str_cut(&value, ':', &name) && name.n);
                value = sg_str_trim(value);
                if (!keeps(l, name, &value))
                        continue;
                if (l->n_lines++ == SG_H2_FIELDS_MAX)
                        return -E2BIG;
                h2_list_add(l, name, value);
        }
        return 0;
}

int sg_h2_send_head(struct sg_h2_stream *s, unsigned status, struct sg_str fields, bool has_length, uint64_t length,
                    bool is_last)
{
        const nghttp2_data_provider out = {.read_callback = h2_read_out};
        char status_room[20];
        struct h2_list l;
        int r;

        SG_ASSERT(s->h2 && !s->has_head_given && status >= 200 && status <= 999);
        h2_list_init(&l);
        h2_list_add(&l, SG_STR(":status"), digits_of(status_room, status));
        if (has_length)
                h2_list_add_length(&l, length);
        r = h2_list_add_lines(&l, fields, h2_keeps_in_head);
        if (r)
                return r;
        r = nghttp2_submit_response(s->h2->session, s->id, l.all, l.n, is_last ? NULL : &out);
        if (r)
                return -ENOMEM;
        s->has_head_given = true;
        s->is_last_given = is_last;
        return 0;
}

int sg_h2_send_continue(struct sg_h2_stream *s)
{
        const nghttp2_nv status = field_of(SG_STR(":status"), SG_STR("100"));

        SG_ASSERT(s->h2 && !s->has_head_given);
        return nghttp2_submit_headers(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NULL, &status, 1, NULL) < 0 ? -ENOMEM
                                                                                                            : 0;
}

static int add_out(struct sg_buf *out, const struct sg_str *pieces, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (sg_buf_add(out, pieces[i]))
                        return -ENOMEM;
        return 0;
}

static int resume(struct sg_h2_stream *s)
{
        if (!s->is_deferred)
                return 0;
        s->is_deferred = false;
        return nghttp2_session_resume_data(s->h2->session, s->id) == NGHTTP2_ERR_NOMEM ? -ENOMEM : 0;
}

int sg_h2_send_body(struct sg_h2_stream *s, const struct sg_str *pieces, size_t n_pieces, bool is_last)
{
        int r;

        SG_ASSERT(s->h2 && s->has_head_given && !s->is_last_given);
        r = add_out(&s->out, pieces, n_pieces);
        if (r)
                return r;
        s->is_last_given = is_last;
        return sg_buf_length(&s->out) == 0 && !is_last ? 0 : resume(s);
}

int sg_h2_send_trailers(struct sg_h2_stream *s, struct sg_str fields)
{
        struct h2_list l;
        int r;

        SG_ASSERT(s->h2 && s->has_head_given && !s->is_last_given);
        h2_list_init(&l);
        r = h2_list_add_lines(&l, fields, keeps_in_trailers);
        if (r)
                return r;
        if (l.n && sg_buf_add(&s->out, fields))
                return -ENOMEM;
        s->n_trailers = l.n ? fields.n : 0;
        s->is_last_given = true;
        return resume(s);
}

size_t sg_h2_queued(const struct sg_h2_stream *s)
{
        return sg_buf_length(&s->out);
}
