/*
 * Columns are known by name, whatever their order and whatever else stands there. What they are called:
 *
 *      the plain form  date, model, requests, input_tokens, cached_tokens, cache_write_tokens, output_tokens, cost
 *      OpenAI          the names of its usage API, which its usage page exports: start_time, num_model_requests,
 *                      input_tokens (with cached ones), input_cached_tokens, output_tokens
 *      Anthropic       its console's usage export: usage_date_utc, model_version, usage_… ; input is in four columns
 */
#include "ctl/export.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/buf.h"
#include "ctl/csv.h"
#include "ctl/ctl.h"
#include "ctl/money.h"

#define COUNT_DIGITS 15u

#define BIT(class)   (UINT32_C(1) << (class))
#define INPUT_TOO    BIT(SG_EXPORT_INPUT)

struct column {
        const char *name;
        uint32_t adds; /* bit per class; 0: not a number */
        bool is_day, is_model;
};

/* Of several for a day the first of these counts. */
static const struct column columns[] = {
        {.name = "date", .is_day = true},
        {.name = "usage_date_utc", .is_day = true},
        {.name = "start_time_iso", .is_day = true},
        {.name = "start_time", .is_day = true},
        {.name = "model", .is_model = true},
        {.name = "model_version", .is_model = true},
        {.name = "requests", .adds = BIT(SG_EXPORT_REQUESTS)},
        {.name = "num_model_requests", .adds = BIT(SG_EXPORT_REQUESTS)},
        {.name = "input_tokens", .adds = BIT(SG_EXPORT_INPUT)},
        {.name = "cached_tokens", .adds = BIT(SG_EXPORT_CACHED)},
        {.name = "input_cached_tokens", .adds = BIT(SG_EXPORT_CACHED)},
        {.name = "cache_write_tokens", .adds = BIT(SG_EXPORT_CACHE_WRITE)},
        {.name = "output_tokens", .adds = BIT(SG_EXPORT_OUTPUT)},
        {.name = "cost", .adds = BIT(SG_EXPORT_COST)},
        {.name = "usage_input_tokens_no_cache", .adds = INPUT_TOO},
        {.name = "usage_input_tokens_cache_read", .adds = BIT(SG_EXPORT_CACHED) | INPUT_TOO},
        {.name = "usage_input_tokens_cache_write_5m", .adds = BIT(SG_EXPORT_CACHE_WRITE) | INPUT_TOO},
        {.name = "usage_input_tokens_cache_write_1h", .adds = BIT(SG_EXPORT_CACHE_WRITE) | INPUT_TOO},
        {.name = "usage_output_tokens", .adds = BIT(SG_EXPORT_OUTPUT)},
};

const char *sg_export_class_name(enum sg_export_class c)
{
        static const char *const names[SG_EXPORT_CLASS_N] = {"requests",           "input_tokens",  "cached_tokens",
                                                             "cache_write_tokens", "output_tokens", "cost"};

        return (unsigned)c < SG_EXPORT_CLASS_N ? names[c] : "?";
}

struct reading {
        struct sg_export *export;
        struct sg_csv csv;
        const char *path;
        struct sg_error *err;
        size_t n_columns;
        const struct column *of[SG_CSV_FIELDS_MAX]; /* by field; NULL: passed over */
        size_t day_at, model_at;
};

static int SG_PRINTF(2, 3) refuse(const struct reading *rd, const char *format, ...)
{
        char where[sizeof(rd->err->where)], text[sizeof(rd->err->text)];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        (void)snprintf(where, sizeof(where), "%.200s:%zu", rd->path, rd->csv.line);
        return sg_error_set(rd->err, -EINVAL, where, "%s", text);
}

/* ---- the header */

static const struct column *find_column(struct sg_str name)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(columns); i++)
                if (sg_str_ieq(sg_str_trim(name), sg_str_from(columns[i].name)))
                        return &columns[i];
        return NULL;
}

static int read_header(struct reading *rd)
{
        const struct column *day = NULL, *model = NULL;

        rd->n_columns = rd->csv.n_fields;
        for (size_t i = 0; i < rd->n_columns; i++) {
                const struct column *c = find_column(rd->csv.fields[i]);

                rd->of[i] = NULL;
                if (!c)
                        continue;
                for (size_t k = 0; k < i; k++)
                        if (rd->of[k] == c)
                                return refuse(rd, "two columns are called %s", c->name);
                rd->of[i] = c;
                rd->export->has |= c->adds;
                if (c->is_day && (!day || c < day)) {
                        day = c;
                        rd->day_at = i;
                }
                if (c->is_model && (!model || c < model)) {
                        model = c;
                        rd->model_at = i;
                }
        }
        if (!day || !model)
                return refuse(rd, "the first line names no column for the %s: call it '%s'", day ? "model" : "day",
                              day ? "model" : "date");
        return rd->export->has ? 0 : refuse(rd, "the first line names no column of numbers, such as input_tokens");
}

/* ---- values */

static int read_count(const struct reading *rd, struct sg_str text, const struct column *c, __int128 *ret)
{
        struct sg_str whole;
        uint64_t n = 0;

        text = sg_str_trim(text);
        *ret = 0;
        if (text.n == 0)
                return 0;
        if (sg_str_cut(&text, '.', &whole)) /* "12.0", as some programs save it */
                for (size_t i = 0; i < text.n; i++)
                        if (text.p[i] != '0')
                                whole = SG_STR_NONE;
        if (whole.n > COUNT_DIGITS || sg_str_to_u64(whole, &n))
                return refuse(rd, "what stands in column %s is no count", c->name);
        *ret = n;
        return 0;
}

/* To twelve digits behind the point; some exports have more, most of them zeros. */
static int read_cost(const struct reading *rd, struct sg_str text, __int128 *ret)
{
        unsigned digits = 0;
        size_t point;

        text = sg_str_trim(text);
        *ret = 0;
        if (text.n == 0)
                return 0;
        point = sg_str_find_byte(text, '.');
        while (point < text.n && (text.p[text.n - 1] == '0' || text.n - point - 1 > SG_CTL_PICO_DIGITS) &&
               text.n > point + 2)
                text.n--;
        if (!sg_ctl_parse_decimal(text, ret, &digits))
                return refuse(rd, "what stands in column cost is no decimal number");
        rd->export->cost_digits = SG_MAX(rd->export->cost_digits, digits);
        return 0;
}

/* "2026-11-21", with a time of UTC behind it or not; or seconds since 1970. */
static bool read_day(struct sg_str text, uint64_t *ret)
{
        struct sg_str time;
        uint64_t sec;

        text = sg_str_trim(text);
        if (text.n >= 5 && text.n <= 11 && sg_str_to_u64(text, &sec) == 0) {
                *ret = sec / 86400;
                return true;
        }
        time = sg_str_skip(text, SG_MIN(text.n, (size_t)10));
        if (sg_str_ends(time, SG_STR("+00:00")))
                time.n -= 6;
        return sg_ctl_parse_day(sg_str_head(text, SG_MIN(text.n, (size_t)10)), ret) &&
               (time.n == 0 || time.p[0] == 'T' || time.p[0] == ' ') && sg_str_find_byte(time, '+') == time.n &&
               sg_str_find_byte(time, '-') == time.n;
}

/* ---- rows */

static int compare(const struct sg_export_row *row, uint64_t day, struct sg_str model)
{
        if (row->day != day)
                return row->day < day ? -1 : 1;
        return sg_str_cmp(sg_str_from(row->model), model);
}

/* In the order of days and names; NULL with *err set. */
static struct sg_export_row *get_row(struct reading *rd, uint64_t day, struct sg_str model)
{
        struct sg_export *e = rd->export;
        size_t low = 0, high = e->n_rows;
        struct sg_export_row *row;

        while (low < high) {
                size_t mid = low + (high - low) / 2;

                if (compare(&e->rows[mid], day, model) < 0)
                        low = mid + 1;
                else
                        high = mid;
        }
        row = &e->rows[low];
        if (low < e->n_rows && compare(row, day, model) == 0)
                return row;
        if (e->n_rows == SG_EXPORT_ROWS_MAX) {
                (void)refuse(rd, "more than %u days times models: split the file", SG_EXPORT_ROWS_MAX);
                return NULL;
        }
        memmove(row + 1, row, (e->n_rows - low) * sizeof(*row));
        *row = (struct sg_export_row){.day = day, .model = sg_str_dup(model)};
        e->n_rows++;
        if (row->model)
                return row;
        (void)sg_error_set(rd->err, -ENOMEM, rd->path, "out of memory");
        return NULL;
}

static int read_values(struct reading *rd, __int128 n[SG_EXPORT_CLASS_N], bool *ret_any)
{
        for (size_t i = 0; i < rd->n_columns; i++) {
                const struct column *c = rd->of[i];
                __int128 value;
                int r;

                if (!c || !c->adds)
                        continue;
                if (c->adds == BIT(SG_EXPORT_COST))
                        r = read_cost(rd, rd->csv.fields[i], &value);
                else
                        r = read_count(rd, rd->csv.fields[i], c, &value);
                if (r)
                        return r;
                *ret_any = *ret_any || value != 0;
                for (int class = 0; class < SG_EXPORT_CLASS_N; class ++)
                        if (c->adds & BIT(class))
                                n[class] += value;
        }
        return 0;
}

static int read_line(struct reading *rd)
{
        struct sg_str model = sg_str_trim(rd->csv.fields[rd->model_at]);
        __int128 n[SG_EXPORT_CLASS_N] = {0};
        struct sg_export_row *row;
        bool has_any = false;
        uint64_t day;
        int r;

        if (rd->csv.n_fields != rd->n_columns)
                return refuse(rd, "%zu fields, where the first line has %zu", rd->csv.n_fields, rd->n_columns);
        if (!read_day(rd->csv.fields[rd->day_at], &day))
                return refuse(rd, "what stands in column %s is no day of UTC like 2026-12-31",
                              rd->of[rd->day_at]->name);
        r = read_values(rd, n, &has_any);
        if (r)
                return r;
        rd->export->first_day = SG_MIN(rd->export->first_day, day);
        rd->export->last_day = SG_MAX(rd->export->last_day, day);
        if (model.n == 0 && !has_any) /* a day without usage */
                return 0;
        row = get_row(rd, day, model);
        if (!row)
                return rd->err->code;
        row->n_lines++;
        for (int class = 0; class < SG_EXPORT_CLASS_N; class ++)
                row->n[class] += n[class];
        return 0;
}

static int read_lines(struct reading *rd)
{
        int r = sg_csv_next(&rd->csv);

        if (r == SG_CSV_E_END)
                return refuse(rd, "the file is empty");
        if (!r)
                r = read_header(rd);
        while (!r) {
                r = sg_csv_next(&rd->csv);
                if (!r)
                        r = read_line(rd);
        }
        if (r == SG_CSV_E_BAD)
                return refuse(rd, "%s", rd->csv.problem);
        if (r == SG_CSV_E_END && rd->export->first_day > rd->export->last_day)
                return refuse(rd, "there is no line behind the names of the columns");
        return r == SG_CSV_E_END ? 0 : r;
}

int sg_export_read_bytes(struct sg_export **ret, struct sg_str bytes, const char *path, struct sg_error *err)
{
        SG_AUTO(sg_export_free) struct sg_export *e = calloc(1, sizeof(*e));
        struct reading rd = {.export = e, .path = path, .err = err};
        int r = e ? sg_csv_init(&rd.csv, bytes) : -ENOMEM;

        if (!r) {
                e->first_day = UINT64_MAX;
                e->rows = calloc(SG_EXPORT_ROWS_MAX, sizeof(*e->rows));
                r = e->rows ? read_lines(&rd) : -ENOMEM;
                sg_csv_done(&rd.csv);
        }
        if (r == -ENOMEM)
                return sg_error_set(err, r, path, "out of memory");
        if (r)
                return r;
        *ret = SG_GIVE(e);
        return 0;
}

int sg_export_read(struct sg_export **ret, const char *path, struct sg_error *err)
{
        struct sg_buf b;
        int r;

        sg_buf_init(&b, SG_EXPORT_BYTES_MAX);
        r = sg_buf_add_file(&b, path);
        if (r == SG_BUF_E_FULL)
                r = sg_error_set(err, -EFBIG, path, "the file has more than %u MiB", SG_EXPORT_BYTES_MAX >> 20);
        else if (r)
                r = sg_error_set(err, r, path, "cannot be read: %s", strerror(-r));
        else
                r = sg_export_read_bytes(ret, sg_buf_view(&b), path, err);
        sg_buf_done(&b);
        return r;
}

struct sg_export *sg_export_free(struct sg_export *e)
{
        if (!e)
                return NULL;
        for (size_t i = 0; i < e->n_rows; i++)
                free(e->rows[i].model);
        free(e->rows);
        free(e);
        return NULL;
}
