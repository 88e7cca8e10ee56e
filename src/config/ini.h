/*
 * config/ini.h - bytes of a configuration file in, headings and settings out
 *
 * Shape    pull: sg_ini_next() gives one heading or setting a call, in the order of the file
 *
 *              # a comment, and so is a line that begins with ;
 *              [section]
 *              [section "name"]        ; in a name, \" is a quote and \\ a backslash
 *              name = value            ; a comment: ; or # after white space or the =
 *
 *          No quotes around values, no continued lines, no settings before the first heading. UTF-8 (a byte order mark
 *          is skipped), lines end with LF or CR LF, the last one may lack it; control bytes but the tab are refused.
 * Owner    the caller keeps the bytes; items are lent: views into the bytes, and a section's name until the next call
 * Errors   -EINVAL with where "path:line"; no value is ever told, it may be a secret in the wrong place
 * Limits   SG_CONFIG_LINE_BYTES_MAX a line, SG_NAME_BYTES_MAX a name
 */
#pragma once

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"

enum sg_ini_kind {
        SG_INI_END,
        SG_INI_SECTION,
        SG_INI_SETTING,
        SG_INI_N,
};

struct sg_ini_item {
        enum sg_ini_kind kind;
        unsigned line;
        struct sg_str section; /* SECTION: the word before the name */
        bool has_name;         /* SECTION */
        struct sg_str name;    /* SECTION: unescaped; SETTING: what stands before '=' */
        struct sg_str value;   /* SETTING: trimmed, without its comment */
};

struct sg_ini {
        struct sg_str rest;
        const char *path;
        unsigned line; /* of what was read last */
        bool has_section;
        char name[SG_NAME_BYTES_MAX];
};

void sg_ini_init(struct sg_ini *i, struct sg_str bytes, const char *path);
int sg_ini_next(struct sg_ini *i, struct sg_ini_item *ret, struct sg_error *err) SG_MUST_CHECK;

/* "path:line", a long path cut at its beginning, so that the line is always there. */
void sg_ini_place(char *out, size_t out_bytes, const char *path, unsigned line);
