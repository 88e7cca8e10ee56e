#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "ledger/options.h"
#include "sg_build.h"

static const char help[] =
        "scribe-ledger - keeps the keys and the usage of scribe-gateway in a database\n"
        "\n"
        "Usage: scribe-ledger [--config DIR] [--check | --migrate URL | --backup FILE | --restore FILE]\n"
        "       scribe-ledger [--config DIR] --journal status|verify|export [--json] [DIRECTORY]\n"
        "\n"
        "  --config DIR    the directory of gateway.conf (%s)\n"
        "  --check         read the configuration, look at the database, change nothing, and exit\n"
        "  --migrate URL   bring the schema of that database up to date as the user in the URL, grant what the "
        "service's\n"
        "                  role needs, and exit; the password is in PGPASSWORD or ~/.pgpass\n"
        "  --backup FILE   write all that the database holds to FILE, and exit: scribectl backup\n"
        "  --restore FILE  put what FILE holds in the place of the database, and exit: scribectl restore\n"
        "  --parent-fd N   exit when the pipe with this descriptor is closed (set by a gateway that starts its "
        "ledger)\n"
        "  --journal WORD  look at the journal, whether a ledger runs or not, and exit: what waits (status), whether "
        "it\n"
        "                  is whole (verify), its records as JSON lines (export); of DIRECTORY, or as configured\n"
        "  --json          status and verify as JSON lines\n"
        "  --version       print the version and exit\n"
        "  --help          print this and exit\n"
        "\n"
        "It drains the journal of the gateway into the database named by [ledger] database, and answers scribectl and\n"
        "the gateway on ledger.socket in the runtime directory. SIGHUP reads [control] admins, group, the log "
        "level\n"
        "and prices again; SIGTERM stores what is left and ends. One ledger per SQLite file: a second one refuses to "
        "start.\n"
        "\n"
        "Exit status: 0 after --check or --journal without findings and after SIGTERM; 1 when it cannot start, or\n"
        "something of the journal is damaged; 2 for wrong "
        "arguments.\n";

int sg_ledger_options_parse(struct sg_ledger_options *o, int argc, char **argv)
{
        static const struct option known[] = {
                {"config", required_argument, NULL, 'c'},
                {"check", no_argument, NULL, 'k'},
                {"migrate", required_argument, NULL, 'm'},
                {"backup", required_argument, NULL, 'b'},
                {"restore", required_argument, NULL, 'r'},
                {"journal", required_argument, NULL, 'j'},
                {"json", no_argument, NULL, 'J'},
                {"parent-fd", required_argument, NULL, 'p'},
                {"version", no_argument, NULL, 'v'},
                {"help", no_argument, NULL, 'h'},
                {NULL, 0, NULL, 0},
        };
        uint64_t fd;
        int c;

        *o = (struct sg_ledger_options){.config_directory = SG_SYSCONFDIR, .parent_fd = -1};
        while ((c = getopt_long(argc, argv, "c:hv", known, NULL)) != -1) {
                switch (c) {
                case 'c':
                        o->config_directory = optarg;
                        break;
                case 'k':
                        o->wants_check = true;
                        break;
                case 'm':
                        o->migrate_url = optarg;
                        break;
                case 'b':
                        o->backup_path = optarg;
                        break;
                case 'r':
                        o->restore_path = optarg;
                        break;
                case 'j':
                        o->journal_ask = sg_journal_ask_from(optarg);
                        if (o->journal_ask == SG_JOURNAL_NONE) {
                                (void)fprintf(stderr, "scribe-ledger: --journal %s: write status, verify or export\n",
                                              optarg);
                                return -EINVAL;
                        }
                        break;
                case 'J':
                        o->wants_json = true;
                        break;
                case 'p':
                        if (sg_str_to_u64(sg_str_from(optarg), &fd) != 0 || fd > INT32_MAX ||
                            fcntl((int)fd, F_GETFD) < 0) {
                                (void)fprintf(stderr, "scribe-ledger: --parent-fd %s is no open descriptor\n", optarg);
                                return -EINVAL;
                        }
                        o->parent_fd = (int)fd;
                        break;
                case 'v':
                        (void)printf("scribe-ledger %s\n", SG_VERSION);
                        return 1;
                case 'h':
                        (void)printf(help, SG_SYSCONFDIR);
                        return 1;
                default:
                        (void)fprintf(stderr, "Try scribe-ledger --help\n");
                        return -EINVAL;
                }
        }
        if (o->journal_ask != SG_JOURNAL_NONE && optind < argc)
                o->journal_of = argv[optind++];
        if (optind < argc) {
                (void)fprintf(stderr, "scribe-ledger: unexpected argument \"%s\"; try --help\n", argv[optind]);
                return -EINVAL;
        }
        return 0;
}

static char *path_in(const char *directory, const char *name)
{
        char *path;

        return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

int sg_ledger_options_read(struct sg_ledger_options *o, struct sg_error *err)
{
        SG_AUTO(sg_config_unref) struct sg_config *c = NULL;
        int r;

        r = sg_config_read_for_ledger(&c, o->config_directory, err);
        if (r)
                return r;
        if (!o->socket_path)
                o->socket_path = path_in(c->runtime_directory, "ledger.socket");
        if (!o->journal_directory)
                o->journal_directory = path_in(c->state_directory, "journal");
        if (!o->stage_directory)
                o->stage_directory = path_in(c->runtime_directory, "journal");
        if (!o->socket_path || !o->journal_directory || !o->stage_directory)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        o->access = (struct sg_ledger_access){.group = c->group, .admins = c->admins, .n_admins = c->n_admins};
        o->store = (struct sg_store_options){.url = c->ledger_database,
                                             .password = c->ledger_password,
                                             .ca_file = c->ledger_ca_file,
                                             .tls_certificate_file = c->ledger_tls_certificate,
                                             .tls_key_file = c->ledger_tls_key};
        sg_config_unref(o->config);
        o->config = SG_GIVE(c);
        return 0;
}

void sg_ledger_options_done(struct sg_ledger_options *o)
{
        sg_config_unref(o->config);
        free(o->socket_path);
        free(o->journal_directory);
        free(o->stage_directory);
        *o = (struct sg_ledger_options){.parent_fd = -1};
}
