/* 'backup', 'restore': the ledger's program copies the database; this asks the running ledger first, and tells the result. */
#include <errno.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "ctl/ctl.h"
#include "varlink/strict.h"

#define OUTPUT_BYTES_MAX (256u * 1024u)
#define PROGRAM_BYTES    4200
#define DEPTH_MAX        8

static void print_manifest(const char *what, const char *path, struct json_object *manifest)
{
        unsigned long long keys = sg_ctl_u64(manifest, "keys"), events = sg_ctl_u64(manifest, "usage_events");
        char when[SG_CTL_WHEN_BYTES];

        printf("%s ", what);
        sg_ctl_print_text(path);
        printf(": %llu key%s, %llu usage event%s, as of %s\n", keys, keys == 1 ? "" : "s", events,
               events == 1 ? "" : "s", sg_ctl_format_when(sg_ctl_u64(manifest, "created_wall_usec"), when));
}

static enum sg_ctl_exit complain_of_output(struct sg_str output)
{
        struct sg_str rest = output, line, last = SG_STR_NONE;
        SG_AUTO(sg_text_free) char *shown = NULL;

        /* The last line says it; before it may stand what the log has. */
        while (rest.n) {
                (void)sg_str_cut(&rest, '\n', &line);
                if (line.n)
                        last = line;
        }
        shown = sg_ctl_escape(last);
        sg_ctl_complain("%s", shown && shown[0] ? shown : "scribe-ledger failed without a word");
        return SG_CTL_FAILED;
}

static enum sg_ctl_exit tell(const struct sg_ctl *ctl, const char *what, const char *path, struct sg_str output,
                             int status)
{
        struct json_object *manifest = NULL;

        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                return complain_of_output(output);
        if (sg_varlink_read_object(&manifest, sg_str_trim(output), DEPTH_MAX) != 0)
                return complain_of_output(output);
        if (sg_ctl_has(ctl, SG_CTL_JSON))
                sg_ctl_print_json(manifest);
        else if (!sg_ctl_has(ctl, SG_CTL_QUIET))
                print_manifest(what, path, manifest);
        json_object_put(manifest);
        return SG_CTL_OK;
}

/* option: --backup, --restore. directory: NULL for the usual one. */
static enum sg_ctl_exit run_ledger(const struct sg_ctl *ctl, const char *option, const char *directory,
                                   const char *what)
{
        char program[PROGRAM_BYTES];
        const char *const argv[] = {sg_ctl_find_program(program, sizeof(program), "scribe-ledger", "../ledger/"),
                                    option,
                                    ctl->arguments[0],
                                    directory ? "--config" : NULL,
                                    directory,
                                    NULL};
        enum sg_ctl_exit e;
        struct sg_buf output;
        int status = 0, r;

        sg_buf_init(&output, OUTPUT_BYTES_MAX);
        r = sg_ctl_run(argv, SG_STR_NONE, &output, &status);
        if (r) {
                sg_ctl_complain("cannot start %s: %s", argv[0], strerror(-r));
                e = SG_CTL_FAILED;
        } else
                e = tell(ctl, what, ctl->arguments[0], sg_buf_view(&output), status);
        sg_buf_done(&output);
        return e;
}

enum sg_ctl_exit sg_ctl_verb_backup(struct sg_ctl *ctl)
{
        struct json_object *reply;
        enum sg_ctl_exit e = sg_ctl_ask(ctl, SG_CTL_LEDGER_END, "io.scribe.Ledger.Backup", NULL, &reply);

        if (e)
                return e;
        e = run_ledger(ctl, "--backup", sg_ctl_text(reply, "configuration"), "backed up to");
        json_object_put(reply);
        return e;
}

enum sg_ctl_exit sg_ctl_verb_restore(struct sg_ctl *ctl)
{
        return run_ledger(ctl, "--restore", ctl->n_arguments > 1 ? ctl->arguments[1] : NULL, "restored from");
}
