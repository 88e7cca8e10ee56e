/*
 * relay: the provider's answer on its way to the client. How it is handled is decided at its head:
 *
 *   stream   event by event; a whole event or nothing goes out, so that an error can be put between two of them; the
 *            terminal event waits for the close record
 *   hold     a JSON answer goes out when it is whole and is what it says: what breaks off before is a clean 502
 *   raw      bytes as they come, for the paths that are only passed on; the end waits for the close record
 *   error    a status of 400 and more: collected and mapped (failure.c)
 */
#include <stdio.h>
#include <stdlib.h>

#include "gateway/connect.h"
#include "gateway/exchange.h"
#include "gateway/service.h"

#define PROVIDER_ERROR_BYTES_MAX (64u * 1024u)

/* ---- the head */

static bool is_returned(const struct sg_exchange *x, const struct sg_head *head, const struct sg_header *h)
{
        static const struct sg_str not_returned[] = {
                {"content-length", 14},
                {"set-cookie", 10},
                {"x-request-id", 12},
                {"alt-svc", 7},
                {"strict-transport-security", 25},
                {"www-authenticate", 16},
                {"server", 6},
        };

        if (sg_header_is_hop(head, h))
                return false;
        if (x->mode != SG_RELAY_RAW && x->mode != SG_RELAY_STREAM &&
            (sg_str_ieq(h->name, SG_STR("content-type")) || sg_str_ieq(h->name, SG_STR("content-encoding"))))
                return false; /* the answer is JSON then, by our own word */
        for (size_t i = 0; i < SG_N_ELEMENTS(not_returned); i++)
                if (sg_str_ieq(h->name, not_returned[i]))
                        return false;
        return true;
}

static int take_fields(struct sg_exchange *x, const struct sg_head *head)
{
        int r;

        if (x->serving)
                return sg_service_take_fields(x, head);
        r = sg_h1_add_header(&x->fields, SG_STR("x-request-id"), sg_str_from(x->request_id));

        if (!r && !sg_head_find(head, SG_STR("date")))
                r = sg_h1_add_header(&x->fields, SG_STR("date"), sg_worker_date(x->worker));
        for (size_t i = 0; !r && i < head->n_headers; i++)
                if (is_returned(x, head, &head->headers[i]))
                        r = sg_h1_add_header(&x->fields, head->headers[i].name, head->headers[i].value);
        return r;
}

static enum sg_failure choose_mode(struct sg_exchange *x, const struct sg_head *head)
{
        struct sg_str encoding = sg_head_value(head, SG_STR("content-encoding"));

        if ((head->status < 200 && !(head->status == 101 && x->serving)) || head->status > 599)
                return SG_FAIL_UPSTREAM_GARBAGE; /* switched to a protocol that nobody asked for, or knows */
        if (x->serving) {
                x->mode = SG_RELAY_RAW;
                return SG_FAIL_NONE;
        }
        if (head->status >= 400) {
                x->mode = SG_RELAY_ERROR;
                return SG_FAIL_NONE;
        }
        if (x->op == SG_OP_PASS) {
                x->mode = SG_RELAY_RAW;
                return SG_FAIL_NONE;
        }
        if (head->status >= 300)
                return SG_FAIL_UPSTREAM_REDIRECT;
        if (encoding.n && !sg_str_ieq(encoding, SG_STR("identity")))
                return SG_FAIL_UPSTREAM_ENCODED;
        x->mode = sg_str_istarts(sg_head_value(head, SG_STR("content-type")), SG_STR("text/event-stream"))
                          ? SG_RELAY_STREAM
                          : SG_RELAY_HOLD;
        return SG_FAIL_NONE;
}

/* Comments and blank lines keep a connection alive, but they are no answer: only what is one feeds the timer. */
static void relay_progress(struct sg_exchange *x)
{
        if (!x->has_progress) {
                x->has_progress = true;
                x->first_byte_usec = sg_loop_now_usec(x->worker->loop) - x->start_usec;
        }
        sg_timer_start(&x->timer, sg_exchange_between_bytes_usec(x));
}

static void relay_fail(struct sg_exchange *x, enum sg_failure f)
{
        sg_exchange_fail(x, f, NULL);
        sg_exchange_drop_upstream(x);
        sg_exchange_finish(x);
}

static void relay_on_sent(struct sg_upcall *c, void *owner)
{
        struct sg_exchange *x = owner;

        x->is_sent = true;
        if (x->stage == SG_STAGE_SEND)
                sg_exchange_run(x);
}

/* The head and the first bytes go out in one write; a body that does not come at once is waited for until the end of the
 * turn. */
static void relay_raw_head(struct sg_exchange *x, const struct sg_head *head)
{
        x->has_length = head->has_length;
        x->length = head->length;
        x->has_head = true;
        relay_progress(x);
        sg_loop_defer(x->worker->loop, &x->deferred);
}

static void send_raw_head(struct sg_exchange *x, struct sg_str bytes)
{
        x->has_begun = true;
        sg_client_send_head(x->client, x->status, sg_buf_view(&x->fields), x->has_length, x->length, &bytes,
                            bytes.n ? 1 : 0, false);
}

void sg_relay_send_head(struct sg_exchange *x)
{
        if (x->stage == SG_STAGE_RELAY && x->has_head && !x->has_begun)
                send_raw_head(x, SG_STR_NONE);
}

/* How the endpoint is to be judged, as far as its head tells; a trial is over with it, however long the answer is. */
static void judge_service(struct sg_exchange *x)
{
        const bool is_bad = x->upstream_status == 502 || x->upstream_status == 503 || x->upstream_status == 504;
        char text[32];

        if (is_bad) {
                (void)snprintf(text, sizeof(text), "status %u", x->upstream_status);
                sg_service_settle(x, SG_BACKEND_ERROR, text);
        } else if (x->serving->pick.is_trial) {
                sg_service_answered(x);
        }
}

static bool begin_streaming(struct sg_exchange *x)
{
        x->streaming = calloc(1, sizeof(*x->streaming));
        if (!x->streaming)
                return false;
        sg_sse_init(&x->streaming->sse, 0);
        sg_llm_stream_init(&x->streaming->stream, x->op, !x->asked->llm->request.wants_usage);
        return true;
}

static void relay_on_head(struct sg_upcall *c, const struct sg_head *head, void *owner)
{
        struct sg_exchange *x = owner;
        enum sg_failure f;

        relay_on_sent(c, x); /* an answer may come before all of the request is sent */
        if (x->stage != SG_STAGE_RELAY)
                return;
        x->upstream_status = head->status;
        f = choose_mode(x, head);
        if (f != SG_FAIL_NONE) {
                sg_exchange_note(x, "status %u", head->status);
                relay_fail(x, f);
                return;
        }
        if (take_fields(x, head)) {
                relay_fail(x, SG_FAIL_INTERNAL);
                return;
        }
        if (x->mode == SG_RELAY_STREAM && !begin_streaming(x)) {
                relay_fail(x, SG_FAIL_INTERNAL);
                return;
        }
        sg_exchange_release_request(x);
        if (x->mode != SG_RELAY_ERROR) /* of which sg_relay_take_error() decides */
                x->status = head->status;
        if (x->serving) {
                judge_service(x);
                sg_service_keep_no_more(x);
        }
        if (x->status == 101) {
                x->has_begun = true;
                relay_progress(x);
                if (!sg_service_switch(x, head))
                        relay_fail(x, SG_FAIL_UPSTREAM_GARBAGE);
        } else if (x->mode == SG_RELAY_RAW) {
                relay_raw_head(x, head);
        }
}

/* ---- the body */

/* A provider may repeat the gateway's own credential in its words ("Incorrect API key: …"); neither client nor log sees
 * it. */
static bool redact(const struct sg_exchange *x, char *text)
{
        struct sg_str key = x->provider->config->api_key ? sg_secret_bytes(x->provider->config->api_key) : SG_STR_NONE;
        bool has_found = false;

        if (key.n == 0)
                return false;
        for (;;) {
                struct sg_str all = sg_str_from(text);
                size_t at = sg_str_find(all, key);

                if (at == all.n)
                        return has_found;
                memset(text + at, '*', key.n);
                has_found = true;
        }
}

static bool has_credential(const struct sg_exchange *x, struct sg_str bytes)
{
        struct sg_str key = x->provider->config->api_key ? sg_secret_bytes(x->provider->config->api_key) : SG_STR_NONE;

        return key.n && sg_str_find(bytes, key) < bytes.n;
}

static void relay_send(struct sg_exchange *x, struct sg_str bytes)
{
        if (bytes.n == 0)
                return;
        x->relayed_bytes += bytes.n;
        if (x->has_begun) {
                sg_client_send(x->client, &bytes, 1, false);
        } else if (x->mode == SG_RELAY_RAW) {
                send_raw_head(x, bytes);
        } else {
                x->has_begun = true;
                sg_client_send_head(x->client, x->status, sg_buf_view(&x->fields), false, 0, &bytes, 1, false);
        }
        if (x->upcall && sg_client_is_full(x->client)) {
                /* The client's write_timeout watches now; the provider's silence would be our own doing. */
                x->is_paused = true;
                sg_upcall_pause(x->upcall);
                sg_timer_stop(&x->timer);
        }
}

/* What goes out of one read, in one write: a view as long as events lie side by side, a copy otherwise. */
struct outgoing {
        struct sg_str in; /* the piece that was read: views into it last */
        struct sg_str view;
        struct sg_buf *copy;
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

/* One event. Returns false when the exchange is at its end (x->failure says how). */
static bool stream_event(struct sg_exchange *x, const struct sg_sse_event *ev, struct outgoing *o)
{
        struct sg_llm_fault fault = {0};
        struct sg_str replacement;
        int r = 0;

        if (ev->has_data)
                relay_progress(x);
        switch (sg_llm_stream_event(&x->streaming->stream, ev, &replacement, &fault)) {
        case SG_EVENT_PASS:
                r = outgoing_add(o, ev->raw);
                break;
        case SG_EVENT_REPLACE: {
                struct outgoing copied = *o;

                copied.in = SG_STR_NONE;
                r = outgoing_add(&copied, replacement);
                o->view = copied.view;
                break;
        }
        case SG_EVENT_DROP:
                break;
        case SG_EVENT_ERROR:
                redact(x, fault.text);
                /* an end event that comes too early is no report of an error: the answer broke off */
                sg_exchange_fail(x,
                                 sg_str_eq(ev->data, SG_STR("[DONE]")) ? SG_FAIL_UPSTREAM_TRUNCATED
                                                                       : SG_FAIL_PROVIDER_IN_BAND,
                                 "%s", fault.text);
                return false;
        case SG_EVENT_GARBAGE:
                redact(x, fault.text);
                sg_exchange_note(x, "%s", fault.text);
                sg_exchange_fail(x, SG_FAIL_UPSTREAM_GARBAGE, NULL);
                return false;
        case SG_EVENT_LAST:
                r = sg_buf_add(&x->tail, outgoing_bytes(o));
                if (!r)
                        r = sg_buf_add(&x->tail, ev->raw);
                o->view = SG_STR_NONE;
                sg_buf_clear(o->copy);
                if (r)
                        sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
                return false;
        }
        if (r)
                sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        return r == 0;
}

static void stream_bytes(struct sg_exchange *x, struct sg_str bytes)
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
                sg_exchange_fail(x, SG_FAIL_UPSTREAM_TOO_LARGE, NULL);
        else if (r && r != SG_SSE_E_MORE)
                sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        relay_send(x, outgoing_bytes(&o));
        if (x->failure != SG_FAIL_NONE) {
                sg_exchange_drop_upstream(x);
                sg_exchange_finish(x);
        } else if (sg_buf_length(&x->tail)) {
                sg_exchange_finish(x);
        }
}

static void raw_bytes(struct sg_exchange *x, struct sg_str bytes)
{
        relay_progress(x);
        if (x->has_length && x->relayed_bytes + bytes.n >= x->length) {
                if (sg_buf_add(&x->tail, bytes)) /* the last bytes wait for the record */
                        relay_fail(x, SG_FAIL_INTERNAL);
                return;
        }
        relay_send(x, bytes);
}

/* What JSON calls white space, which a provider may send while the request waits for its turn. */
static bool is_blank(struct sg_str bytes)
{
        for (size_t i = 0; i < bytes.n; i++)
                if (bytes.p[i] != ' ' && bytes.p[i] != '\n' && bytes.p[i] != '\r' && bytes.p[i] != '\t')
                        return false;
        return true;
}

static void held_bytes(struct sg_exchange *x, struct sg_str bytes, size_t bytes_max)
{
        uint64_t held;
        int r;

        if (!is_blank(bytes))
                relay_progress(x);
        if (sg_buf_length(&x->answer) + bytes.n > bytes_max) {
                if (x->mode == SG_RELAY_HOLD)
                        relay_fail(x, SG_FAIL_UPSTREAM_TOO_LARGE);
                return; /* of an error, the beginning is enough */
        }
        held = atomic_fetch_add_explicit(&x->worker->shared->bodies_bytes, bytes.n, memory_order_relaxed);
        x->charged_bytes += bytes.n;
        r = sg_buf_add(&x->answer, bytes);
        if (r)
                relay_fail(x, r == SG_BUF_E_FULL ? SG_FAIL_UPSTREAM_TOO_LARGE : SG_FAIL_INTERNAL);
        else if (held + bytes.n > x->snapshot->config->bodies_bytes_max)
                relay_fail(x, SG_FAIL_BODIES_FULL);
}

static void relay_on_body(struct sg_upcall *c, struct sg_str bytes, void *owner)
{
        struct sg_exchange *x = owner;

        if (x->stage != SG_STAGE_RELAY)
                return; /* after the terminal event */
        switch (x->mode) {
        case SG_RELAY_STREAM:
                stream_bytes(x, bytes);
                return;
        case SG_RELAY_RAW:
                raw_bytes(x, bytes);
                return;
        case SG_RELAY_HOLD:
                held_bytes(x, bytes, x->snapshot->config->body_bytes_max);
                return;
        case SG_RELAY_ERROR:
                held_bytes(x, bytes, PROVIDER_ERROR_BYTES_MAX);
                return;
        case SG_RELAY_NONE:
                break;
        }
        SG_UNREACHABLE();
}

static void relay_on_room(struct sg_upcall *c, void *owner)
{
        struct sg_exchange *x = owner;

        if (x->serving && x->stage < SG_STAGE_ACCOUNT)
                sg_service_room(x);
}

static void relay_on_trailers(struct sg_upcall *c, const struct sg_head *trailers, void *owner)
{
        struct sg_exchange *x = owner;

        if (x->serving && x->stage == SG_STAGE_RELAY && sg_service_take_trailers(x, trailers))
                relay_fail(x, SG_FAIL_UPSTREAM_TOO_LARGE);
}

/* ---- the end */

static void hold_end(struct sg_exchange *x)
{
        struct sg_llm_fault fault = {0};
        struct sg_llm_answer answer;
        int r = sg_llm_answer_read(&answer, x->op, sg_buf_view(&x->answer), &fault);

        if (r)
                redact(x, fault.text);
        if (r == SG_LLM_E_IN_BAND) {
                sg_exchange_fail(x, SG_FAIL_PROVIDER_IN_BAND, "%s", fault.text);
        } else if (r) {
                sg_exchange_note(x, "%s", fault.text);
                sg_exchange_fail(x, SG_FAIL_UPSTREAM_GARBAGE, NULL);
        } else {
                x->usage = answer.usage;
                sg_usage_fill_input(&x->usage, x->prompt_bytes);
                if (sg_buf_add(&x->fields, SG_STR("content-type: application/json\r\n")))
                        sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
                else
                        x->is_answer_ready = true;
        }
}

/* The provider's error, mapped: what is the client's business keeps its status and, in the same dialect, its bytes;
 * what is between the gateway and the provider (credential, balance) is a 502. */
void sg_relay_take_error(struct sg_exchange *x)
{
        enum sg_failure f = sg_failure_of_status(x->upstream_status);
        struct sg_llm_provider_error e;
        bool has_form = sg_llm_error_read(&e, sg_buf_view(&x->answer));
        bool is_redacted = has_form && redact(x, e.message); /* in any case: the message is shown below */
        bool is_secret = is_redacted || (has_form && has_credential(x, sg_buf_view(&x->answer)));
        bool is_clients = f == SG_FAIL_PROVIDER_REFUSED || f == SG_FAIL_PROVIDER_RATE || f == SG_FAIL_PROVIDER_ERROR;

        sg_exchange_note(x, "status %u: %.200s", x->upstream_status, has_form ? e.message : "");
        x->status = is_clients && has_form ? x->upstream_status : sg_failure_row(f)->status;
        if (is_clients && has_form && !is_secret && x->surface == SG_SURFACE_OPENAI) {
                x->failure = f;
                x->is_answer_ready = true;
                if (sg_buf_add(&x->fields, SG_STR("content-type: application/json\r\n")))
                        x->is_answer_ready = false;
                return;
        }
        if (is_clients && has_form)
                sg_exchange_fail(x, f, "%s", e.message);
        else
                sg_exchange_fail(x, f, NULL);
}

static void relay_end(struct sg_exchange *x)
{
        switch (x->mode) {
        case SG_RELAY_STREAM:
                if (!sg_llm_stream_is_complete(&x->streaming->stream) || sg_sse_carried(&x->streaming->sse))
                        sg_exchange_fail(x, SG_FAIL_UPSTREAM_TRUNCATED, NULL);
                break;
        case SG_RELAY_HOLD:
                hold_end(x);
                break;
        case SG_RELAY_ERROR:
                sg_relay_take_error(x);
                break;
        case SG_RELAY_RAW:
        case SG_RELAY_NONE:
                break;
        }
        sg_exchange_finish(x);
}

static void relay_over(struct sg_exchange *x)
{
        x->upcall_is_over = true;
        if (x->stage == SG_STAGE_RELAY)
                relay_end(x);
        else if (x->stage == SG_STAGE_OVER)
                sg_exchange_run(x); /* lets go */
}

static void relay_on_end(struct sg_upcall *c, void *owner)
{
        relay_over(owner);
}

static void relay_on_failed(struct sg_upcall *c, enum sg_upstream_fault why, const char *text, void *owner)
{
        struct sg_exchange *x = owner;

        if (x->stage < SG_STAGE_ACCOUNT) {
                if (x->mode == SG_RELAY_ERROR) { /* its status says enough */
                        relay_over(x);
                        return;
                }
                if (x->serving && sg_service_try_again(x, sg_failure_of_upstream(why), text))
                        return;
                sg_exchange_note(x, "%s", text ? text : "");
                x->upcall_is_over = true;
                sg_exchange_fail(x, sg_failure_of_upstream(why), NULL);
                sg_exchange_finish(x);
                return;
        }
        relay_over(x);
}

const struct sg_upcall_listener sg_relay_listener = {
        .on_sent = relay_on_sent,
        .on_room = relay_on_room,
        .on_head = relay_on_head,
        .on_body = relay_on_body,
        .on_trailers = relay_on_trailers,
        .on_end = relay_on_end,
        .on_failed = relay_on_failed,
};

enum sg_step sg_stage_relay(struct sg_exchange *x)
{
        return SG_STEP_WAIT;
}
