/*
 * The client's role: requests out, the heads of answers in, and a peer that goes away. nghttp2 knows what is malformed in an
 * answer (RFC 9113 section 8.1.1), that nothing follows the head of one to HEAD, of 204 and of 304, that there may be heads
 * with 1xx before the final one, and how many streams the peer allows.
 *
 * A request is a stream of nghttp2 only when its HEADERS are made into a frame. Until then h2_stream_of() does not find it:
 * the peer cannot mean it either.
 */
#include <errno.h>

#include "http/h2_internal.h"

int sg_h2_new_client(struct sg_h2 **ret, const struct sg_h2_limits *limits, const struct sg_h2_events *events,
                     void *owner)
{
        return h2_new(ret, true, limits, events, owner);
}

/* ---- requests out */

size_t sg_h2_room(const struct sg_h2 *h)
{
        const uint32_t next = nghttp2_session_get_next_stream_id(h->session);
        size_t max;

        SG_ASSERT(h->is_client);
        if (h->failure || h->is_draining || !nghttp2_session_check_request_allowed(h->session))
                return 0;
        max = nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
        max = SG_MIN(max, (size_t)h->limits.n_streams_max);
        max -= SG_MIN(max, h->streams.n);
        return SG_MIN(max, ((size_t)INT32_MAX - next) / 2 + 1);
}

static bool keeps_in_request(const struct h2_list *l, struct sg_str name, struct sg_str *value)
{
        if (sg_str_ieq(name, SG_STR("host")))
                return false; /* it is :authority */
        if (sg_str_ieq(name, SG_STR("te"))) {
                if (!sg_list_has_token(*value, SG_STR("trailers")))
                        return false;
                *value = SG_STR("trailers");
        }
        return h2_keeps_in_head(l, name, value);
}

static int make_list(struct h2_list *l, const struct sg_h2_request *request)
{
        int r;

        h2_list_init(l);
        h2_list_add(l, SG_STR(":method"), request->method);
        h2_list_add(l, SG_STR(":scheme"), request->scheme);
        h2_list_add(l, SG_STR(":authority"), request->authority);
        h2_list_add(l, SG_STR(":path"), request->path);
        if (request->has_length)
                h2_list_add_length(l, request->length);
        for (size_t i = 0; i < request->n_fields; i++) {
                r = h2_list_add_lines(l, request->fields[i], keeps_in_request);
                if (r)
                        return r;
        }
        return l->n_bytes > H2_HEAD_OUT_BYTES_MAX ? -E2BIG : 0; /* above what nghttp2 takes it for */
}

int sg_h2_open(struct sg_h2 *h, struct sg_h2_stream *s, const struct sg_h2_request *request, void *owner)
{
        const nghttp2_data_provider out = {.read_callback = h2_read_out};
        struct h2_list l;
        int r;

        SG_ASSERT(sg_h2_room(h) && !sg_str_eq(request->method, SG_STR("CONNECT")));
        r = make_list(&l, request);
        if (r)
                return r;
        r = nghttp2_submit_request(h->session, NULL, l.all, l.n, request->is_last ? NULL : &out, NULL);
        if (r < 0)
                return -ENOMEM;
        h2_attach(h, s, r, owner);
        s->is_head = sg_str_eq(request->method, SG_STR("HEAD"));
        s->has_head_given = true;
        s->is_last_given = request->is_last;
        return 0;
}

/* ---- answers in */

/* Both have been found right by nghttp2, but for a status below 100. */
static bool understand(struct sg_head *head, struct sg_str status)
{
        const struct sg_header *length;
        uint64_t number;

        if (sg_str_to_u64(status, &number) || number < 100)
                return false;
        head->status = (unsigned)number;
        head->method = SG_METHOD_OTHER;
        head->method_text = head->target = head->host = SG_STR("");
        length = sg_head_find(head, SG_STR("content-length"));
        head->has_length = length != NULL;
        return !length || sg_str_to_u64(length->value, &head->length) == 0;
}

int h2_answer_ready(struct sg_h2 *h, int32_t id, bool is_end)
{
        struct sg_h2_stream *s = h2_stream_of(h, id);
        struct h2_pseudo p = {0};
        struct sg_head head;
        bool has_body;
        int r;

        if (!s)
                return 0; /* untied between the frames of its head */
        if (h->fields.is_too_large) {
                h2_refuse(h, id, NGHTTP2_ENHANCE_YOUR_CALM);
                return 0;
        }
        r = h2_fields_read(h, &head, &p);
        if (r)
                return r;
        if (!understand(&head, p.status)) {
                h2_refuse(h, id, NGHTTP2_PROTOCOL_ERROR);
                return 0;
        }
        if (head.status < 200)
                return 0;
        has_body = !s->is_head && head.status != 204 && head.status != 304;
        s->has_answer = true;
        s->has_ended = is_end;
        s->has_length = head.has_length || !has_body;
        s->n_left = has_body ? head.length : 0;
        h->events->on_answer(s, &head, is_end);
        return 0;
}

/* ---- the peer goes away */

/* What it will not serve stands at the end: streams are opened, and sent, one behind the other. What was not sent is not
 * any more, whatever its number. */
void h2_go_away(struct sg_h2 *h, int32_t last)
{
        while (!sg_list_is_empty(&h->streams)) {
                struct sg_h2_stream *s = SG_CONTAINER(sg_list_last(&h->streams), struct sg_h2_stream, link);

                if (s->id <= last && h2_stream_of(h, s->id) == s)
                        break;
                h2_lose(s, SG_H2_RESET_REFUSED);
        }
        if (h->is_going_away)
                return;
        h->is_going_away = true;
        if (h->events->on_going_away)
                h->events->on_going_away(h, h->owner);
}
