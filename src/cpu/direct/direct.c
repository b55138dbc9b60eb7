/*
 * From the vCPU into a process and back: which states a process can have, and what becomes of a stop.
 *
 * Whatever stops guest code, the process's registers are those before the instruction, or are made so; then the
 * translator executes that one instruction, with all that the guest can see of it. So there is no second description
 * of what a system call, a fault or an interrupt does.
 */
#include "cpu/direct/direct.h"

#include "cpu/core/copy.h"
#include "cpu/core/fault.h"
#include "cpu/core/nested.h"
#include "cpu/core/stats.h"
#include "cpu/core/vectors.h"
#include "cpu/core/world.h"
#include "cpu/direct/space.h"
#include "cpu/direct/when.h"
#include "cpu/event/exception.h"
#include "cpu/event/lapic.h"
#include "cpu/insn/x87.h"
#include "cpu/jit/exec.h"
#include "cpu/mmu/segment.h"
#include "cpu/mmu/walk.h"
#include "x86/msr.h"
#include "x86/xsave.h"

/* Selectors of a user of Linux. Those of the process are the same, and so are the descriptors. */
#define USER_CS32 0x23
#define USER_DS 0x2b
#define USER_CS 0x33
#define BASE_END 0x7fffffff0000ull /* the host takes no higher FS and GS bases */

#define FLAGS_KEPT (FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_AC | FLAG_ID)

size_t direct_size(void)
{
    return sizeof(struct direct);
}

static u64 xcr0_of_host(void)
{
    u32 a, d;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a | (u64)d << 32;
}

void direct_attach(struct vcpu *v, void *memory)
{
    struct direct *d = v->direct_spaces = memory;
    d->regions.region = d->region;
    d->regions.most = DIRECT_REGIONS;
    d->host_xcr0 = xcr0_of_host();
    d->cost_ns = DIRECT_COST_NS;
}

void direct_detach(struct vcpu *v)
{
    for (u32 i = 0; i < DIRECT_SPACES; i++)
        space_stop(v, &v->direct_spaces->space[i]);
}

void direct_doubt(struct vcpu *v)
{
    v->direct_spaces->generation = ~v->vm->direct_notes.generation;
}

void direct_rest(struct vcpu *v)
{
    struct direct *d = v->direct_spaces;
    if (!d || !d->ran)
        return;
    d->ran = false;
    vector_save(v);
    v->vm->host->direct->rest();
}

/* -- can a process have this state? -- */

/* Reads memory of supervisor mode. In L2 a plain read may end in a VM exit that no instruction causes. */
static bool peek(struct vcpu *v, u64 la, void *to, unsigned size)
{
    u64 gpa;
    if (!v->in_guest)
        return mem_read(v, la, to, size, ACCESS_READ | ACCESS_IMPLICIT) == CPU_OK;
    if ((la & PAGE_MASK) + size > PAGE_SIZE || !walk_peek(v, la, &gpa))
        return false;
    const u8 *from = vcpu_ram(v, GPA(gpa));
    if (from)
        copy_bytes(to, from, size);
    return from;
}

/* Do the guest's descriptors mean what the host's do? */
static bool same_descriptors(struct vcpu *v)
{
    const u64 kept = ~(0xfull << 48 | BIT64(40)); /* but for limit 19:16 and the accessed bit */
    static const u64 wanted[3] = {0x00c0fa000000ffff, 0x00c0f2000000ffff, 0x00a0fa000000ffff};
    u64 d[3];
    if (v->gdtr.limit < USER_CS32 / 8 * 8 + sizeof d - 1 || !peek(v, v->gdtr.base + USER_CS32 / 8 * 8, d, sizeof d))
        return false;
    for (u32 i = 0; i < 3; i++)
        if ((d[i] ^ wanted[i]) & kept || (d[i] >> 48 & 0xf) != 0xf)
            return false;
    return true;
}

static bool is_selector(u16 sel)
{
    return !sel || sel == USER_DS;
}

static bool same_selectors(const struct vcpu *v)
{
    return v->seg[SEG_CS].sel == USER_CS && v->seg[SEG_SS].sel == USER_DS && is_selector(v->seg[SEG_DS].sel) &&
           is_selector(v->seg[SEG_ES].sel) && !v->seg[SEG_FS].sel && !v->seg[SEG_GS].sel &&
           v->seg[SEG_FS].base < BASE_END && v->seg[SEG_GS].base < BASE_END;
}

/* Could a process have the state but for what decides page by page? */
static bool is_fit(struct vcpu *v)
{
    const struct direct *d = v->direct_spaces;
    const u64 ours = XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512;
    u32 mode = MODE_64 | MODE_FLAT | MODE_PROT | MODE_USER | MODE_X87 | MODE_SSE;
    mode |= d->host_xcr0 & XCR0_AVX ? MODE_AVX : 0;
    mode |= (d->host_xcr0 & XCR0_AVX512) == XCR0_AVX512 ? MODE_AVX512 : 0;
    if ((v->mode & ~(MODE_TSC | MODE_BASES | MODE_GUEST | MODE_MAPPED)) != mode || v->ram != v->vm->ram ||
        v->debug_steps || v->debug_breaks || v->debugctl & DEBUGCTL_BTF)
        return false;
    if (v->in_guest && !v->nested->user_is_plain(v))
        return false;
    if ((v->flags & (FLAG_IF | FLAG_IOPL | FLAG_VIF | FLAG_VIP)) != FLAG_IF)
        return false;
    if ((v->flags & FLAG_AC && !(v->cr0 & CR0_AM)) || !(v->cr4 & CR4_FSGSBASE) || !(v->efer & EFER_SCE))
        return false;
    return (v->xcr0 & ours) == (d->host_xcr0 & ours) && v->rip >> 47 == 0 && same_selectors(v) && same_descriptors(v);
}

/* -- registers -- */

static void regs_to(const struct vcpu *v, struct direct_regs *r)
{
    copy_bytes(r->gpr, v->gpr, sizeof r->gpr);
    r->rip = v->rip;
    r->flags = rflags_get(v) & ~FLAG_RF;
    r->fs_base = v->seg[SEG_FS].base;
    r->gs_base = v->seg[SEG_GS].base;
    r->cs = v->seg[SEG_CS].sel;
    r->ss = v->seg[SEG_SS].sel;
    r->ds = v->seg[SEG_DS].sel;
    r->es = v->seg[SEG_ES].sel;
    r->fs = r->gs = 0;
}

/* A segment register that user code loaded, from a descriptor that is the same in the guest and on the host. */
static void segment_loaded(struct vcpu *v, unsigned seg, u16 sel)
{
    struct descriptor d;
    bool found = false;
    if (v->seg[seg].sel == sel)
        return;
    if (descriptor_find(v, sel, &d, &found) == CPU_OK && found)
        v->seg[seg] = segment_from(sel, &d);
    else
        v->seg[seg] = (struct segment){.sel = sel, .attr = SEG_UNUSABLE};
}

static void regs_from(struct vcpu *v, const struct direct_regs *r)
{
    copy_bytes(v->gpr, r->gpr, sizeof r->gpr);
    v->rip = r->rip;
    segment_loaded(v, SEG_DS, r->ds);
    segment_loaded(v, SEG_ES, r->es);
    segment_loaded(v, SEG_FS, r->fs);
    segment_loaded(v, SEG_GS, r->gs);
    v->seg[SEG_FS].base = r->fs_base;
    v->seg[SEG_GS].base = r->gs_base;
    bool code = r->cs != v->seg[SEG_CS].sel || r->ss != v->seg[SEG_SS].sel;
    segment_loaded(v, SEG_CS, r->cs);
    segment_loaded(v, SEG_SS, r->ss);
    rflags_set(v, (r->flags & FLAGS_KEPT) | FLAG_IF | FLAG_ONE);
    if (unlikely(code))
        mode_update(v);
}

/* The process gets the vCPU's vector state, unless it has it. Host addresses of translated code, which FIP may be, do
 * not leave the engine. */
static bool vectors_to(struct vcpu *v, struct space *s)
{
    u64 fip, fdp;
    __builtin_memcpy(&fip, v->vectors + FXSAVE_FIP, 8);
    __builtin_memcpy(&fdp, v->vectors + FXSAVE_FDP, 8);
    if (fip | fdp) {
        x87_pointers(v, fip, fdp, &fip, &fdp);
        __builtin_memcpy(v->vectors + FXSAVE_FIP, &fip, 8);
        __builtin_memcpy(v->vectors + FXSAVE_FDP, &fdp, 8);
        v->fip_loaded = fip;
        v->fdp_loaded = fdp;
    }
    const u64 *a = (const u64 *)v->vectors, *b = (const u64 *)s->vectors;
    u64 differ = !s->vectors_known;
    for (u32 i = 0; i < sizeof s->vectors / 8 && !differ; i++)
        differ = a[i] ^ b[i];
    if (!differ)
        return true;
    v->stat[STAT_DIRECT_VECTORS]++;
    s->vectors_known = false;
    return v->vm->host->direct->vectors_set(s->process, v->vectors, sizeof v->vectors);
}

static bool vectors_from(struct vcpu *v, struct space *s)
{
    if (!v->vm->host->direct->vectors_get(s->process, v->vectors, sizeof v->vectors))
        return false;
    __builtin_memcpy(&v->fip_loaded, v->vectors + FXSAVE_FIP, 8);
    __builtin_memcpy(&v->fdp_loaded, v->vectors + FXSAVE_FDP, 8);
    copy_bytes(s->vectors, v->vectors, sizeof s->vectors);
    s->vectors_known = true;
    return true;
}

/* -- stops -- */

static bool byte_is(struct vcpu *v, u64 la, u8 value)
{
    u8 byte;
    return mem_read(v, la, &byte, 1, ACCESS_READ | ACCESS_UNCHECKED) == CPU_OK && byte == value;
}

/* Where the INT3 before RIP begins: CC, or CD 03. Another vCPU may have written there since: then what is there now is
 * executed in place of a CC. */
static u64 int3_start(struct vcpu *v)
{
    return v->rip - (byte_is(v, v->rip - 1, 3) && byte_is(v, v->rip - 2, 0xcd) ? 2 : 1);
}

/* The same of an INT1. Where the host is a virtual machine itself, RIP may still be that of the instruction. */
static u64 int1_start(struct vcpu *v)
{
    return v->rip - (byte_is(v, v->rip - 1, 0xf1) ? 1 : 0);
}

/* The vCPU has the registers of where guest code stopped. Returns true if what stopped it has been done; false if
 * translated code is to go on: faults of a kind come together, and unfit pages have more than one instruction. */
static bool stopped(struct vcpu *v, enum direct_stop stop)
{
    switch (stop) {
    case DIRECT_SYSCALL:
        v->stat[STAT_DIRECT_SYSCALL]++;
        v->rip -= 2;
        break;
    case DIRECT_BREAKPOINT:
        v->stat[STAT_DIRECT_OTHER]++;
        v->rip = int3_start(v);
        break;
    case DIRECT_INT1:
        v->stat[STAT_DIRECT_OTHER]++;
        v->rip = int1_start(v);
        break;
    case DIRECT_STEPPED:
        v->stat[STAT_DIRECT_OTHER]++;
        v->trap_pending = true;
        v->trap_dr6 |= DR6_BS;
        return true;
    case DIRECT_PAGE_FAULT: return false;
    case DIRECT_FAULT: v->stat[STAT_DIRECT_OTHER]++; return false;
    case DIRECT_TRAPPED: v->stat[STAT_DIRECT_TRAPPED]++; break;
    default: v->stat[STAT_DIRECT_KICK]++; return true;
    }
    v->stat[STAT_DIRECT_STEP]++;
    execute_one(v);
    return true;
}

/* -- turns of a process -- */

/* Guest code runs until it stops for something that mapping a page does not settle. */
static enum direct_stop run(struct vcpu *v, struct space *s, struct direct_regs *r, struct turn *t)
{
    const struct cpu_direct_host *host = v->vm->host->direct;
    struct direct *d = v->direct_spaces;
    for (;;) {
        u64 la = 0;
        space_refresh(v, s);
        if (!space_flush(v, s) || !space_traps(v, s) || !space_tsc(v, s))
            return DIRECT_KICKED;
        v->stat[STAT_DIRECT_RUN]++;
        v->stat[STAT_DIRECT_RUN_L2] += v->in_guest;
        u64 from = tsc_host(), changes_before, changes, used = host->used(s->process, &changes_before);
        d->ran = true;
        enum direct_stop stop = host->run(s->process, r, &v->request, &la);
        u64 ticks = tsc_host() - from, ns = when_ns(v, ticks);
        if (stop != DIRECT_KICKED && ns < d->cost_ns) /* if it was kicked, perhaps before it began */
            d->cost_ns = ns;
        t->ran_ns += (s64)(host->used(s->process, &changes) - used);
        u64 changed = (changes - changes_before) * (v->vm->tsc_khz / 1000) / 1000;
        t->ticks += ticks - (changed < ticks ? changed : ticks);
        t->stops++;
        t->calls += stop == DIRECT_SYSCALL;
        if (stop == DIRECT_UNFIT && t->stops > 1) { /* code has run, and *r is what it left */
            s->broken = true;
            return DIRECT_KICKED;
        }
        if (stop != DIRECT_PAGE_FAULT)
            return stop;
        v->stat[STAT_DIRECT_FAULT]++;
        d->fault_la = la;
        d->fault_fetch = la - r->rip < 16 || la >> PAGE_SHIFT == r->rip >> PAGE_SHIFT;
        if (v->request || !space_map(v, s, la, d->fault_fetch)) {
            space_flush(v, s); /* what it has taken away: the queue is of all spaces */
            return stop;
        }
        d->fault_la = 0;
    }
}

/* Takes what the last fault needed the translator for along, so that it does not fault again. */
static bool prepare(struct vcpu *v, struct space *s)
{
    struct direct *d = v->direct_spaces;
    space_refresh(v, s);
    if (d->fault_la)
        space_map(v, s, d->fault_la, d->fault_fetch);
    d->fault_la = 0;
    if (space_flush(v, s) && vectors_to(v, s))
        return true;
    space_stop(v, s);
    when_give_up(v, s);
    return false;
}

/* The space of the vCPU's user code, if it is one to execute elsewhere. */
static struct space *space_away(struct vcpu *v)
{
    struct direct *d = v->direct_spaces;
    bool on = v->vm->direct == CPU_DIRECT_ON;
    if (v->cpl != 3)
        return NULL;
    mmu_select(v);
    if (!on && likely(!mmu_user_is_away(v)) && likely(!when_sample(v)))
        return NULL;
    if (unlikely(d->generation != v->vm->direct_notes.generation)) {
        direct_detach(v);
        d->generation = v->vm->direct_notes.generation;
    }
    struct space *s = on ? space_find(v) : when_space(v);
    if (!on)
        mmu_user_away(v, s->direct);
    return on || s->direct ? s : NULL;
}

/* Makes the process ready but for registers. */
static bool begin(struct vcpu *v, struct space *s)
{
    struct direct *d = v->direct_spaces;
    /* A process has a PKRU of its own, which is not the guest's. */
    d->xsave = v->xcr0 != d->host_xcr0 || v->xcr0 & XCR0_PKRU;
    vector_save(v);
    return space_start(v, s) && prepare(v, s);
}

/* Executes user code until something stops it, and what that was. False: translated code is to go on. */
static bool go(struct vcpu *v, struct space *s)
{
    struct direct_regs r;
    struct turn t = {0};
    u64 from = tsc_host();
    if (!begin(v, s)) {
        when_account(v, s, from, &t);
        return false;
    }
    regs_to(v, &r);
    s->unfit_ns -= s->unfit_ns < DIRECT_TRAPS_NS ? s->unfit_ns : DIRECT_TRAPS_NS;
    s->trapped -= s->trapped > 0;
    enum direct_stop stop = run(v, s, &r, &t);
    bool lost = stop == DIRECT_LOST || (stop != DIRECT_UNFIT && !vectors_from(v, s));
    when_account(v, s, from, &t);
    if ((stop == DIRECT_TRAPPED || stop == DIRECT_FAULT) && !lost)
        space_trapped(v, s, r.rip);
    bool done = lost;
    if (stop != DIRECT_UNFIT && !lost) {
        regs_from(v, &r);
        done = stopped(v, stop);
    }
    if (lost)
        v->exit = CPU_EXIT_SHUTDOWN;
    if (s->broken || lost || stop == DIRECT_UNFIT) {
        space_stop(v, s);
        when_give_up(v, s);
    }
    return done;
}

/* Translated code that began in an unfit page leaves to C. */
static void unfit_end(struct vcpu *v)
{
    struct direct *d = v->direct_spaces;
    u64 ns = when_ns(v, tsc_host() - d->unfit_from);
    d->unfit_from = 0;
    space_unfit_cost(d->unfit_of, ns);
}

bool direct_execute(struct vcpu *v)
{
    struct direct *d = v->direct_spaces;
    if (unlikely(d->unfit_from))
        unfit_end(v);
    if (unlikely(v->vm->direct_notes.ended && !d->refused)) {
        direct_detach(v);
        d->refused = true;
    }
    if (d->refused)
        return false;
    struct space *s = space_away(v);
    if (!s)
        return false;
    if (!is_fit(v)) {
        when_give_up(v, s);
        return false;
    }
    if (!space_unfit(v, s, v->rip)) {
        if (go(v, s))
            return true;
        if (!space_unfit(v, s, v->rip))
            return false;
    } else {
        when_unfit(v, s);
    }
    if (space_trap(v, s, v->rip))
        return true;
    d->unfit_from = tsc_host();
    d->unfit_of = s;
    return false;
}
