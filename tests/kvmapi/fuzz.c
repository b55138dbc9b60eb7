/*
 * Random ioctls with random arguments on all kinds of descriptors: nothing may crash or hang. Guest memory lies in a
 * mapping of its own, so that a guest cannot write over the program.
 * usage: fuzz [CALLS [SEED]]
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define RAM 0x200000ul
#define BUFFER 65536
#define CALLS_PER_PROCESS 5000

static unsigned long state;
static unsigned char *ram, *buffer;

static unsigned long next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545f4914f6cdd1dul;
}

static unsigned below(unsigned n)
{
    return (unsigned)(next() >> 33) % n;
}

/* The requests of x86. request() makes up others. */
static const unsigned long known[] = {
    KVM_GET_API_VERSION,
    KVM_CREATE_VM,
    KVM_GET_MSR_INDEX_LIST,
    KVM_CHECK_EXTENSION,
    KVM_GET_VCPU_MMAP_SIZE,
    KVM_GET_SUPPORTED_CPUID,
    KVM_GET_EMULATED_CPUID,
    KVM_GET_MSR_FEATURE_INDEX_LIST,
    KVM_CREATE_VCPU,
    KVM_GET_DIRTY_LOG,
    KVM_SET_USER_MEMORY_REGION,
    KVM_SET_TSS_ADDR,
    KVM_SET_IDENTITY_MAP_ADDR,
    KVM_CREATE_IRQCHIP,
    KVM_IRQ_LINE,
    KVM_GET_IRQCHIP,
    KVM_SET_IRQCHIP,
    KVM_CREATE_PIT2,
    KVM_GET_PIT2,
    KVM_SET_PIT2,
    KVM_IRQ_LINE_STATUS,
    KVM_REGISTER_COALESCED_MMIO,
    KVM_UNREGISTER_COALESCED_MMIO,
    KVM_SET_GSI_ROUTING,
    KVM_IRQFD,
    KVM_SET_BOOT_CPU_ID,
    KVM_IOEVENTFD,
    KVM_SET_CLOCK,
    KVM_GET_CLOCK,
    KVM_SIGNAL_MSI,
    KVM_CREATE_DEVICE,
    KVM_RUN,
    KVM_GET_REGS,
    KVM_SET_REGS,
    KVM_GET_SREGS,
    KVM_SET_SREGS,
    KVM_TRANSLATE,
    KVM_INTERRUPT,
    KVM_GET_MSRS,
    KVM_SET_MSRS,
    KVM_SET_CPUID,
    KVM_SET_SIGNAL_MASK,
    KVM_GET_FPU,
    KVM_SET_FPU,
    KVM_GET_LAPIC,
    KVM_SET_LAPIC,
    KVM_SET_CPUID2,
    KVM_GET_CPUID2,
    KVM_TPR_ACCESS_REPORTING,
    KVM_SET_VAPIC_ADDR,
    KVM_GET_MP_STATE,
    KVM_SET_MP_STATE,
    KVM_NMI,
    KVM_SET_GUEST_DEBUG,
    KVM_X86_SETUP_MCE,
    KVM_X86_GET_MCE_CAP_SUPPORTED,
    KVM_X86_SET_MCE,
    KVM_GET_VCPU_EVENTS,
    KVM_SET_VCPU_EVENTS,
    KVM_GET_DEBUGREGS,
    KVM_SET_DEBUGREGS,
    KVM_GET_TSC_KHZ,
    KVM_SET_TSC_KHZ,
    KVM_GET_XSAVE,
    KVM_SET_XSAVE,
    KVM_GET_XCRS,
    KVM_SET_XCRS,
    KVM_GET_XSAVE2,
    KVM_KVMCLOCK_CTRL,
    KVM_ENABLE_CAP,
    KVM_SMI,
    KVM_GET_NESTED_STATE,
    KVM_SET_NESTED_STATE,
    KVM_CLEAR_DIRTY_LOG,
    KVM_X86_SET_MSR_FILTER,
    KVM_RESET_DIRTY_RINGS,
    KVM_GET_SREGS2,
    KVM_SET_SREGS2,
    KVM_GET_STATS_FD,
    KVM_HAS_DEVICE_ATTR,
    KVM_GET_DEVICE_ATTR,
    KVM_SET_DEVICE_ATTR,
    KVM_HYPERV_EVENTFD,
    KVM_GET_SUPPORTED_HV_CPUID,
    KVM_SET_PMU_EVENT_FILTER,
    KVM_XEN_HVM_CONFIG,
    KVM_GET_PIT,
    KVM_SET_PIT,
};

static unsigned long request(void)
{
    if (!below(10))
        return KVM_RUN;
    if (below(20))
        return known[below(sizeof(known) / sizeof(known[0]))];
    return (unsigned long)below(4) << 30 | (unsigned long)below(5000) % 16384 << 16 | 0xae00 | below(256);
}

static unsigned long number(void)
{
    switch (below(6)) {
    case 0: return below(4);
    case 1: return below(300);
    case 2: return next();
    case 3: return next() >> below(64);
    case 4: return ~0ul >> below(64);
    default: return (next() & 0xffff) << 12;
    }
}

static unsigned long argument(unsigned long req)
{
    unsigned kind = below(10);
    if (req == KVM_RUN && kind)
        return 0; /* with any other argument the vCPU does not run */
    if (kind == 0)
        return number();
    if (kind == 1)
        return (unsigned long)buffer + BUFFER - below(64); /* ends soon */
    for (unsigned i = 0; i < 64; i++) {
        unsigned at = below(8) ? below(128) : below(4096);
        unsigned long value = number();
        memcpy(buffer + at, &value, 1u << below(4));
    }
    if (below(2))
        *(unsigned *)buffer = below(64); /* counts come first */
    if (req == KVM_SET_USER_MEMORY_REGION) {
        struct kvm_userspace_memory_region *g = (void *)buffer;
        unsigned long pages = below(RAM / 4096);
        *g = (struct kvm_userspace_memory_region){.slot = below(6) | (below(8) ? 0 : below(4) << 16),
                                                  .flags = below(4) ? below(4) : below(16),
                                                  .guest_phys_addr = below(2) ? 0 : (unsigned long)below(1024) << 12,
                                                  .memory_size = (RAM / 4096 - pages) << 12,
                                                  .userspace_addr = (unsigned long)ram + (pages << 12)};
        if (!below(8))
            g->memory_size = 0;
    }
    if (req == KVM_GET_DIRTY_LOG || req == KVM_CLEAR_DIRTY_LOG)
        ((struct kvm_dirty_log *)buffer)->dirty_bitmap = below(8) ? buffer + 8192 : (void *)8;
    if (req == KVM_SET_SIGNAL_MASK) {
        ((struct kvm_signal_mask *)buffer)->len = 8;
        memset(buffer + 4, 0, 8);
    }
    if (req == KVM_SET_MP_STATE)
        *(unsigned *)buffer = below(2) ? 0 : below(6);
    return (unsigned long)buffer;
}

static void on_alarm(int sig)
{
}

static int open_or(int fd, int old)
{
    if (fd < 0)
        return old;
    if (old >= 0)
        close(old);
    return fd;
}

/* The short life of a process: it makes a VM with two vCPUs, and calls on all of them. */
static void process(unsigned long calls)
{
    const struct sigaction act = {.sa_handler = on_alarm};
    const struct itimerval tick = {.it_interval.tv_usec = 2000, .it_value.tv_usec = 2000};
    sigaction(SIGALRM, &act, NULL);
    setitimer(ITIMER_REAL, &tick, NULL);
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm = ioctl(kvm, KVM_CREATE_VM, 0);
    if (vm < 0)
        _exit(3);
    for (unsigned i = 0; i < RAM / 8; i++)
        ((unsigned long *)ram)[i] = next();
    if (below(2))
        ioctl(vm, KVM_CREATE_IRQCHIP, 0);
    int vcpu[2] = {ioctl(vm, KVM_CREATE_VCPU, 0), ioctl(vm, KVM_CREATE_VCPU, 1)},
        size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    struct kvm_run *run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu[0], 0);
    int extra = -1;
    if (run == MAP_FAILED)
        _exit(4);
    for (unsigned long i = 0; i < calls; i++) {
        unsigned long req = request();
        int fd = below(8) == 0 ? kvm : below(3) == 0 ? vm : below(12) == 0 ? extra : vcpu[below(2)];
        if (req == KVM_RUN && below(4))
            run->immediate_exit = !below(3);
        if (!below(50))
            memset(run->padding1, (int)below(256), sizeof(run->padding1));
        if (!below(100))
            run->kvm_dirty_regs = below(16), run->kvm_valid_regs = below(16);
        int r = ioctl(fd, req, argument(req));
        if (r > 2 && (req == KVM_CREATE_VM || req == KVM_CREATE_VCPU || req == KVM_GET_STATS_FD))
            extra = open_or(r, extra);
    }
    _exit(0);
}

int main(int argc, char **argv)
{
    unsigned long calls = argc > 1 ? strtoul(argv[1], NULL, 0) : 200000;
    unsigned long seed = argc > 2 ? strtoul(argv[2], NULL, 0) : 1;
    ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    buffer = mmap(NULL, BUFFER + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(buffer + BUFFER, 4096, PROT_NONE);
    for (; calls; seed++) {
        unsigned long n = calls < CALLS_PER_PROCESS ? calls : CALLS_PER_PROCESS;
        int status;
        pid_t child = fork();
        if (!child) {
            state = seed * 0x9e3779b97f4a7c15ul + 1;
            alarm(0);
            process(n);
        }
        for (int waited = 0; waitpid(child, &status, WNOHANG) == 0; waited++) {
            usleep(10000);
            if (waited == 6000) {
                kill(child, SIGABRT);
                printf("seed %lu: hangs\n", seed);
                return 1;
            }
        }
        if (status) {
            printf("seed %lu: status %#x\n", seed, (unsigned)status);
            return 1;
        }
        calls -= n;
    }
    printf("ok\n");
    return 0;
}
