/* Any bytes as a stream: no byte lost, added or moved (sse_split.h); the same events in one piece, in three, and byte
 * by byte. */
#include "../../unit/http/sse_split.h"
#include "split.h"

static void feed_all(struct sse_split *s, struct sg_str in, size_t a, size_t b, size_t step)
{
        sse_split_init(s, 0);
        sse_split_feed(s, sg_str_head(in, a));
        sse_split_feed(s, sg_str_make(in.p + a, b - a));
        for (size_t at = b; at < in.n; at += step)
                sse_split_feed(s, sg_str_make(in.p + at, SG_MIN(step, in.n - at)));
        sse_split_end(s, in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const uint64_t hash = split_hash(data, size);
        const size_t a = hash % (size + 1), b = a + (hash >> 20) % (size - a + 1);
        const struct sg_str in = sg_str_make(data ? data : (const uint8_t *)"", size);
        struct sse_split whole, pieces, bytes;

        feed_all(&whole, in, 0, size, 1);
        feed_all(&pieces, in, a, b, size + 1);
        feed_all(&bytes, in, 0, 0, 1);
        SG_ASSERT(sg_str_eq(sg_buf_view(&whole.text), sg_buf_view(&pieces.text)));
        SG_ASSERT(sg_str_eq(sg_buf_view(&whole.text), sg_buf_view(&bytes.text)));
        sse_split_done(&whole);
        sse_split_done(&pieces);
        sse_split_done(&bytes);
        return 0;
}
