/*
 * nestbox worker: the process of a running VM, which other verbs start.
 */
#include "cli/command.h"
#include "process/spawn.h"
#include "worker/process.h"

#include <string.h>

static int run(const struct verb *verb, int argc, char **argv)
{
    const char *word[WORDS_MAX];
    struct error error;
    int status, ready = spawn_ready();
    if (verb_arguments(verb, argc, argv, NULL, word, &status))
        return status;
    bool start = word[1] && strcmp(word[1], "start") == 0;
    return command_end(NULL, worker_run(word[0], start, ready, &error), &error);
}

const struct verb verb_worker = {
    .name = "worker",
    .summary = "Serves a running VM; other verbs start it",
    .usage = "VM [start]",
    .words = {{"VM", WORD_VM}, {"start", WORD_NEW, true}},
    .run = run,
};
