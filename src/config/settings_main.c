/*
 * scribe-settings: writes what is made from the table of settings. A tool of the build; it is not installed.
 */
#include <stdio.h>
#include <string.h>

#include "config/render.h"

static const struct {
        const char *option;
        int (*render)(struct sg_buf *b);
        const char *help;
} modes[] = {
        {"--markdown", sg_render_markdown, "tables for docs/configuration.md"},
        {"--man", sg_render_man, "the settings in scribe-gateway.conf(5)"},
        {"--example", sg_render_example, "a configuration file with every setting in comments"},
        {"--words", sg_render_words, "section.setting, a line each, for completion"},
};

static int write_all(struct sg_str text)
{
        return fwrite(text.p, 1, text.n, stdout) == text.n && fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
        struct sg_buf b;
        int r = 2;

        sg_buf_init(&b, 1u << 20);
        for (size_t i = 0; argc == 2 && i < SG_N_ELEMENTS(modes); i++)
                if (strcmp(argv[1], modes[i].option) == 0)
                        r = modes[i].render(&b) ? 1 : write_all(sg_buf_view(&b));
        sg_buf_done(&b);
        if (r == 2) {
                fputs("usage: scribe-settings MODE\n", stderr);
                for (size_t i = 0; i < SG_N_ELEMENTS(modes); i++)
                        fprintf(stderr, "  %-12s %s\n", modes[i].option, modes[i].help);
        }
        return r;
}
