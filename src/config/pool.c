#include "config/pool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct sg_pool_piece {
        struct sg_pool_piece *next;
        max_align_t bytes[];
};

void sg_pool_init(struct sg_pool *p)
{
        p->first = NULL;
}

void sg_pool_done(struct sg_pool *p)
{
        while (p->first) {
                struct sg_pool_piece *piece = p->first;

                p->first = piece->next;
                free(piece);
        }
}

void *sg_pool_alloc(struct sg_pool *p, size_t n)
{
        struct sg_pool_piece *piece;

        if (n > SIZE_MAX - sizeof(*piece))
                return NULL;
        piece = calloc(1, sizeof(*piece) + n);
        if (!piece)
                return NULL;
        piece->next = p->first;
        p->first = piece;
        return piece->bytes;
}

void *sg_pool_array(struct sg_pool *p, size_t n, size_t item_bytes)
{
        if (item_bytes && n > SIZE_MAX / item_bytes)
                return NULL;
        return sg_pool_alloc(p, n * item_bytes);
}

char *sg_pool_dup(struct sg_pool *p, struct sg_str s)
{
        char *copy = sg_pool_alloc(p, s.n + 1);

        if (copy && s.n)
                memcpy(copy, s.p, s.n);
        return copy;
}

char *sg_pool_printf(struct sg_pool *p, const char *format, ...)
{
        va_list args;
        char *text;
        int n;

        va_start(args, format);
        n = vsnprintf(NULL, 0, format, args);
        va_end(args);
        if (n < 0)
                return NULL;
        text = sg_pool_alloc(p, (size_t)n + 1);
        if (!text)
                return NULL;
        va_start(args, format);
        vsnprintf(text, (size_t)n + 1, format, args);
        va_end(args);
        return text;
}
