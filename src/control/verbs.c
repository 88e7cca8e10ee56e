#include "control/verbs.h"

#include "base/buf.h"

static void fail_with(struct sg_varlink_call *call, const char *error_name, const struct sg_error *err)
{
        struct json_object *p = json_object_new_object();

        json_object_object_add(p, "where", json_object_new_string(err->where));
        json_object_object_add(p, "text", json_object_new_string(err->text));
        sg_varlink_fail(call, error_name, p);
}

static void reload(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct sg_control *c = owner;
        const char *needs_restart = NULL;
        struct sg_error err = {0};
        struct json_object *reply;
        uint64_t number = 0;

        if (!sg_varlink_read(call, parameters, NULL, 0))
                return;
        if (c->options.actions.reload(c->options.actions.owner, &number, &needs_restart, &err)) {
                fail_with(call, "io.scribe.Gateway.ConfigRejected", &err);
                return;
        }
        reply = json_object_new_object();
        json_object_object_add(reply, "number", json_object_new_uint64(number));
        if (needs_restart)
                json_object_object_add(reply, "changes_need_restart", json_object_new_string(needs_restart));
        sg_varlink_reply(call, reply);
}

/* ---- upgrade: answered when it has ended */

static void upgrade_caller_gone(struct sg_varlink_call *call, void *owner)
{
        struct sg_control *c = owner;

        c->upgrade = NULL; /* it goes on: the journal tells */
}

static void upgrade(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct sg_control *c = owner;
        struct sg_error err = {0};

        if (!sg_varlink_read(call, parameters, NULL, 0))
                return;
        if (c->options.actions.upgrade(c->options.actions.owner, &err)) {
                fail_with(call, "io.scribe.Gateway.UpgradeFailed", &err);
                return;
        }
        c->upgrade = call;
        sg_varlink_call_watch(call, upgrade_caller_gone, c);
}

void sg_control_upgraded(struct sg_control *c, const struct sg_control_upgrade *done, const struct sg_error *err)
{
        struct sg_varlink_call *call = c->upgrade;
        struct json_object *reply;

        c->upgrade = NULL;
        if (!call)
                return;
        if (!done) {
                fail_with(call, "io.scribe.Gateway.UpgradeFailed", err);
                return;
        }
        reply = json_object_new_object();
        json_object_object_add(reply, "old_pid", json_object_new_int64(done->old_pid));
        json_object_object_add(reply, "new_pid", json_object_new_int64(done->new_pid));
        json_object_object_add(reply, "version", json_object_new_string(done->version));
        json_object_object_add(reply, "n_open", json_object_new_uint64(done->n_open));
        sg_varlink_reply(call, reply);
}

static void check_config(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct sg_control *c = owner;
        struct json_object *directory = NULL, *reply;
        const struct sg_varlink_parameter expected[] = {{"directory", SG_VARLINK_STRING, false, &directory}};
        struct sg_error err = {0};
        int r;

        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                return;
        r = c->options.actions.check(c->options.actions.owner, directory ? json_object_get_string(directory) : NULL,
                                     &err);
        reply = json_object_new_object();
        json_object_object_add(reply, "ok", json_object_new_boolean(r == 0));
        if (r) {
                json_object_object_add(reply, "where", json_object_new_string(err.where));
                json_object_object_add(reply, "text", json_object_new_string(err.text));
        }
        sg_varlink_reply(call, reply);
}

static void get_config(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct sg_control *c = owner;
        struct json_object *reply;
        struct sg_buf text;

        if (!sg_varlink_read(call, parameters, NULL, 0))
                return;
        sg_buf_init(&text, SG_CONFIG_FILE_BYTES_MAX);
        if (sg_config_add_text(atomic_load(&c->options.shared->snapshot)->config, &text)) {
                sg_varlink_fail_text(call, "io.scribe.Gateway.TooLarge", "the configuration is too large to be shown");
        } else {
                reply = json_object_new_object();
                json_object_object_add(reply, "text",
                                       json_object_new_string_len(sg_buf_view(&text).p, (int)sg_buf_length(&text)));
                sg_varlink_reply(call, reply);
        }
        sg_buf_done(&text);
}

static void reply_level(struct sg_varlink_call *call)
{
        struct json_object *reply = json_object_new_object();

        json_object_object_add(reply, "level", json_object_new_string(sg_log_level_name(sg_log_get_level())));
        sg_varlink_reply(call, reply);
}

static void get_log_level(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        if (sg_varlink_read(call, parameters, NULL, 0))
                reply_level(call);
}

static void set_log_level(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct json_object *level = NULL;
        const struct sg_varlink_parameter expected[] = {{"level", SG_VARLINK_STRING, true, &level}};
        enum sg_log_level wanted;

        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                return;
        if (sg_log_level_parse(sg_str_from(json_object_get_string(level)), &wanted)) {
                struct json_object *p = json_object_new_object();

                json_object_object_add(p, "level", json_object_get(level));
                json_object_object_add(p, "message",
                                       json_object_new_string("levels are err, warning, notice, info and debug"));
                sg_varlink_fail(call, "io.scribe.Gateway.BadLevel", p);
                return;
        }
        sg_log_set_level(wanted);
        sg_notice("log level is %s now; the next reload sets it to what the configuration says",
                  sg_log_level_name(wanted));
        reply_level(call);
}

const struct sg_varlink_method sg_control_verbs[] = {
        {"io.scribe.Gateway.GetStatus", SG_VARLINK_VIEW, sg_control_get_status},
        {"io.scribe.Gateway.Reload", SG_VARLINK_CHANGE, reload},
        {"io.scribe.Gateway.Upgrade", SG_VARLINK_CHANGE, upgrade},
        {"io.scribe.Gateway.CheckConfig", SG_VARLINK_CHANGE, check_config},
        {"io.scribe.Gateway.GetConfig", SG_VARLINK_VIEW, get_config},
        {"io.scribe.Gateway.GetLogLevel", SG_VARLINK_VIEW, get_log_level},
        {"io.scribe.Gateway.SetLogLevel", SG_VARLINK_CHANGE, set_log_level},
        {"io.scribe.Gateway.ListUpstreams", SG_VARLINK_VIEW, sg_control_list_upstreams},
        {"io.scribe.Gateway.DrainUpstream", SG_VARLINK_CHANGE, sg_control_drain_upstream},
        {"io.scribe.Gateway.EnableUpstream", SG_VARLINK_CHANGE, sg_control_enable_upstream},
        {"io.scribe.Gateway.ShowLimits", SG_VARLINK_VIEW, sg_control_show_limits},
        {"io.scribe.Gateway.ListLanes", SG_VARLINK_VIEW, sg_control_list_lanes},
        {"io.scribe.Gateway.DrainLane", SG_VARLINK_CHANGE, sg_control_drain_lane},
        {"io.scribe.Gateway.EnableLane", SG_VARLINK_CHANGE, sg_control_enable_lane},
};
const size_t sg_control_n_verbs = SG_N_ELEMENTS(sg_control_verbs);
