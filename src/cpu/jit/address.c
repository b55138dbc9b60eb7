/*
 * Instructions that make an address of their own: LEA, which keeps it; XLAT, which adds AL to it; BT and its kin, whose
 * register operand moves it.
 */
#include "cpu/jit/translate.h"

void translate_lea(struct tr *t)
{
    struct emit *e = &t->hot;
    unsigned home = host_of(t, t->d->in.reg);
    if (home != H_NONE && t->d->in.osz >= 4 && t->d->in.asz >= 4) {
        emit_effective(t, home, t->d->in.osz == 8 && t->d->in.asz == 8);
        keep_scratch(t);
    } else {
        unsigned addr = emit_offset(t);
        if (t->d->in.osz == 2 && home == H_NONE) {
            emit_store16(e, addr, gpr_disp(t->d->in.reg));
        } else if (t->d->in.osz == 2) {
            emit_mov16(e, home, addr);
        } else if (home == H_NONE) {
            if (t->d->in.osz == 4)
                emit_mov32(e, H_ADDR, addr);
            emit_store(e, t->d->in.osz == 4 ? H_ADDR : addr, gpr_disp(t->d->in.reg));
        } else {
            emit_mov32(e, home, addr);
            if (t->d->in.osz == 8)
                emit_mov(e, home, addr);
        }
    }
}

/* XLAT: MOV AL, [RBX + AL]. */
static void xlat_body(struct tr *t, struct emit *e, void *ctx)
{
    emit_load_al(e, RCX, H_ADDR);
}

void translate_xlat(struct tr *t)
{
    struct emit *e = &t->hot;
    emit_movzx_al(e, RCX);
    emit_lea(e, t->d->in.asz == 8, H_ADDR, RBX, RCX, 1, 0);
    if (t->d->in.asz == 2)
        emit_movzx16(e, H_ADDR, H_ADDR);
    emit_access(t, emit_linear(t), 0, 1, SITE_READ, t->d->in.seg, xlat_body, NULL);
}

/*
 * BT, BTS, BTR, BTC with a memory operand and a register bit offset: the address moves by the signed offset, the
 * instruction itself then works with the offset modulo the operand size.
 */
#define SPILL_OFFSET (VCPU_DISP(spill) + 8)
#define OPCODE_BT 0xa3

struct bit_ctx {
    u8 opcode;
    u8 osz;
    u8 reg;
    bool lock;
};

static void bit_body(struct tr *t, struct emit *e, void *ctx)
{
    const struct bit_ctx *b = ctx;
    emit_lea(e, true, RCX, RCX, R11, 1, 0);
    unsigned r = host_of(t, b->reg);
    if (r == H_NONE) {
        emit_load(e, R11, gpr_disp(b->reg));
        r = R11;
    }
    emit_pext(e, R11, r, VCPU_DISP(bit_mask) + (b->osz == 2 ? 0 : b->osz == 4 ? 8 : 16));
    emit_bit_op(e, b->lock, b->osz, b->opcode, R11, RCX);
}

void translate_bit(struct tr *t)
{
    struct emit *e = &t->hot;
    const struct insn *in = &t->d->in;
    if (!in->mem || t->d->zi->raw.imm[0].size) {
        translate_copy(t);
        return;
    }
    struct bit_ctx b = {.opcode = in->opcode, .osz = in->osz, .reg = in->reg, .lock = in->prefixes & PREFIX_LOCK};
    unsigned addr = emit_offset(t);
    emit_mov(e, R11, addr);
    unsigned r = host_of(t, b.reg);
    bool w = b.osz == 8;
    emit_store(e, R11, SPILL_OFFSET); /* while rcx and r11 make the displacement */
    if (r == H_NONE) {
        emit_load(e, R11, gpr_disp(b.reg));
        r = R11;
    }
    if (b.osz == 2) {
        emit_movsx16(e, R11, r);
        r = R11;
    }
    emit_mov_imm32(e, RCX, (u32)__builtin_ctz(b.osz * 8u));
    emit_sarx(e, w, RCX, r, RCX);
    if (!w)
        emit_movsxd(e, RCX, RCX);
    emit_load(e, R11, SPILL_OFFSET);
    emit_lea(e, in->asz == 8, R11, R11, RCX, b.osz, 0);
    if (in->asz == 2)
        emit_movzx16(e, R11, R11);
    bool write = in->opcode != OPCODE_BT;
    emit_access(t, emit_linear(t), 0, b.osz, SITE_READ | (write ? SITE_WRITE : 0) | (b.lock ? SITE_LOCK : 0), in->seg,
                bit_body, &b);
}
