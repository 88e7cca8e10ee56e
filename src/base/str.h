/*
 * base/str.h - borrowed bytes: pointer and length, never owned, not NUL-terminated
 *
 * Owner    whoever owns the bytes; a sg_str is only a view
 * Errors   0 or a positive SG_STR_E_*; parsers accept the whole string or nothing
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/macro.h"

struct sg_str {
        const char *p;
        size_t n;
};

enum sg_str_error {
        SG_STR_E_SYNTAX = 1, /* not of the expected form */
        SG_STR_E_RANGE,      /* of the form, but too large or too small */
};

#define SG_STR(literal) ((struct sg_str){"" literal, sizeof(literal) - 1})
#define SG_STR_NONE     ((struct sg_str){NULL, 0})
#define SG_STR_FMT      "%.*s"
#define SG_STR_ARG(s)   (int)(s).n, (s).p ? (s).p : ""

static inline struct sg_str sg_str_from(const char *cstr)
{
        return (struct sg_str){cstr, cstr ? strlen(cstr) : 0};
}

static inline struct sg_str sg_str_make(const void *p, size_t n)
{
        return (struct sg_str){p, n};
}

static inline bool sg_str_eq(struct sg_str a, struct sg_str b)
{
        return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline struct sg_str sg_str_skip(struct sg_str s, size_t n)
{
        SG_ASSERT(n <= s.n);
        return (struct sg_str){n ? s.p + n : s.p, s.n - n};
}

static inline struct sg_str sg_str_head(struct sg_str s, size_t n)
{
        SG_ASSERT(n <= s.n);
        return (struct sg_str){s.p, n};
}

/* ASCII letters compare equal in either case; other bytes by value. */
bool sg_str_ieq_bytes_(struct sg_str a, struct sg_str b);
static inline bool sg_str_ieq(struct sg_str a, struct sg_str b)
{
        return a.n == b.n && (a.n == 0 || (((a.p[0] ^ b.p[0]) & ~0x20) == 0 && sg_str_ieq_bytes_(a, b)));
}
static inline bool sg_str_starts(struct sg_str s, struct sg_str prefix)
{
        return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}
bool sg_str_istarts(struct sg_str s, struct sg_str prefix);
bool sg_str_ends(struct sg_str s, struct sg_str suffix);
int sg_str_cmp(struct sg_str a, struct sg_str b);

/* Without leading and trailing spaces and tabs. */
struct sg_str sg_str_trim(struct sg_str s);

/* Position of the first byte c or of the first needle, or s.n when there is none. */
size_t sg_str_find_byte(struct sg_str s, char c);
size_t sg_str_find(struct sg_str s, struct sg_str needle);

/* Cuts s at the first sep: *ret_left what stands before; s keeps what follows. False when there is no sep:
 * then *ret_left is all of s and s is empty. */
bool sg_str_cut(struct sg_str *s, char sep, struct sg_str *ret_left);

/* The whole of s as a number. Decimal digits only: no sign, no space, no prefix. */
int sg_str_to_u64(struct sg_str s, uint64_t *ret) SG_MUST_CHECK;
int sg_str_to_hex64(struct sg_str s, uint64_t *ret) SG_MUST_CHECK;

/* `text` matches `pattern`: equal, or the pattern ends in '*' and text starts with what precedes it. */
bool sg_str_matches(struct sg_str pattern, struct sg_str text);

/* Edit distance (insert, delete, replace, swap of neighbours), at most `max`; more gives max + 1. For suggestions:
 * strings longer than SG_NAME_BYTES_MAX count as far apart unless they are equal. */
size_t sg_str_distance(struct sg_str a, struct sg_str b, size_t max);

/* v in decimal digits; the view lies in out. */
#define SG_U64_DIGITS_MAX 20
struct sg_str sg_str_u64(char out[SG_U64_DIGITS_MAX], uint64_t v);
/* v as sixteen lower-case hex digits, without a NUL. */
void sg_str_put_hex64(char out[16], uint64_t v);
/* Copies what there is room for beside the NUL. Returns how many bytes that were. */
size_t sg_str_copy(char *out, size_t out_bytes, struct sg_str s);

/* A NUL-terminated copy on the heap, or NULL without memory; the caller owns it. */
char *sg_str_dup(struct sg_str s) SG_MUST_CHECK;

/* How many bytes at the begin of s are printable ASCII but for the quote and the backslash. */
size_t sg_str_plain(struct sg_str s);
/* Bytes of the UTF-8 character that s begins with: 1 to 4, or 0 when s is empty or does not begin with a valid one. */
size_t sg_str_utf8_first(struct sg_str s);
/* Valid UTF-8 by RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF. */
bool sg_str_is_utf8(struct sg_str s);
