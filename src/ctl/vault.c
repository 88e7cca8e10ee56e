#include "ctl/vault.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/limits.h"
#include "ctl/ctl.h"
#include "sg_build.h"

#define SUFFIX          ".cred"
#define OUTPUT_BYTES    (16u * 1024u)
#define KEY_ID_BYTES    16u
#define DROPIN_NAME_FMT "credential-%s.conf"

const struct sg_vault sg_vault_of_service = {
        .directory = "/etc/credstore.encrypted/scribe-gateway",
        .dropins = "/etc/systemd/system/scribe-gateway.service.d",
};

/* ---- the two programs */

/* The last line is what went wrong; the rest is on the way there. */
static struct sg_str last_line(const struct sg_buf *output)
{
        struct sg_str rest = sg_buf_view(output), line = SG_STR_NONE, last = SG_STR_NONE;

        while (rest.n) {
                (void)sg_str_cut(&rest, '\n', &line);
                if (line.n)
                        last = line;
        }
        return sg_str_head(last, SG_MIN(last.n, (size_t)400));
}

/* missing: what to say when there is no such program; hint: what to do about its failure. */
static int run(const char *const argv[], struct sg_str input, const char *missing, const char *hint,
               struct sg_error *err)
{
        struct sg_buf output;
        int status = 0, r;

        sg_buf_init(&output, OUTPUT_BYTES);
        r = sg_ctl_run(argv, input, &output, &status);
        if (r == -ENOENT) {
                sg_error_set(err, r, "", "%s", missing);
        } else if (r) {
                sg_error_set(err, r, argv[0], "cannot be started: %s", strerror(-r));
        } else if (!WIFEXITED(status) || WEXITSTATUS(status)) {
                SG_AUTO(sg_text_free) char *said = sg_ctl_escape(last_line(&output));

                r = sg_error_set(err, -EIO, argv[0], "%s%s", said && said[0] ? said : "it failed without a word", hint);
        }
        sg_buf_done(&output);
        return r;
}

#define WITHOUT "without it, keep the secret in a file that only the service may read: api_key = file:/path"

static int encrypt(const char *name, const char *path, const struct sg_secret *secret, struct sg_error *err)
{
        char option[SG_NAME_BYTES_MAX + 16];
        const char *const argv[] = {"systemd-creds", "encrypt", option, "-", path, NULL};

        (void)snprintf(option, sizeof(option), "--name=%s", name);
        return run(argv, sg_secret_bytes(secret),
                   "there is no systemd-creds: encrypted credentials need systemd 250 or later; " WITHOUT,
                   "; if it cannot encrypt here, use api_key = file:/path", err);
}

static int tell_manager(struct sg_error *err)
{
        static const char *const argv[] = {"systemctl", "daemon-reload", NULL};

        return run(argv, SG_STR_NONE, "there is no systemctl: credentials are handed over by systemd; " WITHOUT,
                   "; if systemd does not run here, use api_key = file:/path", err);
}

/* ---- directories */

static int make_directory(const char *path, mode_t mode, struct sg_error *err)
{
        if (mkdir(path, mode) == 0) {
                if (chmod(path, mode) == 0) /* whatever the umask is */
                        return 0;
        } else if (errno == EEXIST) {
                return 0;
        }
        return sg_error_set(err, -errno, path, "the directory cannot be made: %s", strerror(errno));
}

/* The directory and the one above it. */
static int make_directories(const char *path, mode_t mode, struct sg_error *err)
{
        SG_AUTO(sg_text_free) char *above = strdup(path);
        char *slash = above ? strrchr(above, '/') : NULL;
        int r;

        if (!slash)
                return sg_error_set(err, above ? -EINVAL : -ENOMEM, path, "the directory cannot be made");
        *slash = '\0';
        r = make_directory(above, mode, err);
        return r ? r : make_directory(path, mode, err);
}

/* ---- both files at once */

struct pair {
        struct sg_swap credential, dropin;
};

static int pair_init(struct pair *p, const struct sg_vault *v, const char *name, bool is_removal, struct sg_error *err)
{
        char file[SG_NAME_BYTES_MAX + 32];
        int r;

        *p = (struct pair){.credential = {.path = NULL}};
        (void)snprintf(file, sizeof(file), "%s" SUFFIX, name);
        r = sg_swap_init(&p->credential, v->directory, file, is_removal, err);
        if (r)
                return r;
        (void)snprintf(file, sizeof(file), DROPIN_NAME_FMT, name);
        return sg_swap_init(&p->dropin, v->dropins, file, is_removal, err);
}

/* The manager is told, or all is as it was. A drop-in never names a credential that is not there. */
static int pair_commit(struct pair *p, struct sg_error *err)
{
        bool is_removal = !p->credential.fresh, is_told = false;
        struct sg_swap *first = is_removal ? &p->dropin : &p->credential;
        struct sg_swap *second = is_removal ? &p->credential : &p->dropin;
        struct sg_error ignored;
        int r;

        r = sg_swap_do(first, err);
        if (!r)
                r = sg_swap_do(second, err);
        if (!r) {
                is_told = true;
                r = tell_manager(err);
        }
        if (!r)
                return 0;
        sg_swap_undo(second);
        sg_swap_undo(first);
        if (is_told)
                (void)!tell_manager(&ignored); /* it may have read the drop-in before it failed */
        return r;
}

static void pair_done(struct pair *p)
{
        sg_swap_done(&p->dropin);
        sg_swap_done(&p->credential);
}

static int write_dropin(struct pair *p, const char *name, struct sg_error *err)
{
        SG_AUTO(sg_text_free) char *text = NULL;

        if (asprintf(&text,
                     "# Written by scribectl credential set; removed by scribectl credential remove.\n"
                     "[Service]\n"
                     "LoadCredentialEncrypted=%s:%s\n",
                     name, p->credential.path) < 0) {
                text = NULL;
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        }
        return sg_swap_write(&p->dropin, sg_str_from(text), 0644, err);
}

int sg_vault_set(const struct sg_vault *v, const char *name, const struct sg_secret *secret, struct sg_error *err)
{
        struct pair p;
        int r;

        r = make_directories(v->directory, 0700, err);
        if (!r)
                r = make_directories(v->dropins, 0755, err);
        if (r)
                return r;
        r = pair_init(&p, v, name, false, err);
        if (!r)
                r = encrypt(name, p.credential.fresh, secret, err);
        if (!r)
                r = sg_swap_write(&p.credential, SG_STR_NONE, 0600, err);
        if (!r)
                r = write_dropin(&p, name, err);
        if (!r)
                r = pair_commit(&p, err);
        pair_done(&p);
        return r;
}

int sg_vault_remove(const struct sg_vault *v, const char *name, struct sg_error *err)
{
        struct stat st;
        struct pair p;
        int r;

        r = pair_init(&p, v, name, true, err);
        if (!r && lstat(p.credential.path, &st) && lstat(p.dropin.path, &st))
                r = sg_error_set(err, -ENOENT, "", "there is no credential '%s'", name);
        if (!r)
                r = pair_commit(&p, err);
        pair_done(&p);
        if (r)
                return r;
        (void)rmdir(v->directory); /* the last one is gone, or not */
        (void)rmdir(v->dropins);
        return 0;
}

/* ---- the list */

/* An encrypted credential is base64; it begins with sixteen bytes that name the kind of key. */
static const struct {
        unsigned char id[KEY_ID_BYTES];
        const char *name;
} keys[] = {
        {{0x5a, 0x1c, 0x6a, 0x86, 0xdf, 0x9d, 0x40, 0x96, 0xb1, 0xd5, 0xa6, 0x5e, 0x08, 0x62, 0xf1, 0x9a}, "host"},
        {{0x0c, 0x7c, 0xc0, 0x7b, 0x11, 0x76, 0x45, 0x91, 0x9c, 0x4b, 0x0b, 0xea, 0x08, 0xbc, 0x20, 0xfe}, "tpm2"},
        {{0xfa, 0xf7, 0xeb, 0x93, 0x41, 0xe3, 0x41, 0x2c, 0xa1, 0xa4, 0x36, 0xf9, 0x5a, 0x29, 0x36, 0x2f}, "tpm2"},
        {{0x93, 0xa8, 0x94, 0x09, 0x48, 0x74, 0x44, 0x90, 0x90, 0xca, 0xf2, 0xfc, 0x93, 0xca, 0xb5, 0x53}, "host+tpm2"},
        {{0xaf, 0x49, 0x50, 0xa8, 0x49, 0x13, 0x4e, 0xb1, 0xa7, 0x38, 0x46, 0x30, 0x4f, 0xf3, 0x0c, 0x05}, "host+tpm2"},
        {{0x05, 0x84, 0x69, 0xda, 0xf6, 0xf5, 0x43, 0x24, 0x80, 0x05, 0x49, 0xda, 0x0f, 0x8e, 0xa2, 0xfb}, "null"},
};

static int base64_value(char c)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const char *at = c ? strchr(digits, c) : NULL;

        return at ? (int)(at - digits) : -1;
}

static const char *key_of_text(const char *text)
{
        unsigned char id[KEY_ID_BYTES];
        uint32_t bits = 0;
        size_t n = 0, n_bits = 0;

        for (const char *c = text; n < sizeof(id); c++) {
                int v = base64_value(*c);

                if (v < 0)
                        return "unknown";
                bits = bits << 6 | (uint32_t)v;
                n_bits += 6;
                if (n_bits >= 8) {
                        n_bits -= 8;
                        id[n++] = (unsigned char)(bits >> n_bits);
                }
        }
        for (size_t i = 0; i < SG_N_ELEMENTS(keys); i++)
                if (memcmp(id, keys[i].id, sizeof(id)) == 0)
                        return keys[i].name;
        return "unknown";
}

static const char *key_of_file(const char *directory, const char *file)
{
        char path[4096], text[32] = "";
        FILE *f;

        if (snprintf(path, sizeof(path), "%s/%s", directory, file) >= (int)sizeof(path))
                return "unknown";
        f = fopen(path, "re");
        if (!f)
                return "unknown";
        if (!fgets(text, sizeof(text), f))
                text[0] = '\0';
        fclose(f);
        return key_of_text(text);
}

static bool has_dropin(const struct sg_vault *v, const char *name)
{
        char path[4096];
        struct stat st;

        return snprintf(path, sizeof(path), "%s/" DROPIN_NAME_FMT, v->dropins, name) < (int)sizeof(path) &&
               stat(path, &st) == 0;
}

static int is_credential(const struct dirent *d)
{
        struct sg_str name = sg_str_from(d->d_name);
        size_t n = sizeof(SUFFIX) - 1;

        return name.n > n && strcmp(d->d_name + name.n - n, SUFFIX) == 0 &&
               sg_secret_is_name(sg_str_head(name, name.n - n));
}

int sg_vault_list(const struct sg_vault *v, struct sg_vault_entry **ret, size_t *ret_n, struct sg_error *err)
{
        struct sg_vault_entry *entries;
        struct dirent **files = NULL;
        int n = scandir(v->directory, &files, is_credential, alphasort);

        if (n < 0 && errno != ENOENT)
                return sg_error_set(err, -errno, v->directory, "cannot be read: %s", strerror(errno));
        n = SG_MAX(n, 0);
        entries = calloc((size_t)n + 1, sizeof(*entries));
        SG_ASSERT(entries);
        for (int i = 0; i < n; i++) {
                entries[i].key = key_of_file(v->directory, files[i]->d_name);
                entries[i].name = strndup(files[i]->d_name, strlen(files[i]->d_name) - (sizeof(SUFFIX) - 1));
                SG_ASSERT(entries[i].name);
                entries[i].has_dropin = has_dropin(v, entries[i].name);
                free(files[i]);
        }
        free(files);
        *ret = entries;
        *ret_n = (size_t)n;
        return 0;
}

void sg_vault_list_free(struct sg_vault_entry *entries, size_t n)
{
        for (size_t i = 0; i < n; i++)
                free(entries[i].name);
        free(entries);
}
