/*
 * prepare: the whole body is here; which model and provider it is for, and what it becomes on the way there.
 */
#include <stdio.h>

#include "gateway/exchange.h"
#include "gateway/service.h"

static enum sg_step refuse_model(struct sg_exchange *x, enum sg_failure f, const char *why)
{
        char names[256];

        sg_models_for_people(x, names, sizeof(names));
        return sg_exchange_fail(x, f, "'%s' is %s; this key may use: %s", x->model_asked, why,
                                names[0] ? names : "(none)");
}

static enum sg_step choose_model(struct sg_exchange *x)
{
        struct sg_str name = sg_str_from(x->asked->llm->request.model_name);
        const struct sg_config_target *target;

        if (name.n == 0) {
                if (!x->snapshot->default_model)
                        return sg_exchange_fail(x, SG_FAIL_NO_MODEL, NULL);
                name = SG_STR("default");
        }
        if (!sg_exchange_ask_for(x, name))
                return sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        if (!sg_str_is_utf8(name) || !sg_header_value_is_valid(name))
                return sg_exchange_fail(x, SG_FAIL_BAD_FIELD, "'model' holds control characters");
        x->model = sg_config_find_model(x->snapshot->config, name);
        if (!x->model)
                return refuse_model(x, SG_FAIL_UNKNOWN_MODEL, "not known");
        if (!sg_key_may_use(x->key, name))
                return refuse_model(x, SG_FAIL_MODEL_FORBIDDEN, "not among this key's models");
        target = sg_model_choose(x->model);
        x->provider = sg_snapshot_provider(x->snapshot, target->provider);
        x->model_upstream = target->upstream_model ? target->upstream_model : x->model_asked;
        return SG_STEP_NEXT;
}

static enum sg_step read_body(struct sg_exchange *x)
{
        struct sg_llm_fault fault = {0};
        int r = sg_llm_request_read(&x->asked->llm->request, x->op, sg_buf_view(&x->asked->body),
                                    x->snapshot->default_model != NULL, &fault);

        switch (r) {
        case 0:
                x->is_stream = x->asked->llm->request.is_stream;
                return SG_STEP_NEXT;
        case SG_LLM_E_NO_MODEL:
                return sg_exchange_fail(x, SG_FAIL_NO_MODEL, "name one in 'model'");
        case SG_LLM_E_BAD_FIELD:
                sg_exchange_note(x, "%s", fault.param);
                return sg_exchange_fail(x, SG_FAIL_BAD_FIELD, "%s", fault.text);
        default:
                return sg_exchange_fail(x, SG_FAIL_BAD_JSON, "%s", fault.text);
        }
}

static enum sg_step write_body(struct sg_exchange *x)
{
        struct sg_asked *a = x->asked;
        int r = sg_llm_request_write(&a->llm->request, sg_str_from(x->model_upstream), &a->scratch,
                                     &a->llm->upstream_body);

        x->prompt_bytes = a->llm->upstream_body.n_bytes;
        return r ? sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL) : SG_STEP_NEXT;
}

/* Other /v1/ paths go where their model goes if they name one that is known, else to the default provider: that of the
 * model "default", or the only one there is. */
static enum sg_step choose_default_provider(struct sg_exchange *x)
{
        const struct sg_config *config = x->snapshot->config;

        if (!x->key->all_models)
                return sg_exchange_fail(x, SG_FAIL_MODEL_FORBIDDEN,
                                        "this key is bound to models, and the request names none that is known");
        if (x->snapshot->default_model)
                x->provider = sg_snapshot_provider(x->snapshot, x->snapshot->default_model->targets[0].provider);
        else if (config->n_providers == 1)
                x->provider = &x->snapshot->providers[0];
        else
                return sg_exchange_fail(x, SG_FAIL_UNKNOWN_ROUTE,
                                        "this path is passed to the default provider, and there is none");
        return SG_STEP_NEXT;
}

static enum sg_step prepare_pass(struct sg_exchange *x)
{
        struct sg_str body = sg_buf_view(&x->asked->body);

        if (x->is_json && body.n) {
                if (read_body(x) == SG_STEP_FINISH)
                        return SG_STEP_FINISH;
                if (x->asked->llm->request.model_name[0] &&
                    sg_config_find_model(x->snapshot->config, sg_str_from(x->asked->llm->request.model_name))) {
                        if (choose_model(x) == SG_STEP_FINISH)
                                return SG_STEP_FINISH;
                        return write_body(x);
                }
        }
        x->asked->llm->upstream_body.pieces[0] = body;
        x->asked->llm->upstream_body.n_pieces = body.n ? 1 : 0;
        x->asked->llm->upstream_body.n_bytes = x->prompt_bytes = body.n;
        return choose_default_provider(x);
}

enum sg_step sg_stage_prepare(struct sg_exchange *x)
{
        if (x->serving)
                return sg_service_prepare(x);
        if (!x->is_body_whole)
                return SG_STEP_WAIT;
        switch (x->op) {
        case SG_OP_MODEL_LIST:
                return sg_answer_models(x);
        case SG_OP_MODEL_GET:
                return sg_answer_model(x);
        case SG_OP_PASS:
                return prepare_pass(x);
        default:
                break;
        }
        if (read_body(x) == SG_STEP_FINISH || choose_model(x) == SG_STEP_FINISH)
                return SG_STEP_FINISH;
        return write_body(x);
}
