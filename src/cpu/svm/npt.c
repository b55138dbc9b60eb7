/*
 * The nested page-table walk, and the nested page fault.
 *
 * The tables are in the format of L1's own paging at VMRUN: legacy 32-bit, PAE, 4-level or 5-level by host CR4 and
 * EFER. Accesses are user accesses that honour R/W whatever CR0.WP says; global bits and protection keys do not exist
 * here.
 * Source: AMD APM volume 2, "Nested Paging", "Nested Table Walk", "Nested versus Guest Page Faults, Fault Ordering".
 */
#include "cpu/svm/npt.h"
#include "cpu/core/upcalls.h"
#include "cpu/svm/svm.h"
#include "x86/paging.h"

struct walk {
    struct vcpu *v;
    u64 address_mask; /* of an 8-byte entry, within MAXPHYADDR */
    u64 reserved;     /* of any entry */
    bool wide;        /* 8-byte entries */
    bool nx;
};

struct level {
    u8 shift, bits;
};

static u64 entry_read(const struct walk *w, u64 pa)
{
    if (w->wide)
        return phys_read_u64(w->v, GPA(pa));
    u32 e;
    phys_read(w->v, GPA(pa), &e, sizeof e);
    return e;
}

/* Sets bits in an entry that is still what was read. False: it changed, walk again. */
static bool entry_update(const struct walk *w, u64 pa, u64 old, u64 set)
{
    if ((old & set) == set)
        return true;
    struct ram_slot *slot = vm_slot(w->v->vm, GPA(pa));
    if (!slot || slot->readonly)
        return true;
    void *host = slot->host + (pa - slot->start);
    bool done;
    if (w->wide) {
        u64 expected = old;
        done =
            __atomic_compare_exchange_n((u64 *)host, &expected, old | set, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    } else {
        u32 expected = (u32)old;
        done = __atomic_compare_exchange_n((u32 *)host, &expected, (u32)(old | set), false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_SEQ_CST);
    }
    if (done)
        code_written(w->v->vm, w->v, GPA(pa), w->wide ? 8 : 4);
    return done;
}

/* Reserved bits of a leaf above the last level: address bits below the page size, but PAT. */
static u64 large_reserved(const struct walk *w, unsigned shift)
{
    if (w->wide)
        return (BIT64(shift) - 1) & PTE_ADDRESS & ~BIT64(12);
    return BIT64(21); /* PSE-36: bits 20:13 are address bits 39:32 */
}

static u64 leaf_address(const struct walk *w, u64 e, unsigned shift)
{
    if (!w->wide && shift > PAGE_SHIFT)
        return (e & 0xffc00000u) | (e >> 13 & 0xff) << 32;
    return e & (w->wide ? w->address_mask : 0xfffff000u) & ~(BIT64(shift) - 1);
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

    struct walk w = {.v = v, .wide = long_mode || (h->cr4 & CR4_PAE)};
    w.nx = w.wide && (h->efer & EFER_NXE);
    w.address_mask = PTE_ADDRESS & (BIT64(v->vm->phys_bits) - 1);
    if (w.wide) {
        w.reserved = PTE_ADDRESS & ~w.address_mask;
        if (!w.nx)
            w.reserved |= PTE_NX;
        if (!long_mode)
            w.reserved |= PTE_PAE_RESERVED;
    }

    const struct level *level;
    unsigned count, space;
    u64 table;
    if (long_mode) {
        bool la57 = h->cr4 & CR4_LA57;
        level = la57 ? four : four + 1;
        count = la57 ? 5 : 4;
        space = la57 ? 57 : 48;
        table = ncr3 & w.address_mask;
    } else if (w.wide) {
        level = pae;
        count = 3;
        space = 32;
        table = ncr3 & CR3_PAE_ADDRESS;
    } else {
        level = legacy;
        count = 2;
        space = 32;
        table = ncr3 & 0xfffff000u;
    }

    f->gpa = gpa;
    f->access = access;
    f->user = true;
    f->misconfig = false;
    if (gpa.a >> space)
        return fail(f, false, false);

again:;
    u64 at = table;
    u8 allowed = GRANT_READ | GRANT_WRITE | GRANT_FETCH;
    for (unsigned i = 0; i < count; i++) {
        unsigned shift = level[i].shift;
        u64 pa = at + (gpa.a >> shift & (BIT64(level[i].bits) - 1)) * (w.wide ? 8 : 4);
        u64 e = entry_read(&w, pa);
        if (!(e & PTE_P))
            return fail(f, false, false);
        bool last = shift == PAGE_SHIFT;
        bool pdpte = !long_mode && w.wide && i == 0; /* PAE: no permissions, other reserved bits */
        bool large = !last && !pdpte && (e & PTE_PS) && (w.wide || (h->cr4 & CR4_PSE));
        if (shift > 30 && (e & (PTE_PS | PTE_G)))
            return fail(f, true, true); /* reserved in PML4E and PML5E */
        if (e & (w.reserved | (pdpte ? PDPTE_RESERVED | PTE_NX : 0) | (large ? large_reserved(&w, shift) : 0)))
            return fail(f, true, true);
        if (pdpte) {
            at = e & w.address_mask;
            continue;
        }
        if (!(e & PTE_U))
            allowed = 0;
        if (!(e & PTE_W))
            allowed &= ~GRANT_WRITE;
        if (e & PTE_NX && w.nx)
            allowed &= ~GRANT_FETCH;
        if (!last && !large) {
            if (!entry_update(&w, pa, e, PTE_A))
                goto again;
            at = e & (w.wide ? w.address_mask : 0xfffff000u);
            continue;
        }
        bool write = access & ACCESS_WRITE;
        u8 wanted = write ? GRANT_WRITE : access & ACCESS_FETCH ? GRANT_FETCH : GRANT_READ;
        if (!(allowed & wanted))
            return fail(f, true, false);
        if (!entry_update(&w, pa, e, PTE_A | (write ? PTE_D : 0)))
            goto again;
        if (!write && !(e & PTE_D))
            allowed &= ~GRANT_WRITE;
        u64 size = BIT64(shift);
        *out = GPA(leaf_address(&w, e, shift) | (gpa.a & (size - 1)));
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
