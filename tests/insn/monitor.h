/*
 * The guest side of engine.c: where things are in the guest, and the mailbox through which a case goes in and its
 * outcome comes back. Read by the assembler too.
 */
#ifndef TESTS_INSN_MONITOR_H
#define TESTS_INSN_MONITOR_H

#define HIGH 0xffffffff80000000 /* where CPL 0 has guest-physical 0 to 4 MiB */
#define GUEST_GDT 0x5000
#define GUEST_TSS 0x6000
#define GUEST_IDT 0x7000
#define GUEST_PAGING 0x8000
#define GUEST_MONITOR 0x10000
#define GUEST_BOX 0x20000
#define GUEST_STACK_TOP 0x40000
#define GUEST_CODE 0x200000
#define GUEST_MEMORY 0x210000
#define GUEST_SIZE 0x400000

#define MONITOR_PORT 0xf0
#define STUB_SIZE 16

#define BOX_GPR 0x00
#define BOX_FRAME 0x80 /* RIP, CS, RFLAGS, RSP, SS as IRET pops them */
#define BOX_FS 0xa8
#define BOX_GS 0xb0
#define BOX_VECTOR 0xb8
#define BOX_ERROR 0xc0
#define BOX_CR2 0xc8
#define BOX_GO 0xd0
#define BOX_FEATURES 0xd8 /* in: XCR0 wanted; out: what there is */
#define BOX_OFFSETS 0xe0
#define BOX_CODE_TO 0x100
#define BOX_CODE_LEN 0x108
#define BOX_OLD_TO 0x110
#define BOX_OLD_LEN 0x118
#define BOX_COLD 0x140 /* not 0: empty the TLB first */
#define BOX_GDTR 0x120
#define BOX_IDTR 0x130
#define BOX_CODE 0x200
#define BOX_XSAVE 0x400

#endif
