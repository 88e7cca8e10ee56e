/* What is said first, in one write: who we are, which database, and what it is that we have reached. */
#include <inttypes.h>
#include <stdio.h>

#include "redis/redis_internal.h"

static void done(struct sg_redis *r)
{
        if (--r->n_greeting == 0)
                redis_greeted(r);
}

static void on_plain_reply(struct sg_redis_command *c, const struct sg_redis_reply *reply, void *owner)
{
        struct sg_redis *r = owner;
        char words[SG_REDIS_WORDS_BYTES];

        if (!reply)
                return; /* the connection is gone already */
        if (reply->kind == SG_REDIS_ERROR) {
                (void)sg_redis_error_words(reply->text, words);
                redis_drop(r, words);
        } else if (reply->kind != SG_REDIS_STATUS) {
                redis_drop(r, "what it sent is not an answer of Redis");
        } else {
                done(r);
        }
}

static struct sg_str info_value(struct sg_str info, struct sg_str name)
{
        struct sg_str line;

        while (info.n) {
                (void)sg_str_cut(&info, '\n', &line);
                if (line.n && line.p[line.n - 1] == '\r')
                        line.n--;
                if (sg_str_starts(line, name))
                        return sg_str_skip(line, name.n);
        }
        return SG_STR_NONE;
}

static void keep_version(struct sg_redis *r, struct sg_str version)
{
        const size_t n = sg_str_copy(r->version, sizeof(r->version), version);

        for (size_t i = 0; i < n; i++)
                if (r->version[i] < '!' || r->version[i] > '~')
                        r->version[i] = '?';
}

/* Scripts that read the clock before they write are replicated rightly since Redis 5. */
static bool is_too_old(struct sg_str version)
{
        struct sg_str major;
        uint64_t n;

        (void)sg_str_cut(&version, '.', &major);
        return sg_str_to_u64(major, &n) == 0 && n < 5;
}

/* Who may not ask that is believed to have named the right one: the first command will show. */
static void on_info(struct sg_redis_command *c, const struct sg_redis_reply *reply, void *owner)
{
        struct sg_redis *r = owner;
        char words[SG_REDIS_WORDS_BYTES];
        struct sg_str mode;

        if (!reply)
                return;
        if (reply->kind == SG_REDIS_ERROR && !sg_redis_error_is(reply->text, SG_STR("NOPERM"))) {
                (void)sg_redis_error_words(reply->text, words);
                redis_drop(r, words);
                return;
        }
        if (reply->kind == SG_REDIS_TEXT) {
                keep_version(r, info_value(reply->text, SG_STR("redis_version:")));
                mode = info_value(reply->text, SG_STR("redis_mode:"));
                if (sg_str_eq(mode, SG_STR("cluster"))) {
                        (void)sg_redis_error_words(SG_STR("MOVED redis_mode:cluster"), words);
                        redis_drop(r, words);
                        return;
                }
                if (sg_str_eq(mode, SG_STR("sentinel"))) {
                        redis_drop(r, "it is a Sentinel, not a Redis; name the primary in [redis] url");
                        return;
                }
                if (is_too_old(sg_str_from(r->version))) {
                        (void)snprintf(words, sizeof(words), "it is Redis %s; version 5 or later is needed",
                                       r->version);
                        redis_drop(r, words);
                        return;
                }
        } else if (reply->kind != SG_REDIS_ERROR) {
                redis_drop(r, "what it sent is not an answer of Redis");
                return;
        }
        done(r);
}

static int say(struct sg_redis *r, void (*on_reply)(struct sg_redis_command *, const struct sg_redis_reply *, void *),
               const struct sg_str *words, size_t n)
{
        struct sg_redis_command *c = &r->greeting[r->n_greeting++];

        SG_ASSERT(r->n_greeting <= SG_N_ELEMENTS(r->greeting));
        *c = (struct sg_redis_command){.on_reply = on_reply, .owner = r};
        return redis_put(r, c, words, n);
}

void redis_greet(struct sg_redis *r)
{
        const struct sg_redis_options *o = &r->options;
        char digits[SG_U64_DIGITS_MAX];
        int e = 0;

        r->n_greeting = 0;
        r->version[0] = '\0';
        if (o->password && o->user) {
                e = say(r, on_plain_reply,
                        (struct sg_str[]){SG_STR("AUTH"), sg_str_from(o->user), sg_secret_bytes(o->password)}, 3);
        } else if (o->password) {
                e = say(r, on_plain_reply, (struct sg_str[]){SG_STR("AUTH"), sg_secret_bytes(o->password)}, 2);
        }
        if (!e && o->database)
                e = say(r, on_plain_reply, (struct sg_str[]){SG_STR("SELECT"), sg_str_u64(digits, o->database)}, 2);
        if (!e)
                e = say(r, on_info, (struct sg_str[]){SG_STR("INFO"), SG_STR("server")}, 2);
        if (e)
                redis_drop(r, "no memory is left");
}
