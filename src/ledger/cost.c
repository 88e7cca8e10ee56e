#include "ledger/cost.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "varlink/members.h"

#define PICO_DIGITS 12

struct money {
        char currency[4];
        unsigned __int128 pico;
};

struct sum {
        struct money money[SG_COST_CURRENCIES_MAX]; /* by currency */
        size_t n;
        uint64_t n_unpriced;
};

struct sg_costing {
        const struct sg_prices *prices;
        struct json_object *rows;     /* by group, until they have their members */
        struct json_object *at;       /* the row that `sum` is of; NULL: none */
        char *group;                  /* of the last bill; NULL: none yet */
        struct json_object *unpriced; /* by name and reason */
        struct sum sum;
};

struct sg_costing *sg_costing_new(const struct sg_prices *prices)
{
        struct sg_costing *c = calloc(1, sizeof(*c));

        if (!c)
                return NULL;
        c->prices = prices;
        c->rows = json_object_new_object();
        c->unpriced = json_object_new_object();
        return c;
}

struct sg_costing *sg_costing_free(struct sg_costing *c)
{
        if (!c)
                return NULL;
        json_object_put(c->rows);
        json_object_put(c->unpriced);
        free(c->group);
        free(c);
        return NULL;
}

/* ---- sums */

static bool add_money(struct sum *s, const char currency[4], uint64_t pico)
{
        size_t i = 0;

        while (i < s->n && strcmp(s->money[i].currency, currency) < 0)
                i++;
        if (i == s->n || strcmp(s->money[i].currency, currency) != 0) {
                if (s->n == SG_COST_CURRENCIES_MAX)
                        return false;
                memmove(&s->money[i + 1], &s->money[i], (s->n - i) * sizeof(s->money[0]));
                s->money[i] = (struct money){.pico = 0};
                memcpy(s->money[i].currency, currency, 4);
                s->n++;
        }
        s->money[i].pico += pico; /* of 2^64 each: 128 bits are never full */
        return true;
}

static void note_unpriced(struct sg_costing *c, const struct sg_store_usage_bill *bill, const char *why)
{
        char key[SG_RECORD_MODEL_BYTES_MAX + SG_NAME_BYTES_MAX + 64];
        struct json_object *o;
        uint64_t n = bill->n_counted;

        (void)snprintf(key, sizeof(key), SG_STR_FMT "/" SG_STR_FMT "\n%s", SG_STR_ARG(bill->provider),
                       SG_STR_ARG(bill->model), why);
        if (json_object_object_get_ex(c->unpriced, key, &o))
                n += (uint64_t)json_object_get_int64(json_object_object_get(o, "requests"));
        else if ((size_t)json_object_object_length(c->unpriced) == SG_COST_UNPRICED_MAX)
                return;
        o = json_object_new_object();
        sg_members_add_text(o, "provider", bill->provider);
        sg_members_add_text(o, "model", bill->model);
        sg_members_add_text(o, "why", sg_str_from(why));
        sg_members_add_u64(o, "requests", n);
        json_object_object_add(c->unpriced, key, o);
}

static void add(struct sg_costing *c, struct sum *s, const struct sg_store_usage_bill *bill)
{
        const struct sg_price *p = sg_prices_find(c->prices, bill->provider, bill->model, bill->day);
        struct sg_billed billed = sg_billed_of(&bill->tokens);
        char why[64] = "no price";
        uint64_t pico;
        bool has_cost = p && sg_price_cost(p, &billed, &pico);

        if (has_cost && add_money(s, p->currency, pico))
                return;
        if (bill->n_counted == 0) /* no tokens: nothing that a price is asked for */
                return;
        if (has_cost)
                (void)snprintf(why, sizeof(why), "too many currencies");
        else if (p)
                (void)snprintf(why, sizeof(why), "no price of %s", sg_price_class_name(sg_price_lacks(p, &billed)));
        else if (sg_prices_find(c->prices, bill->provider, bill->model, UINT64_MAX))
                (void)snprintf(why, sizeof(why), "no price of that day");
        s->n_unpriced += bill->n_counted;
        note_unpriced(c, bill, why);
}

/* ---- as JSON */

/* "0.0025": all digits there are, and none that are not needed. */
static const char *decimal(unsigned __int128 pico, char out[64])
{
        char digits[48];
        size_t n = sizeof(digits), least = PICO_DIGITS + 1, end = sizeof(digits);

        while (pico || sizeof(digits) - n < least) {
                digits[--n] = (char)('0' + (int)(pico % 10));
                pico /= 10;
        }
        while (end > sizeof(digits) - PICO_DIGITS && digits[end - 1] == '0')
                end--;
        (void)snprintf(out, 64, "%.*s%s%.*s", (int)(sizeof(digits) - PICO_DIGITS - n), digits + n,
                       end > sizeof(digits) - PICO_DIGITS ? "." : "", (int)(end - (sizeof(digits) - PICO_DIGITS)),
                       digits + sizeof(digits) - PICO_DIGITS);
        return out;
}

static void tell(const struct sum *s, struct json_object *o)
{
        struct json_object *costs = json_object_new_array();
        char amount[64];

        for (size_t i = 0; i < s->n; i++) {
                struct json_object *one = json_object_new_object();

                sg_members_add_text(one, "currency", sg_str_from(s->money[i].currency));
                sg_members_add_text(one, "amount", sg_str_from(decimal(s->money[i].pico, amount)));
                json_object_array_add(costs, one);
        }
        json_object_object_add(o, "costs", costs);
        sg_members_add_u64(o, "unpriced_requests", s->n_unpriced);
}

/* ---- a question by groups */

void sg_costing_add_row(struct sg_costing *c, struct sg_str group, struct json_object *row)
{
        char *key = sg_str_dup(group);

        tell(&(struct sum){.n = 0}, row); /* until a bill says otherwise */
        if (key)
                json_object_object_add(c->rows, key, json_object_get(row));
        free(key);
}

static void end_group(struct sg_costing *c)
{
        if (c->at)
                tell(&c->sum, c->at);
        c->at = NULL;
        free(c->group);
        c->group = NULL;
}

void sg_costing_add_bill(struct sg_costing *c, const struct sg_store_usage_bill *bill)
{
        if (!c->group || !sg_str_eq(sg_str_from(c->group), bill->group)) {
                end_group(c);
                c->sum = (struct sum){.n = 0};
                c->group = sg_str_dup(bill->group);
                if (c->group && !json_object_object_get_ex(c->rows, c->group, &c->at))
                        c->at = NULL;
        }
        if (c->at)
                add(c, &c->sum, bill);
}

struct json_object *sg_costing_end(struct sg_costing *c)
{
        struct json_object *array = json_object_new_array();

        end_group(c);
        json_object_object_foreach(c->unpriced, key, o)
        {
                (void)key;
                json_object_array_add(array, json_object_get(o));
        }
        return array;
}

/* ---- one by one */

void sg_costing_tell_bill(struct sg_costing *c, const struct sg_store_usage_bill *bill, struct json_object *o)
{
        struct sum s = {.n = 0};

        add(c, &s, bill);
        tell(&s, o);
}

void sg_costing_tell_event(struct sg_costing *c, const struct sg_store_usage_event *event, struct json_object *o)
{
        const struct sg_record *rec = &event->rec;
        bool has_tokens = rec->input_tokens + rec->output_tokens > 0;
        const struct sg_store_usage_bill bill = {
                .provider = rec->provider,
                .model = rec->upstream_model.n ? rec->upstream_model : rec->model,
                .day = rec->start_wall_usec / (86400 * SG_USEC_PER_SEC),
                .n_counted = has_tokens,
                .tokens = {.n_requests = has_tokens || !sg_str_eq(event->outcome, SG_STR("failed")),
                           .input = rec->input_tokens,
                           .cached = rec->cached_tokens,
                           .cache_write = rec->cache_write_tokens,
                           .cache_write_1h = rec->cache_write_1h_tokens,
                           .output = rec->output_tokens,
                           .reasoning = rec->reasoning_tokens,
                           .audio_input = rec->audio_input_tokens,
                           .audio_output = rec->audio_output_tokens,
                           .image = rec->image_tokens},
        };

        sg_costing_tell_bill(c, &bill, o);
}
