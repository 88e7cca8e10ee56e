/* Chat completions to messages: what a message says, as blocks. Texts are copied with their quotes, as they stand. */
#include "llm/data_url.h"
#include "llm/translate_chat_request.h"

enum {
        P_TYPE,
        P_TEXT,
        P_REFUSAL,
        P_IMAGE_URL,
        P_FILE,
        P_INPUT_AUDIO,
        P_CACHE_CONTROL,
        P_CACHE_BREAKPOINT,
        P_N,
};
static const struct sg_str part_names[P_N] = {
        [P_TYPE] = SG_STR("type"),
        [P_TEXT] = SG_STR("text"),
        [P_REFUSAL] = SG_STR("refusal"),
        [P_IMAGE_URL] = SG_STR("image_url"),
        [P_FILE] = SG_STR("file"),
        [P_INPUT_AUDIO] = SG_STR("input_audio"),
        [P_CACHE_CONTROL] = SG_STR("cache_control"),
        [P_CACHE_BREAKPOINT] = SG_STR("prompt_cache_breakpoint"),
};

void sg_chat_begin_block(struct sg_chat_request *q, size_t *n_blocks)
{
        sg_llm_put(&q->put, *n_blocks ? SG_STR(",{") : SG_STR("{"));
        (*n_blocks)++;
}

void sg_chat_put_cache_control(struct sg_chat_request *q, struct sg_json_value cache_control)
{
        if (cache_control.kind == SG_JSON_NONE)
                return;
        sg_llm_put(&q->put, SG_STR(",\"cache_control\":"));
        sg_llm_put(&q->put, cache_control.text);
}

static int write_text(struct sg_chat_request *q, const char *name, struct sg_json_value text, unsigned allowed,
                      struct sg_json_value cache_control, size_t *n_blocks)
{
        int r = sg_llm_must_be(&q->at, name, text, SG_JSON_STRING);

        if (r)
                return r;
        if (sg_llm_is_empty_text(text)) /* providers of messages refuse such blocks */
                return allowed & SG_CHAT_PART_MAY_BE_EMPTY ? 0 : sg_llm_refuse_member(&q->at, name, "is empty");
        sg_chat_begin_block(q, n_blocks);
        sg_llm_put(&q->put, SG_STR("\"type\":\"text\",\"text\":"));
        sg_llm_put(&q->put, text.text);
        sg_chat_put_cache_control(q, cache_control);
        sg_llm_put(&q->put, SG_STR("}"));
        return 0;
}

static void put_base64(struct sg_chat_request *q, const char *media_type, struct sg_str data)
{
        sg_llm_put(&q->put, SG_STR("\"source\":{\"type\":\"base64\",\"media_type\":\""));
        sg_llm_put(&q->put, sg_str_from(media_type));
        sg_llm_put(&q->put, SG_STR("\",\"data\":\""));
        sg_llm_put(&q->put, data);
        sg_llm_put(&q->put, SG_STR("\"}"));
}

static int write_image(struct sg_chat_request *q, struct sg_json_value image, struct sg_json_value cache_control,
                       size_t *n_blocks)
{
        static const struct sg_str names[] = {SG_STR("url"), SG_STR("detail")};
        struct sg_json_value v[SG_N_ELEMENTS(names)];
        struct sg_data_url url;
        bool is_data;
        int r = sg_llm_read_members(&q->at, image, names, SG_N_ELEMENTS(names), v);

        if (!r)
                r = sg_llm_must_be(&q->at, "url", v[0], SG_JSON_STRING);
        if (r)
                return r;
        is_data = sg_data_url_read(&url, v[0]);
        if (!is_data && !sg_data_url_is_web(v[0]))
                return sg_llm_refuse_member(&q->at, "url", "must begin with https:// or data:image/...;base64,");
        if (is_data && !sg_data_url_picture(url.media_type))
                return sg_llm_refuse_member(&q->at, "url", "must hold a JPEG, PNG, GIF or WebP picture");
        if (v[1].kind != SG_JSON_NONE && !sg_json_text_is(v[1], SG_STR("auto")))
                sg_llm_drop(&q->at, "image_url.detail");
        sg_chat_begin_block(q, n_blocks);
        sg_llm_put(&q->put, SG_STR("\"type\":\"image\","));
        if (is_data) {
                put_base64(q, sg_data_url_picture(url.media_type), url.data);
        } else {
                sg_llm_put(&q->put, SG_STR("\"source\":{\"type\":\"url\",\"url\":"));
                sg_llm_put(&q->put, v[0].text);
                sg_llm_put(&q->put, SG_STR("}"));
        }
        sg_chat_put_cache_control(q, cache_control);
        sg_llm_put(&q->put, SG_STR("}"));
        return 0;
}

static int write_file(struct sg_chat_request *q, struct sg_json_value file, struct sg_json_value cache_control,
                      size_t *n_blocks)
{
        static const struct sg_str names[] = {SG_STR("file_data"), SG_STR("filename")};
        struct sg_json_value v[SG_N_ELEMENTS(names)];
        struct sg_data_url url;
        int r = sg_llm_read_members(&q->at, file, names, SG_N_ELEMENTS(names), v); /* a file_id is refused here */

        if (!r)
                r = sg_llm_must_be(&q->at, "file_data", v[0], SG_JSON_STRING);
        if (!r)
                r = sg_llm_may_be(&q->at, "filename", v[1], SG_JSON_STRING);
        if (r)
                return r;
        if (!sg_data_url_read(&url, v[0]) || strcmp(url.media_type, "application/pdf") != 0)
                return sg_llm_refuse_member(&q->at, "file_data", "must begin with data:application/pdf;base64,");
        sg_chat_begin_block(q, n_blocks);
        sg_llm_put(&q->put, SG_STR("\"type\":\"document\","));
        put_base64(q, url.media_type, url.data);
        if (v[1].kind != SG_JSON_NONE && !sg_llm_is_empty_text(v[1])) {
                sg_llm_put(&q->put, SG_STR(",\"title\":"));
                sg_llm_put(&q->put, v[1].text);
        }
        sg_chat_put_cache_control(q, cache_control);
        sg_llm_put(&q->put, SG_STR("}"));
        return 0;
}

/* The members of another type of part than its own are refused by name: they would be lost. */
static int check_strays(struct sg_chat_request *q, const struct sg_json_value *v, size_t own)
{
        for (size_t i = P_TEXT; i < P_CACHE_CONTROL; i++)
                if (i != own && v[i].kind != SG_JSON_NONE)
                        return sg_llm_refuse_inexpressible_member(&q->at, part_names[i].p);
        return 0;
}

static int write_part(struct sg_chat_request *q, struct sg_json_value part, unsigned allowed,
                      struct sg_json_value cache_control, size_t *n_blocks)
{
        struct sg_json_value v[P_N];
        size_t own = P_TEXT;
        int r = sg_llm_read_members(&q->at, part, part_names, P_N, v);

        if (!r)
                r = sg_llm_must_be(&q->at, "type", v[P_TYPE], SG_JSON_STRING);
        if (r)
                return r;
        while (own < P_CACHE_CONTROL && !sg_json_text_is(v[P_TYPE], part_names[own]))
                own++;
        if (own == P_CACHE_CONTROL || own == P_INPUT_AUDIO || (own == P_REFUSAL && !(allowed & SG_CHAT_PART_REFUSAL)) ||
            ((own == P_IMAGE_URL || own == P_FILE) && !(allowed & SG_CHAT_PART_MEDIA)))
                return sg_llm_refuse_inexpressible_member(&q->at, "type");
        r = check_strays(q, v, own);
        if (r)
                return r;
        if (v[P_CACHE_BREAKPOINT].kind != SG_JSON_NONE)
                sg_llm_drop(&q->at, "prompt_cache_breakpoint");
        if (v[P_CACHE_CONTROL].kind != SG_JSON_NONE)
                cache_control = v[P_CACHE_CONTROL];
        if (own == P_TEXT || own == P_REFUSAL)
                return write_text(q, part_names[own].p, v[own], allowed, cache_control, n_blocks);
        (void)sg_llm_enter(&q->at, part_names[own]);
        return own == P_IMAGE_URL ? write_image(q, v[own], cache_control, n_blocks)
                                  : write_file(q, v[own], cache_control, n_blocks);
}

int sg_chat_write_content(struct sg_chat_request *q, struct sg_json_value content, unsigned allowed,
                          struct sg_json_value cache_control, size_t *n_blocks)
{
        struct sg_json_value part = {0}, next;
        size_t walk = 0, i = 0, mark;
        bool more;
        int r = 0;

        if (content.kind == SG_JSON_STRING)
                return write_text(q, "content", content, allowed, cache_control, n_blocks);
        if (content.kind != SG_JSON_ARRAY)
                return content.kind == SG_JSON_NONE
                               ? sg_llm_refuse_member(&q->at, "content", "is missing")
                               : sg_llm_refuse_member(&q->at, "content", "must be a string or an array, not %s",
                                                      sg_llm_kind_phrase(content.kind));
        more = sg_json_each(content, &walk, NULL, &part);
        if (!more && !(allowed & SG_CHAT_PART_MAY_BE_EMPTY))
                return sg_llm_refuse_member(&q->at, "content", "is empty");
        mark = sg_llm_enter(&q->at, SG_STR("content"));
        for (size_t inner = q->at.n_path; more && !r; part = next) {
                more = sg_json_each(content, &walk, NULL, &next);
                (void)sg_llm_enter_index(&q->at, i++);
                r = write_part(q, part, allowed, more ? (struct sg_json_value){0} : cache_control, n_blocks);
                if (!r)
                        sg_llm_leave(&q->at, inner);
        }
        if (!r)
                sg_llm_leave(&q->at, mark);
        return r;
}
