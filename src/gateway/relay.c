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

#include "gateway/attempts.h"
#include "gateway/connect.h"
#include "gateway/dialect.h"
#include "gateway/limiting.h"
#include "gateway/relay.h"
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
        if (sg_limiting_tells(x) && (sg_str_istarts(h->name, SG_STR("x-ratelimit-")) ||
                                     sg_str_istarts(h->name, SG_STR("anthropic-ratelimit-"))))
                return false;                                 /* those of the account there are not the caller's */
        return !sg_str_istarts(h->name, SG_STR("x-scribe-")); /* our own word */
}

static int take_fields(struct sg_exchange *x, const struct sg_head *head)
{
        int r;

        if (x->serving)
                return sg_service_take_fields(x, head);
        r = sg_h1_add_header(&x->fields, SG_STR("x-request-id"), sg_str_from(x->request_id));

        if (!r && !sg_head_find(head, SG_STR("date")))
                r = sg_h1_add_header(&x->fields, SG_STR("date"), sg_worker_date(x->worker));
        if (!r)
                r = sg_attempts_add_fields(x);
        if (!r)
                r = sg_limiting_add_fields(x);
        if (!r && x->surface == SG_SURFACE_ANTHROPIC && !sg_head_find(head, SG_STR("request-id")))
                r = sg_h1_add_header(&x->fields, SG_STR("request-id"), sg_str_from(x->request_id));
        for (size_t i = 0; !r && i < head->n_headers; i++)
                if (is_returned(x, head, &head->headers[i]))
                        r = sg_h1_add_header(&x->fields, head->headers[i].name, head->headers[i].value);
        return r;
}

/* Sound, and text in the form that was asked for, are passed on as they come. */
static bool is_opaque(const struct sg_exchange *x, struct sg_str content_type)
{
        return (x->op == SG_OP_SPEECH || x->op == SG_OP_TRANSCRIPTION) &&
               !sg_str_istarts(content_type, SG_STR("application/json"));
}

static enum sg_failure choose_mode(struct sg_exchange *x, const struct sg_head *head)
{
        struct sg_str encoding = sg_head_value(head, SG_STR("content-encoding"));
        struct sg_str type = sg_head_value(head, SG_STR("content-type"));
        const bool is_stream = sg_str_istarts(type, SG_STR("text/event-stream"));

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
        if (!is_stream && is_opaque(x, type)) {
                x->mode = SG_RELAY_RAW;
                return SG_FAIL_NONE;
        }
        if (encoding.n && !sg_str_ieq(encoding, SG_STR("identity")))
                return SG_FAIL_UPSTREAM_ENCODED;
        x->mode = is_stream ? SG_RELAY_STREAM : SG_RELAY_HOLD;
        return SG_FAIL_NONE;
}

/* Comments and blank lines keep a connection alive, but they are no answer: only what is one feeds the timer. */
void sg_relay_progress(struct sg_exchange *x)
{
        if (!x->has_progress) {
                x->has_progress = true;
                x->first_byte_usec = sg_loop_now_usec(x->worker->loop) - x->start_usec;
        }
        sg_timer_start(&x->timer, sg_exchange_between_bytes_usec(x));
}

static void relay_fail(struct sg_exchange *x, enum sg_failure f)
{
        if (x->attempts && sg_attempts_again(x, f, x->note))
                return;
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
        sg_relay_progress(x);
        sg_loop_defer(x->worker->loop, &x->deferred);
}

/* From here on nothing is tried again. */
static void begin_answer(struct sg_exchange *x)
{
        x->has_begun = true;
        if (!x->attempts)
                return;
        sg_exchange_release_request(x);
        sg_attempts_answered(x);
}

static void send_raw_head(struct sg_exchange *x, struct sg_str bytes)
{
        begin_answer(x);
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

static struct sg_translate_exchange translated_exchange(const struct sg_exchange *x)
{
        return (struct sg_translate_exchange){
                .model = sg_exchange_text(x->model_upstream),
                .request_id = sg_str_from(x->request_id),
                .created_sec = x->start_wall_usec / SG_USEC_PER_SEC,
                .is_json_by_tool = x->attempts->notes.is_json_by_tool,
                .wants_usage = x->asked->llm->request.wants_usage,
                .request = sg_buf_view(&x->asked->body),
        };
}

static bool begin_streaming(struct sg_exchange *x)
{
        struct sg_translate_exchange exchange;

        x->streaming = calloc(1, sizeof(*x->streaming));
        if (!x->streaming)
                return false;
        sg_sse_init(&x->streaming->sse, 0);
        if (x->upstream_op == x->op) {
                sg_llm_stream_init(&x->streaming->stream, x->op, !x->asked->llm->request.wants_usage);
                return true;
        }
        sg_llm_stream_init(&x->streaming->stream, x->upstream_op, false);
        exchange = translated_exchange(x);
        return sg_translator_new(&x->streaming->translator, x->upstream_op, x->op, &exchange) == 0;
}

static void relay_on_head(struct sg_upcall *c, const struct sg_head *head, void *owner)
{
        struct sg_exchange *x = owner;
        enum sg_failure f;

        relay_on_sent(c, x); /* an answer may come before all of the request is sent */
        if (x->stage != SG_STAGE_RELAY)
                return;
        x->upstream_status = head->status;
        if (x->attempts && head->status >= 400)
                sg_relay_take_retry_after(x, head);
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
        if (x->serving)
                sg_exchange_release_request(x);
        if (x->mode != SG_RELAY_ERROR) /* of which sg_relay_take_error() decides */
                x->status = head->status;
        if (x->serving) {
                judge_service(x);
                sg_service_keep_no_more(x);
        }
        if (x->status == 101) {
                x->has_begun = true;
                sg_relay_progress(x);
                if (!sg_service_switch(x, head))
                        relay_fail(x, SG_FAIL_UPSTREAM_GARBAGE);
        } else if (x->mode == SG_RELAY_RAW) {
                relay_raw_head(x, head);
        }
}

/* ---- the body */

void sg_relay_send(struct sg_exchange *x, struct sg_str bytes)
{
        if (bytes.n == 0)
                return;
        x->relayed_bytes += bytes.n;
        if (!x->client)
                return; /* read on for its figures */
        if (x->has_begun) {
                sg_client_send(x->client, &bytes, 1, false);
        } else if (x->mode == SG_RELAY_RAW) {
                send_raw_head(x, bytes);
        } else {
                const struct sg_str pieces[] = {sg_buf_view(&x->answer), bytes};

                begin_answer(x);
                x->relayed_bytes += pieces[0].n;
                if (pieces[0].n)
                        sg_client_send_head(x->client, x->status, sg_buf_view(&x->fields), false, 0, pieces, 2, false);
                else
                        sg_client_send_head(x->client, x->status, sg_buf_view(&x->fields), false, 0, &bytes, 1, false);
                sg_buf_release(&x->answer);
        }
        if (x->upcall && sg_client_is_full(x->client)) {
                /* The client's write_timeout watches now; the provider's silence would be our own doing. */
                x->is_paused = true;
                sg_upcall_pause(x->upcall);
                sg_timer_stop(&x->timer);
        }
}

static void raw_bytes(struct sg_exchange *x, struct sg_str bytes)
{
        sg_relay_progress(x);
        if (x->has_length && x->relayed_bytes + bytes.n >= x->length) {
                if (sg_buf_add(&x->tail, bytes)) /* the last bytes wait for the record */
                        relay_fail(x, SG_FAIL_INTERNAL);
                return;
        }
        sg_relay_send(x, bytes);
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
                sg_relay_progress(x);
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
                sg_relay_stream(x, bytes);
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

/* What the record keeps of the provider's answer, in whose place comes another, or an error. */
static void keep_raw_usage(struct sg_exchange *x)
{
        sg_buf_clear(&x->tail);
        if (x->usage.raw.n && sg_buf_add(&x->tail, x->usage.raw)) /* without memory the figures still count */
                sg_buf_clear(&x->tail);
        x->usage.raw = sg_buf_view(&x->tail);
}

/* The answer in the client's dialect takes the place of the provider's. */
static int translate_answer(struct sg_exchange *x, struct sg_llm_fault *fault)
{
        const struct sg_translate_exchange exchange = translated_exchange(x);
        struct sg_buf out;
        int r;

        if (x->upstream_op == x->op)
                return 0;
        sg_buf_init(&out, 2 * x->snapshot->config->body_bytes_max + PROVIDER_ERROR_BYTES_MAX);
        r = sg_translate_answer(&out, x->upstream_op, x->op, sg_buf_view(&x->answer), &exchange, fault);
        if (r) {
                sg_buf_done(&out);
                return r;
        }
        sg_buf_done(&x->answer);
        x->answer = out;
        return 0;
}

static enum sg_failure judge_held(struct sg_exchange *x, struct sg_llm_fault *fault)
{
        struct sg_llm_answer answer;
        int r = sg_llm_answer_read(&answer, x->upstream_op, sg_buf_view(&x->answer), fault);

        if (r == SG_LLM_E_IN_BAND) {
                x->attempts->refusal = answer.refusal;
                return SG_FAIL_PROVIDER_IN_BAND;
        }
        if (r)
                return SG_FAIL_UPSTREAM_GARBAGE;
        x->usage = answer.usage;
        if (sg_dialect_counts_tokens(x->op))
                sg_usage_fill_input(&x->usage, x->prompt_bytes);
        if (x->upstream_op != x->op)
                keep_raw_usage(x);
        r = translate_answer(x, fault);
        if (r == SG_LLM_E_NOT_JSON || r == SG_LLM_E_BAD_FIELD)
                return SG_FAIL_UPSTREAM_GARBAGE;
        return r ? SG_FAIL_INTERNAL : SG_FAIL_NONE;
}

/* False: another attempt takes its place. */
static bool hold_end(struct sg_exchange *x)
{
        struct sg_llm_fault fault = {0};
        enum sg_failure f = judge_held(x, &fault);

        if (f == SG_FAIL_NONE) {
                x->is_answer_ready = sg_buf_add(&x->fields, SG_STR("content-type: application/json\r\n")) == 0;
                if (!x->is_answer_ready) {
                        x->usage.raw = SG_STR_NONE;
                        sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
                }
                return true;
        }
        sg_relay_redact(x, fault.text);
        if (sg_attempts_again(x, f, fault.text))
                return false;
        sg_exchange_note(x, "%s", fault.text);
        if (f == SG_FAIL_PROVIDER_IN_BAND)
                sg_exchange_fail(x, f, "%s", fault.text);
        else
                sg_exchange_fail(x, f, NULL);
        return true;
}

static void relay_end(struct sg_exchange *x)
{
        switch (x->mode) {
        case SG_RELAY_STREAM:
                if (sg_relay_stream_is_whole(x))
                        break;
                if (sg_attempts_again(x, SG_FAIL_UPSTREAM_TRUNCATED, NULL))
                        return;
                sg_exchange_fail(x, SG_FAIL_UPSTREAM_TRUNCATED, NULL);
                break;
        case SG_RELAY_HOLD:
                if (!hold_end(x))
                        return;
                break;
        case SG_RELAY_ERROR:
                if (sg_relay_take_error(x))
                        return;
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
                relay_end(x); /* which may begin anew */
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
                if (x->attempts && sg_attempts_again(x, sg_failure_of_upstream(why), text))
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
