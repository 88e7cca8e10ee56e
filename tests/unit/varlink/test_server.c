#include "service.h"

static int setup(void **state)
{
        static struct service s;
        struct sg_error err;

        if (service_new(&s) || sg_varlink_server_listen(s.server, s.path, (gid_t)-1, &err))
                return -1;
        service_start(&s);
        *state = &s;
        return 0;
}

static int teardown(void **state)
{
        service_free(*state);
        return 0;
}

static const char *ask(struct service *s, const char *call)
{
        int fd = raw_connect(s->path);
        const char *answer;

        raw_send(fd, call, strlen(call) + 1);
        answer = raw_receive(fd);
        close(fd);
        return answer;
}

static void test_answers_with_what_the_method_replies(void **state)
{
        assert_string_equal(ask(*state, "{\"method\":\"test.Echo\",\"parameters\":{\"text\":\"hi\",\"number\":7,"
                                        "\"flag\":true,\"list\":[\"a\"]}}"),
                            "{\"parameters\":{\"text\":\"hi\",\"number\":7,\"flag\":true,\"list\":[\"a\"]}}");
}

static void test_introspection(void **state)
{
        assert_string_equal(ask(*state, "{\"method\":\"org.varlink.service.GetInfo\"}"),
                            "{\"parameters\":{\"vendor\":\"Scribe\",\"product\":\"test\",\"version\":\"1\","
                            "\"url\":\"https://example.org/\",\"interfaces\":[\"org.varlink.service\",\"test\"]}}");
        assert_string_equal(ask(*state, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
                                        "\"parameters\":{\"interface\":\"test\"}}"),
                            "{\"parameters\":{\"description\":\"interface test\\nmethod Echo() -> ()\\n\"}}");
        assert_non_null(strstr(ask(*state, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
                                           "\"parameters\":{\"interface\":\"org.varlink.service\"}}"),
                               "error ExpectedMore"));
        assert_string_equal(
                ask(*state, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
                            "\"parameters\":{\"interface\":\"nope\"}}"),
                "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"nope\"}}");
}

static void test_errors_of_the_protocol(void **state)
{
        assert_string_equal(
                ask(*state, "{\"method\":\"nope.Echo\"}"),
                "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"nope\"}}");
        assert_string_equal(
                ask(*state, "{\"method\":\"test.Nope\"}"),
                "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"test.Nope\"}}");
        assert_string_equal(ask(*state, "{\"method\":\"org.varlink.service.Nope\"}"),
                            "{\"error\":\"org.varlink.service.MethodNotFound\","
                            "\"parameters\":{\"method\":\"org.varlink.service.Nope\"}}");
        assert_string_equal(ask(*state, "{\"method\":\"test.Missing\"}"),
                            "{\"error\":\"org.varlink.service.MethodNotImplemented\","
                            "\"parameters\":{\"method\":\"test.Missing\"}}");
        assert_string_equal(ask(*state, "{\"method\":\"test.Count\",\"parameters\":{\"n\":1}}"),
                            "{\"error\":\"org.varlink.service.ExpectedMore\",\"parameters\":{}}");
        assert_string_equal(
                ask(*state, "{\"method\":\"test.Echo\",\"parameters\":{\"text\":\"x\",\"extra\":1}}"),
                "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"extra\"}}");
}

static void test_rights_are_asked_for(void **state)
{
        struct service *s = *state;

        assert_non_null(
                strstr(ask(s, "{\"method\":\"test.Change\"}"), "\"needed\":\"group scribe-gateway\",\"message\":\""));
        assert_non_null(strstr(ask(s, "{\"method\":\"test.Change\"}"), "org.varlink.service.PermissionDenied"));
        s->may_change = true;
        assert_string_equal(ask(s, "{\"method\":\"test.Change\"}"), "{\"parameters\":{}}");
        service_stop(s);
        assert_int_equal(s->peer.uid, geteuid());
        assert_int_equal(s->peer.gid, getegid());
        assert_int_equal(s->peer.pid, getpid());
        assert_in_range(s->peer.n_groups, 0, 64);
}

static void test_a_refused_call_leaves_the_connection_open(void **state)
{
        struct service *s = *state;
        int fd = raw_connect(s->path);

        RAW_SEND(fd, "{\"method\":\"test.Change\"}");
        assert_non_null(strstr(raw_receive(fd), "PermissionDenied"));
        RAW_SEND(fd, "{\"method\":\"test.Echo\",\"parameters\":{\"text\":\"x\"}}");
        assert_string_equal(raw_receive(fd), "{\"parameters\":{\"text\":\"x\"}}");
        close(fd);
}

static void test_malformed_calls_end_the_connection(void **state)
{
        static const char *const unanswered[] = {
                "hello", "[]", "{\"method\":", "GET / HTTP/1.1\r\n\r\n", "", "{\"oneway\":true,\"method\":5}"};
        static const char *const answered[] = {"{}", "{\"method\":\"test.Echo\",\"extra\":1}", "{\"method\":5}"};

        for (size_t i = 0; i < SG_N_ELEMENTS(unanswered); i++)
                assert_string_equal(ask(*state, unanswered[i]), "");
        for (size_t i = 0; i < SG_N_ELEMENTS(answered); i++) {
                int fd = raw_connect(((struct service *)*state)->path);

                raw_send(fd, answered[i], strlen(answered[i]) + 1);
                assert_non_null(strstr(raw_receive(fd), "org.varlink.service.InvalidParameter"));
                assert_string_equal(raw_receive(fd), "");
                close(fd);
        }
}

static void test_a_call_that_is_too_long_ends_the_connection(void **state)
{
        struct service *s = *state;
        int fd = raw_connect(s->path);
        char block[4096];
        ssize_t n = 0;

        memset(block, ' ', sizeof(block));
        for (size_t sent = 0; sent < 4 * SG_VARLINK_CALL_BYTES_MAX && n >= 0; sent += sizeof(block))
                n = send(fd, block, sizeof(block), MSG_NOSIGNAL);
        assert_string_equal(raw_receive(fd), "");
        close(fd);
}

static void test_the_longest_call_is_taken(void **state)
{
        struct service *s = *state;
        static const char call[] = "{\"method\":\"test.Echo\",\"parameters\":{\"text\":\"x\"}}";
        char *text = malloc(SG_VARLINK_CALL_BYTES_MAX + 1);

        memset(text, ' ', SG_VARLINK_CALL_BYTES_MAX);
        memcpy(text, call, sizeof(call) - 1);
        text[SG_VARLINK_CALL_BYTES_MAX] = '\0';
        assert_string_equal(ask(s, text), "{\"parameters\":{\"text\":\"x\"}}");
        free(text);
}

static void test_pipelined_calls_are_answered_in_order(void **state)
{
        struct service *s = *state;
        int fd = raw_connect(s->path), other = raw_connect(s->path);

        RAW_SEND(fd, "{\"method\":\"test.Keep\"}\0{\"method\":\"test.Echo\",\"parameters\":{\"text\":\"2\"}}\0"
                     "{\"method\":\"test.Echo\",\"oneway\":true,\"parameters\":{\"text\":\"3\"}}\0"
                     "{\"method\":\"test.Count\",\"more\":true,\"parameters\":{\"n\":2}}\0"
                     "{\"method\":\"test.Echo\",\"parameters\":{\"text\":\"4\"}}");
        await_event(s->kept_fd);
        RAW_SEND(other, "{\"method\":\"test.Release\"}");
        assert_string_equal(raw_receive(other), "{\"parameters\":{}}");
        assert_string_equal(raw_receive(fd), "{\"parameters\":{\"kept\":true}}");
        assert_string_equal(raw_receive(fd), "{\"parameters\":{\"text\":\"2\"}}");
        assert_string_equal(raw_receive(fd), "{\"parameters\":{\"i\":0},\"continues\":true}");
        assert_string_equal(raw_receive(fd), "{\"parameters\":{\"i\":1},\"continues\":true}");
        assert_string_equal(raw_receive(fd), "{\"parameters\":{\"last\":true}}");
        assert_string_equal(raw_receive(fd), "{\"parameters\":{\"text\":\"4\"}}");
        assert_int_equal(s->n_calls, 3);
        close(fd);
        close(other);
}

static void test_thousands_of_pipelined_calls_are_all_answered(void **state)
{
        struct service *s = *state;
        static const char call[] = "{\"method\":\"test.Echo\",\"parameters\":{\"text\":\"x\"}}";
        int fd = raw_connect(s->path);
        unsigned n_sent = 0, n_answered = 0;

        /* Sent as fast as the socket takes them; answers are read when it does not. */
        while (n_answered < 10000) {
                ssize_t n = n_sent < 10000 ? send(fd, call, sizeof(call), MSG_NOSIGNAL | MSG_DONTWAIT) : -1;

                if (n == (ssize_t)sizeof(call)) {
                        n_sent++;
                        continue;
                }
                assert_int_equal(n, -1); /* a Unix socket takes small messages whole */
                assert_string_equal(raw_receive(fd), "{\"parameters\":{\"text\":\"x\"}}");
                n_answered++;
        }
        assert_int_equal(s->n_calls, 10000);
        close(fd);
}

static void test_a_call_cut_anywhere_is_one_call(void **state)
{
        struct service *s = *state;
        static const char call[] = "{\"method\":\"test.Echo\",\"parameters\":{\"text\":\"x\"}}";
        int fd = raw_connect(s->path);

        for (size_t cut = 1; cut < sizeof(call); cut++) {
                raw_send(fd, call, cut);
                raw_send(fd, call + cut, sizeof(call) - cut);
                assert_string_equal(raw_receive(fd), "{\"parameters\":{\"text\":\"x\"}}");
        }
        close(fd);
}

static void test_method_is_told_when_its_client_goes(void **state)
{
        struct service *s = *state;
        int fd = raw_connect(s->path);

        RAW_SEND(fd, "{\"method\":\"test.Keep\"}\0{\"method\":\"test.Echo\",\"parameters\":{\"text\":\"never\"}}");
        await_event(s->kept_fd);
        close(fd);
        await_event(s->gone_fd);
        assert_int_equal(s->n_gone, 1);
        assert_int_equal(s->n_calls, 0);
        assert_string_equal(ask(s, "{\"method\":\"test.Release\"}"), "{\"parameters\":{}}");
}

static void test_a_half_closed_client_gets_its_answers(void **state)
{
        struct service *s = *state;
        int fd = raw_connect(s->path);

        RAW_SEND(fd, "{\"method\":\"test.Keep\"}\0{\"method\":\"test.Echo\",\"parameters\":{\"text\":\"2\"}}");
        shutdown(fd, SHUT_WR);
        await_event(s->kept_fd);
        ask(s, "{\"method\":\"test.Release\"}");
        assert_string_equal(raw_receive(fd), "{\"parameters\":{\"kept\":true}}");
        assert_string_equal(raw_receive(fd), "{\"parameters\":{\"text\":\"2\"}}");
        assert_string_equal(raw_receive(fd), "");
        assert_int_equal(s->n_gone, 0);
        close(fd);
}

static void test_a_half_closed_client_may_go_later(void **state)
{
        struct service *s = *state;
        int fd = raw_connect(s->path);

        RAW_SEND(fd, "{\"method\":\"test.Keep\"}");
        shutdown(fd, SHUT_WR);
        await_event(s->kept_fd);
        ask(s, "{\"method\":\"test.Echo\",\"parameters\":{\"text\":\"x\"}}");
        assert_int_equal(s->n_gone, 0);
        close(fd);
        await_event(s->gone_fd);
}

static void test_a_slow_client_is_dropped_when_its_queue_is_full(void **state)
{
        struct service *s = *state;
        int fd = raw_connect(s->path);

        RAW_SEND(fd, "{\"method\":\"test.Flood\",\"more\":true}");
        await_event(s->gone_fd);
        assert_int_equal(s->n_gone, 1);
        close(fd);
        assert_string_equal(ask(s, "{\"method\":\"test.Echo\",\"parameters\":{\"text\":\"x\"}}"),
                            "{\"parameters\":{\"text\":\"x\"}}");
}

static void test_long_answers_go_out_as_the_client_reads(void **state)
{
        struct service *s = *state;
        struct sg_varlink_caller *c;
        struct json_object *o;
        struct sg_error err;
        unsigned n = 0;
        bool continues = true;
        char error[64];

        assert_int_equal(sg_varlink_caller_new(&c, s->path, &err), 0);
        assert_int_equal(sg_varlink_caller_send(c, "test.Long", object_of("{\"n\":64,\"bytes\":1048576}"), true, &err),
                         0);
        while (continues) {
                assert_int_equal(sg_varlink_caller_receive(c, &o, error, sizeof(error), &continues, &err), 0);
                assert_string_equal(error, "");
                n += continues;
                json_object_put(o);
        }
        assert_int_equal(n, 64);
        assert_true(s->n_most_queued <= (1u << 20) + 100);
        sg_varlink_caller_free(c);
}

static void test_a_client_who_leaves_a_long_answer_is_told_of(void **state)
{
        struct service *s = *state;
        int fd = raw_connect(s->path);
        char block[4096];

        RAW_SEND(fd, "{\"method\":\"test.Long\",\"more\":true,\"parameters\":{\"n\":1000,\"bytes\":1048576}}");
        assert_true(recv(fd, block, sizeof(block), 0) > 0);
        close(fd);
        await_event(s->gone_fd);
        assert_int_equal(s->n_gone, 1);
}

static void test_an_unanswered_call_is_told_when_the_server_ends(void **state)
{
        struct service *s = *state;
        int fd = raw_connect(s->path);

        RAW_SEND(fd, "{\"method\":\"test.Keep\"}");
        await_event(s->kept_fd);
        service_stop(s);
        s->server = sg_varlink_server_free(s->server);
        assert_int_equal(s->n_gone, 1);
        assert_int_equal(access(s->path, F_OK), -1); /* the socket goes with the server */
        close(fd);
}

static void test_connections_are_limited_in_number(void **state)
{
        struct service *s = *state;
        int fds[SG_VARLINK_CONNECTIONS_MAX + 1];

        /* As root the limit per user does not apply; as another it is reached first. */
        size_t n_max = geteuid() == 0 ? SG_VARLINK_CONNECTIONS_MAX : SG_VARLINK_PER_USER_MAX;

        for (size_t i = 0; i < n_max; i++) {
                fds[i] = raw_connect(s->path);
                RAW_SEND(fds[i], "{\"method\":\"test.Echo\",\"parameters\":{\"text\":\"x\"}}");
                assert_string_equal(raw_receive(fds[i]), "{\"parameters\":{\"text\":\"x\"}}");
        }
        fds[n_max] = raw_connect(s->path);
        assert_string_equal(raw_receive(fds[n_max]), "");
        for (size_t i = 0; i <= n_max; i++)
                close(fds[i]);
}

static void test_the_socket_is_for_owner_and_group_only(void **state)
{
        struct service *s = *state;
        struct stat st;

        assert_int_equal(stat(s->path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0660);
}

static void test_a_live_socket_is_not_taken_over(void **state)
{
        struct service *s = *state, second;
        struct sg_error err;

        assert_int_equal(service_new(&second), 0);
        assert_int_equal(sg_varlink_server_listen(second.server, s->path, (gid_t)-1, &err), -EADDRINUSE);
        assert_string_equal(err.where, s->path);
        service_free(&second);
        assert_non_null(strstr(ask(s, "{\"method\":\"org.varlink.service.GetInfo\"}"), "Scribe"));
}

static void test_a_stale_socket_is_replaced_and_a_file_is_not(void **state)
{
        struct service s;
        struct sg_error err;
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        int fd;
        FILE *f;

        assert_int_equal(service_new(&s), 0);
        snprintf(a.sun_path, sizeof(a.sun_path), "%s", s.path);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        close(fd);
        assert_int_equal(sg_varlink_server_listen(s.server, s.path, getegid(), &err), 0);
        service_free(&s);

        assert_int_equal(service_new(&s), 0);
        f = fopen(s.path, "w");
        assert_non_null(f);
        fclose(f);
        assert_int_equal(sg_varlink_server_listen(s.server, s.path, (gid_t)-1, &err), -EEXIST);
        assert_int_equal(access(s.path, F_OK), 0);
        service_free(&s);
}

static void test_a_successors_socket_is_left_alone(void **state)
{
        struct service s;
        struct sg_error err;
        FILE *f;

        assert_int_equal(service_new(&s), 0);
        assert_int_equal(sg_varlink_server_listen(s.server, s.path, (gid_t)-1, &err), 0);
        unlink(s.path);
        f = fopen(s.path, "w"); /* the inode of the socket is held by its descriptor, so this is another */
        fclose(f);
        s.server = sg_varlink_server_free(s.server);
        assert_int_equal(access(s.path, F_OK), 0);
        service_free(&s);
}

static void test_a_path_too_long_is_an_error_with_its_reason(void **state)
{
        struct service s;
        struct sg_error err;
        char path[200];

        assert_int_equal(service_new(&s), 0);
        memset(path, 'x', sizeof(path));
        path[0] = '/';
        path[sizeof(path) - 1] = '\0';
        assert_int_equal(sg_varlink_server_listen(s.server, path, (gid_t)-1, &err), -ENAMETOOLONG);
        assert_non_null(strstr(err.text, "107"));
        service_free(&s);
}

static void test_a_socket_that_was_handed_over_is_served(void **state)
{
        struct service s;
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        int fd;

        assert_int_equal(service_new(&s), 0);
        snprintf(a.sun_path, sizeof(a.sun_path), "%s", s.path);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(listen(fd, 5), 0);
        assert_int_equal(sg_varlink_server_listen_fd(s.server, fd), 0);
        service_start(&s);
        assert_non_null(strstr(ask(&s, "{\"method\":\"org.varlink.service.GetInfo\"}"), "Scribe"));
        service_stop(&s);
        s.server = sg_varlink_server_free(s.server);
        assert_int_equal(access(s.path, F_OK), 0); /* the service manager's */
        service_free(&s);
}

#define server_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                server_test(test_answers_with_what_the_method_replies),
                server_test(test_introspection),
                server_test(test_errors_of_the_protocol),
                server_test(test_rights_are_asked_for),
                server_test(test_a_refused_call_leaves_the_connection_open),
                server_test(test_malformed_calls_end_the_connection),
                server_test(test_a_call_that_is_too_long_ends_the_connection),
                server_test(test_the_longest_call_is_taken),
                server_test(test_pipelined_calls_are_answered_in_order),
                server_test(test_thousands_of_pipelined_calls_are_all_answered),
                server_test(test_a_call_cut_anywhere_is_one_call),
                server_test(test_method_is_told_when_its_client_goes),
                server_test(test_a_half_closed_client_gets_its_answers),
                server_test(test_a_half_closed_client_may_go_later),
                server_test(test_a_slow_client_is_dropped_when_its_queue_is_full),
                server_test(test_long_answers_go_out_as_the_client_reads),
                server_test(test_a_client_who_leaves_a_long_answer_is_told_of),
                server_test(test_an_unanswered_call_is_told_when_the_server_ends),
                server_test(test_connections_are_limited_in_number),
                server_test(test_the_socket_is_for_owner_and_group_only),
                server_test(test_a_live_socket_is_not_taken_over),
                cmocka_unit_test(test_a_stale_socket_is_replaced_and_a_file_is_not),
                cmocka_unit_test(test_a_successors_socket_is_left_alone),
                cmocka_unit_test(test_a_path_too_long_is_an_error_with_its_reason),
                cmocka_unit_test(test_a_socket_that_was_handed_over_is_served),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
