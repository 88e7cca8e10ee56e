/*
 * An event ends with an empty line. Lines end in LF, CR or CRLF, and a piece may end between the CR and the LF: then it
 * is not known yet whether the LF comes. At the end of a line that does not matter (an LF that follows is skipped). At
 * the end of an event the lines before decide: where they end in CRLF, the LF is waited for, so that the event is given
 * whole; else the event is given at once, and an LF that comes nevertheless is given alone, as an event without data.
 *
 * A byte is looked for a line end once, when its piece comes. What is carried was looked at already: the flags tell in
 * what state.
 */
#include "http/sse.h"

#include "base/limits.h"
#include "http/bytes.h"

#define BOM SG_STR("\xef\xbb\xbf")

void sg_sse_init(struct sg_sse *s, size_t event_bytes_max)
{
        *s = (struct sg_sse){.is_first = true};
        if (event_bytes_max == 0)
                event_bytes_max = SG_SSE_EVENT_BYTES_MAX;
        sg_buf_init(&s->carry, event_bytes_max);
        sg_buf_init(&s->join, event_bytes_max);
}

void sg_sse_done(struct sg_sse *s)
{
        sg_buf_done(&s->carry);
        sg_buf_done(&s->join);
}

size_t sg_sse_carried(const struct sg_sse *s)
{
        return s->is_given ? 0 : sg_buf_length(&s->carry);
}

/* ---- where the event ends */

/* Passes a BOM at the begin of the stream, or the part of it that is there. False when the piece ends with it. */
static bool pass_bom(struct sg_sse *s, struct sg_str in, size_t *at, bool *is_line_empty)
{
        const struct sg_str bom = BOM;
        size_t n = sg_buf_length(&s->carry);

        while (n < bom.n && *at < in.n && in.p[*at] == bom.p[n]) {
                (*at)++;
                n++;
        }
        if (*at == in.n)
                return false;
        s->is_begun = true;
        *is_line_empty = n == 0 || n == bom.n;
        return true;
}

/* An empty line begins at in[*at - 1], a CR. True when the event ends at *at. */
static bool ends_with_cr(struct sg_sse *s, struct sg_str in, size_t *at)
{
        if (*at < in.n) {
                s->has_crlf = in.p[*at] == '\n';
                *at += s->has_crlf;
                return true;
        }
        s->after_cr = true;
        s->waits_for_lf = s->has_crlf;
        return !s->waits_for_lf;
}

/* The byte after a CR, in[*at]: passed when it is an LF. True when the event ends here. */
static bool take_after_cr(struct sg_sse *s, struct sg_str in, size_t *at)
{
        bool was_waiting = s->waits_for_lf;

        s->after_cr = s->waits_for_lf = false;
        s->has_crlf = in.p[*at] == '\n';
        *at += s->has_crlf;
        /* With nothing carried the event of that CR was given: its LF is all of this one. */
        return was_waiting || (s->has_crlf && *at == 1 && sg_buf_length(&s->carry) == 0);
}

/* The event that is carried, or begins here, ends at *ret. */
static bool find_end(struct sg_sse *s, struct sg_str in, size_t *ret)
{
        const struct sg_str carried = sg_buf_view(&s->carry);
        bool is_line_empty = carried.n == 0 || carried.p[carried.n - 1] == '\n' || carried.p[carried.n - 1] == '\r';
        size_t at = 0;

        *ret = in.n;
        if (!s->is_begun && !pass_bom(s, in, &at, &is_line_empty))
                return false;
        while (at < in.n) {
                if (s->after_cr) {
                        if (take_after_cr(s, in, &at)) {
                                *ret = at;
                                return true;
                        }
                        continue;
                }
                if (is_line_empty && (in.p[at] == '\n' || in.p[at] == '\r')) {
                        bool is_cr = in.p[at++] == '\r';

                        if (is_cr && !ends_with_cr(s, in, &at))
                                return false;
                        if (!is_cr)
                                s->has_crlf = false;
                        *ret = at;
                        return true;
                }
                at = http_line_end(in, at);
                is_line_empty = false;
                if (at == in.n)
                        break;
                s->after_cr = in.p[at] == '\r';
                if (!s->after_cr)
                        s->has_crlf = false;
                is_line_empty = true;
                at++;
        }
        return false;
}

/* ---- what the event says */

static int add_data(struct sg_sse *s, struct sg_str value, struct sg_sse_event *ev)
{
        int r = 0;

        if (!ev->has_data) {
                ev->has_data = true;
                ev->data = value;
                return 0;
        }
        if (s->join.data == NULL)
                r = sg_buf_add(&s->join, ev->data);
        if (!r)
                r = sg_buf_add(&s->join, SG_STR("\n"));
        if (!r)
                r = sg_buf_add(&s->join, value);
        ev->data = sg_buf_view(&s->join);
        return r;
}

static int read_line(struct sg_sse *s, struct sg_str line, struct sg_sse_event *ev)
{
        struct sg_str name;

        if (sg_str_starts(line, SG_STR("data: ")))
                return add_data(s, sg_str_skip(line, 6), ev);
        sg_str_cut(&line, ':', &name);
        if (line.n && line.p[0] == ' ')
                line = sg_str_skip(line, 1);
        if (sg_str_eq(name, SG_STR("data")))
                return add_data(s, line, ev);
        if (sg_str_eq(name, SG_STR("event")))
                ev->name = line;
        return 0;
}

static int read_event(struct sg_sse *s, struct sg_str raw, struct sg_sse_event *ret)
{
        struct sg_sse_event ev = {.raw = raw, .data = SG_STR(""), .name = SG_STR("")};
        size_t at = s->is_first && sg_str_starts(raw, BOM) ? BOM.n : 0;

        s->is_first = false;
        while (at < raw.n) {
                const size_t end = http_line_end(raw, at);
                const int r = read_line(s, sg_str_make(raw.p + at, end - at), &ev);

                if (r)
                        return r > 0 ? SG_SSE_E_TOO_LARGE : r;
                at = end + 1; /* an LF after it is read as an empty line, which says nothing */
        }
        *ret = ev;
        return 0;
}

/* ---- both */

static int carry_on(struct sg_sse *s, struct sg_str *in, size_t n)
{
        const int r = sg_buf_add(&s->carry, sg_str_head(*in, n));

        if (r)
                return r > 0 ? SG_SSE_E_TOO_LARGE : r;
        *in = sg_str_skip(*in, n);
        return 0;
}

static void drop_given(struct sg_sse *s)
{
        if (s->is_given)
                sg_buf_release(&s->carry);
        s->is_given = false;
        if (s->join.data)
                sg_buf_release(&s->join);
}

/* The usual event: whole in one piece, lines that end in LF, one line of data. Found and read in one pass; false, with
 * nothing changed, when it is another. */
static bool next_plain(struct sg_sse *s, struct sg_str in, struct sg_sse_event *ret)
{
        struct sg_sse_event ev = {.data = SG_STR(""), .name = SG_STR("")};
        size_t at = 0;

        if (sg_buf_length(&s->carry) || !s->is_begun || s->is_first || s->after_cr)
                return false;
        while (at < in.n && in.p[at] != '\n') {
                const size_t end = http_line_end(in, at);
                const struct sg_str line = sg_str_make(in.p + at, end - at);

                if (end == in.n || in.p[end] == '\r' || (ev.has_data && line.p[0] == 'd'))
                        return false;
                if (read_line(s, line, &ev))
                        return false;
                at = end + 1;
        }
        if (at >= in.n || at + 1 > s->carry.max)
                return false;
        ev.raw = sg_str_head(in, at + 1);
        s->has_crlf = false;
        *ret = ev;
        return true;
}

int sg_sse_next(struct sg_sse *s, struct sg_str *in, struct sg_sse_event *ret)
{
        bool is_whole;
        struct sg_str raw;
        size_t end;
        int r;

        drop_given(s);
        if (in->n == 0)
                return SG_SSE_E_MORE;
        if (SG_LIKELY(next_plain(s, *in, ret))) {
                *in = sg_str_skip(*in, ret->raw.n);
                return 0;
        }
        is_whole = find_end(s, *in, &end);
        if (is_whole && sg_buf_length(&s->carry) == 0) {
                raw = sg_str_head(*in, end);
                if (raw.n > s->carry.max)
                        return SG_SSE_E_TOO_LARGE;
                *in = sg_str_skip(*in, end);
                return read_event(s, raw, ret);
        }
        r = carry_on(s, in, end);
        if (r)
                return r;
        if (!is_whole)
                return SG_SSE_E_MORE;
        s->is_given = true;
        return read_event(s, sg_buf_view(&s->carry), ret);
}
