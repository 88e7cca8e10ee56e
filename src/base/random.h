/*
 * base/random.h - randomness
 *
 * Errors   the kernel's generator cannot fail once it is seeded; anything else aborts
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* From getrandom(2), for keys and identities. Any thread. */
void sg_random_bytes(void *out, size_t n);
/* Fast, not for secrets: xoshiro256**, seeded per thread from the kernel. Request ids, weighted choice, jitter. */
uint64_t sg_random_u64(void);
