/*
 * http/forwarded.h - the client that a chain of proxies names, in Forwarded and in X-Forwarded-For
 *
 * Shape    a pure function over a head. Every proxy adds on the right whom it got the request from; so the chain is walked from
 *          the right for as long as those named are trusted themselves. The first that is not is the client: what stands to
 *          his left is his own word
 * Owner    nothing is kept
 * Errors   a result: the head's sender is the client when there is no other
 * Limits   SG_FORWARDED_HOPS_MAX from the right
 * Source   RFC 7239 sections 4 and 6, to the letter; X-Forwarded-For has none: addresses with or without port, IPv6 with or
 *          without brackets, between commas
 */
#pragma once

#include "base/ip.h"
#include "http/message.h"

#define SG_FORWARDED_HOPS_MAX 32

enum sg_forwarded_result {
        SG_FORWARDED_NONE,       /* neither field is there */
        SG_FORWARDED_CLIENT,     /* found */
        SG_FORWARDED_UNREADABLE, /* what the nearest proxy wrote is malformed, or a name in place of an address */
        SG_FORWARDED_DISAGREE, /* both are there and name different clients: one of them is nobody's but the client's */
        SG_FORWARDED_N,
};
const char *sg_forwarded_result_text(enum sg_forwarded_result r); /* words for the log */

/* The sender of the head is trusted: the caller has seen to that. Of a chain that becomes unreadable, or hides a name
 * ("unknown", "_hidden"), the last proxy whose address it tells stands for the client: who is behind it is not known, and
 * what is to the left may be anyone's word. */
enum sg_forwarded_result sg_forwarded_find(struct sg_ip *ret, const struct sg_head *head,
                                           const struct sg_networks *trusted) SG_MUST_CHECK;
