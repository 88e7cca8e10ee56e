#include "config/units.h"

#include <inttypes.h>
#include <stdio.h>

struct unit {
        const char *name;
        uint64_t factor;
};

/* The largest first; of two with the same factor the first is written. */
static const struct unit duration_units[] = {
        {"d", 86400 * SG_USEC_PER_SEC},
        {"h", 3600 * SG_USEC_PER_SEC},
        {"m", 60 * SG_USEC_PER_SEC},
        {"min", 60 * SG_USEC_PER_SEC},
        {"s", SG_USEC_PER_SEC},
        {"ms", SG_USEC_PER_MSEC},
        {"us", 1},
};
static const struct unit size_units[] = {
        {"G", UINT64_C(1) << 30},
        {"GiB", UINT64_C(1) << 30},
        {"M", UINT64_C(1) << 20},
        {"MiB", UINT64_C(1) << 20},
        {"K", UINT64_C(1) << 10},
        {"KiB", UINT64_C(1) << 10},
        {"", 1},
        {"B", 1},
};

static size_t n_digits(struct sg_str text)
{
        size_t n = 0;

        while (n < text.n && text.p[n] >= '0' && text.p[n] <= '9')
                n++;
        return n;
}

struct sg_str sg_units_unit(struct sg_str text)
{
        return sg_str_trim(sg_str_skip(text, n_digits(text)));
}

static int parse(struct sg_str text, const struct unit *units, size_t n_units, uint64_t *ret)
{
        const struct sg_str unit = sg_units_unit(text), digits = sg_str_head(text, n_digits(text));
        uint64_t number;

        if (digits.n == 0)
                return SG_UNITS_E_SYNTAX;
        if (sg_str_to_u64(digits, &number))
                return SG_UNITS_E_RANGE;
        for (size_t i = 0; i < n_units; i++) {
                if (!sg_str_ieq(unit, sg_str_from(units[i].name)))
                        continue;
                return __builtin_mul_overflow(number, units[i].factor, ret) ? SG_UNITS_E_RANGE : 0;
        }
        return unit.n ? SG_UNITS_E_UNIT : SG_UNITS_E_NO_UNIT;
}

int sg_units_duration(struct sg_str text, uint64_t *ret_usec)
{
        return parse(text, duration_units, SG_N_ELEMENTS(duration_units), ret_usec);
}

int sg_units_size(struct sg_str text, uint64_t *ret_bytes)
{
        return parse(text, size_units, SG_N_ELEMENTS(size_units), ret_bytes);
}

static const char *format(uint64_t n, const struct unit *units, size_t n_units, char *out)
{
        size_t i = 0;

        while (i + 1 < n_units && (n == 0 || n % units[i].factor != 0))
                i++;
        snprintf(out, SG_UNITS_TEXT_BYTES, "%" PRIu64 "%s", n / units[i].factor, units[i].name);
        return out;
}

const char *sg_units_duration_text(uint64_t usec, char *out)
{
        return usec == 0 ? "0s" : format(usec, duration_units, SG_N_ELEMENTS(duration_units), out);
}

const char *sg_units_size_text(uint64_t bytes, char *out)
{
        return bytes == 0 ? "0" : format(bytes, size_units, SG_N_ELEMENTS(size_units) - 1, out);
}
