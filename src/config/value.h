/*
 * config/value.h - one written value into the field that it sets
 *
 * Owner    strings are copied into the pool
 * Errors   0, -ENOMEM, -EINVAL with place, name and what would be right; of what may hold a secret nothing is told
 */
#pragma once

#include "config/config.h"
#include "config/pool.h"
#include "config/settings.h"

struct sg_value {
        const struct sg_setting *setting;
        struct sg_str text; /* not empty */
        const char *where;
        struct sg_pool *pool;
        struct sg_error *err;
};

/* Into the field of object (an sg_config, sg_config_listener or sg_config_provider) that the table names. Not for lists
 * and secrets. */
int sg_value_store(const struct sg_value *v, void *object) SG_MUST_CHECK;

/* -EINVAL with "name: …". */
int sg_value_refuse(const struct sg_value *v, const char *format, ...) SG_PRINTF(2, 3);
/* "'…' is not one of …", and the nearest of them. */
int sg_value_refuse_word(const struct sg_value *v, const char *const *words, size_t n_words);
/* Cuts the next word off, which ends at one of the separators; empty at the end. */
struct sg_str sg_value_next_word(struct sg_str *rest, const char *separators);
/* value_options.c: what may follow, in any order. */
struct sg_value_option {
        struct sg_str name; /* "weight": it is written weight=N */
        uint64_t max;       /* N is 1 or more */
        uint64_t value;     /* as written; 0: it is not */
};
/* of: "a target". May be a secret in the wrong place: an unknown option is not told for SG_KIND_CREDENTIALS. */
int sg_value_options(const struct sg_value *v, struct sg_str text, const char *of, struct sg_value_option *options,
                     size_t n) SG_MUST_CHECK;
/* "weight=N" or nothing, which is 1. of: "an endpoint". */
#define SG_WEIGHT_MAX 1000u
int sg_value_weight(const struct sg_value *v, struct sg_str options, const char *of, unsigned *ret) SG_MUST_CHECK;

/* What stands between "//" and the path of a URL. */
struct sg_url_authority {
        struct sg_str host; /* without brackets */
        bool is_v6;
        uint16_t port; /* left alone when there is none */
};
/* NULL, or what is wrong with it: the rest of a sentence that begins with "the URL". */
const char *sg_url_read_authority(struct sg_url_authority *a, struct sg_str text);
bool sg_url_is_host(struct sg_str host); /* a name, or an address without brackets */
bool sg_url_is_path(struct sg_str path); /* bytes that may stand in a request line as they are, no query */
char *sg_url_lower_case(struct sg_pool *pool, struct sg_str s);

/* Of a service; host, path_prefix and the rest as in a provider. */
int sg_value_endpoint_url(const struct sg_value *v, struct sg_str url, struct sg_config_endpoint *ret) SG_MUST_CHECK;
/* value_service.c: scalars into an sg_config_service, items of lists into an item. */
int sg_value_prefix(const struct sg_value *v, void *object) SG_MUST_CHECK;
int sg_value_tokens(const struct sg_value *v, void *object) SG_MUST_CHECK;
int sg_value_hash_by(const struct sg_value *v, void *object) SG_MUST_CHECK;
int sg_value_health(const struct sg_value *v, void *object) SG_MUST_CHECK;
int sg_value_host_name(const struct sg_value *v, void *item) SG_MUST_CHECK;  /* const char * */
int sg_value_method(const struct sg_value *v, void *item) SG_MUST_CHECK;     /* const char * */
int sg_value_subject(const struct sg_value *v, void *item) SG_MUST_CHECK;    /* const char * */
int sg_value_field_name(const struct sg_value *v, void *item) SG_MUST_CHECK; /* const char * */
int sg_value_origin(const struct sg_value *v, void *item) SG_MUST_CHECK;     /* const char * */
int sg_value_field(const struct sg_value *v, void *item) SG_MUST_CHECK;      /* struct sg_config_field */
int sg_value_endpoint(const struct sg_value *v, void *item) SG_MUST_CHECK;   /* struct sg_config_endpoint */

/* A base_url into its parts. */
int sg_value_url(const struct sg_value *v, struct sg_config_provider *p) SG_MUST_CHECK;
/* proxy.c: "environment", "none", or where the proxy is. */
int sg_value_proxy(const struct sg_value *v, struct sg_config_provider *p) SG_MUST_CHECK;
/* dependencies.c: what is asked, and where. */
int sg_value_probe(const struct sg_value *v, void *object) SG_MUST_CHECK;
/* database.c: sqlite:/path, or the URL of a server. */
/* redis.c: where Redis is. */
int sg_value_redis(const struct sg_value *v, void *object) SG_MUST_CHECK;
int sg_value_database(const struct sg_value *v, void *object) SG_MUST_CHECK;
/* The syntax that net/ binds; whether the machine has the address shows there. */
int sg_value_address(const struct sg_value *v, void *object) SG_MUST_CHECK;

/* The first bytes of a text for an error, cut between characters, with an ellipsis if it is longer. */
#define SG_VALUE_SHOWN_BYTES 96
const char *sg_value_shown(struct sg_str text, char *out);
