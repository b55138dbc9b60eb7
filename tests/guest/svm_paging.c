/*
 * Nested paging of AMD-V: nested page faults and their information, accessed and dirty bits, TLB_CONTROL and ASIDs.
 */
#include "svm.h"

L2(l2_nothing, "", "vmmcall", "");
L2(l2_registers, "mov $0x11, %ecx; mov $0x22, %ebx; inc %r15; mov $0x55, %eax", "vmmcall", "");
L2(l2_pop, "", "popq (%rdi)", "");
L2(l2_read, "", "mov (%rdi), %rax", "");
L2(l2_write, "", "movq $1, (%rdi)", "");
L2(l2_call, "", "call *%rdi", "");

static u64 npf(void (*fn)(void), u64 set, u64 clear)
{
    u64 *e = pte_of(npt, (u64)scratch, 1), old = *e;
    *e = (*e | set) & ~clear;
    prepare(fn);
    regs.rdi = (u64)scratch;
    resume();
    *e = old;
    return C.exit_code == SVM_EXIT_NPF ? C.exit_info1 : ~0ull;
}

static void nested_paging(void)
{
    u64 page = (u64)scratch;
    *(u8 *)scratch = 0xc3;
    check_eq(npf(l2_read, 0, PTE_P), SVM_NPF_FINAL | PFERR_U, "#NPF of a missing page");
    check_eq(C.exit_info2, page, "#NPF of a missing page has its address in EXITINFO2");
    if (features & HAS_DECODE_ASSISTS)
        check(C.insn_len >= 3 && same(C.insn_bytes, l2_read_at, 3),
              "#NPF of a missing page has the instruction's bytes");
    else
        skip("instruction bytes of #NPF", "no decode assists");
    check_eq(npf(l2_write, 0, PTE_W), SVM_NPF_FINAL | PFERR_U | PFERR_P | PFERR_W,
             "#NPF of a write to a read-only page");
    check_eq(npf(l2_pop, 0, PTE_W), SVM_NPF_FINAL | PFERR_U | PFERR_P | PFERR_W, "#NPF of the write of a POP");
    check_eq(G.rsp, (u64)(l2_stack + sizeof l2_stack - 8), "#NPF of a POP leaves RSP as it was");
    check_eq(npf(l2_read, 0, PTE_U), SVM_NPF_FINAL | PFERR_U | PFERR_P, "#NPF: accesses are user accesses");
    if (rdmsr(MSR_EFER) & EFER_NXE)
        check_eq(npf(l2_call, PTE_NX, 0), SVM_NPF_FINAL | PFERR_U | PFERR_P | PFERR_I,
                 "#NPF of a fetch from an NX page");
    else
        skip("#NPF of a fetch", "no NX");
    if ((cpuid(0x80000008, 0).a & 0xff) < 52)
        check_eq(npf(l2_read, BIT64(51), 0), SVM_NPF_FINAL | PFERR_U | PFERR_P | PFERR_RSVD, "#NPF of a reserved bit");
    else
        skip("#NPF of a reserved bit", "52 address bits");
    check_eq(npf(l2_read, 0, 0), ~0ull, "no #NPF without reason");

    /* L2's own page tables. */
    u64 *e = pte_of(npt, (u64)pml4, 1), old = *e;
    *e &= ~PTE_P;
    start(l2_nothing);
    check(C.exit_code == SVM_EXIT_NPF && C.exit_info1 == (SVM_NPF_TABLE | PFERR_U | PFERR_W),
          "#NPF of a guest page table");
    check_eq(C.exit_info2 & ~0xfffull, (u64)pml4, "#NPF of a guest page table has the table's address");
    *e = old & ~PTE_W;
    start(l2_nothing);
    check(C.exit_code == SVM_EXIT_NPF && C.exit_info1 == (SVM_NPF_TABLE | PFERR_U | PFERR_W | PFERR_P),
          "walks of guest page tables are writes");
    *e = old;

    e = pte_of(npt, page, 1);
    old = *e;
    *e &= ~(PTE_A | PTE_D);
    prepare(l2_read);
    regs.rdi = page;
    resume();
    __asm__ volatile("" : : : "memory");
    check((*e & (PTE_A | PTE_D)) == PTE_A, "a read sets the accessed bit of the nested entry");
    prepare(l2_write);
    regs.rdi = page;
    resume();
    __asm__ volatile("" : : : "memory");
    check((*e & (PTE_A | PTE_D)) == (PTE_A | PTE_D), "a write sets the dirty bit of the nested entry");

    /* The L2-physical page gets another frame, which L2 sees after each kind of flush, and with another ASID. */
    u64 *other = page_alloc();
    scratch[0] = 0xaaa;
    other[0] = 0xbbb;
    prepare(l2_read);
    regs.rdi = page;
    resume();
    check_eq(G.rax, 0xaaa, "L2 reads the first frame");
    *e = (u64)other | PTE_P | PTE_W | PTE_U;
    prepare(l2_read);
    regs.rdi = page;
    resume();
    check_eq(G.rax, 0xbbb, "L2 reads the second frame after a flush of everything");
    *e = old;
    if (features & HAS_FLUSH_BY_ASID) {
        prepare(l2_read);
        regs.rdi = page;
        C.tlb_control = TLB_CONTROL_FLUSH_ASID;
        resume();
        check_eq(G.rax, 0xaaa, "L2 reads the first frame after a flush of the ASID");
    } else {
        skip("flush by ASID", "no flush by ASID");
    }
    *e = (u64)other | PTE_P | PTE_W | PTE_U;
    prepare(l2_read);
    regs.rdi = page;
    C.tlb_control = TLB_CONTROL_NOTHING;
    C.asid = 2;
    resume();
    check_eq(G.rax, 0xbbb, "L2 reads the second frame with a new ASID");
    *e = old;

    /* Without nested paging L2 walks L1-physical memory. */
    prepare(l2_registers);
    C.nested = 0;
    C.asid = 3;
    resume();
    exits(SVM_EXIT_VMMCALL, l2_registers_at, 0, "a guest without nested paging");
}

int main(void)
{
    if (!svm_begin())
        return 0;
    nested_paging();
    return 0;
}
