/*
 * Answers made here: health, models, failures.
 */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "gateway/attempts.h"
#include "gateway/limiting.h"
#include "gateway/service.h"

static int add_common_fields(struct sg_exchange *x)
{
        int r = sg_h1_add_header(&x->fields, SG_STR("date"), sg_worker_date(x->worker));

        if (!r)
                r = sg_h1_add_header(&x->fields, SG_STR("x-request-id"), sg_str_from(x->request_id));
        if (!r && x->surface == SG_SURFACE_ANTHROPIC) /* where its SDK looks for it */
                r = sg_h1_add_header(&x->fields, SG_STR("request-id"), sg_str_from(x->request_id));
        if (!r && x->attempts)
                r = sg_attempts_add_fields(x);
        if (!r)
                r = sg_limiting_add_fields(x);
        if (!r)
                r = sg_buf_add(&x->fields, SG_STR("content-type: application/json\r\n"));
        return r;
}

static enum sg_step answer_ready(struct sg_exchange *x, unsigned status, int r)
{
        if (!r)
                r = add_common_fields(x);
        if (r)
                return sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        x->status = status;
        x->is_answer_ready = true;
        return SG_STEP_FINISH;
}

enum sg_step sg_answer_empty(struct sg_exchange *x, unsigned status, int r)
{
        if (!r)
                r = sg_h1_add_header(&x->fields, SG_STR("date"), sg_worker_date(x->worker));
        if (!r)
                r = sg_h1_add_header(&x->fields, SG_STR("x-request-id"), sg_str_from(x->request_id));
        if (r)
                return sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        x->status = status;
        x->is_answer_ready = true;
        return SG_STEP_FINISH;
}

enum sg_step sg_answer_json(struct sg_exchange *x, unsigned status, const char *format, ...)
{
        va_list args;
        int r;

        va_start(args, format);
        r = sg_buf_vprintf(&x->answer, format, args);
        va_end(args);
        return answer_ready(x, status, r);
}

static int add_openai_model(struct sg_exchange *x, struct sg_str name, const char *provider)
{
        int r = sg_buf_add(&x->answer, SG_STR("{\"id\":"));

        if (!r)
                r = sg_buf_add_json_string(&x->answer, name);
        if (!r)
                r = sg_buf_printf(&x->answer, ",\"object\":\"model\",\"created\":%llu,\"owned_by\":",
                                  (unsigned long long)(x->snapshot->config->read_wall_usec / SG_USEC_PER_SEC));
        if (!r)
                r = sg_buf_add_json_string(&x->answer, sg_str_from(provider));
        return r ? r : sg_buf_add(&x->answer, SG_STR("}"));
}

static int add_anthropic_model(struct sg_exchange *x, struct sg_str name)
{
        const time_t since = (time_t)(x->snapshot->config->read_wall_usec / SG_USEC_PER_SEC);
        char created[32] = "";
        struct tm tm;
        int r = sg_buf_add(&x->answer, SG_STR("{\"type\":\"model\",\"id\":"));

        if (gmtime_r(&since, &tm))
                (void)strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", &tm);
        if (!r)
                r = sg_buf_add_json_string(&x->answer, name);
        if (!r)
                r = sg_buf_add(&x->answer, SG_STR(",\"display_name\":"));
        if (!r)
                r = sg_buf_add_json_string(&x->answer, name);
        return r ? r : sg_buf_printf(&x->answer, ",\"created_at\":\"%s\"}", created);
}

static int add_model(struct sg_exchange *x, struct sg_str name, const char *provider)
{
        return x->surface == SG_SURFACE_ANTHROPIC ? add_anthropic_model(x, name) : add_openai_model(x, name, provider);
}

static int end_models(struct sg_exchange *x, struct sg_str first, struct sg_str last)
{
        int r;

        if (x->surface != SG_SURFACE_ANTHROPIC)
                return sg_buf_add(&x->answer, SG_STR("]}\n"));
        r = sg_buf_add(&x->answer, SG_STR("],\"has_more\":false,\"first_id\":"));
        if (!r)
                r = first.n ? sg_buf_add_json_string(&x->answer, first) : sg_buf_add(&x->answer, SG_STR("null"));
        if (!r)
                r = sg_buf_add(&x->answer, SG_STR(",\"last_id\":"));
        if (!r)
                r = last.n ? sg_buf_add_json_string(&x->answer, last) : sg_buf_add(&x->answer, SG_STR("null"));
        return r ? r : sg_buf_add(&x->answer, SG_STR("}\n"));
}

struct listing {
        struct sg_exchange *x;
        struct sg_str first, last;
        int r;
};

static void list_model(struct listing *l, const struct sg_config_model *m, struct sg_str name)
{
        if (l->r || (!sg_key_may_use(l->x->key, name) && !sg_key_may_use(l->x->key, sg_str_from(m->name))))
                return;
        if (l->first.n)
                l->r = sg_buf_add(&l->x->answer, SG_STR(","));
        else
                l->first = name;
        l->last = name;
        if (!l->r)
                l->r = add_model(l->x, name, m->targets[0].provider->name);
}

enum sg_step sg_answer_models(struct sg_exchange *x)
{
        const struct sg_config *config = x->snapshot->config;
        struct listing l = {.x = x};

        l.r = sg_buf_add(&x->answer, x->surface == SG_SURFACE_ANTHROPIC ? SG_STR("{\"data\":[")
                                                                        : SG_STR("{\"object\":\"list\",\"data\":["));
        for (size_t i = 0; i < config->n_models; i++) {
                const struct sg_config_model *m = &config->models[i];

                if (!m->is_pattern)
                        list_model(&l, m, sg_str_from(m->name));
                for (size_t k = 0; k < m->n_aliases; k++)
                        list_model(&l, m, sg_str_from(m->aliases[k]));
        }
        if (!l.r)
                l.r = end_models(x, l.first, l.last);
        return answer_ready(x, 200, l.r);
}

enum sg_step sg_answer_model(struct sg_exchange *x)
{
        const struct sg_config_model *m = sg_config_find_model(x->snapshot->config, x->model_id);
        int r;

        if (!sg_exchange_ask_for(x, x->model_id))
                return sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        if (!m || (!sg_key_may_use(x->key, x->model_id) && !sg_key_may_use(x->key, sg_str_from(m->name)))) {
                char names[256];

                sg_models_for_people(x, names, sizeof(names));
                return sg_exchange_fail(x, SG_FAIL_UNKNOWN_MODEL, "'%s' is not known; this key may use: %s",
                                        x->model_asked, names[0] ? names : "(none)");
        }
        r = add_model(x, x->model_id, m->targets[0].provider->name);
        return answer_ready(x, 200, r);
}

void sg_models_for_people(struct sg_exchange *x, char *out, size_t out_bytes)
{
        const struct sg_config *config = x->snapshot->config;
        size_t n = 0;

        out[0] = '\0';
        for (size_t i = 0; i < config->n_models; i++) {
                const char *name = config->models[i].name;
                int wrote;

                if (!sg_key_may_use(x->key, sg_str_from(name)))
                        continue;
                wrote = snprintf(out + n, out_bytes - n, "%s%s", n ? ", " : "", name);
                if (wrote < 0 || n + (size_t)wrote + 8 > out_bytes) {
                        snprintf(out + n, out_bytes - n, ", ...");
                        return;
                }
                n += (size_t)wrote;
        }
}

struct sg_str sg_failure_message(const struct sg_exchange *x, char *out, size_t out_bytes)
{
        const struct sg_failure_row *row = sg_failure_row(x->failure);
        const char *text = x->surface == SG_SURFACE_SIMPLE && row->simple_text ? row->simple_text : row->text;
        struct sg_str whole = sg_str_from(text), word = SG_STR("provider");
        size_t at = x->serving ? sg_str_find(whole, word) : whole.n; /* the table speaks of providers */
        int n = snprintf(out, out_bytes, SG_STR_FMT "%s" SG_STR_FMT "%s%s", SG_STR_ARG(sg_str_head(whole, at)),
                         at < whole.n ? "service" : "", SG_STR_ARG(sg_str_skip(whole, SG_MIN(at + word.n, whole.n))),
                         x->detail ? ": " : "", x->detail ? x->detail : "");

        return sg_str_make(out, n < 0 ? 0 : SG_MIN((size_t)n, out_bytes - 1));
}

/* In Anthropic's dialect the type of an error goes by its status, also inside a stream. */
static unsigned status_to_tell(const struct sg_exchange *x)
{
        enum sg_failure f = x->failure;

        if (x->mode == SG_RELAY_ERROR && x->status >= 400)
                return x->status;
        if (f == SG_FAIL_PROVIDER_IN_BAND && x->attempts)
                f = sg_failure_of_refusal(x->attempts->refusal);
        return f == SG_FAIL_PROVIDER_OVERLOADED ? 529 : sg_failure_row(f)->status;
}

static struct sg_llm_client_error failure_error(struct sg_exchange *x, char *message, size_t message_bytes)
{
        const struct sg_failure_row *row = sg_failure_row(x->failure);

        return (struct sg_llm_client_error){
                .status = status_to_tell(x),
                .type = row->type ? row->type : "server_error",
                .code = row->code,
                .param = x->failure == SG_FAIL_BAD_FIELD && x->note ? x->note
                         : x->failure == SG_FAIL_UNKNOWN_MODEL || x->failure == SG_FAIL_NO_MODEL ||
                                         x->failure == SG_FAIL_MODEL_FORBIDDEN
                                 ? "model"
                                 : NULL,
                .message = sg_failure_message(x, message, message_bytes),
                .request_id = sg_str_from(x->request_id),
                .sequence = x->streaming ? x->streaming->n_given : 0,
        };
}

void sg_answer_failure(struct sg_exchange *x)
{
        const struct sg_failure_row *row = sg_failure_row(x->failure);
        char message[1024];
        struct sg_llm_client_error e = failure_error(x, message, sizeof(message));
        /* Mapped from a provider's error: its status is set, its retry-after and rate limits are passed on. */
        bool is_providers = x->mode == SG_RELAY_ERROR && x->status >= 400;
        int r = 0;

        if (sg_service_answer_grpc_failure(x))
                return;
        sg_buf_clear(&x->answer);
        if (x->mode != SG_RELAY_NONE && !is_providers)
                sg_buf_clear(&x->fields); /* of an answer that is not given */
        if (!is_providers)
                x->status = row->status ? row->status : 500;
        if (is_providers)
                r = sg_buf_add(&x->fields, SG_STR("content-type: application/json\r\n"));
        else
                r = add_common_fields(x);
        if (!r)
                r = sg_service_add_cors(x);
        if (!r && (row->retry_after_sec || x->retry_after_sec) && !is_providers)
                r = sg_h1_add_header_u64(&x->fields, SG_STR("retry-after"),
                                         x->retry_after_sec ? x->retry_after_sec : row->retry_after_sec);
        if (!r && x->status == 401)
                r = sg_buf_add(&x->fields, SG_STR("www-authenticate: Bearer\r\n"));
        if (!r)
                r = sg_llm_error_add_body(&x->answer, x->surface, &e);
        if (r) {
                sg_buf_clear(&x->answer);
                sg_buf_clear(&x->fields);
        }
        x->is_answer_ready = true;
}

int sg_answer_failure_event(struct sg_exchange *x, struct sg_buf *b)
{
        char message[1024];
        struct sg_llm_client_error e = failure_error(x, message, sizeof(message));

        return sg_llm_error_add_event(b, x->surface, &e);
}
