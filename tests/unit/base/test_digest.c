#include <string.h>

#include "common.h"

#include "base/digest.h"
#include "base/random.h"

/* RFC 3720 appendix B.4. */
static void test_crc_of_the_standard(void **state)
{
        unsigned char block[32];

        assert_int_equal(sg_crc32c(0, "123456789", 9), 0xe3069283);
        assert_int_equal(sg_crc32c(0, "", 0), 0);
        memset(block, 0, sizeof(block));
        assert_int_equal(sg_crc32c(0, block, sizeof(block)), 0x8a9136aa);
        memset(block, 0xff, sizeof(block));
        assert_int_equal(sg_crc32c(0, block, sizeof(block)), 0x62a8ab43);
        for (size_t i = 0; i < sizeof(block); i++)
                block[i] = (unsigned char)i;
        assert_int_equal(sg_crc32c(0, block, sizeof(block)), 0x46dd794e);
        assert_int_equal(sg_crc32c_portable(0, block, sizeof(block)), 0x46dd794e);
}

static void test_crc_by_processor_and_by_table_agree(void **state)
{
        unsigned char data[600];

        sg_random_bytes(data, sizeof(data));
        for (size_t n = 0; n < 300; n++) {
                size_t at = n % 16; /* unaligned, too */

                assert_int_equal(sg_crc32c(0, data + at, n), sg_crc32c_portable(0, data + at, n));
        }
}

static void test_crc_goes_on_from_a_part(void **state)
{
        unsigned char data[300];
        uint32_t whole;

        sg_random_bytes(data, sizeof(data));
        whole = sg_crc32c(0, data, sizeof(data));
        for (size_t n = 0; n <= sizeof(data); n++)
                assert_int_equal(sg_crc32c(sg_crc32c(0, data, n), data + n, sizeof(data) - n), whole);
}

static void test_hex_there_and_back(void **state)
{
        unsigned char bytes[256], back[256];
        char text[2 * sizeof(bytes) + 1];

        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (unsigned char)i;
        sg_hex(text, bytes, sizeof(bytes));
        assert_int_equal(strlen(text), 512);
        assert_memory_equal(text, "000102", 6);
        assert_memory_equal(text + 506, "fdfeff", 6);
        assert_int_equal(sg_unhex(back, sizeof(back), text, 512), 0);
        assert_memory_equal(back, bytes, sizeof(bytes));
}

static void test_unhex_refuses_and_writes_nothing(void **state)
{
        unsigned char out[2] = {7, 7};

        assert_int_equal(sg_unhex(out, 2, "00", 2), 1);
        assert_int_equal(sg_unhex(out, 2, "00000", 5), 1);
        assert_int_equal(sg_unhex(out, 2, "000g", 4), 1);
        assert_int_equal(sg_unhex(out, 2, "00 1", 4), 1);
        assert_int_equal(out[0], 7);
        assert_int_equal(sg_unhex(out, 2, "aBFf", 4), 0);
        assert_int_equal(out[0], 0xab);
        assert_int_equal(out[1], 0xff);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_crc_of_the_standard),
                cmocka_unit_test(test_crc_by_processor_and_by_table_agree),
                cmocka_unit_test(test_crc_goes_on_from_a_part),
                cmocka_unit_test(test_hex_there_and_back),
                cmocka_unit_test(test_unhex_refuses_and_writes_nothing),
        };

        return cmocka_run_group_tests_name("base digest", tests, NULL, NULL);
}
