/*
 * Guest memory that changes under running vCPUs: slots that go while a vCPU uses them, other memory at the same place,
 * code in them, ROM, two address spaces, aliases, and memory that its owner gives back to the host.
 */
#include "unit/live_vm.h"
#include "x86/paging.h"

#include <fcntl.h>
#include <unistd.h>

#define WINDOW 0x200000u /* where slots come and go */
#define WINDOW_SIZE 0x4000ull
#define SOON 1000 /* turns of a loop: a CPU may run about ten more of them that it has fetched already */

static u8 *window;

static void put_window(u32 id, u8 *host, u32 flags)
{
    slot_put(memory, id, WINDOW, WINDOW_SIZE, host, flags);
}

/* Loads, stores, read-modify-writes and string instructions on the window at EBX; also several off one register. */
GUEST_CODE(use_all, "1: mov (%ebx), %eax\n"
                    "mov %eax, 0x40(%edi)\n" /* seen by the test */
                    "mov %eax, 4(%ebx)\n"
                    "add %eax, 8(%ebx)\n"
                    "lock incl 12(%ebx)\n"
                    "lea 0x1000(%ebx), %edx\n"
                    "push %edi\n"
                    "push %esi\n"
                    "mov %edx, %edi\n"
                    "lea 0x2000(%ebx), %esi\n"
                    "mov $16, %ecx\n"
                    "rep movsl\n"
                    "pop %esi\n"
                    "pop %edi\n"
                    "mov %esp, %ebp\n"
                    "lea 0x3000(%ebx), %esp\n"
                    "push %eax\n"
                    "pop %edx\n"
                    "mov %ebp, %esp\n"
                    "incl (%edi)\n"
                    "jmp 1b");
#define SEEN(cpu) (*(volatile u32 *)(base + COUNTER(cpu) + 0x40))

static void slot_goes(void)
{
    TEST("a slot goes while a vCPU uses it");
    vm_create(1);
    PUT_CODE(CODE, use_all);
    for (unsigned round = 0; round < 20; round++) {
        window = host_pages(WINDOW_SIZE);
        *(u32 *)window = 0x1000 + round;
        put_window(1, window, 0);
        cpu_prepare(0, CODE, WINDOW);
        cpu_start(0);
        cpu_advance(0, 100);
        CHECK(SEEN(0) == 0x1000 + round);
        slot_drop(0, 1);
        munmap(window, WINDOW_SIZE); /* whoever still uses it gets a signal */
        u32 reads = device_reads(), writes = device_writes();
        cpu_advance(0, 3);
        CHECK(device_reads() > reads && device_writes() > writes && SEEN(0) == DEVICE_VALUE);
        CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    }

    TEST("other memory at the same place is seen at once");
    u8 *host[2] = {host_pages(WINDOW_SIZE), host_pages(WINDOW_SIZE)};
    *(u32 *)host[0] = 0x3000;
    *(u32 *)host[1] = 0x3001;
    put_window(1, host[0], 0);
    cpu_prepare(0, CODE, WINDOW);
    cpu_start(0);
    for (u32 round = 1; round < 50; round++) {
        slot_drop(0, 1);
        put_window(1 + round % 3, host[round % 2], 0);
        slot_put(memory, 9, 0x400000, PAGE_SIZE, host_pages(PAGE_SIZE), 0); /* another one changes nothing */
        cpu_advance(0, 2);
        CHECK_EQ(SEEN(0), 0x3000 + round % 2);
        slot_drop(0, 1 + round % 3);
        slot_drop(0, 9);
        put_window(1, host[round % 2], 0);
    }

    TEST("a slot moves");
    CHECK_EQ(ram_slot_set(memory, 0,
                          &(struct ram_region){.id = 1, .start = GPA(0x800000), .size = WINDOW_SIZE, .host = host[1]}),
             0);
    cpu_advance(0, 2);
    CHECK_EQ(SEEN(0), DEVICE_VALUE);
    put_window(2, host[0], 0);
    cpu_advance(0, 2);
    CHECK_EQ(SEEN(0), 0x3000);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    vm_destroy();
}

/* Runs in two TLB contexts by turns, because a context is for one value of CR0.WP. */
GUEST_CODE(use_contexts, "1: mov %cr0, %ecx\n"
                         "xor $0x10000, %ecx\n"
                         "mov %ecx, %cr0\n"
                         "mov (%ebx), %eax\n"
                         "incl 4(%ebx)\n"
                         "mov %eax, 0x40(%edi)\n"
                         "incl (%edi)\n"
                         "jmp 1b");

static void contexts(void)
{
    TEST("a slot goes from all TLB contexts");
    vm_create(1);
    PUT_CODE(CODE, use_contexts);
    u32 *directory = (u32 *)(base + 0x10000);
    for (u32 i = 0; i < 2; i++)
        directory[i] = i << 22 | PTE_P | PTE_W | PTE_PS;
    window = host_pages(WINDOW_SIZE);
    put_window(1, window, 0);
    cpu_prepare(0, CODE, WINDOW);
    cpu[0].v->cr4 |= CR4_PSE;
    cpu[0].v->cr3 = 0x10000;
    cpu[0].v->cr0 |= CR0_PG;
    cpu_start(0);
    for (unsigned round = 0; round < 20; round++) {
        cpu_advance(0, 100);
        CHECK_EQ(SEEN(0), 0);
        slot_drop(0, 1);
        munmap(window, WINDOW_SIZE);
        cpu_advance(0, 4);
        CHECK_EQ(SEEN(0), DEVICE_VALUE);
        window = host_pages(WINDOW_SIZE);
        put_window(1, window, 0);
    }
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    vm_destroy();
}

GUEST_CODE(count, "1: incl (%edi)\n"
                  "jmp 1b");
GUEST_CODE(count_down, "1: decl (%edi)\n"
                       "jmp 1b");

static void code_goes(void)
{
    TEST("a slot with the code that runs goes: nothing answers, a triple fault");
    vm_create(2);
    window = host_pages(WINDOW_SIZE);
    put_window(1, window, 0);
    for (u32 i = 0; i < 2; i++) {
        memcpy(window, count_start, 16);
        cpu_prepare(i, WINDOW, 0);
        cpu_start(i);
        cpu_advance(i, 1000);
    }
    slot_drop(0, 1);
    for (u32 i = 0; i < 2; i++)
        CHECK_EQ(cpu_join(i), CPU_EXIT_SHUTDOWN);

    TEST("other code at the same place runs instead");
    u8 *other = host_pages(WINDOW_SIZE);
    memcpy(other, count_down_start, 16);
    for (unsigned round = 0; round < 2; round++) {
        put_window(1, round ? other : window, 0);
        cpu_prepare(0, WINDOW, 0);
        cpu_start(0);
        while ((s32)counter(0) < 1000 && (s32)counter(0) > -1000)
            sched_yield();
        CHECK_EQ((s32)counter(0) < 0, round);
        slot_drop(0, 1);
        CHECK_EQ(cpu_join(0), CPU_EXIT_SHUTDOWN);
    }

    TEST("the same memory with other bytes is translated anew");
    memcpy(window, count_down_start, 16);
    put_window(1, window, 0);
    cpu_prepare(0, WINDOW, 0);
    cpu_start(0);
    while ((s32)counter(0) > -1000)
        sched_yield();
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    vm_destroy();
}

/* A store, a locked and a plain read-modify-write; a load. */
GUEST_CODE(write_rom, "movl $0x55, 0x10(%ebx)\n"
                      "addl $1, 0x20(%ebx)\n"
                      "lock addl $2, 0x30(%ebx)\n"
                      "mov 0x10(%ebx), %eax\n"
                      "mov %eax, 0x40(%edi)\n"
                      "incl (%edi)\n"
                      "1: jmp 1b");

static void read_only(void)
{
    TEST("a read-only slot: reads are RAM's, writes are a device's");
    vm_create(1);
    PUT_CODE(CODE, write_rom);
    window = host_pages(WINDOW_SIZE);
    memset(window, 0x21, WINDOW_SIZE);
    put_window(1, window, RAM_READONLY);
    cpu_prepare(0, CODE, WINDOW);
    cpu_start(0);
    while (!counter(0))
        sched_yield();
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    CHECK(device.writes == 3 && !device.reads && device.gpa == WINDOW + 0x30 && device.value == 0x21212123);
    CHECK_EQ(SEEN(0), 0x21212121);
    for (u64 i = 0; i < WINDOW_SIZE; i++)
        if (window[i] != 0x21)
            CHECK(!"ROM was written");
    vm_destroy();
}

/* Calls the code at EBX, which returns a value in EAX. */
GUEST_CODE(call_it, "1: call *%ebx\n"
                    "mov %eax, 0x40(%edi)\n"
                    "incl (%edi)\n"
                    "jmp 1b");
/* Writes the code at EBX anew each time, with its own count as the value. */
GUEST_CODE(rewrite_it, "1: mov (%edi), %eax\n"
                       "mov %eax, 1(%ebx)\n"
                       "incl (%edi)\n"
                       "jmp 1b");
static const u8 return_value[] = {0xb8, 7, 0, 0, 0, 0xc3}; /* mov $7, %eax; ret */

/* CPU 1 rewrites the code that CPU 0 runs, which is never far behind. */
static void follow(void)
{
    cpu_start(0);
    cpu_start(1);
    for (unsigned i = 0; i < 40; i++) {
        u32 before = counter(1);
        cpu_advance(0, 3);
        CHECK((s32)(SEEN(0) + 2 - before) >= 0);
    }
    CHECK(cpu_end(0) == CPU_EXIT_STOP && cpu_end(1) == CPU_EXIT_STOP);
}

static void spaces(void)
{
    TEST("two address spaces");
    vm_create(2);
    u8 *low = host_pages(WINDOW_SIZE), *smm = host_pages(WINDOW_SIZE);
    PUT_CODE(CODE, call_it);
    memcpy(low, return_value, sizeof(return_value));
    memcpy(smm, return_value, sizeof(return_value));
    smm[1] = 9;
    put_window(1, low, 0);
    struct ram_region both[] = {{.id = 0, .start = GPA(0), .size = BASE_SIZE, .host = base},
                                {.id = 1, .start = GPA(WINDOW), .size = WINDOW_SIZE, .host = smm}};
    CHECK(!ram_slot_set(memory, 1, &both[0]) && !ram_slot_set(memory, 1, &both[1]));
    for (u32 i = 0; i < 2; i++) {
        cpu_prepare(i, CODE, WINDOW);
        vcpu_space_set(cpu[i].v, i);
        cpu_start(i);
    }
    for (u32 i = 0; i < 2; i++)
        cpu_advance(i, 100);
    CHECK(SEEN(0) == 7 && SEEN(1) == 9);

    TEST("a slot goes from one of the spaces");
    CHECK_EQ(ram_slot_set(memory, 1, &(struct ram_region){.id = 1}), 0);
    CHECK_EQ(cpu_join(1), CPU_EXIT_SHUTDOWN);
    cpu_advance(0, 100);
    CHECK_EQ(SEEN(0), 7);

    TEST("a vCPU enters and leaves the other space");
    CHECK_EQ(ram_slot_set(memory, 1, &both[1]), 0);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    for (u32 i = 1; i < 6; i++) {
        vcpu_space_set(cpu[0].v, i % 2);
        cpu_start(0);
        cpu_advance(0, 10);
        CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
        CHECK_EQ(SEEN(0), i % 2 ? 9 : 7);
    }

    TEST("code that is written through the other space");
    both[1].id = 2;
    both[1].start = GPA(WINDOW + 0x100000);
    both[1].host = low;
    CHECK_EQ(ram_slot_set(memory, 1, &both[1]), 0);
    PUT_CODE(CODE + 0x100, rewrite_it);
    cpu_prepare(0, CODE, WINDOW);
    vcpu_space_set(cpu[0].v, 0);
    cpu_prepare(1, CODE + 0x100, WINDOW + 0x100000);
    vcpu_space_set(cpu[1].v, 1);
    follow();

    TEST("code that is written through another slot of its own space");
    slot_put(memory, 3, WINDOW + 0x200000, WINDOW_SIZE, low, 0);
    cpu_prepare(0, CODE, WINDOW);
    cpu_prepare(1, CODE + 0x100, WINDOW + 0x200000);
    vcpu_space_set(cpu[1].v, 0);
    follow();

    TEST("code that is written by a device");
    cpu_prepare(0, CODE, WINDOW);
    cpu_start(0);
    for (u32 i = 0; i < 40; i++) {
        CHECK(ram_write(memory, GPA(WINDOW + 0x200000 + 1), &i, 4));
        cpu_advance(0, SOON);
        CHECK_EQ(SEEN(0), i);
    }
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    vm_destroy();
}

/* Memory that other processes map too, and that its owner gives back: `how` makes its pages zeros. */
static void given_back(const char *name, bool shared)
{
    TEST(name);
    vm_create(1);
    int fd = memfd_create("guest", MFD_CLOEXEC);
    u8 *mine = NULL;
    if (shared) {
        CHECK_EQ(ftruncate(fd, WINDOW_SIZE), 0);
        window = mmap(NULL, WINDOW_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        mine = mmap(NULL, WINDOW_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    } else {
        window = mine = host_pages(WINDOW_SIZE);
    }
    put_window(1, window, 0);
    PUT_CODE(CODE, use_all);
    *(u32 *)mine = 0x1234;
    cpu_prepare(0, CODE, WINDOW);
    cpu_start(0);
    cpu_advance(0, 10);
    CHECK_EQ(SEEN(0), 0x1234);
    for (u32 i = 0; i < 10; i++) {
        if (shared)
            CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, WINDOW_SIZE), 0);
        else
            CHECK_EQ(madvise(window, WINDOW_SIZE, MADV_DONTNEED), 0);
        cpu_advance(0, 2);
        CHECK_EQ(SEEN(0), 0);
        *(volatile u32 *)mine = i; /* its other owner writes data */
        cpu_advance(0, SOON);
        CHECK_EQ(SEEN(0), i);
    }
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);

    /* Code of a page that went: what was translated runs until somebody writes there by a way that is noted. */
    PUT_CODE(CODE, call_it);
    memcpy(mine, return_value, sizeof(return_value));
    cpu_prepare(0, CODE, WINDOW);
    cpu_start(0);
    cpu_advance(0, 10);
    CHECK_EQ(SEEN(0), 7);
    if (shared)
        CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, WINDOW_SIZE), 0);
    else
        CHECK_EQ(madvise(window, WINDOW_SIZE, MADV_DONTNEED), 0);
    cpu_advance(0, 10);
    CHECK(SEEN(0) == 7 && !window[0]);
    u8 code[sizeof(return_value)];
    memcpy(code, return_value, sizeof(code));
    code[1] = 8;
    CHECK(ram_write(memory, GPA(WINDOW), code, sizeof(code)));
    cpu_advance(0, SOON);
    CHECK_EQ(SEEN(0), 8);
    memcpy(mine + 1, &(u32){9}, 4);
    ram_written(memory, GPA(WINDOW + 1), 4);
    cpu_advance(0, SOON);
    CHECK_EQ(SEEN(0), 9);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    close(fd);
    vm_destroy();
}

/* Uses the window, and calls code in it, with whatever lies there. */
static void all_at_once(void)
{
    TEST("several vCPUs, while slots come, go, move and are logged");
    vm_create(3);
    PUT_CODE(CODE, use_all);
    PUT_CODE(CODE + 0x100, call_it);
    PUT_CODE(CODE + 0x200, rewrite_it);
    u8 *code = host_pages(WINDOW_SIZE);
    memcpy(code, return_value, sizeof(return_value));
    slot_put(memory, 2, WINDOW + 0x100000, WINDOW_SIZE, code, 0);
    cpu_prepare(0, CODE, WINDOW);
    cpu_prepare(1, CODE + 0x100, WINDOW + 0x100000);
    cpu_prepare(2, CODE + 0x200, WINDOW + 0x100000);
    for (u32 i = 0; i < 3; i++)
        cpu_start(i);
    for (u32 round = 0; round < 60; round++) {
        u64 map[1];
        struct ram_region g = {
            .id = 2, .start = GPA(WINDOW + 0x100000), .size = WINDOW_SIZE, .host = code, .flags = round % 2};
        u8 *w = host_pages(WINDOW_SIZE);
        put_window(1, w, round % 3 ? 0 : RAM_LOG_DIRTY);
        CHECK_EQ(ram_slot_set(memory, 0, &g), 0);
        cpu_advance(0, 2);
        if (!(round % 3)) {
            CHECK_EQ(ram_dirty_get(memory, 0, 1, map, round % 2), 0);
            CHECK(map[0]);
        }
        CHECK_EQ(ram_dirty_get(memory, 0, 2, map, false), round % 2 ? 0 : -2 /* ENOENT */);
        slot_drop(0, 1);
        munmap(w, WINDOW_SIZE);
        cpu_advance(1 + round % 2, 1);
    }
    for (u32 i = 0; i < 3; i++)
        CHECK_EQ(cpu_end(i), CPU_EXIT_STOP);
    vm_destroy();
}

int main(void)
{
    slot_goes();
    contexts();
    code_goes();
    read_only();
    spaces();
    given_back("private memory that its owner gives back", false);
    given_back("memory of a file that others map too", true);
    all_at_once();
    return TEST_END();
}
