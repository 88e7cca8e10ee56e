/*
 * Whom we believe about others: the proxies whose word about the client's address counts.
 */
#include <errno.h>

#include "config/build.h"

#define SEPARATORS " \t,"

static int add_word(struct sg_config *c, struct sg_network *items, const struct sg_value *v, struct sg_str word)
{
        static const char *const why[] = {
                [SG_NETWORK_E_ADDRESS] = "is neither a numeric address nor a network; write 192.0.2.1, 10.0.0.0/8, "
                                         "2001:db8::/32 or unix",
                [SG_NETWORK_E_BITS] = "has no length of such a network after the slash",
                [SG_NETWORK_E_HOST] = "has bits behind the length of the network: write the network's own address",
        };
        char shown[SG_VALUE_SHOWN_BYTES];
        int r;

        if (sg_str_eq(word, SG_STR("unix"))) {
                c->trusts_unix = true;
                return 0;
        }
        r = sg_network_parse(&items[c->trusted_proxies.n], word);
        if (r)
                return sg_value_refuse(v, "'%s' %s", sg_value_shown(word, shown), why[r]);
        c->trusted_proxies.n++;
        return 0;
}

/* Nobody could say a word on such a listener. */
static int check_listeners(struct sg_whole *w, struct sg_error *err)
{
        const struct sg_config *c = &w->config;

        if (c->trusted_proxies.n || c->trusts_unix)
                return 0;
        for (size_t i = 0; i < c->n_listeners; i++)
                if (c->listeners[i].proxy_protocol)
                        return sg_error_set(err, -EINVAL, c->listeners[i].where,
                                            "[listener \"%s\"] has proxy_protocol = yes, but [gateway] has no "
                                            "trusted_proxies that may speak it",
                                            c->listeners[i].name);
        return 0;
}

int sg_trusted_build(struct sg_whole *w, struct sg_error *err)
{
        const struct sg_setting *s = sg_setting_get("gateway.trusted_proxies");
        const struct sg_raw_section *section = sg_raw_find(&w->raw, SG_SECTION_GATEWAY, SG_STR_NONE);
        const struct sg_raw_line *first = sg_raw_first_of(section, s);
        struct sg_network *items;
        size_t room = 0;
        int r = 0;

        for (const struct sg_raw_line *line = first; line; line = sg_raw_next_of(section, line))
                room += line->value.n / 2 + 1;
        items = sg_pool_array(&w->pool, room, sizeof(*items));
        if (!items)
                return -ENOMEM;
        w->config.trusted_proxies.items = items;
        for (const struct sg_raw_line *line = first; line && !r; line = sg_raw_next_of(section, line)) {
                struct sg_value v = {s, line->value, line->where, &w->pool, err};
                struct sg_str rest = line->value;

                for (struct sg_str word = sg_value_next_word(&rest, SEPARATORS); word.n && !r;
                     word = sg_value_next_word(&rest, SEPARATORS))
                        r = add_word(&w->config, items, &v, word);
        }
        return r ? r : check_listeners(w, err);
}
