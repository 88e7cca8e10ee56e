/* The first byte picks the operation, the rest is a body. What is accepted is written for upstream and read again: the
 * model is the new one, usage is asked for, and all other members are as they were; so is the opening. The echo answers
 * it with JSON. */
#include "llm/llm.h"

static struct sg_str rewrite(const struct sg_llm_request *req, struct sg_buf *scratch, struct sg_buf *whole)
{
        struct sg_llm_body body;

        SG_ASSERT(sg_llm_request_write(req, SG_STR("up\"stream"), scratch, &body) == 0);
        for (size_t i = 0; i < body.n_pieces; i++)
                SG_ASSERT(sg_buf_add(whole, body.pieces[i]) == 0);
        SG_ASSERT(sg_buf_length(whole) == body.n_bytes);
        return sg_buf_view(whole);
}

static void echo(enum sg_operation op, struct sg_str body)
{
        struct sg_echo e;
        struct sg_buf out;
        bool last = false;
        int r = sg_echo_init(&e, op, body, NULL);

        SG_ASSERT(r >= 0);
        if (r)
                return;
        sg_buf_init(&out, 64u << 20);
        SG_ASSERT(sg_echo_add_answer(&e, &out) == 0 && sg_json_check(sg_buf_view(&out), NULL, NULL) == 0);
        while (op != SG_OP_EMBEDDINGS && !last) {
                struct sg_str data;

                sg_buf_clear(&out);
                SG_ASSERT(sg_echo_add_event(&e, &out, &last) == 0);
                data = sg_str_skip(sg_buf_view(&out), 6);
                SG_ASSERT(last || sg_json_check(data, NULL, NULL) == 0);
        }
        sg_buf_done(&out);
        sg_echo_done(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const enum sg_operation ops[] = {SG_OP_CHAT,     SG_OP_COMPLETION,   SG_OP_EMBEDDINGS,   SG_OP_PASS,
                                                SG_OP_MESSAGES, SG_OP_RESPONSES,    SG_OP_COUNT_TOKENS, SG_OP_IMAGES,
                                                SG_OP_SPEECH,   SG_OP_TRANSCRIPTION};
        enum sg_operation op = ops[size ? data[0] % SG_N_ELEMENTS(ops) : 0];
        struct sg_str body = size ? sg_str_make(data + 1, size - 1) : SG_STR("");
        struct sg_llm_request req, again;
        struct sg_llm_fault fault = {0};
        struct sg_buf scratch, whole;
        int r = sg_llm_request_read(&req, op, body, true, &fault);

        SG_ASSERT(r >= 0 && (r == 0) == (fault.text[0] == 0));
        if (op <= SG_OP_EMBEDDINGS)
                echo(op, body);
        if (r)
                return 0;
        sg_buf_init(&scratch, 256);
        sg_buf_init(&whole, size + 256);
        SG_ASSERT(sg_llm_request_read(&again, op, rewrite(&req, &scratch, &whole), false, NULL) == 0);
        if (op != SG_OP_PASS || req.model.n)
                SG_ASSERT(strcmp(again.model_name, "up\"stream") == 0);
        SG_ASSERT(sg_str_eq(sg_llm_request_opening(&again), sg_llm_request_opening(&req)));
        SG_ASSERT(op != SG_OP_MESSAGES || req.max_tokens > 0);
        SG_ASSERT(again.is_stream == req.is_stream && again.max_tokens == req.max_tokens);
        SG_ASSERT(!(op == SG_OP_CHAT || op == SG_OP_COMPLETION) || !req.is_stream || again.wants_usage);
        sg_buf_done(&scratch);
        sg_buf_done(&whole);
        return 0;
}
