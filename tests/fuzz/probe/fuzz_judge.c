/*
 * Any bytes as the answer of any dependency or endpoint, the first byte saying which: the words are printable, and a judgement on a
 * part is the judgement on the whole or "more".
 */
#include "probe/judge.h"

static enum sg_judgement judge(unsigned kind, struct sg_str answer, struct sg_judge_words *words)
{
        return kind == SG_PROBE_N ? sg_judge_check(answer, words)
                                  : sg_judge_answer((enum sg_probe_kind)kind, answer, words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const struct sg_str answer = sg_str_make(data + 1, size ? size - 1 : 0);
        struct sg_judge_words words = {SG_PROBE_F_NONE, ""}, other;
        unsigned kind;
        enum sg_judgement whole;

        if (size == 0)
                return 0;
        kind = data[0] % (SG_PROBE_N + 1u);
        whole = judge(kind, answer, &words);
        SG_ASSERT((whole == SG_JUDGEMENT_DEAD) == (words.fault != SG_PROBE_F_NONE));
        SG_ASSERT(whole != SG_JUDGEMENT_MORE || answer.n < SG_JUDGE_BYTES_MAX);
        for (const char *c = words.text; *c; c++)
                SG_ASSERT(*c >= ' ' && *c <= '~');
        for (size_t n = 0; n < answer.n && n < 64; n++) {
                enum sg_judgement part = judge(kind, sg_str_head(answer, n), &other);

                SG_ASSERT(part == SG_JUDGEMENT_MORE || part == whole);
        }
        return 0;
}
