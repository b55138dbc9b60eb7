/*
 * The /dev/kvm accelerator: VM, memory, interrupts and the run loop. Interrupt controllers and the
 * PIT are KVM's own.
 *
 * run() is called on each vCPU's thread; stop() on any. A stop sets immediate_exit and signals the
 * threads, so a vCPU enters KVM_RUN once more, which completes the access it was in the middle of,
 * and leaves. A reset makes the kernel's VM anew: nothing of the old one, in-kernel devices and
 * nested state included, can survive it. The price, a few milliseconds, was preferred to setting
 * every kind of state that a kernel may have. Only what Linux 6.1 offers is used. Source: Linux,
 * Documentation/virt/kvm/api.rst.
 */
#include "accel/kvm.h"

#include "base/monotonic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Four pages that KVM on Intel needs in the guest's address space; above RAM, below the ROMs. */
#define IDENTITY_MAP 0xfeffc000ull
#define TSS_ADDRESS 0xfeffd000ull

const char kvm_use_engine[] = "use " SETTING("accel") " engine";

static void on_kick(int sig)
{
}

void kvm_kick_prepare(void)
{
    struct sigaction act = {.sa_handler = on_kick};
    sigemptyset(&act.sa_mask);
    sigaction(KVM_KICK_SIGNAL, &act, NULL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, KVM_KICK_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int kvm_open(struct error *error)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        int code = -errno;
        if (code == -ENOENT || code == -ENXIO || code == -ENODEV) {
            error_set(error, code, "there is no /dev/kvm");
            return error_hint(error, "load kvm_intel or kvm_amd, or use " SETTING("accel") " engine");
        }
        if (code == -EACCES || code == -EPERM) {
            error_set(error, code, "no permission for /dev/kvm");
            return error_hint(error, "run as root or in group kvm, or use " SETTING("accel") " engine");
        }
        return error_set(error, code, "cannot open /dev/kvm: %s", strerror(-code));
    }
    int version = ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION) {
        error_set(error, -ENOTSUP, "/dev/kvm speaks API version %d and not %d", version, KVM_API_VERSION);
        close(fd);
        return error_hint(error, kvm_use_engine);
    }
    return fd;
}

int kvm_has(const struct accel_vm *vm, int capability)
{
    return ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, capability);
}

/* -- the kernel's VM -- */

static int fail(struct error *error, const char *what)
{
    int code = errno ? -errno : -EIO;
    return error_set(error, code, "KVM: %s: %s", what, strerror(-code));
}

/* ISA interrupt 0 is input 2 of the I/O APIC, as the ACPI tables say; the others are the same on
 * both controllers. */
static int set_routes(struct accel_vm *vm)
{
    union {
        struct kvm_irq_routing r;
        u8 room[sizeof(struct kvm_irq_routing) + 40 * sizeof(struct kvm_irq_routing_entry)];
    } table = {.room = {0}};
    struct kvm_irq_routing_entry *entry = table.r.entries;
    unsigned n = 0;
    for (u32 gsi = 0; gsi < 24; gsi++) {
        if (gsi < 16 && gsi != 2)
            entry[n++] = (struct kvm_irq_routing_entry){
                .gsi = gsi,
                .type = KVM_IRQ_ROUTING_IRQCHIP,
                .u.irqchip = {.irqchip = gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, .pin = gsi & 7},
            };
        if (gsi != 2)
            entry[n++] = (struct kvm_irq_routing_entry){
                .gsi = gsi,
                .type = KVM_IRQ_ROUTING_IRQCHIP,
                .u.irqchip = {.irqchip = KVM_IRQCHIP_IOAPIC, .pin = gsi ? gsi : 2},
            };
    }
    table.r.nr = n;
    return ioctl(vm->vm_fd, KVM_SET_GSI_ROUTING, &table.r);
}

static int make_vcpu(struct accel_vm *vm, u32 index, struct error *error)
{
    struct kvm_vcpu *v = &vm->vcpu[index];
    v->fd = ioctl(vm->vm_fd, KVM_CREATE_VCPU, (unsigned long)index);
    if (v->fd < 0)
        return fail(error, "cannot create a vCPU");
    v->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    if (v->run == MAP_FAILED) {
        v->run = NULL;
        return fail(error, "cannot map a vCPU");
    }
    int err = kvm_cpuid_set(vm, index);
    if (err) {
        errno = -err;
        return fail(error, "the CPUID of the guest was refused");
    }
    kvm_firmware_msrs(vm, index);
    return 0;
}

static void unmake(struct accel_vm *vm)
{
    ram_detach(vm->machine.ram);
    for (u32 i = 0; i < KVM_VCPUS; i++) {
        struct kvm_vcpu *v = &vm->vcpu[i];
        if (v->run)
            munmap(v->run, vm->run_size);
        if (v->fd >= 0)
            close(v->fd);
        v->run = NULL;
        v->fd = -1;
    }
    if (vm->vm_fd >= 0)
        close(vm->vm_fd);
    vm->vm_fd = -1;
}

static int make(struct accel_vm *vm, struct error *error)
{
    do
        vm->vm_fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
    while (vm->vm_fd < 0 && errno == EINTR);
    if (vm->vm_fd < 0)
        return fail(error, "cannot create a VM");
    u64 identity = IDENTITY_MAP;
    if (kvm_has(vm, KVM_CAP_SET_IDENTITY_MAP_ADDR) > 0 && ioctl(vm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity))
        return fail(error, "KVM_SET_IDENTITY_MAP_ADDR");
    if (kvm_has(vm, KVM_CAP_SET_TSS_ADDR) > 0 && ioctl(vm->vm_fd, KVM_SET_TSS_ADDR, TSS_ADDRESS))
        return fail(error, "KVM_SET_TSS_ADDR");
    if (ioctl(vm->vm_fd, KVM_CREATE_IRQCHIP, 0))
        return fail(error, "cannot create the interrupt controllers");
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
    if (ioctl(vm->vm_fd, KVM_CREATE_PIT2, &pit))
        return fail(error, "cannot create the interval timer");
    if (set_routes(vm))
        return fail(error, "cannot route interrupts");
    int err = ram_attach(vm->machine.ram, &kvm_ram_ops, vm);
    if (err)
        return error_set(error, err, "KVM: guest memory was refused: %s", strerror(-err));
    struct kvm_enable_cap payloads = {.cap = KVM_CAP_EXCEPTION_PAYLOAD, .args[0] = 1};
    vm->payloads = kvm_has(vm, KVM_CAP_EXCEPTION_PAYLOAD) > 0 && !ioctl(vm->vm_fd, KVM_ENABLE_CAP, &payloads);
    for (u32 i = 0; i < vm->settings->cpus; i++) {
        err = make_vcpu(vm, i, error);
        if (err)
            return err;
    }
    vm->used = false;
    return 0;
}

static int check_host(struct accel_vm *vm, struct error *error)
{
    static const struct {
        int capability;
        const char *what;
    } needed[] = {
        {KVM_CAP_IRQCHIP, "in-kernel interrupt controllers"},
        {KVM_CAP_PIT2, "an in-kernel interval timer"},
        {KVM_CAP_IRQ_ROUTING, "interrupt routing"},
        {KVM_CAP_SIGNAL_MSI, "KVM_SIGNAL_MSI"},
        {KVM_CAP_USER_MEMORY, "user memory"},
        {KVM_CAP_EXT_CPUID, "KVM_GET_SUPPORTED_CPUID"},
        {KVM_CAP_IMMEDIATE_EXIT, "immediate_exit (Linux 4.13)"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(needed); i++) {
        if (kvm_has(vm, needed[i].capability) <= 0) {
            error_set(error, -ENOTSUP, "the host's KVM lacks %s", needed[i].what);
            return error_hint(error, kvm_use_engine);
        }
    }
    int most = kvm_has(vm, KVM_CAP_MAX_VCPUS);
    if (most <= 0)
        most = kvm_has(vm, KVM_CAP_NR_VCPUS) > 0 ? kvm_has(vm, KVM_CAP_NR_VCPUS) : 4;
    if (most > KVM_VCPUS)
        most = KVM_VCPUS;
    if (vm->settings->cpus > (u32)most)
        return error_set(error, -EINVAL, "the host's KVM runs at most %d CPUs in a VM, %u were asked for", most,
                         vm->settings->cpus);
    return 0;
}

static void kvm_destroy(struct accel_vm *vm)
{
    unmake(vm);
    if (vm->kvm_fd >= 0)
        close(vm->kvm_fd);
    free(vm->cpuid);
    free(vm);
}

static int kvm_create(const struct run_settings *settings, const struct machine *machine, struct accel_vm **out,
                      struct error *error)
{
    if (settings->trace) {
        error_set(error, -ENOTSUP, SETTING("trace") " is the engine's");
        return error_hint(error, kvm_use_engine);
    }
    struct accel_vm *vm = calloc(1, sizeof(*vm));
    if (!vm)
        return error_set(error, -ENOMEM, "not enough memory for a VM");
    vm->settings = settings;
    vm->machine = *machine;
    vm->vm_fd = -1;
    for (u32 i = 0; i < KVM_VCPUS; i++)
        vm->vcpu[i].fd = -1;
    int err = vm->kvm_fd = kvm_open(error);
    if (err >= 0)
        err = check_host(vm, error);
    if (!err) {
        err = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
        vm->run_size = err > 0 ? (size_t)err : 0;
        err = err < (int)sizeof(struct kvm_run) ? fail(error, "KVM_GET_VCPU_MMAP_SIZE") : 0;
    }
    if (!err)
        err = kvm_cpuid_configure(vm, error);
    if (!err)
        err = make(vm, error);
    if (err) {
        kvm_destroy(vm);
        return err;
    }
    kvm_kick_prepare();
    *out = vm;
    return 0;
}

/* -- interrupts -- */

static void kvm_irq_line(struct accel_vm *vm, unsigned gsi, bool level)
{
    struct kvm_irq_level line = {.irq = gsi, .level = level};
    ioctl(vm->vm_fd, KVM_IRQ_LINE, &line);
}

static void kvm_msi(struct accel_vm *vm, u64 address, u32 data)
{
    struct kvm_msi msi = {.address_lo = (u32)address, .address_hi = (u32)(address >> 32), .data = data};
    ioctl(vm->vm_fd, KVM_SIGNAL_MSI, &msi);
}

/* -- running -- */

static void exit_io(struct accel_vm *vm, struct kvm_run *run)
{
    u8 *data = (u8 *)run + run->io.data_offset;
    for (u32 i = 0; i < run->io.count; i++, data += run->io.size) {
        u32 value = 0;
        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&value, data, run->io.size);
            vm->machine.io_write(vm->machine.opaque, run->io.port, value, run->io.size);
        } else {
            value = vm->machine.io_read(vm->machine.opaque, run->io.port, run->io.size);
            memcpy(data, &value, run->io.size);
        }
    }
}

static void exit_mmio(struct accel_vm *vm, struct kvm_run *run)
{
    u64 value = 0;
    u32 n = run->mmio.len <= sizeof(value) ? run->mmio.len : sizeof(value);
    if (run->mmio.is_write) {
        memcpy(&value, run->mmio.data, n);
        vm->machine.mmio_write(vm->machine.opaque, GPA(run->mmio.phys_addr), value, n);
    } else {
        value = vm->machine.mmio_read(vm->machine.opaque, GPA(run->mmio.phys_addr), n);
        memcpy(run->mmio.data, &value, n);
    }
}

static enum accel_exit give_up(struct kvm_vcpu *v, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    error_begin(&v->error, -EIO);
    vsnprintf(v->error.text, sizeof(v->error.text), format, args);
    va_end(args);
    return ACCEL_ERROR;
}

static enum accel_exit exit_internal(struct kvm_vcpu *v)
{
    const struct kvm_run *run = v->run;
    struct kvm_regs regs = {0};
    ioctl(v->fd, KVM_GET_REGS, &regs);
    if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION)
        return give_up(v, "KVM internal error %u at RIP %#llx", run->internal.suberror, (unsigned long long)regs.rip);
    char bytes[3 * 15 + 1] = "";
    if (run->emulation_failure.ndata >= 3 &&
        run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) {
        u32 n = run->emulation_failure.insn_size;
        for (u32 i = 0; i < n && i < 15; i++)
            snprintf(bytes + 3 * i, 4, " %02x", run->emulation_failure.insn_bytes[i]);
    }
    give_up(v, "KVM cannot emulate the instruction at RIP %#llx%s%s (a paravirtual KVM?)", (unsigned long long)regs.rip,
            *bytes ? ":" : "", bytes);
    error_hint(&v->error, kvm_use_engine);
    return ACCEL_ERROR;
}

static enum accel_exit run_failed(struct kvm_vcpu *v, int err)
{
    struct kvm_regs regs = {0};
    ioctl(v->fd, KVM_GET_REGS, &regs);
    if (err == EFAULT)
        return give_up(v, "KVM: the host has no memory behind what the guest touched at RIP %#llx",
                       (unsigned long long)regs.rip);
    return give_up(v, "KVM_RUN failed at RIP %#llx: %s", (unsigned long long)regs.rip, strerror(err));
}

/* One exit. True: *result is what run() returns. */
static bool handle_exit(struct accel_vm *vm, struct kvm_vcpu *v, enum accel_exit *result)
{
    struct kvm_run *run = v->run;
    if (run->exit_reason < KVM_EXIT_REASONS)
        v->exits[run->exit_reason]++;
    switch (run->exit_reason) {
    case KVM_EXIT_IO: exit_io(vm, run); return false;
    case KVM_EXIT_MMIO: exit_mmio(vm, run); return false;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_HLT: return false;
    case KVM_EXIT_SHUTDOWN:
    case KVM_EXIT_SYSTEM_EVENT: *result = ACCEL_SHUTDOWN; return true;
    case KVM_EXIT_FAIL_ENTRY:
        *result = give_up(v, "KVM: the CPU refused to enter the guest, reason %#llx on host CPU %u%s",
                          (unsigned long long)run->fail_entry.hardware_entry_failure_reason, run->fail_entry.cpu,
                          run->fail_entry.hardware_entry_failure_reason == 0x80000021 ? " (invalid guest state)" : "");
        return true;
    case KVM_EXIT_INTERNAL_ERROR: *result = exit_internal(v); return true;
    case KVM_EXIT_UNKNOWN:
        *result = give_up(v, "KVM: unknown exit of the hardware, reason %#llx",
                          (unsigned long long)run->hw.hardware_exit_reason);
        return true;
    default: *result = give_up(v, "KVM: exit reason %u was not asked for", run->exit_reason); return true;
    }
}

static enum accel_exit kvm_run(struct accel_vm *vm, u32 index)
{
    struct kvm_vcpu *v = &vm->vcpu[index];
    enum accel_exit result = ACCEL_STOPPED;
    if (v->fd < 0)
        return ACCEL_ERROR; /* v->error: the last reset failed */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, KVM_KICK_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    v->tid = gettid();
    __atomic_store_n(&vm->used, true, __ATOMIC_RELAXED);
    __atomic_store_n(&v->running, true, __ATOMIC_SEQ_CST);
    for (;;) {
        if (ioctl(v->fd, KVM_RUN, 0) == 0) {
            if (handle_exit(vm, v, &result))
                break;
        } else if (errno == EINTR || errno == EAGAIN) {
            v->interrupted++;
            if (__atomic_load_n(&vm->stop, __ATOMIC_SEQ_CST))
                break;
        } else {
            result = run_failed(v, errno);
            break;
        }
    }
    __atomic_store_n(&v->running, false, __ATOMIC_SEQ_CST);
    return result;
}

static void kvm_stop(struct accel_vm *vm)
{
    __atomic_store_n(&vm->stop, true, __ATOMIC_SEQ_CST);
    for (u32 i = 0; i < vm->settings->cpus; i++) {
        struct kvm_vcpu *v = &vm->vcpu[i];
        if (v->run)
            __atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&v->running, __ATOMIC_SEQ_CST))
            tgkill(getpid(), v->tid, KVM_KICK_SIGNAL);
    }
}

static void kvm_resume(struct accel_vm *vm)
{
    __atomic_store_n(&vm->stop, false, __ATOMIC_SEQ_CST);
    for (u32 i = 0; i < vm->settings->cpus; i++) {
        if (vm->vcpu[i].run)
            __atomic_store_n(&vm->vcpu[i].run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    }
}

static int kvm_reset(struct accel_vm *vm, struct error *error)
{
    int err = 0;
    if (vm->used || vm->vm_fd < 0) {
        unmake(vm);
        err = make(vm, error);
        if (err)
            unmake(vm);
    }
    for (u32 i = 0; err && i < vm->settings->cpus; i++)
        vm->vcpu[i].error = *error;
    kvm_resume(vm);
    return err;
}

/* -- text -- */

static void kvm_stats(struct accel_vm *vm, char *buf, size_t size)
{
    static const struct {
        u32 reason;
        const char *name;
    } shown[] = {
        {KVM_EXIT_IO, "port I/O"}, {KVM_EXIT_MMIO, "MMIO"},         {KVM_EXIT_HLT, "HLT"},
        {KVM_EXIT_INTR, "signal"}, {KVM_EXIT_SHUTDOWN, "shutdown"},
    };
    size_t n = 0;
    if (size)
        buf[0] = 0;
    for (u32 i = 0; i < vm->settings->cpus && n < size; i++) {
        const struct kvm_vcpu *v = &vm->vcpu[i];
        n += (size_t)snprintf(buf + n, size - n, "vCPU %u: exits to the machine:", i);
        for (unsigned k = 0; k < ARRAY_LEN(shown) && n < size; k++)
            n += (size_t)snprintf(buf + n, size - n, " %s %llu", shown[k].name,
                                  (unsigned long long)v->exits[shown[k].reason]);
        if (n < size)
            n += (size_t)snprintf(buf + n, size - n, " interrupted %llu\n", (unsigned long long)v->interrupted);
    }
}

static const struct error *kvm_error(struct accel_vm *vm, u32 index)
{
    return &vm->vcpu[index].error;
}

static bool kvm_has_long_mode(struct accel_vm *vm)
{
    const struct kvm_cpuid_entry2 *e = kvm_cpuid_find(vm->cpuid, 0x80000001, 0);
    return e && e->edx & BIT(29); /* LM */
}

static bool kvm_has_la57(struct accel_vm *vm)
{
    const struct kvm_cpuid_entry2 *e = kvm_cpuid_find(vm->cpuid, 7, 0);
    return e && e->ecx & BIT(16); /* LA57 */
}

static u64 kvm_tsc_khz(struct accel_vm *vm)
{
    int khz = vm->vcpu[0].fd < 0 ? -1 : ioctl(vm->vcpu[0].fd, KVM_GET_TSC_KHZ, 0);
    if (khz > 0)
        return (u64)khz;
    u64 n0 = monotonic_ns(), t0 = __builtin_ia32_rdtsc();
    struct timespec t = {.tv_nsec = 10000000};
    nanosleep(&t, NULL);
    return (__builtin_ia32_rdtsc() - t0) * 1000000ull / (monotonic_ns() - n0);
}

static u64 kvm_clock_get(struct accel_vm *vm)
{
    struct kvm_clock_data clock = {0};
    ioctl(vm->vm_fd, KVM_GET_CLOCK, &clock);
    return clock.clock;
}

static void kvm_clock_set(struct accel_vm *vm, u64 ns)
{
    struct kvm_clock_data clock = {.clock = ns};
    ioctl(vm->vm_fd, KVM_SET_CLOCK, &clock);
}

const struct accel_ops accel_kvm = {
    .name = "kvm",
    .create = kvm_create,
    .destroy = kvm_destroy,
    .reset = kvm_reset,
    .state_get = kvm_state_get,
    .state_set = kvm_state_set,
    .run = kvm_run,
    .stop = kvm_stop,
    .resume = kvm_resume,
    .has_irqchip = true,
    .irq_line = kvm_irq_line,
    .msi = kvm_msi,
    .stats = kvm_stats,
    .error = kvm_error,
    .tsc_khz = kvm_tsc_khz,
    .has_long_mode = kvm_has_long_mode,
    .has_la57 = kvm_has_la57,
    .clock_get = kvm_clock_get,
    .clock_set = kvm_clock_set,
};
