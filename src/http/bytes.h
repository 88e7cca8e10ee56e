/*
 * http/bytes.h - classes of bytes and how far a run of them goes; private to the room
 *
 * Shape    a table of 256 bytes for short runs; 16 bytes a step, where SSE2 is there, for the long ones
 * Source   RFC 9110 section 5.6.2 (token), 5.5 (field value); RFC 3986 section 2 and 3.2.2 (target, host)
 */
#pragma once

#include <stdint.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/str.h"

enum http_class {
        HTTP_TOKEN = 1 << 0,
        HTTP_VALUE = 1 << 1,  /* visible, space, tab, and what is not ASCII */
        HTTP_TARGET = 1 << 2, /* visible ASCII but '#' (a fragment is never sent) and '\\' (which some take for '/') */
        HTTP_HOST = 1 << 3,   /* of a registered name, without '%' */
        HTTP_QUOTED = 1 << 4, /* inside a quoted string, as it is */
        HTTP_DIGIT = 1 << 5,
        HTTP_HEX = 1 << 6,
};

extern const uint8_t http_classes[256];

static inline bool http_is(char c, enum http_class of)
{
        return http_classes[(unsigned char)c] & of;
}

/* The first position at or after `at` whose byte is not of the class, or s.n. */
static inline size_t http_span(struct sg_str s, size_t at, enum http_class of)
{
        while (at < s.n && http_is(s.p[at], of))
                at++;
        return at;
}

#if defined(__SSE2__)
/* A loop over whole vectors: runs `mask`, whose bits tell the bytes that end the run. The tail is the table's. */
#define HTTP_VECTORS(s, at, v, mask)                                                                                   \
        while ((s).n - (at) >= 16) {                                                                                   \
                const __m128i v = _mm_loadu_si128((const void *)((s).p + (at)));                                       \
                const unsigned found = (unsigned)_mm_movemask_epi8(mask);                                              \
                if (found)                                                                                             \
                        return (at) + (size_t)__builtin_ctz(found);                                                    \
                (at) += 16;                                                                                            \
        }
#define HTTP_EACH(byte)     _mm_set1_epi8((char)(byte))
#define HTTP_IS(v, byte)    _mm_cmpeq_epi8(v, HTTP_EACH(byte))
#define HTTP_UP_TO(v, byte) _mm_cmpeq_epi8(_mm_min_epu8(v, HTTP_EACH(byte)), v)
#else
#define HTTP_VECTORS(s, at, v, mask)
#endif

/* Names are letters and hyphens, up to a byte that the table judges. */
static inline size_t http_token_end(struct sg_str s, size_t at)
{
#if defined(__SSE2__)
        if (s.n - at >= 16) {
                const __m128i v = _mm_loadu_si128((const void *)(s.p + at));
                const __m128i place = _mm_sub_epi8(_mm_or_si128(v, HTTP_EACH(0x20)), HTTP_EACH('a'));
                const __m128i plain = _mm_or_si128(HTTP_UP_TO(place, 25), HTTP_IS(v, '-'));

                at += (size_t)__builtin_ctz(~(unsigned)_mm_movemask_epi8(plain)); /* bits 16 to 31 are set */
        }
#endif
        return http_span(s, at, HTTP_TOKEN);
}

static inline size_t http_value_end(struct sg_str s, size_t at)
{
        HTTP_VECTORS(s, at, v, _mm_or_si128(_mm_andnot_si128(HTTP_IS(v, '\t'), HTTP_UP_TO(v, 0x1f)), HTTP_IS(v, 0x7f)))
        return http_span(s, at, HTTP_VALUE);
}

static inline size_t http_target_end(struct sg_str s, size_t at)
{
        /* The comparison is signed: what is not ASCII is below the space, too. */
        HTTP_VECTORS(s, at, v,
                     _mm_or_si128(_mm_or_si128(_mm_cmplt_epi8(v, HTTP_EACH('!')), HTTP_IS(v, 0x7f)),
                                  _mm_or_si128(HTTP_IS(v, '#'), HTTP_IS(v, '\\'))))
        return http_span(s, at, HTTP_TARGET);
}

/* The first CR or LF. */
static inline size_t http_line_end(struct sg_str s, size_t at)
{
        HTTP_VECTORS(s, at, v, _mm_or_si128(HTTP_IS(v, '\n'), HTTP_IS(v, '\r')))
        while (at < s.n && s.p[at] != '\n' && s.p[at] != '\r')
                at++;
        return at;
}
