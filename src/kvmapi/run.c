/*
 * KVM_RUN. The engine runs on the calling thread until something needs the program: kvm_run says what, and the call
 * returns as the kernel's would. What the program answers is taken when it calls again, before anything else.
 *
 * An access to a device of the program ends up in the vCPU's queue (queue.h). The instruction of a read runs again,
 * alone, when the answer is there; events come after it. With immediate_exit that is all that a call does.
 *
 * On the vCPU's thread, with vcpu.mutex held. GS base belongs to the engine meanwhile; FS base is never touched.
 */
#include "kvmapi/run.h"

#include "kvmapi/debug.h"
#include "kvmapi/hyperv.h"
#include "kvmapi/msr.h"
#include "kvmapi/paravirt.h"
#include "kvmapi/registers.h"
#include "kvmapi/ring.h"
#include "kvmapi/signals.h"
#include "x86/regs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static __thread struct api_vcpu *current;

struct api_vcpu *run_current(void)
{
    return current;
}

void run_interrupt(struct api_vcpu *v)
{
    __atomic_store_n(&v->stopped, true, __ATOMIC_SEQ_CST);
    cpu_stop(v->cpu);
}

/* -- the machine that the engine sees -- */

static bool part_pio(struct api_vcpu *v, u16 port, void *data, unsigned size, bool write)
{
    for (const struct api_part **p = api_pio_parts; *p; p++)
        if ((*p)->pio(v, port, data, size, write))
            return true;
    return false;
}

static bool part_mmio(struct api_vcpu *v, gpa_t gpa, void *data, unsigned size, bool write)
{
    for (const struct api_part **p = api_mmio_parts; *p; p++)
        if ((*p)->mmio(v, gpa, data, size, write))
            return true;
    return false;
}

static void read_access(struct api_vcpu *v, struct device_access *a, void *to)
{
    if (!queue_read(&v->queue, a, to))
        cpu_defer(v->cpu);
}

static void write_access(struct api_vcpu *v, struct device_access *a, const void *from)
{
    if (!queue_write(&v->queue, a, from))
        api_trace(API_TRACE_UNKNOWN, "an instruction that writes to a device more often than %d times", QUEUE_ACCESSES);
    cpu_leave(v->cpu);
}

static u32 io_read(void *opaque, u16 port, unsigned size)
{
    struct api_vcpu *v = current;
    u32 value = 0;
    if (!part_pio(v, port, &value, size, false))
        read_access(v, &(struct device_access){ACCESS_PIO, (u8)size, false, 1, port}, &value);
    return value;
}

static void io_reads(void *opaque, u16 port, void *to, unsigned size, u64 count)
{
    struct api_vcpu *v = current;
    u8 *p = to;
    u64 done = 0;
    for (; done < count && part_pio(v, port, p, size, false); done++)
        p += size;
    if (!done)
        read_access(v, &(struct device_access){ACCESS_PIO, (u8)size, false, (u32)count, port}, to);
}

static void io_write(void *opaque, u16 port, u32 value, unsigned size)
{
    struct api_vcpu *v = current;
    if (!part_pio(v, port, &value, size, true))
        write_access(v, &(struct device_access){ACCESS_PIO, (u8)size, true, 1, port}, &value);
}

static u64 mmio_read(void *opaque, gpa_t gpa, unsigned size)
{
    struct api_vcpu *v = current;
    u64 value = 0;
    if (!part_mmio(v, gpa, &value, size, false))
        read_access(v, &(struct device_access){ACCESS_MMIO, (u8)size, false, 1, gpa.a}, &value);
    return value;
}

static void mmio_write(void *opaque, gpa_t gpa, u64 value, unsigned size)
{
    struct api_vcpu *v = current;
    if (!part_mmio(v, gpa, &value, size, true))
        write_access(v, &(struct device_access){ACCESS_MMIO, (u8)size, true, 1, gpa.a}, &value);
}

void run_eoi_exit(struct api_vcpu *v, u8 vector)
{
    const u64 data = 0;
    write_access(v, &(struct device_access){ACCESS_EOI, 1, true, 1, vector}, &data);
}

void run_machine_init(struct machine *m, struct api_vm *vm)
{
    *m = (struct machine){.opaque = vm,
                          .ram = m->ram,
                          .io_read = io_read,
                          .io_reads = io_reads,
                          .io_write = io_write,
                          .mmio_read = mmio_read,
                          .mmio_write = mmio_write,
                          .msr = msr_asked};
}

/* -- what the program sees and answers -- */

static u8 *exit_data(struct api_vcpu *v)
{
    return v->run->exit_reason == KVM_EXIT_IO ? v->pio : v->run->mmio.data;
}

/* Fills in kvm_run for the next access that waits. */
static void show(struct api_vcpu *v)
{
    struct kvm_run *run = v->run;
    u8 *bytes;
    const struct device_access *a = queue_show(&v->queue, &bytes);
    switch (a->kind) {
    case ACCESS_PIO:
        run->exit_reason = KVM_EXIT_IO;
        run->io.direction = a->write ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
        run->io.size = a->size;
        run->io.port = (u16)a->address;
        run->io.count = a->count;
        run->io.data_offset = API_PAGE_PIO * PAGE_SIZE;
        if (a->write)
            memcpy(v->pio, bytes, (size_t)a->size * a->count);
        break;
    case ACCESS_MMIO:
        run->exit_reason = KVM_EXIT_MMIO;
        run->mmio.phys_addr = a->address;
        run->mmio.len = a->size;
        run->mmio.is_write = a->write;
        memset(run->mmio.data, 0, sizeof(run->mmio.data));
        if (a->write)
            memcpy(run->mmio.data, bytes, a->size);
        break;
    default: run->exit_reason = KVM_EXIT_IOAPIC_EOI; run->eoi.vector = (u8)a->address;
    }
}

static void trace_shutdown(struct api_vcpu *v)
{
    struct cpu_state *s = aligned_alloc(64, align_up(sizeof(*s), 64));
    if (!s)
        return;
    cpu_state_get(v->cpu, s, STATE_GPRS | STATE_SEGMENTS | STATE_EVENTS);
    api_trace(API_TRACE_RUN | API_TRACE_UNKNOWN,
              "vCPU %u: triple fault at %#x:%#llx, RAX %#llx RCX %#llx RDX %#llx, the last exception had vector %u",
              v->id, s->seg[SEG_CS].sel, (unsigned long long)s->rip, (unsigned long long)s->gpr[RAX],
              (unsigned long long)s->gpr[RCX], (unsigned long long)s->gpr[RDX], s->events.last_exception);
    free(s);
}

static long shutdown(struct api_vcpu *v)
{
    if (api_traced(API_TRACE_RUN | API_TRACE_UNKNOWN))
        trace_shutdown(v);
    v->run->exit_reason = KVM_EXIT_SHUTDOWN;
    return 0;
}

/* There is no code to run, which the kernel calls an instruction that it cannot emulate: one without known bytes. It
 * says the same of VM entry with an APIC-access page that it cannot map. */
static long not_emulated(struct api_vcpu *v)
{
    v->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    v->run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
    v->run->emulation_failure.ndata = 1;
    v->run->emulation_failure.flags = 0;
    return 0;
}

/* Fills in kvm_run for what is no access. 1: the vCPU goes on; otherwise what KVM_RUN returns. */
static long show_exit(struct api_vcpu *v, enum cpu_exit exit)
{
    switch (exit) {
    case CPU_EXIT_SHUTDOWN: return shutdown(v);
    case CPU_EXIT_HLT: v->run->exit_reason = KVM_EXIT_HLT; return 0;
    case CPU_EXIT_WINDOW: v->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN; return 0;
    case CPU_EXIT_TPR: v->run->exit_reason = KVM_EXIT_SET_TPR; return 0;
    case CPU_EXIT_MSR: msr_show(v); return 0;
    case CPU_EXIT_DEBUG: return debug_exit(v);
    case CPU_EXIT_HYPERCALL: return paravirt_exit(v);
    case CPU_EXIT_HYPERV: return hyperv_exit(v);
    case CPU_EXIT_FETCH:
    case CPU_EXIT_APIC_PAGE: return not_emulated(v);
    case CPU_EXIT_MEMORY: v->run->exit_reason = KVM_EXIT_UNKNOWN; return -EFAULT;
    default: return 1; /* an access that is done meanwhile */
    }
}

static long interrupted(struct api_vcpu *v)
{
    v->run->exit_reason = KVM_EXIT_INTR;
    return -EINTR;
}

/* What the last call returned with is done. 1: go on; otherwise what KVM_RUN returns. */
static long complete(struct api_vcpu *v)
{
    struct api_queue *q = &v->queue;
    if (q->shown)
        queue_done(q, exit_data(v));
    if (queue_waits(q)) {
        show(v);
        return 0;
    }
    enum cpu_exit exit = v->owed;
    v->owed = CPU_EXIT_NONE;
    if (!msr_answered(v) && !q->answers)
        return show_exit(v, exit);
    exit = cpu_step(v->cpu);
    msr_done(v);
    if (!q->read)
        queue_answered(q);
    if (queue_waits(q)) {
        v->owed = exit;
        show(v);
        return 0;
    }
    return show_exit(v, exit);
}

static long run_guest(struct api_vcpu *v)
{
    for (;;) {
        if (ring_full(v)) {
            v->run->exit_reason = KVM_EXIT_DIRTY_RING_FULL;
            return 0;
        }
        enum cpu_exit exit = cpu_run(v->cpu);
        if (queue_waits(&v->queue)) {
            v->owed = exit;
            show(v);
            return 0;
        }
        if (exit == CPU_EXIT_STOP)
            return interrupted(v);
        long r = show_exit(v, exit);
        if (r <= 0)
            return r;
    }
}

/* -- the call -- */

static void parts_enter(struct api_vcpu *v)
{
    for (const struct api_part **p = api_enter_parts; *p; p++)
        (*p)->enter(v);
}

static void parts_leave(struct api_vcpu *v)
{
    for (const struct api_part **p = api_leave_parts; *p; p++)
        (*p)->leave(v);
}

static long run_inside(struct api_vcpu *v)
{
    u32 mxcsr;
    u16 control;
    __asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr), "=m"(control));
    u64 gs;
    __asm__ volatile("rdgsbase %0" : "=r"(gs));
    parts_enter(v);
    long r;
    if (!sigsetjmp(*signals_way_out(), 0)) {
        r = complete(v);
        if (r > 0)
            r = v->run->immediate_exit ? -EINTR : run_guest(v);
    } else {
        r = show_exit(v, CPU_EXIT_MEMORY);
    }
    parts_leave(v);
    __asm__ volatile("wrgsbase %0" : : "r"(gs));
    __asm__ volatile("fldcw %1; ldmxcsr %0" : : "m"(mxcsr), "m"(control));
    return r;
}

long run_vcpu(struct api_vcpu *v, struct api_arg *arg)
{
    struct kvm_run *run = v->run;
    if (arg->value)
        return -EINVAL;
    const u64 *mask = v->has_sigmask ? &v->sigmask : NULL;
    __atomic_store_n(&v->stopped, false, __ATOMIC_SEQ_CST);
    cpu_go(v->cpu);
    long r = signals_run_begin(v, mask);
    if (r)
        return r;
    current = v;
    run->flags = 0;
    r = registers_sync_in(v);
    if (!r)
        r = run_inside(v);
    if (r != -EINVAL)
        registers_sync_out(v);
    current = NULL;
    run->flags = cpu_in_smm(v->cpu) ? KVM_RUN_X86_SMM : 0;
    if (r == -EINTR || run->exit_reason == KVM_EXIT_DEBUG)
        cpu_code_doubt(v->cpu); /* the program may write to any code now, as debuggers do */
    signals_run_end();
    v->exits++;
    if (api_traced(API_TRACE_RUN))
        api_trace(API_TRACE_RUN, "vCPU %u: KVM_RUN %ld, exit reason %u", v->id, r, run->exit_reason);
    return r;
}

static long set_signal_mask(struct api_vcpu *v, struct api_arg *arg)
{
    struct kvm_signal_mask head;
    v->has_sigmask = false;
    if (!arg->value)
        return 0;
    if (user_read(&head, arg->value, sizeof(head)))
        return -EFAULT;
    if (head.len != sizeof(v->sigmask))
        return -EINVAL;
    if (user_read(&v->sigmask, arg->value + sizeof(head), sizeof(v->sigmask)))
        return -EFAULT;
    v->sigmask &= ~(BIT64(SIGKILL - 1) | BIT64(SIGSTOP - 1));
    v->has_sigmask = true;
    signals_cover(v->sigmask);
    return 0;
}

/* User code and L2 get #UD where there is nothing to run, unless the program wants to see that too. */
static long exit_on_failure(struct api_vm *vm, const struct kvm_enable_cap *cap)
{
    if (cap->args[0] & ~1ull)
        return -EINVAL;
    cpu_fetch_exits(vm->cpus, cap->args[0] ? CPU_FETCH_ALWAYS : CPU_FETCH_SUPERVISOR);
    return 0;
}

static int vm_create(struct api_vm *vm)
{
    cpu_fetch_exits(vm->cpus, CPU_FETCH_SUPERVISOR);
    return 0;
}

static const struct api_ioctl ioctls[] = {
    API_VCPU(KVM_RUN, run_vcpu),
    API_VCPU_RAW(KVM_SET_SIGNAL_MASK, set_signal_mask),
    {0},
};

static const struct api_cap caps[] = {
    API_CAP(KVM_CAP_IMMEDIATE_EXIT, 1),
    API_CAP(KVM_CAP_INTERNAL_ERROR_DATA, 1),
    API_CAP(KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1, .enable_vm = exit_on_failure),
    {0},
};

const struct api_part run_part = {.name = "run", .ioctls = ioctls, .caps = caps, .vm_create = vm_create};
