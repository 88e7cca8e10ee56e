#include "gateway/forwarded.h"

#include <stdio.h>

#include "http/forwarded.h"

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
