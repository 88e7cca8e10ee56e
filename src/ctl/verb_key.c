#include "base/clock.h"
#include "ctl/ctl.h"

#define NEVER "never"

/* ---- showing */

static const char *or_never(struct json_object *key, const char *name, char out[SG_CTL_WHEN_BYTES])
{
        return sg_ctl_u64(key, name) ? sg_ctl_format_when(sg_ctl_u64(key, name), out) : NEVER;
}

/* "gpt-*, echo" */
static char *models_text(struct json_object *key)
{
        struct json_object *models = sg_ctl_member(key, "models");
        size_t n = models ? json_object_array_length(models) : 0;
        char *text = NULL;
        size_t bytes;
        FILE *f;

        if (!models)
                return strdup("all");
        f = open_memstream(&text, &bytes);
        if (!f)
                return NULL;
        for (size_t i = 0; i < n; i++)
                fprintf(f, "%s%s", i ? ", " : "", json_object_get_string(json_object_array_get_idx(models, i)));
        fclose(f);
        return text;
}

static void print_line(const char *name, const char *value)
{
        printf("  %-9s ", name);
        sg_ctl_print_text(value);
        putchar('\n');
}

static void print_key(struct json_object *key)
{
        SG_AUTO(sg_text_free) char *models = models_text(key);
        char when[SG_CTL_WHEN_BYTES];

        fputs("key ", stdout);
        sg_ctl_print_text(sg_ctl_text(key, "name"));
        putchar('\n');
        print_line("state", sg_ctl_text(key, "state"));
        printf("  %-9s ", "secret");
        sg_ctl_print_text(sg_ctl_text(key, "prefix"));
        fputs("...\n", stdout);
        print_line("models", models ? models : "?");
        print_line("created", sg_ctl_format_when(sg_ctl_u64(key, "created_wall_usec"), when));
        print_line("expires", or_never(key, "expires_wall_usec", when));
        if (sg_ctl_u64(key, "rotated_wall_usec"))
                print_line("rotated", sg_ctl_format_when(sg_ctl_u64(key, "rotated_wall_usec"), when));
        if (sg_ctl_u64(key, "revoked_wall_usec"))
                print_line("revoked", sg_ctl_format_when(sg_ctl_u64(key, "revoked_wall_usec"), when));
}

static void print_secret(const struct sg_ctl *ctl, struct json_object *reply)
{
        const char *secret = sg_ctl_text(reply, "secret");

        if (sg_ctl_has(ctl, SG_CTL_JSON)) {
                sg_ctl_print_json(reply);
        } else if (sg_ctl_has(ctl, SG_CTL_QUIET)) {
                sg_ctl_print_text(secret);
                putchar('\n');
        } else {
                print_key(sg_ctl_member(reply, "key"));
                putchar('\n');
                sg_ctl_print_text(secret);
                fputs("  (shown once; store it now)\n", stdout);
        }
}

/* ---- key create, rotate */

static struct json_object *list_of(struct sg_str text)
{
        struct json_object *list = json_object_new_array();
        struct sg_str word;
        bool is_more = true;

        while (is_more) {
                is_more = sg_str_cut(&text, ',', &word);
                word = sg_str_trim(word);
                json_object_array_add(list, json_object_new_string_len(word.p ? word.p : "", (int)word.n));
        }
        return list;
}

enum sg_ctl_exit sg_ctl_verb_key_create(struct sg_ctl *ctl)
{
        struct json_object *parameters, *reply;
        const char *expires = ctl->values[SG_CTL_EXPIRES];
        uint64_t at = 0;
        enum sg_ctl_exit e;

        if (expires && !sg_ctl_parse_when(sg_str_from(expires), sg_clock_wall_usec(), SG_CTL_AHEAD, &at)) {
                sg_ctl_complain("--expires is not understood: write 30d, 2026-12-31 or 2026-12-31T10:00:00Z");
                return SG_CTL_USAGE;
        }
        if (expires && at <= sg_clock_wall_usec()) {
                sg_ctl_complain("--expires lies in the past");
                return SG_CTL_USAGE;
        }
        parameters = json_object_new_object();
        json_object_object_add(parameters, "name", json_object_new_string(ctl->arguments[0]));
        if (sg_ctl_has(ctl, SG_CTL_MODELS))
                json_object_object_add(parameters, "models", list_of(sg_str_from(ctl->values[SG_CTL_MODELS])));
        if (expires)
                json_object_object_add(parameters, "expires_wall_usec", json_object_new_uint64(at));
        e = sg_ctl_ask(ctl, SG_CTL_LEDGER_END, "io.scribe.Ledger.CreateKey", parameters, &reply);
        if (e)
                return e;
        print_secret(ctl, reply);
        json_object_put(reply);
        return SG_CTL_OK;
}

static enum sg_ctl_exit ask_by_name(struct sg_ctl *ctl, const char *method, struct json_object **ret)
{
        struct json_object *parameters = json_object_new_object();

        json_object_object_add(parameters, "name", json_object_new_string(ctl->arguments[0]));
        return sg_ctl_ask(ctl, SG_CTL_LEDGER_END, method, parameters, ret);
}

enum sg_ctl_exit sg_ctl_verb_key_rotate(struct sg_ctl *ctl)
{
        struct json_object *reply;
        enum sg_ctl_exit e = ask_by_name(ctl, "io.scribe.Ledger.RotateKey", &reply);

        if (e)
                return e;
        print_secret(ctl, reply);
        json_object_put(reply);
        return SG_CTL_OK;
}

/* ---- key show, revoke */

enum sg_ctl_exit sg_ctl_verb_key_show(struct sg_ctl *ctl)
{
        struct json_object *reply;
        enum sg_ctl_exit e = ask_by_name(ctl, "io.scribe.Ledger.ShowKey", &reply);

        if (e)
                return e;
        if (sg_ctl_has(ctl, SG_CTL_JSON))
                sg_ctl_print_json(reply);
        else
                print_key(sg_ctl_member(reply, "key"));
        json_object_put(reply);
        return SG_CTL_OK;
}

enum sg_ctl_exit sg_ctl_verb_key_revoke(struct sg_ctl *ctl)
{
        struct json_object *reply;
        enum sg_ctl_exit e = ask_by_name(ctl, "io.scribe.Ledger.RevokeKey", &reply);

        if (e)
                return e;
        if (sg_ctl_has(ctl, SG_CTL_JSON)) {
                sg_ctl_print_json(reply);
        } else if (!sg_ctl_has(ctl, SG_CTL_QUIET)) {
                fputs("key ", stdout);
                sg_ctl_print_text(sg_ctl_text(sg_ctl_member(reply, "key"), "name"));
                fputs(" is revoked\n", stdout);
        }
        json_object_put(reply);
        return SG_CTL_OK;
}

/* ---- key list */

static void add_keys(struct json_object *reply, void *owner)
{
        struct json_object *all = owner, *keys = sg_ctl_member(reply, "keys");
        size_t n = json_object_is_type(keys, json_type_array) ? json_object_array_length(keys) : 0;

        for (size_t i = 0; i < n; i++)
                json_object_array_add(all, json_object_get(json_object_array_get_idx(keys, i)));
}

static void print_list(struct json_object *keys)
{
        static const char *const head[] = {"name", "state", "secret", "models", "created", "expires"};
        size_t n = json_object_array_length(keys);
        struct sg_table *t;

        if (n == 0) {
                puts("there is no key yet; make one: scribectl key create NAME");
                return;
        }
        t = sg_table_new(SG_N_ELEMENTS(head));
        for (size_t i = 0; i < SG_N_ELEMENTS(head); i++)
                sg_table_add(t, head[i]);
        for (size_t i = 0; i < n; i++) {
                struct json_object *key = json_object_array_get_idx(keys, i);
                SG_AUTO(sg_text_free) char *models = models_text(key);
                char when[SG_CTL_WHEN_BYTES], prefix[64];

                (void)snprintf(prefix, sizeof(prefix), "%s...", sg_ctl_text(key, "prefix"));
                sg_table_add(t, sg_ctl_text(key, "name"));
                sg_table_add(t, sg_ctl_text(key, "state"));
                sg_table_add(t, prefix);
                sg_table_add(t, models ? models : "?");
                sg_table_add(t, sg_ctl_format_when(sg_ctl_u64(key, "created_wall_usec"), when));
                sg_table_add(t, or_never(key, "expires_wall_usec", when));
        }
        sg_table_print(t, stdout);
        sg_table_free(t);
}

enum sg_ctl_exit sg_ctl_verb_key_list(struct sg_ctl *ctl)
{
        struct json_object *parameters = json_object_new_object(), *all = json_object_new_object();
        struct json_object *keys = json_object_new_array();
        enum sg_ctl_exit e;

        json_object_object_add(all, "keys", keys);
        json_object_object_add(parameters, "include_revoked", json_object_new_boolean(sg_ctl_has(ctl, SG_CTL_ALL)));
        e = sg_ctl_ask_more(ctl, SG_CTL_LEDGER_END, "io.scribe.Ledger.ListKeys", parameters, add_keys, keys);
        if (e == SG_CTL_OK && sg_ctl_has(ctl, SG_CTL_JSON)) {
                sg_ctl_print_json(all);
        } else if (e == SG_CTL_OK && sg_ctl_has(ctl, SG_CTL_QUIET)) {
                for (size_t i = 0; i < json_object_array_length(keys); i++) {
                        sg_ctl_print_text(sg_ctl_text(json_object_array_get_idx(keys, i), "name"));
                        putchar('\n');
                }
        } else if (e == SG_CTL_OK) {
                print_list(keys);
        }
        json_object_put(all);
        return e;
}
