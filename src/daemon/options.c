#include "daemon/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "sg_build.h"

static const char help[] =
        "scribe-gateway " SG_VERSION ": the AI and API gateway that behaves like a Unix service\n"
        "\n"
        "usage: scribe-gateway [--config DIR] [--check]\n"
        "       scribe-gateway [--config DIR] --container [--check] [SERVICE_TYPE]\n"
        "       scribe-gateway [--config DIR] --healthcheck [SERVICE_TYPE]\n"
        "\n"
        "  --config DIR   read DIR/gateway.conf and DIR/gateway.conf.d/*.conf\n"
        "                 (default: $SCRIBE_CONFIG, else " SG_SYSCONFDIR ")\n"
        "  --check        start up as far as serving, say what is wrong, and exit\n"
        "  --container    the entry of a container: run SERVICE_TYPE (or what $SERVICE_TYPE names):\n"
        "                 api-gateway (or gateway, the default) or ledger\n"
        "  --healthcheck  ask the service that runs here how it is, within five seconds; exit with 0\n"
        "                 if it is well, else with 1 and a line that says why\n"
        "  --version      print the version\n"
        "  --help         print this\n"
        "\n"
        "signals: SIGHUP reads the configuration again (all of it or nothing), SIGTERM finishes open\n"
        "exchanges and ends, a second SIGTERM ends at once, SIGUSR1 opens the log file again.\n"
        "exit status: 0 ended in order, 1 could not start or run (the reason is on stderr or in the\n"
        "journal), 2 wrong usage.\n";

int sg_options_read(struct sg_options *ret, int argc, char **argv)
{
        static const struct option known[] = {{"config", required_argument, NULL, 'c'},
                                              {"check", no_argument, NULL, 'k'},
                                              {"container", no_argument, NULL, 'C'},
                                              {"healthcheck", no_argument, NULL, 'H'},
                                              {"version", no_argument, NULL, 'v'},
                                              {"help", no_argument, NULL, 'h'},
                                              {NULL, 0, NULL, 0}};
        const char *from_environment = getenv("SCRIBE_CONFIG");
        int c;

        *ret = (struct sg_options){.config_directory =
                                           from_environment && from_environment[0] ? from_environment : SG_SYSCONFDIR};
        while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
                switch (c) {
                case 'c':
                        ret->config_directory = optarg;
                        break;
                case 'k':
                        ret->is_check = true;
                        break;
                case 'C':
                        ret->is_container = true;
                        break;
                case 'H':
                        ret->is_healthcheck = true;
                        break;
                case 'v':
                        puts("scribe-gateway " SG_VERSION);
                        return 0;
                case 'h':
                        fputs(help, stdout);
                        return 0;
                default:
                        fputs("try 'scribe-gateway --help'\n", stderr);
                        return 2;
                }
        }
        if (optind < argc && (ret->is_container || ret->is_healthcheck))
                ret->service_type = argv[optind++];
        if (optind < argc) {
                fprintf(stderr, "scribe-gateway: '%s' is not understood; try 'scribe-gateway --help'\n", argv[optind]);
                return 2;
        }
        return -1;
}
