#include "probe/ask_h2.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/limits.h"
#include "http/h2.h"
#include "sg_build.h"

#define PATH_BYTES_MAX (2 * SG_TARGET_BYTES_MAX + 64u)
#define WINDOW_BYTES   65535u /* as every peer begins with: none is announced */

struct ask_h2 {
        struct sg_h2 *h2;
        struct sg_h2_stream stream;
        bool is_grpc;
        struct sg_buf body; /* of gRPC */
        enum sg_judgement judgement;
        struct sg_judge_words words;
};

static void SG_PRINTF(3, 4) die(struct ask_h2 *a, enum sg_probe_fault fault, const char *format, ...)
{
        va_list args;

        if (a->judgement != SG_JUDGEMENT_MORE)
                return;
        va_start(args, format);
        a->judgement = sg_judge_dead_v(&a->words, fault, format, args);
        va_end(args);
}

/* ---- what the answer shows */

/* In the head of an answer without a body, else in the trailers. */
static void judge_grpc(struct ask_h2 *a, const struct sg_head *fields)
{
        const struct sg_str text = sg_head_value(fields, SG_STR("grpc-status"));
        const struct sg_str message = sg_head_value(fields, SG_STR("grpc-message"));
        uint64_t status;

        if (sg_str_to_u64(text, &status))
                die(a, SG_PROBE_F_GARBAGE, "the answer has no grpc-status");
        else if (status)
                die(a, SG_PROBE_F_UNAVAILABLE, "grpc-status %" PRIu64 "%s" SG_STR_FMT, status, message.n ? ": " : "",
                    SG_STR_ARG(message));
        else if (a->judgement == SG_JUDGEMENT_MORE)
                a->judgement = sg_judge_grpc_answer(sg_buf_view(&a->body), &a->words);
}

static void on_answer(struct sg_h2_stream *s, const struct sg_head *head, bool is_end)
{
        struct ask_h2 *a = s->owner;
        const bool is_good = a->is_grpc ? head->status == 200 : head->status < 400;

        if (!is_good)
                die(a, SG_PROBE_F_UNAVAILABLE, "status %u", head->status);
        else if (!a->is_grpc)
                a->judgement = SG_JUDGEMENT_ALIVE;
        else if (!sg_str_istarts(sg_head_value(head, SG_STR("content-type")), SG_STR("application/grpc")))
                die(a, SG_PROBE_F_GARBAGE, "the answer is not gRPC's");
        else if (is_end)
                judge_grpc(a, head);
}

static void on_body(struct sg_h2_stream *s, struct sg_str bytes)
{
        struct ask_h2 *a = s->owner;

        sg_h2_consume(s, bytes.n);
        if (!a->is_grpc)
                return;
        switch (sg_buf_add(&a->body, bytes)) {
        case 0:
                return;
        case SG_BUF_E_FULL:
                die(a, SG_PROBE_F_GARBAGE, "the answer is too long for that of a health check");
                return;
        default:
                die(a, SG_PROBE_F_RESOURCES, "out of memory");
        }
}

static void on_trailers(struct sg_h2_stream *s, const struct sg_head *trailers)
{
        struct ask_h2 *a = s->owner;

        if (a->is_grpc)
                judge_grpc(a, trailers);
}

/* With trailers it has been judged. */
static void on_end(struct sg_h2_stream *s)
{
        die(s->owner, SG_PROBE_F_GARBAGE, "the answer has no grpc-status");
}

static void on_reset(struct sg_h2_stream *s, enum sg_h2_reset why)
{
        die(s->owner, SG_PROBE_F_CLOSED, "reset before an answer (%s)", sg_h2_reset_name(why));
}

/* ---- the question */

static int open_get(struct ask_h2 *a, struct sg_h2_request *request)
{
        static const struct sg_str fields = SG_STR("user-agent: scribe-gateway/" SG_VERSION " (probe)\r\n"
                                                   "accept: */*\r\n");

        request->method = SG_STR("GET");
        request->fields = &fields;
        request->n_fields = 1;
        request->is_last = true;
        return sg_h2_open(a->h2, &a->stream, request, a);
}

static int open_grpc(struct ask_h2 *a, struct sg_h2_request *request, struct sg_str service)
{
        static const struct sg_str fields = SG_STR("user-agent: scribe-gateway/" SG_VERSION " (probe)\r\n"
                                                   "content-type: application/grpc\r\n"
                                                   "te: trailers\r\n");
        struct sg_str message;
        struct sg_buf b;
        int r;

        request->method = SG_STR("POST");
        request->fields = &fields;
        request->n_fields = 1;
        r = sg_h2_open(a->h2, &a->stream, request, a);
        if (r)
                return r;
        sg_buf_init(&b, SG_TARGET_BYTES_MAX + 64u);
        r = sg_judge_add_grpc_check(&b, service);
        message = sg_buf_view(&b);
        if (!r)
                r = sg_h2_send_body(&a->stream, &message, 1, true);
        sg_buf_done(&b);
        return r;
}

static int open_request(struct ask_h2 *a, const struct sg_config_service *s, const struct sg_config_endpoint *e)
{
        struct sg_h2_request request = {.scheme = e->is_tls ? SG_STR("https") : SG_STR("http"),
                                        .authority = sg_str_from(e->authority)};
        struct sg_buf path;
        int r;

        sg_buf_init(&path, PATH_BYTES_MAX);
        r = sg_buf_add(&path, sg_str_from(e->path_prefix));
        if (!r)
                r = sg_buf_add(&path,
                               a->is_grpc ? SG_STR("/grpc.health.v1.Health/Check") : sg_str_from(s->health_path));
        request.path = sg_buf_view(&path);
        if (!r && a->is_grpc)
                r = open_grpc(a, &request, sg_str_from(s->health_path));
        else if (!r)
                r = open_get(a, &request);
        sg_buf_done(&path);
        return r;
}

/* ---- life */

int ask_h2_new(struct ask_h2 **ret, const struct sg_config_service *s, const struct sg_config_endpoint *e)
{
        static const struct sg_h2_events events = {.on_answer = on_answer,
                                                   .on_body = on_body,
                                                   .on_trailers = on_trailers,
                                                   .on_end = on_end,
                                                   .on_reset = on_reset};
        static const struct sg_h2_limits limits = {.n_streams_max = 1,
                                                   .head_bytes = ASK_H2_HEAD_BYTES_MAX,
                                                   .stream_window = WINDOW_BYTES,
                                                   .connection_window = WINDOW_BYTES};
        SG_AUTO(ask_h2_free) struct ask_h2 *a = calloc(1, sizeof(*a));
        int r;

        if (!a)
                return -ENOMEM;
        a->is_grpc = s->check == SG_CHECK_GRPC;
        a->judgement = SG_JUDGEMENT_MORE;
        sg_buf_init(&a->body, ASK_H2_BODY_BYTES_MAX);
        r = sg_h2_new_client(&a->h2, &limits, &events, a);
        if (!r)
                r = open_request(a, s, e);
        if (r)
                return -ENOMEM;
        *ret = SG_GIVE(a);
        return 0;
}

struct ask_h2 *ask_h2_free(struct ask_h2 *a)
{
        if (!a)
                return NULL;
        sg_h2_free(a->h2);
        sg_buf_done(&a->body);
        free(a);
        return NULL;
}

/* What the other end broke may be found out only when it is to be told. */
enum sg_judgement ask_h2_turn(struct ask_h2 *a, struct sg_str bytes, struct sg_buf *out, struct sg_judge_words *words)
{
        int r = bytes.n ? sg_h2_receive(a->h2, bytes) : 0;

        if (!r)
                r = sg_h2_produce(a->h2, out, SIZE_MAX);
        if (r < 0)
                die(a, SG_PROBE_F_RESOURCES, "out of memory");
        else if (r)
                die(a, SG_PROBE_F_GARBAGE, "the answer is not HTTP/2's (%s)", sg_h2_error_name((enum sg_h2_error)r));
        if (a->judgement == SG_JUDGEMENT_DEAD)
                *words = a->words;
        return a->judgement;
}
