/*
 * Runs a case on the host CPU. Entered by a breakpoint: the SIGTRAP handler replaces the whole context in its signal
 * frame by the case's, and returning from it loads every register at once. The case ends with a signal of its own (the
 * breakpoint behind it, or a fault), whose frame holds the outcome; the handler then puts the context of native_run
 * back. The handler touches thread-local storage only while FS is the harness's.
 */
#include "tests/insn/case.h"

#include <err.h>
#include <immintrin.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

static u64 features;
static u32 offsets[8];
static u8 *code_alias, *memory_alias;
static u8 pristine[MEMORY_SIZE];

static struct {
    bool running;
    const struct state *in;
    struct result *out;
    u64 fs, gs;
    gregset_t gregs;
    u32 area_size;
    u8 area[16384];
} now;

static const int greg_of[GPR_COUNT] = {
    [RAX] = REG_RAX, [RCX] = REG_RCX, [RDX] = REG_RDX, [RBX] = REG_RBX, [RSP] = REG_RSP, [RBP] = REG_RBP,
    [RSI] = REG_RSI, [RDI] = REG_RDI, [R8] = REG_R8,   [R9] = REG_R9,   [R10] = REG_R10, [R11] = REG_R11,
    [R12] = REG_R12, [R13] = REG_R13, [R14] = REG_R14, [R15] = REG_R15,
};

#define FSGS __attribute__((target("fsgsbase")))

FSGS static void enter_case(ucontext_t *uc)
{
    gregset_t *g = &uc->uc_mcontext.gregs;
    u8 *area = (u8 *)uc->uc_mcontext.fpregs;
    memcpy(&now.gregs, g, sizeof(now.gregs));
    memcpy(&now.area_size, area + 480, 4); /* struct _fpx_sw_bytes.xstate_size */
    if (now.area_size > sizeof(now.area))
        now.area_size = sizeof(now.area);
    memcpy(now.area, area, now.area_size);
    for (unsigned i = 0; i < GPR_COUNT; i++)
        (*g)[greg_of[i]] = (greg_t)now.in->gpr[i];
    (*g)[REG_RIP] = (greg_t)now.in->rip;
    (*g)[REG_EFL] = (greg_t)now.in->rflags;
    u64 bv;
    memcpy(&bv, area + 512, 8);
    u8 keep[48]; /* what the kernel has written about the frame */
    memcpy(keep, area + 464, 48);
    vectors_store(&now.in->vec, area, offsets, features);
    memcpy(area + 464, keep, 48);
    bv |= features;
    memcpy(area + 512, &bv, 8);
    now.running = true;
    _writefsbase_u64(now.in->fs_base);
    _writegsbase_u64(now.in->gs_base);
}

FSGS static void leave_case(ucontext_t *uc, const siginfo_t *info, u64 fs, u64 gs)
{
    gregset_t *g = &uc->uc_mcontext.gregs;
    u8 *area = (u8 *)uc->uc_mcontext.fpregs;
    struct result *r = now.out;
    now.running = false;
    for (unsigned i = 0; i < GPR_COUNT; i++)
        r->s.gpr[i] = (u64)(*g)[greg_of[i]];
    r->s.rip = (u64)(*g)[REG_RIP];
    r->s.rflags = (u64)(*g)[REG_EFL];
    r->s.fs_base = fs;
    r->s.gs_base = gs;
    r->vector = (u32)(*g)[REG_TRAPNO];
    r->error = (u32)(*g)[REG_ERR];
    r->cr2 = r->vector == EXC_PF ? (u64)(*g)[REG_CR2] : 0;
    if (info->si_signo == SIGALRM)
        r->vector = VECTOR_NONE;
    vectors_load(&r->s.vec, area, offsets, features);
    memcpy(g, &now.gregs, sizeof(now.gregs));
    memcpy(area, now.area, now.area_size);
}

FSGS static void handle(int sig, siginfo_t *info, void *context)
{
    /* The case may have left AC on, under which some CPUs check the vector accesses of library functions, too. */
    __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andl %0, (%%rsp); popfq; lea 128(%%rsp), %%rsp"
                     :
                     : "i"(~(int)FLAG_AC)
                     : "memory", "cc");
    u64 fs = _readfsbase_u64(), gs = _readgsbase_u64();
    if (now.running) {
        _writefsbase_u64(now.fs);
        _writegsbase_u64(now.gs);
        leave_case(context, info, fs, gs);
    } else if (sig == SIGTRAP) {
        enter_case(context);
    } else {
        static const char text[] = "insn: the harness itself faulted\n";
        ssize_t n = write(2, text, sizeof(text) - 1);
        _exit(n > 0 ? 3 : 4);
    }
}

static void *map_at(int fd, u64 la, u64 size, u64 offset, int prot)
{
    /* Populated, because the error code of a fault shows whether a page is there. */
    int flags = MAP_SHARED | MAP_POPULATE | (la ? MAP_FIXED_NOREPLACE : 0);
    void *p = mmap((void *)la, size, prot, flags, fd, (off_t)offset);
    if (p == MAP_FAILED)
        err(3, "mmap at %#llx", (unsigned long long)la);
    return p;
}

FSGS void native_open(u64 xcr0)
{
    features = host_features(offsets) & xcr0;
    int fd = memfd_create("insn", 0);
    u64 code = CODE_PAGES * PAGE_SIZE, total = code + MEMORY_SIZE;
    if (fd < 0 || ftruncate(fd, (off_t)total))
        err(3, "memfd");
    u8 *alias = map_at(fd, 0, total, 0, PROT_READ | PROT_WRITE);
    code_alias = alias;
    memory_alias = alias + code;
    memset(code_alias, 0xcc, code);
    map_at(fd, CODE_LA, code, 0, PROT_READ | PROT_EXEC);
    map_at(fd, DATA_LA, 2 * PAGE_SIZE, code, PROT_READ | PROT_WRITE);
    map_at(fd, DATA_LA + 2 * PAGE_SIZE, PAGE_SIZE, code + 2 * PAGE_SIZE, PROT_READ);
    map_at(fd, STACK_LA, STACK_PAGES * PAGE_SIZE, code + DATA_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE);
    static u8 stack[65536];
    stack_t alt = {.ss_sp = stack, .ss_size = sizeof(stack)};
    sigaltstack(&alt, NULL);
    struct sigaction sa = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&sa.sa_mask);
    int signals[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGALRM};
    for (unsigned i = 0; i < ARRAY_LEN(signals); i++)
        sigaction(signals[i], &sa, NULL);
    now.fs = _readfsbase_u64();
    now.gs = _readgsbase_u64();
}

void native_run(const struct test_case *c, struct result *out)
{
    static struct state in;
    u8 code[UNITS * UNIT_BYTES + 16];
    state_fill(c, &in, features);
    case_memory(c->seed, pristine);
    memcpy(memory_alias, pristine, MEMORY_SIZE);
    unsigned n = case_bytes(c, code);
    memcpy(code_alias + c->start, code, n);
    now.in = &in;
    now.out = out;
    /* Returning from a signal leaves NT and ID alone: POPF clears what the last case may have left. */
    __asm__ volatile("lea -128(%%rsp), %%rsp; pushq $0x202; popfq; lea 128(%%rsp), %%rsp; int3" : : : "memory", "cc");
    memset(code_alias + c->start, 0xcc, n);
    memcpy(out->memory, memory_alias, MEMORY_SIZE);
}
