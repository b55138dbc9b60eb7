/*
 * Numbers and bits of model-specific registers.
 * Source: Intel SDM volume 4; AMD APM volume 2, "MSR Cross-Reference".
 */
#ifndef X86_MSR_H
#define X86_MSR_H

#include "base/types.h"

/* clang-format off */
#define MSR_P5_MC_ADDR          0x0u
#define MSR_TSC                 0x10u
#define MSR_PLATFORM_ID         0x17u
#define MSR_APIC_BASE           0x1bu
#define MSR_SMI_COUNT           0x34u
#define MSR_FEATURE_CONTROL     0x3au
#define MSR_TSC_ADJUST          0x3bu
#define MSR_SPEC_CTRL           0x48u
#define MSR_PRED_CMD            0x49u
#define MSR_BIOS_UPDT_TRIG      0x79u
#define MSR_BIOS_SIGN_ID        0x8bu /* AMD: PATCH_LEVEL */
#define MSR_SMBASE              0x9eu
#define MSR_PLATFORM_INFO       0xceu
#define MSR_MTRRCAP             0xfeu
#define MSR_ARCH_CAPABILITIES   0x10au
#define MSR_FLUSH_CMD           0x10bu
#define MSR_SYSENTER_CS         0x174u
#define MSR_SYSENTER_ESP        0x175u
#define MSR_SYSENTER_EIP        0x176u
#define MSR_MCG_CAP             0x179u
#define MSR_MCG_STATUS          0x17au
#define MSR_MCG_CTL             0x17bu
#define MSR_MISC_ENABLE         0x1a0u
#define MSR_DEBUGCTL            0x1d9u
#define MSR_LASTBRANCH_FROM     0x1dbu
#define MSR_LASTBRANCH_TO       0x1dcu
#define MSR_LASTINT_FROM        0x1ddu
#define MSR_LASTINT_TO          0x1deu
#define MSR_POWER_CTL           0x1fcu
#define MSR_MTRR_BASE0          0x200u /* base and mask alternate */
#define MSR_MTRR_FIX64K         0x250u
#define MSR_MTRR_FIX16K         0x258u
#define MSR_MTRR_FIX4K          0x268u
#define MSR_PAT                 0x277u
#define MSR_MC0_CTL2            0x280u
#define MSR_MTRR_DEF_TYPE       0x2ffu
#define MSR_MC0_CTL             0x400u
#define MSR_MCG_EXT_CTL         0x4d0u
#define MSR_TSC_DEADLINE        0x6e0u
#define MSR_X2APIC_FIRST        0x800u
#define MSR_X2APIC_LAST         0x8ffu
#define MSR_XSS                 0xda0u
#define MSR_EFER                0xc0000080u
#define MSR_STAR                0xc0000081u
#define MSR_LSTAR               0xc0000082u
#define MSR_CSTAR               0xc0000083u
#define MSR_SFMASK              0xc0000084u
#define MSR_FS_BASE             0xc0000100u
#define MSR_GS_BASE             0xc0000101u
#define MSR_KERNEL_GS_BASE      0xc0000102u
#define MSR_TSC_AUX             0xc0000103u
#define MSR_TSC_RATIO           0xc0000104u
#define MSR_K7_EVNTSEL0         0xc0010000u
#define MSR_K7_PERFCTR3         0xc0010007u
#define MSR_SYSCFG              0xc0010010u
#define MSR_HWCR                0xc0010015u
#define MSR_TOP_MEM             0xc001001au
#define MSR_TOP_MEM2            0xc001001du
#define MSR_NB_CFG              0xc001001fu
#define MSR_PATCH_LOADER        0xc0010020u
#define MSR_INT_PENDING         0xc0010055u
#define MSR_MMIO_CONF_BASE      0xc0010058u
#define MSR_SMM_ADDR            0xc0010112u
#define MSR_SMM_MASK            0xc0010113u
#define MSR_VM_CR               0xc0010114u
#define MSR_IGNNE               0xc0010115u
#define MSR_SMM_CTL             0xc0010116u
#define MSR_VM_HSAVE_PA         0xc0010117u
#define MSR_SVM_KEY             0xc0010118u
#define MSR_LS_CFG              0xc0011020u
#define MSR_DC_CFG              0xc0011022u
#define MSR_DE_CFG              0xc0011029u
#define MSR_BU_CFG2             0xc001102au
/* clang-format on */

/* By the number of a range of the MTRRs, the number of a bank, the offset of an APIC register (APIC_* of x86/apic.h).
 */
#define MSR_MTRR_PHYSBASE(i) (MSR_MTRR_BASE0 + 2 * (i))
#define MSR_MTRR_PHYSMASK(i) (MSR_MTRR_BASE0 + 2 * (i) + 1)
#define MSR_MC_CTL(bank) (MSR_MC0_CTL + 4 * (bank))
#define MSR_MC_STATUS(bank) (MSR_MC0_CTL + 4 * (bank) + 1)
#define MSR_MC_ADDR(bank) (MSR_MC0_CTL + 4 * (bank) + 2)
#define MSR_MC_MISC(bank) (MSR_MC0_CTL + 4 * (bank) + 3)
#define MSR_X2APIC(offset) (MSR_X2APIC_FIRST + (offset) / 16)

/* The ranges of MSRs that the permission maps of VMX and SVM cover: from 0, and from these. */
#define MSR_RANGE_SIZE 0x2000u
#define MSR_RANGE_EXTENDED 0xc0000000u
#define MSR_RANGE_AMD 0xc0010000u

#define APIC_BASE_BSP BIT64(8)
#define APIC_BASE_EXTD BIT64(10)
#define APIC_BASE_EN BIT64(11)
#define APIC_BASE_ADDRESS 0xfffffffff000ull /* MAXPHYADDR limits it further */
#define APIC_DEFAULT_ADDRESS 0xfee00000ull

/* Memory types, as the PAT, the MTRRs and EPT number them; MTRRs and EPT have no UC-. */
enum { MEMTYPE_UC = 0, MEMTYPE_WC = 1, MEMTYPE_WT = 4, MEMTYPE_WP = 5, MEMTYPE_WB = 6, MEMTYPE_UC_MINUS = 7 };
#define PAT_RESET 0x0007040600070406ull /* WB, WT, UC-, UC, twice */

#define MEMTYPE_RESERVED(type) ((type) == 2 || (type) == 3)

#define FEATURE_CONTROL_LOCK BIT64(0)
#define FEATURE_CONTROL_VMXON_OUTSIDE_SMX BIT64(2)
#define FEATURE_CONTROL_LMCE BIT64(20)

#define MTRRCAP_FIXED BIT64(8) /* the number of ranges is in bits 7:0 */
#define MTRRCAP_WC BIT64(10)
#define MTRR_TYPE_MASK 0xffull        /* in a base, and in MTRR_DEF_TYPE */
#define MTRR_MASK_VALID BIT64(11)     /* in a mask */
#define MTRR_DEF_TYPE_FIXED BIT64(10) /* fixed ranges are on */
#define MTRR_DEF_TYPE_ENABLE BIT64(11)
#define MTRR_FIXED_ALL(type) ((type)*0x0101010101010101ull) /* all eight ranges of a fixed-range MTRR */

#define MCG_CAP_CTL BIT64(8)   /* MCG_CTL exists; the number of banks is in bits 7:0 */
#define MCG_CAP_CMCI BIT64(10) /* CTL2 of banks and the LVT entry for corrected errors exist */
#define MCG_CAP_SER BIT64(24)  /* software may recover from errors */
#define MCG_CAP_LMCE BIT64(27) /* errors may come to one CPU only: there is an MSR for it */
#define MCG_STATUS_BITS 7ull   /* RIPV, EIPV, MCIP */
#define MCG_STATUS_LMCE BIT64(3)
#define MC_CTL2_CMCI BIT64(30)
#define MC_CTL2_BITS (MC_CTL2_CMCI | 0x7fff) /* and the threshold */

#define HWCR_INVD_WBINVD BIT64(4) /* INVD acts as WBINVD */
#define HWCR_MC_STATUS_WRITABLE BIT64(18)
#define HWCR_TSC_FREQ_SEL BIT64(24)
#define SYSCFG_MTRR (0x1full << 18) /* DRAM attributes of MTRRs, TOM2 */
#define DE_CFG_LFENCE_SERIALIZES BIT64(1)

#define MISC_ENABLE_FAST_STRINGS BIT64(0)
#define MISC_ENABLE_BTS_UNAVAILABLE BIT64(11)
#define MISC_ENABLE_PEBS_UNAVAILABLE BIT64(12)
#define MISC_ENABLE_MONITOR BIT64(18)
#define MISC_ENABLE_STORED (BIT64(3) | BIT64(7) | BIT64(16) | BIT64(23)) /* thermal, monitoring, SpeedStep, xTPR */
#define MISC_ENABLE_LIMIT_CPUID BIT64(22)
#define MISC_ENABLE_XD_DISABLE BIT64(34)

#define SPEC_CTRL_IBRS BIT64(0)
#define SPEC_CTRL_STIBP BIT64(1)
#define SPEC_CTRL_SSBD BIT64(2)
#define SPEC_CTRL_BHI_DIS_S BIT64(10)

#define PRED_CMD_IBPB BIT64(0)
#define FLUSH_CMD_L1D BIT64(0)

#define ARCH_CAP_RDCL_NO BIT64(0)
#define ARCH_CAP_IBRS_ALL BIT64(1)
#define ARCH_CAP_SKIP_L1DFL_VMENTRY BIT64(3)
#define ARCH_CAP_SSB_NO BIT64(4)
#define ARCH_CAP_MDS_NO BIT64(5)
#define ARCH_CAP_IF_PSCHANGE_MC_NO BIT64(6)
#define ARCH_CAP_TAA_NO BIT64(8)
#define ARCH_CAP_SBDR_SSDP_NO BIT64(13)
#define ARCH_CAP_FBSDP_NO BIT64(14)
#define ARCH_CAP_PSDP_NO BIT64(15)
#define ARCH_CAP_BHI_NO BIT64(20)
#define ARCH_CAP_PBRSB_NO BIT64(24)
#define ARCH_CAP_GDS_NO BIT64(26)
#define ARCH_CAP_RFDS_NO BIT64(27)
#define ARCH_CAP_ITS_NO BIT64(62)

#define DEBUGCTL_LBR BIT64(0) /* record the last branch */
#define DEBUGCTL_BTF BIT64(1)

#define EFER_AUTOIBRS BIT64(21)

#endif
