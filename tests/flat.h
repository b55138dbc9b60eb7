/*
 * Registers of the modes that tests start in, from those after RESET: groups STATE_GPRS, STATE_SEGMENTS, STATE_CONTROL.
 */
#ifndef TESTS_FLAT_H
#define TESTS_FLAT_H

#include "cpu/core/state.h"

#define FLAT_STATE (STATE_GPRS | STATE_SEGMENTS | STATE_CONTROL)

/* Protected mode with flat segments of the selectors `cs` and `ds`; 64-bit mode if `cr3` is not 0. */
static inline void flat_enter(struct cpu_state *s, u16 cs, u16 ds, u64 cr3)
{
    const u32 data = SEG_P | SEG_S | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED | SEG_G;
    for (unsigned i = SEG_ES; i <= SEG_GS; i++)
        s->seg[i] = (struct segment){.sel = ds, .limit = 0xffffffff, .attr = data | SEG_DB};
    s->seg[SEG_CS] =
        (struct segment){.sel = cs, .limit = 0xffffffff, .attr = data | SEG_TYPE_CODE | (cr3 ? SEG_L : SEG_DB)};
    s->seg[SEG_TR] = (struct segment){.limit = 0x67, .attr = SEG_P | SYS_TSS_BUSY};
    s->cr0 = (s->cr0 & ~(CR0_CD | CR0_NW)) | CR0_PE;
    if (!cr3)
        return;
    s->cr0 |= CR0_PG;
    s->cr3 = cr3;
    s->cr4 |= CR4_PAE;
    s->efer |= EFER_LME | EFER_LMA;
}

#endif
