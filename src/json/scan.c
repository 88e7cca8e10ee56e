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

/* The first byte at or after p that is not plain. Never reads past end. */
static const unsigned char *skip_plain(const unsigned char *p, const unsigned char *end)
{
        const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;

#ifdef __SSE2__
        const __m128i space = _mm_set1_epi8(0x20), quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');

        while (end - p >= 16) {
                __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
                /* compared as signed: bytes from 0x80 on are negative and so "less than a space", too */
                __m128i low = _mm_cmplt_epi8(v, space);
                __m128i stop = _mm_or_si128(low, _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)));
                unsigned mask = (unsigned)_mm_movemask_epi8(stop);

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

/* With `at` on what should be its quote. */
static bool scan_string(struct sg_json_scan *s)
{
        if (sg_json_scan_peek(s) != '"')
                return fail(s, "a string expected");
        s->at++;
        s->has_escape = false;
        for (;;) {
                unsigned char c;

                s->at = skip_plain(s->at, s->end);
                if (s->at == s->end)
                        return fail(s, "");
                c = *s->at;
                if (c == '"') {
                        s->at++;
                        return true;
                }
                if (c == '\\') {
                        if (!scan_escape(s))
                                return false;
                } else if (c < 0x20) {
                        return fail(s, "control byte in a string");
                }
                while (s->at < s->end && *s->at >= 0x80) {
                        size_t n = sg_json_utf8_length(s->at, s->end);

                        if (!n)
                                return sg_json_scan_fail(s, SG_JSON_E_UTF8, "bytes that are not UTF-8");
                        s->at += n;
                }
        }
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

static bool scan_scalar(struct sg_json_scan *s)
{
        switch (sg_json_kind_of(sg_json_scan_peek(s))) {
        case SG_JSON_STRING:
                return scan_string(s);
        case SG_JSON_NUMBER:
                return scan_number(s);
        case SG_JSON_TRUE:
                return scan_word(s, SG_STR("true"));
        case SG_JSON_FALSE:
                return scan_word(s, SG_STR("false"));
        case SG_JSON_NULL:
                return scan_word(s, SG_STR("null"));
        default:
                return fail(s, "a value expected");
        }
}

bool sg_json_scan_name(struct sg_json_scan *s, struct sg_str *ret_name)
{
        const unsigned char *from = s->at;

        if (sg_json_scan_peek(s) != '"')
                return fail(s, "a name in quotes expected");
        if (!scan_string(s))
                return false;
        *ret_name = sg_str_make(from, (size_t)(s->at - from));
        sg_json_scan_space(s);
        if (sg_json_scan_peek(s) != ':')
                return fail(s, "a colon expected");
        s->at++;
        sg_json_scan_space(s);
        return true;
}

static inline bool in_object(const struct nest *n)
{
        return n->is_object[(n->depth - 1) / 64] >> ((n->depth - 1) % 64) & 1;
}

/* At '{' or '['. *ret_open says whether a value follows (after its name, in an object); an empty one is closed again.
 */
static bool scan_open(struct sg_json_scan *s, struct nest *n, bool *ret_open)
{
        bool object = *s->at == '{';
        uint64_t bit = UINT64_C(1) << (n->depth % 64);
        struct sg_str name;

        if (n->depth >= SG_JSON_DEPTH_MAX)
                return sg_json_scan_fail(s, SG_JSON_E_DEPTH, "nested too deep");
        s->at++;
        sg_json_scan_space(s);
        *ret_open = sg_json_scan_peek(s) != (object ? '}' : ']');
        if (!*ret_open) {
                s->at++;
                return true;
        }
        if (object)
                n->is_object[n->depth / 64] |= bit;
        else
                n->is_object[n->depth / 64] &= ~bit;
        n->depth++;
        return !object || sg_json_scan_name(s, &name);
}

/* After a value: closes what ends here, down to `floor`. *ret_open says whether another value follows. */
static bool scan_close(struct sg_json_scan *s, struct nest *n, unsigned floor, bool *ret_open)
{
        struct sg_str name;

        while (n->depth > floor) {
                bool object = in_object(n);

                sg_json_scan_space(s);
                if (sg_json_scan_peek(s) == ',') {
                        s->at++;
                        sg_json_scan_space(s);
                        *ret_open = true;
                        return !object || sg_json_scan_name(s, &name);
                }
                if (sg_json_scan_peek(s) != (object ? '}' : ']'))
                        return fail(s, object ? "a comma or a closing brace expected"
                                              : "a comma or a closing bracket expected");
                s->at++;
                n->depth--;
        }
        *ret_open = false;
        return true;
}

bool sg_json_scan_value(struct sg_json_scan *s, unsigned depth)
{
        struct nest n = {.depth = depth};
        bool open = true;

        while (open) {
                unsigned char c = sg_json_scan_peek(s);

                if (c == '{' || c == '[') {
                        if (!scan_open(s, &n, &open))
                                return false;
                        if (open)
                                continue;
                } else if (!scan_scalar(s)) {
                        return false;
                }
                if (!scan_close(s, &n, depth, &open))
                        return false;
        }
        return true;
}
