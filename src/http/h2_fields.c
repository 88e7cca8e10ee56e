/*
 * Fields in: heads of both roles, and trailers. They are copied one behind the other, since nghttp2 lends each for the time
 * of its callback only; a head is made of views into that when it is whole.
 */
#include <errno.h>

#include "http/h2_internal.h"

#define KEEP_BYTES       (4u * 1024u) /* of memory, from head to head */
#define COOKIE_SEPARATOR SG_STR("; ")

struct h2_record {
        uint32_t n_name, n_value;
};

void h2_fields_begin(struct sg_h2 *h, bool is_trailers)
{
        struct h2_fields *f = &h->fields;

        sg_buf_clear(&f->bytes);
        f->n_bytes = f->n = f->n_cookies = f->n_cookie_bytes = 0;
        f->is_too_large = f->is_target_too_long = false;
        f->is_trailers = is_trailers;
}

void h2_fields_end(struct sg_h2 *h)
{
        if (h->fields.bytes.room > KEEP_BYTES)
                sg_buf_release(&h->fields.bytes);
        else
                sg_buf_clear(&h->fields.bytes);
}

static int add_record(struct sg_buf *b, struct sg_str name, struct sg_str value)
{
        const struct h2_record record = {(uint32_t)name.n, (uint32_t)value.n};
        char *at;
        int r;

        r = sg_buf_reserve(b, sizeof(record) + name.n + value.n, &at);
        if (r)
                return r;
        memcpy(at, &record, sizeof(record));
        memcpy(at + sizeof(record), name.p, name.n);
        if (value.n)
                memcpy(at + sizeof(record) + name.n, value.p, value.n);
        sg_buf_added(b, sizeof(record) + name.n + value.n);
        return 0;
}

static bool is_pseudo(struct sg_str name)
{
        return name.n && name.p[0] == ':';
}

static bool is_too_large(const struct sg_h2 *h, struct sg_str name)
{
        return h->fields.n_bytes > h->limits.head_bytes || h->fields.n > SG_HEADERS_MAX ||
               name.n > SG_FIELD_NAME_BYTES_MAX;
}

int h2_fields_add(struct sg_h2 *h, struct sg_str name, struct sg_str value)
{
        const bool is_cookie = sg_str_eq(name, SG_STR("cookie"));
        struct h2_fields *f = &h->fields;
        int r;

        f->n_bytes += name.n + value.n + H2_FIELD_OVERHEAD;
        if (!is_pseudo(name) && (!is_cookie || f->n_cookies == 0))
                f->n++;
        r = h2_judge_fields(h);
        if (r)
                return r;
        f->is_target_too_long |= value.n > SG_TARGET_BYTES_MAX && sg_str_eq(name, SG_STR(":path"));
        f->is_too_large |= f->is_target_too_long || is_too_large(h, name);
        if (f->is_too_large || (f->is_trailers && !h->events->on_trailers))
                return 0;
        if (is_cookie) {
                f->n_cookies++;
                f->n_cookie_bytes += value.n;
        }
        r = add_record(&f->bytes, name, value);
        return r > 0 ? -ENOMEM : r; /* its maximum is above what is counted */
}

/* One field of several (section 8.2.3): at the back of the buffer, the views before it stay. */
static int reserve_cookie(struct h2_fields *f, char **ret_at)
{
        const size_t n = f->n_cookie_bytes + COOKIE_SEPARATOR.n * f->n_cookies;
        int r = sg_buf_reserve(&f->bytes, n, ret_at);

        return r > 0 ? -ENOMEM : r;
}

static void add_cookie(struct sg_str *joined, char *at, struct sg_str value)
{
        if (joined->p) {
                memcpy(at + joined->n, COOKIE_SEPARATOR.p, COOKIE_SEPARATOR.n);
                joined->n += COOKIE_SEPARATOR.n;
        }
        if (value.n)
                memcpy(at + joined->n, value.p, value.n);
        *joined = sg_str_make(at, joined->n + value.n);
}

static void take_pseudo(struct sg_head *head, struct h2_pseudo *p, struct sg_str name, struct sg_str value)
{
        if (sg_str_eq(name, SG_STR(":method"))) {
                head->method_text = value;
        } else if (sg_str_eq(name, SG_STR(":path"))) {
                head->target = value;
        } else if (sg_str_eq(name, SG_STR(":scheme"))) {
                p->scheme = value;
        } else if (sg_str_eq(name, SG_STR(":status"))) {
                p->status = value;
        } else if (sg_str_eq(name, SG_STR(":authority"))) {
                p->authority = value;
                p->has_authority = true;
        }
}

static void head_init(struct sg_head *head)
{
        memset(head, 0, offsetof(struct sg_head, headers));
        head->minor = 1;
        head->keep_alive = true;
}

/* False at the end. */
static bool next_field(struct sg_str *left, struct sg_header *ret)
{
        struct h2_record record;

        if (left->n == 0)
                return false;
        memcpy(&record, left->p, sizeof(record));
        *left = sg_str_skip(*left, sizeof(record));
        ret->name = sg_str_head(*left, record.n_name);
        *left = sg_str_skip(*left, record.n_name);
        ret->value = sg_str_head(*left, record.n_value);
        *left = sg_str_skip(*left, record.n_value);
        return true;
}

int h2_fields_read(struct sg_h2 *h, struct sg_head *head, struct h2_pseudo *p)
{
        struct sg_str left, joined = SG_STR_NONE;
        struct h2_fields *f = &h->fields;
        struct sg_header *cookie = NULL;
        struct sg_header field;
        char *cookie_at;
        int r;

        head_init(head);
        r = reserve_cookie(f, &cookie_at);
        if (r)
                return r;
        for (left = sg_buf_view(&f->bytes); next_field(&left, &field);) {
                if (is_pseudo(field.name)) {
                        take_pseudo(head, p, field.name, field.value);
                        continue;
                }
                if (f->n_cookies > 1 && sg_str_eq(field.name, SG_STR("cookie"))) {
                        add_cookie(&joined, cookie_at, field.value);
                        if (cookie)
                                continue;
                        cookie = &head->headers[head->n_headers];
                }
                head->headers[head->n_headers++] = field;
        }
        if (cookie)
                cookie->value = joined;
        return 0;
}

void h2_trailers_ready(struct sg_h2 *h, int32_t id)
{
        struct sg_h2_stream *s = h2_stream_of(h, id);
        struct sg_head trailers;
        struct sg_header field;
        struct sg_str left;

        if (h->fields.is_too_large) {
                h2_refuse(h, id, NGHTTP2_ENHANCE_YOUR_CALM);
                return;
        }
        if (!s || !h->events->on_trailers)
                return;
        head_init(&trailers);
        for (left = sg_buf_view(&h->fields.bytes); next_field(&left, &field);)
                if (sg_name_may_trail(field.name))
                        trailers.headers[trailers.n_headers++] = field;
        if (trailers.n_headers)
                h->events->on_trailers(s, &trailers);
}
