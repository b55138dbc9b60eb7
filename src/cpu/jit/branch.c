/*
 * Control transfers within the code segment.
 *
 * A direct branch within the page is a link: it is chained to its target for good. One to another page is a link behind
 * a guard (block.h). Anything else puts the linear target in r11 and looks it up in the context's jump cache, which is
 * as valid as the TLB it belongs to. Whatever may close a loop (backward branches, indirect jumps and calls, returns;
 * outside 64-bit mode also branches ahead, as EIP wraps) looks at requests first. Outside flat modes targets that
 * leave the page go through C, where CS limits are checked.
 */
#include "cpu/jit/translate.h"

/*
 * Jumps ahead if rcx is not the good sum. So many bytes were pushed on the vCPU's stack.
 *
 * Conditional jumps that nearly always are taken cost much in code that runs once in a while: the host has forgotten
 * them, and guesses that they are not. So in what each block has of its own the way that nearly all take falls through.
 * LOOP leaves it if a sum is not 1. In hot blocks and for returns, as LOOP is slow, JRCXZ does if the sum is not 0:
 * then PEXT makes ones of it, and SHRX shifts a 1 by those, modulo 32.
 */
static u8 *emit_bad_sum(struct emit *e, bool hot, s32 pushed)
{
    if (!hot)
        return emit_loop(e);
    emit_pext_reg(e, H_SCRATCH, H_SCRATCH, H_SCRATCH);
    emit_shrx32(e, H_SCRATCH, VCPU_DISP(one) + pushed, H_SCRATCH);
    return emit_jrcxz(e);
}

/* Jumps ahead if there may be a request: it takes the mask of the return stack away (request_raise). */
static u8 *emit_busy(struct emit *e)
{
    emit_load(e, H_SCRATCH, VCPU_DISP(return_mask));
    return emit_jrcxz(e);
}

/* The cold part of a look at requests. */
static void emit_request(struct tr *t, u16 target)
{
    struct emit *c = &t->cold;
    emit_loans(c, t->loans);
    emit_mov_imm32(c, H_SCRATCH, target);
    emit_jmp_vcpu(c, VCPU_DISP(leave_request));
}

/* Goes on at `here` without a request. JRCXZ reaches the start of a short loop by itself, which is a jump less each
 * time. */
static void emit_back(struct tr *t, u16 target, const u8 *here)
{
    struct emit *e = &t->hot;
    u8 *load = e->p;
    emit_load(e, H_SCRATCH, VCPU_DISP(request));
    if (!emit_jrcxz_back(e, here)) {
        e->p = load;
        u8 *busy = emit_busy(e);
        emit_jmp(e, here);
        emit_here8(e, busy);
    }
    emit_jmp(e, t->cold.p);
    emit_request(t, target);
}

/* Leaves to exec_lookup, with what that must know to blame the branch. */
static void emit_leave_lookup(struct emit *e, u32 transfer)
{
    emit_mov_imm32(e, H_SCRATCH, transfer);
    emit_jmp_vcpu(e, VCPU_DISP(leave_lookup));
}

void emit_jump_cache(const struct cache *c, struct emit *e, u32 transfer)
{
    emit_pext(e, H_SCRATCH, H_ADDR, VCPU_DISP(jump_mask));
    emit_gs_load(e, H_SCRATCH, H_SCRATCH, TLB_DISP(jtag));
    emit_lea(e, true, H_SCRATCH, H_SCRATCH, H_ADDR, 1, good_sum(true));
    u8 *miss = emit_bad_sum(e, true, 0);
    emit_pext(e, H_SCRATCH, H_ADDR, VCPU_DISP(jump_mask));
    emit_gs_jmp(e, H_SCRATCH, TLB_DISP(jcode));
    emit_here8(e, miss);
    emit_mov_imm32(e, H_SCRATCH, transfer);
    if (c)
        emit_jmp(e, c->aside);
    else
        emit_jmp_vcpu(e, VCPU_DISP(leave_lookup));
}

/* The same by the code that blocks share (check.c), which finds `transfer` behind the jump. */
static void emit_call_jump(const struct tr *t, struct emit *e, bool check, u32 transfer)
{
    emit_call(e, t->c->jump[check]);
    emit_jmp_reg(e, H_SCRATCH);
    emit_u32(e, transfer);
}

void emit_far_link(const struct cache *c, struct emit *e, u16 target)
{
    emit_load(e, H_ADDR, VCPU_DISP(page_la));
    emit_lea(e, true, H_ADDR, H_ADDR, H_NONE, 1, target);
    emit_jump_cache(c, e, 0);
}

/* r11 = linear target. */
static void emit_lookup(struct tr *t, bool check)
{
    struct emit *e = &t->hot;
    if (!t->flat || (t->mode & MODE_STEP)) {
        emit_leave_lookup(e, t->transfer);
        return;
    }
    if (!t->b->hot) {
        emit_call_jump(t, e, check, t->transfer);
        return;
    }
    u8 *busy = check ? emit_busy(e) : NULL;
    emit_jump_cache(t->c, e, t->transfer);
    if (busy) {
        emit_here8(e, busy);
        emit_leave_lookup(e, t->transfer);
    }
}

/* EIP in r11d, cut to the operand size, becomes linear. */
static void emit_eip_to_linear(struct tr *t, bool cut)
{
    struct emit *e = &t->hot;
    if (cut)
        emit_movzx16(e, H_ADDR, H_ADDR);
    if (!t->flat) {
        emit_load(e, H_SCRATCH, VCPU_DISP(seg[SEG_CS].base));
        emit_lea(e, false, H_ADDR, H_ADDR, H_SCRATCH, 1, 0);
    }
}

static void link_note(struct tr *t, struct exit_link link)
{
    if (t->link_count == ARRAY_LEN(t->links))
        t->lost = true;
    else
        t->links[t->link_count++] = link;
}

/* A link with a guard to the linear address in r11, at an offset in another page. What the guard turns away takes the
 * shared jump in the cold part, behind which exec_jump_missed finds the number of the link, and chains it. */
static void emit_link_across(struct tr *t, u16 target, bool check)
{
    struct emit *e = &t->hot, *c = &t->cold;
    u8 *busy = NULL;
    if (!t->b->hot) {
        emit_call(e, t->c->linked[check]);
    } else {
        if (check)
            busy = emit_busy(e);
        emit_pext(e, H_SCRATCH, H_ADDR, VCPU_DISP(tlb_mask));
        emit_gs_load(e, H_SCRATCH, H_SCRATCH, TLB_DISP(link));
    }
    unsigned index = t->b->hot ? H_ADDR : H_NONE; /* shared code has added it */
    emit_align_rel32(e, LEA_LONG - 4 + t->b->hot);
    emit_lea_long(e, H_SCRATCH, H_SCRATCH, index, LINK_CLOSED + good_sum(t->b->hot));
    u8 *guard = e->p - 4, *miss = emit_bad_sum(e, t->b->hot, 0);
    emit_align_rel32(e, 1);
    emit_jmp(e, e->p);
    u8 *field = e->p - 4;
    if (busy)
        emit_here8(e, busy);
    emit_here8(e, miss);
    emit_jmp(e, c->p);
    emit_call_jump(t, c, busy, t->transfer | TRANSFER_LINKS);
    emit_u32(c, (u32)(t->b->links + t->link_count - t->c->links));
    link_note(t, (struct exit_link){.field = field, .guard = (s32 *)guard, .target = target, .across = true});
}

static u8 *host_of_target(const struct tr *t, s64 target)
{
    if (t->loans)
        return t->loan_entry;
    for (u32 i = 0; i < t->at_count; i++)
        if (t->at[i].guest == target)
            return t->at[i].host;
    return NULL;
}

static bool branch_is_word(const struct tr *t)
{
    return !t->is64 && t->d->in.osz == 2;
}

void add_link(struct tr *t, u8 *field, u16 target, bool plain)
{
    struct emit *c = &t->cold;
    const struct exit_link *record = t->b->links + t->link_count;
    if (!field) { /* a jump of its own to patch, which leads to what follows it while unchained */
        emit_align_rel32(c, 1);
        emit_jmp(c, c->p + 5);
        field = c->p - 4;
    }
    link_note(t, (struct exit_link){.field = field, .stub = c->p, .target = target, .plain = plain});
    emit_mov_imm64(c, H_SCRATCH, (u64)record);
    emit_jmp_vcpu(c, VCPU_DISP(leave_chain));
}

/* Is the target in the page for all that the block knows? A word branch cuts EIP to 16 bits. In 16-bit segments EIP has
 * no more, or the dispatcher goes step by step. */
static bool is_in_page(const struct tr *t, s64 target, bool word)
{
    bool cut = word && (t->flat || (t->mode & MODE_SIZE_MASK) != MODE_16);
    return target >= 0 && target < (s64)PAGE_SIZE && !cut && !(t->mode & MODE_STEP);
}

/* A link within the page, to another block or back into this one. */
static void emit_link_within(struct tr *t, u16 target)
{
    struct emit *e = &t->hot;
    u8 *here = host_of_target(t, target), *busy = NULL;
    if (here) {
        emit_back(t, target, here);
        return;
    }
    if (target <= t->pos && !t->b->hot)
        emit_call(e, t->c->back);
    else if (target <= t->pos)
        busy = emit_busy(e);
    emit_align_rel32(e, 1);
    emit_jmp(e, t->cold.p);
    add_link(t, e->p - 4, target, false);
    if (busy) {
        emit_here8(e, busy);
        emit_jmp(e, t->cold.p);
        emit_request(t, target);
    }
}

static void emit_transfer(struct tr *t, s64 target, bool word)
{
    struct emit *e = &t->hot;
    if (is_in_page(t, target, word)) {
        emit_link_within(t, (u16)target);
        return;
    }
    if (word && !t->flat) {
        emit_load(e, H_ADDR, VCPU_DISP(page_la));
        emit_load(e, H_SCRATCH, VCPU_DISP(neg_cs_base));
        emit_lea(e, false, H_ADDR, H_ADDR, H_SCRATCH, 1, (s32)target);
    } else {
        emit_from_page(e, H_ADDR, target, t->is64);
    }
    if (word)
        emit_eip_to_linear(t, true);
    bool check = target <= t->pos || !t->is64;
    if (t->is64 && !word && !(t->mode & MODE_STEP))
        emit_link_across(t, target & PAGE_MASK, check);
    else
        emit_lookup(t, check);
}

/* With loans in force only the loop that has them is not a way out. */
void emit_goto(struct tr *t, s64 target, bool word)
{
    u16 loans = t->loans;
    if (loans && target != t->b->loan_from) {
        emit_loans(&t->hot, loans);
        t->loans = 0;
    }
    emit_transfer(t, target, word);
    t->loans = loans;
}

s64 branch_target(const struct decoded *d)
{
    if (!class_branches(d->class) || !d->zi->raw.imm[0].is_relative || !d->zi->raw.imm[0].size)
        return TARGET_NONE;
    return d->next + (s64)d->in.imm;
}

/* What exec_lookup must know to blame the branch. */
static u32 transfer_of(const struct tr *t, u32 kind, unsigned size)
{
    return t->pos | (u32)__builtin_ctz(size) << TRANSFER_SIZE_SHIFT | kind;
}

/* The operand size of a branch: 8 bytes in 64-bit mode, whatever the prefix, as on Intel. */
static u8 branch_size(const struct tr *t)
{
    return t->is64 ? 8 : t->d->in.osz;
}

void translate_jcc(struct tr *t)
{
    struct emit *e = &t->hot, *c = &t->cold;
    u8 cc = t->d->in.opcode & CC_MASK;
    s64 target = branch_target(t->d);
    t->transfer = transfer_of(t, TRANSFER_JUMP, branch_size(t));
    if (t->d->ahead != NO_INSN && !t->loans) {
        t->jumps_ahead[t->d - t->insn] = emit_jcc32(e, cc);
        keep_scratch(t);
        return;
    }
    if (target > t->pos && is_in_page(t, target, branch_is_word(t))) {
        emit_align_rel32(e, 2);
        emit_jcc(e, cc, c->p);
        emit_loans(c, t->loans);
        add_link(t, t->loans ? NULL : e->p - 4, (u16)target, false);
        keep_scratch(t);
        return;
    }
    if (target > t->pos && !t->loans) { /* rarely taken, mostly: what follows falls through */
        t->jumps_away[t->d - t->insn] = emit_jcc32(e, cc);
        keep_scratch(t);
        return;
    }
    u8 *skip = emit_jcc32(e, cc ^ CC_NOT);
    emit_goto(t, target, branch_is_word(t));
    emit_here32(e, skip);
}

void emit_jump_away(struct tr *t, u8 *jump)
{
    emit_here32(&t->hot, jump);
    t->transfer = transfer_of(t, TRANSFER_JUMP, branch_size(t));
    emit_goto(t, branch_target(t->d), branch_is_word(t));
}

/* rcx = the count register, which has the address size. */
static void emit_load_count(struct tr *t)
{
    struct emit *e = &t->hot;
    if (t->d->in.asz == 2)
        emit_movzx16(e, H_SCRATCH, H_GUEST_RCX);
    else
        emit_mov_sized(e, t->d->in.asz, H_SCRATCH, H_GUEST_RCX);
}

void translate_jrcxz(struct tr *t)
{
    struct emit *e = &t->hot;
    t->transfer = transfer_of(t, TRANSFER_JUMP, branch_size(t));
    emit_load_count(t);
    u8 *zero = emit_jrcxz(e);
    u8 *on = emit_jmp32(e);
    emit_here8(e, zero);
    emit_goto(t, branch_target(t->d), branch_is_word(t));
    emit_here32(e, on);
}

void translate_loop(struct tr *t)
{
    struct emit *e = &t->hot;
    t->transfer = transfer_of(t, TRANSFER_JUMP, branch_size(t));
    if (t->d->in.asz == 2) {
        emit_lea(e, false, H_ADDR, H_GUEST_RCX, H_NONE, 1, -1);
        emit_mov16(e, H_GUEST_RCX, H_ADDR);
    } else {
        emit_lea(e, t->d->in.asz == 8, H_GUEST_RCX, H_GUEST_RCX, H_NONE, 1, -1);
    }
    emit_load_count(t);
    u8 *zero = emit_jrcxz(e);
    u8 *counting = emit_jmp8(e);
    emit_here8(e, zero);
    u8 *on = emit_jmp32(e), *other = NULL;
    emit_here8(e, counting);
    if (t->d->traits & (INSN_WHILE_Z | INSN_WHILE_NZ))
        other = emit_jcc32(e, t->d->traits & INSN_WHILE_Z ? CC_NZ : CC_Z);
    emit_goto(t, branch_target(t->d), branch_is_word(t));
    emit_here32(e, on);
    if (other)
        emit_here32(e, other);
}

/* Jumps to the operand that emit_fetch_operand fetched. */
static void emit_indirect(struct tr *t)
{
    emit_load_operand(t);
    emit_eip_to_linear(t, false);
    emit_lookup(t, true);
}

static bool is_direct(const struct decoded *d)
{
    return d->zi->raw.imm[0].is_relative;
}

void translate_jump(struct tr *t)
{
    u8 size = branch_size(t);
    t->transfer = transfer_of(t, TRANSFER_JUMP, size);
    if (is_direct(t->d)) {
        emit_goto(t, branch_target(t->d), branch_is_word(t));
        return;
    }
    emit_fetch_operand(t, size);
    emit_indirect(t);
}

/* Do CALL and RET use the return stack? */
static bool is_paired(const struct tr *t)
{
    return t->is64 && !(t->mode & MODE_STEP);
}

void emit_return_note(struct emit *e, s32 pushed)
{
    emit_pext(e, H_SCRATCH, H_GUEST_RSP, VCPU_DISP(return_mask) + pushed);
    emit_not(e, true, H_ADDR);
    emit_gs_store(e, H_ADDR, H_SCRATCH, RETURN_LA + pushed);
}

void emit_return_match(struct emit *e, const u8 *other)
{
    const s32 pushed = 8;
    emit_pext(e, H_SCRATCH, H_GUEST_RSP, VCPU_DISP(return_mask));
    emit_gs_push(e, H_SCRATCH, RETURN_FOUND_HOST);
    emit_gs_load(e, H_SCRATCH, H_SCRATCH, RETURN_FOUND_LA + pushed);
    emit_lea(e, true, H_SCRATCH, H_SCRATCH, H_ADDR, 1, 1 + good_sum(true)); /* la[] has complements */
    u8 *miss = emit_bad_sum(e, true, pushed);
    emit_ret(e);
    emit_here8(e, miss);
    emit_jmp(e, other);
}

/* Hot blocks that last have what others share: nobody looks where they return. */
static bool is_fast(const struct tr *t)
{
    return t->b->hot && mode_lasts(t->mode);
}

/* A CALL, with its return address in r11, notes where its return goes on: at the jump here, which leads to the block
 * there. The host's CALL goes around that. */
static void emit_pair(struct tr *t)
{
    struct emit *e = &t->hot;
    const unsigned jump = 5;
    emit_align_rel32(e, jump + 1);
    if (t->next < PAGE_SIZE) {
        emit_call(e, e->p + jump + jump);
        emit_jmp(e, t->cold.p);
        add_link(t, e->p - 4, t->next, false);
        t->links[t->link_count - 1].lands = true;
    } else {
        emit_call(e, e->p + jump + jump + JUMP_REG_SIZE + sizeof t->transfer);
        emit_call_jump(t, e, false, 0);
    }
    if (!t->b->hot) {
        emit_call(e, t->c->pair);
        return;
    }
    emit_return_note(e, 8);
    emit_pop_host(e, H_ADDR);
    emit_gs_store(e, H_ADDR, H_SCRATCH, RETURN_HOST);
}

/* The same as c->ret of check.c. */
static void emit_return(struct tr *t)
{
    struct emit *e = &t->hot, *c = &t->cold;
    if (!is_fast(t)) {
        emit_mov_imm32(e, H_SCRATCH, t->transfer);
        emit_jmp(e, t->c->ret);
        return;
    }
    emit_return_match(e, c->p);
    emit_mov_imm32(c, H_SCRATCH, t->transfer);
    emit_jmp(c, t->c->unknown);
}

void translate_call(struct tr *t)
{
    u8 size = branch_size(t);
    t->transfer = transfer_of(t, TRANSFER_CALL, size);
    if (!is_direct(t->d))
        emit_fetch_operand(t, size);
    emit_push_return(t, size);
    if (is_paired(t))
        emit_pair(t);
    if (is_direct(t->d))
        emit_goto(t, branch_target(t->d), branch_is_word(t));
    else
        emit_indirect(t);
}

void translate_return(struct tr *t)
{
    u8 size = branch_size(t);
    u32 release = t->d->zi->raw.imm[0].size ? (u16)t->d->in.imm : 0;
    t->transfer = transfer_of(t, TRANSFER_RETURN | release << TRANSFER_RELEASE_SHIFT, size);
    emit_pop_target(t, size, release);
    if (is_paired(t)) {
        emit_return(t);
        return;
    }
    emit_eip_to_linear(t, false);
    emit_lookup(t, true);
}
