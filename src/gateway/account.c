/*
 * account: where every exchange ends. In this order, since SIGKILL may come between any two lines:
 *   1. what the client will get is complete in memory,
 *   2. the close record is in the journal (with sync = always: on disk),
 *   3. the last bytes go to the client,
 *   4. counters and the access line.
 * An answered exchange has its event, then; one that dies before 2 is found by its open record.
 */

#include "base/message_id.h"
#include "gateway/attempts.h"
#include "gateway/dialect.h"
#include "gateway/limiting.h"
#include "gateway/record.h"
#include "gateway/service.h"
#include "gateway/sync.h"

#define SYNC_WAIT_USEC_MAX (10 * SG_USEC_PER_SEC) /* for a disk; beyond it something is broken */

/* The journal writes down what llm/ calls it; neither room knows the other. */
_Static_assert((int)SG_CERTAINTY_NONE == (int)SG_RECORD_CERTAINTY_NONE &&
                       (int)SG_CERTAINTY_MEASURED == (int)SG_RECORD_CERTAINTY_MEASURED &&
                       (int)SG_CERTAINTY_PARTIAL == (int)SG_RECORD_CERTAINTY_PARTIAL &&
                       (int)SG_CERTAINTY_ESTIMATED == (int)SG_RECORD_CERTAINTY_ESTIMATED,
               "the words of records and of usage agree");

static enum sg_outcome outcome_of(const struct sg_exchange *x)
{
        if (x->attempts && x->attempts->is_draining)
                return SG_OUTCOME_CLIENT_GONE; /* whatever became of the answer */
        switch (x->failure) {
        case SG_FAIL_NONE:
                return SG_OUTCOME_COMPLETE;
        case SG_FAIL_CLIENT_GONE:
        case SG_FAIL_WRITE_TIMEOUT:
                return SG_OUTCOME_CLIENT_GONE;
        default:
                return x->has_begun ? SG_OUTCOME_TRUNCATED : SG_OUTCOME_FAILED;
        }
}

static void settle_usage(struct sg_exchange *x)
{
        const bool may_be_billed = sg_attempts_may_be_billed(x, x->failure) || x->attempts->may_have_counted;

        if (x->streaming) {
                x->usage = sg_llm_stream_usage(&x->streaming->stream, x->prompt_bytes);
        } else if (x->failure != SG_FAIL_NONE && may_be_billed && sg_dialect_counts_tokens(x->op) &&
                   x->usage.certainty == SG_CERTAINTY_NONE) {
                x->usage = (struct sg_usage){.certainty = SG_CERTAINTY_ESTIMATED};
                sg_usage_fill_input(&x->usage, x->prompt_bytes);
        }
}

/* Who was asked: a provider, or a service. */
static struct sg_str asked_name(const struct sg_exchange *x)
{
        return sg_str_from(x->serving ? x->serving->service->config->name : x->provider->config->name);
}

static struct sg_str operation_name(const struct sg_exchange *x)
{
        return x->serving ? SG_STR("service") : sg_str_from(sg_operation_name(x->op));
}

/* A client that left while its answer was read on is not one that got it. */
static void settle_attempts(struct sg_exchange *x)
{
        if (x->attempts->is_draining)
                sg_exchange_fail(x, SG_FAIL_CLIENT_GONE, NULL);
        settle_usage(x);
        sg_attempts_settle(x);
}

static void settle_service(struct sg_exchange *x)
{
        sg_timer_stop(&x->serving->total);
        x->prompt_bytes = x->serving->n_taken;
        sg_service_settle(x, sg_service_result(x, x->failure), sg_failure_name(x->failure));
}

void sg_record_of_exchange(const struct sg_exchange *x, struct sg_record *ret)
{
        *ret = (struct sg_record){
                .kind = SG_RECORD_OPEN,
                .start_wall_usec = x->start_wall_usec,
                .key_id = x->key->id,
                .request_id = sg_str_from(x->request_id),
                .key_name = sg_str_from(x->key->name),
                .operation = operation_name(x),
                .model = sg_exchange_text(x->model_asked),
                .provider = asked_name(x),
                .upstream_model = sg_exchange_text(x->model_upstream),
                .credential = x->attempts && x->attempts->pick.credential
                                      ? sg_str_from(x->attempts->pick.credential->name)
                                      : SG_STR_NONE,
                .prompt_bytes = x->prompt_bytes,
                .flags = x->is_stream ? SG_RECORD_STREAM : 0,
        };
}

static void close_record(struct sg_exchange *x)
{
        struct sg_record rec;

        sg_record_of_exchange(x, &rec);
        rec.kind = SG_RECORD_CLOSE;
        rec.outcome = x->outcome;
        rec.status = x->status;
        rec.n_attempts = x->attempts ? x->attempts->n : x->serving ? x->serving->n_attempts : 0;
        rec.certainty = x->usage.certainty;
        rec.input_tokens = x->usage.input_tokens;
        rec.output_tokens = x->usage.output_tokens;
        rec.cached_tokens = x->usage.cached_tokens;
        rec.cache_write_tokens = x->usage.cache_write_tokens;
        rec.cache_write_1h_tokens = x->usage.cache_write_1h_tokens;
        rec.reasoning_tokens = x->usage.reasoning_tokens;
        rec.audio_input_tokens = x->usage.audio_input_tokens;
        rec.audio_output_tokens = x->usage.audio_output_tokens;
        rec.image_tokens = x->usage.image_tokens;
        rec.duration_usec = sg_loop_now_usec(x->worker->loop) - x->start_usec;
        rec.first_byte_usec = x->first_byte_usec;
        rec.answer_bytes = x->mode != SG_RELAY_HOLD     ? x->relayed_bytes + sg_buf_length(&x->tail)
                           : x->failure == SG_FAIL_NONE ? sg_buf_length(&x->answer)
                                                        : 0;
        rec.reason = x->failure == SG_FAIL_NONE ? SG_STR_NONE : sg_str_from(sg_failure_name(x->failure));
        rec.raw_usage = x->usage.raw;
        if (x->mode == SG_RELAY_STREAM)
                rec.flags |= SG_RECORD_STREAM;
        sg_ring_close(x->worker->ring, x->record_number, &rec, &x->close_sequence);
        sg_count(&x->worker->counters.n_recorded, 1);
}

/* ---- the client's last bytes */

static bool has_trailers(const struct sg_exchange *x)
{
        return x->serving && sg_buf_length(&x->serving->trailers);
}

static void deliver_rest(struct sg_exchange *x)
{
        struct sg_str tail;

        if (x->failure == SG_FAIL_NONE) {
                tail = sg_buf_view(&x->tail);
                if (!has_trailers(x)) {
                        sg_client_send(x->client, &tail, tail.n ? 1 : 0, true);
                        return;
                }
                if (tail.n)
                        sg_client_send(x->client, &tail, 1, false);
                sg_client_send_trailers(x->client, sg_buf_view(&x->serving->trailers));
                return;
        }
        if (sg_service_end_grpc(x))
                return;
        if (x->mode == SG_RELAY_STREAM && sg_answer_failure_event(x, &x->tail) == 0) {
                tail = sg_buf_view(&x->tail);
                sg_client_send(x->client, &tail, 1, false);
        }
        sg_client_break(x->client);
}

static void deliver(struct sg_exchange *x)
{
        struct sg_client *c = x->client;

        if (!c)
                return;
        if (x->has_begun) {
                deliver_rest(x);
        } else if ((x->mode == SG_RELAY_STREAM || x->mode == SG_RELAY_RAW) && x->failure == SG_FAIL_NONE) {
                struct sg_str tail = sg_buf_view(&x->tail); /* all of it came in one read */

                sg_client_send_head(c, x->status, sg_buf_view(&x->fields), x->has_length, x->length, &tail,
                                    tail.n ? 1 : 0, !has_trailers(x));
                if (has_trailers(x))
                        sg_client_send_trailers(c, sg_buf_view(&x->serving->trailers));
        } else if (sg_service_is_grpc(x)) {
                sg_client_send_head(c, 200, sg_buf_view(&x->fields), false, 0, NULL, 0, true);
        } else {
                struct sg_str body = sg_buf_view(&x->answer);

                SG_ASSERT(x->is_answer_ready);
                sg_client_send_head(c, x->status, sg_buf_view(&x->fields), true, body.n, &body, 1, true);
        }
        x->client = NULL;
        sg_client_exchange_over(c);
}

/* ---- counters and the access line */

static void count(struct sg_exchange *x)
{
        struct sg_counters *n = &x->worker->counters;

        if (x->status >= 100 && x->status < 600)
                sg_count(&n->by_class[x->status / 100], 1);
        sg_count(&n->by_failure[x->failure], 1);
        if (x->mode == SG_RELAY_STREAM)
                sg_count(&n->n_streams, 1);
        sg_count(&n->input_tokens, x->usage.input_tokens);
        sg_count(&n->output_tokens, x->usage.output_tokens);
}

#define LOGGED_PATH_BYTES_MAX 200

static struct sg_log_field number_field(const char *name, char out[SG_U64_DIGITS_MAX], uint64_t v)
{
        return (struct sg_log_field){name, sg_str_u64(out, v)};
}

/* "POST /v1/chat/completions 200" */
static struct sg_str access_message(const struct sg_exchange *x, char out[LOGGED_PATH_BYTES_MAX + 64])
{
        struct sg_str path = sg_target_path(sg_buf_view(&x->path), NULL);
        char digits[SG_U64_DIGITS_MAX];
        size_t n;

        n = sg_str_copy(out, 32, sg_str_from(sg_method_name(x->method)));
        out[n++] = ' ';
        n += sg_str_copy(out + n, LOGGED_PATH_BYTES_MAX + 1, path);
        out[n++] = ' ';
        n += sg_str_copy(out + n, 31, sg_str_u64(digits, x->status));
        return sg_str_make(out, n);
}

static size_t add_service(const struct sg_exchange *x, struct sg_log_field *fields, size_t n,
                          char number[SG_U64_DIGITS_MAX])
{
        const struct sg_serving *s = x->serving;

        if (!s)
                return n;
        fields[n++] = (struct sg_log_field){"SCRIBE_OPERATION", operation_name(x)};
        fields[n++] = (struct sg_log_field){"SCRIBE_SERVICE", asked_name(x)};
        if (s->endpoint)
                fields[n++] = (struct sg_log_field){"SCRIBE_ENDPOINT", sg_str_from(s->endpoint)};
        if (s->n_attempts > 1)
                fields[n++] = number_field("SCRIBE_ATTEMPTS", number, s->n_attempts);
        if (s->subject)
                fields[n++] = (struct sg_log_field){"SCRIBE_SUBJECT", sg_str_from(s->subject)};
        return n;
}

static size_t add_attempts(const struct sg_exchange *x, struct sg_log_field *fields, size_t n,
                           char number[SG_U64_DIGITS_MAX])
{
        const struct sg_attempts *a = x->attempts;

        if (!a || a->n == 0)
                return n;
        if (a->n > 1)
                fields[n++] = number_field("SCRIBE_ATTEMPTS", number, a->n);
        if (x->provider->config->n_credentials > 1)
                fields[n++] = (struct sg_log_field){"SCRIBE_CREDENTIAL", sg_str_from(a->pick.credential->name)};
        return n;
}

static void log_access(struct sg_exchange *x)
{
        enum sg_log_level level = x->is_local ? SG_LOG_DEBUG : sg_failure_row(x->failure)->level;
        uint64_t took_usec = sg_loop_now_usec(x->worker->loop) - x->start_usec;
        char numbers[8][SG_U64_DIGITS_MAX], message[LOGGED_PATH_BYTES_MAX + 64];
        struct sg_log_field fields[24];
        size_t n = 0;

        if (!x->snapshot->config->log_access || !sg_log_wants(level) ||
            !sg_repeats_take(&x->worker->repeats, x->failure, sg_loop_now_usec(x->worker->loop)))
                return;
        fields[n++] = (struct sg_log_field){"SCRIBE_REQUEST", sg_str_from(x->request_id)};
        fields[n++] = (struct sg_log_field){"SCRIBE_CLIENT", sg_str_from(x->peer)};
        fields[n++] = number_field("SCRIBE_STATUS", numbers[0], x->status);
        n = add_service(x, fields, n, numbers[7]);
        n = add_attempts(x, fields, n, numbers[7]);
        if (x->provider || x->op != SG_OP_PASS) /* else it came to no operation */
                fields[n++] = (struct sg_log_field){"SCRIBE_OPERATION", sg_str_from(sg_operation_name(x->op))};
        if (x->key)
                fields[n++] = (struct sg_log_field){"SCRIBE_KEY", sg_str_from(x->key->name)};
        if (x->model_asked)
                fields[n++] = (struct sg_log_field){"SCRIBE_MODEL", sg_exchange_text(x->model_asked)};
        if (x->provider)
                fields[n++] = (struct sg_log_field){"SCRIBE_PROVIDER", sg_str_from(x->provider->config->name)};
        if (x->model_upstream && strcmp(x->model_upstream, x->model_asked) != 0)
                fields[n++] = (struct sg_log_field){"SCRIBE_UPSTREAM_MODEL", sg_exchange_text(x->model_upstream)};
        if (x->upstream_status && x->upstream_status != x->status)
                fields[n++] = number_field("SCRIBE_UPSTREAM_STATUS", numbers[5], x->upstream_status);
        if (x->provider && x->op != SG_OP_PASS) {
                fields[n++] = number_field("SCRIBE_INPUT_TOKENS", numbers[1], x->usage.input_tokens);
                fields[n++] = number_field("SCRIBE_OUTPUT_TOKENS", numbers[2], x->usage.output_tokens);
                if (x->usage.cached_tokens)
                        fields[n++] = number_field("SCRIBE_CACHED_TOKENS", numbers[6], x->usage.cached_tokens);
                fields[n++] =
                        (struct sg_log_field){"SCRIBE_CERTAINTY", sg_str_from(sg_certainty_name(x->usage.certainty))};
        }
        fields[n++] = number_field("SCRIBE_DURATION_USEC", numbers[3], took_usec);
        if (x->first_byte_usec)
                fields[n++] = number_field("SCRIBE_FIRST_BYTE_USEC", numbers[4], x->first_byte_usec);
        if (x->failure != SG_FAIL_NONE)
                fields[n++] = (struct sg_log_field){"SCRIBE_REASON", sg_str_from(sg_failure_name(x->failure))};
        if (x->note)
                fields[n++] = (struct sg_log_field){"SCRIBE_DETAIL", sg_exchange_text(x->note)};
        if (x->has_record)
                fields[n++] = (struct sg_log_field){"SCRIBE_OUTCOME", sg_str_from(sg_outcome_name(x->outcome))};
        SG_ASSERT(n <= SG_N_ELEMENTS(fields));
        sg_log_text(level, SG_MESSAGE_EXCHANGE, fields, n, access_message(x, message));
}

/* What is wrong is the gateway's own key: whoever runs it must know, beside the clients who get 502. */
static void tell_credential_refused(const struct sg_exchange *x)
{
        struct sg_str name = sg_str_from(x->provider->config->name);
        const struct sg_log_field fields[] = {
                {"SCRIBE_PROVIDER", name},
                {"SCRIBE_REQUEST", sg_str_from(x->request_id)},
                {"SCRIBE_DETAIL", sg_exchange_text(x->note)},
        };

        if (sg_log_wants(SG_LOG_ERR) && sg_snapshot_may_tell_credential(x->provider))
                sg_log_line(SG_LOG_ERR, SG_MESSAGE_PROVIDER_CREDENTIAL, fields, SG_N_ELEMENTS(fields),
                            "provider \"" SG_STR_FMT "\" refuses our credential: clients get 502", SG_STR_ARG(name));
}

void sg_account_unsynced(struct sg_exchange *x)
{
        if (!sg_link_is_on_list(&x->sync_link))
                return;
        sg_list_remove(&x->worker->waiting_sync, &x->sync_link);
        x->is_synced = true;              /* as far as the client is concerned */
        if (x->failure == SG_FAIL_NONE) { /* else it gets its error, which nobody pays for */
                sg_exchange_fail(x, SG_FAIL_JOURNAL_SYNC, NULL);
                sg_buf_clear(&x->tail);
                if (!x->has_begun)
                        sg_answer_failure(x);
        }
        sg_exchange_run(x);
}

enum sg_step sg_stage_account(struct sg_exchange *x)
{
        if (!x->close_sequence) {
                sg_timer_stop(&x->timer);
                if (x->attempts)
                        settle_attempts(x);
                if (x->serving)
                        settle_service(x);
                sg_limiting_settle(x);
                x->outcome = outcome_of(x);
                if (x->outcome == SG_OUTCOME_CLIENT_GONE && !x->has_begun)
                        x->status = 499; /* nobody was told anything; nginx's number for it */
                else if (x->failure != SG_FAIL_NONE && !x->has_begun && !x->is_answer_ready)
                        sg_answer_failure(x);
                if (x->has_record)
                        close_record(x);
        }
        if (x->has_record && !x->is_synced && x->worker->shared->sync &&
            x->snapshot->config->journal_sync == SG_JOURNAL_SYNC_ALWAYS) {
                if (!sg_link_is_on_list(&x->sync_link)) {
                        sg_sync_wait(x);
                        sg_timer_start(&x->timer, SYNC_WAIT_USEC_MAX);
                }
                return SG_STEP_WAIT;
        }
        sg_timer_stop(&x->timer);
        deliver(x);
        count(x);
        if (x->attempts)
                sg_attempts_note_all(x);
        log_access(x);
        if (x->failure == SG_FAIL_PROVIDER_CREDENTIAL)
                tell_credential_refused(x);
        return SG_STEP_NEXT;
}
