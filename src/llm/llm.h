/*
 * llm/llm.h - what the gateway knows of the LLM dialects: requests, answers, streams, usage, errors. No I/O
 *
 * Shape    a request is read once into spans and facts; an answer or a stream yields usage and a verdict
 * Units    tokens; bytes
 * Owner    the caller owns bodies; spans are views into them
 * Thread   any
 * Errors   0 or SG_LLM_E_* with a fault for the client
 * Source   OpenAI chat completions; provider traps of DeepSeek, Moonshot, Azure, OpenRouter
 */
#pragma once

#include "base/buf.h"
#include "http/sse.h"
#include "json/slice.h"

/* How a client speaks: decides the form of its errors and in-band errors. */
enum sg_surface {
        SG_SURFACE_OPENAI,
        SG_SURFACE_SIMPLE, /* POST /v1/chat: {"error":"text"} */
        SG_SURFACE_ANTHROPIC,
        SG_SURFACE_RESPONSES, /* OpenAI's, but for errors inside a stream */
        SG_SURFACE_N,
};

/* What is asked for, and in which wire format: a provider may be asked for another one than the client did. */
enum sg_operation {
        SG_OP_CHAT,       /* /v1/chat/completions, /v1/chat */
        SG_OP_COMPLETION, /* /v1/completions */
        SG_OP_EMBEDDINGS,
        SG_OP_MESSAGES,      /* /v1/messages */
        SG_OP_RESPONSES,     /* POST /v1/responses */
        SG_OP_COUNT_TOKENS,  /* /v1/messages/count_tokens */
        SG_OP_IMAGES,        /* /v1/images/generations, /edits, /variations: JSON or a form */
        SG_OP_SPEECH,        /* /v1/audio/speech: JSON to sound */
        SG_OP_TRANSCRIPTION, /* /v1/audio/transcriptions, /translations: a form */
        SG_OP_MODEL_LIST,    /* GET /v1/models: answered here */
        SG_OP_MODEL_GET,     /* GET /v1/models/{id}: answered here */
        SG_OP_PASS,          /* any other /v1/ path */
        SG_OP_N,
};

const char *sg_operation_name(enum sg_operation op); /* OpenTelemetry's: "chat", "text_completion", "embeddings", … */
const char *sg_surface_name(enum sg_surface s);

enum sg_llm_error {
        SG_LLM_E_BAD_JSON = 1,
        SG_LLM_E_BAD_FIELD, /* a field the gateway reads has a wrong type or value */
        SG_LLM_E_NO_MODEL,  /* no model, and the operation needs one */
        SG_LLM_E_NOT_JSON,  /* answers: the provider sent garbage */
        SG_LLM_E_IN_BAND,   /* answers: an error object inside a 200 */
        SG_LLM_E_N,
};

struct sg_llm_fault {
        char text[256];
        char param[64]; /* the field, or empty */
};

struct sg_llm_request {
        enum sg_operation op;
        struct sg_str body;
        struct sg_json_want model, stream, stream_options;
        struct sg_json_value include_usage; /* of stream_options */
        char model_name[256];               /* decoded; empty when absent */
        bool is_stream;                     /* events are asked for: of SPEECH with stream_format "sse" */
        bool wants_usage;    /* usage is part of what the client gets: asked for, or the operation has it always */
        uint64_t max_tokens; /* 0: not given */
        uint64_t n_answers;  /* each of max_tokens; 0: not given */
        struct sg_json_value conversation; /* the list of its turns, or its name: for sg_llm_request_opening() */
        bool is_form; /* multipart: model.value.text is the part's content, bare; model.member, without such a
                                * part, the first boundary, before which one may be put */
};

/* Reads the body of any operation that has one in JSON (of PASS, when it is JSON). SG_LLM_E_NO_MODEL only without has_default,
 * and never for PASS; model_name is empty when the client named none.
 */
int sg_llm_request_read(struct sg_llm_request *ret, enum sg_operation op, struct sg_str body, bool has_default,
                        struct sg_llm_fault *fault) SG_MUST_CHECK;
/* How the conversation begins: a view of bytes that are the same in all turns of one conversation, as long as its client
 * writes them the same way: of CHAT, MESSAGES and COUNT_TOKENS from the begin of `messages` to the first text of the first
 * user message (a cache_control behind it comes and goes between turns); `system`, which stands elsewhere, is not in it. Of
 * RESPONSES the same of `input`, or the text of it, or `conversation` where there is one; `instructions` are not in it. Empty
 * where there is nothing of the kind. */
struct sg_str sg_llm_request_opening(const struct sg_llm_request *req);
/* The same of a form (IMAGES, TRANSCRIPTION); boundary: of its content-type, without quotes. Strict: what two readers might
 * read in two ways is refused, with SG_LLM_E_BAD_JSON where it is no form and SG_LLM_E_BAD_FIELD where a part is wrong. */
int sg_llm_form_read(struct sg_llm_request *ret, enum sg_operation op, struct sg_str body, struct sg_str boundary,
                     bool has_default, struct sg_llm_fault *fault) SG_MUST_CHECK;

/* The body to send upstream: the model replaced by upstream_model (its JSON string, or for a form its bare text, is written
 * into *scratch; a form without a model gets a part in front),
 * include_usage asked of streams of CHAT and COMPLETION. Everything else byte for byte. Returns 0, -ENOMEM,
 * SG_BUF_E_FULL. */
struct sg_llm_body {
        struct sg_str pieces[SG_JSON_PIECES_MAX];
        size_t n_pieces, n_bytes;
};
int sg_llm_request_write(const struct sg_llm_request *req, struct sg_str upstream_model, struct sg_buf *scratch,
                         struct sg_llm_body *ret) SG_MUST_CHECK;

enum sg_certainty {
        SG_CERTAINTY_NONE,      /* nothing to count (no tokens in such an operation) */
        SG_CERTAINTY_MEASURED,  /* the provider's own figures */
        SG_CERTAINTY_PARTIAL,   /* the provider's figures, cut off before the last */
        SG_CERTAINTY_ESTIMATED, /* from bytes */
        SG_CERTAINTY_N,
};
const char *sg_certainty_name(enum sg_certainty c);

struct sg_usage {
        enum sg_certainty certainty;
        uint64_t input_tokens;          /* cached included */
        uint64_t output_tokens;         /* reasoning included */
        uint64_t cached_tokens;         /* of input */
        uint64_t cache_write_tokens;    /* of input */
        uint64_t cache_write_1h_tokens; /* of cache_write: kept for an hour */
        uint64_t reasoning_tokens;      /* of output */
        uint64_t audio_input_tokens, audio_output_tokens;
        uint64_t image_tokens; /* of input */
        /* The provider's object as it stands; a view; empty when there was none, or it was over SG_RAW_USAGE_BYTES_MAX. Of
         * a MESSAGES stream {"message_start":…,"message_delta":…}, the last of each. */
        struct sg_str raw;
};

/* Reads a usage object of any known shape (OpenAI, DeepSeek, Moonshot, Anthropic, Responses, images, transcriptions), and
 * raw texts of streams. False when it holds no count of tokens at all. */
bool sg_usage_read(struct sg_usage *ret, struct sg_json_value object);
/* Tokens guessed from bytes: about four bytes of text each, at least one for any text. */
uint64_t sg_usage_guess(uint64_t text_bytes);
/* An estimated usage without input gets it from the bytes of the prompt; any other is left as it is. */
void sg_usage_fill_input(struct sg_usage *u, uint64_t prompt_bytes);

/* The error body of a provider with status >= 400: its message and type, cleaned. False when it has no such form. */
struct sg_llm_provider_error {
        char message[512];
        char type[64], code[64], param[64];
        char reason
                [64]; /* what is said more closely elsewhere: Anthropic's details.error_code, Azure's innererror.code … */
};
bool sg_llm_error_read(struct sg_llm_provider_error *ret, struct sg_str body);

/* What a refusal means, in the words of which providers have many. */
enum sg_refusal {
        SG_REFUSAL_CLIENT,     /* the request's own fault: 400, 404, 413, 422 … */
        SG_REFUSAL_CONTEXT,    /* the same: the prompt is longer than the model's context */
        SG_REFUSAL_CREDENTIAL, /* 401, 403 of the account */
        SG_REFUSAL_QUOTA,      /* no balance, spend limit: 402, a 429 that says so, insufficient_quota */
        SG_REFUSAL_RATE,       /* 429 */
        SG_REFUSAL_OVERLOAD,   /* 503, 529, overloaded_error */
        SG_REFUSAL_SERVER,     /* 500, 502, 504 and others */
        SG_REFUSAL_N,
};
const char *sg_refusal_name(enum sg_refusal r);
/* Of a status of 400 and more, or 0 for an error inside a 200 (by its type and code; SERVER when they tell nothing). e may be
 * NULL. */
enum sg_refusal sg_llm_refusal_of(unsigned status, const struct sg_llm_provider_error *e);

/* A whole JSON answer with status 2xx. Leading white space is allowed (DeepSeek sends empty lines while it queues).
 * SG_LLM_E_NOT_JSON, SG_LLM_E_IN_BAND (fault has the provider's message), or 0. */
struct sg_llm_answer {
        struct sg_usage
                usage;   /* estimated from the bytes when the provider gave none, if tokens of text are counted at all;
                                  * SG_LLM_E_IN_BAND: what the provider gave */
        char model[128]; /* the answer's own model, or empty */
        char finish_reason[32];  /* of the first choice; stop_reason; why incomplete, or the status; or empty */
        int in_band_status;      /* SG_LLM_E_IN_BAND: a numeric error.code 400-599, else 0 */
        enum sg_refusal refusal; /* SG_LLM_E_IN_BAND */
};
int sg_llm_answer_read(struct sg_llm_answer *ret, enum sg_operation op, struct sg_str body, struct sg_llm_fault *fault)
        SG_MUST_CHECK;
/* A stream, event by event. Judged are CHAT, COMPLETION, MESSAGES (ends with message_stop after a stop_reason) and
 * RESPONSES (ends with response.completed or response.incomplete; response.failed and error are the provider's errors);
 * IMAGES, SPEECH and TRANSCRIPTION end with their .done or .completed event; of the others nothing is known: their events
 * pass, and the end of the body is the end of the stream. */
enum sg_stream_verdict {
        SG_EVENT_PASS, /* send ev->raw as it is */
        SG_EVENT_DROP, /* send nothing (a usage chunk the client did not ask for, empty data, what follows the end) */
        SG_EVENT_REPLACE, /* send `replacement` instead */
        SG_EVENT_ERROR,   /* the provider's error inside the stream: fault filled; send nothing */
        SG_EVENT_GARBAGE, /* data that is not JSON: fault filled; send nothing */
        SG_EVENT_LAST,    /* the terminal event: hold it until the close record is written, then send raw */
};

/* Anthropic's figures as they were given: the input without what was cached. */
struct sg_messages_usage {
        uint64_t input, cache_write, cache_write_1h, cache_read, output, reasoning;
        bool has_input, has_output;
};

struct sg_llm_stream {
        enum sg_operation op; /* private from here on, except usage and the counters */
        bool hide_usage;
        bool seen_first, seen_finish, seen_done, seen_error;
        bool ended_early;      /* SG_EVENT_ERROR: no error was told, but the end came too early: truncated */
        uint64_t n_events;     /* with data */
        uint64_t text_bytes;   /* of content, reasoning and arguments delivered */
        struct sg_usage usage; /* the provider's last; sg_llm_stream_usage() has all of it */
        struct sg_messages_usage given;
        uint64_t text_bytes_at_usage; /* text_bytes when the last figures came */
        struct sg_buf raw_usage;
        struct sg_buf replaced;
        char model[128];
        char finish_reason[32];
        enum sg_refusal refusal; /* after SG_EVENT_ERROR */
};

void sg_llm_stream_init(struct sg_llm_stream *s, enum sg_operation op, bool hide_usage);
void sg_llm_stream_done(struct sg_llm_stream *s);
enum sg_stream_verdict sg_llm_stream_event(struct sg_llm_stream *s, const struct sg_sse_event *ev,
                                           struct sg_str *ret_replacement, struct sg_llm_fault *fault);
/* The dialect's terminal event was seen after a finish reason: only then is the stream whole. Always true of an
 * operation that is not judged. */
bool sg_llm_stream_is_complete(const struct sg_llm_stream *s);
/* Usage so far. Complete: the provider's figures (measured), else from bytes (estimated; prompt_bytes for the input).
 * Cut off: partial when the provider had given figures (text that came after them is guessed and added), else
 * estimated. A side of which the provider told nothing (the output, after a message_start only) is guessed, and the whole
 * partial. IMAGES, SPEECH and TRANSCRIPTION without figures: none when complete, as for models that count no tokens;
 * never an input guessed from bytes of sound. raw is lent until sg_llm_stream_done(). */
struct sg_usage sg_llm_stream_usage(const struct sg_llm_stream *s, uint64_t prompt_bytes);

/* Errors in the client's form. */
struct sg_llm_client_error {
        unsigned
                status; /* of the answer, or what it would be: SG_SURFACE_ANTHROPIC chooses its type by it; 0: by type */
        const char *type;  /* "invalid_request_error" */
        const char *code;  /* or NULL */
        const char *param; /* or NULL */
        struct sg_str message;
        struct sg_str request_id; /* of SG_SURFACE_ANTHROPIC; or empty */
        uint64_t sequence;        /* of an event of SG_SURFACE_RESPONSES: how many came before it */
};
int sg_llm_error_add_body(struct sg_buf *b, enum sg_surface s, const struct sg_llm_client_error *e) SG_MUST_CHECK;
/* The same as one SSE event, with its blank line. */
int sg_llm_error_add_event(struct sg_buf *b, enum sg_surface s, const struct sg_llm_client_error *e) SG_MUST_CHECK;

/* The practice provider: answers from the request's own content. pieces are words with their spaces. */
struct sg_echo {
        struct sg_buf text; /* the last user message, decoded */
        struct sg_str model;
        enum sg_operation op;
        bool is_stream, wants_usage;
        uint64_t input_tokens, output_tokens; /* words */
        uint64_t created_sec;
        char id[40];
        size_t at; /* of text, already streamed */
        unsigned phase;
        struct sg_buf model_copy;
        size_t n_text;        /* of text, answered: max_tokens may cut it */
        struct sg_buf line;   /* the event in the making */
        struct sg_buf hashes; /* EMBEDDINGS: a uint64_t for each input */
        bool is_cut;          /* max_tokens was reached */
        bool is_base64;       /* EMBEDDINGS: encoding_format */
};
/* 0, or SG_LLM_E_BAD_JSON / _BAD_FIELD with a fault. For CHAT, COMPLETION and EMBEDDINGS. */
int sg_echo_init(struct sg_echo *e, enum sg_operation op, struct sg_str body, struct sg_llm_fault *fault) SG_MUST_CHECK;
void sg_echo_done(struct sg_echo *e);
/* The whole JSON answer. After an error *b may hold a part of it. */
int sg_echo_add_answer(struct sg_echo *e, struct sg_buf *b) SG_MUST_CHECK;
/* The next SSE event; *ret_last with the terminal one. After an error nothing was added and it may be asked for again.
 */
int sg_echo_add_event(struct sg_echo *e, struct sg_buf *b, bool *ret_last) SG_MUST_CHECK;
