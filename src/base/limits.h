/*
 * base/limits.h - every fixed maximum of the house, in one place
 *
 * Units    bytes unless the name says otherwise
 * Source   settings may lower or raise what the settings table names; these are the ends of the scale
 */
#pragma once

#define SG_HEAD_BYTES_MAX        (64u * 1024u) /* request or status line and all fields */
#define SG_HEADERS_MAX           128u          /* fields in one message or trailer */
#define SG_METHOD_BYTES_MAX      32u
#define SG_FIELD_NAME_BYTES_MAX  256u
#define SG_TARGET_BYTES_MAX      (16u * 1024u)
#define SG_CHUNK_LINE_BYTES_MAX  256u /* size and extensions of one chunk */
#define SG_BODY_BYTES_DEFAULT    (64u * 1024u * 1024u)
#define SG_BODIES_BYTES_DEFAULT  (512u * 1024u * 1024u) /* sum of the bodies that are held */
#define SG_SSE_EVENT_BYTES_MAX   (8u * 1024u * 1024u)   /* one event of a stream */
#define SG_STREAM_IN_BYTES_MAX   (64u * 1024u)          /* unread bytes kept per connection */
#define SG_STREAM_OUT_BYTES_MAX  (256u * 1024u)         /* unsent bytes at which the other side pauses */
#define SG_JSON_DEPTH_MAX        128u
#define SG_TOOL_CALLS_MAX        256u /* in one turn of a conversation that is translated */
#define SG_VARLINK_BYTES_MAX     (16u * 1024u * 1024u) /* one message on a control socket */
#define SG_CONFIG_FILE_BYTES_MAX (4u * 1024u * 1024u)
#define SG_CONFIG_LINE_BYTES_MAX (64u * 1024u)
#define SG_SECRET_BYTES_MAX      (64u * 1024u)
#define SG_NAME_BYTES_MAX        128u /* of keys, providers, models, listeners */
#define SG_REQUEST_ID_BYTES_MAX  64u
#define SG_RAW_USAGE_BYTES_MAX   2048u                /* the provider's own usage object, kept as it is */
#define SG_LLM_HELD_BYTES_MAX    (4u * 1024u * 1024u) /* of a translated stream, until the other dialect may have it */
#define SG_LLM_BLOCKS_MAX        1024u                /* of a translated stream: texts, thoughts and calls of tools */
#define SG_LOG_LINE_BYTES_MAX    4096u
#define SG_WORKERS_MAX           256u
