#include "ctl/ctl.h"

enum sg_ctl_exit sg_ctl_verb_reload(struct sg_ctl *ctl)
{
        struct json_object *reply;
        enum sg_ctl_exit e = sg_ctl_ask(ctl, SG_CTL_GATEWAY, "io.scribe.Gateway.Reload", NULL, &reply);
        const char *restart;

        if (e)
                return e;
        restart = sg_ctl_text(reply, "changes_need_restart");
        if (sg_ctl_has(ctl, SG_CTL_JSON)) {
                sg_ctl_print_json(reply);
        } else if (!sg_ctl_has(ctl, SG_CTL_QUIET)) {
                printf("configuration %llu is in force\n", (unsigned long long)sg_ctl_u64(reply, "number"));
                if (restart[0]) {
                        fputs("but a change of ", stdout);
                        sg_ctl_print_text(restart);
                        fputs(" needs a restart: systemctl restart scribe-gateway\n", stdout);
                }
        }
        json_object_put(reply);
        return SG_CTL_OK;
}
