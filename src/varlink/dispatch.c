#include <stdio.h>

#include "varlink/server.h"

static void fail_with(struct sg_varlink_call *call, const char *error_name, const char *member, struct sg_str value)
{
        struct json_object *parameters = json_object_new_object();

        json_object_object_add(parameters, member, json_object_new_string_len(value.p, (int)value.n));
        sg_varlink_fail(call, error_name, parameters);
}

static bool is_interface(const struct sg_varlink_server_options *o, struct sg_str name)
{
        for (size_t i = 0; i < o->n_interfaces; i++)
                if (sg_str_eq(name, sg_str_from(o->interfaces[i].name)))
                        return true;
        return sg_str_eq(name, SG_STR("org.varlink.service"));
}

/* "io.scribe.Gateway.GetStatus" is GetStatus of io.scribe.Gateway. */
static struct sg_str interface_of(const char *method)
{
        const char *dot = strrchr(method, '.');

        return dot ? sg_str_make(method, (size_t)(dot - method)) : sg_str_from(method);
}

static bool is_allowed(struct sg_varlink_call *call, const struct sg_varlink_method *m)
{
        const struct sg_varlink_server_options *o = &call->conn->server->options;
        struct json_object *parameters;
        const char *needed = NULL;
        char text[512];

        if (!o->may || o->may(&call->conn->peer, m->right, &needed, o->owner))
                return true;
        parameters = json_object_new_object();
        if (needed)
                json_object_object_add(parameters, "needed", json_object_new_string(needed));
        (void)snprintf(text, sizeof(text), "user %u may not call %s: this needs %s", (unsigned)call->conn->peer.uid,
                       m->name, needed ? needed : "more rights");
        json_object_object_add(parameters, "message", json_object_new_string(text));
        sg_varlink_fail(call, SG_VARLINK_PERMISSION_DENIED, parameters);
        return false;
}

void sg_varlink_dispatch(struct sg_varlink_call *call)
{
        const struct sg_varlink_server_options *o = &call->conn->server->options;
        struct json_object *parameters = call->request.parameters;
        const char *name = call->request.method;
        /* The call may be answered and freed while its method still reads the parameters. */
        struct json_object *whole = json_object_get(call->request.whole);
        const struct sg_varlink_method *m = NULL;

        for (size_t i = 0; i < o->n_methods && !m; i++)
                if (strcmp(name, o->methods[i].name) == 0)
                        m = &o->methods[i];
        if (strcmp(name, "org.varlink.service.GetInfo") == 0)
                sg_varlink_get_info(call, o);
        else if (strcmp(name, "org.varlink.service.GetInterfaceDescription") == 0)
                sg_varlink_get_description(call, parameters, o);
        else if (!m && !is_interface(o, interface_of(name)))
                fail_with(call, SG_VARLINK_INTERFACE_NOT_FOUND, "interface", interface_of(name));
        else if (!m)
                fail_with(call, SG_VARLINK_METHOD_NOT_FOUND, "method", sg_str_from(name));
        else if (!m->run)
                fail_with(call, SG_VARLINK_METHOD_NOT_IMPLEMENTED, "method", sg_str_from(name));
        else if (is_allowed(call, m))
                m->run(call, parameters, o->owner);
        json_object_put(whole);
}
