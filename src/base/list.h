/*
 * base/list.h - a doubly linked list whose links live inside the things
 *
 * Owner    the list owns nothing; a link is on one list or on none
 * Errors   none; adding a link that is on a list, or a bad state, asserts
 */
#pragma once

#include <stdbool.h>

#include "base/macro.h"

struct sg_link {
        struct sg_link *next, *prev; /* both NULL when on no list */
};

struct sg_list {
        struct sg_link ends; /* next: first, prev: last */
        size_t n;
};

static inline void sg_list_init(struct sg_list *l)
{
        l->ends.next = l->ends.prev = &l->ends;
        l->n = 0;
}

static inline bool sg_list_is_empty(const struct sg_list *l)
{
        return l->n == 0;
}

static inline bool sg_link_is_on_list(const struct sg_link *k)
{
        return k->next != NULL;
}

static inline void sg_list_insert_after_(struct sg_list *l, struct sg_link *at, struct sg_link *k)
{
        SG_ASSERT(!k->next && !k->prev);
        k->prev = at;
        k->next = at->next;
        at->next->prev = k;
        at->next = k;
        l->n++;
}

static inline void sg_list_push(struct sg_list *l, struct sg_link *k) /* at the end */
{
        sg_list_insert_after_(l, l->ends.prev, k);
}

static inline void sg_list_push_first(struct sg_list *l, struct sg_link *k)
{
        sg_list_insert_after_(l, &l->ends, k);
}

static inline void sg_list_remove(struct sg_list *l, struct sg_link *k)
{
        SG_ASSERT(k->next && k->prev && l->n > 0);
        k->prev->next = k->next;
        k->next->prev = k->prev;
        k->next = k->prev = NULL;
        l->n--;
}

static inline struct sg_link *sg_list_first(const struct sg_list *l)
{
        return l->n ? l->ends.next : NULL;
}

static inline struct sg_link *sg_list_last(const struct sg_list *l)
{
        return l->n ? l->ends.prev : NULL;
}

static inline struct sg_link *sg_list_pop(struct sg_list *l) /* the first, or NULL */
{
        struct sg_link *k = sg_list_first(l);

        if (k)
                sg_list_remove(l, k);
        return k;
}

/* The current link may be removed inside the loop. */
#define SG_LIST_EACH(l, k)                                                                                             \
        for (struct sg_link *k = (l)->ends.next, *k##_next_ = k->next; k != &(l)->ends;                                \
             k = k##_next_, k##_next_ = k->next)
