/*
 * A real redis-server (Debian's package), with a directory of its own. It dies with the test.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct redis_server {
        pid_t pid;
        char directory[64];
        char socket[96];
        uint16_t port; /* of TLS or plain TCP; 0: the Unix socket alone */
};

/* False: the package is not there. `more`: further arguments, ended by NULL. */
bool redis_server_start(struct redis_server *s, uint16_t port, const char *const *more);
void redis_server_stop(struct redis_server *s); /* and removes its directory */
void redis_server_signal(struct redis_server *s, int signal);
