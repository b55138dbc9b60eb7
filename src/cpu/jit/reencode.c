/*
 * Puts a copied instruction together again: the guest's opcode and immediate, with host registers and the memory
 * operand of the plan. Fields that name vector or mask registers stay as they are.
 */
#include "cpu/jit/plan.h"
#include "cpu/jit/translate.h"

/* What the encoders work on: the guest's instruction with host registers. */
struct copy {
    const struct decoded *d;
    const struct plan *p;
    unsigned gpr; /* FIELD_* that name one */
    u8 opcode;
    bool modrm;
    bool mem;
    unsigned reg, rm;     /* of ModRM; rm unless mem */
    unsigned base, index; /* of the memory operand */
};

/* A register number of the guest's encoding as a host register. */
static unsigned rename_reg(const struct copy *x, unsigned reg, unsigned field)
{
    const struct decoded *d = x->d;
    if (!(x->gpr & field))
        return reg;
    reg &= 15;
    if (d->operands.byte & field && !d->in.rex && d->zi->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && reg >= 4 &&
        reg < 8)
        return reg; /* AH, CH, DH, BH: their registers are in place, see make_plan */
    return x->p->map[reg];
}

/* Does one of the instruction's general registers, or its memory operand, have 16 bits? */
static bool has_16bit_operand(const struct decoded *d)
{
    for (unsigned i = 0; i < d->zi->operand_count; i++) {
        const ZydisDecodedOperand *o = &d->zo[i];
        bool high, gpr = o->type == ZYDIS_OPERAND_TYPE_REGISTER && decode_gpr(o->reg.value, &high) != REG_NONE;
        if (o->size == 16 && (gpr || o->type == ZYDIS_OPERAND_TYPE_MEMORY))
            return true;
    }
    return false;
}

/* Does the copy need an operand-size prefix? Where it tells instructions apart it stays as it is. Where it is the
 * size's, its meaning in 16-bit code is the other way round, and instructions that have no such size must not get one:
 * with it they would be others, or none (EMMS, MFENCE, STMXCSR, MOVNTI). */
static bool has_66(const struct copy *x, u32 mode)
{
    const struct insn *in = &x->d->in;
    const ZydisDecodedInstruction *zi = x->d->zi;
    bool prefix = in->prefixes & PREFIX_66;
    bool sized = (in->map == 0 || (in->map <= 2 && !x->d->operands.vector)) && zi->meta.isa_ext != ZYDIS_ISA_EXT_X87;
    if (!sized || (mode & MODE_SIZE_MASK) != MODE_16)
        return prefix;
    for (unsigned i = 0; i < zi->raw.prefix_count; i++)
        if (zi->raw.prefixes[i].value == BYTE_OPERAND_SIZE && zi->raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_MANDATORY)
            return prefix;
    return in->osz == 2 && has_16bit_operand(x->d);
}

/* Encodings that 64-bit mode lacks, or has with another meaning, become those that it has. */
static void modernize(struct copy *x)
{
    enum { MOV_FROM_MOFFS = 0xa0, MOV_TO_MOFFS = 0xa2, INC_REG = 0x40, DEC_REG = 0x48, GROUP1_ALIAS = 0x82 };
    enum { MOV_STORE = 0x88, MOV_LOAD = 0x8a, GROUP1 = 0x80, GROUP5 = 0xff };
    u8 op = x->opcode;
    if (x->d->in.map)
        return;
    if (op >= MOV_FROM_MOFFS && op <= MOV_TO_MOFFS + 1) {
        x->opcode = (op < MOV_TO_MOFFS ? MOV_LOAD : MOV_STORE) + (op & 1);
        x->reg = RAX;
        x->modrm = true;
    } else if (op >= INC_REG && op < DEC_REG + 8) {
        x->opcode = GROUP5;
        x->reg = op >= DEC_REG;
        x->rm = x->p->map[op & 7];
        x->modrm = true;
        x->gpr &= ~(unsigned)FIELD_OPCODE;
    } else if (op == GROUP1_ALIAS) {
        x->opcode = GROUP1;
    }
}

static void emit_legacy(struct emit *e, struct copy *x, u32 mode)
{
    const struct insn *in = &x->d->in;
    const ZydisDecodedInstruction *zi = x->d->zi;
    enum { XCHG_RAX = 0x90 };
    /* A repeat prefix means nothing to XCHG, but makes it PAUSE if its other register becomes R8. */
    bool rep = !(in->map == 0 && (in->opcode & ~7) == XCHG_RAX && x->gpr & FIELD_OPCODE);
    for (unsigned i = 0; i < zi->raw.prefix_count; i++) {
        u8 b = zi->raw.prefixes[i].value;
        if (b == BYTE_LOCK || b == BYTE_REPNE || (b == BYTE_REP && rep))
            emit_byte(e, b);
    }
    if (has_66(x, mode))
        emit_byte(e, BYTE_OPERAND_SIZE);
    modernize(x);
    u8 rex = in->rex & (BYTE_REX | REX_W);
    if (x->modrm)
        rex |= rex_bits(x->reg, x->index, x->mem ? x->base : x->rm);
    if (x->gpr & FIELD_OPCODE) {
        unsigned reg = rename_reg(x, (x->opcode & 7) | (in->rex & REX_B ? 8 : 0), FIELD_OPCODE);
        rex |= rex_bits(H_NONE, H_NONE, reg);
        x->opcode = (u8)((x->opcode & ~7) | (reg & 7));
    }
    emit_rex(e, rex);
    if (in->map >= 1)
        emit_byte(e, BYTE_ESCAPE);
    if (in->map == 2)
        emit_byte(e, BYTE_ESCAPE_38);
    else if (in->map == 3)
        emit_byte(e, BYTE_ESCAPE_3A);
    emit_byte(e, x->opcode);
}

static void emit_copy_vex(struct emit *e, const struct copy *x)
{
    const u8 *prefix = x->d->in.bytes + x->d->zi->raw.vex.offset;
    bool three = prefix[0] == BYTE_VEX3;
    u8 map = three ? prefix[1] & VEX_MAP : 1, last = prefix[three ? 2 : 1];
    emit_vex(e, x->reg, x->mem && x->index != H_NONE ? x->index : 0, x->mem ? x->base : x->rm, map,
             three && last & VEX_W, rename_reg(x, x->d->in.vvvv, FIELD_VVVV), last & (VEX_L | VEX_PP), x->opcode);
}

static void emit_copy_evex(struct emit *e, const struct copy *x)
{
    const u8 *prefix = x->d->in.bytes + x->d->zi->raw.evex.offset;
    unsigned vvvv = rename_reg(x, x->d->in.vvvv, FIELD_VVVV);
    u8 p0 = prefix[1] & EVEX_MAP;
    p0 |= (u8)((x->reg & 8 ? 0 : VEX_NOT_R) | (x->reg & 16 ? 0 : EVEX_NOT_R2));
    if (x->mem)
        p0 |= (u8)((x->index != H_NONE && x->index & 8 ? 0 : VEX_NOT_X) | (x->base & 8 ? 0 : VEX_NOT_B));
    else
        p0 |= (u8)((x->rm & 16 ? 0 : VEX_NOT_X) | (x->rm & 8 ? 0 : VEX_NOT_B));
    emit_byte(e, BYTE_EVEX);
    emit_byte(e, p0);
    emit_byte(e, (u8)((prefix[2] & ~VEX_VVVV) | (~vvvv & 15) << VEX_VVVV_SHIFT));
    emit_byte(e, (u8)((prefix[3] & ~EVEX_NOT_V2) | (vvvv & 16 ? 0 : EVEX_NOT_V2)));
    emit_byte(e, x->opcode);
}

void emit_copy(struct emit *e, const struct decoded *d, const struct plan *p, u32 mode)
{
    const struct insn *in = &d->in;
    struct copy x = {.d = d, .p = p, .gpr = d->operands.gpr, .opcode = in->opcode, .base = H_NONE, .index = H_NONE};
    x.modrm = d->zi->attributes & ZYDIS_ATTRIB_HAS_MODRM;
    x.mem = p->pointer != POINTER_NONE;
    x.reg = rename_reg(&x, in->reg, FIELD_REG);
    x.rm = in->mod == 3 ? rename_reg(&x, in->rm, FIELD_RM) : 0;
    if (x.mem)
        x.base = p->pointer == POINTER_SUM ? RCX : p->pointer_reg;
    if (p->pointer == POINTER_SUM)
        x.index = p->addr;
    if (d->zi->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY)
        emit_legacy(e, &x, mode);
    else if (d->zi->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
        emit_copy_vex(e, &x);
    else
        emit_copy_evex(e, &x);
    if (x.modrm && x.mem)
        emit_modrm_mem(e, x.reg, x.base, x.index, 1, p->pointer == POINTER_SUM ? p->disp : 0);
    else if (x.modrm)
        emit_modrm_reg(e, x.reg, x.rm);
    if (d->zi->raw.imm[0].size)
        emit_bytes(e, in->bytes + d->zi->raw.imm[0].offset, in->len - d->zi->raw.imm[0].offset);
}
