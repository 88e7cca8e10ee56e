#include "gateway/forwarded.h"

#include <stdio.h>

#include "gateway/service_fields.h"
#include "http/forwarded.h"
#include "http/h1.h"

bool sg_peer_is_trusted(const struct sg_config *config, const char *peer)
{
        const struct sg_str text = sg_str_from(peer);
        struct sg_str port;
        struct sg_ip ip;

        if (!config->trusted_proxies.n && !config->trusts_unix)
                return false;
        if (sg_ip_parse_node(&ip, text, &port))
                return sg_networks_have(&config->trusted_proxies, &ip);
        return config->trusts_unix && (sg_str_eq(text, SG_STR("unix")) || sg_str_starts(text, SG_STR("unix:")));
}

bool sg_forwarded_client(const struct sg_config *config, const char *peer, const struct sg_head *head, char *out,
                         size_t out_bytes, const char **ret_note)
{
        char text[SG_IP_TEXT_BYTES];
        enum sg_forwarded_result r;
        struct sg_ip client;

        *ret_note = NULL;
        if (SG_LIKELY(!sg_peer_is_trusted(config, peer)))
                return false;
        r = sg_forwarded_find(&client, head, &config->trusted_proxies);
        if (r == SG_FORWARDED_CLIENT)
                snprintf(out, out_bytes, "%s", sg_ip_text(&client, text));
        else if (r != SG_FORWARDED_NONE)
                *ret_note = sg_forwarded_result_text(r);
        return r == SG_FORWARDED_CLIENT;
}

/* ---- told to the next one */

/* All fields of that name as one list, up to where ours stands. */
static int begin_chain(struct sg_buf *b, const struct sg_head *earlier, struct sg_str name)
{
        int r = sg_buf_add(b, name);

        if (!r)
                r = sg_buf_add(b, SG_STR(": "));
        for (size_t i = 0; !r && earlier && i < earlier->n_headers; i++) {
                if (!sg_str_ieq(earlier->headers[i].name, name) || !earlier->headers[i].value.n)
                        continue;
                r = sg_buf_add(b, earlier->headers[i].value);
                if (!r)
                        r = sg_buf_add(b, SG_STR(", "));
        }
        return r;
}

static int add_all(struct sg_buf *b, const struct sg_str *pieces, size_t n)
{
        int r = 0;

        for (size_t i = 0; !r && i < n; i++)
                r = sg_buf_add(b, pieces[i]);
        return r;
}

/* A host that would need quoting inside quotes is no host. */
static bool is_host(struct sg_str host)
{
        return host.n && sg_str_find_byte(host, '"') == host.n && sg_str_find_byte(host, '\\') == host.n;
}

/* for="[2001:db8::1]";host="api.example";proto=https */
static int add_element(struct sg_buf *b, const struct sg_head *earlier, struct sg_str address, struct sg_str host,
                       struct sg_str scheme)
{
        const bool is_v6 = sg_str_find_byte(address, ':') < address.n;
        const struct sg_str pieces[] = {SG_STR("for="),
                                        is_v6 ? SG_STR("\"[") : SG_STR_NONE,
                                        address,
                                        is_v6 ? SG_STR("]\"") : SG_STR_NONE,
                                        host.n ? SG_STR(";host=\"") : SG_STR_NONE,
                                        host,
                                        host.n ? SG_STR("\"") : SG_STR_NONE,
                                        SG_STR(";proto="),
                                        scheme,
                                        SG_STR("\r\n")};
        int r = begin_chain(b, earlier, SG_STR("forwarded"));

        return r ? r : add_all(b, pieces, SG_N_ELEMENTS(pieces));
}

static int add_address(struct sg_buf *b, const struct sg_head *earlier, struct sg_str address)
{
        const struct sg_str pieces[] = {address, SG_STR("\r\n")};
        int r = begin_chain(b, earlier, SG_STR("x-forwarded-for"));

        return r ? r : add_all(b, pieces, SG_N_ELEMENTS(pieces));
}

/* Of "192.0.2.1:4711" what stands before the port; what has brackets may be an IPv4 address in IPv6 clothes. */
static struct sg_str address_of(const char *peer, char text[SG_IP_TEXT_BYTES])
{
        const struct sg_str whole = sg_str_from(peer);
        const size_t colon = sg_str_find_byte(whole, ':');
        struct sg_str port;
        struct sg_ip ip;

        if (colon < whole.n && whole.p[0] >= '0' && whole.p[0] <= '9')
                return sg_str_head(whole, colon);
        if (!sg_ip_parse_node(&ip, whole, &port))
                return SG_STR("unknown");
        return sg_str_from(sg_ip_text(&ip, text));
}

static int add_told(struct sg_buf *b, const struct sg_config_service *c, const struct sg_head *earlier,
                    struct sg_str name, struct sg_str own)
{
        struct sg_str told = earlier ? sg_head_value(earlier, name) : SG_STR_NONE;

        if (sg_service_decides(c, name) || (!told.n && !own.n))
                return 0;
        return sg_h1_add_header(b, name, told.n ? told : own);
}

int sg_forwarded_add(struct sg_buf *b, const struct sg_config_service *c, const struct sg_head *head,
                     const struct sg_service_arrival *a)
{
        const struct sg_str scheme = a->is_tls ? SG_STR("https") : SG_STR("http");
        const struct sg_head *earlier = sg_peer_is_trusted(a->config, a->peer) ? head : NULL;
        struct sg_str host = is_host(head->host) ? head->host : SG_STR_NONE;
        char text[SG_IP_TEXT_BYTES];
        const struct sg_str address = address_of(a->peer, text);
        int r = 0;

        host = sg_str_head(host, SG_MIN(host.n, (size_t)255));
        if (!sg_service_decides(c, SG_STR("forwarded")))
                r = add_element(b, earlier, address, host, scheme);
        if (!r && !sg_service_decides(c, SG_STR("x-forwarded-for")))
                r = add_address(b, earlier, address);
        if (!r)
                r = add_told(b, c, earlier, SG_STR("x-forwarded-proto"), scheme);
        return r ? r : add_told(b, c, earlier, SG_STR("x-forwarded-host"), host);
}
