/*
 * Debug exceptions: instruction breakpoints, single steps, and what MOV to SS holds back of them. Data breakpoints are
 * met by the MMU (mmu/tlb.h), I/O breakpoints by IN and OUT.
 */
#ifndef CPU_EVENT_DEBUG_H
#define CPU_EVENT_DEBUG_H

#include "cpu/core/vcpu.h"

/* Is an instruction breakpoint of DR7 at the linear address to be reported before the instruction? *dr6 gets its
 * bits. */
bool debug_breakpoint(const struct vcpu *v, u64 la, u64 *dr6);

/* An instruction ran in single steps (MODE_STEP): records a branch in the LBRs, and leaves the trap pending that
 * RFLAGS.TF asked for when the instruction began (v->step_trap). */
void debug_stepped(struct vcpu *v, u64 from, bool branched);

/* Breakpoints that MOV to SS held back: their DR6 bits, for the next #DB to take along. Nothing is pending then. */
u64 debug_take_held(struct vcpu *v);

/* The single step of a MOV to SS is reported with the next instruction, but not if that one enters a handler. */
void debug_drop_held_step(struct vcpu *v);

/*
 * A debugger outside of the guest (struct cpu_debug), which sees both levels. What it asks for costs nothing while it
 * asks for nothing. While it steps or has watchpoints, each instruction runs by itself (MODE_STEP); with instruction
 * breakpoints those in their pages do.
 */
void debug_set(struct vcpu *v, const struct cpu_debug *d);
/* With v->debug_breaks: is an instruction breakpoint in the page of la? */
bool debug_in_page(const struct vcpu *v, u64 la);
/* Before and after each instruction that runs by itself. Before: true if it is not to run. */
bool debug_before(struct vcpu *v, u64 la);
void debug_after(struct vcpu *v);
/* Leaves to the debugger because of an exception that is its own. */
MUST_CHECK enum outcome debug_leave(struct vcpu *v, u8 vector, u64 dr6);

#endif
