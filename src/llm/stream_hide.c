#include "llm/stream_hide.h"

#include "llm/text.h"

/* The data of an event with one data line is a view into the event's own bytes; that of several is joined elsewhere. */
static bool lies_in(struct sg_str inner, struct sg_str outer)
{
        uintptr_t a = (uintptr_t)inner.p, b = (uintptr_t)outer.p;

        return a >= b && a + inner.n <= b + outer.n;
}

/* The usual case: one data line, one usage. The cut is made in the event's own bytes. */
static int hide_in_place(struct sg_buf *to, const struct sg_sse_event *ev, const struct sg_json_want *usage)
{
        struct sg_json_edit cut = sg_json_edit_cut(ev->data, usage);
        size_t at = (size_t)(ev->data.p - ev->raw.p) + cut.at;
        struct sg_llm_put o = {.to = to};

        sg_llm_put(&o, sg_str_head(ev->raw, at));
        sg_llm_put(&o, sg_str_skip(ev->raw, at + cut.remove));
        return o.r;
}

/* All members but those of that name. Line feeds between them, from joined lines, become spaces: inside of a string
 * there can be none. */
static void put_others(struct sg_llm_put *o, struct sg_str json, struct sg_str name)
{
        struct sg_json_value v, object = {SG_JSON_OBJECT, sg_llm_trim(json)};
        struct sg_str found, comma = SG_STR("");
        size_t at = 0;

        sg_llm_put(o, SG_STR("{"));
        while (sg_json_each(object, &at, &found, &v)) {
                struct sg_json_value quoted = {SG_JSON_STRING, sg_str_make(found.p - 1, found.n + 2)};
                struct sg_str left, rest = sg_str_make(found.p - 1, (size_t)(v.text.p + v.text.n - (found.p - 1)));

                if (sg_json_text_is(quoted, name))
                        continue;
                sg_llm_put(o, comma);
                while (sg_str_cut(&rest, '\n', &left)) {
                        sg_llm_put(o, left);
                        sg_llm_put(o, SG_STR(" "));
                }
                sg_llm_put(o, left);
                comma = SG_STR(",");
        }
        sg_llm_put(o, SG_STR("}"));
}

/* Cuts the next line with its end (LF, CR or CRLF) from *rest. */
static struct sg_str next_line(struct sg_str *rest, struct sg_str *ret_end)
{
        size_t n = 0, end;
        struct sg_str line;

        while (n < rest->n && rest->p[n] != '\n' && rest->p[n] != '\r')
                n++;
        end = n < rest->n ? 1 : 0;
        if (end && rest->p[n] == '\r' && n + 1 < rest->n && rest->p[n + 1] == '\n')
                end = 2;
        line = sg_str_head(*rest, n);
        *ret_end = sg_str_make(rest->p + n, end);
        *rest = sg_str_skip(*rest, n + end);
        return line;
}

static bool is_data_line(struct sg_str line)
{
        if (sg_str_starts(line, SG_STR("\xef\xbb\xbf")))
                line = sg_str_skip(line, 3);
        return sg_str_starts(line, SG_STR("data:")) || sg_str_eq(line, SG_STR("data"));
}

/* Several data lines, or several usages: the data becomes one line where the first stood. */
static int hide_rewritten(struct sg_buf *to, const struct sg_sse_event *ev, struct sg_str name)
{
        struct sg_llm_put o = {.to = to};
        struct sg_str rest = ev->raw, end;
        bool is_first = true;

        while (rest.n > 0) {
                struct sg_str line = next_line(&rest, &end);

                if (!is_data_line(line)) {
                        sg_llm_put(&o, line);
                        sg_llm_put(&o, end);
                } else if (is_first) {
                        sg_llm_put(&o, SG_STR("data: "));
                        put_others(&o, ev->data, name);
                        sg_llm_put(&o, end);
                        is_first = false;
                }
        }
        return o.r;
}

int sg_llm_stream_hide(struct sg_buf *to, const struct sg_sse_event *ev, const struct sg_json_want *usage)
{
        sg_buf_clear(to);
        if (usage->n == 1 && lies_in(ev->data, ev->raw))
                return hide_in_place(to, ev, usage);
        return hide_rewritten(to, ev, usage->name);
}
