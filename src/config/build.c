#include "config/build.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/message_id.h"
#include "config/prices.h"
#include "config/units.h"

struct sg_whole *sg_whole_new(void)
{
        struct sg_whole *w = calloc(1, sizeof(*w));

        if (!w)
                return NULL;
        atomic_init(&w->n_refs, 1);
        sg_pool_init(&w->pool);
        sg_raw_init(&w->raw, &w->pool);
        return w;
}

struct sg_whole *sg_whole_free(struct sg_whole *w)
{
        if (!w)
                return NULL;
        for (size_t i = 0; i < w->config.n_providers; i++)
                sg_provider_done(&w->config.providers[i]);
        for (size_t i = 0; i < w->config.n_models; i++)
                sg_limit_set_unref(w->config.models[i].limits);
        sg_limit_set_unref(w->config.address_limits);
        sg_secret_unref(w->config.ledger_password);
        sg_secret_unref(w->config.redis.password);
        sg_prices_free(w->config.prices);
        sg_pool_done(&w->pool);
        free(w);
        return NULL;
}

/* ---- scalars, by the table */

int sg_section_store(struct sg_whole *w, enum sg_section id, const struct sg_raw_section *section, void *object,
                     struct sg_error *err)
{
        for (const struct sg_setting *s = sg_settings; s < sg_settings_end; s++) {
                const struct sg_raw_line *line = sg_raw_last(section, s);
                struct sg_value v = {s, line ? line->value : sg_str_from(s->default_text),
                                     line ? line->where : "default", &w->pool, err};
                int r;

                if (s->section != id || sg_setting_is_list(s) || sg_setting_is_place(s) || v.text.n == 0)
                        continue;
                r = sg_value_store(&v, object);
                if (r)
                        return r;
        }
        return 0;
}

int sg_section_places(struct sg_whole *w, enum sg_section id, const struct sg_raw_section *section, void *object,
                      const struct sg_surroundings *around, struct sg_error *err)
{
        for (const struct sg_setting *s = sg_settings; s < sg_settings_end; s++) {
                const struct sg_raw_line *line = sg_raw_last(section, s);
                void *field = (char *)object + s->offset;
                int r;

                if (s->section != id || !sg_setting_is_place(s) || !line || line->value.n == 0)
                        continue;
                struct sg_value v = {s, line->value, line->where, &w->pool, err};

                r = s->kind == SG_KIND_SECRET ? sg_credential_read(&v, around, field) : sg_pem_path(&v, around, field);
                if (r)
                        return r;
        }
        return 0;
}

/* Names that stand in other values, units and paths. */
int sg_section_check_name(const struct sg_raw_section *section, struct sg_error *err)
{
        for (const char *c = section->name; *c; c++)
                if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '_' ||
                      *c == '-' || *c == '.'))
                        return sg_error_set(err, -EINVAL, section->where,
                                            "[%s \"%s\"]: the name may have letters, digits, . _ - only",
                                            sg_sections[section->id].name, section->name);
        return 0;
}

/* ---- sections without names */

static int add_admin(struct sg_whole *w, const struct sg_value *v, struct sg_str name, size_t room,
                     const struct sg_surroundings *around)
{
        struct sg_config *c = &w->config;
        char shown[SG_VALUE_SHOWN_BYTES];
        const char *copy;

        for (size_t i = 0; i < c->n_admins; i++)
                if (sg_str_eq(sg_str_from(c->admins[i]), name))
                        return 0;
        copy = sg_pool_dup(&w->pool, name);
        if (!copy)
                return -ENOMEM;
        if (around->knows_users && !getpwnam(copy))
                return sg_value_refuse(v, "this machine has no user '%s'", sg_value_shown(name, shown));
        SG_ASSERT(c->n_admins < room);
        c->admins[c->n_admins++] = copy;
        return 0;
}

static int build_admins(struct sg_whole *w, const struct sg_surroundings *around, struct sg_error *err)
{
        const struct sg_setting *s = sg_setting_get("control.admins");
        const struct sg_raw_section *section = sg_raw_find(&w->raw, SG_SECTION_CONTROL, SG_STR_NONE);
        const struct sg_raw_line *first = sg_raw_first_of(section, s);
        size_t room = 0;
        int r = 0;

        for (const struct sg_raw_line *line = first; line; line = sg_raw_next_of(section, line))
                room += line->value.n;
        w->config.admins = sg_pool_array(&w->pool, room, sizeof(*w->config.admins));
        if (!w->config.admins)
                return -ENOMEM;
        for (const struct sg_raw_line *line = first; line && !r; line = sg_raw_next_of(section, line)) {
                struct sg_value v = {s, line->value, line->where, &w->pool, err};
                struct sg_str rest = line->value;

                for (struct sg_str name = sg_value_next_word(&rest, " \t,"); name.n && !r;
                     name = sg_value_next_word(&rest, " \t,"))
                        r = add_admin(w, &v, name, room, around);
        }
        return r;
}

static const char *not_of_address(const struct sg_limit *l)
{
        if (l->kind != SG_LIMIT_REQUESTS || (l->window != SG_WINDOW_MINUTE && l->window != SG_WINDOW_HOUR))
                return "is not for addresses, of which requests per minute or hour are counted; write 600 "
                       "requests/minute";
        if (l->warn_percent || l->is_soft)
                return "has warn= or soft, but nobody is warned of an address";
        return NULL;
}

static int build_globals(struct sg_whole *w, const struct sg_surroundings *around, struct sg_error *err)
{
        static const enum sg_section sections[] = {SG_SECTION_GATEWAY, SG_SECTION_JOURNAL, SG_SECTION_LEDGER,
                                                   SG_SECTION_REDIS,   SG_SECTION_CONTROL, SG_SECTION_LOG};
        struct sg_config *c = &w->config;
        char body[SG_UNITS_TEXT_BYTES], bodies[SG_UNITS_TEXT_BYTES];
        const struct sg_raw_section *section;
        int r = 0;

        for (size_t i = 0; i < SG_N_ELEMENTS(sections) && !r; i++)
                r = sg_section_store(w, sections[i], sg_raw_find(&w->raw, sections[i], SG_STR_NONE), c, err);
        if (r)
                return r;
        if (c->bodies_bytes_max < c->body_bytes_max) {
                const struct sg_raw_line *line;

                section = sg_raw_find(&w->raw, SG_SECTION_GATEWAY, SG_STR_NONE);
                line = sg_raw_last(section, sg_setting_get("gateway.max_bodies"));
                if (!line)
                        line = sg_raw_last(section, sg_setting_get("gateway.max_body"));
                SG_ASSERT(line);
                return sg_error_set(err, -EINVAL, line->where, "max_bodies (%s) is less than max_body (%s)",
                                    sg_units_size_text(c->bodies_bytes_max, bodies),
                                    sg_units_size_text(c->body_bytes_max, body));
        }
        if (!c->ledger_database) {
                c->ledger_database = sg_pool_printf(&w->pool, "sqlite:%s/ledger.db", c->state_directory);
                if (!c->ledger_database)
                        return -ENOMEM;
        }
        r = sg_database_build(w, around, err);
        if (!r)
                r = sg_redis_build(w, around, err);
        if (!r)
                r = sg_limit_lines_build(w, sg_raw_find(&w->raw, SG_SECTION_GATEWAY, SG_STR_NONE),
                                         "gateway.address_limit", not_of_address, &c->address_limits, err);
        return r ? r : build_admins(w, around, err);
}

/* ---- all */

int sg_whole_build(struct sg_whole *w, const struct sg_surroundings *around, struct sg_error *err)
{
        int r = build_globals(w, around, err);

        if (!r)
                r = sg_listeners_build(w, around, err);
        if (!r)
                r = sg_trusted_build(w, err);
        if (!r)
                r = sg_providers_build(w, around, err);
        if (!r)
                r = sg_models_build(w, err);
        if (!r)
                r = sg_downgrades_build(w, err);
        if (!r)
                r = sg_lanes_build(w);
        if (!r)
                r = sg_services_build(w, around, err);
        return r ? r : sg_dependencies_build(w, err);
}
