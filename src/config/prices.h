/*
 * config/prices.h - what tokens cost: dated tables, from which costs are derived when they are read
 *
 * Shape    one sg_prices of all DIRECTORY/prices.d/{any}.conf, in the order of their names:
 *              [price "openai/gpt-4o"]             ; PROVIDER/UPSTREAM_MODEL, either may end in '*'
 *              from = 2024-10-01                   ; UTC; in force until the next date of the same name
 *              source = https://…, read 2026-11-20
 *              currency = USD
 *              input = 2.50                        ; per million tokens, as are all but `request`
 *              …
 *          One section is one date; the same name may stand often. What is not given is unknown, and not 0
 * Units    _pico: millionths of a millionth of the currency, per token or request
 * Owner    the configuration that read it, or the caller
 * Thread   immutable once read
 * Errors   struct sg_error: where = "file:line"
 * Limits   SG_PRICES_MAX sections, names of SG_NAME_BYTES_MAX; a price has at most 6 digits behind the point and is
 *          below 10^6
 */
#pragma once

#include "base/error.h"
#include "base/str.h"

#define SG_PRICES_MAX 10000u

enum sg_price_class {
        SG_PRICE_INPUT,          /* not cached */
        SG_PRICE_CACHED_INPUT,   /* read from a prompt cache */
        SG_PRICE_CACHE_WRITE,    /* written to one, for minutes */
        SG_PRICE_CACHE_WRITE_1H, /* or for an hour */
        SG_PRICE_OUTPUT,         /* without those below */
        SG_PRICE_REASONING,      /* of output; not given: as output */
        SG_PRICE_AUDIO_INPUT,    /* of input; not given: unknown where there are such tokens */
        SG_PRICE_AUDIO_OUTPUT,
        SG_PRICE_IMAGE,   /* image tokens of input */
        SG_PRICE_REQUEST, /* each; not given: 0, as nearly nobody asks for it */
        SG_PRICE_N,
};
const char *sg_price_class_name(enum sg_price_class c); /* "cached_input" */

struct sg_price {
        const char *name;  /* "openai/gpt-4o" */
        uint64_t from_day; /* days since 1970-01-01 */
        char currency[4];  /* "USD" */
        uint32_t known;    /* a bit for each class that is given */
        uint64_t pico[SG_PRICE_N];
        const char *source; /* or NULL */
        const char *where;
};

struct sg_prices;

/* A directory that is not there holds no prices. */
int sg_prices_read(struct sg_prices **ret, const char *directory, struct sg_error *err) SG_MUST_CHECK;
/* The bytes of one file, for those who have no directory. */
int sg_prices_read_bytes(struct sg_prices **ret, struct sg_str bytes, const char *path, struct sg_error *err)
        SG_MUST_CHECK;
struct sg_prices *sg_prices_free(struct sg_prices *p);
SG_DEFINE_AUTO(struct sg_prices *, sg_prices_free)
size_t sg_prices_count(const struct sg_prices *p);
bool sg_prices_has_currency(const struct sg_prices *p, const char *currency); /* "USD" */

/* The price of that day: of all names that match the one with most letters before its '*' (exact before a pattern), and
 * of those the latest that is not after the day. NULL: unknown. p may be NULL. */
const struct sg_price *sg_prices_find(const struct sg_prices *p, struct sg_str provider, struct sg_str upstream_model,
                                      uint64_t day);

/* What is billed, each class by itself: no token stands in two. */
struct sg_billed {
        uint64_t n[SG_PRICE_N];
};
/* Of the classes of a usage event, in which cached, cache_write and so on stand within input, reasoning and audio output
 * within output. What cannot be (cached more than input) is billed as far as it goes. */
struct sg_tokens {
        uint64_t n_requests, input, cached, cache_write, cache_write_1h /* of cache_write */, output, reasoning,
                audio_input, audio_output, image;
};
struct sg_billed sg_billed_of(const struct sg_tokens *t);
/* False: a class that is billed has no price, so the cost is not known. Saturates at 18 million of the currency. */
bool sg_price_cost(const struct sg_price *p, const struct sg_billed *b, uint64_t *ret_pico) SG_MUST_CHECK;
/* The first class that is billed and has no price; SG_PRICE_N: none. */
enum sg_price_class sg_price_lacks(const struct sg_price *p, const struct sg_billed *b);
