/*
 * VMCALL and VMMCALL of L1 outside nested operation (VMXON, EFER.SVME), where a processor raises #UD. Test programs
 * written on KVM use them without a look at CPUID, so with vm.hypercalls (--debug-exit) they do what KVM's do for a
 * guest: one call exists, which sends IPIs; any other is answered as unknown. Each vendor's processor has its own
 * instruction only. Source: Linux, Documentation/virt/kvm/x86/hypercalls.rst.
 */
#include "cpu/insn/hypercall.h"

#include "cpu/event/lapic.h"
#include "cpu/mmu/segment.h"

#define HYPERCALL_SEND_IPI 10
#define ERROR_PERMISSION (-1ll)
#define ERROR_INVALID (-22ll)
#define ERROR_UNKNOWN (-1000ll)

#define ICR_NOT_BY_ID (ICR_SHORTHAND_MASK | ICR_LOGICAL)

/* RBX, RCX: bits of the destinations; RDX: the APIC ID of the first; RSI: the ICR's low half. How many took it. */
static s64 send_ipi(struct vcpu *v, bool wide)
{
    u32 icr = (u32)v->gpr[RSI], first = (u32)v->gpr[RDX], half = wide ? 64 : 32;
    if (icr & ICR_NOT_BY_ID)
        return ERROR_INVALID;
    s64 taken = 0;
    for (u32 i = 0; i < 2 * half; i++) {
        u64 bits = v->gpr[i < half ? RBX : RCX];
        struct apic_message m = {.dest = first + i, .x2apic_dest = true, .mode = APIC_MODE(icr), .vector = (u8)icr};
        if (bits >> (i % half) & 1 && first < v->vm->vcpu_count && apic_deliver(v->vm, &m) >= 0)
            taken++;
    }
    return taken;
}

enum outcome hypercall(struct vcpu *v, enum vendor vendor)
{
    bool wide = in_64bit(v);
    u64 number = wide ? v->gpr[RAX] : (u32)v->gpr[RAX];
    s64 result = ERROR_UNKNOWN;
    if (!v->vm->hypercalls || v->vm->vendor != vendor)
        return raise_ud(v);
    if (v->cpl)
        result = ERROR_PERMISSION;
    else if (number == HYPERCALL_SEND_IPI)
        result = send_ipi(v, wide);
    v->gpr[RAX] = wide ? (u64)result : (u32)result;
    return CPU_OK;
}
