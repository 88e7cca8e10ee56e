/*
 * authenticate: the caller's key, by its digest; then admit: what an authenticated caller may make us hold.
 */
#include <stdio.h>

#include "base/secret.h"
#include "gateway/exchange.h"
#include "gateway/limiting.h"
#include "gateway/service.h"

/* A key that is bound to models may use a service that stands among them as "service:NAME". */
static bool may_use_service(const struct sg_exchange *x)
{
        const char *name = x->serving->service->config->name;
        char word[SG_SERVICE_WORD_BYTES];

        snprintf(word, sizeof(word), "service:%s", name);
        return x->key->all_models || sg_key_may_use(x->key, sg_str_from(word));
}

enum sg_step sg_stage_authenticate(struct sg_exchange *x)
{
        struct sg_str credential = sg_str_make(x->asked->credential, x->asked->credential_n);
        struct sg_shared *shared = x->worker->shared;
        uint8_t digest[SG_APIKEY_DIGEST_BYTES];
        const struct sg_key *key;

        if (sg_limiting_address(x) == SG_STEP_FINISH)
                return SG_STEP_FINISH;
        if (x->serving && x->serving->service->config->auth != SG_SERVICE_AUTH_KEY)
                return sg_service_authenticate(x);
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
        if (x->serving && !may_use_service(x))
                return sg_exchange_fail(x, SG_FAIL_SERVICE_FORBIDDEN, NULL);
        return SG_STEP_NEXT;
}

enum sg_step sg_stage_admit(struct sg_exchange *x)
{
        enum sg_step step = sg_limiting_admit(x);

        /* The body is welcome only now that the caller is known, and has room. */
        if (step == SG_STEP_NEXT)
                sg_client_send_continue(x->client);
        return step;
}
