#include "ctl/ctl.h"

static struct json_object *parameters_of(const struct sg_ctl *ctl)
{
        static const char *const names[] = {"service", "endpoint"};
        struct json_object *o = json_object_new_object();

        for (size_t i = 0; i < ctl->n_arguments; i++)
                json_object_object_add(o, names[i], json_object_new_string(ctl->arguments[i]));
        return o;
}

/* ---- upstream list */

static void add_endpoints(struct json_object *reply, void *owner)
{
        struct json_object *all = owner, *some = sg_ctl_member(reply, "endpoints");
        size_t n = json_object_is_type(some, json_type_array) ? json_object_array_length(some) : 0;

        for (size_t i = 0; i < n; i++)
                json_object_array_add(all, json_object_get(json_object_array_get_idx(some, i)));
}

/* Names only: of services, or of the endpoints of the one that was asked for. */
static void print_names(struct json_object *endpoints, const char *member)
{
        const char *before = "";

        for (size_t i = 0; i < json_object_array_length(endpoints); i++) {
                const char *name = sg_ctl_text(json_object_array_get_idx(endpoints, i), member);

                if (strcmp(name, before) != 0) {
                        sg_ctl_print_text(name);
                        putchar('\n');
                }
                before = name;
        }
}

static void add_row(struct sg_table *t, struct json_object *e)
{
        char text[SG_CTL_WHEN_BYTES];

        sg_table_add(t, sg_ctl_text(e, "service"));
        sg_table_add(t, sg_ctl_text(e, "endpoint"));
        sg_table_add_u64(t, sg_ctl_u64(e, "weight"));
        sg_table_add(t, sg_ctl_text(e, "state"));
        sg_table_add(t, sg_ctl_format_duration(sg_ctl_u64(e, "state_for_usec"), text));
        sg_table_add_u64(t, sg_ctl_u64(e, "n_open"));
        sg_table_add_u64(t, sg_ctl_u64(e, "n_asked"));
        sg_table_add_u64(t, sg_ctl_u64(e, "n_failed"));
        sg_table_add(t, sg_ctl_text(e, "why"));
}

static void print_list(struct json_object *endpoints)
{
        static const struct {
                const char *name;
                bool is_right;
        } heads[] = {{"service", false}, {"endpoint", false}, {"weight", true}, {"state", false}, {"for", false},
                     {"open", true},     {"asked", true},     {"failed", true}, {"why", false}};
        struct sg_table *t;

        if (json_object_array_length(endpoints) == 0) {
                puts("there is no service: the configuration has no [service] section");
                return;
        }
        t = sg_table_new(SG_N_ELEMENTS(heads));
        for (size_t i = 0; i < SG_N_ELEMENTS(heads); i++) {
                sg_table_add(t, heads[i].name);
                if (heads[i].is_right)
                        sg_table_set_right(t, i);
        }
        for (size_t i = 0; i < json_object_array_length(endpoints); i++)
                add_row(t, json_object_array_get_idx(endpoints, i));
        sg_table_print(t, stdout);
        sg_table_free(t);
}

enum sg_ctl_exit sg_ctl_verb_upstream_list(struct sg_ctl *ctl)
{
        struct json_object *all = json_object_new_object(), *endpoints = json_object_new_array();
        enum sg_ctl_exit e;

        json_object_object_add(all, "endpoints", endpoints);
        e = sg_ctl_ask_more(ctl, SG_CTL_GATEWAY, "io.scribe.Gateway.ListUpstreams", parameters_of(ctl), add_endpoints,
                            endpoints);
        if (e == SG_CTL_OK && sg_ctl_has(ctl, SG_CTL_JSON))
                sg_ctl_print_json(all);
        else if (e == SG_CTL_OK && sg_ctl_has(ctl, SG_CTL_QUIET))
                print_names(endpoints, ctl->n_arguments ? "endpoint" : "service");
        else if (e == SG_CTL_OK)
                print_list(endpoints);
        json_object_put(all);
        return e;
}

/* ---- upstream drain, enable */

static void print_endpoint(struct json_object *endpoint)
{
        fputs("endpoint ", stdout);
        sg_ctl_print_text(sg_ctl_text(endpoint, "endpoint"));
        fputs(" of service ", stdout);
        sg_ctl_print_text(sg_ctl_text(endpoint, "service"));
}

static void print_drained(struct json_object *reply)
{
        struct json_object *endpoint = sg_ctl_member(reply, "endpoint");
        const uint64_t n = sg_ctl_u64(endpoint, "n_open");

        print_endpoint(endpoint);
        fputs(json_object_get_boolean(sg_ctl_member(reply, "changed")) ? " is drained" : " was drained already",
              stdout);
        if (n)
                printf("; %llu %s still open there", (unsigned long long)n, n == 1 ? "exchange is" : "exchanges are");
        putchar('\n');
        if (!json_object_get_boolean(sg_ctl_member(reply, "usable")))
                puts("no other endpoint of the service can be asked now: its clients get 503");
}

static void print_enabled(struct json_object *reply)
{
        struct json_object *endpoint = sg_ctl_member(reply, "endpoint");

        print_endpoint(endpoint);
        fputs(json_object_get_boolean(sg_ctl_member(reply, "changed")) ? " is enabled" : " was enabled already",
              stdout);
        if (strcmp(sg_ctl_text(endpoint, "state"), "up") != 0) {
                fputs(", but it is ", stdout);
                sg_ctl_print_text(sg_ctl_text(endpoint, "state"));
                fputs(": ", stdout);
                sg_ctl_print_text(sg_ctl_text(endpoint, "why"));
        }
        putchar('\n');
}

static enum sg_ctl_exit change(struct sg_ctl *ctl, const char *method, void (*print)(struct json_object *reply))
{
        struct json_object *reply;
        enum sg_ctl_exit e = sg_ctl_ask(ctl, SG_CTL_GATEWAY, method, parameters_of(ctl), &reply);

        if (e)
                return e;
        if (sg_ctl_has(ctl, SG_CTL_JSON))
                sg_ctl_print_json(reply);
        else if (!sg_ctl_has(ctl, SG_CTL_QUIET))
                print(reply);
        json_object_put(reply);
        return SG_CTL_OK;
}

enum sg_ctl_exit sg_ctl_verb_upstream_drain(struct sg_ctl *ctl)
{
        return change(ctl, "io.scribe.Gateway.DrainUpstream", print_drained);
}

enum sg_ctl_exit sg_ctl_verb_upstream_enable(struct sg_ctl *ctl)
{
        return change(ctl, "io.scribe.Gateway.EnableUpstream", print_enabled);
}
