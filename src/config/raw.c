#include "config/raw.h"

#include <errno.h>
#include <stdio.h>

#include "config/ini.h"

void sg_raw_init(struct sg_raw *raw, struct sg_pool *pool)
{
        *raw = (struct sg_raw){.pool = pool};
        sg_list_init(&raw->sections);
}

/* ---- look-up */

struct sg_raw_section *sg_raw_find(const struct sg_raw *raw, enum sg_section id, struct sg_str name)
{
        SG_LIST_EACH (&raw->sections, k) {
                struct sg_raw_section *section = SG_RAW_SECTION(k);

                if (section->id == id && sg_str_eq(sg_str_from(section->name), name))
                        return section;
        }
        return NULL;
}

size_t sg_raw_count(const struct sg_raw *raw, enum sg_section id)
{
        size_t n = 0;

        SG_LIST_EACH (&raw->sections, k)
                n += SG_RAW_SECTION(k)->id == id;
        return n;
}

const struct sg_raw_line *sg_raw_last(const struct sg_raw_section *section, const struct sg_setting *s)
{
        const struct sg_raw_line *last = NULL;

        if (!section)
                return NULL;
        SG_LIST_EACH (&section->lines, k)
                if (SG_RAW_LINE(k)->setting == s)
                        last = SG_RAW_LINE(k);
        return last && last->value.n ? last : NULL;
}

static const struct sg_raw_line *first_from(const struct sg_raw_section *section, const struct sg_link *at,
                                            const struct sg_setting *s)
{
        for (; at != &section->lines.ends; at = at->next)
                if (SG_RAW_LINE(at)->setting == s)
                        return SG_RAW_LINE(at);
        return NULL;
}

const struct sg_raw_line *sg_raw_first_of(const struct sg_raw_section *section, const struct sg_setting *s)
{
        const struct sg_link *start;

        if (!section)
                return NULL;
        start = section->lines.ends.next;
        SG_LIST_EACH (&section->lines, k)
                if (SG_RAW_LINE(k)->setting == s && SG_RAW_LINE(k)->value.n == 0)
                        start = k->next;
        return first_from(section, start, s);
}

const struct sg_raw_line *sg_raw_next_of(const struct sg_raw_section *section, const struct sg_raw_line *line)
{
        return first_from(section, line->link.next, line->setting);
}

/* ---- adding */

static int section_get(struct sg_raw *raw, enum sg_section id, struct sg_str name, const char *where,
                       struct sg_raw_section **ret)
{
        struct sg_raw_section *section = sg_raw_find(raw, id, name);

        if (!section) {
                if (raw->sections.n == SG_RAW_SECTIONS_MAX)
                        return -E2BIG;
                section = sg_pool_alloc(raw->pool, sizeof(*section));
                if (!section)
                        return -ENOMEM;
                section->id = id;
                section->where = where;
                sg_list_init(&section->lines);
                if (name.n) {
                        section->name = sg_pool_dup(raw->pool, name);
                        if (!section->name)
                                return -ENOMEM;
                }
                sg_list_push(&raw->sections, &section->link);
        }
        *ret = section;
        return 0;
}

static int line_add(struct sg_raw *raw, struct sg_raw_section *section, const struct sg_raw_line *from)
{
        struct sg_raw_line *line = sg_pool_alloc(raw->pool, sizeof(*line));

        if (!line)
                return -ENOMEM;
        *line = *from;
        line->value.p = sg_pool_dup(raw->pool, from->value);
        if (!line->value.p)
                return -ENOMEM;
        sg_list_push(&section->lines, &line->link);
        return 0;
}

int sg_raw_put(struct sg_raw *raw, enum sg_section id, const char *name, const char *setting, struct sg_str value,
               const char *where)
{
        struct sg_raw_line line = {
                .setting = sg_setting_find(id, sg_str_from(setting)), .value = value, .where = where};
        struct sg_raw_section *section;
        int r;

        SG_ASSERT(line.setting);
        r = section_get(raw, id, sg_str_from(name), where, &section);
        return r ? r : line_add(raw, section, &line);
}

/* ---- a file */

struct reading {
        struct sg_raw *raw;
        struct sg_raw_section *section;
        const char *path;
        struct sg_error *err;
};

static const char *place(const struct reading *rd, unsigned line)
{
        char text[sizeof(rd->err->where)];

        sg_ini_place(text, sizeof(text), rd->path, line);
        return sg_pool_dup(rd->raw->pool, sg_str_from(text));
}

static int unknown_section(const struct reading *rd, struct sg_str word, const char *where)
{
        struct sg_nearest nearest;

        sg_nearest_init(&nearest, word);
        for (unsigned i = 0; i < SG_SECTION_N; i++)
                sg_nearest_try(&nearest, sg_str_from(sg_sections[i].name));
        if (!nearest.best.n)
                return sg_error_set(rd->err, -EINVAL, where, "unknown section [" SG_STR_FMT "]", SG_STR_ARG(word));
        return sg_error_set(rd->err, -EINVAL, where, "unknown section [" SG_STR_FMT "]; did you mean [" SG_STR_FMT "]?",
                            SG_STR_ARG(word), SG_STR_ARG(nearest.best));
}

/* "[listener "http"]" for an error. */
static void heading(const struct sg_raw_section *section, char *out, size_t out_bytes)
{
        const char *word = sg_sections[section->id].name;

        if (section->name)
                snprintf(out, out_bytes, "[%s \"%s\"]", word, section->name);
        else
                snprintf(out, out_bytes, "[%s]", word);
}

static int unknown_setting(const struct reading *rd, struct sg_str name, const char *where)
{
        char in[SG_NAME_BYTES_MAX + 32], guess[SG_NAME_BYTES_MAX + 32];
        struct sg_nearest nearest;

        heading(rd->section, in, sizeof(in));
        sg_nearest_init(&nearest, name);
        for (const struct sg_setting *s = sg_settings; s < sg_settings_end; s++)
                if (s->section == rd->section->id)
                        sg_nearest_try(&nearest, sg_str_from(s->name));
        if (!nearest.best.n)
                for (const struct sg_setting *s = sg_settings; s < sg_settings_end; s++)
                        if (sg_str_eq(sg_str_from(s->name), name))
                                return sg_error_set(rd->err, -EINVAL, where,
                                                    "unknown setting '%s' in %s; it belongs into [%s%s]", s->name, in,
                                                    sg_sections[s->section].name,
                                                    sg_sections[s->section].example ? " \"\xe2\x80\xa6\"" : "");
        return sg_error_set(rd->err, -EINVAL, where, "unknown setting '" SG_STR_FMT "' in %s%s", SG_STR_ARG(name), in,
                            sg_nearest_text(&nearest, guess, sizeof(guess)));
}

static int read_heading(struct reading *rd, const struct sg_ini_item *item)
{
        const char *where = place(rd, item->line);
        enum sg_section id = sg_section_find(item->section);
        int r;

        if (!where)
                return -ENOMEM;
        if (id == SG_SECTION_N)
                return unknown_section(rd, item->section, where);
        if (item->has_name && !sg_sections[id].example)
                return sg_error_set(rd->err, -EINVAL, where, "[%s] stands once and takes no name",
                                    sg_sections[id].name);
        if (!item->has_name && sg_sections[id].example)
                return sg_error_set(rd->err, -EINVAL, where, "[%s] needs a name: [%s \"%s\"]", sg_sections[id].name,
                                    sg_sections[id].name, sg_sections[id].example);
        r = section_get(rd->raw, id, item->name, where, &rd->section);
        if (r == -E2BIG)
                return sg_error_set(rd->err, r, where, "more than %u sections", SG_RAW_SECTIONS_MAX);
        return r;
}

static int read_line(struct reading *rd, const struct sg_ini_item *item)
{
        struct sg_raw_line line = {.value = item->value, .file = rd->raw->n_files, .line = item->line};

        line.where = place(rd, item->line);
        if (!line.where)
                return -ENOMEM;
        line.setting = sg_setting_find(rd->section->id, item->name);
        if (!line.setting)
                return unknown_setting(rd, item->name, line.where);
        if (!sg_setting_is_list(line.setting))
                SG_LIST_EACH (&rd->section->lines, k) {
                        const struct sg_raw_line *before = SG_RAW_LINE(k);

                        if (before->setting == line.setting && before->file == line.file)
                                return sg_error_set(rd->err, -EINVAL, line.where, "'%s' is set in line %u already",
                                                    line.setting->name, before->line);
                }
        return line_add(rd->raw, rd->section, &line);
}

int sg_raw_add_bytes(struct sg_raw *raw, struct sg_str bytes, const char *path, struct sg_error *err)
{
        struct reading rd = {.raw = raw, .path = path, .err = err};
        struct sg_ini_item item;
        struct sg_ini ini;
        int r;

        raw->n_files++; /* 0 is for what comes from no file */
        sg_ini_init(&ini, bytes, path);
        do {
                r = sg_ini_next(&ini, &item, err);
                if (!r && item.kind == SG_INI_SECTION)
                        r = read_heading(&rd, &item);
                else if (!r && item.kind == SG_INI_SETTING)
                        r = read_line(&rd, &item);
        } while (!r && item.kind != SG_INI_END);
        return r;
}
