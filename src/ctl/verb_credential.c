/*
 * Secrets of the service, encrypted on the disk (vault.c does the work). Whether the configuration in force uses one is
 * read from its text: a secret stands there as "credential:NAME".
 */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/vault.h"

static bool is_root(const struct sg_ctl *ctl)
{
        if (geteuid() == 0)
                return true;
        sg_ctl_complain("not permitted: '%s' needs root: it reads and writes %s; use sudo", ctl->verb->name,
                        sg_vault_of_service.directory);
        return false;
}

static bool is_name(const char *name)
{
        SG_AUTO(sg_text_free) char *shown = NULL;

        if (sg_secret_is_name(sg_str_from(name)))
                return true;
        shown = sg_ctl_escape(sg_str_from(name));
        sg_ctl_complain("'%s' is no name of a credential: letters, digits, . _ and -, no dot first", shown);
        return false;
}

static void complain(const struct sg_error *err)
{
        char line[sizeof(*err)];

        sg_ctl_complain("%s", sg_error_line(err, line, sizeof(line)));
}

/* ---- what the configuration in force uses */

/* NULL: it cannot be asked. */
static struct json_object *ask_config(struct sg_ctl *ctl)
{
        struct json_object *reply;

        return sg_ctl_ask_quietly(ctl, SG_CTL_GATEWAY, "io.scribe.Gateway.GetConfig", &reply) ? NULL : reply;
}

/* "api_key = credential:NAME  # file:line", "credential = b credential:NAME priority=2  # file:line" */
static bool line_uses(struct sg_str line, const char *name)
{
        struct sg_str value = line, setting, source, form;

        if (!sg_str_cut(&value, '=', &setting))
                return false;
        for (unsigned i = 0; i < 2; i++) {
                while (value.n && value.p[0] == ' ')
                        value = sg_str_skip(value, 1);
                (void)sg_str_cut(&value, ' ', &source);
                if (sg_str_cut(&source, ':', &form) && sg_str_eq(form, SG_STR("credential")))
                        return sg_str_eq(source, sg_str_from(name));
        }
        return false;
}

static bool is_used(struct json_object *config, const char *name)
{
        struct sg_str text = sg_str_from(sg_ctl_text(config, "text")), line;

        while (text.n) {
                (void)sg_str_cut(&text, '\n', &line);
                if (line_uses(line, name))
                        return true;
        }
        return false;
}

/* ---- set */

static void tell_set(const struct sg_ctl *ctl, const char *name, bool is_pem)
{
        if (sg_ctl_has(ctl, SG_CTL_JSON)) {
                struct json_object *o = json_object_new_object();

                json_object_object_add(o, "name", json_object_new_string(name));
                json_object_object_add(o, "needs_restart", json_object_new_boolean(true));
                sg_ctl_print_json(o);
                json_object_put(o);
        } else if (!sg_ctl_has(ctl, SG_CTL_QUIET)) {
                printf("credential %s is stored, encrypted, in %s/%s.cred\n", name, sg_vault_of_service.directory,
                       name);
                printf("  name it in the configuration  %s = credential:%s\n", is_pem ? "tls_key" : "api_key", name);
                puts("  let the service read it       systemctl restart scribe-gateway  (its sockets stay open: "
                     "nothing is "
                     "dropped)");
        }
}

enum sg_ctl_exit sg_ctl_verb_credential_set(struct sg_ctl *ctl)
{
        static const int interruptions[] = {SIGINT, SIGTERM, SIGHUP};
        SG_AUTO(sg_secret_unref) struct sg_secret *secret = NULL;
        const char *name = ctl->arguments[0];
        struct sg_error err = {0};
        char question[256];

        if (!is_name(name))
                return SG_CTL_USAGE;
        if (!is_root(ctl))
                return SG_CTL_DENIED;
        (void)snprintf(question, sizeof(question), "secret of '%s'", name);
        if (sg_ctl_read_secret(ctl->values[SG_CTL_FILE], question, &secret, &err)) {
                complain(&err);
                return SG_CTL_FAILED;
        }
        /* From here on it is all or nothing: an interruption ends the children, and what they did is undone. */
        for (size_t i = 0; i < SG_N_ELEMENTS(interruptions); i++)
                (void)signal(interruptions[i], SIG_IGN);
        if (sg_vault_set(&sg_vault_of_service, name, secret, &err)) {
                complain(&err);
                return SG_CTL_FAILED;
        }
        tell_set(ctl, name, sg_ctl_is_pem(secret));
        return SG_CTL_OK;
}

/* ---- list */

static void print_table(const struct sg_vault_entry *entries, size_t n, struct json_object *config)
{
        struct sg_table *t = sg_table_new(3);

        sg_table_add(t, "name");
        sg_table_add(t, "encrypted with");
        sg_table_add(t, "used by the configuration in force");
        for (size_t i = 0; i < n; i++) {
                const char *use = !config ? "not known: the gateway does not answer"
                                          : (is_used(config, entries[i].name) ? "yes" : "no");

                sg_table_add(t, entries[i].name);
                sg_table_add(t, entries[i].key);
                sg_table_add(t, entries[i].has_dropin ? use : "no drop-in hands it over: set it again");
        }
        sg_table_print(t, stdout);
        sg_table_free(t);
}

static void print_json(const struct sg_vault_entry *entries, size_t n, struct json_object *config)
{
        struct json_object *o = json_object_new_object(), *list = json_object_new_array();

        for (size_t i = 0; i < n; i++) {
                struct json_object *one = json_object_new_object();

                json_object_object_add(one, "name", json_object_new_string(entries[i].name));
                json_object_object_add(one, "encrypted_with", json_object_new_string(entries[i].key));
                json_object_object_add(one, "has_dropin", json_object_new_boolean(entries[i].has_dropin));
                json_object_object_add(one, "is_used",
                                       config ? json_object_new_boolean(is_used(config, entries[i].name)) : NULL);
                json_object_array_add(list, one);
        }
        json_object_object_add(o, "credentials", list);
        sg_ctl_print_json(o);
        json_object_put(o);
}

enum sg_ctl_exit sg_ctl_verb_credential_list(struct sg_ctl *ctl)
{
        struct sg_vault_entry *entries;
        struct json_object *config;
        struct sg_error err = {0};
        size_t n;

        if (!is_root(ctl))
                return SG_CTL_DENIED;
        if (sg_vault_list(&sg_vault_of_service, &entries, &n, &err)) {
                complain(&err);
                return SG_CTL_FAILED;
        }
        config = sg_ctl_has(ctl, SG_CTL_QUIET) ? NULL : ask_config(ctl);
        if (sg_ctl_has(ctl, SG_CTL_JSON))
                print_json(entries, n, config);
        else if (sg_ctl_has(ctl, SG_CTL_QUIET))
                for (size_t i = 0; i < n; i++)
                        puts(entries[i].name);
        else if (n == 0)
                puts("no credentials");
        else
                print_table(entries, n, config);
        json_object_put(config);
        sg_vault_list_free(entries, n);
        return SG_CTL_OK;
}

/* ---- remove */

static bool may_go(struct sg_ctl *ctl, const char *name)
{
        struct json_object *config;
        bool uses;

        if (sg_ctl_has(ctl, SG_CTL_FORCE))
                return true;
        config = ask_config(ctl);
        uses = config && is_used(config, name);
        if (!config)
                sg_ctl_complain("the gateway does not answer, so that it is not known whether its configuration uses "
                                "'%s'; --force removes it all the same",
                                name);
        else if (uses)
                sg_ctl_complain("the configuration in force uses credential:%s: change it and reload first, or --force",
                                name);
        json_object_put(config);
        return config && !uses;
}

enum sg_ctl_exit sg_ctl_verb_credential_remove(struct sg_ctl *ctl)
{
        const char *name = ctl->arguments[0];
        struct sg_error err = {0};
        int r;

        if (!is_name(name))
                return SG_CTL_USAGE;
        if (!is_root(ctl))
                return SG_CTL_DENIED;
        if (!may_go(ctl, name))
                return SG_CTL_FAILED;
        r = sg_vault_remove(&sg_vault_of_service, name, &err);
        if (r) {
                complain(&err);
                return r == -ENOENT ? SG_CTL_NOT_FOUND : SG_CTL_FAILED;
        }
        if (!sg_ctl_has(ctl, SG_CTL_QUIET))
                printf("credential %s is removed\n", name);
        return SG_CTL_OK;
}
