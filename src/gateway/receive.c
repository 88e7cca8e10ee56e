/*
 * receive: what the exchange keeps of the request's head. The bytes of the head are gone when its callback returns, so
 * what will be passed on is written down here, in the form in which it will be sent.
 */

#include "base/random.h"
#include "base/secret.h"
#include "gateway/connection.h"
#include "gateway/exchange.h"
#include "gateway/forwarded.h"
#include "gateway/service.h"

/* Never passed to a provider: the caller's credentials, what this hop decides anew, what tells of the inside, and what
 * would act on the gateway's own account there. Hop-by-hop fields are found by the codec. */
static const struct sg_str not_forwarded[] = {
        {"host", 4},      {"content-length", 14},      {"authorization", 13},   {"x-api-key", 9}, {"cookie", 6},
        {"expect", 6},    {"x-request-id", 12},        {"accept-encoding", 15}, {"forwarded", 9}, {"via", 3},
        {"x-real-ip", 9}, {"openai-organization", 19}, {"openai-project", 14},  {"api-key", 7},
};

static bool is_forwarded(const struct sg_head *head, const struct sg_header *h)
{
        if (sg_header_is_hop(head, h))
                return false;
        for (size_t i = 0; i < SG_N_ELEMENTS(not_forwarded); i++)
                if (sg_str_ieq(h->name, not_forwarded[i]))
                        return false;
        return !sg_str_istarts(h->name, SG_STR("x-forwarded-")) && !sg_str_istarts(h->name, SG_STR("x-scribe-"));
}

/* The client's own identity is kept when it is plain and short, so that it can be followed through several services. */
static void take_request_id(struct sg_exchange *x, struct sg_str given)
{
        bool is_plain = given.n > 0 && given.n <= SG_REQUEST_ID_BYTES_MAX;

        for (size_t i = 0; is_plain && i < given.n; i++) {
                char ch = given.p[i];

                is_plain = (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                           ch == '-' || ch == '_' || ch == '.';
        }
        if (is_plain) {
                (void)sg_str_copy(x->request_id, sizeof(x->request_id), given);
                return;
        }
        sg_str_put_hex64(x->request_id, sg_random_u64());
        sg_str_put_hex64(x->request_id + 16, sg_random_u64());
        x->request_id[32] = '\0';
}

/* The peer, until a trusted one speaks for somebody. */
static void take_client(struct sg_exchange *x, const struct sg_head *head)
{
        const char *note;

        (void)sg_forwarded_client(x->snapshot->config, sg_connection_peer(x->client->connection), head, x->peer,
                                  sizeof(x->peer), &note);
        if (note)
                sg_exchange_note(x, "%s", note);
}

/* False when two different ones are given: which of them counts would be a guess. */
static bool take_credential(struct sg_exchange *x, const struct sg_head *head)
{
        const struct sg_header *bearer = sg_head_find(head, SG_STR("authorization"));
        struct sg_str key = sg_head_value(head, SG_STR("x-api-key"));

        if (bearer && sg_str_istarts(bearer->value, SG_STR("bearer "))) {
                struct sg_str token = sg_str_trim(sg_str_skip(bearer->value, 7));

                if (key.n && !sg_str_eq(key, token))
                        return false;
                key = token;
        }
        x->has_credential = key.n > 0;
        if (key.n <= sizeof(x->asked->credential)) { /* longer ones are no keys of ours */
                memcpy(x->asked->credential, key.p, key.n);
                x->asked->credential_n = key.n;
        }
        return true;
}

/* Fields of one dialect stay with those who speak it. */
static int take_field(struct sg_exchange *x, const struct sg_header *h)
{
        const bool is_anthropic = sg_str_istarts(h->name, SG_STR("anthropic-"));

        if (sg_str_ieq(h->name, SG_STR("anthropic-version")))
                x->asked->has_anthropic_version = true;
        return sg_h1_add_header(is_anthropic ? &x->asked->anthropic : &x->asked->forward, h->name, h->value);
}

/* "multipart/form-data; boundary=…": one that is too long, two of them, or no such thing, leaves it empty. */
static void take_boundary(struct sg_asked *a, struct sg_str content_type)
{
        static const struct sg_str word = {"boundary=", 9};
        struct sg_str rest, part, found = SG_STR_NONE;

        if (!sg_str_istarts(content_type, SG_STR("multipart/form-data")) || content_type.n >= sizeof(a->content_type))
                return;
        (void)sg_str_copy(a->content_type, sizeof(a->content_type), content_type);
        rest = sg_str_from(a->content_type);
        while (rest.n) {
                (void)sg_str_cut(&rest, ';', &part);
                part = sg_str_trim(part);
                if (!sg_str_istarts(part, word))
                        continue;
                if (found.n)
                        return; /* which of two counts would be a guess */
                found = sg_str_skip(part, word.n);
        }
        if (found.n > 2 && found.p[0] == '"' && found.p[found.n - 1] == '"')
                found = sg_str_make(found.p + 1, found.n - 2);
        a->boundary = found;
}

bool sg_exchange_take_head(struct sg_exchange *x, const struct sg_head *head)
{
        int r = sg_buf_add(&x->path, head->target);

        x->method = head->method;
        x->expects_continue = head->expects_continue;
        take_client(x, head);
        take_request_id(x, sg_head_value(head, SG_STR("x-request-id")));
        if (!take_credential(x, head))
                sg_exchange_fail(x, SG_FAIL_BAD_REQUEST,
                                 "'authorization' and 'x-api-key' name different keys: send one");
        if (!sg_service_take_head(x, head))
                return false;
        if (x->serving)
                return r == 0;
        x->asked->llm = malloc(sizeof(*x->asked->llm));
        if (!x->asked->llm)
                return false;
        *x->asked->llm = (struct sg_asked_llm){0};
        x->announced_bytes = head->length;
        if (head->has_length && head->length > sg_exchange_body_bytes_max(x))
                sg_exchange_fail(x, SG_FAIL_BODY_TOO_LARGE, NULL);
        x->is_json = sg_str_istarts(sg_head_value(head, SG_STR("content-type")), SG_STR("application/json"));
        take_boundary(x->asked, sg_head_value(head, SG_STR("content-type")));
        for (size_t i = 0; !r && i < head->n_headers; i++)
                if (is_forwarded(head, &head->headers[i]))
                        r = take_field(x, &head->headers[i]);
        return r == 0;
}

enum sg_step sg_stage_receive(struct sg_exchange *x)
{
        return x->failure == SG_FAIL_NONE ? SG_STEP_NEXT : SG_STEP_FINISH;
}
