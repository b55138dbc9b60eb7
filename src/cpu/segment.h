/*
 * Segment registers, descriptors, far control transfers.
 * Source: SDM vol. 3A "Protected-Mode Memory Management" and "Protection".
 */
#ifndef CPU_SEGMENT_H
#define CPU_SEGMENT_H

#include "cpu/insn.h"
#include "cpu/vcpu.h"

struct descriptor {
    u64 base;
    u32 limit; /* granularity applied */
    u32 attr;  /* SEG_* */
    u64 raw;
    u64 la;    /* where it was read from */
};

/* Reads the descriptor of `sel` from GDT or LDT (16 bytes for system descriptors in long mode). Beyond the limit or null:
 * raises `vector`(sel & ~3). */
MUST_CHECK enum outcome descriptor_read(struct vcpu *v, u16 sel, struct descriptor *d, u8 vector);

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

/* True if `la` is canonical for the current CR4.LA57. */
static inline bool is_canonical(const struct vcpu *v, u64 la)
{
    unsigned shift = v->cr4 & CR4_LA57 ? 7 : 16;
    return (u64)((s64)(la << shift) >> shift) == la;
}

#endif
