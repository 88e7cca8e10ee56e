#include "config/limit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "config/settings.h"

#define DIGITS_BEHIND 6
#define MICRO         UINT64_C(1000000)
#define EXAMPLES      "600 requests/minute, 100K tokens/hour, 8 concurrent, 20 usd/month"

static const char *const kind_names[SG_LIMIT_KIND_N] = {
        [SG_LIMIT_REQUESTS] = "requests",
        [SG_LIMIT_TOKENS] = "tokens",
        [SG_LIMIT_CONCURRENT] = "concurrent",
        [SG_LIMIT_COST] = "cost",
};
static const char *const window_names[SG_WINDOW_N] = {
        [SG_WINDOW_NONE] = "none", [SG_WINDOW_MINUTE] = "minute", [SG_WINDOW_HOUR] = "hour",
        [SG_WINDOW_DAY] = "day",   [SG_WINDOW_MONTH] = "month",
};

const char *sg_limit_kind_name(enum sg_limit_kind k)
{
        return kind_names[k];
}

const char *sg_limit_window_name(enum sg_limit_window w)
{
        return window_names[w];
}

/* ---- from text */

struct reading {
        struct sg_limit *limit;
        struct sg_str text, rest;
        struct sg_error *err;
};

#define refuse(rd, format, ...)                                                                                        \
        sg_error_set((rd)->err, -EINVAL, NULL, "limit '" SG_STR_FMT "': " format, SG_STR_ARG((rd)->text), ##__VA_ARGS__)

static struct sg_str next_word(struct reading *rd)
{
        struct sg_str word;

        rd->rest = sg_str_trim(rd->rest);
        word = rd->rest;
        for (size_t i = 0; i < rd->rest.n && word.n == rd->rest.n; i++)
                if (rd->rest.p[i] == ' ' || rd->rest.p[i] == '\t')
                        word = sg_str_head(rd->rest, i);
        rd->rest = sg_str_skip(rd->rest, word.n);
        return word;
}

/* Cuts the digits that *s begins with. */
static struct sg_str take_digits(struct sg_str *s)
{
        struct sg_str digits = *s;

        digits.n = 0;
        while (digits.n < s->n && s->p[digits.n] >= '0' && s->p[digits.n] <= '9')
                digits.n++;
        *s = sg_str_skip(*s, digits.n);
        return digits;
}

static uint64_t factor_of(struct sg_str suffix)
{
        return suffix.n == 0                     ? 1
               : sg_str_ieq(suffix, SG_STR("K")) ? 1000
               : sg_str_ieq(suffix, SG_STR("M")) ? 1000000
                                                 : 0;
}

/* How many digits stand behind the point; DIGITS_BEHIND + 1: too many, or none at all. */
static unsigned read_behind(struct sg_str *s, uint64_t *ret_micro)
{
        struct sg_str digits;
        unsigned n;

        *ret_micro = 0;
        if (s->n == 0 || s->p[0] != '.')
                return 0;
        *s = sg_str_skip(*s, 1);
        digits = take_digits(s);
        if (digits.n == 0 || digits.n > DIGITS_BEHIND || sg_str_to_u64(digits, ret_micro))
                return DIGITS_BEHIND + 1;
        n = (unsigned)digits.n;
        for (size_t i = n; i < DIGITS_BEHIND; i++)
                *ret_micro *= 10;
        return n;
}

/* "600", "100K", "2.50". The word after it has told the kind. */
static int read_amount(struct reading *rd, struct sg_str word)
{
        const bool is_cost = rd->limit->kind == SG_LIMIT_COST;
        const uint64_t max = is_cost ? SG_LIMIT_AMOUNT_MAX / MICRO : SG_LIMIT_AMOUNT_MAX;
        struct sg_str digits = take_digits(&word);
        uint64_t whole, behind, factor;
        unsigned n_behind = read_behind(&word, &behind);

        if (n_behind && !is_cost)
                return refuse(rd, "only budgets have digits behind a point; write a whole number");
        if (n_behind > DIGITS_BEHIND)
                return refuse(rd, "write one to %d digits behind the point, like 2.50", DIGITS_BEHIND);
        factor = factor_of(word);
        if (!factor)
                return refuse(rd, "'" SG_STR_FMT "' is no amount; write 600, 100K (thousands) or 2M (millions)",
                              (int)(word.p + word.n - digits.p), digits.p);
        /* At most 10^13 times a factor of at most 10^6: nothing here passes 64 bits. */
        if (sg_str_to_u64(digits, &whole) || whole > max)
                return refuse(rd, "the amount is too large; write at most %" PRIu64, max);
        rd->limit->amount = (is_cost ? whole * MICRO + behind : whole) * factor;
        if (rd->limit->amount > SG_LIMIT_AMOUNT_MAX)
                return refuse(rd, "the amount is too large; write at most %" PRIu64, max);
        if (rd->limit->amount == 0)
                return refuse(rd, "the amount is zero; write at least %s", is_cost ? "0.000001" : "1");
        return 0;
}

static bool is_letters(struct sg_str s)
{
        for (size_t i = 0; i < s.n; i++)
                if ((s.p[i] | 0x20) < 'a' || (s.p[i] | 0x20) > 'z')
                        return false;
        return s.n != 0;
}

static int read_window(struct reading *rd, struct sg_str word)
{
        char guess[SG_NAME_BYTES_MAX + 32];
        struct sg_nearest nearest;

        sg_nearest_init(&nearest, word);
        for (int w = SG_WINDOW_MINUTE; w < SG_WINDOW_N; w++) {
                if (sg_str_ieq(word, sg_str_from(window_names[w]))) {
                        rd->limit->window = (enum sg_limit_window)w;
                        return 0;
                }
                sg_nearest_try(&nearest, sg_str_from(window_names[w]));
        }
        return refuse(rd, "'" SG_STR_FMT "' is not one of minute, hour, day, month%s", SG_STR_ARG(word),
                      sg_nearest_text(&nearest, guess, sizeof(guess)));
}

static int check_window(struct reading *rd, struct sg_str kind, bool has_window)
{
        const struct sg_limit *l = rd->limit;

        if (l->kind == SG_LIMIT_CONCURRENT)
                return has_window ? refuse(rd, "'concurrent' has no window; write 8 concurrent") : 0;
        if (!has_window && l->kind == SG_LIMIT_COST)
                return refuse(rd,
                              "'" SG_STR_FMT "' lacks a window; write a budget as 20 usd/month, others as 600 "
                              "requests/minute",
                              SG_STR_ARG(kind));
        if (!has_window)
                return refuse(rd, "'" SG_STR_FMT "' lacks a window; write " SG_STR_FMT "/minute, /hour, /day or /month",
                              SG_STR_ARG(kind), SG_STR_ARG(kind));
        if (l->kind == SG_LIMIT_COST && l->window < SG_WINDOW_DAY)
                return refuse(rd, "a budget is for a day or a month; write " SG_STR_FMT "/day or /month",
                              SG_STR_ARG(kind));
        return 0;
}

/* "requests/minute", "concurrent", "usd/month". */
static int read_kind(struct reading *rd, struct sg_str word)
{
        char guess[SG_NAME_BYTES_MAX + 32];
        struct sg_nearest nearest;
        struct sg_str kind, window = word;
        bool has_window = sg_str_cut(&window, '/', &kind);
        int k = 0, r;

        sg_nearest_init(&nearest, kind);
        while (k < SG_LIMIT_COST && !sg_str_ieq(kind, sg_str_from(kind_names[k])))
                sg_nearest_try(&nearest, sg_str_from(kind_names[k++]));
        if (k == SG_LIMIT_COST && (kind.n != 3 || !is_letters(kind)))
                return refuse(rd, "'" SG_STR_FMT "' is not requests, tokens, concurrent or a currency like usd%s",
                              SG_STR_ARG(kind), sg_nearest_text(&nearest, guess, sizeof(guess)));
        rd->limit->kind = (enum sg_limit_kind)k;
        for (size_t i = 0; k == SG_LIMIT_COST && i < 3; i++)
                rd->limit->currency[i] = (char)(kind.p[i] & ~0x20);
        r = has_window && k != SG_LIMIT_CONCURRENT ? read_window(rd, window) : 0;
        return r ? r : check_window(rd, kind, has_window);
}

/* ---- what may follow */

static int read_percent(struct reading *rd, const char *name, struct sg_str value, unsigned *at)
{
        uint64_t n;

        if (*at)
                return refuse(rd, "'%s' is said twice", name);
        if (!sg_str_ends(value, SG_STR("%")) || sg_str_to_u64(sg_str_head(value, value.n - 1), &n) || n < 1 || n > 100)
                return refuse(rd, "'%s' is a part of the amount; write %s=1%% to %s=100%%", name, name, name);
        *at = (unsigned)n;
        return 0;
}

static int read_option(struct reading *rd, struct sg_str word)
{
        struct sg_limit *l = rd->limit;
        char guess[SG_NAME_BYTES_MAX + 32];
        struct sg_str name, value = word;
        struct sg_nearest nearest;
        bool has_value = sg_str_cut(&value, '=', &name);

        if (has_value && sg_str_ieq(name, SG_STR("warn")))
                return read_percent(rd, "warn", value, &l->warn_percent);
        if (has_value && sg_str_ieq(name, SG_STR("downgrade"))) {
                if (l->kind != SG_LIMIT_COST)
                        return refuse(rd, "'downgrade' is of budgets only, like 20 usd/month downgrade=90%%");
                return read_percent(rd, "downgrade", value, &l->downgrade_percent);
        }
        if (!has_value && sg_str_ieq(word, SG_STR("soft"))) {
                if (l->is_soft)
                        return refuse(rd, "'soft' is said twice");
                l->is_soft = true;
                return 0;
        }
        sg_nearest_init(&nearest, name);
        sg_nearest_try(&nearest, SG_STR("warn"));
        sg_nearest_try(&nearest, SG_STR("downgrade"));
        sg_nearest_try(&nearest, SG_STR("soft"));
        return refuse(rd, "'" SG_STR_FMT "' is not one of warn=80%%, downgrade=90%%, soft%s", SG_STR_ARG(word),
                      sg_nearest_text(&nearest, guess, sizeof(guess)));
}

/* What may be shown in an error as it is. */
static bool is_plain(struct sg_str s)
{
        for (size_t i = 0; i < s.n; i++)
                if ((s.p[i] < ' ' || s.p[i] > '~') && s.p[i] != '\t')
                        return false;
        return true;
}

int sg_limit_parse(struct sg_limit *ret, struct sg_str text, struct sg_error *err)
{
        struct sg_limit limit = {0};
        struct reading rd = {.limit = &limit, .text = sg_str_trim(text), .err = err};
        struct sg_str amount, word;
        int r;

        if (rd.text.n >= SG_LIMIT_TEXT_BYTES || !is_plain(rd.text))
                return sg_error_set(err, -EINVAL, NULL,
                                    "a limit is fewer than %d letters and digits; write one like " EXAMPLES,
                                    SG_LIMIT_TEXT_BYTES);
        rd.rest = rd.text;
        amount = next_word(&rd);
        if (amount.n == 0 || amount.p[0] < '0' || amount.p[0] > '9')
                return refuse(&rd, "begins with no amount above zero; write one like " EXAMPLES);
        word = next_word(&rd);
        if (word.n == 0)
                return refuse(&rd, "does not say of what; write an amount, a space and a kind, like " EXAMPLES);
        r = read_kind(&rd, word);
        if (!r)
                r = read_amount(&rd, amount);
        while (!r && (word = next_word(&rd)).n)
                r = read_option(&rd, word);
        if (!r)
                *ret = limit;
        return r;
}

/* ---- to text */

/* "20", "0.5", as short as it is exact. */
static int put_amount(char *out, size_t out_bytes, const struct sg_limit *l, uint64_t amount)
{
        int n_behind = DIGITS_BEHIND;
        uint64_t behind = amount % MICRO;

        if (l->kind != SG_LIMIT_COST || behind == 0)
                return snprintf(out, out_bytes, "%" PRIu64, l->kind == SG_LIMIT_COST ? amount / MICRO : amount);
        for (; behind % 10 == 0; behind /= 10)
                n_behind--;
        return snprintf(out, out_bytes, "%" PRIu64 ".%0*" PRIu64, amount / MICRO, n_behind, behind);
}

static const char *unit_of(const struct sg_limit *l, char out[4])
{
        if (l->kind != SG_LIMIT_COST)
                return kind_names[l->kind];
        for (size_t i = 0; i < 4; i++)
                out[i] = (char)(l->currency[i] | (l->currency[i] ? 0x20 : 0));
        return out;
}

const char *sg_limit_text(const struct sg_limit *l, char out[SG_LIMIT_TEXT_BYTES])
{
        char unit[4];
        size_t n = (size_t)put_amount(out, SG_LIMIT_TEXT_BYTES, l, l->amount);

        n += (size_t)snprintf(out + n, SG_LIMIT_TEXT_BYTES - n, " %s%s%s", unit_of(l, unit),
                              l->window == SG_WINDOW_NONE ? "" : "/",
                              l->window == SG_WINDOW_NONE ? "" : window_names[l->window]);
        if (l->warn_percent)
                n += (size_t)snprintf(out + n, SG_LIMIT_TEXT_BYTES - n, " warn=%u%%", l->warn_percent);
        if (l->downgrade_percent)
                n += (size_t)snprintf(out + n, SG_LIMIT_TEXT_BYTES - n, " downgrade=%u%%", l->downgrade_percent);
        if (l->is_soft)
                (void)snprintf(out + n, SG_LIMIT_TEXT_BYTES - n, " soft");
        return out;
}

const char *sg_limit_amount_text(const struct sg_limit *l, uint64_t amount, char out[SG_LIMIT_TEXT_BYTES])
{
        const bool is_one = amount == 1 && l->kind <= SG_LIMIT_TOKENS;
        char unit[4];
        int n = put_amount(out, SG_LIMIT_TEXT_BYTES, l, amount);
        const char *word = unit_of(l, unit);

        (void)snprintf(out + n, SG_LIMIT_TEXT_BYTES - (size_t)n, " %.*s", (int)strlen(word) - is_one, word);
        return out;
}

/* ---- sets */

static int check_pair(const struct sg_limit *a, const struct sg_limit *b, struct sg_error *err)
{
        const struct sg_limit *brief = a->window < b->window ? a : b, *lengthy = brief == a ? b : a;
        char one[SG_LIMIT_TEXT_BYTES], other[SG_LIMIT_TEXT_BYTES], most[SG_LIMIT_TEXT_BYTES];

        if (a->kind != b->kind || strcmp(a->currency, b->currency) != 0)
                return 0;
        if (a->window == b->window)
                return sg_error_set(err, -EINVAL, NULL,
                                    "limits '%s' and '%s' are of one kind and window; keep one of them",
                                    sg_limit_text(a, one), sg_limit_text(b, other));
        /* A soft one never keeps another from being reached. */
        if (lengthy->is_soft || brief->amount <= lengthy->amount)
                return 0;
        return sg_error_set(err, -EINVAL, NULL,
                            "limit '%s' is never reached beside '%s'; make it at most %s, or leave it out",
                            sg_limit_text(brief, one), sg_limit_text(lengthy, other),
                            sg_limit_amount_text(brief, lengthy->amount, most));
}

int sg_limit_set_new(struct sg_limit_set **ret, const struct sg_limit *limits, size_t n, struct sg_error *err)
{
        struct sg_limit_set *s;

        if (n > SG_LIMITS_MAX)
                return sg_error_set(err, -EINVAL, NULL, "there are %zu limits; keep at most %u", n, SG_LIMITS_MAX);
        for (size_t i = 0; i < n; i++)
                for (size_t k = i + 1; k < n; k++) {
                        int r = check_pair(&limits[i], &limits[k], err);

                        if (r)
                                return r;
                }
        if (n == 0) {
                *ret = NULL;
                return 0;
        }
        s = calloc(1, sizeof(*s) + n * sizeof(s->at[0]));
        if (!s)
                return -ENOMEM;
        atomic_init(&s->n_refs, 1);
        s->n = n;
        for (size_t i = 0; i < n; i++) {
                s->at[i].limit = limits[i];
                atomic_init(&s->at[i].word, NULL);
        }
        *ret = s;
        return 0;
}

struct sg_limit_set *sg_limit_set_ref(struct sg_limit_set *s)
{
        if (s)
                atomic_fetch_add_explicit(&s->n_refs, 1, memory_order_relaxed);
        return s;
}

struct sg_limit_set *sg_limit_set_unref(struct sg_limit_set *s)
{
        if (s && atomic_fetch_sub_explicit(&s->n_refs, 1, memory_order_acq_rel) == 1)
                free(s);
        return NULL;
}

static bool is_same(const struct sg_limit *a, const struct sg_limit *b)
{
        return a->kind == b->kind && a->window == b->window && a->amount == b->amount &&
               strcmp(a->currency, b->currency) == 0 && a->warn_percent == b->warn_percent &&
               a->downgrade_percent == b->downgrade_percent && a->is_soft == b->is_soft;
}

bool sg_limit_set_is_same(const struct sg_limit_set *a, const struct sg_limit_set *b)
{
        if (!a || !b || a->n != b->n)
                return a == b;
        for (size_t i = 0; i < a->n; i++)
                if (!is_same(&a->at[i].limit, &b->at[i].limit))
                        return false;
        return true;
}
