/*
 * limit/saved.h - the copy of the words as bytes (private to the room)
 *
 * Shape    struct sg_saved_head, then n entries; in the byte order of the machine, whose own file it is
 * Errors   a sentence
 * Limits   SG_LIMIT_WORDS_MAX entries
 */
#pragma once

#include <stdint.h>

#include "base/str.h"

struct sg_saved_head {
        char magic[8];
        uint32_t version;
        uint32_t crc; /* CRC-32C of all that follows, from wall_usec on */
        uint64_t wall_usec;
        uint64_t n;
};

struct sg_saved_entry {
        uint64_t id, value;
};

/* NULL, or what is wrong with it. *ret_entries lies in `bytes`, which are aligned as for uint64_t. */
const char *sg_saved_check(struct sg_str bytes, struct sg_saved_head *ret, const struct sg_saved_entry **ret_entries);
