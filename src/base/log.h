/*
 * base/log.h - lines with fields, queued by whoever has something to say, written by one thread
 *
 * Shape    before sg_log_start(): straight to stderr. After it: each thread owns a ring of bytes that the log thread
 *          empties, so that a full journal socket never blocks a worker. What does not fit is counted and reported.
 * Owner    callers keep what they pass; it is copied
 * Thread   any; sg_log_start() and sg_log_stop() by the main thread
 * Errors   logging never fails for its caller
 * Limits   SG_LOG_LINE_BYTES_MAX per line (longer values are cut), SG_LOG_FIELDS_MAX fields (more are left out),
 *          SG_LOG_RING_BYTES per thread
 * Source   journal fields: systemd.journal-fields(7); levels: sd-daemon(3)
 */
#pragma once

#include <stdatomic.h>

#include "base/error.h"
#include "base/macro.h"
#include "base/str.h"

enum sg_log_level {
        SG_LOG_ERR = 3,
        SG_LOG_WARNING = 4,
        SG_LOG_NOTICE = 5,
        SG_LOG_INFO = 6,
        SG_LOG_DEBUG = 7,
};

enum sg_log_sink {
        SG_LOG_TO_STDERR, /* one readable line each, with the <n> prefix when stderr is the journal's */
        SG_LOG_TO_JOURNAL,
        SG_LOG_TO_FILE, /* a JSON object per line; reopened by sg_log_reopen() */
        SG_LOG_TO_NONE,
        SG_LOG_SINK_N,
};

struct sg_log_field {
        const char *name; /* upper case, as the journal wants it: SCRIBE_KEY */
        struct sg_str value;
};

#define SG_LOG_RING_BYTES (256u * 1024u)
#define SG_LOG_FIELDS_MAX 48u

extern _Atomic int sg_log_level_now; /* read through sg_log_wants() */

static inline bool sg_log_wants(enum sg_log_level level)
{
        return (int)level <= atomic_load_explicit(&sg_log_level_now, memory_order_relaxed);
}

/* Who speaks: SYSLOG_IDENTIFIER and the prefix on stderr. A string that lives for ever. */
void sg_log_set_identity(const char *name);
void sg_log_set_level(enum sg_log_level level);
enum sg_log_level sg_log_get_level(void);
const char *sg_log_level_name(enum sg_log_level level); /* "err", "warning", "notice", "info", "debug" */
int sg_log_level_parse(struct sg_str name, enum sg_log_level *ret) SG_MUST_CHECK; /* SG_STR_E_SYNTAX */

/* The sink that fits the surroundings: the journal if stderr is connected to it, else stderr. */
enum sg_log_sink sg_log_sink_auto(void);
/* Starts the log thread. path is for SG_LOG_TO_FILE only. */
int sg_log_start(enum sg_log_sink sink, const char *path, struct sg_error *err) SG_MUST_CHECK;
void sg_log_reopen(void);
/* Writes what is queued and ends the thread; later lines go to stderr again. */
void sg_log_stop(void);
uint64_t sg_log_n_lost(void);

void sg_log_line(enum sg_log_level level, const char *message_id, const struct sg_log_field *fields, size_t n_fields,
                 const char *format, ...) SG_PRINTF(5, 6);

/* The same with a message that is ready: for lines that come with every request. */
void sg_log_text(enum sg_log_level level, const char *message_id, const struct sg_log_field *fields, size_t n_fields,
                 struct sg_str message);

/* What struct sg_error says, as one line under its MESSAGE_ID, with ERRNO= and SCRIBE_WHERE=. */
void sg_log_error(enum sg_log_level level, const struct sg_error *err);

/* A line without fields under an SG_MESSAGE_*. */
#define sg_log_notable(level, message_id, ...)                                                                         \
        do {                                                                                                           \
                if (sg_log_wants(level))                                                                               \
                        sg_log_line(level, message_id, NULL, 0, __VA_ARGS__);                                          \
        } while (0)

#define sg_log_at_(level, ...)                                                                                         \
        do {                                                                                                           \
                if (sg_log_wants(level))                                                                               \
                        sg_log_line(level, NULL, NULL, 0, __VA_ARGS__);                                                \
        } while (0)
#define sg_err(...)     sg_log_at_(SG_LOG_ERR, __VA_ARGS__)
#define sg_warning(...) sg_log_at_(SG_LOG_WARNING, __VA_ARGS__)
#define sg_notice(...)  sg_log_at_(SG_LOG_NOTICE, __VA_ARGS__)
#define sg_info(...)    sg_log_at_(SG_LOG_INFO, __VA_ARGS__)
#define sg_debug(...)   sg_log_at_(SG_LOG_DEBUG, __VA_ARGS__)
