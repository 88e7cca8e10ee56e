#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "auth/apikey.h"
#include "base/digest.h"

static void test_generated_keys_are_well_formed_and_differ(void **state)
{
        char a[SG_APIKEY_CHARS + 1], b[SG_APIKEY_CHARS + 1];

        for (int i = 0; i < 1000; i++) {
                sg_apikey_generate(a);
                sg_apikey_generate(b);
                assert_int_equal(strlen(a), SG_APIKEY_CHARS);
                assert_true(sg_apikey_is_well_formed(sg_str_from(a)));
                assert_string_not_equal(a, b);
        }
}

static void test_every_letter_occurs_about_equally_often(void **state)
{
        unsigned counts[256] = {0};
        char key[SG_APIKEY_CHARS + 1];
        unsigned n_letters = 0;

        for (int i = 0; i < 20000; i++) {
                sg_apikey_generate(key);
                for (int c = 3; c < 29; c++)
                        counts[(unsigned char)key[c]]++;
        }
        /* 520,000 draws of 62: 8387 each, standard deviation 91. */
        for (int c = 0; c < 256; c++) {
                if (!counts[c])
                        continue;
                n_letters++;
                assert_in_range(counts[c], 8387 - 8 * 91, 8387 + 8 * 91);
        }
        assert_int_equal(n_letters, 62);
}

static void test_any_single_change_breaks_the_checksum(void **state)
{
        char key[SG_APIKEY_CHARS + 1];

        sg_apikey_generate(key);
        for (int at = 0; at < SG_APIKEY_CHARS; at++) {
                char right = key[at];

                for (int c = 0; c < 256; c++) {
                        key[at] = (char)c;
                        assert_int_equal(sg_apikey_is_well_formed(sg_str_make(key, SG_APIKEY_CHARS)), (char)c == right);
                }
                key[at] = right;
        }
}

static void test_wrong_lengths_are_refused(void **state)
{
        char key[SG_APIKEY_CHARS + 2];

        sg_apikey_generate(key);
        key[SG_APIKEY_CHARS] = 'x';
        assert_false(sg_apikey_is_well_formed(SG_STR_NONE));
        assert_false(sg_apikey_is_well_formed(SG_STR("sk-")));
        assert_false(sg_apikey_is_well_formed(sg_str_make(key, SG_APIKEY_CHARS - 1)));
        assert_false(sg_apikey_is_well_formed(sg_str_make(key, SG_APIKEY_CHARS + 1)));
        assert_true(sg_apikey_is_well_formed(sg_str_make(key, SG_APIKEY_CHARS)));
}

static void test_form_is_stable_across_versions(void **state)
{
        /* Keys that were handed out must stay valid: the checksum's form is a promise. */
        char key[SG_APIKEY_CHARS + 1] = "sk-00000000000000000000000000";
        uint32_t crc = sg_crc32c(0, key, 29);
        static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

        for (int i = 34; i >= 29; i--, crc /= 62)
                key[i] = digits[crc % 62];
        assert_true(sg_apikey_is_well_formed(sg_str_make(key, SG_APIKEY_CHARS)));
}

static void test_digest_is_sha256(void **state)
{
        uint8_t digest[SG_APIKEY_DIGEST_BYTES];
        char hex[2 * SG_APIKEY_DIGEST_BYTES + 1];

        sg_apikey_digest(digest, SG_STR("abc")); /* FIPS 180-2, appendix B.1 */
        sg_hex(hex, digest, sizeof(digest));
        assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        sg_apikey_digest(digest, SG_STR_NONE);
        sg_hex(hex, digest, sizeof(digest));
        assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_generated_keys_are_well_formed_and_differ),
                cmocka_unit_test(test_every_letter_occurs_about_equally_often),
                cmocka_unit_test(test_any_single_change_breaks_the_checksum),
                cmocka_unit_test(test_wrong_lengths_are_refused),
                cmocka_unit_test(test_form_is_stable_across_versions),
                cmocka_unit_test(test_digest_is_sha256),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
