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
        if (SG_LIKELY(!config->trusted_proxies.n && !config->trusts_unix) || !sg_peer_is_trusted(config, peer))
                return false;
        r = sg_forwarded_find(&client, head, &config->trusted_proxies);
        if (r == SG_FORWARDED_CLIENT)
                snprintf(out, out_bytes, "%s", sg_ip_text(&client, text));
        else if (r != SG_FORWARDED_NONE)
                *ret_note = sg_forwarded_result_text(r);
        return r == SG_FORWARDED_CLIENT;
}

/* ---- told to the next one */

/* All fields of that name as one list, and ours behind them. */
static int add_chain(struct sg_buf *b, const struct sg_head *head, struct sg_str name, struct sg_str own)
{
        int r = sg_buf_add(b, name);

        if (!r)
                r = sg_buf_add(b, SG_STR(": "));
        for (size_t i = 0; !r && head && i < head->n_headers; i++) {
                if (!sg_str_ieq(head->headers[i].name, name) || !head->headers[i].value.n)
                        continue;
                r = sg_buf_add(b, head->headers[i].value);
                if (!r)
                        r = sg_buf_add(b, SG_STR(", "));
        }
        if (!r)
                r = sg_buf_add(b, own);
        return r ? r : sg_buf_add(b, SG_STR("\r\n"));
}

/* A host that would need quoting inside quotes is no host. */
static bool is_host(struct sg_str host)
{
        return host.n && sg_str_find_byte(host, '"') == host.n && sg_str_find_byte(host, '\\') == host.n;
}

/* for="[2001:db8::1]";host="api.example";proto=https */
static int add_element(struct sg_buf *b, const struct sg_head *earlier, const char *address, bool is_v6,
                       struct sg_str host, const char *scheme)
{
        char own[SG_IP_TEXT_BYTES + 512];
        int n = snprintf(own, sizeof(own), "for=%s%s%s%s" SG_STR_FMT "%s;proto=%s", is_v6 ? "\"[" : "", address,
                         is_v6 ? "]\"" : "", host.n ? ";host=\"" : "", SG_STR_ARG(host), host.n ? "\"" : "", scheme);

        return add_chain(b, earlier, SG_STR("forwarded"), sg_str_make(own, (size_t)n));
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
        const char *scheme = a->is_tls ? "https" : "http";
        const struct sg_head *earlier = sg_peer_is_trusted(a->config, a->peer) ? head : NULL;
        struct sg_str port, host = is_host(head->host) ? head->host : SG_STR_NONE;
        char address[SG_IP_TEXT_BYTES] = "unknown";
        struct sg_ip ip;
        bool is_v6 = false;
        int r = 0;

        if (sg_ip_parse_node(&ip, sg_str_from(a->peer), &port)) {
                (void)sg_ip_text(&ip, address);
                is_v6 = ip.n_bytes == 16;
        }
        host = sg_str_head(host, SG_MIN(host.n, (size_t)255));
        if (!sg_service_decides(c, SG_STR("forwarded")))
                r = add_element(b, earlier, address, is_v6, host, scheme);
        if (!r && !sg_service_decides(c, SG_STR("x-forwarded-for")))
                r = add_chain(b, earlier, SG_STR("x-forwarded-for"), sg_str_from(address));
        if (!r)
                r = add_told(b, c, earlier, SG_STR("x-forwarded-proto"), sg_str_from(scheme));
        return r ? r : add_told(b, c, earlier, SG_STR("x-forwarded-host"), host);
}
