#include "ctl/ctl.h"

static void begin(const char *name)
{
        printf("  %-10s ", name);
}

static unsigned long long number(struct json_object *o, const char *name)
{
        return (unsigned long long)sg_ctl_u64(o, name);
}

static size_t length(struct json_object *list)
{
        return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

/* " (2xx 10, 5xx 1)", without what is zero. */
static void print_counts(struct json_object *counts, const char *before, const char *after)
{
        bool is_first = true;

        if (!json_object_is_type(counts, json_type_object))
                return;
        json_object_object_foreach(counts, name, value)
        {
                if (json_object_get_uint64(value) == 0)
                        continue;
                fputs(is_first ? before : ", ", stdout);
                sg_ctl_print_text(name);
                printf(" %llu", (unsigned long long)json_object_get_uint64(value));
                is_first = false;
        }
        if (!is_first)
                fputs(after, stdout);
}

static void print_process(struct json_object *s)
{
        struct json_object *config = sg_ctl_member(s, "config");
        char text[SG_CTL_WHEN_BYTES];

        fputs("scribe-gateway ", stdout);
        sg_ctl_print_text(sg_ctl_text(s, "version"));
        fputs(": ", stdout);
        sg_ctl_print_text(sg_ctl_text(s, "status_text")[0] ? sg_ctl_text(s, "status_text") : sg_ctl_text(s, "state"));
        putchar('\n');
        begin("process");
        printf("%llu, up %s", number(s, "pid"), sg_ctl_format_duration(sg_ctl_u64(s, "uptime_usec"), text));
        printf(", since %s\n", sg_ctl_format_when(sg_ctl_u64(s, "started_wall_usec"), text));
        begin("config");
        printf("number %llu of ", number(config, "number"));
        sg_ctl_print_text(sg_ctl_text(config, "directory"));
        printf(", read %s\n", sg_ctl_format_when(sg_ctl_u64(config, "read_wall_usec"), text));
}

static void print_listeners(struct json_object *listeners)
{
        for (size_t i = 0; i < length(listeners); i++) {
                struct json_object *l = json_object_array_get_idx(listeners, i);

                begin(i ? "" : "listeners");
                sg_ctl_print_text(sg_ctl_text(l, "name"));
                putchar(' ');
                sg_ctl_print_text(sg_ctl_text(l, "address"));
                putchar('\n');
        }
}

/* What failed by its reason; the other counters are shown elsewhere. */
static void print_failures(struct json_object *counters)
{
        static const char *const others[] = {"accepted", "recorded", "unrecorded", "input_tokens", "output_tokens"};
        struct json_object *failures = json_object_new_object();

        if (json_object_is_type(counters, json_type_object)) {
                json_object_object_foreach(counters, name, value)
                {
                        bool is_other = false;

                        for (size_t i = 0; i < SG_N_ELEMENTS(others); i++)
                                is_other |= strcmp(name, others[i]) == 0;
                        if (!is_other && json_object_get_uint64(value))
                                json_object_object_add(failures, name, json_object_get(value));
                }
        }
        if (json_object_object_length(failures)) {
                begin("failures");
                print_counts(failures, "", "\n");
        }
        json_object_put(failures);
}

static void print_traffic(struct json_object *s)
{
        struct json_object *x = sg_ctl_member(s, "exchanges"), *counters = sg_ctl_member(s, "counters");

        begin("exchanges");
        printf("%llu open, %llu in all", number(x, "n_open"), number(x, "n_total"));
        print_counts(sg_ctl_member(x, "by_status"), " (", ")");
        printf(", %llu streamed\n", number(x, "n_streams"));
        begin("tokens");
        printf("%llu in, %llu out\n", number(counters, "input_tokens"), number(counters, "output_tokens"));
        print_failures(counters);
}

static void print_keys(struct json_object *keys)
{
        char text[SG_CTL_WHEN_BYTES];

        begin("keys");
        printf("%llu, ", number(keys, "n_keys"));
        sg_ctl_print_text(sg_ctl_text(keys, "state"));
        printf(" since %s\n", sg_ctl_format_when(sg_ctl_u64(keys, "changed_wall_usec"), text));
}

static void print_journal(struct json_object *rings, struct json_object *counters)
{
        uint64_t bytes = 0, used = 0, open = 0, unsynced = 0, full_in_sec = UINT64_MAX;
        char a[SG_CTL_WHEN_BYTES], b[SG_CTL_WHEN_BYTES];

        for (size_t i = 0; i < length(rings); i++) {
                struct json_object *r = json_object_array_get_idx(rings, i);
                uint64_t written = sg_ctl_u64(r, "written"), synced = sg_ctl_u64(r, "synced");

                bytes += sg_ctl_u64(r, "bytes");
                used += sg_ctl_u64(r, "used_bytes");
                open += sg_ctl_u64(r, "n_open");
                unsynced += written > synced ? written - synced : 0;
                if (sg_ctl_member(r, "full_in_sec"))
                        full_in_sec = SG_MIN(full_in_sec, sg_ctl_u64(r, "full_in_sec"));
        }
        begin("journal");
        printf("%s of %s used in %zu rings, %llu exchanges open, %llu records not yet on disk\n",
               sg_ctl_format_bytes(used, a), sg_ctl_format_bytes(bytes, b), length(rings), (unsigned long long)open,
               (unsigned long long)unsynced);
        if (full_in_sec != UINT64_MAX) {
                begin("");
                printf("it fills up: full in %s at the present rate\n",
                       sg_ctl_format_duration(full_in_sec * SG_USEC_PER_SEC, a));
        }
        if (number(counters, "unrecorded")) {
                begin("");
                printf("%llu exchanges passed without a record: the journal was full\n",
                       number(counters, "unrecorded"));
        }
}

static void print_rest(struct json_object *s)
{
        struct json_object *memory = sg_ctl_member(s, "memory"), *log = sg_ctl_member(s, "log");
        char a[SG_CTL_WHEN_BYTES], b[SG_CTL_WHEN_BYTES];

        begin("memory");
        printf("%s of %s for request bodies\n", sg_ctl_format_bytes(sg_ctl_u64(memory, "bodies_bytes"), a),
               sg_ctl_format_bytes(sg_ctl_u64(memory, "bodies_bytes_max"), b));
        begin("log");
        sg_ctl_print_text(sg_ctl_text(log, "level"));
        fputs(" to ", stdout);
        sg_ctl_print_text(sg_ctl_text(log, "sink"));
        if (number(log, "n_lost"))
                printf(", %llu lines lost", number(log, "n_lost"));
        putchar('\n');
}

/* "query: degraded, 1 of 2 endpoints usable" */
static void print_services(struct json_object *services)
{
        for (size_t i = 0; i < length(services); i++) {
                struct json_object *s = json_object_array_get_idx(services, i);

                begin(i ? "" : "services");
                sg_ctl_print_text(sg_ctl_text(s, "name"));
                fputs(": ", stdout);
                sg_ctl_print_text(sg_ctl_text(s, "status"));
                printf(", %llu of %llu endpoints usable\n", number(s, "n_usable"), number(s, "n_endpoints"));
        }
}

/* Only when there is something to say: "2 of 14 lanes and credentials are not up" */
static void print_lanes(struct json_object *lanes)
{
        const unsigned long long n = number(lanes, "n_lanes"), n_up = number(lanes, "n_up");

        if (n == n_up)
                return;
        begin("models");
        printf("%llu of %llu lanes and credentials are not up: see 'scribectl upstream list'\n", n - n_up, n);
}

/* "connected, 3 nodes, redis://…" or "alone since …: connection refused; limits: this node's part of 3" */
static void print_fleet(struct json_object *fleet)
{
        char text[SG_CTL_WHEN_BYTES];

        if (!fleet)
                return;
        begin("fleet");
        sg_ctl_print_text(sg_ctl_text(fleet, "state"));
        if (sg_ctl_u64(fleet, "out_since_wall_usec"))
                printf(" since %s", sg_ctl_format_when(sg_ctl_u64(fleet, "out_since_wall_usec"), text));
        printf(", %llu nodes, ", number(fleet, "n_nodes"));
        sg_ctl_print_text(sg_ctl_text(fleet, "url"));
        if (sg_ctl_u64(fleet, "out_since_wall_usec") && sg_ctl_text(fleet, "last_error")[0]) {
                fputs(": ", stdout);
                sg_ctl_print_text(sg_ctl_text(fleet, "last_error"));
        }
        putchar('\n');
}

/* "redis: ok, 412 us, since 2026-11-21 08:29:53" or "redis: down (required), since ...: refused: 127.0.0.1:6379: ..." */
static void print_dependencies(struct json_object *dependencies)
{
        char text[SG_CTL_WHEN_BYTES];

        for (size_t i = 0; i < length(dependencies); i++) {
                struct json_object *d = json_object_array_get_idx(dependencies, i);

                begin(i ? "" : "depends on");
                sg_ctl_print_text(sg_ctl_text(d, "name"));
                fputs(": ", stdout);
                sg_ctl_print_text(sg_ctl_text(d, "status"));
                if (json_object_get_boolean(sg_ctl_member(d, "required")))
                        fputs(" (required)", stdout);
                if (strcmp(sg_ctl_text(d, "status"), "ok") == 0)
                        printf(", %s", sg_ctl_format_duration(sg_ctl_u64(d, "latency_usec"), text));
                printf(", since %s", sg_ctl_format_when(sg_ctl_u64(d, "since_wall_usec"), text));
                if (sg_ctl_text(d, "error")[0]) {
                        fputs(": ", stdout);
                        sg_ctl_print_text(sg_ctl_text(d, "error"));
                        fputs(": ", stdout);
                        sg_ctl_print_text(sg_ctl_text(d, "detail"));
                }
                putchar('\n');
        }
}

static void print_ledger(struct json_object *l)
{
        char text[SG_CTL_WHEN_BYTES];

        begin("ledger");
        if (!l) {
                puts("cannot be reached; known keys go on working and usage waits in the journal");
                return;
        }
        sg_ctl_print_text(sg_ctl_text(l, "state"));
        fputs(", ", stdout);
        sg_ctl_print_text(sg_ctl_text(l, "database"));
        printf(", %llu usage events, %llu records waiting", number(l, "usage_events"), number(l, "records_waiting"));
        if (number(l, "caught_up_in_sec"))
                printf(", %llu a second are stored: caught up in %s", number(l, "records_per_sec"),
                       sg_ctl_format_duration(sg_ctl_u64(l, "caught_up_in_sec") * SG_USEC_PER_SEC, text));
        if (number(l, "records_lost"))
                printf(", %llu records lost to damage", number(l, "records_lost"));
        putchar('\n');
        if (strcmp(sg_ctl_text(l, "database_state"), "down") == 0) {
                begin("");
                printf("the database does not serve since %s: known keys go on working, and usage waits in the "
                       "journal\n",
                       sg_ctl_format_when(sg_ctl_u64(l, "database_since_wall_usec"), text));
        }
        if (sg_ctl_text(l, "last_error")[0]) {
                begin("");
                sg_ctl_print_text(sg_ctl_text(l, "last_error"));
                putchar('\n');
        }
}

static void print_workers(struct json_object *workers)
{
        static const char *const columns[] = {"connections", "exchanges", "idle_upstreams", "busy_upstreams", "turns"};
        static const char *const heads[] = {"connections", "exchanges", "idle upstreams", "busy upstreams", "turns"};
        struct sg_table *t;

        if (length(workers) == 0)
                return;
        t = sg_table_new(SG_N_ELEMENTS(columns) + 1);
        sg_table_add(t, "worker");
        for (size_t i = 0; i < SG_N_ELEMENTS(heads); i++) {
                sg_table_add(t, heads[i]);
                sg_table_set_right(t, i + 1);
        }
        for (size_t i = 0; i < length(workers); i++) {
                struct json_object *w = json_object_array_get_idx(workers, i);

                sg_table_add(t, sg_ctl_text(w, "name"));
                for (size_t c = 0; c < SG_N_ELEMENTS(columns); c++)
                        sg_table_add_u64(t, sg_ctl_u64(w, columns[c]));
        }
        putchar('\n');
        sg_table_print(t, stdout);
        sg_table_free(t);
}

enum sg_ctl_exit sg_ctl_verb_status(struct sg_ctl *ctl)
{
        struct json_object *s, *ledger = NULL;
        enum sg_ctl_exit e = sg_ctl_ask(ctl, SG_CTL_GATEWAY, "io.scribe.Gateway.GetStatus", NULL, &s);

        if (e)
                return e;
        if (sg_ctl_ask_quietly(ctl, SG_CTL_LEDGER_END, "io.scribe.Ledger.GetStatus", &ledger))
                ledger = NULL;
        if (sg_ctl_has(ctl, SG_CTL_JSON)) {
                json_object_object_add(s, "ledger", json_object_get(ledger));
                sg_ctl_print_json(s);
        } else {
                print_process(s);
                print_listeners(sg_ctl_member(s, "listeners"));
                print_traffic(s);
                print_keys(sg_ctl_member(s, "keys"));
                print_journal(sg_ctl_member(s, "journal"), sg_ctl_member(s, "counters"));
                print_rest(s);
                print_ledger(ledger);
                print_services(sg_ctl_member(s, "services"));
                print_lanes(sg_ctl_member(s, "lanes"));
                print_fleet(sg_ctl_member(s, "fleet"));
                print_dependencies(sg_ctl_member(s, "dependencies"));
                print_workers(sg_ctl_member(s, "workers"));
        }
        json_object_put(ledger);
        json_object_put(s);
        return SG_CTL_OK;
}
