/*
 * Runs a vCPU: the dispatcher (cpu_run), what translated code calls (slow memory accesses, called instructions,
 * look-ups), host signals, and vector state at the border to host code.
 *
 * One loop: look at requests and events; find the block at RIP; enter translated code, which stays in it as long as
 * blocks find each other; deal with why it left. Everything here runs on the vCPU's own thread, exec_signal on its
 * signal stack.
 */
#include "cpu/jit/exec.h"

#include "cpu/core/copy.h"
#include "cpu/core/exclusive.h"
#include "cpu/core/nested.h"
#include "cpu/core/stats.h"
#include "cpu/core/world.h"
#include "cpu/event/exception.h"
#include "cpu/event/lapic.h"
#include "cpu/jit/translate.h"
#include "cpu/mmu/segment.h"
#include "x86/msr.h"

#define AT(field, offset) _Static_assert(offsetof(struct vcpu, field) == (offset), "enter.S: " #field)
AT(host_rsp, 96);
AT(resume, 104);
AT(resume_rcx, 112);
AT(resume_r11, 120);
AT(gpr, 272);
AT(arith, 416);
AT(request, 168);
_Static_assert(VCPU_BIAS % 64 == 12, "RSP is the shift count of the TLB check");

/* -- where we are -- */

static u64 rip_of(const struct vcpu *v, u64 la)
{
    u64 rip = la + v->neg_cs_base;
    return in_64bit(v) ? rip : (u32)rip;
}

static void at_instruction(struct vcpu *v, u16 offset, u8 len)
{
    v->rip = rip_of(v, v->page_la + offset);
    v->next_rip = in_64bit(v) ? v->rip + len : (u32)(v->rip + len);
}

static bool leave_with(struct vcpu *v, enum outcome out)
{
    v->exec->outcome = out;
    return false;
}

/* The CS limit ends within the page of la: each instruction is looked at alone, in blocks that are never chained. */
static bool near_limit(const struct vcpu *v, u64 la)
{
    u64 last = (u32)(v->seg[SEG_CS].base + v->seg[SEG_CS].limit);
    return !(v->mode & MODE_FLAT) && !((last ^ la) >> PAGE_SHIFT) && ~last & PAGE_MASK;
}

static bool beyond_limit(const struct vcpu *v, const struct block *b)
{
    return !(v->mode & MODE_FLAT) && v->rip + b->size - 1 > v->seg[SEG_CS].limit;
}

/* Continues at RIP (linear address la) without going back to the dispatcher if nothing else is to do. */
static bool go(struct vcpu *v, u64 la, u32 plain)
{
    struct exec *x = v->exec;
    v->rip = rip_of(v, la);
    x->outcome = CPU_OK;
    if (v->request || (v->mode & MODE_STEP) || v->code_changed || near_limit(v, la))
        return false;
    if (!in_64bit(v) && unlikely(v->rip > v->seg[SEG_CS].limit))
        return leave_with(v, raise_gp(v, 0));
    enum outcome out;
    v->stat[STAT_LOOKUP]++;
    u64 generation = v->vm->cache->generation;
    struct block *b = block_find(v, la, v->mode | plain, &out);
    if (!b)
        return leave_with(v, out);
    if (unlikely(beyond_limit(v, b)))
        return leave_with(v, raise_gp(v, 0));
    if (x->chain) {
        if (v->vm->cache->generation == generation && generation == x->chain_generation)
            block_link(v, x->chain, b);
        x->chain = NULL;
    }
    if (v->mode & MODE_FLAT && !plain)
        jump_enter(v->tlb, la, b->far_entry);
    v->resume = (u64)b->far_entry;
    v->resume_r11 = la;
    return true;
}

static bool reachable(const struct vcpu *v, u64 la)
{
    return in_64bit(v) ? is_canonical(v, la) : rip_of(v, la) <= v->seg[SEG_CS].limit;
}

/* The target of a branch is not canonical or beyond the limit: the branch faults, and its push or pop did not
 * happen. */
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

bool exec_lookup(struct vcpu *v, u64 rcx, u64 la)
{
    v->exec->chain = NULL;
    if (unlikely(!reachable(v, la)) && rcx & TRANSFER_RETURN)
        return blame_branch(v, (u32)rcx);
    return go(v, la, 0);
}

bool exec_chain(struct vcpu *v, struct exit_link *link, u64 r11)
{
    v->exec->chain = link;
    v->exec->chain_generation = v->vm->cache->generation;
    return go(v, v->page_la + link->target, link->plain ? MODE_PLAIN : 0);
}

bool exec_request(struct vcpu *v, u64 offset, u64 r11)
{
    v->rip = rip_of(v, v->page_la + (u16)offset);
    return leave_with(v, CPU_OK);
}

bool exec_stale(struct vcpu *v, u64 offset, u64 r11)
{
    v->exec->chain = NULL;
    return go(v, v->page_la + (u16)offset, 0);
}

/* Guest registers back to their places, or on loan again. */
static void swap_loans(struct vcpu *v, u16 loans)
{
    for (unsigned i = 0; i < ARRAY_LEN(homeless); i++) {
        unsigned lender = loan_lender(loans, homeless[i]);
        if (!lender)
            continue;
        u64 x = v->gpr[lender];
        v->gpr[lender] = v->gpr[homeless[i]];
        v->gpr[homeless[i]] = x;
    }
}

/* Back into the block, where these loans are in force. */
static bool resume_at(struct vcpu *v, const u8 *host, u16 loans)
{
    swap_loans(v, loans);
    v->resume = (u64)host;
    return true;
}

bool exec_signal_left(struct vcpu *v, u64 rcx, u64 r11)
{
    swap_loans(v, v->exec->signal_loans);
    return leave_with(v, CPU_FAULT);
}

/* -- memory accesses that the TLB cannot serve -- */

/* clang-format off */
#define K_CASE(n)                                                                                  \
    case n: __asm__("kmovq %%k" #n ", %0" : "=r"(k)); break;
#define K16_CASE(n)                                                                                \
    case n: __asm__("kmovw %%k" #n ", %k0" : "=r"(k)); break;
#define SIGN_CASE(n)                                                                               \
    case 8 + n:                                                                                    \
        if (dwords)                                                                                \
            __asm__("vmovmskps %%ymm" #n ", %k0" : "=r"(k));                                       \
        else                                                                                       \
            __asm__("vmovmskpd %%ymm" #n ", %k0" : "=r"(k));                                       \
        break;

/* The mask bits of a masked memory operand, from the live registers. */
static u64 mask_bits(const struct site *s)
{
    u64 k = 0;
    bool dwords = s->element == 4;
    unsigned elements = s->elements;
    if (s->mask < 8 && elements <= 16) {
        switch (s->mask) {
            K16_CASE(1) K16_CASE(2) K16_CASE(3) K16_CASE(4) K16_CASE(5) K16_CASE(6) K16_CASE(7)
        }
    } else {
        switch (s->mask) {
            K_CASE(1) K_CASE(2) K_CASE(3) K_CASE(4) K_CASE(5) K_CASE(6) K_CASE(7)
            SIGN_CASE(0) SIGN_CASE(1) SIGN_CASE(2) SIGN_CASE(3) SIGN_CASE(4) SIGN_CASE(5) SIGN_CASE(6) SIGN_CASE(7)
            SIGN_CASE(8) SIGN_CASE(9) SIGN_CASE(10) SIGN_CASE(11)
            SIGN_CASE(12) SIGN_CASE(13) SIGN_CASE(14) SIGN_CASE(15)
        }
    }
    if (elements < 64)
        k &= BIT64(elements) - 1;
    if (s->element & ELEMENT_PACKED) {
        unsigned n = (unsigned)__builtin_popcountll(k);
        k = n == 64 ? ~0ull : BIT64(n) - 1;
    }
    return k;
}
/* clang-format on */

/* The bytes of the operand, from *first for *count, that a masked instruction accesses. */
static void mask_range(const struct site *s, unsigned *first, unsigned *count)
{
    u64 k = mask_bits(s);
    unsigned element = s->element & ELEMENT_BYTES;
    *first = *count = 0;
    if (!k)
        return;
    if (s->element & ELEMENT_WHOLE) {
        *count = s->size;
        return;
    }
    *first = (unsigned)__builtin_ctzll(k) * element;
    *count = (64 - (unsigned)__builtin_clzll(k)) * element - *first;
}

/* Would the check of the whole window succeed now? */
static bool group_hits(const struct vcpu *v, const struct site *s, u64 la)
{
    u64 start = la + (u64)(s64)s->before;
    u32 i = tlb_index(start);
    u64 tag = s->flags & SITE_GROUP_WRITE ? v->tlb->wtag[i] : v->tlb->rtag[i];
    return (tag + start + s->span - 1) >> PAGE_SHIFT == 0;
}

bool exec_slow_mem(struct vcpu *v, const u8 *after, u64 la)
{
    struct exec *x = v->exec;
    struct site s;
    __builtin_memcpy(&s, after, sizeof s);
    swap_loans(v, s.loans);
    at_instruction(v, s.offset, s.len);
    enum access access = s.flags & SITE_WRITE ? ACCESS_WRITE : ACCESS_READ;
    if (s.seg & SITE_X87) {
        u32 status = 0;
        __asm__ volatile("fnstsw %w0" : "+a"(status));
        if (status & 0x80) /* error summary */
            return leave_with(v, raise_event(v, EXC_MF, false, 0, 0));
        s.seg &= (u8)~SITE_X87;
    }
    unsigned first = 0, count = s.size;
    if (s.flags & SITE_MASKED)
        mask_range(&s, &first, &count);
    if (s.flags & SITE_ALIGNED && count && la & (s.size - 1u))
        return leave_with(v, raise_gp(v, 0));
    if (s.seg == SEG_SS && count && in_64bit(v) && !(is_canonical(v, la) && is_canonical(v, la + s.size - 1)))
        return leave_with(v, raise_ss(v, 0));
    u64 start = la + first;
    if ((la & PAGE_MASK) + s.size <= PAGE_SIZE && count) {
        bool filled;
        enum outcome out = mmu_fill(v, start, access, &filled);
        if (out != CPU_OK)
            return leave_with(v, out);
        if (s.flags & SITE_GROUP)
            filled = filled && group_hits(v, &s, la);
        if (filled) {
            v->stat[STAT_TLB_FILL]++;
            return resume_at(v, after + s.retry, s.loans);
        }
    }
    if (s.flags & SITE_GROUP) {
        v->stat[STAT_PLAIN]++;
        return resume_at(v, after + s.resume, s.loans);
    }
    v->stat[STAT_BOUNCE]++;
    /* Vector operands are not subject to alignment checking. */
    enum access aligned = s.size >= 16 ? ACCESS_UNCHECKED : 0;
    /* As aligned as the operand, for instructions that insist; not across a cache line if locked: hosts slow that
     * down. */
    u8 *buf = x->bounce + (la & (s.flags & SITE_LOCK ? 15 : 63));
    if (s.flags & SITE_LOCK) {
        if (v->vm->vcpu_count > 1) {
            if (exclusive_begin(v)) { /* start the instruction again */
                exclusive_end(v);
                return leave_with(v, CPU_OK);
            }
            x->bounce_locked = true;
        }
    }
    enum outcome out = CPU_OK;
    /* Masked elements are accessed one by one: a page fault of the first comes before the #GP of the others. */
    if (s.flags & SITE_MASKED && count && is_canonical(v, start) && !is_canonical(v, start + count - 1))
        out = mem_probe(v, start, (unsigned)(PAGE_SIZE - (start & PAGE_MASK)), access | aligned);
    if (out == CPU_OK && (s.flags & SITE_WRITE) && count)
        out = mem_probe(v, start, count, ACCESS_WRITE | aligned);
    if (out == CPU_OK && (s.flags & SITE_READ) && count)
        out = mem_read(v, start, buf + first, count, ACCESS_READ | aligned);
    if (out != CPU_OK) {
        if (x->bounce_locked)
            exclusive_end(v);
        x->bounce_locked = false;
        return leave_with(v, out);
    }
    x->bounce_la = start;
    x->bounce_from = buf + first;
    x->bounce_size = (u8)count;
    v->resume_rcx = (u64)buf - la;
    return resume_at(v, after + s.resume, s.loans);
}

bool exec_slow_done(struct vcpu *v, const u8 *after, u64 la)
{
    struct exec *x = v->exec;
    struct site_done d;
    __builtin_memcpy(&d, after, sizeof d);
    swap_loans(v, d.loans);
    at_instruction(v, d.offset, d.len);
    enum outcome out = CPU_OK;
    if (x->bounce_size)
        out = mem_write(v, x->bounce_la, x->bounce_from, x->bounce_size, ACCESS_WRITE | ACCESS_UNCHECKED);
    if (x->bounce_locked)
        exclusive_end(v);
    x->bounce_locked = false;
    if (out != CPU_OK)
        return leave_with(v, out);
    /* A request: the store may have been to the APIC, whose interrupt comes before the next instruction. */
    if (!(d.flags & SITE_STAY) && (v->code_changed || v->trap_pending || v->request)) {
        v->rip = v->next_rip;
        return leave_with(v, CPU_OK);
    }
    return resume_at(v, after + d.next, d.loans);
}

bool exec_slow_segment(struct vcpu *v, const u8 *after, u64 offset)
{
    struct site_segment s;
    __builtin_memcpy(&s, after, sizeof s);
    at_instruction(v, s.offset, s.len);
    u64 la;
    enum outcome out = seg_linear(v, s.seg, offset, s.size, s.access, &la);
    if (out != CPU_OK)
        return leave_with(v, out);
    v->resume = (u64)(after + sizeof s);
    v->resume_r11 = la;
    return true;
}

/* -- called instructions -- */

bool exec_call(struct vcpu *v, const u8 *after, const struct insn *in)
{
    at_instruction(v, in->offset, in->len);
    u64 next = v->next_rip;
    u32 mode = v->mode;
    u64 generation = v->vm->cache->generation;
    bool ends = in->ends;
    v->insn = in;
    v->stat[STAT_CALL]++;
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

/* -- host signals -- */

static bool find_place(struct vcpu *v, const u8 *host, struct block **b, u16 *guest)
{
    struct cache *c = v->vm->cache;
    if (host < c->code || host >= c->code + c->hot_size + c->cold_size)
        return false;
    *b = block_at(c, host);
    if (!*b)
        return false;
    u32 at = (u32)(host - c->code);
    bool cold = host >= c->code + c->hot_size;
    u32 i = cold ? (*b)->cold_place_from : 0, end = cold ? (*b)->place_count : (*b)->cold_place_from;
    bool found = false;
    for (; i < end && (*b)->places[i].host <= at; i++) {
        *guest = (*b)->places[i].guest;
        found = true;
    }
    return found;
}

u64 exec_guest_rip(struct vcpu *v, u64 host_rip)
{
    struct block *b;
    u16 guest;
    if (!find_place(v, (const u8 *)host_rip, &b, &guest))
        return 0;
    return rip_of(v, b->page_la + guest);
}

const u8 *exec_signal(struct vcpu *v, const u8 *host_rip, unsigned trapno)
{
    struct block *b;
    u16 guest;
    if (!find_place(v, host_rip, &b, &guest))
        return NULL;
    at_instruction(v, guest, 0);
    v->exec->signal_loans = guest >= b->loan_from && guest < b->loan_to ? b->loans : 0;
    switch (trapno) {
    case EXC_DE:
    case EXC_UD:
    case EXC_MF:
    case EXC_XM: raise_event(v, (u8)trapno, false, 0, 0); break;
    case EXC_GP: /* a misaligned operand */ raise_gp(v, 0); break;
    case EXC_AC: raise_ac(v); break;
    default: return NULL;
    }
    if (trapno == EXC_XM && !(v->cr4 & CR4_OSXMMEXCPT))
        raise_ud(v);
    return exec_leave_signal;
}

/* -- the dispatcher -- */

/* Instruction breakpoints of DR7 at the linear address. MOV SS holds those of the next instruction off on Intel's
 * processors only. GIF does not: APM "Global Interrupt Flag" has breakpoints ignored while it is 0, but hypervisors'
 * own tests expect those on VMRUN to be met. */
static bool breakpoint(struct vcpu *v, u64 la, u64 *dr6)
{
    *dr6 = 0;
    bool held = v->shadow & SHADOW_MOVSS && v->vm->vendor == VENDOR_INTEL;
    if ((v->flags & FLAG_RF) || !(v->dr7 & 0xff) || held)
        return false;
    for (unsigned i = 0; i < 4; i++)
        if ((v->dr7 >> (i * 2) & 3) && !(v->dr7 >> (16 + i * 4) & 3) && v->dr[i] == la)
            *dr6 |= BIT64(i);
    return *dr6;
}

static void enter(struct vcpu *v, struct block *b, u64 la)
{
    v->resume = (u64)b->far_entry;
    v->resume_r11 = la;
    exec_enter(v);
}

/* One instruction, with what is checked before and after each: breakpoints, TF, RF, interrupt shadow. */
static void step(struct vcpu *v, u64 la)
{
    struct exec *x = v->exec;
    u64 dr6;
    enum outcome out;
    if (breakpoint(v, la, &dr6)) {
        settle(v, raise_db(v, dr6));
        return;
    }
    bool trace = v->flags & FLAG_TF, guest = v->in_guest;
    u8 shadow = v->shadow;
    u64 rf = v->flags & FLAG_RF, from = v->rip;
    struct block *b = block_find(v, la, v->mode | MODE_STEP, &out);
    if (b && beyond_limit(v, b))
        out = raise_gp(v, 0);
    if (out != CPU_OK) {
        settle(v, out);
        return;
    }
    v->step_trap = trace;
    enter(v, b, la);
    if (x->outcome != CPU_OK) {
        settle(v, x->outcome);
        return;
    }
    if (v->in_guest != guest)
        return;
    if (rf)
        v->flags &= ~FLAG_RF;
    if (shadow && v->shadow == shadow) {
        v->shadow = 0;
        mode_update(v);
        event_recheck(v);
    }
    bool branched = v->rip != from && v->rip != rip_of(v, la + b->size);
    if (branched && v->debugctl & DEBUGCTL_LBR) {
        v->lbr[0] = from;
        v->lbr[1] = v->rip;
    }
    if (v->step_trap && (branched || !(v->debugctl & DEBUGCTL_BTF))) {
        v->trap_pending = true;
        v->trap_dr6 |= DR6_BS;
    }
    if (guest && nested_stepping(v))
        settle(v, v->nested->event(v, NEV_MTF));
}

/* Is a block at la in the jump cache? If it is dead it leads to exec_lookup. */
static bool known(struct vcpu *v, u64 la)
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
    if (v->mode & MODE_STEP || near_limit(v, la)) {
        step(v, la);
        return;
    }
    v->flags &= ~FLAG_RF;
    if (known(v, la) || go(v, la, 0))
        exec_enter(v);
    settle(v, x->outcome);
}

/* -- creation -- */

struct exec_memory {
    struct exec exec;
    ZydisDecoder decoder[4];
    struct tr tr;
};

size_t exec_size(void)
{
    return sizeof(struct exec_memory);
}

void exec_init(struct vcpu *v, void *memory)
{
    struct exec_memory *m = memory;
    struct exec *x = &m->exec;
    static const struct {
        ZydisMachineMode mode;
        ZydisStackWidth width;
    } kinds[4] = {{ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16},
                  {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
                  {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
                  {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64}};
    for (unsigned i = 0; i < 4; i++) {
        ZydisDecoderInit(&m->decoder[i], kinds[i].mode, kinds[i].width);
        ZydisDecoderEnableMode(&m->decoder[i], ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
        ZydisDecoderEnableMode(&m->decoder[i], ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
    }
    x->decoder[0] = &m->decoder[0];
    x->decoder[1] = &m->decoder[2];
    x->decoder[2] = &m->decoder[3];
    x->tr = &m->tr;
    v->exec = x;
    vector_init(v);
    v->bit_mask[0] = 15;
    v->bit_mask[1] = 31;
    v->bit_mask[2] = 63;
    v->slow_mem = (void *)exec_thunk_slow_mem;
    v->slow_done = (void *)exec_thunk_slow_done;
    v->slow_segment = (void *)exec_thunk_slow_segment;
    v->call_thunk = (void *)exec_thunk_call;
    v->leave_lookup = (void *)exec_leave_lookup;
    v->leave_chain = (void *)exec_leave_chain;
    v->leave_request = (void *)exec_leave_request;
    v->leave_stale = (void *)exec_leave_stale;
    optable_init();
}
