/*
 * Environment variables, for containers. They become lines after those of the files, so that the same checks see them
 * and `scribectl config show` tells where a value comes from.
 *
 * Not read here, though the projects that the gateway serves use them: MAX_CONNECTIONS and CONNECT_TIMEOUT, which size
 * a pool of database connections.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "config/build.h"

#define BASE_URL             "https://api.openai.com/v1"
#define MODEL                "gpt-4o-mini"
#define MODEL_HIGH_PRECISION "gpt-4o"
#define PROVIDER             "llm"
#define FROM(variable)       "environment variable " variable

const char *sg_surroundings_env(const struct sg_surroundings *around, const char *name)
{
        const char *value = around->get_env ? around->get_env(name) : NULL;

        return value && value[0] ? value : NULL;
}

/* ---- what several variables have in common */

struct sg_str sg_environment_port(const char *text)
{
        struct sg_str port = sg_str_from(text), before;

        if (sg_str_starts(port, SG_STR("tcp://")))
                while (sg_str_find_byte(port, ':') < port.n)
                        (void)sg_str_cut(&port, ':', &before);
        return port;
}

/* A container's secret is a file, which no inspection of the container shows. An empty one counts as none, so that a
 * compose file can name one in either case. */
const char *sg_environment_secret(struct sg_raw *raw, const struct sg_surroundings *around, const char *name,
                                  const char **ret_where, int *ret)
{
        const char *variable = sg_surroundings_env(around, name) ? name : sg_pool_printf(raw->pool, "%s_FILE", name);
        const char *path = variable && variable != name ? sg_surroundings_env(around, variable) : NULL;
        const char *source = NULL;
        struct stat st;

        *ret = 0;
        if (variable && variable != name && (!path || (stat(path, &st) == 0 && st.st_size == 0)))
                return NULL;
        *ret_where = sg_pool_printf(raw->pool, "environment variable %s", variable ? variable : name);
        if (variable && *ret_where)
                source = sg_pool_printf(raw->pool, path ? "file:%s" : "env:%s", path ? path : name);
        if (!source)
                *ret = -ENOMEM;
        return source;
}

/* ---- log level: the words of other log libraries, too */

static bool level_word(struct sg_str word, struct sg_str *ret)
{
        static const struct {
                const char *theirs, *ours;
        } levels[] = {
                {"trace", "debug"}, {"warn", "warning"}, {"error", "err"}, {"critical", "err"}, {"fatal", "err"},
        };
        enum sg_log_level level;

        for (size_t i = 0; i < SG_N_ELEMENTS(levels); i++)
                if (sg_str_ieq(word, sg_str_from(levels[i].theirs)))
                        word = sg_str_from(levels[i].ours);
        *ret = word;
        return sg_log_level_parse(word, &level) == 0;
}

static int apply_log_level(struct sg_raw *raw, const struct sg_surroundings *around)
{
        const char *plain = sg_surroundings_env(around, "LOG_LEVEL"), *filter = sg_surroundings_env(around, "RUST_LOG");
        struct sg_str rest = sg_str_from(filter), word, level;

        if (plain) {
                (void)level_word(sg_str_trim(sg_str_from(plain)), &level); /* a wrong one is told with the others */
                return sg_raw_put(raw, SG_SECTION_LOG, NULL, "level", level, FROM("LOG_LEVEL"));
        }
        /* "info,tower=warn": the directive without a target is about everything. */
        while (rest.n) {
                (void)sg_str_cut(&rest, ',', &word);
                if (level_word(sg_str_trim(word), &level))
                        return sg_raw_put(raw, SG_SECTION_LOG, NULL, "level", level, FROM("RUST_LOG"));
        }
        return 0;
}

/* ---- the provider "llm" and the models that it serves */

/* The provider that a target names, before it is checked. */
static struct sg_str provider_of(struct sg_str target)
{
        size_t n = 0;

        while (n < target.n && target.p[n] != '/' && target.p[n] != ' ' && target.p[n] != '\t')
                n++;
        return sg_str_head(target, n);
}

/* All targets go to the practice provider. */
static bool is_practice(const struct sg_raw *raw, const struct sg_raw_section *model)
{
        const struct sg_setting *dialect = sg_setting_get("provider.dialect"), *target = sg_setting_get("model.target");
        const struct sg_raw_line *line = sg_raw_first_of(model, target);

        if (!line)
                return false;
        for (; line; line = sg_raw_next_of(model, line)) {
                const struct sg_raw_section *p = sg_raw_find(raw, SG_SECTION_PROVIDER, provider_of(line->value));
                const struct sg_raw_line *of = sg_raw_last(p, dialect);

                if (!of || !sg_str_ieq(of->value, SG_STR("echo")))
                        return false;
        }
        return true;
}

/* A section's name, or an alias. */
static bool is_model(const struct sg_raw *raw, struct sg_str name)
{
        const struct sg_setting *alias = sg_setting_get("model.alias");
        struct sg_str rest;

        if (sg_raw_find(raw, SG_SECTION_MODEL, name))
                return true;
        SG_LIST_EACH (&raw->sections, k)
                for (const struct sg_raw_line *line = sg_raw_first_of(SG_RAW_SECTION(k), alias); line;
                     line = sg_raw_next_of(SG_RAW_SECTION(k), line)) {
                        rest = line->value;
                        for (struct sg_str word; (word = sg_value_next_word(&rest, " \t,")).n;)
                                if (sg_str_eq(word, name))
                                        return true;
                }
        return false;
}

static int put_target(struct sg_raw *raw, const char *model, const char *upstream, const char *where)
{
        const char *target = upstream ? sg_pool_printf(raw->pool, PROVIDER "/%s", upstream) : PROVIDER;

        return target ? sg_raw_put(raw, SG_SECTION_MODEL, model, "target", sg_str_from(target), where) : -ENOMEM;
}

static int put_default(struct sg_raw *raw, const struct sg_surroundings *around, const char *key_where)
{
        const char *upstream = sg_surroundings_env(around, "LLM_DEFAULT_MODEL");
        const char *where = upstream ? FROM("LLM_DEFAULT_MODEL") : key_where;
        const struct sg_raw_section *model = sg_raw_find(raw, SG_SECTION_MODEL, SG_STR("default"));
        int r = 0;

        if (model ? !is_practice(raw, model) : is_model(raw, SG_STR("default")))
                return 0;
        if (model) {
                sg_notice("%s is set: model \"default\" (%s) goes to provider \"" PROVIDER
                          "\" instead of the practice provider",
                          key_where, model->where);
                r = sg_raw_put(raw, SG_SECTION_MODEL, "default", "target", SG_STR(""), where);
        }
        return r ? r : put_target(raw, "default", upstream ? upstream : MODEL, where);
}

static int apply_llm(struct sg_raw *raw, const struct sg_surroundings *around)
{
        const char *url = sg_surroundings_env(around, "LLM_BASE_URL");
        const char *high = sg_surroundings_env(around, "LLM_HIGH_PRECISION_MODEL");
        const bool is_there = sg_raw_find(raw, SG_SECTION_PROVIDER, SG_STR(PROVIDER));
        const char *where, *key;
        int r;

        key = sg_environment_secret(raw, around, "LLM_API_KEY", &where, &r);
        /* The URL alone makes no provider: many .env files carry it beside an empty key. */
        if (!r && url && is_there)
                r = sg_raw_put(raw, SG_SECTION_PROVIDER, PROVIDER, "base_url", sg_str_from(url), FROM("LLM_BASE_URL"));
        if (r || !key)
                return r;
        if (!is_there) {
                r = sg_raw_put(raw, SG_SECTION_PROVIDER, PROVIDER, "dialect", SG_STR("openai"), where);
                if (!r)
                        r = sg_raw_put(raw, SG_SECTION_PROVIDER, PROVIDER, "base_url",
                                       sg_str_from(url ? url : BASE_URL), url ? FROM("LLM_BASE_URL") : where);
        }
        if (!r)
                r = sg_raw_put(raw, SG_SECTION_PROVIDER, PROVIDER, "api_key", sg_str_from(key), where);
        if (!r)
                r = put_default(raw, around, where);
        if (!r && !is_model(raw, SG_STR("high_precision")))
                r = put_target(raw, "high_precision", high ? high : MODEL_HIGH_PRECISION,
                               high ? FROM("LLM_HIGH_PRECISION_MODEL") : where);
        if (!r && !sg_raw_find(raw, SG_SECTION_MODEL, SG_STR("*")))
                r = put_target(raw, "*", NULL, where);
        return r;
}

/* ---- directories that systemd made for the unit: they replace the built-in place, not a written one */

static int apply_directory(struct sg_raw *raw, const struct sg_surroundings *around, const char *key,
                           const char *variable, const char *where)
{
        const struct sg_setting *s = sg_setting_get(key);
        struct sg_str list = sg_str_from(sg_surroundings_env(around, variable)), first;

        if (list.n == 0 || sg_raw_last(sg_raw_find(raw, SG_SECTION_GATEWAY, SG_STR_NONE), s))
                return 0;
        (void)sg_str_cut(&list, ':', &first);
        return sg_raw_put(raw, SG_SECTION_GATEWAY, NULL, s->name, first, where);
}

int sg_environment_apply(struct sg_raw *raw, const struct sg_surroundings *around)
{
        const char *listen = sg_surroundings_env(around, "SCRIBE_LISTEN");
        int r = 0;

        if (listen)
                r = sg_raw_put(raw, SG_SECTION_LISTENER, "http", "address", sg_str_from(listen), FROM("SCRIBE_LISTEN"));
        if (!r)
                r = apply_log_level(raw, around);
        if (!r)
                r = apply_directory(raw, around, "gateway.state_directory", "STATE_DIRECTORY", FROM("STATE_DIRECTORY"));
        if (!r)
                r = apply_directory(raw, around, "gateway.runtime_directory", "RUNTIME_DIRECTORY",
                                    FROM("RUNTIME_DIRECTORY"));
        if (!r)
                r = apply_llm(raw, around);
        if (!r)
                r = sg_database_from_environment(raw, around);
        if (!r)
                r = sg_redis_from_environment(raw, around);
        return r ? r : sg_dependencies_from_environment(raw, around);
}
