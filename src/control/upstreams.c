/*
 * Upstreams: the endpoints of services. An endpoint may be named by less than its URL, as long as one alone is meant:
 * "127.0.0.1:8082", a host without a port, the path of a socket.
 */
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/message_id.h"
#include "config/settings.h"
#include "control/verbs.h"
#include "varlink/io_scribe_gateway.h"
#include "varlink/members.h"

#define NAME_BYTES 320u

struct chosen {
        const struct sg_config_service *service;
        struct sg_backends *backends;
        unsigned index;
};

static const struct sg_snapshot *snapshot_of(const struct sg_control *c)
{
        return atomic_load_explicit(&c->options.shared->snapshot, memory_order_acquire);
}

/* ---- names */

/* NULL: the call has been failed. */
static const struct sg_snapshot_service *find_service(struct sg_varlink_call *call, const struct sg_snapshot *s,
                                                      const char *name)
{
        struct sg_nearest nearest;
        char guess[NAME_BYTES];

        sg_nearest_init(&nearest, sg_str_from(name));
        for (size_t i = 0; i < s->config->n_services; i++) {
                if (strcmp(s->services[i].config->name, name) == 0)
                        return &s->services[i];
                sg_nearest_try(&nearest, sg_str_from(s->services[i].config->name));
        }
        if (s->config->n_services)
                sg_varlink_fail_text(call, SG_GATEWAY_E_NO_SUCH_SERVICE, "there is no service \"%s\"%s", name,
                                     sg_nearest_text(&nearest, guess, sizeof(guess)));
        else
                sg_varlink_fail_text(call, SG_GATEWAY_E_NO_SUCH_SERVICE,
                                     "there is no service \"%s\": the configuration has no [service] section", name);
        return NULL;
}

/* "10.0.0.1:8082", "[::1]:8082", "/run/x.sock" */
static const char *place_of(const struct sg_config_endpoint *e, char out[NAME_BYTES])
{
        const bool is_v6 = strchr(e->host, ':') != NULL;

        if (e->socket_path)
                (void)snprintf(out, NAME_BYTES, "%s", e->socket_path);
        else
                (void)snprintf(out, NAME_BYTES, "%s%s%s:%u", is_v6 ? "[" : "", e->host, is_v6 ? "]" : "", e->port);
        return out;
}

static bool is_meant(const struct sg_config_endpoint *e, const char *name)
{
        char place[NAME_BYTES];

        return strcmp(place_of(e, place), name) == 0 || strcmp(e->authority, name) == 0 ||
               (!e->socket_path && strcmp(e->host, name) == 0);
}

static void fail_unknown(struct sg_varlink_call *call, const struct sg_config_service *service, const char *name)
{
        char places[SG_ENDPOINTS_MAX][NAME_BYTES], guess[NAME_BYTES + 32];
        struct sg_nearest nearest;

        sg_nearest_init(&nearest, sg_str_from(name));
        for (size_t i = 0; i < service->n_endpoints; i++) {
                sg_nearest_try(&nearest, sg_str_from(place_of(&service->endpoints[i], places[i])));
                sg_nearest_try(&nearest, sg_str_from(service->endpoints[i].url));
        }
        sg_varlink_fail_text(call, SG_GATEWAY_E_NO_SUCH_ENDPOINT, "service \"%s\" has no endpoint \"%s\"%s",
                             service->name, name, sg_nearest_text(&nearest, guess, sizeof(guess)));
}

/* By its URL, or by what is enough of it. False: the call has been failed. */
static bool find_endpoint(struct sg_varlink_call *call, const struct sg_config_service *service, const char *name,
                          unsigned *ret)
{
        const struct sg_config_endpoint *all = service->endpoints;
        size_t n_meant = 0, first = 0, second = 0;

        for (size_t i = 0; i < service->n_endpoints; i++) {
                if (strcmp(all[i].url, name) == 0) {
                        *ret = (unsigned)i;
                        return true;
                }
                if (!is_meant(&all[i], name))
                        continue;
                if (n_meant++ == 0)
                        first = i;
                else
                        second = i;
        }
        if (n_meant == 1)
                *ret = (unsigned)first;
        else if (n_meant == 0)
                fail_unknown(call, service, name);
        else
                sg_varlink_fail_text(call, SG_GATEWAY_E_AMBIGUOUS_ENDPOINT,
                                     "\"%s\" may be %s or %s of service \"%s\": write the whole of it", name,
                                     all[first].url, all[second].url, service->name);
        return n_meant == 1;
}

/* ---- the view */

static struct json_object *view_endpoint(const struct chosen *at)
{
        struct json_object *o = json_object_new_object();
        struct sg_backend_view v;

        sg_backends_view(at->backends, at->index, sg_clock_usec(), &v);
        sg_members_add_text(o, "service", sg_str_from(at->service->name));
        sg_members_add_text(o, "endpoint", sg_str_from(v.name));
        sg_members_add_u64(o, "weight", v.weight);
        sg_members_add_text(o, "state", sg_str_from(sg_backend_state_name(v.state)));
        sg_members_add_u64(o, "state_for_usec", v.state_for_usec);
        sg_members_add_u64(o, "n_open", v.n_outstanding);
        sg_members_add_u64(o, "n_asked", v.n_picked);
        sg_members_add_u64(o, "n_failed", v.n_failed);
        sg_members_add_text(o, "why", sg_str_from(v.text));
        return o;
}

static struct json_object *view_service(const struct sg_snapshot_service *s)
{
        struct json_object *o = json_object_new_object(), *list = json_object_new_array();
        struct chosen at = {.service = s->config, .backends = s->backends};

        for (; at.index < sg_backends_count(s->backends); at.index++)
                json_object_array_add(list, view_endpoint(&at));
        json_object_object_add(o, "endpoints", list);
        return o;
}

static struct json_object *view_none(void)
{
        struct json_object *o = json_object_new_object();

        json_object_object_add(o, "endpoints", json_object_new_array());
        return o;
}

void sg_control_list_upstreams(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        const struct sg_snapshot *s = snapshot_of(owner);
        const struct sg_snapshot_service *only = NULL;
        struct json_object *service = NULL;
        const struct sg_varlink_parameter expected[] = {{"service", SG_VARLINK_STRING, false, &service}};

        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)) || !sg_varlink_expect_more(call))
                return;
        if (service) {
                only = find_service(call, s, json_object_get_string(service));
                if (only)
                        sg_varlink_reply(call, view_service(only));
                return;
        }
        for (size_t i = 0; i < s->config->n_services; i++)
                if (!sg_varlink_reply_more(call, view_service(&s->services[i])))
                        return;
        sg_varlink_reply(call, view_none());
}

/* ---- changes */

const char *sg_control_user(const struct sg_varlink_call *call, char out[64])
{
        const uid_t uid = sg_varlink_call_peer(call)->uid;
        const struct passwd *pw = getpwuid(uid);

        if (pw)
                (void)snprintf(out, 64, "%s", pw->pw_name);
        else
                (void)snprintf(out, 64, "%ju", (uintmax_t)uid);
        return out;
}

static void tell(const struct sg_varlink_call *call, const struct chosen *at, bool is_drained)
{
        const char *endpoint = at->service->endpoints[at->index].url, *service = at->service->name;
        char user[64];
        const struct sg_log_field fields[] = {
                {"SCRIBE_SERVICE", sg_str_from(service)},
                {"SCRIBE_ENDPOINT", sg_str_from(endpoint)},
                {"SCRIBE_USER", sg_str_from(sg_control_user(call, user))},
        };

        if (is_drained)
                sg_log_line(SG_LOG_NOTICE, SG_MESSAGE_ENDPOINT_DRAINED, fields, SG_N_ELEMENTS(fields),
                            "endpoint %s of service \"%s\" gets no more requests: %s has drained it", endpoint, service,
                            user);
        else
                sg_log_line(SG_LOG_NOTICE, SG_MESSAGE_ENDPOINT_ENABLED, fields, SG_N_ELEMENTS(fields),
                            "endpoint %s of service \"%s\" may get requests again: %s has enabled it", endpoint,
                            service, user);
}

static bool read_endpoint(struct sg_varlink_call *call, struct json_object *parameters, const struct sg_snapshot *s,
                          struct chosen *ret)
{
        struct json_object *service = NULL, *endpoint = NULL;
        const struct sg_varlink_parameter expected[] = {{"service", SG_VARLINK_STRING, true, &service},
                                                        {"endpoint", SG_VARLINK_STRING, true, &endpoint}};
        const struct sg_snapshot_service *found;

        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                return false;
        found = find_service(call, s, json_object_get_string(service));
        if (!found || !find_endpoint(call, found->config, json_object_get_string(endpoint), &ret->index))
                return false;
        ret->service = found->config;
        ret->backends = found->backends;
        return true;
}

static void set_drained(struct sg_varlink_call *call, struct json_object *parameters, const struct sg_control *c,
                        bool is_drained)
{
        struct json_object *reply;
        struct chosen at;
        bool is_changed;

        if (!read_endpoint(call, parameters, snapshot_of(c), &at))
                return;
        is_changed = sg_backends_set_drained(at.backends, at.index, is_drained);
        if (is_changed)
                tell(call, &at, is_drained);
        reply = json_object_new_object();
        json_object_object_add(reply, "endpoint", view_endpoint(&at));
        sg_members_add_bool(reply, "changed", is_changed);
        sg_members_add_bool(reply, "usable", sg_backends_is_usable(at.backends, sg_clock_usec()));
        sg_varlink_reply(call, reply);
}

void sg_control_drain_upstream(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        set_drained(call, parameters, owner, true);
}

void sg_control_enable_upstream(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        set_drained(call, parameters, owner, false);
}
