/*
 * What the tests of calls by HTTP/2 share: a server, and calls of its paths.
 */
#pragma once

#include "caller.h"

#include "server_h2.h"
#include "upstream/upstream_internal.h"

extern struct server_h2 server;

#define CALL(path_)                                                                                                    \
        {                                                                                                              \
                .request = {                                                                                           \
                        .method = SG_METHOD_GET,                                                                       \
                        .method_text = SG_STR("GET"),                                                                  \
                        .target = SG_STR(path_),                                                                       \
                        .authority = SG_STR("test"),                                                                   \
                        .may_resend = true                                                                             \
                }                                                                                                      \
        }
#define STREAM(path_)                                                                                                  \
        {                                                                                                              \
                .request = {                                                                                           \
                        .method = SG_METHOD_POST,                                                                      \
                        .method_text = SG_STR("POST"),                                                                 \
                        .target = SG_STR(path_),                                                                       \
                        .authority = SG_STR("test"),                                                                   \
                        .kind = SG_UPCALL_BODY_STREAM,                                                                 \
                        .may_resend = true                                                                             \
                }                                                                                                      \
        }

#define MANY      40
#define BIG_BYTES (4u * 1024u * 1024u)

void serve(struct world *x);
void serve_tls(struct world *x, const char *alpn, enum sg_protocol protocol);
int setup(void **state);
int teardown(void **state);
void ask(struct world *x, struct caller *k, unsigned status, const char *body);
void ask_ok(struct world *x);
void wait_for_count(struct world *x, atomic_uint *count, unsigned n);
void feed_big(struct caller *k); /* BIG_BYTES, while there is room */
/* And waits for the echo, but of the last. */
void send_text(struct caller *k, const char *text, bool is_last);

#define H2_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
