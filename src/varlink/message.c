/*
 * json-c's traps that are dealt with here: without JSON_TOKENER_STRICT it takes comments and single quotes; a number at
 * the very end of the input is "incomplete" without a NUL (ours are always inside an object); invalid UTF-8 is printed
 * as it is. Of duplicate members json-c keeps the last; nobody else reads these bytes, so that they have one meaning
 * only.
 */
#include <errno.h>
#include <sys/socket.h>

#include "varlink/message.h"
#include "varlink/strict.h"

int sg_varlink_frame(const struct sg_buf *in, size_t *scanned, size_t max, struct sg_str *ret)
{
        struct sg_str all = sg_buf_view(in), rest = sg_str_skip(all, *scanned);
        size_t at = *scanned + sg_str_find_byte(rest, '\0');

        if (at > max)
                return SG_VARLINK_E_LONG;
        if (at == all.n) {
                *scanned = all.n;
                return SG_VARLINK_E_MORE;
        }
        *ret = sg_str_head(all, at);
        return 0;
}

/* ---- calls and answers */

static bool read_flag(struct json_object *value, bool *ret)
{
        if (!json_object_is_type(value, json_type_boolean))
                return false;
        *ret = json_object_get_boolean(value);
        return true;
}

static bool is_plain_string(struct json_object *value)
{
        return json_object_is_type(value, json_type_string) &&
               strlen(json_object_get_string(value)) == (size_t)json_object_get_string_len(value);
}

static bool read_member(struct sg_varlink_request *r, const char *name, struct json_object *value)
{
        bool upgrade = false;

        if (strcmp(name, "method") == 0) {
                if (!is_plain_string(value))
                        return false;
                r->method = json_object_get_string(value);
                return true;
        }
        if (strcmp(name, "parameters") == 0) {
                r->parameters = value;
                return !value || json_object_is_type(value, json_type_object);
        }
        if (strcmp(name, "more") == 0)
                return read_flag(value, &r->more);
        if (strcmp(name, "oneway") == 0)
                return read_flag(value, &r->oneway);
        /* No method here changes the protocol. */
        if (strcmp(name, "upgrade") == 0)
                return read_flag(value, &upgrade) && !upgrade;
        return false;
}

int sg_varlink_request_parse(struct sg_varlink_request *r, struct sg_str text, const char **ret_bad)
{
        int e;

        *r = (struct sg_varlink_request){};
        e = sg_varlink_read_object(&r->whole, text, SG_JSON_DEPTH_MAX);
        if (e)
                return e;
        json_object_object_foreach(r->whole, name, value)
        {
                if (!read_member(r, name, value)) {
                        *ret_bad = name;
                        return SG_VARLINK_E_MEMBER;
                }
        }
        if (!r->method || (r->more && r->oneway)) {
                *ret_bad = r->method ? "oneway" : "method";
                return SG_VARLINK_E_MEMBER;
        }
        return 0;
}

void sg_varlink_request_done(struct sg_varlink_request *r)
{
        json_object_put(r->whole);
        *r = (struct sg_varlink_request){};
}

int sg_varlink_answer_parse(struct sg_varlink_answer *a, struct sg_str text)
{
        int r;

        *a = (struct sg_varlink_answer){};
        r = sg_varlink_read_object(&a->whole, text, SG_JSON_DEPTH_MAX);
        if (r)
                return r;
        /* A newer server may say more than we know. */
        json_object_object_foreach(a->whole, name, value)
        {
                bool is_good = true;

                if (strcmp(name, "error") == 0) {
                        is_good = is_plain_string(value);
                        a->error_name = json_object_get_string(value);
                } else if (strcmp(name, "parameters") == 0) {
                        is_good = !value || json_object_is_type(value, json_type_object);
                        a->parameters = value;
                } else if (strcmp(name, "continues") == 0) {
                        is_good = read_flag(value, &a->continues);
                }
                if (!is_good)
                        return -EBADMSG;
        }
        return a->error_name && a->continues ? -EBADMSG : 0;
}

void sg_varlink_answer_done(struct sg_varlink_answer *a)
{
        json_object_put(a->whole);
        *a = (struct sg_varlink_answer){};
}

/* ---- parameters */

static bool is_of_kind(struct json_object *value, enum sg_varlink_kind kind)
{
        switch (kind) {
        case SG_VARLINK_STRING:
                return is_plain_string(value);
        case SG_VARLINK_INT:
                /* json-c clamps what does not fit. */
                return json_object_is_type(value, json_type_int) && json_object_get_int64(value) != INT64_MAX &&
                       json_object_get_int64(value) != INT64_MIN;
        case SG_VARLINK_BOOL:
                return json_object_is_type(value, json_type_boolean);
        case SG_VARLINK_STRINGS:
                if (!json_object_is_type(value, json_type_array))
                        return false;
                for (size_t i = 0; i < json_object_array_length(value); i++)
                        if (!is_plain_string(json_object_array_get_idx(value, i)))
                                return false;
                return true;
        case SG_VARLINK_OBJECTS:
                if (!json_object_is_type(value, json_type_array))
                        return false;
                for (size_t i = 0; i < json_object_array_length(value); i++)
                        if (!json_object_is_type(json_object_array_get_idx(value, i), json_type_object))
                                return false;
                return true;
        }
        SG_UNREACHABLE();
}

const char *sg_varlink_check(struct json_object *parameters, const struct sg_varlink_parameter *expected,
                             size_t n_expected)
{
        for (size_t i = 0; i < n_expected; i++)
                *expected[i].ret = NULL;
        if (parameters) {
                json_object_object_foreach(parameters, name, value)
                {
                        size_t i = 0;

                        while (i < n_expected && strcmp(expected[i].name, name) != 0)
                                i++;
                        if (i == n_expected || (value && !is_of_kind(value, expected[i].kind)))
                                return name;
                        *expected[i].ret = value;
                }
        }
        for (size_t i = 0; i < n_expected; i++)
                if (expected[i].is_required && !*expected[i].ret)
                        return expected[i].name;
        return NULL;
}

/* ---- writing */

static char *put(char *at, struct sg_str s)
{
        if (s.n)
                memcpy(at, s.p, s.n);
        return at + s.n;
}

static int add_pieces(struct sg_buf *out, const struct sg_str *pieces, size_t n_pieces)
{
        size_t n = 1;
        char *at;
        int r;

        for (size_t i = 0; i < n_pieces; i++)
                n += pieces[i].n;
        r = sg_buf_reserve(out, n, &at);
        if (r)
                return r;
        for (size_t i = 0; i < n_pieces; i++)
                at = put(at, pieces[i]);
        *at = '\0';
        sg_buf_added(out, n);
        return 0;
}

/* Bytes that are not UTF-8 can only stand inside a string, where U+FFFD may stand, too. */
static int repair_utf8(struct sg_buf *b, struct sg_str text)
{
        int r = 0;

        while (text.n && !r) {
                size_t n = sg_str_utf8_first(text);

                r = sg_buf_add(b, n ? sg_str_head(text, n) : SG_STR("\xEF\xBF\xBD"));
                text = sg_str_skip(text, n ? n : 1);
        }
        return r;
}

/* The tree's text, lent until the tree or *repaired goes. */
static int tree_text(struct sg_str *ret, struct json_object *tree, struct sg_buf *repaired)
{
        const char *text;
        size_t n;
        int r;

        if (!tree) {
                *ret = SG_STR("{}");
                return 0;
        }
        text = json_object_to_json_string_length(tree, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &n);
        if (!text)
                return -ENOMEM;
        *ret = sg_str_make(text, n);
        if (sg_str_is_utf8(*ret))
                return 0;
        r = repair_utf8(repaired, *ret);
        if (!r)
                *ret = sg_buf_view(repaired);
        return r;
}

/* before, the tree, after; closed by NUL. */
static int add_message(struct sg_buf *out, const struct sg_str before[3], struct json_object *tree, struct sg_str after)
{
        struct sg_str pieces[5] = {before[0], before[1], before[2], SG_STR_NONE, after};
        struct sg_buf repaired;
        int r;

        sg_buf_init(&repaired, SG_VARLINK_BYTES_MAX);
        r = tree_text(&pieces[3], tree, &repaired);
        if (!r)
                r = add_pieces(out, pieces, SG_N_ELEMENTS(pieces));
        sg_buf_done(&repaired);
        return r;
}

/* Names of methods and errors are ours and need no escapes. */
int sg_varlink_add_call(struct sg_buf *out, const char *method, struct json_object *parameters, bool more)
{
        const struct sg_str before[3] = {SG_STR("{\"method\":\""), sg_str_from(method), SG_STR("\",\"parameters\":")};

        return add_message(out, before, parameters, more ? SG_STR(",\"more\":true}") : SG_STR("}"));
}

int sg_varlink_add_reply(struct sg_buf *out, const char *error_name, struct json_object *parameters, bool continues)
{
        const struct sg_str good[3] = {SG_STR("{\"parameters\":"), SG_STR_NONE, SG_STR_NONE};
        const struct sg_str bad[3] = {SG_STR("{\"error\":\""), sg_str_from(error_name), SG_STR("\",\"parameters\":")};

        return add_message(out, error_name ? bad : good, parameters,
                           continues ? SG_STR(",\"continues\":true}") : SG_STR("}"));
}

int sg_varlink_send(int fd, struct sg_buf *out)
{
        while (sg_buf_length(out) > 0) {
                struct sg_str view = sg_buf_view(out);
                ssize_t n = send(fd, view.p, view.n, MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? 1 : -errno;
                sg_buf_take(out, (size_t)n);
        }
        sg_buf_release(out);
        return 0;
}
