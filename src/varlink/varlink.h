/*
 * varlink/varlink.h - the Varlink protocol: JSON objects ended by NUL on a Unix socket
 *
 * Shape    a server with a table of methods; a client on a loop (the key feed), a client that blocks (scribectl)
 * Owner    json-c objects passed in are consumed where the name says give, else borrowed
 * Thread   server and loop client: the thread of their loop; callbacks come from the loop, never from inside a call of
 *          this room, but for sg_varlink_server_free(), which tells on_gone at once
 * Errors   on the wire: error names "io.scribe.…"/"org.varlink.service.…" with parameters; in C: sg_error, -errno
 * Limits   SG_VARLINK_BYTES_MAX per reply and unsent in sum, SG_VARLINK_CALL_BYTES_MAX per call to a server (a tree of
 *          small values takes a hundred times its text), depth SG_JSON_DEPTH_MAX, 64 calls in a row per connection and
 *          turn, 256 connections, 128 of one user but root
 * Source   varlink.org: method call, reply, `more`/`continues`, `oneway`, org.varlink.service.GetInfo and
 *          GetInterfaceDescription
 */
#pragma once

#include <json-c/json.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/list.h"
#include "loop/loop.h"

#define SG_VARLINK_CALL_BYTES_MAX  (256u * 1024u)
#define SG_VARLINK_CONNECTIONS_MAX 256u
#define SG_VARLINK_PER_USER_MAX    128u /* so that no user of the group can lock root out */

/* Errors that every server may answer with. */
#define SG_VARLINK_INTERFACE_NOT_FOUND    "org.varlink.service.InterfaceNotFound"
#define SG_VARLINK_METHOD_NOT_FOUND       "org.varlink.service.MethodNotFound"
#define SG_VARLINK_METHOD_NOT_IMPLEMENTED "org.varlink.service.MethodNotImplemented"
#define SG_VARLINK_INVALID_PARAMETER      "org.varlink.service.InvalidParameter"
#define SG_VARLINK_PERMISSION_DENIED      "org.varlink.service.PermissionDenied"
#define SG_VARLINK_EXPECTED_MORE          "org.varlink.service.ExpectedMore"

/* ---- server */

struct sg_varlink_server;
struct sg_varlink_call; /* one call; lives until its final reply is sent or its client is gone */

struct sg_varlink_peer {
        uid_t uid;
        gid_t gid;
        pid_t pid;
        gid_t groups[64]; /* of the peer by SO_PEERGROUPS; more are left out */
        size_t n_groups;
};
bool sg_varlink_peer_is_in(const struct sg_varlink_peer *peer, gid_t group);

enum sg_varlink_right {
        SG_VARLINK_VIEW,   /* the service's group, its own user, admins, root */
        SG_VARLINK_CHANGE, /* root, the service's own user, admins */
};

struct sg_varlink_method {
        const char *name; /* "io.scribe.Gateway.GetStatus" */
        enum sg_varlink_right right;
        /* NULL: MethodNotImplemented. Replies by one of the functions below, now or later (the call then must be kept
         * and watched by on_gone). */
        void (*run)(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
};

struct sg_varlink_interface {
        const char *name;        /* "io.scribe.Gateway" */
        const char *description; /* the interface in Varlink's own language, for introspection */
};

struct sg_varlink_server_options {
        const char *vendor, *product, *version, *url;
        const struct sg_varlink_interface *interfaces;
        size_t n_interfaces;
        const struct sg_varlink_method *methods;
        size_t n_methods;
        void *owner; /* handed to run */
        /* May this peer do that? Names in *ret_needed the group or user that may ("group scribe", "root"). NULL:
         * anyone. */
        bool (*may)(const struct sg_varlink_peer *peer, enum sg_varlink_right right, const char **ret_needed,
                    void *owner);
};

/* The tables of interfaces and methods are copied; the strings in them must live as long as the server. */
int sg_varlink_server_new(struct sg_varlink_server **ret, struct sg_loop *loop,
                          const struct sg_varlink_server_options *options) SG_MUST_CHECK;
/* Not from inside a method. Unanswered calls are told that they are gone. */
struct sg_varlink_server *sg_varlink_server_free(struct sg_varlink_server *s);
SG_DEFINE_AUTO(struct sg_varlink_server *, sg_varlink_server_free)
/* Binds path (stale sockets of dead processes are replaced; a live one is -EADDRINUSE), mode 0660, group gid if not -1.
 */
int sg_varlink_server_listen(struct sg_varlink_server *s, const char *path, gid_t gid, struct sg_error *err)
        SG_MUST_CHECK;
/* A socket that is bound and listening already (from systemd); the server closes it at the end. */
int sg_varlink_server_listen_fd(struct sg_varlink_server *s, int fd) SG_MUST_CHECK;

/* What the server listens on: to hand it to another process. -1: nothing. */
int sg_varlink_server_fd(const struct sg_varlink_server *s);
/* Accepts nothing more; the socket's file stays, for who has the descriptor now. Calls that came go on. */
void sg_varlink_server_stop_listening(struct sg_varlink_server *s);

const struct sg_varlink_peer *sg_varlink_call_peer(const struct sg_varlink_call *call);
bool sg_varlink_call_wants_more(const struct sg_varlink_call *call);
/* Each gives `parameters` away (NULL: {}). The call is gone after reply and fail. */
void sg_varlink_reply(struct sg_varlink_call *call, struct json_object *parameters);
/* One of several answers to a call that wants more. False when the client is gone, or slow and the queue is full
 * (SG_VARLINK_BYTES_MAX): then the connection has been closed and on_gone will be called from the loop. */
bool sg_varlink_reply_more(struct sg_varlink_call *call, struct json_object *parameters);
void sg_varlink_fail(struct sg_varlink_call *call, const char *error_name, struct json_object *parameters);
/* For methods that stream: true when the caller asked for `more`; else the call has been failed with ExpectedMore. */
bool sg_varlink_expect_more(struct sg_varlink_call *call);
/* Long answers: on_drained is called once, from the loop, when nothing queued for this call is unsent: the time to
 * reply with the next batch and to ask again. Bytes not yet sent are told by _queued. */
void sg_varlink_call_when_drained(struct sg_varlink_call *call,
                                  void (*on_drained)(struct sg_varlink_call *call, void *owner), void *owner);
size_t sg_varlink_call_queued(const struct sg_varlink_call *call);
/* The usual error with a sentence: {"message": text}. */
void sg_varlink_fail_text(struct sg_varlink_call *call, const char *error_name, const char *format, ...)
        SG_PRINTF(3, 4);
/* org.varlink.service.InvalidParameter */
void sg_varlink_fail_parameter(struct sg_varlink_call *call, const char *parameter);
/* Told when the client has gone while a call is unanswered; the call is invalid after the callback. A client that only
 * shuts its sending half still waits for answers and is not gone. */
void sg_varlink_call_watch(struct sg_varlink_call *call, void (*on_gone)(struct sg_varlink_call *call, void *owner),
                           void *owner);

/* Parameters of a call, checked: fill members by name. Unknown members are refused. False: the call has been failed. */
enum sg_varlink_kind {
        SG_VARLINK_STRING,
        SG_VARLINK_INT,
        SG_VARLINK_BOOL,
        SG_VARLINK_STRINGS, /* array */
        SG_VARLINK_OBJECTS, /* array; what is in them is looked at by sg_varlink_check() */
};
struct sg_varlink_parameter {
        const char *name;
        enum sg_varlink_kind kind;
        bool is_required;
        struct json_object **ret; /* borrowed; NULL when absent or null */
};
/* Strings with a NUL inside and integers that json-c had to clamp are refused, too. */
bool sg_varlink_read(struct sg_varlink_call *call, struct json_object *parameters,
                     const struct sg_varlink_parameter *expected, size_t n_expected);

/* The check behind it, for an object inside: NULL, or the name of the member that is wrong. */
const char *sg_varlink_check(struct json_object *parameters, const struct sg_varlink_parameter *expected,
                             size_t n_expected);

/* ---- client on a loop: connects, calls, keeps being told */

struct sg_varlink_client;
struct sg_varlink_client_callbacks {
        void (*on_connected)(struct sg_varlink_client *c, void *owner);
        /* A reply to the oldest open call. error_name is NULL on success. continues: more will come. */
        void (*on_reply)(struct sg_varlink_client *c, const char *error_name, struct json_object *parameters,
                         bool continues, void *owner);
        /* Connection refused, lost or broken; the owner may free the client here. err is 0 for an orderly end, or
         * -errno. */
        void (*on_closed)(struct sg_varlink_client *c, int err, void *owner);
};
/* Only memory can fail here: that there is nobody to connect to is told by on_closed, after which only _free may be
 * called. */
int sg_varlink_client_new(struct sg_varlink_client **ret, struct sg_loop *loop, const char *path,
                          const struct sg_varlink_client_callbacks *callbacks, void *owner) SG_MUST_CHECK;
/* Also from inside its callbacks; none comes afterwards. */
struct sg_varlink_client *sg_varlink_client_free(struct sg_varlink_client *c);
SG_DEFINE_AUTO(struct sg_varlink_client *, sg_varlink_client_free)
/* parameters are given away (NULL: {}). -ENOBUFS: too much is unsent; -ENOTCONN after on_closed. */
int sg_varlink_client_call(struct sg_varlink_client *c, const char *method, struct json_object *parameters, bool more)
        SG_MUST_CHECK;

/* ---- client that blocks */

struct sg_varlink_caller;
/* err.code tells why: -ENOENT, -ECONNREFUSED (nobody there), -EACCES (not in the socket's group), … */
int sg_varlink_caller_new(struct sg_varlink_caller **ret, const char *path, struct sg_error *err) SG_MUST_CHECK;
struct sg_varlink_caller *sg_varlink_caller_free(struct sg_varlink_caller *c);
SG_DEFINE_AUTO(struct sg_varlink_caller *, sg_varlink_caller_free)
/* Sends the call; parameters are given away. */
int sg_varlink_caller_send(struct sg_varlink_caller *c, const char *method, struct json_object *parameters, bool more,
                           struct sg_error *err) SG_MUST_CHECK;
/* Waits for one reply, for two minutes at most (-ETIMEDOUT). *ret_error_name is "" on success, else the name (the
 * caller's buffer). *ret is the caller's to put. */
int sg_varlink_caller_receive(struct sg_varlink_caller *c, struct json_object **ret, char *ret_error_name,
                              size_t error_name_bytes, bool *ret_continues, struct sg_error *err) SG_MUST_CHECK;
