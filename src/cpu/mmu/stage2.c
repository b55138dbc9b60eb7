/*
 * The second stage of translation while L2 runs: EPT or NPT walks behind a direct-mapped TLB from L2-physical pages to
 * L1-physical ones, so that a two-dimensional walk is a handful of look-ups.
 *
 * An entry grants only what needs no further walk: writes once the dirty bit is set, fetches as they were tried. There
 * is one such TLB per EPTP, or per nCR3 and ASID; they survive VM entries and exits.
 * Source: SDM vol. 3C "The Extended Page Table Mechanism (EPT)"; APM vol. 2 "Nested Paging".
 */
#include "cpu/core/copy.h"
#include "cpu/mmu/tlb.h"
#include "cpu/mmu/walk.h"
#include "x86/vmcs.h"

void mmu_set_stage2(struct vcpu *v, enum stage2 kind, u64 root, u32 space)
{
    struct mmu *m = v->mmu;
    if (kind != m->kind || root != m->root || space != m->space)
        m->stage2 = NULL;
    m->kind = kind;
    m->root = kind == STAGE2_NONE ? 0 : root;
    m->space = space;
    m->apic_access = NO_APIC_ACCESS;
}

void mmu_set_apic_access(struct vcpu *v, u64 page)
{
    v->mmu->apic_access = page;
}

static struct stage2_tlb *stage2_find(struct mmu *m)
{
    u32 space = m->kind == STAGE2_NPT ? m->space : 0;
    struct stage2_tlb *victim = &m->stage2_tlb[0];
    for (unsigned i = 0; i < STAGE2_CONTEXTS; i++) {
        struct stage2_tlb *s = &m->stage2_tlb[i];
        if (s->kind == m->kind && s->root == m->root && s->space == space) {
            s->used = ++m->clock;
            return s;
        }
        if (victim->kind != STAGE2_NONE && (s->kind == STAGE2_NONE || s->used < victim->used))
            victim = s;
    }
    fill_bytes(victim->entry, 0xff, sizeof victim->entry);
    fill_bytes(victim->large, 0xff, sizeof victim->large);
    victim->kind = m->kind;
    victim->root = m->root;
    victim->space = space;
    victim->used = ++m->clock;
    return victim;
}

static struct stage2_entry *stage2_entry(struct stage2_tlb *s, ngpa_t ngpa)
{
    return &s->entry[(ngpa.a >> PAGE_SHIFT) % STAGE2_SIZE];
}

#define LARGE_MASK (BIT64(STAGE2_LARGE_SHIFT) - 1)

static struct stage2_entry *stage2_large(struct stage2_tlb *s, ngpa_t ngpa)
{
    return &s->large[(ngpa.a >> STAGE2_LARGE_SHIFT) % STAGE2_LARGE];
}

/* What is known of a page: by itself, or as part of a large one. *gpa is set if there is something. */
static u64 stage2_grants(struct stage2_tlb *s, ngpa_t ngpa, gpa_t *gpa, bool *in_large)
{
    const struct stage2_entry *e = stage2_entry(s, ngpa), *large = stage2_large(s, ngpa);
    *in_large = false;
    if (likely(!((e->tag ^ ngpa.a) & ~PAGE_MASK))) {
        gpa->a = e->gpa | (ngpa.a & PAGE_MASK);
        return e->tag & PAGE_MASK;
    }
    if ((large->tag ^ ngpa.a) & ~LARGE_MASK)
        return 0;
    *in_large = true;
    gpa->a = large->gpa + (ngpa.a & LARGE_MASK);
    return large->tag & PAGE_MASK;
}

static u64 grant_needed(enum access access, bool user_linear)
{
    if (access & ACCESS_WRITE)
        return GRANT_WRITE;
    if (access & ACCESS_FETCH)
        return user_linear ? GRANT_FETCH_USER : GRANT_FETCH;
    return GRANT_READ;
}

static void stage2_enter(struct stage2_tlb *s, ngpa_t ngpa, gpa_t gpa, u64 page_size, u64 grants)
{
    struct stage2_entry *e = stage2_entry(s, ngpa);
    u64 mask = PAGE_MASK;
    if (page_size > LARGE_MASK) {
        if (!((e->tag ^ ngpa.a) & ~PAGE_MASK))
            e->tag = ~0ull; /* found first, and may grant less */
        e = stage2_large(s, ngpa);
        mask = LARGE_MASK;
    }
    e->tag = (ngpa.a & ~mask) | grants;
    e->gpa = gpa.a - (ngpa.a & mask);
}

/* Walks the second stage's tables and keeps what they say: the grants. 0: a failure, of which *f knows the rest. */
static u64 stage2_tables(struct vcpu *v, ngpa_t ngpa, enum access access, bool user_linear, gpa_t *gpa,
                         struct stage2_fault *f)
{
    struct mmu *m = v->mmu;
    u64 page_size;
    u8 perms = 0;
    *f = (struct stage2_fault){.gpa = ngpa, .access = access};
    if (!v->nested->stage2_walk(v, m->root, ngpa, access, user_linear, gpa, &page_size, &perms, f))
        return 0;
    u64 grants = perms | grant_needed(access, user_linear);
    stage2_enter(m->stage2, ngpa, *gpa, page_size, grants);
    return grants;
}

static enum outcome stage2_walk(struct vcpu *v, ngpa_t ngpa, enum access access, const struct stage2_reason *why,
                                gpa_t *gpa)
{
    struct stage2_fault f;
    if (stage2_tables(v, ngpa, access, why->la_flags & LA_USER, gpa, &f))
        return CPU_OK;
    f.la = why->la;
    f.la_valid = why->la_valid;
    f.final = why->final;
    f.la_flags = why->la_flags;
    return v->nested->stage2(v, &f);
}

enum outcome stage2_translate(struct vcpu *v, ngpa_t ngpa, enum access access, const struct stage2_reason *why,
                              gpa_t *gpa)
{
    struct mmu *m = v->mmu;
    access &= ACCESS_WRITE | ACCESS_FETCH;
    if (unlikely(!m->stage2))
        m->stage2 = stage2_find(m);
    bool in_large;
    if (likely(stage2_grants(m->stage2, ngpa, gpa, &in_large) & grant_needed(access, why->la_flags & LA_USER)))
        return CPU_OK;
    return stage2_walk(v, ngpa, access, why, gpa);
}

bool stage2_peek(struct vcpu *v, ngpa_t ngpa, enum access access, gpa_t *gpa, bool *in_large)
{
    struct mmu *m = v->mmu;
    struct stage2_fault f;
    if (unlikely(!m->stage2))
        m->stage2 = stage2_find(m);
    u64 grants = stage2_grants(m->stage2, ngpa, gpa, in_large), needed = grant_needed(access, true);
    if (!grants || (access & ACCESS_FETCH && !(grants & needed)))
        grants = stage2_tables(v, ngpa, access & ACCESS_FETCH, true, gpa, &f);
    return grants & needed;
}

bool stage2_writable(const struct vcpu *v, ngpa_t ngpa)
{
    struct mmu *m = v->mmu;
    if (!m->stage2)
        return false;
    gpa_t gpa;
    bool in_large;
    return stage2_grants(m->stage2, ngpa, &gpa, &in_large) & GRANT_WRITE;
}

/* EPT: SDM "Accessed and Dirty Flags for EPT". NPT: APM "Nested Table Walk": walks of guest tables are writes. */
enum access stage2_table_access(const struct vcpu *v)
{
    const struct mmu *m = v->mmu;
    return m->kind == STAGE2_NPT || m->root & EPTP_AD ? ACCESS_WRITE : ACCESS_READ;
}

static void stage2_forget(struct mmu *m, struct stage2_tlb *s)
{
    s->kind = STAGE2_NONE;
    if (m->stage2 == s)
        m->stage2 = NULL;
}

void stage2_flush_space(struct vcpu *v, u32 space)
{
    struct mmu *m = v->mmu;
    for (unsigned i = 0; i < STAGE2_CONTEXTS; i++) {
        if (m->stage2_tlb[i].kind == STAGE2_NPT && m->stage2_tlb[i].space == space)
            stage2_forget(m, &m->stage2_tlb[i]);
    }
}

void stage2_flush_root(struct vcpu *v, u64 root, bool all)
{
    struct mmu *m = v->mmu;
    const u64 base = 0x000ffffffffff000;
    for (unsigned i = 0; i < STAGE2_CONTEXTS; i++) {
        if (all || !((m->stage2_tlb[i].root ^ root) & base))
            stage2_forget(m, &m->stage2_tlb[i]);
    }
}

void mmu_set_npt_control(struct vcpu *v, u64 hcr0, u64 hcr4, u64 hefer)
{
    struct mmu *m = v->mmu;
    u64 control = (hcr0 & CR0_PG) | (hcr4 & (CR4_PSE | CR4_PAE | CR4_LA57)) | (hefer & (EFER_NXE | EFER_LMA)) << 32;
    if (control == m->npt_control)
        return;
    m->npt_control = control;
    mmu_flush_nroot(v, 0, true);
}
