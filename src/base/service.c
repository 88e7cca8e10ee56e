#include "base/service.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"

void sg_service_ready(const char *status)
{
        sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void sg_service_reloading(void)
{
        sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=Reading the configuration", sg_clock_usec());
}

void sg_service_stopping(const char *status)
{
        sd_notifyf(0, "STOPPING=1\nSTATUS=%s", status);
}

void sg_service_failed(int error, const char *text)
{
        sd_notifyf(0, "STATUS=%s\nERRNO=%d", text, error < 0 ? -error : error);
}

void sg_service_watchdog(void)
{
        sd_notify(0, "WATCHDOG=1");
}

uint64_t sg_service_watchdog_usec(void)
{
        uint64_t usec = 0;

        return sd_watchdog_enabled(0, &usec) > 0 ? usec : 0;
}

/* systemd hands sockets over blocking unless the unit says NonBlocking=yes; several workers accept from one. */
static bool is_usable(int fd)
{
        int flags = fcntl(fd, F_GETFL);

        return sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) > 0 && flags >= 0 &&
               fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

size_t sg_service_listen_fds(struct sg_service_fd *out, size_t n_max)
{
        char **names = NULL;
        int n_fds = sd_listen_fds_with_names(1, &names);
        size_t n = 0;

        for (int i = 0; i < n_fds; i++) {
                if (n < n_max && is_usable(SD_LISTEN_FDS_START + i)) {
                        out[n].fd = SD_LISTEN_FDS_START + i;
                        snprintf(out[n].name, sizeof(out[n].name), "%s", names && names[i] ? names[i] : "");
                        n++;
                } else {
                        close(SD_LISTEN_FDS_START + i);
                }
                if (names)
                        free(names[i]);
        }
        free(names);
        return n;
}

bool sg_service_is_unit(void)
{
        const char *pid = getenv("SYSTEMD_EXEC_PID");
        uint64_t value;

        return pid && sg_str_to_u64(sg_str_from(pid), &value) == 0 && value == (uint64_t)getpid();
}
