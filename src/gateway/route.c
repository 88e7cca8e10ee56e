/*
 * route: which surface was asked for. Paths are compared as they stand: no decoding, so that nothing means two things.
 */
#include "gateway/exchange.h"
#include "gateway/path.h"
#include "gateway/service.h"

#define PLAIN_PATH "the path has empty, '.' or '..' segments, or a broken escape"

static const struct route {
        struct sg_str path;
        enum sg_surface surface;
        enum sg_operation op;
        bool is_post;  /* else GET and HEAD */
        bool is_local; /* health: needs no key */
        bool yields;   /* to a service that takes the path */
} routes[] = {
        {SG_STR("/v1/chat/completions"), SG_SURFACE_OPENAI, SG_OP_CHAT, true, false, false},
        {SG_STR("/v1/chat"), SG_SURFACE_SIMPLE, SG_OP_CHAT, true, false, false},
        {SG_STR("/v1/completions"), SG_SURFACE_OPENAI, SG_OP_COMPLETION, true, false, false},
        {SG_STR("/v1/embeddings"), SG_SURFACE_OPENAI, SG_OP_EMBEDDINGS, true, false, false},
        {SG_STR("/v1/messages"), SG_SURFACE_ANTHROPIC, SG_OP_MESSAGES, true, false, false},
        {SG_STR("/v1/messages/count_tokens"), SG_SURFACE_ANTHROPIC, SG_OP_COUNT_TOKENS, true, false, false},
        {SG_STR("/v1/responses"), SG_SURFACE_RESPONSES, SG_OP_RESPONSES, true, false, false},
        {SG_STR("/v1/images/generations"), SG_SURFACE_OPENAI, SG_OP_IMAGES, true, false, true},
        {SG_STR("/v1/images/edits"), SG_SURFACE_OPENAI, SG_OP_IMAGES, true, false, true},
        {SG_STR("/v1/images/variations"), SG_SURFACE_OPENAI, SG_OP_IMAGES, true, false, true},
        {SG_STR("/v1/audio/speech"), SG_SURFACE_OPENAI, SG_OP_SPEECH, true, false, true},
        {SG_STR("/v1/audio/transcriptions"), SG_SURFACE_OPENAI, SG_OP_TRANSCRIPTION, true, false, true},
        {SG_STR("/v1/audio/translations"), SG_SURFACE_OPENAI, SG_OP_TRANSCRIPTION, true, false, true},
        {SG_STR("/v1/models"), SG_SURFACE_OPENAI, SG_OP_MODEL_LIST, false, false, false},
        {SG_STR("/health"), SG_SURFACE_OPENAI, SG_OP_PASS, false, true, false},
        {SG_STR("/ready"), SG_SURFACE_OPENAI, SG_OP_PASS, false, true, false},
        {SG_STR("/api/health/all"), SG_SURFACE_OPENAI, SG_OP_PASS, false, true, false},
        {SG_STR("/api/health/aggregated"), SG_SURFACE_OPENAI, SG_OP_PASS, false, true, false},
        {SG_STR("/api/health"), SG_SURFACE_OPENAI, SG_OP_PASS, false, true, false},
};

bool sg_path_is_built_in(struct sg_str path)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(routes); i++)
                if (sg_str_eq(path, routes[i].path))
                        return !routes[i].yields;
        return false;
}

static enum sg_step check_method(struct sg_exchange *x, bool is_post)
{
        bool is_right =
                is_post ? x->method == SG_METHOD_POST : x->method == SG_METHOD_GET || x->method == SG_METHOD_HEAD;

        if (is_right)
                return SG_STEP_NEXT;
        if (sg_buf_add(&x->fields, is_post ? SG_STR("allow: POST\r\n") : SG_STR("allow: GET, HEAD\r\n")))
                return sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        return sg_exchange_fail(x, SG_FAIL_METHOD, "use %s", is_post ? "POST" : "GET");
}

enum sg_step sg_stage_route(struct sg_exchange *x)
{
        struct sg_str path = sg_target_path(sg_buf_view(&x->path), NULL);

        if (x->asked->has_anthropic_version) /* of paths that do not tell */
                x->surface = SG_SURFACE_ANTHROPIC;
        for (size_t i = 0; i < SG_N_ELEMENTS(routes); i++) {
                if (!sg_str_eq(path, routes[i].path) || (routes[i].yields && x->serving))
                        continue;
                x->surface = routes[i].op == SG_OP_MODEL_LIST ? x->surface : routes[i].surface;
                x->op = routes[i].op;
                x->is_local = routes[i].is_local;
                if (check_method(x, routes[i].is_post) == SG_STEP_FINISH)
                        return SG_STEP_FINISH;
                return x->is_local ? sg_answer_health(x, path) : SG_STEP_NEXT;
        }
        if (x->serving && !sg_path_is_plain(path))
                return sg_exchange_fail(x, SG_FAIL_BAD_REQUEST, PLAIN_PATH);
        if (x->serving)
                return sg_service_route(x);
        if (x->has_other_method)
                return sg_exchange_fail(x, SG_FAIL_METHOD, NULL);
        if (!sg_str_starts(path, SG_STR("/v1/")) || path.n == 4)
                return sg_exchange_fail(x, SG_FAIL_UNKNOWN_ROUTE,
                                        "the API is under /v1/, for example POST /v1/chat/completions");
        if (sg_str_starts(path, SG_STR("/v1/models/"))) {
                x->op = SG_OP_MODEL_GET;
                x->model_id = sg_str_skip(path, 11);
                return check_method(x, false);
        }
        if (!sg_path_is_plain(path))
                return sg_exchange_fail(x, SG_FAIL_BAD_REQUEST, PLAIN_PATH);
        if (x->method == SG_METHOD_CONNECT || x->method == SG_METHOD_TRACE || x->method == SG_METHOD_OTHER)
                return sg_exchange_fail(x, SG_FAIL_METHOD, NULL);
        if (sg_str_starts(path, SG_STR("/v1/messages/")))
                x->surface = SG_SURFACE_ANTHROPIC;
        x->op = SG_OP_PASS;
        return SG_STEP_NEXT;
}
