/*
 * A way through an HTTP proxy: CONNECT, its answer, then TLS or plain HTTP as if the server stood at the other end.
 * Whatever the proxy does wrong is a failure to connect. Nothing that it says gets further than the codec, which sees at
 * most TUNNEL_BYTES_MAX of it; a byte beyond its answer, or before the request has left, ends the attempt, as it could
 * only be taken for the server's.
 *
 * TLS is put under the stream by deferred work: inside the callback the answer is still in the stream's hands.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "upstream/upstream_internal.h"

#define TUNNEL_BYTES_MAX (16u * 1024u)
#define CONNECT_BYTES    640u /* a name has 253 bytes and stands here twice */

static void refused(struct sg_upcall *c, const char *text)
{
        call_fail(c, SG_UPSTREAM_F_CONNECT, "cannot connect to", text);
}

/* ---- asking */

void call_enter_tunnelling(struct sg_upcall *c)
{
        const struct sg_endpoint *at = &c->pool->at;
        const bool is_v6 = sg_str_find_byte(at->host, ':') < at->host.n;
        char authority[CONNECT_BYTES / 2], head[CONNECT_BYTES];
        struct sg_str pieces[3];
        int n, r;

        (void)snprintf(authority, sizeof(authority), "%s" SG_STR_FMT "%s:%u", is_v6 ? "[" : "", SG_STR_ARG(at->host),
                       is_v6 ? "]" : "", at->port);
        n = snprintf(head, sizeof(head), "CONNECT %s HTTP/1.1\r\nhost: %s\r\n", authority, authority);
        SG_ASSERT(n > 0 && (size_t)n < sizeof(head));
        pieces[0] = sg_str_make(head, (size_t)n);
        pieces[1] = at->proxy_authorization ? sg_secret_bytes(at->proxy_authorization) : SG_STR_NONE;
        pieces[2] = SG_STR("\r\n");
        c->is_tunnel_open = false;
        c->tunnel_bytes = 0;
        sg_h1_init(&c->conn->h1, SG_H1_CLIENT, &(struct sg_h1_limits){.head_bytes = TUNNEL_BYTES_MAX});
        sg_h1_expect(&c->conn->h1, SG_METHOD_CONNECT);
        sg_timer_start(&c->connect, call_connect_time_left(c)); /* no other address will need a share */
        sg_stream_resume(c->conn->stream);
        r = sg_stream_write(c->conn->stream, pieces, SG_N_ELEMENTS(pieces));
        if (r < 0)
                call_fail(c, SG_UPSTREAM_F_RESOURCES, "cannot connect to", strerrordesc_np(-r));
        /* when it is closed already, the end is told later in this turn */
}

/* ---- the answer */

static void refused_by_status(struct sg_upcall *c, unsigned status)
{
        const bool is_about_user = status == 407 || status == 401; /* tinyproxy says 401 to a wrong password */
        const char *phrase = sg_status_phrase(status);
        char text[160];

        if (is_about_user)
                (void)snprintf(text, sizeof(text), "the proxy %s (%u)",
                               c->pool->at.proxy_authorization ? "does not accept the user and password"
                                                               : "wants a user and password: set proxy_authorization",
                               status);
        else
                (void)snprintf(text, sizeof(text), "the proxy refused with status %u%s%s", status, phrase[0] ? " " : "",
                               phrase);
        refused(c, text);
}

/* False when the call has failed. */
static bool take_head(struct sg_upcall *c, const struct sg_head *head)
{
        if (head->status >= 200 && head->status < 300) {
                c->is_tunnel_open = true;
        } else if (head->status < 200 && head->status != 101) {
                return true;
        } else {
                refused_by_status(c, head->status);
                return false;
        }
        return true;
}

static void refused_as_garbage(struct sg_upcall *c, enum sg_h1_error e)
{
        char text[96];

        if (e == SG_H1_E_HEAD_TOO_LARGE)
                (void)snprintf(text, sizeof(text), "the proxy's answer has more than %u bytes", TUNNEL_BYTES_MAX);
        else
                (void)snprintf(text, sizeof(text), "the proxy's answer is not valid HTTP/1 (%s)", sg_h1_error_name(e));
        refused(c, text);
}

size_t call_tunnel_bytes(struct sg_upcall *c, struct sg_str bytes)
{
        struct sg_h1_event event = {.kind = SG_H1_HEAD};
        struct sg_head head;
        size_t used = 0;
        int r;

        if (sg_stream_queued(c->conn->stream)) {
                refused(c, "the proxy answered before it was asked");
                return 0;
        }
        while (!c->is_tunnel_open) {
                r = sg_h1_next(&c->conn->h1, sg_str_skip(bytes, used), &head, &event);
                if (!r) {
                        used += event.used;
                        c->tunnel_bytes += event.used;
                        if (c->tunnel_bytes > TUNNEL_BYTES_MAX)
                                r = SG_H1_E_HEAD_TOO_LARGE;
                }
                if (r) {
                        refused_as_garbage(c, (enum sg_h1_error)r);
                        return 0;
                }
                if (event.kind == SG_H1_MORE)
                        return used;
                if (event.kind == SG_H1_HEAD && !take_head(c, &head))
                        return 0;
        }
        if (used < bytes.n) {
                refused(c, "the proxy sent more than its answer");
                return 0;
        }
        sg_loop_defer(c->loop, &c->conn->deferred);
        return used;
}

/* Later in the turn: the call may have ended otherwise, then its connection is closed. */
void call_tunnel_opened(struct sg_upcall *c)
{
        int r = 0;

        SG_ASSERT(c->state == CALL_TUNNELLING && c->is_tunnel_open);
        sg_h1_init(&c->conn->h1, SG_H1_CLIENT, &(struct sg_h1_limits){.head_bytes = 0});
        if (!c->pool->at.is_tls) {
                call_connected(c);
                return;
        }
        r = conn_add_tls(c->conn);
        if (r)
                call_fail(c, SG_UPSTREAM_F_RESOURCES, "cannot connect to", strerrordesc_np(-r));
}

/* ---- when it fails */

void call_tunnelling_too_long(struct sg_upcall *c)
{
        char text[96];

        (void)snprintf(text, sizeof(text), "%s within %" PRIu64 " ms",
                       c->is_tunnel_open ? "not secured" : "no answer from the proxy",
                       (uint64_t)(c->pool->at.connect_timeout_usec / SG_USEC_PER_MSEC));
        call_fail(c, SG_UPSTREAM_F_TIMEOUT, "cannot connect to", text);
}

void call_tunnelling_failed(struct sg_upcall *c, enum sg_stream_end why, const char *text)
{
        char kept[200];

        if (c->is_tunnel_open && why == SG_STREAM_END_TLS) {
                call_fail(c, SG_UPSTREAM_F_TLS, "TLS with", text);
        } else if (c->is_tunnel_open) {
                (void)snprintf(kept, sizeof(kept), "the tunnel broke: %.160s", text);
                refused(c, kept);
        } else if (why == SG_STREAM_END_EOF) {
                refused(c, "the proxy closed the connection without an answer");
        } else {
                (void)snprintf(kept, sizeof(kept), "no answer from the proxy: %.160s", text);
                refused(c, kept);
        }
}

/* ---- credentials: RFC 7617, RFC 4648 section 4 */

static size_t base64(char *out, struct sg_str in)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        size_t n = 0;

        for (size_t i = 0; i < in.n; i += 3) {
                const size_t left = in.n - i;
                const uint32_t word = (uint32_t)(unsigned char)in.p[i] << 16 |
                                      (left > 1 ? (uint32_t)(unsigned char)in.p[i + 1] << 8 : 0) |
                                      (left > 2 ? (uint32_t)(unsigned char)in.p[i + 2] : 0);

                out[n++] = digits[word >> 18];
                out[n++] = digits[word >> 12 & 63];
                out[n++] = left > 1 ? digits[word >> 6 & 63] : '=';
                out[n++] = left > 2 ? digits[word & 63] : '=';
        }
        return n;
}

int sg_proxy_authorization_new(struct sg_secret **ret, struct sg_str user_and_password)
{
        char encoded[4 * 1024];
        struct sg_buf line;
        int r;

        if (user_and_password.n > sizeof(encoded) / 4 * 3)
                return -E2BIG;
        sg_buf_init(&line, SG_SECRET_BYTES_MAX);
        line.secret = true;
        r = sg_buf_add(&line, SG_STR("proxy-authorization: Basic "));
        if (!r)
                r = sg_buf_add(&line, sg_str_make(encoded, base64(encoded, user_and_password)));
        if (!r)
                r = sg_buf_add(&line, SG_STR("\r\n"));
        if (!r)
                r = sg_secret_new(ret, sg_buf_view(&line));
        sg_buf_done(&line);
        sg_wipe(encoded, sizeof(encoded));
        return r > 0 ? -E2BIG : r;
}
