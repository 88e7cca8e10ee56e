#include "control/control.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "control/verbs.h"
#include "varlink/io_scribe_gateway.h"

/* ---- who may what: peer credentials against the snapshot in force */

static const struct sg_config *control_config(const struct sg_control *c)
{
        return atomic_load_explicit(&c->options.shared->snapshot, memory_order_acquire)->config;
}

static bool is_admin(const struct sg_config *config, uid_t uid)
{
        for (size_t i = 0; i < config->n_admins; i++) {
                const struct passwd *pw = getpwnam(config->admins[i]);

                if (pw && pw->pw_uid == uid)
                        return true;
        }
        return false;
}

static bool is_in_group(const struct sg_config *config, const struct sg_varlink_peer *peer)
{
        const struct group *gr = getgrnam(config->group);

        return gr && sg_varlink_peer_is_in(peer, gr->gr_gid);
}

static bool control_may(const struct sg_varlink_peer *peer, enum sg_varlink_right right, const char **ret_needed,
                        void *owner)
{
        struct sg_control *c = owner;
        const struct sg_config *config = control_config(c);

        if (peer->uid == 0 || peer->uid == geteuid() || is_admin(config, peer->uid))
                return true;
        if (right == SG_VARLINK_VIEW && is_in_group(config, peer))
                return true;
        if (right == SG_VARLINK_VIEW)
                snprintf(c->needed, sizeof(c->needed), "root or group %s", config->group);
        else
                snprintf(c->needed, sizeof(c->needed),
                         "root, the service's own user, or a user named in [control] admins");
        *ret_needed = c->needed;
        return false;
}

/* ---- birth and death */

static gid_t control_group(const struct sg_config *config)
{
        const struct group *gr = getgrnam(config->group);

        return gr ? gr->gr_gid : (gid_t)-1;
}

int sg_control_new(struct sg_control **ret, struct sg_loop *l, const struct sg_control_options *options,
                   struct sg_error *err)
{
        struct sg_control *c = calloc(1, sizeof(*c));
        struct sg_varlink_interface interface = {"io.scribe.Gateway", sg_io_scribe_gateway_description};
        struct sg_varlink_server_options server;
        int r;

        if (!c)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        c->options = *options;
        server = (struct sg_varlink_server_options){
                .vendor = "scribe-gateway",
                .product = "scribe-gateway",
                .version = options->shared->version,
                .url = "",
                .interfaces = &interface,
                .n_interfaces = 1,
                .methods = sg_control_verbs,
                .n_methods = sg_control_n_verbs,
                .owner = c,
                .may = control_may,
        };
        r = sg_varlink_server_new(&c->server, l, &server);
        if (r)
                sg_error_set(err, r, options->path, "the control socket could not be set up");
        else if (options->fd >= 0 && (r = sg_varlink_server_listen_fd(c->server, options->fd)))
                sg_error_set(err, r, "", "the control socket from systemd cannot be listened on: %s", strerror(-r));
        else if (options->fd < 0)
                r = sg_varlink_server_listen(c->server, options->path, control_group(control_config(c)), err);
        if (r) {
                sg_control_free(c);
                return r;
        }
        *ret = c;
        return 0;
}

int sg_control_fd(const struct sg_control *c)
{
        return sg_varlink_server_fd(c->server);
}

void sg_control_stop_listening(struct sg_control *c)
{
        sg_varlink_server_stop_listening(c->server);
}

struct sg_control *sg_control_free(struct sg_control *c)
{
        if (!c)
                return NULL;
        sg_varlink_server_free(c->server);
        free(c);
        return NULL;
}
