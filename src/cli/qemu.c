/*
 * nestbox qemu: nestbox kvm with QEMU, whose command line is completed. The wrapper nestbox-qemu is for libvirt.
 */
#include "cli/kvm.h"
#include "cli/qemu_args.h"

#define PROGRAM "qemu-system-x86_64"

static const char notes[] =
    "Our options come first; what begins with one dash, and all behind it, is QEMU's. -accel kvm\n"
    "and -cpu host are added where no other is named, and the CPU's vendor with --nested.\n"
    "Exit status: QEMU's; otherwise as with nestbox kvm.\n";

static int run(const struct verb *verb, int argc, char **argv)
{
    struct kvm_start start;
    int status;
    if (kvm_choose(verb, argc, argv, &start, &status))
        return status;
    char **args = qemu_args(PROGRAM, start.rest,
                            !start.other_vendor ? NULL
                            : start.amd         ? "amd"
                                                : "intel",
                            start.settings.accel == ACCEL_ENGINE);
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
    .options = kvm_settings_table,
    .notes = notes,
    .run = run,
};
