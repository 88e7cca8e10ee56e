/* scribectl(1): the tables of verbs, options and exit statuses. */
#include <ctype.h>

#include "config/troff.h"
#include "ctl/ctl.h"
#include "pages.h"

/* --models, but not the dashes of a date: options of scribectl and of others stand out in bold. */
static int add_marked(struct sg_buf *marked, struct sg_str text)
{
        int r = 0;

        while (text.n && !r) {
                size_t n = 1;

                if (text.n > 2 && text.p[0] == '-' && text.p[1] == '-' && islower((unsigned char)text.p[2])) {
                        for (n = 2; n < text.n && (islower((unsigned char)text.p[n]) || text.p[n] == '-');)
                                n++;
                        r = sg_buf_printf(marked, "`" SG_STR_FMT "`", (int)n, text.p);
                } else {
                        r = sg_buf_add(marked, sg_str_head(text, 1));
                }
                text = sg_str_skip(text, n);
        }
        return r;
}

static int add_text(struct sg_buf *b, struct sg_str text)
{
        struct sg_buf marked;
        int r;

        sg_buf_init(&marked, 64u * 1024u);
        r = add_marked(&marked, text);
        if (!r)
                r = sg_troff_add_text(b, sg_buf_view(&marked));
        sg_buf_done(&marked);
        return r;
}

/* "make an API key" -> "Make an API key." */
static int add_sentence(struct sg_buf *b, const char *text)
{
        struct sg_buf sentence;
        int r;

        sg_buf_init(&sentence, 4096);
        r = sg_buf_printf(&sentence, "%c%s.", toupper((unsigned char)text[0]), text + 1);
        if (!r)
                r = add_text(b, sg_buf_view(&sentence));
        sg_buf_done(&sentence);
        return r;
}

/* Arguments in italics: "NAME", "[DIR]", "bash|zsh". */
static int add_arguments(struct sg_buf *b, const char *text)
{
        bool was_upper = false;
        int r = 0;

        for (const char *c = text; *c && !r; c++) {
                bool is_upper = isupper((unsigned char)*c) != 0;

                if (is_upper != was_upper)
                        r = sg_buf_add(b, is_upper ? SG_STR("\\fI") : SG_STR("\\fR"));
                if (!r)
                        r = sg_buf_add(b, sg_str_make(c, 1));
                was_upper = is_upper;
        }
        return !r && was_upper ? sg_buf_add(b, SG_STR("\\fR")) : r;
}

static int add_option(struct sg_buf *b, const struct sg_ctl_option_info *o)
{
        int r = sg_buf_add(b, SG_STR(".TP\n\\fB"));

        if (!r)
                r = sg_troff_add_line(b, sg_str_from(o->name));
        if (!r)
                r = sg_buf_add(b, o->argument ? SG_STR("\\fR ") : SG_STR("\\fR"));
        if (!r && o->argument)
                r = add_arguments(b, o->argument);
        if (!r)
                r = sg_buf_add(b, SG_STR("\n"));
        return r ? r : add_sentence(b, o->help);
}

/* Paragraphs are separated by empty lines; those whose lines are indented are examples. */
static int add_paragraphs(struct sg_buf *b, const char *text)
{
        struct sg_str rest = sg_str_from(text);
        int r = 0;

        while (rest.n && !r) {
                bool is_example = rest.p[0] == ' ';
                struct sg_str all = rest, line;
                size_t n = 0;

                while (rest.n && rest.p[0] != '\n' && (rest.p[0] == ' ') == is_example) {
                        (void)sg_str_cut(&rest, '\n', &line);
                        n += line.n + 1;
                }
                all = sg_str_head(all, SG_MIN(n, all.n));
                while (rest.n && rest.p[0] == '\n')
                        rest = sg_str_skip(rest, 1);
                r = sg_buf_add(b, SG_STR(".PP\n"));
                if (!r)
                        r = is_example ? sg_troff_add_example(b, all) : add_text(b, all);
        }
        return r;
}

static int add_verb(struct sg_buf *b, const struct sg_ctl_verb *v)
{
        int r = sg_buf_add(b, SG_STR(".SS \""));

        if (!r)
                r = sg_troff_add_line(b, sg_str_from(v->name));
        if (!r && v->arguments[0])
                r = sg_buf_add(b, SG_STR(" "));
        if (!r)
                r = add_arguments(b, v->arguments);
        if (!r)
                r = sg_buf_add(b, SG_STR("\"\n"));
        if (!r)
                r = add_sentence(b, v->summary);
        for (size_t i = 0; i < SG_CTL_OPTION_N && !r; i++)
                if (sg_ctl_verb_takes(v, i))
                        r = add_option(b, &sg_ctl_options[i]);
        return r ? r : add_paragraphs(b, v->text);
}

int sg_page_add_verbs(struct sg_buf *b)
{
        int r = 0;

        for (size_t i = 0; i < sg_ctl_n_verbs && !r; i++)
                r = add_verb(b, &sg_ctl_verbs[i]);
        return r;
}

int sg_page_add_options(struct sg_buf *b)
{
        int r = 0;

        for (size_t i = 0; i < SG_CTL_OPTION_N && !r; i++)
                if (sg_ctl_options[i].is_global)
                        r = add_option(b, &sg_ctl_options[i]);
        return r;
}

int sg_page_add_exits(struct sg_buf *b)
{
        int r = 0;

        for (size_t i = 0; i < SG_CTL_EXIT_N && !r; i++) {
                r = sg_buf_printf(b, ".TP\n.B %zu\n", i);
                if (!r)
                        r = add_sentence(b, sg_ctl_exit_meanings[i]);
        }
        return r;
}
