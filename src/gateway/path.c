/*
 * What a path may become in other hands. "." and ".." segments would let it leave its prefix, and so they would when the
 * server decodes before it splits, decodes twice, takes '\\' for '/', or cuts ";" off first. A NUL, a '%' that encodes
 * nothing, and a slash that is encoded behind a ";" (does it end the parameter?) are read differently, too. What is encoded
 * otherwise passes as it stands.
 */
#include "gateway/path.h"

/* Of the bytes that s becomes when it is decoded n_times: the first. False: a '%' of s itself encodes nothing; those that come
 * out of decoding stand for themselves then. */
static bool cut_byte(struct sg_str *s, unsigned n_times, char *ret, bool *ret_is_encoded)
{
        struct sg_str rest;
        char digits[2];
        uint64_t byte;
        bool ignored;

        if (n_times == 0) {
                *ret_is_encoded = false;
                *ret = s->p[0];
                *s = sg_str_skip(*s, 1);
                return true;
        }
        if (!cut_byte(s, n_times - 1, ret, ret_is_encoded))
                return false;
        if (SG_LIKELY(*ret != '%'))
                return true;
        rest = *s;
        for (unsigned i = 0; i < 2; i++)
                if (!rest.n || !cut_byte(&rest, n_times - 1, &digits[i], &ignored))
                        return n_times > 1;
        if (sg_str_to_hex64(sg_str_make(digits, 2), &byte))
                return n_times > 1;
        *s = rest;
        *ret = (char)byte;
        *ret_is_encoded = true;
        return true;
}

static bool is_plain_decoded(struct sg_str path, unsigned n_times)
{
        size_t n_bytes = 0, n_dots = 0; /* of the segment */
        bool may_be_dots = true, has_parameter = false;

        path = sg_str_skip(path, 1);
        while (path.n) {
                bool is_encoded, is_border;
                char c;

                if (!cut_byte(&path, n_times, &c, &is_encoded) || c == '\0' || (c == '\\' && !is_encoded))
                        return false;
                is_border = c == '/' && !is_encoded;
                if (c == '/' || c == '\\' || c == ';') {
                        if (may_be_dots && n_dots)
                                return false;
                        if (is_border && n_bytes == 0)
                                return false;
                        if (has_parameter && !is_border && c != ';')
                                return false;
                        has_parameter = !is_border && (has_parameter || c == ';');
                        n_bytes = is_border ? 0 : n_bytes + 1;
                        n_dots = 0;
                        may_be_dots = c != ';';
                        continue;
                }
                n_bytes++;
                n_dots += c == '.';
                may_be_dots &= c == '.';
        }
        return !(may_be_dots && n_dots);
}

/* Only a '%' that was encoded itself can encode something once more. */
static bool may_decode_twice(struct sg_str path)
{
        return sg_str_find(path, SG_STR("%25")) < path.n;
}

bool sg_path_is_plain(struct sg_str path)
{
        return path.n && path.p[0] == '/' && is_plain_decoded(path, 1) &&
               (!may_decode_twice(path) || is_plain_decoded(path, 2));
}

int sg_path_add_target(struct sg_buf *b, struct sg_str own_prefix, struct sg_str target, size_t n_stripped)
{
        const struct sg_str path = sg_str_skip(sg_target_path(target, NULL), n_stripped);
        int r = sg_buf_add(b, own_prefix);

        if (!r && (path.n == 0 || path.p[0] != '/'))
                r = sg_buf_add(b, SG_STR("/"));
        if (!r)
                r = sg_buf_add(b, path);
        return r ? r : sg_buf_add(b, sg_str_skip(target, sg_str_find_byte(target, '?')));
}

/* As the server reads it that does most to it. Prefixes have no byte that is lost on the way: what they match in a reading
 * that does less they match in this one, so it stands for all. */
static int add_reading(struct sg_buf *b, struct sg_str path)
{
        bool is_parameter = false, is_encoded;
        char c, last = '\0';
        int r = 0;

        while (!r && path.n && cut_byte(&path, 2, &c, &is_encoded)) {
                if (c == '\\')
                        c = '/';
                is_parameter = c != '/' && (is_parameter || c == ';');
                if (is_parameter || (c == '/' && last == '/'))
                        continue;
                last = c;
                r = sg_buf_add(b, sg_str_make(&c, 1));
        }
        return r;
}

int sg_path_is_read_as_one(const struct sg_config *config, const struct sg_config_service *found,
                           const struct sg_head *head, struct sg_str path, bool *ret)
{
        struct sg_buf reading;
        bool ignored;
        int r;

        *ret = true;
        if (SG_LIKELY(sg_str_find_byte(path, '%') == path.n && sg_str_find_byte(path, ';') == path.n))
                return 0;
        sg_buf_init(&reading, SG_HEAD_BYTES_MAX);
        r = add_reading(&reading, path);
        if (!r)
                *ret = sg_config_find_service(config, head->host, head->method_text, sg_buf_view(&reading), &ignored) ==
                       found;
        sg_buf_done(&reading);
        return r;
}
