/*
 * A debugger outside of the guest: INT3, steps, breakpoints and watchpoints end the run of the vCPU, and the guest's
 * own debug registers, flags and exceptions are not disturbed.
 */
#include "cpu/event/lapic.h"
#include "unit/live_vm.h"
#include "x86/msr.h"

#define ENABLE(n, kind, length) (BIT64(2 * (n)) | (u64)(kind) << (16 + 4 * (n)) | (u64)(length) << (18 + 4 * (n)))
#define FOUR_BYTES 3

static void debug(u32 on, u64 dr0, u64 dr7)
{
    const struct cpu_debug d = {.on = on, .dr = {dr0}, .dr7 = DR7_FIXED | dr7};
    cpu_debug_set(cpu[0].v, &d);
}

/* Runs until the vCPU leaves by itself. Returns true if it left for the debugger, by this reason, at this address. */
static bool stops(u8 vector, u32 pc, u64 dr6)
{
    cpu_start(0);
    enum cpu_exit exit = cpu_join(0);
    const struct cpu_exit_debug *e = cpu_debug_exit(cpu[0].v);
    bool ok = exit == CPU_EXIT_DEBUG && e->vector == vector && e->pc == pc && e->pc == cpu_rip(cpu[0].v) &&
              e->dr6 == (vector == EXC_DB ? DR6_FIXED | dr6 : 0);
    if (!ok)
        printf("# exit %u vector %u at %#llx DR6 %#llx\n", exit, e->vector, (unsigned long long)e->pc,
               (unsigned long long)e->dr6);
    return ok;
}

/* 1000: MOV (5 bytes), 1005: MOV to (EDI) (2), 1007: PUSHF (1), 1008: POP EDX (1), 1009: INT3 (1), 100a: JMP */
GUEST_CODE(code, "mov $7, %eax\n"
                 "mov %eax, (%edi)\n"
                 "pushf\n"
                 "pop %edx\n"
                 "int3\n"
                 "1: jmp 1b");

static void interrupts_3(void)
{
    TEST("INT3 leaves before it is executed");
    vm_create(1);
    PUT_CODE(CODE, code);
    cpu_prepare(0, CODE, 0);
    debug(CPU_DEBUG_INT3, 0, 0);
    CHECK(stops(EXC_BP, CODE + 9, 0));
    CHECK(stops(EXC_BP, CODE + 9, 0));
    CHECK_EQ(cpu[0].v->gpr[RAX], 7);

    TEST("INT3 is the guest's if the debugger does not want it any more");
    debug(0, 0, 0);
    cpu_start(0);
    CHECK(cpu_join(0) == CPU_EXIT_SHUTDOWN); /* there is no IDT */
    vm_destroy();
}

static void steps(void)
{
    TEST("steps: one instruction each, and no TF in the guest's flags");
    vm_create(1);
    PUT_CODE(CODE, code);
    cpu_prepare(0, CODE, 0);
    debug(CPU_DEBUG_STEP, 0, 0);
    CHECK(stops(EXC_DB, CODE + 5, DR6_BS));
    CHECK(stops(EXC_DB, CODE + 7, DR6_BS));
    CHECK(stops(EXC_DB, CODE + 8, DR6_BS));
    CHECK(stops(EXC_DB, CODE + 9, DR6_BS));
    CHECK(!(cpu[0].v->gpr[RDX] & FLAG_TF));
    CHECK_EQ(cpu[0].v->dr6, DR6_FIXED);
    vm_destroy();
}

static void breakpoints(void)
{
    TEST("a breakpoint leaves before its instruction, again and again");
    vm_create(1);
    PUT_CODE(CODE, code);
    cpu_prepare(0, CODE, 0);
    debug(CPU_DEBUG_HW, CODE + 8, ENABLE(0, DR7_EXECUTE, 0));
    CHECK(stops(EXC_DB, CODE + 8, 1));
    CHECK(stops(EXC_DB, CODE + 8, 1));
    CHECK_EQ(counter(0), 7);
    CHECK_EQ(cpu[0].v->dr[0], 0);
    CHECK_EQ(cpu[0].v->dr7, DR7_FIXED);

    TEST("a step does not stop at once where a breakpoint was");
    debug(CPU_DEBUG_STEP, 0, 0);
    CHECK(stops(EXC_DB, CODE + 9, DR6_BS));
    vm_destroy();
}

GUEST_CODE(stores, "1: incl (%edi)\n"
                   "mov 0x40(%edi), %ebx\n"
                   "mov %eax, 0x40(%edi)\n"
                   "jmp 1b");

static void watchpoints(void)
{
    TEST("watchpoints leave after the access, of pages that the guest used before, too");
    vm_create(1);
    PUT_CODE(CODE, stores);
    cpu_prepare(0, CODE, 0);
    cpu_start(0);
    cpu_advance(0, 1000);
    CHECK(cpu_end(0) == CPU_EXIT_STOP);
    debug(CPU_DEBUG_HW, COUNTER(0) + 0x40, ENABLE(0, DR7_WRITE, FOUR_BYTES));
    CHECK(stops(EXC_DB, CODE + 8, 1));
    CHECK(stops(EXC_DB, CODE + 8, 1));
    debug(CPU_DEBUG_HW, COUNTER(0) + 0x43, ENABLE(0, DR7_ACCESS, 0));
    CHECK(stops(EXC_DB, CODE + 5, 1));
    CHECK(stops(EXC_DB, CODE + 8, 1));

    TEST("without watchpoints the guest runs freely again");
    debug(0, 0, 0);
    cpu_start(0);
    cpu_advance(0, 100000);
    CHECK(cpu_end(0) == CPU_EXIT_STOP);
    vm_destroy();
}

GUEST_CODE(moves, "mov %eax, %dr0\n"
                  "hlt");

static void general_detect(void)
{
    TEST("DR7.GD of the debugger: accesses to debug registers");
    vm_create(1);
    PUT_CODE(CODE, moves);
    cpu_prepare(0, CODE, 0);
    debug(CPU_DEBUG_HW, 0, DR7_GD);
    CHECK(stops(EXC_DB, CODE, DR6_BD));
    vm_destroy();
}

GUEST_CODE(waits, "sti\n"
                  "nop\n"
                  "1: nop\n"
                  "jmp 1b");
#define VECTOR 0x40

static void blocked_interrupts(void)
{
    TEST("interrupts wait while the debugger says so");
    vm_create(1);
    PUT_CODE(CODE, waits);
    cpu_prepare(0, CODE, 0);
    cpu[0].v->idtr = (struct desc_table){0x4000, 0x7ff};
    *(u64 *)(base + 0x4000 + 8 * VECTOR) = 0x00008e0000081200ull; /* the handler at 1200h */
    cpu[0].v->gdtr = (struct desc_table){0x5000, 0xff};
    *(u64 *)(base + 0x5008) = 0x00cf9a000000ffffull;
    *(u64 *)(base + 0x5010) = 0x00cf92000000ffffull;
    debug(CPU_DEBUG_STEP | CPU_DEBUG_NO_IRQ, 0, 0);
    lapic_mmio_write(cpu[0].v, APIC_SVR, 0x1ff);
    cpu_msi(vm, 0xfee00000, VECTOR);
    CHECK(stops(EXC_DB, CODE + 1, DR6_BS));
    CHECK(stops(EXC_DB, CODE + 2, DR6_BS));
    CHECK(stops(EXC_DB, CODE + 3, DR6_BS));
    CHECK(stops(EXC_DB, CODE + 2, DR6_BS));

    TEST("interrupts come when the debugger does not hold them any more");
    *(base + 0x1200) = 0x90; /* NOP */
    debug(CPU_DEBUG_STEP, 0, 0);
    CHECK(stops(EXC_DB, 0x1201, DR6_BS));
    vm_destroy();
}

int main(void)
{
    interrupts_3();
    steps();
    breakpoints();
    watchpoints();
    general_detect();
    blocked_interrupts();
    return TEST_END();
}
