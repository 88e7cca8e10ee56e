/* 'limits show': what is left of each limit, as this node knows it. */
#include <inttypes.h>

#include "ctl/ctl.h"

#define MILLION UINT64_C(1000000)

/* ---- amounts: of a budget they are millionths of its currency, which the limit's text names */

/* "20 usd/month warn=80%" -> "usd"; empty: no budget. */
static struct sg_str currency_of(const char *limit)
{
        struct sg_str rest = sg_str_from(limit), amount, kind, unit;

        (void)sg_str_cut(&rest, ' ', &amount);
        (void)sg_str_cut(&rest, ' ', &kind);
        (void)sg_str_cut(&kind, '/', &unit);
        return unit.n == 3 ? unit : SG_STR_NONE;
}

static void format_money(uint64_t micro, struct sg_str currency, char out[SG_CTL_WHEN_BYTES])
{
        char fraction[8];
        size_t n = 6;

        (void)snprintf(fraction, sizeof(fraction), "%06" PRIu64, micro % MILLION);
        while (n > 2 && fraction[n - 1] == '0')
                n--;
        (void)snprintf(out, SG_CTL_WHEN_BYTES, "%" PRIu64 ".%.*s " SG_STR_FMT, micro / MILLION, (int)n, fraction,
                       SG_STR_ARG(currency));
}

/* 999999, 1.2M: what is shortened is a count of tokens or requests. */
static const char *format_amount(uint64_t v, struct sg_str currency, char out[SG_CTL_WHEN_BYTES])
{
        if (currency.n)
                format_money(v, currency, out);
        else if (v < MILLION)
                (void)snprintf(out, SG_CTL_WHEN_BYTES, "%" PRIu64, v);
        else
                (void)snprintf(out, SG_CTL_WHEN_BYTES, "%" PRIu64 ".%" PRIu64 "M", v / MILLION,
                               v % MILLION / (MILLION / 10));
        return out;
}

static void add_amount(struct sg_table *t, struct json_object *row, const char *name)
{
        char text[SG_CTL_WHEN_BYTES];

        if (!sg_ctl_member(row, name))
                sg_table_add(t, "-");
        else
                sg_table_add(t, format_amount(sg_ctl_u64(row, name), currency_of(sg_ctl_text(row, "limit")), text));
}

/* Rounded down: 100% is all of it. */
static void add_percent(struct sg_table *t, struct json_object *row)
{
        uint64_t used = sg_ctl_u64(row, "used"), amount = sg_ctl_u64(row, "amount");
        char text[32];

        (void)snprintf(text, sizeof(text), "%" PRIu64 "%%",
                       amount && used <= UINT64_MAX / 100 ? used * 100 / amount : 0);
        sg_table_add(t, text);
}

/* ---- the table */

static bool is_alone(struct json_object *row)
{
        return json_object_get_boolean(sg_ctl_member(row, "alone"));
}

static bool is_any(struct json_object *rows, bool (*is)(struct json_object *row))
{
        for (size_t i = 0; i < json_object_array_length(rows); i++)
                if (is(json_object_array_get_idx(rows, i)))
                        return true;
        return false;
}

static bool is_granted(struct json_object *row)
{
        return sg_ctl_member(row, "granted") != NULL;
}

static void add_row(struct sg_table *t, struct json_object *row, bool with_grants, bool with_bounds)
{
        uint64_t reset = sg_ctl_u64(row, "reset_usec");
        char duration[SG_CTL_WHEN_BYTES], text[SG_CTL_WHEN_BYTES + 8];

        sg_table_add(t, sg_ctl_text(row, "subject"));
        sg_table_add(t, sg_ctl_text(row, "name"));
        sg_table_add(t, sg_ctl_text(row, "limit"));
        add_percent(t, row);
        add_amount(t, row, "used");
        add_amount(t, row, "reserved");
        add_amount(t, row, "remaining");
        (void)snprintf(text, sizeof(text), "in %s", sg_ctl_format_duration(reset, duration));
        sg_table_add(t, reset ? text : "-");
        if (with_grants)
                add_amount(t, row, "granted");
        if (with_bounds)
                add_amount(t, row, "bound");
}

static void print_rows(struct json_object *rows)
{
        static const char *const head[] = {"of", "name", "limit", "part", "used", "reserved", "left", "resets"};
        bool with_grants = is_any(rows, is_granted), with_bounds = is_any(rows, is_alone);
        struct sg_table *t = sg_table_new(SG_N_ELEMENTS(head) + with_grants + with_bounds);

        for (size_t i = 0; i < SG_N_ELEMENTS(head); i++)
                sg_table_add(t, head[i]);
        if (with_grants)
                sg_table_add(t, "granted");
        if (with_bounds)
                sg_table_add(t, "bound");
        for (size_t c = 3; c < 7; c++)
                sg_table_set_right(t, c);
        for (size_t c = 8; c < 8u + with_grants + with_bounds; c++)
                sg_table_set_right(t, c);
        for (size_t i = 0; i < json_object_array_length(rows); i++)
                add_row(t, json_object_array_get_idx(rows, i), with_grants, with_bounds);
        sg_table_print(t, stdout);
        sg_table_free(t);
        if (with_bounds)
                puts("\nRedis does not answer: this node goes on by itself. Together the nodes may go over a limit by "
                     "\"bound\" at most.");
}

/* ---- the verb */

static void on_rows(struct json_object *reply, void *owner)
{
        struct json_object *rows = sg_ctl_member(reply, "limits");
        size_t n = json_object_is_type(rows, json_type_array) ? json_object_array_length(rows) : 0;

        for (size_t i = 0; i < n; i++)
                json_object_array_add(owner, json_object_get(json_object_array_get_idx(rows, i)));
}

/* "key:alice" names one kind of subject, "alice" whatever has that name; a model's may have colons of its own. */
static struct json_object *parameters_of(const struct sg_ctl *ctl)
{
        static const char *const subjects[] = {"key", "group", "model", "provider"};
        struct json_object *parameters = json_object_new_object();
        const char *name;

        if (ctl->n_arguments == 0)
                return parameters;
        name = ctl->arguments[0];
        for (size_t i = 0; i < SG_N_ELEMENTS(subjects); i++) {
                size_t n = strlen(subjects[i]);

                if (strncmp(name, subjects[i], n) != 0 || name[n] != ':')
                        continue;
                json_object_object_add(parameters, "subject", json_object_new_string(subjects[i]));
                name += n + 1;
                break;
        }
        json_object_object_add(parameters, "name", json_object_new_string(name));
        return parameters;
}

enum sg_ctl_exit sg_ctl_verb_limits_show(struct sg_ctl *ctl)
{
        struct json_object *all = json_object_new_object(), *rows = json_object_new_array();
        enum sg_ctl_exit e;

        json_object_object_add(all, "limits", rows);
        e = sg_ctl_ask_more(ctl, SG_CTL_GATEWAY, "io.scribe.Gateway.ShowLimits", parameters_of(ctl), on_rows, rows);
        if (e == SG_CTL_OK && sg_ctl_has(ctl, SG_CTL_JSON))
                sg_ctl_print_json(all);
        else if (e == SG_CTL_OK && json_object_array_length(rows) == 0)
                puts(ctl->n_arguments ? "nothing of that name has a limit that was used" : "no limit was used yet");
        else if (e == SG_CTL_OK)
                print_rows(rows);
        json_object_put(all);
        return e;
}
