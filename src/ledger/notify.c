#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "ledger/notify.h"

void sg_notify_ready(const char *status)
{
        (void)sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void sg_notify_stopping(void)
{
        (void)sd_notify(0, "STOPPING=1\nSTATUS=Writing what is left");
}

void sg_notify_alive(void)
{
        (void)sd_notify(0, "WATCHDOG=1");
}

uint64_t sg_notify_watchdog_usec(void)
{
        uint64_t usec = 0;

        return sd_watchdog_enabled(0, &usec) > 0 ? usec : 0;
}

int sg_notify_listen_fd(const char *name)
{
        char **names = NULL;
        int n = sd_listen_fds_with_names(1, &names), found = -1;

        for (int i = 0; i < n; i++) {
                int fd = SD_LISTEN_FDS_START + i;

                if (found < 0 && strcmp(names[i], name) == 0 && sd_is_socket_unix(fd, 0, 1, NULL, 0) > 0)
                        found = fd;
                else
                        (void)close(fd); /* nobody else here will accept on it */
                free(names[i]);
        }
        free(names);
        return found;
}
