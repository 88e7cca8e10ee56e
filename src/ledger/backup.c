/*
 * Why the rings of the journal are not in it: scribectl has the running ledger drain them first, and only then a copy is
 * made. So every exchange that was answered before is in the database, with the marks of the rings, and what was open as
 * open. Rings copied beside it would be torn (a gateway writes to them) and older or newer than the marks. When the
 * database comes back beside rings that went on meanwhile, the drain goes on at the marks that came back with it:
 * nothing is stored twice, and what is still in a ring is found again. Rings that are gone are settled as the drain
 * settles any that is missing. Neither is the gateway's picture of the keys in it: it is made anew of the ledger's keys.
 */
#include "ledger/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "ledger/tar.h"
#include "sg_build.h"
#include "varlink/members.h"
#include "varlink/strict.h"

#define FORMAT             1
#define MANIFEST           "manifest.json"
#define MANIFEST_BYTES_MAX (64u * 1024u)
#define PATH_BYTES         4096
#define DEPTH_MAX          8

static int fail(struct sg_error *err, int r, const char *where, const char *doing)
{
        if (r == SG_TAR_E_BAD)
                return sg_error_set(err, -EBADMSG, where,
                                    "this is no whole backup of scribe-gateway: take another, nothing was changed");
        if (r == -ENOSPC || r == -EDQUOT)
                return sg_error_set(err, r, where, "%s: the disk is full: free some space", doing);
        return sg_error_set(err, r, where, "%s: %s", doing, strerror(-r));
}

static int sync_directory_of(const char *path)
{
        char dir[PATH_BYTES];
        const char *slash = strrchr(path, '/');
        int fd, r;

        (void)snprintf(dir, sizeof(dir), "%.*s", slash ? (int)SG_MAX(slash - path, (ptrdiff_t)1) : 1,
                       slash ? path : ".");
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = fsync(fd) < 0 ? -errno : 0;
        (void)close(fd);
        return r;
}

/* ---- backup */

struct backup {
        const struct sg_store_options *store;
        const char *path;
        char part[PATH_BYTES], dump[PATH_BYTES];
        uint64_t wall_usec;
        struct sg_store_counts counts;
        uint64_t bytes;
        char sha256[SG_SHA256_HEX];
};

static struct json_object *manifest(const struct backup *b)
{
        struct json_object *o = json_object_new_object(), *files = json_object_new_array(),
                           *file = json_object_new_object();

        sg_members_add_u64(o, "format", FORMAT);
        sg_members_add_text(o, "version", SG_STR(SG_VERSION));
        sg_members_add_u64(o, "created_wall_usec", b->wall_usec);
        sg_members_add_u64(o, "schema_version", (uint64_t)b->counts.schema_version);
        sg_members_add_u64(o, "key_version", b->counts.key_version);
        sg_members_add_u64(o, "keys", b->counts.n_keys_active + b->counts.n_keys_expired + b->counts.n_keys_revoked);
        sg_members_add_u64(o, "usage_events", b->counts.n_usage);
        sg_members_add_u64(o, "open_exchanges", b->counts.n_open);
        sg_members_add_text(file, "name", sg_str_from(sg_store_dump_name(b->store)));
        sg_members_add_u64(file, "bytes", b->bytes);
        sg_members_add_text(file, "sha256", sg_str_from(b->sha256));
        json_object_array_add(files, file);
        json_object_object_add(o, "files", files);
        return o;
}

static int write_archive(struct backup *b, int fd, struct json_object **ret)
{
        int from = open(b->dump, O_RDONLY | O_CLOEXEC), r;
        size_t n;

        if (from < 0)
                return -errno;
        r = sg_tar_add_file(fd, sg_store_dump_name(b->store), from, b->wall_usec, &b->bytes, b->sha256);
        (void)close(from);
        if (r)
                return r;
        *ret = manifest(b);
        n = strlen(json_object_to_json_string_ext(*ret, JSON_C_TO_STRING_PRETTY));
        r = sg_tar_add_bytes(fd, MANIFEST,
                             sg_str_make(json_object_to_json_string_ext(*ret, JSON_C_TO_STRING_PRETTY), n),
                             b->wall_usec);
        if (!r)
                r = sg_tar_end(fd);
        if (!r && fsync(fd) < 0)
                r = -errno;
        return r;
}

/* link(2) does not replace what is there, as rename(2) does; but not every file system has it. */
static int give_name(const char *part, const char *path)
{
        if (link(part, path) < 0 && (errno == EEXIST || rename(part, path) < 0))
                return -errno;
        return sync_directory_of(path);
}

static int make_archive(struct backup *b, struct json_object **ret, struct sg_error *err)
{
        int fd = open(b->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), r;

        if (fd < 0)
                return fail(err, -errno, b->part, "cannot make the backup");
        r = sg_store_dump(b->store, b->dump, &b->counts, err);
        if (!r) {
                r = write_archive(b, fd, ret);
                if (r)
                        r = fail(err, r, b->part, "cannot write the backup");
        }
        (void)close(fd);
        (void)unlink(b->dump);
        if (!r) {
                r = give_name(b->part, b->path);
                if (r)
                        r = fail(err, r, b->path, "cannot name the backup");
        }
        (void)unlink(b->part);
        return r;
}

int sg_backup(const struct sg_store_options *store, const char *path, struct json_object **ret, struct sg_error *err)
{
        struct backup b = {.store = store, .path = path, .wall_usec = sg_clock_wall_usec()};
        struct json_object *made = NULL;
        int r;

        if ((size_t)snprintf(b.part, sizeof(b.part), "%s.part", path) >= sizeof(b.part) ||
            (size_t)snprintf(b.dump, sizeof(b.dump), "%s.dump", path) >= sizeof(b.dump))
                return fail(err, -ENAMETOOLONG, path, "cannot make the backup");
        if (access(path, F_OK) == 0)
                return sg_error_set(err, -EEXIST, path, "there is a file already: name another");
        r = make_archive(&b, &made, err);
        if (r) {
                json_object_put(made);
                return r;
        }
        *ret = made;
        return 0;
}

/* ---- restore */

static int read_manifest(int fd, struct json_object **ret)
{
        struct sg_tar_member m;
        char *text;
        int r;

        r = sg_tar_next(fd, &m);
        if (r)
                return r < 0 ? r : SG_TAR_E_BAD;
        if (strcmp(m.name, MANIFEST) != 0 || m.bytes == 0 || m.bytes > MANIFEST_BYTES_MAX)
                return SG_TAR_E_BAD;
        text = malloc((size_t)m.bytes);
        if (!text)
                return -ENOMEM;
        r = sg_tar_take_bytes(fd, &m, text);
        if (!r) {
                if (sg_varlink_read_object(ret, sg_str_make(text, (size_t)m.bytes), DEPTH_MAX) != 0)
                        r = SG_TAR_E_BAD;
        }
        free(text);
        return r;
}

static const char *text_of(struct json_object *o, const char *name)
{
        struct json_object *v = json_object_object_get(o, name);

        return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
}

static uint64_t number_of(struct json_object *o, const char *name)
{
        struct json_object *v = json_object_object_get(o, name);

        return json_object_is_type(v, json_type_int) ? json_object_get_uint64(v) : 0;
}

/* The dump is what the manifest says of it. */
static int compare(struct json_object *o, const struct sg_tar_member *m, const char *sha256)
{
        struct json_object *files = json_object_object_get(o, "files"), *file;

        if (!json_object_is_type(files, json_type_array) || json_object_array_length(files) != 1)
                return SG_TAR_E_BAD;
        file = json_object_array_get_idx(files, 0);
        if (!json_object_is_type(file, json_type_object) || strcmp(text_of(file, "name"), m->name) != 0 ||
            number_of(file, "bytes") != m->bytes || strcmp(text_of(file, "sha256"), sha256) != 0)
                return SG_TAR_E_BAD;
        return 0;
}

static int check_versions(const char *path, struct json_object *o, struct sg_error *err)
{
        uint64_t format = number_of(o, "format"), schema = number_of(o, "schema_version");

        if (format == FORMAT && schema <= SG_SCHEMA_VERSION)
                return 0;
        return sg_error_set(
                err, -ENOTSUP, path,
                "the backup was made by version %.40s (format %llu, schema %llu); this one reads format %d, "
                "schemas up to %d: install that version or a newer one, and restore with it",
                text_of(o, "version"), (unsigned long long)format, (unsigned long long)schema, FORMAT,
                SG_SCHEMA_VERSION);
}

static int extract(const struct sg_store_options *store, int fd, const char *path, const char *to,
                   struct json_object **ret, struct sg_error *err)
{
        char sha256[SG_SHA256_HEX];
        struct sg_tar_member m;
        int out, r;

        r = sg_tar_next(fd, &m);
        if (r)
                return fail(err, r < 0 ? r : SG_TAR_E_BAD, path, "cannot read the backup");
        if (strcmp(m.name, sg_store_dump_name(store)) != 0)
                return sg_error_set(err, -EMEDIUMTYPE, path,
                                    "the backup holds \"%s\", which is of another kind of database than [ledger] "
                                    "database names",
                                    m.name);
        out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (out < 0)
                return fail(err, -errno, to, "cannot write the database");
        r = sg_tar_take_file(fd, &m, out, sha256);
        if (!r && fsync(out) < 0)
                r = -errno;
        if (close(out) < 0 && !r)
                r = -errno;
        if (!r)
                r = read_manifest(fd, ret);
        if (!r)
                r = check_versions(path, *ret, err) ? -ENOTSUP : compare(*ret, &m, sha256);
        return r == 0 || r == -ENOTSUP ? r : fail(err, r, r > 0 ? path : to, "cannot write the database");
}

int sg_restore(const struct sg_store_options *store, const char *state_directory, const char *path,
               struct json_object **ret, struct sg_error *err)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), r;
        struct json_object *found = NULL;
        char to[PATH_BYTES];

        if (fd < 0)
                return fail(err, -errno, path, "cannot open the backup");
        r = sg_store_load_path(store, state_directory, to, sizeof(to), err);
        if (!r) {
                (void)unlink(to); /* of an attempt that was killed */
                r = extract(store, fd, path, to, &found, err);
                if (!r)
                        r = sg_store_load(store, to, err);
                (void)unlink(to);
        }
        (void)close(fd);
        if (r) {
                json_object_put(found);
                return r;
        }
        *ret = found;
        return 0;
}
