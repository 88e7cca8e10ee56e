/* Walking what was validated before: nothing is proved again, a value is skipped by its quotes and brackets alone. What
 * the bytes are decides only what is found, never where is read: each step asks for the end of the text first. */
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "json/scan.h"

#define BLOCK 64u /* bytes, a bit each */

/* Of 64 bytes, which of them are these. */
struct marks {
        uint64_t quotes, backslashes, opening, closing;
};

#ifdef __SSE2__
static inline uint64_t bits_of(__m128i is_hit, unsigned at)
{
        return (uint64_t)(unsigned)_mm_movemask_epi8(is_hit) << at;
}

static inline struct marks marks_of(const unsigned char p[BLOCK])
{
        struct marks m = {0};

        for (unsigned i = 0; i < BLOCK; i += 16) {
                const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
                const __m128i brace = _mm_or_si128(v, _mm_set1_epi8(0x20)); /* of a bracket makes a brace */

                m.quotes |= bits_of(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), i);
                m.backslashes |= bits_of(_mm_cmpeq_epi8(v, _mm_set1_epi8('\\')), i);
                m.opening |= bits_of(_mm_cmpeq_epi8(brace, _mm_set1_epi8('{')), i);
                m.closing |= bits_of(_mm_cmpeq_epi8(brace, _mm_set1_epi8('}')), i);
        }
        return m;
}
#else
static inline struct marks marks_of(const unsigned char p[BLOCK])
{
        struct marks m = {0};

        for (unsigned i = 0; i < BLOCK; i++) {
                m.quotes |= (uint64_t)(p[i] == '"') << i;
                m.backslashes |= (uint64_t)(p[i] == '\\') << i;
                m.opening |= (uint64_t)((p[i] | 0x20) == '{') << i;
                m.closing |= (uint64_t)((p[i] | 0x20) == '}') << i;
        }
        return m;
}
#endif

/* The bytes that a backslash stands before, which is not such a byte itself. *carry: 1 when the first is one; then the
 * same of the next block. */
static inline uint64_t escaped_of(uint64_t backslashes, uint64_t *carry)
{
        uint64_t escaped = *carry;

        backslashes &= ~escaped;
        *carry = 0;
        while (backslashes) {
                const uint64_t first = backslashes & -backslashes;

                escaped |= first << 1;
                *carry = first >> 63;
                backslashes &= ~(first | first << 1);
        }
        return escaped;
}

/* From each quote up to the next, without that: whether the number of quotes so far is odd. */
static inline uint64_t between(uint64_t quotes)
{
        for (unsigned i = 1; i < BLOCK; i <<= 1)
                quotes ^= quotes << i;
        return quotes;
}

/* Behind the string of which p is within and no escaped byte; NULL when it does not end. A quote ends it unless an odd
 * number of backslashes stands before it, of which none is looked at for a second quote. */
static const unsigned char *rest_of_string(const unsigned char *p, const unsigned char *end)
{
        const unsigned char *quote = p;

        while (quote < end && (quote = memchr(quote, '"', (size_t)(end - quote)))) {
                const unsigned char *run = quote;

                while (run > p && run[-1] == '\\')
                        run--;
                if ((quote - run) % 2 == 0)
                        return quote + 1;
                p = ++quote;
        }
        return NULL;
}

/* Behind the string whose opening quote stands before p. Most are names and words that end within one vector. */
static inline const unsigned char *string_end(const unsigned char *p, const unsigned char *end)
{
#ifdef __SSE2__
        if (SG_LIKELY(end - p >= 16)) {
                const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
                const unsigned quotes = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')));
                const unsigned slashes = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
                const unsigned first = quotes & -quotes;

                if (SG_LIKELY(quotes && !(slashes & (first - 1))))
                        return p + __builtin_ctz(quotes) + 1;
        }
#endif
        return rest_of_string(p, end);
}

/* At '{' or '[': behind the bracket that closes it, of whichever kind; NULL when there is none. Not inlined: most values
 * are short strings, and would pay for its registers and its block on the stack. */
__attribute__((__noinline__)) static const unsigned char *container_end(const unsigned char *p,
                                                                        const unsigned char *end)
{
        uint64_t in_string = 0, carry = 0; /* of the last block's end; the first is all ones or none */
        size_t depth = 0;

        while (p < end) {
                unsigned char last[BLOCK] = {0};
                const bool is_whole = (size_t)(end - p) >= BLOCK;
                const struct marks m = marks_of(is_whole ? p : memcpy(last, p, (size_t)(end - p)));
                const uint64_t inside = between(m.quotes & ~escaped_of(m.backslashes, &carry)) ^ in_string;
                uint64_t brackets = (m.opening | m.closing) & ~inside;

                for (; brackets; brackets &= brackets - 1) {
                        const unsigned i = (unsigned)__builtin_ctzll(brackets);

                        depth += m.closing >> i & 1 ? SIZE_MAX : 1;
                        if (depth == 0)
                                return p + i + 1;
                }
                if (!is_whole)
                        break;
                p += BLOCK;
                in_string = inside >> 63 ? UINT64_MAX : 0;
                if (inside == UINT64_MAX) { /* a long string: its end is found faster without the rest */
                        p = (size_t)(end - p) >= carry ? rest_of_string(p + carry, end) : NULL;
                        if (!p)
                                break;
                        in_string = carry = 0;
                }
        }
        return NULL;
}

static inline bool is_space(unsigned char c)
{
        return c <= ' ' && (c == ' ' || c == '\n' || c == '\r' || c == '\t');
}

static inline const unsigned char *space_end(const unsigned char *p, const unsigned char *end)
{
        while (p < end && is_space(*p))
                p++;
        return p;
}

static inline unsigned char peek(const unsigned char *p, const unsigned char *end)
{
        return p < end ? *p : 0;
}

/* Behind the value of that kind; NULL when it does not end or there is none. */
static inline const unsigned char *value_end(enum sg_json_kind kind, const unsigned char *p, const unsigned char *end)
{
        if (kind == SG_JSON_STRING)
                return string_end(p + 1, end);
        if (kind == SG_JSON_OBJECT || kind == SG_JSON_ARRAY)
                return container_end(p, end);
        if (kind == SG_JSON_NONE)
                return NULL;
        while (p < end && !is_space(*p) && *p != ',' && *p != ']' && *p != '}')
                p++;
        return p;
}

/* With p where a member's name should begin: on its value, or NULL. */
static inline const unsigned char *name_end(const unsigned char *p, const unsigned char *end, struct sg_str *ret_name)
{
        const unsigned char *from = p + 1;

        if (peek(p, end) != '"')
                return NULL;
        p = string_end(from, end);
        if (!p)
                return NULL;
        *ret_name = sg_str_make(from, (size_t)(p - from) - 1);
        p = space_end(p, end);
        return peek(p, end) == ':' ? space_end(p + 1, end) : NULL;
}

bool sg_json_each(struct sg_json_value in, size_t *at, struct sg_str *ret_name, struct sg_json_value *ret_value)
{
        const unsigned char *p = (const unsigned char *)in.text.p, *value, *end;
        const bool is_object = in.kind == SG_JSON_OBJECT;
        struct sg_str name = SG_STR_NONE;
        enum sg_json_kind kind;

        if ((!is_object && in.kind != SG_JSON_ARRAY) || *at >= in.text.n)
                return false;
        end = p + in.text.n;
        p = space_end(p + (*at ? *at : 1), end);
        if (*at) {
                if (peek(p, end) != ',')
                        return false;
                p = space_end(p + 1, end);
        }
        if (is_object && !(p = name_end(p, end, &name)))
                return false;
        value = p;
        kind = sg_json_kind_of(peek(p, end));
        p = value_end(kind, p, end);
        if (!p)
                return false;
        *at = in.text.n - (size_t)(end - p);
        if (ret_name)
                *ret_name = name;
        *ret_value = (struct sg_json_value){kind, sg_str_make(value, (size_t)(p - value))};
        return true;
}

struct sg_json_value sg_json_get(struct sg_json_value in, struct sg_str name)
{
        struct sg_json_value v;
        struct sg_str found;
        size_t at = 0;

        if (in.kind != SG_JSON_OBJECT)
                return (struct sg_json_value){0};
        while (sg_json_each(in, &at, &found, &v)) {
                struct sg_json_value quoted = {SG_JSON_STRING, sg_str_make(found.p - 1, found.n + 2)};

                if (sg_json_text_is(quoted, name))
                        return v;
        }
        return (struct sg_json_value){0};
}

static struct sg_json_value element(struct sg_json_value array, struct sg_str index)
{
        struct sg_json_value v;
        uint64_t left;
        size_t at = 0;

        if (sg_str_to_u64(index, &left))
                return (struct sg_json_value){0};
        while (sg_json_each(array, &at, NULL, &v))
                if (left-- == 0)
                        return v;
        return (struct sg_json_value){0};
}

struct sg_json_value sg_json_path(struct sg_json_value in, struct sg_str path)
{
        struct sg_str step;

        while (path.n > 0 && in.kind != SG_JSON_NONE) {
                (void)sg_str_cut(&path, '.', &step);
                in = in.kind == SG_JSON_ARRAY ? element(in, step) : sg_json_get(in, step);
        }
        return in;
}
