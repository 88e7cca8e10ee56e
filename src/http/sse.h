/*
 * http/sse.h - server-sent events: cuts a body into whole events, changing no byte
 *
 * Shape    one scanner per stream; what is incomplete is carried to the next piece
 * Owner    the scanner owns the carried bytes; views in an event are lent until the next call
 * Thread   one at a time
 * Errors   0 with an event; SG_SSE_E_MORE: the piece is used up; SG_SSE_E_TOO_LARGE; -ENOMEM
 * Limits   SG_SSE_EVENT_BYTES_MAX per event, or what init is given; an idle stream with nothing carried holds no
 *          memory
 * Source   WHATWG HTML, "Server-sent events", section 9.2.6: LF, CR and CRLF end lines; `data:` with or without a
 *          space; several data lines are joined by LF; a leading BOM is skipped when reading (but passed on)
 */
#pragma once

#include "base/buf.h"

enum sg_sse_error {
        SG_SSE_E_MORE = 1,
        SG_SSE_E_TOO_LARGE,
};

struct sg_sse_event {
        struct sg_str
                raw; /* every byte of it with the blank line that ends it; comments and blank lines before it too */
        struct sg_str data; /* the joined data lines; empty for comments and keep-alives */
        struct sg_str name; /* of the last event: line, or empty */
        bool has_data;
};

struct sg_sse {
        struct sg_buf carry; /* private from here on: begin of an event that is not complete */
        struct sg_buf join;  /* joined data lines, when there were several */
        bool is_given;       /* what carry holds, to be dropped at the next call */
        bool is_begun;       /* past the place of a BOM */
        bool is_first;       /* no event given yet: it may begin with a BOM */
        bool after_cr;       /* the last byte seen was a CR that ended a line: an LF belongs to it */
        bool waits_for_lf;   /* that CR ended an event, too, but the lines before it ended in CRLF */
        bool has_crlf;       /* the last line end but that one was CRLF */
};

void sg_sse_init(struct sg_sse *s, size_t event_bytes_max); /* 0: SG_SSE_EVENT_BYTES_MAX */
void sg_sse_done(struct sg_sse *s);
/* The next event; *in advances. A keep-alive (comment lines and a blank line) is an event with has_data false; it is
 * given as soon as its blank line is there. A blank line alone is one too. Where lines end in CRLF the blank line is
 * there with its LF; where they do not, a CR ends the event at once, and an LF that comes nevertheless is an event of
 * its own. */
int sg_sse_next(struct sg_sse *s, struct sg_str *in, struct sg_sse_event *ret) SG_MUST_CHECK;
/* Bytes of an event that never ended. */
size_t sg_sse_carried(const struct sg_sse *s);
