/*
 * One item takes text at a time: reasoning or a message. When text of the other kind comes it is closed, and another is opened.
 * Calls stay open until the end, because pieces of several may come by turns.
 */
#include "llm/responses_output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "llm/responses_parts.h"
#include "llm/wording.h"

/* What an item costs beside its text: bounds their number. */
#define ITEM_BYTES 512u

static void item_done(struct sg_responses_item *it)
{
        sg_buf_done(&it->text);
        sg_buf_done(&it->logprobs);
        sg_buf_done(&it->closed);
        sg_buf_done(&it->own);
        sg_buf_done(&it->call_id);
}

void sg_responses_output_done(struct sg_responses_output *out)
{
        for (size_t i = 0; i < out->n_items; i++)
                item_done(&out->items[i]);
        free(out->items);
        sg_buf_done(&out->model);
        sg_buf_done(&out->echo);
}

/* True when there is room for n bytes more; they count. */
static bool hold(struct sg_responses_output *out, size_t n)
{
        if (!out->put.r && n > out->held_max - out->n_held)
                out->put.r = SG_BUF_E_FULL;
        if (out->put.r)
                return false;
        out->n_held += n;
        return true;
}

static void keep(struct sg_responses_output *out, struct sg_buf *b, struct sg_str s)
{
        if (hold(out, s.n))
                out->put.r = sg_buf_add(b, s);
}

/* ---- events */

static bool begin_event(struct sg_responses_output *out, struct sg_str type)
{
        if (!out->put.to)
                return false;
        sg_llm_put(&out->put, SG_STR("event: "));
        sg_llm_put(&out->put, type);
        sg_llm_put(&out->put, SG_STR("\ndata: {\"type\":\""));
        sg_llm_put(&out->put, type);
        sg_llm_put(&out->put, SG_STR("\",\"sequence_number\":"));
        sg_llm_put_u64(&out->put, out->sequence++);
        return true;
}

static void end_event(struct sg_responses_output *out)
{
        sg_llm_put(&out->put, SG_STR("}\n\n"));
}

static void tell_state(struct sg_responses_output *out, struct sg_str type, struct sg_str status, struct sg_str reason,
                       const struct sg_usage *usage)
{
        if (!begin_event(out, type))
                return;
        sg_llm_put(&out->put, SG_STR(",\"response\":"));
        sg_responses_put_state(out, &out->put, status, reason, usage);
        end_event(out);
}

static void tell_item(struct sg_responses_output *out, struct sg_str type, size_t item)
{
        if (!begin_event(out, type))
                return;
        sg_llm_put(&out->put, SG_STR(",\"output_index\":"));
        sg_llm_put_u64(&out->put, item);
        sg_llm_put(&out->put, SG_STR(",\"item\":"));
        sg_responses_put_item(out, &out->put, item);
        end_event(out);
}

static bool begin_item_event(struct sg_responses_output *out, struct sg_str type, size_t item)
{
        if (!begin_event(out, type))
                return false;
        sg_llm_put(&out->put, SG_STR(",\"output_index\":"));
        sg_llm_put_u64(&out->put, item);
        sg_llm_put(&out->put, SG_STR(",\"item_id\":"));
        sg_responses_put_item_id(out, &out->put, item);
        if (out->items[item].kind != SG_RESPONSES_CALL) {
                sg_llm_put(&out->put, SG_STR(",\"content_index\":"));
                sg_llm_put_u64(&out->put, out->items[item].n_parts);
        }
        return true;
}

/* name: of the member that has the text. */
static void end_text_event(struct sg_responses_output *out, struct sg_str name, struct sg_str text)
{
        sg_llm_put(&out->put, SG_STR(",\""));
        sg_llm_put(&out->put, name);
        sg_llm_put(&out->put, SG_STR("\":\""));
        sg_llm_put(&out->put, text);
        sg_llm_put(&out->put, SG_STR("\""));
        end_event(out);
}

void sg_responses_begin(struct sg_responses_output *out)
{
        const struct sg_usage none = {0};

        tell_state(out, SG_STR("response.created"), SG_STR("in_progress"), SG_STR(""), &none);
        tell_state(out, SG_STR("response.in_progress"), SG_STR("in_progress"), SG_STR(""), &none);
}

/* ---- items */

static struct sg_responses_item *add_item(struct sg_responses_output *out, enum sg_responses_kind kind)
{
        struct sg_responses_item *it;

        if (!hold(out, ITEM_BYTES))
                return NULL;
        if (out->n_items == out->n_room) {
                size_t room = out->n_room ? 2 * out->n_room : 4;
                void *more = realloc(out->items, room * sizeof(*out->items));

                if (!more) {
                        out->put.r = -ENOMEM;
                        return NULL;
                }
                out->items = more;
                out->n_room = room;
        }
        it = &out->items[out->n_items++];
        *it = (struct sg_responses_item){.kind = kind, .is_open = true};
        sg_buf_init(&it->text, SIZE_MAX); /* hold() bounds them together */
        sg_buf_init(&it->logprobs, SIZE_MAX);
        sg_buf_init(&it->closed, SIZE_MAX);
        sg_buf_init(&it->own, SIZE_MAX);
        sg_buf_init(&it->call_id, SIZE_MAX);
        return it;
}

static void tell_part(struct sg_responses_output *out, struct sg_str type, size_t item)
{
        if (!begin_item_event(out, type, item))
                return;
        sg_llm_put(&out->put, SG_STR(",\"part\":"));
        sg_responses_put_part(&out->put, &out->items[item]);
        end_event(out);
}

static void open_part(struct sg_responses_output *out, size_t item, enum sg_responses_part part)
{
        out->items[item].part = part;
        out->items[item].has_part = true;
        tell_part(out, SG_STR("response.content_part.added"), item);
}

static void close_part(struct sg_responses_output *out, size_t item)
{
        static const struct {
                struct sg_str type, name;
        } dones[SG_RESPONSES_PART_N] = {
                {SG_STR("response.reasoning_text.done"), SG_STR("text")},
                {SG_STR("response.output_text.done"), SG_STR("text")},
                {SG_STR("response.refusal.done"), SG_STR("refusal")},
        };
        struct sg_responses_item *it = &out->items[item];
        struct sg_llm_put closed = {.to = &it->closed, .r = out->put.r};

        if (!it->has_part)
                return;
        if (begin_item_event(out, dones[it->part].type, item)) {
                if (it->part == SG_RESPONSES_OUTPUT_TEXT) {
                        sg_llm_put(&out->put, SG_STR(",\"logprobs\":["));
                        sg_llm_put(&out->put, sg_buf_view(&it->logprobs));
                        sg_llm_put(&out->put, SG_STR("]"));
                }
                end_text_event(out, dones[it->part].name, sg_buf_view(&it->text));
        }
        tell_part(out, SG_STR("response.content_part.done"), item);
        if (it->n_parts++)
                sg_llm_put(&closed, SG_STR(","));
        sg_responses_put_part(&closed, it);
        if (!out->put.r)
                out->put.r = closed.r;
        sg_buf_release(&it->text);
        sg_buf_release(&it->logprobs);
        it->has_part = false;
}

static void tell_arguments_done(struct sg_responses_output *out, size_t item)
{
        if (!begin_item_event(out, SG_STR("response.function_call_arguments.done"), item))
                return;
        sg_llm_put(&out->put, SG_STR(","));
        sg_llm_put(&out->put, sg_buf_view(&out->items[item].own));
        end_text_event(out, SG_STR("arguments"), sg_buf_view(&out->items[item].text));
}

static void close_item(struct sg_responses_output *out, size_t item, bool is_cut)
{
        struct sg_responses_item *it = &out->items[item];

        if (!it->is_open)
                return;
        if (it->kind != SG_RESPONSES_CALL)
                close_part(out, item);
        else
                tell_arguments_done(out, item);
        it->is_open = false;
        it->is_cut = is_cut;
        tell_item(out, SG_STR("response.output_item.done"), item);
}

static void close_taker(struct sg_responses_output *out)
{
        if (out->taker != SIZE_MAX)
                close_item(out, out->taker, false);
        out->taker = SIZE_MAX;
}

/* The open item of that kind. False without memory or room. */
static bool take(struct sg_responses_output *out, enum sg_responses_kind kind)
{
        if (out->taker != SIZE_MAX && out->items[out->taker].kind == kind)
                return !out->put.r;
        close_taker(out);
        if (!add_item(out, kind))
                return false;
        out->taker = out->n_items - 1;
        tell_item(out, SG_STR("response.output_item.added"), out->taker);
        return !out->put.r;
}

/* ---- what comes */

static void tell_delta(struct sg_responses_output *out, enum sg_responses_part part, struct sg_str text,
                       struct sg_str logprobs)
{
        static const struct sg_str types[SG_RESPONSES_PART_N] = {
                SG_STR("response.reasoning_text.delta"),
                SG_STR("response.output_text.delta"),
                SG_STR("response.refusal.delta"),
        };

        if (!begin_item_event(out, types[part], out->taker))
                return;
        if (part == SG_RESPONSES_OUTPUT_TEXT) {
                sg_llm_put(&out->put, SG_STR(",\"logprobs\":["));
                sg_responses_put_line(&out->put, logprobs);
                sg_llm_put(&out->put, SG_STR("]"));
        }
        end_text_event(out, SG_STR("delta"), text);
}

/* Elements of an array without its brackets. */
static struct sg_str elements(struct sg_json_value array)
{
        if (array.kind != SG_JSON_ARRAY || sg_json_is_empty(array))
                return SG_STR("");
        return sg_str_make(array.text.p + 1, array.text.n - 2);
}

static void keep_elements(struct sg_responses_output *out, struct sg_buf *b, struct sg_str more)
{
        struct sg_llm_put o = {.to = b};

        if (more.n == 0 || !hold(out, more.n + 1))
                return;
        if (sg_buf_length(b))
                sg_llm_put(&o, SG_STR(","));
        sg_responses_put_line(&o, more);
        out->put.r = o.r;
}

void sg_responses_add_text(struct sg_responses_output *out, enum sg_responses_part part, struct sg_str text,
                           struct sg_json_value logprobs)
{
        struct sg_responses_item *it;

        if (!take(out, part == SG_RESPONSES_REASONING_TEXT ? SG_RESPONSES_REASONING : SG_RESPONSES_MESSAGE))
                return;
        it = &out->items[out->taker];
        if (it->has_part && it->part != part)
                close_part(out, out->taker);
        if (!it->has_part)
                open_part(out, out->taker, part);
        keep(out, &it->text, text);
        keep_elements(out, &it->logprobs, elements(logprobs));
        tell_delta(out, part, text, elements(logprobs));
}

void sg_responses_add_thinking(struct sg_responses_output *out, struct sg_json_value blocks)
{
        struct sg_str more = elements(blocks);

        if (more.n && take(out, SG_RESPONSES_REASONING))
                keep_elements(out, &out->items[out->taker].own, more);
}

/* ---- calls */

/* Some providers give every call the same index: another id with a name is another call. */
static size_t find_call(const struct sg_responses_output *out, uint64_t index, struct sg_json_value id, bool is_named)
{
        for (size_t i = out->n_calls; i-- > 0;) {
                struct sg_str known = sg_buf_view(&out->items[out->calls[i].item].call_id);

                if (out->calls[i].index == index)
                        return is_named && sg_wording_has_text(id) && !sg_str_eq(id.text, known) ? SIZE_MAX
                                                                                                 : out->calls[i].item;
        }
        return SIZE_MAX;
}

static void keep_call_id(struct sg_responses_output *out, struct sg_responses_item *it, struct sg_json_value id)
{
        struct sg_llm_put o = {.to = &it->call_id};
        char made[80];

        if (sg_wording_has_text(id)) {
                keep(out, &it->call_id, id.text);
                return;
        }
        snprintf(made, sizeof(made), "call_%s_%zu", out->id, out->n_items - 1);
        sg_llm_put_string(&o, sg_str_from(made));
        out->put.r = o.r;
}

static size_t open_call(struct sg_responses_output *out, uint64_t index, struct sg_json_value id,
                        struct sg_json_value name)
{
        struct sg_responses_item *it;

        close_taker(out);
        it = add_item(out, SG_RESPONSES_CALL);
        if (!it)
                return SIZE_MAX;
        out->calls[out->n_calls].index = index;
        out->calls[out->n_calls++].item = out->n_items - 1;
        keep_call_id(out, it, id);
        keep(out, &it->own, SG_STR("\"call_id\":"));
        keep(out, &it->own, sg_buf_view(&it->call_id));
        keep(out, &it->own, SG_STR(",\"name\":"));
        keep(out, &it->own, name.text);
        tell_item(out, SG_STR("response.output_item.added"), out->n_items - 1);
        return out->n_items - 1;
}

/* False when it is no call: what was not found is absent. */
static bool read_call(struct sg_json_value call, struct sg_json_want head[2], struct sg_json_want function[2])
{
        return call.kind == SG_JSON_OBJECT && !sg_json_slice_last(call.text, head, 2, NULL) &&
               head[1].value.kind == SG_JSON_OBJECT && !sg_json_slice_last(head[1].value.text, function, 2, NULL);
}

int sg_responses_add_call(struct sg_responses_output *out, uint64_t index, struct sg_json_value call,
                          struct sg_llm_fault *fault)
{
        struct sg_json_want head[] = {{.name = SG_STR("id")}, {.name = SG_STR("function")}};
        struct sg_json_want function[] = {{.name = SG_STR("name")}, {.name = SG_STR("arguments")}};
        struct sg_json_value id, name, arguments;
        size_t item;

        (void)read_call(call, head, function);
        id = head[0].value;
        name = function[0].value;
        arguments = function[1].value;
        item = find_call(out, index, id, sg_wording_has_text(name));
        if (item == SIZE_MAX && (!sg_wording_has_text(name) || out->n_calls == SG_TOOL_CALLS_MAX)) {
                sg_llm_fault_set(fault, "", "the provider sent %s",
                                 sg_wording_has_text(name) ? "too many tool calls"
                                                           : "a piece of a tool call that has no name");
                return SG_LLM_E_NOT_JSON;
        }
        if (item == SIZE_MAX)
                item = open_call(out, index, id, name);
        if (item == SIZE_MAX || !sg_wording_has_text(arguments))
                return 0;
        keep(out, &out->items[item].text, sg_wording_inner(arguments));
        if (begin_item_event(out, SG_STR("response.function_call_arguments.delta"), item))
                end_text_event(out, SG_STR("delta"), sg_wording_inner(arguments));
        return 0;
}

/* ---- the end */

/* Empty when the response is complete; else why it is not, if need be in the provider's own word. */
static struct sg_str reason_of(const char *finish_reason)
{
        if (strcmp(finish_reason, "stop") == 0 || strcmp(finish_reason, "tool_calls") == 0 ||
            strcmp(finish_reason, "function_call") == 0)
                return SG_STR("");
        if (strcmp(finish_reason, "length") == 0)
                return SG_STR("max_output_tokens");
        return finish_reason[0] ? sg_str_from(finish_reason) : SG_STR("unknown");
}

void sg_responses_end(struct sg_responses_output *out, const char *finish_reason)
{
        bool is_cut = reason_of(finish_reason).n > 0;

        for (size_t i = 0; i < out->n_items; i++)
                close_item(out, i, is_cut);
        out->taker = SIZE_MAX;
}

void sg_responses_put_object(struct sg_responses_output *out, struct sg_llm_put *o, const char *finish_reason,
                             const struct sg_usage *usage)
{
        struct sg_str reason = reason_of(finish_reason);

        sg_responses_put_state(out, o, reason.n ? SG_STR("incomplete") : SG_STR("completed"), reason, usage);
}

void sg_responses_put_terminal(struct sg_responses_output *out, const char *finish_reason, const struct sg_usage *usage)
{
        struct sg_str reason = reason_of(finish_reason);

        if (reason.n)
                tell_state(out, SG_STR("response.incomplete"), SG_STR("incomplete"), reason, usage);
        else
                tell_state(out, SG_STR("response.completed"), SG_STR("completed"), reason, usage);
}
