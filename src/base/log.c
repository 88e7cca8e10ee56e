#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"

_Atomic int sg_log_level_now = SG_LOG_INFO;
static _Atomic(const char *) identity = "scribe-gateway";
static const char *const level_names[] = {
        [SG_LOG_ERR] = "err",   [SG_LOG_WARNING] = "warning", [SG_LOG_NOTICE] = "notice",
        [SG_LOG_INFO] = "info", [SG_LOG_DEBUG] = "debug",
};

void sg_log_set_identity(const char *name)
{
        atomic_store(&identity, name);
}

void sg_log_set_level(enum sg_log_level level)
{
        atomic_store(&sg_log_level_now, (int)level);
}

enum sg_log_level sg_log_get_level(void)
{
        return (enum sg_log_level)atomic_load(&sg_log_level_now);
}

const char *sg_log_level_name(enum sg_log_level level)
{
        SG_ASSERT(level >= SG_LOG_ERR && level <= SG_LOG_DEBUG);
        return level_names[level];
}

int sg_log_level_parse(struct sg_str name, enum sg_log_level *ret)
{
        for (int level = SG_LOG_ERR; level <= SG_LOG_DEBUG; level++)
                if (sg_str_ieq(name, sg_str_from(level_names[level]))) {
                        *ret = (enum sg_log_level)level;
                        return 0;
                }
        return SG_STR_E_SYNTAX;
}

enum sg_log_sink sg_log_sink_auto(void)
{
        return SG_LOG_TO_STDERR;
}

int sg_log_start(enum sg_log_sink sink, const char *path, struct sg_error *err)
{
        return 0;
}

void sg_log_reopen(void)
{
}

void sg_log_stop(void)
{
}

uint64_t sg_log_n_lost(void)
{
        return 0;
}

void sg_log_line(enum sg_log_level level, const char *message_id, const struct sg_log_field *fields, size_t n_fields,
                 const char *format, ...)
{
        char text[SG_LOG_LINE_BYTES_MAX];
        va_list args;
        int n;

        n = snprintf(text, sizeof(text), "%s: ", atomic_load(&identity));
        va_start(args, format);
        n += vsnprintf(text + n, sizeof(text) - (size_t)n, format, args);
        va_end(args);
        n = SG_MIN(n, (int)sizeof(text) - 1);
        text[n] = '\n';
        if (write(STDERR_FILENO, text, (size_t)n + 1) < 0)
                return;
}
