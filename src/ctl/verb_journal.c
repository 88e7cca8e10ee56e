/* 'journal status', 'verify', 'export': the files are looked at by the program that knows them, with or without a ledger
 * that runs. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"

static enum sg_ctl_exit run(const struct sg_ctl *ctl, const char *word)
{
        const char *directory = ctl->n_arguments ? ctl->arguments[0] : NULL, *argv[7];
        char path[4200];
        const char *ledger = sg_ctl_find_program(path, sizeof(path), "scribe-ledger", "../ledger/");
        size_t n = 0;

        argv[n++] = "scribe-ledger";
        argv[n++] = "--journal";
        argv[n++] = word;
        if (sg_ctl_has(ctl, SG_CTL_JSON))
                argv[n++] = "--json";
        argv[n++] = "--";
        if (directory)
                argv[n++] = directory;
        argv[n] = NULL;
        (void)execvp(ledger, (char **)(uintptr_t)argv);
        sg_ctl_complain("cannot start %s: %s", ledger, strerror(errno));
        return SG_CTL_FAILED;
}

enum sg_ctl_exit sg_ctl_verb_journal_status(struct sg_ctl *ctl)
{
        return run(ctl, "status");
}

enum sg_ctl_exit sg_ctl_verb_journal_verify(struct sg_ctl *ctl)
{
        return run(ctl, "verify");
}

enum sg_ctl_exit sg_ctl_verb_journal_export(struct sg_ctl *ctl)
{
        return run(ctl, "export");
}
