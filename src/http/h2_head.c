/*
 * Heads of requests. nghttp2 takes HPACK apart and knows the rules of RFC 9113 section 8: order and number of pseudo-fields, no
 * upper case, no field of a connection, lengths that match. What it would let through and HTTP/1 here would not is refused
 * as well, so that the versions cannot be played off against each other: hosts, targets, leading zeros of a length, an
 * expectation that does not exist, two hosts that differ, `content_length`.
 */
#include "http/h1_internal.h"
#include "http/h2_internal.h"

static bool take_length(struct sg_head *head, struct sg_str digits)
{
        if (head->has_length || sg_str_to_u64(digits, &head->length) || head->length > INT64_MAX)
                return false;
        head->has_length = true;
        return digits.n == 1 || digits.p[0] != '0'; /* octal to some */
}

static bool take_field(struct sg_head *head, struct h2_pseudo *p, const struct sg_header *field)
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
static bool read_target(struct sg_head *head, const struct h2_pseudo *p)
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

static bool understand(struct sg_head *head, struct h2_pseudo *p, bool is_end)
{
        if (head->method_text.n > SG_METHOD_BYTES_MAX || !sg_token_is_valid(head->method_text))
                return false;
        head->method = h1_method_of(head->method_text);
        for (size_t i = 0; i < head->n_headers; i++)
                if (!take_field(head, p, &head->headers[i]))
                        return false;
        if (is_end && head->length > 0)
                return false;
        head->is_chunked = !is_end && !head->has_length;
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
        struct h2_pseudo p = {0};
        int r;

        h->is_head_end = is_end;
        h->has_head_length = false;
        if (h->fields.is_too_large) {
                h->events->on_head_too_large(h, id, h->fields.is_target_too_long, h->owner);
                refuse_if_untied(h, id, is_end, true);
                return 0;
        }
        r = h2_fields_read(h, &head, &p);
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
