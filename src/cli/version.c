/*
 * nestbox version: prints the version, the build's variant and the compiler.
 */
#include "cli/verb.h"

#include <stdio.h>

#define NESTBOX_VERSION "0.1.0"

static int run(const struct verb *verb, int argc, char **argv)
{
    int status;
    if (verb_options(verb, argc, argv, NULL, NULL, &status))
        return status;
    printf("nestbox %s (%s build, %s)\n", NESTBOX_VERSION, NESTBOX_BUILD, __VERSION__);
    return STATUS_OK;
}

const struct verb verb_version = {
    .name = "version",
    .summary = "Prints the version",
    .usage = "",
    .options = no_options,
    .run = run,
};
