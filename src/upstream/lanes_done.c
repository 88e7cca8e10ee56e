/*
 * What is learned from how an exchange went: the table of lanes.h.
 */
#include "upstream/lanes_internal.h"

#define TEXT_BYTES 256

/* What a pick was of. */
struct way {
        struct place *place;
        struct purse *purse;
        struct known *pair;
};

static struct way way_of(struct sg_lanes *l, const struct sg_lane_pick *pick)
{
        struct way w;

        SG_ASSERT(pick->lane < l->n_places && pick->row < l->places[pick->lane].n_purses);
        w.place = &l->places[pick->lane];
        w.purse = &l->purses[w.place->first_purse + pick->row];
        w.pair = w.place->pairs[pick->row];
        return w;
}

/* ---- it went well */

static enum sg_lane_turn went_well(const struct way *w, const struct sg_lane_pick *pick, char ret_text[TEXT_BYTES])
{
        const char *lane = w->place->config->name, *provider = w->purse->provider->name, *name = w->purse->config->name;
        enum sg_lane_turn turn = SG_LANE_TURN_NONE;

        if (breaker_went_well(&w->place->known->breaker, &w->place->rule, pick->trial) == BREAKER_TURN_RETURNED) {
                say(ret_text, TEXT_BYTES, "%s serves again", lane);
                turn = SG_LANE_TURN_RETURNED;
        }
        if (rest_end(&w->place->known->rest, pick->seen_of_lane)) {
                say(ret_text, TEXT_BYTES, "%s serves again", lane);
                turn = SG_LANE_TURN_RETURNED;
        }
        if (rest_end(&w->pair->rest, pick->seen_of_pair)) {
                say(ret_text, TEXT_BYTES, "%s serves again with credential \"%s\"", lane, name);
                turn = SG_LANE_TURN_RETURNED;
        }
        if (rest_end(&w->purse->known->rest, pick->seen_of_credential)) {
                say(ret_text, TEXT_BYTES, "credential \"%s\" of provider \"%s\" is accepted again", name, provider);
                turn = SG_LANE_TURN_RETURNED;
        }
        return turn;
}

enum sg_lane_turn sg_lanes_answered(struct sg_lanes *l, struct sg_lane_pick *pick, uint64_t first_byte_usec,
                                    uint64_t now_usec, char ret_text[TEXT_BYTES])
{
        const struct way w = way_of(l, pick);
        enum sg_lane_turn turn;

        ret_text[0] = '\0';
        if (pick->is_answered)
                return SG_LANE_TURN_NONE;
        if (first_byte_usec)
                latency_learn(w.place->known, first_byte_usec, now_usec);
        turn = went_well(&w, pick, ret_text);
        pick->is_answered = true;
        return turn;
}

/* ---- it did not */

static void count_failed(struct known *k)
{
        (void)atomic_fetch_add_explicit(&k->n_failed, 1, memory_order_relaxed);
}

/* What a fault is told of, and whom it makes rest. */
static struct known *rests(const struct way *w, enum sg_lane_fault fault, char ret_who[TEXT_BYTES])
{
        const char *lane = w->place->config->name, *provider = w->purse->provider->name, *name = w->purse->config->name;

        if (fault == SG_LANE_OVERLOAD) {
                say(ret_who, TEXT_BYTES, "%s rests", lane);
                return w->place->known;
        }
        if (fault == SG_LANE_RATE) {
                say(ret_who, TEXT_BYTES, "%s rests with credential \"%s\"", lane, name);
                return w->pair;
        }
        say(ret_who, TEXT_BYTES, "credential \"%s\" of provider \"%s\" rests", name, provider);
        return w->purse->known;
}

static enum sg_lane_turn begin_rest(const struct way *w, const struct sg_lane_result *result, const char *text,
                                    uint64_t now_usec, char ret_text[TEXT_BYTES])
{
        char who[TEXT_BYTES], duration[32];
        struct known *k = rests(w, result->fault, who);
        uint64_t usec;

        spoken_set(&k->fault, text);
        if (!rest_begin(&k->rest, result->fault, result->retry_after_usec, now_usec, &usec))
                return SG_LANE_TURN_NONE;
        say(ret_text, TEXT_BYTES, "%s for %s: %s: %s", who, say_duration(usec, duration),
            sg_lane_fault_name(result->fault), text);
        return SG_LANE_TURN_RESTS;
}

static enum sg_lane_turn count_fault(const struct way *w, const struct sg_lane_pick *pick,
                                     const struct sg_lane_result *result, const char *text, uint64_t now_usec,
                                     char ret_text[TEXT_BYTES])
{
        struct known *k = w->place->known;
        /* A trial that was answered is over; what comes then is a fault as any other. */
        const uint64_t trial = pick->is_answered ? 0 : pick->trial;

        spoken_set(&k->fault, text);
        if (breaker_failed(&k->breaker, &w->place->rule, trial, now_usec) != BREAKER_TURN_TRIPPED)
                return SG_LANE_TURN_NONE;
        say(ret_text, TEXT_BYTES, "%s is left alone: %u failures in a row, last: %s: %s", w->place->config->name,
            w->place->rule.failures, sg_lane_fault_name(result->fault), text);
        return SG_LANE_TURN_TRIPPED;
}

static enum sg_lane_turn failed(const struct way *w, const struct sg_lane_pick *pick,
                                const struct sg_lane_result *result, uint64_t now_usec, char ret_text[TEXT_BYTES])
{
        const char *text = result->text && result->text[0] ? result->text : "nothing was said";

        switch (result->fault) {
        case SG_LANE_CREDENTIAL:
        case SG_LANE_QUOTA:
        case SG_LANE_RATE:
                count_failed(w->purse->known);
                break;
        case SG_LANE_OVERLOAD:
                break;
        case SG_LANE_SERVER:
        case SG_LANE_TIMEOUT:
        case SG_LANE_CONNECTION:
        case SG_LANE_TRUNCATED:
                count_failed(w->place->known);
                return count_fault(w, pick, result, text, now_usec, ret_text);
        case SG_LANE_OK:
        case SG_LANE_CLIENT:
        case SG_LANE_FAULT_N:
                SG_UNREACHABLE();
        }
        count_failed(w->place->known);
        /* Of whether it fails again and again these say nothing. */
        breaker_give_up(&w->place->known->breaker, pick->trial, now_usec);
        return begin_rest(w, result, text, now_usec, ret_text);
}

/* ---- */

static void put_down(struct known *k)
{
        const uint64_t load = atomic_fetch_sub_explicit(&k->load, 1, memory_order_relaxed);

        SG_ASSERT(load_outstanding(load) > 0);
}

enum sg_lane_turn sg_lanes_done(struct sg_lanes *l, const struct sg_lane_pick *pick,
                                const struct sg_lane_result *result, uint64_t now_usec, uint64_t wall_usec,
                                char ret_text[TEXT_BYTES])
{
        const struct way w = way_of(l, pick);

        SG_ASSERT(result->fault < SG_LANE_FAULT_N);
        ret_text[0] = '\0';
        put_down(w.place->known);
        put_down(w.purse->known);
        purse_settle(w.purse, pick->n_reserved, result->n_tokens, wall_usec);
        if (result->fault == SG_LANE_CLIENT) {
                breaker_give_up(&w.place->known->breaker, pick->trial, now_usec);
                return SG_LANE_TURN_NONE;
        }
        if (result->fault != SG_LANE_OK)
                return failed(&w, pick, result, now_usec, ret_text);
        if (result->first_byte_usec && !pick->is_answered)
                latency_learn(w.place->known, result->first_byte_usec, now_usec);
        return went_well(&w, pick, ret_text);
}
