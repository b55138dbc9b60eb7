/*
 * nestbox qemu: nestbox kvm with QEMU, whose command line is completed. The wrapper nestbox-qemu is for libvirt.
 */
#include "cli/kvm.h"
#include "cli/qemu_args.h"

#include <stdio.h>
#include <string.h>

#define PROGRAM "qemu-system-x86_64"

static const char notes[] =
    "Our options come first; what begins with one dash, and all behind it, is QEMU's, as is all\n"
    "behind --. -accel kvm and -cpu host are added where no other is named, and the CPU's vendor\n"
    "with --nested. With -accel tcg, or another that is not KVM, QEMU starts as it is.\n"
    "Exit status: QEMU's; otherwise as with nestbox kvm.\n";

/* Refuses what QEMU would not know, because it is ours and stands in the wrong place. */
static bool in_order(char **rest)
{
    const char *late = qemu_args_misplaced(rest);
    if (!late)
        return true;
    complain("'%s' stands where all is QEMU's; nestbox's options come first: nestbox qemu [OPTION]... -- "
             "[QEMU'S ARGUMENT]...",
             late);
    return false;
}

static int run(const struct verb *verb, int argc, char **argv)
{
    struct kvm_start start;
    char accel[32];
    int status;
    if (kvm_options(verb, argc, argv, &start, &status))
        return status;
    if (!in_order(start.rest))
        return STATUS_USAGE;
    if (qemu_args_accel(start.rest, accel, sizeof(accel))) {
        if (kvm_choose(&start, &status))
            return status;
    } else if (strcmp(accel, "help") != 0) {
        snprintf(start.choice, sizeof(start.choice), "QEMU is to use %s: it starts as it is, without nestbox's options",
                 accel);
    }
    bool direct = start.serve && start.settings.direct != DIRECT_OFF;
    if (direct && qemu_args_no_processes(start.rest)) {
        complain("--direct needs processes, which QEMU's -sandbox spawn=deny forbids: all code is translated");
        start.settings.direct = DIRECT_OFF;
        direct = false;
    }
    char **args = qemu_args(PROGRAM, start.rest,
                            !start.other_vendor ? NULL
                            : start.amd         ? "amd"
                                                : "intel",
                            start.serve, direct);
    if (!args) {
        complain("out of memory");
        return STATUS_FAILED;
    }
    status = kvm_become(&start, args);
    qemu_args_free(args);
    return status;
}

const struct verb verb_qemu = {
    .name = "qemu",
    .summary = "Starts QEMU on the engine or the host KVM",
    .usage = "[OPTION]... [--] [QEMU'S ARGUMENT]...",
    .options = {{kvm_settings_table}},
    .notes = notes,
    .others = "QEMU's own options have one dash here, or stand behind --",
    .run = run,
};
