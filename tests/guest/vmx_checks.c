/*
 * The checks of VM entry: a VMCS that breaks one fails VMLAUNCH, or exits at once.
 */
#include "vmx.h"

L2(l2_nothing, "", "vmcall", "");

static void entry_errors(void)
{
    prepare(l2_nothing);
    launched = true;
    check(resume() == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_VMRESUME_NOT_LAUNCHED, "VMRESUME of a clear VMCS");
    start(l2_nothing);
    launched = false;
    check(resume() == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_VMLAUNCH_NOT_CLEAR, "VMLAUNCH of a launched VMCS");
    prepare(l2_nothing);
    vmwrite(VMCS_PIN_CONTROLS, 0);
    check(resume() == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_ENTRY_CONTROLS,
          "pin-based controls without the default ones");
    prepare(l2_nothing);
    vmwrite(VMCS_ENTRY_INTR_INFO, INTR_VALID | 1 << INTR_TYPE_SHIFT);
    check(resume() == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_ENTRY_CONTROLS, "injection of a reserved type");
    prepare(l2_nothing);
    vmwrite(VMCS_SEGMENT(VMCS_HOST_SELECTOR, SEG_CS), 0);
    check(resume() == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_ENTRY_HOST_STATE, "null host CS");
    prepare(l2_nothing);
    vmwrite(VMCS_HOST_CR3, BIT64(60));
    check(resume() == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_ENTRY_HOST_STATE,
          "host CR3 beyond physical memory");
    if (proc2_may & PROC2_TSC_SCALING) {
        prepare(l2_nothing);
        vmwrite(VMCS_PROC2_CONTROLS, PROC2_EPT | PROC2_TSC_SCALING);
        vmwrite(VMCS_TSC_MULTIPLIER, 0);
        check(resume() == FAIL_VALID && vmread(VMCS_INSN_ERROR) == VMERR_ENTRY_CONTROLS, "TSC multiplier 0");
    } else {
        skip("TSC multiplier 0", "no TSC scaling");
    }
    static const struct {
        u32 field;
        u64 value;
        const char *name;
    } guest[] = {
        {VMCS_GUEST_RFLAGS, 0, "guest RFLAGS bit 1"},
        {VMCS_GUEST_RFLAGS, FLAG_ONE | BIT64(15), "guest RFLAGS bit 15"},
        {VMCS_GUEST_RIP, 0x1000000000000, "guest RIP not canonical"},
        {VMCS_GUEST_CR3, BIT64(60), "guest CR3 beyond physical memory"},
        {VMCS_GUEST_ACTIVITY, 7, "guest activity state 7"},
        {VMCS_LINK_POINTER, 0x123, "VMCS link pointer"},
        {VMCS_SEGMENT(VMCS_GUEST_ACCESS_RIGHTS, SEG_TR), SEG_UNUSABLE, "guest TR unusable"},
        {VMCS_SEGMENT(VMCS_GUEST_ACCESS_RIGHTS, SEG_CS), 0xc09b | SEG_L, "guest CS with L and D"},
        {VMCS_GUEST_INTERRUPTIBILITY, 3, "blocking by STI and by MOV SS"},
        {VMCS_GUEST_PENDING_DEBUG, BIT64(4), "pending debug exceptions, reserved bit"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(guest); i++) {
        prepare(l2_nothing);
        vmwrite(guest[i].field, guest[i].value);
        int r = resume();
        check(r == OK && vmread(VMCS_EXIT_REASON) == (EXIT_REASON_ENTRY_FAILURE | EXIT_ENTRY_GUEST_STATE),
              guest[i].name);
    }
    start(l2_nothing);
    exits(EXIT_VMCALL, l2_nothing_at, 0, "a good VMCS runs");
}

int main(void)
{
    if (!vmx_begin())
        return 0;
    vmx_on();
    entry_errors();
    vmx_off();
    return 0;
}
