/*
 * gateway/forwarded.h - who the client is behind the proxies that are trusted
 *
 * Shape    two questions, asked of addresses as the log writes them
 * Thread   any; nothing is kept
 * Errors   none: who cannot be told is the peer
 */
#pragma once

#include "base/buf.h"
#include "config/config.h"
#include "http/message.h"

/* peer: "192.0.2.1:4711", "[2001:db8::1]:80", "unix…". */
bool sg_peer_is_trusted(const struct sg_config *config, const char *peer);
/* True: the client as trusted proxies tell it in Forwarded and X-Forwarded-For, written to out. Else the client is the peer:
 * it is no such proxy, or it says nothing that can be believed (*ret_note then has words for the log, else NULL). */
bool sg_forwarded_client(const struct sg_config *config, const char *peer, const struct sg_head *head, char *out,
                         size_t out_bytes, const char **ret_note);
/* What the next server is told of those before it: Forwarded (RFC 7239), X-Forwarded-For, -Proto and -Host. What the head says
 * itself stands before, if its sender is trusted, and is left out if not; and so is each field that the service's configuration sets or removes. 0 or as sg_buf_add(). */
struct sg_service_arrival;
int sg_forwarded_add(struct sg_buf *b, const struct sg_config_service *c, const struct sg_head *head,
                     const struct sg_service_arrival *a) SG_MUST_CHECK;
