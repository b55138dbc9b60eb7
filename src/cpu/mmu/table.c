/*
 * The MMU as direct execution sees it (docs/direct.md): whose user code is executed elsewhere, and which pages a user's
 * access needs no walk for, because everything that a walk checks and sets is as it must be. Looking at tables has no
 * effect, and a table is looked at whole.
 * Source: SDM vol. 3A "Paging".
 */
#include "cpu/core/cpuid.h"
#include "cpu/mmu/tlb.h"
#include "cpu/mmu/walk.h"
#include "x86/paging.h"

u64 mmu_epoch(const struct vcpu *v)
{
    return context_epoch(v->mmu, tlb_number(v->mmu, v->tlb));
}

void mmu_user_away(struct vcpu *v, bool away)
{
    struct tlb *user = v->tlb, *supervisor = user->beside[BESIDE_CPL];
    u32 bit = BIT(tlb_number(v->mmu, user));
    v->mmu->away = away ? v->mmu->away | bit : v->mmu->away & ~bit;
    if (away && supervisor)
        user->beside[BESIDE_CPL] = supervisor->beside[BESIDE_CPL] = NULL;
}

bool mmu_user_is_away(const struct vcpu *v)
{
    return v->mmu->away >> tlb_number(v->mmu, v->tlb) & 1;
}

/* The host memory of one of the guest's tables. NULL: it is not in RAM, or not known without an effect. */
static const u64 *table_at(struct vcpu *v, u64 address)
{
    gpa_t gpa = GPA(address);
    bool in_large;
    if (v->mmu->kind != STAGE2_NONE && !stage2_peek(v, NGPA(address), stage2_table_access(v), &gpa, &in_large))
        return NULL;
    if (mem_is_apic_access(v, gpa))
        return NULL;
    struct ram_slot *s = vcpu_slot_near(v, &v->last_table, gpa);
    return s ? (const u64 *)ram_host(s, gpa) : NULL;
}

static u64 reserved_bits(const struct vcpu *v)
{
    return (PTE_ADDRESS & ~(BIT64(v->vm->phys_bits) - 1)) | (v->efer & EFER_NXE ? 0 : PTE_NX);
}

bool leaf_table_find(struct vcpu *v, u64 la, struct leaf_table *t)
{
    u64 address = v->cr3 & PTE_ADDRESS, reserved = reserved_bits(v);
    *t = (struct leaf_table){.user = true, .write = true, .fetch = true};
    for (unsigned level = v->cr4 & CR4_LA57 ? 5 : 4;; level--) {
        const u64 *table = table_at(v, address);
        unsigned shift = 3 + level * 9;
        if (!table)
            return false;
        if (level == 1) {
            t->entry = table;
            t->shift = PAGE_SHIFT;
            return true;
        }
        u64 e = __atomic_load_n(&table[la >> shift & 511], __ATOMIC_RELAXED);
        u64 upper = level >= 4 ? PTE_PS | (v->vm->vendor == VENDOR_AMD ? PTE_G : 0) : 0;
        if (!(e & PTE_P) || !(e & PTE_A) || e & (reserved | upper))
            return false;
        t->user &= !!(e & PTE_U);
        t->write &= !!(e & PTE_W);
        t->fetch &= !(e & PTE_NX);
        if (level <= 3 && e & PTE_PS) {
            t->leaf = e;
            t->shift = (u8)shift;
            return !(e & (BIT64(shift) - 1) & ~0x1fffull) && (level == 2 || cpu_has(v->vm, FEATURE_PDPE1GB));
        }
        address = e & PTE_ADDRESS;
    }
}

/* Where a page of the table lies that may be read, and, as far as the guest's tables say, written and executed. */
static bool page_find(struct vcpu *v, const struct leaf_table *t, u64 la, u64 entry, bool write, bool fetch,
                      struct user_page *p)
{
    bool in_large;
    u64 offset = BIT64(t->shift) - 1, address = (entry & PTE_ADDRESS & ~offset) | (la & offset & ~PAGE_MASK);
    p->gpa = GPA(address);
    p->fetch = fetch && t->fetch && !(entry & PTE_NX);
    if (v->mmu->kind != STAGE2_NONE) {
        if (!stage2_peek(v, NGPA(address), ACCESS_READ, &p->gpa, &in_large))
            return false;
        write = write && stage2_writable(v, NGPA(address));
        p->fetch = p->fetch && stage2_peek(v, NGPA(address), ACCESS_FETCH, &p->gpa, &in_large);
    }
    p->slot = vcpu_slot(v, p->gpa);
    if (!p->slot || mem_is_apic(v, p->gpa) || mem_is_apic_access(v, p->gpa))
        return false;
    p->write = write && !(p->slot->flags & RAM_READONLY);
    return true;
}

static bool is_whole(const struct vcpu *v, u64 entry)
{
    return entry & PTE_P && entry & PTE_A && !(entry & reserved_bits(v));
}

bool user_page_find(struct vcpu *v, const struct leaf_table *t, u64 la, u64 entry, bool fetch, struct user_page *p)
{
    bool write = t->write && entry & PTE_W && entry & PTE_D;
    if (!t->user || !(entry & PTE_U) || !is_whole(v, entry))
        return false;
    if (v->cr4 & CR4_PKE) {
        u32 rights = v->pkru >> ((entry & PTE_KEY_MASK) >> PTE_KEY_SHIFT) * 2;
        if (rights & 1)
            return false; /* it may be executed, but the host would let it be read then */
        write &= !(rights & 2);
    }
    return page_find(v, t, la, entry, write, fetch, p);
}

bool global_page_find(struct vcpu *v, const struct leaf_table *t, u64 la, u64 entry, struct user_page *p)
{
    bool write = t->write && entry & PTE_W && entry & PTE_D;
    if ((t->user && entry & PTE_U) || !(entry & PTE_G) || !is_whole(v, entry))
        return false;
    return page_find(v, t, la, entry, write, false, p);
}
