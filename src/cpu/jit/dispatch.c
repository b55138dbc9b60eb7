/*
 * The dispatcher, on the vCPU's own thread: finds the block at RIP and enters it. Translated code stays in translated
 * code as long as blocks find each other; where they do not, it comes here to find or make the next block and chain it,
 * and for called instructions. What must be looked at instruction by instruction is stepped.
 */
#include "cpu/core/copy.h"
#include "cpu/core/fault.h"
#include "cpu/core/insn.h"
#include "cpu/core/nested.h"
#include "cpu/core/stats.h"
#include "cpu/event/debug.h"
#include "cpu/event/exception.h"
#include "cpu/event/ferr.h"
#include "cpu/jit/block.h"
#include "cpu/jit/enter.h"
#include "cpu/jit/exec.h"
#include "cpu/jit/site.h"
#include "cpu/mmu/mmu.h"
#include "cpu/mmu/segment.h"

/* -- from block to block -- */

/* Does the CS limit lie within the page of la, or the end of the first 64 KiB of a 16-bit segment, or is EIP beyond
 * them? Then each instruction is checked by itself, in blocks that are never chained, and its branches cut EIP. */
static bool near_limit(const struct vcpu *v, u64 la)
{
    if (v->mode & MODE_FLAT)
        return false;
    u32 limit = v->seg[SEG_CS].limit;
    if ((v->mode & MODE_SIZE_MASK) == MODE_16 && limit > 0xffff) {
        limit = 0xffff;
        if (v->rip > limit)
            return true;
    }
    u64 last = (u32)(v->seg[SEG_CS].base + limit);
    return !((last ^ la) >> PAGE_SHIFT) && ~last & PAGE_MASK;
}

static bool beyond_limit(const struct vcpu *v, const struct block *b)
{
    return !(v->mode & MODE_FLAT) && v->rip + b->size - 1 > v->seg[SEG_CS].limit;
}

/* The end of a window of jumps that were looked at. */
static void heat_window(struct vcpu *v)
{
    struct exec *x = v->exec;
    x->heat.small = x->heat.different <= HEAT_SET ? x->heat.small + 1 : 0;
    x->heat.large = x->heat.different >= COLD_SET ? x->heat.large + 1 : 0;
    if (x->heat.large == HEAT_STEADY)
        block_cool(v);
    fill_bytes(x->heat.seen, 0, sizeof x->heat.seen);
    x->heat.samples = x->heat.different = 0;
}

/* A jump is looked at, which is known by where it leads or, in code that lasts and back in the page, where it stands:
 * returns whether what jumps becomes hot (tunables.h). After how many jumps the next one is looked at varies, so that a
 * loop does not always show the same jump. */
static bool heats(struct vcpu *v, u64 at)
{
    struct exec *x = v->exec;
    x->heat.random = x->heat.random * 1664525 + 1013904223;
    v->sample_left = SAMPLE_JUMPS / 2 + (x->heat.random >> 16) % SAMPLE_JUMPS;
    if (x->heat.samples++ == HEAT_WINDOW)
        heat_window(v);
    u16 *seen = &x->heat.seen[(at ^ at / HEAT_MARKS) % HEAT_MARKS];
    bool first = !(*seen)++;
    x->heat.different += first;
    if (mode_lasts(v->mode))
        return *seen == HEAT_OFTEN;
    return first && x->heat.small >= HEAT_STEADY << v->vm->cache->coolings;
}

/* The block with this host address becomes hot, if there is one. */
static void heat(struct vcpu *v, const u8 *host)
{
    struct block *b = host ? block_at(v->vm->cache, host) : NULL;
    if (b)
        block_heat(v, b);
}

/* Hot code may return by the return stack, and jump back, again if no request waits any more. A request that comes
 * meanwhile is seen here, or takes the mask away behind this (request_raise). Who raised the last one may do so late,
 * too: so it is looked at wherever translated code goes on now and then. */
static void returns_arm(struct vcpu *v)
{
    if (likely(v->return_mask))
        return;
    __atomic_store_n(&v->return_mask, RETURN_MASK, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&v->request, __ATOMIC_SEQ_CST))
        __atomic_store_n(&v->return_mask, 0, __ATOMIC_SEQ_CST);
}

/* Goes on at the linear address la in translated code, if nothing else has to be done first. */
static bool proceed(struct vcpu *v, u64 la, u32 plain)
{
    struct exec *x = v->exec;
    v->rip = rip_of(v, la);
    x->outcome = CPU_OK;
    if (v->request || (v->mode & MODE_STEP) || x->one || v->code_changed || near_limit(v, la))
        return false;
    if (unlikely(v->debug_breaks) && debug_in_page(v, la))
        return false;
    if (!in_64bit(v) && unlikely(v->rip > v->seg[SEG_CS].limit))
        return leave_with(v, raise_gp(v, 0));
    enum outcome out;
    v->stat[STAT_LOOKUP]++;
    u64 generation = v->vm->cache->generation;
    struct block *b = block_find_linked(v, la, v->mode | plain, x->chain, &out);
    if (!b)
        return leave_with(v, out);
    if (unlikely(beyond_limit(v, b)))
        return leave_with(v, raise_gp(v, 0));
    if (x->chain) {
        if (v->vm->cache->generation == generation && generation == x->chain_generation && !x->chain->to)
            block_link(v, x->chain, b, la);
        x->chain = NULL;
    }
    if (v->mode & MODE_FLAT && !plain)
        jump_enter(v->tlb, la, b->far_entry);
    v->resume = (u64)b->far_entry;
    v->resume_r11 = la;
    returns_arm(v);
    return true;
}

static bool reachable(const struct vcpu *v, u64 la)
{
    return in_64bit(v) ? is_canonical(v, la) : rip_of(v, la) <= v->seg[SEG_CS].limit;
}

/* The target of a branch is not canonical, or lies beyond the limit: the branch itself faults, and its push or pop is
 * undone. */
static bool blame_branch(struct vcpu *v, u32 transfer)
{
    u64 size = BIT64(transfer >> TRANSFER_SIZE_SHIFT & 3), sp = v->gpr[RSP];
    if ((transfer & TRANSFER_RETURN) == TRANSFER_CALL)
        sp += size;
    else if ((transfer & TRANSFER_RETURN) == TRANSFER_RETURN)
        sp -= size + (transfer >> TRANSFER_RELEASE_SHIFT);
    reg_write(v, RSP, stack_asize(v), true, sp);
    at_instruction(v, transfer & PAGE_MASK, 0);
    return leave_with(v, raise_gp(v, 0));
}

/* `link`: what may be chained, or NULL. */
static bool transfer_to(struct vcpu *v, u32 transfer, u64 la, struct exit_link *link)
{
    v->exec->chain = link;
    v->exec->chain_generation = v->vm->cache->generation;
    if (unlikely(!reachable(v, la)) && transfer & TRANSFER_RETURN)
        return blame_branch(v, transfer);
    return proceed(v, la, 0);
}

/* Its own block is not known: in code that lasts (mode_lasts) it is searched, which other code is not worth. */
static void look_at_return(struct vcpu *v, u32 transfer, u64 la)
{
    u64 from = v->page_la + (transfer & PAGE_MASK);
    if (!mode_lasts(v->mode)) {
        if (heats(v, la))
            heat(v, jump_find(v->tlb, la));
    } else if (heats(v, from)) {
        block_heat_at(v, from);
    }
}

bool exec_lookup(struct vcpu *v, u64 rcx, u64 la)
{
    if (!v->sample_left) /* a return */
        look_at_return(v, (u32)rcx, la);
    return transfer_to(v, (u32)rcx, la, NULL);
}

/* The link whose branch comes next behind that host address, or NULL. */
static struct exit_link *link_behind(struct vcpu *v, const u8 *after)
{
    const struct block *b = block_at(v->vm->cache, after);
    struct exit_link *link = NULL;
    for (u32 i = 0; i < b->link_count; i++)
        if (b->links[i].field > after && (!link || b->links[i].field < link->field))
            link = &b->links[i];
    return link;
}

bool exec_jump_missed(struct vcpu *v, const u8 *after, u64 la)
{
    u32 transfer, number;
    struct exit_link *link = NULL;
    v->stat[STAT_JUMP]++;
    if (!v->sample_left && heats(v, mode_lasts(v->mode) ? (u64)after : la))
        heat(v, after); /* the block that jumps: blocks that are hot look no more where they jump */
    __builtin_memcpy(&transfer, after + JUMP_REG_SIZE, sizeof transfer);
    if (transfer & TRANSFER_LINKS) {
        __builtin_memcpy(&number, after + JUMP_REG_SIZE + sizeof transfer, sizeof number);
        link = &v->vm->cache->links[number];
    }
    if (v->request || !(v->resume = (u64)jump_find(v->tlb, la)))
        return transfer_to(v, transfer, la, link);
    if (link && !link->to)
        block_link(v, link, block_at(v->vm->cache, (const u8 *)v->resume), la);
    returns_arm(v);
    return true;
}

bool exec_chain(struct vcpu *v, struct exit_link *link, u64 r11)
{
    v->stat[STAT_LOOKUP_LINK]++;
    v->exec->chain = link;
    v->exec->chain_generation = v->vm->cache->generation;
    return proceed(v, link->lands ? r11 : v->page_la + link->target, link->plain ? MODE_PLAIN : 0);
}

bool exec_go_on(struct vcpu *v, u64 la)
{
    v->exec->chain = NULL;
    return proceed(v, la, MODE_PLAIN);
}

bool exec_request(struct vcpu *v, u64 offset, u64 r11)
{
    v->rip = rip_of(v, v->page_la + (u16)offset);
    return leave_with(v, CPU_OK);
}

bool exec_back_missed(struct vcpu *v, const u8 *after, u64 r11)
{
    if (!v->sample_left && heats(v, (u64)after))
        heat(v, after);
    if (v->request) {
        const struct exit_link *link = link_behind(v, after);
        v->rip = rip_of(v, link->across ? r11 : v->page_la + link->target);
        return leave_with(v, CPU_OK);
    }
    v->resume = (u64)after;
    v->resume_rcx = v->tlb->link[tlb_index(r11)] + r11; /* what a guard goes on with */
    return true;
}

/* -- called instructions -- */

bool exec_call(struct vcpu *v, const u8 *after, u64 insn)
{
    const struct insn *in = (const struct insn *)(v->vm->cache->data + insn);
    at_instruction(v, in->offset, in->len);
    u64 next = v->next_rip;
    u32 mode = v->mode;
    u64 generation = v->vm->cache->generation;
    bool ends = in->ends;
    v->insn = in;
    v->stat[STAT_CALL]++;
    v->exec->called[in->row]++;
    enum outcome out = in->fn(v, in);
    v->insn = NULL;
    if (out == CPU_NEXT)
        return true;
    if (out != CPU_OK)
        return leave_with(v, out);
    if (!ends && v->next_rip == next && v->mode == mode && !v->code_changed && !v->request && !v->trap_pending &&
        generation == v->vm->cache->generation)
        return true;
    v->rip = v->next_rip;
    return leave_with(v, CPU_OK);
}

/* -- from RIP -- */

/* Runs one instruction, and does what comes before and after each: breakpoints, TF, RF, the interrupt shadow. */
static __attribute__((noinline)) void step(struct vcpu *v, u64 la)
{
    struct exec *x = v->exec;
    u64 dr6;
    enum outcome out;
    if (debug_breakpoint(v, la, &dr6)) {
        settle(v, raise_db(v, dr6));
        return;
    }
    bool trace = v->flags & FLAG_TF, guest = v->in_guest;
    u8 shadow = v->shadow;
    u64 rf = v->flags & FLAG_RF, from = v->rip;
    x->not_run = false;
    struct block *b = block_find(v, la, v->mode | MODE_STEP, &out);
    if (b && beyond_limit(v, b))
        out = raise_gp(v, 0);
    if (out != CPU_OK) {
        settle(v, out);
        return;
    }
    u64 behind = rip_of(v, la + b->size);
    v->step_trap = trace;
    v->resume = (u64)b->far_entry;
    v->resume_r11 = la;
    bool ferr = v->ferr;
    if (unlikely(ferr))
        ferr_step_begin(v);
    exec_enter(v);
    if (unlikely(ferr))
        ferr_step_end(v);
    if (x->outcome != CPU_OK) {
        settle(v, x->outcome);
        return;
    }
    if (x->not_run || v->in_guest != guest)
        return;
    if (rf)
        v->flags &= ~FLAG_RF;
    if (shadow && v->shadow == shadow) {
        v->shadow = 0;
        mode_update(v);
        event_recheck(v);
    }
    debug_stepped(v, from, v->rip != from && v->rip != behind);
    if (guest && nested_stepping(v))
        settle(v, v->nested->event(v, NEV_MTF));
}

/* Is a block at la in the jump cache? Then it is where to resume. A dead one leads to exec_lookup. */
static bool in_jump_cache(struct vcpu *v, u64 la)
{
    if (!(v->mode & MODE_FLAT))
        return false;
    mmu_select(v);
    v->exec->outcome = CPU_OK;
    v->resume = (u64)jump_find(v->tlb, la);
    v->resume_r11 = la;
    return v->resume;
}

void execute(struct vcpu *v)
{
    struct exec *x = v->exec;
    u64 la = in_64bit(v) ? v->rip : (u32)(v->rip + v->seg[SEG_CS].base);
    if (!in_64bit(v) && unlikely(v->rip > v->seg[SEG_CS].limit)) {
        settle(v, raise_gp(v, 0));
        return;
    }
    x->chain = NULL;
    v->code_changed = false;
    v->stat[STAT_DISPATCH]++;
    bool owed = v->step_owed && v->request;
    v->step_owed = false;
    if (v->mode & MODE_STEP || near_limit(v, la) || owed || (unlikely(v->debug_breaks) && debug_in_page(v, la))) {
        bool debugged = v->debug_steps || v->debug_breaks;
        if (unlikely(debugged) && debug_before(v, la))
            return;
        step(v, la);
        if (unlikely(debugged))
            debug_after(v);
        return;
    }
    v->flags &= ~FLAG_RF;
    returns_arm(v);
    if (!--v->sample_left && heats(v, la))
        heat(v, jump_find(v->tlb, la));
    if (in_jump_cache(v, la) || proceed(v, la, 0))
        exec_enter(v);
    settle(v, x->outcome);
}

void execute_one(struct vcpu *v)
{
    u64 la = in_64bit(v) ? v->rip : (u32)(v->rip + v->seg[SEG_CS].base);
    v->exec->chain = NULL;
    v->code_changed = false;
    v->stat[STAT_DISPATCH]++;
    v->exec->one = true;
    step(v, la);
    v->exec->one = false;
}
