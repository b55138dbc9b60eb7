/*
 * The local APIC: priorities, destinations of interrupts, the modes of APIC_BASE, the timer.
 */
#include "cpu/event/exception.h"
#include "unit/core.h"
#include "unit/test.h"
#include "x86/kvm_para.h"

#define XAPIC (APIC_DEFAULT_ADDRESS | APIC_BASE_EN)
#define X2APIC (XAPIC | APIC_BASE_EXTD)
#define VECTOR 0x55u   /* of messages that may have any */
#define REFUSED 0xfa17 /* what get() gives of an MSR that cannot be read */

#define MODE(mode) ((u32)(mode) << APIC_MODE_SHIFT)
#define SHORTHAND(to) ((u32)(to) << ICR_SHORTHAND_SHIFT)
#define FIXED (ICR_ASSERT | MODE(DELIVER_FIXED) | VECTOR)

static struct vcpu *v; /* the first CPU */

static bool msr_ok(struct vcpu *cpu, u32 msr, u64 value)
{
    cpu->fault.valid = false;
    return msr_write(cpu, msr, value) == CPU_OK;
}

static bool msr_faults(struct vcpu *cpu, u32 msr, u64 value)
{
    return !msr_ok(cpu, msr, value) && cpu->fault.valid && cpu->fault.vector == EXC_GP;
}

static u64 get(struct vcpu *cpu, u32 msr)
{
    u64 value = 0xdeadbeef;
    return msr_read(cpu, msr, &value) == CPU_OK ? value : REFUSED;
}

static u32 reg(u32 offset)
{
    return lapic_mmio_read(v, offset);
}

static void set(u32 offset, u32 value)
{
    lapic_mmio_write(v, offset, value);
}

/* One of the registers that hold 32 of the 256 vectors. */
static u32 bitmap(u32 first, u8 vector)
{
    return reg(first + vector / 32 * 16);
}

static int pending(struct vcpu *cpu)
{
    bool extint;
    return lapic_pending(cpu, &extint);
}

static void eoi(struct vcpu *cpu)
{
    lapic_mmio_write(cpu, APIC_EOI, 0);
}

/* Acknowledges and ends everything. Returns the number of vectors. */
static unsigned drain(struct vcpu *cpu)
{
    unsigned n = 0;
    while (pending(cpu) >= 0) {
        lapic_ack(cpu);
        eoi(cpu);
        n++;
    }
    return n;
}

static void send(u8 vector)
{
    struct apic_message m = {.dest = 0, .mode = DELIVER_FIXED, .vector = vector};
    CHECK(apic_deliver(&vm, &m) >= 0);
}

/* A new VM whose APICs are as reset leaves them. */
static void create(unsigned cpus)
{
    core_create(VENDOR_INTEL, false, cpus, NULL);
    v = vm.vcpu[0];
}

/* A new VM whose APICs are enabled. */
static void create_enabled(unsigned cpus)
{
    create(cpus);
    for (unsigned i = 0; i < cpus; i++)
        lapic_mmio_write(vm.vcpu[i], APIC_SVR, SVR_RESET | SVR_ENABLED);
}

static void reset_state(void)
{
    TEST("reset state");
    create(1);
    CHECK_EQ(v->apic_base, XAPIC | APIC_BASE_BSP);
    CHECK_EQ(reg(APIC_SVR), SVR_RESET);
    CHECK_EQ(reg(APIC_LVT_LINT0), MODE(DELIVER_EXTINT));
    CHECK_EQ(reg(APIC_LVT_TIMER), LVT_MASKED);
    CHECK_EQ(reg(APIC_DFR), DFR_FLAT);
    CHECK_EQ(pending(v), -1);
}

static void enabling(void)
{
    TEST("a software-disabled APIC takes no fixed interrupt");
    create(1);
    struct apic_message m = {.dest = 0, .mode = DELIVER_FIXED, .vector = 0x41};
    CHECK_EQ(apic_deliver(&vm, &m), -1);
    set(APIC_SVR, SVR_RESET | SVR_ENABLED);
    CHECK(apic_deliver(&vm, &m) >= 0);
    CHECK(v->request & REQ_EVENT);
    CHECK_EQ(pending(v), 0x41);

    TEST("disabling by software masks the LVT");
    create_enabled(1);
    set(APIC_LVT_LINT1, MODE(DELIVER_NMI));
    set(APIC_SVR, SVR_RESET);
    CHECK_EQ(reg(APIC_LVT_LINT1), LVT_MASKED | MODE(DELIVER_NMI));
    set(APIC_LVT_LINT1, MODE(DELIVER_NMI));
    CHECK_EQ(reg(APIC_LVT_LINT1), LVT_MASKED | MODE(DELIVER_NMI));
}

static void priorities(void)
{
    TEST("IRR, ISR, PPR and nesting by priority class");
    create_enabled(1);
    send(0x41);
    CHECK_EQ(bitmap(APIC_IRR, 0x41), BIT(1));
    CHECK_EQ(lapic_ack(v), 0x41);
    CHECK_EQ(bitmap(APIC_IRR, 0x41), 0);
    CHECK_EQ(bitmap(APIC_ISR, 0x41), BIT(1));
    CHECK_EQ(reg(APIC_PPR), 0x40);
    send(0x4f);
    CHECK_EQ(pending(v), -1);
    send(0x51);
    CHECK_EQ(lapic_ack(v), 0x51);
    eoi(v);
    v->request = 0;
    eoi(v);
    CHECK(v->request & REQ_EVENT);
    CHECK_EQ(lapic_ack(v), 0x4f);

    TEST("TPR and CR8");
    create_enabled(1);
    lapic_tpr_write(v, 6);
    CHECK_EQ(reg(APIC_TPR), 0x60);
    send(0x61);
    CHECK_EQ(pending(v), -1);
    v->request = 0;
    lapic_tpr_write(v, 5);
    CHECK(v->request & REQ_EVENT);
    CHECK_EQ(drain(v), 1);
    lapic_tpr_write(v, 0);
    CHECK_EQ(lapic_tpr_read(v), 0);
}

static void levels(void)
{
    TEST("level interrupts are broadcast at EOI unless suppressed");
    create_enabled(1);
    struct apic_message m = {.dest = 0, .mode = DELIVER_FIXED, .vector = 0x70, .level = true};
    apic_deliver(&vm, &m);
    CHECK_EQ(bitmap(APIC_TMR, 0x70), BIT(16));
    drain(v);
    CHECK_EQ(core_eoi, 0x70);
    set(APIC_SVR, SVR_RESET | SVR_ENABLED | SVR_NO_EOI_BROADCAST);
    core_eoi = -1;
    apic_deliver(&vm, &m);
    drain(v);
    CHECK_EQ(core_eoi, -1);
    set(APIC_SVR, SVR_RESET | SVR_ENABLED);
    m.level = false;
    apic_deliver(&vm, &m);
    CHECK_EQ(bitmap(APIC_TMR, 0x70), 0);
    drain(v);
    CHECK_EQ(core_eoi, -1);

    TEST("ExtINT through LINT0");
    create_enabled(1);
    bool extint;
    apic_intr_line(&vm, true);
    CHECK(lapic_pending(v, &extint) >= 0 && extint);
    CHECK_EQ(lapic_ack(v), CORE_PIC_VECTOR);
    set(APIC_LVT_LINT0, LVT_MASKED | MODE(DELIVER_EXTINT));
    CHECK(lapic_pending(v, &extint) < 0 && !extint);
}

static void errors(void)
{
    TEST("the error status register");
    create_enabled(1);
    set(APIC_LVT_ERROR, 0xfe);
    set(APIC_ICR2, 0);
    set(APIC_ICR, ICR_ASSERT | 5); /* vectors below 16 are illegal */
    CHECK_EQ(reg(APIC_ESR), 0);
    set(APIC_ESR, 0);
    CHECK_EQ(reg(APIC_ESR), ESR_SEND_ILLEGAL_VECTOR);
    CHECK_EQ(lapic_ack(v), 0xfe);
    eoi(v);
    reg(APIC_DIVIDE - 16); /* there is none */
    set(APIC_ESR, 0);
    CHECK_EQ(reg(APIC_ESR), ESR_ILLEGAL_REGISTER);

    TEST("the entry for corrected machine checks");
    create_enabled(1);
    CHECK_EQ(reg(APIC_VERSION) >> 16 & 0xff, 5);
    set(APIC_LVT_CMCI, 0x77);
    set(APIC_ESR, 0);
    CHECK_EQ(reg(APIC_ESR), ESR_ILLEGAL_REGISTER);
    v->mcg_cap |= MCG_CAP_CMCI;
    CHECK_EQ(reg(APIC_VERSION) >> 16 & 0xff, 6);
    CHECK_EQ(reg(APIC_LVT_CMCI), LVT_MASKED);
    apic_cmci(v);
    CHECK_EQ(pending(v), -1);
    set(APIC_LVT_CMCI, 0x77);
    apic_cmci(v);
    CHECK_EQ(lapic_ack(v), 0x77);
}

static void icr(u32 dest, u32 low)
{
    set(APIC_ICR2, dest << 24);
    set(APIC_ICR, low);
}

/* Which CPUs got something, as a mask. */
static unsigned receivers(void)
{
    unsigned mask = 0;
    for (unsigned i = 0; i < CORE_CPUS; i++)
        if (drain(vm.vcpu[i]))
            mask |= BIT(i);
    return mask;
}

/* CPUs 0 and 1 are the first cluster, 2 and 3 the second. */
static void clusters_create(void)
{
    create_enabled(CORE_CPUS);
    for (unsigned i = 0; i < CORE_CPUS; i++) {
        lapic_mmio_write(vm.vcpu[i], APIC_DFR, DFR_CLUSTER);
        lapic_mmio_write(vm.vcpu[i], APIC_LDR, (i / 2 << 4 | BIT(i % 2)) << 24);
    }
}

static void destinations(void)
{
    TEST("physical destinations and shorthands");
    create_enabled(CORE_CPUS);
    icr(2, FIXED);
    CHECK_EQ(receivers(), BIT(2));
    icr(APIC_EVERYBODY, FIXED);
    CHECK_EQ(receivers(), 0xf);
    icr(0, SHORTHAND(SHORTHAND_SELF) | FIXED);
    CHECK_EQ(receivers(), BIT(0));
    icr(0, SHORTHAND(SHORTHAND_ALL) | FIXED);
    CHECK_EQ(receivers(), 0xf);
    icr(0, SHORTHAND(SHORTHAND_OTHERS) | FIXED);
    CHECK_EQ(receivers(), 0xe);
    icr(9, FIXED);
    CHECK_EQ(receivers(), 0);

    TEST("logical flat and cluster destinations");
    create_enabled(CORE_CPUS);
    for (unsigned i = 0; i < CORE_CPUS; i++)
        lapic_mmio_write(vm.vcpu[i], APIC_LDR, BIT(24 + i));
    icr(0x5, ICR_LOGICAL | FIXED);
    CHECK_EQ(receivers(), BIT(0) | BIT(2));
    icr(APIC_EVERYBODY, ICR_LOGICAL | FIXED);
    CHECK_EQ(receivers(), 0xf);
    clusters_create();
    icr(0x13, ICR_LOGICAL | FIXED);
    CHECK_EQ(receivers(), BIT(2) | BIT(3));
    icr(0x01, ICR_LOGICAL | FIXED);
    CHECK_EQ(receivers(), BIT(0));

    TEST("lowest priority goes to one");
    clusters_create();
    lapic_tpr_write(vm.vcpu[2], 3);
    icr(0x13, ICR_LOGICAL | ICR_ASSERT | MODE(DELIVER_LOWEST) | VECTOR);
    CHECK_EQ(receivers(), BIT(3));
}

static void messages(void)
{
    const u64 to_3 = MSI_BASE | 3ull << MSI_DESTINATION_SHIFT;
    TEST("MSI: a logical destination with the redirection hint, a physical one");
    clusters_create();
    CHECK_EQ(apic_msi(&vm, to_3 | MSI_REDIRECTION_HINT | MSI_LOGICAL, 0x66), 1);
    CHECK_EQ(receivers(), BIT(0));
    CHECK_EQ(apic_msi(&vm, to_3, 0x66), 1);
    CHECK_EQ(receivers(), BIT(3));
}

static void sipi_before_init(void)
{
    TEST("a SIPI that came before an INIT is lost, one behind it is not");
    create_enabled(2);
    struct vcpu *other = vm.vcpu[1];
    other->activity = ACTIVITY_ACTIVE;
    icr(1, ICR_ASSERT | MODE(DELIVER_SIPI) | 0x12);
    icr(1, ICR_ASSERT | MODE(DELIVER_INIT));
    CHECK_EQ(events_process(other), CPU_OK);
    CHECK_EQ(events_process(other), CPU_OK);
    CHECK_EQ(other->activity, ACTIVITY_WAIT_SIPI);
    icr(1, ICR_ASSERT | MODE(DELIVER_SIPI) | 0x34);
    CHECK_EQ(events_process(other), CPU_OK);
    CHECK_EQ(other->activity, ACTIVITY_ACTIVE);
    CHECK_EQ(other->seg[SEG_CS].sel, 0x3400);
}

static void other_deliveries(void)
{
    TEST("NMI, INIT, SIPI");
    create_enabled(2);
    icr(1, ICR_ASSERT | MODE(DELIVER_NMI));
    CHECK(vm.vcpu[1]->nmi_pending);
    icr(1, ICR_LEVEL | MODE(DELIVER_INIT));
    CHECK(!vm.vcpu[1]->init_pending);
    icr(1, ICR_LEVEL | ICR_ASSERT | MODE(DELIVER_INIT));
    CHECK(vm.vcpu[1]->init_pending);
    icr(1, ICR_ASSERT | MODE(DELIVER_SIPI) | 0x12);
    CHECK(vm.vcpu[1]->sipi_pending);
    CHECK_EQ(vm.vcpu[1]->sipi_vector, 0x12);
    CHECK(core_kicks[1]);

    TEST("to oneself by a shorthand there are fixed interrupts only, but by KVM's APIC");
    static const u8 modes[] = {DELIVER_LOWEST, DELIVER_SMI, DELIVER_NMI, DELIVER_INIT, DELIVER_SIPI};
    for (unsigned kvm = 0; kvm < 2; kvm++) {
        for (unsigned i = 0; i < ARRAY_LEN(modes); i++) {
            for (unsigned to = SHORTHAND_SELF; to <= SHORTHAND_OTHERS; to++) {
                create_enabled(2);
                vm.paravirt = kvm;
                icr(0, SHORTHAND(to) | ICR_ASSERT | MODE(modes[i]) | VECTOR);
                for (unsigned cpu = 0; cpu < 2; cpu++) {
                    struct vcpu *c = vm.vcpu[cpu];
                    bool meant = to == SHORTHAND_ALL || (to == SHORTHAND_SELF) == (cpu == 0);
                    bool came =
                        c->nmi_pending || c->smi_pending || c->init_pending || c->sipi_pending || pending(c) >= 0;
                    CHECK_EQ(came, meant && (kvm || to == SHORTHAND_OTHERS));
                }
            }
        }
    }
    vm.paravirt = false;
}

static void x2apic(void)
{
    const u32 icr = MSR_X2APIC(APIC_ICR), svr = MSR_X2APIC(APIC_SVR), eoi = MSR_X2APIC(APIC_EOI);
    TEST("x2APIC");
    create(CORE_CPUS);
    for (unsigned i = 0; i < CORE_CPUS; i++) {
        CHECK(msr_ok(vm.vcpu[i], MSR_APIC_BASE, X2APIC));
        CHECK(msr_ok(vm.vcpu[i], svr, SVR_RESET | SVR_ENABLED));
    }
    CHECK_EQ(get(vm.vcpu[3], MSR_X2APIC(APIC_ID)), 3);
    CHECK_EQ(get(vm.vcpu[3], MSR_X2APIC(APIC_LDR)), BIT(3));
    CHECK(msr_ok(v, icr, FIXED | 2ull << 32));
    CHECK_EQ(receivers(), BIT(2));
    CHECK_EQ(get(v, icr), FIXED | 2ull << 32);
    CHECK(msr_ok(v, icr, ICR_LOGICAL | FIXED | 0xaull << 32));
    CHECK_EQ(receivers(), 0xa);
    CHECK(msr_ok(v, icr, FIXED | (u64)X2APIC_EVERYBODY << 32));
    CHECK_EQ(receivers(), 0xf);
    CHECK(msr_ok(v, MSR_X2APIC(APIC_SELF_IPI), 0x77));
    CHECK_EQ(pending(v), 0x77);
    CHECK_EQ(lapic_ack(v), 0x77);
    CHECK(msr_faults(v, eoi, 1));
    CHECK(msr_ok(v, eoi, 0));

    TEST("x2APIC: registers that only the other mode has, read-only ones, reserved bits");
    CHECK_EQ(get(v, eoi), REFUSED);
    CHECK_EQ(get(v, MSR_X2APIC(APIC_DFR)), REFUSED);
    CHECK_EQ(get(v, MSR_X2APIC(APIC_ICR2)), REFUSED);
    CHECK(msr_faults(v, MSR_X2APIC(APIC_ID), 0));
    CHECK(msr_faults(v, MSR_X2APIC(APIC_TPR), APIC_VECTOR + 1));
    CHECK(msr_faults(v, MSR_X2APIC(APIC_ESR), 1));
    CHECK(msr_faults(v, icr, BIT(20)));
    CHECK(msr_faults(v, MSR_X2APIC(APIC_LVT_TIMER), BIT(19)));
    CHECK(msr_faults(v, MSR_X2APIC(0x400), 0));
}

static void modes(void)
{
    TEST("APIC mode transitions");
    create(1);
    CHECK(msr_ok(v, MSR_APIC_BASE, X2APIC));
    CHECK(msr_faults(v, MSR_APIC_BASE, XAPIC));
    CHECK(msr_faults(v, MSR_APIC_BASE, APIC_DEFAULT_ADDRESS | APIC_BASE_EXTD));
    CHECK(msr_ok(v, MSR_APIC_BASE, APIC_DEFAULT_ADDRESS));
    CHECK(msr_faults(v, MSR_APIC_BASE, X2APIC));
    CHECK(msr_faults(v, MSR_X2APIC(APIC_SVR), SVR_RESET | SVR_ENABLED));
    CHECK(msr_ok(v, MSR_APIC_BASE, XAPIC));
    CHECK(msr_faults(v, MSR_APIC_BASE, XAPIC | BIT64(vm.phys_bits)));
    CHECK(msr_faults(v, MSR_APIC_BASE, XAPIC | 1));
    CHECK(msr_faults(v, MSR_X2APIC(APIC_TPR), 0));
    CHECK_EQ(reg(APIC_SVR), SVR_RESET);

    TEST("INIT clears the registers and keeps the mode");
    create(1);
    CHECK(msr_ok(v, MSR_APIC_BASE, X2APIC));
    CHECK(msr_ok(v, MSR_X2APIC(APIC_SVR), SVR_RESET | SVR_ENABLED));
    CHECK(msr_ok(v, MSR_X2APIC(APIC_LVT_ERROR), VECTOR));
    lapic_reset(v, true);
    CHECK_EQ(v->apic_base, X2APIC);
    CHECK_EQ(get(v, MSR_X2APIC(APIC_SVR)), SVR_RESET);
    CHECK_EQ(get(v, MSR_X2APIC(APIC_LVT_LINT0)), LVT_MASKED);
    CHECK_EQ(get(v, MSR_X2APIC(APIC_LVT_ERROR)), LVT_MASKED);
}

/* A new CPU whose timer counts nanoseconds. */
static void timer_create(u32 lvt)
{
    create_enabled(1);
    set(APIC_DIVIDE, APIC_DIVIDE_BY_1);
    set(APIC_LVT_TIMER, lvt);
}

static void timer(void)
{
    TEST("one-shot timer");
    timer_create(VECTOR);
    set(APIC_INITIAL_COUNT, 1000);
    CHECK_EQ(core_timer[0], core_now + 1000);
    core_now += 400;
    CHECK_EQ(reg(APIC_CURRENT_COUNT), 600);
    lapic_timer(v);
    CHECK_EQ(pending(v), -1);
    core_now += 600;
    lapic_timer(v);
    CHECK_EQ(pending(v), VECTOR);
    CHECK_EQ(reg(APIC_CURRENT_COUNT), 0);
    CHECK_EQ(core_timer[0], 0);
    drain(v);

    TEST("an expired one-shot stays stopped when it becomes periodic");
    set(APIC_LVT_TIMER, LVT_TIMER_PERIODIC | VECTOR);
    CHECK_EQ(reg(APIC_CURRENT_COUNT), 0);

    TEST("changing the mode keeps the count; a periodic timer goes on");
    timer_create(VECTOR);
    set(APIC_INITIAL_COUNT, 1000);
    core_now += 300;
    set(APIC_LVT_TIMER, LVT_TIMER_PERIODIC | VECTOR);
    CHECK_EQ(reg(APIC_CURRENT_COUNT), 700);
    core_now += 750;
    CHECK_EQ(reg(APIC_CURRENT_COUNT), 950);
    CHECK_EQ(drain(v), 1);
    core_now += 10000;
    lapic_timer(v);
    CHECK_EQ(drain(v), 1);
    CHECK_EQ(reg(APIC_CURRENT_COUNT), 950);

    TEST("divide configuration");
    timer_create(VECTOR);
    set(APIC_INITIAL_COUNT, 950);
    set(APIC_DIVIDE, APIC_DIVIDE_BY_16);
    CHECK_EQ(reg(APIC_CURRENT_COUNT), 950);
    CHECK_EQ(core_timer[0], core_now + 950 * 16);
    set(APIC_INITIAL_COUNT, 0);
    CHECK_EQ(core_timer[0], 0);

    TEST("a masked timer counts silently");
    timer_create(LVT_MASKED | VECTOR);
    set(APIC_INITIAL_COUNT, 10);
    core_now += 200;
    lapic_timer(v);
    CHECK_EQ(pending(v), -1);
}

static void tsc_deadline(void)
{
    const u64 ahead = 20000000000; /* ten seconds of a TSC of 2 GHz */
    TEST("TSC deadline");
    create_enabled(1);
    CHECK(msr_ok(v, MSR_TSC_DEADLINE, ~0ull >> 2));
    CHECK_EQ(get(v, MSR_TSC_DEADLINE), 0);
    set(APIC_LVT_TIMER, LVT_TIMER_DEADLINE | VECTOR);
    u64 now = tsc_read_l1(v);
    CHECK(msr_ok(v, MSR_TSC_DEADLINE, now + ahead));
    CHECK_EQ(get(v, MSR_TSC_DEADLINE), now + ahead);
    CHECK(core_timer[0] > core_now + 5000000000 && core_timer[0] <= core_now + 10000000000);
    CHECK_EQ(pending(v), -1);
    CHECK(msr_ok(v, MSR_TSC, now + ahead));
    CHECK_EQ(pending(v), VECTOR);
    CHECK_EQ(get(v, MSR_TSC_DEADLINE), 0);
    drain(v);
    CHECK(msr_ok(v, MSR_TSC_DEADLINE, 1));
    CHECK_EQ(drain(v), 1);
    CHECK(msr_ok(v, MSR_TSC_DEADLINE, ~0ull >> 1));
    CHECK(core_timer[0] != 0);
    set(APIC_LVT_TIMER, VECTOR);
    CHECK_EQ(core_timer[0], 0);
}

/* Some time later the timer has expired: its interrupt is acknowledged. */
static int taken_after(u64 ns)
{
    core_now += ns;
    lapic_timer(v);
    return lapic_ack(v);
}

/* In one second: how long the guest runs, which takes interrupts or is in the timer's handler. As the vCPU's loop does
 * it: what is due is looked at, and if the host's timer has rung meanwhile, it is set again. */
static u64 time_of_guest(bool takes, unsigned *interrupts)
{
    u64 begin = core_now, ran = 0;
    while (core_now - begin < 1000000000) {
        lapic_timer(v);
        if (core_timer[0] <= core_now)
            timers_update(v);
        if (takes && pending(v) >= 0) {
            (*interrupts)++;
            lapic_ack(v);
            eoi(v);
        }
        u64 until = core_timer[0] ? core_timer[0] : core_now + 100000;
        if (until > core_now) {
            ran += until - core_now;
            core_now = until;
        }
    }
    return ran;
}

static void fast_timers(void)
{
    TEST("a timer that is too fast comes every 100 us of time outside the handler, but for the first 16");
    create_enabled(1);
    static const struct {
        u32 lvt;
        u64 handler; /* ns */
    } fast[] = {{0x20050, 0}, {0x50, 0}, {0x40050, 0}, {0x20050, 30000}, {0x40050, 30000}};
    for (unsigned i = 0; i < ARRAY_LEN(fast); i++) {
        core_now += 10000000;
        lapic_mmio_write(v, APIC_DIVIDE, 0xb);
        lapic_mmio_write(v, APIC_LVT_TIMER, fast[i].lvt);
        lapic_mmio_write(v, APIC_INITIAL_COUNT, 1);
        CHECK(msr_ok(v, MSR_TSC_DEADLINE, 1));
        unsigned interrupts = 0;
        for (unsigned outside = 0; outside < 4000; outside++) {
            core_now += 1000;
            lapic_timer(v);
            CHECK(core_timer[0] || pending(v) >= 0);
            if (pending(v) < 0)
                continue;
            interrupts++;
            lapic_ack(v);
            core_now += fast[i].handler;
            if (fast[i].lvt == 0x50)
                lapic_mmio_write(v, APIC_INITIAL_COUNT, 1);
            CHECK(msr_ok(v, MSR_TSC_DEADLINE, 1));
            eoi(v);
        }
        CHECK(interrupts >= 16 + 38 && interrupts <= 16 + 42);
        lapic_mmio_write(v, APIC_INITIAL_COUNT, 0);
        CHECK(msr_ok(v, MSR_TSC_DEADLINE, 0));
        drain(v);
    }

    TEST("a handler that takes long is no debt, though the timer expires in it");
    core_now += 10000000;
    lapic_mmio_write(v, APIC_LVT_TIMER, 0x20050);
    lapic_mmio_write(v, APIC_INITIAL_COUNT, 1);
    for (unsigned i = 0; i < 100; i++) {
        CHECK_EQ(taken_after(1000000), 0x50);
        for (unsigned j = 0; j < 2; j++) {
            core_now += 400000000;
            lapic_timer(v);
        }
        eoi(v);
        drain(v);
    }
    CHECK_EQ(taken_after(10000000), 0x50);
    eoi(v);

    TEST("while the handler runs, the timer stops when the debt is high");
    CHECK_EQ(taken_after(10000000), 0x50);
    unsigned armed = 0;
    for (unsigned us = 0; us < 10000; us++) {
        core_now += 1000;
        lapic_timer(v);
        armed += core_timer[0] != 0;
    }
    CHECK(armed <= 17);
    eoi(v);
    CHECK(core_timer[0] >= core_now && core_timer[0] <= core_now + 200000);
    drain(v);
    core_now += 10000000;

    TEST("time by which an expiry comes late pays nothing");
    unsigned interrupts = 0;
    for (unsigned i = 0; i < 100; i++) { /* the host runs the guest for 100 us in 10 ms */
        core_now += 9900000;
        for (unsigned us = 0; us < 100; us++) {
            core_now += 1000;
            lapic_timer(v);
            if (pending(v) < 0)
                continue;
            interrupts++;
            lapic_ack(v);
            eoi(v);
        }
    }
    CHECK(interrupts >= 16 + 70 && interrupts <= 16 + 130);

    TEST("on a host whose timers take long to set, the guest gets on, and its handler does");
    core_timer_takes = 200000;
    interrupts = 0;
    CHECK(time_of_guest(true, &interrupts) >= 150000000 && interrupts >= 1000);
    while (pending(v) < 0) {
        core_now += 100000;
        lapic_timer(v);
    }
    lapic_ack(v);
    CHECK(time_of_guest(false, &interrupts) >= 150000000);
    core_timer_takes = 0;
    eoi(v);
    drain(v);

    TEST("the end of another interrupt whose vector the timer has got is not that of its handler");
    icr(0, SHORTHAND(SHORTHAND_SELF) | ICR_ASSERT | MODE(DELIVER_FIXED) | 0x40);
    CHECK_EQ(lapic_ack(v), 0x40);
    core_now += 1000000000;
    lapic_mmio_write(v, APIC_LVT_TIMER, 0x20040);
    eoi(v);
    drain(v);
    CHECK_EQ(taken_after(10000000), 0x40);
    eoi(v);
    lapic_mmio_write(v, APIC_INITIAL_COUNT, 0);
}

#define EOI_AT 0x4000u

/* EOI by memory is on. Returns the guest's byte. */
static volatile u8 *on_by_memory(void)
{
    create_enabled(1);
    v->pv.eoi = EOI_AT | 1;
    return (u8 *)vm.ram->slot[0].host + EOI_AT;
}

/* An interrupt is in service, too. */
static volatile u8 *in_service(u8 vector)
{
    volatile u8 *byte = on_by_memory();
    send(vector);
    CHECK_EQ(lapic_ack(v), vector);
    return byte;
}

static void eoi_by_memory(void)
{
    TEST("KVM's EOI by memory: the guest clears the bit");
    volatile u8 *byte = in_service(0x51);
    CHECK_EQ(*byte, 1);
    *byte = 0;
    CHECK_EQ(bitmap(APIC_ISR, 0x51), 0);
    CHECK_EQ(reg(APIC_PPR), 0);
    byte = in_service(0x51);
    *byte = 0;
    send(0x41);
    CHECK_EQ(pending(v), 0x41);
    CHECK_EQ(lapic_ack(v), 0x41);
    CHECK_EQ(*byte, 1);
    *byte = 0;
    lapic_eoi_look(v);
    lapic_eoi_look(v);
    CHECK_EQ(reg(APIC_PPR), 0);

    TEST("the offer is withdrawn when another interrupt comes, which the EOI then brings");
    byte = in_service(0x51);
    send(0x41);
    CHECK_EQ(pending(v), -1);
    CHECK_EQ(*byte, 0);
    v->request = 0;
    eoi(v);
    CHECK(v->request & REQ_EVENT);
    CHECK_EQ(pending(v), 0x41);

    TEST("and when a register is read, or the MSR is written");
    byte = in_service(0x51);
    CHECK_EQ(bitmap(APIC_ISR, 0x51), BIT(0x51 % 32));
    CHECK_EQ(*byte, 0);
    byte = in_service(0x51);
    v->vm->paravirt = true;
    CHECK(msr_ok(v, MSR_KVM_PV_EOI_EN, 0));
    CHECK_EQ(*byte, 0);
    CHECK(msr_faults(v, MSR_KVM_PV_EOI_EN, EOI_AT | 2));

    TEST("an EOI by the APIC ends the next one");
    byte = in_service(0x51);
    *byte = 0;
    eoi(v);
    CHECK_EQ(reg(APIC_PPR), 0);

    TEST("none for what waits, nests, is of a level or the timer's");
    byte = in_service(0x51);
    send(0x61);
    CHECK_EQ(lapic_ack(v), 0x61);
    CHECK_EQ(*byte, 0);
    byte = on_by_memory();
    send(0x51);
    send(0x61);
    CHECK_EQ(lapic_ack(v), 0x61);
    CHECK_EQ(*byte, 0);
    byte = on_by_memory();
    set(APIC_LVT_TIMER, 0x71);
    send(0x71);
    CHECK_EQ(lapic_ack(v), 0x71);
    CHECK_EQ(*byte, 0);
    const struct apic_message level = {.dest = 0, .mode = DELIVER_FIXED, .vector = 0x81, .level = true};
    byte = on_by_memory();
    CHECK(apic_deliver(&vm, &level) >= 0);
    CHECK_EQ(lapic_ack(v), 0x81);
    CHECK_EQ(*byte, 0);
}

int main(void)
{
    reset_state();
    enabling();
    priorities();
    eoi_by_memory();
    levels();
    errors();
    destinations();
    messages();
    sipi_before_init();
    other_deliveries();
    x2apic();
    modes();
    timer();
    tsc_deadline();
    fast_timers();
    return TEST_END();
}
