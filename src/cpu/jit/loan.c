/*
 * Loans: three guest registers have no host register (docs/engine.md "Registers"). In a stretch of a block that names
 * them often and another guest register not at all, the two change places: the homeless one works in the other's host
 * register, whose value waits in the vCPU. A stretch is a loop within the block, closed by its last instruction, or
 * instructions without a branch. Whatever leaves it ends the loans first: the code behind it, branches out of it
 * (branch.c), and C where it takes over (loan.h).
 */
#include "cpu/jit/translate.h"

const u8 homeless[3] = {R11, R14, R15};

unsigned loan_host(u16 loans, unsigned reg)
{
    unsigned lender = loan_lender(loans, reg);
    return lender == 0 ? H_NONE : lender == RCX ? H_GUEST_RCX : lender == RSP ? H_GUEST_RSP : lender;
}

void emit_loans(struct emit *e, u16 loans)
{
    for (unsigned i = 0; i < ARRAY_LEN(homeless); i++) {
        unsigned host = loan_host(loans, homeless[i]);
        if (host == H_NONE)
            continue;
        emit_load(e, H_ADDR, gpr_disp(homeless[i]));
        emit_store(e, host, gpr_disp(homeless[i]));
        emit_mov(e, host, H_ADDR);
    }
}

static bool is_plain(const struct decoded *d)
{
    switch (d->class) {
    case CLASS_COPY:
    case CLASS_NOP:
    case CLASS_LEA:
    case CLASS_BIT:
    case CLASS_PUSH:
    case CLASS_POP:
    case CLASS_LEAVE: return true;
    default: return false;
    }
}

/* Does a branch of the block go to an instruction behind the first, up to the last? */
static bool is_entered(const struct tr *t, u32 first, u32 last)
{
    for (u32 i = 0; i < t->insn_count; i++) {
        s64 target = branch_target(&t->insn[i]);
        if (target > t->insn[first].pos && target <= t->insn[last].pos)
            return true;
    }
    return false;
}

/* Is it a loop? The last instruction branches to the first, and any other branch leaves. */
static bool is_loop(const struct tr *t, u32 first, u32 last)
{
    for (u32 i = first; i < last; i++) {
        const struct decoded *d = &t->insn[i];
        s64 target = branch_target(d);
        if (!is_plain(d) && !(d->class == CLASS_JCC && (target < t->insn[first].pos || target >= t->insn[last].next)))
            return false;
    }
    return !is_entered(t, first, last);
}

/* Chooses loans for instructions first to last, and returns what they save. */
static u32 value_of(const struct tr *t, u32 first, u32 last, u32 weight, u16 *loans)
{
    static const u8 lenders[] = {R13, R12, RSP, RBP, RBX, R10, R9, R8, RCX, RDI, RSI, RDX};
    u32 named = 0, uses[ARRAY_LEN(homeless)] = {0}, value = 0, lender = 0;
    for (u32 i = first; i <= last; i++) {
        u32 set = t->insn[i].operands.named;
        named |= set;
        for (unsigned k = 0; k < ARRAY_LEN(homeless); k++)
            uses[k] += set >> homeless[k] & 1;
    }
    *loans = 0;
    for (unsigned done = 0; done < ARRAY_LEN(homeless); done++) { /* the most used first */
        unsigned best = 0;
        for (unsigned k = 1; k < ARRAY_LEN(homeless); k++)
            if (uses[k] > uses[best])
                best = k;
        while (lender < ARRAY_LEN(lenders) && named & BIT(lenders[lender]))
            lender++;
        if (uses[best] * weight <= LOAN_COST || lender == ARRAY_LEN(lenders))
            break;
        *loans |= (u16)(lenders[lender++] << best * 4);
        value += uses[best] * weight - LOAN_COST;
        uses[best] = 0;
    }
    return value;
}

static void consider(struct tr *t, u32 first, u32 last, u32 weight, u32 *best)
{
    u16 loans;
    u32 value = value_of(t, first, last, weight, &loans);
    if (value <= *best)
        return;
    *best = value;
    t->b->loans = loans;
    t->b->loan_from = t->insn[first].pos;
    t->b->loan_to = t->insn[last].next;
}

void find_loans(struct tr *t)
{
    if (!t->is64 || t->mode & MODE_STEP)
        return;
    u32 best = 0, run = 0; /* first of the plain instructions before i */
    for (u32 i = 0; i < t->insn_count; i++) {
        const struct decoded *d = &t->insn[i];
        s64 target = d->class == CLASS_JCC || d->class == CLASS_JUMP ? branch_target(d) : TARGET_NONE;
        for (u32 k = 0; k <= i && target >= 0; k++)
            if (t->insn[k].pos == target && is_loop(t, k, i))
                consider(t, k, i, LOOP_WEIGHT, &best);
        if (is_plain(d) && i + 1 < t->insn_count)
            continue;
        u32 end = is_plain(d) ? i + 1 : i;
        if (end > run + LOAN_COST && !is_entered(t, run, end - 1))
            consider(t, run, end - 1, 1, &best);
        run = i + 1;
    }
}
