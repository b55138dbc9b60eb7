/*
 * Makes random code: opcode bytes of every map, legacy, VEX and EVEX, with memory operands that mostly hit the data
 * pages; what Zydis decodes as an instruction that user code may execute, and whose effect is a function of the state
 * that a case sets up, is kept. A few composite units bring in branches, and some cases are loops.
 */
#include "tests/insn/case.h"

#include <Zydis/Zydis.h>
#include <string.h>

u32 generate_count[ZYDIS_MNEMONIC_MAX_VALUE + 1];

static u64 features;
static bool amd;
static ZydisDecoder decoder;

struct draft {
    struct rng *r;
    struct roles roles;
    u8 byte[32];
    unsigned n;
};

void generate_init(u64 xcr0)
{
    features = xcr0;
    amd = host_is_amd();
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
}

static void put(struct draft *d, u64 value, unsigned size)
{
    memcpy(d->byte + d->n, &value, size);
    d->n += size;
}

static u64 chance(struct draft *d, u64 n)
{
    return rng_below(d->r, n) == 0;
}

/* ModRM and what follows it, of which REX or VEX must hold the high bits: decided first. */
struct operand {
    u8 modrm, sib;
    bool has_sib;
    u8 disp_size;
    s32 disp;
    u8 high_reg, high_index, high_base; /* 0 or 1 */
};

static void pick_memory(struct draft *d, struct operand *o, bool no_base)
{
    struct rng *r = d->r;
    unsigned base = d->roles.pointer[rng_below(r, 3)], index = d->roles.index;
    if (d->roles.string && chance(d, 2))
        base = d->roles.pointer[2];
    if (chance(d, 12))
        base = RSP;
    if (chance(d, 60))
        base = (unsigned)rng_below(r, GPR_COUNT);
    bool use_index = chance(d, 3);
    if (chance(d, 40))
        index = (unsigned)rng_below(r, GPR_COUNT);
    if (index == RSP)
        use_index = false;
    o->disp = (s32)rng_below(r, 129) - 64;
    if (chance(d, 4))
        o->disp = (s32)rng_below(r, 5) - 2;
    if (no_base || chance(d, 16)) { /* absolute, or index only */
        o->modrm = 4;
        o->has_sib = true;
        o->sib = (u8)(rng_below(r, 4) << 6 | (use_index ? (index & 7) << 3 : 4 << 3) | 5);
        o->high_index = use_index && index >= 8;
        o->disp_size = 4;
        if (!no_base)
            o->disp = (s32)(DATA_LA + rng_below(r, 2 * PAGE_SIZE));
        return;
    }
    if (chance(d, 10)) { /* RIP-relative: the displacement is put right when the place is known */
        o->modrm = 5;
        o->disp_size = 4;
        return;
    }
    unsigned mod = (unsigned)rng_below(r, 3);
    if (mod == 0 && (base & 7) == 5)
        mod = 1;
    o->disp_size = mod == 0 ? 0 : mod == 1 ? 1 : 4;
    if (mod == 2 && chance(d, 4))
        o->disp = (s32)rng_below(r, 8192) - 4096;
    if (use_index || (base & 7) == 4) {
        o->modrm = (u8)(mod << 6 | 4);
        o->has_sib = true;
        o->sib = (u8)(rng_below(r, 4) << 6 | (use_index ? (index & 7) << 3 : 4 << 3) | (base & 7));
        o->high_index = use_index && index >= 8;
    } else {
        o->modrm = (u8)(mod << 6 | (base & 7));
    }
    o->high_base = base >= 8;
}

static void pick_operand(struct draft *d, struct operand *o, bool no_base)
{
    memset(o, 0, sizeof(*o));
    if (chance(d, 2)) {
        o->modrm = (u8)(0xc0 | rng_below(d->r, 64));
        o->high_base = (u8)rng_below(d->r, 2);
        o->high_index = (u8)rng_below(d->r, 2);
    } else {
        pick_memory(d, o, no_base);
    }
    o->modrm |= (u8)(rng_below(d->r, 8) << 3);
    o->high_reg = (u8)rng_below(d->r, 2);
}

static void put_operand(struct draft *d, const struct operand *o)
{
    put(d, o->modrm, 1);
    if (o->has_sib)
        put(d, o->sib, 1);
    put(d, (u32)o->disp, o->disp_size);
}

static void put_legacy(struct draft *d, unsigned map, const struct operand *o, unsigned opcode)
{
    struct rng *r = d->r;
    if (chance(d, 4))
        put(d, 0x66, 1);
    if (chance(d, 24))
        put(d, 0x67, 1);
    u64 rep = rng_below(r, map ? 4 : 12);
    if (rep < 2)
        put(d, 0xf2 + rep, 1);
    if (chance(d, 30))
        put(d, 0xf0, 1);
    bool rex = o->high_reg || o->high_base || o->high_index || chance(d, 2);
    if (rex)
        put(d, 0x40u | rng_below(r, 2) << 3 | o->high_reg << 2 | o->high_index << 1 | o->high_base, 1);
    if (map >= 1)
        put(d, 0x0f, 1);
    if (map >= 2)
        put(d, map == 2 ? 0x38 : 0x3a, 1);
    put(d, opcode, 1);
}

static void put_vex(struct draft *d, unsigned map, const struct operand *o, unsigned opcode)
{
    struct rng *r = d->r;
    u8 inverted = (u8)((!o->high_reg) << 7 | (!o->high_index) << 6 | (!o->high_base) << 5);
    u8 last = (u8)rng_next(r);
    if (chance(d, 2))
        last |= 0x78; /* no second source */
    if (map == 1 && !o->high_index && !o->high_base && chance(d, 2)) {
        put(d, 0xc5, 1);
        put(d, (u8)((inverted & 0x80) | (last & 0x7f)), 1);
    } else {
        put(d, 0xc4, 1);
        put(d, inverted | map, 1);
        put(d, last, 1);
    }
    put(d, opcode, 1);
}

static void put_evex(struct draft *d, unsigned map, const struct operand *o, unsigned opcode)
{
    struct rng *r = d->r;
    u8 p0 = (u8)((!o->high_reg) << 7 | (!o->high_index) << 6 | (!o->high_base) << 5 | rng_below(r, 2) << 4 | map);
    u8 p1 = (u8)(rng_next(r) | 4), p2 = (u8)rng_next(r);
    if (chance(d, 2)) { /* no second source */
        p1 |= 0x78;
        p2 |= 8;
    }
    if (chance(d, 2))
        p2 &= 0x7f; /* merging */
    if (chance(d, 3))
        p2 &= 0x78; /* no mask */
    if (o->modrm < 0xc0 && !chance(d, 4))
        p2 &= (u8)~0x10; /* no broadcast */
    put(d, 0x62, 1);
    put(d, p0, 1);
    put(d, p1, 1);
    put(d, p2, 1);
    put(d, opcode, 1);
}

/* Makes the bytes of one instruction; Zydis decides whether it is one. kind: 0 to 31, the kind of encoding. */
static void draft_bytes(struct draft *d, unsigned kind)
{
    struct rng *r = d->r;
    struct operand o;
    unsigned opcode = (unsigned)rng_below(r, 256);
    d->n = 0;
    bool seg = chance(d, 16);
    if (seg)
        put(d, 0x64 + rng_below(r, 2), 1);
    pick_operand(d, &o, seg);
    if (d->roles.string && chance(d, 6)) {
        static const u8 string[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};
        put_legacy(d, 0, &o, string[rng_below(r, sizeof(string))]);
        if (!chance(d, 3)) {
            memmove(d->byte + 1, d->byte, d->n++);
            d->byte[0] = (u8)(0xf2 + rng_below(r, 2));
        }
    } else if (kind < 7) {
        put_legacy(d, 0, &o, opcode);
    } else if (kind < 14) {
        put_legacy(d, 1, &o, opcode);
    } else if (kind < 16) {
        put_legacy(d, 2, &o, opcode);
    } else if (kind < 18) {
        put_legacy(d, 3, &o, opcode);
    } else if (kind < 19) {
        put_legacy(d, 0, &o, 0xd8 + rng_below(r, 8)); /* x87 */
    } else if (kind < 25) {
        put_vex(d, 1 + (unsigned)rng_below(r, 3), &o, opcode);
    } else if (features & XCR0_OPMASK) {
        static const u8 maps[] = {1, 1, 1, 2, 2, 2, 3, 3, 5, 6};
        put_evex(d, maps[rng_below(r, sizeof(maps))], &o, opcode);
    } else {
        put_vex(d, 1 + (unsigned)rng_below(r, 3), &o, opcode);
    }
    put_operand(d, &o);
    u64 imm = rng_next(r);
    if (chance(d, 2))
        imm &= 0x1f;
    put(d, imm, 8);
}

static bool mnemonic_allowed(ZydisMnemonic m)
{
    switch (m) {
    /* depends on more than the case: time, CPU, kernel, random numbers */
    /* clang-format off */
    case ZYDIS_MNEMONIC_RDTSC: case ZYDIS_MNEMONIC_RDTSCP: case ZYDIS_MNEMONIC_RDPMC: case ZYDIS_MNEMONIC_CPUID:
    case ZYDIS_MNEMONIC_RDRAND: case ZYDIS_MNEMONIC_RDSEED: case ZYDIS_MNEMONIC_RDPID: case ZYDIS_MNEMONIC_XGETBV:
    case ZYDIS_MNEMONIC_RDPKRU: case ZYDIS_MNEMONIC_WRPKRU: case ZYDIS_MNEMONIC_RDPRU:
    case ZYDIS_MNEMONIC_SGDT: case ZYDIS_MNEMONIC_SIDT: case ZYDIS_MNEMONIC_SLDT: case ZYDIS_MNEMONIC_STR:
    case ZYDIS_MNEMONIC_SMSW: case ZYDIS_MNEMONIC_LAR: case ZYDIS_MNEMONIC_LSL: case ZYDIS_MNEMONIC_VERR:
    case ZYDIS_MNEMONIC_VERW:
    /* leaves user mode or the flat segments */
    case ZYDIS_MNEMONIC_SYSCALL: case ZYDIS_MNEMONIC_SYSRET: case ZYDIS_MNEMONIC_SYSENTER:
    case ZYDIS_MNEMONIC_SYSEXIT: case ZYDIS_MNEMONIC_INT: case ZYDIS_MNEMONIC_INT1: case ZYDIS_MNEMONIC_INT3:
    case ZYDIS_MNEMONIC_INTO: case ZYDIS_MNEMONIC_IRET: case ZYDIS_MNEMONIC_IRETD: case ZYDIS_MNEMONIC_IRETQ:
    case ZYDIS_MNEMONIC_LSS: case ZYDIS_MNEMONIC_LFS: case ZYDIS_MNEMONIC_LGS:
    /* state that the comparison does not hold, or an image of the whole state */
    case ZYDIS_MNEMONIC_XSAVE: case ZYDIS_MNEMONIC_XSAVE64: case ZYDIS_MNEMONIC_XSAVEC:
    case ZYDIS_MNEMONIC_XSAVEC64: case ZYDIS_MNEMONIC_XSAVEOPT: case ZYDIS_MNEMONIC_XSAVEOPT64:
    case ZYDIS_MNEMONIC_XSAVES: case ZYDIS_MNEMONIC_XSAVES64: case ZYDIS_MNEMONIC_XRSTOR:
    case ZYDIS_MNEMONIC_XRSTOR64: case ZYDIS_MNEMONIC_XRSTORS: case ZYDIS_MNEMONIC_XRSTORS64:
    case ZYDIS_MNEMONIC_FXSAVE: case ZYDIS_MNEMONIC_FXSAVE64: case ZYDIS_MNEMONIC_FXRSTOR:
    case ZYDIS_MNEMONIC_FXRSTOR64: case ZYDIS_MNEMONIC_FNSAVE: case ZYDIS_MNEMONIC_FNSTENV:
    /* sleep, monitors, features that are tested elsewhere or not at all */
    case ZYDIS_MNEMONIC_MONITOR: case ZYDIS_MNEMONIC_MWAIT: case ZYDIS_MNEMONIC_MONITORX:
    case ZYDIS_MNEMONIC_MWAITX: case ZYDIS_MNEMONIC_UMONITOR: case ZYDIS_MNEMONIC_UMWAIT:
    case ZYDIS_MNEMONIC_TPAUSE: case ZYDIS_MNEMONIC_ENQCMD: case ZYDIS_MNEMONIC_ENQCMDS:
    case ZYDIS_MNEMONIC_MOVDIR64B: case ZYDIS_MNEMONIC_MOVDIRI: case ZYDIS_MNEMONIC_PTWRITE:
    case ZYDIS_MNEMONIC_SERIALIZE: case ZYDIS_MNEMONIC_CLZERO: case ZYDIS_MNEMONIC_PCONFIG:
    case ZYDIS_MNEMONIC_XBEGIN: case ZYDIS_MNEMONIC_XEND: case ZYDIS_MNEMONIC_XABORT:
    case ZYDIS_MNEMONIC_XTEST: case ZYDIS_MNEMONIC_XRESLDTRK: case ZYDIS_MNEMONIC_XSUSLDTRK:
    case ZYDIS_MNEMONIC_TDCALL: case ZYDIS_MNEMONIC_SEAMCALL: case ZYDIS_MNEMONIC_SEAMOPS:
    case ZYDIS_MNEMONIC_SEAMRET: case ZYDIS_MNEMONIC_RSM: case ZYDIS_MNEMONIC_GETSEC:
    case ZYDIS_MNEMONIC_ENCLU: case ZYDIS_MNEMONIC_ENCLS: case ZYDIS_MNEMONIC_ENCLV:
        /* clang-format on */
        return false;
    default: return true;
    }
}

static bool category_allowed(const ZydisDecodedInstruction *in)
{
    switch (in->meta.category) {
    case ZYDIS_CATEGORY_AMX_TILE:
    case ZYDIS_CATEGORY_CET:
    case ZYDIS_CATEGORY_UINTR:
    case ZYDIS_CATEGORY_KEYLOCKER:
    case ZYDIS_CATEGORY_KEYLOCKER_WIDE:
    case ZYDIS_CATEGORY_SGX:
    case ZYDIS_CATEGORY_VTX:
    case ZYDIS_CATEGORY_KNC:
    case ZYDIS_CATEGORY_HRESET:
    case ZYDIS_CATEGORY_PADLOCK: return false;
    case ZYDIS_CATEGORY_SYSTEM:
        return in->mnemonic == ZYDIS_MNEMONIC_HLT || in->mnemonic == ZYDIS_MNEMONIC_CLTS ||
               in->mnemonic == ZYDIS_MNEMONIC_MOV;
    default: return in->meta.isa_ext != ZYDIS_ISA_EXT_SVM && in->meta.isa_ext != ZYDIS_ISA_EXT_SNP;
    }
}

/* What is #UD on most hosts, or always: it need not come often. */
static bool mostly_undefined(const ZydisDecodedInstruction *in)
{
    switch (in->meta.isa_ext) {
    case ZYDIS_ISA_EXT_AMD3DNOW:
    case ZYDIS_ISA_EXT_FMA4:
    case ZYDIS_ISA_EXT_XOP:
    case ZYDIS_ISA_EXT_TBM:
    case ZYDIS_ISA_EXT_KNC:
    case ZYDIS_ISA_EXT_SSE4A: return true;
    default: break;
    }
    switch (in->meta.isa_set) {
    case ZYDIS_ISA_SET_AVX512ER_512:
    case ZYDIS_ISA_SET_AVX512ER_SCALAR:
    case ZYDIS_ISA_SET_AVX512PF_512: return true;
    default:
        return in->mnemonic == ZYDIS_MNEMONIC_UD0 || in->mnemonic == ZYDIS_MNEMONIC_UD1 ||
               in->mnemonic == ZYDIS_MNEMONIC_UD2;
    }
}

/* What AMD's CPUs decode otherwise than Intel's, or get wrong. */
static bool differs_on_amd(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *op)
{
    if (in->meta.isa_set == ZYDIS_ISA_SET_PREFETCH_NOP && in->raw.modrm.mod == 3) /* undefined, not NOP */
        return true;
    if (in->mnemonic == ZYDIS_MNEMONIC_PAUSE && in->raw.rex.B) /* XCHG R8, RAX */
        return true;
    if (in->mnemonic == ZYDIS_MNEMONIC_MOVSXD && in->operand_width == 16) /* reads four bytes, not two */
        return true;
    for (unsigned i = 0; i < in->operand_count; i++) /* EVEX forms see RSP as it was before a PUSH or POP */
        if (in->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX && op[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
            (op[i].reg.value == ZYDIS_REGISTER_ESP || op[i].reg.value == ZYDIS_REGISTER_RSP))
            return true;
    return false;
}

static bool is_role(const struct draft *d, unsigned reg)
{
    return reg == d->roles.pointer[0] || reg == d->roles.pointer[1] || reg == d->roles.pointer[2] ||
           reg == d->roles.index || reg == RSP;
}

/* The address of the next unit is known when this is called. */
static bool draft_check(struct draft *d, struct test_case *c, ZydisDecodedInstruction *in, u64 la)
{
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, d->byte, 15, in, op)))
        return false;
    if (!mnemonic_allowed(in->mnemonic) || !category_allowed(in))
        return false;
    if (in->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE)
        return false;
    if (amd && differs_on_amd(in, op))
        return false;
    bool privileged = in->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED || in->meta.category == ZYDIS_CATEGORY_SYSTEM ||
                      in->meta.category == ZYDIS_CATEGORY_IO || in->meta.category == ZYDIS_CATEGORY_IOSTRINGOP;
    if ((privileged || mostly_undefined(in)) && !chance(d, 16))
        return false;
    switch (in->mnemonic) {
    /* clang-format off */
    case ZYDIS_MNEMONIC_PUSHF: case ZYDIS_MNEMONIC_PUSHFD: case ZYDIS_MNEMONIC_PUSHFQ: case ZYDIS_MNEMONIC_POPF:
    case ZYDIS_MNEMONIC_POPFD: case ZYDIS_MNEMONIC_POPFQ: case ZYDIS_MNEMONIC_CLI: case ZYDIS_MNEMONIC_STI:
    case ZYDIS_MNEMONIC_CLAC: case ZYDIS_MNEMONIC_STAC:
        /* clang-format on */
        privileged = true;
        break;
    default: break;
    }
    bool rip_relative = in->attributes & ZYDIS_ATTRIB_HAS_MODRM && in->raw.modrm.mod == 0 && in->raw.modrm.rm == 5 &&
                        in->raw.disp.size == 32; /* MOV to and from CRs ignores mod */
    bool locks =
        in->attributes & ZYDIS_ATTRIB_HAS_LOCK ||
        (in->mnemonic == ZYDIS_MNEMONIC_XCHG && in->raw.modrm.mod != 3 && in->attributes & ZYDIS_ATTRIB_HAS_MODRM);
    if (locks && !rip_relative && !chance(d, 64))
        return false; /* hosts delay a program by milliseconds for a lock across cache lines */
    for (unsigned i = 0; i < in->operand_count; i++) {
        const ZydisDecodedOperand *o = &op[i];
        if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
            continue;
        ZydisRegisterClass class = ZydisRegisterGetClass(o->reg.value);
        bool write = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
        if (class == ZYDIS_REGCLASS_SEGMENT) {
            if (write)
                return false;
            privileged = true;
        }
        if (class == ZYDIS_REGCLASS_TMM || class == ZYDIS_REGCLASS_BOUND)
            return false;
        if (!write ||
            (o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN && in->meta.category == ZYDIS_CATEGORY_STRINGOP))
            continue;
        ZydisRegister full = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, o->reg.value);
        if (full < ZYDIS_REGISTER_RAX || full > ZYDIS_REGISTER_R15)
            continue;
        unsigned n = full - ZYDIS_REGISTER_RAX;
        bool moves_stack = n == RSP && o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN;
        if (is_role(d, n) && !moves_stack && !chance(d, 16))
            return false;
    }
    if (rip_relative) {
        u64 target = DATA_LA + (chance(d, 4) ? PAGE_SIZE - rng_below(d->r, 64) : rng_below(d->r, 2 * PAGE_SIZE - 64));
        if (locks)
            target &= ~15ull;
        s32 disp = (s32)(target - (la + in->length));
        memcpy(d->byte + in->raw.disp.offset, &disp, 4);
    }
    if (privileged)
        c->cpl0 = false;
    return true;
}

/* Units with a branch. UD2 stands where it must not go. */
static void draft_branch(struct draft *d)
{
    struct rng *r = d->r;
    unsigned reg = RSP;
    while (is_role(d, reg))
        reg = (unsigned)rng_below(r, GPR_COUNT);
    u64 lea = 0x058d48u | (reg & 7) << 19 | (reg >= 8) << 2;
    d->n = 0;
    switch (rng_below(r, 10)) {
    case 0: /* Jcc rel8 */
        put(d, 0x70 + rng_below(r, 16), 1);
        put(d, 2, 1);
        break;
    case 1: /* Jcc rel32 */
        put(d, 0x0f, 1);
        put(d, 0x80 + rng_below(r, 16), 1);
        put(d, 2, 4);
        break;
    case 2: /* LOOPNE, LOOPE, LOOP, JRCXZ */
        if (chance(d, 4))
            put(d, 0x67, 1);
        put(d, 0xe0 + rng_below(r, 4), 1);
        put(d, 2, 1);
        break;
    case 3: /* CALL rel32 */
        put(d, 0xe8, 1);
        put(d, 2, 4);
        break;
    case 4: /* LEA; JMP or CALL through the register */
        put(d, lea, 3);
        put(d, reg >= 8 ? 5 : 4, 4);
        if (reg >= 8)
            put(d, 0x41, 1);
        put(d, 0xff, 1);
        put(d, (chance(d, 2) ? 0xe0u : 0xd0u) | (reg & 7), 1);
        break;
    case 5: { /* LEA; PUSH; RET or RET imm16 */
        bool imm = chance(d, 2);
        put(d, lea, 3);
        put(d, (reg >= 8) + 4u + (imm ? 2 : 0), 4);
        if (reg >= 8)
            put(d, 0x41, 1);
        put(d, 0x50 | (reg & 7), 1);
        put(d, imm ? 0xc2 : 0xc3, 1);
        if (imm)
            put(d, rng_below(r, 64), 2);
        break;
    }
    case 6: /* LEA; PUSH; JMP [RSP] */
        put(d, lea, 3);
        put(d, (reg >= 8) + 6u, 4);
        if (reg >= 8)
            put(d, 0x41, 1);
        put(d, 0x50 | (reg & 7), 1);
        put(d, 0x2424ff, 3);
        break;
    case 7: /* MOV ECX, n; INC EAX; LOOP back */
        put(d, 0xb9, 1);
        put(d, 1 + rng_below(r, 20), 4);
        put(d, 0xc0ff, 2);
        put(d, 0xfce2, 2);
        return;
    case 8: /* JMP rel8 and rel32 */
        if (chance(d, 2)) {
            put(d, 0x02eb, 2);
        } else {
            put(d, 0xe9, 1);
            put(d, 2, 4);
        }
        break;
    default: /* CALL, POP of what it pushed */
        put(d, 0xe8, 1);
        put(d, 2, 4);
        put(d, 0x0b0f, 2);
        if (reg >= 8)
            put(d, 0x41, 1);
        put(d, 0x58 | (reg & 7), 1);
        return;
    }
    put(d, 0x0b0f, 2);
}

/* Does the instruction name one of these registers? `registers` has a bit for each. */
static bool names(const u8 *code, u32 registers)
{
    ZydisDecodedInstruction in;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, 15, &in, op)))
        return false;
    u32 set = 0;
    for (unsigned i = 0; i < in.operand_count; i++) {
        ZydisRegister reg[] = {op[i].type == ZYDIS_OPERAND_TYPE_REGISTER ? op[i].reg.value : ZYDIS_REGISTER_NONE,
                               op[i].type == ZYDIS_OPERAND_TYPE_MEMORY ? op[i].mem.base : ZYDIS_REGISTER_NONE,
                               op[i].type == ZYDIS_OPERAND_TYPE_MEMORY ? op[i].mem.index : ZYDIS_REGISTER_NONE};
        for (unsigned k = 0; k < 3; k++) {
            ZydisRegister full = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg[k]);
            if (full >= ZYDIS_REGISTER_RAX && full <= ZYDIS_REGISTER_R15)
                set |= 1u << (full - ZYDIS_REGISTER_RAX);
        }
    }
    return set & registers;
}

static void add_unit(struct draft *d, struct test_case *c, u64 *la)
{
    c->len[c->units] = (u8)d->n;
    memcpy(c->code[c->units++], d->byte, d->n);
    *la += d->n;
    d->n = 0;
}

/* A loop with ways out, of instructions that mostly name the registers that translated code keeps in memory. Often the
 * page ends soon behind it. */
static bool generate_loop(struct draft *d, struct test_case *c)
{
    if (chance(d, 2))
        c->start = (u16)(PAGE_SIZE - 16 - rng_below(d->r, 112));
    struct rng *r = d->r;
    unsigned counter, wanted = 4 + (unsigned)rng_below(r, UNITS - 3), tries = 0, exit[UNITS], exits = 0;
    u64 la = CODE_LA + c->start, start[UNITS];
    do
        counter = (unsigned)rng_below(r, GPR_COUNT);
    while (is_role(d, counter));
    if (counter >= 8) /* MOV counter, n */
        put(d, 0x41, 1);
    put(d, 0xb8 | (counter & 7), 1);
    put(d, 1 + rng_below(r, 20), 4);
    add_unit(d, c, &la);
    while (c->units + 1u < wanted) {
        start[c->units] = la;
        if (chance(d, 12)) { /* Jcc to behind the loop */
            exit[exits++] = c->units;
            put(d, 0x0f, 1);
            put(d, 0x80 + rng_below(r, 16), 1);
            put(d, 0, 4);
            add_unit(d, c, &la);
            continue;
        }
        ZydisDecodedInstruction in;
        unsigned kind = (unsigned)rng_below(r, 32);
        u32 liked = chance(d, 4) ? 0xffff : 1u << R11 | 1u << R14 | 1u << R15;
        for (;;) {
            draft_bytes(d, tries % 64 ? kind : (kind = (unsigned)rng_below(r, 32)));
            if (draft_check(d, c, &in, la) && names(d->byte, liked) && !names(d->byte, 1u << counter))
                break;
            if (++tries > 4000000)
                return false;
        }
        generate_count[in.mnemonic]++;
        d->n = in.length;
        add_unit(d, c, &la);
    }
    u64 back = start[1 + rng_below(r, c->units > 3 ? 3 : 1)];
    if (counter >= 8) /* DEC counter; JNZ */
        put(d, 0x41, 1);
    put(d, 0xff, 1);
    put(d, 0xc8 | (counter & 7), 1);
    put(d, 0x850f, 2);
    put(d, back - (la + d->n + 4), 4);
    add_unit(d, c, &la);
    if (c->units < UNITS) { /* MOV RAX, imm64 */
        put(d, 0xb848, 2);
        put(d, rng_next(r), 8);
        add_unit(d, c, &la);
    }
    for (unsigned i = 0; i < exits; i++) {
        s32 distance = (s32)(la - (start[exit[i]] + 6));
        memcpy(c->code[exit[i]] + 2, &distance, 4);
    }
    return true;
}

bool generate_case(struct rng *r, struct test_case *c, unsigned only)
{
    struct draft d = {.r = r};
    memset(c, 0, sizeof(*c));
    c->seed = rng_next(r);
    c->start = (u16)(rng_below(r, 4) ? rng_below(r, PAGE_SIZE - 256) : PAGE_SIZE - rng_below(r, 64));
    c->cpl0 = rng_below(r, 4) == 0;
    state_roles(c->seed, &d.roles);
    if (!only && chance(&d, 8))
        return generate_loop(&d, c);
    unsigned units = 1 + (unsigned)rng_below(r, UNITS);
    u64 la = CODE_LA + c->start;
    unsigned tries = 0;
    while (c->units < units) {
        ZydisDecodedInstruction in;
        unsigned kind = (unsigned)rng_below(r, 32);
        bool wanted = only && c->units + 1u == units;
        if (!wanted && rng_below(r, 16) == 0) {
            draft_branch(&d);
            add_unit(&d, c, &la);
            continue;
        }
        for (;;) {
            draft_bytes(&d, tries % 1024 && !wanted ? kind : (kind = (unsigned)rng_below(r, 32)));
            if (draft_check(&d, c, &in, la) && (!wanted || in.mnemonic == only))
                break;
            if (++tries > 4000000)
                return false;
        }
        generate_count[in.mnemonic]++;
        d.n = in.length;
        add_unit(&d, c, &la);
    }
    return true;
}
