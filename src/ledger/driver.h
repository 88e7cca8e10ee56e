/*
 * ledger/driver.h - what a database must be able to do; private to this room
 *
 * Shape    one table of functions per kind of database; store.c hands on to it. A driver's store begins with sg_store.
 *          The same tests run against each (tests/unit/ledger/test_store*.c)
 */
#pragma once

#include "ledger/store.h"

struct sg_store_driver {
        const char *scheme, *other_scheme; /* "sqlite"; NULL: no other */
        bool is_shared;                    /* several ledgers may have one database */
        /* -ENOTSUP: of a newer version; -EUCLEAN: damaged; -EMEDIUMTYPE: none of ours; else what the system said */
        /* where: what stands behind the scheme in options->url */
        int (*open)(struct sg_store **ret, const struct sg_store_options *options, const char *where,
                    struct sg_error *err);
        int (*open_reader)(struct sg_store **ret, const struct sg_store_options *options, const char *where,
                           struct sg_error *err);
        int (*check)(const struct sg_store_options *options, const char *where, struct sg_error *err);
        void (*free)(struct sg_store *s);

        const char *dump_name; /* "ledger.db": how what dump() writes is called in a backup */
        bool is_file;          /* where: a file, into whose place another is put */
        int (*dump)(const struct sg_store_options *options, const char *where, const char *path,
                    struct sg_store_counts *ret, struct sg_error *err);
        int (*load)(const struct sg_store_options *options, const char *where, const char *from, struct sg_error *err);

        void (*set_limit)(struct sg_store *s, struct sg_store_limit *limit);
        int (*begin)(struct sg_store *s, struct sg_error *err);
        int (*begin_change)(struct sg_store *s, struct sg_error *err); /* NULL: begin() lets nobody else write */
        int (*commit)(struct sg_store *s, struct sg_error *err);
        void (*rollback)(struct sg_store *s);

        int (*ring_get)(struct sg_store *s, const char *id, struct sg_store_ring *ret, struct sg_error *err);
        int (*ring_put)(struct sg_store *s, const struct sg_store_ring *ring, struct sg_error *err);
        int (*ring_drop)(struct sg_store *s, const char *id, struct sg_error *err);
        int (*ring_list)(struct sg_store *s, void (*each)(const struct sg_store_ring *ring, void *owner), void *owner,
                         struct sg_error *err);

        int (*open_add)(struct sg_store *s, const char *ring, const struct sg_record *rec, struct sg_error *err);
        int (*open_drop)(struct sg_store *s, const char *ring, uint64_t exchange, struct sg_error *err);
        int (*open_next)(struct sg_store *s, const char *ring, uint64_t after, struct sg_record *ret,
                         struct sg_error *err);

        int (*usage_add)(struct sg_store *s, const char *ring, const struct sg_record *rec, struct sg_error *err);
        int (*usage_sums)(struct sg_store *s, enum sg_store_by by, const struct sg_store_usage_filter *filter,
                          void (*each)(const struct sg_store_usage_sum *sum, void *owner), void *owner,
                          struct sg_error *err);
        int (*usage_bills)(struct sg_store *s, enum sg_store_by by, const struct sg_store_usage_filter *filter,
                           void (*each)(const struct sg_store_usage_bill *bill, void *owner), void *owner,
                           struct sg_error *err);
        int (*usage_events)(struct sg_store *s, const struct sg_store_usage_filter *filter,
                            void (*each)(const struct sg_store_usage_event *event, void *owner), void *owner,
                            struct sg_error *err);

        int (*key_add)(struct sg_store *s, const struct sg_store_key *key, uint64_t *ret_id, struct sg_error *err);
        int (*key_find)(struct sg_store *s, struct sg_str name, uint64_t *ret_id, bool *ret_is_revoked,
                        struct sg_error *err);
        int (*key_revoke)(struct sg_store *s, uint64_t id, uint64_t wall_usec, struct sg_error *err);
        int (*key_rotate)(struct sg_store *s, uint64_t id, const struct sg_store_key *key, struct sg_error *err);
        int (*key_change)(struct sg_store *s, uint64_t id, const struct sg_store_key *key, struct sg_error *err);
        int (*key_select)(struct sg_store *s, const struct sg_store_key_filter *filter,
                          void (*each)(const struct sg_store_key *key, void *owner), void *owner, struct sg_error *err);
        int (*changes)(struct sg_store *s, uint64_t after_version,
                       void (*key)(const struct sg_store_key *key, void *owner),
                       void (*group)(const struct sg_store_group *group, void *owner), void *owner,
                       uint64_t *ret_version, struct sg_error *err);

        int (*group_add)(struct sg_store *s, const struct sg_store_group *group, uint64_t *ret_id,
                         struct sg_error *err);
        int (*group_change)(struct sg_store *s, uint64_t id, const struct sg_store_group *group, struct sg_error *err);
        int (*group_remove)(struct sg_store *s, uint64_t id, uint64_t wall_usec, struct sg_error *err);
        int (*group_find)(struct sg_store *s, struct sg_str name, uint64_t *ret_id, struct sg_error *err);
        int (*group_list)(struct sg_store *s, bool with_keys,
                          void (*each)(const struct sg_store_group *group, void *owner), void *owner,
                          struct sg_error *err);

        int (*audit_add)(struct sg_store *s, const struct sg_store_audit *entry, struct sg_error *err);
        int (*audit_list)(struct sg_store *s, uint64_t from_wall_usec, uint64_t to_wall_usec, struct sg_str subject,
                          uint64_t limit, void (*each)(const struct sg_store_audit *entry, void *owner), void *owner,
                          struct sg_error *err);

        int (*totals)(struct sg_store *s, const struct sg_store_total_filter *filter,
                      void (*each)(const struct sg_store_usage_bill *bill, void *owner), void *owner,
                      struct sg_error *err);
        int (*used_keys)(struct sg_store *s, uint64_t after_event, uint64_t from_wall_usec,
                         void (*each)(uint64_t key_id, void *owner), void *owner, uint64_t *ret_event,
                         struct sg_error *err);
        int (*usage_prune)(struct sg_store *s, uint64_t before_wall_usec, uint64_t limit, uint64_t *ret_n,
                           struct sg_error *err);
        int (*count)(struct sg_store *s, uint64_t now_wall_usec, struct sg_store_counts *ret, struct sg_error *err);
};

/* Of a pattern of names: cuts off its last * and answers true; also for an empty one, which any name matches. */
static inline bool sg_store_cut_pattern(struct sg_str *pattern)
{
        if (pattern->n > 0 && pattern->p[pattern->n - 1] != '*')
                return false;
        pattern->n -= pattern->n > 0;
        return true;
}

struct sg_store {
        const struct sg_store_driver *driver;
        struct sg_store_options options; /* copies; a driver that needs them earlier makes them itself */
};

extern const struct sg_store_driver sg_sqlite_driver, sg_pg_driver;
