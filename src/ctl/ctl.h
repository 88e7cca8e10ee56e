/*
 * ctl/ctl.h - scribectl: one table of verbs, one file per verb
 *
 * Shape    arguments are read into struct sg_ctl, the verb's function runs and returns the exit status
 * Owner    strings are the process's arguments or environment
 * Thread   one
 * Errors   a verb prints what went wrong and what to do next on stderr and returns an exit status
 */
#pragma once

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/str.h"

enum sg_ctl_exit {
        SG_CTL_OK = 0,
        SG_CTL_FAILED = 1,      /* refused or failed */
        SG_CTL_USAGE = 2,       /* wrong usage */
        SG_CTL_UNREACHABLE = 3, /* the gateway or the ledger */
        SG_CTL_DENIED = 4,
        SG_CTL_NOT_FOUND = 5,
        SG_CTL_DIFFERS = 6,
        SG_CTL_EXIT_N,
};
extern const char *const sg_ctl_exit_meanings[SG_CTL_EXIT_N]; /* for help and manual */

enum sg_ctl_option {
        SG_CTL_JSON,
        SG_CTL_QUIET,
        SG_CTL_CONTROL,
        SG_CTL_LEDGER,
        SG_CTL_HELP,
        SG_CTL_VERSION,
        SG_CTL_MODELS,
        SG_CTL_EXPIRES,
        SG_CTL_ALL,
        SG_CTL_BY,
        SG_CTL_SINCE,
        SG_CTL_UNTIL,
        SG_CTL_KEY,
        SG_CTL_MODEL,
        SG_CTL_PROVIDER,
        SG_CTL_REQUESTS,
        SG_CTL_COST,
        SG_CTL_LIMIT,
        SG_CTL_FILE,
        SG_CTL_FORCE,
        SG_CTL_GROUP,
        SG_CTL_NO_GROUP,
        SG_CTL_PARENT,
        SG_CTL_NO_PARENT,
        SG_CTL_LIMITS, /* written --limit as SG_CTL_LIMIT is: which one is meant the verb tells */
        SG_CTL_RPM,
        SG_CTL_TPM,
        SG_CTL_CONCURRENCY,
        SG_CTL_BUDGET,
        SG_CTL_NO_LIMITS,
        SG_CTL_ALL_MODELS,
        SG_CTL_NAME,
        SG_CTL_FROM,
        SG_CTL_SUBJECT,
        SG_CTL_REPLACE,
        SG_CTL_CREATE_GROUPS,
        SG_CTL_BEFORE,
        SG_CTL_YES,
        SG_CTL_OPTION_N,
};
_Static_assert(SG_CTL_OPTION_N <= 64, "a verb's options are bits of one word");

/* What an argument may be: words separated by spaces, or for completion alone "@keys", "@groups", "@credentials",
 * "@services", "@files", "@directories" or "@verbs". */
struct sg_ctl_option_info {
        const char *name;     /* "--models" */
        const char *argument; /* "LIST"; NULL: a flag */
        const char *words;    /* NULL: anything */
        const char *help;
        bool is_global;
};
extern const struct sg_ctl_option_info sg_ctl_options[SG_CTL_OPTION_N];

#define SG_CTL_ARGUMENTS_MAX 4u
#define SG_CTL_LIMITS_MAX    16u

struct sg_ctl_verb;

struct sg_ctl {
        const struct sg_ctl_verb *verb; /* NULL: none was named */
        const char *arguments[SG_CTL_ARGUMENTS_MAX];
        size_t n_arguments;
        const char *values[SG_CTL_OPTION_N];   /* NULL: not given; "" for a flag */
        const char *limits[SG_CTL_LIMITS_MAX]; /* each --limit, in order */
        size_t n_limits;
        char control[4096], ledger[4096]; /* the sockets */
};

struct sg_ctl_verb {
        const char *name;      /* "key create" */
        const char *arguments; /* "NAME"; "" for none */
        size_t n_least, n_most;
        uint64_t options; /* bit per option beside the global ones */
        const char *summary;
        const char *text; /* paragraphs and examples */
        enum sg_ctl_exit (*run)(struct sg_ctl *ctl);
        const char *words; /* of the first argument; NULL: anything */
};
extern const struct sg_ctl_verb sg_ctl_verbs[];
extern const size_t sg_ctl_n_verbs;

/* ---- args.c: true, or false with the sentence to print in err. A verb's help is asked for by values[SG_CTL_HELP]. */
bool sg_ctl_read_arguments(struct sg_ctl *ctl, int argc, char **argv, struct sg_error *err) SG_MUST_CHECK;
static inline bool sg_ctl_has(const struct sg_ctl *ctl, enum sg_ctl_option o)
{
        return ctl->values[o] != NULL;
}
static inline bool sg_ctl_verb_takes(const struct sg_ctl_verb *v, size_t option)
{
        return v->options & (UINT64_C(1) << option);
}
static inline bool sg_ctl_is_source(const char *words) /* "@keys": for completion alone */
{
        return words && words[0] == '@';
}
/* The first word of a verb's name; *ret_second is the second or empty. Verbs with the same first word stand together. */
struct sg_str sg_ctl_first_word(const struct sg_ctl_verb *v, struct sg_str *ret_second);
/* The word of a list (separated by spaces) that is most like text, or SG_STR_NONE. */
struct sg_str sg_ctl_nearest(struct sg_str text, const char *words);

/* ---- help.c, completion.c */
void sg_ctl_print_help(FILE *f);
void sg_ctl_print_verb_help(FILE *f, const struct sg_ctl_verb *v);
enum sg_ctl_exit sg_ctl_verb_help(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_completion(struct sg_ctl *ctl);

/* ---- ask.c */
enum sg_ctl_end {
        SG_CTL_GATEWAY,
        SG_CTL_LEDGER_END
};

/* Calls and waits; parameters are given away. *ret is the caller's, set on SG_CTL_OK only. Errors are printed. */
enum sg_ctl_exit sg_ctl_ask(struct sg_ctl *ctl, enum sg_ctl_end end, const char *method, struct json_object *parameters,
                            struct json_object **ret) SG_MUST_CHECK;
/* The same, but an error of that name (the last word of it) is not printed: *ret are its parameters then. */
enum sg_ctl_exit sg_ctl_ask_refusable(struct sg_ctl *ctl, enum sg_ctl_end end, const char *method,
                                      struct json_object *parameters, const char *refusal, struct json_object **ret,
                                      bool *ret_is_refused) SG_MUST_CHECK;
/* The same without a word when it fails; for what is shown beside something else. */
enum sg_ctl_exit sg_ctl_ask_quietly(struct sg_ctl *ctl, enum sg_ctl_end end, const char *method,
                                    struct json_object **ret) SG_MUST_CHECK;
/* Every reply of a call with more, borrowed. */
enum sg_ctl_exit sg_ctl_ask_more(struct sg_ctl *ctl, enum sg_ctl_end end, const char *method,
                                 struct json_object *parameters,
                                 void (*on_reply)(struct json_object *reply, void *owner), void *owner) SG_MUST_CHECK;
/* Members, with a default when they are missing or of another kind. */
uint64_t sg_ctl_u64(struct json_object *o, const char *name);
const char *sg_ctl_text(struct json_object *o, const char *name);
struct json_object *sg_ctl_member(struct json_object *o, const char *name);

/* ---- child.c */
struct sg_buf;
/* Runs argv (NULL at its end) of PATH with `input` on its standard input; what it says on both streams is added to
 * *output, cut where the buffer is full. 0 with the status of waitpid(2); -errno when it could not be started. */
int sg_ctl_run(const char *const argv[], struct sg_str input, struct sg_buf *output, int *ret_status) SG_MUST_CHECK;

/* A program of ours: beside scribectl, or where a build tree has it (PLACE from there), else the one of PATH. */
const char *sg_ctl_find_program(char *out, size_t out_bytes, const char *name, const char *place);

/* ---- prompt.c */
struct sg_secret;
/* One secret without its line end: from the file, else from standard input; a terminal asks for it without showing it.
 * It is not empty, and every byte may stand in a key; but a private key or certificate in PEM has its lines. */
int sg_ctl_read_secret(const char *path, const char *question, struct sg_secret **ret, struct sg_error *err)
        SG_MUST_CHECK;

bool sg_ctl_is_pem(const struct sg_secret *secret);

/* ---- show.c: for people */
void sg_ctl_complain(const char *format, ...) SG_PRINTF(1, 2); /* "scribectl: …" on stderr */
void sg_ctl_print_json(struct json_object *o);
/* Bytes that would move the cursor, hide text or are not UTF-8 become \xNN. The result is heap memory; NULL: none left.
 */
char *sg_ctl_escape(struct sg_str s) SG_MUST_CHECK;
static inline char *sg_text_free(char *text)
{
        free(text);
        return NULL;
}
SG_DEFINE_AUTO(char *, sg_text_free)
size_t sg_ctl_width(const char *escaped); /* columns */
void sg_ctl_print_text(const char *s);    /* escaped */

/* Strings of an array, with ", " between them; "" when there are none. Heap memory; NULL: none left. */
char *sg_ctl_join(struct json_object *strings) SG_MUST_CHECK;

struct sg_table;
struct sg_table *sg_table_new(size_t n_columns);
struct sg_table *sg_table_free(struct sg_table *t);
/* One cell after the other, row by row; copied and escaped. Columns of numbers are to be set right. */
void sg_table_add(struct sg_table *t, const char *text);
void sg_table_add_u64(struct sg_table *t, uint64_t v);
void sg_table_set_right(struct sg_table *t, size_t column);
/* The first row is the head: bold on a terminal. */
void sg_table_print(struct sg_table *t, FILE *f);
/* Prints the rows so far and forgets them: for lists that come in pages. Columns stay at least as wide as they were. */
void sg_table_flush(struct sg_table *t, FILE *f);
size_t sg_table_n_rows(const struct sg_table *t);

/* ---- when.c */
enum sg_ctl_direction {
        SG_CTL_AHEAD,
        SG_CTL_BACK
};
/* "30d", "12h", "now", "today", "2026-12-31", "2026-12-31T10:00:00Z": wall microseconds; durations count from now. */
bool sg_ctl_parse_when(struct sg_str text, uint64_t now_wall_usec, enum sg_ctl_direction direction, uint64_t *ret)
        SG_MUST_CHECK;
/* "2026-12-31", days since 1970; and back. */
bool sg_ctl_parse_day(struct sg_str text, uint64_t *ret_day) SG_MUST_CHECK;
#define SG_CTL_WHEN_BYTES 40u
const char *sg_ctl_format_day(uint64_t day, char out[SG_CTL_WHEN_BYTES]);
/* "2026-12-31 10:00:00" of the local zone; 0 is "-". */
const char *sg_ctl_format_when(uint64_t wall_usec, char out[SG_CTL_WHEN_BYTES]);
const char *sg_ctl_format_duration(uint64_t usec, char out[SG_CTL_WHEN_BYTES]);
const char *sg_ctl_format_bytes(uint64_t bytes, char out[SG_CTL_WHEN_BYTES]);

/* ---- given.c: options that several verbs share, as parameters of a call */

/* "a,b*" */
struct json_object *sg_ctl_list_of(struct sg_str text);
/* What --limit, --rpm, --tpm, --concurrency and --budget say, in the language of limits, as "limits"; [] for --no-limits;
 * nothing is added when none was given. False: they contradict, which was printed. */
bool sg_ctl_add_limits(const struct sg_ctl *ctl, struct json_object *parameters) SG_MUST_CHECK;
/* A name by option `name`, "" by the flag `none`, as member. False: both were given, which was printed. */
bool sg_ctl_add_name(const struct sg_ctl *ctl, enum sg_ctl_option name, enum sg_ctl_option none, const char *member,
                     struct json_object *parameters) SG_MUST_CHECK;
/* A number of at least 1 by that option, as member. False: it is none, which was printed. */
bool sg_ctl_add_number(const struct sg_ctl *ctl, enum sg_ctl_option o, const char *member,
                       struct json_object *parameters) SG_MUST_CHECK;

/* ---- verb_*.c */
enum sg_ctl_exit sg_ctl_verb_status(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_key_create(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_key_change(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_key_list(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_key_show(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_key_revoke(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_key_rotate(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_key_export(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_key_import(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_group_create(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_group_change(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_group_remove(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_group_list(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_group_show(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_limits_show(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_audit(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_journal_status(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_journal_verify(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_journal_export(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_usage(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_usage_prune(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_backup(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_restore(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_usage_reconcile(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_reload(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_config_check(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_config_show(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_log_level(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_upgrade(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_upstream_list(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_upstream_drain(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_upstream_enable(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_credential_set(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_credential_list(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_credential_remove(struct sg_ctl *ctl);
enum sg_ctl_exit sg_ctl_verb_version(struct sg_ctl *ctl);
