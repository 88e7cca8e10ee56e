#include "llm/form.h"

#include <string.h>

#include "llm/request.h"
#include "llm/text.h"

int sg_form_refuse(struct sg_llm_fault *fault, const char *what, size_t offset)
{
        sg_llm_fault_set(fault, "", "the form cannot be read: %s at byte %zu", what, offset);
        return SG_LLM_E_BAD_JSON;
}

static bool is_boundary(struct sg_str s)
{
        static const struct sg_str marks = SG_STR("'()+_,-./:=? ");

        if (s.n == 0 || s.n > SG_FORM_BOUNDARY_BYTES_MAX || s.p[s.n - 1] == ' ')
                return false;
        for (size_t i = 0; i < s.n; i++) {
                char c = s.p[i];
                bool is_alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

                if (!is_alnum && !memchr(marks.p, c, marks.n))
                        return false;
        }
        return true;
}

static struct sg_str dash_boundary(const struct sg_form *f)
{
        return sg_str_make(f->dash_boundary, f->n_dash_boundary);
}

int sg_form_init(struct sg_form *f, struct sg_str body, struct sg_str boundary, struct sg_llm_fault *fault)
{
        *f = (struct sg_form){.body = body, .n_dash_boundary = 2 + boundary.n, .fault = fault};
        if (!is_boundary(boundary)) {
                sg_llm_fault_set(fault, "", "the content-type has no valid boundary");
                return SG_LLM_E_BAD_JSON;
        }
        memcpy(f->dash_boundary, "--", 2);
        memcpy(f->dash_boundary + 2, boundary.p, boundary.n);
        if (!sg_str_starts(body, dash_boundary(f)))
                return sg_form_refuse(fault, "it does not begin with its boundary", 0);
        f->at = f->n_dash_boundary;
        return 0;
}

/* The content that begins at `from` ends before the next boundary that has a line of its own. */
static int find_end(struct sg_form *f, size_t from, size_t *ret_end)
{
        const char *begin = f->body.p;
        size_t at = from;

        for (;;) {
                const char *p = memmem(begin + at, f->body.n - at, f->dash_boundary, f->n_dash_boundary);

                if (!p)
                        return sg_form_refuse(f->fault, "it ends without its last boundary", f->body.n);
                at = (size_t)(p - begin);
                if (at >= from + 2 && p[-2] == '\r' && p[-1] == '\n') {
                        *ret_end = at - 2;
                        return 0;
                }
                if (at == from || p[-1] == '\r' || p[-1] == '\n')
                        return sg_form_refuse(f->fault, "a boundary without CRLF of its own before it", at);
                at++;
        }
}

static int read_end(const struct sg_form *f)
{
        struct sg_str rest = sg_str_skip(f->body, f->at + 2);

        return rest.n == 0 || sg_str_eq(rest, SG_STR("\r\n"))
                       ? 0
                       : sg_form_refuse(f->fault, "bytes after its last boundary", f->at + 2);
}

int sg_form_next(struct sg_form *f, struct sg_form_part *ret, bool *ret_end)
{
        struct sg_str rest = sg_str_skip(f->body, f->at), near;
        struct sg_form_part part = {0};
        size_t head, n_head, end = 0;
        int r;

        *ret_end = sg_str_starts(rest, SG_STR("--"));
        if (*ret_end)
                return read_end(f);
        if (!sg_str_starts(rest, SG_STR("\r\n")))
                return sg_form_refuse(f->fault, "a line that begins with the boundary, but is none", f->at);
        if (f->n_parts++ == SG_FORM_PARTS_MAX)
                return sg_form_refuse(f->fault, "more than 128 parts", f->at);
        head = f->at + 2;
        near = sg_str_head(sg_str_skip(f->body, f->at),
                           SG_MIN(rest.n, SG_FORM_HEAD_BYTES_MAX + 4)); /* with the CRLF before */
        n_head = sg_str_find(near, SG_STR("\r\n\r\n"));
        if (n_head == near.n)
                return sg_form_refuse(f->fault, "the head of a part does not end, or is longer than 8192 bytes", head);
        r = sg_form_read_head(&part, sg_str_make(f->body.p + head, n_head), head, f->fault);
        if (r)
                return r;
        if (sg_str_find(sg_str_make(f->body.p + head, n_head), dash_boundary(f)) < n_head)
                return sg_form_refuse(f->fault, "a boundary within the head of a part", head);
        r = find_end(f, head + n_head + 2, &end);
        if (r)
                return r;
        part.content = sg_str_make(f->body.p + head + n_head + 2, end - (head + n_head + 2));
        f->at = end + 2 + f->n_dash_boundary;
        *ret = part;
        return 0;
}

/* ---- what the gateway reads of it */

/* Of what a field says in words; without a word for it, UTF-8. */
static bool is_utf8_type(struct sg_str type)
{
        static const struct sg_str name = SG_STR("charset=");

        for (; type.n >= name.n; type = sg_str_skip(type, 1)) {
                struct sg_str value;

                if (!sg_str_istarts(type, name))
                        continue;
                value = sg_str_skip(type, name.n);
                if (value.n && value.p[0] == '"')
                        value = sg_str_skip(value, 1);
                return sg_str_istarts(value, SG_STR("utf-8")) || sg_str_istarts(value, SG_STR("us-ascii"));
        }
        return true;
}

static int refuse_field(struct sg_llm_fault *fault, const char *name, const char *must)
{
        sg_llm_fault_set(fault, name, "'%s' %s", name, must);
        return SG_LLM_E_BAD_FIELD;
}

static int check_field(const struct sg_form_part *part, const char *name, unsigned n, struct sg_llm_fault *fault)
{
        if (n > 0)
                return refuse_field(fault, name, "stands twice in the form");
        if (part->has_filename)
                return refuse_field(fault, name, "must be a field, not a file");
        if (!is_utf8_type(part->type) || !sg_str_is_utf8(part->content))
                return refuse_field(fault, name, "must be UTF-8");
        return 0;
}

static int read_model(struct sg_llm_request *req, const struct sg_form_part *part, struct sg_llm_fault *fault)
{
        int r = check_field(part, "model", req->model.n, fault);
        size_t n;

        if (r)
                return r;
        req->model.value = (struct sg_json_value){SG_JSON_STRING, part->content};
        req->model.n = 1;
        n = sg_str_copy(req->model_name, sizeof(req->model_name), part->content);
        return sg_llm_request_check_model(req, n, n == part->content.n, fault);
}

static int read_stream(struct sg_llm_request *req, const struct sg_form_part *part, struct sg_llm_fault *fault)
{
        int r = check_field(part, "stream", req->stream.n, fault);

        if (r)
                return r;
        req->stream.n = 1;
        req->is_stream = sg_str_eq(part->content, SG_STR("true"));
        if (req->is_stream || sg_str_eq(part->content, SG_STR("false")))
                return 0;
        return refuse_field(fault, "stream", "must be true or false");
}

int sg_llm_form_read(struct sg_llm_request *ret, enum sg_operation op, struct sg_str body, struct sg_str boundary,
                     bool has_default, struct sg_llm_fault *fault)
{
        struct sg_llm_request req = {.op = op, .body = body, .wants_usage = true, .is_form = true};
        struct sg_form_part part;
        struct sg_form form;
        bool is_end;
        int r = sg_form_init(&form, body, boundary, fault);

        if (r)
                return r;
        for (;;) {
                r = sg_form_next(&form, &part, &is_end);
                if (r || is_end)
                        break;
                if (sg_str_eq(part.name, SG_STR("model")))
                        r = read_model(&req, &part, fault);
                else if (sg_str_eq(part.name, SG_STR("stream")))
                        r = read_stream(&req, &part, fault);
                if (r)
                        break;
        }
        if (r)
                return r;
        if (req.model.n == 0) {
                req.model.member = sg_str_head(body, form.n_dash_boundary);
                if (!has_default)
                        return sg_llm_request_no_model(false, fault);
        }
        *ret = req;
        return 0;
}
