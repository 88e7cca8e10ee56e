/*
 * The completion of bash. bash cuts the line at "=" as well as at blanks, so that --by=model comes as three words; names
 * that a process tells are compared one by one, since compgen -W would expand them.
 */
#include "ctl/completion.h"

static const char head[] =
        "# bash completion of scribectl, printed by 'scribectl completion bash'\n"
        "\n"
        "# What scribectl answers to \"$@\", a name a line, asked of the sockets that the line names.\n"
        "_scribectl_ask()\n"
        "{\n"
        "    local name\n"
        "    while IFS= read -r name; do\n"
        "        [[ $name == \"$current\"* ]] && COMPREPLY+=(\"$name\")\n"
        "    done < <(\"${COMP_WORDS[0]}\" \"${sockets[@]}\" --quiet \"$@\" </dev/null 2>/dev/null)\n"
        "}\n"
        "\n"
        "_scribectl()\n"
        "{\n"
        "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
        "    local verb options word i\n"
        "    local -a found=() sockets=()\n"
        "    COMPREPLY=()\n"
        "    if [[ $current == = ]]; then\n"
        "        current=\n"
        "    elif [[ $previous == = ]]; then\n"
        "        previous=${COMP_WORDS[COMP_CWORD-2]}\n"
        "    fi\n";

/* "@keys" and the like, or words: what fills COMPREPLY. */
static void print_source(const char *words)
{
        if (!words)
                fputs(":", stdout);
        else if (strcmp(words, "@keys") == 0)
                fputs("_scribectl_ask key list", stdout);
        else if (strcmp(words, "@groups") == 0)
                fputs("_scribectl_ask group list", stdout);
        else if (strcmp(words, "@credentials") == 0)
                fputs("_scribectl_ask credential list", stdout);
        else if (strcmp(words, "@services") == 0)
                fputs("_scribectl_ask upstream list", stdout);
        else if (strcmp(words, "@files") == 0)
                fputs("compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$current\")", stdout);
        else if (strcmp(words, "@directories") == 0)
                fputs("compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- \"$current\")", stdout);
        else
                printf("mapfile -t COMPREPLY < <(compgen -W '%s' -- \"$current\")", words);
}

/* The first words of all verbs; the second ones of those that begin with `group` when it is not empty. */
static void print_words(struct sg_str group)
{
        bool has_any = false;

        fputs("mapfile -t COMPREPLY < <(compgen -W '", stdout);
        for (size_t i = 0; i < sg_ctl_n_verbs; i++) {
                struct sg_str first, second;
                bool is_first = sg_ctl_is_first(&sg_ctl_verbs[i], &first, &second);

                if (group.n ? !sg_str_eq(first, group) || second.n == 0 : !is_first)
                        continue;
                printf("%s" SG_STR_FMT, has_any ? " " : "", SG_STR_ARG(group.n ? second : first));
                has_any = true;
        }
        fputs("' -- \"$current\"); return ;;\n", stdout);
}

/* Finds the words that are no options: an option's value is the next word, or the one after "=". */
static void print_loop(void)
{
        bool has_any = false;

        fputs("    for ((i = 1; i < COMP_CWORD; i++)); do\n"
              "        word=${COMP_WORDS[i]}\n"
              "        case $word in\n"
              "            --control | --ledger)\n"
              "                [[ ${COMP_WORDS[i+1]} == = ]] && ((i++))\n"
              "                ((++i < COMP_CWORD)) && sockets+=(\"$word\" \"${COMP_WORDS[i]}\") ;;\n"
              "            ",
              stdout);
        for (size_t i = 0; i < SG_CTL_OPTION_N; i++) {
                if (!sg_ctl_options[i].argument || sg_ctl_is_socket(i) || sg_ctl_is_namesake(i))
                        continue;
                printf("%s%s", has_any ? " | " : "", sg_ctl_options[i].name);
                has_any = true;
        }
        fputs(")\n"
              "                [[ ${COMP_WORDS[i+1]} == = ]] && ((i++))\n"
              "                ((i++)) ;;\n"
              "            -*) ;;\n"
              "            *) found+=(\"$word\") ;;\n"
              "        esac\n"
              "    done\n",
              stdout);
}

static void print_values(void)
{
        fputs("    case $previous in\n", stdout);
        for (size_t i = 0; i < SG_CTL_OPTION_N; i++) {
                if (!sg_ctl_options[i].argument || sg_ctl_is_namesake(i))
                        continue;
                printf("        %s) ", sg_ctl_options[i].name);
                print_source(sg_ctl_options[i].words);
                fputs("; return ;;\n", stdout);
        }
        fputs("    esac\n", stdout);
}

/* Of the verb, or the global ones. */
static void print_options(const struct sg_ctl_verb *v)
{
        for (size_t i = 0; i < SG_CTL_OPTION_N; i++)
                if (v ? sg_ctl_verb_takes(v, i) : sg_ctl_options[i].is_global)
                        printf(" %s", sg_ctl_options[i].name);
}

/* Words of verbs, also after "help"; a line that begins with "-" is none of these. */
static void print_verb_words(void)
{
        struct sg_str first, second;

        fputs("    word=${found[0]}:${#found[@]}\n"
              "    [[ $word == help:2 ]] && word=$word:${found[1]}\n"
              "    [[ $current == -* ]] && word=\n"
              "    case $word in\n"
              "        :0 | help:1) ",
              stdout);
        print_words(SG_STR_NONE);
        for (size_t i = 0; i < sg_ctl_n_verbs; i++) {
                if (!sg_ctl_is_first(&sg_ctl_verbs[i], &first, &second) || second.n == 0)
                        continue;
                printf("        " SG_STR_FMT ":1 | help:2:" SG_STR_FMT ") ", SG_STR_ARG(first), SG_STR_ARG(first));
                print_words(first);
        }
        fputs("    esac\n", stdout);
}

/* Sets verb, and found to the arguments after it. */
static void print_verb_name(void)
{
        struct sg_str first, second;
        bool has_any = false;

        fputs("    verb=${found[0]}\n"
              "    case $verb in\n"
              "        ",
              stdout);
        for (size_t i = 0; i < sg_ctl_n_verbs; i++) {
                if (!sg_ctl_is_first(&sg_ctl_verbs[i], &first, &second) || second.n == 0)
                        continue;
                printf("%s" SG_STR_FMT, has_any ? " | " : "", SG_STR_ARG(first));
                has_any = true;
        }
        fputs(") verb=\"$verb ${found[1]}\"; verb=${verb% }; found=(\"${found[@]:2}\") ;;\n"
              "        *) found=(\"${found[@]:1}\") ;;\n"
              "    esac\n",
              stdout);
}

static void print_verb(const struct sg_ctl_verb *v)
{
        bool has_words = v->words && strcmp(v->words, "@verbs") != 0;

        if (!has_words && !v->options)
                return;
        printf("        '%s')\n", v->name);
        if (v->options) {
                fputs("            options+='", stdout);
                print_options(v);
                fputs("'\n", stdout);
        }
        if (has_words) {
                fputs("            [[ $current != -* ]] && ((${#found[@]} == 0)) && { ", stdout);
                print_source(v->words);
                fputs("; return; }\n", stdout);
        }
        fputs("            ;;\n", stdout);
}

void sg_ctl_print_bash_completion(void)
{
        fputs(head, stdout);
        print_loop();
        print_values();
        print_verb_words();
        print_verb_name();
        fputs("    options='", stdout);
        print_options(NULL);
        fputs("'\n    case $verb in\n", stdout);
        for (size_t i = 0; i < sg_ctl_n_verbs; i++)
                print_verb(&sg_ctl_verbs[i]);
        fputs("    esac\n"
              "    mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$current\")\n"
              "}\n"
              "complete -F _scribectl scribectl\n",
              stdout);
}
