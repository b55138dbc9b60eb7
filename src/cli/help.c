/*
 * nestbox help [VERB]
 */
#include "cli/verb.h"

#include <stdio.h>
#include <string.h>

struct help_options {
    bool help;
};

static const struct option options[] = {
    {"help", OPTION_HELP, offsetof(struct help_options, help), NULL, "this help"},
    {0},
};

static int run(const struct verb *verb, int argc, char **argv)
{
    if (argc > 0 && argv[0][0] != '-') {
        const struct verb *about = verb_find(argv[0]);
        if (!about)
            return STATUS_USAGE;
        verb_help_print(about);
        return STATUS_OK;
    }
    struct help_options o = {0};
    int status;
    if (verb_options(verb, argc, argv, &o, &status))
        return status;
    printf("nestbox runs virtual machines whose guests can run virtual machines of their own,\n"
           "with Intel VT-x or AMD-V, on any x86-64 Linux host.\n\n"
           "Usage: nestbox VERB [OPTION]...\n\nVerbs:\n");
    for (const struct verb *const *v = verbs; *v; v++)
        printf("  %-10s %s\n", (*v)->name, (*v)->summary);
    printf("\nnestbox VERB --help tells about a verb.\n");
    return STATUS_OK;
}

const struct verb verb_help = {
    .name = "help",
    .summary = "Tells what there is, or about one verb",
    .usage = "[VERB]",
    .options = options,
    .run = run,
};
