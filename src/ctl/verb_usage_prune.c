/* 'usage prune': single events go, their hourly sums stay. */
#include <unistd.h>

#include "base/clock.h"
#include "ctl/ctl.h"

/* Only a person at a terminal is asked; a script says --yes. */
static bool is_meant(const struct sg_ctl *ctl, uint64_t before_wall_usec)
{
        char when[SG_CTL_WHEN_BYTES], answer[16] = "";

        if (sg_ctl_has(ctl, SG_CTL_YES))
                return true;
        if (!isatty(STDIN_FILENO)) {
                sg_ctl_complain("what is pruned is gone: say --yes if that is meant");
                return false;
        }
        fprintf(stderr, "Remove the usage events that began before %s? They cannot be brought back. [y/N] ",
                sg_ctl_format_when(before_wall_usec, when));
        if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
                return true;
        sg_ctl_complain("nothing was removed");
        return false;
}

enum sg_ctl_exit sg_ctl_verb_usage_prune(struct sg_ctl *ctl)
{
        struct json_object *parameters, *reply;
        enum sg_ctl_exit e;
        uint64_t before;

        if (!sg_ctl_has(ctl, SG_CTL_BEFORE)) {
                sg_ctl_complain("usage prune needs --before WHEN");
                return SG_CTL_USAGE;
        }
        if (!sg_ctl_parse_when(sg_str_from(ctl->values[SG_CTL_BEFORE]), sg_clock_wall_usec(), SG_CTL_BACK, &before)) {
                sg_ctl_complain("--before takes a date (2026-10-01) or how long ago (90d)");
                return SG_CTL_USAGE;
        }
        if (!is_meant(ctl, before))
                return SG_CTL_USAGE;
        parameters = json_object_new_object();
        json_object_object_add(parameters, "before_wall_usec", json_object_new_int64((int64_t)before));
        e = sg_ctl_ask(ctl, SG_CTL_LEDGER_END, "io.scribe.Ledger.PruneUsage", parameters, &reply);
        if (e)
                return e;
        if (sg_ctl_has(ctl, SG_CTL_JSON))
                sg_ctl_print_json(reply);
        else if (sg_ctl_has(ctl, SG_CTL_QUIET))
                printf("%llu\n", (unsigned long long)sg_ctl_u64(reply, "events"));
        else
                printf("%llu events are removed; sums of whole hours stay\n",
                       (unsigned long long)sg_ctl_u64(reply, "events"));
        json_object_put(reply);
        return SG_CTL_OK;
}
