/*
 * base/secret.h - bytes that must not be seen
 *
 * Owner    shared: sg_secret_ref() / sg_secret_unref(), from any thread; wiped with the last reference
 * Errors   -ENOMEM; reading files: -errno, -E2BIG over SG_SECRET_BYTES_MAX
 * Limits   SG_SECRET_BYTES_MAX; never handed to a log or printf
 */
#pragma once

#include "base/str.h"

struct sg_secret;

int sg_secret_new(struct sg_secret **ret, struct sg_str bytes) SG_MUST_CHECK;
/* A file's content without trailing line ends. */
int sg_secret_new_from_file(struct sg_secret **ret, const char *path) SG_MUST_CHECK;
struct sg_secret *sg_secret_ref(struct sg_secret *s);
struct sg_secret *sg_secret_unref(struct sg_secret *s);
SG_DEFINE_AUTO(struct sg_secret *, sg_secret_unref)

/* Lent while the caller holds its reference. */
struct sg_str sg_secret_bytes(const struct sg_secret *s);
/* Equal, in time that depends on the lengths only. */
bool sg_secret_equals(const struct sg_secret *s, struct sg_str bytes);
void sg_wipe(void *p, size_t n);

/* What credential:NAME may be called: letters, digits, . _ -, no dot first, at most SG_NAME_BYTES_MAX. */
bool sg_secret_is_name(struct sg_str s);
/* The place of the first byte that no key has, or the length when there is none. Every secret of this release becomes an
 * Authorization field: visible ASCII, no blanks (RFC 6750, 2.1). */
size_t sg_secret_first_odd(const struct sg_secret *s);
