/*
 * The ledger gives at most EVENTS_PER_CALL single requests at once; more are asked for page by page, each ending where
 * the one before did. Requests of the same microsecond may come twice then and are told apart by their ids.
 */
#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/money.h"
#include "sg_build.h"

#define EVENTS_PER_CALL 1000u
#define LIMIT_MAX       1000000u
#define SUMS_MAX        10000u

/* ---- the question */

struct question {
        uint64_t from_wall_usec, to_wall_usec, limit; /* 0: not said */
        const char *by;
        bool wants_requests, wants_cost;
};

static bool read_time(const struct sg_ctl *ctl, enum sg_ctl_option o, uint64_t *ret)
{
        if (!ctl->values[o] || sg_ctl_parse_when(sg_str_from(ctl->values[o]), sg_clock_wall_usec(), SG_CTL_BACK, ret))
                return true;
        sg_ctl_complain("%s is not understood: write 24h, today, 2026-12-31 or 2026-12-31T10:00:00Z",
                        sg_ctl_options[o].name);
        return false;
}

static bool read_question(const struct sg_ctl *ctl, struct question *q)
{
        uint64_t most;

        *q = (struct question){.wants_requests = sg_ctl_has(ctl, SG_CTL_REQUESTS),
                               .wants_cost = sg_ctl_has(ctl, SG_CTL_COST),
                               .by = ctl->values[SG_CTL_BY]};
        if (q->wants_requests && q->by) {
                sg_ctl_complain("--requests shows single requests and goes not with --by");
                return false;
        }
        if (!q->by)
                q->by = "key";
        if (!read_time(ctl, SG_CTL_SINCE, &q->from_wall_usec) || !read_time(ctl, SG_CTL_UNTIL, &q->to_wall_usec))
                return false;
        most = q->wants_requests ? LIMIT_MAX : SUMS_MAX;
        if (ctl->values[SG_CTL_LIMIT] &&
            (sg_str_to_u64(sg_str_from(ctl->values[SG_CTL_LIMIT]), &q->limit) || q->limit < 1 || q->limit > most)) {
                sg_ctl_complain("--limit is a number from 1 to %llu", (unsigned long long)most);
                return false;
        }
        return true;
}

static struct json_object *parameters_of(const struct sg_ctl *ctl, const struct question *q, uint64_t to_wall_usec,
                                         uint64_t limit)
{
        struct json_object *o = json_object_new_object();

        if (q->from_wall_usec)
                json_object_object_add(o, "from_wall_usec", json_object_new_uint64(q->from_wall_usec));
        if (to_wall_usec)
                json_object_object_add(o, "to_wall_usec", json_object_new_uint64(to_wall_usec));
        if (ctl->values[SG_CTL_KEY])
                json_object_object_add(o, "key", json_object_new_string(ctl->values[SG_CTL_KEY]));
        if (ctl->values[SG_CTL_MODEL])
                json_object_object_add(o, "model", json_object_new_string(ctl->values[SG_CTL_MODEL]));
        if (limit)
                json_object_object_add(o, "limit", json_object_new_uint64(limit));
        if (q->wants_cost)
                json_object_object_add(o, "cost", json_object_new_boolean(true));
        if (q->wants_requests)
                json_object_object_add(o, "requests", json_object_new_boolean(true));
        else
                json_object_object_add(o, "by", json_object_new_string(q->by));
        return o;
}

/* ---- single requests, page by page */

struct pages {
        struct json_object *events; /* of all pages */
        uint64_t last_wall_usec;    /* of the last event taken */
        size_t n_same;              /* events at the end that began then */
};

static bool is_taken(const struct pages *p, struct json_object *event)
{
        size_t n = json_object_array_length(p->events);

        for (size_t i = n - p->n_same; i < n; i++)
                if (sg_ctl_u64(json_object_array_get_idx(p->events, i), "id") == sg_ctl_u64(event, "id"))
                        return true;
        return false;
}

/* How many were new. */
static size_t take_page(struct pages *p, struct json_object *events, uint64_t limit)
{
        size_t n = json_object_is_type(events, json_type_array) ? json_object_array_length(events) : 0, n_new = 0;

        for (size_t i = 0; i < n && json_object_array_length(p->events) < limit; i++) {
                struct json_object *event = json_object_array_get_idx(events, i);
                uint64_t at = sg_ctl_u64(event, "start_wall_usec");

                if (at == p->last_wall_usec && is_taken(p, event))
                        continue;
                p->n_same = at == p->last_wall_usec ? p->n_same + 1 : 1;
                p->last_wall_usec = at;
                json_object_array_add(p->events, json_object_get(event));
                n_new++;
        }
        return n_new;
}

/* The first page's answer, with the events of all. */
static enum sg_ctl_exit ask_requests(struct sg_ctl *ctl, const struct question *q, struct json_object **ret)
{
        struct pages p = {.events = json_object_new_array()};
        uint64_t limit = q->limit ? q->limit : 100, to_wall_usec = q->to_wall_usec;
        bool is_limited = true;

        while (is_limited && json_object_array_length(p.events) < limit) {
                uint64_t n = SG_MIN(limit - json_object_array_length(p.events) + p.n_same, (uint64_t)EVENTS_PER_CALL);
                struct json_object *page;
                enum sg_ctl_exit e = sg_ctl_ask(ctl, SG_CTL_LEDGER_END, "io.scribe.Ledger.QueryUsage",
                                                parameters_of(ctl, q, to_wall_usec, n), &page);
                size_t n_new;

                if (e) {
                        json_object_put(p.events);
                        return e;
                }
                is_limited = json_object_get_boolean(sg_ctl_member(page, "is_limited"));
                n_new = take_page(&p, sg_ctl_member(page, "events"), limit);
                json_object_put(page);
                if (n_new == 0)
                        break;
                to_wall_usec = p.last_wall_usec + 1;
        }
        *ret = json_object_new_object();
        json_object_object_add(*ret, "rows", json_object_new_array());
        json_object_object_add(*ret, "events", p.events);
        json_object_object_add(*ret, "is_limited", json_object_new_boolean(is_limited));
        return SG_CTL_OK;
}

static void add_cost(struct sg_table *t, struct json_object *row)
{
        struct sg_ctl_money money = {.n = 0};
        char text[SG_CTL_MONEY_BYTES];

        sg_ctl_money_add(&money, row);
        sg_table_add(t, sg_ctl_money_text(&money, text));
}

static void print_requests(struct json_object *events, bool has_cost)
{
        static const char *const head[] = {"began",     "key",   "model",  "provider", "status",  "outcome",
                                           "certainty", "input", "output", "time",     "request", "cost"};
        static const char *const texts[] = {"key", "model", "provider"};
        size_t n_columns = SG_N_ELEMENTS(head) - !has_cost;
        struct sg_table *t = sg_table_new(n_columns);
        char text[SG_CTL_WHEN_BYTES];

        for (size_t i = 0; i < n_columns; i++)
                sg_table_add(t, head[i]);
        for (size_t c = 7; c <= 9; c++)
                sg_table_set_right(t, c);
        for (size_t i = 0; i < json_object_array_length(events); i++) {
                struct json_object *event = json_object_array_get_idx(events, i);

                sg_table_add(t, sg_ctl_format_when(sg_ctl_u64(event, "start_wall_usec"), text));
                for (size_t k = 0; k < SG_N_ELEMENTS(texts); k++)
                        sg_table_add(t, sg_ctl_text(event, texts[k]));
                sg_table_add_u64(t, sg_ctl_u64(event, "status"));
                sg_table_add(t, sg_ctl_text(event, "outcome"));
                sg_table_add(t, sg_ctl_text(event, "certainty"));
                sg_table_add_u64(t, sg_ctl_u64(event, "input_tokens"));
                sg_table_add_u64(t, sg_ctl_u64(event, "output_tokens"));
                sg_table_add(t, sg_ctl_format_duration(sg_ctl_u64(event, "duration_usec"), text));
                sg_table_add(t, sg_ctl_text(event, "request_id"));
                if (has_cost)
                        add_cost(t, event);
        }
        sg_table_print(t, stdout);
        sg_table_free(t);
}

/* ---- sums */

struct sums {
        uint64_t requests, input, output, cached, estimated, failed;
};

static void add_sums_row(struct sg_table *t, const char *group, const struct sums *s)
{
        char share[32];

        sg_table_add(t, group);
        sg_table_add_u64(t, s->requests);
        sg_table_add_u64(t, s->input);
        sg_table_add_u64(t, s->output);
        sg_table_add_u64(t, s->cached);
        sg_table_add_u64(t, s->input + s->output);
        if (s->estimated == 0 || s->requests == 0)
                (void)snprintf(share, sizeof(share), "-");
        else if (s->estimated * 1000 < s->requests)
                (void)snprintf(share, sizeof(share), "<0.1%%");
        else
                (void)snprintf(share, sizeof(share), "%.1f%%", 100.0 * (double)s->estimated / (double)s->requests);
        sg_table_add(t, share);
        sg_table_add_u64(t, s->failed);
}

static struct sums sums_of(struct json_object *row)
{
        return (struct sums){
                .requests = sg_ctl_u64(row, "requests"),
                .input = sg_ctl_u64(row, "input_tokens"),
                .output = sg_ctl_u64(row, "output_tokens"),
                .cached = sg_ctl_u64(row, "cached_tokens"),
                .estimated = sg_ctl_u64(row, "estimated") + sg_ctl_u64(row, "partial"),
                .failed = sg_ctl_u64(row, "failed") + sg_ctl_u64(row, "truncated") + sg_ctl_u64(row, "cut_off"),
        };
}

static void add_up(struct sums *all, const struct sums *one)
{
        all->requests += one->requests;
        all->input += one->input;
        all->output += one->output;
        all->cached += one->cached;
        all->estimated += one->estimated;
        all->failed += one->failed;
}

static void print_sums(struct json_object *rows, const char *by, bool has_cost)
{
        const char *head[] = {by, "requests", "input", "output", "cached", "total", "estimated", "failed", "cost"};
        size_t n = json_object_array_length(rows), n_columns = SG_N_ELEMENTS(head) - !has_cost;
        struct sg_table *t = sg_table_new(n_columns);
        struct sg_ctl_money money = {.n = 0};
        char text[SG_CTL_MONEY_BYTES];
        struct sums all = {0};

        if (strcmp(by, "day") == 0)
                head[0] = "day (UTC)";
        if (strcmp(by, "none") == 0)
                head[0] = "";
        for (size_t i = 0; i < n_columns; i++) {
                sg_table_add(t, head[i]);
                if (i)
                        sg_table_set_right(t, i);
        }
        for (size_t i = 0; i < n; i++) {
                struct json_object *row = json_object_array_get_idx(rows, i);
                struct sums one = sums_of(row);
                const char *group = sg_ctl_text(row, "group");

                add_sums_row(t, group[0] ? group : "-", &one);
                add_up(&all, &one);
                sg_ctl_money_add(&money, row);
                if (has_cost)
                        add_cost(t, row);
        }
        if (n > 1) {
                add_sums_row(t, "total", &all);
                if (has_cost)
                        sg_table_add(t, sg_ctl_money_text(&money, text));
        }
        sg_table_print(t, stdout);
        sg_table_free(t);
}

/* ---- the verb */

/* What to do about an unknown cost. */
static void print_unpriced(struct json_object *unpriced)
{
        size_t n = json_object_is_type(unpriced, json_type_array) ? json_object_array_length(unpriced) : 0;
        struct sg_table *t;

        if (n == 0)
                return;
        puts("\nThese have no price, so that their cost is unknown and in no sum. Write prices into a file\n"
             "in prices.d beside gateway.conf, see scribe-gateway.conf(5), then: systemctl reload scribe-gateway\n");
        t = sg_table_new(3);
        sg_table_add(t, "provider/model");
        sg_table_add(t, "requests");
        sg_table_add(t, "why");
        sg_table_set_right(t, 1);
        for (size_t i = 0; i < n; i++) {
                struct json_object *one = json_object_array_get_idx(unpriced, i);
                char name[512];

                (void)snprintf(name, sizeof(name), "%s/%s", sg_ctl_text(one, "provider"), sg_ctl_text(one, "model"));
                sg_table_add(t, name);
                sg_table_add_u64(t, sg_ctl_u64(one, "requests"));
                sg_table_add(t, sg_ctl_text(one, "why"));
        }
        sg_table_print(t, stdout);
        sg_table_free(t);
}

static void print_usage(const struct question *q, struct json_object *reply)
{
        struct json_object *list = sg_ctl_member(reply, q->wants_requests ? "events" : "rows");

        if (!json_object_is_type(list, json_type_array) || json_object_array_length(list) == 0)
                puts("no requests");
        else if (q->wants_requests)
                print_requests(list, q->wants_cost);
        else
                print_sums(list, q->by, q->wants_cost);
        print_unpriced(sg_ctl_member(reply, "unpriced"));
        (void)fflush(stdout);
        if (json_object_get_boolean(sg_ctl_member(reply, "is_limited")))
                sg_ctl_complain("there is more: raise --limit, or narrow by --since, --until, --key or --model");
}

enum sg_ctl_exit sg_ctl_verb_usage(struct sg_ctl *ctl)
{
        struct question q;
        struct json_object *reply;
        enum sg_ctl_exit e;

        if (!read_question(ctl, &q))
                return SG_CTL_USAGE;
        if (q.wants_requests)
                e = ask_requests(ctl, &q, &reply);
        else
                e = sg_ctl_ask(ctl, SG_CTL_LEDGER_END, "io.scribe.Ledger.QueryUsage",
                               parameters_of(ctl, &q, q.to_wall_usec, q.limit), &reply);
        if (e)
                return e;
        if (sg_ctl_has(ctl, SG_CTL_JSON))
                sg_ctl_print_json(reply);
        else
                print_usage(&q, reply);
        json_object_put(reply);
        return SG_CTL_OK;
}
