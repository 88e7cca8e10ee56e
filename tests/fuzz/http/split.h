/* split.h - where to cut an input, told by the input itself, so that corpora are plain messages */
#pragma once

#include <stddef.h>
#include <stdint.h>

static inline uint64_t split_hash(const uint8_t *data, size_t size)
{
        uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

        for (size_t i = 0; i < size; i++)
                hash = (hash ^ data[i]) * UINT64_C(0x100000001b3);
        return hash ^ hash >> 32;
}
