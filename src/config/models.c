/*
 * Models: names that clients ask for, their targets, and the index by which they are found.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/limits.h"
#include "config/build.h"

#define TARGETS_MAX 64u /* of one model; the sum of weights stays far from the end of an unsigned */

static int find_provider(const struct sg_value *v, const struct sg_config *c, struct sg_str name,
                         const struct sg_config_provider **ret)
{
        char shown[SG_VALUE_SHOWN_BYTES], guess[SG_NAME_BYTES_MAX + 32];
        struct sg_nearest nearest;

        *ret = sg_config_find_provider(c, name);
        if (*ret)
                return 0;
        if (name.n == 0)
                return sg_value_refuse(v, "before the / comes the name of a provider");
        sg_nearest_init(&nearest, name);
        for (size_t i = 0; i < c->n_providers; i++)
                sg_nearest_try(&nearest, sg_str_from(c->providers[i].name));
        return sg_value_refuse(v, "there is no [provider \"%s\"]%s", sg_value_shown(name, shown),
                               sg_nearest_text(&nearest, guess, sizeof(guess)));
}

static int read_upstream(const struct sg_value *v, struct sg_str name, const char **ret)
{
        if (name.n == 0)
                return sg_value_refuse(v,
                                       "after the / comes the provider's name of the model; leave both out to pass the "
                                       "client's name on");
        if (sg_str_find_byte(name, '*') < name.n)
                return sg_value_refuse(
                        v, "the provider's name of a model has no *; leave it out to pass the client's name on");
        for (size_t i = 0; i < name.n; i++) /* from a variable it may hold anything */
                if ((unsigned char)name.p[i] < ' ' || name.p[i] == 0x7f)
                        return sg_value_refuse(v, "a control byte in the name of a model");
        if (!sg_str_is_utf8(name))
                return sg_value_refuse(v, "the name of a model is not UTF-8");
        *ret = sg_pool_dup(v->pool, name);
        return *ret ? 0 : -ENOMEM;
}

static int read_target(const struct sg_value *v, const struct sg_config *c, struct sg_config_target *target)
{
        struct sg_str rest = v->text, upstream = sg_value_next_word(&rest, " \t"), provider;
        bool has_upstream = sg_str_cut(&upstream, '/', &provider);
        int r = find_provider(v, c, provider, &target->provider);

        if (!r && has_upstream)
                r = read_upstream(v, upstream, &target->upstream_model);
        return r ? r : sg_value_weight(v, rest, "a target", &target->weight);
}

static int check_name(const struct sg_raw_section *section, struct sg_error *err)
{
        const struct sg_str name = sg_str_from(section->name);

        if (sg_str_find_byte(name, '*') + 1 < name.n)
                return sg_error_set(err, -EINVAL, section->where,
                                    "[model \"%s\"]: * may stand at the end of a name only: \"gpt-*\"", section->name);
        if (sg_str_trim(name).n != name.n)
                return sg_error_set(err, -EINVAL, section->where,
                                    "[model \"%s\"]: the name begins or ends with a blank", section->name);
        return 0;
}

static int build_model(struct sg_whole *w, const struct sg_raw_section *section, struct sg_config_model *m,
                       struct sg_error *err)
{
        const struct sg_setting *s = sg_setting_get("model.target");
        const struct sg_raw_line *first = sg_raw_first_of(section, s);
        size_t n = 0;
        int r = check_name(section, err);

        for (const struct sg_raw_line *line = first; line; line = sg_raw_next_of(section, line))
                n++;
        if (!r && n == 0)
                r = sg_error_set(err, -EINVAL, section->where, "[model \"%s\"] has no target; write target = PROVIDER",
                                 section->name);
        if (!r && n > TARGETS_MAX)
                r = sg_error_set(err, -EINVAL, section->where, "[model \"%s\"] has more than %u targets", section->name,
                                 TARGETS_MAX);
        if (r)
                return r;
        m->name = section->name;
        m->is_pattern = sg_str_ends(sg_str_from(m->name), SG_STR("*"));
        m->where = section->where;
        m->targets = sg_pool_array(&w->pool, n, sizeof(*m->targets));
        if (!m->targets)
                return -ENOMEM;
        for (const struct sg_raw_line *line = first; line && !r; line = sg_raw_next_of(section, line)) {
                struct sg_config_target *target = &m->targets[m->n_targets++];

                r = read_target(&(struct sg_value){s, line->value, line->where, &w->pool, err}, &w->config, target);
                m->weight_sum += target->weight;
        }
        return r;
}

/* ---- the index */

static int by_name(const void *a, const void *b)
{
        const struct sg_config_model *const *x = a, *const *y = b;

        return strcmp((*x)->name, (*y)->name);
}

static int by_length(const void *a, const void *b)
{
        const struct sg_config_model *const *x = a, *const *y = b;
        size_t nx = strlen((*x)->name), ny = strlen((*y)->name);

        return nx != ny ? (nx < ny ? 1 : -1) : by_name(a, b);
}

static int build_index(struct sg_whole *w)
{
        const struct sg_config *c = &w->config;

        w->exact = sg_pool_array(&w->pool, c->n_models, sizeof(*w->exact));
        w->patterns = sg_pool_array(&w->pool, c->n_models, sizeof(*w->patterns));
        if (!w->exact || !w->patterns)
                return -ENOMEM;
        for (size_t i = 0; i < c->n_models; i++)
                if (c->models[i].is_pattern)
                        w->patterns[w->n_patterns++] = &c->models[i];
                else
                        w->exact[w->n_exact++] = &c->models[i];
        qsort(w->exact, w->n_exact, sizeof(*w->exact), by_name);
        qsort(w->patterns, w->n_patterns, sizeof(*w->patterns), by_length);
        return 0;
}

static int name_against(const void *key, const void *item)
{
        const struct sg_config_model *const *model = item;

        return sg_str_cmp(*(const struct sg_str *)key, sg_str_from((*model)->name));
}

const struct sg_config_model *sg_config_find_model(const struct sg_config *c, struct sg_str name)
{
        const struct sg_whole *w = sg_whole_of(c);
        const struct sg_config_model *const *found = NULL;

        if (w->n_exact)
                found = bsearch(&name, w->exact, w->n_exact, sizeof(*w->exact), name_against);
        if (found)
                return *found;
        for (size_t i = 0; i < w->n_patterns; i++)
                if (sg_str_matches(sg_str_from(w->patterns[i]->name), name))
                        return w->patterns[i];
        return NULL;
}

int sg_models_build(struct sg_whole *w, struct sg_error *err)
{
        struct sg_config *c = &w->config;
        int r;

        c->models = sg_pool_array(&w->pool, sg_raw_count(&w->raw, SG_SECTION_MODEL), sizeof(*c->models));
        if (!c->models)
                return -ENOMEM;
        SG_LIST_EACH (&w->raw.sections, k) {
                const struct sg_raw_section *section = SG_RAW_SECTION(k);

                if (section->id != SG_SECTION_MODEL)
                        continue;
                r = build_model(w, section, &c->models[c->n_models++], err);
                if (r)
                        return r;
        }
        return build_index(w);
}
