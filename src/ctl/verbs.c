/* The one table of verbs and options: arguments, help, completion come from it. */
#include "ctl/ctl.h"

#define BIT(option) (UINT64_C(1) << (option))

/* What a key or group may do. */
#define LIMIT_BITS                                                                                                     \
        (BIT(SG_CTL_LIMITS) | BIT(SG_CTL_RPM) | BIT(SG_CTL_TPM) | BIT(SG_CTL_CONCURRENCY) | BIT(SG_CTL_BUDGET))

const struct sg_ctl_option_info sg_ctl_options[SG_CTL_OPTION_N] = {
        [SG_CTL_JSON] = {"--json", NULL, NULL, "print the answer as JSON", true},
        [SG_CTL_QUIET] = {"--quiet", NULL, NULL, "print only what a script needs", true},
        [SG_CTL_CONTROL] = {"--control", "PATH", "@files",
                            "the gateway's socket (default: $SCRIBE_CONTROL, else /run/scribe-gateway/control.socket)",
                            true},
        [SG_CTL_LEDGER] = {"--ledger", "PATH", "@files",
                           "the ledger's socket (default: ledger.socket beside the gateway's)", true},
        [SG_CTL_HELP] = {"--help", NULL, NULL, "print help, of a verb if one is named", true},
        [SG_CTL_VERSION] = {"--version", NULL, NULL, "print the version of scribectl", true},
        [SG_CTL_MODELS] = {"--models", "LIST", NULL,
                           "models that the key may use, separated by commas; a name may end in * (default: all)",
                           false},
        [SG_CTL_EXPIRES] = {"--expires", "WHEN", NULL, "when the key stops working (default: never)", false},
        [SG_CTL_ALL] = {"--all", NULL, NULL, "revoked keys, too", false},
        [SG_CTL_BY] = {"--by", "WHAT", "key model day provider none", "sum by key, model, day, provider or none",
                       false},
        [SG_CTL_SINCE] = {"--since", "WHEN", NULL, "what happened then or later", false},
        [SG_CTL_UNTIL] = {"--until", "WHEN", NULL, "what happened before then", false},
        [SG_CTL_KEY] = {"--key", "NAME", "@keys", "requests with this key only", false},
        [SG_CTL_MODEL] = {"--model", "NAME", NULL, "requests for this model only", false},
        [SG_CTL_PROVIDER] = {"--provider", "NAME", NULL, "what this provider was asked for only", false},
        [SG_CTL_COST] = {"--cost", NULL, NULL, "with what it cost, by the prices of prices.d", false},
        [SG_CTL_REQUESTS] = {"--requests", NULL, NULL, "single requests, newest first, instead of sums", false},
        [SG_CTL_LIMIT] = {"--limit", "N", NULL, "at most so many rows", false},
        [SG_CTL_FILE] = {"--file", "PATH", "@files", "the file that holds the secret (default: standard input)", false},
        [SG_CTL_FORCE] = {"--force", NULL, NULL, "even if the configuration in force uses it", false},
        [SG_CTL_GROUP] = {"--group", "GROUP", "@groups", "the group that the key is in", false},
        [SG_CTL_NO_GROUP] = {"--no-group", NULL, NULL, "in no group", false},
        [SG_CTL_PARENT] = {"--parent", "GROUP", "@groups", "the group above, whose limits hold here, too", false},
        [SG_CTL_NO_PARENT] = {"--no-parent", NULL, NULL, "below no other group", false},
        [SG_CTL_LIMITS] = {"--limit", "LIMIT", NULL, "a limit, '600 requests/minute'; may be given several times",
                           false},
        [SG_CTL_RPM] = {"--rpm", "N", NULL, "the same as --limit 'N requests/minute'", false},
        [SG_CTL_TPM] = {"--tpm", "N", NULL, "the same as --limit 'N tokens/minute'", false},
        [SG_CTL_CONCURRENCY] = {"--concurrency", "N", NULL, "the same as --limit 'N concurrent'", false},
        [SG_CTL_BUDGET] = {"--budget", "LIMIT", NULL, "what may be spent: 20usd/month, or '5 eur/day warn=80%'", false},
        [SG_CTL_NO_LIMITS] = {"--no-limits", NULL, NULL, "without limits of its own", false},
        [SG_CTL_ALL_MODELS] = {"--all-models", NULL, NULL, "the key may use every model", false},
        [SG_CTL_NAME] = {"--name", "PATTERN", NULL, "names like this only; a * at the end matches the rest", false},
        [SG_CTL_FROM] = {"--from", "ID", NULL, "go on where a limited list ended", false},
        [SG_CTL_SUBJECT] = {"--subject", "PATTERN", NULL, "changes of this only: key:alice, 'group:*'", false},
        [SG_CTL_REPLACE] = {"--replace", NULL, NULL, "keys of the file take the place of others of the same name",
                            false},
        [SG_CTL_CREATE_GROUPS] = {"--create-groups", NULL, NULL, "make groups that are missing, without limits", false},
        [SG_CTL_BEFORE] = {"--before", "WHEN", NULL, "what began before then", false},
        [SG_CTL_YES] = {"--yes", NULL, NULL, "do not ask whether that is meant", false},
};

const char *const sg_ctl_exit_meanings[SG_CTL_EXIT_N] = {
        [SG_CTL_OK] = "done",
        [SG_CTL_FAILED] = "refused or failed",
        [SG_CTL_USAGE] = "wrong usage",
        [SG_CTL_UNREACHABLE] = "the gateway or the ledger cannot be reached",
        [SG_CTL_DENIED] = "not permitted (the message names the group or user that is)",
        [SG_CTL_NOT_FOUND] = "not found",
        [SG_CTL_DIFFERS] = "what was compared differs",
};

#define WHEN_HELP                                                                                                      \
        "WHEN is a duration (90s, 15m, 12h, 30d, 2w), a date (2026-12-31, at 00:00 of the local zone), a date and\n"   \
        "time (2026-12-31T10:00, local, or with Z or +02:00 at its end), \"now\" or \"today\".\n"

#define LIMIT_HELP                                                                                                     \
        "LIMIT is AMOUNT KIND/WINDOW: '600 requests/minute', '2M tokens/day', '20 usd/month', or '8 concurrent'. A\n"  \
        "window is minute, hour, day or month (UTC); a budget has day or month. 'warn=80%' behind it tells when so\n"  \
        "much is used, 'soft' makes it a warning only.\n"

const struct sg_ctl_verb sg_ctl_verbs[] = {
        {"status", "", 0, 0, 0, "show how the gateway and the ledger are doing",
         "Shows the process, its configuration, the exchanges, the keys, the journal and the workers. With --json the\n"
         "answer of io.scribe.Gateway.GetStatus and, as \"ledger\", that of io.scribe.Ledger.GetStatus (null when the\n"
         "ledger cannot be reached).\n"
         "\n"
         "  scribectl status\n"
         "  scribectl status --json | jq .exchanges.n_open\n",
         sg_ctl_verb_status, NULL},
        {"key create", "NAME", 1, 1, BIT(SG_CTL_MODELS) | BIT(SG_CTL_EXPIRES) | BIT(SG_CTL_GROUP) | LIMIT_BITS,
         "make an API key and show its secret once",
         "The secret cannot be shown again: only its SHA-256 is stored. NAME is 1 to 64 of letters, digits, . _ @ and "
         "-.\n"
         "With --quiet nothing but the secret is printed, with --json "
         "{\"key\":{...},\"secret\":\"sk-...\"}.\n" LIMIT_HELP WHEN_HELP "\n"
         "  scribectl key create alice\n"
         "  scribectl key create ci --models 'gpt-4o-mini,qwen*' --expires 30d\n"
         "  scribectl key create carol --group team --rpm 600 --tpm 200K --budget 20usd/month\n"
         "  export OPENAI_API_KEY=$(scribectl key create bob --quiet)\n",
         sg_ctl_verb_key_create, NULL},
        {"key change", "NAME", 1, 1,
         BIT(SG_CTL_MODELS) | BIT(SG_CTL_ALL_MODELS) | BIT(SG_CTL_EXPIRES) | BIT(SG_CTL_GROUP) | BIT(SG_CTL_NO_GROUP) |
                 LIMIT_BITS | BIT(SG_CTL_NO_LIMITS),
         "change what an API key may do",
         "What is not named stays as it is; limits that are given take the place of all that it had. --expires never\n"
         "takes an expiry away. Gateways know within a second, and what is used already counts on.\n" LIMIT_HELP
                 WHEN_HELP "\n"
         "  scribectl key change alice --group team --expires 90d\n"
         "  scribectl key change alice --limit '600 requests/minute' --limit '50 usd/month warn=80%'\n"
         "  scribectl key change alice --no-limits --no-group\n",
         sg_ctl_verb_key_change, "@keys"},
        {"key list", "", 0, 0,
         BIT(SG_CTL_ALL) | BIT(SG_CTL_NAME) | BIT(SG_CTL_GROUP) | BIT(SG_CTL_LIMIT) | BIT(SG_CTL_FROM),
         "list the API keys",
         "Revoked keys are left out unless --all is given. Of --group those directly in it. With --quiet only the "
         "names.\n"
         "When --limit ends the list, the last line (with --json \"next_id\") says what --from goes on with.\n"
         "\n"
         "  scribectl key list\n"
         "  scribectl key list --group team --name 'ci-*'\n"
         "  scribectl key list --limit 100 --from 4711\n"
         "  scribectl key list --all --json | jq -r '.keys[] | select(.state==\"expired\").name'\n",
         sg_ctl_verb_key_list, NULL},
        {"key show", "NAME", 1, 1, 0, "show one API key",
         "The key of that name that is not revoked, or else the one revoked last. Never shows the "
         "secret.\n"
         "Below its own limits stand those of its group and of the groups above: all of them hold.\n"
         "\n"
         "  scribectl key show alice\n",
         sg_ctl_verb_key_show, "@keys"},
        {"key revoke", "NAME", 1, 1, 0, "end an API key at once",
         "It is refused within a second and cannot be brought back. Its usage stays, and its name may be given again.\n"
         "\n"
         "  scribectl key revoke alice\n",
         sg_ctl_verb_key_revoke, "@keys"},
        {"key rotate", "NAME", 1, 1, 0, "give an API key a new secret",
         "The old secret stops working at once; name, models, expiry and usage stay. The new one is shown as by\n"
         "'key create'.\n"
         "\n"
         "  scribectl key rotate alice\n",
         sg_ctl_verb_key_rotate, "@keys"},
        {"key export", "[FILE]", 0, 1, 0, "write all keys as lines of JSON, without their secrets",
         "Each line has name, digest (SHA-256 of the secret), prefix, models, group, limits, created_wall_usec,\n"
         "expires_wall_usec and state of one key; revoked ones are left out. FILE is replaced as a whole and is "
         "readable\n"
         "by its owner only; without it the lines go to standard output. Groups are named, but what limits them is "
         "not\n"
         "in it. Needs the right to change keys.\n"
         "\n"
         "  scribectl key export keys.jsonl\n",
         sg_ctl_verb_key_export, "@files"},
        {"key import", "FILE", 1, 1, BIT(SG_CTL_REPLACE) | BIT(SG_CTL_CREATE_GROUPS),
         "take keys from lines of JSON, as 'key export' writes them",
         "Each line needs name, digest and prefix; the other members may be missing. All lines are checked before the\n"
         "first key goes in, and the first one that is wrong is named. A key that is there already with the same "
         "digest\n"
         "is left alone; with another digest it is an error, unless --replace is given: then its secret, models, "
         "group,\n"
         "limits and expiry become those of the line. A group that is missing is an error, unless --create-groups is\n"
         "given. An import that was interrupted is done again.\n"
         "\n"
         "  scribectl key import keys.jsonl --create-groups\n",
         sg_ctl_verb_key_import, "@files"},
        {"group create", "NAME", 1, 1, BIT(SG_CTL_PARENT) | LIMIT_BITS, "make a group of API keys",
         "Its limits hold for all its keys together, and for those of the groups below it. Groups form a tree of at "
         "most\n"
         "eight levels; of all limits above a key the one that is reached first counts. NAME is made like that of a "
         "key.\n" LIMIT_HELP "\n"
         "  scribectl group create acme --budget '500usd/month warn=80%'\n"
         "  scribectl group create research --parent acme --limit '10M tokens/day'\n",
         sg_ctl_verb_group_create, NULL},
        {"group change", "NAME", 1, 1, BIT(SG_CTL_PARENT) | BIT(SG_CTL_NO_PARENT) | LIMIT_BITS | BIT(SG_CTL_NO_LIMITS),
         "change a group of API keys",
         "What is not named stays as it is; limits that are given take the place of all that it had.\n" LIMIT_HELP "\n"
         "  scribectl group change research --parent labs\n"
         "  scribectl group change acme --budget 800usd/month\n",
         sg_ctl_verb_group_change, "@groups"},
        {"group remove", "NAME", 1, 1, 0, "remove a group that has no keys",
         "Refused while keys or other groups are in it.\n"
         "\n"
         "  scribectl group remove research\n",
         sg_ctl_verb_group_remove, "@groups"},
        {"group list", "", 0, 0, 0, "list the groups of API keys as a tree",
         "\"keys\" are those directly in the group. With --quiet only the names.\n"
         "\n"
         "  scribectl group list\n",
         sg_ctl_verb_group_list, NULL},
        {"group show", "NAME", 1, 1, 0, "show a group, those above it and those below",
         "  scribectl group show research\n"
         "  scribectl key list --group research\n",
         sg_ctl_verb_group_show, "@groups"},
        {"limits show", "[NAME]", 0, 1, 0, "show what is used of limits and budgets",
         "NAME is that of a key, group, model or provider; key:NAME, group:NAME, model:NAME and provider:NAME name one "
         "of\n"
         "these. Of what is \"used\", \"reserved\" is held for exchanges that are open; \"part\" is the share of the "
         "limit.\n"
         "With several nodes \"granted\" is what this one may give out before it asks Redis again; when Redis does not "
         "answer, \"bound\" "
         "is\n"
         "what the nodes may go over the limit together, at most.\n"
         "\n"
         "  scribectl limits show\n"
         "  scribectl limits show group:acme\n",
         sg_ctl_verb_limits_show, "@keys"},
        {"journal status", "[DIR]", 0, 1, 0, "show what waits in the journal",
         "Reads the files as they are, whether gateway and ledger run or not, as root or the service's user, and "
         "changes\n"
         "nothing. DIR is another journal's directory, say a copy; without it the one of the configuration.\n"
         "For each ring: its process, up to which record the database has it, how many wait, and since when.\n"
         "\n"
         "  scribectl journal status\n",
         sg_ctl_verb_journal_status, "@directories"},
        {"journal verify", "[DIR]", 0, 1, 0, "check what waits in the journal",
         "Reads the files as they are, whether gateway and ledger run or not, as root or the service's user, and "
         "changes\n"
         "nothing. DIR is another journal's directory, say a copy; without it the one of the configuration.\n"
         "The same view as of status; it fails when records are damaged, and says where.\n"
         "\n"
         "  scribectl journal verify /srv/backup/journal\n",
         sg_ctl_verb_journal_verify, "@directories"},
        {"journal export", "[DIR]", 0, 1, 0, "print the records that wait in the journal",
         "Reads the files as they are, whether gateway and ledger run or not, as root or the service's user, and "
         "changes\n"
         "nothing. DIR is another journal's directory, say a copy; without it the one of the configuration.\n"
         "A JSON object a line, open and close records of exchanges, in the order of each ring. It fails when records\n"
         "are damaged; the others are printed.\n"
         "\n"
         "  scribectl journal export >waiting.jsonl\n",
         sg_ctl_verb_journal_export, "@directories"},
        {"audit", "", 0, 0, BIT(SG_CTL_SINCE) | BIT(SG_CTL_UNTIL) | BIT(SG_CTL_SUBJECT) | BIT(SG_CTL_LIMIT),
         "show who changed keys and groups",
         "Newest first, 50 unless --limit (-n) says otherwise. \"who\" is the user whose process asked, as the kernel "
         "tells\n"
         "it. Entries are written with the change itself, or neither is. The subject is key:NAME or group:NAME; "
         "--since\n"
         "and --until bound when it was changed.\n" WHEN_HELP "\n"
         "  scribectl audit --since 7d\n"
         "  scribectl audit --subject key:alice -n 1 --json\n",
         sg_ctl_verb_audit, NULL},
        {"usage reconcile", "FILE", 1, 1, BIT(SG_CTL_PROVIDER) | BIT(SG_CTL_SINCE) | BIT(SG_CTL_UNTIL),
         "hold a provider's export against our records",
         "FILE is CSV, by day (UTC) and model; its first line names the columns: date, model, requests, input_tokens\n"
         "(with cached and cache-written ones), cached_tokens, cache_write_tokens, output_tokens, cost. What is "
         "missing "
         "is\n"
         "not compared. The exports of OpenAI's usage page and of Anthropic's console are understood as they are. All "
         "days\n"
         "from the first to the last of the file are compared, or those of --since and --until (days of UTC). "
         "Differences\n"
         "are listed, ours less theirs, and the status is 6. A dated model of theirs (gpt-4o-2024-08-06) counts as "
         "ours\n"
         "without the date when we have no other. Costs are compared to the last digit in the file.\n"
         "\n"
         "  scribectl usage reconcile usage.csv --provider openai\n",
         sg_ctl_verb_usage_reconcile, "@files"},
        {"usage prune", "", 0, 0, BIT(SG_CTL_BEFORE) | BIT(SG_CTL_YES), "remove old usage events",
         "Removes the single events that began before --before; --requests and reports by parts of hours do not know "
         "them\n"
         "any more. Sums of whole hours stay, and with them reports, bills and what was used of limits. Asks first, "
         "unless\n"
         "--yes is given. Who did it stands in the audit. SQLite uses the room again for what comes; the file does "
         "not\n"
         "become smaller.\n" WHEN_HELP "\n"
         "  scribectl usage prune --before 2026-01-01\n"
         "  scribectl usage prune --before 400d --yes\n",
         sg_ctl_verb_usage_prune, NULL},
        {"usage", "", 0, 0,
         BIT(SG_CTL_BY) | BIT(SG_CTL_SINCE) | BIT(SG_CTL_UNTIL) | BIT(SG_CTL_KEY) | BIT(SG_CTL_MODEL) |
                 BIT(SG_CTL_REQUESTS) | BIT(SG_CTL_LIMIT) | BIT(SG_CTL_COST),
         "show requests and tokens",
         "Sums by key unless --by says otherwise. \"cached\" is the part of the input that the provider took from its\n"
         "cache; \"total\" is input and output; \"estimated\" is the share of requests whose tokens were not measured "
         "to the\n"
         "end; \"failed\" counts requests that failed, were truncated or cut off. Days are those of UTC.\n"
         "With --cost what it cost by the prices in force now, in each currency; requests with tokens that have no "
         "price are\n"
         "counted as unpriced and in no sum, and what lacks a price is listed.\n" WHEN_HELP "\n"
         "  scribectl usage\n"
         "  scribectl usage --by model --since 24h\n"
         "  scribectl usage --by day --key alice --since 2026-11-01 --until 2026-12-01\n"
         "  scribectl usage --by provider --cost --since 2026-11-01\n"
         "  scribectl usage --requests --limit 20\n",
         sg_ctl_verb_usage, NULL},
        {"backup", "FILE", 1, 1, 0, "write keys, groups, usage and audit to a file",
         "While everything goes on: the ledger drains the journal first, so that whatever was answered before is in "
         "it.\n"
         "FILE is a tar archive with the database and a manifest (versions, checksum); it must not be there yet. It "
         "holds\n"
         "digests of keys, no secrets. For who may read the database: root, or the service's user. The configuration "
         "is not\n"
         "in it.\n"
         "\n"
         "  scribectl backup /var/backups/scribe-$(date +%F).tar\n",
         sg_ctl_verb_backup, "@files"},
        {"restore", "FILE [DIRECTORY]", 1, 2, 0, "put a backup in the place of the database",
         "Checks FILE first, then puts its database where [ledger] database of the configuration in DIRECTORY says, "
         "and\n"
         "keeps what was there beside it as *.before-restore. Refused while a ledger runs; a gateway may go on "
         "meanwhile with\n"
         "the keys that it knows.\n"
         "\n"
         "  systemctl stop scribe-ledger\n"
         "  scribectl restore /var/backups/scribe-2026-11-22.tar\n"
         "  systemctl start scribe-ledger\n",
         sg_ctl_verb_restore, "@files"},
        {"reload", "", 0, 0, 0, "read the configuration again",
         "All of it is taken, or nothing changes and the first error is shown with its place. Names the first setting\n"
         "that needs a restart, if one was changed.\n"
         "\n"
         "  scribectl config check && scribectl reload\n",
         sg_ctl_verb_reload, NULL},
        {"upgrade", "", 0, 0, 0, "replace the running gateway by the installed program",
         "The gateway starts the program that is installed now, hands its listening sockets over and goes on only "
         "with\n"
         "the exchanges that are open, for up to [gateway] upgrade_drain_timeout. No connection is refused and no\n"
         "stream is cut. When the new program does not become ready, the old one goes on undisturbed. A gateway that "
         "runs\n"
         "its ledger as its child, or is the first process of a container, refuses: it is restarted instead.\n"
         "\n"
         "  scribectl upgrade\n",
         sg_ctl_verb_upgrade, NULL},
        {"upstream list", "[SERVICE]", 0, 1, 0, "list the endpoints of services, and the lanes of models",
         "\"state\" is up, drained (by an admin), down (its health check fails), tripped (it failed too often in a row "
         "and\n"
         "is left alone for a while) or trial (one request tries whether it serves again); \"why\" says what was "
         "found.\n"
         "\"asked\" and \"failed\" count attempts since the gateway began. With --quiet only the names: of services, "
         "or of\n"
         "the endpoints of SERVICE.\n"
         "\n"
         "A lane is what models lead to, a provider and its model; lanes and the credentials of providers also may be "
         "at\n"
         "rest (what a provider said makes it wait) or, for a credential, spent (its daily_tokens are used).\n"
         "\n"
         "  scribectl upstream list\n"
         "  scribectl upstream list --json | jq -r '.endpoints[] | select(.state!=\"up\") | .endpoint + \": \" + "
         ".why'\n",
         sg_ctl_verb_upstream_list, "@services"},
        {"upstream drain", "SERVICE ENDPOINT | LANE | PROVIDER credential NAME", 1, 3, 0,
         "send no further requests to an endpoint, lane or credential",
         "What is open there is finished, everything else goes to the other endpoints of the service; if there is "
         "none,\n"
         "clients get 503. ENDPOINT is its URL, or host:port, host or the path of its socket if no other endpoint of "
         "the\n"
         "service has the same. It stays drained until it is enabled, also over reloads, but not when the gateway is\n"
         "restarted or upgraded.\n"
         "\n"
         "  scribectl upstream drain query 10.0.0.7:8082\n"
         "  scribectl upstream drain openai/gpt-4o\n"
         "  scribectl upstream drain openai credential second\n"
         "  scribectl upstream list query    # \"open\" is 0: it may be stopped\n",
         sg_ctl_verb_upstream_drain, "@services"},
        {"upstream enable", "SERVICE ENDPOINT | LANE | PROVIDER credential NAME", 1, 3, 0,
         "send requests to an endpoint, lane or credential again",
         "Ends what 'upstream drain' began. It also closes the breaker of an endpoint that is tripped, so that it "
         "gets\n"
         "requests at once, and lets lanes and credentials that rest be asked.\n"
         "\n"
         "  scribectl upstream enable query 10.0.0.7:8082\n",
         sg_ctl_verb_upstream_enable, "@services"},
        {"config check", "[DIR]", 0, 1, 0, "check a configuration without taking it",
         "Without DIR the running gateway reads its own directory again. With DIR, or when no gateway runs,\n"
         "'scribe-gateway --check' is started, which goes through the whole start-up but does not serve.\n"
         "\n"
         "  scribectl config check\n"
         "  scribectl config check ./etc\n",
         sg_ctl_verb_config_check, "@directories"},
        {"config show", "", 0, 0, 0, "show every setting in force and where it comes from",
         "Secrets are named by their source, never shown.\n"
         "\n"
         "  scribectl config show | grep timeout\n",
         sg_ctl_verb_config_show, NULL},
        {"credential set", "NAME", 1, 1, BIT(SG_CTL_FILE), "store a secret, encrypted, for the service",
         "Reads the secret from standard input (a terminal asks for it without showing it) or from --file, encrypts "
         "it\n"
         "with systemd-creds and adds it to scribe-gateway.service. The configuration then names it:\n"
         "api_key = credential:NAME. NAME is made of letters, digits, . _ and -. The secret is one word, or a private\n"
         "key or certificate in PEM. It needs root, and systemd 250 or later. The service reads it at its next start:\n"
         "'systemctl restart scribe-gateway', in which the sockets stay open and connections wait.\n"
         "\n"
         "  scribectl credential set moonshot\n"
         "  scribectl credential set moonshot --file ./moonshot.key\n"
         "  pass show moonshot | scribectl credential set moonshot\n",
         sg_ctl_verb_credential_set, "@credentials"},
        {"credential list", "", 0, 0, 0, "list the secrets that are stored for the service",
         "Shows with what each is encrypted (the host's key, the TPM2 chip or both) and whether the configuration in\n"
         "force names it; never the secret. It needs root. With --quiet only the names.\n"
         "\n"
         "  scribectl credential list\n",
         sg_ctl_verb_credential_list, NULL},
        {"credential remove", "NAME", 1, 1, BIT(SG_CTL_FORCE), "remove a secret that is stored for the service",
         "Refuses while the configuration in force uses it, or when no gateway answers that could tell, unless "
         "--force\n"
         "is given. It needs root. A running gateway keeps what it has read.\n"
         "\n"
         "  scribectl credential remove moonshot\n",
         sg_ctl_verb_credential_remove, "@credentials"},
        {"log-level", "[LEVEL]", 0, 1, 0, "show or set how much is logged",
         "LEVEL is err, warning, notice, info or debug; it holds until the gateway is restarted or reads a "
         "configuration\n"
         "that says otherwise.\n"
         "\n"
         "  scribectl log-level debug\n",
         sg_ctl_verb_log_level, "err warning notice info debug"},
        {"version", "", 0, 0, 0, "show the versions of scribectl, gateway and ledger",
         "What cannot be reached is told on stderr; the status is 0 all the same.\n", sg_ctl_verb_version, NULL},
        {"help", "[VERB]", 0, 2, 0, "show help", "  scribectl help key create\n", sg_ctl_verb_help, "@verbs"},
        {"completion", "bash|zsh", 1, 1, 0, "print the completion of a shell",
         "The package installs both. For a shell that does not find them there:\n"
         "\n"
         "  source <(scribectl completion bash)\n",
         sg_ctl_verb_completion, "bash zsh"},
};
const size_t sg_ctl_n_verbs = SG_N_ELEMENTS(sg_ctl_verbs);
