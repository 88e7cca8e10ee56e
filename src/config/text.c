/*
 * The configuration in force, as text that could be read again. Secrets appear as what was written: their source.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "config/build.h"
#include "config/units.h"

static int add_line(struct sg_buf *b, const char *name, const char *value, const char *where)
{
        return sg_buf_printf(b, "%s = %s  # %s\n", name, value, where);
}

static uint64_t number_at(const struct sg_setting *s, const void *object)
{
        const char *at = (const char *)object + s->offset;
        uint64_t wide;
        uint32_t word;

        if (s->width == sizeof(wide)) {
                memcpy(&wide, at, sizeof(wide));
                return wide;
        }
        SG_ASSERT(s->width == sizeof(word));
        memcpy(&word, at, sizeof(word));
        return word;
}

/* NULL: the setting has no value. out has room for SG_UNITS_TEXT_BYTES. */
static const char *value_text(const struct sg_setting *s, const void *object, char *out)
{
        const char *text;
        bool is_true;

        switch (s->kind) {
        case SG_KIND_BOOL:
                memcpy(&is_true, (const char *)object + s->offset, sizeof(is_true));
                return is_true ? "yes" : "no";
        case SG_KIND_WORD:
                return s->words[number_at(s, object) - s->first];
        case SG_KIND_DURATION:
                return sg_units_duration_text(number_at(s, object), out);
        case SG_KIND_DURATION_OR_NONE:
                if (number_at(s, object) == SG_USEC_NEVER)
                        return "none";
                return sg_units_duration_text(number_at(s, object), out);
        case SG_KIND_SIZE:
                return sg_units_size_text(number_at(s, object), out);
        case SG_KIND_COUNT:
        case SG_KIND_WORKERS:
                snprintf(out, SG_UNITS_TEXT_BYTES, "%" PRIu64, number_at(s, object));
                return out;
        default:
                memcpy(&text, (const char *)object + s->offset, sizeof(text));
                return text;
        }
}

static const char *sink_text(const struct sg_config *c)
{
        static const char *const words[SG_LOG_SINK_N] = {
                [SG_LOG_TO_STDERR] = "stderr", [SG_LOG_TO_JOURNAL] = "journal", [SG_LOG_TO_NONE] = "none"};

        return c->log_sink_is_auto ? "auto" : words[c->log_sink];
}

static int add_list(struct sg_buf *b, const struct sg_raw_section *section, const struct sg_setting *s)
{
        int r = 0;

        for (const struct sg_raw_line *line = sg_raw_first_of(section, s); line && !r;
             line = sg_raw_next_of(section, line))
                r = add_line(b, s->name, line->value.p, line->where);
        return r;
}

/* Of a kind that fills several fields: as it was written. */
static const char *value_as_written(const struct sg_setting *s, const struct sg_raw_line *line)
{
        return line ? line->value.p : s->default_text;
}

static int add_setting(struct sg_buf *b, const struct sg_whole *w, const struct sg_raw_section *section,
                       const struct sg_setting *s, const void *object)
{
        const struct sg_raw_line *line = sg_raw_last(section, s);
        const char *where = line ? line->where : "default", *value;
        char out[SG_UNITS_TEXT_BYTES];

        if (sg_setting_is_list(s))
                return add_list(b, section, s);
        if (sg_setting_is_place(s))
                return line ? add_line(b, s->name, line->value.p, where) : 0;
        if (s->kind == SG_KIND_SINK && w->config.log_sink == SG_LOG_TO_FILE)
                return sg_buf_printf(b, "%s = file:%s  # %s\n", s->name, w->config.log_path, where);
        if (s->kind == SG_KIND_HASH_BY || s->kind == SG_KIND_HEALTH)
                return add_line(b, s->name, value_as_written(s, line), where);
        value = s->kind == SG_KIND_SINK ? sink_text(&w->config) : value_text(s, object, out);
        return value ? add_line(b, s->name, value, where) : 0;
}

static int add_escaped(struct sg_buf *b, const char *name)
{
        int r = 0;

        for (const char *c = name; *c && !r; c++) {
                if (*c == '"' || *c == '\\')
                        r = sg_buf_add(b, SG_STR("\\"));
                if (!r)
                        r = sg_buf_add(b, sg_str_make(c, 1));
        }
        return r;
}

static int add_section(struct sg_buf *b, const struct sg_whole *w, enum sg_section id, const char *name,
                       const void *object, unsigned dialects)
{
        const struct sg_raw_section *section = sg_raw_find(&w->raw, id, sg_str_from(name));
        int r = sg_buf_printf(b, "%s[%s", sg_buf_length(b) ? "\n" : "", sg_sections[id].name);

        if (!r && name) {
                r = sg_buf_add(b, SG_STR(" \""));
                if (!r)
                        r = add_escaped(b, name);
                if (!r)
                        r = sg_buf_add(b, SG_STR("\""));
        }
        if (!r)
                r = sg_buf_add(b, SG_STR("]\n"));
        for (const struct sg_setting *s = sg_settings; s < sg_settings_end; s++)
                if (!r && s->section == id && (!s->dialects || (s->dialects & dialects)) &&
                    (id != SG_SECTION_SERVICE || !sg_service_lacks(object, s)) &&
                    (id != SG_SECTION_MODEL || !sg_model_lacks(object, s)))
                        r = add_setting(b, w, section, s, object);
        return r;
}

int sg_config_add_text(const struct sg_config *c, struct sg_buf *b)
{
        static const enum sg_section globals[] = {SG_SECTION_GATEWAY, SG_SECTION_JOURNAL, SG_SECTION_LEDGER,
                                                  SG_SECTION_REDIS,   SG_SECTION_CONTROL, SG_SECTION_LOG};
        const struct sg_whole *w = sg_whole_of(c);
        int r = 0;

        for (size_t i = 0; i < SG_N_ELEMENTS(globals) && !r; i++)
                r = add_section(b, w, globals[i], NULL, c, 0);
        for (size_t i = 0; i < c->n_listeners && !r; i++)
                r = add_section(b, w, SG_SECTION_LISTENER, c->listeners[i].name, &c->listeners[i], 0);
        for (size_t i = 0; i < c->n_providers && !r; i++)
                r = add_section(b, w, SG_SECTION_PROVIDER, c->providers[i].name, &c->providers[i],
                                1u << c->providers[i].dialect);
        for (size_t i = 0; i < c->n_models && !r; i++)
                r = add_section(b, w, SG_SECTION_MODEL, c->models[i].name, &c->models[i], 0);
        for (size_t i = 0; i < c->n_services && !r; i++)
                r = add_section(b, w, SG_SECTION_SERVICE, c->services[i].name, &c->services[i], 0);
        for (size_t i = 0; i < c->n_dependencies && !r; i++)
                r = add_section(b, w, SG_SECTION_DEPENDENCY, c->dependencies[i].name, &c->dependencies[i], 0);
        return r;
}
