/*
 * What is told of limits: to clients in fields of the answer, in the words of the dialect they speak, and to the log.
 */
#include <inttypes.h>
#include <stdio.h>
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

#define RESET_BYTES 40

/* "6m0s", "1s", "120ms": as OpenAI writes it. */
static void write_duration(char out[RESET_BYTES], uint64_t usec)
{
        const uint64_t ms = (usec + SG_USEC_PER_MSEC - 1) / SG_USEC_PER_MSEC,
                       s = (usec + SG_USEC_PER_SEC - 1) / SG_USEC_PER_SEC;

        if (ms < 1000)
                snprintf(out, RESET_BYTES, "%" PRIu64 "ms", ms);
        else if (s < 60)
                snprintf(out, RESET_BYTES, "%" PRIu64 "s", s);
        else if (s < 3600)
                snprintf(out, RESET_BYTES, "%" PRIu64 "m%" PRIu64 "s", s / 60, s % 60);
        else
                snprintf(out, RESET_BYTES, "%" PRIu64 "h%" PRIu64 "m%" PRIu64 "s", s / 3600, s / 60 % 60, s % 60);
}

/* RFC 3339, as Anthropic writes it. */
static void write_moment(char out[RESET_BYTES], uint64_t wall_usec)
{
        const time_t when = (time_t)((wall_usec + SG_USEC_PER_SEC - 1) / SG_USEC_PER_SEC);
        struct tm tm;

        if (!gmtime_r(&when, &tm) || !strftime(out, RESET_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm))
                out[0] = '\0';
}

static int add_openai(struct sg_exchange *x, const char *kind, const struct sg_limit_state *s)
{
        char reset[RESET_BYTES];

        write_duration(reset, s->reset_usec);
        return sg_buf_printf(&x->fields,
                             "x-ratelimit-limit-%s: %" PRIu64 "\r\nx-ratelimit-remaining-%s: %" PRIu64
                             "\r\nx-ratelimit-reset-%s: %s\r\n",
                             kind, s->limit.amount, kind, s->remaining, kind, reset);
}

static int add_anthropic(struct sg_exchange *x, const char *kind, const struct sg_limit_state *s)
{
        char reset[RESET_BYTES];

        write_moment(reset, sg_clock_wall_usec() + s->reset_usec);
        return sg_buf_printf(&x->fields,
                             "anthropic-ratelimit-%s-limit: %" PRIu64 "\r\nanthropic-ratelimit-%s-remaining: %" PRIu64
                             "\r\nanthropic-ratelimit-%s-reset: %s\r\n",
                             kind, s->limit.amount, kind, s->remaining, kind, reset);
}

static int add_kind(struct sg_exchange *x, const struct sg_limited_list *who, enum sg_limit_kind kind)
{
        struct sg_limit_state s;

        if (!sg_limits_tightest(x->worker->shared->limits, who->at, who->n, kind, sg_loop_now_usec(x->worker->loop),
                                sg_clock_wall_usec(), &s))
                return 0;
        return x->surface == SG_SURFACE_ANTHROPIC ? add_anthropic(x, sg_limit_kind_name(kind), &s)
                                                  : add_openai(x, sg_limit_kind_name(kind), &s);
}

int sg_limiting_add_fields(struct sg_exchange *x)
{
        struct sg_limited_list who = {.n = 0};
        int r;

        if (!x->limiting)
                return 0;
        sg_limited_add_caller(&who, x);
        sg_limited_add_model(&who, x->model);
        r = add_kind(x, &who, SG_LIMIT_REQUESTS);
        return r ? r : add_kind(x, &who, SG_LIMIT_TOKENS);
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
