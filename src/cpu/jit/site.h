/*
 * What translated code says about itself to the C functions that it calls: a struct right behind the CALL in its cold
 * part, or a word in rcx. The translator emits them, slow.c and dispatch.c read them.
 */
#ifndef CPU_JIT_SITE_H
#define CPU_JIT_SITE_H

#include "base/types.h"

/* Behind the CALL of slow_mem. */
struct site {
    u8 size;    /* bytes */
    u8 flags;   /* SITE_* */
    u16 offset; /* of the instruction in its page */
    u8 len;
    u8 seg;      /* and SITE_X87, SITE_UNCHECKED */
    u8 mask;     /* SITE_MASKED: opmask register, or 8 + vector register whose sign bits are the mask (VEX) */
    u8 element;  /* bytes of an element; ELEMENT_* */
    u8 elements; /* how many bits of the mask count */
    s32 retry;   /* relative to this struct */
    s32 resume;
    s16 before; /* SITE_GROUP */
    u16 span;
    u16 loans; /* loan.h: those in force here */
} __attribute__((packed));

#define SITE_WRITE BIT(0)
#define SITE_READ BIT(1) /* with WRITE: read-modify-write */
#define SITE_LOCK BIT(2)
#define SITE_STAY BIT(3)   /* the block goes on after the store even if it changed code: it only branches */
#define SITE_MASKED BIT(4) /* only elements that a mask selects are accessed, and may fault */
/* The check was of a window that starts `before` bytes from the address: try it again, or resume at the stub that goes
 * on in a MODE_PLAIN block. */
#define SITE_GROUP BIT(5)
#define SITE_GROUP_WRITE BIT(6)
#define SITE_ALIGNED BIT(7) /* #GP(0) if the address is not a multiple of the size, before any page fault */

/* In seg. */
#define SITE_X87 0x80       /* a pending x87 exception comes before any fault of the access */
#define SITE_UNCHECKED 0x40 /* no alignment check */
#define SITE_SEGMENT 0x3f

#define ELEMENT_PACKED 0x80 /* selected elements lie together (expand, compress) */
#define ELEMENT_WHOLE 0x40  /* the operand is accessed as a whole if any is selected */
#define ELEMENT_BYTES 0x1f

/* Behind the CALL of slow_done. */
struct site_done {
    s32 next; /* relative to this struct */
    u16 offset;
    u8 len;
    u8 flags;
    u16 loans;
} __attribute__((packed));

/* Behind the CALL of slow_segment: r11 is the offset, and becomes the linear address. */
struct site_segment {
    u8 seg, size, access, len;
    u16 offset;
} __attribute__((packed));

#define JUMP_REG_SIZE 2 /* bytes of the JMP RCX behind the CALL of a shared jump; TRANSFER_* follow it */

/*
 * In rcx on the way to exec_lookup, about the branch that asks, in case its target cannot be entered and the branch
 * itself must fault: offset in its page | TRANSFER_* | log2 of its operand size << 14 | bytes that RET releases
 * besides << 16.
 */
#define TRANSFER_JUMP BIT(12)
#define TRANSFER_CALL BIT(13)
#define TRANSFER_RETURN (BIT(12) | BIT(13))
#define TRANSFER_LINKS BIT(31) /* a direct branch with a link to another page, whose number follows */
#define TRANSFER_SIZE_SHIFT 14
#define TRANSFER_RELEASE_SHIFT 16

#endif
