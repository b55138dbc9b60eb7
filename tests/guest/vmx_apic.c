/*
 * "Virtualize APIC accesses": accesses of L2 to the APIC-access page exit, or go to the virtual TPR.
 */
#include "vmx.h"

static u64 page;         /* the APIC-access page */
static u8 *virtual_apic; /* with its TPR */

L2(l2_nothing, "", "vmcall", "");
L2(l2_read, "", "mov (%rdi), %eax", "");
L2(l2_read1, "", "mov (%rdi), %al", "");
L2(l2_read2, "", "mov (%rdi), %ax", "");
L2(l2_read8, "", "mov (%rdi), %rax", "");
L2(l2_read16, "", "movdqu (%rdi), %xmm0", "");
L2(l2_write, "", "mov %eax, (%rdi)", "");
L2(l2_write1, "", "mov %al, (%rdi)", "");
L2(l2_or, "", "orl $0x90, (%rdi)", "");
L2(l2_lock_add, "", "lock addl $0x10, (%rdi)", "");
L2(l2_xchg, "", "xchg %eax, (%rdi)", "");
L2(l2_lods, "mov %rdi, %rsi; mov $1, %ecx", "rep lodsb", "");
L2(l2_stos, "mov $1, %ecx", "rep stosl", "");
L2(l2_call, "", "call *%rdi", "");
L2(l2_int3, "mov %rdi, %rsp", "int3", "");
L2(l2_cr8, "mov %cr8, %rdx; mov $10, %eax", "mov %rax, %cr8", "");

static u8 *tpr(void)
{
    return virtual_apic + APIC_TPR;
}

/* L2 begins at fn, with EPT, and RDI and EAX as given; VTPR is 0x12345678 and the page has the bytes 55h. */
static void access(void (*fn)(void), u32 proc, u64 la)
{
    fill((void *)page, 0x55, 4096);
    *(volatile u32 *)(void *)tpr() = 0x12345678;
    prepare(fn);
    vmwrite(VMCS_PROC_CONTROLS, proc_base | proc);
    vmwrite(VMCS_PROC2_CONTROLS, PROC2_EPT | PROC2_APIC_ACCESSES);
    vmwrite(VMCS_APIC_ACCESS, page);
    vmwrite(VMCS_VIRTUAL_APIC, (u64)virtual_apic);
    vmwrite(VMCS_TPR_THRESHOLD, 0);
    invept(2, 0);
    regs.rdi = la;
    regs.rax = 0xaabbcc60;
}

static bool untouched(void)
{
    for (unsigned i = 0; i < 4096; i++)
        if (*(volatile u8 *)(page + i) != 0x55)
            return false;
    return true;
}

#define Q(type, offset) ((u64)(type) << APICQ_TYPE_SHIFT | (offset))

static void exits_for(void (*fn)(void), const u8 *at, u32 proc, u64 la, u64 qualification, const char *name)
{
    access(fn, proc, la);
    resume();
    exits(EXIT_APIC_ACCESS, at, qualification, name);
}

static void without_shadow(void)
{
    exits_for(l2_read, l2_read_at, 0, page + 0x20, Q(APICQ_READ, 0x20), "a read");
    check_eq(vmread(VMCS_EXIT_INSN_LENGTH), (u64)(l2_read_after - l2_read_at), "has the length of the instruction");
    check(vmread(VMCS_GUEST_RFLAGS) & FLAG_RF, "and RF is saved as set");
    exits_for(l2_write, l2_write_at, 0, page + 0xb0, Q(APICQ_WRITE, 0xb0), "a write");
    check(untouched(), "writes nothing");
    exits_for(l2_read, l2_read_at, 0, page + 0x80, Q(APICQ_READ, 0x80), "a read of the TPR without a TPR shadow");
    exits_for(l2_or, l2_or_at, 0, page + 0x300, Q(APICQ_WRITE, 0x300), "a read and a write are a write");
    exits_for(l2_lods, l2_lods_at, 0, page + 0x31, Q(APICQ_READ, 0x31), "a string instruction that reads");
    exits_for(l2_stos, l2_stos_at, 0, page + 0x310, Q(APICQ_WRITE, 0x310), "and one that writes");
    exits_for(l2_read16, l2_read16_at, 0, page + 0x400, Q(APICQ_READ, 0x400), "a read of 16 bytes");
    exits_for(l2_read, l2_read_at, 0, page - 2, Q(APICQ_READ, 0), "a read that runs into the page");
    exits_for(l2_read, l2_read_at, 0, page + 0xffe, Q(APICQ_READ, 0xffe), "and one that runs out of it");
    exits_for(l2_call, (const u8 *)page + 0x100, 0, page + 0x100, Q(APICQ_FETCH, 0x100), "an instruction fetch");
    access(l2_int3, 0, page + 0x800);
    resume();
    check(vmread(VMCS_EXIT_REASON) == EXIT_APIC_ACCESS &&
              vmread(VMCS_EXIT_QUALIFICATION) >> APICQ_TYPE_SHIFT == APICQ_EVENT,
          "a frame of an event");
    check_eq(vmread(VMCS_IDT_VECTORING_INFO), INTR_VALID | INTR_TYPE_SOFT_EXC << INTR_TYPE_SHIFT | EXC_BP,
             "has the event");
    access(l2_nothing, 0, 0);
    vmwrite(VMCS_GUEST_CR3, page);
    resume();
    check(vmread(VMCS_EXIT_REASON) == EXIT_APIC_ACCESS &&
              vmread(VMCS_EXIT_QUALIFICATION) >> APICQ_TYPE_SHIFT == APICQ_PHYSICAL,
          "a paging structure of L2 in the page");
}

static void stays(void (*fn)(void), const u8 *after, u64 la, u32 vtpr, const char *name)
{
    access(fn, PROC_TPR_SHADOW, la);
    resume();
    exits(EXIT_VMCALL, after, 0, name);
    check_eq(*(volatile u32 *)(void *)tpr(), vtpr, "VTPR is then");
    check(untouched(), "and the page as it was");
}

static void with_shadow(void)
{
    const u64 at = page + APIC_TPR;
    stays(l2_read, l2_read_after, at, 0x12345678, "a read of the virtual TPR");
    check_eq(regs.rax, 0x12345678, "has all of its bytes");
    stays(l2_read1, l2_read1_after, at, 0x12345678, "a read of a byte");
    check_eq(regs.rax, 0xaabbcc78, "has one");
    stays(l2_read2, l2_read2_after, at, 0x12345678, "a read of a word");
    check_eq(regs.rax, 0xaabb5678, "has two");
    stays(l2_write, l2_write_after, at, 0x60, "a write of the virtual TPR");
    stays(l2_write1, l2_write1_after, at, 0x60, "a write of a byte");
    stays(l2_or, l2_or_after, at, 0xf8, "OR");
    stays(l2_lock_add, l2_lock_add_after, at, 0x88, "LOCK ADD");
    stays(l2_xchg, l2_xchg_after, at, 0x60, "XCHG");
    check_eq(regs.rax, 0x12345678, "which reads, too");
    stays(l2_stos, l2_stos_after, at, 0x60, "REP STOS");
    stays(l2_cr8, l2_cr8_after, 0, 0xa0, "CR8 is the same register");
    check_eq(regs.rdx, 7, "with four bits");
    exits_for(l2_read8, l2_read8_at, PROC_TPR_SHADOW, at, Q(APICQ_READ, 0x80), "8 bytes are too many");
    exits_for(l2_read1, l2_read1_at, PROC_TPR_SHADOW, at + 1, Q(APICQ_READ, 0x81), "another byte of the register");
    exits_for(l2_read, l2_read_at, PROC_TPR_SHADOW, page + 0x84, Q(APICQ_READ, 0x84), "what is behind the register");
    exits_for(l2_write, l2_write_at, PROC_TPR_SHADOW, page + 0xb0, Q(APICQ_WRITE, 0xb0), "another register");
    exits_for(l2_call, (const u8 *)at, PROC_TPR_SHADOW, at, Q(APICQ_FETCH, 0x80), "a fetch");
}

static void threshold(void)
{
    access(l2_write, PROC_TPR_SHADOW, page + APIC_TPR);
    vmwrite(VMCS_TPR_THRESHOLD, 7);
    resume();
    exits(EXIT_TPR_BELOW_THRESHOLD, l2_write_after, 0, "a write below the TPR threshold exits after the instruction");
    check_eq(*(volatile u32 *)(void *)tpr(), 0x60, "and is done");
    access(l2_write, PROC_TPR_SHADOW, page + APIC_TPR);
    vmwrite(VMCS_TPR_THRESHOLD, 6);
    resume();
    exits(EXIT_VMCALL, l2_write_after, 0, "at the threshold it does not");
    access(l2_nothing, PROC_TPR_SHADOW, 0);
    vmwrite(VMCS_TPR_THRESHOLD, 8);
    resume();
    exits(EXIT_TPR_BELOW_THRESHOLD, l2_nothing_at, 0, "VM entry with VTPR below it exits at once");
}

static void translations(void)
{
    const u64 la = 0x8000000000, large = 32 << 20, large_mask = (2 << 20) - 1;
    u64 *other = page_alloc(), *e = pte_of(ept, (u64)other, 1), old = *e;
    map_page(la, (u64)other, PTE_P | PTE_W);
    *e = (old & 0xfff) | page;
    exits_for(l2_read, l2_read_at, 0, la + 0x20, Q(APICQ_READ, 0x20), "the page is found behind EPT");
    *e = old & ~7ull;
    access(l2_read, 0, la + 0x20);
    resume();
    check_eq(vmread(VMCS_EXIT_REASON), EXIT_EPT_VIOLATION, "after EPT violations");
    *e = old;
    access(l2_read, 0, la + 0x20);
    resume();
    exits(EXIT_VMCALL, l2_read_after, 0, "and not by L2's own address");
    map_page(la, page, PTE_W);
    access(l2_read, 0, la + 0x20);
    vmwrite(VMCS_EXCEPTION_BITMAP, BIT(EXC_PF));
    resume();
    check_eq(vmread(VMCS_EXIT_REASON), EXIT_EXCEPTION_NMI, "after page faults");
    u64 *big = pte_of(ept, large, 2), was = *big;
    *big = (page & ~large_mask) | EPT_LEAF | EPT_R | EPT_W | EPT_X | MEMTYPE_WB << EPT_MEMTYPE_SHIFT;
    exits_for(l2_write, l2_write_at, 0, large + (page & large_mask) + 0x20, Q(APICQ_WRITE, 0x20), "in a large page");
    access(l2_read, 0, large + (page & large_mask) - 4);
    resume();
    exits(EXIT_VMCALL, l2_read_after, 0, "whose other parts are memory");
    *big = was;
    access(l2_write, 0, page + 0x20);
    vmwrite(VMCS_PROC2_CONTROLS, PROC2_EPT);
    resume();
    exits(EXIT_VMCALL, l2_write_after, 0, "without the control it is a page");
    check_eq(*(volatile u32 *)(page + 0x20), 0xaabbcc60, "that is written");
}

static void checks(void)
{
    access(l2_nothing, PROC_TPR_SHADOW, 0);
    vmwrite(VMCS_APIC_ACCESS, page + 8);
    check(resume() == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_ENTRY_CONTROLS, "a misaligned address");
    access(l2_nothing, PROC_TPR_SHADOW, 0);
    vmwrite(VMCS_APIC_ACCESS, BIT64(60));
    check(resume() == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_ENTRY_CONTROLS, "one beyond physical memory");
    access(l2_nothing, PROC_TPR_SHADOW, 0);
    vmwrite(VMCS_PROC2_CONTROLS, PROC2_EPT | PROC2_APIC_ACCESSES | PROC2_X2APIC_MODE);
    check(resume() == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_ENTRY_CONTROLS, "with \"virtualize x2APIC mode\"");
    access(l2_nothing, 0, 0);
    vmwrite(VMCS_APIC_ACCESS, 0xfed00000);
    resume();
    exits(EXIT_VMCALL, l2_nothing_at, 0, "the page need not be memory");
}

int main(void)
{
    if (!vmx_begin())
        return 0;
    if (!ept || !(proc2_may & PROC2_APIC_ACCESSES)) {
        skip("APIC-access page", "not there");
        return 0;
    }
    vmx_on();
    page = (u64)page_alloc();
    virtual_apic = page_alloc();
    without_shadow();
    with_shadow();
    threshold();
    translations();
    checks();
    vmx_off();
    return 0;
}
