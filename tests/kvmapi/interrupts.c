/*
 * Interrupts as the API's documentation has them: controllers full, split and none; lines, messages and events of the
 * program; the PIT; coalesced accesses. The guest is real-mode code; port 13h asks for the program's next step. Prints
 * "ok", or what was not as it should be.
 */
#include "guest.h"

#include <sys/eventfd.h>

#define RAM 0x8000u
#define CODE GUEST_CODE_AT
#define HANDLER 0x2000
#define ZONE 0x9000u /* no RAM */
#define NEXT 0x13
#define VECTOR 0x35
#define PAGE 4096u

/* Masks all inputs of the 8259s but 0 and 4, with vectors from 20h on. */
#define PICS                                                                                                           \
    "mov $0x11, %al; out %al, $0x20; mov $0x20, %al; out %al, $0x21; mov $4, %al; out %al, $0x21; mov $1, %al;"        \
    "out %al, $0x21; mov $0xee, %al; out %al, $0x21;"

GUEST_CODE(shut, "16", "cli; out %al, $0x13; mov $100, %cx; 1: loop 1b; sti; nop; 2: hlt; jmp 2b");
GUEST_CODE(pics, "16", PICS "out %al, $0x13; sti; 1: hlt; jmp 1b");
GUEST_CODE(ticks, "16",
           PICS "mov $0x34, %al; out %al, $0x43; mov $0, %al; out %al, $0x40; mov $4, %al; out %al, $0x40;"
                "sti; 1: hlt; jmp 1b");
GUEST_CODE(halts, "16", "out %al, $0x13; sti; 1: hlt; jmp 1b");
GUEST_CODE(events, "16",
           "mov $1, %al; out %al, $0x13; out %al, $0x40; mov %al, 0x9000; movl $0x1234, 0x9002; out %al, $0x13;"
           "mov %al, 0x9000; hlt");
GUEST_CODE(pic_handler, "16", "out %al, $0x11; mov $0x20, %al; out %al, $0x20; iret");
GUEST_CODE(handler, "16", "out %al, $0x11; iret");
GUEST_CODE(apic_handler, "16", "out %al, $0x11; mov $0xfee000b0, %ebx; movl $0, (%ebx); out %al, $0x13; iret");

GUEST_CODE(wide, "64",
           "mov $9, %eax; mov $0xfee00020, %esi; mov %rax, %cr8; out %al, $0x13; mov $3, %al; mov %rax, %cr8;"
           "mov %cr8, %rbx; mov (%rsi), %ecx; movl $0, 0x90(%rsi); hlt");

static int kvm, vm, vcpu;
static unsigned char *ram;

static void create(void)
{
    kvm = guest_kvm();
    vm = guest_vm(kvm);
    ram = guest_memory(vm, 0, 0, RAM, 0);
}

static void start(void)
{
    vcpu = guest_vcpu(vm);
    run = guest_run(kvm, vcpu);
    guest_real_mode(vcpu, ~0u);
    for (unsigned vector = 0x20; vector < 0x40; vector++)
        memcpy(ram + 4 * vector, &(unsigned){HANDLER}, 4);
}

static void end(void)
{
    munmap(run, guest_run_size(kvm));
    munmap(ram, RAM);
    run = NULL;
    close(vcpu);
    close(vm);
    close(kvm);
}

static int at_port(unsigned port)
{
    return guest_go(vcpu) == KVM_EXIT_IO && run->io.port == port;
}

static void test_none(void)
{
    create();
    FAILS(ioctl(vm, KVM_IRQ_LINE, &(struct kvm_irq_level){.irq = 4, .level = 1}), ENXIO);
    FAILS(ioctl(vm, KVM_CREATE_PIT2, &(struct kvm_pit_config){0}), ENOENT);
    start();
    FAILS(ioctl(vm, KVM_CREATE_IRQCHIP, 0), EINVAL);
    FAILS(ioctl(vcpu, KVM_GET_LAPIC, &(struct kvm_lapic_state){{0}}), EINVAL);
    PUT_CODE(ram + CODE, shut);
    PUT_CODE(ram + HANDLER, handler);
    CHECK(at_port(NEXT) && !run->if_flag && !run->ready_for_interrupt_injection);
    run->request_interrupt_window = 1;
    CHECK(guest_go(vcpu) == KVM_EXIT_IRQ_WINDOW_OPEN && run->if_flag && run->ready_for_interrupt_injection);
    run->request_interrupt_window = 0;
    CHECK(!ioctl(vcpu, KVM_INTERRUPT, &(struct kvm_interrupt){VECTOR}));
    CHECK(at_port(0x11) && !run->if_flag && !run->ready_for_interrupt_injection);
    CHECK(guest_go(vcpu) == KVM_EXIT_HLT && run->if_flag);
    CHECK(!ioctl(vcpu, KVM_INTERRUPT, &(struct kvm_interrupt){VECTOR}));
    CHECK(at_port(0x11));
    FAILS(ioctl(vcpu, KVM_INTERRUPT, &(struct kvm_interrupt){256}), EINVAL);
    run->cr8 = 5;
    CHECK(guest_go(vcpu) == KVM_EXIT_HLT && run->cr8 == 5);
    CHECK(run->apic_base == 0xfee00900);
    end();
}

/* An interrupt that is saved and given back waits as before. */
static void test_state(void)
{
    struct kvm_vcpu_events e;
    struct kvm_sregs s;
    create();
    start();
    PUT_CODE(ram + CODE, shut);
    PUT_CODE(ram + HANDLER, handler);
    CHECK(at_port(NEXT) && !run->if_flag);
    CHECK(!ioctl(vcpu, KVM_INTERRUPT, &(struct kvm_interrupt){VECTOR}));
    CHECK(!ioctl(vcpu, KVM_GET_VCPU_EVENTS, &e) && e.interrupt.injected && e.interrupt.nr == VECTOR);
    CHECK(!ioctl(vcpu, KVM_GET_SREGS, &s) && !ioctl(vcpu, KVM_SET_SREGS, &s));
    CHECK(!ioctl(vcpu, KVM_SET_VCPU_EVENTS, &e));
    CHECK(at_port(0x11));
    struct kvm_regs r;
    CHECK(!ioctl(vcpu, KVM_GET_REGS, &r) && r.rcx == 0); /* the loop with IF closed came first */
    end();
}

/* Sets the vCPU to 64-bit mode, with an identity map of 4 GiB. */
static void go_wide(void)
{
    struct kvm_sregs s;
    CHECK(!ioctl(vcpu, KVM_GET_SREGS, &s));
    memcpy(ram + 0x3000, &(unsigned long){0x4003}, 8);
    for (unsigned long i = 0; i < 4; i++)
        memcpy(ram + 0x4000 + 8 * i, &(unsigned long){i << 30 | 0x83}, 8);
    s.cr3 = 0x3000;
    s.cr4 |= 0x20;
    s.cr0 |= 0x80000001;
    s.efer = 0x500;
    s.cs.l = 1;
    s.cs.db = 0;
    CHECK(!ioctl(vcpu, KVM_SET_SREGS, &s));
}

static void test_tpr(void)
{
    struct kvm_regs r;
    create();
    start();
    go_wide();
    PUT_CODE(ram + CODE, wide);
    run->cr8 = 5;
    CHECK(at_port(NEXT) && run->cr8 == 9); /* a higher TPR makes no exit */
    CHECK(guest_go(vcpu) == KVM_EXIT_SET_TPR && run->cr8 == 3);
    run->cr8 = 2;
    CHECK(guest_go(vcpu) == KVM_EXIT_MMIO && run->mmio.phys_addr == 0xfee00020 && !run->mmio.is_write);
    memcpy(run->mmio.data, "\x20\0\0\0", 4);
    CHECK(guest_go(vcpu) == KVM_EXIT_MMIO && run->mmio.phys_addr == 0xfee000b0 && run->mmio.is_write);
    CHECK(guest_go(vcpu) == KVM_EXIT_HLT);
    CHECK(!ioctl(vcpu, KVM_GET_REGS, &r) && r.rcx == 0x20 && r.rbx == 2);
    end();
}

static void test_boot_cpu(void)
{
    struct kvm_sregs s;
    create();
    CHECK(!ioctl(vm, KVM_CREATE_IRQCHIP, 0));
    CHECK(!ioctl(vm, KVM_SET_BOOT_CPU_ID, 1));
    start();
    FAILS(ioctl(vm, KVM_SET_BOOT_CPU_ID, 0), EBUSY);
    CHECK(!ioctl(vcpu, KVM_GET_SREGS, &s) && s.apic_base == 0xfee00800);
    close(vcpu);
    vcpu = ioctl(vm, KVM_CREATE_VCPU, 1);
    CHECK(vcpu >= 0 && !ioctl(vcpu, KVM_GET_SREGS, &s) && s.apic_base == 0xfee00900);
    end();
}

static int line(unsigned gsi, unsigned level)
{
    struct kvm_irq_level k = {.irq = gsi, .level = level};
    CHECK(!ioctl(vm, KVM_IRQ_LINE_STATUS, &k));
    return k.status;
}

static void test_full(void)
{
    int event = eventfd(0, EFD_NONBLOCK);
    create();
    CHECK(!ioctl(vm, KVM_CREATE_IRQCHIP, 0));
    FAILS(ioctl(vm, KVM_CREATE_IRQCHIP, 0), EEXIST);
    start();
    FAILS(ioctl(vcpu, KVM_INTERRUPT, &(struct kvm_interrupt){VECTOR}), ENXIO);
    PUT_CODE(ram + CODE, pics);
    PUT_CODE(ram + HANDLER, pic_handler);
    CHECK(!ioctl(vm, KVM_IRQFD, &(struct kvm_irqfd){.fd = (unsigned)event, .gsi = 4}));
    CHECK(at_port(NEXT) && run->ready_for_interrupt_injection);
    CHECK(write(event, &(long){1}, 8) == 8);
    CHECK(at_port(0x11));
    CHECK(line(4, 1) == 1 && line(4, 0) > 0 && line(4, 1) == 0);
    line(4, 0);
    CHECK(line(5, 1) == -1 && line(100, 1) == -1);
    CHECK(at_port(0x11));
    struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_PIC_MASTER};
    CHECK(!ioctl(vm, KVM_GET_IRQCHIP, &chip));
    CHECK(chip.chip.pic.imr == 0xee && chip.chip.pic.irq_base == 0x20 && chip.chip.pic.isr == 0x10);
    chip.chip.pic.irr = 0x10; /* a second request */
    CHECK(!ioctl(vm, KVM_SET_IRQCHIP, &chip) && chip.chip.pic.irr == 0x10);
    CHECK(at_port(0x11));
    chip.chip_id = 3;
    FAILS(ioctl(vm, KVM_GET_IRQCHIP, &chip), EINVAL);
    end();
    close(event);
}

static void test_pit(void)
{
    struct kvm_pit_state2 pit;
    create();
    CHECK(!ioctl(vm, KVM_CREATE_IRQCHIP, 0));
    FAILS(ioctl(vm, KVM_GET_PIT2, &pit), ENXIO);
    CHECK(!ioctl(vm, KVM_CREATE_PIT2, &(struct kvm_pit_config){.flags = KVM_PIT_SPEAKER_DUMMY}));
    CHECK(!ioctl(vm, KVM_REINJECT_CONTROL, &(struct kvm_reinject_control){.pit_reinject = 1}));
    start();
    PUT_CODE(ram + CODE, ticks);
    PUT_CODE(ram + HANDLER, pic_handler);
    for (int i = 0; i < 10; i++)
        CHECK(at_port(0x11));
    CHECK(!ioctl(vm, KVM_GET_PIT2, &pit));
    CHECK(pit.channels[0].count == 0x400 && pit.channels[0].mode == 2);
    pit.channels[0].count = 0x800;
    CHECK(!ioctl(vm, KVM_SET_PIT2, &pit));
    CHECK(at_port(0x11) && at_port(0x11));
    end();
}

static void test_split(void)
{
    create();
    CHECK(!ioctl(vm, KVM_ENABLE_CAP, &(struct kvm_enable_cap){.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}}));
    FAILS(ioctl(vm, KVM_CREATE_IRQCHIP, 0), EEXIST);
    start();
    PUT_CODE(ram + CODE, halts);
    PUT_CODE(ram + HANDLER, apic_handler);
    struct {
        struct kvm_irq_routing head;
        struct kvm_irq_routing_entry entry[1];
    } routing = {.head.nr = 1};
    struct kvm_irq_routing_entry *e = routing.entry;
    e->gsi = 5;
    e->type = KVM_IRQ_ROUTING_IRQCHIP;
    FAILS(ioctl(vm, KVM_SET_GSI_ROUTING, &routing), EINVAL);
    e->type = KVM_IRQ_ROUTING_MSI;
    e->u.msi.address_lo = 0xfee00000;
    e->u.msi.data = 0x8000 | VECTOR;
    CHECK(!ioctl(vm, KVM_SET_GSI_ROUTING, &routing));
    struct kvm_lapic_state apic;
    CHECK(!ioctl(vcpu, KVM_GET_LAPIC, &apic));
    memcpy(&apic.regs[0xf0], &(unsigned){0x1ff}, 4);
    CHECK(!ioctl(vcpu, KVM_SET_LAPIC, &apic));
    CHECK(at_port(NEXT));

    CHECK(line(5, 1) == 1 && line(5, 1) == 0);
    CHECK(at_port(0x11));
    CHECK(guest_go(vcpu) == KVM_EXIT_IOAPIC_EOI && run->eoi.vector == VECTOR);
    CHECK(at_port(NEXT));

    struct kvm_msi msi = {.address_lo = 0xfee00000, .data = VECTOR + 1};
    CHECK(ioctl(vm, KVM_SIGNAL_MSI, &msi) == 1);
    CHECK(ioctl(vm, KVM_SIGNAL_MSI, &msi) == 0);
    CHECK(at_port(0x11) && at_port(NEXT)); /* of an edge no EOI is reported */
    msi.flags = 1;
    FAILS(ioctl(vm, KVM_SIGNAL_MSI, &msi), EINVAL);

    CHECK(!ioctl(vcpu, KVM_INTERRUPT, &(struct kvm_interrupt){VECTOR + 2}));
    FAILS(ioctl(vcpu, KVM_INTERRUPT, &(struct kvm_interrupt){VECTOR + 2}), EEXIST);
    CHECK(at_port(0x11));
    end();
}

static void test_events(void)
{
    int event = eventfd(0, EFD_NONBLOCK);
    unsigned long count = 0;
    create();
    struct kvm_ioeventfd io = {
        .addr = 0x40, .len = 1, .datamatch = 1, .flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH};
    io.fd = event;
    CHECK(!ioctl(vm, KVM_IOEVENTFD, &io));
    FAILS(ioctl(vm, KVM_IOEVENTFD, &io), EEXIST);
    struct kvm_coalesced_mmio_zone zone = {.addr = ZONE, .size = 16};
    CHECK(!ioctl(vm, KVM_REGISTER_COALESCED_MMIO, &zone));
    start();
    PUT_CODE(ram + CODE, events);
    struct kvm_coalesced_mmio_ring *ring =
        (void *)((char *)run + PAGE * (unsigned)ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO));
    CHECK(at_port(NEXT));
    CHECK(read(event, &count, 8) < 0);
    CHECK(at_port(NEXT));
    CHECK(read(event, &count, 8) == 8 && count == 1);
    CHECK(ring->first == 0 && ring->last == 2);
    CHECK(ring->coalesced_mmio[0].phys_addr == ZONE && ring->coalesced_mmio[0].len == 1);
    CHECK(ring->coalesced_mmio[1].phys_addr == ZONE + 2 && !memcmp(ring->coalesced_mmio[1].data, "\x34\x12\0", 4));
    CHECK(!ioctl(vm, KVM_UNREGISTER_COALESCED_MMIO, &zone));
    CHECK(guest_go(vcpu) == KVM_EXIT_MMIO && run->mmio.phys_addr == ZONE && run->mmio.is_write);
    end();
    close(event);
}

int main(void)
{
    test_none();
    test_state();
    test_tpr();
    test_boot_cpu();
    test_full();
    test_pit();
    test_split();
    test_events();
    printf("ok\n");
    return 0;
}
