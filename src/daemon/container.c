/*
 * An image has no shell that could look at SERVICE_TYPE, so the program does it. The names are those by which the
 * projects that the gateway serves call their containers; of them the image has the gateway and its ledger.
 */
#include "daemon/container.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/ledger_child.h"
#include "daemon/options.h"

#define GATEWAY "scribe-gateway"
#define LEDGER  "scribe-ledger"

static const struct service {
        const char *name;
        const char *program; /* NULL: the name is known, but there is no such program in this release */
} services[] = {
        {"api-gateway", GATEWAY},     {"gateway", GATEWAY},
        {"ledger", LEDGER},           {"agent-worldsmith", NULL},
        {"agent-plotmaster", NULL},   {"agent-outliner", NULL},
        {"agent-director", NULL},     {"agent-characterexpert", NULL},
        {"agent-worldbuilder", NULL}, {"agent-writer", NULL},
        {"agent-critic", NULL},       {"agent-factchecker", NULL},
        {"agent-rewriter", NULL},
};

static const struct service *service_find(const char *name)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(services); i++)
                if (strcmp(services[i].name, name) == 0)
                        return &services[i];
        return NULL;
}

/* An empty word counts as none, as for every variable of the environment. */
static const char *chosen(const char *argument)
{
        const char *from_environment = getenv("SERVICE_TYPE");

        if (argument && argument[0])
                return argument;
        return from_environment && from_environment[0] ? from_environment : services[0].name;
}

static int refuse(const char *name, const struct service *service)
{
        if (service)
                fprintf(stderr,
                        "scribe-gateway: SERVICE_TYPE '%s' is not in this release; it has api-gateway (or gateway) and "
                        "ledger\n",
                        name);
        else
                fprintf(stderr,
                        "scribe-gateway: unknown SERVICE_TYPE '%s'; write api-gateway (or gateway, the default) or "
                        "ledger\n",
                        name);
        return 1;
}

static int become_ledger(const struct sg_options *options)
{
        char program[SG_LEDGER_PROGRAM_BYTES], line[1100];
        char *argv[] = {(char *)LEDGER, (char *)"--config", (char *)options->config_directory,
                        options->is_check ? (char *)"--check" : NULL, NULL};
        struct sg_error err = {0};

        if (sg_ledger_find_program(program, &err) == 0) {
                execv(program, argv);
                sg_error_set(&err, errno, program, "cannot be started: %s", strerror(errno));
        }
        fprintf(stderr, "scribe-gateway: SERVICE_TYPE ledger: %s\n", sg_error_line(&err, line, sizeof(line)));
        return 1;
}

int sg_container_enter(const struct sg_options *options)
{
        const char *name = chosen(options->service_type);
        const struct service *service = service_find(name);

        if (!service || !service->program)
                return refuse(name, service);
        return strcmp(service->program, LEDGER) == 0 ? become_ledger(options) : -1;
}

/* ---- beside the service */

/* The first argument of `run IMAGE ledger` is seen by process 1 only, so that one is asked before the environment. */
static const char *program_of_first_process(void)
{
        static const char *const programs[] = {GATEWAY, LEDGER};
        char name[32];
        int fd = open("/proc/1/comm", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, name, sizeof(name) - 1);

        if (fd >= 0)
                close(fd);
        for (size_t i = 0; n > 0 && i < SG_N_ELEMENTS(programs); i++)
                if ((size_t)n == strlen(programs[i]) + 1 && strncmp(name, programs[i], (size_t)n - 1) == 0)
                        return programs[i];
        return NULL;
}

const char *sg_container_program(const char *service_type)
{
        const char *program = service_type ? NULL : program_of_first_process();
        const struct service *service = service_find(chosen(service_type));

        if (program)
                return program;
        return service && service->program ? service->program : GATEWAY;
}

void sg_container_reap(pid_t keep)
{
        siginfo_t ended = {0};

        if (getpid() != 1)
                return;
        /* Looked at first: the status of `keep` is for others to take. While it lies there, the next signal goes on. */
        while (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid && ended.si_pid != keep) {
                (void)waitpid(ended.si_pid, NULL, WNOHANG);
                ended.si_pid = 0;
        }
}
