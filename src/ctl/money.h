/*
 * ctl/money.h - sums of money from decimal text, without losing a digit
 *
 * Shape    a sum for each currency, in the order of their names, and how many requests are in none of them
 * Units    millionths of a millionth of the currency (pico)
 * Owner    the caller; plain values
 * Limits   SG_CTL_CURRENCIES_MAX; a further one counts as unpriced
 */
#pragma once

#include <json-c/json.h>

#include "base/macro.h"
#include "base/str.h"

#define SG_CTL_CURRENCIES_MAX 16u
#define SG_CTL_MONEY_BYTES    512u
#define SG_CTL_PICO_DIGITS    12u

struct sg_ctl_money {
        struct {
                char currency[8];
                __int128 pico;
        } sums[SG_CTL_CURRENCIES_MAX];
        size_t n;
        uint64_t n_unpriced;
};

/* "-12.50": at most 12 digits behind the point and 18 before it. ret_digits: how many stand behind it; may be NULL. */
bool sg_ctl_parse_decimal(struct sg_str text, __int128 *ret_pico, unsigned *ret_digits) SG_MUST_CHECK;
/* As short as it is exact. */
const char *sg_ctl_format_decimal(__int128 pico, char out[SG_CTL_MONEY_BYTES]);

/* The members `costs` and `unpriced_requests` of a row. */
void sg_ctl_money_add(struct sg_ctl_money *m, struct json_object *row);
/* For people, rounded to four digits: "1.2345 USD + 0.52 EUR + 3 unpriced", "unknown", or "-" where nothing was to pay. */
const char *sg_ctl_money_text(const struct sg_ctl_money *m, char out[SG_CTL_MONEY_BYTES]);
