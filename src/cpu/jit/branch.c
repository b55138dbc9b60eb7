/*
 * Control transfers within the code segment, and the stack.
 *
 * A direct branch within the page is a link: it is chained to its target for good. Anything else puts the linear target
 * in r11 and looks it up in the context's jump cache, which is as valid as the TLB it belongs to. Whatever may close a
 * loop (backward branches, indirect jumps and calls, returns) looks at vcpu.request first. Outside flat modes targets
 * that leave the page go through C, where CS limits are checked.
 */
#include "cpu/jit/translate.h"

static void emit_request_check(struct tr *t, s32 target)
{
    struct emit *e = &t->hot, *c = &t->cold;
    emit_load(e, H_SCRATCH, VCPU_DISP(request));
    u8 *quiet = emit_jrcxz(e);
    emit_jmp(e, c->p);
    emit_here8(e, quiet);
    emit_loans(c, t->loans);
    emit_mov_imm32(c, H_SCRATCH, (u32)target);
    emit_jmp_vcpu(c, VCPU_DISP(leave_request));
}

/* To exec_lookup, with what it must know to blame the branch. */
static void emit_leave_lookup(struct emit *e, u32 transfer)
{
    emit_mov_imm32(e, H_SCRATCH, transfer);
    emit_jmp_vcpu(e, VCPU_DISP(leave_lookup));
}

/* Jump through the context's jump cache to the linear address in r11. */
static void emit_jump_cache(struct emit *e, u32 transfer)
{
    emit_pext(e, H_SCRATCH, H_ADDR, VCPU_DISP(jump_mask));
    emit_gs_load(e, H_SCRATCH, H_SCRATCH, offsetof(struct tlb, jtag));
    emit_lea(e, true, H_SCRATCH, H_SCRATCH, H_ADDR, 1, 0);
    u8 *hit = emit_jrcxz(e);
    emit_leave_lookup(e, transfer);
    emit_here8(e, hit);
    emit_pext(e, H_SCRATCH, H_ADDR, VCPU_DISP(jump_mask));
    emit_byte(e, 0x65); /* jmp gs:[rcx * 8 + jcode] */
    emit_byte(e, 0xff);
    emit_modrm_mem(e, 4, H_NONE, H_SCRATCH, 8, offsetof(struct tlb, jcode));
}

void emit_far_link(struct emit *e, u16 target)
{
    emit_load(e, H_ADDR, VCPU_DISP(page_la));
    emit_lea(e, true, H_ADDR, H_ADDR, H_NONE, 1, target);
    emit_jump_cache(e, 0);
}

/* r11 = linear target. */
static void emit_lookup(struct tr *t, bool check)
{
    struct emit *e = &t->hot;
    if (!t->flat || (t->mode & MODE_STEP)) {
        emit_leave_lookup(e, t->transfer);
        return;
    }
    if (check) {
        emit_load(e, H_SCRATCH, VCPU_DISP(request));
        u8 *quiet = emit_jrcxz(e);
        emit_leave_lookup(e, t->transfer);
        emit_here8(e, quiet);
    }
    emit_jump_cache(e, t->transfer);
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

static u8 *host_of_target(const struct tr *t, s32 target)
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

/* The rel32 of the next instruction with `opcode_bytes` before it must not cross a cache line, to be patched
 * atomically. */
static void align_field(struct emit *e, unsigned opcode_bytes)
{
    while ((((u64)e->p + opcode_bytes) & 63) > 60)
        emit_byte(e, 0x90);
}

/* A patchable jump: field is the rel32 just emitted, which points to a stub that leaves with the link. */
void add_link(struct tr *t, u8 *field, u16 target, bool plain)
{
    struct emit *c = &t->cold;
    if (t->link_count == ARRAY_LEN(t->links)) {
        t->lost = true;
        return;
    }
    struct exit_link *l = &t->links[t->link_count];
    if (!field) { /* a jump of its own to patch: to what follows it while unchained */
        align_field(c, 1);
        emit_jmp(c, c->p + 5);
        field = c->p - 4;
    }
    *l = (struct exit_link){.field = field, .stub = c->p, .target = target, .plain = plain};
    emit_mov_imm64(c, H_SCRATCH, (u64)(t->b->links + t->link_count));
    emit_jmp_vcpu(c, VCPU_DISP(leave_chain));
    t->link_count++;
}

static void emit_transfer(struct tr *t, s32 target, bool word)
{
    struct emit *e = &t->hot;
    bool in_page = target >= 0 && target < (s32)PAGE_SIZE && !(t->mode & MODE_STEP);
    if (in_page) {
        u8 *here = host_of_target(t, target);
        if (target <= t->pos)
            emit_request_check(t, target);
        if (here) {
            emit_jmp(e, here);
            return;
        }
        align_field(e, 1);
        emit_jmp(e, t->cold.p);
        add_link(t, e->p - 4, (u16)target, false);
        return;
    }
    emit_load(e, H_ADDR, VCPU_DISP(page_la));
    if (word && !t->flat) {
        emit_load(e, H_SCRATCH, VCPU_DISP(neg_cs_base));
        emit_lea(e, false, H_ADDR, H_ADDR, H_SCRATCH, 1, target);
    } else {
        emit_lea(e, t->is64, H_ADDR, H_ADDR, H_NONE, 1, target);
    }
    if (word)
        emit_eip_to_linear(t, true);
    emit_lookup(t, target <= t->pos);
}

/* With loans in force only the loop that has them is not a way out. */
void emit_goto(struct tr *t, s32 target, bool word)
{
    u16 loans = t->loans;
    if (loans && target != t->b->loan_from) {
        emit_loans(&t->hot, loans);
        t->loans = 0;
    }
    emit_transfer(t, target, word);
    t->loans = loans;
}

s32 branch_target(const struct decoded *d)
{
    if (d->class != CLASS_BRANCH || !d->zi.raw.imm[0].is_relative || !d->zi.raw.imm[0].size)
        return TARGET_NONE;
    return d->next + (s32)d->zi.raw.imm[0].value.s;
}

static u8 *emit_jcc32(struct emit *e, u8 cc)
{
    emit_byte(e, 0x0f);
    emit_byte(e, 0x80 | cc);
    emit_u32(e, 0);
    return e->p;
}

static void emit_here32(struct emit *e, u8 *after)
{
    if (e->p <= e->end)
        patch_rel32(after - 4, e->p);
}

static void jcc(struct tr *t)
{
    struct emit *e = &t->hot, *c = &t->cold;
    u8 cc = t->d->in.opcode & 15;
    s32 target = branch_target(t->d);
    bool word = branch_is_word(t);
    if (target > t->pos && target < (s32)PAGE_SIZE && !(t->mode & MODE_STEP)) {
        align_field(e, 2);
        emit_byte(e, 0x0f);
        emit_byte(e, 0x80 | cc);
        emit_u32(e, (u32)(c->p - (e->p + 4)));
        emit_loans(c, t->loans);
        add_link(t, t->loans ? NULL : e->p - 4, (u16)target, false);
        keep_scratch(t);
        return;
    }
    u8 *skip = emit_jcc32(e, cc ^ 1);
    emit_goto(t, target, word);
    emit_here32(e, skip);
}

/* LOOP, LOOPE, LOOPNE, JRCXZ: the count register has the address size. */
static void loop(struct tr *t)
{
    struct emit *e = &t->hot;
    u8 op = t->d->in.opcode;
    u8 *not_zero_flag = NULL;
    if (op != 0xe3) {
        if (t->d->in.asz == 2) {
            emit_lea(e, false, H_ADDR, H_GUEST_RCX, H_NONE, 1, -1);
            emit_mov16(e, H_GUEST_RCX, H_ADDR);
        } else {
            emit_lea(e, t->d->in.asz == 8, H_GUEST_RCX, H_GUEST_RCX, H_NONE, 1, -1);
        }
    }
    if (t->d->in.asz == 8)
        emit_mov(e, H_SCRATCH, H_GUEST_RCX);
    else if (t->d->in.asz == 4)
        emit_mov32(e, H_SCRATCH, H_GUEST_RCX);
    else
        emit_movzx16(e, H_SCRATCH, H_GUEST_RCX);
    u8 *zero = emit_jrcxz(e);
    u8 *over = NULL;
    if (op == 0xe3) { /* not zero: fall through */
        emit_jmp(e, e->p);
        over = e->p;
        emit_here8(e, zero);
        emit_goto(t, branch_target(t->d), branch_is_word(t));
        emit_here32(e, over);
        return;
    }
    emit_byte(e, 0xeb); /* not zero: over the next jump */
    emit_byte(e, 5);
    emit_here8(e, zero);
    emit_jmp(e, e->p);
    over = e->p;
    if (op != 0xe2)
        not_zero_flag = emit_jcc32(e, op == 0xe1 ? 5 : 4);
    emit_goto(t, branch_target(t->d), branch_is_word(t));
    emit_here32(e, over);
    if (not_zero_flag)
        emit_here32(e, not_zero_flag);
}

/* -- the stack -- */

/* Where reg + *disp is: the register returned and what remains of *disp. H_NONE: an offset in r11, outside flat
 * modes. */
static unsigned stack_address(struct tr *t, unsigned reg, s32 *disp)
{
    struct emit *e = &t->hot;
    if (t->ssz == 8)
        return reg;
    emit_lea(e, false, H_ADDR, reg, H_NONE, 1, *disp);
    if (t->ssz == 2)
        emit_movzx16(e, H_ADDR, H_ADDR);
    *disp = 0;
    return t->flat ? H_ADDR : H_NONE;
}

static void stack_add(struct tr *t, struct emit *e, s32 disp)
{
    if (t->ssz == 2) {
        emit_lea(e, false, H_ADDR, H_GUEST_RSP, H_NONE, 1, disp);
        emit_mov16(e, H_GUEST_RSP, H_ADDR);
    } else {
        emit_lea(e, t->ssz == 8, H_GUEST_RSP, H_GUEST_RSP, H_NONE, 1, disp);
    }
}

struct push {
    enum { PUSH_REG, PUSH_IMM, PUSH_SPILL, PUSH_RETURN } what;
    u8 reg; /* guest */
    u8 size;
    u64 imm;
};

static void store_sized(struct emit *e, unsigned size, unsigned reg, unsigned base, unsigned index, s32 disp)
{
    if (size == 2)
        emit_byte(e, 0x66);
    emit_op_mem(e, size == 8, 0x89, reg, base, index, 1, disp);
}

static void push_body(struct tr *t, struct emit *e, void *ctx)
{
    const struct push *p = ctx;
    if (p->what == PUSH_REG && host_of(t, p->reg) != H_NONE) {
        store_sized(e, p->size, host_of(t, p->reg), RCX, t->mem_index, t->mem_disp);
    } else if (p->what == PUSH_IMM) {
        if (p->size == 2)
            emit_byte(e, 0x66);
        emit_op_mem(e, p->size == 8, 0xc7, 0, RCX, t->mem_index, 1, t->mem_disp);
        if (p->size == 2)
            emit_u16(e, (u16)p->imm);
        else
            emit_u32(e, (u32)p->imm);
    } else {
        emit_lea(e, true, RCX, RCX, t->mem_index, 1, t->mem_disp);
        t->in_rcx = GROUP_NONE;
        if (p->what == PUSH_REG) {
            emit_load(e, R11, gpr_disp(p->reg));
        } else if (p->what == PUSH_SPILL) {
            emit_load(e, R11, VCPU_DISP(spill));
        } else {
            emit_load(e, R11, VCPU_DISP(page_la));
            emit_lea(e, true, R11, R11, H_NONE, 1, t->next);
        }
        if (p->what == PUSH_RETURN && !t->flat) {
            /* rcx is taken: the return EIP was prepared in spill[1] */
            emit_load(e, R11, VCPU_DISP(spill) + 8);
        }
        store_sized(e, p->size, R11, RCX, H_NONE, 0);
        t->in_r11 = p->what == PUSH_REG ? p->reg : REG_NONE;
    }
    stack_add(t, e, -(s32)p->size);
    if (t->ssz == 8 && e == &t->hot)
        keep_scratch(t);
}

static void emit_push(struct tr *t, struct push *p, bool stay)
{
    struct emit *e = &t->hot;
    if (p->what == PUSH_RETURN && !t->flat) {
        emit_load(e, R11, VCPU_DISP(page_la));
        emit_load(e, RCX, VCPU_DISP(neg_cs_base));
        emit_lea(e, false, R11, R11, RCX, 1, t->next);
        emit_store(e, R11, VCPU_DISP(spill) + 8);
    }
    unsigned flags = SITE_WRITE | (stay ? SITE_STAY : 0);
    if (emit_grouped(t, &t->d->note[1], p->size, flags, SEG_SS, push_body, p))
        return;
    s32 disp = -(s32)p->size;
    unsigned addr = stack_address(t, H_GUEST_RSP, &disp);
    emit_access(t, addr, disp, p->size, flags, SEG_SS, push_body, p);
}

struct pop {
    enum { POP_REG, POP_TARGET, POP_LEAVE } what;
    u8 reg;
    u8 size;
    s32 release; /* bytes to add to the stack pointer */
};

static void load_sized(struct emit *e, unsigned size, unsigned reg, unsigned base, unsigned index, s32 disp)
{
    if (size == 2) { /* movzx */
        u8 rex = rex_bits(reg, index, base);
        if (rex)
            emit_byte(e, 0x40 | rex);
        emit_byte(e, 0x0f);
        emit_byte(e, 0xb7);
        emit_modrm_mem(e, reg, base, index, 1, disp);
        return;
    }
    emit_op_mem(e, size == 8, 0x8b, reg, base, index, 1, disp);
}

static void pop_body(struct tr *t, struct emit *e, void *ctx)
{
    const struct pop *p = ctx;
    if (p->what == POP_LEAVE) {
        load_sized(e, p->size, RCX, RCX, t->mem_index, t->mem_disp);
        if (t->ssz == 8)
            emit_mov(e, H_GUEST_RSP, RBP);
        else if (t->ssz == 4)
            emit_mov32(e, H_GUEST_RSP, RBP);
        else
            emit_mov16(e, H_GUEST_RSP, RBP);
        stack_add(t, e, p->release);
        if (p->size == 2)
            emit_mov16(e, RBP, RCX);
        else if (p->size == 4)
            emit_mov32(e, RBP, RCX);
        else
            emit_mov(e, RBP, RCX);
        return;
    }
    unsigned home = p->what == POP_REG ? host_of(t, p->reg) : H_NONE;
    if (t->ssz == 8 && p->size == 8 && home != H_NONE && p->reg != RSP) {
        load_sized(e, p->size, home, RCX, t->mem_index, t->mem_disp);
        stack_add(t, e, p->release);
        keep_scratch(t);
        return;
    }
    load_sized(e, p->size, RCX, RCX, t->mem_index, t->mem_disp);
    stack_add(t, e, p->release); /* may use r11: the value stays in rcx */
    if (p->what == POP_TARGET) {
        emit_mov(e, H_ADDR, RCX);
        return;
    }
    if (p->size == 2) {
        if (home != H_NONE) {
            emit_mov16(e, home, RCX);
        } else {
            emit_byte(e, 0x66);
            emit_op_mem(e, false, 0x89, RCX, H_VCPU, H_NONE, 1, gpr_disp(p->reg));
        }
    } else if (home != H_NONE) {
        emit_mov(e, home, RCX);
    } else {
        emit_store(e, RCX, gpr_disp(p->reg));
    }
}

static void emit_pop(struct tr *t, struct pop *p, unsigned from)
{
    if (emit_grouped(t, &t->d->note[1], p->size, SITE_READ, SEG_SS, pop_body, p))
        return;
    s32 disp = 0;
    unsigned addr = stack_address(t, from, &disp);
    emit_access(t, addr, disp, p->size, SITE_READ, SEG_SS, pop_body, p);
}

/* r/m operand to spill[0], zero-extended. */
static void rm_body(struct tr *t, struct emit *e, void *ctx)
{
    const struct push *p = ctx;
    load_sized(e, p->size, RCX, RCX, t->mem_index, t->mem_disp);
    emit_store(e, RCX, VCPU_DISP(spill));
    t->in_rcx = GROUP_NONE;
}

static void rm_to_spill(struct tr *t, unsigned size)
{
    struct emit *e = &t->hot;
    if (t->d->in.mod == 3) {
        unsigned r = host_of(t, t->d->in.rm);
        if (r == H_NONE) {
            emit_load(e, R11, gpr_disp(t->d->in.rm));
            r = R11;
        }
        if (size == 2) {
            emit_movzx16(e, R11, r);
            r = R11;
        } else if (size == 4) {
            emit_mov32(e, R11, r);
            r = R11;
        }
        emit_store(e, r, VCPU_DISP(spill));
        return;
    }
    struct push p = {.size = (u8)size};
    if (emit_grouped(t, &t->d->note[0], size, SITE_READ, t->d->in.seg, rm_body, &p))
        return;
    unsigned addr = emit_address(t);
    emit_access(t, addr, 0, size, SITE_READ, t->d->in.seg, rm_body, &p);
}

/* Branch operand size: 64 in 64-bit mode whatever the prefix (Intel). */
static u8 branch_size(const struct tr *t)
{
    return t->is64 ? 8 : t->d->in.osz;
}

static u32 transfer_of(const struct tr *t, u8 size)
{
    u32 transfer = t->pos | (u32)__builtin_ctz(size) << TRANSFER_SIZE_SHIFT;
    if (t->d->zi.mnemonic == ZYDIS_MNEMONIC_CALL)
        return transfer | TRANSFER_CALL;
    if (t->d->zi.mnemonic != ZYDIS_MNEMONIC_RET)
        return transfer | TRANSFER_JUMP;
    u32 release = t->d->zi.raw.imm[0].size ? (u16)t->d->in.imm : 0;
    return transfer | TRANSFER_RETURN | release << TRANSFER_RELEASE_SHIFT;
}

void translate_branch(struct tr *t)
{
    struct emit *e = &t->hot;
    u8 size = branch_size(t);
    bool word = branch_is_word(t);
    t->transfer = transfer_of(t, size);
    switch (t->d->zi.mnemonic) {
    case ZYDIS_MNEMONIC_JMP:
        if (t->d->zi.raw.imm[0].is_relative) {
            emit_goto(t, branch_target(t->d), word);
            return;
        }
        rm_to_spill(t, size);
        emit_load(e, H_ADDR, VCPU_DISP(spill));
        emit_eip_to_linear(t, false);
        emit_lookup(t, true);
        return;
    case ZYDIS_MNEMONIC_CALL: {
        struct push p = {.what = PUSH_RETURN, .size = size};
        bool direct = t->d->zi.raw.imm[0].is_relative;
        if (!direct)
            rm_to_spill(t, size);
        emit_push(t, &p, true);
        if (direct) {
            emit_goto(t, branch_target(t->d), word);
            return;
        }
        emit_load(e, H_ADDR, VCPU_DISP(spill));
        emit_eip_to_linear(t, false);
        emit_lookup(t, true);
        return;
    }
    case ZYDIS_MNEMONIC_RET: {
        s32 release = t->d->zi.raw.imm[0].size ? (u16)t->d->in.imm : 0;
        struct pop p = {.what = POP_TARGET, .size = size, .release = size + release};
        emit_pop(t, &p, H_GUEST_RSP);
        emit_eip_to_linear(t, false);
        emit_lookup(t, true);
        return;
    }
    case ZYDIS_MNEMONIC_LOOP:
    case ZYDIS_MNEMONIC_LOOPE:
    case ZYDIS_MNEMONIC_LOOPNE:
    case ZYDIS_MNEMONIC_JCXZ:
    case ZYDIS_MNEMONIC_JECXZ:
    case ZYDIS_MNEMONIC_JRCXZ: loop(t); return;
    default: jcc(t);
    }
}

void translate_stack(struct tr *t)
{
    u8 size = t->is64 ? (t->d->in.prefixes & PREFIX_66 && !(t->d->in.rex & 8) ? 2 : 8) : t->d->in.osz;
    u8 op = t->d->in.opcode;
    switch (t->d->zi.mnemonic) {
    case ZYDIS_MNEMONIC_PUSH: {
        struct push p = {.size = size};
        if (op >= 0x50 && op <= 0x57) {
            p.what = PUSH_REG;
            p.reg = (u8)((op & 7) | (t->d->in.rex & 1 ? 8 : 0));
        } else if (op == 0x68 || op == 0x6a) {
            p.what = PUSH_IMM;
            p.imm = (u64)t->d->zi.raw.imm[0].value.s;
        } else {
            rm_to_spill(t, size);
            p.what = PUSH_SPILL;
        }
        emit_push(t, &p, false);
        return;
    }
    case ZYDIS_MNEMONIC_POP: {
        struct pop p = {.what = POP_REG, .size = size, .release = size};
        p.reg = op >= 0x58 && op <= 0x5f ? (u8)((op & 7) | (t->d->in.rex & 1 ? 8 : 0)) : t->d->in.rm;
        emit_pop(t, &p, H_GUEST_RSP);
        return;
    }
    default: {
        /* LEAVE */
        struct pop p = {.what = POP_LEAVE, .size = size, .release = size};
        emit_pop(t, &p, RBP);
    }
    }
}
