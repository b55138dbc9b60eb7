/*
 * SVM exit codes and the layout of EXITINFO1/2 and EXITINTINFO.
 * Source: AMD APM volume 2, appendix "SVM Intercept Exit Codes", and "Secure Virtual Machine".
 */
#ifndef X86_SVM_EXIT_H
#define X86_SVM_EXIT_H

#include "base/types.h"

/* Codes below SVM_EXIT_INTERCEPTS number the bits of the intercept vectors in order: code / 32 is the word. */
/* clang-format off */
/* name, code, how many codes (CR, DR or vector number is added to the first), words for people */
#define SVM_EXITS(X) \
    X(READ_CR0, 0x00, 16, "read of CR") \
    X(WRITE_CR0, 0x10, 16, "write of CR") \
    X(READ_DR0, 0x20, 16, "read of DR") \
    X(WRITE_DR0, 0x30, 16, "write of DR") \
    X(EXCP, 0x40, 32, "exception ") \
    X(INTR, 0x60, 1, "physical interrupt") \
    X(NMI, 0x61, 1, "NMI") \
    X(SMI, 0x62, 1, "SMI") \
    X(INIT, 0x63, 1, "INIT signal") \
    X(VINTR, 0x64, 1, "virtual interrupt") \
    X(CR0_SEL_WRITE, 0x65, 1, "selective write of CR0") \
    X(IDTR_READ, 0x66, 1, "store of IDTR") \
    X(GDTR_READ, 0x67, 1, "store of GDTR") \
    X(LDTR_READ, 0x68, 1, "store of LDTR") \
    X(TR_READ, 0x69, 1, "store of TR") \
    X(IDTR_WRITE, 0x6a, 1, "load of IDTR") \
    X(GDTR_WRITE, 0x6b, 1, "load of GDTR") \
    X(LDTR_WRITE, 0x6c, 1, "load of LDTR") \
    X(TR_WRITE, 0x6d, 1, "load of TR") \
    X(RDTSC, 0x6e, 1, "RDTSC") \
    X(RDPMC, 0x6f, 1, "RDPMC") \
    X(PUSHF, 0x70, 1, "PUSHF") \
    X(POPF, 0x71, 1, "POPF") \
    X(CPUID, 0x72, 1, "CPUID") \
    X(RSM, 0x73, 1, "RSM") \
    X(IRET, 0x74, 1, "IRET") \
    X(SWINT, 0x75, 1, "INTn") \
    X(INVD, 0x76, 1, "INVD") \
    X(PAUSE, 0x77, 1, "PAUSE") \
    X(HLT, 0x78, 1, "HLT") \
    X(INVLPG, 0x79, 1, "INVLPG") \
    X(INVLPGA, 0x7a, 1, "INVLPGA") \
    X(IOIO, 0x7b, 1, "I/O instruction") \
    X(MSR, 0x7c, 1, "RDMSR or WRMSR") \
    X(TASK_SWITCH, 0x7d, 1, "task switch") \
    X(FERR_FREEZE, 0x7e, 1, "FERR freeze") \
    X(SHUTDOWN, 0x7f, 1, "shutdown") \
    X(VMRUN, 0x80, 1, "VMRUN") \
    X(VMMCALL, 0x81, 1, "VMMCALL") \
    X(VMLOAD, 0x82, 1, "VMLOAD") \
    X(VMSAVE, 0x83, 1, "VMSAVE") \
    X(STGI, 0x84, 1, "STGI") \
    X(CLGI, 0x85, 1, "CLGI") \
    X(SKINIT, 0x86, 1, "SKINIT") \
    X(RDTSCP, 0x87, 1, "RDTSCP") \
    X(ICEBP, 0x88, 1, "ICEBP") \
    X(WBINVD, 0x89, 1, "WBINVD") \
    X(MONITOR, 0x8a, 1, "MONITOR") \
    X(MWAIT, 0x8b, 1, "MWAIT") \
    X(MWAIT_ARMED, 0x8c, 1, "MWAIT, armed") \
    X(XSETBV, 0x8d, 1, "XSETBV") \
    X(RDPRU, 0x8e, 1, "RDPRU") \
    X(INVLPGB, 0xa0, 1, "INVLPGB") \
    X(INVPCID, 0xa2, 1, "INVPCID") \
    X(NPF, 0x400, 1, "nested page fault")
/* clang-format on */

enum {
#define X(name, code, count, words) SVM_EXIT_##name = (code),
    SVM_EXITS(X)
#undef X
        SVM_EXIT_INTERCEPTS = 0xc0, /* codes from here on have no intercept bit */
};
#define SVM_EXIT_INVALID (~0ull)

/* EXITINFO1 of I/O; EXITINFO2 is the RIP of the next instruction. */
#define IO_INFO_IN BIT(0)
#define IO_INFO_STRING BIT(2)
#define IO_INFO_REP BIT(3)
#define IO_INFO_SIZE(n) ((u32)(n) << 4) /* n = 1, 2, 4 */
#define IO_INFO_ASIZE(n) ((n) == 2 ? BIT(7) : (n) == 4 ? BIT(8) : BIT(9))
#define IO_INFO_ASIZE_MASK (BIT(7) | BIT(8) | BIT(9))
#define IO_INFO_SEG(s) ((u32)(s) << 10)
#define IO_INFO_SEG_MASK IO_INFO_SEG(7)
#define IO_INFO_PORT(p) ((u32)(p) << 16)
#define IO_INFO_SIZE_OF(info) ((u32)(info) >> 4 & 7)
#define IO_INFO_SEG_OF(info) ((u32)(info) >> 10 & 7)
#define IO_INFO_PORT_OF(info) ((u32)(info) >> 16)

/* EXITINFO1 of CR accesses with decode assists: the instruction was MOV; bits 3:0 are the GPR. */
#define SVM_CR_INFO_MOV BIT64(63)

/* EXITINFO2 of task switches. */
#define SVM_TASK_IRET BIT64(36)
#define SVM_TASK_JMP BIT64(38)
#define SVM_TASK_ERROR BIT64(44)
#define SVM_TASK_RF BIT64(48)

/* EXITINFO1 of nested page faults: a page-fault error code and these. */
#define SVM_NPF_FINAL BIT64(32)
#define SVM_NPF_TABLE BIT64(33)

/* EVENTINJ and EXITINTINFO. */
#define SVM_EVENT_VECTOR(event) ((event)&0xff)
#define SVM_EVENT_TYPE_SHIFT 8
#define SVM_EVENT_TYPE(event) ((event) >> SVM_EVENT_TYPE_SHIFT & 7)
#define SVM_EVENT_INTR 0u
#define SVM_EVENT_NMI 2u
#define SVM_EVENT_EXCEPTION 3u
#define SVM_EVENT_SOFT_INT 4u
#define SVM_EVENT_EV BIT64(11)
#define SVM_EVENT_V BIT64(31)

#endif
