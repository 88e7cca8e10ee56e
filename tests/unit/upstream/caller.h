/*
 * What the tests of calls share: a world with a scripted server, and a caller that remembers what it was told.
 */
#pragma once

#include "../net/net_test.h"

#include "script.h"
#include "upstream/upstream.h"

#define ANSWER(body_length, body)                                                                                      \
        {                                                                                                              \
                ACT_SEND, "HTTP/1.1 200 OK\r\nContent-Length: " body_length "\r\n\r\n" body, 0                         \
        }
#define READ_REQUEST                                                                                                   \
        {                                                                                                              \
                ACT_READ_REQUEST, NULL, 0                                                                              \
        }
#define SEND(text)                                                                                                     \
        {                                                                                                              \
                ACT_SEND, text, 0                                                                                      \
        }
#define EXPECT(text)                                                                                                   \
        {                                                                                                              \
                ACT_EXPECT, text, 0                                                                                    \
        }
#define FIN                                                                                                            \
        {                                                                                                              \
                ACT_FIN, NULL, 0                                                                                       \
        }
#define WAIT_CLOSE                                                                                                     \
        {                                                                                                              \
                ACT_WAIT_CLOSE, NULL, 0                                                                                \
        }
#define RESET                                                                                                          \
        {                                                                                                              \
                ACT_RESET, NULL, 0                                                                                     \
        }
#define END                                                                                                            \
        {                                                                                                              \
                ACT_END, NULL, 0                                                                                       \
        }

struct world {
        struct sg_loop *loop;
        struct sg_resolver *resolver;
        struct sg_upstream *upstream;
        struct sg_timer limit;
        struct sg_endpoint endpoint;
        struct sg_tls_trust *trust;
        struct script script;
        unsigned n_wanted, n_over;
};

enum frees {
        FREES_LATER,
        FREES_ON_ROOM,
        FREES_ON_SENT,
        FREES_ON_HEAD,
        FREES_ON_BODY,
        FREES_ON_END
};

struct caller {
        struct world *x;
        struct sg_upcall *call;
        struct sg_upcall_request request;
        unsigned n_sent, n_heads, n_bodies, n_ends, n_failed;
        unsigned status;
        struct sg_buf body;
        struct sg_buf trailers;         /* "name=value;" */
        void (*feed)(struct caller *k); /* in on_room */
        unsigned n_rooms;
        size_t n_fed;
        enum sg_upstream_fault fault;
        char text[512];
        bool was_reused;
        bool pauses; /* after each piece */
        bool pauses_at_head;
        enum frees frees;
};

#define GET_X                                                                                                          \
        {                                                                                                              \
                .method = SG_METHOD_GET, .method_text = SG_STR("GET"), .target = SG_STR("/x"),                         \
                .authority = SG_STR("test"), .may_resend = true                                                        \
        }
#define POST_SMALL                                                                                                     \
        {                                                                                                              \
                .method = SG_METHOD_POST, .method_text = SG_STR("POST"), .target = SG_STR("/x"),                       \
                .authority = SG_STR("test"), .kind = SG_UPCALL_BODY_WHOLE, .body = small_body, .n_body = 3,            \
                .may_resend = true                                                                                     \
        }
extern const struct sg_str small_body[3];
extern struct test_ca ca;

void call_start(struct caller *k, struct world *x);
void call_done(struct caller *k);
void wait_for(struct world *x, unsigned n_over);
void call_wait(struct caller *k);
void assert_answer(struct caller *k, unsigned status, const char *body);
void assert_fault(struct caller *k, enum sg_upstream_fault why);
struct sg_upstream_counts counts(struct world *x);
int world_setup(void **state);
void world_serve(struct world *x, const struct act *a, const struct act *b);
int world_teardown(void **state);
void wait_until_closed(struct world *x, unsigned n); /* by the server; turns the loop meanwhile */
int make_ca(void **state);
int drop_ca(void **state);

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
