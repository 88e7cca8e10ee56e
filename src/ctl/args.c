/*
 * Options may stand anywhere; words that are not options are the verb, of one or two words, and its arguments. What is
 * not understood is met with the nearest thing that would be.
 */
#include <errno.h>
#include <stdlib.h>

#include "ctl/ctl.h"
#include "sg_build.h"

#define DISTANCE_MAX 2u
#define WORDS_MAX    (SG_CTL_ARGUMENTS_MAX + 2u)

struct words {
        const char *word[WORDS_MAX];
        size_t n;
};

/* ---- suggestions */

struct nearest {
        struct sg_str text, best;
        size_t distance;
};

static void consider(struct nearest *n, struct sg_str word)
{
        size_t d = sg_str_distance(n->text, word, DISTANCE_MAX);

        if (d < n->distance) {
                n->distance = d;
                n->best = word;
        }
}

static struct nearest nearest_to(struct sg_str text)
{
        return (struct nearest){.text = text, .best = SG_STR_NONE, .distance = DISTANCE_MAX + 1};
}

struct sg_str sg_ctl_nearest(struct sg_str text, const char *words)
{
        struct nearest n = nearest_to(text);
        struct sg_str rest = sg_str_from(words), word;

        while (rest.n) {
                (void)sg_str_cut(&rest, ' ', &word);
                consider(&n, word);
        }
        return n.best;
}

/* before 'what' after */
static bool refuse(struct sg_error *err, const char *before, struct sg_str what, const char *after,
                   struct sg_str instead)
{
        SG_AUTO(sg_text_free) char *shown = sg_ctl_escape(what);
        char text[512];

        (void)snprintf(text, sizeof(text), "%s%s'%s'%s", before, before[0] ? " " : "", shown ? shown : "?", after);
        if (instead.n)
                sg_error_set(err, -EINVAL, "", "%s; did you mean '" SG_STR_FMT "'?", text, SG_STR_ARG(instead));
        else
                sg_error_set(err, -EINVAL, "", "%s; try 'scribectl --help'", text);
        return false;
}

/* ---- options */

static bool takes(const struct sg_ctl_verb *v, size_t option)
{
        return sg_ctl_options[option].is_global || !v || sg_ctl_verb_takes(v, option);
}

static bool find_option(struct sg_str name, size_t *ret, struct sg_error *err)
{
        struct nearest n = nearest_to(name);

        if (sg_str_eq(name, SG_STR("-h")))
                name = SG_STR("--help");
        if (sg_str_eq(name, SG_STR("-q")))
                name = SG_STR("--quiet");
        if (sg_str_eq(name, SG_STR("-n")))
                name = SG_STR("--limit");
        for (size_t i = 0; i < SG_CTL_OPTION_N; i++) {
                struct sg_str known = sg_str_from(sg_ctl_options[i].name);

                if (sg_str_eq(name, known)) {
                        *ret = i;
                        return true;
                }
                consider(&n, known);
        }
        return refuse(err, "there is no option", name, "", n.best);
}

static bool keep_limit(struct sg_ctl *ctl, const char *value, struct sg_error *err)
{
        if (ctl->n_limits == SG_CTL_LIMITS_MAX)
                return refuse(err, "option", SG_STR("--limit"), " is given too often", SG_STR_NONE);
        ctl->limits[ctl->n_limits++] = value;
        return true;
}

/* One option at argv[*at]; *at is left at the last argument that belongs to it. */
static bool read_option(struct sg_ctl *ctl, int argc, char **argv, int *at, struct sg_error *err)
{
        struct sg_str rest = sg_str_from(argv[*at]), name;
        bool has_value = sg_str_cut(&rest, '=', &name);
        const char *value = has_value ? rest.p : NULL;
        size_t option = 0;

        if (!find_option(name, &option, err))
                return false;
        if (!sg_ctl_options[option].argument) {
                if (has_value)
                        return refuse(err, "option", name, " takes no value", SG_STR_NONE);
                ctl->values[option] = "";
                return true;
        }
        if (ctl->values[option])
                return refuse(err, "option", name, " is given twice", SG_STR_NONE);
        if (!has_value && *at + 1 < argc)
                value = argv[++*at];
        if (!value || !value[0])
                return refuse(err, "option", name, " needs a value", SG_STR_NONE);
        if (option == SG_CTL_LIMIT)
                return keep_limit(ctl, value, err);
        ctl->values[option] = value;
        return true;
}

/* --limit is how many rows, or what a key may do: the verb, which may stand behind it, says which. */
static bool settle_limits(struct sg_ctl *ctl, struct sg_error *err)
{
        bool is_set = sg_ctl_verb_takes(ctl->verb, SG_CTL_LIMITS);

        if (ctl->n_limits > 1 && !is_set)
                return refuse(err, "option", SG_STR("--limit"), " is given twice", SG_STR_NONE);
        ctl->values[is_set ? SG_CTL_LIMITS : SG_CTL_LIMIT] = ctl->limits[0];
        return true;
}

static bool refuse_option(const struct sg_ctl_verb *v, struct sg_str name, struct sg_error *err)
{
        struct nearest n = nearest_to(name);

        for (size_t i = 0; i < SG_CTL_OPTION_N; i++)
                if (sg_ctl_verb_takes(v, i))
                        consider(&n, sg_str_from(sg_ctl_options[i].name));
        if (n.best.n)
                sg_error_set(err, -EINVAL, "", "'%s' takes no option " SG_STR_FMT "; did you mean " SG_STR_FMT "?",
                             v->name, SG_STR_ARG(name), SG_STR_ARG(n.best));
        else
                sg_error_set(err, -EINVAL, "", "'%s' takes no option " SG_STR_FMT "; try 'scribectl help %s'", v->name,
                             SG_STR_ARG(name), v->name);
        return false;
}

static bool check_options(const struct sg_ctl *ctl, struct sg_error *err)
{
        for (size_t i = 0; i < SG_CTL_OPTION_N; i++) {
                const struct sg_ctl_option_info *o = &sg_ctl_options[i];
                struct sg_str value = sg_str_from(ctl->values[i]), rest, word;
                bool is_known = false;

                if (!ctl->values[i])
                        continue;
                if (!takes(ctl->verb, i)) {
                        return refuse_option(ctl->verb, sg_str_from(o->name), err);
                }
                if (!o->words || sg_ctl_is_source(o->words))
                        continue;
                rest = sg_str_from(o->words);
                while (rest.n && !is_known) {
                        (void)sg_str_cut(&rest, ' ', &word);
                        is_known = sg_str_eq(word, value);
                }
                if (!is_known) {
                        sg_error_set(err, -EINVAL, "", "%s is one of: %s", o->name, o->words);
                        return false;
                }
        }
        return true;
}

/* ---- the verb */

struct sg_str sg_ctl_first_word(const struct sg_ctl_verb *v, struct sg_str *ret_second)
{
        struct sg_str first;

        *ret_second = sg_str_from(v->name);
        (void)sg_str_cut(ret_second, ' ', &first);
        return first;
}

static bool suggest_verb(const struct words *w, struct sg_error *err)
{
        struct sg_str one = sg_str_from(w->word[0]), two = sg_str_from(w->n > 1 ? w->word[1] : "");
        struct nearest verbs = nearest_to(one), seconds = nearest_to(two);
        struct sg_str first, second;
        char list[256] = "";
        bool is_group = false;

        for (size_t i = 0; i < sg_ctl_n_verbs; i++) {
                first = sg_ctl_first_word(&sg_ctl_verbs[i], &second);
                consider(&verbs, first);
                if (second.n == 0 || !sg_str_eq(first, one))
                        continue;
                is_group = true;
                consider(&seconds, second);
                (void)snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s'%s'", list[0] ? ", " : "",
                               sg_ctl_verbs[i].name);
        }
        if (!is_group)
                return refuse(err, "there is no verb", one, "", verbs.best);
        if (two.n && seconds.best.n) {
                sg_error_set(err, -EINVAL, "", "did you mean '%s " SG_STR_FMT "'?", w->word[0],
                             SG_STR_ARG(seconds.best));
                return false;
        }
        sg_error_set(err, -EINVAL, "", "'%s' is one of: %s", w->word[0], list);
        return false;
}

/* How many of the words the verb's name takes; 0: it is another. */
static size_t matches(const struct sg_ctl_verb *v, const struct words *w)
{
        struct sg_str second, first = sg_ctl_first_word(v, &second);

        if (w->n == 0 || !sg_str_eq(first, sg_str_from(w->word[0])))
                return 0;
        if (second.n == 0)
                return 1;
        return w->n > 1 && sg_str_eq(second, sg_str_from(w->word[1])) ? 2 : 0;
}

static bool find_verb(struct sg_ctl *ctl, const struct words *w, struct sg_error *err)
{
        for (size_t i = 0; i < sg_ctl_n_verbs; i++) {
                size_t n = matches(&sg_ctl_verbs[i], w);

                if (n == 0)
                        continue;
                ctl->verb = &sg_ctl_verbs[i];
                ctl->n_arguments = w->n - n;
                for (size_t k = 0; k < ctl->n_arguments; k++)
                        ctl->arguments[k] = w->word[n + k];
                return true;
        }
        return suggest_verb(w, err);
}

static bool check_arguments(const struct sg_ctl *ctl, struct sg_error *err)
{
        const struct sg_ctl_verb *v = ctl->verb;

        if (ctl->n_arguments >= v->n_least && ctl->n_arguments <= v->n_most)
                return true;
        if (v->n_most == 0)
                sg_error_set(err, -EINVAL, "", "'%s' takes no argument; try 'scribectl help %s'", v->name, v->name);
        else
                sg_error_set(err, -EINVAL, "", "usage: scribectl %s %s; try 'scribectl help %s'", v->name, v->arguments,
                             v->name);
        return false;
}

/* ---- the sockets */

static bool find_sockets(struct sg_ctl *ctl, struct sg_error *err)
{
        const char *from_environment = getenv("SCRIBE_CONTROL"), *control = ctl->values[SG_CTL_CONTROL], *slash;
        size_t n;

        if (!control)
                control = from_environment && from_environment[0] ? from_environment : SG_RUNDIR "/control.socket";
        slash = strrchr(control, '/');
        n = slash ? (size_t)(slash - control) + 1 : 0;
        if (strlen(control) >= sizeof(ctl->control) || n + sizeof("ledger.socket") > sizeof(ctl->ledger) ||
            strlen(ctl->values[SG_CTL_LEDGER] ? ctl->values[SG_CTL_LEDGER] : "") >= sizeof(ctl->ledger)) {
                sg_error_set(err, -EINVAL, "", "the path of a socket is too long");
                return false;
        }
        (void)snprintf(ctl->control, sizeof(ctl->control), "%s", control);
        if (ctl->values[SG_CTL_LEDGER])
                (void)snprintf(ctl->ledger, sizeof(ctl->ledger), "%s", ctl->values[SG_CTL_LEDGER]);
        else
                (void)snprintf(ctl->ledger, sizeof(ctl->ledger), "%.*sledger.socket", (int)n, control);
        return true;
}

bool sg_ctl_read_arguments(struct sg_ctl *ctl, int argc, char **argv, struct sg_error *err)
{
        struct words w = {.n = 0};
        bool is_over = false;

        *ctl = (struct sg_ctl){};
        for (int i = 1; i < argc; i++) {
                if (!is_over && strcmp(argv[i], "--") == 0) {
                        is_over = true;
                } else if (!is_over && argv[i][0] == '-' && argv[i][1]) {
                        if (!read_option(ctl, argc, argv, &i, err))
                                return false;
                } else if (w.n < WORDS_MAX) {
                        w.word[w.n++] = argv[i];
                } else {
                        return refuse(err, "", sg_str_from(argv[i]), " is one argument too many", SG_STR_NONE);
                }
        }
        if (!find_sockets(ctl, err))
                return false;
        if (w.n == 0)
                return true;
        if (!find_verb(ctl, &w, err))
                return false;
        if (sg_ctl_has(ctl, SG_CTL_HELP) || sg_ctl_has(ctl, SG_CTL_VERSION))
                return true;
        return settle_limits(ctl, err) && check_options(ctl, err) && check_arguments(ctl, err);
}
