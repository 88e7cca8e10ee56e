/*
 * The names of models, aliases among them, and how they are found.
 */
#include <errno.h>
#include <stdlib.h>

#include "config/build.h"

#define BLANKS " \t,"

/* Room for all names. */
static size_t n_names(const struct sg_raw_section *section)
{
        size_t n = 1;

        for (const struct sg_raw_line *line = sg_raw_first_of(section, sg_setting_get("model.alias")); line;
             line = sg_raw_next_of(section, line))
                n += line->value.n / 2 + 1;
        return n;
}

int sg_model_names_begin(struct sg_whole *w)
{
        size_t n = 0;

        SG_LIST_EACH (&w->raw.sections, k)
                if (SG_RAW_SECTION(k)->id == SG_SECTION_MODEL)
                        n += n_names(SG_RAW_SECTION(k));
        w->exact = sg_pool_array(&w->pool, n, sizeof(*w->exact));
        w->patterns = sg_pool_array(&w->pool, sg_raw_count(&w->raw, SG_SECTION_MODEL), sizeof(*w->patterns));
        return w->exact && w->patterns ? 0 : -ENOMEM;
}

static void add_exact(struct sg_whole *w, const struct sg_config_model *m, const char *name, const char *alias_where)
{
        w->exact[w->n_exact] = (struct sg_model_name){name, m, alias_where, w->n_exact};
        w->n_exact++;
}

static int add_alias(struct sg_whole *w, const struct sg_value *v, struct sg_config_model *m)
{
        char shown[SG_VALUE_SHOWN_BYTES];
        const char *name;

        if (sg_str_find_byte(v->text, '*') < v->text.n)
                return sg_value_refuse(v, "'%s': an alias has no *; write a section [model] for a pattern",
                                       sg_value_shown(v->text, shown));
        name = sg_pool_dup(v->pool, v->text);
        if (!name)
                return -ENOMEM;
        m->aliases[m->n_aliases++] = name;
        add_exact(w, m, name, v->where);
        return 0;
}

int sg_model_names_add(struct sg_whole *w, const struct sg_raw_section *section, struct sg_config_model *m,
                       struct sg_error *err)
{
        const struct sg_setting *s = sg_setting_get("model.alias");
        int r = 0;

        m->aliases = sg_pool_array(&w->pool, n_names(section), sizeof(*m->aliases));
        if (!m->aliases)
                return -ENOMEM;
        if (m->is_pattern)
                w->patterns[w->n_patterns++] = m;
        else
                add_exact(w, m, m->name, NULL);
        for (const struct sg_raw_line *line = sg_raw_first_of(section, s); line && !r;
             line = sg_raw_next_of(section, line)) {
                struct sg_value v = {s, line->value, line->where, &w->pool, err};
                struct sg_str rest = line->value;

                while (!r && (v.text = sg_value_next_word(&rest, BLANKS)).n)
                        r = add_alias(w, &v, m);
        }
        return r;
}

/* ---- the index */

/* Of the same names a section's own first, then as they were written: the later is the one too many. */
static int by_name(const void *a, const void *b)
{
        const struct sg_model_name *x = a, *y = b;
        int r = strcmp(x->name, y->name);

        if (r)
                return r;
        if (!x->alias_where != !y->alias_where)
                return x->alias_where ? 1 : -1;
        return x->at < y->at ? -1 : x->at > y->at;
}

static int by_length(const void *a, const void *b)
{
        const struct sg_config_model *const *x = a, *const *y = b;
        size_t nx = strlen((*x)->name), ny = strlen((*y)->name);

        return nx != ny ? (nx < ny ? 1 : -1) : strcmp((*x)->name, (*y)->name);
}

int sg_model_names_end(struct sg_whole *w, struct sg_error *err)
{
        const struct sg_setting *s = sg_setting_get("model.alias");
        char shown[SG_VALUE_SHOWN_BYTES];

        qsort(w->exact, w->n_exact, sizeof(*w->exact), by_name);
        qsort(w->patterns, w->n_patterns, sizeof(*w->patterns), by_length);
        for (size_t i = 1; i < w->n_exact; i++) {
                const struct sg_model_name *one = &w->exact[i - 1], *more = &w->exact[i];
                struct sg_value v = {s, SG_STR_NONE, more->alias_where, &w->pool, err};

                if (strcmp(one->name, more->name) == 0)
                        return sg_value_refuse(&v, "'%s' is %s [model \"%s\"] already (%s)",
                                               sg_value_shown(sg_str_from(more->name), shown),
                                               one->alias_where ? "an alias of" : "the name of", one->model->name,
                                               one->alias_where ? one->alias_where : one->model->where);
        }
        return 0;
}

static int name_against(const void *key, const void *item)
{
        const struct sg_model_name *name = item;

        return sg_str_cmp(*(const struct sg_str *)key, sg_str_from(name->name));
}

const struct sg_config_model *sg_config_find_model(const struct sg_config *c, struct sg_str name)
{
        const struct sg_whole *w = sg_whole_of(c);
        const struct sg_model_name *found = NULL;

        if (w->n_exact)
                found = bsearch(&name, w->exact, w->n_exact, sizeof(*w->exact), name_against);
        if (found)
                return found->model;
        for (size_t i = 0; i < w->n_patterns; i++)
                if (sg_str_matches(sg_str_from(w->patterns[i]->name), name))
                        return w->patterns[i];
        return NULL;
}
