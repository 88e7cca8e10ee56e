#include "varlink/strict.h"

#include <errno.h>

#include "base/buf.h"
#include "base/limits.h"

#define ESCAPED_BYTES_MAX (6u * SG_VARLINK_BYTES_MAX) /* "\u00e9" for two bytes is the worst */

static size_t ascii_length(struct sg_str s)
{
        size_t n = 0;

        while (n < s.n && !(s.p[n] & 0x80))
                n++;
        return n;
}

static uint32_t code_point(struct sg_str s, size_t n)
{
        static const unsigned char first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
        uint32_t c = (unsigned char)s.p[0] & first_bits[n];

        for (size_t i = 1; i < n; i++)
                c = c << 6 | ((unsigned char)s.p[i] & 0x3f);
        return c;
}

static int add_escape(struct sg_buf *b, uint32_t c)
{
        if (c < 0x10000)
                return sg_buf_printf(b, "\\u%04x", (unsigned)c);
        c -= 0x10000;
        return sg_buf_printf(b, "\\u%04x\\u%04x", (unsigned)(0xd800 + (c >> 10)), (unsigned)(0xdc00 + (c & 0x3ff)));
}

/* Outside of strings an escape is as wrong as the character was. */
static int add_ascii(struct sg_buf *b, struct sg_str text)
{
        int r = 0;

        while (text.n && !r) {
                size_t n = ascii_length(text);

                if (n) {
                        r = sg_buf_add(b, sg_str_head(text, n));
                } else {
                        n = sg_str_utf8_first(text);
                        r = n ? add_escape(b, code_point(text, n)) : -EBADMSG;
                }
                text = sg_str_skip(text, n);
        }
        return r > 0 ? -EBADMSG : r;
}

static int read_ascii(struct json_object **ret, struct sg_str text, int depth)
{
        struct json_tokener *tokener = json_tokener_new_ex(depth);
        struct json_object *o;
        int r = 0;

        if (!tokener)
                return -ENOMEM;
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
        o = json_tokener_parse_ex(tokener, text.p ? text.p : "", (int)text.n);
        if (json_tokener_get_error(tokener) != json_tokener_success || json_tokener_get_parse_end(tokener) != text.n ||
            !json_object_is_type(o, json_type_object)) {
                json_object_put(o);
                r = -EBADMSG;
        } else {
                *ret = o;
        }
        json_tokener_free(tokener);
        return r;
}

int sg_varlink_read_object(struct json_object **ret, struct sg_str text, int depth)
{
        struct sg_buf ascii;
        int r;

        if (text.n > SG_VARLINK_BYTES_MAX)
                return -EBADMSG;
        if (ascii_length(text) == text.n)
                return read_ascii(ret, text, depth);
        sg_buf_init(&ascii, ESCAPED_BYTES_MAX);
        r = add_ascii(&ascii, text);
        if (!r)
                r = read_ascii(ret, sg_buf_view(&ascii), depth);
        sg_buf_done(&ascii);
        return r;
}
