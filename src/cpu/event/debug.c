/*
 * Debug exceptions: see debug.h. A trap that is met waits in vcpu.trap_pending and trap_dr6 for the end of the
 * instruction, where events.c raises #DB.
 *
 * Source: SDM vol. 3B "Debug Exceptions", "Last Branch Recording"; APM vol. 2 "Debug and Performance Resources".
 */
#include "cpu/event/debug.h"

#include "cpu/core/cpuid.h"
#include "cpu/mmu/mmu.h"
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

/* -- the debugger outside -- */

void debug_set(struct vcpu *v, const struct cpu_debug *d)
{
    bool blocked = v->debug.on & CPU_DEBUG_NO_IRQ;
    v->debug = *d;
    if (!(d->on & CPU_DEBUG_HW))
        v->debug.dr7 = 0;
    v->debug_steps = d->on & CPU_DEBUG_STEP;
    v->debug_breaks = false;
    for (unsigned i = 0; i < 4; i++)
        if (DR7_ENABLES(v->debug.dr7, i))
            *(DR7_KIND(v->debug.dr7, i) == DR7_EXECUTE ? &v->debug_breaks : &v->debug_steps) = true;
    v->debug_hit = 0;
    if (blocked)
        request_raise(v, REQ_EVENT);
    mode_update(v);
    mmu_flush_all(v); /* accesses to pages with watchpoints come to C, and so do jumps to those with breakpoints */
    mmu_flush_jumps(v);
}

static u64 linear_rip(const struct vcpu *v)
{
    return in_64bit(v) ? v->rip : (u32)(v->rip + v->seg[SEG_CS].base);
}

enum outcome debug_leave(struct vcpu *v, u8 vector, u64 dr6)
{
    u64 dr7 = v->debug.on & CPU_DEBUG_HW ? v->debug.dr7 : v->dr7;
    v->exit_debug = (struct cpu_exit_debug){
        .vector = vector, .pc = linear_rip(v), .dr6 = vector == EXC_DB ? DR6_FIXED | dr6 : 0, .dr7 = dr7};
    v->exit = CPU_EXIT_DEBUG;
    return CPU_EXIT;
}

bool debug_in_page(const struct vcpu *v, u64 la)
{
    for (unsigned i = 0; i < 4; i++)
        if (DR7_ENABLES(v->debug.dr7, i) && DR7_KIND(v->debug.dr7, i) == DR7_EXECUTE &&
            !((v->debug.dr[i] ^ la) >> PAGE_SHIFT))
            return true;
    return false;
}

bool debug_before(struct vcpu *v, u64 la)
{
    u64 dr6 = 0;
    v->debug_hit = 0;
    for (unsigned i = 0; i < 4 && !(v->flags & FLAG_RF); i++)
        if (DR7_ENABLES(v->debug.dr7, i) && DR7_KIND(v->debug.dr7, i) == DR7_EXECUTE && v->debug.dr[i] == la)
            dr6 |= BIT64(i);
    return dr6 && debug_leave(v, EXC_DB, dr6) == CPU_EXIT;
}

void debug_after(struct vcpu *v)
{
    u64 dr6 = v->debug_hit | (v->debug.on & CPU_DEBUG_STEP ? DR6_BS : 0);
    if (dr6 && v->exit == CPU_EXIT_NONE && debug_leave(v, EXC_DB, dr6) == CPU_EXIT)
        v->debug_hit = 0;
}
