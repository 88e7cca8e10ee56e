/*
 * scribe-pages: writes a manual page from its template. A tool of the build; it is not installed. A line "@PART@" is
 * replaced by what is made from a table, "@WORD@" within a line by a word.
 */
#include <errno.h>
#include <stdio.h>

#include "config/render.h"
#include "config/troff.h"
#include "pages.h"
#include "sg_build.h"

#define PAGE_BYTES_MAX (1u << 20)

static const struct {
        const char *name;
        int (*add)(struct sg_buf *b);
} parts[] = {
        {"VERBS", sg_page_add_verbs}, {"OPTIONS", sg_page_add_options}, {"EXITS", sg_page_add_exits},
        {"SETTINGS", sg_render_man},  {"GATEWAY", sg_page_add_gateway}, {"LEDGER", sg_page_add_ledger},
};

static const struct {
        const char *name, *value;
} words[] = {
        {"VERSION", SG_VERSION},
        {"SYSCONFDIR", SG_SYSCONFDIR},
        {"STATEDIR", SG_STATEDIR},
        {"RUNDIR", SG_RUNDIR},
};

static int add_word(struct sg_buf *b, struct sg_str name)
{
        if (sg_str_eq(name, SG_STR("DATE")))
                return sg_buf_add(b, SG_STR(SG_PAGES_DATE)); /* read by a macro: no escapes */
        for (size_t i = 0; i < SG_N_ELEMENTS(words); i++)
                if (sg_str_eq(name, sg_str_from(words[i].name)))
                        return sg_troff_add_line(b, sg_str_from(words[i].value));
        fprintf(stderr, "scribe-pages: there is no @" SG_STR_FMT "@\n", SG_STR_ARG(name));
        return -EINVAL;
}

static int add_line(struct sg_buf *b, struct sg_str line)
{
        struct sg_str text, name;
        int r = 0;

        for (size_t i = 0; i < SG_N_ELEMENTS(parts); i++) {
                struct sg_str part = line;

                if (part.n > 2 && part.p[0] == '@' && part.p[part.n - 1] == '@' &&
                    sg_str_eq(sg_str_skip(sg_str_head(part, part.n - 1), 1), sg_str_from(parts[i].name)))
                        return parts[i].add(b);
        }
        while (!r && sg_str_cut(&line, '@', &text)) {
                if (!sg_str_cut(&line, '@', &name)) {
                        fprintf(stderr, "scribe-pages: a single @\n");
                        return -EINVAL;
                }
                r = sg_buf_add(b, text);
                if (!r)
                        r = add_word(b, name);
        }
        if (!r)
                r = sg_buf_add(b, text);
        return r ? r : sg_buf_add(b, SG_STR("\n"));
}

static int add_page(struct sg_buf *b, struct sg_str template)
{
        struct sg_str line;
        int r = 0;

        while (!r && template.n) {
                (void)sg_str_cut(&template, '\n', &line);
                r = add_line(b, line);
        }
        return r;
}

int main(int argc, char **argv)
{
        struct sg_buf template, page;
        struct sg_str text;
        int r;

        if (argc != 2) {
                fputs("usage: scribe-pages TEMPLATE\n", stderr);
                return 2;
        }
        sg_buf_init(&template, PAGE_BYTES_MAX);
        sg_buf_init(&page, PAGE_BYTES_MAX);
        r = sg_buf_add_file(&template, argv[1]);
        if (!r)
                r = add_page(&page, sg_buf_view(&template));
        text = sg_buf_view(&page);
        if (!r && (fwrite(text.p, 1, text.n, stdout) != text.n || fflush(stdout)))
                r = -EIO;
        if (r)
                fprintf(stderr, "scribe-pages: %s cannot be made: %s\n", argv[1], strerror(r < 0 ? -r : EFBIG));
        sg_buf_done(&template);
        sg_buf_done(&page);
        return r ? 1 : 0;
}
