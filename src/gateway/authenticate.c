/*
 * authenticate: the caller's key, by its digest; then admit: what an authenticated caller may make us hold.
 */
#include "base/secret.h"
#include "gateway/exchange.h"

enum sg_step sg_stage_authenticate(struct sg_exchange *x)
{
        struct sg_str credential = sg_str_make(x->asked->credential, x->asked->credential_n);
        struct sg_shared *shared = x->worker->shared;
        uint8_t digest[SG_APIKEY_DIGEST_BYTES];
        const struct sg_key *key;

        if (!x->has_credential)
                return sg_exchange_fail(x, SG_FAIL_NO_KEY, NULL);
        if (!sg_apikey_is_well_formed(credential)) {
                sg_wipe(x->asked->credential, sizeof(x->asked->credential));
                return sg_exchange_fail(x, SG_FAIL_BAD_KEY, NULL);
        }
        sg_apikey_digest(digest, credential);
        sg_wipe(x->asked->credential, sizeof(x->asked->credential));
        key = sg_keytable_find(shared->keys, digest);
        if (!key) {
                /* "No" can only be said while the keys are known to be all there are. */
                bool is_current = sg_feed_get_state(shared->feed) == SG_FEED_CURRENT;

                return sg_exchange_fail(x, is_current ? SG_FAIL_BAD_KEY : SG_FAIL_KEYS_UNKNOWN, NULL);
        }
        x->key = sg_key_ref(key);
        if (key->is_revoked)
                return sg_exchange_fail(x, SG_FAIL_KEY_REVOKED, NULL);
        if (key->expires_wall_usec && key->expires_wall_usec <= x->start_wall_usec)
                return sg_exchange_fail(x, SG_FAIL_KEY_EXPIRED, NULL);
        return SG_STEP_NEXT;
}

enum sg_step sg_stage_admit(struct sg_exchange *x)
{
        /* The body is welcome only now that the caller is known. */
        sg_client_send_continue(x->client);
        return SG_STEP_NEXT;
}
