#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common.h"

#include "base/buf.h"
#include "base/random.h"

static void test_full_adds_nothing(void **state)
{
        struct sg_buf b;
        char *at;

        sg_buf_init(&b, 8);
        assert_int_equal(sg_buf_add(&b, SG_STR("12345")), 0);
        assert_int_equal(sg_buf_add(&b, SG_STR("6789")), SG_BUF_E_FULL);
        assert_int_equal(sg_buf_printf(&b, "%s", "6789"), SG_BUF_E_FULL);
        assert_int_equal(sg_buf_add_json_string(&b, SG_STR("67")), SG_BUF_E_FULL);
        assert_int_equal(sg_buf_reserve(&b, SIZE_MAX, &at), SG_BUF_E_FULL);
        assert_str(sg_buf_view(&b), "12345");
        assert_int_equal(sg_buf_printf(&b, "%d", 678), 0); /* exactly full: printf's NUL does not count */
        assert_str(sg_buf_view(&b), "12345678");
        sg_buf_take(&b, 4);
        assert_int_equal(sg_buf_add(&b, SG_STR("abcd")), 0);
        assert_str(sg_buf_view(&b), "5678abcd");
        sg_buf_done(&b);
        assert_null(b.data);
}

static void test_nothing_is_held_when_empty(void **state)
{
        struct sg_buf b;

        sg_buf_init(&b, 100);
        assert_int_equal(sg_buf_view(&b).n, 0);
        assert_int_equal(sg_buf_add(&b, SG_STR_NONE), 0);
        assert_null(b.data);
        assert_int_equal(sg_buf_add(&b, SG_STR("x")), 0);
        sg_buf_clear(&b);
        assert_non_null(b.data);
        assert_int_equal(sg_buf_length(&b), 0);
        sg_buf_release(&b);
        assert_null(b.data);
        sg_buf_done(&b);
}

static void test_taken_room_is_used_again(void **state)
{
        struct sg_buf b;
        size_t room;

        sg_buf_init(&b, 1u << 20);
        assert_int_equal(sg_buf_printf(&b, "%200s", "x"), 0);
        room = b.room;
        for (int i = 0; i < 1000; i++) {
                sg_buf_take(&b, 190);
                assert_int_equal(sg_buf_printf(&b, "%190s", "y"), 0);
        }
        assert_int_equal(b.room, room);
        assert_int_equal(sg_buf_length(&b), 200);
        sg_buf_done(&b);
}

/* Against a plain array: whatever is added and taken, what stands between is the same. */
static void test_any_order_of_adding_and_taking(void **state)
{
        static unsigned char model[64 * 1024];
        size_t start = 0, end = 0;
        struct sg_buf b;

        sg_buf_init(&b, 4096);
        while (end < sizeof(model) - 512) {
                size_t n = sg_random_u64() % 512, length = end - start;
                int r;

                if (sg_random_u64() % 2) {
                        sg_random_bytes(model + end, n);
                        r = sg_buf_add(&b, sg_str_make(model + end, n));
                        assert_int_equal(r, length + n > 4096 ? SG_BUF_E_FULL : 0);
                        end += r ? 0 : n;
                } else {
                        n = SG_MIN(n, length);
                        sg_buf_take(&b, n);
                        start += n;
                }
                assert_int_equal(sg_buf_length(&b), end - start);
                assert_true(end == start || memcmp(sg_buf_view(&b).p, model + start, end - start) == 0);
                assert_true(b.room <= 4097);
        }
        sg_buf_done(&b);
}

static void test_secret_bytes_are_wiped_where_they_were(void **state)
{
        struct sg_buf b;
        char *at;

        sg_buf_init(&b, 4096);
        b.secret = true;
        assert_int_equal(sg_buf_reserve(&b, 256, &at), 0);
        memset(at, 's', 256);
        sg_buf_added(&b, 256);
        sg_buf_take(&b, 200);
        assert_int_equal(sg_buf_reserve(&b, 100, &at), 0); /* moves what is left to the front */
        assert_int_equal(b.start, 0);
        for (size_t i = b.end; i < b.room; i++)
                assert_int_equal(b.data[i], 0);
        sg_buf_clear(&b);
        for (size_t i = 0; i < b.room; i++)
                assert_int_equal(b.data[i], 0);
        sg_buf_done(&b);
}

static void test_numbers_and_text(void **state)
{
        struct sg_buf b;

        sg_buf_init(&b, 1000);
        assert_int_equal(sg_buf_add_u64(&b, 0), 0);
        assert_int_equal(sg_buf_add(&b, SG_STR(" ")), 0);
        assert_int_equal(sg_buf_add_u64(&b, UINT64_MAX), 0);
        assert_int_equal(sg_buf_printf(&b, " %s %d", "x", -5), 0);
        assert_int_equal(sg_buf_printf(&b, "%s", ""), 0);
        assert_str(sg_buf_view(&b), "0 18446744073709551615 x -5");
        assert_int_equal(sg_buf_printf(&b, "%500s", ""), 0); /* more than there is room for: grows */
        assert_int_equal(sg_buf_length(&b), 527);
        sg_buf_done(&b);
}

static void check_json(struct sg_str s, const char *expected)
{
        struct sg_buf b;

        sg_buf_init(&b, 1000);
        assert_int_equal(sg_buf_add_json_string(&b, s), 0);
        assert_str(sg_buf_view(&b), expected);
        sg_buf_done(&b);
}

static void test_json_string_escapes(void **state)
{
        check_json(SG_STR(""), "\"\"");
        check_json(SG_STR_NONE, "\"\"");
        check_json(SG_STR("plain /text"), "\"plain /text\"");
        check_json(SG_STR("a\"b\\c"), "\"a\\\"b\\\\c\"");
        check_json(SG_STR("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\"");
        check_json(SG_STR("\0\x01\x1f\x1b[31m"), "\"\\u0000\\u0001\\u001f\\u001b[31m\"");
        check_json(SG_STR("\x7f\xc2\x9b\xc2\xa0"), "\"\\u007f\\u009b\xc2\xa0\"");
        check_json(SG_STR("\xe2\x82\xac\xf0\x9f\x98\x80"), "\"\xe2\x82\xac\xf0\x9f\x98\x80\"");
        check_json(SG_STR("a\xff"
                          "b"),
                   "\"a\xef\xbf\xbd"
                   "b\"");
        check_json(SG_STR("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
        check_json(SG_STR("x\xe2\x82"), "\"x\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void with_file(const char *content, size_t n, char *ret_path)
{
        const char *dir = getenv("TMPDIR");
        int fd;

        snprintf(ret_path, 256, "%s/sg-test-buf-XXXXXX", dir ? dir : "/tmp");
        fd = mkstemp(ret_path);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, content, n), n);
        close(fd);
}

static void test_file_is_read_whole_or_not_at_all(void **state)
{
        char path[256];
        struct sg_buf b;

        with_file("hello\n", 6, path);
        sg_buf_init(&b, 10);
        assert_int_equal(sg_buf_add(&b, SG_STR("1234")), 0);
        assert_int_equal(sg_buf_add_file(&b, path), 0); /* exactly full */
        assert_str(sg_buf_view(&b), "1234hello\n");
        sg_buf_clear(&b);
        assert_int_equal(sg_buf_add(&b, SG_STR("12345")), 0);
        assert_int_equal(sg_buf_add_file(&b, path), SG_BUF_E_FULL);
        assert_str(sg_buf_view(&b), "12345");
        unlink(path);
        assert_int_equal(sg_buf_add_file(&b, path), -ENOENT);
        assert_int_equal(sg_buf_add_file(&b, "/"), -EISDIR);
        assert_str(sg_buf_view(&b), "12345");
        sg_buf_done(&b);
}

static void test_file_without_a_size_is_read(void **state)
{
        struct sg_buf b;

        sg_buf_init(&b, 1u << 20);
        assert_int_equal(sg_buf_add_file(&b, "/proc/self/status"), 0); /* st_size is 0 */
        assert_true(sg_str_starts(sg_buf_view(&b), SG_STR("Name:")));
        sg_buf_done(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_full_adds_nothing),
                cmocka_unit_test(test_nothing_is_held_when_empty),
                cmocka_unit_test(test_taken_room_is_used_again),
                cmocka_unit_test(test_any_order_of_adding_and_taking),
                cmocka_unit_test(test_secret_bytes_are_wiped_where_they_were),
                cmocka_unit_test(test_numbers_and_text),
                cmocka_unit_test(test_json_string_escapes),
                cmocka_unit_test(test_file_is_read_whole_or_not_at_all),
                cmocka_unit_test(test_file_without_a_size_is_read),
        };

        return cmocka_run_group_tests_name("base buf", tests, NULL, NULL);
}
