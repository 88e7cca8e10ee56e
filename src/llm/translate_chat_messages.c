/* Chat completions to messages: the conversation. What one side says in several messages is one turn there, and the results of
 * tools belong to the user's. */
#include "llm/translate_chat_request.h"

enum turn {
        TURN_NONE,
        TURN_USER,
        TURN_ASSISTANT,
        TURN_SYSTEM,
};

struct conversation {
        struct sg_chat_request *q;
        enum turn turn; /* being written */
        size_t n_turns;
        size_t n_blocks; /* of the turn */
        struct sg_llm_calls calls;
};

enum {
        M_ROLE,
        M_CONTENT,
        M_NAME,
        M_TOOL_CALLS,
        M_TOOL_CALL_ID,
        M_REFUSAL,
        M_REASONING_CONTENT,
        M_REASONING,
        M_REASONING_DETAILS,
        M_THINKING_BLOCKS,
        M_ANNOTATIONS,
        M_CACHE_CONTROL,
        M_N,
};
static const struct sg_str message_names[M_N] = {
        [M_ROLE] = SG_STR("role"),
        [M_CONTENT] = SG_STR("content"),
        [M_NAME] = SG_STR("name"),
        [M_TOOL_CALLS] = SG_STR("tool_calls"),
        [M_TOOL_CALL_ID] = SG_STR("tool_call_id"),
        [M_REFUSAL] = SG_STR("refusal"),
        [M_REASONING_CONTENT] = SG_STR("reasoning_content"),
        [M_REASONING] = SG_STR("reasoning"), /* OpenRouter's and vLLM's word */
        [M_REASONING_DETAILS] = SG_STR("reasoning_details"),
        [M_THINKING_BLOCKS] = SG_STR("thinking_blocks"),
        [M_ANNOTATIONS] = SG_STR("annotations"),
        [M_CACHE_CONTROL] = SG_STR("cache_control"),
};
#define MAY(member) (1u << (member))

static const struct {
        struct sg_str name;
        unsigned may; /* members beside role, content and cache_control */
} roles[] = {
        {SG_STR("system"), 0},
        {SG_STR("developer"), 0},
        {SG_STR("user"), 0},
        {SG_STR("assistant"), MAY(M_TOOL_CALLS) | MAY(M_REFUSAL) | MAY(M_REASONING_CONTENT) | MAY(M_REASONING) |
                                      MAY(M_REASONING_DETAILS) | MAY(M_THINKING_BLOCKS) | MAY(M_ANNOTATIONS)},
        {SG_STR("tool"), MAY(M_NAME) | MAY(M_TOOL_CALL_ID)},
};
enum role {
        ROLE_SYSTEM,
        ROLE_DEVELOPER,
        ROLE_USER,
        ROLE_ASSISTANT,
        ROLE_TOOL,
        ROLE_N,
};

static int read_message(struct sg_chat_request *q, struct sg_json_value message, struct sg_json_value *v,
                        enum role *ret_role)
{
        size_t role = 0;
        int r = sg_llm_read_members(&q->at, message, message_names, M_N, v);

        if (!r)
                r = sg_llm_must_be(&q->at, "role", v[M_ROLE], SG_JSON_STRING);
        if (r)
                return r;
        while (role < ROLE_N && !sg_json_text_is(v[M_ROLE], roles[role].name))
                role++;
        if (role == ROLE_N)
                return sg_llm_refuse_member(&q->at, "role", "must be system, developer, user, assistant or tool");
        for (size_t i = M_NAME; i < M_CACHE_CONTROL; i++)
                if (v[i].kind != SG_JSON_NONE && !(roles[role].may & MAY(i)))
                        return sg_llm_refuse_inexpressible_member(&q->at, message_names[i].p);
        *ret_role = (enum role)role;
        return 0;
}

static void end_turn(struct conversation *c)
{
        if (c->turn != TURN_NONE)
                sg_llm_put(&c->q->put, SG_STR("]}"));
        c->turn = TURN_NONE;
}

static void begin_turn(struct conversation *c, enum turn turn)
{
        static const struct sg_str begins[] = {
                [TURN_USER] = SG_STR("{\"role\":\"user\",\"content\":["),
                [TURN_ASSISTANT] = SG_STR("{\"role\":\"assistant\",\"content\":["),
                [TURN_SYSTEM] = SG_STR("{\"role\":\"system\",\"content\":["),
        };

        if (c->turn == turn)
                return;
        end_turn(c);
        sg_llm_put(&c->q->put, c->n_turns++ ? SG_STR(",") : SG_STR(""));
        sg_llm_put(&c->q->put, begins[turn]);
        c->turn = turn;
        c->n_blocks = 0;
}

/* Anthropic's rule: after a turn of the user's, and before the assistant's or at the end. */
static int write_later_system(struct conversation *c, const struct sg_json_value *v)
{
        if (c->turn != TURN_USER && c->turn != TURN_SYSTEM)
                return sg_llm_refuse(&c->q->at,
                                     "is a system message after one of the assistant's: in the dialect of the "
                                     "provider of this model it must follow one of the user's");
        begin_turn(c, TURN_SYSTEM);
        return sg_chat_write_content(c->q, v[M_CONTENT], SG_CHAT_PART_TEXT, v[M_CACHE_CONTROL], &c->n_blocks);
}

static int begin_user(struct conversation *c)
{
        if (c->turn == TURN_SYSTEM)
                return sg_llm_refuse(&c->q->at,
                                     "follows a system message: in the dialect of the provider of this model a "
                                     "later system message must come last, or before the assistant's");
        begin_turn(c, TURN_USER);
        return 0;
}

static int write_user(struct conversation *c, const struct sg_json_value *v)
{
        int r = sg_llm_calls_end(&c->calls, &c->q->at);

        if (!r)
                r = begin_user(c);
        if (r)
                return r;
        sg_llm_calls_clear(&c->calls, 0);
        return sg_chat_write_content(c->q, v[M_CONTENT], SG_CHAT_PART_MEDIA, v[M_CACHE_CONTROL], &c->n_blocks);
}

static int write_tool_result(struct conversation *c, const struct sg_json_value *v)
{
        struct sg_chat_request *q = c->q;
        size_t n_parts = 0;
        int r;

        if (v[M_NAME].kind != SG_JSON_NONE)
                sg_llm_drop(&q->at, "messages.name");
        r = sg_llm_calls_answer(&c->calls, &q->at, "tool_call_id", v[M_TOOL_CALL_ID]);
        if (!r)
                r = begin_user(c);
        if (r)
                return r;
        sg_chat_begin_block(q, &c->n_blocks);
        sg_llm_put(&q->put, SG_STR("\"type\":\"tool_result\",\"tool_use_id\":"));
        sg_llm_put(&q->put, v[M_TOOL_CALL_ID].text);
        if (v[M_CONTENT].kind == SG_JSON_STRING && !sg_llm_is_empty_text(v[M_CONTENT])) {
                sg_llm_put(&q->put, SG_STR(",\"content\":"));
                sg_llm_put(&q->put, v[M_CONTENT].text);
        } else if (v[M_CONTENT].kind != SG_JSON_STRING) {
                sg_llm_put(&q->put, SG_STR(",\"content\":["));
                r = sg_chat_write_content(q, v[M_CONTENT], SG_CHAT_PART_MEDIA | SG_CHAT_PART_MAY_BE_EMPTY,
                                          (struct sg_json_value){0}, &n_parts);
                sg_llm_put(&q->put, SG_STR("]"));
        }
        sg_chat_put_cache_control(q, v[M_CACHE_CONTROL]);
        sg_llm_put(&q->put, SG_STR("}"));
        return r;
}

/* Anthropic's own blocks come back as they were given, signatures and all; they stand first in their turn. */
static int write_thinking_blocks(struct conversation *c, const struct sg_json_value *v)
{
        struct sg_json_value blocks = v[M_THINKING_BLOCKS], block, type;
        struct sg_chat_request *q = c->q;
        size_t walk = 0, i = 0, mark, inner;

        if (blocks.kind == SG_JSON_NONE && v[M_REASONING_CONTENT].kind != SG_JSON_NONE)
                sg_llm_drop(&q->at, "reasoning_content"); /* without a signature no provider would take it */
        if (v[M_REASONING].kind != SG_JSON_NONE)
                sg_llm_drop(&q->at, "reasoning");
        if (v[M_REASONING_DETAILS].kind != SG_JSON_NONE)
                sg_llm_drop(&q->at, "reasoning_details");
        if (v[M_ANNOTATIONS].kind != SG_JSON_NONE && sg_llm_is_truthy(v[M_ANNOTATIONS]))
                sg_llm_drop(&q->at, "annotations");
        if (blocks.kind != SG_JSON_NONE && blocks.kind != SG_JSON_ARRAY)
                return sg_llm_must_be(&q->at, "thinking_blocks", blocks, SG_JSON_ARRAY);
        mark = sg_llm_enter(&q->at, message_names[M_THINKING_BLOCKS]);
        inner = q->at.n_path;
        while (sg_json_each(blocks, &walk, NULL, &block)) {
                (void)sg_llm_enter_index(&q->at, i++);
                type = sg_json_get(block, SG_STR("type"));
                if (!sg_json_text_is(type, SG_STR("thinking")) && !sg_json_text_is(type, SG_STR("redacted_thinking")))
                        return sg_llm_refuse(&q->at, "must be an object of type thinking or redacted_thinking");
                sg_llm_put(&q->put, c->n_blocks++ ? SG_STR(",") : SG_STR(""));
                sg_llm_put(&q->put, block.text);
                sg_llm_leave(&q->at, inner);
        }
        sg_llm_leave(&q->at, mark);
        return 0;
}

static int write_refusal(struct conversation *c, struct sg_json_value refusal)
{
        struct sg_llm_put *o = &c->q->put;
        int r = sg_llm_may_be(&c->q->at, "refusal", refusal, SG_JSON_STRING);

        if (r || refusal.kind == SG_JSON_NONE || sg_llm_is_empty_text(refusal))
                return r;
        sg_chat_begin_block(c->q, &c->n_blocks);
        sg_llm_put(o, SG_STR("\"type\":\"text\",\"text\":"));
        sg_llm_put(o, refusal.text);
        sg_llm_put(o, SG_STR("}"));
        return 0;
}

static int write_assistant(struct conversation *c, const struct sg_json_value *v, size_t index)
{
        struct sg_json_value calls = v[M_TOOL_CALLS], none = {0};
        bool has_calls = calls.kind == SG_JSON_ARRAY && !sg_json_is_empty(calls);
        int r = sg_llm_calls_end(&c->calls, &c->q->at);
        size_t before;

        if (!r)
                r = sg_llm_may_be(&c->q->at, "tool_calls", calls, SG_JSON_ARRAY);
        if (r)
                return r;
        begin_turn(c, TURN_ASSISTANT);
        before = c->n_blocks;
        sg_llm_calls_clear(&c->calls, index);
        r = write_thinking_blocks(c, v);
        if (!r && v[M_CONTENT].kind != SG_JSON_NONE)
                r = sg_chat_write_content(c->q, v[M_CONTENT], SG_CHAT_PART_REFUSAL | SG_CHAT_PART_MAY_BE_EMPTY,
                                          has_calls ? none : v[M_CACHE_CONTROL], &c->n_blocks);
        if (!r)
                r = write_refusal(c, v[M_REFUSAL]);
        if (!r)
                r = sg_chat_write_tool_calls(c->q, &c->calls, calls, v[M_CACHE_CONTROL], &c->n_blocks);
        if (!r && c->n_blocks == before)
                r = sg_llm_refuse_member(&c->q->at, "content", "is empty");
        return r;
}

static int write_message(struct conversation *c, struct sg_json_value message, size_t index)
{
        struct sg_json_value v[M_N];
        enum role role;
        int r = read_message(c->q, message, v, &role);

        if (r)
                return r;
        switch (role) {
        case ROLE_USER:
                return write_user(c, v);
        case ROLE_ASSISTANT:
                return write_assistant(c, v, index);
        case ROLE_TOOL:
                return write_tool_result(c, v);
        default:
                r = sg_llm_calls_end(&c->calls, &c->q->at);
                return r ? r : write_later_system(c, v);
        }
}

/* The system messages that open the conversation; *walk then stands behind the last of them. */
static int write_system(struct sg_chat_request *q, size_t *walk, size_t *index)
{
        struct sg_json_value message, v[M_N];
        size_t n_blocks = 0, next = *walk, from = q->at.n_path;
        enum role role;
        int r = 0;

        while (!r && sg_json_each(q->f[SG_CHAT_MESSAGES], &next, NULL, &message)) {
                (void)sg_llm_enter_index(&q->at, *index);
                r = read_message(q, message, v, &role);
                if (!r && role != ROLE_SYSTEM && role != ROLE_DEVELOPER) {
                        sg_llm_leave(&q->at, from);
                        break;
                }
                if (!r && *index == 0)
                        sg_llm_put(&q->put, SG_STR(",\"system\":["));
                if (!r)
                        r = sg_chat_write_content(q, v[M_CONTENT], SG_CHAT_PART_TEXT | SG_CHAT_PART_MAY_BE_EMPTY,
                                                  v[M_CACHE_CONTROL], &n_blocks);
                if (r)
                        return r;
                sg_llm_leave(&q->at, from);
                *walk = next;
                (*index)++;
        }
        if (!r && *index)
                sg_llm_put(&q->put, SG_STR("]"));
        return r;
}

int sg_chat_write_messages(struct sg_chat_request *q)
{
        size_t walk = 0, index = 0, mark = sg_llm_enter(&q->at, SG_STR("messages")), inner = q->at.n_path;
        struct conversation c = {.q = q};
        struct sg_json_value message;
        int r = write_system(q, &walk, &index);

        if (r)
                return r;
        sg_llm_put(&q->put, SG_STR(",\"messages\":["));
        while (sg_json_each(q->f[SG_CHAT_MESSAGES], &walk, NULL, &message)) {
                (void)sg_llm_enter_index(&q->at, index);
                r = write_message(&c, message, index++);
                if (r)
                        return r;
                sg_llm_leave(&q->at, inner);
        }
        if (c.n_turns == 0)
                return sg_llm_refuse(&q->at,
                                     index ? "holds nothing but system messages: the provider of this model needs "
                                             "one of the user's"
                                           : "is empty");
        r = c.turn == TURN_ASSISTANT ? 0 : sg_llm_calls_end(&c.calls, &q->at);
        if (r)
                return r;
        end_turn(&c);
        sg_llm_put(&q->put, SG_STR("]"));
        sg_llm_leave(&q->at, mark);
        return 0;
}
