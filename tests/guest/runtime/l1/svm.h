/*
 * What the AMD-V guests share: a VMCB whose L2 is a function of the image at CPL 0, with L1's page tables, GDT and IDT,
 * under nested paging; and the macro that makes such functions.
 */
#ifndef TESTS_GUEST_SVM_H
#define TESTS_GUEST_SVM_H

#include "events.h"
#include "runtime.h"
#include "x86/msr.h"
#include "x86/paging.h"
#include "x86/svm_exit.h"
#include "x86/vmcb.h"

/* CPUID 8000_000Ah EDX. */
#define HAS_LBR_VIRTUALIZATION BIT(1)
#define HAS_NRIPS BIT(3)
#define HAS_TSC_RATE BIT(4)
#define HAS_FLUSH_BY_ASID BIT(6)
#define HAS_DECODE_ASSISTS BIT(7)
#define HAS_PAUSE_FILTER BIT(10)
#define HAS_VGIF BIT(16)
#define HAS_VNMI BIT(25)

struct registers {
    u64 rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
};

extern struct vmcb vmcb, host_vmcb;
extern struct registers regs;
extern u8 hsave[4096], iopm[IOPM_SIZE], msrpm[MSRPM_SIZE], l2_stack[16384];
extern u64 *npt;     /* identity: 4 KiB pages for the first 16 MiB, 2 MiB pages above */
extern u64 *scratch; /* a page of its own */
extern u32 features; /* CPUID 8000_000Ah EDX: HAS_* */

#define C (vmcb.control)
#define G (vmcb.save)

/* clang-format off */
static inline void vmload(struct vmcb *m) { __asm__ volatile("vmload" : : "a"(m) : "memory"); }
static inline void vmsave(struct vmcb *m) { __asm__ volatile("vmsave" : : "a"(m) : "memory"); }
static inline void stgi(void) { __asm__ volatile("stgi" : : : "memory"); }
static inline void clgi(void) { __asm__ volatile("clgi" : : : "memory"); }
/* clang-format on */

/* Turns SVM on. If there is none it skips the test and returns false. */
bool svm_begin(void);
/* VMRUN; RAX and RSP of L2 are in the VMCB. On return GIF is 0 and interrupts are off. */
void run_guest(struct vmcb *m, struct registers *r);
void intercept(unsigned code, bool on);
/* Fills the VMCB: L2 is like this CPU, and starts at fn. */
void prepare(void (*fn)(void));
/* Runs L2 with `regs` until it exits. Returns the exit code. */
u64 resume(void);
u64 start(void (*fn)(void));
/* Prepares and runs L2, with one more intercept. */
u64 start_with(void (*fn)(void), unsigned code);
/* Checks that this was the last exit. */
void exits(u64 code, const u8 *at, u64 info1, const char *name);
/* Checks that its nRIP was `after`, on a processor that saves it. */
void nrip(const u8 *after, const char *name);

/* L2 code with labels around one instruction; ends in VMMCALL. */
#define L2(name, before, insn, after)                                                                                  \
    void name(void);                                                                                                   \
    extern const u8 name##_at[], name##_after[];                                                                       \
    __asm__(".text\n" #name ": " before "\n" #name "_at: " insn "\n" #name "_after: " after "\nvmmcall\nud2\n")

#endif
