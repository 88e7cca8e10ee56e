#include "varlink/message.h"

static const char service_description[] =
        "# The interface that every Varlink service has\n"
        "interface org.varlink.service\n"
        "\n"
        "# Who serves here and which interfaces it has\n"
        "method GetInfo() -> (\n"
        "  vendor: string,\n"
        "  product: string,\n"
        "  version: string,\n"
        "  url: string,\n"
        "  interfaces: []string\n"
        ")\n"
        "\n"
        "# An interface in Varlink's own language\n"
        "method GetInterfaceDescription(interface: string) -> (description: string)\n"
        "\n"
        "# The interface is not served here\n"
        "error InterfaceNotFound (interface: string)\n"
        "\n"
        "# The interface has no such method\n"
        "error MethodNotFound (method: string)\n"
        "\n"
        "# The method is part of the interface, but this service cannot do it\n"
        "error MethodNotImplemented (method: string)\n"
        "\n"
        "# A parameter, or a member of the call itself, is missing, unknown or of the wrong kind\n"
        "error InvalidParameter (parameter: string)\n"
        "\n"
        "# The caller may not do that; needed names the group or user that may\n"
        "error PermissionDenied (needed: ?string, message: string)\n"
        "\n"
        "# The method answers more than once and must be called with more\n"
        "error ExpectedMore ()\n";

static void add_string(struct json_object *o, const char *name, const char *value)
{
        json_object_object_add(o, name, json_object_new_string(value ? value : ""));
}

void sg_varlink_get_info(struct sg_varlink_call *call, const struct sg_varlink_server_options *options)
{
        struct json_object *info = json_object_new_object(), *interfaces = json_object_new_array();

        add_string(info, "vendor", options->vendor);
        add_string(info, "product", options->product);
        add_string(info, "version", options->version);
        add_string(info, "url", options->url);
        json_object_array_add(interfaces, json_object_new_string("org.varlink.service"));
        for (size_t i = 0; i < options->n_interfaces; i++)
                json_object_array_add(interfaces, json_object_new_string(options->interfaces[i].name));
        json_object_object_add(info, "interfaces", interfaces);
        sg_varlink_reply(call, info);
}

static const char *find_description(const struct sg_varlink_server_options *options, const char *name)
{
        if (strcmp(name, "org.varlink.service") == 0)
                return service_description;
        for (size_t i = 0; i < options->n_interfaces; i++)
                if (strcmp(name, options->interfaces[i].name) == 0)
                        return options->interfaces[i].description;
        return NULL;
}

void sg_varlink_get_description(struct sg_varlink_call *call, struct json_object *parameters,
                                const struct sg_varlink_server_options *options)
{
        struct json_object *interface, *out;
        const struct sg_varlink_parameter expected[] = {{"interface", SG_VARLINK_STRING, true, &interface}};
        const char *description;

        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                return;
        out = json_object_new_object();
        description = find_description(options, json_object_get_string(interface));
        if (description) {
                add_string(out, "description", description);
                sg_varlink_reply(call, out);
        } else {
                add_string(out, "interface", json_object_get_string(interface));
                sg_varlink_fail(call, SG_VARLINK_INTERFACE_NOT_FOUND, out);
        }
}
