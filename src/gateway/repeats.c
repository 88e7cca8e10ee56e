#include "gateway/repeats.h"

#include <stdio.h>

void sg_repeats_init(struct sg_repeats *r)
{
        r->has_held = false;
        for (unsigned f = 0; f < SG_FAIL_N; f++)
                sg_log_limit_init(&r->of[f], SG_REPEATS_LINES_MAX, SG_REPEATS_INTERVAL_USEC);
        sg_log_limit_init(&r->connections_full, 1, SG_REPEATS_INTERVAL_USEC);
}

bool sg_repeats_take(struct sg_repeats *r, enum sg_failure f, uint64_t now_usec)
{
        SG_ASSERT(f < SG_FAIL_N);
        if (f == SG_FAIL_NONE || sg_log_limit_take(&r->of[f], now_usec))
                return true;
        r->has_held = true;
        return false;
}

static void tell(enum sg_failure f, unsigned worker, uint64_t n)
{
        struct sg_log_field more;
        char number[16];

        (void)snprintf(number, sizeof(number), "%u", worker);
        more = (struct sg_log_field){"SCRIBE_WORKER", sg_str_from(number)};
        sg_log_held(sg_failure_row(f)->level, sg_failure_name(f), n, &more, 1);
}

void sg_repeats_tell(struct sg_repeats *r, unsigned worker, uint64_t now_usec, bool is_last)
{
        if (SG_LIKELY(!r->has_held))
                return;
        r->has_held = false;
        for (unsigned f = 0; f < SG_FAIL_N; f++) {
                uint64_t n = is_last ? sg_log_limit_rest(&r->of[f]) : sg_log_limit_due(&r->of[f], now_usec);

                if (n)
                        tell((enum sg_failure)f, worker, n);
                r->has_held = r->has_held || r->of[f].n_held > 0;
        }
}
