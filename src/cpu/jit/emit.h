/*
 * Encoding of the host instructions that the translator inserts. All of them leave RFLAGS alone. Host register numbers
 * are enum gpr; H_* names say what translated code keeps where (see enter.S).
 */
#ifndef CPU_JIT_EMIT_H
#define CPU_JIT_EMIT_H

#include "cpu/core/vcpu.h"

enum {
    H_SCRATCH = RCX, /* tested by JRCXZ */
    H_ADDR = R11,    /* linear address of a memory operand, target of an indirect branch */
    H_VCPU = RSP,
    H_GUEST_RCX = R14,
    H_GUEST_RSP = R15,
    H_NONE = 0xff,
};

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
    for (size_t i = 0; i < n; i++)
        emit_byte(e, ((const u8 *)bytes)[i]);
}

/* Displacement of a vCPU field from H_VCPU. */
#define VCPU_DISP(field) ((s32)offsetof(struct vcpu, field) - VCPU_BIAS)

static inline s32 gpr_disp(unsigned reg)
{
    return VCPU_DISP(gpr) + (s32)reg * 8;
}

/* ModRM, SIB and displacement of [base + index * scale + disp]; reg is the low three bits of the other operand. */
static inline void emit_modrm_mem(struct emit *e, unsigned reg, unsigned base, unsigned index, unsigned scale, s32 disp)
{
    unsigned log = scale == 8 ? 3 : scale == 4 ? 2 : scale == 2 ? 1 : 0;
    reg = (reg & 7) << 3;
    if (base == H_NONE) {
        emit_byte(e, (u8)(reg | 4));
        emit_byte(e, (u8)(log << 6 | ((index == H_NONE ? 4 : index) & 7) << 3 | 5));
        emit_u32(e, (u32)disp);
        return;
    }
    unsigned mod = disp == 0 && (base & 7) != RBP ? 0 : disp >= -128 && disp < 128 ? 1 : 2;
    if (index == H_NONE && (base & 7) != RSP) {
        emit_byte(e, (u8)(mod << 6 | reg | (base & 7)));
    } else {
        emit_byte(e, (u8)(mod << 6 | reg | 4));
        emit_byte(e, (u8)(log << 6 | ((index == H_NONE ? 4 : index) & 7) << 3 | (base & 7)));
    }
    if (mod == 1)
        emit_byte(e, (u8)disp);
    else if (mod == 2)
        emit_u32(e, (u32)disp);
}

static inline u8 rex_bits(unsigned reg, unsigned index, unsigned base)
{
    return (u8)((reg != H_NONE && reg & 8 ? 4 : 0) | (index != H_NONE && index & 8 ? 2 : 0) |
                (base != H_NONE && base & 8 ? 1 : 0));
}

/* op reg, [mem] with an optional REX.W. */
static inline void emit_op_mem(struct emit *e, bool w, u8 opcode, unsigned reg, unsigned base, unsigned index,
                               unsigned scale, s32 disp)
{
    u8 rex = rex_bits(reg, index, base) | (w ? 8 : 0);
    if (rex)
        emit_byte(e, 0x40 | rex);
    emit_byte(e, opcode);
    emit_modrm_mem(e, reg, base, index, scale, disp);
}

static inline void emit_mov(struct emit *e, unsigned dst, unsigned src)
{
    if (dst == src)
        return;
    emit_byte(e, 0x48 | rex_bits(src, H_NONE, dst));
    emit_byte(e, 0x89);
    emit_byte(e, (u8)(0xc0 | (src & 7) << 3 | (dst & 7)));
}

static inline void emit_mov32(struct emit *e, unsigned dst, unsigned src)
{
    u8 rex = rex_bits(src, H_NONE, dst);
    if (rex)
        emit_byte(e, 0x40 | rex);
    emit_byte(e, 0x89);
    emit_byte(e, (u8)(0xc0 | (src & 7) << 3 | (dst & 7)));
}

/* Merges the low 16 bits of src into dst. */
static inline void emit_mov16(struct emit *e, unsigned dst, unsigned src)
{
    emit_byte(e, 0x66);
    emit_mov32(e, dst, src);
}

static inline void emit_movzx16(struct emit *e, unsigned dst, unsigned src)
{
    u8 rex = rex_bits(dst, H_NONE, src);
    if (rex)
        emit_byte(e, 0x40 | rex);
    emit_byte(e, 0x0f);
    emit_byte(e, 0xb7);
    emit_byte(e, (u8)(0xc0 | (dst & 7) << 3 | (src & 7)));
}

static inline void emit_mov_imm32(struct emit *e, unsigned dst, u32 imm)
{
    if (dst & 8)
        emit_byte(e, 0x41);
    emit_byte(e, (u8)(0xb8 | (dst & 7)));
    emit_u32(e, imm);
}

static inline void emit_mov_imm64(struct emit *e, unsigned dst, u64 imm)
{
    if (imm <= 0xffffffff) {
        emit_mov_imm32(e, dst, (u32)imm);
        return;
    }
    emit_byte(e, 0x48 | (dst & 8 ? 1 : 0));
    emit_byte(e, (u8)(0xb8 | (dst & 7)));
    emit_u64(e, imm);
}

static inline void emit_load(struct emit *e, unsigned dst, s32 disp)
{
    emit_op_mem(e, true, 0x8b, dst, H_VCPU, H_NONE, 1, disp);
}

static inline void emit_load32(struct emit *e, unsigned dst, s32 disp)
{
    emit_op_mem(e, false, 0x8b, dst, H_VCPU, H_NONE, 1, disp);
}

static inline void emit_store(struct emit *e, unsigned src, s32 disp)
{
    emit_op_mem(e, true, 0x89, src, H_VCPU, H_NONE, 1, disp);
}

static inline void emit_lea(struct emit *e, bool w, unsigned dst, unsigned base, unsigned index, unsigned scale,
                            s32 disp)
{
    emit_op_mem(e, w, 0x8d, dst, base, index, scale, disp);
}

/* lea dst, [base + disp] of LEA_LONG bytes, whatever the displacement */
#define LEA_LONG 7
static inline void emit_lea_long(struct emit *e, unsigned dst, unsigned base, s32 disp)
{
    emit_byte(e, 0x48 | rex_bits(dst, H_NONE, base));
    emit_byte(e, 0x8d);
    emit_byte(e, (u8)(0x80 | (dst & 7) << 3 | (base & 7)));
    emit_u32(e, (u32)disp);
}

static inline void emit_vex(struct emit *e, unsigned r, unsigned x, unsigned b, u8 map, bool w, unsigned vvvv, u8 pp)
{
    emit_byte(e, 0xc4);
    emit_byte(e, (u8)((r & 8 ? 0 : 0x80) | (x & 8 ? 0 : 0x40) | (b & 8 ? 0 : 0x20) | map));
    emit_byte(e, (u8)((w ? 0x80 : 0) | (~vvvv & 15) << 3 | pp));
}

/* pext dst, src, [vcpu + disp] */
static inline void emit_pext(struct emit *e, unsigned dst, unsigned src, s32 disp)
{
    emit_vex(e, dst, 0, H_VCPU, 2, true, src, 2);
    emit_byte(e, 0xf5);
    emit_modrm_mem(e, dst, H_VCPU, H_NONE, 1, disp);
}

/* dst = src >> 12: the low six bits of H_VCPU are 12. */
static inline void emit_shr12(struct emit *e, unsigned dst, unsigned src)
{
    emit_vex(e, dst, 0, src, 2, true, H_VCPU, 3);
    emit_byte(e, 0xf7);
    emit_byte(e, (u8)(0xc0 | (dst & 7) << 3 | (src & 7)));
}

/* dst = src >> count (arithmetic), BMI2 */
static inline void emit_sarx(struct emit *e, bool w, unsigned dst, unsigned src, unsigned count)
{
    emit_vex(e, dst, 0, src, 2, w, count, 2);
    emit_byte(e, 0xf7);
    emit_byte(e, (u8)(0xc0 | (dst & 7) << 3 | (src & 7)));
}

/* mov dst, gs:[index * 8 + disp] */
static inline void emit_gs_load(struct emit *e, unsigned dst, unsigned index, u32 disp)
{
    emit_byte(e, 0x65);
    emit_op_mem(e, true, 0x8b, dst, H_NONE, index, 8, (s32)disp);
}

/* Short JRCXZ over what follows; patched by emit_here8. */
static inline u8 *emit_jrcxz(struct emit *e)
{
    emit_byte(e, 0xe3);
    emit_byte(e, 0);
    return e->p;
}

/* Short JMP, patched the same way. */
static inline u8 *emit_jmp8(struct emit *e)
{
    emit_byte(e, 0xeb);
    emit_byte(e, 0);
    return e->p;
}

static inline void emit_here8(struct emit *e, u8 *after)
{
    if (e->p <= e->end)
        after[-1] = (u8)(e->p - after);
}

/* One instruction of as many bytes as a JMP with a 32-bit displacement. */
static inline void emit_nop5(struct emit *e)
{
    static const u8 nop[5] = {0x0f, 0x1f, 0x44, 0, 0}; /* nopl 0(rax, rax) with 8 bits of displacement */
    emit_bytes(e, nop, sizeof nop);
}

/* Up to `align`, a power of two, by few instructions. */
static inline void emit_align(struct emit *e, unsigned align)
{
    static const u8 nop[8] = {0x0f, 0x1f, 0x84}; /* nopl 0(rax, rax) with 32 bits of displacement */
    unsigned n = (unsigned)-(u64)e->p & (align - 1);
    for (; n >= sizeof nop; n -= sizeof nop)
        emit_bytes(e, nop, sizeof nop);
    while (n--)
        emit_byte(e, 0x90);
}

static inline void emit_jmp(struct emit *e, const u8 *target)
{
    emit_byte(e, 0xe9);
    emit_u32(e, (u32)(target - (e->p + 4)));
}

static inline void emit_jmp_vcpu(struct emit *e, s32 disp)
{
    emit_byte(e, 0xff);
    emit_modrm_mem(e, 4, H_VCPU, H_NONE, 1, disp);
}

static inline void emit_call_vcpu(struct emit *e, s32 disp)
{
    emit_byte(e, 0xff);
    emit_modrm_mem(e, 2, H_VCPU, H_NONE, 1, disp);
}

static inline void patch_rel32(u8 *field, const u8 *target)
{
    u32 rel = (u32)(target - (field + 4));
    __atomic_store_n((u32 *)field, rel, __ATOMIC_RELEASE);
}

#endif
