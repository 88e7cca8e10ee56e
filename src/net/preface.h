/*
 * net/preface.h - the PROXY header in front of an accepted connection, read before there is a stream
 *
 * Shape    embedded in its owner. Exactly the header's bytes are taken from the socket (it is looked at with MSG_PEEK before), so
 *          that what follows, a TLS handshake or a request, is where a stream or a layer looks for it
 * Owner    of the descriptor: the caller, all the time
 * Thread   the loop's
 * Errors   told by on_end, once, from the loop; sg_preface_done() is allowed inside of it
 * Limits   SG_PROXY_HEADER_BYTES_MAX; the time is the caller's to limit
 */
#pragma once

#include "base/buf.h"
#include "loop/loop.h"
#include "net/proxy_header.h"

enum sg_preface_end {
        SG_PREFACE_END_HEADER, /* it is whole, and all that has been taken from the socket */
        SG_PREFACE_END_EMPTY,  /* closed or reset, and not a byte came: somebody looked whether the port is open */
        SG_PREFACE_END_CLOSED, /* closed or reset within the header */
        SG_PREFACE_END_BROKEN, /* no valid header */
        SG_PREFACE_END_ERROR,  /* memory, or the socket */
        SG_PREFACE_END_N,
};

struct sg_preface {
        struct sg_io io;
        struct sg_buf taken;
        struct sg_proxy_header header; /* after SG_PREFACE_END_HEADER */
        const char *text;              /* after any other end: words for the log */
        void (*on_end)(struct sg_preface *p, enum sg_preface_end end, void *owner);
        void *owner;
};

/* Begins to read. fd: accepted, nonblocking. */
int sg_preface_init(struct sg_preface *p, struct sg_loop *l, int fd,
                    void (*on_end)(struct sg_preface *p, enum sg_preface_end end, void *owner), void *owner)
        SG_MUST_CHECK;
/* Before close(fd). */
void sg_preface_done(struct sg_preface *p);
