/*
 * The dirty log of the engine: it names exactly the pages that were written, by whatever writes them; an epoch that has
 * nothing new costs nothing; and whoever copies the pages that it names, while vCPUs go on, has all memory in the end.
 */
#include "unit/live_vm.h"
#include "x86/paging.h"

#include "cpu/core/stats.h"

#define WINDOW 0x200000u /* the slot that is logged, identity-mapped */
#define PAGES 64u
#define AT(page) (WINDOW + (page)*0x1000u)
#define DIRECTORY 62u /* page directory and page table of the window lie in it */
#define TABLE 63u

static u8 *window;

static u64 epoch(void)
{
    u64 map;
    CHECK_EQ(ram_dirty_get(memory, 0, 1, &map, false), 0);
    return map;
}

/* EBX: the window. ECX comes with 0 if the loop is to end after one turn. */
GUEST_CODE(write_pages, "1: mov %eax, 0x1004(%ebx)\n" /* page 1 */
                        "mov %eax, 0x1008(%ebx)\n"    /* the same, in one group */
                        "lock incl 0x2000(%ebx)\n"    /* 2 */
                        "mov %eax, 0x3ffe(%ebx)\n"    /* 3 and 4 */
                        "mov %esp, %ebp\n"
                        "lea 0x6000(%ebx), %esp\n"
                        "push %eax\n" /* 5 */
                        "mov %ebp, %esp\n"
                        "push %edi\n"
                        "push %ecx\n"
                        "lea 0x7ff0(%ebx), %edi\n"
                        "mov $8, %ecx\n"
                        "rep stosl\n"              /* 7 and 8 */
                        "lea 0xa000(%ebx), %esi\n" /* reads 10 */
                        "lea 0xb000(%ebx), %edi\n"
                        "movsl\n" /* 11 */
                        "pop %ecx\n"
                        "pop %edi\n"
                        "sgdt 0xc000(%ebx)\n"    /* 12 */
                        "fnstenv 0xdff8(%ebx)\n" /* 13 and 14 */
                        "mov $1, %eax\n"
                        "lock cmpxchg %edx, 0x10000(%ebx)\n" /* 16, which stays as it is */
                        "btsl $3, 0x11000(%ebx)\n"           /* 17 */
                        "mov 0x12000(%ebx), %eax\n"          /* reads 18 to 22 */
                        "mov 0x13000(%ebx), %eax\n"
                        "mov 0x14000(%ebx), %eax\n"
                        "mov 0x15000(%ebx), %eax\n"
                        "cmpl $0, 0x16000(%ebx)\n"
                        "movl $1, 0x1e000(%ebx)\n" /* 30, 31, 32: in a row */
                        "movl $1, 0x1f000(%ebx)\n"
                        "movl $1, 0x20000(%ebx)\n"
                        "incl (%edi)\n"
                        "jecxz 2f\n"
                        "jmp 1b\n"
                        "2: jmp 2b");
#define P(n) BIT64(n)
#define WRITTEN                                                                                                        \
    (P(1) | P(2) | P(3) | P(4) | P(5) | P(7) | P(8) | P(11) | P(12) | P(13) | P(14) | P(16) | P(17) | P(30) | P(31) |  \
     P(32))

static void paging_on(u32 i)
{
    struct vcpu *v = cpu[i].v;
    u32 *directory = (u32 *)(window + DIRECTORY * PAGE_SIZE), *table = (u32 *)(window + TABLE * PAGE_SIZE);
    directory[0] = PTE_P | PTE_W | PTE_PS | PTE_A | PTE_D; /* 4 MiB, but for what directory[1] maps */
    directory[1] = AT(TABLE) | PTE_P | PTE_W;
    for (unsigned n = 0; n < PAGES; n++)
        table[n] = (u32)(AT(n) | PTE_P | PTE_W);
    v->cr4 |= CR4_PSE;
    v->cr3 = AT(DIRECTORY);
    v->cr0 |= CR0_PG | CR0_WP;
    v->gpr[RBX] = 0x400000;
}

static void window_create(u32 cpu_count)
{
    vm_create(cpu_count);
    window = host_pages(PAGES * PAGE_SIZE);
    slot_put(memory, 1, WINDOW, PAGES * PAGE_SIZE, window, RAM_LOG_DIRTY);
}

static void run_once(u32 i)
{
    cpu_start(i);
    while (!counter(i))
        sched_yield();
    CHECK_EQ(cpu_end(i), CPU_EXIT_STOP);
}

static void exact(void)
{
    TEST("pages that were written, and no others");
    window_create(1);
    PUT_CODE(CODE, write_pages);
    cpu_prepare(0, CODE, WINDOW);
    run_once(0);
    CHECK_EQ(epoch(), WRITTEN);
    CHECK_EQ(epoch(), 0);

    TEST("the next epoch, with a TLB full of what was");
    cpu_prepare(0, CODE, WINDOW);
    run_once(0);
    CHECK_EQ(epoch(), WRITTEN);

    TEST("accessed and dirty bits of page tables");
    cpu_prepare(0, CODE, 0);
    paging_on(0);
    run_once(0);
    CHECK_EQ(epoch(), WRITTEN | P(DIRECTORY) | P(TABLE));
    cpu_prepare(0, CODE, 0);
    cpu[0].v->cr4 |= CR4_PSE;
    cpu[0].v->cr3 = AT(DIRECTORY);
    cpu[0].v->cr0 |= CR0_PG | CR0_WP;
    cpu[0].v->gpr[RBX] = 0x400000;
    run_once(0);
    CHECK_EQ(epoch(), WRITTEN); /* the bits are set already */

    TEST("devices");
    u8 bytes[PAGE_SIZE] = {0};
    CHECK(ram_write(memory, GPA(AT(40) + 1), bytes, PAGE_SIZE) && ram_read(memory, GPA(AT(44)), bytes, PAGE_SIZE));
    CHECK_EQ(epoch(), P(40) | P(41));

    TEST("logging begins under a vCPU that has written before");
    CHECK_EQ(ram_slot_set(memory, 0,
                          &(struct ram_region){
                              .id = 1, .start = GPA(WINDOW), .size = PAGES * PAGE_SIZE, .host = window, .flags = 0}),
             0);
    cpu_prepare(0, CODE, WINDOW);
    cpu[0].v->gpr[RCX] = 1;
    cpu_start(0);
    cpu_advance(0, 10);
    CHECK_EQ(ram_slot_set(
                 memory, 0,
                 &(struct ram_region){
                     .id = 1, .start = GPA(WINDOW), .size = PAGES * PAGE_SIZE, .host = window, .flags = RAM_LOG_DIRTY}),
             0);
    cpu_advance(0, 2);
    CHECK_EQ(epoch(), WRITTEN);

    TEST("an epoch that goes on ends for single pages");
    u64 map, some = P(2) | P(12);
    cpu_advance(0, 2);
    CHECK(ram_dirty_get(memory, 0, 1, &map, true) == 0 && map == WRITTEN);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    CHECK_EQ(ram_dirty_clear(memory, 0, 1, 0, PAGES, &some), 0);
    CHECK(ram_dirty_get(memory, 0, 1, &map, true) == 0 && map == (WRITTEN & ~some));
    cpu_prepare(0, CODE, WINDOW);
    run_once(0);
    CHECK_EQ(epoch(), WRITTEN);
    vm_destroy();
}

/* Plain, locked and grouped stores, and pushes, to four pages. */
GUEST_CODE(write_on, "1: mov %eax, 0x1004(%ebx)\n"
                     "mov %eax, 0x1008(%ebx)\n"
                     "lock incl 0x2000(%ebx)\n"
                     "mov %eax, 0x3000(%ebx)\n"
                     "mov %esp, %ebp\n"
                     "lea 0x5000(%ebx), %esp\n"
                     "push %eax\n"
                     "mov %ebp, %esp\n"
                     "incl (%edi)\n"
                     "jmp 1b");

static void costs_nothing(void)
{
    TEST("pages that are dirty are written at full speed");
    window_create(1);
    PUT_CODE(CODE, write_on);
    cpu_prepare(0, CODE, WINDOW);
    const volatile u64 *stat = cpu[0].v->stat;
    cpu_start(0);
    cpu_advance(0, 100);
    u64 fills = stat[STAT_TLB_FILL], bounces = stat[STAT_BOUNCE], lookups = stat[STAT_LOOKUP];
    cpu_advance(0, 100000);
    CHECK(stat[STAT_TLB_FILL] == fills && stat[STAT_BOUNCE] == bounces && stat[STAT_LOOKUP] == lookups);

    TEST("an epoch costs one fill for each page");
    CHECK_EQ(epoch(), P(1) | P(2) | P(3) | P(4));
    cpu_advance(0, 2);
    fills = stat[STAT_TLB_FILL] - fills;
    CHECK(fills >= 4 && fills <= 8 && stat[STAT_BOUNCE] == bounces);
    fills = stat[STAT_TLB_FILL];
    cpu_advance(0, 10000);
    CHECK_EQ(stat[STAT_TLB_FILL], fills);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    vm_destroy();
}

/* Stores of several kinds all over the window, by a linear congruence that begins with the vCPU's number. */
GUEST_CODE(write_about, "1: imul $1664525, %esi, %esi\n"
                        "add $1013904223, %esi\n"
                        "mov %esi, %edx\n"
                        "shr $12, %edx\n"
                        "and $0x1fff8, %edx\n" /* below page 32 */
                        "add %ebx, %edx\n"
                        "mov %esi, 2(%edx)\n"
                        "test $0x100, %esi\n"
                        "jz 2f\n"
                        "lock xadd %eax, 4(%edx)\n"
                        "2: test $0x200, %esi\n"
                        "jz 3f\n"
                        "xchg %edi, %edx\n"
                        "mov $20, %ecx\n"
                        "rep stosl\n"
                        "mov %edx, %edi\n"
                        "3: incl (%edi)\n"
                        "jmp 1b");

static void migration(void)
{
    TEST("a copy of dirty pages alone becomes the memory");
    const u32 count = 3;
    window_create(count);
    PUT_CODE(CODE, write_about);
    u8 *copy = host_pages(PAGES * PAGE_SIZE);
    for (u32 i = 0; i < count; i++) {
        cpu_prepare(i, CODE, WINDOW);
        cpu_start(i);
    }
    u64 all = 0;
    for (u32 round = 0; round < 60; round++) {
        u64 map;
        if (round % 2) {
            map = epoch();
        } else {
            CHECK_EQ(ram_dirty_get(memory, 0, 1, &map, true), 0);
            map &= round % 4 ? ~0ull : 0x5555555555555555;
            CHECK_EQ(ram_dirty_clear(memory, 0, 1, 0, PAGES, &map), 0);
        }
        for (unsigned page = 0; page < PAGES; page++)
            if (map >> page & 1)
                memcpy(copy + page * PAGE_SIZE, window + page * PAGE_SIZE, PAGE_SIZE);
        all |= map;
        cpu_advance(round % count, 1 + round % 7);
    }
    for (u32 i = 0; i < count; i++)
        CHECK_EQ(cpu_end(i), CPU_EXIT_STOP);
    u64 map = epoch();
    for (unsigned page = 0; page < PAGES; page++) {
        if (map >> page & 1)
            memcpy(copy + page * PAGE_SIZE, window + page * PAGE_SIZE, PAGE_SIZE);
        if (memcmp(copy + page * PAGE_SIZE, window + page * PAGE_SIZE, PAGE_SIZE))
            CHECK(!"a write was not logged");
    }
    CHECK_EQ(all >> 33, 0);
    CHECK_EQ((u32)all, ~0u);
    vm_destroy();
}

int main(void)
{
    exact();
    costs_nothing();
    migration();
    return TEST_END();
}
