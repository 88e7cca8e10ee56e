/*
 * journal/record.h - what one exchange leaves behind: the usage event, as values and as bytes
 *
 * Shape    an open record (before the request goes upstream) and a close record (before the last byte goes to the
 *          client). Both carry the exchange's number in its ring; the close record is complete in itself
 * Units    _wall_usec since 1970 UTC; _usec durations; tokens; bytes
 * Owner    strings are views: the writer's while encoding, into the given bytes after decoding
 * Thread   any
 * Errors   SG_RECORD_E_*; a reader of the version before does not open rings of this one (format.h)
 * Limits   SG_RECORD_BYTES_MAX encoded; strings longer than their limit are refused by encode
 */
#pragma once

#include "base/limits.h"
#include "base/str.h"

#define SG_RECORD_BYTES_MAX 8192u

enum sg_record_error {
        SG_RECORD_E_BAD = 1, /* not a record of this version, or lengths that do not fit */
        SG_RECORD_E_ROOM,    /* encode: the output is too small or a string too long */
};

enum sg_record_kind {
        SG_RECORD_OPEN = 1,
        SG_RECORD_CLOSE = 2,
};

/* How the exchange ended. */
enum sg_outcome {
        SG_OUTCOME_COMPLETE,    /* the whole answer was seen and handed to the client */
        SG_OUTCOME_TRUNCATED,   /* the provider broke off after the first byte */
        SG_OUTCOME_CLIENT_GONE, /* the client hung up first */
        SG_OUTCOME_FAILED,      /* no answer: the client got an error of the gateway or the provider */
        SG_OUTCOME_CUT_OFF,     /* the gateway died with the exchange open: written by the ledger */
        SG_OUTCOME_N,
};
const char *sg_outcome_name(enum sg_outcome o); /* "complete", "truncated", "client_gone", "failed", "cut_off" */

enum sg_record_flag {
        SG_RECORD_STREAM = 1u << 0, /* the answer was a stream */
};

/* The values of enum sg_certainty, which the ledger cannot include. */
enum sg_record_certainty {
        SG_RECORD_CERTAINTY_NONE,
        SG_RECORD_CERTAINTY_MEASURED,
        SG_RECORD_CERTAINTY_PARTIAL,
        SG_RECORD_CERTAINTY_ESTIMATED,
        SG_RECORD_CERTAINTY_N,
};
const char *sg_record_certainty_name(uint32_t c); /* "none", "measured", "partial", "estimated" */

/* The longest strings; longer ones are cut by sg_record_fit(). */
#define SG_RECORD_OPERATION_BYTES_MAX 64u
#define SG_RECORD_MODEL_BYTES_MAX     256u /* model, upstream_model */
#define SG_RECORD_REASON_BYTES_MAX    128u

/* No close record that was fitted is longer. */
#define SG_RECORD_CLOSE_BYTES_MAX 3392u

struct sg_record {
        enum sg_record_kind kind;
        uint64_t exchange; /* number within its ring; set by the ring */
        uint64_t start_wall_usec;
        uint64_t key_id;
        struct sg_str request_id, key_name, operation, model, provider, upstream_model;
        struct sg_str credential; /* the name of the provider's, or empty */
        uint64_t prompt_bytes;    /* of the request body: the estimate when all else is lost */
        uint32_t flags;
        /* close only */
        enum sg_outcome outcome;
        uint32_t status;     /* what the client was told */
        uint32_t certainty;  /* enum sg_certainty of llm/llm.h */
        uint32_t n_attempts; /* requests that were sent, or tried to; 0: before it was counted, or none */
        uint64_t input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens;
        uint64_t cache_write_1h_tokens; /* of cache_write */
        uint64_t audio_input_tokens, audio_output_tokens, image_tokens;
        uint64_t duration_usec, first_byte_usec; /* from the start; first_byte 0: none */
        uint64_t answer_bytes;
        struct sg_str reason;    /* of a failure, a word; or empty */
        struct sg_str raw_usage; /* the provider's JSON; cut to nothing when over SG_RAW_USAGE_BYTES_MAX */
};

/* Cuts strings to their limits (at a whole character) and a raw_usage that is too long to nothing; out of range enums
 * become SG_OUTCOME_FAILED and SG_RECORD_CERTAINTY_NONE. Encoding into SG_RECORD_BYTES_MAX cannot fail afterwards. */
void sg_record_fit(struct sg_record *rec);

/* Encodes into out (little endian, versioned). */
int sg_record_encode(const struct sg_record *rec, void *out, size_t out_bytes, size_t *ret_n) SG_MUST_CHECK;
/* Hostile input is expected. Records of the version before are read, too: what they lack is empty or 0. */
int sg_record_decode(struct sg_record *ret, const void *data, size_t n) SG_MUST_CHECK;
