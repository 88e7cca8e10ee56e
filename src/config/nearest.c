#include <stdio.h>

#include "config/settings.h"

/* One slip in a short word, three in a long one: more is another word. */
static size_t distance_max(size_t n)
{
        return n < 4 ? 1 : n < 8 ? 2 : 3;
}

void sg_nearest_init(struct sg_nearest *n, struct sg_str word)
{
        *n = (struct sg_nearest){.word = word, .distance = SIZE_MAX};
}

void sg_nearest_try(struct sg_nearest *n, struct sg_str candidate)
{
        size_t max = distance_max(n->word.n);
        size_t distance = sg_str_ieq(n->word, candidate) ? 0 : sg_str_distance(n->word, candidate, max);

        if (distance <= max && distance < n->distance) {
                n->distance = distance;
                n->best = candidate;
        }
}

const char *sg_nearest_text(const struct sg_nearest *n, char *out, size_t out_bytes)
{
        out[0] = '\0';
        if (n->distance != SIZE_MAX)
                snprintf(out, out_bytes, "; did you mean '" SG_STR_FMT "'?", SG_STR_ARG(n->best));
        return out;
}
