/*
 * Every instruction of one byte and of the maps 0F, 0F 38 and 0F 3A in 16-bit code, of real and of protected mode, of
 * L1 and of L2, against what 32-bit code makes of it. Where 66h is the operand size, its meaning is the other way round
 * in 16-bit code; where it tells instructions apart, or is an error, it means the same in both.
 */
#include "cpu/insn/ops.h"
#include "cpu/jit/plan.h"
#include "unit/code_cache.h"

enum { MOD_REG = 3, ADDRESS_REG = RAX, PREFIX_COUNT = 3, ROOM = 32 };

static const u8 mandatory[PREFIX_COUNT] = {0, BYTE_REP, BYTE_REPNE};

struct encoding {
    u8 map, opcode, modrm, prefix; /* the prefix is one of `mandatory` */
};

/* What becomes of an instruction: its decoding, and if it is copied the host's instruction. */
struct meaning {
    bool valid;
    struct decoded d;
    struct zydis_output output;
    bool emitted;
    ZydisDecodedInstruction zi;
    ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];
};

static size_t encode(u8 *p, const struct encoding *x, bool prefix66, bool prefix67)
{
    u8 *from = p;
    if (prefix67)
        *p++ = BYTE_ADDRESS_SIZE;
    if (prefix66)
        *p++ = BYTE_OPERAND_SIZE;
    if (x->prefix)
        *p++ = x->prefix;
    if (x->map)
        *p++ = BYTE_ESCAPE;
    if (x->map > 1)
        *p++ = x->map == 2 ? BYTE_ESCAPE_38 : BYTE_ESCAPE_3A;
    *p++ = x->opcode;
    *p++ = x->modrm;
    memset(p, 1, ROOM - (size_t)(p - from)); /* immediates */
    return (size_t)(p - from);
}

/* Copies the instruction as the translator does, its registers in their own places, and decodes that. */
static void copy(struct meaning *m, u32 mode)
{
    static u8 code[ROOM];
    ZydisDecoder decoder;
    struct plan p = {.pointer = m->d.in.mem ? POINTER_REG : POINTER_NONE, .pointer_reg = ADDRESS_REG};
    struct emit e = {code, code + ROOM};
    for (unsigned r = 0; r < GPR_COUNT; r++)
        p.map[r] = (u8)r;
    emit_copy(&e, &m->d, &p, mode);
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    m->emitted = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, (size_t)(e.p - code), &m->zi, m->zo)) &&
                 m->zi.length == e.p - code;
}

static struct meaning meaning_of(const struct encoding *x, bool prefix66, u32 mode)
{
    static struct meaning m;
    u8 bytes[ROOM];
    bool more;
    struct tr *t = v->exec->tr;
    encode(bytes, x, prefix66, (mode & MODE_SIZE_MASK) == MODE_16); /* 32-bit addresses in both */
    memset(&m, 0, sizeof m);
    t->v = v;
    t->mode = mode;
    t->is64 = false;
    t->flat = true;
    t->d = &t->insn[0];
    m.valid = decode(t, bytes, INSN_MAX, &more);
    if (!m.valid)
        return m;
    classify(t);
    m.d = *t->d;
    m.output = t->output[0];
    if (m.d.class == CLASS_COPY)
        copy(&m, mode);
    return m;
}

static bool is_ud(const struct meaning *m)
{
    return !m->valid || (m->d.class == CLASS_CALL && m->d.fn == op_ud);
}

static bool same_host_insn(const struct meaning *a, const struct meaning *b)
{
    if (!a->emitted || !b->emitted || a->zi.mnemonic != b->zi.mnemonic || a->zi.operand_count != b->zi.operand_count)
        return false;
    for (unsigned i = 0; i < a->zi.operand_count; i++) {
        const ZydisDecodedOperand *p = &a->zo[i], *q = &b->zo[i];
        if (p->type != q->type || p->size != q->size || p->encoding != q->encoding ||
            (p->type == ZYDIS_OPERAND_TYPE_REGISTER && p->reg.value != q->reg.value))
            return false;
    }
    return true;
}

static bool same(const struct meaning *a, const struct meaning *b, bool sized)
{
    if (is_ud(a) || is_ud(b))
        return is_ud(a) == is_ud(b);
    if (a->d.class == CLASS_NOP && b->d.class == CLASS_NOP)
        return true;
    const struct insn *p = &a->d.in, *q = &b->d.in;
    if (a->output.zi.mnemonic != b->output.zi.mnemonic || a->d.class != b->d.class || a->d.fn != b->d.fn ||
        a->d.traits != b->d.traits || a->d.unit != b->d.unit)
        return false;
    if (p->mem != q->mem || p->reg != q->reg || p->rm != q->rm || p->mod != q->mod || p->base != q->base ||
        p->asz != q->asz || p->msize != q->msize || (sized && p->osz != q->osz))
        return false;
    return a->d.class != CLASS_COPY || same_host_insn(a, b);
}

/* Is 66h the operand size of the instruction? In the maps behind 0F both are then the same instruction. */
static bool is_sized(const struct encoding *x, const struct meaning *plain, const struct meaning *with66)
{
    if (!plain->valid || !with66->valid || plain->d.in.osz == with66->d.in.osz)
        return false;
    if (x->map && plain->output.zi.mnemonic != with66->output.zi.mnemonic)
        return false;
    const ZydisDecodedInstruction *zi = &with66->output.zi;
    for (unsigned i = 0; i < zi->raw.prefix_count; i++)
        if (zi->raw.prefixes[i].value == BYTE_OPERAND_SIZE && zi->raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_MANDATORY)
            return false;
    return true;
}

static unsigned tried, copied;

static void compare(const struct encoding *x, u32 more)
{
    const u32 mode16 = MODE_16 | MODE_FLAT | MODE_SS32 | MODE_X87 | MODE_SSE | more, mode32 = mode16 | MODE_32;
    const struct meaning plain = meaning_of(x, false, mode32 | MODE_PROT);
    const struct meaning with66 = meaning_of(x, true, mode32 | MODE_PROT);
    bool sized = is_sized(x, &plain, &with66);
    for (unsigned prefix66 = 0; prefix66 < 2; prefix66++) {
        const struct meaning *is32 = prefix66 != sized ? &with66 : &plain;
        const struct meaning is16 = meaning_of(x, prefix66, mode16);
        /* Real mode has no LAR, VERR, SYSRET and the like: of those there is nothing to compare. */
        if (!(more & MODE_PROT) && is32->valid && is32->d.class != CLASS_COPY && !is16.valid)
            continue;
        tried++;
        copied += is16.d.class == CLASS_COPY;
        if (same(is32, &is16, sized))
            continue;
        test_bad++;
        printf("# map %u, opcode %02x, ModRM %02x, prefix %02x, 66h %u, mode %x: %s, in 32-bit code %s\n", x->map,
               x->opcode, x->modrm, x->prefix, prefix66, mode16,
               is_ud(&is16)   ? "#UD"
               : is16.emitted ? ZydisMnemonicGetString(is16.zi.mnemonic)
                              : ZydisMnemonicGetString(is16.output.zi.mnemonic),
               is_ud(is32)     ? "#UD"
               : is32->emitted ? ZydisMnemonicGetString(is32->zi.mnemonic)
                               : ZydisMnemonicGetString(is32->output.zi.mnemonic));
    }
}

/* Prefixes, escapes, and what begins VEX and EVEX. */
static bool is_prefix(u8 map, u8 opcode)
{
    static const u8 prefixes[] = {BYTE_ESCAPE, 0x26, 0x2e, 0x36, 0x3e, 0x62, 0x64, 0x65,
                                  0x66,        0x67, 0xc4, 0xc5, 0xf0, 0xf2, 0xf3};
    if (map == 0)
        return memchr(prefixes, opcode, sizeof prefixes);
    return map == 1 && (opcode == BYTE_ESCAPE_38 || opcode == BYTE_ESCAPE_3A);
}

static void walk(u32 more)
{
    struct encoding x;
    for (x.map = 0; x.map <= 3; x.map++)
        for (unsigned opcode = 0; opcode < 256; opcode++) {
            x.opcode = (u8)opcode;
            if (is_prefix(x.map, x.opcode))
                continue;
            for (unsigned prefix = 0; prefix < PREFIX_COUNT; prefix++) {
                x.prefix = mandatory[prefix];
                for (unsigned reg = 0; reg < 8; reg++) {
                    x.modrm = (u8)(reg << 3 | ADDRESS_REG);
                    compare(&x, more);
                    for (unsigned rm = 0; rm < 8; rm++) {
                        x.modrm = (u8)(MOD_REG << 6 | reg << 3 | rm);
                        compare(&x, more);
                    }
                }
            }
        }
}

int main(void)
{
    code_create();
    TEST("protected mode");
    walk(MODE_PROT);
    CHECK(tried > 100000 && copied > 10000);
    TEST("protected mode, L2");
    walk(MODE_PROT | MODE_GUEST);
    TEST("real mode");
    walk(0);
    TEST("real mode, L2");
    walk(MODE_GUEST);
    return TEST_END();
}
