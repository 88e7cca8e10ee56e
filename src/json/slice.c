#include "json/slice.h"

#include "json/scan.h"

const char *sg_json_kind_name(enum sg_json_kind kind)
{
        static const char *const names[SG_JSON_KIND_N] = {
                [SG_JSON_NONE] = "nothing", [SG_JSON_NULL] = "null",     [SG_JSON_FALSE] = "false",
                [SG_JSON_TRUE] = "true",    [SG_JSON_NUMBER] = "number", [SG_JSON_STRING] = "string",
                [SG_JSON_ARRAY] = "array",  [SG_JSON_OBJECT] = "object",
        };

        return (unsigned)kind < SG_JSON_KIND_N ? names[kind] : "?";
}

const char *sg_json_error_name(enum sg_json_error e)
{
        static const char *const names[SG_JSON_E_N] = {
                [SG_JSON_E_SYNTAX] = "syntax",       [SG_JSON_E_UTF8] = "utf-8",
                [SG_JSON_E_DEPTH] = "depth",         [SG_JSON_E_NOT_OBJECT] = "not an object",
                [SG_JSON_E_DUPLICATE] = "duplicate",
        };

        return (unsigned)e < SG_JSON_E_N && names[e] ? names[e] : "?";
}

static struct sg_json_want *find_want(struct sg_json_want *wants, size_t n_wants, struct sg_str quoted, bool has_escape)
{
        struct sg_str plain = sg_str_make(quoted.p + 1, quoted.n - 2);

        for (size_t i = 0; i < n_wants; i++)
                if (has_escape ? sg_json_text_is((struct sg_json_value){SG_JSON_STRING, quoted}, wants[i].name)
                               : sg_str_eq(plain, wants[i].name))
                        return &wants[i];
        return NULL;
}

/* One member of the top level, with `at` on its name. */
static bool slice_member(struct sg_json_scan *s, struct sg_json_want *wants, size_t n_wants, bool strict,
                         struct sg_str *ret_twice)
{
        const unsigned char *from = s->at, *value;
        struct sg_json_want *w;
        struct sg_str name;

        if (!sg_json_scan_name(s, &name))
                return false;
        w = find_want(wants, n_wants, name, s->has_escape);
        if (w && w->n > 0 && strict) {
                *ret_twice = w->name;
                s->at = from;
                return sg_json_scan_fail(s, SG_JSON_E_DUPLICATE, "a member stands twice");
        }
        value = s->at;
        if (!sg_json_scan_value(s, 1))
                return false;
        if (w) {
                w->value.kind = sg_json_kind_of(*value);
                w->value.text = sg_str_make(value, (size_t)(s->at - value));
                w->member = sg_str_make(from, (size_t)(s->at - from));
                w->n++;
        }
        return true;
}

static bool slice_end(struct sg_json_scan *s)
{
        sg_json_scan_space(s);
        return s->at == s->end || sg_json_scan_fail(s, SG_JSON_E_SYNTAX, "bytes after the end of the value");
}

static bool slice_object(struct sg_json_scan *s, struct sg_json_want *wants, size_t n_wants, bool strict,
                         struct sg_str *ret_twice)
{
        s->at++; /* the brace */
        sg_json_scan_space(s);
        if (sg_json_scan_peek(s) == '}') {
                s->at++;
                return slice_end(s);
        }
        for (;;) {
                if (!slice_member(s, wants, n_wants, strict, ret_twice))
                        return false;
                sg_json_scan_space(s);
                if (sg_json_scan_peek(s) == '}') {
                        s->at++;
                        return slice_end(s);
                }
                if (sg_json_scan_peek(s) != ',')
                        return sg_json_scan_fail(s, SG_JSON_E_SYNTAX,
                                                 s->at < s->end ? "a comma or a closing brace expected"
                                                                : "the text ends too early");
                s->at++;
                sg_json_scan_space(s);
        }
}

static int slice(struct sg_str text, struct sg_json_want *wants, size_t n_wants, bool strict,
                 struct sg_json_fault *fault)
{
        struct sg_str twice = SG_STR_NONE;
        struct sg_json_scan s;
        bool ok;

        for (size_t i = 0; i < n_wants; i++)
                wants[i] = (struct sg_json_want){.name = wants[i].name};

        sg_json_scan_init(&s, text);
        sg_json_scan_space(&s);
        if (sg_json_scan_peek(&s) == '{') {
                ok = slice_object(&s, wants, n_wants, strict, &twice);
        } else {
                const unsigned char *from = s.at;

                ok = sg_json_scan_value(&s, 0) && slice_end(&s);
                if (ok) { /* sound, but something else */
                        s.at = from;
                        ok = sg_json_scan_fail(&s, SG_JSON_E_NOT_OBJECT, "an object expected");
                }
        }
        if (ok)
                return 0;
        sg_json_scan_fault(&s, fault);
        if (fault)
                fault->name = twice;
        return (int)s.code;
}

int sg_json_slice(struct sg_str text, struct sg_json_want *wants, size_t n_wants, struct sg_json_fault *fault)
{
        return slice(text, wants, n_wants, true, fault);
}

int sg_json_slice_last(struct sg_str text, struct sg_json_want *wants, size_t n_wants, struct sg_json_fault *fault)
{
        return slice(text, wants, n_wants, false, fault);
}

int sg_json_check(struct sg_str text, struct sg_json_value *ret, struct sg_json_fault *fault)
{
        const unsigned char *from;
        struct sg_json_scan s;
        size_t n;

        sg_json_scan_init(&s, text);
        sg_json_scan_space(&s);
        from = s.at;
        if (!sg_json_scan_value(&s, 0)) {
                sg_json_scan_fault(&s, fault);
                return (int)s.code;
        }
        n = (size_t)(s.at - from);
        if (!slice_end(&s)) {
                sg_json_scan_fault(&s, fault);
                return (int)s.code;
        }
        if (ret)
                *ret = (struct sg_json_value){sg_json_kind_of(*from), sg_str_make(from, n)};
        return 0;
}
