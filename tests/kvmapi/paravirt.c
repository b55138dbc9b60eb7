/*
 * KVM's interface for guests as its documentation has it: the clock by its structure in guest memory and by the API,
 * and hypercalls that the program performs. Hyper-V's interface: reference time, and an event that is an eventfd. The
 * guest is real-mode code, and 32-bit code for Hyper-V's hypercalls. Prints "ok", or what was not as it should be.
 */
#include "guest.h"

#include <stdint.h>
#include <sys/eventfd.h>
#include <time.h>

#define RAM 0x8000u
#define CODE GUEST_CODE_AT
#define CLOCK 0x3000u
#define SECOND 1000000000ull
#define CONNECTION 5

/* Reports EAX and EDX by a port. */
GUEST_CODE(clock_on, "16",
           "mov $0x4b564d01, %ecx; mov $0x3001, %eax; xor %edx, %edx; wrmsr; rdtsc; out %eax, $0x10;"
           "mov %edx, %eax; out %eax, $0x10; hlt");
GUEST_CODE(calls, "16",
           "mov $12, %eax; mov $0x3000, %ebx; mov $2, %ecx; mov $0x10, %edx; vmcall; out %eax, $0x10;"
           "mov $12, %eax; vmmcall; out %eax, $0x10; hlt");
GUEST_CODE(reference, "16", "mov $0x40000020, %ecx; rdmsr; out %eax, $0x10; mov %edx, %eax; out %eax, $0x10; hlt");
GUEST_CODE(signals, "32",
           "mov $0x40000000, %ecx; mov $1, %eax; xor %edx, %edx; wrmsr;"
           "mov $0x1005d, %eax; xor %edx, %edx; mov $5, %ecx; xor %ebx, %ebx; vmcall; out %eax, $0x10;"
           "mov $0x1005d, %eax; xor %edx, %edx; mov $6, %ecx; vmmcall; out %eax, $0x10; hlt");

struct clock {
    uint32_t version, pad;
    uint64_t tsc, system_time;
    uint32_t mul;
    int8_t shift;
    uint8_t flags;
};

static int kvm, vm, vcpu;
static unsigned char *ram;

static uint32_t reported(void)
{
    uint32_t value;
    CHECK(!ioctl(vcpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT);
    memcpy(&value, (char *)run + run->io.data_offset, 4);
    return value;
}

static uint64_t reported_pair(void)
{
    uint32_t low = reported();
    return low | (uint64_t)reported() << 32;
}

static void mode_32(void)
{
    struct kvm_sregs s;
    struct kvm_segment flat = {.limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1};
    CHECK(!ioctl(vcpu, KVM_GET_SREGS, &s));
    s.cr0 |= 1;
    s.cs = flat;
    flat.type = 3;
    flat.selector = 16;
    s.ds = s.es = s.fs = s.gs = s.ss = flat;
    CHECK(!ioctl(vcpu, KVM_SET_SREGS, &s));
    guest_start_at(vcpu, CODE);
}

static uint64_t get_clock(void)
{
    struct kvm_clock_data c;
    CHECK(!ioctl(vm, KVM_GET_CLOCK, &c));
    CHECK(c.flags & KVM_CLOCK_TSC_STABLE && c.realtime && c.host_tsc);
    return c.clock;
}

static uint64_t guest_time(uint64_t tsc)
{
    struct clock c;
    memcpy(&c, ram + CLOCK, sizeof(c));
    CHECK(c.version && !(c.version & 1) && c.flags & 1);
    uint64_t delta = tsc - c.tsc;
    delta = c.shift < 0 ? delta >> -c.shift : delta << c.shift;
    return c.system_time + (uint64_t)((unsigned __int128)delta * c.mul >> 32);
}

static void test_clock(void)
{
    PUT_CODE(ram + CODE, clock_on);
    uint64_t before = get_clock();
    uint64_t time = guest_time(reported_pair());
    CHECK(before <= time && time <= get_clock());
    CHECK(!ioctl(vcpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_HLT);

    struct kvm_clock_data set = {.clock = 1000 * SECOND};
    CHECK(!ioctl(vm, KVM_SET_CLOCK, &set));
    guest_start_at(vcpu, CODE);
    time = guest_time(reported_pair());
    CHECK(time >= 1000 * SECOND && time <= get_clock() && time < 1100 * SECOND);
    CHECK(!ioctl(vcpu, KVM_KVMCLOCK_CTRL, 0));
    CHECK(!ioctl(vcpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_HLT);
    CHECK(ram[CLOCK + 29] & 2); /* the guest was stopped */
}

/* The guest's TSC counts at another rate than the host's, or at one that is so near that nothing scales it, and its
 * clock is right all the same. */
static void test_rate(void)
{
    int own = ioctl(vcpu, KVM_GET_TSC_KHZ, 0);
    CHECK(own > 0 && ioctl(vm, KVM_GET_TSC_KHZ, 0) == own && ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_CONTROL) == 1);
    CHECK(ioctl(vcpu, KVM_SET_TSC_KHZ, ~0ul) < 0 && errno == EINVAL);
    const int rates[] = {own / 3, own, 3 * own, own + own / 10000};
    for (unsigned i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
        int khz = rates[i];
        CHECK(!ioctl(vcpu, KVM_SET_TSC_KHZ, (long)khz) && ioctl(vcpu, KVM_GET_TSC_KHZ, 0) == khz);
        guest_start_at(vcpu, CODE);
        uint64_t before = get_clock(), tsc = reported_pair(), time = guest_time(tsc);
        CHECK(before <= time + 1000 && time <= get_clock() + 1000);
        usleep(50000);
        guest_start_at(vcpu, CODE);
        before = get_clock();
        uint64_t later = reported_pair(), passed = (later - tsc) / (uint64_t)khz; /* ms */
        CHECK(passed >= 50 && passed < 5000);
        CHECK(before <= guest_time(later) + 1000 && guest_time(later) <= get_clock() + 1000);
    }
    CHECK(!ioctl(vcpu, KVM_SET_TSC_KHZ, 0) && ioctl(vcpu, KVM_GET_TSC_KHZ, 0) == own);
}

static void tsc_write(int to, uint64_t value)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } tsc = {.head.nmsrs = 1, .entry = {.index = 0x10, .data = value}};
    CHECK(ioctl(to, KVM_SET_MSRS, &tsc) == 1);
}

static uint64_t tsc_offset(int of)
{
    uint64_t offset = 0;
    const struct kvm_device_attr attr = {
        .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&offset};
    CHECK(!ioctl(of, KVM_GET_DEVICE_ATTR, &attr));
    return offset;
}

/* A vCPU that comes late goes by the TSC of the first, whose rate came with saved state: as somebody else measured it.
 */
static void test_late(void)
{
    int own = ioctl(vcpu, KVM_GET_TSC_KHZ, 0), late = ioctl(vm, KVM_CREATE_VCPU, 1);
    CHECK(late >= 0 && !ioctl(vcpu, KVM_SET_TSC_KHZ, (long)own + own / 8000));
    PUT_CODE(ram + CODE, clock_on);
    guest_start_at(vcpu, CODE);
    uint64_t time = guest_time(reported_pair() + 1000 * SECOND) - get_clock();
    double right = 1000.0 * SECOND / own * 1000000;
    CHECK(time > right * 0.99999 && time < right * 1.00001);
    tsc_write(vcpu, 1ull << 50);
    tsc_write(late, 0);
    CHECK(tsc_offset(late) == tsc_offset(vcpu));
    close(late);
}

static void test_calls(void)
{
    PUT_CODE(ram + CODE, calls);
    guest_start_at(vcpu, CODE);
    CHECK(reported() == (uint32_t)-1000); /* the program does not want the call yet */
    struct kvm_enable_cap cap = {.cap = KVM_CAP_EXIT_HYPERCALL, .args = {1 << 12}};
    CHECK(ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_EXIT_HYPERCALL) == 1 << 12);
    CHECK(!ioctl(vm, KVM_ENABLE_CAP, &cap));
    CHECK(!ioctl(vcpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_HYPERCALL);
    CHECK(run->hypercall.nr == 12 && run->hypercall.args[0] == 0x3000 && run->hypercall.args[1] == 2);
    CHECK(run->hypercall.args[2] == 0x10 && !run->hypercall.longmode);
    run->hypercall.ret = 77;
    CHECK(reported() == 77);
}

static void test_hyperv(void)
{
    struct {
        struct kvm_cpuid2 head;
        struct kvm_cpuid_entry2 entry[80];
    } cpuid = {.head.nent = 70}, hv = {.head.nent = 80};
    CHECK(!ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid.head));
    CHECK(!ioctl(vcpu, KVM_GET_SUPPORTED_HV_CPUID, &hv.head));
    unsigned kept = 0;
    for (unsigned i = 0; i < cpuid.head.nent; i++)
        if (cpuid.entry[i].function >> 16 != 0x4000)
            cpuid.entry[kept++] = cpuid.entry[i];
    struct kvm_cpuid_entry2 *last = &cpuid.entry[kept];
    memcpy(last, hv.entry, 6 * sizeof(*last));
    cpuid.head.nent = kept + 6;
    CHECK(!ioctl(vcpu, KVM_SET_CPUID2, &cpuid.head));

    PUT_CODE(ram + CODE, reference);
    guest_start_at(vcpu, CODE);
    uint64_t before = get_clock(), time = reported_pair();
    CHECK(before / 100 <= time + 1 && time <= get_clock() / 100 + 1);

    struct kvm_hyperv_eventfd event = {.conn_id = CONNECTION, .fd = eventfd(0, EFD_CLOEXEC)};
    CHECK(!ioctl(vm, KVM_HYPERV_EVENTFD, &event));
    CHECK(ioctl(vm, KVM_HYPERV_EVENTFD, &event) < 0 && errno == EEXIST);
    PUT_CODE(ram + CODE, signals);
    mode_32();
    CHECK(reported() == 0);
    uint64_t count;
    CHECK(read(event.fd, &count, sizeof(count)) == sizeof(count) && count == 1);
    CHECK(reported() == 3); /* nobody has the connection, and without a SynIC the program is not asked */
    event.flags = KVM_HYPERV_EVENTFD_DEASSIGN;
    CHECK(!ioctl(vm, KVM_HYPERV_EVENTFD, &event));
    CHECK(ioctl(vm, KVM_HYPERV_EVENTFD, &event) < 0 && errno == ENOENT);
}

static void create(void)
{
    vm = guest_vm(kvm);
    ram = guest_memory(vm, 0, 0, RAM, 0);
    vcpu = guest_vcpu(vm);
    run = guest_run(kvm, vcpu);
    guest_real_mode(vcpu, 0xffff);
}

int main(void)
{
    kvm = guest_kvm();
    create();
    test_clock();
    test_rate();
    test_calls();
    create();
    test_hyperv();
    create();
    test_late();
    printf("ok\n");
    return 0;
}
