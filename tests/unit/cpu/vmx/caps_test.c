/* VMX capabilities: consistent in themselves, and what hypervisors refuse to start without is there. */
#include "unit/test.h"
#include "unit/vmx_machine.h"

static u64 msr(u32 index)
{
    u64 value = 0;
    enum outcome out = CPU_OK;
    CHECK(vmx_msr_read(v, index, &value, &out));
    CHECK_EQ(out, CPU_OK);
    return value;
}

static u32 may(u32 index)
{
    return (u32)(msr(index) >> 32);
}

static void test_consistent(void)
{
    machine_create();
    TEST("must is part of may, and TRUE MSRs only relax");
    static const u32 pairs[][2] = {
        {MSR_VMX_PINBASED_CTLS, MSR_VMX_TRUE_PINBASED_CTLS},
        {MSR_VMX_PROCBASED_CTLS, MSR_VMX_TRUE_PROCBASED_CTLS},
        {MSR_VMX_EXIT_CTLS, MSR_VMX_TRUE_EXIT_CTLS},
        {MSR_VMX_ENTRY_CTLS, MSR_VMX_TRUE_ENTRY_CTLS},
    };
    for (unsigned i = 0; i < ARRAY_LEN(pairs); i++) {
        u64 first = msr(pairs[i][0]), exact = msr(pairs[i][1]);
        CHECK(!((u32)first & ~(first >> 32)));
        CHECK(!((u32)exact & ~(exact >> 32)));
        CHECK_EQ(first >> 32, exact >> 32);
        CHECK(!((u32)exact & ~(u32)first));
    }
    CHECK_EQ((u32)msr(MSR_VMX_PROCBASED_CTLS2), 0);
    TEST("controls of entry and exit come in pairs");
    u32 entry = may(MSR_VMX_ENTRY_CTLS), exit = may(MSR_VMX_EXIT_CTLS);
    CHECK_EQ(!!(entry & ENTRYC_LOAD_PAT), !!(exit & EXITC_LOAD_PAT));
    CHECK_EQ(!!(entry & ENTRYC_LOAD_EFER), !!(exit & EXITC_LOAD_EFER));
    CHECK_EQ(!!(entry & ENTRYC_LOAD_PERF_GLOBAL), !!(exit & EXITC_LOAD_PERF_GLOBAL));
    CHECK_EQ(!!(entry & (ENTRYC_TO_SMM | ENTRYC_DEACTIVATE_DUAL_MONITOR)), 0);
    TEST("IA32_VMX_BASIC");
    u64 basic = msr(MSR_VMX_BASIC);
    CHECK_EQ((u32)basic, VMCS_REVISION);
    CHECK(VMCS_REVISION < BIT(30));
    CHECK(!(basic & VMCS_SHADOW));
    CHECK_EQ(VMX_BASIC_SIZE(basic), VMCS_SIZE);
    CHECK(!(basic & VMX_BASIC_32BIT_ADDRESSES));
    CHECK_EQ(VMX_BASIC_MEMTYPE(basic), MEMTYPE_WB);
    CHECK(basic & VMX_BASIC_TRUE_CONTROLS);
    TEST("features need each other");
    u32 proc2 = may(MSR_VMX_PROCBASED_CTLS2), proc = may(MSR_VMX_PROCBASED_CTLS), pin = may(MSR_VMX_PINBASED_CTLS);
    u64 ept = msr(MSR_VMX_EPT_VPID_CAP), misc = msr(MSR_VMX_MISC);
    CHECK(proc2 & PROC2_EPT || !(proc2 & (PROC2_UNRESTRICTED_GUEST | PROC2_MODE_BASED_EXECUTE | PROC2_PML)));
    CHECK(!(proc2 & PROC2_UNRESTRICTED_GUEST) || misc & VMX_MISC_SAVE_LMA);
    CHECK(pin & PIN_VIRTUAL_NMIS || !(proc & PROC_NMI_WINDOW));
    CHECK(pin & PIN_PREEMPTION_TIMER || !(exit & EXITC_SAVE_PREEMPTION_TIMER));
    CHECK(proc & PROC_TPR_SHADOW || !(proc2 & PROC2_X2APIC_MODE));
    CHECK(proc2 & PROC2_VPID || !(ept >> 32));
    CHECK(proc2 & PROC2_EPT || !(u32)ept);
    CHECK(!(proc2 & PROC2_SHADOW_VMCS) || misc & VMX_MISC_VMWRITE_ANY);
    TEST("CR0 and CR4 fixed bits");
    CHECK_EQ(msr(MSR_VMX_CR0_FIXED0), CR0_PE | CR0_NE | CR0_PG);
    CHECK_EQ(msr(MSR_VMX_CR0_FIXED1), 0xffffffff);
    CHECK_EQ(msr(MSR_VMX_CR4_FIXED0), CR4_VMXE);
    CHECK(!(msr(MSR_VMX_CR4_FIXED0) & ~msr(MSR_VMX_CR4_FIXED1)));
}

/* What Linux' setup_vmcs_config requires. */
static void test_linux(void)
{
    machine_create();
    TEST("controls that KVM requires");
    u32 pin = PIN_EXTINT_EXITING | PIN_NMI_EXITING;
    u32 proc = PROC_HLT_EXITING | PROC_INVLPG_EXITING | PROC_MWAIT_EXITING | PROC_RDPMC_EXITING |
               PROC_CR3_LOAD_EXITING | PROC_CR3_STORE_EXITING | PROC_CR8_LOAD_EXITING | PROC_CR8_STORE_EXITING |
               PROC_TSC_OFFSETTING | PROC_MOV_DR_EXITING | PROC_UNCONDITIONAL_IO | PROC_MONITOR_EXITING |
               PROC_INTERRUPT_WINDOW;
    u32 exit = EXITC_SAVE_DEBUG | EXITC_HOST_64 | EXITC_ACK_INTERRUPT;
    u32 entry = ENTRYC_LOAD_DEBUG | ENTRYC_IA32E_GUEST;
    CHECK_EQ(may(MSR_VMX_PINBASED_CTLS) & pin, pin);
    CHECK_EQ(may(MSR_VMX_PROCBASED_CTLS) & proc, proc);
    CHECK_EQ(may(MSR_VMX_EXIT_CTLS) & exit, exit);
    CHECK_EQ(may(MSR_VMX_ENTRY_CTLS) & entry, entry);
    TEST("EPT and VPID as KVM uses them");
    u64 ept = EPT_CAP_WALK_4 | EPT_CAP_WB | EPT_CAP_INVEPT | EPT_CAP_INVEPT_ALL | VPID_CAP_INVVPID | VPID_CAP_ALL;
    CHECK_EQ(msr(MSR_VMX_EPT_VPID_CAP) & ept, ept);
}

/* What Xen's vmx_init_vmcs_config requires beyond that. */
static void test_xen(void)
{
    machine_create();
    TEST("controls that Xen requires");
    u32 proc = PROC_IO_BITMAPS | PROC_RDTSC_EXITING;
    CHECK_EQ(may(MSR_VMX_PROCBASED_CTLS) & proc, proc);
    u32 clearable = PROC_INVLPG_EXITING | PROC_CR3_LOAD_EXITING | PROC_CR3_STORE_EXITING;
    CHECK_EQ((u32)msr(MSR_VMX_TRUE_PROCBASED_CTLS) & clearable, 0);
}

static bool put(u32 index, u64 value)
{
    return vmx_msr_put(v, index, value) && msr(index) == value;
}

/* Each bit of `bits` that the MSR has can be taken away, and comes back; no other can change. */
static void test_bits(u32 index, u64 bits)
{
    u64 all = msr(index);
    for (unsigned i = 0; i < 64; i++) {
        bool may_change = bits & all & BIT64(i);
        CHECK_EQ(vmx_msr_put(v, index, all ^ BIT64(i)), may_change);
        CHECK(put(index, all));
    }
}

static void test_owner(void)
{
    machine_create();
    TEST("the owner takes capabilities away, and adds none");
    static const u32 controls[] = {MSR_VMX_TRUE_PINBASED_CTLS, MSR_VMX_TRUE_PROCBASED_CTLS, MSR_VMX_TRUE_EXIT_CTLS,
                                   MSR_VMX_TRUE_ENTRY_CTLS, MSR_VMX_PROCBASED_CTLS2};
    for (unsigned i = 0; i < ARRAY_LEN(controls); i++) {
        u64 all = msr(controls[i]);
        for (unsigned bit = 0; bit < 64; bit++) {
            bool low = bit < 32, set = all >> bit & 1;
            CHECK_EQ(vmx_msr_put(v, controls[i], all ^ BIT64(bit)), low != set);
            CHECK(put(controls[i], all));
        }
    }
    test_bits(MSR_VMX_EPT_VPID_CAP, ~0ull);
    test_bits(MSR_VMX_BASIC, VMX_BASIC_INS_OUTS_INFO | VMX_BASIC_TRUE_CONTROLS);
    CHECK(put(MSR_VMX_VMCS_ENUM, 0) && put(MSR_VMX_VMCS_ENUM, ~0ull));
    CHECK(!vmx_msr_put(v, MSR_VMX_CR4_FIXED1, 0) && !vmx_msr_put(v, MSR_VMX_PROCBASED_CTLS, 0));
    CHECK(put(MSR_VMX_MISC, msr(MSR_VMX_MISC) & ~VMX_MISC_SAVE_LMA));
    CHECK(!vmx_msr_put(v, MSR_VMX_MISC, msr(MSR_VMX_MISC) + 1));

    TEST("what was taken away may not be used, and stays away after RESET");
    u64 pin = msr(MSR_VMX_TRUE_PINBASED_CTLS);
    CHECK(vmx_pin_ok(v->vmx->caps, (u32)pin | PIN_PREEMPTION_TIMER));
    CHECK(put(MSR_VMX_TRUE_PINBASED_CTLS, pin & ~((u64)PIN_PREEMPTION_TIMER << 32)));
    v->nested->reset(v);
    CHECK(!vmx_pin_ok(v->vmx->caps, (u32)pin | PIN_PREEMPTION_TIMER));

    TEST("in VMX operation nothing changes");
    v->vmx->on = true;
    CHECK(!vmx_msr_put(v, MSR_VMX_TRUE_PINBASED_CTLS, pin) && put(MSR_VMX_BASIC, msr(MSR_VMX_BASIC)));
}

static void test_msr_access(void)
{
    machine_create();
    TEST("capabilities are read-only, and nothing else is answered");
    u64 value;
    enum outcome out = CPU_OK;
    CHECK(vmx_msr_write(v, MSR_VMX_BASIC, 0, &out));
    CHECK_EQ(out, CPU_FAULT);
    CHECK_EQ(v->fault.vector, EXC_GP);
    CHECK(!vmx_msr_read(v, MSR_VMX_VMFUNC, &value, &out));
    CHECK(!vmx_msr_read(v, MSR_TSC, &value, &out));
}

int main(void)
{
    test_consistent();
    test_linux();
    test_xen();
    test_owner();
    test_msr_access();
    return TEST_END();
}
