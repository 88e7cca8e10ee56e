#include "gateway/client.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/message_id.h"
#include "gateway/exchange.h"
#include "net/stream.h"

#define CLIENT_MAGIC      0x5c11e470u
#define LINGER_USEC       (2 * SG_USEC_PER_SEC)
#define DRAIN_IDLE_USEC   (50 * SG_USEC_PER_MSEC)
#define OVER_LIMIT_MAX    64 /* connections beyond the maximum that still get a polite 503 */
#define CLIENT_PIECES_MAX 72

enum client_state {
        CLIENT_FRESH,  /* accepted, nothing has come */
        CLIENT_IDLE,   /* between two requests */
        CLIENT_HEAD,   /* a head has begun */
        CLIENT_BODY,   /* an exchange is open, its request is not whole */
        CLIENT_ANSWER, /* an exchange is open, its request is whole */
        CLIENT_LINGER, /* answered, closing: our FIN goes out, what comes in is thrown away (RFC 9112 section 9.6) */
        CLIENT_CLOSED,
        CLIENT_STATE_N,
};

enum client_framing {
        FRAMING_NONE,
        FRAMING_LENGTH,
        FRAMING_CHUNKED,
        FRAMING_CLOSE
};

struct sg_client {
        uint32_t magic;
        struct sg_link link; /* of the worker, until closed */
        struct sg_deferred freeing;
        struct sg_worker *worker;
        struct sg_stream *stream;
        struct sg_snapshot *snapshot; /* whose timeouts and limits the connection has */
        struct sg_exchange *exchange; /* FRESH to LINGER: the open one, or NULL */
        struct sg_h1 h1;
        struct sg_timer timer; /* the state says which timeout it is */
        uint64_t id;
        enum client_state state;
        bool in_bytes; /* inside client_on_bytes(): it parses on by itself */
        bool peer_eof;
        /* of the present request and its answer */
        bool keep_alive, is_http10, is_head_request, expects_continue;
        enum client_framing framing;
        bool is_broken;                    /* the answer was cut short: no other may follow */
        uint64_t given_bytes, moved_bytes; /* handed to the stream; of them gone at the last look */
        uint64_t charged_bytes; /* of shared->bodies_bytes: what of answers that are over waits for the client */
};

static void client_go(struct sg_client *c, enum client_state to);
/* A state of the whole gateway, beside the lines of the exchanges that are refused. */
static void tell_full(struct sg_worker *w, const struct sg_config *config)
{
        if (!sg_log_limit_take(&w->repeats.connections_full, sg_loop_now_usec(w->loop)))
                return;
        sg_log_notable(SG_LOG_WARNING, SG_MESSAGE_CONNECTIONS_FULL,
                       "max_connections = %zu connections are open: further ones are refused", config->connections_max);
}

static void client_free(struct sg_deferred *d);

/* ---- timers */

static uint64_t client_moved(const struct sg_client *c)
{
        return c->given_bytes - sg_stream_queued(c->stream);
}

static void client_await_writing(struct sg_client *c)
{
        c->moved_bytes = client_moved(c);
        sg_timer_start(&c->timer, c->snapshot->config->write_timeout_usec);
}

/* An exchange that is open tells of it in its own line. */
static void client_give_up(struct sg_client *c)
{
        if (!c->exchange) {
                sg_count(&c->worker->counters.by_failure[SG_FAIL_WRITE_TIMEOUT], 1);
                sg_info("client %s took none of its answer for %" PRIu64 " s and is given up: %zu bytes were not sent",
                        sg_client_peer(c), c->snapshot->config->write_timeout_usec / SG_USEC_PER_SEC,
                        sg_stream_queued(c->stream));
        }
        sg_client_close(c, SG_FAIL_WRITE_TIMEOUT);
}

static void client_check_writing(struct sg_client *c)
{
        if (sg_stream_queued(c->stream) == 0)
                return;
        if (client_moved(c) > c->moved_bytes)
                client_await_writing(c);
        else
                client_give_up(c);
}

static void client_refuse(struct sg_client *c, enum sg_failure f)
{
        if (!c->exchange) {
                c->keep_alive = false;
                c->is_http10 = false;
                c->is_head_request = false;
                client_go(c, CLIENT_BODY);
                c->exchange = sg_exchange_new(c, c->worker, NULL);
                if (!c->exchange) {
                        sg_client_close(c, SG_FAIL_INTERNAL);
                        return;
                }
        }
        sg_exchange_refuse(c->exchange, f);
}

static void client_on_time(struct sg_timer *t, void *owner)
{
        struct sg_client *c = owner;

        switch (c->state) {
        case CLIENT_IDLE:
        case CLIENT_LINGER:
                if (sg_stream_queued(c->stream) && !c->worker->is_stopping) {
                        client_check_writing(c);
                        return;
                }
                __attribute__((__fallthrough__));
        case CLIENT_FRESH:
                sg_client_close(c, SG_FAIL_NONE);
                return;
        case CLIENT_HEAD:
                client_refuse(c, SG_FAIL_HEAD_TIMEOUT);
                return;
        case CLIENT_BODY:
                client_refuse(c, SG_FAIL_BODY_TIMEOUT);
                return;
        case CLIENT_ANSWER:
                client_check_writing(c);
                return;
        default:
                SG_UNREACHABLE();
        }
}

/* ---- states */

static void enter_fresh(struct sg_client *c)
{
        sg_timer_start(&c->timer, c->snapshot->config->head_timeout_usec);
}

/* The exchange may be over long before its answer is out. */
static void enter_idle(struct sg_client *c)
{
        if (sg_stream_queued(c->stream)) {
                client_await_writing(c);
                return;
        }
        sg_timer_start(&c->timer, c->worker->is_draining ? DRAIN_IDLE_USEC : c->snapshot->config->idle_timeout_usec);
}

static void enter_head(struct sg_client *c)
{
        sg_timer_start(&c->timer, c->snapshot->config->head_timeout_usec);
}

static void enter_body(struct sg_client *c)
{
        sg_timer_start(&c->timer, c->snapshot->config->body_timeout_usec);
}

static void enter_answer(struct sg_client *c)
{
        sg_timer_stop(&c->timer);
}

static void enter_linger(struct sg_client *c)
{
        SG_ASSERT(!c->exchange);
        sg_stream_shutdown(c->stream);
        if (sg_stream_queued(c->stream) == 0 && c->peer_eof) {
                sg_client_close(c, SG_FAIL_NONE);
                return;
        }
        if (sg_stream_queued(c->stream) && !c->worker->is_stopping)
                client_await_writing(c);
        else
                sg_timer_start(&c->timer, LINGER_USEC);
}

/* What a client does not take is held for it like a body, also when the exchange that was charged for it is over. */
static void client_charge(struct sg_client *c, uint64_t n_bytes)
{
        if (n_bytes == c->charged_bytes)
                return;
        atomic_fetch_add_explicit(&c->worker->shared->bodies_bytes, n_bytes - c->charged_bytes, memory_order_relaxed);
        c->charged_bytes = n_bytes;
}

static void enter_closed(struct sg_client *c)
{
        SG_ASSERT(!c->exchange);
        sg_timer_stop(&c->timer);
        client_charge(c, 0);
        c->stream = sg_stream_free(c->stream);
        sg_list_remove(&c->worker->clients, &c->link);
        sg_count(&c->worker->counters.n_clients, (uint64_t)-1);
        atomic_fetch_sub_explicit(&c->worker->shared->n_connections, 1, memory_order_relaxed);
        sg_loop_defer(c->worker->loop, &c->freeing);
        sg_worker_check_drained(c->worker);
}

#define TO(state) (UINT32_C(1) << CLIENT_##state)

static const struct client_step {
        const char *name;
        void (*enter)(struct sg_client *c);
        uint32_t may_follow;
} steps[CLIENT_STATE_N] = {
        [CLIENT_FRESH] = {"fresh", enter_fresh, TO(HEAD) | TO(BODY) | TO(CLOSED)},
        [CLIENT_IDLE] = {"idle", enter_idle, TO(HEAD) | TO(BODY) | TO(LINGER) | TO(CLOSED)},
        [CLIENT_HEAD] = {"head", enter_head, TO(BODY) | TO(CLOSED)},
        [CLIENT_BODY] = {"body", enter_body, TO(ANSWER) | TO(LINGER) | TO(CLOSED)},
        [CLIENT_ANSWER] = {"answer", enter_answer, TO(IDLE) | TO(LINGER) | TO(CLOSED)},
        [CLIENT_LINGER] = {"linger", enter_linger, TO(CLOSED)},
        [CLIENT_CLOSED] = {"closed", enter_closed, 0},
};

static void client_go(struct sg_client *c, enum client_state to)
{
        SG_ASSERT(c->magic == CLIENT_MAGIC && sg_loop_is_mine(c->worker->loop));
        SG_ASSERT(steps[c->state].may_follow & (UINT32_C(1) << to));
        sg_debug("client %" PRIu64 ": %s -> %s", c->id, steps[c->state].name, steps[to].name);
        c->state = to;
        if (steps[to].enter)
                steps[to].enter(c);
}

/* ---- requests */

/* An exchange whose request lies here whole is run when it has been taken in: an early refusal then leaves the
 * connection usable. One with a body to come is run at once, so that nothing is sent to a gateway that will refuse it.
 */
static void client_begin(struct sg_client *c, const struct sg_head *head, size_t n_bytes_here)
{
        bool is_whole = !head->is_chunked && head->length <= n_bytes_here;

        client_go(c, CLIENT_BODY);
        c->keep_alive = head->keep_alive;
        c->is_http10 = head->minor == 0;
        c->is_head_request = head->method == SG_METHOD_HEAD;
        c->expects_continue = head->expects_continue;
        c->framing = FRAMING_NONE;
        c->exchange = sg_exchange_new(c, c->worker, head);
        if (!c->exchange) {
                sg_client_close(c, SG_FAIL_INTERNAL);
                return;
        }
        if (!is_whole)
                sg_exchange_run(c->exchange);
}

/* One event of the codec; false when it needs more bytes than there are. */
static bool client_take(struct sg_client *c, struct sg_str in, size_t *used)
{
        struct sg_h1_event ev;
        int r = sg_h1_next(&c->h1, in, &c->worker->head, &ev);

        if (r) {
                *used = in.n;
                client_refuse(c, sg_failure_of_h1(r));
                return true;
        }
        *used = ev.used;
        switch (ev.kind) {
        case SG_H1_MORE:
                if (in.n > ev.used && (c->state == CLIENT_FRESH || c->state == CLIENT_IDLE))
                        client_go(c, CLIENT_HEAD);
                return false;
        case SG_H1_HEAD:
                client_begin(c, &c->worker->head, in.n - ev.used);
                return true;
        case SG_H1_BODY:
                c->expects_continue = false;
                sg_timer_start(&c->timer, c->snapshot->config->body_timeout_usec);
                sg_exchange_body(c->exchange, ev.bytes);
                return true;
        case SG_H1_TRAILERS:
                return true;
        case SG_H1_END:
                client_go(c, CLIENT_ANSWER);
                sg_exchange_body_end(c->exchange);
                return true;
        }
        SG_UNREACHABLE();
}

/* Who sends requests and reads no answers gets no further: client_on_drained() goes on. */
static bool client_wants_bytes(const struct sg_client *c)
{
        return c->state <= CLIENT_BODY && !(c->state == CLIENT_IDLE && sg_stream_is_full(c->stream));
}

/* What a pipelining client has sent meanwhile is given again. */
static void client_parse_on(struct sg_client *c)
{
        if (c->in_bytes)
                return;
        sg_stream_pause(c->stream);
        sg_stream_resume(c->stream);
}

static size_t client_on_bytes(struct sg_stream *s, struct sg_str bytes, void *owner)
{
        struct sg_client *c = owner;
        size_t used = 0;

        c->in_bytes = true;
        while (client_wants_bytes(c)) {
                size_t n = 0;
                bool goes_on = client_take(c, sg_str_skip(bytes, used), &n);

                used += n;
                if (!goes_on)
                        break;
        }
        c->in_bytes = false;
        return c->state >= CLIENT_LINGER ? bytes.n : used;
}

static void client_on_drained(struct sg_stream *s, void *owner)
{
        struct sg_client *c = owner;

        if (c->charged_bytes)
                client_charge(c, sg_stream_queued(s));
        switch (c->state) {
        case CLIENT_ANSWER:
                sg_timer_stop(&c->timer);
                if (sg_stream_queued(s))
                        client_await_writing(c);
                sg_exchange_client_drained(c->exchange);
                return;
        case CLIENT_IDLE:
                enter_idle(c);
                client_parse_on(c);
                return;
        case CLIENT_LINGER:
                if (sg_stream_queued(s))
                        return;
                if (c->peer_eof)
                        sg_client_close(c, SG_FAIL_NONE);
                else
                        sg_timer_start(&c->timer, LINGER_USEC);
                return;
        default:
                return;
        }
}

/* Scanners do this all day: some lines are written, the rest is counted. */
static void client_tell_tls(struct sg_client *c)
{
        struct sg_worker *w = c->worker;
        const char *words = sg_stream_end_text(c->stream);
        const struct sg_log_field fields[] = {{"SCRIBE_CLIENT", sg_str_from(sg_client_peer(c))},
                                              {"SCRIBE_REASON", sg_str_from(sg_failure_name(SG_FAIL_CLIENT_TLS))},
                                              {"SCRIBE_DETAIL", sg_str_from(words)}};

        sg_count(&w->counters.by_failure[SG_FAIL_CLIENT_TLS], 1);
        if (sg_repeats_take(&w->repeats, SG_FAIL_CLIENT_TLS, sg_loop_now_usec(w->loop)))
                sg_log_line(SG_LOG_INFO, NULL, fields, SG_N_ELEMENTS(fields), "no TLS with client %s: %s",
                            sg_client_peer(c), words);
}

static void client_on_end(struct sg_stream *s, enum sg_stream_end why, void *owner)
{
        struct sg_client *c = owner;

        c->peer_eof = true;
        if (why == SG_STREAM_END_TLS && c->state == CLIENT_FRESH)
                client_tell_tls(c);
        if (why == SG_STREAM_END_EOF && sg_stream_queued(s) > 0) {
                if (c->state == CLIENT_LINGER)
                        return; /* the answer is still on its way out */
                if (c->state == CLIENT_IDLE) {
                        client_go(c, CLIENT_LINGER);
                        return;
                }
        }
        sg_client_close(c, SG_FAIL_CLIENT_GONE);
}

static const struct sg_stream_listener client_listener = {
        .on_bytes = client_on_bytes,
        .on_drained = client_on_drained,
        .on_end = client_on_end,
};

/* ---- birth and death */

static void client_free(struct sg_deferred *d)
{
        struct sg_client *c = SG_CONTAINER(d, struct sg_client, freeing);

        SG_ASSERT(c->state == CLIENT_CLOSED);
        sg_timer_done(&c->timer);
        sg_snapshot_unref(c->snapshot);
        c->magic = 0;
        free(c);
}

struct sg_client *sg_client_of_link(struct sg_link *of_worker)
{
        return SG_CONTAINER(of_worker, struct sg_client, link);
}

/* fd is the caller's when this fails. */
static struct sg_client *client_new(struct sg_worker *w, int fd)
{
        struct sg_client *c = calloc(1, sizeof(*c));

        if (!c || sg_timer_init(&c->timer, w->loop, client_on_time, c)) {
                free(c);
                return NULL;
        }
        if (sg_stream_new_fd(&c->stream, w->loop, fd, NULL, &client_listener, c)) {
                sg_timer_done(&c->timer);
                free(c);
                return NULL;
        }
        c->magic = CLIENT_MAGIC;
        c->worker = w;
        c->id = ++w->next_id;
        c->freeing.run = client_free;
        c->snapshot = sg_worker_snapshot(w);
        return c;
}

/* A listener that the configuration has no more is never spoken to in the clear by mistake: false. */
static bool client_put_tls(struct sg_client *c, const char *listener)
{
        const struct sg_snapshot_listener *l = sg_snapshot_listener(c->snapshot, listener);
        struct sg_layer *layer;

        if (!l || (l->identity && sg_tls_server_layer(&layer, l->identity)))
                return false;
        if (l->identity)
                sg_tls_apply(c->stream, layer);
        return true;
}

static void client_check_room(struct sg_client *c, uint64_t n_connections)
{
        const struct sg_config *config = c->snapshot->config;
        struct sg_worker *w = c->worker;

        if (n_connections < config->connections_max)
                return;
        tell_full(w, config);
        if (n_connections < config->connections_max + OVER_LIMIT_MAX) {
                client_refuse(c, SG_FAIL_CONNECTIONS_FULL);
                return;
        }
        sg_count(&w->counters.by_failure[SG_FAIL_CONNECTIONS_FULL], 1);
        sg_client_close(c, SG_FAIL_CONNECTIONS_FULL);
}

void sg_client_accept(struct sg_worker *w, int fd, const char *listener)
{
        struct sg_client *c = client_new(w, fd);
        struct sg_h1_limits limits;
        uint64_t n_connections;

        if (!c) {
                close(fd);
                return;
        }
        limits = (struct sg_h1_limits){.head_bytes = c->snapshot->config->head_bytes_max,
                                       .body_bytes = c->snapshot->config->body_bytes_max};
        sg_h1_init(&c->h1, SG_H1_SERVER, &limits);
        sg_list_push(&w->clients, &c->link);
        sg_count(&w->counters.n_clients, 1);
        sg_count(&w->counters.n_accepted, 1);
        n_connections = atomic_fetch_add_explicit(&w->shared->n_connections, 1, memory_order_relaxed);
        enter_fresh(c);
        if (!client_put_tls(c, listener)) {
                sg_client_close(c, SG_FAIL_INTERNAL);
                return;
        }
        sg_stream_resume(c->stream);
        client_check_room(c, n_connections);
}

void sg_client_close(struct sg_client *c, enum sg_failure reason)
{
        struct sg_exchange *x = c->exchange;

        if (c->state == CLIENT_CLOSED)
                return;
        c->exchange = NULL;
        if (x)
                sg_exchange_client_gone(x, reason == SG_FAIL_NONE ? SG_FAIL_CLIENT_GONE : reason);
        client_go(c, CLIENT_CLOSED);
}

void sg_client_drain(struct sg_client *c)
{
        /* What was accepted may still send its request; what sits between two requests gets a moment, in case one is on
         * its way, and closes. */
        if (c->state == CLIENT_IDLE)
                enter_idle(c);
}

void sg_client_cut(struct sg_client *c)
{
        if (c->state == CLIENT_IDLE && sg_stream_queued(c->stream))
                client_go(c, CLIENT_LINGER);
        else if (c->state == CLIENT_LINGER)
                sg_timer_start(&c->timer, LINGER_USEC);
        else if (!c->exchange)
                sg_client_close(c, SG_FAIL_NONE);
}

/* ---- answers */

static void client_write(struct sg_client *c, const struct sg_str *pieces, size_t n)
{
        for (size_t i = 0; i < n; i++)
                c->given_bytes += pieces[i].n;
        if (sg_stream_write(c->stream, pieces, n))
                return; /* on_end tells */
        if (sg_stream_queued(c->stream) && !sg_timer_is_running(&c->timer))
                client_await_writing(c);
}

/* Adds a body's pieces in the answer's framing; returns the new count. */
static size_t client_frame(struct sg_client *c, struct sg_str *out, size_t n_out,
                           char chunk_head[SG_H1_CHUNK_HEAD_BYTES], const struct sg_str *pieces, size_t n_pieces,
                           bool is_last)
{
        size_t n_bytes = 0;

        SG_ASSERT(n_out + n_pieces + 4 <= CLIENT_PIECES_MAX);
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

static int client_add_head(struct sg_client *c, struct sg_buf *b, unsigned status, struct sg_str fields,
                           bool has_length, uint64_t length)
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

void sg_client_send_head(struct sg_client *c, unsigned status, struct sg_str fields, bool has_length, uint64_t length,
                         const struct sg_str *pieces, size_t n_pieces, bool is_last)
{
        struct sg_buf *head = &c->worker->out;
        struct sg_str out[CLIENT_PIECES_MAX];
        char chunk_head[SG_H1_CHUNK_HEAD_BYTES];
        size_t n;

        if (status == 204 || status == 304)
                c->framing = FRAMING_NONE;
        else if (has_length)
                c->framing = FRAMING_LENGTH;
        else
                c->framing = c->is_http10 ? FRAMING_CLOSE : FRAMING_CHUNKED;
        if (c->state != CLIENT_ANSWER || c->worker->is_draining || c->framing == FRAMING_CLOSE)
                c->keep_alive = false;
        sg_buf_clear(head);
        if (client_add_head(c, head, status, fields, has_length, length)) {
                sg_client_break(c);
                return;
        }
        out[0] = sg_buf_view(head);
        n = client_frame(c, out, 1, chunk_head, pieces, n_pieces, is_last);
        client_write(c, out, n);
}

void sg_client_send(struct sg_client *c, const struct sg_str *pieces, size_t n_pieces, bool is_last)
{
        struct sg_str out[CLIENT_PIECES_MAX];
        char chunk_head[SG_H1_CHUNK_HEAD_BYTES];
        size_t n = client_frame(c, out, 0, chunk_head, pieces, n_pieces, is_last);

        if (n)
                client_write(c, out, n);
}

void sg_client_send_continue(struct sg_client *c)
{
        static const struct sg_str interim = {"HTTP/1.1 100 Continue\r\n\r\n", 25};

        if (!c->expects_continue || c->state != CLIENT_BODY)
                return;
        c->expects_continue = false;
        client_write(c, &interim, 1);
}

void sg_client_break(struct sg_client *c)
{
        c->is_broken = true;
        c->keep_alive = false;
}

void sg_client_exchange_over(struct sg_client *c)
{
        SG_ASSERT(c->exchange);
        c->exchange = NULL;
        client_charge(c, sg_stream_queued(c->stream));
        if (c->state != CLIENT_ANSWER || !c->keep_alive || c->is_broken) {
                client_go(c, CLIENT_LINGER);
                return;
        }
        client_go(c, CLIENT_IDLE);
        client_parse_on(c);
}

bool sg_client_is_full(const struct sg_client *c)
{
        return sg_stream_is_full(c->stream);
}

const char *sg_client_peer(const struct sg_client *c)
{
        return sg_stream_peer(c->stream);
}
