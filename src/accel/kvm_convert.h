/*
 * KVM's structs from a vCPU's state and back: pure functions, for whoever calls KVM's ioctls and whoever answers them.
 * `to` fills the whole struct, `from` the registers of the state that the struct has. Source: Linux,
 * Documentation/virt/kvm/api.rst.
 */
#ifndef ACCEL_KVM_CONVERT_H
#define ACCEL_KVM_CONVERT_H

#include "cpu/core/state.h"

#include <linux/kvm.h>

/* STATE_GPRS */
void regs_to_kvm(const struct cpu_state *s, struct kvm_regs *k);
void regs_from_kvm(const struct kvm_regs *k, struct cpu_state *s);

/* STATE_SEGMENTS and STATE_CONTROL. The older struct has no PDPTEs; its bitmap of interrupts is empty. */
void sregs_to_kvm(const struct cpu_state *s, struct kvm_sregs2 *k);
void sregs_from_kvm(const struct kvm_sregs2 *k, struct cpu_state *s);
void sregs_to_old(const struct kvm_sregs2 *k, struct kvm_sregs *old);
void sregs_from_old(const struct kvm_sregs *old, struct kvm_sregs2 *k);

/* STATE_DEBUG */
void debugregs_to_kvm(const struct cpu_state *s, struct kvm_debugregs *k);
void debugregs_from_kvm(const struct kvm_debugregs *k, struct cpu_state *s);

/* STATE_EVENTS. `payloads`: KVM_CAP_EXCEPTION_PAYLOAD is enabled. KVM has one pending exception: a debug trap is a #DB.
 */
void events_to_kvm(const struct cpu_events *e, bool payloads, struct kvm_vcpu_events *k);
void events_from_kvm(const struct kvm_vcpu_events *k, struct cpu_events *e);

/* STATE_ACTIVITY; KVM_MP_STATE_SIPI_RECEIVED is sipi_pending, any other wait for SIPI is KVM_MP_STATE_INIT_RECEIVED. */
u32 mp_state_to_kvm(const struct cpu_state *s);
void mp_state_from_kvm(u32 mp_state, struct cpu_state *s);

/* The page of STATE_APIC. `wide_id`: the VM asked KVM for IDs of 32 bits in x2APIC mode. */
void lapic_to_kvm(const struct cpu_state *s, bool wide_id, struct kvm_lapic_state *k);
void lapic_from_kvm(const struct kvm_lapic_state *k, bool wide_id, struct cpu_state *s);

/* STATE_NESTED. The struct has room for both formats' data. What only the engine has lies in the header behind what KVM
 * defines, and is all zero for a state that KVM gave. */
struct kvm_nested_image {
    struct kvm_nested_state head;
    u8 data[2 * STATE_VMCS_SIZE];
};
void nested_to_kvm(const struct cpu_nested *n, struct kvm_nested_image *k);
/* False: a format or flag that cpu_nested cannot express. */
bool MUST_CHECK nested_from_kvm(const struct kvm_nested_image *k, struct cpu_nested *n);

#endif
