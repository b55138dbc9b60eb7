/*
 * Processes that execute guest code: turns that begin with changes of mappings leave registers and flags alone,
 * whatever stops them, kicks included; system calls of guest code stop them and never happen, wherever they are.
 * Skipped where no process can be made and traced.
 */
#include "accel/direct_parts.h"
#include "unit/test.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define CODE 0x500000ull
#define DATA 0x501000ull
#define NEW 0x600000ull /* where guest code would like to have something mapped */

static struct direct_host host;
static struct direct_process *process;
static u8 *memory; /* a page of code, and one of data */
static u64 request;

/* The page at `la` is mapped anew before guest code runs next. */
static bool map(u64 la, u64 offset, u32 rights)
{
    const struct direct_change c = {.la = la, .size = PAGE_SIZE, .offset = offset, .rights = rights};
    return host.ops.change(process, &c, 1);
}

static bool map_data(void)
{
    return map(DATA, PAGE_SIZE, DIRECT_READ | DIRECT_WRITE);
}

static struct direct_regs start(u64 rip)
{
    struct direct_regs r = {.rip = rip, .flags = 0x202, .cs = CS_64, .ss = SS_USER};
    for (unsigned i = 0; i < 16; i++)
        r.gpr[i] = 0x0123456700000000ull * (i + 1) + i;
    return r;
}

/* Runs guest code from r->rip on, not counting kicks by others. */
static enum direct_stop run(struct direct_regs *r, u64 *la)
{
    enum direct_stop stop;
    do
        stop = host.ops.run(process, r, &request, la);
    while (stop == DIRECT_KICKED);
    return stop;
}

static void begin(void)
{
    int fd = memfd_create("guest", MFD_CLOEXEC);
    CHECK(fd >= 0 && !ftruncate(fd, 2 * PAGE_SIZE));
    memory = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(memory != MAP_FAILED);
    direct_host_init(&host);
    host.file[0] = (struct direct_file){(u64)memory, (u64)memory + 2 * PAGE_SIZE, 0, fd};
    host.files = 1;
    process = host.ops.create(&host, 0);
    CHECK(process);
    CHECK(map(CODE, 0, DIRECT_READ | DIRECT_FETCH));
}

static void registers(void)
{
    TEST("registers and flags come through a turn with changes");
    memcpy(memory, (u8[]){0x0f, 0x0b /* ud2 */}, 2);
    for (unsigned i = 0; i < 64; i++) {
        struct direct_regs r = start(CODE), before;
        u64 la = 0;
        r.flags = 0x202 | (i & 1 ? 0x8d5 : 0) | (i & 2 ? 0x400 : 0) | (i & 4 ? 0x40000 : 0) | (i & 8 ? 0x200000 : 0);
        before = r;
        CHECK(map_data());
        CHECK_EQ(run(&r, &la), DIRECT_FAULT);
        CHECK(!memcmp(r.gpr, before.gpr, sizeof r.gpr));
        CHECK_EQ(r.rip, CODE);
        CHECK_EQ(r.flags & ~0x10000ull, before.flags);
    }
}

/* Guest code asks for a mapping, as the list does, at `at`, in a turn with changes or one without. */
static void asks_at(u64 at, u64 rip, bool changes, u64 high3, u64 high4)
{
    struct direct_regs r = start(at), before;
    u64 la = 0;
    r.gpr[RAX] = SYS_mmap;
    r.gpr[RDI] = NEW;
    r.gpr[RSI] = PAGE_SIZE;
    r.gpr[RDX] = PROT_READ;
    r.gpr[R10] = (MAP_SHARED | MAP_FIXED | MAP_POPULATE) | high3 << 32;
    r.gpr[R8] = (STUB_FD + 1) | high4 << 32;
    r.gpr[R9] = 0;
    before = r;
    CHECK(map_data());
    if (!changes)
        CHECK(host.ops.tsc(process, false));
    CHECK_EQ(run(&r, &la), DIRECT_SYSCALL);
    CHECK_EQ(r.gpr[RAX], SYS_mmap);
    CHECK_EQ(r.rip, rip);
    CHECK_EQ(r.gpr[R10], before.gpr[R10]);
    r = start(CODE + 16);
    r.gpr[RAX] = NEW;
    CHECK_EQ(run(&r, &la), DIRECT_PAGE_FAULT);
    CHECK_EQ(la, NEW);
}

static void system_calls(void)
{
    TEST("no system call of guest code happens");
    memcpy(memory, (u8[]){0x0f, 0x05 /* syscall */}, 2);
    memcpy(memory + 16, (u8[]){0x8a, 0x00 /* mov al, [rax] */, 0x0f, 0x0b}, 4);
    u64 stub = process->stub + offsetof(struct program, code) + (u64)(direct_stub_syscall - direct_stub);
    for (unsigned i = 0; i < 40; i++) {
        asks_at(CODE, CODE + 2, i & 1, 0, 0);
        asks_at(stub, stub + 2, i & 1, 0, 0); /* it may know where the page is */
        asks_at(CODE, CODE + 2, i & 1, process->secret[0] >> 32, 0);
        asks_at(CODE, CODE + 2, i & 1, 0, process->secret[1] >> 32);
    }

    TEST("the secret is not in what guest code can read");
    u8 pages[STUB_PAGES * PAGE_SIZE];
    struct iovec to = {pages, sizeof pages}, from = {(void *)process->stub, sizeof pages};
    CHECK_EQ(process_vm_readv(process->pid, &to, 1, &from, 1, 0), (ssize_t)sizeof pages);
    u32 found = 0;
    for (u32 i = 0; i + 4 <= sizeof pages; i++)
        for (unsigned k = 0; k < 2; k++)
            found += !memcmp(pages + i, (u8 *)&process->secret[k] + 4, 4);
    CHECK_EQ(found, 0);
}

static bool done;
static void *kicks(void *opaque)
{
    while (!__atomic_load_n(&done, __ATOMIC_RELAXED))
        direct_kick(&host, 0);
    return NULL;
}

static void kicked(void)
{
    TEST("kicks at any moment: each turn's code runs once");
    memcpy(memory, (u8[]){0x48, 0xff, 0x00 /* inc qword [rax] */, 0x0f, 0x0b}, 5);
    volatile u64 *count = (volatile u64 *)(memory + PAGE_SIZE);
    pthread_t thread;
    CHECK(!pthread_create(&thread, NULL, kicks, NULL));
    *count = 0;
    u64 wrong = 0;
    for (u64 i = 1; i <= 3000; i++) {
        struct direct_regs r = start(CODE), before;
        u64 la = 0;
        r.gpr[RAX] = DATA;
        before = r;
        for (u64 k = 0; k < i % 3; k++) /* one list of a few */
            wrong += !map_data();
        wrong += run(&r, &la) != DIRECT_FAULT || r.rip != CODE + 3 || *count != i;
        wrong += !!memcmp(r.gpr, before.gpr, sizeof r.gpr);
    }
    CHECK_EQ(wrong, 0);
    __atomic_store_n(&done, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
}

static void failures(void)
{
    TEST("a change that cannot be made ends it");
    struct direct_regs r = start(CODE);
    u64 la = 0;
    bool taken = map(DATA + 1, PAGE_SIZE, DIRECT_READ); /* found out at once, or in the turn */
    CHECK(!taken || run(&r, &la) == DIRECT_UNFIT);
    CHECK_EQ(r.rip, CODE);
}

int main(void)
{
    struct error error;
    if (direct_probe(&error)) {
        printf("ok direct_process # SKIP %s\n", error.text);
        return 0;
    }
    begin();
    registers();
    system_calls();
    kicked();
    failures();
    host.ops.destroy(process);
    return TEST_END();
}
