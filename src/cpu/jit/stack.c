/*
 * The stack: PUSH, POP and LEAVE, and the stack's part of CALL and RET for branch.c. An access is one of group.c's, or
 * has its own TLB check; RSP changes after the access, when nothing can fault any more.
 */
#include "cpu/jit/translate.h"

/* Fields of the vCPU for what rcx and r11 cannot hold over a memory access. */
#define SPILL_RETURN (SPILL_OPERAND + 8) /* return EIP, outside flat modes */

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

/* Can RSP wait for what the current instruction adds to it, or be added to there with what waits? */
enum run { RUN_NOT, RUN_GOES_ON, RUN_ENDS };
static enum run run_of(const struct tr *t)
{
    const struct decoded *d = t->d;
    const struct access_note *note = &d->note[1];
    bool reg = d->zo[0].encoding == ZYDIS_OPERAND_ENCODING_OPCODE && opcode_reg(&d->in) != RSP;
    if (!t->mapped || d->label || d->checked || note->base != RSP || note->group == GROUP_NONE ||
        t->group[note->group].slot == GROUP_NONE)
        return RUN_NOT;
    switch (d->class) {
    case CLASS_PUSH: reg |= d->zo[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE; /* fallthrough */
    case CLASS_POP: return reg && stack_size(d, t->is64) == 8 ? RUN_GOES_ON : RUN_NOT;
    case CLASS_CALL_NEAR: return branch_target(d) != TARGET_NONE ? RUN_ENDS : RUN_NOT;
    case CLASS_RETURN: return RUN_ENDS;
    default: return RUN_NOT;
    }
}

void stack_flush(struct tr *t)
{
    if (!t->stack_pending)
        return;
    bool kept = t->scratch_at == t->hot.p;
    emit_lea(&t->hot, true, H_GUEST_RSP, H_GUEST_RSP, H_NONE, 1, t->stack_pending);
    t->stack_pending = 0;
    if (kept)
        keep_scratch(t);
}

void stack_settle(struct tr *t)
{
    enum { MOST = 7 * 8 }; /* of struct place */
    if (t->stack_pending && (t->stack_pending > MOST || t->stack_pending < -MOST || run_of(t) == RUN_NOT))
        stack_flush(t);
}

static void stack_add(struct tr *t, struct emit *e, s32 disp)
{
    if (e == &t->hot && t->mapped) {
        disp += t->stack_pending;
        t->stack_pending = 0;
        if (run_of(t) == RUN_GOES_ON) {
            t->stack_pending = disp;
            return;
        }
    }
    if (t->ssz == 2) {
        emit_lea(e, false, H_ADDR, H_GUEST_RSP, H_NONE, 1, disp);
        emit_mov16(e, H_GUEST_RSP, H_ADDR);
    } else {
        emit_lea(e, t->ssz == 8, H_GUEST_RSP, H_GUEST_RSP, H_NONE, 1, disp);
    }
}

/* -- pushes -- */

struct push {
    enum { PUSH_REG, PUSH_IMM, PUSH_OPERAND, PUSH_RETURN } what;
    u8 reg; /* guest */
    u8 size;
    u64 imm;
};

/* r11 = what is pushed, if that is neither in a register nor an immediate. */
static void load_pushed(const struct tr *t, struct emit *e, const struct push *p)
{
    switch (p->what) {
    case PUSH_OPERAND: emit_load(e, R11, SPILL_OPERAND); return;
    case PUSH_RETURN:
        if (t->flat)
            emit_from_page(e, R11, t->next, true);
        else
            emit_load(e, R11, SPILL_RETURN); /* emit_push_return prepared it */
        return;
    default: emit_load(e, R11, gpr_disp(p->reg));
    }
}

static void push_body(struct tr *t, struct emit *e, void *ctx)
{
    const struct push *p = ctx;
    if (p->what == PUSH_REG && host_of(t, p->reg) != H_NONE) {
        emit_store_mem(e, p->size, host_of(t, p->reg), RCX, t->mem_index, t->mem_disp);
    } else if (p->what == PUSH_IMM) {
        emit_store_imm(e, p->size, p->imm, RCX, t->mem_index, t->mem_disp);
    } else {
        bool apart = t->mem_index != R11, held = e == &t->hot && p->what == PUSH_REG && t->in_r11 == p->reg;
        if (!apart) {
            emit_lea(e, true, RCX, RCX, R11, 1, t->mem_disp);
            t->in_rcx = GROUP_NONE;
        }
        if (!apart || !held)
            load_pushed(t, e, p);
        emit_store_mem(e, p->size, R11, RCX, apart ? t->mem_index : H_NONE, apart ? t->mem_disp : 0);
        t->in_r11 = p->what == PUSH_REG ? p->reg : REG_NONE;
    }
    stack_add(t, e, -(s32)p->size);
    if (t->ssz == 8 && e == &t->hot)
        keep_scratch(t);
}

static void emit_push(struct tr *t, struct push *p, unsigned flags)
{
    if (emit_grouped(t, &t->d->note[1], p->size, flags, SEG_SS, push_body, p))
        return;
    s32 disp = -(s32)p->size;
    unsigned addr = stack_address(t, H_GUEST_RSP, &disp);
    emit_access(t, addr, disp, p->size, flags, SEG_SS, push_body, p);
}

void emit_push_fetched(struct tr *t, unsigned size)
{
    struct push p = {.what = PUSH_OPERAND, .size = (u8)size};
    emit_push(t, &p, SITE_WRITE);
}

void emit_push_return(struct tr *t, unsigned size)
{
    struct emit *e = &t->hot;
    struct push p = {.what = PUSH_RETURN, .size = (u8)size};
    if (!t->flat) { /* prepared here, because the access needs rcx */
        emit_load(e, R11, VCPU_DISP(page_la));
        emit_load(e, RCX, VCPU_DISP(neg_cs_base));
        emit_lea(e, false, R11, R11, RCX, 1, t->next);
        emit_store(e, R11, SPILL_RETURN);
    }
    emit_push(t, &p, SITE_WRITE | SITE_STAY);
}

/* -- pops -- */

struct pop {
    enum { POP_REG, POP_TARGET, POP_LEAVE } what;
    u8 reg;
    u8 size;
    s32 release; /* bytes to add to the stack pointer */
};

static void pop_body(struct tr *t, struct emit *e, void *ctx)
{
    const struct pop *p = ctx;
    unsigned home = p->what == POP_REG ? host_of(t, p->reg) : H_NONE;
    if (t->ssz == 8 && p->size == 8 && home != H_NONE && p->reg != RSP) {
        emit_load_mem(e, p->size, home, RCX, t->mem_index, t->mem_disp);
        stack_add(t, e, p->release);
        keep_scratch(t);
        return;
    }
    if (t->ssz == 8 && p->size == 8 && p->what == POP_REG && home == H_NONE && t->mem_index != R11) {
        emit_load_mem(e, p->size, R11, RCX, t->mem_index, t->mem_disp);
        stack_add(t, e, p->release);
        emit_store(e, R11, gpr_disp(p->reg));
        t->in_r11 = p->reg;
        keep_scratch(t);
        return;
    }
    if (t->ssz == 8 && p->what == POP_TARGET) {
        emit_load_mem(e, p->size, H_ADDR, RCX, t->mem_index, t->mem_disp);
        stack_add(t, e, p->release);
        return;
    }
    emit_load_mem(e, p->size, RCX, RCX, t->mem_index, t->mem_disp);
    if (p->what == POP_LEAVE)
        emit_mov_sized(e, t->ssz, H_GUEST_RSP, RBP);
    stack_add(t, e, p->release); /* may use r11: the value stays in rcx */
    if (p->what == POP_LEAVE)
        emit_mov_sized(e, p->size, RBP, RCX);
    else if (p->what == POP_TARGET)
        emit_mov(e, H_ADDR, RCX);
    else if (p->size == 2 && home != H_NONE)
        emit_mov16(e, home, RCX);
    else if (p->size == 2)
        emit_store16(e, RCX, gpr_disp(p->reg));
    else if (home != H_NONE)
        emit_mov(e, home, RCX);
    else
        emit_store(e, RCX, gpr_disp(p->reg));
}

/* `from` is the host register that points to the top of the stack. */
static void emit_pop(struct tr *t, struct pop *p, unsigned from)
{
    if (emit_grouped(t, &t->d->note[1], p->size, SITE_READ, SEG_SS, pop_body, p))
        return;
    s32 disp = 0;
    unsigned addr = stack_address(t, from, &disp);
    emit_access(t, addr, disp, p->size, SITE_READ, SEG_SS, pop_body, p);
}

void emit_pop_target(struct tr *t, unsigned size, unsigned release)
{
    struct pop p = {.what = POP_TARGET, .size = (u8)size, .release = (s32)(size + release)};
    emit_pop(t, &p, H_GUEST_RSP);
}

/* -- an operand that is pushed or jumped to -- */

static void operand_body(struct tr *t, struct emit *e, void *ctx)
{
    const unsigned *size = ctx;
    emit_load_mem(e, *size, RCX, RCX, t->mem_index, t->mem_disp);
    emit_store(e, RCX, SPILL_OPERAND);
    t->in_rcx = GROUP_NONE;
}

void emit_fetch_operand(struct tr *t, unsigned size)
{
    struct emit *e = &t->hot;
    const struct insn *in = &t->d->in;
    if (in->mod != 3) {
        if (emit_grouped(t, &t->d->note[0], size, SITE_READ, in->seg, operand_body, &size))
            return;
        unsigned addr = emit_address(t);
        emit_access(t, addr, 0, size, SITE_READ, in->seg, operand_body, &size);
        return;
    }
    unsigned r = host_of(t, in->rm);
    if (r == H_NONE) {
        emit_load(e, R11, gpr_disp(in->rm));
        r = R11;
    }
    if (size == 2)
        emit_movzx16(e, R11, r);
    else if (size == 4)
        emit_mov32(e, R11, r);
    emit_store(e, size < 8 ? R11 : r, SPILL_OPERAND);
}

void emit_load_operand(struct tr *t)
{
    emit_load(&t->hot, H_ADDR, SPILL_OPERAND);
}

/* -- instructions -- */

u8 stack_size(const struct decoded *d, bool is64)
{
    if (!is64)
        return d->in.osz;
    return d->in.prefixes & PREFIX_66 && !(d->in.rex & REX_W) ? 2 : 8;
}

void translate_push(struct tr *t)
{
    struct decoded *d = t->d;
    struct push p = {.size = stack_size(d, t->is64)};
    if (d->zo[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        p.what = PUSH_IMM;
        p.imm = d->in.imm;
    } else if (d->zo[0].encoding == ZYDIS_OPERAND_ENCODING_OPCODE) {
        p.what = PUSH_REG;
        p.reg = opcode_reg(&d->in);
    } else {
        p.what = PUSH_OPERAND;
        emit_fetch_operand(t, p.size);
    }
    emit_push(t, &p, SITE_WRITE);
}

void translate_pop(struct tr *t)
{
    struct decoded *d = t->d;
    struct pop p = {.what = POP_REG, .size = stack_size(d, t->is64)};
    p.reg = d->zo[0].encoding == ZYDIS_OPERAND_ENCODING_OPCODE ? opcode_reg(&d->in) : d->in.rm;
    p.release = p.size;
    emit_pop(t, &p, H_GUEST_RSP);
}

void translate_leave(struct tr *t)
{
    struct pop p = {.what = POP_LEAVE, .size = stack_size(t->d, t->is64)};
    p.release = p.size;
    emit_pop(t, &p, RBP);
}
