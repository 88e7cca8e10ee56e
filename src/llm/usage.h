/*
 * llm/usage.h - Anthropic's figures, which come in parts
 *
 * Units    tokens
 * Thread   any
 */
#pragma once

#include "llm/llm.h"

/* Each figure that the object gives takes the place of the one before. False when it gives none. */
bool sg_messages_usage_read(struct sg_messages_usage *m, struct sg_json_value object);
/* As the house counts: what is cached is of input. Measured; without raw. */
struct sg_usage sg_messages_usage_sum(const struct sg_messages_usage *m);
/* Usage that was given without tokens ({"type":"duration","seconds":…}), to be kept as it is; else SG_STR_NONE. */
struct sg_str sg_usage_raw_of(struct sg_json_value object);
