#include "probe/goal.h"

#include <string.h>

#include "base/ip.h"

static void set_tls(struct probe_goal *g, struct sg_tls_trust *trust, struct sg_tls_certificate *certificate)
{
        g->trust = trust ? sg_tls_trust_ref(trust) : NULL;
        g->certificate = certificate ? sg_tls_certificate_ref(certificate) : NULL;
}

void probe_goal_of_dependency(struct probe_goal *g, const struct sg_config_dependency *d, struct sg_tls_trust *trust)
{
        SG_ASSERT(!d->is_tls == !trust);
        *g = (struct probe_goal){
                .dependency = d,
                .name = d->name,
                .host = d->host,
                .port = d->port,
                .is_open_enough = d->kind == SG_PROBE_TCP,
                .server_name = d->host,
                .alpn = d->kind == SG_PROBE_HTTP ? "http/1.1" : NULL,
                .interval_usec = d->interval_usec,
                .timeout_usec = d->timeout_usec,
        };
        set_tls(g, trust, NULL);
}

void probe_goal_of_endpoint(struct probe_goal *g, const struct sg_config_service *s, unsigned endpoint,
                            struct sg_tls_trust *trust, struct sg_tls_certificate *certificate)
{
        const struct sg_config_endpoint *e = &s->endpoints[endpoint];
        const bool is_h2 = s->check == SG_CHECK_GRPC || (s->check == SG_CHECK_HTTP && s->protocol == SG_PROTOCOL_HTTP2);
        struct sg_ip ip;

        SG_ASSERT(!e->is_tls == !trust);
        *g = (struct probe_goal){
                .service = s,
                .endpoint = endpoint,
                .name = e->url,
                .host = e->host,
                .port = e->port,
                .socket_path = e->socket_path,
                .names_address = e->socket_path || sg_ip_parse(&ip, sg_str_from(e->host)),
                .is_h2 = is_h2,
                .is_open_enough = s->check == SG_CHECK_TCP,
                .server_name = s->tls_server_name ? s->tls_server_name : e->host,
                .alpn = is_h2                       ? "h2"
                        : s->check == SG_CHECK_HTTP ? "http/1.1"
                                                    : NULL,
                .interval_usec = s->health_interval_usec,
                .timeout_usec = s->health_timeout_usec,
        };
        set_tls(g, trust, certificate);
}

void probe_goal_done(struct probe_goal *g)
{
        g->trust = sg_tls_trust_unref(g->trust);
        g->certificate = sg_tls_certificate_unref(g->certificate);
}

/* ---- whether two are one */

static bool texts_equal(const char *a, const char *b)
{
        return a == b || (a && b && strcmp(a, b) == 0);
}

static bool dependencies_are_same(const struct sg_config_dependency *a, const struct sg_config_dependency *b)
{
        return strcmp(a->name, b->name) == 0 && strcmp(a->probe, b->probe) == 0 && texts_equal(a->ca_file, b->ca_file);
}

static bool checks_are_same(const struct sg_config_service *a, const struct sg_config_service *b)
{
        return strcmp(a->name, b->name) == 0 && a->check == b->check && a->protocol == b->protocol &&
               texts_equal(a->health_path, b->health_path) && texts_equal(a->ca_file, b->ca_file) &&
               texts_equal(a->tls_server_name, b->tls_server_name) &&
               texts_equal(a->tls_certificate, b->tls_certificate) && texts_equal(a->tls_key, b->tls_key);
}

bool probe_goal_is_same(const struct probe_goal *a, const struct probe_goal *b)
{
        if (a->dependency && b->dependency)
                return dependencies_are_same(a->dependency, b->dependency);
        return a->service && b->service && strcmp(a->name, b->name) == 0 && checks_are_same(a->service, b->service);
}

/* ---- asking */

int probe_goal_add_question(const struct probe_goal *g, struct sg_buf *b)
{
        if (g->dependency)
                return sg_judge_add_question(b, g->dependency);
        return sg_judge_add_check(b, g->service, &g->service->endpoints[g->endpoint]);
}

enum sg_judgement probe_goal_judge(const struct probe_goal *g, struct sg_str answer, struct sg_judge_words *words)
{
        return g->dependency ? sg_judge_answer(g->dependency->kind, answer, words) : sg_judge_check(answer, words);
}
