/*
 * Host signals of copied instructions: the guest's exception, its RIP, and its registers, also where some are lent.
 */
#include <signal.h>
#include <ucontext.h>

enum { CONTEXT_RIP = REG_RIP, CONTEXT_TRAPNO = REG_TRAPNO };
#undef REG_RIP /* cpu/core/insn.h has its own */

#include "cpu/jit/signal.h"
#include "unit/code_cache.h"

static void on_signal(int number, siginfo_t *info, void *context)
{
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
    const u8 *next = exec_signal(v, (const u8 *)g[CONTEXT_RIP], (unsigned)g[CONTEXT_TRAPNO]);
    if (next)
        g[CONTEXT_RIP] = (greg_t)next;
    else
        signal(number, SIG_DFL);
}

static void catch_signals(void)
{
    static u8 stack[65536];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    sigaltstack(&alternate, NULL);
    sigaction(SIGFPE, &act, NULL);
    sigaction(SIGSEGV, &act, NULL);
    sigaction(SIGILL, &act, NULL);
}

/* Enters the block at CODE. Returns true if it ended with this exception at this offset. */
static bool raises(u8 vector, u32 offset)
{
    v->fault.valid = false;
    v->resume = (u64)block(0)->far_entry;
    v->resume_r11 = CODE;
    exec_enter(v);
    return v->exec->outcome == CPU_FAULT && v->fault.valid && v->fault.vector == vector && v->rip == CODE + offset;
}

static void exceptions(void)
{
    TEST("division by zero, among other instructions");
    code_create();
    /* mov eax, 7; xor edx, edx; div rsi; div rcx; mov eax, 1 */
    PUT(0, 0xb8, 7, 0, 0, 0, 0x31, 0xd2, 0x48, 0xf7, 0xf6, 0x48, 0xf7, 0xf1, 0xb8, 1, 0, 0, 0, HLT);
    v->gpr[RSI] = 1;
    CHECK(raises(EXC_DE, 10));
    CHECK(v->gpr[RAX] == 7 && v->gpr[RDX] == 0 && v->gpr[RSI] == 1);
    v->gpr[RSI] = 0;
    CHECK(raises(EXC_DE, 7));

    TEST("division by a zero in memory, through the bounce buffer");
    code_create();
    PUT(0, 0x90, 0x48, 0xf7, 0x36 /* div qword [rsi] */, HLT);
    v->gpr[RSI] = DATA + PAGE_SIZE - 4;
    CHECK(raises(EXC_DE, 1));
    CHECK_EQ(v->stat[STAT_BOUNCE], 1);

    TEST("a misaligned operand that the TLB has");
    code_create();
    v->cr4 |= CR4_OSFXSR;
    mode_update(v);
    PUT(0, 0x8a, 0x06 /* mov al, [rsi] */, 0x0f, 0x28, 0x06 /* movaps xmm0, [rsi] */, HLT);
    v->gpr[RSI] = DATA;
    CHECK(!raises(EXC_GP, 2) && v->activity == ACTIVITY_HLT);
    v->activity = ACTIVITY_ACTIVE;
    v->gpr[RSI] = DATA + 8;
    CHECK(raises(EXC_GP, 2) && v->fault.error == 0);
}

static void lent(void)
{
    TEST("division by zero in a loop with loans");
    code_create();
    /* add r14, r15; sub r15, 1; mov rax, r14; xor edx, edx; div r15; dec ecx; jnz */
    PUT(0, 0x4d, 0x01, 0xfe, 0x49, 0x83, 0xef, 1, 0x4c, 0x89, 0xf0, 0x31, 0xd2, 0x49, 0xf7, 0xf7, 0xff, 0xc9, 0x75,
        0xed, HLT);
    CHECK(block(0)->loans != 0);
    for (unsigned r = 0; r < GPR_COUNT; r++)
        v->gpr[r] = 1000 + r;
    v->gpr[R15] = 5;
    CHECK(raises(EXC_DE, 12));
    CHECK_EQ(v->gpr[R15], 0);
    CHECK_EQ(v->gpr[R14], 1000 + R14 + 5 + 4 + 3 + 2 + 1);
    CHECK_EQ(v->gpr[RCX], 1000 + RCX - 4);
    static const u8 untouched[] = {RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13};
    for (unsigned i = 0; i < ARRAY_LEN(untouched); i++)
        CHECK_EQ(v->gpr[untouched[i]], 1000u + untouched[i]);
}

static void places(void)
{
    TEST("addresses that are not the guest's");
    code_create();
    PUT(0, 0x48, 0xf7, 0xf6, HLT);
    struct block *b = block(0);
    CHECK(!exec_signal(v, (const u8 *)(u64)&places, EXC_DE));
    CHECK(!exec_signal(v, b->far_entry, EXC_DE) && !exec_signal(v, cache->hot, EXC_DE));
    CHECK(!exec_signal(v, cache->check[0][0], EXC_DE) && !exec_signal(v, cache->jump[0], EXC_DE));
    CHECK(exec_signal(v, b->hot_end - 1, EXC_DE) == exec_leave_signal && v->exit == CPU_EXIT_NONE);
    CHECK(!exec_signal(v, b->hot_end - 1, EXC_DB));

    TEST("host memory that is not there");
    CHECK(exec_signal(v, b->hot_end - 1, EXC_PF) == exec_leave_signal && v->exit == CPU_EXIT_MEMORY);
    CHECK(!exec_signal_left(v, 0, 0) && v->exec->outcome == CPU_EXIT);
    v->exit = CPU_EXIT_NONE;

    TEST("the guest's RIP of a host address");
    CHECK_EQ(exec_guest_rip(v, (u64)b->hot_end - 1), CODE);
    CHECK_EQ(exec_guest_rip(v, (u64)&places), 0);
    CHECK_EQ(exec_guest_rip(v, (u64)cache->check[0][0]), 0);
    CHECK_EQ(exec_guest_rip(v, 0), 0);
}

int main(void)
{
    catch_signals();
    exceptions();
    lent();
    places();
    return TEST_END();
}
