#include "caller.h"

#include "upstream/upstream_internal.h"

struct test_ca ca;
const struct sg_str small_body[3] = {{"hel", 3}, {"", 0}, {"lo", 2}};

/* ---- the caller */

static void free_call(struct caller *k)
{
        k->call = sg_upcall_free(k->call);
        if (++k->x->n_over >= k->x->n_wanted)
                sg_loop_stop(k->x->loop);
}

static void on_sent(struct sg_upcall *c, void *owner)
{
        struct caller *k = owner;

        k->n_sent++;
        if (k->frees == FREES_ON_SENT)
                free_call(k);
}

static void on_room(struct sg_upcall *c, void *owner)
{
        struct caller *k = owner;

        k->n_rooms++;
        if (k->frees == FREES_ON_ROOM)
                free_call(k);
        else if (k->feed)
                k->feed(k);
}

static void on_trailers(struct sg_upcall *c, const struct sg_head *trailers, void *owner)
{
        struct caller *k = owner;

        assert_int_equal(k->n_ends, 0);
        for (size_t i = 0; i < trailers->n_headers; i++) {
                assert_int_equal(sg_buf_add(&k->trailers, trailers->headers[i].name), 0);
                assert_int_equal(sg_buf_add(&k->trailers, SG_STR("=")), 0);
                assert_int_equal(sg_buf_add(&k->trailers, trailers->headers[i].value), 0);
                assert_int_equal(sg_buf_add(&k->trailers, SG_STR(";")), 0);
        }
}

static void on_head(struct sg_upcall *c, const struct sg_head *head, void *owner)
{
        struct caller *k = owner;

        k->n_heads++;
        k->status = head->status;
        k->was_reused = c->was_reused;
        if (k->pauses_at_head)
                sg_upcall_pause(c);
        if (k->frees == FREES_ON_HEAD)
                free_call(k);
}

static void on_body(struct sg_upcall *c, struct sg_str bytes, void *owner)
{
        struct caller *k = owner;

        k->n_bodies++;
        assert_int_equal(sg_buf_add(&k->body, bytes), 0);
        if (k->pauses)
                sg_upcall_pause(c);
        if (k->frees == FREES_ON_BODY)
                free_call(k);
}

static void on_end(struct sg_upcall *c, void *owner)
{
        struct caller *k = owner;

        k->n_ends++;
        if (k->frees == FREES_ON_END)
                free_call(k);
        else if (++k->x->n_over >= k->x->n_wanted)
                sg_loop_stop(k->x->loop);
}

static void on_failed(struct sg_upcall *c, enum sg_upstream_fault why, const char *text, void *owner)
{
        struct caller *k = owner;

        k->n_failed++;
        k->fault = why;
        (void)snprintf(k->text, sizeof(k->text), "%s", text);
        if (k->frees == FREES_ON_END)
                free_call(k);
        else if (++k->x->n_over >= k->x->n_wanted)
                sg_loop_stop(k->x->loop);
}

static const struct sg_upcall_listener listener = {
        .on_sent = on_sent,
        .on_room = on_room,
        .on_head = on_head,
        .on_body = on_body,
        .on_trailers = on_trailers,
        .on_end = on_end,
        .on_failed = on_failed,
};

void call_start(struct caller *k, struct world *x)
{
        k->x = x;
        sg_buf_init(&k->body, SIZE_MAX);
        sg_buf_init(&k->trailers, SIZE_MAX);
        if (!k->request.method_text.p)
                k->request = (struct sg_upcall_request)GET_X;
        assert_int_equal(sg_upcall_new(&k->call, x->upstream, &x->endpoint, &k->request, &listener, k), 0);
        assert_int_equal(k->n_sent + k->n_heads + k->n_ends + k->n_failed, 0); /* never from inside */
}

void call_done(struct caller *k)
{
        k->call = sg_upcall_free(k->call);
        sg_buf_done(&k->body);
        sg_buf_done(&k->trailers);
}

void wait_for(struct world *x, unsigned n_over)
{
        x->n_wanted = n_over;
        if (x->n_over >= n_over)
                return;
        sg_timer_start(&x->limit, LIMIT_SEC * SG_USEC_PER_SEC);
        sg_loop_run(x->loop, SG_USEC_NEVER, NULL, NULL);
        sg_timer_stop(&x->limit);
}

void call_wait(struct caller *k)
{
        wait_for(k->x, k->x->n_over + 1);
}

void assert_answer(struct caller *k, unsigned status, const char *body)
{
        if (k->n_failed)
                fail_msg("fault %s: %s", sg_upstream_fault_name(k->fault), k->text);
        assert_int_equal(k->n_heads, 1);
        assert_int_equal(k->n_ends, 1);
        assert_int_equal(k->status, status);
        if (!sg_str_eq(sg_buf_view(&k->body), sg_str_from(body)))
                fail_msg("body \"" SG_STR_FMT "\", not \"%s\"", SG_STR_ARG(sg_buf_view(&k->body)), body);
}

void assert_fault(struct caller *k, enum sg_upstream_fault why)
{
        assert_int_equal(k->n_failed, 1);
        assert_int_equal(k->n_ends, 0);
        assert_string_equal(sg_upstream_fault_name(k->fault), sg_upstream_fault_name(why));
        assert_true(strlen(k->text) > 0);
}

struct sg_upstream_counts counts(struct world *x)
{
        struct sg_upstream_counts n;

        sg_upstream_get_counts(x->upstream, &n);
        return n;
}

/* ---- the world */

static void on_limit(struct sg_timer *t, void *owner)
{
        fail_msg("the call did not end within the time limit");
}

int world_setup(void **state)
{
        static struct world x;

        x = (struct world){.loop = NULL};
        assert_int_equal(sg_loop_new(&x.loop), 0);
        assert_int_equal(sg_timer_init(&x.limit, x.loop, on_limit, &x), 0);
        /* A server where nobody answers: names are known from literals and /etc/hosts only. */
        assert_int_equal(sg_resolver_new_with(
                                 &x.resolver, x.loop,
                                 &(struct sg_resolver_options){.servers = "127.0.0.1:1", .timeout_usec = 300 * MSEC}),
                         0);
        assert_int_equal(sg_upstream_new(&x.upstream, x.loop, x.resolver), 0);
        *state = &x;
        return 0;
}

void world_serve(struct world *x, const struct act *a, const struct act *b)
{
        x->script.connections[0] = a;
        x->script.connections[1] = b;
        script_start(&x->script);
        x->endpoint = (struct sg_endpoint){.host = SG_STR("127.0.0.1"),
                                           .port = ntohs(x->script.address.sin_port),
                                           .pool_key = SG_STR("test"),
                                           .connect_timeout_usec = 5 * SG_USEC_PER_SEC,
                                           .idle_timeout_usec = 60 * SG_USEC_PER_SEC,
                                           .pool_max = 4};
}

int world_teardown(void **state)
{
        struct world *x = *state;

        x->upstream = sg_upstream_free(x->upstream);
        sg_resolver_free(x->resolver);
        sg_timer_done(&x->limit);
        sg_loop_free(x->loop);
        sg_tls_trust_unref(x->trust);
        sg_tls_certificate_unref(x->endpoint.certificate);
        sg_secret_unref(x->endpoint.proxy_authorization);
        script_stop(&x->script);
        if (x->script.credentials)
                gnutls_certificate_free_credentials(x->script.credentials);
        return 0;
}

void wait_until_closed(struct world *x, unsigned n)
{
        while (atomic_load(&x->script.n_closed) < n)
                run_few_turns(x->loop);
        run_few_turns(x->loop);
}

int make_ca(void **state)
{
        test_ca_init(&ca, "Upstream test CA");
        return 0;
}

int drop_ca(void **state)
{
        test_ca_done(&ca);
        return 0;
}
