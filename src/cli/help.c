/*
 * nestbox help [VERB]: prints help on all verbs, or on one.
 */
#include "cli/verb.h"

#include <stdio.h>

static int run(const struct verb *verb, int argc, char **argv)
{
    if (argc > 1 && argv[0][0] != '-') {
        complain("unexpected argument '%s' (see nestbox help --help)", argv[1]);
        return STATUS_USAGE;
    }
    if (argc > 0 && argv[0][0] != '-') {
        const struct verb *about = verb_find(argv[0]);
        if (!about)
            return STATUS_USAGE;
        verb_help_print(about);
        return STATUS_OK;
    }
    int status;
    if (verb_options(verb, argc, argv, NULL, NULL, &status))
        return status;
    printf("nestbox runs virtual machines whose guests can run virtual machines of their own,\n"
           "with Intel VT-x or AMD-V, on any x86-64 Linux host.\n\n"
           "Usage: nestbox VERB [OPTION]...\n\nVerbs:\n");
    for (const struct verb *const *v = verbs; *v; v++) {
        printf("  %-10s %s\n", (*v)->name, (*v)->summary);
    }
    printf("\nnestbox VERB --help prints the options of a verb.\n");
    return STATUS_OK;
}

const struct verb verb_help = {
    .name = "help",
    .summary = "Prints help on all verbs, or on one",
    .usage = "[VERB]",
    .options = no_options,
    .takes_verb = true,
    .run = run,
};
