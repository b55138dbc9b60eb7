/*
 * L2 in the paging modes outside long mode, under nested paging and without: where PDPTEs come from and who checks
 * them, and the bits of CR3 that must be 0.
 * Source: AMD APM volume 2, "Nested Paging", "Legacy PAE Mode"; "VMRUN Instruction".
 */
#include "svm.h"

#define PAGED __attribute__((aligned(4096)))
u64 pae_pdpt[512] PAGED, pae_pd[512] PAGED;
static u32 fetch; /* PFERR_I if the error code shows fetches, else 0 */

/* 32-bit code of L2, with a label at its last instruction. */
#define L2_32(name, before)                                                                                            \
    void name(void);                                                                                                   \
    extern const u8 name##_at[];                                                                                       \
    __asm__(".text\n.code32\n" #name ": " before "\n" #name "_at: vmmcall\nud2\n.code64\n")

L2_32(l2_32, "nop");
/* Each instruction that loads PDPTEs when there is no nested paging. */
L2_32(l2_32_loads, "mov %cr3, %eax; mov %eax, %cr3\n"
                   "mov %cr4, %eax; xor $0x80, %eax; mov %eax, %cr4; xor $0x10, %eax; mov %eax, %cr4\n"
                   "mov %cr0, %eax; bts $30, %eax; mov %eax, %cr0\n"
                   "btr $31, %eax; mov %eax, %cr0; bts $31, %eax; mov %eax, %cr0");
/* A store makes PDPTE 1 present. */
L2_32(l2_32_store, "lea pae_pd, %eax; or $1, %eax; mov %eax, pae_pdpt + 8; mov 0x40000000 + l2_32_value, %ebx");
__asm__(".data\nl2_32_value: .quad 0x12345678\n.text\n");

static void legacy(void (*fn)(void), u64 cr0, u64 cr4, const void *cr3)
{
    prepare(fn);
    G.cs = (struct vmcb_segment){.sel = SEL_CODE32, .attr = 0xc9b, .limit = ~0u};
    G.efer = EFER_SVME | (rdmsr(MSR_EFER) & EFER_NXE);
    G.cr0 = (read_cr0() & ~CR0_PG) | cr0;
    G.cr4 = cr4;
    G.cr3 = (u64)cr3;
    intercept(SVM_EXIT_EXCP + EXC_GP, true);
    intercept(SVM_EXIT_EXCP + EXC_PF, true);
}

/* L2 in PAE mode: the first GiB is mapped to itself, and nothing above it is present. */
static void pae(void (*fn)(void))
{
    fill(pae_pdpt, 0, sizeof pae_pdpt);
    pae_pdpt[0] = (u64)pae_pd | PTE_P;
    for (u64 i = 0; i < 512; i++)
        pae_pd[i] = i << 21 | PTE_P | PTE_W | PTE_PS;
    legacy(fn, CR0_PG, CR4_PAE, pae_pdpt);
}

static const u8 reserved[] = {1, 2, 5, 6, 7, 8, 52, 62, 63};

static void pdptes_under_npt(void)
{
    pae(l2_32);
    resume();
    exits(SVM_EXIT_VMMCALL, l2_32_at, 0, "PAE under nested paging");
    check_eq(pae_pdpt[0], (u64)pae_pd | PTE_P, "no accessed bit in a PDPTE");

    bool enters = true, faults = true;
    for (unsigned i = 0; i < ARRAY_LEN(reserved); i++) {
        pae(l2_32);
        pae_pdpt[1] = pae_pdpt[2] = pae_pdpt[3] = pae_pdpt[0] | BIT64(reserved[i]);
        enters &= resume() == SVM_EXIT_VMMCALL;
        pae(l2_32);
        pae_pdpt[0] |= BIT64(reserved[i]);
        resume();
        faults &= C.exit_code == SVM_EXIT_EXCP + EXC_PF && C.exit_info1 == (PFERR_P | PFERR_RSVD | fetch) &&
                  C.exit_info2 == (u64)l2_32 && G.rip == (u64)l2_32;
    }
    check(enters, "reserved bits of PDPTEs that L2 does not use are not checked");
    check(faults, "reserved bits of the PDPTE that it uses are #PF at the first fetch");

    pae(l2_32);
    pae_pdpt[0] = 0;
    resume();
    exits(SVM_EXIT_EXCP + EXC_PF, (const u8 *)l2_32, fetch, "a PDPTE that is not present");

    pae(l2_32_loads);
    pae_pdpt[1] = pae_pdpt[2] = pae_pdpt[3] = ~0ull;
    resume();
    exits(SVM_EXIT_VMMCALL, l2_32_loads_at, 0, "MOV to CR0, CR3 and CR4 neither load nor check PDPTEs");

    pae(l2_32_store);
    resume();
    exits(SVM_EXIT_VMMCALL, l2_32_store_at, 0, "walks read PDPTEs from memory");
    check_eq(regs.rbx, 0x12345678, "walks find a PDPTE that L2 just wrote");

    u64 *e = pte_of(npt, (u64)pae_pdpt, 1), old = *e;
    *e = 0;
    pae(l2_32);
    resume();
    exits(SVM_EXIT_NPF, (const u8 *)l2_32, SVM_NPF_TABLE | PFERR_U | PFERR_W, "#NPF of the page of PDPTEs");
    check_eq(C.exit_info2, (u64)pae_pdpt, "#NPF of the page of PDPTEs has the PDPTE's address");
    *e = old;
}

static void pdptes_without_npt(void)
{
    bool good = true;
    for (unsigned i = 0; i < ARRAY_LEN(reserved); i++) {
        pae(l2_32);
        C.nested = 0;
        pae_pdpt[3] = BIT64(reserved[i]) | PTE_P;
        good &= resume() == SVM_EXIT_INVALID;
    }
    check(good, "without nested paging VMRUN checks all PDPTEs");
    pae(l2_32_store);
    C.nested = 0;
    resume();
    check_eq(C.exit_code, SVM_EXIT_EXCP + EXC_PF, "without nested paging walks use the PDPTEs that were loaded");
    pae(l2_32_loads);
    C.nested = 0;
    resume();
    exits(SVM_EXIT_VMMCALL, l2_32_loads_at, 0, "without nested paging MOV to CR0, CR3 and CR4 load PDPTEs");
}

/* "Any MBZ bit of CR3 is set": whatever the paging mode. */
static void cr3_reserved(void)
{
    static const struct {
        u64 cr0, cr4;
        const char *name;
    } modes[] = {{CR0_PG, CR4_PAE, "MBZ bits of CR3 in PAE mode"},
                 {CR0_PG, CR4_PSE, "MBZ bits of CR3 in 32-bit paging"},
                 {0, 0, "MBZ bits of CR3 without paging"},
                 {0, CR4_PAE, "MBZ bits of CR3 without paging, with CR4.PAE"}};
    unsigned physical = cpuid(0x80000008, 0).a & 0xff;
    for (unsigned i = 0; i < ARRAY_LEN(modes); i++) {
        bool good = true;
        for (u64 nested = 0; nested < 2; nested++) {
            for (unsigned bit = physical; bit < 64; bit++) {
                pae(l2_32);
                legacy(l2_32, modes[i].cr0, modes[i].cr4, pae_pdpt);
                C.nested = nested;
                G.cr3 |= BIT64(bit);
                good &= resume() == SVM_EXIT_INVALID;
            }
        }
        check(good, modes[i].name);
    }
    legacy(l2_32, 0, 0, NULL);
    resume();
    exits(SVM_EXIT_VMMCALL, l2_32_at, 0, "a guest without paging runs");
}

int main(void)
{
    if (!svm_begin())
        return 0;
    fetch = rdmsr(MSR_EFER) & EFER_NXE ? PFERR_I : 0;
    pdptes_under_npt();
    pdptes_without_npt();
    cr3_reserved();
    return 0;
}
