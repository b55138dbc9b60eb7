/*
 * Events of an AMD-V guest: exception intercepts, injection, physical and virtual interrupts and NMIs, GIF.
 */
#include "svm.h"

#define EVENT(type, vector) (SVM_EVENT_V | (u64)(type) << SVM_EVENT_TYPE_SHIFT | (vector))
/* V_IRQ with vector 42h and this priority; L1's IF decides about physical interrupts. */
#define VIRTUAL_INTERRUPT(priority)                                                                                    \
    (VINTR_IRQ | VINTR_MASKING | (priority##ull) << VINTR_PRIO_SHIFT | 0x42ull << VINTR_VECTOR_SHIFT)

L2(l2_nothing, "", "vmmcall", "");
L2(l2_sti_hlt, "sti", "hlt", "");
L2(l2_ud, "", "ud2", "");
L2(l2_bp, "", "int3", "");
L2(l2_int, "", "int $0x20", "");
L2(l2_gp, "mov $0x1000, %eax", "mov %eax, %ds", "");
L2(l2_de, "xor %ecx, %ecx", "div %ecx", "");
L2(l2_pf, "movabs $0x8000000000, %rax", "mov 8(%rax), %rax", "");
L2(l2_stgi, "", "stgi", "");
L2(l2_clgi, "", "clgi", "");
L2(l2_sti, "", "sti", "nop; nop; cli");
L2(l2_spin, "", "jmp l2_spin", "");
L2(l2_shadow, "", "nop", "nop");
L2(l2_step, "", "nop", "nop");

static void exceptions(void)
{
    on_vector(EXC_BP, on_event);
    on_vector(EXC_DB, on_event);
    start_with(l2_ud, SVM_EXIT_EXCP + EXC_UD);
    exits(SVM_EXIT_EXCP + EXC_UD, l2_ud_at, 0, "#UD intercept");
    start_with(l2_de, SVM_EXIT_EXCP + EXC_DE);
    exits(SVM_EXIT_EXCP + EXC_DE, l2_de_at, 0, "#DE intercept");
    start_with(l2_gp, SVM_EXIT_EXCP + EXC_GP);
    exits(SVM_EXIT_EXCP + EXC_GP, l2_gp_at, 0x1000, "#GP intercept has the error code");
    start_with(l2_bp, SVM_EXIT_EXCP + EXC_BP);
    exits(SVM_EXIT_EXCP + EXC_BP, l2_bp_at, 0, "the #BP intercept has RIP at INT3");
    nrip(l2_bp_after, "nRIP of INT3");
    prepare(l2_pf);
    intercept(SVM_EXIT_EXCP + EXC_PF, true);
    G.cr2 = 0x77;
    resume();
    exits(SVM_EXIT_EXCP + EXC_PF, l2_pf_at, 0, "#PF intercept");
    check(C.exit_info2 == 0x8000000008 && G.cr2 == 0x77,
          "#PF intercept has the address in EXITINFO2 and leaves CR2 alone");
    if (features & HAS_DECODE_ASSISTS)
        check(C.insn_len >= 4 && same(C.insn_bytes, l2_pf_at, 4), "#PF intercept has the instruction's bytes");
    else
        skip("instruction bytes of #PF", "no decode assists");
    prepare(l2_step);
    intercept(SVM_EXIT_EXCP + EXC_DB, true);
    G.rflags |= FLAG_TF;
    resume();
    exits(SVM_EXIT_EXCP + EXC_DB, l2_step_after, 0, "TF in the VMCB traps after one instruction");
    check(G.dr6 & DR6_BS, "DR6 is saved as the handler would see it");
    on_vector(EXC_DB, NULL);
}

static void inject(u64 event, u64 next)
{
    prepare(l2_nothing);
    taken = 0;
    C.event_inject = event;
    C.nrip = next;
    resume();
}

static void injection(void)
{
    on_vector(EXC_GP, on_event);
    on_vector(EXC_NMI, on_event);
    on_vector(0x20, on_event);
    on_vector(0x21, on_event);
    inject(EVENT(SVM_EVENT_EXCEPTION, EXC_GP) | SVM_EVENT_EV | 0x1234ull << 32, 0);
    check(C.exit_code == SVM_EXIT_VMMCALL && taken == 1 && taken_error == 0x1234, "inject #GP with an error code");
    check_eq(taken_rip, (u64)l2_nothing, "an injected #GP is at RIP");
    check(!(C.event_inject & SVM_EVENT_V), "EVENTINJ.V is cleared");
    inject(EVENT(SVM_EVENT_INTR, 0x21), 0);
    check(taken == 1 && taken_vector == 0x21 && taken_rip == (u64)l2_nothing, "inject an interrupt while IF is 0");
    inject(EVENT(SVM_EVENT_NMI, EXC_NMI), 0);
    check(taken == 1 && taken_vector == EXC_NMI, "inject an NMI");
    if (features & HAS_NRIPS) {
        inject(EVENT(SVM_EVENT_SOFT_INT, 0x20), (u64)l2_nothing_after);
        check(taken == 1 && taken_rip == (u64)l2_nothing_after, "inject INT n with nRIP");
        inject(EVENT(SVM_EVENT_EXCEPTION, EXC_BP), (u64)l2_nothing_after);
        check(taken == 1 && taken_rip == (u64)l2_nothing_after, "inject #BP with nRIP");
    } else {
        skip("inject INT n with nRIP", "no NRIPS");
        skip("inject #BP with nRIP", "no NRIPS");
    }

    /* Deliveries that fault, because the IDT lies in a page that is missing. */
    prepare(l2_nothing);
    G.idtr.base = 0x8000000000;
    intercept(SVM_EXIT_EXCP + EXC_PF, true);
    u64 event = EVENT(SVM_EVENT_INTR, 0x21);
    C.event_inject = event;
    resume();
    check(C.exit_code == SVM_EXIT_EXCP + EXC_PF && C.exit_int_info == event, "EXITINTINFO of an injected interrupt");
    check(C.exit_info2 == 0x8000000210 && G.rip == (u64)l2_nothing,
          "the fault of a delivery has the IDT entry's address");
    prepare(l2_int);
    G.idtr.base = 0x8000000000;
    intercept(SVM_EXIT_EXCP + EXC_PF, true);
    resume();
    event = EVENT(SVM_EVENT_SOFT_INT, 0x20);
    check(C.exit_code == SVM_EXIT_EXCP + EXC_PF && C.exit_int_info == event && G.rip == (u64)l2_int_at,
          "EXITINTINFO of INT n");
    prepare(l2_pf);
    G.idtr.base = 0x8000000000;
    intercept(SVM_EXIT_EXCP + EXC_DF, true);
    resume();
    exits(SVM_EXIT_EXCP + EXC_DF, l2_pf_at, 0, "#PF whose gate faults is an intercepted #DF");
    on_vector(EXC_GP, NULL);
    on_vector(EXC_BP, NULL);
}

static void interrupts(void)
{
    apic_enable();
    on_vector(0x40, apic_eoi);
    /* A physical interrupt with INTR intercepted. */
    prepare(l2_spin);
    intercept(SVM_EXIT_INTR, true);
    C.vintr = VINTR_MASKING;
    apic_write(APIC_ICR, ICR_FIXED | ICR_SELF | 0x40);
    __asm__ volatile("clgi; sti" : : : "memory");
    resume();
    cli();
    check_eq(C.exit_code, SVM_EXIT_INTR, "INTR intercept, L1's IF counts with V_INTR_MASKING");
    check_eq(G.rip, (u64)l2_spin, "INTR intercept comes before L2's first instruction");
    taken = 0;
    on_vector(0x41, on_event);
    clgi();
    apic_write(APIC_ICR, ICR_FIXED | ICR_SELF | 0x41);
    sti();
    check_eq(taken, 0, "GIF 0 holds interrupts back");
    stgi();
    __asm__ volatile("nop" : : : "memory");
    check_eq(taken, 1, "STGI lets interrupts in");
    cli();
    apic_write(APIC_EOI, 0);

    /* Virtual interrupts. */
    on_vector(0x42, on_event);
    taken = 0;
    prepare(l2_sti);
    C.vintr = VIRTUAL_INTERRUPT(0xf);
    resume();
    check(taken == 1 && taken_vector == 0x42 && !(C.vintr & VINTR_IRQ), "V_IRQ is taken when L2 sets IF");
    check_eq(taken_rip, (u64)l2_sti_after + 1, "V_IRQ is taken after STI's shadow");
    taken = 0;
    prepare(l2_nothing);
    C.vintr = VIRTUAL_INTERRUPT(0xf);
    resume();
    check(!taken && (C.vintr & VINTR_IRQ), "V_IRQ waits while L2's IF is 0");
    prepare(l2_sti);
    C.vintr = 8 | VIRTUAL_INTERRUPT(0x8);
    resume();
    check(!taken && (C.vintr & VINTR_IRQ), "V_TPR holds V_IRQ back");
    taken = 0;
    prepare(l2_sti);
    C.vintr = 8 | VINTR_IGN_TPR | VIRTUAL_INTERRUPT(0x8);
    resume();
    check(taken == 1, "V_IGN_TPR");
    taken = 0;
    prepare(l2_sti);
    intercept(SVM_EXIT_VINTR, true);
    C.vintr = VIRTUAL_INTERRUPT(0xf);
    resume();
    exits(SVM_EXIT_VINTR, l2_sti_after + 1, 0, "VINTR intercept");
    prepare(l2_shadow);
    C.vintr = VIRTUAL_INTERRUPT(0xf);
    C.interrupt_shadow = 1;
    G.rflags |= FLAG_IF;
    taken = 0;
    resume();
    check(taken == 1 && taken_rip == (u64)l2_shadow_after, "interrupt shadow in the VMCB lasts one instruction");
    start_with(l2_sti_hlt, SVM_EXIT_HLT);
    check(C.interrupt_shadow & 1, "interrupt shadow is saved");

    /* NMI. */
    taken = 0;
    prepare(l2_spin);
    intercept(SVM_EXIT_NMI, true);
    clgi();
    apic_write(APIC_ICR2, 0);
    apic_write(APIC_ICR, ICR_NMI);
    resume();
    check(C.exit_code == SVM_EXIT_NMI, "NMI intercept");
    check(taken == 1 && taken_vector == EXC_NMI, "the NMI is taken by L1 after STGI");
}

static void virtual_gif(void)
{
    if (!(features & HAS_VGIF)) {
        skip("virtual GIF", "no VGIF");
        return;
    }
    prepare(l2_stgi);
    C.vintr = VINTR_GIF_ENABLE;
    resume();
    check(C.exit_code == SVM_EXIT_VMMCALL && (C.vintr & VINTR_GIF), "STGI sets V_GIF");
    prepare(l2_clgi);
    C.vintr = VINTR_GIF_ENABLE | VINTR_GIF;
    resume();
    check(C.exit_code == SVM_EXIT_VMMCALL && !(C.vintr & VINTR_GIF), "CLGI clears V_GIF");
    taken = 0;
    prepare(l2_sti);
    C.vintr = VINTR_GIF_ENABLE | VIRTUAL_INTERRUPT(0xf);
    resume();
    check(!taken && (C.vintr & VINTR_IRQ), "V_GIF 0 holds V_IRQ back");
}

static void virtual_nmi(void)
{
    if (!(features & HAS_VNMI)) {
        skip("virtual NMI", "no VNMI");
        return;
    }
    taken = 0;
    prepare(l2_nothing);
    intercept(SVM_EXIT_NMI, true);
    C.vintr = VINTR_NMI_ENABLE | VINTR_NMI;
    resume();
    check(taken == 1 && taken_vector == EXC_NMI && !(C.vintr & (VINTR_NMI | VINTR_NMI_MASK)),
          "V_NMI is taken, and IRET unmasks NMIs");
    taken = 0;
    prepare(l2_nothing);
    intercept(SVM_EXIT_NMI, true);
    C.vintr = VINTR_NMI_ENABLE | VINTR_NMI | VINTR_NMI_MASK;
    resume();
    check(!taken && (C.vintr & VINTR_NMI) && (C.vintr & VINTR_NMI_MASK), "V_NMI_MASK holds V_NMI back");
}

int main(void)
{
    if (!svm_begin())
        return 0;
    exceptions();
    injection();
    interrupts();
    virtual_gif();
    virtual_nmi();
    return 0;
}
