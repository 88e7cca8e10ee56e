/*
 * connect and send: the open record is in the journal before the request leaves for the provider.
 */
#include "gateway/connect.h"

#include <errno.h>

#include "base/message_id.h"
#include "base/secret.h"
#include "gateway/attempts.h"
#include "gateway/dialect.h"
#include "gateway/echo.h"
#include "gateway/limiting.h"
#include "gateway/record.h"
#include "gateway/service.h"

#define JOURNAL_FULL_TELL_USEC (10 * SG_USEC_PER_SEC)

/* Compression is declined: usage and the ends of streams could not be seen through it. */
static int gather_fields(struct sg_exchange *x)
{
        const struct sg_config_provider *c = x->provider->config;
        const struct sg_secret *credential = sg_snapshot_credential(x->provider, x->attempts->pick.credential);
        struct sg_asked *a = x->asked;
        int r = 0;

        a->n_upstream_fields = 0;
        sg_buf_clear(&a->version);
        if (credential)
                a->upstream_fields[a->n_upstream_fields++] = sg_secret_bytes(credential);
        a->upstream_fields[a->n_upstream_fields++] = SG_STR("accept-encoding: identity\r\n");
        a->upstream_fields[a->n_upstream_fields++] = sg_buf_view(&a->forward);
        if (c->dialect == SG_DIALECT_ECHO)
                r = sg_h1_add_header_u64(&a->version, SG_ECHO_PACE_FIELD, c->echo_pace_usec);
        else if (c->dialect == SG_DIALECT_ANTHROPIC && !a->has_anthropic_version)
                r = sg_h1_add_header(&a->version, SG_STR("anthropic-version"), sg_str_from(c->api_version));
        if (sg_buf_length(&a->version))
                a->upstream_fields[a->n_upstream_fields++] = sg_buf_view(&a->version);
        if (c->dialect == SG_DIALECT_ANTHROPIC && sg_buf_length(&a->anthropic))
                a->upstream_fields[a->n_upstream_fields++] = sg_buf_view(&a->anthropic);
        SG_ASSERT(a->n_upstream_fields <= SG_N_ELEMENTS(a->upstream_fields));
        return r;
}

static bool has_body(const struct sg_exchange *x)
{
        return x->asked->llm->upstream_body.n_bytes || x->op != SG_OP_PASS || x->method == SG_METHOD_POST ||
               x->method == SG_METHOD_PUT || x->method == SG_METHOD_PATCH;
}

/* ---- the body, as this provider wants it */

static void body_as_it_is(struct sg_llm_body *ret, struct sg_str body)
{
        ret->pieces[0] = body;
        ret->n_pieces = body.n ? 1 : 0;
        ret->n_bytes = body.n;
}

/* 0, or what sg_translate_request() says. */
static int translate_body(struct sg_exchange *x, struct sg_llm_fault *fault)
{
        struct sg_asked *a = x->asked;
        const struct sg_translate_options options = {
                .upstream_model = sg_exchange_text(x->model_upstream),
                .max_tokens = x->provider->config->max_tokens,
        };
        uint64_t n;
        int r;

        sg_buf_clear(&a->translated);
        r = sg_translate_request(&a->translated, x->op, x->upstream_op, sg_buf_view(&a->body), &options,
                                 &x->attempts->notes, fault);
        if (r)
                return r;
        body_as_it_is(&a->llm->upstream_body, sg_buf_view(&a->translated));
        n = sg_buf_length(&a->translated);
        if (n > a->translated_bytes && !sg_exchange_charge(x, n - a->translated_bytes)) {
                a->translated_bytes = n;
                return -ENOBUFS;
        }
        a->translated_bytes = SG_MAX(n, a->translated_bytes);
        return 0;
}

static int write_body(struct sg_exchange *x, struct sg_llm_fault *fault)
{
        struct sg_asked *a = x->asked;
        int r = 0;

        x->attempts->notes = (struct sg_translate_notes){0}; /* of an attempt before, in another dialect */
        if (x->upstream_op != x->op) {
                r = translate_body(x, fault);
        } else if (x->model) {
                sg_buf_clear(&a->scratch);
                r = sg_llm_request_write(&a->llm->request, sg_exchange_text(x->model_upstream), &a->scratch,
                                         &a->llm->upstream_body);
        } else {
                body_as_it_is(&a->llm->upstream_body, sg_buf_view(&a->body));
        }
        x->prompt_bytes = a->llm->upstream_body.n_bytes;
        return r;
}

/* A lane that limits allow; where there is none, perhaps one of a cheaper model. */
static enum sg_step choose_lane(struct sg_exchange *x)
{
        for (;;) {
                enum sg_step step = sg_limiting_model(x);

                if (step == SG_STEP_FINISH)
                        sg_attempts_take_back(x);
                if (step != SG_STEP_NEXT)
                        return step;
                while (x->attempts->has_pick || sg_attempts_pick(x) == SG_STEP_NEXT) {
                        enum sg_limiting_lane may = sg_limiting_lane(x);

                        if (may != SG_LIMITING_MAY_NOT)
                                return may == SG_LIMITING_MAY ? SG_STEP_NEXT : SG_STEP_WAIT;
                        sg_attempts_avoid_lane(x);
                }
                if (sg_limiting_instead(x) == SG_STEP_FINISH) {
                        sg_attempts_take_back(x);
                        return SG_STEP_FINISH;
                }
                x->attempts->tried = (struct sg_lane_tried){0};
        }
}

/* What one dialect has no words for another target may understand; if there is none, the client is told the field. That the one
 * there is cannot be asked now is not the request's fault. */
static enum sg_step choose_provider(struct sg_exchange *x)
{
        struct sg_llm_fault fault = {0};
        enum sg_step step;
        int r;

        do {
                step = choose_lane(x);
                if (step != SG_STEP_NEXT)
                        return step;
                r = write_body(x, &fault);
                if (r == SG_LLM_E_BAD_FIELD)
                        sg_limiting_leave_lane(x);
        } while (r == SG_LLM_E_BAD_FIELD && sg_attempts_avoid_dialect(x));
        switch (r) {
        case 0:
                return SG_STEP_NEXT;
        case SG_LLM_E_BAD_FIELD:
                sg_exchange_note(x, "%s", fault.param);
                if (sg_attempts_take_back(x)) /* who could have served it failed, and that is what is wrong */
                        return SG_STEP_FINISH;
                return sg_exchange_fail(x, SG_FAIL_BAD_FIELD, "%s", fault.text);
        case -ENOBUFS:
                return sg_exchange_fail(x, SG_FAIL_BODIES_FULL, NULL);
        case SG_BUF_E_FULL:
                return sg_exchange_fail(x, SG_FAIL_BODY_TOO_LARGE, "in the provider's dialect");
        default:
                return sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        }
}

/* Loud, but not a line for each exchange. */
static void tell_journal_full(struct sg_worker *w, bool is_stage, bool is_counted)
{
        uint64_t now_usec = sg_loop_now_usec(w->loop);

        if (w->journal_full_told_usec && now_usec - w->journal_full_told_usec < JOURNAL_FULL_TELL_USEC)
                return;
        w->journal_full_told_usec = now_usec;
        sg_log_notable(SG_LOG_ERR, SG_MESSAGE_JOURNAL_FULL, "the journal of worker %u is full, as %s: %s", w->number,
                       is_stage ? "neither the disk of the state directory nor the ledger takes it, and there is no "
                                  "more memory for it in the runtime directory"
                                : "the ledger does not drain it (its own log says why)",
                       is_counted ? "usage passes without a record (when_full = count)"
                                  : "new work is refused with 503");
}

static enum sg_step open_record(struct sg_exchange *x)
{
        bool is_counted = x->snapshot->config->journal_when_full == SG_WHEN_FULL_COUNT;
        struct sg_record rec;
        int r;

        sg_record_of_exchange(x, &rec);
        r = sg_ring_open(x->worker->ring, &rec, &x->record_number);
        if (r == 0) {
                x->has_record = true;
                return SG_STEP_NEXT;
        }
        SG_ASSERT(r == SG_RING_E_FULL || r == SG_RING_E_STAGE);
        tell_journal_full(x->worker, r == SG_RING_E_STAGE, is_counted);
        if (is_counted) {
                sg_exchange_note(x, "no usage record: the journal is full");
                sg_count(&x->worker->counters.n_unrecorded, 1);
                return SG_STEP_NEXT;
        }
        return sg_exchange_fail(x, SG_FAIL_JOURNAL_FULL, NULL);
}

/* A connection that breaks without an answer says nothing of what became of the request (RFC 9110, section 9.2.2). Asking a
 * model twice costs money at most; of what is only passed on nobody knows. */
static bool may_resend(const struct sg_exchange *x)
{
        return x->op != SG_OP_PASS || (x->method != SG_METHOD_POST && x->method != SG_METHOD_PATCH);
}

static enum sg_step call_provider(struct sg_exchange *x)
{
        const enum sg_method method = x->op == SG_OP_PASS ? x->method : SG_METHOD_POST;
        const char *authority = x->provider->config->authority;
        struct sg_endpoint endpoint = x->provider->endpoint;
        struct sg_upcall_request request;
        int r;

        sg_buf_clear(&x->asked->upstream_target);
        if (sg_dialect_add_target(x, &x->asked->upstream_target) || gather_fields(x))
                return sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        if (x->provider->config->dialect == SG_DIALECT_ECHO) {
                endpoint.open_builtin = sg_echo_open;
                endpoint.builtin_owner = x->worker->echo;
        }
        request = (struct sg_upcall_request){
                .method = method,
                .method_text = sg_str_from(sg_method_name(method)),
                .target = sg_buf_view(&x->asked->upstream_target),
                .authority = authority ? sg_str_from(authority) : SG_STR("echo"),
                .fields = x->asked->upstream_fields,
                .n_fields = x->asked->n_upstream_fields,
                .kind = has_body(x) ? SG_UPCALL_BODY_WHOLE : SG_UPCALL_BODY_NONE,
                .body = x->asked->llm->upstream_body.pieces,
                .n_body = x->asked->llm->upstream_body.n_pieces,
                .may_resend = may_resend(x),
        };
        r = sg_upcall_new(&x->upcall, x->worker->upstream, &endpoint, &request, &sg_relay_listener, x);
        if (r)
                return sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        sg_timer_start(&x->timer, x->provider->config->first_byte_timeout_usec);
        return SG_STEP_NEXT;
}

/* An exchange has one record, or is counted once as one without, however often it comes here. */
static bool is_first_attempt(const struct sg_exchange *x)
{
        return x->serving ? x->serving->n_attempts == 0 : x->attempts->n <= 1;
}

enum sg_step sg_stage_connect(struct sg_exchange *x)
{
        enum sg_step step = x->attempts ? choose_provider(x) : SG_STEP_NEXT;

        if (step != SG_STEP_NEXT)
                return step;
        if (x->key && is_first_attempt(x) && open_record(x) == SG_STEP_FINISH)
                return SG_STEP_FINISH;
        return x->serving ? sg_service_connect(x) : call_provider(x);
}

enum sg_step sg_stage_send(struct sg_exchange *x)
{
        return x->is_sent ? SG_STEP_NEXT : SG_STEP_WAIT;
}
