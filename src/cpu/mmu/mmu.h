/*
 * Guest linear addresses: translation through one or two stages, the tagged software TLBs that translated code
 * reads, and memory access for C code of the core.
 *
 * A struct tlb is one context: (level, VPID or ASID, PCID or CR3, EPTP or nCR3, user/supervisor, SMAP override,
 * paging-control bits, PKRU). Each vCPU has a handful; entering a context that is still here costs a pointer
 * switch. Translated code finds the arrays by GS and RSP: rtag/wtag hold minus the page's linear address (so that tag +
 * address is the offset in the page on a hit), radd/wadd the host page minus the linear page. Reads and writes have
 * entries of their own, so that copying between pages that share an index does not evict at each turn. Arrays are
 * separate because SIB scales by 8 at most. An empty tag at index i is tlb_empty(i): it belongs to a page that indexes
 * elsewhere, so no address, canonical or not, can hit it.
 */
#ifndef CPU_MMU_MMU_H
#define CPU_MMU_MMU_H

#include "cpu/core/access.h"
#include "cpu/core/fault.h"
#include "cpu/core/tunables.h"
#include "cpu/core/upcalls.h"
#include "cpu/core/vcpu.h"
#include "cpu/mmu/mode.h"

#define TLB_SIZE (1u << TLB_BITS)
#define JUMP_SIZE (1u << JUMP_BITS)
#define JUMP_VICTIMS (1u << (JUMP_VICTIM_LOW + JUMP_VICTIM_HIGH))
#define VICTIM_SIZE (1u << VICTIM_BITS)

struct tlb_key {
    u64 root;  /* CR3 page-table base, or PCID-independent identity: what makes the mapping */
    u64 nroot; /* EPTP or nCR3 while in L2 with a second stage, else 0 */
    u32 space; /* VPID or ASID; 0 for L1 */
    u16 pcid;
    u16 flags;   /* TLB_USER, TLB_AC, TLB_GUEST, ... and a digest of the paging-control bits */
    u32 control; /* digest of CR0.WP/PG, CR4.PSE/PAE/SMEP/SMAP/LA57/PKE, EFER.NXE/LMA */
    u32 pkru;
};

/* Contexts whose keys differ in one thing that instructions change all the time, and that know each other: translated
 * code goes from one to the other by itself (jit/brief.c). */
enum beside {
    BESIDE_CLAC, /* in supervisor mode under SMAP: RFLAGS.AC = 0 */
    BESIDE_STAC,
    BESIDE_CPL, /* CPL 3 and 0, without RFLAGS.AC */
    BESIDE_COUNT
};

/* Arrays lie so many entries apart, an odd number of cache lines: else the entries of one page, which an access looks
 * at together, would all be in one set of the host's caches. */
#define TLB_APART 136

/*
 * The return stack: what CALLs of translated code wait for, by the value of RSP. A return finds an entry by RSP behind
 * it, and a CALL the one above that of RSP behind its push, which is the same one; so nothing is ever in the first
 * entry for returns, which they find where the mask is 0 (request_raise). An entry holds as long as one of the jump
 * cache does. Entries that were emptied lead to what mmu_set_lost_return was given, which looks in the jump cache.
 */
#define RETURN_COUNT (1u << RETURN_BITS)
#define RETURN_MASK ((u64)(RETURN_COUNT - 1) << 3) /* vcpu.return_mask */
struct returns {
    u64 la[RETURN_COUNT + TLB_APART]; /* complement of the linear address behind the CALL */
    u64 host[RETURN_COUNT + 1];       /* where translated code goes on there, with the address in r11 */
};

struct tlb {
    /* reached by translated code by GS and RSP */
    u64 mapped_add[MAPPED_COUNT]; /* of users, and of L2's kernels: mmu/users.h */
    u64 rtag[TLB_SIZE + TLB_APART];
    u64 wtag[TLB_SIZE + TLB_APART];
    u64 radd[TLB_SIZE + TLB_APART];
    u64 wadd[TLB_SIZE + TLB_APART];
    u64 jtag[JUMP_SIZE + TLB_APART]; /* minus the linear address of a block's start */
    u64 jcode[JUMP_SIZE];            /* its far entry; means nothing while jtag does not match */
    u64 dtag[TLB_SIZE + TLB_APART];  /* wtag once more, of pages whose difference is `direct` */
    u64 jvtag[JUMP_VICTIMS];         /* victims of the jump cache, of jtag and jcode */
    u64 jvcode[JUMP_VICTIMS];
    u64 vrtag[VICTIM_SIZE]; /* the victim TLB, of rtag, wtag, radd, wadd */
    u64 vwtag[VICTIM_SIZE];
    u64 vradd[VICTIM_SIZE];
    u64 vwadd[VICTIM_SIZE];
    struct returns returns;
    u64 link[TLB_SIZE + TLB_APART]; /* of xtag's pages, for links between pages: number of the guest-physical page minus
                                       the page */
    /* C only, but for what brief instructions that change contexts read */
    u64 gs_base;              /* so that GS and the RSP of translated code make the context's address */
    struct user_space *users; /* what of it is mapped; NULL: nothing */
    u64 xtag[TLB_SIZE];       /* fetch permission: minus the page */
    u64 xgpa[TLB_SIZE];       /* guest-physical page of a fetch */
    /* Pages with code that may be written but not by way of wtag: data lies there, too. */
    u64 ctag[CODE_WRITES]; /* minus the page, CTAG_EMPTY */
    u64 cgpa[CODE_WRITES];
    bool has_ctag;
    struct tlb_key key;
    bool shared;                      /* of all address spaces: see may_share() */
    struct tlb_key of;                /* of the address space that a shared context serves; else key */
    u64 served;                       /* CR3 of that */
    struct tlb *beside[BESIDE_COUNT]; /* NULL: mmu_select finds it, or there is none */
    u64 direct;                       /* the difference, host minus linear, that most pages have: see direct_vote() */
    u32 votes;                        /* for it; 0 to DIRECT_SURE */
    u32 jmode;                        /* vcpu.mode that jtag/jcode were filled under */
    u32 filled;                       /* entries filled since the last flush; the first ones are listed */
    u16 filled_list[TLB_LISTED];
    u32 jfilled; /* the same of the jump cache */
    u16 jfilled_list[JUMP_LISTED];
    bool has_large;           /* entries from large pages, noted in `large` by region of 4 MiB or 1 GiB, */
    u64 large_from, large_to; /* which lie in this range */
    bool has_global;
    bool jvictims;          /* there were jumps put aside since they were emptied */
    bool victims;           /* there were some since it was emptied */
    bool fetch_lost;        /* fetch entries were replaced: jtag may know pages that xtag does not, */
    u64 lost_from, lost_to; /* in this range */
    /* Memory that others write without notice (mmu_foreign_event). Of entries for fetches since they were dropped: */
    bool in_place;      /* new code may come to such a page without a change of its mapping */
    bool doubted;       /* compare them before the context is used again */
    u32 foreign_events; /* those of the VM at which they were compared last, if in_place */
    u32 foreign_begins; /* those of the VM since which they were entered, if in_place */
    u32 compared;       /* pages compared since, without being entered anew */
    u32 fetched;        /* how many; the first ones are listed */
    u16 fetched_list[FETCH_LISTED];
    u64 large[2][4];
    u64 written[TLB_SIZE / 64]; /* filter over host pages with a write mapping */
};

#define CTAG_EMPTY 1ull

static inline u64 tlb_empty(u32 i)
{
    return -((u64)((i + TLB_SIZE / 2) % TLB_SIZE) << PAGE_SHIFT);
}

static inline u32 tlb_index(u64 la)
{
    return (la >> PAGE_SHIFT) % TLB_SIZE;
}

/*
 * The victim TLB: a page whose entry is taken by another one goes there. Its index is made of other bits of the address
 * (vcpu.victim_mask), because pages that are in use all the time and have one index are mostly far from each other:
 * what a kernel keeps of one CPU, as it sees it in its map of all memory and elsewhere; a program's stack and its heap.
 */
#define VICTIM_LOW 3 /* of its bits are the lowest of the page; the others lie above those of tlb_index */
#define VICTIM_SHIFT (PAGE_SHIFT + TLB_BITS)
#define VICTIM_MASK (((BIT64(VICTIM_LOW) - 1) << PAGE_SHIFT) | ((BIT64(VICTIM_BITS - VICTIM_LOW) - 1) << VICTIM_SHIFT))
static inline u32 victim_index(u64 la)
{
    u64 low = la >> PAGE_SHIFT & (BIT64(VICTIM_LOW) - 1);
    return (u32)(low | (la >> VICTIM_SHIFT << VICTIM_LOW)) % VICTIM_SIZE;
}

/* A tag that no address of the index matches. */
static inline u64 victim_empty(u32 k)
{
    return -((u64)((k + 2) % (1u << VICTIM_LOW)) << PAGE_SHIFT);
}

/* The bits of a linear address that make the jump cache index (vcpu.jump_mask): above the lowest two, as functions are
 * aligned and return addresses lie behind calls, most of which have five bytes. */
#define JUMP_SHIFT 2
#define JUMP_MASK ((JUMP_SIZE - 1ull) << JUMP_SHIFT)
static inline u32 jump_index(u64 la)
{
    return (la & JUMP_MASK) >> JUMP_SHIFT;
}

/* A tag that no address of the index matches. */
static inline u64 jump_empty(u32 i)
{
    return -((u64)((i + JUMP_SIZE / 2) % JUMP_SIZE) << JUMP_SHIFT);
}

/* The same of the victims of the jump cache (vcpu.jump_victim_mask). */
#define JUMP_VICTIM_LOW_SHIFT 4
#define JUMP_VICTIM_HIGH_SHIFT (JUMP_SHIFT + JUMP_BITS)
#define JUMP_VICTIM_MASK                                                                                               \
    (((BIT64(JUMP_VICTIM_LOW) - 1) << JUMP_VICTIM_LOW_SHIFT) |                                                         \
     ((BIT64(JUMP_VICTIM_HIGH) - 1) << JUMP_VICTIM_HIGH_SHIFT))
static inline u32 jump_victim_index(u64 la)
{
    u64 low = la >> JUMP_VICTIM_LOW_SHIFT & (BIT64(JUMP_VICTIM_LOW) - 1);
    return (u32)(low | (la >> JUMP_VICTIM_HIGH_SHIFT << JUMP_VICTIM_LOW)) % JUMP_VICTIMS;
}

static inline u64 jump_victim_empty(u32 k)
{
    return -((u64)((k + 1) % (1u << JUMP_VICTIM_LOW)) << JUMP_VICTIM_LOW_SHIFT);
}

/* Pages with a lower number may have an entry in `link`. Entries differ by less than TLB_SIZE pages if their indexes do
 * not, so that none fits a link to another page: see guard_of() in jit/block.c. */
#define LINK_PAGES (TLB_SIZE / 2ull * PAGE_SIZE)

/* Are the direct tags of the current context of use? */
bool mmu_is_direct(const struct vcpu *v);

/* The jump cache, for flat modes: finds the far entry of the block at a linear address, NULL if it is not there. One
 * that was put aside changes places with the one that took its entry. */
const u8 *jump_find(struct tlb *t, u64 la);
void jump_enter(struct tlb *t, u64 la, const u8 *code);
/* Where translated code goes on, as at a far entry, when a return hits an entry of the return stack that is empty. */
void mmu_set_lost_return(struct vcpu *v, const u8 *code);

/* Created with memory from the accelerator. Sets up the contexts. */
size_t mmu_size(void);
void mmu_init(struct vcpu *v, void *memory);

/*
 * Translates one linear address for `access` and sets accessed and dirty bits as the manual says. Fills no TLB.
 * On CPU_OK *gpa is the final guest-physical address (after the second stage). CPU_FAULT: #PF is in v->fault.
 * CPU_NESTED_EXIT: EPT violation or misconfiguration, or NPT fault; the exit is done.
 * Source: SDM vol. 3A "Paging"; APM vol. 2 "Page Translation and Protection", "Nested Paging".
 */
MUST_CHECK enum outcome mmu_translate(struct vcpu *v, u64 la, enum access access, gpa_t *gpa);

/* Raises #GP(0), or #SS(0) for a reference through SS, unless both ends of the range are canonical. mmu_fill and the
 * mem_ functions raise #GP(0) themselves. */
MUST_CHECK enum outcome mem_canonical(struct vcpu *v, u64 la, unsigned size, bool stack);

/* Instruction fetch: guest-physical address of `la`, cached in xtag/xgpa. */
MUST_CHECK enum outcome mmu_fetch(struct vcpu *v, u64 la, gpa_t *gpa);

/*
 * Memory access by linear address for C code, any size, page crossings and device memory included. A write touches
 * nothing unless all of it is permitted. Pages with translated code are invalidated as needed.
 * Alignment checking (#AC) is done here when CR0.AM, RFLAGS.AC and CPL 3 ask for it and access is not implicit.
 */
MUST_CHECK enum outcome mem_read(struct vcpu *v, u64 la, void *buf, unsigned size, enum access access);
MUST_CHECK enum outcome mem_write(struct vcpu *v, u64 la, const void *buf, unsigned size, enum access access);
/* An access of at most a page of memory: its one or two parts, one per page. Good until the vCPU may stop. */
struct part {
    u8 *host;              /* NULL: not RAM */
    struct ram_slot *slot; /* NULL: the TLB vouches for the access, or it is not RAM */
    gpa_t gpa;             /* unless the TLB does */
    unsigned size;
    bool apic_access; /* to the page of mmu_set_apic_access */
};
struct found {
    u64 la;
    struct part part[2];
};
/* Finds all faults of an access. found_read and found_write then move its bytes, which cannot fault: found_read leaves
 * if a device has no answer yet. What was found for writing may be read too. */
MUST_CHECK enum outcome mem_find(struct vcpu *v, u64 la, unsigned size, enum access access, struct found *f);
MUST_CHECK enum outcome found_read(struct vcpu *v, const struct found *f, void *buf);
void found_write(struct vcpu *v, const struct found *f, const void *buf);
/*
 * Slow path of translated code, for an access within a page: makes the TLB serve it if it can. *filled false on CPU_OK:
 * the page may be accessed but not through the TLB (device memory, write to ROM, translated code in it, data
 * breakpoint, alignment checking), and *f says where it is.
 */
MUST_CHECK enum outcome mem_fill(struct vcpu *v, u64 la, unsigned size, enum access access, struct found *f,
                                 bool *filled);
/* The same for a byte. */
MUST_CHECK enum outcome mmu_fill(struct vcpu *v, u64 la, enum access access, bool *filled);

/* Checks that a later mem_write of the range cannot fault. */
MUST_CHECK enum outcome mem_probe(struct vcpu *v, u64 la, unsigned size, enum access access);
/*
 * A pointer for up to `size` bytes at `la` that lie in one RAM page with the given access, or NULL in *host if it is
 * not plain RAM; *room is how many bytes to the end of the page. For string instructions.
 */
MUST_CHECK enum outcome mem_pointer(struct vcpu *v, u64 la, enum access access, void **host, u64 *room);

/*
 * Atomic compare-exchange of 1, 2, 4 or 8 bytes at a linear address (locked descriptor updates). *old returns what was
 * there.
 */
MUST_CHECK enum outcome mem_cmpxchg(struct vcpu *v, u64 la, u64 *old, u64 new_value, unsigned size, enum access access);

/* Physical access for VMCS, VMCB, MSR lists, bitmaps: never faults; outside RAM reads give ones, writes are dropped. */
void phys_read(struct vcpu *v, gpa_t gpa, void *buf, unsigned size);
void phys_write(struct vcpu *v, gpa_t gpa, const void *buf, unsigned size);
/* Bytes within one page were written by a host pointer of the caller. */
void phys_written(struct vcpu *v, gpa_t gpa, unsigned size);
static inline u64 phys_read_u64(struct vcpu *v, gpa_t gpa)
{
    u64 x;
    phys_read(v, gpa, &x, 8);
    return x;
}

/* For vCPUs with a dirty ring: a page became dirty. */
void mmu_dirtied(struct vcpu *v, const struct ram_slot *slot, gpa_t gpa);

/* The page of a slot that is logged is being written, or was. */
static inline void mark_dirty(struct vcpu *v, const struct ram_slot *slot, gpa_t gpa)
{
    if (ram_mark_dirty(slot, gpa) && v->ring)
        mmu_dirtied(v, slot, gpa);
}

/*
 * Bytes within one page of RAM were written past the TLB: the page is dirty, and translated code made from them is
 * invalid. Every write of the core that goes by a host pointer is followed by this.
 */
static inline void mem_written(struct vcpu *v, const struct ram_slot *slot, gpa_t gpa, u64 size)
{
    if (unlikely(slot->dirty))
        mark_dirty(v, slot, gpa);
    if (v->vm->vcpu_count > 1)
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* against a translator that flags the page, then reads it */
    if (unlikely(__atomic_load_n(ram_page_word(slot, gpa), __ATOMIC_RELAXED) & RAM_CODE))
        code_written(v->vm, v, slot, gpa, size);
}

/* Selects the TLB context that fits the current state (called by mode_update, MOV CR3, VM entry and exit...), has GS
 * base lead to it and empties its jump cache if v->mode changed. Cheap when nothing changed. */
void mmu_select_context(struct vcpu *v, bool mode_fresh /* v->mode and v->mode_crossed were made anew */);
static inline void mmu_select(struct vcpu *v)
{
    mmu_select_context(v, false);
}
/* Nothing but RFLAGS.AC, or nothing but CPL among 3 and 0, has changed since `from` was the current context: the two
 * know each other from now on. */
void mmu_beside(struct vcpu *v, struct tlb *from);
/* Is the user code of the current context executed elsewhere? Then SYSRET to it comes to C. */
void mmu_user_away(struct vcpu *v, bool away);
bool mmu_user_is_away(const struct vcpu *v);
/* The calling thread is going to run this vCPU: its GS base leads to the current context. */
void mmu_attach(struct vcpu *v);

/* Invalidations, of what the state of the vCPU is now: after a change of CR3 call mmu_select too. Each does what the
 * manual demands of the instruction it is named after, no more if cheap. */
void mmu_flush_all(struct vcpu *v);                       /* all contexts of this vCPU */
void mmu_flush_guests(struct vcpu *v);                    /* INVVPID 2: all VPIDs but 0 */
void mmu_flush_nonglobal(struct vcpu *v);                 /* MOV CR3 without bit 63: current space and PCID */
void mmu_flush_global(struct vcpu *v);                    /* CR4.PGE and others: current space, all PCIDs */
void mmu_flush_pcid(struct vcpu *v, u32 space, u16 pcid); /* INVPCID 1 */
void mmu_flush_page(struct vcpu *v, u32 space, bool all_pcids, u16 pcid, u64 la); /* INVLPG, INVPCID 0, INVVPID 0 */
void mmu_flush_space(struct vcpu *v, u32 space);                                  /* INVVPID 1 and 3, ASID flush */
void mmu_flush_nroot(struct vcpu *v, u64 nroot, bool all);                        /* INVEPT */
/* [exclusive] Takes write mappings of host memory away, in all contexts: its pages are to be noted when they are
 * written again. */
void mmu_protect(struct vcpu *v, const u8 *host, u64 size);
/* [exclusive] Forgets all that was translated: slots of RAM changed. */
void mmu_forget(struct vcpu *v);
/* Empties every jump cache of this vCPU (code cache flush). */
void mmu_flush_jumps(struct vcpu *v);

/* -- memory that others write without notice (vm.foreign): docs/ram.md -- */

/* The foreign_event of core/upcalls.h: code in memory where a mapping may get new code in place is compared now, or, if
 * somebody begins to write there, before it runs again. */
void mmu_foreign_event(struct vcpu *v, bool begins);
/* Has all code compared before it runs again, whatever its mapping. */
void mmu_foreign_doubt(struct vcpu *v);
/* Compares the code of the current context if an event asks for that: for REQ_FOREIGN, and for a context that is used
 * again. */
void mmu_foreign_look(struct vcpu *v);
/* The current context has an entry for fetches from such memory; in_place: of a mapping as above. Called before the
 * code is compared. */
void mmu_foreign_entered(struct vcpu *v, bool in_place);
/* An instruction serialises, and so the next ones are what memory holds: SDM vol. 3A "Handling Self- and
 * Cross-Modifying Code". */
static inline void mmu_serialise(struct vcpu *v)
{
    if (unlikely(v->vm->foreign))
        mmu_foreign_event(v, false);
}

/* -- for direct execution (table.c) -- */

/* A number that stays as long as the current context is the same one and nothing in it was invalidated; never 0. */
u64 mmu_epoch(const struct vcpu *v);

/* What maps the 2 MiB around a linear address, in IA-32e paging. */
struct leaf_table {
    const u64
        *entry; /* a table of 512 entries for a page each; NULL: `leaf` maps all of it, or a part of what it maps */
    u64 leaf;
    u8 shift;                /* of the page that `leaf` maps */
    bool user, write, fetch; /* what all levels above the entries, or all levels, permit */
};
/* Finds it without any effect. False: there is nothing, or an accessed bit is clear. */
bool leaf_table_find(struct vcpu *v, u64 la, struct leaf_table *t);

/* What a user's access to a page needs no walk for. */
struct user_page {
    struct ram_slot *slot; /* good until the vCPU may stop */
    gpa_t gpa;             /* of the page */
    bool write, fetch;     /* it may be written, or executed; its dirty bits are set */
};
/* Finds that of a page by its entry in the table, which may also be t->leaf; `fetch`: executing it is of interest.
 * False: not even reading, or it is no RAM. */
bool user_page_find(struct vcpu *v, const struct leaf_table *t, u64 la, u64 entry, bool fetch, struct user_page *p);
/* The same of an access of supervisor mode to a global page that is not a user's, with CR0.WP set. */
bool global_page_find(struct vcpu *v, const struct leaf_table *t, u64 la, u64 entry, struct user_page *p);
/* Registers this vCPU as one that writes to the page past all checks, as an entry of the TLB is. False: it must not. */
bool page_writer(struct vcpu *v, const struct ram_slot *slot, gpa_t gpa);

/* PAE: loads pdpte[] from CR3; #GP(0) if reserved bits are set. Nothing to do under NPT, where walks read them. */
MUST_CHECK enum outcome mmu_load_pdptes(struct vcpu *v, u64 cr3);

/* The current second stage and space, set by VM entry and exit. Takes effect on the TLB at the next mmu_select. */
enum stage2 { STAGE2_NONE, STAGE2_EPT, STAGE2_NPT };
void mmu_set_stage2(struct vcpu *v, enum stage2 kind, u64 root /* EPTP or nCR3 */, u32 space /* VPID or ASID */);
/* L2: accesses to this page of L1's memory go to nested_ops.apic_access. mmu_set_stage2 takes it back. The caller has
 * invalidated what was translated without it. */
#define NO_APIC_ACCESS (~0ull)
void mmu_set_apic_access(struct vcpu *v, u64 page);
/* NPT uses L1's paging control bits (hCR0, hCR4, hEFER) for the nested walk. */
void mmu_set_npt_control(struct vcpu *v, u64 hcr0, u64 hcr4, u64 hefer);

#endif
