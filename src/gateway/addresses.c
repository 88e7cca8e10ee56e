#include "gateway/addresses.h"

#include <errno.h>
#include <stdlib.h>

struct sg_addresses {
        _Atomic uint32_t n_refs;
        struct sg_limit_set *set;
        size_t n_addresses;
        struct sg_limit_addresses *table;
};

int sg_addresses_new(struct sg_addresses **ret, const struct sg_config *c, struct sg_addresses *before)
{
        struct sg_addresses *a;

        *ret = NULL;
        if (!c->address_limits)
                return 0;
        if (before && before->n_addresses == c->limited_addresses &&
            sg_limit_set_is_same(before->set, c->address_limits)) {
                atomic_fetch_add_explicit(&before->n_refs, 1, memory_order_relaxed);
                *ret = before;
                return 0;
        }
        a = calloc(1, sizeof(*a));
        if (!a)
                return -ENOMEM;
        atomic_store_explicit(&a->n_refs, 1, memory_order_relaxed);
        a->set = sg_limit_set_ref(c->address_limits);
        a->n_addresses = c->limited_addresses;
        if (sg_limit_addresses_new(&a->table, a->set, a->n_addresses)) {
                sg_addresses_unref(a);
                return -ENOMEM;
        }
        *ret = a;
        return 0;
}

struct sg_addresses *sg_addresses_unref(struct sg_addresses *a)
{
        if (!a || atomic_fetch_sub_explicit(&a->n_refs, 1, memory_order_acq_rel) != 1)
                return NULL;
        sg_limit_addresses_free(a->table);
        sg_limit_set_unref(a->set);
        free(a);
        return NULL;
}

struct sg_limit_addresses *sg_addresses_table(struct sg_addresses *a)
{
        return a->table;
}
