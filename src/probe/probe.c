/*
 * One probe: rest, resolve, connect, ask, judge, and rest again. The addresses of a name share the time that there is, so
 * that a black hole does not use it up for the others.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/limits.h"
#include "base/random.h"
#include "probe/probe_internal.h"

#define REST_USEC_MIN      (10 * SG_USEC_PER_MSEC)
#define SPREAD_USEC_MAX    SG_USEC_PER_SEC /* the first checks of all endpoints are spread over so long */
#define QUESTION_BYTES_MAX (2 * SG_TARGET_BYTES_MAX + 1024u)
#define TELL_MAX           6u /* lines in a minute: three times down and up */
#define TELL_INTERVAL_USEC (60 * SG_USEC_PER_SEC)

static void enter_resolving(struct probe *p);
static void enter_connecting(struct probe *p);
static void enter_asking(struct probe *p);
static void resting_over(struct probe *p);
static void resolving_too_long(struct probe *p);
static void connecting_too_long(struct probe *p);
static void asking_too_long(struct probe *p);

#define TO(state) (1u << PROBE_##state)

static const struct probe_step {
        const char *name;
        void (*enter)(struct probe *p);
        void (*on_time)(struct probe *p);
        uint32_t may_follow;
} steps[PROBE_STATE_N] = {
        [PROBE_NEW] = {"new", NULL, NULL, TO(RESTING) | TO(RESOLVING) | TO(STOPPED)},
        [PROBE_RESTING] = {"resting", NULL, resting_over, TO(RESOLVING) | TO(CONNECTING) | TO(STOPPED)},
        [PROBE_RESOLVING] = {"resolving", enter_resolving, resolving_too_long,
                             TO(CONNECTING) | TO(RESTING) | TO(STOPPED)},
        [PROBE_CONNECTING] = {"connecting", enter_connecting, connecting_too_long,
                              TO(ASKING) | TO(RESTING) | TO(STOPPED)},
        [PROBE_ASKING] = {"asking", enter_asking, asking_too_long, TO(RESTING) | TO(STOPPED)},
        [PROBE_STOPPED] = {"stopped", NULL, NULL, 0},
};

static void probe_go(struct probe *p, enum probe_state to)
{
        SG_ASSERT(steps[p->state].may_follow & (UINT32_C(1) << to));
        sg_debug("probe %s: %s -> %s", p->goal.name, steps[p->state].name, steps[to].name);
        p->state = to;
        sg_timer_stop(&p->timer);
        if (steps[to].enter)
                steps[to].enter(p);
}

static void on_time(struct sg_timer *t, void *owner)
{
        struct probe *p = owner;

        steps[p->state].on_time(p);
}

static uint64_t time_left(const struct probe *p)
{
        const uint64_t now = sg_loop_now_usec(p->probes->loop);

        return p->until_usec > now ? p->until_usec - now : 0;
}

static void drop_attempt(struct probe *p)
{
        sg_resolve_cancel(p->probes->resolver, &p->query);
        p->stream = sg_stream_free(p->stream);
        p->ask = ask_h2_free(p->ask);
}

/* ---- the end of an attempt */

/* Many endpoints shall not be asked in the same instant, and those that were shall not stay together. */
static uint64_t spread(const struct probe *p, uint64_t usec)
{
        return p->goal.service ? usec - sg_random_u64() % (usec / 10 + 1) : usec;
}

/* What may be a slip is confirmed soon. */
static uint64_t rest_usec(const struct probe *p)
{
        const uint64_t now = sg_loop_now_usec(p->probes->loop), interval = p->goal.interval_usec;
        const uint64_t next = p->begun_usec + spread(p, interval);

        if (p->known.n_failures && p->known.state != SG_DEPENDENCY_DOWN)
                return spread(p, SG_MIN(interval, SG_PROBE_CONFIRM_USEC));
        return next > now + REST_USEC_MIN ? next - now : REST_USEC_MIN;
}

static void probe_over(struct probe *p, enum sg_probe_fault fault, const char *text)
{
        drop_attempt(p);
        probe_go(p, PROBE_RESTING);
        probe_know(p, fault, text);
        sg_timer_start(&p->timer, rest_usec(p));
}

/* Says where, unless the name does that. */
static void SG_PRINTF(3, 4) probe_failed(struct probe *p, enum sg_probe_fault fault, const char *format, ...)
{
        const char *where = p->stream ? sg_stream_peer(p->stream) : p->goal.host;
        char text[SG_PROBE_TEXT_BYTES] = "";
        size_t n = 0;
        va_list args;

        if (!p->goal.names_address)
                n = SG_MIN((size_t)snprintf(text, sizeof(text), "%s: ", where), sizeof(text) - 1);
        va_start(args, format);
        vsnprintf(text + n, sizeof(text) - n, format, args);
        va_end(args);
        probe_over(p, fault, text);
}

/* ---- resolving */

static void begin(struct probe *p)
{
        p->begun_usec = sg_clock_usec();
        p->until_usec = p->begun_usec + p->goal.timeout_usec;
        probe_go(p, p->goal.socket_path ? PROBE_CONNECTING : PROBE_RESOLVING);
}

void probe_begin(struct probe *p)
{
        if (p->goal.dependency) {
                begin(p);
                return;
        }
        probe_go(p, PROBE_RESTING);
        sg_timer_start(&p->timer, sg_random_u64() % SG_MIN(p->goal.interval_usec, SPREAD_USEC_MAX));
}

static void resting_over(struct probe *p)
{
        begin(p);
}

static void on_resolved(struct sg_query *q, int error, const struct sg_resolved *found, void *owner)
{
        struct probe *p = owner;

        if (error) {
                probe_failed(p, SG_PROBE_F_RESOLVE, "%s",
                             error == SG_RESOLVE_E_NOT_FOUND ? "no such name" : "no name server gave an answer");
                return;
        }
        p->addresses = *found;
        p->next_address = 0;
        probe_go(p, PROBE_CONNECTING);
}

static void enter_resolving(struct probe *p)
{
        sg_timer_start(&p->timer, time_left(p));
        p->query = (struct sg_query){.on_resolved = on_resolved, .owner = p};
        sg_resolve(p->probes->resolver, &p->query, sg_str_from(p->goal.host), p->goal.port);
}

static void resolving_too_long(struct probe *p)
{
        probe_failed(p, SG_PROBE_F_TIMEOUT, "no name server answered within %" PRIu64 " ms",
                     p->goal.timeout_usec / SG_USEC_PER_MSEC);
}

/* ---- connecting */

static void on_open(struct sg_stream *s, void *owner)
{
        probe_go(owner, PROBE_ASKING);
}

static void judged(struct probe *p, enum sg_judgement judgement, const struct sg_judge_words *words)
{
        if (judgement == SG_JUDGEMENT_ALIVE)
                probe_over(p, SG_PROBE_F_NONE, "");
        else if (judgement == SG_JUDGEMENT_DEAD)
                probe_failed(p, words->fault, "%s", words->text);
}

static void turn_h2(struct probe *p, struct sg_str bytes);

static size_t on_bytes(struct sg_stream *s, struct sg_str bytes, void *owner)
{
        struct probe *p = owner;
        struct sg_judge_words words;

        if (p->ask) {
                turn_h2(p, bytes);
                return bytes.n;
        }
        judged(p, probe_goal_judge(&p->goal, bytes, &words), &words);
        return 0; /* all of it is judged again with what follows */
}

static bool has_next_address(const struct probe *p)
{
        return p->next_address < p->addresses.n;
}

static void try_next_address(struct probe *p);

static enum sg_probe_fault fault_of(const struct probe *p, enum sg_stream_end why)
{
        if (why == SG_STREAM_END_TLS)
                return SG_PROBE_F_TLS;
        if (why == SG_STREAM_END_TIMEOUT)
                return SG_PROBE_F_TIMEOUT;
        /* Of a Unix socket it is that as many as may wait do so already. */
        return why == SG_STREAM_END_ERROR && !p->goal.socket_path ? SG_PROBE_F_RESOURCES : SG_PROBE_F_CONNECT;
}

static void on_end(struct sg_stream *s, enum sg_stream_end why, void *owner)
{
        struct probe *p = owner;

        if (p->state == PROBE_ASKING)
                probe_failed(p, SG_PROBE_F_CLOSED, "closed before an answer (%s)", sg_stream_end_text(s));
        else if (why != SG_STREAM_END_TLS && has_next_address(p))
                try_next_address(p);
        else
                probe_failed(p, fault_of(p, why), "%s", sg_stream_end_text(s));
}

static void on_drained(struct sg_stream *s, void *owner)
{
}

static const struct sg_stream_listener listener = {
        .on_open = on_open, .on_bytes = on_bytes, .on_drained = on_drained, .on_end = on_end};

static int open_stream(struct probe *p, size_t i)
{
        const struct sg_stream_options options = {.in_bytes_max = 2 * SG_JUDGE_BYTES_MAX};
        struct sg_layer *layer;
        int r = sg_stream_new_connect(&p->stream, p->probes->loop, (const struct sockaddr *)&p->addresses.addresses[i],
                                      p->addresses.lengths[i], &options, &listener, p);

        if (r || !p->goal.trust)
                return r;
        r = sg_tls_client_layer(&layer, p->goal.trust, p->goal.certificate, sg_str_from(p->goal.server_name),
                                p->goal.alpn);
        if (r)
                p->stream = sg_stream_free(p->stream);
        else
                sg_tls_apply(p->stream, layer);
        return r;
}

static void try_next_address(struct probe *p)
{
        p->stream = sg_stream_free(p->stream);
        for (;;) {
                const size_t i = p->next_address++, n_left = p->addresses.n - i;
                int r = open_stream(p, i);

                if (r == 0) {
                        sg_timer_start(&p->timer, time_left(p) / n_left);
                        return;
                }
                if (n_left == 1) {
                        probe_failed(p, r == -EAFNOSUPPORT ? SG_PROBE_F_CONNECT : SG_PROBE_F_RESOURCES, "%s",
                                     strerrordesc_np(-r));
                        return;
                }
        }
}

static void use_socket_path(struct probe *p)
{
        struct sockaddr_un *un = (void *)&p->addresses.addresses[0];
        const size_t n = strlen(p->goal.socket_path);

        SG_ASSERT(n < sizeof(un->sun_path)); /* as the configuration allows */
        *un = (struct sockaddr_un){.sun_family = AF_UNIX};
        memcpy(un->sun_path, p->goal.socket_path, n);
        p->addresses.lengths[0] = sizeof(*un);
        p->addresses.n = 1;
        p->next_address = 0;
}

static void enter_connecting(struct probe *p)
{
        if (p->goal.socket_path)
                use_socket_path(p);
        try_next_address(p);
}

static void connecting_too_long(struct probe *p)
{
        if (has_next_address(p) && time_left(p))
                try_next_address(p);
        else
                probe_failed(p, SG_PROBE_F_TIMEOUT, "not connected%s within %" PRIu64 " ms",
                             p->goal.trust ? " and secured" : "", p->goal.timeout_usec / SG_USEC_PER_MSEC);
}

/* ---- asking */

static void out_of_memory(struct probe *p)
{
        probe_over(p, SG_PROBE_F_RESOURCES, "out of memory");
}

/* -ENOMEM; that the stream is closed is told by on_end. */
static int send_all(struct probe *p, const struct sg_buf *b)
{
        const struct sg_str bytes = sg_buf_view(b);
        int r = bytes.n ? sg_stream_write(p->stream, &bytes, 1) : 0;

        return r == SG_STREAM_E_CLOSED ? 0 : r;
}

static void turn_h2(struct probe *p, struct sg_str bytes)
{
        struct sg_judge_words words;
        enum sg_judgement judgement;
        struct sg_buf b;

        sg_buf_init(&b, ASK_H2_OUT_BYTES_MAX);
        judgement = ask_h2_turn(p->ask, bytes, &b, &words);
        if (send_all(p, &b))
                out_of_memory(p);
        else
                judged(p, judgement, &words);
        sg_buf_done(&b);
}

static void ask_by_h2(struct probe *p)
{
        const struct sg_config_service *s = p->goal.service;

        if (ask_h2_new(&p->ask, s, &s->endpoints[p->goal.endpoint]))
                out_of_memory(p);
        else
                turn_h2(p, SG_STR_NONE);
}

static void ask(struct probe *p)
{
        struct sg_buf b;
        int r;

        sg_buf_init(&b, QUESTION_BYTES_MAX);
        r = probe_goal_add_question(&p->goal, &b);
        if (r || send_all(p, &b))
                out_of_memory(p);
        sg_buf_done(&b);
}

static void enter_asking(struct probe *p)
{
        if (p->goal.is_open_enough) {
                probe_over(p, SG_PROBE_F_NONE, "");
                return;
        }
        sg_timer_start(&p->timer, time_left(p));
        sg_stream_resume(p->stream); /* gives nothing from inside */
        if (p->goal.is_h2)
                ask_by_h2(p);
        else
                ask(p);
}

static void asking_too_long(struct probe *p)
{
        probe_failed(p, SG_PROBE_F_TIMEOUT, "no answer within %" PRIu64 " ms", p->goal.timeout_usec / SG_USEC_PER_MSEC);
}

/* ---- life */

int probe_init(struct probe *p, struct sg_probes *probes)
{
        int r;

        *p = (struct probe){.probes = probes, .state = PROBE_NEW};
        r = sg_timer_init(&p->timer, probes->loop, on_time, p);
        if (r)
                return r;
        p->known.since_wall_usec = sg_clock_wall_usec();
        sg_log_limit_init(&p->told, TELL_MAX, TELL_INTERVAL_USEC);
        return 0;
}

void probe_stop(struct probe *p)
{
        if (p->state == PROBE_STOPPED)
                return;
        if (p->state != PROBE_NEW)
                drop_attempt(p);
        probe_go(p, PROBE_STOPPED);
}

void probe_done(struct probe *p)
{
        probe_stop(p);
        sg_timer_done(&p->timer);
        probe_goal_done(&p->goal);
}
