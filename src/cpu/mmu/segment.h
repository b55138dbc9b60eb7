/*
 * Segment registers, descriptors, far control transfers.
 * Source: SDM vol. 3A "Protected-Mode Memory Management" and "Protection".
 */
#ifndef CPU_MMU_SEGMENT_H
#define CPU_MMU_SEGMENT_H

#include "cpu/core/cpuid.h"
#include "cpu/core/insn.h"
#include "cpu/core/vcpu.h"
#include "cpu/mmu/mmu.h"

struct descriptor {
    u64 base;
    u32 limit; /* granularity applied */
    u32 attr;  /* SEG_* */
    u64 raw;
    u64 la;   /* where it was read from */
    u32 high; /* 16-byte descriptors: the last doubleword; DESCRIPTOR_TYPE must be 0 */
};

/* In the upper doubleword of eight bytes: the type and S; the busy bit of a TSS. */
#define DESCRIPTOR_TYPE ((SEG_S | SEG_TYPE_MASK) << 8)
#define DESCRIPTOR_BUSY (SYS_TYPE_BUSY << 8)

/* Descriptor type: the S bit and the four type bits. */
static inline u32 descriptor_type(const struct descriptor *d)
{
    return d->attr & (SEG_S | SEG_TYPE_MASK);
}

static inline bool descriptor_is_code(const struct descriptor *d)
{
    return (d->attr & (SEG_S | SEG_TYPE_CODE)) == (SEG_S | SEG_TYPE_CODE);
}

static inline bool descriptor_is_conforming(const struct descriptor *d)
{
    return descriptor_is_code(d) && d->attr & SEG_TYPE_EXPAND;
}

static inline bool descriptor_is_writable(const struct descriptor *d)
{
    return (d->attr & (SEG_S | SEG_TYPE_CODE | SEG_TYPE_WRITE)) == (SEG_S | SEG_TYPE_WRITE);
}

static inline u32 segment_dpl(u32 attr)
{
    return (attr & SEG_DPL_MASK) >> SEG_DPL_SHIFT;
}

#define SEL_TI BIT(2)
#define SEL_RPL 3u

static inline bool sel_null(u16 sel)
{
    return (sel & ~SEL_RPL) == 0;
}

/* Takes an 8-byte descriptor apart. */
void descriptor_decode(struct descriptor *d, u64 raw);

/* As descriptor_read, but a null or out-of-range selector is *found == false instead of a fault. */
MUST_CHECK enum outcome descriptor_find(struct vcpu *v, u16 sel, struct descriptor *d, bool *found);

/* Reads the descriptor of `sel` from GDT or LDT (16 bytes for system descriptors in long mode). Beyond the limit or
 * null: raises `vector`(sel & ~3). */
MUST_CHECK enum outcome descriptor_read(struct vcpu *v, u16 sel, struct descriptor *d, u8 vector);

/* Locked update of a descriptor's second doubleword (accessed, busy). */
MUST_CHECK enum outcome descriptor_update(struct vcpu *v, struct descriptor *d, u32 clear, u32 set);
/* Sets the accessed bit of a code or data descriptor if it is clear. */
MUST_CHECK enum outcome descriptor_accessed(struct vcpu *v, struct descriptor *d);

/* The segment register that a descriptor gives. */
static inline struct segment segment_from(u16 sel, const struct descriptor *d)
{
    return (struct segment){.base = d->base, .limit = d->limit, .attr = d->attr, .sel = sel};
}

/* Returns true if [offset, offset + size) lies within the segment and its type permits the access, in the current mode.
 */
bool segment_allows(const struct vcpu *v, const struct segment *s, u64 offset, unsigned size, enum access access);

/* MOV/POP/LxS to a data segment register or SS, with all checks of the current mode. */
MUST_CHECK enum outcome segment_load(struct vcpu *v, unsigned seg, u16 sel);

/* Real mode and v8086: base = sel << 4 and fixed attributes. */
void segment_load_real(struct vcpu *v, unsigned seg, u16 sel);

/* After CPL, CS or SS changed. Sets v->cpl and calls mode_update. */
void cpl_set(struct vcpu *v, u32 cpl);

/* Hardware task switch. source: as in IC_TASK_SWITCH. (task.c) */
MUST_CHECK enum outcome task_switch(struct vcpu *v, u16 tss_sel, unsigned source, bool has_error, u32 error);

/* Stack pointer masks and pushes at the current stack size, for handlers (no register changes on fault). */
MUST_CHECK enum outcome stack_push(struct vcpu *v, u64 value, unsigned size);
MUST_CHECK enum outcome stack_pop(struct vcpu *v, u64 *value, unsigned size);
static inline unsigned stack_asize(const struct vcpu *v)
{
    return in_64bit(v) ? 8 : v->seg[SEG_SS].attr & SEG_DB ? 4 : 2;
}

/* Returns true if `la` is canonical for the current CR4.LA57. */
static inline bool is_canonical(const struct vcpu *v, u64 la)
{
    unsigned shift = v->cr4 & CR4_LA57 ? 7 : 16;
    return (u64)((s64)(la << shift) >> shift) == la;
}

/* Returns true if a base register, an MSR or a TLB invalidation takes `la`: these go by the widest addresses of the
 * CPU. */
static inline bool is_canonical_base(const struct vcpu *v, u64 la)
{
    unsigned shift = cpu_has(v->vm, FEATURE_LA57) ? 7 : 16;
    return (u64)((s64)(la << shift) >> shift) == la;
}

/*
 * Access by logical addresses (logical.c): limit, type and canonicality checks, then mem_*. #GP(0), or #SS(0) for
 * SEG_SS. seg_linear only checks and gives the linear address.
 */
MUST_CHECK enum outcome seg_linear(struct vcpu *v, unsigned seg, u64 offset, unsigned size, enum access access,
                                   u64 *la);
MUST_CHECK enum outcome seg_read(struct vcpu *v, unsigned seg, u64 offset, void *buf, unsigned size);
MUST_CHECK enum outcome seg_write(struct vcpu *v, unsigned seg, u64 offset, const void *buf, unsigned size);

/* The r/m operand, register or memory, of `size` bytes (1, 2, 4, 8). */
MUST_CHECK enum outcome rm_read(struct vcpu *v, const struct insn *in, unsigned size, u64 *value);
MUST_CHECK enum outcome rm_write(struct vcpu *v, const struct insn *in, unsigned size, u64 value);

#endif
