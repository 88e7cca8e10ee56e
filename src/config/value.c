#include "config/value.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/limits.h"
#include "config/units.h"

int sg_value_refuse(const struct sg_value *v, const char *format, ...)
{
        char text[sizeof(v->err->text)];
        va_list args;

        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        return sg_error_set(v->err, -EINVAL, v->where, "%s: %s", v->setting->name, text);
}

const char *sg_value_shown(struct sg_str text, char *out)
{
        const size_t room = SG_VALUE_SHOWN_BYTES - 4; /* the ellipsis and the end */
        size_t n = text.n;

        if (n > room) {
                n = room;
                while (n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
                        n--;
        }
        snprintf(out, SG_VALUE_SHOWN_BYTES, SG_STR_FMT "%s", SG_STR_ARG(sg_str_head(text, n)),
                 n < text.n ? "\xe2\x80\xa6" : "");
        return out;
}

struct sg_str sg_value_next_word(struct sg_str *rest, const char *separators)
{
        size_t start = 0, end;
        struct sg_str word;

        while (start < rest->n && strchr(separators, rest->p[start]))
                start++;
        end = start;
        while (end < rest->n && !strchr(separators, rest->p[end]))
                end++;
        word = sg_str_make(rest->p + start, end - start);
        *rest = sg_str_skip(*rest, end);
        return word;
}

static void *field(const struct sg_value *v, void *object)
{
        SG_ASSERT(v->setting->width > 0);
        return (char *)object + v->setting->offset;
}

static void store_number(const struct sg_value *v, void *object, uint64_t number)
{
        if (v->setting->width == sizeof(uint64_t)) {
                memcpy(field(v, object), &number, sizeof(number));
        } else {
                uint32_t word = (uint32_t)number;

                SG_ASSERT(v->setting->width == sizeof(word) && number <= UINT32_MAX);
                memcpy(field(v, object), &word, sizeof(word));
        }
}

static int store_string(const struct sg_value *v, void *object)
{
        const char *copy = sg_pool_dup(v->pool, v->text);

        if (!copy)
                return -ENOMEM;
        SG_ASSERT(v->setting->width == sizeof(copy));
        memcpy(field(v, object), &copy, sizeof(copy));
        return 0;
}

/* ---- words */

static int store_bool(const struct sg_value *v, void *object)
{
        static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
        char shown[SG_VALUE_SHOWN_BYTES];

        for (size_t i = 0; i < SG_N_ELEMENTS(words); i++)
                if (sg_str_ieq(v->text, sg_str_from(words[i]))) {
                        bool is_true = i % 2;

                        memcpy(field(v, object), &is_true, sizeof(is_true));
                        return 0;
                }
        return sg_value_refuse(v, "'%s' is neither yes nor no", sg_value_shown(v->text, shown));
}

int sg_value_refuse_word(const struct sg_value *v, const char *const *words, size_t n_words)
{
        char shown[SG_VALUE_SHOWN_BYTES], guess[64], list[256] = "";
        struct sg_nearest nearest;

        sg_nearest_init(&nearest, v->text);
        for (size_t i = 0, n = 0; i < n_words && n < sizeof(list); i++) {
                sg_nearest_try(&nearest, sg_str_from(words[i]));
                n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", i ? ", " : "", words[i]);
        }
        return sg_value_refuse(v, "'%s' is not one of %s%s", sg_value_shown(v->text, shown), list,
                               sg_nearest_text(&nearest, guess, sizeof(guess)));
}

static int store_word(const struct sg_value *v, void *object)
{
        const char *const *words = v->setting->words;
        size_t n = 0;

        for (; words[n]; n++)
                if (sg_str_ieq(v->text, sg_str_from(words[n]))) {
                        store_number(v, object, v->setting->first + n);
                        return 0;
                }
        return sg_value_refuse_word(v, words, n);
}

/* ---- numbers */

static bool is_in_range(const struct sg_setting *s, uint64_t number)
{
        return number >= s->min && number <= s->max && (s->width >= sizeof(uint64_t) || number <= UINT32_MAX);
}

static int store_duration(const struct sg_value *v, void *object)
{
        char min[SG_UNITS_TEXT_BYTES], max[SG_UNITS_TEXT_BYTES], shown[SG_VALUE_SHOWN_BYTES],
                unit[SG_VALUE_SHOWN_BYTES];
        uint64_t usec;
        int r = sg_units_duration(v->text, &usec);

        sg_value_shown(v->text, shown);
        if (r == SG_UNITS_E_NO_UNIT)
                return sg_value_refuse(v, "'%s' needs a unit: us, ms, s, m, h or d", shown);
        if (r == SG_UNITS_E_UNIT)
                return sg_value_refuse(v, "'%s' is not a unit of time; those are us, ms, s, m, h and d",
                                       sg_value_shown(sg_units_unit(v->text), unit));
        if (r == SG_UNITS_E_SYNTAX)
                return sg_value_refuse(v, "'%s' is not a duration such as 250ms, 90s or 5m", shown);
        if (r || !is_in_range(v->setting, usec))
                return sg_value_refuse(v, "'%s' is out of range: %s to %s", shown,
                                       sg_units_duration_text(v->setting->min, min),
                                       sg_units_duration_text(v->setting->max, max));
        store_number(v, object, usec);
        return 0;
}

static int store_duration_or_none(const struct sg_value *v, void *object)
{
        if (!sg_str_ieq(v->text, SG_STR("none")))
                return store_duration(v, object);
        store_number(v, object, SG_USEC_NEVER);
        return 0;
}

static int store_size(const struct sg_value *v, void *object)
{
        char min[SG_UNITS_TEXT_BYTES], max[SG_UNITS_TEXT_BYTES], shown[SG_VALUE_SHOWN_BYTES],
                unit[SG_VALUE_SHOWN_BYTES];
        uint64_t bytes;
        int r = sg_units_size(v->text, &bytes);

        sg_value_shown(v->text, shown);
        if (r == SG_UNITS_E_UNIT)
                return sg_value_refuse(v, "'%s' is not a unit of size; those are K, M and G, or none for bytes",
                                       sg_value_shown(sg_units_unit(v->text), unit));
        if (r == SG_UNITS_E_SYNTAX)
                return sg_value_refuse(v, "'%s' is not a size such as 65536, 64K or 1G", shown);
        if (r || !is_in_range(v->setting, bytes))
                return sg_value_refuse(v, "'%s' is out of range: %s to %s", shown,
                                       sg_units_size_text(v->setting->min, min),
                                       sg_units_size_text(v->setting->max, max));
        store_number(v, object, bytes);
        return 0;
}

static int store_count(const struct sg_value *v, void *object)
{
        const bool has_auto = v->setting->kind == SG_KIND_WORKERS;
        char shown[SG_VALUE_SHOWN_BYTES];
        uint64_t number;
        int r = sg_str_to_u64(v->text, &number);

        sg_value_shown(v->text, shown);
        if (r == SG_STR_E_SYNTAX)
                return sg_value_refuse(v, has_auto ? "'%s' is neither auto nor a number" : "'%s' is not a number",
                                       shown);
        if (r || !is_in_range(v->setting, number))
                return sg_value_refuse(v, "'%s' is out of range: %" PRIu64 " to %" PRIu64, shown, v->setting->min,
                                       v->setting->max);
        store_number(v, object, number);
        return 0;
}

static unsigned n_processors(void)
{
        cpu_set_t set;
        int n;

        CPU_ZERO(&set);
        /* Fails on a machine with more processors than the set has room for: enough for any number of workers. */
        if (sched_getaffinity(0, sizeof(set), &set) < 0)
                return SG_WORKERS_MAX;
        n = CPU_COUNT(&set);
        return n < 1 ? 1 : SG_MIN((unsigned)n, SG_WORKERS_MAX);
}

static int store_workers(const struct sg_value *v, void *object)
{
        if (!sg_str_ieq(v->text, SG_STR("auto")))
                return store_count(v, object);
        store_number(v, object, n_processors());
        return 0;
}

/* ---- names and places */

/* At the end of a value these would be lost or refused when it is read again. */
static bool may_not_end(char c)
{
        return c == ' ' || c == '\t' || c == '\\';
}

static int store_path(const struct sg_value *v, void *object)
{
        char shown[SG_VALUE_SHOWN_BYTES];
        struct sg_value path = *v;

        if (v->text.p[0] != '/')
                return sg_value_refuse(v, "'%s' is not an absolute path", sg_value_shown(v->text, shown));
        while (path.text.n > 1 && path.text.p[path.text.n - 1] == '/' && !may_not_end(path.text.p[path.text.n - 2]))
                path.text.n--;
        if (path.text.n > v->setting->max)
                return sg_value_refuse(v, "'%s' has more than %" PRIu64 " bytes", sg_value_shown(v->text, shown),
                                       v->setting->max);
        return store_string(&path, object);
}

static int store_group(const struct sg_value *v, void *object)
{
        char shown[SG_VALUE_SHOWN_BYTES];

        for (size_t i = 0; i < v->text.n; i++)
                if (v->text.p[i] == ' ' || v->text.p[i] == '\t' || v->text.p[i] == ':' || v->text.p[i] == ',')
                        return sg_value_refuse(v, "'%s' is not the name of one group", sg_value_shown(v->text, shown));
        return store_string(v, object);
}

static int store_sink(const struct sg_value *v, void *object)
{
        static const char *const words[] = {"auto", "journal", "stderr", "file:/path", "none"};
        struct sg_config *c = object;
        struct sg_str path = v->text;

        c->log_sink_is_auto = sg_str_ieq(v->text, SG_STR("auto"));
        c->log_path = NULL;
        if (c->log_sink_is_auto) {
                c->log_sink = sg_log_sink_auto();
        } else if (sg_str_ieq(v->text, SG_STR("journal"))) {
                c->log_sink = SG_LOG_TO_JOURNAL;
        } else if (sg_str_ieq(v->text, SG_STR("stderr"))) {
                c->log_sink = SG_LOG_TO_STDERR;
        } else if (sg_str_ieq(v->text, SG_STR("none"))) {
                c->log_sink = SG_LOG_TO_NONE;
        } else if (sg_str_starts(v->text, SG_STR("file:"))) {
                path = sg_str_skip(path, 5);
                if (path.n == 0 || path.p[0] != '/')
                        return sg_value_refuse(v, "the path after file: must be absolute");
                c->log_sink = SG_LOG_TO_FILE;
                c->log_path = sg_pool_dup(v->pool, path);
                return c->log_path ? 0 : -ENOMEM;
        } else {
                return sg_value_refuse_word(v, words, SG_N_ELEMENTS(words));
        }
        return 0;
}

static int store_url(const struct sg_value *v, void *object)
{
        return sg_value_url(v, object);
}

static int store_proxy(const struct sg_value *v, void *object)
{
        return sg_value_proxy(v, object);
}

static int store_host(const struct sg_value *v, void *object)
{
        char shown[SG_VALUE_SHOWN_BYTES];

        if (!sg_url_is_host(v->text))
                return sg_value_refuse(v, "'%s' is neither a host name nor an address", sg_value_shown(v->text, shown));
        return store_string(v, object);
}

/* It stands in a query and in a header field. */
static int store_api_version(const struct sg_value *v, void *object)
{
        char shown[SG_VALUE_SHOWN_BYTES];

        if (v->text.n > v->setting->max || !sg_secret_is_name(v->text))
                return sg_value_refuse(v, "'%s' is not a version such as 2024-10-21", sg_value_shown(v->text, shown));
        return store_string(v, object);
}

static int store_text(const struct sg_value *v, void *object)
{
        for (size_t i = 0; i < v->text.n; i++)
                if (v->text.p[i] <= ' ' || v->text.p[i] > '~')
                        return sg_value_refuse(v, "it may have visible ASCII characters only, and no blanks");
        if (v->text.n > v->setting->max)
                return sg_value_refuse(v, "it has more than %u characters", (unsigned)v->setting->max);
        return store_string(v, object);
}

int sg_value_store(const struct sg_value *v, void *object)
{
        static int (*const store[SG_KIND_N])(const struct sg_value *v, void *object) = {
                [SG_KIND_BOOL] = store_bool,
                [SG_KIND_WORD] = store_word,
                [SG_KIND_DURATION] = store_duration,
                [SG_KIND_SIZE] = store_size,
                [SG_KIND_COUNT] = store_count,
                [SG_KIND_WORKERS] = store_workers,
                [SG_KIND_DIRECTORY] = store_path,
                [SG_KIND_FILE] = store_path,
                [SG_KIND_GROUP] = store_group,
                [SG_KIND_SINK] = store_sink,
                [SG_KIND_DATABASE] = sg_value_database,
                [SG_KIND_REDIS] = sg_value_redis,
                [SG_KIND_TEXT] = store_text,
                [SG_KIND_ADDRESS] = sg_value_address,
                [SG_KIND_URL] = store_url,
                [SG_KIND_PROXY] = store_proxy,
                [SG_KIND_HOST] = store_host,
                [SG_KIND_PROBE] = sg_value_probe,
                [SG_KIND_PREFIX] = sg_value_prefix,
                [SG_KIND_TOKENS] = sg_value_tokens,
                [SG_KIND_HASH_BY] = sg_value_hash_by,
                [SG_KIND_HEALTH] = sg_value_health,
                [SG_KIND_API_VERSION] = store_api_version,
                [SG_KIND_MODEL] = store_string,
                [SG_KIND_DURATION_OR_NONE] = store_duration_or_none,
        };

        SG_ASSERT(v->text.n > 0 && store[v->setting->kind]);
        return store[v->setting->kind](v, object);
}
