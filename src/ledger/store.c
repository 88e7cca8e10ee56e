#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/message_id.h"
#include "ledger/driver.h"

static const struct sg_store_driver *const drivers[] = {&sg_sqlite_driver, &sg_pg_driver};

static const struct sg_store_driver *find_driver(const char *url, const char **ret_where, struct sg_error *err)
{
        struct sg_str rest = sg_str_from(url), scheme;

        if (sg_str_cut(&rest, ':', &scheme))
                for (size_t i = 0; i < SG_N_ELEMENTS(drivers); i++)
                        if ((sg_str_eq(scheme, sg_str_from(drivers[i]->scheme)) ||
                             sg_str_eq(scheme, sg_str_from(drivers[i]->other_scheme))) &&
                            rest.n > 0) {
                                *ret_where = rest.p;
                                return drivers[i];
                        }
        (void)sg_error_set(
                err, -EINVAL, "",
                "\"%s\" is no database: give sqlite: and a path, as in sqlite:/var/lib/…/ledger.db, or a server, as in "
                "postgresql://scribe_ledger@db.example/scribe",
                url);
        return NULL;
}

/* What an error at the start means to whoever runs the service; the drivers agree on the codes. */
static int mark(int r, struct sg_error *err)
{
        if (r >= 0)
                return r;
        if (r == -ENOTSUP)
                sg_error_needs_mending(err, SG_MESSAGE_DATABASE_NEWER);
        else if (r == -EMEDIUMTYPE || r == -EUCLEAN)
                sg_error_needs_mending(err, SG_MESSAGE_DATABASE_DAMAGED);
        else
                sg_error_about_files(err);
        return r;
}

static bool copy_text(const char **ret, const char *text)
{
        *ret = text ? sg_str_dup(sg_str_from(text)) : NULL;
        return !text || *ret;
}

int sg_store_options_copy(struct sg_store_options *to, const struct sg_store_options *from)
{
        struct sg_store_options o = {.password = from->password ? sg_secret_ref(from->password) : NULL};

        if (copy_text(&o.url, from->url) && copy_text(&o.ca_file, from->ca_file) &&
            copy_text(&o.tls_certificate_file, from->tls_certificate_file) &&
            copy_text(&o.tls_key_file, from->tls_key_file) && copy_text(&o.node, from->node)) {
                *to = o;
                return 0;
        }
        sg_store_options_done(&o);
        return -ENOMEM;
}

void sg_store_options_done(struct sg_store_options *o)
{
        sg_secret_unref(o->password);
        free((void *)o->url);
        free((void *)o->ca_file);
        free((void *)o->tls_certificate_file);
        free((void *)o->tls_key_file);
        free((void *)o->node);
        *o = (struct sg_store_options){0};
}

bool sg_store_is_shared(const struct sg_store_options *options)
{
        const char *where = NULL;
        const struct sg_store_driver *driver = find_driver(options->url, &where, NULL);

        return driver && driver->is_shared;
}

bool sg_store_is_lost(int r)
{
        switch (r) {
        case -EAGAIN:
        case -EBUSY:
        case -ETIME:
        case -ENOMEM:
        case -ENOSPC:
        case -EDQUOT:
        case -EROFS:
                return false;
        default:
                return r < 0;
        }
}

static int open_by(struct sg_store **ret, const struct sg_store_options *options, bool is_reader, struct sg_error *err)
{
        SG_AUTO(sg_store_free) struct sg_store *s = NULL;
        const struct sg_store_driver *driver;
        const char *where = NULL;
        int r;

        driver = find_driver(options->url, &where, err);
        if (!driver) {
                sg_error_needs_mending(err, SG_MESSAGE_CONFIGURATION);
                return -EINVAL;
        }
        r = is_reader ? driver->open_reader(&s, options, where, err) : driver->open(&s, options, where, err);
        if (r)
                return mark(r, err);
        if (!s->options.url && sg_store_options_copy(&s->options, options) != 0)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        *ret = SG_GIVE(s);
        return 0;
}

int sg_store_open(struct sg_store **ret, const struct sg_store_options *options, struct sg_error *err)
{
        return open_by(ret, options, false, err);
}

int sg_store_open_reader(struct sg_store **ret, const struct sg_store_options *options, struct sg_error *err)
{
        return open_by(ret, options, true, err);
}

void sg_store_set_limit(struct sg_store *s, struct sg_store_limit *limit)
{
        s->driver->set_limit(s, limit);
}

int sg_store_check(const struct sg_store_options *options, struct sg_error *err)
{
        const char *where = NULL;
        const struct sg_store_driver *driver = find_driver(options->url, &where, err);

        if (!driver) {
                sg_error_needs_mending(err, SG_MESSAGE_CONFIGURATION);
                return -EINVAL;
        }
        return mark(driver->check(options, where, err), err);
}

/* ---- backups */

int sg_store_dump(const struct sg_store_options *options, const char *path, struct sg_store_counts *ret,
                  struct sg_error *err)
{
        const char *where = NULL;
        const struct sg_store_driver *driver = find_driver(options->url, &where, err);

        return driver ? driver->dump(options, where, path, ret, err) : -EINVAL;
}

const char *sg_store_dump_name(const struct sg_store_options *options)
{
        const char *where = NULL;
        const struct sg_store_driver *driver = find_driver(options->url, &where, NULL);

        return driver ? driver->dump_name : "";
}

int sg_store_load_path(const struct sg_store_options *options, const char *directory, char *out, size_t out_bytes,
                       struct sg_error *err)
{
        const char *where = NULL;
        const struct sg_store_driver *driver = find_driver(options->url, &where, err);
        int n;

        if (!driver)
                return -EINVAL;
        n = driver->is_file ? snprintf(out, out_bytes, "%s.restoring", where)
                            : snprintf(out, out_bytes, "%s/ledger.restoring", directory);
        if (n < 0 || (size_t)n >= out_bytes)
                return sg_error_set(err, -ENAMETOOLONG, where, "the path is too long");
        return 0;
}

int sg_store_load(const struct sg_store_options *options, const char *path, struct sg_error *err)
{
        const char *where = NULL;
        const struct sg_store_driver *driver = find_driver(options->url, &where, err);

        return driver ? driver->load(options, where, path, err) : -EINVAL;
}

struct sg_store *sg_store_free(struct sg_store *s)
{
        if (s) {
                sg_store_options_done(&s->options);
                s->driver->free(s);
        }
        return NULL;
}

const char *sg_store_url(const struct sg_store *s)
{
        return s->options.url;
}

const struct sg_store_options *sg_store_get_options(const struct sg_store *s)
{
        return &s->options;
}

int sg_store_begin(struct sg_store *s, struct sg_error *err)
{
        return s->driver->begin(s, err);
}

int sg_store_begin_change(struct sg_store *s, struct sg_error *err)
{
        return s->driver->begin_change ? s->driver->begin_change(s, err) : s->driver->begin(s, err);
}

int sg_store_commit(struct sg_store *s, struct sg_error *err)
{
        return s->driver->commit(s, err);
}

void sg_store_rollback(struct sg_store *s)
{
        s->driver->rollback(s);
}

int sg_store_ring_get(struct sg_store *s, const char *id, struct sg_store_ring *ret, struct sg_error *err)
{
        return s->driver->ring_get(s, id, ret, err);
}

int sg_store_ring_put(struct sg_store *s, const struct sg_store_ring *ring, struct sg_error *err)
{
        return s->driver->ring_put(s, ring, err);
}

int sg_store_ring_drop(struct sg_store *s, const char *id, struct sg_error *err)
{
        return s->driver->ring_drop(s, id, err);
}

int sg_store_ring_list(struct sg_store *s, void (*each)(const struct sg_store_ring *ring, void *owner), void *owner,
                       struct sg_error *err)
{
        return s->driver->ring_list(s, each, owner, err);
}

int sg_store_open_add(struct sg_store *s, const char *ring, const struct sg_record *rec, struct sg_error *err)
{
        return s->driver->open_add(s, ring, rec, err);
}

int sg_store_open_drop(struct sg_store *s, const char *ring, uint64_t exchange, struct sg_error *err)
{
        return s->driver->open_drop(s, ring, exchange, err);
}

int sg_store_open_next(struct sg_store *s, const char *ring, uint64_t after_exchange, struct sg_record *ret,
                       struct sg_error *err)
{
        return s->driver->open_next(s, ring, after_exchange, ret, err);
}

int sg_store_usage_add(struct sg_store *s, const char *ring, const struct sg_record *rec, struct sg_error *err)
{
        return s->driver->usage_add(s, ring, rec, err);
}

int sg_store_usage_sums(struct sg_store *s, enum sg_store_by by, const struct sg_store_usage_filter *filter,
                        void (*each)(const struct sg_store_usage_sum *sum, void *owner), void *owner,
                        struct sg_error *err)
{
        return s->driver->usage_sums(s, by, filter, each, owner, err);
}

int sg_store_usage_bills(struct sg_store *s, enum sg_store_by by, const struct sg_store_usage_filter *filter,
                         void (*each)(const struct sg_store_usage_bill *bill, void *owner), void *owner,
                         struct sg_error *err)
{
        return s->driver->usage_bills(s, by, filter, each, owner, err);
}

int sg_store_usage_events(struct sg_store *s, const struct sg_store_usage_filter *filter,
                          void (*each)(const struct sg_store_usage_event *event, void *owner), void *owner,
                          struct sg_error *err)
{
        return s->driver->usage_events(s, filter, each, owner, err);
}

int sg_store_key_add(struct sg_store *s, const struct sg_store_key *key, uint64_t *ret_id, struct sg_error *err)
{
        return s->driver->key_add(s, key, ret_id, err);
}

int sg_store_key_find(struct sg_store *s, struct sg_str name, uint64_t *ret_id, bool *ret_is_revoked,
                      struct sg_error *err)
{
        return s->driver->key_find(s, name, ret_id, ret_is_revoked, err);
}

int sg_store_key_revoke(struct sg_store *s, uint64_t id, uint64_t wall_usec, struct sg_error *err)
{
        return s->driver->key_revoke(s, id, wall_usec, err);
}

int sg_store_key_rotate(struct sg_store *s, uint64_t id, const struct sg_store_key *key, struct sg_error *err)
{
        return s->driver->key_rotate(s, id, key, err);
}

int sg_store_key_change(struct sg_store *s, uint64_t id, const struct sg_store_key *key, struct sg_error *err)
{
        return s->driver->key_change(s, id, key, err);
}

int sg_store_key_select(struct sg_store *s, const struct sg_store_key_filter *filter,
                        void (*each)(const struct sg_store_key *key, void *owner), void *owner, struct sg_error *err)
{
        return s->driver->key_select(s, filter, each, owner, err);
}

int sg_store_changes(struct sg_store *s, uint64_t after_version,
                     void (*key)(const struct sg_store_key *key, void *owner),
                     void (*group)(const struct sg_store_group *group, void *owner), void *owner, uint64_t *ret_version,
                     struct sg_error *err)
{
        return s->driver->changes(s, after_version, key, group, owner, ret_version, err);
}

int sg_store_group_add(struct sg_store *s, const struct sg_store_group *group, uint64_t *ret_id, struct sg_error *err)
{
        return s->driver->group_add(s, group, ret_id, err);
}

int sg_store_group_change(struct sg_store *s, uint64_t id, const struct sg_store_group *group, struct sg_error *err)
{
        return s->driver->group_change(s, id, group, err);
}

int sg_store_group_remove(struct sg_store *s, uint64_t id, uint64_t wall_usec, struct sg_error *err)
{
        return s->driver->group_remove(s, id, wall_usec, err);
}

int sg_store_group_find(struct sg_store *s, struct sg_str name, uint64_t *ret_id, struct sg_error *err)
{
        return s->driver->group_find(s, name, ret_id, err);
}

int sg_store_group_list(struct sg_store *s, bool with_keys,
                        void (*each)(const struct sg_store_group *group, void *owner), void *owner,
                        struct sg_error *err)
{
        return s->driver->group_list(s, with_keys, each, owner, err);
}

int sg_store_audit_add(struct sg_store *s, const struct sg_store_audit *entry, struct sg_error *err)
{
        return s->driver->audit_add(s, entry, err);
}

int sg_store_audit_list(struct sg_store *s, uint64_t from_wall_usec, uint64_t to_wall_usec, struct sg_str subject,
                        uint64_t limit, void (*each)(const struct sg_store_audit *entry, void *owner), void *owner,
                        struct sg_error *err)
{
        return s->driver->audit_list(s, from_wall_usec, to_wall_usec, subject, limit, each, owner, err);
}

int sg_store_totals(struct sg_store *s, const struct sg_store_total_filter *filter,
                    void (*each)(const struct sg_store_usage_bill *bill, void *owner), void *owner,
                    struct sg_error *err)
{
        return s->driver->totals(s, filter, each, owner, err);
}

int sg_store_used_keys(struct sg_store *s, uint64_t after_event, uint64_t from_wall_usec,
                       void (*each)(uint64_t key_id, void *owner), void *owner, uint64_t *ret_event,
                       struct sg_error *err)
{
        return s->driver->used_keys(s, after_event, from_wall_usec, each, owner, ret_event, err);
}

int sg_store_usage_prune(struct sg_store *s, uint64_t before_wall_usec, uint64_t limit, uint64_t *ret_n,
                         struct sg_error *err)
{
        return s->driver->usage_prune(s, before_wall_usec, limit, ret_n, err);
}

int sg_store_count(struct sg_store *s, uint64_t now_wall_usec, struct sg_store_counts *ret, struct sg_error *err)
{
        return s->driver->count(s, now_wall_usec, ret, err);
}
