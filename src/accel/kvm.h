/*
 * What the files of the /dev/kvm accelerator share: kvm.c (VM, memory, interrupts, the run loop),
 * kvm_ram.c (slots), kvm_cpuid.c (CPUID), kvm_state.c (registers at boot and as text), probe.c (is
 * this KVM usable at all).
 */
#ifndef ACCEL_KVM_H
#define ACCEL_KVM_H

#include "accel/accel.h"
#include "ram/ram.h"

#include <linux/kvm.h>
#include <signal.h>
#include <sys/types.h>

#define KVM_VCPUS 256
#define KVM_CPUID_ENTRIES 256
#define KVM_EXIT_REASONS 48
/* Takes a thread out of KVM_RUN; its handler does nothing. */
#define KVM_KICK_SIGNAL ACCEL_SIGNAL_KICK

struct kvm_vcpu {
    int fd;
    struct kvm_run *run;
    pid_t tid;
    bool running; /* [a] thread `tid` is in accel_ops.run */
    u64 exits[KVM_EXIT_REASONS];
    u64 interrupted; /* KVM_RUN returned for a signal */
    struct error error;
};

struct accel_vm {
    const struct run_settings *settings;
    struct machine machine;
    int kvm_fd, vm_fd;
    size_t run_size;
    struct kvm_vcpu vcpu[KVM_VCPUS];
    struct kvm_cpuid2 *cpuid; /* what KVM supports, shaped by the configuration */
    bool stop;                /* [a] sticky, see accel_ops.stop */
    bool payloads;            /* KVM_CAP_EXCEPTION_PAYLOAD is enabled */
    bool used;                /* [a] the kernel's VM is no longer as it was made */
};

extern const char kvm_use_engine[]; /* a hint */

/* Opens /dev/kvm: a descriptor, or -errno. */
int kvm_open(struct error *error);
/* What KVM_CHECK_EXTENSION gives. */
int kvm_has(const struct accel_vm *vm, int capability);
/* KVM_GET_SUPPORTED_CPUID, to be freed; NULL without memory. */
struct kvm_cpuid2 *kvm_supported_cpuid(int kvm_fd);
struct kvm_cpuid_entry2 *kvm_cpuid_find(struct kvm_cpuid2 *c, u32 leaf, u32 sub);
/* Whether KVM gives guests VT-x or AMD-V. */
bool kvm_nests(struct kvm_cpuid2 *supported, enum nesting nested);
void kvm_kick_prepare(void);

/* For ram_attach; opaque is the struct accel_vm. (kvm_ram.c) */
extern const struct ram_ops kvm_ram_ops;

/* Shapes what KVM supports by the configuration. 0 or -errno. */
int MUST_CHECK kvm_cpuid_configure(struct accel_vm *vm, struct error *error);
/* Gives vCPU `index` its CPUID, APIC and topology IDs filled in. 0 or -errno. */
int MUST_CHECK kvm_cpuid_set(struct accel_vm *vm, u32 index);

/* What firmware leaves in MSRs. */
void kvm_firmware_msrs(struct accel_vm *vm, u32 index);
/* accel_ops.state_get and state_set. */
u64 kvm_state_get(struct accel_vm *vm, u32 index, struct cpu_state *state, u64 wanted);
int kvm_state_set(struct accel_vm *vm, u32 index, const struct cpu_state *state, u64 given, u64 *committed,
                  const char **bad);

#endif
