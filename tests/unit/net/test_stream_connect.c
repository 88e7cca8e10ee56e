#include "net_test.h"

/* A layer that answers every call with what the test has laid down: the stream must follow. */
struct fake_layer {
        struct sg_layer layer;
        int fd;
        enum sg_layer_result handshake[4];
        unsigned n_handshakes, n_closes, n_frees;
        bool blocks_once; /* takes a write but wants another turn to pass it on */
        char held[256];
        size_t n_held;
};

static enum sg_layer_result fake_handshake(struct sg_layer *y, const char **ret_text)
{
        struct fake_layer *f = SG_CONTAINER(y, struct fake_layer, layer);
        enum sg_layer_result r = f->handshake[f->n_handshakes++];

        if (r == SG_LAYER_FAILED)
                *ret_text = "the fake refuses";
        return r;
}

/* Turns every byte round (xor 1), so that a test sees that the layer was there. */
static enum sg_layer_result fake_read(struct sg_layer *y, char *out, size_t room, size_t *ret_n, const char **ret_text)
{
        struct fake_layer *f = SG_CONTAINER(y, struct fake_layer, layer);
        ssize_t n = recv(f->fd, out, SG_MIN(room, (size_t)4), 0);

        if (n < 0)
                return errno == EAGAIN ? SG_LAYER_WANT_READ : SG_LAYER_FAILED;
        if (n == 0)
                return SG_LAYER_FAILED; /* no close_notify */
        for (ssize_t i = 0; i < n; i++)
                out[i] ^= 1;
        *ret_n = (size_t)n;
        return SG_LAYER_OK;
}

static enum sg_layer_result fake_write(struct sg_layer *y, const struct sg_str *pieces, size_t n, size_t *ret_n,
                                       const char **ret_text)
{
        struct fake_layer *f = SG_CONTAINER(y, struct fake_layer, layer);
        size_t before = f->n_held;

        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < pieces[i].n; k++)
                        f->held[f->n_held++] = pieces[i].p[k] ^ 1;
        *ret_n = f->n_held - before;
        if (f->blocks_once) {
                f->blocks_once = false;
                return SG_LAYER_WANT_WRITE;
        }
        assert_int_equal(send(f->fd, f->held, f->n_held, MSG_NOSIGNAL), (ssize_t)f->n_held);
        f->n_held = 0;
        return SG_LAYER_OK;
}

static enum sg_layer_result fake_close(struct sg_layer *y)
{
        SG_CONTAINER(y, struct fake_layer, layer)->n_closes++;
        return SG_LAYER_OK;
}

static size_t fake_pending(const struct sg_layer *y)
{
        struct pollfd p = {.fd = SG_CONTAINER(y, struct fake_layer, layer)->fd, .events = POLLIN};

        return poll(&p, 1, 0) > 0 ? 1 : 0;
}

static void fake_free(struct sg_layer *y)
{
        SG_CONTAINER(y, struct fake_layer, layer)->n_frees++;
}

static void fake_attach(struct sg_layer *y, int fd)
{
        SG_CONTAINER(y, struct fake_layer, layer)->fd = fd;
}

static void fake_init(struct fake_layer *f)
{
        *f = (struct fake_layer){.layer = {fake_handshake, fake_read, fake_write, fake_close, fake_pending, fake_free},
                                 .fd = -1};
}

struct world {
        struct seen w;
        int listener;
        struct sockaddr_in address;
};

static int setup(void **state)
{
        static struct world x;

        seen_init(&x.w);
        x.listener = listen_on_loopback(&x.address);
        *state = &x;
        return 0;
}

static int teardown(void **state)
{
        struct world *x = *state;

        seen_done(&x->w);
        if (x->listener >= 0)
                close(x->listener);
        return 0;
}

static void start(struct world *x)
{
        assert_int_equal(sg_stream_new_connect(&x->w.stream, x->w.loop, (struct sockaddr *)&x->address,
                                               sizeof(x->address), NULL, &seen_listener, &x->w),
                         0);
        sg_stream_resume(x->w.stream);
}

static void test_connect_opens_and_sends_what_was_written_before(void **state)
{
        struct world *x = *state;
        char got[8] = "";
        int far;

        start(x);
        assert_int_equal(write_to(x->w.stream, "early"), 0);
        assert_int_equal(x->w.n_open, 0);
        run_until(&x->w, has_opened);
        assert_int_equal(x->w.n_open, 1);
        assert_true(sg_stream_is_open(x->w.stream));
        far = accept(x->listener, NULL, NULL);
        assert_int_equal(recv(far, got, 5, MSG_WAITALL), 5);
        assert_string_equal(got, "early");
        close(far);
}

static void test_connect_refused_is_told_later(void **state)
{
        struct world *x = *state;

        close(x->listener);
        x->listener = -1;
        start(x);
        assert_int_equal(x->w.n_ends, 0);
        run_until(&x->w, has_ended);
        assert_int_equal(x->w.why, SG_STREAM_END_REFUSED);
        assert_string_equal(x->w.text, "Connection refused");
        assert_int_equal(x->w.n_open, 0);
}

static void test_free_while_connecting(void **state)
{
        struct world *x = *state;

        start(x);
        x->w.stream = sg_stream_free(x->w.stream);
        run_few_turns(x->w.loop);
        assert_int_equal(x->w.n_open + x->w.n_ends, 0);
}

static void test_free_inside_open(void **state)
{
        struct world *x = *state;

        x->w.frees_on_open = true;
        start(x);
        run_until(&x->w, has_opened);
        run_few_turns(x->w.loop);
        assert_null(x->w.stream);
}

static void test_unix_socket_connects(void **state)
{
        struct world *x = *state;
        char directory[] = "/tmp/sg-test-XXXXXX", path[64];
        struct sg_stream *s;
        int fd;
        struct sockaddr_storage a = {.ss_family = AF_UNIX};

        assert_non_null(mkdtemp(directory));
        (void)snprintf(path, sizeof(path), "%s/s", directory);
        memcpy((char *)&a + offsetof(struct sockaddr, sa_data), path, strlen(path) + 1);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(sa_family_t) + (socklen_t)strlen(path) + 1), 0);
        assert_int_equal(listen(fd, 1), 0);
        assert_int_equal(sg_stream_new_connect(&s, x->w.loop, (struct sockaddr *)&a,
                                               sizeof(sa_family_t) + (socklen_t)strlen(path) + 1, NULL, &seen_listener,
                                               &x->w),
                         0);
        x->w.stream = s;
        run_until(&x->w, has_opened);
        assert_int_equal(x->w.n_open, 1);
        assert_int_equal(strncmp(sg_stream_peer(s), "unix:/", 6), 0);
        close(fd);
        unlink(path);
        rmdir(directory);
}

/* ---- layers */

static void test_layer_shakes_hands_before_open(void **state)
{
        struct world *x = *state;
        struct fake_layer f;
        char got[8] = "";
        int far;

        fake_init(&f);
        f.handshake[0] = SG_LAYER_WANT_WRITE;
        f.handshake[1] = SG_LAYER_WANT_READ;
        f.handshake[2] = SG_LAYER_OK;
        start(x);
        sg_stream_set_layer(x->w.stream, &f.layer, fake_attach);
        assert_int_equal(write_to(x->w.stream, "hi"), 0);
        far = accept(x->listener, NULL, NULL);
        run_few_turns(x->w.loop);
        assert_int_equal(f.n_handshakes, 2);
        assert_int_equal(x->w.n_open, 0);
        assert_int_equal(send(far, "`b", 2, 0), 2);
        run_until(&x->w, has_bytes);
        assert_int_equal(x->w.n_open, 1);
        assert_bytes(&x->w, "ac");
        assert_int_equal(recv(far, got, 2, MSG_WAITALL), 2);
        assert_string_equal(got, "ih");
        close(far);
        x->w.stream = sg_stream_free(x->w.stream);
        run_few_turns(x->w.loop);
        assert_int_equal(f.n_frees, 1);
}

static void test_layer_failure_is_told_in_its_words(void **state)
{
        struct world *x = *state;
        struct fake_layer f;

        fake_init(&f);
        f.handshake[0] = SG_LAYER_FAILED;
        start(x);
        sg_stream_set_layer(x->w.stream, &f.layer, fake_attach);
        run_until(&x->w, has_ended);
        assert_int_equal(x->w.why, SG_STREAM_END_TLS);
        assert_string_equal(x->w.text, "the fake refuses");
        x->w.stream = sg_stream_free(x->w.stream);
        run_few_turns(x->w.loop);
        assert_int_equal(f.n_frees, 1);
}

static void test_layer_close_without_notify_is_a_reset(void **state)
{
        struct world *x = *state;
        struct fake_layer f;
        int far;

        fake_init(&f);
        f.handshake[0] = SG_LAYER_OK;
        start(x);
        sg_stream_set_layer(x->w.stream, &f.layer, fake_attach);
        far = accept(x->listener, NULL, NULL);
        run_until(&x->w, has_opened);
        close(far);
        run_until(&x->w, has_ended);
        assert_int_equal(x->w.why, SG_STREAM_END_RESET);
        x->w.stream = sg_stream_free(x->w.stream);
        run_few_turns(x->w.loop);
}

static bool has_drained(struct seen *w)
{
        return w->n_drained > 0;
}

static void test_layer_that_holds_bytes_is_flushed(void **state)
{
        struct world *x = *state;
        struct fake_layer f;
        char got[8] = "";
        int far;

        fake_init(&f);
        f.handshake[0] = SG_LAYER_OK;
        f.blocks_once = true;
        start(x);
        sg_stream_set_layer(x->w.stream, &f.layer, fake_attach);
        far = accept(x->listener, NULL, NULL);
        run_until(&x->w, has_opened);
        assert_int_equal(write_to(x->w.stream, "ab"), 0);
        assert_true(sg_stream_queued(x->w.stream) > 0);
        assert_int_equal(write_to(x->w.stream, "cd"), 0); /* behind what is held */
        sg_stream_shutdown(x->w.stream);
        run_until(&x->w, has_drained);
        assert_int_equal(recv(far, got, 7, MSG_WAITALL), 4); /* then the FIN */
        assert_string_equal(got, "`cbe");
        assert_int_equal(f.n_closes, 1);
        close(far);
        x->w.stream = sg_stream_free(x->w.stream);
        run_few_turns(x->w.loop);
}

static void test_layer_under_a_connected_descriptor(void **state)
{
        struct world *x = *state;
        struct fake_layer f;
        int near, far;

        fake_init(&f);
        f.handshake[0] = SG_LAYER_OK;
        tcp_pair(&near, &far);
        assert_int_equal(sg_stream_new_fd(&x->w.stream, x->w.loop, near, NULL, &seen_listener, &x->w), 0);
        sg_stream_set_layer(x->w.stream, &f.layer, fake_attach);
        sg_stream_resume(x->w.stream);
        assert_int_equal(send(far, "`bedgfih", 8, 0), 8); /* two reads of the fake's four bytes */
        run_until(&x->w, has_opened);
        run_few_turns(x->w.loop);
        assert_bytes(&x->w, "acdefghi");
        close(far);
        x->w.stream = sg_stream_free(x->w.stream);
        run_few_turns(x->w.loop);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_connect_opens_and_sends_what_was_written_before),
                TEST(test_connect_refused_is_told_later),
                TEST(test_free_while_connecting),
                TEST(test_free_inside_open),
                TEST(test_unix_socket_connects),
                TEST(test_layer_shakes_hands_before_open),
                TEST(test_layer_failure_is_told_in_its_words),
                TEST(test_layer_close_without_notify_is_a_reset),
                TEST(test_layer_that_holds_bytes_is_flushed),
                TEST(test_layer_under_a_connected_descriptor),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
