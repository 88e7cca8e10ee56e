/*
 * Exact names and patterns are kept apart. Exact ones stand in the order of their names and are found by halving: an
 * exact name that matches is as long as a name can be. Patterns stand with the longest first, so that the first that
 * matches is the one. Those of one name stand together, the latest date first.
 */
#include "config/prices.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/list.h"
#include "config/files.h"
#include "config/ini.h"
#include "config/pool.h"
#include "config/settings.h"

#define DIGITS_BEHIND   6
#define WHOLE_MAX       999999u
#define PICO_OF_REQUEST 1000000u /* millionths to millionths of millionths */

struct entry {
        struct sg_price price;
        struct sg_str provider, model; /* the parts of its name, without '*' */
        bool is_open_provider, is_open_model;
        bool has_from;
        size_t number; /* in the order of reading */
};

struct sg_prices {
        struct sg_pool pool;
        struct entry **exact, **patterns;
        size_t n_exact, n_patterns;
};

/* ---- reading one section */

struct price_line {
        struct sg_link link;
        struct entry *entry;
};

struct reading {
        struct sg_prices *prices;
        struct sg_list entries; /* of all files */
        struct entry *entry;    /* of the section at hand */
        uint32_t is_set;        /* bit per key, of it */
        const char *path;
        struct sg_error *err;
};

/* The settings that are no classes. */
enum key {
        KEY_FROM = SG_PRICE_N,
        KEY_SOURCE,
        KEY_CURRENCY,
        KEY_N,
};

static const char *key_name(int key)
{
        static const char *const names[] = {"from", "source", "currency"};

        return key < SG_PRICE_N ? sg_price_class_name((enum sg_price_class)key) : names[key - SG_PRICE_N];
}

static const char *place(const struct reading *rd, unsigned line)
{
        char text[sizeof(rd->err->where)];

        sg_ini_place(text, sizeof(text), rd->path, line);
        return sg_pool_dup(&rd->prices->pool, sg_str_from(text));
}

static int SG_PRINTF(3, 4) refuse(const struct reading *rd, unsigned line, const char *format, ...)
{
        char where[sizeof(rd->err->where)], text[sizeof(rd->err->text)];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        sg_ini_place(where, sizeof(where), rd->path, line);
        return sg_error_set(rd->err, -EINVAL, where, "%s", text);
}

/* "2.50" in millionths. */
static bool parse_decimal(struct sg_str s, uint64_t *ret_micro)
{
        struct sg_str whole;
        bool has_point = sg_str_cut(&s, '.', &whole);
        uint64_t n, behind = 0;

        if (sg_str_to_u64(whole, &n) || n > WHOLE_MAX || (has_point && (s.n == 0 || s.n > DIGITS_BEHIND)) ||
            (has_point && sg_str_to_u64(s, &behind)))
                return false;
        for (size_t i = has_point ? s.n : DIGITS_BEHIND; i < DIGITS_BEHIND; i++)
                behind *= 10;
        *ret_micro = n * 1000000 + behind;
        return true;
}

static bool take_number(struct sg_str *s, size_t n, uint64_t *ret)
{
        if (s->n < n || sg_str_to_u64(sg_str_head(*s, n), ret))
                return false;
        *s = sg_str_skip(*s, n);
        return true;
}

static bool take_dash(struct sg_str *s)
{
        if (s->n == 0 || s->p[0] != '-')
                return false;
        *s = sg_str_skip(*s, 1);
        return true;
}

/* "2026-11-20", in days since 1970. */
static bool parse_day(struct sg_str s, uint64_t *ret)
{
        static const unsigned before_month[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
        uint64_t y, m, d, leaps;
        bool is_leap;

        if (!take_number(&s, 4, &y) || !take_dash(&s) || !take_number(&s, 2, &m) || !take_dash(&s) ||
            !take_number(&s, 2, &d) || s.n)
                return false;
        is_leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
        if (y < 1970 || m < 1 || m > 12 || d < 1 || d > before_month[m] - before_month[m - 1] + (m == 2 && is_leap))
                return false;
        leaps = (y - 1) / 4 - (y - 1) / 100 + (y - 1) / 400 - 477; /* of the years from 1970 to the one before */
        *ret = (y - 1970) * 365 + leaps + before_month[m - 1] + (m > 2 && is_leap) + d - 1;
        return true;
}

static int set_price(const struct reading *rd, const struct sg_ini_item *item, enum sg_price_class c)
{
        struct sg_price *p = &rd->entry->price;
        uint64_t micro;

        if (!parse_decimal(item->value, &micro))
                return refuse(rd, item->line,
                              "'%s' is a price like 2.50: digits with a point, below 1000000, at most %d digits behind "
                              "the point%s",
                              sg_price_class_name(c), DIGITS_BEHIND,
                              c == SG_PRICE_REQUEST ? "" : "; it is for a million tokens");
        p->pico[c] = c == SG_PRICE_REQUEST ? micro * PICO_OF_REQUEST : micro;
        p->known |= UINT32_C(1) << c;
        return 0;
}

static int set_currency(const struct reading *rd, const struct sg_ini_item *item)
{
        bool is_good = item->value.n == 3;

        for (size_t i = 0; i < item->value.n; i++)
                is_good = is_good && item->value.p[i] >= 'A' && item->value.p[i] <= 'Z';
        if (!is_good)
                return refuse(rd, item->line, "'currency' is three capital letters: USD, EUR, CNY");
        memcpy(rd->entry->price.currency, item->value.p, 3);
        return 0;
}

static int set_text(const struct reading *rd, const struct sg_ini_item *item, int key)
{
        struct sg_price *p = &rd->entry->price;

        switch (key) {
        case KEY_FROM:
                if (!parse_day(item->value, &p->from_day))
                        return refuse(rd, item->line, "'from' is a day like 2026-12-31 (UTC), 1970 or later");
                rd->entry->has_from = true;
                return 0;
        case KEY_SOURCE:
                p->source = sg_pool_dup(&rd->prices->pool, item->value);
                return p->source ? 0 : -ENOMEM;
        default:
                return set_currency(rd, item);
        }
}

static int read_setting(struct reading *rd, const struct sg_ini_item *item)
{
        char guess[SG_NAME_BYTES_MAX + 32];
        struct sg_nearest nearest;
        int key = 0;

        while (key < KEY_N && !sg_str_eq(sg_str_from(key_name(key)), item->name))
                key++;
        if (key == KEY_N) {
                sg_nearest_init(&nearest, item->name);
                for (int i = 0; i < KEY_N; i++)
                        sg_nearest_try(&nearest, sg_str_from(key_name(i)));
                return refuse(rd, item->line, "unknown setting '" SG_STR_FMT "' in [price \"%s\"]%s",
                              SG_STR_ARG(item->name), rd->entry->price.name,
                              sg_nearest_text(&nearest, guess, sizeof(guess)));
        }
        if (rd->is_set & UINT32_C(1) << key)
                return refuse(rd, item->line, "'%s' is set in this section already", key_name(key));
        rd->is_set |= UINT32_C(1) << key;
        return key < SG_PRICE_N ? set_price(rd, item, (enum sg_price_class)key) : set_text(rd, item, key);
}

/* What a section must have, once all of it is read. */
static int finish_section(struct reading *rd)
{
        const struct sg_price *p = rd->entry ? &rd->entry->price : NULL;
        const char *missing = NULL;

        if (!p)
                return 0;
        if (!p->known)
                missing = "a price: input, output or another";
        if (!p->currency[0])
                missing = "'currency', like USD";
        if (!rd->entry->has_from)
                missing = "'from', the day from which it holds";
        if (!missing)
                return 0;
        return sg_error_set(rd->err, -EINVAL, p->where, "[price \"%s\"] lacks %s", p->name, missing);
}

/* ---- names */

static bool take_star(struct sg_str *s)
{
        if (s->n == 0 || s->p[s->n - 1] != '*')
                return false;
        *s = sg_str_head(*s, s->n - 1);
        return true;
}

static bool read_name(struct entry *e)
{
        struct sg_str name = sg_str_from(e->price.name);

        if (!sg_str_cut(&name, '/', &e->provider) || e->provider.n == 0 || name.n == 0)
                return false;
        e->model = name;
        e->is_open_provider = take_star(&e->provider);
        e->is_open_model = take_star(&e->model);
        return sg_str_find_byte(e->provider, '*') == e->provider.n && sg_str_find_byte(e->model, '*') == e->model.n;
}

static int read_heading(struct reading *rd, const struct sg_ini_item *item)
{
        struct price_line *line;
        int r = finish_section(rd);

        rd->entry = NULL;
        rd->is_set = 0;
        if (r)
                return r;
        if (!sg_str_eq(item->section, SG_STR("price")) || !item->has_name)
                return refuse(rd, item->line, "a heading is written [price \"PROVIDER/MODEL\"] here");
        if (rd->entries.n == SG_PRICES_MAX)
                return refuse(rd, item->line, "more than %u prices", SG_PRICES_MAX);
        line = sg_pool_alloc(&rd->prices->pool, sizeof(*line));
        rd->entry = sg_pool_alloc(&rd->prices->pool, sizeof(*rd->entry));
        if (!line || !rd->entry)
                return -ENOMEM;
        rd->entry->number = rd->entries.n;
        rd->entry->price.name = sg_pool_dup(&rd->prices->pool, item->name);
        rd->entry->price.where = place(rd, item->line);
        if (!rd->entry->price.name || !rd->entry->price.where)
                return -ENOMEM;
        if (!read_name(rd->entry))
                return refuse(rd, item->line,
                              "[price \"%s\"]: the name is PROVIDER/MODEL, where either may end with a *",
                              rd->entry->price.name);
        line->entry = rd->entry;
        sg_list_push(&rd->entries, &line->link);
        return 0;
}

static int read_bytes(const char *path, struct sg_str bytes, void *owner, struct sg_error *err)
{
        struct reading *rd = owner;
        struct sg_ini_item item;
        struct sg_ini ini;
        int r;

        rd->path = path;
        sg_ini_init(&ini, bytes, path);
        do {
                r = sg_ini_next(&ini, &item, err);
                if (!r && item.kind == SG_INI_SECTION)
                        r = read_heading(rd, &item);
                else if (!r && item.kind == SG_INI_SETTING)
                        r = read_setting(rd, &item);
        } while (!r && item.kind != SG_INI_END);
        if (!r)
                r = finish_section(rd);
        rd->entry = NULL;
        return r;
}

/* ---- order */

static bool is_pattern(const struct entry *e)
{
        return e->is_open_provider || e->is_open_model;
}

/* Exact names by their bytes; patterns the longest first; of one name the latest first. */
static int by_order(const void *a, const void *b)
{
        const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
        size_t n_x = x->provider.n + x->model.n, n_y = y->provider.n + y->model.n;
        int stars_x = x->is_open_provider + x->is_open_model, stars_y = y->is_open_provider + y->is_open_model;
        int c;

        if (stars_x && stars_y && n_x != n_y)
                return n_x > n_y ? -1 : 1;
        if (stars_x != stars_y)
                return stars_x < stars_y ? -1 : 1;
        c = strcmp(x->price.name, y->price.name);
        if (c)
                return c;
        if (x->price.from_day != y->price.from_day)
                return x->price.from_day > y->price.from_day ? -1 : 1;
        return x->number < y->number ? -1 : 1; /* a double, for its error */
}

static int put_in_order(struct reading *rd)
{
        struct sg_prices *p = rd->prices;

        p->exact = sg_pool_array(&p->pool, rd->entries.n, sizeof(struct entry *));
        p->patterns = sg_pool_array(&p->pool, rd->entries.n, sizeof(struct entry *));
        if (!p->exact || !p->patterns)
                return -ENOMEM;
        SG_LIST_EACH (&rd->entries, k) {
                struct entry *e = SG_CONTAINER(k, struct price_line, link)->entry;

                if (is_pattern(e))
                        p->patterns[p->n_patterns++] = e;
                else
                        p->exact[p->n_exact++] = e;
        }
        qsort(p->exact, p->n_exact, sizeof(struct entry *), by_order);
        qsort(p->patterns, p->n_patterns, sizeof(struct entry *), by_order);
        return 0;
}

/* Two prices of one name and day stand side by side now. */
static int refuse_doubles(struct entry *const *list, size_t n, struct sg_error *err)
{
        for (size_t i = 1; i < n; i++) {
                const struct sg_price *a = &list[i - 1]->price, *b = &list[i]->price;

                if (a->from_day == b->from_day && strcmp(a->name, b->name) == 0)
                        return sg_error_set(err, -EINVAL, b->where,
                                            "[price \"%s\"] has a price from that day already, in %s", b->name,
                                            a->where);
        }
        return 0;
}

static int finish(struct sg_prices **ret, struct reading *rd, int r)
{
        struct sg_prices *p = rd->prices;

        if (!r)
                r = put_in_order(rd);
        if (!r)
                r = refuse_doubles(p->exact, p->n_exact, rd->err);
        if (!r)
                r = refuse_doubles(p->patterns, p->n_patterns, rd->err);
        if (r)
                sg_prices_free(p);
        else
                *ret = p;
        return r;
}

static int begin(struct reading *rd, struct sg_error *err)
{
        *rd = (struct reading){.prices = calloc(1, sizeof(struct sg_prices)), .err = err};
        if (!rd->prices)
                return -ENOMEM;
        sg_pool_init(&rd->prices->pool);
        sg_list_init(&rd->entries);
        return 0;
}

int sg_prices_read(struct sg_prices **ret, const char *directory, struct sg_error *err)
{
        struct reading rd;
        int r = begin(&rd, err);

        return r ? r : finish(ret, &rd, sg_config_files_read(directory, read_bytes, &rd, err));
}

int sg_prices_read_bytes(struct sg_prices **ret, struct sg_str bytes, const char *path, struct sg_error *err)
{
        struct reading rd;
        int r = begin(&rd, err);

        return r ? r : finish(ret, &rd, read_bytes(path, bytes, &rd, err));
}

struct sg_prices *sg_prices_free(struct sg_prices *p)
{
        if (!p)
                return NULL;
        sg_pool_done(&p->pool);
        free(p);
        return NULL;
}

size_t sg_prices_count(const struct sg_prices *p)
{
        return p ? p->n_exact + p->n_patterns : 0;
}

bool sg_prices_has_currency(const struct sg_prices *p, const char *currency)
{
        for (size_t i = 0; p && i < p->n_exact; i++)
                if (strcmp(p->exact[i]->price.currency, currency) == 0)
                        return true;
        for (size_t i = 0; p && i < p->n_patterns; i++)
                if (strcmp(p->patterns[i]->price.currency, currency) == 0)
                        return true;
        return false;
}

/* ---- questions */

static int compare_exact(const struct entry *e, struct sg_str provider, struct sg_str model)
{
        struct sg_str name = sg_str_from(e->price.name), slash = SG_STR("/");
        struct sg_str parts[] = {provider, slash, model};

        for (size_t i = 0; i < SG_N_ELEMENTS(parts); i++) {
                int c = sg_str_cmp(sg_str_head(name, SG_MIN(name.n, parts[i].n)), parts[i]);

                if (c)
                        return c;
                name = sg_str_skip(name, parts[i].n);
        }
        return name.n ? 1 : 0;
}

/* The first of that name in the order, or where it would stand. */
static size_t find_exact(const struct sg_prices *p, struct sg_str provider, struct sg_str model)
{
        size_t low = 0, high = p->n_exact;

        while (low < high) {
                size_t mid = low + (high - low) / 2;

                if (compare_exact(p->exact[mid], provider, model) < 0)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

static bool part_matches(struct sg_str part, bool is_open, struct sg_str text)
{
        return is_open ? sg_str_starts(text, part) : sg_str_eq(text, part);
}

static bool matches(const struct entry *e, struct sg_str provider, struct sg_str model)
{
        return part_matches(e->provider, e->is_open_provider, provider) &&
               part_matches(e->model, e->is_open_model, model);
}

/* Of those of the same name as the first of them. */
static const struct sg_price *latest(struct entry *const *list, size_t first, size_t n, uint64_t day)
{
        for (size_t i = first; i < n && strcmp(list[i]->price.name, list[first]->price.name) == 0; i++)
                if (list[i]->price.from_day <= day)
                        return &list[i]->price;
        return NULL;
}

const struct sg_price *sg_prices_find(const struct sg_prices *p, struct sg_str provider, struct sg_str upstream_model,
                                      uint64_t day)
{
        size_t at;

        if (!p)
                return NULL;
        at = find_exact(p, provider, upstream_model);
        if (at < p->n_exact && compare_exact(p->exact[at], provider, upstream_model) == 0)
                return latest(p->exact, at, p->n_exact, day);
        for (at = 0; at < p->n_patterns; at++)
                if (matches(p->patterns[at], provider, upstream_model))
                        return latest(p->patterns, at, p->n_patterns, day);
        return NULL;
}
