#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/message_id.h"
#include "ledger/verbs.h"
#include "sg_build.h"

static const struct sg_varlink_method methods[] = {
        {SG_LEDGER_NAME("GetStatus"), SG_VARLINK_VIEW, sg_verb_get_status},
        {SG_LEDGER_NAME("CreateKey"), SG_VARLINK_CHANGE, sg_verb_create_key},
        {SG_LEDGER_NAME("ChangeKey"), SG_VARLINK_CHANGE, sg_verb_change_key},
        {SG_LEDGER_NAME("ListKeys"), SG_VARLINK_VIEW, sg_verb_list_keys},
        {SG_LEDGER_NAME("ShowKey"), SG_VARLINK_VIEW, sg_verb_show_key},
        {SG_LEDGER_NAME("RevokeKey"), SG_VARLINK_CHANGE, sg_verb_revoke_key},
        {SG_LEDGER_NAME("RotateKey"), SG_VARLINK_CHANGE, sg_verb_rotate_key},
        {SG_LEDGER_NAME("CreateGroup"), SG_VARLINK_CHANGE, sg_verb_create_group},
        {SG_LEDGER_NAME("ChangeGroup"), SG_VARLINK_CHANGE, sg_verb_change_group},
        {SG_LEDGER_NAME("RemoveGroup"), SG_VARLINK_CHANGE, sg_verb_remove_group},
        {SG_LEDGER_NAME("ListGroups"), SG_VARLINK_VIEW, sg_verb_list_groups},
        {SG_LEDGER_NAME("ShowGroup"), SG_VARLINK_VIEW, sg_verb_show_group},
        {SG_LEDGER_NAME("ImportKeys"), SG_VARLINK_CHANGE, sg_verb_import_keys},
        {SG_LEDGER_NAME("QueryAudit"), SG_VARLINK_VIEW, sg_verb_query_audit},
        /* Views by name, but they hand out digests: the gateway runs as the service's own user. */
        {SG_LEDGER_NAME("ExportKeys"), SG_VARLINK_CHANGE, sg_verb_export_keys},
        {SG_LEDGER_NAME("WatchKeys"), SG_VARLINK_CHANGE, sg_verb_watch_keys},
        {SG_LEDGER_NAME("QueryUsage"), SG_VARLINK_VIEW, sg_verb_query_usage},
        {SG_LEDGER_NAME("QueryBills"), SG_VARLINK_VIEW, sg_verb_query_bills},
        {SG_LEDGER_NAME("PruneUsage"), SG_VARLINK_CHANGE, sg_verb_prune_usage},
        {SG_LEDGER_NAME("Backup"), SG_VARLINK_CHANGE, sg_verb_backup},
};

/* ---- who may */

static bool may(const struct sg_varlink_peer *peer, enum sg_varlink_right right, const char **ret_needed, void *owner)
{
        struct sg_ledger_server *s = owner;

        if (peer->uid == 0 || peer->uid == geteuid())
                return true;
        for (size_t i = 0; i < s->n_admins; i++)
                if (peer->uid == s->admins[i])
                        return true;
        if (right == SG_VARLINK_CHANGE) {
                *ret_needed = "root, the service's own user, or a user named in [control] admins";
                return false;
        }
        *ret_needed = s->needed_view;
        return s->group != (gid_t)-1 && sg_varlink_peer_is_in(peer, s->group);
}

/* A group that does not exist has no members: a machine without it works, for root and the own user. */
static gid_t find_group(const char *name)
{
        const struct group *g;

        if (!name || !name[0])
                return (gid_t)-1;
        g = getgrnam(name);
        if (g)
                return g->gr_gid;
        sg_info("there is no group \"%s\": only root, the own user and admins may look", name);
        return (gid_t)-1;
}

int sg_ledger_server_set_access(struct sg_ledger_server *s, const struct sg_ledger_access *access, struct sg_error *err)
{
        uid_t *admins = calloc(access->n_admins + 1, sizeof(*admins));
        int r = 0;

        if (!admins)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        for (size_t i = 0; i < access->n_admins && !r; i++) {
                const struct passwd *p = getpwnam(access->admins[i]);

                if (p)
                        admins[i] = p->pw_uid;
                else
                        r = sg_error_set(err, -ESRCH, "", "there is no user \"%s\": correct admins in [control]",
                                         access->admins[i]);
        }
        if (r) {
                sg_error_needs_mending(err, SG_MESSAGE_CONFIGURATION);
                free(admins);
                return r;
        }
        free(s->admins);
        s->admins = admins;
        s->n_admins = access->n_admins;
        s->group = find_group(access->group);
        (void)snprintf(s->needed_view, sizeof(s->needed_view), "root%s%s", access->group ? " or group " : "",
                       access->group ? access->group : "");
        return 0;
}

/* ---- the server */

static void on_others(struct json_object *news, uint64_t version, void *owner)
{
        struct sg_ledger_server *s = owner;

        sg_ledger_status_is_stale(s->status);
        sg_watch_tell_news(s, news, version);
}

static void on_stale(bool is_stale, void *owner)
{
        if (is_stale)
                sg_warning("the database has not answered for %u s: other ledgers may have changed keys, so gateways "
                           "answer "
                           "unknown keys with 503",
                           (unsigned)(SG_OTHERS_STALE_USEC / SG_USEC_PER_SEC));
        else
                sg_notice("the database answers: what other ledgers changed is known again");
        sg_watch_tell_stale(owner, is_stale);
}

int sg_ledger_server_new(struct sg_ledger_server **ret, struct sg_loop *l, const struct sg_ledger_parts *parts,
                         const struct sg_ledger_access *access, struct sg_error *err)
{
        static const struct sg_varlink_interface interfaces[] = {{"io.scribe.Ledger", sg_ledger_interface}};
        SG_AUTO(sg_ledger_server_free) struct sg_ledger_server *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        s->loop = l;
        s->keeper = parts->keeper;
        s->drainer = parts->drainer;
        sg_list_init(&s->watchers);
        s->configuration = parts->configuration ? realpath(parts->configuration, NULL) : sg_str_dup(SG_STR(""));
        if (!s->configuration)
                return sg_error_set(err, -errno, parts->configuration, "cannot look it up");
        r = sg_ledger_server_set_access(s, access, err);
        if (!r)
                r = sg_asker_new(&s->asker, l, parts->store, err);
        if (!r)
                r = sg_ledger_status_new(&s->status, l, parts, err);
        if (!r)
                r = sg_others_new(&s->others, l, parts->store, parts->keeper,
                                  &(struct sg_others_ear){on_others, on_stale, s}, err);
        if (r)
                return r;
        if (sg_totals_new(&s->totals, l, s->keeper, sg_watch_tell_totals, s) != 0)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        r = sg_varlink_server_new(&s->varlink, l,
                                  &(struct sg_varlink_server_options){
                                          .vendor = "scribe-gateway",
                                          .product = "scribe-ledger",
                                          .version = SG_VERSION,
                                          .url = "",
                                          .interfaces = interfaces,
                                          .n_interfaces = SG_N_ELEMENTS(interfaces),
                                          .methods = methods,
                                          .n_methods = SG_N_ELEMENTS(methods),
                                          .owner = s,
                                          .may = may,
                                  });
        if (r)
                return sg_error_set(err, r, "", "cannot make the control socket: out of memory");
        *ret = SG_GIVE(s);
        return 0;
}

void sg_ledger_server_set_prices(struct sg_ledger_server *s, struct sg_config *config)
{
        sg_config_unref(s->config);
        s->config = sg_config_ref(config);
        sg_totals_set_config(s->totals, config);
}

void sg_ledger_server_database_is_up(struct sg_ledger_server *s)
{
        sg_others_hint(s->others);
}

struct sg_ledger_server *sg_ledger_server_free(struct sg_ledger_server *s)
{
        if (!s)
                return NULL;
        /* First: its questions are answered to calls, which the server still has. */
        sg_asker_free(s->asker);
        sg_others_free(s->others);
        sg_ledger_status_free(s->status);
        sg_config_unref(s->config);
        /* Tells the watchers that they are gone, which frees them. */
        sg_varlink_server_free(s->varlink);
        SG_ASSERT(sg_list_is_empty(&s->watchers));
        sg_totals_free(s->totals);
        free(s->configuration);
        free(s->admins);
        free(s);
        return NULL;
}

int sg_ledger_server_listen(struct sg_ledger_server *s, const char *path, struct sg_error *err)
{
        return sg_varlink_server_listen(s->varlink, path, s->group, err);
}

int sg_ledger_server_listen_fd(struct sg_ledger_server *s, int fd)
{
        return sg_varlink_server_listen_fd(s->varlink, fd);
}
