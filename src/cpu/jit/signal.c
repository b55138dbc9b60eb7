/*
 * Host signals of copied instructions become exceptions of the guest, or pages that are mapped (mmu/mapped.h). The
 * handler, on its own stack, finds the guest's instruction, records the exception and sends the interrupted context to
 * exec_leave_signal: nothing is unwound.
 */
#include "cpu/jit/signal.h"

#include "cpu/core/fault.h"
#include "cpu/jit/block.h"
#include "cpu/jit/enter.h"
#include "cpu/jit/exec.h"
#include "cpu/jit/loan.h"
#include "cpu/mmu/users.h"

static const struct place *find_place(struct vcpu *v, const u8 *host, struct block **b)
{
    struct cache *c = v->vm->cache;
    if (host < c->code || host >= c->code + c->hot_size + c->cold_size)
        return NULL;
    *b = block_at(c, host);
    return *b ? block_place(c, *b, host) : NULL;
}

u64 exec_guest_rip(struct vcpu *v, u64 host_rip)
{
    struct block *b;
    const struct place *p = find_place(v, (const u8 *)host_rip, &b);
    return p ? rip_of(v, b->page_la + p->guest) : 0;
}

/* A piece of brief.c for strings met memory that is not there: the instruction is the one it keeps for its handler. */
static const u8 *string_left(struct vcpu *v)
{
    const struct insn *in = (const struct insn *)(v->vm->cache->data + v->resume_rcx);
    at_instruction(v, in->offset, 0);
    v->exec->signal_loans = 0;
    v->exec->signal_stack = 0;
    v->exit = CPU_EXIT_MEMORY;
    return exec_leave_string;
}

/* The signal came within the block's instruction that the place is of. */
static void signal_at(struct vcpu *v, const struct block *b, const struct place *p)
{
    at_instruction(v, p->guest, 0);
    v->exec->signal_loans = p->guest >= b->loan_from && p->guest < b->loan_to ? b->loans : 0;
    v->exec->signal_stack = p->stack * 8;
}

static bool is_mapped(const struct block *b)
{
    return (b->mode & (MODE_MAPPED | MODE_PLAIN | MODE_STEP)) == MODE_MAPPED;
}

/* The instruction, which vcpu.rip has, runs in the block's twin, where accesses are checked. */
static const u8 *refuse(struct vcpu *v, struct block *b, bool counts)
{
    v->exec->refused = b;
    v->exec->refused_counts = counts;
    return exec_leave_signal;
}

const u8 *exec_page_fault(struct vcpu *v, const u8 *host_rip, u64 address, u64 rcx, bool write)
{
    struct block *b;
    const struct place *p = find_place(v, host_rip, &b);
    if (!p || !is_mapped(b))
        return NULL;
    bool served = b->mode & (MODE_USER | MODE_GUEST);
    enum mapped_outcome out = served ? users_fault(v, address, rcx, write) : mapped_fault(v, address, rcx, write);
    if (out == MAPPED_DONE)
        return host_rip;
    signal_at(v, b, p);
    return refuse(v, b, out == MAPPED_REFUSED);
}

const u8 *exec_signal(struct vcpu *v, const u8 *host_rip, unsigned trapno)
{
    struct block *b;
    if (trapno == EXC_PF && host_rip >= v->vm->cache->strings && host_rip < v->vm->cache->strings_end)
        return string_left(v);
    const struct place *p = find_place(v, host_rip, &b);
    if (!p)
        return NULL;
    signal_at(v, b, p);
    switch (trapno) {
    case EXC_DE:
    case EXC_UD:
    case EXC_MF:
    case EXC_XM: raise_event(v, (u8)trapno, false, 0, 0); break;
    case EXC_GP: /* a misaligned operand */
        if (is_mapped(b))
            return refuse(v, b, true);
        raise_gp(v, 0);
        break;
    case EXC_AC: raise_ac(v); break;
    case EXC_PF: v->exit = CPU_EXIT_MEMORY; break;
    default: return NULL;
    }
    if (trapno == EXC_XM && !(v->cr4 & CR4_OSXMMEXCPT))
        raise_ud(v);
    return exec_leave_signal;
}

bool exec_signal_left(struct vcpu *v, u64 rcx, u64 r11)
{
    struct exec *x = v->exec;
    struct block *b = x->refused;
    loans_swap(v, x->signal_loans);
    v->gpr[RSP] += (u64)(s64)x->signal_stack;
    if (b) {
        x->refused = NULL;
        u16 at = v->rip & PAGE_MASK;
        if (x->refused_counts && ++x->refused_seen[(b->page >> 12 ^ at) % CHECKED_SEEN] % CHECKED_AFTER == 0)
            block_add_checks(v, b, at);
        return exec_go_on(v, v->rip);
    }
    return leave_with(v, v->exit == CPU_EXIT_MEMORY ? CPU_EXIT : CPU_FAULT);
}
