#include "llm/fields.h"

#include <stdarg.h>
#include <stdio.h>

#include "llm/text.h"

#define INEXPRESSIBLE "cannot be expressed in the dialect of the provider of this model"

static size_t enter(struct sg_llm_reader *at, struct sg_str step)
{
        size_t mark = at->n_path, room = sizeof(at->path) - at->n_path;

        if (at->n_path > 0 && room > 1) {
                at->path[at->n_path++] = '.';
                room--;
        }
        while (step.n >= room) /* whole characters only */
                for (step.n--; step.n > 0 && ((unsigned char)step.p[step.n] & 0xc0) == 0x80;)
                        step.n--;
        if (step.n)
                memcpy(at->path + at->n_path, step.p, step.n);
        at->n_path += step.n;
        at->path[at->n_path] = '\0';
        return mark;
}

size_t sg_llm_enter(struct sg_llm_reader *at, struct sg_str name)
{
        return enter(at, name);
}

size_t sg_llm_enter_index(struct sg_llm_reader *at, size_t index)
{
        char digits[SG_U64_DIGITS_MAX];

        return enter(at, sg_str_u64(digits, index));
}

void sg_llm_leave(struct sg_llm_reader *at, size_t mark)
{
        at->n_path = mark;
        at->path[mark] = '\0';
}

static int refuse(struct sg_llm_reader *at, const char *format, va_list args)
{
        char text[sizeof(at->fault->text)];

        vsnprintf(text, sizeof(text), format, args);
        sg_llm_fault_set(at->fault, at->path, "'%s' %s", at->path, text);
        return SG_LLM_E_BAD_FIELD;
}

int sg_llm_refuse(struct sg_llm_reader *at, const char *format, ...)
{
        va_list args;
        int r;

        va_start(args, format);
        r = refuse(at, format, args);
        va_end(args);
        return r;
}

int sg_llm_refuse_member(struct sg_llm_reader *at, const char *name, const char *format, ...)
{
        size_t mark = enter(at, sg_str_from(name));
        va_list args;
        int r;

        va_start(args, format);
        r = refuse(at, format, args);
        va_end(args);
        sg_llm_leave(at, mark);
        return r;
}

int sg_llm_refuse_inexpressible(struct sg_llm_reader *at)
{
        return sg_llm_refuse(at, INEXPRESSIBLE);
}

int sg_llm_refuse_inexpressible_member(struct sg_llm_reader *at, const char *name)
{
        return sg_llm_refuse_member(at, name, INEXPRESSIBLE);
}

static bool says_nothing(struct sg_json_value v)
{
        return v.kind == SG_JSON_NULL || (v.kind == SG_JSON_ARRAY && sg_json_is_empty(v));
}

static size_t find_name(const struct sg_str *names, size_t n, struct sg_str found)
{
        struct sg_json_value quoted = {SG_JSON_STRING, sg_str_make(found.p - 1, found.n + 2)};
        size_t i = 0;

        while (i < n && !sg_json_text_is(quoted, names[i]))
                i++;
        return i;
}

int sg_llm_read_members(struct sg_llm_reader *at, struct sg_json_value object, const struct sg_str *names, size_t n,
                        struct sg_json_value *ret)
{
        struct sg_json_value v;
        struct sg_str name;
        size_t walk = 0;

        for (size_t i = 0; i < n; i++)
                ret[i] = (struct sg_json_value){0};
        if (object.kind != SG_JSON_OBJECT)
                return sg_llm_refuse(at, "must be an object, not %s", sg_llm_kind_phrase(object.kind));
        while (sg_json_each(object, &walk, &name, &v)) {
                size_t i = find_name(names, n, name);

                if (i == n && !says_nothing(v)) {
                        enter(at, name);
                        return sg_llm_refuse_inexpressible(at);
                }
                if (i == n)
                        continue;
                if (ret[i].kind != SG_JSON_NONE) {
                        enter(at, name);
                        return sg_llm_refuse(at, "stands twice");
                }
                ret[i] = v;
        }
        for (size_t i = 0; i < n; i++) /* until here it kept a second one out */
                if (ret[i].kind == SG_JSON_NULL)
                        ret[i] = (struct sg_json_value){0};
        return 0;
}

int sg_llm_must_be(struct sg_llm_reader *at, const char *name, struct sg_json_value v, enum sg_json_kind kind)
{
        if (v.kind == kind || (kind == SG_JSON_TRUE && v.kind == SG_JSON_FALSE))
                return 0;
        if (v.kind == SG_JSON_NONE)
                return sg_llm_refuse_member(at, name, "is missing");
        return sg_llm_refuse_member(at, name, "must be %s, not %s",
                                    kind == SG_JSON_TRUE ? "true or false" : sg_llm_kind_phrase(kind),
                                    sg_llm_kind_phrase(v.kind));
}

int sg_llm_may_be(struct sg_llm_reader *at, const char *name, struct sg_json_value v, enum sg_json_kind kind)
{
        return v.kind == SG_JSON_NONE ? 0 : sg_llm_must_be(at, name, v, kind);
}

static bool is_listed(struct sg_str list, struct sg_str name)
{
        struct sg_str one;

        while (sg_str_cut(&list, ',', &one) || one.n > 0)
                if (sg_str_eq(sg_str_trim(one), name))
                        return true;
        return false;
}

void sg_llm_drop(struct sg_llm_reader *at, const char *name)
{
        static const char more[] = ", ...";
        char *list = at->notes ? at->notes->dropped : NULL;
        size_t n = list ? strlen(list) : 0, n_name = strlen(name);

        if (!list || is_listed(sg_str_from(list), sg_str_from(name)) || is_listed(sg_str_from(list), SG_STR("...")))
                return;
        if (n + 2 + n_name + sizeof(more) <= sizeof(at->notes->dropped))
                snprintf(list + n, sizeof(at->notes->dropped) - n, "%s%s", n ? ", " : "", name);
        else /* room for it was kept */
                memcpy(list + n, more, sizeof(more));
}

bool sg_llm_is_empty_text(struct sg_json_value v)
{
        return v.kind == SG_JSON_STRING && v.text.n == 2;
}

static bool is_same_text(struct sg_json_value a, struct sg_json_value b)
{
        char text[SG_NAME_BYTES_MAX];
        size_t n;

        if (sg_str_eq(a.text, b.text))
                return true;
        return sg_json_copy(a, text, sizeof(text), &n) && sg_json_text_is(b, sg_str_make(text, n));
}

void sg_llm_calls_clear(struct sg_llm_calls *c, size_t message)
{
        c->n = c->n_answered = 0;
        c->message = message;
}

static size_t find_call(const struct sg_llm_calls *c, struct sg_json_value id)
{
        size_t i = 0;

        while (i < c->n && !is_same_text(c->of[i].id, id))
                i++;
        return i;
}

int sg_llm_calls_add(struct sg_llm_calls *c, struct sg_llm_reader *at, const char *name, struct sg_json_value id)
{
        int r = sg_llm_must_be(at, name, id, SG_JSON_STRING);

        if (r)
                return r;
        if (sg_llm_is_empty_text(id))
                return sg_llm_refuse_member(at, name, "is empty");
        if (find_call(c, id) < c->n)
                return sg_llm_refuse_member(at, name, "is the id of two calls");
        if (c->n == SG_TOOL_CALLS_MAX)
                return sg_llm_refuse(at, "is one too many: a turn may have %u tool calls", SG_TOOL_CALLS_MAX);
        c->of[c->n].id = id;
        c->of[c->n++].is_answered = false;
        return 0;
}

int sg_llm_calls_answer(struct sg_llm_calls *c, struct sg_llm_reader *at, const char *name, struct sg_json_value id)
{
        int r = sg_llm_must_be(at, name, id, SG_JSON_STRING);
        size_t i;

        if (r)
                return r;
        i = find_call(c, id);
        if (i == c->n)
                return sg_llm_refuse_member(at, name, "names no tool call of the assistant's message before it");
        if (c->of[i].is_answered)
                return sg_llm_refuse_member(at, name, "names a tool call that has its result already");
        c->of[i].is_answered = true;
        c->n_answered++;
        return 0;
}

int sg_llm_calls_end(const struct sg_llm_calls *c, struct sg_llm_reader *at)
{
        char id[SG_NAME_BYTES_MAX];
        size_t i = 0;

        if (c->n == c->n_answered)
                return 0;
        while (c->of[i].is_answered)
                i++;
        sg_llm_copy_text(id, sizeof(id), c->of[i].id);
        sg_llm_leave(at, 0);
        enter(at, SG_STR("messages"));
        sg_llm_enter_index(at, c->message);
        return sg_llm_refuse(at, "calls a tool ('%s') that has no result in the message after it", id);
}
