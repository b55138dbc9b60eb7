/* The table of GSI routes: what it refuses, and where GSIs lead. */
#include "kvmapi/routing.h"
#include "unit/test.h"

#include <errno.h>
#include <stdlib.h>

static const struct routing_rules full = {.controllers = true}, split = {0}, wide = {.wide = true};
static struct routing r;

static struct kvm_irq_routing_entry pin(u32 gsi, u32 chip, u32 n)
{
    return (struct kvm_irq_routing_entry){
        .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {.irqchip = chip, .pin = n}};
}

static struct kvm_irq_routing_entry msi(u32 gsi, u64 address, u32 data)
{
    return (struct kvm_irq_routing_entry){
        .gsi = gsi,
        .type = KVM_IRQ_ROUTING_MSI,
        .u.msi = {.address_lo = (u32)address, .address_hi = (u32)(address >> 32), .data = data}};
}

static int set_1(const struct routing_rules *rules, struct kvm_irq_routing_entry e)
{
    return routing_set(&r, rules, &e, 1);
}

static u32 count(u32 gsi)
{
    const struct route *route;
    return routing_find(&r, gsi, &route);
}

static void test_default(void)
{
    TEST("the routes of KVM_CREATE_IRQCHIP");
    const struct route *route = NULL;
    CHECK_EQ(count(3), 0);
    CHECK_EQ(routing_default(&r), 0);
    CHECK_EQ(routing_find(&r, 3, &route), 2);
    CHECK(route[0].to == ROUTE_IOAPIC && route[0].pin == 3);
    CHECK(route[1].to == ROUTE_PIC && route[1].pin == 3);
    CHECK_EQ(routing_find(&r, 12, &route), 2);
    CHECK(route[1].to == ROUTE_PIC && route[1].pin == 12);
    CHECK_EQ(count(16), 1);
    CHECK_EQ(count(23), 1);
    CHECK_EQ(count(24), 0);
    CHECK_EQ(count(GSI_MAX), 0);
    CHECK_EQ(routing_gsi(&r, ROUTE_PIC, 12), 12);
    CHECK_EQ(routing_gsi(&r, ROUTE_IOAPIC, 23), 23);
    CHECK_EQ(routing_gsi(&r, ROUTE_MSI, 23), -1);
}

static void test_refused(void)
{
    TEST("what is refused leaves the old table");
    CHECK_EQ(routing_default(&r), 0);
    CHECK_EQ(set_1(&full, pin(GSI_MAX, KVM_IRQCHIP_IOAPIC, 1)), -EINVAL);
    CHECK_EQ(set_1(&full, pin(1, KVM_IRQCHIP_IOAPIC, 24)), -EINVAL);
    CHECK_EQ(set_1(&full, pin(1, KVM_IRQCHIP_PIC_MASTER, 8)), -EINVAL);
    CHECK_EQ(set_1(&full, pin(1, 3, 0)), -EINVAL);
    CHECK_EQ(set_1(&split, pin(1, KVM_IRQCHIP_IOAPIC, 1)), -EINVAL);
    struct kvm_irq_routing_entry e = pin(1, KVM_IRQCHIP_IOAPIC, 1);
    e.flags = 1;
    CHECK_EQ(set_1(&full, e), -EINVAL);
    e.flags = 0;
    e.type = KVM_IRQ_ROUTING_S390_ADAPTER;
    CHECK_EQ(set_1(&full, e), -EINVAL);
    e = msi(1, 0xfee00000, 0x41);
    e.flags = KVM_MSI_VALID_DEVID << 1;
    CHECK_EQ(set_1(&full, e), -EINVAL);
    CHECK_EQ(set_1(&wide, msi(1, 0x1fee00000, 0x41)), -EINVAL);
    CHECK_EQ(count(3), 2);

    TEST("a GSI leads to an input of each controller, or to one message");
    struct kvm_irq_routing_entry twice[] = {pin(1, KVM_IRQCHIP_IOAPIC, 1), pin(1, KVM_IRQCHIP_IOAPIC, 2)};
    CHECK_EQ(routing_set(&r, &full, twice, 2), -EINVAL);
    twice[1] = msi(1, 0xfee00000, 0x41);
    CHECK_EQ(routing_set(&r, &full, twice, 2), -EINVAL);
    struct kvm_irq_routing_entry three[] = {pin(1, KVM_IRQCHIP_IOAPIC, 1), pin(1, KVM_IRQCHIP_PIC_MASTER, 1),
                                            pin(1, KVM_IRQCHIP_PIC_SLAVE, 1)};
    CHECK_EQ(routing_set(&r, &full, three, 3), 0);
    CHECK_EQ(count(1), 3);
    CHECK_EQ(count(3), 0);
}

static void test_sint(void)
{
    TEST("a source of Hyper-V's controller");
    const struct route *route = NULL;
    struct kvm_irq_routing_entry e = {.gsi = 7, .type = KVM_IRQ_ROUTING_HV_SINT, .u.hv_sint = {.vcpu = 3, .sint = 2}};
    CHECK_EQ(set_1(&split, e), 0);
    CHECK_EQ(routing_find(&r, 7, &route), 1);
    CHECK(route->to == ROUTE_SINT && route->address == 3 && route->data == 2);
    struct kvm_irq_routing_entry twice[] = {e, e};
    CHECK_EQ(routing_set(&r, &split, twice, 2), -EINVAL);
    e.flags = 1;
    CHECK_EQ(set_1(&split, e), -EINVAL);
}

static void test_messages(void)
{
    TEST("messages, in any order of GSIs");
    const struct route *route = NULL;
    u64 vectors[4];
    struct kvm_irq_routing_entry e[] = {msi(30, 0x100fee01000ull, 0x8051), msi(5, 0xfee02000, 0x80e2),
                                        msi(6, 0xfee02000, 0x33)};
    CHECK_EQ(routing_set(&r, &wide, e, 3), 0);
    CHECK_EQ(routing_find(&r, 30, &route), 1);
    CHECK(route->to == ROUTE_MSI && route->address == 0x100fee01000ull && route->data == 0x8051);
    CHECK_EQ(routing_find(&r, 6, &route), 1);
    CHECK_EQ(route->data, 0x33);
    routing_level_vectors(&r, 24, vectors);
    CHECK(vectors[3] == BIT64(0xe2 - 192) && !vectors[0] && !vectors[1]);
    routing_level_vectors(&r, 31, vectors);
    CHECK_EQ(vectors[1], BIT64(0x51 - 64));

    TEST("a full table, and an empty one");
    struct kvm_irq_routing_entry *all = calloc(GSI_MAX + 1, sizeof(*all));
    for (u32 i = 0; all && i < GSI_MAX; i++)
        all[i] = msi(GSI_MAX - 1 - i, 0xfee00000, 0x40 + i % 64);
    CHECK_EQ(routing_set(&r, &split, all, GSI_MAX), 0);
    CHECK_EQ(count(0), 1);
    CHECK_EQ(count(GSI_MAX - 1), 1);
    CHECK_EQ(routing_set(&r, &split, all, GSI_MAX + 1), -EINVAL);
    CHECK_EQ(routing_set(&r, &split, all, 0), 0);
    CHECK_EQ(count(0), 0);
    free(all);
    routing_destroy(&r);
}

int main(void)
{
    test_default();
    test_refused();
    test_sint();
    test_messages();
    return TEST_END();
}
