/*
 * What the library reads from the environment, once, when /dev/kvm is opened first. `nestbox kvm` sets it.
 *
 *   NESTBOX_KVM=0               serve nothing: everything is passed on untouched. libvirt gives its QEMU the variable
 *                               LD_PRELOAD and none of these, so without any /dev/kvm is served.
 *   NESTBOX_KVM_NESTED=V        intel, amd or off: whose CPU and extensions the guest gets (default: the host's vendor,
 *                               and its extensions)
 *   NESTBOX_KVM_CPU=MODEL,±F    what KVM_GET_SUPPORTED_CPUID offers at most (default: max)
 *   NESTBOX_KVM_DIRECT=WHEN     off, auto or on: user code that the host's CPU executes (docs/direct.md)
 *   NESTBOX_KVM_TRACE=LIST      of entry, exits, ioctl, unknown, run; separated by commas
 *   NESTBOX_KVM_TRACE_FILE=FILE where lines go, instead of standard error
 *   NESTBOX_KVM_STATS=FILE      counters are written there when a VM ends
 *   NESTBOX_KVM_PERF_MAP=1      names of translated code are written for perf when a VM ends
 *   NESTBOX_KVM_SYMBOLS=FILE    with the names of the functions of L1's kernel
 */
#ifndef KVMAPI_SETTINGS_H
#define KVMAPI_SETTINGS_H

#include "base/error.h"
#include "cpu/cpu.h"
#include "rules/run_settings.h"

struct api_settings {
    bool serve;
    bool nested;
    bool amd;        /* the vendor */
    const char *cpu; /* NULL: max */
    enum cpu_direct direct;
    u32 trace; /* TRACE_*, API_TRACE_* */
    const char *trace_file, *stats_file;
    const char *symbols; /* NULL: none */
    bool perf_map;
    struct error error; /* of a value that is wrong: code, text */
};

const struct api_settings *api_settings(void);

#endif
