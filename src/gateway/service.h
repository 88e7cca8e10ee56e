/*
 * gateway/service.h - an exchange with a [service]: what it has beside what all exchanges have
 *
 * Shape    an sg_serving per exchange that a service was found for; the stages ask for it and go its way. The request's
 *          body is held whole when it is short (SG_SERVICE_HELD_BYTES_MAX) and its length is known, so that it can be sent
 *          to another endpoint; else it goes on as it comes, and the client is paused when the endpoint is slower
 * Units    _usec, bytes
 * Owner    the exchange
 * Thread   its worker
 * Errors   an enum sg_failure for the client
 * Limits   of [service]; of a streamed body SG_SERVICE_HELD_BYTES_MAX wait for the connection, and the first
 *          SG_SERVICE_KEPT_BYTES_MAX are kept until the answer begins or more has come
 */
#pragma once

#include "gateway/exchange.h"
#include "upstream/backends.h"

#define SG_SERVICE_HELD_BYTES_MAX (64u * 1024u)
#define SG_SERVICE_KEPT_BYTES_MAX (128u * 1024u)
#define SG_SERVICE_WORD_BYTES     (SG_NAME_BYTES_MAX + sizeof("service:")) /* among a key's models */

struct sg_serving {
        const struct sg_snapshot_service *service; /* of the exchange's snapshot */
        struct sg_timer total;

        /* the request */
        char method[SG_METHOD_BYTES_MAX + 1];
        char upgrade[SG_METHOD_BYTES_MAX + 1]; /* "websocket"; empty: none is asked for */
        char *origin;                          /* of CORS: one that is allowed; NULL: none, or not ours to judge */
        char *subject;                         /* of the client's certificate, or NULL */
        uint64_t hash;                         /* of the header that the service balances by */
        bool has_hash;
        bool is_grpc, wants_trailers;
        bool is_preflight;
        bool is_held; /* else its body is streamed */
        bool has_body, has_length;
        uint64_t length, n_taken; /* of the body: declared; come from the client */
        struct sg_str body;       /* of a held one: lent to the call */

        /* the attempt */
        struct sg_pick pick;
        bool has_pick;
        bool has_room;       /* pieces of a streamed body go straight to the call */
        bool has_given_last; /* and so did the last one */
        bool is_client_paused;
        uint64_t tried; /* a bit for each endpoint */
        unsigned n_attempts;
        const char *endpoint; /* the last one's URL */
        bool keeps;           /* `pending` has all that came of a streamed body: it may be given once more */
        struct sg_buf pending;

        /* the answer */
        bool is_tunnel;
        struct sg_buf trailers; /* lines */
};

struct sg_serving *sg_serving_free(struct sg_serving *s);

/* ---- service_request.c */

/* Looks for a service; with one, takes what its request needs. False: no memory. */
bool sg_service_take_head(struct sg_exchange *x, const struct sg_head *head);
/* One of the gateway's own paths: route.c. */
bool sg_path_is_built_in(struct sg_str path);
/* What the service is told of the caller, known since authenticate. 0 or as sg_buf_add(). */
int sg_service_add_caller(struct sg_exchange *x) SG_MUST_CHECK;

/* ---- service.c: the stages of an exchange with a service */

enum sg_step sg_service_route(struct sg_exchange *x);
enum sg_step sg_service_authenticate(struct sg_exchange *x); /* but by key */
enum sg_step sg_service_prepare(struct sg_exchange *x);
enum sg_step sg_service_connect(struct sg_exchange *x);
/* The attempt is over without a byte of answer: true when another begins. */
bool sg_service_try_again(struct sg_exchange *x, enum sg_failure f, const char *text);
/* The endpoint is told of as what it was, once. */
void sg_service_settle(struct sg_exchange *x, enum sg_backend_result result, const char *text);
/* The head of its answer is no fault: a trial has gone well. The exchange stays open there. */
void sg_service_answered(struct sg_exchange *x);
/* What a failure of the exchange says of its endpoint. */
enum sg_backend_result sg_service_result(const struct sg_exchange *x, enum sg_failure f);

/* ---- service_body.c: the request's body on its way, and bytes of tunnels */

void sg_service_body(struct sg_exchange *x, struct sg_str bytes);
void sg_service_body_end(struct sg_exchange *x);
void sg_service_room(struct sg_exchange *x);
/* The answer has begun: nothing is given twice any more. */
void sg_service_keep_no_more(struct sg_exchange *x);
/* It is the client who is waited for. */
bool sg_service_waits_for_client(const struct sg_exchange *x);

/* ---- service_answer.c */

/* Fields for the client. 0 or as sg_buf_add(). */
int sg_service_take_fields(struct sg_exchange *x, const struct sg_head *head) SG_MUST_CHECK;
/* Also of failures: a script must be able to read why it was refused. Nothing where there is no service. */
int sg_service_add_cors(struct sg_exchange *x) SG_MUST_CHECK;
int sg_service_take_trailers(struct sg_exchange *x, const struct sg_head *trailers) SG_MUST_CHECK;
/* 101: bytes as they are from now on. False: it was not asked for. */
bool sg_service_switch(struct sg_exchange *x, const struct sg_head *head);
enum sg_step sg_service_answer_preflight(struct sg_exchange *x);
bool sg_service_is_grpc(const struct sg_exchange *x);
/* A failure behind the head, as trailers that end the answer. False: it cannot be told so; break off. */
bool sg_service_end_grpc(struct sg_exchange *x);
/* The failure in gRPC's own words: false when this is no gRPC. */
bool sg_service_answer_grpc_failure(struct sg_exchange *x);
