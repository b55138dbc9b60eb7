/*
 * Code for the modes that mode.c tests. What runs in 16-bit mode is linked for and copied to 1000h (LOW).
 */
#define CODE64 0x08
#define DATA 0x10
#define CODE32 0x18
#define CODE16 0x38
#define DATA16 0x40

#define LOW(symbol) (0x1000 + (symbol) - low_code)
#define R(n) mode_result + 4 * (n)

    .bss
    .align 16
    .global mode_result
mode_result:
    .skip 256
saved_rsp:
    .skip 8
    .skip 4096
stack32:

    .text
    .code64
.macro SAVE
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    pushfq
    cli
    mov %rsp, saved_rsp(%rip)
.endm
.macro RESTORE
    mov $DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    mov saved_rsp(%rip), %rsp
    popfq
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret
.endm

/* -- compatibility mode -- */
    .global mode_compat
mode_compat:
    SAVE
    mov $stack32, %esp
    push $CODE32
    push $compat32
    lretq
    .code32
compat32:
    movl $0x12345678, R(0)
    mov $0x40, %eax
    inc %eax
    mov %eax, R(1)
    mov $0x0a, %eax
    aaa /* AX = 0100 */
    add $6, %eax
    movzwl %ax, %eax
    mov %eax, R(2)
    mov $0x08, %eax
    add $0x07, %al
    daa
    mov %eax, R(3)
    mov $45, %eax
    aam
    mov %eax, R(4)
    aad
    movzwl %ax, %eax
    mov %eax, R(5)
    mov $0x11223344, %edi
    pusha
    xor %edi, %edi
    popa
    mov %edi, R(6)
    mov %esp, %ebx
    push %eax
    sub %esp, %ebx
    pop %eax
    cmp $4, %ebx
    sete R(7)
    xor %eax, %eax
    stc
    .byte 0xd6 /* SALC */
    mov %eax, R(8)
    mov $5, %eax
    bound %eax, bounds
    mov %eax, R(9)
    mov $0, %ecx
    mov $0xabcd, %cx
    mov %ecx, R(10)
    movw $0x7777, 0x700
    mov $0x10700, %ebx
    addr16 movzwl (%bx), %eax
    mov %eax, R(11)
    les far_pointer, %ebx
    mov %ebx, R(12)
    mov $3, %ecx
    xor %eax, %eax
1:  inc %eax
    loop 1b
    jecxz 2f
    xor %eax, %eax
2:  mov %eax, R(13)
    ljmp $CODE64, $compat_back
    .code64
compat_back:
    RESTORE

    .data
bounds:
    .long 1, 9
far_pointer:
    .long 0x55aa
    .word DATA
    .text

/* -- 16-bit compatibility mode -- */
    .global mode_protected16
mode_protected16:
    SAVE
    mov $DATA16, %eax
    mov %eax, %ss
    mov $0x6000, %esp
    push $CODE16
    push $LOW(prot16)
    lretq

/* -- leaving long mode -- */
    .code32
/* Switches paging and long mode off. Called in compatibility mode. */
leave_long:
    mov %cr0, %eax
    and $0x7fffffff, %eax
    mov %eax, %cr0
    mov $0xc0000080, %ecx
    rdmsr
    and $~0x100, %eax
    wrmsr
    ret
/* Switches both on again, from 32-bit protected mode, and goes on at mode_back in 64-bit mode. */
enter_long:
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    lgdt gdt_pointer
    ljmp $CODE64, $mode_back
    .code64
mode_back:
    lidt idt_pointer(%rip)
    /* TR has what was loaded in another mode, or for another task. */
    mov $gdt + 0x50 + 5, %eax
    andb $~2, (%rax)
    mov $0x50, %eax
    ltr %ax
    RESTORE

    .global mode_real
mode_real:
    SAVE
    mov $stack32, %esp
    push $CODE32
    push $real32
    lretq
    .code32
real32:
    call leave_long
    lidt real_idt
    mov $DATA16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %ss
    mov $DATA, %eax
    mov %eax, %gs /* a limit of 4 GiB, which stays in real mode */
    ljmp $CODE16, $LOW(real16)
real_done: /* back in 32-bit protected mode */
    mov $DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $stack32, %esp
    jmp enter_long

    .data
real_idt:
    .word 0x3ff
    .long 0
    .text

/* -- copied to 1000h -- */
    .code16
    .global low_code, low_code_end
low_code:
prot16:
    mov $DATA, %ax
    mov %ax, %ds
    addr32 movl $16, R(0)
    mov $0xffffffff, %eax
    mov $0x1234, %ax
    addr32 movl %eax, R(1)
    mov $0x9abc, %ebx
    addr32 mov %ebx, R(2)
    mov $0x12346000, %esp /* the upper half is not the stack pointer's, but ENTER's frame pointer has it */
    mov $0xabcd5678, %ebp
    enterl $8, $0
    addr32 mov %ebp, R(3)
    addr32 mov %esp, R(4)
    leavel
    addr32 mov %ebp, R(5)
    addr32 mov %esp, R(6)
    enterl $0, $1
    addr32 mov 0x5ff8, %eax
    addr32 mov %eax, R(7)
    mov $0x12346000, %esp
    mov $0xabcd5678, %ebp
    enterw $0, $0
    addr32 mov %ebp, R(8)
    mov $0x600d, %ebx /* instructions in which 66h would be a part of the opcode */
    addr32 movnti %ebx, R(9)
    addr32 stmxcsr R(10)
    addr32 ldmxcsr R(10)
    emms
    lfence
    mfence
    sfence
    addr32 movl $0xe0d, R(11)
    ljmpl $CODE64, $compat_back

real16:
    mov %cr0, %eax
    and $~1, %eax
    mov %eax, %cr0
    ljmp $0, $LOW(real_go)
real_go:
    mov $0x500, %ax /* ES:0 = 5000h, results are written there and copied in protected mode */
    mov %ax, %es
    xor %ax, %ax
    mov %ax, %ss
    mov $0x6000, %sp
    mov %ax, %ds
    movl $0x5a5a, %es:0

    mov $0x2000, %ax
    mov %ax, %fs
    movw $0x1234, %fs:0x10
    mov $0x2001, %ax
    mov %ax, %fs
    movzwl %fs:0, %eax
    mov %eax, %es:4

    movw $LOW(real_int), 0x60 * 4
    movw $0, 0x60 * 4 + 2
    sti
    int $0x60
    pushf
    cli
    pop %ax
    shr $9, %ax
    and $1, %eax
    mov %eax, %es:12

    movw $LOW(real_de), 0
    movw $0, 2
    xor %cl, %cl
    mov $1, %ax
    div %cl
    mov $0xbeef, %eax
    mov %eax, %es:20

    mov %sp, %bx
    mov $0xfffe, %sp
    push %sp
    pop %ax
    mov %bx, %sp
    movzwl %ax, %eax
    mov %eax, %es:24

    mov $0x2000, %ax
    mov %ax, %fs
    movw $0x3412, %fs:0x20
    mov $0x20, %si
    lodsw %fs:(%si)
    movzwl %ax, %eax
    mov %eax, %es:28

    lcall $0x100, $(LOW(real_far) - 0x1000)
    mov %eax, %es:32

    smsw %ax
    not %ax
    and $1, %eax
    mov %eax, %es:36

    movw $LOW(real_gp), 13 * 4
    movw $0, 13 * 4 + 2
    mov $0xffff, %bx
    mov (%bx), %ax /* a word at FFFFh */
real_gp_next:

    movw $LOW(real_ud), 6 * 4
    movw $0, 6 * 4 + 2
    mov $0x600d, %ebx
    movnti %ebx, %es:48
    stmxcsr %es:52
    ldmxcsr %es:52
    emms
    lfence
    mfence
    sfence
    movl $0xe0d, %es:56
    .byte 0x0f, 0x38, 0xf6, 0x07 /* WRSS, which there is none of here: not ADCX */
real_ud_next:

    mov $0x300000, %edi
    addr32 movl $0x600d, %gs:(%edi)
    addr32 mov %gs:(%edi), %eax
    mov %eax, %es:44

    cli
    mov %cr0, %eax
    or $1, %eax
    mov %eax, %cr0
    ljmpl $CODE32, $real_copy
real_int:
    movl $0x77, %es:8
    iret
real_de:
    movl $0x40, %es:16
    push %bp
    mov %sp, %bp
    addw $2, 2(%bp) /* to behind DIV CL */
    pop %bp
    iret
real_gp:
    movl $0xd, %es:40
    push %bp
    mov %sp, %bp
    movw $LOW(real_gp_next), 2(%bp)
    pop %bp
    iret
real_ud:
    incl %es:60
    push %bp
    mov %sp, %bp
    movw $LOW(real_ud_next), 2(%bp)
    pop %bp
    iret
real_far:
    mov $0x99, %eax
    lret

v86_code: /* CS 100h: offset 0 is 1000h */
    mov $0x2000, %ax
    mov %ax, %ds
    movw $0x1111, 0
    mov $0x1fff, %ax
    mov %ax, %es
    mov %es:0x10, %bx
    int $0x20
    cli
    int3
low_code_end:

    .code32
real_copy:
    mov $DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov $0x5000, %esi
    mov $mode_result, %edi
    mov $16, %ecx
    rep movsl
    jmp real_done

/* -- virtual-8086 mode -- */
    .code64
    .global mode_v86
mode_v86:
    SAVE
    mov $stack32, %esp
    push $CODE32
    push $v86_32
    lretq
    .code32
v86_32:
    call leave_long
    mov $DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $stack32, %esp
    /* Sets a 32-bit TSS in the first spare descriptor, and gates for #BP and #GP. */
    mov $tss32, %eax
    call describe_tss
    mov %eax, gdt_spare
    mov %edx, gdt_spare + 4
    movl $stack32 - 1024, tss32 + 4
    movl $DATA, tss32 + 8
    mov $0x60, %eax
    ltr %ax
    mov $v86_bp, %eax
    mov $idt32 + 3 * 8, %edi
    call gate32
    orb $0x60, idt32 + 3 * 8 + 5
    mov $v86_gp, %eax
    mov $idt32 + 13 * 8, %edi
    call gate32
    lidt idt32_pointer
    pushl $0 /* GS FS DS ES */
    pushl $0
    pushl $0
    pushl $0
    pushl $0x800 /* SS:SP */
    pushl $0x1000
    pushl $0x20002 /* VM */
    pushl $0x100
    pushl $LOW(v86_code) - 0x1000
    iret
/* EAX: the handler; EDI: the gate */
gate32:
    mov %ax, (%edi)
    movw $CODE32, 2(%edi)
    movw $0x8e00, 4(%edi)
    shr $16, %eax
    mov %ax, 6(%edi)
    ret
/* EAX: the base of a TSS. Returns in EDX:EAX the descriptor of an available 32-bit TSS of 104 bytes. */
describe_tss:
    mov %eax, %edx
    mov %eax, %ecx
    shl $16, %eax
    or $103, %eax
    shr $16, %edx
    and $0xff, %edx
    or $0x8900, %edx
    and $0xff000000, %ecx
    or %ecx, %edx
    ret
/* The frame: error, EIP, CS, EFLAGS, ESP, SS, ES, DS, FS, GS. INT 20h causes the first #GP, CLI the second. */
v86_gp:
    mov %ds, %ecx
    mov $DATA, %eax
    mov %eax, %ds
    cmpl $0, R(0)
    jne 1f
    movl $1, R(0)
    movzwl %bx, %ebx
    mov %ebx, R(1)
    movl $0xd, R(2)
    mov 12(%esp), %eax
    shr $17, %eax
    and $1, %eax
    mov %eax, R(3)
    mov 28(%esp), %eax
    mov %eax, R(4)
    movzwl %cx, %ecx
    mov %ecx, R(5)
    addl $2, 4(%esp)
    add $4, %esp
    iret
1:  movl $0xd, R(6)
    incl 4(%esp)
    add $4, %esp
    iret
v86_bp:
    mov $DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    movl $3, R(7)
    mov $stack32, %esp
    jmp enter_long

/* -- task switches -- */
    .code64
    .global mode_task
mode_task:
    SAVE
    mov $stack32, %esp
    push $CODE32
    push $task32
    lretq
    .code32
task32:
    call leave_long
    mov $DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $stack32, %esp
    mov $tss32, %eax
    call describe_tss
    mov %eax, gdt_spare
    mov %edx, gdt_spare + 4
    mov $tss_other, %eax
    call describe_tss
    mov %eax, gdt_spare + 8
    mov %edx, gdt_spare + 12
    mov $tss_called, %eax
    call describe_tss
    mov %eax, gdt_spare + 16
    mov %edx, gdt_spare + 20
    mov $tss_fault, %eax
    call describe_tss
    mov %eax, gdt_spare + 24
    mov %edx, gdt_spare + 28
    movl $fault_task, tss_fault + 32
    movl $0x780000, idt32 + 13 * 8 /* a task gate */
    movl $0x8500, idt32 + 13 * 8 + 4
    lidt idt32_pointer
    mov $0x60, %eax
    ltr %ax
    movl $other_task, tss_other + 32
    movl $called_task, tss_called + 32
    mov %cr0, %eax
    and $~8, %eax
    mov %eax, %cr0
    ljmp $0x68, $0
task_resumed:
    mov %cr0, %eax
    and $~8, %eax
    mov %eax, %cr0
    mov $0x600d, %ebx
    lcall $0x70, $0
    mov %ebx, R(3)
    mov %cr0, %eax
    and $~8, %eax
    mov %eax, %cr0
    mov $0xff8, %eax
    mov $0x1357, %ecx
gp_at:
    mov %eax, %es
    movl $0xbad, R(7)
gp_after:
    mov %ecx, R(8)
    ljmp $0x60, $0 /* busy: #GP again, by way of the same gate */
gp_again:
    mov %cr0, %eax
    and $~8, %eax
    mov %eax, %cr0
    jmp enter_long
    .global gp_at
fault_task:
    pop %eax
    mov %eax, R(5)
    mov tss32 + 32, %eax
    mov %eax, R(6)
    movl $gp_after, tss32 + 32
    iret
    pop %eax
    mov %eax, R(9)
    mov tss_fault, %eax
    mov %eax, R(10) /* back link */
    movl $gp_again, tss32 + 32
    iret
other_task:
    mov %cr0, %eax
    shr $3, %eax
    and $1, %eax
    mov %eax, R(1)
    mov %edx, R(2)
    movl $0x7a5c, R(0)
    ljmp $0x60, $0
called_task:
    pushf
    pop %eax
    shr $14, %eax
    and $1, %eax
    mov %eax, R(4)
    mov $0xbad, %ebx
    iret
    jmp called_task

    .data
    .align 16
tss32:
    .fill 26, 4, 0
tss_other:
    .fill 7, 4, 0
    .long 0 /* CR3 */
    .long 0, 2 /* EIP, EFLAGS */
    .long 0, 0, 0x4321, 0 /* EAX ECX EDX EBX */
    .long stack32 - 2048, 0, 0, 0 /* ESP EBP ESI EDI */
    .long DATA, CODE32, DATA, DATA, 0, 0 /* ES CS SS DS FS GS */
    .long 0, 0x680000
tss_called:
    .fill 7, 4, 0
    .long 0
    .long 0, 2
    .long 0, 0, 0, 0
    .long stack32 - 3072, 0, 0, 0
    .long DATA, CODE32, DATA, DATA, 0, 0
    .long 0, 0x680000
tss_fault:
    .fill 7, 4, 0
    .long 0
    .long 0, 2
    .long 0, 0, 0, 0
    .long stack32 - 1024, 0, 0, 0
    .long DATA, CODE32, DATA, DATA, 0, 0
    .long 0, 0x680000
    .align 8
idt32:
    .fill 32, 8, 0
    .word 0
idt32_pointer:
    .word 255
    .long idt32
