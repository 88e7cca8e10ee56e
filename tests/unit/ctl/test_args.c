#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include "ctl/ctl.h"

static struct sg_ctl ctl;
static struct sg_error err;

/* Words separated by spaces. */
static bool reads(const char *line)
{
        static char copy[1024];
        char *argv[64] = {(char *)"scribectl"}, *rest = copy, *word;
        int argc = 1;

        strcpy(copy, line);
        while ((word = strsep(&rest, " ")))
                if (word[0])
                        argv[argc++] = word;
        memset(&err, 0, sizeof(err));
        return sg_ctl_read_arguments(&ctl, argc, argv, &err);
}

static void test_options_may_stand_anywhere(void **state)
{
        static const char *const lines[] = {"key create alice --models a,b* --json",
                                            "--json key create --models=a,b* alice",
                                            "key --models a,b* create --json -- alice"};

        for (size_t i = 0; i < SG_N_ELEMENTS(lines); i++) {
                assert_true(reads(lines[i]));
                assert_string_equal(ctl.verb->name, "key create");
                assert_int_equal(ctl.n_arguments, 1);
                assert_string_equal(ctl.arguments[0], "alice");
                assert_string_equal(ctl.values[SG_CTL_MODELS], "a,b*");
                assert_true(sg_ctl_has(&ctl, SG_CTL_JSON));
                assert_false(sg_ctl_has(&ctl, SG_CTL_QUIET));
        }
}

static void test_names_like_options_follow_two_dashes(void **state)
{
        assert_true(reads("key show -- --json"));
        assert_string_equal(ctl.arguments[0], "--json");
        assert_false(sg_ctl_has(&ctl, SG_CTL_JSON));
}

static void test_every_verb_of_the_table_is_found(void **state)
{
        static const char *const n_words[] = {"", " x", " x y"};

        for (size_t i = 0; i < sg_ctl_n_verbs; i++) {
                const struct sg_ctl_verb *v = &sg_ctl_verbs[i];
                char line[128];

                snprintf(line, sizeof(line), "%s%s", v->name, n_words[v->n_least]);
                assert_true(reads(line));
                assert_ptr_equal(ctl.verb, v);
                assert_non_null(v->run);
                assert_true(v->summary[0] && v->text[0]);
        }
}

static void test_mistakes_are_met_with_a_suggestion(void **state)
{
        static const struct {
                const char *line, *told;
        } cases[] = {
                {"stauts", "did you mean 'status'"},
                {"usge", "did you mean 'usage'"},
                {"key creat x", "did you mean 'key create'"},
                {"key", "'key list'"},
                {"key nothing-like-it", "'key list'"},
                {"config", "'config check'"},
                {"status --jsn", "did you mean '--json'"},
                {"quite-unlike", "scribectl --help"},
                {"status --quite-unlike", "scribectl --help"},
                {"status extra", "takes no argument"},
                {"key create", "usage: scribectl key create NAME"},
                {"key create a b", "usage: scribectl key create NAME"},
                {"key list --expires 3d", "takes no option --expires; try 'scribectl help key list'"},
                {"key create a --model gpt-4", "takes no option --model; did you mean --models?"},
                {"usage --by colour", "one of: key model day provider none"},
                {"usage --since", "needs a value"},
                {"usage --since=", "needs a value"},
                {"usage --since 1d --since 2d", "given twice"},
                {"status --json=yes", "takes no value"},
                {"a b c d e f g h", "too many"},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                assert_false(reads(cases[i].line));
                if (!strstr(err.text, cases[i].told))
                        fail_msg("'%s' is told: %s", cases[i].line, err.text);
        }
}

static void test_limit_is_rows_or_what_a_key_may_do(void **state)
{
        assert_true(reads("--limit 5 usage"));
        assert_string_equal(ctl.values[SG_CTL_LIMIT], "5");
        assert_null(ctl.values[SG_CTL_LIMITS]);
        assert_true(reads("audit -n 5"));
        assert_string_equal(ctl.values[SG_CTL_LIMIT], "5");
        assert_true(reads("--limit a key create x --limit=b"));
        assert_null(ctl.values[SG_CTL_LIMIT]);
        assert_int_equal(ctl.n_limits, 2);
        assert_string_equal(ctl.limits[0], "a");
        assert_string_equal(ctl.limits[1], "b");
        assert_false(reads("usage --limit 5 --limit 6"));
        assert_non_null(strstr(err.text, "given twice"));
        assert_false(reads("key show x --limit a"));
        assert_non_null(strstr(err.text, "takes no option --limit"));
        assert_false(
                reads("key create x --limit a --limit a --limit a --limit a --limit a --limit a --limit a --limit a "
                      "--limit a --limit a --limit a --limit a --limit a --limit a --limit a --limit a --limit a"));
        assert_non_null(strstr(err.text, "too often"));
}

static void test_arguments_of_any_length_are_told_in_short(void **state)
{
        static char word[10001];
        char *argv[] = {(char *)"scribectl", (char *)"key", (char *)"create", (char *)"x", word};

        memset(word, 'a', sizeof(word) - 1);
        assert_false(sg_ctl_read_arguments(&ctl, 5, argv, &err));
        assert_in_range(strlen(err.text), 1, sizeof(err.text) - 1);
        memcpy(word, "--limit=", 8);
        assert_true(sg_ctl_read_arguments(&ctl, 5, argv, &err));
        assert_int_equal(strlen(ctl.limits[0]), 9992);
        memcpy(word, "--l\033=", 5);
        assert_false(sg_ctl_read_arguments(&ctl, 5, argv, &err));
        assert_null(strchr(err.text, '\033'));
}

static void test_help_needs_no_arguments(void **state)
{
        assert_true(reads("key create --help"));
        assert_string_equal(ctl.verb->name, "key create");
        assert_true(reads("--help"));
        assert_null(ctl.verb);
        assert_true(reads("-h"));
        assert_true(sg_ctl_has(&ctl, SG_CTL_HELP));
        assert_true(reads(""));
        assert_null(ctl.verb);
}

static void test_sockets_come_from_option_environment_or_default(void **state)
{
        unsetenv("SCRIBE_CONTROL");
        assert_true(reads("status"));
        assert_string_equal(ctl.control, "/run/scribe-gateway/control.socket");
        assert_string_equal(ctl.ledger, "/run/scribe-gateway/ledger.socket");
        setenv("SCRIBE_CONTROL", "/a/c.socket", 1);
        assert_true(reads("status"));
        assert_string_equal(ctl.control, "/a/c.socket");
        assert_string_equal(ctl.ledger, "/a/ledger.socket");
        assert_true(reads("status --control b.socket"));
        assert_string_equal(ctl.control, "b.socket");
        assert_string_equal(ctl.ledger, "ledger.socket");
        assert_true(reads("status --ledger /l"));
        assert_string_equal(ctl.control, "/a/c.socket");
        assert_string_equal(ctl.ledger, "/l");
        unsetenv("SCRIBE_CONTROL");
}

static void test_hostile_words_are_told_escaped(void **state)
{
        char *argv[] = {(char *)"scribectl", (char *)"\033[31mred"};

        assert_false(sg_ctl_read_arguments(&ctl, 2, argv, &err));
        assert_null(strchr(err.text, '\033'));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_options_may_stand_anywhere),
                cmocka_unit_test(test_names_like_options_follow_two_dashes),
                cmocka_unit_test(test_every_verb_of_the_table_is_found),
                cmocka_unit_test(test_mistakes_are_met_with_a_suggestion),
                cmocka_unit_test(test_limit_is_rows_or_what_a_key_may_do),
                cmocka_unit_test(test_arguments_of_any_length_are_told_in_short),
                cmocka_unit_test(test_help_needs_no_arguments),
                cmocka_unit_test(test_sockets_come_from_option_environment_or_default),
                cmocka_unit_test(test_hostile_words_are_told_escaped),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
