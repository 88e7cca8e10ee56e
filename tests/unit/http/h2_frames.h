/*
 * h2_frames.h - frames of HTTP/2 byte by byte, and what stands in some, as text
 *
 * A list of fields is "name=value|name=value"; it becomes a block of literals without an index (RFC 7541 section 6.2.2).
 * Frames as text: H<id> heads, D<id>:<n> data, R<id>:<code> resets, G:<code> GOAWAY, S SETTINGS, P PING, W<id>:<n> windows,
 * C<id> continuation; "." behind one is END_STREAM, "a" an ACK.
 */
#pragma once

#include <stdlib.h>

#include <nghttp2/nghttp2.h>

#include "base/buf.h"

#define PREFACE_SETTINGS "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"

static inline void add(struct sg_buf *b, const void *p, size_t n)
{
        SG_ASSERT(sg_buf_add(b, sg_str_make(p, n)) == 0);
}

static inline void add_frame(struct sg_buf *b, uint8_t type, uint8_t flags, uint32_t id, struct sg_str payload)
{
        const uint8_t head[9] = {
                (uint8_t)(payload.n >> 16), (uint8_t)(payload.n >> 8), (uint8_t)payload.n, type,       flags,
                (uint8_t)(id >> 24),        (uint8_t)(id >> 16),       (uint8_t)(id >> 8), (uint8_t)id};

        add(b, head, sizeof(head));
        if (payload.n)
                add(b, payload.p, payload.n);
}

static inline void add_u32_frame(struct sg_buf *b, uint8_t type, uint32_t id, uint32_t v)
{
        const uint8_t payload[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

        add_frame(b, type, 0, id, sg_str_make(payload, sizeof(payload)));
}

static inline void add_hpack_string(struct sg_buf *b, struct sg_str s)
{
        size_t left = s.n;
        uint8_t byte = (uint8_t)SG_MIN(left, (size_t)127);

        add(b, &byte, 1);
        for (left -= byte; byte >= 127 && left >= 128; left >>= 7)
                add(b, &(uint8_t){(uint8_t)(left | 128)}, 1);
        if (s.n >= 127)
                add(b, &(uint8_t){(uint8_t)left}, 1);
        add(b, s.p, s.n);
}

static inline void add_block(struct sg_buf *b, struct sg_str fields)
{
        struct sg_str name, value;

        while (fields.n) {
                size_t at = 1;

                sg_str_cut(&fields, '|', &value);
                while (at < value.n && value.p[at] != '=')
                        at++;
                name = sg_str_head(value, at);
                add(b, "", 1);
                add_hpack_string(b, name);
                add_hpack_string(b, at < value.n ? sg_str_skip(value, at + 1) : SG_STR(""));
        }
}

/* HEADERS and, as far as needed, CONTINUATION. */
static inline void add_block_frames(struct sg_buf *b, uint32_t id, struct sg_str block, bool is_end)
{
        uint8_t type = NGHTTP2_HEADERS, flags = is_end;

        do {
                struct sg_str piece = sg_str_head(block, SG_MIN(block.n, (size_t)16384));

                block = sg_str_skip(block, piece.n);
                add_frame(b, type, block.n ? flags : flags | NGHTTP2_FLAG_END_HEADERS, id, piece);
                type = NGHTTP2_CONTINUATION;
                flags = 0;
        } while (block.n);
}

static inline void add_head(struct sg_buf *b, uint32_t id, struct sg_str fields, bool is_end)
{
        struct sg_buf block;

        sg_buf_init(&block, SIZE_MAX);
        add_block(&block, fields);
        add_block_frames(b, id, sg_buf_view(&block), is_end);
        sg_buf_done(&block);
}

static inline uint32_t frame_u32(const char *p)
{
        const uint8_t *u = (const uint8_t *)p;

        return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static inline void add_frame_text(struct sg_buf *text, uint8_t type, uint8_t flags, uint32_t id, struct sg_str payload)
{
        static const char letters[] = "DHpRSuPGWC";
        int r = sg_buf_printf(text, "%s%c", sg_buf_length(text) ? " " : "", type < 10 ? letters[type] : '?');

        if (!r && id)
                r = sg_buf_printf(text, "%u", id);
        if (!r && type == NGHTTP2_DATA)
                r = sg_buf_printf(text, ":%zu", payload.n);
        if (!r && (type == NGHTTP2_RST_STREAM || type == NGHTTP2_WINDOW_UPDATE))
                r = sg_buf_printf(text, ":%u", frame_u32(payload.p));
        if (!r && type == NGHTTP2_GOAWAY)
                r = sg_buf_printf(text, ":%u", frame_u32(payload.p + 4));
        if (!r && type <= NGHTTP2_HEADERS && (flags & NGHTTP2_FLAG_END_STREAM))
                r = sg_buf_printf(text, ".");
        if (!r && (type == NGHTTP2_SETTINGS || type == NGHTTP2_PING) && (flags & NGHTTP2_FLAG_ACK))
                r = sg_buf_printf(text, "a");
        SG_ASSERT(r == 0);
}

/* Takes the whole frames off `in`. */
static inline void read_frames(struct sg_buf *in, struct sg_buf *text)
{
        for (;;) {
                struct sg_str v = sg_buf_view(in);
                uint32_t n;

                if (v.n < 9)
                        return;
                n = frame_u32(v.p) >> 8;
                if (v.n < 9 + n)
                        return;
                add_frame_text(text, (uint8_t)v.p[3], (uint8_t)v.p[4], frame_u32(v.p + 5), sg_str_make(v.p + 9, n));
                sg_buf_take(in, 9 + n);
        }
}
