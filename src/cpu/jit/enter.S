/*
 * The border between C and translated code. Register map of translated code: guest RCX in r14, guest RSP in r15, guest
 * r11, r14, r15 in vcpu.gpr[], rcx and r11 scratch, rsp = vcpu + VCPU_BIAS, everything else in its own register,
 * arithmetic flags in RFLAGS. enter.h declares what is defined and called here.
 */
#include "cpu/core/layout.h"

#define GPR(n) (VCPU_GPR + (n) * 8)
#define AT(off) ((off) - VCPU_BIAS)(%rsp)

        .text

/* Stores the guest's registers and flags. r11 and rcx keep their values, which are not guest registers. */
.macro SAVE_GUEST
        mov %rax, AT(GPR(0))
        lahf
        seto %al
        mov %rax, AT(VCPU_ARITH)
        mov %r14, AT(GPR(1))
        mov %rdx, AT(GPR(2))
        mov %rbx, AT(GPR(3))
        mov %r15, AT(GPR(4))
        mov %rbp, AT(GPR(5))
        mov %rsi, AT(GPR(6))
        mov %rdi, AT(GPR(7))
        mov %r8, AT(GPR(8))
        mov %r9, AT(GPR(9))
        mov %r10, AT(GPR(10))
        mov %r12, AT(GPR(12))
        mov %r13, AT(GPR(13))
.endm

/* Loads the guest's registers and flags; rsp is vcpu + VCPU_BIAS. Of VCPU_ARITH, AL is OF, which adding 127 sets again,
 * and AH has the other flags. */
.macro LOAD_GUEST
        mov AT(VCPU_ARITH), %rax
        add $127, %al
        sahf
        mov AT(GPR(0)), %rax
        mov AT(GPR(1)), %r14
        mov AT(GPR(2)), %rdx
        mov AT(GPR(3)), %rbx
        mov AT(GPR(4)), %r15
        mov AT(GPR(5)), %rbp
        mov AT(GPR(6)), %rsi
        mov AT(GPR(7)), %rdi
        mov AT(GPR(8)), %r8
        mov AT(GPR(9)), %r9
        mov AT(GPR(10)), %r10
        mov AT(GPR(12)), %r12
        mov AT(GPR(13)), %r13
.endm

/* void exec_enter(struct vcpu *v): runs translated code from v->resume with rcx and r11 as in resume_rcx and
 * resume_r11, until something leaves. */
        .globl exec_enter
        .hidden exec_enter
        .type exec_enter, @function
exec_enter:
        push %rbx
        push %rbp
        push %r12
        push %r13
        push %r14
        push %r15
        sub $8, %rsp
        mov %rsp, VCPU_HOST_RSP(%rdi)
        mov %rdi, %rbx
        cmpb $0, VCPU_VECTORS_LIVE(%rbx)
        je load
resume:
        lea VCPU_BIAS(%rbx), %rsp
        LOAD_GUEST
        mov AT(VCPU_RESUME_RCX), %rcx
        mov AT(VCPU_RESUME_R11), %r11
        jmp *AT(VCPU_RESUME)
        .size exec_enter, . - exec_enter

/* A called function returned false, or the guest's vector state is not live any more. RSP is the C stack. */
check:
        test %al, %al
        jz leave
load:
        mov %rbx, %rdi
        call vector_load
        jmp resume

/* Returns from exec_enter. RSP is the C stack. */
leave:
        add $8, %rsp
        pop %r15
        pop %r14
        pop %r13
        pop %r12
        pop %rbp
        pop %rbx
        ret

/* Goes on behind the CALL of a thunk, mostly: by a RET, so that the host's stack of return addresses stays as it was.
 */
resume_behind:
        lea VCPU_BIAS(%rbx), %rsp
        LOAD_GUEST
        mov AT(VCPU_RESUME_RCX), %rcx
        mov AT(VCPU_RESUME_R11), %r11
        push AT(VCPU_RESUME)
        ret

/* Calls a C function with rdi = vcpu and two more arguments; it returns true to go on at v->resume. One test finds out
 * whether it did and vector state is live: bool is 0 or 1. */
.macro CALL_C function, resume
        mov %rdi, %rbx
        mov VCPU_HOST_RSP(%rdi), %rsp
        call \function
        test %al, VCPU_VECTORS_LIVE(%rbx)
        jz check
        jmp \resume
.endm

/* Thunks that translated code CALLs: the C function gets (vcpu, return address, r11 or rcx as third). */
.macro THUNK name, function, third
        .globl \name
        .hidden \name
        .type \name, @function
\name:
        pop AT(VCPU_RESUME)
        mov %r11, AT(VCPU_RESUME_R11)
        SAVE_GUEST
        lea -VCPU_BIAS(%rsp), %rdi
        mov \third, %rdx
        mov VCPU_RESUME(%rdi), %rsi
        CALL_C \function, resume_behind
        .size \name, . - \name
.endm

        THUNK exec_thunk_slow_mem, exec_slow_mem, %r11
        THUNK exec_thunk_slow_done, exec_slow_done, %r11
        THUNK exec_thunk_slow_segment, exec_slow_segment, %r11
        THUNK exec_thunk_call, exec_call, %rcx
        THUNK exec_thunk_check_missed, exec_check_missed, %r11
        THUNK exec_thunk_jump_missed, exec_jump_missed, %r11
        THUNK exec_thunk_back_missed, exec_back_missed, %r11

/* Ways out that translated code JMPs to: the C function gets (vcpu, rcx, r11). */
.macro LEAVE name, function
        .globl \name
        .hidden \name
        .type \name, @function
\name:
        SAVE_GUEST
        lea -VCPU_BIAS(%rsp), %rdi
        mov %rcx, %rsi
        mov %r11, %rdx
        CALL_C \function, resume
        .size \name, . - \name
.endm

        LEAVE exec_leave_lookup, exec_lookup
        LEAVE exec_leave_chain, exec_chain
        LEAVE exec_leave_request, exec_request
        LEAVE exec_leave_signal, exec_signal_left

/* From within a piece of brief.c for strings: RSP is below a return address, RSI and RDI are in the vCPU. */
        .globl exec_leave_string
        .hidden exec_leave_string
        .type exec_leave_string, @function
exec_leave_string:
        lea 8(%rsp), %rsp
        mov AT(GPR(6)), %rsi
        mov AT(GPR(7)), %rdi
        jmp exec_leave_signal
        .size exec_leave_string, . - exec_leave_string

        .section .note.GNU-stack, "", @progbits
