/*
 * Code that somebody else writes without notice, as devices of another program do: a vCPU that knows by any event, or
 * by serialising, that the bytes are there runs the new code, whatever it ran before.
 */
#include "cpu/core/stats.h"
#include "unit/live_vm.h"
#include "x86/paging.h"

#include <errno.h>

#define WINDOW 0x200000u /* memory that others write */
#define WINDOW_SIZE 0x4000ull
#define LINEAR 0x40000000u /* where it is, with paging */
#define DIRECTORY 0x10000u
#define TABLE 0x11000u
#define IDT 0x12000u
#define ROUNDS 200u

static u8 *window;

/* Words behind a vCPU's counter, which is how many pieces of code it asked for. */
#define SEEN 0x40      /* what the last one returned */
#define DONE 0x44      /* how many were written, for code that polls memory */
#define NOTICED 0x48   /* the same, by the handler of the interrupt */
#define PASSED_ON 0x4c /* the same, by another vCPU */

/* Calls the code at EBX, asks for the next one, waits until it is there. */
#define ASK                                                                                                            \
    "1: call *%ebx\n"                                                                                                  \
    "mov %eax, 0x40(%edi)\n"                                                                                           \
    "incl (%edi)\n"
#define UNTIL_DONE                                                                                                     \
    "mov (%edi), %eax\n"                                                                                               \
    "2: cmp %eax, 0x44(%edi)\n"                                                                                        \
    "jne 2b\n"

GUEST_CODE(after_port, ASK "out %al, $0x80\n" UNTIL_DONE "jmp 1b");
GUEST_CODE(after_store, ASK "mov %eax, 0xf0000000\n" UNTIL_DONE "jmp 1b");
GUEST_CODE(then_cpuid, ASK UNTIL_DONE "push %ebx\n"
                                      "cpuid\n"
                                      "pop %ebx\n"
                                      "jmp 1b");
GUEST_CODE(then_cr, ASK UNTIL_DONE "mov %cr0, %eax\n"
                                   "mov %eax, %cr0\n"
                                   "jmp 1b");
GUEST_CODE(then_iret, ASK UNTIL_DONE "pushf\n"
                                     "push %cs\n"
                                     "call 3f\n"
                                     "jmp 1b\n"
                                     "3: iret");
GUEST_CODE(by_port, ASK "2: in $0x80, %eax\n"
                        "cmp (%edi), %eax\n"
                        "jne 2b\n"
                        "jmp 1b");
GUEST_CODE(by_load, ASK "2: mov 0xf0000000, %eax\n"
                        "cmp (%edi), %eax\n"
                        "jne 2b\n"
                        "jmp 1b");
GUEST_CODE(by_interrupt, "movl $0x1ff, 0xfee000f0\n" ASK "sti\n"
                         "2: mov (%edi), %eax\n"
                         "cmp 0x48(%edi), %eax\n"
                         "jne 2b\n"
                         "cli\n"
                         "jmp 1b");
GUEST_CODE(handler, "push %eax\n"
                    "mov 0x44(%edi), %eax\n"
                    "mov %eax, 0x48(%edi)\n"
                    "movl $0, 0xfee000b0\n"
                    "pop %eax\n"
                    "iret");
/* Maps one of two pages, which bit 0 of the number of pieces asked for chooses, and executes INVLPG. */
GUEST_CODE(remapped, ASK UNTIL_DONE "and $1, %eax\n"
                                    "shl $12, %eax\n"
                                    "or $0x200003, %eax\n"
                                    "mov %eax, 0x11000\n"
                                    "invlpg (%ebx)\n"
                                    "jmp 1b");
/* One vCPU asks and hears of it, another one runs the code. */
GUEST_CODE(passes_on, "1: incl (%edi)\n"
                      "2: in $0x80, %eax\n"
                      "cmp (%edi), %eax\n"
                      "jne 2b\n"
                      "mov %eax, 0x4c(%edi)\n"
                      "3: cmp %eax, 0xc0(%edi)\n" /* the other one's SEEN */
                      "jne 3b\n"
                      "jmp 1b");
GUEST_CODE(takes_over, "1: mov (%edi), %eax\n"
                       "2: cmp %eax, -0x34(%edi)\n" /* PASSED_ON of vCPU 0 */
                       "je 2b\n"
                       "call *%ebx\n"
                       "mov -0x34(%edi), %ecx\n"
                       "mov %eax, 0x40(%edi)\n"
                       "mov %ecx, (%edi)\n"
                       "jmp 1b");

static volatile u32 *word(u32 i, u32 offset)
{
    return (volatile u32 *)(base + COUNTER(i) + offset);
}

/* mov $value, %eax; ret */
static void function_write(u8 *at, u32 value)
{
    at[0] = 0xb8;
    memcpy(at + 1, &value, 4);
    at[5] = 0xc3;
}

enum place { IN_PLACE, CROSSING, TWO_PAGES };

static u8 *place_of(enum place p, u32 round)
{
    return p == CROSSING ? window + PAGE_SIZE - 2 : p == TWO_PAGES ? window + (round & 1) * PAGE_SIZE : window;
}

/* A device of another thread: writes each piece of code that vCPU 0 asks for, without notice. */
static void serve(enum place p, bool interrupt)
{
    u32 wrong = 0;
    for (u32 round = 1; round <= ROUNDS; round++) {
        while (*word(0, 0) != round)
            sched_yield();
        wrong += *word(0, SEEN) != round - 1;
        function_write(place_of(p, round), round);
        __atomic_store_n(word(0, DONE), round, __ATOMIC_SEQ_CST);
        __atomic_store_n(&device.answer, round, __ATOMIC_SEQ_CST);
        if (interrupt)
            cpu_msi(vm, 0xfee00000, 0x40);
    }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
}

static void prepare(u32 count, enum place p)
{
    vm_create(count);
    window = host_pages(WINDOW_SIZE);
    slot_put(memory, 1, WINDOW, WINDOW_SIZE, window, RAM_FOREIGN);
    function_write(place_of(p, 0), 0);
    device.answer = 0;
    memset((void *)(base + COUNTERS), 0, 0x400);
}

static void finish(void)
{
    vm_destroy();
    munmap(window, WINDOW_SIZE);
}

static void tables_prepare(u32 at)
{
    u64 gate = (at & 0xffff) | 8ull << 16 | 0x8e00ull << 32 | (u64)(at >> 16) << 48;
    memcpy(base + IDT + 8 * 0x40, &gate, 8);
    cpu[0].v->idtr = (struct desc_table){.base = IDT, .limit = 0x7ff};
    const u64 gdt[] = {0, 0x00cf9b000000ffff, 0x00cf93000000ffff};
    memcpy(base + IDT + 0x800, gdt, sizeof(gdt));
    cpu[0].v->gdtr = (struct desc_table){.base = IDT + 0x800, .limit = sizeof(gdt) - 1};
}

/* 4 MiB of RAM one to one, the APIC and a device; the window by a table of its own. */
static void paging_on(void)
{
    u32 *directory = (u32 *)(base + DIRECTORY), *table = (u32 *)(base + TABLE);
    directory[0] = PTE_P | PTE_W | PTE_PS;
    directory[LINEAR >> 22] = TABLE | PTE_P | PTE_W;
    directory[0xf0000000 >> 22] = 0xf0000000 | PTE_P | PTE_W | PTE_PS;
    directory[0xfee00000 >> 22] = 0xfec00000 | PTE_P | PTE_W | PTE_PS;
    for (u32 i = 0; i < WINDOW_SIZE / PAGE_SIZE; i++)
        table[i] = (WINDOW + i * (u32)PAGE_SIZE) | PTE_P | PTE_W;
    cpu[0].v->cr4 |= CR4_PSE;
    cpu[0].v->cr3 = DIRECTORY;
    cpu[0].v->cr0 |= CR0_PG | CR0_WP;
}

/* With paging, `address` is the linear address of the code; 0 means without paging. */
static void run(const u8 *code, const u8 *end, enum place p, u32 address)
{
    prepare(1, p);
    code_put(CODE, code, (u64)(end - code));
    cpu_prepare(0, CODE, address ? address : WINDOW + (u32)(place_of(p, 0) - window));
    tables_prepare(0);
    if (address)
        paging_on();
    cpu_start(0);
    serve(p, false);
    finish();
}
#define RUN(code, p) run(code##_start, code##_end, p, 0)
#define RUN_PAGED(code, p, address) run(code##_start, code##_end, p, address)

static void without_paging(void)
{
    TEST("a port is written, then memory is polled");
    RUN(after_port, IN_PLACE);
    TEST("a device is written, then memory is polled");
    RUN(after_store, IN_PLACE);
    TEST("a port is polled");
    RUN(by_port, IN_PLACE);
    TEST("a device is polled");
    RUN(by_load, IN_PLACE);
    TEST("an instruction that crosses pages");
    RUN(by_load, CROSSING);
    TEST("memory is polled, then an instruction serialises");
    RUN(then_cpuid, IN_PLACE);
    RUN(then_cr, IN_PLACE);
    RUN(then_iret, IN_PLACE);
}

static void interrupt(void)
{
    TEST("an interrupt says that the code is there");
    prepare(1, IN_PLACE);
    PUT_CODE(CODE, by_interrupt);
    PUT_CODE(CODE + 0x400, handler);
    cpu_prepare(0, CODE, WINDOW);
    tables_prepare(CODE + 0x400);
    cpu_start(0);
    serve(IN_PLACE, true);
    finish();
}

static void with_paging(void)
{
    TEST("one to one: a port is written, then memory is polled; a device is polled");
    RUN_PAGED(after_port, IN_PLACE, WINDOW);
    RUN_PAGED(by_load, IN_PLACE, WINDOW);
    TEST("memory is polled, and the page with the new code mapped in place of the old one");
    RUN_PAGED(remapped, TWO_PAGES, LINEAR);
    TEST("memory is polled, then CPUID in supervisor mode, whatever the mapping");
    RUN_PAGED(then_cpuid, IN_PLACE, LINEAR);
}

GUEST_CODE(reads, "1: call *%ebx\n"
                  "in $0x80, %eax\n"
                  "incl (%edi)\n"
                  "jmp 1b");

static void unchanged(void)
{
    TEST("a device is polled and nothing changes: pages are compared, and blocks not searched again");
    prepare(1, IN_PLACE);
    PUT_CODE(CODE, reads);
    cpu_prepare(0, CODE, WINDOW);
    cpu_start(0);
    cpu_advance(0, 5000);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    const u64 *stat = cpu[0].v->stat;
    const u32 polls = *word(0, 0); /* many more than 5000 if this thread ran late */
    CHECK(stat[STAT_CODE_CHECK] >= polls / 5 * 4 && stat[STAT_LOOKUP] < polls / 5 && !stat[STAT_CODE_STALE]);
    finish();
}

static void another_cpu(void)
{
    TEST("a vCPU learns of the new code from another one");
    prepare(2, IN_PLACE);
    PUT_CODE(CODE, passes_on);
    PUT_CODE(CODE + 0x400, takes_over);
    cpu_prepare(0, CODE, 0);
    cpu_prepare(1, CODE + 0x400, WINDOW);
    cpu_start(0);
    cpu_start(1);
    u32 wrong = 0;
    for (u32 round = 1; round <= ROUNDS; round++) {
        while (*word(0, 0) != round)
            sched_yield();
        wrong += *word(1, SEEN) != round - 1;
        function_write(window, round);
        __atomic_store_n(&device.answer, round, __ATOMIC_SEQ_CST);
        while (*word(1, 0) != round)
            sched_yield();
        if (*word(1, SEEN) != round) {
            wrong++;
            *word(1, SEEN) = round;
        }
    }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    CHECK_EQ(cpu_end(1), CPU_EXIT_STOP);
    finish();
}

GUEST_CODE(call_it, "1: call *%ebx\n"
                    "mov %eax, 0x40(%edi)\n"
                    "incl (%edi)\n"
                    "jmp 1b");

static void debugger(void)
{
    TEST("the owner wrote to code of any mapping while no vCPU ran, and said that it may have");
    prepare(1, IN_PLACE);
    PUT_CODE(CODE, call_it);
    cpu_prepare(0, CODE, LINEAR);
    paging_on();
    for (u32 round = 1; round < 20; round++) {
        cpu_start(0);
        cpu_advance(0, 10);
        CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
        CHECK_EQ(*word(0, SEEN), round - 1);
        function_write(window, round);
        cpu_code_doubt(cpu[0].v);
    }

    TEST("bytes that were no instruction become one");
    const u8 invalid[] = {0xff, 0xff};
    const u8 handler_code[] = {0xeb, 0xfe};
    memcpy(window, invalid, 2);
    memcpy(base + 0x2000, handler_code, 2);
    cpu_code_doubt(cpu[0].v);
    tables_prepare(0x2000);
    u64 gate = 0x2000 | 8ull << 16 | 0x8e00ull << 32;
    memcpy(base + IDT + 8 * 6, &gate, 8);
    cpu_start(0);
    while (cpu_rip(cpu[0].v) != 0x2000)
        sched_yield();
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    window[1] = 0xc0; /* inc %eax */
    window[2] = 0xc3;
    cpu_code_doubt(cpu[0].v);
    cpu_prepare(0, CODE, LINEAR);
    cpu[0].v->cr3 = DIRECTORY;
    cpu[0].v->cr4 |= CR4_PSE;
    cpu[0].v->cr0 |= CR0_PG;
    cpu_start(0);
    cpu_advance(0, 10);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    finish();
}

static void flag(void)
{
    TEST("a slot keeps RAM_FOREIGN for its life");
    prepare(1, IN_PLACE);
    struct ram_region g = {.id = 1, .start = GPA(WINDOW), .size = WINDOW_SIZE, .host = window};
    CHECK_EQ(ram_slot_set(memory, 0, &g), -EINVAL);
    g.flags = RAM_FOREIGN | RAM_LOG_DIRTY;
    CHECK_EQ(ram_slot_set(memory, 0, &g), 0);
    finish();
}

int main(void)
{
    without_paging();
    interrupt();
    with_paging();
    unchanged();
    another_cpu();
    debugger();
    flag();
    return TEST_END();
}
