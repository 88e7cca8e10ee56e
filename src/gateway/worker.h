/*
 * gateway/worker.h - one worker: a loop, its connections, its pools, its ring, its counters; nothing shared is hot
 *
 * Shape    sg_shared is what all workers see; sg_worker belongs to one thread. Other threads talk to it by letters
 * Units    _usec, bytes
 * Owner    the daemon owns both; workers borrow what sg_shared points to
 * Thread   fields say who: (worker) its own thread only, (any) atomics
 * Errors   sg_error at creation
 * Limits   connections and held bodies are counted over all workers
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "auth/keytable.h"
#include "feed/feed.h"
#include "gateway/failure.h"
#include "gateway/repeats.h"
#include "gateway/snapshot.h"
#include "http/message.h"
#include "journal/ring.h"
#include "limit/limit.h"
#include "loop/loop.h"
#include "net/listen.h"
#include "probe/probe.h"
#include "upstream/upstream.h"

struct sg_echo_server;
struct sg_leases;
struct sg_sync;
struct sg_worker;

#define SG_LISTENERS_MAX 32

struct sg_shared {
        _Atomic(struct sg_snapshot *) snapshot; /* (any, inside a turn) the publisher's is the count */
        struct sg_keytable *keys;
        struct sg_feed *feed;
        struct sg_probes *probes;       /* (any, inside a turn) sg_probes_health() */
        struct sg_sync *sync;           /* set before the workers' threads start, freed (NULL) after they have ended */
        _Atomic uint64_t bodies_bytes;  /* (any) held request and answer bodies */
        _Atomic uint64_t n_connections; /* (any) */
        struct sg_limits *limits;       /* (any) set before the workers, freed after them */
        void (*want_grants)(void *owner); /* (any) an exchange waits until this node is granted more */
        void *want_grants_owner;
        struct sg_leases *leases; /* main */
        _Atomic bool is_ready;    /* (any) what /ready says until a worker drains */
        uint64_t started_wall_usec;
        const char *version;
        struct sg_shared_listener {
                int fd;       /* closed by the last worker that stops listening */
                bool is_ours; /* nobody else has it: at our end what waits in it is served. One that systemd or our
                               * successor has, too, stays open there, and so does what waits in it */
                const char *name;
                char address[128];
        } listeners[SG_LISTENERS_MAX];
        size_t n_listeners;
        _Atomic unsigned n_listening; /* workers that have not begun to drain */
};

/* Counters: written by the worker, read by anyone (relaxed). */
struct sg_counters {
        _Atomic uint64_t n_accepted, n_requests, n_streams;
        _Atomic uint64_t by_class[6]; /* answers by status / 100 */
        _Atomic uint64_t by_failure[SG_FAIL_N];
        _Atomic uint64_t input_tokens, output_tokens;
        _Atomic uint64_t n_recorded,
                n_unrecorded;                    /* close records; exchanges that passed without (when_full = count) */
        _Atomic uint64_t n_turns, turned_usec;   /* the watchdog's: how often and when last */
        _Atomic uint64_t n_clients, n_exchanges; /* now */
        _Atomic uint64_t n_upstream_idle, n_upstream_busy;
};

static inline void sg_count(_Atomic uint64_t *c, uint64_t n)
{
        /* one writer: no locked instruction is needed */
        atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

struct sg_worker_listener {
        struct sg_worker *worker;
        struct sg_acceptor *acceptor;
        _Atomic uint64_t n_accepted;
};

struct sg_worker {
        unsigned number;
        struct sg_shared *shared;
        struct sg_loop *loop;
        struct sg_mailbox *mailbox;
        struct sg_resolver *resolver;
        struct sg_upstream *upstream;
        struct sg_echo_server *echo;
        struct sg_ring *ring;
        uint64_t journal_full_told_usec; /* (worker) when the log said so last; 0: never */
        _Atomic bool waits_for_sync;     /* (any) an exchange waits for its record to be on disk */
        uint64_t fill_bytes;             /* (sync) of the ring, when it was measured last */
        int64_t fill_rate;               /* (sync) bytes a second */
        _Atomic uint64_t full_in_usec;
        struct sg_repeats repeats; /* (worker) */
        struct sg_counters counters;
        struct sg_worker_listener listeners[SG_LISTENERS_MAX]; /* as in sg_shared */
        struct sg_list connections;                            /* (worker) struct sg_connection.link */
        struct sg_list exchanges;                              /* (worker) struct sg_exchange.link */
        struct sg_list waiting_grants;                         /* (worker) struct sg_limiting.link */
        struct sg_list waiting_sync;   /* (worker) struct sg_exchange.sync_link, in order of sequence */
        bool is_draining, is_stopping; /* (worker) */
        uint64_t warm_number;          /* (worker) of the configuration whose warm connections are kept */
        uint64_t next_id;              /* (worker) of clients, for debug lines */
        struct sg_head head;           /* (worker) scratch of the codec: 4 KiB that no connection needs to hold */
        struct sg_buf out;             /* (worker) scratch of answer heads */
        struct sg_buf events;          /* (worker) scratch of stream events that do not lie side by side */
        time_t date_sec;               /* (worker) */
        char date[32];
        void (*on_drained)(struct sg_worker *w, void *owner); /* (worker) nothing is left; once */
        void *on_drained_owner;
};

/* Everything but the thread. The ring is given, also on failure. */
int sg_worker_new(struct sg_worker **ret, unsigned number, struct sg_shared *shared, struct sg_ring *ring,
                  struct sg_error *err) SG_MUST_CHECK;
/* The thread must have ended. */
struct sg_worker *sg_worker_free(struct sg_worker *w);
/* The thread's function body: turns until told to stop. */
void sg_worker_run(struct sg_worker *w);

/* Letters; any thread. */
void sg_worker_listen(struct sg_worker *w);      /* accept connections: until then they wait in the kernel */
void sg_worker_drain(struct sg_worker *w);       /* accept what waits, then no more; finish open exchanges */
void sg_worker_cut(struct sg_worker *w);         /* the drain took too long: end open exchanges now */
void sg_worker_stop(struct sg_worker *w);        /* leave sg_worker_run() */
void sg_worker_tell_synced(struct sg_worker *w); /* sg_ring_synced() has moved */
void sg_worker_tell_grants(struct sg_worker *w); /* what waits for grants may ask again */

/* For the rest of this room (worker's thread). */
struct sg_snapshot *sg_worker_snapshot(struct sg_worker *w); /* counted: unref it */
struct sg_str sg_worker_date(struct sg_worker *w);           /* an IMF-fixdate, lent for the turn */
void sg_worker_check_drained(struct sg_worker *w);
