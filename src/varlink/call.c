#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "varlink/server.h"

void sg_varlink_call_free(struct sg_varlink_call *call)
{
        call->conn->call = NULL;
        sg_varlink_request_done(&call->request);
        free(call);
}

const struct sg_varlink_peer *sg_varlink_call_peer(const struct sg_varlink_call *call)
{
        return &call->conn->peer;
}

bool sg_varlink_call_wants_more(const struct sg_varlink_call *call)
{
        return call->request.more;
}

size_t sg_varlink_call_queued(const struct sg_varlink_call *call)
{
        return sg_buf_length(&call->conn->out);
}

void sg_varlink_call_watch(struct sg_varlink_call *call, void (*on_gone)(struct sg_varlink_call *call, void *owner),
                           void *owner)
{
        call->on_gone = on_gone;
        call->gone_owner = owner;
}

void sg_varlink_call_when_drained(struct sg_varlink_call *call,
                                  void (*on_drained)(struct sg_varlink_call *call, void *owner), void *owner)
{
        call->on_drained = on_drained;
        call->drained_owner = owner;
        if (sg_buf_length(&call->conn->out) == 0)
                sg_varlink_conn_look(call->conn);
}

/* False when the connection is gone, perhaps by this. */
static bool queue(struct sg_varlink_call *call, const char *error_name, struct json_object *parameters, bool continues)
{
        struct sg_varlink_conn *c = call->conn;
        int r = 0;

        if (c->state != CONN_GONE && !call->request.oneway)
                r = sg_varlink_add_reply(&c->out, error_name, parameters, continues);
        json_object_put(parameters);
        if (r)
                sg_varlink_conn_close(c, r == SG_BUF_E_FULL ? "a slow client" : "out of memory");
        else
                sg_varlink_conn_flush(c);
        return c->state != CONN_GONE;
}

static void finish(struct sg_varlink_call *call, const char *error_name, struct json_object *parameters)
{
        struct sg_varlink_conn *c = call->conn;

        SG_ASSERT(c->call == call);
        (void)queue(call, error_name, parameters, false);
        sg_varlink_call_free(call);
        sg_varlink_conn_answered(c);
}

void sg_varlink_reply(struct sg_varlink_call *call, struct json_object *parameters)
{
        finish(call, NULL, parameters);
}

bool sg_varlink_reply_more(struct sg_varlink_call *call, struct json_object *parameters)
{
        SG_ASSERT(call->conn->call == call && call->request.more);
        return queue(call, NULL, parameters, true);
}

void sg_varlink_fail(struct sg_varlink_call *call, const char *error_name, struct json_object *parameters)
{
        finish(call, error_name, parameters);
}

void sg_varlink_fail_text(struct sg_varlink_call *call, const char *error_name, const char *format, ...)
{
        struct json_object *parameters = json_object_new_object();
        char text[1024];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        json_object_object_add(parameters, "message", json_object_new_string(text));
        finish(call, error_name, parameters);
}

void sg_varlink_fail_parameter(struct sg_varlink_call *call, const char *parameter)
{
        struct json_object *parameters = json_object_new_object();

        json_object_object_add(parameters, "parameter", json_object_new_string(parameter));
        finish(call, SG_VARLINK_INVALID_PARAMETER, parameters);
}

bool sg_varlink_expect_more(struct sg_varlink_call *call)
{
        if (call->request.more)
                return true;
        finish(call, SG_VARLINK_EXPECTED_MORE, NULL);
        return false;
}

bool sg_varlink_read(struct sg_varlink_call *call, struct json_object *parameters,
                     const struct sg_varlink_parameter *expected, size_t n_expected)
{
        const char *bad = sg_varlink_check(parameters, expected, n_expected);

        if (bad)
                sg_varlink_fail_parameter(call, bad);
        return !bad;
}
