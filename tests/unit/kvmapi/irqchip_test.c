/*
 * The controllers of the KVM API with the engine's local APICs: where lines and messages arrive, ends of interrupts,
 * ticks, and the state in KVM's structs.
 */
#include "unit/kvmapi/chip.h"

#include <errno.h>
#include <sched.h>

#define IOAPIC 0xfec00000u
#define LEVEL IOAPIC_LEVEL
#define VECTOR 0x51

static struct vcpu *v;

static void put(unsigned pin, u64 entry)
{
    for (unsigned half = 0; half < 2; half++) {
        CHECK(irqchip_mmio_write(&chip, IOAPIC + IOAPIC_IOREGSEL, IOAPIC_REDIRECTION + 2 * pin + half, 4));
        CHECK(irqchip_mmio_write(&chip, IOAPIC + IOAPIC_IOWIN, (u32)(entry >> 32 * half), 4));
    }
}

static void out(u16 port, u8 value)
{
    CHECK(irqchip_io_write(&chip, port, value, 1));
}

static u8 in(u16 port)
{
    u32 value = 0;
    CHECK(irqchip_io_read(&chip, port, 1, &value));
    return (u8)value;
}

static bool arrived(u32 cpu, u8 vector)
{
    return lapic_mmio_read(vm.vcpu[cpu], APIC_IRR + vector / 32 * 16) >> vector % 32 & 1;
}

static void take(u32 cpu, u8 vector)
{
    CHECK(arrived(cpu, vector));
    CHECK_EQ(lapic_ack(vm.vcpu[cpu]), vector);
}

static void create(enum irqchip_kind kind)
{
    chip_create(kind, 2);
    v = vm.vcpu[0];
}

/* As a PC's firmware does, with nothing masked. */
static void pics_begin(void)
{
    for (u16 port = 0x20; port <= 0xa0; port += 0x80) {
        out(port, I8259_ICW1 | I8259_ICW1_IC4);
        out(port + 1, port == 0x20 ? 0x20 : 0x28);
        out(port + 1, port == 0x20 ? 4 : 2);
        out(port + 1, I8259_ICW4_8086);
        out(port + 1, 0);
    }
}

static void test_creation(void)
{
    TEST("the controllers are made once, and before the vCPUs");
    create(IRQCHIP_FULL);
    CHECK_EQ(irqchip_create(&chip), -EEXIST);
    CHECK_EQ(irqchip_split(&chip, 24), -EEXIST);
    CHECK_EQ(vm.apics, CPU_APICS_ENGINE);
    irqchip_destroy(&chip);
    create(IRQCHIP_NONE);
    CHECK_EQ(irqchip_create(&chip), -EINVAL);
    CHECK_EQ(irqchip_pit(&chip, true), -ENOENT);
    CHECK_EQ(irqchip_route(&chip, NULL, 0), -EINVAL);
    CHECK_EQ(vm.apics, CPU_APICS_CALLER);
    irqchip_destroy(&chip);
    create(IRQCHIP_SPLIT);
    CHECK_EQ(vm.apics, CPU_APICS_SPLIT);
    CHECK_EQ(irqchip_pit(&chip, true), -ENOENT);
    irqchip_destroy(&chip);
    irqchip_init(&chip, &vm);
    CHECK_EQ(irqchip_split(&chip, GSI_MAX + 1), -EINVAL);
    irqchip_destroy(&chip);

    TEST("accesses that are not the controllers' go on");
    u32 value;
    u64 wide;
    create(IRQCHIP_FULL);
    CHECK(!irqchip_io_write(&chip, 0x40, 0, 1)); /* no PIT */
    CHECK(!irqchip_io_read(&chip, 0x22, 1, &value));
    CHECK(!irqchip_io_read(&chip, 0x21, 2, &value));
    CHECK(!irqchip_mmio_read(&chip, IOAPIC - 4, 4, &wide));
    CHECK(!irqchip_mmio_read(&chip, IOAPIC + 0x100, 4, &wide));
    CHECK(irqchip_mmio_read(&chip, IOAPIC, 4, &wide));
    irqchip_destroy(&chip);
    create(IRQCHIP_SPLIT);
    CHECK(!irqchip_mmio_write(&chip, IOAPIC, 0, 4));
    CHECK(!irqchip_io_write(&chip, 0x20, 0, 1));
    irqchip_destroy(&chip);
}

static void test_lines(void)
{
    TEST("a GSI arrives at both kinds of controllers");
    create(IRQCHIP_FULL);
    CHECK_EQ(irqchip_line(&chip, 4, true), 1); /* masked in the I/O APIC */
    irqchip_line(&chip, 4, false);
    pics_begin();
    put(4, VECTOR);
    CHECK_EQ(irqchip_line(&chip, 4, true), 2);
    CHECK_EQ(irqchip_line(&chip, 4, false), 2);
    CHECK(arrived(0, VECTOR));
    CHECK(vm.intr_line);
    CHECK_EQ(irqchip_line(&chip, 4, true), 0);
    CHECK_EQ(irqchip_ack(&chip), 0x24);
    CHECK_EQ(irqchip_line(&chip, 100, true), -1);

    TEST("a level that two drive falls with the second");
    put(10, LEVEL | (VECTOR + 1));
    pthread_mutex_lock(&chip.lock);
    CHECK(irqchip_drive(&chip, GSI_USER, 10, true) > 0);
    irqchip_drive(&chip, GSI_RESAMPLE, 10, true);
    irqchip_drive(&chip, GSI_USER, 10, false);
    pthread_mutex_unlock(&chip.lock);
    take(0, VECTOR + 1);
    CHECK(!irqchip_eoi(&chip, VECTOR + 1));
    CHECK(arrived(0, VECTOR + 1));
    pthread_mutex_lock(&chip.lock);
    irqchip_drive(&chip, GSI_RESAMPLE, 10, false);
    pthread_mutex_unlock(&chip.lock);
    irqchip_eoi(&chip, VECTOR + 1);
    CHECK_EQ(chip.ioapic.entry[10], LEVEL | (VECTOR + 1));
    irqchip_destroy(&chip);
}

static void test_messages(void)
{
    TEST("messages: how many took them, destinations of 32 bits");
    create(IRQCHIP_SPLIT);
    CHECK_EQ(irqchip_message(&chip, MSI_BASE | 0xff000, VECTOR), 2);
    CHECK_EQ(irqchip_message(&chip, MSI_BASE | 0xff000, VECTOR), 0);
    CHECK_EQ(irqchip_message(&chip, MSI_BASE | 0x05000, VECTOR), -1);
    CHECK_EQ(irqchip_message(&chip, MSI_BASE | 0x01000 | BIT64(40), VECTOR + 1), 1);
    irqchip_ids(&chip, true, false);
    CHECK_EQ(irqchip_message(&chip, MSI_BASE | 0x01000 | BIT64(40), VECTOR + 2), -1);
    CHECK_EQ(irqchip_message(&chip, MSI_BASE | 0x01000, VECTOR + 2), 1);
    CHECK_EQ(irqchip_message(&chip, MSI_BASE | 0xff000, VECTOR + 3), 2);

    TEST("FFh is one APIC in x2APIC mode, if that is asked for");
    irqchip_ids(&chip, false, true);
    CHECK_EQ(msr_write(v, MSR_APIC_BASE, v->apic_base | APIC_BASE_EXTD), CPU_OK);
    CHECK_EQ(irqchip_message(&chip, MSI_BASE | 0xff000, VECTOR + 4), 1);
    CHECK(arrived(1, VECTOR + 4));

    TEST("ends of interrupts that the program wants to know of");
    const struct kvm_irq_routing_entry e[] = {
        {.gsi = 10, .type = KVM_IRQ_ROUTING_MSI, .u.msi = {.address_lo = MSI_BASE | 0x1000, .data = MSI_LEVEL | 0x61}},
        {.gsi = 24, .type = KVM_IRQ_ROUTING_MSI, .u.msi = {.address_lo = MSI_BASE | 0x1000, .data = MSI_LEVEL | 0x62}}};
    CHECK_EQ(irqchip_route(&chip, e, 2), 0);
    CHECK(irqchip_eoi(&chip, 0x61));
    CHECK(!irqchip_eoi(&chip, 0x62) && !irqchip_eoi(&chip, 0x60));
    CHECK_EQ(irqchip_pulse(&chip, 24), 1);
    CHECK(arrived(1, 0x62));
    irqchip_destroy(&chip);
}

static void test_pit(void)
{
    TEST("the PIT ticks on GSI 0 by itself");
    create(IRQCHIP_FULL);
    CHECK_EQ(irqchip_pit(&chip, true), 0);
    CHECK_EQ(irqchip_pit(&chip, true), -EEXIST);
    put(0, VECTOR);
    out(0x43, I8254_ACCESS(I8254_LOW_HIGH) | I8254_MODE(I8254_RATE));
    out(0x40, 0);
    out(0x40, 4); /* 858 us */
    for (unsigned i = 0; i < 5; i++) {
        while (!arrived(0, VECTOR))
            sched_yield();
        take(0, VECTOR);
        lapic_mmio_write(v, APIC_EOI, 0);
    }

    TEST("the PIT's state by KVM's struct");
    struct kvm_pit_state2 k, again;
    pthread_mutex_lock(&chip.lock);
    pit_state_get(&chip, &k);
    CHECK_EQ(k.channels[0].count, 0x400);
    CHECK_EQ(k.channels[0].mode, I8254_RATE);
    CHECK_EQ(k.channels[0].rw_mode, I8254_LOW_HIGH);
    CHECK(k.channels[0].gate && !k.channels[2].gate);
    CHECK(!k.flags);
    k.flags = KVM_PIT_FLAGS_HPET_LEGACY | KVM_PIT_FLAGS_SPEAKER_DATA_ON;
    k.channels[2] = k.channels[0];
    k.channels[2].bcd = 1;
    k.channels[2].count = 5000;
    pit_state_set(&chip, &k, true);
    pit_state_get(&chip, &again);
    k.channels[0].count_load_time = again.channels[0].count_load_time = 0; /* it begins anew */
    for (unsigned i = 1; i < 3; i++) {                                     /* to a tick */
        s64 late = k.channels[i].count_load_time - again.channels[i].count_load_time;
        CHECK(i == 1 || (late > -1000 && late < 1000));
        k.channels[i].count_load_time = again.channels[i].count_load_time;
    }
    CHECK(memcmp(&k, &again, sizeof(k)) == 0);
    CHECK(chip.pit.irq_disabled);
    pit_state_set(&chip, &k, false);
    CHECK(chip.pit.irq_disabled);
    pthread_mutex_unlock(&chip.lock);
    CHECK_EQ(in(0x61) & 3, 3);
    irqchip_destroy(&chip);
}

static void test_states(void)
{
    static struct kvm_irqchip k, again;
    TEST("the 8259s by KVM's struct");
    create(IRQCHIP_FULL);
    pics_begin();
    out(0x4d1, 0x0a);
    out(0xa0, I8259_SET_PRIORITY | 3);
    irqchip_line(&chip, 12, true);
    CHECK_EQ(irqchip_ack(&chip), 0x2c);
    irqchip_line(&chip, 9, true);
    out(0x21, 0x81);
    for (u32 id = KVM_IRQCHIP_PIC_MASTER; id <= KVM_IRQCHIP_PIC_SLAVE; id++) {
        k.chip_id = again.chip_id = id;
        CHECK(irqchip_state_get(&chip, &k));
        struct irqchip other;
        vm.vcpu_count = 0;
        irqchip_init(&other, &vm);
        CHECK_EQ(irqchip_create(&other), 0);
        vm.vcpu_count = 2;
        CHECK(irqchip_state_set(&other, &k));
        CHECK(irqchip_state_get(&other, &again));
        CHECK(memcmp(&k, &again, sizeof(k)) == 0);
        irqchip_destroy(&other);
    }
    CHECK_EQ(k.chip.pic.irq_base, 0x28);
    CHECK_EQ(k.chip.pic.isr, BIT(4));
    CHECK_EQ(k.chip.pic.elcr, 0x0a);
    CHECK_EQ(k.chip.pic.elcr_mask, 0xde);
    CHECK_EQ(k.chip.pic.priority_add, 4);
    CHECK_EQ(k.chip.pic.irr, BIT(1));

    TEST("the I/O APIC by KVM's struct; what waits is delivered");
    k.chip_id = KVM_IRQCHIP_IOAPIC;
    put(10, LEVEL | IOAPIC_MASKED | VECTOR);
    irqchip_line(&chip, 10, true);
    CHECK(irqchip_state_get(&chip, &k));
    CHECK_EQ(k.chip.ioapic.base_address, IOAPIC);
    CHECK_EQ(k.chip.ioapic.irr, BIT(10));
    CHECK_EQ(k.chip.ioapic.redirtbl[10].bits, LEVEL | IOAPIC_MASKED | VECTOR);
    k.chip.ioapic.redirtbl[10].bits = LEVEL | VECTOR;
    k.chip.ioapic.redirtbl[4].bits = VECTOR + 1;
    k.chip.ioapic.irr |= BIT(4);
    CHECK(irqchip_state_set(&chip, &k));
    CHECK(arrived(0, VECTOR) && arrived(0, VECTOR + 1));
    CHECK(irqchip_state_get(&chip, &k));
    CHECK_EQ(k.chip.ioapic.redirtbl[10].bits, LEVEL | IOAPIC_REMOTE_IRR | VECTOR);

    TEST("there are three chips, and no other");
    k.chip_id = 3;
    CHECK(!irqchip_state_get(&chip, &k) && !irqchip_state_set(&chip, &k));
    irqchip_destroy(&chip);
}

int main(void)
{
    test_creation();
    test_lines();
    test_messages();
    test_pit();
    test_states();
    return TEST_END();
}
