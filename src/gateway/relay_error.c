/*
 * A provider's refusal: what it means, whether another attempt takes its place, and what the client is told of it.
 */
#include <stdio.h>
#include <time.h>

#include "base/secret.h"
#include "gateway/attempts.h"
#include "gateway/relay.h"

#define RETRY_AFTER_SEC_MAX UINT64_C(86400) /* more is no word about now */

/* 0 where it is no date, or one that has passed. */
static uint64_t usec_until(struct sg_str date)
{
        const uint64_t now_usec = sg_clock_wall_usec();
        struct tm tm = {0};
        char text[40];
        time_t at;

        if (date.n >= sizeof(text))
                return 0;
        (void)sg_str_copy(text, sizeof(text), date);
        if (!strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm))
                return 0;
        at = timegm(&tm);
        return at > 0 && (uint64_t)at * SG_USEC_PER_SEC > now_usec ? (uint64_t)at * SG_USEC_PER_SEC - now_usec : 0;
}

/* RFC 9110, section 10.2.3; and "retry-after-ms" of OpenAI and Azure, which says the same more closely. */
void sg_relay_take_retry_after(struct sg_exchange *x, const struct sg_head *head)
{
        struct sg_str value = sg_head_value(head, SG_STR("retry-after"));
        uint64_t n, usec;

        if (sg_str_to_u64(sg_head_value(head, SG_STR("retry-after-ms")), &n) == 0 && n > 0)
                usec = SG_MIN(n, RETRY_AFTER_SEC_MAX * 1000) * 1000;
        else if (sg_str_to_u64(value, &n) == 0)
                usec = SG_MIN(n, RETRY_AFTER_SEC_MAX) * SG_USEC_PER_SEC;
        else
                usec = usec_until(value);
        x->attempts->retry_after_usec = SG_MIN(usec, RETRY_AFTER_SEC_MAX * SG_USEC_PER_SEC);
}

#define KEY_BEGIN_BYTES 8u /* shorter ones stand in many keys: "sk-proj-" */

/* A long message is cut: what is left of the key may be most of it. */
static bool redact_begin(char *text, size_t text_n, struct sg_str key)
{
        for (size_t n = SG_MIN(key.n - 1, text_n); n >= KEY_BEGIN_BYTES; n--)
                if (memcmp(text + text_n - n, key.p, n) == 0) {
                        memset(text + text_n - n, '*', n);
                        return true;
                }
        return false;
}

static bool redact_one(char *text, struct sg_str key)
{
        const struct sg_str all = sg_str_from(text);
        bool has_found = false;

        for (size_t at = 0; at < all.n; at += key.n) {
                at += sg_str_find(sg_str_skip(all, at), key);
                if (at >= all.n)
                        break;
                memset(text + at, '*', key.n);
                has_found = true;
        }
        return redact_begin(text, all.n, key) || has_found;
}

/* Of the provider, all: what is wrong with one may be told to who shows another. */
static struct sg_str credential_at(const struct sg_exchange *x, size_t i)
{
        const struct sg_config_credential *c = &x->provider->config->credentials[i];

        return c->api_key ? sg_secret_bytes(c->api_key) : SG_STR_NONE;
}

bool sg_relay_redact(const struct sg_exchange *x, char *text)
{
        bool has_found = false;

        for (size_t i = 0; i < x->provider->config->n_credentials; i++) {
                const struct sg_str key = credential_at(x, i);

                if (key.n && redact_one(text, key))
                        has_found = true;
        }
        return has_found;
}

static bool has_credential(const struct sg_exchange *x)
{
        const struct sg_str bytes = sg_buf_view(&x->answer);

        for (size_t i = 0; i < x->provider->config->n_credentials; i++) {
                const struct sg_str key = credential_at(x, i);

                if (key.n && sg_str_find(bytes, key) < bytes.n)
                        return true;
        }
        return false;
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
