#include "h2_world.h"

struct server_h2 server;

void serve(struct world *x)
{
        server_h2_start(&server);
        x->endpoint = (struct sg_endpoint){.host = SG_STR("127.0.0.1"),
                                           .port = ntohs(server.address.sin_port),
                                           .protocol = SG_PROTOCOL_HTTP2,
                                           .pool_key = SG_STR("h2"),
                                           .connect_timeout_usec = 5 * SG_USEC_PER_SEC,
                                           .idle_timeout_usec = 60 * SG_USEC_PER_SEC,
                                           .pool_max = 4};
}

void serve_tls(struct world *x, const char *alpn, enum sg_protocol protocol)
{
        struct sg_error err;

        server.alpn = alpn;
        server.credentials = test_ca_sign(
                &ca, &(struct test_server_certificate){.dns_name = "localhost", .from_days = -1, .to_days = 1});
        serve(x);
        assert_int_equal(sg_tls_trust_new(&x->trust, ca.file, &err), 0);
        x->endpoint.host = SG_STR("localhost");
        x->endpoint.is_tls = true;
        x->endpoint.trust = x->trust;
        x->endpoint.protocol = protocol;
}

int setup(void **state)
{
        server = (struct server_h2){.listener = -1};
        return world_setup(state);
}

int teardown(void **state)
{
        int r;

        server_h2_stop(&server);
        r = world_teardown(state);
        if (server.credentials)
                gnutls_certificate_free_credentials(server.credentials);
        return r;
}

void ask(struct world *x, struct caller *k, unsigned status, const char *body)
{
        call_start(k, x);
        call_wait(k);
        assert_answer(k, status, body);
}

void ask_ok(struct world *x)
{
        struct caller k = CALL("/ok");

        ask(x, &k, 200, "ok");
        call_done(&k);
}

void wait_for_count(struct world *x, atomic_uint *count, unsigned n)
{
        while (atomic_load(count) < n)
                run_few_turns(x->loop);
        run_few_turns(x->loop);
        assert_int_equal(atomic_load(count), n);
}

void feed_big(struct caller *k)
{
        static char bytes[32 * 1024];
        const struct sg_str piece = sg_str_make(bytes, sizeof(bytes));

        while (k->n_fed < BIG_BYTES && !sg_upcall_is_full(k->call)) {
                k->n_fed += sizeof(bytes);
                sg_upcall_send(k->call, &piece, 1, k->n_fed == BIG_BYTES);
        }
        assert_true(sg_h2_queued(&k->call->stream) <= 128 * 1024);
}

void send_text(struct caller *k, const char *text, bool is_last)
{
        const struct sg_str piece = sg_str_from(text);

        sg_upcall_send(k->call, &piece, 1, is_last);
        while (!is_last && !sg_str_ends(sg_buf_view(&k->body), piece))
                run_few_turns(k->x->loop);
}
