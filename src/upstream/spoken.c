#include "upstream/spoken.h"

#include <string.h>

/* A writer that was put to sleep is not waited for: its text is half the old one then, and ends in any case. */
#define TRIES_MAX 100u

/* The order of the reads and writes is Boehm's, with the order on the words themselves, as ThreadSanitizer does not know
 * fences. */
void spoken_set(struct spoken *s, const char *text)
{
        uint64_t words[SG_N_ELEMENTS(s->words)] = {0};
        uint64_t n = atomic_load_explicit(&s->n_changes, memory_order_relaxed);

        memcpy(words, text, strnlen(text, sizeof(words) - 1));
        if (n & 1 || !atomic_compare_exchange_strong_explicit(&s->n_changes, &n, n + 1, memory_order_acquire,
                                                              memory_order_relaxed))
                return;
        for (size_t i = 0; i < SG_N_ELEMENTS(words); i++)
                atomic_store_explicit(&s->words[i], words[i], memory_order_release);
        atomic_store_explicit(&s->n_changes, n + 2, memory_order_release);
}

void spoken_get(const struct spoken *s, char out[SPOKEN_BYTES])
{
        uint64_t words[SG_N_ELEMENTS(s->words)], n;
        unsigned tries = 0;

        do {
                n = atomic_load_explicit(&s->n_changes, memory_order_acquire);
                for (size_t i = 0; i < SG_N_ELEMENTS(words); i++)
                        words[i] = atomic_load_explicit(&s->words[i], memory_order_acquire);
        } while ((n & 1 || n != atomic_load_explicit(&s->n_changes, memory_order_relaxed)) && ++tries < TRIES_MAX);
        memcpy(out, words, sizeof(words));
}
