#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "json/slice.h"

#define assert_str(got, want)                                                                                          \
        do {                                                                                                           \
                struct sg_str got_ = (got);                                                                            \
                if (!sg_str_eq(got_, SG_STR(want)))                                                                    \
                        fail_msg("got <" SG_STR_FMT ">, want <%s>", SG_STR_ARG(got_), want);                           \
        } while (0)

static void test_wants_are_filled_from_the_top_level_only(void **state)
{
        struct sg_json_want wants[] = {{.name = SG_STR("model")}, {.name = SG_STR("stream")}, {.name = SG_STR("none")}};
        struct sg_str text = SG_STR(" {\"x\":{\"model\":\"inner\"}, \"model\" :\t\"gpt\" ,\"stream\":true}\n");

        assert_int_equal(sg_json_slice(text, wants, 3, NULL), 0);
        assert_int_equal(wants[0].value.kind, SG_JSON_STRING);
        assert_str(wants[0].value.text, "\"gpt\"");
        assert_str(wants[0].member, "\"model\" :\t\"gpt\"");
        assert_int_equal(wants[1].value.kind, SG_JSON_TRUE);
        assert_str(wants[1].member, "\"stream\":true");
        assert_int_equal(wants[2].value.kind, SG_JSON_NONE);
        assert_int_equal(wants[2].n, 0);
}

static void test_spans_of_each_kind_have_no_space_around(void **state)
{
        static const struct {
                const char *name, *value;
                enum sg_json_kind kind;
        } cases[] = {
                {"a", "null", SG_JSON_NULL},
                {"b", "false", SG_JSON_FALSE},
                {"c", "true", SG_JSON_TRUE},
                {"d", "-1.5e3", SG_JSON_NUMBER},
                {"e", "\" s \"", SG_JSON_STRING},
                {"f", "[ 1 , [ 2 ] ]", SG_JSON_ARRAY},
                {"g", "{ \"z\" : { } }", SG_JSON_OBJECT},
        };
        struct sg_str text =
                SG_STR("{ \"a\" : null , \"b\" : false , \"c\" : true , \"d\" : -1.5e3 , \"e\" : \" s \" , "
                       "\"f\" : [ 1 , [ 2 ] ] , \"g\" : { \"z\" : { } } }");

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct sg_json_want want = {.name = sg_str_from(cases[i].name)};

                assert_int_equal(sg_json_slice(text, &want, 1, NULL), 0);
                assert_int_equal(want.value.kind, cases[i].kind);
                assert_true(sg_str_eq(want.value.text, sg_str_from(cases[i].value)));
        }
}

static void test_a_name_with_escapes_is_recognised(void **state)
{
        struct sg_json_want want = {.name = SG_STR("model")};

        assert_int_equal(sg_json_slice(SG_STR("{\"\\u006dod\\u0065l\":1}"), &want, 1, NULL), 0);
        assert_str(want.value.text, "1");
        assert_str(want.member, "\"\\u006dod\\u0065l\":1");
}

static void test_a_longer_or_shorter_name_is_another(void **state)
{
        struct sg_json_want want = {.name = SG_STR("model")};

        assert_int_equal(sg_json_slice(SG_STR("{\"models\":1,\"mode\":2,\"mode\\u006c\\u0073\":3,\"mod\\u0065\":4}"),
                                       &want, 1, NULL),
                         0);
        assert_int_equal(want.n, 0);
}

static void test_a_wanted_member_that_stands_twice_is_refused(void **state)
{
        struct sg_json_want want = {.name = SG_STR("model")};
        struct sg_json_fault fault;

        assert_int_equal(sg_json_slice(SG_STR("{\"model\":1,\"a\":2,\"model\":3}"), &want, 1, &fault),
                         SG_JSON_E_DUPLICATE);
        assert_str(fault.name, "model");
        assert_int_equal(fault.offset, 17);
        assert_int_equal(sg_json_slice(SG_STR("{\"model\":1,\"mode\\u006C\":3}"), &want, 1, &fault),
                         SG_JSON_E_DUPLICATE);
}

static void test_others_may_stand_twice(void **state)
{
        struct sg_json_want want = {.name = SG_STR("model")};

        assert_int_equal(sg_json_slice(SG_STR("{\"a\":1,\"a\":2,\"model\":{\"x\":1,\"x\":2}}"), &want, 1, NULL), 0);
        assert_int_equal(want.n, 1);
}

static void test_slice_last_takes_the_last_and_counts(void **state)
{
        struct sg_json_want want = {.name = SG_STR("a")};

        assert_int_equal(sg_json_slice_last(SG_STR("{\"a\":1,\"b\":0,\"\\u0061\":2}"), &want, 1, NULL), 0);
        assert_str(want.value.text, "2");
        assert_int_equal(want.n, 2);
}

static void test_what_a_want_held_before_is_forgotten(void **state)
{
        struct sg_json_want want = {.name = SG_STR("a")};

        assert_int_equal(sg_json_slice(SG_STR("{\"a\":1}"), &want, 1, NULL), 0);
        assert_int_equal(sg_json_slice(SG_STR("{\"a\":2}"), &want, 1, NULL), 0);
        assert_int_equal(sg_json_slice(SG_STR("{}"), &want, 1, NULL), 0);
        assert_int_equal(want.value.kind, SG_JSON_NONE);
}

static void test_faults_name_the_byte(void **state)
{
        static const struct {
                struct sg_str text;
                int code;
                size_t offset;
        } cases[] = {
                {SG_STR("[1]"), SG_JSON_E_NOT_OBJECT, 0},
                {SG_STR("  \"a\""), SG_JSON_E_NOT_OBJECT, 2},
                {SG_STR("[1"), SG_JSON_E_SYNTAX, 2},
                {SG_STR(""), SG_JSON_E_SYNTAX, 0},
                {SG_STR("{\"a\":1,}"), SG_JSON_E_SYNTAX, 7},
                {SG_STR("{\"a\":tru}"), SG_JSON_E_SYNTAX, 8},
                {SG_STR("{\"a\":1} x"), SG_JSON_E_SYNTAX, 8},
                {SG_STR("{\"a\":\"\x01\"}"), SG_JSON_E_SYNTAX, 6},
                {SG_STR("{\"a\":\"\\q\"}"), SG_JSON_E_SYNTAX, 7},
                {SG_STR("{\"a\":\"x\xff\"}"), SG_JSON_E_UTF8, 7},
                {SG_STR("{\"a\":1"), SG_JSON_E_SYNTAX, 6},
                {SG_STR("{\"a\" 1}"), SG_JSON_E_SYNTAX, 5},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct sg_json_fault fault;

                assert_int_equal(sg_json_slice(cases[i].text, NULL, 0, &fault), cases[i].code);
                assert_int_equal(fault.code, cases[i].code);
                assert_int_equal(fault.offset, cases[i].offset);
        }
}

struct seen {
        struct sg_json_want wants[2], deeper[1];
        char text[64]; /* "a1 " for each object: its a, and the b in its o */
};

static void on_object(void *owner)
{
        struct seen *s = owner;
        size_t n = strlen(s->text);

        snprintf(s->text + n, sizeof(s->text) - n, SG_STR_FMT SG_STR_FMT " ", SG_STR_ARG(s->wants[0].value.text),
                 SG_STR_ARG(s->deeper[0].value.text));
}

static const char *inside_of(struct seen *s, const char *text)
{
        struct sg_json_inside in_o = {s->deeper, 1, NULL, NULL}, in_x = {s->wants, 2, on_object, s};
        struct sg_json_want x = {.name = SG_STR("x"), .inside = &in_x};

        *s = (struct seen){.wants = {{.name = SG_STR("a")}, {.name = SG_STR("o"), .inside = &in_o}},
                           .deeper = {{.name = SG_STR("b")}}};
        s->wants[0].value.kind = SG_JSON_TRUE; /* of before: forgotten */
        assert_int_equal(sg_json_slice_last(sg_str_from(text), &x, 1, NULL), 0);
        return s->text;
}

static void test_wants_inside_are_filled_for_each_object(void **state)
{
        struct seen s;

        assert_string_equal(inside_of(&s, "{\"x\":{\"a\":1,\"o\":{\"b\":2}}}"), "12 ");
        assert_string_equal(
                inside_of(&s, "{\"x\":[{\"a\":1,\"o\":{\"b\":2}},{\"a\":3},7,[{\"a\":9}],{\"o\":{\"b\":4}}]}"),
                "12 3 4 ");
        assert_string_equal(inside_of(&s, "{\"x\":[],\"y\":{\"a\":1}}"), "");
        assert_string_equal(inside_of(&s, "{\"x\":\"a\",\"a\":1}"), "");
        assert_int_equal(s.wants[0].value.kind, SG_JSON_NONE);
        assert_string_equal(inside_of(&s, "{\"x\":{\"a\":1},\"x\":[{\"o\":{}}]}"), "1  ");
        assert_string_equal(inside_of(&s, "{\"x\":{\"a\":1,\"o\":{\"b\":5},\"o\":{}}}"), "1 ");
        assert_string_equal(inside_of(&s, "{\"x\":{\"a\":1},\"x\":null}"), "1 ");
        assert_int_equal(s.wants[0].n, 0);
}

/* Faults and the depth are those of the text, whoever looks. */
static void test_faults_inside_wants_are_the_same(void **state)
{
        static const char *const texts[] = {"{\"x\":[{\"a\":1}", "{\"x\":[{\"a\":01}]}",  "{\"x\":[{\"a\":1},]}",
                                            "{\"x\":{\"a\" 1}}", "{\"x\":[{\"a\":1} 2]}", "{\"x\":{\"o\":{\"b\":1]}}"};
        struct sg_json_want o[] = {{.name = SG_STR("o")}};
        struct sg_json_inside in_x = {o, 1, NULL, NULL};
        struct sg_json_want x = {.name = SG_STR("x"), .inside = &in_x};
        struct sg_json_fault plain, inside;

        for (size_t i = 0; i < SG_N_ELEMENTS(texts); i++) {
                assert_int_equal(sg_json_check(sg_str_from(texts[i]), NULL, &plain), SG_JSON_E_SYNTAX);
                assert_int_equal(sg_json_slice(sg_str_from(texts[i]), &x, 1, &inside), SG_JSON_E_SYNTAX);
                assert_int_equal(inside.offset, plain.offset);
                assert_string_equal(inside.what, plain.what);
        }
        assert_int_equal(sg_json_slice(SG_STR("{\"x\":[{\"o\":1,\"o\":2}]}"), &x, 1, &inside), SG_JSON_E_DUPLICATE);
        assert_int_equal(inside.offset, 13);
}

static void test_no_bytes_at_all_are_no_text(void **state)
{
        assert_int_equal(sg_json_slice(SG_STR_NONE, NULL, 0, NULL), SG_JSON_E_SYNTAX);
        assert_int_equal(sg_json_check(SG_STR_NONE, NULL, NULL), SG_JSON_E_SYNTAX);
}

static void test_names_of_kinds_and_errors(void **state)
{
        assert_string_equal(sg_json_kind_name(SG_JSON_OBJECT), "object");
        assert_string_equal(sg_json_kind_name(SG_JSON_NULL), "null");
        for (int i = 0; i < SG_JSON_KIND_N; i++)
                assert_string_not_equal(sg_json_kind_name((enum sg_json_kind)i), "?");
        for (int i = SG_JSON_E_SYNTAX; i < SG_JSON_E_N; i++)
                assert_string_not_equal(sg_json_error_name((enum sg_json_error)i), "?");
        assert_string_equal(sg_json_error_name(SG_JSON_E_N), "?");
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_wants_are_filled_from_the_top_level_only),
                cmocka_unit_test(test_spans_of_each_kind_have_no_space_around),
                cmocka_unit_test(test_a_name_with_escapes_is_recognised),
                cmocka_unit_test(test_a_longer_or_shorter_name_is_another),
                cmocka_unit_test(test_a_wanted_member_that_stands_twice_is_refused),
                cmocka_unit_test(test_others_may_stand_twice),
                cmocka_unit_test(test_slice_last_takes_the_last_and_counts),
                cmocka_unit_test(test_what_a_want_held_before_is_forgotten),
                cmocka_unit_test(test_faults_name_the_byte),
                cmocka_unit_test(test_wants_inside_are_filled_for_each_object),
                cmocka_unit_test(test_faults_inside_wants_are_the_same),
                cmocka_unit_test(test_no_bytes_at_all_are_no_text),
                cmocka_unit_test(test_names_of_kinds_and_errors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
