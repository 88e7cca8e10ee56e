#include "ctl/ctl.h"

static void add_argument(struct json_object *o, const struct sg_ctl *ctl, const char *name, size_t i)
{
        if (i < ctl->n_arguments)
                json_object_object_add(o, name, json_object_new_string(ctl->arguments[i]));
}

static struct json_object *endpoint_parameters(const struct sg_ctl *ctl)
{
        struct json_object *o = json_object_new_object();

        add_argument(o, ctl, "service", 0);
        add_argument(o, ctl, "endpoint", 1);
        return o;
}

/* "openai/gpt-4o", or "openai credential second". */
static struct json_object *lane_parameters(const struct sg_ctl *ctl)
{
        struct json_object *o = json_object_new_object();

        add_argument(o, ctl, "name", 0);
        add_argument(o, ctl, "credential", 2);
        return o;
}

/* ---- upstream list */

struct gathered {
        const char *member;
        struct json_object *all;
};

static void gather(struct json_object *reply, void *owner)
{
        const struct gathered *g = owner;
        struct json_object *some = sg_ctl_member(reply, g->member);
        size_t n = json_object_is_type(some, json_type_array) ? json_object_array_length(some) : 0;

        for (size_t i = 0; i < n; i++)
                json_object_array_add(g->all, json_object_get(json_object_array_get_idx(some, i)));
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

struct head {
        const char *name;
        bool is_right;
};

static void print_table(struct json_object *rows, const struct head *heads, size_t n_heads,
                        void (*add)(struct sg_table *t, struct json_object *row))
{
        struct sg_table *t = sg_table_new(n_heads);

        for (size_t i = 0; i < n_heads; i++) {
                sg_table_add(t, heads[i].name);
                if (heads[i].is_right)
                        sg_table_set_right(t, i);
        }
        for (size_t i = 0; i < json_object_array_length(rows); i++)
                add(t, json_object_array_get_idx(rows, i));
        sg_table_print(t, stdout);
        sg_table_free(t);
}

static void print_endpoints(struct json_object *endpoints)
{
        static const struct head heads[] = {{"service", false}, {"endpoint", false}, {"weight", true},
                                            {"state", false},   {"for", false},      {"open", true},
                                            {"asked", true},    {"failed", true},    {"why", false}};

        if (json_object_array_length(endpoints) == 0)
                puts("there is no service: the configuration has no [service] section");
        else
                print_table(endpoints, heads, SG_N_ELEMENTS(heads), add_row);
}

/* As 'upstream drain' takes it. */
static void add_name(struct sg_table *t, struct json_object *lane)
{
        char name[320];

        if (strcmp(sg_ctl_text(lane, "kind"), "credential") == 0)
                (void)snprintf(name, sizeof(name), "%s credential %s", sg_ctl_text(lane, "provider"),
                               sg_ctl_text(lane, "name"));
        else
                (void)snprintf(name, sizeof(name), "%s", sg_ctl_text(lane, "name"));
        sg_table_add(t, name);
}

static void add_lane(struct sg_table *t, struct json_object *lane)
{
        const uint64_t rests_usec = sg_ctl_u64(lane, "rests_usec"), latency_usec = sg_ctl_u64(lane, "latency_usec"),
                       used = sg_ctl_u64(lane, "used_tokens"), daily = sg_ctl_u64(lane, "daily_tokens");
        char text[SG_CTL_WHEN_BYTES];

        add_name(t, lane);
        sg_table_add(t, sg_ctl_text(lane, "state"));
        sg_table_add(t, rests_usec ? sg_ctl_format_duration(rests_usec, text) : "");
        (void)snprintf(text, sizeof(text), "%llu ms", (unsigned long long)(latency_usec + 500) / 1000);
        sg_table_add(t, latency_usec ? text : "");
        sg_table_add_u64(t, sg_ctl_u64(lane, "n_open"));
        sg_table_add_u64(t, sg_ctl_u64(lane, "n_asked"));
        sg_table_add_u64(t, sg_ctl_u64(lane, "n_failed"));
        (void)snprintf(text, sizeof(text), "%llu of %llu", (unsigned long long)used, (unsigned long long)daily);
        sg_table_add(t, daily ? text : "");
        sg_table_add(t, sg_ctl_text(lane, "why"));
}

static void print_lanes(struct json_object *lanes)
{
        static const struct head heads[] = {{"lane or credential", false},
                                            {"state", false},
                                            {"for", false},
                                            {"first byte", true},
                                            {"open", true},
                                            {"asked", true},
                                            {"failed", true},
                                            {"tokens", true},
                                            {"why", false}};

        if (json_object_array_length(lanes) == 0)
                return;
        putchar('\n');
        print_table(lanes, heads, SG_N_ELEMENTS(heads), add_lane);
}

static enum sg_ctl_exit ask_list(struct sg_ctl *ctl, const char *method, struct json_object *parameters,
                                 struct json_object *all, const char *member)
{
        struct gathered g = {member, json_object_new_array()};

        json_object_object_add(all, member, g.all);
        return sg_ctl_ask_more(ctl, SG_CTL_GATEWAY, method, parameters, gather, &g);
}

enum sg_ctl_exit sg_ctl_verb_upstream_list(struct sg_ctl *ctl)
{
        const bool is_quiet = sg_ctl_has(ctl, SG_CTL_QUIET), wants_lanes = !ctl->n_arguments && !is_quiet;
        struct json_object *all = json_object_new_object();
        enum sg_ctl_exit e =
                ask_list(ctl, "io.scribe.Gateway.ListUpstreams", endpoint_parameters(ctl), all, "endpoints");

        if (e == SG_CTL_OK && wants_lanes)
                e = ask_list(ctl, "io.scribe.Gateway.ListLanes", json_object_new_object(), all, "lanes");
        if (e == SG_CTL_OK && sg_ctl_has(ctl, SG_CTL_JSON)) {
                sg_ctl_print_json(all);
        } else if (e == SG_CTL_OK && is_quiet) {
                print_names(sg_ctl_member(all, "endpoints"), ctl->n_arguments ? "endpoint" : "service");
        } else if (e == SG_CTL_OK) {
                print_endpoints(sg_ctl_member(all, "endpoints"));
                if (wants_lanes)
                        print_lanes(sg_ctl_member(all, "lanes"));
        }
        json_object_put(all);
        return e;
}

/* ---- upstream drain, enable */

static void print_subject(struct json_object *endpoint, struct json_object *lane)
{
        const bool is_credential = lane && strcmp(sg_ctl_text(lane, "kind"), "credential") == 0;

        fputs(!lane ? "endpoint " : is_credential ? "credential " : "lane ", stdout);
        sg_ctl_print_text(lane ? sg_ctl_text(lane, "name") : sg_ctl_text(endpoint, "endpoint"));
        if (lane && !is_credential)
                return;
        fputs(lane ? " of provider " : " of service ", stdout);
        sg_ctl_print_text(lane ? sg_ctl_text(lane, "provider") : sg_ctl_text(endpoint, "service"));
}

/* Of both methods: one of them is there. */
static struct json_object *print_changed(struct json_object *reply, const char *what)
{
        struct json_object *endpoint = sg_ctl_member(reply, "endpoint"), *lane = sg_ctl_member(reply, "lane");
        const bool is_changed = json_object_get_boolean(sg_ctl_member(reply, "changed"));

        print_subject(endpoint, lane);
        printf(is_changed ? " is %s" : " was %s already", what);
        return lane ? lane : endpoint;
}

static void print_drained(struct json_object *reply)
{
        struct json_object *usable = sg_ctl_member(reply, "usable");
        const uint64_t n = sg_ctl_u64(print_changed(reply, "drained"), "n_open");

        if (n)
                printf("; %llu %s still open there", (unsigned long long)n, n == 1 ? "exchange is" : "exchanges are");
        putchar('\n');
        if (usable && !json_object_get_boolean(usable))
                puts("no other endpoint of the service can be asked now: its clients get 503");
}

static void print_enabled(struct json_object *reply)
{
        struct json_object *at = print_changed(reply, "enabled");

        if (strcmp(sg_ctl_text(at, "state"), "up") != 0) {
                fputs(", but it is ", stdout);
                sg_ctl_print_text(sg_ctl_text(at, "state"));
                fputs(": ", stdout);
                sg_ctl_print_text(sg_ctl_text(at, "why"));
        }
        putchar('\n');
}

static enum sg_ctl_exit ask_change(struct sg_ctl *ctl, const char *method, struct json_object *parameters,
                                   void (*print)(struct json_object *reply))
{
        struct json_object *reply;
        enum sg_ctl_exit e = sg_ctl_ask(ctl, SG_CTL_GATEWAY, method, parameters, &reply);

        if (e)
                return e;
        if (sg_ctl_has(ctl, SG_CTL_JSON))
                sg_ctl_print_json(reply);
        else if (!sg_ctl_has(ctl, SG_CTL_QUIET))
                print(reply);
        json_object_put(reply);
        return SG_CTL_OK;
}

/* Two words are an endpoint of a service; one is a lane; three with "credential" in the middle are a credential. */
static enum sg_ctl_exit change(struct sg_ctl *ctl, const char *endpoint_method, const char *lane_method,
                               void (*print)(struct json_object *reply))
{
        if (ctl->n_arguments == 2)
                return ask_change(ctl, endpoint_method, endpoint_parameters(ctl), print);
        if (ctl->n_arguments == 3 && strcmp(ctl->arguments[1], "credential") != 0) {
                sg_ctl_complain("a credential is named by: PROVIDER credential NAME");
                return SG_CTL_USAGE;
        }
        return ask_change(ctl, lane_method, lane_parameters(ctl), print);
}

enum sg_ctl_exit sg_ctl_verb_upstream_drain(struct sg_ctl *ctl)
{
        return change(ctl, "io.scribe.Gateway.DrainUpstream", "io.scribe.Gateway.DrainLane", print_drained);
}

enum sg_ctl_exit sg_ctl_verb_upstream_enable(struct sg_ctl *ctl)
{
        return change(ctl, "io.scribe.Gateway.EnableUpstream", "io.scribe.Gateway.EnableLane", print_enabled);
}
