/*
 * VMCALL and VMMCALL of L1. On a VM that stands for one of KVM's (vm.paravirt), or has Hyper-V's interface, they are
 * hypercalls, with either vendor's instruction and in VMX operation too, as programs expect it there. Otherwise only
 * outside nested operation (VMXON, EFER.SVME), where a processor raises #UD, and with the vendor's own instruction: if
 * CPUID shows KVM's clock, whose drivers may call, or for test programs that use them without a look at CPUID
 * (--debug-exit).
 * Source: Linux, Documentation/virt/kvm/x86/hypercalls.rst.
 */
#include "cpu/insn/hypercall.h"

#include "cpu/core/world.h"
#include "cpu/event/lapic.h"
#include "cpu/insn/hyperv.h"
#include "cpu/insn/paravirt.h"
#include "cpu/mmu/mmu.h"
#include "cpu/mmu/segment.h"

#define ICR_NOT_BY_ID (ICR_SHORTHAND_MASK | ICR_LOGICAL)

struct call {
    u64 number, arg[4]; /* RBX, RCX, RDX, RSI */
    bool wide;          /* of 64-bit code */
};

/* Bits of the destinations; the APIC ID of the first; the ICR's low half. How many took it. */
static s64 send_ipi(struct vcpu *v, const struct call *c)
{
    u32 icr = (u32)c->arg[3], first = (u32)c->arg[2], half = c->wide ? 64 : 32;
    if (icr & ICR_NOT_BY_ID)
        return KVM_CALL_ERROR_INVALID;
    s64 taken = 0;
    for (u32 i = 0; i < 2 * half; i++) {
        struct apic_message m = {.dest = first + i, .x2apic_dest = true, .mode = APIC_MODE(icr), .vector = (u8)icr};
        if (c->arg[i / half] >> (i % half) & 1 && first < v->vm->vcpu_count && apic_deliver(v->vm, &m) >= 0)
            taken++;
    }
    return taken;
}

/* The vCPU with that APIC ID waits for a lock in HLT, or is about to. */
static s64 kick(struct vcpu *v, u32 apic_id)
{
    for (u32 i = 0; i < v->vm->vcpu_count; i++) {
        struct vcpu *other = v->vm->vcpu[i];
        if (other->apic_id != apic_id)
            continue;
        __atomic_store_n(&other->pv.kicked, true, __ATOMIC_SEQ_CST);
        request_set(other, REQ_EVENT);
    }
    return 0;
}

static s64 clock_pairing(struct vcpu *v, gpa_t at, u64 kind)
{
    if (kind || !paravirt_clock_stable(v->vm))
        return KVM_CALL_ERROR_NO_SUPPORT;
    u64 ns = world_wall_ns(v);
    struct kvm_para_pairing p = {
        .seconds = (s64)(ns / 1000000000u), .ns = (s64)(ns % 1000000000u), .tsc = tsc_read_l1(v)};
    if (!vcpu_ram(v, at) || !vcpu_ram(v, GPA(at.a + sizeof(p) - 1)))
        return KVM_CALL_ERROR_FAULT;
    phys_write(v, at, &p, sizeof(p));
    return 0;
}

/* What the owner of the VM has to do: RAX gets its answer when it goes on. */
static enum outcome leave(struct vcpu *v, const struct call *c)
{
    struct cpu_exit_hypercall *h = &v->exit_hypercall;
    h->number = c->number;
    h->wide = c->wide;
    for (unsigned i = 0; i < 6; i++)
        h->arg[i] = i < ARRAY_LEN(c->arg) ? c->arg[i] : 0;
    v->rip = v->next_rip;
    v->exit = CPU_EXIT_HYPERCALL;
    return CPU_EXIT;
}

static enum outcome map_gpa_range(struct vcpu *v, const struct call *c, s64 *result)
{
    u64 pages = c->arg[1], first = c->arg[0] >> PAGE_SHIFT;
    if (!(v->vm->hypercall_exits >> KVM_CALL_MAP_GPA_RANGE & 1))
        return CPU_OK;
    *result = KVM_CALL_ERROR_INVALID;
    if (c->arg[0] & PAGE_MASK || !pages || first + pages <= first)
        return CPU_OK;
    return leave(v, c);
}

/* *result is that of an unknown hypercall. */
static enum outcome perform(struct vcpu *v, const struct call *c, s64 *result)
{
    switch (c->number) {
    case KVM_CALL_VAPIC_POLL: *result = 0; break;
    case KVM_CALL_KICK:
        if (paravirt_has(v, KVM_PARA_UNHALT))
            *result = kick(v, (u32)c->arg[1]);
        break;
    case KVM_CALL_CLOCK_PAIRING: *result = clock_pairing(v, GPA(c->arg[0]), c->arg[1]); break;
    case KVM_CALL_SEND_IPI:
        if (paravirt_has(v, KVM_PARA_SEND_IPI) || v->vm->hypercalls)
            *result = send_ipi(v, c);
        break;
    case KVM_CALL_YIELD:
        if (paravirt_has(v, KVM_PARA_SCHED_YIELD)) {
            world_yield(v);
            *result = 0;
        }
        break;
    case KVM_CALL_MAP_GPA_RANGE: return map_gpa_range(v, c, result);
    default: break;
    }
    return CPU_OK;
}

static enum outcome call(struct vcpu *v)
{
    bool wide = in_64bit(v);
    u64 mask = wide ? ~0ull : 0xffffffff;
    const struct call c = {.number = v->gpr[RAX] & mask,
                           .arg = {v->gpr[RBX] & mask, v->gpr[RCX] & mask, v->gpr[RDX] & mask, v->gpr[RSI] & mask},
                           .wide = wide};
    s64 result = KVM_CALL_ERROR_UNKNOWN;
    if (v->cpl)
        result = KVM_CALL_ERROR_PERMISSION;
    else
        TRY(perform(v, &c, &result));
    v->gpr[RAX] = (u64)result & mask;
    return CPU_OK;
}

/* Puts the instruction of this CPU in the place of the other vendor's, if the guest itself could write there. */
static void replace(struct vcpu *v)
{
    static const u8 vmcall[3] = {0x0f, 0x01, 0xc1}, vmmcall[3] = {0x0f, 0x01, 0xd9};
    u64 la = in_64bit(v) ? v->rip : (u32)(v->rip + v->seg[SEG_CS].base);
    if (mem_write(v, la, v->vm->vendor == VENDOR_AMD ? vmmcall : vmcall, sizeof(vmcall), ACCESS_WRITE) != CPU_OK)
        v->fault.valid = false;
}

enum outcome hypercall(struct vcpu *v, enum vendor vendor)
{
    bool other = v->vm->vendor != vendor, own = (v->vm->hypercalls || v->pv.shown) && !other;
    if (!own && !hypercall_offered(v))
        return raise_ud(v);
    if (v->vm->paravirt && other) {
        if (!vm_quirk(v->vm, CPU_QUIRK_HYPERCALL))
            return raise_ud(v);
        if (!v->in_guest)
            replace(v);
    }
    return hyperv_calls(v) ? hyperv_call(v) : call(v);
}

void hypercall_finish(struct vcpu *v, u64 result)
{
    v->gpr[RAX] = v->exit_hypercall.wide ? result : (u32)result;
}
