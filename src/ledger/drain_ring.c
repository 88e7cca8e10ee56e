#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/message_id.h"
#include "ledger/drain.h"
#include "ledger/drain_ring.h"

#define BATCH_BYTES_MAX ((size_t)SG_DRAIN_RECORDS_MAX * SG_RECORD_BYTES_MAX)
#define CLOCK_EVERY     64u

/* ---- text */

static bool is_control(const char *p, size_t n, bool spaces_too)
{
        unsigned char c = (unsigned char)p[0];

        if (n == 2)
                return c == 0xc2 && (unsigned char)p[1] < 0xa0; /* U+0080 to U+009F move cursors, too */
        if (n > 1)
                return false;
        if (spaces_too && (c == '\n' || c == '\t' || c == '\r'))
                return false;
        return c < 0x20 || c == 0x7f;
}

/* Copies s to *at when it must change. */
static void clean_text(struct sg_str *s, char **at, bool spaces_too)
{
        char *out = *at;
        bool has_changed = false;

        for (size_t i = 0; i < s->n;) {
                size_t n = sg_str_utf8_first(sg_str_skip(*s, i));

                if (n == 0 || is_control(s->p + i, n, spaces_too)) {
                        n = n ? n : 1;
                        memset(out + i, '?', n);
                        has_changed = true;
                } else
                        memcpy(out + i, s->p + i, n);
                i += n;
        }
        if (!has_changed)
                return;
        s->p = out;
        *at += s->n;
}

/* Text from clients and providers, on its way to terminals: bytes that are not UTF-8 and control characters become
 * '?'. */
void sg_drain_clean(struct sg_record *rec, char scratch[SG_RECORD_BYTES_MAX])
{
        struct sg_str *const texts[] = {&rec->request_id, &rec->key_name,       &rec->operation,  &rec->model,
                                        &rec->provider,   &rec->upstream_model, &rec->credential, &rec->reason};
        char *at = scratch;

        for (size_t i = 0; i < SG_N_ELEMENTS(texts); i++)
                clean_text(texts[i], &at, false);
        clean_text(&rec->raw_usage, &at, true);
}

/* ---- the batch */

void sg_batch_init(struct batch *b)
{
        *b = (struct batch){};
        sg_buf_init(&b->bytes, BATCH_BYTES_MAX);
}

void sg_batch_done(struct batch *b)
{
        free(b->opens);
        sg_buf_done(&b->bytes);
}

static int begin_once(struct batch *b, struct sg_error *err)
{
        int r;

        if (b->is_begun)
                return 0;
        r = sg_store_begin(b->store, err);
        if (!r)
                b->is_begun = true;
        return r;
}

static void forget_opens(struct batch *b)
{
        b->n_opens = 0;
        sg_buf_clear(&b->bytes);
}

/* Keeps an open record until the batch shows whether it is closed in it: most are, and then never touch the database.
 */
static int keep_open(struct batch *b, const struct sg_record *rec, struct sg_error *err)
{
        struct batch_open *opens;
        char *out = NULL;
        size_t n = 0;

        if (b->n_opens == b->room_opens) {
                size_t room = b->room_opens ? 2 * b->room_opens : 256;

                opens = realloc(b->opens, room * sizeof(*opens));
                if (!opens)
                        return sg_error_set(err, -ENOMEM, "", "out of memory");
                b->opens = opens;
                b->room_opens = room;
        }
        if (sg_buf_reserve(&b->bytes, SG_RECORD_BYTES_MAX, &out) != 0)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        if (sg_record_encode(rec, out, SG_RECORD_BYTES_MAX, &n) != 0)
                SG_UNREACHABLE(); /* it was decoded from as much */
        b->opens[b->n_opens++] = (struct batch_open){.exchange = rec->exchange, .at = sg_buf_length(&b->bytes), .n = n};
        sg_buf_added(&b->bytes, n);
        return 0;
}

static struct batch_open *find_open(struct batch *b, uint64_t exchange)
{
        size_t low = 0, high = b->n_opens;

        while (low < high) {
                size_t mid = low + (high - low) / 2;

                if (b->opens[mid].exchange < exchange)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low < b->n_opens && b->opens[low].exchange == exchange ? &b->opens[low] : NULL;
}

/* ---- records */

/* What an exchange has used when nobody saw its end: nothing is known but the request's size. */
static int add_cut_off(struct batch *b, const char *ring, const struct sg_record *open, struct sg_error *err)
{
        struct sg_record rec = *open;

        rec.kind = SG_RECORD_CLOSE;
        rec.outcome = SG_OUTCOME_CUT_OFF;
        rec.certainty = SG_RECORD_CERTAINTY_ESTIMATED;
        rec.input_tokens = rec.prompt_bytes / 4 + (rec.prompt_bytes % 4 != 0); /* as sg_usage_guess() does */
        return sg_store_usage_add(b->store, ring, &rec, err);
}

int sg_drain_settle(struct batch *b, const char *ring, struct sg_error *err)
{
        struct sg_record rec;
        uint64_t after = 0;
        int r;

        while ((r = sg_store_open_next(b->store, ring, after, &rec, err)) == 0) {
                after = rec.exchange;
                r = begin_once(b, err);
                if (!r)
                        r = add_cut_off(b, ring, &rec, err);
                if (!r)
                        r = sg_store_open_drop(b->store, ring, after, err);
                if (r)
                        return r;
        }
        return r > 0 ? 0 : r;
}

static int settle_batch(struct batch *b, struct ring_file *f, bool is_end, struct sg_error *err)
{
        int r = 0;

        for (size_t i = 0; i < b->n_opens && !r; i++) {
                struct sg_str bytes = sg_str_make(sg_buf_view(&b->bytes).p + b->opens[i].at, b->opens[i].n);
                struct sg_record rec;

                if (b->opens[i].is_closed)
                        continue;
                if (sg_record_decode(&rec, bytes.p, bytes.n) != 0)
                        SG_UNREACHABLE();
                r = begin_once(b, err);
                if (!r)
                        r = is_end ? add_cut_off(b, f->id, &rec, err) : sg_store_open_add(b->store, f->id, &rec, err);
        }
        return r;
}

static int take_close(struct batch *b, struct ring_file *f, const struct sg_record *rec, struct sg_error *err)
{
        struct batch_open *open = find_open(b, rec->exchange);
        int r;

        r = begin_once(b, err);
        if (!r)
                r = sg_store_usage_add(b->store, f->id, rec, err);
        if (r)
                return r;
        if (!open)
                return sg_store_open_drop(b->store, f->id, rec->exchange, err);
        open->is_closed = true;
        return 0;
}

static void count_lost(struct ring_file *f, uint64_t n)
{
        f->next.n_lost += n;
        if (!f->is_told)
                sg_log_notable(SG_LOG_ERR, SG_MESSAGE_RING_DAMAGED,
                               "ring %s is damaged behind record %" PRIu64 " (offset %" PRIu64 "): %" PRIu64
                               " records cannot be read; the file will be kept as %s" SG_RING_SUFFIX ".bad",
                               f->id, f->next.sequence, f->next.offset, n, f->id);
        f->is_told = true;
}

static int take(struct batch *b, struct ring_file *f, struct sg_record *rec, uint64_t sequence, struct sg_error *err)
{
        bool is_open = rec->kind == SG_RECORD_OPEN;

        /* An open record names itself, a close record an earlier one: the writer's rule, and the bytes may be
         * anybody's. */
        if (is_open ? rec->exchange != sequence : rec->exchange == 0 || rec->exchange >= sequence) {
                count_lost(f, 1);
                return 0;
        }
        sg_drain_clean(rec, b->scratch);
        return is_open ? keep_open(b, rec, err) : take_close(b, f, rec, err);
}

/* ---- damage */

/* At a place where no frame is: is that the end, or damage with records behind it? While the writer lives, a place must
 * look broken in two rounds: with weak memory order the copy may be older than its parts. */
static bool step_over(struct ring_file *f, int e, bool is_orphan)
{
        uint64_t written = sg_ring_reader_written(f->reader), lost = 0;

        sg_ring_reader_position(f->reader, &f->next.sequence, &f->next.offset);
        if (e == SG_RING_E_END && written <= f->next.sequence)
                return false;
        if (!is_orphan && f->stuck_sequence != f->next.sequence + 1) {
                f->stuck_sequence = f->next.sequence + 1;
                return false;
        }
        if (f->searched_sequence == f->next.sequence + 1 && f->searched_written == written)
                return false;
        f->searched_sequence = f->next.sequence + 1;
        f->searched_written = written;
        if (sg_ring_reader_resync(f->reader, &lost) == 0) {
                count_lost(f, lost);
                return true;
        }
        if (is_orphan && written > f->next.sequence)
                sg_warning("the last %" PRIu64 " records of ring %s did not reach the disk before the power went",
                           written - f->next.sequence, f->id);
        return false;
}

/* ---- one ring */

static int read_on(struct batch *b, struct ring_file *f, bool is_orphan, struct sg_error *err)
{
        struct sg_record rec;
        uint64_t sequence;
        int r = 0, e;

        f->has_more = f->has_failed = false;
        while (!r) {
                if (b->n_left == 0 || (b->n_left % CLOCK_EVERY == 0 && sg_clock_usec() >= b->until_usec)) {
                        f->has_more = true;
                        break;
                }
                b->n_left--;
                e = sg_ring_reader_next(f->reader, &rec, &sequence);
                if (e == 0) {
                        r = take(b, f, &rec, sequence, err);
                } else if (e == SG_RING_E_BAD) {
                        sg_ring_reader_position(f->reader, &f->next.sequence, &f->next.offset);
                        count_lost(f, 1);
                } else if (e < 0) {
                        if (!f->is_told)
                                sg_err("cannot read ring %s: %s; it is tried again", f->id, strerror(-e));
                        f->is_told = f->has_failed = true;
                        break;
                } else if (!step_over(f, e, is_orphan))
                        break;
        }
        return r;
}

int sg_drain_ring(struct batch *b, struct ring_file *f, struct sg_error *err)
{
        /* Asked before reading: what an orphan's end is then stays its end. */
        bool is_orphan = sg_ring_reader_is_orphan(f->reader), is_end;
        int r;

        forget_opens(b);
        r = read_on(b, f, is_orphan, err);
        is_end = is_orphan && !f->has_more && !f->has_failed;
        if (!r)
                r = settle_batch(b, f, is_end, err);
        if (!r && is_end)
                r = sg_drain_settle(b, f->id, err);
        if (r)
                return r;
        sg_ring_reader_position(f->reader, &f->next.sequence, &f->next.offset);
        f->next.is_finished = is_end;
        if (f->next.sequence == f->committed.sequence && f->next.n_lost == f->committed.n_lost &&
            f->next.is_finished == f->committed.is_finished)
                return 0;
        r = begin_once(b, err);
        if (!r)
                r = sg_store_ring_put(b->store, &f->next, err);
        if (!r)
                f->has_changed = true;
        return r;
}
