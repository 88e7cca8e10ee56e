/*
 * llm/echo.h - the echo's own parts: texts out of a request, words out of a text
 *
 * Words    white space ends a word, and so does every fourth character from U+3000 on (Chinese, Japanese and Korean
 * text has no spaces) and the 1024th byte (an event must not grow with its text)
 */
#pragma once

#include "llm/llm.h"

/* One past the piece (a word and the white space behind it) that begins at `at`; text is UTF-8. */
size_t sg_echo_piece_end(struct sg_str text, size_t at);
bool sg_echo_is_blank(struct sg_str text);

/* Fill text (or hashes), input_tokens and is_base64 from the body's members. 0, SG_LLM_E_BAD_FIELD, -errno. */
int sg_echo_read_messages(struct sg_echo *e, struct sg_json_value messages, struct sg_llm_fault *fault) SG_MUST_CHECK;
int sg_echo_read_prompt(struct sg_echo *e, struct sg_json_value prompt, struct sg_llm_fault *fault) SG_MUST_CHECK;
int sg_echo_read_input(struct sg_echo *e, struct sg_json_value whole, struct sg_llm_fault *fault) SG_MUST_CHECK;

/* The answer to EMBEDDINGS. */
int sg_echo_add_vectors(struct sg_echo *e, struct sg_buf *b) SG_MUST_CHECK;
