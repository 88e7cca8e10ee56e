/*
 * Values come from clients and providers. In both forms a line stays one line, and no byte in it can steer a terminal:
 * control characters (C0, DEL, C1) and what is not UTF-8 are written as escapes.
 */
#include <time.h>

#include "base/log_internal.h"

#define FIELD_PREFIX SG_STR("SCRIBE_")

static char lower(char c)
{
        return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static int add_lower(struct sg_buf *b, struct sg_str s)
{
        size_t n = s.n;
        char *at;
        int r;

        r = sg_buf_reserve(b, n, &at);
        if (r)
                return r;
        for (size_t i = 0; i < n; i++)
                at[i] = lower(s.p[i]);
        sg_buf_added(b, n);
        return 0;
}

/* Bytes of the character that s begins with if it can be shown as it is, else 0. */
static size_t shown_first(struct sg_str s)
{
        unsigned char c = (unsigned char)s.p[0];
        size_t n;

        if (c < 0x20 || c == 0x7f)
                return 0;
        n = sg_str_utf8_first(s);
        return n == 2 && c == 0xc2 && (unsigned char)s.p[1] < 0xa0 ? 0 : n;
}

static int add_escape(struct sg_buf *b, char c)
{
        switch (c) {
        case '\n':
                return sg_buf_add(b, SG_STR("\\n"));
        case '\r':
                return sg_buf_add(b, SG_STR("\\r"));
        case '\t':
                return sg_buf_add(b, SG_STR("\\t"));
        default:
                return sg_buf_printf(b, "\\x%02x", (unsigned char)c);
        }
}

static int add_shown(struct sg_buf *b, struct sg_str s, bool is_quoted)
{
        int r = 0;

        while (s.n && !r) {
                size_t n = shown_first(s);

                if (n == 0) {
                        r = add_escape(b, s.p[0]);
                        n = 1;
                } else {
                        if (is_quoted && (s.p[0] == '"' || s.p[0] == '\\'))
                                r = sg_buf_add(b, SG_STR("\\"));
                        if (!r)
                                r = sg_buf_add(b, sg_str_head(s, n));
                }
                s = sg_str_skip(s, n);
        }
        return r;
}

static bool wants_quotes(struct sg_str s)
{
        if (s.n == 0)
                return true;
        while (s.n) {
                size_t n = shown_first(s);

                if (n == 0 || s.p[0] == ' ' || s.p[0] == '"' || s.p[0] == '=' || s.p[0] == '\\')
                        return true;
                s = sg_str_skip(s, n);
        }
        return false;
}

/* The message begins with the place and says in words what the number means. */
static bool is_told_by_message(struct sg_str name)
{
        return sg_str_eq(name, SG_STR("ERRNO")) || sg_str_eq(name, SG_STR("SCRIBE_WHERE"));
}

static int add_text_field(struct sg_buf *b, const struct sg_log_field *f)
{
        struct sg_str name = sg_str_from(f->name);
        bool is_quoted = wants_quotes(f->value);
        int r;

        if (is_told_by_message(name))
                return 0;
        if (sg_str_starts(name, FIELD_PREFIX))
                name = sg_str_skip(name, FIELD_PREFIX.n);
        r = sg_buf_add(b, SG_STR(" "));
        if (!r)
                r = add_lower(b, name);
        if (!r)
                r = sg_buf_add(b, is_quoted ? SG_STR("=\"") : SG_STR("="));
        if (!r)
                r = add_shown(b, f->value, is_quoted);
        if (!r && is_quoted)
                r = sg_buf_add(b, SG_STR("\""));
        return r;
}

static int add_clock(struct sg_buf *b, uint64_t wall_usec)
{
        time_t seconds = (time_t)(wall_usec / SG_USEC_PER_SEC);
        struct tm tm;

        if (!localtime_r(&seconds, &tm))
                return 0;
        return sg_buf_printf(b, "%02d:%02d:%02d ", tm.tm_hour, tm.tm_min, tm.tm_sec);
}

int sg_log_format_text(struct sg_buf *b, const struct sg_log_record *r, struct sg_log_text_style style)
{
        int e = 0;

        if (style.has_level)
                e = sg_buf_printf(b, "<%d>", (int)r->level);
        if (!e && style.has_clock)
                e = add_clock(b, r->wall_usec);
        if (!e)
                e = sg_buf_printf(b, "%s: ", sg_log_identity());
        if (!e)
                e = add_shown(b, r->message, false);
        for (size_t i = 0; i < r->n_fields && !e; i++)
                e = add_text_field(b, &r->fields[i]);
        if (!e)
                e = sg_buf_add(b, SG_STR("\n"));
        return e;
}

#define TIME_BEGIN   "{\"time\":\""
#define TIME_YEAR_AT (sizeof(TIME_BEGIN) - 1)

static void put_digits(char *at, size_t n, unsigned v)
{
        for (; n-- > 0; v /= 10)
                at[n] = (char)('0' + v % 10);
}

static int add_json_time(struct sg_buf *b, uint64_t wall_usec)
{
        char text[] = TIME_BEGIN "0000-00-00T00:00:00.000000Z\"";
        time_t seconds = (time_t)(wall_usec / SG_USEC_PER_SEC);
        struct tm tm;

        if (!gmtime_r(&seconds, &tm) || tm.tm_year > 9999 - 1900) /* RFC 3339 has four digits for a year */
                return sg_buf_add(b, SG_STR("{\"time\":null"));
        put_digits(text + TIME_YEAR_AT, 4, (unsigned)tm.tm_year + 1900);
        put_digits(text + TIME_YEAR_AT + 5, 2, (unsigned)tm.tm_mon + 1);
        put_digits(text + TIME_YEAR_AT + 8, 2, (unsigned)tm.tm_mday);
        put_digits(text + TIME_YEAR_AT + 11, 2, (unsigned)tm.tm_hour);
        put_digits(text + TIME_YEAR_AT + 14, 2, (unsigned)tm.tm_min);
        put_digits(text + TIME_YEAR_AT + 17, 2, (unsigned)tm.tm_sec);
        put_digits(text + TIME_YEAR_AT + 20, 6, (unsigned)(wall_usec % SG_USEC_PER_SEC));
        return sg_buf_add(b, sg_str_make(text, sizeof(text) - 1));
}

static int add_json_member(struct sg_buf *b, struct sg_str name, struct sg_str value)
{
        size_t n = name.n + 4;
        char *at;
        int r;

        r = sg_buf_reserve(b, n, &at);
        if (r)
                return r;
        at[0] = ',';
        at[1] = '"';
        memcpy(at + 2, name.p, name.n); /* from our own tables: nothing to escape */
        at[n - 2] = '"';
        at[n - 1] = ':';
        sg_buf_added(b, n);
        return sg_buf_add_json_string(b, value);
}

int sg_log_format_json(struct sg_buf *b, const struct sg_log_record *r)
{
        int e;

        e = add_json_time(b, r->wall_usec);
        if (!e)
                e = add_json_member(b, SG_STR("level"), sg_str_from(sg_log_level_name(r->level)));
        if (!e)
                e = add_json_member(b, SG_STR("message"), r->message);
        if (!e && r->message_id)
                e = add_json_member(b, SG_STR("message_id"), sg_str_from(r->message_id));
        for (size_t i = 0; i < r->n_fields && !e; i++)
                e = add_json_member(b, sg_str_from(r->fields[i].name), r->fields[i].value);
        if (!e)
                e = sg_buf_add(b, SG_STR("}\n"));
        return e;
}
