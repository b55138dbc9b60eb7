/*
 * x87 errors of L2: L2's CR0.NE decides whether an error is #MF, or raises FERR# and stops the CPU. See ferr.c.
 * Source: AMD APM volume 2, "FERR_FREEZE Intercept".
 */
#include "svm.h"

#define IRQ13 0x2d /* the vector of IRQ 13 */

__asm__(".data\nl2_control: .word 0x37b\n.text\n"); /* division by zero is not masked */
L2(l2_x87, "fninit; fldcw l2_control(%rip); fld1; fldz; fdivrp", "fwait", "");

static volatile u32 irqs;
static void on_irq13(struct frame *f)
{
    irqs++;
    outb(0xf0, 0);
    __asm__ volatile("fnclex");
    outb(PIC2, PIC_EOI);
    outb(PIC1, PIC_EOI);
}

int main(void)
{
    if (!svm_begin())
        return 0;
    apic_enable();
    prepare(l2_x87);
    intercept(SVM_EXIT_EXCP + EXC_MF, true);
    intercept(SVM_EXIT_FERR_FREEZE, true);
    resume();
    exits(SVM_EXIT_EXCP + EXC_MF, l2_x87_at, 0, "#MF intercept");
    prepare(l2_x87);
    G.cr0 &= ~CR0_NE;
    intercept(SVM_EXIT_EXCP + EXC_MF, true);
    intercept(SVM_EXIT_FERR_FREEZE, true);
    resume();
    exits(SVM_EXIT_FERR_FREEZE, l2_x87_at, 0, "FERR_FREEZE intercept");
    __asm__ volatile("fnclex");

    on_vector(IRQ13, on_irq13);
    apic_write(APIC_LVT_LINT0, LVT_EXTINT);
    outb(PIC1_MASK, 0xfb);
    outb(PIC2_MASK, 0xdf);
    sti();
    cli();
    check_eq(irqs, 1, "an error of L2 raises IRQ 13");
    prepare(l2_x87);
    G.cr0 &= ~CR0_NE;
    C.vintr = VINTR_MASKING;
    intercept(SVM_EXIT_INTR, true);
    clgi();
    sti();
    resume();
    cli();
    exits(SVM_EXIT_INTR, l2_x87_at, 0, "without the FERR_FREEZE intercept L2 stops, and IRQ 13 is L1's");
    check_eq(irqs, 2, "L1 takes IRQ 13");
    return 0;
}
