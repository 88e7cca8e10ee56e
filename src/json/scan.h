/*
 * json/scan.h - the room's own scanner: one pass over bytes that may be anything
 *
 * Shape    `at` moves forward; on failure it stands on the byte at fault
 * Thread   any
 * Errors   false, with code and what set
 * Limits   SG_JSON_DEPTH_MAX, no recursion
 * Source   RFC 8259 sections 2-8, RFC 3629 section 4
 */
#pragma once

#include "json/slice.h"

struct sg_json_scan {
        const unsigned char *at, *begin, *end;
        bool has_escape; /* the last string had one */
        enum sg_json_error code;
        const char *what;
};

void sg_json_scan_init(struct sg_json_scan *s, struct sg_str text);
/* Sets code and what; returns false, so that `return sg_json_scan_fail(…)` reads as one line. */
bool sg_json_scan_fail(struct sg_json_scan *s, enum sg_json_error code, const char *what);
/* Any value, with `depth` containers open around it. */
static inline bool sg_json_scan_value(struct sg_json_scan *s, unsigned depth);
bool sg_json_scan_scalar(struct sg_json_scan *s);
bool sg_json_scan_container(struct sg_json_scan *s, unsigned depth);
/* A member's name, the colon and the space up to its value. *ret_name has its quotes. */
bool sg_json_scan_name(struct sg_json_scan *s, struct sg_str *ret_name);
void sg_json_scan_fault(const struct sg_json_scan *s, struct sg_json_fault *fault);

enum sg_json_kind sg_json_kind_of(unsigned char first);

/* 0 when the bytes at p are no character outside ASCII, else its length. */
static inline size_t sg_json_utf8_length(const unsigned char *p, const unsigned char *end)
{
        size_t left = (size_t)(end - p);

        if (p[0] >= 0xe0 && p[0] < 0xf0) { /* first: most text that is not ASCII has three bytes a character */
                if (left < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80)
                        return 0;
                if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))
                        return 0;
                return 3;
        }
        if (p[0] >= 0xc2 && p[0] < 0xe0)
                return left >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
        if (p[0] >= 0xf0 && p[0] < 0xf5) {
                if (left < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 || (p[3] & 0xc0) != 0x80)
                        return 0;
                if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
                        return 0;
                return 4;
        }
        return 0;
}

static inline void sg_json_scan_space(struct sg_json_scan *s)
{
        while (s->at < s->end && *s->at <= ' ' && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
                s->at++;
}

/* The byte at `at`, or 0 at the end: no token begins with a zero byte. */
static inline unsigned char sg_json_scan_peek(const struct sg_json_scan *s)
{
        return s->at < s->end ? *s->at : 0;
}

static inline bool sg_json_scan_value(struct sg_json_scan *s, unsigned depth)
{
        unsigned char c = sg_json_scan_peek(s);

        return c == '{' || c == '[' ? sg_json_scan_container(s, depth) : sg_json_scan_scalar(s);
}
