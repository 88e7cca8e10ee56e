/*
 * gateway/connect.h - between connect and relay: who listens to the provider's answer
 *
 * Owner    static
 * Thread   the exchange's worker
 */
#pragma once

#include "upstream/upstream.h"

/* relay.c; the owner is the sg_exchange. */
extern const struct sg_upcall_listener sg_relay_listener;
