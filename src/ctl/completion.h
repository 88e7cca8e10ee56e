/*
 * ctl/completion.h - what the completions of both shells are made of
 *
 * Shape    functions that print a shell's script from the tables of verbs and options
 */
#pragma once

#include "ctl/ctl.h"

void sg_ctl_print_bash_completion(void);
void sg_ctl_print_zsh_completion(void);

/* Whether no verb before this one has the same first word. */
bool sg_ctl_is_first(const struct sg_ctl_verb *v, struct sg_str *ret_first, struct sg_str *ret_second);
/* Whether that word is a verb by itself, beside those of two words that begin with it. */
bool sg_ctl_stands_alone(struct sg_str first);
/* For a socket: its value is handed on to scribectl. */
static inline bool sg_ctl_is_socket(size_t option)
{
        return option == SG_CTL_CONTROL || option == SG_CTL_LEDGER;
}
/* Two options of one name are one to who completes a line before its verb is known. */
bool sg_ctl_is_namesake(size_t option);
