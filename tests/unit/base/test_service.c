#include <stdlib.h>
#include <string.h>

#include "common.h"

#include "base/service.h"

static const char *find(const struct sg_service_heir *h, const char *name)
{
        const char *found = NULL;

        for (size_t i = 0; h->environ[i]; i++)
                if (strncmp(h->environ[i], name, strlen(name)) == 0 && h->environ[i][strlen(name)] == '=') {
                        assert_null(found); /* getenv() would see only one of two */
                        found = h->environ[i] + strlen(name) + 1;
                }
        return found;
}

static void set_ours(void)
{
        assert_int_equal(setenv("LISTEN_FDS", "9", 1), 0);
        assert_int_equal(setenv("LISTEN_PID", "1", 1), 0);
        assert_int_equal(setenv("LISTEN_FDNAMES", "old", 1), 0);
        assert_int_equal(setenv("LISTEN_PIDFDID", "123", 1), 0); /* of later versions */
        assert_int_equal(setenv("SYSTEMD_EXEC_PID", "1", 1), 0);
        assert_int_equal(setenv("KEPT", "as it is", 1), 0);
}

static void test_heir_gets_the_sockets_and_its_own_number(void **state)
{
        const struct sg_service_fd fds[] = {{.fd = 7, .name = "http"}, {.fd = 5, .name = "control"}};
        const char *const more[] = {"SCRIBE_X=1"};
        struct sg_service_heir h;

        set_ours();
        unsetenv("WATCHDOG_PID");
        assert_int_equal(sg_service_heir_init(&h, fds, 2, more, 1), 0);
        sg_service_heir_set_pid(&h, 4194303);
        assert_string_equal(find(&h, "LISTEN_FDS"), "2");
        assert_string_equal(find(&h, "LISTEN_FDNAMES"), "http:control");
        assert_string_equal(find(&h, "LISTEN_PID"), "4194303");
        assert_string_equal(find(&h, "SYSTEMD_EXEC_PID"), "4194303");
        assert_string_equal(find(&h, "SCRIBE_X"), "1");
        assert_string_equal(find(&h, "KEPT"), "as it is");
        assert_null(find(&h, "LISTEN_PIDFDID"));
        assert_null(find(&h, "WATCHDOG_PID"));
        sg_service_heir_done(&h);
}

static void test_numbers_have_no_leading_zeros(void **state)
{
        static const char *const wanted[] = {"7", "80", "2147483647"};
        static const pid_t pids[] = {7, 80, 2147483647};

        set_ours();
        assert_int_equal(setenv("WATCHDOG_PID", "1", 1), 0);
        for (size_t i = 0; i < SG_N_ELEMENTS(pids); i++) {
                struct sg_service_heir h;

                assert_int_equal(sg_service_heir_init(&h, NULL, 0, NULL, 0), 0);
                sg_service_heir_set_pid(&h, pids[i]);
                assert_string_equal(find(&h, "WATCHDOG_PID"), wanted[i]);
                assert_string_equal(find(&h, "LISTEN_PID"), wanted[i]);
                assert_string_equal(find(&h, "LISTEN_FDS"), "0");
                sg_service_heir_done(&h);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_heir_gets_the_sockets_and_its_own_number),
                cmocka_unit_test(test_numbers_have_no_leading_zeros),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
