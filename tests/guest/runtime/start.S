/*
 * Entry of the bare-metal test guests: multiboot 1 header (not with PVH_ONLY) and PVH note, 32-bit entry, identity map
 * of 4 GiB in 2 MiB pages, long mode, then main(). Also the interrupt stubs, the ways in and out of catch_fault(), and
 * start-up code of the other CPUs.
 */
#define CODE64 0x08
#define DATA 0x10
#define CODE32 0x18
#define USER_DATA 0x2b
#define USER_CODE 0x33

#define MULTIBOOT_FLAGS 3

#ifndef PVH_ONLY
    .section .multiboot, "a"
    .align 4
    .long 0x1badb002, MULTIBOOT_FLAGS, -(0x1badb002 + MULTIBOOT_FLAGS)
#endif

    .section .note.pvh, "a", @note
    .align 4
    .long 4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long start32_pvh

    .text
    .code32
start32_pvh:
    movl $1, boot_entry + 24
    .global start32
start32:
    mov $boot_stack_top, %esp
    pushf
    pop boot_entry + 16
    mov %eax, boot_entry
    mov %ebx, boot_entry + 4
    mov %cr0, %eax
    mov %eax, boot_entry + 8
    mov %cr4, %eax
    mov %eax, boot_entry + 12
    xor %eax, %eax
    str %ax
    mov %eax, boot_entry + 20
    cli
    cld

    /* PML4 -> PDPT -> four page directories; the 2 MiB page at 6 MiB is a user page. */
    movl $pdpt + 7, pml4
    mov $pdpt, %edi
    mov $pd + 7, %eax
    mov $4, %ecx
1:  mov %eax, (%edi)
    add $4096, %eax
    add $8, %edi
    loop 1b
    mov $pd, %edi
    mov $0x83, %eax
    mov $2048, %ecx
1:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b
    orl $4, pd + 3 * 8
    orl $0x18, pd + (0xfee00000 >> 21) * 8
    orl $0x18, pd + (0xfec00000 >> 21) * 8

    call enable_long_mode
    lgdt gdt_pointer
    ljmp $CODE64, $start64

/* CR4.PAE, CR3, EFER.LME and NXE (if there), CR0.PG. */
enable_long_mode:
    mov %cr4, %eax
    or $0x620, %eax /* PAE, OSFXSR, OSXMMEXCPT */
    mov %eax, %cr4
    mov $pml4, %eax
    mov %eax, %cr3
    mov $0x80000001, %eax
    cpuid
    mov %edx, %esi
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax
    bt $20, %esi
    jnc 1f
    or $0x800, %eax
1:  wrmsr
    mov %cr0, %eax
    and $~0x4, %eax /* EM */
    or $0x80010022, %eax /* PG, WP, NE, MP */
    mov %eax, %cr0
    ret

    .code64
start64:
    mov $DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    mov $boot_stack_top, %rsp
    fninit
    call runtime_init
    call main
    call finish

/* Interrupt stubs: 16 bytes each. */
    .align 16
    .global vectors
vectors:
    .set n, 0
    .rept 256
    .align 16
    .if n != 8 && (n < 10 || n > 14) && n != 17 && n != 21 && n != 29 && n != 30
    push $0
    .endif
    push $n
    jmp vector_common
    .set n, n + 1
    .endr

vector_common:
    push %rax
    push %rbx
    push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %rbp
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    cld
    mov %rsp, %rdi
    mov %rsp, %rbp
    and $-16, %rsp
    call interrupt
    mov %rbp, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rbp
    pop %rdi
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rbx
    pop %rax
    add $16, %rsp
    iretq

.macro SAVE
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    pushfq
.endm

/* u64 catch_enter(void (*fn)(void *), void *arg): returns 0 if fn returned, 1 if it faulted. */
    .global catch_enter
catch_enter:
    SAVE
    mov %rsp, catch_rsp(%rip)
    mov %rdi, %rax
    mov %rsi, %rdi
    call *%rax
    movq $0, catch_rsp(%rip)
    xor %eax, %eax
catch_out:
    popfq
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret

/* void catch_leave(u64 result): leaves an interrupt handler, and goes back to the caller of catch_enter. */
    .global catch_leave
catch_leave:
    mov $DATA, %eax
    mov %eax, %ss
    mov %eax, %ds
    mov %eax, %es
    mov %rdi, %rax
    mov catch_rsp(%rip), %rsp
    movq $0, catch_rsp(%rip)
    jmp catch_out

/* u64 catch_enter_user(fn, arg, u64 rflags): does the same at CPL 3. */
    .global catch_enter_user
catch_enter_user:
    SAVE
    mov %rsp, catch_rsp(%rip)
    mov %rsp, tss + 4(%rip)
    mov $user_stack_top - 8, %rcx
    push $USER_DATA
    push %rcx
    push %rdx
    push $USER_CODE
    push %rdi
    mov %rsi, %rdi
    mov $USER_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    iretq

    .section .user.text, "ax"
user_return:
    int $0x7f

    .section .user.data, "aw"
    .align 4096
    .skip 16384 - 8
    .quad user_return
    .global user_stack_top
user_stack_top:

/* Start-up of the other CPUs: copied to 0x8000, entered in real mode by SIPI. */
    .text
    .code16
    .global ap_trampoline, ap_trampoline_end
ap_trampoline:
    cli
    xor %ax, %ax
    mov %ax, %ds
    lgdtl 0x8000 + (ap_gdt_pointer - ap_trampoline)
    mov %cr0, %eax
    or $1, %eax
    mov %eax, %cr0
    ljmpl $CODE32, $ap_start32
ap_gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt
ap_trampoline_end:

    .code32
ap_start32:
    mov $DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $0x9000, %esp /* one CPU starts at a time */
    call enable_long_mode
    ljmp $CODE64, $ap_start64
    .code64
ap_start64:
    mov $DATA, %eax
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    mov ap_stack(%rip), %rsp
    lidt idt_pointer(%rip)
    fninit
    call ap_main
1:  hlt
    jmp 1b

    .data
    .align 16
    .global gdt, gdt_spare, gdt_end
gdt:
    .quad 0
    .quad 0x00af9b000000ffff /* 08 code, 64-bit */
    .quad 0x00cf93000000ffff /* 10 data */
    .quad 0x00cf9b000000ffff /* 18 code, 32-bit */
    .quad 0x00cffb000000ffff /* 20 user code, 32-bit */
    .quad 0x00cff3000000ffff /* 28 user data */
    .quad 0x00affb000000ffff /* 30 user code, 64-bit */
    .quad 0x00009b000000ffff /* 38 code, 16-bit, 64 KiB at 0 */
    .quad 0x000093000000ffff /* 40 data, 16-bit */
    .quad 0x00cf93000000ffff /* 48 data */
    .quad 0, 0               /* 50 TSS */
gdt_spare:
    .quad 0, 0, 0, 0         /* 60 for tests */
gdt_end:
    .global gdt_pointer, idt_pointer
    .align 8
    .word 0, 0, 0
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt
    .word 0, 0, 0
idt_pointer:
    .word 4095
    .quad idt
    .global catch_rsp, boot_entry
    .align 8
catch_rsp:
    .quad 0
boot_entry: /* struct boot_entry */
    .skip 28

    .bss
    .align 4096
    .global pml4, pdpt, pd, boot_stack_top
pml4:
    .skip 4096
pdpt:
    .skip 4096
pd:
    .skip 4 * 4096
    .skip 65536
boot_stack_top:
