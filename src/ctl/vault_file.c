#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/vault.h"

static int failed(struct sg_error *err, const char *path, const char *what)
{
        int code = -errno;

        return sg_error_set(err, code, path, "%s: %s", what, strerror(-code));
}

int sg_swap_init(struct sg_swap *s, const char *directory, const char *name, bool is_removal, struct sg_error *err)
{
        int fd;

        *s = (struct sg_swap){.path = NULL};
        if (asprintf(&s->path, "%s/%s", directory, name) < 0) {
                s->path = NULL;
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        }
        if (is_removal)
                return 0;
        if (asprintf(&s->fresh, "%s/.%s.XXXXXX", directory, name) < 0) {
                s->fresh = NULL;
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        }
        fd = mkostemp(s->fresh, O_CLOEXEC);
        if (fd < 0) {
                int r = failed(err, s->fresh, "cannot be made");

                free(s->fresh);
                s->fresh = NULL;
                return r;
        }
        close(fd);
        return 0;
}

static int write_text(int fd, struct sg_str text)
{
        while (text.n) {
                ssize_t n = write(fd, text.p, text.n);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return -1;
                text = sg_str_skip(text, (size_t)n);
        }
        return 0;
}

int sg_swap_write(struct sg_swap *s, struct sg_str text, unsigned mode, struct sg_error *err)
{
        int fd = open(s->fresh, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | (text.p ? O_TRUNC : 0)), r = 0;

        if (fd < 0)
                return failed(err, s->fresh, "cannot be written");
        if (write_text(fd, text) || fchmod(fd, mode) || fsync(fd))
                r = failed(err, s->fresh, "cannot be written");
        if (close(fd) && !r)
                r = failed(err, s->fresh, "cannot be written");
        return r;
}

static void sync_directory_of(const char *path)
{
        SG_AUTO(sg_text_free) char *directory = strdup(path);
        char *slash = directory ? strrchr(directory, '/') : NULL;
        int fd;

        if (!slash)
                return;
        *slash = '\0';
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return;
        (void)fsync(fd); /* what the disk does not keep was not there before either */
        close(fd);
}

int sg_swap_do(struct sg_swap *s, struct sg_error *err)
{
        SG_AUTO(sg_text_free) char *former = NULL;
        char *slash = strrchr(s->path, '/');

        SG_ASSERT(slash && !s->has_done);
        if (asprintf(&former, "%.*s/.%s.former", (int)(slash - s->path), s->path, slash + 1) < 0) {
                former = NULL;
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        }
        (void)unlink(former); /* of somebody who was killed */
        if (link(s->path, former) == 0)
                s->former = SG_GIVE(former);
        else if (errno != ENOENT)
                return failed(err, s->path, "cannot be kept aside");
        if (s->fresh ? rename(s->fresh, s->path) : unlink(s->path) && errno != ENOENT)
                return failed(err, s->path, s->fresh ? "cannot be put in place" : "cannot be removed");
        free(s->fresh);
        s->fresh = NULL;
        s->has_done = true;
        sync_directory_of(s->path);
        return 0;
}

void sg_swap_undo(struct sg_swap *s)
{
        if (!s->has_done)
                return;
        if (s->former)
                (void)rename(s->former, s->path);
        else
                (void)unlink(s->path);
        s->has_done = false;
        sync_directory_of(s->path);
}

void sg_swap_done(struct sg_swap *s)
{
        if (s->fresh)
                (void)unlink(s->fresh);
        if (s->former)
                (void)unlink(s->former);
        free(s->path);
        free(s->fresh);
        free(s->former);
        *s = (struct sg_swap){.path = NULL};
}
