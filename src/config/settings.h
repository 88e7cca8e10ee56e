/*
 * config/settings.h - the table of all settings: reader, checks, documents and completion come from it
 *
 * Shape    constant arrays; a setting is found by section and name
 * Units    min and max in the kind's own: microseconds, bytes, a count
 * Thread   constant
 */
#pragma once

#include "base/str.h"

enum sg_section {
        SG_SECTION_GATEWAY,
        SG_SECTION_JOURNAL,
        SG_SECTION_LEDGER,
        SG_SECTION_REDIS,
        SG_SECTION_CONTROL,
        SG_SECTION_LOG,
        SG_SECTION_LISTENER,
        SG_SECTION_PROVIDER,
        SG_SECTION_MODEL,
        SG_SECTION_SERVICE,
        SG_SECTION_DEPENDENCY,
        SG_SECTION_N,
};

struct sg_section_info {
        const char *name;
        const char *example; /* a name that an instance may have; NULL: the section stands once and has none */
        const char *help;
};

enum sg_kind {
        SG_KIND_BOOL,
        SG_KIND_WORD, /* one of .words, stored as .first + its position */
        SG_KIND_DURATION,
        SG_KIND_DURATION_OR_NONE, /* none: SG_USEC_NEVER */
        SG_KIND_SIZE,
        SG_KIND_COUNT,
        SG_KIND_WORKERS, /* a count, or auto: one for each processor */
        SG_KIND_DIRECTORY,
        SG_KIND_FILE,
        SG_KIND_GROUP,
        SG_KIND_USERS,    /* list */
        SG_KIND_SINK,     /* where the log goes: three fields */
        SG_KIND_DATABASE, /* sqlite:/path or postgresql://… */
        SG_KIND_REDIS,    /* redis://host:port/database, unix:/path: several fields */
        SG_KIND_TEXT,     /* visible ASCII without blanks */
        SG_KIND_ADDRESS,
        SG_KIND_URL,
        SG_KIND_SECRET,
        SG_KIND_PEM,      /* list; where a file of certificates or a key is */
        SG_KIND_PEM_FILE, /* one */
        SG_KIND_NETWORKS, /* list */
        SG_KIND_PROXY,    /* environment, none or the URL of a proxy: several fields */
        SG_KIND_HOST,
        SG_KIND_PROBE,       /* the URL of a dependency: several fields */
        SG_KIND_TARGETS,     /* list */
        SG_KIND_NAMES,       /* list; of a model */
        SG_KIND_MODEL,       /* the name of one */
        SG_KIND_LIMITS,      /* list; config/limit.h */
        SG_KIND_CREDENTIALS, /* list; a name and where the secret is */
        SG_KIND_API_VERSION,
        SG_KIND_PREFIX,
        SG_KIND_HOSTS,       /* list */
        SG_KIND_METHODS,     /* list */
        SG_KIND_ENDPOINTS,   /* list */
        SG_KIND_SUBJECTS,    /* list */
        SG_KIND_FIELDS,      /* list of "Name: value" */
        SG_KIND_FIELD_NAMES, /* list */
        SG_KIND_ORIGINS,     /* list */
        SG_KIND_TOKENS,      /* with commas between them, kept as one text */
        SG_KIND_HASH_BY,     /* two fields */
        SG_KIND_HEALTH,      /* two fields */
        SG_KIND_N,
};

/* A base_url of that dialect, as an example; NULL for the one that has none. */
const char *sg_dialect_url_example(unsigned dialect);

/* As people write it: "duration", "yes or no". */
const char *sg_kind_name(enum sg_kind kind);

struct sg_setting {
        enum sg_section section;
        const char *name;
        const char *key; /* "gateway.workers" */
        enum sg_kind kind;
        const char *const *words; /* ends with NULL */
        unsigned first;
        uint64_t min, max;
        const char *default_text; /* parsed as if it were written; NULL: none, or made while checking */
        const char *default_note; /* for documents, where default_text does not say all */
        const char *example;      /* where there is no default_text */
        bool needs_restart;
        unsigned dialects;          /* of [provider]: bit per dialect that has it; 0: all */
        const char *environment;    /* a variable that replaces it; environment.c reads it */
        const char *environment_of; /* in the section of this name */
        size_t offset, width; /* of the field in sg_config or in the section's own struct; 0, 0: none of its own */
        const char *help;     /* a sentence or more, Markdown without markup but `…` */
};

extern const struct sg_section_info sg_sections[SG_SECTION_N];
extern const struct sg_setting sg_settings[];
extern const struct sg_setting *const sg_settings_end;

/* Read with the surroundings, not by the table alone. */
static inline bool sg_setting_is_place(const struct sg_setting *s)
{
        return s->kind == SG_KIND_SECRET || s->kind == SG_KIND_PEM_FILE;
}

static inline bool sg_setting_is_list(const struct sg_setting *s)
{
        switch (s->kind) {
        case SG_KIND_USERS:
        case SG_KIND_TARGETS:
        case SG_KIND_NAMES:
        case SG_KIND_CREDENTIALS:
        case SG_KIND_PEM:
        case SG_KIND_NETWORKS:
        case SG_KIND_HOSTS:
        case SG_KIND_METHODS:
        case SG_KIND_ENDPOINTS:
        case SG_KIND_SUBJECTS:
        case SG_KIND_FIELDS:
        case SG_KIND_FIELD_NAMES:
        case SG_KIND_ORIGINS:
        case SG_KIND_LIMITS:
                return true;
        default:
                return false;
        }
}

/* NULL when there is none. */
const struct sg_setting *sg_setting_find(enum sg_section section, struct sg_str name);
/* A key that must be in the table. */
const struct sg_setting *sg_setting_get(const char *key);
/* SG_SECTION_N when there is none. */
enum sg_section sg_section_find(struct sg_str name);

/* The candidate nearest to a word, when one is near enough to be what was meant. */
struct sg_nearest {
        struct sg_str word;
        size_t distance; /* of best */
        struct sg_str best;
};

void sg_nearest_init(struct sg_nearest *n, struct sg_str word);
void sg_nearest_try(struct sg_nearest *n, struct sg_str candidate);
/* "; did you mean 'address'?" or "", in out. */
const char *sg_nearest_text(const struct sg_nearest *n, char *out, size_t out_bytes);
