/*
 * upstream/spoken.h - a text that any thread may set and read, and a count of what is open
 *
 * Shape    words, as bytes may not be raced for; embedded, all zeros at birth
 * Thread   any: who comes while another writes lets it be, who reads in the midst of a write looks again
 * Limits   SPOKEN_BYTES with the NUL; longer ones are cut. 4 million open at a time, the count of all begins anew after
 *          2^42
 * Source   Boehm, "Can seqlocks get along with programming language memory models?" (2012)
 */
#pragma once

#include <stdatomic.h>

#include "base/macro.h"

#define SPOKEN_BYTES 160

struct spoken {
        _Atomic uint64_t n_changes; /* odd: being written */
        _Atomic uint64_t words[SPOKEN_BYTES / sizeof(uint64_t)];
};

void spoken_set(struct spoken *s, const char *text);
void spoken_get(const struct spoken *s, char out[SPOKEN_BYTES]);

/* How many were picked and how many of them are open in one word: a request writes it twice, and no other. */
#define LOAD_OPEN_BITS 22u
#define LOAD_OPEN_MASK ((UINT64_C(1) << LOAD_OPEN_BITS) - 1)
#define LOAD_PICK      ((UINT64_C(1) << LOAD_OPEN_BITS) + 1)

static inline uint64_t load_outstanding(uint64_t load)
{
        return load & LOAD_OPEN_MASK;
}

static inline uint64_t load_picked(uint64_t load)
{
        return load >> LOAD_OPEN_BITS;
}
