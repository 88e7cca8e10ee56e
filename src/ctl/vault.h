/*
 * ctl/vault.h - the encrypted secrets of the service, and the drop-ins that hand them to it
 *
 * Shape    for each credential two files: DIRECTORY/NAME.cred, made by systemd-creds, and DROPINS/credential-NAME.conf,
 *          by which the service manager decrypts it for the service; both or none change
 * Owner    names are the caller's
 * Thread   one; runs systemd-creds and systemctl and waits for them
 * Errors   struct sg_error with what to do; -ENOENT from remove: there is none of that name
 * Limits   names as in credential:NAME (sg_secret_is_name)
 * Source   systemd-creds(1), LoadCredentialEncrypted= in systemd.exec(5)
 */
#pragma once

#include "base/error.h"
#include "base/secret.h"

struct sg_vault {
        const char *directory; /* only root may look; made when it is missing */
        const char *dropins;   /* of scribe-gateway.service; the same */
};
extern const struct sg_vault sg_vault_of_service;

/* Encrypts and stores; a former secret of that name is replaced. The service gets it at its next start. */
int sg_vault_set(const struct sg_vault *v, const char *name, const struct sg_secret *secret, struct sg_error *err)
        SG_MUST_CHECK;
int sg_vault_remove(const struct sg_vault *v, const char *name, struct sg_error *err) SG_MUST_CHECK;

struct sg_vault_entry {
        char *name;
        const char *key; /* what it is encrypted with: "host", "tpm2", "host+tpm2", "null", or "unknown" */
        bool has_dropin; /* false: somebody took it away, and the service does not get it */
};
/* By name; *ret is the caller's to free. A directory that is not there holds none. */
int sg_vault_list(const struct sg_vault *v, struct sg_vault_entry **ret, size_t *ret_n, struct sg_error *err)
        SG_MUST_CHECK;
void sg_vault_list_free(struct sg_vault_entry *entries, size_t n);

/* ---- vault_file.c: a file that changes as a whole, and back */

struct sg_swap {
        char *path;    /* what changes */
        char *fresh;   /* what is to take its place, beside it; its name begins with a dot. NULL: nothing, it goes */
        char *former;  /* what it was, from _do to _keep or _undo */
        bool has_done; /* between the two */
};

/* Makes an empty fresh file, or with is_removal none. The directory must be there. */
int sg_swap_init(struct sg_swap *s, const char *directory, const char *name, bool is_removal, struct sg_error *err)
        SG_MUST_CHECK;
/* The fresh file's content and mode, on the disk. text.p NULL: it has been written by somebody else. */
int sg_swap_write(struct sg_swap *s, struct sg_str text, unsigned mode, struct sg_error *err) SG_MUST_CHECK;
int sg_swap_do(struct sg_swap *s, struct sg_error *err) SG_MUST_CHECK;
void sg_swap_undo(struct sg_swap *s);
/* Undoes nothing any more; what is left over goes. */
void sg_swap_done(struct sg_swap *s);
