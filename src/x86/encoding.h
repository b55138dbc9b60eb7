/*
 * Bytes of instructions: prefixes, escapes, REX, VEX, EVEX.
 * Source: Intel SDM volume 2A, "Instruction Format".
 */
#ifndef X86_ENCODING_H
#define X86_ENCODING_H

enum {
    BYTE_ESCAPE = 0x0f, /* map 1 */
    BYTE_SEG_ES = 0x26,
    BYTE_SEG_CS = 0x2e,
    BYTE_SEG_SS = 0x36,
    BYTE_ESCAPE_38 = 0x38,
    BYTE_ESCAPE_3A = 0x3a,
    BYTE_SEG_DS = 0x3e,
    BYTE_REX = 0x40, /* to 4f */
    BYTE_EVEX = 0x62,
    BYTE_SEG_FS = 0x64,
    BYTE_SEG_GS = 0x65,
    BYTE_OPERAND_SIZE = 0x66,
    BYTE_ADDRESS_SIZE = 0x67,
    BYTE_VEX3 = 0xc4,
    BYTE_LOCK = 0xf0,
    BYTE_REPNE = 0xf2,
    BYTE_REP = 0xf3,
};

/* Bits of a REX prefix. */
enum { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8 };

/* ModRM.rm with a SIB byte behind it, and what in SIB.index and (with mod 0) SIB.base is no register. */
enum { MODRM_SIB = 4, SIB_NO_INDEX = 4, SIB_NO_BASE = 5 };

/* Second byte of a three-byte VEX prefix, and of EVEX. The bits of register numbers are inverted. */
enum { VEX_MAP = 0x1f, EVEX_MAP = 0x0f, VEX_NOT_B = 0x20, VEX_NOT_X = 0x40, VEX_NOT_R = 0x80 };
/* Third byte: W, inverted vvvv, L, and the prefix that the instruction would have without VEX. */
enum { VEX_PP = 0x03, VEX_L = 0x04, VEX_VVVV = 0x78, VEX_VVVV_SHIFT = 3, VEX_W = 0x80 };
enum { VEX_PP_66 = 1, VEX_PP_F3 = 2, VEX_PP_F2 = 3 };
/* EVEX: the fifth bits of register numbers, second and fourth byte, inverted; the mask, fourth byte. */
enum { EVEX_NOT_R2 = 0x10, EVEX_NOT_V2 = 0x08, EVEX_MASK = 0x07, EVEX_ZERO = 0x80 };

#endif
