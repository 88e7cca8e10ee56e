#include <langinfo.h>

#include "ctl/ctl.h"

/* Asked before: afterwards there is nobody left who knows. */
static char *version_now(struct sg_ctl *ctl)
{
        struct json_object *status;
        char *version;

        if (sg_ctl_ask_quietly(ctl, SG_CTL_GATEWAY, "io.scribe.Gateway.GetStatus", &status))
                return NULL;
        version = strdup(sg_ctl_text(status, "version"));
        json_object_put(status);
        return version;
}

static void print_process(const char *before, uint64_t pid, const char *version)
{
        printf("%s%llu (", before, (unsigned long long)pid);
        sg_ctl_print_text(version && version[0] ? version : "?");
        putchar(')');
}

static void print_upgrade(const char *old_version, struct json_object *reply)
{
        bool is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
        unsigned long long n_open = sg_ctl_u64(reply, "n_open");

        print_process("upgraded: process ", sg_ctl_u64(reply, "old_pid"), old_version);
        print_process(is_utf8 ? " \xe2\x86\x92 " : " -> ", sg_ctl_u64(reply, "new_pid"), sg_ctl_text(reply, "version"));
        printf("; %llu exchange%s finished by the old one\n", n_open, n_open == 1 ? " is" : "s are");
}

enum sg_ctl_exit sg_ctl_verb_upgrade(struct sg_ctl *ctl)
{
        SG_AUTO(sg_text_free) char *old_version = version_now(ctl);
        struct json_object *reply;
        enum sg_ctl_exit e = sg_ctl_ask(ctl, SG_CTL_GATEWAY, "io.scribe.Gateway.Upgrade", NULL, &reply);

        if (e)
                return e;
        if (sg_ctl_has(ctl, SG_CTL_JSON)) {
                if (old_version)
                        json_object_object_add(reply, "old_version", json_object_new_string(old_version));
                sg_ctl_print_json(reply);
        } else if (!sg_ctl_has(ctl, SG_CTL_QUIET)) {
                print_upgrade(old_version, reply);
        }
        json_object_put(reply);
        return SG_CTL_OK;
}
