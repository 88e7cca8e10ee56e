#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/random.h>

#include "base/macro.h"
#include "base/random.h"

void sg_random_bytes(void *out, size_t n)
{
        unsigned char *at = out;

        while (n > 0) {
                ssize_t got = getrandom(at, n, 0);

                if (got < 0 && errno == EINTR)
                        continue;
                SG_ASSERT(got > 0);
                at += got;
                n -= (size_t)got;
        }
}

static _Thread_local uint64_t state[4];
static _Thread_local bool is_seeded;

static void forget_seed(void)
{
        is_seeded = false;
}

static void at_first(void)
{
        /* Otherwise a child would repeat its parent's numbers. */
        SG_ASSERT(pthread_atfork(NULL, NULL, forget_seed) == 0);
}

static void seed(void)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        SG_ASSERT(pthread_once(&once, at_first) == 0);
        do
                sg_random_bytes(state, sizeof(state));
        while (!(state[0] | state[1] | state[2] | state[3])); /* the one state that it never leaves */
        is_seeded = true;
}

static uint64_t turn_left(uint64_t x, int by)
{
        return x << by | x >> (64 - by);
}

/* Blackman and Vigna, "Scrambled linear pseudorandom number generators", xoshiro256**. */
uint64_t sg_random_u64(void)
{
        uint64_t result, shifted;

        if (SG_UNLIKELY(!is_seeded))
                seed();
        result = turn_left(state[1] * 5, 7) * 9;
        shifted = state[1] << 17;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= shifted;
        state[3] = turn_left(state[3], 45);
        return result;
}
