/*
 * One page at the top of 4 GiB and its copy at 0xff000. A boot processor that gets INIT, or a guest that jumps to
 * FFFF:0000, comes here: the shutdown code in CMOS 0x0f says how to go on by what is at 40:67, as PC firmware has done
 * since the PC/AT. 5: jump there, after an end of interrupt to both 8259s; 0x0a: jump there; 0x0b and 0x0c: IRET and
 * RETF from a stack there. With any other code the machine is reset.
 */
#include "machine/rom.h"

#include <string.h>

#define ROM_COPY 0xff000ull
#define ROM_VECTOR 0xff0
#define ROM_INTERRUPT 0x100
#define INTERRUPTS 256
#define BDA_EBDA_SEGMENT 0x40eull
#define BDA_MEMORY_KIB 0x413ull

/* clang-format off */
static const u8 code[] = {
    0xfa,                         /*     cli */
    0xb0, 0x8f,                   /*     mov al, 0x8f */
    0xe6, 0x70,                   /*     out 0x70, al */
    0xe4, 0x71,                   /*     in al, 0x71 */
    0x88, 0xc3,                   /*     mov bl, al */
    0xb0, 0x8f,                   /*     mov al, 0x8f */
    0xe6, 0x70,                   /*     out 0x70, al */
    0x31, 0xc0,                   /*     xor ax, ax */
    0xe6, 0x71,                   /*     out 0x71, al */
    0x8e, 0xd8,                   /*     mov ds, ax */
    0x80, 0xfb, 0x05,             /*     cmp bl, 5 */
    0x75, 0x08,                   /*     jne 1f */
    0xb0, 0x20,                   /*     mov al, 0x20 */
    0xe6, 0xa0,                   /*     out 0xa0, al */
    0xe6, 0x20,                   /*     out 0x20, al */
    0xeb, 0x05,                   /*     jmp 2f */
    0x80, 0xfb, 0x0a,             /* 1:  cmp bl, 0x0a */
    0x75, 0x04,                   /*     jne 3f */
    0xff, 0x2e, 0x67, 0x04,       /* 2:  jmp far [0x467] */
    0x80, 0xfb, 0x0b,             /* 3:  cmp bl, 0x0b */
    0x75, 0x06,                   /*     jne 4f */
    0x0f, 0xb2, 0x26, 0x67, 0x04, /*     lss sp, [0x467] */
    0xcf,                         /*     iret */
    0x80, 0xfb, 0x0c,             /* 4:  cmp bl, 0x0c */
    0x75, 0x06,                   /*     jne 5f */
    0x0f, 0xb2, 0x26, 0x67, 0x04, /*     lss sp, [0x467] */
    0xcb,                         /*     retf */
    0xba, 0xf9, 0x0c,             /* 5:  mov dx, 0xcf9 */
    0xb0, 0x02,                   /*     mov al, 2 */
    0xee,                         /*     out dx, al */
    0xb0, 0x06,                   /*     mov al, 6 */
    0xee,                         /*     out dx, al */
    0xf4,                         /* 6:  hlt */
    0xeb, 0xfd,                   /*     jmp 6b */
};
_Static_assert(sizeof(code) <= ROM_INTERRUPT, "the next code of the page");

/* Every interrupt of real mode: no BIOS services, and callers learn so by the carry flag. */
static const u8 interrupt[] = {
    0x55,                   /*     push bp */
    0x89, 0xe5,             /*     mov bp, sp */
    0x80, 0x4e, 0x06, 0x01, /*     or byte [bp + 6], 1 */
    0x5d,                   /*     pop bp */
    0xcf,                   /*     iret */
};
/* clang-format on */

static const u8 vector[] = {
    0xea, 0x00, 0xf0, 0x00, 0xf0,                            /* jmp f000:f000 */
    '0',  '1',  '/',  '0',  '1',  '/', '2', '6', 0x00, 0xfc, /* date; model: PC/AT */
};

void rom_write(const struct memory *m)
{
    memset(m->rom, 0xff, PAGE_SIZE);
    memcpy(m->rom, code, sizeof(code));
    memcpy(m->rom + ROM_INTERRUPT, interrupt, sizeof(interrupt));
    memcpy(m->rom + ROM_VECTOR, vector, sizeof(vector));
    u8 *copy = memory_at(m, ROM_COPY, PAGE_SIZE), *bda = memory_at(m, 0x400, 0x100);
    u32 *ivt = memory_at(m, 0, INTERRUPTS * 4);
    if (!copy || !bda || !ivt)
        return;
    memcpy(copy, m->rom, PAGE_SIZE);
    for (u32 i = 0; i < INTERRUPTS; i++)
        ivt[i] = 0xf000u << 16 | (0xf000 + ROM_INTERRUPT);
    memset(bda, 0, 0x100);
    memcpy(bda + (BDA_EBDA_SEGMENT - 0x400), &(u16){MEMORY_EBDA >> 4}, 2);
    memcpy(bda + (BDA_MEMORY_KIB - 0x400), &(u16){MEMORY_EBDA >> 10}, 2);
    memcpy(bda, &(u16){0x3f8}, 2); /* COM1 */
}
