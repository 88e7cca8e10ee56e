/*
 * gateway/relay.h - the parts of relay: relay.c (heads, held and raw answers), relay_stream.c, relay_error.c
 *
 * Owner    the exchange
 * Thread   its worker
 */
#pragma once

#include "gateway/exchange.h"

/* Something of an answer came: the provider is not silent. */
void sg_relay_progress(struct sg_exchange *x);
/* To the client, with the head before it if need be; the provider is paused when the client has no room. */
void sg_relay_send(struct sg_exchange *x, struct sg_str bytes);
void sg_relay_stream(struct sg_exchange *x, struct sg_str bytes);
bool sg_relay_stream_is_whole(const struct sg_exchange *x);
/* How long the provider wants to be left alone. */
void sg_relay_take_retry_after(struct sg_exchange *x, const struct sg_head *head);
/* A provider may repeat the gateway's own credential in its words ("Incorrect API key: …"); neither client nor log sees
 * it. True: it was there. */
bool sg_relay_redact(const struct sg_exchange *x, char *text);
