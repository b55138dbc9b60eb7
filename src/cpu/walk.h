/*
 * Private to the MMU's files: one walk of the guest's paging structures. (walk.c, stage2.c)
 */
#ifndef CPU_WALK_H
#define CPU_WALK_H

#include "cpu/mmu.h"
#include "cpu/nested.h"

/* What a successful walk found. */
struct walk {
    gpa_t gpa;   /* of the byte, after the second stage */
    u8 shift;    /* size of the guest's page, as a power of two */
    bool global;
    bool write;  /* a write is permitted too and the dirty bits are set: no further walk is needed for it */
};

/*
 * Translates `la`, which is canonical, and sets accessed and dirty bits. With CPU_FAULT the page fault is in v->fault; with
 * CPU_NESTED_EXIT the exit is done.
 */
MUST_CHECK enum outcome walk_linear(struct vcpu *v, u64 la, enum access access, struct walk *w);

/* Why an L2-physical address is being translated; goes into the report if that fails. */
struct stage2_reason {
    u64 la;
    bool la_valid;
    bool final;
    u8 la_flags; /* as stage2_fault.la_flags */
};
#define LA_USER BIT(0)
#define LA_WRITABLE BIT(1)
#define LA_NX BIT(2)

/* Second stage of the running L2, through its TLB. CPU_NESTED_EXIT: L1 was told. */
MUST_CHECK enum outcome stage2_translate(struct vcpu *v, ngpa_t ngpa, enum access access,
                                         const struct stage2_reason *why, gpa_t *gpa);
/* True if a write to the page would need no walk of the second stage. */
bool stage2_writable(const struct vcpu *v, ngpa_t ngpa);
/* The kind of access by which the processor reads the guest's paging structures. */
enum access stage2_table_access(const struct vcpu *v);
/* Forgets what the second-stage TLBs know for an ASID, or for an EPTP or nCR3. */
void stage2_flush_space(struct vcpu *v, u32 space);
void stage2_flush_root(struct vcpu *v, u64 root, bool all);

#endif
