/*
 * What a peer may ask for and give nothing. HTTP/2 has many frames that are allowed, cost their sender a few bytes, and
 * make work here: a stream opened and reset (CVE-2023-44487), CONTINUATION without end (CVE-2024-27316), empty DATA, PING
 * and SETTINGS that want an answer, windows opened byte by byte (CVE-2019-9511 to 9518). Instead of a limit for each,
 * every frame costs one, some a little more, and real work pays back: bytes of bodies, whole answers, frames of data that
 * were sent as large as they could be. Who owes more than H2_IDLE_MAX is cut off with ENHANCE_YOUR_CALM. A client that
 * works never comes near it; one that only pings now and then is forgiven by the clock of the owner (sg_h2_forgive()).
 *
 * What is held is bounded by that, too: an answer or RST_STREAM that waits to be sent was asked for by a frame.
 */
#include "http/h2_internal.h"

#define H2_IDLE_MAX          2000u
#define H2_CONTINUATIONS_MAX 8u   /* a head of 64 KiB needs 4; nghttp2 gives up after as many where it counts */
#define H2_BYTES_PER_FRAME   256u /* of a body, that pay for one */
#define H2_FIELDS_TIMES_MAX  4u   /* the limit of a head: up to here it is answered, with 431 */

void h2_charge(struct sg_h2 *h, unsigned n)
{
        h->n_idle += n;
}

void h2_pay(struct sg_h2 *h, unsigned n_frames, size_t n_bytes)
{
        h->n_paid_bytes += (uint32_t)n_bytes;
        n_frames += h->n_paid_bytes / H2_BYTES_PER_FRAME;
        h->n_paid_bytes %= H2_BYTES_PER_FRAME;
        h->n_idle -= SG_MIN(h->n_idle, n_frames);
}

int h2_judge_frame(struct sg_h2 *h)
{
        struct h2_cutter *c = &h->cutter;

        if (c->type != NGHTTP2_DATA || c->n_left == 0)
                h2_charge(h, 1);
        if (c->type == NGHTTP2_RST_STREAM)
                h2_charge(h, H2_COST_RESET);
        if (c->type == NGHTTP2_SETTINGS)
                h2_charge(h, H2_COST_SETTINGS);
        if (c->type == NGHTTP2_PUSH_PROMISE)
                h2_charge(h, H2_COST_MALFORMED); /* by a server that has not read our SETTINGS yet: it is reset */
        c->n_continuations = c->type == NGHTTP2_CONTINUATION ? c->n_continuations + 1 : 0;
        return h->n_idle > H2_IDLE_MAX || c->n_continuations > H2_CONTINUATIONS_MAX ? SG_H2_E_ABUSE : 0;
}

/* A few bytes of HPACK may name thousands of a table again and again. */
int h2_judge_fields(const struct sg_h2 *h)
{
        return h->fields.n_bytes > H2_FIELDS_TIMES_MAX * h->limits.head_bytes ||
                               h->fields.n > H2_FIELDS_TIMES_MAX * SG_HEADERS_MAX
                       ? SG_H2_E_ABUSE
                       : 0;
}

void sg_h2_forgive(struct sg_h2 *h, unsigned n_frames)
{
        h2_pay(h, n_frames, 0);
}
