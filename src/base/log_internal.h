/*
 * base/log_internal.h - what the parts of the log say to one another; for this room and its tests
 *
 * Shape    log.c makes frames of lines, log_queue.c carries frames to the log thread, log_sink.c writes records
 * Owner    a record lends from the frame that it was read from
 * Thread   sg_log_sink_*(): the log thread, or the main thread while there is none; the rest: any
 */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "base/log.h"

struct sg_log_frame {
        uint32_t n_bytes; /* of the whole frame, this head included */
        uint8_t level;
        uint8_t n_fields;
        uint16_t id_n; /* with its NUL; 0: none */
        uint16_t message_n;
        uint64_t wall_usec;
};

struct sg_log_record {
        enum sg_log_level level;
        bool is_report; /* the log's own line, which is not counted when it is lost */
        uint64_t wall_usec;
        const char *message_id; /* or NULL */
        struct sg_str message;
        size_t n_fields;
        struct sg_log_field fields[SG_LOG_FIELDS_MAX];
};

/* log.c */
void sg_log_read_frame(const char *frame, struct sg_log_record *ret);
const char *sg_log_identity(void);
void sg_log_add_lost(uint64_t n);

/* log_queue.c: false when there is no log thread and the caller must write the line itself. */
bool sg_log_queue_push(const char *frame, size_t n);

/* log_sink.c */
int sg_log_sink_open(enum sg_log_sink sink, const char *path, struct sg_error *err) SG_MUST_CHECK;
void sg_log_sink_reopen(void);
void sg_log_sink_write(const struct sg_log_record *r);
bool sg_log_sink_flush(void); /* false when lines were lost */
void sg_log_sink_close(void);
void sg_log_sink_hurry(uint64_t until_usec); /* from then on a reader that does not read is not waited for */
void sg_log_write_direct(const struct sg_log_record *r);

/* log_format.c */
struct sg_log_text_style {
        bool has_level; /* <n>, for the journal's stream */
        bool has_clock; /* for eyes */
};
int sg_log_format_text(struct sg_buf *b, const struct sg_log_record *r, struct sg_log_text_style style) SG_MUST_CHECK;
int sg_log_format_json(struct sg_buf *b, const struct sg_log_record *r) SG_MUST_CHECK;

/* log_journal.c, or log_journal_none.c without libsystemd */
bool sg_log_journal_is_built(void);
int sg_log_journal_write(const struct sg_log_record *r) SG_MUST_CHECK; /* 0 or -errno */
