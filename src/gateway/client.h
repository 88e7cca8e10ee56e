/*
 * gateway/client.h - a client's connection: requests in, answers out, one exchange at a time
 *
 * Shape    a state machine over a stream and the HTTP/1 codec; the exchange speaks to it by the functions below and
 *          does not know the version
 * Owner    the worker's list; freed at the end of the loop's turn
 * Thread   its worker
 * Errors   what an exchange sends can only fail by the client being gone, which it is told by
 *          sg_exchange_client_gone()
 * Limits   head, body, idle and write timeouts and sizes of the snapshot in force when the connection was made
 * Source   RFC 9112 sections 9.3 and 9.6 (lingering close)
 */
#pragma once

#include "gateway/worker.h"

struct sg_client;
struct sg_exchange;

struct sg_client *sg_client_of_link(struct sg_link *of_worker);
/* fd is given. listener: its name, which decides about TLS. Errors are handled inside: the connection is closed. */
void sg_client_accept(struct sg_worker *w, int fd, const char *listener);

/* The head and the first bytes of the answer in one write. fields: complete lines, with CRLF, without status line,
 * framing and connection. Without a length the body is chunked, or ends with the connection for HTTP/1.0. pieces may be
 * empty. is_last: the answer ends with them. */
void sg_client_send_head(struct sg_client *c, unsigned status, struct sg_str fields, bool has_length, uint64_t length,
                         const struct sg_str *pieces, size_t n_pieces, bool is_last);
/* The next bytes. is_last with no pieces only ends the body. */
void sg_client_send(struct sg_client *c, const struct sg_str *pieces, size_t n_pieces, bool is_last);
void sg_client_send_continue(struct sg_client *c); /* 100, when the request expects it */
/* The answer cannot be completed: what is queued is sent, then the connection closes without a proper end. */
void sg_client_break(struct sg_client *c);
/* The exchange is over and no longer knows the client: the next request, or the end of the connection. */
void sg_client_exchange_over(struct sg_client *c);

bool sg_client_is_full(const struct sg_client *c); /* pause the source; sg_exchange_client_drained() follows */
const char *sg_client_peer(const struct sg_client *c);

/* Drain: nothing more after the current answer; idle connections close. */
void sg_client_drain(struct sg_client *c);
/* The drain took too long: what is answered gets a moment to go out, all else ends. */
void sg_client_cut(struct sg_client *c);
/* At once. */
void sg_client_close(struct sg_client *c, enum sg_failure reason);
