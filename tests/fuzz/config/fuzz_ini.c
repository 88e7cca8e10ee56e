/*
 * A whole configuration file, from bytes to the snapshot. Nothing outside is read: no variables, secrets or users. What
 * is taken must be written as a text that is taken again and says the same.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "config/build.h"

static struct sg_whole *build(struct sg_str bytes)
{
        const struct sg_surroundings around = {0};
        SG_AUTO(sg_whole_free) struct sg_whole *w = sg_whole_new();
        struct sg_error err = {0};
        int r = w ? sg_raw_add_bytes(&w->raw, bytes, "fuzz.conf", &err) : -1;

        if (!r)
                r = sg_whole_build(w, &around, &err);
        SG_ASSERT(r <= 0);
        SG_ASSERT(sg_str_is_utf8(sg_str_from(err.text)));
        SG_ASSERT(!r || err.text[0]);
        return r ? NULL : SG_GIVE(w);
}

static struct sg_str text_of(const struct sg_whole *w, struct sg_buf *b)
{
        sg_buf_init(b, 64u << 20);
        SG_ASSERT(sg_config_add_text(&w->config, b) == 0);
        return sg_buf_view(b);
}

/* The same but for the comments, which tell places. */
static bool says_the_same(struct sg_str a, struct sg_str b)
{
        while (a.n || b.n) {
                struct sg_str x, y;

                (void)sg_str_cut(&a, '\n', &x);
                (void)sg_str_cut(&b, '\n', &y);
                if (!sg_str_eq(sg_str_head(x, sg_str_find(x, SG_STR("  # "))),
                               sg_str_head(y, sg_str_find(y, SG_STR("  # ")))))
                        return false;
        }
        return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        SG_AUTO(sg_whole_free) struct sg_whole *first = build(sg_str_make(data, size)), *second = NULL;
        struct sg_buf a, b;

        if (!first)
                return 0;
        second = build(text_of(first, &a));
        SG_ASSERT(second && says_the_same(sg_buf_view(&a), text_of(second, &b)));
        SG_ASSERT(!sg_config_needs_restart(&first->config, &second->config));
        for (size_t i = 0; i < first->config.n_models; i++)
                SG_ASSERT(sg_config_find_model(&first->config, sg_str_from(first->config.models[i].name)));
        sg_buf_done(&a);
        sg_buf_done(&b);
        return 0;
}
