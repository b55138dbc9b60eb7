/*
 * What the VT-x guests share: field encodings, the VMX instructions, a VMCS whose L2 is a function of the image, and
 * the macro that makes such functions.
 */
#ifndef TESTS_GUEST_VMX_H
#define TESTS_GUEST_VMX_H

#include "runtime.h"
#include "x86/paging.h"
#include "x86/vmcs.h"
#include "x86/vmx_exit.h"

#define MSR_EFER 0xc0000080u
#define MSR_FEATURE_CONTROL 0x3au
#define MSR_LSTAR 0xc0000082u

/* Field encodings: SDM volume 3D, appendix "Field Encoding in VMCS". Segment fields go up by 2 in the order of enum
 * seg. */
/* clang-format off */
enum {
    F_VPID = 0x0, F_GUEST_SEL = 0x800, F_HOST_ES = 0xc00, F_HOST_CS = 0xc02, F_HOST_SS = 0xc04, F_HOST_DS = 0xc06,
    F_HOST_TR = 0xc0c,
    F_IO_A = 0x2000, F_IO_B = 0x2002, F_MSR_BITMAP = 0x2004, F_EXIT_STORE = 0x2006, F_EXIT_LOAD = 0x2008,
    F_ENTRY_LOAD = 0x200a, F_TSC_OFFSET = 0x2010, F_EPTP = 0x201a, F_PHYSICAL = 0x2400, F_LINK = 0x2800,
    F_GUEST_EFER = 0x2806, F_HOST_EFER = 0x2c02,
    F_PIN = 0x4000, F_PROC = 0x4002, F_EXCEPTIONS = 0x4004, F_EXIT = 0x400c, F_EXIT_STORE_COUNT = 0x400e,
    F_EXIT_LOAD_COUNT = 0x4010, F_ENTRY = 0x4012, F_ENTRY_LOAD_COUNT = 0x4014, F_ENTRY_INTR = 0x4016,
    F_ENTRY_ERROR = 0x4018, F_ENTRY_LEN = 0x401a, F_PROC2 = 0x401e,
    F_ERROR = 0x4400, F_REASON = 0x4402, F_INTR = 0x4404, F_INTR_ERROR = 0x4406, F_IDT = 0x4408, F_INSN_LEN = 0x440c,
    F_GUEST_LIMIT = 0x4800, F_GDTR_LIMIT = 0x4810, F_IDTR_LIMIT = 0x4812, F_GUEST_ATTR = 0x4814,
    F_INTERRUPTIBILITY = 0x4824, F_ACTIVITY = 0x4826, F_PREEMPTION = 0x482e,
    F_CR0_MASK = 0x6000, F_CR4_MASK = 0x6002, F_CR0_SHADOW = 0x6004, F_CR4_SHADOW = 0x6006, F_QUALIFICATION = 0x6400,
    F_LINEAR = 0x640a, F_CR0 = 0x6800, F_CR3 = 0x6802, F_CR4 = 0x6804, F_GUEST_BASE = 0x6806, F_GDTR = 0x6816,
    F_IDTR = 0x6818, F_DR7 = 0x681a, F_RSP = 0x681c, F_RIP = 0x681e, F_RFLAGS = 0x6820, F_PENDING_DEBUG = 0x6822,
    F_HOST_CR0 = 0x6c00, F_HOST_CR3 = 0x6c02, F_HOST_CR4 = 0x6c04, F_HOST_TR_BASE = 0x6c0a, F_HOST_GDTR = 0x6c0c,
    F_HOST_IDTR = 0x6c0e, F_HOST_RSP = 0x6c14, F_HOST_RIP = 0x6c16,
};
/* clang-format on */

extern u8 vmxon_region[4096], vmcs[4096], l2_stack[16384];
/* Identity, NULL without EPT. */
extern u64 *ept;
/* Launch state of `vmcs`, as far as start and resume know. */
extern bool launched;
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

/* What the capability MSRs permit, and the tables of EPT. */
void vmx_capabilities(void);
u64 run_guest(struct registers *r, u64 launch);
/* A VMCS whose guest is like this CPU and starts at fn. */
void prepare(void (*fn)(void));
/* VMLAUNCH or VMRESUME with regs: OK after an exit. */
int resume(void);
void start(void (*fn)(void));
void start_proc(void (*fn)(void), u32 proc);
/* The last exit was this one. */
void exits(u64 reason, const u8 *at, u64 qualification, const char *name);

/* L2 code with labels around one instruction; ends in VMCALL. */
#define L2(name, before, insn, after)                                                                                  \
    void name(void);                                                                                                   \
    extern const u8 name##_at[], name##_after[];                                                                       \
    __asm__(".text\n" #name ": " before "\n" #name "_at: " insn "\n" #name "_after: " after "\nvmcall\nud2\n")

#endif
