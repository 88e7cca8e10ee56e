/* The first line is the boundary, the rest a form. What is accepted is written for upstream and read again: the model is
 * the new one, and nothing else has changed. */
#include "llm/llm.h"

static struct sg_str rewrite(const struct sg_llm_request *req, struct sg_buf *scratch, struct sg_buf *whole)
{
        struct sg_llm_body body;

        SG_ASSERT(sg_llm_request_write(req, SG_STR("up \"model\""), scratch, &body) == 0);
        for (size_t i = 0; i < body.n_pieces; i++)
                SG_ASSERT(sg_buf_add(whole, body.pieces[i]) == 0);
        SG_ASSERT(sg_buf_length(whole) == body.n_bytes);
        return sg_buf_view(whole);
}

static void check_again(const struct sg_llm_request *req, struct sg_str boundary)
{
        struct sg_buf scratch, whole;
        struct sg_llm_fault fault = {0};
        struct sg_llm_request again;
        int r;

        sg_buf_init(&scratch, 512);
        sg_buf_init(&whole, req->body.n + 512);
        r = sg_llm_form_read(&again, req->op, rewrite(req, &scratch, &whole), boundary, false, &fault);
        if (r == 0) {
                SG_ASSERT(strcmp(again.model_name, "up \"model\"") == 0);
                SG_ASSERT(again.is_stream == req->is_stream);
        } else { /* the part that was put in front may be one too many */
                SG_ASSERT(r == SG_LLM_E_BAD_JSON && req->model.value.kind == SG_JSON_NONE);
        }
        sg_buf_done(&scratch);
        sg_buf_done(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct sg_str rest = sg_str_make(data, size), boundary;
        struct sg_llm_fault fault = {0};
        struct sg_llm_request req;
        int r;

        (void)sg_str_cut(&rest, '\n', &boundary);
        r = sg_llm_form_read(&req, SG_OP_TRANSCRIPTION, rest, boundary, true, &fault);
        SG_ASSERT(r == 0 || r == SG_LLM_E_BAD_JSON || r == SG_LLM_E_BAD_FIELD);
        SG_ASSERT((r == 0) == (fault.text[0] == 0) && sg_str_is_utf8(sg_str_from(fault.text)));
        if (r)
                return 0;
        SG_ASSERT(req.is_form && sg_str_is_utf8(sg_str_from(req.model_name)));
        SG_ASSERT((req.model.value.kind == SG_JSON_STRING) == (req.model_name[0] != 0));
        check_again(&req, boundary);
        return 0;
}
