/*
 * The life of a connection to Redis:
 *
 *      waiting -> resolving -> connecting -> greeting -> ready
 *         ^___________|____________|____________|__________|
 *
 * Whatever ends a connection goes through redis_drop(): commands that were sent are answered with nothing, on_out says
 * why, and the next attempt waits. The wait doubles, with some chance in it, so that a thousand gateways do not come
 * back to a restarted Redis at once; it begins anew after a connection that has served for a while.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include <hiredis.h>

#include "base/log.h"
#include "base/random.h"
#include "redis/redis_internal.h"

#define WAIT_MIN_USEC     (50 * SG_USEC_PER_MSEC)
#define WAIT_MAX_USEC     (5 * SG_USEC_PER_SEC)
#define CONNECT_USEC      (5 * SG_USEC_PER_SEC)
#define ANSWER_USEC       (2 * SG_USEC_PER_SEC)
#define SERVED_USEC       (5 * SG_USEC_PER_SEC)
#define ACKNOWLEDGED_USEC (5 * SG_USEC_PER_SEC)

static void enter_resolving(struct sg_redis *r);
static void enter_connecting(struct sg_redis *r);

static const struct redis_step {
        const char *name;
        void (*enter)(struct sg_redis *r);
        uint32_t may_follow;
} steps[REDIS_STATE_N] = {
        [REDIS_WAITING] = {"waiting", NULL, 1u << REDIS_RESOLVING | 1u << REDIS_CONNECTING},
        [REDIS_RESOLVING] = {"resolving", enter_resolving, 1u << REDIS_CONNECTING | 1u << REDIS_WAITING},
        [REDIS_CONNECTING] = {"connecting", enter_connecting, 1u << REDIS_GREETING | 1u << REDIS_WAITING},
        [REDIS_GREETING] = {"greeting", redis_greet, 1u << REDIS_READY | 1u << REDIS_WAITING},
        [REDIS_READY] = {"ready", NULL, 1u << REDIS_WAITING},
};

static void redis_go(struct sg_redis *r, enum redis_state to)
{
        SG_ASSERT(steps[r->state].may_follow & (UINT32_C(1) << to));
        sg_debug("redis: %s -> %s", steps[r->state].name, steps[to].name);
        r->state = to;
        if (steps[to].enter)
                steps[to].enter(r);
}

bool sg_redis_is_ready(const struct sg_redis *r)
{
        return r->state == REDIS_READY;
}

const char *sg_redis_version(const struct sg_redis *r)
{
        return r->version;
}

const char *sg_redis_state_text(const struct sg_redis *r)
{
        return steps[r->state].name;
}

/* ---- the end of a connection */

static void close_connection(struct sg_redis *r)
{
        sg_resolve_cancel(r->resolver, &r->query);
        r->stream = sg_stream_free(r->stream);
        r->reader = sg_redis_reader_free(r->reader);
        sg_loop_undefer(r->loop, &r->flush);
        sg_buf_release(&r->out);
        sg_timer_stop(&r->attempt);
        sg_timer_stop(&r->answer);
}

/* The commands at hand are moved aside first: who is told may send others, and those are refused. */
static void forsake_commands(struct sg_redis *r)
{
        struct sg_list lost;
        struct sg_link *k;

        sg_list_init(&lost);
        while ((k = sg_list_pop(&r->commands)))
                sg_list_push(&lost, k);
        while ((k = sg_list_pop(&lost))) {
                struct sg_redis_command *c = SG_CONTAINER(k, struct sg_redis_command, link);

                if (!r->is_freed)
                        c->on_reply(c, NULL, c->owner);
        }
}

static uint64_t next_wait(struct sg_redis *r)
{
        const uint64_t now = sg_loop_now_usec(r->loop), wait = r->wait_usec;

        if (r->state == REDIS_READY && now - r->ready_since_usec >= SERVED_USEC)
                r->wait_usec = WAIT_MIN_USEC;
        else
                r->wait_usec = SG_MIN(wait * 2, r->options.wait_max_usec);
        return wait / 2 + sg_random_u64() % (wait / 2 + 1);
}

void redis_drop(struct sg_redis *r, const char *why)
{
        char kept[SG_REDIS_WORDS_BYTES];

        if (r->is_freed || r->state == REDIS_WAITING)
                return;
        (void)snprintf(kept, sizeof(kept), "%s", why); /* the words may be the stream's */
        sg_timer_start(&r->again, next_wait(r));
        close_connection(r);
        redis_go(r, REDIS_WAITING);
        forsake_commands(r);
        if (!r->is_freed)
                r->listener->on_out(r, kept, r->owner);
}

/* ---- bytes */

static void on_flush(struct sg_deferred *d)
{
        struct sg_redis *r = SG_CONTAINER(d, struct sg_redis, flush);
        const struct sg_str all = sg_buf_view(&r->out);
        int e;

        if (!r->stream || !all.n)
                return;
        e = sg_stream_write(r->stream, &all, 1);
        sg_buf_release(&r->out);
        if (e == -ENOMEM)
                redis_drop(r, "no memory is left");
        /* Closed: on_end tells it. */
}

static int add_command(struct sg_redis *r, const struct sg_str *words, size_t n_words)
{
        const char **at = calloc(n_words, sizeof(*at));
        size_t *lengths = calloc(n_words, sizeof(*lengths));
        char *text = NULL;
        long long n = -1;
        int e = -ENOMEM;

        for (size_t i = 0; at && lengths && i < n_words; i++) {
                at[i] = words[i].p ? words[i].p : "";
                lengths[i] = words[i].n;
        }
        if (at && lengths)
                n = redisFormatCommandArgv(&text, (int)n_words, at, lengths);
        if (n >= 0) {
                e = sg_buf_add(&r->out, sg_str_make(text, (size_t)n));
                sg_wipe(text, (size_t)n); /* it may be AUTH */
                redisFreeCommand(text);
        }
        free(at);
        free(lengths);
        return e == SG_BUF_E_FULL ? SG_REDIS_E_FULL : e;
}

int redis_put(struct sg_redis *r, struct sg_redis_command *c, const struct sg_str *words, size_t n_words)
{
        int e = add_command(r, words, n_words);

        if (e)
                return e;
        c->link = (struct sg_link){};
        c->answer_by_usec = sg_loop_now_usec(r->loop) + r->options.answer_usec;
        if (sg_list_is_empty(&r->commands))
                sg_timer_start(&r->answer, r->options.answer_usec);
        sg_list_push(&r->commands, &c->link);
        sg_loop_defer(r->loop, &r->flush);
        return 0;
}

int sg_redis_send(struct sg_redis *r, struct sg_redis_command *c, const struct sg_str *words, size_t n_words)
{
        SG_ASSERT(sg_loop_is_mine(r->loop) && n_words > 0);
        if (r->state != REDIS_READY)
                return SG_REDIS_E_OUT;
        if (r->commands.n >= SG_REDIS_COMMANDS_MAX || sg_stream_queued(r->stream) >= SG_REDIS_OUT_BYTES_MAX)
                return SG_REDIS_E_FULL;
        return redis_put(r, c, words, n_words);
}

static void wait_for_next(struct sg_redis *r)
{
        const struct sg_link *k = sg_list_first(&r->commands);
        const uint64_t now = sg_loop_now_usec(r->loop);
        const struct sg_redis_command *c;

        if (!k) {
                sg_timer_stop(&r->answer);
                return;
        }
        c = SG_CONTAINER(k, struct sg_redis_command, link);
        sg_timer_start(&r->answer, c->answer_by_usec > now ? c->answer_by_usec - now : 0);
}

/* Errors that concern the whole are told to the asker first; what he sends then is lost with the connection. */
static void take_reply(struct sg_redis *r, const struct sg_redis_reply *reply)
{
        struct sg_link *k = sg_list_pop(&r->commands);
        struct sg_redis_command *c = k ? SG_CONTAINER(k, struct sg_redis_command, link) : NULL;
        char words[SG_REDIS_WORDS_BYTES];
        const bool is_greeting = r->state == REDIS_GREETING; /* which judges by itself */
        bool is_whole = reply->kind == SG_REDIS_ERROR && sg_redis_error_words(reply->text, words);

        if (!c) {
                redis_drop(r, is_whole ? words : "it answered what was not asked");
                return;
        }
        wait_for_next(r);
        c->on_reply(c, reply, c->owner);
        if (is_whole && !is_greeting)
                redis_drop(r, words);
}

static size_t on_bytes(struct sg_stream *s, struct sg_str bytes, void *owner)
{
        struct sg_redis *r = owner;
        const struct sg_redis_reply *reply;
        int e = sg_redis_reader_feed(r->reader, bytes);

        while (!e) {
                e = sg_redis_reader_next(r->reader, &reply);
                if (!e)
                        take_reply(r, reply);
                if (r->is_freed || r->stream != s)
                        return bytes.n;
        }
        if (e != SG_REDIS_E_MORE)
                redis_drop(r, e == SG_REDIS_E_GARBAGE ? sg_redis_reader_text(r->reader) : "no memory is left");
        return bytes.n;
}

static void on_drained(struct sg_stream *s, void *owner)
{
}

/* ---- connecting */

static uint64_t time_left(const struct sg_redis *r)
{
        const uint64_t now = sg_loop_now_usec(r->loop);

        return r->attempt_until_usec > now ? r->attempt_until_usec - now : 0;
}

static void on_open(struct sg_stream *s, void *owner)
{
        struct sg_redis *r = owner;

        sg_timer_start(&r->attempt, time_left(r));
        sg_stream_resume(s);
        redis_go(r, REDIS_GREETING);
}

static void try_next_address(struct sg_redis *r, const char *why);

static void on_end(struct sg_stream *s, enum sg_stream_end why, void *owner)
{
        struct sg_redis *r = owner;
        char text[SG_REDIS_WORDS_BYTES];

        if (why == SG_STREAM_END_TLS)
                (void)snprintf(text, sizeof(text), "TLS: %s", sg_stream_end_text(s));
        else if (why == SG_STREAM_END_EOF)
                (void)snprintf(text, sizeof(text), "it closed the connection");
        else
                (void)snprintf(text, sizeof(text), "%s", sg_stream_end_text(s));
        if (r->state == REDIS_CONNECTING && why != SG_STREAM_END_TLS)
                try_next_address(r, text);
        else
                redis_drop(r, text);
}

static const struct sg_stream_listener stream_listener = {on_open, on_bytes, on_drained, on_end};

static int put_tls(struct sg_redis *r)
{
        const struct sg_redis_options *o = &r->options;
        const char *name = o->tls_server_name ? o->tls_server_name : o->host;
        struct sg_layer *layer;
        int e;

        if (!o->trust)
                return 0;
        e = sg_tls_client_layer(&layer, o->trust, o->certificate, sg_str_from(name), NULL);
        if (!e)
                sg_tls_apply(r->stream, layer);
        return e;
}

static int open_stream(struct sg_redis *r, size_t i)
{
        const struct sg_stream_options options = {.in_bytes_max = SG_REDIS_REPLY_BYTES_MAX,
                                                  .out_bytes_max = SG_REDIS_OUT_BYTES_MAX,
                                                  .acknowledged_usec = ACKNOWLEDGED_USEC};
        int e;

        r->stream = sg_stream_free(r->stream);
        r->reader = sg_redis_reader_free(r->reader);
        e = sg_redis_reader_new(&r->reader);
        if (!e)
                e = sg_stream_new_connect(&r->stream, r->loop, (const struct sockaddr *)&r->addresses.addresses[i],
                                          r->addresses.lengths[i], &options, &stream_listener, r);
        return e ? e : put_tls(r);
}

/* Each address gets an equal share of the time that is left. */
static void try_next_address(struct sg_redis *r, const char *why)
{
        int e = 0;

        while (r->next_address < r->addresses.n && time_left(r)) {
                const size_t n_left = r->addresses.n - r->next_address;

                e = open_stream(r, r->next_address++);
                if (!e) {
                        sg_timer_start(&r->attempt, time_left(r) / n_left);
                        return;
                }
        }
        redis_drop(r, e ? strerrordesc_np(-e) : why);
}

static int use_socket_path(struct sg_redis *r)
{
        struct sockaddr_un *un = (void *)&r->addresses.addresses[0];
        const size_t n = strlen(r->options.socket_path);

        if (n >= sizeof(un->sun_path))
                return -ENAMETOOLONG;
        r->addresses = (struct sg_resolved){.n = 1};
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, r->options.socket_path, n);
        r->addresses.lengths[0] = sizeof(*un);
        return 0;
}

static void enter_connecting(struct sg_redis *r)
{
        int e = r->options.socket_path ? use_socket_path(r) : 0;

        r->next_address = 0;
        if (e)
                redis_drop(r, strerrordesc_np(-e));
        else
                try_next_address(r, "it has no address");
}

static void on_resolved(struct sg_query *q, int error, const struct sg_resolved *found, void *owner)
{
        struct sg_redis *r = owner;

        if (error) {
                redis_drop(r,
                           error == SG_RESOLVE_E_NOT_FOUND ? "there is no such name" : "no name server gave an answer");
                return;
        }
        r->addresses = *found;
        redis_go(r, REDIS_CONNECTING);
}

static void enter_resolving(struct sg_redis *r)
{
        r->query = (struct sg_query){.on_resolved = on_resolved, .owner = r};
        sg_resolve(r->resolver, &r->query, sg_str_from(r->options.host), r->options.port);
}

static void on_again(struct sg_timer *t, void *owner)
{
        struct sg_redis *r = owner;

        r->attempt_until_usec = sg_loop_now_usec(r->loop) + r->options.connect_usec;
        sg_timer_start(&r->attempt, r->options.connect_usec);
        redis_go(r, r->options.socket_path ? REDIS_CONNECTING : REDIS_RESOLVING);
}

static void on_attempt_too_long(struct sg_timer *t, void *owner)
{
        struct sg_redis *r = owner;
        char text[96];

        (void)snprintf(text, sizeof(text), "%s within %" PRIu64 " ms",
                       r->state == REDIS_GREETING ? "it is connected, but gave no answer" : "it could not be reached",
                       r->options.connect_usec / SG_USEC_PER_MSEC);
        if (r->state == REDIS_CONNECTING)
                try_next_address(r, text);
        else
                redis_drop(r, text);
}

static void on_no_answer(struct sg_timer *t, void *owner)
{
        struct sg_redis *r = owner;
        char text[96];

        (void)snprintf(text, sizeof(text), "it gave no answer within %" PRIu64 " ms",
                       r->options.answer_usec / SG_USEC_PER_MSEC);
        redis_drop(r, text);
}

void redis_greeted(struct sg_redis *r)
{
        sg_timer_stop(&r->attempt);
        r->ready_since_usec = sg_loop_now_usec(r->loop);
        redis_go(r, REDIS_READY);
        r->listener->on_ready(r, r->owner);
}

/* ---- birth and end */

static int copy_text(const char **at)
{
        if (*at)
                *at = strdup(*at);
        return *at ? 0 : -ENOMEM;
}

static int copy_options(struct sg_redis *r, const struct sg_redis_options *o)
{
        struct sg_redis_options *mine = &r->options;
        const char **const texts[] = {&mine->host, &mine->socket_path, &mine->user, &mine->tls_server_name};
        int e = 0;

        *mine = *o;
        if (mine->password)
                sg_secret_ref(mine->password);
        if (mine->trust)
                sg_tls_trust_ref(mine->trust);
        if (mine->certificate)
                sg_tls_certificate_ref(mine->certificate);
        for (size_t i = 0; i < SG_N_ELEMENTS(texts); i++)
                if (*texts[i] && copy_text(texts[i]))
                        e = -ENOMEM;
        mine->connect_usec = o->connect_usec ? o->connect_usec : CONNECT_USEC;
        mine->answer_usec = o->answer_usec ? o->answer_usec : ANSWER_USEC;
        mine->wait_max_usec = o->wait_max_usec ? o->wait_max_usec : WAIT_MAX_USEC;
        return e;
}

static void free_options(struct sg_redis_options *o)
{
        free((char *)o->host);
        free((char *)o->socket_path);
        free((char *)o->user);
        free((char *)o->tls_server_name);
        sg_secret_unref(o->password);
        sg_tls_trust_unref(o->trust);
        sg_tls_certificate_unref(o->certificate);
}

static void on_gone(struct sg_deferred *d)
{
        struct sg_redis *r = SG_CONTAINER(d, struct sg_redis, gone);

        sg_redis_reader_free(r->reader);
        free(r);
}

int sg_redis_new(struct sg_redis **ret, struct sg_loop *l, struct sg_resolver *resolver,
                 const struct sg_redis_options *options, const struct sg_redis_listener *listener, void *owner)
{
        SG_AUTO(sg_redis_free) struct sg_redis *r = calloc(1, sizeof(*r));
        int e;

        if (!r)
                return -ENOMEM;
        r->loop = l;
        r->resolver = resolver;
        r->listener = listener;
        r->owner = owner;
        r->wait_usec = WAIT_MIN_USEC;
        r->flush.run = on_flush;
        r->gone.run = on_gone;
        sg_list_init(&r->commands);
        sg_buf_init(&r->out, SG_REDIS_OUT_BYTES_MAX);
        r->out.secret = true;
        e = copy_options(r, options);
        if (!e)
                e = sg_timer_init(&r->again, l, on_again, r);
        if (!e)
                e = sg_timer_init(&r->attempt, l, on_attempt_too_long, r);
        if (!e)
                e = sg_timer_init(&r->answer, l, on_no_answer, r);
        if (e)
                return e;
        sg_timer_start(&r->again, 1);
        *ret = SG_GIVE(r);
        return 0;
}

/* The reader may be the one whose reply is just being told: it goes with the memory, at the end of the turn. */
struct sg_redis *sg_redis_free(struct sg_redis *r)
{
        if (!r)
                return NULL;
        SG_ASSERT(!r->is_freed);
        r->is_freed = true;
        sg_resolve_cancel(r->resolver, &r->query);
        r->stream = sg_stream_free(r->stream);
        sg_loop_undefer(r->loop, &r->flush);
        sg_buf_done(&r->out);
        while (sg_list_pop(&r->commands))
                continue;
        if (r->again.loop)
                sg_timer_done(&r->again);
        if (r->attempt.loop)
                sg_timer_done(&r->attempt);
        if (r->answer.loop)
                sg_timer_done(&r->answer);
        free_options(&r->options);
        sg_loop_defer(r->loop, &r->gone);
        return NULL;
}
