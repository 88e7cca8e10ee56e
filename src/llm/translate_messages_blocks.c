/* Messages to chat completions: blocks, read one by one, and text and media among them as parts. */
#include "llm/data_url.h"
#include "llm/translate_messages_request.h"
#include "llm/wording.h"

static const struct sg_str member_names[SG_MEMBER_N] = {
        [SG_MEMBER_TYPE] = SG_STR("type"),         [SG_MEMBER_CACHE_CONTROL] = SG_STR("cache_control"),
        [SG_MEMBER_TEXT] = SG_STR("text"),         [SG_MEMBER_CITATIONS] = SG_STR("citations"),
        [SG_MEMBER_SOURCE] = SG_STR("source"),     [SG_MEMBER_TITLE] = SG_STR("title"),
        [SG_MEMBER_CONTEXT] = SG_STR("context"),   [SG_MEMBER_ID] = SG_STR("id"),
        [SG_MEMBER_NAME] = SG_STR("name"),         [SG_MEMBER_INPUT] = SG_STR("input"),
        [SG_MEMBER_CALLER] = SG_STR("caller"),     [SG_MEMBER_TOOL_USE_ID] = SG_STR("tool_use_id"),
        [SG_MEMBER_CONTENT] = SG_STR("content"),   [SG_MEMBER_IS_ERROR] = SG_STR("is_error"),
        [SG_MEMBER_THINKING] = SG_STR("thinking"), [SG_MEMBER_SIGNATURE] = SG_STR("signature"),
};
#define MAY(member) (1u << (member))

static const struct {
        struct sg_str name;
        unsigned may; /* members beside type and cache_control */
} types[SG_BLOCK_N] = {
        [SG_BLOCK_TEXT] = {SG_STR("text"), MAY(SG_MEMBER_TEXT) | MAY(SG_MEMBER_CITATIONS)},
        [SG_BLOCK_IMAGE] = {SG_STR("image"), MAY(SG_MEMBER_SOURCE)},
        [SG_BLOCK_DOCUMENT] = {SG_STR("document"), MAY(SG_MEMBER_SOURCE) | MAY(SG_MEMBER_TITLE) |
                                                           MAY(SG_MEMBER_CONTEXT) | MAY(SG_MEMBER_CITATIONS)},
        [SG_BLOCK_TOOL_USE] = {SG_STR("tool_use"),
                               MAY(SG_MEMBER_ID) | MAY(SG_MEMBER_NAME) | MAY(SG_MEMBER_INPUT) | MAY(SG_MEMBER_CALLER)},
        [SG_BLOCK_TOOL_RESULT] = {SG_STR("tool_result"),
                                  MAY(SG_MEMBER_TOOL_USE_ID) | MAY(SG_MEMBER_CONTENT) | MAY(SG_MEMBER_IS_ERROR)},
        [SG_BLOCK_THINKING] = {SG_STR("thinking"), MAY(SG_MEMBER_THINKING) | MAY(SG_MEMBER_SIGNATURE)},
};

static int check_text(struct sg_messages_request *q, const struct sg_json_value *v)
{
        int r = sg_llm_must_be(&q->at, "text", v[SG_MEMBER_TEXT], SG_JSON_STRING);

        if (!r && sg_llm_is_empty_text(v[SG_MEMBER_TEXT]))
                r = sg_llm_refuse_member(&q->at, "text", "is empty");
        if (!r && v[SG_MEMBER_CITATIONS].kind != SG_JSON_NONE && sg_llm_is_truthy(v[SG_MEMBER_CITATIONS]))
                sg_llm_drop(&q->at, "citations"); /* of an answer that was given */
        return r;
}

static int check_document(struct sg_messages_request *q, const struct sg_json_value *v)
{
        int r = sg_llm_may_be(&q->at, "title", v[SG_MEMBER_TITLE], SG_JSON_STRING);

        if (!r)
                r = sg_llm_may_be(&q->at, "context", v[SG_MEMBER_CONTEXT], SG_JSON_STRING);
        if (!r && sg_llm_is_truthy(sg_json_get(v[SG_MEMBER_CITATIONS], SG_STR("enabled"))))
                r = sg_llm_refuse_inexpressible_member(&q->at, "citations");
        return r;
}

static int check_tool_use(struct sg_messages_request *q, const struct sg_json_value *v)
{
        struct sg_json_value caller = v[SG_MEMBER_CALLER];
        int r = sg_llm_must_be(&q->at, "name", v[SG_MEMBER_NAME], SG_JSON_STRING);

        if (!r)
                r = sg_llm_must_be(&q->at, "input", v[SG_MEMBER_INPUT], SG_JSON_OBJECT);
        if (!r && caller.kind != SG_JSON_NONE &&
            !sg_json_text_is(sg_json_get(caller, SG_STR("type")), SG_STR("direct")))
                r = sg_llm_refuse_inexpressible_member(&q->at, "caller");
        return r;
}

static int check_members(struct sg_messages_request *q, const struct sg_messages_block_read *b)
{
        switch (b->type) {
        case SG_BLOCK_TEXT:
                return check_text(q, b->v);
        case SG_BLOCK_DOCUMENT:
                return check_document(q, b->v);
        case SG_BLOCK_TOOL_USE:
                return check_tool_use(q, b->v);
        case SG_BLOCK_TOOL_RESULT:
                return sg_llm_may_be(&q->at, "is_error", b->v[SG_MEMBER_IS_ERROR], SG_JSON_TRUE);
        case SG_BLOCK_THINKING:
                if (b->v[SG_MEMBER_SIGNATURE].kind != SG_JSON_NONE)
                        sg_llm_drop(&q->at, "thinking.signature");
                return sg_llm_must_be(&q->at, "thinking", b->v[SG_MEMBER_THINKING], SG_JSON_STRING);
        default:
                return 0;
        }
}

int sg_messages_read_block(struct sg_messages_request *q, struct sg_json_value block, unsigned allowed,
                           struct sg_messages_block_read *ret)
{
        struct sg_json_value type = sg_json_get(block, SG_STR("type"));
        size_t i = 0;
        int r;

        while (i < SG_BLOCK_N && !((allowed & SG_BLOCK_MAY(i)) && sg_json_text_is(type, types[i].name)))
                i++;
        if (type.kind == SG_JSON_STRING && i == SG_BLOCK_N) /* its members do not matter any more */
                return sg_llm_refuse_inexpressible_member(&q->at, "type");
        r = sg_llm_read_members(&q->at, block, member_names, SG_MEMBER_N, ret->v);
        if (!r)
                r = sg_llm_must_be(&q->at, "type", ret->v[SG_MEMBER_TYPE], SG_JSON_STRING);
        if (r)
                return r;
        for (size_t m = SG_MEMBER_TEXT; m < SG_MEMBER_N; m++)
                if (ret->v[m].kind != SG_JSON_NONE && !(types[i].may & MAY(m)))
                        return sg_llm_refuse_inexpressible_member(&q->at, member_names[m].p);
        if (ret->v[SG_MEMBER_CACHE_CONTROL].kind != SG_JSON_NONE)
                sg_llm_drop(&q->at, "cache_control");
        ret->type = (enum sg_messages_block)i;
        return check_members(q, ret);
}

int sg_messages_walk_blocks(struct sg_messages_request *q, struct sg_json_value content, struct sg_messages_walk *w)
{
        size_t walk = 0, i = 0, mark = sg_llm_enter(&q->at, w->name), inner = q->at.n_path;
        struct sg_json_value block;
        int r = 0;

        while (!r && sg_json_each(content, &walk, NULL, &block)) {
                struct sg_messages_block_read b;

                (void)sg_llm_enter_index(&q->at, i++);
                r = sg_messages_read_block(q, block, w->allowed, &b);
                if (!r && w->each)
                        r = w->each(q, &b, w->owner);
                if (r)
                        return r;
                w->n[b.type]++;
                w->n_all++;
                sg_llm_leave(&q->at, inner);
        }
        sg_llm_leave(&q->at, mark);
        return 0;
}

/* ---- parts */

struct parts {
        size_t n;
        struct sg_str prefix; /* before the next text */
};

static void begin_part(struct sg_messages_request *q, struct parts *p, struct sg_str type)
{
        sg_llm_put(&q->put, p->n++ ? SG_STR(",{\"type\":\"") : SG_STR("{\"type\":\""));
        sg_llm_put(&q->put, type);
        sg_llm_put(&q->put, SG_STR("\","));
}

static void put_prefixed(struct sg_messages_request *q, struct parts *p, struct sg_json_value text)
{
        sg_llm_put(&q->put, SG_STR("\""));
        sg_llm_put(&q->put, p->prefix);
        sg_llm_put(&q->put, sg_wording_inner(text));
        sg_llm_put(&q->put, SG_STR("\""));
        p->prefix = SG_STR_NONE;
}

static void put_text_part(struct sg_messages_request *q, struct parts *p, struct sg_json_value text)
{
        if (text.kind == SG_JSON_NONE || sg_llm_is_empty_text(text))
                return;
        begin_part(q, p, SG_STR("text"));
        sg_llm_put(&q->put, SG_STR("\"text\":"));
        put_prefixed(q, p, text);
        sg_llm_put(&q->put, SG_STR("}"));
}

enum {
        S_TYPE,
        S_MEDIA_TYPE,
        S_DATA,
        S_URL,
        S_N
};

static int read_source(struct sg_messages_request *q, struct sg_json_value source, struct sg_json_value *v)
{
        static const struct sg_str names[S_N] = {[S_TYPE] = SG_STR("type"),
                                                 [S_MEDIA_TYPE] = SG_STR("media_type"),
                                                 [S_DATA] = SG_STR("data"),
                                                 [S_URL] = SG_STR("url")};
        struct sg_json_value type = sg_json_get(source, SG_STR("type"));
        bool is_url = sg_json_text_is(type, SG_STR("url"));
        int r = source.kind == SG_JSON_NONE ? sg_llm_refuse_member(&q->at, "source", "is missing") : 0;

        if (r)
                return r;
        (void)sg_llm_enter(&q->at, SG_STR("source"));
        if (type.kind == SG_JSON_STRING && !is_url && !sg_json_text_is(type, SG_STR("base64")) &&
            !sg_json_text_is(type, SG_STR("text")))
                return sg_llm_refuse_inexpressible_member(&q->at, "type"); /* a file, or content in blocks */
        r = sg_llm_read_members(&q->at, source, names, S_N, v);
        if (!r)
                r = sg_llm_must_be(&q->at, "type", v[S_TYPE], SG_JSON_STRING);
        if (!r && is_url)
                return sg_llm_must_be(&q->at, "url", v[S_URL], SG_JSON_STRING);
        if (!r)
                r = sg_llm_must_be(&q->at, "media_type", v[S_MEDIA_TYPE], SG_JSON_STRING);
        return r ? r : sg_llm_must_be(&q->at, "data", v[S_DATA], SG_JSON_STRING);
}

static void put_data_url(struct sg_messages_request *q, const struct sg_json_value *source)
{
        sg_llm_put(&q->put, SG_STR("\"data:"));
        sg_llm_put(&q->put, sg_wording_inner(source[S_MEDIA_TYPE]));
        sg_llm_put(&q->put, SG_STR(";base64,"));
        sg_llm_put(&q->put, sg_wording_inner(source[S_DATA]));
        sg_llm_put(&q->put, SG_STR("\""));
}

static int put_image(struct sg_messages_request *q, struct parts *p, const struct sg_messages_block_read *b)
{
        struct sg_json_value v[S_N];
        int r = read_source(q, b->v[SG_MEMBER_SOURCE], v);

        if (r)
                return r;
        if (sg_json_text_is(v[S_TYPE], SG_STR("text")))
                return sg_llm_refuse_inexpressible_member(&q->at, "type");
        begin_part(q, p, SG_STR("image_url"));
        sg_llm_put(&q->put, SG_STR("\"image_url\":{\"url\":"));
        if (v[S_URL].kind != SG_JSON_NONE)
                sg_llm_put(&q->put, v[S_URL].text);
        else
                put_data_url(q, v);
        sg_llm_put(&q->put, SG_STR("}}"));
        return 0;
}

/* A PDF is a file; text is text, its title and context before it. */
static int put_document(struct sg_messages_request *q, struct parts *p, const struct sg_messages_block_read *b)
{
        struct sg_json_value v[S_N], title = b->v[SG_MEMBER_TITLE];
        bool has_title = title.kind != SG_JSON_NONE && !sg_llm_is_empty_text(title);
        int r = read_source(q, b->v[SG_MEMBER_SOURCE], v);

        if (r)
                return r;
        if (sg_json_text_is(v[S_TYPE], SG_STR("text"))) {
                put_text_part(q, p, title);
                put_text_part(q, p, b->v[SG_MEMBER_CONTEXT]);
                put_text_part(q, p, v[S_DATA]);
                return 0;
        }
        if (v[S_URL].kind != SG_JSON_NONE)
                return sg_llm_refuse_inexpressible_member(&q->at, "type");
        if (!sg_json_text_is(v[S_MEDIA_TYPE], SG_STR("application/pdf")))
                return sg_llm_refuse_inexpressible_member(&q->at, "media_type");
        put_text_part(q, p, b->v[SG_MEMBER_CONTEXT]);
        begin_part(q, p, SG_STR("file"));
        sg_llm_put(&q->put, SG_STR("\"file\":{\"filename\":"));
        sg_llm_put(&q->put, has_title ? title.text : SG_STR("\"document.pdf\""));
        sg_llm_put(&q->put, SG_STR(",\"file_data\":"));
        put_data_url(q, v);
        sg_llm_put(&q->put, SG_STR("}}"));
        return 0;
}

static int put_part(struct sg_messages_request *q, const struct sg_messages_block_read *b, void *owner)
{
        struct parts *p = owner;

        switch (b->type) {
        case SG_BLOCK_TEXT:
                return put_text_part(q, p, b->v[SG_MEMBER_TEXT]), 0;
        case SG_BLOCK_IMAGE:
                return put_image(q, p, b);
        case SG_BLOCK_DOCUMENT:
                return put_document(q, p, b);
        default:
                return 0;
        }
}

static int put_only_text(struct sg_messages_request *q, const struct sg_messages_block_read *b, void *owner)
{
        if (b->type == SG_BLOCK_TEXT)
                put_prefixed(q, owner, b->v[SG_MEMBER_TEXT]);
        return 0;
}

int sg_messages_put_content(struct sg_messages_request *q, struct sg_str name, struct sg_json_value content,
                            unsigned allowed, struct sg_str prefix)
{
        struct parts p = {.prefix = prefix};
        struct sg_messages_walk count = {.name = name, .allowed = allowed};
        struct sg_messages_walk write = {.name = name, .allowed = allowed, .owner = &p};
        int r;

        if (content.kind == SG_JSON_STRING)
                return put_prefixed(q, &p, content), 0;
        r = sg_messages_walk_blocks(q, content, &count);
        if (r)
                return r;
        write.each = put_part;
        if (count.n[SG_BLOCK_TEXT] == 1 && count.n[SG_BLOCK_IMAGE] + count.n[SG_BLOCK_DOCUMENT] == 0) {
                write.each = put_only_text;
                return sg_messages_walk_blocks(q, content, &write);
        }
        sg_llm_put(&q->put, SG_STR("["));
        r = sg_messages_walk_blocks(q, content, &write);
        sg_llm_put(&q->put, SG_STR("]"));
        return r;
}
