#include "gateway/lanes_told.h"

#include <stdio.h>

#include "base/log.h"
#include "base/message_id.h"

void sg_lanes_tell_turn(enum sg_lane_turn turn, const struct sg_lane_pick *pick, const char *text,
                        const char *request_id)
{
        struct sg_log_field fields[5]; /* not made of a turn that is none, as nearly all are */
        size_t n = 0;

        if (turn == SG_LANE_TURN_NONE)
                return;
        fields[n++] = (struct sg_log_field){"SCRIBE_LANE", sg_str_from(pick->name)};
        fields[n++] = (struct sg_log_field){"SCRIBE_PROVIDER", sg_str_from(pick->provider->name)};
        fields[n++] = (struct sg_log_field){"SCRIBE_CREDENTIAL", sg_str_from(pick->credential->name)};
        fields[n++] = (struct sg_log_field){"SCRIBE_DETAIL", sg_str_from(text)};
        if (request_id[0])
                fields[n++] = (struct sg_log_field){"SCRIBE_REQUEST", sg_str_from(request_id)};
        switch (turn) {
        case SG_LANE_TURN_RESTS:
                sg_log_line(SG_LOG_WARNING, SG_MESSAGE_LANE_RESTS, fields, n, "%s", text);
                break;
        case SG_LANE_TURN_TRIPPED:
                sg_log_line(SG_LOG_WARNING, SG_MESSAGE_LANE_TRIPPED, fields, n, "%s", text);
                break;
        case SG_LANE_TURN_RETURNED:
                sg_log_line(SG_LOG_NOTICE, SG_MESSAGE_LANE_RETURNED, fields, n, "%s", text);
                break;
        case SG_LANE_TURN_NONE:
                break;
        }
}

void sg_lanes_tell_drained(const struct sg_lane_view *v, const char *user, bool is_drained)
{
        const struct sg_log_field fields[] = {
                {v->is_credential ? "SCRIBE_CREDENTIAL" : "SCRIBE_LANE", sg_str_from(v->name)},
                {"SCRIBE_PROVIDER", sg_str_from(v->provider)},
                {"SCRIBE_USER", sg_str_from(user)}};
        const char *what = v->is_credential ? "credential" : "lane", *of = v->is_credential ? " of provider " : "",
                   *provider = v->is_credential ? v->provider : "";

        if (is_drained)
                sg_log_line(SG_LOG_NOTICE, SG_MESSAGE_LANE_DRAINED, fields, SG_N_ELEMENTS(fields),
                            "%s \"%s\"%s%s gets no more requests: %s has drained it", what, v->name, of, provider,
                            user);
        else
                sg_log_line(SG_LOG_NOTICE, SG_MESSAGE_LANE_ENABLED, fields, SG_N_ELEMENTS(fields),
                            "%s \"%s\"%s%s may get requests again: %s has enabled it", what, v->name, of, provider,
                            user);
}

void sg_lanes_open_quotas(struct sg_snapshot *s)
{
        char path[4096], text[256];
        struct sg_log_field field = {"SCRIBE_DETAIL", {0}};

        if (snprintf(path, sizeof(path), "%s/quotas", s->config->state_directory) >= (int)sizeof(path) ||
            sg_lanes_keep_quotas(s->lanes, path, text))
                return;
        field.value = sg_str_from(text);
        sg_log_line(SG_LOG_WARNING, SG_MESSAGE_QUOTAS_ANEW, &field, 1, "%s", text);
}
