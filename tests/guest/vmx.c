/*
 * A minimal VT-x hypervisor: L2 is a function of this image at CPL 0, with L1's page tables, GDT and IDT, under EPT if
 * there is EPT. VMX instructions and their errors, exits of each kind with their information, event injection, windows,
 * EPT, entry checks, MSR lists. Ends with the time of one CPUID exit.
 */
#include "vmx.h"

static u8 vmcs_other[4096] __attribute__((aligned(4096))), io_bitmaps[8192] __attribute__((aligned(4096)));
static u8 msr_bitmap[4096] __attribute__((aligned(4096)));

L2(l2_nothing, "", "vmcall", "");
L2(l2_registers, "mov $0x11, %ecx; mov $0x22, %ebx; inc %r15; mov $0x55, %eax", "vmcall", "");
L2(l2_pop, "", "popq (%rdi)", "");
L2(l2_string, "lea l2_bytes(%rip), %rdi; mov $3, %ecx", "rep stosb", "");
L2(l2_rdpid, "", ".byte 0xf3, 0x0f, 0xc7, 0xf8", "");
L2(l2_cpuid, "xor %eax, %eax", "cpuid", "");
L2(l2_hlt, "", "hlt", "");
L2(l2_sti_hlt, "sti", "hlt", "");
L2(l2_rdtsc, "", "rdtsc", "");
L2(l2_invlpg, "", "invlpg 0x12345000", "");
L2(l2_pause, "", "pause", "");
L2(l2_rdpmc, "xor %ecx, %ecx", "rdpmc", "");
L2(l2_rdmsr, "mov $0xc0000082, %ecx", "rdmsr", "");
L2(l2_wrmsr, "mov $0xc0000082, %ecx; mov $7, %eax; xor %edx, %edx", "wrmsr", "");
L2(l2_out, "mov $0x5a, %eax", "out %al, $0x80", "");
L2(l2_in_dx, "mov $0xe0, %edx", "in %dx, %ax", "");
L2(l2_outs, "mov $0xe0, %edx; lea l2_bytes(%rip), %rsi; mov $2, %ecx", "rep outsb", "");
L2(l2_read_cr0, "", "mov %cr0, %r9", "");
L2(l2_read_cr3, "", "mov %cr3, %r9", "");
L2(l2_write_cr3, "mov %cr3, %r10", "mov %r10, %cr3", "");
L2(l2_write_cr0_ts, "mov %cr0, %r10; or $8, %r10", "mov %r10, %cr0", "");
L2(l2_clts, "", "clts", "");
L2(l2_lmsw, "mov $9, %eax", "lmsw %ax", "");
L2(l2_dr, "", "mov %rsi, %db7", "");
L2(l2_ud, "", "ud2", "");
L2(l2_bp, "", "int3", "");
L2(l2_int, "", "int $0x20", "");
L2(l2_gp, "mov $0x1000, %eax", "mov %eax, %ds", "");
L2(l2_pf, "movabs $0x8000000000, %rax", "mov 8(%rax), %rax", "");
L2(l2_vmread, "", "vmread %rax, %rbx", "");
L2(l2_shutdown, "lidt l2_no_idt(%rip)", "ud2", "");
L2(l2_spin, "", "jmp l2_spin", "");
L2(l2_sti, "", "sti", "nop; nop; cli");
L2(l2_read, "", "mov (%rdi), %rax", "");
L2(l2_write, "", "movq $1, (%rdi)", "");
L2(l2_call, "", "call *%rdi", "");
L2(l2_nops, "", "nop", "nop");
L2(l2_nmi, "mov $0xfee00300, %ebx", "movl $0x44400, (%rbx)", "mov $1000000, %ecx; 1: loop 1b");
__asm__(".data\nl2_no_idt: .word 0; .quad 0\nl2_bytes: .quad 0, 0\n.text\n");

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
    check_eq(vmread(VMCS_TSC_OFFSET), 0x99aabbcc55667788, "and writing it");
    vmclear(vmcs_other);
    vmptrld(vmcs_other);
    vmwrite(VMCS_TSC_OFFSET, 5);
    vmptrld(vmcs);
    check_eq(vmread(VMCS_TSC_OFFSET), 0x99aabbcc55667788, "two VMCSs keep apart");
    vmptrld(vmcs_other);
    check_eq(vmread(VMCS_TSC_OFFSET), 5, "in both ways");
    vmclear(vmcs_other);
    vmptrld(vmcs);
    vmclear(vmcs);
    vmptrld(vmcs);
    check_eq(vmread(VMCS_TSC_OFFSET), 0x99aabbcc55667788, "VMCLEAR keeps the fields");
    bool c, z;
    __asm__ volatile("vmcall" : "=@ccc"(c), "=@ccz"(z) : : "memory");
    check(RESULT(c, z) == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_VMCALL_IN_ROOT, "VMCALL in root operation");
}

static void entry_errors(void)
{
    prepare(l2_nothing);
    launched = true;
    check(resume() == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_VMRESUME_NOT_LAUNCHED, "VMRESUME of a clear VMCS");
    start(l2_nothing);
    launched = false;
    check(resume() == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_VMLAUNCH_NOT_CLEAR, "VMLAUNCH of a launched VMCS");
    prepare(l2_nothing);
    vmwrite(VMCS_PIN_CONTROLS, 0);
    check(resume() == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_ENTRY_CONTROLS,
          "pin-based controls without the default ones");
    prepare(l2_nothing);
    vmwrite(VMCS_ENTRY_INTR_INFO, INTR_VALID | 1 << INTR_TYPE_SHIFT);
    check(resume() == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_ENTRY_CONTROLS, "injection of a reserved type");
    prepare(l2_nothing);
    vmwrite(VMCS_SEGMENT(VMCS_HOST_SELECTOR, SEG_CS), 0);
    check(resume() == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_ENTRY_HOST_STATE, "null host CS");
    prepare(l2_nothing);
    vmwrite(VMCS_HOST_CR3, BIT64(60));
    check(resume() == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_ENTRY_HOST_STATE,
          "host CR3 beyond physical memory");
    static const struct {
        u32 field;
        u64 value;
        const char *name;
    } guest[] = {
        {VMCS_GUEST_RFLAGS, 0, "guest RFLAGS bit 1"},
        {VMCS_GUEST_RFLAGS, FLAG_ONE | BIT64(15), "guest RFLAGS bit 15"},
        {VMCS_GUEST_RIP, 0x1000000000000, "guest RIP not canonical"},
        {VMCS_GUEST_CR3, BIT64(60), "guest CR3 beyond physical memory"},
        {VMCS_GUEST_ACTIVITY, 7, "guest activity state 7"},
        {VMCS_LINK_POINTER, 0x123, "VMCS link pointer"},
        {VMCS_SEGMENT(VMCS_GUEST_ACCESS_RIGHTS, SEG_TR), SEG_UNUSABLE, "guest TR unusable"},
        {VMCS_SEGMENT(VMCS_GUEST_ACCESS_RIGHTS, SEG_CS), 0xc09b | SEG_L, "guest CS with L and D"},
        {VMCS_GUEST_INTERRUPTIBILITY, 3, "blocking by STI and by MOV SS"},
        {VMCS_GUEST_PENDING_DEBUG, BIT64(4), "pending debug exceptions, reserved bit"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(guest); i++) {
        prepare(l2_nothing);
        vmwrite(guest[i].field, guest[i].value);
        int r = resume();
        check(r == OK && vmread(VMCS_EXIT_REASON) == (EXIT_REASON_ENTRY_FAILURE | EXIT_ENTRY_GUEST_STATE),
              guest[i].name);
    }
    start(l2_nothing);
    exits(EXIT_VMCALL, l2_nothing_at, 0, "and a good VMCS runs");
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
    check(table.limit == 0xffff && table.base == (u64)idt, "with limits of FFFFh");
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

static void bitmaps(void)
{
    start_proc(l2_rdmsr, 0);
    exits(EXIT_RDMSR, l2_rdmsr_at, 0, "RDMSR without a bitmap");
    prepare(l2_rdmsr);
    vmwrite(VMCS_PROC_CONTROLS, proc_base | PROC_MSR_BITMAPS);
    vmwrite(VMCS_MSR_BITMAP, (u64)msr_bitmap);
    msr_bitmap[0xc00 + 0x82 / 8] = 1 << 0x82 % 8;
    resume();
    exits(EXIT_VMCALL, l2_rdmsr_after, 0, "RDMSR with a clear bit");
    prepare(l2_wrmsr);
    vmwrite(VMCS_PROC_CONTROLS, proc_base | PROC_MSR_BITMAPS);
    vmwrite(VMCS_MSR_BITMAP, (u64)msr_bitmap);
    resume();
    exits(EXIT_WRMSR, l2_wrmsr_at, 0, "WRMSR with a set bit");
    start_proc(l2_out, PROC_UNCONDITIONAL_IO);
    exits(EXIT_IO, l2_out_at, 0x800040, "OUT to an immediate port");
    prepare(l2_in_dx);
    vmwrite(VMCS_PROC_CONTROLS, proc_base | PROC_IO_BITMAPS);
    vmwrite(VMCS_IO_BITMAP_A, (u64)io_bitmaps);
    vmwrite(VMCS_IO_BITMAP_B, (u64)io_bitmaps + 4096);
    io_bitmaps[0xe1 / 8] = 2;
    resume();
    exits(EXIT_IO, l2_in_dx_at, 0xe00009, "IN of a word whose second port has a bit");
    prepare(l2_out);
    vmwrite(VMCS_PROC_CONTROLS, proc_base | PROC_IO_BITMAPS);
    vmwrite(VMCS_IO_BITMAP_A, (u64)io_bitmaps);
    vmwrite(VMCS_IO_BITMAP_B, (u64)io_bitmaps + 4096);
    resume();
    exits(EXIT_VMCALL, l2_out_after, 0, "OUT of a port without a bit");
    start_proc(l2_outs, PROC_UNCONDITIONAL_IO);
    exits(EXIT_IO, l2_outs_at, 0xe00030, "REP OUTSB");
}

static void registers(void)
{
    start_proc(l2_read_cr3, PROC_CR3_STORE_EXITING);
    exits(EXIT_CR_ACCESS, l2_read_cr3_at, 0x913, "MOV from CR3");
    start_proc(l2_write_cr3, PROC_CR3_LOAD_EXITING);
    exits(EXIT_CR_ACCESS, l2_write_cr3_at, 0xa03, "MOV to CR3");
    prepare(l2_read_cr0);
    vmwrite(VMCS_CR0_MASK, CR0_TS | CR0_NE);
    vmwrite(VMCS_CR0_READ_SHADOW, CR0_TS);
    resume();
    check_eq(regs.r9, (read_cr0() | CR0_TS) & ~CR0_NE, "CR0 read shadow");
    prepare(l2_write_cr0_ts);
    vmwrite(VMCS_CR0_MASK, CR0_TS);
    vmwrite(VMCS_CR0_READ_SHADOW, 0);
    resume();
    exits(EXIT_CR_ACCESS, l2_write_cr0_ts_at, 0xa00, "MOV to CR0 that differs from the shadow");
    prepare(l2_write_cr0_ts);
    vmwrite(VMCS_CR0_MASK, CR0_TS);
    vmwrite(VMCS_CR0_READ_SHADOW, CR0_TS);
    resume();
    exits(EXIT_VMCALL, l2_write_cr0_ts_after, 0, "and one that does not");
    check(!(vmread(VMCS_GUEST_CR0) & CR0_TS), "leaves host-owned bits");
    prepare(l2_clts);
    vmwrite(VMCS_CR0_MASK, CR0_TS);
    vmwrite(VMCS_CR0_READ_SHADOW, CR0_TS);
    resume();
    exits(EXIT_CR_ACCESS, l2_clts_at, 0x20, "CLTS");
    prepare(l2_lmsw);
    vmwrite(VMCS_CR0_MASK, CR0_TS);
    vmwrite(VMCS_CR0_READ_SHADOW, 0);
    resume();
    exits(EXIT_CR_ACCESS, l2_lmsw_at, 0x90030, "LMSW");
    start_proc(l2_dr, PROC_MOV_DR_EXITING);
    exits(EXIT_MOV_DR, l2_dr_at, 0x607, "MOV to DR7");
}

static void exception(void (*fn)(void), u8 vector)
{
    prepare(fn);
    vmwrite(VMCS_EXCEPTION_BITMAP, BIT(vector));
    resume();
}

static void exceptions(void)
{
    const u32 fault = INTR_VALID | 3 << INTR_TYPE_SHIFT;
    exception(l2_ud, EXC_UD);
    exits(EXIT_EXCEPTION_NMI, l2_ud_at, 0, "#UD");
    if (cpuid(7, 0).c & BIT(22)) {
        exception(l2_rdpid, EXC_UD);
        exits(EXIT_EXCEPTION_NMI, l2_rdpid_at, 0, "RDPID without enable RDTSCP is #UD");
        exception(l2_ud, EXC_UD);
    }
    check_eq(vmread(VMCS_EXIT_INTR_INFO), fault | EXC_UD, "its interruption information");
    exception(l2_gp, EXC_GP);
    check_eq(vmread(VMCS_EXIT_INTR_INFO), fault | INTR_ERROR_VALID | EXC_GP, "#GP");
    check_eq(vmread(VMCS_EXIT_INTR_ERROR_CODE), 0x1000, "its error code");
    exception(l2_bp, EXC_BP);
    exits(EXIT_EXCEPTION_NMI, l2_bp_at, 0, "#BP has RIP at INT3");
    check(vmread(VMCS_EXIT_INTR_INFO) == (INTR_VALID | 6 << INTR_TYPE_SHIFT | EXC_BP) &&
              vmread(VMCS_EXIT_INSN_LENGTH) == 1,
          "as a software exception");
    exception(l2_pf, EXC_PF);
    exits(EXIT_EXCEPTION_NMI, l2_pf_at, 0x8000000008, "#PF has the address as qualification");
}

static volatile u64 taken, taken_error, taken_rip, taken_vector;
static void on_event(struct frame *f)
{
    taken++;
    taken_vector = f->vector;
    taken_error = f->error;
    taken_rip = f->rip;
}

static void on_interrupt(struct frame *f)
{
    on_event(f);
    apic_write(APIC_EOI, 0);
}

static void inject(u32 info, u32 error, u32 len)
{
    prepare(l2_nothing);
    taken = 0;
    vmwrite(VMCS_ENTRY_INTR_INFO, info);
    vmwrite(VMCS_ENTRY_ERROR_CODE, error);
    vmwrite(VMCS_ENTRY_INSN_LENGTH, len);
    if (INTR_TYPE(info) == 0)
        vmwrite(VMCS_GUEST_RFLAGS, FLAG_ONE | FLAG_IF);
    resume();
}

static void injection(void)
{
    on_vector(EXC_GP, on_event);
    on_vector(EXC_BP, on_event);
    on_vector(EXC_NMI, on_event);
    on_vector(0x20, on_event);
    on_vector(0x21, on_event);
    inject(INTR_VALID | INTR_ERROR_VALID | 3 << INTR_TYPE_SHIFT | EXC_GP, 0x1234, 0);
    check(taken == 1 && taken_error == 0x1234 && taken_rip == (u64)l2_nothing, "inject #GP with an error code");
    check(!(vmread(VMCS_ENTRY_INTR_INFO) & INTR_VALID), "the valid bit is cleared");
    inject(INTR_VALID | 0x21, 0, 0);
    check(taken == 1 && taken_vector == 0x21 && taken_rip == (u64)l2_nothing, "inject an interrupt");
    inject(INTR_VALID | 2 << INTR_TYPE_SHIFT | EXC_NMI, 0, 0);
    check(taken == 1 && taken_vector == EXC_NMI, "inject an NMI");
    inject(INTR_VALID | 4 << INTR_TYPE_SHIFT | 0x20, 0, 2);
    check(taken == 1 && taken_rip == (u64)l2_nothing + 2, "inject INT n with its length");
    inject(INTR_VALID | 6 << INTR_TYPE_SHIFT | EXC_BP, 0, 1);
    check(taken == 1 && taken_rip == (u64)l2_nothing + 1, "inject INT3 with its length");

    prepare(l2_nothing);
    vmwrite(VMCS_GUEST_IDTR_BASE, 0x8000000000);
    vmwrite(VMCS_EXCEPTION_BITMAP, BIT(EXC_PF));
    vmwrite(VMCS_GUEST_RFLAGS, FLAG_ONE | FLAG_IF);
    vmwrite(VMCS_ENTRY_INTR_INFO, INTR_VALID | 0x21);
    resume();
    exits(EXIT_EXCEPTION_NMI, (const u8 *)l2_nothing, 0x8000000210, "an injected interrupt whose delivery faults");
    check_eq(vmread(VMCS_IDT_VECTORING_INFO), INTR_VALID | 0x21, "is in the IDT-vectoring information");
    prepare(l2_int);
    vmwrite(VMCS_GUEST_IDTR_BASE, 0x8000000000);
    vmwrite(VMCS_EXCEPTION_BITMAP, BIT(EXC_PF));
    resume();
    exits(EXIT_EXCEPTION_NMI, l2_int_at, 0x8000000200, "INT n whose delivery faults");
    check(vmread(VMCS_IDT_VECTORING_INFO) == (INTR_VALID | 4 << INTR_TYPE_SHIFT | 0x20) &&
              vmread(VMCS_EXIT_INSN_LENGTH) == 2,
          "and its vectoring information");
    prepare(l2_pf);
    vmwrite(VMCS_GUEST_IDTR_BASE, 0x8000000000);
    vmwrite(VMCS_EXCEPTION_BITMAP, BIT(EXC_DF));
    resume();
    exits(EXIT_EXCEPTION_NMI, l2_pf_at, 0, "#PF whose gate faults is an intercepted #DF");
    on_vector(EXC_GP, NULL);
    on_vector(EXC_BP, NULL);
}

static void interrupts(void)
{
    apic_enable();
    on_vector(0x40, on_interrupt);
    apic_write(APIC_ICR, ICR_FIXED | ICR_SELF | 0x40);
    prepare(l2_spin);
    vmwrite(VMCS_PIN_CONTROLS, vmread(VMCS_PIN_CONTROLS) | PIN_EXTINT_EXITING);
    taken = 0;
    resume();
    check(vmread(VMCS_EXIT_REASON) == EXIT_EXTINT && !taken, "external-interrupt exiting");
    sti();
    cli();
    check(taken == 1, "the interrupt stays pending");
    apic_write(APIC_ICR, ICR_FIXED | ICR_SELF | 0x40);
    prepare(l2_spin);
    vmwrite(VMCS_PIN_CONTROLS, vmread(VMCS_PIN_CONTROLS) | PIN_EXTINT_EXITING);
    vmwrite(VMCS_EXIT_CONTROLS, vmread(VMCS_EXIT_CONTROLS) | EXITC_ACK_INTERRUPT);
    resume();
    check(vmread(VMCS_EXIT_REASON) == EXIT_EXTINT && vmread(VMCS_EXIT_INTR_INFO) == (INTR_VALID | 0x40),
          "acknowledge interrupt on exit");
    apic_write(APIC_EOI, 0);
    start_proc(l2_nothing, PROC_INTERRUPT_WINDOW);
    exits(EXIT_VMCALL, l2_nothing_at, 0, "no interrupt window with IF 0");
    prepare(l2_nothing);
    vmwrite(VMCS_PROC_CONTROLS, proc_base | PROC_INTERRUPT_WINDOW);
    vmwrite(VMCS_GUEST_RFLAGS, FLAG_ONE | FLAG_IF);
    resume();
    exits(EXIT_INTERRUPT_WINDOW, (const u8 *)l2_nothing, 0, "interrupt window at entry");
    start_proc(l2_sti, PROC_INTERRUPT_WINDOW);
    exits(EXIT_INTERRUPT_WINDOW, l2_sti_after + 1, 0, "interrupt window after STI's shadow");
    start_proc(l2_sti_hlt, PROC_HLT_EXITING);
    check_eq(vmread(VMCS_GUEST_INTERRUPTIBILITY), INTERRUPTIBILITY_STI, "blocking by STI is saved");
    taken = 0;
    prepare(l2_nmi);
    vmwrite(VMCS_PIN_CONTROLS, vmread(VMCS_PIN_CONTROLS) | PIN_NMI_EXITING);
    resume();
    check(vmread(VMCS_EXIT_REASON) == EXIT_EXCEPTION_NMI &&
              vmread(VMCS_EXIT_INTR_INFO) == (INTR_VALID | 2 << INTR_TYPE_SHIFT | EXC_NMI) && !taken,
          "NMI exiting");
    __asm__ volatile("int $0x20"); /* its IRET unblocks NMIs */
    if (pin_may & PIN_VIRTUAL_NMIS) {
        prepare(l2_nothing);
        vmwrite(VMCS_PIN_CONTROLS, vmread(VMCS_PIN_CONTROLS) | PIN_NMI_EXITING | PIN_VIRTUAL_NMIS);
        vmwrite(VMCS_PROC_CONTROLS, proc_base | PROC_NMI_WINDOW);
        resume();
        exits(EXIT_NMI_WINDOW, (const u8 *)l2_nothing, 0, "NMI window");
        prepare(l2_nothing);
        vmwrite(VMCS_PIN_CONTROLS, vmread(VMCS_PIN_CONTROLS) | PIN_NMI_EXITING | PIN_VIRTUAL_NMIS);
        vmwrite(VMCS_PROC_CONTROLS, proc_base | PROC_NMI_WINDOW);
        vmwrite(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_NMI);
        resume();
        exits(EXIT_VMCALL, l2_nothing_at, 0, "no NMI window while NMIs are blocked");
    } else {
        skip("NMI window", "no virtual NMIs");
    }
    if (proc_may & PROC_MONITOR_TRAP) {
        start_proc(l2_nops, PROC_MONITOR_TRAP);
        exits(EXIT_MONITOR_TRAP, l2_nops_after, 0, "monitor trap after one instruction");
        start_proc(l2_string, PROC_MONITOR_TRAP);
        resume();
        resume();
        exits(EXIT_MONITOR_TRAP, l2_string_at, 0, "and after each iteration of a repetition");
    } else {
        skip("monitor trap", "not there");
    }
    if (pin_may & PIN_PREEMPTION_TIMER) {
        prepare(l2_spin);
        vmwrite(VMCS_PIN_CONTROLS, vmread(VMCS_PIN_CONTROLS) | PIN_PREEMPTION_TIMER);
        vmwrite(VMCS_GUEST_PREEMPTION_TIMER, 1000);
        resume();
        exits(EXIT_PREEMPTION_TIMER, l2_spin_at, 0, "preemption timer");
        prepare(l2_spin);
        vmwrite(VMCS_PIN_CONTROLS, vmread(VMCS_PIN_CONTROLS) | PIN_PREEMPTION_TIMER);
        vmwrite(VMCS_GUEST_PREEMPTION_TIMER, 0);
        resume();
        exits(EXIT_PREEMPTION_TIMER, (const u8 *)l2_spin, 0, "preemption timer of 0");
    } else {
        skip("preemption timer", "not there");
    }
}

static u64 *scratch;

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

/* EPT forbids writes to the page with L2's entry for a page. */
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
    read_only_table(PTE_A, "and reading a table that has it no violation", true);
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
    check_eq(vmread(VMCS_GUEST_LINEAR), page, "has the linear address");
    violation(l2_write, 0, EPT_W, EXIT_EPT_VIOLATION, 0x1aa, "EPT violation of a write");
    violation(l2_call, 0, EPT_X, EXIT_EPT_VIOLATION, 0x19c, "EPT violation of a fetch");
    violation(l2_pop, 0, EPT_W, EXIT_EPT_VIOLATION, 0x1aa, "EPT violation of the write of a POP");
    check_eq(vmread(VMCS_GUEST_RSP), (u64)(l2_stack + sizeof l2_stack - 8), "leaves RSP as it was");
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
        check((*e & (EPT_A | EPT_D)) == (EPT_A | EPT_D), "a write sets its dirty flag");
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
    check_eq(regs.rax, 0xaaa, "first frame");
    *e = (u64)other | 0x37;
    check_eq(invept(1, vmread(VMCS_EPTP)), OK, "INVEPT of one context");
    prepare(l2_read);
    regs.rdi = page;
    resume();
    check_eq(regs.rax, 0xbbb, "second frame");
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
    load[1].msr = MSR_FS_BASE; /* which may not be in a list */
    prepare(l2_nothing);
    vmwrite(VMCS_ENTRY_MSR_LOAD, (u64)load);
    vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 2);
    resume();
    check(vmread(VMCS_EXIT_REASON) == (EXIT_REASON_ENTRY_FAILURE | EXIT_ENTRY_MSR_LOAD) &&
              vmread(VMCS_EXIT_QUALIFICATION) == 2,
          "a bad entry fails the VM entry and is numbered");
    load[0].msr = load[0].value = 0; /* P5_MC_ADDR can only be read */
    prepare(l2_nothing);
    vmwrite(VMCS_ENTRY_MSR_LOAD, (u64)load);
    vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 1);
    resume();
    check(vmread(VMCS_EXIT_REASON) == (EXIT_REASON_ENTRY_FAILURE | EXIT_ENTRY_MSR_LOAD) &&
              vmread(VMCS_EXIT_QUALIFICATION) == 1,
          "a read-only MSR is such an entry");
    wrmsr(MSR_LSTAR, old);
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

/* -- activity states, pending debug exceptions, shadow VMCSs -- */

static void halted(u32 activity)
{
    prepare(l2_nothing);
    vmwrite(VMCS_GUEST_ACTIVITY, activity);
}

static void activity(void)
{
    halted(GUEST_HLT);
    vmwrite(VMCS_GUEST_RFLAGS, FLAG_ONE | FLAG_IF);
    vmwrite(VMCS_ENTRY_INTR_INFO, INTR_VALID | 0x21);
    taken = 0;
    on_vector(0x21, on_interrupt);
    resume();
    check(vmread(VMCS_EXIT_REASON) == EXIT_VMCALL && taken == 1, "an interrupt injected in the HLT state ends it");
    halted(GUEST_HLT);
    vmwrite(VMCS_GUEST_RFLAGS, FLAG_ONE | FLAG_IF);
    vmwrite(VMCS_PROC_CONTROLS, proc_base | PROC_INTERRUPT_WINDOW);
    resume();
    exits(EXIT_INTERRUPT_WINDOW, (const u8 *)l2_nothing, 0, "interrupt window in the HLT state");
    if (pin_may & PIN_PREEMPTION_TIMER) {
        halted(GUEST_HLT);
        vmwrite(VMCS_PIN_CONTROLS, vmread(VMCS_PIN_CONTROLS) | PIN_PREEMPTION_TIMER);
        vmwrite(VMCS_GUEST_PREEMPTION_TIMER, 1000);
        resume();
        exits(EXIT_PREEMPTION_TIMER, (const u8 *)l2_nothing, 0, "preemption timer in the HLT state");
        check_eq(vmread(VMCS_GUEST_ACTIVITY), GUEST_HLT, "which is saved");
        halted(GUEST_SHUTDOWN);
        vmwrite(VMCS_PIN_CONTROLS, vmread(VMCS_PIN_CONTROLS) | PIN_PREEMPTION_TIMER);
        vmwrite(VMCS_GUEST_PREEMPTION_TIMER, 1000);
        resume();
        exits(EXIT_PREEMPTION_TIMER, (const u8 *)l2_nothing, 0, "and in the shutdown state");
        check_eq(vmread(VMCS_GUEST_ACTIVITY), GUEST_SHUTDOWN, "which is saved too");
    }
}

static void pending_debug(void)
{
    prepare(l2_nops);
    vmwrite(VMCS_GUEST_RFLAGS, FLAG_ONE | FLAG_TF);
    vmwrite(VMCS_GUEST_PENDING_DEBUG, PENDING_DBG_BS);
    vmwrite(VMCS_EXCEPTION_BITMAP, BIT(EXC_DB));
    resume();
    exits(EXIT_EXCEPTION_NMI, (const u8 *)l2_nops, DR6_BS, "a pending single step comes before the first instruction");
    prepare(l2_nops);
    vmwrite(VMCS_GUEST_RFLAGS, FLAG_ONE | FLAG_TF);
    vmwrite(VMCS_GUEST_PENDING_DEBUG, PENDING_DBG_BS);
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOVSS);
    vmwrite(VMCS_EXCEPTION_BITMAP, BIT(EXC_DB));
    resume();
    exits(EXIT_EXCEPTION_NMI, l2_nops_after, DR6_BS, "under blocking by MOV SS after it");
    prepare(l2_nops);
    vmwrite(VMCS_GUEST_RFLAGS, FLAG_ONE | FLAG_TF);
    vmwrite(VMCS_EXCEPTION_BITMAP, BIT(EXC_DB));
    resume();
    exits(EXIT_EXCEPTION_NMI, l2_nops_after, DR6_BS, "TF alone after it too");
    prepare(l2_cpuid);
    vmwrite(VMCS_GUEST_RFLAGS, FLAG_ONE | FLAG_TF);
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOVSS);
    resume();
    check(vmread(VMCS_EXIT_REASON) == (BIT(31) | EXIT_ENTRY_GUEST_STATE),
          "TF under blocking by MOV SS needs the pending step");
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
    check_eq(regs.rbx, 0x123000, "and reads it");
    msr_bitmap[VMCS_GUEST_CR3 / 8] = 1 << VMCS_GUEST_CR3 % 8;
    vmwrite(VMCS_GUEST_RIP, (u64)l2_vmread);
    regs.rax = VMCS_GUEST_CR3;
    resume();
    exits(EXIT_VMREAD, l2_vmread_at, 0, "with its bit in the bitmap it does");
    fill(msr_bitmap, 0, sizeof msr_bitmap);
    vmwrite(VMCS_GUEST_RIP, (u64)l2_vmread);
    vmwrite(VMCS_INSN_ERROR, 0);
    regs.rax = 0x7ffe;
    resume();
    exits(EXIT_VMCALL, l2_vmread_after, 0, "nor does VMREAD of no field");
    check(vmread(VMCS_GUEST_RFLAGS) & FLAG_ZF && vmread(VMCS_INSN_ERROR) == VMERR_UNSUPPORTED_FIELD,
          "the current VMCS has its error");
    vmclear(vmcs_other);
    *(u32 *)(void *)vmcs_other = revision;
}

int main(void)
{
    if (!(cpuid(1, 0).c & BIT(5))) {
        skip("VMX", "no VMX");
        return 0;
    }
    u64 feature = rdmsr(MSR_FEATURE_CONTROL);
    if (!(feature & FEATURE_CONTROL_LOCK))
        wrmsr(MSR_FEATURE_CONTROL, feature | FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMXON_OUTSIDE_SMX);
    check((rdmsr(MSR_FEATURE_CONTROL) & 5) == 5, "IA32_FEATURE_CONTROL permits VMXON");
    vmx_capabilities();
    scratch = page_alloc();
    instructions();
    entry_errors();
    basics();
    bitmaps();
    registers();
    exceptions();
    injection();
    interrupts();
    extended_page_tables();
    activity();
    pending_debug();
    shadow_vmcs();
    msr_lists();
    time();
    __asm__ volatile("vmxoff" : : : "memory");
    write_cr4(read_cr4() & ~CR4_VMXE);
    return 0;
}
