#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "json/slice.h"

static struct sg_str joined(struct sg_str text, struct sg_json_edit *edits, size_t n_edits, char out[512])
{
        struct sg_str pieces[SG_JSON_PIECES_MAX];
        size_t n_bytes, n = sg_json_splice(text, edits, n_edits, pieces, &n_bytes), at = 0;

        for (size_t i = 0; i < n; i++) {
                assert_true(pieces[i].n > 0 && at + pieces[i].n <= 512);
                memcpy(out + at, pieces[i].p, pieces[i].n);
                at += pieces[i].n;
        }
        assert_int_equal(at, n_bytes);
        return sg_str_make(out, at);
}

static void assert_text(struct sg_str got, const char *want)
{
        if (!sg_str_eq(got, sg_str_from(want)))
                fail_msg("got <" SG_STR_FMT ">, want <%s>", SG_STR_ARG(got), want);
        assert_int_equal(sg_json_check(got, NULL, NULL), 0);
}

static struct sg_json_want slice_one(struct sg_str text, struct sg_str name)
{
        struct sg_json_want want = {.name = name};

        assert_int_equal(sg_json_slice(text, &want, 1, NULL), 0);
        return want;
}

static void test_a_cut_takes_one_comma_in_every_place(void **state)
{
        static const struct {
                struct sg_str text;
                const char *want;
        } cases[] = {
                {SG_STR("{\"x\":1}"), "{}"},
                {SG_STR("{ \"x\" : 1 }"), "{  }"},
                {SG_STR("{\"x\":1,\"b\":2}"), "{\"b\":2}"},
                {SG_STR("{ \"x\":1 , \"b\":2}"), "{  \"b\":2}"},
                {SG_STR("{\"a\":0,\"x\":1}"), "{\"a\":0}"},
                {SG_STR("{\"a\":0 , \"x\":1 }"), "{\"a\":0  }"},
                {SG_STR("{\"a\":0,\"x\":1,\"b\":2}"), "{\"a\":0,\"b\":2}"},
                {SG_STR("{\"a\":0 ,\n\"x\":1\n, \"b\":2}"), "{\"a\":0 \n, \"b\":2}"},
                {SG_STR("{\"a\":\",\",\"x\":\",\",\"b\":\",\"}"), "{\"a\":\",\",\"b\":\",\"}"},
                {SG_STR("{\"\\u0078\":[1,2],\"b\":2}"), "{\"b\":2}"},
                {SG_STR("{\"x\":{\"x\":1}}"), "{}"},
        };
        char out[512];

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct sg_json_want want = slice_one(cases[i].text, SG_STR("x"));
                struct sg_json_edit edit = sg_json_edit_cut(cases[i].text, &want);

                assert_text(joined(cases[i].text, &edit, 1, out), cases[i].want);
        }
}

static void test_a_value_is_replaced_and_all_else_kept(void **state)
{
        struct sg_str text = SG_STR("{ \"a\":1,\t\"m\" : \"x\" , \"b\":[ 1 ] }\n");
        struct sg_json_want want = slice_one(text, SG_STR("m"));
        struct sg_json_edit edit = sg_json_edit_value(text, &want, SG_STR("\"long name\""));
        char out[512];

        assert_text(joined(text, &edit, 1, out), "{ \"a\":1,\t\"m\" : \"long name\" , \"b\":[ 1 ] }\n");
}

static void test_a_member_is_put_at_the_front(void **state)
{
        struct sg_str text = SG_STR("{\"o\":{ },\"p\":{\"q\":1}}");
        struct sg_json_want o = slice_one(text, SG_STR("o")), p = slice_one(text, SG_STR("p"));
        struct sg_json_edit edits[] = {
                sg_json_edit_front(text, p.value, SG_STR("\"n\":2,")),
                sg_json_edit_front(text, o.value, SG_STR("\"n\":1")),
                sg_json_edit_front(text, (struct sg_json_value){SG_JSON_OBJECT, text}, SG_STR("\"m\":0,")),
        };
        char out[512];

        assert_true(sg_json_is_empty(o.value));
        assert_false(sg_json_is_empty(p.value));
        assert_text(joined(text, edits, 3, out), "{\"m\":0,\"o\":{\"n\":1 },\"p\":{\"n\":2,\"q\":1}}");
}

static void test_edits_at_one_place_keep_their_order(void **state)
{
        struct sg_str text = SG_STR("{\"z\":0}");
        struct sg_json_value whole = {SG_JSON_OBJECT, text};
        struct sg_json_edit edits[] = {sg_json_edit_front(text, whole, SG_STR("\"a\":1,")),
                                       sg_json_edit_front(text, whole, SG_STR("\"b\":2,"))};
        char out[512];

        assert_text(joined(text, edits, 2, out), "{\"a\":1,\"b\":2,\"z\":0}");
}

static void test_no_edit_gives_the_text_itself(void **state)
{
        struct sg_str text = SG_STR("{\"z\":0}"), pieces[SG_JSON_PIECES_MAX];
        size_t n_bytes;

        assert_int_equal(sg_json_splice(text, NULL, 0, pieces, &n_bytes), 1);
        assert_ptr_equal(pieces[0].p, text.p);
        assert_int_equal(n_bytes, text.n);
}

static void test_the_most_edits_fit_the_pieces(void **state)
{
        struct sg_str text = SG_STR("{\"a\":0,\"b\":0,\"c\":0,\"d\":0,\"e\":0,\"f\":0,\"g\":0,\"h\":0}");
        struct sg_json_edit edits[SG_JSON_EDITS_MAX];
        static const char names[] = "hbcgdefa";
        char out[512];

        for (size_t i = 0; i < SG_JSON_EDITS_MAX; i++) {
                struct sg_json_want want = slice_one(text, sg_str_make(names + i, 1));

                edits[i] = sg_json_edit_value(text, &want, SG_STR("[9]"));
        }
        assert_text(joined(text, edits, SG_JSON_EDITS_MAX, out),
                    "{\"a\":[9],\"b\":[9],\"c\":[9],\"d\":[9],\"e\":[9],\"f\":[9],\"g\":[9],\"h\":[9]}");
}

static void test_only_containers_without_content_are_empty(void **state)
{
        assert_true(sg_json_is_empty((struct sg_json_value){SG_JSON_ARRAY, SG_STR("[ \r\n\t]")}));
        assert_false(sg_json_is_empty((struct sg_json_value){SG_JSON_ARRAY, SG_STR("[[]]")}));
        assert_false(sg_json_is_empty((struct sg_json_value){SG_JSON_STRING, SG_STR("\"\"")}));
        assert_false(sg_json_is_empty((struct sg_json_value){0}));
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_cut_takes_one_comma_in_every_place),
                cmocka_unit_test(test_a_value_is_replaced_and_all_else_kept),
                cmocka_unit_test(test_a_member_is_put_at_the_front),
                cmocka_unit_test(test_edits_at_one_place_keep_their_order),
                cmocka_unit_test(test_no_edit_gives_the_text_itself),
                cmocka_unit_test(test_the_most_edits_fit_the_pieces),
                cmocka_unit_test(test_only_containers_without_content_are_empty),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
