/*
 * A provider's bill beside our records. Both are by day (UTC) and model; what only one side has counts as nothing on the
 * other. A provider names the snapshot that answered (gpt-4o-2024-08-06, claude-haiku-4-5-20251001) where we know what
 * was asked for: such a name counts as ours when we have none like it and ours is the same without the date.
 */
#include <inttypes.h>
#include <stdarg.h>

#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/export.h"
#include "ctl/money.h"

#define DAY_USEC     (86400 * SG_USEC_PER_SEC)
#define PAIRS_MAX    (2 * SG_EXPORT_ROWS_MAX)
#define PICO_PER_ONE 1000000000000

struct pair {
        uint64_t day;
        const char *model; /* the export's, or the reply's */
        __int128 theirs[SG_EXPORT_CLASS_N], ours[SG_EXPORT_CLASS_N];
        uint64_t n_lines; /* of theirs */
};

struct reconciling {
        struct sg_export *export;
        struct json_object *bills, *models; /* ours; the names of their models */
        uint64_t from_day, to_day;          /* to is not included */
        struct pair *pairs;
        size_t n_pairs, n_equal;
        struct sg_ctl_money money; /* ours, all of it */
        uint32_t classes;          /* that are compared, a bit each */
        struct json_object *differences;
};

/* ---- both sides together */

/* The bytes before "-2024-08-06" or "-20240806" at the end; all when there is no date. */
static struct sg_str without_date(struct sg_str name)
{
        static const char *const forms[] = {"-dddd-dd-dd", "-dddddddd"};

        for (size_t i = 0; i < SG_N_ELEMENTS(forms); i++) {
                struct sg_str form = sg_str_from(forms[i]);
                size_t n = 0;

                if (name.n <= form.n)
                        continue;
                while (n < form.n) {
                        char c = name.p[name.n - form.n + n];

                        if (form.p[n] == 'd' ? c < '0' || c > '9' : c != form.p[n])
                                break;
                        n++;
                }
                if (n == form.n)
                        return sg_str_head(name, name.n - form.n);
        }
        return name;
}

/* Our name for a model of theirs; lives as long as the reply or the export. */
static const char *our_name(const struct reconciling *rc, const char *model)
{
        struct sg_str shorter = without_date(sg_str_from(model));
        struct json_object *ours = NULL;
        char *name;

        if (json_object_object_get_ex(rc->models, model, NULL))
                return model;
        name = sg_str_dup(shorter);
        if (name)
                (void)json_object_object_get_ex(rc->models, name, &ours);
        free(name);
        return ours ? json_object_get_string(ours) : model;
}

static void add_ours(struct reconciling *rc, struct json_object *bill)
{
        static const char *const members[] = {"requests", "input_tokens", "cached_tokens", "cache_write_tokens",
                                              "output_tokens"};
        struct pair *p = &rc->pairs[rc->n_pairs++];
        struct sg_ctl_money money = {.n = 0};

        *p = (struct pair){.model = sg_ctl_text(bill, "model")};
        if (!sg_ctl_parse_day(sg_str_from(sg_ctl_text(bill, "day")), &p->day))
                p->day = 0;
        for (size_t i = 0; i < SG_N_ELEMENTS(members); i++)
                p->ours[i] = sg_ctl_u64(bill, members[i]);
        sg_ctl_money_add(&money, bill);
        sg_ctl_money_add(&rc->money, bill);
        if (money.n)
                p->ours[SG_EXPORT_COST] = money.sums[0].pico;
}

static void add_theirs(struct reconciling *rc, const struct sg_export_row *row)
{
        struct pair *p = &rc->pairs[rc->n_pairs++];

        *p = (struct pair){.day = row->day, .model = our_name(rc, row->model), .n_lines = row->n_lines};
        memcpy(p->theirs, row->n, sizeof(p->theirs));
}

static int by_day_and_model(const void *a, const void *b)
{
        const struct pair *x = a, *y = b;

        if (x->day != y->day)
                return x->day < y->day ? -1 : 1;
        return strcmp(x->model, y->model);
}

/* Those of the same day and model become one. */
static void fold(struct reconciling *rc)
{
        size_t n = 0;

        qsort(rc->pairs, rc->n_pairs, sizeof(*rc->pairs), by_day_and_model);
        for (size_t i = 0; i < rc->n_pairs; i++) {
                struct pair *to = n ? &rc->pairs[n - 1] : NULL, *from = &rc->pairs[i];

                if (!to || by_day_and_model(to, from) != 0) {
                        rc->pairs[n++] = *from;
                        continue;
                }
                to->n_lines += from->n_lines;
                for (int class = 0; class < SG_EXPORT_CLASS_N; class ++) {
                        to->theirs[class] += from->theirs[class];
                        to->ours[class] += from->ours[class];
                }
        }
        rc->n_pairs = n;
}

static void gather(struct reconciling *rc)
{
        size_t n = json_object_array_length(rc->bills);

        for (size_t i = 0; i < n; i++) {
                struct json_object *bill = json_object_array_get_idx(rc->bills, i);

                json_object_object_add(rc->models, sg_ctl_text(bill, "model"),
                                       json_object_get(sg_ctl_member(bill, "model")));
        }
        for (size_t i = 0; i < n; i++)
                add_ours(rc, json_object_array_get_idx(rc->bills, i));
        for (size_t i = 0; i < rc->export->n_rows; i++)
                if (rc->export->rows[i].day >= rc->from_day && rc->export->rows[i].day < rc->to_day)
                        add_theirs(rc, &rc->export->rows[i]);
        fold(rc);
}

/* ---- comparing */

static const char *value_text(enum sg_export_class class, __int128 v, char out[SG_CTL_MONEY_BYTES])
{
        return sg_ctl_format_decimal(class == SG_EXPORT_COST ? v : v * PICO_PER_ONE, out);
}

static void add_difference(struct reconciling *rc, const struct pair *p, enum sg_export_class class)
{
        struct json_object *o = json_object_new_object();
        __int128 theirs = p->theirs[class], difference = p->ours[class] - theirs;
        char text[SG_CTL_MONEY_BYTES], day[SG_CTL_WHEN_BYTES];

        json_object_object_add(o, "day", json_object_new_string(sg_ctl_format_day(p->day, day)));
        json_object_object_add(o, "model", json_object_new_string(p->model));
        json_object_object_add(o, "what", json_object_new_string(sg_export_class_name(class)));
        json_object_object_add(o, "theirs", json_object_new_string(value_text(class, theirs, text)));
        json_object_object_add(o, "ours", json_object_new_string(value_text(class, p->ours[class], text)));
        json_object_object_add(o, "difference", json_object_new_string(value_text(class, difference, text)));
        (void)snprintf(text, sizeof(text), "%+.2f%%", theirs ? 100.0 * (double)difference / (double)theirs : 0.0);
        json_object_object_add(o, "percent", theirs ? json_object_new_string(text) : NULL);
        json_object_array_add(rc->differences, o);
}

/* Costs to the last digit that the file gives, each of its lines rounded by itself. */
static __int128 tolerance(const struct reconciling *rc, const struct pair *p, enum sg_export_class class)
{
        __int128 last_digit = PICO_PER_ONE;

        if (class != SG_EXPORT_COST)
                return 0;
        for (unsigned i = 0; i < rc->export->cost_digits; i++)
                last_digit /= 10;
        return last_digit * SG_MAX(p->n_lines, UINT64_C(1));
}

static void compare(struct reconciling *rc)
{
        rc->classes = rc->export->has;
        if (rc->money.n_unpriced || rc->money.n != 1)
                rc->classes &= ~(UINT32_C(1) << SG_EXPORT_COST);
        for (size_t i = 0; i < rc->n_pairs; i++) {
                const struct pair *p = &rc->pairs[i];
                bool is_equal = true;

                for (int class = 0; class < SG_EXPORT_CLASS_N; class ++) {
                        __int128 d = p->ours[class] - p->theirs[class];

                        if (!(rc->classes & UINT32_C(1) << class) ||
                            (d < 0 ? -d : d) <= tolerance(rc, p, (enum sg_export_class) class))
                                continue;
                        add_difference(rc, p, (enum sg_export_class) class);
                        is_equal = false;
                }
                rc->n_equal += is_equal;
        }
}

/* ---- telling */

static void add_note(struct json_object *notes, const char *format, ...) SG_PRINTF(2, 3);
static void add_note(struct json_object *notes, const char *format, ...)
{
        char text[400];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        json_object_array_add(notes, json_object_new_string(text));
}

/* What cannot be compared, and why. */
static struct json_object *notes_of(const struct reconciling *rc)
{
        struct json_object *notes = json_object_new_array();
        char missing[200] = "";
        size_t n_outside = 0;

        for (int class = 0; class < SG_EXPORT_CLASS_N; class ++)
                if (!(rc->export->has & UINT32_C(1) << class))
                        (void)snprintf(missing + strlen(missing), sizeof(missing) - strlen(missing), "%s%s",
                                       missing[0] ? ", " : "", sg_export_class_name((enum sg_export_class) class));
        if (missing[0])
                add_note(notes, "not compared, as the file has no column for it: %s", missing);
        if ((rc->export->has & UINT32_C(1) << SG_EXPORT_COST) && rc->money.n_unpriced)
                add_note(notes,
                         "cost is not compared: %" PRIu64 " of our requests have no price (scribectl usage --cost)",
                         rc->money.n_unpriced);
        else if ((rc->export->has & UINT32_C(1) << SG_EXPORT_COST) && rc->money.n != 1)
                add_note(notes, "cost is not compared: ours is in %zu currencies, the file's has no name", rc->money.n);
        for (size_t i = 0; i < rc->export->n_rows; i++)
                n_outside += rc->export->rows[i].day < rc->from_day || rc->export->rows[i].day >= rc->to_day;
        if (n_outside)
                add_note(notes, "%zu of %zu entries of the file are on other days and were left out", n_outside,
                         rc->export->n_rows);
        return notes;
}

static void print_differences(struct json_object *differences)
{
        static const char *const head[] = {"day (UTC)", "model", "what", "theirs", "ours", "difference", "percent"};
        static const char *const members[] = {"day", "model", "what", "theirs", "ours", "difference", "percent"};
        struct sg_table *t = sg_table_new(SG_N_ELEMENTS(head));

        for (size_t i = 0; i < SG_N_ELEMENTS(head); i++) {
                sg_table_add(t, head[i]);
                if (i >= 3)
                        sg_table_set_right(t, i);
        }
        for (size_t i = 0; i < json_object_array_length(differences); i++)
                for (size_t k = 0; k < SG_N_ELEMENTS(members); k++) {
                        const char *text = sg_ctl_text(json_object_array_get_idx(differences, i), members[k]);

                        sg_table_add(t, text[0] ? text : "-");
                }
        sg_table_print(t, stdout);
        sg_table_free(t);
        putchar('\n');
}

static void print_result(const struct reconciling *rc, struct json_object *notes)
{
        char first[SG_CTL_WHEN_BYTES], last[SG_CTL_WHEN_BYTES];

        if (json_object_array_length(rc->differences))
                print_differences(rc->differences);
        printf("%zu of %zu entries (a day and a model) are equal, from %s to %s\n", rc->n_equal, rc->n_pairs,
               sg_ctl_format_day(rc->from_day, first), sg_ctl_format_day(rc->to_day - 1, last));
        for (size_t i = 0; i < json_object_array_length(notes); i++)
                printf("%s\n", json_object_get_string(json_object_array_get_idx(notes, i)));
}

static void tell(const struct sg_ctl *ctl, const struct reconciling *rc)
{
        struct json_object *notes = notes_of(rc), *o;
        char day[SG_CTL_WHEN_BYTES];

        if (sg_ctl_has(ctl, SG_CTL_JSON)) {
                o = json_object_new_object();
                json_object_object_add(o, "first_day", json_object_new_string(sg_ctl_format_day(rc->from_day, day)));
                json_object_object_add(o, "last_day", json_object_new_string(sg_ctl_format_day(rc->to_day - 1, day)));
                json_object_object_add(o, "compared", json_object_new_int64((int64_t)rc->n_pairs));
                json_object_object_add(o, "equal", json_object_new_int64((int64_t)rc->n_equal));
                json_object_object_add(o, "differences", json_object_get(rc->differences));
                json_object_object_add(o, "notes", json_object_get(notes));
                sg_ctl_print_json(o);
                json_object_put(o);
        } else if (!sg_ctl_has(ctl, SG_CTL_QUIET))
                print_result(rc, notes);
        json_object_put(notes);
}

/* ---- the verb */

static bool read_day(const struct sg_ctl *ctl, enum sg_ctl_option o, uint64_t *day)
{
        if (!ctl->values[o] || sg_ctl_parse_day(sg_str_from(ctl->values[o]), day))
                return true;
        sg_ctl_complain("%s is a day of UTC here, like 2026-12-31", sg_ctl_options[o].name);
        return false;
}

static enum sg_ctl_exit ask_bills(struct sg_ctl *ctl, const struct reconciling *rc, struct json_object **ret)
{
        struct json_object *o = json_object_new_object();

        json_object_object_add(o, "from_wall_usec", json_object_new_int64((int64_t)(rc->from_day * DAY_USEC)));
        json_object_object_add(o, "to_wall_usec", json_object_new_int64((int64_t)(rc->to_day * DAY_USEC)));
        if (ctl->values[SG_CTL_PROVIDER])
                json_object_object_add(o, "provider", json_object_new_string(ctl->values[SG_CTL_PROVIDER]));
        return sg_ctl_ask(ctl, SG_CTL_LEDGER_END, "io.scribe.Ledger.QueryBills", o, ret);
}

/* One provider's bill is held against one provider's usage. */
static bool is_of_one_provider(struct json_object *bills)
{
        const char *first = NULL;

        for (size_t i = 0; i < json_object_array_length(bills); i++) {
                const char *name = sg_ctl_text(json_object_array_get_idx(bills, i), "provider");

                if (first && strcmp(first, name) != 0) {
                        sg_ctl_complain("on these days several providers were used, %s and %s among them: say with "
                                        "--provider whose export this is",
                                        first, name);
                        return false;
                }
                first = name;
        }
        return true;
}

static enum sg_ctl_exit hold_against(const struct sg_ctl *ctl, struct reconciling *rc, struct json_object *reply)
{
        enum sg_ctl_exit e = SG_CTL_OK;

        rc->bills = sg_ctl_member(reply, "bills");
        if (!json_object_is_type(rc->bills, json_type_array) ||
            json_object_get_boolean(sg_ctl_member(reply, "is_limited")) ||
            json_object_array_length(rc->bills) > SG_EXPORT_ROWS_MAX) {
                sg_ctl_complain("there is too much for one comparison: narrow it by --provider, --since and --until");
                return SG_CTL_FAILED;
        }
        if (!is_of_one_provider(rc->bills))
                return SG_CTL_FAILED;
        rc->pairs = calloc(PAIRS_MAX, sizeof(*rc->pairs));
        SG_ASSERT(rc->pairs);
        rc->models = json_object_new_object();
        rc->differences = json_object_new_array();
        gather(rc);
        compare(rc);
        tell(ctl, rc);
        if (json_object_array_length(rc->differences))
                e = SG_CTL_DIFFERS;
        json_object_put(rc->differences);
        json_object_put(rc->models);
        free(rc->pairs);
        return e;
}

enum sg_ctl_exit sg_ctl_verb_usage_reconcile(struct sg_ctl *ctl)
{
        SG_AUTO(sg_export_free) struct sg_export *export = NULL;
        struct reconciling rc = {.n_pairs = 0};
        struct json_object *reply;
        struct sg_error err = {0};
        enum sg_ctl_exit e;

        if (sg_export_read(&export, ctl->arguments[0], &err)) {
                sg_ctl_complain("%s%s%s", err.where, err.where[0] ? ": " : "", err.text);
                return SG_CTL_FAILED;
        }
        rc.export = export;
        rc.from_day = export->first_day;
        rc.to_day = export->last_day + 1;
        if (!read_day(ctl, SG_CTL_SINCE, &rc.from_day) || !read_day(ctl, SG_CTL_UNTIL, &rc.to_day))
                return SG_CTL_USAGE;
        if (rc.from_day >= rc.to_day) {
                sg_ctl_complain("no day is compared: --until is the first day that is not");
                return SG_CTL_USAGE;
        }
        e = ask_bills(ctl, &rc, &reply);
        if (e)
                return e;
        e = hold_against(ctl, &rc, reply);
        json_object_put(reply);
        return e;
}
