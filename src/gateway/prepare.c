/*
 * prepare: the whole body is here; what it asks for, of which model. Who is asked is chosen in connect, attempt by attempt.
 */
#include <stdio.h>

#include "gateway/attempts.h"
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
        if (!sg_key_may_use(x->key, name) && !sg_key_may_use(x->key, sg_str_from(x->model->name)))
                return refuse_model(x, SG_FAIL_MODEL_FORBIDDEN, "not among this key's models");
        return SG_STEP_NEXT;
}

static bool may_be_form(enum sg_operation op)
{
        return op == SG_OP_IMAGES || op == SG_OP_TRANSCRIPTION;
}

static enum sg_step read_body(struct sg_exchange *x)
{
        struct sg_llm_fault fault = {0};
        struct sg_llm_request *req = &x->asked->llm->request;
        struct sg_str body = sg_buf_view(&x->asked->body);
        const bool has_default = x->snapshot->default_model != NULL;
        const bool is_form = x->asked->content_type[0] && may_be_form(x->op);
        int r;

        if (is_form && x->asked->boundary.n == 0)
                return sg_exchange_fail(x, SG_FAIL_BAD_FIELD, "'content-type' of a form must name one boundary");
        r = is_form ? sg_llm_form_read(req, x->op, body, x->asked->boundary, has_default, &fault)
                    : sg_llm_request_read(req, x->op, body, has_default, &fault);
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

/* Whether its body names a model that is known: then it goes where that goes. */
static enum sg_step prepare_pass(struct sg_exchange *x)
{
        if (x->is_json && sg_buf_length(&x->asked->body)) {
                const struct sg_llm_request *req = &x->asked->llm->request;

                if (read_body(x) == SG_STEP_FINISH)
                        return SG_STEP_FINISH;
                if (req->model_name[0] && sg_config_find_model(x->snapshot->config, sg_str_from(req->model_name)))
                        return choose_model(x);
        }
        return choose_default_provider(x);
}

static enum sg_step prepare_body(struct sg_exchange *x)
{
        enum sg_step step;

        if (x->op == SG_OP_PASS)
                return prepare_pass(x);
        step = read_body(x);
        return step == SG_STEP_NEXT ? choose_model(x) : step;
}

enum sg_step sg_stage_prepare(struct sg_exchange *x)
{
        if (x->serving)
                return sg_service_prepare(x);
        if (!x->is_body_whole)
                return SG_STEP_WAIT;
        if (x->op == SG_OP_MODEL_LIST)
                return sg_answer_models(x);
        if (x->op == SG_OP_MODEL_GET)
                return sg_answer_model(x);
        if (prepare_body(x) == SG_STEP_FINISH)
                return SG_STEP_FINISH;
        x->prompt_bytes = sg_buf_length(&x->asked->body);
        return sg_attempts_new(x) ? SG_STEP_NEXT : sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
}
