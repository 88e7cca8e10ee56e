/*
 * config/units.h - durations and sizes, as people write them
 *
 * Units    durations in microseconds: us ms s m (or min) h d, always with a unit; sizes in bytes: K M G (1024), KiB
 *          MiB GiB
 * Errors   0 or SG_UNITS_E_*
 */
#pragma once

#include "base/str.h"

enum sg_units_error {
        SG_UNITS_E_SYNTAX = 1, /* does not begin with a number */
        SG_UNITS_E_NO_UNIT,    /* a duration without */
        SG_UNITS_E_UNIT,       /* not one of the units */
        SG_UNITS_E_RANGE,      /* more than 64 bits hold */
};

int sg_units_duration(struct sg_str text, uint64_t *ret_usec) SG_MUST_CHECK;
int sg_units_size(struct sg_str text, uint64_t *ret_bytes) SG_MUST_CHECK;
/* The unit of a text that begins with a number: what SG_UNITS_E_UNIT is about. */
struct sg_str sg_units_unit(struct sg_str text);

/* With the largest unit that leaves a whole number: "90s", "5m", "64M". out has room for 32 bytes. */
#define SG_UNITS_TEXT_BYTES 32
const char *sg_units_duration_text(uint64_t usec, char *out);
const char *sg_units_size_text(uint64_t bytes, char *out);
