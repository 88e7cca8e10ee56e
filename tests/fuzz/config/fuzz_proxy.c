/*
 * What the environment says of proxies: two lines, `no_proxy` and then `https_proxy`, for providers of each kind of host.
 * A password in the URL comes out as the secret only, and never in an error.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "config/build.h"

static char *no_proxy, *https_proxy;

static const char *get_env(const char *name)
{
        return strcmp(name, "no_proxy") == 0 ? no_proxy : strcmp(name, "https_proxy") == 0 ? https_proxy : NULL;
}

static void build(const char *text)
{
        const struct sg_surroundings around = {.get_env = get_env, .reads_secrets = true};
        SG_AUTO(sg_whole_free) struct sg_whole *w = sg_whole_new();
        struct sg_error err = {0};
        int r = w ? sg_raw_add_bytes(&w->raw, sg_str_from(text), "fuzz.conf", &err) : -1;

        SG_ASSERT(r == 0);
        r = sg_whole_build(w, &around, &err);
        SG_ASSERT(r <= 0 && !r == !err.text[0]);
        for (size_t i = 0; !r && i < w->config.n_providers; i++) {
                const struct sg_config_provider *p = &w->config.providers[i];

                SG_ASSERT(!p->proxy_host || (p->proxy_host[0] && p->proxy_port && p->proxy_where));
                SG_ASSERT(!p->proxy_authorization || p->proxy_host);
        }
        SG_ASSERT(strlen(err.text) < 120); /* constant words: nothing of the URL */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char *const texts[] = {"[provider \"p\"]\ndialect = openai\nbase_url = https://api.example/v1\n",
                                            "[provider \"p\"]\ndialect = openai\nbase_url = https://10.1.2.3:8443/v1\n",
                                            "[provider \"p\"]\ndialect = openai\nbase_url = https://[2001:db8::1]\n"};
        struct sg_str rest = sg_str_make(data, size), first;

        (void)sg_str_cut(&rest, '\n', &first);
        no_proxy = sg_str_dup(first);
        https_proxy = sg_str_dup(rest);
        SG_ASSERT(no_proxy && https_proxy);
        for (size_t i = 0; i < SG_N_ELEMENTS(texts); i++)
                build(texts[i]);
        free(no_proxy);
        free(https_proxy);
        return 0;
}
