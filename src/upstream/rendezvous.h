/*
 * upstream/rendezvous.h - weighted rendezvous hashing: who of a few serves what has this hash
 *
 * Shape    functions only. Each draws a number from the hash and its own name, exponentially distributed with its weight
 *          as the rate; the smallest wins. Whoever is missing moves no hash but its own, gateways with one configuration
 *          agree, and there is no table
 * Thread   any
 */
#pragma once

#include <math.h>
#include <stdint.h>

/* FNV-1a, which goes on from hash: the same in all gateways, today and tomorrow. */
#define RENDEZVOUS_NAME UINT64_C(0xcbf29ce484222325)
static inline uint64_t rendezvous_name(uint64_t hash, const char *name)
{
        for (; *name; name++)
                hash = (hash ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
        return hash;
}

/* The last step of splitmix64: every bit of the sum decides on every bit. */
static inline uint64_t rendezvous_mix(uint64_t x)
{
        x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
        return x ^ (x >> 31);
}

/* mixed: of what is to be served; name: the hash of who might. */
static inline double rendezvous_draw(uint64_t mixed, uint64_t name, uint32_t weight)
{
        const uint64_t x = rendezvous_mix(mixed + name);
        const double share = ((double)(x >> 11) + 0.5) * 0x1p-53; /* between 0 and 1, neither of them */

        return -log(share) / weight;
}
