/*
 * One question for all words that have something to ask or to tell, and its answer. Who waits goes first. One question is
 * on its way at a time: two of the same word could be answered in either order.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/leases_internal.h"

#define ROOM_MIN    64u
#define TEXT_BYTES  160u /* of a key: prefix, 16 hex digits, a period */
#define WORDS_FIXED (3 + SG_LEASE_KEYS + SG_LEASE_ARGS)

/* ---- entries by the word's id, which is a hash itself */

static struct leases_entry **slot_of(const struct sg_leases *l, uint64_t id)
{
        return &l->table[(id >> 5) & (l->table_room - 1)];
}

struct leases_entry *leases_find(const struct sg_leases *l, uint64_t id)
{
        struct leases_entry *e = l->table_room ? *slot_of(l, id) : NULL;

        while (e && e->id != id)
                e = e->next;
        return e;
}

static int grow(struct sg_leases *l)
{
        const size_t room = l->table_room ? l->table_room * 2 : ROOM_MIN;
        struct leases_entry **table;

        if (l->entries.n < l->table_room)
                return 0;
        table = calloc(room, sizeof(struct leases_entry *));
        if (!table)
                return -ENOMEM;
        free(l->table);
        l->table = table;
        l->table_room = room;
        SG_LIST_EACH (&l->entries, k) {
                struct leases_entry *e = SG_CONTAINER(k, struct leases_entry, link), **slot = slot_of(l, e->id);

                e->next = *slot;
                *slot = e;
        }
        return 0;
}

static struct leases_entry *find_or_add(struct sg_leases *l, struct sg_limit_word *w, const struct sg_limit *limit)
{
        const uint64_t id = sg_limit_word_id(w), now = sg_loop_now_usec(l->options.loop), wall = sg_clock_wall_usec();
        struct leases_entry *e = leases_find(l, id);
        const bool is_concurrent = limit->kind == SG_LIMIT_CONCURRENT;

        if (e)
                return e;
        e = grow(l) ? NULL : calloc(1, sizeof(*e));
        if (!e)
                return NULL;
        e->id = id;
        sg_lease_init(&e->lease, &sg_limit_purse, w, limit, sg_window_period(limit->window, wall),
                      is_concurrent ? sg_limits_used(l->options.limits, w, limit, now, wall) : 0, now);
        e->next = *slot_of(l, id);
        *slot_of(l, id) = e;
        sg_list_push(&l->entries, &e->link);
        return e;
}

static void remove_entry(struct sg_leases *l, struct leases_entry *e)
{
        struct leases_entry **at = slot_of(l, e->id);

        while (*at != e)
                at = &(*at)->next;
        *at = e->next;
        sg_list_remove(&l->entries, &e->link);
        free(e);
}

void leases_forget(struct sg_leases *l)
{
        SG_LIST_EACH (&l->entries, k)
                remove_entry(l, SG_CONTAINER(k, struct leases_entry, link));
}

void leases_take_wants(struct sg_leases *l)
{
        struct sg_limit_want *w = sg_limits_take_wants(l->options.limits), *next;

        for (; w; w = next) {
                struct leases_entry *e = l->redis && !l->is_leaving ? find_or_add(l, w->word, &w->limit) : NULL;

                next = w->next;
                if (e) {
                        e->lease.limit.amount = w->limit.amount; /* a reload may have changed it */
                        sg_lease_wait(&e->lease, w->n);
                }
                free(w);
        }
}

/* ---- time */

static uint64_t used_of(const struct sg_leases *l, const struct leases_entry *e)
{
        const uint64_t used = sg_limits_used(l->options.limits, e->lease.word, &e->lease.limit,
                                             sg_loop_now_usec(l->options.loop), sg_clock_wall_usec());

        return e->lease.limit.kind == SG_LIMIT_CONCURRENT ? 0 : used;
}

static bool share(struct sg_leases *l, struct leases_entry *e, uint64_t now)
{
        const uint64_t least = e->lease.waits_sum ? e->lease.waits_least : 0;

        sg_lease_alone(&e->lease, &l->fleet, used_of(l, e), now);
        if (least && sg_limit_purse.look(e->lease.word, e->lease.period) < (int64_t)least)
                sg_limits_mark_spent(l->options.limits, e->lease.word, now);
        return least;
}

void leases_tend(struct sg_leases *l)
{
        const uint64_t now = sg_loop_now_usec(l->options.loop), wall = sg_clock_wall_usec();
        bool has_moved = false;

        SG_LIST_EACH (&l->entries, k) {
                struct leases_entry *e = SG_CONTAINER(k, struct leases_entry, link);
                const uint64_t period = sg_window_period(e->lease.limit.window, wall);

                if (e->lease.is_asked)
                        continue;
                if (period != e->lease.period)
                        sg_lease_renew(&e->lease, period, now);
                if (l->is_alone)
                        has_moved |= share(l, e, now);
                else if (sg_lease_is_idle(&e->lease, now))
                        remove_entry(l, e);
        }
        if (has_moved)
                l->options.on_moved(l->options.owner);
}

/* ---- the question */

struct writer {
        struct sg_str *words;
        size_t n;
        char *text;
        size_t at, room;
};

static void put(struct writer *w, const char *format, ...) SG_PRINTF(2, 3);
static void put(struct writer *w, const char *format, ...)
{
        va_list va;
        int n;

        va_start(va, format);
        n = vsnprintf(w->text + w->at, w->room - w->at, format, va);
        va_end(va);
        SG_ASSERT(n >= 0 && (size_t)n < w->room - w->at);
        w->words[w->n++] = sg_str_make(w->text + w->at, (size_t)n);
        w->at += (size_t)n + 1;
}

static void put_question(struct writer *w, const struct sg_lease *lease, const struct sg_lease_question *q)
{
        put(w, "%c", q->kind);
        put(w, "%" PRIu64, lease->limit.amount);
        put(w, "%" PRId64, q->used);
        put(w, "%" PRId64, q->claim);
        put(w, "%" PRId64, q->need);
        put(w, "%" PRId64, q->want);
        put(w, "%" PRId64, q->floor);
        put(w, "%" PRIu64, q->window_usec);
        if (q->is_adopt)
                put(w, "%" PRIu64 " %" PRId64, q->keep_msec, q->balance);
        else
                put(w, "%" PRIu64, q->keep_msec);
}

static void put_all(struct writer *w, struct sg_leases *l, const struct sg_fleet_head *head,
                    const struct sg_lease_question *questions)
{
        static const char *const keys[SG_LEASE_KEYS] = {"fleet", "nodes", "seq", "back"};
        const char *prefix = l->config.prefix;

        put(w, "EVALSHA");
        put(w, "%s", l->script);
        put(w, "%zu", SG_LEASE_KEYS + l->n_asked);
        for (size_t i = 0; i < SG_LEASE_KEYS; i++)
                put(w, "%s%s", prefix, keys[i]);
        for (size_t i = 0; i < l->n_asked; i++)
                put(w, "%s%016" PRIx64 ":%" PRIu64, prefix, l->asked[i]->id, l->asked[i]->lease.period);
        put(w, "%.16s", l->file->node);
        put(w, "%" PRIu64, head->seq);
        put(w, "%" PRIu64, head->clock_msec);
        put(w, "%" PRIu64, head->n_nodes);
        put(w, "%d", head->is_full);
        put(w, "%d", head->is_leave);
        for (size_t i = 0; i < l->n_asked; i++)
                put_question(w, &l->asked[i]->lease, &questions[i]);
}

static int send_question(struct sg_leases *l, const struct sg_fleet_head *head,
                         const struct sg_lease_question *questions)
{
        const size_t n_words = WORDS_FIXED + l->n_asked * (1 + SG_LEASE_WORDS);
        struct writer w = {.words = calloc(n_words, sizeof(*w.words)),
                           .room = (WORDS_FIXED + l->n_asked * 3) * TEXT_BYTES};
        int r = -ENOMEM;

        w.text = malloc(w.room);
        if (w.words && w.text) {
                put_all(&w, l, head, questions);
                SG_ASSERT(w.n == n_words);
                r = sg_redis_send(l->redis, &l->question, w.words, w.n);
        }
        free(w.words);
        free(w.text);
        return r;
}

static void ask_one(struct sg_leases *l, struct leases_entry *e, struct sg_lease_question *questions)
{
        const uint64_t now = sg_loop_now_usec(l->options.loop), least = e->lease.waits_sum ? e->lease.waits_least : 0;
        const bool is_full = l->fleet.rebuild && e->full != l->fleet.rebuild;

        if (l->n_asked == LEASES_WORDS_MAX) {
                l->has_more = true;
                return;
        }
        if (l->is_leaving) {
                if (e->has_left)
                        return;
                sg_lease_leave(&e->lease, &l->fleet, used_of(l, e), now, &questions[l->n_asked]);
                e->has_left = true;
        } else if (!sg_lease_ask(&e->lease, &l->fleet, used_of(l, e), is_full, now, &questions[l->n_asked])) {
                return;
        }
        e->full = l->fleet.rebuild;
        e->least = least;
        l->asked[l->n_asked++] = e;
}

void leases_ask(struct sg_leases *l)
{
        const uint64_t now = sg_loop_now_usec(l->options.loop);
        struct sg_lease_question questions[LEASES_WORDS_MAX];
        struct sg_fleet_head head;
        bool is_full;

        if (!l->redis || !sg_redis_is_ready(l->redis) || !l->script[0] || l->fleet.sent_usec)
                return;
        if (now - l->asked_usec < LEASES_TICK_USEC && !l->has_more && !l->is_leaving) {
                if (!sg_timer_is_running(&l->tick))
                        sg_timer_start(&l->tick, LEASES_TICK_USEC - (now - l->asked_usec));
                return;
        }
        l->n_asked = 0;
        l->has_more = false;
        SG_LIST_EACH (&l->entries, k)
                if (SG_CONTAINER(k, struct leases_entry, link)->lease.waits_sum)
                        ask_one(l, SG_CONTAINER(k, struct leases_entry, link), questions);
        SG_LIST_EACH (&l->entries, k)
                if (!SG_CONTAINER(k, struct leases_entry, link)->lease.is_asked)
                        ask_one(l, SG_CONTAINER(k, struct leases_entry, link), questions);
        is_full = l->fleet.rebuild && l->fleet.reported != l->fleet.rebuild && !l->has_more;
        if (!l->n_asked && !is_full && !l->is_leaving && now - l->asked_usec < SG_LEASE_BEAT_USEC)
                return;
        l->asked_usec = now;
        l->has_told_leave = l->is_leaving && !l->has_more;
        sg_fleet_ask(&l->fleet, is_full, l->is_leaving && !l->has_more, now, &head);
        if (send_question(l, &head, questions))
                leases_lost(l);
}

void leases_lost(struct sg_leases *l)
{
        sg_fleet_lost(&l->fleet);
        for (size_t i = 0; i < l->n_asked; i++) {
                sg_lease_lost(&l->asked[i]->lease);
                l->asked[i]->full = 0;
                l->asked[i]->has_left = false;
                if (l->asked[i]->least) /* it goes on waiting */
                        sg_lease_wait(&l->asked[i]->lease, l->asked[i]->least);
        }
        l->n_asked = 0;
}

/* ---- the answer */

/* True: somebody waited for it. */
static bool take_one(struct sg_leases *l, struct leases_entry *e, const int64_t *numbers)
{
        const int64_t before = e->lease.put;

        sg_lease_answer(&e->lease, &l->fleet, numbers);
        if (e->lease.put > before)
                l->n_granted += (uint64_t)(e->lease.put - before);
        if (!e->least)
                return false;
        if (e->lease.is_asked_adopt) { /* that was told first; now it is asked */
                sg_lease_wait(&e->lease, e->least);
                return false;
        }
        if (!l->fleet.rebuild && sg_limit_purse.look(e->lease.word, e->lease.period) < (int64_t)e->least)
                sg_limits_mark_spent(l->options.limits, e->lease.word, sg_loop_now_usec(l->options.loop));
        return true;
}

static void take_answer(struct sg_leases *l, const int64_t *numbers, size_t n)
{
        enum sg_fleet_status status;
        const size_t n_asked = l->n_asked;
        bool has_moved = false;

        if (!sg_fleet_answer(&l->fleet, numbers, n, &status) ||
            (status == SG_FLEET_OK && n != SG_FLEET_HEAD_WORDS + n_asked * SG_LEASE_ANSWER_WORDS)) {
                leases_lost(l);
                leases_failed(l, "it does not answer as the script does");
                return;
        }
        l->n_round_trips++;
        if (status != SG_FLEET_OK) {
                leases_lost(l);
                return;
        }
        l->n_asked = 0;
        for (size_t i = 0; i < n_asked; i++)
                has_moved |= take_one(l, l->asked[i], numbers + SG_FLEET_HEAD_WORDS + i * SG_LEASE_ANSWER_WORDS);
        leases_answered(l);
        if (has_moved)
                l->options.on_moved(l->options.owner);
}

static bool read_numbers(const struct sg_redis_reply *reply, int64_t *numbers, size_t room)
{
        if (reply->kind != SG_REDIS_ARRAY || reply->n > room)
                return false;
        for (size_t i = 0; i < reply->n; i++) {
                if (reply->at[i].kind != SG_REDIS_INTEGER)
                        return false;
                numbers[i] = reply->at[i].integer;
        }
        return true;
}

void leases_on_reply(struct sg_redis_command *c, const struct sg_redis_reply *reply, void *owner)
{
        int64_t numbers[SG_FLEET_HEAD_WORDS + LEASES_WORDS_MAX * SG_LEASE_ANSWER_WORDS];
        struct sg_leases *l = owner;
        char words[SG_REDIS_WORDS_BYTES];

        if (!reply) {
                leases_lost(l); /* why is told by on_out */
        } else if (reply->kind == SG_REDIS_ERROR) {
                leases_lost(l);
                (void)sg_redis_error_words(reply->text, words);
                if (sg_redis_error_is(reply->text, SG_STR("NOSCRIPT")))
                        leases_on_script_missing(l);
                else
                        leases_failed(l, words);
        } else if (!read_numbers(reply, numbers, SG_N_ELEMENTS(numbers))) {
                leases_lost(l);
                leases_failed(l, "it does not answer as the script does");
        } else {
                take_answer(l, numbers, reply->n);
                if (l->has_told_leave)
                        leases_all_left(l);
                else
                        leases_ask(l);
        }
}
