/*
 * vcpu.mode: what translation depends on, derived from CS, SS, the flat segments, CR0, CR4, EFER, XCR0, RFLAGS, DR7,
 * the interrupt shadow and the monitor trap flag. And RFLAGS as a whole, whose TF, VM and AC bits feed into it.
 *
 * Everyone who changes one of these calls mode_update once the whole state is consistent; it also selects the TLB
 * context, so a call in the middle of a change would create contexts that nobody uses.
 */
#include "cpu/core/nested.h"
#include "cpu/mmu/mapped.h"
#include "cpu/mmu/mmu.h"
#include "x86/msr.h"

static bool flat_data(const struct segment *s)
{
    const u32 relevant = SEG_UNUSABLE | SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_EXPAND | SEG_TYPE_WRITE;
    return s->base == 0 && s->limit == 0xffffffff && (s->attr & relevant) == (SEG_P | SEG_S | SEG_TYPE_WRITE);
}

static bool flat(const struct vcpu *v)
{
    const struct segment *cs = &v->seg[SEG_CS];
    /* Of code segments, type bit 1 says readable: CS overrides may then read. */
    return cs->base == 0 && cs->limit == 0xffffffff && cs->attr & SEG_TYPE_WRITE && flat_data(&v->seg[SEG_SS]) &&
           flat_data(&v->seg[SEG_DS]) && flat_data(&v->seg[SEG_ES]);
}

static u32 code_mode(const struct vcpu *v)
{
    if (in_64bit(v))
        return MODE_64 | MODE_FLAT;
    u32 mode = v->seg[SEG_CS].attr & SEG_DB ? MODE_32 : MODE_16;
    if (v->seg[SEG_SS].attr & SEG_DB)
        mode |= MODE_SS32;
    return flat(v) ? mode | MODE_FLAT : mode;
}

static u32 vector_mode(const struct vcpu *v)
{
    const u64 avx = XCR0_SSE | XCR0_AVX;
    u32 mode = 0;
    if (v->cr0 & CR0_TS)
        return v->cr0 & CR0_MP ? MODE_FWAIT : 0;
    if (!(v->cr0 & CR0_EM)) {
        mode |= MODE_X87;
        if (v->cr4 & CR4_OSFXSR)
            mode |= MODE_SSE;
    }
    if (in_protected(v) && !in_v86(v) && v->cr4 & CR4_OSXSAVE && (v->xcr0 & avx) == avx) {
        mode |= MODE_AVX;
        if ((v->xcr0 & XCR0_AVX512) == XCR0_AVX512)
            mode |= MODE_AVX512;
    }
    return mode;
}

void mode_update(struct vcpu *v)
{
    const bool plain_tsc = !v->in_guest && !v->tsc_ratio, kernel_tsc = v->cr4 & CR4_TSD;
    u32 common = vector_mode(v);
    if (in_protected(v) && !in_v86(v))
        common |= MODE_PROT;
    if (v->flags & FLAG_TF || v->shadow || v->dr7 & DR7_ENABLED || v->debugctl & DEBUGCTL_LBR || v->ferr ||
        v->debug_steps || nested_stepping(v))
        common |= MODE_STEP;
    if (v->in_guest)
        common |= MODE_GUEST;
    u32 mode = code_mode(v) | common;
    if (v->cpl == 3)
        mode |= MODE_USER;
    u32 mapped = mapped_fits(v) ? MODE_MAPPED : 0;
    if (v->cpl == 0)
        mode |= MODE_CPL0 | (in_64bit(v) ? mapped : 0);
    if (plain_tsc && !(v->cpl && kernel_tsc))
        mode |= MODE_TSC;
    if (v->cr4 & CR4_FSGSBASE) {
        mode |= in_64bit(v) ? MODE_BASES : 0;
        common |= MODE_BASES;
    }
    v->mode_crossed[0] = common | MODE_64 | MODE_FLAT | MODE_CPL0 | mapped | (plain_tsc ? MODE_TSC : 0);
    v->mode_crossed[1] = common | MODE_64 | MODE_FLAT | MODE_USER | (plain_tsc && !kernel_tsc ? MODE_TSC : 0);
    v->mode = mode;
    v->neg_cs_base = in_64bit(v) ? 0 : -v->seg[SEG_CS].base;
    mmu_select_context(v, true);
}

void rflags_store(struct vcpu *v, u64 value)
{
    u64 old = v->flags;
    rflags_set_arith(v, value);
    v->flags = (value & FLAGS_DEFINED & ~FLAGS_ARITH) | FLAG_ONE;
    if (v->flags & ~old & (FLAG_IF | FLAG_VIF))
        event_recheck(v);
}

void rflags_set(struct vcpu *v, u64 value)
{
    u64 old = v->flags;
    rflags_store(v, value);
    if ((v->flags ^ old) & (FLAG_TF | FLAG_VM | FLAG_AC))
        mode_update(v);
}
