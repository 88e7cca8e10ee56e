/*
 * net/proxy_header.h - the PROXY protocol, versions 1 and 2: whose connection a proxy hands on
 *
 * Shape    a pure function over the bytes so far. It stands in net/ and not in http/, since it speaks of sockets' addresses
 *          and comes before TLS and before any HTTP
 * Errors   positive SG_PROXY_HEADER_E_*; MORE is not a failure, everything else ends the connection
 * Limits   a line of 107 bytes; SG_PROXY_HEADER_BYTES_MAX for the binary form with all its extensions (TLVs), which are
 *          checked for their form and skipped
 * Source   haproxy's doc/proxy-protocol.txt, "The PROXY protocol, versions 1 & 2", section 2
 */
#pragma once

#include "base/ip.h"

#define SG_PROXY_HEADER_BYTES_MAX 4096u

enum sg_proxy_header_error {
        SG_PROXY_HEADER_E_MORE = 1,
        SG_PROXY_HEADER_E_NONE,     /* what comes does not begin like one */
        SG_PROXY_HEADER_E_LINE,     /* version 1: not of the one form it may have */
        SG_PROXY_HEADER_E_COMMAND,  /* version 2: neither LOCAL nor PROXY, or another version */
        SG_PROXY_HEADER_E_FAMILY,   /* version 2: an unassigned family or transport */
        SG_PROXY_HEADER_E_LENGTH,   /* version 2: less than its addresses take, or more than the maximum */
        SG_PROXY_HEADER_E_ADDITION, /* version 2: the extensions do not end where they should */
        SG_PROXY_HEADER_E_N,
};
const char *sg_proxy_header_error_text(enum sg_proxy_header_error e);

enum sg_proxy_header_kind {
        SG_PROXY_HEADER_LOCAL,   /* the proxy's own connection: it is the client */
        SG_PROXY_HEADER_UNKNOWN, /* somebody's, of whom it knows no IP address */
        SG_PROXY_HEADER_SOURCE,  /* that of source */
};

struct sg_proxy_header {
        enum sg_proxy_header_kind kind;
        struct sg_ip source;
        uint16_t source_port;
        size_t n_bytes; /* the header's own: what follows is the connection's */
};

/* All bytes since the beginning; with more than the header it reads the header only. The outcome does not depend on how
 * many bytes are there beyond those that decide. */
int sg_proxy_header_read(struct sg_proxy_header *ret, struct sg_str bytes) SG_MUST_CHECK;
