#include "feed/picture_read.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/digest.h"
#include "feed/change.h"

#define BLOCK_BYTES (256u * 1024u)

struct reading {
        struct sg_keytable *table;
        int fd;
        const char *path;
        struct sg_error *err;
        struct sg_buf b;     /* what was read and is no whole line yet */
        size_t bytes;        /* that were read, in all */
        size_t good_bytes;   /* in whole lines that are applied */
        uint64_t n, version; /* lines; the last version that one told */
        bool is_at_end;      /* of the file */
        char *room;          /* for strings of a line */
};

/* ---- one line */

/* The JSON behind a right checksum, or false. */
static bool check_line(struct sg_str line, struct sg_str *ret_json)
{
        uint64_t crc;

        if (line.n < SG_PICTURE_CRC_CHARS + 1 || line.p[SG_PICTURE_CRC_CHARS] != ' ' ||
            sg_str_to_hex64(sg_str_head(line, SG_PICTURE_CRC_CHARS), &crc))
                return false;
        *ret_json = sg_str_skip(line, SG_PICTURE_CRC_CHARS + 1);
        return sg_crc32c(0, ret_json->p, ret_json->n) == crc;
}

/* Each of these: NULL, or what is wrong with the line. */
static const char *apply_group(struct reading *rd, struct sg_feed_told *told)
{
        const struct sg_str text = told->at[SG_FEED_GROUP].json.text;
        struct sg_group_change change = {.id = 0};
        const char *wrong = NULL;

        if (!sg_feed_told_text(told, text, rd->room) || !sg_feed_group_read(&change, told))
                wrong = "not a group";
        else if (sg_keytable_apply_group(rd->table, &change))
                wrong = "out of memory";
        sg_feed_group_done(&change);
        return wrong;
}

static const char *apply_key(struct reading *rd, struct sg_feed_told *told)
{
        struct sg_feed_change change;
        const char *wrong = NULL;

        if (!sg_feed_change_read(&change, told))
                wrong = "not a key";
        else if (sg_keytable_apply(rd->table, &change.key))
                wrong = "out of memory";
        sg_feed_change_done(&change);
        return wrong;
}

/* Line 1 says the format; each line after it is a version, a group or a change of a key. */
static const char *apply_line(struct reading *rd, struct sg_str json)
{
        const struct sg_feed_value *version, *format;
        struct sg_feed_told told;

        if (!sg_feed_told_text(&told, json, rd->room))
                return "not a JSON object";
        version = &told.at[SG_FEED_VERSION];
        format = &told.at[SG_FEED_FORMAT];
        if (rd->n == 0 && (format->kind != SG_FEED_NUMBER || format->number != SG_PICTURE_FORMAT))
                return "not a picture of this format";
        if (version->kind == SG_FEED_ABSENT)
                return told.at[SG_FEED_GROUP].kind == SG_FEED_OBJECT ? apply_group(rd, &told) : apply_key(rd, &told);
        rd->version = version->number;
        return version->kind == SG_FEED_NUMBER ? NULL : "not a version";
}

/* ---- all of them */

/* More bytes behind those that are there; false: see *ret. */
static bool read_more(struct reading *rd, int *ret)
{
        char *at;
        ssize_t n;
        int r = sg_buf_reserve(&rd->b, BLOCK_BYTES, &at);

        *ret = r > 0 ? -EBADMSG : r;
        if (r)
                return false;
        do
                n = read(rd->fd, at, BLOCK_BYTES);
        while (n < 0 && errno == EINTR);
        if (n <= 0) {
                rd->is_at_end = n == 0;
                *ret = n < 0 ? -errno : 0;
                return false;
        }
        sg_buf_added(&rd->b, (size_t)n);
        rd->bytes += (size_t)n;
        return true;
}

/* A line with its end; false at the end of the file or when *ret is not 0. */
static bool next_line(struct reading *rd, struct sg_str *ret_line, int *ret)
{
        size_t looked = 0;

        *ret = 0;
        for (;;) {
                const struct sg_str view = sg_buf_view(&rd->b);
                const size_t end = looked + sg_str_find_byte(sg_str_skip(view, looked), '\n');

                if (end < view.n) {
                        *ret_line = sg_str_head(view, end);
                        return true;
                }
                looked = view.n;
                if (!read_more(rd, ret))
                        return false;
        }
}

static int refuse(struct reading *rd, const char *wrong)
{
        return sg_error_set(rd->err, -EBADMSG, rd->path, "line %llu is %s", (unsigned long long)rd->n + 1, wrong);
}

/* A line whose checksum is wrong was torn if nothing follows it. */
static int judge_bad_line(struct reading *rd, size_t line_bytes)
{
        int r;

        if (sg_buf_length(&rd->b) == line_bytes && !read_more(rd, &r) && rd->is_at_end)
                return 0;
        return sg_error_set(rd->err, -EBADMSG, rd->path, "the line at byte %zu is damaged", rd->good_bytes);
}

static int read_lines(struct reading *rd)
{
        struct sg_str line, json;
        const char *wrong;
        int r;

        while (next_line(rd, &line, &r)) {
                if (!check_line(line, &json))
                        return judge_bad_line(rd, line.n + 1);
                wrong = apply_line(rd, json);
                if (wrong)
                        return refuse(rd, wrong);
                rd->n++;
                rd->good_bytes += line.n + 1;
                sg_buf_take(&rd->b, line.n + 1);
        }
        if (r == -EBADMSG)
                return refuse(rd, "too long");
        if (r)
                return sg_error_set(rd->err, r, rd->path, "cannot be read: %s", strerror(-r));
        return 0;
}

int sg_picture_read(struct sg_keytable *t, int fd, const char *path, uint64_t *ret_version, size_t *ret_good_bytes,
                    size_t *ret_bytes, struct sg_error *err)
{
        struct reading rd = {.table = t, .fd = fd, .path = path, .err = err};
        int r;

        sg_buf_init(&rd.b, SG_PICTURE_LINE_BYTES_MAX + BLOCK_BYTES);
        rd.room = malloc(SG_PICTURE_LINE_BYTES_MAX + BLOCK_BYTES);
        r = rd.room ? read_lines(&rd) : sg_error_set(err, -ENOMEM, path, "out of memory");
        if (!r && rd.n == 0)
                r = sg_error_set(err, -EBADMSG, path, "the file has no whole line");
        free(rd.room);
        sg_buf_done(&rd.b);
        *ret_version = rd.version;
        *ret_good_bytes = rd.good_bytes;
        *ret_bytes = rd.bytes;
        return r;
}
