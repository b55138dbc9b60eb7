/*
 * What comes first at an instruction boundary of a VT-x guest: windows, the monitor trap flag, the preemption timer,
 * pending debug exceptions and the events that VM entry injects, each against the others. INIT and SIPI for a CPU in
 * VMX operation.
 */
#include "vmx.h"

L2(l2_nothing, "", "vmcall", "");
L2(l2_nops, "", "nop", "nop; nop");
L2(l2_sti, "", "sti", "sti; nop; cli");
L2(l2_out, "", "out %al, $0x80", "nop");
L2(l2_int1, "", ".byte 0xf1", "nop");
L2(l2_bad_cr3, "", "mov %rdi, %cr3", "");
L2(l2_tsc, "rdtsc; shl $32, %rdx; or %rdx, %rax; mov %rax, l2_first(%rip)",
   "1: rdtsc; shl $32, %rdx; or %rdx, %rax; mov %rax, l2_last(%rip); jmp 1b", "");
L2(l2_tsc_msr, "rdtsc; shl $32, %rdx; or %rdx, %rax; mov %rax, l2_first(%rip); mov $0x10, %ecx",
   "1: rdmsr; shl $32, %rdx; or %rdx, %rax; mov %rax, l2_last(%rip); jmp 1b", "");
L2(l2_paging_on, ".code32", "mov %ecx, %cr0", "vmcall; .code64");

extern volatile u64 l2_first, l2_last;
__asm__(".data\nl2_first: .quad 0\nl2_last: .quad 0\n.text\n");

static u8 msr_bitmap[4096] __attribute__((aligned(4096)));
static u64 handler(u8 vector)
{
    return (u64)vectors[vector];
}

/* An injected #DB belongs to no instruction: it changes neither DR6 nor RF. */
#define INJECT_DB (INTR_VALID | INTR_TYPE_EXCEPTION << INTR_TYPE_SHIFT | EXC_DB)
#define INJECT_MTF (INTR_VALID | 7 << INTR_TYPE_SHIFT)

static void prepare_window(void (*fn)(void), u32 window)
{
    prepare(fn);
    vmwrite(VMCS_PROC_CONTROLS, proc_base | window);
    if (window == PROC_NMI_WINDOW)
        vmwrite(VMCS_PIN_CONTROLS, vmread(VMCS_PIN_CONTROLS) | PIN_NMI_EXITING | PIN_VIRTUAL_NMIS);
    else
        vmwrite(VMCS_GUEST_RFLAGS, FLAG_ONE | FLAG_IF);
    taken = 0;
}

static void nmi_windows(void)
{
    if (!(pin_may & PIN_VIRTUAL_NMIS)) {
        skip("NMI window", "no virtual NMIs");
        return;
    }
    prepare_window(l2_nops, PROC_NMI_WINDOW);
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOVSS);
    resume();
    exits(EXIT_NMI_WINDOW, l2_nops_after, 0, "NMI window after blocking by MOV SS");
    prepare_window(l2_nops, PROC_NMI_WINDOW);
    vmwrite(VMCS_ENTRY_INTR_INFO, INJECT_DB);
    resume();
    exits(EXIT_NMI_WINDOW, (const u8 *)handler(EXC_DB), 0, "NMI window behind an injected exception");
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_NMI);
    resume();
    exits(EXIT_NMI_WINDOW, l2_nops_at, 0, "NMI window after the IRET that unblocks NMIs");
    check_eq(taken, 1, "the handler before that IRET has run");
    prepare_window(l2_nops, PROC_NMI_WINDOW);
    vmwrite(VMCS_GUEST_ACTIVITY, GUEST_HLT);
    resume();
    exits(EXIT_NMI_WINDOW, l2_nops_at, 0, "NMI window in the HLT state");
    prepare_window(l2_nops, PROC_NMI_WINDOW);
    vmwrite(VMCS_GUEST_ACTIVITY, GUEST_HLT);
    vmwrite(VMCS_ENTRY_INTR_INFO, INJECT_DB);
    resume();
    exits(EXIT_NMI_WINDOW, (const u8 *)handler(EXC_DB), 0, "NMI window behind an exception injected in the HLT state");
}

static void interrupt_windows(void)
{
    static const u8 blocking[] = {INTERRUPTIBILITY_MOVSS, INTERRUPTIBILITY_STI};
    for (unsigned i = 0; i < sizeof blocking; i++) {
        prepare_window(l2_nops, PROC_INTERRUPT_WINDOW);
        vmwrite(VMCS_GUEST_INTERRUPTIBILITY, blocking[i]);
        resume();
        exits(EXIT_INTERRUPT_WINDOW, l2_nops_after, 0, "interrupt window after blocking that VM entry loaded");
    }
    prepare_window(l2_sti, PROC_INTERRUPT_WINDOW);
    vmwrite(VMCS_GUEST_RFLAGS, FLAG_ONE);
    resume();
    exits(EXIT_INTERRUPT_WINDOW, l2_sti_after + 1, 0, "a second STI blocks nothing");
    idt[EXC_DB].type |= 1; /* a trap gate leaves IF */
    prepare_window(l2_nops, PROC_INTERRUPT_WINDOW);
    vmwrite(VMCS_ENTRY_INTR_INFO, INJECT_DB);
    resume();
    idt[EXC_DB].type &= (u8)~1;
    exits(EXIT_INTERRUPT_WINDOW, (const u8 *)handler(EXC_DB), 0, "interrupt window behind an injected exception");
}

static void trap_flag(void)
{
    if (!(proc_may & PROC_MONITOR_TRAP)) {
        skip("monitor trap", "not there");
        return;
    }
    prepare(l2_out);
    vmwrite(VMCS_PROC_CONTROLS, proc_base | PROC_MONITOR_TRAP);
    vmwrite(VMCS_GUEST_RFLAGS, FLAG_ONE | FLAG_TF);
    resume();
    exits(EXIT_MONITOR_TRAP, l2_out_after, 0, "monitor trap before a single step");
    check_eq(vmread(VMCS_GUEST_PENDING_DEBUG), PENDING_DBG_BS, "a single step behind the monitor trap is pending");
    start_proc(l2_int1, PROC_MONITOR_TRAP);
    exits(EXIT_MONITOR_TRAP, (const u8 *)handler(EXC_DB), 0, "monitor trap behind INT1");
    prepare(l2_bad_cr3);
    vmwrite(VMCS_PROC_CONTROLS, proc_base | PROC_MONITOR_TRAP);
    regs.rdi = 0xaaaaaaaaaaaaaaaa;
    resume();
    exits(EXIT_MONITOR_TRAP, (const u8 *)handler(EXC_GP), 0, "monitor trap behind the delivery of a fault");
    prepare(l2_nops);
    vmwrite(VMCS_ENTRY_INTR_INFO, INJECT_MTF);
    resume();
    exits(EXIT_MONITOR_TRAP, l2_nops_at, 0, "an injected monitor trap");
}

static void prepare_timer(void (*fn)(void), u32 value)
{
    prepare(fn);
    vmwrite(VMCS_PIN_CONTROLS, vmread(VMCS_PIN_CONTROLS) | PIN_PREEMPTION_TIMER);
    vmwrite(VMCS_GUEST_PREEMPTION_TIMER, value);
    taken = 0;
}

static bool on_time(void (*fn)(void), u32 value)
{
    prepare_timer(fn, value);
    vmwrite(VMCS_PROC_CONTROLS, proc_base | PROC_MSR_BITMAPS);
    vmwrite(VMCS_MSR_BITMAP, (u64)msr_bitmap);
    resume();
    unsigned shift = rdmsr(MSR_VMX_MISC) & 31;
    return vmread(VMCS_EXIT_REASON) == EXIT_PREEMPTION_TIMER && l2_last < ((l2_first >> shift) + value) << shift;
}

static void timer(void)
{
    if (!(pin_may & PIN_PREEMPTION_TIMER)) {
        skip("preemption timer", "not there");
        return;
    }
    prepare_timer(l2_nops, 0);
    vmwrite(VMCS_ENTRY_INTR_INFO, INJECT_DB);
    resume();
    exits(EXIT_PREEMPTION_TIMER, (const u8 *)handler(EXC_DB), 0, "preemption timer of 0 behind an injected exception");
    prepare_timer(l2_nops, 0);
    vmwrite(VMCS_GUEST_PENDING_DEBUG, PENDING_DBG_ENABLED_BP | 2);
    resume();
    exits(EXIT_PREEMPTION_TIMER, (const u8 *)handler(EXC_DB), 0,
          "preemption timer of 0 behind a pending debug exception");
    prepare_timer(l2_nops, 0);
    vmwrite(VMCS_GUEST_PENDING_DEBUG, PENDING_DBG_ENABLED_BP | 2);
    vmwrite(VMCS_EXCEPTION_BITMAP, BIT(EXC_DB));
    resume();
    exits(EXIT_EXCEPTION_NMI, l2_nops_at, 2,
          "a pending debug exception that is intercepted exits before the preemption timer");
    unsigned good = 0;
    for (unsigned i = 0; i < 20; i++)
        good += on_time(l2_tsc, 10000);
    check_eq(good, 20, "L2 stores no TSC at or past the end of the preemption timer");
    check(on_time(l2_tsc_msr, 10000), "L2 stores no TSC of RDMSR at or past the end of the preemption timer");
}

static void debug(void)
{
    const u64 dr6 = DR6_FIXED | DR6_BS | 0xa;
    prepare(l2_nops);
    vmwrite(VMCS_GUEST_RFLAGS, FLAG_ONE | FLAG_TF);
    vmwrite(VMCS_GUEST_PENDING_DEBUG, PENDING_DBG_BS | PENDING_DBG_ENABLED_BP | 1);
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOVSS);
    vmwrite(VMCS_EXCEPTION_BITMAP, BIT(EXC_DB));
    write_dr6(dr6);
    resume();
    exits(EXIT_EXCEPTION_NMI, l2_nops_after, DR6_BS | 1, "a breakpoint held back by MOV SS joins the single step");
    check_eq(vmread(VMCS_GUEST_PENDING_DEBUG), 0, "after a breakpoint held back by MOV SS nothing stays pending");
    check_eq(read_dr6(), dr6, "an intercepted debug exception leaves DR6 as it was");
    write_dr6(DR6_FIXED);
    prepare(l2_sti);
    vmwrite(VMCS_GUEST_RFLAGS, FLAG_ONE | FLAG_TF);
    vmwrite(VMCS_EXCEPTION_BITMAP, BIT(EXC_DB));
    resume();
    exits(EXIT_EXCEPTION_NMI, l2_sti_after, DR6_BS, "STI's single step, within its shadow");
    check_eq(vmread(VMCS_GUEST_INTERRUPTIBILITY), INTERRUPTIBILITY_STI,
             "blocking by STI is saved with its single step");
    check_eq(vmread(VMCS_GUEST_PENDING_DEBUG), 0, "the saved state has no single step that would come again");
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, 0);
    resume();
    exits(EXIT_EXCEPTION_NMI, l2_sti_after + 1, DR6_BS, "the step after STI's is that of the next instruction");
}

/* L2 turns PAE paging on: the next exit writes the PDPTEs to the VMCS, from where the next VM entry loads them. */
static void page_directory_pointers(void)
{
    static u64 table[4] __attribute__((aligned(32)));
    if (!(proc2_may & PROC2_UNRESTRICTED_GUEST)) {
        skip("PDPTEs", "no unrestricted guest");
        return;
    }
    for (unsigned i = 0; i < 4; i++)
        table[i] = (u64)pd[i] | PTE_P;
    prepare(l2_paging_on);
    vmwrite(VMCS_PROC_CONTROLS, vmread(VMCS_PROC_CONTROLS) | PROC_MONITOR_TRAP);
    vmwrite(VMCS_PROC2_CONTROLS, PROC2_EPT | PROC2_UNRESTRICTED_GUEST);
    vmwrite(VMCS_ENTRY_CONTROLS, vmread(VMCS_ENTRY_CONTROLS) & ~(u64)ENTRYC_IA32E_GUEST);
    vmwrite(VMCS_GUEST_EFER, rdmsr(MSR_EFER) & ~(u64)(EFER_LME | EFER_LMA));
    vmwrite(VMCS_SEGMENT(VMCS_GUEST_ACCESS_RIGHTS, SEG_CS), 0xc09b);
    vmwrite(VMCS_GUEST_CR0, read_cr0() & ~(u64)CR0_PG);
    vmwrite(VMCS_GUEST_CR3, (u64)table);
    regs.rcx = read_cr0();
    resume();
    exits(EXIT_MONITOR_TRAP, l2_paging_on_after, 0, "monitor trap behind the MOV to CR0 that turns PAE paging on");
    bool good = true;
    for (unsigned i = 0; i < 4; i++)
        good &= vmread(VMCS_GUEST_PDPTE0 + 2 * i) == table[i];
    check(good, "the VMCS has the PDPTEs");
    vmwrite(VMCS_PROC_CONTROLS, proc_base);
    fill(table, 0, sizeof table);
    resume();
    exits(EXIT_VMCALL, l2_paging_on_after, 0, "VM entry loads them from there");
}

/* -- INIT and SIPI, on another CPU, which has the VMCS for itself -- */

static u8 other_region[4096] __attribute__((aligned(4096)));
static volatile u32 stage;
static volatile u64 sipi_reason, sipi_vector, init_reason;

static void wait_stage(u32 s)
{
    while (stage != s)
        __asm__ volatile("pause");
}

static void other_cpu(u32 id)
{
    u32 revision = VMX_BASIC_REVISION(rdmsr(MSR_VMX_BASIC));
    copy(other_region, &revision, 4);
    write_cr4(read_cr4() | CR4_VMXE);
    if (vmxon(other_region) != OK)
        return;
    prepare(l2_nothing);
    vmwrite(VMCS_GUEST_ACTIVITY, GUEST_WAIT_SIPI);
    stage = 1;
    resume();
    sipi_reason = vmread(VMCS_EXIT_REASON);
    sipi_vector = vmread(VMCS_EXIT_QUALIFICATION);
    stage = 2;
    wait_stage(3); /* by then an INIT is pending */
    stage = 4;
    wait_stage(5);
    prepare(l2_nothing);
    resume();
    init_reason = vmread(VMCS_EXIT_REASON);
    vmclear(vmcs);
    stage = 6;
    wait_stage(7); /* and another INIT */
    __asm__ volatile("vmxoff" : : : "memory");
    stage = 8;
}

static void third_life(u32 id)
{
    stage = 9;
}

/* Returns true if stage s comes within a second. */
static bool reaches(u32 s)
{
    for (unsigned i = 0; i < 1000 && stage != s; i++)
        delay_us(1000);
    return stage == s;
}

static void signals(void)
{
    apic_enable();
    vmclear(vmcs);
    if (!ap_start(1, other_cpu)) {
        skip("INIT and SIPI", "one CPU");
        return;
    }
    wait_stage(1);
    delay_us(10000);
    check_eq(stage, 1, "L2 waits for SIPI");
    apic_ipi(1, ICR_SIPI | 0x42);
    check(reaches(2) && sipi_reason == EXIT_SIPI && sipi_vector == 0x42, "SIPI exit with its vector");
    apic_ipi(1, ICR_INIT);
    delay_us(1000);
    stage = 3;
    check(reaches(4), "INIT waits in VMX root operation");
    stage = 5;
    check(reaches(6) && init_reason == EXIT_INIT, "an INIT that waits makes L2 exit at VM entry");
    apic_ipi(1, ICR_INIT);
    stage = 7;
    delay_us(20000);
    check_eq(stage, 7, "VMXOFF lets an INIT in that waits");
    check(ap_start(1, third_life) && reaches(9), "after INIT, SIPI starts the CPU");
}

int main(void)
{
    if (!vmx_begin())
        return 0;
    if (!(rdmsr(MSR_VMX_BASIC) & VMX_BASIC_TRUE_CONTROLS)) {
        skip("VMX", "no TRUE control MSRs");
        return 0;
    }
    check_eq(vmx_on(), OK, "VMXON");
    on_vector(EXC_DB, on_event);
    nmi_windows();
    interrupt_windows();
    trap_flag();
    timer();
    debug();
    page_directory_pointers();
    on_vector(EXC_DB, NULL);
    signals();
    vmx_off();
    return 0;
}
