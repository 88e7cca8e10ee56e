#include "ledger/tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/settings.h"
#include "ledger/form.h"

/* ---- reading */

static void add_group(const struct sg_store_group *group, void *owner)
{
        struct sg_tree *t = owner;

        if (t->n == t->room) {
                t->room = t->room ? t->room * 2 : 64;
                t->at = reallocarray(t->at, t->room, sizeof(*t->at));
                SG_ASSERT(t->at);
        }
        t->at[t->n] = (struct sg_tree_group){.id = group->id,
                                             .parent_id = group->parent_id,
                                             .name = sg_str_dup(group->name),
                                             .limits = sg_str_dup(group->limits),
                                             .created_wall_usec = group->created_wall_usec,
                                             .version = group->version,
                                             .n_keys = group->n_keys};
        SG_ASSERT(t->at[t->n].name && t->at[t->n].limits);
        t->n++;
}

int sg_tree_init(struct sg_tree *t, struct sg_store *s, bool with_keys, struct sg_error *err)
{
        int r;

        *t = (struct sg_tree){.n = 0};
        r = sg_store_group_list(s, with_keys, add_group, t, err);
        if (r)
                sg_tree_done(t);
        return r;
}

void sg_tree_done(struct sg_tree *t)
{
        for (size_t i = 0; i < t->n; i++) {
                free(t->at[i].name);
                free(t->at[i].limits);
        }
        free(t->at);
        *t = (struct sg_tree){.n = 0};
}

/* ---- finding */

struct sg_store_group sg_tree_row(const struct sg_tree_group *g)
{
        return (struct sg_store_group){.id = g->id,
                                       .parent_id = g->parent_id,
                                       .name = sg_str_from(g->name),
                                       .limits = sg_str_from(g->limits),
                                       .created_wall_usec = g->created_wall_usec,
                                       .version = g->version,
                                       .n_keys = g->n_keys};
}

static int by_id(const void *id, const void *group)
{
        uint64_t a = *(const uint64_t *)id, b = ((const struct sg_tree_group *)group)->id;

        return (a > b) - (a < b);
}

const struct sg_tree_group *sg_tree_by_id(const struct sg_tree *t, uint64_t id)
{
        return t->n ? bsearch(&id, t->at, t->n, sizeof(*t->at), by_id) : NULL;
}

const struct sg_tree_group *sg_tree_by_name(const struct sg_tree *t, struct sg_str name)
{
        for (size_t i = 0; i < t->n; i++)
                if (sg_str_eq(name, sg_str_from(t->at[i].name)))
                        return &t->at[i];
        return NULL;
}

const char *sg_tree_nearest(const struct sg_tree *t, struct sg_str name, char *out, size_t out_bytes)
{
        struct sg_nearest nearest;

        sg_nearest_init(&nearest, name);
        for (size_t i = 0; i < t->n; i++)
                sg_nearest_try(&nearest, sg_str_from(t->at[i].name));
        return sg_nearest_text(&nearest, out, out_bytes);
}

/* ---- the tree */

size_t sg_tree_chain(const struct sg_tree *t, uint64_t id, const struct sg_tree_group *ret[SG_GROUP_DEPTH_MAX])
{
        const struct sg_tree_group *g = sg_tree_by_id(t, id);
        size_t n = 0;

        while (g && n < SG_GROUP_DEPTH_MAX) {
                ret[n++] = g;
                g = sg_tree_by_id(t, g->parent_id);
        }
        return n;
}

/* How far `top` lies above that one; 0: not above it. */
static size_t distance_to(const struct sg_tree *t, uint64_t top, const struct sg_tree_group *g)
{
        const struct sg_tree_group *chain[SG_GROUP_DEPTH_MAX];
        size_t n = sg_tree_chain(t, g->id, chain);

        for (size_t i = 0; i < n; i++)
                if (chain[i]->id == top)
                        return i;
        return 0;
}

size_t sg_tree_height(const struct sg_tree *t, uint64_t id)
{
        size_t height = 0;

        for (size_t i = 0; i < t->n; i++) {
                size_t d = distance_to(t, id, &t->at[i]);

                height = SG_MAX(height, d);
        }
        return height + 1;
}

size_t sg_tree_n_children(const struct sg_tree *t, uint64_t id)
{
        size_t n = 0;

        for (size_t i = 0; i < t->n; i++)
                n += t->at[i].parent_id == id;
        return n;
}

/* ---- what is never reached */

/* Those of a JSON text of the database; what does not fit, or cannot be read, is left out. */
static size_t read_limits(struct sg_str text, struct sg_limit limits[SG_LIMITS_MAX])
{
        struct json_object *texts = sg_form_limits_json(text);
        size_t n_texts = texts ? json_object_array_length(texts) : 0, n = 0;

        for (size_t i = 0; i < n_texts && n < SG_LIMITS_MAX; i++) {
                struct json_object *one = json_object_array_get_idx(texts, i);

                if (json_object_is_type(one, json_type_string) &&
                    sg_limit_parse(&limits[n], sg_str_from(json_object_get_string(one)), NULL) == 0)
                        n++;
        }
        json_object_put(texts);
        return n;
}

static bool is_above(const struct sg_limit *key, const struct sg_limit *group)
{
        return key->kind == group->kind && key->window == group->window && !group->is_soft && !key->is_soft &&
               strcmp(key->currency, group->currency) == 0 && key->amount > group->amount;
}

static bool find_above(struct sg_str of_key, const struct sg_tree_group *g, char *out, size_t out_bytes)
{
        struct sg_limit ours[SG_LIMITS_MAX], theirs[SG_LIMITS_MAX];
        size_t n_ours = read_limits(of_key, ours), n_theirs = read_limits(sg_str_from(g->limits), theirs);
        char one[SG_LIMIT_TEXT_BYTES], other[SG_LIMIT_TEXT_BYTES];

        for (size_t i = 0; i < n_ours; i++)
                for (size_t k = 0; k < n_theirs; k++) {
                        if (!is_above(&ours[i], &theirs[k]))
                                continue;
                        (void)snprintf(out, out_bytes,
                                       "limit '%s' is never reached: group \"%s\" has '%s' for all below it",
                                       sg_limit_text(&ours[i], one), g->name, sg_limit_text(&theirs[k], other));
                        return true;
                }
        return false;
}

const char *sg_tree_note(const struct sg_tree *t, uint64_t id, struct sg_str limits, char *out, size_t out_bytes)
{
        const struct sg_tree_group *chain[SG_GROUP_DEPTH_MAX];
        size_t n = sg_tree_chain(t, id, chain);

        out[0] = '\0';
        for (size_t i = 0; i < n && limits.n; i++)
                if (find_above(limits, chain[i], out, out_bytes))
                        break;
        return out;
}
