/*
 * limit/words.h - the table of words: a file that is mapped, found in by any thread (private to the room)
 *
 * Shape    sg_words by id; see the head of words.c
 * Owner    its sg_limits; words live as long
 * Thread   sg_words_find(), _next(): any. The rest: the main thread
 * Errors   -errno
 * Limits   SG_LIMIT_WORDS_MAX in the file; what finds no place there is on the heap
 */
#pragma once

#include "limit/word.h"

struct sg_words;

/* path NULL: in memory. A file that cannot be used: in memory, too, and ret_text says why. *ret_is_new: nothing is in it. */
int sg_words_open(struct sg_words **ret, const char *path, bool *ret_is_new, char ret_text[256]) SG_MUST_CHECK;
struct sg_words *sg_words_close(struct sg_words *ws);
SG_DEFINE_AUTO(struct sg_words *, sg_words_close)

/* NULL: there is none; with is_to_be_made: there is no memory for it. */
struct sg_limit_word *sg_words_find(struct sg_words *ws, uint64_t id, bool is_to_be_made);
/* All of them, in any order: *at is 0 at first. NULL at the end. */
struct sg_limit_word *sg_words_next(const struct sg_words *ws, uint64_t *at);

unsigned sg_words_column(const struct sg_words *ws);
size_t sg_words_count(const struct sg_words *ws);
size_t sg_words_in_memory(const struct sg_words *ws);
/* Room for more, ahead of need. */
void sg_words_grow(struct sg_words *ws);
/* Columns of processes that are no more are emptied. How many there were. */
unsigned sg_words_reclaim(struct sg_words *ws);
