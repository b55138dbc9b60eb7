/*
 * EPT and VPID: violations and misconfigurations with their information, accessed and dirty flags, INVEPT and INVVPID.
 */
#include "vmx.h"

static u64 *scratch; /* a page of its own */

L2(l2_nothing, "", "vmcall", "");
L2(l2_pop, "", "popq (%rdi)", "");
L2(l2_read, "", "mov (%rdi), %rax", "");
L2(l2_write, "", "movq $1, (%rdi)", "");
L2(l2_call, "", "call *%rdi", "");

static void violation(void (*fn)(void), u64 set, u64 clear, u64 reason, u64 qualification, const char *name)
{
    u64 *e = pte_of(ept, (u64)scratch, 1), old = *e;
    *e = (*e | set) & ~clear;
    invept(2, 0);
    prepare(fn);
    regs.rdi = (u64)scratch;
    resume();
    *e = old;
    invept(2, 0);
    bool good = vmread(VMCS_EXIT_REASON) == reason && vmread(VMCS_GUEST_PHYSICAL) == (u64)scratch;
    if (reason == EXIT_EPT_VIOLATION)
        good &= (vmread(VMCS_EXIT_QUALIFICATION) & 0x1ff) == qualification;
    check(good, name);
    if (!good) {
        print("# reason ");
        print_hex(vmread(VMCS_EXIT_REASON));
        print(" qualification ");
        print_hex(vmread(VMCS_EXIT_QUALIFICATION));
        print("\n");
    }
}

/* EPT forbids writes to the page that holds L2's page-table entry. */
static void read_only_table(u64 flags, const char *name, bool passes)
{
    const u64 la = 0x8000000000;
    map_page(la, (u64)scratch, PTE_P | PTE_W | flags);
    u64 *entry = pte_of(pml4, la, 1), *e = pte_of(ept, (u64)entry, 1), old = *e;
    *e &= ~(u64)EPT_W;
    invept(2, 0);
    prepare(l2_read);
    regs.rdi = la;
    resume();
    *e = old;
    invept(2, 0);
    if (passes)
        exits(EXIT_VMCALL, l2_read_after, 0, name);
    else
        check(vmread(VMCS_EXIT_REASON) == EXIT_EPT_VIOLATION && (vmread(VMCS_EXIT_QUALIFICATION) & 0x1ff) == 0xab &&
                  vmread(VMCS_GUEST_PHYSICAL) == (u64)entry,
              name);
}

static void paging_structures(void)
{
    read_only_table(0, "setting an accessed flag of L2 that EPT forbids is a read and a write", false);
    read_only_table(PTE_A, "reading a table whose accessed flag is set is no violation", true);
}

static void extended_page_tables(void)
{
    if (!ept) {
        skip("EPT", "no EPT");
        return;
    }
    u64 page = (u64)scratch;
    *(u8 *)scratch = 0xc3;
    violation(l2_read, 0, 7, EXIT_EPT_VIOLATION, 0x181, "EPT violation of a read");
    check_eq(vmread(VMCS_GUEST_LINEAR), page, "EPT violation has the linear address");
    violation(l2_write, 0, EPT_W, EXIT_EPT_VIOLATION, 0x1aa, "EPT violation of a write");
    violation(l2_call, 0, EPT_X, EXIT_EPT_VIOLATION, 0x19c, "EPT violation of a fetch");
    violation(l2_pop, 0, EPT_W, EXIT_EPT_VIOLATION, 0x1aa, "EPT violation of the write of a POP");
    check_eq(vmread(VMCS_GUEST_RSP), (u64)(l2_stack + sizeof l2_stack - 8),
             "EPT violation of a POP leaves RSP as it was");
    violation(l2_read, 0, EPT_R, EXIT_EPT_MISCONFIG, 0, "write without read is a misconfiguration");
    violation(l2_read, 2 << 3, 4 << 3, EXIT_EPT_MISCONFIG, 0, "memory type 2 is a misconfiguration");
    u64 *e = pte_of(ept, (u64)pml4, 1), old = *e;
    *e = 0;
    invept(2, 0);
    start(l2_nothing);
    u64 q = vmread(VMCS_EXIT_QUALIFICATION);
    *e = old;
    invept(2, 0);
    check(vmread(VMCS_EXIT_REASON) == EXIT_EPT_VIOLATION && (q & 0x180) == 0x80 &&
              (vmread(VMCS_GUEST_PHYSICAL) & ~0xfffull) == (u64)pml4,
          "EPT violation of a guest page table");
    paging_structures();
    if (rdmsr(MSR_VMX_EPT_VPID_CAP) & EPT_CAP_AD) {
        e = pte_of(ept, page, 1);
        *e &= ~(EPT_A | EPT_D);
        invept(2, 0);
        prepare(l2_read);
        vmwrite(VMCS_EPTP, vmread(VMCS_EPTP) | EPTP_AD);
        regs.rdi = page;
        resume();
        __asm__ volatile("" : : : "memory");
        check((*e & (EPT_A | EPT_D)) == EPT_A, "a read sets EPT's accessed flag");
        prepare(l2_write);
        vmwrite(VMCS_EPTP, vmread(VMCS_EPTP) | EPTP_AD);
        regs.rdi = page;
        resume();
        __asm__ volatile("" : : : "memory");
        check((*e & (EPT_A | EPT_D)) == (EPT_A | EPT_D), "a write sets EPT's dirty flag");
    } else {
        skip("EPT accessed and dirty flags", "not there");
    }

    u64 *other = page_alloc();
    scratch[0] = 0xaaa;
    other[0] = 0xbbb;
    e = pte_of(ept, page, 1);
    old = *e;
    prepare(l2_read);
    regs.rdi = page;
    resume();
    check_eq(regs.rax, 0xaaa, "L2 reads the first frame");
    *e = (u64)other | 0x37;
    check_eq(invept(1, vmread(VMCS_EPTP)), OK, "INVEPT of one context");
    prepare(l2_read);
    regs.rdi = page;
    resume();
    check_eq(regs.rax, 0xbbb, "L2 reads the second frame after INVEPT");
    *e = old;
    invept(2, 0);
    check(invept(7, 0) == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_INVALID_OPERAND, "INVEPT of an unknown type");
    if (proc2_may & PROC2_VPID) {
        prepare(l2_read);
        vmwrite(VMCS_PROC2_CONTROLS, PROC2_EPT | PROC2_VPID);
        vmwrite(VMCS_VPID, 0);
        check(resume() == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_ENTRY_CONTROLS, "VPID 0");
        check(invvpid(1, 0, 0) == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_INVALID_OPERAND, "INVVPID of VPID 0");
        u64 la = 0x8000000000;
        map_page(la, (u64)scratch, PTE_P | PTE_W);
        static const char *const name[] = {"INVVPID of an address", "INVVPID of a VPID", "INVVPID of all"};
        for (unsigned type = 0; type < 3; type++) {
            map_page(la, (u64)scratch, PTE_P | PTE_W);
            invvpid(2, 0, 0);
            prepare(l2_read);
            vmwrite(VMCS_PROC2_CONTROLS, PROC2_EPT | PROC2_VPID);
            vmwrite(VMCS_VPID, 5);
            regs.rdi = la;
            resume();
            bool first = regs.rax == 0xaaa;
            map_page(la, (u64)other, PTE_P | PTE_W);
            invvpid(type, 5, la);
            vmwrite(VMCS_GUEST_RIP, (u64)l2_read);
            resume();
            check(first && regs.rax == 0xbbb, name[type]);
        }
    } else {
        skip("VPID", "not there");
    }
}

int main(void)
{
    if (!vmx_begin())
        return 0;
    vmx_on();
    scratch = page_alloc();
    extended_page_tables();
    vmx_off();
    return 0;
}
