/*
 * Private to the MMU's files: struct mmu, the TLB contexts and the second-stage TLBs of one vCPU.
 *
 * Contexts live in lazily touched memory of the accelerator and are found by key. Flushing a context only forgets it;
 * its arrays are emptied when the slot is used again, entry by entry if few were filled. Everything here is touched
 * by the vCPU's own thread, or by another one that holds the exclusive section.
 */
#ifndef CPU_MMU_TLB_H
#define CPU_MMU_TLB_H

#include "cpu/core/upcalls.h"
#include "cpu/mmu/mmu.h"
#include "x86/msr.h"

/* tlb_key.flags */
#define TLB_USER BIT(0)  /* CPL 3 */
#define TLB_AC BIT(1)    /* CPL 0-2: SMAP is overridden. CPL 3: alignment is checked, nothing is filled */
#define TLB_GUEST BIT(2) /* L2 */
#define TLB_SMM BIT(3)   /* RAM is that of address space 1 */

/* tlb_key.pcid of contexts that address spaces share. */
#define PCID_SHARED 0xffffu

#define STAGE2_LARGE_SHIFT 21

struct stage2_entry {
    u64 tag; /* ngpa page | GRANT_*, in `large` of a page of 2 MiB */
    u64 gpa; /* page */
};

struct stage2_tlb {
    struct stage2_entry entry[STAGE2_SIZE];
    struct stage2_entry large[STAGE2_LARGE]; /* from large pages: they reach farther */
    enum stage2 kind;                        /* STAGE2_NONE: unused */
    u64 root;
    u32 space; /* ASID; 0 for EPT, whose translations VPIDs share */
    u64 used;
};

/* A context that was selected, and what its key was made of besides CPL and vcpu.in_guest, which say where it stands
 * in mmu.choice. */
struct tlb_choice {
    struct tlb *tlb; /* NULL: none */
    u64 cr0, cr3, cr4, efer, flags, root;
    const struct ram_space *ram;
    u32 pkru, space;
};

struct mmu {
    struct tlb_key key[TLB_CONTEXTS];
    u64 used[TLB_CONTEXTS];
    u64 epoch[TLB_CONTEXTS]; /* how often something in it was invalidated, or it was made for another key */
    u64 clock;
    u32 valid;   /* bit per context */
    u32 touched; /* contexts whose arrays were ever initialised */
    u32 parted;  /* those of one address space that could not share: mmu_part */
    u32 away;    /* those whose user code is not translated now: mmu_user_away */
    u8 hint[TLB_HINTS];

    enum stage2 kind;
    u64 root;
    u32 space;
    struct tlb_choice choice[8]; /* by vcpu.in_guest, CPL 3, and RFLAGS.AC */
    u64 next_fill[2];            /* page behind the last one that was filled for reading, for writing */
    u64 lost_return;             /* mmu_set_lost_return */
    u64 direct;                  /* for new contexts: that of the last vote */
    struct stage2_tlb *stage2;   /* current one, NULL while kind is STAGE2_NONE */
    u64 npt_control;             /* digest of mmu_set_npt_control */
    u64 apic_access;             /* that of mmu_set_apic_access */

    /* DR0-3 and DR7 for which no page with a data breakpoint is in any context. */
    u64 watch_dr[4], watch_dr7;

    u64 empty[TLB_SIZE];       /* tlb_empty(i) */
    u64 jump_empty[JUMP_SIZE]; /* the same for jtag */
    u64 victim_empty[VICTIM_SIZE];
    u64 jump_victim_empty[JUMP_VICTIMS];
    struct stage2_tlb stage2_tlb[STAGE2_CONTEXTS];
    struct tlb tlb[TLB_CONTEXTS] __attribute__((aligned(64)));
};

/* By field: wider loads would wait for the narrow stores of key_now. */
static inline bool key_equal(const struct tlb_key *a, const struct tlb_key *b)
{
    return !((a->root ^ b->root) | (a->nroot ^ b->nroot) | (a->space ^ b->space) | (a->control ^ b->control) |
             (a->pkru ^ b->pkru) | (u32)((a->pcid ^ b->pcid) | (a->flags ^ b->flags)));
}

static inline unsigned tlb_number(const struct mmu *m, const struct tlb *t)
{
    return (unsigned)(t - m->tlb);
}

/* Do the guest's tables alone say where a page lies? */
static inline bool mmu_is_simple(const struct vcpu *v)
{
    return v->mmu->kind == STAGE2_NONE && v->mmu->apic_access == NO_APIC_ACCESS;
}

/* What mmu_epoch returns while this context is the current one. */
static inline u64 context_epoch(const struct mmu *m, u32 i)
{
    return m->epoch[i] * TLB_CONTEXTS + i + 1;
}

/* Where in the page `la` lies if `tag` is that of its page; PAGE_SIZE or more if not. */
static inline u64 tlb_offset(u64 tag, u64 la)
{
    return tag + la;
}

static inline bool tlb_hit(u64 tag, u64 la, u64 size)
{
    u64 offset = tlb_offset(tag, la);
    return offset < PAGE_SIZE && offset + size <= PAGE_SIZE;
}

/* Large pages are noted by region, so that INVLPG finds the entries that were made from the same one. */
static inline u32 large_bit(u64 la, unsigned shift)
{
    return (u32)(((la >> shift) * 0x9e3779b97f4a7c15ull) >> 56);
}

static inline u32 written_bit(u64 host)
{
    return (host >> PAGE_SHIFT) % TLB_SIZE;
}

/* Linear addresses are 32 bits wide outside IA-32e mode. */
static inline u64 linear(const struct vcpu *v, u64 la)
{
    return in_long_mode(v) ? la : (u32)la;
}

/* The page of the local APIC's registers, in xAPIC mode. */
static inline bool mem_is_apic(const struct vcpu *v, gpa_t gpa)
{
    return !((v->apic_base ^ gpa.a) & ~PAGE_MASK) && (v->apic_base & (APIC_BASE_EN | APIC_BASE_EXTD)) == APIC_BASE_EN &&
           v->vm->apics != CPU_APICS_CALLER;
}

/* The page of VMX's "virtualize APIC accesses", to which the TLB has no entries. */
static inline bool mem_is_apic_access(const struct vcpu *v, gpa_t gpa)
{
    return unlikely(!((v->mmu->apic_access ^ gpa.a) & ~PAGE_MASK));
}

/*
 * Kernels map all of memory at one distance, so most of their data pages have the same host-minus-linear difference.
 * Pages with it have direct tags, by which translated code of supervisor mode checks an access without waiting for the
 * difference to be loaded from a place that depends on the address: docs/engine.md "Memory". Reads and writes have one
 * such tag, of an entry for writing: kernels write to nearly all data that they read, and what may be written may be
 * read, watched and read-only pages having no such entry. Two tags would take twice as much of the host's caches.
 */
static inline void read_drop(struct tlb *t, u32 i)
{
    t->rtag[i] = tlb_empty(i);
}

static inline void write_drop(struct tlb *t, u32 i)
{
    t->wtag[i] = t->dtag[i] = tlb_empty(i);
}

static inline void fetch_drop(struct tlb *t, u32 i)
{
    t->xtag[i] = t->link[i] = tlb_empty(i);
}

/* The page with this tag is about to take the entry. If another one has it, that becomes a victim. */
static inline void put_aside(struct tlb *t, u32 i, u64 tag, bool write)
{
    u64 old = write ? t->wtag[i] : t->rtag[i];
    if (old == tag || old == tlb_empty(i))
        return;
    u32 k = victim_index(-old);
    (write ? t->vwtag : t->vrtag)[k] = old;
    (write ? t->vwadd : t->vradd)[k] = write ? t->wadd[i] : t->radd[i];
    t->victims = true;
}

static inline void read_enter(struct tlb *t, u32 i, u64 tag, u64 add)
{
    put_aside(t, i, tag, false);
    t->radd[i] = add;
    t->rtag[i] = tag;
}

static inline void write_enter(struct tlb *t, u32 i, u64 tag, u64 add)
{
    put_aside(t, i, tag, true);
    t->wadd[i] = add;
    t->wtag[i] = tag;
    t->dtag[i] = add == t->direct ? tag : tlb_empty(i);
}

static inline u32 ctag_index(u64 la)
{
    return (la >> PAGE_SHIFT) % CODE_WRITES;
}

static inline void ctags_drop(struct tlb *t)
{
    for (u32 i = 0; t->has_ctag && i < CODE_WRITES; i++)
        t->ctag[i] = CTAG_EMPTY;
    t->has_ctag = false;
}

/* A page with this difference comes in: the direct difference follows the majority. */
void direct_vote(struct vcpu *v, struct tlb *t, u64 add);

static inline void copy_words(u64 *dst, const u64 *src, size_t n)
{
    __asm__ volatile("rep movsq" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
}

/* Empties the jump cache and the return stack. (jumps.c) */
void jumps_empty(struct mmu *m, struct tlb *t);
/* Drops what they have for code in [start, start + size). */
void jumps_drop(const struct mmu *m, struct tlb *t, u64 start, u64 size);

/*
 * A page that is not global is about to enter a shared context. If that is the current one, the address space gets a
 * context of its own, which becomes current and is returned; else NULL.
 */
struct tlb *mmu_part(struct vcpu *v, struct tlb *t);

/* Widens a range of addresses, which is empty if *any is not set. */
static inline void range_add(bool *any, u64 *from, u64 *to, u64 la)
{
    *from = *any && *from < la ? *from : la;
    *to = *any && *to > la ? *to : la;
    *any = true;
}

/* The context that serves `access` on this vCPU now, or NULL. */
struct tlb *tlb_for(struct vcpu *v, enum access access);

struct walk;
/* Makes an entry of `t` from a walk. False: the page must not be reached through the TLB in this way. */
bool tlb_enter(struct vcpu *v, struct tlb *t, u64 la, enum access access, const struct walk *w);
/* A walk led to `gpa` for an access within the page, which must go past the TLB. (access.c) */
MUST_CHECK enum outcome found_set(struct vcpu *v, u64 la, unsigned size, enum access access, gpa_t gpa,
                                  struct found *f);
void tlb_enter_fetch(const struct vcpu *v, struct tlb *t, u64 la, const struct walk *w);

/* Data breakpoints that are enabled somewhere in [la, la + size), as bits of DR6: the guest's, and those of a debugger
 * outside of it. */
static inline bool watch_armed(const struct vcpu *v)
{
    return (v->dr7 | v->debug.dr7) & DR7_ENABLED;
}
u64 watch_guest(const struct vcpu *v, u64 la, unsigned size, bool write);
u64 watch_debugger(const struct vcpu *v, u64 la, unsigned size, bool write);

#endif
