#include "ctl/completion.h"

bool sg_ctl_is_first(const struct sg_ctl_verb *v, struct sg_str *ret_first, struct sg_str *ret_second)
{
        struct sg_str first = sg_ctl_first_word(v, ret_second), second;

        *ret_first = first;
        return v == sg_ctl_verbs || !sg_str_eq(first, sg_ctl_first_word(v - 1, &second));
}

bool sg_ctl_stands_alone(struct sg_str first)
{
        for (size_t i = 0; i < sg_ctl_n_verbs; i++)
                if (sg_str_eq(sg_str_from(sg_ctl_verbs[i].name), first))
                        return true;
        return false;
}

bool sg_ctl_is_namesake(size_t option)
{
        for (size_t i = 0; i < option; i++)
                if (strcmp(sg_ctl_options[i].name, sg_ctl_options[option].name) == 0)
                        return true;
        return false;
}

enum sg_ctl_exit sg_ctl_verb_completion(struct sg_ctl *ctl)
{
        if (strcmp(ctl->arguments[0], "bash") == 0) {
                sg_ctl_print_bash_completion();
                return SG_CTL_OK;
        }
        if (strcmp(ctl->arguments[0], "zsh") == 0) {
                sg_ctl_print_zsh_completion();
                return SG_CTL_OK;
        }
        sg_ctl_complain("completion is there for bash and zsh");
        return SG_CTL_USAGE;
}
