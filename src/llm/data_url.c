#include "llm/data_url.h"

#define PREFIX_BYTES_MAX 160 /* of a data: URL, up to its comma */

static void lower(char *out, size_t out_bytes, struct sg_str s)
{
        size_t n = sg_str_copy(out, out_bytes, s);

        out[n] = '\0';
        for (size_t i = 0; i < n; i++)
                if (out[i] >= 'A' && out[i] <= 'Z')
                        out[i] = (char)(out[i] | 0x20);
}

bool sg_data_url_read(struct sg_data_url *ret, struct sg_json_value string)
{
        struct sg_str raw = string.text, prefix, type, one = SG_STR_NONE;
        char text[PREFIX_BYTES_MAX];
        size_t comma, n;

        (void)sg_json_copy(string, text, sizeof(text), &n); /* it may well be cut: what counts stands in front */
        prefix = sg_str_make(text, n);
        comma = sg_str_find_byte(raw, ',');
        if (comma == raw.n || !sg_str_cut(&prefix, ',', &type) || !sg_str_istarts(type, SG_STR("data:")))
                return false;
        type = sg_str_skip(type, strlen("data:"));
        prefix = type;
        (void)sg_str_cut(&prefix, ';', &type);
        while (sg_str_cut(&prefix, ';', &one)) /* parameters of the type; the last word says how it is written */
                ;
        if (!sg_str_ieq(one, SG_STR("base64")) || type.n >= sizeof(ret->media_type))
                return false;
        lower(ret->media_type, sizeof(ret->media_type), type);
        ret->data = sg_str_make(raw.p + comma + 1, raw.n - comma - 2);
        return true;
}

bool sg_data_url_is_web(struct sg_json_value string)
{
        char text[sizeof("https://")];
        size_t n;

        (void)sg_json_copy(string, text, sizeof(text), &n);
        return sg_str_istarts(sg_str_make(text, n), SG_STR("http://")) ||
               sg_str_istarts(sg_str_make(text, n), SG_STR("https://"));
}

const char *sg_data_url_picture(const char *media_type)
{
        static const struct {
                const char *from, *to;
        } types[] = {
                {"image/jpeg", "image/jpeg"}, {"image/jpg", "image/jpeg"},  {"image/png", "image/png"},
                {"image/gif", "image/gif"},   {"image/webp", "image/webp"},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(types); i++)
                if (strcmp(media_type, types[i].from) == 0)
                        return types[i].to;
        return NULL;
}
