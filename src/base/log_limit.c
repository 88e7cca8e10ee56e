#include "base/log_limit.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/message_id.h"

#define MORE_MAX 4

void sg_log_limit_init(struct sg_log_limit *l, uint32_t lines_max, uint64_t interval_usec)
{
        SG_ASSERT(lines_max > 0 && interval_usec > 0);
        *l = (struct sg_log_limit){.lines_max = lines_max, .interval_usec = interval_usec};
}

bool sg_log_limit_take(struct sg_log_limit *l, uint64_t now_usec)
{
        if (l->n_lines == 0 || now_usec - l->since_usec >= l->interval_usec) {
                l->since_usec = now_usec;
                l->n_lines = 0;
        }
        if (l->n_lines < l->lines_max) {
                l->n_lines++;
                return true;
        }
        if (l->n_held++ == 0)
                l->held_since_usec = now_usec;
        return false;
}

uint64_t sg_log_limit_due(struct sg_log_limit *l, uint64_t now_usec)
{
        if (l->n_held == 0 || now_usec - l->held_since_usec < l->interval_usec)
                return 0;
        return sg_log_limit_rest(l);
}

uint64_t sg_log_limit_rest(struct sg_log_limit *l)
{
        uint64_t n = l->n_held;

        l->n_held = 0;
        return n;
}

void sg_log_held(enum sg_log_level level, const char *reason, uint64_t n, const struct sg_log_field *more,
                 size_t n_more)
{
        struct sg_log_field fields[2 + MORE_MAX];
        char count[24];

        SG_ASSERT(n_more <= MORE_MAX);
        if (!sg_log_wants(level))
                return;
        (void)snprintf(count, sizeof(count), "%" PRIu64, n);
        fields[0] = (struct sg_log_field){"SCRIBE_REASON", sg_str_from(reason)};
        fields[1] = (struct sg_log_field){"SCRIBE_COUNT", sg_str_from(count)};
        for (size_t i = 0; i < n_more; i++)
                fields[2 + i] = more[i];
        sg_log_line(level, SG_MESSAGE_ERRORS_SUMMED, fields, 2 + n_more,
                    "%" PRIu64 " more lines of this kind were counted instead of written", n);
}
