#include "ctl/ctl.h"

#define DEPTH_SHOWN_MAX 16u /* the ledger allows eight; a circle ends here */

static void print_quoted(const char *before, const char *name, const char *after)
{
        fputs(before, stdout);
        sg_ctl_print_text(name);
        fputs(after, stdout);
}

/* "  limits    600 requests/minute", one below the other; "-" when there are none. */
static void print_limits(struct json_object *group)
{
        struct json_object *limits = sg_ctl_member(group, "limits");
        size_t n = json_object_is_type(limits, json_type_array) ? json_object_array_length(limits) : 0;

        for (size_t i = 0; i < n; i++) {
                printf("  %-9s ", i ? "" : "limits");
                print_quoted("", json_object_get_string(json_object_array_get_idx(limits, i)), "\n");
        }
        if (n == 0)
                puts("  limits    none of its own");
}

static void print_group(struct json_object *group)
{
        char when[SG_CTL_WHEN_BYTES];

        print_quoted("group ", sg_ctl_text(group, "name"), "\n");
        if (sg_ctl_text(group, "parent")[0])
                print_quoted("  parent    ", sg_ctl_text(group, "parent"), "\n");
        print_limits(group);
        printf("  keys      %llu\n", (unsigned long long)sg_ctl_u64(group, "keys"));
        printf("  created   %s\n", sg_ctl_format_when(sg_ctl_u64(group, "created_wall_usec"), when));
}

/* ---- group create, change */

static enum sg_ctl_exit ask_and_show(struct sg_ctl *ctl, const char *method, struct json_object *parameters)
{
        struct json_object *reply;
        enum sg_ctl_exit e = sg_ctl_ask(ctl, SG_CTL_LEDGER_END, method, parameters, &reply);

        if (e)
                return e;
        if (sg_ctl_has(ctl, SG_CTL_JSON))
                sg_ctl_print_json(reply);
        else if (!sg_ctl_has(ctl, SG_CTL_QUIET))
                print_group(sg_ctl_member(reply, "group"));
        json_object_put(reply);
        return SG_CTL_OK;
}

/* The name and what its options say; NULL: wrong usage, which was printed. */
static struct json_object *group_parameters(const struct sg_ctl *ctl)
{
        struct json_object *parameters = json_object_new_object();

        json_object_object_add(parameters, "name", json_object_new_string(ctl->arguments[0]));
        if (sg_ctl_add_limits(ctl, parameters) &&
            sg_ctl_add_name(ctl, SG_CTL_PARENT, SG_CTL_NO_PARENT, "parent", parameters))
                return parameters;
        json_object_put(parameters);
        return NULL;
}

enum sg_ctl_exit sg_ctl_verb_group_create(struct sg_ctl *ctl)
{
        struct json_object *parameters = group_parameters(ctl);

        if (!parameters)
                return SG_CTL_USAGE;
        return ask_and_show(ctl, "io.scribe.Ledger.CreateGroup", parameters);
}

enum sg_ctl_exit sg_ctl_verb_group_change(struct sg_ctl *ctl)
{
        struct json_object *parameters = group_parameters(ctl);

        if (!parameters)
                return SG_CTL_USAGE;
        if (json_object_object_length(parameters) == 1) {
                sg_ctl_complain("nothing to change was given; try 'scribectl help group change'");
                json_object_put(parameters);
                return SG_CTL_USAGE;
        }
        return ask_and_show(ctl, "io.scribe.Ledger.ChangeGroup", parameters);
}

/* ---- group remove, show */

static enum sg_ctl_exit ask_by_name(struct sg_ctl *ctl, const char *method, struct json_object **ret)
{
        struct json_object *parameters = json_object_new_object();

        json_object_object_add(parameters, "name", json_object_new_string(ctl->arguments[0]));
        return sg_ctl_ask(ctl, SG_CTL_LEDGER_END, method, parameters, ret);
}

enum sg_ctl_exit sg_ctl_verb_group_remove(struct sg_ctl *ctl)
{
        struct json_object *reply;
        enum sg_ctl_exit e = ask_by_name(ctl, "io.scribe.Ledger.RemoveGroup", &reply);

        if (e)
                return e;
        if (sg_ctl_has(ctl, SG_CTL_JSON))
                sg_ctl_print_json(reply);
        else if (!sg_ctl_has(ctl, SG_CTL_QUIET))
                print_quoted("group ", sg_ctl_text(sg_ctl_member(reply, "group"), "name"), " is removed\n");
        json_object_put(reply);
        return SG_CTL_OK;
}

/* The groups of the array by name, with what limits each. */
static void print_others(const char *what, struct json_object *groups)
{
        size_t n = json_object_is_type(groups, json_type_array) ? json_object_array_length(groups) : 0;

        for (size_t i = 0; i < n; i++) {
                struct json_object *one = json_object_array_get_idx(groups, i);
                SG_AUTO(sg_text_free) char *limits = sg_ctl_join(sg_ctl_member(one, "limits"));

                printf("  %-9s ", i ? "" : what);
                print_quoted("", sg_ctl_text(one, "name"), limits && limits[0] ? ": " : "\n");
                if (limits && limits[0])
                        print_quoted("", limits, "\n");
        }
}

enum sg_ctl_exit sg_ctl_verb_group_show(struct sg_ctl *ctl)
{
        struct json_object *reply;
        enum sg_ctl_exit e = ask_by_name(ctl, "io.scribe.Ledger.ShowGroup", &reply);

        if (e)
                return e;
        if (sg_ctl_has(ctl, SG_CTL_JSON)) {
                sg_ctl_print_json(reply);
        } else {
                print_group(sg_ctl_member(reply, "group"));
                print_others("above", sg_ctl_member(reply, "above"));
                print_others("below", sg_ctl_member(reply, "below"));
        }
        json_object_put(reply);
        return SG_CTL_OK;
}

/* ---- group list: a tree */

static void add_groups(struct json_object *reply, void *owner)
{
        struct json_object *all = owner, *groups = sg_ctl_member(reply, "groups");
        size_t n = json_object_is_type(groups, json_type_array) ? json_object_array_length(groups) : 0;

        for (size_t i = 0; i < n; i++)
                json_object_array_add(all, json_object_get(json_object_array_get_idx(groups, i)));
}

static int by_parent_and_name(const void *a, const void *b)
{
        struct json_object *const *x = a, *const *y = b;
        int r = strcmp(sg_ctl_text(*x, "parent"), sg_ctl_text(*y, "parent"));

        return r ? r : strcmp(sg_ctl_text(*x, "name"), sg_ctl_text(*y, "name"));
}

static int to_parent(const void *name, const void *group)
{
        return strcmp(name, sg_ctl_text(*(struct json_object *const *)group, "parent"));
}

static void add_row(struct sg_table *t, struct json_object *group, unsigned depth)
{
        SG_AUTO(sg_text_free) char *limits = sg_ctl_join(sg_ctl_member(group, "limits"));
        char name[256];

        (void)snprintf(name, sizeof(name), "%*s%s", (int)(2 * depth), "", sg_ctl_text(group, "name"));
        sg_table_add(t, name);
        sg_table_add_u64(t, sg_ctl_u64(group, "keys"));
        sg_table_add(t, limits && limits[0] ? limits : "-");
}

/* Those below that parent, each followed by its own; groups are sorted by parent. */
static void add_below(struct sg_table *t, struct json_object **groups, size_t n, const char *parent, unsigned depth)
{
        struct json_object **at = n ? bsearch(parent, groups, n, sizeof(struct json_object *), to_parent) : NULL;

        if (!at || depth >= DEPTH_SHOWN_MAX)
                return;
        while (at > groups && to_parent(parent, at - 1) == 0)
                at--;
        for (; at < groups + n && to_parent(parent, at) == 0; at++) {
                add_row(t, *at, depth);
                add_below(t, groups, n, sg_ctl_text(*at, "name"), depth + 1);
        }
}

static void print_tree(struct json_object *all)
{
        size_t n = json_object_array_length(all);
        struct json_object **groups = calloc(n + 1, sizeof(struct json_object *));
        struct sg_table *t = sg_table_new(3);

        SG_ASSERT(groups);
        for (size_t i = 0; i < n; i++)
                groups[i] = json_object_array_get_idx(all, i);
        qsort(groups, n, sizeof(struct json_object *), by_parent_and_name);
        sg_table_add(t, "name");
        sg_table_add(t, "keys");
        sg_table_add(t, "limits");
        sg_table_set_right(t, 1);
        add_below(t, groups, n, "", 0);
        sg_table_print(t, stdout);
        sg_table_free(t);
        free(groups);
}

enum sg_ctl_exit sg_ctl_verb_group_list(struct sg_ctl *ctl)
{
        struct json_object *all = json_object_new_object(), *groups = json_object_new_array();
        enum sg_ctl_exit e;

        json_object_object_add(all, "groups", groups);
        e = sg_ctl_ask_more(ctl, SG_CTL_LEDGER_END, "io.scribe.Ledger.ListGroups", NULL, add_groups, groups);
        if (e == SG_CTL_OK && sg_ctl_has(ctl, SG_CTL_JSON)) {
                sg_ctl_print_json(all);
        } else if (e == SG_CTL_OK && sg_ctl_has(ctl, SG_CTL_QUIET)) {
                for (size_t i = 0; i < json_object_array_length(groups); i++)
                        print_quoted("", sg_ctl_text(json_object_array_get_idx(groups, i), "name"), "\n");
        } else if (e == SG_CTL_OK && json_object_array_length(groups) == 0) {
                puts("there is no group yet; make one: scribectl group create NAME");
        } else if (e == SG_CTL_OK) {
                print_tree(groups);
        }
        json_object_put(all);
        return e;
}
