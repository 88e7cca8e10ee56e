#include "ctl/ctl.h"
#include "sg_build.h"

/* What does not answer is told beside, so that the output holds names and versions only. */
static void print_line(const struct sg_ctl *ctl, const char *name, struct json_object *status)
{
        if (status) {
                printf("%-15s ", name);
                sg_ctl_print_text(sg_ctl_text(status, "version"));
                putchar('\n');
        } else if (!sg_ctl_has(ctl, SG_CTL_QUIET)) {
                sg_ctl_complain("%s does not run, or may not be asked", name);
        }
}

static struct json_object *version_of(struct json_object *status)
{
        return status ? json_object_new_string(sg_ctl_text(status, "version")) : NULL;
}

enum sg_ctl_exit sg_ctl_verb_version(struct sg_ctl *ctl)
{
        struct json_object *gateway = NULL, *ledger = NULL, *o;

        if (sg_ctl_ask_quietly(ctl, SG_CTL_GATEWAY, "io.scribe.Gateway.GetStatus", &gateway))
                gateway = NULL;
        if (sg_ctl_ask_quietly(ctl, SG_CTL_LEDGER_END, "io.scribe.Ledger.GetStatus", &ledger))
                ledger = NULL;
        if (sg_ctl_has(ctl, SG_CTL_JSON)) {
                o = json_object_new_object();
                json_object_object_add(o, "scribectl", json_object_new_string(SG_VERSION));
                json_object_object_add(o, "gateway", version_of(gateway));
                json_object_object_add(o, "ledger", version_of(ledger));
                sg_ctl_print_json(o);
                json_object_put(o);
        } else {
                printf("%-15s %s\n", "scribectl", SG_VERSION);
                print_line(ctl, "scribe-gateway", gateway);
                print_line(ctl, "scribe-ledger", ledger);
        }
        json_object_put(gateway);
        json_object_put(ledger);
        return SG_CTL_OK;
}
