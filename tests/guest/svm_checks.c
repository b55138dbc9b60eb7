/*
 * VMRUN's consistency checks: a VMCB that breaks one of them does not run.
 */
#include "svm.h"

L2(l2_nothing, "", "vmmcall", "");

static void invalid(const char *name)
{
    resume();
    check_eq(C.exit_code, SVM_EXIT_INVALID, name);
}

static void consistency(void)
{
    prepare(l2_nothing);
    intercept(SVM_EXIT_VMRUN, false);
    invalid("VMRUN intercept clear");
    prepare(l2_nothing);
    C.asid = 0;
    invalid("ASID 0");
    prepare(l2_nothing);
    G.efer &= ~EFER_SVME;
    invalid("EFER.SVME clear");
    prepare(l2_nothing);
    G.efer |= BIT64(9);
    invalid("EFER reserved bit");
    prepare(l2_nothing);
    G.cr0 = (G.cr0 | CR0_NW) & ~CR0_CD;
    invalid("CR0.NW without CD");
    prepare(l2_nothing);
    G.cr0 |= BIT64(32);
    invalid("CR0 bit 32");
    prepare(l2_nothing);
    G.cr3 |= BIT64(52);
    invalid("CR3 bit 52");
    prepare(l2_nothing);
    G.cr4 |= BIT64(32);
    invalid("CR4 bit 32");
    prepare(l2_nothing);
    G.dr6 |= BIT64(32);
    invalid("DR6 bit 32");
    prepare(l2_nothing);
    G.dr7 |= BIT64(32);
    invalid("DR7 bit 32");
    prepare(l2_nothing);
    G.cr4 &= ~CR4_PAE;
    invalid("long mode without PAE");
    prepare(l2_nothing);
    G.cr0 &= ~CR0_PE;
    invalid("long mode without PE");
    prepare(l2_nothing);
    G.cs.attr |= VMCB_ATTR_DB;
    invalid("CS.L and CS.D");
    prepare(l2_nothing);
    C.event_inject = SVM_EVENT_V | 1 << SVM_EVENT_TYPE_SHIFT;
    invalid("EVENTINJ of type 1");
    prepare(l2_nothing);
    C.event_inject = SVM_EVENT_V | SVM_EVENT_EXCEPTION << SVM_EVENT_TYPE_SHIFT | EXC_NMI;
    invalid("EVENTINJ of exception 2");
    prepare(l2_nothing);
    C.event_inject = SVM_EVENT_V | SVM_EVENT_EXCEPTION << SVM_EVENT_TYPE_SHIFT | EXC_OF;
    invalid("EVENTINJ of #OF in 64-bit mode");
    prepare(l2_nothing);
    C.event_inject = SVM_EVENT_V | SVM_EVENT_EXCEPTION << SVM_EVENT_TYPE_SHIFT | EXC_BR;
    invalid("EVENTINJ of #BR in 64-bit mode");
    prepare(l2_nothing);
    C.iopm = BIT64(cpuid(0x80000008, 0).a & 0xff);
    intercept(SVM_EXIT_IOIO, true);
    invalid("I/O map beyond physical memory");
    start(l2_nothing);
    exits(SVM_EXIT_VMMCALL, l2_nothing_at, 0, "a good VMCB runs");
}

int main(void)
{
    if (!svm_begin())
        return 0;
    consistency();
    return 0;
}
