#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "ledger/pg_link.h"
#include "ledger/pg_listen.h"

#define RETRY_USEC SG_USEC_PER_SEC

struct news {
        struct sg_letter letter;
        uint64_t version;
};

struct sg_pg_listen {
        struct sg_mailbox *mailbox;
        void (*on_change)(uint64_t version, void *owner);
        void *owner;
        struct sg_store_options options;
        pthread_t thread;
        bool is_running;
        int end_fd;                  /* readable: it is to end */
        struct sg_store_limit limit; /* the same, for what waits for the server */
        /* the thread's */
        struct sg_pg_link link;
        bool has_told;
        uint64_t told; /* version */
};

/* ---- the thread */

static void tell(struct sg_pg_listen *p, uint64_t version)
{
        struct news *news;

        if (p->has_told && version == p->told)
                return;
        news = calloc(1, sizeof(*news));
        if (!news)
                return; /* asked again at the next look */
        news->version = version;
        p->has_told = true;
        p->told = version;
        sg_mailbox_post(p->mailbox, &news->letter);
}

static int ask_version(struct sg_pg_listen *p, struct sg_error *err)
{
        PGresult *res = NULL;
        uint64_t version;
        int r = sg_pg_one(&p->link, "SELECT value FROM scribe.counter WHERE name = 'key_version'", NULL, &res,
                          "cannot read the keys' version", err);

        if (r)
                return r > 0 ? -EUCLEAN : r;
        version = sg_pg_u64(res, 0);
        PQclear(res);
        tell(p, version);
        return 0;
}

/* First to listen, then to look: what changes in between is heard. */
static int listen_again(struct sg_pg_listen *p, struct sg_error *err)
{
        bool is_new = false;
        int r = sg_pg_connect(&p->link, &is_new, err);

        if (r || !is_new)
                return r;
        p->has_told = false;
        r = sg_pg_script(&p->link, "LISTEN scribe_keys", "cannot listen for changes of keys", err);
        return r ? r : ask_version(p, err);
}

static void hear(struct sg_pg_listen *p)
{
        PGnotify *note;

        if (!PQconsumeInput(p->link.conn)) {
                sg_pg_drop(&p->link);
                return;
        }
        while ((note = PQnotifies(p->link.conn))) {
                uint64_t version;

                if (sg_str_to_u64(sg_str_from(note->extra), &version) == 0)
                        tell(p, version);
                PQfreemem(note);
        }
}

/* For a word of the server's, or the end. -ETIME: neither came. */
static int wait_for_word(struct sg_pg_listen *p, uint64_t usec)
{
        struct pollfd fds[] = {{.fd = p->end_fd, .events = POLLIN},
                               {.fd = p->link.conn ? PQsocket(p->link.conn) : -1, .events = POLLIN}};
        int n = poll(fds, SG_N_ELEMENTS(fds), (int)(usec / SG_USEC_PER_MSEC));

        if (n == 0)
                return -ETIME;
        return n > 0 && fds[0].revents ? -ECANCELED : 0;
}

static void *run(void *arg)
{
        struct sg_pg_listen *p = arg;
        struct sg_error err = {0};
        int r = 0;

        while (r != -ECANCELED) {
                if (listen_again(p, &err) != 0) {
                        sg_debug("changes of keys are not heard: %s: %s", err.where, err.text);
                        sg_pg_drop(&p->link);
                        r = wait_for_word(p, RETRY_USEC);
                        continue;
                }
                r = wait_for_word(p, SG_PG_LISTEN_POLL_USEC);
                if (r == 0)
                        hear(p);
                else if (r == -ETIME && ask_version(p, &err) != 0)
                        sg_pg_drop(&p->link);
        }
        return NULL;
}

/* ---- the loop's */

static void on_letter(struct sg_letter *letter, void *owner)
{
        struct news *news = SG_CONTAINER(letter, struct news, letter);
        struct sg_pg_listen *p = owner;

        if (!atomic_load_explicit(&p->limit.is_cancelled, memory_order_relaxed))
                p->on_change(news->version, p->owner);
        free(news);
}

int sg_pg_listen_new(struct sg_pg_listen **ret, struct sg_loop *l, const struct sg_store_options *options,
                     void (*on_change)(uint64_t version, void *owner), void *owner, struct sg_error *err)
{
        SG_AUTO(sg_pg_listen_free) struct sg_pg_listen *p = calloc(1, sizeof(*p));
        int r;

        if (!p)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        p->on_change = on_change;
        p->owner = owner;
        p->limit.until_usec = SG_USEC_NEVER;
        p->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (p->end_fd < 0 || sg_store_options_copy(&p->options, options) != 0)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        r = sg_pg_url_parse(&p->link.url, &p->options, err);
        if (r)
                return r;
        p->link.options = &p->options;
        p->link.limit = &p->limit;
        p->link.answer_usec = SG_PG_ANSWER_USEC;
        r = sg_mailbox_new(&p->mailbox, l, on_letter, p);
        if (!r)
                r = sg_thread_start(&p->thread, "listen", run, p);
        if (r)
                return sg_error_set(err, r, "", "cannot start a thread");
        p->is_running = true;
        *ret = SG_GIVE(p);
        return 0;
}

struct sg_pg_listen *sg_pg_listen_free(struct sg_pg_listen *p)
{
        if (!p)
                return NULL;
        atomic_store_explicit(&p->limit.is_cancelled, true, memory_order_relaxed);
        if (p->is_running) {
                SG_ASSERT(eventfd_write(p->end_fd, 1) == 0);
                SG_ASSERT(pthread_join(p->thread, NULL) == 0);
        }
        if (p->mailbox)
                sg_mailbox_free(p->mailbox);
        sg_pg_link_done(&p->link);
        if (p->end_fd >= 0)
                (void)close(p->end_fd);
        sg_store_options_done(&p->options);
        free(p);
        return NULL;
}
