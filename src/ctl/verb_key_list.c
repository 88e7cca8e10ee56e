/* 'key list': a million keys pass through, page by page, and are never held. */
#include "ctl/ctl.h"

#define NEVER "never"

struct list {
        const struct sg_ctl *ctl;
        struct sg_table *table;
        uint64_t n_keys, next_id;
        bool has_begun; /* what fails at once prints nothing */
};

static void begin(struct list *l)
{
        static const char *const head[] = {"name",   "state",  "secret",  "group",
                                           "limits", "models", "created", "expires"};

        l->has_begun = true;
        if (sg_ctl_has(l->ctl, SG_CTL_JSON)) {
                fputs("{\n  \"keys\": [", stdout);
        } else if (!sg_ctl_has(l->ctl, SG_CTL_QUIET)) {
                l->table = sg_table_new(SG_N_ELEMENTS(head));
                for (size_t i = 0; i < SG_N_ELEMENTS(head); i++)
                        sg_table_add(l->table, head[i]);
        }
}

static void add_joined(struct sg_table *t, struct json_object *strings, const char *none)
{
        SG_AUTO(sg_text_free) char *text = sg_ctl_join(strings);

        sg_table_add(t, strings && text ? text : none);
}

static void add_row(struct sg_table *t, struct json_object *key)
{
        uint64_t expires = sg_ctl_u64(key, "expires_wall_usec");
        char when[SG_CTL_WHEN_BYTES], prefix[64];

        (void)snprintf(prefix, sizeof(prefix), "%s...", sg_ctl_text(key, "prefix"));
        sg_table_add(t, sg_ctl_text(key, "name"));
        sg_table_add(t, sg_ctl_text(key, "state"));
        sg_table_add(t, prefix);
        sg_table_add(t, sg_ctl_text(key, "group")[0] ? sg_ctl_text(key, "group") : "-");
        add_joined(t, sg_ctl_member(key, "limits"), "-");
        add_joined(t, sg_ctl_member(key, "models"), "all");
        sg_table_add(t, sg_ctl_format_when(sg_ctl_u64(key, "created_wall_usec"), when));
        sg_table_add(t, expires ? sg_ctl_format_when(expires, when) : NEVER);
}

static void show_key(struct list *l, struct json_object *key)
{
        if (l->table) {
                add_row(l->table, key);
        } else if (sg_ctl_has(l->ctl, SG_CTL_JSON)) {
                printf("%s\n    %s", l->n_keys ? "," : "",
                       json_object_to_json_string_ext(key, JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE));
        } else {
                sg_ctl_print_text(sg_ctl_text(key, "name"));
                putchar('\n');
        }
        l->n_keys++;
}

static void on_page(struct json_object *reply, void *owner)
{
        struct json_object *keys = sg_ctl_member(reply, "keys");
        size_t n = json_object_is_type(keys, json_type_array) ? json_object_array_length(keys) : 0;
        struct list *l = owner;

        if (!l->has_begun)
                begin(l);
        for (size_t i = 0; i < n; i++)
                show_key(l, json_object_array_get_idx(keys, i));
        l->next_id = sg_ctl_u64(reply, "next_id");
        if (l->table && l->n_keys)
                sg_table_flush(l->table, stdout);
}

static void end(struct list *l)
{
        bool is_filtered = sg_ctl_has(l->ctl, SG_CTL_NAME) || sg_ctl_has(l->ctl, SG_CTL_GROUP) ||
                           sg_ctl_has(l->ctl, SG_CTL_FROM) || sg_ctl_has(l->ctl, SG_CTL_ALL);

        if (sg_ctl_has(l->ctl, SG_CTL_JSON)) {
                fputs(l->n_keys ? "\n  ]" : "]", stdout);
                if (l->next_id)
                        printf(",\n  \"next_id\": %llu", (unsigned long long)l->next_id);
                puts("\n}");
        } else if (l->table && l->n_keys == 0) {
                puts(is_filtered ? "there is no such key" : "there is no key yet; make one: scribectl key create NAME");
        }
        (void)fflush(stdout);
        if (l->next_id && !sg_ctl_has(l->ctl, SG_CTL_JSON))
                sg_ctl_complain("there is more: go on with --from %llu", (unsigned long long)l->next_id);
}

enum sg_ctl_exit sg_ctl_verb_key_list(struct sg_ctl *ctl)
{
        struct json_object *parameters = json_object_new_object();
        struct list l = {.ctl = ctl};
        enum sg_ctl_exit e;

        json_object_object_add(parameters, "include_revoked", json_object_new_boolean(sg_ctl_has(ctl, SG_CTL_ALL)));
        if (sg_ctl_has(ctl, SG_CTL_NAME))
                json_object_object_add(parameters, "name", json_object_new_string(ctl->values[SG_CTL_NAME]));
        if (sg_ctl_has(ctl, SG_CTL_GROUP))
                json_object_object_add(parameters, "group", json_object_new_string(ctl->values[SG_CTL_GROUP]));
        if (!sg_ctl_add_number(ctl, SG_CTL_LIMIT, "limit", parameters) ||
            !sg_ctl_add_number(ctl, SG_CTL_FROM, "from_id", parameters)) {
                json_object_put(parameters);
                return SG_CTL_USAGE;
        }
        e = sg_ctl_ask_more(ctl, SG_CTL_LEDGER_END, "io.scribe.Ledger.ListKeys", parameters, on_page, &l);
        if (e == SG_CTL_OK)
                end(&l);
        sg_table_free(l.table);
        return e;
}
