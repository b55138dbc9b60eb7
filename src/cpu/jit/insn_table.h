/*
 * The instruction table: for each mnemonic, what becomes of the instruction and everything that a stage of the
 * translator must know of it beyond what Zydis says. A mnemonic without a row is copied. classify.c adds the traits
 * that follow from Zydis' attributes; behind it nothing asks for a mnemonic.
 */
#ifndef CPU_JIT_INSN_TABLE_H
#define CPU_JIT_INSN_TABLE_H

#include <Zydis/Zydis.h>

#include "cpu/core/insn.h"

enum insn_class {
    CLASS_COPY, /* the host executes it, with other registers and another memory operand: rewrite.c */
    CLASS_CALL, /* a handler of ops.h executes it */
    CLASS_NOP,  /* nothing; legal whatever the VM's CPUID shows */
    /* address.c */
    CLASS_LEA,
    CLASS_XLAT,
    CLASS_BIT, /* BT and its kin, whose register operand moves the address */
    /* stack.c */
    CLASS_PUSH,
    CLASS_POP,
    CLASS_LEAVE,
    /* branch.c; see class_branches */
    CLASS_JCC,
    CLASS_JRCXZ, /* JCXZ and JECXZ, too */
    CLASS_LOOP,
    CLASS_JUMP,
    CLASS_CALL_NEAR,
    CLASS_RETURN,
};

static inline bool class_branches(enum insn_class class)
{
    return class >= CLASS_JCC;
}

/* The part of the CPU that must be usable. If it is not, classify.c makes the instruction a call of the handler that
 * raises the right exception. */
enum insn_unit {
    UNIT_BY_OPERANDS, /* the operands' registers and the encoding decide */
    UNIT_UNCHECKED,   /* none, or the handler checks it */
    UNIT_VECTOR,      /* SSE, AVX or AVX-512 by the encoding, though no operand is a vector */
    UNIT_X87,         /* FISTTP, too, which Zydis counts to SSE3 */
    UNIT_MMX,
    UNIT_FWAIT, /* x87, but #NM depends on CR0.MP and CR0.TS */
    /* What UNIT_BY_OPERANDS and UNIT_VECTOR become: */
    UNIT_SSE,
    UNIT_SSE_MMX, /* operands of both */
    UNIT_AVX,
    UNIT_AVX512,
    UNIT_COUNT,
};

/* Called instructions that are brief in some modes: brief.c. */
enum brief_kind {
    BRIEF_NONE,
    BRIEF_CLAC,
    BRIEF_CLD,
    BRIEF_CLI,
    BRIEF_CONTROL, /* MOV from a control register */
    BRIEF_MOVS,
    BRIEF_PUSHF,
    BRIEF_RDFSBASE,
    BRIEF_RDGSBASE,
    BRIEF_RDPKRU,
    BRIEF_RDTSC,
    BRIEF_RDTSCP,
    BRIEF_SELECTOR, /* MOV from a segment register */
    BRIEF_STAC,
    BRIEF_STI,
    BRIEF_STOS,
    BRIEF_SWAPGS,
    BRIEF_SYSCALL,
    BRIEF_SYSRET,
    BRIEF_WRFSBASE,
    BRIEF_WRGSBASE,
    BRIEF_COUNT
};

/* Traits. Those marked (+) classify.c adds where Zydis' attributes say so. */
enum {
    /* Control flow. */
    INSN_ENDS = BIT(0),       /* nothing behind it in the block runs: control goes elsewhere, or to the dispatcher */
    INSN_CALL_IN_L2 = BIT(1), /* called in L2, whose hypervisor may intercept it; copied in L1 */
    INSN_WHILE_Z = BIT(2),    /* LOOPE */
    INSN_WHILE_NZ = BIT(3),   /* LOOPNE */
    /* A CPU that lacks it executes what the opcode is without its prefix: BSF, BSR. */
    INSN_PREFIX_IGNORED = BIT(4),

    /* Registers. */
    INSN_PURE = BIT(5), /* integer arithmetic: between registers it neither faults nor exits */
    /* May leave its destination as it was, though Zydis has it written only: AMD's BSF and BSR do if the source is 0.
     */
    INSN_KEEPS_DEST = BIT(6),
    INSN_ADDS = BIT(7),      /* adds its immediate to its first operand */
    INSN_SUBTRACTS = BIT(8), /* subtracts its immediate from its first operand */
    INSN_BY_ONE = BIT(9),    /* with one of these two: adds or subtracts 1, and has no immediate */

    /* The memory operand. */
    INSN_LOCKS = BIT(10),            /* locked without a prefix if it is written */
    INSN_LINE = BIT(11),             /* names a cache line; needs the access rights of a load of one byte */
    INSN_SOURCE_OSZ = BIT(12),       /* reads as many bytes as the operand size says; Zydis 4.0 says four */
    INSN_ALIGNED = BIT(13),          /* (+) #GP if not aligned: operands of 16 bytes and more */
    INSN_UNALIGNED = BIT(14),        /* may be unaligned, though the encoding is that of legacy SSE */
    INSN_UNALIGNED_ON_AMD = BIT(15), /* may be unaligned on AMD hosts */

    /* x87. */
    INSN_X87 = BIT(16),         /* (+) an instruction of the x87 FPU: an unmasked exception stores nothing */
    INSN_X87_WAITS = BIT(17),   /* (+) looks for a pending x87 exception first */
    INSN_X87_NO_WAIT = BIT(18), /* an instruction of the x87 FPU that does not look for one */

    /* Masks of memory operands. */
    INSN_MASK_SIGNS32 = BIT(19),   /* VEX: the sign bits of a vector select elements of four bytes */
    INSN_MASK_SIGNS64 = BIT(20),   /* the same for elements of eight bytes */
    INSN_MASK_SCALAR = BIT(21),    /* EVEX: one mask bit for the whole operand */
    INSN_MASK_PAIRS = BIT(22),     /* complex FP16: a mask bit for a pair, where Zydis' elements are its halves */
    INSN_MASK_BYTES = BIT(23),     /* a mask bit for each byte of the vector, whatever the operand's elements */
    INSN_SUPPRESSES = BIT(24),     /* (+) elements in memory that the EVEX mask leaves out do not fault */
    INSN_NO_SUPPRESSION = BIT(25), /* they do fault, though Zydis puts it into such an exception class */
    /* With VEX not subject to alignment checks on Intel hosts; classify.c takes it away elsewhere. */
    INSN_UNCHECKED = BIT(26),
    INSN_ANY_CPU = BIT(27), /* its handler decides whether the CPU has it: hypercalls of the other vendor */
};

/* Conditions under which a form of an instruction is called, though other forms are not. */
enum {
    FORM_ANY = 0,
    FORM_MEMORY = BIT(0),    /* its r/m operand is in memory */
    FORM_SEGMENTED = BIT(1), /* outside flat modes */
    FORM_FAR = BIT(2),       /* ModRM.reg is 3 or 5: a far pointer in memory */
};

struct insn_form {
    u8 map, first, last; /* opcodes, both included */
    u8 when;             /* FORM_*: all of them */
    bool ends;
    insn_fn fn; /* NULL: the end of the list */
    u8 brief;   /* enum brief_kind */
};

struct insn_row {
    u8 class;                      /* enum insn_class */
    insn_fn fn;                    /* CLASS_CALL, INSN_CALL_IN_L2 */
    u32 traits;                    /* INSN_* */
    const struct insn_form *forms; /* NULL, or those that are called */
    u8 unit;                       /* enum insn_unit */
    u8 brief;                      /* enum brief_kind, of CLASS_CALL */
};

/* By ZydisMnemonic. */
extern const struct insn_row insn_table[ZYDIS_MNEMONIC_MAX_VALUE + 1];

#endif
