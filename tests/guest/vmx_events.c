/*
 * Events of a VT-x guest one by one: exceptions, injection, interrupts and NMIs with their windows, activity states,
 * pending debug exceptions. How they rank among each other: vmx_priorities.c.
 */
#include "vmx.h"

L2(l2_nothing, "", "vmcall", "");
L2(l2_string, "lea l2_bytes(%rip), %rdi; mov $3, %ecx", "rep stosb", "");
L2(l2_rdpid, "", ".byte 0xf3, 0x0f, 0xc7, 0xf8", "");
L2(l2_cpuid, "xor %eax, %eax", "cpuid", "");
L2(l2_sti_hlt, "sti", "hlt", "");
L2(l2_ud, "", "ud2", "");
L2(l2_bp, "", "int3", "");
L2(l2_int, "", "int $0x20", "");
L2(l2_gp, "mov $0x1000, %eax", "mov %eax, %ds", "");
L2(l2_pf, "movabs $0x8000000000, %rax", "mov 8(%rax), %rax", "");
L2(l2_spin, "", "jmp l2_spin", "");
L2(l2_sti, "", "sti", "nop; nop; cli");
L2(l2_nops, "", "nop", "nop");
L2(l2_nmi, "mov $0xfee00300, %ebx", "movl $0x4400, (%rbx)", "mov $1000000, %ecx; 1: loop 1b");
__asm__(".data\nl2_bytes: .quad 0, 0\n.text\n");

static void exception(void (*fn)(void), u8 vector)
{
    prepare(fn);
    vmwrite(VMCS_EXCEPTION_BITMAP, BIT(vector));
    resume();
}

static void exceptions(void)
{
    const u32 fault = INTR_VALID | INTR_TYPE_EXCEPTION << INTR_TYPE_SHIFT;
    exception(l2_ud, EXC_UD);
    exits(EXIT_EXCEPTION_NMI, l2_ud_at, 0, "#UD");
    if (cpuid(7, 0).c & BIT(22)) {
        exception(l2_rdpid, EXC_UD);
        exits(EXIT_EXCEPTION_NMI, l2_rdpid_at, 0, "RDPID without enable RDTSCP is #UD");
        exception(l2_ud, EXC_UD);
    }
    check_eq(vmread(VMCS_EXIT_INTR_INFO), fault | EXC_UD, "the exit of an exception has its interruption information");
    exception(l2_gp, EXC_GP);
    check_eq(vmread(VMCS_EXIT_INTR_INFO), fault | INTR_ERROR_VALID | EXC_GP, "#GP");
    check_eq(vmread(VMCS_EXIT_INTR_ERROR_CODE), 0x1000, "the exit of an exception has its error code");
    exception(l2_bp, EXC_BP);
    exits(EXIT_EXCEPTION_NMI, l2_bp_at, 0, "#BP has RIP at INT3");
    check(vmread(VMCS_EXIT_INTR_INFO) == (INTR_VALID | INTR_TYPE_SOFT_EXC << INTR_TYPE_SHIFT | EXC_BP) &&
              vmread(VMCS_EXIT_INSN_LENGTH) == 1,
          "#BP is a software exception");
    exception(l2_pf, EXC_PF);
    exits(EXIT_EXCEPTION_NMI, l2_pf_at, 0x8000000008, "#PF has the address as qualification");
}

static void inject(u32 info, u32 error, u32 len)
{
    prepare(l2_nothing);
    taken = 0;
    vmwrite(VMCS_ENTRY_INTR_INFO, info);
    vmwrite(VMCS_ENTRY_ERROR_CODE, error);
    vmwrite(VMCS_ENTRY_INSN_LENGTH, len);
    if (INTR_TYPE(info) == INTR_TYPE_EXTINT)
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
    inject(INTR_VALID | INTR_ERROR_VALID | INTR_TYPE_EXCEPTION << INTR_TYPE_SHIFT | EXC_GP, 0x1234, 0);
    check(taken == 1 && taken_error == 0x1234 && taken_rip == (u64)l2_nothing, "inject #GP with an error code");
    check(!(vmread(VMCS_ENTRY_INTR_INFO) & INTR_VALID), "the valid bit of an injected event is cleared");
    inject(INTR_VALID | 0x21, 0, 0);
    check(taken == 1 && taken_vector == 0x21 && taken_rip == (u64)l2_nothing, "inject an interrupt");
    inject(INTR_VALID | INTR_TYPE_NMI << INTR_TYPE_SHIFT | EXC_NMI, 0, 0);
    check(taken == 1 && taken_vector == EXC_NMI, "inject an NMI");
    inject(INTR_VALID | INTR_TYPE_SOFT_INT << INTR_TYPE_SHIFT | 0x20, 0, 2);
    check(taken == 1 && taken_rip == (u64)l2_nothing + 2, "inject INT n with its length");
    inject(INTR_VALID | INTR_TYPE_SOFT_EXC << INTR_TYPE_SHIFT | EXC_BP, 0, 1);
    check(taken == 1 && taken_rip == (u64)l2_nothing + 1, "inject INT3 with its length");

    prepare(l2_nothing);
    vmwrite(VMCS_GUEST_IDTR_BASE, 0x8000000000);
    vmwrite(VMCS_EXCEPTION_BITMAP, BIT(EXC_PF));
    vmwrite(VMCS_GUEST_RFLAGS, FLAG_ONE | FLAG_IF);
    vmwrite(VMCS_ENTRY_INTR_INFO, INTR_VALID | 0x21);
    resume();
    exits(EXIT_EXCEPTION_NMI, (const u8 *)l2_nothing, 0x8000000210, "an injected interrupt whose delivery faults");
    check_eq(vmread(VMCS_IDT_VECTORING_INFO), INTR_VALID | 0x21,
             "an injected interrupt whose delivery faults is in the IDT-vectoring information");
    prepare(l2_int);
    vmwrite(VMCS_GUEST_IDTR_BASE, 0x8000000000);
    vmwrite(VMCS_EXCEPTION_BITMAP, BIT(EXC_PF));
    resume();
    exits(EXIT_EXCEPTION_NMI, l2_int_at, 0x8000000200, "INT n whose delivery faults");
    check(vmread(VMCS_IDT_VECTORING_INFO) == (INTR_VALID | INTR_TYPE_SOFT_INT << INTR_TYPE_SHIFT | 0x20) &&
              vmread(VMCS_EXIT_INSN_LENGTH) == 2,
          "INT n whose delivery faults is in the IDT-vectoring information");
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
    check(taken == 1, "after external-interrupt exiting the interrupt stays pending");
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
              vmread(VMCS_EXIT_INTR_INFO) == (INTR_VALID | INTR_TYPE_NMI << INTR_TYPE_SHIFT | EXC_NMI) && !taken,
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
        exits(EXIT_MONITOR_TRAP, l2_string_at, 0, "monitor trap after each iteration of a repetition");
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
        check_eq(vmread(VMCS_GUEST_ACTIVITY), GUEST_HLT, "the HLT state is saved");
        halted(GUEST_SHUTDOWN);
        vmwrite(VMCS_PIN_CONTROLS, vmread(VMCS_PIN_CONTROLS) | PIN_PREEMPTION_TIMER);
        vmwrite(VMCS_GUEST_PREEMPTION_TIMER, 1000);
        resume();
        exits(EXIT_PREEMPTION_TIMER, (const u8 *)l2_nothing, 0, "preemption timer in the shutdown state");
        check_eq(vmread(VMCS_GUEST_ACTIVITY), GUEST_SHUTDOWN, "the shutdown state is saved");
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
    exits(EXIT_EXCEPTION_NMI, l2_nops_after, DR6_BS,
          "a pending single step under blocking by MOV SS comes after the first instruction");
    prepare(l2_nops);
    vmwrite(VMCS_GUEST_RFLAGS, FLAG_ONE | FLAG_TF);
    vmwrite(VMCS_EXCEPTION_BITMAP, BIT(EXC_DB));
    resume();
    exits(EXIT_EXCEPTION_NMI, l2_nops_after, DR6_BS, "TF alone steps after the first instruction");
    prepare(l2_cpuid);
    vmwrite(VMCS_GUEST_RFLAGS, FLAG_ONE | FLAG_TF);
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOVSS);
    resume();
    check(vmread(VMCS_EXIT_REASON) == (BIT(31) | EXIT_ENTRY_GUEST_STATE),
          "TF under blocking by MOV SS needs the pending step");
}

int main(void)
{
    if (!vmx_begin())
        return 0;
    vmx_on();
    exceptions();
    injection();
    interrupts();
    activity();
    pending_debug();
    vmx_off();
    return 0;
}
