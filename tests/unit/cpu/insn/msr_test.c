#include "cpu/insn/ops.h"
#include "unit/core.h"
#include "unit/test.h"

static struct vcpu *v;

static bool writes(u32 msr, u64 value)
{
    v->fault.valid = false;
    return msr_write(v, msr, value) == CPU_OK;
}

static bool gp(u32 msr, u64 value)
{
    return !writes(msr, value) && v->fault.valid && v->fault.vector == EXC_GP && v->fault.error == 0;
}

static u64 get(u32 msr)
{
    u64 value = 0;
    return msr_read(v, msr, &value) == CPU_OK ? value : 0xfa17;
}

static bool keeps(u32 msr, u64 value)
{
    return writes(msr, value) && get(msr) == value;
}

static void test_table(void)
{
    TEST("the table ascends without overlap, and no access to any row breaks anything");
    for (int vendor = 0; vendor < 2; vendor++) {
        core_create(vendor ? VENDOR_AMD : VENDOR_INTEL, true, 1, NULL);
        v = vm.vcpu[0];
        u32 first, count;
        u64 end = 0;
        const char *name;
        for (unsigned i = 0; (name = msr_row(i, &first, &count)); i++) {
            CHECK(first >= end && count && *name);
            end = (u64)first + count;
            for (u32 k = 0; k < count; k++) {
                u64 value;
                if (msr_read(v, first + k, &value) == CPU_OK && first != MSR_TSC && first != MSR_APIC_BASE)
                    CHECK(msr_write(v, first + k, value) == CPU_OK || v->fault.vector == EXC_GP);
            }
        }
        CHECK_EQ(end, MSR_BU_CFG2 + 1);
    }
}

static void test_common(void)
{
    core_create(VENDOR_INTEL, true, 2, NULL);
    v = vm.vcpu[1];

    TEST("unknown MSRs");
    CHECK_EQ(get(0xc1), 0xfa17);
    CHECK_EQ(get(0x38f), 0xfa17);
    CHECK(gp(0x12345678, 0));
    CHECK_EQ(get(MSR_HWCR), 0xfa17);

    TEST("canonical and 32-bit values");
    CHECK(keeps(MSR_LSTAR, 0xffff800000000000));
    CHECK(gp(MSR_LSTAR, 0x800000000000));
    CHECK(keeps(MSR_FS_BASE, 0x7fffffffffff));
    CHECK_EQ(v->seg[SEG_FS].base, 0x7fffffffffff);
    CHECK(gp(MSR_GS_BASE, 1ull << 63));
    CHECK(keeps(MSR_KERNEL_GS_BASE, 5));
    CHECK(gp(MSR_SFMASK, 1ull << 32));
    CHECK(gp(MSR_TSC_AUX, 1ull << 32));
    CHECK(keeps(MSR_TSC_AUX, 7));
    CHECK(keeps(MSR_STAR, ~0ull));
    CHECK(gp(MSR_SYSENTER_EIP, 0x8000000000000000));

    TEST("EFER");
    core_mode32(v);
    CHECK(gp(MSR_EFER, EFER_SVME));
    CHECK(gp(MSR_EFER, BIT64(1)));
    CHECK(gp(MSR_EFER, EFER_AUTOIBRS));
    CHECK(keeps(MSR_EFER, EFER_LME | EFER_NXE | EFER_SCE));
    CHECK(writes(MSR_EFER, EFER_LMA));
    CHECK_EQ(get(MSR_EFER), 0);
    core_mode64(v);
    CHECK(gp(MSR_EFER, EFER_LMA));
    CHECK(writes(MSR_EFER, EFER_LME | EFER_NXE));
    CHECK_EQ(get(MSR_EFER), EFER_LME | EFER_LMA | EFER_NXE);

    TEST("memory types");
    CHECK_EQ(get(MSR_PAT), 0x0007040600070406);
    CHECK(gp(MSR_PAT, 2) && gp(MSR_PAT, 3ull << 32) && gp(MSR_PAT, 8ull << 56));
    CHECK(keeps(MSR_PAT, 0x0706050401000706));
    CHECK(gp(MSR_MTRR_DEF_TYPE, 7) && gp(MSR_MTRR_DEF_TYPE, 0x100) && keeps(MSR_MTRR_DEF_TYPE, 0xc00));
    CHECK(gp(MSR_MTRR_FIX64K, 7) && keeps(MSR_MTRR_FIX4K + 7, 0x0506040100060504));
    CHECK(keeps(MSR_MTRR_BASE0 + 14, 0x80000006) && gp(MSR_MTRR_BASE0 + 14, 0x80000002));
    CHECK(keeps(MSR_MTRR_BASE0 + 15, 0xff80000800) && gp(MSR_MTRR_BASE0 + 15, 0x10000000800) && gp(0x20f, 0x400));
    CHECK_EQ(get(MSR_MTRRCAP), 0x508);
    CHECK(gp(MSR_MTRRCAP, 0x508));

    TEST("speculation control");
    CHECK(keeps(MSR_SPEC_CTRL, 0x407) && gp(MSR_SPEC_CTRL, 8));
    CHECK(writes(MSR_PRED_CMD, 1) && gp(MSR_PRED_CMD, 2));
    CHECK_EQ(get(MSR_PRED_CMD), 0xfa17);
    CHECK(writes(MSR_FLUSH_CMD, 1));
    CHECK((get(MSR_ARCH_CAPABILITIES) & 0x17b) == 0x17b);

    TEST("FEATURE_CONTROL is locked with VMXON permitted");
    CHECK_EQ(get(MSR_FEATURE_CONTROL), 5);
    CHECK(gp(MSR_FEATURE_CONTROL, 5));
    v->feature_control = 0;
    CHECK(gp(MSR_FEATURE_CONTROL, 2));
    CHECK(keeps(MSR_FEATURE_CONTROL, 5));

    TEST("VMX capabilities come from the extension");
    CHECK(get(0x480) != 0xfa17);

    TEST("machine check banks");
    CHECK_EQ(get(MSR_MCG_CAP), 0x10a);
    CHECK(keeps(MSR_MC0_CTL + 36, ~0ull) && gp(MSR_MC0_CTL + 37, 1) && writes(MSR_MC0_CTL + 37, 0));
    CHECK(keeps(MSR_MC0_CTL + 38, 0x123456789a) && keeps(MSR_MC0_CTL + 39, ~0ull));
    CHECK_EQ(get(MSR_MC0_CTL + 40), 0xfa17);

    TEST("XSS has no bits");
    CHECK_EQ(get(MSR_XSS), features_have(&core_features, FEATURE_XSAVES) ? 0 : 0xfa17);
    CHECK(gp(MSR_XSS, 1));
}

static void test_time(void)
{
    core_create(VENDOR_INTEL, false, 2, NULL);
    v = vm.vcpu[0];

    TEST("TSC and TSC_ADJUST move together");
    CHECK_EQ(vm.vcpu[0]->tsc_offset, vm.vcpu[1]->tsc_offset);
    CHECK(get(MSR_TSC) < 2000000000);
    CHECK_EQ(get(MSR_TSC_ADJUST), 0);
    u64 before = v->tsc_offset;
    CHECK(keeps(MSR_TSC_ADJUST, 1000000));
    CHECK_EQ(v->tsc_offset, before + 1000000);
    CHECK(keeps(MSR_TSC_ADJUST, 0));
    CHECK_EQ(v->tsc_offset, before);
    CHECK(writes(MSR_TSC, 1ull << 50));
    CHECK(get(MSR_TSC) - (1ull << 50) < 2000000000);
    CHECK_EQ(get(MSR_TSC_ADJUST), v->tsc_offset - before);

    TEST("L2's offset and multiplier");
    v->tsc_offset = v->tsc_offset_l1 + 5000000000;
    u64 l1 = tsc_read_l1(v);
    CHECK(tsc_read(v) - l1 - 5000000000 < 100000000);
    v->tsc_mul = 1ull << 31;
    l1 = tsc_read_l1(v);
    CHECK(tsc_read(v) - l1 / 2 - 5000000000 < 100000000);

    TEST("TSC to nanoseconds");
    l1 = tsc_read_l1(v);
    CHECK_EQ(tsc_to_ns(v, l1 - 1), core_now);
    CHECK(tsc_to_ns(v, l1 + 2000000000) - core_now <= 1000000000);
    CHECK(tsc_to_ns(v, l1 + 2000000000) - core_now > 900000000);
    CHECK(tsc_to_ns(v, l1 + (~0ull >> 1) - 1000000000000) > core_now);
}

static void test_amd(void)
{
    core_create(VENDOR_AMD, true, 1, NULL);
    v = vm.vcpu[0];

    TEST("AMD");
    CHECK(keeps(MSR_EFER, EFER_SVME | EFER_FFXSR | EFER_AUTOIBRS));
    CHECK(get(MSR_HWCR) & BIT64(24));
    CHECK(get(MSR_DE_CFG) & BIT64(1));
    CHECK_EQ(get(MSR_FEATURE_CONTROL), 0xfa17);
    CHECK_EQ(get(MSR_ARCH_CAPABILITIES), 0xfa17);
    CHECK(get(MSR_VM_CR) != 0xfa17);
    CHECK(keeps(MSR_SPEC_CTRL, 7));
    CHECK(writes(MSR_K7_EVNTSEL0, 0x430076 | 1ull << 63 | 1 << 21));
    CHECK_EQ(get(MSR_K7_EVNTSEL0), 0x430076);
    CHECK(keeps(MSR_K7_PERFCTR3, 0xffff87654321));
    CHECK(writes(MSR_K7_PERFCTR3, ~0ull));
    CHECK_EQ(get(MSR_K7_PERFCTR3), (1ull << 48) - 1);
    CHECK(gp(MSR_MC0_CTL + 1, 1));
    CHECK(writes(MSR_HWCR, get(MSR_HWCR) | BIT64(18)));
    CHECK(keeps(MSR_MC0_CTL + 1, 1));

    TEST("RDMSR and WRMSR");
    struct insn in = {.len = 2};
    core_mode32(v);
    v->gpr[RCX] = MSR_STAR;
    v->gpr[RAX] = 0xffffffff11223344;
    v->gpr[RDX] = 0xffffffff55667788;
    CHECK_EQ(op_wrmsr(v, &in), CPU_OK);
    CHECK_EQ(v->star, 0x5566778811223344);
    CHECK_EQ(op_rdmsr(v, &in), CPU_OK);
    CHECK(v->gpr[RAX] == 0x11223344 && v->gpr[RDX] == 0x55667788);
    v->cpl = 3;
    CHECK_EQ(op_rdmsr(v, &in), CPU_FAULT);
    CHECK_EQ(op_wrmsr(v, &in), CPU_FAULT);
    CHECK_EQ(v->fault.vector, EXC_GP);
}

/* Tries every bit of an MSR. What may be set reads back; what may not is named. */
static unsigned state_flips(u32 msr)
{
    unsigned set = 0;
    u64 was, is;
    CHECK(msr_get(v, msr, &was));
    for (unsigned bit = 0; bit < 64; bit++) {
        const char *name = msr_refusal(v, msr, was ^ BIT64(bit));
        if (name) {
            CHECK(*name);
            continue;
        }
        msr_set(v, msr, was ^ BIT64(bit));
        CHECK(msr_get(v, msr, &is) && is == (was ^ BIT64(bit)));
        msr_set(v, msr, was);
        set++;
    }
    CHECK(msr_get(v, msr, &is) && is == was);
    return set;
}

static void test_state(void)
{
    static u32 list[1000];
    for (int vendor = 0; vendor < 2; vendor++) {
        core_create(vendor ? VENDOR_AMD : VENDOR_INTEL, true, 1, NULL);
        v = vm.vcpu[0];
        TEST(vendor ? "AMD: MSRs as state" : "Intel: MSRs as state");
        u32 n = msr_list(v, list, ARRAY_LEN(list)), first, count;
        CHECK(n > 80 && n < ARRAY_LEN(list));
        CHECK_EQ(msr_list(v, NULL, 0), n);
        for (u32 i = 0; i < n; i++) {
            CHECK(state_flips(list[i]) || list[i] == MSR_XSS ||
                  !msr_refusal(v, list[i], ~0ull)); /* XSS has no bits, banks have all or none */
            for (u32 k = 0; k < i; k++)
                CHECK(list[i] != list[k]);
        }
        for (unsigned i = 0; msr_row(i, &first, &count); i++) {
            for (u32 msr = first; msr < first + count; msr++) {
                bool listed = false;
                u64 value;
                for (u32 k = 0; k < n; k++)
                    listed |= list[k] == msr;
                if (!listed && msr != MSR_TSC && msr_get(v, msr, &value))
                    CHECK_EQ(state_flips(msr), 0);
                else if (!listed)
                    CHECK(msr_refusal(v, msr, 0));
            }
        }
    }

    TEST("state may be what WRMSR refuses");
    core_create(VENDOR_INTEL, true, 1, NULL);
    v = vm.vcpu[0];
    CHECK(gp(MSR_FEATURE_CONTROL, 0) && !msr_refusal(v, MSR_FEATURE_CONTROL, 0));
    CHECK(gp(MSR_MC0_CTL + 1, 1) && !msr_refusal(v, MSR_MC0_CTL + 1, 1));
    u64 offset = v->tsc_offset;
    msr_set(v, MSR_TSC_ADJUST, 1000);
    CHECK(get(MSR_TSC_ADJUST) == 1000 && v->tsc_offset == offset);
}

int main(void)
{
    test_table();
    test_state();
    test_common();
    test_time();
    test_amd();
    return TEST_END();
}
