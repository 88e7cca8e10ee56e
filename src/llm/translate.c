/*
 * A leg leads from a client's dialect to a provider's: its request goes there, answers and streams come back. Where no leg
 * leads directly, two do, by way of chat completions: what the first writes the second reads.
 */
#include "llm/translate.h"

#include <errno.h>
#include <stdlib.h>

#include "base/limits.h"
#include "llm/fields.h"
#include "llm/responses.h"
#include "llm/text.h"

#define LEGS_MAX 2u

/* What one event becomes on its way: an event may repeat what many before it brought. */
#define BETWEEN_BYTES_MAX (2 * (size_t)SG_SSE_EVENT_BYTES_MAX)

struct leg {
        enum sg_operation client, provider;
        int (*request)(struct sg_buf *out, struct sg_str body, const struct sg_translate_options *options,
                       struct sg_translate_notes *notes, struct sg_llm_fault *fault);
        int (*answer)(struct sg_buf *out, struct sg_str body, const struct sg_translate_exchange *x,
                      struct sg_llm_fault *fault);
        const struct sg_translate_way *stream;
};

static const struct leg legs[] = {
        {.client = SG_OP_CHAT,
         .provider = SG_OP_MESSAGES,
         .request = sg_chat_request_to_messages,
         .answer = sg_messages_answer_to_chat,
         .stream = &sg_messages_stream_to_chat},
        {.client = SG_OP_MESSAGES,
         .provider = SG_OP_CHAT,
         .request = sg_messages_request_to_chat,
         .answer = sg_chat_answer_to_messages,
         .stream = &sg_chat_stream_to_messages},
        {.client = SG_OP_RESPONSES,
         .provider = SG_OP_CHAT,
         .request = sg_responses_request_to_chat,
         .answer = sg_chat_answer_to_responses,
         .stream = &sg_chat_stream_to_responses},
};

struct route {
        const struct leg *legs[LEGS_MAX]; /* from the client on */
        size_t n;
};

static const struct leg *find_leg(enum sg_operation client, enum sg_operation provider)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(legs); i++)
                if (legs[i].client == client && legs[i].provider == provider)
                        return &legs[i];
        return NULL;
}

static bool find_route(struct route *ret, enum sg_operation client, enum sg_operation provider)
{
        const struct leg *direct = find_leg(client, provider);
        const struct leg *first = find_leg(client, SG_OP_CHAT), *second = find_leg(SG_OP_CHAT, provider);

        if (direct)
                *ret = (struct route){{direct}, 1};
        else if (first && second && client != provider)
                *ret = (struct route){{first, second}, 2};
        else
                return false;
        return true;
}

bool sg_translate_has_way(enum sg_operation client, enum sg_operation provider)
{
        struct route route;

        return find_route(&route, client, provider);
}

static struct route must_find_route(enum sg_operation client, enum sg_operation provider)
{
        struct route route;

        SG_ASSERT(find_route(&route, client, provider));
        return route;
}

/* ---- requests and answers */

static void add_notes(struct sg_translate_notes *to, const struct sg_translate_notes *more)
{
        struct sg_llm_reader names = {.notes = to};
        struct sg_str rest = sg_str_from(more->dropped), one;
        char name[sizeof(more->dropped)];

        while (rest.n > 0) {
                sg_str_cut(&rest, ',', &one);
                sg_str_copy(name, sizeof(name), sg_str_trim(one));
                sg_llm_drop(&names, name);
        }
        to->is_json_by_tool |= more->is_json_by_tool;
}

static int request_by_chat(struct sg_buf *out, const struct route *route, struct sg_str body,
                           const struct sg_translate_options *options, struct sg_translate_notes *notes,
                           struct sg_llm_fault *fault)
{
        struct sg_translate_notes second = {0};
        struct sg_buf between;
        int r;

        sg_buf_init(&between, out->max);
        r = route->legs[0]->request(&between, body, options, notes, fault);
        if (!r) {
                r = route->legs[1]->request(out, sg_buf_view(&between), options, &second, fault);
                if (r == SG_LLM_E_BAD_FIELD)
                        sg_responses_retell_fault(fault);
                add_notes(notes, &second);
        }
        sg_buf_done(&between);
        return r;
}

int sg_translate_request(struct sg_buf *out, enum sg_operation from, enum sg_operation to, struct sg_str body,
                         const struct sg_translate_options *options, struct sg_translate_notes *notes,
                         struct sg_llm_fault *fault)
{
        const struct route route = must_find_route(from, to);

        *notes = (struct sg_translate_notes){0};
        if (route.n == 1)
                return route.legs[0]->request(out, body, options, notes, fault);
        return request_by_chat(out, &route, body, options, notes, fault);
}

int sg_translate_answer(struct sg_buf *out, enum sg_operation from, enum sg_operation to, struct sg_str body,
                        const struct sg_translate_exchange *x, struct sg_llm_fault *fault)
{
        const struct route route = must_find_route(to, from);
        struct sg_buf between;
        int r;

        if (route.n == 1)
                return route.legs[0]->answer(out, body, x, fault);
        sg_buf_init(&between, out->max);
        r = route.legs[1]->answer(&between, body, x, fault);
        if (!r)
                r = route.legs[0]->answer(out, sg_buf_view(&between), x, fault);
        sg_buf_done(&between);
        return r;
}

/* ---- streams */

struct sg_translator {
        const struct sg_translate_way *ways[LEGS_MAX]; /* from the provider on */
        void *states[LEGS_MAX];
        size_t n_ways;
        struct sg_buf between; /* of two ways: what the first made of an event, */
        struct sg_sse sse;     /* and the scanner of it for the second */
        bool is_over;
};

static int begin_way(struct sg_translator *t, const struct sg_translate_way *way, const struct sg_translate_exchange *x)
{
        void *state = calloc(1, way->state_bytes);

        if (!state)
                return -ENOMEM;
        t->ways[t->n_ways] = way;
        t->states[t->n_ways++] = state;
        return way->begin(state, x);
}

int sg_translator_new(struct sg_translator **ret, enum sg_operation from, enum sg_operation to,
                      const struct sg_translate_exchange *x)
{
        SG_AUTO(sg_translator_free) struct sg_translator *t = calloc(1, sizeof(*t));
        const struct route route = must_find_route(to, from);
        struct sg_translate_exchange between = *x;
        int r;

        if (!t)
                return -ENOMEM;
        sg_buf_init(&t->between, BETWEEN_BYTES_MAX);
        sg_sse_init(&t->sse, BETWEEN_BYTES_MAX);
        between.wants_usage = true; /* of the chat completion's chunks: the next way tells it in its own words */
        for (size_t i = route.n; i-- > 0;) {
                r = begin_way(t, route.legs[i]->stream, i > 0 ? &between : x);
                if (r)
                        return r;
        }
        *ret = SG_GIVE(t);
        return 0;
}

struct sg_translator *sg_translator_free(struct sg_translator *t)
{
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->n_ways; i++) {
                t->ways[i]->done(t->states[i]);
                free(t->states[i]);
        }
        sg_sse_done(&t->sse);
        sg_buf_done(&t->between);
        free(t);
        return NULL;
}

/* The events in `between`, which are whole, through the second way. */
static int pass_on(struct sg_translator *t, struct sg_buf *out, struct sg_llm_fault *fault)
{
        struct sg_str in = sg_buf_view(&t->between);
        struct sg_sse_event chunk;

        while (in.n > 0) {
                int r = sg_sse_next(&t->sse, &in, &chunk);

                SG_ASSERT(r != SG_SSE_E_MORE);
                if (r)
                        return r == SG_SSE_E_TOO_LARGE ? SG_BUF_E_FULL : r;
                r = t->ways[1]->event(t->states[1], &chunk, out, fault);
                if (r)
                        return r;
        }
        return 0;
}

static int event_by_chat(struct sg_translator *t, const struct sg_sse_event *ev, struct sg_buf *out,
                         struct sg_llm_fault *fault)
{
        int r;

        sg_buf_clear(&t->between);
        r = t->ways[0]->event(t->states[0], ev, &t->between, fault);
        return r ? r : pass_on(t, out, fault);
}

int sg_translator_event(struct sg_translator *t, const struct sg_sse_event *ev, struct sg_buf *out,
                        struct sg_llm_fault *fault)
{
        int r;

        SG_ASSERT(!t->is_over);
        r = t->n_ways == 1 ? t->ways[0]->event(t->states[0], ev, out, fault) : event_by_chat(t, ev, out, fault);
        t->is_over = r != 0;
        return r;
}
