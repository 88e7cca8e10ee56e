/* 'audit': who changed what, newest first. */
#include "base/clock.h"
#include "ctl/ctl.h"

#define LIMIT_USUAL 50u

static bool add_time(const struct sg_ctl *ctl, enum sg_ctl_option o, const char *member, struct json_object *parameters)
{
        const char *text = ctl->values[o];
        uint64_t at;

        if (!text)
                return true;
        if (!sg_ctl_parse_when(sg_str_from(text), sg_clock_wall_usec(), SG_CTL_BACK, &at)) {
                sg_ctl_complain("%s is not understood: write 24h, today, 2026-12-31 or 2026-12-31T10:00:00Z",
                                sg_ctl_options[o].name);
                return false;
        }
        json_object_object_add(parameters, member, json_object_new_uint64(at));
        return true;
}

/* ---- what an entry changed: "limits: none -> 600 requests/minute" */

static char *value_text(struct json_object *value)
{
        if (json_object_is_type(value, json_type_array))
                return sg_ctl_join(value);
        return strdup(value ? json_object_get_string(value) : "none");
}

static void add_member(FILE *f, const char *name, struct json_object *before, struct json_object *after, bool has_both)
{
        SG_AUTO(sg_text_free) char *old = value_text(before);
        SG_AUTO(sg_text_free) char *new = value_text(after);
        bool is_time = strstr(name, "_wall_usec") != NULL;
        char when[2][SG_CTL_WHEN_BYTES];
        const char *a = old ? old : "?", *b = new ? new : "?";

        if (is_time) {
                a = sg_ctl_format_when(json_object_get_uint64(before), when[0]);
                b = sg_ctl_format_when(json_object_get_uint64(after), when[1]);
        }
        fprintf(f, "%s%.*s: ", ftell(f) > 0 ? "; " : "", (int)(strlen(name) - (is_time ? strlen("_wall_usec") : 0)),
                name);
        if (has_both)
                fprintf(f, "%s -> ", a);
        fputs(b, f);
}

/* Members of the second that are not the same in the first. */
static void write_new(FILE *f, struct json_object *before, struct json_object *after)
{
        json_object_object_foreach(after, name, value)
        {
                struct json_object *was = sg_ctl_member(before, name);

                if (before ? !json_object_equal(was, value) : value != NULL)
                        add_member(f, name, was, value, before != NULL);
        }
}

static void write_gone(FILE *f, struct json_object *before, struct json_object *after)
{
        json_object_object_foreach(before, name, value)
        {
                if (value && !json_object_object_get_ex(after, name, NULL))
                        add_member(f, name, value, NULL, true);
        }
}

static char *change_text(struct json_object *entry)
{
        struct json_object *before = sg_ctl_member(entry, "before"), *after = sg_ctl_member(entry, "after");
        char *text = NULL;
        size_t bytes;
        FILE *f = open_memstream(&text, &bytes);

        if (!f)
                return NULL;
        if (after)
                write_new(f, before, after);
        else
                fputs("removed", f);
        if (before && after)
                write_gone(f, before, after);
        fclose(f);
        return text;
}

static void print_entries(struct json_object *entries)
{
        static const char *const head[] = {"when", "who", "pid", "verb", "subject", "change"};
        size_t n = json_object_array_length(entries);
        struct sg_table *t = sg_table_new(SG_N_ELEMENTS(head));

        for (size_t i = 0; i < SG_N_ELEMENTS(head); i++)
                sg_table_add(t, head[i]);
        for (size_t i = 0; i < n; i++) {
                struct json_object *entry = json_object_array_get_idx(entries, i);
                SG_AUTO(sg_text_free) char *change = change_text(entry);
                char when[SG_CTL_WHEN_BYTES], uid[32];

                (void)snprintf(uid, sizeof(uid), "%llu", (unsigned long long)sg_ctl_u64(entry, "uid"));
                sg_table_add(t, sg_ctl_format_when(sg_ctl_u64(entry, "wall_usec"), when));
                sg_table_add(t, sg_ctl_text(entry, "user")[0] ? sg_ctl_text(entry, "user") : uid);
                sg_table_add_u64(t, sg_ctl_u64(entry, "pid"));
                sg_table_add(t, sg_ctl_text(entry, "verb"));
                sg_table_add(t, sg_ctl_text(entry, "subject"));
                sg_table_add(t, change ? change : "?");
        }
        sg_table_print(t, stdout);
        sg_table_free(t);
}

static void print_audit(struct json_object *reply)
{
        struct json_object *entries = sg_ctl_member(reply, "entries");

        if (!json_object_is_type(entries, json_type_array) || json_object_array_length(entries) == 0)
                puts("no changes");
        else
                print_entries(entries);
        (void)fflush(stdout);
        if (json_object_get_boolean(sg_ctl_member(reply, "is_limited")))
                sg_ctl_complain("there is more: raise --limit, or narrow by --since, --until or --subject");
}

enum sg_ctl_exit sg_ctl_verb_audit(struct sg_ctl *ctl)
{
        struct json_object *parameters = json_object_new_object(), *reply;
        enum sg_ctl_exit e;

        json_object_object_add(parameters, "limit", json_object_new_uint64(LIMIT_USUAL));
        if (!add_time(ctl, SG_CTL_SINCE, "from_wall_usec", parameters) ||
            !add_time(ctl, SG_CTL_UNTIL, "to_wall_usec", parameters) ||
            !sg_ctl_add_number(ctl, SG_CTL_LIMIT, "limit", parameters)) {
                json_object_put(parameters);
                return SG_CTL_USAGE;
        }
        if (sg_ctl_has(ctl, SG_CTL_SUBJECT))
                json_object_object_add(parameters, "subject", json_object_new_string(ctl->values[SG_CTL_SUBJECT]));
        e = sg_ctl_ask(ctl, SG_CTL_LEDGER_END, "io.scribe.Ledger.QueryAudit", parameters, &reply);
        if (e)
                return e;
        if (sg_ctl_has(ctl, SG_CTL_JSON))
                sg_ctl_print_json(reply);
        else
                print_audit(reply);
        json_object_put(reply);
        return SG_CTL_OK;
}
