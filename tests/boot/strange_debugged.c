/*
 * Subjects of strange.h: code under a debugger. Single steps over instructions that are special, breakpoints and
 * watchpoints of the debug registers, breakpoints that are written into code.
 */
#include "strange.h"

#include <errno.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>

/* Code with a label where each instruction begins. */
extern const uint8_t stepped_code[], stepped_end[];
__asm__(".text; .balign 64; .globl stepped_code, stepped_end\n"
        "stepped_code: push %rbx; push %rdi\n"
        "mov $39, %eax; syscall; nop\n"
        "rdtsc; nop\n"
        "mov %ss, %eax; mov %eax, %ss; nop; nop\n"
        "lea 4f(%rip), %rdi; mov $5, %ecx; xor %eax, %eax; rep scasb; mov $0, %ecx; rep scasb\n"
        "pushf; pop %rax; and $0x100, %eax; jz 1f; nop; 1: pushf; andl $~0x100, (%rsp); popf; nop\n"
        "lea 4f(%rip), %rdi; fld1; fstp %st(0); vpxor %ymm0, %ymm0, %ymm0; vmovdqu (%rdi), %ymm1; vzeroall\n"
        "call 2f; jmp 3f; 2: ret; 3: mov $3, %ecx; 6: loop 6b; mov $0, %ecx\n"
        "mov %rsp, %rax; mov %ss, %ecx; push %rcx; push %rax; pushf; andl $~0x100, (%rsp); mov %cs, %ecx; push %rcx\n"
        "lea 5f(%rip), %rcx; push %rcx; iretq; 5: nop\n"
        "call stepped_unfit; pop %rdi; pop %rbx; ret\n"
        "4: .byte 1, 1, 1, 0, 0, 0, 0, 0; .fill 32\n"
        /* What direct execution leaves to the translator, in a page of its own. */
        ".pushsection unfit, \"ax\", @progbits; .balign 4096; stepped_unfit: push %rbx\n"
        "xor %eax, %eax; xor %ecx, %ecx; cpuid; xor %ecx, %ecx; xgetbv; mov %cs, %eax; lsl %eax, %eax; pop %rbx\n"
        "mov $39, %eax; syscall; ret; .popsection\n"
        "stepped_end:\n");

static pid_t tracee(void (*code)(void))
{
    pid_t child = fork();
    if (!child) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        code();
        _exit(3);
    }
    int status;
    waitpid(child, &status, 0);
    return child;
}

static struct user_regs_struct registers_of(pid_t child)
{
    struct user_regs_struct r = {0};
    ptrace(PTRACE_GETREGS, child, 0, &r);
    return r;
}

static void end(pid_t child)
{
    int status = 0;
    struct user_regs_struct r = registers_of(child);
    r.eflags &= ~0x100ull; /* Linux takes it for the code's own since POPF */
    ptrace(PTRACE_SETREGS, child, 0, &r);
    ptrace(PTRACE_CONT, child, 0, 0);
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3, "the code's end: status %#x", status);
    if (!WIFEXITED(status)) {
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
    }
}

static void stepped(void)
{
    __asm__ volatile(
        "lea -128(%%rsp), %%rsp; mov $3, %%ecx; call stepped_code; call stepped_code; lea 128(%%rsp), %%rsp"
        :
        :
        : "rax", "rbx", "rcx", "rdx", "rdi", "r11", "memory", "cc");
}

/* The sequence of addresses, as offsets, and a digest of flags; then the second call without steps. */
static void steps(void)
{
    pid_t child = tracee(stepped);
    char line[2000] = "";
    unsigned inside = 0, before = 0, length = 0;
    int status;
    for (unsigned i = 0; i < 100000; i++) {
        ptrace(PTRACE_SINGLESTEP, child, 0, 0);
        waitpid(child, &status, 0);
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
            break;
        uint64_t at = registers_of(child).rip - (uint64_t)stepped_code;
        if (at >= (uint64_t)(stepped_end - stepped_code)) {
            before += !inside;
            if (inside)
                break;
            continue;
        }
        inside++;
        if (length < sizeof line - 8)
            length += (unsigned)snprintf(line + length, sizeof line - length, " %lx", (unsigned long)at);
    }
    RESULT("%u:%s", inside, line);
    CHECK(before && WIFSTOPPED(status), "status %#x", status);
    end(child);
}

/* -- debug registers -- */

static volatile uint64_t watched[4] __attribute__((aligned(64)));

extern const uint8_t broken_code[];
__asm__(".text; .globl broken_code\n"
        "broken_code: nop; ret\n");

static void watched_code(void)
{
    for (uint64_t i = 0; i < 6; i++) {
        __asm__ volatile("call broken_code");
        watched[0] = i;
        ((volatile uint8_t *)watched)[11] = (uint8_t)i;
        uint64_t sum = watched[2];
        ((volatile uint16_t *)watched)[14] = (uint16_t)(sum + i);
        if (i == 3)
            syscall(SYS_getppid);
    }
}

static int debug_register(pid_t child, unsigned n, uint64_t value)
{
    return (int)ptrace(PTRACE_POKEUSER, child, offsetof(struct user, u_debugreg) + n * 8, value);
}

static void breakpoints(void)
{
    pid_t child = tracee(watched_code);
    char line[2000] = "";
    unsigned stops = 0, length = 0;
    bool set = !debug_register(child, 0, (uint64_t)broken_code) && !debug_register(child, 1, (uint64_t)&watched[0]) &&
               !debug_register(child, 2, (uint64_t)&watched[1]) && !debug_register(child, 3, (uint64_t)&watched[2]);
    /* Execution; writes of eight bytes; writes of one at +8, of which there is none; any access of eight. */
    set = set && !debug_register(child, 7, 0x55 | 0x9ul << 20 | 0x1ul << 24 | 0xbul << 28);
    if (!set) {
        SKIP("no debug registers");
        kill(child, SIGKILL);
        return;
    }
    int status;
    for (;;) {
        ptrace(PTRACE_CONT, child, 0, 0);
        waitpid(child, &status, 0);
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP || stops >= 60)
            break;
        siginfo_t info;
        ptrace(PTRACE_GETSIGINFO, child, 0, &info);
        long dr6 = ptrace(PTRACE_PEEKUSER, child, offsetof(struct user, u_debugreg) + 48, 0);
        debug_register(child, 6, 0);
        bool at_code = registers_of(child).rip == (uint64_t)broken_code;
        length += (unsigned)snprintf(line + length, sizeof line - length, " %lx/%d%s", dr6 & 0xf, info.si_code,
                                     at_code ? "!" : "");
        if (++stops == 20)
            debug_register(child, 7, 0x50 | 0x9ul << 20 | 0x1ul << 24 | 0xbul << 28);
    }
    RESULT("%u:%s", stops, line);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3, "status %#x", status);
}

/* -- INT3 that a debugger puts into code and takes away -- */

static void called_often(void)
{
    for (unsigned i = 0; i < 200; i++)
        __asm__ volatile("call broken_code");
}

static void patches(void)
{
    pid_t child = tracee(called_often);
    long word = ptrace(PTRACE_PEEKTEXT, child, broken_code, 0);
    unsigned stops = 0;
    int status;
    for (;;) {
        ptrace(PTRACE_POKETEXT, child, broken_code, (word & ~0xffl) | 0xcc);
        ptrace(PTRACE_CONT, child, 0, 0);
        waitpid(child, &status, 0);
        if (!WIFSTOPPED(status))
            break;
        struct user_regs_struct r = registers_of(child);
        CHECK(WSTOPSIG(status) == SIGTRAP && r.rip == (uint64_t)broken_code + 1, "stop at %#llx", r.rip);
        stops++;
        r.rip--;
        ptrace(PTRACE_SETREGS, child, 0, &r);
        ptrace(PTRACE_POKETEXT, child, broken_code, word);
        ptrace(PTRACE_SINGLESTEP, child, 0, 0);
        waitpid(child, &status, 0);
        CHECK(registers_of(child).rip == (uint64_t)broken_code + 1, "step");
    }
    CHECK(stops == 200 && WIFEXITED(status), "%u stops, status %#x", stops, status);
}

const struct subject debugged_subjects[] = {
    {"steps", steps}, {"breakpoints", breakpoints}, {"patches", patches}, {NULL, NULL}};
