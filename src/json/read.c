/* Decoding of what was validated before. Of other bytes it makes nonsense, and reads none outside of the text. */
#include "json/scan.h"

static unsigned hex4(const char *p)
{
        unsigned v = 0;

        for (unsigned i = 0; i < 4; i++) {
                unsigned c = (unsigned char)p[i];

                v = v << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
        }
        return v;
}

static size_t put_utf8(char out[4], unsigned c)
{
        if (c < 0x80) {
                out[0] = (char)c;
                return 1;
        }
        if (c < 0x800) {
                out[0] = (char)(0xc0 | c >> 6);
                out[1] = (char)(0x80 | (c & 0x3f));
                return 2;
        }
        if (c < 0x10000) {
                out[0] = (char)(0xe0 | c >> 12);
                out[1] = (char)(0x80 | (c >> 6 & 0x3f));
                out[2] = (char)(0x80 | (c & 0x3f));
                return 3;
        }
        out[0] = (char)(0xf0 | c >> 18);
        out[1] = (char)(0x80 | (c >> 12 & 0x3f));
        out[2] = (char)(0x80 | (c >> 6 & 0x3f));
        out[3] = (char)(0x80 | (c & 0x3f));
        return 4;
}

static size_t decode_u(const char **p, const char *end, char out[4])
{
        unsigned c;

        if (end - *p < 6)
                return *p = end, put_utf8(out, 0xfffd);
        c = hex4(*p + 2);
        *p += 6;
        if (c >= 0xd800 && c < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
                unsigned low = hex4(*p + 2);

                if (low >= 0xdc00 && low < 0xe000) {
                        *p += 6;
                        return put_utf8(out, 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00));
                }
        }
        return put_utf8(out, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
}

/* One character, plain or escaped: its bytes to out, *p behind it. */
static size_t decode_char(const char **p, const char *end, char out[4])
{
        static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
        const char *hit;

        if (**p != '\\') {
                size_t n = (unsigned char)**p < 0x80
                                   ? 1
                                   : sg_json_utf8_length((const unsigned char *)*p, (const unsigned char *)end);

                n = n ? n : 1;
                memcpy(out, *p, n);
                *p += n;
                return n;
        }
        if (end - *p < 2)
                return *p = end, (size_t)0;
        if ((*p)[1] == 'u')
                return decode_u(p, end, out);
        hit = memchr(from, (*p)[1], sizeof(from) - 1);
        out[0] = hit ? to[hit - from] : (*p)[1];
        *p += 2;
        return 1;
}

/* What stands between the quotes; empty when v is no string. */
static struct sg_str content(struct sg_json_value v)
{
        if (v.kind != SG_JSON_STRING || v.text.n < 2)
                return SG_STR("");
        return sg_str_make(v.text.p + 1, v.text.n - 2);
}

bool sg_json_plain(struct sg_json_value string, struct sg_str *ret)
{
        struct sg_str s = content(string);

        if (string.kind != SG_JSON_STRING || memchr(s.p, '\\', s.n))
                return false;
        *ret = s;
        return true;
}

bool sg_json_decoded_is(struct sg_json_value string, struct sg_str name)
{
        struct sg_str s = content(string);
        const char *p = s.p, *end = s.p + s.n;
        size_t i = 0;

        /* an escape is longer than what it stands for, and up to six times as long */
        if (s.n == name.n)
                return sg_str_eq(s, name) && (s.n == 0 || !memchr(s.p, '\\', s.n));
        if (s.n < name.n || s.n > 6 * name.n || !memchr(s.p, '\\', s.n))
                return false;
        while (p < end) {
                char c[4];
                size_t n = decode_char(&p, end, c);

                if (name.n - i < n || memcmp(name.p + i, c, n) != 0)
                        return false;
                i += n;
        }
        return i == name.n;
}

bool sg_json_copy(struct sg_json_value string, char *out, size_t out_bytes, size_t *ret_n)
{
        struct sg_str s = content(string);
        const char *p = s.p, *end = s.p + s.n;
        bool whole = true;
        size_t i = 0;

        SG_ASSERT(out_bytes > 0);
        while (p < end && whole) {
                char c[4];
                size_t n = decode_char(&p, end, c);

                whole = out_bytes - 1 - i >= n;
                if (whole) {
                        memcpy(out + i, c, n);
                        i += n;
                }
        }
        out[i] = '\0';
        if (ret_n)
                *ret_n = i;
        return whole;
}

/* Decodes to out, or only counts when out is NULL. */
static size_t decode(struct sg_str s, char *out)
{
        const char *p = s.p, *end = s.p + s.n;
        size_t n = 0;

        while (p < end) {
                const char *slash = memchr(p, '\\', (size_t)(end - p));
                size_t plain = (size_t)((slash ? slash : end) - p);
                char c[4];
                size_t n_c;

                if (out && plain)
                        memcpy(out + n, p, plain);
                n += plain;
                p += plain;
                if (p == end)
                        break;
                n_c = decode_char(&p, end, c);
                if (out)
                        memcpy(out + n, c, n_c);
                n += n_c;
        }
        return n;
}

int sg_json_add_decoded(struct sg_buf *b, struct sg_json_value string)
{
        struct sg_str s = content(string);
        size_t n = decode(s, NULL); /* counted first: the maximum of *b is about decoded bytes */
        char *out;
        int r;

        if (n == 0)
                return 0;
        r = sg_buf_reserve(b, n, &out);
        if (r)
                return r;
        sg_buf_added(b, decode(s, out));
        return 0;
}

bool sg_json_is_true(struct sg_json_value v)
{
        return v.kind == SG_JSON_TRUE;
}

/* Digits before and after the point as one whole number times ten to some power; trailing zeros wait until a digit
 * follows them, so that 12.000 and 1200e-2 stay whole. */
struct decimal {
        uint64_t mantissa;
        uint64_t zeros; /* held back */
        int64_t power;  /* of ten, for mantissa without the zeros */
};

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static bool decimal_scale(uint64_t *v, uint64_t powers)
{
        while (*v && powers-- > 0)
                if (__builtin_mul_overflow(*v, 10, v))
                        return false;
        return true;
}

static bool decimal_digit(struct decimal *d, unsigned digit, bool fraction)
{
        if (fraction)
                d->power--;
        d->zeros++;
        if (digit == 0)
                return true;
        if (!decimal_scale(&d->mantissa, d->zeros) || __builtin_add_overflow(d->mantissa, digit, &d->mantissa))
                return false;
        d->zeros = 0;
        return true;
}

bool sg_json_u64(struct sg_json_value v, uint64_t *ret)
{
        bool minus, fraction = false, down = false;
        struct decimal d = {0};
        const char *p, *end;
        int64_t e = 0;

        if (v.kind != SG_JSON_NUMBER) /* an absent value has no text to add to */
                return false;
        p = v.text.p;
        end = p + v.text.n;
        minus = p < end && *p == '-';
        for (p += minus; p < end && (*p | 0x20) != 'e'; p++) {
                if (*p == '.')
                        fraction = true;
                else if (!is_digit(*p) || !decimal_digit(&d, (unsigned)(*p - '0'), fraction))
                        return false;
        }
        if (d.mantissa == 0) { /* zero, whatever the exponent; -0 is zero */
                *ret = 0;
                return true;
        }
        for (p += p < end; p < end; p++) {
                if (*p == '-')
                        down = true;
                else if (is_digit(*p) && e < INT32_MAX)
                        e = e * 10 + (*p - '0');
        }
        e = d.power + (int64_t)d.zeros + (down ? -e : e);
        if (minus || e < 0 || !decimal_scale(&d.mantissa, (uint64_t)e))
                return false;
        *ret = d.mantissa;
        return true;
}
