#include "llm/opening.h"

enum {
        MESSAGE_ROLE,
        MESSAGE_CONTENT,
};

static const char *end_of(struct sg_str s)
{
        return s.p + s.n;
}

static void on_part(void *owner)
{
        struct sg_llm_opening *o = owner;

        if (!o->text_end && o->part[0].value.kind == SG_JSON_STRING)
                o->text_end = end_of(o->part[0].member);
}

/* Where the message's first text ends; without any, its role or its content, whichever comes last. */
static const char *message_end(const struct sg_llm_opening *o)
{
        const struct sg_json_want *role = &o->message[MESSAGE_ROLE], *content = &o->message[MESSAGE_CONTENT];

        if (o->text_end)
                return o->text_end;
        if (role->n && content->n)
                return end_of(SG_MAX(role->member.p, content->member.p) == role->member.p ? role->member
                                                                                          : content->member);
        return role->n ? end_of(role->member) : content->n ? end_of(content->member) : NULL;
}

static void on_message(void *owner)
{
        struct sg_llm_opening *o = owner;
        const char *end = o->user_end ? NULL : message_end(o);

        if (end && !o->first_end)
                o->first_end = end;
        if (end && sg_json_text_is(o->message[MESSAGE_ROLE].value, SG_STR("user")))
                o->user_end = end;
        o->text_end = NULL;
        o->n_messages++;
}

void sg_llm_opening_init(struct sg_llm_opening *o)
{
        *o = (struct sg_llm_opening){
                .message = {[MESSAGE_ROLE] = {.name = SG_STR("role")},
                            [MESSAGE_CONTENT] = {.name = SG_STR("content"), .inside = &o->in_content}},
                .part = {{.name = SG_STR("text")}},
                .in_messages = {o->message, SG_N_ELEMENTS(o->message), on_message, o},
                .in_content = {o->part, SG_N_ELEMENTS(o->part), on_part, o},
        };
}

struct sg_str sg_llm_opening_take(const struct sg_llm_opening *o, struct sg_json_value list)
{
        const char *end = o->user_end ? o->user_end : o->first_end;

        if (list.kind == SG_JSON_STRING)
                return list.text;
        if (list.kind != SG_JSON_ARRAY || !end)
                return SG_STR_NONE;
        return sg_str_make(list.text.p, (size_t)(end - list.text.p));
}
