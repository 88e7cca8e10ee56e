/*
 * json/slice.h - JSON as bytes: validated, sliced and spliced in place, no tree
 *
 * Shape    a value is a span of the text; nothing is decoded until asked
 * Owner    the caller owns the text; spans are views
 * Thread   any
 * Errors   0 or SG_JSON_E_* with the byte offset
 * Limits   SG_JSON_DEPTH_MAX (base/limits.h), SG_JSON_EDITS_MAX per splice
 * Source   RFC 8259 and RFC 3629, to the last byte: numbers' grammar, control bytes in strings, lone surrogates in
 *          \u escapes are accepted as I-JSON does not require otherwise, invalid UTF-8 is not
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"

enum sg_json_kind {
        SG_JSON_NONE, /* not present */
        SG_JSON_NULL,
        SG_JSON_FALSE,
        SG_JSON_TRUE,
        SG_JSON_NUMBER,
        SG_JSON_STRING, /* the span has its quotes */
        SG_JSON_ARRAY,
        SG_JSON_OBJECT,
        SG_JSON_KIND_N,
};

enum sg_json_error {
        SG_JSON_E_SYNTAX = 1,
        SG_JSON_E_UTF8,
        SG_JSON_E_DEPTH,
        SG_JSON_E_NOT_OBJECT,
        SG_JSON_E_DUPLICATE, /* a wanted member stands twice; where_name says which */
        SG_JSON_E_N,
};

struct sg_json_value {
        enum sg_json_kind kind;
        struct sg_str text; /* the value's own bytes, no white space around */
};

struct sg_json_inside;

struct sg_json_want {
        struct sg_str name;                  /* in: decoded member name */
        const struct sg_json_inside *inside; /* in: what is wanted of objects in it, or NULL */
        struct sg_json_value value;          /* out; kind SG_JSON_NONE when absent */
        struct sg_str member;                /* out: from the quote of its name to the last byte of its value */
        unsigned n;                          /* out: how often it stands there */
};

/* Of an object that is the value of a wanted member, or of each object that is an element of an array there: more
 * wants, filled in the same pass. Of an array each object fills them anew; on_object() is called after each one, before
 * the rest of the text is known to be valid. Values that are neither leave the wants empty. Where a member stands
 * several times, on_object() has been called for the objects of each. */
struct sg_json_inside {
        struct sg_json_want *wants;
        size_t n_wants;
        void (*on_object)(void *owner); /* or NULL */
        void *owner;
};

struct sg_json_fault {
        enum sg_json_error code;
        size_t offset;      /* bytes from the start of the text */
        const char *what;   /* "control byte in a string", …; static */
        struct sg_str name; /* SG_JSON_E_DUPLICATE: the member */
};

const char *sg_json_kind_name(enum sg_json_kind kind); /* "string", "object", … for messages */
const char *sg_json_error_name(enum sg_json_error e);

/* Validates all of the text as one object in one pass and fills the wants from its top level. Names written with
 * escapes are recognised. fault may be NULL. */
int sg_json_slice(struct sg_str text, struct sg_json_want *wants, size_t n_wants, struct sg_json_fault *fault)
        SG_MUST_CHECK;
/* The same, but of several members of one name the last counts, as JavaScript, Python and Go read them: for answers. */
int sg_json_slice_last(struct sg_str text, struct sg_json_want *wants, size_t n_wants, struct sg_json_fault *fault)
        SG_MUST_CHECK;
/* Validates any value (with white space around). *ret may be NULL. */
int sg_json_check(struct sg_str text, struct sg_json_value *ret, struct sg_json_fault *fault) SG_MUST_CHECK;

/* Walks the members of an object, or the elements of an array (name empty), that were validated before.
 * Start with *at = 0; false at the end. The name is what stands between its quotes, escapes and all.
 * Nothing is validated again: what is found in other bytes is nonsense, or the end, but lies within the text and no byte
 * outside of it is read. A value then has a kind, and a string and a name both quotes. */
bool sg_json_each(struct sg_json_value in, size_t *at, struct sg_str *ret_name, struct sg_json_value *ret_value);
/* The member of that name of a validated object; kind SG_JSON_NONE when absent or when `in` is no object. The first
 * wins. */
struct sg_json_value sg_json_get(struct sg_json_value in, struct sg_str name);
/* path is dotted: "choices.0.usage". */
struct sg_json_value sg_json_path(struct sg_json_value in, struct sg_str path);

/* Appends a validated string's decoded bytes. 0, -ENOMEM, SG_BUF_E_FULL. Lone surrogates become U+FFFD. */
int sg_json_add_decoded(struct sg_buf *b, struct sg_json_value string) SG_MUST_CHECK;
/* Decodes into out, NUL-terminated; false when it was cut (at a whole character). *ret_n may be NULL: the length
 * without the NUL, which differs from strlen() when the string holds \u0000. */
bool sg_json_copy(struct sg_json_value string, char *out, size_t out_bytes, size_t *ret_n);
/* The text of a string equals `name` once decoded; `string` has its quotes. */
static inline bool sg_json_text_is(struct sg_json_value string, struct sg_str name);
bool sg_json_decoded_is(struct sg_json_value string,
                        struct sg_str name); /* the same of a string, without the short cut */
/* True when the string has no escape: *ret is then its content in place. */
bool sg_json_plain(struct sg_json_value string, struct sg_str *ret);
bool sg_json_is_true(struct sg_json_value v);
/* A number of whole, non-negative value ("12", "12.0", "1e3"); false otherwise. */
bool sg_json_u64(struct sg_json_value v, uint64_t *ret);

/* An edit of a text: `remove` bytes at `at` give way to `insert` (lent). */
struct sg_json_edit {
        size_t at, remove;
        struct sg_str insert;
};

#define SG_JSON_EDITS_MAX  8
#define SG_JSON_PIECES_MAX (2 * SG_JSON_EDITS_MAX + 1)

/* Edits for a text that sg_json_slice() accepted. */
struct sg_json_edit sg_json_edit_value(struct sg_str text, const struct sg_json_want *want, struct sg_str new_value);
/* Cuts a member out with one of its commas. One cut per splice: two neighbours would claim the same comma, and a cut
 * beside sg_json_edit_front() may leave a comma too many. */
struct sg_json_edit sg_json_edit_cut(struct sg_str text, const struct sg_json_want *want);
/* Puts `member` ("\"name\":value", without comma) at the front of an object that lies in text. `comma_too` is a
 * buffer's room for it: the caller gives "member," when the object has members, "member" when it is empty
 * (sg_json_is_empty). */
struct sg_json_edit sg_json_edit_front(struct sg_str text, struct sg_json_value object, struct sg_str member);
bool sg_json_is_empty(struct sg_json_value object_or_array);

/* Sorts the edits (they must not overlap) and gives the text as pieces: no byte is copied. Returns how many pieces,
 * *ret_bytes their sum. */
size_t sg_json_splice(struct sg_str text, struct sg_json_edit *edits, size_t n_edits,
                      struct sg_str pieces[SG_JSON_PIECES_MAX], size_t *ret_bytes);

/* Most that are compared differ in length or in the first byte. */
static inline bool sg_json_text_is(struct sg_json_value string, struct sg_str name)
{
        if (string.kind != SG_JSON_STRING || string.text.n < name.n + 2)
                return false;
        if (name.n > 0 && string.text.p[1] != name.p[0] && string.text.p[1] != '\\')
                return false;
        return sg_json_decoded_is(string, name);
}
