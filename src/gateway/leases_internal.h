/*
 * gateway/leases_internal.h - what leases.c (Redis, the log, configuration) and leases_ask.c (questions, answers) share
 */
#pragma once

#include "gateway/leases.h"
#include "limit/grants.h"
#include "redis/redis.h"

#define LEASES_TICK_USEC (10 * SG_USEC_PER_MSEC)
#define LEASES_SCAN_USEC (100 * SG_USEC_PER_MSEC)
#define LEASES_WORDS_MAX 200u

struct leases_entry {
        struct sg_link link;
        struct leases_entry *next; /* with the same hash */
        uint64_t id;
        struct sg_lease lease;
        uint64_t full;  /* the rebuild to which it was reported */
        uint64_t least; /* that was waited for, of the question on its way; 0: nobody waited */
        bool has_left;
};

/* Shared by two boots of one machine only where the runtime directory outlives them. */
struct leases_file {
        uint64_t magic;
        char node[16]; /* hex */
        uint64_t n_nodes, heard_usec;
};

struct sg_leases {
        struct sg_leases_options options;
        struct leases_file *file;
        char *nodes_path;
        uint64_t n_nodes_written;
        struct sg_resolver *resolver;
        struct sg_redis *redis;        /* NULL: limits are not shared, or this process rests */
        struct sg_config_redis config; /* strings are copies */

        struct sg_fleet fleet;
        struct sg_list entries;
        struct leases_entry **table;
        size_t table_room; /* a power of two */

        struct sg_timer scan, tick, leave_lasts;
        struct sg_mailbox *mailbox;
        struct sg_letter letter;
        _Atomic bool is_wanted;

        struct sg_redis_command load, question;
        char script[48]; /* its SHA-1; "": not loaded on this connection */
        struct leases_entry *asked[LEASES_WORDS_MAX];
        size_t n_asked;
        bool has_more; /* than one question takes */
        uint64_t asked_usec;

        bool is_alone, is_out_told, is_leaving, has_told_leave;
        uint64_t out_since_wall_usec;
        char last_error[SG_REDIS_WORDS_BYTES];
        uint64_t n_round_trips, n_granted;
        void (*on_left)(void *owner);
        void *left_owner;
};

/* leases_ask.c */
struct leases_entry *leases_find(const struct sg_leases *l, uint64_t id);
void leases_take_wants(struct sg_leases *l);
void leases_ask(struct sg_leases *l); /* if it is time, and there is something to ask */
void leases_lost(struct sg_leases *l);
void leases_on_reply(struct sg_redis_command *c, const struct sg_redis_reply *reply, void *owner);
void leases_forget(struct sg_leases *l); /* all entries */
void leases_tend(struct sg_leases *l);   /* periods that are over, leases that are idle, shares */
/* leases.c */
void leases_on_script_missing(struct sg_leases *l);
void leases_failed(struct sg_leases *l, const char *why);
void leases_answered(struct sg_leases *l);
void leases_all_left(struct sg_leases *l);
