/*
 * SYSCALL and SYSRET between 64-bit code of CPL 3 and CPL 0 as brief instructions (brief.c): where the TLB contexts of
 * both know each other (tlb.beside) and no request waits, translated code goes on behind them without C. What they do
 * is in insn/syscall.c, whose checks are made here before anything changes. Each piece is jumped to with the
 * instruction in rcx, and jumps on by the jump cache: a CALL without its RET would leave the host's stack of return
 * addresses wrong for all returns that follow. Nothing comes back from the handlers, which end their block.
 *
 * Not brief: flags that the two leave set here and there (TF, AC), or that a kernel does not have SYSCALL clear.
 */
#include "cpu/core/stats.h"
#include "cpu/insn/syscall.h"
#include "cpu/jit/translate.h"

/* Flags that vcpu.sfmask must clear for SYSCALL to be brief, and that must be 0 in R11 for SYSRET. */
#define CLEARED (FLAGS_ARITH | FLAG_AC | FLAG_TF)
#define REFUSED (FLAG_AC | FLAG_TF)

#define SELECTOR 0xfffc /* without the RPL */

enum { AL = 0, CL = 1, AH = 4 };

/* rcx = 0 if the field of the vCPU has all bits of the mask, else more. Uses rax. */
static void emit_all_set(struct emit *e, s32 field, u32 mask)
{
    emit_load(e, RAX, field);
    emit_not(e, true, RAX);
    emit_mov_imm32(e, RCX, mask);
    emit_pext_reg(e, RCX, RAX, RCX);
}

/* The same if it has none of them. */
static void emit_none_set(struct emit *e, s32 field, u32 mask)
{
    emit_load(e, RAX, field);
    emit_mov_imm32(e, RCX, mask);
    emit_pext_reg(e, RCX, RAX, RCX);
}

/* rcx += rax; both are small, so that only two zeros make a zero. */
static void emit_also(struct emit *e)
{
    emit_lea(e, true, RCX, RCX, RAX, 1, 0);
}

/* r11 = the context on the other side; returns the jump ahead for "it is known, and may be entered". Behind it stands
 * the way to the handler. rcx is 0 so far, or the handler is needed. What rax was is in the vCPU. */
static u8 *emit_context_check(struct emit *e, s32 mode)
{
    u8 *good = emit_jrcxz(e);
    emit_refused(e);
    emit_here8(e, good);
    emit_load(e, R11, CALLED_DISP(tlb));
    emit_load_mem(e, 8, RCX, R11, H_NONE, offsetof(struct tlb, beside[BESIDE_CPL]));
    u8 *none = emit_jrcxz(e);
    emit_mov(e, R11, RCX);
    emit_context_ready(e, mode);
    u8 *ready = emit_jrcxz(e);
    emit_here8(e, none);
    emit_refused(e);
    return ready;
}

static void emit_segment_load(struct emit *e, unsigned seg, u32 attr)
{
    const s32 at = CALLED_DISP(seg[0]) + (s32)(seg * sizeof(struct segment));
    _Static_assert(offsetof(struct segment, attr) == offsetof(struct segment, limit) + 4, "one store has both");
    emit_mov_imm32(e, RCX, 0);
    emit_store(e, RCX, at + (s32)offsetof(struct segment, base));
    emit_mov_imm64(e, RCX, (u64)attr << 32 | 0xffffffff);
    emit_store(e, RCX, at + (s32)offsetof(struct segment, limit));
}

/* The selector in rax plus `more`. */
static void emit_selector_load(struct emit *e, unsigned seg, s32 more)
{
    emit_lea(e, false, RCX, RAX, H_NONE, 1, more);
    emit_store16(e, RCX, CALLED_DISP(seg[0].sel) + (s32)(seg * sizeof(struct segment)));
}

/* The RPL in eax is 3. */
static void emit_rpl3(struct emit *e)
{
    emit_mov_imm32(e, RCX, SELECTOR);
    emit_pext_reg(e, RAX, RAX, RCX);
    emit_pdep_reg(e, RAX, RAX, RCX);
    emit_lea(e, false, RAX, RAX, H_NONE, 1, 3);
}

/* Enters the context in r11 at a CPL. */
static void emit_enter(struct emit *e, u32 cpl, s32 mode)
{
    emit_mov_imm32(e, RAX, cpl);
    emit_store32(e, RAX, CALLED_DISP(cpl));
    emit_load32(e, RAX, mode);
    emit_store32(e, RAX, CALLED_DISP(mode));
    emit_context_use(e);
}

/* RSP is as it is in pieces that are CALLed. */
static void emit_begin(struct emit *e)
{
    emit_lea(e, true, RSP, RSP, H_NONE, 1, -8);
}

/* Goes on at the linear address in r11. */
static void emit_go_on(struct emit *e)
{
    emit_load(e, RAX, CALLED_DISP(gpr[RAX]));
    emit_lea(e, true, RSP, RSP, H_NONE, 1, 8);
    emit_jump_cache(NULL, e, 0);
}

/* r11 is the address of the next instruction. */
void piece_syscall(struct emit *e)
{
    const s32 mode = CALLED_DISP(mode_crossed[0]);
    emit_begin(e);
    emit_store(e, RCX, CALLED_DISP(resume_rcx));
    emit_store(e, R11, CALLED_DISP(resume_r11));
    emit_store(e, RAX, CALLED_DISP(gpr[RAX]));
    emit_all_set(e, CALLED_DISP(efer), EFER_SCE);
    emit_load(e, RAX, CALLED_DISP(request));
    emit_also(e);
    emit_mov(e, R11, RCX);
    emit_all_set(e, CALLED_DISP(sfmask), CLEARED);
    emit_lea(e, true, RCX, RCX, R11, 1, 0);
    u8 *ready = emit_context_check(e, mode);
    emit_here8(e, ready);
    emit_load(e, RAX, CALLED_DISP(stat[STAT_SYSCALL]));
    emit_lea(e, true, RAX, RAX, H_NONE, 1, 1);
    emit_store(e, RAX, CALLED_DISP(stat[STAT_SYSCALL]));
    /* R11 = RFLAGS */
    emit_flags_image(e, H_GUEST_RCX); /* RCX is about to be overwritten */
    emit_store(e, H_GUEST_RCX, CALLED_DISP(gpr[R11]));
    /* RFLAGS &= ~vcpu.sfmask */
    emit_load(e, RCX, CALLED_DISP(sfmask));
    emit_not(e, true, RCX);
    emit_load(e, RAX, CALLED_DISP(flags));
    emit_lea(e, true, RAX, RAX, H_NONE, 1, -(s32)FLAG_ONE);
    emit_pext_reg(e, RAX, RAX, RCX);
    emit_pdep_reg(e, RAX, RAX, RCX);
    emit_lea(e, true, RAX, RAX, H_NONE, 1, FLAG_ONE);
    emit_store(e, RAX, CALLED_DISP(flags));
    /* CS, SS */
    emit_segment_load(e, SEG_CS, SYSCALL_CODE(0) | SEG_L);
    emit_segment_load(e, SEG_SS, SYSCALL_STACK(0));
    emit_load16(e, RAX, CALLED_DISP(star) + 4);
    emit_mov_imm32(e, RCX, SELECTOR);
    emit_pext_reg(e, RAX, RAX, RCX);
    emit_pdep_reg(e, RAX, RAX, RCX);
    emit_selector_load(e, SEG_CS, 0);
    emit_selector_load(e, SEG_SS, 8);
    emit_enter(e, 0, mode);
    emit_mov_imm32(e, RAX, (u32)FLAG_ONE << 8); /* AH: no flag; AL: OF is 0 */
    emit_flags_load(e);
    emit_load(e, H_GUEST_RCX, CALLED_DISP(resume_r11));
    emit_load(e, R11, CALLED_DISP(lstar));
    emit_go_on(e);
}

static void emit_sysret(struct emit *e, bool amd)
{
    enum { LOWER_HALF = 47 };
    const u32 kept = FLAGS_DEFINED & ~(u32)(FLAGS_ARITH | FLAG_RF | FLAG_VM | REFUSED);
    const s32 mode = CALLED_DISP(mode_crossed[1]);
    emit_begin(e);
    emit_store(e, RCX, CALLED_DISP(resume_rcx));
    emit_store(e, RAX, CALLED_DISP(gpr[RAX]));
    emit_all_set(e, CALLED_DISP(efer), EFER_SCE);
    emit_load(e, RAX, CALLED_DISP(request));
    emit_also(e);
    emit_load8(e, RAX, CALLED_DISP(intr_masked));
    emit_also(e);
    emit_mov(e, R11, RCX);
    emit_none_set(e, CALLED_DISP(gpr[R11]), REFUSED);
    emit_lea(e, true, R11, R11, RCX, 1, 0);
    emit_mov_imm64(e, RCX, ~(BIT64(LOWER_HALF) - 1));
    emit_pext_reg(e, RCX, H_GUEST_RCX, RCX);
    emit_lea(e, true, RCX, RCX, R11, 1, 0);
    u8 *ready = emit_context_check(e, mode);
    emit_here8(e, ready);
    /* CS, SS */
    emit_load16(e, RAX, CALLED_DISP(star) + 6);
    emit_selector_load(e, SEG_SS, 8); /* the RPL of an Intel CPU follows */
    emit_segment_load(e, SEG_CS, SYSCALL_CODE(3) | SEG_L);
    if (!amd)
        emit_segment_load(e, SEG_SS, SYSCALL_STACK(3));
    emit_lea(e, false, RAX, RAX, H_NONE, 1, 8);
    if (!amd) {
        emit_rpl3(e);
        emit_selector_load(e, SEG_SS, 0);
    }
    emit_lea(e, false, RAX, RAX, H_NONE, 1, 8);
    emit_rpl3(e);
    emit_selector_load(e, SEG_CS, 0);
    emit_enter(e, 3, mode);
    /* RFLAGS = R11 */
    emit_load(e, R11, CALLED_DISP(gpr[R11]));
    emit_mov_imm32(e, RCX, kept);
    emit_pext_reg(e, RAX, R11, RCX);
    emit_pdep_reg(e, RAX, RAX, RCX);
    emit_lea(e, true, RAX, RAX, H_NONE, 1, FLAG_ONE);
    emit_store(e, RAX, CALLED_DISP(flags));
    emit_mov_imm32(e, RCX, FLAG_OF);
    emit_pext_reg(e, RCX, R11, RCX);
    emit_mov(e, RAX, R11);
    emit_mov8(e, AH, AL);
    emit_mov8(e, AL, CL);
    emit_flags_load(e);
    emit_mov(e, R11, H_GUEST_RCX);
    emit_go_on(e);
}

void piece_sysret(struct emit *e)
{
    emit_sysret(e, false);
}

void piece_sysret_amd(struct emit *e)
{
    emit_sysret(e, true);
}
