/*
 * The credentials of a provider, by priority. What stands in a line may be the secret itself, written in the wrong place:
 * of a line that is refused nothing is told but the name, once its source has the right form.
 */
#include <errno.h>

#include "base/limits.h"
#include "base/message_id.h"
#include "config/build.h"

/* Behind all of the same priority. */
static struct sg_config_credential *insert(struct sg_config_provider *p, const struct sg_config_credential *one)
{
        size_t at = p->n_credentials++;

        for (; at > 0 && p->credentials[at - 1].priority > one->priority; at--)
                p->credentials[at] = p->credentials[at - 1];
        p->credentials[at] = *one;
        return &p->credentials[at];
}

/* That of the setting api_key; of a provider without any one that sends nothing. */
static void add_first(const struct sg_raw_section *section, struct sg_config_provider *p)
{
        const struct sg_raw_line *line = sg_raw_last(section, sg_setting_get("provider.api_key"));
        struct sg_config_credential one = {
                .name = line ? "api_key" : "", .priority = 1, .where = line ? line->where : section->where};

        if (p->api_key)
                one.api_key = sg_secret_ref(p->api_key);
        insert(p, &one);
}

int sg_provider_credentials(struct sg_whole *w, const struct sg_raw_section *section, struct sg_config_provider *p,
                            const struct sg_surroundings *around, struct sg_error *err)
{
        p->credentials = sg_pool_array(&w->pool, SG_CREDENTIALS_MAX, sizeof(*p->credentials));
        if (!p->credentials)
                return -ENOMEM;
        add_first(section, p);
        return 0;
}
