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
#define INTR_TYPE_OTHER 7u /* VM entry only: pending MTF VM exit */
#define INTR_ERROR_VALID BIT(11)
#define INTR_NMI_UNBLOCKING BIT(12) /* VM exit only */
#define INTR_VALID BIT(31)

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

/* Exit qualification of EPT violations. */
#define EPTQ_READ BIT(0)
#define EPTQ_WRITE BIT(1)
#define EPTQ_FETCH BIT(2)
#define EPTQ_PERMS_SHIFT 3 /* R, W, X, user X */
#define EPTQ_LA_VALID BIT(7)
#define EPTQ_FINAL BIT(8)
#define EPTQ_ADVANCED_SHIFT 9
#define EPTQ_NMI_UNBLOCKING BIT(12)

/* EPT pointer. */
#define EPTP_MEMTYPE_MASK 7ull
#define EPTP_WALK_SHIFT 3
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

#define FEATURE_CONTROL_LOCK BIT64(0)
#define FEATURE_CONTROL_VMXON_OUTSIDE_SMX BIT64(2)

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
