#include "server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BINARY   "/usr/bin/redis-server"
#define MORE_MAX 32

static void become(const struct redis_server *s, const char *const *more)
{
        const char *words[16 + MORE_MAX] = {BINARY,         "--save",    "",      "--appendonly", "no",
                                            "--unixsocket", s->socket,   "--dir", s->directory,   "--loglevel",
                                            "warning",      "--logfile", "log",   "--port",       "0"};
        size_t n = 15;

        for (size_t i = 0; more && more[i] && i < MORE_MAX; i++)
                words[n++] = more[i];
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        execv(BINARY, (char *const *)words);
        _exit(127);
}

static bool answers(const struct redis_server *s)
{
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        char reply[8] = "";
        bool is_there;

        (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", s->socket);
        is_there = connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0 && write(fd, "PING\r\n", 6) == 6 &&
                   read(fd, reply, sizeof(reply)) > 0;
        close(fd);
        return is_there;
}

bool redis_server_start(struct redis_server *s, uint16_t port, const char *const *more)
{
        *s = (struct redis_server){.port = port};
        if (access(BINARY, X_OK))
                return false;
        (void)snprintf(s->directory, sizeof(s->directory), "/tmp/scribe-redis-XXXXXX");
        if (!mkdtemp(s->directory))
                abort();
        (void)snprintf(s->socket, sizeof(s->socket), "%s/redis.sock", s->directory);
        s->pid = fork();
        if (s->pid == 0)
                become(s, more);
        for (unsigned i = 0; i < 2000; i++) {
                if (answers(s))
                        return true;
                if (waitpid(s->pid, NULL, WNOHANG) == s->pid)
                        break;
                nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        }
        fprintf(stderr, "redis-server does not start; its log is %s/log\n", s->directory);
        abort();
}

void redis_server_signal(struct redis_server *s, int signal)
{
        kill(s->pid, signal);
}

void redis_server_stop(struct redis_server *s)
{
        static const char *const files[] = {"redis.sock", "log", "nodes.conf"};
        char path[128];

        kill(s->pid, SIGCONT);
        kill(s->pid, SIGKILL);
        (void)waitpid(s->pid, NULL, 0);
        for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
                (void)snprintf(path, sizeof(path), "%s/%s", s->directory, files[i]);
                (void)unlink(path);
        }
        (void)rmdir(s->directory);
}
