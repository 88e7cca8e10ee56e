/* The loop client with the server on the same loop, and the caller that blocks against a server in a thread. */
#include "service.h"

struct client {
        struct service service;
        struct sg_varlink_client *c;
        struct sg_timer limit;
        unsigned n_connected, n_replies, n_closed;
        int error;
        char log[4096];
        enum {
                STOP_AT_CLOSE,
                STOP_AT_REPLIES,
                FREE_AT_REPLY,
                FREE_AT_CLOSE
        } when;
        unsigned n_wanted;
        int raw_fd; /* the server's end when the test plays it */
};

static void on_limit(struct sg_timer *t, void *owner)
{
        fail_msg("nothing happened for ten seconds");
}

static void on_connected(struct sg_varlink_client *c, void *owner)
{
        struct client *k = owner;

        k->n_connected++;
}

static void on_reply(struct sg_varlink_client *c, const char *error_name, struct json_object *parameters,
                     bool continues, void *owner)
{
        struct client *k = owner;
        size_t n = strlen(k->log);

        snprintf(k->log + n, sizeof(k->log) - n, "%s%s%s;", error_name ? error_name : "",
                 parameters ? json_object_to_json_string_ext(parameters, JSON_C_TO_STRING_PLAIN) : "",
                 continues ? "+" : "");
        k->n_replies++;
        if (k->when == FREE_AT_REPLY) {
                k->c = sg_varlink_client_free(k->c);
                sg_loop_stop(k->service.loop);
        }
        if (k->when == STOP_AT_REPLIES && k->n_replies == k->n_wanted)
                sg_loop_stop(k->service.loop);
}

static void on_closed(struct sg_varlink_client *c, int err, void *owner)
{
        struct client *k = owner;

        k->n_closed++;
        k->error = err;
        if (k->when == FREE_AT_CLOSE)
                k->c = sg_varlink_client_free(k->c);
        sg_loop_stop(k->service.loop);
}

static const struct sg_varlink_client_callbacks callbacks = {on_connected, on_reply, on_closed};

static int setup(void **state)
{
        static struct client k;

        memset(&k, 0, sizeof(k));
        k.raw_fd = -1;
        if (service_new(&k.service) || sg_timer_init(&k.limit, k.service.loop, on_limit, &k))
                return -1;
        sg_timer_start(&k.limit, 10 * SG_USEC_PER_SEC);
        *state = &k;
        return 0;
}

static int teardown(void **state)
{
        struct client *k = *state;

        service_stop(&k->service); /* the timer is its loop's */
        sg_timer_done(&k->limit);
        sg_varlink_client_free(k->c);
        if (k->raw_fd >= 0)
                close(k->raw_fd);
        service_free(&k->service);
        return 0;
}

static void run(struct client *k)
{
        sg_loop_run(k->service.loop, SG_USEC_NEVER, NULL, NULL);
}

static void connect_client(struct client *k)
{
        struct sg_error err;

        assert_int_equal(sg_varlink_server_listen(k->service.server, k->service.path, (gid_t)-1, &err), 0);
        assert_int_equal(sg_varlink_client_new(&k->c, k->service.loop, k->service.path, &callbacks, k), 0);
}

/* The test plays the server with bytes of its choice. */
static void connect_raw(struct client *k)
{
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        snprintf(a.sun_path, sizeof(a.sun_path), "%s", k->service.path);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(listen(fd, 5), 0);
        assert_int_equal(sg_varlink_client_new(&k->c, k->service.loop, k->service.path, &callbacks, k), 0);
        k->raw_fd = accept(fd, NULL, NULL);
        assert_true(k->raw_fd >= 0);
        close(fd);
}

static void test_calls_are_answered_in_order(void **state)
{
        struct client *k = *state;

        connect_client(k);
        k->when = STOP_AT_REPLIES;
        k->n_wanted = 5;
        assert_int_equal(sg_varlink_client_call(k->c, "test.Echo", object_of("{\"text\":\"1\"}"), false), 0);
        assert_int_equal(sg_varlink_client_call(k->c, "test.Count", object_of("{\"n\":2}"), true), 0);
        assert_int_equal(sg_varlink_client_call(k->c, "test.Missing", NULL, false), 0);
        run(k);
        assert_string_equal(k->log, "{\"text\":\"1\"};{\"i\":0}+;{\"i\":1}+;{\"last\":true};"
                                    "org.varlink.service.MethodNotImplemented{\"method\":\"test.Missing\"};");
        assert_int_equal(k->n_connected, 1);
        assert_int_equal(k->n_closed, 0);
}

static void test_long_streams_arrive_whole(void **state)
{
        struct client *k = *state;

        connect_client(k);
        k->when = STOP_AT_REPLIES;
        k->n_wanted = 5001;
        assert_int_equal(sg_varlink_client_call(k->c, "test.Count", object_of("{\"n\":5000}"), true), 0);
        run(k);
        assert_int_equal(k->n_replies, 5001);
}

static void test_nobody_there_is_told_from_the_loop(void **state)
{
        struct client *k = *state;

        assert_int_equal(sg_varlink_client_new(&k->c, k->service.loop, k->service.path, &callbacks, k), 0);
        assert_int_equal(k->n_closed, 0);
        assert_int_equal(sg_varlink_client_call(k->c, "test.Echo", NULL, false), -ENOTCONN);
        run(k);
        assert_int_equal(k->n_closed, 1);
        assert_int_equal(k->error, -ENOENT);
        assert_int_equal(k->n_connected, 0);
}

static void test_may_be_freed_in_each_callback(void **state)
{
        struct client *k = *state;

        k->when = FREE_AT_CLOSE;
        assert_int_equal(sg_varlink_client_new(&k->c, k->service.loop, k->service.path, &callbacks, k), 0);
        run(k);
        assert_int_equal(k->n_closed, 1);
        connect_client(k);
        k->when = FREE_AT_REPLY;
        assert_int_equal(sg_varlink_client_call(k->c, "test.Count", object_of("{\"n\":10}"), true), 0);
        run(k);
        assert_int_equal(k->n_replies, 1);
        assert_int_equal(k->n_closed, 1);
}

static void test_end_of_the_server_is_told(void **state)
{
        struct client *k = *state;

        connect_raw(k);
        close(k->raw_fd);
        k->raw_fd = -1;
        run(k);
        assert_int_equal(k->n_connected, 1);
        assert_int_equal(k->error, 0);
}

static void test_answers_that_break_the_protocol_end_it(void **state)
{
        static const struct {
                struct sg_str bytes;
                int error;
        } cases[] = {
                {SG_STR("hello\0"), -EBADMSG},
                {SG_STR("[]\0"), -EBADMSG},
                {SG_STR("\0"), -EBADMSG},
                {SG_STR("{\"error\":1}\0"), -EBADMSG},
                {SG_STR("{\"parameters\":[]}\0"), -EBADMSG},
                {SG_STR("{\"continues\":true}\0"), -EPROTO}, /* the call did not ask for more */
                {SG_STR("{}\0{}\0"), -EPROTO},               /* nobody asked */
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct client *k;

                if (i) {
                        teardown(state);
                        setup(state);
                }
                k = *state;
                connect_raw(k);
                assert_int_equal(sg_varlink_client_call(k->c, "a.B", NULL, false), 0);
                raw_send(k->raw_fd, cases[i].bytes.p, cases[i].bytes.n);
                run(k);
                assert_int_equal(k->error, cases[i].error);
        }
}

/* Until the other end closes. */
static void *send_blanks(void *arg)
{
        const int *fd = arg;
        char block[4096];

        memset(block, ' ', sizeof(block));
        while (send(*fd, block, sizeof(block), MSG_NOSIGNAL) > 0)
                ;
        return NULL;
}

static void test_an_answer_without_end_is_given_up(void **state)
{
        struct client *k = *state;
        pthread_t sender;

        connect_raw(k);
        assert_int_equal(sg_thread_start(&sender, "sender", send_blanks, &k->raw_fd), 0);
        run(k);
        assert_int_equal(k->error, -EMSGSIZE);
        pthread_join(sender, NULL);
}

static void test_unsent_calls_are_bounded(void **state)
{
        struct client *k = *state;
        int r = 0;

        connect_raw(k);
        for (unsigned i = 0; i < 100 && !r; i++)
                r = sg_varlink_client_call(k->c, "a.B", of_bytes(1u << 20), false);
        assert_int_equal(r, -ENOBUFS);
}

/* ---- the caller that blocks */

static void test_caller_calls_and_is_answered(void **state)
{
        struct client *k = *state;
        SG_AUTO(sg_varlink_caller_free) struct sg_varlink_caller *c = NULL;
        struct json_object *o;
        struct sg_error err;
        char name[128];
        bool continues;

        assert_int_equal(sg_varlink_server_listen(k->service.server, k->service.path, (gid_t)-1, &err), 0);
        service_start(&k->service);
        assert_int_equal(sg_varlink_caller_new(&c, k->service.path, &err), 0);
        assert_int_equal(sg_varlink_caller_send(c, "test.Echo", object_of("{\"text\":\"1\"}"), false, &err), 0);
        assert_int_equal(sg_varlink_caller_send(c, "nope.Nope", NULL, false, &err), 0);
        assert_int_equal(sg_varlink_caller_receive(c, &o, name, sizeof(name), &continues, &err), 0);
        assert_string_equal(name, "");
        assert_string_equal(json_object_get_string(json_object_object_get(o, "text")), "1");
        json_object_put(o);
        assert_int_equal(sg_varlink_caller_receive(c, &o, name, sizeof(name), &continues, &err), 0);
        assert_string_equal(name, "org.varlink.service.InterfaceNotFound");
        assert_false(continues);
        json_object_put(o);
}

static void test_caller_says_why_it_cannot_connect(void **state)
{
        struct client *k = *state;
        struct sg_varlink_caller *c;
        struct sg_error err;

        assert_int_equal(sg_varlink_caller_new(&c, k->service.path, &err), -ENOENT);
        assert_string_equal(err.where, k->service.path);
}

static void test_caller_notices_a_server_that_ends(void **state)
{
        struct client *k = *state;
        SG_AUTO(sg_varlink_caller_free) struct sg_varlink_caller *c = NULL;
        struct json_object *o;
        struct sg_error err;
        char name[128];
        bool continues;

        assert_int_equal(sg_varlink_server_listen(k->service.server, k->service.path, (gid_t)-1, &err), 0);
        service_start(&k->service);
        assert_int_equal(sg_varlink_caller_new(&c, k->service.path, &err), 0);
        assert_int_equal(sg_varlink_caller_send(c, "test.Keep", NULL, false, &err), 0);
        await_event(k->service.kept_fd);
        service_stop(&k->service);
        k->service.server = sg_varlink_server_free(k->service.server);
        assert_int_equal(sg_varlink_caller_receive(c, &o, name, sizeof(name), &continues, &err), -ECONNRESET);
        assert_non_null(strstr(err.text, "closed before the answer"));
}

#define client_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                client_test(test_calls_are_answered_in_order),
                client_test(test_long_streams_arrive_whole),
                client_test(test_nobody_there_is_told_from_the_loop),
                client_test(test_may_be_freed_in_each_callback),
                client_test(test_end_of_the_server_is_told),
                client_test(test_answers_that_break_the_protocol_end_it),
                client_test(test_an_answer_without_end_is_given_up),
                client_test(test_unsent_calls_are_bounded),
                client_test(test_caller_calls_and_is_answered),
                client_test(test_caller_says_why_it_cannot_connect),
                client_test(test_caller_notices_a_server_that_ends),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
