/*
 * What is served in a model's place once its caller's budget is nearly spent.
 */
#include <errno.h>

#include "base/limits.h"
#include "config/build.h"

static int find_other(struct sg_whole *w, const struct sg_value *v, struct sg_config_model *m)
{
        char shown[SG_VALUE_SHOWN_BYTES], guess[SG_NAME_BYTES_MAX + 32];
        const struct sg_config_model *other = sg_config_find_model(&w->config, v->text);
        struct sg_nearest nearest;

        if (sg_str_find_byte(v->text, '*') < v->text.n)
                return sg_value_refuse(v, "'%s' is a pattern; name one model", sg_value_shown(v->text, shown));
        if (other && !other->is_pattern) {
                m->downgrade = other;
                return 0;
        }
        sg_nearest_init(&nearest, v->text);
        for (size_t i = 0; i < w->n_exact; i++)
                sg_nearest_try(&nearest, sg_str_from(w->exact[i].name));
        return sg_value_refuse(v, "there is no [model \"%s\"]%s", sg_value_shown(v->text, shown),
                               sg_nearest_text(&nearest, guess, sizeof(guess)));
}

/* A chain that is longer than there are models goes round, though perhaps not through its beginning: that one is told
 * where it is in the circle itself. */
static bool is_in_circle(const struct sg_config *c, const struct sg_config_model *m)
{
        const struct sg_config_model *at = m->downgrade;

        for (size_t i = 0; at && at != m && i < c->n_models; i++)
                at = at->downgrade;
        return at == m;
}

static const struct sg_raw_line *line_of(const struct sg_whole *w, const struct sg_config_model *m)
{
        return sg_raw_last(sg_raw_find(&w->raw, SG_SECTION_MODEL, sg_str_from(m->name)),
                           sg_setting_get("model.downgrade"));
}

int sg_downgrades_build(struct sg_whole *w, struct sg_error *err)
{
        struct sg_config *c = &w->config;

        for (size_t i = 0; i < c->n_models; i++) {
                const struct sg_raw_line *line = line_of(w, &c->models[i]);
                int r;

                if (!line)
                        continue;
                r = find_other(w, &(struct sg_value){line->setting, line->value, line->where, &w->pool, err},
                               &c->models[i]);
                if (r)
                        return r;
        }
        for (size_t i = 0; i < c->n_models; i++) {
                const struct sg_config_model *m = &c->models[i];

                if (is_in_circle(c, m))
                        return sg_value_refuse(
                                &(struct sg_value){.setting = sg_setting_get("model.downgrade"),
                                                   .where = line_of(w, m)->where,
                                                   .err = err},
                                "from '%s' it leads back to '%s'; a chain must end with a model that has "
                                "no downgrade",
                                m->downgrade_name, m->name);
        }
        return 0;
}
