/*
 * Translation of a linear address for whoever owns the vCPU, a debugger for example: nothing is checked but whether
 * each entry is present, and nothing changes. Source: SDM vol. 3A "Paging".
 */
#include "cpu/mmu/tlb.h"
#include "cpu/mmu/walk.h"
#include "x86/paging.h"

/* What the running level calls physical, as host memory. NULL: there is no RAM. */
static void *level_ram(struct vcpu *v, u64 physical, u64 *gpa)
{
    gpa_t to = GPA(physical);
    bool in_large;
    if (v->mmu->kind != STAGE2_NONE && !stage2_peek(v, NGPA(physical), ACCESS_READ, &to, &in_large))
        return NULL;
    *gpa = to.a;
    return vcpu_ram(v, to);
}

bool walk_peek(struct vcpu *v, u64 la, u64 *gpa)
{
    bool wide = v->cr4 & CR4_PAE, large = wide || v->cr4 & CR4_PSE;
    unsigned levels = in_long_mode(v) ? v->cr4 & CR4_LA57 ? 5 : 4 : wide ? 3 : 2;
    unsigned bits = wide ? 9 : 10, shift = 12 + bits * levels;
    u64 entry = v->cr3 & (in_long_mode(v) ? PTE_ADDRESS : wide ? 0xffffffe0u : 0xfffff000u);
    if (!in_long_mode(v))
        la = (u32)la;
    if (!(v->cr0 & CR0_PG))
        return level_ram(v, la, gpa);
    while (shift > 12) {
        shift -= bits;
        u64 index = la >> shift & (BIT64(bits) - 1), at;
        if (wide && levels == 3 && shift == 30) {
            entry = v->pdpte[index & 3];
        } else {
            const void *p = level_ram(v, (entry & PTE_ADDRESS) + index * (wide ? 8 : 4), &at);
            if (!p)
                return false;
            entry = wide ? *(const u64 *)p : *(const u32 *)p;
        }
        if (!(entry & PTE_P))
            return false;
        if (large && shift > 12 && entry & PTE_PS && !(levels == 3 && shift == 30))
            break;
    }
    u64 page = BIT64(shift) - 1, base = entry & PTE_ADDRESS & ~page;
    if (!wide && shift > 12)
        base |= (entry & 0x1fe000) << 19; /* PSE-36 */
    return level_ram(v, base | (la & page), gpa);
}
