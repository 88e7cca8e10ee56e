#include "base/service.h"

#include <errno.h>

void sg_service_ready(const char *status)
{
}

void sg_service_reloading(void)
{
}

void sg_service_status(const char *status)
{
}

void sg_service_stopping(const char *status)
{
}

void sg_service_failed(int error, const char *text)
{
}

void sg_service_watchdog(void)
{
}

uint64_t sg_service_watchdog_usec(void)
{
        return 0;
}

size_t sg_service_listen_fds(struct sg_service_fd *out, size_t n_max)
{
        return 0;
}

bool sg_service_is_unit(void)
{
        return false;
}

void sg_service_be_silent(bool is_silent)
{
}

void sg_service_hand_over(pid_t pid)
{
}

int sg_service_heir_init(struct sg_service_heir *h, const struct sg_service_fd *fds, size_t n_fds,
                         const char *const *more, size_t n_more)
{
        return -EOPNOTSUPP;
}

void sg_service_heir_set_pid(struct sg_service_heir *h, pid_t pid)
{
}

void sg_service_heir_done(struct sg_service_heir *h)
{
}
