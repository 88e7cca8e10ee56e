#include <errno.h>
#include <grp.h>
#include <sys/stat.h>

#include "ctl/ctl.h"
#include "varlink/varlink.h"

struct end {
        const char *path, *noun, *unit;
};

static struct end end_of(const struct sg_ctl *ctl, enum sg_ctl_end end)
{
        return end == SG_CTL_GATEWAY ? (struct end){ctl->control, "gateway", "scribe-gateway"}
                                     : (struct end){ctl->ledger, "ledger", "scribe-ledger"};
}

/* ---- members */

struct json_object *sg_ctl_member(struct json_object *o, const char *name)
{
        struct json_object *value = NULL;

        if (json_object_is_type(o, json_type_object))
                (void)json_object_object_get_ex(o, name, &value);
        return value;
}

uint64_t sg_ctl_u64(struct json_object *o, const char *name)
{
        struct json_object *value = sg_ctl_member(o, name);

        return json_object_is_type(value, json_type_int) ? json_object_get_uint64(value) : 0;
}

const char *sg_ctl_text(struct json_object *o, const char *name)
{
        struct json_object *value = sg_ctl_member(o, name);

        return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

/* ---- what went wrong, and what to do */

static enum sg_ctl_exit complain_of_access(const struct end *e)
{
        const struct group *group = NULL;
        struct stat st;

        if (stat(e->path, &st) == 0)
                group = getgrgid(st.st_gid);
        if (group && st.st_gid == 0)
                sg_ctl_complain("not permitted: %s is for root and the group %s; use sudo", e->path, group->gr_name);
        else if (group)
                sg_ctl_complain("not permitted: %s is for root and the group %s; use sudo, or 'adduser USER %s'",
                                e->path, group->gr_name, group->gr_name);
        else
                sg_ctl_complain(
                        "not permitted: %s is for root and the gateway's group (usually scribe-gateway); use sudo",
                        e->path);
        return SG_CTL_DENIED;
}

static enum sg_ctl_exit complain_of_connection(const struct end *e, const struct sg_error *err)
{
        switch (-err->code) {
        case EACCES:
        case EPERM:
                return complain_of_access(e);
        case ENOENT:
        case ECONNREFUSED:
                sg_ctl_complain("cannot reach the %s at %s: is it running? systemctl status %s", e->noun, e->path,
                                e->unit);
                break;
        default:
                sg_ctl_complain("cannot reach the %s at %s: %s", e->noun, e->path, err->text);
        }
        return SG_CTL_UNREACHABLE;
}

static void complain_of_text(const char *text)
{
        SG_AUTO(sg_text_free) char *shown = sg_ctl_escape(sg_str_from(text));

        sg_ctl_complain("%s", shown ? shown : "out of memory");
}

static enum sg_ctl_exit complain_of_error(const struct end *e, const char *name, struct json_object *parameters)
{
        const char *message = sg_ctl_text(parameters, "message"), *last = strrchr(name, '.');
        char text[2048];

        last = last ? last + 1 : name;
        if (strcmp(name, SG_VARLINK_PERMISSION_DENIED) == 0) {
                const char *needed = sg_ctl_text(parameters, "needed");

                (void)snprintf(text, sizeof(text), "not permitted: this needs %s", needed[0] ? needed : "more rights");
                complain_of_text(text);
                return SG_CTL_DENIED;
        }
        if (strcmp(last, "ConfigRejected") == 0)
                (void)snprintf(text, sizeof(text), "nothing was changed: %s%s%s", sg_ctl_text(parameters, "where"),
                               sg_ctl_text(parameters, "where")[0] ? ": " : "", sg_ctl_text(parameters, "text"));
        else if (strcmp(last, "UpgradeFailed") == 0)
                (void)snprintf(text, sizeof(text), "not upgraded, the old process goes on undisturbed: %s%s%s",
                               sg_ctl_text(parameters, "where"), sg_ctl_text(parameters, "where")[0] ? ": " : "",
                               sg_ctl_text(parameters, "text"));
        else if (strcmp(name, SG_VARLINK_INVALID_PARAMETER) == 0)
                (void)snprintf(text, sizeof(text), "the %s refuses the value of %s", e->noun,
                               sg_ctl_text(parameters, "parameter"));
        else if (strcmp(name, SG_VARLINK_METHOD_NOT_FOUND) == 0 || strcmp(name, SG_VARLINK_INTERFACE_NOT_FOUND) == 0)
                (void)snprintf(text, sizeof(text),
                               "the %s at %s does not know this: is it of another version? scribectl version", e->noun,
                               e->path);
        else if (message[0])
                (void)snprintf(text, sizeof(text), "%s", message);
        else
                (void)snprintf(text, sizeof(text), "the %s answers %s %s", e->noun, name,
                               json_object_to_json_string_ext(parameters, JSON_C_TO_STRING_PLAIN));
        complain_of_text(text);
        return strncmp(last, "NoSuch", strlen("NoSuch")) == 0 ? SG_CTL_NOT_FOUND : SG_CTL_FAILED;
}

/* ---- calls */

struct ask {
        struct end end;
        const char *method;
        bool more, is_quiet;
        const char *refusal; /* an error that on_reply is told of; NULL: none */
        bool is_refused;
        void (*on_reply)(struct json_object *reply, void *owner);
        void *owner;
};

static enum sg_ctl_exit failed(const struct ask *a, const struct sg_error *err)
{
        return a->is_quiet ? SG_CTL_UNREACHABLE : complain_of_connection(&a->end, err);
}

static bool is_refusal(const struct ask *a, const char *name)
{
        const char *last = strrchr(name, '.');

        return a->refusal && last && strcmp(last + 1, a->refusal) == 0;
}

static enum sg_ctl_exit receive(struct ask *a, struct sg_varlink_caller *c)
{
        bool continues = true;

        while (continues) {
                struct json_object *reply;
                struct sg_error err;
                char name[256];
                enum sg_ctl_exit e = SG_CTL_OK;

                if (sg_varlink_caller_receive(c, &reply, name, sizeof(name), &continues, &err))
                        return failed(a, &err);
                a->is_refused = is_refusal(a, name);
                if (name[0] && !a->is_refused)
                        e = a->is_quiet ? SG_CTL_FAILED : complain_of_error(&a->end, name, reply);
                else
                        a->on_reply(reply, a->owner);
                json_object_put(reply);
                if (e)
                        return e;
        }
        return SG_CTL_OK;
}

static enum sg_ctl_exit call(struct ask *a, struct json_object *parameters)
{
        SG_AUTO(sg_varlink_caller_free) struct sg_varlink_caller *c = NULL;
        struct sg_error err;

        if (sg_varlink_caller_new(&c, a->end.path, &err)) {
                json_object_put(parameters);
                return failed(a, &err);
        }
        if (sg_varlink_caller_send(c, a->method, parameters, a->more, &err))
                return failed(a, &err);
        return receive(a, c);
}

static void keep_reply(struct json_object *reply, void *owner)
{
        struct json_object **kept = owner;

        json_object_put(*kept);
        *kept = json_object_get(reply);
}

static enum sg_ctl_exit call_once(struct ask *a, struct json_object *parameters, struct json_object **ret)
{
        struct json_object *reply = NULL;
        enum sg_ctl_exit e;

        a->on_reply = keep_reply;
        a->owner = &reply;
        e = call(a, parameters);
        if (e == SG_CTL_OK)
                *ret = reply;
        else
                json_object_put(reply);
        return e;
}

enum sg_ctl_exit sg_ctl_ask(struct sg_ctl *ctl, enum sg_ctl_end end, const char *method, struct json_object *parameters,
                            struct json_object **ret)
{
        struct ask a = {.end = end_of(ctl, end), .method = method};

        return call_once(&a, parameters, ret);
}

enum sg_ctl_exit sg_ctl_ask_refusable(struct sg_ctl *ctl, enum sg_ctl_end end, const char *method,
                                      struct json_object *parameters, const char *refusal, struct json_object **ret,
                                      bool *ret_is_refused)
{
        struct ask a = {.end = end_of(ctl, end), .method = method, .refusal = refusal};
        enum sg_ctl_exit e = call_once(&a, parameters, ret);

        *ret_is_refused = a.is_refused;
        return e;
}

enum sg_ctl_exit sg_ctl_ask_quietly(struct sg_ctl *ctl, enum sg_ctl_end end, const char *method,
                                    struct json_object **ret)
{
        struct ask a = {.end = end_of(ctl, end), .method = method, .is_quiet = true};

        return call_once(&a, NULL, ret);
}

enum sg_ctl_exit sg_ctl_ask_more(struct sg_ctl *ctl, enum sg_ctl_end end, const char *method,
                                 struct json_object *parameters,
                                 void (*on_reply)(struct json_object *reply, void *owner), void *owner)
{
        struct ask a = {.end = end_of(ctl, end), .method = method, .more = true, .on_reply = on_reply, .owner = owner};

        return call(&a, parameters);
}
