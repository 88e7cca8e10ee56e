#include "http/forwarded.h"

#include "http/bytes.h"

const char *sg_forwarded_result_text(enum sg_forwarded_result r)
{
        static const char *const texts[SG_FORWARDED_N] = {
                [SG_FORWARDED_NONE] = "no proxy names the client",
                [SG_FORWARDED_CLIENT] = "a proxy names the client",
                [SG_FORWARDED_UNREADABLE] = "what the proxy says of the client names no address",
                [SG_FORWARDED_DISAGREE] = "Forwarded and X-Forwarded-For name different clients: neither is believed",
        };

        return r < SG_FORWARDED_N ? texts[r] : "unknown";
}

/* ---- the walk */

struct walk {
        const struct sg_networks *trusted;
        struct sg_ip nearest; /* of those named so far, the one farthest from us */
        unsigned n_hops;
        bool is_present; /* a field of this name is there */
        bool is_over;    /* the client is found, or nobody can be believed any more */
};

static void step(struct walk *w, bool is_address, const struct sg_ip *ip)
{
        if (!is_address || w->n_hops == SG_FORWARDED_HOPS_MAX) {
                w->is_over = true;
                return;
        }
        w->nearest = *ip;
        w->n_hops++;
        w->is_over = !sg_networks_have(w->trusted, ip);
}

static bool is_port(struct sg_str text)
{
        uint64_t port;

        return text.n <= 5 && sg_str_to_u64(text, &port) == 0 && port <= UINT16_MAX;
}

/* ---- X-Forwarded-For: a, b, c */

static void walk_list(struct walk *w, struct sg_str value)
{
        while (value.n && !w->is_over) {
                size_t start = value.n;
                struct sg_str word, port = SG_STR_NONE;
                struct sg_ip ip;
                bool is_address;

                while (start && value.p[start - 1] != ',')
                        start--;
                word = sg_str_trim(sg_str_skip(value, start));
                value = sg_str_head(value, start ? start - 1 : 0);
                if (word.n == 0)
                        continue; /* an empty element of a list is none: RFC 9110 section 5.6.1.2 */
                is_address = sg_ip_parse(&ip, word) ||
                             (sg_ip_parse_node(&ip, word, &port) && (port.n == 0 || is_port(port)));
                step(w, is_address, &ip);
        }
}

/* ---- Forwarded: for="[2001:db8::1]:4711";proto=https, for=192.0.2.1 */

struct hops {
        struct sg_str of[SG_FORWARDED_HOPS_MAX]; /* the last ones; n - 1 is at (n - 1) % MAX. Empty: no "for" */
        size_t n;
};

static size_t blanks_end(struct sg_str s, size_t at)
{
        while (at < s.n && (s.p[at] == ' ' || s.p[at] == '\t'))
                at++;
        return at;
}

/* What is between the quotes; *at is behind them then. An address has nothing to escape: a value with a backslash is kept as
 * it is, and is none. */
static bool read_quoted(struct sg_str s, size_t *at, struct sg_str *ret)
{
        const size_t start = *at + 1;
        size_t i = start;

        while (i < s.n && s.p[i] != '"')
                i += s.p[i] == '\\' ? 2 : 1;
        if (i >= s.n)
                return false;
        *ret = sg_str_make(s.p + start, i - start);
        *at = i + 1;
        return true;
}

/* token "=" (token / quoted-string) */
static bool read_pair(struct sg_str s, size_t *at, struct sg_str *ret_name, struct sg_str *ret_value)
{
        const size_t name_end = http_span(s, *at, HTTP_TOKEN);
        size_t value_end;

        if (name_end == *at || name_end == s.n || s.p[name_end] != '=')
                return false;
        *ret_name = sg_str_make(s.p + *at, name_end - *at);
        *at = name_end + 1;
        if (*at < s.n && s.p[*at] == '"')
                return read_quoted(s, at, ret_value);
        value_end = http_span(s, *at, HTTP_TOKEN);
        *ret_value = sg_str_make(s.p + *at, value_end - *at);
        *at = value_end;
        return ret_value->n > 0;
}

static unsigned known_parameter(struct sg_str name)
{
        static const struct sg_str names[] = {{"for", 3}, {"by", 2}, {"host", 4}, {"proto", 5}};

        for (unsigned i = 0; i < SG_N_ELEMENTS(names); i++)
                if (sg_str_ieq(name, names[i]))
                        return 1u << i;
        return 0;
}

/* [ pair ] *( ";" [ pair ] ), up to a comma or the end; no parameter twice (section 4). */
static bool read_element(struct sg_str s, size_t *at, struct sg_str *ret_for)
{
        unsigned seen = 0;

        *ret_for = SG_STR_NONE;
        for (;;) {
                struct sg_str name, value;
                unsigned which;

                if (*at < s.n && s.p[*at] != ';' && s.p[*at] != ',' && s.p[*at] != ' ' && s.p[*at] != '\t') {
                        if (!read_pair(s, at, &name, &value))
                                return false;
                        which = known_parameter(name);
                        if (seen & which)
                                return false;
                        seen |= which;
                        if (which == 1)
                                *ret_for = value;
                }
                if (*at == s.n || s.p[*at] != ';')
                        return true;
                ++*at;
        }
}

static bool read_elements(struct sg_str s, struct hops *h)
{
        size_t at = 0;

        h->n = 0;
        while ((at = blanks_end(s, at)) < s.n) {
                const size_t start = at;
                struct sg_str node;

                if (!read_element(s, &at, &node))
                        return false;
                if (at > start)
                        h->of[h->n++ % SG_FORWARDED_HOPS_MAX] = node;
                at = blanks_end(s, at);
                if (at == s.n)
                        return true;
                if (s.p[at] != ',')
                        return false;
                at++;
        }
        return true;
}

/* "_" 1*( ALPHA / DIGIT / "." / "_" / "-" ) */
static bool is_hidden_port(struct sg_str text)
{
        for (size_t i = 1; i < text.n; i++) {
                const char c = text.p[i];

                if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
                      c == '_' || c == '-'))
                        return false;
        }
        return text.n > 1 && text.p[0] == '_';
}

static void walk_elements(struct walk *w, struct sg_str value)
{
        struct hops h;

        if (!read_elements(value, &h)) {
                w->is_over = true;
                return;
        }
        for (size_t i = 0; i < h.n && i < SG_FORWARDED_HOPS_MAX && !w->is_over; i++) {
                struct sg_str port;
                struct sg_ip ip;
                bool is_address = sg_ip_parse_node(&ip, h.of[(h.n - 1 - i) % SG_FORWARDED_HOPS_MAX], &port) &&
                                  (port.n == 0 || is_port(port) || is_hidden_port(port));

                step(w, is_address, &ip);
        }
        if (h.n > SG_FORWARDED_HOPS_MAX)
                w->is_over = true;
}

/* ---- both */

/* Several fields of a name are one list, in their order: the last is walked first. */
static void walk_fields(struct walk *w, const struct sg_head *head, struct sg_str name,
                        void (*walk_value)(struct walk *w, struct sg_str value))
{
        for (size_t i = head->n_headers; i-- > 0 && !w->is_over;) {
                if (!sg_str_ieq(head->headers[i].name, name))
                        continue;
                w->is_present = true;
                walk_value(w, head->headers[i].value);
        }
}

static enum sg_forwarded_result outcome(const struct walk *w, struct sg_ip *ret)
{
        if (!w->is_present || (!w->n_hops && !w->is_over))
                return SG_FORWARDED_NONE; /* or only empty lists */
        if (!w->n_hops)
                return SG_FORWARDED_UNREADABLE;
        *ret = w->nearest;
        return SG_FORWARDED_CLIENT;
}

enum sg_forwarded_result sg_forwarded_find(struct sg_ip *ret, const struct sg_head *head,
                                           const struct sg_networks *trusted)
{
        struct walk list = {.trusted = trusted}, elements = {.trusted = trusted};
        struct sg_ip by_list, by_elements;
        enum sg_forwarded_result a, b;

        walk_fields(&list, head, SG_STR("x-forwarded-for"), walk_list);
        walk_fields(&elements, head, SG_STR("forwarded"), walk_elements);
        a = outcome(&list, &by_list);
        b = outcome(&elements, &by_elements);
        if (a != SG_FORWARDED_NONE && b != SG_FORWARDED_NONE &&
            !(a == SG_FORWARDED_CLIENT && b == SG_FORWARDED_CLIENT && sg_ip_is_same(&by_list, &by_elements)))
                return SG_FORWARDED_DISAGREE;
        if (a == SG_FORWARDED_CLIENT)
                *ret = by_list;
        else if (b == SG_FORWARDED_CLIENT)
                *ret = by_elements;
        return a != SG_FORWARDED_NONE ? a : b;
}
