#include "json/scan.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/limits.h"

_Static_assert(SG_JSON_DEPTH_MAX % 64 == 0, "the stack of kinds is kept in words of 64 bits");

/* One bit per open container: object or array. Nothing else need be remembered, so the stack is two words long and a
 * hostile text cannot make it deeper. */
struct nest {
        uint64_t is_object[SG_JSON_DEPTH_MAX / 64];
        unsigned depth;
};

void sg_json_scan_init(struct sg_json_scan *s, struct sg_str text)
{
        static const unsigned char nothing[1];

        *s = (struct sg_json_scan){.begin = text.p ? (const unsigned char *)text.p : nothing};
        s->at = s->begin;
        s->end = s->begin + text.n;
}

bool sg_json_scan_fail(struct sg_json_scan *s, enum sg_json_error code, const char *what)
{
        s->code = code;
        s->what = what;
        return false;
}

/* A syntax fault; when the text is used up, that is what is wrong. */
static bool fail(struct sg_json_scan *s, const char *what)
{
        return sg_json_scan_fail(s, SG_JSON_E_SYNTAX, s->at < s->end ? what : "the text ends too early");
}

void sg_json_scan_fault(const struct sg_json_scan *s, struct sg_json_fault *fault)
{
        if (fault)
                *fault = (struct sg_json_fault){.code = s->code, .offset = (size_t)(s->at - s->begin), .what = s->what};
}

enum sg_json_kind sg_json_kind_of(unsigned char first)
{
        switch (first) {
        case '{':
                return SG_JSON_OBJECT;
        case '[':
                return SG_JSON_ARRAY;
        case '"':
                return SG_JSON_STRING;
        case 't':
                return SG_JSON_TRUE;
        case 'f':
                return SG_JSON_FALSE;
        case 'n':
                return SG_JSON_NULL;
        default:
                return first == '-' || (first >= '0' && first <= '9') ? SG_JSON_NUMBER : SG_JSON_NONE;
        }
}

/* True for a byte at which a string's run of plain ASCII stops. */
static inline bool is_stop(unsigned char c)
{
        return c < 0x20 || c >= 0x80 || c == '"' || c == '\\';
}

#ifdef __SSE2__
/* Which of the 16 bytes at p are stops. */
static inline __m128i stops(const unsigned char *p)
{
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* compared as signed: bytes from 0x80 on are negative and so "less than a space", too */
        __m128i low = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20));

        return _mm_or_si128(
                low, _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));
}
#endif

/* The first byte at or after p that is not plain. Never reads past end. */
static const unsigned char *skip_plain(const unsigned char *p, const unsigned char *end)
{
        const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;

#ifdef __SSE2__
        for (unsigned i = 0; i < 4 && end - p >= 16; i++, p += 16) { /* most runs end soon */
                unsigned mask = (unsigned)_mm_movemask_epi8(stops(p));

                if (mask)
                        return p + __builtin_ctz(mask);
        }
        while (end - p >= 64) {
                __m128i a = _mm_or_si128(stops(p), stops(p + 16)), b = _mm_or_si128(stops(p + 32), stops(p + 48));

                if (_mm_movemask_epi8(_mm_or_si128(a, b)))
                        break;
                p += 64;
        }
        while (end - p >= 16) {
                unsigned mask = (unsigned)_mm_movemask_epi8(stops(p));

                if (mask)
                        return p + __builtin_ctz(mask);
                p += 16;
        }
#endif
        while (end - p >= 8) {
                uint64_t w, q, b;

                memcpy(&w, p, 8);
                q = w ^ (ones * '"');
                b = w ^ (ones * '\\');
                /* the classic test for a byte below n, or zero; a borrow may report too much, never too little */
                if ((w | ((w - ones * 0x20) & ~w) | ((q - ones) & ~q) | ((b - ones) & ~b)) & tops)
                        break;
                p += 8;
        }
        while (p < end && !is_stop(*p))
                p++;
        return p;
}

static bool is_hex(unsigned char c)
{
        return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static bool scan_escape(struct sg_json_scan *s)
{
        s->has_escape = true;
        s->at++; /* the backslash */
        switch (sg_json_scan_peek(s)) {
        case '"':
        case '\\':
        case '/':
        case 'b':
        case 'f':
        case 'n':
        case 'r':
        case 't':
                s->at++;
                return true;
        case 'u':
                s->at++;
                for (unsigned i = 0; i < 4; i++, s->at++)
                        if (!is_hex(sg_json_scan_peek(s)))
                                return fail(s, "four hex digits expected after \\u");
                return true;
        default:
                return fail(s, "unknown escape in a string");
        }
}

#ifdef __SSE2__
/* Of 64 bytes, a bit each. */
struct text_marks {
        uint64_t backslashes;
        uint64_t others;  /* stops that are no backslash */
        uint64_t letters; /* what may follow a backslash and is no 'u' */
};

static inline __m128i is_byte(__m128i v, char c)
{
        return _mm_cmpeq_epi8(v, _mm_set1_epi8(c));
}

static inline __m128i letters_of(__m128i v)
{
        const __m128i a = _mm_or_si128(_mm_or_si128(is_byte(v, '"'), is_byte(v, '\\')),
                                       _mm_or_si128(is_byte(v, '/'), is_byte(v, 'b')));
        const __m128i b = _mm_or_si128(_mm_or_si128(is_byte(v, 'f'), is_byte(v, 'n')),
                                       _mm_or_si128(is_byte(v, 'r'), is_byte(v, 't')));

        return _mm_or_si128(a, b);
}

static inline struct text_marks marks_of(const unsigned char *p)
{
        struct text_marks m = {0};

        for (unsigned i = 0; i < 64; i += 16) {
                const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
                const __m128i low = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20)); /* and from 0x80 on */

                m.backslashes |= (uint64_t)(unsigned)_mm_movemask_epi8(is_byte(v, '\\')) << i;
                m.others |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_or_si128(low, is_byte(v, '"'))) << i;
                m.letters |= (uint64_t)(unsigned)_mm_movemask_epi8(letters_of(v)) << i;
        }
        return m;
}

/* Text as people write it, plain ASCII and escapes of one letter, 64 bytes at a time and without a branch for each escape:
 * where they stand cannot be guessed. Behind an escape of the same string. Stops at what wants a closer look, and short of the end; never behind a backslash. */
static const unsigned char *skip_text(const unsigned char *p, const unsigned char *end)
{
        uint64_t carried = 0; /* 1: the byte before p is a backslash */

        while (end - p > 64) {
                const struct text_marks m = marks_of(p);
                const uint64_t escaped = m.backslashes << 1 | carried, bad = escaped & ~m.letters;
                const uint64_t stops = (m.others & ~escaped) | bad | (m.backslashes & escaped);

                if (stops) {
                        const unsigned i = (unsigned)__builtin_ctzll(stops);

                        return p + i - (escaped >> i & 1);
                }
                carried = m.backslashes >> 63;
                p += 64;
        }
        return p - carried;
}
#endif

/* Behind the string that goes on at p; NULL when it is at fault. */
static const unsigned char *string_rest(struct sg_json_scan *s, const unsigned char *p)
{
        for (;;) {
                p = s->at = skip_plain(p, s->end);
                if (p == s->end)
                        return fail(s, ""), NULL;
                if (*p == '"')
                        return p + 1;
                if (*p == '\\') {
                        if (!scan_escape(s))
                                return NULL;
                        p = s->at;
#ifdef __SSE2__
                        p = skip_text(p, s->end);
#endif
                } else if (*p < 0x20) {
                        return fail(s, "control byte in a string"), NULL;
                }
                while (p < s->end && *p >= 0x80) {
                        size_t n = sg_json_utf8_length(p, s->end);

                        if (!n) {
                                s->at = p;
                                return sg_json_scan_fail(s, SG_JSON_E_UTF8, "bytes that are not UTF-8"), NULL;
                        }
                        p += n;
                }
        }
}

/* Behind the string whose opening quote stands before p. Most are names and words that end within one vector. */
static inline const unsigned char *string_end(struct sg_json_scan *s, const unsigned char *p)
{
#ifdef __SSE2__
        if (SG_LIKELY(s->end - p >= 16)) {
                unsigned mask = (unsigned)_mm_movemask_epi8(stops(p));

                p += mask ? (size_t)__builtin_ctz(mask) : 16;
                if (SG_LIKELY(mask && *p == '"'))
                        return p + 1;
        }
#endif
        return string_rest(s, p);
}

static bool scan_digits(struct sg_json_scan *s)
{
        const unsigned char *from = s->at;

        while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
                s->at++;
        return s->at > from || fail(s, "a digit expected");
}

static bool scan_number(struct sg_json_scan *s)
{
        if (*s->at == '-')
                s->at++;
        if (sg_json_scan_peek(s) == '0') {
                s->at++;
                if (sg_json_scan_peek(s) >= '0' && sg_json_scan_peek(s) <= '9')
                        return fail(s, "a number begins with a needless zero");
        } else if (!scan_digits(s)) {
                return false;
        }
        if (sg_json_scan_peek(s) == '.') {
                s->at++;
                if (!scan_digits(s))
                        return false;
        }
        if ((sg_json_scan_peek(s) | 0x20) == 'e') {
                s->at++;
                if (sg_json_scan_peek(s) == '+' || sg_json_scan_peek(s) == '-')
                        s->at++;
                if (!scan_digits(s))
                        return false;
        }
        return true;
}

static bool scan_word(struct sg_json_scan *s, struct sg_str word)
{
        for (size_t i = 0; i < word.n; i++, s->at++)
                if (sg_json_scan_peek(s) != (unsigned char)word.p[i])
                        return fail(s, "neither true, false nor null");
        return true;
}

/* Behind the white space at p. */
static inline const unsigned char *space_end(const unsigned char *p, const unsigned char *end)
{
        while (p < end && *p <= ' ' && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
                p++;
        return p;
}

static inline unsigned char peek(const unsigned char *p, const unsigned char *end)
{
        return p < end ? *p : 0;
}

/* With p where a member's name should begin: on its value. */
static inline const unsigned char *name_end(struct sg_json_scan *s, const unsigned char *p)
{
        const unsigned char *end = s->end;

        if (peek(p, end) != '"') {
                s->at = p;
                return fail(s, "a name in quotes expected"), NULL;
        }
        p = string_end(s, p + 1);
        if (!p)
                return NULL;
        p = space_end(p, end);
        if (peek(p, end) != ':') {
                s->at = p;
                return fail(s, "a colon expected"), NULL;
        }
        return space_end(p + 1, end);
}

bool sg_json_scan_name(struct sg_json_scan *s, struct sg_str *ret_name)
{
        const unsigned char *from = s->at, *p;

        s->has_escape = false;
        if (sg_json_scan_peek(s) != '"')
                return fail(s, "a name in quotes expected");
        p = string_end(s, from + 1);
        if (!p)
                return false;
        *ret_name = sg_str_make(from, (size_t)(p - from));
        s->at = p = space_end(p, s->end);
        if (peek(p, s->end) != ':')
                return fail(s, "a colon expected");
        s->at = space_end(p + 1, s->end);
        return true;
}

/* Anything that is no container, at p. */
static inline const unsigned char *scalar_end(struct sg_json_scan *s, const unsigned char *p)
{
        unsigned char c = peek(p, s->end);
        bool ok;

        if (c == '"')
                return string_end(s, p + 1);
        s->at = p;
        if (c == 't')
                ok = scan_word(s, SG_STR("true"));
        else if (c == 'f')
                ok = scan_word(s, SG_STR("false"));
        else if (c == 'n')
                ok = scan_word(s, SG_STR("null"));
        else if (c == '-' || (c >= '0' && c <= '9'))
                ok = scan_number(s);
        else
                ok = fail(s, "a value expected");
        return ok ? s->at : NULL;
}

static inline bool in_object(const struct nest *n)
{
        return n->is_object[(n->depth - 1) / 64] >> ((n->depth - 1) % 64) & 1;
}

/* At '{' or '['. *ret_open says whether a value follows (after its name, in an object); an empty one is closed again.
 */
static inline const unsigned char *open_end(struct sg_json_scan *s, const unsigned char *p, struct nest *n,
                                            bool *ret_open)
{
        bool object = *p == '{';
        uint64_t bit = UINT64_C(1) << (n->depth % 64);

        if (n->depth >= SG_JSON_DEPTH_MAX) {
                s->at = p;
                return sg_json_scan_fail(s, SG_JSON_E_DEPTH, "nested too deep"), NULL;
        }
        p = space_end(p + 1, s->end);
        *ret_open = peek(p, s->end) != (object ? '}' : ']');
        if (!*ret_open)
                return p + 1;
        if (object)
                n->is_object[n->depth / 64] |= bit;
        else
                n->is_object[n->depth / 64] &= ~bit;
        n->depth++;
        return object ? name_end(s, p) : p;
}

/* After a value: closes what ends here, down to `floor`. *ret_open says whether another value follows. */
static inline const unsigned char *close_end(struct sg_json_scan *s, const unsigned char *p, struct nest *n,
                                             unsigned floor, bool *ret_open)
{
        while (n->depth > floor) {
                bool object = in_object(n);
                unsigned char c;

                p = space_end(p, s->end);
                c = peek(p, s->end);
                if (c == ',') {
                        p = space_end(p + 1, s->end);
                        *ret_open = true;
                        return object ? name_end(s, p) : p;
                }
                if (c != (object ? '}' : ']')) {
                        s->at = p;
                        (void)fail(s, object ? "a comma or a closing brace expected"
                                             : "a comma or a closing bracket expected");
                        return NULL;
                }
                p++;
                n->depth--;
        }
        *ret_open = false;
        return p;
}

bool sg_json_scan_scalar(struct sg_json_scan *s)
{
        const unsigned char *p = scalar_end(s, s->at);

        if (p)
                s->at = p;
        return p;
}

bool sg_json_scan_container(struct sg_json_scan *s, unsigned depth)
{
        const unsigned char *p = s->at;
        struct nest n = {.depth = depth};
        bool open = true;

        while (open && p) {
                unsigned char c = peek(p, s->end);

                if (c == '{' || c == '[') {
                        p = open_end(s, p, &n, &open);
                        if (open)
                                continue;
                } else {
                        p = scalar_end(s, p);
                }
                if (p && n.depth > depth)
                        p = close_end(s, p, &n, depth, &open);
                else
                        open = false;
        }
        if (p)
                s->at = p;
        return p;
}
