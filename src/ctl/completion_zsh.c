/*
 * The completion of zsh: one call of _arguments for each verb. The words of the verb are its first places, since options
 * may stand anywhere.
 */
#include "ctl/completion.h"

static const char head[] =
        "#compdef scribectl\n"
        "# zsh completion of scribectl, printed by 'scribectl completion zsh'\n"
        "\n"
        "# What scribectl answers to $2 and more, a name a line, asked of the sockets that the line names; $1 says "
        "what\n"
        "# they are.\n"
        "_scribectl_ask()\n"
        "{\n"
        "    local what=$1 expl\n"
        "    local -a names\n"
        "    shift\n"
        "    names=(${(f)\"$(_call_program names ${(q)program} ${(q)sockets} --quiet $@ </dev/null 2>/dev/null)\"})\n"
        "    _wanted names expl $what compadd -a names\n"
        "}\n"
        "\n";

/* Within single quotes; what is in `escaped` gets a backslash. */
static void print_quoted(const char *text, const char *escaped)
{
        for (const char *c = text; *c; c++) {
                if (*c == '\'')
                        fputs("'\\''", stdout);
                else if (strchr(escaped, *c))
                        printf("\\%c", *c);
                else
                        putchar(*c);
        }
}

/* ":MESSAGE:ACTION" of an option or a place. */
static void print_action(const char *message, const char *words)
{
        putchar(':');
        print_quoted(message, ":\\");
        putchar(':');
        if (!words)
                putchar(' ');
        else if (strcmp(words, "@keys") == 0)
                fputs("{_scribectl_ask key key list}", stdout);
        else if (strcmp(words, "@groups") == 0)
                fputs("{_scribectl_ask group group list}", stdout);
        else if (strcmp(words, "@credentials") == 0)
                fputs("{_scribectl_ask credential credential list}", stdout);
        else if (strcmp(words, "@services") == 0)
                fputs("{_scribectl_ask service upstream list}", stdout);
        else if (strcmp(words, "@files") == 0)
                fputs("_files", stdout);
        else if (strcmp(words, "@directories") == 0)
                fputs("_files -/", stdout);
        else
                printf("(%s)", words);
}

static void print_option(const char *indent, const struct sg_ctl_option_info *o)
{
        bool is_repeated = o == &sg_ctl_options[SG_CTL_LIMITS];

        printf("%s'%s%s%s[", indent, is_repeated ? "*" : "", o->name, o->argument ? "=" : "");
        print_quoted(o->help, "[]\\");
        putchar(']');
        if (o->argument)
                print_action(o->argument, o->words);
        putchar('\'');
}

static void print_described(struct sg_str word, const char *what)
{
        printf("            '" SG_STR_FMT ":", SG_STR_ARG(word));
        print_quoted(what, "\\");
        fputs("'\n", stdout);
}

/* "create, list, show": the second words of a group. */
static const char *seconds_of(struct sg_str group, char *out, size_t out_bytes)
{
        size_t n = 0;

        for (size_t i = 0; i < sg_ctl_n_verbs && n < out_bytes; i++) {
                struct sg_str second, first = sg_ctl_first_word(&sg_ctl_verbs[i], &second);

                if (sg_str_eq(first, group) && second.n)
                        n += (size_t)snprintf(out + n, out_bytes - n, "%s" SG_STR_FMT, n ? ", " : "",
                                              SG_STR_ARG(second));
        }
        return out;
}

static void print_verbs_after(struct sg_str group)
{
        printf("    (" SG_STR_FMT ")\n        verbs=(\n", SG_STR_ARG(group));
        for (size_t i = 0; i < sg_ctl_n_verbs; i++) {
                struct sg_str second, first = sg_ctl_first_word(&sg_ctl_verbs[i], &second);

                if (sg_str_eq(first, group) && second.n)
                        print_described(second, sg_ctl_verbs[i].summary);
        }
        fputs("        ) ;;\n", stdout);
}

static void print_verbs_function(void)
{
        struct sg_str first, second;
        char text[160];

        fputs("# The first words of verbs, or the second ones after $1.\n"
              "_scribectl_verbs()\n"
              "{\n"
              "    local -a verbs\n"
              "    case $1 in\n"
              "    ('')\n"
              "        verbs=(\n",
              stdout);
        for (size_t i = 0; i < sg_ctl_n_verbs; i++)
                if (sg_ctl_is_first(&sg_ctl_verbs[i], &first, &second))
                        print_described(first,
                                        second.n ? seconds_of(first, text, sizeof(text)) : sg_ctl_verbs[i].summary);
        fputs("        ) ;;\n", stdout);
        for (size_t i = 0; i < sg_ctl_n_verbs; i++)
                if (sg_ctl_is_first(&sg_ctl_verbs[i], &first, &second) && second.n)
                        print_verbs_after(first);
        fputs("    esac\n"
              "    _describe -t verbs verb verbs\n"
              "}\n"
              "\n",
              stdout);
}

/* Finds the words that are no options, and the verb among them. */
static void print_loop(void)
{
        struct sg_str first, second;

        fputs("    for ((i = 2; i < CURRENT; i++)); do\n"
              "        case $words[i] in\n"
              "        (--control | --ledger) ((i + 1 < CURRENT)) && sockets+=($words[i] ${(Q)words[i+1]}); ((i++)) "
              ";;\n"
              "        (--control=* | --ledger=*) sockets+=(${(Q)words[i]}) ;;\n",
              stdout);
        for (size_t i = 0; i < SG_CTL_OPTION_N; i++)
                if (sg_ctl_options[i].argument && !sg_ctl_is_socket(i) && !sg_ctl_is_namesake(i))
                        printf("        (%s) ((i++)) ;;\n", sg_ctl_options[i].name);
        fputs("        (-*) ;;\n"
              "        (*) found+=($words[i]) ;;\n"
              "        esac\n"
              "    done\n"
              "    verb=$found[1]\n"
              "    case $verb in\n",
              stdout);
        for (size_t i = 0; i < sg_ctl_n_verbs; i++)
                if (sg_ctl_is_first(&sg_ctl_verbs[i], &first, &second) && second.n)
                        printf("    (" SG_STR_FMT ") verb+=\" $found[2]\" ;;\n", SG_STR_ARG(first));
        fputs("    esac\n", stdout);
}

static void print_verb(const struct sg_ctl_verb *v)
{
        struct sg_str first, second;

        bool is_first = sg_ctl_is_first(v, &first, &second), is_of_group = !is_first && second.n == 0;

        if (is_first && second.n && !sg_ctl_stands_alone(first))
                printf("    ('" SG_STR_FMT " ') _arguments -C -S $globals '1: : ' '2: :->after-first' && return ;;\n",
                       SG_STR_ARG(first));
        /* One that others follow may go on with their second words. */
        printf("    ('%s%s')\n        _arguments -C -S $globals '1: : '%s", v->name, is_of_group ? " " : "",
               is_of_group ? " '2: :->after-first'"
               : second.n  ? " '2: : '"
                           : "");
        for (size_t i = 0; i < SG_CTL_OPTION_N; i++)
                if (sg_ctl_verb_takes(v, i))
                        print_option(" \\\n            ", &sg_ctl_options[i]);
        if (v->words && strcmp(v->words, "@verbs") == 0) {
                fputs(" '2: :->verb' '3: :->after-second'", stdout);
        } else if (v->n_most) {
                printf(" \\\n            '%c", second.n ? '3' : '2');
                print_action(v->arguments, v->words);
                putchar('\'');
        }
        fputs(" && return ;;\n", stdout);
}

void sg_ctl_print_zsh_completion(void)
{
        fputs(head, stdout);
        print_verbs_function();
        fputs("_scribectl()\n"
              "{\n"
              "    local curcontext=$curcontext context state line program=${(Q)words[1]} verb\n"
              "    local -i i\n"
              "    local -a found globals sockets\n"
              "    local -A opt_args\n"
              "    globals=(",
              stdout);
        for (size_t i = 0; i < SG_CTL_OPTION_N; i++)
                if (sg_ctl_options[i].is_global)
                        print_option("\n        ", &sg_ctl_options[i]);
        fputs("\n    )\n", stdout);
        print_loop();
        fputs("    case $verb in\n"
              "    ('') _arguments -C -S $globals '1: :->verb' && return ;;\n",
              stdout);
        for (size_t i = 0; i < sg_ctl_n_verbs; i++)
                print_verb(&sg_ctl_verbs[i]);
        fputs("    esac\n"
              "    case $state in\n"
              "    (verb) _scribectl_verbs '' ;;\n"
              "    (after-first) _scribectl_verbs $found[1] ;;\n"
              "    (after-second) _scribectl_verbs $found[2] ;;\n"
              "    esac\n"
              "}\n"
              "\n"
              "_scribectl \"$@\"\n",
              stdout);
}
