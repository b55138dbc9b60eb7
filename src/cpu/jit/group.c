/*
 * Finds memory accesses of a block that can share one TLB check: they lie at constant distances from the same value,
 * whichever registers have it, within GROUP_SPAN bytes. The first access checks that the whole window is in one page
 * that the TLB knows, and keeps host minus linear in a slot; the others use the slot. If the check fails though the
 * access is fine (the window crosses a page, or a later store may not go through the TLB), the block goes on in its
 * MODE_PLAIN twin, which checks each access: no access bit, dirty bit or fault comes earlier than the instruction it
 * belongs to.
 *
 * A group never reaches over a called instruction, which may change the mapping. Copies of registers, additions of
 * constants, PUSH and POP are followed. Where a branch of the block jumps to, a register has a known value if it has
 * that on all ways there, and a group goes on if its check is on all of them. Into a loop go the values of registers
 * that it does not change.
 */
#include "cpu/jit/translate.h"

struct tracker {
    struct values now;
    u32 next_epoch;
    u32 changed; /* a set of registers */
};

static void forget(struct tracker *x, unsigned reg)
{
    x->now.epoch[reg] = x->next_epoch++;
    x->now.moved[reg] = 0;
    x->changed |= BIT(reg);
}

static void forget_all(struct tracker *x)
{
    for (unsigned r = 0; r < VALUES; r++)
        forget(x, r);
}

static void set_sum(struct tracker *x, unsigned reg, unsigned from, s64 by)
{
    s64 moved = x->now.moved[from] + by;
    if (moved > GROUP_REACH || moved < -GROUP_REACH) {
        forget(x, reg);
        return;
    }
    x->now.epoch[reg] = x->now.epoch[from];
    x->now.moved[reg] = (s32)moved;
    x->changed |= BIT(reg);
}

/* Returns true if all that a 64-bit instruction does is to make the register *reg the sum of *from and a constant. */
static bool constant_sum(const struct decoded *d, unsigned *reg, unsigned *from, s64 *by)
{
    enum { MOV_STORE = 0x89, MOV_LOAD = 0x8b };
    const struct insn *in = &d->in;
    bool h;
    if (in->osz != 8 || d->zi->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || d->zi->operand_width != 64)
        return false;
    if (d->class == CLASS_LEA) {
        *reg = in->reg;
        *from = in->base;
        *by = in->disp;
        return in->base < GPR_COUNT && in->index == REG_NONE && in->asz == 8 && in->disp == (s32)in->disp;
    }
    if (in->map == 0 && in->mod == 3 && (in->opcode == MOV_STORE || in->opcode == MOV_LOAD)) {
        *reg = in->opcode == MOV_LOAD ? in->reg : in->rm;
        *from = in->opcode == MOV_LOAD ? in->rm : in->reg;
        *by = 0;
        return true;
    }
    if (!(d->traits & (INSN_ADDS | INSN_SUBTRACTS)) || d->zo[0].type != ZYDIS_OPERAND_TYPE_REGISTER)
        return false;
    s64 n = 1;
    if (!(d->traits & INSN_BY_ONE)) {
        if (!d->zi->raw.imm[0].size || !d->zi->raw.imm[0].is_signed)
            return false;
        n = (s64)in->imm;
    }
    *reg = *from = decode_gpr(d->zo[0].reg.value, &h);
    *by = d->traits & INSN_SUBTRACTS ? -n : n;
    return *reg != REG_NONE;
}

static void effects(struct tracker *x, const struct decoded *d)
{
    unsigned reg, from;
    s64 by;
    if (d->class == CLASS_CALL) {
        forget_all(x);
        return;
    }
    if (constant_sum(d, &reg, &from, &by)) {
        set_sum(x, reg, from, by);
        return;
    }
    if (d->class == CLASS_LEAVE) {
        set_sum(x, RSP, RBP, d->note[1].size);
        forget(x, RBP);
        return;
    }
    bool stack = d->note[1].base != REG_NONE;
    for (u32 set = stack ? d->operands.written_shown : d->operands.written; set; set &= set - 1)
        forget(x, (unsigned)__builtin_ctz(set));
    if (d->class == CLASS_PUSH || d->class == CLASS_CALL_NEAR)
        set_sum(x, RSP, RSP, -(s64)d->note[1].size);
    else if (d->class == CLASS_POP)
        set_sum(x, RSP, RSP, d->note[1].size);
}

/* A register whose values on two ways to a place differ has an unknown one there. */
static void merge(struct tracker *x, struct values *to, const struct values *other)
{
    for (unsigned r = 0; r < VALUES; r++) {
        if (to->epoch[r] == other->epoch[r] && to->moved[r] == other->moved[r])
            continue;
        to->epoch[r] = x->next_epoch++;
        to->moved[r] = 0;
    }
}

/* Instruction i is about to jump ahead in the block, or not. */
static void depart(struct tr *t, struct tracker *x, u32 i)
{
    u32 to = t->insn[i].ahead;
    if (t->reached_from[to] == NO_INSN) {
        t->reached_from[to] = (u8)i;
        t->reached[to] = x->now;
    } else {
        merge(x, &t->reached[to], &x->now);
    }
}

/* Groups whose checks are behind that instruction have no more members. */
static void close_groups(struct tr *t, u32 from)
{
    for (u32 k = 0; k < t->group_count; k++)
        t->group[k].closed |= t->group[k].first > from;
}

/* A loop begins here: what it changes is unknown, or everything if branches jump into the midst of it. */
static void enter_loop(struct tr *t, struct tracker *x, u32 begin, u32 end)
{
    for (u32 k = 0; k < begin; k++) {
        u32 to = t->insn[k].ahead;
        if (to != NO_INSN && to > begin && to <= end) {
            forget_all(x);
            return;
        }
    }
    struct tracker within = {.now = x->now, .next_epoch = x->next_epoch};
    for (u32 k = begin; k <= end; k++)
        effects(&within, &t->insn[k]);
    x->next_epoch = within.next_epoch;
    for (u32 set = within.changed; set; set &= set - 1)
        forget(x, (unsigned)__builtin_ctz(set));
}

/* Branches of the block jump to instruction i. */
static void arrive(struct tr *t, struct tracker *x, u32 i)
{
    if (t->reached_from[i] != NO_INSN) {
        merge(x, &x->now, &t->reached[i]);
        close_groups(t, t->reached_from[i]);
    }
    if (t->insn[i].loop_end != NO_INSN)
        enter_loop(t, x, i, t->insn[i].loop_end);
}

static const struct access_note no_access = {.base = REG_NONE, .group = GROUP_NONE};

/* Notes the memory operand, if registers and a small constant make up its address; in mapped memory also RIP and any
 * constant. */
static struct access_note note_operand(const struct tr *t, const struct decoded *d)
{
    const struct insn *in = &d->in;
    bool fetched = d->class == CLASS_PUSH || class_branches(d->class);
    if (d->class != CLASS_COPY && !fetched)
        return no_access;
    bool by_page = t->mapped && in->base == REG_RIP;
    s64 disp = by_page ? in->disp + d->next : in->disp, reach = by_page ? INT32_MAX : GROUP_REACH;
    if (!in->mem || !(in->base < GPR_COUNT || by_page) || in->seg == SEG_FS || in->seg == SEG_GS || in->asz != 8 ||
        disp <= -reach || disp >= reach)
        return no_access;
    unsigned size, flags = access_flags(d, &size);
    if (flags & SITE_MASKED || !size || size > 64)
        return no_access;
    if (fetched) {
        size = d->class == CLASS_PUSH ? stack_size(d, true) : 8;
        flags = SITE_READ;
    }
    return (struct access_note){.base = by_page ? VALUE_PAGE : in->base,
                                .index = in->index,
                                .scale = in->scale,
                                .size = (u8)size,
                                .write = flags & SITE_WRITE,
                                .group = GROUP_NONE,
                                .disp = (s32)disp};
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

/* The last instruction that executes with what `first` found when `last` uses it: that of the loop that it is in, if
 * `first` is in front of the loop. */
static u16 lives_until(const struct tr *t, u16 first, u16 last)
{
    u16 until = last;
    for (u32 k = first + 1u; k <= last; k++)
        if (t->insn[k].loop_end != NO_INSN && t->insn[k].loop_end > until)
            until = t->insn[k].loop_end;
    return until;
}

static void join(struct tr *t, const struct values *x, struct access_note *a, u16 index)
{
    if (a->base == REG_NONE)
        return;
    a->offset = a->base == VALUE_PAGE ? 0 : a->disp + x->moved[a->base];
    u32 index_epoch = NO_EPOCH;
    if (a->index != REG_NONE) {
        a->offset += x->moved[a->index] * a->scale;
        index_epoch = x->epoch[a->index];
    }
    s32 lo = a->offset, hi = a->offset + a->size;
    for (u32 i = t->group_count; i-- > 0;) {
        struct group *g = &t->group[i];
        if (g->closed || g->epoch != x->epoch[a->base] || g->index_epoch != index_epoch ||
            (index_epoch != NO_EPOCH && g->scale != a->scale))
            continue;
        s32 new_lo = lo < g->lo ? lo : g->lo, new_hi = hi > g->hi ? hi : g->hi;
        if (new_hi - new_lo > (t->mapped ? 2 * GROUP_REACH : GROUP_SPAN))
            continue;
        g->lo = new_lo;
        g->hi = new_hi;
        g->write |= a->write;
        g->last = lives_until(t, g->first, index);
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
    struct tracker x = {.next_epoch = NO_EPOCH + 1};
    bool grouped = t->is64 && !(t->mode & (MODE_STEP | MODE_PLAIN));
    t->group_count = 0;
    forget_all(&x);
    for (u32 i = 0; i < t->insn_count; i++) {
        struct decoded *d = &t->insn[i];
        d->checked = t->mapped && block_has_checks(t->c, t->b->page, d->pos);
        d->note[0] = grouped ? note_operand(t, d) : no_access;
        d->note[1] = grouped ? note_stack(d) : no_access;
        t->reached_from[i] = NO_INSN;
    }
    for (u32 i = 0; i < t->insn_count && grouped; i++) {
        struct decoded *d = &t->insn[i];
        if (d->label)
            arrive(t, &x, i);
        if (!d->checked) {
            join(t, &x.now, &d->note[0], (u16)i);
            join(t, &x.now, &d->note[1], (u16)i);
        }
        effects(&x, d);
        if (d->ahead != NO_INSN)
            depart(t, &x, i);
    }
    assign_slots(t);
}
