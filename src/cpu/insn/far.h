/*
 * What the handlers of far transfers share: far pointers in memory, returns to outer levels, call gates. (far.c,
 * callgate.c)
 */
#ifndef CPU_INSN_FAR_H
#define CPU_INSN_FAR_H

#include "cpu/event/frame.h"

/* Bytes of the offset of a far pointer: AMD knows no m16:64, REX.W is ignored there. */
unsigned far_size(const struct vcpu *v, const struct insn *in);
/* The memory operand: an offset of `size` bytes, and a selector behind it. */
MUST_CHECK enum outcome far_pointer_read(struct vcpu *v, const struct insn *in, unsigned size, u16 *sel, u64 *offset);

/* RET and IRET: checks on a return code segment, read into *d. */
MUST_CHECK enum outcome return_code(struct vcpu *v, u16 sel, struct descriptor *d);
/* RET and IRET to an outer level (and IRET in 64-bit mode): checks on SS for the new privilege level `rpl`. */
MUST_CHECK enum outcome return_stack(struct vcpu *v, u16 ss, u32 rpl, bool code64, struct segment *out);
/* Completes it: loads SS:RSP; CPL is that of the new code. */
void return_outer(struct vcpu *v, const struct segment *ss, u64 sp, u32 cpl);

/* JMP or CALL through a call gate that the selector `sel` names. */
MUST_CHECK enum outcome call_gate(struct vcpu *v, u16 sel, const struct descriptor *gate, bool call);

#endif
