#include "json/scan.h"

static bool is_space(char c)
{
        return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static size_t offset_in(struct sg_str text, const char *p)
{
        SG_ASSERT(p >= text.p && p <= text.p + text.n);
        return (size_t)(p - text.p);
}

struct sg_json_edit sg_json_edit_value(struct sg_str text, const struct sg_json_want *want, struct sg_str new_value)
{
        SG_ASSERT(want->value.kind != SG_JSON_NONE);
        return (struct sg_json_edit){offset_in(text, want->value.text.p), want->value.text.n, new_value};
}

struct sg_json_edit sg_json_edit_cut(struct sg_str text, const struct sg_json_want *want)
{
        size_t from = offset_in(text, want->member.p), to = from + want->member.n, left = from, right = to;

        SG_ASSERT(want->member.n > 0 && to <= text.n);
        while (left > 0 && is_space(text.p[left - 1]))
                left--;
        while (right < text.n && is_space(text.p[right]))
                right++;
        if (left > 0 && text.p[left - 1] == ',') {
                from = left - 1; /* not the first: it takes the comma before it */
        } else if (right < text.n && text.p[right] == ',') {
                to = right + 1; /* the first of several: the comma after it */
        }
        return (struct sg_json_edit){.at = from, .remove = to - from, .insert = SG_STR("")};
}

struct sg_json_edit sg_json_edit_front(struct sg_str text, struct sg_json_value object, struct sg_str member)
{
        SG_ASSERT(object.kind == SG_JSON_OBJECT);
        return (struct sg_json_edit){.at = offset_in(text, object.text.p) + 1, .insert = member};
}

bool sg_json_is_empty(struct sg_json_value v)
{
        if (v.kind != SG_JSON_OBJECT && v.kind != SG_JSON_ARRAY)
                return false;
        for (size_t i = 1; i + 1 < v.text.n; i++)
                if (!is_space(v.text.p[i]))
                        return false;
        return true;
}

static void add_piece(struct sg_str pieces[SG_JSON_PIECES_MAX], size_t *n, size_t *n_bytes, struct sg_str s)
{
        if (s.n == 0)
                return;
        SG_ASSERT(*n < SG_JSON_PIECES_MAX);
        pieces[(*n)++] = s;
        *n_bytes += s.n;
}

size_t sg_json_splice(struct sg_str text, struct sg_json_edit *edits, size_t n_edits,
                      struct sg_str pieces[SG_JSON_PIECES_MAX], size_t *ret_bytes)
{
        size_t n = 0, n_bytes = 0, at = 0;

        SG_ASSERT(n_edits <= SG_JSON_EDITS_MAX);
        for (size_t i = 1; i < n_edits; i++) { /* by insertion: few, and edits at one place keep their order */
                struct sg_json_edit e = edits[i];
                size_t k = i;

                for (; k > 0 && edits[k - 1].at > e.at; k--)
                        edits[k] = edits[k - 1];
                edits[k] = e;
        }
        for (size_t i = 0; i < n_edits; i++) {
                SG_ASSERT(edits[i].at >= at && edits[i].at <= text.n && edits[i].remove <= text.n - edits[i].at);
                add_piece(pieces, &n, &n_bytes, sg_str_make(text.p + at, edits[i].at - at));
                add_piece(pieces, &n, &n_bytes, edits[i].insert);
                at = edits[i].at + edits[i].remove;
        }
        add_piece(pieces, &n, &n_bytes, sg_str_skip(text, at));
        *ret_bytes = n_bytes;
        return n;
}
