/*
 * What comes from clients (names of models, reasons) may hold bytes that move the cursor, recolour the terminal or turn
 * the line around. Nothing of the kind reaches the screen: it is shown as \xNN. Where the locale is not UTF-8, all that
 * is not ASCII is.
 */
#include <langinfo.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <wchar.h>

#include "base/buf.h"
#include "ctl/ctl.h"

#define CELL_BYTES_MAX (64u * 1024u)

void sg_ctl_complain(const char *format, ...)
{
        va_list args;

        fputs("scribectl: ", stderr);
        va_start(args, format);
        (void)vfprintf(stderr, format, args);
        va_end(args);
        fputc('\n', stderr);
}

void sg_ctl_print_json(struct json_object *o)
{
        puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                       JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* ---- characters */

static uint32_t code_point(const char *p, size_t n)
{
        const unsigned char *u = (const unsigned char *)p;
        uint32_t c = n == 1 ? u[0] : u[0] & (0x7fu >> n);

        for (size_t i = 1; i < n; i++)
                c = c << 6 | (u[i] & 0x3fu);
        return c;
}

/* Marks that turn the direction of what follows, or take no room and can hide in a name. */
static bool is_deceptive(uint32_t c)
{
        return (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
               c == 0x061c || c == 0xfeff || (c >= 0xe0000 && c <= 0xe0fff);
}

static bool is_shown(uint32_t c, bool is_utf8)
{
        if (c < 0x80)
                return c >= 0x20 && c != 0x7f;
        return is_utf8 && !is_deceptive(c) && wcwidth((wchar_t)c) >= 0;
}

char *sg_ctl_escape(struct sg_str s)
{
        bool is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
        struct sg_buf b;
        char *out = NULL;
        int r = 0;

        sg_buf_init(&b, CELL_BYTES_MAX);
        while (s.n && !r) {
                size_t n = sg_str_utf8_first(s);

                if (n && is_shown(code_point(s.p, n), is_utf8)) {
                        r = sg_buf_add(&b, sg_str_head(s, n));
                } else {
                        n = n ? n : 1;
                        for (size_t i = 0; i < n && !r; i++)
                                r = sg_buf_printf(&b, "\\x%02x", (unsigned)(unsigned char)s.p[i]);
                }
                s = sg_str_skip(s, n);
        }
        if (r >= 0)
                out = sg_str_dup(sg_buf_view(&b)); /* what is too long is cut */
        sg_buf_done(&b);
        return out;
}

size_t sg_ctl_width(const char *escaped)
{
        struct sg_str s = sg_str_from(escaped);
        size_t width = 0;

        while (s.n) {
                size_t n = sg_str_utf8_first(s);
                int w = n ? wcwidth((wchar_t)code_point(s.p, n)) : 1;

                width += w > 0 ? (size_t)w : 0;
                s = sg_str_skip(s, n ? n : 1);
        }
        return width;
}

void sg_ctl_print_text(const char *s)
{
        SG_AUTO(sg_text_free) char *shown = sg_ctl_escape(sg_str_from(s));

        fputs(shown ? shown : "?", stdout);
}

char *sg_ctl_join(struct json_object *strings)
{
        size_t n = json_object_is_type(strings, json_type_array) ? json_object_array_length(strings) : 0, bytes;
        char *text = NULL;
        FILE *f = open_memstream(&text, &bytes);

        if (!f)
                return NULL;
        for (size_t i = 0; i < n; i++)
                fprintf(f, "%s%s", i ? ", " : "", json_object_get_string(json_object_array_get_idx(strings, i)));
        fclose(f);
        return text;
}

/* ---- tables */

struct sg_table {
        size_t n_columns, n_cells, room;
        char **cells;
        bool *is_right;
        size_t *widths; /* of what was printed */
        bool has_head;  /* which was printed */
};

struct sg_table *sg_table_new(size_t n_columns)
{
        struct sg_table *t = calloc(1, sizeof(*t));

        SG_ASSERT(t);
        t->n_columns = n_columns;
        t->is_right = calloc(n_columns, sizeof(bool));
        t->widths = calloc(n_columns, sizeof(size_t));
        SG_ASSERT(t->is_right && t->widths);
        return t;
}

struct sg_table *sg_table_free(struct sg_table *t)
{
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->n_cells; i++)
                free(t->cells[i]);
        free(t->cells);
        free(t->is_right);
        free(t->widths);
        free(t);
        return NULL;
}

void sg_table_set_right(struct sg_table *t, size_t column)
{
        t->is_right[column] = true;
}

void sg_table_add(struct sg_table *t, const char *text)
{
        if (t->n_cells == t->room) {
                t->room = t->room ? t->room * 2 : 64;
                t->cells = reallocarray(t->cells, t->room, sizeof(char *));
                SG_ASSERT(t->cells);
        }
        t->cells[t->n_cells] = sg_ctl_escape(sg_str_from(text));
        SG_ASSERT(t->cells[t->n_cells]);
        t->n_cells++;
}

void sg_table_add_u64(struct sg_table *t, uint64_t v)
{
        char text[32];

        (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
        sg_table_add(t, text);
}

static size_t column_width(const struct sg_table *t, size_t column)
{
        size_t width = t->widths[column];

        for (size_t i = column; i < t->n_cells; i += t->n_columns)
                width = SG_MAX(width, sg_ctl_width(t->cells[i]));
        return width;
}

static void print_cell(FILE *f, const char *text, size_t width, bool is_right, bool is_last)
{
        int pad = (int)(width - sg_ctl_width(text));

        if (is_right)
                fprintf(f, "%*s%s", pad, "", text);
        else
                fprintf(f, "%s%*s", text, is_last ? 0 : pad, "");
        fputs(is_last ? "\n" : "  ", f);
}

void sg_table_print(struct sg_table *t, FILE *f)
{
        bool is_bold = isatty(fileno(f)) && !getenv("NO_COLOR") && !t->has_head;

        for (size_t c = 0; c < t->n_columns; c++)
                t->widths[c] = column_width(t, c);
        for (size_t i = 0; i < t->n_cells; i++) {
                size_t c = i % t->n_columns;

                if (is_bold && i == 0)
                        fputs("\033[1m", f);
                print_cell(f, t->cells[i], t->widths[c], t->is_right[c], c == t->n_columns - 1);
                if (is_bold && i == t->n_columns - 1)
                        fputs("\033[0m", f);
        }
}

void sg_table_flush(struct sg_table *t, FILE *f)
{
        sg_table_print(t, f);
        t->has_head |= t->n_cells > 0;
        for (size_t i = 0; i < t->n_cells; i++)
                free(t->cells[i]);
        t->n_cells = 0;
}

size_t sg_table_n_rows(const struct sg_table *t)
{
        return t->n_cells / t->n_columns;
}
