#include "config/settings.h"

#include "base/limits.h"
#include "config/config.h"
#include "sg_build.h"

#define K                          UINT64_C(1024)
#define M                          (1024 * K)
#define G                          (1024 * M)
#define MSEC                       SG_USEC_PER_MSEC
#define SEC                        SG_USEC_PER_SEC
#define HOUR                       (3600 * SEC)
#define DAY                        (24 * HOUR)

#define AT(type, field)            .offset = offsetof(struct type, field), .width = sizeof(((struct type *)0)->field)
#define ID(SECTION, text, setting) .section = SG_SECTION_##SECTION, .name = setting, .key = text "." setting
#define GATEWAY(setting)           ID(GATEWAY, "gateway", setting)
#define JOURNAL(setting)           ID(JOURNAL, "journal", setting)
#define LEDGER(setting)            ID(LEDGER, "ledger", setting)
#define REDIS(setting)             ID(REDIS, "redis", setting)
#define CONTROL(setting)           ID(CONTROL, "control", setting)
#define LOG(setting)               ID(LOG, "log", setting)
#define LISTENER(setting)          ID(LISTENER, "listener", setting)
#define PROVIDER(setting)          ID(PROVIDER, "provider", setting)
#define MODEL(setting)             ID(MODEL, "model", setting)
#define SERVICE(setting)           ID(SERVICE, "service", setting)
#define DEPENDENCY(setting)        ID(DEPENDENCY, "dependency", setting)
#define REMOTE                     (~(1u << SG_DIALECT_ECHO))
#define ECHO                       (1u << SG_DIALECT_ECHO)
#define ANTHROPIC                  (1u << SG_DIALECT_ANTHROPIC)
#define AZURE                      (1u << SG_DIALECT_AZURE)
#define OPENAI                     (1u << SG_DIALECT_OPENAI)

static const char *const sync_words[] = {"interval", "always", NULL};
static const char *const full_words[] = {"refuse", "count", NULL};
static const char *const start_words[] = {"auto", "yes", "no", NULL};
static const char *const level_words[] = {"err", "warning", "notice", "info", "debug", NULL};
static const char *const client_words[] = {"none", "optional", "required", NULL};
static const char *const dialect_words[] = {"openai", "anthropic", "azure", "echo", NULL};
static const char *const protocol_words[] = {"http1", "http2", "auto", NULL};
static const char *const responses_words[] = {"no", "yes", NULL};
static const char *const strategy_words[] = {"weighted", "ordered", "least_latency", "cheapest", NULL};
static const char *const affinity_words[] = {"none", "conversation", "key", NULL};
static const char *const disconnect_words[] = {"cancel", "drain", NULL};
static const char *const auth_words[] = {"key", "certificate", "none", NULL};
static const char *const balance_words[] = {"round_robin", "least_outstanding", "hash", NULL};

_Static_assert(SG_N_ELEMENTS(sync_words) == SG_JOURNAL_SYNC_N + 1, "a word for each");
_Static_assert(SG_N_ELEMENTS(full_words) == SG_WHEN_FULL_N + 1, "a word for each");
_Static_assert(SG_N_ELEMENTS(start_words) == SG_LEDGER_START_N + 1, "a word for each");
_Static_assert(SG_N_ELEMENTS(level_words) == SG_LOG_DEBUG - SG_LOG_ERR + 2, "a word for each");
_Static_assert(SG_N_ELEMENTS(client_words) == SG_CLIENT_CERTIFICATE_N + 1, "a word for each");
_Static_assert(SG_N_ELEMENTS(dialect_words) == SG_DIALECT_N + 1, "a word for each");
_Static_assert(SG_N_ELEMENTS(protocol_words) == SG_PROTOCOL_N + 1, "a word for each");
_Static_assert(SG_N_ELEMENTS(responses_words) == SG_RESPONSES_N + 1, "a word for each");
_Static_assert(SG_N_ELEMENTS(strategy_words) == SG_STRATEGY_N + 1, "a word for each");
_Static_assert(SG_N_ELEMENTS(affinity_words) == SG_AFFINITY_N + 1, "a word for each");
_Static_assert(SG_N_ELEMENTS(disconnect_words) == SG_DISCONNECT_N + 1, "a word for each");
_Static_assert(SG_N_ELEMENTS(auth_words) == SG_SERVICE_AUTH_N + 1, "a word for each");
_Static_assert(SG_N_ELEMENTS(balance_words) == SG_BALANCE_N + 1, "a word for each");

const struct sg_section_info sg_sections[SG_SECTION_N] = {
        [SG_SECTION_GATEWAY] = {"gateway", NULL, "The process: its threads, directories, limits and patience."},
        [SG_SECTION_JOURNAL] =
                {"journal", NULL,
                 "The files in which the record of each exchange waits, safe from a crash, for the ledger."},
        [SG_SECTION_LEDGER] = {"ledger", NULL, "The database of keys and usage, and the process that owns it."},
        [SG_SECTION_REDIS] = {"redis", NULL,
                              "Shares the limits of keys, groups, models and providers between several gateways. "
                              "Without it each has "
                              "them for itself. A request waits for Redis only where this one was granted nothing of a "
                              "limit, for three "
                              "seconds at most; while Redis is not there it goes on with its part: see "
                              "docs/limits.md."},
        [SG_SECTION_CONTROL] = {"control", NULL, "Who may change things with scribectl."},
        [SG_SECTION_LOG] = {"log", NULL, "What is told, and where."},
        [SG_SECTION_LISTENER] = {"listener", "http",
                                 "A socket that clients connect to: handed over by systemd under this name "
                                 "(FileDescriptorName), else bound here. Without any such section there is "
                                 "one, \"http\" on 127.0.0.1:8000."},
        [SG_SECTION_PROVIDER] = {"provider", "moonshot",
                                 "Where answers come from: the API of a vendor or of a server of yours."},
        [SG_SECTION_MODEL] =
                {"model", "default",
                 "A name that clients ask for. It may end in `*` and then stands for every name that begins so; "
                 "an exact name goes before a pattern, a longer pattern before a shorter. Requests that name no "
                 "model get \"default\"."},
        [SG_SECTION_SERVICE] =
                {"service", "query",
                 "An HTTP or gRPC service behind the gateway: the requests whose path begins with its prefix go to one "
                 "of its endpoints. The longest prefix counts; the gateway's own paths go before all."},
        [SG_SECTION_DEPENDENCY] =
                {"dependency", "neo4j",
                 "Something that the services behind the gateway need. It is asked again and again whether it serves; "
                 "`GET /api/health/all` and `scribectl status` tell. The gateway itself does not use it."},
};

const struct sg_setting sg_settings[] = {
        {GATEWAY("workers"), .kind = SG_KIND_WORKERS, .min = 1, .max = SG_WORKERS_MAX, .default_text = "auto",
         .needs_restart = true, AT(sg_config, workers),
         .help = "Threads that serve connections; `auto` is one for each processor that the process may run on."},
        {GATEWAY("drain_timeout"), .kind = SG_KIND_DURATION, .max = DAY, .default_text = "90s",
         AT(sg_config, drain_timeout_usec),
         .help = "How long a stop waits for open exchanges before it cuts them off."},
        {GATEWAY("upgrade_drain_timeout"), .kind = SG_KIND_DURATION, .max = DAY, .default_text = "1h",
         AT(sg_config, upgrade_drain_timeout_usec),
         .help = "How long the old process may finish its open exchanges after `scribectl upgrade`, beside the new "
                 "one."},
        {GATEWAY("state_directory"), .kind = SG_KIND_DIRECTORY, .max = 3000, .default_text = SG_STATEDIR,
         .default_note = "`$STATE_DIRECTORY` (set by systemd), else `" SG_STATEDIR "`", .needs_restart = true,
         AT(sg_config, state_directory),
         .help = "Holds the journal, the ledger's database and the last picture of the keys."},
        /* A socket's path has 107 bytes; the longest name in it is "control.socket". */
        {GATEWAY("runtime_directory"), .kind = SG_KIND_DIRECTORY, .max = 107 - sizeof("/control.socket") + 1,
         .default_text = SG_RUNDIR, .default_note = "`$RUNTIME_DIRECTORY` (set by systemd), else `" SG_RUNDIR "`",
         .needs_restart = true, AT(sg_config, runtime_directory),
         .help = "Holds the sockets of scribectl and of the ledger, and in a tmpfs the newest records of the journal."},
        {GATEWAY("group"), .kind = SG_KIND_GROUP, .default_text = "scribe-gateway", .needs_restart = true,
         AT(sg_config, group), .help = "Members of this group may look (scribectl status, usage, key list)."},
        {GATEWAY("max_connections"), .kind = SG_KIND_COUNT, .min = 1, .max = 1000000, .default_text = "10000",
         AT(sg_config, connections_max), .help = "Connections of clients at once, over all workers; more get a 503."},
        {GATEWAY("max_head"), .kind = SG_KIND_SIZE, .min = K, .max = SG_HEAD_BYTES_MAX, .default_text = "64K",
         AT(sg_config, head_bytes_max),
         .help = "Largest request line with all header fields; a larger one gets a 431."},
        {GATEWAY("max_body"), .kind = SG_KIND_SIZE, .min = K, .max = 4 * G, .default_text = "64M",
         AT(sg_config, body_bytes_max), .help = "Largest request body; a larger one gets a 413."},
        {GATEWAY("max_bodies"), .kind = SG_KIND_SIZE, .min = K, .max = 1024 * G, .default_text = "512M",
         AT(sg_config, bodies_bytes_max),
         .help = "Bodies held at once, summed over all exchanges; what comes on top gets a 503. At least max_body."},
        {GATEWAY("head_timeout"), .kind = SG_KIND_DURATION, .min = 10 * MSEC, .max = DAY, .default_text = "15s",
         AT(sg_config, head_timeout_usec), .help = "From the first byte of a request to the end of its head."},
        {GATEWAY("body_timeout"), .kind = SG_KIND_DURATION, .min = 10 * MSEC, .max = DAY, .default_text = "60s",
         AT(sg_config, body_timeout_usec), .help = "Longest pause within a request body."},
        {GATEWAY("idle_timeout"), .kind = SG_KIND_DURATION, .min = 10 * MSEC, .max = DAY, .default_text = "75s",
         AT(sg_config, idle_timeout_usec), .help = "How long a connection may wait for its next request."},
        {GATEWAY("write_timeout"), .kind = SG_KIND_DURATION, .min = 10 * MSEC, .max = DAY, .default_text = "60s",
         AT(sg_config, write_timeout_usec), .help = "How long a client may take none of the bytes that wait for it."},
        {GATEWAY("trusted_proxies"), .kind = SG_KIND_NETWORKS, .example = "10.0.0.0/8", .default_note = "none",
         AT(sg_config, trusted_proxies),
         .help = "Proxies and load balancers before the gateway that are believed about the client's address: "
                 "addresses and "
                 "networks (`192.0.2.1`, `10.0.0.0/8`, `2001:db8::/32`), and `unix` for all that come by a Unix "
                 "socket. Of "
                 "`Forwarded` and `X-Forwarded-For` the last address counts that is none of these; when the two fields "
                 "differ, neither does. Lines add up; an empty one clears what stood before."},
        {GATEWAY("address_limit"), .kind = SG_KIND_LIMITS, .example = "600 requests/minute", .default_note = "none",
         AT(sg_config, address_limits),
         .help = "How many requests each client address may make (of IPv6: each /64 network), before any key is asked "
                 "for: `600 requests/minute`, `10K requests/hour`. More get a 429. Of each gateway by itself. Lines "
                 "add "
                 "up; an empty one clears what stood before."},
        {GATEWAY("limited_addresses"), .kind = SG_KIND_COUNT, .min = 1024, .max = 10000000, .default_text = "65536",
         AT(sg_config, limited_addresses),
         .help = "With address_limit: how many addresses are counted at once; of more, those with most left are "
                 "forgotten."},
        {GATEWAY("server_timing"), .kind = SG_KIND_BOOL, .default_text = "no", AT(sg_config, server_timing),
         .help = "Whether answers tell their client in `Server-Timing` where the time went."},

        {JOURNAL("size"), .kind = SG_KIND_SIZE, .min = 64 * K, .max = 16 * G, .default_text = "64M",
         .needs_restart = true, AT(sg_config, journal_bytes),
         .help = "Of each worker's file; an exchange takes a few hundred bytes. Big enough for the longest "
                 "absence of the ledger."},
        {JOURNAL("sync"), .kind = SG_KIND_WORD, .words = sync_words, .default_text = "interval",
         AT(sg_config, journal_sync),
         .help = "`interval`: records survive a crash of the process at once and a power cut after 50 ms; `always`: "
                 "the end "
                 "of an answer waits until its record is on the disk."},
        {JOURNAL("when_full"), .kind = SG_KIND_WORD, .words = full_words, .default_text = "refuse",
         AT(sg_config, journal_when_full),
         .help = "`refuse`: new requests get a 503; `count`: they are served, and the lost records are counted and "
                 "told."},

        {LEDGER("database"), .kind = SG_KIND_DATABASE, .example = "postgresql://ledger@db.example/scribe",
         .default_note = "`sqlite:` and ledger.db in the state_directory", .needs_restart = true,
         AT(sg_config, ledger_database),
         .help = "`sqlite:/path/of/the/file`; or, for several gateways, `postgresql://user@host:port/database`, behind "
                 "it `?sslmode=` (`disable`, `prefer`, `require`, `verify-full`…) and `&target_session_attrs=`. "
                 "Several hosts with commas between; the directory of a Unix socket as `%2Frun%2Fpostgresql`. Never a "
                 "password. The environment variables `POSTGRES_HOST` and `POSTGRES_DB` together go before the files."},
        {LEDGER("password"), .kind = SG_KIND_SECRET, .example = "credential:ledger", .default_note = "none is sent",
         .needs_restart = true, AT(sg_config, ledger_password),
         .help = "Where the password of the PostgreSQL user is: `credential:NAME`, `file:/path` or `env:NAME`. Only "
                 "scribe-ledger reads it: its unit must have the credential, its user must be able to read the file."},
        {LEDGER("ca_file"), .kind = SG_KIND_FILE, .example = "/etc/ssl/certs/ca-certificates.crt", .max = 3000,
         .default_note = "none: the server is not verified", .needs_restart = true, AT(sg_config, ledger_ca_file),
         .help = "Certificates (PEM) that the PostgreSQL server's own must lead to. Without an sslmode in the URL it "
                 "means `verify-full`: TLS, and the name in the certificate must be the host's."},
        {LEDGER("tls_certificate"), .kind = SG_KIND_PEM_FILE, .example = "file:/etc/scribe-gateway/ledger.crt",
         .default_note = "none is shown", .needs_restart = true, AT(sg_config, ledger_tls_certificate),
         .help = "Where the certificate is that the ledger shows to the PostgreSQL server, in PEM: `file:/path` or "
                 "`credential:NAME`."},
        {LEDGER("tls_key"), .kind = SG_KIND_PEM_FILE, .example = "file:/etc/scribe-gateway/ledger.key",
         .default_note = "none", .needs_restart = true, AT(sg_config, ledger_tls_key),
         .help = "Where the private key of tls_certificate is."},
        {LEDGER("start"), .kind = SG_KIND_WORD, .words = start_words, .default_text = "auto", .needs_restart = true,
         AT(sg_config, ledger_start),
         .help = "Whether the gateway starts scribe-ledger as its child: `auto` does so unless systemd started the "
                 "gateway."},

        {REDIS("url"), .kind = SG_KIND_REDIS, .example = "redis://redis.example:6379/0",
         .default_note = "none: limits are this gateway's own", AT(sg_config, redis.url),
         .help = "`redis://host:port/database`, `rediss://` for TLS, `host:port` or `unix:/path`. A Redis (5 or later) "
                 "that "
                 "stands alone or is the primary of replicas, not a cluster. Never a password. The environment "
                 "variables "
                 "`REDIS_HOST` and `REDIS_PORT` go before the files."},
        {REDIS("user"), .kind = SG_KIND_TEXT, .max = 128, .example = "scribe", .default_note = "Redis' default user",
         AT(sg_config, redis.user), .help = "The user of Redis 6 and later; needs a password."},
        {REDIS("password"), .kind = SG_KIND_SECRET, .example = "credential:redis", .default_note = "none is sent",
         AT(sg_config, redis.password),
         .help = "Where the password is: `credential:NAME`, `file:/path` or `env:NAME`. The environment variable "
                 "`REDIS_PASSWORD` goes before it where there is a url."},
        {REDIS("ca_file"), .kind = SG_KIND_FILE, .example = "/etc/ssl/certs/ca-certificates.crt", .max = 3000,
         .default_note = "the system's trust", AT(sg_config, redis.ca_file),
         .help = "Certificates (PEM) that the server's own must lead to, of `rediss://`."},
        {REDIS("tls_server_name"), .kind = SG_KIND_HOST, .example = "redis.internal.example",
         .default_note = "the host of the url", AT(sg_config, redis.tls_server_name),
         .help = "The name that is asked for and that the server's certificate must have."},
        {REDIS("tls_certificate"), .kind = SG_KIND_PEM_FILE, .example = "file:/etc/scribe-gateway/redis.crt",
         .default_note = "none is shown", AT(sg_config, redis.tls_certificate),
         .help = "Where the certificate is that is shown to the server, in PEM: `file:/path` or `credential:NAME`."},
        {REDIS("tls_key"), .kind = SG_KIND_PEM_FILE, .example = "file:/etc/scribe-gateway/redis.key",
         .default_note = "none", AT(sg_config, redis.tls_key), .help = "Where the private key of tls_certificate is."},
        {REDIS("prefix"), .kind = SG_KIND_TEXT, .max = 64, .default_text = "scribe:", AT(sg_config, redis.prefix),
         .help = "What the names of all keys in Redis begin with: the same for all gateways that share limits, another "
                 "one for others on the same Redis."},

        {CONTROL("admins"), .kind = SG_KIND_USERS, .example = "alice", AT(sg_config, admins),
         .help = "Users, besides root and the service's own, who may change keys and settings. Lines add up; an empty "
                 "one "
                 "clears what stood before."},

        {LOG("level"), .kind = SG_KIND_WORD, .words = level_words, .first = SG_LOG_ERR, .default_text = "info",
         .environment = "LOG_LEVEL", AT(sg_config, log_level), .help = "The least important lines that are written."},
        {LOG("to"), .kind = SG_KIND_SINK, .default_text = "auto", .needs_restart = true, AT(sg_config, log_sink),
         .help = "`journal`, `stderr`, `file:/path` (a JSON object a line), `none`; `auto` is the journal when the "
                 "service manager connected it, else stderr."},
        {LOG("access"), .kind = SG_KIND_BOOL, .default_text = "yes", AT(sg_config, log_access),
         .help = "One line for each exchange."},

        {LISTENER("address"), .kind = SG_KIND_ADDRESS, .example = "127.0.0.1:8000",
         .default_note = "none: the socket must come from systemd", .needs_restart = true,
         .environment = "SCRIBE_LISTEN", .environment_of = "http", AT(sg_config_listener, address),
         .help = "`127.0.0.1:8000`, `[::]:8443`, `8000` (every address of the machine) or `unix:/path`."},
        {LISTENER("tls_certificate"), .kind = SG_KIND_PEM, .example = "file:/etc/scribe-gateway/tls.crt",
         .default_note = "none: without TLS", AT(sg_config_listener, tls_certificates),
         .help = "Where the certificate is, in PEM, with those between it and its authority: `file:/path` (read again "
                 "at "
                 "reload) or `credential:NAME`. Several lines: the name that a client asks for (SNI) chooses; the "
                 "first is "
                 "for all others. ECDSA is some ten times faster than RSA."},
        {LISTENER("tls_key"), .kind = SG_KIND_PEM, .example = "file:/etc/scribe-gateway/tls.key",
         .default_note = "none", AT(sg_config_listener, tls_keys),
         .help = "Where the private key of the certificate is; of several, in the same order."},
        {LISTENER("client_ca"), .kind = SG_KIND_FILE, .max = 3000, .example = "/etc/scribe-gateway/clients.pem",
         .default_note = "none", AT(sg_config_listener, client_ca),
         .help = "Certificates (PEM) of the authorities that clients' certificates must lead to."},
        {LISTENER("client_certificate"), .kind = SG_KIND_WORD, .words = client_words, .default_text = "none",
         .example = "optional", AT(sg_config_listener, client_certificate),
         .help = "Whether clients are asked for a certificate: `none`, `optional` (one that is sent must be valid) or "
                 "`required`."},
        {LISTENER("proxy_protocol"), .kind = SG_KIND_BOOL, .default_text = "no", AT(sg_config_listener, proxy_protocol),
         .help = "Whether every connection begins with a header of the PROXY protocol, version 1 or 2, before TLS. "
                 "Only "
                 "trusted_proxies are let in then, and the header must come within head_timeout."},

        {PROVIDER("dialect"), .kind = SG_KIND_WORD, .example = "openai", .words = dialect_words,
         .default_note = "none: must be given", AT(sg_config_provider, dialect),
         .help = "What the provider speaks; clients may speak another. `openai`: any server with OpenAI's API. "
                 "`anthropic`: Anthropic's Messages API, or a server that has it. `azure`: OpenAI's API as Azure has "
                 "it, where a model's name is that of its deployment. `echo`: built in, for practice: it answers with "
                 "the words it was asked."},
        {PROVIDER("base_url"), .kind = SG_KIND_URL, .example = "https://api.moonshot.cn/v1", .dialects = REMOTE,
         .default_note = "none: must be given", .environment = "LLM_BASE_URL", .environment_of = "llm",
         AT(sg_config_provider, base_url),
         .help = "What stands before `/chat/completions`: `https://api.openai.com/v1`, `http://127.0.0.1:11434/v1`; of "
                 "dialect `anthropic` before `/messages`: `https://api.anthropic.com/v1`; of `azure` before `/openai`: "
                 "`https://NAME.openai.azure.com`; of a server on a Unix socket `http://unix:/run/model.sock:/v1` (the "
                 "Host field is `localhost` then)."},
        {PROVIDER("api_key"), .kind = SG_KIND_SECRET, .example = "credential:moonshot", .dialects = REMOTE,
         .default_note = "none is sent", .environment = "LLM_API_KEY", .environment_of = "llm",
         AT(sg_config_provider, api_key),
         .help = "Where the secret is: `credential:NAME` (systemd's LoadCredential=; a changed one needs a restart), "
                 "`file:/path` (read again at reload) or `env:NAME`. Never the secret itself."},
        {PROVIDER("credential"), .kind = SG_KIND_CREDENTIALS, .example = "backup credential:moonshot-2 priority=2",
         .dialects = REMOTE, .default_note = "none but api_key", AT(sg_config_provider, credentials),
         .help = "Further keys of the provider: a name for it, which views and records tell, then where the secret is, "
                 "as for api_key; then `priority=N` (1 to 100, 1 if not said, as api_key has it): the lower is asked "
                 "first, of the same each as often as the other, or with affinity by its hash; and `daily_tokens=N`: "
                 "after so many tokens of input "
                 "and output it rests until quota_reset. One a line, at most 16 with api_key; lines add up, an empty "
                 "one clears what stood before."},
        {PROVIDER("quota_reset"), .kind = SG_KIND_DURATION, .max = 23 * HOUR, .default_text = "0s", .dialects = REMOTE,
         AT(sg_config_provider, quota_reset_usec), .help = "When the day of daily_tokens begins, after midnight UTC."},
        {PROVIDER("api_version"), .kind = SG_KIND_API_VERSION, .max = 64, .example = "2024-10-21",
         .dialects = ANTHROPIC | AZURE, .default_note = "`" SG_ANTHROPIC_VERSION "`; `azure`: none, must be given",
         AT(sg_config_provider, api_version),
         .help = "Of `azure` what the query says as `api-version`; of `anthropic` what `anthropic-version` says where "
                 "the client sends none."},
        {PROVIDER("max_tokens"), .kind = SG_KIND_COUNT, .min = 1, .max = 1000000, .default_text = "4096",
         .dialects = ANTHROPIC, AT(sg_config_provider, max_tokens),
         .help = "The longest answer that is asked for where the client names no limit: this API demands one."},
        {PROVIDER("responses"), .kind = SG_KIND_WORD, .words = responses_words, .default_text = "no",
         .dialects = OPENAI | AZURE, AT(sg_config_provider, responses),
         .help = "Whether the provider has `/v1/responses`, as api.openai.com does. `yes`: such requests are passed on "
                 "to it; `no`: they are served by `/chat/completions`, as far as no state is kept between requests."},
        {PROVIDER("ca_file"), .kind = SG_KIND_FILE, .example = "/etc/ssl/certs/ca-certificates.crt", .max = 3000,
         .dialects = REMOTE, .default_note = "what the system trusts", AT(sg_config_provider, ca_file),
         .help = "Certificates (PEM) that the provider's own must lead to."},
        {PROVIDER("tls_certificate"), .kind = SG_KIND_PEM_FILE, .example = "file:/etc/scribe-gateway/client.crt",
         .dialects = REMOTE, .default_note = "none is shown", AT(sg_config_provider, tls_certificate),
         .help = "Where the certificate is that the gateway shows to a provider that asks for one, in PEM, with those "
                 "between it and its authority: `file:/path` (read again at reload) or `credential:NAME`."},
        {PROVIDER("tls_key"), .kind = SG_KIND_PEM_FILE, .example = "file:/etc/scribe-gateway/client.key",
         .dialects = REMOTE, .default_note = "none", AT(sg_config_provider, tls_key),
         .help = "Where the private key of tls_certificate is."},
        {PROVIDER("tls_server_name"), .kind = SG_KIND_HOST, .example = "api.internal.example", .dialects = REMOTE,
         .default_note = "the host of base_url", AT(sg_config_provider, tls_server_name),
         .help = "The name that the provider's certificate must have, also sent as SNI."},
        {PROVIDER("proxy"), .kind = SG_KIND_PROXY, .example = "http://127.0.0.1:3128", .dialects = REMOTE,
         .default_text = "environment", AT(sg_config_provider, proxy),
         .help = "An HTTP proxy that the provider is reached through, by CONNECT also where base_url is http: "
                 "`http://host:port`, `none`, or `environment`: what `https_proxy`, `HTTPS_PROXY` (for https), "
                 "`http_proxy` (for http), else `all_proxy`, `ALL_PROXY` say, but for hosts in `no_proxy`, `NO_PROXY` "
                 "and this machine's own. Unix sockets have none."},
        {PROVIDER("proxy_authorization"), .kind = SG_KIND_SECRET, .example = "credential:proxy", .dialects = REMOTE,
         .default_note = "none is sent", AT(sg_config_provider, proxy_authorization),
         .help = "Where `user:password` for the proxy is (Basic): `credential:NAME`, `file:/path` or `env:NAME`. Never "
                 "in the proxy's URL."},
        {PROVIDER("connect_timeout"), .kind = SG_KIND_DURATION, .min = 10 * MSEC, .max = HOUR, .default_text = "10s",
         .dialects = REMOTE, AT(sg_config_provider, connect_timeout_usec),
         .help = "For the name, the connection, the proxy and TLS together."},
        {PROVIDER("first_byte_timeout"), .kind = SG_KIND_DURATION, .min = 10 * MSEC, .max = DAY, .default_text = "600s",
         .dialects = REMOTE, AT(sg_config_provider, first_byte_timeout_usec),
         .help = "From the request to the first byte of its answer; long prompts take long."},
        {PROVIDER("between_bytes_timeout"), .kind = SG_KIND_DURATION, .min = 10 * MSEC, .max = DAY,
         .default_text = "120s", .dialects = REMOTE, AT(sg_config_provider, between_bytes_timeout_usec),
         .help = "Longest pause within an answer."},
        {PROVIDER("idle_timeout"), .kind = SG_KIND_DURATION, .min = 10 * MSEC, .max = DAY, .default_text = "60s",
         .dialects = REMOTE, AT(sg_config_provider, idle_timeout_usec),
         .help = "How long a connection is kept for the next request."},
        {PROVIDER("pool_max"), .kind = SG_KIND_COUNT, .min = 1, .max = 65536, .default_text = "64", .dialects = REMOTE,
         AT(sg_config_provider, pool_max), .help = "Idle connections that each worker keeps."},
        {PROVIDER("warm_connections"), .kind = SG_KIND_COUNT, .max = 1024, .default_text = "0", .dialects = REMOTE,
         AT(sg_config_provider, warm_connections),
         .help = "Idle connections that each worker opens ahead of need. At most pool_max."},
        {PROVIDER("protocol"), .kind = SG_KIND_WORD, .words = protocol_words, .default_text = "http1",
         .dialects = REMOTE, AT(sg_config_provider, protocol),
         .help = "What is spoken with the provider: `http1`; `http2`, in the clear without asking before; `auto`: over "
                 "TLS what the provider chooses (ALPN), in the clear `http1`."},
        {PROVIDER("breaker_failures"), .kind = SG_KIND_COUNT, .max = 1000, .default_text = "5",
         AT(sg_config_provider, breaker_failures),
         .help = "After how many failures in a row (no connection, no answer in time, broken off, 5xx) one of its "
                 "models "
                 "is asked no more; 0: never."},
        {PROVIDER("breaker_time"), .kind = SG_KIND_DURATION, .min = 100 * MSEC, .max = HOUR, .default_text = "10s",
         AT(sg_config_provider, breaker_usec), .help = "How long; then one request tries."},
        {PROVIDER("limit"), .kind = SG_KIND_LIMITS, .example = "100 concurrent", .default_note = "none",
         AT(sg_config_provider, limits),
         .help = "What may be asked of the provider, by all callers together: `600 requests/minute`, `2M tokens/hour`, "
                 "`100 concurrent`, `500 usd/month warn=80%`. Requests that do not fit go to another target, if the "
                 "model has one, else they get a 429, and a 402 of a budget. One a line, at most 8; lines add up, an "
                 "empty one clears what stood before."},
        {PROVIDER("pace"), .kind = SG_KIND_DURATION, .max = 60 * SEC, .default_text = "40ms", .dialects = ECHO,
         AT(sg_config_provider, echo_pace_usec), .help = "Pause before each word of a streamed answer."},

        {MODEL("alias"), .kind = SG_KIND_NAMES, .example = "fast", .default_note = "none", AT(sg_config_model, aliases),
         .help = "Other names of the model, without `*`. Targets without a name of their own get the section's; in one "
                 "that ends in `*`, the alias. Several in a line or in lines; an empty one clears what stood before."},
        {MODEL("target"), .kind = SG_KIND_TARGETS, .example = "moonshot/moonshot-v1-8k",
         .default_note = "none: at least one must be given",
         .help = "`PROVIDER`, or `PROVIDER/UPSTREAM_MODEL` where the provider knows it by another name; then "
                 "`weight=N` (1 to 1000, 1 if not said), the share among the targets; and `context=N`, how many tokens "
                 "its prompt may have: it is not asked what is known to be too long while a larger one is left. One a "
                 "line, at most 64 with fallback and larger; lines add up, an empty one clears what stood before."},
        {MODEL("fallback"), .kind = SG_KIND_TARGETS, .example = "moonshot/moonshot-v1-32k context=32768",
         .default_note = "none",
         .help = "Where requests go when no target serves, in this order: written as target, without weight. One a "
                 "line; lines add up, an empty one clears what stood before."},
        {MODEL("larger"), .kind = SG_KIND_TARGETS, .example = "moonshot/moonshot-v1-128k context=131072",
         .default_note = "none",
         .help = "Where requests go whose prompt is too long for what was asked, in this order: written as target, "
                 "without weight. One a line; lines add up, an empty one clears what stood before."},
        {MODEL("strategy"), .kind = SG_KIND_WORD, .words = strategy_words, .default_text = "weighted",
         AT(sg_config_model, strategy),
         .help = "Which target is asked first: `weighted`: by chance, each its share; `ordered`: as they stand; "
                 "`least_latency`: the one whose first bytes came soonest of late; `cheapest`: by the prices in "
                 "prices.d, those without a price last. When it fails, the next."},
        {MODEL("affinity"), .kind = SG_KIND_WORD, .words = affinity_words, .default_text = "none",
         .example = "conversation", AT(sg_config_model, affinity),
         .help = "With `strategy = weighted`, so that the provider's prompt cache is of use: `conversation`: requests "
                 "that begin alike go to the same target; `key`: those of the same caller; `none`: wherever."},
        {MODEL("retries"), .kind = SG_KIND_COUNT, .max = 8, .default_text = "2", AT(sg_config_model, retries),
         .help = "Further attempts with other targets and credentials, at most, while nothing of an answer has gone to "
                 "the client."},
        {MODEL("on_disconnect"), .kind = SG_KIND_WORD, .words = disconnect_words, .default_text = "cancel",
         .example = "drain", AT(sg_config_model, on_disconnect),
         .help = "What becomes of an answer whose client has gone: `cancel`: the provider's request ends at once; "
                 "`drain`: it is read to its end, so that its usage is known, within drain_time and drain_tokens."},
        {MODEL("drain_time"), .kind = SG_KIND_DURATION, .min = 10 * MSEC, .max = HOUR, .default_text = "60s",
         AT(sg_config_model, drain_usec), .help = "With `on_disconnect = drain`: how long it is read on, at most."},
        {MODEL("drain_tokens"), .kind = SG_KIND_COUNT, .min = 1, .max = 10000000, .default_text = "8192",
         AT(sg_config_model, drain_tokens),
         .help = "With `on_disconnect = drain`: how many tokens are read on, at most."},
        {MODEL("limit"), .kind = SG_KIND_LIMITS, .example = "1M tokens/day warn=80%", .default_note = "none",
         AT(sg_config_model, limits),
         .help = "What all callers together may use of the model, written as the provider's. One a line, at most 8; "
                 "lines add up, an empty one clears what stood before."},
        {MODEL("downgrade"), .kind = SG_KIND_MODEL, .example = "small", .default_note = "none",
         AT(sg_config_model, downgrade_name),
         .help = "Another model that serves in its place once a budget (of a key, a group, this model) has passed its "
                 "`downgrade=` mark: its name or an alias, no pattern. It may have one itself."},

        {SERVICE("prefix"), .kind = SG_KIND_PREFIX, .max = 1000, .example = "/api/query/",
         .default_note = "none: must be given", AT(sg_config_service, prefix),
         .help = "What the path begins with, whole segments: `/api/query/` is also for `/api/query`, not for "
                 "`/api/query2`. `/` is for all that nobody else takes."},
        {SERVICE("host"), .kind = SG_KIND_HOSTS, .example = "api.example.com", .default_note = "any",
         AT(sg_config_service, hosts),
         .help = "The hosts it answers for, without ports: `api.example.com`, `[::1]`; `*.example.com` stands for one "
                 "more label. Several in a line or in lines; an empty one clears what stood before."},
        {SERVICE("method"), .kind = SG_KIND_METHODS, .example = "GET POST OPTIONS", .default_note = "any",
         AT(sg_config_service, methods),
         .help = "The methods it takes, in capitals. Several in a line or in lines; an empty one clears what stood "
                 "before."},
        {SERVICE("endpoint"), .kind = SG_KIND_ENDPOINTS, .example = "https://127.0.0.1:8082",
         .default_note = "none: at least one must be given", AT(sg_config_service, endpoints),
         .help = "Where it is: `http://host:port` or `https://host:port`, with a path that is put before the request's "
                 "if need be, or `http://unix:/run/query.sock:/`; then `weight=N` (1 to 1000, 1 if not said), its "
                 "share. One a line, at most 64; lines add up, an empty one clears what stood before."},
        {SERVICE("strip_prefix"), .kind = SG_KIND_BOOL, .default_text = "no", AT(sg_config_service, strip_prefix),
         .help = "Whether the endpoint sees the path without the prefix."},
        {SERVICE("protocol"), .kind = SG_KIND_WORD, .words = protocol_words, .default_text = "http1",
         AT(sg_config_service, protocol),
         .help = "What is spoken with the endpoints: `http1`; `http2`, in the clear without asking before; `auto`: "
                 "over "
                 "TLS what the endpoint chooses (ALPN), in the clear `http1`. gRPC needs HTTP/2."},
        {SERVICE("auth"), .kind = SG_KIND_WORD, .words = auth_words, .default_text = "key", .example = "certificate",
         AT(sg_config_service, auth),
         .help = "Who is let in: `key`: callers with an API key, as for models; `certificate`: clients with a "
                 "certificate that the listener has verified; `none`: everybody."},
        {SERVICE("client_subject"), .kind = SG_KIND_SUBJECTS, .example = "CN=alice,O=Example", .default_note = "any",
         AT(sg_config_service, client_subjects),
         .help = "With `auth = certificate` the subjects that are let in. One a line; lines add up, an empty one "
                 "clears "
                 "what stood before."},
        {SERVICE("request_header"), .kind = SG_KIND_FIELDS, .example = "X-Forwarded-Prefix: /api/query",
         .default_note = "none", AT(sg_config_service, request_fields),
         .help = "A field that the endpoint gets, in place of what the client sent under that name: `Name: value`. "
                 "`Host` too; not those of the connection and the length, and none that hold secrets. One a line; "
                 "lines add up, an empty one clears what stood before."},
        {SERVICE("response_header"), .kind = SG_KIND_FIELDS, .example = "X-Frame-Options: DENY", .default_note = "none",
         AT(sg_config_service, response_fields), .help = "The same for what the client gets."},
        {SERVICE("remove_request_header"), .kind = SG_KIND_FIELD_NAMES, .example = "Cookie", .default_note = "none",
         AT(sg_config_service, request_removed),
         .help = "Names of fields that are not passed to the endpoint. Several in a line or in lines; an empty one "
                 "clears what stood before."},
        {SERVICE("remove_response_header"), .kind = SG_KIND_FIELD_NAMES, .example = "Server X-Powered-By",
         .default_note = "none", AT(sg_config_service, response_removed),
         .help = "Names of fields that are not passed to the client. Several in a line or in lines; an empty one "
                 "clears what stood before."},
        {SERVICE("max_body"), .kind = SG_KIND_SIZE, .min = K, .max = 1024 * G, .default_text = "64M",
         AT(sg_config_service, body_bytes_max),
         .help = "Largest request body; a larger one gets a 413. Bodies of services are passed on as they come and not "
                 "held, so this may be more than [gateway] max_body."},
        {SERVICE("connect_timeout"), .kind = SG_KIND_DURATION, .min = 10 * MSEC, .max = HOUR, .default_text = "5s",
         AT(sg_config_service, connect_timeout_usec), .help = "For the name, the connection and TLS together."},
        {SERVICE("first_byte_timeout"), .kind = SG_KIND_DURATION, .min = 10 * MSEC, .max = DAY, .default_text = "60s",
         AT(sg_config_service, first_byte_timeout_usec),
         .help = "From the end of the request to the first byte of its answer."},
        {SERVICE("between_bytes_timeout"), .kind = SG_KIND_DURATION, .min = 10 * MSEC, .max = DAY,
         .default_text = "60s", AT(sg_config_service, between_bytes_timeout_usec),
         .help = "Longest pause within an answer."},
        {SERVICE("total_timeout"), .kind = SG_KIND_DURATION_OR_NONE, .min = 10 * MSEC, .max = DAY,
         .default_text = "none", AT(sg_config_service, total_timeout_usec),
         .help = "For the whole exchange, with all attempts."},
        {SERVICE("idle_timeout"), .kind = SG_KIND_DURATION, .min = 10 * MSEC, .max = DAY, .default_text = "60s",
         AT(sg_config_service, idle_timeout_usec), .help = "How long a connection is kept for the next request."},
        {SERVICE("pool_max"), .kind = SG_KIND_COUNT, .min = 1, .max = 65536, .default_text = "64",
         AT(sg_config_service, pool_max), .help = "Idle connections that each worker keeps to each endpoint."},
        {SERVICE("warm_connections"), .kind = SG_KIND_COUNT, .max = 1024, .default_text = "0",
         AT(sg_config_service, warm_connections),
         .help = "Idle connections that each worker opens to each endpoint ahead of need. At most pool_max."},
        {SERVICE("upgrade"), .kind = SG_KIND_BOOL, .default_text = "yes", AT(sg_config_service, may_upgrade),
         .help = "Whether requests may ask for another protocol, as WebSocket does."},
        {SERVICE("ca_file"), .kind = SG_KIND_FILE, .example = "/etc/ssl/certs/ca-certificates.crt", .max = 3000,
         .default_note = "what the system trusts", AT(sg_config_service, ca_file),
         .help = "Certificates (PEM) that those of the endpoints must lead to."},
        {SERVICE("tls_server_name"), .kind = SG_KIND_HOST, .example = "api.internal.example",
         .default_note = "the host of the endpoint", AT(sg_config_service, tls_server_name),
         .help = "The name that the endpoints' certificates must have, also sent as SNI."},
        {SERVICE("tls_certificate"), .kind = SG_KIND_PEM_FILE, .example = "file:/etc/scribe-gateway/client.crt",
         .default_note = "none is shown", AT(sg_config_service, tls_certificate),
         .help = "Where the certificate is that the gateway shows to endpoints that ask for one, in PEM, with those "
                 "between it and its authority: `file:/path` (read again at reload) or `credential:NAME`."},
        {SERVICE("tls_key"), .kind = SG_KIND_PEM_FILE, .example = "file:/etc/scribe-gateway/client.key",
         .default_note = "none", AT(sg_config_service, tls_key),
         .help = "Where the private key of tls_certificate is."},
        {SERVICE("cors_origin"), .kind = SG_KIND_ORIGINS, .example = "https://app.example",
         .default_note = "none: CORS is the service's own matter", AT(sg_config_service, cors_origins),
         .help = "Origins whose pages may call the service from a browser: scheme and host, and the port unless it is "
                 "the usual one; never `*`. Several in a line or in lines; an empty one clears what stood before."},
        {SERVICE("cors_methods"), .kind = SG_KIND_TOKENS, .example = "GET, POST", .default_note = "none",
         AT(sg_config_service, cors_methods), .help = "What `Access-Control-Allow-Methods` says."},
        {SERVICE("cors_headers"), .kind = SG_KIND_TOKENS, .example = "Authorization, Content-Type",
         .default_note = "none", AT(sg_config_service, cors_headers),
         .help = "What `Access-Control-Allow-Headers` says."},
        {SERVICE("cors_expose"), .kind = SG_KIND_TOKENS, .example = "X-Request-Id", .default_note = "none",
         AT(sg_config_service, cors_expose), .help = "What `Access-Control-Expose-Headers` says."},
        {SERVICE("cors_credentials"), .kind = SG_KIND_BOOL, .default_text = "no",
         AT(sg_config_service, cors_credentials), .help = "Whether browsers may send cookies and the like."},
        {SERVICE("cors_max_age"), .kind = SG_KIND_DURATION, .max = DAY, .default_text = "10m",
         AT(sg_config_service, cors_max_age_usec),
         .help = "How long a browser may remember what it was allowed; in whole seconds."},
        {SERVICE("balance"), .kind = SG_KIND_WORD, .words = balance_words, .default_text = "round_robin",
         .example = "hash", AT(sg_config_service, balance),
         .help = "Which endpoint is next, by weight: `round_robin`: in turn; `least_outstanding`: the one with the "
                 "fewest open exchanges; `hash`: the same one for the same hash_by."},
        {SERVICE("hash_by"), .kind = SG_KIND_HASH_BY, .default_text = "key", AT(sg_config_service, hash_by),
         .help = "With `balance = hash`: `key` (the caller's; without one the address), `address` (the client's) or "
                 "`header:NAME` (its value; without one the address)."},
        {SERVICE("health"), .kind = SG_KIND_HEALTH, .example = "/api/health", .default_text = "none",
         AT(sg_config_service, check),
         .help = "How endpoints are asked whether they serve: `none`: not; a path: GET, any answer from 200 to 399; "
                 "`tcp`: a connection is enough; `grpc`, `grpc:SERVICE.NAME`: grpc.health.v1.Health/Check."},
        {SERVICE("health_interval"), .kind = SG_KIND_DURATION, .min = 100 * MSEC, .max = HOUR, .default_text = "5s",
         AT(sg_config_service, health_interval_usec), .help = "From one check to the next."},
        {SERVICE("health_timeout"), .kind = SG_KIND_DURATION, .min = 10 * MSEC, .max = 60 * SEC, .default_text = "2s",
         AT(sg_config_service, health_timeout_usec),
         .help = "For the name, the connection, TLS and the answer together."},
        {SERVICE("breaker_failures"), .kind = SG_KIND_COUNT, .max = 1000, .default_text = "5",
         AT(sg_config_service, breaker_failures),
         .help = "After so many failures in a row an endpoint gets no requests for a while; 0: never."},
        {SERVICE("breaker_time"), .kind = SG_KIND_DURATION, .min = 100 * MSEC, .max = HOUR, .default_text = "10s",
         AT(sg_config_service, breaker_usec), .help = "How long; then one request tries."},
        {SERVICE("retries"), .kind = SG_KIND_COUNT, .max = 5, .default_text = "1", AT(sg_config_service, retries),
         .help = "Further attempts on other endpoints, at most, of a request that may be sent twice."},
        {SERVICE("retry_budget"), .kind = SG_KIND_COUNT, .max = 100, .default_text = "20",
         AT(sg_config_service, retry_percent), .help = "Percent of the requests of late that may be retries."},

        {DEPENDENCY("probe"), .kind = SG_KIND_PROBE, .example = "bolt+s://graph.example:7687",
         .default_note = "none: must be given", AT(sg_config_dependency, probe),
         .help = "What is asked, and where: `tcp://host:port` (a connection is enough), `http://` or `https://` with a "
                 "path (any answer below 500), `redis://` or `rediss://` (PING), `postgres://` (the beginning of a "
                 "session), `bolt://` or `bolt+s://` (the handshake). No user and no password: none is needed."},
        {DEPENDENCY("interval"), .kind = SG_KIND_DURATION, .min = 100 * MSEC, .max = HOUR, .default_text = "10s",
         AT(sg_config_dependency, interval_usec),
         .help = "From one probe to the next. After a first failure the next comes within a second."},
        {DEPENDENCY("timeout"), .kind = SG_KIND_DURATION, .min = 10 * MSEC, .max = 60 * SEC, .default_text = "2s",
         AT(sg_config_dependency, timeout_usec), .help = "For the name, the connection, TLS and the answer together."},
        {DEPENDENCY("required"), .kind = SG_KIND_BOOL, .default_text = "no", AT(sg_config_dependency, is_required),
         .help = "What the whole is when this one is down: `yes`: `down`; `no`: `degraded`."},
        {DEPENDENCY("ca_file"), .kind = SG_KIND_FILE, .example = "/etc/ssl/certs/ca-certificates.crt", .max = 3000,
         .default_note = "what the system trusts", AT(sg_config_dependency, ca_file),
         .help = "Certificates (PEM) that its own must lead to, where the probe speaks TLS."},
};

const struct sg_setting *const sg_settings_end = sg_settings + SG_N_ELEMENTS(sg_settings);

const char *sg_kind_name(enum sg_kind kind)
{
        static const char *const names[SG_KIND_N] = {
                [SG_KIND_BOOL] = "yes or no",
                [SG_KIND_WORD] = "word",
                [SG_KIND_DURATION] = "duration",
                [SG_KIND_DURATION_OR_NONE] = "duration or none",
                [SG_KIND_SIZE] = "size",
                [SG_KIND_COUNT] = "number",
                [SG_KIND_WORKERS] = "number or auto",
                [SG_KIND_DIRECTORY] = "path",
                [SG_KIND_FILE] = "path",
                [SG_KIND_GROUP] = "group",
                [SG_KIND_USERS] = "users",
                [SG_KIND_SINK] = "place",
                [SG_KIND_DATABASE] = "database",
                [SG_KIND_REDIS] = "URL",
                [SG_KIND_TEXT] = "word",
                [SG_KIND_ADDRESS] = "address",
                [SG_KIND_URL] = "URL",
                [SG_KIND_SECRET] = "place of a secret",
                [SG_KIND_TARGETS] = "target",
                [SG_KIND_NAMES] = "names",
                [SG_KIND_MODEL] = "name of a model",
                [SG_KIND_LIMITS] = "limit",
                [SG_KIND_CREDENTIALS] = "name, place of a secret",
                [SG_KIND_API_VERSION] = "version",
                [SG_KIND_PEM] = "place of a file",
                [SG_KIND_PEM_FILE] = "place of a file",
                [SG_KIND_NETWORKS] = "addresses and networks",
                [SG_KIND_PROXY] = "URL, `environment`, `none`",
                [SG_KIND_HOST] = "name",
                [SG_KIND_PROBE] = "URL",
                [SG_KIND_PREFIX] = "path",
                [SG_KIND_HOSTS] = "names",
                [SG_KIND_METHODS] = "methods",
                [SG_KIND_ENDPOINTS] = "URL, weight",
                [SG_KIND_SUBJECTS] = "subject",
                [SG_KIND_FIELDS] = "`Name: value`",
                [SG_KIND_FIELD_NAMES] = "names",
                [SG_KIND_ORIGINS] = "origins",
                [SG_KIND_TOKENS] = "words, commas between",
                [SG_KIND_HASH_BY] = "`key`, `address`, `header:NAME`",
                [SG_KIND_HEALTH] = "`none`, path, `tcp`, `grpc`",
        };

        SG_ASSERT(kind < SG_KIND_N);
        return names[kind];
}

const struct sg_setting *sg_setting_find(enum sg_section section, struct sg_str name)
{
        for (const struct sg_setting *s = sg_settings; s < sg_settings_end; s++)
                if (s->section == section && sg_str_eq(sg_str_from(s->name), name))
                        return s;
        return NULL;
}

const struct sg_setting *sg_setting_get(const char *key)
{
        for (const struct sg_setting *s = sg_settings; s < sg_settings_end; s++)
                if (strcmp(s->key, key) == 0)
                        return s;
        SG_UNREACHABLE();
}

enum sg_section sg_section_find(struct sg_str name)
{
        for (unsigned i = 0; i < SG_SECTION_N; i++)
                if (sg_str_eq(sg_str_from(sg_sections[i].name), name))
                        return (enum sg_section)i;
        return SG_SECTION_N;
}

const char *sg_dialect_url_example(unsigned dialect)
{
        static const char *const urls[SG_DIALECT_N] = {[SG_DIALECT_OPENAI] = "https://api.openai.com/v1",
                                                       [SG_DIALECT_ANTHROPIC] = "https://api.anthropic.com/v1",
                                                       [SG_DIALECT_AZURE] = "https://NAME.openai.azure.com"};

        SG_ASSERT(dialect < SG_DIALECT_N);
        return urls[dialect];
}
