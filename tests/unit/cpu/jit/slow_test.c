/*
 * Accesses that the TLB cannot serve: over page ends, to devices, to code, locked ones. Nothing changes before all
 * faults are found.
 */
#include <pthread.h>

#include "unit/code_cache.h"

#define EDGE (DATA + PAGE_SIZE - 4) /* quadwords from here lie half on the second page */
#define EDGE_GPA (DATA_GPA + PAGE_SIZE - 4)

static u64 at_edge(void)
{
    u64 x;
    memcpy(&x, ram + EDGE_GPA, 8);
    return x;
}

static void set_edge(u64 x)
{
    memcpy(ram + EDGE_GPA, &x, 8);
}

static void crossings(void)
{
    TEST("loads, stores and both over a page end");
    code_create();
    PUT(0, 0x48, 0x8b, 0x06 /* mov rax, [rsi] */, HLT);
    PUT(0x10, 0x48, 0x89, 0x06 /* mov [rsi], rax */, HLT);
    PUT(0x20, 0x48, 0x01, 0x06 /* add [rsi], rax */, HLT);
    PUT(0x30, 0xf0, 0x48, 0x0f, 0xc1, 0x06 /* lock xadd [rsi], rax */, HLT);
    v->gpr[RSI] = EDGE;
    set_edge(0x1122334455667788);
    CHECK(run(0));
    CHECK_EQ(v->gpr[RAX], 0x1122334455667788);
    v->gpr[RAX] = 0x100;
    CHECK(run(0x10));
    CHECK_EQ(at_edge(), 0x100);
    CHECK(run(0x20));
    CHECK_EQ(at_edge(), 0x200);
    CHECK(run(0x30));
    CHECK_EQ(at_edge(), 0x300);
    CHECK_EQ(v->gpr[RAX], 0x200);
    CHECK_EQ(v->stat[STAT_BOUNCE], 4);

    TEST("a second page that may not be written");
    static const u8 at[] = {0x10, 0x20, 0x30};
    for (unsigned i = 0; i < ARRAY_LEN(at); i++) {
        code_create();
        PUT(0x10, 0x48, 0x89, 0x06, HLT);
        PUT(0x20, 0x48, 0x01, 0x06, HLT);
        PUT(0x30, 0xf0, 0x48, 0x0f, 0xc1, 0x06, HLT);
        map(DATA + PAGE_SIZE, (DATA_GPA + PAGE_SIZE) | P);
        v->gpr[RSI] = EDGE;
        v->gpr[RAX] = 1;
        set_edge(5);
        CHECK(!run(at[i]));
        CHECK(at_edge() == 5 && v->gpr[RAX] == 1);
        CHECK_EQ(v->cr2, DATA + PAGE_SIZE);
        CHECK_EQ(v->rip, CODE + at[i]);
    }
}

static void devices(void)
{
    TEST("a device is read once and written once");
    code_create();
    map(DATA, RAM_SIZE | P | W);
    PUT(0, 0x8b, 0x06 /* mov eax, [rsi] */, HLT);
    PUT(0x10, 0x89, 0x06 /* mov [rsi], eax */, HLT);
    v->gpr[RSI] = DATA + 0x20;
    device.reads = device.writes = 0;
    CHECK(run(0));
    CHECK_EQ(v->gpr[RAX], 0x55667788);
    CHECK(device.reads == 1 && device.gpa == RAM_SIZE + 0x20 && device.size == 4 && !device.writes);
    CHECK(run(0x10));
    CHECK(device.reads == 1 && device.writes == 1 && device.value == 0x55667788);
}

static void code(void)
{
    TEST("a store changes the next instruction");
    code_create();
    PUT(0, 0xc6, 0x06, 9 /* mov byte [rsi], 9 */, 0xb8, 1, 0, 0, 0 /* mov eax, 1 */, HLT);
    v->gpr[RSI] = CODE + 4;
    CHECK(run(0));
    CHECK_EQ(v->gpr[RAX], 9);

    TEST("a store beside it goes on in its block");
    code_create();
    PUT(0, 0xc6, 0x06, 9, 0xb8, 1, 0, 0, 0, HLT);
    v->gpr[RSI] = CODE + 0x100;
    CHECK(run(0));
    CHECK(v->gpr[RAX] == 1 && ram[CODE_GPA + 0x100] == 9 && v->stat[STAT_BOUNCE] == 1 && block(0)->valid);
}

/* Another vCPU leaves its exclusive section when this one is parked. */
static void *owner(void *unused)
{
    while (__atomic_load_n(&v->running, __ATOMIC_SEQ_CST))
        ;
    __atomic_store_n(&vm.exclusive, 0, __ATOMIC_SEQ_CST);
    return NULL;
}

static void locked(void)
{
    TEST("a locked access waits for the exclusive section, then the instruction starts again");
    static struct vcpu other;
    pthread_t thread;
    code_create();
    PUT(0, 0xf0, 0x48, 0x01, 0x06 /* lock add [rsi], rax */, HLT);
    v->gpr[RSI] = EDGE;
    v->gpr[RAX] = 1;
    set_edge(5);
    other.vm = &vm;
    other.index = 1;
    vm.vcpu[1] = &other;
    vm.vcpu_count = 2;
    v->flags |= FLAG_TF;
    mode_update(v);
    v->rip = CODE;
    v->running = 1;
    vm.exclusive = 2;
    pthread_create(&thread, NULL, owner, NULL);
    execute(v);
    pthread_join(thread, NULL);
    CHECK(at_edge() == 5 && v->rip == CODE && !v->trap_pending && v->running == 1);
    execute(v);
    CHECK(at_edge() == 6 && v->rip == CODE + 4 && v->trap_pending && v->trap_dr6 == DR6_BS);
    CHECK(!vm.exclusive && !v->exec->bounce_locked);

    TEST("a fault leaves the section");
    map(DATA + PAGE_SIZE, 0);
    mmu_flush_all(v);
    v->rip = CODE;
    v->trap_pending = false;
    execute(v);
    CHECK(!vm.exclusive && !v->exec->bounce_locked && v->cr2 == DATA + PAGE_SIZE);
    vm.vcpu_count = 1;
}

int main(void)
{
    crossings();
    devices();
    code();
    locked();
    return TEST_END();
}
