#include "base/service.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"

#define BARRIER_USEC (5 * SG_USEC_PER_SEC)
#define PID_ROOM     "0000000000"

static bool silent; /* main thread only */

void sg_service_be_silent(bool is_silent)
{
        silent = is_silent;
}

void sg_service_ready(const char *status)
{
        if (!silent)
                sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void sg_service_reloading(void)
{
        if (!silent)
                sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=Reading the configuration",
                           sg_clock_usec());
}

void sg_service_status(const char *status)
{
        if (!silent)
                sd_notifyf(0, "STATUS=%s", status);
}

void sg_service_stopping(const char *status)
{
        if (!silent)
                sd_notifyf(0, "STOPPING=1\nSTATUS=%s", status);
}

void sg_service_failed(int error, const char *text)
{
        if (!silent)
                sd_notifyf(0, "STATUS=%s\nERRNO=%d", text, error < 0 ? -error : error);
}

void sg_service_watchdog(void)
{
        if (!silent)
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

void sg_service_hand_over(pid_t pid)
{
        sd_notifyf(0, "MAINPID=%d", (int)pid);
        (void)sd_notify_barrier(0, BARRIER_USEC);
        silent = true;
}

/* ---- the environment of a successor */

static bool is_about_us(const char *entry)
{
        static const char *const names[] = {"LISTEN_", "WATCHDOG_PID=", "SYSTEMD_EXEC_PID=", "MAINPID"};

        for (size_t i = 0; i < SG_N_ELEMENTS(names); i++)
                if (strncmp(entry, names[i], strlen(names[i])) == 0)
                        return true;
        return false;
}

static int heir_add(struct sg_service_heir *h, const char *name, const char *value)
{
        return asprintf(&h->environ[h->n], "%s%s", name, value) < 0 ? -ENOMEM : (h->n++, 0);
}

static int heir_add_pid(struct sg_service_heir *h, const char *name)
{
        int r = heir_add(h, name, PID_ROOM);

        if (!r)
                h->pids[h->n_pids++] = h->environ[h->n - 1] + strlen(name);
        return r;
}

static int heir_add_sockets(struct sg_service_heir *h, const struct sg_service_fd *fds, size_t n_fds)
{
        char names[4096], count[24];
        size_t n = 0;
        int r;

        names[0] = '\0';
        for (size_t i = 0; i < n_fds && n < sizeof(names); i++)
                n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", i ? ":" : "", fds[i].name);
        if (n >= sizeof(names))
                return -E2BIG;
        (void)snprintf(count, sizeof(count), "%zu", n_fds);
        r = heir_add(h, "LISTEN_FDS=", count);
        if (!r)
                r = heir_add(h, "LISTEN_FDNAMES=", names);
        return r ? r : heir_add_pid(h, "LISTEN_PID=");
}

int sg_service_heir_init(struct sg_service_heir *h, const struct sg_service_fd *fds, size_t n_fds,
                         const char *const *more, size_t n_more)
{
        size_t n_ours = 0;
        int r = 0;

        while (environ[n_ours])
                n_ours++;
        *h = (struct sg_service_heir){.environ = calloc(n_ours + n_more + 6, sizeof(*h->environ))};
        if (!h->environ)
                return -ENOMEM;
        for (size_t i = 0; !r && i < n_ours; i++)
                if (!is_about_us(environ[i]))
                        r = heir_add(h, environ[i], "");
        for (size_t i = 0; !r && i < n_more; i++)
                r = heir_add(h, more[i], "");
        if (!r)
                r = heir_add_sockets(h, fds, n_fds);
        if (!r && getenv("WATCHDOG_PID"))
                r = heir_add_pid(h, "WATCHDOG_PID=");
        if (!r && getenv("SYSTEMD_EXEC_PID"))
                r = heir_add_pid(h, "SYSTEMD_EXEC_PID=");
        if (r)
                sg_service_heir_done(h);
        return r;
}

void sg_service_heir_set_pid(struct sg_service_heir *h, pid_t pid)
{
        char digits[sizeof(PID_ROOM)];
        size_t at = sizeof(digits) - 1;

        digits[at] = '\0';
        for (; at > 0 && pid > 0; pid /= 10)
                digits[--at] = (char)('0' + pid % 10);
        /* No leading zeros: readers may take them for octal. */
        for (size_t i = 0; i < h->n_pids; i++)
                memcpy(h->pids[i], digits + at, sizeof(digits) - at);
}

void sg_service_heir_done(struct sg_service_heir *h)
{
        for (size_t i = 0; i < h->n; i++)
                free(h->environ[i]);
        free(h->environ);
        *h = (struct sg_service_heir){};
}
