/*
 * Where clients come in: each [listener] gets the socket of its name, from systemd or from our predecessor, else it is
 * bound here. Which address a socket has that was handed over was decided by whoever bound it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/message_id.h"
#include "daemon/daemon.h"
#include "daemon/predecessor.h"

static int add_listener(struct sg_daemon *d, int fd, const char *name, bool is_ours, struct sg_error *err)
{
        struct sg_shared_listener *l = &d->shared.listeners[d->shared.n_listeners];
        struct sg_address address;
        int r;

        if (d->shared.n_listeners == SG_LISTENERS_MAX) {
                close(fd);
                return sg_error_set(err, -E2BIG, "", "more than %d listeners", SG_LISTENERS_MAX);
        }
        r = sg_listen_address(&address, fd);
        if (r) {
                close(fd);
                return sg_error_set(err, r, name, "the socket of the listener has no address: %s", strerror(-r));
        }
        l->fd = fd;
        l->is_ours = is_ours;
        l->name = name;
        snprintf(l->address, sizeof(l->address), "%s", address.text);
        d->shared.n_listeners++;
        return 0;
}

static int bind_listener(struct sg_daemon *d, const struct sg_config_listener *c, struct sg_error *err)
{
        struct sg_address address;
        int fd, r;

        if (!c->address) {
                r = sg_error_set(err, -EINVAL, c->where,
                                 "listener \"%s\" has no address, and systemd handed over no socket of that name",
                                 c->name);
                sg_error_needs_mending(err, SG_MESSAGE_CONFIGURATION);
                return r;
        }
        r = sg_address_parse(&address, sg_str_from(c->address), err);
        if (!r)
                r = sg_listen_bind(&fd, &address, err);
        if (r) {
                sg_error_prefix(err, c->where);
                return r;
        }
        return add_listener(d, fd, c->name, true, err);
}

/* The configuration may name another address than the socket has that was handed over. */
static void compare_address(const struct sg_daemon *d, const struct sg_config_listener *c, bool is_ours)
{
        const struct sg_shared_listener *l = &d->shared.listeners[d->shared.n_listeners - 1];
        struct sg_address has, wanted;

        if (!c->address || sg_address_parse(&wanted, sg_str_from(c->address), NULL) || sg_listen_address(&has, l->fd) ||
            sg_address_is_same(&has, &wanted))
                return;
        if (is_ours)
                sg_warning("%s: listener \"%s\" goes on listening on %s: another address needs a restart", c->where,
                           c->name, l->address);
        else
                sg_warning("%s: listener \"%s\" listens on %s, as systemd says; for %s change ListenStream= "
                           "(systemctl edit scribe-gateway-%s.socket), or mask that socket unit",
                           c->where, c->name, l->address, wanted.text, c->name);
}

static bool take_given(struct sg_daemon *d, const struct sg_config_listener *c, struct sg_service_fd *given,
                       size_t n_given, int *ret_r, struct sg_error *err)
{
        bool is_given = false;

        *ret_r = 0;
        for (size_t k = 0; !*ret_r && k < n_given; k++) {
                bool is_ours = d->predecessor && sg_predecessor_bound(d->predecessor, given[k].name);

                if (given[k].fd < 0 || strcmp(given[k].name, c->name) != 0)
                        continue;
                *ret_r = add_listener(d, given[k].fd, c->name, is_ours, err);
                given[k].fd = -1;
                if (!*ret_r)
                        compare_address(d, c, is_ours);
                is_given = true;
        }
        return is_given;
}

/* What no listener is for: the control socket, or a mistake. */
static void take_rest(struct sg_daemon *d, const struct sg_service_fd *given, size_t n_given)
{
        for (size_t k = 0; k < n_given; k++) {
                if (given[k].fd < 0)
                        continue;
                if (strcmp(given[k].name, SG_DAEMON_CONTROL_NAME) == 0 && d->control_fd < 0) {
                        d->control_fd = given[k].fd;
                        continue;
                }
                sg_warning("systemd handed over a socket named '%s', but there is no [listener \"%s\"]: it is closed",
                           given[k].name, given[k].name);
                close(given[k].fd);
        }
}

int sg_daemon_take_listeners(struct sg_daemon *d, struct sg_error *err)
{
        struct sg_service_fd given[SG_LISTENERS_MAX + 1];
        size_t n_given = sg_service_listen_fds(given, SG_N_ELEMENTS(given));
        const struct sg_config *c = d->first_config;
        int r = 0;

        for (size_t i = 0; !r && i < c->n_listeners; i++)
                if (!take_given(d, &c->listeners[i], given, n_given, &r, err))
                        r = bind_listener(d, &c->listeners[i], err);
        take_rest(d, given, n_given);
        return r;
}
