/*
 * Runs in the guest at CPL 0: takes a case from the mailbox, installs its code, loads every register, and goes there by
 * IRET. Whatever exception ends the case comes back here; all registers go to the mailbox. Position-independent: copied
 * to GUEST_MONITOR, with the mailbox at a fixed distance.
 */
#include "tests/insn/monitor.h"

        .section .rodata
        .balign 4096
        .globl monitor_start, monitor_stubs, monitor_end
monitor_start:
        .set box, monitor_start + (GUEST_BOX - GUEST_MONITOR)
        lgdt box + BOX_GDTR(%rip)
        lidt box + BOX_IDTR(%rip)
        mov $0x18, %eax
        mov %eax, %ss
        xor %eax, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %fs
        mov %eax, %gs
        mov $0x40, %eax
        ltr %ax
        mov $0xc0000080, %ecx           # EFER.NXE
        rdmsr
        or $0x800, %eax
        wrmsr
        mov $0x80050033, %eax           # PG AM WP NE ET MP PE
        mov %rax, %cr0
        mov $0x506a0, %eax              # OSXSAVE FSGSBASE OSXMMEXCPT OSFXSR PGE PAE
        mov %rax, %cr4
        mov %cr3, %rax
        mov %rax, %cr3
        mov $0xd, %eax
        xor %ecx, %ecx
        cpuid
        and box + BOX_FEATURES(%rip), %eax
        mov %rax, box + BOX_FEATURES(%rip)
        xor %edx, %edx
        xor %ecx, %ecx
        xsetbv
        mov $7, %esi
        lea box + BOX_OFFSETS(%rip), %rdi
1:      mov $0xd, %eax
        mov %esi, %ecx
        cpuid
        mov %ebx, (%rdi, %rsi, 4)
        dec %esi
        cmp $1, %esi
        jne 1b

next:
        out %al, $MONITOR_PORT
1:      pause
        cmpq $0, box + BOX_GO(%rip)
        je 1b
        movq $0, box + BOX_GO(%rip)
        cld
        mov box + BOX_OLD_TO(%rip), %rdi
        mov box + BOX_OLD_LEN(%rip), %rcx
        mov $0xcc, %eax
        rep stosb
        mov box + BOX_CODE_TO(%rip), %rdi
        mov box + BOX_CODE_LEN(%rip), %rcx
        mov %rdi, box + BOX_OLD_TO(%rip)
        mov %rcx, box + BOX_OLD_LEN(%rip)
        lea box + BOX_CODE(%rip), %rsi
        rep movsb
        cmpq $0, box + BOX_COLD(%rip)
        je 1f
        mov %cr3, %rax
        mov %rax, %cr3
1:      mov box + BOX_FEATURES(%rip), %rax
        xor %edx, %edx
        xrstor64 box + BOX_XSAVE(%rip)
        mov box + BOX_FS(%rip), %rax
        wrfsbase %rax
        mov box + BOX_GS(%rip), %rax
        wrgsbase %rax
        .macro each op
        \op %rax, 0
        \op %rcx, 1
        \op %rdx, 2
        \op %rbx, 3
        \op %rbp, 5
        \op %rsi, 6
        \op %rdi, 7
        \op %r8, 8
        \op %r9, 9
        \op %r10, 10
        \op %r11, 11
        \op %r12, 12
        \op %r13, 13
        \op %r14, 14
        \op %r15, 15
        .endm
        .macro load reg, n
        mov box + BOX_GPR + 8 * \n(%rip), \reg
        .endm
        .macro store reg, n
        mov \reg, box + BOX_GPR + 8 * \n(%rip)
        .endm
        each load
        lea box + BOX_FRAME(%rip), %rsp
        iretq

ended:                                  # stack: vector, error code, IRET frame
        each store
        popq box + BOX_VECTOR(%rip)
        popq box + BOX_ERROR(%rip)
        popq box + BOX_FRAME + 0(%rip)
        popq box + BOX_FRAME + 8(%rip)
        popq box + BOX_FRAME + 16(%rip)
        popq box + BOX_FRAME + 24(%rip)
        popq box + BOX_FRAME + 32(%rip)
        mov %cr2, %rax
        mov %rax, box + BOX_CR2(%rip)
        rdfsbase %rax
        mov %rax, box + BOX_FS(%rip)
        rdgsbase %rax
        mov %rax, box + BOX_GS(%rip)
        mov $-1, %eax
        mov $-1, %edx
        xsave64 box + BOX_XSAVE(%rip)
        jmp next

        .balign STUB_SIZE
monitor_stubs:
        .set vector, 0
        .rept 32
        .balign STUB_SIZE
        .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || \
              vector == 30)
        push $0
        .endif
        push $vector
        jmp ended
        .set vector, vector + 1
        .endr
monitor_end:
        .section .note.GNU-stack, "", @progbits
