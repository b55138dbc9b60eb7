/*
 * L2 goes on between two interrupts of a timer that is as fast as can be, though each of them exits to L1. See storm.c.
 */
#include "svm.h"

#define LOOPS "30000000"
#define LIMIT 100000u /* with so many exits before the end of L2's loop, it stands still */

L2(l2_loop, "mov $" LOOPS ", %eax; 1: dec %eax; jnz 1b", "nop", "");

static void apic_timer(u32 lvt, u32 count, const char *name)
{
    apic_write(APIC_DIVIDE, 0xb);
    apic_write(APIC_LVT_TIMER, lvt);
    apic_write(APIC_INITIAL_COUNT, count);
    unsigned exits_taken = 0;
    u64 begin = rdtsc();
    clgi();
    sti();
    do { /* a busy host may let a whole L2 pass before the first interrupt */
        prepare(l2_loop);
        intercept(SVM_EXIT_INTR, true);
        C.vintr = VINTR_MASKING;
        while (resume() == SVM_EXIT_INTR && ++exits_taken < LIMIT) /* when resume() sets GIF, L1 takes the interrupt */
            ;
    } while (!exits_taken && rdtsc() - begin < tsc_per_ms() * 3000);
    cli();
    apic_write(APIC_INITIAL_COUNT, 0);
    sti();
    cli();
    check(C.exit_code == SVM_EXIT_VMMCALL && exits_taken, name);
}

int main(void)
{
    if (!svm_begin())
        return 0;
    apic_enable();
    on_vector(0x50, apic_eoi);
    apic_timer(0x20050, 1000, "L2 goes on under a periodic APIC timer of 1000 counts");
    apic_timer(0x20050, 1, "L2 goes on under a periodic APIC timer of 1 count");
    return 0;
}
