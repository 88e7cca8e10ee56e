/*
 * Heads in. nghttp2 takes HPACK apart and knows the rules of RFC 9113 section 8: order and number of pseudo-fields, no
 * upper case, no field of a connection, lengths that match. What it would let through and HTTP/1 here would not is refused
 * as well, so that the versions cannot be played off against each other: hosts, targets, leading zeros of a length, an
 * expectation that does not exist, two hosts that differ, `content_length`.
 *
 * Fields are copied one behind the other, since nghttp2 lends each for the time of its callback only; the head is made of
 * views into that when it is whole.
 */
#include <errno.h>

#include "http/h1_internal.h"
#include "http/h2_internal.h"

#define FIELD_OVERHEAD   32u          /* RFC 9113 section 6.5.2 */
#define KEEP_BYTES       (4u * 1024u) /* of memory, from head to head */
#define COOKIE_SEPARATOR SG_STR("; ")

struct h2_record {
        uint32_t n_name, n_value;
};

/* What is not in the fields of struct sg_head. */
struct pseudo {
        struct sg_str authority, scheme;
        bool has_authority;
        const struct sg_str *host; /* the field */
};

void h2_fields_begin(struct sg_h2 *h, bool is_trailers)
{
        struct h2_fields *f = &h->fields;

        sg_buf_clear(&f->bytes);
        f->n_bytes = f->n = f->n_cookies = f->n_cookie_bytes = 0;
        f->is_too_large = false;
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

static bool is_too_large(const struct sg_h2 *h, struct sg_str name, struct sg_str value)
{
        return h->fields.n_bytes > h->limits.head_bytes || name.n > SG_FIELD_NAME_BYTES_MAX ||
               (value.n > SG_TARGET_BYTES_MAX && sg_str_eq(name, SG_STR(":path")));
}

int h2_fields_add(struct sg_h2 *h, struct sg_str name, struct sg_str value)
{
        const bool is_cookie = sg_str_eq(name, SG_STR("cookie"));
        struct h2_fields *f = &h->fields;
        int r;

        f->n_bytes += name.n + value.n + FIELD_OVERHEAD;
        if (!is_pseudo(name) && (!is_cookie || f->n_cookies == 0))
                f->n++;
        r = h2_judge_fields(h);
        if (r)
                return r;
        f->is_too_large |= is_too_large(h, name, value) || f->n > SG_HEADERS_MAX;
        if (f->is_too_large || f->is_trailers)
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

static void take_pseudo(struct sg_head *head, struct pseudo *p, struct sg_str name, struct sg_str value)
{
        if (sg_str_eq(name, SG_STR(":method"))) {
                head->method_text = value;
        } else if (sg_str_eq(name, SG_STR(":path"))) {
                head->target = value;
        } else if (sg_str_eq(name, SG_STR(":scheme"))) {
                p->scheme = value;
        } else if (sg_str_eq(name, SG_STR(":authority"))) {
                p->authority = value;
                p->has_authority = true;
        }
}

static int make_views(struct h2_fields *f, struct sg_head *head, struct pseudo *p)
{
        struct sg_str left, joined = SG_STR_NONE;
        struct sg_header *cookie = NULL;
        char *cookie_at;
        int r;

        r = reserve_cookie(f, &cookie_at);
        if (r)
                return r;
        for (left = sg_buf_view(&f->bytes); left.n;) {
                struct sg_header field;
                struct h2_record record;

                memcpy(&record, left.p, sizeof(record));
                left = sg_str_skip(left, sizeof(record));
                field.name = sg_str_head(left, record.n_name);
                left = sg_str_skip(left, record.n_name);
                field.value = sg_str_head(left, record.n_value);
                left = sg_str_skip(left, record.n_value);
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

static bool take_length(struct sg_head *head, struct sg_str digits)
{
        if (head->has_length || sg_str_to_u64(digits, &head->length) || head->length > INT64_MAX)
                return false;
        head->has_length = true;
        return digits.n == 1 || digits.p[0] != '0'; /* octal to some */
}

static bool take_field(struct sg_head *head, struct pseudo *p, const struct sg_header *field)
{
        switch (field->name.n) {
        case 4:
                if (!sg_str_eq(field->name, SG_STR("host")))
                        return true;
                if (p->host)
                        return false;
                p->host = &field->value;
                return true;
        case 6:
                if (!sg_str_eq(field->name, SG_STR("expect")))
                        return true;
                head->expects_continue = true;
                return sg_str_ieq(field->value, SG_STR("100-continue"));
        case 14:
                if (sg_str_eq(field->name, SG_STR("content-length")))
                        return take_length(head, field->value);
                return !sg_str_eq(field->name, SG_STR("content_length"));
        case 17:
                return !sg_str_eq(field->name, SG_STR("transfer_encoding"));
        default:
                return true;
        }
}

/* "/…", "*" of OPTIONS, or the authority of CONNECT; the host is one, in whichever of both places it stands. */
static bool read_target(struct sg_head *head, const struct pseudo *p)
{
        const bool is_connect = head->method == SG_METHOD_CONNECT;
        const struct sg_str *host = p->has_authority ? &p->authority : p->host;

        if (is_connect) {
                if (!p->has_authority)
                        return false;
                head->target = p->authority;
                host = p->host;
        } else {
                if (!sg_str_ieq(p->scheme, SG_STR("https")) && !sg_str_ieq(p->scheme, SG_STR("http")))
                        return false;
                if (!host || host->n == 0 || (p->host && !sg_str_ieq(*p->host, *host)))
                        return false;
                if (head->target.n == 0 || (head->target.p[0] != '/' && head->target.p[0] != '*'))
                        return false;
        }
        return http_target_end(head->target, 0) == head->target.n && h1_read_target(head, host) == 0;
}

static bool understand(struct sg_head *head, struct pseudo *p, bool is_end)
{
        if (head->method_text.n > SG_METHOD_BYTES_MAX || !sg_token_is_valid(head->method_text))
                return false;
        head->method = h1_method_of(head->method_text);
        for (size_t i = 0; i < head->n_headers; i++)
                if (!take_field(head, p, &head->headers[i]))
                        return false;
        if (is_end && head->length > 0)
                return false;
        head->expects_continue = head->expects_continue && !is_end && (!head->has_length || head->length > 0);
        return read_target(head, p);
}

static void refuse_if_untied(struct sg_h2 *h, int32_t id, bool is_end, bool tells_end)
{
        struct sg_h2_stream *s = h2_stream_of(h, id);

        if (!s) {
                /* Tied and untied inside the event: it is reset already. */
                h2_submitted(h, nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM));
                return;
        }
        if (is_end && tells_end)
                h->events->on_end(s);
}

int h2_head_ready(struct sg_h2 *h, int32_t id, bool is_end)
{
        struct sg_head head;
        struct pseudo p = {0};
        int r;

        h->is_head_end = is_end;
        h->has_head_length = false;
        if (h->fields.is_too_large) {
                h->events->on_head_too_large(h, id, h->owner);
                refuse_if_untied(h, id, is_end, true);
                return 0;
        }
        memset(&head, 0, offsetof(struct sg_head, headers));
        head.minor = 1;
        head.keep_alive = true;
        r = make_views(&h->fields, &head, &p);
        if (r)
                return r;
        if (!understand(&head, &p, is_end)) {
                h2_refuse(h, id, NGHTTP2_PROTOCOL_ERROR);
                return 0;
        }
        h->has_head_length = head.has_length;
        h->head_length = head.length;
        h->events->on_head(h, id, &head, is_end, h->owner);
        refuse_if_untied(h, id, is_end, false);
        return 0;
}
