/*
 * A page that goes while user code is in another one that is not executed directly is not there any more, whichever
 * process runs next: direct execution leaves no change of one process for another (docs/direct.md).
 */
#include "runtime.h"

#define PAGE 0x4000000000ull
#define SPINS 3000000 /* cycles of the TSC */

static u8 frame[4096] __attribute__((aligned(4096)));
static u64 other[512] __attribute__((aligned(4096)));

/* Pages with more CPUIDs than there are breakpoints. */
#define UNFIT(name, cpuids)                                                                                            \
    USER_TEXT __attribute__((aligned(4096), no_reorder)) static void name(void *p)                                     \
    {                                                                                                                  \
        u64 from = __builtin_ia32_rdtsc();                                                                             \
        while (p && __builtin_ia32_rdtsc() - from < SPINS)                                                             \
            ;                                                                                                          \
        __asm__ volatile(".rept " #cpuids "\n xor %%eax, %%eax\n xor %%ecx, %%ecx\n cpuid\n .endr"                     \
                         :                                                                                             \
                         :                                                                                             \
                         : "rax", "rbx", "rcx", "rdx");                                                                \
        __asm__ volatile("ud2");                                                                                       \
    }
UNFIT(computes, 6)
UNFIT(unfit1, 7)
UNFIT(unfit2, 7)
UNFIT(unfit3, 7)
UNFIT(unfit4, 7)
UNFIT(unfit5, 7)

USER_TEXT __attribute__((aligned(4096), no_reorder)) static void peek(void *p)
{
    __asm__ volatile("mov (%0), %%rax" : : "r"(p) : "rax");
}

USER_TEXT __attribute__((aligned(4096), no_reorder)) static void nothing(void *p)
{
    __asm__ volatile("nop");
}

static void all_unfit(void)
{
    static void (*const code[])(void *) = {unfit1, unfit2, unfit3, unfit4, unfit5};
    for (u32 i = 0; i < 5; i++)
        catch_user(code[i], NULL);
}

static bool peeked(u32 times)
{
    bool fine = true;
    for (u32 i = 0; i < times; i++)
        fine &= !catch_user(peek, (void *)PAGE).raised;
    return fine;
}

int main(void)
{
    users_fit();
    fill(frame, 0x5a, 4096);
    map_page(PAGE, (u64)frame, PTE_P | PTE_W | PTE_U);
    copy(other, pml4, 4096);
    for (u32 k = 0; k < 4; k++) {
        all_unfit();
        check(peeked(1), "mapped");
    }
    for (u32 k = 0; k < 60; k++)
        catch_user(computes, frame);
    check(peeked(40), "still mapped");
    *pte_of(pml4, PAGE, 1) = 0;
    invlpg(PAGE);
    all_unfit();
    u64 own = read_cr3();
    write_cr3((u64)other);
    check(!catch_user(nothing, NULL).raised, "another process");
    write_cr3(own);
    struct fault f = catch_user(peek, (void *)PAGE);
    check(f.raised && f.vector == EXC_PF && f.cr2 == PAGE, "not mapped any more");
    finish();
}
