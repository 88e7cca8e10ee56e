/*
 * gateway/exchange.h - one request from its first byte to its last, and everything decided about it
 *
 * Shape    a table of stages with one signature, run in order by a driver; any stage may finish the exchange early and
 *          every path ends in `account`:  receive, route, authenticate, admit, prepare, connect, send, relay, account
 * Units    _usec, bytes, tokens
 * Owner    made by the client's connection, freed by itself when client, upstream and record are done with
 * Thread   its worker
 * Errors   an enum sg_failure for the client; never an errno
 * Limits   of the snapshot it began with
 */
#pragma once

#include "gateway/client.h"
#include "gateway/worker.h"
#include "llm/llm.h"

enum sg_stage_id {
        SG_STAGE_RECEIVE,
        SG_STAGE_ROUTE,
        SG_STAGE_AUTHENTICATE,
        SG_STAGE_ADMIT,
        SG_STAGE_PREPARE,
        SG_STAGE_CONNECT,
        SG_STAGE_SEND,
        SG_STAGE_RELAY,
        SG_STAGE_ACCOUNT,
        SG_STAGE_OVER, /* accounted for; what is left is to let go */
        SG_STAGE_N,
};

enum sg_step {
        SG_STEP_NEXT,   /* go on with the next stage */
        SG_STEP_WAIT,   /* something will call sg_exchange_run() */
        SG_STEP_FINISH, /* go to account */
};

/* How the provider's answer is handled: known at its head. */
enum sg_relay_mode {
        SG_RELAY_NONE,
        SG_RELAY_STREAM, /* server-sent events, event by event */
        SG_RELAY_HOLD,   /* a JSON answer, whole before the first byte goes out */
        SG_RELAY_RAW,    /* bytes as they come */
        SG_RELAY_ERROR,  /* status of 400 and more: collected and mapped */
};

/* The body as a request to a model. */
struct sg_asked_llm {
        struct sg_llm_request request;
        struct sg_llm_body upstream_body;
};

/* What was asked, and what it became on the way to the provider: until that begins to answer. */
struct sg_asked {
        char credential[96]; /* the caller's key, wiped after authenticate */
        size_t credential_n;
        struct sg_buf forward;   /* header lines to pass on */
        struct sg_buf anthropic; /* the same, for those that know Anthropic's API */
        struct sg_buf version;   /* what this attempt adds to them */
        bool has_anthropic_version;
        struct sg_buf body;
        struct sg_buf scratch;    /* edits of the body */
        struct sg_buf translated; /* the body in another dialect */
        size_t translated_bytes;  /* of it, charged */
        struct sg_str boundary;   /* of a form: a view of content_type */
        char content_type[160];   /* of a form; else empty */
        struct sg_asked_llm *llm; /* of exchanges with providers */
        struct sg_buf upstream_target;
        struct sg_str upstream_fields[5]; /* the provider's secret, ours, `forward`, `anthropic`, its version */
        size_t n_upstream_fields;
};

struct sg_streaming {
        struct sg_sse sse;
        struct sg_llm_stream stream;
        struct sg_translator *translator; /* NULL: the client speaks the provider's dialect */
        uint64_t n_given; /* events with data for a client of SG_SURFACE_RESPONSES, which numbers them */
};

struct sg_serving;
struct sg_attempts;
struct sg_limiting;

/* It and what hangs on it are each below a kilobyte: what is larger costs malloc() its slow way. */
struct sg_exchange {
        uint32_t magic;
        struct sg_link link; /* of the worker */
        struct sg_worker *worker;
        struct sg_client *client;     /* NULL once it is gone or over */
        struct sg_snapshot *snapshot; /* counted */
        enum sg_stage_id stage;
        bool is_running;             /* inside the driver */
        struct sg_deferred deferred; /* frees it; before that, sends an answer's head that came without a body */
        struct sg_asked *asked;      /* NULL once the provider answers: many streams live long, and need none of it */

        /* receive: facts of the head, copied */
        enum sg_method method;
        char request_id[SG_REQUEST_ID_BYTES_MAX + 1];
        char peer[64];      /* the client's address, which outlives the client here */
        struct sg_buf path; /* target as received */
        bool has_credential, is_json;
        bool is_body_whole, expects_continue, body_is_charged;
        uint64_t start_usec, start_wall_usec;

        /* route */
        enum sg_surface surface;
        enum sg_operation op;
        enum sg_operation upstream_op; /* what the provider is asked for: the same in its dialect */
        bool is_local;                 /* answered here, without a key: health */
        bool has_other_method;         /* a service takes the path, but not the method */
        struct sg_serving *serving;    /* what belongs to a [service], or NULL: service.h */
        struct sg_attempts *attempts;  /* and to a provider, since prepare: attempts.h */
        struct sg_limiting *limiting;  /* and to limits, or NULL: limiting.h */
        struct sg_str model_id;        /* of GET /v1/models/{id}; view of path */

        /* authenticate */
        const struct sg_key *key; /* counted */

        /* prepare */
        uint64_t announced_bytes; /* of the body, by its head; 0: not told */
        uint64_t charged_bytes;   /* of shared->bodies_bytes */
        const struct sg_config_model *model;
        const struct sg_snapshot_provider *provider;
        char *model_asked;          /* NULL: none */
        const char *model_upstream; /* the snapshot's, or model_asked */
        bool is_stream;             /* asked for as one */
        uint64_t prompt_bytes;      /* of the body as it goes to the provider */

        /* connect, send, relay */
        struct sg_upcall *upcall;
        bool upcall_is_over, is_sent;
        bool is_paused;        /* the client has no room: the provider waits, and no timer runs against it */
        struct sg_timer timer; /* first byte, between bytes, lingering: one phase at a time */
        enum sg_relay_mode mode;
        unsigned upstream_status;
        struct sg_buf fields;           /* header lines of the answer to the client */
        struct sg_buf answer;           /* SG_RELAY_HOLD, SG_RELAY_ERROR; what comes before the first event of
                                         * SG_RELAY_STREAM; or an answer made here */
        struct sg_streaming *streaming; /* of SG_RELAY_STREAM */
        bool has_progress;              /* a first meaningful byte of the answer came */
        bool has_begun;                 /* the answer's head went to the client */
        bool has_length;                /* SG_RELAY_RAW */
        bool has_head; /* SG_RELAY_RAW: status and fields are the answer's, and wait for its first bytes */
        uint64_t length, relayed_bytes;
        struct sg_buf tail;       /* the last bytes, kept until the close record is written */
        uint64_t first_byte_usec; /* from the start; 0: none */

        /* account */
        bool is_answer_ready; /* status, fields and answer are what the client gets, whole */
        unsigned status;      /* told to the client */
        enum sg_failure failure;
        unsigned retry_after_sec; /* in place of the failure's own; 0: none */
        char *detail;             /* for the client, after the failure's sentence; NULL: none */
        char *note;               /* for the log only; NULL: none */
        enum sg_outcome outcome;
        struct sg_usage usage;
        bool has_record;
        uint64_t record_number; /* in the ring */
        uint64_t close_sequence;
        struct sg_link sync_link; /* waiting for the journal to be on disk */
        bool is_synced;
};

/* From the client's connection. head is lent. Runs as far as it goes; the exchange may be over on return (client is
 * then told by sg_client_exchange_over()). Returns NULL without memory. */
struct sg_exchange *sg_exchange_new(struct sg_client *c, struct sg_worker *w, const struct sg_head *head);
void sg_exchange_body(struct sg_exchange *x, struct sg_str bytes);
uint64_t sg_exchange_body_bytes_max(const struct sg_exchange *x); /* of [gateway], or of the service */
void sg_exchange_body_end(struct sg_exchange *x);
/* The request broke off: answer with f and close. */
void sg_exchange_refuse(struct sg_exchange *x, enum sg_failure f);
/* The connection is gone; the exchange must forget it. */
void sg_exchange_client_gone(struct sg_exchange *x, enum sg_failure why);
void sg_exchange_client_drained(struct sg_exchange *x);
/* The body came to a halt: true when that is the connection's to judge, by body_timeout. */
bool sg_exchange_leaves_body_time(const struct sg_exchange *x);
/* The drain took too long. */
void sg_exchange_cut(struct sg_exchange *x);

/* ---- inside the room */

/* Runs stages from the present one until one waits or all are done. */
void sg_exchange_run(struct sg_exchange *x);
/* Sets the failure (the first one stays) with an optional detail for the client; returns SG_STEP_FINISH. */
enum sg_step sg_exchange_fail(struct sg_exchange *x, enum sg_failure f, const char *detail_format, ...) SG_PRINTF(3, 4);
/* The name that was asked for, as far as it is told of. */
#define SG_MODEL_ASKED_BYTES_MAX 255u
bool sg_exchange_ask_for(struct sg_exchange *x, struct sg_str model);
/* Takes a failure back that has another side to it: the caller fails or goes on at once. */
void sg_exchange_unfail(struct sg_exchange *x);
/* For the log only; the last one stays. */
void sg_exchange_note(struct sg_exchange *x, const char *format, ...) SG_PRINTF(2, 3);
/* Of a text that may be NULL. */
static inline struct sg_str sg_exchange_text(const char *text)
{
        return text ? sg_str_from(text) : SG_STR_NONE;
}
/* From a callback of a later stage: fail, go to account and run. */
void sg_exchange_finish(struct sg_exchange *x);
/* The request will not be sent again, and what was held for it is given back. May be called twice. */
void sg_exchange_release_request(struct sg_exchange *x);
/* Gives back what was held of the provider's answer. */
void sg_exchange_release_answer(struct sg_exchange *x);
/* Ends the upstream call at once, if there is one. */
void sg_exchange_drop_upstream(struct sg_exchange *x);
/* From send or relay, before the answer: back to connect, for another endpoint. */
void sg_exchange_connect_again(struct sg_exchange *x);
/* Charges held bytes to the sum over all workers; false: there is no room. */
bool sg_exchange_charge(struct sg_exchange *x, uint64_t n_bytes) SG_MUST_CHECK;
/* The patience with who answers. */
uint64_t sg_exchange_between_bytes_usec(const struct sg_exchange *x);

enum sg_step sg_stage_receive(struct sg_exchange *x);
enum sg_step sg_stage_route(struct sg_exchange *x);
enum sg_step sg_stage_authenticate(struct sg_exchange *x);
enum sg_step sg_stage_admit(struct sg_exchange *x);
enum sg_step sg_stage_prepare(struct sg_exchange *x);
enum sg_step sg_stage_connect(struct sg_exchange *x);
enum sg_step sg_stage_send(struct sg_exchange *x);
enum sg_step sg_stage_relay(struct sg_exchange *x);
enum sg_step sg_stage_account(struct sg_exchange *x);

/* receive.c: takes what it needs of the head. False: a failure is set. */
bool sg_exchange_take_head(struct sg_exchange *x, const struct sg_head *head);

/* account.c: the disk has not taken the record in time: the client is told so instead of the answer. */
void sg_account_unsynced(struct sg_exchange *x);

/* relay.c: what waits for the first bytes of a body that do not come. */
void sg_relay_send_head(struct sg_exchange *x);
/* relay_error.c: the provider's error as far as it came; its status says enough. True: another attempt takes its place. */
bool sg_relay_take_error(struct sg_exchange *x);

/* answer.c: answers made here. Each fills status, fields and answer; returns SG_STEP_FINISH. */
enum sg_step sg_answer_json(struct sg_exchange *x, unsigned status, const char *format, ...) SG_PRINTF(3, 4);
/* Without a body. r: whether fields could be added. */
enum sg_step sg_answer_empty(struct sg_exchange *x, unsigned status, int r);
enum sg_step sg_answer_health(struct sg_exchange *x, struct sg_str path);
enum sg_step sg_answer_models(struct sg_exchange *x);
enum sg_step sg_answer_model(struct sg_exchange *x);
/* Makes status, fields and answer of x->failure. */
void sg_answer_failure(struct sg_exchange *x);
/* "sentence: detail" for the client. */
struct sg_str sg_failure_message(const struct sg_exchange *x, char *out, size_t out_bytes);
/* "a, b, c": models this exchange's key may use, for people; cut with "…" when long. */
void sg_models_for_people(struct sg_exchange *x, char *out, size_t out_bytes);
/* The in-band error event of a stream. */
int sg_answer_failure_event(struct sg_exchange *x, struct sg_buf *b) SG_MUST_CHECK;
