/*
 * daemon/options.h - the command line of scribe-gateway
 *
 * Owner    strings are argv's
 * Errors   wrong usage: told on stderr, exit status 2
 */
#pragma once

#include <stdbool.h>

struct sg_options {
        const char *config_directory;
        bool is_check;            /* the real start-up path without serving */
        bool is_container;        /* the entry of an image: a service is chosen */
        bool is_healthcheck;      /* asks the service that runs beside it */
        const char *service_type; /* the word after the options of these two, or NULL */
};

/* Returns -1 to go on, else the exit status (after --help, --version or wrong usage). */
int sg_options_read(struct sg_options *ret, int argc, char **argv);
