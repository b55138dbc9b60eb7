/*
 * What far transfers and event delivery share: stack frames that are checked and written as a whole, inner stacks from
 * the TSS, code-segment targets, and the delivery through the IDT. (frame.c, far.c, callgate.c, iret.c, idt.c, task.c)
 */
#ifndef CPU_EVENT_FAR_H
#define CPU_EVENT_FAR_H

#include "cpu/core/fault.h"
#include "cpu/core/nested.h"
#include "cpu/mmu/segment.h"

/* A stack that is not, or not yet, the current one. */
struct stack {
    struct segment seg;
    u64 sp; /* all of RSP; only the low asize bytes move */
    unsigned asize;
    enum access access; /* ACCESS_IMPLICIT when the pushes are made with more privilege than the CPL */
    u32 error;          /* error code of #SS if it has no room */
};

#define FRAME_MAX 40

/* Values to push, all of one size, in the order of the pushes. */
struct frame {
    unsigned size;
    unsigned count;
    u64 value[FRAME_MAX];
};

static inline void frame_push(struct frame *f, u64 value)
{
    f->value[f->count++] = value;
}

/* The current stack. wide: 64-bit pushes whatever the current code's mode (gates in IA-32e mode). */
struct stack stack_current(const struct vcpu *v, bool wide);
/* The stack for `cpl` from the TSS; IA-32e mode: IST `ist` if not 0, else RSPn. #TS, #SS, #NP rules of inner calls. */
MUST_CHECK enum outcome stack_inner(struct vcpu *v, u32 cpl, unsigned ist, struct stack *st);
/* Room and limits: #SS(st->error). */
MUST_CHECK enum outcome frame_check(struct vcpu *v, const struct stack *st, const struct frame *f);
/* Writes all or nothing; frame_check came before. Moves st->sp. */
MUST_CHECK enum outcome frame_write(struct vcpu *v, struct stack *st, const struct frame *f);
/* Reads `count` values of `size` bytes that lie `depth` bytes above the top of the current stack. */
MUST_CHECK enum outcome stack_peek(struct vcpu *v, u64 depth, unsigned size, unsigned count, u64 *values);
/* Pops: moves RSP by `bytes`. */
void stack_release(struct vcpu *v, u64 bytes);

/* #GP(0) unless *ip is canonical (64-bit code) or within the limit; truncates it to 32 bits for other code. */
MUST_CHECK enum outcome code_target(struct vcpu *v, const struct descriptor *d, u64 *ip);
/* As code_target for real and virtual-8086 mode: the limit of the current CS. */
MUST_CHECK enum outcome code_target_real(struct vcpu *v, u64 ip);
/* Loads CS and RIP and sets the CPL: nothing can fail any more. */
void code_enter(struct vcpu *v, u16 sel, const struct descriptor *d, u32 cpl, u64 ip);

/* RET and IRET: checks on a return code segment, read into *d. */
MUST_CHECK enum outcome return_code(struct vcpu *v, u16 sel, struct descriptor *d);
/* RET and IRET to an outer level (and IRET in 64-bit mode): checks on SS for the new privilege level `rpl`. */
MUST_CHECK enum outcome return_stack(struct vcpu *v, u16 ss, u32 rpl, bool code64, struct segment *out);
/* Completes it: loads SS:RSP; CPL is that of the new code. */
void return_outer(struct vcpu *v, const struct segment *ss, u64 sp, u32 cpl);

/* JMP or CALL through a call gate that the selector `sel` names. */
MUST_CHECK enum outcome call_gate(struct vcpu *v, u16 sel, const struct descriptor *gate, bool call);

/* task_switch with the EFLAGS image to save in the old TSS. */
MUST_CHECK enum outcome task_enter(struct vcpu *v, u16 sel, unsigned source, bool has_error, u32 error, u64 eflags);

/* An IRET completed, or its fault is about to be delivered: NMI blocking ends if it was on. */
void iret_unblock(struct vcpu *v);

/* One attempt to enter the handler of `e`; a fault on the way is left in v->fault, EXT not yet set. (idt.c) */
MUST_CHECK enum outcome idt_deliver(struct vcpu *v, const struct event *e, u64 return_ip, u64 rflags);

#endif
