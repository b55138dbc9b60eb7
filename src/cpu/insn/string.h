/*
 * What string.c and the string forms of port I/O share: walking RSI and RDI by element, in spans that lie in one page
 * of plain RAM.
 */
#ifndef CPU_INSN_STRING_H
#define CPU_INSN_STRING_H

#include "cpu/core/insn.h"
#include "cpu/core/nested.h"
#include "cpu/core/vcpu.h"

struct span {
    void *host; /* the first element, or NULL: use la with mem_read or mem_write */
    u64 la;
    u64 count; /* elements reachable from host in the direction of DF, 1 without host */
};

/* RSI, RDI or RCX as the address size sees it; and adding to it (32-bit results zero-extend). */
u64 string_reg(const struct vcpu *v, unsigned reg, unsigned asz);
void string_reg_add(struct vcpu *v, const struct insn *in, unsigned reg, u64 delta);
/* Segment of the RSI operand: DS or the override. */
unsigned string_segment(const struct vcpu *v, const struct insn *in);
/* Checks the first element, `size` bytes at seg:reg and finds how many (at most limit) can be reached by one host
 * pointer. */
MUST_CHECK enum outcome string_open(struct vcpu *v, const struct insn *in, struct span *s, unsigned seg, unsigned reg,
                                    unsigned size, u64 limit, enum access access);
/* Moves reg over n elements in the direction of DF. */
void string_advance(struct vcpu *v, const struct insn *in, unsigned reg, unsigned size, u64 n);
/* Elements to do: RCX with a repeat prefix, else 1. */
u64 string_count(const struct vcpu *v, const struct insn *in);
/* Counts n elements off RCX if the instruction repeats; true if some are left. */
bool string_again(struct vcpu *v, const struct insn *in, u64 done);
/* TF or the monitor trap flag: a repetition stops after each element. */
static inline bool string_stepped(const struct vcpu *v)
{
    return v->flags & FLAG_TF || nested_stepping(v);
}
/* True if a repetition should stop here for a while. */
bool string_leave(struct vcpu *v);

#endif
