#include "common.h"

#include "base/list.h"

struct thing {
        int value;
        struct sg_link link;
};

static int value_of(struct sg_link *k)
{
        return k ? SG_CONTAINER(k, struct thing, link)->value : -1;
}

static void test_both_ends_and_order(void **state)
{
        struct thing t[3] = {{.value = 0}, {.value = 1}, {.value = 2}};
        struct sg_list l;
        int at = 0;

        sg_list_init(&l);
        assert_true(sg_list_is_empty(&l));
        assert_null(sg_list_first(&l));
        assert_null(sg_list_last(&l));
        assert_null(sg_list_pop(&l));
        sg_list_push(&l, &t[1].link);
        sg_list_push(&l, &t[2].link);
        sg_list_push_first(&l, &t[0].link);
        assert_int_equal(l.n, 3);
        assert_int_equal(value_of(sg_list_first(&l)), 0);
        assert_int_equal(value_of(sg_list_last(&l)), 2);
        SG_LIST_EACH (&l, k)
                assert_int_equal(value_of(k), at++);
        assert_int_equal(at, 3);
        assert_int_equal(value_of(sg_list_pop(&l)), 0);
        assert_false(sg_link_is_on_list(&t[0].link));
        assert_int_equal(l.n, 2);
}

static void test_removing_inside_the_loop(void **state)
{
        struct thing t[5] = {0};
        struct sg_list l;
        int n = 0;

        sg_list_init(&l);
        for (int i = 0; i < 5; i++) {
                t[i].value = i;
                sg_list_push(&l, &t[i].link);
        }
        SG_LIST_EACH (&l, k) {
                if (value_of(k) % 2 == 0)
                        sg_list_remove(&l, k);
                n++;
        }
        assert_int_equal(n, 5);
        assert_int_equal(l.n, 2);
        assert_int_equal(value_of(sg_list_first(&l)), 1);
        assert_int_equal(value_of(sg_list_last(&l)), 3);
        sg_list_push(&l, &t[0].link); /* a removed link may go on a list again */
        assert_int_equal(value_of(sg_list_last(&l)), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_both_ends_and_order),
                cmocka_unit_test(test_removing_inside_the_loop),
        };

        return cmocka_run_group_tests_name("base list", tests, NULL, NULL);
}
