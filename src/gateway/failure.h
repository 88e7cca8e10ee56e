/*
 * gateway/failure.h - everything that can go wrong for a client, and what he is told
 *
 * Shape    one enum, one table: word, status, type, code, sentence, retry hint, log level
 * Owner    static
 * Source   the error objects of OpenAI's API; RFC 9110 section 15
 */
#pragma once

#include "base/log.h"
#include "http/h1.h"
#include "llm/llm.h"
#include "upstream/upstream.h"

enum sg_failure {
        SG_FAIL_NONE,
        /* the request's form */
        SG_FAIL_BAD_REQUEST,
        SG_FAIL_HEAD_TOO_LARGE,
        SG_FAIL_TARGET_TOO_LONG,
        SG_FAIL_BODY_TOO_LARGE,
        SG_FAIL_VERSION,
        SG_FAIL_CODING,
        SG_FAIL_HEAD_TIMEOUT,
        SG_FAIL_BODY_TIMEOUT,
        SG_FAIL_UNKNOWN_ROUTE,
        SG_FAIL_METHOD,
        SG_FAIL_BAD_JSON,
        SG_FAIL_BAD_FIELD,
        SG_FAIL_NO_MODEL,
        SG_FAIL_UNKNOWN_MODEL,
        SG_FAIL_CANNOT_SERVE,
        /* the caller */
        SG_FAIL_NO_KEY,
        SG_FAIL_BAD_KEY,
        SG_FAIL_KEY_REVOKED,
        SG_FAIL_KEY_EXPIRED,
        SG_FAIL_KEYS_UNKNOWN,
        SG_FAIL_MODEL_FORBIDDEN,
        SG_FAIL_SERVICE_FORBIDDEN,
        SG_FAIL_NO_CERTIFICATE,
        SG_FAIL_CERTIFICATE_FORBIDDEN,
        SG_FAIL_ORIGIN_FORBIDDEN,
        /* the caller's limits, and those of a model or provider */
        SG_FAIL_LIMIT_ADDRESS,
        SG_FAIL_LIMIT_REQUESTS,
        SG_FAIL_LIMIT_TOKENS,
        SG_FAIL_LIMIT_CONCURRENT,
        SG_FAIL_LIMIT_BUDGET,
        SG_FAIL_NO_PRICE,
        SG_FAIL_LIMITS_UNKNOWN,
        /* the gateway's own limits */
        SG_FAIL_CONNECTIONS_FULL,
        SG_FAIL_BODIES_FULL,
        SG_FAIL_JOURNAL_FULL,
        SG_FAIL_JOURNAL_SYNC,
        SG_FAIL_DRAIN_TIMEOUT,
        SG_FAIL_INTERNAL,
        /* the provider */
        SG_FAIL_UPSTREAM_RESOLVE,
        SG_FAIL_UPSTREAM_CONNECT,
        SG_FAIL_UPSTREAM_CONNECT_TIMEOUT,
        SG_FAIL_UPSTREAM_TLS,
        SG_FAIL_UPSTREAM_RESET,
        SG_FAIL_UPSTREAM_TRUNCATED,
        SG_FAIL_UPSTREAM_GARBAGE,
        SG_FAIL_UPSTREAM_FIRST_BYTE,
        SG_FAIL_UPSTREAM_STALLED,
        SG_FAIL_UPSTREAM_TOTAL,
        SG_FAIL_NO_ENDPOINT,
        SG_FAIL_NO_TARGET,
        SG_FAIL_UPSTREAM_TOO_LARGE,
        SG_FAIL_UPSTREAM_REDIRECT,
        SG_FAIL_UPSTREAM_ENCODED,
        SG_FAIL_PROVIDER_CREDENTIAL,
        SG_FAIL_PROVIDER_QUOTA,
        SG_FAIL_PROVIDER_RATE,
        SG_FAIL_PROVIDER_OVERLOADED,
        SG_FAIL_PROVIDER_REFUSED,
        SG_FAIL_PROVIDER_ERROR,
        SG_FAIL_PROVIDER_IN_BAND,
        /* the client went away: nobody is told, the log is */
        SG_FAIL_CLIENT_GONE,
        SG_FAIL_WRITE_TIMEOUT,
        SG_FAIL_CLIENT_TLS,   /* no exchange: the connection's line */
        SG_FAIL_CLIENT_PROXY, /* neither */
        SG_FAIL_N,
};

struct sg_failure_row {
        const char *name;         /* the word in logs, counters and records */
        unsigned status;          /* 0: nobody is there to be told */
        const char *type, *code;  /* of the error object; code may be NULL */
        const char *text;         /* a sentence for the client; a detail may follow it */
        const char *simple_text;  /* on POST /v1/chat, where older clients compare it; NULL: text */
        unsigned retry_after_sec; /* 0: no hint */
        enum sg_log_level level;
};

const struct sg_failure_row *sg_failure_row(enum sg_failure f);
const char *sg_failure_name(enum sg_failure f); /* "none" for SG_FAIL_NONE */

enum sg_failure sg_failure_of_h1(enum sg_h1_error e);
enum sg_failure sg_failure_of_upstream(enum sg_upstream_fault f);
/* Of what a provider says instead of an answer. */
enum sg_failure sg_failure_of_refusal(enum sg_refusal r);
