/*
 * net/listen.h - sockets that accept
 *
 * Shape    addresses parsed from configuration; one bound descriptor shared by all workers; an acceptor per worker
 * Owner    the daemon owns listening descriptors; acceptors borrow them
 * Thread   bind: main; an acceptor: its loop
 * Errors   -errno with sg_error for people ("address already in use: …")
 * Limits   16 connections accepted per wake-up; on EMFILE accepting pauses for 100 ms
 */
#pragma once

#include <sys/socket.h>

#include "base/error.h"
#include "loop/loop.h"

struct sg_address {
        struct sockaddr_storage socket;
        socklen_t length;
        char text[128]; /* canonical, as given to people; of a longer unix path the beginning */
};

/* "127.0.0.1:8000", "[::]:8443", "8000" or "*:8000" (all addresses), "unix:/path". */
int sg_address_parse(struct sg_address *ret, struct sg_str text, struct sg_error *err) SG_MUST_CHECK;
/* "127.0.0.1:8000", "[::1]:8000" (an IPv4 address in IPv6 form as IPv4), "unix:/path", "unix"; cut to fit. */
#define SG_ADDRESS_TEXT_BYTES 128
void sg_address_format(char *out, size_t out_bytes, const struct sockaddr *address, socklen_t length);
/* Of the other end of a connection; "unknown" when it is gone already. */
void sg_address_format_peer(char *out, size_t out_bytes, int fd);
/* Nonblocking, CLOEXEC, SO_REUSEADDR, listening (backlog 4096), TCP_NODELAY inherited. [::] takes IPv4, too. The socket
 * file that a dead process left behind is replaced. */
int sg_listen_bind(int *ret_fd, const struct sg_address *address, struct sg_error *err) SG_MUST_CHECK;
/* Where a socket listens. */
int sg_listen_address(struct sg_address *ret, int fd) SG_MUST_CHECK;
/* [::] and 0.0.0.0 are the same (a machine without IPv6 gets the second for the first), and port 0 is any port. */
bool sg_address_is_same(const struct sg_address *a, const struct sg_address *b);

struct sg_acceptor;
/* on_connection owns the descriptor: nonblocking, CLOEXEC. fd stays the caller's and must be nonblocking. */
int sg_acceptor_new(struct sg_acceptor **ret, struct sg_loop *l, int fd, void (*on_connection)(int fd, void *owner),
                    void *owner) SG_MUST_CHECK;
/* Nothing is accepted before; connections wait in the kernel. */
void sg_acceptor_start(struct sg_acceptor *a);
struct sg_acceptor *sg_acceptor_free(struct sg_acceptor *a);
