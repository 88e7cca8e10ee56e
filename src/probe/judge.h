/*
 * probe/judge.h - what a dependency or an endpoint is asked, and whether its answer shows that it serves
 *
 * Shape    pure functions of bytes: no state, no I/O, so that a judgement depends on the bytes alone and not on how they
 *          were cut
 * Owner    questions are added to the caller's buffer; answers are borrowed
 * Errors   a judgement, never an errno: whatever comes from outside is judged
 * Limits   SG_JUDGE_BYTES_MAX of an answer; what says nothing within that is garbage
 * Source   grpc/health/v1/health.proto, Protocol Buffers "Encoding"; PostgreSQL "Message Formats" (protocol 3.0) and libpq's PQping; Redis RESP2; Bolt handshake; RFC 9112
 */
#pragma once

#include <stdarg.h>

#include "base/buf.h"
#include "config/config.h"
#include "probe/health.h"

#define SG_JUDGE_BYTES_MAX (16u * 1024u)

enum sg_judgement {
        SG_JUDGEMENT_MORE, /* not yet */
        SG_JUDGEMENT_ALIVE,
        SG_JUDGEMENT_DEAD, /* fault and text say why */
        SG_JUDGEMENT_N,
};

struct sg_judge_words {
        enum sg_probe_fault fault;
        char text[SG_PROBE_TEXT_BYTES]; /* printable ASCII: words of a stranger are made so */
};

/* What is sent once the connection stands; nothing for tcp. Errors of sg_buf. */
int sg_judge_add_question(struct sg_buf *b, const struct sg_config_dependency *d) SG_MUST_CHECK;
/* `answer` is all that has come so far. words is written when the judgement is DEAD. */
enum sg_judgement sg_judge_answer(enum sg_probe_kind kind, struct sg_str answer, struct sg_judge_words *words);

/* The same for an endpoint of a service with check = http over HTTP/1.1: 200 to 399 is alive. */
int sg_judge_add_check(struct sg_buf *b, const struct sg_config_service *s, const struct sg_config_endpoint *e)
        SG_MUST_CHECK;
enum sg_judgement sg_judge_check(struct sg_str answer, struct sg_judge_words *words);

/* Health/Check of gRPC: the request, and the answer's body, when grpc-status is 0. Both are one message with its prefix. */
int sg_judge_add_grpc_check(struct sg_buf *b, struct sg_str service) SG_MUST_CHECK;
enum sg_judgement sg_judge_grpc_answer(struct sg_str body, struct sg_judge_words *words);

/* Fills words, made printable; SG_JUDGEMENT_DEAD. */
enum sg_judgement sg_judge_dead(struct sg_judge_words *words, enum sg_probe_fault fault, const char *format, ...)
        SG_PRINTF(3, 4);
enum sg_judgement sg_judge_dead_v(struct sg_judge_words *words, enum sg_probe_fault fault, const char *format,
                                  va_list args) SG_PRINTF(3, 0);
