/*
 * nestbox version: prints the version, the build's variant and the compiler.
 */
#include "cli/verb.h"

#include <stdio.h>

#define NESTBOX_VERSION "0.1.0"
#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "GCC " __VERSION__ /* gcc's has no name in it */
#endif

static int run(const struct verb *verb, int argc, char **argv)
{
    int status;
    if (verb_options(verb, argc, argv, NULL, NULL, &status))
        return status;
    printf("nestbox %s (%s build, compiled by %s)\n", NESTBOX_VERSION, NESTBOX_BUILD, COMPILER);
    return STATUS_OK;
}

const struct verb verb_version = {
    .name = "version",
    .summary = "Prints the version",
    .usage = "",
    .run = run,
};
