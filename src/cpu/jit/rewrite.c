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

/* Guest registers that the instruction reads: if its table row says so, what it is said to replace, too. */
static u32 read_by(const struct decoded *d)
{
    return d->traits & INSN_KEEPS_DEST ? d->operands.explicit | d->operands.implicit : d->operands.kept;
}

/* Maps registers to their homes; a home that the instruction names is not free for other use. */
static void plan_homes(const struct tr *t, struct plan *p, const struct operands *n)
{
    p->busy = n->explicit | n->implicit;
    if (p->addr < GPR_COUNT)
        p->busy |= BIT(p->addr);
    for (unsigned r = 0; r < GPR_COUNT; r++)
        p->map[r] = (u8)host_of(t, r);
    for (u32 set = n->explicit; set; set &= set - 1) {
        u8 host = p->map[__builtin_ctz(set)];
        if (host != H_NONE)
            p->busy |= BIT(host);
    }
    if (n->implicit & BIT(RCX) || (n->high && n->explicit & BIT(RCX))) {
        p->rcx_in = true;
        p->rcx_out = n->written & BIT(RCX);
        p->map[RCX] = RCX;
    }
}

static unsigned count_homeless(const struct plan *p, const struct operands *n)
{
    unsigned count = 0;
    for (u32 set = n->explicit; set; set &= set - 1)
        count += p->map[__builtin_ctz(set)] == H_NONE;
    return count;
}

/* Decides how the host instruction addresses its memory operand, and takes what that needs of the scratch registers. */
static void plan_pointer(struct plan *p, const struct operands *n, bool evex, u32 *scratch)
{
    bool free = p->addr != R11; /* is r11 */
    if (!p->rcx_in && !n->high && count_homeless(p, n) <= free && !(p->disp && evex)) {
        p->pointer = POINTER_SUM;
        *scratch = free ? BIT(R11) : 0;
        return;
    }
    p->pointer = POINTER_REG;
    if (!p->rcx_in)
        p->pointer_reg = RCX;
    else if (n->high)
        p->pointer_reg = take_spill(p, true);
    else
        p->pointer_reg = R11;
    *scratch &= ~BIT(p->pointer_reg);
}

/* Takes a host register for a guest register that has no home, or none that fits the instruction. */
static u8 take_scratch(struct plan *p, const struct operands *n, u32 *scratch)
{
    u8 host = *scratch & BIT(R11) && !n->high ? R11 : RCX;
    if (!(*scratch & BIT(host)))
        return take_spill(p, n->high);
    *scratch &= ~BIT(host);
    return host;
}

static void add_temp(struct plan *p, const struct operands *n, u8 host, unsigned guest, bool load)
{
    p->map[guest] = host;
    p->temp[p->temp_count].host = host;
    p->temp[p->temp_count].guest = (u8)guest;
    p->temp[p->temp_count].load = load;
    p->temp[p->temp_count++].store = n->written & BIT(guest);
}

/* `held` is a guest register that is in r11 by now, or REG_NONE. */
static void make_plan(struct tr *t, struct plan *p, bool mem, unsigned addr, s32 disp, unsigned held)
{
    const struct operands *n = &t->d->operands;
    *p = (struct plan){.addr = (u8)addr, .disp = disp};
    plan_homes(t, p, n);
    u32 scratch = BIT(R11) | (p->rcx_in ? 0 : BIT(RCX));
    if (mem)
        plan_pointer(p, n, t->d->in.evex, &scratch);
    if (held != REG_NONE && n->explicit & BIT(held) && !n->high && scratch & BIT(R11)) {
        add_temp(p, n, R11, held, false);
        scratch &= ~BIT(R11);
    }
    for (u32 set = n->explicit; set; set &= set - 1) {
        unsigned r = (unsigned)__builtin_ctz(set);
        if (p->map[r] == H_NONE || (n->high && p->map[r] >= 8))
            add_temp(p, n, take_scratch(p, n, &scratch), r, read_by(t->d) & BIT(r));
    }
}

bool is_pure(const struct tr *t)
{
    const struct decoded *d = t->d;
    return !d->in.mem && d->class == CLASS_COPY && d->traits & INSN_PURE && !d->operands.any_high;
}

/* Does the plan use r11 for another guest register than it holds, or another scratch register for that one? */
static bool displaces(const struct tr *t, const struct plan *p)
{
    for (unsigned i = 0; i < p->temp_count; i++)
        if ((p->temp[i].host == R11) != (p->temp[i].guest == t->in_r11))
            return true;
    return false;
}

/* Notes what the scratch registers hold behind a plan's code. */
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

/* Is the operand's linear address that of a host register plus a constant, far from the ends of 32 bits? */
static bool is_register_plus_constant(const struct tr *t)
{
    enum { LIMIT = 1 << 30 };
    const struct insn *in = &t->d->in;
    return t->is64 && in->asz == 8 && in->index == REG_NONE && in->base < GPR_COUNT && in->seg != SEG_FS &&
           in->seg != SEG_GS && in->disp > -LIMIT && in->disp < LIMIT && host_of(t, in->base) != H_NONE;
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
        if (!t->mapped || !p.spill_count) {
            emit_grouped(t, note, size, flags, t->d->in.seg, emit_planned, &p);
            return;
        }
        emit_group_start(t, note);
    }
    unsigned addr = H_ADDR;
    if (!(flags & SITE_MASKED) && page_operand(t, &disp)) {
        emit_load(&t->hot, H_ADDR, VCPU_DISP(page_la));
        make_plan(t, &p, true, addr, disp, REG_NONE);
        if (p.spill_count) { /* a host signal would find a guest's register elsewhere */
            emit_lea(&t->hot, true, H_ADDR, H_ADDR, H_NONE, 1, disp);
            make_plan(t, &p, true, addr, disp = 0, REG_NONE);
        }
    } else {
        bool constant = is_register_plus_constant(t);
        addr = constant ? host_of(t, t->d->in.base) : emit_address(t);
        disp = constant ? (s32)t->d->in.disp : 0;
        make_plan(t, &p, true, addr == H_NONE ? H_ADDR : addr, disp, REG_NONE);
    }
    t->d->checked |= p.spill_count;
    emit_access(t, addr, disp, size, flags, t->d->in.seg, emit_planned, &p);
}
