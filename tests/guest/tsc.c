/*
 * What user code sees of the processor by itself, without a fault: the TSC, TSC_AUX and CPUID are the guest's, whoever
 * executes the code. With direct execution RDTSC is the host's CPU's as long as the guest's TSC is the host's, and
 * pages with few CPUIDs are executed with breakpoints, which user code tries to pass here.
 * Source: SDM vol. 3B "Time-Stamp Counter", "IA32_TSC_ADJUST Register"; vol. 3B "Instruction-Breakpoint Exception
 * Condition"; vol. 2 "MOV", "IRET".
 */
#include "runtime.h"

#define MSR_TSC 0x10
#define MSR_TSC_ADJUST 0x3b
#define MSR_TSC_AUX 0xc0000103
#define TURNS 20000u
#define LEAF 0x40000000u

static USER_DATA u64 seen[2];

/* clang-format off */
USER_TEXT __attribute__((aligned(4096))) static void user_rdtsc(void *p)
{
    u32 low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    *(u64 *)p = (u64)high << 32 | low;
}
USER_TEXT __attribute__((aligned(4096))) static void user_rdtscp(void *p)
{
    u32 low, high, aux;
    __asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(aux));
    ((u64 *)p)[0] = (u64)high << 32 | low;
    ((u64 *)p)[1] = aux;
}
/* clang-format on */

/* Do users read a TSC between those that the kernel reads? */
static bool reads_same(void (*fn)(void *))
{
    for (unsigned i = 0; i < 20; i++) {
        u64 before = rdtsc();
        struct fault f = catch_user(fn, seen);
        u64 behind = rdtsc();
        if (f.raised || seen[0] < before || seen[0] > behind)
            return false;
    }
    return true;
}

static void times(void)
{
    bool rdtscp = cpuid(0x80000001, 0).d & BIT(27), adjust = cpuid(7, 0).b & BIT(1);
    check(reads_same(user_rdtsc), "users read the kernel's TSC");
    wrmsr(MSR_TSC, 1ull << 50);
    u64 now = rdtsc();
    check(now >= 1ull << 50 && now < (1ull << 50) + (1ull << 40), "the TSC goes on from what is written");
    check(reads_same(user_rdtsc), "users read what was written");
    if (rdtscp) {
        wrmsr(MSR_TSC_AUX, 0xabcd);
        check(reads_same(user_rdtscp) && seen[1] == 0xabcd, "RDTSCP reads it, and TSC_AUX");
    }
    if (adjust) {
        wrmsr(MSR_TSC_ADJUST, 0);
        check(reads_same(user_rdtsc), "users read a TSC that is adjusted back");
        if (rdtscp)
            check(reads_same(user_rdtscp) && seen[1] == 0xabcd, "RDTSCP reads TSC_AUX");
        wrmsr(MSR_TSC_ADJUST, 12345678901);
        check(reads_same(user_rdtsc), "users read a TSC that is adjusted");
        wrmsr(MSR_TSC_ADJUST, 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        write_cr4(read_cr4() | CR4_TSD);
        struct fault f = catch_user(user_rdtsc, seen);
        check(f.raised && f.vector == EXC_GP, "CR4.TSD: RDTSC faults");
        f = catch_user(user_rdtscp, seen);
        check(f.raised && f.vector == (rdtscp ? EXC_GP : EXC_UD), "CR4.TSD: RDTSCP faults");
        write_cr4(read_cr4() & ~CR4_TSD);
        check(reads_same(user_rdtsc), "without it they do not");
    }
}

/* -- CPUID -- */

static USER_DATA __attribute__((aligned(4096))) u8 code[4][4096];

static USER_DATA struct job {
    u8 *fn;
    u32 should[4];
    u32 wrong;
} job;

USER_TEXT __attribute__((aligned(4096))) static void user_loop(void *p)
{
    struct job *j = p;
    for (u32 i = 0; i < TURNS; i++) {
        u32 a = LEAF, b, c = 0, d;
        __asm__ volatile("call *%4" : "+a"(a), "=&b"(b), "+c"(c), "=&d"(d) : "r"(j->fn) : "r8", "r9", "memory", "cc");
        j->wrong += a != j->should[0] || b != j->should[1] || c != j->should[2] || d != j->should[3];
    }
}

/* Code that ends with CPUID and RET is called again and again: the first time it is translated, and behind that
 * executed with breakpoints, until it stops too often. */
static void try(u8 *at, const void *bytes, size_t size, const char *name)
{
    copy(at, bytes, size);
    copy(at + size, (const u8[]){0x0f, 0xa2, 0xc3}, 3);
    job.fn = at;
    job.wrong = 0;
    for (unsigned i = 0; i < 4; i++)
        job.wrong += catch_user(user_loop, &job).raised;
    check_eq(job.wrong, 0, name);
}
#define TRY(at, name, ...)                                                                                             \
    do {                                                                                                               \
        const u8 bytes[] = {__VA_ARGS__};                                                                              \
        try(at, bytes, sizeof bytes, name);                                                                            \
    } while (0)

#define RET_SLED(i) fill(code[i], 0xc3, sizeof code[i])

/* Goes to `to` by an IRETQ that sets RFLAGS.RF, which makes an instruction pass breakpoints. */
static void iret_to(u8 *at, const u8 *to)
{
    u64 address = (u64)to;
    const u8 bytes[] = {0x49, 0x89, 0xe0, 0x6a, SEL_USER_DATA, 0x41,          0x50, 0x9c, 0x81, 0x0c, 0x24,
                        0,    0,    1,    0,    0x6a,          SEL_USER_CODE, 0x49, 0xb9};
    copy(at, bytes, sizeof bytes);
    copy(at + sizeof bytes, &address, 8);
    copy(at + sizeof bytes + 8, (const u8[]){0x41, 0x51, 0x48, 0xcf}, 4);
}

static void cpuids(void)
{
    struct cpuid c = cpuid(LEAF, 0);
    job.should[0] = c.a, job.should[1] = c.b, job.should[2] = c.c, job.should[3] = c.d;
    for (unsigned i = 0; i < 4; i++)
        RET_SLED(i);
    TRY(code[0] + 64, "CPUID in a loop", 0x90);
    TRY(code[0] + 256, "CPUID and another one", 0x66, 0x90);
    TRY(code[0] + 512, "with prefixes", 0x66, 0xf2);
    TRY(code[0] + 768, "the fourth one", 0x90);
    TRY(code[1] + 64, "in another page", 0x90);
    TRY(code[0] + 1024, "the fifth one of a page", 0x90);
    RET_SLED(0);
    TRY(code[0], "at the start of a page", 0x90);
    RET_SLED(0);
    RET_SLED(1);
    TRY(code[1] - 3, "at the end of a page", 0x90);
    RET_SLED(0);
    RET_SLED(1);
    TRY(code[1] - 2, "across two pages", 0x90);
    RET_SLED(0);
    RET_SLED(1);
    TRY(code[0] + 64, "behind MOV SS", 0x41, 0xb8, SEL_USER_DATA, 0, 0, 0, 0x41, 0x8e, 0xd0);
    TRY(code[1] + 9, "behind MOV SS from memory at the start of a page", 0x6a, SEL_USER_DATA, 0x8e, 0x14, 0x24, 0x90,
        0x41, 0x58);
    RET_SLED(0);
    RET_SLED(1);
    iret_to(code[0] + 64, code[0] + 256);
    iret_to(code[1] + 64, code[2] + 256);
    copy(code[0] + 256, (const u8[]){0x0f, 0xa2, 0xc3}, 3);
    copy(code[2] + 256, (const u8[]){0x0f, 0xa2, 0xc3}, 3);
    for (unsigned i = 0; i < 2; i++) {
        job.fn = code[i] + 64;
        job.wrong = 0;
        for (unsigned n = 0; n < 4; n++)
            job.wrong += catch_user(user_loop, &job).raised;
        check_eq(job.wrong, 0, i ? "behind an IRETQ with RF in another page" : "behind an IRETQ with RF");
    }
}

int main(void)
{
    users_fit();
    times();
    cpuids();
    return 0;
}
