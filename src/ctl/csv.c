/* What is between quotes is copied only where it has quotes in it; no such copy is longer than the file. */
#include "ctl/csv.h"

#include <errno.h>
#include <stdlib.h>

int sg_csv_init(struct sg_csv *c, struct sg_str bytes)
{
        const struct sg_str mark = SG_STR("\xef\xbb\xbf");

        *c = (struct sg_csv){.rest = sg_str_starts(bytes, mark) ? sg_str_skip(bytes, mark.n) : bytes,
                             .line = 1,
                             .next_line = 1,
                             .text_bytes = bytes.n};
        c->text = malloc(bytes.n + 1);
        return c->text ? 0 : -ENOMEM;
}

void sg_csv_done(struct sg_csv *c)
{
        free(c->text);
        c->text = NULL;
}

static int refuse(struct sg_csv *c, const char *problem)
{
        c->problem = problem;
        c->line = c->next_line;
        return SG_CSV_E_BAD;
}

/* Bytes of the line end that s begins with: 0, 1 or 2. */
static size_t line_end(struct sg_str s)
{
        if (s.n && s.p[0] == '\n')
                return 1;
        return s.n > 1 && s.p[0] == '\r' && s.p[1] == '\n' ? 2 : 0;
}

static int check_text(struct sg_csv *c, struct sg_str s)
{
        if (sg_str_find_byte(s, '\0') < s.n)
                return refuse(c, "a NUL byte: is this a CSV file, and in UTF-8 (not UTF-16)?");
        return sg_str_is_utf8(s) ? 0 : refuse(c, "bytes that are not UTF-8");
}

static int read_plain(struct sg_csv *c, struct sg_str *ret)
{
        size_t n = 0;

        while (n < c->rest.n && c->rest.p[n] != ',' && !line_end(sg_str_skip(c->rest, n))) {
                if (c->rest.p[n] == '"')
                        return refuse(c, "a quote within a field that does not begin with one");
                if (c->rest.p[n] == '\r')
                        return refuse(c, "a carriage return that ends no line");
                n++;
        }
        *ret = sg_str_head(c->rest, n);
        c->rest = sg_str_skip(c->rest, n);
        return check_text(c, *ret);
}

/* After the opening quote. */
static int read_quoted(struct sg_csv *c, struct sg_str *ret)
{
        char *begin = c->text + c->n_text;
        size_t n = 0;

        for (;; c->rest = sg_str_skip(c->rest, 1)) {
                if (c->rest.n == 0)
                        return refuse(c, "a quoted field without its closing quote");
                if (c->rest.p[0] == '"') {
                        c->rest = sg_str_skip(c->rest, 1);
                        if (c->rest.n == 0 || c->rest.p[0] != '"')
                                break;
                }
                if (c->rest.p[0] == '\n')
                        c->next_line++;
                begin[n++] = c->rest.p[0];
        }
        if (c->rest.n && c->rest.p[0] != ',' && !line_end(c->rest))
                return refuse(c, "text behind the closing quote of a field");
        c->n_text += n;
        *ret = sg_str_make(begin, n);
        return check_text(c, *ret);
}

static int read_field(struct sg_csv *c)
{
        struct sg_str *field = &c->fields[c->n_fields];

        if (c->n_fields == SG_CSV_FIELDS_MAX)
                return refuse(c, "more than 256 fields");
        c->n_fields++;
        if (c->rest.n == 0 || c->rest.p[0] != '"')
                return read_plain(c, field);
        c->rest = sg_str_skip(c->rest, 1);
        return read_quoted(c, field);
}

int sg_csv_next(struct sg_csv *c)
{
        size_t n;
        int r;

        while ((n = line_end(c->rest)) > 0) {
                c->rest = sg_str_skip(c->rest, n);
                c->next_line++;
        }
        c->n_fields = c->n_text = 0;
        c->line = c->next_line;
        if (c->rest.n == 0)
                return SG_CSV_E_END;
        for (;;) {
                size_t began = c->line;

                r = read_field(c);
                if (r)
                        return r;
                c->line = began;
                if (c->rest.n == 0 || c->rest.p[0] != ',')
                        break;
                c->rest = sg_str_skip(c->rest, 1);
        }
        n = line_end(c->rest);
        c->rest = sg_str_skip(c->rest, n);
        c->next_line += n > 0;
        return 0;
}
