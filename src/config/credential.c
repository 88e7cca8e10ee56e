/*
 * Where secrets come from. The value is checked to be one of the three forms before anything of it is told: what stands
 * there may be the secret itself.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/message_id.h"
#include "config/build.h"

static int check_bytes(const struct sg_value *v, const char *what, const struct sg_secret *secret)
{
        size_t n = sg_secret_bytes(secret).n, at = sg_secret_first_odd(secret);

        if (n == 0)
                return sg_value_refuse(v, "%s is empty", what);
        if (at < n)
                return sg_value_refuse(v,
                                       "%s holds a blank, a line end or another byte that no key has (byte %zu of "
                                       "%zu); it must be the key alone",
                                       what, at + 1, n);
        return 0;
}

/* if_missing: what to say when there is no such file. */
static int from_file(const struct sg_value *v, const char *what, const char *path, const char *if_missing,
                     struct sg_secret **ret)
{
        SG_AUTO(sg_secret_unref) struct sg_secret *secret = NULL;
        int r = sg_secret_new_from_file(&secret, path);

        if (r == -ENOMEM)
                return r;
        if (r == -ENOENT && if_missing)
                return sg_value_refuse(v, "%s", if_missing);
        if (r == -E2BIG)
                return sg_value_refuse(v, "%s has more than %u bytes", what, SG_SECRET_BYTES_MAX);
        if (r == -EACCES || r == -EPERM)
                return sg_value_refuse(v, "%s cannot be read: %s; the user of the service must be able to", what,
                                       strerror(-r));
        if (r)
                return sg_value_refuse(v, "%s cannot be read: %s", what, strerror(-r));
        r = check_bytes(v, what, secret);
        if (!r)
                *ret = SG_GIVE(secret);
        return r;
}

static int from_credential(const struct sg_value *v, struct sg_str name, const struct sg_surroundings *around,
                           struct sg_secret **ret)
{
        const char *directory = sg_surroundings_env(around, "CREDENTIALS_DIRECTORY");
        const char *path, *what, *if_missing;

        if (!directory)
                return sg_value_refuse(
                        v,
                        "there is no credential '" SG_STR_FMT
                        "', because CREDENTIALS_DIRECTORY is not set: 'scribectl credential set " SG_STR_FMT
                        "' or LoadCredential=" SG_STR_FMT
                        ":/path gives the unit one; elsewhere use file:/path or env:NAME",
                        SG_STR_ARG(name), SG_STR_ARG(name), SG_STR_ARG(name));
        path = sg_pool_printf(v->pool, "%s/" SG_STR_FMT, directory, SG_STR_ARG(name));
        what = sg_pool_printf(v->pool, "the credential '" SG_STR_FMT "'", SG_STR_ARG(name));
        if_missing = sg_pool_printf(v->pool,
                                    "the unit has no credential '" SG_STR_FMT "': give it one by 'scribectl credential "
                                    "set " SG_STR_FMT "' or LoadCredential=" SG_STR_FMT ":/path, and restart it",
                                    SG_STR_ARG(name), SG_STR_ARG(name), SG_STR_ARG(name));
        return path && what && if_missing ? from_file(v, what, path, if_missing, ret) : -ENOMEM;
}

static int from_variable(const struct sg_value *v, struct sg_str name, const struct sg_surroundings *around,
                         struct sg_secret **ret)
{
        SG_AUTO(sg_secret_unref) struct sg_secret *secret = NULL;
        const char *variable, *text;
        char *what;
        int r;

        variable = sg_pool_dup(v->pool, name);
        what = sg_pool_printf(v->pool, "the environment variable " SG_STR_FMT, SG_STR_ARG(name));
        if (!variable || !what)
                return -ENOMEM;
        text = sg_surroundings_env(around, variable);
        if (!text)
                return sg_value_refuse(v, "%s is not set; set it where the gateway is started", what);
        r = sg_secret_new(&secret, sg_str_from(text));
        if (r == -E2BIG)
                return sg_value_refuse(v, "%s has more than %u bytes", what, SG_SECRET_BYTES_MAX);
        if (!r)
                r = check_bytes(v, what, secret);
        if (!r)
                *ret = SG_GIVE(secret);
        return r;
}

enum form {
        FORM_CREDENTIAL,
        FORM_FILE,
        FORM_ENV,
        FORM_N
};

static enum form find_form(struct sg_str word)
{
        static const char *const forms[FORM_N] = {"credential", "file", "env"};
        unsigned i = 0;

        while (i < FORM_N && !sg_str_eq(word, sg_str_from(forms[i])))
                i++;
        return (enum form)i;
}

/* The gateway never has the database's password, and the ledger never a provider's. */
static bool is_read(const struct sg_value *v, const struct sg_surroundings *around)
{
        return v->setting->section == SG_SECTION_LEDGER ? around->reads_database_secrets : around->reads_secrets;
}

static int read_secret(const struct sg_value *v, const struct sg_surroundings *around, struct sg_secret **ret)
{
        const char *path, *what;
        struct sg_str rest = v->text, word;
        enum form form = sg_str_cut(&rest, ':', &word) ? find_form(word) : FORM_N;

        switch (form) {
        case FORM_CREDENTIAL:
                if (!sg_secret_is_name(rest))
                        return sg_value_refuse(v, "credential: is followed by a name of letters, digits, . _ -");
                return is_read(v, around) ? from_credential(v, rest, around, ret) : 0;
        case FORM_ENV:
                if (!sg_secret_is_name(rest))
                        return sg_value_refuse(v, "env: is followed by the name of an environment variable");
                return is_read(v, around) ? from_variable(v, rest, around, ret) : 0;
        case FORM_FILE:
                if (rest.n == 0 || rest.p[0] != '/')
                        return sg_value_refuse(v, "the path after file: must be absolute");
                if (!is_read(v, around))
                        return 0;
                path = sg_pool_dup(v->pool, rest);
                what = sg_pool_printf(v->pool, "the file " SG_STR_FMT, SG_STR_ARG(rest));
                return path && what ? from_file(v, what, path, NULL, ret) : -ENOMEM;
        case FORM_N:
                break;
        }
        return sg_value_refuse(v, "a secret may not stand in the configuration; write credential:NAME, file:/path or "
                                  "env:NAME");
}

int sg_credential_read(const struct sg_value *v, const struct sg_surroundings *around, struct sg_secret **ret)
{
        int r = read_secret(v, around, ret);

        if (r == -EINVAL)
                sg_error_needs_mending(v->err, SG_MESSAGE_CREDENTIAL);
        return r;
}

/* ---- certificates and their keys */

static int find_pem(const struct sg_value *v, const struct sg_surroundings *around, const char **ret)
{
        struct sg_str rest = v->text, word;
        enum form form = sg_str_cut(&rest, ':', &word) ? find_form(word) : FORM_N;
        const char *directory;

        if (form == FORM_FILE) {
                if (rest.n == 0 || rest.p[0] != '/')
                        return sg_value_refuse(v, "the path after file: must be absolute");
                *ret = sg_pool_dup(v->pool, rest);
                return *ret ? 0 : -ENOMEM;
        }
        if (form != FORM_CREDENTIAL)
                return sg_value_refuse(v, "write file:/path or credential:NAME");
        if (!sg_secret_is_name(rest))
                return sg_value_refuse(v, "credential: is followed by a name of letters, digits, . _ -");
        directory = sg_surroundings_env(around, "CREDENTIALS_DIRECTORY");
        if (!directory && is_read(v, around))
                return sg_value_refuse(
                        v,
                        "CREDENTIALS_DIRECTORY is not set: credentials come from systemd, which sets it for "
                        "a unit with LoadCredential=" SG_STR_FMT ":/path; elsewhere use file:/path",
                        SG_STR_ARG(rest));
        *ret = sg_pool_printf(v->pool, "%s/" SG_STR_FMT, directory ? directory : "", SG_STR_ARG(rest));
        return *ret ? 0 : -ENOMEM;
}

int sg_pem_path(const struct sg_value *v, const struct sg_surroundings *around, const char **ret)
{
        int r = find_pem(v, around, ret);

        if (r == -EINVAL)
                sg_error_needs_mending(v->err, SG_MESSAGE_CERTIFICATE);
        return r;
}
