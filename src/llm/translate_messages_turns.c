/* Messages to chat completions: the conversation. The results of tools, which are the user's there, are messages of their own
 * here, right after the calls. */
#include "llm/translate_messages_request.h"
#include "llm/wording.h"

#define CONTENT   SG_STR("content")
#define MAY_MEDIA (SG_BLOCK_MAY(SG_BLOCK_TEXT) | SG_BLOCK_MAY(SG_BLOCK_IMAGE) | SG_BLOCK_MAY(SG_BLOCK_DOCUMENT))

struct turns {
        struct sg_messages_request *q;
        size_t n; /* messages written */
        struct sg_llm_calls calls;
};

static void begin_message(struct turns *t, struct sg_str role)
{
        sg_llm_put(&t->q->put, t->n++ ? SG_STR(",{\"role\":\"") : SG_STR("{\"role\":\""));
        sg_llm_put(&t->q->put, role);
        sg_llm_put(&t->q->put, SG_STR("\""));
}

/* A string or an array, with something in it. */
static int check_content(struct sg_messages_request *q, const char *name, struct sg_json_value content)
{
        if (content.kind == SG_JSON_NONE)
                return sg_llm_refuse_member(&q->at, name, "is missing");
        if (content.kind != SG_JSON_STRING && content.kind != SG_JSON_ARRAY)
                return sg_llm_refuse_member(&q->at, name, "must be a string or an array, not %s",
                                            sg_llm_kind_phrase(content.kind));
        if (sg_llm_is_empty_text(content) || (content.kind == SG_JSON_ARRAY && sg_json_is_empty(content)))
                return sg_llm_refuse_member(&q->at, name, "is empty");
        return 0;
}

static int write_plain(struct turns *t, struct sg_str role, struct sg_str name, struct sg_json_value content,
                       unsigned allowed)
{
        int r;

        begin_message(t, role);
        sg_llm_put(&t->q->put, SG_STR(",\"content\":"));
        r = sg_messages_put_content(t->q, name, content, allowed, SG_STR_NONE);
        sg_llm_put(&t->q->put, SG_STR("}"));
        return r;
}

/* ---- the user's turn */

/* Chat has no mark for an error: the text says so. */
static int write_result(struct sg_messages_request *q, const struct sg_messages_block_read *b, void *owner)
{
        struct sg_json_value content = b->v[SG_MEMBER_CONTENT];
        bool is_error = sg_json_is_true(b->v[SG_MEMBER_IS_ERROR]);
        struct turns *t = owner;
        int r;

        if (b->type != SG_BLOCK_TOOL_RESULT)
                return 0;
        r = sg_llm_calls_answer(&t->calls, &q->at, "tool_use_id", b->v[SG_MEMBER_TOOL_USE_ID]);
        if (r)
                return r;
        begin_message(t, SG_STR("tool"));
        sg_llm_put(&q->put, SG_STR(",\"tool_call_id\":"));
        sg_llm_put(&q->put, b->v[SG_MEMBER_TOOL_USE_ID].text);
        sg_llm_put(&q->put, SG_STR(",\"content\":"));
        if (content.kind == SG_JSON_NONE || sg_llm_is_empty_text(content) ||
            (content.kind == SG_JSON_ARRAY && sg_json_is_empty(content))) {
                sg_llm_put(&q->put, is_error ? SG_STR("\"Error\"") : SG_STR("\"\""));
        } else {
                r = check_content(q, "content", content);
                if (!r)
                        r = sg_messages_put_content(q, CONTENT, content, SG_BLOCK_MAY(SG_BLOCK_TEXT),
                                                    is_error ? SG_STR("Error: ") : SG_STR_NONE);
        }
        sg_llm_put(&q->put, SG_STR("}"));
        return r;
}

static int write_user(struct turns *t, struct sg_json_value content)
{
        unsigned allowed = MAY_MEDIA | SG_BLOCK_MAY(SG_BLOCK_TOOL_RESULT);
        struct sg_messages_walk results = {.name = CONTENT, .allowed = allowed, .each = write_result, .owner = t};
        int r = content.kind == SG_JSON_ARRAY ? sg_messages_walk_blocks(t->q, content, &results) : 0;

        if (r)
                return r;
        if (content.kind == SG_JSON_ARRAY && results.n[SG_BLOCK_TOOL_RESULT] == results.n_all)
                return 0; /* more results may come in the next message */
        r = sg_llm_calls_end(&t->calls, &t->q->at);
        if (r)
                return r;
        sg_llm_calls_clear(&t->calls, 0);
        return write_plain(t, SG_STR("user"), CONTENT, content, allowed);
}

/* ---- the assistant's turn */

static int note_call(struct sg_messages_request *q, const struct sg_messages_block_read *b, void *owner)
{
        struct turns *t = owner;

        return b->type == SG_BLOCK_TOOL_USE ? sg_llm_calls_add(&t->calls, &q->at, "id", b->v[SG_MEMBER_ID]) : 0;
}

static int put_text(struct sg_messages_request *q, const struct sg_messages_block_read *b, void *owner)
{
        if (b->type == SG_BLOCK_TEXT)
                sg_llm_put(&q->put, sg_wording_inner(b->v[SG_MEMBER_TEXT]));
        return 0;
}

static int put_thinking(struct sg_messages_request *q, const struct sg_messages_block_read *b, void *owner)
{
        if (b->type == SG_BLOCK_THINKING)
                sg_llm_put(&q->put, sg_wording_inner(b->v[SG_MEMBER_THINKING]));
        return 0;
}

static int put_call(struct sg_messages_request *q, const struct sg_messages_block_read *b, void *owner)
{
        size_t *n = owner;

        if (b->type != SG_BLOCK_TOOL_USE)
                return 0;
        sg_llm_put(&q->put, (*n)++ ? SG_STR(",{\"id\":") : SG_STR("{\"id\":"));
        sg_llm_put(&q->put, b->v[SG_MEMBER_ID].text);
        sg_llm_put(&q->put, SG_STR(",\"type\":\"function\",\"function\":{\"name\":"));
        sg_llm_put(&q->put, b->v[SG_MEMBER_NAME].text);
        sg_llm_put(&q->put, SG_STR(",\"arguments\":"));
        sg_llm_put_string(&q->put, b->v[SG_MEMBER_INPUT].text);
        sg_llm_put(&q->put, SG_STR("}}"));
        return 0;
}

/* One of the lists that an assistant's message is made of, in the order of its blocks. */
static int put_list(struct sg_messages_request *q, struct sg_json_value content, struct sg_messages_walk w,
                    struct sg_str before, struct sg_str after)
{
        int r;

        sg_llm_put(&q->put, before);
        r = sg_messages_walk_blocks(q, content, &w);
        sg_llm_put(&q->put, after);
        return r;
}

static int write_assistant_blocks(struct turns *t, struct sg_json_value content)
{
        unsigned allowed =
                SG_BLOCK_MAY(SG_BLOCK_TEXT) | SG_BLOCK_MAY(SG_BLOCK_THINKING) | SG_BLOCK_MAY(SG_BLOCK_TOOL_USE);
        struct sg_messages_walk count = {.name = CONTENT, .allowed = allowed, .each = note_call, .owner = t};
        struct sg_messages_walk write = {.name = CONTENT, .allowed = allowed};
        int r = sg_messages_walk_blocks(t->q, content, &count);
        size_t n_calls = 0;

        if (r)
                return r;
        begin_message(t, SG_STR("assistant"));
        write.each = put_text;
        if (count.n[SG_BLOCK_TEXT] || !count.n[SG_BLOCK_TOOL_USE])
                r = put_list(t->q, content, write, SG_STR(",\"content\":\""), SG_STR("\""));
        else
                sg_llm_put(&t->q->put, SG_STR(",\"content\":null"));
        write.each = put_thinking;
        if (!r && count.n[SG_BLOCK_THINKING])
                r = put_list(t->q, content, write, SG_STR(",\"reasoning_content\":\""), SG_STR("\""));
        write.each = put_call;
        write.owner = &n_calls;
        if (!r && count.n[SG_BLOCK_TOOL_USE])
                r = put_list(t->q, content, write, SG_STR(",\"tool_calls\":["), SG_STR("]"));
        sg_llm_put(&t->q->put, SG_STR("}"));
        return r;
}

static int write_assistant(struct turns *t, struct sg_json_value content, size_t index)
{
        int r = sg_llm_calls_end(&t->calls, &t->q->at);

        if (r)
                return r;
        sg_llm_calls_clear(&t->calls, index);
        if (content.kind == SG_JSON_STRING)
                return write_plain(t, SG_STR("assistant"), CONTENT, content, 0);
        return write_assistant_blocks(t, content);
}

/* ---- all of them */

static int write_message(struct turns *t, struct sg_json_value message, size_t index, bool is_last)
{
        static const struct sg_str names[] = {SG_STR("role"), SG_STR("content")};
        struct sg_json_value v[SG_N_ELEMENTS(names)];
        struct sg_llm_reader *at = &t->q->at;
        int r = sg_llm_read_members(at, message, names, SG_N_ELEMENTS(names), v);

        if (!r)
                r = sg_llm_must_be(at, "role", v[0], SG_JSON_STRING);
        if (!r)
                r = check_content(t->q, "content", v[1]);
        if (r)
                return r;
        if (sg_json_text_is(v[0], SG_STR("user")))
                return write_user(t, v[1]);
        if (sg_json_text_is(v[0], SG_STR("assistant")))
                return is_last ? sg_llm_refuse(at, "comes last: that the assistant's message is continued cannot be "
                                                   "expressed in the dialect of the provider of this model")
                               : write_assistant(t, v[1], index);
        if (!sg_json_text_is(v[0], SG_STR("system")))
                return sg_llm_refuse_member(at, "role", "must be user, assistant or system");
        r = sg_llm_calls_end(&t->calls, at);
        return r ? r : write_plain(t, SG_STR("system"), CONTENT, v[1], SG_BLOCK_MAY(SG_BLOCK_TEXT));
}

static int write_system(struct turns *t)
{
        struct sg_json_value system = t->q->f[SG_MESSAGES_SYSTEM];

        if (system.kind == SG_JSON_NONE || sg_llm_is_empty_text(system) ||
            (system.kind == SG_JSON_ARRAY && sg_json_is_empty(system)))
                return 0;
        if (system.kind != SG_JSON_STRING && system.kind != SG_JSON_ARRAY)
                return sg_llm_refuse_member(&t->q->at, "system", "must be a string or an array, not %s",
                                            sg_llm_kind_phrase(system.kind));
        return write_plain(t, SG_STR("system"), SG_STR("system"), system, SG_BLOCK_MAY(SG_BLOCK_TEXT));
}

int sg_messages_write_turns(struct sg_messages_request *q)
{
        struct sg_json_value messages = q->f[SG_MESSAGES_MESSAGES], message = {0}, next;
        struct turns t = {.q = q};
        size_t walk = 0, index = 0, mark, inner;
        bool more;
        int r = sg_llm_must_be(&q->at, "messages", messages, SG_JSON_ARRAY);

        sg_llm_put(&q->put, SG_STR(",\"messages\":["));
        if (!r)
                r = write_system(&t);
        if (r)
                return r;
        mark = sg_llm_enter(&q->at, SG_STR("messages"));
        inner = q->at.n_path;
        more = sg_json_each(messages, &walk, NULL, &message);
        if (!more)
                return sg_llm_refuse(&q->at, "is empty");
        for (; more; message = next) {
                more = sg_json_each(messages, &walk, NULL, &next);
                (void)sg_llm_enter_index(&q->at, index);
                r = write_message(&t, message, index++, !more);
                if (r)
                        return r;
                sg_llm_leave(&q->at, inner);
        }
        r = sg_llm_calls_end(&t.calls, &q->at);
        sg_llm_put(&q->put, SG_STR("]"));
        if (!r)
                sg_llm_leave(&q->at, mark);
        return r;
}
