/*
 * User code that does what is strange, as /init of a guest or natively: what it prints is the same wherever it runs
 * exactly. Each line is the result of one thing: faults with all that a signal handler sees of them, code that changes,
 * single steps, mappings that come and go, forks, threads, registers that survive.
 */
#include <errno.h>
#include <fcntl.h>
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096ul
#define SAY(...) (printf("direct: " __VA_ARGS__), putchar('\n'), fflush(stdout))

/* -- faults -- */

static struct seen {
    int signal, code;
    uint64_t address, rip, rsp, rax, error, trap, flags;
    int count;
} seen;
static volatile uint64_t resume_at;
static char signal_stack[65536];

static void on_fault(int signal, siginfo_t *info, void *context)
{
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
    seen = (struct seen){signal,
                         info->si_code,
                         (uint64_t)info->si_addr,
                         (uint64_t)g[REG_RIP],
                         (uint64_t)g[REG_RSP],
                         (uint64_t)g[REG_RAX],
                         (uint64_t)g[REG_ERR],
                         (uint64_t)g[REG_TRAPNO],
                         (uint64_t)g[REG_EFL],
                         seen.count + 1};
    g[REG_EFL] &= ~0x40100ll;
    if (!resume_at && seen.count > 1) {
        SAY("signal %d at %#lx, address %#lx", signal, seen.rip, seen.address);
        _exit(1);
    }
    if (resume_at)
        g[REG_RIP] = (greg_t)resume_at;
    resume_at = 0;
}

static uint8_t *code; /* at a fixed address, writable and executable */

#define CODE ((uint8_t *)0x300000000ul)
#define DATA ((uint8_t *)0x310000000ul)

/* Runs some bytes of code with RDI = RAX = `rdi`; they fault, or return. */
static void try(const char *name, const void *bytes, size_t size, uint64_t rdi)
{
    memset(code, 0x90, 64);
    memcpy(code, bytes, size);
    code[size] = 0xc3;
    seen = (struct seen){0};
    uint64_t result = rdi, rsp;
    __asm__ volatile("lea 1f(%%rip), %%rbx\n mov %%rbx, %[resume]\n mov %%rsp, %%r12\n mov %%rsp, %[rsp]\n"
                     "sub $128, %%rsp\n test %%rsp, %%rsp\n xor %%ebx, %%ebx\n call *%[code]\n"
                     "1: mov %%r12, %%rsp"
                     : "+a"(result), "+D"(rdi), [resume] "=m"(resume_at), [rsp] "=m"(rsp)
                     : [code] "r"(code)
                     : "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory",
                       "cc");
    resume_at = 0;
    SAY("%s: signal %d code %d address %#lx rip +%ld rsp %ld rax %#lx error %#lx trap %lu flags %#lx count %d", name,
        seen.signal, seen.code, seen.address, seen.rip ? (long)(seen.rip - (uint64_t)code) : 0l,
        seen.rsp && !(seen.rsp >> 63) ? (long)(rsp - seen.rsp) : 0l, seen.rax, seen.error, seen.trap,
        seen.flags & 0x254dd5, seen.count);
}
#define TRY(name, rdi, ...)                                                                                            \
    do {                                                                                                               \
        const uint8_t bytes[] = {__VA_ARGS__};                                                                         \
        try(name, bytes, sizeof bytes, (uint64_t)(rdi));                                                               \
    } while (0)

static void faults(void)
{
    mmap(DATA, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    mprotect(DATA + PAGE, PAGE, PROT_READ);
    mprotect(DATA + 2 * PAGE, PAGE, PROT_NONE);
    munmap(DATA + 4 * PAGE, PAGE);
    TRY("read of nothing", DATA + 4 * PAGE + 8, 0x8b, 0x07);
    TRY("write of nothing", DATA + 4 * PAGE + 8, 0x89, 0x07);
    TRY("read of PROT_NONE", DATA + 2 * PAGE, 0x8b, 0x07);
    TRY("write of PROT_READ", DATA + PAGE + 4, 0x89, 0x07);
    TRY("read across the end", DATA + 4 * PAGE - 3, 0x48, 0x8b, 0x07);
    TRY("write across the end", DATA + 4 * PAGE - 3, 0x48, 0x89, 0x07);
    TRY("write across into PROT_READ", DATA + PAGE - 3, 0x48, 0x89, 0x07);
    TRY("read-modify-write", DATA + PAGE, 0xf0, 0xff, 0x07);
    TRY("read of the kernel", 0xffffffff81000000, 0x8b, 0x07);
    TRY("read at no canonical address", 0x8000000000000000, 0x8b, 0x07);
    TRY("stack at no canonical address", 0x8000000000000000, 0x48, 0x87, 0xe7, 0x50);
    TRY("read of 0", 0, 0x8b, 0x07);
    TRY("execution of data", DATA, 0xff, 0xe7);
    TRY("execution of nothing", DATA + 4 * PAGE, 0xff, 0xe7);
    TRY("execution at no canonical address", 0x8000000000000000, 0xff, 0xe7);
    TRY("execution of the kernel", 0xffffffff81000000, 0xff, 0xe7);
    TRY("division", 0, 0x31, 0xd2, 0xf7, 0xf7);
    TRY("UD2", 1, 0x0f, 0x0b);
    TRY("INT3", 2, 0xcc);
    TRY("CD 03", 3, 0xcd, 0x03);
    TRY("INT1", 4, 0xf1);
    TRY("INT 80h of getpid", 20, 0x53, 0xcd, 0x80, 0x31, 0xc0, 0x5b);
    TRY("INT 42h", 5, 0xcd, 0x42);
    TRY("INT CCh", 5, 0xcd, 0xcc);
    TRY("INTO", 5, 0xce);
    TRY("HLT", 6, 0xf4);
    TRY("CLI", 7, 0xfa);
    TRY("IN", 8, 0xec);
    TRY("MOV from CR0", 9, 0x0f, 0x20, 0xc0);
    TRY("WRMSR", 10, 0x0f, 0x30);
    TRY("RDPMC", 10, 0x0f, 0x33);
    TRY("XSETBV", 11, 0x0f, 0x01, 0xd1);
    TRY("LGDT", DATA, 0x0f, 0x01, 0x17);
    TRY("misaligned MOVAPS", DATA + 1, 0x0f, 0x28, 0x07);
    TRY("segment that is not there", 0x63, 0x8e, 0xdf);
    TRY("far JMP to nothing", DATA, 0xff, 0x2f);
    TRY("misaligned read with AC", DATA + 1, 0x9c, 0x81, 0x0c, 0x24, 0, 0, 4, 0, 0x9d, 0x8b, 0x07);
    TRY("single step", 12, 0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x90, 0x90);
    TRY("single step over POPF", 12, 0x9c, 0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x9d);
    TRY("DF stays", DATA + 100, 0xfd, 0xaa, 0x90, 0xcc, 0xfc);
    TRY("prefixes that are too many", 0, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
        0x66, 0x66, 0x90);
    /* x87 and SSE exceptions. */
    TRY("x87 division", DATA, 0x66, 0xc7, 0x07, 0x7b, 0x03, 0xd9, 0x2f, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9, 0x9b);
    __asm__ volatile("fninit");
    TRY("SSE division", DATA, 0xc7, 0x07, 0x80, 0x1d, 0, 0, 0x0f, 0xae, 0x17, 0x0f, 0x57, 0xc0, 0x0f, 0x57, 0xc9, 0xb8,
        1, 0, 0, 0, 0xf3, 0x0f, 0x2a, 0xc8, 0xf3, 0x0f, 0x5e, 0xc8);
    uint32_t mxcsr = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    mprotect(DATA + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE);
    TRY("after mprotect", DATA + 2 * PAGE, 0x89, 0x07, 0x8b, 0x07);
}

/* An instruction whose second page is not there, and then is. */
static void crossing(void)
{
    uint8_t *p = mmap((void *)0x320000000ul, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    const uint8_t bytes[] = {0xb8, 0x78, 0x56, 0x34, 0x12, 0xc3};
    memcpy(p + PAGE - 3, bytes, sizeof bytes);
    mprotect(p + PAGE, PAGE, PROT_NONE);
    code = p + PAGE - 3;
    seen = (struct seen){0};
    resume_at = 0;
    uint32_t (*function)(void) = (uint32_t(*)(void))code;
    __asm__ volatile("lea 1f(%%rip), %%rbx\n mov %%rbx, %0\n mov %%rsp, %%r12\n call *%1\n 1: mov %%r12, %%rsp"
                     : "=m"(resume_at)
                     : "r"(function)
                     : "rax", "rbx", "r12", "memory");
    resume_at = 0;
    SAY("crossing: address %#lx error %#lx rip %#lx", seen.address, seen.error, seen.rip);
    mprotect(p + PAGE, PAGE, PROT_READ | PROT_EXEC);
    SAY("crossing: result %#x", function());
    code = CODE;
}

/* -- code that changes -- */

static uint32_t made(uint8_t *at, uint32_t value)
{
    at[0] = 0xb8;
    memcpy(at + 1, &value, 4);
    at[5] = 0xc3;
    return ((uint32_t(*)(void))at)();
}

static void changing_code(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < 2000; i++)
        sum = sum * 31 + made(CODE + 512 + i % 7 * 64, i * 2654435761u);
    SAY("code that is written and run: %#lx", sum);
    /* By another mapping of the same memory. */
    int fd = memfd_create("code", 0);
    if (ftruncate(fd, PAGE))
        SAY("no file");
    uint8_t *w = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint8_t *x = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    sum = 0;
    for (uint32_t i = 0; i < 500; i++) {
        memcpy(w, (uint8_t[]){0xb8, (uint8_t)i, (uint8_t)(i >> 8), 1, 0, 0xc3}, 6);
        sum = sum * 31 + ((uint32_t(*)(void))x)();
    }
    SAY("code that is written elsewhere: %#lx", sum);
    /* By mprotect, as many compilers at run time do. */
    uint8_t *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sum = 0;
    for (uint32_t i = 0; i < 300; i++) {
        memcpy(p, (uint8_t[]){0xb8, (uint8_t)i, (uint8_t)(i >> 8), 2, 0, 0xc3}, 6);
        mprotect(p, PAGE, PROT_READ | PROT_EXEC);
        sum = sum * 31 + ((uint32_t(*)(void))p)();
        mprotect(p, PAGE, PROT_READ | PROT_WRITE);
    }
    SAY("code by mprotect: %#lx", sum);
    /* Code that writes into the instruction behind it. */
    memcpy(CODE + 2048, (uint8_t[]){0xc6, 0x05, 1, 0, 0, 0, 0x55, 0xb8, 0, 0, 0, 0, 0xc3}, 13);
    SAY("code that changes itself: %#x", ((uint32_t(*)(void))(CODE + 2048))());
    /* CPUID in code that was something else before. */
    uint32_t a[4], b[4];
    __asm__ volatile("cpuid" : "=a"(a[0]), "=b"(a[1]), "=c"(a[2]), "=d"(a[3]) : "a"(0), "c"(0));
    made(CODE + 3072, 5);
    memcpy(CODE + 3072, (uint8_t[]){0x0f, 0xa2, 0xc3}, 3);
    __asm__ volatile("call *%4"
                     : "=&a"(b[0]), "=&b"(b[1]), "=&c"(b[2]), "=&d"(b[3])
                     : "r"(CODE + 3072), "0"(0), "2"(0));
    SAY("CPUID in new code: %s", memcmp(a, b, sizeof a) ? "differs" : "same");
    /* The same across two pages, of which the second one comes later. */
    uint8_t *q = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(q + PAGE - 4, (uint8_t[]){0x31, 0xc0, 0x90, 0x0f, 0xa2, 0xc3}, 6);
    __asm__ volatile("call *%4" : "=&a"(b[0]), "=&b"(b[1]), "=&c"(b[2]), "=&d"(b[3]) : "r"(q + PAGE - 4), "2"(0));
    SAY("CPUID across pages: %s", memcmp(a, b, sizeof a) ? "differs" : "same");
}

/* -- mappings -- */

static void mappings(void)
{
    uint64_t sum = 0;
    volatile uint8_t *p = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned round = 0; round < 100; round++) {
        mprotect((void *)(p + round % 60 * PAGE), 4 * PAGE, PROT_READ | PROT_WRITE);
        for (unsigned i = 0; i < 4; i++)
            p[(round % 60 + i) * PAGE + round] += (uint8_t)(round + i);
        mprotect((void *)(p + round % 60 * PAGE), 4 * PAGE, PROT_READ);
        for (unsigned i = 0; i < 64; i++)
            sum = sum * 31 + p[i * PAGE + round];
        if (round % 10 == 9)
            madvise((void *)(p + round % 64 * PAGE), PAGE, MADV_DONTNEED);
    }
    SAY("mprotect and madvise: %#lx", sum);
    /* Another page comes to the same address. */
    sum = 0;
    for (unsigned round = 0; round < 200; round++) {
        volatile uint32_t *q = mmap((void *)0x330000000ul, 2 * PAGE, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        sum = sum * 31 + q[0] + q[1024];
        q[0] = round;
        q[1024] = ~round;
        void *moved = mremap((void *)q, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)0x340000000ul);
        sum = sum * 31 + *(volatile uint32_t *)moved;
        munmap((void *)(q + 1024), PAGE);
    }
    SAY("pages that come and go: %#lx", sum);
    /* Large pages that fall apart. */
    uint8_t *big =
        mmap((void *)0x340200000ul, 4ul << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    madvise(big, 4ul << 20, MADV_HUGEPAGE);
    for (uint64_t i = 0; i < 4ul << 20; i += 512)
        *(volatile uint64_t *)(big + i) = i;
    mprotect(big + 37 * PAGE, PAGE, PROT_READ);
    madvise(big + 99 * PAGE, PAGE, MADV_DONTNEED);
    sum = 0;
    for (uint64_t i = 0; i < 4ul << 20; i += 512)
        sum = sum * 31 + *(volatile uint64_t *)(big + i);
    TRY("write of a part of a large page", big + 37 * PAGE, 0x89, 0x07);
    SAY("large pages: %#lx", sum);
}

static volatile uint64_t *shared;

static void forks(void)
{
    uint64_t sum = 0;
    uint64_t *own = mmap(NULL, 32 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < 32; i++)
        own[i * 512] = i;
    for (unsigned round = 0; round < 100; round++) {
        pid_t child = fork();
        if (!child) {
            uint64_t s = 0;
            for (unsigned i = 0; i < 32; i++) {
                s = s * 31 + own[i * 512];
                own[i * 512] = ~0ull; /* nobody else sees it */
            }
            shared[round] = s;
            shared[512 + round]++;
            _exit((int)round & 127);
        }
        own[round % 32 * 512] += round; /* while the child may look */
        int status = 0;
        waitpid(child, &status, 0);
        sum = sum * 31 + (uint64_t)WEXITSTATUS(status) + shared[512 + round];
        for (unsigned i = 0; i < 32; i++)
            sum = sum * 31 + own[i * 512];
    }
    SAY("forks: %#lx", sum);
}

/* -- signals -- */

static volatile unsigned ticks;

static void on_tick(int signal)
{
    __asm__ volatile("vpcmpeqb %%ymm0, %%ymm0, %%ymm0; vpcmpeqb %%ymm15, %%ymm15, %%ymm15; fninit"
                     :
                     :
                     : "xmm0", "xmm15");
    ticks++;
}

static void signals(void)
{
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    signal(SIGALRM, on_tick);
    setitimer(ITIMER_REAL, &often, NULL);
    uint64_t bad = 0, rounds = 0;
    while (ticks < 200) {
        uint64_t x[4] = {1, 2, 3, rounds}, y[4], z[4];
        double f = (double)rounds, g;
        __asm__ volatile("vmovdqu %3, %%ymm0; vmovdqu %3, %%ymm15; fldl %4; mov $1000, %%ecx\n"
                         "1: dec %%ecx; jnz 1b; vmovdqu %%ymm0, %0; vmovdqu %%ymm15, %1; fstpl %2"
                         : "=m"(y), "=m"(z), "=m"(g)
                         : "m"(x), "m"(f)
                         : "ecx", "xmm0", "xmm15", "memory", "cc");
        bad += memcmp(x, y, sizeof x) || memcmp(x, z, sizeof x) || f != g;
        rounds++;
    }
    setitimer(ITIMER_REAL, &never, NULL);
    SAY("registers that survive signals: %s", bad ? "no" : "yes");
}

/* Single steps through a function from outside. */
static __attribute__((noinline)) uint64_t stepped(uint64_t n)
{
    uint64_t x = n;
    for (unsigned i = 0; i < 20; i++)
        x = x * 6364136223846793005ull + i;
    return x;
}

static void tracing(void)
{
    pid_t child = fork();
    if (!child) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        __asm__ volatile("int3");
        shared[2000] = stepped(42);
        __asm__ volatile("int3");
        _exit(3);
    }
    int status;
    waitpid(child, &status, 0);
    unsigned long steps = 0;
    uint64_t previous = 0, backward = 0;
    for (;;) {
        struct user_regs_struct r;
        ptrace(PTRACE_SINGLESTEP, child, 0, 0);
        waitpid(child, &status, 0);
        if (!WIFSTOPPED(status) || ptrace(PTRACE_GETREGS, child, 0, &r))
            break;
        uint8_t byte = (uint8_t)ptrace(PTRACE_PEEKTEXT, child, r.rip - 1, 0);
        backward += r.rip < previous;
        previous = r.rip;
        if (byte == 0xcc && steps > 20)
            break;
        if (++steps == 10)
            ptrace(PTRACE_POKEUSER, child, offsetof(struct user, u_debugreg[0]), 0);
    }
    SAY("single steps by another process: %lu, back %lu, result %#lx", steps, backward, shared[2000]);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
}

/* -- threads -- */

static uint64_t counter, locked;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *thread(void *opaque)
{
    for (unsigned i = 0; i < 20000; i++) {
        __atomic_fetch_add(&counter, 1, __ATOMIC_SEQ_CST);
        if (i % 16)
            continue;
        pthread_mutex_lock(&mutex);
        locked++;
        pthread_mutex_unlock(&mutex);
    }
    volatile uint8_t *p = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < 8; i++)
        p[i * PAGE] = (uint8_t)i;
    munmap((void *)p, 8 * PAGE);
    return NULL;
}

static void threads(void)
{
    pthread_t t[32];
    for (unsigned i = 0; i < 32; i++)
        pthread_create(&t[i], NULL, thread, NULL);
    for (unsigned i = 0; i < 32; i++)
        pthread_join(t[i], NULL);
    SAY("threads: %lu %lu", counter, locked);
}

/* -- what differs from the host's CPU without a fault -- */

#define CPUID_LA ((uint8_t *)0x350000000ul)
#define CPUID_LEAF 0x40000000u /* who runs the guest */

struct cpuid {
    uint32_t a, b, c, d;
};

static struct cpuid cpuid_at(const uint8_t *at)
{
    struct cpuid r;
    __asm__ volatile("call *%4" : "=&a"(r.a), "=&b"(r.b), "=&c"(r.c), "=&d"(r.d) : "r"(at), "0"(CPUID_LEAF), "2"(0));
    return r;
}

/* CPUID again and again, and in new pages; and a debugger steps over one that was executed so. */
static void cpuids(void)
{
    uint8_t *p =
        mmap(CPUID_LA, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    memcpy(p + 64, (uint8_t[]){0x0f, 0xa2, 0xc3}, 3);
    const struct cpuid first = cpuid_at(p + 64);
    uint32_t differ = 0;
    for (uint32_t i = 0; i < 300000; i++) {
        struct cpuid now = cpuid_at(p + 64);
        differ += !!memcmp(&first, &now, sizeof now);
    }
    SAY("CPUID: %.12s, differs %u times", (const char *)&first.b, differ);
    for (uint32_t i = 0; i < 200; i++) {
        memset(p + PAGE + 64, 0x90, 64);
        memcpy(p + PAGE + 128, (uint8_t[]){0x0f, 0xa2, 0xc3, 0xb8, (uint8_t)i, 0, 0, 0, 0xc3}, 9);
        for (uint32_t n = 0; n < 1000; n++) {
            struct cpuid now = cpuid_at(p + PAGE + 64);
            differ += !!memcmp(&first, &now, sizeof now);
            differ += ((uint32_t(*)(void))(p + PAGE + 131))() != (uint8_t)i;
        }
        mmap(p + PAGE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    }
    SAY("CPUID in new pages differs %u times", differ);
    pid_t child = fork();
    if (!child) {
        for (uint32_t i = 0; i < 300000; i++)
            cpuid_at(p + 64);
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        __asm__ volatile("int3");
        cpuid_at(p + 64);
        __asm__ volatile("int3");
        _exit(3);
    }
    int status;
    unsigned steps = 0, behind = 0;
    struct user_regs_struct r;
    waitpid(child, &status, 0);
    do {
        ptrace(PTRACE_SINGLESTEP, child, 0, 0);
        waitpid(child, &status, 0);
        if (!WIFSTOPPED(status) || ptrace(PTRACE_GETREGS, child, 0, &r))
            break;
        behind += r.rip == (uint64_t)p + 66 && r.rbx == first.b && r.rcx == first.c && r.rdx == first.d;
    } while (++steps < 100 && ((uint8_t)ptrace(PTRACE_PEEKTEXT, child, r.rip - 1, 0) != 0xcc || !behind));
    SAY("CPUID, stepped over: %u, steps %s", behind, steps < 100 ? "end" : "go on");
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
}

/* The TSC and the clock that is made of it, by the vDSO; RDTSC that faults for this task. */
static void clocks(void)
{
    uint64_t last = 0, back = 0, apart = 0;
    for (uint32_t i = 0; i < 500000; i++) {
        struct timespec t, u;
        clock_gettime(CLOCK_MONOTONIC, &t);
        uint64_t now = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
        back += now < last;
        last = now;
        if (i % 1000)
            continue;
        syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &u);
        apart += (uint64_t)u.tv_sec * 1000000000 + (uint64_t)u.tv_nsec - now > 500000000;
    }
    SAY("clock: back %lu, apart from the kernel's %lu", back, apart);
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(0, &cpus);
    sched_setaffinity(0, sizeof cpus, &cpus);
    memcpy(CPUID_LA + PAGE, (uint8_t[]){0x0f, 0x01, 0xf9, 0x89, 0xc8, 0xc3}, 6);
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < 300000; i++) {
        uint32_t aux, cpu;
        __asm__ volatile("call *%1" : "=a"(aux) : "r"(CPUID_LA + PAGE) : "rcx", "rdx");
        wrong += aux != 0;
        if (i % 8)
            continue;
        getcpu(&cpu, NULL);
        wrong += cpu != 0;
    }
    SAY("RDTSCP and getcpu: wrong %u", wrong);
    for (uint32_t i = 0; i < 3; i++) {
        prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0);
        TRY("RDTSC that is forbidden", 0, 0x0f, 0x31);
        TRY("RDTSCP that is forbidden", 0, 0x0f, 0x01, 0xf9);
        prctl(PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0);
        TRY("RDTSC that is allowed", 0, 0x0f, 0x31, 0x31, 0xc0);
    }
}

/* -- the rest -- */

static void rest(void)
{
    /* Calls of 32-bit code, by far calls: both kinds of code segments. */
    uint8_t *low = mmap((void *)0x200000ul, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (low == (void *)0x200000ul) {
        memcpy(low, (uint8_t[]){0x40, 0x40, 0x05, 1, 0, 0, 0, 0xcb},
               8); /* INC EAX twice: REX prefixes in 64-bit code */
        const struct __attribute__((packed)) {
            uint32_t offset;
            uint16_t selector;
        } to = {0x200000, 0x23};
        uint64_t rax = 0x40;
        memcpy(low + 256, &to, sizeof to);
        __asm__ volatile("mov %%rsp, %%r12; mov %1, %%rsp; lcall *256(%2); mov %%r12, %%rsp"
                         : "+a"(rax)
                         : "r"(low + 2048), "r"(low)
                         : "r12", "memory", "cc");
        SAY("32-bit code: %#lx", rax);
    }
    uint16_t ds, es, fs, gs, cs, ss;
    __asm__ volatile("mov %%ds, %0; mov %%es, %1; mov %%fs, %2; mov %%gs, %3; mov %%cs, %4; mov %%ss, %5"
                     : "=r"(ds), "=r"(es), "=r"(fs), "=r"(gs), "=r"(cs), "=r"(ss));
    SAY("selectors: %x %x %x %x %x %x", ds, es, fs, gs, cs, ss);
    __asm__ volatile("mov %0, %%ds; mov %0, %%es" : : "r"(0x2b));
    getppid();
    __asm__ volatile("mov %%ds, %0; mov %%es, %1" : "=r"(ds), "=r"(es));
    SAY("selectors that were loaded: %x %x", ds, es);
    __asm__ volatile("mov %0, %%ds; mov %0, %%es" : : "r"(0));
    uint64_t f, last = 0, back = 0;
    __asm__ volatile("pushf; pop %0" : "=r"(f));
    SAY("flags: %#lx", f & 0x3f7700);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t now = __rdtsc();
        back += now < last;
        last = now;
    }
    SAY("TSC back: %lu", back);
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    usleep(20000);
    clock_gettime(CLOCK_MONOTONIC, &b);
    double slept = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
    SAY("sleep: %s", slept >= 0.02 && slept < 10 ? "right" : "wrong");
    /* x87 pointers of the guest's own instruction. */
    uint8_t env[28];
    uint32_t fip;
    __asm__ volatile("fninit; fld1; fldz; fdivrp; fnstenv %0" : "=m"(env));
    memcpy(&fip, env + 12, 4);
    SAY("x87 status: %#x", *(uint16_t *)(env + 4));
    __asm__ volatile("fninit");
}

/* Linux reports each signal of process 1, handled or not, in the midst of what other CPUs print. */
static void reports_off(void)
{
    mount("proc", "/proc", "proc", 0, NULL);
    int fd = open("/proc/sys/debug/exception-trace", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1)
        SAY("reports of signals stay on");
    close(fd);
}

int main(int argc, char **argv)
{
    bool guest = getpid() == 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (guest)
        reports_off();
    stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    const int all[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        sigaction(all[i], &action, NULL);
    code = mmap(CODE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    shared = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    faults();
    crossing();
    changing_code();
    mappings();
    forks();
    tracing();
    signals();
    threads();
    cpuids();
    clocks();
    rest();
    SAY("done");
    if (guest)
        reboot(RB_POWER_OFF);
    return 0;
}
