/*
 * probe/goal.h - what is asked of whom: a dependency, or an endpoint of a service (private to the room)
 *
 * Shape    a value inside each probe; what the two kinds have in common stands in it, so that asking does not know which
 *          it is
 * Units    _usec
 * Owner    strings are the configuration's, which the set holds; trust and certificate are counted
 * Thread   main
 * Errors   those of sg_buf for questions; answers get a judgement
 */
#pragma once

#include "probe/judge.h"
#include "tls/tls.h"

struct probe_goal {
        const struct sg_config_dependency *dependency; /* one of the two */
        const struct sg_config_service *service;
        unsigned endpoint; /* of service->endpoints */

        const char *name; /* "redis", "http://10.0.0.5:8082" */
        const char *host; /* without brackets */
        uint16_t port;
        const char *socket_path;                /* NULL: host and port */
        bool names_address;                     /* the name says where it stands: words about it need not */
        bool is_h2;                             /* asked by ask_h2.h */
        bool is_open_enough;                    /* that there is a connection says it all */
        struct sg_tls_trust *trust;             /* NULL: without TLS */
        struct sg_tls_certificate *certificate; /* NULL: none is shown */
        const char *server_name, *alpn;         /* with TLS; alpn NULL: none is offered */
        uint64_t interval_usec, timeout_usec;
};

/* trust and certificate are referenced. */
void probe_goal_of_dependency(struct probe_goal *g, const struct sg_config_dependency *d, struct sg_tls_trust *trust);
void probe_goal_of_endpoint(struct probe_goal *g, const struct sg_config_service *s, unsigned endpoint,
                            struct sg_tls_trust *trust, struct sg_tls_certificate *certificate);
void probe_goal_done(struct probe_goal *g);

/* The same is asked in the same way, perhaps at other intervals: what is known goes on being true. */
bool probe_goal_is_same(const struct probe_goal *a, const struct probe_goal *b);

/* But for is_h2: */
int probe_goal_add_question(const struct probe_goal *g, struct sg_buf *b) SG_MUST_CHECK;
/* `answer` is all that has come so far. */
enum sg_judgement probe_goal_judge(const struct probe_goal *g, struct sg_str answer, struct sg_judge_words *words);
