/*
 * A provider's refusal: what it means, whether another attempt takes its place, and what the client is told of it.
 */
#include <stdio.h>

#include "base/secret.h"
#include "gateway/attempts.h"
#include "gateway/relay.h"

static struct sg_str credential_of(const struct sg_exchange *x)
{
        const struct sg_config_credential *c = x->attempts->pick.credential;

        return c && c->api_key ? sg_secret_bytes(c->api_key) : SG_STR_NONE;
}

bool sg_relay_redact(const struct sg_exchange *x, char *text)
{
        struct sg_str key = credential_of(x);
        bool has_found = false;

        if (key.n == 0)
                return false;
        for (;;) {
                struct sg_str all = sg_str_from(text);
                size_t at = sg_str_find(all, key);

                if (at == all.n)
                        return has_found;
                memset(text + at, '*', key.n);
                has_found = true;
        }
}

static bool has_credential(const struct sg_exchange *x)
{
        struct sg_str key = credential_of(x), bytes = sg_buf_view(&x->answer);

        return key.n && sg_str_find(bytes, key) < bytes.n;
}

static enum sg_refusal refusal_of(unsigned status, const struct sg_llm_provider_error *e)
{
        return status == 407 ? SG_REFUSAL_CREDENTIAL /* of a proxy before the provider: no client's business either */
                             : sg_llm_refusal_of(status, e);
}

/* What is the client's business keeps its status. 529 is a word of Anthropic's alone. */
static unsigned status_of(const struct sg_exchange *x, enum sg_failure f, bool is_clients)
{
        if (!is_clients || (x->upstream_status == 529 && x->surface != SG_SURFACE_ANTHROPIC))
                return sg_failure_row(f)->status;
        return x->upstream_status;
}

/* In the same dialect the provider's bytes are the answer; what is between the gateway and the provider (credential, balance)
 * is a 502. */
bool sg_relay_take_error(struct sg_exchange *x)
{
        struct sg_llm_provider_error e;
        bool has_form = sg_llm_error_read(&e, sg_buf_view(&x->answer));
        enum sg_refusal refusal = refusal_of(x->upstream_status, has_form ? &e : NULL);
        enum sg_failure f = sg_failure_of_refusal(refusal);
        bool is_redacted = has_form && sg_relay_redact(x, e.message); /* in any case: the message is shown below */
        bool is_secret = is_redacted || (has_form && has_credential(x));
        bool is_clients = has_form && (f == SG_FAIL_PROVIDER_REFUSED || f == SG_FAIL_PROVIDER_RATE ||
                                       f == SG_FAIL_PROVIDER_OVERLOADED || f == SG_FAIL_PROVIDER_ERROR);
        char text[256];

        (void)snprintf(text, sizeof(text), "status %u: %.200s", x->upstream_status, has_form ? e.message : "");
        x->attempts->refusal = refusal;
        if (sg_attempts_again(x, f, text))
                return true;
        sg_exchange_note(x, "%s", text);
        x->status = status_of(x, f, is_clients);
        if (is_clients && !is_secret && x->surface != SG_SURFACE_SIMPLE && x->upstream_op == x->op) {
                x->failure = f;
                x->is_answer_ready = sg_buf_add(&x->fields, SG_STR("content-type: application/json\r\n")) == 0;
                return false;
        }
        if (is_clients)
                sg_exchange_fail(x, f, "%s", e.message);
        else
                sg_exchange_fail(x, f, NULL);
        return false;
}
