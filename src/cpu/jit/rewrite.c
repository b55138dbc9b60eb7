/*
 * Copied instructions: the same instruction again, with its registers renamed and its memory operand replaced by the
 * host pointer that operand.c found. A plan is made once; the encoder may run twice (hot part and cold part).
 *
 * Registers that translated code has elsewhere: RCX (r14), RSP (r15) are renamed; r11, r14, r15 are loaded into a
 * scratch register around the instruction. Instructions that name RCX implicitly, or AH, BH, CH, DH together with a
 * renamed register, get guest RCX moved into the real one. When scratch registers run out an unused guest register is
 * spilled.
 */
#include "cpu/jit/translate.h"

#include "cpu/core/cpuid.h"

enum pointer { POINTER_NONE, POINTER_SUM /* [rcx + addr] */, POINTER_REG };

struct plan {
    enum pointer pointer;
    u8 pointer_reg;
    s32 disp;
    u8 addr;
    bool rcx_in, rcx_out; /* guest RCX in host rcx */
    u8 temp_count;
    struct {
        u8 host, guest;
        bool load, store;
    } temp[4];
    u8 spill_count;
    u8 spill[SPILL_COUNT];
    u8 map[GPR_COUNT]; /* guest to host */
    u32 busy;          /* GPRs that the instruction names, and their hosts */
};

static u8 take_spill(struct plan *p, bool low)
{
    static const u8 order[] = {RSI, RDI, RBX, RBP, RDX, R8, R9, R10, R12, R13};
    for (unsigned i = 0; i < ARRAY_LEN(order); i++) {
        u8 r = order[i];
        if (p->busy & BIT(r))
            continue;
        if (low && r >= 8)
            break;
        p->busy |= BIT(r);
        p->spill[p->spill_count++] = r;
        return r;
    }
    return H_NONE;
}

/* Does the instruction replace the whole register that the operand names, whatever it held? */
static bool overwrites(const struct decoded *d, const ZydisDecodedOperand *o)
{
    switch (d->zi.mnemonic) {
    case ZYDIS_MNEMONIC_BSF: /* AMD's, and perhaps those that LZCNT and TZCNT become, keep it if the source is zero */
    case ZYDIS_MNEMONIC_BSR:
    case ZYDIS_MNEMONIC_LZCNT:
    case ZYDIS_MNEMONIC_TZCNT: return false;
    default: return o->actions == ZYDIS_OPERAND_ACTION_WRITE && o->size >= 32;
    }
}

/* held: a guest register that is in r11 by now, or REG_NONE. */
static void make_plan(struct tr *t, struct plan *p, bool mem, unsigned addr, s32 disp, unsigned held)
{
    *p = (struct plan){.addr = (u8)addr, .disp = disp};
    u32 explicit = 0, written = 0, implicit = 0, read = 0;
    bool high = false;
    for (unsigned i = 0; i < t->d->zi.operand_count; i++) {
        const ZydisDecodedOperand *o = &t->d->zo[i];
        if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
            continue;
        bool h;
        unsigned r = decode_gpr(o->reg.value, &h);
        if (r == REG_NONE)
            continue;
        if (h)
            r -= 4;
        if (o->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT && o->encoding != ZYDIS_OPERAND_ENCODING_NONE) {
            explicit |= BIT(r);
            high |= h;
        } else
            implicit |= BIT(r);
        if (!overwrites(t->d, o))
            read |= BIT(r);
        if (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
            written |= BIT(r);
    }
    p->busy = explicit | implicit;
    if (addr != H_NONE && addr < GPR_COUNT)
        p->busy |= BIT(addr);
    bool in_memory = false; /* a register that the instruction names */
    for (unsigned r = 0; r < GPR_COUNT; r++) {
        p->map[r] = (u8)host_of(t, r);
        if (!(explicit & BIT(r)))
            continue;
        if (p->map[r] == H_NONE)
            in_memory = true;
        else
            p->busy |= BIT(p->map[r]);
    }
    bool rcx = (implicit & BIT(RCX)) || (high && (explicit & BIT(RCX)));
    if (rcx) {
        p->rcx_in = true;
        p->rcx_out = written & BIT(RCX);
        p->map[RCX] = RCX;
    }
    bool temps[2] = {!rcx, true}; /* rcx, r11 */
    if (mem) {
        if (rcx) {
            p->pointer = POINTER_REG;
            p->pointer_reg = high ? take_spill(p, true) : R11;
            temps[1] = high;
        } else if (in_memory || high || (p->disp && t->d->in.evex)) {
            p->pointer = POINTER_REG;
            p->pointer_reg = RCX;
            temps[0] = false;
        } else {
            p->pointer = POINTER_SUM;
            temps[0] = temps[1] = false;
        }
    }
    bool keep = held != REG_NONE && explicit & BIT(held) && !high && temps[1];
    if (keep) {
        p->map[held] = R11;
        temps[1] = false;
        p->temp[p->temp_count].host = R11;
        p->temp[p->temp_count].guest = (u8)held;
        p->temp[p->temp_count++].store = written & BIT(held);
    }
    for (unsigned r = 0; r < GPR_COUNT; r++) {
        if (!(explicit & BIT(r)))
            continue;
        bool need = p->map[r] == H_NONE || (high && p->map[r] >= 8);
        if (!need)
            continue;
        u8 host;
        if (!high && temps[1]) {
            host = R11;
            temps[1] = false;
        } else if (temps[0]) {
            host = RCX;
            temps[0] = false;
        } else {
            host = take_spill(p, high);
        }
        p->map[r] = host;
        p->temp[p->temp_count].host = host;
        p->temp[p->temp_count].guest = (u8)r;
        p->temp[p->temp_count].load = read & BIT(r);
        p->temp[p->temp_count++].store = written & BIT(r);
    }
}

bool is_pure(const struct tr *t)
{
    const struct decoded *d = t->d;
    if (d->in.mem || d->class != CLASS_COPY)
        return false;
    switch (d->zi.mnemonic) {
    case ZYDIS_MNEMONIC_ADC:
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_ANDN:
    case ZYDIS_MNEMONIC_BSWAP:
    case ZYDIS_MNEMONIC_CMP:
    case ZYDIS_MNEMONIC_DEC:
    case ZYDIS_MNEMONIC_IMUL:
    case ZYDIS_MNEMONIC_INC:
    case ZYDIS_MNEMONIC_MOV:
    case ZYDIS_MNEMONIC_MOVSX:
    case ZYDIS_MNEMONIC_MOVSXD:
    case ZYDIS_MNEMONIC_MOVZX:
    case ZYDIS_MNEMONIC_NEG:
    case ZYDIS_MNEMONIC_NOT:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_ROL:
    case ZYDIS_MNEMONIC_ROR:
    case ZYDIS_MNEMONIC_RORX:
    case ZYDIS_MNEMONIC_SAR:
    case ZYDIS_MNEMONIC_SBB:
    case ZYDIS_MNEMONIC_SHL:
    case ZYDIS_MNEMONIC_SHLD:
    case ZYDIS_MNEMONIC_SHR:
    case ZYDIS_MNEMONIC_SHRD:
    case ZYDIS_MNEMONIC_SUB:
    case ZYDIS_MNEMONIC_TEST:
    case ZYDIS_MNEMONIC_XOR: break;
    default: return false;
    }
    for (unsigned i = 0; i < d->zi.operand_count; i++) {
        bool high = false;
        if (d->zo[i].type == ZYDIS_OPERAND_TYPE_REGISTER)
            decode_gpr(d->zo[i].reg.value, &high);
        if (high)
            return false;
    }
    return true;
}

/* Does the plan use r11 for another guest register than it holds, or another scratch register for that one? */
static bool displaces(const struct tr *t, const struct plan *p)
{
    for (unsigned i = 0; i < p->temp_count; i++)
        if ((p->temp[i].host == R11) != (p->temp[i].guest == t->in_r11))
            return true;
    return false;
}

/* What the scratch registers hold behind a plan's code. */
static void note_scratch(struct tr *t, const struct plan *p)
{
    if (p->rcx_in || (p->pointer == POINTER_REG && p->pointer_reg == RCX))
        t->in_rcx = GROUP_NONE;
    if (p->pointer == POINTER_REG && p->pointer_reg == R11)
        t->in_r11 = REG_NONE;
    for (unsigned i = 0; i < p->temp_count; i++) {
        if (p->temp[i].host == RCX)
            t->in_rcx = GROUP_NONE;
        if (p->temp[i].host == R11)
            t->in_r11 = host_of(t, p->temp[i].guest) == H_NONE ? p->temp[i].guest : REG_NONE;
        else if (p->temp[i].guest == t->in_r11)
            t->in_r11 = REG_NONE;
    }
    keep_scratch(t);
}

/* Moves a guest register into a host register, or back. */
static void guest_to_host(const struct tr *t, struct emit *e, unsigned host, unsigned guest)
{
    unsigned home = host_of(t, guest);
    if (home != H_NONE)
        emit_mov(e, host, home);
    else
        emit_load(e, host, gpr_disp(guest));
}

static void host_to_guest(const struct tr *t, struct emit *e, unsigned guest, unsigned host)
{
    unsigned home = host_of(t, guest);
    if (home != H_NONE)
        emit_mov(e, home, host);
    else
        emit_store(e, host, gpr_disp(guest));
}

/* What of ModRM and friends names a GPR. */
struct fields {
    bool reg, rm, vvvv, opcode;
};

static struct fields gpr_fields(const struct tr *t)
{
    struct fields f = {0};
    for (unsigned i = 0; i < t->d->zi.operand_count; i++) {
        const ZydisDecodedOperand *o = &t->d->zo[i];
        bool h;
        if (o->type != ZYDIS_OPERAND_TYPE_REGISTER || decode_gpr(o->reg.value, &h) == REG_NONE)
            continue;
        switch (o->encoding) {
        case ZYDIS_OPERAND_ENCODING_MODRM_REG: f.reg = true; break;
        case ZYDIS_OPERAND_ENCODING_MODRM_RM: f.rm = true; break;
        case ZYDIS_OPERAND_ENCODING_NDSNDD: f.vvvv = true; break;
        case ZYDIS_OPERAND_ENCODING_OPCODE: f.opcode = true; break;
        default: break;
        }
    }
    return f;
}

static bool has_vector(const struct tr *t)
{
    for (unsigned i = 0; i < t->d->zi.operand_count; i++) {
        const ZydisDecodedOperand *o = &t->d->zo[i];
        if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && o->reg.value >= ZYDIS_REGISTER_MM0 &&
            o->reg.value <= ZYDIS_REGISTER_ZMM31)
            return true;
    }
    return false;
}

/* A register number of the guest's encoding (high bytes without REX are 4..7) as a host number. */
static unsigned rename_reg(const struct tr *t, const struct plan *p, unsigned reg, bool byte)
{
    if (byte && !t->d->in.rex && t->d->zi.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && reg >= 4 && reg < 8)
        return reg; /* AH, CH, DH, BH: their registers are in place, see make_plan */
    return p->map[reg];
}

static bool is_byte_field(const struct tr *t, ZydisOperandEncoding encoding)
{
    for (unsigned i = 0; i < t->d->zi.operand_count; i++) {
        const ZydisDecodedOperand *o = &t->d->zo[i];
        if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && o->encoding == encoding && o->size == 8)
            return true;
    }
    return false;
}

static void encode(struct tr *t, const struct plan *p, struct emit *e)
{
    const ZydisDecodedInstruction *zi = &t->d->zi;
    const struct insn *in = &t->d->in;
    struct fields f = gpr_fields(t);
    bool byte_reg = is_byte_field(t, ZYDIS_OPERAND_ENCODING_MODRM_REG);
    bool byte_rm = is_byte_field(t, ZYDIS_OPERAND_ENCODING_MODRM_RM);
    bool byte_op = is_byte_field(t, ZYDIS_OPERAND_ENCODING_OPCODE);
    unsigned reg = f.reg ? rename_reg(t, p, in->reg & 15, byte_reg) : in->reg;
    unsigned rm = in->mod == 3 ? (f.rm ? rename_reg(t, p, in->rm & 15, byte_rm) : in->rm) : 0;
    unsigned base = H_NONE, index = H_NONE;
    bool mem = p->pointer != POINTER_NONE;
    if (p->pointer == POINTER_SUM) {
        base = RCX;
        index = p->addr;
    } else if (mem) {
        base = p->pointer_reg;
    }
    u8 opcode = zi->opcode;
    bool has_modrm = zi->attributes & ZYDIS_ATTRIB_HAS_MODRM;
    unsigned imm_at = zi->raw.imm[0].size ? zi->raw.imm[0].offset : in->len;

    if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY) {
        bool want66 = in->prefixes & PREFIX_66;
        bool plain = in->map == 0 || (in->map <= 2 && !has_vector(t));
        if (plain && (t->mode & MODE_SIZE_MASK) == MODE_16 && zi->meta.isa_ext != ZYDIS_ISA_EXT_X87) {
            bool mandatory = false;
            for (unsigned i = 0; i < zi->raw.prefix_count; i++)
                if (zi->raw.prefixes[i].value == 0x66 && zi->raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_MANDATORY)
                    mandatory = true;
            if (!mandatory)
                want66 = in->osz == 2 && zi->operand_width != 8;
        }
        for (unsigned i = 0; i < zi->raw.prefix_count; i++) {
            u8 b = zi->raw.prefixes[i].value;
            if (b == 0xf0 || b == 0xf2 || b == 0xf3)
                emit_byte(e, b);
        }
        if (want66)
            emit_byte(e, 0x66);
        if (in->map == 0 && opcode >= 0xa0 && opcode <= 0xa3) { /* MOV moffs */
            opcode = opcode < 0xa2 ? 0x8a + (opcode & 1) : 0x88 + (opcode & 1);
            reg = RAX;
            has_modrm = true;
            imm_at = in->len;
        } else if (in->map == 0 && opcode >= 0x40 && opcode <= 0x4f) { /* INC, DEC of legacy modes */
            rm = p->map[opcode & 7];
            reg = opcode >= 0x48;
            opcode = 0xff;
            has_modrm = true;
            f.opcode = false;
        } else if (in->map == 0 && opcode == 0x82) {
            opcode = 0x80;
        }
        u8 rex = in->rex & 0x48;
        if (has_modrm)
            rex |= (reg & 8 ? 4 : 0) | (mem ? rex_bits(H_NONE, index, base) : (rm & 8 ? 1 : 0));
        unsigned opreg = 0;
        if (f.opcode) {
            opreg = (opcode & 7) | (in->rex & 1 ? 8 : 0);
            opreg = rename_reg(t, p, opreg, byte_op);
            rex |= opreg & 8 ? 1 : 0;
            opcode = (u8)((opcode & 0xf8) | (opreg & 7));
        }
        if (rex)
            emit_byte(e, 0x40 | rex);
        if (in->map >= 1)
            emit_byte(e, 0x0f);
        if (in->map == 2)
            emit_byte(e, 0x38);
        else if (in->map == 3)
            emit_byte(e, 0x3a);
        emit_byte(e, opcode);
    } else if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) {
        const u8 *x = in->bytes + zi->raw.vex.offset;
        bool three = x[0] == 0xc4;
        u8 map = three ? x[1] & 31 : 1;
        u8 last = x[three ? 2 : 1];
        u8 w = three ? last & 0x80 : 0;
        unsigned vvvv = f.vvvv ? p->map[in->vvvv] : in->vvvv;
        emit_byte(e, 0xc4);
        emit_byte(e, (u8)((reg & 8 ? 0 : 0x80) | (mem && index != H_NONE && index & 8 ? 0 : 0x40) |
                          ((mem ? base : rm) & 8 ? 0 : 0x20) | map));
        emit_byte(e, (u8)(w | (~vvvv & 15) << 3 | (last & 7)));
        emit_byte(e, opcode);
    } else { /* EVEX */
        const u8 *x = in->bytes + zi->raw.evex.offset;
        u8 p0 = x[1] & 0x0f;
        p0 |= (u8)((reg & 8 ? 0 : 0x80) | (reg & 16 ? 0 : 0x10));
        if (mem)
            p0 |= (u8)((index != H_NONE && index & 8 ? 0 : 0x40) | (base & 8 ? 0 : 0x20));
        else
            p0 |= (u8)((rm & 16 ? 0 : 0x40) | (rm & 8 ? 0 : 0x20));
        emit_byte(e, 0x62);
        emit_byte(e, p0);
        unsigned vvvv = f.vvvv ? p->map[in->vvvv & 15] : in->vvvv;
        emit_byte(e, (u8)((x[2] & 0x87) | (~vvvv & 15) << 3));
        emit_byte(e, (u8)((x[3] & 0xf7) | (vvvv & 16 ? 0 : 8)));
        emit_byte(e, opcode);
    }
    if (has_modrm) {
        if (mem)
            emit_modrm_mem(e, reg, base, index, 1, p->pointer == POINTER_SUM ? p->disp : 0);
        else
            emit_byte(e, (u8)(0xc0 | (reg & 7) << 3 | (rm & 7)));
    }
    for (unsigned i = imm_at; i < in->len; i++)
        emit_byte(e, in->bytes[i]);
}

static void emit_planned(struct tr *t, struct emit *e, void *ctx)
{
    const struct plan *p = ctx;
    for (unsigned i = 0; i < p->spill_count; i++)
        emit_store(e, p->spill[i], VCPU_DISP(spill) + (s32)i * 8);
    if (p->pointer == POINTER_REG)
        emit_lea(e, true, p->pointer_reg, RCX, p->addr, 1, p->disp);
    if (p->rcx_in)
        emit_mov(e, RCX, H_GUEST_RCX);
    for (unsigned i = 0; i < p->temp_count; i++)
        if (p->temp[i].load)
            guest_to_host(t, e, p->temp[i].host, p->temp[i].guest);
    encode(t, p, e);
    for (unsigned i = 0; i < p->temp_count; i++)
        if (p->temp[i].store && t->pure && p->temp[i].host == R11)
            t->unsaved = true;
        else if (p->temp[i].store)
            host_to_guest(t, e, p->temp[i].guest, p->temp[i].host);
    if (p->rcx_out)
        emit_mov(e, H_GUEST_RCX, RCX);
    for (unsigned i = 0; i < p->spill_count; i++)
        emit_load(e, p->spill[i], VCPU_DISP(spill) + (s32)i * 8);
    if (e == &t->hot)
        note_scratch(t, p);
}

/* Does an EVEX instruction keep faults of memory elements that its mask leaves out to itself? */
static bool suppresses_faults(const struct decoded *d)
{
    if (d->zi.mnemonic == ZYDIS_MNEMONIC_VDBPSADBW || d->zi.mnemonic == ZYDIS_MNEMONIC_VCVTNE2PS2BF16)
        return false; /* the decoder library has another class for them */
    if (d->zi.mnemonic == ZYDIS_MNEMONIC_VGF2P8AFFINEQB || d->zi.mnemonic == ZYDIS_MNEMONIC_VGF2P8AFFINEINVQB)
        return host_vendor() == VENDOR_INTEL;
    switch (d->zi.meta.exception_class) {
    case ZYDIS_EXCEPTION_CLASS_E1NF:
    case ZYDIS_EXCEPTION_CLASS_E3NF:
    case ZYDIS_EXCEPTION_CLASS_E4NF:
    case ZYDIS_EXCEPTION_CLASS_E5NF:
    case ZYDIS_EXCEPTION_CLASS_E6NF:
    case ZYDIS_EXCEPTION_CLASS_E9NF:
    case ZYDIS_EXCEPTION_CLASS_E10NF: return false;
    default: return true;
    }
}

/* Does the instruction demand that its memory operand of `size` bytes is aligned? */
static bool needs_alignment(const struct decoded *d, unsigned size)
{
    if (d->zi.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY) {
        switch (d->zi.mnemonic) {
        case ZYDIS_MNEMONIC_VMOVAPS:
        case ZYDIS_MNEMONIC_VMOVAPD:
        case ZYDIS_MNEMONIC_VMOVDQA:
        case ZYDIS_MNEMONIC_VMOVDQA32:
        case ZYDIS_MNEMONIC_VMOVDQA64:
        case ZYDIS_MNEMONIC_VMOVNTPS:
        case ZYDIS_MNEMONIC_VMOVNTPD:
        case ZYDIS_MNEMONIC_VMOVNTDQ:
        case ZYDIS_MNEMONIC_VMOVNTDQA: return size >= 16;
        default: return false;
        }
    }
    if (size != 16)
        return false;
    switch (d->zi.mnemonic) {
    case ZYDIS_MNEMONIC_MOVUPS:
    case ZYDIS_MNEMONIC_MOVUPD:
    case ZYDIS_MNEMONIC_MOVDQU:
    case ZYDIS_MNEMONIC_LDDQU:
    case ZYDIS_MNEMONIC_PCMPESTRI:
    case ZYDIS_MNEMONIC_PCMPESTRM:
    case ZYDIS_MNEMONIC_PCMPISTRI:
    case ZYDIS_MNEMONIC_PCMPISTRM: return false;
    case ZYDIS_MNEMONIC_SHA1MSG1: /* AMD's CPUs do not, whatever the guest's vendor: the copy would not fault either */
    case ZYDIS_MNEMONIC_SHA1MSG2:
    case ZYDIS_MNEMONIC_SHA1NEXTE:
    case ZYDIS_MNEMONIC_SHA1RNDS4:
    case ZYDIS_MNEMONIC_SHA256MSG1:
    case ZYDIS_MNEMONIC_SHA256MSG2:
    case ZYDIS_MNEMONIC_SHA256RNDS2: return host_vendor() == VENDOR_INTEL;
    default: return true;
    }
}

/* Bytes and kind of access of the memory operand. */
unsigned access_flags(const struct decoded *d, unsigned *size)
{
    unsigned flags = 0;
    *size = 0;
    for (unsigned i = 0; i < d->zi.operand_count; i++) {
        const ZydisDecodedOperand *o = &d->zo[i];
        if (o->type != ZYDIS_OPERAND_TYPE_MEMORY)
            continue;
        *size = o->size / 8;
        if (d->zi.mnemonic == ZYDIS_MNEMONIC_MOVSXD && d->in.osz == 2)
            *size = 2;
        if (o->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
            flags |= SITE_READ;
        if (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
            flags |= SITE_WRITE;
        break;
    }
    if ((d->in.prefixes & PREFIX_LOCK) || (d->zi.mnemonic == ZYDIS_MNEMONIC_XCHG && (flags & SITE_WRITE)))
        flags |= SITE_LOCK;
    bool vex_mask = d->zi.mnemonic == ZYDIS_MNEMONIC_VMASKMOVPS || d->zi.mnemonic == ZYDIS_MNEMONIC_VMASKMOVPD ||
                    d->zi.mnemonic == ZYDIS_MNEMONIC_VPMASKMOVD || d->zi.mnemonic == ZYDIS_MNEMONIC_VPMASKMOVQ;
    if ((d->in.evex && d->in.evex_mask && suppresses_faults(d)) || vex_mask)
        flags |= SITE_MASKED;
    if ((vex_mask || (d->in.evex && d->in.evex_mask)) && flags & SITE_WRITE)
        flags |= SITE_READ;   /* elements left out stay as they are */
    switch (d->zi.mnemonic) { /* like loads of the byte, whatever the line's size */
    case ZYDIS_MNEMONIC_CLFLUSH:
    case ZYDIS_MNEMONIC_CLFLUSHOPT:
    case ZYDIS_MNEMONIC_CLWB: *size = 1; return SITE_READ;
    default: break;
    }
    if ((d->zi.meta.isa_ext == ZYDIS_ISA_EXT_X87 || d->zi.mnemonic == ZYDIS_MNEMONIC_FISTTP) && flags & SITE_WRITE)
        flags |= SITE_READ; /* an unmasked exception stores nothing */
    if (*size == 0)
        *size = 1;
    if (needs_alignment(d, *size))
        flags |= SITE_ALIGNED;
    return flags;
}

void translate_copy(struct tr *t)
{
    struct plan p;
    if (!t->d->in.mem) {
        make_plan(t, &p, false, H_NONE, 0, t->in_r11);
        if (displaces(t, &p))
            save_scratch(t);
        emit_place(t, &t->hot);
        emit_planned(t, &t->hot, &p);
        return;
    }
    unsigned size, flags = access_flags(t->d, &size);
    const struct access_note *note = &t->d->note[0];
    unsigned index;
    s32 disp;
    if (grouped_operand(t, note, &index, &disp)) {
        make_plan(t, &p, true, index, disp, grouped_keeps(t, note) ? t->in_r11 : REG_NONE);
        emit_grouped(t, note, size, flags, t->d->in.seg, emit_planned, &p);
        return;
    }
    const struct insn *in = &t->d->in;
    unsigned addr;
    if (t->is64 && in->asz == 8 && in->index == REG_NONE && in->base < GPR_COUNT && host_of(t, in->base) != H_NONE &&
        in->seg != SEG_FS && in->seg != SEG_GS && in->disp > -(1 << 30) && in->disp < 1 << 30) {
        addr = host_of(t, in->base);
        disp = (s32)in->disp;
    } else {
        addr = emit_address(t);
        disp = 0;
    }
    make_plan(t, &p, true, addr == H_NONE ? H_ADDR : addr, disp, REG_NONE);
    emit_access(t, addr, disp, size, flags, t->d->in.seg, emit_planned, &p);
}

void translate_lea(struct tr *t)
{
    struct emit *e = &t->hot;
    unsigned home = host_of(t, t->d->in.reg);
    u8 seg = t->d->in.seg;
    bool flat = t->flat;
    t->d->in.seg = SEG_DS; /* LEA ignores segments */
    t->flat = true;
    if (home != H_NONE && t->d->in.osz >= 4 && t->d->in.asz >= 4) {
        emit_effective(t, home, t->d->in.osz == 8 && t->d->in.asz == 8);
        keep_scratch(t);
    } else {
        unsigned addr = emit_address(t);
        if (t->d->in.osz == 2 && home == H_NONE) {
            emit_byte(e, 0x66);
            emit_op_mem(e, false, 0x89, addr, H_VCPU, H_NONE, 1, gpr_disp(t->d->in.reg));
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
    t->flat = flat;
    t->d->in.seg = seg;
}

/* XLAT: MOV AL, [RBX + AL]. */
static void xlat_body(struct tr *t, struct emit *e, void *ctx)
{
    unsigned addr = *(unsigned *)ctx;
    emit_op_mem(e, false, 0x8a, RAX, RCX, addr, 1, 0);
}

void translate_xlat(struct tr *t)
{
    struct emit *e = &t->hot;
    emit_byte(e, 0x0f); /* movzx ecx, al */
    emit_byte(e, 0xb6);
    emit_byte(e, 0xc8);
    emit_lea(e, t->d->in.asz == 8, H_ADDR, RBX, RCX, 1, 0);
    if (t->d->in.asz == 2)
        emit_movzx16(e, H_ADDR, H_ADDR);
    unsigned addr = H_ADDR;
    bool based = t->d->in.seg == SEG_FS || t->d->in.seg == SEG_GS;
    if (t->is64 && based) {
        emit_load(e, RCX, VCPU_DISP(seg[0].base) + (s32)(t->d->in.seg * sizeof(struct segment)));
        emit_lea(e, true, H_ADDR, H_ADDR, RCX, 1, 0);
    } else if (!t->is64 && (based || !t->flat)) {
        addr = H_NONE;
    }
    unsigned host = H_ADDR;
    emit_access(t, addr, 0, 1, SITE_READ, t->d->in.seg, xlat_body, &host);
}

/*
 * BT, BTS, BTR, BTC with a memory operand and a register bit offset: the address moves by the signed offset, the
 * instruction itself then works with the offset modulo the operand size.
 */
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
    if (b->lock)
        emit_byte(e, 0xf0);
    if (b->osz == 2)
        emit_byte(e, 0x66);
    emit_byte(e, b->osz == 8 ? 0x4c : 0x44);
    emit_byte(e, 0x0f);
    emit_byte(e, b->opcode);
    emit_modrm_mem(e, R11, RCX, H_NONE, 1, 0);
}

void translate_bit(struct tr *t)
{
    struct emit *e = &t->hot;
    const struct insn *in = &t->d->in;
    if (!in->mem || t->d->zi.raw.imm[0].size) {
        translate_copy(t);
        return;
    }
    struct bit_ctx b = {.opcode = in->opcode, .osz = in->osz, .reg = in->reg, .lock = in->prefixes & PREFIX_LOCK};
    u8 seg = t->d->in.seg;
    bool based = seg == SEG_FS || seg == SEG_GS;
    bool flat = t->flat, nonflat = !t->is64 && (!t->flat || based);
    if (nonflat || based) { /* the displacement comes before the segment's base */
        t->d->in.seg = SEG_DS;
        t->flat = true;
    }
    unsigned addr = emit_address(t);
    t->d->in.seg = seg;
    t->flat = flat;
    emit_mov(e, R11, addr);
    unsigned r = host_of(t, b.reg);
    bool w = b.osz == 8;
    /* spill[1] holds the address while rcx and r11 make the displacement */
    emit_store(e, R11, VCPU_DISP(spill) + 8);
    if (r == H_NONE) {
        emit_load(e, R11, gpr_disp(b.reg));
        r = R11;
    }
    if (b.osz == 2) { /* movsx r11d, r16 */
        emit_byte(e, 0x44 | (r & 8 ? 1 : 0));
        emit_byte(e, 0x0f);
        emit_byte(e, 0xbf);
        emit_byte(e, (u8)(0xc0 | (R11 & 7) << 3 | (r & 7)));
        r = R11;
    }
    emit_mov_imm32(e, RCX, b.osz == 8 ? 6 : b.osz == 4 ? 5 : 4);
    emit_sarx(e, w, RCX, r, RCX);
    if (!w) { /* movsxd rcx, ecx */
        emit_byte(e, 0x48);
        emit_byte(e, 0x63);
        emit_byte(e, 0xc9);
    }
    emit_load(e, R11, VCPU_DISP(spill) + 8);
    emit_lea(e, in->asz == 8, R11, R11, RCX, b.osz, 0);
    if (in->asz == 2)
        emit_movzx16(e, R11, R11);
    if (t->is64 && based) {
        emit_load(e, RCX, VCPU_DISP(seg[0].base) + (s32)(seg * sizeof(struct segment)));
        emit_lea(e, true, R11, R11, RCX, 1, 0);
    }
    bool write = in->opcode != 0xa3;
    emit_access(t, nonflat ? H_NONE : R11, 0, b.osz, SITE_READ | (write ? SITE_WRITE : 0) | (b.lock ? SITE_LOCK : 0),
                seg, bit_body, &b);
}
