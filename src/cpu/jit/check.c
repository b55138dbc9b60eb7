/*
 * TLB checks that all blocks share, at the start of the code cache: translated code CALLs one with the linear address
 * in r11 and finds host minus linear in rcx. What is not in a loop within its block uses them (operand.c), because what
 * runs once in a while costs by its bytes: it has to be fetched each time. docs/engine.md "Memory" has the sequence.
 *
 * A check that fails leaves to exec_thunk_check_missed, which finds the site of the access by the return address.
 * Groups whose windows cross into another page are so frequent that they go on in their twins without C from then on.
 * Jumps by the jump cache and looks at requests are shared in the same way; they also count down to the next jump that
 * dispatch.c looks at, to find the blocks that get code of their own.
 */
#include "cpu/jit/block.h"
#include "cpu/jit/translate.h"

/* rcx = the linear address in r11 plus `disp` plus the tag, whose index the mask makes. */
static void emit_tag_sum(struct emit *e, s32 mask, s32 tags, s32 disp)
{
    emit_pext(e, H_SCRATCH, H_ADDR, mask);
    emit_gs_load(e, H_SCRATCH, H_SCRATCH, tags);
    emit_lea(e, true, H_SCRATCH, H_SCRATCH, H_ADDR, 1, disp);
}

/* Jumps by the JRCXZ that it returns if the tag says that the address in r11 and the `size` bytes there lie in its
 * page. */
static u8 *emit_called_check(struct emit *e, s32 mask, s32 tags, unsigned size)
{
    emit_tag_sum(e, mask, tags, (s32)size - 1);
    emit_pext(e, H_SCRATCH, H_SCRATCH, CALLED_DISP(page_mask)); /* the shift count in RSP is another one here */
    return emit_jrcxz(e);
}

/* Returns with rcx = what is in the entry that the mask makes the index of. */
static void emit_found(struct emit *e, s32 mask, s32 values)
{
    emit_pext(e, H_SCRATCH, H_ADDR, mask);
    emit_gs_load(e, H_SCRATCH, H_SCRATCH, values);
    emit_ret(e);
}

/* rcx = what one of vcpu.crossing's arrays has for the return address, which is left in r11. */
static void emit_crossing(struct emit *e, s32 array)
{
    emit_load(e, H_ADDR, 0);
    emit_pext(e, H_SCRATCH, H_ADDR, CALLED_DISP(crossing.mask));
    emit_op_mem(e, true, 0x8b, H_SCRATCH, H_VCPU, H_SCRATCH, 8, array);
}

/*
 * A check has failed. If it is known as that of a group, and its window, which starts at the address in r11, crosses
 * into another page, the block goes on in its twin, by a RET for the balance of the host's stack of return addresses.
 * Else C finds out more.
 */
static void emit_shared_miss(struct emit *e)
{
    emit_store(e, H_ADDR, CALLED_DISP(resume_r11));
    emit_crossing(e, CALLED_DISP(crossing.after));
    emit_lea(e, true, H_SCRATCH, H_SCRATCH, H_ADDR, 1, 0);
    u8 *known = emit_jrcxz(e);
    const u8 *leave = e->p;
    emit_load(e, H_ADDR, CALLED_DISP(resume_r11));
    emit_jmp_vcpu(e, CALLED_DISP(check_missed));
    emit_here8(e, known);
    emit_crossing(e, CALLED_DISP(crossing.last));
    emit_load(e, H_ADDR, CALLED_DISP(resume_r11));
    emit_pext(e, H_ADDR, H_ADDR, CALLED_DISP(crossing.page_offset));
    emit_lea(e, true, H_SCRATCH, H_SCRATCH, H_ADDR, 1, 0);
    emit_pext(e, H_SCRATCH, H_SCRATCH, CALLED_DISP(page_mask));
    u8 *within = emit_jrcxz(e);
    emit_crossing(e, CALLED_DISP(crossing.twin));
    emit_store(e, H_SCRATCH, 0);
    emit_ret(e);
    emit_here8(e, within);
    emit_jmp(e, leave);
}

static void emit_shared_check(struct emit *e, const u8 *missed, bool write, bool direct, unsigned size)
{
    const s32 mask = CALLED_DISP(tlb_mask), victim_mask = CALLED_DISP(victim_mask);
    if (direct) {
        u8 *hit = emit_called_check(e, mask, CALLED_TLB(dtag), size);
        u8 *other = emit_jmp8(e);
        emit_here8(e, hit);
        emit_load(e, H_SCRATCH, CALLED_DISP(direct));
        emit_ret(e);
        emit_here8(e, other);
    }
    u8 *hit = emit_called_check(e, mask, write ? CALLED_TLB(wtag) : CALLED_TLB(rtag), size);
    u8 *victim = emit_called_check(e, victim_mask, write ? CALLED_TLB(vwtag) : CALLED_TLB(vrtag), size);
    emit_jmp(e, missed);
    emit_here8(e, hit);
    emit_found(e, mask, write ? CALLED_TLB(wadd) : CALLED_TLB(radd));
    emit_here8(e, victim);
    emit_found(e, victim_mask, write ? CALLED_TLB(vwadd) : CALLED_TLB(vradd));
}

/* Returns the JRCXZ to patch, which jumps when the next sample is due. `left` is where vcpu.sample_left is. */
static u8 *emit_countdown(struct emit *e, s32 left)
{
    emit_load(e, H_SCRATCH, left);
    emit_lea(e, true, H_SCRATCH, H_SCRATCH, H_NONE, 1, -1);
    emit_store(e, H_SCRATCH, left);
    return emit_jrcxz(e);
}

/* Jumps by the JRCXZ that it returns if the tag is that of the linear address in r11. */
static u8 *emit_called_jump(struct emit *e, s32 mask, s32 tags)
{
    emit_tag_sum(e, mask, tags, 0);
    return emit_jrcxz(e);
}

/* rcx = where translated code goes on for the linear address in r11, by the jump cache. */
static void emit_shared_jump(struct emit *e, bool check)
{
    const s32 mask = CALLED_DISP(jump_mask), victim_mask = CALLED_DISP(jump_victim_mask);
    u8 *sample = emit_countdown(e, CALLED_DISP(sample_left));
    if (check) {
        emit_load(e, H_SCRATCH, CALLED_DISP(request));
        u8 *quiet = emit_jrcxz(e);
        emit_jmp_vcpu(e, CALLED_DISP(jump_missed));
        emit_here8(e, quiet);
    }
    u8 *hit = emit_called_jump(e, mask, CALLED_TLB(jtag));
    u8 *victim = emit_called_jump(e, victim_mask, CALLED_TLB(jvtag));
    emit_here8(e, sample);
    emit_jmp_vcpu(e, CALLED_DISP(jump_missed));
    emit_here8(e, hit);
    emit_found(e, mask, CALLED_TLB(jcode));
    emit_here8(e, victim);
    emit_found(e, victim_mask, CALLED_TLB(jvcode));
}

/* A CALL, whose return address is in r11, has called what follows the jump behind it, and that calls this: the return
 * stack notes the jump. Then the host predicts the return by its own stack, from which no CALL of the host was taken.
 */
static void emit_shared_pair(struct emit *e)
{
    const s32 pushed = 16;
    emit_return_note(e, pushed);
    emit_op_mem(e, true, 0x8b, H_ADDR, H_VCPU, H_NONE, 1, 8);
    emit_gs_store(e, H_ADDR, H_SCRATCH, RETURN_HOST + pushed);
    emit_ret_release(e, 8);
}

/* Goes on where the jump cache says, by a RET: translated code has CALLed, or would have. */
static void emit_return_to(struct emit *e, s32 mask, s32 values)
{
    emit_pext(e, H_SCRATCH, H_ADDR, mask);
    emit_gs_push(e, H_SCRATCH, values);
    emit_ret(e);
}

/*
 * A return to the linear address in r11 jumps to c->ret with its TRANSFER_* in rcx. What hot code does not know comes
 * to c->unknown, as emit_return_match leaves it, and emptied entries of the return stack lead to c->lost. Neither has
 * been asked about requests.
 */
static void emit_shared_return(struct cache *c, struct emit *e)
{
    const s32 mask = VCPU_DISP(jump_mask), victim_mask = VCPU_DISP(jump_victim_mask);
    c->lost = e->p;
    emit_mov_imm32(e, H_SCRATCH, 0);
    emit_store(e, H_SCRATCH, VCPU_DISP(spill));
    u8 *emptied = emit_jmp8(e);
    emit_align(e, CHECK_ALIGN);
    c->unknown = e->p;
    emit_store(e, H_SCRATCH, CALLED_DISP(spill));
    const u8 *mismatch = e->p;
    emit_lea(e, true, H_VCPU, H_VCPU, H_NONE, 1, 8);
    emit_here8(e, emptied);
    emit_load(e, H_SCRATCH, VCPU_DISP(request));
    u8 *quiet = emit_jrcxz(e);
    const u8 *leave = e->p;
    emit_load(e, H_SCRATCH, VCPU_DISP(spill));
    emit_jmp_vcpu(e, VCPU_DISP(leave_lookup));
    emit_here8(e, quiet);
    u8 *hit = emit_called_jump(e, mask, TLB_DISP(jtag));
    u8 *victim = emit_called_jump(e, victim_mask, TLB_DISP(jvtag));
    emit_jmp(e, leave);
    emit_here8(e, hit);
    emit_return_to(e, mask, TLB_DISP(jcode));
    emit_here8(e, victim);
    emit_return_to(e, victim_mask, TLB_DISP(jvcode));

    emit_align(e, CHECK_ALIGN);
    c->ret = e->p;
    emit_store(e, H_SCRATCH, VCPU_DISP(spill));
    u8 *sample = emit_countdown(e, VCPU_DISP(sample_left));
    emit_return_match(e, mismatch);
    emit_here8(e, sample);
    emit_jmp(e, leave);
}

/* A jump of a hot block to the linear address in r11 has its TRANSFER_* in rcx: it may be among the victims. */
static void emit_jump_aside(struct emit *e)
{
    emit_store(e, H_SCRATCH, VCPU_DISP(spill));
    u8 *victim = emit_called_jump(e, VCPU_DISP(jump_victim_mask), TLB_DISP(jvtag));
    emit_load(e, H_SCRATCH, VCPU_DISP(spill));
    emit_jmp_vcpu(e, VCPU_DISP(leave_lookup));
    emit_here8(e, victim);
    emit_pext(e, H_SCRATCH, H_ADDR, VCPU_DISP(jump_victim_mask));
    emit_gs_jmp(e, H_SCRATCH, TLB_DISP(jvcode));
}

/* In front of a link back: requests and samples are looked at. */
static void emit_shared_back(struct emit *e)
{
    u8 *sample = emit_countdown(e, CALLED_DISP(sample_left));
    emit_load(e, H_SCRATCH, CALLED_DISP(request));
    u8 *quiet = emit_jrcxz(e);
    emit_here8(e, sample);
    emit_jmp_vcpu(e, CALLED_DISP(back_missed));
    emit_here8(e, quiet);
}

/* rcx = 1 behind the LEA of a guard if the context has the page of the link's target at the linear address in r11.
 * exec_back_missed makes the same sum. */
static void emit_shared_guard(struct emit *e)
{
    emit_tag_sum(e, CALLED_DISP(tlb_mask), CALLED_TLB(link), 0);
    emit_ret(e);
}

u8 *checks_emit(struct cache *c, u8 *code, const u8 *end)
{
    struct emit e = {code, (u8 *)end};
    c->missed = e.p;
    emit_shared_miss(&e);
    for (u32 kind = 0; kind < ARRAY_LEN(c->check); kind++) {
        for (u32 i = 0; i < CHECK_SIZES; i++) {
            emit_align(&e, CHECK_ALIGN);
            c->check[kind][i] = e.p;
            emit_shared_check(&e, c->missed, kind & CHECK_WRITE, kind & CHECK_DIRECT, check_size(i));
        }
    }
    for (u32 check = 0; check < ARRAY_LEN(c->jump); check++) {
        emit_align(&e, CHECK_ALIGN);
        c->jump[check] = e.p;
        emit_shared_jump(&e, check);
    }
    emit_align(&e, CHECK_ALIGN);
    c->pair = e.p;
    emit_shared_pair(&e);
    emit_align(&e, CHECK_ALIGN);
    emit_shared_return(c, &e);
    emit_align(&e, CHECK_ALIGN);
    c->aside = e.p;
    emit_jump_aside(&e);
    emit_align(&e, CHECK_ALIGN);
    c->dead = e.p;
    emit_jmp_vcpu(&e, VCPU_DISP(leave_lookup)); /* r11 is the linear address */
    emit_align(&e, CHECK_ALIGN);
    c->linked[true] = e.p;
    emit_shared_back(&e);
    c->linked[false] = e.p;
    emit_shared_guard(&e);
    emit_align(&e, CHECK_ALIGN);
    c->back = e.p;
    emit_shared_back(&e);
    emit_ret(&e);
    emit_align(&e, LOOP_ALIGN);
    return e.p;
}
