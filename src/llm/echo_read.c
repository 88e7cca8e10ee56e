#include "llm/echo.h"
#include "llm/text.h"

#define INPUTS_MAX 2048u /* OpenAI's own limit */
#define PIECE_MAX  1024u

static bool is_space(char c)
{
        return c == ' ' || (c >= '\t' && c <= '\r');
}

static size_t character(struct sg_str text, size_t at)
{
        unsigned char c = (unsigned char)text.p[at];
        size_t n = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

        return SG_MIN(n, text.n - at);
}

size_t sg_echo_piece_end(struct sg_str text, size_t at)
{
        unsigned n_wide = 0;
        size_t from;

        while (at < text.n && is_space(text.p[at])) /* only before the first word: later ones took theirs along */
                at++;
        from = at;
        while (at < text.n && !is_space(text.p[at]) && n_wide < 4 && at - from < PIECE_MAX) {
                n_wide += (unsigned char)text.p[at] >= 0xe3;
                at += character(text, at);
        }
        while (at < text.n && is_space(text.p[at]))
                at++;
        return at;
}

bool sg_echo_is_blank(struct sg_str text)
{
        for (size_t i = 0; i < text.n; i++)
                if (!is_space(text.p[i]))
                        return false;
        return true;
}

static uint64_t count_words(struct sg_str text)
{
        uint64_t n = 0;

        if (sg_echo_is_blank(text))
                return 0;
        for (size_t at = 0; at < text.n; at = sg_echo_piece_end(text, at))
                n++;
        return n;
}

static int bad(struct sg_llm_fault *fault, const char *param, const char *what)
{
        sg_llm_fault_set(fault, param, "'%s' %s", param, what);
        return SG_LLM_E_BAD_FIELD;
}

/* A string, or the texts of a list of strings and of {"type":"text"} parts, joined by spaces. Anything else adds
 * nothing. */
static int add_text(struct sg_buf *b, struct sg_json_value v)
{
        struct sg_json_value part;
        bool is_first = true;
        size_t at = 0;
        int r = 0;

        if (v.kind == SG_JSON_STRING)
                return sg_json_add_decoded(b, v);
        if (v.kind != SG_JSON_ARRAY)
                return 0;
        while (!r && sg_json_each(v, &at, NULL, &part)) {
                if (sg_json_text_is(sg_json_get(part, SG_STR("type")), SG_STR("text")))
                        part = sg_json_get(part, SG_STR("text"));
                if (part.kind != SG_JSON_STRING)
                        continue;
                if (!is_first)
                        r = sg_buf_add(b, SG_STR(" "));
                is_first = false;
                if (!r)
                        r = sg_json_add_decoded(b, part);
        }
        return r;
}

int sg_echo_read_messages(struct sg_echo *e, struct sg_json_value messages, struct sg_llm_fault *fault)
{
        struct sg_json_value m, last = {0};
        size_t at = 0;
        int r;

        while (sg_json_each(messages, &at, NULL, &m)) {
                struct sg_json_value role = sg_json_get(m, SG_STR("role")), content = sg_json_get(m, SG_STR("content"));

                if (m.kind != SG_JSON_OBJECT)
                        return bad(fault, "messages", "must hold objects");
                if (role.kind != SG_JSON_STRING)
                        return bad(fault, "messages", "holds a message without a 'role'");
                if (content.kind != SG_JSON_NONE && content.kind != SG_JSON_NULL && content.kind != SG_JSON_STRING &&
                    content.kind != SG_JSON_ARRAY)
                        return bad(fault, "messages", "holds a 'content' that is neither a string nor an array");
                if (sg_json_text_is(role, SG_STR("user")))
                        last = content;
                sg_buf_clear(&e->text);
                r = add_text(&e->text, content);
                if (r)
                        return r;
                e->input_tokens += count_words(sg_buf_view(&e->text));
        }
        sg_buf_clear(&e->text);
        return add_text(&e->text, last);
}

int sg_echo_read_prompt(struct sg_echo *e, struct sg_json_value prompt, struct sg_llm_fault *fault)
{
        int r;

        if (prompt.kind != SG_JSON_NONE && prompt.kind != SG_JSON_NULL && prompt.kind != SG_JSON_STRING &&
            prompt.kind != SG_JSON_ARRAY)
                return bad(fault, "prompt", "must be a string or an array");
        r = add_text(&e->text, prompt);
        e->input_tokens = count_words(sg_buf_view(&e->text));
        return r;
}

static uint64_t fnv1a(struct sg_str s)
{
        uint64_t h = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < s.n; i++)
                h = (h ^ (unsigned char)s.p[i]) * UINT64_C(0x100000001b3);
        return h;
}

/* One input: a text, or a list of token numbers, each of which counts as one. */
static int add_input(struct sg_echo *e, struct sg_json_value v, struct sg_llm_fault *fault)
{
        struct sg_json_value token;
        uint64_t hash, n = 0;
        size_t at = 0;
        int r;

        if (v.kind != SG_JSON_STRING && v.kind != SG_JSON_ARRAY)
                return bad(fault, "input", "must be a string, or an array of strings or of token numbers");
        if (sg_buf_length(&e->hashes) >= INPUTS_MAX * sizeof(hash))
                return bad(fault, "input", "holds more than 2048 inputs");
        sg_buf_clear(&e->text);
        r = v.kind == SG_JSON_STRING ? sg_json_add_decoded(&e->text, v) : sg_buf_add(&e->text, v.text);
        if (r)
                return r;
        while (sg_json_each(v, &at, NULL, &token)) {
                if (token.kind != SG_JSON_NUMBER)
                        return bad(fault, "input", "mixes token numbers with something else");
                n++;
        }
        e->input_tokens += v.kind == SG_JSON_STRING ? count_words(sg_buf_view(&e->text)) : n;
        hash = fnv1a(sg_buf_view(&e->text));
        return sg_buf_add(&e->hashes, sg_str_make(&hash, sizeof(hash)));
}

int sg_echo_read_input(struct sg_echo *e, struct sg_json_value whole, struct sg_llm_fault *fault)
{
        struct sg_json_value input = sg_json_get(whole, SG_STR("input")), v;
        struct sg_json_value format = sg_json_get(whole, SG_STR("encoding_format"));
        size_t at = 0;
        int r = 0;

        e->is_base64 = sg_json_text_is(format, SG_STR("base64"));
        if (format.kind != SG_JSON_NONE && format.kind != SG_JSON_NULL && !e->is_base64 &&
            !sg_json_text_is(format, SG_STR("float")))
                return bad(fault, "encoding_format", "must be \"float\" or \"base64\"");
        if (input.kind != SG_JSON_ARRAY)
                return add_input(e, input, fault);
        if (sg_json_path(input, SG_STR("0")).kind == SG_JSON_NUMBER)
                return add_input(e, input, fault);
        if (sg_json_is_empty(input))
                return bad(fault, "input", "is empty");
        while (!r && sg_json_each(input, &at, NULL, &v))
                r = add_input(e, v, fault);
        return r;
}
