#include "gateway/dialect.h"

#include <errno.h>

#include "base/secret.h"

bool sg_dialect_counts_tokens(enum sg_operation op)
{
        switch (op) {
        case SG_OP_CHAT:
        case SG_OP_COMPLETION:
        case SG_OP_EMBEDDINGS:
        case SG_OP_MESSAGES:
        case SG_OP_RESPONSES:
                return true;
        default:
                return false;
        }
}

static bool serves_anthropic(enum sg_operation op, enum sg_operation *ret)
{
        switch (op) {
        case SG_OP_CHAT:
        case SG_OP_RESPONSES:
                *ret = SG_OP_MESSAGES;
                return true;
        case SG_OP_MESSAGES:
        case SG_OP_COUNT_TOKENS:
        case SG_OP_PASS:
                *ret = op;
                return true;
        default:
                return false;
        }
}

static bool serves_openai(const struct sg_config_provider *p, enum sg_operation op, enum sg_operation *ret)
{
        const bool is_chat = op == SG_OP_MESSAGES || (op == SG_OP_RESPONSES && p->responses == SG_RESPONSES_NO);

        *ret = is_chat ? SG_OP_CHAT : op;
        return op != SG_OP_COUNT_TOKENS;
}

bool sg_dialect_serves(const struct sg_config_provider *p, enum sg_operation op, enum sg_operation *ret)
{
        switch (p->dialect) {
        case SG_DIALECT_OPENAI:
        case SG_DIALECT_AZURE:
                return serves_openai(p, op, ret);
        case SG_DIALECT_ANTHROPIC:
                return serves_anthropic(op, ret);
        case SG_DIALECT_ECHO:
                return serves_openai(p, op, ret) && (*ret == SG_OP_CHAT || *ret == SG_OP_COMPLETION ||
                                                     *ret == SG_OP_EMBEDDINGS || *ret == SG_OP_PASS);
        case SG_DIALECT_N:
                break;
        }
        SG_UNREACHABLE();
}

/* Behind the base URL. What was translated goes where its new wire format lives, all else where the client asked. */
static struct sg_str path_of(const struct sg_exchange *x, struct sg_str path)
{
        if (x->upstream_op == SG_OP_CHAT) /* also from /v1/chat */
                return SG_STR("/chat/completions");
        if (x->upstream_op == SG_OP_MESSAGES)
                return SG_STR("/messages");
        return sg_str_skip(path, 3); /* "/v1", which the base URL brings itself */
}

/* A model's name as one segment of a path. */
static int add_segment(struct sg_buf *b, struct sg_str s)
{
        static const char hex[] = "0123456789ABCDEF";
        int r = 0;

        for (size_t i = 0; !r && i < s.n; i++) {
                const unsigned char ch = (unsigned char)s.p[i];
                const char escaped[3] = {'%', hex[ch >> 4], hex[ch & 15]};
                const bool is_plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                                      (ch >= '0' && ch <= '9') || ch == '-' || ch == '_' || ch == '~' ||
                                      (ch == '.' && s.n > 2); /* "." and ".." are no names */

                r = is_plain ? sg_buf_add(b, sg_str_make(s.p + i, 1)) : sg_buf_add(b, sg_str_make(escaped, 3));
        }
        return r;
}

/* Azure has a path for each deployment, but of the Responses API, which names the model in its body. */
static int add_azure(struct sg_exchange *x, struct sg_buf *b, struct sg_str path, struct sg_str query)
{
        const struct sg_str name = SG_STR("api-version=");
        int r = sg_buf_add(b, SG_STR("/openai"));

        if (!r && x->upstream_op != SG_OP_RESPONSES && x->upstream_op != SG_OP_PASS) {
                r = sg_buf_add(b, SG_STR("/deployments/"));
                if (!r)
                        r = add_segment(b, sg_exchange_text(x->model_upstream));
        }
        if (!r)
                r = sg_buf_add(b, path);
        if (!r)
                r = sg_buf_add(b, SG_STR("?"));
        if (!r && sg_str_find(query, name) == query.n) { /* a client that names one wants that */
                r = sg_buf_add(b, name);
                if (!r)
                        r = sg_buf_add(b, sg_exchange_text(x->provider->config->api_version));
                if (!r && query.n)
                        r = sg_buf_add(b, SG_STR("&"));
        }
        return r ? r : sg_buf_add(b, query);
}

int sg_dialect_add_target(struct sg_exchange *x, struct sg_buf *b)
{
        const struct sg_config_provider *c = x->provider->config;
        const bool is_azure = c->dialect == SG_DIALECT_AZURE;
        struct sg_str query, path = path_of(x, sg_target_path(sg_buf_view(&x->path), &query));
        int r = sg_buf_add(b, sg_str_from(c->path_prefix));

        if (x->upstream_op != x->op)
                query = SG_STR_NONE; /* of another dialect ("?beta=true") */
        if (!r && is_azure)
                return add_azure(x, b, path, query);
        if (!r)
                r = sg_buf_add(b, path);
        if (!r && query.n)
                r = sg_buf_add(b, SG_STR("?"));
        return r ? r : sg_buf_add(b, query);
}

int sg_dialect_credential_new(struct sg_secret **ret, enum sg_dialect d, struct sg_secret *api_key)
{
        static const char *const before[SG_DIALECT_N] = {
                [SG_DIALECT_OPENAI] = "authorization: Bearer ",
                [SG_DIALECT_ANTHROPIC] = "x-api-key: ",
                [SG_DIALECT_AZURE] = "api-key: ",
                [SG_DIALECT_ECHO] = "authorization: Bearer ",
        };
        struct sg_buf line;
        int r;

        if (!sg_header_value_is_valid(sg_secret_bytes(api_key)))
                return -EINVAL;
        sg_buf_init(&line, SG_SECRET_BYTES_MAX);
        line.secret = true;
        r = sg_buf_add(&line, sg_str_from(before[d]));
        if (!r)
                r = sg_buf_add(&line, sg_secret_bytes(api_key));
        if (!r)
                r = sg_buf_add(&line, SG_STR("\r\n"));
        if (!r)
                r = sg_secret_new(ret, sg_buf_view(&line));
        sg_buf_done(&line);
        return r > 0 ? -E2BIG : r;
}
