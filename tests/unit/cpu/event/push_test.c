/*
 * Interrupts that the caller gives (CPU_APICS_SPLIT, CPU_APICS_CALLER): when a vector is taken, the window, HLT, lower
 * TPRs, and the page of an APIC that is not there.
 */
#include "unit/live_vm.h"

#include "cpu/event/lapic.h"

#include <errno.h>

#define IDT 0x60000u
#define GDT 0x61000u
#define VECTOR 0x35

/* The handler counts at EDI + 4 and ends the program. */
GUEST_CODE(closed, "cli; 1: incl (%edi); jmp 1b");
GUEST_CODE(opens, "cli; mov $1000, %ecx; 1: loop 1b; sti; nop; 2: incl (%edi); jmp 2b");
GUEST_CODE(halts, "sti; hlt; movl $7, (%edi); hlt");
GUEST_CODE(handler, "incl 4(%edi); cli; hlt");
GUEST_CODE(page, "mov 0xfee00020, %eax; mov %eax, (%edi); movl $5, 0xfee000b0; hlt");

static struct vcpu *v;

static void create(enum cpu_apics apics)
{
    vm_create(2);
    cpu_apics_set(vm, apics);
    v = cpu[0].v;
    cpu_prepare(0, CODE, 0);
    /* An interrupt gate, and a code segment for it. */
    u64 code = 0x00cf9b000000ffffull, gate = (u64)8 << 16 | 0x8e0000000000ull | 0x2000;
    memcpy(base + GDT + 8, &code, 8);
    memcpy(base + IDT + 8 * VECTOR, &gate, 8);
    v->gdtr = (struct desc_table){.base = GDT, .limit = 0xff};
    v->idtr = (struct desc_table){.base = IDT, .limit = 0x7ff};
    PUT_CODE(0x2000, handler);
    memset(base + COUNTERS, 0, 8);
}

static u32 taken(void)
{
    return __atomic_load_n((u32 *)(base + COUNTERS + 4), __ATOMIC_SEQ_CST);
}

static void test_halt(void)
{
    TEST("without APICs HLT goes to the caller, who goes on as he likes");
    create(CPU_APICS_CALLER);
    PUT_CODE(CODE, halts);
    cpu_start(0);
    CHECK_EQ(cpu_join(0), CPU_EXIT_HLT);
    CHECK_EQ(v->rip, CODE + 2);
    CHECK_EQ(counter(0), 0);
    CHECK(cpu_interruptible(v));
    cpu_start(0);
    CHECK_EQ(cpu_join(0), CPU_EXIT_HLT);
    CHECK_EQ(counter(0), 7);

    TEST("a vector that is given is taken before the next instruction");
    CHECK_EQ(cpu_interrupt(v, VECTOR), 0);
    CHECK_EQ(cpu_interrupt(v, VECTOR + 1), -EEXIST);
    CHECK(!cpu_interruptible(v));
    cpu_start(0);
    CHECK_EQ(cpu_join(0), CPU_EXIT_HLT);
    CHECK_EQ(taken(), 1);
    CHECK(!cpu_interruptible(v)); /* the handler has closed IF */
    vm_destroy();

    TEST("all vCPUs run after RESET, as the caller knows who waits");
    create(CPU_APICS_CALLER);
    cpu_reset(cpu[1].v);
    CHECK_EQ(cpu[1].v->activity, ACTIVITY_ACTIVE);
    vm_destroy();
}

static void test_window(void)
{
    TEST("a vector waits for IF, and so does the window");
    create(CPU_APICS_CALLER);
    PUT_CODE(CODE, opens);
    cpu_window_set(v, true);
    CHECK(!cpu_interruptible(v));
    cpu_start(0);
    CHECK_EQ(cpu_join(0), CPU_EXIT_WINDOW);
    CHECK_EQ(v->gpr[RCX], 0);
    CHECK(v->flags & FLAG_IF && cpu_interruptible(v));
    CHECK_EQ(cpu_interrupt(v, VECTOR), 0);
    cpu_start(0); /* still wanted, but shut from the handler on */
    CHECK_EQ(cpu_join(0), CPU_EXIT_HLT);
    CHECK_EQ(taken(), 1);
    vm_destroy();

    TEST("a window that is not wanted any more does not open");
    create(CPU_APICS_CALLER);
    PUT_CODE(CODE, opens);
    cpu_window_set(v, true);
    cpu_window_set(v, false);
    cpu_start(0);
    cpu_advance(0, 1000);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    vm_destroy();

    TEST("with IF closed nothing is taken");
    create(CPU_APICS_CALLER);
    PUT_CODE(CODE, closed);
    CHECK_EQ(cpu_interrupt(v, VECTOR), 0);
    cpu_start(0);
    cpu_advance(0, 1000);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    CHECK(v->pushed && !taken());
    vm_destroy();
}

static void test_tpr(void)
{
    TEST("a lower TPR goes to the caller");
    create(CPU_APICS_CALLER);
    lapic_tpr_write(v, 3);
    CHECK(!(v->request & REQ_LEAVE));
    lapic_tpr_write(v, 9);
    CHECK(!(v->request & REQ_LEAVE));
    lapic_tpr_write(v, 8);
    PUT_CODE(CODE, closed);
    cpu_start(0);
    CHECK_EQ(cpu_join(0), CPU_EXIT_TPR);
    CHECK_EQ(lapic_tpr_read(v), 8);
    cpu_start(0);
    cpu_advance(0, 10);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    vm_destroy();
}

static void test_glance(void)
{
    struct cpu_interruptibility i;
    TEST("what the caller sees of IF, CR8 and APIC_BASE");
    create(CPU_APICS_CALLER);
    cpu_tpr_set(v, 5);
    cpu_tpr_set(v, 4);
    CHECK(!(v->request & REQ_LEAVE));
    cpu_interruptibility(v, &i);
    CHECK(!i.flag && !i.ready && i.tpr == 4 && i.apic_base == v->apic_base);
    v->flags |= FLAG_IF;
    cpu_interruptibility(v, &i);
    CHECK(i.flag && i.ready);
    vm_destroy();
}

static void test_clean(void)
{
    static struct cpu_state s;
    const char *bad;
    TEST("whatever an APIC's page holds, it can be set when it is cleaned");
    create(CPU_APICS_ENGINE);
    u32 seed = ~0u;
    for (unsigned n = 0; n < 2000; n++) {
        cpu_state_get(v, &s, STATE_CONTROL | STATE_APIC);
        for (unsigned i = 0; i < sizeof(s.apic.page) / 4; i++)
            s.apic.page[i] = n ? (seed = seed * 1664525 + 1013904223) : ~0u;
        s.apic.errors = seed;
        s.apic.tsc_deadline = seed;
        s.cr8 = (u8)s.apic.page[APIC_TPR / 4] >> 4;
        cpu_apic_clean(v, &s.apic);
        CHECK_EQ(cpu_state_set(v, &s, STATE_CONTROL | STATE_APIC, &bad), 0);
    }
    vm_destroy();
}

static void test_page(void)
{
    TEST("the APIC's page is the caller's device");
    create(CPU_APICS_CALLER);
    PUT_CODE(CODE, page);
    cpu_start(0);
    CHECK_EQ(cpu_join(0), CPU_EXIT_HLT);
    CHECK_EQ(counter(0), DEVICE_VALUE);
    CHECK_EQ(device.gpa, 0xfee000b0);
    CHECK_EQ(device.value, 5);
    vm_destroy();
}

static void test_split(void)
{
    TEST("beside an APIC of the engine, vectors come in by LINT0");
    create(CPU_APICS_SPLIT);
    PUT_CODE(CODE, opens);
    CHECK_EQ(cpu_interrupt(v, VECTOR), 0);
    lapic_mmio_write(v, APIC_LVT_LINT0, LVT_MASKED);
    cpu_start(0);
    cpu_advance(0, 1000);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    CHECK(v->pushed && !taken() && !cpu_interruptible(v));
    lapic_mmio_write(v, APIC_SVR, SVR_ENABLED | 0xff);
    lapic_mmio_write(v, APIC_LVT_LINT0, DELIVER_EXTINT << APIC_MODE_SHIFT);
    cpu_start(0);
    while (!taken())
        sched_yield();
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP); /* it halts here */
    CHECK(!v->pushed);
    vm_destroy();

    TEST("the window opens when LINT0 lets vectors in");
    create(CPU_APICS_SPLIT);
    PUT_CODE(CODE, opens);
    lapic_mmio_write(v, APIC_SVR, SVR_ENABLED | 0xff);
    lapic_mmio_write(v, APIC_LVT_LINT0, LVT_MASKED);
    cpu_window_set(v, true);
    cpu_start(0);
    cpu_advance(0, 1000);
    CHECK_EQ(cpu_end(0), CPU_EXIT_STOP);
    lapic_mmio_write(v, APIC_LVT_LINT0, DELIVER_EXTINT << APIC_MODE_SHIFT);
    cpu_start(0);
    CHECK_EQ(cpu_join(0), CPU_EXIT_WINDOW);
    vm_destroy();
}

static void test_state(void)
{
    static struct cpu_state s;
    const char *bad;
    TEST("a vector that waits is a part of the state");
    create(CPU_APICS_CALLER);
    CHECK_EQ(cpu_interrupt(v, VECTOR), 0);
    cpu_state_get(v, &s, STATE_EVENTS);
    CHECK(s.events.pushed && s.events.pushed_vector == VECTOR && !s.events.injected.valid);
    cpu_reset(v);
    CHECK(!v->pushed);
    CHECK_EQ(cpu_state_set(v, &s, STATE_EVENTS, &bad), 0);
    CHECK(v->pushed && v->pushed_vector == VECTOR);
    vm_destroy();
    create(CPU_APICS_ENGINE);
    CHECK_EQ(cpu_state_set(v, &s, STATE_EVENTS, &bad), -EINVAL);
    vm_destroy();
}

int main(void)
{
    test_halt();
    test_window();
    test_tpr();
    test_glance();
    test_clean();
    test_page();
    test_split();
    test_state();
    return TEST_END();
}
