/*
 * The EPT walk: four levels, 4 KiB, 2 MiB and 1 GiB pages, execute-only and mode-based execute permissions, accessed
 * and dirty flags. The MMU's second stage calls it when its TLB does not have the page. Flags are set after all
 * checks; an entry that changed in between starts the walk again (cpu/mmu/pte.h).
 * Source: Intel SDM volume 3C, "The Extended Page Table Mechanism (EPT)".
 */
#include "cpu/vmx/ept.h"

#include "cpu/mmu/pte.h"
#include "cpu/vmx/vmx.h"
#include "x86/msr.h"
#include "x86/paging.h"

_Static_assert(GRANT_READ == EPT_R && GRANT_WRITE == EPT_W && GRANT_FETCH == EPT_X, "grants are bits of EPT entries");

#define EPT_LEVELS 4

/* Reserved bits of an entry that refers to a table: 7:3 in a PML4 entry, 6:3 below, where bit 7 marks a large page. */
#define EPT_PML4_RESERVED 0xf8u
#define EPT_TABLE_RESERVED 0x78u

/* SDM "EPT Misconfigurations". */
static bool misconfigured(const struct vcpu *v, u64 e, unsigned level, bool leaf)
{
    if ((e & (EPT_R | EPT_W)) == EPT_W)
        return true;
    u64 reserved = EPT_ADDRESS & ~(BIT64(v->vm->phys_bits) - 1);
    if (!leaf)
        return e & (reserved | (level == EPT_LEVELS ? EPT_PML4_RESERVED : EPT_TABLE_RESERVED));
    u64 type = e >> EPT_MEMTYPE_SHIFT & 7;
    if (level > 1)
        reserved |= (BIT64(3 + level * 9) - 1) & EPT_ADDRESS;
    return MEMTYPE_RESERVED(type) || type > MEMTYPE_WB || e & reserved;
}

/* Returns false if an entry is no longer what was read. */
static bool mark_all(struct vcpu *v, struct pte *step, unsigned count, bool write)
{
    for (unsigned i = 0; i < count; i++) {
        if (!pte_mark(v, &step[i], true, EPT_A | (write && i + 1 == count ? EPT_D : 0)))
            return false;
    }
    return true;
}

/* The permissions of an entry as GRANT_* bits. */
static u8 entry_perms(u64 e, bool mode_based)
{
    u8 perms = e & (GRANT_READ | GRANT_WRITE | GRANT_FETCH);
    u64 user = mode_based ? EPT_XU : EPT_X;
    return e & user ? perms | GRANT_FETCH_USER : perms;
}

bool ept_walk(struct vcpu *v, u64 root, ngpa_t gpa, enum access access, bool user_linear, gpa_t *out, u64 *page_size,
              u8 *grants, struct stage2_fault *f)
{
    const bool mode_based = root & EPT_ROOT_MODE_BASED;
    const u64 present = EPT_R | EPT_W | EPT_X | (mode_based ? EPT_XU : 0);
    const u8 need = access & ACCESS_WRITE                  ? GRANT_WRITE
                    : access & ACCESS_FETCH && user_linear ? GRANT_FETCH_USER
                    : access & ACCESS_FETCH                ? GRANT_FETCH
                                                           : GRANT_READ;
    struct pte step[EPT_LEVELS];
    f->misconfig = false;
    f->perms = 0;
    if (gpa.a >> 48)
        return false; /* beyond what four levels translate */
    for (;;) {
        u64 table = root & EPT_ADDRESS, e;
        u8 all = GRANT_ALL;
        unsigned level = EPT_LEVELS, count = 0;
        for (;; level--) {
            unsigned shift = 3 + level * 9;
            pte_find(v, &step[count], GPA(table + ((gpa.a >> shift & 0x1ff) << 3)));
            e = pte_read(&step[count++], true);
            if (!(e & present))
                return false;
            bool leaf = level == 1 || (level <= 3 && e & EPT_LEAF);
            if (misconfigured(v, e, level, leaf)) {
                f->misconfig = true;
                return false;
            }
            all &= entry_perms(e, mode_based);
            if (leaf) {
                u64 offset = BIT64(shift) - 1;
                *page_size = BIT64(shift);
                out->a = (e & EPT_ADDRESS & ~offset) | (gpa.a & offset);
                break;
            }
            table = e & EPT_ADDRESS;
        }
        f->perms = all;
        if (!(all & need))
            return false;
        if (root & EPTP_AD && !mark_all(v, step, count, access & ACCESS_WRITE))
            continue;
        bool dirty = !(root & EPTP_AD) || access & ACCESS_WRITE || e & EPT_D;
        *grants = dirty ? all : (u8)(all & ~GRANT_WRITE);
        return true;
    }
}
