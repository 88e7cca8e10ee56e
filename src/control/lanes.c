/*
 * Lanes: what models lead to, and the credentials of providers.
 */
#include <string.h>

#include "base/clock.h"
#include "config/settings.h"
#include "control/verbs.h"
#include "gateway/lanes_told.h"
#include "varlink/io_scribe_gateway.h"
#include "varlink/members.h"

#define ROWS_AT_ONCE 100u

static struct sg_lanes *lanes_of(const struct sg_control *c)
{
        return atomic_load_explicit(&c->options.shared->snapshot, memory_order_acquire)->lanes;
}

static void look(struct sg_lanes *l, size_t row, struct sg_lane_view *ret)
{
        sg_lanes_view(l, row, sg_clock_usec(), sg_clock_wall_usec(), ret);
}

/* ---- the view */

static struct json_object *view_row(struct sg_lanes *l, size_t row)
{
        struct json_object *o = json_object_new_object();
        struct sg_lane_view v;

        look(l, row, &v);
        sg_members_add_text(o, "kind", sg_str_from(v.is_credential ? "credential" : "lane"));
        sg_members_add_text(o, "provider", sg_str_from(v.provider));
        sg_members_add_text(o, "name", sg_str_from(v.name));
        sg_members_add_text(o, "state", sg_str_from(sg_lane_state_name(v.state)));
        sg_members_add_u64(o, "rests_usec", v.rests_usec);
        sg_members_add_u64(o, "n_open", v.n_outstanding);
        sg_members_add_u64(o, "n_asked", v.n_picked);
        sg_members_add_u64(o, "n_failed", v.n_failed);
        sg_members_add_u64(o, "latency_usec", v.latency_usec);
        sg_members_add_u64(o, "used_tokens", v.used_tokens);
        sg_members_add_u64(o, "daily_tokens", v.daily_tokens);
        sg_members_add_text(o, "why", sg_str_from(v.text));
        return o;
}

static struct json_object *view_rows(struct sg_lanes *l, size_t from, size_t n)
{
        struct json_object *o = json_object_new_object(), *list = json_object_new_array();

        for (size_t i = from; i < from + n; i++)
                json_object_array_add(list, view_row(l, i));
        json_object_object_add(o, "lanes", list);
        return o;
}

void sg_control_list_lanes(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct sg_lanes *l = lanes_of(owner);
        const size_t n = sg_lanes_count(l);
        size_t at = 0;

        if (!sg_varlink_read(call, parameters, NULL, 0) || !sg_varlink_expect_more(call))
                return;
        for (; n - at > ROWS_AT_ONCE; at += ROWS_AT_ONCE)
                if (!sg_varlink_reply_more(call, view_rows(l, at, ROWS_AT_ONCE)))
                        return;
        sg_varlink_reply(call, view_rows(l, at, n - at));
}

/* ---- changes */

static bool is_meant(const struct sg_lane_view *v, const char *name, const char *credential)
{
        if (!credential)
                return !v->is_credential && strcmp(v->name, name) == 0;
        return v->is_credential && strcmp(v->provider, name) == 0 && strcmp(v->name, credential) == 0;
}

/* What is nearest to a name that is not there: of a credential only among its provider's, if there is that one. */
static void fail_unknown(struct sg_varlink_call *call, struct sg_lanes *l, const char *name, const char *credential)
{
        struct sg_nearest nearest;
        struct sg_lane_view v;
        char guess[320];

        sg_nearest_init(&nearest, sg_str_from(credential ? credential : name));
        for (size_t i = 0; i < sg_lanes_count(l); i++) {
                look(l, i, &v);
                if (v.is_credential == (credential != NULL) && (!credential || strcmp(v.provider, name) == 0))
                        sg_nearest_try(&nearest, sg_str_from(v.name));
        }
        if (credential)
                sg_varlink_fail_text(call, SG_GATEWAY_E_NO_SUCH_LANE,
                                     "there is no provider \"%s\" with a credential \"%s\"%s", name, credential,
                                     sg_nearest_text(&nearest, guess, sizeof(guess)));
        else
                sg_varlink_fail_text(call, SG_GATEWAY_E_NO_SUCH_LANE, "there is no lane \"%s\"%s", name,
                                     sg_nearest_text(&nearest, guess, sizeof(guess)));
}

static bool find_row(struct sg_varlink_call *call, struct sg_lanes *l, const char *name, const char *credential,
                     size_t *ret)
{
        struct sg_lane_view v;

        for (size_t i = 0; i < sg_lanes_count(l); i++) {
                look(l, i, &v);
                if (is_meant(&v, name, credential)) {
                        *ret = i;
                        return true;
                }
        }
        fail_unknown(call, l, name, credential);
        return false;
}

static void set_drained(struct sg_varlink_call *call, struct json_object *parameters, const struct sg_control *c,
                        bool is_drained)
{
        struct json_object *name = NULL, *credential = NULL, *reply;
        const struct sg_varlink_parameter expected[] = {{"name", SG_VARLINK_STRING, true, &name},
                                                        {"credential", SG_VARLINK_STRING, false, &credential}};
        struct sg_lanes *l = lanes_of(c);
        struct sg_lane_view v;
        char user[64];
        size_t row;
        bool is_changed;

        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)) ||
            !find_row(call, l, json_object_get_string(name), credential ? json_object_get_string(credential) : NULL,
                      &row))
                return;
        is_changed = sg_lanes_set_drained(l, row, is_drained);
        look(l, row, &v);
        if (is_changed)
                sg_lanes_tell_drained(&v, sg_control_user(call, user), is_drained);
        reply = json_object_new_object();
        json_object_object_add(reply, "lane", view_row(l, row));
        sg_members_add_bool(reply, "changed", is_changed);
        sg_varlink_reply(call, reply);
}

void sg_control_drain_lane(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        set_drained(call, parameters, owner, true);
}

void sg_control_enable_lane(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        set_drained(call, parameters, owner, false);
}
