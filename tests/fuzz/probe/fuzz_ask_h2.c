/*
 * Any bytes as the other end of a check over HTTP/2. The first byte says which check it is, or that the rest is the message
 * of a gRPC answer; else the rest comes in two pieces, cut where the second byte says: whatever comes is judged or waited
 * for, and words are printable.
 */
#include "probe/ask_h2.h"

static void check_words(enum sg_judgement j, const struct sg_judge_words *words)
{
        SG_ASSERT((j == SG_JUDGEMENT_DEAD) == (words->fault != SG_PROBE_F_NONE));
        for (const char *c = words->text; *c; c++)
                SG_ASSERT(*c >= ' ' && *c <= '~');
}

static void answer_check(enum sg_endpoint_check check, size_t cut, struct sg_str bytes)
{
        const struct sg_config_service s = {.check = check, .protocol = SG_PROTOCOL_HTTP2, .health_path = "/health"};
        const struct sg_config_endpoint e = {.authority = "localhost:1", .path_prefix = ""};
        struct sg_judge_words words = {SG_PROBE_F_NONE, ""};
        enum sg_judgement j;
        struct sg_buf out;
        struct ask_h2 *a;

        cut = SG_MIN(cut, bytes.n);
        if (ask_h2_new(&a, &s, &e))
                return;
        sg_buf_init(&out, 1024 * 1024);
        j = ask_h2_turn(a, SG_STR_NONE, &out, &words);
        SG_ASSERT(j == SG_JUDGEMENT_MORE);
        j = ask_h2_turn(a, sg_str_head(bytes, cut), &out, &words);
        if (j == SG_JUDGEMENT_MORE)
                j = ask_h2_turn(a, sg_str_skip(bytes, cut), &out, &words);
        check_words(j, &words);
        sg_buf_done(&out);
        ask_h2_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct sg_judge_words words = {SG_PROBE_F_NONE, ""};
        struct sg_str rest;

        if (size < 2)
                return 0;
        rest = sg_str_make(data + 2, size - 2);
        if (data[0] % 3 == 0)
                check_words(sg_judge_grpc_answer(rest, &words), &words);
        else
                answer_check(data[0] % 3 == 1 ? SG_CHECK_GRPC : SG_CHECK_HTTP, data[1], rest);
        return 0;
}
