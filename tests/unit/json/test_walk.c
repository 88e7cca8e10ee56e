#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "json/slice.h"

static struct sg_json_value value_of(struct sg_str text)
{
        struct sg_json_value v = {0};

        assert_int_equal(sg_json_check(text, &v, NULL), 0);
        return v;
}

static void test_each_walks_members_in_order(void **state)
{
        struct sg_json_value in = value_of(SG_STR("{ \"a\" : 1 , \"b\":[2,3], \"c\\n\":{}}")), v;
        static const char *const names[] = {"a", "b", "c\\n"}, *const values[] = {"1", "[2,3]", "{}"};
        struct sg_str name;
        size_t at = 0, n = 0;

        while (sg_json_each(in, &at, &name, &v)) {
                assert_true(sg_str_eq(name, sg_str_from(names[n])));
                assert_true(sg_str_eq(v.text, sg_str_from(values[n])));
                n++;
        }
        assert_int_equal(n, 3);
        assert_false(sg_json_each(in, &at, &name, &v));
}

static void test_each_walks_elements(void **state)
{
        struct sg_json_value in = value_of(SG_STR("[ 1, \"x\" ,[ ],null ]")), v;
        size_t at = 0, n = 0;

        while (sg_json_each(in, &at, NULL, &v))
                n++;
        assert_int_equal(n, 4);
        assert_int_equal(v.kind, SG_JSON_NULL);
}

static void test_each_gives_nothing_of_empty_and_scalar(void **state)
{
        static const struct sg_str texts[] = {SG_STR("[]"), SG_STR("{}"),   SG_STR("[ \n ]"), SG_STR("{ }"),
                                              SG_STR("12"), SG_STR("\"\""), SG_STR("null")};

        for (size_t i = 0; i < SG_N_ELEMENTS(texts); i++) {
                struct sg_json_value v;
                size_t at = 0;

                assert_false(sg_json_each(value_of(texts[i]), &at, NULL, &v));
        }
}

static void test_each_stops_at_bytes_that_were_never_validated(void **state)
{
        struct sg_json_value in = {SG_JSON_OBJECT, SG_STR("{\"a\":1 \"b\":2")}, v;
        size_t at = 0, n = 0;

        while (sg_json_each(in, &at, NULL, &v))
                n++;
        assert_int_equal(n, 1);
}

static void add_times(struct sg_buf *b, struct sg_str piece, size_t n)
{
        while (n-- > 0)
                assert_int_equal(sg_buf_add(b, piece), 0);
}

static void check_string_in_arrays(struct sg_buf *b, size_t n_plain, size_t n_slashes)
{
        struct sg_json_value in, v;
        struct sg_str name;
        size_t at = 0;

        sg_buf_clear(b);
        add_times(b, SG_STR("[[{\""), 1);
        add_times(b, SG_STR("x"), n_plain);
        add_times(b, SG_STR("\\\\"), n_slashes);
        add_times(b, SG_STR("\\\"]}\":[{}]}] , {}]"), 1);
        in = value_of(sg_buf_view(b));
        assert_true(sg_json_each(in, &at, NULL, &v) && v.kind == SG_JSON_ARRAY);
        assert_int_equal(v.text.n, in.text.n - sizeof("[ , {}]") + 1);
        assert_true(sg_json_each(in, &at, NULL, &v) && v.kind == SG_JSON_OBJECT);
        assert_false(sg_json_each(in, &at, NULL, &v));
        at = 0;
        assert_true(sg_json_each(sg_json_path(in, SG_STR("0.0")), &at, &name, &v));
        assert_int_equal(name.n, n_plain + 2 * n_slashes + sizeof("\\\"]}") - 1);
        assert_true(sg_str_eq(v.text, SG_STR("[{}]")));
}

/* Where strings and runs of backslashes end in the blocks that are looked at together: at each place of three. */
static void test_each_skips_strings_whole(void **state)
{
        struct sg_buf b;

        sg_buf_init(&b, 1024);
        for (size_t n_plain = 0; n_plain < 192; n_plain++)
                for (size_t n_slashes = 0; n_slashes < 6; n_slashes++)
                        check_string_in_arrays(&b, n_plain, n_slashes);
        sg_buf_done(&b);
}

static void test_each_skips_long_strings_in_containers(void **state)
{
        struct sg_buf b;

        sg_buf_init(&b, 4096);
        for (size_t n = 100; n < 300; n++) {
                struct sg_json_value in;

                sg_buf_clear(&b);
                add_times(&b, SG_STR("{\"skipped\":{\"long\":\""), 1);
                add_times(&b, SG_STR("}"), n);
                add_times(&b, SG_STR("\\\"{"), n % 7);
                add_times(&b, SG_STR("}"), 63);
                add_times(&b, SG_STR("\\\\\",\"n\":1},\"found\":-2.5e3}"), 1);
                in = value_of(sg_buf_view(&b));
                assert_true(sg_str_eq(sg_json_get(in, SG_STR("found")).text, SG_STR("-2.5e3")));
                assert_true(sg_str_eq(sg_json_path(in, SG_STR("skipped.n")).text, SG_STR("1")));
        }
        sg_buf_done(&b);
}

/* Each in a block of its own size, for AddressSanitizer. */
static void test_each_stays_within_what_is_cut(void **state)
{
        const struct sg_str whole =
                SG_STR("{\"a\" : \"\\\\\\\"]\", \"b\":[{\"c\":\"a text that is longer than sixteen bytes\"}, "
                       "[\"and another one \\\" to fill a block of sixty-four bytes\", -12.5e3 ,true]]}");

        for (size_t n = 1; n < whole.n; n++) {
                char *copy = malloc(n);
                struct sg_json_value in, v;
                size_t at = 0;

                assert_non_null(copy);
                memcpy(copy, whole.p, n);
                in = (struct sg_json_value){SG_JSON_OBJECT, sg_str_make(copy, n)};
                while (sg_json_each(in, &at, NULL, &v))
                        assert_true(v.text.p + v.text.n <= copy + n);
                assert_int_equal(sg_json_get(in, SG_STR("b")).kind, n < whole.n - 1 ? SG_JSON_NONE : SG_JSON_ARRAY);
                free(copy);
        }
}

static void test_each_gives_no_value_without_a_kind(void **state)
{
        static const struct sg_str texts[] = {SG_STR("[,1]"), SG_STR("[}"), SG_STR("[x]"), SG_STR("[\""),
                                              SG_STR("[[1")};

        for (size_t i = 0; i < SG_N_ELEMENTS(texts); i++) {
                struct sg_json_value in = {SG_JSON_ARRAY, texts[i]}, v;
                size_t at = 0;

                assert_false(sg_json_each(in, &at, NULL, &v));
        }
}

static void test_get_finds_the_first_and_escaped_names(void **state)
{
        struct sg_json_value in = value_of(SG_STR("{\"a\":1,\"\\u0062\":2,\"a\":3}")), v;

        v = sg_json_get(in, SG_STR("a"));
        assert_true(sg_str_eq(v.text, SG_STR("1")));
        v = sg_json_get(in, SG_STR("b"));
        assert_true(sg_str_eq(v.text, SG_STR("2")));
        assert_int_equal(sg_json_get(in, SG_STR("c")).kind, SG_JSON_NONE);
        assert_int_equal(sg_json_get(v, SG_STR("a")).kind, SG_JSON_NONE);
}

static void test_path_goes_through_arrays_and_objects(void **state)
{
        struct sg_json_value in = value_of(SG_STR("{\"choices\":[{\"x\":0},{\"usage\":{\"n\":7}}]}"));

        assert_true(sg_str_eq(sg_json_path(in, SG_STR("choices.1.usage.n")).text, SG_STR("7")));
        assert_int_equal(sg_json_path(in, SG_STR("choices.2.usage")).kind, SG_JSON_NONE);
        assert_int_equal(sg_json_path(in, SG_STR("choices.x")).kind, SG_JSON_NONE);
        assert_int_equal(sg_json_path(in, SG_STR("choices.0.usage.n")).kind, SG_JSON_NONE);
        assert_int_equal(sg_json_path(in, SG_STR("")).kind, SG_JSON_OBJECT);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_walks_members_in_order),
                cmocka_unit_test(test_each_walks_elements),
                cmocka_unit_test(test_each_gives_nothing_of_empty_and_scalar),
                cmocka_unit_test(test_each_stops_at_bytes_that_were_never_validated),
                cmocka_unit_test(test_each_skips_strings_whole),
                cmocka_unit_test(test_each_skips_long_strings_in_containers),
                cmocka_unit_test(test_each_stays_within_what_is_cut),
                cmocka_unit_test(test_each_gives_no_value_without_a_kind),
                cmocka_unit_test(test_get_finds_the_first_and_escaped_names),
                cmocka_unit_test(test_path_goes_through_arrays_and_objects),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
