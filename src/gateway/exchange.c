/*
 * The driver. An exchange walks the table below; what it waits for (the body, the provider, the disk) calls
 * sg_exchange_run() when it has come. Whatever happens, the walk leads through `account`, which writes the close
 * record, hands the client the last bytes, counts and logs. Only then may the exchange be let go.
 */
#include "gateway/exchange.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "base/secret.h"
#include "gateway/attempts.h"
#include "gateway/connection.h"
#include "gateway/limiting.h"
#include "gateway/service.h"

#define EXCHANGE_MAGIC   0xe4c4a46eu
#define DETAIL_BYTES_MAX 512
#define NOTE_BYTES_MAX   512
#define TRANSLATED_BYTES_MORE                                                                                          \
        65536 /* escapes double what they stand before, and names are not those of the other dialect */
#define ROOM_BYTES_MAX  (UINT64_C(4) << 20)   /* made at once for a body */
#define LETTING_GO_USEC (1 * SG_USEC_PER_SEC) /* for the provider to end its message after the terminal event */

static const struct stage {
        const char *name;
        enum sg_step (*run)(struct sg_exchange *x);
} stages[SG_STAGE_N] = {
        [SG_STAGE_RECEIVE] = {"receive", sg_stage_receive},
        [SG_STAGE_ROUTE] = {"route", sg_stage_route},
        [SG_STAGE_AUTHENTICATE] = {"authenticate", sg_stage_authenticate},
        [SG_STAGE_ADMIT] = {"admit", sg_stage_admit},
        [SG_STAGE_PREPARE] = {"prepare", sg_stage_prepare},
        [SG_STAGE_CONNECT] = {"connect", sg_stage_connect},
        [SG_STAGE_SEND] = {"send", sg_stage_send},
        [SG_STAGE_RELAY] = {"relay", sg_stage_relay},
        [SG_STAGE_ACCOUNT] = {"account", sg_stage_account},
        [SG_STAGE_OVER] = {"over", NULL},
};

static void exchange_go(struct sg_exchange *x, enum sg_stage_id to)
{
        SG_ASSERT(to > x->stage);
        sg_debug("exchange %s: %s -> %s", x->request_id, stages[x->stage].name, stages[to].name);
        x->stage = to;
}

static struct sg_asked *asked_new(const struct sg_config *config)
{
        struct sg_asked *a = malloc(sizeof(*a)); /* calloc() takes nothing from the thread's cache */

        if (!a)
                return NULL;
        *a = (struct sg_asked){0};
        sg_buf_init(&a->forward, 2 * SG_HEAD_BYTES_MAX);
        sg_buf_init(&a->anthropic, SG_HEAD_BYTES_MAX);
        sg_buf_init(&a->body, config->body_bytes_max);
        sg_buf_init(&a->version, 256);
        sg_buf_init(&a->scratch, 4096);
        sg_buf_init(&a->translated, 2 * config->body_bytes_max + TRANSLATED_BYTES_MORE);
        sg_buf_init(&a->upstream_target, 2 * SG_HEAD_BYTES_MAX);
        return a;
}

static void asked_free(struct sg_asked *a)
{
        if (!a)
                return;
        sg_wipe(a->credential, sizeof(a->credential));
        sg_buf_done(&a->forward);
        sg_buf_done(&a->anthropic);
        sg_buf_done(&a->body);
        sg_buf_done(&a->version);
        sg_buf_done(&a->scratch);
        sg_buf_done(&a->translated);
        sg_buf_done(&a->upstream_target);
        free(a->llm);
        free(a);
}

static void streaming_free(struct sg_streaming *s)
{
        if (!s)
                return;
        sg_sse_done(&s->sse);
        sg_llm_stream_done(&s->stream);
        sg_translator_free(s->translator);
        free(s);
}

static void exchange_free(struct sg_exchange *x)
{
        SG_ASSERT(x->stage == SG_STAGE_OVER && !x->client && !x->upcall);
        sg_serving_free(x->serving);
        sg_attempts_free(x->attempts);
        sg_limiting_free(x->limiting);
        sg_timer_done(&x->timer);
        sg_buf_done(&x->path);
        asked_free(x->asked);
        sg_buf_done(&x->fields);
        sg_buf_done(&x->answer);
        sg_buf_done(&x->tail);
        streaming_free(x->streaming);
        if (x->key)
                sg_key_unref(x->key);
        sg_snapshot_unref(x->snapshot);
        free(x->model_asked);
        free(x->detail);
        free(x->note);
        x->magic = 0;
        free(x);
}

/* At the end of the turn. */
static void exchange_run_deferred(struct sg_deferred *d)
{
        struct sg_exchange *x = SG_CONTAINER(d, struct sg_exchange, deferred);

        if (x->stage == SG_STAGE_OVER)
                exchange_free(x);
        else
                sg_relay_send_head(x);
}

/* The answer is out and accounted for. An upstream message that is not quite at its end gets a moment for it, so that
 * its connection can be used again. */
static void exchange_let_go(struct sg_exchange *x)
{
        struct sg_worker *w = x->worker;

        if (x->charged_bytes) {
                atomic_fetch_sub_explicit(&w->shared->bodies_bytes, x->charged_bytes, memory_order_relaxed);
                x->charged_bytes = 0;
        }
        if (x->upcall && !x->upcall_is_over && x->failure == SG_FAIL_NONE && !w->is_stopping) {
                if (x->is_paused)
                        sg_upcall_resume(x->upcall);
                x->is_paused = false;
                sg_timer_start(&x->timer, LETTING_GO_USEC);
                return;
        }
        sg_exchange_drop_upstream(x);
        sg_timer_stop(&x->timer);
        if (sg_link_is_on_list(&x->link)) {
                sg_list_remove(&w->exchanges, &x->link);
                sg_count(&w->counters.n_exchanges, (uint64_t)-1);
                sg_loop_defer(w->loop, &x->deferred);
                sg_worker_check_drained(w);
        }
}

void sg_exchange_run(struct sg_exchange *x)
{
        SG_ASSERT(x->magic == EXCHANGE_MAGIC && sg_loop_is_mine(x->worker->loop));
        if (x->is_running)
                return; /* the driver below goes on by itself */
        x->is_running = true;
        while (x->stage != SG_STAGE_OVER) {
                enum sg_step step = stages[x->stage].run(x);

                if (step == SG_STEP_WAIT)
                        break;
                if (x->stage == SG_STAGE_ACCOUNT)
                        exchange_go(x, SG_STAGE_OVER);
                else if (step == SG_STEP_FINISH)
                        exchange_go(x, SG_STAGE_ACCOUNT);
                else
                        exchange_go(x, x->stage + 1);
        }
        x->is_running = false;
        if (x->stage == SG_STAGE_OVER)
                exchange_let_go(x);
}

void sg_exchange_finish(struct sg_exchange *x)
{
        if (x->stage < SG_STAGE_ACCOUNT)
                exchange_go(x, SG_STAGE_ACCOUNT);
        sg_exchange_run(x);
}

/* Words that most exchanges do not have: they cost memory only where they stand. Without memory there are none. */
static void set_text(char **text, size_t bytes_max, const char *format, va_list args)
{
        char words[DETAIL_BYTES_MAX];
        int n = vsnprintf(words, bytes_max, format, args);

        free(*text);
        *text = n > 0 ? strdup(words) : NULL;
}

enum sg_step sg_exchange_fail(struct sg_exchange *x, enum sg_failure f, const char *format, ...)
{
        va_list args;

        if (x->failure != SG_FAIL_NONE)
                return SG_STEP_FINISH;
        x->failure = f;
        if (format) {
                va_start(args, format);
                set_text(&x->detail, DETAIL_BYTES_MAX, format, args);
                va_end(args);
        }
        return SG_STEP_FINISH;
}

void sg_exchange_unfail(struct sg_exchange *x)
{
        x->failure = SG_FAIL_NONE;
        x->retry_after_sec = 0;
        free(x->detail);
        x->detail = NULL;
}

bool sg_exchange_ask_for(struct sg_exchange *x, struct sg_str model)
{
        size_t n = SG_MIN(model.n, (size_t)SG_MODEL_ASKED_BYTES_MAX);
        char *copy = calloc(1, n + 1);

        if (!copy)
                return false;
        memcpy(copy, model.p, n);
        free(x->model_asked);
        x->model_asked = copy;
        return true;
}

void sg_exchange_note(struct sg_exchange *x, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        set_text(&x->note, NOTE_BYTES_MAX, format, args);
        va_end(args);
}

/* The one way back. */
void sg_exchange_connect_again(struct sg_exchange *x)
{
        SG_ASSERT(x->stage == SG_STAGE_SEND || x->stage == SG_STAGE_RELAY);
        SG_ASSERT(x->asked && !x->has_begun && !x->upcall);
        sg_debug("exchange %s: %s -> connect", x->request_id, stages[x->stage].name);
        x->stage = SG_STAGE_CONNECT;
        x->is_sent = false;
        sg_exchange_run(x);
}

uint64_t sg_exchange_between_bytes_usec(const struct sg_exchange *x)
{
        return x->serving ? x->serving->service->config->between_bytes_timeout_usec
                          : x->provider->config->between_bytes_timeout_usec;
}

void sg_exchange_drop_upstream(struct sg_exchange *x)
{
        x->upcall = sg_upcall_free(x->upcall);
}

static enum sg_failure lateness_of(const struct sg_exchange *x)
{
        if (x->serving && sg_service_waits_for_client(x))
                return SG_FAIL_BODY_TIMEOUT;
        return x->has_progress ? SG_FAIL_UPSTREAM_STALLED : SG_FAIL_UPSTREAM_FIRST_BYTE;
}

static void exchange_on_time(struct sg_timer *t, void *owner)
{
        struct sg_exchange *x = owner;
        enum sg_failure f;

        if (x->stage == SG_STAGE_OVER) {
                sg_exchange_drop_upstream(x);
                exchange_let_go(x);
                return;
        }
        if (x->stage == SG_STAGE_ACCOUNT) {
                sg_account_unsynced(x);
                return;
        }
        if (sg_limiting_give_up(x))
                return;
        f = lateness_of(x);
        if (x->serving && sg_service_try_again(x, f, "no answer in time"))
                return;
        if (x->mode == SG_RELAY_ERROR) {
                if (sg_relay_take_error(x))
                        return;
        } else if (x->attempts && sg_attempts_again(x, f, NULL)) {
                return;
        } else {
                sg_exchange_fail(x, f, NULL);
        }
        sg_exchange_drop_upstream(x);
        sg_exchange_finish(x);
}

/* ---- from the client's connection */

struct sg_exchange *sg_exchange_new(struct sg_client *c, struct sg_worker *w, const struct sg_head *head)
{
        struct sg_snapshot *snapshot = sg_worker_snapshot(w);
        struct sg_asked *asked = asked_new(snapshot->config);
        struct sg_exchange *x = malloc(sizeof(*x));

        if (x)
                *x = (struct sg_exchange){0};
        if (!x || !asked || sg_timer_init(&x->timer, w->loop, exchange_on_time, x)) {
                asked_free(asked);
                sg_snapshot_unref(snapshot);
                free(x);
                return NULL;
        }
        x->magic = EXCHANGE_MAGIC;
        x->worker = w;
        x->client = c;
        x->snapshot = snapshot;
        x->asked = asked;
        x->deferred.run = exchange_run_deferred;
        (void)sg_str_copy(x->peer, sizeof(x->peer), sg_str_from(sg_connection_peer(c->connection)));
        x->start_usec = sg_loop_now_usec(w->loop);
        x->start_wall_usec = sg_clock_wall_usec();
        x->op = SG_OP_PASS; /* until route says more */
        sg_buf_init(&x->path, SG_TARGET_BYTES_MAX + 16);
        sg_buf_init(&x->fields, 2 * SG_HEAD_BYTES_MAX);
        sg_buf_init(&x->answer, x->snapshot->config->body_bytes_max);
        sg_buf_init(&x->tail, SG_SSE_EVENT_BYTES_MAX);
        sg_list_push(&w->exchanges, &x->link);
        sg_count(&w->counters.n_exchanges, 1);
        sg_count(&w->counters.n_requests, 1);
        if (head) {
                if (!sg_exchange_take_head(x, head))
                        sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        } else {
                snprintf(x->request_id, sizeof(x->request_id), "%016" PRIx64 "%016" PRIx64, sg_random_u64(),
                         sg_random_u64());
        }
        return x;
}

bool sg_exchange_charge(struct sg_exchange *x, uint64_t n)
{
        uint64_t before = atomic_fetch_add_explicit(&x->worker->shared->bodies_bytes, n, memory_order_relaxed);

        x->charged_bytes += n;
        return before + n <= x->snapshot->config->bodies_bytes_max;
}

void sg_exchange_release_request(struct sg_exchange *x)
{
        uint64_t n; /* as it was charged, piece by piece */

        if (!x->asked)
                return;
        n = sg_buf_length(&x->asked->body) + x->asked->translated_bytes;
        atomic_fetch_sub_explicit(&x->worker->shared->bodies_bytes, n, memory_order_relaxed);
        x->charged_bytes -= n;
        asked_free(x->asked);
        x->asked = NULL;
}

void sg_exchange_release_answer(struct sg_exchange *x)
{
        uint64_t n = sg_buf_length(
                &x->answer); /* charged but where it was made here, or came before a stream's first event */

        if (x->mode == SG_RELAY_HOLD || x->mode == SG_RELAY_ERROR) {
                atomic_fetch_sub_explicit(&x->worker->shared->bodies_bytes, n, memory_order_relaxed);
                x->charged_bytes -= n;
        }
        sg_buf_release(&x->answer);
        streaming_free(x->streaming);
        x->streaming = NULL;
}

/* A large body in one piece of memory from its beginning, instead of one that is copied as it doubles. What is announced may
 * never come: so far it costs addresses only. */
static void make_room(struct sg_exchange *x, size_t n_bytes)
{
        char *at;

        if (x->announced_bytes > n_bytes &&
            sg_buf_reserve(&x->asked->body, SG_MIN(x->announced_bytes, ROOM_BYTES_MAX), &at))
                return; /* sg_buf_add() finds out what is wrong */
}

void sg_exchange_body(struct sg_exchange *x, struct sg_str bytes)
{
        int r;

        if (x->stage >= SG_STAGE_ACCOUNT)
                return;
        if (x->serving) {
                sg_service_body(x, bytes);
                return;
        }
        if (!x->asked)
                return;
        if (sg_buf_length(&x->asked->body) == 0)
                make_room(x, bytes.n);
        r = sg_buf_add(&x->asked->body, bytes);
        if (r == SG_BUF_E_FULL)
                sg_exchange_fail(x, SG_FAIL_BODY_TOO_LARGE, NULL);
        else if (r)
                sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        else if (!sg_exchange_charge(x, bytes.n))
                sg_exchange_fail(x, SG_FAIL_BODIES_FULL, NULL);
        else
                return;
        sg_exchange_finish(x);
}

uint64_t sg_exchange_body_bytes_max(const struct sg_exchange *x)
{
        return x->serving ? x->serving->service->config->body_bytes_max : x->snapshot->config->body_bytes_max;
}

void sg_exchange_body_end(struct sg_exchange *x)
{
        x->is_body_whole = true;
        if (x->serving && x->stage < SG_STAGE_ACCOUNT)
                sg_service_body_end(x);
        sg_exchange_run(x);
}

bool sg_exchange_leaves_body_time(const struct sg_exchange *x)
{
        return !x->serving || x->serving->is_held || x->stage < SG_STAGE_SEND;
}

void sg_exchange_refuse(struct sg_exchange *x, enum sg_failure f)
{
        if (x->stage >= SG_STAGE_ACCOUNT)
                return; /* what the client gets is decided and recorded, and the connection closes behind it */
        sg_exchange_fail(x, f, NULL);
        sg_exchange_finish(x);
}

void sg_exchange_client_gone(struct sg_exchange *x, enum sg_failure why)
{
        x->client = NULL;
        if (x->stage >= SG_STAGE_ACCOUNT) {
                if (x->stage == SG_STAGE_ACCOUNT && !x->note)
                        sg_exchange_note(x, "the client left while its record went to disk");
                return; /* what became of it is in the record already */
        }
        if (why == SG_FAIL_CLIENT_GONE && sg_attempts_drain(x))
                return;
        sg_exchange_fail(x, why, NULL);
        sg_exchange_drop_upstream(x);
        sg_exchange_finish(x);
}

void sg_exchange_client_drained(struct sg_exchange *x)
{
        if (!x->is_paused)
                return;
        x->is_paused = false;
        if (x->upcall && !x->upcall_is_over)
                sg_upcall_resume(x->upcall);
        if (x->stage == SG_STAGE_RELAY)
                sg_timer_start(&x->timer, sg_exchange_between_bytes_usec(x));
}

void sg_exchange_cut(struct sg_exchange *x)
{
        if (x->stage == SG_STAGE_OVER) {
                sg_exchange_drop_upstream(x);
                exchange_let_go(x);
                return;
        }
        if (x->stage == SG_STAGE_ACCOUNT)
                return; /* recorded as what it is; the client gets it once the disk has the record */
        sg_exchange_fail(x, SG_FAIL_DRAIN_TIMEOUT, NULL);
        sg_exchange_drop_upstream(x);
        sg_exchange_finish(x);
}
