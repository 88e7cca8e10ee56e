/*
 * llm/form.h - a form cut into its parts: multipart/form-data, read in the one way that all readers agree on
 *
 * Shape    one pass; contents are skipped by searching the boundary, whatever they are
 * Owner    views into the body
 * Thread   any
 * Errors   SG_LLM_E_BAD_JSON with a fault that says what is wrong, and at which byte
 * Limits   SG_FORM_PARTS_MAX, SG_FORM_HEAD_BYTES_MAX
 * Source   RFC 2046 section 5.1, RFC 7578
 *
 * What is refused because readers differ: a preamble, an epilogue, white space behind a boundary, a line that only begins
 * with it, bare CR or LF before it, folded header lines, escapes and percent signs in names, escaped quotes, a transfer
 * encoding, and members of a header that stand twice.
 */
#pragma once

#include "llm/llm.h"

#define SG_FORM_PARTS_MAX          128u
#define SG_FORM_HEAD_BYTES_MAX     8192u
#define SG_FORM_BOUNDARY_BYTES_MAX 70u

struct sg_form {
        struct sg_str body;
        char dash_boundary[2 + SG_FORM_BOUNDARY_BYTES_MAX];
        size_t n_dash_boundary;
        size_t at; /* behind a boundary */
        unsigned n_parts;
        struct sg_llm_fault *fault;
};

struct sg_form_part {
        struct sg_str name, content;
        struct sg_str type; /* its content-type, or empty */
        bool has_filename;
};

int sg_form_init(struct sg_form *f, struct sg_str body, struct sg_str boundary, struct sg_llm_fault *fault)
        SG_MUST_CHECK;
/* *ret_end at the end of the form, where there is no part. */
int sg_form_next(struct sg_form *f, struct sg_form_part *ret, bool *ret_end) SG_MUST_CHECK;

/* The head of a part: its lines, each with its CRLF. offset: of the head in the body, for faults. */
int sg_form_read_head(struct sg_form_part *ret, struct sg_str head, size_t offset, struct sg_llm_fault *fault)
        SG_MUST_CHECK;
int sg_form_refuse(struct sg_llm_fault *fault, const char *what, size_t offset) SG_MUST_CHECK;
