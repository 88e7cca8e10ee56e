/*
 * control/verbs.h - the table of verbs of io.scribe.Gateway
 *
 * Owner    static; the owner handed to each verb is the sg_control
 * Thread   main
 */
#pragma once

#include "control/control.h"

struct sg_control {
        struct sg_control_options options;
        struct sg_varlink_server *server;
        char needed[160];                /* the sentence of the last refusal */
        struct sg_varlink_call *upgrade; /* who waits for the end of one; or NULL */
};

extern const struct sg_varlink_method sg_control_verbs[];
extern const size_t sg_control_n_verbs;

/* status.c */
void sg_control_get_status(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
/* upstreams.c */
void sg_control_list_upstreams(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_control_drain_upstream(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_control_enable_upstream(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
/* The name of the caller's user, or its number. */
const char *sg_control_user(const struct sg_varlink_call *call, char out[64]);
/* limits.c */
void sg_control_show_limits(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
/* lanes.c */
void sg_control_list_lanes(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_control_drain_lane(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_control_enable_lane(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
