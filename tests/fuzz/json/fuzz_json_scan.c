/* Any bytes: the scanner, which goes by vectors, judges as a reader that goes byte by byte; and what is wanted inside of
 * members is found in one pass as it is by walking. */
#include "base/limits.h"
#include "json/slice.h"

/* ---- byte by byte, after RFC 8259 and RFC 3629 */

struct reader {
        const uint8_t *p;
        size_t n, at;
        enum sg_json_error code;
};

static int peek(const struct reader *r)
{
        return r->at < r->n ? r->p[r->at] : -1;
}

static bool bad(struct reader *r, enum sg_json_error code)
{
        r->code = code;
        return false;
}

static void space(struct reader *r)
{
        while (peek(r) == ' ' || peek(r) == '\t' || peek(r) == '\n' || peek(r) == '\r')
                r->at++;
}

static bool is_digit(int c)
{
        return c >= '0' && c <= '9';
}

static bool is_hex(int c)
{
        return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool read_escape(struct reader *r)
{
        r->at++;
        if (peek(r) < 0 || !strchr("\"\\/bfnrtu", peek(r)) || peek(r) == 0)
                return bad(r, SG_JSON_E_SYNTAX);
        if (r->p[r->at++] == 'u')
                for (int i = 0; i < 4; i++, r->at++)
                        if (!is_hex(peek(r)))
                                return bad(r, SG_JSON_E_SYNTAX);
        return true;
}

static bool read_string(struct reader *r)
{
        if (peek(r) != '"')
                return bad(r, SG_JSON_E_SYNTAX);
        r->at++;
        while (peek(r) != '"') {
                int c = peek(r);

                if (c < 0x20)
                        return bad(r, SG_JSON_E_SYNTAX);
                if (c == '\\') {
                        if (!read_escape(r))
                                return false;
                } else {
                        size_t n = sg_str_utf8_first(sg_str_make(r->p + r->at, r->n - r->at));

                        if (n == 0)
                                return bad(r, SG_JSON_E_UTF8);
                        r->at += n;
                }
        }
        r->at++;
        return true;
}

static bool read_digits(struct reader *r)
{
        if (!is_digit(peek(r)))
                return bad(r, SG_JSON_E_SYNTAX);
        while (is_digit(peek(r)))
                r->at++;
        return true;
}

static bool read_number(struct reader *r)
{
        r->at += peek(r) == '-';
        if (peek(r) == '0') {
                r->at++;
                if (is_digit(peek(r)))
                        return bad(r, SG_JSON_E_SYNTAX);
        } else if (!read_digits(r)) {
                return false;
        }
        if (peek(r) == '.') {
                r->at++;
                if (!read_digits(r))
                        return false;
        }
        if (peek(r) == 'e' || peek(r) == 'E') {
                r->at++;
                r->at += peek(r) == '+' || peek(r) == '-';
                return read_digits(r);
        }
        return true;
}

static bool read_word(struct reader *r, const char *word)
{
        for (; *word; word++, r->at++)
                if (peek(r) != *word)
                        return bad(r, SG_JSON_E_SYNTAX);
        return true;
}

static bool read_value(struct reader *r, unsigned depth);

static bool read_container(struct reader *r, unsigned depth)
{
        bool is_object = peek(r) == '{';
        int close = is_object ? '}' : ']';

        if (depth == SG_JSON_DEPTH_MAX)
                return bad(r, SG_JSON_E_DEPTH);
        r->at++;
        space(r);
        for (bool is_first = true; peek(r) != close || !is_first; is_first = false) {
                if (is_object) {
                        if (!read_string(r))
                                return false;
                        space(r);
                        if (peek(r) != ':')
                                return bad(r, SG_JSON_E_SYNTAX);
                        r->at++;
                        space(r);
                }
                if (!read_value(r, depth + 1))
                        return false;
                space(r);
                if (peek(r) == close)
                        break;
                if (peek(r) != ',')
                        return bad(r, SG_JSON_E_SYNTAX);
                r->at++;
                space(r);
        }
        r->at++;
        return true;
}

static bool read_value(struct reader *r, unsigned depth)
{
        switch (peek(r)) {
        case '{':
        case '[':
                return read_container(r, depth);
        case '"':
                return read_string(r);
        case 't':
                return read_word(r, "true");
        case 'f':
                return read_word(r, "false");
        case 'n':
                return read_word(r, "null");
        default:
                return read_number(r);
        }
}

static bool read_text(struct reader *r)
{
        space(r);
        if (!read_value(r, 0))
                return false;
        space(r);
        return r->at == r->n || bad(r, SG_JSON_E_SYNTAX);
}

/* ---- what is wanted inside, found by walking */

enum {
        IN_DELTA,
        IN_REASON,
        IN_N
};

struct inside {
        struct sg_json_want in_choice[IN_N], in_delta[1];
        struct sg_json_value choices; /* to walk through beside */
        size_t at, n;
};

static bool is_same(struct sg_json_value a, struct sg_json_value b)
{
        return a.kind == b.kind && a.text.p == b.text.p && a.text.n == b.text.n;
}

static void compare(const struct inside *i, struct sg_json_value choice)
{
        struct sg_json_want w[IN_N] = {[IN_DELTA] = {.name = i->in_choice[IN_DELTA].name},
                                       [IN_REASON] = {.name = i->in_choice[IN_REASON].name}};
        struct sg_json_want content = {.name = i->in_delta[0].name};

        SG_ASSERT(sg_json_slice_last(choice.text, w, IN_N, NULL) == 0);
        for (size_t k = 0; k < IN_N; k++) {
                SG_ASSERT(is_same(w[k].value, i->in_choice[k].value) && w[k].n == i->in_choice[k].n);
                SG_ASSERT(w[k].member.p == i->in_choice[k].member.p && w[k].member.n == i->in_choice[k].member.n);
        }
        if (w[IN_DELTA].value.kind == SG_JSON_OBJECT)
                SG_ASSERT(sg_json_slice_last(w[IN_DELTA].value.text, &content, 1, NULL) == 0);
        if (w[IN_DELTA].value.kind != SG_JSON_ARRAY) /* of that, the last object's */
                SG_ASSERT(is_same(content.value, i->in_delta[0].value) && content.n == i->in_delta[0].n);
}

static void on_choice(void *owner)
{
        struct inside *i = owner;
        struct sg_json_value v = i->choices;

        if (i->choices.kind == SG_JSON_ARRAY)
                do
                        SG_ASSERT(sg_json_each(i->choices, &i->at, NULL, &v));
                while (v.kind != SG_JSON_OBJECT);
        compare(i, v);
        i->n++;
}

static size_t count_objects(struct sg_json_value in)
{
        struct sg_json_value v;
        size_t at = 0, n = 0;

        if (in.kind == SG_JSON_ARRAY)
                while (sg_json_each(in, &at, NULL, &v))
                        n += v.kind == SG_JSON_OBJECT;
        return in.kind == SG_JSON_OBJECT ? 1 : n;
}

static void look_inside(struct sg_str text)
{
        struct inside i = {
                .in_choice = {[IN_DELTA] = {.name = SG_STR("delta")}, [IN_REASON] = {.name = SG_STR("finish_reason")}},
                .in_delta = {{.name = SG_STR("content")}}};
        struct sg_json_inside in_delta = {i.in_delta, 1, NULL, NULL};
        struct sg_json_inside in_choices = {i.in_choice, IN_N, on_choice, &i};
        struct sg_json_want plain = {.name = SG_STR("choices")},
                            deep = {.name = SG_STR("choices"), .inside = &in_choices};

        i.in_choice[IN_DELTA].inside = &in_delta;
        if (sg_json_slice_last(text, &plain, 1, NULL))
                return;
        i.choices = plain.value;
        if (plain.n > 1)
                in_choices.on_object = NULL; /* it would be called for those of each */
        SG_ASSERT(sg_json_slice_last(text, &deep, 1, NULL) == 0);
        SG_ASSERT(is_same(plain.value, deep.value) && plain.n == deep.n);
        SG_ASSERT(plain.n > 1 || i.n == count_objects(plain.value));
        if (plain.n > 1 && plain.value.kind == SG_JSON_OBJECT)
                compare(&i, plain.value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct reader r = {.p = data, .n = size};
        struct sg_str text = sg_str_make(data, size);
        struct sg_json_fault fault = {0};
        bool is_valid = read_text(&r);
        int found = sg_json_check(text, NULL, &fault);

        SG_ASSERT(is_valid == (found == 0));
        SG_ASSERT(is_valid || (fault.code == r.code && fault.offset == r.at));
        look_inside(text);
        return 0;
}
