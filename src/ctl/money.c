#include "ctl/money.h"

#include <stdio.h>

#include "ctl/ctl.h"

#define WHOLE_DIGITS_MAX 18u
#define SHOWN_DIGITS     4u

bool sg_ctl_parse_decimal(struct sg_str text, __int128 *ret_pico, unsigned *ret_digits)
{
        bool is_negative = text.n && text.p[0] == '-', has_point;
        uint64_t whole, behind = 0;
        struct sg_str before;
        __int128 pico;

        if (is_negative)
                text = sg_str_skip(text, 1);
        has_point = sg_str_cut(&text, '.', &before);
        if (before.n > WHOLE_DIGITS_MAX || sg_str_to_u64(before, &whole) ||
            (has_point && (text.n == 0 || text.n > SG_CTL_PICO_DIGITS || sg_str_to_u64(text, &behind))))
                return false;
        for (size_t i = text.n; i < SG_CTL_PICO_DIGITS; i++)
                behind *= 10;
        pico = (__int128)whole * 1000000000000 + (__int128)behind;
        *ret_pico = is_negative ? -pico : pico;
        if (ret_digits)
                *ret_digits = (unsigned)text.n;
        return true;
}

/* With so many digits behind the point, of which those over `least` only when they are not zero. */
static void print_decimal(unsigned __int128 pico, size_t most, size_t least, char *out, size_t out_bytes)
{
        char behind[SG_CTL_PICO_DIGITS + 1];
        uint64_t rest = (uint64_t)(pico % 1000000000000);
        size_t n = most;

        (void)snprintf(behind, sizeof(behind), "%012llu", (unsigned long long)rest);
        while (n > least && behind[n - 1] == '0')
                n--;
        (void)snprintf(out, out_bytes, "%llu%s%.*s", (unsigned long long)(pico / 1000000000000), n ? "." : "", (int)n,
                       behind);
}

const char *sg_ctl_format_decimal(__int128 pico, char out[SG_CTL_MONEY_BYTES])
{
        out[0] = '-';
        if (pico < 0)
                print_decimal((unsigned __int128)-pico, SG_CTL_PICO_DIGITS, 0, out + 1, SG_CTL_MONEY_BYTES - 1);
        else
                print_decimal((unsigned __int128)pico, SG_CTL_PICO_DIGITS, 0, out, SG_CTL_MONEY_BYTES);
        return out;
}

/* Four digits behind the point, or the first four that are not zero. */
static void print_rounded(unsigned __int128 pico, char *out, size_t out_bytes)
{
        unsigned __int128 step = 1;
        size_t digits = SG_CTL_PICO_DIGITS;

        while (digits > SHOWN_DIGITS && pico >= step * 10000) {
                step *= 10;
                digits--;
        }
        pico = (pico + step / 2) / step * step;
        print_decimal(pico, digits, 2, out, out_bytes);
}

static bool add(struct sg_ctl_money *m, const char *currency, __int128 pico)
{
        size_t i = 0;

        while (i < m->n && strcmp(m->sums[i].currency, currency) < 0)
                i++;
        if (i == m->n || strcmp(m->sums[i].currency, currency) != 0) {
                if (m->n == SG_CTL_CURRENCIES_MAX || strlen(currency) >= sizeof(m->sums[i].currency))
                        return false;
                memmove(&m->sums[i + 1], &m->sums[i], (m->n - i) * sizeof(m->sums[0]));
                memset(&m->sums[i], 0, sizeof(m->sums[i]));
                (void)sg_str_copy(m->sums[i].currency, sizeof(m->sums[i].currency), sg_str_from(currency));
                m->n++;
        }
        m->sums[i].pico += pico;
        return true;
}

void sg_ctl_money_add(struct sg_ctl_money *m, struct json_object *row)
{
        struct json_object *costs = sg_ctl_member(row, "costs");
        size_t n = json_object_is_type(costs, json_type_array) ? json_object_array_length(costs) : 0;

        m->n_unpriced += sg_ctl_u64(row, "unpriced_requests");
        for (size_t i = 0; i < n; i++) {
                struct json_object *one = json_object_array_get_idx(costs, i);
                __int128 pico;

                if (!sg_ctl_parse_decimal(sg_str_from(sg_ctl_text(one, "amount")), &pico, NULL) ||
                    !add(m, sg_ctl_text(one, "currency"), pico))
                        m->n_unpriced += sg_ctl_u64(row, "requests");
        }
}

const char *sg_ctl_money_text(const struct sg_ctl_money *m, char out[SG_CTL_MONEY_BYTES])
{
        size_t at = 0;

        out[0] = '\0';
        for (size_t i = 0; i < m->n && at < SG_CTL_MONEY_BYTES - 80; i++) {
                char amount[64];

                print_rounded((unsigned __int128)SG_MAX(m->sums[i].pico, (__int128)0), amount, sizeof(amount));
                at += (size_t)snprintf(out + at, SG_CTL_MONEY_BYTES - at, "%s%s %s", at ? " + " : "", amount,
                                       m->sums[i].currency);
        }
        if (m->n_unpriced && at)
                (void)snprintf(out + at, SG_CTL_MONEY_BYTES - at, " + %llu unpriced",
                               (unsigned long long)m->n_unpriced);
        else if (m->n_unpriced)
                (void)snprintf(out, SG_CTL_MONEY_BYTES, "unknown");
        else if (!at)
                (void)snprintf(out, SG_CTL_MONEY_BYTES, "-");
        return out;
}
