/*
 * Finds memory accesses of a block that can share one TLB check: they lie at constant distances from the same value of
 * a register, within GROUP_SPAN bytes. The first access checks that the whole window is in one page that the TLB knows,
 * and keeps host minus linear in a slot; the others use the slot. If the check fails though the access is fine (the
 * window crosses a page, or a later store may not go through the TLB), the block goes on in its MODE_PLAIN twin, which
 * checks each access: no access bit, dirty bit or fault comes earlier than the instruction it belongs to.
 *
 * A group never reaches over a called instruction (which may change the mapping), nor over the target of a branch
 * within the block (where the register may have another value). Additions of constants, PUSH and POP are followed.
 */
#include "cpu/jit/translate.h"

struct values {
    u32 epoch[GPR_COUNT]; /* changes when the register gets an unknown value */
    s32 moved[GPR_COUNT]; /* how far constants have moved it since */
    u32 next_epoch;
};

static void forget(struct values *x, unsigned reg)
{
    x->epoch[reg] = x->next_epoch++;
    x->moved[reg] = 0;
}

static void forget_all(struct values *x)
{
    for (unsigned r = 0; r < GPR_COUNT; r++)
        forget(x, r);
}

static void move(struct values *x, unsigned reg, s64 by)
{
    s64 to = x->moved[reg] + by;
    if (to > GROUP_REACH || to < -GROUP_REACH)
        forget(x, reg);
    else
        x->moved[reg] = (s32)to;
}

/* Returns true if all that a 64-bit instruction does is to add the constant *by to the register *reg. */
static bool constant_add(const struct decoded *d, unsigned *reg, s64 *by)
{
    const struct insn *in = &d->in;
    bool h;
    if (in->osz != 8 || d->zi.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || d->zi.operand_width != 64)
        return false;
    if (d->class == CLASS_LEA) {
        *reg = in->reg;
        *by = in->disp;
        return in->base == in->reg && in->index == REG_NONE && in->asz == 8 && in->disp == (s32)in->disp;
    }
    if (!(d->traits & (INSN_ADDS | INSN_SUBTRACTS)) || d->zo[0].type != ZYDIS_OPERAND_TYPE_REGISTER)
        return false;
    s64 n = 1;
    if (!(d->traits & INSN_BY_ONE)) {
        if (!d->zi.raw.imm[0].size || !d->zi.raw.imm[0].is_signed)
            return false;
        n = d->zi.raw.imm[0].value.s;
    }
    *reg = decode_gpr(d->zo[0].reg.value, &h);
    *by = d->traits & INSN_SUBTRACTS ? -n : n;
    return *reg != REG_NONE;
}

static void effects(struct values *x, const struct decoded *d)
{
    unsigned reg;
    s64 by;
    if (d->class == CLASS_CALL) {
        forget_all(x);
        return;
    }
    if (constant_add(d, &reg, &by)) {
        move(x, reg, by);
        return;
    }
    bool stack = d->note[1].base != REG_NONE;
    for (unsigned i = 0; i < d->zi.operand_count; i++) {
        const ZydisDecodedOperand *o = &d->zo[i];
        if (o->type != ZYDIS_OPERAND_TYPE_REGISTER || !(o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
            continue;
        reg = decode_whole_gpr(o->reg.value);
        if (reg == REG_NONE)
            continue;
        if (reg == RSP && stack && o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN)
            continue;
        forget(x, reg);
    }
    if (d->class == CLASS_PUSH || d->class == CLASS_CALL_NEAR)
        move(x, RSP, -(s64)d->note[1].size);
    else if (d->class == CLASS_POP)
        move(x, RSP, d->note[1].size);
    else if (d->class == CLASS_LEAVE)
        forget(x, RSP);
}

static const struct access_note no_access = {.base = REG_NONE, .group = GROUP_NONE};

/* Notes the memory operand, if registers and a small constant make up its address. */
static struct access_note note_operand(const struct decoded *d)
{
    const struct insn *in = &d->in;
    bool fetched = d->class == CLASS_PUSH || class_branches(d->class);
    if (d->class != CLASS_COPY && !fetched)
        return no_access;
    if (!in->mem || in->base >= GPR_COUNT || in->seg == SEG_FS || in->seg == SEG_GS || in->asz != 8 ||
        in->disp <= -GROUP_REACH || in->disp >= GROUP_REACH)
        return no_access;
    unsigned size, flags = access_flags(d, &size);
    if (flags & SITE_MASKED || !size || size > 64)
        return no_access;
    if (fetched) {
        size = d->class == CLASS_PUSH ? stack_size(d, true) : 8;
        flags = SITE_READ;
    }
    return (struct access_note){.base = in->base,
                                .index = in->index,
                                .scale = in->scale,
                                .size = (u8)size,
                                .write = flags & SITE_WRITE,
                                .group = GROUP_NONE,
                                .disp = (s32)in->disp};
}

/* Notes the access to the stack. Return addresses are 8 bytes wide, whatever the prefix. */
static struct access_note note_stack(const struct decoded *d)
{
    bool branch = class_branches(d->class);
    struct access_note s = {
        .base = RSP, .index = REG_NONE, .size = branch ? 8 : stack_size(d, true), .group = GROUP_NONE};
    switch (d->class) {
    case CLASS_CALL_NEAR:
    case CLASS_PUSH:
        s.write = true;
        s.disp = -(s32)s.size;
        return s;
    case CLASS_RETURN:
    case CLASS_POP: return s;
    case CLASS_LEAVE: s.base = RBP; return s;
    default: return no_access;
    }
}

static void join(struct tr *t, const struct values *x, struct access_note *a, u16 index)
{
    if (a->base == REG_NONE)
        return;
    a->offset = a->disp + x->moved[a->base];
    u32 index_epoch = 0;
    if (a->index != REG_NONE) {
        a->offset += x->moved[a->index] * a->scale;
        index_epoch = x->epoch[a->index];
    }
    s32 lo = a->offset, hi = a->offset + a->size;
    for (u32 i = t->group_count; i-- > 0;) {
        struct group *g = &t->group[i];
        if (g->base != a->base || g->epoch != x->epoch[a->base] || g->index != a->index ||
            (a->index != REG_NONE && (g->index_epoch != index_epoch || g->scale != a->scale)))
            continue;
        s32 new_lo = lo < g->lo ? lo : g->lo, new_hi = hi > g->hi ? hi : g->hi;
        if (new_hi - new_lo > GROUP_SPAN)
            continue;
        g->lo = new_lo;
        g->hi = new_hi;
        g->write |= a->write;
        g->last = index;
        g->count++;
        a->group = (u8)i;
        return;
    }
    if (t->group_count == GROUP_MAX)
        return;
    a->group = (u8)t->group_count;
    t->group[t->group_count++] = (struct group){
        .lo = lo,
        .hi = hi,
        .epoch = x->epoch[a->base],
        .index_epoch = index_epoch,
        .base = a->base,
        .index = a->index,
        .scale = a->scale,
        .write = a->write,
        .first = index,
        .last = index,
        .count = 1,
        .slot = GROUP_NONE,
    };
}

/* Gives slots to groups of two and more accesses, from their first to their last one. */
static void assign_slots(struct tr *t)
{
    u16 free_from[GROUP_SLOTS] = {0};
    for (u32 i = 0; i < t->group_count; i++) {
        struct group *g = &t->group[i];
        for (u8 s = 0; s < GROUP_SLOTS && g->count >= 2; s++) {
            if (free_from[s] <= g->first) {
                g->slot = s;
                free_from[s] = g->last + 1;
                break;
            }
        }
    }
}

void group_accesses(struct tr *t)
{
    struct values x = {.next_epoch = 1};
    bool grouped = t->is64 && !(t->mode & (MODE_STEP | MODE_PLAIN));
    t->group_count = 0;
    forget_all(&x);
    for (u32 i = 0; i < t->insn_count; i++) {
        struct decoded *d = &t->insn[i];
        d->note[0] = d->note[1] = no_access;
        if (!grouped)
            continue;
        if (d->label)
            forget_all(&x);
        d->note[0] = note_operand(d);
        d->note[1] = note_stack(d);
        join(t, &x, &d->note[0], (u16)i);
        join(t, &x, &d->note[1], (u16)i);
        effects(&x, d);
    }
    assign_slots(t);
}
