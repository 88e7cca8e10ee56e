/*
 * base/ip.h - numeric IP addresses, and the networks that they are in
 *
 * Shape    plain values. An IPv4 address in IPv6 form (::ffff:192.0.2.1) is the IPv4 address, so that it does not matter by
 *          which kind of socket it came
 * Units    bytes in network order; n_bits of the network's part
 * Errors   false; or a positive SG_NETWORK_E_*: what is wrong with what was written
 * Source   RFC 4291 section 2.2 and RFC 4632 section 3.1 for the texts, as inet_pton(3) reads them: no leading zeros, no zone
 */
#pragma once

#include "base/str.h"

struct sg_ip {
        uint8_t n_bytes; /* 4 or 16; 0: none */
        uint8_t bytes[16];
};

struct sg_network {
        struct sg_ip ip;
        unsigned n_bits;
};

/* "192.0.2.1", "2001:db8::1". */
bool sg_ip_parse(struct sg_ip *ret, struct sg_str text);
/* n_bytes is 4 or 16. */
void sg_ip_from_bytes(struct sg_ip *ret, const void *bytes, size_t n_bytes);
/* "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]", "[2001:db8::1]:80". *ret_port is what follows the colon, unread; empty
 * when there is none. */
bool sg_ip_parse_node(struct sg_ip *ret, struct sg_str text, struct sg_str *ret_port);
bool sg_ip_is_same(const struct sg_ip *a, const struct sg_ip *b);

#define SG_IP_TEXT_BYTES 46
const char *sg_ip_text(const struct sg_ip *ip, char out[SG_IP_TEXT_BYTES]);

enum sg_network_error {
        SG_NETWORK_E_ADDRESS = 1, /* no numeric address */
        SG_NETWORK_E_BITS,        /* what follows the slash is no length of such an address's network */
        SG_NETWORK_E_HOST,        /* bits are set behind that length: 10.0.0.1/8 */
};
/* "10.0.0.0/8", "2001:db8::/32", or an address alone. */
int sg_network_parse(struct sg_network *ret, struct sg_str text) SG_MUST_CHECK;
bool sg_network_has(const struct sg_network *n, const struct sg_ip *ip);

struct sg_networks {
        const struct sg_network *items;
        size_t n;
};
bool sg_networks_have(const struct sg_networks *networks, const struct sg_ip *ip);
