/*
 * Only the turn's own callbacks (on_ready, proceed) take calls from the buffer; replies merely queue bytes and ask to
 * proceed. So a method never runs inside another one, and nothing is freed under a caller's feet.
 *
 * While a call is open its connection is watched for the hang-up alone. A client may shut its sending half and still
 * wait for the answer (`varlinkctl` behind a pipe does); gone is who has closed both ways, which poll() tells as
 * POLLHUP.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "varlink/server.h"

#define CALLS_IN_A_ROW 64u
#define READ_BYTES     4096u

static const struct {
        const char *name;
        unsigned may_follow; /* bit per next state */
} steps[CONN_N] = {
        [CONN_IDLE] = {"idle", 1u << CONN_BUSY | 1u << CONN_FLUSHING | 1u << CONN_GONE},
        [CONN_BUSY] = {"busy", 1u << CONN_IDLE | 1u << CONN_FLUSHING | 1u << CONN_GONE},
        [CONN_FLUSHING] = {"flushing", 1u << CONN_GONE},
        [CONN_GONE] = {"gone", 0},
};

static void update_interest(struct sg_varlink_conn *c)
{
        bool is_unsent = sg_buf_length(&c->out) > 0;
        unsigned interest = is_unsent ? SG_IO_WRITE | SG_IO_CLOSED : 0;

        switch (c->state) {
        case CONN_IDLE:
                interest |= is_unsent ? 0 : SG_IO_READ;
                break;
        case CONN_BUSY:
                interest |= SG_IO_CLOSED;
                break;
        case CONN_FLUSHING:
                break;
        default:
                return;
        }
        sg_io_set(&c->io, interest);
}

static void conn_go(struct sg_varlink_conn *c, enum sg_varlink_conn_state to)
{
        SG_ASSERT(steps[c->state].may_follow & (1u << to));
        sg_debug("varlink connection %" PRIu64 ": %s -> %s", c->id, steps[c->state].name, steps[to].name);
        c->state = to;
        update_interest(c);
}

void sg_varlink_conn_look(struct sg_varlink_conn *c)
{
        if (c->state != CONN_GONE)
                sg_loop_defer(c->server->loop, &c->proceed);
}

void sg_varlink_conn_answered(struct sg_varlink_conn *c)
{
        if (c->state == CONN_BUSY)
                conn_go(c, CONN_IDLE);
        sg_varlink_conn_look(c);
}

void sg_varlink_conn_close(struct sg_varlink_conn *c, const char *reason)
{
        if (c->state == CONN_GONE)
                return;
        sg_debug("varlink connection %" PRIu64 ": %s", c->id, reason);
        sg_io_done(&c->io);
        close(c->fd);
        sg_loop_undefer(c->server->loop, &c->proceed);
        sg_loop_defer(c->server->loop, &c->end);
        conn_go(c, CONN_GONE);
}

void sg_varlink_conn_free_now(struct sg_varlink_conn *c)
{
        SG_ASSERT(c->state == CONN_GONE);
        sg_loop_undefer(c->server->loop, &c->end);
        if (c->call) {
                struct sg_varlink_call *call = c->call;

                if (call->on_gone)
                        call->on_gone(call, call->gone_owner);
                SG_ASSERT(c->call == call); /* nobody may answer in on_gone */
                sg_varlink_call_free(call);
        }
        sg_list_remove(&c->server->conns, &c->link);
        sg_buf_done(&c->in);
        sg_buf_done(&c->out);
        free(c);
}

static void on_end(struct sg_deferred *d)
{
        sg_varlink_conn_free_now(SG_CONTAINER(d, struct sg_varlink_conn, end));
}

void sg_varlink_conn_flush(struct sg_varlink_conn *c)
{
        int r;

        if (c->state == CONN_GONE)
                return;
        r = sg_varlink_send(c->fd, &c->out);
        if (r < 0) {
                sg_varlink_conn_close(c, strerror(-r));
                return;
        }
        update_interest(c);
        if (r == 0 && c->state == CONN_FLUSHING)
                sg_varlink_conn_close(c, "its last answer is sent");
}

/* ---- calls from the buffer */

/* A call that breaks the protocol is answered if it can be, and is the connection's last. */
static void refuse(struct sg_varlink_conn *c, const struct sg_varlink_request *r, const char *bad_member)
{
        struct json_object *parameters;
        int e;

        if (r->oneway) {
                sg_varlink_conn_close(c, "a malformed call");
                return;
        }
        parameters = json_object_new_object();
        json_object_object_add(parameters, "parameter", json_object_new_string(bad_member));
        e = sg_varlink_add_reply(&c->out, SG_VARLINK_INVALID_PARAMETER, parameters, false);
        json_object_put(parameters);
        if (e) {
                sg_varlink_conn_close(c, "a malformed call");
                return;
        }
        conn_go(c, CONN_FLUSHING);
        sg_varlink_conn_flush(c);
}

static void begin_call(struct sg_varlink_conn *c, struct sg_varlink_request *r)
{
        struct sg_varlink_call *call = calloc(1, sizeof(*call));

        if (!call) {
                sg_varlink_conn_close(c, "out of memory");
                return;
        }
        call->conn = c;
        call->request = *r;
        *r = (struct sg_varlink_request){};
        c->call = call;
        conn_go(c, CONN_BUSY);
        sg_varlink_dispatch(call);
}

static void take_message(struct sg_varlink_conn *c, struct sg_str text)
{
        struct sg_varlink_request request;
        const char *bad_member;
        int r;

        r = sg_varlink_request_parse(&request, text, &bad_member);
        sg_buf_take(&c->in, text.n + 1);
        c->scanned = 0;
        if (r == SG_VARLINK_E_MEMBER)
                refuse(c, &request, bad_member);
        else if (r)
                sg_varlink_conn_close(c, r == -EBADMSG ? "not a JSON object" : strerror(-r));
        else
                begin_call(c, &request);
        sg_varlink_request_done(&request);
}

static void take_messages(struct sg_varlink_conn *c)
{
        for (unsigned n = 0; c->state == CONN_IDLE && sg_buf_length(&c->out) == 0; n++) {
                struct sg_str text;
                int r;

                if (n == CALLS_IN_A_ROW) {
                        sg_varlink_conn_look(c);
                        return;
                }
                r = sg_varlink_frame(&c->in, &c->scanned, SG_VARLINK_CALL_BYTES_MAX, &text);
                if (r == SG_VARLINK_E_LONG)
                        sg_varlink_conn_close(c, "a call that is too long");
                else if (r == 0)
                        take_message(c, text);
                if (r)
                        break;
        }
        if (sg_buf_length(&c->in) == 0)
                sg_buf_release(&c->in);
}

static void on_proceed(struct sg_deferred *d)
{
        struct sg_varlink_conn *c = SG_CONTAINER(d, struct sg_varlink_conn, proceed);

        if (c->state == CONN_BUSY && c->call->on_drained && sg_buf_length(&c->out) == 0) {
                void (*on_drained)(struct sg_varlink_call *, void *) = c->call->on_drained;

                c->call->on_drained = NULL;
                on_drained(c->call, c->call->drained_owner);
        }
        take_messages(c);
}

/* ---- the socket */

static void read_some(struct sg_varlink_conn *c)
{
        size_t room = SG_MIN((size_t)READ_BYTES, c->in.max - sg_buf_length(&c->in));
        ssize_t n;
        char *at;

        /* Full of whole calls, of which more were sent than a turn takes: those come first. */
        if (room == 0)
                return;
        if (sg_buf_reserve(&c->in, room, &at)) {
                sg_varlink_conn_close(c, "out of memory");
                return;
        }
        n = recv(c->fd, at, room, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                sg_varlink_conn_close(c, n == 0 ? "closed by the client" : strerror(errno));
                return;
        }
        sg_buf_added(&c->in, (size_t)n);
        take_messages(c);
}

static bool has_hung_up(const struct sg_varlink_conn *c)
{
        struct pollfd p = {.fd = c->fd};

        return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

static void on_ready(struct sg_io *io, unsigned ready, void *owner)
{
        struct sg_varlink_conn *c = owner;

        /* Where the interest holds SG_IO_READ, reading tells of the end, after the calls that came before it. */
        if ((ready & SG_IO_CLOSED) && !(ready & SG_IO_READ) && has_hung_up(c)) {
                sg_varlink_conn_close(c, "closed by the client");
                return;
        }
        if (ready & SG_IO_WRITE) {
                sg_varlink_conn_flush(c);
                if (c->state != CONN_GONE && sg_buf_length(&c->out) == 0)
                        sg_varlink_conn_look(c);
        }
        if ((ready & SG_IO_READ) && c->state == CONN_IDLE)
                read_some(c);
}

int sg_varlink_conn_new(struct sg_varlink_server *s, int fd)
{
        struct sg_varlink_conn *c;
        int r;

        c = calloc(1, sizeof(*c));
        r = c ? sg_varlink_peer_of(&c->peer, fd) : -ENOMEM;
        if (!r)
                r = sg_io_init(&c->io, s->loop, fd, on_ready, c);
        if (r) {
                close(fd);
                free(c);
                return r;
        }
        c->server = s;
        c->id = ++s->n_accepted;
        c->fd = fd;
        c->proceed.run = on_proceed;
        c->end.run = on_end;
        sg_buf_init(&c->in, SG_VARLINK_CALL_BYTES_MAX + 2);
        sg_buf_init(&c->out, SG_VARLINK_BYTES_MAX + 2);
        sg_list_push(&s->conns, &c->link);
        update_interest(c);
        return 0;
}
