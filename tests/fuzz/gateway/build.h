/* build.h - a configuration from its text, as the daemon would have it; NULL: it would be refused */
#pragma once

#include "config/build.h"

static inline struct sg_whole *build(struct sg_str text)
{
        const struct sg_surroundings around = {0};
        struct sg_whole *w = sg_whole_new();
        struct sg_error err = {0};

        SG_ASSERT(w);
        if (sg_raw_add_bytes(&w->raw, text, "fuzz.conf", &err) || sg_whole_build(w, &around, &err))
                return sg_whole_free(w);
        return w;
}

/* One that must be right. It lives as long as the program. */
static inline const struct sg_config *build_fixed(const char *text)
{
        struct sg_whole *w = build(sg_str_from(text));

        SG_ASSERT(w);
        return &w->config;
}
