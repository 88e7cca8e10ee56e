#include "ctl/ctl.h"

/* Words of the first place; of the second place after `group` when it is not NULL. */
static void print_words(const char *group)
{
        struct sg_str last = SG_STR_NONE;

        for (size_t i = 0; i < sg_ctl_n_verbs; i++) {
                struct sg_str second = sg_str_from(sg_ctl_verbs[i].name), first;
                struct sg_str word;

                (void)sg_str_cut(&second, ' ', &first);
                if (sg_ctl_verbs[i].is_hidden || (group && !sg_str_eq(first, sg_str_from(group))))
                        continue;
                word = group ? second : first;
                if (word.n && !sg_str_eq(word, last))
                        printf("%s" SG_STR_FMT, last.n ? " " : "", SG_STR_ARG(word));
                last = word.n ? word : last;
        }
}

static void print_options(const struct sg_ctl_verb *v)
{
        for (size_t i = 0; i < SG_CTL_OPTION_N; i++)
                if (sg_ctl_options[i].is_global || (v->options & (UINT32_C(1) << i)))
                        printf(" %s", sg_ctl_options[i].name);
}

static void print_verb_cases(void)
{
        for (size_t i = 0; i < sg_ctl_n_verbs; i++) {
                const struct sg_ctl_verb *v = &sg_ctl_verbs[i];

                if (v->is_hidden)
                        continue;
                printf("        '%s') options='", v->name);
                print_options(v);
                if (v->words && strcmp(v->words, "@keys") == 0)
                        printf("'; words=$(scribectl key list --quiet 2>/dev/null) ;;\n");
                else
                        printf("'; words='%s' ;;\n", v->words ? v->words : "");
        }
}

static void print_option_cases(void)
{
        for (size_t i = 0; i < SG_CTL_OPTION_N; i++) {
                const struct sg_ctl_option_info *o = &sg_ctl_options[i];

                if (o->words)
                        printf("        %s) COMPREPLY=($(compgen -W '%s' -- \"$current\")); return ;;\n", o->name,
                               o->words);
                else if (o->argument && strcmp(o->argument, "PATH") == 0)
                        printf("        %s) COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n", o->name);
                else if (o->argument)
                        printf("        %s) return ;;\n", o->name);
        }
}

enum sg_ctl_exit sg_ctl_verb_completion(struct sg_ctl *ctl)
{
        if (strcmp(ctl->arguments[0], "bash") != 0) {
                sg_ctl_complain("completion is there for bash");
                return SG_CTL_USAGE;
        }
        fputs("# bash completion of scribectl, printed by 'scribectl completion bash'\n"
              "_scribectl()\n"
              "{\n"
              "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
              "    local verb= options= words= word i\n"
              "    case $previous in\n",
              stdout);
        print_option_cases();
        fputs("    esac\n"
              "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
              "        word=${COMP_WORDS[i]}\n"
              "        [[ $word == -* ]] || verb=\"${verb:+$verb }$word\"\n"
              "    done\n"
              "    case $verb in\n"
              "        '' | help) words='",
              stdout);
        print_words(NULL);
        fputs("' ;;\n        key | 'help key') words='", stdout);
        print_words("key");
        fputs("' ;;\n        config | 'help config') words='", stdout);
        print_words("config");
        fputs("' ;;\n", stdout);
        print_verb_cases();
        fputs("    esac\n"
              "    COMPREPLY=($(compgen -W \"$words $options\" -- \"$current\"))\n"
              "}\n"
              "complete -F _scribectl scribectl\n",
              stdout);
        return SG_CTL_OK;
}
