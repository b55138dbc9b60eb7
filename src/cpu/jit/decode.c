/*
 * Decoding: Zydis does it, and this file turns its output into struct insn. translate.c calls it on a vCPU's thread,
 * with guest vector state saved, because Zydis may use vector registers.
 */
#include "cpu/jit/translate.h"

#include "cpu/core/copy.h"

static u8 decode_seg(ZydisRegister reg)
{
    switch (reg) {
    case ZYDIS_REGISTER_ES: return SEG_ES;
    case ZYDIS_REGISTER_CS: return SEG_CS;
    case ZYDIS_REGISTER_SS: return SEG_SS;
    case ZYDIS_REGISTER_FS: return SEG_FS;
    case ZYDIS_REGISTER_GS: return SEG_GS;
    default: return SEG_DS;
    }
}

static void decode_memory(struct tr *t, const ZydisDecodedOperand *o)
{
    struct insn *in = &t->d->in;
    bool high;
    in->mem = true;
    in->seg = decode_seg(o->mem.segment);
    in->base = o->mem.base == ZYDIS_REGISTER_RIP || o->mem.base == ZYDIS_REGISTER_EIP
                   ? REG_RIP
                   : (u8)decode_gpr(o->mem.base, &high);
    in->index = (u8)decode_gpr(o->mem.index, &high);
    in->scale = o->mem.scale ? o->mem.scale : 1;
    in->disp = o->mem.disp.has_displacement ? o->mem.disp.value : 0;
    const ZydisDecodedInstruction *zi = t->d->zi;
    if (zi->raw.modrm.mod == 0 && zi->raw.modrm.rm == MODRM_SIB && (zi->raw.sib.base & 7) == SIB_NO_BASE &&
        zi->raw.disp.size == 32) {
        in->base = REG_NONE; /* which Zydis 4.0 takes for R13D under a 67h prefix and REX.B */
        in->disp = zi->raw.disp.value;
    }
    in->msize = o->size / 8 > 255 ? 0 : (u8)(o->size / 8);
}

static u8 decode_prefixes(const ZydisDecodedInstruction *zi)
{
    u8 set = 0;
    for (unsigned i = 0; i < zi->raw.prefix_count; i++) {
        switch (zi->raw.prefixes[i].value) {
        case BYTE_REP: set |= PREFIX_REP; break;
        case BYTE_REPNE: set |= PREFIX_REPNE; break;
        case BYTE_LOCK: set |= PREFIX_LOCK; break;
        case BYTE_OPERAND_SIZE: set |= PREFIX_66; break;
        case BYTE_ADDRESS_SIZE: set |= PREFIX_67; break;
        case BYTE_SEG_ES:
        case BYTE_SEG_CS:
        case BYTE_SEG_SS:
        case BYTE_SEG_DS:
        case BYTE_SEG_FS:
        case BYTE_SEG_GS: set |= PREFIX_SEG; break;
        default: break;
        }
    }
    return set;
}

/* Register numbers of ModRM, VEX and EVEX, all bits together, and what else VEX and EVEX say. */
static void decode_registers(struct insn *in, const ZydisDecodedInstruction *zi)
{
    unsigned reg = zi->raw.modrm.reg, rm = zi->raw.modrm.rm;
    if (zi->attributes & ZYDIS_ATTRIB_HAS_MODRM)
        in->mod = zi->raw.modrm.mod;
    if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && (zi->attributes & ZYDIS_ATTRIB_HAS_REX)) {
        in->rex = in->bytes[zi->raw.rex.offset];
        reg |= in->rex & REX_R ? 8 : 0;
        rm |= in->rex & REX_B ? 8 : 0;
    } else if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) {
        const u8 *vex = in->bytes + zi->raw.vex.offset;
        bool three = vex[0] == BYTE_VEX3;
        reg |= vex[1] & VEX_NOT_R ? 0 : 8;
        if (three)
            rm |= vex[1] & VEX_NOT_B ? 0 : 8;
        in->vvvv = ~(vex[three ? 2 : 1] >> VEX_VVVV_SHIFT) & 15;
        in->vl = (u8)(zi->avx.vector_length / 8);
    } else if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX) {
        const u8 *evex = in->bytes + zi->raw.evex.offset;
        reg |= (evex[1] & VEX_NOT_R ? 0 : 8) | (evex[1] & EVEX_NOT_R2 ? 0 : 16);
        rm |= (evex[1] & VEX_NOT_B ? 0 : 8) | (in->mod == 3 && !(evex[1] & VEX_NOT_X) ? 16 : 0);
        in->vvvv = (~(evex[2] >> VEX_VVVV_SHIFT) & 15) | (evex[3] & EVEX_NOT_V2 ? 0 : 16);
        in->vl = (u8)(zi->avx.vector_length / 8);
        in->evex = true;
        in->evex_mask = evex[3] & EVEX_MASK;
        in->evex_zero = evex[3] & EVEX_ZERO;
    }
    in->reg = (u8)reg;
    in->rm = (u8)rm;
}

/* The operand-size attribute. Zydis reports 8 for instructions on bytes; handlers want the attribute all the same. */
static u8 operand_size(const struct tr *t, const ZydisDecodedInstruction *zi)
{
    const struct insn *in = &t->d->in;
    if (t->is64 && in->rex & REX_W)
        return 8;
    if (zi->operand_width != 8)
        return zi->operand_width / 8;
    bool prefix = in->prefixes & PREFIX_66, code16 = (t->mode & MODE_SIZE_MASK) == MODE_16;
    return prefix == code16 ? 4 : 2;
}

/* The memory operand, if one is named, and immediates; of a far pointer the offset and the selector. */
static void decode_operands(struct tr *t, const ZydisDecodedInstruction *zi)
{
    struct insn *in = &t->d->in;
    bool implied = insn_table[zi->mnemonic].class == CLASS_XLAT;
    if (zi->raw.imm[0].size)
        in->imm = zi->raw.imm[0].is_signed ? (u64)zi->raw.imm[0].value.s : zi->raw.imm[0].value.u;
    if (zi->raw.imm[1].size)
        in->imm2 = zi->raw.imm[1].value.u;
    for (unsigned i = 0; i < zi->operand_count; i++) {
        const ZydisDecodedOperand *o = &t->d->zo[i];
        if (o->type == ZYDIS_OPERAND_TYPE_POINTER) {
            in->imm = o->ptr.offset;
            in->imm2 = o->ptr.segment;
        } else if (o->type == ZYDIS_OPERAND_TYPE_MEMORY && !in->mem &&
                   (o->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT || o->mem.base != ZYDIS_REGISTER_RSP) &&
                   (o->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN || implied)) {
            decode_memory(t, o);
        }
    }
}

static void survey_register(struct operands *s, const ZydisDecodedOperand *o)
{
    bool high;
    unsigned r = decode_gpr(o->reg.value, &high), field = 0;
    switch (o->encoding) {
    case ZYDIS_OPERAND_ENCODING_MODRM_REG: field = FIELD_REG; break;
    case ZYDIS_OPERAND_ENCODING_MODRM_RM: field = FIELD_RM; break;
    case ZYDIS_OPERAND_ENCODING_NDSNDD: field = FIELD_VVVV; break;
    case ZYDIS_OPERAND_ENCODING_OPCODE: field = FIELD_OPCODE; break;
    default: break;
    }
    if (o->size == 8)
        s->byte |= (u8)field;
    s->vector |= o->reg.value >= ZYDIS_REGISTER_MM0 && o->reg.value <= ZYDIS_REGISTER_ZMM31;
    if (r == REG_NONE)
        return;
    u16 bit = (u16)BIT(high ? r - 4 : r);
    s->gpr |= (u8)field;
    s->named |= bit;
    s->any_high |= high;
    if (o->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT && o->encoding != ZYDIS_OPERAND_ENCODING_NONE) {
        s->explicit |= bit;
        s->high |= high;
    } else {
        s->implicit |= bit;
    }
    if (o->actions != ZYDIS_OPERAND_ACTION_WRITE || o->size < 32)
        s->kept |= bit;
    if (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) {
        s->written |= bit;
        if (bit != BIT(RSP) || o->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN)
            s->written_shown |= bit;
    }
}

static void survey(struct decoded *d)
{
    struct operands *s = &d->operands;
    *s = (struct operands){0};
    for (unsigned i = 0; i < d->zi->operand_count; i++) {
        const ZydisDecodedOperand *o = &d->zo[i];
        if (o->type == ZYDIS_OPERAND_TYPE_REGISTER) {
            survey_register(s, o);
        } else if (o->type == ZYDIS_OPERAND_TYPE_MEMORY) {
            unsigned base = decode_whole_gpr(o->mem.base), index = decode_whole_gpr(o->mem.index);
            s->named |= (u16)((base == REG_NONE ? 0 : BIT(base)) | (index == REG_NONE ? 0 : BIT(index)));
        }
    }
}

void decode_init(struct tr *t)
{
    static const struct {
        ZydisMachineMode mode;
        ZydisStackWidth width;
    } kinds[DECODER_COUNT] = {
        [DECODER_REAL] = {ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16},
        [DECODER_16] = {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
        [DECODER_32] = {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
        [DECODER_64] = {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
    };
    for (unsigned i = 0; i < DECODER_COUNT; i++) {
        ZydisDecoderInit(&t->decoder[i], kinds[i].mode, kinds[i].width);
        ZydisDecoderEnableMode(&t->decoder[i], ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
        ZydisDecoderEnableMode(&t->decoder[i], ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
    }
}

static const ZydisDecoder *decoder_of(const struct tr *t)
{
    switch (t->mode & MODE_SIZE_MASK) {
    case MODE_64: return &t->decoder[DECODER_64];
    case MODE_32: return &t->decoder[DECODER_32];
    default: return &t->decoder[t->mode & MODE_PROT ? DECODER_16 : DECODER_REAL];
    }
}

bool decode(struct tr *t, const u8 *code, unsigned avail, bool *more)
{
    struct zydis_output *output = &t->output[t->d - t->insn];
    const ZydisDecodedInstruction *zi = t->d->zi = &output->zi;
    t->d->zo = output->zo;
    ZydisDecoderContext context;
    ZyanStatus st = ZydisDecoderDecodeInstruction(decoder_of(t), &context, code, avail, &output->zi);
    if (ZYAN_SUCCESS(st)) /* ZydisDecoderDecodeFull would also clear the operands that there are not */
        st = ZydisDecoderDecodeOperands(decoder_of(t), &context, zi, output->zo, zi->operand_count);
    *more = st == ZYDIS_STATUS_NO_MORE_DATA || st == ZYDIS_STATUS_INSTRUCTION_TOO_LONG;
    if (!ZYAN_SUCCESS(st))
        return false;
    struct insn *in = &t->d->in;
    *in = (struct insn){.offset = t->pos,
                        .len = zi->length,
                        .asz = zi->address_width / 8,
                        .opcode = zi->opcode,
                        .map = (u8)zi->opcode_map,
                        .prefixes = decode_prefixes(zi),
                        .base = REG_NONE,
                        .index = REG_NONE,
                        .scale = 1};
    copy_bytes(in->bytes, code, zi->length);
    decode_registers(in, zi);
    in->osz = operand_size(t, zi);
    decode_operands(t, zi);
    survey(t->d);
    return true;
}
