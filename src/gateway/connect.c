/*
 * connect and send: the open record is in the journal before the request leaves for the provider.
 */
#include "gateway/connect.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/message_id.h"
#include "base/secret.h"
#include "gateway/echo.h"
#include "gateway/exchange.h"
#include "gateway/record.h"
#include "gateway/service.h"

#define JOURNAL_FULL_TELL_USEC (10 * SG_USEC_PER_SEC)

static int write_target(struct sg_exchange *x)
{
        struct sg_str query, path = sg_target_path(sg_buf_view(&x->path), &query);
        struct sg_buf *b = &x->asked->upstream_target;
        int r;

        if (x->op == SG_OP_CHAT) /* also from /v1/chat */
                path = SG_STR("/chat/completions");
        else
                path = sg_str_skip(path, 3); /* "/v1", which the base URL brings itself */
        r = sg_buf_add(b, sg_str_from(x->provider->config->path_prefix));
        if (!r)
                r = sg_buf_add(b, path);
        if (!r && query.n)
                r = sg_buf_add(b, SG_STR("?"));
        if (!r && query.n)
                r = sg_buf_add(b, query);
        return r;
}

/* Compression is declined: usage and the ends of streams could not be seen through it. */
static int gather_fields(struct sg_exchange *x)
{
        const struct sg_config_provider *c = x->provider->config;
        struct sg_asked *a = x->asked;
        int r = 0;

        if (c->dialect == SG_DIALECT_ECHO)
                r = sg_h1_add_header_u64(&a->forward, SG_ECHO_PACE_FIELD, c->echo_pace_usec);
        if (x->provider->authorization)
                a->upstream_fields[a->n_upstream_fields++] = sg_secret_bytes(x->provider->authorization);
        a->upstream_fields[a->n_upstream_fields++] = SG_STR("accept-encoding: identity\r\n");
        a->upstream_fields[a->n_upstream_fields++] = sg_buf_view(&a->forward);
        SG_ASSERT(a->n_upstream_fields <= SG_N_ELEMENTS(a->upstream_fields));
        return r;
}

static bool has_body(const struct sg_exchange *x)
{
        return x->asked->llm->upstream_body.n_bytes || x->op != SG_OP_PASS || x->method == SG_METHOD_POST ||
               x->method == SG_METHOD_PUT || x->method == SG_METHOD_PATCH;
}

/* Loud, but not a line for each exchange. */
static void tell_journal_full(struct sg_worker *w, bool is_counted)
{
        uint64_t now_usec = sg_loop_now_usec(w->loop);

        if (w->journal_full_told_usec && now_usec - w->journal_full_told_usec < JOURNAL_FULL_TELL_USEC)
                return;
        w->journal_full_told_usec = now_usec;
        sg_log_notable(SG_LOG_ERR, SG_MESSAGE_JOURNAL_FULL,
                       "the journal of worker %u is full, as the ledger does not drain it (its own log says why): %s",
                       w->number,
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
        if (r == SG_RING_E_FULL)
                tell_journal_full(x->worker, is_counted);
        if (r == SG_RING_E_FULL && is_counted) {
                sg_exchange_note(x, "no usage record: the journal is full");
                sg_count(&x->worker->counters.n_unrecorded, 1);
                return SG_STEP_NEXT;
        }
        return sg_exchange_fail(x, r == SG_RING_E_FULL ? SG_FAIL_JOURNAL_FULL : SG_FAIL_INTERNAL, NULL);
}

static enum sg_step connect_provider(struct sg_exchange *x)
{
        const enum sg_method method = x->op == SG_OP_PASS ? x->method : SG_METHOD_POST;
        const char *authority = x->provider->config->authority;
        struct sg_endpoint endpoint = x->provider->endpoint;
        struct sg_upcall_request request;
        int r;

        if (write_target(x) || gather_fields(x))
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
                .may_resend = true,
        };
        r = sg_upcall_new(&x->upcall, x->worker->upstream, &endpoint, &request, &sg_relay_listener, x);
        if (r)
                return sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        sg_timer_start(&x->timer, x->provider->config->first_byte_timeout_usec);
        return SG_STEP_NEXT;
}

enum sg_step sg_stage_connect(struct sg_exchange *x)
{
        if (x->key && !x->has_record && open_record(x) == SG_STEP_FINISH)
                return SG_STEP_FINISH;
        return x->serving ? sg_service_connect(x) : connect_provider(x);
}

enum sg_step sg_stage_send(struct sg_exchange *x)
{
        return x->is_sent ? SG_STEP_NEXT : SG_STEP_WAIT;
}
