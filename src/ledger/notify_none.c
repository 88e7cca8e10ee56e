#include "ledger/notify.h"

void sg_notify_ready(const char *status)
{
}

void sg_notify_stopping(void)
{
}

void sg_notify_alive(void)
{
}

uint64_t sg_notify_watchdog_usec(void)
{
        return 0;
}

int sg_notify_listen_fd(const char *name)
{
        return -1;
}
