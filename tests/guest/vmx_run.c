/*
 * VT-x: the instructions and their errors, what VM entry and exit do with registers, MSR lists, shadow VMCSs, the TSC
 * offset. Ends with the time of one CPUID exit.
 */
#include "vmx.h"

static u8 vmcs_other[4096] __attribute__((aligned(4096))), msr_bitmap[4096] __attribute__((aligned(4096)));

L2(l2_nothing, "", "vmcall", "");
L2(l2_registers, "mov $0x11, %ecx; mov $0x22, %ebx; inc %r15; mov $0x55, %eax", "vmcall", "");
L2(l2_cpuid, "xor %eax, %eax", "cpuid", "");
L2(l2_hlt, "", "hlt", "");
L2(l2_rdtsc, "", "rdtsc", "");
L2(l2_rdtscp, "", "rdtscp", "");
L2(l2_rdmsr_tsc, "mov $0x10, %ecx", "rdmsr", "");
L2(l2_invlpg, "", "invlpg 0x12345000", "");
L2(l2_pause, "", "pause", "");
L2(l2_rdpmc, "xor %ecx, %ecx", "rdpmc", "");
L2(l2_vmread, "", "vmread %rax, %rbx", "");
L2(l2_shutdown, "lidt l2_no_idt(%rip)", "ud2", "");
__asm__(".data\nl2_no_idt: .word 0; .quad 0\n.text\n");

static void do_vmxon(void *p)
{
    vmxon(p);
}

static void instructions(void)
{
    struct fault f = catch_fault(do_vmxon, vmxon_region);
    check(f.raised && f.vector == EXC_UD, "VMXON without CR4.VMXE");
    write_cr4(read_cr4() | CR4_VMXE);
    check_eq(vmxon(vmxon_region + 8), FAIL_INVALID, "VMXON of a misaligned address");
    check_eq(vmxon(vmxon_region), FAIL_INVALID, "VMXON of a wrong revision");
    u32 revision = VMX_BASIC_REVISION(rdmsr(MSR_VMX_BASIC));
    copy(vmxon_region, &revision, 4);
    copy(vmcs, &revision, 4);
    check_eq(vmxon(vmxon_region), OK, "VMXON");
    check_eq(vmread_result(VMCS_GUEST_RIP), FAIL_INVALID, "VMREAD without a current VMCS");
    check_eq(vmptrld(vmcs_other), FAIL_INVALID, "VMPTRLD of a wrong revision without a current VMCS");
    copy(vmcs_other, &revision, 4);
    check_eq(vmclear(vmcs), OK, "VMCLEAR");
    check_eq(vmptrld(vmcs), OK, "VMPTRLD");
    u64 pointer = 0;
    __asm__ volatile("vmptrst %0" : "=m"(pointer) : : "memory");
    check_eq(pointer, (u64)vmcs, "VMPTRST");
    check(vmxon(vmxon_region) == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_VMXON_IN_ROOT, "VMXON again");
    check(vmptrld(vmxon_region) == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_VMPTRLD_VMXON_POINTER,
          "VMPTRLD of the VMXON region");
    check(vmclear(vmxon_region) == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_VMCLEAR_VMXON_POINTER,
          "VMCLEAR of the VMXON region");
    check(vmclear(vmcs + 8) == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_VMCLEAR_ADDRESS,
          "VMCLEAR of a misaligned address");
    check(vmread_result(0x7ffe) == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_UNSUPPORTED_FIELD,
          "VMREAD of no field");
    check(vmwrite(0x7ffe, 0) == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_UNSUPPORTED_FIELD,
          "VMWRITE of no field");
    if (!(rdmsr(MSR_VMX_MISC) & VMX_MISC_VMWRITE_ANY))
        check(vmwrite(VMCS_EXIT_REASON, 0) == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_READ_ONLY_FIELD,
              "VMWRITE of a read-only field");
    else
        skip("VMWRITE of a read-only field", "it may");
    vmwrite(VMCS_TSC_OFFSET, 0x1122334455667788);
    check_eq(vmread(VMCS_TSC_OFFSET + 1), 0x11223344, "the high half of a 64-bit field");
    vmwrite(VMCS_TSC_OFFSET + 1, 0xffffffff99aabbcc);
    check_eq(vmread(VMCS_TSC_OFFSET), 0x99aabbcc55667788, "writing the high half of a 64-bit field");
    vmclear(vmcs_other);
    vmptrld(vmcs_other);
    vmwrite(VMCS_TSC_OFFSET, 5);
    vmptrld(vmcs);
    check_eq(vmread(VMCS_TSC_OFFSET), 0x99aabbcc55667788, "two VMCSs are kept apart");
    vmptrld(vmcs_other);
    check_eq(vmread(VMCS_TSC_OFFSET), 5, "two VMCSs are kept apart in both ways");
    vmclear(vmcs_other);
    vmptrld(vmcs);
    vmclear(vmcs);
    vmptrld(vmcs);
    check_eq(vmread(VMCS_TSC_OFFSET), 0x99aabbcc55667788, "VMCLEAR keeps the fields");
    bool c, z;
    __asm__ volatile("vmcall" : "=@ccc"(c), "=@ccz"(z) : : "memory");
    check(RESULT(c, z) == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_VMCALL_IN_ROOT, "VMCALL in root operation");
}

static void basics(void)
{
    start(l2_nothing);
    exits(EXIT_VMCALL, l2_nothing_at, 0, "VMLAUNCH and VMCALL");
    check_eq(vmread(VMCS_EXIT_INSN_LENGTH), 3, "instruction length");
    vmwrite(VMCS_GUEST_RIP, (u64)l2_registers);
    regs.r15 = 7;
    resume();
    check(regs.rcx == 0x11 && regs.rbx == 0x22 && regs.r15 == 8 && regs.rax == 0x55, "VMRESUME and general registers");
    check(read_cr3() == (u64)pml4 && !(read_rflags() & FLAG_IF), "L1's state is back");
    struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) table;
    __asm__ volatile("sidt %0" : "=m"(table));
    check(table.limit == 0xffff && table.base == (u64)idt, "IDTR has a limit of FFFFh after an exit");
    start(l2_cpuid);
    exits(EXIT_CPUID, l2_cpuid_at, 0, "CPUID");
    start_proc(l2_hlt, PROC_HLT_EXITING);
    exits(EXIT_HLT, l2_hlt_at, 0, "HLT");
    start_proc(l2_rdtsc, PROC_RDTSC_EXITING);
    exits(EXIT_RDTSC, l2_rdtsc_at, 0, "RDTSC");
    start_proc(l2_invlpg, PROC_INVLPG_EXITING);
    exits(EXIT_INVLPG, l2_invlpg_at, 0x12345000, "INVLPG");
    start_proc(l2_pause, PROC_PAUSE_EXITING);
    exits(EXIT_PAUSE, l2_pause_at, 0, "PAUSE");
    start_proc(l2_rdpmc, PROC_RDPMC_EXITING);
    exits(EXIT_RDPMC, l2_rdpmc_at, 0, "RDPMC");
    start(l2_vmread);
    check_eq(vmread(VMCS_EXIT_REASON), EXIT_VMREAD, "VMREAD in L2");
    start(l2_shutdown);
    check_eq(vmread(VMCS_EXIT_REASON), EXIT_TRIPLE_FAULT, "triple fault");
}

static void shadow_vmcs(void)
{
    if (!(proc2_may & PROC2_SHADOW_VMCS)) {
        skip("shadow VMCS", "not there");
        return;
    }
    u32 revision = VMX_BASIC_REVISION(rdmsr(MSR_VMX_BASIC));
    fill(vmcs_other, 0, sizeof vmcs_other);
    *(u32 *)(void *)vmcs_other = revision | BIT(31);
    vmclear(vmcs_other);
    vmptrld(vmcs_other);
    vmwrite(VMCS_GUEST_CR3, 0x123000);
    vmclear(vmcs_other);
    prepare(l2_vmread);
    vmwrite(VMCS_PROC2_CONTROLS, PROC2_EPT | PROC2_SHADOW_VMCS);
    vmwrite(VMCS_VMREAD_BITMAP, (u64)msr_bitmap);
    vmwrite(VMCS_VMWRITE_BITMAP, (u64)msr_bitmap);
    fill(msr_bitmap, 0, sizeof msr_bitmap);
    vmwrite(VMCS_LINK_POINTER, (u64)vmcs_other);
    regs.rax = VMCS_GUEST_CR3;
    resume();
    exits(EXIT_VMCALL, l2_vmread_after, 0, "VMREAD of a shadow VMCS does not exit");
    check_eq(regs.rbx, 0x123000, "VMREAD of a shadow VMCS reads it");
    msr_bitmap[VMCS_GUEST_CR3 / 8] = 1 << VMCS_GUEST_CR3 % 8;
    vmwrite(VMCS_GUEST_RIP, (u64)l2_vmread);
    regs.rax = VMCS_GUEST_CR3;
    resume();
    exits(EXIT_VMREAD, l2_vmread_at, 0, "VMREAD of a shadow VMCS exits with its bit in the bitmap");
    fill(msr_bitmap, 0, sizeof msr_bitmap);
    vmwrite(VMCS_GUEST_RIP, (u64)l2_vmread);
    vmwrite(VMCS_INSN_ERROR, 0);
    regs.rax = 0x7ffe;
    resume();
    exits(EXIT_VMCALL, l2_vmread_after, 0, "VMREAD of no field of a shadow VMCS does not exit");
    check(vmread(VMCS_GUEST_RFLAGS) & FLAG_ZF && vmread(VMCS_INSN_ERROR) == VMERR_UNSUPPORTED_FIELD,
          "the error of a shadow VMREAD is in the current VMCS");
    vmclear(vmcs_other);
    *(u32 *)(void *)vmcs_other = revision;
}

static void msr_lists(void)
{
    static struct {
        u32 msr, reserved;
        u64 value;
    } load[2] __attribute__((aligned(16))), store[1] __attribute__((aligned(16))), back[1] __attribute__((aligned(16)));
    u64 old = rdmsr(MSR_LSTAR);
    load[0].msr = MSR_LSTAR;
    load[0].value = 0x1234;
    store[0].msr = MSR_LSTAR;
    back[0].msr = MSR_LSTAR;
    back[0].value = 0x5678;
    prepare(l2_nothing);
    vmwrite(VMCS_ENTRY_MSR_LOAD, (u64)load);
    vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 1);
    vmwrite(VMCS_EXIT_MSR_STORE, (u64)store);
    vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 1);
    vmwrite(VMCS_EXIT_MSR_LOAD, (u64)back);
    vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 1);
    resume();
    __asm__ volatile("" : : : "memory");
    check(store[0].value == 0x1234 && rdmsr(MSR_LSTAR) == 0x5678, "MSRs are loaded, stored and loaded");
    wrmsr(MSR_LSTAR, old);
    load[1].msr = MSR_FS_BASE; /* which may not be in such a list */
    prepare(l2_nothing);
    vmwrite(VMCS_ENTRY_MSR_LOAD, (u64)load);
    vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 2);
    resume();
    check(vmread(VMCS_EXIT_REASON) == (EXIT_REASON_ENTRY_FAILURE | EXIT_ENTRY_MSR_LOAD) &&
              vmread(VMCS_EXIT_QUALIFICATION) == 2,
          "a bad list entry fails the VM entry, and its number is reported");
    load[0].msr = load[0].value = 0; /* P5_MC_ADDR can only be read */
    prepare(l2_nothing);
    vmwrite(VMCS_ENTRY_MSR_LOAD, (u64)load);
    vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 1);
    resume();
    check(vmread(VMCS_EXIT_REASON) == (EXIT_REASON_ENTRY_FAILURE | EXIT_ENTRY_MSR_LOAD) &&
              vmread(VMCS_EXIT_QUALIFICATION) == 1,
          "a list entry of a read-only MSR fails the VM entry");
    wrmsr(MSR_LSTAR, old);
}

/* L2's TSC by one of the instructions that read it, less `offset`, is from `times` L1's before to `times` L1's after.
 */
static void scaled(void (*fn)(void), u32 proc, u64 times, u64 offset, const char *name)
{
    prepare(fn);
    vmwrite(VMCS_PROC_CONTROLS, proc_base | PROC_MSR_BITMAPS | proc);
    vmwrite(VMCS_MSR_BITMAP, (u64)msr_bitmap);
    vmwrite(VMCS_PROC2_CONTROLS, PROC2_EPT | PROC2_RDTSCP | PROC2_TSC_SCALING);
    vmwrite(VMCS_TSC_OFFSET, offset);
    vmwrite(VMCS_TSC_MULTIPLIER, 5ull << 47);
    u64 before = rdtsc();
    resume();
    u64 seen = (regs.rdx << 32 | (u32)regs.rax) - offset, after = rdtsc();
    check(seen >= before * times / 2 && seen <= after * times / 2, name);
}

static void scaling(void)
{
    const u64 offset = 1ull << 50;
    if (!(proc2_may & PROC2_TSC_SCALING)) {
        skip("TSC scaling", "not there");
        return;
    }
    scaled(l2_rdtsc, PROC_TSC_OFFSETTING, 5, offset, "TSC multiplier 2.5 and an offset, RDTSC");
    scaled(l2_rdtscp, PROC_TSC_OFFSETTING, 5, offset, "RDTSCP");
    scaled(l2_rdmsr_tsc, PROC_TSC_OFFSETTING, 5, offset, "RDMSR of the TSC");
    scaled(l2_rdtsc, PROC_TSC_OFFSETTING, 5, 0 - offset, "an offset below 0");
    scaled(l2_rdtsc, 0, 2, 0, "nothing without \"use TSC offsetting\"");
}

static void time(void)
{
    prepare(l2_rdtsc);
    vmwrite(VMCS_PROC_CONTROLS, proc_base | PROC_TSC_OFFSETTING);
    vmwrite(VMCS_TSC_OFFSET, 1ull << 50);
    u64 before = rdtsc();
    resume();
    u64 seen = (regs.rdx << 32 | (u32)regs.rax) - (1ull << 50), after = rdtsc();
    check(seen >= before && seen <= after, "TSC offset");
    u64 per_ms = tsc_per_ms();
    const u64 rounds = 20000;
    prepare(l2_cpuid);
    resume();
    u64 begin = rdtsc();
    for (u64 i = 0; i < rounds; i++) {
        vmwrite(VMCS_GUEST_RIP, (u64)l2_cpuid);
        run_guest(&regs, false);
    }
    print("# VMRESUME and exit on CPUID, ns: ");
    print_hex((rdtsc() - begin) * 1000000 / per_ms / rounds);
    print("\n");
}

int main(void)
{
    if (!vmx_begin())
        return 0;
    const u64 permits = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMXON_OUTSIDE_SMX;
    check((rdmsr(MSR_FEATURE_CONTROL) & permits) == permits, "IA32_FEATURE_CONTROL permits VMXON");
    instructions();
    basics();
    shadow_vmcs();
    msr_lists();
    scaling();
    time();
    vmx_off();
    return 0;
}
