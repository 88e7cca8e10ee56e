/*
 * The credentials of a provider, by priority. A line may hold the secret itself, in the wrong place: nothing of it is told
 * before its source has the right form, and then its name alone.
 */
#include <errno.h>

#include "base/message_id.h"
#include "config/build.h"

#define PRIORITY_MAX     100u
#define DAILY_TOKENS_MAX UINT64_C(1000000000000000)

static const char own_name[] = "api_key"; /* of the one of that setting */

/* Behind all of the same priority. */
static void insert(struct sg_config_provider *p, const struct sg_config_credential *one)
{
        size_t at = p->n_credentials++;

        for (; at > 0 && p->credentials[at - 1].priority > one->priority; at--)
                p->credentials[at] = p->credentials[at - 1];
        p->credentials[at] = *one;
}

static void add_own(const struct sg_raw_line *line, struct sg_config_provider *p)
{
        const struct sg_config_credential one = {.name = own_name,
                                                 .api_key = p->api_key ? sg_secret_ref(p->api_key) : NULL,
                                                 .priority = 1,
                                                 .where = line->where};

        insert(p, &one);
}

static int read_name(const struct sg_value *v, const struct sg_config_provider *p, struct sg_str name, const char **ret)
{
        if (!sg_secret_is_name(name))
                return sg_value_refuse(v, "the name of a credential is made of letters, digits, . _ -");
        if (sg_str_eq(name, sg_str_from(own_name)))
                return sg_value_refuse(v, "so is the one called that the setting api_key names; choose another name");
        for (size_t i = 0; i < p->n_credentials; i++)
                if (sg_str_eq(name, sg_str_from(p->credentials[i].name)))
                        return sg_value_refuse(v, "there is one called '%s' already (%s)", p->credentials[i].name,
                                               p->credentials[i].where);
        *ret = sg_pool_dup(v->pool, name);
        return *ret ? 0 : -ENOMEM;
}

/* "NAME SOURCE priority=N daily_tokens=N" */
static int read_one(const struct sg_value *v, const struct sg_config_provider *p, const struct sg_surroundings *around,
                    struct sg_config_credential *ret)
{
        struct sg_value_option options[] = {{.name = SG_STR("priority"), .max = PRIORITY_MAX},
                                            {.name = SG_STR("daily_tokens"), .max = DAILY_TOKENS_MAX}};
        SG_AUTO(sg_secret_unref) struct sg_secret *secret = NULL;
        struct sg_str rest = v->text, name = sg_value_next_word(&rest, " \t");
        struct sg_value source = *v;
        int r;

        source.text = sg_value_next_word(&rest, " \t");
        if (!source.text.n)
                return sg_value_refuse(v, "write a name for it, then where the secret is: credential:NAME, file:/path "
                                          "or env:NAME");
        r = sg_credential_read(&source, around, &secret);
        if (!r)
                r = read_name(v, p, name, &ret->name);
        if (!r)
                r = sg_value_options(v, rest, "a credential", options, SG_N_ELEMENTS(options));
        if (r)
                return r;
        ret->priority = options[0].value ? (unsigned)options[0].value : 1;
        ret->daily_tokens = options[1].value;
        ret->where = v->where;
        ret->api_key = SG_GIVE(secret);
        return 0;
}

static int add_line(struct sg_whole *w, const struct sg_raw_line *line, struct sg_config_provider *p,
                    const struct sg_surroundings *around, struct sg_error *err)
{
        const struct sg_value v = {line->setting, line->value, line->where, &w->pool, err};
        struct sg_config_credential one = {0};
        int r;

        if (p->n_credentials == SG_CREDENTIALS_MAX)
                return sg_value_refuse(&v, "there are more than %u, with api_key", SG_CREDENTIALS_MAX);
        r = read_one(&v, p, around, &one);
        if (!r)
                insert(p, &one);
        return r;
}

int sg_provider_credentials(struct sg_whole *w, const struct sg_raw_section *section, struct sg_config_provider *p,
                            const struct sg_surroundings *around, struct sg_error *err)
{
        const struct sg_raw_line *own = sg_raw_last(section, sg_setting_get("provider.api_key"));
        const struct sg_raw_line *line = sg_raw_first_of(section, sg_setting_get("provider.credential"));
        int r = 0;

        p->credentials = sg_pool_array(&w->pool, SG_CREDENTIALS_MAX, sizeof(*p->credentials));
        if (!p->credentials)
                return -ENOMEM;
        if (own)
                add_own(own, p);
        for (; line && !r; line = sg_raw_next_of(section, line))
                r = add_line(w, line, p, around, err);
        if (!r && !p->n_credentials) /* nothing is sent */
                insert(p, &(struct sg_config_credential){.name = "", .priority = 1, .where = section->where});
        return r;
}
