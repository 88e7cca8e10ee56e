/*
 * gateway/lanes_told.h - what the log is told of lanes
 *
 * Thread   any; sg_lanes_open_quotas(): main
 * Errors   none: what goes wrong is told
 */
#pragma once

#include "gateway/snapshot.h"

/* What sg_lanes_done() and sg_lanes_answered() have said; nothing for SG_LANE_TURN_NONE. request_id: "" for none. */
void sg_lanes_tell_turn(enum sg_lane_turn turn, const struct sg_lane_pick *pick, const char *text,
                        const char *request_id);
/* That an admin has changed this row. */
void sg_lanes_tell_drained(const struct sg_lane_view *v, const char *user, bool is_drained);
/* Before the snapshot is published, with a state directory that is there: daily quotas are kept in it. */
void sg_lanes_open_quotas(struct sg_snapshot *s);
