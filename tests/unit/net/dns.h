/*
 * A name server of a few lines: what it does depends on the name asked for.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

/* two.test     192.0.2.1 and 192.0.2.2, for 60 s
 * moves.test   where it is told to be, for 1 s
 * silent.test  no answer
 * broken.test  SERVFAIL
 * others       NXDOMAIN */
struct dns {
        int fd;
        uint16_t port;
        pthread_t thread;
        atomic_uint n_asked; /* for A of two.test */
        atomic_uint where;   /* of moves.test: 127.0.0.1 at first */
};

void dns_start(struct dns *d);
void dns_stop(struct dns *d);
