/* Any bytes as a server's side of an HTTP/2 connection on which four requests wait: their owner is told the same, and the
 * same frames answer, however they are cut; and, with frames produced and more asked for in between, everything that was
 * opened comes to an end. */
#include "../../unit/http/h2_asker.h"
#include "h2_run.h"
#include "split.h"

/* The streams 1, 3 (HEAD), 5 (its body goes on) and 7. */
static void begin(struct asker *a)
{
        asker_init(a);
        ask_for(a, "GET", true);
        ask_for(a, "HEAD", true);
        SG_ASSERT(sg_h2_send_body(&ask_for(a, "POST", false)->stream, &SG_STR("a piece"), 1, false) == 0);
        ask_for(a, "GET", true);
        SG_ASSERT(asker_produce(a) == 0);
}

static int run(struct asker *a, struct sg_str in, size_t piece)
{
        int r, produced;

        begin(a);
        r = asker_receive(a, in, piece);
        SG_ASSERT(r >= 0);
        produced = asker_produce(a);
        SG_ASSERT(produced >= 0 && (produced == 0 || (sg_h2_is_over(a->h) && sg_h2_room(a->h) == 0)));
        SG_ASSERT(sg_buf_length(&a->out) == 0); /* whole frames only */
        drop_windows(&a->frames);
        return r ? r : produced;
}

/* What a stream may do next, by the input. */
static void act(struct asker *a, uint64_t hash)
{
        struct asked *q = asker_nth(a, hash % a->asked.n);
        const bool may_send = q->stream.h2 && !q->stream.is_last_given;

        if (hash % 7 == 0 && sg_h2_room(a->h))
                (void)ask_for(a, "POST", hash % 2);
        else if (hash % 7 == 1)
                sg_h2_untie(&q->stream, SG_H2_RESET_CANCEL);
        else if (hash % 7 == 2 && may_send)
                SG_ASSERT(sg_h2_send_trailers(&q->stream, SG_STR("A: b\r\n")) == 0);
        else if (hash % 7 < 6 && may_send)
                SG_ASSERT(sg_h2_send_body(&q->stream, &SG_STR("more"), 1, hash % 7 == 5) == 0);
        else if (hash % 61 == 6)
                sg_h2_drain(a->h);
}

static void run_in_turns(struct sg_str in, size_t piece)
{
        struct asker a;

        begin(&a);
        while (in.n) {
                struct sg_str one = sg_str_head(in, SG_MIN(piece, in.n));

                in = sg_str_skip(in, one.n);
                if (asker_receive(&a, one, SIZE_MAX))
                        break;
                act(&a, split_hash((const uint8_t *)one.p, one.n));
                if (asker_produce(&a))
                        break;
        }
        SG_ASSERT(asker_produce(&a) >= 0);
        SG_LIST_EACH (&a.asked, k) {
                const struct asked *q = SG_CONTAINER(k, struct asked, link);

                SG_ASSERT(!q->is_reset || !q->stream.h2);
        }
        asker_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const struct sg_str in = sg_str_make(data, size);
        struct asker whole, cut;
        int r;

        r = run(&whole, in, SIZE_MAX);
        SG_ASSERT(run(&cut, in, 1 + split_hash(data, size) % 40) == r);
        SG_ASSERT(sg_str_eq(sg_buf_view(&whole.text), sg_buf_view(&cut.text)));
        SG_ASSERT(sg_str_eq(sg_buf_view(&whole.frames), sg_buf_view(&cut.frames)));
        asker_done(&whole);
        asker_done(&cut);
        run_in_turns(in, 1 + split_hash(data, size) % 97);
        return 0;
}
