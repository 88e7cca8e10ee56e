#include <errno.h>

#include "base/log_internal.h"

bool sg_log_journal_is_built(void)
{
        return false;
}

int sg_log_journal_write(const struct sg_log_record *r)
{
        return -EOPNOTSUPP;
}
