/*
 * A session of nghttp2, its streams, and how it ends. What comes in is in h2_receive.c, what nghttp2
 * makes of it in h2_event.c.
 */
#include <errno.h>
#include <stdlib.h>

#include "http/h2_internal.h"

#define ACKS_MAX 100u /* of SETTINGS and PING, that wait to be sent */

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

enum sg_h2_reset h2_reset_of(uint32_t code)
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

void h2_attach(struct sg_h2 *h, struct sg_h2_stream *s, int32_t id, void *owner)
{
        *s = (struct sg_h2_stream){.h2 = h, .id = id, .owner = owner};
        sg_buf_init(&s->out, SIZE_MAX);
        sg_list_push(&h->streams, &s->link);
        SG_ASSERT(nghttp2_session_set_stream_user_data(h->session, id, s) == 0);
}

void h2_detach(struct sg_h2_stream *s)
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

void h2_lose(struct sg_h2_stream *s, enum sg_h2_reset why)
{
        const struct sg_h2_events *events = s->h2->events;

        h2_detach(s);
        events->on_reset(s, why);
}

void h2_refuse(struct sg_h2 *h, int32_t id, uint32_t code)
{
        struct sg_h2_stream *s = h2_stream_of(h, id);

        h2_charge(h, H2_COST_MALFORMED);
        h2_submitted(h, nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, code));
        if (s)
                h2_lose(s, SG_H2_RESET_PROTOCOL);
}

void sg_h2_tie(struct sg_h2 *h, int32_t id, struct sg_h2_stream *s, void *owner)
{
        /* Shares: no stream of a connection waits for another, whatever the client says of their importance. */
        const nghttp2_extpri share = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};

        SG_ASSERT(h->is_inside && !h->is_client && !h2_stream_of(h, id));
        h2_attach(h, s, id, owner);
        s->has_ended = h->is_head_end;
        s->has_length = h->has_head_length;
        s->n_left = h->head_length;
        h2_submitted(h, nghttp2_session_change_extpri_stream_priority(h->session, id, &share, 1));
}

void sg_h2_untie(struct sg_h2_stream *s, enum sg_h2_reset why)
{
        struct sg_h2 *h = s->h2;

        if (!h)
                return;
        if (!s->has_ended || !s->is_sent)
                h2_submitted(h, nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, code_of(why)));
        h2_detach(s);
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

/* ---- birth and end */

/* Not in every 1.52; where it is, it has a limit of its own by default. Resets are charged here, with all else. */
__attribute__((__weak__)) void nghttp2_option_set_stream_reset_rate_limit(nghttp2_option *option, uint64_t burst,
                                                                          uint64_t rate);

static int open_session(struct sg_h2 *h, nghttp2_session_callbacks *callbacks, nghttp2_option *option)
{
        h2_set_callbacks(callbacks);
        if (nghttp2_option_set_stream_reset_rate_limit)
                nghttp2_option_set_stream_reset_rate_limit(option, UINT32_MAX, UINT32_MAX);
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_no_closed_streams(option, 1);
        nghttp2_option_set_max_outbound_ack(option, ACKS_MAX);
        nghttp2_option_set_max_send_header_block_length(option, H2_HEAD_OUT_BYTES_MAX);
        return h->is_client ? nghttp2_session_client_new2(&h->session, callbacks, h, option)
                            : nghttp2_session_server_new2(&h->session, callbacks, h, option);
}

static int submit_settings(struct sg_h2 *h)
{
        nghttp2_settings_entry settings[4] = {
                {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, h->limits.stream_window},
                {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)h->limits.head_bytes},
        };
        size_t n = 2;
        int r;

        if (h->is_client) {
                settings[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
        } else {
                settings[n++] =
                        (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h->limits.n_streams_max};
                settings[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1};
        }
        r = nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, n);
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

int h2_new(struct sg_h2 **ret, bool is_client, const struct sg_h2_limits *limits, const struct sg_h2_events *events,
           void *owner)
{
        SG_AUTO(sg_h2_free) struct sg_h2 *h = calloc(1, sizeof(*h));
        int r;

        SG_ASSERT(limits->stream_window <= INT32_MAX && limits->connection_window <= INT32_MAX);
        SG_ASSERT(limits->head_bytes <= UINT32_MAX / 4);
        if (!h)
                return -ENOMEM;
        h->is_client = is_client;
        h->limits = *limits;
        if (h->limits.head_bytes == 0)
                h->limits.head_bytes = SG_HEAD_BYTES_MAX;
        h->events = events;
        h->owner = owner;
        h->cutter.n_preface_left = is_client ? 0 : (unsigned)SG_H2_PREFACE.n;
        sg_list_init(&h->streams);
        /* Records are smaller than what is counted for a field; the cookies stand there twice. */
        sg_buf_init(&h->fields.bytes, 3 * h->limits.head_bytes);
        r = start(h);
        if (r)
                return r;
        *ret = SG_GIVE(h);
        return 0;
}

int sg_h2_new(struct sg_h2 **ret, const struct sg_h2_limits *limits, const struct sg_h2_events *events, void *owner)
{
        return h2_new(ret, false, limits, events, owner);
}

struct sg_h2 *sg_h2_free(struct sg_h2 *h)
{
        if (!h)
                return NULL;
        SG_ASSERT(!h->is_inside);
        while (!sg_list_is_empty(&h->streams))
                h2_detach(SG_CONTAINER(sg_list_first(&h->streams), struct sg_h2_stream, link));
        nghttp2_session_del(h->session);
        sg_buf_done(&h->fields.bytes);
        free(h);
        return NULL;
}

void sg_h2_drain(struct sg_h2 *h)
{
        if (h->is_draining || h->failure)
                return;
        h->is_draining = true;
        if (h->is_client) {
                h2_submitted(h, nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0));
                return;
        }
        h2_submitted(h, nghttp2_submit_shutdown_notice(h->session));
        h2_submitted(h, nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, (const uint8_t *)H2_DRAIN_PING));
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
