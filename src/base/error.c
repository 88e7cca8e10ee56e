#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/error.h"
#include "base/message_id.h"

int sg_error_set(struct sg_error *err, int code, const char *where, const char *format, ...)
{
        struct sg_error made = {.code = code > 0 ? -code : code};
        va_list args;

        SG_ASSERT(code != 0);
        if (!err)
                return made.code;
        /* Made aside: the arguments may be err's own text. */
        (void)snprintf(made.where, sizeof(made.where), "%s", where ? where : "");
        va_start(args, format);
        (void)vsnprintf(made.text, sizeof(made.text), format, args);
        va_end(args);
        *err = made;
        return made.code;
}

void sg_error_notable(struct sg_error *err, const char *message_id)
{
        if (!err || err->message_id)
                return;
        SG_ASSERT(err->code != 0 && message_id);
        err->message_id = message_id;
}

void sg_error_needs_mending(struct sg_error *err, const char *message_id)
{
        if (!err || err->message_id)
                return;
        sg_error_notable(err, message_id);
        err->needs_mending = true;
}

void sg_error_about_files(struct sg_error *err)
{
        switch (err ? -err->code : 0) {
        case ENOSPC:
        case EDQUOT:
                sg_error_notable(err, SG_MESSAGE_DISK_FULL);
                return;
        case EACCES:
        case EPERM:
        case EROFS:
        case ENOENT:
        case ENOTDIR:
                sg_error_notable(err, SG_MESSAGE_DIRECTORY);
                return;
        }
}

int sg_error_exit_status(const struct sg_error *err)
{
        return err->needs_mending ? SG_EXIT_CONFIG : SG_EXIT_FAILURE;
}

void sg_error_prefix(struct sg_error *err, const char *prefix)
{
        char text[2 * sizeof(err->text)];

        if (!err)
                return;
        (void)snprintf(text, sizeof(text), "%s: %s", prefix, err->text);
        (void)snprintf(err->text, sizeof(err->text), "%.*s", (int)sizeof(err->text) - 1, text);
}

const char *sg_error_line(const struct sg_error *err, char *out, size_t out_bytes)
{
        (void)snprintf(out, out_bytes, "%s%s%s", err->where, err->where[0] ? ": " : "", err->text);
        return out;
}
