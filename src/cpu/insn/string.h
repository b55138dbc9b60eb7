/*
 * What the string instructions of string.c and portio.c share: one loop over steps. A step works on a run of elements
 * that one host pointer reaches, or on one element through mem_read and mem_write. On the vCPU's own thread.
 */
#ifndef CPU_INSN_STRING_H
#define CPU_INSN_STRING_H

#include "cpu/core/insn.h"
#include "cpu/core/nested.h"

/* A string instruction in progress. */
struct string {
    const struct insn *in;
    unsigned size;     /* of an element, in bytes */
    unsigned seg;      /* of RSI */
    bool source, dest; /* RSI and RDI move */
    bool over;         /* set by a step: what is left of the count does not matter */
    u64 a, b;          /* CMPS and SCAS: the elements that were compared last */
};

/* Consecutive elements in the direction of DF. */
struct run {
    void *host; /* the first element, or NULL: use la with mem_read or mem_write */
    u64 la;
    u64 count; /* elements that host reaches, 1 without host */
};

/* Works on at most *n elements, at least one, and leaves in *n on how many. Moves no register. */
typedef enum outcome (*string_step)(struct vcpu *v, struct string *s, u64 *n);

/* Checks the first element at RSI or RDI and finds how many (at most limit) can be reached by one host pointer. */
MUST_CHECK enum outcome string_open(struct vcpu *v, const struct string *s, unsigned reg, u64 limit, enum access access,
                                    struct run *run);

/* The segment that the last segment prefix names; in 64-bit mode only FS and GS count. */
unsigned segment_override(const struct vcpu *v, const struct insn *in);

/* Segment of an implicit DS operand. */
static inline unsigned implicit_segment(const struct vcpu *v, const struct insn *in)
{
    return in->prefixes & PREFIX_SEG ? segment_override(v, in) : SEG_DS;
}

static inline struct string string_begin(const struct vcpu *v, const struct insn *in, unsigned size, bool source,
                                         bool dest)
{
    return (struct string){.in = in, .size = size, .seg = implicit_segment(v, in), .source = source, .dest = dest};
}

static inline bool string_repeats(const struct insn *in)
{
    return in->prefixes & (PREFIX_REP | PREFIX_REPNE);
}

/* RSI, RDI or RCX as the address size sees it; and adding to it (32-bit results zero-extend). */
static inline u64 string_reg(const struct vcpu *v, const struct insn *in, unsigned reg)
{
    return mask_size(v->gpr[reg], in->asz);
}

static inline void string_reg_add(struct vcpu *v, const struct insn *in, unsigned reg, u64 delta)
{
    reg_write(v, reg, in->asz, true, v->gpr[reg] + delta);
}

/* Elements to do: RCX with a repeat prefix, else 1. */
static inline u64 string_count(const struct vcpu *v, const struct insn *in)
{
    return string_repeats(in) ? string_reg(v, in, RCX) : 1;
}

/* TF or the monitor trap flag: a repetition stops after each element. */
static inline bool string_stepped(const struct vcpu *v)
{
    return v->flags & FLAG_TF || nested_stepping(v);
}

/* Returns true if a repetition should stop here for a while. */
static inline bool string_leave(const struct vcpu *v)
{
    return string_stepped(v) || v->trap_pending || v->code_changed || __atomic_load_n(&v->request, __ATOMIC_RELAXED);
}

/*
 * The loop. After each step the registers hold what the manual says an interrupted repetition leaves, so a fault in the
 * next step needs no undoing. A pending request, a trap or a changed translation between steps ends the instruction
 * with next_rip = rip: it is simply executed again for the rest of the count. Inlined, so that `step` is known.
 */
static inline __attribute__((always_inline)) enum outcome string_repeat(struct vcpu *v, struct string *s,
                                                                        string_step step)
{
    u64 left = string_count(v, s->in);
    while (left) {
        u64 n = string_stepped(v) ? 1 : left;
        TRY(step(v, s, &n));
        u64 bytes = v->flags & FLAG_DF ? -(n * s->size) : n * s->size;
        if (s->source)
            string_reg_add(v, s->in, RSI, bytes);
        if (s->dest)
            string_reg_add(v, s->in, RDI, bytes);
        if (string_repeats(s->in))
            string_reg_add(v, s->in, RCX, -n);
        left -= n;
        if (s->over)
            break;
        if (left && string_leave(v)) {
            v->next_rip = v->rip;
            break;
        }
    }
    return CPU_OK;
}

#endif
