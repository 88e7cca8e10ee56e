/* What several verbs read from the same options. Limits are only put into words here: the ledger reads them. */
#include <ctype.h>

#include "ctl/ctl.h"

struct json_object *sg_ctl_list_of(struct sg_str text)
{
        struct json_object *list = json_object_new_array();
        struct sg_str word;
        bool is_more = true;

        while (is_more) {
                is_more = sg_str_cut(&text, ',', &word);
                word = sg_str_trim(word);
                json_object_array_add(list, json_object_new_string_len(word.p ? word.p : "", (int)word.n));
        }
        return list;
}

/* ---- limits */

static void add_text(struct json_object *limits, const char *value, const char *what)
{
        char *text = NULL;

        SG_ASSERT(asprintf(&text, "%s %s", value, what) >= 0);
        json_object_array_add(limits, json_object_new_string(text));
        free(text);
}

/* "20usd/month" -> "20 usd/month"; K and M of "20K usd/month" belong to the amount. */
static void add_budget(struct json_object *limits, const char *value)
{
        size_t n = strspn(value, "0123456789.");
        char *text = NULL;

        if ((value[n] == 'K' || value[n] == 'M') && !isupper((unsigned char)value[n + 1]))
                n++;
        SG_ASSERT(asprintf(&text, "%.*s%s%s", (int)n, value, n && isalpha((unsigned char)value[n]) ? " " : "",
                           value + n) >= 0);
        json_object_array_add(limits, json_object_new_string(text));
        free(text);
}

bool sg_ctl_add_limits(const struct sg_ctl *ctl, struct json_object *parameters)
{
        static const struct {
                enum sg_ctl_option option;
                const char *what;
        } shorthands[] = {
                {SG_CTL_RPM, "requests/minute"}, {SG_CTL_TPM, "tokens/minute"}, {SG_CTL_CONCURRENCY, "concurrent"}};
        struct json_object *limits = json_object_new_array();
        bool has_any;

        for (size_t i = 0; i < ctl->n_limits; i++)
                json_object_array_add(limits, json_object_new_string(ctl->limits[i]));
        for (size_t i = 0; i < SG_N_ELEMENTS(shorthands); i++)
                if (sg_ctl_has(ctl, shorthands[i].option))
                        add_text(limits, ctl->values[shorthands[i].option], shorthands[i].what);
        if (sg_ctl_has(ctl, SG_CTL_BUDGET))
                add_budget(limits, ctl->values[SG_CTL_BUDGET]);
        has_any = json_object_array_length(limits) > 0;
        if (has_any && sg_ctl_has(ctl, SG_CTL_NO_LIMITS)) {
                sg_ctl_complain("--no-limits goes not with limits: the ones that are given take the place of all");
                json_object_put(limits);
                return false;
        }
        if (has_any || sg_ctl_has(ctl, SG_CTL_NO_LIMITS))
                json_object_object_add(parameters, "limits", limits);
        else
                json_object_put(limits);
        return true;
}

/* ---- names, numbers */

bool sg_ctl_add_name(const struct sg_ctl *ctl, enum sg_ctl_option name, enum sg_ctl_option none, const char *member,
                     struct json_object *parameters)
{
        if (sg_ctl_has(ctl, name) && sg_ctl_has(ctl, none)) {
                sg_ctl_complain("give one of %s and %s, not both", sg_ctl_options[name].name,
                                sg_ctl_options[none].name);
                return false;
        }
        if (sg_ctl_has(ctl, name) || sg_ctl_has(ctl, none))
                json_object_object_add(parameters, member,
                                       json_object_new_string(sg_ctl_has(ctl, name) ? ctl->values[name] : ""));
        return true;
}

bool sg_ctl_add_number(const struct sg_ctl *ctl, enum sg_ctl_option o, const char *member,
                       struct json_object *parameters)
{
        uint64_t n;

        if (!sg_ctl_has(ctl, o))
                return true;
        if (sg_str_to_u64(sg_str_from(ctl->values[o]), &n) || n < 1 || n > INT64_MAX) {
                sg_ctl_complain("%s is a number from 1 on", sg_ctl_options[o].name);
                return false;
        }
        json_object_object_add(parameters, member, json_object_new_uint64(n));
        return true;
}
