/*
 * Walks of the guest's paging structures: 32-bit, PAE, 4-level and 5-level paging, and no paging, each with or without
 * a second stage under it. Permission checks, page-fault error codes, accessed and dirty bits.
 *
 * Accessed and dirty bits are set after all checks: pte.h.
 * Source: SDM vol. 3A "Paging"; reserved bit 8 of AMD's upper levels: APM vol. 2 "Long-Mode Page Translation".
 */
#include "cpu/mmu/walk.h"

#include "cpu/core/cpuid.h"
#include "cpu/mmu/pte.h"
#include "cpu/mmu/tlb.h"
#include "x86/paging.h"

/* One entry on the way, kept to be marked. */
struct step {
    struct pte pte;
    u64 address; /* L1- or L2-physical, as the guest sees it */
};

struct walker {
    struct vcpu *v;
    u64 la;
    enum access access;
    bool user; /* user-mode access */
    bool two_stage;
    enum access table_access;
    bool wide; /* entries of 8 bytes */
    u8 shift;  /* of the page found */
    unsigned depth;
    struct step step[5];
    /* accumulated over the levels */
    bool page_user, page_write, page_nx;
    u8 pkey;
};

static enum outcome page_fault(const struct walker *k, u32 code)
{
    struct vcpu *v = k->v;
    if (k->access & ACCESS_WRITE)
        code |= PFERR_W;
    if (k->user)
        code |= PFERR_U;
    bool nx = v->cr4 & CR4_PAE && v->efer & EFER_NXE;
    if (k->access & ACCESS_FETCH && (nx || v->cr4 & CR4_SMEP))
        code |= PFERR_I;
    return raise_pf(v, k->la, code);
}

/* SDM "Determination of Access Rights" and "Protection Keys": 0, or error code bits. */
static u32 denied(const struct walker *k, bool write)
{
    const struct vcpu *v = k->v;
    if (k->access & ACCESS_FETCH) {
        bool ok = !k->page_nx && (k->user ? k->page_user : !(k->page_user && v->cr4 & CR4_SMEP));
        return ok ? 0 : PFERR_P;
    }
    u32 code = 0;
    bool protect = k->user || v->cr0 & CR0_WP;
    if (write && protect && !k->page_write)
        code = PFERR_P;
    if (k->user) {
        if (!k->page_user)
            code = PFERR_P;
    } else if (k->page_user && v->cr4 & CR4_SMAP) {
        if (k->access & ACCESS_IMPLICIT || !(v->flags & FLAG_AC))
            code = PFERR_P;
    }
    if (k->page_user && v->cr4 & CR4_PKE && in_long_mode(v)) {
        u32 rights = v->pkru >> (k->pkey * 2);
        if (rights & 1 || (rights & 2 && write && protect))
            code = PFERR_P | PFERR_PK;
    }
    return code;
}

/* Where an entry of L2's paging structures lies. */
static enum outcome table_stage2(struct vcpu *v, u64 address, enum access access, const struct stage2_reason *why,
                                 gpa_t *gpa)
{
    TRY(stage2_translate(v, NGPA(address), access, why, gpa));
    return mem_is_apic_access(v, *gpa) ? v->nested->apic_access(v, gpa, 0, access) : CPU_OK;
}

static enum outcome step_stage2(const struct walker *k, u64 address, enum access access, gpa_t *gpa)
{
    struct stage2_reason why = {.la = k->la, .la_valid = true};
    return table_stage2(k->v, address, access, &why, gpa);
}

static inline enum outcome step_find(const struct walker *k, struct step *s, u64 address, enum access access)
{
    gpa_t gpa = GPA(address);
    s->address = address;
    if (k->two_stage)
        TRY(step_stage2(k, address, access, &gpa));
    pte_find(k->v, &s->pte, gpa);
    return CPU_OK;
}

/* The next entry of the walk. */
static inline enum outcome step_read(struct walker *k, u64 address, u64 *value)
{
    struct step *s = &k->step[k->depth++];
    TRY(step_find(k, s, address, k->table_access));
    *value = pte_read(&s->pte, k->wide);
    return CPU_OK;
}

/* Sets bits in an entry. *changed: it is not what was read any more. */
static enum outcome step_mark(const struct walker *k, struct step *s, u64 bits, bool *changed)
{
    if (k->two_stage)
        TRY(step_find(k, s, s->address, ACCESS_WRITE));
    *changed = !pte_mark(k->v, &s->pte, k->wide, bits);
    return CPU_OK;
}

static void accumulate(struct walker *k, u64 entry)
{
    k->page_user &= !!(entry & PTE_U);
    k->page_write &= !!(entry & PTE_W);
}

/* PAE, 4-level and 5-level paging from `level` down. */
static enum outcome walk_wide(struct walker *k, u64 table, unsigned level, u64 *base)
{
    const struct vcpu *v = k->v;
    bool longmode = in_long_mode(v);
    u64 reserved = PTE_ADDRESS & ~(BIT64(v->vm->phys_bits) - 1);
    if (!longmode)
        reserved |= PTE_PAE_RESERVED;
    if (!(v->efer & EFER_NXE))
        reserved |= PTE_NX;
    u64 upper = PTE_PS | (v->vm->vendor == VENDOR_AMD ? PTE_G : 0);
    for (;; level--) {
        unsigned shift = 3 + level * 9;
        u64 e;
        TRY(step_read(k, table + ((k->la >> shift & 0x1ff) << 3), &e));
        if (!(e & PTE_P))
            return page_fault(k, 0);
        bool leaf = level == 1 || (level <= (longmode ? 3 : 2) && e & PTE_PS);
        u64 bad = reserved;
        if (level >= 4)
            bad |= upper;
        else if (leaf && level > 1)
            bad |= ((BIT64(shift) - 1) & ~0x1fffull) | (level == 3 && !cpu_has(v->vm, FEATURE_PDPE1GB) ? PTE_PS : 0);
        if (e & bad)
            return page_fault(k, PFERR_P | PFERR_RSVD);
        accumulate(k, e);
        k->page_nx |= e >> 63;
        if (leaf) {
            k->shift = (u8)shift;
            k->pkey = (u8)((e & PTE_KEY_MASK) >> PTE_KEY_SHIFT);
            *base = e & PTE_ADDRESS & ~(BIT64(shift) - 1);
            return CPU_OK;
        }
        table = e & PTE_ADDRESS;
    }
}

/* Bits of a present PDPTE that must be 0. */
static u64 pdpte_reserved(const struct vcpu *v)
{
    return ~(BIT64(v->vm->phys_bits) - 1) | PDPTE_RESERVED;
}

/* APM vol. 2 "Nested Paging", "Legacy PAE Mode": a guest's PDPTEs are entries of each walk, no registers. */
static bool pdptes_in_memory(const struct vcpu *v)
{
    return v->mmu->kind == STAGE2_NPT;
}

/* SDM "PAE Paging". A PDPTE restricts no access, and has no accessed bit to set. */
static enum outcome walk_pae(struct walker *k, u64 *base)
{
    const struct vcpu *v = k->v;
    unsigned i = k->la >> 30 & 3;
    u64 pdpte = v->pdpte[i];
    if (unlikely(pdptes_in_memory(v))) {
        TRY(step_read(k, (v->cr3 & 0xffffffe0) + i * 8, &pdpte));
        k->depth = 0;
    }
    if (!(pdpte & PTE_P))
        return page_fault(k, 0);
    if (unlikely(pdptes_in_memory(v) && pdpte & pdpte_reserved(v)))
        return page_fault(k, PFERR_P | PFERR_RSVD);
    return walk_wide(k, pdpte & PTE_ADDRESS, 2, base);
}

/* SDM "32-Bit Paging", PSE-36 included. */
static enum outcome walk_narrow(struct walker *k, u64 *base)
{
    const struct vcpu *v = k->v;
    u64 e;
    TRY(step_read(k, (v->cr3 & 0xfffff000) + ((k->la >> 22) << 2), &e));
    if (!(e & PTE_P))
        return page_fault(k, 0);
    accumulate(k, e);
    if (e & PTE_PS && v->cr4 & CR4_PSE) {
        unsigned high = v->vm->phys_bits > 40 ? 8 : v->vm->phys_bits - 32;
        if ((e >> 13 & 0x1ff) >> high)
            return page_fault(k, PFERR_P | PFERR_RSVD);
        k->shift = 22;
        *base = (e & 0xffc00000) | (e >> 13 & 0xff) << 32;
        return CPU_OK;
    }
    TRY(step_read(k, (e & 0xfffff000) + ((k->la >> 12 & 0x3ff) << 2), &e));
    if (!(e & PTE_P))
        return page_fault(k, 0);
    accumulate(k, e);
    k->shift = 12;
    *base = e & 0xfffff000;
    return CPU_OK;
}

static enum outcome walk_tables(struct walker *k, u64 *base)
{
    const struct vcpu *v = k->v;
    k->wide = v->cr4 & CR4_PAE;
    k->depth = 0;
    k->page_user = k->page_write = true;
    k->page_nx = false;
    if (in_long_mode(v))
        return walk_wide(k, v->cr3 & PTE_ADDRESS, v->cr4 & CR4_LA57 ? 5 : 4, base);
    return k->wide ? walk_pae(k, base) : walk_narrow(k, base);
}

static enum outcome mark_all(struct walker *k, bool *changed)
{
    u64 dirty = k->access & ACCESS_WRITE ? PTE_D : 0;
    for (unsigned i = 0; i < k->depth && !*changed; i++) {
        u64 bits = PTE_A | (i + 1 == k->depth ? dirty : 0);
        if (unlikely(bits & ~k->step[i].pte.value))
            TRY(step_mark(k, &k->step[i], bits, changed));
    }
    return CPU_OK;
}

static enum outcome walk_final(struct walker *k, u64 address, struct walk *w)
{
    if (!k->two_stage) {
        w->gpa = GPA(address);
        return CPU_OK;
    }
    struct stage2_reason why = {.la = k->la, .la_valid = true, .final = true};
    why.la_flags = (u8)((k->page_user ? LA_USER : 0) | (k->page_write ? LA_WRITABLE : 0) | (k->page_nx ? LA_NX : 0));
    TRY(stage2_translate(k->v, NGPA(address), k->access, &why, &w->gpa));
    w->write = w->write && stage2_writable(k->v, NGPA(address));
    return CPU_OK;
}

enum outcome walk_linear(struct vcpu *v, u64 la, enum access access, struct walk *w)
{
    struct walker k;
    k.v = v;
    k.la = la;
    k.access = access;
    k.user = access & ACCESS_USER || (v->cpl == 3 && !(access & ACCESS_IMPLICIT));
    k.two_stage = v->mmu->kind != STAGE2_NONE;
    k.table_access = k.two_stage ? stage2_table_access(v) : ACCESS_READ;
    if (!(v->cr0 & CR0_PG)) {
        k.page_user = k.page_write = true;
        k.page_nx = false;
        *w = (struct walk){.shift = PAGE_SHIFT, .user = true, .write = true, .address = la & ~PAGE_MASK};
        return walk_final(&k, la, w);
    }

    u64 base;
    for (;;) {
        TRY(walk_tables(&k, &base));
        u32 code = denied(&k, access & ACCESS_WRITE);
        if (unlikely(code))
            return page_fault(&k, code);
        bool changed = false;
        TRY(mark_all(&k, &changed));
        if (likely(!changed))
            break;
    }
    const struct step *last = &k.step[k.depth - 1];
    u64 leaf = last->pte.value;
    w->leaf = leaf | PTE_A | (access & ACCESS_WRITE ? PTE_D : 0);
    w->entry = k.wide ? last->pte.host : NULL;
    w->in_large = false;
    w->address = (base | (la & (BIT64(k.shift) - 1))) & ~PAGE_MASK;
    w->shift = k.shift;
    w->user = k.page_user;
    w->global = leaf & PTE_G && v->cr4 & CR4_PGE;
    w->write = access & ACCESS_WRITE || (leaf & PTE_D && !(access & ACCESS_FETCH) && !denied(&k, true));
    return walk_final(&k, base | (la & (BIT64(k.shift) - 1)), w);
}

/* What of a page-table entry decides on rights. */
#define PTE_RIGHTS (PTE_P | PTE_W | PTE_U | PTE_A | PTE_D | PTE_G | PTE_NX | PTE_KEY_MASK)

bool walk_next(struct vcpu *v, enum access access, struct walk *w)
{
    u64 last = w->address;
    if (w->shift == PAGE_SHIFT) {
        const u64 *next = w->entry + 1;
        if (!w->entry || !((u64)next & PAGE_MASK))
            return false;
        u64 e = __atomic_load_n(next, __ATOMIC_RELAXED);
        if ((e ^ w->leaf) & PTE_RIGHTS || e & PTE_ADDRESS & ~(BIT64(v->vm->phys_bits) - 1))
            return false;
        w->entry = next;
        w->leaf = e;
        w->address = e & PTE_ADDRESS;
    } else {
        w->address += PAGE_SIZE;
        if (!(w->address & (BIT64(w->shift) - 1)))
            return false;
    }
    gpa_t before = w->gpa;
    w->gpa = GPA(w->address);
    if (v->mmu->kind == STAGE2_NONE)
        return true;
    if (w->in_large && !((w->address ^ last) >> STAGE2_LARGE_SHIFT)) {
        w->gpa.a = before.a - last + w->address;
        return true;
    }
    if (!stage2_peek(v, NGPA(w->address), access, &w->gpa, &w->in_large))
        return false;
    w->write = w->write && stage2_writable(v, NGPA(w->address));
    return true;
}

/* SDM "PDPTE Registers". Their reserved bits are checked here, and nothing changes if one is set. */
enum outcome mmu_load_pdptes(struct vcpu *v, u64 cr3)
{
    if (pdptes_in_memory(v))
        return CPU_OK;
    u64 pdpte[4], reserved = pdpte_reserved(v);
    gpa_t gpa = GPA(cr3 & 0xffffffe0);
    if (v->mmu->kind != STAGE2_NONE) {
        struct stage2_reason why = {.la_valid = false};
        TRY(table_stage2(v, gpa.a, ACCESS_READ, &why, &gpa));
    }
    phys_read(v, gpa, pdpte, sizeof pdpte);
    for (unsigned i = 0; i < 4; i++) {
        if (pdpte[i] & PTE_P && pdpte[i] & reserved)
            return raise_gp(v, 0);
    }
    for (unsigned i = 0; i < 4; i++)
        v->pdpte[i] = pdpte[i];
    return CPU_OK;
}
