/*
 * The host instructions that the translator inserts, one function each. All of them leave RFLAGS alone, but for
 * emit_flags_load. H_* say what
 * translated code keeps in which host register (see enter.S).
 */
#ifndef CPU_JIT_EMIT_H
#define CPU_JIT_EMIT_H

#include "cpu/jit/encode.h"

enum {
    H_SCRATCH = RCX, /* tested by JRCXZ and LOOP */
    H_ADDR = R11,    /* linear address of a memory operand, target of an indirect branch */
    H_VCPU = RSP,
    H_GUEST_RCX = R14,
    H_GUEST_RSP = R15,
};

/* Displacement of a vCPU field from H_VCPU; the same behind a CALL, which has pushed the return address. */
#define VCPU_DISP(field) ((s32)offsetof(struct vcpu, field) - VCPU_BIAS)
#define CALLED_DISP(field) (VCPU_DISP(field) + 8)

static inline s32 gpr_disp(unsigned reg)
{
    return VCPU_DISP(gpr) + (s32)reg * 8;
}

/* -- moves between registers -- */

/* mov dst, src: all 64 bits */
static inline void emit_mov(struct emit *e, unsigned dst, unsigned src)
{
    if (dst != src)
        emit_op_reg(e, true, 0x89, src, dst);
}

/* mov dst32, src32 */
static inline void emit_mov32(struct emit *e, unsigned dst, unsigned src)
{
    emit_op_reg(e, false, 0x89, src, dst);
}

/* mov dst16, src16: the rest of dst stays */
static inline void emit_mov16(struct emit *e, unsigned dst, unsigned src)
{
    emit_byte(e, BYTE_OPERAND_SIZE);
    emit_mov32(e, dst, src);
}

static inline void emit_mov_sized(struct emit *e, unsigned size, unsigned dst, unsigned src)
{
    if (size == 8)
        emit_mov(e, dst, src);
    else if (size == 4)
        emit_mov32(e, dst, src);
    else
        emit_mov16(e, dst, src);
}

/* mov dst8, src8: of RAX to RBX, or AH to BH as 4 to 7 */
static inline void emit_mov8(struct emit *e, unsigned dst, unsigned src)
{
    emit_op_reg(e, false, 0x88, src, dst);
}

/* movzx dst32, src16 */
static inline void emit_movzx16(struct emit *e, unsigned dst, unsigned src)
{
    emit_op0f_reg(e, false, 0xb7, dst, src);
}

/* movzx dst32, al */
static inline void emit_movzx_al(struct emit *e, unsigned dst)
{
    emit_op0f_reg(e, false, 0xb6, dst, RAX);
}

/* movzx ecx, ah */
static inline void emit_movzx_ah(struct emit *e)
{
    emit_op0f_reg(e, false, 0xb6, RCX, 4);
}

/* movsx dst32, src16 */
static inline void emit_movsx16(struct emit *e, unsigned dst, unsigned src)
{
    emit_op0f_reg(e, false, 0xbf, dst, src);
}

/* movsxd dst64, src32 */
static inline void emit_movsxd(struct emit *e, unsigned dst, unsigned src)
{
    emit_op_reg(e, true, 0x63, dst, src);
}

/* mov dst32, imm32 */
static inline void emit_mov_imm32(struct emit *e, unsigned dst, u32 imm)
{
    emit_rex(e, rex_bits(H_NONE, H_NONE, dst));
    emit_byte(e, (u8)(0xb8 | (dst & 7)));
    emit_u32(e, imm);
}

/* mov dst64, imm64, shorter if 32 bits are enough */
static inline void emit_mov_imm64(struct emit *e, unsigned dst, u64 imm)
{
    if (imm <= 0xffffffff) {
        emit_mov_imm32(e, dst, (u32)imm);
        return;
    }
    emit_rex(e, rex_bits(H_NONE, H_NONE, dst) | REX_W);
    emit_byte(e, (u8)(0xb8 | (dst & 7)));
    emit_u64(e, imm);
}

/* -- fields of the vCPU -- */

/* mov dst, [vcpu + disp] */
static inline void emit_load(struct emit *e, unsigned dst, s32 disp)
{
    emit_op_mem(e, true, 0x8b, dst, H_VCPU, H_NONE, 1, disp);
}

/* mov dst32, [vcpu + disp] */
static inline void emit_load32(struct emit *e, unsigned dst, s32 disp)
{
    emit_op_mem(e, false, 0x8b, dst, H_VCPU, H_NONE, 1, disp);
}

/* movzx dst32, word [vcpu + disp] */
static inline void emit_load16(struct emit *e, unsigned dst, s32 disp)
{
    emit_op0f_mem(e, false, 0xb7, dst, H_VCPU, H_NONE, 1, disp);
}

/* movzx dst32, byte [vcpu + disp] */
static inline void emit_load8(struct emit *e, unsigned dst, s32 disp)
{
    emit_op0f_mem(e, false, 0xb6, dst, H_VCPU, H_NONE, 1, disp);
}

/* mov [vcpu + disp], src */
static inline void emit_store(struct emit *e, unsigned src, s32 disp)
{
    emit_op_mem(e, true, 0x89, src, H_VCPU, H_NONE, 1, disp);
}

/* mov [vcpu + disp], src32 */
static inline void emit_store32(struct emit *e, unsigned src, s32 disp)
{
    emit_op_mem(e, false, 0x89, src, H_VCPU, H_NONE, 1, disp);
}

/* mov [vcpu + disp], src16 */
static inline void emit_store16(struct emit *e, unsigned src, s32 disp)
{
    emit_byte(e, BYTE_OPERAND_SIZE);
    emit_op_mem(e, false, 0x89, src, H_VCPU, H_NONE, 1, disp);
}

/* -- guest memory at [base + index + disp]; sizes are 2, 4 and 8 bytes -- */

/* mov dst, [...], 2 bytes zero-extended */
static inline void emit_load_mem(struct emit *e, unsigned size, unsigned dst, unsigned base, unsigned index, s32 disp)
{
    if (size == 2)
        emit_op0f_mem(e, false, 0xb7, dst, base, index, 1, disp);
    else
        emit_op_mem(e, size == 8, 0x8b, dst, base, index, 1, disp);
}

/* mov [...], src */
static inline void emit_store_mem(struct emit *e, unsigned size, unsigned src, unsigned base, unsigned index, s32 disp)
{
    if (size == 2)
        emit_byte(e, BYTE_OPERAND_SIZE);
    emit_op_mem(e, size == 8, 0x89, src, base, index, 1, disp);
}

/* mov [...], imm: sign-extended from 32 bits for 8 bytes */
static inline void emit_store_imm(struct emit *e, unsigned size, u64 imm, unsigned base, unsigned index, s32 disp)
{
    if (size == 2)
        emit_byte(e, BYTE_OPERAND_SIZE);
    emit_op_mem(e, size == 8, 0xc7, 0, base, index, 1, disp);
    if (size == 2)
        emit_u16(e, (u16)imm);
    else
        emit_u32(e, (u32)imm);
}

/* mov al, [base + index] */
static inline void emit_load_al(struct emit *e, unsigned base, unsigned index)
{
    emit_op_mem(e, false, 0x8a, RAX, base, index, 1, 0);
}

/* op [base], bit: BT, BTS, BTR or BTC of the guest, as its opcode in map 1 says. `bit` is one of R8 to R15. */
static inline void emit_bit_op(struct emit *e, bool lock, unsigned size, u8 opcode, unsigned bit, unsigned base)
{
    if (lock)
        emit_byte(e, BYTE_LOCK);
    if (size == 2)
        emit_byte(e, BYTE_OPERAND_SIZE);
    emit_op0f_mem(e, size == 8, opcode, bit, base, H_NONE, 1, 0);
}

/* -- arithmetic without flags -- */

/* lea dst, [base + index * scale + disp]: 64 bits if w, else the low 32 */
static inline void emit_lea(struct emit *e, bool w, unsigned dst, unsigned base, unsigned index, unsigned scale,
                            s32 disp)
{
    emit_op_mem(e, w, 0x8d, dst, base, index, scale, disp);
}

/* lea dst, [base + disp] of LEA_LONG bytes, whatever the displacement; base is not RSP or R12. With an index, which may
 * be H_NONE, it has one byte more. */
#define LEA_LONG 7
static inline void emit_lea_long(struct emit *e, unsigned dst, unsigned base, unsigned index, s32 disp)
{
    emit_rex(e, rex_bits(dst, index, base) | REX_W);
    emit_byte(e, 0x8d);
    emit_byte(e, modrm(2, dst, index == H_NONE ? base : MODRM_SIB));
    if (index != H_NONE)
        emit_byte(e, modrm(0, index, base));
    emit_u32(e, (u32)disp);
}

/* pext dst, src, [vcpu + disp] */
static inline void emit_pext(struct emit *e, unsigned dst, unsigned src, s32 disp)
{
    emit_vex(e, dst, 0, H_VCPU, 2, true, src, VEX_PP_F3, 0xf5);
    emit_modrm_mem(e, dst, H_VCPU, H_NONE, 1, disp);
}

/* pext dst, src, mask */
static inline void emit_pext_reg(struct emit *e, unsigned dst, unsigned src, unsigned mask)
{
    emit_vex(e, dst, 0, mask, 2, true, src, VEX_PP_F3, 0xf5);
    emit_modrm_reg(e, dst, mask);
}

/* pdep dst, src, mask */
static inline void emit_pdep_reg(struct emit *e, unsigned dst, unsigned src, unsigned mask)
{
    emit_vex(e, dst, 0, mask, 2, true, src, VEX_PP_F2, 0xf5);
    emit_modrm_reg(e, dst, mask);
}

/* rorx dst, src, count: rotates right; 64 bits if w, else 32 */
static inline void emit_rorx(struct emit *e, bool w, unsigned dst, unsigned src, u8 count)
{
    emit_vex(e, dst, 0, src, 3, w, 0, VEX_PP_F2, 0xf0);
    emit_modrm_reg(e, dst, src);
    emit_byte(e, count);
}

/* not dst: 64 bits if w, else 32 */
static inline void emit_not(struct emit *e, bool w, unsigned dst)
{
    emit_op_reg(e, w, 0xf7, 2, dst);
}

/* shrx dst, src, rsp: dst = src >> 12, because the low six bits of H_VCPU are 12 */
static inline void emit_shr12(struct emit *e, unsigned dst, unsigned src)
{
    emit_vex(e, dst, 0, src, 2, true, H_VCPU, VEX_PP_F2, 0xf7);
    emit_modrm_reg(e, dst, src);
}

/* shrx dst32, [vcpu + disp], count32 */
static inline void emit_shrx32(struct emit *e, unsigned dst, s32 disp, unsigned count)
{
    emit_vex(e, dst, 0, H_VCPU, 2, false, count, VEX_PP_F2, 0xf7);
    emit_modrm_mem(e, dst, H_VCPU, H_NONE, 1, disp);
}

/* sarx dst, src, count: arithmetic; 64 bits if w, else 32 */
static inline void emit_sarx(struct emit *e, bool w, unsigned dst, unsigned src, unsigned count)
{
    emit_vex(e, dst, 0, src, 2, w, count, VEX_PP_F3, 0xf7);
    emit_modrm_reg(e, dst, src);
}

/* -- flags -- */

/* AH = SF ZF AF PF CF as in RFLAGS, and bit 1 */
static inline void emit_lahf(struct emit *e)
{
    emit_byte(e, 0x9f);
}

/* AL = OF */
static inline void emit_seto_al(struct emit *e)
{
    emit_op0f_reg(e, false, 0x90, 0, RAX);
}

/* The way back: this one sets the flags, to what AH and AL say. OF is what adding 127 to AL makes of it. */
static inline void emit_flags_load(struct emit *e)
{
    emit_byte(e, 0x04);
    emit_byte(e, 127);
    emit_byte(e, 0x9e);
}

/* -- time -- */

static inline void emit_lfence(struct emit *e)
{
    emit_op0f_reg(e, false, 0xae, 5, 0);
}

static inline void emit_rdtsc(struct emit *e)
{
    emit_byte(e, BYTE_ESCAPE);
    emit_byte(e, 0x31);
}

/* -- strings: RCX elements of 1, 2, 4 or 8 bytes at RDI, from RAX or RSI -- */

static inline void emit_rep(struct emit *e, unsigned size, u8 opcode)
{
    emit_byte(e, BYTE_REP);
    if (size == 2)
        emit_byte(e, BYTE_OPERAND_SIZE);
    emit_rex(e, size == 8 ? REX_W : 0);
    emit_byte(e, size == 1 ? opcode : opcode | 1);
}

static inline void emit_rep_movs(struct emit *e, unsigned size)
{
    emit_rep(e, size, 0xa4);
}

static inline void emit_rep_stos(struct emit *e, unsigned size)
{
    emit_rep(e, size, 0xaa);
}

/* -- the TLB context, at GS and RSP together (tlb.gs_base): its first array is reached without a displacement -- */

/* Displacement of a field of the context; the same behind a CALL. */
#define TLB_DISP(field) ((s32)offsetof(struct tlb, field))
#define CALLED_TLB(field) (TLB_DISP(field) + 8)

/* wrgsbase src */
static inline void emit_wrgsbase(struct emit *e, unsigned src)
{
    emit_byte(e, BYTE_REP);
    emit_op0f_reg(e, true, 0xae, 3, src);
}

/* mov dst, gs:[rsp + index * 8 + disp]; index may be H_NONE */
static inline void emit_gs_load(struct emit *e, unsigned dst, unsigned index, s32 disp)
{
    emit_byte(e, BYTE_SEG_GS);
    emit_op_mem(e, true, 0x8b, dst, H_VCPU, index, 8, disp);
}

/* jmp gs:[rsp + index * 8 + disp] */
static inline void emit_gs_jmp(struct emit *e, unsigned index, s32 disp)
{
    emit_byte(e, BYTE_SEG_GS);
    emit_op_mem(e, false, 0xff, 4, H_VCPU, index, 8, disp);
}

/* mov gs:[rsp + index * 8 + disp], src */
static inline void emit_gs_store(struct emit *e, unsigned src, unsigned index, s32 disp)
{
    emit_byte(e, BYTE_SEG_GS);
    emit_op_mem(e, true, 0x89, src, H_VCPU, index, 8, disp);
}

/* push gs:[rsp + index * 8 + disp] */
static inline void emit_gs_push(struct emit *e, unsigned index, s32 disp)
{
    emit_byte(e, BYTE_SEG_GS);
    emit_op_mem(e, false, 0xff, 6, H_VCPU, index, 8, disp);
}

/* -- jumps -- */

/* Condition codes, as in Jcc's opcodes; the lowest bit negates. */
enum { CC_NOT = 1, CC_Z = 4, CC_NZ = 5, CC_MASK = 15 };

/* Jumps ahead to where emit_here8 or emit_here32 is called with what they return. */

/* jrcxz ahead */
static inline u8 *emit_jrcxz(struct emit *e)
{
    emit_byte(e, 0xe3);
    emit_byte(e, 0);
    return e->p;
}

/* loop ahead: rcx -= 1; jumps if that is not 0 */
static inline u8 *emit_loop(struct emit *e)
{
    emit_byte(e, 0xe2);
    emit_byte(e, 0);
    return e->p;
}

/* jrcxz back to there. Returns false, and emits nothing, if that is too far. */
static inline bool emit_jrcxz_back(struct emit *e, const u8 *to)
{
    s64 by = to - (e->p + 2);
    if (by < INT8_MIN)
        return false;
    emit_byte(e, 0xe3);
    emit_byte(e, (u8)by);
    return true;
}

/* jmp short ahead */
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

/* jmp target; the rel32 is in its last four bytes, as in emit_jcc */
static inline void emit_jmp(struct emit *e, const u8 *target)
{
    emit_byte(e, 0xe9);
    emit_u32(e, (u32)(target - (e->p + 4)));
}

/* jcc target */
static inline void emit_jcc(struct emit *e, u8 cc, const u8 *target)
{
    emit_byte(e, BYTE_ESCAPE);
    emit_byte(e, 0x80 | cc);
    emit_u32(e, (u32)(target - (e->p + 4)));
}

/* jmp ahead, jcc ahead */
static inline u8 *emit_jmp32(struct emit *e)
{
    emit_jmp(e, e->p);
    return e->p;
}

static inline u8 *emit_jcc32(struct emit *e, u8 cc)
{
    emit_jcc(e, cc, e->p);
    return e->p;
}

static inline void patch_rel32(u8 *field, const u8 *target)
{
    u32 rel = (u32)(target - (field + 4));
    __atomic_store_n((u32 *)field, rel, __ATOMIC_RELEASE);
}

static inline void emit_here32(struct emit *e, u8 *after)
{
    if (e->p <= e->end)
        patch_rel32(after - 4, e->p);
}

/* jmp [vcpu + disp] */
static inline void emit_jmp_vcpu(struct emit *e, s32 disp)
{
    emit_op_mem(e, false, 0xff, 4, H_VCPU, H_NONE, 1, disp);
}

/* call [vcpu + disp] */
static inline void emit_call_vcpu(struct emit *e, s32 disp)
{
    emit_op_mem(e, false, 0xff, 2, H_VCPU, H_NONE, 1, disp);
}

/* jmp target */
static inline void emit_jmp_reg(struct emit *e, unsigned target)
{
    emit_op_reg(e, false, 0xff, 4, target);
}

/* call target */
static inline void emit_call(struct emit *e, const u8 *target)
{
    emit_byte(e, 0xe8);
    emit_u32(e, (u32)(target - (e->p + 4)));
}

static inline void emit_ret(struct emit *e)
{
    emit_byte(e, 0xc3);
}

/* pop dst */
static inline void emit_pop_host(struct emit *e, unsigned dst)
{
    emit_rex(e, rex_bits(H_NONE, H_NONE, dst));
    emit_byte(e, (u8)(0x58 | (dst & 7)));
}

/* ret bytes: releases so many more */
static inline void emit_ret_release(struct emit *e, u16 bytes)
{
    emit_byte(e, 0xc2);
    emit_u16(e, bytes);
}

/* -- padding -- */

/* Pads so many bytes, by instructions of up to nine bytes: each takes as long to decode as a short one. */
static inline void emit_nops(struct emit *e, unsigned bytes)
{
    enum { LONGEST = 9 };
    static const u8 nop[LONGEST][LONGEST] = {
        {0x90},
        {BYTE_OPERAND_SIZE, 0x90},
        {BYTE_ESCAPE, 0x1f, 0x00},
        {BYTE_ESCAPE, 0x1f, 0x40},
        {BYTE_ESCAPE, 0x1f, 0x44},
        {BYTE_OPERAND_SIZE, BYTE_ESCAPE, 0x1f, 0x44},
        {BYTE_ESCAPE, 0x1f, 0x80},
        {BYTE_ESCAPE, 0x1f, 0x84},
        {BYTE_OPERAND_SIZE, BYTE_ESCAPE, 0x1f, 0x84},
    };
    while (bytes) {
        unsigned n = bytes < LONGEST ? bytes : LONGEST;
        emit_bytes(e, nop[n - 1], n);
        bytes -= n;
    }
}

/* Pads up to `align`, a power of two. */
static inline void emit_align(struct emit *e, unsigned align)
{
    emit_nops(e, (unsigned)-(u64)e->p & (align - 1));
}

/* Pads so that the rel32 of the jump that comes next, behind so many bytes of opcode, lies in one cache line and can be
 * patched atomically. */
static inline void emit_align_rel32(struct emit *e, unsigned opcode_bytes)
{
    enum { LINE = 64, FIELD = 4 };
    unsigned at = ((u64)e->p + opcode_bytes) % LINE;
    if (at > LINE - FIELD)
        emit_nops(e, LINE - at);
}

#endif
