/*
 * Decoding: Zydis does it; this file turns its output into struct insn.
 * Runs on a vCPU thread with guest vector state saved, because Zydis may use vector registers.
 */
#include "cpu/jit/translate.h"

unsigned decode_gpr(ZydisRegister reg, bool *high)
{
    *high = false;
    if (reg >= ZYDIS_REGISTER_RAX && reg <= ZYDIS_REGISTER_R15)
        return (unsigned)(reg - ZYDIS_REGISTER_RAX);
    if (reg >= ZYDIS_REGISTER_EAX && reg <= ZYDIS_REGISTER_R15D)
        return (unsigned)(reg - ZYDIS_REGISTER_EAX);
    if (reg >= ZYDIS_REGISTER_AX && reg <= ZYDIS_REGISTER_R15W)
        return (unsigned)(reg - ZYDIS_REGISTER_AX);
    if (reg >= ZYDIS_REGISTER_AL && reg <= ZYDIS_REGISTER_BL)
        return (unsigned)(reg - ZYDIS_REGISTER_AL);
    if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH) {
        *high = true;
        return (unsigned)(reg - ZYDIS_REGISTER_AH) + 4;
    }
    if (reg >= ZYDIS_REGISTER_SPL && reg <= ZYDIS_REGISTER_R15B)
        return (unsigned)(reg - ZYDIS_REGISTER_SPL) + 4;
    return REG_NONE;
}

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
    const ZydisDecodedInstruction *zi = &t->d->zi;
    if (zi->raw.modrm.mod == 0 && zi->raw.modrm.rm == 4 && (zi->raw.sib.base & 7) == 5 && zi->raw.disp.size == 32) {
        in->base = REG_NONE; /* which Zydis 4.0 takes for R13D under a 67h prefix and REX.B */
        in->disp = zi->raw.disp.value;
    }
    in->msize = o->size / 8 > 255 ? 0 : (u8)(o->size / 8);
}

bool decode(struct tr *t, const u8 *code, unsigned avail, bool *more)
{
    struct exec *x = t->v->exec;
    ZydisDecoder *d = x->decoder[t->mode & MODE_SIZE_MASK];
    if ((t->mode & MODE_SIZE_MASK) == MODE_16)
        d = &d[t->mode & MODE_PROT ? 1 : 0];
    ZyanStatus st = ZydisDecoderDecodeFull(d, code, avail, &t->d->zi, t->d->zo);
    *more = st == ZYDIS_STATUS_NO_MORE_DATA || st == ZYDIS_STATUS_INSTRUCTION_TOO_LONG;
    if (!ZYAN_SUCCESS(st))
        return false;
    const ZydisDecodedInstruction *zi = &t->d->zi;
    struct insn *in = &t->d->in;
    *in = (struct insn){.mnemonic = (u16)zi->mnemonic,
                        .offset = t->pos,
                        .len = zi->length,
                        .osz = zi->operand_width / 8,
                        .asz = zi->address_width / 8,
                        .opcode = zi->opcode,
                        .map = (u8)zi->opcode_map,
                        .base = REG_NONE,
                        .index = REG_NONE,
                        .scale = 1};
    if (zi->opcode_map == ZYDIS_OPCODE_MAP_0F)
        in->map = 1;
    else if (zi->opcode_map == ZYDIS_OPCODE_MAP_0F38)
        in->map = 2;
    else if (zi->opcode_map == ZYDIS_OPCODE_MAP_0F3A)
        in->map = 3;
    for (unsigned i = 0; i < zi->length; i++)
        in->bytes[i] = code[i];
    bool rexw = false;
    for (unsigned i = 0; i < zi->raw.prefix_count; i++) {
        u8 p = zi->raw.prefixes[i].value;
        switch (p) {
        case BYTE_REP: in->prefixes |= PREFIX_REP; break;
        case BYTE_REPNE: in->prefixes |= PREFIX_REPNE; break;
        case BYTE_LOCK: in->prefixes |= PREFIX_LOCK; break;
        case BYTE_OPERAND_SIZE: in->prefixes |= PREFIX_66; break;
        case BYTE_ADDRESS_SIZE: in->prefixes |= PREFIX_67; break;
        case BYTE_SEG_ES:
        case BYTE_SEG_CS:
        case BYTE_SEG_SS:
        case BYTE_SEG_DS:
        case BYTE_SEG_FS:
        case BYTE_SEG_GS: in->prefixes |= PREFIX_SEG; break;
        default: break;
        }
    }
    unsigned reg = zi->raw.modrm.reg, rm = zi->raw.modrm.rm;
    if (zi->attributes & ZYDIS_ATTRIB_HAS_MODRM)
        in->mod = zi->raw.modrm.mod;
    if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && (zi->attributes & ZYDIS_ATTRIB_HAS_REX)) {
        in->rex = code[zi->raw.rex.offset];
        rexw = in->rex & REX_W;
        reg |= in->rex & REX_R ? 8 : 0;
        rm |= in->rex & REX_B ? 8 : 0;
    } else if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) {
        const u8 *x3 = code + zi->raw.vex.offset;
        reg |= x3[1] & VEX_NOT_R ? 0 : 8;
        if (x3[0] == BYTE_VEX3)
            rm |= x3[1] & VEX_NOT_B ? 0 : 8;
        in->vvvv = ~(x3[x3[0] == BYTE_VEX3 ? 2 : 1] >> 3) & 15;
        in->vl = (u8)(zi->avx.vector_length / 8);
    } else if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX) {
        const u8 *x4 = code + zi->raw.evex.offset;
        reg |= (x4[1] & VEX_NOT_R ? 0 : 8) | (x4[1] & EVEX_NOT_R2 ? 0 : 16);
        rm |= (x4[1] & VEX_NOT_B ? 0 : 8) | (in->mod == 3 && !(x4[1] & VEX_NOT_X) ? 16 : 0);
        in->vvvv = (~(x4[2] >> 3) & 15) | (x4[3] & EVEX_NOT_V2 ? 0 : 16);
        in->vl = (u8)(zi->avx.vector_length / 8);
        in->evex = true;
        in->evex_mask = x4[3] & 7;
        in->evex_zero = x4[3] & 0x80;
    }
    in->reg = (u8)reg;
    in->rm = (u8)rm;
    /* Zydis reports 8 for byte instructions; handlers want the attribute's size. */
    if (t->is64 && rexw)
        in->osz = 8;
    else if (zi->operand_width == 8)
        in->osz = (in->prefixes & PREFIX_66) ? ((t->mode & MODE_SIZE_MASK) == MODE_16 ? 4 : 2)
                                             : ((t->mode & MODE_SIZE_MASK) == MODE_16 ? 2 : 4);
    for (unsigned i = 0; i < zi->operand_count; i++) {
        const ZydisDecodedOperand *o = &t->d->zo[i];
        if (o->type == ZYDIS_OPERAND_TYPE_MEMORY && !in->mem &&
            (o->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT || o->mem.base != ZYDIS_REGISTER_RSP)) {
            if (o->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN || insn_table[zi->mnemonic].class == CLASS_XLAT)
                decode_memory(t, o);
        } else if (o->type == ZYDIS_OPERAND_TYPE_POINTER) {
            in->imm = o->ptr.offset;
            in->imm2 = o->ptr.segment;
        }
    }
    if (zi->raw.imm[0].size && !(zi->raw.modrm.offset == 0 && in->imm2))
        in->imm = zi->raw.imm[0].is_signed ? (u64)zi->raw.imm[0].value.s : zi->raw.imm[0].value.u;
    if (zi->raw.imm[1].size)
        in->imm2 = zi->raw.imm[1].value.u;
    for (unsigned i = 0; i < zi->operand_count; i++)
        if (t->d->zo[i].type == ZYDIS_OPERAND_TYPE_POINTER) {
            in->imm = t->d->zo[i].ptr.offset;
            in->imm2 = t->d->zo[i].ptr.segment;
        }
    return true;
}
