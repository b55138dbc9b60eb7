/*
 * Debug exceptions between instructions: which breakpoints are reported before an instruction, what a step leaves, and
 * what MOV to SS holds back.
 */
#include "cpu/event/debug.h"
#include "unit/fake_vcpu.h"
#include "unit/test.h"
#include "x86/msr.h"

#define BREAKPOINT_L(n) BIT64(2 * (n))
#define BREAKPOINT_G(n) BIT64(2 * (n) + 1)
#define KIND(n, kind) ((u64)(kind) << (16 + 4 * (n)))

static u64 reported(struct vcpu *v, u64 la)
{
    u64 dr6;
    bool any = debug_breakpoint(v, la, &dr6);
    CHECK_EQ(any, dr6 != 0);
    return dr6;
}

static void breakpoints(void)
{
    struct vcpu *v = fake_vcpu(VENDOR_INTEL);
    TEST("breakpoints that are enabled locally or globally, at the address, for execution");
    for (unsigned n = 0; n < 4; n++) {
        v->dr[n] = 0x4000;
        CHECK_EQ(reported(v, 0x4000), 0);
        v->dr7 = DR7_FIXED | BREAKPOINT_L(n);
        CHECK_EQ(reported(v, 0x4000), BIT(n));
        CHECK_EQ(reported(v, 0x4001), 0);
        v->dr7 = DR7_FIXED | BREAKPOINT_G(n);
        CHECK_EQ(reported(v, 0x4000), BIT(n));
        for (unsigned kind = 1; kind < 4; kind++) {
            v->dr7 = DR7_FIXED | BREAKPOINT_L(n) | KIND(n, kind);
            CHECK_EQ(reported(v, 0x4000), 0);
        }
        v->dr7 = DR7_FIXED;
    }
    v->dr7 = DR7_FIXED | BREAKPOINT_L(0) | BREAKPOINT_G(3);
    CHECK_EQ(reported(v, 0x4000), 9);

    TEST("no breakpoint is reported with RF");
    v->flags |= FLAG_RF;
    CHECK_EQ(reported(v, 0x4000), 0);
    v->flags &= ~FLAG_RF;

    TEST("MOV to SS holds them off with Intel, STI does not");
    v->shadow = SHADOW_MOVSS;
    CHECK_EQ(reported(v, 0x4000), 0);
    v->shadow = SHADOW_STI;
    CHECK_EQ(reported(v, 0x4000), 9);
    v->vm->vendor = VENDOR_AMD;
    v->shadow = SHADOW_MOVSS;
    CHECK_EQ(reported(v, 0x4000), 9);
}

static void steps(void)
{
    struct vcpu *v = fake_vcpu(VENDOR_INTEL);
    TEST("a step traps if TF was set before it");
    debug_stepped(v, 0x4000, false);
    CHECK(!v->trap_pending);
    v->step_trap = true;
    debug_stepped(v, 0x4000, false);
    CHECK(v->trap_pending && v->trap_dr6 == DR6_BS && !v->lbr[0]);

    TEST("BTF: branches only");
    v = fake_vcpu(VENDOR_INTEL);
    v->step_trap = true;
    v->debugctl = DEBUGCTL_BTF;
    debug_stepped(v, 0x4000, false);
    CHECK(!v->trap_pending);
    debug_stepped(v, 0x4000, true);
    CHECK(v->trap_pending);

    TEST("LBR: from where to where");
    v = fake_vcpu(VENDOR_INTEL);
    v->debugctl = DEBUGCTL_LBR;
    v->rip = 0x5000;
    debug_stepped(v, 0x4000, false);
    CHECK(!v->lbr[0] && !v->lbr[1]);
    debug_stepped(v, 0x4000, true);
    CHECK(v->lbr[0] == 0x4000 && v->lbr[1] == 0x5000 && !v->trap_pending);
}

static void held(void)
{
    struct vcpu *v = fake_vcpu(VENDOR_INTEL);
    TEST("held breakpoints are taken along once, steps are not");
    CHECK_EQ(debug_take_held(v), 0);
    v->trap_pending = true;
    v->trap_dr6 = DR6_BS | 5;
    CHECK_EQ(debug_take_held(v), 5);
    CHECK(!v->trap_pending && !v->trap_dr6 && debug_take_held(v) == 0);

    TEST("a handler drops the step that MOV to SS held, not its breakpoints");
    v->trap_pending = true;
    v->trap_dr6 = DR6_BS | 1;
    debug_drop_held_step(v);
    CHECK(v->trap_dr6 == (DR6_BS | 1));
    v->shadow = SHADOW_MOVSS;
    debug_drop_held_step(v);
    CHECK(v->trap_pending && v->trap_dr6 == 1);
    v->trap_dr6 = DR6_BS;
    debug_drop_held_step(v);
    CHECK(!v->trap_pending && !v->trap_dr6);
}

int main(void)
{
    breakpoints();
    steps();
    held();
    return TEST_END();
}
