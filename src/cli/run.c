/*
 * nestbox run: a VM in the foreground.
 */
#include "cli/verb.h"
#include "vmproc/vm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

struct run_options {
    const char *kernel, *append, *cpu, *serial, *trace;
    struct option_list initrd;
    u64 memory, cpus, timeout_ms;
    int nested, accel;
    bool no_reboot, debug_exit, stats, help;
};

static const char *const nested_names[] = {[NESTED_OFF] = "off", [NESTED_INTEL] = "intel", [NESTED_AMD] = "amd", NULL};
static const char *const accel_names[] = {"auto", "engine", "kvm", NULL};

#define AT(field) offsetof(struct run_options, field)

static const struct option options[] = {
    {"kernel", OPTION_STRING, AT(kernel), "FILE", "what to start: Linux bzImage, multiboot 1, PVH ELF; may be gzipped"},
    {"initrd", OPTION_LIST, AT(initrd), "FILE", "initrd or module; may be repeated; \"FILE ARGS\" for a module"},
    {"append", OPTION_STRING, AT(append), "STR", "the kernel's command line"},
    {"memory", OPTION_SIZE, AT(memory), "SIZE", "guest memory, with K, M, G or T (default 1G)", .min = 2ull << 20,
     .max = 4ull << 40},
    {"cpus", OPTION_NUMBER, AT(cpus), "N", "number of CPUs, 1 to 256 (default 1)", .min = 1, .max = 256},
    {"nested", OPTION_CHOICE, AT(nested), "KIND", "virtualization for the guest: intel, amd or off (default off)",
     .choices = nested_names},
    {"accel", OPTION_CHOICE, AT(accel), "NAME", "what runs the CPUs: auto, engine or kvm (default auto)",
     .choices = accel_names},
    {"cpu", OPTION_STRING, AT(cpu), "MODEL,+F,-F", "CPU model, with features added or taken away"},
    {"serial", OPTION_STRING, AT(serial), "WHERE", "first serial port: stdio, FILE or unix:PATH (default stdio)"},
    {"no-reboot", OPTION_FLAG, AT(no_reboot), NULL, "end when the guest resets or has a triple fault"},
    {"debug-exit", OPTION_FLAG, AT(debug_exit), NULL, "debug-exit port 0xf4 and the PC test device"},
    {"timeout", OPTION_SECONDS, AT(timeout_ms), "SECONDS", "end the guest after that time", .min = 1,
     .max = 1000ull * 1000 * 1000 * 1000},
    {"trace", OPTION_STRING, AT(trace), "LIST", "tell on standard error: entry (failed VM entries and why)"},
    {"stats", OPTION_FLAG, AT(stats), NULL, "print counters at the end"},
    {"help", OPTION_HELP, AT(help), NULL, "this help"},
    {0},
};

static const char notes[] = "With the serial port on the terminal: Ctrl-a x ends the VM, Ctrl-a h helps,\n"
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
    complain("--memory: the host has %llu MiB of memory and swap, less than the %llu MiB asked for",
             (unsigned long long)total >> 20, (unsigned long long)memory >> 20);
    return false;
}

static int run(const struct verb *verb, int argc, char **argv)
{
    struct run_options o = {.memory = 1ull << 30, .cpus = 1, .serial = "stdio"};
    int status;
    if (verb_options(verb, argc, argv, &o, &status))
        return status;
    if (!o.kernel || !*o.kernel) {
        complain("no kernel given: use --kernel FILE (see nestbox run --help)");
        return STATUS_USAGE;
    }
    if (!fits_host(o.memory))
        return STATUS_USAGE;
    struct vm_config config = {
        .kernel = o.kernel,
        .initrd = o.initrd.item,
        .initrds = o.initrd.count,
        .append = o.append,
        .memory = (o.memory + PAGE_MASK) & ~PAGE_MASK,
        .vcpus = (u32)o.cpus,
        .nested = (enum accel_nested)o.nested,
        .accel = accel_names[o.accel],
        .cpu = o.cpu,
        .serial = o.serial,
        .trace = o.trace,
        .no_reboot = o.no_reboot,
        .debug_exit = o.debug_exit,
        .stats = o.stats,
        .timeout_ms = o.timeout_ms,
    };
    struct vm_end *end = malloc(sizeof(*end));
    if (!end) {
        complain("out of memory");
        return STATUS_FAILED;
    }
    vm_run(&config, end);
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
    .options = options,
    .notes = notes,
    .run = run,
};
