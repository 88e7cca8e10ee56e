/*
 * hiredis parses; the values are ours. Its own reply objects would believe what a server says of its array's length
 * (release 0.14 asks for 16 GB for "*2147483647"), and keeps whatever arrives until a reply is whole.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <hiredis.h>

#include "redis/reply.h"

#define CHUNK_BYTES (16u * 1024u)

/* Lengths of arrays have changed their type. */
#if HIREDIS_MAJOR >= 1
typedef size_t array_length;
#else
typedef int array_length;
#endif

struct chunk {
        struct chunk *next;
        size_t n, room;
        _Alignas(max_align_t) char bytes[];
};

struct sg_redis_reader {
        redisReader *hi;
        struct chunk *chunks; /* of the reply that is being made, or was given last */
        size_t n_values;
        size_t n_bytes; /* that were fed since the last whole reply */
        const char *text;
};

/* ---- memory: of one reply, given back as a whole */

static void forget(struct sg_redis_reader *r)
{
        while (r->chunks) {
                struct chunk *next = r->chunks->next;

                free(r->chunks);
                r->chunks = next;
        }
        r->n_values = 0;
}

static void *take(struct sg_redis_reader *r, size_t n)
{
        const size_t rounded = (n + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
        struct chunk *c = r->chunks;

        if (!c || c->room - c->n < rounded) {
                const size_t room = SG_MAX(rounded, (size_t)CHUNK_BYTES);

                c = malloc(sizeof(*c) + room);
                if (!c)
                        return NULL;
                *c = (struct chunk){.next = r->chunks, .room = room};
                r->chunks = c;
        }
        c->n += rounded;
        return memset(c->bytes + (c->n - rounded), 0, rounded);
}

/* ---- what hiredis calls: NULL says that there is no memory, and ends it */

static struct sg_redis_reply *place(const redisReadTask *task)
{
        if (task->parent)
                return &((struct sg_redis_reply *)task->parent->obj)->at[task->idx];
        return take(task->privdata, sizeof(struct sg_redis_reply));
}

static void *make_text(const redisReadTask *task, char *bytes, size_t n)
{
        struct sg_redis_reply *v = place(task);
        char *copy = v ? take(task->privdata, n + 1) : NULL;

        if (!copy)
                return NULL;
        if (n)
                memcpy(copy, bytes, n);
        v->kind = task->type == REDIS_REPLY_ERROR    ? SG_REDIS_ERROR
                  : task->type == REDIS_REPLY_STATUS ? SG_REDIS_STATUS
                                                     : SG_REDIS_TEXT;
        v->text = sg_str_make(copy, n);
        return v;
}

static void *make_array(const redisReadTask *task, array_length n)
{
        struct sg_redis_reader *r = task->privdata;
        struct sg_redis_reply *v = place(task);

        if ((size_t)n > SG_REDIS_VALUES_MAX - r->n_values) {
                r->text = "it sent an array that is too long";
                return NULL;
        }
        r->n_values += (size_t)n;
        if (!v)
                return NULL;
        v->kind = SG_REDIS_ARRAY;
        v->at = take(r, (size_t)n * sizeof(*v->at));
        v->n = (size_t)n;
        return v->at ? v : NULL;
}

static void *make_integer(const redisReadTask *task, long long integer)
{
        struct sg_redis_reply *v = place(task);

        if (v) {
                v->kind = SG_REDIS_INTEGER;
                v->integer = integer;
        }
        return v;
}

static void *make_nil(const redisReadTask *task)
{
        return place(task); /* zeros are a nil */
}

#if HIREDIS_MAJOR >= 1
static void *make_double(const redisReadTask *task, double value, char *bytes, size_t n)
{
        return place(task);
}

static void *make_bool(const redisReadTask *task, int value)
{
        return place(task);
}
#endif

static void free_nothing(void *object)
{
}

static redisReplyObjectFunctions functions = {
        .createString = make_text,
        .createArray = make_array,
        .createInteger = make_integer,
#if HIREDIS_MAJOR >= 1
        .createDouble = make_double,
        .createBool = make_bool,
#endif
        .createNil = make_nil,
        .freeObject = free_nothing,
};

/* ---- the reader */

int sg_redis_reader_new(struct sg_redis_reader **ret)
{
        SG_AUTO(sg_redis_reader_free) struct sg_redis_reader *r = calloc(1, sizeof(*r));

        if (!r)
                return -ENOMEM;
        r->hi = redisReaderCreateWithFunctions(&functions);
        if (!r->hi)
                return -ENOMEM;
        r->hi->privdata = r;
        *ret = SG_GIVE(r);
        return 0;
}

struct sg_redis_reader *sg_redis_reader_free(struct sg_redis_reader *r)
{
        if (!r)
                return NULL;
        if (r->hi)
                redisReaderFree(r->hi);
        forget(r);
        free(r);
        return NULL;
}

static int failed(struct sg_redis_reader *r)
{
        if (!r->text && r->hi->err == REDIS_ERR_OOM)
                return -ENOMEM;
        if (!r->text)
                r->text = "what it sent is not an answer of Redis";
        return SG_REDIS_E_GARBAGE;
}

int sg_redis_reader_feed(struct sg_redis_reader *r, struct sg_str bytes)
{
        if (bytes.n > SG_REDIS_REPLY_BYTES_MAX || r->n_bytes > SG_REDIS_REPLY_BYTES_MAX - bytes.n) {
                r->text = "it sent an answer that is too long";
                return SG_REDIS_E_GARBAGE;
        }
        r->n_bytes += bytes.n;
        if (bytes.n && redisReaderFeed(r->hi, bytes.p, bytes.n) != REDIS_OK)
                return failed(r);
        return 0;
}

int sg_redis_reader_next(struct sg_redis_reader *r, const struct sg_redis_reply **ret)
{
        void *reply = NULL;

        if (!r->hi->reply)
                forget(r);
        if (redisReaderGetReply(r->hi, &reply) != REDIS_OK)
                return failed(r);
        if (!reply)
                return SG_REDIS_E_MORE;
        r->n_bytes = r->hi->len - r->hi->pos;
        *ret = reply;
        return 0;
}

const char *sg_redis_reader_text(const struct sg_redis_reader *r)
{
        return r->text ? r->text : "";
}
