/*
 * The reset ROM: one page at the top of 4 GiB and its copy below 1 MiB. A boot processor that gets INIT, or a guest
 * that jumps to FFFF:0000, comes here: the shutdown code in CMOS says how to go on by what is at 40:67, as PC firmware
 * has done since the PC/AT. Code 5 jumps there, after an end of interrupt to both 8259s; 0Ah jumps there; 0Bh and 0Ch
 * do IRET and RETF from a stack there. With any other code the machine is reset.
 */
#include "machine/rom.h"

#include "machine/devices.h"

#include <string.h>

/* Within the page. */
#define ROM_VECTOR 0xff0
#define ROM_INTERRUPT 0x100
#define ROM_SEGMENT 0xf000 /* in which the copy is the last page */
#define ROM_OFFSET ((u16)LAYOUT_TABLES_END)

#define INTERRUPTS 256

/* The BIOS data area. */
#define BDA 0x400u
#define BDA_SIZE 0x100
#define BDA_COM1 0x00
#define BDA_EBDA_SEGMENT 0x0e
#define BDA_MEMORY_KIB 0x13

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
_Static_assert(sizeof(code) <= ROM_INTERRUPT, "the code ends before that of interrupts");

/* Every interrupt of real mode comes here. There are no BIOS services, which callers learn by the carry flag. */
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

static void put16(u8 *at, u16 value)
{
    memcpy(at, &value, sizeof(value));
}

void rom_write(const struct layout *layout)
{
    memset(layout->rom, 0xff, PAGE_SIZE);
    memcpy(layout->rom, code, sizeof(code));
    memcpy(layout->rom + ROM_INTERRUPT, interrupt, sizeof(interrupt));
    memcpy(layout->rom + ROM_VECTOR, vector, sizeof(vector));
    u8 *copy = ram_pointer(layout->ram, GPA(LAYOUT_TABLES_END), PAGE_SIZE);
    u8 *bda = ram_pointer(layout->ram, GPA(BDA), BDA_SIZE);
    u32 *ivt = ram_pointer(layout->ram, GPA(0), INTERRUPTS * sizeof(u32));
    if (!copy || !bda || !ivt)
        return;
    memcpy(copy, layout->rom, PAGE_SIZE);
    for (u32 i = 0; i < INTERRUPTS; i++)
        ivt[i] = (u32)ROM_SEGMENT << 16 | (ROM_OFFSET + ROM_INTERRUPT);
    memset(bda, 0, BDA_SIZE);
    put16(bda + BDA_COM1, PORT_COM1);
    put16(bda + BDA_EBDA_SEGMENT, LAYOUT_EBDA >> 4);
    put16(bda + BDA_MEMORY_KIB, LAYOUT_EBDA >> 10);
}
