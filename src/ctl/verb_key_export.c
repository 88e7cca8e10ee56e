/* 'key export': a line of JSON for each key, with the digest of its secret and never the secret. */
#include <errno.h>
#include <sys/stat.h>

#include "ctl/ctl.h"
#include "ctl/vault.h"

struct export
{
        FILE *f;
        uint64_t n_keys;
};

static void on_page(struct json_object *reply, void *owner)
{
        struct json_object *keys = sg_ctl_member(reply, "keys");
        size_t n = json_object_is_type(keys, json_type_array) ? json_object_array_length(keys) : 0;
        struct export *x = owner;

        for (size_t i = 0; i < n; i++)
                fprintf(x->f, "%s\n",
                        json_object_to_json_string_ext(json_object_array_get_idx(keys, i),
                                                       JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
        x->n_keys += n;
}

static enum sg_ctl_exit ask(struct sg_ctl *ctl, struct export *x)
{
        return sg_ctl_ask_more(ctl, SG_CTL_LEDGER_END, "io.scribe.Ledger.ExportKeys", NULL, on_page, x);
}

/* ---- into a file, which is there whole or not at all */

static enum sg_ctl_exit fail_file(const char *path, const char *why)
{
        sg_ctl_complain("%s: %s", path, why);
        return SG_CTL_FAILED;
}

static enum sg_ctl_exit fill(struct sg_ctl *ctl, struct sg_swap *s, struct export *x)
{
        struct sg_error err = {0};
        enum sg_ctl_exit e;
        bool has_failed;

        x->f = fopen(s->fresh, "we");
        if (!x->f)
                return fail_file(s->fresh, strerror(errno));
        e = ask(ctl, x);
        has_failed = ferror(x->f) != 0;
        if (fclose(x->f) || has_failed)
                return e ? e : fail_file(s->fresh, "cannot be written: is the disk full?");
        if (!e && (sg_swap_write(s, SG_STR_NONE, 0600, &err) || sg_swap_do(s, &err)))
                return fail_file(err.where, err.text);
        return e;
}

static enum sg_ctl_exit export_to(struct sg_ctl *ctl, const char *path, struct export *x)
{
        const char *slash = strrchr(path, '/');
        SG_AUTO(sg_text_free)
        char *directory = slash ? strndup(path, slash > path ? (size_t)(slash - path) : 1) : strdup(".");
        struct sg_error err = {0};
        struct sg_swap s;
        struct stat st;
        enum sg_ctl_exit e;

        if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
                return fail_file(path, "is no file that could be replaced; name another, or leave FILE out");
        SG_ASSERT(directory);
        e = sg_swap_init(&s, directory, slash ? slash + 1 : path, false, &err) ? fail_file(err.where, err.text)
                                                                               : fill(ctl, &s, x);
        sg_swap_done(&s);
        return e;
}

enum sg_ctl_exit sg_ctl_verb_key_export(struct sg_ctl *ctl)
{
        struct export x = {.f = stdout};
        enum sg_ctl_exit e;

        if (ctl->n_arguments == 0)
                return ask(ctl, &x);
        e = export_to(ctl, ctl->arguments[0], &x);
        if (e == SG_CTL_OK && sg_ctl_has(ctl, SG_CTL_JSON))
                printf("{\n  \"keys\": %llu\n}\n", (unsigned long long)x.n_keys);
        else if (e == SG_CTL_OK && !sg_ctl_has(ctl, SG_CTL_QUIET))
                printf("%llu key%s exported\n", (unsigned long long)x.n_keys, x.n_keys == 1 ? "" : "s");
        return e;
}
