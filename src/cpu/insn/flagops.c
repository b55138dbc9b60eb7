/*
 * Instructions on flags that translated code does not hold: IF with VME and PVI, AC, DF, and PUSHF and POPF.
 *
 * Source: SDM vol. 2 "CLI", "STI", "POPF/POPFD/POPFQ", "PUSHF/PUSHFD/PUSHFQ", "CLAC", "STAC"; vol. 3A "Virtual-8086
 * Mode": "Method 6", "Protected-Mode Virtual Interrupts".
 */
#include "cpu/core/nested.h"
#include "cpu/event/frame.h"
#include "cpu/insn/ops.h"

/* CLI and STI: may this code change IF (1), or VIF in its place (0)? Else #GP(0). */
static enum outcome if_owner(struct vcpu *v, bool *real)
{
    *real = !in_protected(v) || v->cpl <= iopl(v);
    if (*real)
        return CPU_OK;
    if (in_v86(v) ? v->cr4 & CR4_VME : v->cpl == 3 && v->cr4 & CR4_PVI)
        return CPU_OK;
    return raise_gp(v, 0);
}

enum outcome op_cli(struct vcpu *v, const struct insn *in)
{
    bool real;
    TRY(if_owner(v, &real));
    v->flags &= real ? ~FLAG_IF : ~FLAG_VIF;
    return CPU_OK;
}

enum outcome op_sti(struct vcpu *v, const struct insn *in)
{
    bool real;
    TRY(if_owner(v, &real));
    if (!real) {
        if (v->flags & FLAG_VIP)
            return raise_gp(v, 0);
        v->flags |= FLAG_VIF;
        return CPU_OK;
    }
    if (v->flags & FLAG_IF)
        return CPU_OK;
    v->flags |= FLAG_IF;
    /* With nothing pending the shadow is just that the next instruction follows; L1 would see it in an exit of L2. */
    if (!v->request && !v->intr_masked && !v->in_guest && !(v->mode & MODE_STEP) && !in->last)
        return CPU_NEXT;
    v->shadow = SHADOW_STI;
    event_recheck(v);
    mode_update(v);
    return CPU_OK;
}

static enum outcome ac_change(struct vcpu *v, bool set)
{
    if (v->cpl != 0)
        return raise_ud(v);
    v->flags = set ? v->flags | FLAG_AC : v->flags & ~FLAG_AC;
    struct tlb *from = v->tlb;
    mmu_select(v);
    mmu_beside(v, from);
    return CPU_OK;
}

enum outcome op_clac(struct vcpu *v, const struct insn *in)
{
    return ac_change(v, false);
}

enum outcome op_stac(struct vcpu *v, const struct insn *in)
{
    return ac_change(v, true);
}

enum outcome op_cld(struct vcpu *v, const struct insn *in)
{
    v->flags &= ~FLAG_DF;
    return CPU_OK;
}

enum outcome op_std(struct vcpu *v, const struct insn *in)
{
    v->flags |= FLAG_DF;
    return CPU_OK;
}

/* Virtual-8086 mode with IOPL below 3: only the 16-bit forms, and only with VME. */
static enum outcome v86_check(struct vcpu *v, unsigned size, bool *vme)
{
    *vme = in_v86(v) && iopl(v) < 3;
    return *vme && (!(v->cr4 & CR4_VME) || size != 2) ? raise_gp(v, 0) : CPU_OK;
}

enum outcome op_pushf(struct vcpu *v, const struct insn *in)
{
    bool vme;
    u64 image = rflags_get(v) & ~(FLAG_VM | FLAG_RF);
    TRY(nested_check(v, IC_PUSHF, 0, 0));
    TRY(v86_check(v, in->osz, &vme));
    if (vme) {
        image = (image & ~FLAG_IF) | FLAG_IOPL;
        if (image & FLAG_VIF)
            image |= FLAG_IF;
    }
    return stack_push(v, image, in->osz);
}

enum outcome op_popf(struct vcpu *v, const struct insn *in)
{
    bool vme;
    u64 image;
    u64 flags = rflags_get(v);
    u64 mask = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_AC | FLAG_ID;
    TRY(nested_check(v, IC_POPF, 0, 0));
    TRY(v86_check(v, in->osz, &vme));
    TRY(stack_peek(v, 0, in->osz, 1, &image));
    if (vme) {
        if (image & FLAG_TF || (image & FLAG_IF && flags & FLAG_VIP))
            return raise_gp(v, 0);
        flags = image & FLAG_IF ? flags | FLAG_VIF : flags & ~FLAG_VIF;
    } else {
        if (v->cpl <= iopl(v))
            mask |= FLAG_IF;
        if (v->cpl == 0)
            mask |= FLAG_IOPL;
    }
    mask = mask_size(mask, in->osz);
    stack_release(v, in->osz);
    rflags_set(v, ((flags & ~mask) | (image & mask)) & ~FLAG_RF);
    return CPU_OK;
}
