/*
 * Instructions on segment registers, descriptor tables and descriptors, and the FS and GS bases.
 *
 * Source: SDM vol. 2, under each instruction's name; vol. 3A "Pointer Validation"; "User-Mode Instruction Prevention"
 * (CR4.UMIP).
 */
#include "cpu/core/nested.h"
#include "cpu/event/far.h"
#include "cpu/insn/ops.h"

static bool real_or_v86(const struct vcpu *v)
{
    return !in_protected(v) || in_v86(v);
}

/* -- segment registers -- */

static void block_after_ss(struct vcpu *v, unsigned seg)
{
    if (seg != SEG_SS)
        return;
    v->shadow = SHADOW_MOVSS;
    mode_update(v);
}

enum outcome op_mov_to_sreg(struct vcpu *v, const struct insn *in)
{
    unsigned seg = in->reg & 7;
    u64 sel;
    if (seg == SEG_CS || seg > SEG_GS)
        return raise_ud(v);
    TRY(rm_read(v, in, 2, &sel));
    TRY(segment_load(v, seg, (u16)sel));
    block_after_ss(v, seg);
    return CPU_OK;
}

enum outcome op_mov_from_sreg(struct vcpu *v, const struct insn *in)
{
    unsigned seg = in->reg & 7;
    if (seg > SEG_GS)
        return raise_ud(v);
    return rm_write(v, in, in->mem ? 2 : in->osz, v->seg[seg].sel);
}

enum outcome op_push_sreg(struct vcpu *v, const struct insn *in)
{
    return stack_push(v, v->seg[in->opcode >> 3 & 7].sel, in->osz);
}

enum outcome op_pop_sreg(struct vcpu *v, const struct insn *in)
{
    unsigned seg = in->opcode >> 3 & 7;
    unsigned asize = stack_asize(v);
    u64 sel;
    TRY(stack_peek(v, 0, in->osz, 1, &sel));
    TRY(segment_load(v, seg, (u16)sel));
    reg_write(v, RSP, asize, true, mask_size(v->gpr[RSP] + in->osz, asize));
    block_after_ss(v, seg);
    return CPU_OK;
}

/* LES and LDS are C4 and C5; LSS, LFS and LGS are 0F B2, B4, B5. AMD ignores REX.W. */
enum outcome op_load_far_pointer(struct vcpu *v, const struct insn *in)
{
    unsigned seg = in->map == 1 ? in->opcode & 7 : in->opcode == 0xc4 ? SEG_ES : SEG_DS;
    unsigned size = in->osz == 8 && v->vm->vendor == VENDOR_AMD ? 4 : in->osz;
    u8 bytes[10];
    u64 offset = 0;
    if (!in->mem)
        return raise_ud(v);
    TRY(seg_read(v, in->seg, insn_offset(v, in), bytes, size + 2));
    for (unsigned i = size; i-- > 0;)
        offset = offset << 8 | bytes[i];
    TRY(segment_load(v, seg, (u16)(bytes[size] | bytes[size + 1] << 8)));
    reg_write(v, in->reg, size, true, offset);
    return CPU_OK;
}

/* -- descriptor tables -- */

static enum outcome table_load(struct vcpu *v, const struct insn *in, enum intercept ic, struct desc_table *t)
{
    bool wide = in_64bit(v);
    u8 bytes[10];
    u16 limit;
    u64 base = 0;
    if (v->cpl != 0)
        return raise_gp(v, 0);
    TRY(nested_check(v, ic, 0, 0));
    TRY(seg_read(v, in->seg, insn_offset(v, in), bytes, wide ? 10 : 6));
    __builtin_memcpy(&limit, bytes, 2);
    if (wide)
        __builtin_memcpy(&base, bytes + 2, 8);
    else
        __builtin_memcpy(&base, bytes + 2, 4);
    if (!wide && in->osz == 2)
        base &= 0xffffff;
    if (wide && !is_canonical_base(v, base))
        return raise_gp(v, 0);
    t->base = base;
    t->limit = limit;
    return CPU_OK;
}

/* UMIP keeps these from CPL 1 to 3. */
static enum outcome umip_check(struct vcpu *v)
{
    return v->cr4 & CR4_UMIP && v->cpl != 0 ? raise_gp(v, 0) : CPU_OK;
}

static enum outcome table_store(struct vcpu *v, const struct insn *in, enum intercept ic, const struct desc_table *t)
{
    u8 bytes[10];
    TRY(umip_check(v));
    TRY(nested_check(v, ic, 0, 0));
    __builtin_memcpy(bytes, &t->limit, 2);
    __builtin_memcpy(bytes + 2, &t->base, 8);
    return seg_write(v, in->seg, insn_offset(v, in), bytes, in_64bit(v) ? 10 : 6);
}

enum outcome op_lgdt(struct vcpu *v, const struct insn *in)
{
    return table_load(v, in, IC_LGDT, &v->gdtr);
}

enum outcome op_lidt(struct vcpu *v, const struct insn *in)
{
    return table_load(v, in, IC_LIDT, &v->idtr);
}

enum outcome op_sgdt(struct vcpu *v, const struct insn *in)
{
    return table_store(v, in, IC_SGDT, &v->gdtr);
}

enum outcome op_sidt(struct vcpu *v, const struct insn *in)
{
    return table_store(v, in, IC_SIDT, &v->idtr);
}

/* What LLDT and LTR share: the operand, and checks up to the descriptor's type. */
static enum outcome system_operand(struct vcpu *v, const struct insn *in, enum intercept ic, u16 *sel)
{
    u64 x;
    if (real_or_v86(v))
        return raise_ud(v);
    if (v->cpl != 0)
        return raise_gp(v, 0);
    TRY(nested_check(v, ic, 0, 0));
    TRY(rm_read(v, in, 2, &x));
    *sel = (u16)x;
    return CPU_OK;
}

static enum outcome system_descriptor(struct vcpu *v, u16 sel, struct descriptor *d, u32 type, u32 type16)
{
    u32 error = sel & ~SEL_RPL;
    if (sel & SEL_TI)
        return raise_gp(v, error);
    TRY(descriptor_read(v, sel, d, EXC_GP));
    u32 found = descriptor_type(d);
    if (found != type && (in_long_mode(v) || found != type16))
        return raise_gp(v, error);
    if (d->high & DESCRIPTOR_TYPE || (in_long_mode(v) && !is_canonical_base(v, d->base)))
        return raise_gp(v, error);
    return d->attr & SEG_P ? CPU_OK : raise_np(v, error);
}

enum outcome op_lldt(struct vcpu *v, const struct insn *in)
{
    struct descriptor d;
    u16 sel;
    TRY(system_operand(v, in, IC_LLDT, &sel));
    if (sel_null(sel)) {
        v->seg[SEG_LDTR] = (struct segment){.sel = sel, .attr = SEG_UNUSABLE};
        return CPU_OK;
    }
    TRY(system_descriptor(v, sel, &d, SYS_LDT, SYS_LDT));
    v->seg[SEG_LDTR] = segment_from(sel, &d);
    return CPU_OK;
}

enum outcome op_ltr(struct vcpu *v, const struct insn *in)
{
    struct descriptor d;
    u16 sel;
    TRY(system_operand(v, in, IC_LTR, &sel));
    if (sel_null(sel))
        return raise_gp(v, 0);
    TRY(system_descriptor(v, sel, &d, SYS_TSS_AVAIL, SYS_TSS16_AVAIL));
    TRY(descriptor_update(v, &d, 0, DESCRIPTOR_BUSY));
    v->seg[SEG_TR] = segment_from(sel, &d);
    return CPU_OK;
}

static enum outcome selector_store(struct vcpu *v, const struct insn *in, enum intercept ic, u16 sel)
{
    if (real_or_v86(v))
        return raise_ud(v);
    TRY(umip_check(v));
    TRY(nested_check(v, ic, 0, 0));
    return rm_write(v, in, in->mem ? 2 : in->osz, sel);
}

enum outcome op_sldt(struct vcpu *v, const struct insn *in)
{
    return selector_store(v, in, IC_SLDT, v->seg[SEG_LDTR].sel);
}

enum outcome op_str(struct vcpu *v, const struct insn *in)
{
    return selector_store(v, in, IC_STR, v->seg[SEG_TR].sel);
}

/* -- looking at descriptors -- */

static void zf_set(struct vcpu *v, bool zf)
{
    u64 flags = rflags_get(v) & ~FLAG_ZF;
    rflags_set_arith(v, zf ? flags | FLAG_ZF : flags);
}

/* System types that LAR may see; LSL may see those that are not gates. */
static bool system_type_visible(const struct vcpu *v, u32 type, bool gates)
{
    u32 set = BIT(SYS_LDT) | BIT(SYS_TSS_AVAIL) | BIT(SYS_TSS_BUSY);
    if (gates)
        set |= BIT(SYS_CALL_GATE);
    if (!in_long_mode(v)) {
        set |= BIT(SYS_TSS16_AVAIL) | BIT(SYS_TSS16_BUSY);
        if (gates)
            set |= BIT(SYS_CALL_GATE16) | BIT(SYS_TASK_GATE);
    }
    return set >> type & 1;
}

/* LAR, LSL, VERR, VERW: reads the operand and the descriptor; *visible if privilege permits it to be seen. */
static enum outcome look_at(struct vcpu *v, const struct insn *in, struct descriptor *d, bool *visible)
{
    u64 sel;
    if (real_or_v86(v))
        return raise_ud(v);
    TRY(rm_read(v, in, 2, &sel));
    TRY(descriptor_find(v, (u16)sel, d, visible));
    if (*visible && !descriptor_is_conforming(d)) {
        u32 dpl = segment_dpl(d->attr);
        *visible = dpl >= v->cpl && dpl >= (sel & SEL_RPL);
    }
    return CPU_OK;
}

enum outcome op_lar(struct vcpu *v, const struct insn *in)
{
    struct descriptor d;
    bool ok;
    TRY(look_at(v, in, &d, &ok));
    ok = ok && (d.attr & SEG_S || system_type_visible(v, d.attr & SEG_TYPE_MASK, true));
    if (ok)
        reg_write(v, in->reg, in->osz, true, d.raw >> 32 & (in->osz == 2 ? 0xff00 : 0xffff00));
    zf_set(v, ok);
    return CPU_OK;
}

enum outcome op_lsl(struct vcpu *v, const struct insn *in)
{
    struct descriptor d;
    bool ok;
    TRY(look_at(v, in, &d, &ok));
    ok = ok && (d.attr & SEG_S || system_type_visible(v, d.attr & SEG_TYPE_MASK, false));
    if (ok)
        reg_write(v, in->reg, in->osz, true, d.limit);
    zf_set(v, ok);
    return CPU_OK;
}

enum outcome op_verr(struct vcpu *v, const struct insn *in)
{
    struct descriptor d;
    bool ok;
    TRY(look_at(v, in, &d, &ok));
    zf_set(v, ok && d.attr & SEG_S && (d.attr & (SEG_TYPE_CODE | SEG_TYPE_WRITE)) != SEG_TYPE_CODE);
    return CPU_OK;
}

enum outcome op_verw(struct vcpu *v, const struct insn *in)
{
    struct descriptor d;
    bool ok;
    TRY(look_at(v, in, &d, &ok));
    zf_set(v, ok && descriptor_is_writable(&d));
    return CPU_OK;
}

enum outcome op_arpl(struct vcpu *v, const struct insn *in)
{
    u64 dest, rpl = v->gpr[in->reg] & SEL_RPL;
    if (real_or_v86(v))
        return raise_ud(v);
    TRY(rm_read(v, in, 2, &dest));
    bool less = (dest & SEL_RPL) < rpl;
    if (less)
        TRY(rm_write(v, in, 2, (dest & ~(u64)SEL_RPL) | rpl));
    zf_set(v, less);
    return CPU_OK;
}

/* -- FS and GS bases -- */

enum outcome op_swapgs(struct vcpu *v, const struct insn *in)
{
    if (!in_64bit(v))
        return raise_ud(v);
    if (v->cpl != 0)
        return raise_gp(v, 0);
    u64 base = v->seg[SEG_GS].base;
    v->seg[SEG_GS].base = v->kernel_gs_base;
    v->kernel_gs_base = base;
    return CPU_OK;
}

static enum outcome base_read(struct vcpu *v, const struct insn *in, unsigned seg)
{
    if (!in_64bit(v) || !(v->cr4 & CR4_FSGSBASE))
        return raise_ud(v);
    reg_write(v, in->rm, in->rex & REX_W ? 8 : 4, true, v->seg[seg].base);
    return CPU_OK;
}

static enum outcome base_write(struct vcpu *v, const struct insn *in, unsigned seg)
{
    if (!in_64bit(v) || !(v->cr4 & CR4_FSGSBASE))
        return raise_ud(v);
    u64 base = mask_size(v->gpr[in->rm], in->rex & REX_W ? 8 : 4);
    if (!is_canonical_base(v, base))
        return raise_gp(v, 0);
    v->seg[seg].base = base;
    return CPU_OK;
}

enum outcome op_rdfsbase(struct vcpu *v, const struct insn *in)
{
    return base_read(v, in, SEG_FS);
}

enum outcome op_rdgsbase(struct vcpu *v, const struct insn *in)
{
    return base_read(v, in, SEG_GS);
}

enum outcome op_wrfsbase(struct vcpu *v, const struct insn *in)
{
    return base_write(v, in, SEG_FS);
}

enum outcome op_wrgsbase(struct vcpu *v, const struct insn *in)
{
    return base_write(v, in, SEG_GS);
}
