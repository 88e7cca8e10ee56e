/*
 * llm/fields.h - the strict reading of a client's objects: every member known, every fault with its path
 *
 * Shape    sg_llm_reader knows where in the body it reads ("messages.3.content.0"); entering adds a step, leaving takes
 *          it back. Members that are null count as absent, as both SDKs write them
 * Owner    the caller; fault and notes are lent
 * Thread   any
 * Errors   0 or SG_LLM_E_BAD_FIELD with a fault whose param is the path
 * Limits   a path is cut at the size of sg_llm_fault.param
 */
#pragma once

#include "base/limits.h"
#include "llm/translate.h"

struct sg_llm_reader {
        struct sg_llm_fault *fault;       /* or NULL */
        struct sg_translate_notes *notes; /* or NULL */
        char path[sizeof(((struct sg_llm_fault *)0)->param)];
        size_t n_path;
};

/* One step deeper; what they return takes it back. After a fault the path need not be left. */
size_t sg_llm_enter(struct sg_llm_reader *at, struct sg_str name);
size_t sg_llm_enter_index(struct sg_llm_reader *at, size_t index);
void sg_llm_leave(struct sg_llm_reader *at, size_t mark);

/* Faults about where the reader is, or about a member there; always SG_LLM_E_BAD_FIELD. The text begins with the path in
 * quotes, then `format`. */
int sg_llm_refuse(struct sg_llm_reader *at, const char *format, ...) SG_PRINTF(2, 3);
int sg_llm_refuse_member(struct sg_llm_reader *at, const char *name, const char *format, ...) SG_PRINTF(3, 4);
/* "cannot be expressed in the dialect of the provider of this model" */
int sg_llm_refuse_inexpressible(struct sg_llm_reader *at);
int sg_llm_refuse_inexpressible_member(struct sg_llm_reader *at, const char *name);

/* The members of an object by their names: ret has a value for each name, of kind SG_JSON_NONE where it is absent or null.
 * A member that is not named, or stands twice, is refused; unless it is null or [], which says nothing. */
int sg_llm_read_members(struct sg_llm_reader *at, struct sg_json_value object, const struct sg_str *names, size_t n,
                        struct sg_json_value *ret) SG_MUST_CHECK;
/* v, found as `name`, is of that kind (SG_JSON_TRUE: true or false); may: or absent. */
int sg_llm_must_be(struct sg_llm_reader *at, const char *name, struct sg_json_value v, enum sg_json_kind kind)
        SG_MUST_CHECK;
int sg_llm_may_be(struct sg_llm_reader *at, const char *name, struct sg_json_value v, enum sg_json_kind kind)
        SG_MUST_CHECK;

/* Advice that has no words in the other dialect, named once in notes->dropped; "..." ends a list without room. */
void sg_llm_drop(struct sg_llm_reader *at, const char *name);

/* A string of no characters. */
bool sg_llm_is_empty_text(struct sg_json_value v);

/* The calls of an assistant's turn, each of which wants one result. */
struct sg_llm_calls {
        struct {
                struct sg_json_value id;
                bool is_answered;
        } of[SG_TOOL_CALLS_MAX];
        size_t n;
        size_t n_answered;
        size_t message; /* whose they are */
};
void sg_llm_calls_clear(struct sg_llm_calls *c, size_t message);
/* id: a string, found as `name`. Refused when it is empty, there already, or one too many. */
int sg_llm_calls_add(struct sg_llm_calls *c, struct sg_llm_reader *at, const char *name, struct sg_json_value id)
        SG_MUST_CHECK;
/* Refused when there is no such call, or it has a result. */
int sg_llm_calls_answer(struct sg_llm_calls *c, struct sg_llm_reader *at, const char *name, struct sg_json_value id)
        SG_MUST_CHECK;
/* Refused when a call has no result; the path is that of its message. */
int sg_llm_calls_end(const struct sg_llm_calls *c, struct sg_llm_reader *at) SG_MUST_CHECK;
