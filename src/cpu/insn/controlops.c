/*
 * MOV to and from control and debug registers, CLTS, LMSW and SMSW, and the instructions that manage TLBs and caches.
 *
 * Where an intercept stands among the checks differs: VMX looks at MOV to CR before the value is checked and at MOV DR
 * before privilege and CR4.DE, SVM after both.
 * Source: SDM vol. 2 of each instruction, vol. 3C "Relative Priority of Faults and VM Exits" and "Instructions That
 * Cause VM Exits Conditionally"; APM vol. 2 "Instruction Intercepts".
 */
#include "cpu/core/cpuid.h"
#include "cpu/core/nested.h"
#include "cpu/event/debug.h"
#include "cpu/event/lapic.h"
#include "cpu/insn/ops.h"
#include "cpu/mmu/cr.h"
#include "cpu/mmu/segment.h"
#include "cpu/mmu/tlb.h"
#include "x86/paging.h"

static unsigned move_size(const struct vcpu *v)
{
    return in_64bit(v) ? 8 : 4;
}

static bool cr_exists(unsigned cr)
{
    return cr == 0 || (cr >= 2 && cr <= 4) || cr == 8;
}

static bool amd(const struct vcpu *v)
{
    return v->vm->vendor == VENDOR_AMD;
}

/* The memory operand's linear address, without segment checks. */
static u64 operand_linear(const struct vcpu *v, const struct insn *in)
{
    u64 offset = insn_offset(v, in);
    if (in_64bit(v))
        return in->seg >= SEG_FS ? offset + v->seg[in->seg].base : offset;
    return (u32)(v->seg[in->seg].base + offset);
}

enum outcome op_mov_to_cr(struct vcpu *v, const struct insn *in)
{
    unsigned cr = in->reg;
    if (!cr_exists(cr))
        return raise_ud(v);
    if (v->cpl)
        return raise_gp(v, 0);
    mmu_serialise(v);
    u64 value = mask_size(v->gpr[in->rm], move_size(v));
    if (amd(v) && !cr_valid(v, cr, value))
        return raise_gp(v, 0);
    TRY(nested_check(v, IC_CR_WRITE, cr | (u64)in->rm << 8, value));
    if (cr == 8 && value >> 4)
        return raise_gp(v, 0);
    if (v->in_guest)
        value = v->nested->cr_write(v, cr, value);
    switch (cr) {
    case 0: return cr0_write(v, value);
    case 3: return cr3_write(v, value);
    case 4: return cr4_write(v, value);
    case 2: v->cr2 = value; break;
    case 8: lapic_tpr_write(v, value); break;
    }
    return CPU_OK;
}

enum outcome op_mov_from_cr(struct vcpu *v, const struct insn *in)
{
    unsigned cr = in->reg;
    if (!cr_exists(cr))
        return raise_ud(v);
    if (v->cpl)
        return raise_gp(v, 0);
    TRY(nested_check(v, IC_CR_READ, cr, in->rm));
    u64 value = cr == 0 ? v->cr0 : cr == 2 ? v->cr2 : cr == 3 ? v->cr3 : cr == 4 ? v->cr4 : lapic_tpr_read(v);
    if (v->in_guest)
        value = v->nested->cr_read(v, cr, value);
    reg_write(v, in->rm, move_size(v), true, value);
    return CPU_OK;
}

/* Everything that MOV DR checks before it moves. *dr: DR4 and DR5 resolved. The manuals do not order general detect and
 * #GP: Intel's processors take #DB first, AMD's the #GP for CPL. Only there does every fault come before the intercept,
 * and hypervisors rely on that for general detect. */
static enum outcome dr_access(struct vcpu *v, const struct insn *in, enum intercept ic, unsigned *dr)
{
    *dr = in->reg;
    if (*dr > 7)
        return raise_ud(v);
    if (!amd(v))
        TRY(nested_check(v, ic, *dr, in->rm));
    bool alias = *dr == 4 || *dr == 5;
    if (alias && v->cr4 & CR4_DE)
        return raise_ud(v);
    if (amd(v) && v->cpl)
        return raise_gp(v, 0);
    if (unlikely(v->debug.dr7 & DR7_GD))
        return debug_leave(v, EXC_DB, DR6_BD);
    if (v->dr7 & DR7_GD)
        return raise_db(v, DR6_BD);
    if (v->cpl || (ic == IC_DR_WRITE && *dr >= 4 && mask_size(v->gpr[in->rm], move_size(v)) >> 32))
        return raise_gp(v, 0);
    if (amd(v))
        TRY(nested_check(v, ic, *dr, in->rm));
    if (alias)
        *dr += 2;
    return CPU_OK;
}

enum outcome op_mov_to_dr(struct vcpu *v, const struct insn *in)
{
    unsigned dr;
    TRY(dr_access(v, in, IC_DR_WRITE, &dr));
    u64 value = mask_size(v->gpr[in->rm], move_size(v));
    if (dr == 6)
        v->dr6 = (value & DR6_WRITABLE) | DR6_FIXED;
    else if (dr == 7)
        v->dr7 = (value & ~(DR7_ZERO | DR7_RTM)) | DR7_FIXED;
    else
        v->dr[dr] = value;
    if (dr != 6)
        mode_update(v);
    return CPU_OK;
}

enum outcome op_mov_from_dr(struct vcpu *v, const struct insn *in)
{
    unsigned dr;
    TRY(dr_access(v, in, IC_DR_READ, &dr));
    reg_write(v, in->rm, move_size(v), true, dr == 6 ? v->dr6 : dr == 7 ? v->dr7 : v->dr[dr]);
    return CPU_OK;
}

static enum outcome machine_status_write(struct vcpu *v, u64 cr0)
{
    if (v->in_guest)
        cr0 = v->nested->cr_write(v, 0, cr0);
    return cr0_write(v, cr0);
}

enum outcome op_clts(struct vcpu *v, const struct insn *in)
{
    if (v->cpl)
        return raise_gp(v, 0);
    TRY(nested_check(v, IC_CLTS, 0, 0));
    return machine_status_write(v, v->cr0 & ~CR0_TS);
}

enum outcome op_lmsw(struct vcpu *v, const struct insn *in)
{
    const u64 status = CR0_PE | CR0_MP | CR0_EM | CR0_TS;
    u64 source;
    if (v->cpl)
        return raise_gp(v, 0);
    if (amd(v))
        TRY(nested_check(v, IC_LMSW, 0, LMSW_NO_MEMORY));
    TRY(rm_read(v, in, 2, &source));
    if (!amd(v))
        TRY(nested_check(v, IC_LMSW, source, in->mem ? operand_linear(v, in) : LMSW_NO_MEMORY));
    return machine_status_write(v, (v->cr0 & ~(status & ~CR0_PE)) | (source & status));
}

enum outcome op_smsw(struct vcpu *v, const struct insn *in)
{
    if (v->cpl && v->cr4 & CR4_UMIP)
        return raise_gp(v, 0);
    TRY(nested_check(v, IC_SMSW, 0, 0));
    u64 value = v->in_guest ? v->nested->cr_read(v, 0, v->cr0) : v->cr0;
    if (in->mem)
        return rm_write(v, in, 2, value);
    reg_write(v, in->rm, in->osz, true, mask_size(value, in->osz));
    return CPU_OK;
}

enum outcome op_invlpg(struct vcpu *v, const struct insn *in)
{
    if (!in->mem)
        return raise_ud(v);
    if (v->cpl)
        return raise_gp(v, 0);
    u64 la = operand_linear(v, in);
    TRY(nested_check(v, IC_INVLPG, la, 0));
    if (!in_64bit(v) || is_canonical_base(v, la))
        mmu_flush_page(v, v->mmu->space, false, v->cr4 & CR4_PCIDE ? v->cr3 & CR3_PCID_MASK : 0, la);
    return CPU_OK;
}

enum outcome op_invpcid(struct vcpu *v, const struct insn *in)
{
    u64 descriptor[2], la;
    if (!in->mem || !cpu_has(v->vm, FEATURE_INVPCID))
        return raise_ud(v);
    if (v->cpl)
        return raise_gp(v, 0);
    u64 type = mask_size(v->gpr[in->reg], move_size(v)), offset = insn_offset(v, in);
    TRY(seg_linear(v, in->seg, offset, sizeof descriptor, ACCESS_READ, &la));
    TRY(nested_check(v, IC_INVPCID, la, type));
    TRY(seg_read(v, in->seg, offset, descriptor, sizeof descriptor));
    u16 pcid = descriptor[0] & CR3_PCID_MASK;
    if (type > INVPCID_ALL_NONGLOBAL || descriptor[0] & ~CR3_PCID_MASK)
        return raise_gp(v, 0);
    if (type <= INVPCID_SINGLE && pcid && !(v->cr4 & CR4_PCIDE))
        return raise_gp(v, 0);
    if (type == INVPCID_ADDRESS && !is_canonical_base(v, descriptor[1]))
        return raise_gp(v, 0);
    if (type == INVPCID_ADDRESS)
        mmu_flush_page(v, v->mmu->space, false, pcid, descriptor[1]);
    else if (type == INVPCID_SINGLE)
        mmu_flush_pcid(v, v->mmu->space, pcid);
    else
        mmu_flush_global(v);
    return CPU_OK;
}

/* Caches are coherent here: both instructions have nothing to do but their checks. */
enum outcome op_invd(struct vcpu *v, const struct insn *in)
{
    mmu_serialise(v);
    return v->cpl ? raise_gp(v, 0) : nested_check(v, IC_INVD, 0, 0);
}

enum outcome op_wbinvd(struct vcpu *v, const struct insn *in)
{
    mmu_serialise(v);
    return v->cpl ? raise_gp(v, 0) : nested_check(v, IC_WBINVD, 0, 0);
}
