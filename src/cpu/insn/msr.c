/*
 * RDMSR and WRMSR, and MSRs as part of a vCPU's state. One row of the table is one MSR or a run of them: name, where
 * the value lives (a field of the vCPU, a constant, or a pair of functions), which values are legal, and which CPUID
 * feature or vendor makes it exist. What WRMSR does or refuses beyond that is in the row's write function, which
 * setting the state does not call. Anything else is #GP(0), after v->nested was asked (VMX capabilities, VM_CR and
 * friends). A CPU without a performance-monitoring unit has no IA32_PERF MSRs. Source: SDM volume 4; APM volume 2, "MSR
 * Cross-Reference".
 */
#include "cpu/insn/msr.h"

#include "cpu/core/cpuid.h"
#include "cpu/core/nested.h"
#include "cpu/core/world.h"
#include "cpu/event/lapic.h"
#include "cpu/event/perf.h"
#include "cpu/insn/hyperv.h"
#include "cpu/insn/mce.h"
#include "cpu/insn/ops.h"
#include "cpu/insn/paravirt.h"
#include "cpu/mmu/segment.h"
#include "x86/vmcb.h"

/* What firmware would find on this machine: RAM below 4 GiB ends here at the latest. */
#define LOW_MEMORY_END 0xc0000000ull

#define MTRR_RANGES ARRAY_LEN(((struct vcpu *)0)->mtrr_base)
#define NO_FEATURE FEATURE_COUNT
#define ANY (~0ull)

struct msr_row {
    u32 first, count;
    const char *name;
    u16 feature;                                               /* enum feature that must be shown, or NO_FEATURE */
    u8 vendor;                                                 /* enum feature_vendor */
    u8 flags;                                                  /* MSR_* below */
    u16 field;                                                 /* offset in struct vcpu; runs are arrays of u64 */
    u64 value;                                                 /* of a constant */
    u64 valid;                                                 /* bits that may be set; WRMSR of others is #GP(0) */
    u64 fixed;                                                 /* bits that keep their value whatever is written */
    u64 *(*slot)(struct vcpu *v, u32 msr);                     /* where the value lives if `field` cannot say it */
    bool (*exists)(const struct vcpu *v, u32 msr, bool owner); /* if `feature` cannot say it */
    bool (*legal)(const struct vcpu *v, u32 msr, u64 value);
    enum outcome (*read)(struct vcpu *v, u32 msr, u64 *value);
    enum outcome (*write)(struct vcpu *v, u32 msr, u64 value);
};

/* MSR_OWNER: a field that msr_put may change, but no guest, and that is no state. */
enum {
    MSR_FIELD = BIT(0),
    MSR_READ_ONLY = BIT(1),
    MSR_CANONICAL = BIT(2),
    MSR_IGNORE_WRITES = BIT(3),
    MSR_OWNER = BIT(4)
};

/* -- EFER -- */

u64 msr_efer_valid(const struct vcpu *v)
{
    const struct vm *vm = v->vm;
    u64 valid = 0;
    if (cpu_has(vm, FEATURE_SYSCALL))
        valid |= EFER_SCE;
    if (cpu_has(vm, FEATURE_LM))
        valid |= EFER_LME | EFER_LMA;
    if (cpu_has(vm, FEATURE_NX) && !(v->misc_enable & MISC_ENABLE_XD_DISABLE))
        valid |= EFER_NXE;
    if (cpu_has(vm, FEATURE_SVM))
        valid |= EFER_SVME;
    if (cpu_has(vm, FEATURE_FXSR_OPT))
        valid |= EFER_FFXSR;
    if (cpu_has(vm, FEATURE_AUTOIBRS))
        valid |= EFER_AUTOIBRS;
    return valid;
}

static enum outcome efer_read(struct vcpu *v, u32 msr, u64 *value)
{
    *value = v->efer;
    return CPU_OK;
}

static enum outcome efer_write(struct vcpu *v, u32 msr, u64 value)
{
    u64 old = v->efer;
    if (value & ~msr_efer_valid(v))
        return raise_gp(v, 0);
    if (((old ^ value) & EFER_LME) && (v->cr0 & CR0_PG))
        return raise_gp(v, 0);
    /* No guests in system management mode: L2's state may wait for RSM. */
    if ((value & EFER_SVME) && v->smm.on)
        return raise_gp(v, 0);
    /* "VM_CR MSR": SVMDIS makes EFER.SVME a reserved bit. */
    if ((value & EFER_SVME) && (v->vm_cr & VM_CR_SVMDIS))
        return raise_gp(v, 0);
    v->efer = (value & ~EFER_LMA) | (old & EFER_LMA);
    if ((old ^ v->efer) & ~(EFER_SCE | EFER_FFXSR | EFER_AUTOIBRS))
        mode_update(v);
    return CPU_OK;
}

/* -- segment bases, time, APIC -- */

static enum outcome base_read(struct vcpu *v, u32 msr, u64 *value)
{
    *value = v->seg[msr == MSR_FS_BASE ? SEG_FS : SEG_GS].base;
    return CPU_OK;
}

static enum outcome base_write(struct vcpu *v, u32 msr, u64 value)
{
    v->seg[msr == MSR_FS_BASE ? SEG_FS : SEG_GS].base = value;
    return CPU_OK;
}

static void tsc_move(struct vcpu *v, u64 delta)
{
    v->tsc_offset_l1 += delta;
    v->tsc_offset += delta;
    v->tsc_adjust += delta;
    timers_tsc_changed(v);
}

static enum outcome time_read(struct vcpu *v, u32 msr, u64 *value)
{
    *value = tsc_read(v);
    if (v->in_guest)
        nested_tsc_seen(v);
    return CPU_OK;
}

/* "IA32_TSC_ADJUST MSR": each of the two moves with the other. */
static enum outcome time_write(struct vcpu *v, u32 msr, u64 value)
{
    tsc_move(v, value - tsc_read_l1(v));
    return CPU_OK;
}

static enum outcome tsc_adjust_write(struct vcpu *v, u32 msr, u64 value)
{
    tsc_move(v, value - v->tsc_adjust);
    return CPU_OK;
}

/* -- memory types -- */

static bool mtrr_type(u64 type)
{
    return type <= MEMTYPE_WB && !MEMTYPE_RESERVED(type);
}

bool msr_pat_valid(u64 value)
{
    for (unsigned i = 0; i < 64; i += 8) {
        u64 type = value >> i & 0xff;
        if (type > MEMTYPE_UC_MINUS || MEMTYPE_RESERVED(type))
            return false;
    }
    return true;
}

static bool pat_legal(const struct vcpu *v, u32 msr, u64 value)
{
    return msr_pat_valid(value);
}

static u64 *mtrr_range_slot(struct vcpu *v, u32 msr)
{
    unsigned i = (msr - MSR_MTRR_BASE0) / 2;
    return msr & 1 ? &v->mtrr_mask[i] : &v->mtrr_base[i];
}

static bool mtrr_range_legal(const struct vcpu *v, u32 msr, u64 value)
{
    u64 address = (BIT64(v->vm->phys_bits) - 1) & ~PAGE_MASK;
    if (msr & 1)
        return !(value & ~(address | MTRR_MASK_VALID));
    return !(value & ~(address | MTRR_TYPE_MASK)) && mtrr_type(value & MTRR_TYPE_MASK);
}

static u64 *mtrr_fixed_slot(struct vcpu *v, u32 msr)
{
    if (msr == MSR_MTRR_FIX64K)
        return &v->mtrr_fixed[0];
    return &v->mtrr_fixed[msr < MSR_MTRR_FIX4K ? msr - MSR_MTRR_FIX16K + 1 : msr - MSR_MTRR_FIX4K + 3];
}

static bool mtrr_fixed_legal(const struct vcpu *v, u32 msr, u64 value)
{
    for (unsigned i = 0; i < 64; i += 8)
        if (!mtrr_type(value >> i & 0xff))
            return false;
    return true;
}

static bool mtrr_default_legal(const struct vcpu *v, u32 msr, u64 value)
{
    return mtrr_type(value & MTRR_TYPE_MASK);
}

/* -- features and mitigations -- */

#define ARCH_CAPABILITIES                                                                                              \
    (ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_SKIP_L1DFL_VMENTRY | ARCH_CAP_SSB_NO | ARCH_CAP_MDS_NO |          \
     ARCH_CAP_IF_PSCHANGE_MC_NO | ARCH_CAP_TAA_NO | ARCH_CAP_SBDR_SSDP_NO | ARCH_CAP_FBSDP_NO | ARCH_CAP_PSDP_NO |     \
     ARCH_CAP_BHI_NO | ARCH_CAP_PBRSB_NO | ARCH_CAP_GDS_NO | ARCH_CAP_RFDS_NO | ARCH_CAP_ITS_NO)

/* Locked, with VMXON permitted: all bits that this CPU has. */
static u64 feature_control_reset(const struct vcpu *v)
{
    return FEATURE_CONTROL_LOCK | (cpu_has(v->vm, FEATURE_VMX) ? FEATURE_CONTROL_VMXON_OUTSIDE_SMX : 0);
}

static bool feature_control_legal(const struct vcpu *v, u32 msr, u64 value)
{
    return !(value & ~(feature_control_reset(v) | (v->mcg_cap & MCG_CAP_LMCE ? FEATURE_CONTROL_LMCE : 0)));
}

static enum outcome feature_control_write(struct vcpu *v, u32 msr, u64 value)
{
    if (v->feature_control & FEATURE_CONTROL_LOCK)
        return raise_gp(v, 0);
    v->feature_control = value;
    return CPU_OK;
}

/* SDM volume 4 reserves bits 63:32 but Intel's processors take them; AMD's raise #GP. */
static bool sfmask_legal(const struct vcpu *v, u32 msr, u64 value)
{
    return v->vm->vendor == VENDOR_INTEL || !(value >> 32);
}

static bool has_either(const struct cpu_features *f, enum feature intel, enum feature amd)
{
    return features_have(f, intel) || features_have(f, amd);
}

static u64 spec_ctrl_valid(const struct cpu_features *f)
{
    return (has_either(f, FEATURE_SPEC_CTRL, FEATURE_AMD_IBRS) ? SPEC_CTRL_IBRS : 0) |
           (has_either(f, FEATURE_STIBP, FEATURE_AMD_STIBP) ? SPEC_CTRL_STIBP : 0) |
           (has_either(f, FEATURE_SSBD, FEATURE_AMD_SSBD) ? SPEC_CTRL_SSBD : 0) |
           (features_have(f, FEATURE_BHI_CTRL) ? SPEC_CTRL_BHI_DIS_S : 0);
}

static enum outcome spec_ctrl_read(struct vcpu *v, u32 msr, u64 *value)
{
    *value = v->spec_ctrl;
    return spec_ctrl_valid(v->vm->features) ? CPU_OK : raise_gp(v, 0);
}

static bool spec_ctrl_legal(const struct vcpu *v, u32 msr, u64 value)
{
    u64 valid = spec_ctrl_valid(v->vm->features);
    return valid && !(value & ~valid);
}

static enum outcome write_only(struct vcpu *v, u32 msr, u64 *value)
{
    return raise_gp(v, 0);
}

/* Translated code predicts nothing across guests that a barrier would have to forget: bit 0 is accepted, that is
 * all. */
static enum outcome command_write(struct vcpu *v, u32 msr, u64 value)
{
    if (msr == MSR_PRED_CMD && !has_either(v->vm->features, FEATURE_SPEC_CTRL, FEATURE_AMD_IBPB))
        return raise_gp(v, 0);
    return CPU_OK;
}

#define MISC_ENABLE_WRITABLE                                                                                           \
    (MISC_ENABLE_FAST_STRINGS | MISC_ENABLE_LIMIT_CPUID | MISC_ENABLE_XD_DISABLE | MISC_ENABLE_MONITOR |               \
     MISC_ENABLE_STORED)

/* Intel's; under KVM, AMD's processors have it too. */
static bool misc_enable_exists(const struct vcpu *v, u32 msr, bool owner)
{
    return v->vm->vendor == VENDOR_INTEL || v->vm->paravirt;
}

/* The ratios of the TSC to a bus of 100 MHz: Intel's only. */
static u64 platform_info(const struct vm *vm)
{
    u64 ratio = vm->tsc_khz / 100000;
    return vm->vendor == VENDOR_INTEL ? ratio << 8 | ratio << 40 : 0;
}

/* IA32_BIOS_SIGN_ID: the microcode revision that CPUID loads. */
static u64 microcode(enum vendor vendor)
{
    return vendor == VENDOR_INTEL ? 0x0d0003f5ull << 32 : 0x0a101154;
}

static enum outcome debugctl_write(struct vcpu *v, u32 msr, u64 value)
{
    v->debugctl = value;
    mode_update(v);
    return CPU_OK;
}

/* -- system management mode -- */

static enum outcome refuse_write(struct vcpu *v, u32 msr, u64 value)
{
    return raise_gp(v, 0);
}

/* As under KVM, SMBASE is an MSR for the owner. The guest's way to it is the state save area. */
static bool smbase_exists(const struct vcpu *v, u32 msr, bool owner)
{
    return owner;
}

/* -- the table, in ascending order -- */

#define FIELD(f) .flags = MSR_FIELD, .field = offsetof(struct vcpu, f)
#define BASE_FIELD(f) .flags = MSR_FIELD | MSR_CANONICAL, .field = offsetof(struct vcpu, f), .valid = ANY
#define CONSTANT(x) .flags = MSR_READ_ONLY, .value = (x)
#define OWNERS(f) .flags = MSR_FIELD | MSR_OWNER | MSR_READ_ONLY, .field = offsetof(struct vcpu, f), .valid = ANY
#define ZERO .flags = MSR_IGNORE_WRITES, .valid = ANY
#define PARAVIRT                                                                                                       \
    .exists = paravirt_msr_exists, .slot = paravirt_msr_slot, .valid = ANY, .legal = paravirt_msr_legal,               \
    .write = paravirt_msr_write
#define HYPERV .exists = hyperv_msr_exists, .valid = ANY, .read = hyperv_msr_read, .write = hyperv_msr_write
#define HYPERV_STATE HYPERV, .slot = hyperv_msr_slot
#define APIC_FUNCTIONS .read = lapic_msr_read, .write = lapic_msr_write, .valid = ANY

/* clang-format off */
static const struct msr_row rows[] = {
    {MSR_P5_MC_ADDR, 2, "P5_MC", NO_FEATURE, INTEL_ONLY, CONSTANT(0)},
    {MSR_TSC, 1, "TIME_STAMP_COUNTER", NO_FEATURE, .read = time_read, .write = time_write, .valid = ANY},
    {MSR_KVM_WALL_CLOCK, 2, "KVM_CLOCK", NO_FEATURE, PARAVIRT},
    {MSR_PLATFORM_ID, 1, "PLATFORM_ID", NO_FEATURE, INTEL_ONLY, CONSTANT(0)},
    {MSR_APIC_BASE, 1, "APIC_BASE", FEATURE_APIC, APIC_FUNCTIONS},
    {MSR_SMI_COUNT, 1, "SMI_COUNT", NO_FEATURE, INTEL_ONLY, FIELD(smm.count), .valid = ANY, .write = refuse_write},
    {MSR_FEATURE_CONTROL, 1, "FEATURE_CONTROL", NO_FEATURE, INTEL_ONLY, FIELD(feature_control), .valid = ANY,
     .legal = feature_control_legal, .write = feature_control_write},
    {MSR_TSC_ADJUST, 1, "TSC_ADJUST", FEATURE_TSC_ADJUST, FIELD(tsc_adjust), .valid = ANY, .write = tsc_adjust_write},
    {MSR_SPEC_CTRL, 1, "SPEC_CTRL", NO_FEATURE, FIELD(spec_ctrl), .valid = ANY, .legal = spec_ctrl_legal,
     .read = spec_ctrl_read},
    {MSR_PRED_CMD, 1, "PRED_CMD", NO_FEATURE, .read = write_only, .write = command_write, .valid = PRED_CMD_IBPB},
    {MSR_BIOS_UPDT_TRIG, 1, "BIOS_UPDT_TRIG", NO_FEATURE, INTEL_ONLY, .flags = MSR_IGNORE_WRITES, .read = write_only,
     .valid = ANY},
    {MSR_BIOS_SIGN_ID, 1, "BIOS_SIGN_ID", NO_FEATURE, .flags = MSR_FIELD | MSR_OWNER | MSR_IGNORE_WRITES,
     .field = offsetof(struct vcpu, microcode), .valid = ANY},
    {MSR_SMBASE, 1, "SMBASE", NO_FEATURE, FIELD(smm.base), .exists = smbase_exists, .valid = 0xffffffff},
    {MSR_PLATFORM_INFO, 1, "PLATFORM_INFO", NO_FEATURE, OWNERS(platform_info)},
    {MSR_MTRRCAP, 1, "MTRRCAP", FEATURE_MTRR, CONSTANT(MTRRCAP_WC | MTRRCAP_FIXED | MTRR_RANGES)},
    {MSR_ARCH_CAPABILITIES, 1, "ARCH_CAPABILITIES", FEATURE_ARCH_CAPABILITIES, OWNERS(arch_capabilities)},
    {MSR_FLUSH_CMD, 1, "FLUSH_CMD", FEATURE_FLUSH_L1D, .read = write_only, .write = command_write,
     .valid = FLUSH_CMD_L1D},
    {MSR_SYSENTER_CS, 1, "SYSENTER_CS", FEATURE_SEP, FIELD(sysenter_cs), .valid = 0xffffffff},
    {MSR_SYSENTER_ESP, 1, "SYSENTER_ESP", FEATURE_SEP, BASE_FIELD(sysenter_esp)},
    {MSR_SYSENTER_EIP, 1, "SYSENTER_EIP", FEATURE_SEP, BASE_FIELD(sysenter_eip)},
    {MSR_MCG_CAP, 1, "MCG_CAP", FEATURE_MCA, OWNERS(mcg_cap)},
    {MSR_MCG_STATUS, 1, "MCG_STATUS", FEATURE_MCA, FIELD(mcg_status),
     .valid = MCG_STATUS_BITS | MCG_STATUS_LMCE, .legal = mcg_status_legal},
    {MSR_MCG_CTL, 1, "MCG_CTL", FEATURE_MCA, FIELD(mcg_ctl), .valid = ANY},
    {MSR_MISC_ENABLE, 1, "MISC_ENABLE", NO_FEATURE, .exists = misc_enable_exists, FIELD(misc_enable), .valid = ANY,
     .fixed = ~MISC_ENABLE_WRITABLE},
    {MSR_DEBUGCTL, 1, "DEBUGCTL", NO_FEATURE, FIELD(debugctl), .valid = DEBUGCTL_LBR | DEBUGCTL_BTF,
     .write = debugctl_write},
    {MSR_LASTBRANCH_FROM, 4, "LASTBRANCH", NO_FEATURE, FIELD(lbr), .valid = ANY},
    {MSR_POWER_CTL, 1, "POWER_CTL", NO_FEATURE, FIELD(power_ctl), .valid = ANY},
    {MSR_MTRR_BASE0, 16, "MTRR_PHYS", FEATURE_MTRR, .slot = mtrr_range_slot, .legal = mtrr_range_legal, .valid = ANY},
    {MSR_MTRR_FIX64K, 1, "MTRR_FIX64K", FEATURE_MTRR, .slot = mtrr_fixed_slot, .legal = mtrr_fixed_legal, .valid = ANY},
    {MSR_MTRR_FIX16K, 2, "MTRR_FIX16K", FEATURE_MTRR, .slot = mtrr_fixed_slot, .legal = mtrr_fixed_legal, .valid = ANY},
    {MSR_MTRR_FIX4K, 8, "MTRR_FIX4K", FEATURE_MTRR, .slot = mtrr_fixed_slot, .legal = mtrr_fixed_legal, .valid = ANY},
    {MSR_PAT, 1, "PAT", FEATURE_PAT, FIELD(pat), .valid = ANY, .legal = pat_legal},
    {MSR_MC0_CTL2, MC_BANKS, "MC_CTL2", FEATURE_MCA, INTEL_ONLY, .exists = ctl2_exists, FIELD(mc_ctl2),
     .valid = MC_CTL2_BITS, .legal = ctl2_legal},
    {MSR_MTRR_DEF_TYPE, 1, "MTRR_DEF_TYPE", FEATURE_MTRR, FIELD(mtrr_def_type), .legal = mtrr_default_legal,
     .valid = MTRR_DEF_TYPE_ENABLE | MTRR_DEF_TYPE_FIXED | MTRR_TYPE_MASK},
    {MSR_MC0_CTL, MC_BANKS * 4, "MC_BANKS", FEATURE_MCA, .exists = mc_exists, .slot = mc_slot, .valid = ANY,
     .legal = mc_legal, .write = mc_write},
    {MSR_MCG_EXT_CTL, 1, "MCG_EXT_CTL", FEATURE_MCA, INTEL_ONLY, .exists = ext_ctl_exists, FIELD(mcg_ext_ctl),
     .valid = 1, .legal = ext_ctl_legal},
    {MSR_TSC_DEADLINE, 1, "TSC_DEADLINE", FEATURE_TSC_DEADLINE, APIC_FUNCTIONS},
    {MSR_X2APIC_FIRST, 256, "X2APIC", FEATURE_X2APIC, APIC_FUNCTIONS},
    {MSR_XSS, 1, "XSS", FEATURE_XSAVES, FIELD(xss), .valid = 0},
    {MSR_HYPERV_OS_ID, 3, "HYPERV", NO_FEATURE, HYPERV_STATE},
    {MSR_HYPERV_RESET, 1, "HYPERV_RESET", NO_FEATURE, HYPERV_STATE},
    {MSR_HYPERV_RUNTIME, 1, "HYPERV_RUNTIME", NO_FEATURE, HYPERV_STATE},
    {MSR_HYPERV_REFERENCE_COUNT, 1, "HYPERV_REFERENCE_COUNT", NO_FEATURE, HYPERV_STATE, .flags = MSR_IGNORE_WRITES},
    {MSR_HYPERV_REFERENCE_TSC, 1, "HYPERV_REFERENCE_TSC", NO_FEATURE, HYPERV_STATE},
    {MSR_HYPERV_TSC_FREQUENCY, 2, "HYPERV_FREQUENCIES", NO_FEATURE, HYPERV_STATE, .flags = MSR_IGNORE_WRITES},
    {MSR_HYPERV_EOI, 3, "HYPERV_APIC", NO_FEATURE, HYPERV},
    {MSR_HYPERV_ASSIST_PAGE, 1, "HYPERV_ASSIST_PAGE", NO_FEATURE, HYPERV_STATE},
    {MSR_HYPERV_SCONTROL, 5, "HYPERV_SYNIC", NO_FEATURE, HYPERV_STATE},
    {MSR_HYPERV_SINT0, HYPERV_SINTS, "HYPERV_SINT", NO_FEATURE, HYPERV_STATE},
    {MSR_HYPERV_STIMER0_CONFIG, 2 * HYPERV_TIMERS, "HYPERV_STIMER", NO_FEATURE, HYPERV_STATE},
    {MSR_HYPERV_DEBUG_CONTROL, 5, "HYPERV_DEBUG", NO_FEATURE, HYPERV_STATE},
    {MSR_HYPERV_DEBUG_OPTIONS, 1, "HYPERV_DEBUG_OPTIONS", NO_FEATURE, HYPERV_STATE},
    {MSR_HYPERV_CRASH_P0, 6, "HYPERV_CRASH", NO_FEATURE, HYPERV_STATE},
    {MSR_HYPERV_REENLIGHTENMENT, 3, "HYPERV_REENLIGHTENMENT", NO_FEATURE, HYPERV_STATE},
    {MSR_KVM_WALL_CLOCK_NEW, 8, "KVM", NO_FEATURE, PARAVIRT},
    {MSR_EFER, 1, "EFER", NO_FEATURE, .read = efer_read, .write = efer_write, .valid = ANY},
    {MSR_STAR, 1, "STAR", FEATURE_SYSCALL, FIELD(star), .valid = ANY},
    {MSR_LSTAR, 1, "LSTAR", FEATURE_LM, BASE_FIELD(lstar)},
    {MSR_CSTAR, 1, "CSTAR", FEATURE_LM, BASE_FIELD(cstar)},
    {MSR_SFMASK, 1, "SFMASK", FEATURE_LM, FIELD(sfmask), .valid = ANY, .legal = sfmask_legal},
    {MSR_FS_BASE, 2, "FS_GS_BASE", FEATURE_LM, .flags = MSR_CANONICAL, .read = base_read, .write = base_write,
     .valid = ANY},
    {MSR_KERNEL_GS_BASE, 1, "KERNEL_GS_BASE", FEATURE_LM, BASE_FIELD(kernel_gs_base)},
    {MSR_TSC_AUX, 1, "TSC_AUX", FEATURE_RDTSCP, FIELD(tsc_aux), .valid = 0xffffffff},
    {MSR_K7_EVNTSEL0, 2 * PERF_COUNTERS, "PERF_LEGACY", NO_FEATURE, AMD_ONLY, .slot = perf_slot, .read = perf_read,
     .write = perf_write, .valid = ANY},
    {MSR_SYSCFG, 1, "SYSCFG", NO_FEATURE, AMD_ONLY, FIELD(syscfg), .valid = SYSCFG_MTRR},
    {MSR_HWCR, 1, "HWCR", NO_FEATURE, AMD_ONLY, FIELD(hwcr), .valid = ANY},
    {MSR_TOP_MEM, 1, "TOP_MEM", NO_FEATURE, AMD_ONLY, FIELD(top_mem), .valid = ANY},
    {MSR_TOP_MEM2, 1, "TOP_MEM2", NO_FEATURE, AMD_ONLY, FIELD(top_mem2), .valid = ANY},
    {MSR_NB_CFG, 1, "NB_CFG", NO_FEATURE, AMD_ONLY, FIELD(nb_cfg), .valid = ANY},
    {MSR_PATCH_LOADER, 1, "PATCH_LOADER", NO_FEATURE, AMD_ONLY, .flags = MSR_IGNORE_WRITES, .read = write_only,
     .valid = ANY},
    {MSR_INT_PENDING, 1, "INT_PENDING", NO_FEATURE, AMD_ONLY, ZERO},
    {MSR_MMIO_CONF_BASE, 1, "MMIO_CONF_BASE", NO_FEATURE, AMD_ONLY, FIELD(mmio_conf_base), .valid = ANY},
    {MSR_SMM_ADDR, 2, "SMM", NO_FEATURE, AMD_ONLY, ZERO},
    {MSR_IGNNE, 1, "IGNNE", NO_FEATURE, AMD_ONLY, FIELD(ignne), .valid = ANY, .fixed = ~1ull},
    {MSR_LS_CFG, 1, "LS_CFG", NO_FEATURE, AMD_ONLY, FIELD(ls_cfg), .valid = ANY},
    {MSR_DC_CFG, 1, "DC_CFG", NO_FEATURE, AMD_ONLY, FIELD(dc_cfg), .valid = ANY},
    {MSR_DE_CFG, 1, "DE_CFG", NO_FEATURE, AMD_ONLY, FIELD(de_cfg), .valid = ANY},
    {MSR_BU_CFG2, 1, "BU_CFG2", NO_FEATURE, AMD_ONLY, FIELD(bu_cfg2), .valid = ANY},
};
/* clang-format on */

/* The row that has the MSR, or NULL. Guests use few, and those often: it is looked for first where it was last. */
static const struct msr_row *row_of(u32 msr)
{
    static u8 found[256]; /* [a] by the low byte of the number */
    u8 *last = &found[(u8)msr];
    size_t low = 0, high = ARRAY_LEN(rows), i = __atomic_load_n(last, __ATOMIC_RELAXED);
    for (; msr - rows[i].first >= rows[i].count; i = (low + high) / 2) {
        if (msr < rows[i].first)
            high = i;
        else
            low = i + 1;
        if (low == high)
            return NULL;
    }
    if (*last != i)
        __atomic_store_n(last, (u8)i, __ATOMIC_RELAXED);
    return &rows[i];
}

/* The row of an MSR that a CPU with these features has, if its feature is all that it takes. */
static const struct msr_row *row_find(const struct cpu_features *f, u32 msr)
{
    const struct msr_row *r = row_of(msr);
    if (!r || (r->vendor != ANY_VENDOR && (r->vendor == INTEL_ONLY) != (f->vendor == VENDOR_INTEL)))
        return NULL;
    return r->feature == NO_FEATURE || features_have(f, r->feature) ? r : NULL;
}

/* Guests have what the vCPU shows; the owner of the vCPU may prepare more. */
static const struct msr_row *find(const struct vcpu *v, u32 msr, bool owner)
{
    const struct msr_row *r = row_find(v->vm->features, msr);
    return r && r->exists && !r->exists(v, msr, owner) ? NULL : r;
}

static const struct msr_row *msr_find(const struct vcpu *v, u32 msr)
{
    return find(v, msr, true);
}

const char *msr_row(unsigned i, u32 *first, u32 *count)
{
    if (i >= ARRAY_LEN(rows))
        return NULL;
    *first = rows[i].first;
    *count = rows[i].count;
    return rows[i].name;
}

/* Where the value of an MSR lives; NULL: it is a constant, is computed, or belongs to another part of the vCPU. */
static u64 *slot_of(struct vcpu *v, const struct msr_row *r, u32 msr)
{
    if (r->slot)
        return r->slot(v, msr);
    return r->flags & MSR_FIELD ? (u64 *)((char *)v + r->field) + (msr - r->first) : NULL;
}

static bool value_legal(const struct vcpu *v, const struct msr_row *r, u32 msr, u64 value)
{
    return !(value & ~r->valid) && (!(r->flags & MSR_CANONICAL) || is_canonical_base(v, value)) &&
           (!r->legal || r->legal(v, msr, value));
}

static enum outcome row_read(struct vcpu *v, const struct msr_row *r, u32 msr, u64 *value)
{
    if (r->read)
        return r->read(v, msr, value);
    const u64 *slot = slot_of(v, r, msr);
    *value = slot ? *slot : r->value;
    return CPU_OK;
}

enum outcome msr_read(struct vcpu *v, u32 msr, u64 *value)
{
    enum outcome out;
    if (v->in_guest && v->nested->msr_read(v, msr, value, &out))
        return out;
    const struct msr_row *r = find(v, msr, false);
    if (r)
        return row_read(v, r, msr, value);
    if (!v->in_guest && v->nested && v->nested->msr_read(v, msr, value, &out))
        return out;
    return raise_gp(v, 0);
}

enum outcome msr_write(struct vcpu *v, u32 msr, u64 value)
{
    enum outcome out;
    if (v->in_guest && v->nested->msr_write(v, msr, value, &out))
        return out;
    const struct msr_row *r = find(v, msr, false);
    if (!r) {
        if (!v->in_guest && v->nested && v->nested->msr_write(v, msr, value, &out))
            return out;
        return raise_gp(v, 0);
    }
    if ((r->flags & MSR_READ_ONLY) || !value_legal(v, r, msr, value))
        return raise_gp(v, 0);
    if (r->write)
        return r->write(v, msr, value);
    u64 *slot = slot_of(v, r, msr);
    if (slot && !(r->flags & MSR_IGNORE_WRITES))
        *slot = (value & ~r->fixed) | (*slot & r->fixed);
    return CPU_OK;
}

/* -- as state -- */

/* nested_ops.msr_slot; NULL too where there is no extension or no such MSR of it. */
static u64 *nested_slot(struct vcpu *v, unsigned i, u32 *msr, u64 *valid)
{
    return v->nested && v->nested->msr_slot ? v->nested->msr_slot(v, i, msr, valid) : NULL;
}

/* As slot_of, of any MSR that is state by itself; *valid: the bits that may be set. */
static u64 *state_slot(struct vcpu *v, const struct msr_row *r, u32 msr, u64 *valid)
{
    if (r) {
        *valid = r->valid;
        return r->flags & MSR_OWNER ? NULL : slot_of(v, r, msr);
    }
    u32 number;
    u64 *slot;
    for (unsigned i = 0; (slot = nested_slot(v, i, &number, valid)); i++)
        if (number == msr)
            return slot;
    return NULL;
}

u32 msr_list(struct vcpu *v, u32 *list, u32 room)
{
    u32 n = 0, number;
    u64 value, valid;
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        for (u32 k = 0; k < rows[i].count; k++) {
            u32 msr = rows[i].first + k;
            const struct msr_row *r = msr_find(v, msr);
            if (!r || !state_slot(v, r, msr, &valid) || !msr_get(v, msr, &value))
                continue;
            if (n < room)
                list[n] = msr;
            n++;
        }
    }
    for (unsigned i = 0; nested_slot(v, i, &number, &valid); i++) {
        if (n < room)
            list[n] = number;
        n++;
    }
    return n;
}

bool msr_get(struct vcpu *v, u32 msr, u64 *value)
{
    const struct msr_row *r = msr_find(v, msr);
    const struct event fault = v->fault;
    enum outcome out = CPU_FAULT;
    if (msr == MSR_TSC)
        *value = tsc_read_l1(v), out = CPU_OK;
    else if (r)
        out = row_read(v, r, msr, value);
    else if (v->nested && !v->nested->msr_read(v, msr, value, &out))
        out = CPU_FAULT;
    v->fault = fault;
    return out == CPU_OK;
}

const char *msr_refusal(struct vcpu *v, u32 msr, u64 value)
{
    const struct msr_row *r = msr_find(v, msr);
    const char *name = r ? r->name : "an MSR of the virtualization extension, or one that the CPU does not have";
    u64 now, valid;
    if (!msr_get(v, msr, &now))
        return name;
    if (now == value)
        return NULL;
    if (!state_slot(v, r, msr, &valid) || (value & ~valid))
        return name;
    return r && (!value_legal(v, r, msr, value) || ((value ^ now) & r->fixed)) ? name : NULL;
}

void msr_set(struct vcpu *v, u32 msr, u64 value)
{
    u64 valid;
    u64 *slot = state_slot(v, msr_find(v, msr), msr, &valid);
    if (slot)
        *slot = value;
}

/* -- as the owner of the vCPU reads and writes them -- */

bool msr_put(struct vcpu *v, u32 msr, u64 value)
{
    const struct msr_row *r = msr_find(v, msr);
    u64 now, valid = ANY;
    u64 *slot = r ? slot_of(v, r, msr) : state_slot(v, r, msr, &valid);
    if (r && r->flags & MSR_IGNORE_WRITES && !slot)
        return true;
    if (!slot) {
        if (!r && v->nested && v->nested->msr_put && v->nested->msr_put(v, msr, value))
            return true;
        return msr_get(v, msr, &now) && now == value;
    }
    if (value & ~valid || (r && !value_legal(v, r, msr, value)))
        return false;
    *slot = r ? (value & ~r->fixed) | (*slot & r->fixed) : value;
    return true;
}

u32 msr_numbers(const struct cpu_features *f, u32 *list, u32 room)
{
    static const u32 svm[] = {MSR_TSC_RATIO, MSR_VM_CR, MSR_VM_HSAVE_PA};
    u32 n = 0;
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        const struct msr_row *r = row_find(f, rows[i].first);
        bool kept = r && (r->flags & MSR_FIELD || r->slot || r->first == MSR_TSC || r->first == MSR_TSC_DEADLINE);
        bool bank = r && (r->first == MSR_MC0_CTL || r->first == MSR_MC0_CTL2); /* MCG_CAP says which there are */
        if (!kept || bank || (r->first == MSR_SPEC_CTRL && !spec_ctrl_valid(f)))
            continue;
        for (u32 k = 0; k < r->count; k++)
            if (n++ < room)
                list[n - 1] = r->first + k;
    }
    for (unsigned i = 0; features_have(f, FEATURE_SVM) && i < ARRAY_LEN(svm); i++)
        if (n++ < room)
            list[n - 1] = svm[i];
    return n;
}

bool msr_feature(const struct cpu_features *f, u32 msr, u64 *value)
{
    const struct msr_row *r = row_find(f, msr);
    switch (r ? msr : 0) {
    case MSR_BIOS_SIGN_ID: *value = microcode(f->vendor); return true;
    case MSR_ARCH_CAPABILITIES: *value = ARCH_CAPABILITIES; return true;
    case MSR_DE_CFG: *value = DE_CFG_LFENCE_SERIALIZES; return true;
    default: return false;
    }
}

void msr_reset(struct vcpu *v)
{
    bool intel = v->vm->vendor == VENDOR_INTEL;
    v->tsc_aux = v->xss = v->debugctl = 0;
    for (unsigned i = 0; i < ARRAY_LEN(v->lbr); i++)
        v->lbr[i] = 0;
    v->sysenter_cs = v->sysenter_esp = v->sysenter_eip = 0;
    v->star = v->lstar = v->cstar = v->sfmask = v->kernel_gs_base = 0;
    v->spec_ctrl = 0;
    v->pat = PAT_RESET;
    v->misc_enable = intel ? MISC_ENABLE_FAST_STRINGS | MISC_ENABLE_BTS_UNAVAILABLE | MISC_ENABLE_PEBS_UNAVAILABLE : 0;
    if (intel && cpu_has(v->vm, FEATURE_MONITOR))
        v->misc_enable |= MISC_ENABLE_MONITOR;
    v->feature_control = feature_control_reset(v);
    /* Memory is write-back but for the legacy video memory, the option ROMs and the last gigabyte below 4 GiB. */
    v->mtrr_def_type = MTRR_DEF_TYPE_ENABLE | MTRR_DEF_TYPE_FIXED | MEMTYPE_WB;
    for (unsigned i = 0; i < ARRAY_LEN(v->mtrr_fixed); i++)
        v->mtrr_fixed[i] = MTRR_FIXED_ALL(i < 2 ? MEMTYPE_WB : i == 2 ? MEMTYPE_UC : MEMTYPE_WP);
    for (unsigned i = 0; i < MTRR_RANGES; i++)
        v->mtrr_base[i] = v->mtrr_mask[i] = 0;
    v->mtrr_base[0] = LOW_MEMORY_END | MEMTYPE_UC;
    v->mtrr_mask[0] = ((BIT64(v->vm->phys_bits) - 1) & ~(BIT64(32) - LOW_MEMORY_END - 1)) | MTRR_MASK_VALID;
    v->mcg_status = v->mcg_ctl = 0;
    v->mcg_cap = MCG_CAP_CTL | MC_BANKS_RESET;
    v->microcode = microcode(v->vm->vendor);
    v->platform_info = platform_info(v->vm);
    v->arch_capabilities = ARCH_CAPABILITIES;
    v->power_ctl = 0;
    for (unsigned i = 0; i < PERF_COUNTERS; i++)
        v->perf_select[i] = v->perf_counter[i] = 0;
    v->perf_due = 0;
    for (unsigned i = 0; i < MC_BANKS * 4; i++)
        v->mc_bank[i / 4][i % 4] = 0;
    v->mcg_ext_ctl = 0;
    for (unsigned i = 0; i < MC_BANKS; i++)
        v->mc_ctl2[i] = 0;
    v->hwcr = HWCR_TSC_FREQ_SEL | HWCR_INVD_WBINVD;
    v->syscfg = v->nb_cfg = v->ls_cfg = v->dc_cfg = v->bu_cfg2 = v->mmio_conf_base = 0;
    v->de_cfg = DE_CFG_LFENCE_SERIALIZES;
    v->top_mem = LOW_MEMORY_END;
    v->top_mem2 = 0;
    /* All CPUs count from the boot CPU's RESET. */
    if (v->index)
        v->tsc_offset_l1 = v->vm->vcpu[0]->tsc_offset_l1;
    else
        v->tsc_offset_l1 -= v->vm->tsc_of_host ? v->tsc_offset_l1 : tsc_read_l1(v);
    tsc_of_l1(v);
    v->tsc_adjust = 0;
    paravirt_reset(v);
}

/* -- the instructions -- */

/* Is it one that this CPU has, whatever may be done with it? */
static bool known(struct vcpu *v, u32 msr)
{
    u64 value;
    enum outcome out;
    return find(v, msr, false) || (v->nested && v->nested->msr_read(v, msr, &value, &out));
}

/* The machine decides, if it wants to be asked for this reason. *done: it has. */
static enum outcome ask(struct vcpu *v, u32 why, u32 msr, u64 *value, bool write, bool *done)
{
    *done = false;
    if (!(v->vm->msr_asks & why))
        return CPU_OK;
    switch (world_msr(v, msr, value, write, why)) {
    case MACHINE_MSR_LATER: v->exit = CPU_EXIT_MSR; return CPU_EXIT;
    case MACHINE_MSR_FAULT: return raise_gp(v, 0);
    case MACHINE_MSR_DONE: *done = true; return CPU_OK;
    case MACHINE_MSR_CPU: break;
    }
    return CPU_OK;
}

static enum outcome asked(struct vcpu *v, u32 msr, u64 *value, bool write)
{
    bool done;
    TRY(ask(v, MACHINE_MSR_ANY, msr, value, write, &done));
    if (done)
        return CPU_OK;
    enum outcome out = write ? msr_write(v, msr, *value) : msr_read(v, msr, value);
    if (out != CPU_FAULT)
        return out;
    struct event fault = v->fault;
    v->fault.valid = false;
    if (!write)
        *value = 0;
    TRY(ask(v, known(v, msr) ? MACHINE_MSR_INVALID : MACHINE_MSR_UNKNOWN, msr, value, write, &done));
    if (done)
        return CPU_OK;
    v->fault = fault;
    return CPU_FAULT;
}

enum outcome op_rdmsr(struct vcpu *v, const struct insn *in)
{
    u32 msr = (u32)v->gpr[RCX];
    u64 value;
    if (v->cpl)
        return raise_gp(v, 0);
    TRY(nested_check(v, IC_MSR, msr, 0));
    if (unlikely(v->vm->msr_asks))
        TRY(asked(v, msr, &value, false));
    else
        TRY(msr_read(v, msr, &value));
    v->gpr[RAX] = (u32)value;
    v->gpr[RDX] = value >> 32;
    return CPU_OK;
}

enum outcome op_wrmsr(struct vcpu *v, const struct insn *in)
{
    u32 msr = (u32)v->gpr[RCX];
    if (v->cpl)
        return raise_gp(v, 0);
    TRY(nested_check(v, IC_MSR, msr, 1));
    u64 value = v->gpr[RDX] << 32 | (u32)v->gpr[RAX];
    return unlikely(v->vm->msr_asks) ? asked(v, msr, &value, true) : msr_write(v, msr, value);
}
