/*
 * gateway/attempts.h - an exchange with a model: which lane is asked, with which credential, and which one after that
 *
 * Shape    an sg_attempts per exchange with a provider, from prepare to its end. Each attempt is picked, then settled once.
 *          Until a byte of an answer has gone to the client another attempt may take the place of one that failed
 * Units    _usec, tokens
 * Owner    the exchange
 * Thread   its worker
 * Errors   an enum sg_failure for the client
 * Limits   the model's retries; SG_ATTEMPTS_MAX
 */
#pragma once

#include "gateway/exchange.h"
#include "llm/translate.h"
#include "upstream/lanes.h"

struct sg_attempts {
        struct sg_lane_tried tried;
        struct sg_lane_pick pick;
        bool has_pick;
        unsigned cannot; /* a bit for each enum sg_operation of a dialect that has no words for what the request says */
        bool may_have_counted; /* an attempt before this one was sent whole, and may be on its provider's bill */
        unsigned n;            /* attempts that were begun */
        uint64_t hash, n_tokens;
        uint64_t begin_usec;       /* of this attempt */
        uint64_t retry_after_usec; /* of its answer's head; 0: none */
        enum sg_refusal refusal;   /* in the provider's words, of a failure that has some */
        struct sg_timer drain;     /* of an answer that goes on without its client */
        bool is_draining;
        struct sg_translate_notes notes;
        enum sg_failure failed;        /* of the attempt before this one */
        struct sg_lane_pick was_asked; /* in that */
        char *told;                    /* what was noted before this attempt, which is not of it; or NULL */
};

/* For x->model, or where that is NULL for x->provider. False: no memory. */
bool sg_attempts_new(struct sg_exchange *x) SG_MUST_CHECK;
struct sg_attempts *sg_attempts_free(struct sg_attempts *a);

/* The first, or what follows one that could not be made of the request: x->provider and all that goes with it. */
enum sg_step sg_attempts_pick(struct sg_exchange *x);
/* This one's dialect has no words for what the request says: it is as if it had not been picked, and no other of that dialect
 * will be. False: the model leads to none of another dialect, so that the request is at fault. */
bool sg_attempts_avoid_dialect(struct sg_exchange *x);
/* A limit is in the way of this one: it is as if it had not been picked, and is not picked again. */
void sg_attempts_avoid_lane(struct sg_exchange *x);
/* The attempt failed with f before the client saw anything: true when another begins. text: for log and views, or NULL. */
bool sg_attempts_again(struct sg_exchange *x, enum sg_failure f, const char *text);
/* No one can be asked after the attempt that failed: what is told is that one's failure. False: there was none. */
bool sg_attempts_take_back(struct sg_exchange *x);
/* Its answer has begun, and is no fault. */
void sg_attempts_answered(struct sg_exchange *x);
/* A provider that refused has counted nothing; one that had the whole request and did not finish may have. */
bool sg_attempts_may_be_billed(const struct sg_exchange *x, enum sg_failure f);
/* At the end of the exchange. */
void sg_attempts_settle(struct sg_exchange *x);
/* For the log: x->note with what became of the attempts before the last. */
void sg_attempts_note_all(struct sg_exchange *x);
/* "x-scribe-model", "x-scribe-attempts", … as lines. 0 or as sg_buf_add(). */
int sg_attempts_add_fields(struct sg_exchange *x) SG_MUST_CHECK;

/* The client has gone: true when the answer is read on without it. */
bool sg_attempts_drain(struct sg_exchange *x);
/* It has gone on for long enough. */
bool sg_attempts_is_drained(const struct sg_exchange *x);
