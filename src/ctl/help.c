#include "ctl/ctl.h"
#include "sg_build.h"

static void print_option(FILE *f, const struct sg_ctl_option_info *o)
{
        char left[64];

        (void)snprintf(left, sizeof(left), "%s%s%s", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
        fprintf(f, "  %-18s %s\n", left, o->help);
}

static void print_verb(FILE *f, const struct sg_ctl_verb *v)
{
        char left[64];

        (void)snprintf(left, sizeof(left), "%s %s", v->name, v->arguments);
        fprintf(f, "  %-22s %s\n", left, v->summary);
}

void sg_ctl_print_help(FILE *f)
{
        fputs("scribectl " SG_VERSION ": see and steer scribe-gateway\n"
              "\n"
              "usage: scribectl VERB [ARGUMENT] [OPTION]...\n"
              "\n",
              f);
        for (size_t i = 0; i < sg_ctl_n_verbs; i++)
                print_verb(f, &sg_ctl_verbs[i]);
        fputs("\nOptions, before or after the verb ('scribectl help VERB' shows those of a verb):\n", f);
        for (size_t i = 0; i < SG_CTL_OPTION_N; i++)
                if (sg_ctl_options[i].is_global)
                        print_option(f, &sg_ctl_options[i]);
        fputs("\nExit status:\n", f);
        for (size_t i = 0; i < SG_CTL_EXIT_N; i++)
                fprintf(f, "  %zu  %s\n", i, sg_ctl_exit_meanings[i]);
        fputs("\n"
              "Members of the gateway's group may look; root, the service's user and the admins of [control] may "
              "change.\n"
              "\n"
              "  scribectl status\n"
              "  scribectl key create alice --models 'gpt-*' --expires 30d\n"
              "  scribectl usage --by model --since 24h\n"
              "  scribectl config check && scribectl reload\n",
              f);
}

void sg_ctl_print_verb_help(FILE *f, const struct sg_ctl_verb *v)
{
        bool has_options = false;

        fprintf(f, "scribectl %s: %s\n\nusage: scribectl %s%s%s%s\n\n", v->name, v->summary, v->name,
                v->arguments[0] ? " " : "", v->arguments, v->options ? " [OPTION]..." : "");
        for (size_t i = 0; i < SG_CTL_OPTION_N; i++) {
                if (sg_ctl_verb_takes(v, i)) {
                        print_option(f, &sg_ctl_options[i]);
                        has_options = true;
                }
        }
        fprintf(f, "%s%s", has_options ? "\n" : "", v->text);
}

/* "key" names several verbs. */
static bool print_group(struct sg_str first)
{
        bool has_any = false;

        for (size_t i = 0; i < sg_ctl_n_verbs; i++)
                if (sg_str_eq(sg_str_from(sg_ctl_verbs[i].name), first)) /* a verb by itself, too */
                        return false;
        for (size_t i = 0; i < sg_ctl_n_verbs; i++) {
                struct sg_str rest = sg_str_from(sg_ctl_verbs[i].name), word;

                if (!sg_str_cut(&rest, ' ', &word) || !sg_str_eq(word, first))
                        continue;
                print_verb(stdout, &sg_ctl_verbs[i]);
                has_any = true;
        }
        return has_any;
}

enum sg_ctl_exit sg_ctl_verb_help(struct sg_ctl *ctl)
{
        char *argv[] = {(char *)"scribectl", (char *)ctl->arguments[0], (char *)ctl->arguments[1], (char *)"--help"};
        struct sg_ctl asked;
        struct sg_error err;

        if (ctl->n_arguments == 0) {
                sg_ctl_print_help(stdout);
                return SG_CTL_OK;
        }
        if (ctl->n_arguments == 1 && print_group(sg_str_from(ctl->arguments[0])))
                return SG_CTL_OK;
        if (ctl->n_arguments == 1)
                argv[2] = argv[3];
        if (!sg_ctl_read_arguments(&asked, (int)ctl->n_arguments + 2, argv, &err)) {
                sg_ctl_complain("%s", err.text);
                return SG_CTL_USAGE;
        }
        sg_ctl_print_verb_help(stdout, asked.verb);
        return SG_CTL_OK;
}
