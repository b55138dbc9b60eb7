/*
 * VMX facts: the bits of the VMCS control fields, of the interruption-information, interruptibility and
 * qualification fields, the capability MSRs and the VM-instruction error numbers.
 * Source: Intel SDM volume 3C, "Virtual Machine Control Structures", "VMX Instruction Reference", volume 3D
 * appendices "VMX Capability Reporting Facility" and "Field Encoding in VMCS".
 */
#ifndef X86_VMCS_H
#define X86_VMCS_H

#include "base/types.h"

/* Field encodings: bit 0 high half of a 64-bit field, 9:1 index, 11:10 type, 14:13 width. */
#define VMCS_HIGH BIT(0)
#define VMCS_INDEX(enc) (((enc) >> 1) & 0x1ffu)
#define VMCS_TYPE(enc) (((enc) >> 10) & 3u)
#define VMCS_WIDTH(enc) (((enc) >> 13) & 3u)
enum { VMCS_TYPE_CONTROL, VMCS_TYPE_EXIT_INFO, VMCS_TYPE_GUEST, VMCS_TYPE_HOST };
enum { VMCS_WIDTH_16, VMCS_WIDTH_64, VMCS_WIDTH_32, VMCS_WIDTH_NATURAL };

/* Field encodings that are in use. A segment field is that of ES; VMCS_SEGMENT names the others. */
/* clang-format off */
enum {
    VMCS_VPID                     = 0x0000,
    VMCS_GUEST_SELECTOR           = 0x0800,
    VMCS_HOST_SELECTOR            = 0x0c00, /* ES to GS */
    VMCS_HOST_TR_SELECTOR         = 0x0c0c,
    VMCS_IO_BITMAP_A              = 0x2000,
    VMCS_IO_BITMAP_B              = 0x2002,
    VMCS_MSR_BITMAP               = 0x2004,
    VMCS_EXIT_MSR_STORE           = 0x2006,
    VMCS_EXIT_MSR_LOAD            = 0x2008,
    VMCS_ENTRY_MSR_LOAD           = 0x200a,
    VMCS_EXECUTIVE_VMCS           = 0x200c,
    VMCS_TSC_OFFSET               = 0x2010,
    VMCS_VIRTUAL_APIC             = 0x2012,
    VMCS_APIC_ACCESS              = 0x2014,
    VMCS_EPTP                     = 0x201a,
    VMCS_VMREAD_BITMAP            = 0x2026,
    VMCS_VMWRITE_BITMAP           = 0x2028,
    VMCS_XSS_EXITING              = 0x202c,
    VMCS_TSC_MULTIPLIER           = 0x2032,
    VMCS_GUEST_PHYSICAL           = 0x2400,
    VMCS_LINK_POINTER             = 0x2800,
    VMCS_GUEST_DEBUGCTL           = 0x2802,
    VMCS_GUEST_PAT                = 0x2804,
    VMCS_GUEST_EFER               = 0x2806,
    VMCS_GUEST_PDPTE0             = 0x280a,
    VMCS_GUEST_PDPTE1             = 0x280c,
    VMCS_GUEST_PDPTE2             = 0x280e,
    VMCS_GUEST_PDPTE3             = 0x2810,
    VMCS_HOST_PAT                 = 0x2c00,
    VMCS_HOST_EFER                = 0x2c02,
    VMCS_PIN_CONTROLS             = 0x4000,
    VMCS_PROC_CONTROLS            = 0x4002,
    VMCS_EXCEPTION_BITMAP         = 0x4004,
    VMCS_PF_MASK                  = 0x4006,
    VMCS_PF_MATCH                 = 0x4008,
    VMCS_CR3_TARGET_COUNT         = 0x400a,
    VMCS_EXIT_CONTROLS            = 0x400c,
    VMCS_EXIT_MSR_STORE_COUNT     = 0x400e,
    VMCS_EXIT_MSR_LOAD_COUNT      = 0x4010,
    VMCS_ENTRY_CONTROLS           = 0x4012,
    VMCS_ENTRY_MSR_LOAD_COUNT     = 0x4014,
    VMCS_ENTRY_INTR_INFO          = 0x4016,
    VMCS_ENTRY_ERROR_CODE         = 0x4018,
    VMCS_ENTRY_INSN_LENGTH        = 0x401a,
    VMCS_TPR_THRESHOLD            = 0x401c,
    VMCS_PROC2_CONTROLS           = 0x401e,
    VMCS_PLE_GAP                  = 0x4020,
    VMCS_PLE_WINDOW               = 0x4022,
    VMCS_INSN_ERROR               = 0x4400,
    VMCS_EXIT_REASON              = 0x4402,
    VMCS_EXIT_INTR_INFO           = 0x4404,
    VMCS_EXIT_INTR_ERROR_CODE     = 0x4406,
    VMCS_IDT_VECTORING_INFO       = 0x4408,
    VMCS_IDT_VECTORING_ERROR_CODE = 0x440a,
    VMCS_EXIT_INSN_LENGTH         = 0x440c,
    VMCS_EXIT_INSN_INFO           = 0x440e,
    VMCS_GUEST_LIMIT              = 0x4800,
    VMCS_GUEST_GDTR_LIMIT         = 0x4810,
    VMCS_GUEST_IDTR_LIMIT         = 0x4812,
    VMCS_GUEST_ACCESS_RIGHTS      = 0x4814,
    VMCS_GUEST_INTERRUPTIBILITY   = 0x4824,
    VMCS_GUEST_ACTIVITY           = 0x4826,
    VMCS_GUEST_SMBASE             = 0x4828,
    VMCS_GUEST_SYSENTER_CS        = 0x482a,
    VMCS_GUEST_PREEMPTION_TIMER   = 0x482e,
    VMCS_HOST_SYSENTER_CS         = 0x4c00,
    VMCS_CR0_MASK                 = 0x6000,
    VMCS_CR4_MASK                 = 0x6002,
    VMCS_CR0_READ_SHADOW          = 0x6004,
    VMCS_CR4_READ_SHADOW          = 0x6006,
    VMCS_CR3_TARGET0              = 0x6008,
    VMCS_CR3_TARGET1              = 0x600a,
    VMCS_CR3_TARGET2              = 0x600c,
    VMCS_CR3_TARGET3              = 0x600e,
    VMCS_EXIT_QUALIFICATION       = 0x6400,
    VMCS_IO_RCX                   = 0x6402,
    VMCS_IO_RSI                   = 0x6404,
    VMCS_IO_RDI                   = 0x6406,
    VMCS_IO_RIP                   = 0x6408,
    VMCS_GUEST_LINEAR             = 0x640a,
    VMCS_GUEST_CR0                = 0x6800,
    VMCS_GUEST_CR3                = 0x6802,
    VMCS_GUEST_CR4                = 0x6804,
    VMCS_GUEST_BASE               = 0x6806,
    VMCS_GUEST_GDTR_BASE          = 0x6816,
    VMCS_GUEST_IDTR_BASE          = 0x6818,
    VMCS_GUEST_DR7                = 0x681a,
    VMCS_GUEST_RSP                = 0x681c,
    VMCS_GUEST_RIP                = 0x681e,
    VMCS_GUEST_RFLAGS             = 0x6820,
    VMCS_GUEST_PENDING_DEBUG      = 0x6822,
    VMCS_GUEST_SYSENTER_ESP       = 0x6824,
    VMCS_GUEST_SYSENTER_EIP       = 0x6826,
    VMCS_HOST_CR0                 = 0x6c00,
    VMCS_HOST_CR3                 = 0x6c02,
    VMCS_HOST_CR4                 = 0x6c04,
    VMCS_HOST_FS_BASE             = 0x6c06,
    VMCS_HOST_GS_BASE             = 0x6c08,
    VMCS_HOST_TR_BASE             = 0x6c0a,
    VMCS_HOST_GDTR_BASE           = 0x6c0c,
    VMCS_HOST_IDTR_BASE           = 0x6c0e,
    VMCS_HOST_SYSENTER_ESP        = 0x6c10,
    VMCS_HOST_SYSENTER_EIP        = 0x6c12,
    VMCS_HOST_RSP                 = 0x6c14,
    VMCS_HOST_RIP                 = 0x6c16,
};
/* clang-format on */
#define VMCS_SEGMENT(field, seg) ((field) + 2 * (seg))

#define VMCS_SHADOW BIT(31) /* shadow-VMCS indicator, beside the revision identifier */

/* Pin-based VM-execution controls. */
#define PIN_EXTINT_EXITING BIT(0)
#define PIN_NMI_EXITING BIT(3)
#define PIN_VIRTUAL_NMIS BIT(5)
#define PIN_PREEMPTION_TIMER BIT(6)
#define PIN_POSTED_INTERRUPTS BIT(7)

/* Primary processor-based VM-execution controls. */
#define PROC_INTERRUPT_WINDOW BIT(2)
#define PROC_TSC_OFFSETTING BIT(3)
#define PROC_HLT_EXITING BIT(7)
#define PROC_INVLPG_EXITING BIT(9)
#define PROC_MWAIT_EXITING BIT(10)
#define PROC_RDPMC_EXITING BIT(11)
#define PROC_RDTSC_EXITING BIT(12)
#define PROC_CR3_LOAD_EXITING BIT(15)
#define PROC_CR3_STORE_EXITING BIT(16)
#define PROC_TERTIARY BIT(17)
#define PROC_CR8_LOAD_EXITING BIT(19)
#define PROC_CR8_STORE_EXITING BIT(20)
#define PROC_TPR_SHADOW BIT(21)
#define PROC_NMI_WINDOW BIT(22)
#define PROC_MOV_DR_EXITING BIT(23)
#define PROC_UNCONDITIONAL_IO BIT(24)
#define PROC_IO_BITMAPS BIT(25)
#define PROC_MONITOR_TRAP BIT(27)
#define PROC_MSR_BITMAPS BIT(28)
#define PROC_MONITOR_EXITING BIT(29)
#define PROC_PAUSE_EXITING BIT(30)
#define PROC_SECONDARY BIT(31)

/* Secondary processor-based VM-execution controls. */
#define PROC2_APIC_ACCESSES BIT(0)
#define PROC2_EPT BIT(1)
#define PROC2_DESC_TABLE_EXITING BIT(2)
#define PROC2_RDTSCP BIT(3)
#define PROC2_X2APIC_MODE BIT(4)
#define PROC2_VPID BIT(5)
#define PROC2_WBINVD_EXITING BIT(6)
#define PROC2_UNRESTRICTED_GUEST BIT(7)
#define PROC2_APIC_REGISTERS BIT(8)
#define PROC2_INTERRUPT_DELIVERY BIT(9)
#define PROC2_PAUSE_LOOP_EXITING BIT(10)
#define PROC2_RDRAND_EXITING BIT(11)
#define PROC2_INVPCID BIT(12)
#define PROC2_VMFUNC BIT(13)
#define PROC2_SHADOW_VMCS BIT(14)
#define PROC2_RDSEED_EXITING BIT(16)
#define PROC2_PML BIT(17)
#define PROC2_XSAVES BIT(20)
#define PROC2_MODE_BASED_EXECUTE BIT(22)
#define PROC2_TSC_SCALING BIT(25)

/* VM-exit controls. */
#define EXITC_SAVE_DEBUG BIT(2)
#define EXITC_HOST_64 BIT(9)
#define EXITC_LOAD_PERF_GLOBAL BIT(12)
#define EXITC_ACK_INTERRUPT BIT(15)
#define EXITC_SAVE_PAT BIT(18)
#define EXITC_LOAD_PAT BIT(19)
#define EXITC_SAVE_EFER BIT(20)
#define EXITC_LOAD_EFER BIT(21)
#define EXITC_SAVE_PREEMPTION_TIMER BIT(22)

/* VM-entry controls. */
#define ENTRYC_LOAD_DEBUG BIT(2)
#define ENTRYC_IA32E_GUEST BIT(9)
#define ENTRYC_TO_SMM BIT(10)
#define ENTRYC_DEACTIVATE_DUAL_MONITOR BIT(11)
#define ENTRYC_LOAD_PERF_GLOBAL BIT(13)
#define ENTRYC_LOAD_PAT BIT(14)
#define ENTRYC_LOAD_EFER BIT(15)

/* VM-entry and VM-exit interruption-information and IDT-vectoring-information fields. */
#define INTR_VECTOR_MASK 0xffu
#define INTR_TYPE_SHIFT 8
#define INTR_TYPE(info) (((info) >> INTR_TYPE_SHIFT) & 7u)
#define INTR_TYPE_EXTINT 0u
#define INTR_TYPE_NMI 2u
#define INTR_TYPE_EXCEPTION 3u
#define INTR_TYPE_SOFT_INT 4u
#define INTR_TYPE_PRIV_SOFT 5u
#define INTR_TYPE_SOFT_EXC 6u
#define INTR_TYPE_OTHER 7u /* VM entry only: pending MTF VM exit */
#define INTR_ERROR_VALID BIT(11)
#define INTR_NMI_UNBLOCKING BIT(12) /* VM exit only */
#define INTR_VALID BIT(31)
#define INTR_ENTRY_RESERVED 0x7ffff000u /* of the VM-entry field */

/* Guest interruptibility state. */
#define INTERRUPTIBILITY_STI BIT(0)
#define INTERRUPTIBILITY_MOVSS BIT(1)
#define INTERRUPTIBILITY_SMI BIT(2)
#define INTERRUPTIBILITY_NMI BIT(3)
#define INTERRUPTIBILITY_ENCLAVE BIT(4)

/* Guest activity state. */
enum { GUEST_ACTIVE, GUEST_HLT, GUEST_SHUTDOWN, GUEST_WAIT_SIPI };

/* Pending debug exceptions. */
#define PENDING_DBG_B_MASK 0xfull
#define PENDING_DBG_ENABLED_BP BIT64(12)
#define PENDING_DBG_BS BIT64(14)
#define PENDING_DBG_RTM BIT64(16)

/* Exit qualification of control-register accesses: the register, the type, the general register or LMSW's source. */
#define CRQ_TYPE_SHIFT 4
enum { CRQ_MOV_TO, CRQ_MOV_FROM, CRQ_CLTS, CRQ_LMSW };
#define CRQ_LMSW_MEMORY BIT(6)
#define CRQ_GPR_SHIFT 8
#define CRQ_LMSW_SOURCE_SHIFT 16

/* Exit qualification of MOV DR: the register, the direction, the general register. */
#define DRQ_FROM BIT(4)
#define DRQ_GPR_SHIFT 8

/* Exit qualification of I/O: the size minus 1, and these. */
#define IOQ_IN BIT(3)
#define IOQ_STRING BIT(4)
#define IOQ_REP BIT(5)
#define IOQ_IMMEDIATE BIT(6)
#define IOQ_PORT_SHIFT 16

/* Exit qualification of task switches: the selector, and whence: CALL, IRET, JMP, a task gate. */
#define TASKQ_SOURCE_SHIFT 30

/* Exit qualification of APIC accesses: the offset in the page, unless the access is by a guest-physical address of the
 * processor's own, and what it was. */
#define APICQ_TYPE_SHIFT 12
enum { APICQ_READ, APICQ_WRITE, APICQ_FETCH, APICQ_EVENT, APICQ_PHYSICAL_EVENT = 10, APICQ_PHYSICAL = 15 };

/* VM-exit instruction information, as far as an instruction has it. The scale of the index is in bits 1:0. */
#define INSN_INFO_REG1_SHIFT 3
#define INSN_INFO_ASIZE(bytes) ((u32)(bytes) >> 2 << 7)
#define INSN_INFO_REGISTER BIT(10)                       /* the operand is Reg1 and not in memory */
#define INSN_INFO_OSIZE32 BIT(11)                        /* SGDT, SIDT, LGDT, LIDT */
#define INSN_INFO_OSIZE(bytes) ((u32)(bytes) >> 2 << 11) /* RDRAND, RDSEED */
#define INSN_INFO_SEG_SHIFT 15
#define INSN_INFO_INDEX_SHIFT 18
#define INSN_INFO_NO_INDEX BIT(22)
#define INSN_INFO_BASE_SHIFT 23
#define INSN_INFO_NO_BASE BIT(27)
#define INSN_INFO_REG2_SHIFT 28     /* INVEPT, INVPCID, INVVPID, VMREAD, VMWRITE */
#define INSN_INFO_IDENTITY_SHIFT 28 /* of the descriptor-table instructions: 0 to 3 in the order S, S, L, L */

/* I/O bitmap A is for ports below this, B for the others. MSR bitmaps are four of 1 KiB. */
#define IO_BITMAP_PORTS 0x8000u
#define MSR_BITMAP_READ 0
#define MSR_BITMAP_WRITE 2048
#define MSR_BITMAP_EXTENDED 1024 /* added to those: MSRs from MSR_RANGE_EXTENDED on */

/* Exit qualification of EPT violations. */
#define EPTQ_READ BIT(0)
#define EPTQ_WRITE BIT(1)
#define EPTQ_FETCH BIT(2)
#define EPTQ_PERMS_SHIFT 3 /* R, W, X, user X */
#define EPTQ_LA_VALID BIT(7)
#define EPTQ_FINAL BIT(8)
#define EPTQ_ADVANCED_SHIFT 9
#define EPTQ_NMI_UNBLOCKING BIT(12)

/* EPT pointer: the memory type is in the lowest bits. */
#define EPTP_MEMTYPE_MASK 7ull
#define EPTP_WALK_MASK (7ull << 3)
#define EPTP_WALK_4 (3ull << 3) /* page-walk length minus 1 */
#define EPTP_AD BIT64(6)
#define EPTP_RESERVED 0xf80ull

/* Capability MSRs. */
#define MSR_VMX_BASIC 0x480u
#define MSR_VMX_PINBASED_CTLS 0x481u
#define MSR_VMX_PROCBASED_CTLS 0x482u
#define MSR_VMX_EXIT_CTLS 0x483u
#define MSR_VMX_ENTRY_CTLS 0x484u
#define MSR_VMX_MISC 0x485u
#define MSR_VMX_CR0_FIXED0 0x486u
#define MSR_VMX_CR0_FIXED1 0x487u
#define MSR_VMX_CR4_FIXED0 0x488u
#define MSR_VMX_CR4_FIXED1 0x489u
#define MSR_VMX_VMCS_ENUM 0x48au
#define MSR_VMX_PROCBASED_CTLS2 0x48bu
#define MSR_VMX_EPT_VPID_CAP 0x48cu
#define MSR_VMX_TRUE_PINBASED_CTLS 0x48du
#define MSR_VMX_TRUE_PROCBASED_CTLS 0x48eu
#define MSR_VMX_TRUE_EXIT_CTLS 0x48fu
#define MSR_VMX_TRUE_ENTRY_CTLS 0x490u
#define MSR_VMX_VMFUNC 0x491u

/* IA32_VMX_BASIC: the revision identifier is in bits 30:0. */
#define VMX_BASIC_REVISION(basic) ((u32)(basic) & ~VMCS_SHADOW)
#define VMX_BASIC_SIZE_SHIFT 32
#define VMX_BASIC_SIZE(basic) ((basic) >> VMX_BASIC_SIZE_SHIFT & 0x1fff)
#define VMX_BASIC_32BIT_ADDRESSES BIT64(48)
#define VMX_BASIC_MEMTYPE_SHIFT 50
#define VMX_BASIC_MEMTYPE(basic) ((basic) >> VMX_BASIC_MEMTYPE_SHIFT & 0xf)
#define VMX_BASIC_INS_OUTS_INFO BIT64(54)
#define VMX_BASIC_TRUE_CONTROLS BIT64(55)

/* IA32_VMX_MISC: the preemption timer's rate is in bits 4:0. */
#define VMX_MISC_SAVE_LMA BIT64(5)
#define VMX_MISC_ACTIVITY_STATES (7ull << 6) /* HLT, shutdown, wait-for-SIPI */
#define VMX_MISC_CR3_TARGETS(n) ((u64)(n) << 16)
#define VMX_MISC_CR3_TARGETS_MASK VMX_MISC_CR3_TARGETS(0x1ff)
#define VMX_MISC_VMWRITE_ANY BIT64(29)
#define VMX_MISC_ZERO_LENGTH_INJECTION BIT64(30)

/* IA32_VMX_EPT_VPID_CAP. */
#define EPT_CAP_EXEC_ONLY BIT64(0)
#define EPT_CAP_WALK_4 BIT64(6)
#define EPT_CAP_UC BIT64(8)
#define EPT_CAP_WB BIT64(14)
#define EPT_CAP_2M BIT64(16)
#define EPT_CAP_1G BIT64(17)
#define EPT_CAP_INVEPT BIT64(20)
#define EPT_CAP_AD BIT64(21)
#define EPT_CAP_ADVANCED_INFO BIT64(22)
#define EPT_CAP_INVEPT_SINGLE BIT64(25)
#define EPT_CAP_INVEPT_ALL BIT64(26)
#define VPID_CAP_INVVPID BIT64(32)
#define VPID_CAP_ADDRESS BIT64(40)
#define VPID_CAP_SINGLE BIT64(41)
#define VPID_CAP_ALL BIT64(42)
#define VPID_CAP_SINGLE_NONGLOBAL BIT64(43)

/* VM-instruction error numbers. */
enum vmx_error {
    VMERR_VMCALL_IN_ROOT = 1,
    VMERR_VMCLEAR_ADDRESS = 2,
    VMERR_VMCLEAR_VMXON_POINTER = 3,
    VMERR_VMLAUNCH_NOT_CLEAR = 4,
    VMERR_VMRESUME_NOT_LAUNCHED = 5,
    VMERR_ENTRY_CONTROLS = 7,
    VMERR_ENTRY_HOST_STATE = 8,
    VMERR_VMPTRLD_ADDRESS = 9,
    VMERR_VMPTRLD_VMXON_POINTER = 10,
    VMERR_VMPTRLD_REVISION = 11,
    VMERR_UNSUPPORTED_FIELD = 12,
    VMERR_READ_ONLY_FIELD = 13,
    VMERR_VMXON_IN_ROOT = 15,
    VMERR_ENTRY_MOVSS = 26,
    VMERR_INVALID_OPERAND = 28, /* INVEPT, INVVPID */
};

/* Bits 63:32 of the VMX-abort indicator. */
enum vmx_abort { VMABORT_SAVE_MSR = 1, VMABORT_HOST_PDPTE = 2, VMABORT_LOAD_MSR = 4 };

#endif
