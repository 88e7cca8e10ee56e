#include "base/ip.h"

#include <arpa/inet.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291, 2.5.5.2 */

void sg_ip_from_bytes(struct sg_ip *ret, const void *bytes, size_t n_bytes)
{
        struct sg_ip ip = {.n_bytes = (uint8_t)n_bytes};

        SG_ASSERT(n_bytes == 4 || n_bytes == 16);
        if (n_bytes == 16 && memcmp(bytes, mapped, sizeof(mapped)) == 0) {
                ip.n_bytes = 4;
                bytes = (const uint8_t *)bytes + sizeof(mapped);
        }
        memcpy(ip.bytes, bytes, ip.n_bytes);
        *ret = ip;
}

/* Without looking for IPv4 inside of IPv6. */
static size_t read_bytes(uint8_t out[16], struct sg_str text)
{
        char name[SG_IP_TEXT_BYTES];
        bool is_v6 = sg_str_find_byte(text, ':') < text.n;

        if (text.n >= sizeof(name) || sg_str_find_byte(text, '\0') < text.n)
                return 0;
        memcpy(name, text.p ? text.p : "", text.n);
        name[text.n] = '\0';
        if (inet_pton(is_v6 ? AF_INET6 : AF_INET, name, out) != 1)
                return 0;
        return is_v6 ? 16 : 4;
}

bool sg_ip_parse(struct sg_ip *ret, struct sg_str text)
{
        uint8_t bytes[16];
        size_t n = read_bytes(bytes, text);

        if (n)
                sg_ip_from_bytes(ret, bytes, n);
        return n > 0;
}

bool sg_ip_parse_node(struct sg_ip *ret, struct sg_str text, struct sg_str *ret_port)
{
        struct sg_str address = text, rest;
        size_t end;

        if (text.n && text.p[0] == '[') {
                end = sg_str_find_byte(text, ']');
                if (end == text.n)
                        return false;
                address = sg_str_make(text.p + 1, end - 1);
                if (sg_str_find_byte(address, ':') == address.n)
                        return false;
                rest = sg_str_skip(text, end + 1);
        } else {
                end = sg_str_find_byte(text, ':');
                address = sg_str_head(text, end);
                rest = sg_str_skip(text, end);
        }
        if (rest.n == 1 || (rest.n && rest.p[0] != ':') || !sg_ip_parse(ret, address))
                return false;
        *ret_port = sg_str_skip(rest, rest.n ? 1 : 0);
        return true;
}

bool sg_ip_is_same(const struct sg_ip *a, const struct sg_ip *b)
{
        return a->n_bytes == b->n_bytes && memcmp(a->bytes, b->bytes, a->n_bytes) == 0;
}

const char *sg_ip_text(const struct sg_ip *ip, char out[SG_IP_TEXT_BYTES])
{
        SG_ASSERT(ip->n_bytes == 4 || ip->n_bytes == 16);
        return inet_ntop(ip->n_bytes == 4 ? AF_INET : AF_INET6, ip->bytes, out, SG_IP_TEXT_BYTES);
}

/* ---- networks */

static bool has_host_bits(const struct sg_network *n)
{
        for (unsigned bit = n->n_bits; bit < n->ip.n_bytes * 8u; bit++)
                if (n->ip.bytes[bit / 8] & (0x80u >> bit % 8))
                        return true;
        return false;
}

int sg_network_parse(struct sg_network *ret, struct sg_str text)
{
        struct sg_str length = text, address;
        bool has_length = sg_str_cut(&length, '/', &address);
        struct sg_network n = {.n_bits = 0};
        uint8_t bytes[16];
        size_t n_bytes = read_bytes(bytes, address);
        uint64_t n_bits = 8 * n_bytes;

        if (!n_bytes)
                return SG_NETWORK_E_ADDRESS;
        if (has_length && (length.n > 3 || sg_str_to_u64(length, &n_bits) || n_bits > 8 * n_bytes))
                return SG_NETWORK_E_BITS;
        sg_ip_from_bytes(&n.ip, bytes, n_bytes);
        if (n.ip.n_bytes < n_bytes) { /* an IPv4 network in IPv6 form; a wider one would be half of each kind */
                if (n_bits < 8 * sizeof(mapped))
                        return SG_NETWORK_E_BITS;
                n_bits -= 8 * sizeof(mapped);
        }
        n.n_bits = (unsigned)n_bits;
        if (has_host_bits(&n))
                return SG_NETWORK_E_HOST;
        *ret = n;
        return 0;
}

bool sg_network_has(const struct sg_network *n, const struct sg_ip *ip)
{
        const unsigned whole = n->n_bits / 8, rest = n->n_bits % 8;

        if (n->ip.n_bytes != ip->n_bytes || memcmp(n->ip.bytes, ip->bytes, whole) != 0)
                return false;
        return rest == 0 || ((n->ip.bytes[whole] ^ ip->bytes[whole]) & (0xff00u >> rest) & 0xffu) == 0;
}

bool sg_networks_have(const struct sg_networks *networks, const struct sg_ip *ip)
{
        for (size_t i = 0; i < networks->n; i++)
                if (sg_network_has(&networks->items[i], ip))
                        return true;
        return false;
}
