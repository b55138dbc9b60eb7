/*
 * nestbox version
 */
#include "cli/verb.h"

#include <stdio.h>

#define NESTBOX_VERSION "0.1.0"

struct version_options {
    bool help;
};

static const struct option options[] = {
    {"help", OPTION_HELP, offsetof(struct version_options, help), NULL, "this help"},
    {0},
};

static int run(const struct verb *verb, int argc, char **argv)
{
    struct version_options o = {0};
    int status;
    if (verb_options(verb, argc, argv, &o, &status))
        return status;
    printf("nestbox %s (%s build, %s)\n", NESTBOX_VERSION, NESTBOX_BUILD, __VERSION__);
    return STATUS_OK;
}

const struct verb verb_version = {
    .name = "version",
    .summary = "Tells the version",
    .usage = "",
    .options = options,
    .run = run,
};
