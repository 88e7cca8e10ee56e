/*
 * HTTP/2 on a client's connection: many exchanges at once, each behind a request of its own.
 *
 * What exchanges give is kept by the codec and put into frames when it is their turn and windows allow; it goes out once
 * per turn of the loop, in one write. A request is done with when its exchange is over, all that was given is in frames
 * and the stream has ended at both sides (the codec unties it then).
 */
#include <stdlib.h>

#include "base/log.h"
#include "gateway/connection.h"
#include "gateway/exchange.h"
#include "http/h2.h"

#define H2_MAGIC          0x5c11e472u
#define STREAMS_MAX       100u
#define STREAM_WINDOW     (256u * 1024u)
#define CONNECTION_WINDOW (1024u * 1024u)
#define QUEUED_MAX        (64u * 1024u) /* of one request: then its source pauses */
#define QUEUED_LOW        (QUEUED_MAX / 4)
#define FRAMES_ENOUGH     (64u * 1024u) /* in one write */
#define FORGIVEN_PER_SEC  10
#define LINGER_USEC       (2 * SG_USEC_PER_SEC)
#define DRAIN_IDLE_USEC   (50 * SG_USEC_PER_MSEC)

enum h2_state {
        H2_OPEN,
        H2_ENDING, /* a GOAWAY of ours is the last thing; what comes in is thrown away */
        H2_CLOSED,
        H2_STATE_N,
};

struct h2 {
        uint32_t magic;
        enum h2_state state;
        struct sg_connection conn; /* whose timer is for the whole: first request, idle, writing */
        struct sg_h2 *h2;
        struct sg_list requests;
        struct sg_deferred sending;
        bool has_had_request;
        bool is_broken;         /* by the peer: what is open ends */
        uint64_t forgiven_usec; /* when the codec was told of passed time last */
};

struct request {
        struct sg_link link;
        struct h2 *of;
        struct sg_client client;
        struct sg_h2_stream stream;
        struct sg_exchange *exchange; /* NULL when it is over */
        struct sg_timer timer;        /* its body comes too slowly, or its answer is not taken */
        struct sg_deferred freeing;
        bool is_whole, is_head_request, expects_continue, is_full, is_broken;
        bool is_answering;  /* the answer's head is out: the client is waited for as a reader, not as a writer */
        bool is_paused;     /* its body: the window is not given back */
        size_t held_window; /* meanwhile */
        uint64_t given_bytes, moved_bytes; /* of the answer; of them in frames at the last look */
};

static void h2_close(struct h2 *c, enum sg_failure reason);
static void h2_send(struct h2 *c);

static struct h2 *h2_of(void *owner)
{
        return SG_CONTAINER((struct sg_connection *)owner, struct h2, conn);
}

static struct request *request_of(struct sg_client *c)
{
        return SG_CONTAINER(c, struct request, client);
}

/* ---- requests: from birth to death */

static void request_free(struct sg_deferred *d)
{
        struct request *r = SG_CONTAINER(d, struct request, freeing);

        sg_timer_done(&r->timer);
        free(r);
}

/* Its stream is untied, its exchange over or about to be told. */
static void request_end(struct request *r, enum sg_failure why)
{
        struct sg_exchange *x = r->exchange;
        struct h2 *c = r->of;

        r->exchange = NULL;
        sg_timer_stop(&r->timer);
        sg_list_remove(&c->requests, &r->link);
        sg_loop_defer(c->conn.worker->loop, &r->freeing);
        if (x)
                sg_exchange_client_gone(x, why);
}

static void send_soon(struct h2 *c)
{
        sg_loop_defer(c->conn.worker->loop, &c->sending);
}

static void request_await_writing(struct request *r)
{
        r->moved_bytes = r->given_bytes - sg_h2_queued(&r->stream);
        sg_timer_start(&r->timer, r->of->conn.snapshot->config->write_timeout_usec);
}

static void request_on_time(struct sg_timer *t, void *owner)
{
        struct request *r = owner;

        if (!r->is_whole && r->exchange && !r->is_answering) {
                if (!sg_exchange_leaves_body_time(r->exchange)) {
                        sg_timer_start(t, r->of->conn.snapshot->config->body_timeout_usec);
                        return;
                }
                sg_exchange_refuse(r->exchange, SG_FAIL_BODY_TIMEOUT);
                return;
        }
        if (sg_h2_queued(&r->stream) == 0)
                return;
        if (r->given_bytes - sg_h2_queued(&r->stream) > r->moved_bytes) {
                request_await_writing(r);
                return;
        }
        sg_h2_untie(&r->stream, SG_H2_RESET_CANCEL);
        send_soon(r->of);
        request_end(r, SG_FAIL_WRITE_TIMEOUT);
}

static const struct sg_client_ops client_ops;

static struct request *request_new(struct h2 *c, int32_t id)
{
        struct request *r = calloc(1, sizeof(*r));

        if (!r || sg_timer_init(&r->timer, c->conn.worker->loop, request_on_time, r)) {
                free(r);
                return NULL;
        }
        r->of = c;
        r->client = (struct sg_client){.ops = &client_ops, .connection = &c->conn};
        r->freeing.run = request_free;
        sg_list_push(&c->requests, &r->link);
        sg_h2_tie(c->h2, id, &r->stream, r);
        sg_timer_stop(&c->conn.timer);
        c->has_had_request = true;
        return r;
}

/* ---- the connection's own timer: there is nothing to wait for but the client */

static void h2_await_request(struct h2 *c)
{
        const struct sg_config *config = c->conn.snapshot->config;

        /* Frames that ask for nothing (a PING) do not lengthen the wait. */
        if (!sg_list_is_empty(&c->requests) || sg_stream_queued(c->conn.stream) || sg_timer_is_running(&c->conn.timer))
                return;
        if (c->conn.worker->is_draining)
                sg_timer_start(&c->conn.timer, DRAIN_IDLE_USEC);
        else
                sg_timer_start(&c->conn.timer,
                               c->has_had_request ? config->idle_timeout_usec : config->head_timeout_usec);
}

/* No more than this: GOAWAY, what is queued, FIN. */
static void h2_end(struct h2 *c)
{
        if (c->state != H2_OPEN)
                return;
        c->state = H2_ENDING;
        sg_loop_undefer(c->conn.worker->loop, &c->sending);
        sg_stream_shutdown(c->conn.stream);
        sg_timer_start(&c->conn.timer, LINGER_USEC);
}

static void h2_on_time(struct sg_connection *conn)
{
        struct h2 *c = h2_of(conn);

        if (sg_stream_queued(conn->stream) && !conn->worker->is_stopping && c->state == H2_OPEN) {
                if (sg_connection_has_moved(conn))
                        return;
                if (sg_list_is_empty(&c->requests))
                        sg_connection_tell_given_up(conn);
                h2_close(c, SG_FAIL_WRITE_TIMEOUT);
                return;
        }
        if (c->state == H2_OPEN && sg_list_is_empty(&c->requests)) {
                sg_h2_drain(c->h2);
                h2_send(c);
                h2_end(c);
                return;
        }
        if (c->state == H2_ENDING)
                h2_close(c, SG_FAIL_NONE);
}

/* ---- sending */

/* True: there may be more. The codec may find only now that the peer broke the rules: then a GOAWAY is the last thing. */
static bool produce(struct h2 *c)
{
        struct sg_buf *out = &c->conn.worker->out;
        struct sg_str bytes;
        int r;

        sg_buf_clear(out);
        r = sg_h2_produce(c->h2, out, FRAMES_ENOUGH);
        bytes = sg_buf_view(out);
        if (bytes.n)
                sg_connection_write(&c->conn, &bytes, 1);
        if (r)
                c->is_broken = true;
        return bytes.n > 0 && !r;
}

/* After frames were made: who may go on, who waits, who is done. */
static void look_at_request(struct request *r)
{
        struct h2 *c = r->of;

        if (!r->stream.h2) {
                request_end(r, SG_FAIL_NONE);
                return;
        }
        if (!r->exchange && (r->stream.is_sent || (r->is_broken && sg_h2_queued(&r->stream) == 0))) {
                /* The answer is out; what is left of the request is not wanted. */
                sg_h2_untie(&r->stream, r->is_broken ? SG_H2_RESET_INTERNAL : SG_H2_RESET_NONE);
                send_soon(c);
                request_end(r, SG_FAIL_NONE);
                return;
        }
        if (r->is_whole || r->is_answering || !r->exchange) {
                if (sg_h2_queued(&r->stream) == 0)
                        sg_timer_stop(&r->timer);
                else if (!sg_timer_is_running(&r->timer))
                        request_await_writing(r);
        }
        if (r->is_full && r->exchange && sg_h2_queued(&r->stream) <= QUEUED_LOW && !sg_stream_is_full(c->conn.stream)) {
                r->is_full = false;
                sg_exchange_client_drained(r->exchange);
        }
}

static void produce_all(struct h2 *c)
{
        while (c->state != H2_CLOSED && !sg_stream_is_full(c->conn.stream) && produce(c))
                ;
}

/* What of answers that are over waits for the client. */
static void charge(struct h2 *c)
{
        uint64_t n_bytes = sg_stream_queued(c->conn.stream);

        SG_LIST_EACH (&c->requests, k) {
                const struct request *r = SG_CONTAINER(k, struct request, link);

                if (!r->exchange)
                        n_bytes += sg_h2_queued(&r->stream);
        }
        sg_connection_charge(&c->conn, n_bytes);
}

static void end_requests(struct h2 *c, enum sg_failure why)
{
        while (!sg_list_is_empty(&c->requests)) {
                struct request *r = SG_CONTAINER(sg_list_first(&c->requests), struct request, link);

                sg_h2_untie(&r->stream, SG_H2_RESET_CANCEL);
                request_end(r, why);
        }
}

static void h2_fail(struct h2 *c)
{
        sg_count(&c->conn.worker->counters.by_failure[SG_FAIL_BAD_REQUEST], 1);
        end_requests(c, SG_FAIL_CLIENT_GONE);
        if (c->state != H2_CLOSED)
                h2_end(c);
}

static void h2_send(struct h2 *c)
{
        produce_all(c);
        if (c->state == H2_CLOSED)
                return;
        SG_LIST_EACH (&c->requests, k)
                look_at_request(SG_CONTAINER(k, struct request, link));
        produce_all(c); /* what looking has led to: resets, more of an answer */
        if (c->state == H2_CLOSED)
                return;
        if (c->is_broken) {
                h2_fail(c);
                return;
        }
        charge(c);
        if (c->state == H2_OPEN && sg_h2_is_over(c->h2))
                h2_end(c);
        else
                h2_await_request(c);
}

static void send_deferred(struct sg_deferred *d)
{
        struct h2 *c = SG_CONTAINER(d, struct h2, sending);

        if (c->state != H2_CLOSED)
                h2_send(c);
}

/* ---- receiving: events of the codec */

static void on_head(struct sg_h2 *h, int32_t id, const struct sg_head *head, bool is_end, void *owner)
{
        struct h2 *c = owner;
        struct request *r = request_new(c, id);

        if (!r)
                return; /* refused: it may be tried again */
        r->is_head_request = head->method == SG_METHOD_HEAD;
        r->expects_continue = head->expects_continue;
        r->is_whole = is_end;
        r->exchange = sg_exchange_new(&r->client, c->conn.worker, head);
        if (!r->exchange) {
                sg_h2_untie(&r->stream, SG_H2_RESET_REFUSED);
                request_end(r, SG_FAIL_INTERNAL);
                return;
        }
        if (is_end) {
                sg_exchange_body_end(r->exchange);
                return;
        }
        sg_timer_start(&r->timer, c->conn.snapshot->config->body_timeout_usec);
        sg_exchange_run(r->exchange);
}

static void on_head_too_large(struct sg_h2 *h, int32_t id, bool is_target, void *owner)
{
        struct h2 *c = owner;
        struct request *r = request_new(c, id);

        if (!r)
                return;
        r->exchange = sg_exchange_new(&r->client, c->conn.worker, NULL);
        if (r->exchange) {
                sg_exchange_refuse(r->exchange, is_target ? SG_FAIL_TARGET_TOO_LONG : SG_FAIL_HEAD_TOO_LARGE);
                return;
        }
        sg_h2_untie(&r->stream, SG_H2_RESET_REFUSED);
        request_end(r, SG_FAIL_INTERNAL);
}

static void on_body(struct sg_h2_stream *s, struct sg_str bytes)
{
        struct request *r = s->owner;

        if (r->is_paused)
                r->held_window += bytes.n;
        else
                sg_h2_consume(s, bytes.n);
        r->expects_continue = false;
        if (!r->exchange)
                return;
        if (!r->is_answering && !r->is_paused)
                sg_timer_start(&r->timer, r->of->conn.snapshot->config->body_timeout_usec);
        sg_exchange_body(r->exchange, bytes);
}

static void on_end(struct sg_h2_stream *s)
{
        struct request *r = s->owner;

        r->is_whole = true;
        if (!r->exchange)
                return;
        if (!r->is_answering)
                sg_timer_stop(&r->timer);
        sg_exchange_body_end(r->exchange);
}

static void on_reset(struct sg_h2_stream *s, enum sg_h2_reset why)
{
        request_end(s->owner, SG_FAIL_CLIENT_GONE);
}

static const struct sg_h2_events h2_events = {
        .on_head = on_head,
        .on_head_too_large = on_head_too_large,
        .on_body = on_body,
        .on_end = on_end,
        .on_reset = on_reset,
};

/* ---- the stream below */

/* What bothers us a little now and then is no abuse. */
static void h2_forgive(struct h2 *c)
{
        uint64_t now_usec = sg_loop_now_usec(c->conn.worker->loop);
        uint64_t n = (now_usec - c->forgiven_usec) / (SG_USEC_PER_SEC / FORGIVEN_PER_SEC);

        if (n == 0)
                return;
        c->forgiven_usec = now_usec;
        sg_h2_forgive(c->h2, (unsigned)SG_MIN(n, (uint64_t)UINT32_MAX));
}

static size_t h2_on_bytes(struct sg_stream *s, struct sg_str bytes, void *owner)
{
        struct h2 *c = h2_of(owner);

        if (c->state != H2_OPEN)
                return bytes.n;
        h2_forgive(c);
        if (sg_h2_receive(c->h2, bytes)) {
                c->is_broken = true;
                h2_send(c); /* a GOAWAY that says why */
                return bytes.n;
        }
        send_soon(c);
        return bytes.n;
}

static void h2_on_drained(struct sg_stream *s, void *owner)
{
        struct h2 *c = h2_of(owner);

        if (c->state == H2_OPEN)
                sg_timer_stop(&c->conn.timer);
        h2_send(c);
        if (c->state == H2_OPEN && sg_stream_queued(s) && !sg_timer_is_running(&c->conn.timer))
                sg_connection_await_writing(&c->conn);
}

static void h2_on_end(struct sg_stream *s, enum sg_stream_end why, void *owner)
{
        struct h2 *c = h2_of(owner);

        c->conn.peer_eof = true;
        /* A client that has nothing more to ask may still read what it asked for; one that has nothing open is gone. */
        if (why == SG_STREAM_END_EOF && c->state == H2_ENDING && sg_stream_queued(s))
                return;
        h2_close(c, SG_FAIL_CLIENT_GONE);
}

static const struct sg_stream_listener stream_listener = {
        .on_bytes = h2_on_bytes,
        .on_drained = h2_on_drained,
        .on_end = h2_on_end,
};

/* ---- the end */

static void h2_close(struct h2 *c, enum sg_failure reason)
{
        if (c->state == H2_CLOSED)
                return;
        c->state = H2_CLOSED;
        end_requests(c, reason == SG_FAIL_NONE ? SG_FAIL_CLIENT_GONE : reason);
        sg_loop_undefer(c->conn.worker->loop, &c->sending);
        sg_connection_closed(&c->conn);
}

static void h2_close_conn(struct sg_connection *conn, enum sg_failure reason)
{
        h2_close(h2_of(conn), reason);
}

static void h2_drain(struct sg_connection *conn)
{
        struct h2 *c = h2_of(conn);

        if (c->state != H2_OPEN)
                return;
        sg_h2_drain(c->h2);
        if (sg_list_is_empty(&c->requests))
                sg_timer_stop(&c->conn.timer); /* the wait is shorter from now on */
        send_soon(c);
}

static void h2_cut(struct sg_connection *conn)
{
        struct h2 *c = h2_of(conn);

        if (c->state != H2_OPEN)
                return;
        h2_send(c);
        if (c->state == H2_OPEN)
                h2_end(c);
}

static void h2_free(struct sg_connection *conn)
{
        struct h2 *c = h2_of(conn);

        SG_ASSERT(c->magic == H2_MAGIC && c->state == H2_CLOSED);
        sg_h2_free(c->h2);
        sg_connection_done(conn);
        c->magic = 0;
        free(c);
}

/* ---- answers */

static void client_break_off(struct sg_client *client)
{
        request_of(client)->is_broken = true;
}

static void client_send(struct sg_client *client, const struct sg_str *pieces, size_t n_pieces, bool is_last)
{
        struct request *r = request_of(client);

        if (r->is_head_request || r->is_broken || r->stream.is_last_given)
                return;
        for (size_t i = 0; i < n_pieces; i++)
                r->given_bytes += pieces[i].n;
        if (sg_h2_send_body(&r->stream, pieces, n_pieces, is_last))
                r->is_broken = true;
        r->is_full = sg_h2_queued(&r->stream) > QUEUED_MAX;
        send_soon(r->of);
}

static void client_send_head(struct sg_client *client, unsigned status, struct sg_str fields, bool has_length,
                             uint64_t length, const struct sg_str *pieces, size_t n_pieces, bool is_last)
{
        struct request *r = request_of(client);
        bool has_no_body = r->is_head_request || status == 204 || status == 304;
        size_t n_bytes = 0;

        if (!r->is_answering)
                sg_timer_stop(&r->timer);
        r->is_answering = true;
        for (size_t i = 0; i < n_pieces; i++)
                n_bytes += pieces[i].n;
        has_no_body = has_no_body || (is_last && n_bytes == 0);
        if (sg_h2_send_head(&r->stream, status, fields, has_length && status != 204 && status != 304, length,
                            has_no_body)) {
                r->is_broken = true;
                return;
        }
        send_soon(r->of);
        if (!has_no_body)
                client_send(client, pieces, n_pieces, is_last);
}

static void client_send_continue(struct sg_client *client)
{
        struct request *r = request_of(client);

        if (!r->expects_continue || r->is_whole)
                return;
        r->expects_continue = false;
        if (sg_h2_send_continue(&r->stream) == 0)
                send_soon(r->of);
}

static void client_send_trailers(struct sg_client *client, struct sg_str fields)
{
        struct request *r = request_of(client);

        if (r->is_head_request || r->is_broken || r->stream.is_last_given)
                return;
        if (sg_h2_send_trailers(&r->stream, fields))
                r->is_broken = true;
        send_soon(r->of);
}

static void client_pause_body(struct sg_client *client)
{
        struct request *r = request_of(client);

        if (r->is_paused || r->is_whole)
                return;
        r->is_paused = true;
        if (!r->is_answering)
                sg_timer_stop(&r->timer); /* it is not the client who is slow */
}

static void client_resume_body(struct sg_client *client)
{
        struct request *r = request_of(client);

        if (!r->is_paused)
                return;
        r->is_paused = false;
        if (r->held_window && r->stream.h2) {
                sg_h2_consume(&r->stream, r->held_window);
                send_soon(r->of);
        }
        r->held_window = 0;
        if (!r->is_answering && !r->is_whole)
                sg_timer_start(&r->timer, r->of->conn.snapshot->config->body_timeout_usec);
}

static void client_exchange_over(struct sg_client *client)
{
        struct request *r = request_of(client);

        SG_ASSERT(r->exchange);
        client_resume_body(client); /* what is left of it is thrown away */
        r->exchange = NULL;
        sg_timer_stop(&r->timer);
        send_soon(r->of);
}

static bool client_is_full(const struct sg_client *client)
{
        const struct request *r = SG_CONTAINER(client, const struct request, client);

        return sg_h2_queued(&r->stream) > QUEUED_MAX;
}

static const struct sg_client_ops client_ops = {
        .send_head = client_send_head,
        .send = client_send,
        .send_continue = client_send_continue,
        .break_off = client_break_off,
        .exchange_over = client_exchange_over,
        .is_full = client_is_full,
        .pause_body = client_pause_body,
        .resume_body = client_resume_body,
        .send_trailers = client_send_trailers,
};

/* ---- birth */

static const struct sg_connection_ops connection_ops = {
        .listener = &stream_listener,
        .on_time = h2_on_time,
        .drain = h2_drain,
        .cut = h2_cut,
        .close = h2_close_conn,
        .free = h2_free,
};

struct sg_connection *sg_connection_h2_take(struct sg_connection *from)
{
        const struct sg_h2_limits limits = {
                .n_streams_max = STREAMS_MAX,
                .head_bytes = from->snapshot->config->head_bytes_max,
                .stream_window = STREAM_WINDOW,
                .connection_window = CONNECTION_WINDOW,
        };
        struct h2 *c = calloc(1, sizeof(*c));

        if (!c)
                return NULL;
        if (sg_h2_new(&c->h2, &limits, &h2_events, c)) {
                free(c);
                return NULL;
        }
        if (sg_connection_move(&c->conn, from, &connection_ops)) {
                sg_h2_free(c->h2);
                free(c);
                return NULL;
        }
        c->magic = H2_MAGIC;
        sg_list_init(&c->requests);
        c->sending.run = send_deferred;
        c->forgiven_usec = sg_loop_now_usec(c->conn.worker->loop);
        if (c->conn.worker->is_draining)
                sg_h2_drain(c->h2);
        send_soon(c); /* SETTINGS */
        h2_await_request(c);
        return &c->conn;
}
