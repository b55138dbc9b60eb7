/*
 * SVM exit codes and the layout of EXITINFO1/2 and EXITINTINFO.
 * Source: AMD APM volume 2, appendix "SVM Intercept Exit Codes", and "Secure Virtual Machine".
 */
#ifndef X86_SVM_EXIT_H
#define X86_SVM_EXIT_H

#include "base/types.h"

/* Codes below SVM_EXIT_INTERCEPTS number the bits of the intercept vectors in order: code / 32 is the word. */
/* clang-format off */
enum {
    SVM_EXIT_READ_CR0     = 0x00, /* + CR number */
    SVM_EXIT_WRITE_CR0    = 0x10,
    SVM_EXIT_READ_DR0     = 0x20, /* + DR number */
    SVM_EXIT_WRITE_DR0    = 0x30,
    SVM_EXIT_EXCP         = 0x40, /* + vector */
    SVM_EXIT_INTR         = 0x60,
    SVM_EXIT_NMI          = 0x61,
    SVM_EXIT_SMI          = 0x62,
    SVM_EXIT_INIT         = 0x63,
    SVM_EXIT_VINTR        = 0x64,
    SVM_EXIT_CR0_SEL_WRITE= 0x65,
    SVM_EXIT_IDTR_READ    = 0x66,
    SVM_EXIT_GDTR_READ    = 0x67,
    SVM_EXIT_LDTR_READ    = 0x68,
    SVM_EXIT_TR_READ      = 0x69,
    SVM_EXIT_IDTR_WRITE   = 0x6a,
    SVM_EXIT_GDTR_WRITE   = 0x6b,
    SVM_EXIT_LDTR_WRITE   = 0x6c,
    SVM_EXIT_TR_WRITE     = 0x6d,
    SVM_EXIT_RDTSC        = 0x6e,
    SVM_EXIT_RDPMC        = 0x6f,
    SVM_EXIT_PUSHF        = 0x70,
    SVM_EXIT_POPF         = 0x71,
    SVM_EXIT_CPUID        = 0x72,
    SVM_EXIT_RSM          = 0x73,
    SVM_EXIT_IRET         = 0x74,
    SVM_EXIT_SWINT        = 0x75,
    SVM_EXIT_INVD         = 0x76,
    SVM_EXIT_PAUSE        = 0x77,
    SVM_EXIT_HLT          = 0x78,
    SVM_EXIT_INVLPG       = 0x79,
    SVM_EXIT_INVLPGA      = 0x7a,
    SVM_EXIT_IOIO         = 0x7b,
    SVM_EXIT_MSR          = 0x7c,
    SVM_EXIT_TASK_SWITCH  = 0x7d,
    SVM_EXIT_FERR_FREEZE  = 0x7e,
    SVM_EXIT_SHUTDOWN     = 0x7f,
    SVM_EXIT_VMRUN        = 0x80,
    SVM_EXIT_VMMCALL      = 0x81,
    SVM_EXIT_VMLOAD       = 0x82,
    SVM_EXIT_VMSAVE       = 0x83,
    SVM_EXIT_STGI         = 0x84,
    SVM_EXIT_CLGI         = 0x85,
    SVM_EXIT_SKINIT       = 0x86,
    SVM_EXIT_RDTSCP       = 0x87,
    SVM_EXIT_ICEBP        = 0x88,
    SVM_EXIT_WBINVD       = 0x89,
    SVM_EXIT_MONITOR      = 0x8a,
    SVM_EXIT_MWAIT        = 0x8b,
    SVM_EXIT_MWAIT_ARMED  = 0x8c,
    SVM_EXIT_XSETBV       = 0x8d,
    SVM_EXIT_RDPRU        = 0x8e,
    SVM_EXIT_INVLPGB      = 0xa0,
    SVM_EXIT_INVPCID      = 0xa2,
    SVM_EXIT_INTERCEPTS   = 0xc0, /* codes from here on have no intercept bit */
    SVM_EXIT_NPF          = 0x400,
};
/* clang-format on */
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
