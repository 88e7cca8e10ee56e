#include "config/ini.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void sg_ini_init(struct sg_ini *i, struct sg_str bytes, const char *path)
{
        const struct sg_str mark = SG_STR("\xef\xbb\xbf");

        *i = (struct sg_ini){.path = path};
        i->rest = sg_str_starts(bytes, mark) ? sg_str_skip(bytes, mark.n) : bytes;
}

void sg_ini_place(char *out, size_t out_bytes, const char *path, unsigned line)
{
        struct sg_str shown = sg_str_from(path);
        const struct sg_str cut = SG_STR("\xe2\x80\xa6"); /* an ellipsis */
        char number[16];
        size_t room;

        snprintf(number, sizeof(number), ":%u", line);
        SG_ASSERT(out_bytes > cut.n + sizeof(number));
        room = out_bytes - 1 - strlen(number);
        if (shown.n <= room) {
                snprintf(out, out_bytes, "%s%s", path, number);
                return;
        }
        shown = sg_str_skip(shown, shown.n - (room - cut.n));
        while (shown.n && ((unsigned char)shown.p[0] & 0xc0) == 0x80) /* not amid a character */
                shown = sg_str_skip(shown, 1);
        snprintf(out, out_bytes, SG_STR_FMT SG_STR_FMT "%s", SG_STR_ARG(cut), SG_STR_ARG(shown), number);
}

static int SG_PRINTF(3, 4) refuse(const struct sg_ini *i, struct sg_error *err, const char *format, ...)
{
        char where[sizeof(err->where)], text[sizeof(err->text)];
        va_list args;

        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        sg_ini_place(where, sizeof(where), i->path, i->line);
        return sg_error_set(err, -EINVAL, where, "%s", text);
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t';
}

static bool is_comment(char c)
{
        return c == '#' || c == ';';
}

static bool is_word_byte(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
               c == '.';
}

static bool is_word(struct sg_str s)
{
        for (size_t k = 0; k < s.n; k++)
                if (!is_word_byte(s.p[k]))
                        return false;
        return s.n > 0 && s.n <= SG_NAME_BYTES_MAX;
}

/* The next line without its end; false at the end of the bytes. */
static bool next_line(struct sg_ini *i, struct sg_str *ret)
{
        if (i->rest.n == 0)
                return false;
        (void)sg_str_cut(&i->rest, '\n', ret);
        if (ret->n && ret->p[ret->n - 1] == '\r')
                ret->n--;
        i->line++;
        return true;
}

static int check_line(const struct sg_ini *i, struct sg_str line, struct sg_error *err)
{
        if (line.n > SG_CONFIG_LINE_BYTES_MAX)
                return refuse(i, err, "the line has more than %u bytes", SG_CONFIG_LINE_BYTES_MAX);
        for (size_t k = 0; k < line.n; k++) {
                unsigned char c = (unsigned char)line.p[k];

                if (c == '\0')
                        return refuse(i, err, "a NUL byte: is this a text file, and in UTF-8 (not UTF-16)?");
                if ((c < 0x20 && c != '\t') || c == 0x7f)
                        return refuse(i, err, "a control byte (0x%02x) in column %zu", c, k + 1);
        }
        for (struct sg_str at = line; at.n;) {
                size_t n = sg_str_utf8_first(at);

                if (n == 0)
                        return refuse(i, err, "not UTF-8: byte 0x%02x in column %zu", (unsigned char)at.p[0],
                                      line.n - at.n + 1);
                at = sg_str_skip(at, n);
        }
        return 0;
}

/* Unescapes into i->name up to the closing quote; *rest keeps what follows the quote. */
static int read_name(struct sg_ini *i, struct sg_str *rest, size_t *ret_n, struct sg_error *err)
{
        size_t n = 0, k = 0;

        for (;; k++) {
                if (k == rest->n)
                        return refuse(i, err, "the name has no closing \"");
                if (rest->p[k] == '"')
                        break;
                if (rest->p[k] == '\t')
                        return refuse(i, err, "a tab in the name of a section");
                if (rest->p[k] == '\\') {
                        k++;
                        if (k == rest->n || (rest->p[k] != '"' && rest->p[k] != '\\'))
                                return refuse(i, err, "in a name, \\ stands before \" or \\ only");
                }
                if (n == sizeof(i->name))
                        return refuse(i, err, "the name has more than %u bytes", SG_NAME_BYTES_MAX);
                i->name[n++] = rest->p[k];
        }
        if (n == 0)
                return refuse(i, err, "the name of the section is empty");
        *rest = sg_str_skip(*rest, k + 1);
        *ret_n = n;
        return 0;
}

static int read_section(struct sg_ini *i, struct sg_str line, struct sg_ini_item *item, struct sg_error *err)
{
        struct sg_str rest = sg_str_trim(sg_str_skip(line, 1));
        size_t n = 0;
        int r;

        while (n < rest.n && is_word_byte(rest.p[n]))
                n++;
        item->section = sg_str_head(rest, n);
        if (!is_word(item->section))
                return refuse(i, err, "a heading is written [section] or [section \"name\"]");
        rest = sg_str_trim(sg_str_skip(rest, n));
        if (rest.n && rest.p[0] == '"') {
                rest = sg_str_skip(rest, 1);
                r = read_name(i, &rest, &n, err);
                if (r)
                        return r;
                item->has_name = true;
                item->name = sg_str_make(i->name, n);
                rest = sg_str_trim(rest);
        }
        if (rest.n == 0 || rest.p[0] != ']')
                return refuse(i, err, "the heading has no closing ]%s",
                              item->has_name || rest.n == 0 ? "" : "; a name stands in quotes: [section \"name\"]");
        rest = sg_str_trim(sg_str_skip(rest, 1));
        if (rest.n && !is_comment(rest.p[0]))
                return refuse(i, err, "text after the heading; a comment begins with ; or #");
        item->kind = SG_INI_SECTION;
        i->has_section = true;
        return 0;
}

static struct sg_str without_comment(struct sg_str s)
{
        for (size_t k = 0; k < s.n; k++)
                if (is_comment(s.p[k]) && (k == 0 || is_blank(s.p[k - 1])))
                        return sg_str_head(s, k);
        return s;
}

static int read_setting(struct sg_ini *i, struct sg_str line, struct sg_ini_item *item, struct sg_error *err)
{
        struct sg_str rest = line, name, value;

        /* Neither of these tells the line: what stands there may be a secret that lost its name. */
        if (!sg_str_cut(&rest, '=', &name))
                return refuse(i, err, "neither a heading nor a setting; a setting is written name = value");
        item->name = sg_str_trim(name);
        if (!is_word(item->name))
                return refuse(i, err, "a setting is written name = value, the name of letters, digits and _");
        if (!i->has_section)
                return refuse(i, err, "'" SG_STR_FMT "' stands before the first [section]; write its heading above it",
                              SG_STR_ARG(item->name));
        value = sg_str_trim(without_comment(rest));
        if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
                return refuse(i, err, "'" SG_STR_FMT "': a value is written without quotes", SG_STR_ARG(item->name));
        if (value.n && value.p[value.n - 1] == '\\')
                return refuse(i, err, "'" SG_STR_FMT "': a line cannot be continued with \\; write it as one line",
                              SG_STR_ARG(item->name));
        item->value = value;
        item->kind = SG_INI_SETTING;
        return 0;
}

int sg_ini_next(struct sg_ini *i, struct sg_ini_item *ret, struct sg_error *err)
{
        struct sg_ini_item item;
        struct sg_str line;
        int r;

        while (next_line(i, &line)) {
                r = check_line(i, line, err);
                if (r)
                        return r;
                line = sg_str_trim(line);
                if (line.n == 0 || is_comment(line.p[0]))
                        continue;
                item = (struct sg_ini_item){.line = i->line};
                r = line.p[0] == '[' ? read_section(i, line, &item, err) : read_setting(i, line, &item, err);
                if (r)
                        return r;
                *ret = item;
                return 0;
        }
        *ret = (struct sg_ini_item){.kind = SG_INI_END, .line = i->line};
        return 0;
}
