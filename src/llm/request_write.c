#include "llm/text.h"

/* What is to be done with the body; inserts are constants or lie in the scratch buffer. */
struct plan {
        struct sg_json_edit edits[SG_JSON_EDITS_MAX];
        size_t n;
};

static void add_edit(struct plan *p, struct sg_json_edit e)
{
        SG_ASSERT(p->n < SG_JSON_EDITS_MAX);
        p->edits[p->n++] = e;
}

static struct sg_json_value whole(const struct sg_llm_request *req)
{
        return (struct sg_json_value){SG_JSON_OBJECT, sg_llm_trim(req->body)};
}

/* Nothing is written to the scratch after this, so its bytes stay where they are. */
static int plan_model(struct plan *p, const struct sg_llm_request *req, struct sg_str upstream_model,
                      struct sg_buf *scratch)
{
        struct sg_llm_put o = {.to = scratch};
        bool insert = req->model.value.kind == SG_JSON_NONE;
        size_t from = sg_buf_length(scratch);
        struct sg_str text;

        if (upstream_model.n == 0 || sg_str_eq(upstream_model, sg_str_from(req->model_name)))
                return 0;
        if (insert && req->op == SG_OP_PASS)
                return 0; /* an unknown request that names no model may not take one */
        if (insert)
                sg_llm_put(&o, SG_STR("\"model\":"));
        sg_llm_put_string(&o, upstream_model);
        if (insert && !sg_json_is_empty(whole(req)))
                sg_llm_put(&o, SG_STR(","));
        if (o.r)
                return o.r;
        text = sg_str_skip(sg_buf_view(scratch), from);
        add_edit(p, insert ? sg_json_edit_front(req->body, whole(req), text)
                           : sg_json_edit_value(req->body, &req->model, text));
        return 0;
}

static void plan_include_usage(struct plan *p, const struct sg_llm_request *req)
{
        struct sg_json_want inner = {.value = req->include_usage};
        struct sg_json_value options = req->stream_options.value;

        if (options.kind == SG_JSON_NONE) /* "stream" is there, so the object has members */
                add_edit(p, sg_json_edit_front(req->body, whole(req),
                                               SG_STR("\"stream_options\":{\"include_usage\":true},")));
        else if (options.kind == SG_JSON_NULL)
                add_edit(p, sg_json_edit_value(req->body, &req->stream_options, SG_STR("{\"include_usage\":true}")));
        else if (inner.value.kind == SG_JSON_NONE)
                add_edit(p, sg_json_edit_front(req->body, options,
                                               sg_json_is_empty(options) ? SG_STR("\"include_usage\":true")
                                                                         : SG_STR("\"include_usage\":true,")));
        else if (inner.value.kind != SG_JSON_TRUE)
                add_edit(p, sg_json_edit_value(req->body, &inner, SG_STR("true")));
}

/* A form has no members, and its values no quotes: a name has no line ends in it, so it cannot end its part. */
static int plan_form(struct plan *p, const struct sg_llm_request *req, struct sg_str upstream_model,
                     struct sg_buf *scratch)
{
        bool insert = req->model.value.kind == SG_JSON_NONE;
        struct sg_llm_put o = {.to = scratch};
        size_t from = sg_buf_length(scratch);

        if (upstream_model.n == 0 || sg_str_eq(upstream_model, sg_str_from(req->model_name)))
                return 0;
        if (insert) {
                sg_llm_put(&o, req->model.member);
                sg_llm_put(&o, SG_STR("\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n"));
        }
        sg_llm_put(&o, upstream_model);
        if (insert)
                sg_llm_put(&o, SG_STR("\r\n"));
        if (o.r)
                return o.r;
        add_edit(p, (struct sg_json_edit){
                            .at = insert ? 0 : (size_t)(req->model.value.text.p - req->body.p),
                            .remove = req->model.value.text.n,
                            .insert = sg_str_skip(sg_buf_view(scratch), from),
                    });
        return 0;
}

int sg_llm_request_write(const struct sg_llm_request *req, struct sg_str upstream_model, struct sg_buf *scratch,
                         struct sg_llm_body *ret)
{
        struct plan p = {0};
        int r;

        r = req->is_form ? plan_form(&p, req, upstream_model, scratch) : plan_model(&p, req, upstream_model, scratch);
        if (r)
                return r;
        if (req->is_stream && !req->is_form && (req->op == SG_OP_CHAT || req->op == SG_OP_COMPLETION))
                plan_include_usage(&p, req);
        ret->n_pieces = sg_json_splice(req->body, p.edits, p.n, ret->pieces, &ret->n_bytes);
        return 0;
}
