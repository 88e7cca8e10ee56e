#include <stdio.h>

#include "llm/responses.h"

static const struct {
        struct sg_str chat;
        const char *responses;
} names[] = {
        {SG_STR("messages"), "input"},
        {SG_STR("max_tokens"), "max_output_tokens"},
        {SG_STR("max_completion_tokens"), "max_output_tokens"},
        {SG_STR("response_format"), "text.format"},
        {SG_STR("verbosity"), "text.verbosity"},
        {SG_STR("reasoning_effort"), "reasoning.effort"},
        {SG_STR("stream_options"), "stream"},
        {SG_STR("logprobs"), "top_logprobs"}, /* or include: both ask for them */
        {SG_STR("tools"), "tools"},
        {SG_STR("tool_choice"), "tool_choice"},
};

/* Cuts what a printf has left of a character at the end. */
static void cut_whole(char *text)
{
        size_t n = strlen(text), at = n;

        while (at > 0 && ((unsigned char)text[at - 1] & 0xc0) == 0x80)
                at--;
        if (at > 0 && sg_str_utf8_first(sg_str_make(text + at - 1, n - at + 1)) == 0)
                text[at - 1] = '\0';
}

void sg_responses_retell_fault(struct sg_llm_fault *fault)
{
        struct sg_llm_fault was;
        struct sg_str rest, head;

        if (!fault || !fault->param[0])
                return;
        was = *fault;
        rest = sg_str_from(was.param);
        sg_str_cut(&rest, '.', &head);
        for (size_t i = 0; i < SG_N_ELEMENTS(names); i++)
                if (sg_str_eq(head, names[i].chat))
                        snprintf(fault->param, sizeof(fault->param), "%s", names[i].responses);
        if (strcmp(fault->param, was.param) == 0)
                return;
        snprintf(fault->text, sizeof(fault->text), "as a chat completion: %.230s", was.text);
        cut_whole(fault->text);
}
