/*
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT. They load flat code and stack segments without reading a descriptor.
 *
 * Intel has SYSCALL and SYSRET in 64-bit mode only; AMD has them in all of protected mode, and SYSENTER and SYSEXIT
 * outside long mode only. Intel checks RCX of SYSRET before it leaves ring 0, AMD lets the fetch fault in ring
 * 3.
 *
 * Source: SDM vol. 2 "SYSCALL", "SYSRET", "SYSENTER", "SYSEXIT"; APM vol. 3 the same.
 */
#include "cpu/insn/syscall.h"

#include "cpu/core/stats.h"
#include "cpu/event/frame.h"
#include "cpu/insn/ops.h"

/* The selectors in these MSRs are taken as if their RPL were 0. */
static u16 selector(u64 value)
{
    return (u16)value & (u16)~SEL_RPL;
}

static void flat_code(struct vcpu *v, u16 sel, u32 cpl, bool wide)
{
    v->seg[SEG_CS] = (struct segment){.limit = ~0u, .sel = sel, .attr = SYSCALL_CODE(cpl) | (wide ? SEG_L : SEG_DB)};
}

static void flat_stack(struct vcpu *v, u16 sel, u32 cpl)
{
    v->seg[SEG_SS] = (struct segment){.limit = ~0u, .sel = sel, .attr = SYSCALL_STACK(cpl)};
}

/* SYSCALL and SYSRET to their CPL. They are brief from then on, unless the user code is executed elsewhere:
 * jit/brief_syscall.c. */
static void cross(struct vcpu *v, u32 cpl)
{
    struct tlb *from = v->tlb;
    cpl_set(v, cpl);
    mmu_beside(v, from);
}

/* The single-step trap of SYSCALL and SYSRET goes by the new TF (a kernel keeps it away by SFMASK): it comes before the
 * next instruction if TF is set now, and not if TF was. */
static void step_by_new_flags(struct vcpu *v)
{
    v->step_trap = false;
    if (v->flags & FLAG_TF) {
        v->trap_pending = true;
        v->trap_dr6 |= DR6_BS;
    }
}

enum outcome op_syscall(struct vcpu *v, const struct insn *in)
{
    bool intel = v->vm->vendor == VENDOR_INTEL;
    if (!(v->efer & EFER_SCE) || (intel && !in_64bit(v)) || !in_protected(v))
        return raise_ud(v);
    u16 cs = selector(v->star >> 32);
    u64 flags = rflags_get(v);
    v->stat[STAT_SYSCALL]++;
    if (in_long_mode(v)) {
        v->gpr[R11] = intel ? flags : flags & ~FLAG_RF;
        v->gpr[RCX] = v->next_rip;
        v->next_rip = in_64bit(v) ? v->lstar : v->cstar;
        flags &= ~(v->sfmask | FLAG_RF | FLAG_VM);
    } else {
        v->gpr[RCX] = (u32)v->next_rip;
        v->next_rip = (u32)v->star;
        flags &= ~(FLAG_IF | FLAG_RF | FLAG_VM);
    }
    flat_code(v, cs, 0, in_long_mode(v));
    flat_stack(v, (u16)(cs + 8), 0);
    rflags_store(v, flags);
    step_by_new_flags(v);
    cross(v, 0);
    return CPU_OK;
}

enum outcome op_sysret(struct vcpu *v, const struct insn *in)
{
    bool intel = v->vm->vendor == VENDOR_INTEL;
    bool wide = in->osz == 8;
    if (!(v->efer & EFER_SCE) || (intel && !in_64bit(v)))
        return raise_ud(v);
    if (!in_protected(v) || v->cpl != 0)
        return raise_gp(v, 0);
    u64 ip = wide ? v->gpr[RCX] : (u32)v->gpr[RCX];
    if (wide && intel && !is_canonical(v, ip))
        return raise_gp(v, 0);
    u16 base = (u16)(v->star >> 48);
    flat_code(v, (u16)((wide ? base + 16 : base) | 3), 3, wide);
    if (intel)
        flat_stack(v, (u16)((base + 8) | 3), 3);
    else
        v->seg[SEG_SS].sel = (u16)(base + 8); /* APM "SYSRET": with STAR's own RPL; base, limit and attributes stay */
    if (in_long_mode(v))
        rflags_store(v, v->gpr[R11] & FLAGS_DEFINED & ~(FLAG_RF | FLAG_VM));
    else
        rflags_store(v, rflags_get(v) | FLAG_IF);
    step_by_new_flags(v);
    v->next_rip = ip;
    cross(v, 3);
    return CPU_OK;
}

enum outcome op_sysenter(struct vcpu *v, const struct insn *in)
{
    bool wide = in_long_mode(v);
    if (wide && v->vm->vendor == VENDOR_AMD)
        return raise_ud(v);
    u16 cs = selector(v->sysenter_cs);
    if (!in_protected(v) || !cs)
        return raise_gp(v, 0);
    v->gpr[RSP] = wide ? v->sysenter_esp : (u32)v->sysenter_esp;
    v->next_rip = wide ? v->sysenter_eip : (u32)v->sysenter_eip;
    flat_code(v, cs, 0, wide);
    flat_stack(v, (u16)(cs + 8), 0);
    rflags_store(v, rflags_get(v) & ~(FLAG_VM | FLAG_IF));
    cpl_set(v, 0);
    return CPU_OK;
}

enum outcome op_sysexit(struct vcpu *v, const struct insn *in)
{
    bool wide = in->osz == 8;
    if (in_long_mode(v) && v->vm->vendor == VENDOR_AMD)
        return raise_ud(v);
    u16 base = selector(v->sysenter_cs);
    if (!in_protected(v) || v->cpl != 0 || !base)
        return raise_gp(v, 0);
    u64 ip = v->gpr[RDX], sp = v->gpr[RCX];
    if (wide && (!is_canonical(v, ip) || !is_canonical(v, sp)))
        return raise_gp(v, 0);
    u16 cs = (u16)((base + (wide ? 32 : 16)) | 3);
    flat_code(v, cs, 3, wide);
    flat_stack(v, (u16)(cs + 8), 3);
    v->gpr[RSP] = wide ? sp : (u32)sp;
    v->next_rip = wide ? ip : (u32)ip;
    cpl_set(v, 3);
    return CPU_OK;
}
