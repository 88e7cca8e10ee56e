/*
 * Why something cannot be asked now, in words, and after how long it can.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "upstream/lanes_internal.h"

#define NEVER_SOON_USEC (60 * SG_USEC_PER_SEC) /* who knows when an admin comes */
#define LAST_BYTES      110                    /* of a text behind others */

void say(char *out, size_t n, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        (void)vsnprintf(out, n, format, args);
        va_end(args);
}

/* Rounded up: nobody shall come too early. */
const char *say_duration(uint64_t usec, char out[32])
{
        const uint64_t sec = usec / SG_USEC_PER_SEC + (usec % SG_USEC_PER_SEC > 0);

        if (sec <= 120)
                say(out, 32, "%" PRIu64 " s", sec);
        else if (sec <= 7200)
                say(out, 32, "%" PRIu64 " min", (sec + 59) / 60);
        else
                say(out, 32, "%" PRIu64 " h", (sec + 3599) / 3600);
        return out;
}

static bool is_drained(const struct known *k, struct obstacle *ret)
{
        if (!atomic_load_explicit(&k->is_drained, memory_order_relaxed))
                return false;
        ret->state = SG_LANE_DRAINED;
        ret->wait_usec = NEVER_SOON_USEC;
        say(ret->text, sizeof(ret->text), "is drained by an admin");
        return true;
}

static bool does_rest(const struct known *k, uint64_t now_usec, const char *where, struct obstacle *ret)
{
        const uint64_t left_usec = rest_left_usec(&k->rest, now_usec);
        char last[SPOKEN_BYTES], duration[32];

        if (!left_usec)
                return false;
        spoken_get(&k->fault, last);
        ret->state = SG_LANE_RESTS;
        ret->wait_usec = left_usec;
        say(ret->text, sizeof(ret->text), "rests%s for %s: %s: %.*s", where, say_duration(left_usec, duration),
            sg_lane_fault_name(rest_fault(&k->rest)), LAST_BYTES, last);
        return true;
}

static bool is_tripped(const struct place *p, uint64_t now_usec, struct obstacle *ret)
{
        const enum breaker_look look = breaker_look(&p->known->breaker, &p->rule, now_usec);
        const unsigned n = atomic_load_explicit(&p->known->breaker.n_in_row, memory_order_relaxed);
        char last[SPOKEN_BYTES];

        if (look == BREAKER_CLOSED)
                return false;
        spoken_get(&p->known->fault, last);
        ret->state = look == BREAKER_TRIAL ? SG_LANE_TRIAL : SG_LANE_TRIPPED;
        ret->wait_usec = breaker_open_for_usec(&p->known->breaker, &p->rule, now_usec);
        say(ret->text, sizeof(ret->text), "is left alone after %u failure%s in a row, last: %.*s", n, n == 1 ? "" : "s",
            LAST_BYTES, last);
        return true;
}

void place_obstacle(const struct place *p, uint64_t now_usec, struct obstacle *ret)
{
        *ret = (struct obstacle){.state = SG_LANE_UP};
        if (!is_drained(p->known, ret) && !is_tripped(p, now_usec, ret))
                (void)does_rest(p->known, now_usec, "", ret);
}

static void is_spent(const struct purse *p, uint64_t n_tokens, uint64_t wall_usec, struct obstacle *ret)
{
        if (purse_has_room(p, n_tokens, wall_usec))
                return;
        ret->state = SG_LANE_SPENT;
        ret->wait_usec = purse_day_left_usec(p, wall_usec);
        say(ret->text, sizeof(ret->text),
            "has used or reserved %" PRIu64 " of the %" PRIu64 " tokens that it has a day", purse_spent(p, wall_usec),
            p->config->daily_tokens);
}

void purse_obstacle(const struct purse *p, uint64_t n_tokens, uint64_t now_usec, uint64_t wall_usec,
                    struct obstacle *ret)
{
        *ret = (struct obstacle){.state = SG_LANE_UP};
        if (!is_drained(p->known, ret) && !does_rest(p->known, now_usec, "", ret))
                is_spent(p, n_tokens, wall_usec, ret);
}

/* ---- a lane with its credentials */

static void add_subject(struct obstacle *o, const char *subject)
{
        char text[SPOKEN_BYTES];

        say(text, sizeof(text), "%s", o->text);
        say(o->text, sizeof(o->text), "%.*s %s", LAST_BYTES, subject, text);
}

/* One credential at that lane. */
static void purse_way(const struct place *p, const struct purse *purse, const struct known *pair, uint64_t n_tokens,
                      uint64_t now_usec, uint64_t wall_usec, struct obstacle *ret)
{
        char subject[SPOKEN_BYTES];

        purse_obstacle(purse, n_tokens, now_usec, wall_usec, ret);
        say(subject, sizeof(subject), "credential \"%s\" of %s", purse->config->name, purse->provider->name);
        if (ret->state == SG_LANE_UP && does_rest(pair, now_usec, "", ret))
                say(subject, sizeof(subject), "%s with credential \"%s\"", p->config->name, purse->config->name);
        if (ret->state != SG_LANE_UP)
                add_subject(ret, subject);
}

void way_obstacle(const struct sg_lanes *l, const struct place *p, uint64_t n_tokens, uint64_t now_usec,
                  uint64_t wall_usec, struct obstacle *ret)
{
        struct obstacle o;

        place_obstacle(p, now_usec, ret);
        if (ret->state != SG_LANE_UP) {
                add_subject(ret, p->config->name);
                return;
        }
        ret->wait_usec = SG_USEC_NEVER;
        for (size_t i = 0; i < p->n_purses; i++) {
                purse_way(p, &l->purses[p->first_purse + i], p->pairs[i], n_tokens, now_usec, wall_usec, &o);
                if (o.wait_usec < ret->wait_usec)
                        *ret = o;
        }
}
