/*
 * ledger/store.h - the database: keys, usage, and how far each ring has been drained
 *
 * Shape    one store per database; behind it a driver (SQLite). What the program knows is above this line, SQL below it
 * Units    _wall_usec since 1970 UTC, 0 for never; tokens; bytes
 * Owner    strings passed in are copied into the database; those passed to `each` are lent until it returns
 * Thread   one
 * Errors   0; SG_STORE_E_*; a negative errno with *err saying what to do (err may be NULL)
 * Limits   counts above SG_STORE_COUNT_MAX are stored as that, so that their sums stay below 2^63
 */
#pragma once

#include <stdatomic.h>

#include "auth/apikey.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/secret.h"
#include "config/prices.h"
#include "journal/ring.h"

#define SG_STORE_COUNT_MAX    UINT64_C(1000000000000)
#define SG_KEY_NAME_CHARS_MAX 64u
#define SG_KEY_PREFIX_CHARS   7u
#define SG_SCHEMA_VERSION     3

enum sg_store_error {
        SG_STORE_E_NONE = 1, /* there is no such row */
        SG_STORE_E_EXISTS,   /* the name is taken */
};

struct sg_store;

/* Where the database is, and what it asks of who comes. All but the url are for a server, and may be NULL. */
struct sg_store_options {
        const char *url;                                 /* "sqlite:/path" */
        struct sg_secret *password;                      /* the store takes a reference of its own */
        const char *ca_file;                             /* PEM: who the server must be vouched for by */
        const char *tls_certificate_file, *tls_key_file; /* PEM: shown to the server */
        const char *node; /* whose rings are drained into it, where several nodes share a database (ledger/node.h) */
};

/* -ENOMEM */
int sg_store_options_copy(struct sg_store_options *to, const struct sg_store_options *from) SG_MUST_CHECK;
void sg_store_options_done(struct sg_store_options *o);

/* Creates, migrates and locks it against other processes; this one may open it several times, each for one thread. What is
 * in the options is copied. */
int sg_store_open(struct sg_store **ret, const struct sg_store_options *options, struct sg_error *err) SG_MUST_CHECK;
/* A further view of a database that is open, for one other thread: questions only. */
int sg_store_open_reader(struct sg_store **ret, const struct sg_store_options *options, struct sg_error *err)
        SG_MUST_CHECK;
/* Only looks: can it be opened, is its schema known? A missing database is fine when it can be made. */
int sg_store_check(const struct sg_store_options *options, struct sg_error *err) SG_MUST_CHECK;
/* May other machines' ledgers have the same database? */
bool sg_store_is_shared(const struct sg_store_options *options);
struct sg_store *sg_store_free(struct sg_store *s);
SG_DEFINE_AUTO(struct sg_store *, sg_store_free)
const char *sg_store_url(const struct sg_store *s);
/* After this error of any function the store is of no more use: it is freed, and another is opened. After others (the disk
 * is full, it is somebody else's turn) the same one may succeed later. */
bool sg_store_is_lost(int r);
/* Lent as long as the store lives: for another store of the same database. */
const struct sg_store_options *sg_store_get_options(const struct sg_store *s);

/* When to break off a question: the answer is then -ETIME. Borrowed until it is replaced; NULL: never. */
struct sg_store_limit {
        _Atomic bool is_cancelled; /* set by any thread */
        uint64_t until_usec;       /* monotonic */
};
void sg_store_set_limit(struct sg_store *s, struct sg_store_limit *limit);

/* ---- transactions: one at a time; what is called outside is one by itself */

/* A reader's is for several questions about the same state, and ends with sg_store_rollback(). */
int sg_store_begin(struct sg_store *s, struct sg_error *err) SG_MUST_CHECK;
/* For changes of keys and groups: nobody else's come in between, of other ledgers neither, and what is read is what
 * stands. */
int sg_store_begin_change(struct sg_store *s, struct sg_error *err) SG_MUST_CHECK;
/* Durable when it returns 0. Otherwise nothing was changed and the transaction is over. */
int sg_store_commit(struct sg_store *s, struct sg_error *err) SG_MUST_CHECK;
void sg_store_rollback(struct sg_store *s);

/* ---- rings */

struct sg_store_ring {
        char id[SG_RING_ID_CHARS + 1];
        uint64_t sequence, offset; /* the database holds all up to here */
        uint64_t n_lost;           /* records that damage took */
        bool is_finished;          /* read to its end, and its exchanges are settled */
};

int sg_store_ring_get(struct sg_store *s, const char *id, struct sg_store_ring *ret, struct sg_error *err)
        SG_MUST_CHECK;
int sg_store_ring_put(struct sg_store *s, const struct sg_store_ring *ring, struct sg_error *err) SG_MUST_CHECK;
int sg_store_ring_drop(struct sg_store *s, const char *id, struct sg_error *err) SG_MUST_CHECK;
/* each may not call the store. */
int sg_store_ring_list(struct sg_store *s, void (*each)(const struct sg_store_ring *ring, void *owner), void *owner,
                       struct sg_error *err) SG_MUST_CHECK;

/* ---- exchanges that are open: kept here while their ring moves on */

int sg_store_open_add(struct sg_store *s, const char *ring, const struct sg_record *rec, struct sg_error *err)
        SG_MUST_CHECK;
int sg_store_open_drop(struct sg_store *s, const char *ring, uint64_t exchange, struct sg_error *err) SG_MUST_CHECK;
/* The next after that exchange number. Views in *ret are lent until the next call. SG_STORE_E_NONE at the end. */
int sg_store_open_next(struct sg_store *s, const char *ring, uint64_t after_exchange, struct sg_record *ret,
                       struct sg_error *err) SG_MUST_CHECK;

/* ---- usage */

int sg_store_usage_add(struct sg_store *s, const char *ring, const struct sg_record *rec, struct sg_error *err)
        SG_MUST_CHECK;

enum sg_store_by {
        SG_STORE_BY_NONE,
        SG_STORE_BY_KEY,
        SG_STORE_BY_MODEL,
        SG_STORE_BY_PROVIDER,
        SG_STORE_BY_DAY,
        SG_STORE_BY_N,
};

struct sg_store_usage_filter {
        uint64_t from_wall_usec, to_wall_usec; /* to is not included; UINT64_MAX: no end */
        struct sg_str key, model, provider;    /* empty: any */
        uint64_t limit;
};

struct sg_store_usage_sum {
        struct sg_str group;
        uint64_t n_requests, n_by_outcome[SG_OUTCOME_N], n_by_certainty[SG_RECORD_CERTAINTY_N];
        uint64_t input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens;
        uint64_t cache_write_1h_tokens; /* of cache_write */
        uint64_t audio_input_tokens, audio_output_tokens, image_tokens;
        uint64_t duration_usec;
        uint64_t first_wall_usec, last_wall_usec;
};

struct sg_store_usage_event {
        uint64_t id;
        struct sg_str ring, day, outcome, certainty;
        struct sg_record rec; /* outcome and certainty only as text above */
};

/* What of a group was used of one model on one day (UTC): what one price holds for. */
struct sg_store_usage_bill {
        struct sg_str group, provider, model; /* model: what the provider was asked for */
        uint64_t day;                         /* since 1970 */
        uint64_t n_counted;                   /* requests with tokens */
        struct sg_tokens tokens;              /* n_requests: all but those that failed without tokens */
};

/* Days in order of time; other groups by requests, most first. each may not call the store. Whole hours of the time asked
 * for come from the hourly sums, the rest from the events, to the same answer. */
int sg_store_usage_sums(struct sg_store *s, enum sg_store_by by, const struct sg_store_usage_filter *filter,
                        void (*each)(const struct sg_store_usage_sum *sum, void *owner), void *owner,
                        struct sg_error *err) SG_MUST_CHECK;
/* In the order of groups, then of days. limit is for them. */
int sg_store_usage_bills(struct sg_store *s, enum sg_store_by by, const struct sg_store_usage_filter *filter,
                         void (*each)(const struct sg_store_usage_bill *bill, void *owner), void *owner,
                         struct sg_error *err) SG_MUST_CHECK;
/* Newest first. */
int sg_store_usage_events(struct sg_store *s, const struct sg_store_usage_filter *filter,
                          void (*each)(const struct sg_store_usage_event *event, void *owner), void *owner,
                          struct sg_error *err) SG_MUST_CHECK;

struct sg_store_group {
        uint64_t id, parent_id; /* parent_id 0: none */
        struct sg_str name;
        struct sg_str limits; /* as of keys */
        uint64_t created_wall_usec, removed_wall_usec;
        uint64_t version;
        uint64_t n_keys; /* in it, not below, without revoked ones; when sg_store_group_list() was asked for it */
};

/* ---- keys: each change raises the version. Outside of a transaction it is one by itself; in one, a change that answers
 * SG_STORE_E_* has changed nothing, and the transaction can go on */

struct sg_store_key {
        uint64_t id;
        struct sg_str name;
        uint8_t digest[SG_APIKEY_DIGEST_BYTES];
        char prefix[SG_KEY_PREFIX_CHARS + 1]; /* shown to people */
        struct sg_str models;                 /* JSON array of patterns; empty: all */
        uint64_t created_wall_usec, expires_wall_usec, revoked_wall_usec, rotated_wall_usec;
        uint64_t version;     /* of the change that it has from */
        uint64_t group_id;    /* 0: none */
        struct sg_str group;  /* its name; empty: none. Ignored by changes */
        struct sg_str limits; /* JSON array of canonical texts (config/limit.h); empty: none */
};

/* id and version of *key are ignored. SG_STORE_E_EXISTS. */
int sg_store_key_add(struct sg_store *s, const struct sg_store_key *key, uint64_t *ret_id, struct sg_error *err)
        SG_MUST_CHECK;
/* The key of that name that is not revoked, else the one revoked last. SG_STORE_E_NONE. */
int sg_store_key_find(struct sg_store *s, struct sg_str name, uint64_t *ret_id, bool *ret_is_revoked,
                      struct sg_error *err) SG_MUST_CHECK;
int sg_store_key_revoke(struct sg_store *s, uint64_t id, uint64_t wall_usec, struct sg_error *err) SG_MUST_CHECK;
int sg_store_key_rotate(struct sg_store *s, uint64_t id, const struct sg_store_key *key, struct sg_error *err)
        SG_MUST_CHECK; /* digest, prefix, rotated_wall_usec of *key */
/* models, expires_wall_usec, group_id and limits of *key take the place of what stood there. SG_STORE_E_NONE: there is no
 * such key, or it is revoked. */
int sg_store_key_change(struct sg_store *s, uint64_t id, const struct sg_store_key *key, struct sg_error *err)
        SG_MUST_CHECK;
/* What changed after that version, revoked keys and removed groups too, groups first: for a ledger that shares its
 * database with others. */
int sg_store_changes(struct sg_store *s, uint64_t after_version,
                     void (*key)(const struct sg_store_key *key, void *owner),
                     void (*group)(const struct sg_store_group *group, void *owner), void *owner, uint64_t *ret_version,
                     struct sg_error *err) SG_MUST_CHECK;

struct sg_store_key_filter {
        struct sg_str name; /* a pattern: a last * matches the rest; empty: any */
        uint64_t group_id;  /* 0: any */
        bool with_revoked;
        uint64_t from_id, limit;
};
/* In order of id. each may not call the store. */
int sg_store_key_select(struct sg_store *s, const struct sg_store_key_filter *filter,
                        void (*each)(const struct sg_store_key *key, void *owner), void *owner, struct sg_error *err)
        SG_MUST_CHECK;

/* ---- groups: a tree; each change raises the keys' version */

int sg_store_group_add(struct sg_store *s, const struct sg_store_group *group, uint64_t *ret_id, struct sg_error *err)
        SG_MUST_CHECK; /* SG_STORE_E_EXISTS */
/* parent_id and limits take the place of what stood there. A circle is the caller's to prevent. */
int sg_store_group_change(struct sg_store *s, uint64_t id, const struct sg_store_group *group, struct sg_error *err)
        SG_MUST_CHECK;
/* Has neither keys nor children: the caller's to see to. */
int sg_store_group_remove(struct sg_store *s, uint64_t id, uint64_t wall_usec, struct sg_error *err) SG_MUST_CHECK;
int sg_store_group_find(struct sg_store *s, struct sg_str name, uint64_t *ret_id, struct sg_error *err) SG_MUST_CHECK;
/* In the order of ids; removed ones are left out. with_keys: n_keys too, which takes long with many keys. */
int sg_store_group_list(struct sg_store *s, bool with_keys,
                        void (*each)(const struct sg_store_group *group, void *owner), void *owner,
                        struct sg_error *err) SG_MUST_CHECK;

/* ---- audit: who changed what; added inside the change's own transaction */

struct sg_store_audit {
        uint64_t id, wall_usec;
        uint64_t uid, pid;           /* of who asked, as the kernel says */
        struct sg_str user;          /* its name, or empty */
        struct sg_str verb;          /* "CreateKey" */
        struct sg_str subject;       /* "key:alice", "group:team" */
        struct sg_str before, after; /* JSON objects without secrets and digests; empty: there was, or is, none */
};
int sg_store_audit_add(struct sg_store *s, const struct sg_store_audit *entry, struct sg_error *err) SG_MUST_CHECK;
/* Newest first. subject: a pattern as for keys; empty: any. */
int sg_store_audit_list(struct sg_store *s, uint64_t from_wall_usec, uint64_t to_wall_usec, struct sg_str subject,
                        uint64_t limit, void (*each)(const struct sg_store_audit *entry, void *owner), void *owner,
                        struct sg_error *err) SG_MUST_CHECK;

/* ---- what was used in a day or month, of one key, group, model or provider: from the hourly sums that are written in the
 * transaction of the usage itself */

struct sg_store_total_filter {
        enum {
                SG_TOTAL_KEY,
                SG_TOTAL_GROUP,
                SG_TOTAL_MODEL,
                SG_TOTAL_PROVIDER
        } of;
        uint64_t id;                           /* of a key, or of a group: all keys below it, as they stand now */
        struct sg_str name;                    /* of a model as clients ask for it, or of a provider */
        uint64_t from_wall_usec, to_wall_usec; /* whole hours */
};
/* One bill for each provider, model and day; group is empty. */
int sg_store_totals(struct sg_store *s, const struct sg_store_total_filter *filter,
                    void (*each)(const struct sg_store_usage_bill *bill, void *owner), void *owner,
                    struct sg_error *err) SG_MUST_CHECK;
/* Which keys were used, each once: by the events behind that one (*ret_event of the last time), or for 0 by all that began at
 * from_wall_usec, a whole hour, or later. What was committed before the call is in it; in a database that several write it
 * may be told again. each may not call the store. */
int sg_store_used_keys(struct sg_store *s, uint64_t after_event, uint64_t from_wall_usec,
                       void (*each)(uint64_t key_id, void *owner), void *owner, uint64_t *ret_event,
                       struct sg_error *err) SG_MUST_CHECK;
/* Events that began before that, at most `limit` of them, oldest first; hourly sums stay, and with them what is asked of
 * whole hours. *ret_n: how many went. */
int sg_store_usage_prune(struct sg_store *s, uint64_t before_wall_usec, uint64_t limit, uint64_t *ret_n,
                         struct sg_error *err) SG_MUST_CHECK;

struct sg_store_counts {
        uint64_t n_keys_active, n_keys_expired, n_keys_revoked, key_version;
        uint64_t n_usage, n_open; /* n_usage: events, without those pruned */
        int schema_version;
};
int sg_store_count(struct sg_store *s, uint64_t now_wall_usec, struct sg_store_counts *ret, struct sg_error *err)
        SG_MUST_CHECK;

/* ---- backups: of the whole database, by a process of its own */

/* Writes a copy of one state of it to path, while others go on using it. *ret: what is in the copy. */
int sg_store_dump(const struct sg_store_options *options, const char *path, struct sg_store_counts *ret,
                  struct sg_error *err) SG_MUST_CHECK;
/* How such a copy is to be called, which says what kind it is: "ledger.db". "" for no database. */
const char *sg_store_dump_name(const struct sg_store_options *options);
/* Where a copy must lie for sg_store_load(), which takes it away; it is checked first. What was there stays beside it as
 * *.before-restore. -EBUSY while a ledger has the database. */
int sg_store_load_path(const struct sg_store_options *options, const char *directory, char *out, size_t out_bytes,
                       struct sg_error *err) SG_MUST_CHECK;
int sg_store_load(const struct sg_store_options *options, const char *path, struct sg_error *err) SG_MUST_CHECK;
