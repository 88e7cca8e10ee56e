/*
 * HTTP/1.1 on a client's connection: a state machine over the stream and the codec, one exchange at a time.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "gateway/connection.h"
#include "gateway/exchange.h"
#include "http/h2.h"

#define H1_MAGIC        0x5c11e470u
#define LINGER_USEC     (2 * SG_USEC_PER_SEC)
#define DRAIN_IDLE_USEC (50 * SG_USEC_PER_MSEC)
#define PIECES_MAX      72

enum h1_state {
        H1_FRESH,  /* accepted, nothing has come */
        H1_IDLE,   /* between two requests */
        H1_HEAD,   /* a head has begun */
        H1_BODY,   /* an exchange is open, its request is not whole */
        H1_ANSWER, /* an exchange is open, its request is whole */
        H1_TUNNEL, /* another protocol is spoken: bytes as they are */
        H1_LINGER, /* answered, closing: our FIN goes out, what comes in is thrown away (RFC 9112 section 9.6) */
        H1_CLOSED,
        H1_STATE_N,
};

enum h1_framing {
        FRAMING_NONE,
        FRAMING_LENGTH,
        FRAMING_CHUNKED,
        FRAMING_CLOSE
};

struct h1 {
        uint32_t magic;
        struct sg_connection conn; /* whose timer is for what the state says */
        struct sg_client client;
        struct sg_exchange *exchange; /* FRESH to LINGER: the open one, or NULL */
        struct sg_h1 h1;
        enum h1_state state;
        bool in_bytes; /* inside h1_on_bytes(): it parses on by itself */
        /* of the present request and its answer */
        bool keep_alive, is_http10, is_head_request, expects_continue;
        enum h1_framing framing;
        bool is_broken;      /* the answer was cut short: no other may follow */
        bool is_answering;   /* its head is out: from now on the client is waited for as a reader, not as a writer */
        bool is_body_paused; /* what goes on from here is slower than the client */
};

static void h1_go(struct h1 *c, enum h1_state to);
static void h1_resume_body(struct sg_client *client);
static void h1_close(struct h1 *c, enum sg_failure reason);

static struct h1 *h1_of(void *owner) /* of the stream, and of the table's functions: the connection */
{
        return SG_CONTAINER((struct sg_connection *)owner, struct h1, conn);
}

static struct h1 *h1_of_client(struct sg_client *c)
{
        return SG_CONTAINER(c, struct h1, client);
}

/* ---- timers */

/* An exchange that is open tells of it in its own line. */
static void h1_give_up(struct h1 *c)
{
        if (!c->exchange)
                sg_connection_tell_given_up(&c->conn);
        h1_close(c, SG_FAIL_WRITE_TIMEOUT);
}

static void h1_check_writing(struct h1 *c)
{
        if (sg_stream_queued(c->conn.stream) && !sg_connection_has_moved(&c->conn))
                h1_give_up(c);
}

static void h1_refuse(struct h1 *c, enum sg_failure f)
{
        if (!c->exchange) {
                c->keep_alive = false;
                c->is_http10 = false;
                c->is_head_request = false;
                h1_go(c, H1_BODY);
                c->exchange = sg_exchange_new(&c->client, c->conn.worker, NULL);
                if (!c->exchange) {
                        h1_close(c, SG_FAIL_INTERNAL);
                        return;
                }
        }
        sg_exchange_refuse(c->exchange, f);
}

static void enter_body(struct h1 *c);

static void h1_on_time(struct sg_connection *conn)
{
        struct h1 *c = h1_of(conn);

        switch (c->state) {
        case H1_IDLE:
        case H1_LINGER:
                if (sg_stream_queued(c->conn.stream) && !c->conn.worker->is_stopping) {
                        h1_check_writing(c);
                        return;
                }
                __attribute__((__fallthrough__));
        case H1_FRESH:
                h1_close(c, SG_FAIL_NONE);
                return;
        case H1_HEAD:
                h1_refuse(c, SG_FAIL_HEAD_TIMEOUT);
                return;
        case H1_BODY:
                if (!c->is_answering && c->exchange && !sg_exchange_leaves_body_time(c->exchange)) {
                        enter_body(c);
                        return;
                }
                if (!c->is_answering) {
                        h1_refuse(c, SG_FAIL_BODY_TIMEOUT);
                        return;
                }
                __attribute__((__fallthrough__));
        case H1_ANSWER:
        case H1_TUNNEL:
                h1_check_writing(c);
                return;
        default:
                SG_UNREACHABLE();
        }
}

/* ---- states */

static void enter_fresh(struct h1 *c)
{
        sg_timer_start(&c->conn.timer, c->conn.snapshot->config->head_timeout_usec);
}

/* The exchange may be over long before its answer is out. */
static void enter_idle(struct h1 *c)
{
        if (sg_stream_queued(c->conn.stream)) {
                sg_connection_await_writing(&c->conn);
                return;
        }
        sg_timer_start(&c->conn.timer,
                       c->conn.worker->is_draining ? DRAIN_IDLE_USEC : c->conn.snapshot->config->idle_timeout_usec);
}

static void enter_head(struct h1 *c)
{
        sg_timer_start(&c->conn.timer, c->conn.snapshot->config->head_timeout_usec);
}

static void enter_body(struct h1 *c)
{
        sg_timer_start(&c->conn.timer, c->conn.snapshot->config->body_timeout_usec);
}

/* The timer is the writer's already where the answer has begun. */
static void enter_answer(struct h1 *c)
{
        if (!c->is_answering)
                sg_timer_stop(&c->conn.timer);
}

static void enter_linger(struct h1 *c)
{
        SG_ASSERT(!c->exchange);
        sg_stream_shutdown(c->conn.stream);
        if (sg_stream_queued(c->conn.stream) == 0 && c->conn.peer_eof) {
                h1_close(c, SG_FAIL_NONE);
                return;
        }
        if (sg_stream_queued(c->conn.stream) && !c->conn.worker->is_stopping)
                sg_connection_await_writing(&c->conn);
        else
                sg_timer_start(&c->conn.timer, LINGER_USEC);
}

static void enter_closed(struct h1 *c)
{
        SG_ASSERT(!c->exchange);
        sg_connection_closed(&c->conn);
}

#define TO(state) (UINT32_C(1) << H1_##state)

static const struct h1_step {
        const char *name;
        void (*enter)(struct h1 *c);
        uint32_t may_follow;
} steps[H1_STATE_N] = {
        [H1_FRESH] = {"fresh", enter_fresh, TO(HEAD) | TO(BODY) | TO(CLOSED)},
        [H1_IDLE] = {"idle", enter_idle, TO(HEAD) | TO(BODY) | TO(LINGER) | TO(CLOSED)},
        [H1_HEAD] = {"head", enter_head, TO(BODY) | TO(CLOSED)},
        [H1_BODY] = {"body", enter_body, TO(ANSWER) | TO(LINGER) | TO(CLOSED)},
        [H1_ANSWER] = {"answer", enter_answer, TO(IDLE) | TO(TUNNEL) | TO(LINGER) | TO(CLOSED)},
        [H1_TUNNEL] = {"tunnel", NULL, TO(LINGER) | TO(CLOSED)},
        [H1_LINGER] = {"linger", enter_linger, TO(CLOSED)},
        [H1_CLOSED] = {"closed", enter_closed, 0},
};

static void h1_go(struct h1 *c, enum h1_state to)
{
        SG_ASSERT(c->magic == H1_MAGIC && sg_loop_is_mine(c->conn.worker->loop));
        SG_ASSERT(steps[c->state].may_follow & (UINT32_C(1) << to));
        sg_debug("client %" PRIu64 ": %s -> %s", c->conn.id, steps[c->state].name, steps[to].name);
        c->state = to;
        if (steps[to].enter)
                steps[to].enter(c);
}

/* ---- requests */

/* An exchange whose request lies here whole is run when it has been taken in: an early refusal then leaves the
 * connection usable. One with a body to come is run at once, so that nothing is sent to a gateway that will refuse it.
 */
static void h1_begin(struct h1 *c, const struct sg_head *head, size_t n_bytes_here)
{
        bool is_whole = !head->is_chunked && head->length <= n_bytes_here;

        h1_go(c, H1_BODY);
        c->keep_alive = head->keep_alive;
        c->is_http10 = head->minor == 0;
        c->is_head_request = head->method == SG_METHOD_HEAD;
        c->expects_continue = head->expects_continue;
        c->framing = FRAMING_NONE;
        c->is_answering = c->is_body_paused = false;
        c->exchange = sg_exchange_new(&c->client, c->conn.worker, head);
        if (!c->exchange) {
                h1_close(c, SG_FAIL_INTERNAL);
                return;
        }
        /* What comes in chunks is too large by the size of one already: nobody waits for its bytes. */
        if (sg_h1_limit_body(&c->h1, head, sg_exchange_body_bytes_max(c->exchange)))
                sg_exchange_fail(c->exchange, SG_FAIL_BODY_TOO_LARGE, NULL);
        if (!is_whole)
                sg_exchange_run(c->exchange);
}

/* One event of the codec; false when it needs more bytes than there are, or will never give another. */
static bool h1_take(struct h1 *c, struct sg_str in, size_t *used)
{
        struct sg_h1_event ev;
        int r = sg_h1_next(&c->h1, in, &c->conn.worker->head, &ev);

        if (r) {
                *used = in.n;
                h1_refuse(c, sg_failure_of_h1(r));
                return false; /* the exchange may still wait for the disk: the same error would come for ever */
        }
        *used = ev.used;
        switch (ev.kind) {
        case SG_H1_MORE:
                if (in.n > ev.used && (c->state == H1_FRESH || c->state == H1_IDLE))
                        h1_go(c, H1_HEAD);
                return false;
        case SG_H1_HEAD:
                h1_begin(c, &c->conn.worker->head, in.n - ev.used);
                return true;
        case SG_H1_BODY:
                c->expects_continue = false;
                if (!c->is_answering && !c->is_body_paused)
                        sg_timer_start(&c->conn.timer, c->conn.snapshot->config->body_timeout_usec);
                sg_exchange_body(c->exchange, ev.bytes);
                return true;
        case SG_H1_TRAILERS:
                return true;
        case SG_H1_END:
                h1_resume_body(&c->client);
                h1_go(c, H1_ANSWER);
                sg_exchange_body_end(c->exchange);
                return true;
        }
        SG_UNREACHABLE();
}

/* Who sends requests and reads no answers gets no further: h1_on_drained() goes on. A pause does not hold back the end of
 * a body: no more bytes may come that would lead to it. */
static bool h1_wants_bytes(const struct h1 *c)
{
        if (c->is_body_paused && !sg_h1_awaits_end(&c->h1))
                return false;
        return c->state <= H1_BODY && !(c->state == H1_IDLE && sg_stream_is_full(c->conn.stream));
}

/* What a pipelining client has sent meanwhile is given again. */
static void h1_parse_on(struct h1 *c)
{
        if (c->in_bytes)
                return;
        sg_stream_pause(c->conn.stream);
        sg_stream_resume(c->conn.stream);
}

/* Another version of HTTP takes the connection over; this one is done with. NULL: it cannot, and is closed. */
static struct sg_connection *h1_give_to_h2(struct h1 *c)
{
        struct sg_connection *to = sg_connection_h2_take(&c->conn);

        if (to)
                c->state = H1_CLOSED; /* not through the door: the connection is not closed */
        else
                h1_close(c, SG_FAIL_INTERNAL);
        return to;
}

/* HTTP/2 with prior knowledge begins with bytes that no request of ours begins with. */
static bool h1_is_h2(const struct h1 *c, struct sg_str bytes, bool *ret_is_whole)
{
        size_t n = SG_MIN(bytes.n, SG_H2_PREFACE.n);

        *ret_is_whole = n == SG_H2_PREFACE.n;
        return c->state == H1_FRESH && n && memcmp(bytes.p, SG_H2_PREFACE.p, n) == 0;
}

static size_t h1_on_bytes(struct sg_stream *s, struct sg_str bytes, void *owner)
{
        struct h1 *c = h1_of(owner);
        bool is_whole;
        size_t used = 0;

        if (h1_is_h2(c, bytes, &is_whole)) {
                struct sg_connection *to = is_whole ? h1_give_to_h2(c) : NULL;

                return to ? to->ops->listener->on_bytes(s, bytes, to) : 0;
        }
        if (c->state == H1_TUNNEL) {
                sg_exchange_body(c->exchange, bytes);
                return bytes.n;
        }
        c->in_bytes = true;
        while (h1_wants_bytes(c)) {
                size_t n = 0;
                bool goes_on = h1_take(c, sg_str_skip(bytes, used), &n);

                used += n;
                if (!goes_on)
                        break;
        }
        c->in_bytes = false;
        return c->state >= H1_LINGER ? bytes.n : used;
}

/* TLS only: the client has chosen among our protocols. */
static void h1_on_open(struct sg_stream *s, void *owner)
{
        struct h1 *c = h1_of(owner);

        if (!c->conn.tls || !sg_tls_chose_h2(c->conn.tls))
                return;
        if (c->state == H1_FRESH)
                (void)h1_give_to_h2(c);
        else
                h1_close(c, SG_FAIL_CONNECTIONS_FULL); /* refused already, in words that it would not understand */
}

static void h1_on_drained(struct sg_stream *s, void *owner)
{
        struct h1 *c = h1_of(owner);

        if (c->conn.charged_bytes)
                sg_connection_charge(&c->conn, sg_stream_queued(s));
        switch (c->state) {
        case H1_BODY:
                if (!c->is_answering)
                        return; /* it was a 100 */
                __attribute__((__fallthrough__));
        case H1_ANSWER:
        case H1_TUNNEL:
                sg_timer_stop(&c->conn.timer);
                if (sg_stream_queued(s))
                        sg_connection_await_writing(&c->conn);
                sg_exchange_client_drained(c->exchange);
                return;
        case H1_IDLE:
                enter_idle(c);
                h1_parse_on(c);
                return;
        case H1_LINGER:
                if (sg_stream_queued(s))
                        return;
                if (c->conn.peer_eof)
                        h1_close(c, SG_FAIL_NONE);
                else
                        sg_timer_start(&c->conn.timer, LINGER_USEC);
                return;
        default:
                return;
        }
}

static void h1_on_end(struct sg_stream *s, enum sg_stream_end why, void *owner)
{
        struct h1 *c = h1_of(owner);

        c->conn.peer_eof = true;
        if (why == SG_STREAM_END_EOF && c->state == H1_TUNNEL) {
                sg_exchange_body_end(c->exchange);
                return;
        }
        if (why == SG_STREAM_END_TLS && c->state == H1_FRESH)
                sg_connection_tell_tls(&c->conn);
        if (why == SG_STREAM_END_EOF && sg_stream_queued(s) > 0) {
                if (c->state == H1_LINGER)
                        return; /* the answer is still on its way out */
                if (c->state == H1_IDLE) {
                        h1_go(c, H1_LINGER);
                        return;
                }
        }
        h1_close(c, SG_FAIL_CLIENT_GONE);
}

/* ---- the end */

static void h1_close(struct h1 *c, enum sg_failure reason)
{
        struct sg_exchange *x = c->exchange;

        if (c->state == H1_CLOSED)
                return;
        c->exchange = NULL;
        if (x)
                sg_exchange_client_gone(x, reason == SG_FAIL_NONE ? SG_FAIL_CLIENT_GONE : reason);
        h1_go(c, H1_CLOSED);
}

static void h1_close_conn(struct sg_connection *conn, enum sg_failure reason)
{
        h1_close(h1_of(conn), reason);
}

static void h1_refuse_conn(struct sg_connection *conn, enum sg_failure f)
{
        h1_refuse(h1_of(conn), f);
}

static void h1_free(struct sg_connection *conn)
{
        struct h1 *c = h1_of(conn);

        SG_ASSERT(c->magic == H1_MAGIC && c->state == H1_CLOSED);
        sg_connection_done(conn);
        c->magic = 0;
        free(c);
}

static void h1_drain(struct sg_connection *conn)
{
        struct h1 *c = h1_of(conn);

        /* What was accepted may still send its request; what sits between two requests gets a moment, in case one is on
         * its way, and closes. */
        if (c->state == H1_IDLE)
                enter_idle(c);
}

static void h1_cut(struct sg_connection *conn)
{
        struct h1 *c = h1_of(conn);

        if (c->state == H1_IDLE && sg_stream_queued(c->conn.stream))
                h1_go(c, H1_LINGER);
        else if (c->state == H1_LINGER)
                sg_timer_start(&c->conn.timer, LINGER_USEC);
        else if (!c->exchange)
                h1_close(c, SG_FAIL_NONE);
}

/* ---- answers */

/* Adds a body's pieces in the answer's framing; returns the new count. */
static size_t h1_frame(struct h1 *c, struct sg_str *out, size_t n_out, char chunk_head[SG_H1_CHUNK_HEAD_BYTES],
                       const struct sg_str *pieces, size_t n_pieces, bool is_last)
{
        size_t n_bytes = 0;

        SG_ASSERT(n_out + n_pieces + 4 <= PIECES_MAX);
        for (size_t i = 0; i < n_pieces; i++)
                n_bytes += pieces[i].n;
        if (c->is_head_request || c->framing == FRAMING_NONE)
                return n_out;
        if (c->framing == FRAMING_CHUNKED && n_bytes)
                out[n_out++] = sg_str_make(chunk_head, sg_h1_chunk_head(chunk_head, n_bytes));
        for (size_t i = 0; n_bytes && i < n_pieces; i++)
                out[n_out++] = pieces[i];
        if (c->framing == FRAMING_CHUNKED && n_bytes)
                out[n_out++] = SG_H1_CHUNK_END;
        if (c->framing == FRAMING_CHUNKED && is_last)
                out[n_out++] = SG_H1_LAST_CHUNK;
        return n_out;
}

static int h1_add_head(struct h1 *c, struct sg_buf *b, unsigned status, struct sg_str fields, bool has_length,
                       uint64_t length)
{
        int r = sg_h1_add_status_line(b, status);

        if (!r)
                r = sg_buf_add(b, fields);
        if (!r && c->framing == FRAMING_CHUNKED)
                r = sg_buf_add(b, SG_STR("transfer-encoding: chunked\r\n"));
        if (!r && has_length && status >= 200 && status != 204 && status != 304)
                r = sg_h1_add_header_u64(b, SG_STR("content-length"), length);
        if (!r && !c->keep_alive)
                r = sg_buf_add(b, SG_STR("connection: close\r\n"));
        else if (!r && c->is_http10)
                r = sg_buf_add(b, SG_STR("connection: keep-alive\r\n"));
        if (!r)
                r = sg_h1_add_head_end(b);
        return r;
}

static void h1_break_off(struct sg_client *client)
{
        struct h1 *c = h1_of_client(client);

        c->is_broken = true;
        c->keep_alive = false;
}

static void h1_send_head(struct sg_client *client, unsigned status, struct sg_str fields, bool has_length,
                         uint64_t length, const struct sg_str *pieces, size_t n_pieces, bool is_last)
{
        struct h1 *c = h1_of_client(client);
        struct sg_buf *head = &c->conn.worker->out;
        struct sg_str out[PIECES_MAX];
        char chunk_head[SG_H1_CHUNK_HEAD_BYTES];
        size_t n;

        c->is_answering = true;
        if (c->state == H1_BODY)
                sg_timer_stop(&c->conn.timer);
        if (status == 204 || status == 304)
                c->framing = FRAMING_NONE;
        else if (has_length)
                c->framing = FRAMING_LENGTH;
        else
                c->framing = c->is_http10 ? FRAMING_CLOSE : FRAMING_CHUNKED;
        if (c->state != H1_ANSWER || c->conn.worker->is_draining || c->framing == FRAMING_CLOSE)
                c->keep_alive = false;
        sg_buf_clear(head);
        if (h1_add_head(c, head, status, fields, has_length, length)) {
                h1_break_off(client);
                return;
        }
        out[0] = sg_buf_view(head);
        n = h1_frame(c, out, 1, chunk_head, pieces, n_pieces, is_last);
        sg_connection_write(&c->conn, out, n);
}

static void h1_send(struct sg_client *client, const struct sg_str *pieces, size_t n_pieces, bool is_last)
{
        struct h1 *c = h1_of_client(client);
        struct sg_str out[PIECES_MAX];
        char chunk_head[SG_H1_CHUNK_HEAD_BYTES];
        size_t n = h1_frame(c, out, 0, chunk_head, pieces, n_pieces, is_last);

        if (n)
                sg_connection_write(&c->conn, out, n);
}

static void h1_send_continue(struct sg_client *client)
{
        struct h1 *c = h1_of_client(client);
        static const struct sg_str interim = {"HTTP/1.1 100 Continue\r\n\r\n", 25};

        if (!c->expects_continue || c->state != H1_BODY)
                return;
        c->expects_continue = false;
        sg_connection_write(&c->conn, &interim, 1);
}

/* Not in HTTP/1.0, and not behind a body of known length. */
static void h1_send_trailers(struct sg_client *client, struct sg_str fields)
{
        struct h1 *c = h1_of_client(client);
        const struct sg_str out[] = {SG_STR("0\r\n"), fields, SG_STR("\r\n")};

        if (c->framing == FRAMING_CHUNKED && !c->is_head_request)
                sg_connection_write(&c->conn, out, SG_N_ELEMENTS(out));
}

static void h1_switch_protocols(struct sg_client *client, struct sg_str fields)
{
        struct h1 *c = h1_of_client(client);
        const struct sg_str out[] = {SG_STR("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n"), fields,
                                     SG_STR("\r\n")};

        h1_go(c, H1_TUNNEL);
        c->is_answering = true;
        c->keep_alive = false;
        c->framing = FRAMING_CLOSE;
        sg_connection_write(&c->conn, out, SG_N_ELEMENTS(out));
        h1_parse_on(c); /* what the client has sent behind its request */
}

/* Bytes stay in the socket, and so does the end behind them. */
static void h1_pause_body(struct sg_client *client)
{
        struct h1 *c = h1_of_client(client);

        if (c->is_body_paused || (c->state != H1_BODY && c->state != H1_TUNNEL))
                return;
        c->is_body_paused = true;
        if (!c->is_answering)
                sg_timer_stop(&c->conn.timer); /* it is not the client who is slow */
        sg_stream_watch_eof(c->conn.stream, false);
        sg_stream_pause(c->conn.stream);
}

static void h1_resume_body(struct sg_client *client)
{
        struct h1 *c = h1_of_client(client);

        if (!c->is_body_paused)
                return;
        c->is_body_paused = false;
        if (!c->is_answering)
                sg_timer_start(&c->conn.timer, c->conn.snapshot->config->body_timeout_usec);
        sg_stream_watch_eof(c->conn.stream, true);
        sg_stream_resume(c->conn.stream);
}

static void h1_exchange_over(struct sg_client *client)
{
        struct h1 *c = h1_of_client(client);

        SG_ASSERT(c->exchange);
        c->exchange = NULL;
        h1_resume_body(client); /* what is left of it is thrown away */
        sg_connection_charge(&c->conn, sg_stream_queued(c->conn.stream));
        if (c->state != H1_ANSWER || !c->keep_alive || c->is_broken) {
                h1_go(c, H1_LINGER);
                return;
        }
        h1_go(c, H1_IDLE);
        h1_parse_on(c);
}

static bool h1_is_full(const struct sg_client *client)
{
        return sg_stream_is_full(SG_CONTAINER(client, const struct h1, client)->conn.stream);
}

/* ---- birth */

static const struct sg_stream_listener stream_listener = {
        .on_open = h1_on_open,
        .on_bytes = h1_on_bytes,
        .on_drained = h1_on_drained,
        .on_end = h1_on_end,
};

static const struct sg_connection_ops connection_ops = {
        .listener = &stream_listener,
        .on_time = h1_on_time,
        .refuse = h1_refuse_conn,
        .drain = h1_drain,
        .cut = h1_cut,
        .close = h1_close_conn,
        .free = h1_free,
};

static const struct sg_client_ops client_ops = {
        .send_head = h1_send_head,
        .send = h1_send,
        .send_continue = h1_send_continue,
        .break_off = h1_break_off,
        .exchange_over = h1_exchange_over,
        .is_full = h1_is_full,
        .pause_body = h1_pause_body,
        .resume_body = h1_resume_body,
        .send_trailers = h1_send_trailers,
        .switch_protocols = h1_switch_protocols,
};

struct sg_connection *sg_connection_h1_new(struct sg_worker *w, int fd)
{
        struct h1 *c = calloc(1, sizeof(*c));
        struct sg_h1_limits limits;

        if (!c || sg_connection_init(&c->conn, w, fd, &connection_ops)) {
                free(c);
                return NULL;
        }
        c->magic = H1_MAGIC;
        c->client = (struct sg_client){.ops = &client_ops, .connection = &c->conn};
        limits = (struct sg_h1_limits){.head_bytes = c->conn.snapshot->config->head_bytes_max};
        sg_h1_init(&c->h1, SG_H1_SERVER, &limits);
        enter_fresh(c);
        return &c->conn;
}
