/*
 * L2 goes on between two interrupts of a timer that is as fast as can be, and between two expiries of the shortest
 * preemption timers, though each of them exits to L1. See storm.c.
 */
#include "vmx.h"

#define LOOPS "30000000"
#define LIMIT 100000u /* with so many exits before the end of L2's loop, it stands still */

L2(l2_loop, "mov $" LOOPS ", %eax; 1: dec %eax; jnz 1b", "nop", "");
L2(l2_thousand, "mov $500, %eax; 1: dec %eax; jnz 1b", "nop", "");
L2(l2_halt, "", "hlt", "");
L2(l2_pause, "", "pause", "jmp l2_pause");

static unsigned exits_taken;

/* Runs L2 to its VMCALL. Returns false if L2 does not come there within LIMIT exits, or exits for another reason. */
static bool run(u64 reason)
{
    for (exits_taken = 0; exits_taken < LIMIT; exits_taken++) {
        if (resume() != OK)
            return false;
        u64 r = vmread(VMCS_EXIT_REASON);
        if (r == EXIT_VMCALL)
            return true;
        if (r != reason)
            return false;
        if (reason == EXIT_EXTINT)
            apic_write(APIC_EOI, 0);
    }
    return false;
}

static void apic_timer(u32 lvt, u32 count, const char *name)
{
    apic_write(APIC_DIVIDE, 0xb);
    apic_write(APIC_LVT_TIMER, lvt);
    apic_write(APIC_INITIAL_COUNT, count);
    u64 begin = rdtsc();
    bool good;
    do { /* a busy host may let a whole L2 pass before the first interrupt */
        prepare(l2_loop);
        vmwrite(VMCS_PIN_CONTROLS, vmread(VMCS_PIN_CONTROLS) | PIN_EXTINT_EXITING);
        vmwrite(VMCS_EXIT_CONTROLS, vmread(VMCS_EXIT_CONTROLS) | EXITC_ACK_INTERRUPT);
        good = run(EXIT_EXTINT);
    } while (good && !exits_taken && rdtsc() - begin < tsc_per_ms() * 3000);
    apic_write(APIC_INITIAL_COUNT, 0);
    sti();
    cli();
    check(good && exits_taken, name);
}

static void preemption_timer(void)
{
    if (!(pin_may & PIN_PREEMPTION_TIMER)) {
        skip("preemption timer", "there is none");
        return;
    }
    u32 pin = 0;
    static const u32 values[] = {1, 2, 10, 100};
    bool good = true;
    for (unsigned i = 0; i < ARRAY_LEN(values); i++) {
        prepare(l2_thousand);
        pin = (u32)vmread(VMCS_PIN_CONTROLS) | PIN_PREEMPTION_TIMER;
        vmwrite(VMCS_PIN_CONTROLS, pin);
        vmwrite(VMCS_GUEST_PREEMPTION_TIMER, values[i]);
        good &= run(EXIT_PREEMPTION_TIMER) && exits_taken <= 1100;
    }
    check(good, "L2 goes on under preemption timers of 1, 2, 10 and 100");

    prepare(l2_thousand);
    vmwrite(VMCS_PIN_CONTROLS, pin);
    vmwrite(VMCS_GUEST_PREEMPTION_TIMER, 0);
    good = true;
    for (unsigned i = 0; i < 100; i++) {
        resume();
        good &= vmread(VMCS_EXIT_REASON) == EXIT_PREEMPTION_TIMER && vmread(VMCS_GUEST_RIP) == (u64)l2_thousand;
    }
    check(good, "a preemption timer of 0 expires before the first instruction");

    prepare(l2_halt);
    vmwrite(VMCS_PIN_CONTROLS, pin);
    vmwrite(VMCS_GUEST_PREEMPTION_TIMER, 1);
    vmwrite(VMCS_GUEST_ACTIVITY, GUEST_HLT);
    resume();
    exits(EXIT_PREEMPTION_TIMER, l2_halt_at, 0, "a preemption timer of 1 expires in L2's HLT state");

    if (proc_may & PROC_PAUSE_EXITING) {
        prepare(l2_pause);
        vmwrite(VMCS_PIN_CONTROLS, pin);
        vmwrite(VMCS_PROC_CONTROLS, proc_base | PROC_PAUSE_EXITING);
        vmwrite(VMCS_GUEST_PREEMPTION_TIMER, 1);
        resume();
        exits(EXIT_PAUSE, l2_pause_at, 0, "the first instruction's own exit comes before a preemption timer of 1");
    }
}

int main(void)
{
    if (!vmx_begin())
        return 0;
    vmx_on();
    apic_enable();
    on_vector(0x50, apic_eoi);
    apic_timer(0x20050, 1000, "L2 goes on under a periodic APIC timer of 1000 counts");
    apic_timer(0x20050, 1, "L2 goes on under a periodic APIC timer of 1 count");
    preemption_timer();
    return 0;
}
