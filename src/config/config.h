/*
 * config/config.h - the configuration in force: plain data, immutable once read
 *
 * Shape    one sg_config per successful read: sections as arrays, secrets resolved, every name checked
 * Units    as in the names; times _usec, sizes _bytes
 * Owner    counted: sg_config_ref()/_unref() from any thread; strings live as long as it does
 * Thread   read by one thread; afterwards immutable and shared
 * Errors   struct sg_error: where = "file:line", text with the nearest valid word
 * Limits   SG_CONFIG_FILE_BYTES_MAX per file, SG_CONFIG_LINE_BYTES_MAX per line
 * Source   drop-ins as in systemd.unit(5): gateway.conf, then gateway.conf.d/{any}.conf by name; a later scalar
 *          replaces, a list setting adds and an empty assignment clears it
 */
#pragma once

#include "base/error.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/str.h"
#include "config/limit.h"

enum sg_dialect {
        SG_DIALECT_OPENAI,
        SG_DIALECT_ANTHROPIC,
        SG_DIALECT_AZURE, /* OpenAI's wire format behind Azure's paths and key */
        SG_DIALECT_ECHO,  /* the practice provider, built in */
        SG_DIALECT_N,
};
const char *sg_dialect_name(enum sg_dialect d);

enum sg_when_full {
        SG_WHEN_FULL_REFUSE,
        SG_WHEN_FULL_COUNT,
        SG_WHEN_FULL_N
};
enum sg_journal_sync {
        SG_JOURNAL_SYNC_INTERVAL,
        SG_JOURNAL_SYNC_ALWAYS,
        SG_JOURNAL_SYNC_N
};
enum sg_ledger_start {
        SG_LEDGER_START_AUTO,
        SG_LEDGER_START_YES,
        SG_LEDGER_START_NO,
        SG_LEDGER_START_N
};

enum sg_client_certificate {
        SG_CLIENT_CERTIFICATE_NONE,
        SG_CLIENT_CERTIFICATE_OPTIONAL,
        SG_CLIENT_CERTIFICATE_REQUIRED,
        SG_CLIENT_CERTIFICATE_N
};

struct sg_config_listener {
        const char *name;
        const char *address;                       /* as written; NULL: only from systemd */
        const char *where;                         /* file:line, for errors that show later */
        const char **tls_certificates, **tls_keys; /* paths of PEM files; as many of each */
        size_t n_tls_certificates, n_tls_keys;     /* 0: without TLS */
        const char *client_ca;                     /* NULL: none */
        enum sg_client_certificate client_certificate;
        bool proxy_protocol; /* connections begin with a PROXY header */
};

/* What is spoken with an upstream. */
enum sg_protocol {
        SG_PROTOCOL_HTTP1,
        SG_PROTOCOL_HTTP2, /* with prior knowledge; over TLS by ALPN, and nothing else */
        SG_PROTOCOL_AUTO,  /* over TLS what ALPN says, in the clear HTTP/1.1 */
        SG_PROTOCOL_N,
};

#define SG_ANTHROPIC_VERSION "2023-06-01" /* where nobody names one */

/* What is asked of providers: OpenAI's API has grown, and not every server that speaks it grew along. */
enum sg_responses {
        SG_RESPONSES_NO,  /* /v1/responses is made of chat completions */
        SG_RESPONSES_YES, /* passed on */
        SG_RESPONSES_N,
};

#define SG_CREDENTIALS_MAX 16u

struct sg_config_credential {
        const char *name;          /* for people and records: never the secret. "api_key": the one of that setting */
        struct sg_secret *api_key; /* NULL: none is sent, or secrets were not read */
        unsigned priority;         /* 1 to 100; the lower is asked first */
        uint64_t daily_tokens;     /* input and output; 0: no quota */
        const char *where;
};

struct sg_config_provider {
        const char *name;
        enum sg_dialect dialect;
        const char *base_url; /* as written */
        bool is_tls;
        const char *host; /* of base_url, without brackets */
        uint16_t port;
        const char *path_prefix;     /* of base_url, without trailing slash: "/v1", "" */
        const char *authority;       /* for the Host field: "api.moonshot.cn", "127.0.0.1:9000" */
        const char *socket_path;     /* of a Unix socket; NULL: host and port. Then host is "localhost" and port is 0 */
        const char *ca_file;         /* NULL: the system's trust */
        const char *tls_server_name; /* NULL: host */
        const char *tls_certificate, *tls_key; /* paths of PEM files; NULL, both: none is shown */
        struct sg_secret *api_key;             /* NULL: none is sent */
        struct sg_config_credential
                *credentials;      /* by priority; api_key is among them; without any one without secret */
        size_t n_credentials;      /* 1 to SG_CREDENTIALS_MAX */
        uint64_t quota_reset_usec; /* when the provider's day begins, after midnight UTC */
        const char *api_version;   /* azure: of the query; anthropic: where the client names none */
        uint64_t max_tokens;       /* anthropic: asked for where the client names no limit */
        enum sg_responses responses;
        const char *proxy;      /* as written; "environment", "none" */
        const char *proxy_host; /* in force, without brackets; NULL: none */
        uint16_t proxy_port;
        const char *proxy_where;               /* file:line, or the variable */
        struct sg_secret *proxy_authorization; /* "user:password", or NULL */
        uint64_t connect_timeout_usec, first_byte_timeout_usec, between_bytes_timeout_usec, idle_timeout_usec;
        size_t pool_max, warm_connections; /* of each worker */
        enum sg_protocol protocol;
        unsigned breaker_failures;   /* in a row, of each place that models lead to; 0: no breaker */
        uint64_t breaker_usec;       /* open so long, then one request tries */
        uint64_t echo_pace_usec;     /* echo: pause before each word */
        struct sg_limit_set *limits; /* of all that is asked of it; NULL: none */
        const char *where;
};

struct sg_config_target {
        const struct sg_config_provider *provider;
        const char *upstream_model; /* NULL: the name that the client asked for */
        unsigned weight;            /* 1 to 1000 */
        uint64_t context_tokens;    /* what fits its prompt, as far as it was told; 0: not told */
        size_t lane;                /* of config->lanes: targets that are the same place share what is known of it */
};

/* A place that models lead to: "openai/gpt-4o"; of a pattern's target without a name of its own "openai/gpt-*". And each
 * provider by itself ("openai"), for requests that name no model. Each name stands once. */
struct sg_config_lane {
        const char *name;
        const struct sg_config_provider *provider;
};

/* How one of a model's targets is chosen; the next is asked when it fails. */
enum sg_strategy {
        SG_STRATEGY_WEIGHTED,      /* by chance, or by affinity */
        SG_STRATEGY_ORDERED,       /* as they stand */
        SG_STRATEGY_LEAST_LATENCY, /* to the first byte, of late */
        SG_STRATEGY_CHEAPEST,      /* by prices.d; those without a price last */
        SG_STRATEGY_N,
};
const char *sg_strategy_name(enum sg_strategy s);

/* What stays with the same target and credential, so that the provider's prompt cache is of use. */
enum sg_affinity {
        SG_AFFINITY_NONE,
        SG_AFFINITY_CONVERSATION, /* how it began */
        SG_AFFINITY_KEY,          /* the caller */
        SG_AFFINITY_N,
};

/* What becomes of an answer whose client has gone. */
enum sg_disconnect {
        SG_DISCONNECT_CANCEL, /* the provider's request ends at once */
        SG_DISCONNECT_DRAIN,  /* it is read to its end, so that its figures come, within limits */
        SG_DISCONNECT_N,
};

#define SG_TARGETS_MAX 64u /* of a model, of all three kinds together */

struct sg_config_model {
        const char *name; /* pattern: may end in '*' */
        bool is_pattern;
        const char **aliases; /* other names of it; no patterns */
        size_t n_aliases;
        struct sg_config_target *targets; /* first n_targets; then fallbacks; then those for longer prompts */
        size_t n_targets;                 /* at least 1 */
        size_t n_fallbacks;               /* in this order, when no target serves */
        size_t n_larger;                  /* in this order, when the prompt is too long for what was asked */
        unsigned weight_sum;              /* of the first n_targets */
        enum sg_strategy strategy;
        enum sg_affinity affinity; /* of SG_STRATEGY_WEIGHTED */
        unsigned retries;          /* further attempts, at most */
        enum sg_disconnect on_disconnect;
        uint64_t drain_usec, drain_tokens; /* of SG_DISCONNECT_DRAIN: what is read on, at most */
        struct sg_limit_set *limits;       /* of all who use it; NULL: none */
        const char *downgrade_name;        /* as written */
        const struct sg_config_model
                *downgrade; /* serves in its place where a budget says so; no pattern. NULL: none */
        const char *where;
};

enum sg_probe_kind {
        SG_PROBE_TCP,
        SG_PROBE_HTTP,
        SG_PROBE_REDIS,
        SG_PROBE_POSTGRES,
        SG_PROBE_BOLT,
        SG_PROBE_N,
};
const char *sg_probe_kind_name(enum sg_probe_kind k);

struct sg_config_dependency {
        const char *name;
        const char *probe; /* as written */
        enum sg_probe_kind kind;
        bool is_tls;
        const char *host; /* without brackets */
        uint16_t port;
        const char *path, *authority; /* of SG_PROBE_HTTP: the target and the Host field */
        uint64_t interval_usec, timeout_usec;
        bool is_required;    /* the whole is down without it */
        const char *ca_file; /* NULL: the system's trust */
        const char *where;
};

enum sg_service_auth {
        SG_SERVICE_AUTH_KEY,         /* an API key, as for models */
        SG_SERVICE_AUTH_CERTIFICATE, /* a client certificate that the listener has verified */
        SG_SERVICE_AUTH_NONE,
        SG_SERVICE_AUTH_N,
};

enum sg_balance {
        SG_BALANCE_ROUND_ROBIN, /* by weight */
        SG_BALANCE_LEAST,       /* the fewest open exchanges for its weight */
        SG_BALANCE_HASH,        /* consistent, by weight */
        SG_BALANCE_N,
};

enum sg_hash_by {
        SG_HASH_BY_ADDRESS, /* of the client */
        SG_HASH_BY_KEY,     /* the caller's; of one without: the address */
        SG_HASH_BY_HEADER,  /* a field's value; of a request without it: the address */
        SG_HASH_BY_N,
};

enum sg_endpoint_check {
        SG_CHECK_NONE,
        SG_CHECK_HTTP, /* GET health_path: 200 to 399 */
        SG_CHECK_TCP,
        SG_CHECK_GRPC, /* grpc.health.v1.Health/Check of health_path, which may be "" */
        SG_CHECK_N,
};

#define SG_ENDPOINTS_MAX 64u

struct sg_config_endpoint {
        const char *url; /* as written: what it is called */
        bool is_tls;
        const char *host; /* without brackets */
        uint16_t port;
        const char *authority;   /* for the Host field: "127.0.0.1:8082" */
        const char *path_prefix; /* without trailing slash: "", "/v2" */
        const char *socket_path; /* of a Unix socket; NULL: host and port. Then host is "localhost" and port is 0 */
        unsigned weight;         /* 1 to 1000 */
};

struct sg_config_field {
        const char *name, *value; /* valid by RFC 9110; not one that the gateway decides itself */
};

struct sg_config_service {
        const char *name;
        const char *prefix; /* begins with '/'; ends on a segment's border, whether with a slash or without */
        const char **hosts; /* lower case, without port: "[::1]"; "*.example.com" stands for one label; none: any */
        size_t n_hosts;
        const char **methods; /* "GET"; none: any */
        size_t n_methods;
        bool strip_prefix;

        enum sg_service_auth auth;
        const char **client_subjects; /* of SG_SERVICE_AUTH_CERTIFICATE: "CN=alice,O=Example"; none: any */
        size_t n_client_subjects;

        struct sg_config_field *request_fields, *response_fields; /* set, in place of what stood there */
        size_t n_request_fields, n_response_fields;
        const char **request_removed, **response_removed; /* names */
        size_t n_request_removed, n_response_removed;

        uint64_t body_bytes_max;
        uint64_t connect_timeout_usec, first_byte_timeout_usec, between_bytes_timeout_usec;
        uint64_t total_timeout_usec; /* SG_USEC_NEVER: none */
        uint64_t idle_timeout_usec;
        size_t pool_max, warm_connections; /* of each endpoint and worker */
        enum sg_protocol protocol;
        bool may_upgrade;                      /* WebSocket and others become tunnels */
        const char *ca_file;                   /* NULL: the system's trust */
        const char *tls_server_name;           /* NULL: the endpoint's host */
        const char *tls_certificate, *tls_key; /* paths of PEM files; NULL, both: none is shown */

        const char **cors_origins; /* "https://app.example", as browsers send it; none: CORS is left to the service */
        size_t n_cors_origins;
        const char *cors_methods, *cors_headers, *cors_expose; /* lists as sent; NULL: none */
        bool cors_credentials;
        uint64_t cors_max_age_usec;

        struct sg_config_endpoint *endpoints;
        size_t n_endpoints; /* 1 to SG_ENDPOINTS_MAX */
        enum sg_balance balance;
        enum sg_hash_by hash_by;
        const char *hash_header; /* of SG_HASH_BY_HEADER */

        enum sg_endpoint_check check;
        const char *health_path;
        uint64_t health_interval_usec, health_timeout_usec;
        unsigned breaker_failures; /* in a row; 0: no breaker */
        uint64_t breaker_usec;     /* open so long, then one request tries */
        unsigned retries;          /* further attempts on other endpoints, at most */
        unsigned retry_percent;    /* of the requests of late that may be retries */
        const char *where;
};

/* [redis] */
struct sg_config_redis {
        const char *url; /* as written; NULL: limits are not shared */
        bool is_tls;
        const char *host; /* without brackets */
        uint16_t port;
        const char *socket_path; /* of a Unix socket; NULL: host and port */
        unsigned database;
        const char *user;                      /* NULL: Redis' default user */
        struct sg_secret *password;            /* NULL: none is sent, or secrets were not read */
        const char *ca_file;                   /* NULL: the system's trust */
        const char *tls_server_name;           /* NULL: host */
        const char *tls_certificate, *tls_key; /* paths of PEM files; NULL, both: none is shown */
        const char *prefix;                    /* of all keys in Redis */
};

struct sg_config {
        uint64_t number; /* 1, 2, … in this process */
        uint64_t read_wall_usec;
        const char *directory; /* of gateway.conf */

        /* [gateway] */
        unsigned workers; /* auto is resolved */
        uint64_t drain_timeout_usec, upgrade_drain_timeout_usec;
        const char *state_directory, *runtime_directory;
        size_t head_bytes_max;
        uint64_t body_bytes_max, bodies_bytes_max;
        uint64_t head_timeout_usec, body_timeout_usec, idle_timeout_usec, write_timeout_usec;
        size_t connections_max;
        const char *group; /* owns the control sockets */
        struct sg_networks trusted_proxies;
        bool trusts_unix;                    /* "unix" among trusted_proxies */
        struct sg_limit_set *address_limits; /* of each client address: requests per minute or hour; NULL: none */
        size_t limited_addresses;            /* that are counted at once */

        /* [journal] */
        size_t journal_bytes; /* per worker */
        enum sg_journal_sync journal_sync;
        enum sg_when_full journal_when_full;

        /* [ledger] */
        const char *ledger_database;       /* "sqlite:/path", "postgresql://…"; with a ca_file it names an sslmode */
        struct sg_secret *ledger_password; /* NULL: none, or who reads this is not the ledger */
        const char *ledger_ca_file;        /* NULL: none */
        const char *ledger_tls_certificate, *ledger_tls_key; /* paths of PEM files; NULL, both: none is shown */
        enum sg_ledger_start ledger_start;

        struct sg_config_redis redis;

        /* [control] */
        const char **admins; /* user names */
        size_t n_admins;

        /* [log] */
        enum sg_log_level log_level;
        bool log_sink_is_auto;
        enum sg_log_sink log_sink;
        const char *log_path; /* SG_LOG_TO_FILE */
        bool log_access;      /* one line per exchange */

        struct sg_config_listener *listeners;
        size_t n_listeners;
        struct sg_config_provider *providers;
        size_t n_providers;
        struct sg_config_model *models;
        size_t n_models;
        struct sg_config_lane *lanes;
        size_t n_lanes;
        struct sg_prices *prices; /* of prices.d: config/prices.h */
        bool server_timing;       /* tells clients where the time went */
        struct sg_config_dependency *dependencies;
        size_t n_dependencies;
        struct sg_config_service *services;
        size_t n_services;
};

/* Reads directory/gateway.conf and its drop-ins, applies the environment, resolves secrets, checks all. For the gateway:
 * of the ledger's database no secret is read, only checked that it is named in the right form. */
int sg_config_read(struct sg_config **ret, const char *directory, struct sg_error *err) SG_MUST_CHECK;
/* The other way round for the ledger, which calls no provider: of all secrets it gets those of its database. */
int sg_config_read_for_ledger(struct sg_config **ret, const char *directory, struct sg_error *err) SG_MUST_CHECK;
/* For who only looks: no secret is read. */
int sg_config_read_without_secrets(struct sg_config **ret, const char *directory, struct sg_error *err) SG_MUST_CHECK;
struct sg_config *sg_config_ref(struct sg_config *c);
struct sg_config *sg_config_unref(struct sg_config *c);
SG_DEFINE_AUTO(struct sg_config *, sg_config_unref)

/* The lane of a provider by itself: its place among c->lanes. */
size_t sg_config_provider_lane(const struct sg_config *c, const struct sg_config_provider *p);
const struct sg_config_provider *sg_config_find_provider(const struct sg_config *c, struct sg_str name);
/* Exact name first, then the longest pattern that matches; NULL when none. */
const struct sg_config_model *sg_config_find_model(const struct sg_config *c, struct sg_str name);
/* The service that a request is for, or NULL; *ret_other_method: there would be one for another method. host may have a
 * port; path: without query. */
const struct sg_config_service *sg_config_find_service(const struct sg_config *c, struct sg_str host,
                                                       struct sg_str method, struct sg_str path,
                                                       bool *ret_other_method);
/* Its prefix without a slash at the end: "" for all paths. */
struct sg_str sg_service_prefix(const struct sg_config_service *s);
/* Before `to` is published in place of `from`: sets of limits that are the same become the same object, so that their
 * words go on without being looked for. */
void sg_config_keep_limits(const struct sg_config *from, struct sg_config *to);
/* What a change from one to the other needs: NULL when a reload does it, else the first setting that needs a restart
 * ("gateway.workers"). */
const char *sg_config_needs_restart(const struct sg_config *from, const struct sg_config *to);

/* Every setting in force as "[section]\nname = value\n" lines with "# file:line" or "# default"; secrets as their
 * source, never their value. */
struct sg_buf;
int sg_config_add_text(const struct sg_config *c, struct sg_buf *b) SG_MUST_CHECK;
