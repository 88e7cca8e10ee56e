/*
 * What is told of limits: to clients in fields of the answer, in the words of the dialect they speak, and to the log.
 */
#include <time.h>

#include "base/message_id.h"
#include "gateway/limited.h"
#include "gateway/limiting.h"

/* ---- whose limits they are */

static void add(struct sg_limited_list *w, enum sg_limit_subject kind, uint64_t id, const char *name,
                struct sg_limit_set *set)
{
        if (set)
                w->at[w->n++] = (struct sg_limited){kind, id, name, set};
}

void sg_limited_add_caller(struct sg_limited_list *w, const struct sg_exchange *x)
{
        const struct sg_group_facts *groups[SG_GROUP_DEPTH_MAX];
        uint64_t ids[SG_GROUP_DEPTH_MAX];
        size_t n = 0;

        if (!x->key)
                return;
        add(w, SG_SUBJECT_KEY, x->key->id, x->key->name, x->key->limits);
        if (!x->key->group)
                return;
        sg_group_chain(x->key->group, groups, ids, &n);
        for (size_t i = 0; i < n; i++)
                add(w, SG_SUBJECT_GROUP, ids[i], groups[i]->name, groups[i]->limits);
}

void sg_limited_add_model(struct sg_limited_list *w, const struct sg_config_model *m)
{
        if (m && m->limits)
                add(w, SG_SUBJECT_MODEL, sg_limit_name_id(sg_str_from(m->name)), m->name, m->limits);
}

void sg_limited_add_provider(struct sg_limited_list *w, const struct sg_config_provider *p)
{
        if (p && p->limits)
                add(w, SG_SUBJECT_PROVIDER, sg_limit_name_id(sg_str_from(p->name)), p->name, p->limits);
}

/* ---- to clients */

#define RESET_BYTES 64
#define LINES_BYTES 320 /* three lines: 40 bytes of name, 20 of a number or RESET_BYTES */

/* Written for every answer, hence without printf, which took twice the instructions of all the counting. What stands before
 * each of the values. */
struct told {
        struct sg_str limit, remaining, reset;
};
static const struct told openai_texts[] = {
        [SG_LIMIT_REQUESTS] = {SG_STR("x-ratelimit-limit-requests: "), SG_STR("\r\nx-ratelimit-remaining-requests: "),
                               SG_STR("\r\nx-ratelimit-reset-requests: ")},
        [SG_LIMIT_TOKENS] = {SG_STR("x-ratelimit-limit-tokens: "), SG_STR("\r\nx-ratelimit-remaining-tokens: "),
                             SG_STR("\r\nx-ratelimit-reset-tokens: ")},
};
static const struct told anthropic_texts[] = {
        [SG_LIMIT_REQUESTS] = {SG_STR("anthropic-ratelimit-requests-limit: "),
                               SG_STR("\r\nanthropic-ratelimit-requests-remaining: "),
                               SG_STR("\r\nanthropic-ratelimit-requests-reset: ")},
        [SG_LIMIT_TOKENS] = {SG_STR("anthropic-ratelimit-tokens-limit: "),
                             SG_STR("\r\nanthropic-ratelimit-tokens-remaining: "),
                             SG_STR("\r\nanthropic-ratelimit-tokens-reset: ")},
};

static char *put(char *at, struct sg_str s)
{
        memcpy(at, s.p, s.n);
        return at + s.n;
}

static char *put_number(char *at, struct sg_str before, uint64_t n)
{
        char digits[SG_U64_DIGITS_MAX];

        return put(put(at, before), sg_str_u64(digits, n));
}

/* "6m0s", "1s", "120ms": as OpenAI writes it. */
static char *put_duration(char *at, uint64_t usec)
{
        const uint64_t ms = (usec + SG_USEC_PER_MSEC - 1) / SG_USEC_PER_MSEC,
                       s = (usec + SG_USEC_PER_SEC - 1) / SG_USEC_PER_SEC;

        if (ms < 1000)
                return put(put_number(at, SG_STR(""), ms), SG_STR("ms"));
        if (s >= 3600)
                at = put(put_number(at, SG_STR(""), s / 3600), SG_STR("h"));
        if (s >= 60)
                at = put(put_number(at, SG_STR(""), s / 60 % 60), SG_STR("m"));
        return put(put_number(at, SG_STR(""), s % 60), SG_STR("s"));
}

/* RFC 3339, as Anthropic writes it. */
static char *put_moment(char *at, uint64_t wall_usec)
{
        const time_t when = (time_t)((wall_usec + SG_USEC_PER_SEC - 1) / SG_USEC_PER_SEC);
        struct tm tm;

        return gmtime_r(&when, &tm) ? at + strftime(at, RESET_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm) : at;
}

static int add_kind(struct sg_exchange *x, const struct sg_limited_list *who, enum sg_limit_kind kind,
                    uint64_t wall_usec)
{
        const bool is_anthropic = x->surface == SG_SURFACE_ANTHROPIC;
        const struct told *texts = is_anthropic ? &anthropic_texts[kind] : &openai_texts[kind];
        char lines[LINES_BYTES], *at = lines;
        struct sg_limit_state s;

        if (!sg_limits_tightest(x->worker->shared->limits, who->at, who->n, kind, sg_loop_now_usec(x->worker->loop),
                                wall_usec, &s))
                return 0;
        at = put_number(at, texts->limit, s.limit.amount);
        at = put_number(at, texts->remaining, s.remaining);
        at = put(at, texts->reset);
        at = is_anthropic ? put_moment(at, wall_usec + s.reset_usec) : put_duration(at, s.reset_usec);
        at = put(at, SG_STR("\r\n"));
        return sg_buf_add(&x->fields, sg_str_make(lines, (size_t)(at - lines)));
}

int sg_limiting_add_fields(struct sg_exchange *x)
{
        struct sg_limited_list who = {.n = 0};
        uint64_t wall_usec;
        int r;

        if (!x->limiting)
                return 0;
        wall_usec = sg_clock_wall_usec();
        sg_limited_add_caller(&who, x);
        sg_limited_add_model(&who, x->model);
        r = add_kind(x, &who, SG_LIMIT_REQUESTS, wall_usec);
        return r ? r : add_kind(x, &who, SG_LIMIT_TOKENS, wall_usec);
}

bool sg_limiting_tells(const struct sg_exchange *x)
{
        return x->limiting != NULL;
}

/* ---- to the log */

void sg_limits_tell_warning(const struct sg_limit_warning *w, void *owner)
{
        char limit[SG_LIMIT_TEXT_BYTES], used[SG_LIMIT_TEXT_BYTES];
        const char *kind = sg_limit_subject_name(w->who->kind);
        const struct sg_log_field fields[] = {
                {"SCRIBE_LIMITED", sg_str_from(w->who->name)},
                {"SCRIBE_LIMIT", sg_str_from(sg_limit_text(w->limit, limit))},
        };

        sg_limit_amount_text(w->limit, w->used, used);
        if (w->is_over)
                sg_log_line(SG_LOG_WARNING, SG_MESSAGE_LIMIT_SOFT_PASSED, fields, SG_N_ELEMENTS(fields),
                            "%s \"%s\" is over its limit of %s, which is soft: %s are used", kind, w->who->name, limit,
                            used);
        else
                sg_log_line(SG_LOG_WARNING, SG_MESSAGE_LIMIT_NEAR, fields, SG_N_ELEMENTS(fields),
                            "%s \"%s\" has used %u %% of its limit of %s: %s", kind, w->who->name, w->percent, limit,
                            used);
}
