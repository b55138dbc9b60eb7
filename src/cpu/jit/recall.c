/*
 * What was decoded before: most instructions of a program differ from an earlier one in no more than a displacement or
 * an immediate, and decoding takes half the time of a translation. A table keeps, by the bytes in front of those two,
 * what Zydis and classify.c make of an instruction; the next one with these bytes is a copy with values of its own.
 *
 * translate.c calls it with the cache's lock held. What decides that an instruction may be kept is Zydis: nothing but
 * the displacement and the immediate may lie behind the bytes that it is known by. 64-bit code only, without VEX, EVEX
 * and 67h.
 */
#include "cpu/jit/translate.h"

#include "cpu/core/copy.h"

enum { OP_IMUL_IMM32 = 0x69, OP_IMUL_IMM8 = 0x6b, OP_MOVSXD = 0x63, OP_VEX2 = 0xc5, ESCAPE_3DNOW = 0x0f };
enum { KEY_LENGTH_SHIFT = 56, KEY_MAX = 7 };

static bool is_prefix(u8 b)
{
    switch (b) {
    case BYTE_OPERAND_SIZE:
    case BYTE_REP:
    case BYTE_REPNE:
    case BYTE_LOCK:
    case BYTE_SEG_ES:
    case BYTE_SEG_CS:
    case BYTE_SEG_SS:
    case BYTE_SEG_DS:
    case BYTE_SEG_FS:
    case BYTE_SEG_GS: return true;
    default: return false;
    }
}

/* Does this opcode of the one-byte map have a ModRM byte? */
static bool has_modrm(u8 op)
{
    if (op < BYTE_REX)
        return (op & 7) < 4;
    if (op >= 0x80 && op < 0x90)
        return true;
    switch (op & ~7) {
    case 0xd8: return true; /* x87 */
    case 0xd0: return op < 0xd4;
    case 0xc0: return op == 0xc0 || op == 0xc1 || op == 0xc6 || op == 0xc7;
    case 0xf0:
    case 0xf8: return (op & 7) >= 6;
    default: return op == OP_MOVSXD || op == OP_IMUL_IMM32 || op == OP_IMUL_IMM8;
    }
}

/*
 * The bytes of the instruction up to ModRM and SIB, and in the highest byte how many they are; 0 if it is of no kind
 * that is kept. More bytes than that would do no harm: too few are found when it shall be kept.
 */
static u64 key_of(const u8 *code, unsigned avail)
{
    unsigned n = 0;
    u64 key = 0;
    if (avail < KEY_MAX + 1)
        return 0;
    while (n < 4 && is_prefix(code[n]))
        n++;
    if ((code[n] & 0xf0) == BYTE_REX)
        n++;
    u8 op = code[n++];
    bool modrm = has_modrm(op);
    if (op == BYTE_ESCAPE) {
        op = code[n++];
        if (op == ESCAPE_3DNOW)
            return 0;
        modrm = (op & 0xf0) != 0x80; /* conditional jumps have none */
        if (op == BYTE_ESCAPE_38 || op == BYTE_ESCAPE_3A)
            n++;
    } else if (op == BYTE_EVEX || op == BYTE_VEX3 || op == OP_VEX2 || op == BYTE_ADDRESS_SIZE) {
        return 0;
    }
    if (modrm && n < KEY_MAX) {
        u8 m = code[n++];
        n += m >> 6 != 3 && (m & 7) == MODRM_SIB;
    }
    if (n > KEY_MAX)
        return 0;
    for (unsigned i = 0; i < n; i++)
        key |= (u64)code[i] << i * 8;
    return key | (u64)n << KEY_LENGTH_SHIFT;
}

static u32 slot_of(u64 key, u32 mode)
{
    return (u32)((key * 0x9e3779b97f4a7c15ull ^ mode * 0x2545f4914f6cdd1dull) >> (64 - RECALL_BITS));
}

/* A little-endian number of so many bits. */
static u64 number(const u8 *from, unsigned bits, bool is_signed)
{
    u64 x = 0;
    for (unsigned i = 0; i < bits / 8; i++)
        x |= (u64)from[i] << i * 8;
    return is_signed && bits < 64 && x >> (bits - 1) ? x | ~0ull << bits : x;
}

/* The values of the displacement and the immediate that stand in these bytes. */
static s64 displacement(const ZydisDecodedInstruction *zi, const u8 *code)
{
    return (s64)number(code + zi->raw.disp.offset, zi->raw.disp.size, true);
}

static u64 immediate(const ZydisDecodedInstruction *zi, const u8 *code)
{
    return number(code + zi->raw.imm[0].offset, zi->raw.imm[0].size, zi->raw.imm[0].is_signed);
}

bool recall(struct tr *t, const u8 *code, unsigned avail)
{
    struct cache *c = t->c;
    u64 key = t->recall_key = t->is64 ? key_of(code, avail) : 0;
    u32 slot = slot_of(key, t->mode);
    const struct recalled *r = &c->recalled[slot];
    if (!key || c->recall[slot].key != key || c->recall[slot].mode != t->mode || r->output.zi.length > avail)
        return false;
    c->recall[slot].used = c->block_count + 1;
    *t->d = r->d;
    struct insn *in = &t->d->in;
    t->d->pos = in->offset = t->pos;
    if (in->mem)
        in->disp = displacement(&r->output.zi, code);
    in->imm = immediate(&r->output.zi, code);
    for (unsigned i = 0; i < in->len; i++)
        in->bytes[i] = code[i];
    return true;
}

/* Does nothing lie behind the key but a displacement and one immediate, and are these what decode takes them for? */
static bool is_kept(const struct tr *t)
{
    const ZydisDecodedInstruction *zi = t->d->zi;
    const struct insn *in = &t->d->in;
    unsigned fixed = zi->length;
    if (zi->raw.disp.size && zi->raw.disp.offset < fixed)
        fixed = zi->raw.disp.offset;
    if (zi->raw.imm[0].size && zi->raw.imm[0].offset < fixed)
        fixed = zi->raw.imm[0].offset;
    return fixed <= t->recall_key >> KEY_LENGTH_SHIFT && zi->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
           !zi->raw.imm[1].size && in->imm == immediate(zi, in->bytes) &&
           in->disp == (in->mem ? displacement(zi, in->bytes) : 0);
}

void remember(struct tr *t)
{
    struct cache *c = t->c;
    u32 slot = slot_of(t->recall_key, t->mode);
    struct recalled *r = &c->recalled[slot];
    if (!t->recall_key || !c->recalled || c->recall[slot].used == c->block_count + 1 || !is_kept(t))
        return;
    const ZydisDecodedInstruction *zi = t->d->zi;
    r->d = *t->d;
    r->output.zi = *zi;
    copy_bytes(r->output.zo, t->d->zo, zi->operand_count * sizeof r->output.zo[0]);
    r->d.zi = &r->output.zi;
    r->d.zo = r->output.zo;
    c->recall[slot].key = t->recall_key;
    c->recall[slot].mode = t->mode;
}
