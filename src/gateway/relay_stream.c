/*
 * Streams on their way to the client. A whole event or nothing goes out, so that an error can be put between two of them;
 * the terminal event waits for the close record. Comments and pings that come before the first event are held for a moment:
 * while nothing has gone out, another provider can still take the place of this one.
 */
#include "gateway/attempts.h"
#include "gateway/relay.h"

#define COMMENTS_HELD_USEC  (3 * SG_USEC_PER_SEC) /* then the client hears that it is not forgotten */
#define COMMENTS_HELD_BYTES 4096u

/* What goes out of one read, in one write: a view as long as events lie side by side, a copy otherwise. */
struct outgoing {
        struct sg_str in; /* the piece that was read: views into it last */
        struct sg_str view;
        struct sg_buf *copy;
        bool has_event; /* not only comments and pings */
        /* how it ended */
        enum sg_failure failure;
        struct sg_llm_fault fault;
};

static int outgoing_add(struct outgoing *o, struct sg_str s)
{
        bool lasts = s.p >= o->in.p && s.p + s.n <= o->in.p + o->in.n;
        int r;

        if (lasts && sg_buf_length(o->copy) == 0 && (o->view.n == 0 || o->view.p + o->view.n == s.p)) {
                o->view = o->view.n ? sg_str_make(o->view.p, o->view.n + s.n) : s;
                return 0;
        }
        if (o->view.n) {
                r = sg_buf_add(o->copy, o->view);
                if (r)
                        return r;
                o->view = SG_STR_NONE;
        }
        return sg_buf_add(o->copy, s);
}

static struct sg_str outgoing_bytes(const struct outgoing *o)
{
        return o->view.n ? o->view : sg_buf_view(o->copy);
}

static int add_replacement(struct outgoing *o, struct sg_str replacement)
{
        struct outgoing copied = *o;
        int r;

        copied.in = SG_STR_NONE; /* it lasts until the next event only */
        r = outgoing_add(&copied, replacement);
        o->view = copied.view;
        return r;
}

/* Each ends with a blank line, and holds none. */
static uint64_t count_events(struct sg_str bytes)
{
        uint64_t n = 0;

        for (;;) {
                const size_t at = sg_str_find(bytes, SG_STR("\n\n"));

                if (at == bytes.n)
                        return n;
                n++;
                bytes = sg_str_skip(bytes, at + 2);
        }
}

static int translate_event(struct sg_exchange *x, struct outgoing *o, const struct sg_sse_event *ev)
{
        const size_t n_before = sg_buf_length(o->copy);
        const int r = sg_translator_event(x->streaming->translator, ev, o->copy, &o->fault);

        if (x->surface == SG_SURFACE_RESPONSES)
                x->streaming->n_given += count_events(sg_str_skip(sg_buf_view(o->copy), n_before));
        return r;
}

/* In the client's dialect. Comments are the same in all of them. */
static int add_event(struct sg_exchange *x, struct outgoing *o, const struct sg_sse_event *ev)
{
        if (!x->streaming->translator || !ev->has_data) {
                x->streaming->n_given += ev->has_data;
                return outgoing_add(o, ev->raw);
        }
        if (o->view.n) {
                int r = sg_buf_add(o->copy, o->view);

                if (r)
                        return r;
                o->view = SG_STR_NONE;
        }
        return translate_event(x, o, ev);
}

/* The terminal event, behind what came with it, waits for the record. */
static int add_last(struct sg_exchange *x, struct outgoing *o, const struct sg_sse_event *ev)
{
        int r = add_event(x, o, ev);

        if (!r && sg_buf_length(&x->answer) && !x->has_begun)
                r = sg_buf_add(&x->tail, sg_buf_view(&x->answer));
        if (!r)
                r = sg_buf_add(&x->tail, outgoing_bytes(o));
        o->view = SG_STR_NONE;
        sg_buf_clear(o->copy);
        return r;
}

/* Of a provider whose events keep a connection alive ("ping"). */
static bool is_news(const struct sg_sse_event *ev)
{
        return ev->has_data && !sg_str_eq(ev->name, SG_STR("ping"));
}

static void fail(struct outgoing *o, int r)
{
        o->failure = r == SG_LLM_E_NOT_JSON || r == SG_LLM_E_BAD_FIELD ? SG_FAIL_UPSTREAM_GARBAGE
                     : r == SG_BUF_E_FULL                              ? SG_FAIL_UPSTREAM_TOO_LARGE
                                                                       : SG_FAIL_INTERNAL;
}

/* One event. Returns false when the stream is at its end (o->failure says how). */
static bool stream_event(struct sg_exchange *x, const struct sg_sse_event *ev, struct outgoing *o)
{
        struct sg_str replacement;
        bool goes_on = true;
        int r = 0;

        if (is_news(ev))
                sg_relay_progress(x);
        switch (sg_llm_stream_event(&x->streaming->stream, ev, &replacement, &o->fault)) {
        case SG_EVENT_PASS:
                r = add_event(x, o, ev);
                o->has_event |= is_news(ev);
                break;
        case SG_EVENT_REPLACE:
                SG_ASSERT(!x->streaming->translator);
                r = add_replacement(o, replacement);
                o->has_event = true;
                break;
        case SG_EVENT_DROP:
                break;
        case SG_EVENT_ERROR:
                x->attempts->refusal = x->streaming->stream.refusal;
                /* an end that comes too early is no report of an error: the answer broke off */
                o->failure = x->streaming->stream.ended_early ? SG_FAIL_UPSTREAM_TRUNCATED : SG_FAIL_PROVIDER_IN_BAND;
                return false;
        case SG_EVENT_GARBAGE:
                o->failure = SG_FAIL_UPSTREAM_GARBAGE;
                return false;
        case SG_EVENT_LAST:
                r = add_last(x, o, ev);
                goes_on = false;
                break;
        }
        if (r)
                fail(o, r);
        return goes_on && r == 0;
}

static bool may_hold(const struct sg_exchange *x, const struct outgoing *o)
{
        return !x->has_begun && !o->has_event &&
               sg_buf_length(&x->answer) + outgoing_bytes(o).n <= COMMENTS_HELD_BYTES &&
               sg_loop_now_usec(x->worker->loop) - x->attempts->begin_usec < COMMENTS_HELD_USEC;
}

static void stream_fail(struct sg_exchange *x, struct outgoing *o)
{
        sg_relay_redact(x, o->fault.text);
        if (sg_attempts_again(x, o->failure, o->fault.text))
                return;
        if (o->fault.text[0])
                sg_exchange_note(x, "%s", o->fault.text);
        if (o->failure == SG_FAIL_PROVIDER_IN_BAND || o->failure == SG_FAIL_UPSTREAM_TRUNCATED)
                sg_exchange_fail(x, o->failure, "%s", o->fault.text);
        else
                sg_exchange_fail(x, o->failure, NULL);
        sg_exchange_drop_upstream(x);
        sg_exchange_finish(x);
}

static void stop_draining(struct sg_exchange *x)
{
        sg_exchange_note(x, "read on without the client for as many tokens as drain_tokens allows");
        sg_exchange_fail(x, SG_FAIL_CLIENT_GONE, NULL);
        sg_exchange_drop_upstream(x);
        sg_exchange_finish(x);
}

void sg_relay_stream(struct sg_exchange *x, struct sg_str bytes)
{
        struct outgoing o = {.in = bytes, .copy = &x->worker->events};
        struct sg_sse_event ev;
        bool goes_on = true;
        int r;

        sg_buf_clear(o.copy);
        do {
                r = sg_sse_next(&x->streaming->sse, &bytes, &ev);
                if (r == 0)
                        goes_on = stream_event(x, &ev, &o);
        } while (r == 0 && goes_on);
        if (r == SG_SSE_E_TOO_LARGE)
                o.failure = SG_FAIL_UPSTREAM_TOO_LARGE;
        else if (r && r != SG_SSE_E_MORE)
                o.failure = SG_FAIL_INTERNAL;
        if (!may_hold(x, &o))
                sg_relay_send(x, outgoing_bytes(&o));
        else if (sg_buf_add(&x->answer, outgoing_bytes(&o)))
                o.failure = SG_FAIL_INTERNAL;
        if (o.failure != SG_FAIL_NONE)
                stream_fail(x, &o);
        else if (sg_buf_length(&x->tail))
                sg_exchange_finish(x);
        else if (sg_attempts_is_drained(x))
                stop_draining(x);
}

bool sg_relay_stream_is_whole(const struct sg_exchange *x)
{
        return sg_llm_stream_is_complete(&x->streaming->stream) && !sg_sse_carried(&x->streaming->sse);
}
