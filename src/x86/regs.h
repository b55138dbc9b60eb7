/*
 * x86 register facts: general registers, RFLAGS, control and debug registers, segments, exceptions.
 * Source: Intel SDM volume 3A, "System Architecture Overview" and "Interrupt and Exception Handling".
 */
#ifndef X86_REGS_H
#define X86_REGS_H

#include "base/types.h"

enum gpr { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, GPR_COUNT };

/* Segment registers in the order of their encoding in ModRM.reg; LDTR and TR follow. */
enum seg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT };

#define FLAG_CF BIT64(0)
#define FLAG_ONE BIT64(1) /* always set */
#define FLAG_PF BIT64(2)
#define FLAG_AF BIT64(4)
#define FLAG_ZF BIT64(6)
#define FLAG_SF BIT64(7)
#define FLAG_TF BIT64(8)
#define FLAG_IF BIT64(9)
#define FLAG_DF BIT64(10)
#define FLAG_OF BIT64(11)
#define FLAG_IOPL (3ull << 12)
#define FLAG_IOPL_SHIFT 12
#define FLAG_NT BIT64(14)
#define FLAG_RF BIT64(16)
#define FLAG_VM BIT64(17)
#define FLAG_AC BIT64(18)
#define FLAG_VIF BIT64(19)
#define FLAG_VIP BIT64(20)
#define FLAG_ID BIT64(21)
#define FLAGS_ARITH (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)
/* Every bit that software can set. */
#define FLAGS_DEFINED                                                                                                  \
    (FLAGS_ARITH | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_RF | FLAG_VM | FLAG_AC | FLAG_VIF |        \
     FLAG_VIP | FLAG_ID)

#define CR0_PE BIT64(0)
#define CR0_MP BIT64(1)
#define CR0_EM BIT64(2)
#define CR0_TS BIT64(3)
#define CR0_ET BIT64(4)
#define CR0_NE BIT64(5)
#define CR0_WP BIT64(16)
#define CR0_AM BIT64(18)
#define CR0_NW BIT64(29)
#define CR0_CD BIT64(30)
#define CR0_PG BIT64(31)
#define CR0_DEFINED (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)

#define CR3_PWT BIT64(3)
#define CR3_PCD BIT64(4)
#define CR3_PCID_MASK 0xfffull
#define CR3_PAE_ADDRESS 0xffffffe0ull /* of the four PDPTEs */
#define CR3_NOFLUSH BIT64(63)

#define CR4_VME BIT64(0)
#define CR4_PVI BIT64(1)
#define CR4_TSD BIT64(2)
#define CR4_DE BIT64(3)
#define CR4_PSE BIT64(4)
#define CR4_PAE BIT64(5)
#define CR4_MCE BIT64(6)
#define CR4_PGE BIT64(7)
#define CR4_PCE BIT64(8)
#define CR4_OSFXSR BIT64(9)
#define CR4_OSXMMEXCPT BIT64(10)
#define CR4_UMIP BIT64(11)
#define CR4_LA57 BIT64(12)
#define CR4_VMXE BIT64(13)
#define CR4_SMXE BIT64(14)
#define CR4_FSGSBASE BIT64(16)
#define CR4_PCIDE BIT64(17)
#define CR4_OSXSAVE BIT64(18)
#define CR4_SMEP BIT64(20)
#define CR4_SMAP BIT64(21)
#define CR4_PKE BIT64(22)
#define CR4_CET BIT64(23)
#define CR4_PKS BIT64(24)

#define EFER_SCE BIT64(0)
#define EFER_LME BIT64(8)
#define EFER_LMA BIT64(10)
#define EFER_NXE BIT64(11)
#define EFER_SVME BIT64(12)
#define EFER_LMSLE BIT64(13)
#define EFER_FFXSR BIT64(14)
#define EFER_TCE BIT64(15)

#define XCR0_X87 BIT64(0)
#define XCR0_SSE BIT64(1)
#define XCR0_AVX BIT64(2)
#define XCR0_OPMASK BIT64(5)
#define XCR0_ZMM_HI256 BIT64(6)
#define XCR0_HI16_ZMM BIT64(7)
#define XCR0_AVX512 (XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM)
#define XCR0_PKRU BIT64(9)

#define DR6_FIXED 0xffff0ff0ull
#define DR6_B_MASK 0xfull /* B0 to B3 */
#define DR6_BD BIT64(13)
#define DR6_BS BIT64(14)
#define DR6_BT BIT64(15)
#define DR6_RTM BIT64(16)
#define DR6_WRITABLE (DR6_B_MASK | DR6_BD | DR6_BS | DR6_BT)
#define DR7_FIXED BIT64(10)
#define DR7_ZERO (BIT64(12) | BIT64(14) | BIT64(15)) /* read as zeros */
#define DR7_ENABLED 0xffull                          /* L0 to G3 */
#define DR7_LOCAL 0x155ull                           /* L0 to L3, LE */
#define DR7_RTM BIT64(11)
#define DR7_GD BIT64(13)
/* Breakpoint i: its enable bits (local, global), what it waits for, its length (0 to 3: 1, 2, 8, 4 bytes). */
#define DR7_ENABLES(dr7, i) ((dr7) >> (2 * (i)) & 3)
#define DR7_KIND(dr7, i) ((dr7) >> (16 + 4 * (i)) & 3)
#define DR7_LENGTH(dr7, i) ((dr7) >> (18 + 4 * (i)) & 3)
enum { DR7_EXECUTE, DR7_WRITE, DR7_IO, DR7_ACCESS };

/* Exception vectors. */
enum {
    EXC_DE = 0,
    EXC_DB = 1,
    EXC_NMI = 2,
    EXC_BP = 3,
    EXC_OF = 4,
    EXC_BR = 5,
    EXC_UD = 6,
    EXC_NM = 7,
    EXC_DF = 8,
    EXC_TS = 10,
    EXC_NP = 11,
    EXC_SS = 12,
    EXC_GP = 13,
    EXC_PF = 14,
    EXC_MF = 16,
    EXC_AC = 17,
    EXC_MC = 18,
    EXC_XM = 19,
    EXC_VE = 20,
    EXC_CP = 21,
    EXC_HV = 28,
    EXC_VC = 29,
    EXC_SX = 30,
    EXC_COUNT = 32, /* vectors from here on are interrupts */
};

/* Error codes that hold a selector, or 8 times the vector. */
#define ERROR_EXT BIT(0) /* on the way to the handler of something that the program did not ask for */
#define ERROR_IDT BIT(1) /* it is a vector */

/* Page-fault error code. */
#define PFERR_P BIT(0)
#define PFERR_W BIT(1)
#define PFERR_U BIT(2)
#define PFERR_RSVD BIT(3)
#define PFERR_I BIT(4)
#define PFERR_PK BIT(5)

/*
 * Segment attributes in the layout of the VMCS access-rights fields (SDM "Format of Access Rights").
 * SVM's 12-bit form is converted at VMRUN and #VMEXIT.
 */
#define SEG_TYPE_MASK 0xfu
#define SEG_TYPE_ACCESSED BIT(0)
#define SEG_TYPE_WRITE BIT(1)  /* data: writable; code: readable */
#define SEG_TYPE_EXPAND BIT(2) /* data: expand-down; code: conforming */
#define SEG_TYPE_CODE BIT(3)
#define SEG_S BIT(4)
#define SEG_DPL_SHIFT 5
#define SEG_DPL_MASK (3u << SEG_DPL_SHIFT)
#define SEG_P BIT(7)
#define SEG_AVL BIT(12)
#define SEG_L BIT(13)
#define SEG_DB BIT(14)
#define SEG_G BIT(15)
#define SEG_UNUSABLE BIT(16)

/* The 32-bit and the 64-bit TSS. */
#define TSS_IO_MAP_BASE 0x66u /* offset of the I/O map's offset */
#define TSS_LIMIT_LEAST 0x67u /* of a TSS without an I/O map */
#define SYS_TYPE_BUSY BIT(1)  /* set in a busy TSS, clear in one that is available */

struct segment {
    u64 base;
    u32 limit; /* in bytes, granularity applied */
    u32 attr;  /* SEG_* */
    u16 sel;
};

struct desc_table {
    u64 base;
    u16 limit;
};

/* System segment and gate types. */
enum {
    SYS_TSS16_AVAIL = 1,
    SYS_LDT = 2,
    SYS_TSS16_BUSY = 3,
    SYS_CALL_GATE16 = 4,
    SYS_TASK_GATE = 5,
    SYS_INT_GATE16 = 6,
    SYS_TRAP_GATE16 = 7,
    SYS_TSS_AVAIL = 9,
    SYS_TSS_BUSY = 11,
    SYS_CALL_GATE = 12,
    SYS_INT_GATE = 14,
    SYS_TRAP_GATE = 15,
};

#endif
