/*
 * Limits of the configuration: of models, providers and addresses. Those of keys and groups are the ledger's.
 */
#include <errno.h>
#include <stdio.h>

#include "config/build.h"
#include "config/prices.h"

/* Nothing would ever be counted for it. */
static const char *lacks_price(const struct sg_whole *w, const struct sg_limit *l)
{
        if (l->kind != SG_LIMIT_COST || !w->config.prices || sg_prices_has_currency(w->config.prices, l->currency))
                return NULL;
        return "is a budget in a currency that no price in prices.d has; without prices no budget is counted";
}

static int read_limit(struct sg_whole *w, const struct sg_value *v, const char *(*is_fit)(const struct sg_limit *l),
                      struct sg_limit *ret)
{
        struct sg_error why = {0};
        char shown[SG_VALUE_SHOWN_BYTES];
        const char *unfit = NULL;
        int r = sg_limit_parse(ret, v->text, &why);

        if (r)
                return r == -ENOMEM ? r : sg_error_set(v->err, r, v->where, "%s", why.text);
        if (is_fit)
                unfit = is_fit(ret);
        if (!unfit)
                unfit = lacks_price(w, ret);
        return unfit ? sg_error_set(v->err, -EINVAL, v->where, "limit '%s' %s", sg_value_shown(v->text, shown), unfit)
                     : 0;
}

int sg_limit_lines_build(struct sg_whole *w, const struct sg_raw_section *section, const char *key,
                         const char *(*is_fit)(const struct sg_limit *l), struct sg_limit_set **ret,
                         struct sg_error *err)
{
        const struct sg_setting *s = sg_setting_get(key);
        SG_AUTO(sg_limit_set_unref) struct sg_limit_set *set = NULL;
        struct sg_limit limits[SG_LIMITS_MAX];
        size_t n = 0;

        for (const struct sg_raw_line *line = sg_raw_first_of(section, s); line; line = sg_raw_next_of(section, line)) {
                struct sg_value v = {s, line->value, line->where, &w->pool, err};
                struct sg_error why = {0};
                int r;

                if (n == SG_LIMITS_MAX)
                        return sg_value_refuse(&v, "there are more than %u", SG_LIMITS_MAX);
                r = read_limit(w, &v, is_fit, &limits[n++]);
                if (r)
                        return r;
                /* Line by line, so that the one is blamed that does not go with those before it. */
                set = sg_limit_set_unref(set);
                r = sg_limit_set_new(&set, limits, n, &why);
                if (r)
                        return r == -ENOMEM ? r : sg_error_set(err, r, line->where, "%s", why.text);
        }
        *ret = SG_GIVE(set);
        return 0;
}

/* ---- over a reload */

static void keep(struct sg_limit_set *from, struct sg_limit_set **to)
{
        if (from == *to || !from || !*to || !sg_limit_set_is_same(from, *to))
                return;
        sg_limit_set_unref(*to);
        *to = sg_limit_set_ref(from);
}

void sg_config_keep_limits(const struct sg_config *from, struct sg_config *to)
{
        keep(from->address_limits, &to->address_limits);
        for (size_t i = 0; i < to->n_providers; i++) {
                const struct sg_config_provider *before =
                        sg_config_find_provider(from, sg_str_from(to->providers[i].name));

                if (before)
                        keep(before->limits, &to->providers[i].limits);
        }
        for (size_t i = 0; i < to->n_models; i++)
                for (size_t k = 0; k < from->n_models; k++)
                        if (strcmp(from->models[k].name, to->models[i].name) == 0)
                                keep(from->models[k].limits, &to->models[i].limits);
}
