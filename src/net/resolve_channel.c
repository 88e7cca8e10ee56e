/*
 * c-ares keeps the protocol; its sockets and its timeout are the loop's. It closes a socket right after it has told
 * that nothing is awaited there, so that the watch is off in time.
 *
 * c-ares 1.18 reads resolv.conf at ares_init() and never again. When the file has changed, a new channel is made, and
 * the questions of the old one are asked anew. This never happens inside a call from c-ares, because what is asked
 * during one waits for the end of the turn in resolve.c.
 */
#include <ares.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "net/resolve_internal.h"

#define RESOLV_CONF      "/etc/resolv.conf"
#define CHECK_EVERY_USEC (5 * SG_USEC_PER_SEC)
#define TRY_MSEC         1500 /* the first try; c-ares waits longer on each round */
#define TRIES            3

struct sg_channel {
        ares_channel ares;
        struct sg_loop *loop;
        struct sg_timer timeout;
        struct sg_list sockets;
        struct sg_list asked_anew; /* questions of the channel that is being replaced */
        char *servers;             /* NULL: those of resolv.conf */
        char *conf;
        uint16_t port;
        uint64_t check_every_usec;
        struct timespec conf_mtime;
        ino_t conf_inode;
        uint64_t checked_usec;
        bool is_replacing;
        void (*on_answer)(void *asker, int error, const struct sg_resolved *found, uint64_t ttl_usec);
};

struct ares_socket {
        struct sg_link link;
        struct sg_io io;
        struct sg_channel *channel;
};

struct question {
        struct sg_link link; /* of asked_anew */
        struct sg_channel *channel;
        void *asker;
        char host[];
};

/* ---- sockets and time */

static void update_timeout(struct sg_channel *c)
{
        struct timeval tv, *next;

        next = ares_timeout(c->ares, NULL, &tv);
        if (next)
                sg_timer_start(&c->timeout, (uint64_t)tv.tv_sec * SG_USEC_PER_SEC + (uint64_t)tv.tv_usec);
        else
                sg_timer_stop(&c->timeout);
}

static void on_timeout(struct sg_timer *t, void *owner)
{
        struct sg_channel *c = owner;

        ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        update_timeout(c);
}

static void on_ready(struct sg_io *io, unsigned ready, void *owner)
{
        struct sg_channel *c = ((struct ares_socket *)owner)->channel;
        const int fd = io->fd;

        /* Inside, c-ares may close this socket and the watch be freed. */
        ares_process_fd(c->ares, ready & SG_IO_READ ? fd : ARES_SOCKET_BAD, ready & SG_IO_WRITE ? fd : ARES_SOCKET_BAD);
        update_timeout(c);
}

static struct ares_socket *find_socket(struct sg_channel *c, int fd)
{
        SG_LIST_EACH (&c->sockets, k) {
                struct ares_socket *s = SG_CONTAINER(k, struct ares_socket, link);

                if (s->io.fd == fd)
                        return s;
        }
        return NULL;
}

static void drop_socket(struct ares_socket *s)
{
        sg_io_done(&s->io);
        sg_list_remove(&s->channel->sockets, &s->link);
        free(s);
}

static void on_socket_state(void *data, ares_socket_t fd, int reads, int writes)
{
        struct sg_channel *c = data;
        struct ares_socket *s = find_socket(c, fd);

        if (!reads && !writes) {
                if (s)
                        drop_socket(s);
                return;
        }
        if (!s) {
                s = calloc(1, sizeof(*s));
                if (!s)
                        return; /* the question times out */
                s->channel = c;
                if (sg_io_init(&s->io, c->loop, fd, on_ready, s)) {
                        free(s);
                        return;
                }
                sg_list_push(&c->sockets, &s->link);
        }
        sg_io_set(&s->io, (reads ? SG_IO_READ : 0u) | (writes ? SG_IO_WRITE : 0u));
}

/* ---- answers */

static int translate(int status)
{
        switch (status) {
        case ARES_SUCCESS:
                return 0;
        case ARES_ENOTFOUND:
        case ARES_ENODATA:
        case ARES_EBADNAME:
                return SG_RESOLVE_E_NOT_FOUND;
        default:
                return SG_RESOLVE_E_FAILED;
        }
}

static uint64_t take_addresses(struct sg_resolved *found, const struct ares_addrinfo *info)
{
        int ttl = INT_MAX;

        for (const struct ares_addrinfo_node *n = info ? info->nodes : NULL; n; n = n->ai_next) {
                if (n->ai_family != AF_INET && n->ai_family != AF_INET6)
                        continue;
                ttl = SG_MIN(ttl, n->ai_ttl);
                if (found->n == SG_RESOLVE_ADDRESSES_MAX)
                        continue;
                memcpy(&found->addresses[found->n], n->ai_addr, n->ai_addrlen);
                found->lengths[found->n++] = n->ai_addrlen;
        }
        return (uint64_t)SG_MAX(ttl, 0) * SG_USEC_PER_SEC;
}

static void on_addrinfo(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
        struct question *q = arg;
        struct sg_resolved found = {.n = 0};
        uint64_t ttl_usec;
        int error = translate(status);

        if (status == ARES_EDESTRUCTION && q->channel->is_replacing) {
                sg_list_push(&q->channel->asked_anew, &q->link);
                return;
        }
        ttl_usec = take_addresses(&found, info);
        if (info)
                ares_freeaddrinfo(info);
        if (!error && found.n == 0)
                error = SG_RESOLVE_E_NOT_FOUND;
        if (error)
                sg_debug("resolve %s: %s", q->host, ares_strerror(status));
        q->channel->on_answer(q->asker, error, &found, ttl_usec);
        free(q);
}

static void ask(struct sg_channel *c, struct question *q)
{
        const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

        ares_getaddrinfo(c->ares, q->host, NULL, &hints, on_addrinfo, q);
}

/* ---- the channel and its configuration */

static bool conf_has_changed(struct sg_channel *c)
{
        struct stat st;
        bool changed;

        if (c->servers || stat(c->conf, &st))
                return false;
        changed = st.st_ino != c->conf_inode || st.st_mtim.tv_sec != c->conf_mtime.tv_sec ||
                  st.st_mtim.tv_nsec != c->conf_mtime.tv_nsec;
        c->conf_inode = st.st_ino;
        c->conf_mtime = st.st_mtim;
        return changed;
}

static int init_ares(struct sg_channel *c, ares_channel *ret)
{
        static char files_then_dns[] = "fb";
        struct ares_options options = {.timeout = TRY_MSEC,
                                       .tries = TRIES,
                                       .lookups = files_then_dns,
                                       .udp_port = c->port,
                                       .tcp_port = c->port,
                                       .resolvconf_path = c->conf,
                                       .sock_state_cb = on_socket_state,
                                       .sock_state_cb_data = c};
        int mask =
                ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF;
        ares_channel ares;

        if (c->port)
                mask |= ARES_OPT_UDP_PORT | ARES_OPT_TCP_PORT;
        if (ares_init_options(&ares, &options, mask))
                return -ENOMEM;
        if (c->servers && ares_set_servers_ports_csv(ares, c->servers)) {
                ares_destroy(ares);
                return -EINVAL;
        }
        *ret = ares;
        return 0;
}

static void replace(struct sg_channel *c)
{
        ares_channel fresh;
        struct sg_link *k;

        if (init_ares(c, &fresh))
                return; /* the old one still serves */
        c->is_replacing = true;
        ares_destroy(c->ares);
        c->is_replacing = false;
        c->ares = fresh;
        while ((k = sg_list_pop(&c->asked_anew)))
                ask(c, SG_CONTAINER(k, struct question, link));
}

void sg_channel_ask(struct sg_channel *c, const char *host, void *asker)
{
        const size_t n = strlen(host) + 1;
        const uint64_t now = sg_loop_now_usec(c->loop);
        struct question *q;

        if (now - c->checked_usec >= c->check_every_usec) {
                c->checked_usec = now;
                if (conf_has_changed(c))
                        replace(c);
        }
        q = calloc(1, sizeof(*q) + n);
        if (!q) {
                c->on_answer(asker, SG_RESOLVE_E_FAILED, &(struct sg_resolved){.n = 0}, 0);
                return;
        }
        q->channel = c;
        q->asker = asker;
        memcpy(q->host, host, n);
        ask(c, q);
        update_timeout(c);
}

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

/* It stays for the life of the process: ares_library_cleanup() is not for threads. */
static void init_library(void)
{
        if (ares_library_init(ARES_LIB_INIT_ALL))
                sg_err("cannot initialise c-ares: names will not be resolved");
}

static void free_parts(struct sg_channel *c)
{
        sg_timer_done(&c->timeout);
        free(c->servers);
        free(c->conf);
        free(c);
}

int sg_channel_new(struct sg_channel **ret, struct sg_loop *l, const struct sg_resolver_options *options,
                   void (*on_answer)(void *asker, int error, const struct sg_resolved *found, uint64_t ttl_usec))
{
        struct sg_channel *c;
        int r;

        pthread_once(&library_once, init_library);
        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->loop = l;
        c->on_answer = on_answer;
        sg_list_init(&c->sockets);
        sg_list_init(&c->asked_anew);
        c->servers = options->servers ? strdup(options->servers) : NULL;
        c->conf = strdup(options->resolv_conf ? options->resolv_conf : RESOLV_CONF);
        c->port = options->port;
        c->check_every_usec = options->check_every_usec ? options->check_every_usec : CHECK_EVERY_USEC;
        r = sg_timer_init(&c->timeout, l, on_timeout, c);
        if (!c->conf || (options->servers && !c->servers))
                r = -ENOMEM;
        if (!r) {
                (void)conf_has_changed(c);
                c->checked_usec = sg_loop_now_usec(l);
                r = init_ares(c, &c->ares);
        }
        if (r) {
                free_parts(c);
                return r;
        }
        *ret = c;
        return 0;
}

struct sg_channel *sg_channel_free(struct sg_channel *c)
{
        struct sg_link *k;

        if (!c)
                return NULL;
        ares_destroy(c->ares);
        while ((k = sg_list_first(&c->sockets)))
                drop_socket(SG_CONTAINER(k, struct ares_socket, link));
        free_parts(c);
        return NULL;
}
