/*
 * Returns, which an engine may predict: deep recursion, addresses that the callee changed, CALLs without RET and RETs
 * without CALL, and what happens to the code behind a CALL while the callee runs: it changes, its page is mapped
 * elsewhere or nowhere, or a control register makes other code of it.
 */
#include "runtime.h"

#define ALIAS 0x8000000000ull

static u8 *code; /* two frames with functions that call */
static u64 turn;

/* push rdi; call rdi; mov eax, number; pop rdi; ret. So that the CALL ends at `at` + 3. */
static void put_caller(u8 *at, u32 number)
{
    static const u8 text[] = {0x57, 0xff, 0xd7, 0xb8, 0, 0, 0, 0, 0x5f, 0xc3};
    copy(at, text, sizeof text);
    copy(at + 4, &number, sizeof number);
}

static u32 call(u64 at, void (*callee)(void))
{
    u64 result;
    __asm__ volatile("call *%1"
                     : "=a"(result), "+&r"(at), "+D"(callee)
                     :
                     : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
    return (u32)result;
}

static __attribute__((noinline, noclone)) u64 deep(u64 n, u64 salt)
{
    u64 below = n ? deep(n - 1, salt + 1) : salt;
    __asm__ volatile("" : "+r"(below));
    return below + n;
}

static void nothing(void)
{
}

/* The same, after two calls behind which nothing changes, so that what they showed is believed. */
static u32 call_known(u64 at, void (*callee)(void))
{
    call(at, nothing);
    call(at, nothing);
    return call(at, callee);
}

static void recursion(void)
{
    static const u32 depths[] = {1, 8, 31, 32, 33, 64, 200};
    bool good = true;
    for (u32 round = 0; round < 50; round++)
        for (u32 i = 0; i < sizeof depths / sizeof *depths; i++)
            good &= deep(depths[i], round) == round + depths[i] + depths[i] * (depths[i] + 1ull) / 2;
    check(good, "recursion down to 200");
}

static void elsewhere(void)
{
    u64 good = 0;
    for (u32 i = 0; i < 200; i++) {
        u64 way;
        __asm__ volatile("xor %k0, %k0\n\t"
                         "call 2f\n\t"
                         "add $1, %0\n\t"
                         "1: jmp 3f\n\t"
                         "2: test $1, %b1\n\t"
                         "jz 4f\n\t"
                         "lea 1b(%%rip), %%rcx\n\t"
                         "mov %%rcx, (%%rsp)\n\t"
                         "4: ret\n\t"
                         "3:"
                         : "=&r"(way)
                         : "r"(i)
                         : "rcx", "memory", "cc");
        good += way == !(i & 1);
    }
    check_eq(good, 200, "a function that returns behind another instruction at each second call");
    good = 0;
    for (u32 i = 0; i < 200; i++) {
        u64 here, there;
        __asm__ volatile("call 1f\n\t"
                         "1: pop %0\n\t"
                         "lea 1b(%%rip), %1"
                         : "=&r"(here), "=&r"(there)
                         :
                         : "memory");
        good += here == there && deep(5, i) == i + 5 + 15;
    }
    check_eq(good, 200, "CALLs without RET among functions");
    good = 0;
    for (u32 i = 0; i < 200; i++) {
        u64 way;
        __asm__ volatile("lea 2f(%%rip), %0\n\t"
                         "test $1, %b1\n\t"
                         "jz 1f\n\t"
                         "lea 3f(%%rip), %0\n\t"
                         "1: push %0\n\t"
                         "ret\n\t"
                         "2: mov $2, %k0\n\t"
                         "jmp 4f\n\t"
                         "3: mov $3, %k0\n\t"
                         "4:"
                         : "=&r"(way)
                         : "r"(i)
                         : "memory", "cc");
        good += way == 2 + (i & 1) && deep(5, i) == i + 5 + 15;
    }
    check_eq(good, 200, "RETs without CALL among functions");
    good = 0;
    for (u32 i = 0; i < 200; i++) { /* what compilers make of indirect calls for old processors */
        u64 is, target = i & 1 ? 5 : 7;
        __asm__ volatile("lea 3f(%%rip), %%rcx\n\t"
                         "call 1f\n\t"
                         "jmp 4f\n\t"
                         "1: call 2f\n\t"
                         "5: pause\n\t"
                         "jmp 5b\n\t"
                         "2: mov %%rcx, (%%rsp)\n\t"
                         "ret\n\t"
                         "3: lea 1(%1), %0\n\t"
                         "ret\n\t"
                         "4:"
                         : "=&r"(is)
                         : "r"(target)
                         : "rcx", "memory");
        good += is == target + 1;
    }
    check_eq(good, 200, "an indirect call by CALL and RET");
}

static void change_code(void)
{
    u32 number = (u32)++turn;
    copy(code + 4, &number, sizeof number);
}

static void changes(void)
{
    u32 good = 0;
    put_caller(code, 0);
    for (u32 i = 1; i <= 200; i++)
        good += call_known((u64)code, change_code) == turn;
    check_eq(good, 200, "a callee that changes the code behind the CALL");
}

static void remap(void)
{
    map_page(ALIAS, (u64)code + (++turn & 1) * 4096, PTE_P | PTE_W);
}

static void remap_all(void)
{
    *pte_of(pml4, ALIAS, 1) = ((u64)code + (++turn & 1) * 4096) | PTE_P | PTE_W;
    write_cr3(read_cr3());
}

static void unmap(void)
{
    *pte_of(pml4, ALIAS, 1) = 0;
    invlpg(ALIAS);
}

static void call_unmapped(void *at)
{
    call_known((u64)at, unmap);
}

static void mappings(void)
{
    put_caller(code, 100);
    put_caller(code + 4096, 101);
    map_page(ALIAS, (u64)code, PTE_P | PTE_W);
    u32 good = 0;
    for (u32 i = 0; i < 200; i++)
        good += call_known(ALIAS, remap) == 100 + (turn & 1);
    check_eq(good, 200, "a callee that maps another page behind the CALL");
    good = 0;
    for (u32 i = 0; i < 200; i++)
        good += call_known(ALIAS, remap_all) == 100 + (turn & 1);
    check_eq(good, 200, "the same by a new page table");
    for (u32 i = 0; i < 3; i++) {
        map_page(ALIAS, (u64)code, PTE_P | PTE_W);
        struct fault f = catch_fault(call_unmapped, (void *)ALIAS);
        check(f.raised && f.vector == EXC_PF && f.cr2 == ALIAS + 3,
              "a callee that takes the page behind the CALL away");
    }
}

static void page_end(void)
{
    u32 good = 0;
    put_caller(code + 4096 - 3, 55);
    for (u32 i = 0; i < 50; i++)
        good += call((u64)code + 4096 - 3, change_code) == 55;
    check_eq(good, 50, "a CALL at the end of a page");
    put_caller(code + 4096 - 2, 56);
    for (u32 i = 0; i < 50; i++)
        good += call((u64)code + 4096 - 2, change_code) == 56;
    check_eq(good, 100, "a CALL over the end of a page");
    put_caller(code + 4096 - 5, 57);
    for (u32 i = 0; i < 50; i++)
        good += call((u64)code + 4096 - 5, change_code) == 57;
    check_eq(good, 150, "a CALL in front of an instruction over the end of a page");
}

static void task_switched(void)
{
    write_cr0(read_cr0() | CR0_TS);
}

/* push rdi; call rdi; xorps xmm0, xmm0; pop rdi; ret */
static void call_vectors(void *callee)
{
    call((u64)code, callee);
}

static void modes(void)
{
    static const u8 text[] = {0x57, 0xff, 0xd7, 0x0f, 0x57, 0xc0, 0x5f, 0xc3};
    copy(code, text, sizeof text);
    u32 good = 0;
    for (u32 i = 0; i < 20; i++) {
        good += !catch_fault(call_vectors, nothing).raised;
        struct fault f = catch_fault(call_vectors, task_switched);
        good += f.raised && f.vector == EXC_NM;
        __asm__ volatile("clts");
    }
    check_eq(good, 40, "a callee that sets CR0.TS before SSE behind the CALL");
}

int main(void)
{
    code = page_alloc();
    page_alloc();
    recursion();
    elsewhere();
    changes();
    mappings();
    page_end();
    modes();
    return 0;
}
