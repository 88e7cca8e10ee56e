#include "llm/form.h"

struct head {
        struct sg_form_part part;
        bool has_disposition, has_type, has_encoding, has_name, has_filename_star;
        const char *what; /* why it is refused */
};

static bool refuse(struct head *h, const char *what)
{
        h->what = what;
        return false;
}

static bool is_token_byte(char c)
{
        return c > ' ' && c < 0x7f && !strchr("()<>@,;:\\\"/[]?={}", c);
}

static struct sg_str cut_token(struct sg_str *s)
{
        size_t n = 0;
        struct sg_str token;

        while (n < s->n && is_token_byte(s->p[n]))
                n++;
        token = sg_str_head(*s, n);
        *s = sg_str_skip(*s, n);
        return token;
}

/* A quoted string in which a backslash stands for itself, as browsers write it; where it might be an escape of the
 * quote behind it, there are two readings. */
static bool cut_quoted(struct head *h, struct sg_str *s, struct sg_str *ret)
{
        size_t n;

        *s = sg_str_skip(*s, 1);
        n = sg_str_find_byte(*s, '"');
        if (n == s->n)
                return refuse(h, "a quoted string without end");
        if (n > 0 && s->p[n - 1] == '\\')
                return refuse(h, "an escaped quote");
        *ret = sg_str_head(*s, n);
        *s = sg_str_skip(*s, n + 1);
        return true;
}

static bool is_plain_name(struct sg_str s)
{
        return s.n > 0 && sg_str_find_byte(s, '\\') == s.n && sg_str_find_byte(s, '%') == s.n;
}

static bool take_parameter(struct head *h, struct sg_str name, struct sg_str value)
{
        bool *seen = NULL;

        if (sg_str_ieq(name, SG_STR("name*")))
                return refuse(h, "an encoded name");
        if (sg_str_ieq(name, SG_STR("name"))) {
                seen = &h->has_name;
                h->part.name = value;
                if (!is_plain_name(value))
                        return refuse(h, "a name that is empty or has escapes");
        } else if (sg_str_ieq(name, SG_STR("filename"))) {
                seen = &h->part.has_filename;
        } else if (sg_str_ieq(name, SG_STR("filename*"))) {
                seen = &h->has_filename_star;
        }
        if (seen && *seen)
                return refuse(h, "a parameter that stands twice");
        if (seen)
                *seen = true;
        return true;
}

static bool read_disposition(struct head *h, struct sg_str s)
{
        if (!sg_str_ieq(cut_token(&s), SG_STR("form-data")))
                return refuse(h, "a content-disposition that is not form-data");
        for (;;) {
                struct sg_str name, value;

                s = sg_str_trim(s);
                if (s.n == 0)
                        break;
                if (s.p[0] != ';')
                        return refuse(h, "a content-disposition with a semicolon missing");
                s = sg_str_trim(sg_str_skip(s, 1));
                name = cut_token(&s);
                if (name.n == 0 || s.n < 2 || s.p[0] != '=')
                        return refuse(h, "a parameter without a value");
                s = sg_str_skip(s, 1);
                if (s.p[0] != '"')
                        value = cut_token(&s);
                else if (!cut_quoted(h, &s, &value))
                        return false;
                if (!take_parameter(h, name, value))
                        return false;
        }
        return h->has_name || refuse(h, "a part without a name");
}

/* RFC 7578 leaves none but those that change no byte. */
static bool is_identity(struct sg_str encoding)
{
        return sg_str_ieq(encoding, SG_STR("binary")) || sg_str_ieq(encoding, SG_STR("8bit")) ||
               sg_str_ieq(encoding, SG_STR("7bit"));
}

static bool take_field(struct head *h, struct sg_str name, struct sg_str value)
{
        bool *seen = NULL;

        if (sg_str_ieq(name, SG_STR("content-disposition")))
                seen = &h->has_disposition;
        else if (sg_str_ieq(name, SG_STR("content-type")))
                seen = &h->has_type;
        else if (sg_str_ieq(name, SG_STR("content-transfer-encoding")))
                seen = &h->has_encoding;
        else
                return true;
        if (*seen)
                return refuse(h, "a header that stands twice");
        *seen = true;
        if (seen == &h->has_type)
                h->part.type = value;
        if (seen == &h->has_encoding && !is_identity(value))
                return refuse(h, "a transfer encoding");
        return seen != &h->has_disposition || read_disposition(h, value);
}

static bool read_line(struct head *h, struct sg_str line)
{
        struct sg_str name;

        for (size_t i = 0; i < line.n; i++)
                if (((unsigned char)line.p[i] < 0x20 && line.p[i] != '\t') || line.p[i] == 0x7f)
                        return refuse(h, "a control byte in a header");
        if (line.p[0] == ' ' || line.p[0] == '\t')
                return refuse(h, "a folded header");
        name = cut_token(&line);
        if (name.n == 0 || line.n == 0 || line.p[0] != ':')
                return refuse(h, "a header without a name or a colon");
        return take_field(h, name, sg_str_trim(sg_str_skip(line, 1)));
}

int sg_form_read_head(struct sg_form_part *ret, struct sg_str head, size_t offset, struct sg_llm_fault *fault)
{
        struct head h = {0};
        struct sg_str rest = head;

        while (rest.n > 0) {
                size_t n = sg_str_find(rest, SG_STR("\r\n"));

                SG_ASSERT(n > 0 && n < rest.n); /* an empty line ended the head, and each has its CRLF */
                if (!read_line(&h, sg_str_head(rest, n)))
                        return sg_form_refuse(fault, h.what, offset + (head.n - rest.n));
                rest = sg_str_skip(rest, n + 2);
        }
        if (!h.has_disposition)
                return sg_form_refuse(fault, "a part without content-disposition", offset);
        h.part.has_filename |= h.has_filename_star;
        *ret = h.part;
        return 0;
}
