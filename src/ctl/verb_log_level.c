#include "base/log.h"
#include "ctl/ctl.h"

enum sg_ctl_exit sg_ctl_verb_log_level(struct sg_ctl *ctl)
{
        struct json_object *parameters = NULL, *reply;
        enum sg_log_level level;
        enum sg_ctl_exit e;

        if (ctl->n_arguments) {
                struct sg_str word = sg_str_from(ctl->arguments[0]);

                if (sg_log_level_parse(word, &level)) {
                        struct sg_str instead = sg_ctl_nearest(word, ctl->verb->words);

                        sg_ctl_complain("a level is one of: %s%s" SG_STR_FMT "%s", ctl->verb->words,
                                        instead.n ? "; did you mean '" : "", SG_STR_ARG(instead),
                                        instead.n ? "'?" : "");
                        return SG_CTL_USAGE;
                }
                parameters = json_object_new_object();
                json_object_object_add(parameters, "level", json_object_new_string(sg_log_level_name(level)));
        }
        e = sg_ctl_ask(ctl, SG_CTL_GATEWAY,
                       parameters ? "io.scribe.Gateway.SetLogLevel" : "io.scribe.Gateway.GetLogLevel", parameters,
                       &reply);
        if (e)
                return e;
        if (sg_ctl_has(ctl, SG_CTL_JSON)) {
                sg_ctl_print_json(reply);
        } else {
                sg_ctl_print_text(sg_ctl_text(reply, "level"));
                putchar('\n');
        }
        json_object_put(reply);
        return SG_CTL_OK;
}
