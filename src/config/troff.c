#include "config/troff.h"

#define LINE_BYTES_MAX 78u /* of the source, with its escapes */

/* What troff would turn into another character, or take for a command. */
static struct sg_str escape_of(char c)
{
        switch (c) {
        case '\\':
                return SG_STR("\\e");
        case '-':
                return SG_STR("\\-");
        case '\'':
                return SG_STR("\\(aq");
        case '^':
                return SG_STR("\\(ha");
        case '~':
                return SG_STR("\\(ti");
        default:
                return SG_STR_NONE;
        }
}

/* The most that a word takes in the source. */
static size_t escaped_bytes(struct sg_str word)
{
        size_t n = 2;

        for (size_t i = 0; i < word.n; i++)
                n += word.p[i] == '`' ? 3 : SG_MAX((size_t)1, escape_of(word.p[i]).n);
        return n;
}

static int add_bytes(struct sg_buf *b, struct sg_str text, bool has_markup, bool *is_bold)
{
        int r = 0;

        for (size_t i = 0; i < text.n && !r; i++) {
                struct sg_str escape = escape_of(text.p[i]);

                if (text.p[i] == '`' && has_markup) {
                        *is_bold = !*is_bold;
                        r = sg_buf_add(b, *is_bold ? SG_STR("\\fB") : SG_STR("\\fR"));
                } else if (text.p[i] == '`') {
                        r = sg_buf_add(b, SG_STR("\\(ga"));
                } else {
                        r = sg_buf_add(b, escape.n ? escape : sg_str_make(text.p + i, 1));
                }
        }
        return r;
}

int sg_troff_add_line(struct sg_buf *b, struct sg_str text)
{
        bool is_bold = false;

        return add_bytes(b, text, true, &is_bold);
}

/* A stop, perhaps within a bracket. */
static bool ends_sentence(struct sg_str word)
{
        while (word.n && strchr(")]\"'`", word.p[word.n - 1]))
                word.n--;
        return word.n > 1 && strchr(".!?", word.p[word.n - 1]);
}

static bool take_word(struct sg_str *text, struct sg_str *ret)
{
        size_t n = 0;

        while (text->n && strchr(" \n", text->p[0]))
                *text = sg_str_skip(*text, 1);
        while (n < text->n && !strchr(" \n", text->p[n]))
                n++;
        *ret = sg_str_head(*text, n);
        *text = sg_str_skip(*text, n);
        return n > 0;
}

int sg_troff_add_text(struct sg_buf *b, struct sg_str text)
{
        bool is_bold = false;
        size_t n_line = 0; /* bytes of the line so far */
        struct sg_str word;
        int r = 0;

        while (!r && take_word(&text, &word)) {
                if (n_line && n_line + 1 + escaped_bytes(word) > LINE_BYTES_MAX) {
                        r = sg_buf_add(b, SG_STR("\n"));
                        n_line = 0;
                }
                if (!r && n_line)
                        r = sg_buf_add(b, SG_STR(" "));
                else if (!r && strchr(".'", word.p[0]))
                        r = sg_buf_add(b, SG_STR("\\&")); /* no request */
                if (!r)
                        r = add_bytes(b, word, true, &is_bold);
                n_line += escaped_bytes(word) + 1;
                if (!r && ends_sentence(word) && text.n) {
                        r = sg_buf_add(b, SG_STR("\n"));
                        n_line = 0;
                }
        }
        return !r && n_line ? sg_buf_add(b, SG_STR("\n")) : r;
}

int sg_troff_add_example(struct sg_buf *b, struct sg_str lines)
{
        struct sg_str line;
        bool is_bold = false;
        int r = sg_buf_add(b, SG_STR(".RS 4\n.EX\n"));

        while (!r && lines.n) {
                (void)sg_str_cut(&lines, '\n', &line);
                if (line.n && strchr(".'", line.p[0]))
                        r = sg_buf_add(b, SG_STR("\\&"));
                if (!r)
                        r = add_bytes(b, line, false, &is_bold);
                if (!r)
                        r = sg_buf_add(b, SG_STR("\n"));
        }
        return r ? r : sg_buf_add(b, SG_STR(".EE\n.RE\n"));
}
