#include "base/service.h"

void sg_service_ready(const char *status)
{
}

void sg_service_reloading(void)
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
