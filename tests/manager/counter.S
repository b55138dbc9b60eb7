/*
 * A boot sector that counts on the first serial port, a number per tick of the timer, in a line "count N". It takes
 * keys: o powers the machine off, r resets it, u goes where no memory is, which KVM gives up at, w writes the last
 * number to the disk, p prints what is there in a line "disk N", and any other key is printed in a line "key K". There
 * is nothing else in the VM, so it runs a moment after the BIOS starts, and shows by its numbers whether it went on or
 * began anew.
 */
    .code16
    .globl _start
_start:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x7c00, %sp
    sti
    cld
    xorl %ebx, %ebx
next:
    incl %ebx
    movw $count, %si
    call print
    movl %ebx, %eax
    movw $line_end, %di
1:  xorl %edx, %edx
    movl $10, %ecx
    divl %ecx
    addb $'0', %dl
    decw %di
    movb %dl, (%di)
    testl %eax, %eax
    jnz 1b
    movw %di, %si
    call print
    hlt
    movw $0x3fd, %dx
    inb %dx, %al
    testb $1, %al
    jz next
    movw $0x3f8, %dx
    inb %dx, %al
    cmpb $'o', %al
    je off
    cmpb $'r', %al
    je reset
    cmpb $'u', %al
    je away
    cmpb $'w', %al
    je write
    cmpb $'p', %al
    je show
    movb %al, key_byte
    movw $key, %si
    call print
    jmp next
write: /* the line of the number, to the second sector */
    movw $0x0301, %ax
    jmp disk
show:
    movw $0x0201, %ax
disk:
    movw %ax, %bp
    pushl %ebx
    pushw %ax
    movw $0x8000, %bx
    cmpb $3, %ah
    jne 4f
    movw %di, %si
    movw %bx, %di
    movw $16, %cx
    pushw %es
    xorw %dx, %dx
    movw %dx, %es
    rep movsb
    popw %es
4:  xorw %dx, %dx
    movw %dx, %es
    movb $0x80, %dl
    movw $2, %cx
    popw %ax
    int $0x13
    popl %ebx
    cmpw $0x0201, %bp
    jne next
    movw $disk_text, %si
    call print
    movw $0x8000, %si
    call print
    jmp next
off: /* PM1a control of QEMU's pc and q35 as SeaBIOS places it */
    movw $0x2000, %ax
    movw $0x604, %dx
    outw %ax, %dx
    hlt
reset:
    movb $0xfe, %al
    outb %al, $0x64
    hlt
away:
    ljmp $0xa000, $0
print: /* the text at SI */
    lodsb
    testb %al, %al
    jz 3f
    movb %al, %ah
    movw $0x3fd, %dx
2:  inb %dx, %al
    testb $0x20, %al
    jz 2b
    movb %ah, %al
    movw $0x3f8, %dx
    outb %al, %dx
    jmp print
3:  ret
count:
    .asciz "count "
disk_text:
    .asciz "disk "
key:
    .ascii "key "
key_byte:
    .asciz " \r\n"
    .space 10
line_end:
    .asciz "\r\n"
    .org 510
    .word 0xaa55
