/*
 * Memory accesses that the TLB cannot serve, on the vCPU's own thread: fills the TLB and has the check tried again, or
 * fetches the operand into the bounce buffer and writes the result out when the instruction has run there (page
 * crossings, devices, pages with translated code, data breakpoints). All faults are found before the instruction runs.
 */
#include "cpu/core/cpuid.h"
#include "cpu/core/exclusive.h"
#include "cpu/core/fault.h"
#include "cpu/core/stats.h"
#include "cpu/core/vectors.h"
#include "cpu/jit/block.h"
#include "cpu/jit/enter.h"
#include "cpu/jit/exec.h"
#include "cpu/jit/loan.h"
#include "cpu/jit/site.h"
#include "cpu/mmu/mmu.h"
#include "cpu/mmu/segment.h"
#include "x86/xsave.h"

/* Goes on in the block, where these loans are in force. */
static bool resume_at(struct vcpu *v, const u8 *host, u16 loans)
{
    loans_swap(v, loans);
    v->resume = (u64)host;
    return true;
}

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

/* Reads the mask bits of a masked memory operand from the live registers. */
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

/* Finds the bytes of the operand that a masked instruction accesses: *count of them from *first on. */
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
    unsigned in_memory = s->size / element; /* fewer than the vector has if it takes them several times (broadcasts) */
    for (unsigned n = s->elements; n > in_memory; n /= 2)
        k |= k >> n / 2;
    if (s->elements > in_memory)
        k &= BIT64(in_memory) - 1;
    *first = (unsigned)__builtin_ctzll(k) * element;
    *count = (64 - (unsigned)__builtin_clzll(k)) * element - *first;
}

/* Does the TLB have these bytes in one page? */
static bool tlb_has(const struct vcpu *v, u64 la, unsigned size, bool write)
{
    u64 tag = write ? v->tlb->wtag[tlb_index(la)] : v->tlb->rtag[tlb_index(la)];
    return (tag + la + size - 1) >> PAGE_SHIFT == 0;
}

/* Would the check of the whole window succeed now? */
static bool group_hits(const struct vcpu *v, const struct site *s, u64 la)
{
    return tlb_has(v, la + (u64)(s64)s->before, s->span, s->flags & SITE_GROUP_WRITE);
}

/* Finds the faults that come before any page fault. count is 0 if a mask leaves all bytes out. */
static enum outcome check_operand(struct vcpu *v, const struct site *s, u64 la, unsigned count)
{
    if (s->flags & SITE_ALIGNED && count && la & (s->size - 1u))
        return raise_gp(v, 0);
    if ((s->seg & SITE_SEGMENT) == SEG_SS && count && in_64bit(v) &&
        !(is_canonical(v, la) && is_canonical(v, la + s->size - 1)))
        return raise_ss(v, 0);
    return CPU_OK;
}

/* Finds all faults of an access that crosses a page end, or whose operand does. */
static enum outcome find_crossing(struct vcpu *v, const struct site *s, u64 start, unsigned count, enum access access)
{
    /* AMD's CPUs access masked elements one by one: a page fault of the first comes before the #GP of the others. */
    bool one_by_one = host_vendor() == VENDOR_AMD && s->flags & SITE_MASKED;
    if (one_by_one && is_canonical(v, start) && !is_canonical(v, start + count - 1))
        TRY(mem_probe(v, start, (unsigned)(PAGE_SIZE - (start & PAGE_MASK)), access));
    return mem_find(v, start, count, access, &v->exec->found);
}

/* Makes the instruction run on the bounce buffer, where it finds the `count` bytes from `first` on that were found. */
static bool bounce(struct vcpu *v, const struct site *s, const u8 *after, u64 la, unsigned first, unsigned count)
{
    struct exec *x = v->exec;
    v->stat[STAT_BOUNCE]++;
    if (s->flags & SITE_LOCK && v->vm->vcpu_count > 1) {
        if (exclusive_begin(v)) {
            exclusive_end(v);
            x->not_run = true;
            return leave_with(v, CPU_OK);
        }
        x->bounce_locked = true;
    }
    /* The buffer is as aligned as the operand, for instructions that insist on it. A locked operand does not cross a
     * cache line there, which hosts make slow. */
    u8 *buffer = x->bounce + (la & (s->flags & SITE_LOCK ? 15 : 63));
    enum outcome out = count && s->flags & SITE_READ ? found_read(v, &x->found, buffer + first) : CPU_OK;
    if (unlikely(out != CPU_OK)) {
        if (x->bounce_locked)
            exclusive_end(v);
        x->bounce_locked = false;
        return leave_with(v, out);
    }
    x->bounce_from = count ? buffer + first : NULL;
    v->resume_rcx = (u64)buffer - la;
    return resume_at(v, after + s->resume, s->loans);
}

bool exec_slow_mem(struct vcpu *v, const u8 *after, u64 la)
{
    struct site s;
    __builtin_memcpy(&s, after, sizeof s);
    loans_swap(v, s.loans);
    at_instruction(v, s.offset, s.len);
    if (s.seg & SITE_X87 && x87_status() & FSW_ES)
        return leave_with(v, raise_event(v, EXC_MF, false, 0, 0));
    unsigned first = 0, count = s.size;
    if (s.flags & SITE_MASKED)
        mask_range(&s, &first, &count);
    enum outcome out = check_operand(v, &s, la, count);
    if (out != CPU_OK)
        return leave_with(v, out);
    enum access access =
        (s.flags & SITE_WRITE ? ACCESS_WRITE : ACCESS_READ) | (s.seg & SITE_UNCHECKED ? ACCESS_UNCHECKED : 0);
    bool filled = false;
    if (count && likely((la & PAGE_MASK) + s.size <= PAGE_SIZE))
        out = mem_fill(v, la + first, count, access, &v->exec->found, &filled);
    else if (count && !(s.flags & SITE_GROUP))
        out = find_crossing(v, &s, la + first, count, access);
    if (out != CPU_OK)
        return leave_with(v, out);
    if (filled && (!(s.flags & SITE_GROUP) || group_hits(v, &s, la))) {
        v->stat[STAT_TLB_FILL]++;
        return resume_at(v, after + s.retry, s.loans);
    }
    if (s.flags & SITE_GROUP) {
        v->stat[STAT_PLAIN]++;
        return resume_at(v, after + s.resume, s.loans);
    }
    return bounce(v, &s, after, la, first, count);
}

/* The window of a group's check crosses into another page: translated code finds the twin by itself from now on. */
static void crossing_enter(struct vcpu *v, const u8 *after, unsigned span, const u8 *twin)
{
    u32 i = (u32)(((u64)after >> CROSSING_SHIFT) % CROSSINGS);
    v->crossing.after[i] = -(u64)after;
    v->crossing.last[i] = span - 1;
    v->crossing.twin[i] = (u64)twin;
}

void exec_misses_forget(struct vcpu *v)
{
    for (u32 i = 0; i < CROSSINGS; i++)
        v->crossing.after[i] = 0;
    for (u32 i = 0; i < MISSED_SITES; i++)
        v->exec->missed[i].after = NULL;
}

/* The site of the shared check that a CALL before `after` is of. To look for it takes longer than what it is for. */
static const u8 *missed_site(struct vcpu *v, const u8 *after)
{
    u32 i = (u32)(((u64)after >> CROSSING_SHIFT) % MISSED_SITES);
    if (likely(v->exec->missed[i].after == after))
        return v->exec->missed[i].site;
    struct cache *c = v->vm->cache;
    const struct block *b = block_at(c, after);
    const struct place *p = block_place(c, b, after);
    while (!p->site) /* that of the access itself, where the check is right in front of it */
        p--;
    v->exec->missed[i].after = after;
    v->exec->missed[i].site = b->cold + p->site - 1;
    return v->exec->missed[i].site;
}

bool exec_check_missed(struct vcpu *v, const u8 *after, u64 la)
{
    const u8 *site = missed_site(v, after);
    struct site s;
    __builtin_memcpy(&s, site, sizeof s);
    if (!(s.flags & SITE_GROUP))
        return exec_slow_mem(v, site, la);
    bool crosses = (la & PAGE_MASK) + s.span > PAGE_SIZE;
    v->resume_r11 = la -= (u64)(s64)s.before;
    if (!tlb_has(v, la, s.size, s.flags & SITE_WRITE)) /* the access alone */
        return exec_slow_mem(v, site, la);
    if (crosses)
        crossing_enter(v, after, s.span, site + s.resume);
    v->resume = (u64)(site + s.resume);
    return true;
}

bool exec_slow_done(struct vcpu *v, const u8 *after, u64 la)
{
    struct exec *x = v->exec;
    struct site_done d;
    __builtin_memcpy(&d, after, sizeof d);
    loans_swap(v, d.loans);
    at_instruction(v, d.offset, d.len);
    if (x->bounce_from)
        found_write(v, &x->found, x->bounce_from);
    if (x->bounce_locked)
        exclusive_end(v);
    x->bounce_locked = false;
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
