/*
 * Debug exceptions: see debug.h. A trap that is met waits in vcpu.trap_pending and trap_dr6 for the end of the
 * instruction, where events.c raises #DB.
 *
 * Source: SDM vol. 3B "Debug Exceptions", "Last Branch Recording"; APM vol. 2 "Debug and Performance Resources".
 */
#include "cpu/event/debug.h"

#include "x86/msr.h"

/* MOV SS holds the breakpoints of the next instruction off on Intel's processors only. GIF does not: APM "Global
 * Interrupt Flag" has breakpoints ignored while it is 0, but hypervisors' own tests expect those on VMRUN to be met. */
bool debug_breakpoint(const struct vcpu *v, u64 la, u64 *dr6)
{
    *dr6 = 0;
    bool held = v->shadow & SHADOW_MOVSS && v->vm->vendor == VENDOR_INTEL;
    if ((v->flags & FLAG_RF) || !(v->dr7 & DR7_ENABLED) || held)
        return false;
    for (unsigned i = 0; i < 4; i++)
        if (DR7_ENABLES(v->dr7, i) && DR7_KIND(v->dr7, i) == DR7_EXECUTE && v->dr[i] == la)
            *dr6 |= BIT64(i);
    return *dr6;
}

void debug_stepped(struct vcpu *v, u64 from, bool branched)
{
    if (branched && v->debugctl & DEBUGCTL_LBR) {
        v->lbr[0] = from;
        v->lbr[1] = v->rip;
    }
    if (v->step_trap && (branched || !(v->debugctl & DEBUGCTL_BTF))) {
        v->trap_pending = true;
        v->trap_dr6 |= DR6_BS;
    }
}

/* Another #DB at the handler of the first would lose its frame where #DB has a stack of its own. */
u64 debug_take_held(struct vcpu *v)
{
    u64 bits = v->trap_pending ? v->trap_dr6 & DR6_B_MASK : 0;
    v->trap_pending = false;
    v->trap_dr6 = 0;
    return bits;
}

void debug_drop_held_step(struct vcpu *v)
{
    if (!(v->shadow & SHADOW_MOVSS))
        return;
    v->trap_dr6 &= ~DR6_BS;
    if (!v->trap_dr6)
        v->trap_pending = false;
}
