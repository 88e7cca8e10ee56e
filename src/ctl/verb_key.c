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

        return models ? sg_ctl_join(models) : strdup("all");
}

static void print_line(const char *name, const char *value)
{
        printf("  %-9s ", name);
        sg_ctl_print_text(value);
        putchar('\n');
}

/* One below the other; "of acme: " before those of a group above. */
static void print_limits(struct json_object *subject, const char *of, bool *is_first)
{
        struct json_object *limits = sg_ctl_member(subject, "limits");
        size_t n = json_object_is_type(limits, json_type_array) ? json_object_array_length(limits) : 0;

        for (size_t i = 0; i < n; i++) {
                printf("  %-9s ", *is_first ? "limits" : "");
                *is_first = false;
                if (of) {
                        fputs("of ", stdout);
                        sg_ctl_print_text(of);
                        fputs(": ", stdout);
                }
                sg_ctl_print_text(json_object_get_string(json_object_array_get_idx(limits, i)));
                putchar('\n');
        }
}

/* groups: from the key's own up to the root; NULL: they were not told. */
static void print_groups(struct json_object *key, struct json_object *groups)
{
        size_t n = json_object_is_type(groups, json_type_array) ? json_object_array_length(groups) : 0;
        bool is_first = true;

        if (sg_ctl_text(key, "group")[0]) {
                printf("  %-9s ", "group");
                sg_ctl_print_text(sg_ctl_text(key, "group"));
                for (size_t i = 1; i < n; i++) {
                        fputs(", in ", stdout);
                        sg_ctl_print_text(sg_ctl_text(json_object_array_get_idx(groups, i), "name"));
                }
                putchar('\n');
        }
        print_limits(key, NULL, &is_first);
        for (size_t i = 0; i < n; i++) {
                struct json_object *group = json_object_array_get_idx(groups, i);

                print_limits(group, sg_ctl_text(group, "name"), &is_first);
        }
}

static void print_key(struct json_object *key, struct json_object *groups)
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
        print_groups(key, groups);
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
                print_key(sg_ctl_member(reply, "key"), NULL);
                putchar('\n');
                sg_ctl_print_text(secret);
                fputs("  (shown once; store it now)\n", stdout);
        }
}

/* ---- key create, change, rotate */

/* "never" is 0, where a key may have been given an end before. */
static bool add_expiry(const struct sg_ctl *ctl, struct json_object *parameters)
{
        const char *expires = ctl->values[SG_CTL_EXPIRES];
        uint64_t now = sg_clock_wall_usec(), at = 0;

        if (!expires)
                return true;
        if (strcmp(expires, NEVER) != 0) {
                if (!sg_ctl_parse_when(sg_str_from(expires), now, SG_CTL_AHEAD, &at)) {
                        sg_ctl_complain("--expires is not understood: write 30d, 2026-12-31, 2026-12-31T10:00:00Z or "
                                        "never");
                        return false;
                }
                if (at <= now) {
                        sg_ctl_complain("--expires lies in the past");
                        return false;
                }
        }
        json_object_object_add(parameters, "expires_wall_usec", json_object_new_uint64(at));
        return true;
}

static bool add_models(const struct sg_ctl *ctl, struct json_object *parameters)
{
        if (sg_ctl_has(ctl, SG_CTL_MODELS) && sg_ctl_has(ctl, SG_CTL_ALL_MODELS)) {
                sg_ctl_complain("give one of --models and --all-models, not both");
                return false;
        }
        if (sg_ctl_has(ctl, SG_CTL_MODELS))
                json_object_object_add(parameters, "models", sg_ctl_list_of(sg_str_from(ctl->values[SG_CTL_MODELS])));
        if (sg_ctl_has(ctl, SG_CTL_ALL_MODELS))
                json_object_object_add(parameters, "all_models", json_object_new_boolean(true));
        return true;
}

/* The name and what its options say; NULL: wrong usage, which was printed. */
static struct json_object *key_parameters(const struct sg_ctl *ctl)
{
        struct json_object *parameters = json_object_new_object();

        json_object_object_add(parameters, "name", json_object_new_string(ctl->arguments[0]));
        if (add_models(ctl, parameters) && add_expiry(ctl, parameters) && sg_ctl_add_limits(ctl, parameters) &&
            sg_ctl_add_name(ctl, SG_CTL_GROUP, SG_CTL_NO_GROUP, "group", parameters))
                return parameters;
        json_object_put(parameters);
        return NULL;
}

/* On stderr: what a script reads stays what it was. */
static void print_note(const struct sg_ctl *ctl, struct json_object *reply)
{
        SG_AUTO(sg_text_free) char *note = sg_ctl_escape(sg_str_from(sg_ctl_text(reply, "note")));

        (void)fflush(stdout);
        if (note && note[0] && !sg_ctl_has(ctl, SG_CTL_JSON))
                sg_ctl_complain("%s", note);
}

enum sg_ctl_exit sg_ctl_verb_key_create(struct sg_ctl *ctl)
{
        struct json_object *parameters = key_parameters(ctl), *reply;
        enum sg_ctl_exit e;

        if (!parameters)
                return SG_CTL_USAGE;
        if (sg_ctl_u64(parameters, "expires_wall_usec") == 0)
                json_object_object_del(parameters, "expires_wall_usec");
        e = sg_ctl_ask(ctl, SG_CTL_LEDGER_END, "io.scribe.Ledger.CreateKey", parameters, &reply);
        if (e)
                return e;
        print_secret(ctl, reply);
        print_note(ctl, reply);
        json_object_put(reply);
        return SG_CTL_OK;
}

enum sg_ctl_exit sg_ctl_verb_key_change(struct sg_ctl *ctl)
{
        struct json_object *parameters = key_parameters(ctl), *reply;
        enum sg_ctl_exit e;

        if (!parameters)
                return SG_CTL_USAGE;
        if (json_object_object_length(parameters) == 1) {
                sg_ctl_complain("nothing to change was given; try 'scribectl help key change'");
                json_object_put(parameters);
                return SG_CTL_USAGE;
        }
        e = sg_ctl_ask(ctl, SG_CTL_LEDGER_END, "io.scribe.Ledger.ChangeKey", parameters, &reply);
        if (e)
                return e;
        if (sg_ctl_has(ctl, SG_CTL_JSON))
                sg_ctl_print_json(reply);
        else if (!sg_ctl_has(ctl, SG_CTL_QUIET))
                print_key(sg_ctl_member(reply, "key"), NULL);
        print_note(ctl, reply);
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
                print_key(sg_ctl_member(reply, "key"), sg_ctl_member(reply, "groups"));
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
