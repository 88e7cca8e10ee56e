#include "gateway/failure.h"

#define BAD      "invalid_request_error"
#define AUTH     "authentication_error"
#define PERM     "permission_error"
#define SERVER   "server_error"
#define UPSTREAM "upstream_error"

static const struct sg_failure_row rows[SG_FAIL_N] = {
        [SG_FAIL_NONE] = {"none", 200, NULL, NULL, "", NULL, 0, SG_LOG_INFO},
        [SG_FAIL_BAD_REQUEST] = {"bad_request", 400, BAD, "bad_request", "The request is not valid HTTP", NULL, 0,
                                 SG_LOG_INFO},
        [SG_FAIL_HEAD_TOO_LARGE] = {"head_too_large", 431, BAD, "head_too_large",
                                    "The request line and headers are larger than this gateway accepts", NULL, 0,
                                    SG_LOG_INFO},
        [SG_FAIL_TARGET_TOO_LONG] = {"target_too_long", 414, BAD, "target_too_long",
                                     "The request target is longer than this gateway accepts", NULL, 0, SG_LOG_INFO},
        [SG_FAIL_BODY_TOO_LARGE] = {"body_too_large", 413, BAD, "body_too_large",
                                    "The request body is larger than this gateway accepts", NULL, 0, SG_LOG_INFO},
        [SG_FAIL_VERSION] = {"http_version", 505, BAD, "http_version", "Only HTTP/1.0 and HTTP/1.1 are spoken here",
                             NULL, 0, SG_LOG_INFO},
        [SG_FAIL_CODING] = {"transfer_coding", 501, BAD, "transfer_coding",
                            "The only transfer coding understood here is chunked", NULL, 0, SG_LOG_INFO},
        [SG_FAIL_HEAD_TIMEOUT] = {"head_timeout", 408, BAD, "head_timeout", "The request head did not arrive in time",
                                  NULL, 0, SG_LOG_INFO},
        [SG_FAIL_BODY_TIMEOUT] = {"body_timeout", 408, BAD, "body_timeout", "The request body did not arrive in time",
                                  NULL, 0, SG_LOG_INFO},
        [SG_FAIL_UNKNOWN_ROUTE] = {"unknown_route", 404, BAD, "unknown_route", "There is nothing at this path", NULL, 0,
                                   SG_LOG_INFO},
        [SG_FAIL_METHOD] = {"method_not_allowed", 405, BAD, "method_not_allowed", "This path does not take this method",
                            NULL, 0, SG_LOG_INFO},
        [SG_FAIL_BAD_JSON] = {"bad_json", 400, BAD, "bad_json", "The request cannot be read", NULL, 0, SG_LOG_INFO},
        [SG_FAIL_BAD_FIELD] = {"bad_field", 400, BAD, "bad_field", "A field of the body is not valid", NULL, 0,
                               SG_LOG_INFO},
        [SG_FAIL_NO_MODEL] = {"no_model", 400, BAD, "no_model",
                              "'model' is missing and this gateway has no model \"default\"", NULL, 0, SG_LOG_INFO},
        [SG_FAIL_UNKNOWN_MODEL] = {"unknown_model", 404, BAD, "model_not_found", "There is no such model here", NULL, 0,
                                   SG_LOG_INFO},
        [SG_FAIL_CANNOT_SERVE] = {"cannot_serve", 400, BAD, "unsupported_operation",
                                  "No provider of this model has what this path asks for", NULL, 0, SG_LOG_INFO},
        [SG_FAIL_NO_KEY] = {"no_key", 401, AUTH, "no_api_key",
                            "No API key was given; send it as 'Authorization: Bearer sk-...'",
                            "Unauthorized: No API key provided", 0, SG_LOG_INFO},
        [SG_FAIL_BAD_KEY] = {"bad_key", 401, AUTH, "invalid_api_key", "The API key is not valid",
                             "Unauthorized: Invalid API key", 0, SG_LOG_INFO},
        [SG_FAIL_KEY_REVOKED] = {"key_revoked", 401, AUTH, "invalid_api_key", "The API key is not valid",
                                 "Unauthorized: Invalid API key", 0, SG_LOG_INFO},
        [SG_FAIL_KEY_EXPIRED] = {"key_expired", 401, AUTH, "invalid_api_key", "The API key is not valid",
                                 "Unauthorized: Invalid API key", 0, SG_LOG_INFO},
        [SG_FAIL_KEYS_UNKNOWN] = {"keys_unknown", 503, SERVER, "keys_unavailable",
                                  "This key cannot be checked at the moment; try again shortly", NULL, 2,
                                  SG_LOG_WARNING},
        [SG_FAIL_MODEL_FORBIDDEN] = {"model_forbidden", 403, PERM, "model_not_allowed",
                                     "This key may not use this model", NULL, 0, SG_LOG_INFO},
        [SG_FAIL_SERVICE_FORBIDDEN] = {"service_forbidden", 403, PERM, "service_not_allowed",
                                       "This key is bound to models and may not use this service", NULL, 0,
                                       SG_LOG_INFO},
        [SG_FAIL_NO_CERTIFICATE] = {"no_certificate", 403, PERM, "certificate_required",
                                    "This service asks for a client certificate, and the connection shows none", NULL,
                                    0, SG_LOG_INFO},
        [SG_FAIL_CERTIFICATE_FORBIDDEN] = {"certificate_forbidden", 403, PERM, "certificate_not_allowed",
                                           "The client certificate is not among those that may use this service", NULL,
                                           0, SG_LOG_INFO},
        [SG_FAIL_ORIGIN_FORBIDDEN] = {"origin_forbidden", 403, PERM, "origin_not_allowed",
                                      "This origin is not among those that may use this service", NULL, 0, SG_LOG_INFO},
        [SG_FAIL_LIMIT_ADDRESS] = {"limit_address", 429, "requests", "rate_limit_exceeded",
                                   "Rate limit reached for this address", NULL, 1, SG_LOG_INFO},
        [SG_FAIL_LIMIT_REQUESTS] = {"limit_requests", 429, "requests", "rate_limit_exceeded",
                                    "Rate limit reached for requests", NULL, 0, SG_LOG_INFO},
        [SG_FAIL_LIMIT_TOKENS] = {"limit_tokens", 429, "tokens", "rate_limit_exceeded", "Rate limit reached for tokens",
                                  NULL, 0, SG_LOG_INFO},
        [SG_FAIL_LIMIT_CONCURRENT] = {"limit_concurrent", 429, "requests", "too_many_concurrent_requests",
                                      "Too many requests at once", NULL, 1, SG_LOG_INFO},
        [SG_FAIL_LIMIT_BUDGET] = {"limit_budget", 402, "insufficient_quota", "budget_exhausted", "The budget is spent",
                                  NULL, 0, SG_LOG_INFO},
        [SG_FAIL_NO_PRICE] = {"no_price", 403, PERM, "no_price",
                              "What this costs is not known, so that a budget could not be kept", NULL, 0,
                              SG_LOG_WARNING},
        [SG_FAIL_LIMITS_UNKNOWN] = {"limits_unknown", 503, SERVER, "limits_unavailable",
                                    "Limits cannot be checked at the moment; try again shortly", NULL, 1,
                                    SG_LOG_WARNING},
        [SG_FAIL_CONNECTIONS_FULL] = {"connections_full", 503, SERVER, "too_many_connections",
                                      "The gateway has as many connections as it may have; try again shortly", NULL, 1,
                                      SG_LOG_WARNING},
        [SG_FAIL_BODIES_FULL] = {"bodies_full", 503, SERVER, "overloaded",
                                 "The gateway holds as many request bodies as it may hold; try again shortly", NULL, 1,
                                 SG_LOG_WARNING},
        [SG_FAIL_JOURNAL_FULL] =
                {"journal_full", 503, SERVER, "journal_full",
                 "The gateway cannot record usage at the moment and refuses new work; try again shortly", NULL, 5,
                 SG_LOG_ERR},
        [SG_FAIL_JOURNAL_SYNC] = {"journal_sync", 503, SERVER, "journal_sync",
                                  "The answer is complete, but its usage could not be written to disk in time", NULL, 5,
                                  SG_LOG_ERR},
        [SG_FAIL_DRAIN_TIMEOUT] = {"drain_timeout", 503, SERVER, "shutting_down",
                                   "The gateway is shutting down and could not wait longer for this answer", NULL, 1,
                                   SG_LOG_WARNING},
        [SG_FAIL_INTERNAL] = {"internal", 500, SERVER, "internal", "The gateway failed to handle this request", NULL, 0,
                              SG_LOG_ERR},
        [SG_FAIL_UPSTREAM_RESOLVE] = {"upstream_resolve", 502, UPSTREAM, "upstream_unreachable",
                                      "The provider's name could not be resolved", NULL, 2, SG_LOG_WARNING},
        [SG_FAIL_UPSTREAM_CONNECT] = {"upstream_connect", 502, UPSTREAM, "upstream_unreachable",
                                      "The provider could not be reached", NULL, 2, SG_LOG_WARNING},
        [SG_FAIL_UPSTREAM_CONNECT_TIMEOUT] = {"upstream_connect_timeout", 504, UPSTREAM, "upstream_timeout",
                                              "The provider did not accept a connection in time", NULL, 2,
                                              SG_LOG_WARNING},
        [SG_FAIL_UPSTREAM_TLS] = {"upstream_tls", 502, UPSTREAM, "upstream_tls",
                                  "No trusted connection to the provider could be made", NULL, 0, SG_LOG_WARNING},
        [SG_FAIL_UPSTREAM_RESET] = {"upstream_reset", 502, UPSTREAM, "upstream_reset",
                                    "The provider closed the connection without an answer", NULL, 1, SG_LOG_WARNING},
        [SG_FAIL_UPSTREAM_TRUNCATED] = {"upstream_truncated", 502, UPSTREAM, "stream_truncated",
                                        "The provider broke off before its answer was complete", NULL, 1,
                                        SG_LOG_WARNING},
        [SG_FAIL_UPSTREAM_GARBAGE] = {"upstream_garbage", 502, UPSTREAM, "upstream_garbage",
                                      "The provider's answer is not valid", NULL, 1, SG_LOG_WARNING},
        [SG_FAIL_UPSTREAM_FIRST_BYTE] = {"upstream_first_byte_timeout", 504, UPSTREAM, "upstream_timeout",
                                         "The provider did not begin its answer in time", NULL, 1, SG_LOG_WARNING},
        [SG_FAIL_UPSTREAM_STALLED] = {"upstream_stalled", 504, UPSTREAM, "upstream_timeout",
                                      "The provider's answer came to a halt", NULL, 1, SG_LOG_WARNING},
        [SG_FAIL_UPSTREAM_TOTAL] = {"upstream_total_timeout", 504, UPSTREAM, "upstream_timeout",
                                    "The provider did not finish its answer in time", NULL, 1, SG_LOG_WARNING},
        [SG_FAIL_NO_ENDPOINT] = {"no_endpoint", 503, UPSTREAM, "no_endpoint",
                                 "No endpoint of the provider is in service at the moment; try again shortly", NULL, 1,
                                 SG_LOG_WARNING},
        [SG_FAIL_NO_TARGET] = {"no_target", 503, UPSTREAM, "no_target",
                               "No provider of this model can be asked at the moment; try again shortly", NULL, 1,
                               SG_LOG_WARNING},
        [SG_FAIL_UPSTREAM_TOO_LARGE] = {"upstream_too_large", 502, UPSTREAM, "upstream_too_large",
                                        "The provider's answer is larger than this gateway holds", NULL, 0,
                                        SG_LOG_WARNING},
        [SG_FAIL_UPSTREAM_REDIRECT] = {"upstream_redirect", 502, UPSTREAM, "upstream_redirect",
                                       "The provider answered with a redirect, which is not followed", NULL, 0,
                                       SG_LOG_WARNING},
        [SG_FAIL_UPSTREAM_ENCODED] = {"upstream_encoded", 502, UPSTREAM, "upstream_encoded",
                                      "The provider compressed its answer although it was asked not to", NULL, 0,
                                      SG_LOG_WARNING},
        [SG_FAIL_PROVIDER_CREDENTIAL] = {"provider_credential", 502, UPSTREAM, "provider_credential",
                                         "The provider refused the gateway's own credential", NULL, 0, SG_LOG_ERR},
        [SG_FAIL_PROVIDER_QUOTA] = {"provider_quota", 502, UPSTREAM, "provider_quota",
                                    "The gateway's account at the provider has no balance", NULL, 0, SG_LOG_ERR},
        [SG_FAIL_PROVIDER_RATE] = {"provider_rate", 429, "rate_limit_error", "provider_rate_limit",
                                   "The provider's rate limit is reached", NULL, 1, SG_LOG_WARNING},
        [SG_FAIL_PROVIDER_OVERLOADED] = {"provider_overloaded", 503, UPSTREAM, "provider_overloaded",
                                         "The provider is overloaded", NULL, 1, SG_LOG_WARNING},
        [SG_FAIL_PROVIDER_REFUSED] = {"provider_refused", 400, BAD, "provider_refused",
                                      "The provider refused the request", NULL, 0, SG_LOG_INFO},
        [SG_FAIL_PROVIDER_ERROR] = {"provider_error", 502, UPSTREAM, "provider_error", "The provider failed to answer",
                                    NULL, 1, SG_LOG_WARNING},
        [SG_FAIL_PROVIDER_IN_BAND] = {"provider_in_band_error", 502, UPSTREAM, "provider_error",
                                      "The provider reported an error", NULL, 1, SG_LOG_WARNING},
        [SG_FAIL_CLIENT_GONE] = {"client_gone", 0, NULL, NULL, "", NULL, 0, SG_LOG_INFO},
        [SG_FAIL_WRITE_TIMEOUT] = {"write_timeout", 0, NULL, NULL, "", NULL, 0, SG_LOG_INFO},
        [SG_FAIL_CLIENT_TLS] = {"client_tls", 0, NULL, NULL, "", NULL, 0, SG_LOG_INFO},
        [SG_FAIL_CLIENT_PROXY] = {"client_proxy", 0, NULL, NULL, "", NULL, 0, SG_LOG_INFO},
};

const struct sg_failure_row *sg_failure_row(enum sg_failure f)
{
        SG_ASSERT(f < SG_FAIL_N && rows[f].name);
        return &rows[f];
}

const char *sg_failure_name(enum sg_failure f)
{
        return sg_failure_row(f)->name;
}

enum sg_failure sg_failure_of_h1(enum sg_h1_error e)
{
        switch (e) {
        case SG_H1_E_HEAD_TOO_LARGE:
                return SG_FAIL_HEAD_TOO_LARGE;
        case SG_H1_E_TARGET_TOO_LONG:
                return SG_FAIL_TARGET_TOO_LONG;
        case SG_H1_E_BODY_TOO_LARGE:
                return SG_FAIL_BODY_TOO_LARGE;
        case SG_H1_E_VERSION:
                return SG_FAIL_VERSION;
        case SG_H1_E_CODING:
                return SG_FAIL_CODING;
        case SG_H1_E_TRUNCATED:
                return SG_FAIL_CLIENT_GONE;
        default:
                return SG_FAIL_BAD_REQUEST;
        }
}

enum sg_failure sg_failure_of_upstream(enum sg_upstream_fault f)
{
        static const enum sg_failure of[SG_UPSTREAM_F_N] = {
                [SG_UPSTREAM_F_RESOLVE] = SG_FAIL_UPSTREAM_RESOLVE,
                [SG_UPSTREAM_F_CONNECT] = SG_FAIL_UPSTREAM_CONNECT,
                [SG_UPSTREAM_F_TIMEOUT] = SG_FAIL_UPSTREAM_CONNECT_TIMEOUT,
                [SG_UPSTREAM_F_TLS] = SG_FAIL_UPSTREAM_TLS,
                [SG_UPSTREAM_F_RESET] = SG_FAIL_UPSTREAM_RESET,
                [SG_UPSTREAM_F_TRUNCATED] = SG_FAIL_UPSTREAM_TRUNCATED,
                [SG_UPSTREAM_F_GARBAGE] = SG_FAIL_UPSTREAM_GARBAGE,
                [SG_UPSTREAM_F_RESOURCES] = SG_FAIL_INTERNAL,
        };

        SG_ASSERT(f < SG_UPSTREAM_F_N);
        return of[f];
}

enum sg_failure sg_failure_of_refusal(enum sg_refusal r)
{
        static const enum sg_failure of[SG_REFUSAL_N] = {
                [SG_REFUSAL_CLIENT] = SG_FAIL_PROVIDER_REFUSED,
                [SG_REFUSAL_CONTEXT] = SG_FAIL_PROVIDER_REFUSED,
                [SG_REFUSAL_CREDENTIAL] = SG_FAIL_PROVIDER_CREDENTIAL,
                [SG_REFUSAL_QUOTA] = SG_FAIL_PROVIDER_QUOTA,
                [SG_REFUSAL_RATE] = SG_FAIL_PROVIDER_RATE,
                [SG_REFUSAL_OVERLOAD] = SG_FAIL_PROVIDER_OVERLOADED,
                [SG_REFUSAL_SERVER] = SG_FAIL_PROVIDER_ERROR,
        };

        SG_ASSERT(r < SG_REFUSAL_N);
        return of[r];
}
