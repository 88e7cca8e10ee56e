/*
 * Limits are asked in the order in which their facts are known, and each answer is final: what was reserved for a request
 * that a later limit refuses is given back as if it had never been asked for. The cost goes by the lane, so that a lane may
 * be too dear where another is not; when none is left, a model with `downgrade` makes room for the cheaper one.
 */
#include "gateway/limiting.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/prices.h"
#include "gateway/attempts.h"
#include "gateway/dialect.h"
#include "gateway/limited.h"
#include "gateway/service.h"

#define WAIT_USEC_MAX  (3 * SG_USEC_PER_SEC) /* Redis that is gone is seen after two */
#define PICO_PER_MICRO UINT64_C(1000000)
#define DAY_USEC       (86400 * SG_USEC_PER_SEC)
#define OUTPUT_MAX     (UINT64_C(1) << 53) /* more than any limit */
#define UNNAMED_OUTPUT UINT64_C(1024)      /* tokens that are reserved for an answer whose client names no limit */

/* ---- what is held */

static struct sg_limiting *need(struct sg_exchange *x)
{
        if (!x->limiting) {
                x->limiting = malloc(sizeof(*x->limiting));
                if (x->limiting)
                        *x->limiting = (struct sg_limiting){.exchange = x};
        }
        return x->limiting;
}

struct sg_limiting *sg_limiting_free(struct sg_limiting *l)
{
        if (!l)
                return NULL;
        SG_ASSERT(!sg_link_is_on_list(&l->link));
        SG_ASSERT(l->caller.n == 0 && l->by_model.n == 0 && l->lane.n == 0);
        free(l->why);
        free(l);
        return NULL;
}

/* ---- refusals */

static enum sg_failure failure_of(const struct sg_limit_refusal *r)
{
        static const enum sg_failure of[SG_LIMIT_KIND_N] = {
                [SG_LIMIT_REQUESTS] = SG_FAIL_LIMIT_REQUESTS,
                [SG_LIMIT_TOKENS] = SG_FAIL_LIMIT_TOKENS,
                [SG_LIMIT_CONCURRENT] = SG_FAIL_LIMIT_CONCURRENT,
                [SG_LIMIT_COST] = SG_FAIL_LIMIT_BUDGET,
        };

        return of[r->limit.kind];
}

static unsigned seconds(uint64_t usec)
{
        return (unsigned)SG_MIN((usec + SG_USEC_PER_SEC - 1) / SG_USEC_PER_SEC, (uint64_t)UINT_MAX);
}

#define REFUSAL_BYTES 384

static void set_why(struct sg_limiting *l, const char *text)
{
        free(l->why);
        l->why = strdup(text);
}

static void note_refusal(struct sg_limiting *l, const struct sg_limit_refusal *r)
{
        char limit[SG_LIMIT_TEXT_BYTES], used[SG_LIMIT_TEXT_BYTES], asked[SG_LIMIT_TEXT_BYTES], when[64] = "";
        char why[REFUSAL_BYTES];

        l->refused = failure_of(r);
        l->wait_sec = r->wait_usec == SG_USEC_NEVER ? 0 : SG_MAX(seconds(r->wait_usec), 1u);
        if (r->wait_usec == SG_USEC_NEVER)
                snprintf(when, sizeof(when), "; it will never fit");
        else if (r->limit.kind != SG_LIMIT_CONCURRENT)
                snprintf(when, sizeof(when), "; try again in %u s", l->wait_sec);
        snprintf(why, sizeof(why), "%s '%s' has %s; %s are taken, and this request needs %s%s%s",
                 sg_limit_subject_name(r->who->kind), r->who->name, sg_limit_text(&r->limit, limit),
                 sg_limit_amount_text(&r->limit, r->used, used), sg_limit_amount_text(&r->limit, r->asked, asked), when,
                 r->is_alone ? " (this node's part of it, while the others cannot be asked)" : "");
        set_why(l, why);
}

static enum sg_step refuse(struct sg_exchange *x)
{
        x->retry_after_sec = x->limiting->wait_sec;
        return sg_exchange_fail(x, x->limiting->refused, "%s", x->limiting->why ? x->limiting->why : "");
}

/* ---- waiting for grants */

static void stop_waiting(struct sg_limiting *l)
{
        if (!sg_link_is_on_list(&l->link))
                return;
        sg_list_remove(&l->exchange->worker->waiting_grants, &l->link);
        sg_timer_stop(&l->exchange->timer);
}

static enum sg_step wait_for_grants(struct sg_exchange *x)
{
        struct sg_shared *shared = x->worker->shared;

        if (!sg_link_is_on_list(&x->limiting->link)) {
                sg_list_push(&x->worker->waiting_grants, &x->limiting->link);
                sg_timer_start(&x->timer, WAIT_USEC_MAX);
        }
        shared->want_grants(shared->want_grants_owner);
        return SG_STEP_WAIT;
}

/* What runs may end others that wait, too: those of its connection. Each stands in the list while it asks again, and its
 * timer goes on until it has what it waits for. */
void sg_limiting_on_grants(struct sg_worker *w)
{
        struct sg_link *k;

        for (size_t n = w->waiting_grants.n; n && (k = sg_list_pop(&w->waiting_grants)); n--) {
                sg_list_push(&w->waiting_grants, k);
                sg_exchange_run(SG_CONTAINER(k, struct sg_limiting, link)->exchange);
        }
}

bool sg_limiting_give_up(struct sg_exchange *x)
{
        if (!x->limiting || !sg_link_is_on_list(&x->limiting->link))
                return false;
        stop_waiting(x->limiting);
        sg_exchange_fail(x, SG_FAIL_LIMITS_UNKNOWN, NULL);
        sg_exchange_finish(x);
        return true;
}

/* ---- asking */

static int reserve(struct sg_exchange *x, const struct sg_limited_list *who, const uint64_t n_of[SG_LIMIT_KIND_N],
                   const char *currency, struct sg_reservation *r)
{
        struct sg_limit_ask ask = {
                .who = who->at,
                .n_who = who->n,
                .now_usec = sg_loop_now_usec(x->worker->loop),
                .wall_usec = sg_clock_wall_usec(),
        };
        struct sg_limit_refusal refusal;
        int e;

        memcpy(ask.n_of, n_of, sizeof(ask.n_of));
        (void)sg_str_copy(ask.currency, sizeof(ask.currency), sg_str_from(currency));
        e = sg_limits_reserve(x->worker->shared->limits, &ask, r, &refusal);
        if (e == SG_LIMIT_E_REFUSED)
                note_refusal(x->limiting, &refusal);
        return e;
}

static enum sg_step step_of(struct sg_exchange *x, int e)
{
        if (e == SG_LIMIT_E_WAIT)
                return wait_for_grants(x);
        stop_waiting(x->limiting);
        if (e < 0)
                return sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        return e ? refuse(x) : SG_STEP_NEXT;
}

enum sg_step sg_limiting_address(struct sg_exchange *x)
{
        struct sg_addresses *a = x->snapshot->addresses;
        char text[SG_LIMIT_TEXT_BYTES];
        struct sg_limit limit;
        struct sg_str port;
        uint64_t wait_usec;
        struct sg_ip ip;

        if (!a || !(sg_ip_parse_node(&ip, sg_str_from(x->peer), &port) || sg_ip_parse(&ip, sg_str_from(x->peer))) ||
            sg_limit_addresses_take(sg_addresses_table(a), &ip, sg_loop_now_usec(x->worker->loop), &limit, &wait_usec))
                return SG_STEP_NEXT;
        x->retry_after_sec = SG_MAX(seconds(wait_usec), 1u);
        return sg_exchange_fail(x, SG_FAIL_LIMIT_ADDRESS, "an address has %s; try again in %u s",
                                sg_limit_text(&limit, text), x->retry_after_sec);
}

enum sg_step sg_limiting_admit(struct sg_exchange *x)
{
        static const uint64_t n_of[SG_LIMIT_KIND_N] = {[SG_LIMIT_REQUESTS] = 1, [SG_LIMIT_CONCURRENT] = 1};
        struct sg_limited_list who = {.n = 0};
        enum sg_step step;

        sg_limited_add_caller(&who, x);
        if (who.n == 0 || (x->limiting && x->limiting->is_admitted))
                return SG_STEP_NEXT;
        if (!need(x))
                return sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        step = step_of(x, reserve(x, &who, n_of, "", &x->limiting->caller));
        x->limiting->is_admitted = step == SG_STEP_NEXT;
        return step;
}

/* ---- the model */

static bool may_use(const struct sg_exchange *x, const struct sg_config_model *m)
{
        return sg_key_may_use(x->key, sg_str_from(m->name));
}

/* The model that was asked for is another one from here: in what the provider is told, and on record. */
static bool downgrade(struct sg_exchange *x)
{
        const struct sg_config_model *to = x->model->downgrade;

        if (!sg_exchange_ask_for(x, sg_str_from(to->name)))
                return false;
        sg_exchange_note(x, "the budget is short: model '%s' instead of '%s'", to->name, x->model->name);
        x->model = to;
        return true;
}

/* A budget is used so far that cheaper models shall do. */
static void downgrade_by_mark(struct sg_exchange *x)
{
        struct sg_limited_list who = {.n = 0};

        sg_limited_add_caller(&who, x);
        if (who.n == 0 || sg_limits_downgrade(x->worker->shared->limits, who.at, who.n,
                                              sg_loop_now_usec(x->worker->loop), sg_clock_wall_usec()) < 0)
                return;
        while (x->model->downgrade && may_use(x, x->model->downgrade) && downgrade(x))
                ;
}

static struct sg_tokens expected(const struct sg_exchange *x)
{
        const struct sg_llm_request *req = &x->asked->llm->request;
        const uint64_t n = SG_MAX(req->n_answers, UINT64_C(1));
        const uint64_t of_each = req->max_tokens ? req->max_tokens : UNNAMED_OUTPUT;
        struct sg_tokens t = {.n_requests = 1};

        if (!sg_dialect_counts_tokens(x->op))
                return t;
        t.input = sg_usage_guess(sg_buf_length(&x->asked->body));
        if (x->op != SG_OP_EMBEDDINGS && x->op != SG_OP_COUNT_TOKENS)
                t.output = of_each > OUTPUT_MAX / n ? OUTPUT_MAX : of_each * n;
        return t;
}

/* The model's own request is asked for with the tokens of all: nothing is known of it before. */
static int reserve_tokens(struct sg_exchange *x)
{
        const struct sg_tokens t = expected(x);
        const uint64_t tokens_of[SG_LIMIT_KIND_N] = {[SG_LIMIT_TOKENS] = t.input + t.output};
        const uint64_t all_of[SG_LIMIT_KIND_N] = {
                [SG_LIMIT_REQUESTS] = 1, [SG_LIMIT_CONCURRENT] = 1, [SG_LIMIT_TOKENS] = t.input + t.output};
        struct sg_limiting *l = x->limiting;
        struct sg_limited_list caller = {.n = 0}, model = {.n = 0};
        int e = 0;

        sg_limited_add_caller(&caller, x);
        sg_limited_add_model(&model, x->model);
        if (!l->has_tokens && caller.n && tokens_of[SG_LIMIT_TOKENS])
                e = reserve(x, &caller, tokens_of, "", &l->caller);
        if (e)
                return e;
        l->has_tokens = true;
        return model.n ? reserve(x, &model, all_of, "", &l->by_model) : 0;
}

/* Another one takes its place. Its request stays counted where somebody was asked for it. */
static void let_go_of_model(struct sg_exchange *x)
{
        struct sg_limits *limits = x->worker->shared->limits;
        struct sg_limiting *l = x->limiting;
        const uint64_t now_usec = sg_loop_now_usec(x->worker->loop);

        if (x->attempts->failed != SG_FAIL_NONE)
                sg_limits_settle(limits, &l->by_model, 0, 0, now_usec, sg_clock_wall_usec());
        else
                sg_limits_release(limits, &l->by_model, now_usec);
        l->model_cost = 0;
}

enum sg_step sg_limiting_model(struct sg_exchange *x)
{
        enum sg_step step;

        if (x->model && x->model->downgrade && !(x->limiting && x->limiting->model == x->model))
                downgrade_by_mark(x);
        if (!x->limiting && !(x->model && x->model->limits))
                return SG_STEP_NEXT;
        if (x->limiting && x->limiting->has_tokens && x->limiting->model == x->model)
                return SG_STEP_NEXT;
        if (!need(x))
                return sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        let_go_of_model(x);
        step = step_of(x, reserve_tokens(x));
        if (step == SG_STEP_NEXT)
                x->limiting->model = x->model;
        return step;
}

/* ---- the lane */

/* In millionths of *ret_currency. Practice costs nothing. */
static bool cost_of(const struct sg_exchange *x, const struct sg_tokens *t, char ret_currency[4], uint64_t *ret)
{
        const struct sg_config_provider *p = x->provider->config;
        const struct sg_billed billed = sg_billed_of(t);
        const struct sg_price *price;
        uint64_t pico;

        *ret = 0;
        ret_currency[0] = '\0';
        if (p->dialect == SG_DIALECT_ECHO)
                return true;
        price = sg_prices_find(x->snapshot->config->prices, sg_str_from(p->name), sg_exchange_text(x->model_upstream),
                               sg_clock_wall_usec() / DAY_USEC);
        if (!price || !sg_price_cost(price, &billed, &pico))
                return false;
        memcpy(ret_currency, price->currency, sizeof(price->currency));
        *ret = (pico + PICO_PER_MICRO - 1) / PICO_PER_MICRO;
        return true;
}

/* A budget that could not be kept: it is in another currency than the price, or there is none. */
static bool has_budget(const struct sg_limited_list *w, bool is_hard, const char *other_than,
                       const struct sg_limited **ret_who)
{
        for (size_t i = 0; i < w->n; i++)
                for (size_t k = 0; k < w->at[i].set->n; k++) {
                        const struct sg_limit *limit = &w->at[i].set->at[k].limit;

                        if (limit->kind != SG_LIMIT_COST || (is_hard && limit->is_soft) ||
                            (other_than && strcmp(limit->currency, other_than) == 0))
                                continue;
                        *ret_who = &w->at[i];
                        return true;
                }
        return false;
}

static enum sg_limiting_lane refuse_unpriced(struct sg_exchange *x, const struct sg_limited *who, const char *currency)
{
        struct sg_limiting *l = x->limiting;
        char why[REFUSAL_BYTES];

        l->refused = SG_FAIL_NO_PRICE;
        l->wait_sec = 0;
        snprintf(why, sizeof(why), "%s '%s' has a budget, and prices.d has no price %sfor %s/%s",
                 sg_limit_subject_name(who->kind), who->name, currency[0] ? "in its currency " : "",
                 x->provider->config->name, x->model_upstream ? x->model_upstream : "");
        set_why(l, why);
        return SG_LIMITING_MAY_NOT;
}

static enum sg_limiting_lane lane_of(struct sg_exchange *x, int e)
{
        if (e == SG_LIMIT_E_WAIT) {
                (void)wait_for_grants(x);
                return SG_LIMITING_WAIT;
        }
        stop_waiting(x->limiting);
        return e ? SG_LIMITING_MAY_NOT : SG_LIMITING_MAY;
}

/* Looking and removing is free everywhere. */
static bool costs_nothing(const struct sg_exchange *x)
{
        return x->op == SG_OP_COUNT_TOKENS ||
               (x->op == SG_OP_PASS && (x->method == SG_METHOD_GET || x->method == SG_METHOD_HEAD ||
                                        x->method == SG_METHOD_DELETE || x->method == SG_METHOD_OPTIONS));
}

/* What is held grows to what this lane may cost. Soft budgets count in the currency of the first lane alone. */
static int hold_cost(struct sg_exchange *x, const struct sg_limited_list *who, struct sg_reservation *r, uint64_t *held,
                     const char *currency, uint64_t cost)
{
        const uint64_t n_of[SG_LIMIT_KIND_N] = {[SG_LIMIT_COST] = cost - SG_MIN(cost, *held)};
        int e;

        if (!n_of[SG_LIMIT_COST] || !who->n)
                return 0;
        e = reserve(x, who, n_of, currency, r);
        if (!e)
                *held = cost;
        return e;
}

struct payers {
        struct sg_limited_list caller, model, provider;
};

static bool any_has_budget(const struct payers *p, bool is_hard, const char *other_than,
                           const struct sg_limited **ret_who)
{
        return has_budget(&p->caller, is_hard, other_than, ret_who) ||
               has_budget(&p->model, is_hard, other_than, ret_who) ||
               has_budget(&p->provider, is_hard, other_than, ret_who);
}

static enum sg_limiting_lane hold_costs(struct sg_exchange *x, const struct payers *p, const char *currency,
                                        uint64_t cost)
{
        struct sg_limiting *l = x->limiting;
        int e = 0;

        if (!l->caller_cost && !l->model_cost)
                memcpy(l->currency, currency, sizeof(l->currency));
        if (strcmp(l->currency, currency) == 0)
                e = hold_cost(x, &p->caller, &l->caller, &l->caller_cost, currency, cost);
        if (!e && strcmp(l->currency, currency) == 0)
                e = hold_cost(x, &p->model, &l->by_model, &l->model_cost, currency, cost);
        if (!e)
                e = hold_cost(x, &p->provider, &l->lane, &l->lane_cost, currency, cost);
        l->has_cost = true;
        return lane_of(x, e);
}

static enum sg_limiting_lane reserve_cost(struct sg_exchange *x, const struct payers *p)
{
        const struct sg_tokens t = expected(x);
        const struct sg_limited *who;
        char currency[4];
        uint64_t cost;

        if (costs_nothing(x) || !any_has_budget(p, false, NULL, &who))
                return SG_LIMITING_MAY;
        if (!cost_of(x, &t, currency, &cost)) {
                if (any_has_budget(p, true, NULL, &who))
                        return refuse_unpriced(x, who, "");
                return SG_LIMITING_MAY; /* the soft ones count what is known */
        }
        if (currency[0] && any_has_budget(p, true, currency, &who))
                return refuse_unpriced(x, who, currency);
        /* What is passed on is not read: without a price for each request it would cost nothing here, whatever it orders. */
        if (x->op == SG_OP_PASS && currency[0] && !cost && any_has_budget(p, true, NULL, &who))
                return refuse_unpriced(x, who, "");
        if (!cost && currency[0])
                cost = 1; /* what nobody can tell beforehand is held by a trifle, so that it is settled */
        return hold_costs(x, p, currency, cost);
}

/* Of the attempt before this one: its request stays counted, and what it used is on the last one's account. */
static void let_go_of_lane(struct sg_exchange *x)
{
        struct sg_limiting *l = x->limiting;

        l->provider = NULL;
        l->lane_cost = 0;
        sg_limits_settle(x->worker->shared->limits, &l->lane, 0, 0, sg_loop_now_usec(x->worker->loop),
                         sg_clock_wall_usec());
}

static int reserve_provider(struct sg_exchange *x, const struct sg_limited_list *provider)
{
        const struct sg_tokens t = expected(x);
        const uint64_t n_of[SG_LIMIT_KIND_N] = {
                [SG_LIMIT_REQUESTS] = 1, [SG_LIMIT_CONCURRENT] = 1, [SG_LIMIT_TOKENS] = t.input + t.output};
        struct sg_limiting *l = x->limiting;

        if (provider->n == 0)
                return 0;
        return reserve(x, provider, n_of, "", &l->lane);
}

void sg_limiting_leave_lane(struct sg_exchange *x)
{
        if (!x->limiting)
                return;
        x->limiting->provider = NULL;
        x->limiting->lane_cost = 0;
        sg_limits_release(x->worker->shared->limits, &x->limiting->lane, sg_loop_now_usec(x->worker->loop));
}

enum sg_limiting_lane sg_limiting_lane(struct sg_exchange *x)
{
        struct payers p = {.caller.n = 0};
        enum sg_limiting_lane may;
        struct sg_limiting *l;
        int e = 0;

        sg_limited_add_provider(&p.provider, x->provider->config);
        if (!x->limiting && p.provider.n == 0)
                return SG_LIMITING_MAY;
        l = need(x);
        if (!l)
                return SG_LIMITING_MAY_NOT;
        sg_limited_add_caller(&p.caller, x);
        sg_limited_add_model(&p.model, x->model);
        if (l->provider != x->provider->config || l->attempt != x->attempts->n) {
                let_go_of_lane(x);
                e = reserve_provider(x, &p.provider);
                if (e)
                        return lane_of(x, e);
                l->provider = x->provider->config;
                l->attempt = x->attempts->n;
        }
        may = reserve_cost(x, &p);
        if (may == SG_LIMITING_MAY_NOT)
                sg_limiting_leave_lane(x);
        return may;
}

enum sg_step sg_limiting_instead(struct sg_exchange *x)
{
        struct sg_limiting *l = x->limiting;

        if (!l || l->refused == SG_FAIL_NONE)
                return SG_STEP_FINISH;
        if ((l->refused == SG_FAIL_LIMIT_BUDGET || l->refused == SG_FAIL_NO_PRICE) && x->model && x->model->downgrade &&
            may_use(x, x->model->downgrade) && downgrade(x)) {
                sg_exchange_unfail(x);
                l->refused = SG_FAIL_NONE;
                return SG_STEP_NEXT;
        }
        if (x->attempts->failed != SG_FAIL_NONE)
                return SG_STEP_FINISH; /* who was asked before failed, and that is told */
        sg_exchange_unfail(x);
        return refuse(x);
}

/* ---- the end */

/* By a limit, and nobody was asked before. */
static bool was_refused(const struct sg_exchange *x)
{
        if (x->attempts && x->attempts->failed != SG_FAIL_NONE)
                return false;
        switch (x->failure) {
        case SG_FAIL_LIMIT_REQUESTS:
        case SG_FAIL_LIMIT_TOKENS:
        case SG_FAIL_LIMIT_CONCURRENT:
        case SG_FAIL_LIMIT_BUDGET:
        case SG_FAIL_LIMITS_UNKNOWN:
        case SG_FAIL_NO_PRICE:
                return true;
        default:
                return false;
        }
}

static uint64_t cost_of_usage(const struct sg_exchange *x, char ret_currency[4])
{
        const struct sg_usage *u = &x->usage;
        const struct sg_tokens t = {
                .n_requests = x->failure == SG_FAIL_NONE || u->certainty != SG_CERTAINTY_NONE,
                .input = u->input_tokens,
                .cached = u->cached_tokens,
                .cache_write = u->cache_write_tokens,
                .cache_write_1h = u->cache_write_1h_tokens,
                .output = u->output_tokens,
                .reasoning = u->reasoning_tokens,
                .audio_input = u->audio_input_tokens,
                .audio_output = u->audio_output_tokens,
                .image = u->image_tokens,
        };
        /* What of it has no price of its own is taken for plain input and output, as it was when it was reserved. */
        const struct sg_tokens plain = {.n_requests = t.n_requests, .input = t.input, .output = t.output};
        uint64_t cost;

        ret_currency[0] = '\0';
        if (!x->attempts || !x->provider ||
            (!cost_of(x, &t, ret_currency, &cost) && !cost_of(x, &plain, ret_currency, &cost)))
                return 0;
        return cost;
}

static void settle(struct sg_exchange *x, struct sg_reservation *r, bool is_released, uint64_t cost)
{
        struct sg_limits *limits = x->worker->shared->limits;
        const uint64_t now_usec = sg_loop_now_usec(x->worker->loop);

        if (r->n == 0)
                return;
        if (is_released)
                sg_limits_release(limits, r, now_usec);
        else
                sg_limits_settle(limits, r, x->usage.input_tokens + x->usage.output_tokens, cost, now_usec,
                                 sg_clock_wall_usec());
}

void sg_limiting_settle(struct sg_exchange *x)
{
        struct sg_limiting *l = x->limiting;
        const bool is_released = was_refused(x);
        uint64_t cost = 0, known;
        char currency[4] = "";

        if (!l)
                return;
        stop_waiting(l);
        if (!is_released && l->has_cost)
                cost = cost_of_usage(x, currency);
        known = strcmp(currency, l->currency) == 0 ? cost : 0;
        settle(x, &l->caller, is_released, known);
        settle(x, &l->by_model, is_released, known);
        settle(x, &l->lane, is_released, cost);
}
