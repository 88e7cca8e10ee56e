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

static void forget(struct sg_json_want *wants, size_t n_wants)
{
        for (size_t i = 0; i < n_wants; i++) {
                const struct sg_json_inside *inside = wants[i].inside;

                wants[i] = (struct sg_json_want){.name = wants[i].name, .inside = inside};
                if (inside)
                        forget(inside->wants, inside->n_wants);
        }
}

/* Of names of one length most differ in their first byte. */
static inline bool is_name(struct sg_str a, struct sg_str b)
{
        return a.n == b.n && (a.n == 0 || (a.p[0] == b.p[0] && memcmp(a.p, b.p, a.n) == 0));
}

static struct sg_json_want *find_want(struct sg_json_want *wants, size_t n_wants, struct sg_str quoted, bool has_escape)
{
        struct sg_str plain = sg_str_make(quoted.p + 1, quoted.n - 2);

        for (size_t i = 0; i < n_wants; i++)
                if (has_escape ? sg_json_text_is((struct sg_json_value){SG_JSON_STRING, quoted}, wants[i].name)
                               : is_name(plain, wants[i].name))
                        return &wants[i];
        return NULL;
}

/* ---- one pass; objects within wanted members go through slice_object(), everything else through the scanner. The
 * calls nest as deep as wants do, whatever the text. */

struct slice {
        struct sg_json_scan s;
        bool is_strict;      /* a wanted member may not stand twice */
        struct sg_str twice; /* which did */
};

static bool slice_object(struct slice *l, struct sg_json_want *wants, size_t n_wants, unsigned depth);

static bool slice_fail(struct slice *l, const char *what)
{
        return sg_json_scan_fail(&l->s, SG_JSON_E_SYNTAX, l->s.at < l->s.end ? what : "the text ends too early");
}

static bool inside_object(struct slice *l, const struct sg_json_inside *inside, unsigned depth)
{
        if (!slice_object(l, inside->wants, inside->n_wants, depth))
                return false;
        if (inside->on_object)
                inside->on_object(inside->owner);
        return true;
}

static bool inside_element(struct slice *l, const struct sg_json_inside *inside, unsigned depth, bool *is_used)
{
        if (sg_json_scan_peek(&l->s) != '{')
                return sg_json_scan_value(&l->s, depth);
        if (*is_used)
                forget(inside->wants, inside->n_wants);
        *is_used = true;
        return inside_object(l, inside, depth);
}

static bool inside_array(struct slice *l, const struct sg_json_inside *inside, unsigned depth)
{
        struct sg_json_scan *s = &l->s;
        bool is_used = false;

        s->at++; /* the bracket */
        sg_json_scan_space(s);
        if (sg_json_scan_peek(s) == ']') {
                s->at++;
                return true;
        }
        for (;;) {
                if (!inside_element(l, inside, depth + 1, &is_used))
                        return false;
                sg_json_scan_space(s);
                if (sg_json_scan_peek(s) == ']') {
                        s->at++;
                        return true;
                }
                if (sg_json_scan_peek(s) != ',')
                        return slice_fail(l, "a comma or a closing bracket expected");
                s->at++;
                sg_json_scan_space(s);
        }
}

/* The value of a member, wanted if w, with `depth` containers open around it. */
static bool slice_value(struct slice *l, const struct sg_json_want *w, unsigned depth)
{
        unsigned char c = sg_json_scan_peek(&l->s);

        if (!w || !w->inside)
                return sg_json_scan_value(&l->s, depth);
        if (w->n > 0) /* its last one may have filled them */
                forget(w->inside->wants, w->inside->n_wants);
        if (c == '{')
                return inside_object(l, w->inside, depth);
        return c == '[' ? inside_array(l, w->inside, depth) : sg_json_scan_value(&l->s, depth);
}

/* One member, with `at` on its name. */
static bool slice_member(struct slice *l, struct sg_json_want *wants, size_t n_wants, unsigned depth)
{
        struct sg_json_scan *s = &l->s;
        const unsigned char *from = s->at, *value;
        struct sg_json_want *w;
        struct sg_str name;

        if (!sg_json_scan_name(s, &name))
                return false;
        w = find_want(wants, n_wants, name, s->has_escape);
        if (w && w->n > 0 && l->is_strict) {
                l->twice = w->name;
                s->at = from;
                return sg_json_scan_fail(s, SG_JSON_E_DUPLICATE, "a member stands twice");
        }
        value = s->at;
        if (!slice_value(l, w, depth))
                return false;
        if (w) {
                w->value.kind = sg_json_kind_of(*value);
                w->value.text = sg_str_make(value, (size_t)(s->at - value));
                w->member = sg_str_make(from, (size_t)(s->at - from));
                w->n++;
        }
        return true;
}

/* At '{', with `depth` containers open around it. */
static bool slice_object(struct slice *l, struct sg_json_want *wants, size_t n_wants, unsigned depth)
{
        struct sg_json_scan *s = &l->s;

        s->at++;
        sg_json_scan_space(s);
        if (sg_json_scan_peek(s) == '}') {
                s->at++;
                return true;
        }
        for (;;) {
                if (!slice_member(l, wants, n_wants, depth + 1))
                        return false;
                sg_json_scan_space(s);
                if (sg_json_scan_peek(s) == '}') {
                        s->at++;
                        return true;
                }
                if (sg_json_scan_peek(s) != ',')
                        return slice_fail(l, "a comma or a closing brace expected");
                s->at++;
                sg_json_scan_space(s);
        }
}

static bool slice_end(struct sg_json_scan *s)
{
        sg_json_scan_space(s);
        return s->at == s->end || sg_json_scan_fail(s, SG_JSON_E_SYNTAX, "bytes after the end of the value");
}

static int slice(struct sg_str text, struct sg_json_want *wants, size_t n_wants, bool is_strict,
                 struct sg_json_fault *fault)
{
        struct slice l = {.is_strict = is_strict};
        bool ok;

        forget(wants, n_wants);
        sg_json_scan_init(&l.s, text);
        sg_json_scan_space(&l.s);
        if (sg_json_scan_peek(&l.s) == '{') {
                ok = slice_object(&l, wants, n_wants, 0) && slice_end(&l.s);
        } else {
                const unsigned char *from = l.s.at;

                ok = sg_json_scan_value(&l.s, 0) && slice_end(&l.s);
                if (ok) { /* sound, but something else */
                        l.s.at = from;
                        ok = sg_json_scan_fail(&l.s, SG_JSON_E_NOT_OBJECT, "an object expected");
                }
        }
        if (ok)
                return 0;
        sg_json_scan_fault(&l.s, fault);
        if (fault)
                fault->name = l.twice;
        return (int)l.s.code;
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
