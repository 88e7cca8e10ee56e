/*
 * redis/reply.h - what a Redis server answers: bytes in, values out
 *
 * Shape    a reader takes the bytes of a connection, however they are cut, and gives one reply after the other
 * Owner    a reply is the reader's until the next one is asked for, or the reader goes
 * Errors   -ENOMEM, SG_REDIS_E_GARBAGE with a sentence; a reader that has failed is of no use any more
 * Limits   SG_REDIS_REPLY_BYTES_MAX of one reply, SG_REDIS_VALUES_MAX values in it, hiredis' depth (7 or 9)
 * Source   RESP2; hiredis 0.14 and 1.x
 */
#pragma once

#include "base/str.h"

#define SG_REDIS_REPLY_BYTES_MAX (4u << 20)
#define SG_REDIS_VALUES_MAX      65536u

enum sg_redis_kind {
        SG_REDIS_NIL, /* and what RESP2 does not have */
        SG_REDIS_STATUS,
        SG_REDIS_ERROR,
        SG_REDIS_INTEGER,
        SG_REDIS_TEXT,
        SG_REDIS_ARRAY,
        SG_REDIS_KIND_N,
};

struct sg_redis_reply {
        enum sg_redis_kind kind;
        int64_t integer;
        struct sg_str text; /* of a status, an error or a text; a NUL follows it */
        struct sg_redis_reply *at;
        size_t n; /* of an array */
};

enum sg_redis_reply_error {
        SG_REDIS_E_MORE = 1, /* no whole reply yet */
        SG_REDIS_E_GARBAGE,
};

struct sg_redis_reader;

int sg_redis_reader_new(struct sg_redis_reader **ret) SG_MUST_CHECK;
struct sg_redis_reader *sg_redis_reader_free(struct sg_redis_reader *r);
SG_DEFINE_AUTO(struct sg_redis_reader *, sg_redis_reader_free)
int sg_redis_reader_feed(struct sg_redis_reader *r, struct sg_str bytes) SG_MUST_CHECK;
int sg_redis_reader_next(struct sg_redis_reader *r, const struct sg_redis_reply **ret) SG_MUST_CHECK;
/* After SG_REDIS_E_GARBAGE: what is wrong. */
const char *sg_redis_reader_text(const struct sg_redis_reader *r);

/* What an error means, and what to change: a sentence in printable ASCII. True: it concerns the server or the connection as
 * a whole, and the next command would get the same. */
#define SG_REDIS_WORDS_BYTES 400
bool sg_redis_error_words(struct sg_str error, char out[SG_REDIS_WORDS_BYTES]);
/* It begins with that word. */
bool sg_redis_error_is(struct sg_str error, struct sg_str word);
