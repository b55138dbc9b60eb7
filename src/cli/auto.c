/*
 * nestbox autostart and autostop: what a service manager calls when the host starts and stops.
 */
#include "manager/auto.h"
#include "cli/vm.h"

#include <stdio.h>

struct options {
    u64 timeout_ms;
};

#define AT(field) offsetof(struct options, field)
static const struct setting stop_rows[] = {
    {"timeout", SETTING_SECONDS, AT(timeout_ms), "SECONDS", "how long guests may take to shut down", .def = "120",
     .min = 1000, .max = 86400000},
    {0},
};

static void one(const struct auto_report *report, const char *vm, const char *what, const struct error *error)
{
    if (error->code)
        complain_error(error);
    else
        printf("%s: %s\n", vm, what);
    fflush(stdout);
}

static const struct auto_report to_terminal = {one};

/* What failed has been said. */
static int ended(struct store *store, int e)
{
    store_close(store);
    return e ? STATUS_FAILED : STATUS_OK;
}

static int start(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    return store ? ended(store, auto_start(store, &to_terminal, &error)) : status;
}

const struct verb verb_autostart = {
    .name = "autostart",
    .summary = "Starts the VMs that start with the host",
    .usage = "",
    .about =
        "Starts the VMs whose setting *auto-start* is *start*, and those with *if-running* that ran when the host "
        "stopped, each after its *start-delay*. "
        "The unit nestbox-vms.service calls it when the host starts; without systemd, whatever starts programs may.",
    .run = start,
};

static int stop(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    verb_defaults(verb, &o);
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    return store ? ended(store, auto_stop(store, (u32)(o.timeout_ms / 1000), &to_terminal, &error)) : status;
}

const struct verb verb_autostop = {
    .name = "autostop",
    .summary = "Stops all VMs as they stop with the host",
    .usage = "[--timeout SECONDS]",
    .options = {{stop_rows}},
    .about = "Saves, shuts down or turns off all VMs that run, at the same time, each by its setting *auto-stop*. "
             "One that cannot be saved is shut down, and one that does not shut down within the time is turned off.",
    .run = stop,
};
