/*
 * RDMSR, WRMSR and MSRs as state: which exist, which values are legal, what else a write does.
 */
#include "cpu/insn/ops.h"
#include "cpu/insn/paravirt.h"
#include "unit/core.h"
#include "unit/test.h"
#include "x86/vmcs.h"

#define REFUSED 0xfa17               /* what get() gives of an MSR that cannot be read */
#define LOW_HALF_END 0x800000000000  /* the first address that is not canonical */
#define HIGH_HALF 0xffff800000000000 /* the next one that is */
#define TSC_SECOND 2000000000ull
#define SECOND_NS 1000000000ull

static struct vcpu *v;

/* A new VM of one CPU, or of more. */
static void create_cpus(enum vendor vendor, bool nested, unsigned cpus)
{
    core_create(vendor, nested, cpus, NULL);
    v = vm.vcpu[0];
}

static void create(enum vendor vendor)
{
    create_cpus(vendor, true, 1);
}

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
    return msr_read(v, msr, &value) == CPU_OK ? value : REFUSED;
}

static bool keeps(u32 msr, u64 value)
{
    return writes(msr, value) && get(msr) == value;
}

static void test_table(void)
{
    TEST("the table ascends without overlap, and no access to any row breaks anything");
    for (int vendor = 0; vendor < 2; vendor++) {
        create(vendor ? VENDOR_AMD : VENDOR_INTEL);
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

static void test_values(void)
{
    TEST("unknown MSRs");
    create(VENDOR_INTEL);
    const u32 pmc0 = 0xc1, perf_global_ctrl = 0x38f, nobodys = 0x12345678;
    CHECK_EQ(get(pmc0), REFUSED);
    CHECK_EQ(get(perf_global_ctrl), REFUSED);
    CHECK(gp(nobodys, 0));
    CHECK_EQ(get(MSR_HWCR), REFUSED);

    TEST("canonical and 32-bit values");
    create(VENDOR_INTEL);
    CHECK(keeps(MSR_LSTAR, HIGH_HALF));
    CHECK(gp(MSR_LSTAR, LOW_HALF_END));
    CHECK(keeps(MSR_FS_BASE, LOW_HALF_END - 1));
    CHECK_EQ(v->seg[SEG_FS].base, LOW_HALF_END - 1);
    CHECK(gp(MSR_GS_BASE, 1ull << 63));
    CHECK(keeps(MSR_KERNEL_GS_BASE, 5));
    CHECK(keeps(MSR_SFMASK, ~0ull));
    CHECK(gp(MSR_TSC_AUX, 1ull << 32));
    CHECK(keeps(MSR_TSC_AUX, 7));
    CHECK(keeps(MSR_STAR, ~0ull));
    CHECK(gp(MSR_SYSENTER_EIP, 1ull << 63));

    TEST("SFMASK has 32 bits on AMD");
    create(VENDOR_AMD);
    CHECK(gp(MSR_SFMASK, 1ull << 32));
    CHECK(keeps(MSR_SFMASK, 0xffffffff));

    TEST("XSS has no bits");
    create(VENDOR_INTEL);
    CHECK_EQ(get(MSR_XSS), features_have(&core_features, FEATURE_XSAVES) ? 0 : REFUSED);
    CHECK(gp(MSR_XSS, 1));
}

static void test_efer(void)
{
    TEST("EFER without paging: LMA is not software's");
    create(VENDOR_INTEL);
    core_mode32(v);
    CHECK(gp(MSR_EFER, EFER_SVME));
    CHECK(gp(MSR_EFER, BIT64(1)));
    CHECK(gp(MSR_EFER, EFER_AUTOIBRS));
    CHECK(keeps(MSR_EFER, EFER_LME | EFER_NXE | EFER_SCE));
    CHECK(writes(MSR_EFER, EFER_LMA));
    CHECK_EQ(get(MSR_EFER), 0);

    TEST("EFER in 64-bit mode: LME stays");
    create(VENDOR_INTEL);
    core_mode64(v);
    CHECK(gp(MSR_EFER, EFER_LMA));
    CHECK(writes(MSR_EFER, EFER_LME | EFER_NXE));
    CHECK_EQ(get(MSR_EFER), EFER_LME | EFER_LMA | EFER_NXE);
}

/* A register of eight memory types with `type` as number `i` and WB as the others. */
static u64 types(unsigned i, u64 type)
{
    return (MTRR_FIXED_ALL(MEMTYPE_WB) & ~(0xffull << 8 * i)) | type << 8 * i;
}

static bool all_types_are_as_expected(u32 msr, u64 reserved)
{
    bool good = true;
    for (unsigned i = 0; i < 8; i++)
        for (u64 type = 0; type < 256; type++)
            good &= type > MEMTYPE_UC_MINUS || reserved & BIT64(type) ? gp(msr, types(i, type))
                                                                      : keeps(msr, types(i, type));
    return good;
}

static void test_memory_types(void)
{
    const u64 reserved = BIT64(2) | BIT64(3);
    TEST("memory types: PAT");
    create(VENDOR_INTEL);
    CHECK_EQ(get(MSR_PAT), PAT_RESET);
    CHECK(all_types_are_as_expected(MSR_PAT, reserved));

    TEST("memory types: MTRRs");
    create(VENDOR_INTEL);
    const u64 last = BIT64(vm.phys_bits) - PAGE_SIZE; /* page of the physical addresses */
    CHECK(gp(MSR_MTRR_DEF_TYPE, MEMTYPE_UC_MINUS));
    CHECK(gp(MSR_MTRR_DEF_TYPE, MTRR_TYPE_MASK + 1));
    CHECK(keeps(MSR_MTRR_DEF_TYPE, MTRR_DEF_TYPE_ENABLE | MTRR_DEF_TYPE_FIXED | MEMTYPE_UC));
    CHECK(all_types_are_as_expected(MSR_MTRR_FIX64K, reserved | BIT64(MEMTYPE_UC_MINUS)));
    CHECK(all_types_are_as_expected(MSR_MTRR_FIX4K + 7, reserved | BIT64(MEMTYPE_UC_MINUS)));
    CHECK(keeps(MSR_MTRR_PHYSBASE(7), 0x80000000 | MEMTYPE_WB) && gp(MSR_MTRR_PHYSBASE(7), 0x80000000 | 2));
    CHECK(keeps(MSR_MTRR_PHYSMASK(7), last | MTRR_MASK_VALID));
    CHECK(gp(MSR_MTRR_PHYSMASK(7), BIT64(vm.phys_bits) | MTRR_MASK_VALID));
    CHECK(gp(MSR_MTRR_PHYSMASK(7), MTRR_MASK_VALID >> 1));
    CHECK_EQ(get(MSR_MTRRCAP), MTRRCAP_WC | MTRRCAP_FIXED | 8);
    CHECK(gp(MSR_MTRRCAP, get(MSR_MTRRCAP)));
}

static void test_features(void)
{
    TEST("speculation control");
    create(VENDOR_INTEL);
    CHECK(keeps(MSR_SPEC_CTRL, SPEC_CTRL_IBRS | SPEC_CTRL_STIBP | SPEC_CTRL_SSBD | SPEC_CTRL_BHI_DIS_S));
    CHECK(gp(MSR_SPEC_CTRL, BIT64(3)));
    CHECK(writes(MSR_PRED_CMD, PRED_CMD_IBPB) && gp(MSR_PRED_CMD, PRED_CMD_IBPB << 1));
    CHECK_EQ(get(MSR_PRED_CMD), REFUSED);
    CHECK(writes(MSR_FLUSH_CMD, FLUSH_CMD_L1D));
    const u64 mitigated = ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_SKIP_L1DFL_VMENTRY | ARCH_CAP_SSB_NO |
                          ARCH_CAP_MDS_NO | ARCH_CAP_IF_PSCHANGE_MC_NO | ARCH_CAP_TAA_NO;
    CHECK_EQ(get(MSR_ARCH_CAPABILITIES) & mitigated, mitigated);

    TEST("FEATURE_CONTROL is locked with VMXON permitted");
    create(VENDOR_INTEL);
    const u64 locked = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMXON_OUTSIDE_SMX;
    CHECK_EQ(get(MSR_FEATURE_CONTROL), locked);
    CHECK(gp(MSR_FEATURE_CONTROL, locked));
    v->feature_control = 0;
    CHECK(gp(MSR_FEATURE_CONTROL, BIT64(1))); /* VMXON in SMX operation, which there is not */
    CHECK(keeps(MSR_FEATURE_CONTROL, locked));

    TEST("VMX capabilities come from the extension");
    create(VENDOR_INTEL);
    CHECK(get(MSR_VMX_BASIC) != REFUSED);
}

static void test_machine_check(void)
{
    const unsigned last = MC_BANKS_RESET - 1;
    TEST("machine check banks");
    create(VENDOR_INTEL);
    CHECK_EQ(get(MSR_MCG_CAP), MCG_CAP_CTL | MC_BANKS_RESET);
    CHECK(keeps(MSR_MC_CTL(last), ~0ull));
    CHECK(gp(MSR_MC_STATUS(last), 1) && writes(MSR_MC_STATUS(last), 0));
    CHECK(keeps(MSR_MC_ADDR(last), 0x123456789a) && keeps(MSR_MC_MISC(last), ~0ull));
    CHECK_EQ(get(MSR_MC_CTL(last + 1)), REFUSED);

    TEST("other abilities that MCG_CAP shows");
    create(VENDOR_INTEL);
    CHECK(gp(MSR_MC0_CTL2, 0) && gp(MSR_MCG_EXT_CTL, 0) && gp(MSR_MCG_STATUS, MCG_STATUS_LMCE));
    CHECK(msr_put(v, MSR_MC0_CTL2, 0) && !msr_put(v, MSR_MC0_CTL2, MC_CTL2_CMCI));
    CHECK(!msr_put(v, MSR_FEATURE_CONTROL, FEATURE_CONTROL_LMCE) && !msr_put(v, MSR_MCG_EXT_CTL, 1));
    v->mcg_cap = MCG_CAP_CTL | MCG_CAP_CMCI | MCG_CAP_LMCE | MC_BANKS;
    CHECK(keeps(MSR_MC_CTL(MC_BANKS - 1), ~0ull) && keeps(MSR_MC0_CTL2 + MC_BANKS - 1, MC_CTL2_CMCI | 3));
    CHECK(gp(MSR_MC0_CTL2, BIT64(29)) && keeps(MSR_MCG_STATUS, MCG_STATUS_LMCE) && gp(MSR_MCG_EXT_CTL, 1));
    CHECK(msr_put(v, MSR_FEATURE_CONTROL, FEATURE_CONTROL_LMCE) && keeps(MSR_MCG_EXT_CTL, 1));
    CHECK(gp(MSR_MCG_EXT_CTL, 2));

    TEST("AMD: HWCR makes the status of banks writable");
    create(VENDOR_AMD);
    CHECK(gp(MSR_MC_STATUS(0), 1));
    CHECK(writes(MSR_HWCR, get(MSR_HWCR) | HWCR_MC_STATUS_WRITABLE));
    CHECK(keeps(MSR_MC_STATUS(0), 1));
}

static void test_time(void)
{
    TEST("TSC and TSC_ADJUST move together");
    create_cpus(VENDOR_INTEL, false, 2);
    const u64 at = 1ull << 50;
    CHECK_EQ(vm.vcpu[0]->tsc_offset, vm.vcpu[1]->tsc_offset);
    CHECK(get(MSR_TSC) < TSC_SECOND);
    CHECK_EQ(get(MSR_TSC_ADJUST), 0);
    u64 before = v->tsc_offset;
    CHECK(keeps(MSR_TSC_ADJUST, 1000000));
    CHECK_EQ(v->tsc_offset, before + 1000000);
    CHECK(keeps(MSR_TSC_ADJUST, 0));
    CHECK_EQ(v->tsc_offset, before);
    CHECK(writes(MSR_TSC, at));
    CHECK(get(MSR_TSC) - at < TSC_SECOND);
    CHECK_EQ(get(MSR_TSC_ADJUST), v->tsc_offset - before);

    TEST("L2's offset and multiplier");
    create_cpus(VENDOR_INTEL, false, 1);
    const u64 offset = 5000000000;
    v->tsc_offset = v->tsc_offset_l1 + offset;
    u64 l1 = tsc_read_l1(v);
    CHECK(tsc_read(v) - l1 - offset < TSC_SECOND / 20);
    v->tsc_mul = TSC_UNSCALED / 2;
    l1 = tsc_read_l1(v);
    CHECK(tsc_read(v) - l1 / 2 - offset < TSC_SECOND / 20);

    TEST("TSC to nanoseconds");
    create_cpus(VENDOR_INTEL, false, 1);
    l1 = tsc_read_l1(v);
    CHECK_EQ(tsc_to_ns(v, l1 - 1), core_now);
    CHECK(tsc_to_ns(v, l1 + TSC_SECOND) - core_now <= SECOND_NS);
    CHECK(tsc_to_ns(v, l1 + TSC_SECOND) - core_now > SECOND_NS / 10 * 9);
    CHECK(tsc_to_ns(v, l1 + (~0ull >> 1) - 500 * TSC_SECOND) > core_now);
}

/* The rate of L1's TSC is not the host's. */
static void test_scaled(void)
{
    TEST("L1's TSC at three times the host's rate");
    create_cpus(VENDOR_INTEL, false, 2);
    u64 host = tsc_host();
    tsc_khz_set(v, 3 * vm.tsc_khz, true);
    CHECK_EQ(tsc_scaled(v, host), 3 * host);
    u64 l1 = tsc_read_l1(v);
    CHECK(l1 - v->tsc_offset_l1 - 3 * host < TSC_SECOND);
    CHECK(!paravirt_clock_stable(&vm));
    tsc_khz_set(vm.vcpu[1], 3 * vm.tsc_khz, true);
    CHECK(paravirt_clock_stable(&vm));
    CHECK(tsc_to_ns(v, l1 + 3 * TSC_SECOND) - core_now <= SECOND_NS);
    CHECK(tsc_to_ns(v, l1 + 3 * TSC_SECOND) - core_now > SECOND_NS / 10 * 9);

    TEST("L2's TSC at half that rate");
    const u64 offset = 5000000000;
    v->tsc_offset = v->tsc_offset_l1 + offset;
    CHECK(tsc_read(v) - tsc_read_l1(v) - offset + TSC_SECOND < 2 * TSC_SECOND);
    v->tsc_mul = TSC_UNSCALED / 2;
    l1 = tsc_read_l1(v);
    CHECK(tsc_read(v) - l1 / 2 - offset < TSC_SECOND);

    TEST("a write puts the offset right");
    v->tsc_mul = 0;
    v->tsc_offset = v->tsc_offset_l1;
    CHECK(writes(MSR_TSC, 1ull << 50));
    CHECK(get(MSR_TSC) - (1ull << 50) < 3 * TSC_SECOND);

    TEST("the host's rate under another number");
    tsc_khz_set(v, vm.tsc_khz + 1, false);
    CHECK(!v->tsc_ratio && v->tsc_khz == vm.tsc_khz && tsc_scaled(v, host) == host);
}

static void test_amd(void)
{
    TEST("MSRs of AMD");
    create(VENDOR_AMD);
    CHECK(keeps(MSR_EFER, EFER_SVME | EFER_FFXSR | EFER_AUTOIBRS));
    CHECK(get(MSR_HWCR) & HWCR_TSC_FREQ_SEL);
    CHECK(get(MSR_DE_CFG) & DE_CFG_LFENCE_SERIALIZES);
    CHECK_EQ(get(MSR_FEATURE_CONTROL), REFUSED);
    CHECK_EQ(get(MSR_ARCH_CAPABILITIES), REFUSED);
    CHECK(get(MSR_VM_CR) != REFUSED);
    CHECK(keeps(MSR_SPEC_CTRL, SPEC_CTRL_IBRS | SPEC_CTRL_STIBP | SPEC_CTRL_SSBD));
    CHECK(writes(MSR_K7_EVNTSEL0, 0x430076 | 1ull << 63 | 1 << 21));
    CHECK_EQ(get(MSR_K7_EVNTSEL0), 0x430076);
    CHECK(keeps(MSR_K7_PERFCTR3, 0xffff87654321));
    CHECK(writes(MSR_K7_PERFCTR3, ~0ull));
    CHECK_EQ(get(MSR_K7_PERFCTR3), (1ull << 48) - 1);
    CHECK(gp(MSR_MC0_CTL + 1, 1));
    CHECK(writes(MSR_HWCR, get(MSR_HWCR) | BIT64(18)));
    CHECK(keeps(MSR_MC0_CTL + 1, 1));
}

static void test_instructions(void)
{
    TEST("RDMSR and WRMSR");
    create(VENDOR_AMD);
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
        create(vendor ? VENDOR_AMD : VENDOR_INTEL);
        TEST(vendor ? "AMD: MSRs as state" : "Intel: MSRs as state");
        v->mcg_cap |= MCG_CAP_CMCI | MCG_CAP_LMCE;
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
    create(VENDOR_INTEL);
    CHECK(gp(MSR_FEATURE_CONTROL, 0) && !msr_refusal(v, MSR_FEATURE_CONTROL, 0));
    CHECK(gp(MSR_MC_STATUS(0), 1) && !msr_refusal(v, MSR_MC_STATUS(0), 1));
    u64 offset = v->tsc_offset;
    msr_set(v, MSR_TSC_ADJUST, 1000);
    CHECK(get(MSR_TSC_ADJUST) == 1000 && v->tsc_offset == offset);
}

static void test_owner(void)
{
    static u32 list[1000];
    for (int vendor = 0; vendor < 2; vendor++) {
        create(vendor ? VENDOR_AMD : VENDOR_INTEL);
        TEST(vendor ? "AMD: MSRs of the owner" : "Intel: MSRs of the owner");
        vm.paravirt = true;
        v->pv.enforce = false;
        u32 n = cpu_msr_numbers(&core_features, list, ARRAY_LEN(list));
        CHECK(n > 80 && n < ARRAY_LEN(list));
        CHECK_EQ(cpu_msr_numbers(&core_features, NULL, 0), n);
        for (u32 i = 0; i < n; i++) {
            u64 value;
            bool hyperv = list[i] >= MSR_HYPERV_OS_ID && list[i] < MSR_HYPERV_OS_ID + 0x200; /* hyperv_test.c */
            CHECK(hyperv || (msr_get(v, list[i], &value) && (list[i] == MSR_TSC || msr_put(v, list[i], value))));
            for (u32 k = 0; k < i; k++)
                CHECK(list[i] != list[k]);
        }
        const u32 chosen[] = {MSR_BIOS_SIGN_ID, MSR_PLATFORM_INFO, MSR_MCG_CAP};
        for (unsigned i = 0; i < ARRAY_LEN(chosen); i++) {
            u64 was = get(chosen[i]);
            CHECK(msr_put(v, chosen[i], was ^ 0x100) && get(chosen[i]) == (was ^ 0x100));
            CHECK(writes(chosen[i], was) == (chosen[i] == MSR_BIOS_SIGN_ID));
            CHECK_EQ(get(chosen[i]), was ^ 0x100);
        }
        u64 value;
        CHECK(!msr_put(v, 0x12345678, 0) && !msr_feature(&core_features, MSR_STAR, &value));
        CHECK(msr_feature(&core_features, MSR_BIOS_SIGN_ID, &value) && value == (get(MSR_BIOS_SIGN_ID) ^ 0x100));
    }
    TEST("bits that are fixed stay");
    create(VENDOR_INTEL);
    u64 fixed = MISC_ENABLE_BTS_UNAVAILABLE | MISC_ENABLE_PEBS_UNAVAILABLE;
    CHECK(msr_put(v, MSR_MISC_ENABLE, 0) && get(MSR_MISC_ENABLE) == fixed);
}

/* -- what the machine is asked -- */

static struct {
    enum machine_msr answer;
    u32 asked, msr, why;
    u64 value;
    bool write;
} owner;

static enum machine_msr owner_asked(void *opaque, u32 msr, u64 *value, bool write, u32 why)
{
    owner.asked++;
    owner.msr = msr;
    owner.why = why;
    owner.write = write;
    if (write)
        owner.value = *value;
    else if (owner.answer == MACHINE_MSR_DONE)
        *value = owner.value;
    return owner.answer;
}

static enum outcome rdmsr(u32 msr)
{
    v->gpr[RCX] = msr;
    owner.asked = 0;
    return op_rdmsr(v, NULL);
}

static enum outcome wrmsr(u32 msr, u64 value)
{
    v->gpr[RCX] = msr;
    v->gpr[RAX] = (u32)value;
    v->gpr[RDX] = value >> 32;
    owner.asked = 0;
    return op_wrmsr(v, NULL);
}

static void test_asking(void)
{
    static struct machine machine;
    machine = core_machine;
    machine.msr = owner_asked;
    const u32 nobodys = 0x12345678;
    create(VENDOR_INTEL);
    vm.machine = &machine;

    TEST("without a reason nobody is asked");
    CHECK(rdmsr(nobodys) == CPU_FAULT && !owner.asked);

    TEST("every access");
    cpu_msr_ask(&vm, MACHINE_MSR_ANY);
    owner.answer = MACHINE_MSR_CPU;
    CHECK(wrmsr(MSR_STAR, 5) == CPU_OK && get(MSR_STAR) == 5 && owner.asked == 1 && owner.why == MACHINE_MSR_ANY);
    owner.answer = MACHINE_MSR_DONE;
    CHECK(wrmsr(MSR_STAR, 6ull << 32) == CPU_OK && get(MSR_STAR) == 5 && owner.value == 6ull << 32 && owner.write);
    CHECK(rdmsr(MSR_STAR) == CPU_OK && v->gpr[RAX] == 0 && v->gpr[RDX] == 6);
    owner.answer = MACHINE_MSR_FAULT;
    CHECK(rdmsr(MSR_STAR) == CPU_FAULT && v->fault.vector == EXC_GP);
    owner.answer = MACHINE_MSR_LATER;
    v->gpr[RAX] = v->gpr[RDX] = 9;
    CHECK(rdmsr(MSR_STAR) == CPU_EXIT && v->exit == CPU_EXIT_MSR && v->gpr[RAX] == 9 && v->gpr[RDX] == 9);

    TEST("what the CPU does not have, and what it refuses");
    cpu_msr_ask(&vm, MACHINE_MSR_UNKNOWN);
    owner.answer = MACHINE_MSR_DONE;
    owner.value = 7;
    CHECK(rdmsr(nobodys) == CPU_OK && v->gpr[RAX] == 7 && owner.why == MACHINE_MSR_UNKNOWN);
    CHECK(rdmsr(MSR_STAR) == CPU_OK && !owner.asked);
    CHECK(wrmsr(MSR_VMX_BASIC, 0) == CPU_FAULT && !owner.asked);
    cpu_msr_ask(&vm, MACHINE_MSR_INVALID);
    CHECK(wrmsr(MSR_VMX_BASIC, 0) == CPU_OK && owner.why == MACHINE_MSR_INVALID);
    CHECK(wrmsr(MSR_PAT, ~0ull) == CPU_OK && owner.asked && owner.value == ~0ull);
    owner.answer = MACHINE_MSR_CPU;
    CHECK(wrmsr(MSR_PAT, ~0ull) == CPU_FAULT && v->fault.valid && v->fault.vector == EXC_GP);
    CHECK(rdmsr(nobodys) == CPU_FAULT && !owner.asked);
}

int main(void)
{
    test_table();
    test_state();
    test_owner();
    test_asking();
    test_values();
    test_efer();
    test_memory_types();
    test_features();
    test_machine_check();
    test_time();
    test_scaled();
    test_amd();
    test_instructions();
    return TEST_END();
}
