/*
 * The request's body on its way to a service. A short one is held; a longer one goes on piece by piece as soon as there is
 * a connection, and when that takes less than the client gives, the client is paused.
 *
 * One timer serves both sides, since only one of them is waited for at a time: the client, while its body is open and it
 * is not paused; else the service. In a tunnel, and where both sides talk, any byte of either side restarts it.
 */
#include "gateway/service.h"

static void fail(struct sg_exchange *x, enum sg_failure f)
{
        sg_exchange_fail(x, f, NULL);
        sg_exchange_drop_upstream(x);
        sg_exchange_finish(x);
}

bool sg_service_waits_for_client(const struct sg_exchange *x)
{
        return !x->serving->is_held && !x->is_body_whole && !x->serving->is_client_paused && !x->has_begun;
}

static void feed_timer(struct sg_exchange *x)
{
        const struct sg_config_service *c = x->serving->service->config;

        if (x->stage < SG_STAGE_SEND || x->is_paused)
                return;
        sg_timer_start(&x->timer, x->is_body_whole && !x->has_progress ? c->first_byte_timeout_usec
                                                                       : c->between_bytes_timeout_usec);
}

static void pause_client(struct sg_exchange *x)
{
        x->serving->is_client_paused = true;
        sg_client_pause_body(x->client);
        feed_timer(x);
}

static void resume_client(struct sg_exchange *x)
{
        if (!x->serving->is_client_paused)
                return;
        x->serving->is_client_paused = false;
        sg_client_resume_body(x->client);
        feed_timer(x);
}

static void hold(struct sg_exchange *x, struct sg_str bytes)
{
        if (sg_buf_add(&x->asked->body, bytes))
                fail(x, SG_FAIL_INTERNAL);
        else if (!sg_exchange_charge(x, bytes.n))
                fail(x, SG_FAIL_BODIES_FULL);
}

/* What is small enough is kept until the answer begins: a server that ends its connection just now has not taken it. While
 * the call is between two connections everything is, as it will ask for all of it; the client is paused then. */
static void keep(struct sg_exchange *x, struct sg_str bytes)
{
        struct sg_serving *s = x->serving;

        if (!s->keeps)
                return;
        if (sg_buf_length(&s->pending) + bytes.n > SG_SERVICE_KEPT_BYTES_MAX && sg_upcall_forbid_resend(x->upcall))
                sg_service_keep_no_more(x);
        else if (sg_buf_add(&s->pending, bytes))
                fail(x, SG_FAIL_INTERNAL);
}

void sg_service_keep_no_more(struct sg_exchange *x)
{
        x->serving->keeps = false;
        sg_buf_done(&x->serving->pending);
}

static void stream(struct sg_exchange *x, struct sg_str bytes)
{
        struct sg_serving *s = x->serving;

        feed_timer(x);
        if (s->has_room) {
                keep(x, bytes);
                if (x->stage >= SG_STAGE_ACCOUNT)
                        return;
                sg_upcall_send(x->upcall, &bytes, 1, false);
                if (sg_upcall_is_full(x->upcall))
                        pause_client(x);
                return;
        }
        if (sg_buf_add(&s->pending, bytes))
                fail(x, SG_FAIL_INTERNAL);
        else if (sg_buf_length(&s->pending) > SG_SERVICE_HELD_BYTES_MAX)
                pause_client(x);
}

void sg_service_body(struct sg_exchange *x, struct sg_str bytes)
{
        struct sg_serving *s = x->serving;

        if (x->upcall_is_over)
                return; /* the answer is whole, and nobody wants the rest */
        s->n_taken += bytes.n;
        if (s->n_taken > sg_exchange_body_bytes_max(x) && !s->is_tunnel)
                fail(x, SG_FAIL_BODY_TOO_LARGE);
        else if (!s->is_held || s->is_tunnel)
                stream(x, bytes);
        else if (x->asked)
                hold(x, bytes);
}

void sg_service_body_end(struct sg_exchange *x)
{
        struct sg_serving *s = x->serving;

        if (s->is_held && !s->is_tunnel)
                return;
        resume_client(x);
        feed_timer(x);
        if (!s->has_room || s->has_given_last || x->upcall_is_over)
                return;
        s->has_given_last = true;
        sg_upcall_send(x->upcall, NULL, 0, true);
}

void sg_service_room(struct sg_exchange *x)
{
        struct sg_serving *s = x->serving;
        struct sg_str waiting = sg_buf_view(&s->pending);

        if (s->is_held && !s->is_tunnel)
                return;
        s->has_room = true;
        if (sg_upcall_n_given(x->upcall) == 0 && (waiting.n || x->is_body_whole)) {
                /* the first time, or once more on another connection */
                s->has_given_last = x->is_body_whole;
                sg_upcall_send(x->upcall, &waiting, waiting.n ? 1 : 0, x->is_body_whole);
                if (!s->keeps)
                        sg_buf_done(&s->pending); /* of a tunnel */
        }
        feed_timer(x);
        if (!sg_upcall_is_full(x->upcall))
                resume_client(x);
}
