/*
 * base/error.h - an error that a person must read: what, where, what to do
 *
 * Shape    a value in the caller's frame; the last argument of fallible start-up, configuration and control calls
 * Owner    the caller
 * Errors   sg_error_set() returns its code, so that `return sg_error_set(err, …)` reads as one line
 */
#pragma once

#include "base/macro.h"
#include "base/str.h"

/* What a program that could not start ends with. systemd.exec(5) and sysexits.h know 78 as EX_CONFIG. */
#define SG_EXIT_FAILURE 1  /* may pass by itself: to be tried again */
#define SG_EXIT_CONFIG  78 /* a person must mend something first: RestartPreventExitStatus=78 */

struct sg_error {
        int code;               /* negative errno */
        bool needs_mending;     /* no new attempt helps before somebody has changed something */
        const char *message_id; /* SG_MESSAGE_*, or NULL: nothing that has a catalogue entry */
        char where[256];        /* file:line, socket, unit; may be empty */
        char text[768];         /* a sentence without trailing stop */
};

/* err may be NULL. The text follows printf(). Returns code (made negative). */
int sg_error_set(struct sg_error *err, int code, const char *where, const char *format, ...) SG_PRINTF(4, 5);
/* Marks of an error that is set, for who logs it and for the exit status. The first mark stays: it is nearest to the
 * cause. err may be NULL. */
void sg_error_notable(struct sg_error *err, const char *message_id);
void sg_error_needs_mending(struct sg_error *err, const char *message_id);
/* The mark that fits an error of files and directories, by its code: disk full, or not there or not ours. */
void sg_error_about_files(struct sg_error *err);
/* SG_EXIT_FAILURE or SG_EXIT_CONFIG. */
int sg_error_exit_status(const struct sg_error *err);
/* Puts "prefix: " before the text; the rest stays. */
void sg_error_prefix(struct sg_error *err, const char *prefix);
/* "where: text" into a static-size caller's buffer. */
const char *sg_error_line(const struct sg_error *err, char *out, size_t out_bytes);
