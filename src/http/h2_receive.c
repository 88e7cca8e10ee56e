/*
 * Bytes in. They are cut into frames before nghttp2 has them, for two reasons: every frame is charged (h2_abuse.c), also
 * those that nghttp2 drops without a word; and a frame of a message that nghttp2 refuses by itself (an end before the
 * declared length, say) is noticed at its end, by that nothing was told of it, so that the owner hears of it inside of
 * sg_h2_receive() and not when the RST_STREAM goes out.
 */
#include <errno.h>

#include "http/h2_internal.h"

static int give(struct sg_h2 *h, struct sg_str bytes)
{
        ssize_t n = nghttp2_session_mem_recv(h->session, (const uint8_t *)bytes.p, bytes.n);

        return h2_result(h, n < 0 ? (int)n : 0);
}

static uint32_t read_u32(const uint8_t *p)
{
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool is_of_message(uint8_t type)
{
        return type == NGHTTP2_DATA || type == NGHTTP2_HEADERS || type == NGHTTP2_CONTINUATION;
}

/* The frame is over. nghttp2 told of it, or refused it and what it belongs to. */
static void end_frame(struct sg_h2 *h)
{
        const struct h2_cutter *c = &h->cutter;
        struct sg_h2_stream *s;

        if (!h->awaited || (c->type != NGHTTP2_DATA && !(c->flags & NGHTTP2_FLAG_END_HEADERS)))
                return;
        s = h2_stream_of(h, h->awaited);
        h->awaited = 0;
        h2_charge(h, s ? H2_COST_MALFORMED : c->n_bytes < H2_DATA_BYTES_SMALL ? 1 : 0);
        if (s)
                h2_lose(s, SG_H2_RESET_PROTOCOL);
}

/* A frame that goes beyond the declared length is refused as a whole. nghttp2 would tell of what comes in pieces until it
 * is too much. */
static void check_length(struct sg_h2 *h, uint32_t n)
{
        struct sg_h2_stream *s = h2_stream_of(h, h->cutter.id);

        if (s && s->has_length && n > s->n_left)
                h2_refuse(h, s->id, NGHTTP2_PROTOCOL_ERROR);
}

static void check_padded_length(struct sg_h2 *h, uint8_t n_padding)
{
        h->cutter.is_padding_due = false;
        if (n_padding < h->cutter.n_bytes)
                check_length(h, h->cutter.n_bytes - 1 - n_padding);
}

static int begin_frame(struct sg_h2 *h)
{
        struct h2_cutter *c = &h->cutter;

        c->n_head = 0;
        c->n_left = read_u32(c->head) >> 8;
        c->type = c->head[3];
        c->flags = c->head[4];
        c->id = (int32_t)(read_u32(c->head + 5) & INT32_MAX);
        h->awaited = is_of_message(c->type) ? c->id : 0;
        c->n_bytes = c->n_left;
        c->is_padding_due = c->type == NGHTTP2_DATA && (c->flags & NGHTTP2_FLAG_PADDED) && c->n_left;
        if (c->type == NGHTTP2_DATA && !(c->flags & NGHTTP2_FLAG_PADDED))
                check_length(h, c->n_left);
        return h2_judge_frame(h);
}

static struct sg_str cut(struct sg_str *bytes, size_t n)
{
        struct sg_str piece = sg_str_head(*bytes, SG_MIN(n, bytes->n));

        *bytes = sg_str_skip(*bytes, piece.n);
        return piece;
}

/* Up to the end of a frame, of its head, or of the bytes. */
static int take_piece(struct sg_h2 *h, struct sg_str *bytes)
{
        struct h2_cutter *c = &h->cutter;
        struct sg_str piece;
        int r;

        if (c->n_preface_left) {
                piece = cut(bytes, c->n_preface_left);
                c->n_preface_left -= (unsigned)piece.n;
                return give(h, piece);
        }
        if (c->n_left) {
                if (c->is_padding_due)
                        check_padded_length(h, (uint8_t)bytes->p[0]);
                piece = cut(bytes, c->n_left);
                c->n_left -= (uint32_t)piece.n;
        } else {
                piece = cut(bytes, H2_FRAME_HEAD_BYTES - c->n_head);
                memcpy(c->head + c->n_head, piece.p, piece.n);
                c->n_head += (unsigned)piece.n;
                if (c->n_head < H2_FRAME_HEAD_BYTES)
                        return 0;
                r = begin_frame(h);
                if (r)
                        return r;
                piece = sg_str_make(c->head, sizeof(c->head));
        }
        r = give(h, piece);
        if (!r && c->n_left == 0)
                end_frame(h);
        return r ? r : h->failure;
}

static void fail(struct sg_h2 *h, int r)
{
        h->failure = r;
        if (r == -ENOMEM)
                return;
        h2_submitted(h, nghttp2_session_terminate_session(h->session, r == SG_H2_E_ABUSE ? NGHTTP2_ENHANCE_YOUR_CALM
                                                                                         : NGHTTP2_PROTOCOL_ERROR));
}

int sg_h2_receive(struct sg_h2 *h, struct sg_str bytes)
{
        int r = h->failure;

        SG_ASSERT(!h->is_inside);
        if (r)
                return r;
        h->is_inside = true;
        while (bytes.n && !r)
                r = take_piece(h, &bytes);
        if (r)
                fail(h, r);
        h->is_inside = false;
        return h->failure;
}
