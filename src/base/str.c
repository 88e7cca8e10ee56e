#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/limits.h"
#include "base/str.h"

static unsigned char lower(char c)
{
        return c >= 'A' && c <= 'Z' ? (unsigned char)(c + ('a' - 'A')) : (unsigned char)c;
}

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static bool ieq_each(const char *a, const char *b, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (a[i] != b[i] && lower(a[i]) != lower(b[i]))
                        return false;
        return true;
}

/* The same of eight bytes. Where they differ, it must be in the bit of case alone, and the byte a letter: none of the
 * sums carries into the next byte. */
static bool ieq_eight(const char *a, const char *b)
{
        const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7, cases = ones << 5;
        uint64_t x, y, low, letters;

        memcpy(&x, a, 8);
        memcpy(&y, b, 8);
        y ^= x;
        if (y == 0)
                return true;
        low = (x | cases) & ~tops;
        letters = (low + ones * (0x80 - 'a')) & ~(low + ones * (0x7f - 'z')) & ~x & tops;
        return (y & ~cases) == 0 && ((y << 2) & ~letters) == 0;
}

bool sg_str_ieq_bytes_(struct sg_str a, struct sg_str b)
{
        size_t i = 0;

        if (a.n < 8)
                return ieq_each(a.p, b.p, a.n);
        for (; a.n - i >= 8; i += 8)
                if (!ieq_eight(a.p + i, b.p + i))
                        return false;
        return ieq_eight(a.p + a.n - 8, b.p + a.n - 8); /* the last ones, some of them again */
}

bool sg_str_istarts(struct sg_str s, struct sg_str prefix)
{
        return s.n >= prefix.n && sg_str_ieq(sg_str_head(s, prefix.n), prefix);
}

bool sg_str_ends(struct sg_str s, struct sg_str suffix)
{
        return s.n >= suffix.n && sg_str_eq(sg_str_skip(s, s.n - suffix.n), suffix);
}

int sg_str_cmp(struct sg_str a, struct sg_str b)
{
        size_t n = SG_MIN(a.n, b.n);
        int r = n ? memcmp(a.p, b.p, n) : 0;

        if (r)
                return r < 0 ? -1 : 1;
        return a.n == b.n ? 0 : a.n < b.n ? -1 : 1;
}

struct sg_str sg_str_trim(struct sg_str s)
{
        while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
                s = sg_str_skip(s, 1);
        while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
                s.n--;
        return s;
}

size_t sg_str_find_byte(struct sg_str s, char c)
{
        const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

        return at ? (size_t)(at - s.p) : s.n;
}

size_t sg_str_find(struct sg_str s, struct sg_str needle)
{
        const char *at;

        if (needle.n == 0)
                return 0;
        at = s.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
        return at ? (size_t)(at - s.p) : s.n;
}

bool sg_str_cut(struct sg_str *s, char sep, struct sg_str *ret_left)
{
        size_t at = sg_str_find_byte(*s, sep);
        bool found = at < s->n;

        *ret_left = sg_str_head(*s, at);
        *s = sg_str_skip(*s, found ? at + 1 : at);
        return found;
}

int sg_str_to_u64(struct sg_str s, uint64_t *ret)
{
        uint64_t v = 0;
        bool over = false;

        if (s.n == 0)
                return SG_STR_E_SYNTAX;
        for (size_t i = 0; i < s.n; i++) {
                if (!is_digit(s.p[i]))
                        return SG_STR_E_SYNTAX;
                over |= __builtin_mul_overflow(v, UINT64_C(10), &v);
                over |= __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v);
        }
        if (over)
                return SG_STR_E_RANGE;
        *ret = v;
        return 0;
}

int sg_str_to_hex64(struct sg_str s, uint64_t *ret)
{
        uint64_t v = 0;
        bool over = false;

        if (s.n == 0)
                return SG_STR_E_SYNTAX;
        for (size_t i = 0; i < s.n; i++) {
                unsigned char c = lower(s.p[i]);

                if (!is_digit((char)c) && !(c >= 'a' && c <= 'f'))
                        return SG_STR_E_SYNTAX;
                over |= v >> 60 != 0;
                v = v << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
        }
        if (over)
                return SG_STR_E_RANGE;
        *ret = v;
        return 0;
}

bool sg_str_matches(struct sg_str pattern, struct sg_str text)
{
        if (pattern.n && pattern.p[pattern.n - 1] == '*')
                return sg_str_starts(text, sg_str_head(pattern, pattern.n - 1));
        return sg_str_eq(pattern, text);
}

/* Optimal string alignment: three rows of the matrix of prefixes are enough for swaps of neighbours. */
size_t sg_str_distance(struct sg_str a, struct sg_str b, size_t max)
{
        size_t rows[3][SG_NAME_BYTES_MAX + 1];
        size_t *before = rows[0], *last = rows[1], *now = rows[2];

        if (sg_str_eq(a, b))
                return 0;
        if (a.n > SG_NAME_BYTES_MAX || b.n > SG_NAME_BYTES_MAX || SG_MAX(a.n, b.n) - SG_MIN(a.n, b.n) > max)
                return max + 1;
        for (size_t j = 0; j <= b.n; j++)
                last[j] = j;
        for (size_t i = 1; i <= a.n; i++) {
                size_t *spare = before;

                now[0] = i;
                for (size_t j = 1; j <= b.n; j++) {
                        size_t replaced = last[j - 1] + (a.p[i - 1] != b.p[j - 1]);

                        now[j] = SG_MIN(SG_MIN(last[j], now[j - 1]) + 1, replaced);
                        if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
                                now[j] = SG_MIN(now[j], before[j - 2] + 1);
                }
                before = last;
                last = now;
                now = spare;
        }
        return SG_MIN(last[b.n], max + 1);
}

char *sg_str_dup(struct sg_str s)
{
        char *copy = malloc(s.n + 1);

        if (!copy)
                return NULL;
        if (s.n)
                memcpy(copy, s.p, s.n);
        copy[s.n] = '\0';
        return copy;
}

struct sg_str sg_str_u64(char out[SG_U64_DIGITS_MAX], uint64_t v)
{
        size_t at = SG_U64_DIGITS_MAX;

        do
                out[--at] = (char)('0' + v % 10);
        while (v /= 10);
        return sg_str_make(out + at, SG_U64_DIGITS_MAX - at);
}

void sg_str_put_hex64(char out[16], uint64_t v)
{
        static const char digits[] = "0123456789abcdef";

        for (size_t i = 16; i-- > 0; v >>= 4)
                out[i] = digits[v & 15];
}

size_t sg_str_copy(char *out, size_t out_bytes, struct sg_str s)
{
        size_t n = SG_MIN(s.n, out_bytes - 1);

        SG_ASSERT(out_bytes > 0);
        if (n)
                memcpy(out, s.p, n);
        out[n] = '\0';
        return n;
}

size_t sg_str_plain(struct sg_str s)
{
        size_t at = 0;

#ifdef __SSE2__
        while (s.n - at >= 16) {
                __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(s.p + at));
                /* compared as signed: what is not ASCII is below the space, too */
                __m128i stop =
                        _mm_or_si128(_mm_cmplt_epi8(v, _mm_set1_epi8(' ')), _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
                unsigned mask;

                stop = _mm_or_si128(stop, _mm_cmpeq_epi8(v, _mm_set1_epi8('"')));
                stop = _mm_or_si128(stop, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
                mask = (unsigned)_mm_movemask_epi8(stop);
                if (mask)
                        return at + (size_t)__builtin_ctz(mask);
                at += 16;
        }
#endif
        while (at < s.n && (signed char)s.p[at] >= ' ' && s.p[at] != 0x7f && s.p[at] != '"' && s.p[at] != '\\')
                at++;
        return at;
}

/* RFC 3629 section 4: the second byte's range excludes overlong forms, surrogates and what is above U+10FFFF. */
size_t sg_str_utf8_first(struct sg_str s)
{
        const unsigned char *p = (const unsigned char *)s.p;
        unsigned char low = 0x80, high = 0xbf;
        size_t n;

        if (s.n == 0)
                return 0;
        if (p[0] < 0x80)
                return 1;
        if (p[0] >= 0xc2 && p[0] <= 0xdf) {
                n = 2;
        } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
                n = 3;
                low = p[0] == 0xe0 ? 0xa0 : 0x80;
                high = p[0] == 0xed ? 0x9f : 0xbf;
        } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
                n = 4;
                low = p[0] == 0xf0 ? 0x90 : 0x80;
                high = p[0] == 0xf4 ? 0x8f : 0xbf;
        } else {
                return 0;
        }
        if (s.n < n || p[1] < low || p[1] > high)
                return 0;
        for (size_t i = 2; i < n; i++)
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
        return n;
}

bool sg_str_is_utf8(struct sg_str s)
{
        while (s.n) {
                uint64_t eight;
                size_t n;

                if (s.n >= sizeof(eight)) {
                        memcpy(&eight, s.p, sizeof(eight));
                        if (!(eight & UINT64_C(0x8080808080808080))) {
                                s = sg_str_skip(s, sizeof(eight));
                                continue;
                        }
                }
                n = sg_str_utf8_first(s);
                if (n == 0)
                        return false;
                s = sg_str_skip(s, n);
        }
        return true;
}
