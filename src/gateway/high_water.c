#include "gateway/high_water.h"

#include <stdio.h>

#include "base/log.h"
#include "base/message_id.h"

#define HIGH_PERCENT 75u
#define LOW_PERCENT  50u
/* Below this a rate says nothing: records come in bursts, and the ledger takes them in bursts. */
#define TELLING_PERCENT 5u
#define MEASURE_USEC    SG_USEC_PER_SEC

static uint64_t percent_of(const struct sg_ring_fill *fill)
{
        return (fill->used_bytes + fill->kept_bytes) * 100 / fill->bytes;
}

/* Bytes a second, smoothed over some four seconds. */
static void measure(struct sg_worker *w, const struct sg_ring_fill *fill, uint64_t usec)
{
        int64_t gain = (int64_t)fill->used_bytes - (int64_t)w->fill_bytes;
        int64_t rate = gain * (int64_t)SG_USEC_PER_SEC / (int64_t)usec;
        uint64_t free_bytes = fill->bytes - SG_MIN(fill->bytes, fill->used_bytes + fill->kept_bytes), full_in_usec = 0;

        w->fill_bytes = fill->used_bytes;
        w->fill_rate += (rate - w->fill_rate) / 4;
        if (w->fill_rate > 0 && percent_of(fill) >= TELLING_PERCENT)
                full_in_usec = free_bytes / (uint64_t)w->fill_rate * SG_USEC_PER_SEC + 1;
        atomic_store_explicit(&w->full_in_usec, full_in_usec, memory_order_relaxed);
}

static void tell_high(const struct sg_worker *w, uint64_t percent)
{
        uint64_t full_in_usec = sg_high_water_full_in_usec(w);
        char rest[64] = "";

        if (full_in_usec)
                (void)snprintf(rest, sizeof(rest), "; full in %llu s at the present rate",
                               (unsigned long long)(full_in_usec / SG_USEC_PER_SEC));
        sg_log_notable(
                SG_LOG_WARNING, SG_MESSAGE_JOURNAL_HIGH,
                "the journal of worker %u fills up: %llu %% is taken, as the ledger does not keep up (its own log "
                "says why)%s",
                w->number, (unsigned long long)percent, rest);
}

void sg_high_water_look(struct sg_high_water *h, struct sg_worker **workers, size_t n_workers)
{
        uint64_t now = sg_clock_usec(), usec = now - h->measured_usec, most = 0;

        for (size_t i = 0; i < n_workers; i++) {
                struct sg_worker *w = workers[i];
                struct sg_ring_fill fill;

                sg_ring_get_fill(w->ring, &fill);
                if (usec >= MEASURE_USEC)
                        measure(w, &fill, usec);
                most = SG_MAX(most, percent_of(&fill));
                if (!h->is_high && percent_of(&fill) >= HIGH_PERCENT) {
                        h->is_high = true;
                        tell_high(w, percent_of(&fill));
                }
        }
        if (usec >= MEASURE_USEC)
                h->measured_usec = now;
        if (h->is_high && most < LOW_PERCENT) {
                h->is_high = false;
                sg_log_notable(SG_LOG_NOTICE, SG_MESSAGE_JOURNAL_LOW,
                               "the journal has room again: less than half of each worker's is taken");
        }
}

uint64_t sg_high_water_full_in_usec(const struct sg_worker *w)
{
        return atomic_load_explicit(&w->full_in_usec, memory_order_relaxed);
}
