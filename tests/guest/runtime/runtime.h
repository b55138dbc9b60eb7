/*
 * What the bare-metal test guests share: console, verdicts, interrupt handlers, catching faults, page tables, APIC.
 *
 * A guest has one main(). check() prints one `ok N name` or `not ok N name` line; finish() prints the count and ends
 * the VM by the debug-exit port, with status 1 if all passed and 3 if not.
 */
#ifndef TESTS_GUEST_RUNTIME_H
#define TESTS_GUEST_RUNTIME_H

#include "base/types.h"
#include "x86/apic.h"
#include "x86/paging.h"
#include "x86/regs.h"

#define SEL_CODE64 0x08
#define SEL_DATA 0x10
#define SEL_CODE32 0x18
#define SEL_USER_CODE32 0x23 /* users have Linux' selectors, as direct execution wants it */
#define SEL_USER_DATA 0x2b
#define SEL_USER_CODE 0x33
#define SEL_CODE16 0x38
#define SEL_DATA16 0x40
#define SEL_TSS 0x50
#define SEL_SPARE 0x60 /* four descriptors for tests */

/* Code and data that CPL 3 may touch. */
#define USER_TEXT __attribute__((section(".user.text"), noinline))
#define USER_DATA __attribute__((section(".user.data")))

struct frame {
    u64 r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    u64 vector, error, rip, cs, rflags, rsp, ss;
};

struct tss64 {
    u32 reserved0;
    u64 rsp[3];
    u64 reserved1;
    u64 ist[7];
    u64 reserved2;
    u16 reserved3, iomap;
} __attribute__((packed));

struct gate {
    u16 offset0, selector;
    u8 ist, type; /* type, DPL, P */
    u16 offset1;
    u32 offset2, reserved;
};

extern u64 gdt[], gdt_spare[], gdt_end[];
extern struct gate idt[256];
extern struct tss64 tss;
extern const u8 vectors[256][16];
extern u64 pml4[512], pdpt[512], pd[4][512];
extern u64 catch_rsp;
/* How the loader entered the guest. */
extern const struct boot_entry {
    u32 eax, ebx, cr0, cr4, eflags, tr, by_pvh;
} boot_entry;

/* -- runtime.c -- */
int main(void);
void runtime_init(void);
void print(const char *s);
void print_hex(u64 x);
void check(bool good, const char *name);
/* Fails, and prints both values, if they differ. */
void check_eq(u64 is, u64 should, const char *name);
void skip(const char *name, const char *why);
_Noreturn void finish(void);
_Noreturn void debug_exit(u32 value);

/* Sets the handler of a vector; NULL removes it. */
void on_vector(u8 vector, void (*handler)(struct frame *f));
void gate_set(u8 vector, u64 handler, u16 selector, u8 type, u8 ist);
void interrupt(struct frame *f);

struct fault {
    bool raised;
    u8 vector;
    u64 error, cr2, dr6, rip, cs, rsp, rflags;
};
/* Runs fn(arg) until it returns or raises an exception that has no handler. Afterwards IF is what it was before. */
struct fault catch_fault(void (*fn)(void *), void *arg);
struct fault catch_user(void (*fn)(void *), void *arg);
/* Makes the state of users one that direct execution takes: all vector state, IF = 1. No interrupt is expected. */
void users_fit(void);
struct fault catch_user_flags(void (*fn)(void *), void *arg, u64 rflags);
/* Prints which fault it was. */
void show_fault(struct fault f);
u64 catch_enter(void (*fn)(void *), void *arg);
u64 catch_enter_user(void (*fn)(void *), void *arg, u64 rflags);
_Noreturn void catch_leave(u64 result);

void *copy(void *dst, const void *src, size_t n);
void *fill(void *dst, u8 value, size_t n);
bool same(const void *a, const void *b, size_t n);
/* Returns where the string `what` is in the string s, or NULL. */
const char *find(const char *s, const char *what);

/* -- pages.c -- */
void *page_alloc(void);
/* Returns the entry of `level` (1: 4 KiB page, 2: 2 MiB, 3: 1 GiB) that maps la in the tables at root. Missing tables
 * are made. */
u64 *pte_of(u64 *root, u64 la, unsigned level);
void map_page(u64 la, u64 pa, u64 flags);

/* -- ports, and what is written to them -- */
enum {
    PIC1 = 0x20,
    PIC1_MASK = 0x21,
    PIT_COUNTER0 = 0x40,
    PIT_COUNTER2 = 0x42,
    PIT_COMMAND = 0x43,
    PORT61 = 0x61,
    CMOS_INDEX = 0x70,
    CMOS_DATA = 0x71,
    PORT92 = 0x92,
    PIC2 = 0xa0,
    PIC2_MASK = 0xa1,
    PIC2_LEVELS = 0x4d1,
    RESET_CONTROL = 0xcf9,
};
#define PIC_EOI 0x20
#define PIC_READ_IRR 0x0a
#define PIT_HZ 1193182u
#define PIT_LATCH0 0
#define PIT_CHANNEL0(mode) (u8)(0x30 | (mode) << 1) /* both bytes of the count follow */

/* -- apic.c -- */
#define LVT_EXTINT (DELIVER_EXTINT << APIC_MODE_SHIFT) /* takes what the 8259s deliver */
#define ICR_INIT 0x4500u
#define ICR_SIPI 0x4600u
#define ICR_NMI 0x4400u
#define ICR_FIXED 0x4000u
#define ICR_SELF 0x40000u
#define ICR_ALL_OTHERS 0xc0000u
u32 apic_read(u32 reg);
void apic_write(u32 reg, u32 value);
void apic_enable(void);
void apic_ipi(u32 id, u32 icr_low);
void apic_eoi(struct frame *f);
/* Starts the CPU with this APIC ID at fn; if fn returns, the CPU halts. Returns false if the CPU does not start. */
bool ap_start(u32 id, void (*fn)(u32 id));
/* Prepares what firmware finds at 40:67, so that after INIT the boot CPU goes on at fn, as after ap_start. */
enum { WARM_EOI_JUMP = 5, WARM_JUMP = 10, WARM_IRET = 11, WARM_RETF = 12 };
void warm_start(u8 code, void (*fn)(u32 id));
void ap_main(void);
/* Waits by the PIT, and does not sleep. */
void delay_us(u32 us);
u64 tsc_per_ms(void);

/* -- instructions -- */
/* clang-format off */
static inline void outb(u16 port, u8 v) { __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
static inline void outw(u16 port, u16 v) { __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port)); }
static inline void outl(u16 port, u32 v) { __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port)); }
/* clang-format on */
static inline u8 inb(u16 port)
{
    u8 v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline u32 inl(u16 port)
{
    u32 v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline u8 cmos_read(u8 index)
{
    outb(0x70, index);
    return inb(0x71);
}

static inline void cmos_write(u8 index, u8 value)
{
    outb(0x70, index);
    outb(0x71, value);
}
static inline u64 rdmsr(u32 msr)
{
    u32 lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (u64)hi << 32 | lo;
}
static inline void wrmsr(u32 msr, u64 v)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
static inline u64 rdtsc(void)
{
    u32 lo, hi;
    __asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi));
    return (u64)hi << 32 | lo;
}
struct cpuid {
    u32 a, b, c, d;
};
static inline struct cpuid cpuid(u32 leaf, u32 sub)
{
    struct cpuid r;
    __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(sub));
    return r;
}
static inline bool is_intel(void)
{
    return cpuid(0, 0).c == 0x6c65746e; /* the last part of "GenuineIntel" */
}
#define REGISTER(name, reg)                                                                                            \
    static inline u64 read_##name(void)                                                                                \
    {                                                                                                                  \
        u64 v;                                                                                                         \
        __asm__ volatile("mov %%" #reg ", %0" : "=r"(v) : : "memory");                                                 \
        return v;                                                                                                      \
    }                                                                                                                  \
    static inline void write_##name(u64 v)                                                                             \
    {                                                                                                                  \
        __asm__ volatile("mov %0, %%" #reg : : "r"(v) : "memory");                                                     \
    }
REGISTER(cr0, cr0)
REGISTER(cr2, cr2)
REGISTER(cr3, cr3)
REGISTER(cr4, cr4)
REGISTER(cr8, cr8)
REGISTER(dr0, db0)
REGISTER(dr1, db1)
REGISTER(dr6, db6)
REGISTER(dr7, db7)
static inline void invlpg(u64 la)
{
    __asm__ volatile("invlpg (%0)" : : "r"(la) : "memory");
}
static inline u64 read_rflags(void)
{
    u64 v;
    __asm__ volatile("pushfq; pop %0" : "=r"(v));
    return v;
}
/* clang-format off */
static inline void write_rflags(u64 v) { __asm__ volatile("push %0; popfq" : : "r"(v) : "memory", "cc"); }
static inline void sti(void) { __asm__ volatile("sti; nop" : : : "memory"); }
static inline void cli(void) { __asm__ volatile("cli" : : : "memory"); }
static inline void cpu_pause(void) { __asm__ volatile("pause" : : : "memory"); }
/* clang-format on */

#endif
