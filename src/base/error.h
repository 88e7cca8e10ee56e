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

struct sg_error {
        int code;        /* negative errno */
        char where[256]; /* file:line, socket, unit; may be empty */
        char text[768];  /* a sentence without trailing stop */
};

/* err may be NULL. The text follows printf(). Returns code (made negative). */
int sg_error_set(struct sg_error *err, int code, const char *where, const char *format, ...) SG_PRINTF(4, 5);
/* Puts "prefix: " before the text. */
void sg_error_prefix(struct sg_error *err, const char *prefix);
/* "where: text" into a static-size caller's buffer. */
const char *sg_error_line(const struct sg_error *err, char *out, size_t out_bytes);
