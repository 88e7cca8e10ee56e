#include <locale.h>

#include "ctl/ctl.h"
#include "sg_build.h"

int main(int argc, char **argv)
{
        struct sg_ctl ctl;
        struct sg_error err;
        enum sg_ctl_exit e = SG_CTL_OK;

        (void)setlocale(LC_CTYPE, ""); /* widths of characters only: numbers stay as they are */
        if (!sg_ctl_read_arguments(&ctl, argc, argv, &err)) {
                sg_ctl_complain("%s", err.text);
                return SG_CTL_USAGE;
        }
        if (sg_ctl_has(&ctl, SG_CTL_HELP) && ctl.verb)
                sg_ctl_print_verb_help(stdout, ctl.verb);
        else if (sg_ctl_has(&ctl, SG_CTL_HELP))
                sg_ctl_print_help(stdout);
        else if (sg_ctl_has(&ctl, SG_CTL_VERSION))
                puts("scribectl " SG_VERSION);
        else if (ctl.verb)
                e = ctl.verb->run(&ctl);
        else
                sg_ctl_print_help(stderr);
        /* A full disk or a closed pipe must not look like success. */
        if (e == SG_CTL_OK && (fflush(stdout) || ferror(stdout))) {
                sg_ctl_complain("the output could not be written");
                return SG_CTL_FAILED;
        }
        return !ctl.verb && !sg_ctl_has(&ctl, SG_CTL_HELP) && !sg_ctl_has(&ctl, SG_CTL_VERSION) ? SG_CTL_USAGE : (int)e;
}
