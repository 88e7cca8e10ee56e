#include "config/render.h"

#include <inttypes.h>
#include <stdio.h>

#include "config/config.h"
#include "config/settings.h"
#include "config/troff.h"
#include "config/units.h"

#define ALL_DIALECTS ((1u << SG_DIALECT_N) - 1)

/* The first failure stays; what comes after is not added. */
struct page {
        struct sg_buf *b;
        int r;
};

static void SG_PRINTF(2, 3) add(struct page *p, const char *format, ...)
{
        va_list args;

        if (p->r)
                return;
        va_start(args, format);
        p->r = sg_buf_vprintf(p->b, format, args);
        va_end(args);
}

/* "number, 1 to 64": what may be written; words in backticks. */
static void add_form(struct page *p, const struct sg_setting *s)
{
        char min[SG_UNITS_TEXT_BYTES], max[SG_UNITS_TEXT_BYTES];

        switch (s->kind) {
        case SG_KIND_WORD:
                for (size_t i = 0; s->words[i]; i++)
                        add(p, "%s`%s`", i ? ", " : "", s->words[i]);
                return;
        case SG_KIND_DURATION:
                add(p, "duration, %s to %s", sg_units_duration_text(s->min, min), sg_units_duration_text(s->max, max));
                return;
        case SG_KIND_DURATION_OR_NONE:
                add(p, "`none`, duration, %s to %s", sg_units_duration_text(s->min, min),
                    sg_units_duration_text(s->max, max));
                return;
        case SG_KIND_SIZE:
                add(p, "size, %s to %s", sg_units_size_text(s->min, min), sg_units_size_text(s->max, max));
                return;
        case SG_KIND_COUNT:
                add(p, "%" PRIu64 " to %" PRIu64, s->min, s->max);
                return;
        case SG_KIND_WORKERS:
                add(p, "`auto`, %" PRIu64 " to %" PRIu64, s->min, s->max);
                return;
        default:
                add(p, "%s", sg_kind_name(s->kind));
        }
}

static void add_default(struct page *p, const struct sg_setting *s)
{
        if (s->default_note)
                add(p, "%s", s->default_note);
        else if (s->default_text)
                add(p, "`%s`", s->default_text);
        else
                add(p, "none");
}

/* " Dialects `openai` and `azure` only."; that the practice provider needs no network goes without saying. */
static void add_dialects(struct page *p, unsigned dialects)
{
        unsigned n = 0, left = (unsigned)__builtin_popcount(dialects & ALL_DIALECTS);

        if (left == 0 || left >= SG_DIALECT_N - 1)
                return;
        add(p, left == 1 ? " Dialect" : " Dialects");
        for (unsigned d = 0; d < SG_DIALECT_N; d++)
                if (dialects & (1u << d)) {
                        left--;
                        add(p, "%s`%s`", n++ == 0 ? " " : left ? ", " : " and ", sg_dialect_name((enum sg_dialect)d));
                }
        add(p, " only.");
}

static void add_help(struct page *p, const struct sg_setting *s)
{
        add(p, "%s", s->help);
        add_dialects(p, s->dialects);
        if (s->environment)
                add(p, " The environment variable `%s` goes before the files%s%s%s.", s->environment,
                    s->environment_of ? " for \"" : "", s->environment_of ? s->environment_of : "",
                    s->environment_of ? "\"" : "");
}

static void add_heading(struct page *p, enum sg_section id, const char *name)
{
        if (name)
                add(p, "[%s \"%s\"]", sg_sections[id].name, name);
        else
                add(p, "[%s]", sg_sections[id].name);
}

int sg_render_markdown(struct sg_buf *b)
{
        struct page p = {.b = b};

        for (unsigned id = 0; id < SG_SECTION_N; id++) {
                add(&p, "### ");
                add_heading(&p, (enum sg_section)id, sg_sections[id].example ? "NAME" : NULL);
                add(&p,
                    "\n\n%s\n\n| setting | value | default | changed by | meaning |\n| --- | --- | --- | --- | --- |\n",
                    sg_sections[id].help);
                for (const struct sg_setting *s = sg_settings; s < sg_settings_end; s++) {
                        if (s->section != id)
                                continue;
                        add(&p, "| `%s` | ", s->name);
                        add_form(&p, s);
                        add(&p, " | ");
                        add_default(&p, s);
                        add(&p, " | %s | ", s->needs_restart ? "restart" : "reload");
                        add_help(&p, s);
                        add(&p, " |\n");
                }
                add(&p, "\n");
        }
        return p.r;
}

/* ---- the manual page */

static void add_man_setting(struct page *p, const struct sg_setting *s)
{
        struct sg_buf text;
        struct page part = {.b = &text};

        sg_buf_init(&text, 4096);
        add(&part, "`%s =` (", s->name);
        add_form(&part, s);
        add(&part, "; default: ");
        add_default(&part, s);
        add(&part, ")");
        add(p, ".TP\n");
        if (!p->r && !part.r)
                p->r = sg_troff_add_line(p->b, sg_buf_view(&text));
        add(p, "\n");
        sg_buf_clear(&text);
        add_help(&part, s);
        add(&part, " Changed by a %s.", s->needs_restart ? "restart" : "reload");
        if (!p->r)
                p->r = part.r ? part.r : sg_troff_add_text(p->b, sg_buf_view(&text));
        sg_buf_done(&text);
}

int sg_render_man(struct sg_buf *b)
{
        struct page p = {.b = b};

        for (unsigned id = 0; id < SG_SECTION_N; id++) {
                add(&p, ".SS \"");
                add(&p, sg_sections[id].example ? "[%s \\fINAME\\fR]" : "[%s]", sg_sections[id].name);
                add(&p, "\"\n");
                if (!p.r)
                        p.r = sg_troff_add_text(b, sg_str_from(sg_sections[id].help));
                for (const struct sg_setting *s = sg_settings; s < sg_settings_end; s++)
                        if (s->section == id)
                                add_man_setting(&p, s);
        }
        return p.r;
}

/* ---- the example */

/* Help as lines of a comment, broken between words. */
static void add_comment(struct page *p, struct sg_str text)
{
        size_t column = 0;
        struct sg_str word;

        while (text.n) {
                (void)sg_str_cut(&text, ' ', &word);
                if (column && column + 1 + word.n > 100) {
                        add(p, "\n");
                        column = 0;
                }
                add(p, column ? " " : "# ");
                for (size_t i = 0; i < word.n; i++)
                        if (word.p[i] != '`')
                                add(p, "%c", word.p[i]);
                column += 1 + word.n;
        }
        add(p, "\n");
}

static void add_example_section(struct page *p, enum sg_section id, const char *name, unsigned dialects)
{
        add(p, "%s", name ? "#" : "");
        add_heading(p, id, name);
        add(p, "\n");
        for (const struct sg_setting *s = sg_settings; s < sg_settings_end; s++) {
                if (s->section != id || (s->dialects && !(s->dialects & dialects)))
                        continue;
                add_comment(p, sg_str_from(s->help));
                add(p, "#%s = %s\n", s->name, s->example ? s->example : s->default_text);
        }
}

/* Of a provider of another dialect: what the first has not, beside what each must have. */
static void add_example_dialect(struct page *p, enum sg_dialect d)
{
        const char *url = sg_dialect_url_example(d);

        add(p, "\n#[provider \"%s\"]\n#dialect = %s\n", sg_dialect_name(d), sg_dialect_name(d));
        if (url)
                add(p, "#base_url = %s\n", url);
        for (const struct sg_setting *s = sg_settings; s < sg_settings_end; s++) {
                if (s->section != SG_SECTION_PROVIDER || !(s->dialects & (1u << d)) ||
                    (s->dialects & (1u << SG_DIALECT_OPENAI)))
                        continue;
                add_comment(p, sg_str_from(s->help));
                add(p, "#%s = %s\n", s->name, s->example ? s->example : s->default_text);
        }
}

int sg_render_example(struct sg_buf *b)
{
        struct page p = {.b = b};

        add(&p, "# Every setting of scribe-gateway with its default, or an example where there is none.\n");
        for (unsigned id = 0; id < SG_SECTION_N; id++) {
                add(&p, "\n");
                add_comment(&p, sg_str_from(sg_sections[id].help));
                add_example_section(&p, (enum sg_section)id, sg_sections[id].example, 1u << SG_DIALECT_OPENAI);
                for (unsigned d = 0; id == SG_SECTION_PROVIDER && d < SG_DIALECT_N; d++)
                        if (d != SG_DIALECT_OPENAI)
                                add_example_dialect(&p, (enum sg_dialect)d);
        }
        return p.r;
}

int sg_render_words(struct sg_buf *b)
{
        struct page p = {.b = b};

        for (const struct sg_setting *s = sg_settings; s < sg_settings_end; s++)
                add(&p, "%s\n", s->key);
        return p.r;
}
