#include "config/files.h"

#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"

static int refuse_file(const char *path, int r, struct sg_error *err)
{
        const struct passwd *pw;

        if (r == SG_BUF_E_FULL)
                return sg_error_set(err, -EFBIG, path, "the file has more than %u MiB", SG_CONFIG_FILE_BYTES_MAX >> 20);
        if (r == -EACCES || r == -EPERM) {
                pw = getpwuid(geteuid());
                return sg_error_set(
                        err, r, path,
                        "cannot be read by user %s (uid %u), as whom this runs: %s; make it readable for that "
                        "user (and the directories above it searchable)",
                        pw ? pw->pw_name : "without a name", (unsigned)geteuid(), strerror(-r));
        }
        return sg_error_set(err, r, path, "cannot be read: %s", strerror(-r));
}

int sg_config_file_read(const char *path,
                        int (*each)(const char *path, struct sg_str bytes, void *owner, struct sg_error *err),
                        void *owner, struct sg_error *err)
{
        struct sg_buf b;
        int r;

        sg_buf_init(&b, SG_CONFIG_FILE_BYTES_MAX);
        b.secret = true;
        r = sg_buf_add_file(&b, path);
        r = r && r != -ENOMEM ? refuse_file(path, r, err) : r;
        if (!r)
                r = each(path, sg_buf_view(&b), owner, err);
        sg_buf_done(&b);
        return r;
}

static int is_dropin(const struct dirent *entry)
{
        struct sg_str name = sg_str_from(entry->d_name);

        return name.n > 5 && name.p[0] != '.' && sg_str_ends(name, SG_STR(".conf"));
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name); /* the same order in every locale */
}

static int read_in(const char *directory, const char *name,
                   int (*each)(const char *path, struct sg_str bytes, void *owner, struct sg_error *err), void *owner,
                   struct sg_error *err)
{
        char *path;
        int r;

        if (asprintf(&path, "%s/%s", directory, name) < 0)
                return -ENOMEM;
        r = sg_config_file_read(path, each, owner, err);
        free(path);
        return r;
}

int sg_config_files_read(const char *directory,
                         int (*each)(const char *path, struct sg_str bytes, void *owner, struct sg_error *err),
                         void *owner, struct sg_error *err)
{
        struct dirent **entries;
        int n = scandir(directory, &entries, is_dropin, by_bytes), r = 0;

        if (n < 0)
                return errno == ENOENT ? 0 : errno == ENOMEM ? -ENOMEM : refuse_file(directory, -errno, err);
        for (int i = 0; i < n; i++) {
                if (!r)
                        r = read_in(directory, entries[i]->d_name, each, owner, err);
                free(entries[i]);
        }
        free(entries);
        return r;
}
