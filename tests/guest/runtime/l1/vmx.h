/*
 * What the VT-x guests share: the VMX instructions, a VMCS whose L2 is a function of the image at CPL 0, with L1's page
 * tables, GDT and IDT, under EPT if there is EPT; and the macro that makes such functions.
 */
#ifndef TESTS_GUEST_VMX_H
#define TESTS_GUEST_VMX_H

#include "events.h"
#include "runtime.h"
#include "x86/msr.h"
#include "x86/paging.h"
#include "x86/vmcs.h"
#include "x86/vmx_exit.h"

extern u8 vmxon_region[4096], vmcs[4096], l2_stack[16384];
extern u64 *ept;      /* identity; NULL without EPT */
extern bool launched; /* launch state of `vmcs`, as far as start and resume know */
extern u32 pin_may, proc_may, proc2_may, proc_base;

struct registers {
    u64 rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
};
extern struct registers regs;

enum { OK, FAIL_INVALID, FAIL_VALID };
#define RESULT(c, z) ((c) ? FAIL_INVALID : (z) ? FAIL_VALID : OK)
int vmxon(const void *p);
int vmclear(const void *p);
int vmptrld(const void *p);
int vmwrite(u64 field, u64 value);
u64 vmread(u64 field);
int vmread_result(u64 field);
int invept(u64 type, u64 eptp);
int invvpid(u64 type, u64 vpid, u64 la);

/* Permits VMXON, reads what the capability MSRs permit, and makes the tables of EPT. Without VMX it skips the test and
 * returns false. */
bool vmx_begin(void);
/* VMXON with vmxon_region; VMXOFF. */
int vmx_on(void);
void vmx_off(void);
u64 run_guest(struct registers *r, u64 launch);
/* Fills the VMCS: L2 is like this CPU, and starts at fn. */
void prepare(void (*fn)(void));
/* VMLAUNCH or VMRESUME with `regs`. Returns OK after an exit. */
int resume(void);
void start(void (*fn)(void));
void start_proc(void (*fn)(void), u32 proc);
/* Checks that this was the last exit. */
void exits(u64 reason, const u8 *at, u64 qualification, const char *name);

/* L2 code with labels around one instruction; ends in VMCALL. */
#define L2(name, before, insn, after)                                                                                  \
    void name(void);                                                                                                   \
    extern const u8 name##_at[], name##_after[];                                                                       \
    __asm__(".text\n" #name ": " before "\n" #name "_at: " insn "\n" #name "_after: " after "\nvmcall\nud2\n")

#endif
