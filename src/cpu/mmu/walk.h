/*
 * Private to the MMU's files: one walk of the guest's paging structures. (walk.c, stage2.c)
 */
#ifndef CPU_MMU_WALK_H
#define CPU_MMU_WALK_H

#include "cpu/core/nested.h"
#include "cpu/mmu/mmu.h"

/* What a successful walk found. */
struct walk {
    gpa_t gpa; /* of the byte, after the second stage */
    u8 shift;  /* size of the guest's page, as a power of two */
    bool global;
    bool user;        /* a page of user mode */
    bool write;       /* a write is permitted too and the dirty bits are set: no further walk is needed for it */
    u64 address;      /* of the page before the second stage */
    const u64 *entry; /* of 8 bytes that maps it, as `leaf` says; NULL: not known */
    u64 leaf;
    bool in_large; /* walk_next found it in a large page of the second stage, with the same rights all over */
};

/*
 * Translates `la`, which is canonical, and sets accessed and dirty bits. With CPU_FAULT the page fault is in v->fault;
 * with CPU_NESTED_EXIT the exit is done.
 */
MUST_CHECK enum outcome walk_linear(struct vcpu *v, u64 la, enum access access, struct walk *w);
/*
 * Moves *w from one page to the next, if that is mapped with the same rights by the same large page or the same table,
 * and all accessed and dirty bits that the access sets are set. Has no effect that a processor's prefetch of
 * translations may not have. False: only another walk can find out.
 */
bool walk_next(struct vcpu *v, enum access access, struct walk *w);

/* Where in L1's RAM a linear address lies, for the owner of the vCPU: no fault, no exit, and nothing changes. False:
 * nowhere. (peek.c) */
bool walk_peek(struct vcpu *v, u64 la, u64 *gpa);

/* Why an L2-physical address is being translated; goes into the report if that fails. */
struct stage2_reason {
    u64 la;
    bool la_valid;
    bool final;
    u8 la_flags; /* LA_* of the page of la, if final */
};
#define LA_USER BIT(0)
#define LA_WRITABLE BIT(1)
#define LA_NX BIT(2)

/* Second stage of the running L2, through its TLB. CPU_NESTED_EXIT: L1 was told. */
MUST_CHECK enum outcome stage2_translate(struct vcpu *v, ngpa_t ngpa, enum access access,
                                         const struct stage2_reason *why, gpa_t *gpa);
/* The same, of a user-mode page, without a fault or an exit: false if it needs either, or a dirty bit. *in_large: by an
 * entry of a large page, whose rights are the same all over. */
bool stage2_peek(struct vcpu *v, ngpa_t ngpa, enum access access, gpa_t *gpa, bool *in_large);
/* Returns true if a write to the page would need no walk of the second stage. */
bool stage2_writable(const struct vcpu *v, ngpa_t ngpa);
/* The kind of access by which the processor reads the guest's paging structures. */
enum access stage2_table_access(const struct vcpu *v);
/* Forgets what the second-stage TLBs know for an ASID, or for an EPTP or nCR3. */
void stage2_flush_space(struct vcpu *v, u32 space);
void stage2_flush_root(struct vcpu *v, u64 root, bool all);

#endif
