/*
 * ledger/key_job.h - a call about one key on its way: what it asks, and what the keeper found; private to key.c, key_job.c
 *
 * Shape    key.c fills it from the call and answers from it; key_job.c does what it asks, in one transaction
 * Thread   asked: written by the loop's before it is posted; found: by the keeper's until it is done
 */
#pragma once

#include "ledger/audit.h"
#include "ledger/form.h"
#include "ledger/verbs.h"

enum sg_key_verb {
        SG_KEY_CREATE,
        SG_KEY_CHANGE,
        SG_KEY_SHOW,
        SG_KEY_REVOKE,
        SG_KEY_ROTATE,
        SG_KEY_VERB_N,
};

struct sg_key_job {
        struct sg_verb_job verb;
        struct sg_audit_who who;
        enum sg_key_verb what;
        struct sg_store_key key; /* what is written; of a change the members that are given */
        char name[SG_KEY_NAME_CHARS_MAX + 1];
        char group[SG_KEY_NAME_CHARS_MAX + 1];              /* "": none */
        bool has_models, has_expiry, has_group, has_limits; /* given */
        struct sg_buf models, limits;
        char secret[SG_APIKEY_CHARS + 1]; /* "": none */

        /* found */
        bool is_changed, is_revoked;
        uint64_t version;
        struct sg_refusal refusal;
        struct json_object *shown, *change, *groups; /* groups: of SG_KEY_SHOW */
        char note[512];                              /* "": none */
};

const char *sg_key_verb_name(enum sg_key_verb v); /* "CreateKey" */
int sg_key_job_run(struct sg_job *job, struct sg_store *s, struct sg_error *err);
