/*
 * System management mode without VMX and SVM operation: a handler in address space 1, what it finds in the state save
 * area and what RSM makes of it, SMBASE, HLT, what waits meanwhile, and a move of the vCPU in the midst of it.
 */
#include "cpu/core/stats.h"
#include "cpu/mmu/segment.h"
#include "unit/live_vm.h"
#include "x86/msr.h"
#include "x86/smram.h"

#include <stdlib.h>

#define SMRAM_AT 0x30000u
#define SMRAM_SIZE 0x20000u
#define SMIS 0x84000u /* counted by the handler, in memory of both spaces */
#define GO 0x84040u   /* the handler waits for it */

static u8 *smram;
static struct cpu_state state;

GUEST_CODE(count, "1: incl (%edi)\n"
                  "jmp 1b");
GUEST_CODE(halt, "1: hlt\n"
                 "incl (%edi)\n"
                 "jmp 1b");
/* Handlers begin in 16-bit code; CS is SMBASE. */
GUEST_CODE(handler, ".code16\n"
                    "addr32 incl 0x84000\n"
                    "rsm\n"
                    ".code32");
GUEST_CODE(waiting_handler, ".code16\n"
                            "addr32 incl 0x84000\n"
                            "mov $0x12345678, %eax\n"
                            "1: addr32 cmpl $0, 0x84040\n"
                            "je 1b\n"
                            "rsm\n"
                            ".code32");

#define PUT_HANDLER(base, name)                                                                                        \
    memcpy(smram + ((base)-SMRAM_AT) + SMM_ENTRY, name##_start, (size_t)(name##_end - name##_start))

static volatile u32 *at(u32 address)
{
    return (volatile u32 *)(base + address);
}

static struct smram64 *area(u32 smbase)
{
    return (struct smram64 *)(smram + (smbase - SMRAM_AT) + SMRAM_STATE);
}

static void put(u32 id, u32 start, u32 size, u8 *host)
{
    const struct ram_region g = {.id = id, .start = GPA(start), .size = size, .host = host, .flags = RAM_FOREIGN};
    if (ram_slot_set(memory, 1, &g))
        abort();
}

static void prepare(u32 count)
{
    vm_create(count);
    vm->smm = true;
    smram = host_pages(SMRAM_SIZE);
    put(0, 0, SMRAM_AT, base);
    put(1, SMRAM_AT, SMRAM_SIZE, smram);
    put(2, SMRAM_AT + SMRAM_SIZE, BASE_SIZE - SMRAM_AT - SMRAM_SIZE, base + SMRAM_AT + SMRAM_SIZE);
    PUT_HANDLER(SMRAM_AT, handler);
}

static void finish(void)
{
    vm_destroy();
    munmap(smram, SMRAM_SIZE);
}

static void smi(u32 count)
{
    u32 from = *at(SMIS);
    for (u32 i = 0; i < count; i++) {
        cpu_smi(cpu[0].v);
        while (*at(SMIS) - from == i)
            sched_yield();
    }
}

static void taken(void)
{
    TEST("SMIs are taken, and the interrupted program goes on");
    prepare(1);
    PUT_CODE(CODE, count);
    cpu_prepare(0, CODE, 0);
    cpu[0].v->gpr[RBP] = 0x55aa;
    cpu_start(0);
    for (u32 i = 0; i < 100; i++) {
        cpu_advance(0, 10);
        smi(1);
    }
    cpu_advance(0, 10);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    const struct smram64 *m = area(SMRAM_AT);
    CHECK(m->revision == SMRAM_REVISION_64 && m->smbase == SMRAM_AT && !m->halt_restart);
    CHECK(m->cr0 == (CR0_PE | CR0_ET) && !m->cr4 && !m->efer && m->dr6 == DR6_FIXED && m->dr7 == DR7_FIXED);
    CHECK(m->gpr[GPR_COUNT - 1 - RBP] == 0x55aa && m->gpr[GPR_COUNT - 1 - RDI] == COUNTER(0));
    CHECK(m->rip - CODE < 4 && m->seg[SEG_CS].sel == 8 && m->seg[SEG_CS].attr == 0xc09b);
    CHECK(m->seg[SEG_SS].sel == 16 && m->seg[SEG_SS].limit == 0xffffffff);
    CHECK(!cpu_in_smm(cpu[0].v) && cpu[0].v->gpr[RBP] == 0x55aa && cpu[0].v->cr0 == (CR0_PE | CR0_ET));
    CHECK_EQ(*at(SMRAM_AT + SMRAM_STATE), 0); /* nothing was written to space 0 */

    TEST("how many there were, and SMBASE, as MSRs");
    state = (struct cpu_state){.msrs = 2, .msr = {{.index = MSR_SMI_COUNT}, {.index = MSR_SMBASE}}};
    CHECK(cpu_state_get(cpu[0].v, &state, STATE_MSRS) && state.msrs == 2);
    CHECK(state.msr[0].value == 100 && state.msr[1].value == SMRAM_AT);

    TEST("SMBASE moves");
    cpu_start(0);
    PUT_HANDLER(SMRAM_AT, waiting_handler);
    *at(GO) = 0;
    smi(1);
    area(SMRAM_AT)->smbase = 0x40000;
    PUT_HANDLER(0x40000, handler);
    *at(GO) = 1;
    cpu_advance(0, 10);
    smi(1);
    cpu_advance(0, 10);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    CHECK(area(0x40000)->smbase == 0x40000 && area(0x40000)->gpr[GPR_COUNT - 1 - RBP] == 0x55aa);
    finish();
}

static void start_to_halt(void)
{
    u64 halts = cpu[0].v->stat[STAT_HALT];
    cpu_start(0);
    while (*(volatile u64 *)&cpu[0].v->stat[STAT_HALT] == halts)
        sched_yield();
}

static void user(void)
{
    TEST("a program in ring 3 whose SS has DPL 0, as AMD's SYSRET leaves it, stays in ring 3");
    prepare(1);
    PUT_CODE(CODE, count);
    cpu_prepare(0, CODE, 0);
    cpl_set(cpu[0].v, 3);
    cpu_start(0);
    cpu_advance(0, 10);
    smi(1);
    cpu_advance(0, 10);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    CHECK_EQ(cpu[0].v->cpl, 3);
    finish();
}

static void halted(void)
{
    TEST("an SMI in HLT: the vCPU halts again, or not, as the handler says");
    prepare(1);
    PUT_CODE(CODE, halt);
    cpu_prepare(0, CODE, 0);
    start_to_halt();
    for (u32 i = 0; i < 20; i++) {
        smi(1);
        CHECK_EQ(counter(0), 0);
    }
    CHECK_EQ(area(SMRAM_AT)->halt_restart, 1);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    PUT_HANDLER(SMRAM_AT, waiting_handler);
    cpu_prepare(0, CODE, 0);
    *at(GO) = 0;
    start_to_halt();
    smi(1);
    area(SMRAM_AT)->halt_restart = 0;
    *at(GO) = 1;
    cpu_advance(0, 1);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    finish();
}

static void waits(void)
{
    TEST("SMIs, NMIs and INIT wait for RSM");
    prepare(1);
    PUT_CODE(CODE, count);
    PUT_HANDLER(SMRAM_AT, waiting_handler);
    cpu_prepare(0, CODE, 0);
    *at(GO) = 0;
    cpu_start(0);
    smi(1);
    cpu_smi(cpu[0].v);
    cpu_smi(cpu[0].v);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    CHECK(cpu_in_smm(cpu[0].v) && cpu[0].v->nmi_blocked && cpu[0].v->smi_pending && *at(SMIS) == 1);
    u32 before = counter(0);
    cpu_start(0);
    *at(GO) = 1;
    while (*at(SMIS) != 2)
        sched_yield();
    cpu_advance(0, 10);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    CHECK(*at(SMIS) == 2 && counter(0) > before && !cpu[0].v->nmi_blocked);

    TEST("INIT is latched");
    *at(GO) = 0;
    cpu_start(0);
    smi(1);
    cpu_init(vm);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    CHECK(cpu_in_smm(cpu[0].v) && cpu[0].v->init_pending);
    finish();
}

static void bad_state(void)
{
    TEST("RSM with a state that the CPU cannot have is a shutdown");
    static const struct {
        u32 offset;
        u64 value;
    } bad[] = {
        {offsetof(struct smram64, cr0), CR0_PG},
        {offsetof(struct smram64, cr0), CR0_PE | CR0_NW},
        {offsetof(struct smram64, cr0), CR0_PE | BIT64(32)},
        {offsetof(struct smram64, cr4), BIT64(15)},
        {offsetof(struct smram64, cr4), CR4_PCIDE},
        {offsetof(struct smram64, efer), BIT64(1)},
        {offsetof(struct smram64, dr7), BIT64(40)},
    };
    for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
        prepare(1);
        PUT_CODE(CODE, count);
        PUT_HANDLER(SMRAM_AT, waiting_handler);
        cpu_prepare(0, CODE, 0);
        *at(GO) = 0;
        cpu_start(0);
        smi(1);
        memcpy((u8 *)area(SMRAM_AT) + bad[i].offset, &bad[i].value, 8);
        *at(GO) = 1;
        CHECK_EQ(cpu_join(0), CPU_EXIT_SHUTDOWN);
        finish();
    }

    TEST("RSM outside of the handler is an invalid opcode; without SMM an SMI does nothing");
    prepare(1);
    vm->smm = false;
    PUT_CODE(CODE, count);
    cpu_prepare(0, CODE, 0);
    cpu_start(0);
    cpu_smi(cpu[0].v);
    cpu_advance(0, 100);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    CHECK(!cpu[0].v->smi_pending && !cpu_in_smm(cpu[0].v));
    finish();
}

static void moved(void)
{
    TEST("a vCPU moves in the midst of its handler");
    const char *bad = NULL;
    prepare(2);
    PUT_CODE(CODE, count);
    PUT_HANDLER(SMRAM_AT, waiting_handler);
    cpu_prepare(0, CODE, 0);
    cpu[0].v->gpr[RAX] = 0x77;
    *at(GO) = 0;
    cpu_start(0);
    smi(1);
    while (cpu_end(0) == CPU_EXIT_STOP && cpu[0].v->gpr[RAX] != 0x12345678)
        cpu_start(0);
    cpu_state_get(cpu[0].v, &state, STATE_ALL);
    CHECK(state.events.smm && state.events.nmi_blocked && !state.events.smm_nmi_blocked);
    CHECK_EQ(cpu_state_set(cpu[1].v, &state, STATE_ALL & ~STATE_APIC, &bad), 0);
    CHECK(cpu_in_smm(cpu[1].v));
    *at(GO) = 1;
    u32 from = counter(0);
    cpu_start(1);
    while (counter(0) - from < 100)
        sched_yield();
    CHECK_EQ(cpu_end(1), CPU_EXIT_STOP);
    CHECK(!cpu_in_smm(cpu[1].v) && cpu[1].v->gpr[RAX] == 0x77 && !cpu[1].v->nmi_blocked);

    TEST("what belongs to SMM is refused where there is no SMM");
    state.events = (struct cpu_events){.smm_nmi_blocked = true};
    CHECK(cpu_state_set(cpu[1].v, &state, STATE_EVENTS, &bad) && !strcmp(bad, "smm_nmi_blocked"));
    state.events = (struct cpu_events){.smm = true};
    CHECK_EQ(cpu_state_set(cpu[1].v, &state, STATE_EVENTS, &bad), 0);
    vm->smm = false;
    CHECK(cpu_state_set(cpu[1].v, &state, STATE_EVENTS, &bad) && !strcmp(bad, "smm"));
    finish();
}

int main(void)
{
    taken();
    user();
    halted();
    waits();
    bad_state();
    moved();
    return TEST_END();
}
