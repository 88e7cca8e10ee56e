/*
 * probe/ask_h2.h - the check of an endpoint over HTTP/2: bytes in, bytes out, no I/O (private to the room)
 *
 * Shape    one per connection, which carries nothing else
 * Owner    the probe
 * Thread   main
 * Errors   0, -ENOMEM; what the other end does wrong is judged
 * Limits   heads of ASK_H2_HEAD_BYTES_MAX, ASK_H2_BODY_BYTES_MAX of a gRPC answer's body; of others none is read
 * Source   RFC 9113 with prior knowledge; gRPC over HTTP/2 (PROTOCOL-HTTP2.md); grpc.health.v1
 */
#pragma once

#include "probe/judge.h"

#define ASK_H2_HEAD_BYTES_MAX (8u * 1024u)
#define ASK_H2_BODY_BYTES_MAX 1024u

struct ask_h2;

/* By s->check: a GET, or Health/Check of gRPC. */
int ask_h2_new(struct ask_h2 **ret, const struct sg_config_service *s, const struct sg_config_endpoint *e)
        SG_MUST_CHECK;
struct ask_h2 *ask_h2_free(struct ask_h2 *a);
SG_DEFINE_AUTO(struct ask_h2 *, ask_h2_free)

/* Takes all that came, which at first is nothing, and appends to `out` what is to be sent now, which at first is the
 * question. out has room for ASK_H2_OUT_BYTES_MAX. After ALIVE or DEAD it is over. */
#define ASK_H2_OUT_BYTES_MAX (128u * 1024u)
enum sg_judgement ask_h2_turn(struct ask_h2 *a, struct sg_str bytes, struct sg_buf *out, struct sg_judge_words *words);
