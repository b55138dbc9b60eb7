#include "unit/core.h"
#include "unit/test.h"

#define EN (APIC_DEFAULT_ADDRESS | APIC_BASE_EN)
#define X2 (EN | APIC_BASE_EXTD)

static bool msr_ok(struct vcpu *v, u32 msr, u64 value)
{
    v->fault.valid = false;
    return msr_write(v, msr, value) == CPU_OK;
}

static bool msr_faults(struct vcpu *v, u32 msr, u64 value)
{
    return !msr_ok(v, msr, value) && v->fault.valid && v->fault.vector == EXC_GP;
}

static u64 get(struct vcpu *v, u32 msr)
{
    u64 value = 0xdeadbeef;
    return msr_read(v, msr, &value) == CPU_OK ? value : 0xfa17;
}

static int pending(struct vcpu *v)
{
    bool extint;
    return lapic_pending(v, &extint);
}

static void enable(struct vcpu *v)
{
    lapic_mmio_write(v, 0xf0, 0x1ff);
}

/* Acknowledges and ends everything; gives the number of vectors. */
static unsigned drain(struct vcpu *v)
{
    unsigned n = 0;
    while (pending(v) >= 0) {
        lapic_ack(v);
        lapic_mmio_write(v, 0xb0, 0);
        n++;
    }
    return n;
}

static void test_priorities(void)
{
    core_create(VENDOR_INTEL, false, 1, NULL);
    struct vcpu *v = vm.vcpu[0];

    TEST("reset state");
    CHECK_EQ(v->apic_base, EN | APIC_BASE_BSP);
    CHECK_EQ(lapic_mmio_read(v, 0xf0), 0xff);
    CHECK_EQ(lapic_mmio_read(v, 0x350), 0x700);
    CHECK_EQ(lapic_mmio_read(v, 0x320), 0x10000);
    CHECK_EQ(lapic_mmio_read(v, 0xe0), 0xffffffff);
    CHECK_EQ(pending(v), -1);

    TEST("a software-disabled APIC takes no fixed interrupt");
    struct apic_message m = {.dest = 0, .mode = DELIVER_FIXED, .vector = 0x41};
    CHECK(!apic_deliver(&vm, &m));
    enable(v);
    CHECK(apic_deliver(&vm, &m));
    CHECK(v->request & REQ_EVENT);
    CHECK_EQ(pending(v), 0x41);

    TEST("IRR, ISR, PPR and nesting by priority class");
    CHECK_EQ(lapic_mmio_read(v, 0x220), BIT(1));
    CHECK_EQ(lapic_ack(v), 0x41);
    CHECK_EQ(lapic_mmio_read(v, 0x220), 0);
    CHECK_EQ(lapic_mmio_read(v, 0x120), BIT(1));
    CHECK_EQ(lapic_mmio_read(v, 0xa0), 0x40);
    m.vector = 0x4f;
    apic_deliver(&vm, &m);
    CHECK_EQ(pending(v), -1);
    m.vector = 0x51;
    apic_deliver(&vm, &m);
    CHECK_EQ(lapic_ack(v), 0x51);
    lapic_mmio_write(v, 0xb0, 0);
    v->request = 0;
    lapic_mmio_write(v, 0xb0, 0);
    CHECK(v->request & REQ_EVENT);
    CHECK_EQ(lapic_ack(v), 0x4f);
    lapic_mmio_write(v, 0xb0, 0);

    TEST("TPR and CR8");
    lapic_tpr_write(v, 6);
    CHECK_EQ(lapic_mmio_read(v, 0x80), 0x60);
    m.vector = 0x61;
    apic_deliver(&vm, &m);
    CHECK_EQ(pending(v), -1);
    v->request = 0;
    lapic_tpr_write(v, 5);
    CHECK(v->request & REQ_EVENT);
    CHECK_EQ(drain(v), 1);
    lapic_tpr_write(v, 0);
    CHECK_EQ(lapic_tpr_read(v), 0);

    TEST("level interrupts are broadcast at EOI unless suppressed");
    m = (struct apic_message){.dest = 0, .mode = DELIVER_FIXED, .vector = 0x70, .level = true};
    core_eoi = -1;
    apic_deliver(&vm, &m);
    CHECK_EQ(lapic_mmio_read(v, 0x1b0), BIT(16));
    drain(v);
    CHECK_EQ(core_eoi, 0x70);
    lapic_mmio_write(v, 0xf0, 0x11ff);
    core_eoi = -1;
    apic_deliver(&vm, &m);
    drain(v);
    CHECK_EQ(core_eoi, -1);
    enable(v);
    m.level = false;
    apic_deliver(&vm, &m);
    CHECK_EQ(lapic_mmio_read(v, 0x1b0), 0);
    drain(v);

    TEST("ExtINT through LINT0");
    bool extint;
    apic_intr_line(&vm, true);
    CHECK(lapic_pending(v, &extint) >= 0 && extint);
    CHECK_EQ(lapic_ack(v), 0x20);
    lapic_mmio_write(v, 0x350, 0x10700);
    CHECK(lapic_pending(v, &extint) < 0 && !extint);
    apic_intr_line(&vm, false);

    TEST("errors");
    lapic_mmio_write(v, 0x370, 0xfe);
    lapic_mmio_write(v, 0x310, 0);
    lapic_mmio_write(v, 0x300, 0x4005);
    CHECK_EQ(lapic_mmio_read(v, 0x280), 0);
    lapic_mmio_write(v, 0x280, 0);
    CHECK_EQ(lapic_mmio_read(v, 0x280), 0x20);
    CHECK_EQ(lapic_ack(v), 0xfe);
    lapic_mmio_write(v, 0xb0, 0);
    lapic_mmio_read(v, 0x3d0);
    lapic_mmio_write(v, 0x280, 0);
    CHECK_EQ(lapic_mmio_read(v, 0x280), 0x80);
    drain(v);

    TEST("disabling by software masks the LVT");
    lapic_mmio_write(v, 0x360, 0x400);
    lapic_mmio_write(v, 0xf0, 0xff);
    CHECK_EQ(lapic_mmio_read(v, 0x360), 0x10400);
    lapic_mmio_write(v, 0x360, 0x400);
    CHECK_EQ(lapic_mmio_read(v, 0x360), 0x10400);
}

static void icr(struct vcpu *v, u32 dest, u32 low)
{
    lapic_mmio_write(v, 0x310, dest << 24);
    lapic_mmio_write(v, 0x300, low);
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

static void test_destinations(void)
{
    core_create(VENDOR_INTEL, false, 4, NULL);
    struct vcpu *v = vm.vcpu[0];
    for (unsigned i = 0; i < 4; i++)
        enable(vm.vcpu[i]);

    TEST("physical destinations and shorthands");
    icr(v, 2, 0x4055);
    CHECK_EQ(receivers(), BIT(2));
    icr(v, 0xff, 0x4055);
    CHECK_EQ(receivers(), 0xf);
    icr(v, 0, 0x44055);
    CHECK_EQ(receivers(), 1);
    icr(v, 0, 0x84055);
    CHECK_EQ(receivers(), 0xf);
    icr(v, 0, 0xc4055);
    CHECK_EQ(receivers(), 0xe);
    icr(v, 9, 0x4055);
    CHECK_EQ(receivers(), 0);

    TEST("logical flat and cluster destinations");
    for (unsigned i = 0; i < 4; i++)
        lapic_mmio_write(vm.vcpu[i], 0xd0, BIT(24 + i));
    icr(v, 0x5, 0x4855);
    CHECK_EQ(receivers(), 5);
    icr(v, 0xff, 0x4855);
    CHECK_EQ(receivers(), 0xf);
    for (unsigned i = 0; i < 4; i++) {
        lapic_mmio_write(vm.vcpu[i], 0xe0, 0x0fffffff);
        lapic_mmio_write(vm.vcpu[i], 0xd0, (i / 2 << 4 | BIT(i % 2)) << 24);
    }
    icr(v, 0x13, 0x4855);
    CHECK_EQ(receivers(), 0xc);
    icr(v, 0x01, 0x4855);
    CHECK_EQ(receivers(), 1);

    TEST("lowest priority goes to one");
    lapic_tpr_write(vm.vcpu[2], 3);
    icr(v, 0x13, 0x4955);
    CHECK_EQ(receivers(), 8);
    lapic_tpr_write(vm.vcpu[2], 0);
    CHECK(apic_msi(&vm, 0xfee0100c | 3 << 12, 0x66));
    CHECK_EQ(receivers(), 1);
    CHECK(apic_msi(&vm, 0xfee03000, 0x66));
    CHECK_EQ(receivers(), 8);

    TEST("NMI, INIT, SIPI");
    icr(v, 1, 0x4400);
    CHECK(vm.vcpu[1]->nmi_pending);
    icr(v, 1, 0x8500);
    CHECK(!vm.vcpu[1]->init_pending);
    icr(v, 1, 0xc500);
    CHECK(vm.vcpu[1]->init_pending);
    icr(v, 1, 0x4612);
    CHECK(vm.vcpu[1]->sipi_pending);
    CHECK_EQ(vm.vcpu[1]->sipi_vector, 0x12);
    CHECK(core_kicks[1]);

    TEST("x2APIC");
    for (unsigned i = 0; i < 4; i++) {
        CHECK(msr_ok(vm.vcpu[i], MSR_APIC_BASE, X2));
        CHECK(msr_ok(vm.vcpu[i], 0x80f, 0x1ff));
    }
    CHECK_EQ(get(vm.vcpu[3], 0x802), 3);
    CHECK_EQ(get(vm.vcpu[3], 0x80d), 8);
    CHECK(msr_ok(v, 0x830, 0x4055 | 2ull << 32));
    CHECK_EQ(receivers(), BIT(2));
    CHECK_EQ(get(v, 0x830), 0x4055 | 2ull << 32);
    CHECK(msr_ok(v, 0x830, 0x4855 | 0xaull << 32));
    CHECK_EQ(receivers(), 0xa);
    CHECK(msr_ok(v, 0x830, 0x4055 | 0xffffffffull << 32));
    CHECK_EQ(receivers(), 0xf);
    CHECK(msr_ok(v, 0x83f, 0x77));
    CHECK_EQ(pending(v), 0x77);
    CHECK_EQ(lapic_ack(v), 0x77);
    CHECK(msr_faults(v, 0x80b, 1));
    CHECK(msr_ok(v, 0x80b, 0));
    CHECK_EQ(get(v, 0x80b), 0xfa17);
    CHECK_EQ(get(v, 0x80e), 0xfa17);
    CHECK_EQ(get(v, 0x831), 0xfa17);
    CHECK(msr_faults(v, 0x802, 0));
    CHECK(msr_faults(v, 0x808, 0x100));
    CHECK(msr_faults(v, 0x828, 1));
    CHECK(msr_faults(v, 0x830, BIT(20)));
    CHECK(msr_faults(v, 0x832, BIT(19)));
    CHECK(msr_faults(v, 0x840, 0));

    TEST("APIC mode transitions");
    CHECK(msr_faults(v, MSR_APIC_BASE, EN));
    CHECK(msr_faults(v, MSR_APIC_BASE, APIC_DEFAULT_ADDRESS | APIC_BASE_EXTD));
    CHECK(msr_ok(v, MSR_APIC_BASE, APIC_DEFAULT_ADDRESS));
    CHECK(msr_faults(v, MSR_APIC_BASE, X2));
    CHECK(msr_faults(v, 0x80f, 0x1ff));
    CHECK(msr_ok(v, MSR_APIC_BASE, EN));
    CHECK(msr_faults(v, MSR_APIC_BASE, EN | BIT64(40)));
    CHECK(msr_faults(v, MSR_APIC_BASE, EN | 1));
    CHECK(msr_faults(v, 0x808, 0));
    CHECK_EQ(lapic_mmio_read(v, 0xf0), 0xff);
}

static void test_timer(void)
{
    core_create(VENDOR_INTEL, false, 1, NULL);
    struct vcpu *v = vm.vcpu[0];
    enable(v);

    TEST("one-shot timer");
    lapic_mmio_write(v, 0x3e0, 0xb); /* divide by 1 */
    lapic_mmio_write(v, 0x320, 0x50);
    lapic_mmio_write(v, 0x380, 1000);
    CHECK_EQ(core_timer[0], core_now + 1000);
    core_now += 400;
    CHECK_EQ(lapic_mmio_read(v, 0x390), 600);
    lapic_timer(v);
    CHECK_EQ(pending(v), -1);
    core_now += 600;
    lapic_timer(v);
    CHECK_EQ(pending(v), 0x50);
    CHECK_EQ(lapic_mmio_read(v, 0x390), 0);
    CHECK_EQ(core_timer[0], 0);
    drain(v);

    TEST("changing the mode keeps the count; an expired one-shot stays stopped");
    lapic_mmio_write(v, 0x320, 0x20050);
    CHECK_EQ(lapic_mmio_read(v, 0x390), 0);
    lapic_mmio_write(v, 0x320, 0x50);
    lapic_mmio_write(v, 0x380, 1000);
    core_now += 300;
    lapic_mmio_write(v, 0x320, 0x20050);
    CHECK_EQ(lapic_mmio_read(v, 0x390), 700);
    core_now += 750;
    CHECK_EQ(lapic_mmio_read(v, 0x390), 950);
    CHECK_EQ(drain(v), 1);
    core_now += 10000;
    lapic_timer(v);
    CHECK_EQ(drain(v), 1);
    CHECK_EQ(lapic_mmio_read(v, 0x390), 950);

    TEST("divide configuration");
    lapic_mmio_write(v, 0x320, 0x50);
    lapic_mmio_write(v, 0x3e0, 0x3); /* 16 */
    CHECK_EQ(lapic_mmio_read(v, 0x390), 950);
    CHECK_EQ(core_timer[0], core_now + 950 * 16);
    lapic_mmio_write(v, 0x380, 0);
    CHECK_EQ(core_timer[0], 0);

    TEST("a masked timer counts silently");
    lapic_mmio_write(v, 0x320, 0x10050);
    lapic_mmio_write(v, 0x380, 10);
    core_now += 200;
    lapic_timer(v);
    CHECK_EQ(pending(v), -1);

    TEST("TSC deadline");
    CHECK(msr_ok(v, MSR_TSC_DEADLINE, ~0ull >> 2));
    CHECK_EQ(get(v, MSR_TSC_DEADLINE), 0);
    lapic_mmio_write(v, 0x320, 0x40051);
    u64 now = tsc_read_l1(v);
    CHECK(msr_ok(v, MSR_TSC_DEADLINE, now + 20000000000));
    CHECK_EQ(get(v, MSR_TSC_DEADLINE), now + 20000000000);
    CHECK(core_timer[0] > core_now + 5000000000 && core_timer[0] <= core_now + 10000000000);
    CHECK_EQ(pending(v), -1);
    CHECK(msr_ok(v, MSR_TSC, now + 20000000000));
    CHECK_EQ(pending(v), 0x51);
    CHECK_EQ(get(v, MSR_TSC_DEADLINE), 0);
    drain(v);
    CHECK(msr_ok(v, MSR_TSC_DEADLINE, 1));
    CHECK_EQ(drain(v), 1);
    CHECK(msr_ok(v, MSR_TSC_DEADLINE, ~0ull >> 1));
    CHECK(core_timer[0] != 0);
    lapic_mmio_write(v, 0x320, 0x51);
    CHECK_EQ(core_timer[0], 0);

    TEST("a timer that is too fast comes every 100 us of time outside the handler, but for the first 16");
    static const struct {
        u32 lvt;
        u64 handler; /* ns */
    } fast[] = {{0x20050, 0}, {0x50, 0}, {0x40050, 0}, {0x20050, 30000}, {0x40050, 30000}};
    for (unsigned i = 0; i < ARRAY_LEN(fast); i++) {
        core_now += 10000000;
        lapic_mmio_write(v, 0x3e0, 0xb);
        lapic_mmio_write(v, 0x320, fast[i].lvt);
        lapic_mmio_write(v, 0x380, 1);
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
                lapic_mmio_write(v, 0x380, 1);
            CHECK(msr_ok(v, MSR_TSC_DEADLINE, 1));
            lapic_mmio_write(v, 0xb0, 0);
        }
        CHECK(interrupts >= 16 + 38 && interrupts <= 16 + 42);
        drain(v);
    }
    lapic_mmio_write(v, 0x380, 0);

    TEST("INIT clears the registers and keeps the mode");
    CHECK(msr_ok(v, MSR_APIC_BASE, X2));
    lapic_reset(v, true);
    CHECK_EQ(v->apic_base, X2);
    CHECK_EQ(get(v, 0x80f), 0xff);
    CHECK_EQ(get(v, 0x835), 0x10000);
}

int main(void)
{
    test_priorities();
    test_destinations();
    test_timer();
    return TEST_END();
}
