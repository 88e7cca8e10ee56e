#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/failure.h"

static void test_every_failure_has_a_row(void **state)
{
        for (enum sg_failure f = 0; f < SG_FAIL_N; f++) {
                const struct sg_failure_row *row = sg_failure_row(f);

                assert_non_null(row->name);
                assert_true(row->name[0]);
                assert_true(sg_token_is_valid(sg_str_from(row->name)));
        }
}

static void test_names_are_unique(void **state)
{
        for (enum sg_failure a = 0; a < SG_FAIL_N; a++)
                for (enum sg_failure b = a + 1; b < SG_FAIL_N; b++)
                        assert_string_not_equal(sg_failure_name(a), sg_failure_name(b));
}

static void test_what_a_client_is_told_is_whole(void **state)
{
        for (enum sg_failure f = 1; f < SG_FAIL_N; f++) {
                const struct sg_failure_row *row = sg_failure_row(f);

                if (row->status == 0)
                        continue; /* nobody is there to be told */
                assert_in_range(row->status, 400, 599);
                assert_non_null(row->type);
                assert_true(row->text[0]);
                assert_true(row->text[strlen(row->text) - 1] != '.');
                assert_true(sg_status_phrase(row->status)[0]);
        }
}

static void test_wrong_revoked_and_expired_keys_look_the_same(void **state)
{
        const struct sg_failure_row *bad = sg_failure_row(SG_FAIL_BAD_KEY);
        const enum sg_failure alike[] = {SG_FAIL_KEY_REVOKED, SG_FAIL_KEY_EXPIRED};

        for (size_t i = 0; i < SG_N_ELEMENTS(alike); i++) {
                const struct sg_failure_row *row = sg_failure_row(alike[i]);

                assert_int_equal(row->status, bad->status);
                assert_string_equal(row->text, bad->text);
                assert_string_equal(row->code, bad->code);
                assert_string_equal(row->simple_text, bad->simple_text);
        }
}

static void test_the_gateways_own_troubles_with_a_provider_are_no_401(void **state)
{
        assert_int_equal(sg_failure_row(sg_failure_of_refusal(SG_REFUSAL_CREDENTIAL))->status, 502);
        assert_int_equal(sg_failure_row(sg_failure_of_refusal(SG_REFUSAL_QUOTA))->status, 502);
        assert_int_equal(sg_failure_row(sg_failure_of_refusal(SG_REFUSAL_RATE))->status, 429);
        assert_int_equal(sg_failure_row(sg_failure_of_refusal(SG_REFUSAL_OVERLOAD))->status, 503);
        assert_int_equal(sg_failure_of_refusal(SG_REFUSAL_CLIENT), SG_FAIL_PROVIDER_REFUSED);
        assert_int_equal(sg_failure_of_refusal(SG_REFUSAL_CONTEXT), SG_FAIL_PROVIDER_REFUSED);
        assert_int_equal(sg_failure_of_refusal(SG_REFUSAL_SERVER), SG_FAIL_PROVIDER_ERROR);
}

static void test_every_codec_error_and_upstream_fault_is_mapped(void **state)
{
        for (enum sg_h1_error e = 1; e < SG_H1_E_N; e++)
                assert_int_not_equal(sg_failure_of_h1(e), SG_FAIL_NONE);
        for (enum sg_upstream_fault f = 0; f < SG_UPSTREAM_F_N; f++)
                assert_int_not_equal(sg_failure_of_upstream(f), SG_FAIL_NONE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_failure_has_a_row),
                cmocka_unit_test(test_names_are_unique),
                cmocka_unit_test(test_what_a_client_is_told_is_whole),
                cmocka_unit_test(test_wrong_revoked_and_expired_keys_look_the_same),
                cmocka_unit_test(test_the_gateways_own_troubles_with_a_provider_are_no_401),
                cmocka_unit_test(test_every_codec_error_and_upstream_fault_is_mapped),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
