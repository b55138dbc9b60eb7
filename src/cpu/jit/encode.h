/*
 * Bytes of host instructions: prefixes, REX, VEX, ModRM. Only the emitters of emit.h and reencode.c, which puts guest
 * instructions together again, write bytes.
 *
 * Host register numbers are enum gpr. An operand in memory is [base + index * scale + disp], where base and index may
 * be H_NONE.
 */
#ifndef CPU_JIT_ENCODE_H
#define CPU_JIT_ENCODE_H

#include "cpu/core/vcpu.h"
#include "x86/encoding.h"

#define H_NONE 0xff /* no register */

/* Where code goes. Bytes that do not fit are counted but not written. */
struct emit {
    u8 *p, *end;
};

static inline void emit_byte(struct emit *e, u8 b)
{
    if (likely(e->p < e->end))
        *e->p = b;
    e->p++;
}

static inline void emit_u16(struct emit *e, u16 x)
{
    emit_byte(e, (u8)x);
    emit_byte(e, (u8)(x >> 8));
}

static inline void emit_u32(struct emit *e, u32 x)
{
    if (likely(e->p + 4 <= e->end))
        __builtin_memcpy(e->p, &x, 4);
    e->p += 4;
}

static inline void emit_u64(struct emit *e, u64 x)
{
    emit_u32(e, (u32)x);
    emit_u32(e, (u32)(x >> 32));
}

static inline void emit_bytes(struct emit *e, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n && e->p + i < e->end; i++)
        e->p[i] = ((const u8 *)bytes)[i];
    e->p += n;
}

static inline u8 rex_bits(unsigned reg, unsigned index, unsigned base)
{
    return (u8)((reg != H_NONE && reg & 8 ? REX_R : 0) | (index != H_NONE && index & 8 ? REX_X : 0) |
                (base != H_NONE && base & 8 ? REX_B : 0));
}

/* A REX prefix if one of its bits is needed. */
static inline void emit_rex(struct emit *e, u8 bits)
{
    if (bits)
        emit_byte(e, BYTE_REX | bits);
}

static inline u8 modrm(unsigned mod, unsigned reg, unsigned rm)
{
    return (u8)(mod << 6 | (reg & 7) << 3 | (rm & 7));
}

/* ModRM of two registers. */
static inline void emit_modrm_reg(struct emit *e, unsigned reg, unsigned rm)
{
    emit_byte(e, modrm(3, reg, rm));
}

/* ModRM, SIB and displacement of an operand in memory; reg: the other operand, or more opcode. */
static inline void emit_modrm_mem(struct emit *e, unsigned reg, unsigned base, unsigned index, unsigned scale, s32 disp)
{
    unsigned log = scale == 8 ? 3 : scale == 4 ? 2 : scale == 2 ? 1 : 0;
    unsigned sib_index = index == H_NONE ? SIB_NO_INDEX : index;
    if (base == H_NONE) {
        emit_byte(e, modrm(0, reg, MODRM_SIB));
        emit_byte(e, modrm(log, sib_index, SIB_NO_BASE));
        emit_u32(e, (u32)disp);
        return;
    }
    unsigned mod = disp == 0 && (base & 7) != RBP ? 0 : disp >= -128 && disp < 128 ? 1 : 2;
    if (index == H_NONE && (base & 7) != RSP) {
        emit_byte(e, modrm(mod, reg, base));
    } else {
        emit_byte(e, modrm(mod, reg, MODRM_SIB));
        emit_byte(e, modrm(log, sib_index, base));
    }
    if (mod == 1)
        emit_byte(e, (u8)disp);
    else if (mod == 2)
        emit_u32(e, (u32)disp);
}

/* An instruction of the one-byte map with two registers. */
static inline void emit_op_reg(struct emit *e, bool w, u8 opcode, unsigned reg, unsigned rm)
{
    emit_rex(e, rex_bits(reg, H_NONE, rm) | (w ? REX_W : 0));
    emit_byte(e, opcode);
    emit_modrm_reg(e, reg, rm);
}

/* The same with a register and memory. */
static inline void emit_op_mem(struct emit *e, bool w, u8 opcode, unsigned reg, unsigned base, unsigned index,
                               unsigned scale, s32 disp)
{
    emit_rex(e, rex_bits(reg, index, base) | (w ? REX_W : 0));
    emit_byte(e, opcode);
    emit_modrm_mem(e, reg, base, index, scale, disp);
}

/* The same two in map 1. */
static inline void emit_op0f_reg(struct emit *e, bool w, u8 opcode, unsigned reg, unsigned rm)
{
    emit_rex(e, rex_bits(reg, H_NONE, rm) | (w ? REX_W : 0));
    emit_byte(e, BYTE_ESCAPE);
    emit_byte(e, opcode);
    emit_modrm_reg(e, reg, rm);
}

static inline void emit_op0f_mem(struct emit *e, bool w, u8 opcode, unsigned reg, unsigned base, unsigned index,
                                 unsigned scale, s32 disp)
{
    emit_rex(e, rex_bits(reg, index, base) | (w ? REX_W : 0));
    emit_byte(e, BYTE_ESCAPE);
    emit_byte(e, opcode);
    emit_modrm_mem(e, reg, base, index, scale, disp);
}

/* Three-byte VEX prefix and opcode; r, x and b are the registers whose fourth bits it holds. */
static inline void emit_vex(struct emit *e, unsigned r, unsigned x, unsigned b, u8 map, bool w, unsigned vvvv, u8 last,
                            u8 opcode)
{
    emit_byte(e, BYTE_VEX3);
    emit_byte(e, (u8)((r & 8 ? 0 : VEX_NOT_R) | (x & 8 ? 0 : VEX_NOT_X) | (b & 8 ? 0 : VEX_NOT_B) | map));
    emit_byte(e, (u8)((w ? VEX_W : 0) | (~vvvv & 15) << VEX_VVVV_SHIFT | last));
    emit_byte(e, opcode);
}

#endif
