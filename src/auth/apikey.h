/*
 * auth/apikey.h - the form of API keys: sk- and 32 letters and digits
 *
 * Shape    26 random characters (154 bits) and 6 of checksum (CRC-32C of the others, base 62)
 * Owner    the caller; wipe what was shown
 * Errors   a key that is not of this form is refused without a lookup
 * Source   shown once, stored as SHA-256 (high entropy needs no salt and no slow hash)
 */
#pragma once

#include "base/str.h"

#define SG_APIKEY_CHARS        35
#define SG_APIKEY_DIGEST_BYTES 32

void sg_apikey_generate(char out[SG_APIKEY_CHARS + 1]);
/* Prefix, alphabet, length and checksum fit. */
bool sg_apikey_is_well_formed(struct sg_str key);
/* SHA-256. */
void sg_apikey_digest(uint8_t out[SG_APIKEY_DIGEST_BYTES], struct sg_str key);
