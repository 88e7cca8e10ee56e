/* What nghttp2 tells, from inside of sg_h2_receive() and sg_h2_produce(), and what the owner hears of it. */
#include <errno.h>

#include "http/h2_internal.h"

/* Of an answer there may be several heads before the final one. */
static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
        const struct sg_h2_stream *s = h2_stream_of(owner, frame->hd.stream_id);
        struct sg_h2 *h = owner;

        h2_fields_begin(h, h->is_client ? !s || s->has_answer : frame->headers.cat != NGHTTP2_HCAT_REQUEST);
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

/* Of both roles; what ends with a head is not told again. */
static int on_fields(struct sg_h2 *h, int32_t id, bool is_end)
{
        int r = 0;

        if (h->fields.is_trailers)
                h2_trailers_ready(h, id);
        else
                r = h->is_client ? h2_answer_ready(h, id, is_end) : h2_head_ready(h, id, is_end);
        h2_fields_end(h);
        return fail_inside(h, r);
}

/* A whole frame of a message, and nghttp2 finds it right. */
static int on_message_frame(struct sg_h2 *h, const nghttp2_frame *frame)
{
        const bool is_end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
        struct sg_h2_stream *s;
        bool was_head;
        size_t n;
        int r;

        h->awaited = 0;
        if (frame->hd.type == NGHTTP2_HEADERS) {
                was_head = !h->fields.is_trailers;
                r = on_fields(h, frame->hd.stream_id, is_end);
                if (r || was_head)
                        return r;
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
               memcmp(frame->ping.opaque_data, H2_DRAIN_PING, sizeof(frame->ping.opaque_data)) == 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
        struct sg_h2 *h = owner;

        if (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS)
                return on_message_frame(h, frame);
        if (h->is_client && frame->hd.type == NGHTTP2_GOAWAY)
                h2_go_away(h, frame->goaway.last_stream_id);
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
                h2_lose(s, SG_H2_RESET_PROTOCOL); /* nghttp2 resets it, or ends all */
        return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *owner)
{
        struct sg_h2_stream *s = h2_stream_of(owner, id);

        if (!s)
                return 0;
        if (s->has_ended && s->is_sent)
                h2_detach(s);
        else
                h2_lose(s, h2_reset_of(code));
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

/* A head over H2_HEAD_OUT_BYTES_MAX: there will be no answer. A request is not on its way yet when this is told of it, and
 * its stream closes by itself. */
static int on_frame_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int why, void *owner)
{
        if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat != NGHTTP2_HCAT_REQUEST)
                h2_submitted(owner, nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                                              NGHTTP2_INTERNAL_ERROR));
        return 0;
}

void h2_set_callbacks(nghttp2_session_callbacks *callbacks)
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
}
