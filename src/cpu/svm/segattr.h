/*
 * Converts segment registers between the VMCB's form and struct segment. A null segment has P = 0 in the VMCB and
 * SEG_UNUSABLE in struct segment.
 * Source: AMD APM volume 2, "VMRUN", "Segment State in the VMCB".
 */
#ifndef CPU_SVM_SEGATTR_H
#define CPU_SVM_SEGATTR_H

#include "cpu/mmu/segment.h"
#include "x86/vmcb.h"

static inline u32 attr_from_vmcb(u16 a)
{
    u32 attr = (a & VMCB_ATTR_TYPE) | ((u32)(a & VMCB_ATTR_FLAGS) << 4);
    return a & VMCB_ATTR_P ? attr : attr | SEG_UNUSABLE;
}

static inline u16 attr_to_vmcb(u32 attr)
{
    u16 a = (u16)((attr & VMCB_ATTR_TYPE) | (attr >> 4 & VMCB_ATTR_FLAGS));
    return attr & SEG_UNUSABLE ? a & (u16)~VMCB_ATTR_P : a;
}

/* Bases are sign-extended from the number of linear-address bits of the CPU. */
static inline u64 canonicalize(const struct vcpu *v, u64 la)
{
    unsigned shift = v->cr4 & CR4_LA57 ? 7 : 16;
    return (u64)((s64)(la << shift) >> shift);
}

static inline struct segment segment_from_vmcb(const struct vcpu *v, const struct vmcb_segment *s)
{
    return (struct segment){
        .base = canonicalize(v, s->base), .limit = s->limit, .attr = attr_from_vmcb(s->attr), .sel = s->sel};
}

static inline struct vmcb_segment segment_to_vmcb(const struct segment *s)
{
    return (struct vmcb_segment){.sel = s->sel, .attr = attr_to_vmcb(s->attr), .limit = s->limit, .base = s->base};
}

#endif
