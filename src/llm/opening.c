/*
 * It is looked for by those who need it, and no further than to the first user's first text: reading it in the pass in which a
 * request is sliced made a talk of many turns half as dear again.
 */
#include "llm/llm.h"

static const char *end_of(struct sg_str s)
{
        return s.p + s.n;
}

static const char *text_end(struct sg_json_value content)
{
        struct sg_json_value part, text;
        size_t at = 0;

        if (content.kind != SG_JSON_ARRAY)
                return NULL;
        while (sg_json_each(content, &at, NULL, &part)) {
                text = sg_json_get(part, SG_STR("text"));
                if (text.kind == SG_JSON_STRING)
                        return end_of(text.text);
        }
        return NULL;
}

/* Where the message's first text ends; without any, its role or its content, whichever comes last. */
static const char *message_end(struct sg_json_value role, struct sg_json_value content)
{
        const char *end = text_end(content);

        if (end)
                return end;
        if (!role.text.n || !content.text.n)
                return content.text.n ? end_of(content.text) : role.text.n ? end_of(role.text) : NULL;
        return SG_MAX(end_of(role.text), end_of(content.text));
}

static struct sg_str opening_of(struct sg_json_value list)
{
        struct sg_json_value message;
        const char *end = NULL;
        size_t at = 0;

        while (sg_json_each(list, &at, NULL, &message)) {
                const struct sg_json_value role = sg_json_get(message, SG_STR("role"));
                const char *here = message_end(role, sg_json_get(message, SG_STR("content")));
                const bool is_user = here && sg_json_text_is(role, SG_STR("user"));

                if (is_user || !end)
                        end = here;
                if (is_user)
                        break;
        }
        return end ? sg_str_make(list.text.p, (size_t)(end - list.text.p)) : SG_STR_NONE;
}

struct sg_str sg_llm_request_opening(const struct sg_llm_request *req)
{
        const struct sg_json_value v = req->conversation;

        if (v.kind == SG_JSON_ARRAY)
                return opening_of(v);
        return v.kind == SG_JSON_NULL ? SG_STR_NONE : v.text;
}
