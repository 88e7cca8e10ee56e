/*
 * What was touched comes from the database itself: the keys of usage events behind the last one seen, and what changed
 * behind the last version. So the usage that another ledger stored is told as well, and nothing is told that is not
 * committed.
 *
 * Models and providers are summed up in one go: the name that a client asked for belongs to the model that the
 * configuration finds for it, be it a pattern or another name.
 */
#include "ledger/totals_sum.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "ledger/cost.h"
#include "varlink/members.h"

#define DAY_USEC  (86400 * SG_USEC_PER_SEC)
#define ROWS_MAX  ((uint64_t)INT64_MAX)

#define HAS_DAY   1u
#define HAS_MONTH 2u

struct sg_totals_group {
        uint64_t id, parent_id;
        unsigned windows;
        bool is_touched;
};

/* ---- one total */

struct tally {
        struct sg_costing *costing;
        struct json_object *row;
        uint64_t n_requests, n_tokens;
};

static int tally_begin(struct tally *t, const struct sg_totals_work *w, const char *of)
{
        *t = (struct tally){.costing = sg_costing_new(w->config ? w->config->prices : NULL),
                            .row = json_object_new_object()};
        if (!t->costing || !t->row)
                return -ENOMEM;
        sg_members_add_text(t->row, "of", sg_str_from(of));
        sg_costing_add_row(t->costing, SG_STR(""), t->row);
        return 0;
}

static void tally_add(const struct sg_store_usage_bill *bill, void *owner)
{
        struct tally *t = owner;
        struct sg_store_usage_bill one = *bill;

        one.group = SG_STR("");
        sg_costing_add_bill(t->costing, &one);
        t->n_requests += bill->tokens.n_requests;
        t->n_tokens += bill->tokens.input + bill->tokens.output;
}

static void tally_drop(struct tally *t)
{
        t->costing = sg_costing_free(t->costing);
        json_object_put(SG_GIVE(t->row));
}

static void tally_end(struct tally *t, const struct sg_totals_work *w, unsigned window, struct json_object *array)
{
        json_object_put(sg_costing_end(t->costing));
        json_object_object_del(t->row, "unpriced_requests");
        sg_members_add_text(t->row, "window", window == HAS_DAY ? SG_STR("day") : SG_STR("month"));
        sg_members_add_u64(t->row, "period", window == HAS_DAY ? w->day : w->month);
        sg_members_add_u64(t->row, "requests", t->n_requests);
        sg_members_add_u64(t->row, "tokens", t->n_tokens);
        json_object_array_add(array, SG_GIVE(t->row));
        tally_drop(t);
}

/* ---- what has such limits */

static unsigned windows_of_set(const struct sg_limit_set *set)
{
        unsigned windows = 0;

        for (size_t i = 0; set && i < set->n; i++) {
                if (set->at[i].limit.window == SG_WINDOW_DAY)
                        windows |= HAS_DAY;
                if (set->at[i].limit.window == SG_WINDOW_MONTH)
                        windows |= HAS_MONTH;
        }
        return windows;
}

/* Of a JSON array of canonical texts: no other word of them is like these. */
static unsigned windows_of_text(struct sg_str limits)
{
        return (sg_str_find(limits, SG_STR("day")) < limits.n ? HAS_DAY : 0) |
               (sg_str_find(limits, SG_STR("month")) < limits.n ? HAS_MONTH : 0);
}

/* ---- looking */

static void set_periods(struct sg_totals_work *w, uint64_t wall_usec)
{
        time_t t = (time_t)(wall_usec / SG_USEC_PER_SEC);
        struct tm tm = {0};

        w->day = wall_usec / DAY_USEC;
        w->day_wall_usec[0] = w->day * DAY_USEC;
        w->day_wall_usec[1] = w->day_wall_usec[0] + DAY_USEC;
        (void)gmtime_r(&t, &tm);
        w->month = (uint64_t)(tm.tm_year - 70) * 12 + (uint64_t)tm.tm_mon;
        tm = (struct tm){.tm_year = tm.tm_year, .tm_mon = tm.tm_mon, .tm_mday = 1};
        w->month_wall_usec[0] = (uint64_t)timegm(&tm) * SG_USEC_PER_SEC;
        tm = (struct tm){.tm_year = tm.tm_year, .tm_mon = tm.tm_mon + 1, .tm_mday = 1};
        w->month_wall_usec[1] = (uint64_t)timegm(&tm) * SG_USEC_PER_SEC;
}

static void add_key(uint64_t id, void *owner)
{
        struct sg_totals_work *w = owner;

        if (w->n_keys == w->room_keys) {
                size_t room = w->room_keys ? 2 * w->room_keys : 64;
                uint64_t *keys = realloc(w->keys, room * sizeof(*keys));

                if (!keys) {
                        w->has_no_room = true;
                        return;
                }
                w->keys = keys;
                w->room_keys = room;
        }
        w->keys[w->n_keys++] = id;
}

static void add_changed_key(const struct sg_store_key *key, void *owner)
{
        if (!key->revoked_wall_usec && (windows_of_text(key->limits) || key->group_id))
                add_key(key->id, owner);
}

static struct sg_totals_group *find_group(const struct sg_totals_work *w, uint64_t id)
{
        size_t low = 0, high = w->n_groups;

        while (low < high) {
                size_t mid = low + (high - low) / 2;

                if (w->groups[mid].id < id)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low < w->n_groups && w->groups[low].id == id ? &w->groups[low] : NULL;
}

/* A group that lost or gained what is below it is touched by the groups and keys that changed, and itself. */
static void touch_groups(struct sg_totals_work *w, uint64_t id)
{
        struct sg_totals_group *g = find_group(w, id);

        for (size_t depth = 0; g && depth < w->n_groups; depth++) {
                g->is_touched = true;
                g = find_group(w, g->parent_id);
        }
}

static void add_group(const struct sg_store_group *group, void *owner)
{
        struct sg_totals_work *w = owner;

        if (w->n_groups == w->room_groups) {
                size_t room = w->room_groups ? 2 * w->room_groups : 16;
                struct sg_totals_group *groups = realloc(w->groups, room * sizeof(*groups));

                if (!groups) {
                        w->has_no_room = true;
                        return;
                }
                w->groups = groups;
                w->room_groups = room;
        }
        w->groups[w->n_groups++] = (struct sg_totals_group){
                .id = group->id, .parent_id = group->parent_id, .windows = windows_of_text(group->limits)};
}

static void touch_changed_group(const struct sg_store_group *group, void *owner)
{
        touch_groups(owner, group->id);
}

static int compare_ids(const void *a, const void *b)
{
        const uint64_t *x = a, *y = b;

        return *x < *y ? -1 : *x > *y;
}

static void keep_each_key_once(struct sg_totals_work *w)
{
        size_t n = 0;

        if (w->n_keys > 1)
                qsort(w->keys, w->n_keys, sizeof(*w->keys), compare_ids);
        for (size_t i = 0; i < w->n_keys; i++)
                if (n == 0 || w->keys[n - 1] != w->keys[i])
                        w->keys[n++] = w->keys[i];
        w->n_keys = n;
}

static int look(struct sg_totals_work *w, struct sg_store *s, uint64_t *event, uint64_t *version, struct sg_error *err)
{
        size_t before;
        int r;

        w->n_groups = 0;
        r = sg_store_group_list(s, false, add_group, w, err);
        /* At the first look nothing has to be known of changes: all that was used is told. */
        if (!r)
                r = sg_store_changes(s, *version ? *version : INT64_MAX, add_changed_key, touch_changed_group, w,
                                     version, err);
        before = w->n_keys;
        if (!r)
                r = sg_store_used_keys(s, *event, w->month_wall_usec[0], add_key, w, event, err);
        w->has_names |= w->config && w->n_keys > before;
        return r;
}

int sg_totals_look(struct sg_totals_work *w, struct sg_store *s, uint64_t wall_usec, bool all, struct sg_error *err)
{
        uint64_t event = all ? 0 : w->event, version = all ? 0 : w->version;
        int r;

        set_periods(w, wall_usec);
        w->has_no_room = false;
        r = look(w, s, &event, &version, err);
        if (!r && w->has_no_room)
                r = sg_error_set(err, -ENOMEM, "", "out of memory");
        if (r)
                return r;
        w->event = event;
        w->version = version;
        keep_each_key_once(w);
        return 0;
}

/* ---- keys and groups */

struct key_found {
        uint64_t id, group_id;
        unsigned windows;
};

static void on_key(const struct sg_store_key *key, void *owner)
{
        struct key_found *found = owner;

        if (key->id != found->id)
                return;
        found->windows = windows_of_text(key->limits);
        found->group_id = key->group_id;
}

static int sum_subject(const struct sg_totals_work *w, struct sg_store *s, const char *of,
                       struct sg_store_total_filter *filter, unsigned window, struct json_object *array,
                       struct sg_error *err)
{
        const uint64_t *range = window == HAS_DAY ? w->day_wall_usec : w->month_wall_usec;
        struct tally t;
        int r;

        filter->from_wall_usec = range[0];
        filter->to_wall_usec = range[1];
        r = tally_begin(&t, w, of);
        if (r)
                (void)sg_error_set(err, r, "", "out of memory");
        else
                r = sg_store_totals(s, filter, tally_add, &t, err);
        if (r) {
                tally_drop(&t);
                return r;
        }
        sg_members_add_u64(t.row, "id", filter->id);
        tally_end(&t, w, window, array);
        return 0;
}

static int sum_windows(const struct sg_totals_work *w, struct sg_store *s, const char *of,
                       struct sg_store_total_filter *filter, unsigned windows, struct json_object *array,
                       struct sg_error *err)
{
        int r = 0;

        for (unsigned window = HAS_DAY; window <= HAS_MONTH && !r; window <<= 1)
                if (windows & window)
                        r = sum_subject(w, s, of, filter, window, array, err);
        return r;
}

static int sum_key(struct sg_totals_work *w, struct sg_store *s, uint64_t id, struct json_object *array,
                   struct sg_error *err)
{
        const struct sg_store_key_filter filter = {.from_id = id, .limit = 1, .with_revoked = true};
        struct sg_store_total_filter totals = {.of = SG_TOTAL_KEY, .id = id};
        struct key_found found = {.id = id};
        int r;

        r = sg_store_key_select(s, &filter, on_key, &found, err);
        if (r)
                return r;
        touch_groups(w, found.group_id);
        return sum_windows(w, s, "key", &totals, found.windows, array, err);
}

static struct sg_totals_group *next_touched(const struct sg_totals_work *w)
{
        for (size_t i = 0; i < w->n_groups; i++)
                if (w->groups[i].is_touched)
                        return &w->groups[i];
        return NULL;
}

/* ---- models and providers */

struct names {
        const struct sg_totals_work *w;
        struct tally *models, *providers; /* two each: of the day, of the month; without costing: not limited */
};

static void add_to(struct tally pair[2], const struct sg_totals_work *w, const struct sg_store_usage_bill *bill)
{
        if (pair[0].costing && bill->day == w->day)
                tally_add(bill, &pair[0]);
        if (pair[1].costing)
                tally_add(bill, &pair[1]);
}

static void add_to_names(const struct sg_store_usage_bill *bill, void *owner)
{
        struct names *names = owner;
        const struct sg_config *config = names->w->config;
        const struct sg_config_model *m = sg_config_find_model(config, bill->group);

        if (m)
                add_to(&names->models[2 * (m - config->models)], names->w, bill);
        for (size_t i = 0; i < config->n_providers; i++)
                if (sg_str_eq(bill->provider, sg_str_from(config->providers[i].name)))
                        add_to(&names->providers[2 * i], names->w, bill);
}

static int begin_pair(struct tally pair[2], const struct sg_totals_work *w, const char *of, const char *name,
                      const struct sg_limit_set *limits, bool *is_any)
{
        unsigned windows = windows_of_set(limits);
        int r = 0;

        for (unsigned i = 0; i < 2 && !r; i++) {
                if (!(windows & (HAS_DAY << i)))
                        continue;
                *is_any = true;
                r = tally_begin(&pair[i], w, of);
                if (!r)
                        sg_members_add_text(pair[i].row, "name", sg_str_from(name));
        }
        return r;
}

static int begin_names(struct names *names, bool *is_any)
{
        const struct sg_config *c = names->w->config;
        int r = 0;

        names->models = calloc(2 * c->n_models + 1, sizeof(*names->models));
        names->providers = calloc(2 * c->n_providers + 1, sizeof(*names->providers));
        if (!names->models || !names->providers)
                return -ENOMEM;
        for (size_t i = 0; i < c->n_models && !r; i++)
                r = begin_pair(&names->models[2 * i], names->w, "model", c->models[i].name, c->models[i].limits,
                               is_any);
        for (size_t i = 0; i < c->n_providers && !r; i++)
                r = begin_pair(&names->providers[2 * i], names->w, "provider", c->providers[i].name,
                               c->providers[i].limits, is_any);
        return r;
}

static void end_names(struct names *names, struct tally *pairs, size_t n, struct json_object *array)
{
        for (size_t i = 0; pairs && i < 2 * n; i++) {
                if (array && pairs[i].costing)
                        tally_end(&pairs[i], names->w, HAS_DAY << (i % 2), array);
                else
                        tally_drop(&pairs[i]);
        }
        free(pairs);
}

static int sum_names(const struct sg_totals_work *w, struct sg_store *s, struct json_object *array,
                     struct sg_error *err)
{
        const struct sg_store_usage_filter month = {
                .from_wall_usec = w->month_wall_usec[0], .to_wall_usec = w->month_wall_usec[1], .limit = ROWS_MAX};
        struct names names = {.w = w};
        bool is_any = false;
        int r;

        r = begin_names(&names, &is_any);
        if (r)
                (void)sg_error_set(err, r, "", "out of memory");
        else if (is_any)
                r = sg_store_usage_bills(s, SG_STORE_BY_MODEL, &month, add_to_names, &names, err);
        end_names(&names, names.models, w->config->n_models, r ? NULL : array);
        end_names(&names, names.providers, w->config->n_providers, r ? NULL : array);
        return r;
}

/* ---- working it off */

/* SG_STORE_E_NONE: there is nothing left. */
static int sum_next(struct sg_totals_work *w, struct sg_store *s, struct json_object *array, struct sg_error *err)
{
        struct sg_totals_group *g;
        int r;

        if (w->n_keys > 0) {
                r = sum_key(w, s, w->keys[w->n_keys - 1], array, err);
                w->n_keys -= r == 0;
                return r;
        }
        g = next_touched(w);
        if (g) {
                struct sg_store_total_filter filter = {.of = SG_TOTAL_GROUP, .id = g->id};

                r = sum_windows(w, s, "group", &filter, g->windows, array, err);
                g->is_touched = r != 0;
                return r;
        }
        if (!w->has_names)
                return SG_STORE_E_NONE;
        r = sum_names(w, s, array, err);
        w->has_names = r != 0;
        return r;
}

int sg_totals_sum(struct sg_totals_work *w, struct sg_store *s, uint64_t usec, struct json_object *array,
                  bool *ret_is_done, struct sg_error *err)
{
        uint64_t until = sg_clock_usec() + usec;
        int r = 0;

        while (!r && sg_clock_usec() < until && json_object_array_length(array) < SG_TOTALS_MAX)
                r = sum_next(w, s, array, err);
        if (r < 0)
                return r;
        *ret_is_done = r > 0;
        return 0;
}

void sg_totals_work_done(struct sg_totals_work *w)
{
        free(w->keys);
        free(w->groups);
        *w = (struct sg_totals_work){0};
}
