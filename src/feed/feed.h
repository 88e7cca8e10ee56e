/*
 * feed/feed.h - the gateway's end of the ledger: the full picture of the keys, each change, the picture on disk
 *
 * Shape    a Varlink client that calls io.scribe.Ledger.WatchKeys and applies what comes to the key table; it
 *          reconnects (50 ms to 1 s) for as long as it lives. Pictures and changes are kept in a file, so that known
 *          keys work after a cold start without the ledger. Totals are handed on, and not kept
 * Owner    the daemon; the table is borrowed
 * Thread   main; each change is synced to disk there (one fdatasync per message of the ledger), each full picture
 *          written, a megabyte in a turn of the loop
 * Errors   start: a broken picture file is set aside with a warning, never fatal
 * Source   the file: one line per key, CRC-32C in hex, space, JSON; of a group {"group":{…}}, before keys; changes are
 *          appended (and synced), the whole is written anew (temporary file, fsync, rename) after a full picture that says something new or when
 *          changes outgrow keys; a torn last line is cut. The first line is {"format":1,"version":…}; a line with
 *          "version" alone says up to which change the file goes
 */
#pragma once

#include "auth/keytable.h"
#include "base/error.h"
#include "loop/loop.h"

struct sg_feed;

enum sg_feed_state {
        SG_FEED_EMPTY, /* nothing known: no picture on disk, the ledger not reached yet */
        SG_FEED_STALE, /* keys from the picture on disk or from before the connection broke, or the ledger says that it
                            does not know what others changed */
        SG_FEED_CURRENT, /* connected, picture complete, changes arrive as they happen */
        SG_FEED_N,
};
const char *sg_feed_state_name(enum sg_feed_state s);

enum sg_feed_total_of {
        SG_FEED_TOTAL_KEY,
        SG_FEED_TOTAL_GROUP, /* with all groups and keys below */
        SG_FEED_TOTAL_MODEL,
        SG_FEED_TOTAL_PROVIDER,
        SG_FEED_TOTAL_N,
};

#define SG_FEED_COSTS_MAX 16u

struct sg_feed_cost {
        char currency[4]; /* "USD" */
        uint64_t micro;   /* millionths */
};

/* What the ledger has counted of all nodes. Lent. */
struct sg_feed_total {
        enum sg_feed_total_of of;
        uint64_t id;                 /* of a key or group */
        struct sg_str name;          /* of a model or provider */
        enum sg_limit_window window; /* day or month */
        uint64_t period;             /* days or months since 1970, as sg_window_period() has it */
        uint64_t requests, tokens;
        struct sg_feed_cost costs[SG_FEED_COSTS_MAX];
        size_t n_costs;
};

int sg_feed_new(struct sg_feed **ret, struct sg_loop *l, struct sg_keytable *table, const char *ledger_socket,
                const char *picture_path, struct sg_error *err) SG_MUST_CHECK;
struct sg_feed *sg_feed_free(struct sg_feed *f);
SG_DEFINE_AUTO(struct sg_feed *, sg_feed_free)
/* Hears and writes nothing more: the successor does, into the same file. Keys and state stay as they are. */
void sg_feed_rest(struct sg_feed *f);
/* Any thread, one atomic read: workers answer 503 instead of 401 for unknown keys unless CURRENT. */
enum sg_feed_state sg_feed_get_state(const struct sg_feed *f);
uint64_t sg_feed_version(const struct sg_feed *f);
uint64_t sg_feed_changed_wall_usec(const struct sg_feed *f); /* last state change */
/* The ledger has not been there for long enough to be told. */
bool sg_feed_is_out(const struct sg_feed *f);
/* Each time that an outage of the ledger is long enough to be told, and when it is over. */
void sg_feed_on_outage(struct sg_feed *f, void (*on_outage)(bool is_out, void *owner), void *owner);
/* For each total that the ledger tells, when the changes of the same message are in force. on_picture: what follows are the
 * totals of all that was used, then of what is used since. */
void sg_feed_on_totals(struct sg_feed *f, void (*on_picture)(void *owner),
                       void (*on_total)(const struct sg_feed_total *t, void *owner), void *owner);
/* Once, when the state first becomes anything but EMPTY, or after EMPTY lasted 2 s (start-up does not wait for ever).
 */
void sg_feed_on_first_picture(struct sg_feed *f, void (*on_ready)(void *owner), void *owner);
