/* The first byte picks the way, the rest is a request. What is accepted and translated is JSON that the provider's dialect
 * accepts, for the model upstream; what is refused is refused with words. A chat completion that went to messages and
 * comes back says the same: who, what, and which tools with which arguments. */
#include "llm/text.h"
#include "llm/translate.h"

static const struct {
        enum sg_operation from, to;
} ways[] = {
        {SG_OP_CHAT, SG_OP_MESSAGES},
        {SG_OP_MESSAGES, SG_OP_CHAT},
        {SG_OP_RESPONSES, SG_OP_CHAT},
        {SG_OP_RESPONSES, SG_OP_MESSAGES},
};

static const struct sg_translate_options options = {.upstream_model = SG_STR("up\"stream"), .max_tokens = 4096};

/* False when it was refused. */
static bool translate(struct sg_buf *out, unsigned way, struct sg_str body)
{
        struct sg_translate_notes notes;
        struct sg_llm_fault fault = {0};
        struct sg_llm_request again;
        int r = sg_translate_request(out, ways[way].from, ways[way].to, body, &options, &notes, &fault);

        SG_ASSERT(r == 0 || r == SG_LLM_E_BAD_FIELD);
        SG_ASSERT((r == 0) == (fault.text[0] == 0));
        SG_ASSERT(sg_str_is_utf8(sg_str_from(fault.text)) && sg_str_is_utf8(sg_str_from(fault.param)));
        SG_ASSERT(sg_str_is_utf8(sg_str_from(notes.dropped)));
        if (r)
                return false;
        SG_ASSERT(sg_llm_request_read(&again, ways[way].to, sg_buf_view(out), false, &fault) == 0);
        SG_ASSERT(strcmp(again.model_name, "up\"stream") == 0);
        return true;
}

/* ---- what a chat completion says, in one text for each speaker */

enum speaker {
        SYSTEM,
        USER,
        ASSISTANT,
        TOOL,
        CALLS,
        SPEAKERS
};

struct said {
        struct sg_buf by[SPEAKERS];
};

static void add(struct sg_buf *b, struct sg_json_value string)
{
        if (string.kind == SG_JSON_STRING)
                SG_ASSERT(sg_json_add_decoded(b, string) == 0);
}

static void add_content(struct sg_buf *b, struct sg_json_value content)
{
        struct sg_json_value part;
        size_t walk = 0;

        add(b, content);
        while (content.kind == SG_JSON_ARRAY && sg_json_each(content, &walk, NULL, &part)) {
                add(b, sg_json_get(part, SG_STR("text")));
                add(b, sg_json_get(part, SG_STR("refusal")));
        }
}

static void add_calls(struct sg_buf *b, struct sg_json_value calls)
{
        struct sg_json_value call;
        struct sg_buf arguments;
        size_t walk = 0;

        while (sg_json_each(calls, &walk, NULL, &call)) {
                add(b, sg_json_path(call, SG_STR("function.name")));
                SG_ASSERT(sg_buf_add(b, SG_STR("(")) == 0);
                sg_buf_init(&arguments, SIZE_MAX);
                add(&arguments, sg_json_path(call, SG_STR("function.arguments")));
                SG_ASSERT(sg_buf_add(b, sg_buf_length(&arguments) ? sg_llm_trim(sg_buf_view(&arguments))
                                                                  : SG_STR("{}")) == 0);
                SG_ASSERT(sg_buf_add(b, SG_STR(")")) == 0);
                sg_buf_done(&arguments);
        }
}

static void listen(struct said *said, struct sg_str body)
{
        static const struct {
                struct sg_str role;
                enum speaker speaker;
        } roles[] = {{SG_STR("system"), SYSTEM},
                     {SG_STR("developer"), SYSTEM},
                     {SG_STR("user"), USER},
                     {SG_STR("assistant"), ASSISTANT},
                     {SG_STR("tool"), TOOL}};
        struct sg_json_value whole = {SG_JSON_OBJECT, sg_llm_trim(body)}, message, role;
        size_t walk = 0;

        for (unsigned i = 0; i < SPEAKERS; i++)
                sg_buf_init(&said->by[i], SIZE_MAX);
        while (sg_json_each(sg_json_get(whole, SG_STR("messages")), &walk, NULL, &message)) {
                role = sg_json_get(message, SG_STR("role"));
                for (size_t i = 0; i < SG_N_ELEMENTS(roles); i++)
                        if (role.kind == SG_JSON_STRING && sg_json_text_is(role, roles[i].role))
                                add_content(&said->by[roles[i].speaker], sg_json_get(message, SG_STR("content")));
                add(&said->by[ASSISTANT], sg_json_get(message, SG_STR("refusal"))); /* to messages it is text */
                add_calls(&said->by[CALLS], sg_json_get(message, SG_STR("tool_calls")));
        }
}

static void compare(struct sg_str before, struct sg_str after)
{
        struct said a, b;

        listen(&a, before);
        listen(&b, after);
        for (unsigned i = 0; i < SPEAKERS; i++) {
                SG_ASSERT(sg_str_eq(sg_buf_view(&a.by[i]), sg_buf_view(&b.by[i])));
                sg_buf_done(&a.by[i]);
                sg_buf_done(&b.by[i]);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        unsigned way = size ? data[0] % SG_N_ELEMENTS(ways) : 0;
        struct sg_str body = size ? sg_str_make(data + 1, size - 1) : SG_STR("");
        struct sg_llm_request req;
        struct sg_buf out, back;

        if (sg_llm_request_read(&req, ways[way].from, body, true, NULL))
                return 0;
        sg_buf_init(&out, 64u << 20);
        sg_buf_init(&back, 64u << 20);
        if (translate(&out, way, body) && way == 0 && translate(&back, 1, sg_buf_view(&out)))
                compare(body, sg_buf_view(&back));
        sg_buf_done(&out);
        sg_buf_done(&back);
        return 0;
}
