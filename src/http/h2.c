/*
 * A session of nghttp2 in the server's role, and what happens to its streams.
 *
 * The bytes are cut into frames before nghttp2 has them (take_frame()), for two reasons: every frame is charged
 * (h2_abuse.c), also those that nghttp2 drops without a word; and a frame of a message that nghttp2 refuses by itself (a
 * length that does not match, say) is noticed at its end, by that nothing was told of it, so that the owner hears of it
 * inside of sg_h2_receive() and not when the RST_STREAM goes out.
 */
#include <errno.h>
#include <stdlib.h>

#include "http/h2_internal.h"

#define ACKS_MAX           100u            /* of SETTINGS and PING, that wait to be sent */
#define HEAD_OUT_BYTES_MAX (1024u * 1024u) /* a bound of HPACK's result: SG_H2_FIELDS_MAX of an upstream's */
#define DRAIN_PING         "sgdrain"       /* with its NUL: 8 bytes */

const char *sg_h2_error_name(enum sg_h2_error e)
{
        static const char *const names[SG_H2_E_N] = {
                [SG_H2_E_BROKEN] = "broken",
                [SG_H2_E_ABUSE] = "abuse",
        };

        return e > 0 && e < SG_H2_E_N ? names[e] : "unknown";
}

const char *sg_h2_reset_name(enum sg_h2_reset r)
{
        static const char *const names[SG_H2_RESET_N] = {
                [SG_H2_RESET_NONE] = "none",         [SG_H2_RESET_PROTOCOL] = "protocol",
                [SG_H2_RESET_INTERNAL] = "internal", [SG_H2_RESET_REFUSED] = "refused",
                [SG_H2_RESET_CANCEL] = "cancel",     [SG_H2_RESET_OTHER] = "other",
        };

        return r < SG_H2_RESET_N ? names[r] : "unknown";
}

static uint32_t code_of(enum sg_h2_reset why)
{
        static const uint32_t codes[SG_H2_RESET_N] = {
                [SG_H2_RESET_NONE] = NGHTTP2_NO_ERROR,           [SG_H2_RESET_PROTOCOL] = NGHTTP2_PROTOCOL_ERROR,
                [SG_H2_RESET_INTERNAL] = NGHTTP2_INTERNAL_ERROR, [SG_H2_RESET_REFUSED] = NGHTTP2_REFUSED_STREAM,
                [SG_H2_RESET_CANCEL] = NGHTTP2_CANCEL,
        };

        SG_ASSERT(why < SG_H2_RESET_OTHER);
        return codes[why];
}

static enum sg_h2_reset reset_of(uint32_t code)
{
        for (enum sg_h2_reset r = 0; r < SG_H2_RESET_OTHER; r++)
                if (code_of(r) == code)
                        return r;
        return SG_H2_RESET_OTHER;
}

int h2_result(struct sg_h2 *h, int r)
{
        if (r >= 0 || h->failure)
                return h->failure;
        switch (r) {
        case NGHTTP2_ERR_NOMEM:
                return -ENOMEM;
        case NGHTTP2_ERR_FLOODED:
                return SG_H2_E_ABUSE;
        default:
                return SG_H2_E_BROKEN;
        }
}

void h2_submitted(struct sg_h2 *h, int r)
{
        if (r == NGHTTP2_ERR_NOMEM)
                h->failure = -ENOMEM;
}

struct sg_h2_stream *h2_stream_of(const struct sg_h2 *h, int32_t id)
{
        return nghttp2_session_get_stream_user_data(h->session, id);
}

/* From here on it is the owner's alone. */
static void detach(struct sg_h2_stream *s)
{
        struct sg_h2 *h = s->h2;

        (void)nghttp2_session_set_stream_user_data(h->session, s->id, NULL);
        if (s->unconsumed)
                h2_submitted(h, nghttp2_session_consume_connection(h->session, s->unconsumed));
        sg_list_remove(&h->streams, &s->link);
        sg_buf_done(&s->out);
        s->unconsumed = 0;
        s->h2 = NULL;
}

static void lose(struct sg_h2_stream *s, enum sg_h2_reset why)
{
        const struct sg_h2_events *events = s->h2->events;

        detach(s);
        events->on_reset(s, why);
}

void h2_refuse(struct sg_h2 *h, int32_t id, uint32_t code)
{
        struct sg_h2_stream *s = h2_stream_of(h, id);

        h2_charge(h, H2_COST_MALFORMED);
        h2_submitted(h, nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, code));
        if (s)
                lose(s, SG_H2_RESET_PROTOCOL);
}

void sg_h2_tie(struct sg_h2 *h, int32_t id, struct sg_h2_stream *s, void *owner)
{
        /* Shares: no stream of a connection waits for another, whatever the client says of their importance. */
        const nghttp2_extpri share = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};

        SG_ASSERT(h->is_inside && !h2_stream_of(h, id));
        *s = (struct sg_h2_stream){
                .h2 = h,
                .id = id,
                .owner = owner,
                .has_ended = h->is_head_end,
                .has_length = h->has_head_length,
                .n_left = h->head_length,
        };
        sg_buf_init(&s->out, SIZE_MAX);
        sg_list_push(&h->streams, &s->link);
        SG_ASSERT(nghttp2_session_set_stream_user_data(h->session, id, s) == 0);
        h2_submitted(h, nghttp2_session_change_extpri_stream_priority(h->session, id, &share, 1));
}

void sg_h2_untie(struct sg_h2_stream *s, enum sg_h2_reset why)
{
        struct sg_h2 *h = s->h2;

        if (!h)
                return;
        if (!s->has_ended || !s->is_sent)
                h2_submitted(h, nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, code_of(why)));
        detach(s);
}

void sg_h2_consume(struct sg_h2_stream *s, size_t n)
{
        struct sg_h2 *h = s->h2;

        SG_ASSERT(h && n <= s->unconsumed);
        s->unconsumed -= n;
        /* Nothing more comes on the stream itself when it has ended. */
        h2_submitted(h, s->has_ended ? nghttp2_session_consume_connection(h->session, n)
                                     : nghttp2_session_consume(h->session, s->id, n));
}

/* ---- what nghttp2 tells */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
        h2_fields_begin(owner, frame->headers.cat != NGHTTP2_HCAT_REQUEST);
        return 0;
}

static int fail_inside(struct sg_h2 *h, int r)
{
        if (r)
                h->failure = r;
        return r ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t n_name,
                     const uint8_t *value, size_t n_value, uint8_t flags, void *owner)
{
        return fail_inside(owner, h2_fields_add(owner, sg_str_make(name, n_name), sg_str_make(value, n_value)));
}

/* nghttp2 would leave such a field out, and go on. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t n_name,
                             const uint8_t *value, size_t n_value, uint8_t flags, void *owner)
{
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* taken for PROTOCOL_ERROR: it is no INTERNAL_ERROR here */
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n, void *owner)
{
        struct sg_h2_stream *s;
        struct sg_h2 *h = owner;

        s = h2_stream_of(h, id);
        if (!s) {
                h2_submitted(h, nghttp2_session_consume_connection(session, n));
                return 0;
        }
        s->unconsumed += n;
        s->n_left -= SG_MIN(s->n_left, (uint64_t)n);
        h->events->on_body(s, sg_str_make(bytes, n));
        return 0;
}

/* A whole frame of a message, and nghttp2 finds it right. */
static int on_message_frame(struct sg_h2 *h, const nghttp2_frame *frame)
{
        const bool is_end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
        struct sg_h2_stream *s;
        size_t n;
        int r;

        h->awaited = 0;
        if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
                r = h2_head_ready(h, frame->hd.stream_id, is_end);
                h2_fields_end(h);
                return fail_inside(h, r);
        }
        if (frame->hd.type == NGHTTP2_HEADERS && h->fields.is_too_large) {
                h2_refuse(h, frame->hd.stream_id, NGHTTP2_ENHANCE_YOUR_CALM);
                return 0;
        }
        if (frame->hd.type == NGHTTP2_DATA && frame->hd.length) {
                n = frame->hd.length - frame->data.padlen;
                h2_charge(h, n == 0);
                h2_pay(h, 0, n);
        }
        s = h2_stream_of(h, frame->hd.stream_id);
        if (!s || !is_end)
                return 0;
        s->has_ended = true;
        h->events->on_end(s);
        return 0;
}

static bool is_drain_answer(const nghttp2_frame *frame)
{
        return frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) &&
               memcmp(frame->ping.opaque_data, DRAIN_PING, sizeof(frame->ping.opaque_data)) == 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
        struct sg_h2 *h = owner;

        if (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS)
                return on_message_frame(h, frame);
        if (h->is_draining && is_drain_answer(frame))
                h2_submitted(h, nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE,
                                                      nghttp2_session_get_last_proc_stream_id(session),
                                                      NGHTTP2_NO_ERROR, NULL, 0));
        return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int why, void *owner)
{
        struct sg_h2_stream *s;
        struct sg_h2 *h = owner;

        h->awaited = 0;
        h2_charge(h, H2_COST_MALFORMED);
        s = frame->hd.stream_id ? h2_stream_of(h, frame->hd.stream_id) : NULL;
        if (s)
                lose(s, SG_H2_RESET_PROTOCOL); /* nghttp2 resets it, or ends all */
        return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *owner)
{
        struct sg_h2_stream *s = h2_stream_of(owner, id);

        if (!s)
                return 0;
        if (s->has_ended && s->is_sent)
                detach(s);
        else
                lose(s, reset_of(code));
        return 0;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
        struct sg_h2_stream *s;
        struct sg_h2 *h = owner;

        if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR && !h->failure)
                h->failure = frame->goaway.error_code == NGHTTP2_ENHANCE_YOUR_CALM ? SG_H2_E_ABUSE : SG_H2_E_BROKEN;
        if ((frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) ||
            !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
                return 0;
        h2_pay(h, H2_WORTH_ANSWER, 0);
        s = h2_stream_of(h, frame->hd.stream_id);
        if (!s)
                return 0;
        s->is_sent = true;
        if (h->events->on_sent)
                h->events->on_sent(s);
        return 0;
}

/* A head over HEAD_OUT_BYTES_MAX: there will be no answer. */
static int on_frame_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int why, void *owner)
{
        if (frame->hd.type == NGHTTP2_HEADERS)
                h2_submitted(owner, nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                                              NGHTTP2_INTERNAL_ERROR));
        return 0;
}

/* ---- birth and end */

/* Not in every 1.52; where it is, it has a limit of its own by default. Resets are charged here, with all else. */
__attribute__((__weak__)) void nghttp2_option_set_stream_reset_rate_limit(nghttp2_option *option, uint64_t burst,
                                                                          uint64_t rate);

static int open_session(struct sg_h2 *h, nghttp2_session_callbacks *callbacks, nghttp2_option *option)
{
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
        nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_sent);
        nghttp2_session_callbacks_set_send_data_callback(callbacks, h2_send_data);
        if (nghttp2_option_set_stream_reset_rate_limit)
                nghttp2_option_set_stream_reset_rate_limit(option, UINT32_MAX, UINT32_MAX);
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_no_closed_streams(option, 1);
        nghttp2_option_set_max_outbound_ack(option, ACKS_MAX);
        nghttp2_option_set_max_send_header_block_length(option, HEAD_OUT_BYTES_MAX);
        return nghttp2_session_server_new2(&h->session, callbacks, h, option);
}

static int submit_settings(struct sg_h2 *h)
{
        const nghttp2_settings_entry settings[] = {
                {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h->limits.n_streams_max},
                {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, h->limits.stream_window},
                {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)h->limits.head_bytes},
                {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        };
        int r;

        r = nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, SG_N_ELEMENTS(settings));
        if (r)
                return r;
        return nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                                     (int32_t)h->limits.connection_window);
}

static int start(struct sg_h2 *h)
{
        nghttp2_session_callbacks *callbacks = NULL;
        nghttp2_option *option = NULL;
        int r;

        r = nghttp2_session_callbacks_new(&callbacks);
        if (!r)
                r = nghttp2_option_new(&option);
        if (!r)
                r = open_session(h, callbacks, option);
        nghttp2_option_del(option);
        nghttp2_session_callbacks_del(callbacks);
        if (!r)
                r = submit_settings(h);
        SG_ASSERT(r == 0 || r == NGHTTP2_ERR_NOMEM);
        return r ? -ENOMEM : 0;
}

int sg_h2_new(struct sg_h2 **ret, const struct sg_h2_limits *limits, const struct sg_h2_events *events, void *owner)
{
        SG_AUTO(sg_h2_free) struct sg_h2 *h = calloc(1, sizeof(*h));
        int r;

        SG_ASSERT(limits->stream_window <= INT32_MAX && limits->connection_window <= INT32_MAX);
        SG_ASSERT(limits->head_bytes <= UINT32_MAX / 4);
        if (!h)
                return -ENOMEM;
        h->limits = *limits;
        if (h->limits.head_bytes == 0)
                h->limits.head_bytes = SG_HEAD_BYTES_MAX;
        h->events = events;
        h->owner = owner;
        h->cutter.n_preface_left = (unsigned)SG_H2_PREFACE.n;
        sg_list_init(&h->streams);
        /* Records are smaller than what is counted for a field; the cookies stand there twice. */
        sg_buf_init(&h->fields.bytes, 3 * h->limits.head_bytes);
        r = start(h);
        if (r)
                return r;
        *ret = SG_GIVE(h);
        return 0;
}

struct sg_h2 *sg_h2_free(struct sg_h2 *h)
{
        if (!h)
                return NULL;
        SG_ASSERT(!h->is_inside);
        while (!sg_list_is_empty(&h->streams))
                detach(SG_CONTAINER(sg_list_first(&h->streams), struct sg_h2_stream, link));
        nghttp2_session_del(h->session);
        sg_buf_done(&h->fields.bytes);
        free(h);
        return NULL;
}

/* ---- bytes in */

static int give(struct sg_h2 *h, struct sg_str bytes)
{
        ssize_t n = nghttp2_session_mem_recv(h->session, (const uint8_t *)bytes.p, bytes.n);

        return h2_result(h, n < 0 ? (int)n : 0);
}

static uint32_t read_u32(const uint8_t *p)
{
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool is_of_message(uint8_t type)
{
        return type == NGHTTP2_DATA || type == NGHTTP2_HEADERS || type == NGHTTP2_CONTINUATION;
}

/* The frame is over. nghttp2 told of it, or refused it and what it belongs to. */
static void end_frame(struct sg_h2 *h)
{
        const struct h2_cutter *c = &h->cutter;
        struct sg_h2_stream *s;

        if (!h->awaited || (c->type != NGHTTP2_DATA && !(c->flags & NGHTTP2_FLAG_END_HEADERS)))
                return;
        s = h2_stream_of(h, h->awaited);
        h->awaited = 0;
        h2_charge(h, s ? H2_COST_MALFORMED : c->n_bytes < H2_DATA_BYTES_SMALL ? 1 : 0);
        if (s)
                lose(s, SG_H2_RESET_PROTOCOL);
}

/* A frame that goes beyond the declared length is refused as a whole. nghttp2 would tell of what comes in pieces until it
 * is too much. */
static void check_length(struct sg_h2 *h, uint32_t n)
{
        struct sg_h2_stream *s = h2_stream_of(h, h->cutter.id);

        if (s && s->has_length && n > s->n_left)
                h2_refuse(h, s->id, NGHTTP2_PROTOCOL_ERROR);
}

static void check_padded_length(struct sg_h2 *h, uint8_t n_padding)
{
        h->cutter.is_padding_due = false;
        if (n_padding < h->cutter.n_bytes)
                check_length(h, h->cutter.n_bytes - 1 - n_padding);
}

static int begin_frame(struct sg_h2 *h)
{
        struct h2_cutter *c = &h->cutter;

        c->n_head = 0;
        c->n_left = read_u32(c->head) >> 8;
        c->type = c->head[3];
        c->flags = c->head[4];
        c->id = (int32_t)(read_u32(c->head + 5) & INT32_MAX);
        h->awaited = is_of_message(c->type) ? c->id : 0;
        c->n_bytes = c->n_left;
        c->is_padding_due = c->type == NGHTTP2_DATA && (c->flags & NGHTTP2_FLAG_PADDED) && c->n_left;
        if (c->type == NGHTTP2_DATA && !(c->flags & NGHTTP2_FLAG_PADDED))
                check_length(h, c->n_left);
        return h2_judge_frame(h);
}

static struct sg_str cut(struct sg_str *bytes, size_t n)
{
        struct sg_str piece = sg_str_head(*bytes, SG_MIN(n, bytes->n));

        *bytes = sg_str_skip(*bytes, piece.n);
        return piece;
}

/* Up to the end of a frame, of its head, or of the bytes. */
static int take_piece(struct sg_h2 *h, struct sg_str *bytes)
{
        struct h2_cutter *c = &h->cutter;
        struct sg_str piece;
        int r;

        if (c->n_preface_left) {
                piece = cut(bytes, c->n_preface_left);
                c->n_preface_left -= (unsigned)piece.n;
                return give(h, piece);
        }
        if (c->n_left) {
                if (c->is_padding_due)
                        check_padded_length(h, (uint8_t)bytes->p[0]);
                piece = cut(bytes, c->n_left);
                c->n_left -= (uint32_t)piece.n;
        } else {
                piece = cut(bytes, H2_FRAME_HEAD_BYTES - c->n_head);
                memcpy(c->head + c->n_head, piece.p, piece.n);
                c->n_head += (unsigned)piece.n;
                if (c->n_head < H2_FRAME_HEAD_BYTES)
                        return 0;
                r = begin_frame(h);
                if (r)
                        return r;
                piece = sg_str_make(c->head, sizeof(c->head));
        }
        r = give(h, piece);
        if (!r && c->n_left == 0)
                end_frame(h);
        return r ? r : h->failure;
}

static void fail(struct sg_h2 *h, int r)
{
        h->failure = r;
        if (r == -ENOMEM)
                return;
        h2_submitted(h, nghttp2_session_terminate_session(h->session, r == SG_H2_E_ABUSE ? NGHTTP2_ENHANCE_YOUR_CALM
                                                                                         : NGHTTP2_PROTOCOL_ERROR));
}

int sg_h2_receive(struct sg_h2 *h, struct sg_str bytes)
{
        int r = h->failure;

        SG_ASSERT(!h->is_inside);
        if (r)
                return r;
        h->is_inside = true;
        while (bytes.n && !r)
                r = take_piece(h, &bytes);
        if (r)
                fail(h, r);
        h->is_inside = false;
        return h->failure;
}

void sg_h2_drain(struct sg_h2 *h)
{
        if (h->is_draining || h->failure)
                return;
        h->is_draining = true;
        h2_submitted(h, nghttp2_submit_shutdown_notice(h->session));
        h2_submitted(h, nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, (const uint8_t *)DRAIN_PING));
}

bool sg_h2_wants_to_send(const struct sg_h2 *h)
{
        return nghttp2_session_want_write(h->session);
}

bool sg_h2_is_over(const struct sg_h2 *h)
{
        return !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
}

size_t sg_h2_n_streams(const struct sg_h2 *h)
{
        return h->streams.n;
}
