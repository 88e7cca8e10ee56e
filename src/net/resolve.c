/*
 * The cache is the resolver: a name is known, or asked for by one question whose answer all its queries wait for.
 * Answers that do not come at once are told from deferred work, so that no caller's code runs inside c-ares.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "net/resolve_internal.h"

#define HOST_BYTES_MAX 253u /* RFC 1035 section 2.3.4, as text */
#define NAMES_MAX      1000u
#define N_BUCKETS      256u
#define TTL_MIN_USEC   (1 * SG_USEC_PER_SEC)
#define TTL_MAX_USEC   (300 * SG_USEC_PER_SEC)
#define QUERY_MAX_USEC (5 * SG_USEC_PER_SEC)

struct sg_resolver {
        struct sg_loop *loop;
        struct sg_channel *channel;
        uint64_t timeout_usec;
        struct sg_list buckets[N_BUCKETS];
        struct sg_list known;    /* the one answered longest ago first */
        struct sg_list pending;  /* waited for: the oldest first */
        struct sg_list answered; /* to be told at the end of the turn */
        struct sg_timer timeout; /* of the oldest pending */
        struct sg_deferred deferred;
};

struct name {
        struct sg_link bucket;
        struct sg_link link; /* of known, pending or answered: the state of the name */
        struct sg_resolver *resolver;
        struct sg_list waiting; /* of sg_query */
        uint64_t asked_usec, expires_usec;
        bool is_asked; /* c-ares will call back, even when nobody waits any more */
        int error;
        struct sg_resolved found;
        char host[HOST_BYTES_MAX + 1];
};

/* ---- telling */

static void tell(struct sg_query *q, int error, const struct sg_resolved *found)
{
        struct sg_resolved out;

        q->name = NULL;
        if (error) {
                q->on_resolved(q, error, NULL, q->owner);
                return;
        }
        out.n = found->n;
        out.until_usec = found->until_usec;
        for (size_t i = 0; i < found->n; i++) {
                struct sockaddr *a = (struct sockaddr *)&out.addresses[i];

                out.addresses[i] = found->addresses[i];
                out.lengths[i] = found->lengths[i];
                if (a->sa_family == AF_INET)
                        ((struct sockaddr_in *)a)->sin_port = htons(q->port);
                else
                        ((struct sockaddr_in6 *)a)->sin6_port = htons(q->port);
        }
        q->on_resolved(q, 0, &out, q->owner);
}

static void tell_waiting(struct name *n)
{
        const struct sg_resolved found = n->found; /* the name may be evicted by what is called */
        const int error = n->error;
        struct sg_list waiting;
        struct sg_link *k;

        /* On a list of this frame: whoever asks again from inside waits for another answer. Cancelling a query takes
         * it off the list that its name points to, hence the name goes along. */
        sg_list_init(&waiting);
        while ((k = sg_list_pop(&n->waiting))) {
                SG_CONTAINER(k, struct sg_query, link)->name = &waiting;
                sg_list_push(&waiting, k);
        }
        while ((k = sg_list_pop(&waiting)))
                tell(SG_CONTAINER(k, struct sg_query, link), error, &found);
}

static void run_deferred(struct sg_deferred *d)
{
        struct sg_resolver *r = SG_CONTAINER(d, struct sg_resolver, deferred);
        struct sg_link *k;

        while ((k = sg_list_pop(&r->answered))) {
                sg_list_push(&r->known, k);
                tell_waiting(SG_CONTAINER(k, struct name, link));
        }
}

static void settle(struct name *n, int error, uint64_t ttl_usec)
{
        struct sg_resolver *r = n->resolver;

        sg_list_remove(&r->pending, &n->link);
        sg_list_push(&r->answered, &n->link);
        n->error = error;
        n->expires_usec = n->found.until_usec = sg_loop_now_usec(r->loop) + (error ? TTL_MIN_USEC : ttl_usec);
        sg_loop_defer(r->loop, &r->deferred);
}

static bool is_pending(const struct name *n)
{
        return n->expires_usec == 0;
}

static void on_answer(void *asker, int error, const struct sg_resolved *found, uint64_t ttl_usec)
{
        struct name *n = asker;

        n->is_asked = false;
        ttl_usec = SG_MIN(SG_MAX(ttl_usec, TTL_MIN_USEC), TTL_MAX_USEC);
        if (!error)
                n->found = *found;
        if (is_pending(n)) {
                settle(n, error, ttl_usec);
        } else if (!error) {
                /* Too late for those who asked, in time for the next. */
                n->error = 0;
                n->expires_usec = n->found.until_usec = sg_loop_now_usec(n->resolver->loop) + ttl_usec;
        }
}

/* ---- waiting */

static void update_timeout(struct sg_resolver *r)
{
        const struct sg_link *k = sg_list_first(&r->pending);
        const uint64_t now = sg_loop_now_usec(r->loop);
        uint64_t due;

        if (!k) {
                sg_timer_stop(&r->timeout);
                return;
        }
        due = SG_CONTAINER(k, struct name, link)->asked_usec + r->timeout_usec;
        sg_timer_start(&r->timeout, due > now ? due - now : 0);
}

static void on_timeout(struct sg_timer *t, void *owner)
{
        struct sg_resolver *r = owner;
        const uint64_t now = sg_loop_now_usec(r->loop);
        struct sg_link *k;

        while ((k = sg_list_first(&r->pending))) {
                struct name *n = SG_CONTAINER(k, struct name, link);

                if (n->asked_usec + r->timeout_usec > now)
                        break;
                settle(n, SG_RESOLVE_E_FAILED, 0);
        }
        update_timeout(r);
}

/* ---- names */

static struct sg_list *bucket_of(struct sg_resolver *r, const char *host)
{
        uint32_t h = 2166136261u; /* FNV-1a: the names are the operator's, not an attacker's */

        for (; *host; host++)
                h = (h ^ (unsigned char)*host) * 16777619u;
        return &r->buckets[h % N_BUCKETS];
}

static void drop(struct name *n)
{
        struct sg_resolver *r = n->resolver;

        sg_list_remove(bucket_of(r, n->host), &n->bucket);
        sg_list_remove(&r->known, &n->link);
        free(n);
}

static void make_room(struct sg_resolver *r)
{
        if (r->known.n + r->pending.n + r->answered.n < NAMES_MAX)
                return;
        SG_LIST_EACH (&r->known, k) {
                struct name *n = SG_CONTAINER(k, struct name, link);

                if (!n->is_asked) {
                        drop(n);
                        return;
                }
        }
}

static struct name *find(struct sg_resolver *r, const char *host)
{
        SG_LIST_EACH (bucket_of(r, host), k) {
                struct name *n = SG_CONTAINER(k, struct name, bucket);

                if (strcmp(n->host, host) == 0)
                        return n;
        }
        return NULL;
}

static struct name *add(struct sg_resolver *r, const char *host)
{
        struct name *n;

        make_room(r);
        if (r->known.n + r->pending.n + r->answered.n >= NAMES_MAX)
                return NULL;
        n = calloc(1, sizeof(*n));
        if (!n)
                return NULL;
        n->resolver = r;
        n->expires_usec = 1; /* known, and long out of date */
        sg_list_init(&n->waiting);
        memcpy(n->host, host, strlen(host) + 1);
        sg_list_push(bucket_of(r, host), &n->bucket);
        sg_list_push(&r->known, &n->link);
        return n;
}

static void ask(struct name *n)
{
        struct sg_resolver *r = n->resolver;

        n->expires_usec = 0;
        n->asked_usec = sg_loop_now_usec(r->loop);
        sg_list_remove(&r->known, &n->link);
        sg_list_push(&r->pending, &n->link);
        if (!n->is_asked) {
                n->is_asked = true;
                sg_channel_ask(r->channel, n->host, n);
        }
        update_timeout(r);
}

/* ---- queries */

static bool is_literal(struct sg_resolved *ret, const char *host)
{
        struct sockaddr_in *in = (void *)&ret->addresses[0];
        struct sockaddr_in6 *in6 = (void *)&ret->addresses[0];
        struct in6_addr a6;
        struct in_addr a;

        if (inet_pton(AF_INET, host, &a) == 1) {
                *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = a};
                ret->lengths[0] = sizeof(*in);
        } else if (inet_pton(AF_INET6, host, &a6) == 1) {
                *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = a6};
                ret->lengths[0] = sizeof(*in6);
        } else {
                return false;
        }
        ret->n = 1;
        ret->until_usec = SG_USEC_NEVER;
        return true;
}

/* Lower case, without a NUL inside. */
static bool take_host(char out[HOST_BYTES_MAX + 1], struct sg_str host)
{
        if (host.n == 0 || host.n > HOST_BYTES_MAX)
                return false;
        for (size_t i = 0; i < host.n; i++) {
                const char c = host.p[i];

                if (c <= ' ' || c == 0x7f)
                        return false;
                out[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
        }
        out[host.n] = '\0';
        return true;
}

void sg_resolve(struct sg_resolver *r, struct sg_query *q, struct sg_str host, uint16_t port)
{
        struct sg_resolved literal = {.n = 0};
        char text[HOST_BYTES_MAX + 1];
        struct name *n;

        q->port = port;
        q->name = NULL;
        q->link = (struct sg_link){NULL, NULL};
        if (!take_host(text, host)) {
                tell(q, SG_RESOLVE_E_NOT_FOUND, NULL);
                return;
        }
        if (is_literal(&literal, text)) {
                tell(q, 0, &literal);
                return;
        }
        n = find(r, text);
        if (!n)
                n = add(r, text);
        if (!n) {
                tell(q, SG_RESOLVE_E_FAILED, NULL);
                return;
        }
        if (!is_pending(n) && n->expires_usec > sg_loop_now_usec(r->loop) && sg_list_is_empty(&n->waiting)) {
                const struct sg_resolved found = n->found;

                tell(q, n->error, &found);
                return;
        }
        sg_list_push(&n->waiting, &q->link);
        q->name = &n->waiting;
        if (!is_pending(n) && n->expires_usec <= sg_loop_now_usec(r->loop))
                ask(n);
}

void sg_resolve_cancel(struct sg_resolver *r, struct sg_query *q)
{
        if (sg_link_is_on_list(&q->link))
                sg_list_remove(q->name, &q->link);
        q->name = NULL;
}

/* ---- life */

int sg_resolver_new_with(struct sg_resolver **ret, struct sg_loop *l, const struct sg_resolver_options *options)
{
        struct sg_resolver *r;
        int e;

        r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        r->loop = l;
        r->timeout_usec = options->timeout_usec ? options->timeout_usec : QUERY_MAX_USEC;
        r->deferred.run = run_deferred;
        for (size_t i = 0; i < N_BUCKETS; i++)
                sg_list_init(&r->buckets[i]);
        sg_list_init(&r->known);
        sg_list_init(&r->pending);
        sg_list_init(&r->answered);
        e = sg_timer_init(&r->timeout, l, on_timeout, r);
        if (!e)
                e = sg_channel_new(&r->channel, l, options, on_answer);
        if (e) {
                free(r);
                return e;
        }
        *ret = r;
        return 0;
}

int sg_resolver_new(struct sg_resolver **ret, struct sg_loop *l)
{
        return sg_resolver_new_with(ret, l, &(struct sg_resolver_options){.servers = NULL});
}

static void forget_all(struct sg_list *names)
{
        struct sg_link *k;

        while ((k = sg_list_pop(names))) {
                struct name *n = SG_CONTAINER(k, struct name, link);
                struct sg_link *q;

                while ((q = sg_list_pop(&n->waiting)))
                        SG_CONTAINER(q, struct sg_query, link)->name = NULL;
                free(n);
        }
}

struct sg_resolver *sg_resolver_free(struct sg_resolver *r)
{
        if (!r)
                return NULL;
        sg_channel_free(r->channel); /* every question ends, so that no name is referred to any more */
        sg_loop_undefer(r->loop, &r->deferred);
        sg_timer_done(&r->timeout);
        forget_all(&r->known);
        forget_all(&r->pending);
        forget_all(&r->answered);
        free(r);
        return NULL;
}
