#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log_limit.h"
#include "base/message_id.h"
#include "feed/feed.h"
#include "feed/news.h"
#include "varlink/varlink.h"

#define WAIT_MIN_USEC    (50 * SG_USEC_PER_MSEC)
#define WAIT_MAX_USEC    (1 * SG_USEC_PER_SEC)
#define EMPTY_USEC       (2 * SG_USEC_PER_SEC)
#define WRITE_AGAIN_USEC (10 * SG_USEC_PER_SEC)
/* A ledger that comes and goes all the time is told a few times a minute, each time with its return. */
#define OUTAGES_MAX  6
#define OUTAGES_USEC (60 * SG_USEC_PER_SEC)

struct sg_feed {
        struct sg_loop *loop;
        struct sg_keytable *table;
        char *socket;
        struct sg_picture *picture;
        struct sg_varlink_client *client;
        bool in_picture, is_complete; /* of the full picture on this connection */
        bool is_stale;                /* as the ledger on this connection says */
        bool is_out, outage_is_told, write_failure_is_told;
        bool is_behind; /* the table has changes that neither the file on disk nor the one that is written has */
        struct sg_log_limit outages;
        uint64_t wait_usec;
        struct sg_timer connect_again, empty_lasts, write_again, write_on;
        struct sg_deferred ready;
        void (*on_ready)(void *owner);
        void *ready_owner;
        void (*on_outage)(bool is_out, void *owner);
        void *outage_owner;
        void (*on_total)(const struct sg_feed_total *t, void *owner);
        void (*on_picture)(void *owner);
        void *total_owner;
        _Atomic int state;
        _Atomic uint64_t version, changed_wall_usec;
};

static const char *const state_names[SG_FEED_N] = {
        [SG_FEED_EMPTY] = "empty",
        [SG_FEED_STALE] = "stale",
        [SG_FEED_CURRENT] = "current",
};

const char *sg_feed_state_name(enum sg_feed_state s)
{
        SG_ASSERT(s < SG_FEED_N);
        return state_names[s];
}

enum sg_feed_state sg_feed_get_state(const struct sg_feed *f)
{
        return (enum sg_feed_state)atomic_load_explicit(&f->state, memory_order_acquire);
}

uint64_t sg_feed_version(const struct sg_feed *f)
{
        return atomic_load_explicit(&f->version, memory_order_relaxed);
}

uint64_t sg_feed_changed_wall_usec(const struct sg_feed *f)
{
        return atomic_load_explicit(&f->changed_wall_usec, memory_order_relaxed);
}

static void feed_go(struct sg_feed *f, enum sg_feed_state to)
{
        if (sg_feed_get_state(f) == to)
                return;
        SG_ASSERT(to != SG_FEED_EMPTY);
        sg_debug("keys: %s -> %s", sg_feed_state_name(sg_feed_get_state(f)), sg_feed_state_name(to));
        atomic_store_explicit(&f->changed_wall_usec, sg_clock_wall_usec(), memory_order_relaxed);
        atomic_store_explicit(&f->state, (int)to, memory_order_release);
        if (f->on_ready)
                sg_loop_defer(f->loop, &f->ready);
}

/* ---- the first picture */

static void tell_ready(struct sg_feed *f)
{
        void (*on_ready)(void *owner) = f->on_ready;

        sg_timer_stop(&f->empty_lasts);
        f->on_ready = NULL;
        if (on_ready)
                on_ready(f->ready_owner);
}

static void on_ready_deferred(struct sg_deferred *d)
{
        tell_ready(SG_CONTAINER(d, struct sg_feed, ready));
}

static void on_empty_lasts(struct sg_timer *t, void *owner)
{
        tell_ready(owner);
}

bool sg_feed_is_out(const struct sg_feed *f)
{
        return f->is_out;
}

void sg_feed_on_outage(struct sg_feed *f, void (*on_outage)(bool is_out, void *owner), void *owner)
{
        f->on_outage = on_outage;
        f->outage_owner = owner;
}

void sg_feed_on_totals(struct sg_feed *f, void (*on_picture)(void *owner),
                       void (*on_total)(const struct sg_feed_total *t, void *owner), void *owner)
{
        f->on_picture = on_picture;
        f->on_total = on_total;
        f->total_owner = owner;
}

void sg_feed_on_first_picture(struct sg_feed *f, void (*on_ready)(void *owner), void *owner)
{
        f->on_ready = on_ready;
        f->ready_owner = owner;
        if (sg_feed_get_state(f) != SG_FEED_EMPTY)
                sg_loop_defer(f->loop, &f->ready);
        else
                sg_timer_start(&f->empty_lasts, EMPTY_USEC);
}

/* ---- the picture on disk */

static void writing_failed(struct sg_feed *f, int r)
{
        if (!f->write_failure_is_told)
                sg_warning(
                        "the picture of the keys cannot be written: %s; a restart without the ledger would know older "
                        "keys; trying again every %u s",
                        strerror(-r), (unsigned)(WRITE_AGAIN_USEC / SG_USEC_PER_SEC));
        f->write_failure_is_told = true;
        sg_timer_start(&f->write_again, WRITE_AGAIN_USEC);
}

/* A small picture is whole with the first step; a large one takes a step in each turn of the loop. */
static void write_on(struct sg_feed *f)
{
        bool is_done = false;
        int r = sg_picture_step(f->picture, &is_done);

        if (r)
                writing_failed(f, r);
        else if (is_done)
                f->write_failure_is_told = false;
        else
                sg_timer_start(&f->write_on, 1);
}

static void on_write_on(struct sg_timer *t, void *owner)
{
        write_on(owner);
}

static void write_picture(struct sg_feed *f)
{
        int r = sg_picture_begin(f->picture, f->table, sg_feed_version(f));

        f->is_behind = false;
        sg_timer_stop(&f->write_on);
        sg_timer_stop(&f->write_again);
        if (r)
                writing_failed(f, r);
        else
                write_on(f);
}

static void on_write_again(struct sg_timer *t, void *owner)
{
        write_picture(owner);
}

/* While it fails, the timer writes all of it; from when it has begun, what changes goes into that. */
static bool keeps_changes(const struct sg_feed *f)
{
        return !f->write_failure_is_told || sg_picture_is_writing(f->picture);
}

/* After changes: what was appended goes to disk, else all is written. The disk may be slow; the changes are in force
 * already. */
static void keep_changes(struct sg_feed *f, bool is_collected)
{
        if (!keeps_changes(f))
                return;
        if (!is_collected || sg_picture_sync(f->picture) || sg_picture_is_outgrown(f->picture, f->table))
                write_picture(f);
}

/* ---- what the ledger says */

static void tell_held_outages(struct sg_feed *f)
{
        uint64_t n_held = sg_log_limit_due(&f->outages, sg_loop_now_usec(f->loop));

        if (n_held)
                sg_log_held(SG_LOG_WARNING, "ledger_lost", n_held, NULL, 0);
}

static void feed_is_out(struct sg_feed *f, bool is_out)
{
        bool is_news = f->is_out != is_out;

        f->is_out = is_out;
        if (is_news && f->on_outage)
                f->on_outage(is_out, f->outage_owner);
}

static void tell_return(struct sg_feed *f)
{
        feed_is_out(f, false);
        if (!f->outage_is_told)
                return;
        f->outage_is_told = false;
        sg_log_notable(SG_LOG_NOTICE, SG_MESSAGE_LEDGER_BACK, "the ledger at %s tells the keys again", f->socket);
}

/* A ledger that starts beside us is not there at first: that is told only when it lasts. */
static void tell_outage(struct sg_feed *f, const char *reason)
{
        if (f->is_out || (!f->is_complete && f->wait_usec < WAIT_MAX_USEC))
                return;
        feed_is_out(f, true);
        tell_held_outages(f);
        f->outage_is_told = sg_log_limit_take(&f->outages, sg_loop_now_usec(f->loop));
        if (f->outage_is_told)
                sg_log_notable(SG_LOG_WARNING, SG_MESSAGE_LEDGER_LOST,
                               "the ledger at %s does not tell the keys: %s; %zu known keys go on working", f->socket,
                               reason, sg_keytable_count(f->table));
}

/* With a complete picture: is it all that there is? Several ledgers may share a database; one that cannot ask it does not
 * know what the others did, and then an unknown key may be one of theirs. */
static void stand(struct sg_feed *f)
{
        if (f->is_stale) {
                tell_outage(f, "its database does not answer, and other ledgers may have changed keys");
                feed_go(f, SG_FEED_STALE);
                return;
        }
        tell_return(f);
        feed_go(f, SG_FEED_CURRENT);
}

static void picture_is_complete(struct sg_feed *f)
{
        const uint64_t before = sg_keytable_n_changes(f->table);

        sg_keytable_picture_end(f->table);
        f->is_behind |= sg_keytable_n_changes(f->table) != before;
        f->in_picture = false;
        f->is_complete = true;
        f->wait_usec = WAIT_MIN_USEC;
        stand(f);
        if (f->on_picture)
                f->on_picture(f->total_owner);
        sg_info("%zu keys are known, as of version %" PRIu64, sg_keytable_count(f->table), sg_feed_version(f));
        /* A ledger that comes back tells mostly what is on disk already. */
        if (!f->is_behind && keeps_changes(f) && sg_picture_commit(f->picture, sg_feed_version(f)) == 0)
                keep_changes(f, true);
        else
                write_picture(f);
}

/* Totals alone change nothing that is kept. */
static bool has_changes(const struct sg_feed_news *n)
{
        return n->changes || n->groups || n->has_version;
}

static int take_news(struct sg_feed *f, struct json_object *parameters)
{
        struct sg_feed_news news;
        uint64_t version, n_before;
        bool is_collected;
        int r;

        if (!sg_feed_news_read(&news, parameters))
                return -EBADMSG;
        if (!f->is_complete && !f->in_picture) {
                sg_keytable_picture_begin(f->table);
                f->in_picture = true;
        }
        if (news.has_stale)
                f->is_stale = news.is_stale;
        version = news.has_version && (f->is_complete || news.is_complete) ? news.version : sg_feed_version(f);
        /* Into the picture before the table: what a client has been told once must hold after SIGKILL, and what was
         * written does. */
        is_collected = f->is_complete && has_changes(&news) && keeps_changes(f) &&
                       sg_feed_news_collect(&news, f->picture, version) == 0;
        n_before = sg_keytable_n_changes(f->table);
        r = sg_feed_news_apply(&news, f->table);
        f->is_behind |= !is_collected && sg_keytable_n_changes(f->table) != n_before;
        if (!r)
                r = sg_feed_news_totals(&news, f->on_total, f->total_owner);
        if (r)
                return r;
        atomic_store_explicit(&f->version, version, memory_order_relaxed);
        if (!f->is_complete) {
                if (news.is_complete)
                        picture_is_complete(f);
                return 0;
        }
        if (has_changes(&news))
                keep_changes(f, is_collected);
        if (news.has_stale)
                stand(f);
        return 0;
}

/* ---- the connection */

static void drop(struct sg_feed *f, const char *reason)
{
        tell_outage(f, reason);
        f->client = sg_varlink_client_free(f->client);
        f->in_picture = f->is_complete = f->is_stale = false;
        if (sg_feed_get_state(f) == SG_FEED_CURRENT)
                feed_go(f, SG_FEED_STALE);
        sg_timer_start(&f->connect_again, f->wait_usec);
        f->wait_usec = SG_MIN(f->wait_usec * 2, (uint64_t)WAIT_MAX_USEC);
}

static void on_connected(struct sg_varlink_client *c, void *owner)
{
        struct sg_feed *f = owner;
        int r = sg_varlink_client_call(c, "io.scribe.Ledger.WatchKeys", NULL, true);

        if (r)
                drop(f, strerror(-r));
}

/* The error's name, and what the ledger says of it. */
static const char *say_refusal(const char *error_name, struct json_object *parameters, char *out, size_t out_bytes)
{
        struct json_object *message = NULL;

        if (!json_object_object_get_ex(parameters, "message", &message) ||
            !json_object_is_type(message, json_type_string))
                return error_name;
        (void)snprintf(out, out_bytes, "%s: %s", error_name, json_object_get_string(message));
        return out;
}

static void on_reply(struct sg_varlink_client *c, const char *error_name, struct json_object *parameters,
                     bool continues, void *owner)
{
        struct sg_feed *f = owner;
        char reason[512];
        int r;

        if (error_name) {
                drop(f, say_refusal(error_name, parameters, reason, sizeof(reason)));
                return;
        }
        r = take_news(f, parameters);
        if (r == -EBADMSG) {
                /* What it meant might have been a revocation: the whole picture is asked for again. */
                f->wait_usec = WAIT_MAX_USEC;
                drop(f, "it sent what is not a change of keys");
        } else if (r) {
                drop(f, strerror(-r));
        } else if (!continues) {
                drop(f, "it ended the watch");
        }
}

static void on_closed(struct sg_varlink_client *c, int err, void *owner)
{
        drop(owner, err ? strerror(-err) : "it closed the connection");
}

static const struct sg_varlink_client_callbacks callbacks = {on_connected, on_reply, on_closed};

static void on_connect_again(struct sg_timer *t, void *owner)
{
        struct sg_feed *f = owner;
        int r = sg_varlink_client_new(&f->client, f->loop, f->socket, &callbacks, f);

        if (r)
                drop(f, strerror(-r));
}

/* ---- birth and end */

static int load_picture(struct sg_feed *f, struct sg_error *err)
{
        enum sg_picture_outcome outcome;
        uint64_t version = 0;
        int r = sg_picture_load(f->picture, f->table, &outcome, &version, err);

        if (r)
                return r;
        if (outcome == SG_PICTURE_BROKEN)
                sg_log_notable(SG_LOG_WARNING, SG_MESSAGE_KEYS_BROKEN,
                               "the picture of the keys is broken and was set aside: %s: %s", err->where, err->text);
        if (outcome == SG_PICTURE_GOOD) {
                atomic_store_explicit(&f->version, version, memory_order_relaxed);
                feed_go(f, SG_FEED_STALE);
        }
        return 0;
}

static int init_timers(struct sg_feed *f)
{
        int r = sg_timer_init(&f->connect_again, f->loop, on_connect_again, f);

        if (!r)
                r = sg_timer_init(&f->empty_lasts, f->loop, on_empty_lasts, f);
        if (!r)
                r = sg_timer_init(&f->write_again, f->loop, on_write_again, f);
        if (!r)
                r = sg_timer_init(&f->write_on, f->loop, on_write_on, f);
        return r;
}

int sg_feed_new(struct sg_feed **ret, struct sg_loop *l, struct sg_keytable *table, const char *ledger_socket,
                const char *picture_path, struct sg_error *err)
{
        SG_AUTO(sg_feed_free) struct sg_feed *f = NULL;
        struct sg_error broken;
        int r;

        f = calloc(1, sizeof(*f));
        if (!f)
                return sg_error_set(err, -ENOMEM, picture_path, "out of memory");
        f->loop = l;
        f->table = table;
        f->wait_usec = WAIT_MIN_USEC;
        f->ready.run = on_ready_deferred;
        sg_log_limit_init(&f->outages, OUTAGES_MAX, OUTAGES_USEC);
        atomic_init(&f->changed_wall_usec, sg_clock_wall_usec());
        f->socket = strdup(ledger_socket);
        r = init_timers(f);
        if (!r)
                r = f->socket ? sg_picture_new(&f->picture, picture_path) : -ENOMEM;
        if (r)
                return sg_error_set(err, r, picture_path, "the key feed cannot be set up: %s", strerror(-r));
        r = load_picture(f, err ? err : &broken);
        if (r)
                return r;
        sg_timer_start(&f->connect_again, 1);
        *ret = SG_GIVE(f);
        return 0;
}

void sg_feed_rest(struct sg_feed *f)
{
        f->client = sg_varlink_client_free(f->client);
        sg_timer_stop(&f->connect_again);
        sg_timer_stop(&f->write_again);
        sg_timer_stop(&f->write_on);
        sg_picture_abort(f->picture);
}

struct sg_feed *sg_feed_free(struct sg_feed *f)
{
        uint64_t n_held;

        if (!f)
                return NULL;
        n_held = sg_log_limit_rest(&f->outages);
        if (n_held)
                sg_log_held(SG_LOG_WARNING, "ledger_lost", n_held, NULL, 0);
        sg_varlink_client_free(f->client);
        sg_loop_undefer(f->loop, &f->ready);
        if (f->connect_again.loop)
                sg_timer_done(&f->connect_again);
        if (f->empty_lasts.loop)
                sg_timer_done(&f->empty_lasts);
        if (f->write_again.loop)
                sg_timer_done(&f->write_again);
        if (f->write_on.loop)
                sg_timer_done(&f->write_on);
        sg_picture_free(f->picture);
        free(f->socket);
        free(f);
        return NULL;
}
