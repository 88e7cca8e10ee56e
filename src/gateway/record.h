/*
 * gateway/record.h - an exchange as the journal sees it
 *
 * Owner    strings of the record are views of the exchange
 * Thread   the exchange's worker
 */
#pragma once

#include "gateway/exchange.h"
#include "journal/record.h"

/* What the open record and the close record share. */
void sg_record_of_exchange(const struct sg_exchange *x, struct sg_record *ret);
