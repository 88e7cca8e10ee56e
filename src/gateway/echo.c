#include "gateway/echo.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "http/h1.h"
#include "llm/llm.h"
#include "net/stream.h"

/* Far above what is practised with; bounds what a pace of 1 h would hold. */
#define ECHO_PACE_USEC_MAX (60 * SG_USEC_PER_SEC)

struct sg_echo_server {
        struct sg_loop *loop;
        struct sg_list connections;
};

struct echo_connection {
        struct sg_link link;
        struct sg_echo_server *server;
        struct sg_stream *stream;
        struct sg_h1 h1;
        struct sg_head head;
        struct sg_buf body, out;
        struct sg_echo echo;
        bool has_echo;
        struct sg_timer pace;
        uint64_t pace_usec;
        enum sg_operation op;
        bool is_known_path;
        struct sg_deferred freeing;
};

static void connection_free(struct sg_deferred *d)
{
        struct echo_connection *c = SG_CONTAINER(d, struct echo_connection, freeing);

        if (c->has_echo)
                sg_echo_done(&c->echo);
        sg_timer_done(&c->pace);
        sg_buf_done(&c->body);
        sg_buf_done(&c->out);
        free(c);
}

static void connection_close(struct echo_connection *c)
{
        if (!c->stream)
                return;
        sg_timer_stop(&c->pace);
        c->stream = sg_stream_free(c->stream);
        sg_list_remove(&c->server->connections, &c->link);
        sg_loop_defer(c->server->loop, &c->freeing);
}

static void connection_send(struct echo_connection *c)
{
        struct sg_str bytes = sg_buf_view(&c->out);

        if (sg_stream_write(c->stream, &bytes, 1))
                sg_debug("echo: the gateway's end is gone");
        sg_buf_clear(&c->out);
}

static int add_answer_head(struct echo_connection *c, unsigned status, const char *type, bool has_length, size_t length)
{
        int r = sg_h1_add_status_line(&c->out, status);

        if (!r)
                r = sg_h1_add_header(&c->out, SG_STR("content-type"), sg_str_from(type));
        if (!r && has_length)
                r = sg_h1_add_header_u64(&c->out, SG_STR("content-length"), length);
        else if (!r)
                r = sg_h1_add_header(&c->out, SG_STR("transfer-encoding"), SG_STR("chunked"));
        if (!r)
                r = sg_h1_add_head_end(&c->out);
        return r;
}

static int send_json(struct echo_connection *c, unsigned status, struct sg_str body)
{
        int r = add_answer_head(c, status, "application/json", true, body.n);

        if (!r)
                r = sg_buf_add(&c->out, body);
        if (!r)
                connection_send(c);
        return r;
}

static int send_error(struct echo_connection *c, unsigned status, const char *text)
{
        struct sg_llm_client_error e = {.type = "invalid_request_error", .message = sg_str_from(text)};
        struct sg_buf body;
        int r;

        sg_buf_init(&body, 4096);
        r = sg_llm_error_add_body(&body, SG_SURFACE_OPENAI, &e);
        if (!r)
                r = send_json(c, status, sg_buf_view(&body));
        sg_buf_done(&body);
        return r;
}

static int send_event(struct echo_connection *c, bool *ret_last)
{
        char chunk_head[SG_H1_CHUNK_HEAD_BYTES];
        struct sg_buf event;
        int r;

        sg_buf_init(&event, SG_BODY_BYTES_DEFAULT);
        r = sg_echo_add_event(&c->echo, &event, ret_last);
        if (!r)
                r = sg_buf_add(&c->out, sg_str_make(chunk_head, sg_h1_chunk_head(chunk_head, sg_buf_length(&event))));
        if (!r)
                r = sg_buf_add(&c->out, sg_buf_view(&event));
        if (!r)
                r = sg_buf_add(&c->out, SG_H1_CHUNK_END);
        if (!r && *ret_last)
                r = sg_buf_add(&c->out, SG_H1_LAST_CHUNK);
        sg_buf_done(&event);
        return r;
}

static void stream_on(struct echo_connection *c)
{
        bool is_last = false;

        while (!is_last && !sg_stream_is_full(c->stream)) {
                if (send_event(c, &is_last)) {
                        connection_close(c);
                        return;
                }
                if (!is_last && c->pace_usec) {
                        sg_timer_start(&c->pace, c->pace_usec);
                        break;
                }
                if (sg_buf_length(&c->out) > SG_STREAM_OUT_BYTES_MAX)
                        connection_send(c);
        }
        if (sg_buf_length(&c->out))
                connection_send(c);
        if (is_last) {
                sg_echo_done(&c->echo);
                c->has_echo = false;
        }
}

static void pace_on_time(struct sg_timer *t, void *owner)
{
        stream_on(owner);
}

static int answer(struct echo_connection *c)
{
        struct sg_llm_fault fault = {0};
        struct sg_buf body;
        int r;

        if (!c->is_known_path)
                return send_error(c, 404,
                                  "the echo provider only practises chat completions, completions and embeddings");
        r = sg_echo_init(&c->echo, c->op, sg_buf_view(&c->body), &fault);
        if (r > 0)
                return send_error(c, 400, fault.text);
        if (r)
                return r;
        c->has_echo = true;
        if (c->echo.is_stream) {
                r = add_answer_head(c, 200, "text/event-stream", false, 0);
                if (!r)
                        stream_on(c);
                return r;
        }
        sg_buf_init(&body, SG_BODY_BYTES_DEFAULT);
        r = sg_echo_add_answer(&c->echo, &body);
        if (!r)
                r = send_json(c, 200, sg_buf_view(&body));
        sg_buf_done(&body);
        sg_echo_done(&c->echo);
        c->has_echo = false;
        return r;
}

static void take_head(struct echo_connection *c)
{
        struct sg_str path = sg_target_path(c->head.target, NULL);

        c->pace_usec = 0;
        if (sg_str_to_u64(sg_head_value(&c->head, SG_ECHO_PACE_FIELD), &c->pace_usec))
                c->pace_usec = 0;
        c->pace_usec = SG_MIN(c->pace_usec, ECHO_PACE_USEC_MAX);
        c->is_known_path = true;
        if (sg_str_eq(path, SG_STR("/chat/completions")))
                c->op = SG_OP_CHAT;
        else if (sg_str_eq(path, SG_STR("/completions")))
                c->op = SG_OP_COMPLETION;
        else if (sg_str_eq(path, SG_STR("/embeddings")))
                c->op = SG_OP_EMBEDDINGS;
        else
                c->is_known_path = false;
        sg_buf_clear(&c->body);
}

static size_t connection_on_bytes(struct sg_stream *s, struct sg_str bytes, void *owner)
{
        struct echo_connection *c = owner;
        struct sg_h1_event ev;
        size_t used = 0;
        int r = 0;

        while (c->stream && !r) {
                r = sg_h1_next(&c->h1, sg_str_skip(bytes, used), &c->head, &ev);
                if (r)
                        break;
                used += ev.used;
                if (ev.kind == SG_H1_MORE)
                        return used;
                if (ev.kind == SG_H1_HEAD)
                        take_head(c);
                else if (ev.kind == SG_H1_BODY)
                        r = sg_buf_add(&c->body, ev.bytes);
                else if (ev.kind == SG_H1_END)
                        r = answer(c);
        }
        connection_close(c);
        return bytes.n;
}

static void connection_on_drained(struct sg_stream *s, void *owner)
{
        struct echo_connection *c = owner;

        if (c->has_echo && !sg_timer_is_running(&c->pace))
                stream_on(c);
}

static void connection_on_end(struct sg_stream *s, enum sg_stream_end why, void *owner)
{
        connection_close(owner);
}

static const struct sg_stream_listener echo_listener = {
        .on_bytes = connection_on_bytes,
        .on_drained = connection_on_drained,
        .on_end = connection_on_end,
};

int sg_echo_open(void *owner, int *ret_fd)
{
        struct sg_echo_server *s = owner;
        struct echo_connection *c;
        int fds[2], r;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds))
                return -errno;
        c = calloc(1, sizeof(*c));
        r = c ? sg_timer_init(&c->pace, s->loop, pace_on_time, c) : -ENOMEM;
        if (r)
                goto failed;
        r = sg_stream_new_fd(&c->stream, s->loop, fds[1], NULL, &echo_listener, c);
        if (r) {
                sg_timer_done(&c->pace);
                goto failed;
        }
        c->server = s;
        c->freeing.run = connection_free;
        sg_h1_init(&c->h1, SG_H1_SERVER, NULL);
        sg_buf_init(&c->body, SIZE_MAX / 2);
        sg_buf_init(&c->out, SIZE_MAX / 2);
        sg_list_push(&s->connections, &c->link);
        sg_stream_resume(c->stream);
        *ret_fd = fds[0];
        return 0;
failed:
        free(c);
        close(fds[0]);
        close(fds[1]);
        return r;
}

int sg_echo_server_new(struct sg_echo_server **ret, struct sg_loop *l)
{
        struct sg_echo_server *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->loop = l;
        sg_list_init(&s->connections);
        *ret = s;
        return 0;
}

struct sg_echo_server *sg_echo_server_free(struct sg_echo_server *s)
{
        if (!s)
                return NULL;
        SG_LIST_EACH (&s->connections, k)
                connection_close(SG_CONTAINER(k, struct echo_connection, link));
        free(s);
        return NULL;
}
