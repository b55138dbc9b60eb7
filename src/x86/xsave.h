/*
 * The layout of FXSAVE images (64-bit form) and of the areas of the XSAVE feature set that begin with one; the values
 * that x87 and SSE registers start with.
 * Source: Intel SDM volume 1, "Managing State Using the XSAVE Feature Set"; volume 2, "FXSAVE".
 */
#ifndef X86_XSAVE_H
#define X86_XSAVE_H

#include "base/types.h"

/* Offsets in the legacy region. */
#define FXSAVE_FCW 0
#define FXSAVE_FSW 2
#define FXSAVE_FTW 4 /* abridged: one bit for each register that is in use */
#define FXSAVE_FIP 8
#define FXSAVE_FDP 16
#define FXSAVE_MXCSR 24
#define FXSAVE_MXCSR_MASK 28
#define FXSAVE_ST 32 /* eight of 16 bytes */
#define FXSAVE_ST_SIZE 128
#define FXSAVE_XMM 160
#define FXSAVE_XMM_SIZE 256
#define XSTATE_LEGACY_SIZE 512

/* The header behind it. */
#define XSTATE_BV 512
#define XCOMP_BV 520
#define XCOMP_COMPACTED BIT64(63)
#define XSTATE_HEADER_SIZE 64

/* State components: the numbers of their bits in XCR0. */
enum {
    XSTATE_X87 = 0,
    XSTATE_SSE = 1,
    XSTATE_AVX = 2,
    XSTATE_OPMASK = 5,
    XSTATE_ZMM_HI256 = 6,
    XSTATE_HI16_ZMM = 7,
    XSTATE_PKRU = 9,
};

#define FCW_RESET 0x0040u
#define FCW_INIT 0x037fu
#define FSW_IE BIT(0)    /* invalid operation; the same bit of FCW masks it */
#define FSW_ERRORS 0x3fu /* the six exceptions */
#define FSW_ES BIT(7)    /* an unmasked exception is pending */
#define FSW_B BIT(15)    /* equal to ES */
#define MXCSR_RESET 0x1f80u

#endif
