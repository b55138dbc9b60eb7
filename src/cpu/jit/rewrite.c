/*
 * Copied instructions: the same instruction again, with its registers renamed and its memory operand replaced by the
 * host pointer that operand.c found. A plan is made once; the encoder may run twice (hot part and cold part).
 *
 * Registers that translated code has elsewhere: RCX (r14), RSP (r15) are renamed; r11, r14, r15 are loaded into a
 * scratch register around the instruction. Instructions that name RCX implicitly, or AH, BH, CH, DH together with a
 * renamed register, get guest RCX moved into the real one. When scratch registers run out an unused guest register is
 * spilled.
 */
#include "cpu/jit/plan.h"
#include "cpu/jit/translate.h"

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
    return o->actions == ZYDIS_OPERAND_ACTION_WRITE && o->size >= 32 && !(d->traits & INSN_KEEPS_DEST);
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
    if (d->in.mem || d->class != CLASS_COPY || !(d->traits & INSN_PURE))
        return false;
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
    emit_copy(e, t->d, p, t->mode);
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
