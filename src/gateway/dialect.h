/*
 * gateway/dialect.h - a provider's dialect on HTTP: what it can be asked for, where, and with which fields
 *
 * Shape    facts of the configuration, and lines and paths of one attempt
 * Owner    outputs are the caller's buffers
 * Thread   any
 * Errors   0 or as sg_buf_add()
 * Source   OpenAI, Anthropic and Azure OpenAI API references
 */
#pragma once

#include "gateway/exchange.h"

/* False: this provider has no such operation, and none that it can be made of. *ret_op: what it is asked for. */
bool sg_dialect_serves(const struct sg_config_provider *p, enum sg_operation op, enum sg_operation *ret_op);
/* The operation costs tokens of text, which can be guessed from bytes where nobody counted them. */
bool sg_dialect_counts_tokens(enum sg_operation op);
/* The target of this attempt, of x->path and x->upstream_op. */
int sg_dialect_add_target(struct sg_exchange *x, struct sg_buf *b) SG_MUST_CHECK;
/* "x-api-key: …\r\n", … as one secret. -EINVAL: it cannot be sent; -E2BIG. */
int sg_dialect_credential_new(struct sg_secret **ret, enum sg_dialect d, struct sg_secret *api_key) SG_MUST_CHECK;
