/*
 * The nested page-table walk, which the MMU's second stage calls when its TLB does not have the page, and the nested
 * page fault.
 *
 * The tables are in the format of L1's own paging at VMRUN: legacy 32-bit, PAE, 4-level or 5-level by host CR4 and
 * EFER. Accesses are user accesses that honour R/W whatever CR0.WP says; global bits and protection keys do not exist
 * here.
 * Source: AMD APM volume 2, "Nested Paging", "Nested Table Walk", "Nested versus Guest Page Faults, Fault Ordering".
 */
#include "cpu/svm/npt.h"

#include "cpu/mmu/pte.h"
#include "cpu/svm/svm.h"
#include "x86/paging.h"

/* Bits of an entry of legacy 32-bit tables, and of CR3 then: the address of a page or table, and of a 4 MiB page. */
#define LEGACY_ADDRESS 0xfffff000u
#define LEGACY_LARGE_ADDRESS 0xffc00000u

/* What the tables look like. */
struct format {
    u64 address_mask; /* of an 8-byte entry, within MAXPHYADDR */
    u64 reserved;     /* of any entry */
    bool wide;        /* 8-byte entries */
    bool nx;
};

struct level {
    u8 shift, bits;
};

/* Reserved bits of a leaf above the last level: the address bits below the page size, except PAT. */
static u64 large_reserved(const struct format *t, unsigned shift)
{
    if (t->wide)
        return (BIT64(shift) - 1) & PTE_ADDRESS & ~BIT64(12);
    return BIT64(21); /* PSE-36: bits 20:13 are address bits 39:32 */
}

static u64 leaf_address(const struct format *t, u64 e, unsigned shift)
{
    if (!t->wide && shift > PAGE_SHIFT)
        return (e & LEGACY_LARGE_ADDRESS) | (e >> 13 & 0xff) << 32;
    return e & (t->wide ? t->address_mask : LEGACY_ADDRESS) & ~(BIT64(shift) - 1);
}

static bool fail(struct stage2_fault *f, bool present, bool rsvd)
{
    f->present = present;
    f->rsvd = rsvd;
    return false;
}

bool npt_walk(struct vcpu *v, u64 ncr3, ngpa_t gpa, enum access access, bool user_linear, gpa_t *out, u64 *page_size,
              u8 *grants, struct stage2_fault *f)
{
    static const struct level four[] = {{48, 9}, {39, 9}, {30, 9}, {21, 9}, {12, 9}};
    static const struct level pae[] = {{30, 2}, {21, 9}, {12, 9}};
    static const struct level legacy[] = {{22, 10}, {12, 10}};
    const struct svm_host *h = &v->svm->host;
    bool long_mode = h->efer & EFER_LMA;

    struct format t = {.wide = long_mode || (h->cr4 & CR4_PAE)};
    t.nx = t.wide && (h->efer & EFER_NXE);
    t.address_mask = PTE_ADDRESS & (BIT64(v->vm->phys_bits) - 1);
    if (t.wide) {
        t.reserved = PTE_ADDRESS & ~t.address_mask;
        if (!t.nx)
            t.reserved |= PTE_NX;
        if (!long_mode)
            t.reserved |= PTE_PAE_RESERVED;
    }

    const struct level *level;
    unsigned count, space;
    u64 table;
    if (long_mode) {
        bool la57 = h->cr4 & CR4_LA57;
        level = la57 ? four : four + 1;
        count = la57 ? 5 : 4;
        space = la57 ? 57 : 48;
        table = ncr3 & t.address_mask;
    } else if (t.wide) {
        level = pae;
        count = 3;
        space = 32;
        table = ncr3 & CR3_PAE_ADDRESS;
    } else {
        level = legacy;
        count = 2;
        space = 32;
        table = ncr3 & LEGACY_ADDRESS;
    }

    f->gpa = gpa;
    f->access = access;
    f->misconfig = false;
    if (gpa.a >> space)
        return fail(f, false, false);

again:;
    u64 at = table;
    u8 allowed = GRANT_READ | GRANT_WRITE | GRANT_FETCH;
    for (unsigned i = 0; i < count; i++) {
        unsigned shift = level[i].shift;
        u64 pa = at + (gpa.a >> shift & (BIT64(level[i].bits) - 1)) * (t.wide ? 8 : 4);
        struct pte p;
        pte_find(v, &p, GPA(pa));
        u64 e = pte_read(&p, t.wide);
        if (!(e & PTE_P))
            return fail(f, false, false);
        bool last = shift == PAGE_SHIFT;
        bool pdpte = !long_mode && t.wide && i == 0; /* it has no permissions and other reserved bits */
        bool large = !last && !pdpte && (e & PTE_PS) && (t.wide || (h->cr4 & CR4_PSE));
        if (shift > 30 && (e & (PTE_PS | PTE_G))) /* reserved in entries of PML4 and PML5 */
            return fail(f, true, true);
        if (e & (t.reserved | (pdpte ? PDPTE_RESERVED | PTE_NX : 0) | (large ? large_reserved(&t, shift) : 0)))
            return fail(f, true, true);
        if (pdpte) {
            at = e & t.address_mask;
            continue;
        }
        if (!(e & PTE_U))
            allowed = 0;
        if (!(e & PTE_W))
            allowed &= ~GRANT_WRITE;
        if (e & PTE_NX && t.nx)
            allowed &= ~GRANT_FETCH;
        if (!last && !large) {
            if (!pte_mark(v, &p, t.wide, PTE_A))
                goto again;
            at = e & (t.wide ? t.address_mask : LEGACY_ADDRESS);
            continue;
        }
        bool write = access & ACCESS_WRITE;
        u8 wanted = write ? GRANT_WRITE : access & ACCESS_FETCH ? GRANT_FETCH : GRANT_READ;
        if (!(allowed & wanted))
            return fail(f, true, false);
        if (!pte_mark(v, &p, t.wide, PTE_A | (write ? PTE_D : 0)))
            goto again;
        if (!write && !(e & PTE_D))
            allowed &= ~GRANT_WRITE;
        u64 size = BIT64(shift);
        *out = GPA(leaf_address(&t, e, shift) | (gpa.a & (size - 1)));
        *page_size = size;
        *grants = allowed;
        return true;
    }
    return fail(f, false, false); /* not reached: the last level is a leaf */
}

enum outcome svm_stage2(struct vcpu *v, const struct stage2_fault *f)
{
    const struct svm *s = v->svm;
    if (s->probing)
        return CPU_NESTED_EXIT;
    bool nx = s->host.efer & EFER_NXE && s->host.cr4 & CR4_PAE;
    bool fetch = f->access & ACCESS_FETCH;
    u64 info = PFERR_U | (f->final ? SVM_NPF_FINAL : SVM_NPF_TABLE);
    if (f->present)
        info |= PFERR_P;
    if (f->rsvd)
        info |= PFERR_RSVD;
    if (f->access & ACCESS_WRITE)
        info |= PFERR_W;
    if (fetch && (nx || s->host.cr4 & CR4_SMEP))
        info |= PFERR_I;
    if (fetch || v->delivering.valid)
        return svm_exit(v, SVM_EXIT_NPF, info, f->gpa.a);
    return svm_exit_bytes(v, SVM_EXIT_NPF, info, f->gpa.a);
}
