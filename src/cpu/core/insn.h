/*
 * struct insn: one decoded instruction that a C handler executes ("called", as opposed to copied), made by the
 * translator from Zydis' output and kept beside the translated block. Handlers have the type insn_fn and are listed in
 * the instruction table. A handler:
 *   - finds all GPRs in v->gpr[], v->rip at the instruction, v->next_rip behind it;
 *   - checks legality, then privilege, then L2 intercepts (nested.h), then does its work, all faults before the first
 *     change;
 *   - returns CPU_OK (continue at v->next_rip), CPU_NEXT (the same, and no event comes before that), or what a callee
 *     returned.
 */
#ifndef CPU_CORE_INSN_H
#define CPU_CORE_INSN_H

#include "cpu/core/access.h"
#include "cpu/core/vcpu.h"
#include "x86/encoding.h"

typedef enum outcome (*insn_fn)(struct vcpu *v, const struct insn *in);

#define REG_NONE 0xff
#define REG_RIP 0x10

struct insn {
    insn_fn fn;
    u64 imm;  /* immediate, sign-extended to the operand size's natural use; far pointers: the offset */
    u64 imm2; /* ENTER's second immediate; far pointers: the selector */
    s64 disp;
    u16 offset; /* of the instruction in its page */
    u8 len;
    u8 osz;                /* effective operand size in bytes: 2, 4, 8 */
    u8 asz;                /* effective address size in bytes: 2, 4, 8 */
    u8 msize;              /* bytes of the memory operand, 0 if none or variable */
    u8 opcode;             /* last opcode byte */
    u8 map;                /* 0 = one-byte, 1 = 0F, 2 = 0F38, 3 = 0F3A */
    u8 prefixes;           /* PREFIX_* */
    u8 rex;                /* REX byte or 0 */
    u8 mod, reg, rm;       /* ModRM with REX bits merged; mod == 3 means rm is a register */
    u8 seg;                /* segment of the memory operand, overrides applied */
    u8 base, index, scale; /* enum gpr, REG_RIP or REG_NONE; scale 1, 2, 4, 8 */
    u8 vl;                 /* VEX/EVEX vector length in bytes (16, 32, 64), 0 if neither */
    u8 vvvv;               /* VEX/EVEX second source register */
    u8 evex_mask;          /* opmask register, 0 = none */
    bool evex_zero;
    bool evex;
    bool mem;  /* has a memory operand, at seg, base, index, scale and disp */
    bool ends; /* control returns to the dispatcher after it */
    bool last; /* of its block */
    u8 row;    /* jit/called.h: what it is counted as */
    u8 bytes[15];
};

#define PREFIX_REP BIT(0)   /* F3 */
#define PREFIX_REPNE BIT(1) /* F2 */
#define PREFIX_LOCK BIT(2)
#define PREFIX_66 BIT(3)
#define PREFIX_67 BIT(4)
#define PREFIX_SEG BIT(5) /* an explicit segment override is present */

/* Offset of the memory operand in its segment, wrapped to the address size. */
static inline u64 insn_offset(const struct vcpu *v, const struct insn *in)
{
    u64 ea = (u64)in->disp;
    if (in->base == REG_RIP)
        ea += v->next_rip;
    else if (in->base != REG_NONE)
        ea += v->gpr[in->base];
    if (in->index != REG_NONE)
        ea += v->gpr[in->index] * in->scale;
    return mask_size(ea, in->asz);
}

/* Register operand of the instruction's operand size, with the high-byte rule for size 1 without REX. */
static inline u64 reg_read(const struct vcpu *v, unsigned reg, unsigned size, bool rex)
{
    if (size == 1 && !rex && reg >= 4 && reg < 8)
        return (v->gpr[reg - 4] >> 8) & 0xff;
    return mask_size(v->gpr[reg], size);
}

static inline void reg_write(struct vcpu *v, unsigned reg, unsigned size, bool rex, u64 value)
{
    if (size == 8) {
        v->gpr[reg] = value;
    } else if (size == 4) {
        v->gpr[reg] = (u32)value;
    } else if (size == 2) {
        v->gpr[reg] = (v->gpr[reg] & ~0xffffull) | (u16)value;
    } else if (!rex && reg >= 4 && reg < 8) {
        v->gpr[reg - 4] = (v->gpr[reg - 4] & ~0xff00ull) | (u64)(u8)value << 8;
    } else {
        v->gpr[reg] = (v->gpr[reg] & ~0xffull) | (u8)value;
    }
}

#endif
