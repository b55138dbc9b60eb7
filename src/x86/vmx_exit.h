/*
 * Basic VM-exit reasons. Source: Intel SDM volume 3D, appendix "VMX Basic Exit Reasons".
 */
#ifndef X86_VMX_EXIT_H
#define X86_VMX_EXIT_H

/* clang-format off */
/* name, basic reason, words for people */
#define VMX_EXITS(X) \
    X(EXCEPTION_NMI, 0, "exception or NMI") \
    X(EXTINT, 1, "external interrupt") \
    X(TRIPLE_FAULT, 2, "triple fault") \
    X(INIT, 3, "INIT signal") \
    X(SIPI, 4, "start-up IPI") \
    X(INTERRUPT_WINDOW, 7, "interrupt window") \
    X(NMI_WINDOW, 8, "NMI window") \
    X(TASK_SWITCH, 9, "task switch") \
    X(CPUID, 10, "CPUID") \
    X(GETSEC, 11, "GETSEC") \
    X(HLT, 12, "HLT") \
    X(INVD, 13, "INVD") \
    X(INVLPG, 14, "INVLPG") \
    X(RDPMC, 15, "RDPMC") \
    X(RDTSC, 16, "RDTSC") \
    X(RSM, 17, "RSM") \
    X(VMCALL, 18, "VMCALL") \
    X(VMCLEAR, 19, "VMCLEAR") \
    X(VMLAUNCH, 20, "VMLAUNCH") \
    X(VMPTRLD, 21, "VMPTRLD") \
    X(VMPTRST, 22, "VMPTRST") \
    X(VMREAD, 23, "VMREAD") \
    X(VMRESUME, 24, "VMRESUME") \
    X(VMWRITE, 25, "VMWRITE") \
    X(VMXOFF, 26, "VMXOFF") \
    X(VMXON, 27, "VMXON") \
    X(CR_ACCESS, 28, "control-register access") \
    X(MOV_DR, 29, "MOV DR") \
    X(IO, 30, "I/O instruction") \
    X(RDMSR, 31, "RDMSR") \
    X(WRMSR, 32, "WRMSR") \
    X(ENTRY_GUEST_STATE, 33, "VM entry failed: invalid guest state") \
    X(ENTRY_MSR_LOAD, 34, "VM entry failed: MSR loading") \
    X(MWAIT, 36, "MWAIT") \
    X(MONITOR_TRAP, 37, "monitor trap flag") \
    X(MONITOR, 39, "MONITOR") \
    X(PAUSE, 40, "PAUSE") \
    X(TPR_BELOW_THRESHOLD, 43, "TPR below threshold") \
    X(APIC_ACCESS, 44, "APIC access") \
    X(GDTR_IDTR, 46, "access to GDTR or IDTR") \
    X(LDTR_TR, 47, "access to LDTR or TR") \
    X(EPT_VIOLATION, 48, "EPT violation") \
    X(EPT_MISCONFIG, 49, "EPT misconfiguration") \
    X(INVEPT, 50, "INVEPT") \
    X(RDTSCP, 51, "RDTSCP") \
    X(PREEMPTION_TIMER, 52, "VMX-preemption timer expired") \
    X(INVVPID, 53, "INVVPID") \
    X(WBINVD, 54, "WBINVD") \
    X(XSETBV, 55, "XSETBV") \
    X(RDRAND, 57, "RDRAND") \
    X(INVPCID, 58, "INVPCID") \
    X(VMFUNC, 59, "VMFUNC") \
    X(RDSEED, 61, "RDSEED") \
    X(XSAVES, 63, "XSAVES") \
    X(XRSTORS, 64, "XRSTORS")
/* clang-format on */

enum vmx_exit_reason {
#define X(name, reason, words) EXIT_##name = (reason),
    VMX_EXITS(X)
#undef X
};

#define EXIT_REASON_BASIC 0xffffu
#define EXIT_REASON_ENTRY_FAILURE (1u << 31)

#endif
