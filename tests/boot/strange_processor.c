/*
 * Subjects of strange.h: all registers through signals and switches, faults that are repaired, exceptions of x87 and
 * SSE, bases, flags, restartable sequences, code that changes, many threads.
 */
#include "strange.h"

#include <cpuid.h>
#include <errno.h>
#include <immintrin.h>
#include <linux/filter.h>
#include <linux/rseq.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

#define FSGS __attribute__((target("fsgsbase")))

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}

/* -- all registers -- */

struct held {
    uint64_t loops;       /* 0 */
    uint32_t mxcsr;       /* 8 */
    uint16_t fcw, unused; /* 12 */
    uint64_t gpr[15];     /* 16: all but RSP */
    uint64_t k[8];        /* 136 */
    double st[3];         /* 200 */
    uint64_t flags;       /* 224 */
    uint8_t vector[32][64] __attribute__((aligned(64)));
};

/* Loads what GS base points at, waits, and stores it there again. */
void hold512(void);
void hold256(void);
__asm__(
    ".macro each_gpr op\n"
    " \\op rax, 16; \\op rbx, 24; \\op rcx, 32; \\op rdx, 40; \\op rsi, 48; \\op rdi, 56; \\op rbp, 64; \\op r8, 72\n"
    " \\op r9, 80; \\op r10, 88; \\op r11, 96; \\op r12, 104; \\op r13, 112; \\op r14, 120; \\op r15, 128\n"
    ".endm\n"
    ".macro load_gpr r, at\n mov %gs:\\at, %\\r\n .endm\n"
    ".macro save_gpr r, at\n mov %\\r, %gs:\\at\n .endm\n"
    ".macro hold name, v, move, count, masks\n"
    ".globl \\name\n"
    "\\name: push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    " fninit; fldl %gs:216; fldl %gs:208; fldl %gs:200; fldcw %gs:12; ldmxcsr %gs:8\n"
    " .set i, 0\n .rept \\count\n load_vector \\move, \\v, %i\n .set i, i + 1\n .endr\n"
    " .if \\masks\n .set i, 0\n .rept 8\n load_mask %i\n .set i, i + 1\n .endr\n .endif\n"
    " each_gpr load_gpr\n"
    " push %gs:224; popf\n"
    "1: nop; nop; nop; nop\n"
    " pushf; decq %gs:0; jz 2f; popf; jmp 1b\n"
    "2: pop %gs:224\n"
    " each_gpr save_gpr\n"
    " pushq $0x202; popf\n"
    " .if \\masks\n .set i, 0\n .rept 8\n save_mask %i\n .set i, i + 1\n .endr\n .endif\n"
    " .set i, 0\n .rept \\count\n save_vector \\move, \\v, %i\n .set i, i + 1\n .endr\n"
    " stmxcsr %gs:8; fnstcw %gs:12; fstpl %gs:200; fstpl %gs:208; fstpl %gs:216; fninit\n"
    " pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    " vzeroupper; ret\n"
    ".endm\n"
    ".altmacro\n"
    ".macro load_vector move, v, n\n \\move %gs:256 + 64 * \\n, %\\v\\n\n .endm\n"
    ".macro save_vector move, v, n\n \\move %\\v\\n, %gs:256 + 64 * \\n\n .endm\n"
    ".macro load_mask n\n kmovq %gs:136 + 8 * \\n, %k\\n\n .endm\n"
    ".macro save_mask n\n kmovq %k\\n, %gs:136 + 8 * \\n\n .endm\n"
    ".text\n"
    "hold hold512, zmm, vmovdqu64, 32, 1\n"
    "hold hold256, ymm, vmovdqu, 16, 0\n"
    ".noaltmacro\n");

static volatile unsigned ticks;

static __attribute__((noinline)) void wipe(void)
{
    static const uint32_t mxcsr = 0x1f80 | 0x8040;
    if (has_avx512())
        __asm__ volatile(
            "vpternlogd $255, %%zmm0, %%zmm0, %%zmm0; vmovdqu64 %%zmm0, %%zmm13; vmovdqu64 %%zmm0, %%zmm31\n"
            "kxnorq %%k1, %%k1, %%k1; kxnorq %%k7, %%k7, %%k7"
            :
            :
            : "memory");
    __asm__ volatile("vzeroall; fninit; fldpi; std; ldmxcsr %0; cld" : : "m"(mxcsr) : "memory");
}

static void on_tick(int signal)
{
    wipe();
    ticks++;
}

FSGS static void *hold_thread(void *opaque)
{
    uint64_t seed = (uintptr_t)opaque;
    static __thread struct held in, out;
    double until = (double)clock() / CLOCKS_PER_SEC + 3;
    for (unsigned round = 0; ticks < 300 && (double)clock() / CLOCKS_PER_SEC < until; round++) {
        uint8_t *bytes = (uint8_t *)&in;
        for (size_t i = 16; i < sizeof in; i++)
            bytes[i] = (uint8_t)((seed = seed * 6364136223846793005ull + 1442695040888963407ull) >> 56);
        in.mxcsr = 0x1f80 | (uint32_t)(seed >> 40 & 0x6000) | (seed >> 60 & 1 ? 0x8040 : 0);
        in.fcw = (uint16_t)(0x37f | (seed >> 30 & 0xc00));
        for (unsigned i = 0; i < 3; i++)
            in.st[i] = (double)(seed >> i);
        in.flags = 0x202 | (seed >> 20 & 0x2408d5) | (seed >> 33 & 0x400); /* AC, ID, DF and arithmetic */
        in.flags &= ~0x40000ull;
        in.loops = 20000;
        out = in;
        _writegsbase_u64((uint64_t)&out);
        (has_avx512() ? hold512 : hold256)();
        CHECK(_readgsbase_u64() == (uint64_t)&out, "GS base");
        _writegsbase_u64(0);
        in.loops = 0;
        CHECK(!memcmp(in.gpr, out.gpr, sizeof in.gpr), "a general register");
        CHECK(in.mxcsr == out.mxcsr && in.fcw == out.fcw, "MXCSR %#x %#x, FCW %#x %#x", in.mxcsr, out.mxcsr, in.fcw,
              out.fcw);
        CHECK(in.flags == out.flags || (in.flags ^ out.flags) == 0x10000, "RFLAGS %#lx %#lx", in.flags, out.flags);
        CHECK(!memcmp(in.st, out.st, sizeof in.st), "x87 registers");
        CHECK(!memcmp(in.k, out.k, sizeof in.k), "mask registers");
        for (unsigned i = 0; i < (has_avx512() ? 32 : 16); i++)
            CHECK(!memcmp(in.vector[i], out.vector[i], has_avx512() ? 64 : 32), "vector register %u", i);
    }
    return NULL;
}

static void registers(void)
{
    const struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    pthread_t t[3];
    signal(SIGALRM, on_tick);
    setitimer(ITIMER_REAL, &often, NULL);
    for (uintptr_t i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, hold_thread, (void *)(i + 11));
    for (unsigned i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    setitimer(ITIMER_REAL, &never, NULL);
    CHECK(ticks >= 50, "%u signals", ticks);
}

/* -- signals within signals, faults that are repaired -- */

static volatile unsigned depth, deepest;

static void on_int3(int signal)
{
    __m256i mine = _mm256_set1_epi32((int)++depth * 7), now;
    deepest = depth > deepest ? depth : deepest;
    __asm__ volatile("vmovdqu %1, %%ymm9; cmpl $30, %2; jae 1f; int3; 1: vmovdqu %%ymm9, %0"
                     : "=m"(now)
                     : "m"(mine), "m"(depth)
                     : "xmm9", "cc", "memory");
    CHECK(!memcmp(&now, &mine, sizeof now), "YMM9 in depth %u", depth);
    depth--;
}

static void nested_signals(void)
{
    struct sigaction a = {.sa_handler = on_int3, .sa_flags = SA_NODEFER};
    sigaction(SIGTRAP, &a, NULL);
    for (unsigned i = 0; i < 20; i++)
        __asm__ volatile("int3");
    CHECK(deepest == 30 && !depth, "depth %u", deepest);
}

static uint8_t *repaired;
static unsigned repairs;

static void on_repair(int signal, siginfo_t *info, void *context)
{
    uint8_t *page = (uint8_t *)((uintptr_t)info->si_addr & ~(PAGE - 1));
    if (page < repaired || page >= repaired + 256 * PAGE)
        _exit(5);
    repairs++;
    mprotect(page, PAGE, PROT_READ | PROT_WRITE);
}

static void repair(void)
{
    struct sigaction a = {.sa_sigaction = on_repair, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    static char stack[65536];
    stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&other, NULL);
    sigaction(SIGSEGV, &a, NULL);
    repaired = pages(256, PROT_NONE);
    for (int round = 1; round < 5; round++) {
        void *at = repaired;
        size_t count = 256 * PAGE;
        repairs = 0;
        if (round % 2)
            __asm__ volatile("rep stosb" : "+D"(at), "+c"(count) : "a"(round) : "memory");
        else
            for (size_t i = 0; i + 8 <= count; i += 8)
                *(volatile uint64_t *)(repaired + i) = 0x0101010101010101ull * (unsigned)round;
        size_t bad = 0;
        for (size_t i = 0; i < 256 * PAGE; i++)
            bad += repaired[i] != round;
        CHECK(!bad && repairs == 256, "%zu bytes are wrong, %u faults", bad, repairs);
        mprotect(repaired, 256 * PAGE, round % 3 ? PROT_READ : PROT_NONE);
    }
}

/* -- exceptions of x87 and SSE -- */

static struct {
    int code;
    uint64_t rip, fip, fdp;
    uint32_t mxcsr;
    uint16_t swd;
    unsigned count;
} arithmetic;

static void on_fpe(int signal, siginfo_t *info, void *context)
{
    mcontext_t *m = &((ucontext_t *)context)->uc_mcontext;
    arithmetic.code = info->si_code;
    arithmetic.rip = (uint64_t)m->gregs[REG_RIP];
    arithmetic.fip = m->fpregs->rip;
    arithmetic.fdp = m->fpregs->rdp;
    arithmetic.mxcsr = m->fpregs->mxcsr;
    arithmetic.swd = m->fpregs->swd;
    arithmetic.count++;
    m->fpregs->swd &= 0x7f00;
    m->fpregs->cwd = 0x37f;
    m->fpregs->mxcsr = 0x1f80;
}

static double operand[2] __attribute__((aligned(16)));

static void x87_case(const char *name, uint16_t unmasked, double a, double b)
{
    uint16_t cw = (uint16_t)(0x37f & ~unmasked);
    uint64_t at = 0;
    float f;
    operand[0] = b;
    arithmetic.count = 0;
    __asm__ volatile("fninit; fldl %3; fldcw %2; lea 1f(%%rip), %0\n"
                     "1: fdivl %4\n fsts %1; fwait; fninit"
                     : "=&r"(at), "=m"(f)
                     : "m"(cw), "m"(a), "m"(operand[0])
                     : "memory");
    RESULT("x87 %s: %u, code %d, RIP +%ld, FIP +%ld, status %#x", name, arithmetic.count, arithmetic.code,
           arithmetic.rip - at, arithmetic.fip - at, arithmetic.swd);
    CHECK(!arithmetic.fdp || arithmetic.fdp == (uint64_t)operand, "FDP %#lx", arithmetic.fdp); /* 0: translated code */
}

static void sse_case(const char *name, uint32_t unmasked, double a, double b)
{
    uint32_t csr = 0x1f80 & ~unmasked;
    uint64_t at = 0;
    __m128d x = _mm_set_sd(a), y = _mm_set_sd(b);
    arithmetic.count = 0;
    __asm__ volatile("ldmxcsr %2; lea 1f(%%rip), %0\n 1: divsd %3, %1\n cvtsd2ss %1, %1"
                     : "=&r"(at), "+x"(x)
                     : "m"(csr), "x"(y));
    RESULT("SSE %s: %u, code %d, RIP +%ld, MXCSR %#x", name, arithmetic.count, arithmetic.code, arithmetic.rip - at,
           arithmetic.mxcsr);
    csr = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(csr));
}

static void exceptions(void)
{
    struct sigaction a = {.sa_sigaction = on_fpe, .sa_flags = SA_SIGINFO};
    sigaction(SIGFPE, &a, NULL);
    for (unsigned i = 0; i < 3; i++) {
        x87_case("invalid", 1, 0, 0);
        x87_case("denormal", 2, 1, 4e-320);
        x87_case("zero", 4, 1, 0);
        x87_case("precision", 0x20, 1, 3);
        x87_case("masked", 0, 1, 0);
        sse_case("invalid", 0x80, 0, 0);
        sse_case("denormal", 0x100, 1, 4e-320);
        sse_case("zero", 0x200, 1, 0);
        sse_case("overflow", 0x400, 1e300, 1e-300);
        sse_case("underflow", 0x800, 1e-300, 1e300);
        sse_case("precision", 0x1000, 1, 3);
        sse_case("masked", 0, 1, 0);
    }
    uint32_t csr = 0x9fc0; /* FTZ, DAZ */
    volatile double tiny = 4e-320, one = 1;
    __asm__ volatile("ldmxcsr %0" : : "m"(csr));
    for (unsigned i = 0; i < 1000; i++) {
        if (i % 100 == 0)
            getppid();
        CHECK(tiny * one == 0, "denormals are not zeros");
    }
}

/* -- alignment -- */

static void alignment(void)
{
    uint8_t *p = pages(1, PROT_READ | PROT_WRITE);
    unsigned faults = 0;
    for (unsigned i = 0; i < 64; i++) {
        int signal = FAULT_OF(({
            __asm__ volatile("lea -128(%%rsp), %%rsp; pushf; orl $0x40000, (%%rsp); popf\n"
                             "mov (%0), %%eax; pushf; andl $~0x40000, (%%rsp); popf; lea 128(%%rsp), %%rsp"
                             :
                             : "r"(p + i)
                             : "eax", "memory", "cc");
        }));
        __asm__ volatile("lea -128(%%rsp), %%rsp; pushf; andl $~0x40000, (%%rsp); popf; lea 128(%%rsp), %%rsp"
                         :
                         :
                         : "cc", "memory");
        CHECK(!signal || (signal == SIGBUS && fault_info.si_code == BUS_ADRALN), "signal %d", signal);
        faults += !!signal;
    }
    RESULT("%u of 64 accesses are not aligned", faults);
}

/* -- bases of FS and GS -- */

FSGS static void *bases_thread(void *opaque)
{
    uint64_t seed = (uintptr_t)opaque, fs = _readfsbase_u64();
    for (unsigned i = 0; i < 300; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        uint64_t gs = i % 3 == 0 ? seed >> 20 : i % 3 == 1 ? (uint64_t)((int64_t)seed >> 17) : 0x7ffffffff000ul - i;
        _writegsbase_u64(gs);
        if (i % 8 == 0)
            sched_yield();
        CHECK(_readgsbase_u64() == gs, "GS base %#lx is not %#lx", (unsigned long)_readgsbase_u64(), (unsigned long)gs);
        unsigned long told = 0;
        syscall(SYS_arch_prctl, 0x1004 /* ARCH_GET_GS */, &told);
        CHECK(told == gs, "ARCH_GET_GS %#lx", told);
        syscall(SYS_arch_prctl, 0x1001 /* ARCH_SET_GS */, seed >> 18);
        CHECK(_readgsbase_u64() == seed >> 18, "ARCH_SET_GS");
        uint64_t mine[8] = {seed}, got;
        _writefsbase_u64((uint64_t)mine);
        __asm__ volatile("mov $39, %%eax; syscall; mov %%fs:0, %0" : "=r"(got) : : "rax", "rcx", "r11", "memory");
        _writefsbase_u64(fs);
        CHECK(got == seed, "FS base");
    }
    return NULL;
}

static void bases(void)
{
    pthread_t t[3];
    for (uintptr_t i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, bases_thread, (void *)(i + 5));
    for (unsigned i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
}

/* -- selectors and IRET of user code -- */

static void returns(void)
{
    uint16_t cs, ss, fs;
    unsigned good = 0;
    for (unsigned i = 0; i < 500; i++) {
        uint64_t done = 0;
        __asm__ volatile("mov %%rsp, %%rax; lea -128(%%rsp), %%rsp; mov %%ss, %%ecx; push %%rcx; push %%rax; pushf\n"
                         "orl $0x200400, (%%rsp); mov %%cs, %%ecx; push %%rcx; lea 1f(%%rip), %%rcx; push %%rcx\n"
                         "iretq; ud2\n 1: pushf; pop %0; cld"
                         : "=r"(done)
                         :
                         : "rax", "rcx", "memory", "cc");
        good += (done & 0x200400) == 0x200400;
        __asm__ volatile("lea -128(%%rsp), %%rsp; pushq $0x202; popf; lea 128(%%rsp), %%rsp" : : : "cc", "memory");
        __asm__ volatile("pushf; pop %0" : "=r"(done));
        good += !(done & 0x200400);
    }
    __asm__ volatile("mov %%cs, %0; mov %%ss, %1; mov %%fs, %2" : "=r"(cs), "=r"(ss), "=r"(fs));
    RESULT("%u good, CS %x, SS %x, FS %x", good, cs, ss, fs);
    char line[0x90 * 5] = "";
    for (uint16_t s = 0; s < 0x90; s++) {
        int signal = FAULT_OF(({ __asm__ volatile("mov %0, %%es" : : "r"(s)); }));
        uint16_t es;
        __asm__ volatile("mov %%es, %0" : "=r"(es));
        getppid();
        if (s != 0x7b && s != 0x78 && s != 0x79 && s != 0x7a) /* where Linux may have the CPU's number */
            snprintf(line + strlen(line), sizeof line - strlen(line), signal ? " -" : " %x", es);
        CHECK(!signal || signal == SIGSEGV, "signal %d", signal);
        __asm__ volatile("mov %0, %%es" : : "r"((uint16_t)0));
    }
    RESULT("selectors%s", line);
}

/* -- time-stamp counter, CPU's number -- */

static UNFIT int cpu_by_rdpid(uint64_t *id)
{
    return FAULT_OF(({ __asm__ volatile("rdpid %0" : "=r"(*id)); }));
}

static void tsc(void)
{
    int mode = 0;
    for (unsigned i = 0; i < 20; i++) {
        prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
        prctl(PR_GET_TSC, &mode);
        CHECK(mode == PR_TSC_SIGSEGV && FAULT_OF(__rdtsc()) == SIGSEGV, "RDTSC is allowed");
        unsigned aux;
        CHECK(FAULT_OF(__rdtscp(&aux)) == SIGSEGV, "RDTSCP is allowed");
        prctl(PR_SET_TSC, PR_TSC_ENABLE);
        CHECK(!FAULT_OF(__rdtsc()), "RDTSC is forbidden");
    }
    uint64_t last = 0;
    for (int i = 0; i < 200; i++) {
        cpu_set_t cpus;
        unsigned aux, cpu = (unsigned)i / 10 % (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
        CPU_ZERO(&cpus);
        CPU_SET(cpu, &cpus);
        sched_setaffinity(0, sizeof cpus, &cpus);
        uint64_t is = __rdtscp(&aux);
        CHECK((aux & 0xfff) == cpu, "RDTSCP: CPU %u is not %u", aux & 0xfff, cpu);
        CHECK((unsigned)sched_getcpu() == cpu, "getcpu");
        CHECK(is > last, "the TSC goes back");
        last = is;
        uint64_t id = cpu;
        if (!cpu_by_rdpid(&id))
            CHECK((id & 0xfff) == cpu, "RDPID: CPU %lu is not %u", (unsigned long)id & 0xfff, cpu);
    }
}

/* -- XSAVE, protection keys -- */

static uint8_t area[8192] __attribute__((aligned(64)));

static UNFIT unsigned xsave_kinds(void)
{
    unsigned a, b, c, d;
    __cpuid_count(0xd, 1, a, b, c, d);
    return a;
}

#define SAVE(how)                                                                                                      \
    __asm__ volatile("vmovdqu %1, %%ymm7; " how " %0" : "+m"(area) : "m"(x), "a"(mask), "d"(0) : "xmm7", "memory")

static UNFIT void xsave(void)
{
    bool compact = xsave_kinds() & 2, optimised = xsave_kinds() & 1;
    for (uint64_t round = 0; round < 300; round++) {
        __m256i x = _mm256_set1_epi64x((long long)(round * 0x123456789abcdefull)), y;
        uint32_t mask = round % 3 ? 7 : 6;
        memset(area, round % 2 ? 0xff : 0, sizeof area);
        memset(area + 512, 0, 64);
        switch (round % 3 + (compact && optimised ? 0 : 5)) {
        case 1: SAVE("xsavec64"); break;
        case 2: SAVE("xsaveopt64"); break;
        default: SAVE("xsave64");
        }
        if (round % 10 == 0)
            sched_yield();
        __asm__ volatile("vpxor %%ymm7, %%ymm7, %%ymm7; xrstor64 %1; vmovdqu %%ymm7, %0; fninit"
                         : "=m"(y)
                         : "m"(area), "a"(mask), "d"(0)
                         : "xmm7", "memory");
        CHECK(!memcmp(&x, &y, 32) || !round, "YMM7 by XSAVE %lu", (unsigned long)round);
    }
    area[512 + 9] = 1; /* reserved in the header */
    CHECK(FAULT_OF(({ __asm__ volatile("xrstor64 %0" : : "m"(area), "a"(7), "d"(0)); })) == SIGSEGV, "bad XRSTOR");
}

__attribute__((target("pku,xsave"))) static UNFIT void keys(void)
{
    int key = pkey_alloc(0, 0);
    if (key < 0) {
        SKIP("no protection keys");
        return;
    }
    uint8_t *p = pages(2, PROT_READ | PROT_WRITE);
    pkey_mprotect(p, PAGE, PROT_READ | PROT_WRITE, key);
    uint32_t open = _rdpkru_u32();
    for (unsigned i = 0; i < 60; i++) {
        uint32_t shut = open | (i % 2 ? 1u : 2u) << key * 2;
        WRITE(p, i);
        if (i % 3) {
            _wrpkru(shut);
        } else { /* by XRSTOR */
            _xsave64(area, 0x200);
            unsigned a, b, c, d;
            __cpuid_count(0xd, 9, a, b, c, d);
            memcpy(area + b, &shut, 4);
            area[512 + 1] |= 2;
            _xrstor64(area, 0x200);
        }
        CHECK(_rdpkru_u32() == shut, "PKRU %#x", _rdpkru_u32());
        int signal = FAULT_OF(READ(p));
        CHECK(signal == (i % 2 ? SIGSEGV : 0), "read: signal %d", signal);
        _wrpkru(shut); /* signals set it */
        signal = FAULT_OF(WRITE(p, 1));
        CHECK(signal == SIGSEGV && fault_info.si_code == SEGV_PKUERR, "write: signal %d", signal);
        CHECK(!FAULT_OF(WRITE(p + PAGE, 1)), "another page");
        _wrpkru(open);
        CHECK(READ(p) == (uint8_t)i, "the page");
        memset(area, 0, sizeof area);
        _xsave64(area, 0x200);
        CHECK(_rdpkru_u32() == open, "PKRU after XSAVE");
    }
}

/* -- restartable sequences -- */

static unsigned aborts;

static void on_alarm(int signal)
{
}

static void restartable(void)
{
    if (!__rseq_size) {
        SKIP("no rseq");
        return;
    }
    volatile struct rseq *r = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
    const struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &often, NULL);
    for (unsigned i = 0; i < 60; i++) {
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET(i % (unsigned)sysconf(_SC_NPROCESSORS_ONLN), &cpus);
        sched_setaffinity(0, sizeof cpus, &cpus);
        CHECK(r->cpu_id == i % (unsigned)sysconf(_SC_NPROCESSORS_ONLN), "CPU %u", r->cpu_id);
        struct rseq_cs cs __attribute__((aligned(32))) = {0};
        unsigned aborted = 0;
        __asm__ volatile("lea 1f(%%rip), %%rax; mov %%rax, %[start]; lea 3f(%%rip), %%rax; mov %%rax, %[abort]\n"
                         "lea 2f(%%rip), %%rax; lea 1f(%%rip), %%rcx; sub %%rcx, %%rax; mov %%rax, %[size]\n"
                         "lea %[cs], %%rax; mov %%rax, %[pointer]\n"
                         "1: jmp 1b\n 2: jmp 4f\n"
                         ".byte 0x0f, 0xb9, 0x3d; .long 0x53053053\n"
                         "3: incl %[aborted]\n 4:"
                         : [aborted] "+m"(aborted), [start] "=m"(cs.start_ip), [abort] "=m"(cs.abort_ip),
                           [size] "=m"(cs.post_commit_offset), [pointer] "=m"(r->rseq_cs)
                         : [cs] "m"(cs)
                         : "rax", "rcx", "memory", "cc");
        aborts += aborted;
    }
    setitimer(ITIMER_REAL, &never, NULL);
    CHECK(aborts == 60, "%u sequences were aborted", aborts);
}

/* -- system calls that are filtered -- */

static uint64_t sys_address;
static int sys_number;

static void on_sys(int signal, siginfo_t *info, void *context)
{
    sys_address = (uint64_t)info->si_call_addr;
    sys_number = info->si_syscall;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = 1234;
}

static void filtered(void)
{
    struct sigaction a = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getuid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {LENGTH(code), code};
    sigaction(SIGSYS, &a, NULL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "seccomp");
    for (unsigned i = 0; i < 50; i++) {
        long result = SYS_getppid;
        uint64_t behind;
        __asm__ volatile("syscall; 1: lea 1b(%%rip), %1" : "+a"(result), "=r"(behind) : : "rcx", "r11", "memory");
        CHECK(result == 1234 && sys_number == SYS_getppid && sys_address == behind, "SIGSYS at %#lx", sys_address);
        CHECK(syscall(SYS_getuid) == -1 && errno == 77, "errno");
    }
}

/* -- processes and threads -- */

static void starts(void)
{
    for (unsigned i = 0; i < 40; i++) {
        pid_t child = vfork();
        if (!child) {
            execl("/proc/self/exe", "strange", "child", NULL);
            _exit(8);
        }
        int status = 0;
        waitpid(child, &status, 0);
        CHECK(WEXITSTATUS(status) == 7, "status %#x", status);
    }
}

/* Runs another program, which lies beside this one. Returns its exit status. */
static int run_beside(const char *name, char *argument)
{
    char path[256];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 32);
    path[n > 0 ? n : 0] = 0;
    strcpy(strrchr(path, '/') + 1, name);
    pid_t child = fork();
    if (!child) {
        personality(ADDR_NO_RANDOMIZE); /* ThreadSanitizer wants it */
        setenv("ASAN_OPTIONS", "exitcode=23", 1);
        setenv("TSAN_OPTIONS", "exitcode=23", 1);
        if (argument && !freopen("/dev/null", "w", stderr))
            _exit(9);
        execl(path, name, argument, NULL);
        _exit(99);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void narrow(void)
{
    for (unsigned i = 0; i < 3; i++) {
        int status = run_beside("strange32", NULL);
        CHECK(status == 42, "status %d", status);
    }
}

static void sanitized(void)
{
    static const char *const programs[] = {"sanitized-address", "sanitized-thread"};
    for (unsigned i = 0; i < 2; i++) {
        int good = run_beside(programs[i], NULL), bad = run_beside(programs[i], "bad");
        CHECK(good == 0 && bad == 23, "%s: status %d, %d", programs[i], good, bad);
    }
}

#define THREADS 128
static __thread uint64_t own[16];
static pthread_mutex_t ring_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ring_turn[THREADS];
static unsigned ring_at;
static uint64_t ring_sum;

FSGS static void *ring_thread(void *opaque)
{
    unsigned me = (unsigned)(uintptr_t)opaque;
    uint64_t fs = _readfsbase_u64();
    for (unsigned round = 0; round < 8; round++) {
        for (unsigned i = 0; i < 500; i++)
            own[i % 16] += me + i;
        pthread_mutex_lock(&ring_lock);
        while (ring_at % THREADS != me)
            pthread_cond_wait(&ring_turn[me], &ring_lock);
        ring_sum = ring_sum * 3 + me;
        ring_at++;
        pthread_cond_signal(&ring_turn[ring_at % THREADS]);
        pthread_mutex_unlock(&ring_lock);
        CHECK(_readfsbase_u64() == fs && *(uint64_t *)fs == fs, "FS base");
    }
    for (unsigned i = 0; i < 16; i++) {
        uint64_t wanted = 0;
        for (unsigned n = i; n < 500; n += 16)
            wanted += me + n;
        CHECK(own[i] == wanted * 8, "data of thread %u", me);
    }
    return NULL;
}

static void many_threads(void)
{
    pthread_t t[THREADS];
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_cond_init(&ring_turn[i], NULL);
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(!pthread_create(&t[i], &small, ring_thread, (void *)i), "thread");
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    RESULT("%u turns, %#lx", ring_at, (unsigned long)ring_sum);
}

/* -- code that changes -- */

/* MOV EAX, imm32 across two pages; either half changes. */
static void straddling_code(void)
{
    uint8_t *p = pages(2, PROT_READ | PROT_WRITE | PROT_EXEC), *at = p + PAGE - 3;
    memcpy(at, (uint8_t[]){0xb8, 0, 0, 0, 0, 0xc3}, 6);
    for (uint32_t i = 1; i < 600; i++) {
        uint32_t value;
        at[1 + i % 4] = (uint8_t)i;
        memcpy(&value, at + 1, 4);
        CHECK(((uint32_t(*)(void))at)() == value, "round %u", i);
        if (i % 50 == 0)
            mprotect(p + i / 50 % 2 * PAGE, PAGE, i % 100 ? PROT_READ | PROT_EXEC : PROT_READ | PROT_WRITE | PROT_EXEC);
        if (i % 100 == 50)
            CHECK(FAULT_OF(((uint32_t(*)(void))at)()) == 0, "read-only code");
        if (i % 50 == 0)
            mprotect(p, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    }
}

/* A compiler at run time: one thread writes functions and flips rights or writes by an alias, others call them. */
static uint8_t *flip_run, *flip_write;
static volatile bool flip_stop;
static unsigned flip_calls;

static void *flip_thread(void *opaque)
{
    while (!flip_stop) {
        for (unsigned i = 0; i < 64; i++) {
            volatile uint32_t got = 0;
            int signal = FAULT_OF(got = ((uint32_t(*)(void))(flip_run + i * 64))());
            CHECK(signal == 0 || signal == SIGSEGV, "signal %d", signal);
            CHECK(signal || got % 64 == i, "function %u returned %u", i, got);
            __atomic_fetch_add(&flip_calls, !signal, __ATOMIC_RELAXED);
        }
        if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
            sched_yield();
    }
    return NULL;
}

static void flips(bool alias)
{
    int fd = memfd_create("code", 0);
    CHECK(!ftruncate(fd, PAGE), "ftruncate");
    flip_write = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    flip_run = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    flip_stop = false;
    flip_calls = 0;
    for (uint32_t i = 0; i < 64; i++)
        memcpy(flip_write + i * 64, (uint8_t[]){0xb8, (uint8_t)i, 0, 0, 0, 0xc3}, 6);
    pthread_t t[2];
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, flip_thread, NULL);
    while (__atomic_load_n(&flip_calls, __ATOMIC_RELAXED) < 100)
        sched_yield();
    for (uint32_t n = 1; n < 200; n++) {
        uint32_t f = n * 37 % 64, value = n / 4 * 64 + f;
        uint8_t *to = (alias ? flip_write : flip_run) + f * 64 + 1;
        if (!alias)
            mprotect(flip_run, PAGE, PROT_READ | PROT_WRITE);
        __atomic_store_n((uint32_t *)to, value, __ATOMIC_SEQ_CST); /* within a line: seen whole */
        if (!alias)
            mprotect(flip_run, PAGE, PROT_READ | PROT_EXEC);
        serialize();
        CHECK(((uint32_t(*)(void))(flip_run + f * 64))() == value, "the writer runs old code");
        if (n % 16 == 0)
            sched_yield();
    }
    flip_stop = true;
    for (unsigned i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
}

static void flips_of_rights(void)
{
    flips(false);
}

static void flips_of_an_alias(void)
{
    flips(true);
}

/* INT3 that another thread puts into code and takes away, as debuggers and tracers do. */
static uint8_t *probed;
static volatile unsigned probes;

static void on_probe(int signal, siginfo_t *info, void *context)
{
    uint64_t rip = (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    CHECK(rip == (uint64_t)probed + 6, "INT3 at +%ld", rip - (uint64_t)probed - 1);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = (greg_t)probed + 6;
    probes++;
}

static void *probe_thread(void *opaque)
{
    uint8_t *alias = opaque;
    for (unsigned i = 0; !flip_stop; i++) {
        __atomic_store_n(alias + 5, i % 2 ? 0x90 : 0xcc, __ATOMIC_SEQ_CST);
        for (volatile unsigned k = 0; k < i * 37 % 500; k++) {
        }
        if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
            sched_yield();
    }
    return NULL;
}

static void probes_of_another_thread(void)
{
    struct sigaction a = {.sa_sigaction = on_probe, .sa_flags = SA_SIGINFO};
    sigaction(SIGTRAP, &a, NULL);
    int fd = memfd_create("code", 0);
    CHECK(!ftruncate(fd, PAGE), "ftruncate");
    uint8_t *alias = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    probed = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    memcpy(alias, (uint8_t[]){0xb8, 1, 0, 0, 0, 0x90, 0xff, 0xc0, 0xc3}, 9);
    pthread_t t;
    flip_stop = false;
    pthread_create(&t, NULL, probe_thread, alias);
    for (unsigned i = 0; probes < 2000 && i < 4000000; i++) {
        CHECK(((uint32_t(*)(void))probed)() == 2, "the code's result");
        if (i % 64 == 0)
            sched_yield();
    }
    flip_stop = true;
    pthread_join(t, NULL);
    CHECK(probes > 0, "no probe was hit");
}

/* -- the vsyscall page -- */

static void vsyscall(void)
{
    time_t (*call)(time_t *) = (time_t(*)(time_t *))0xffffffffff600400;
    if (FAULT_OF(call(NULL)))
        return SKIP("no vsyscall page"), (void)0;
    for (unsigned i = 0; i < 20; i++) {
        time_t before = time(NULL), is = call(NULL);
        CHECK(is >= before && is <= before + 2, "time %ld is not %ld", (long)is, (long)before);
    }
}

const struct subject processor_subjects[] = {
    {"registers", registers},
    {"nested-signals", nested_signals},
    {"repair", repair},
    {"exceptions", exceptions},
    {"alignment", alignment},
    {"bases", bases},
    {"returns", returns},
    {"tsc", tsc},
    {"xsave", xsave},
    {"keys", keys},
    {"restartable", restartable},
    {"filtered", filtered},
    {"starts", starts},
    {"many-threads", many_threads},
    {"32-bit", narrow},
    {"sanitizers", sanitized},
    {"straddling-code", straddling_code},
    {"flips-of-rights", flips_of_rights},
    {"flips-of-an-alias", flips_of_an_alias},
    {"probes", probes_of_another_thread},
    {"vsyscall", vsyscall},
    {NULL, NULL},
};
