/*
 * What is told of a key, a group or a total, out of any bytes. A key that is taken out of the text, as the picture has it,
 * is taken out of its tree, as the ledger sends it, and says the same; and what is written of it reads as it did.
 */
#include <stdlib.h>

#include "feed/change.h"
#include "feed/total.h"
#include "varlink/strict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_same(const struct sg_key_change *a, const struct sg_key_change *b)
{
        if (a->id != b->id || a->is_removed != b->is_removed)
                return false;
        if (a->is_removed)
                return true;
        if (memcmp(a->digest, b->digest, sizeof(a->digest)) != 0 || !sg_str_eq(a->name, b->name) ||
            a->expires_wall_usec != b->expires_wall_usec || a->is_revoked != b->is_revoked ||
            a->all_models != b->all_models || a->n_models != b->n_models || a->group_id != b->group_id ||
            !sg_limit_set_is_same(a->limits, b->limits))
                return false;
        for (size_t i = 0; i < a->n_models; i++)
                if (!sg_str_eq(a->models[i], b->models[i]))
                        return false;
        return true;
}

static bool read_text(struct sg_feed_change *ret, struct sg_str text, char **room)
{
        struct sg_feed_told told;
        bool is_good;

        *room = malloc(text.n ? text.n : 1);
        *ret = (struct sg_feed_change){.key = {.id = 0}};
        SG_ASSERT(*room);
        is_good = sg_feed_told_text(&told, text, *room) && sg_feed_change_read(ret, &told);
        if (!is_good)
                sg_feed_change_done(ret);
        return is_good;
}

static void write_and_read(const struct sg_feed_change *c)
{
        struct sg_feed_change again;
        struct sg_buf b;
        char *room;

        sg_buf_init(&b, 1u << 24);
        SG_ASSERT(sg_feed_change_write(&b, &c->key) == 0);
        SG_ASSERT(read_text(&again, sg_buf_view(&b), &room) && is_same(&c->key, &again.key));
        sg_feed_change_done(&again);
        free(room);
        sg_buf_done(&b);
}

static void look_at_tree(struct sg_str text, const struct sg_feed_change *of_text)
{
        struct sg_feed_change of_tree = {.key = {.id = 0}};
        struct sg_group_change group = {.id = 0};
        struct sg_feed_total total;
        struct json_object *o = NULL;
        struct sg_feed_told told;

        if (sg_varlink_read_object(&o, text, SG_JSON_DEPTH_MAX) == 0) {
                bool is_key = sg_feed_told_tree(&told, o) && sg_feed_change_read(&of_tree, &told);

                SG_ASSERT(!of_text || (is_key && is_same(&of_text->key, &of_tree.key)));
                (void)!(sg_feed_told_tree(&told, o) && sg_feed_group_read(&group, &told));
                (void)!sg_feed_total_read(&total, o);
        }
        sg_feed_change_done(&of_tree);
        sg_feed_group_done(&group);
        json_object_put(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const struct sg_str text = sg_str_make(data, size);
        struct sg_feed_change c;
        char *room;
        bool is_key = read_text(&c, text, &room);

        look_at_tree(text, is_key ? &c : NULL);
        if (is_key) {
                write_and_read(&c);
                sg_feed_change_done(&c);
        }
        free(room);
        return 0;
}
