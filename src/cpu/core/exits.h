/*
 * VM exits of a vCPU, counted by level and reason (--stats).
 *
 * The engine runs two levels: L1, and what L1 enters. An L3 that runs inside L2's hypervisor is, to the engine, one
 * more guest of L1: L2's VM entry exits to L1, and L1 enters L3 with a VMCS or VMCB of its own making. So the level is
 * an inference: a guest is one level deeper than the guest before it on this vCPU if that one left by a VM-entry
 * instruction and L1 then entered another VMCS or VMCB. The exits that are counted are those to L1, which every exit
 * is.
 */
#ifndef CPU_CORE_EXITS_H
#define CPU_CORE_EXITS_H

#include "base/types.h"
#include "cpu/core/cpuid.h"

#define EXIT_LEVELS 3 /* L2, L3, and what is deeper */
#define EXIT_SLOTS 256
#define EXIT_DEEP_MAX 8

struct exits {
    u64 control; /* VMCS or VMCB of the guest that was entered last */
    u32 depth;   /* of that guest: 0 is L2 */
    bool entry;  /* it left by VMLAUNCH, VMRESUME or VMRUN */
    u8 oldest;   /* of deep[] */
    struct {
        u64 control;
        u32 depth; /* 0: unused */
    } deep[EXIT_DEEP_MAX];
    u64 count[EXIT_LEVELS][EXIT_SLOTS];
};

/* The row of a VMX basic exit reason or SVM exit code, and back. */
static inline unsigned exits_slot(enum vendor vendor, u64 code)
{
    if (vendor == VENDOR_INTEL)
        return code & 0x7f;
    if (code < 0xc0)
        return (unsigned)code;
    return code - 0x400 < 0x3f ? 0xc0 + (unsigned)(code - 0x400) : EXIT_SLOTS - 1;
}

static inline u64 exits_code(enum vendor vendor, unsigned slot)
{
    if (vendor == VENDOR_INTEL || slot < 0xc0)
        return slot;
    return slot == EXIT_SLOTS - 1 ? ~0ull : slot - 0xc0 + 0x400;
}

void exits_switch(struct exits *e, u64 control);

/* L1 enters a guest with that VMCS or VMCB. */
static inline void exits_entered(struct exits *e, u64 control)
{
    if (unlikely(control != e->control))
        exits_switch(e, control);
    e->entry = false;
}

/* That guest left. */
static inline void exits_left(struct exits *e, unsigned slot, bool entry)
{
    e->count[e->depth][slot]++;
    e->entry = entry;
}

#endif
