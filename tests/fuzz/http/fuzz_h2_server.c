/* Any bytes as a client's side of an HTTP/2 connection: the owner is told the same, and the same frames answer, however
 * they are cut; and, with frames produced and answers given in between, everything that was tied comes to an end. */
#include "../../unit/http/h2_owner.h"
#include "h2_run.h"
#include "split.h"

static void answer(struct owner *o, struct exchange *e)
{
        const struct sg_str piece = SG_STR("an answer's piece");

        if (e->stream.id % 8 == 7) {
                sg_h2_untie(&e->stream, SG_H2_RESET_CANCEL);
                return;
        }
        SG_ASSERT(sg_h2_send_head(&e->stream, 200, SG_STR("Content-Type: a\r\n"), e->stream.id % 8 == 1, piece.n,
                                  e->stream.id % 8 == 3) == 0);
        if (e->stream.id % 8 != 3)
                SG_ASSERT(sg_h2_send_body(&e->stream, &piece, 1, e->stream.id % 8 == 1) == 0);
        if (e->stream.id % 8 == 5)
                SG_ASSERT(sg_h2_send_trailers(&e->stream, SG_STR("A: b\r\nHost: c\r\n")) == 0);
}

static int run(struct owner *o, struct sg_str in, size_t piece)
{
        int r, produced;

        owner_init_with(o, &owner_limits, &owner_events_all);
        o->on_end = answer;
        r = owner_receive(o, in, piece);
        SG_ASSERT(r >= 0);
        produced = owner_produce(o);
        SG_ASSERT(produced >= 0 && (produced == 0 || sg_h2_is_over(o->h)));
        SG_ASSERT(sg_buf_length(&o->out) == 0); /* whole frames only */
        drop_windows(&o->frames);
        return r ? r : produced;
}

static void run_in_turns(struct sg_str in, size_t piece)
{
        struct owner o;

        owner_init_with(&o, &owner_limits, &owner_events_all);
        o.on_end = answer;
        while (in.n) {
                struct sg_str one = sg_str_head(in, SG_MIN(piece, in.n));

                in = sg_str_skip(in, one.n);
                if (owner_receive(&o, one, SIZE_MAX) || owner_produce(&o))
                        break;
                if (split_hash((const uint8_t *)one.p, one.n) % 64 == 0)
                        sg_h2_drain(o.h);
        }
        SG_ASSERT(owner_produce(&o) >= 0);
        owner_done(&o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const struct sg_str in = sg_str_make(data, size);
        struct owner whole, cut;
        int r;

        r = run(&whole, in, SIZE_MAX);
        SG_ASSERT(run(&cut, in, 1 + split_hash(data, size) % 40) == r);
        SG_ASSERT(sg_str_eq(sg_buf_view(&whole.text), sg_buf_view(&cut.text)));
        SG_ASSERT(sg_str_eq(sg_buf_view(&whole.frames), sg_buf_view(&cut.frames)));
        owner_done(&whole);
        owner_done(&cut);
        run_in_turns(in, 1 + split_hash(data, size) % 97);
        return 0;
}
