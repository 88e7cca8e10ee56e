/*
 * The stages of an exchange with a service: whether the caller may, which endpoint is asked, and which one after that.
 *
 * Another endpoint is tried where the service cannot have done anything yet (no connection was made), and for methods that
 * may be repeated (RFC 9110 section 9.2.2) until the first byte of an answer; never when part of a streamed body is gone.
 */
#include "gateway/service.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/message_id.h"
#include "gateway/connect.h"
#include "gateway/connection.h"
#include "gateway/path.h"

enum sg_step sg_service_route(struct sg_exchange *x)
{
        if (x->method == SG_METHOD_CONNECT || x->method == SG_METHOD_TRACE)
                return sg_exchange_fail(x, SG_FAIL_METHOD, NULL);
        return x->serving->is_preflight ? sg_service_answer_preflight(x) : SG_STEP_NEXT;
}

/* ---- who may */

static bool is_wanted(const struct sg_config_service *c, struct sg_str subject)
{
        for (size_t i = 0; i < c->n_client_subjects; i++)
                if (sg_str_eq(sg_str_from(c->client_subjects[i]), subject))
                        return true;
        return c->n_client_subjects == 0;
}

enum sg_step sg_service_authenticate(struct sg_exchange *x)
{
        const struct sg_config_service *c = x->serving->service->config;
        char subject[SG_TLS_SUBJECT_BYTES];

        if (c->auth == SG_SERVICE_AUTH_NONE)
                return SG_STEP_NEXT;
        SG_ASSERT(c->auth == SG_SERVICE_AUTH_CERTIFICATE);
        if (!sg_connection_subject(x->client->connection, subject))
                return sg_exchange_fail(x, SG_FAIL_NO_CERTIFICATE, NULL);
        if (!is_wanted(c, sg_str_from(subject)) || !sg_header_value_is_valid(sg_str_from(subject)))
                return sg_exchange_fail(x, SG_FAIL_CERTIFICATE_FORBIDDEN, "it names '%s'", subject);
        x->serving->subject = strdup(subject);
        return x->serving->subject ? SG_STEP_NEXT : sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
}

/* ---- which endpoint */

static uint64_t hash_of(const struct sg_exchange *x)
{
        const struct sg_serving *s = x->serving;
        const struct sg_config_service *c = s->service->config;
        struct sg_str port;
        struct sg_ip ip;
        uint64_t h = 0;

        if (c->balance != SG_BALANCE_HASH)
                return 0;
        if (s->has_hash)
                return s->hash;
        if (c->hash_by == SG_HASH_BY_KEY && x->key)
                return x->key->id;
        if (sg_ip_parse_node(&ip, sg_str_from(x->peer), &port) || sg_ip_parse(&ip, sg_str_from(x->peer)))
                for (size_t i = 0; i < sizeof(ip.bytes); i++)
                        h = (h ^ ip.bytes[i]) * UINT64_C(1099511628211);
        return h;
}

static void tell_turn(const struct sg_exchange *x, enum sg_backend_turn turn, const char *text)
{
        const struct sg_serving *s = x->serving;
        struct sg_str name = sg_str_from(s->service->config->name), endpoint = sg_str_from(s->endpoint);
        const struct sg_log_field fields[] = {{"SCRIBE_SERVICE", name},
                                              {"SCRIBE_ENDPOINT", endpoint},
                                              {"SCRIBE_REQUEST", sg_str_from(x->request_id)},
                                              {"SCRIBE_DETAIL", sg_exchange_text(text)}};

        if (turn == SG_BACKEND_TURN_TRIPPED)
                sg_log_line(SG_LOG_WARNING, SG_MESSAGE_ENDPOINT_TRIPPED, fields, SG_N_ELEMENTS(fields),
                            "endpoint " SG_STR_FMT " of service \"" SG_STR_FMT
                            "\" failed %u times in a row and is not asked for a while: %s",
                            SG_STR_ARG(endpoint), SG_STR_ARG(name), s->service->config->breaker_failures,
                            text ? text : "");
        else if (turn == SG_BACKEND_TURN_RETURNED)
                sg_log_line(SG_LOG_NOTICE, SG_MESSAGE_ENDPOINT_RETURNED, fields, SG_N_ELEMENTS(fields) - 1,
                            "endpoint " SG_STR_FMT " of service \"" SG_STR_FMT "\" serves again", SG_STR_ARG(endpoint),
                            SG_STR_ARG(name));
}

void sg_service_settle(struct sg_exchange *x, enum sg_backend_result result, const char *text)
{
        struct sg_serving *s = x->serving;

        if (!s->has_pick)
                return;
        s->has_pick = false;
        tell_turn(x, sg_backends_done(s->service->backends, &s->pick, result, sg_clock_usec(), text), text);
}

void sg_service_answered(struct sg_exchange *x)
{
        struct sg_serving *s = x->serving;

        if (s->has_pick)
                tell_turn(x, sg_backends_answered(s->service->backends, &s->pick, sg_clock_usec()), NULL);
}

static enum sg_backend_result result_of(enum sg_failure f)
{
        switch (f) {
        case SG_FAIL_NONE:
                return SG_BACKEND_OK;
        case SG_FAIL_UPSTREAM_RESOLVE:
        case SG_FAIL_UPSTREAM_CONNECT:
        case SG_FAIL_UPSTREAM_CONNECT_TIMEOUT:
        case SG_FAIL_UPSTREAM_TLS:
                return SG_BACKEND_UNREACHABLE;
        case SG_FAIL_UPSTREAM_RESET:
        case SG_FAIL_UPSTREAM_TRUNCATED:
        case SG_FAIL_UPSTREAM_GARBAGE:
                return SG_BACKEND_BROKEN;
        case SG_FAIL_UPSTREAM_FIRST_BYTE:
        case SG_FAIL_UPSTREAM_STALLED:
                return SG_BACKEND_SLOW;
        default:
                return SG_BACKEND_NEUTRAL;
        }
}

/* What happens in a tunnel is the matter of both its ends, and who may still send a body may be the one that is silent:
 * no client shall trip a breaker by that. */
enum sg_backend_result sg_service_result(const struct sg_exchange *x, enum sg_failure f)
{
        const struct sg_serving *s = x->serving;
        const bool may_be_the_clients =
                s->is_tunnel || (f == SG_FAIL_UPSTREAM_STALLED && !x->is_body_whole && !s->is_client_paused);

        return f != SG_FAIL_NONE && may_be_the_clients ? SG_BACKEND_NEUTRAL : result_of(f);
}

static enum sg_step pick(struct sg_exchange *x)
{
        struct sg_serving *s = x->serving;
        uint64_t wait_usec = 0;

        if (sg_backends_pick(s->service->backends, hash_of(x), s->tried, sg_clock_usec(), &s->pick, &wait_usec)) {
                x->retry_after_sec = (unsigned)((wait_usec + SG_USEC_PER_SEC - 1) / SG_USEC_PER_SEC);
                return sg_exchange_fail(x, SG_FAIL_NO_ENDPOINT, NULL);
        }
        s->has_pick = true;
        s->tried |= UINT64_C(1) << s->pick.index;
        s->endpoint = s->service->config->endpoints[s->pick.index].url;
        s->n_attempts++;
        return SG_STEP_NEXT;
}

/* ---- the request */

static int write_target(struct sg_exchange *x)
{
        const struct sg_config_service *c = x->serving->service->config;
        const struct sg_config_endpoint *e = &c->endpoints[x->serving->pick.index];
        struct sg_buf *b = &x->asked->upstream_target;

        sg_buf_clear(b);
        return sg_path_add_target(b, sg_str_from(e->path_prefix), sg_buf_view(&x->path),
                                  c->strip_prefix ? sg_service_prefix(c).n : 0);
}

/* "Host" among request_header goes before the endpoint's own name. */
static struct sg_str authority_of(const struct sg_config_service *c, const struct sg_config_endpoint *e)
{
        for (size_t i = 0; i < c->n_request_fields; i++)
                if (sg_str_ieq(sg_str_from(c->request_fields[i].name), SG_STR("host")))
                        return sg_str_from(c->request_fields[i].value);
        return sg_str_from(e->authority);
}

static int call(struct sg_exchange *x)
{
        struct sg_serving *s = x->serving;
        const struct sg_config_service *c = s->service->config;
        const struct sg_config_endpoint *e = &c->endpoints[s->pick.index];
        struct sg_asked *a = x->asked;
        const bool is_sized = s->has_length && (s->has_body || x->method == SG_METHOD_POST ||
                                                x->method == SG_METHOD_PUT || x->method == SG_METHOD_PATCH);

        a->upstream_fields[0] = sg_buf_view(&a->forward);
        s->body = sg_buf_view(&a->body);
        return sg_upcall_new(&x->upcall, x->worker->upstream, &s->service->endpoints[s->pick.index],
                             &(struct sg_upcall_request){
                                     .method = x->method,
                                     .method_text = sg_str_from(s->method),
                                     .target = sg_buf_view(&a->upstream_target),
                                     .authority = authority_of(c, e),
                                     .fields = a->upstream_fields,
                                     .n_fields = 1,
                                     .kind = !s->is_held ? SG_UPCALL_BODY_STREAM
                                             : is_sized  ? SG_UPCALL_BODY_WHOLE
                                                         : SG_UPCALL_BODY_NONE,
                                     .body = &s->body,
                                     .n_body = s->body.n ? 1 : 0,
                                     .has_length = s->has_length,
                                     .length = s->length,
                                     .upgrade = sg_str_from(s->upgrade),
                                     .may_resend = true,
                             },
                             &sg_relay_listener, x);
}

static void on_total_time(struct sg_timer *t, void *owner)
{
        struct sg_exchange *x = owner;

        if (x->stage >= SG_STAGE_ACCOUNT)
                return;
        sg_exchange_fail(x, SG_FAIL_UPSTREAM_TOTAL, NULL);
        sg_exchange_drop_upstream(x);
        sg_exchange_finish(x);
}

enum sg_step sg_service_prepare(struct sg_exchange *x)
{
        struct sg_serving *s = x->serving;

        if (s->is_held && !x->is_body_whole)
                return SG_STEP_WAIT;
        x->prompt_bytes = s->length;
        if (sg_service_add_caller(x) || sg_timer_init(&s->total, x->worker->loop, on_total_time, x))
                return sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        sg_timer_start(&s->total, s->service->config->total_timeout_usec);
        sg_backends_begin(s->service->backends, sg_clock_usec());
        return SG_STEP_NEXT;
}

enum sg_step sg_service_connect(struct sg_exchange *x)
{
        struct sg_serving *s = x->serving;

        if (pick(x) == SG_STEP_FINISH)
                return SG_STEP_FINISH;
        if (write_target(x) || call(x)) {
                sg_service_settle(x, SG_BACKEND_NEUTRAL, NULL);
                return sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        }
        s->has_room = s->has_given_last = false;
        if (s->is_held || x->is_body_whole)
                sg_timer_start(&x->timer, s->service->config->first_byte_timeout_usec);
        return SG_STEP_NEXT;
}

/* ---- once more */

static bool may_repeat(const struct sg_exchange *x, enum sg_failure f)
{
        const struct sg_serving *s = x->serving;
        const bool is_untouched = result_of(f) == SG_BACKEND_UNREACHABLE;

        if (!s->is_held && !s->keeps)
                return false; /* some of the body is gone */
        switch (x->method) {
        case SG_METHOD_GET:
        case SG_METHOD_HEAD:
        case SG_METHOD_PUT:
        case SG_METHOD_DELETE:
        case SG_METHOD_OPTIONS:
                return is_untouched || f == SG_FAIL_UPSTREAM_RESET || f == SG_FAIL_UPSTREAM_FIRST_BYTE;
        default:
                return is_untouched;
        }
}

bool sg_service_try_again(struct sg_exchange *x, enum sg_failure f, const char *text)
{
        struct sg_serving *s = x->serving;
        const struct sg_config_service *c = s->service->config;

        sg_service_settle(x, sg_service_result(x, f), text);
        if (!x->asked || s->n_attempts > c->retries || s->n_attempts >= c->n_endpoints || !may_repeat(x, f) ||
            !x->client || !sg_backends_may_retry(s->service->backends, sg_clock_usec()))
                return false;
        sg_exchange_note(x, "%s: %s; then another", s->endpoint, text ? text : sg_failure_name(f));
        sg_exchange_drop_upstream(x);
        sg_timer_stop(&x->timer);
        sg_exchange_connect_again(x);
        return true;
}
