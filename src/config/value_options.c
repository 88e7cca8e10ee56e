/*
 * What may follow a value: "weight=3 context=32768".
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "config/value.h"

static int refuse_option(const struct sg_value *v, struct sg_str word, const char *of,
                         const struct sg_value_option *options, size_t n)
{
        char shown[SG_VALUE_SHOWN_BYTES], list[128] = "";

        for (size_t i = 0, used = 0; i < n && used < sizeof(list); i++)
                used += (size_t)snprintf(list + used, sizeof(list) - used, "%s" SG_STR_FMT "=N", i ? " and " : "",
                                         SG_STR_ARG(options[i].name));
        if (v->setting->kind == SG_KIND_CREDENTIALS)
                return sg_value_refuse(v, "something else follows the source of %s; there %s %s", of,
                                       n == 1 ? "is" : "are", list);
        return sg_value_refuse(v, "'%s' is not an option of %s; there %s %s", sg_value_shown(word, shown), of,
                               n == 1 ? "is" : "are", list);
}

static int read_option(const struct sg_value *v, struct sg_str text, struct sg_value_option *o)
{
        char shown[SG_VALUE_SHOWN_BYTES];
        uint64_t number = 0;

        if (o->value)
                return sg_value_refuse(v, SG_STR_FMT "= stands twice", SG_STR_ARG(o->name));
        if (sg_str_to_u64(text, &number) || number < 1 || number > o->max)
                return sg_value_refuse(v, "'%s' is not a number from 1 to %" PRIu64, sg_value_shown(text, shown),
                                       o->max);
        o->value = number;
        return 0;
}

int sg_value_options(const struct sg_value *v, struct sg_str text, const char *of, struct sg_value_option *options,
                     size_t n)
{
        struct sg_str word, rest, name;
        int r = 0;

        while (!r && (word = sg_value_next_word(&text, " \t")).n) {
                size_t i = 0;

                rest = word;
                if (!sg_str_cut(&rest, '=', &name))
                        return refuse_option(v, word, of, options, n);
                while (i < n && !sg_str_eq(name, options[i].name))
                        i++;
                r = i < n ? read_option(v, rest, &options[i]) : refuse_option(v, word, of, options, n);
        }
        return r;
}

int sg_value_weight(const struct sg_value *v, struct sg_str options, const char *of, unsigned *ret)
{
        struct sg_value_option weight = {.name = SG_STR("weight"), .max = SG_WEIGHT_MAX};
        int r = sg_value_options(v, options, of, &weight, 1);

        if (!r)
                *ret = weight.value ? (unsigned)weight.value : 1;
        return r;
}
