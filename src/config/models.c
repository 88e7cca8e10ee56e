/*
 * Models: names that clients ask for, and their targets.
 */
#include <errno.h>

#include "base/limits.h"
#include "config/build.h"

#define CONTEXT_MAX 1000000000u

/* ---- targets */

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

/* The three kinds of targets, in the order in which they stand among a model's. */
static const struct target_kind {
        const char *key, *called;
        bool has_weight;
        size_t n; /* offset in sg_config_model */
} kinds[] = {
        {"model.target", "a target", true, offsetof(struct sg_config_model, n_targets)},
        {"model.fallback", "a fallback", false, offsetof(struct sg_config_model, n_fallbacks)},
        {"model.larger", "a larger one", false, offsetof(struct sg_config_model, n_larger)},
};

static int read_target(const struct sg_value *v, const struct sg_config *c, const struct target_kind *kind,
                       struct sg_config_target *target)
{
        struct sg_value_option options[] = {{.name = SG_STR("weight"), .max = SG_WEIGHT_MAX},
                                            {.name = SG_STR("context"), .max = CONTEXT_MAX}};
        const size_t first = kind->has_weight ? 0 : 1;
        struct sg_str rest = v->text, upstream = sg_value_next_word(&rest, " \t"), provider;
        bool has_upstream = sg_str_cut(&upstream, '/', &provider);
        int r = find_provider(v, c, provider, &target->provider);

        if (!r && has_upstream)
                r = read_upstream(v, upstream, &target->upstream_model);
        if (!r)
                r = sg_value_options(v, rest, kind->called, options + first, SG_N_ELEMENTS(options) - first);
        target->weight = options[0].value ? (unsigned)options[0].value : 1;
        target->context_tokens = options[1].value;
        return r;
}

static int read_targets(struct sg_whole *w, const struct sg_raw_section *section, struct sg_config_model *m,
                        struct sg_error *err)
{
        size_t at = 0;
        int r = 0;

        for (size_t i = 0; i < SG_N_ELEMENTS(kinds); i++) {
                const struct sg_setting *s = sg_setting_get(kinds[i].key);
                size_t *n = (size_t *)((char *)m + kinds[i].n);

                for (const struct sg_raw_line *line = sg_raw_first_of(section, s); line && !r;
                     line = sg_raw_next_of(section, line), ++*n)
                        r = read_target(&(struct sg_value){s, line->value, line->where, &w->pool, err}, &w->config,
                                        &kinds[i], &m->targets[at++]);
        }
        for (size_t i = 0; i < m->n_targets; i++)
                m->weight_sum += m->targets[i].weight;
        return r;
}

static size_t count(const struct sg_raw_section *section, const char *key)
{
        size_t n = 0;

        for (const struct sg_raw_line *line = sg_raw_first_of(section, sg_setting_get(key)); line;
             line = sg_raw_next_of(section, line))
                n++;
        return n;
}

static int build_targets(struct sg_whole *w, const struct sg_raw_section *section, struct sg_config_model *m,
                         struct sg_error *err)
{
        size_t n = 0;

        for (size_t i = 0; i < SG_N_ELEMENTS(kinds); i++)
                n += count(section, kinds[i].key);
        if (count(section, kinds[0].key) == 0)
                return sg_error_set(err, -EINVAL, section->where,
                                    "[model \"%s\"] has no target; write target = PROVIDER", section->name);
        if (n > SG_TARGETS_MAX)
                return sg_error_set(err, -EINVAL, section->where,
                                    "[model \"%s\"] has more than %u targets, fallbacks and larger ones", section->name,
                                    SG_TARGETS_MAX);
        m->targets = sg_pool_array(&w->pool, n, sizeof(*m->targets));
        return m->targets ? read_targets(w, section, m, err) : -ENOMEM;
}

/* ---- one model */

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

const char *sg_model_lacks(const struct sg_config_model *m, const struct sg_setting *setting)
{
        const struct sg_str name = sg_str_from(setting->name);

        if (sg_str_eq(name, SG_STR("affinity")) && m->affinity != SG_AFFINITY_NONE &&
            m->strategy != SG_STRATEGY_WEIGHTED)
                return "is for strategy = weighted";
        if (sg_str_starts(name, SG_STR("drain_")) && m->on_disconnect != SG_DISCONNECT_DRAIN)
                return "is for on_disconnect = drain";
        return NULL;
}

static int check_together(const struct sg_raw_section *section, const struct sg_config_model *m, struct sg_error *err)
{
        for (const struct sg_setting *s = sg_settings; s < sg_settings_end; s++) {
                const struct sg_raw_line *line = sg_raw_last(section, s);
                const char *why = line ? sg_model_lacks(m, s) : NULL;

                if (why)
                        return sg_error_set(err, -EINVAL, line->where, "%s %s", s->name, why);
        }
        return 0;
}

/* An alias says the same as the model's name, which is then what a target without a name of its own is asked for. Behind
 * a pattern it is one more name that it stands for. */
static void name_targets(struct sg_config_model *m)
{
        const size_t n = m->n_targets + m->n_fallbacks + m->n_larger;

        for (size_t i = 0; i < n && m->n_aliases && !m->is_pattern; i++)
                if (!m->targets[i].upstream_model)
                        m->targets[i].upstream_model = m->name;
}

static const char *not_downgraded(const struct sg_limit *l)
{
        return l->downgrade_percent ? "has downgrade=, but the model has no other one in its place; write downgrade = "
                                      "MODEL, or leave it out"
                                    : NULL;
}

static int build_model(struct sg_whole *w, const struct sg_raw_section *section, struct sg_config_model *m,
                       struct sg_error *err)
{
        int r = check_name(section, err);

        if (r)
                return r;
        m->name = section->name;
        m->is_pattern = sg_str_ends(sg_str_from(m->name), SG_STR("*"));
        m->where = section->where;
        r = sg_section_store(w, SG_SECTION_MODEL, section, m, err);
        if (!r)
                r = build_targets(w, section, m, err);
        if (!r)
                r = sg_limit_lines_build(w, section, "model.limit", m->downgrade_name ? NULL : not_downgraded,
                                         &m->limits, err);
        if (!r)
                r = check_together(section, m, err);
        if (!r)
                r = sg_model_names_add(w, section, m, err);
        if (!r)
                name_targets(m);
        return r;
}

int sg_models_build(struct sg_whole *w, struct sg_error *err)
{
        struct sg_config *c = &w->config;
        int r;

        c->models = sg_pool_array(&w->pool, sg_raw_count(&w->raw, SG_SECTION_MODEL), sizeof(*c->models));
        if (!c->models)
                return -ENOMEM;
        r = sg_model_names_begin(w);
        if (r)
                return r;
        SG_LIST_EACH (&w->raw.sections, k) {
                const struct sg_raw_section *section = SG_RAW_SECTION(k);

                if (section->id != SG_SECTION_MODEL)
                        continue;
                r = build_model(w, section, &c->models[c->n_models++], err);
                if (r)
                        return r;
        }
        return sg_model_names_end(w, err);
}
