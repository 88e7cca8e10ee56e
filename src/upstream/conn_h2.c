/*
 * A connection that speaks HTTP/2: the codec, the calls on it, and frames, which go out once per turn of the loop.
 *
 * It takes calls while it is on the pool's list of shared ones: from the handshake to the server's GOAWAY, its end, or
 * until its pool has no use for it. It is busy while it has calls and idle between them; what it becomes when the last
 * has left is decided at the end of the turn (settle()), since calls leave from inside the codec's events.
 *
 * The window of the connection is the sum of those of its streams: a call that is paused holds up no other.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "upstream/upstream_internal.h"

#define STREAMS_MAX      100u
#define STREAM_WINDOW    (256u * 1024u)
#define FORGIVEN_PER_SEC 10

static struct mux *turn_of(struct sg_deferred *d)
{
        return SG_CONTAINER(d, struct mux, turn);
}

void mux_turn_soon(struct conn *n)
{
        if (n->state != CONN_CLOSED && n->state != CONN_LEAVING)
                sg_loop_defer(n->loop, &n->mux->turn);
}

void mux_unshare(struct conn *n)
{
        if (sg_link_is_on_list(&n->mux->link))
                sg_list_remove(&n->pool->shared, &n->mux->link);
        pool_wake(n->pool);
}

void mux_retire(struct conn *n)
{
        mux_unshare(n);
        sg_h2_drain(n->mux->codec);
        mux_turn_soon(n);
}

/* ---- calls */

void mux_attach(struct conn *n, struct sg_upcall *c)
{
        c->conn = n;
        c->conn_number = n->mux->number;
        c->was_reused = n->mux->was_heard;
        sg_list_push(&n->mux->calls, &c->link);
}

void mux_detach(struct sg_upcall *c)
{
        struct conn *n = SG_GIVE(c->conn);

        sg_h2_untie(&c->stream, SG_H2_RESET_CANCEL);
        sg_list_remove(&n->mux->calls, &c->link);
        mux_turn_soon(n);
}

/* The connection is of no use any more. An answer that is whole already stays one. */
static void lose_calls(struct conn *n, bool is_garbage, enum sg_stream_end why, const char *text)
{
        struct sg_link *k;

        mux_unshare(n);
        while ((k = sg_list_first(&n->mux->calls))) {
                struct sg_upcall *c = SG_CONTAINER(k, struct sg_upcall, link);

                mux_detach(c);
                if (c->has_end)
                        continue;
                if (is_garbage)
                        call_fail(c, SG_UPSTREAM_F_GARBAGE, "bad answer from", text);
                else
                        call_broken(c, why, text);
        }
}

static void settle(struct conn *n)
{
        if (!sg_list_is_empty(&n->mux->calls))
                return;
        if (!sg_link_is_on_list(&n->mux->link) || !sg_stream_is_open(n->stream))
                conn_leave(n);
        else if (n->state == CONN_BUSY)
                conn_release(n);
}

/* ---- bytes */

/* False: the codec has found that the server broke the rules. */
static bool write_frames(struct conn *n)
{
        struct sg_buf *out = &n->pool->upstream->out;
        struct sg_str bytes;
        int r;

        do {
                if (sg_stream_is_full(n->stream))
                        return true;
                sg_buf_clear(out);
                r = sg_h2_produce(n->mux->codec, out, H2_FRAMES_ENOUGH);
                bytes = sg_buf_view(out);
                if (bytes.n)
                        (void)!sg_stream_write(n->stream, &bytes, 1); /* what fails is told later in this turn */
        } while (r == 0 && bytes.n);
        return r == 0;
}

static void break_off(struct conn *n)
{
        lose_calls(n, true, SG_STREAM_END_ERROR, "it is not valid HTTP/2");
        conn_leave(n);
}

static void on_turn(struct sg_deferred *d)
{
        struct mux *m = turn_of(d);
        struct conn *n = m->conn;
        bool is_right;

        if (n->state == CONN_CLOSED || n->state == CONN_LEAVING)
                return;
        is_right = write_frames(n);
        if (is_right) {
                SG_LIST_EACH (&m->calls, k)
                        call_h2_look_at(SG_CONTAINER(k, struct sg_upcall, link));
                is_right = write_frames(n); /* what looking has led to */
        }
        if (is_right)
                settle(n);
        else
                break_off(n);
}

/* What bothers us a little now and then, as a PING does, is no abuse. */
static void forgive(struct mux *m)
{
        const uint64_t now_usec = sg_loop_now_usec(m->conn->loop);
        const uint64_t n = (now_usec - m->forgiven_usec) / (SG_USEC_PER_SEC / FORGIVEN_PER_SEC);

        if (n == 0)
                return;
        m->forgiven_usec = now_usec;
        sg_h2_forgive(m->codec, (unsigned)SG_MIN(n, (uint64_t)UINT32_MAX));
}

/* Its SETTINGS have come. */
static void begin_to_serve(struct conn *n)
{
        n->mux->was_heard = true;
        pool_wake(n->pool);
        if (n->state == CONN_BUSY)
                sg_timer_stop(&n->idle);
}

size_t mux_on_bytes(struct conn *n, struct sg_str bytes)
{
        if (!n->mux->was_heard)
                begin_to_serve(n);
        forgive(n->mux);
        if (sg_h2_receive(n->mux->codec, bytes)) {
                (void)write_frames(n); /* a GOAWAY that says why */
                break_off(n);
        } else {
                mux_turn_soon(n);
        }
        return bytes.n;
}

void mux_on_drained(struct conn *n)
{
        mux_turn_soon(n);
}

void mux_on_end(struct conn *n, enum sg_stream_end why, const char *text)
{
        lose_calls(n, false, why, text);
        conn_close(n);
}

/* ---- life */

int mux_new(struct conn *n)
{
        const struct sg_h2_limits limits = {.n_streams_max = STREAMS_MAX,
                                            .stream_window = STREAM_WINDOW,
                                            .connection_window = STREAMS_MAX * STREAM_WINDOW};
        struct mux *m = calloc(1, sizeof(*m));
        int r;

        if (!m)
                return -ENOMEM;
        r = sg_h2_new_client(&m->codec, &limits, &call_h2_events, n);
        if (r) {
                free(m);
                return r;
        }
        m->conn = n;
        m->number = n->pool->upstream->n_opened;
        m->turn.run = on_turn;
        m->forgiven_usec = sg_loop_now_usec(n->loop);
        sg_list_init(&m->calls);
        n->mux = m;
        n->call = NULL;
        n->speech = &h2_speech;
        sg_list_push(&n->pool->shared, &m->link);
        sg_stream_resume(n->stream);
        sg_timer_start(&n->idle, n->pool->at.connect_timeout_usec); /* until it has spoken: others wait for that */
        mux_turn_soon(n);                                           /* the preface */
        return 0;
}

void mux_free(struct conn *n)
{
        struct mux *m = SG_GIVE(n->mux);

        if (!m)
                return;
        SG_ASSERT(sg_list_is_empty(&m->calls) && !sg_link_is_on_list(&m->link));
        sg_loop_undefer(n->loop, &m->turn);
        sg_h2_free(m->codec);
        free(m);
}
