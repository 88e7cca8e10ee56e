/*
 * What counts here is the first byte to the client. Before it, an attempt that fails is replaced unseen: held answers are
 * judged whole, streams when their first event has come. After it, nothing is tried again: two halves are no answer.
 */
#include "gateway/attempts.h"

#include <inttypes.h>
#include <stdlib.h>

#include "gateway/dialect.h"
#include "gateway/lanes_told.h"

#define RETRIES_PASSED_ON 2u /* of requests that name no model */

static void attempts_on_time(struct sg_timer *t, void *owner)
{
        struct sg_exchange *x = owner;

        if (x->stage >= SG_STAGE_ACCOUNT)
                return;
        sg_exchange_note(x, "read on without the client for as long as drain_time allows");
        sg_exchange_fail(x, SG_FAIL_CLIENT_GONE, NULL);
        sg_exchange_drop_upstream(x);
        sg_exchange_finish(x);
}

/* FNV-1a: it has to spread, not to withstand anybody. */
static uint64_t hash_bytes(uint64_t h, struct sg_str s)
{
        for (size_t i = 0; i < s.n; i++)
                h = (h ^ (unsigned char)s.p[i]) * UINT64_C(1099511628211);
        return h;
}

static uint64_t affinity_of(const struct sg_exchange *x)
{
        const struct sg_llm_request *req = &x->asked->llm->request;
        uint64_t h = UINT64_C(14695981039346656037) ^ x->key->id;

        switch (x->model ? x->model->affinity : SG_AFFINITY_NONE) {
        case SG_AFFINITY_CONVERSATION:
                return hash_bytes(h, sg_llm_request_opening(req));
        case SG_AFFINITY_KEY:
                return hash_bytes(h, sg_str_from(x->model->name));
        default:
                return 0;
        }
}

bool sg_attempts_new(struct sg_exchange *x)
{
        struct sg_attempts *a = malloc(sizeof(*a));

        if (!a)
                return false;
        *a = (struct sg_attempts){0};
        if (sg_timer_init(&a->drain, x->worker->loop, attempts_on_time, x)) {
                free(a);
                return false;
        }
        x->attempts = a;
        a->hash = affinity_of(x);
        if (sg_dialect_counts_tokens(x->op))
                a->n_tokens = sg_usage_guess(sg_buf_length(&x->asked->body)) + x->asked->llm->request.max_tokens;
        return true;
}

struct sg_attempts *sg_attempts_free(struct sg_attempts *a)
{
        if (!a)
                return NULL;
        SG_ASSERT(!a->has_pick);
        sg_timer_done(&a->drain);
        free(a->told);
        free(a);
        return NULL;
}

/* ---- the next */

static bool can_serve(const struct sg_config_provider *p, void *owner)
{
        const struct sg_exchange *x = owner;
        enum sg_operation op;

        return sg_dialect_serves(p, x->op, &op) && !(x->attempts->cannot & 1u << op);
}

static int pick_next(struct sg_exchange *x, uint64_t *ret_wait_usec, char why[160])
{
        struct sg_attempts *a = x->attempts;
        const struct sg_lane_ask ask = {
                .model = x->model,
                .provider = x->model ? NULL : x->provider->config,
                .hash = a->hash,
                .n_tokens = a->n_tokens,
                .now_usec = sg_clock_usec(),
                .wall_usec = sg_clock_wall_usec(),
                .asks_resting = a->n == 0,
                .can_serve = can_serve,
                .owner = x,
        };
        int r = sg_lanes_pick(x->snapshot->lanes, &ask, &a->tried, &a->pick, ret_wait_usec, why);

        a->has_pick = r == 0;
        return r;
}

static void put_note_aside(struct sg_exchange *x)
{
        struct sg_attempts *a = x->attempts;

        if (!x->note)
                return;
        sg_attempts_note_all(x);
        a->told = SG_GIVE(x->note);
}

void sg_attempts_note_all(struct sg_exchange *x)
{
        struct sg_attempts *a = x->attempts;

        if (a->told && x->note)
                sg_exchange_note(x, "%s; %s", a->told, x->note);
        else if (a->told)
                x->note = SG_GIVE(a->told);
        free(a->told);
        a->told = NULL;
}

static void ask(struct sg_exchange *x)
{
        const struct sg_lane_pick *pick = &x->attempts->pick;

        x->provider = sg_snapshot_provider(x->snapshot, pick->provider);
        x->model_upstream = pick->upstream_model ? pick->upstream_model : x->model_asked;
        if (!sg_dialect_serves(pick->provider, x->op, &x->upstream_op))
                SG_UNREACHABLE();
}

/* The attempt that was picked is what the exchange is about from here. */
static void begin(struct sg_exchange *x)
{
        struct sg_attempts *a = x->attempts;

        a->n++;
        a->begin_usec = sg_loop_now_usec(x->worker->loop);
        a->retry_after_usec = 0;
        a->refusal = SG_REFUSAL_CLIENT;
        put_note_aside(x);
        ask(x);
}

static bool is_served_by_any(const struct sg_exchange *x)
{
        const size_t n = x->model ? x->model->n_targets + x->model->n_fallbacks + x->model->n_larger : 0;
        enum sg_operation op;

        for (size_t i = 0; i < n; i++)
                if (sg_dialect_serves(x->model->targets[i].provider, x->op, &op))
                        return true;
        return n == 0;
}

enum sg_step sg_attempts_pick(struct sg_exchange *x)
{
        uint64_t wait_usec = 0;
        char why[160] = "";

        if (pick_next(x, &wait_usec, why) == 0) {
                begin(x);
                return SG_STEP_NEXT;
        }
        if (!is_served_by_any(x))
                return sg_exchange_fail(x, SG_FAIL_CANNOT_SERVE, "the model is '%s'", x->model_asked);
        x->retry_after_sec = (unsigned)((wait_usec + SG_USEC_PER_SEC - 1) / SG_USEC_PER_SEC);
        sg_exchange_note(x, "%s", why);
        return sg_exchange_fail(x, SG_FAIL_NO_TARGET, NULL);
}

/* ---- what became of one */

static enum sg_lane_fault fault_of_refusal(enum sg_refusal r)
{
        static const enum sg_lane_fault of[SG_REFUSAL_N] = {
                [SG_REFUSAL_CLIENT] = SG_LANE_CLIENT,
                [SG_REFUSAL_CONTEXT] = SG_LANE_CLIENT,
                [SG_REFUSAL_CREDENTIAL] = SG_LANE_CREDENTIAL,
                [SG_REFUSAL_QUOTA] = SG_LANE_QUOTA,
                [SG_REFUSAL_RATE] = SG_LANE_RATE,
                [SG_REFUSAL_OVERLOAD] = SG_LANE_OVERLOAD,
                [SG_REFUSAL_SERVER] = SG_LANE_SERVER,
        };

        SG_ASSERT(r < SG_REFUSAL_N);
        return of[r];
}

static enum sg_lane_fault fault_of(const struct sg_exchange *x, enum sg_failure f)
{
        switch (f) {
        case SG_FAIL_NONE:
                return SG_LANE_OK;
        case SG_FAIL_UPSTREAM_RESOLVE:
        case SG_FAIL_UPSTREAM_CONNECT:
        case SG_FAIL_UPSTREAM_TLS:
        case SG_FAIL_UPSTREAM_RESET:
                return SG_LANE_CONNECTION;
        case SG_FAIL_UPSTREAM_CONNECT_TIMEOUT:
        case SG_FAIL_UPSTREAM_FIRST_BYTE:
        case SG_FAIL_UPSTREAM_STALLED:
                return SG_LANE_TIMEOUT;
        case SG_FAIL_UPSTREAM_TRUNCATED:
                return SG_LANE_TRUNCATED;
        case SG_FAIL_UPSTREAM_GARBAGE:
        case SG_FAIL_UPSTREAM_REDIRECT:
        case SG_FAIL_UPSTREAM_ENCODED:
                return SG_LANE_SERVER;
        case SG_FAIL_PROVIDER_CREDENTIAL:
        case SG_FAIL_PROVIDER_QUOTA:
        case SG_FAIL_PROVIDER_RATE:
        case SG_FAIL_PROVIDER_OVERLOADED:
        case SG_FAIL_PROVIDER_REFUSED:
        case SG_FAIL_PROVIDER_ERROR:
        case SG_FAIL_PROVIDER_IN_BAND:
                return fault_of_refusal(x->attempts->refusal);
        default:
                return SG_LANE_CLIENT;
        }
}

static void tell_turn(const struct sg_exchange *x, enum sg_lane_turn turn, const char *text)
{
        sg_lanes_tell_turn(turn, &x->attempts->pick, text, x->request_id);
}

static void settle(struct sg_exchange *x, enum sg_lane_fault fault, const char *text)
{
        struct sg_attempts *a = x->attempts;
        char told[256] = "";
        const struct sg_lane_result result = {
                .fault = fault,
                .retry_after_usec = a->retry_after_usec,
                .first_byte_usec = x->first_byte_usec ? x->start_usec + x->first_byte_usec - a->begin_usec : 0,
                .n_tokens = x->usage.input_tokens + x->usage.output_tokens,
                .text = text,
        };

        if (!a->has_pick)
                return;
        a->has_pick = false;
        tell_turn(x, sg_lanes_done(x->snapshot->lanes, &a->pick, &result, sg_clock_usec(), sg_clock_wall_usec(), told),
                  told);
}

void sg_attempts_answered(struct sg_exchange *x)
{
        struct sg_attempts *a = x->attempts;
        uint64_t took_usec = sg_loop_now_usec(x->worker->loop) - a->begin_usec;
        char text[256] = "";

        if (a->has_pick)
                tell_turn(x, sg_lanes_answered(x->snapshot->lanes, &a->pick, took_usec, sg_clock_usec(), text), text);
}

bool sg_attempts_may_be_billed(const struct sg_exchange *x, enum sg_failure f)
{
        return x->is_sent && x->upstream_status < 300 && f != SG_FAIL_PROVIDER_IN_BAND;
}

void sg_attempts_settle(struct sg_exchange *x)
{
        struct sg_attempts *a = x->attempts;

        sg_timer_stop(&a->drain);
        if (!x->provider && a->failed != SG_FAIL_NONE) { /* it ended between two attempts: the first one is on record */
                a->pick = a->was_asked;
                ask(x);
        }
        settle(x, fault_of(x, x->failure), x->note ? x->note : sg_failure_name(x->failure));
}

static void unpick(struct sg_exchange *x)
{
        settle(x, SG_LANE_CLIENT, NULL);
        x->attempts->n--; /* nobody was asked */
        x->provider = NULL;
        x->model_upstream = NULL;
}

void sg_attempts_avoid_lane(struct sg_exchange *x)
{
        const struct sg_config_provider *p = x->provider->config;

        unpick(x);
        if (!x->model)
                x->provider = sg_snapshot_provider(x->snapshot, p); /* there is no other */
}

bool sg_attempts_avoid_dialect(struct sg_exchange *x)
{
        const size_t n = x->model ? x->model->n_targets + x->model->n_fallbacks : 0;
        struct sg_attempts *a = x->attempts;

        a->cannot |= 1u << x->upstream_op;
        unpick(x);
        a->tried.n--;
        for (size_t i = 0; i < n; i++)
                if (can_serve(x->model->targets[i].provider, x))
                        return true;
        return false;
}

/* ---- once more */

/* Of what is only passed on nobody knows whether it may be done twice: not after it may have been done. */
static bool was_refused_at_once(const struct sg_exchange *x, enum sg_lane_fault fault, enum sg_failure f)
{
        return fault == SG_LANE_CREDENTIAL || fault == SG_LANE_QUOTA || fault == SG_LANE_RATE ||
               fault == SG_LANE_OVERLOAD ||
               (fault == SG_LANE_CONNECTION && f != SG_FAIL_UPSTREAM_RESET && !x->is_sent) ||
               f == SG_FAIL_UPSTREAM_CONNECT_TIMEOUT;
}

static bool may_try(struct sg_exchange *x, enum sg_failure f, enum sg_lane_fault fault)
{
        struct sg_attempts *a = x->attempts;
        const unsigned retries = x->model ? x->model->retries : RETRIES_PASSED_ON;

        if (!x->asked || x->has_begun || !x->client || a->n > retries)
                return false;
        if (a->refusal == SG_REFUSAL_CONTEXT && x->model && x->model->n_larger) {
                a->tried.wants_larger = true;
                return true;
        }
        if (fault == SG_LANE_CLIENT || fault == SG_LANE_OK)
                return false;
        return x->op != SG_OP_PASS || was_refused_at_once(x, fault, f);
}

/* As if the answer had not been: what it left behind goes. */
static void forget_answer(struct sg_exchange *x)
{
        sg_exchange_release_answer(x);
        x->mode = SG_RELAY_NONE;
        x->upstream_status = x->status = 0;
        x->has_progress = x->is_sent = x->is_answer_ready = x->has_length = x->has_head = false;
        x->length = 0;
        x->first_byte_usec = 0;
        x->usage = (struct sg_usage){0};
        sg_buf_clear(&x->fields);
        sg_buf_clear(&x->tail);
}

bool sg_attempts_again(struct sg_exchange *x, enum sg_failure f, const char *text)
{
        struct sg_attempts *a = x->attempts;
        const enum sg_lane_fault fault = fault_of(x, f);
        const struct sg_lane_pick was_asked = a->pick;
        uint64_t wait_usec;
        char why[160];

        if (!may_try(x, f, fault))
                return false; /* settled at the end, with what is known then */
        if (!text || !text[0])
                text = sg_failure_name(f);
        settle(x, fault, text);
        if (pick_next(x, &wait_usec, why))
                return false;
        sg_exchange_note(x, "%s: %s; then %s", was_asked.name, text, a->pick.name);
        a->may_have_counted |= sg_attempts_may_be_billed(x, f);
        a->failed = f;
        a->was_asked = was_asked;
        sg_exchange_drop_upstream(x);
        x->upcall_is_over = false;
        sg_timer_stop(&x->timer);
        forget_answer(x);
        begin(x);
        sg_exchange_connect_again(x);
        return true;
}

bool sg_attempts_take_back(struct sg_exchange *x)
{
        struct sg_attempts *a = x->attempts;

        if (a->failed == SG_FAIL_NONE)
                return false;
        SG_ASSERT(!a->has_pick);
        sg_exchange_unfail(x);
        a->pick = a->was_asked;
        ask(x);
        sg_exchange_fail(x, a->failed, NULL);
        return true;
}

/* ---- what the client is told */

static int add_timing(struct sg_exchange *x)
{
        const struct sg_attempts *a = x->attempts;
        const uint64_t now_usec = sg_loop_now_usec(x->worker->loop);
        const uint64_t before_usec = a->begin_usec - x->start_usec, waited_usec = now_usec - a->begin_usec;

        if (!x->snapshot->config->server_timing)
                return 0;
        return sg_buf_printf(&x->fields,
                             "server-timing: gateway;dur=%" PRIu64 ".%03" PRIu64 ", provider;dur=%" PRIu64 ".%03" PRIu64
                             "\r\n",
                             before_usec / 1000, before_usec % 1000, waited_usec / 1000, waited_usec % 1000);
}

/* Piece by piece: a format costs more than all else that is done for these lines. */
static int add_model(struct sg_exchange *x)
{
        const struct sg_str pieces[] = {SG_STR("x-scribe-model: "), sg_str_from(x->provider->config->name), SG_STR("/"),
                                        sg_str_from(x->model_upstream), SG_STR("\r\n")};
        int r = 0;

        for (size_t i = 0; !r && i < SG_N_ELEMENTS(pieces); i++)
                r = sg_buf_add(&x->fields, pieces[i]);
        return r;
}

int sg_attempts_add_fields(struct sg_exchange *x)
{
        const struct sg_attempts *a = x->attempts;
        int r = 0;

        if (a->n == 0)
                return 0;
        if (x->model_upstream)
                r = add_model(x);
        if (!r)
                r = sg_h1_add_header_u64(&x->fields, SG_STR("x-scribe-attempts"), a->n);
        if (!r && a->notes.dropped[0])
                r = sg_h1_add_header(&x->fields, SG_STR("x-scribe-dropped"), sg_str_from(a->notes.dropped));
        return r ? r : add_timing(x);
}

/* ---- without the client */

bool sg_attempts_drain(struct sg_exchange *x)
{
        struct sg_attempts *a = x->attempts;

        if (!a || !a->has_pick || !x->model || x->model->on_disconnect != SG_DISCONNECT_DRAIN || !x->is_sent ||
            !x->upcall || x->upcall_is_over || x->mode == SG_RELAY_RAW || x->worker->is_stopping)
                return false;
        a->is_draining = true;
        sg_timer_start(&a->drain, x->model->drain_usec);
        if (x->is_paused) {
                x->is_paused = false;
                sg_upcall_resume(x->upcall);
                sg_timer_start(&x->timer, sg_exchange_between_bytes_usec(x));
        }
        return true;
}

bool sg_attempts_is_drained(const struct sg_exchange *x)
{
        const struct sg_attempts *a = x->attempts;

        return a->is_draining && x->streaming &&
               sg_usage_guess(x->streaming->stream.text_bytes) >= x->model->drain_tokens;
}
