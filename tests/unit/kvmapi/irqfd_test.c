/* irqfd: edges and resampled levels from events, by the VM's thread. */
#include "kvmapi/irqfd.h"
#include "unit/kvmapi/chip.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define VECTOR 0x51
#define RESAMPLE KVM_IRQFD_FLAG_RESAMPLE
#define DEASSIGN KVM_IRQFD_FLAG_DEASSIGN

static struct irqfds all;
static struct api_host *host;
static int fd, resample_fd;

static void create(enum irqchip_kind kind)
{
    chip_create(kind, 1);
    CHECK_EQ(host_create(&host), 0);
    CHECK_EQ(host_start(host), 0);
    irqfds_init(&all, host, &chip);
    fd = eventfd(0, 0);
    resample_fd = eventfd(0, EFD_NONBLOCK);
}

static void destroy(void)
{
    host_stop(host);
    irqfds_destroy(&all);
    host_destroy(host);
    irqchip_destroy(&chip);
    close(fd);
    close(resample_fd);
}

static int change(u32 gsi, u32 flags)
{
    return irqfds_change(
        &all, &(struct kvm_irqfd){
                  .fd = (u32)fd, .gsi = gsi, .flags = flags, .resamplefd = (u32)(flags & RESAMPLE ? resample_fd : 0)});
}

static void send(void)
{
    const u64 one = 1;
    CHECK_EQ(write(fd, &one, sizeof(one)), sizeof(one));
}

static u64 resampled(void)
{
    u64 n = 0;
    return read(resample_fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static bool arrived(u8 vector)
{
    return lapic_mmio_read(vm.vcpu[0], APIC_IRR + vector / 32 * 16) >> vector % 32 & 1;
}

/* Is the input of GSI 16 driven? */
static bool driven(void)
{
    pthread_mutex_lock(&chip.lock);
    bool level = chip.ioapic_driven[16];
    pthread_mutex_unlock(&chip.lock);
    return level;
}

static void take(u8 vector)
{
    while (!arrived(vector))
        sched_yield();
    CHECK_EQ(lapic_ack(vm.vcpu[0]), vector);
    lapic_mmio_write(vm.vcpu[0], APIC_EOI, 0);
}

static void test_edges(void)
{
    TEST("an event is an edge, whoever closes its descriptor");
    create(IRQCHIP_SPLIT);
    const struct kvm_irq_routing_entry e = {
        .gsi = 30, .type = KVM_IRQ_ROUTING_MSI, .u.msi = {.address_lo = MSI_BASE, .data = VECTOR}};
    CHECK_EQ(irqchip_route(&chip, &e, 1), 0);
    send(); /* before it is assigned: counts */
    CHECK_EQ(change(30, 0), 0);
    take(VECTOR);
    send();
    take(VECTOR);
    int copy = dup(fd);
    close(fd);
    fd = copy;
    send();
    take(VECTOR);

    TEST("what the program writes to it comes at once, and the event is not left signalled");
    u64 n, none = 0, wrong = ~0ull, two = 2;
    CHECK(!irqfd_write(fd, &none) && !irqfd_write(fd, &wrong) && !irqfd_write(fd, NULL) && !irqfd_write(-1, &two));
    CHECK(!irqfd_write(fd, &two)); /* a copy, under another number than the irqfd was made of */
    CHECK_EQ(change(30, DEASSIGN), 0);
    CHECK_EQ(change(30, 0), 0);
    CHECK(irqfd_write(fd, &two) && arrived(VECTOR));
    take(VECTOR);
    CHECK(!poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0));
    TEST("what it writes to a descriptor that is another file meanwhile does not come");
    int other = eventfd(0, EFD_NONBLOCK);
    copy = dup(fd);
    CHECK(dup2(other, fd) == fd && !irqfd_write(fd, &two));
    CHECK(dup2(copy, fd) == fd && irqfd_write(fd, &two));
    take(VECTOR);
    close(copy);
    close(other);

    TEST("one irqfd for each event; none is left after its end");
    CHECK_EQ(change(31, 0), -EBUSY);
    CHECK_EQ(change(31, DEASSIGN), 0);
    send();
    take(VECTOR);
    CHECK_EQ(change(30, DEASSIGN), 0);
    send();
    usleep(20000);
    CHECK(!arrived(VECTOR) && !all.list);
    CHECK(!irqfd_write(fd, &two));
    CHECK_EQ(read(fd, &n, sizeof(n)), sizeof(n)); /* nobody took it */

    TEST("what is refused");
    CHECK_EQ(change(30, 4), -EINVAL);
    CHECK_EQ(change(30, RESAMPLE), -EINVAL);
    int event = fd;
    fd = 1000;
    CHECK_EQ(change(30, 0), -EBADF);
    fd = event;
    destroy();
    create(IRQCHIP_NONE);
    CHECK_EQ(change(30, 0), -EINVAL);
    destroy();
}

static void test_resampling(void)
{
    TEST("a level lasts until the guest ends its interrupt");
    create(IRQCHIP_FULL);
    chip.ioapic.entry[16] = IOAPIC_LEVEL | VECTOR;
    CHECK_EQ(change(16, RESAMPLE), 0);
    CHECK_EQ(chip.resampling.count, 1);
    send();
    take(VECTOR);
    CHECK(driven());
    CHECK_EQ(resampled(), 0);
    irqchip_eoi(&chip, VECTOR);
    CHECK_EQ(resampled(), 1);
    CHECK(!driven() && !arrived(VECTOR));
    send();
    take(VECTOR);

    TEST("two share a line; it falls when the last goes");
    int first = fd, first_resample = resample_fd;
    fd = eventfd(0, 0);
    resample_fd = eventfd(0, EFD_NONBLOCK);
    CHECK_EQ(change(16, RESAMPLE), 0);
    irqchip_eoi(&chip, VECTOR);
    CHECK_EQ(resampled(), 1);
    send();
    take(VECTOR);
    CHECK_EQ(change(16, DEASSIGN), 0);
    CHECK(driven());
    close(fd);
    close(resample_fd);
    fd = first;
    resample_fd = first_resample;
    CHECK_EQ(resampled(), 1);
    CHECK_EQ(change(16, DEASSIGN | RESAMPLE), 0);
    CHECK(!driven() && !chip.resampling.count);
    destroy();
}

int main(void)
{
    test_edges();
    test_resampling();
    return TEST_END();
}
