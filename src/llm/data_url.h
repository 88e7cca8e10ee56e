/*
 * llm/data_url.h - pictures and documents inside JSON strings: data: URLs
 *
 * Owner    views into the string
 * Thread   any
 * Source   RFC 2397, of which providers take ;base64 only
 */
#pragma once

#include "json/slice.h"

struct sg_data_url {
        char media_type[48]; /* lower case */
        struct sg_str data;  /* base64 as it stands between the quotes: JSON's escapes, if any, are left in */
};
/* False when it is no string that holds a data: URL with base64. */
bool sg_data_url_read(struct sg_data_url *ret, struct sg_json_value string);
/* A string that begins with http:// or https://. */
bool sg_data_url_is_web(struct sg_json_value string);
/* The media type as the providers write it, when it is a picture that all of them take; or NULL. */
const char *sg_data_url_picture(const char *media_type);
