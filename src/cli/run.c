/*
 * nestbox run: a VM in the foreground.
 */
#include "cli/verb.h"
#include "machine/pc.h"
#include "rules/run_settings.h"
#include "vmproc/vm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

static const char notes[] =
    "An option that is given twice counts as it is given last; those that may be repeated add up.\n"
    "\n"
    "With the serial port on the terminal: Ctrl-a x ends the VM, Ctrl-a h shows our other keys,\n"
    "Ctrl-a Ctrl-a sends Ctrl-a.\n"
    "\n"
    "Exit status: 0 the guest powered off; 2 wrong command line; 4 the VM could not be\n"
    "created or run; 6 triple fault, with --no-reboot or three times in a row; 8 --timeout;\n"
    "10 the guest asked for a reset, with --no-reboot; 12 Ctrl-a x; 128 + N ended by signal\n"
    "N; with --debug-exit (V << 1) | 1 after the guest wrote V to port 0xf4.\n";

static int end_status(const struct vm_end *end)
{
    switch (end->kind) {
    case VM_END_POWER_OFF: return STATUS_OK;
    case VM_END_DEBUG_EXIT: return (int)((end->code << 1 | 1) & 0xff);
    case VM_END_RESET: return STATUS_GUEST_RESET;
    case VM_END_TRIPLE_FAULT: return STATUS_GUEST_FAILED;
    case VM_END_TIMEOUT: return STATUS_TIMEOUT;
    case VM_END_USER: return STATUS_ENDED_BY_USER;
    case VM_END_SIGNAL: return STATUS_SIGNAL + (int)end->code;
    case VM_END_FAILED: break;
    }
    return STATUS_FAILED;
}

static bool fits_host(u64 memory)
{
    struct sysinfo host;
    if (sysinfo(&host) < 0)
        return true;
    u64 total = ((u64)host.totalram + host.totalswap) * host.mem_unit;
    if (memory <= total)
        return true;
    struct error error;
    error_set(&error, -ENOMEM,
              SETTING("memory") ": the host has %llu MiB of memory and swap, less than the %llu MiB asked for",
              (unsigned long long)total >> 20, (unsigned long long)memory >> 20);
    complain_error(&error);
    return false;
}

static int run(const struct verb *verb, int argc, char **argv)
{
    struct run_settings settings = {0};
    int status;
    verb_defaults(verb, &settings);
    if (verb_options(verb, argc, argv, &settings, NULL, &status))
        return status;
    if (!settings.kernel || !*settings.kernel) {
        complain("no kernel given: use --kernel FILE (see nestbox run --help)");
        return STATUS_USAGE;
    }
    struct error error;
    if (run_settings_check(&settings, &error) || accel_check(&settings, &error)) {
        complain_error(&error);
        return STATUS_USAGE;
    }
    if (!fits_host(settings.memory))
        return STATUS_USAGE;
    if (settings.cpus == PC_VCPUS_MAX)
        complain("Linux uses 255 of %u CPUs: the last one needs interrupt remapping, which this machine does not have",
                 settings.cpus);
    settings.memory = (settings.memory + PAGE_MASK) & ~PAGE_MASK;
    struct vm_end *end = malloc(sizeof(*end));
    if (!end) {
        complain("out of memory");
        return STATUS_FAILED;
    }
    vm_run(&settings, NULL, end);
    status = end_status(end);
    if (end->why.text[0])
        complain_error(&end->why);
    if (end->state[0])
        fputs(end->state, stderr);
    if (end->stats[0])
        fputs(end->stats, stderr);
    free(end);
    return status;
}

const struct verb verb_run = {
    .name = "run",
    .summary = "Runs a VM in the foreground",
    .usage = "--kernel FILE [OPTION]...",
    .options = {{run_settings_table}},
    .notes = notes,
    .run = run,
};
