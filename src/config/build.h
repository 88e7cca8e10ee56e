/*
 * config/build.h - from what is written to the configuration in force
 *
 * Shape    sg_whole_new(), files added to whole->raw, sg_environment_apply(), sg_whole_build()
 * Owner    the whole owns the pool in which everything lies, and a reference to each secret
 * Errors   0, -ENOMEM, -EINVAL and others with place and advice
 */
#pragma once

#include <stdatomic.h>

#include "config/config.h"
#include "config/pool.h"
#include "config/raw.h"
#include "config/value.h"

/* What lies outside the files. Tests and the fuzzer bring their own. */
struct sg_surroundings {
        const char *(*get_env)(const char *name); /* NULL: no variables; an empty one counts as unset */
        bool reads_secrets;                       /* of the gateway; else api_key and the like stay NULL */
        bool reads_database_secrets;              /* of the ledger: those of section [ledger] */
        bool knows_users;                         /* admins must be users of this machine */
};

struct sg_model_name {
        const char *name;
        const struct sg_config_model *model;
        const char *alias_where; /* NULL: the section's own name */
        size_t at;               /* as they were written */
};

struct sg_whole {
        _Atomic uint32_t n_refs;
        struct sg_pool pool;
        struct sg_raw raw;
        struct sg_config config;
        /* For sg_config_find_model(): by name, and the patterns by length, the longest first. */
        struct sg_model_name *exact;
        const struct sg_config_model **patterns;
        size_t n_exact, n_patterns;
};

static inline const struct sg_whole *sg_whole_of(const struct sg_config *c)
{
        return SG_CONTAINER(c, struct sg_whole, config);
}

struct sg_whole *sg_whole_new(void);
struct sg_whole *sg_whole_free(struct sg_whole *w);
SG_DEFINE_AUTO(struct sg_whole *, sg_whole_free)
int sg_whole_build(struct sg_whole *w, const struct sg_surroundings *around, struct sg_error *err) SG_MUST_CHECK;

const char *sg_surroundings_env(const struct sg_surroundings *around, const char *name);

/* environment.c: the variables that replace settings, as lines after those of the files. */
int sg_environment_apply(struct sg_raw *raw, const struct sg_surroundings *around) SG_MUST_CHECK;
/* Of a port: Kubernetes sets REDIS_PORT to tcp://10.0.0.1:6379 where a service is called redis. */
struct sg_str sg_environment_port(const char *text);
/* Where the secret is: "env:NAME" if that variable is set, else "file:" and what NAME_FILE names, as containers have it.
 * NULL: there is none, or no memory: *ret then -ENOMEM. */
const char *sg_environment_secret(struct sg_raw *raw, const struct sg_surroundings *around, const char *name,
                                  const char **ret_where, int *ret);
/* credential.c: "credential:NAME", "file:/path", "env:NAME". */
int sg_credential_read(const struct sg_value *v, const struct sg_surroundings *around, struct sg_secret **ret)
        SG_MUST_CHECK;
/* The file that "file:/path" or "credential:NAME" stands for; it is read when the snapshot is made. */
int sg_pem_path(const struct sg_value *v, const struct sg_surroundings *around, const char **ret) SG_MUST_CHECK;
/* database.c: what the ledger's database needs; and the variables that name one. */
/* redis.c: the place of its secret, and what needs what; the variables. */
int sg_redis_build(struct sg_whole *w, const struct sg_surroundings *around, struct sg_error *err) SG_MUST_CHECK;
int sg_redis_from_environment(struct sg_raw *raw, const struct sg_surroundings *around) SG_MUST_CHECK;
int sg_database_build(struct sg_whole *w, const struct sg_surroundings *around, struct sg_error *err) SG_MUST_CHECK;
int sg_database_from_environment(struct sg_raw *raw, const struct sg_surroundings *around) SG_MUST_CHECK;
/* limit_lines.c: all lines of a setting as one set, for which is_fit tells whether it may have such a limit: NULL, or why
 * not. */
int sg_limit_lines_build(struct sg_whole *w, const struct sg_raw_section *section, const char *key,
                         const char *(*is_fit)(const struct sg_limit *l), struct sg_limit_set **ret,
                         struct sg_error *err) SG_MUST_CHECK;
/* providers.c: all [provider]s; and what one holds besides memory of the pool. */
int sg_providers_build(struct sg_whole *w, const struct sg_surroundings *around, struct sg_error *err) SG_MUST_CHECK;
void sg_provider_done(struct sg_config_provider *p);
/* provider_credentials.c: api_key must have been read. */
int sg_provider_credentials(struct sg_whole *w, const struct sg_raw_section *section, struct sg_config_provider *p,
                            const struct sg_surroundings *around, struct sg_error *err) SG_MUST_CHECK;
/* proxy.c: what the variables say for a provider that asks them. */
int sg_proxy_from_environment(struct sg_whole *w, struct sg_config_provider *p, const struct sg_surroundings *around,
                              struct sg_error *err) SG_MUST_CHECK;
/* build.c, for the files of single sections: the scalars of a section into its object, by the table; and names that stand
 * in other values, units and paths. */
int sg_section_store(struct sg_whole *w, enum sg_section id, const struct sg_raw_section *section, void *object,
                     struct sg_error *err) SG_MUST_CHECK;
/* The settings that say where a secret or a file is. */
int sg_section_places(struct sg_whole *w, enum sg_section id, const struct sg_raw_section *section, void *object,
                      const struct sg_surroundings *around, struct sg_error *err) SG_MUST_CHECK;
int sg_section_check_name(const struct sg_raw_section *section, struct sg_error *err) SG_MUST_CHECK;
/* trusted.c: whose word about clients counts; listeners must stand. */
int sg_trusted_build(struct sg_whole *w, struct sg_error *err) SG_MUST_CHECK;
/* listeners.c: all [listener]s. */
int sg_listeners_build(struct sg_whole *w, const struct sg_surroundings *around, struct sg_error *err) SG_MUST_CHECK;
/* dependencies.c: all [dependency]s, and those that variables name. */
int sg_dependencies_build(struct sg_whole *w, struct sg_error *err) SG_MUST_CHECK;
int sg_dependencies_from_environment(struct sg_raw *raw, const struct sg_surroundings *around) SG_MUST_CHECK;
/* services.c: all [service]s; listeners must stand. */
int sg_services_build(struct sg_whole *w, const struct sg_surroundings *around, struct sg_error *err) SG_MUST_CHECK;
/* Why a setting has no meaning beside the others of its service: the rest of a sentence that begins with its name. NULL:
 * it has one. */
const char *sg_service_lacks(const struct sg_config_service *s, const struct sg_setting *setting);
/* models.c: all [model]s; providers must stand. */
int sg_models_build(struct sg_whole *w, struct sg_error *err) SG_MUST_CHECK;
/* Why a setting has no meaning beside the others of its model, as sg_service_lacks(). */
const char *sg_model_lacks(const struct sg_config_model *m, const struct sg_setting *setting);
/* downgrades.c: what is served in a model's place; all names must stand. */
int sg_downgrades_build(struct sg_whole *w, struct sg_error *err) SG_MUST_CHECK;
/* model_names.c: before the first model, for each, and after the last, when it shows whether a name stands twice. */
int sg_model_names_begin(struct sg_whole *w) SG_MUST_CHECK;
int sg_model_names_add(struct sg_whole *w, const struct sg_raw_section *section, struct sg_config_model *m,
                       struct sg_error *err) SG_MUST_CHECK;
int sg_model_names_end(struct sg_whole *w, struct sg_error *err) SG_MUST_CHECK;
/* lanes.c: models must stand. */
int sg_lanes_build(struct sg_whole *w) SG_MUST_CHECK;
