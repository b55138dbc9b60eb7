/*
 * The software engine as an accelerator: memory and threads around src/cpu. Gives the core what it needs of the host:
 * time, one POSIX timer per vCPU (its signal sets REQ_TIMER), sleep and wake by futex, host signals raised by copied
 * instructions.
 *
 * Signals are handled on an alternate stack, because translated code uses RSP for its own purposes. Handlers find the
 * vCPU by a thread-local pointer.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { CONTEXT_RIP = REG_RIP, CONTEXT_TRAPNO = REG_TRAPNO };
#undef REG_RIP /* cpu/core/insn.h has its own */

#include "accel/accel.h"
#include "accel/engine.h"
#include "base/pages.h"
#include "cpu/core/cpuid.h"
#include "cpu/core/nested.h"
#include "cpu/core/stats.h"
#include "cpu/cpu.h"
#include "cpu/event/lapic.h"
#include "cpu/jit/block.h"
#include "cpu/jit/exec.h"
#include "cpu/jit/signal.h"
#include "cpu/mmu/mmu.h"

#define SIGNAL_STACK 65536
#define TIMER_SIGNAL (SIGRTMIN + 1)

struct engine_vcpu {
    struct vcpu *v;
    timer_t timer;
    bool has_timer;
    u64 deadline;
    u32 asleep; /* [a] futex: 1 while the thread sleeps in engine_wait */
    void *signal_stack;
    struct error error;
};

struct accel_vm {
    struct vm vm;
    struct cpu_host host;
    struct machine machine;
    struct cpu_features features;
    struct engine_vcpu vcpu[256];
    bool stop; /* [a] */
};

static __thread struct engine_vcpu *self;

/* -- what the core asks of the host -- */

static void engine_trace(void *opaque, u32 index, const char *line)
{
    fprintf(stderr, "nestbox: CPU %u: %s\n", index, line);
}

/* The core calls the next few with guest vector state live in the host's registers. */
#define KEEPS_VECTORS __attribute__((target("general-regs-only")))

KEEPS_VECTORS static u64 engine_now(void *opaque)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

KEEPS_VECTORS static void engine_timer_set(void *opaque, u32 index, u64 deadline_ns)
{
    struct accel_vm *a = opaque;
    struct engine_vcpu *e = &a->vcpu[index];
    /* A timer that is armed for earlier does no harm: REQ_TIMER then finds nothing due and comes back here. */
    if (e->deadline == deadline_ns || (e->deadline && (!deadline_ns || e->deadline < deadline_ns)))
        return;
    e->deadline = deadline_ns;
    if (!e->has_timer)
        return;
    struct itimerspec t = {
        .it_value = {.tv_sec = (time_t)(deadline_ns / 1000000000ull), .tv_nsec = (long)(deadline_ns % 1000000000ull)}};
    timer_settime(e->timer, TIMER_ABSTIME, &t, NULL);
}

static void engine_wait(void *opaque, u32 index)
{
    struct accel_vm *a = opaque;
    struct engine_vcpu *e = &a->vcpu[index];
    __atomic_store_n(&e->asleep, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&e->v->request, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &e->asleep, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
    __atomic_store_n(&e->asleep, 0, __ATOMIC_SEQ_CST);
}

KEEPS_VECTORS static void engine_kick(void *opaque, u32 index)
{
    struct accel_vm *a = opaque;
    struct engine_vcpu *e = &a->vcpu[index];
    if (__atomic_exchange_n(&e->asleep, 0, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &e->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* -- signals -- */

static void on_timer(int sig, siginfo_t *info, void *context)
{
    struct engine_vcpu *e = info->si_value.sival_ptr;
    int saved = errno;
    e->deadline = 0;
    request_set(e->v, REQ_TIMER);
    errno = saved;
}

static const int fault_signals[] = {SIGFPE, SIGSEGV, SIGILL, SIGBUS};
static struct sigaction previous[ARRAY_LEN(fault_signals)];
static pthread_once_t signals_once = PTHREAD_ONCE_INIT;

static void on_fault(int sig, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    greg_t *g = u->uc_mcontext.gregs;
    unsigned i = 0;
    while (fault_signals[i] != sig)
        i++;
    if (self && info->si_code > 0 && g[CONTEXT_TRAPNO] != EXC_PF) {
        const u8 *next = exec_signal(self->v, (const u8 *)g[CONTEXT_RIP], (unsigned)g[CONTEXT_TRAPNO]);
        if (next) {
            g[CONTEXT_RIP] = (greg_t)next;
            return;
        }
    }
    /* Not ours: whoever handled it before. */
    if (previous[i].sa_flags & SA_SIGINFO) {
        previous[i].sa_sigaction(sig, info, context);
        return;
    }
    if (info->si_code > 0)
        fprintf(stderr, "nestbox: internal error: signal %d (vector %lld) at %#llx, address %p, guest RIP %#llx\n", sig,
                g[CONTEXT_TRAPNO], (unsigned long long)g[CONTEXT_RIP], info->si_addr,
                self ? (unsigned long long)self->v->rip : 0ull);
    sigaction(sig, &previous[i], NULL);
    if (info->si_code <= 0)
        raise(sig); /* somebody sent it; a fault comes again by itself */
}

#ifdef TIMER_SIGACTION /* the Makefile says why */
int TIMER_SIGACTION(int sig, const struct sigaction *act, struct sigaction *old);
#else
#define TIMER_SIGACTION sigaction
#endif

static void install_signals(void)
{
    struct sigaction act = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    sigemptyset(&act.sa_mask);
    for (unsigned i = 0; i < ARRAY_LEN(fault_signals); i++)
        sigaction(fault_signals[i], &act, &previous[i]);
    act.sa_sigaction = on_timer;
    act.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    TIMER_SIGACTION(TIMER_SIGNAL, &act, NULL);
}

static int attach_thread(struct accel_vm *a, u32 index)
{
    struct engine_vcpu *e = &a->vcpu[index];
    if (self == e)
        return 0;
    pthread_once(&signals_once, install_signals);
    if (!e->signal_stack)
        e->signal_stack = malloc(SIGNAL_STACK);
    if (!e->signal_stack)
        return -ENOMEM;
    stack_t st = {.ss_sp = e->signal_stack, .ss_size = SIGNAL_STACK};
    if (sigaltstack(&st, NULL))
        return -errno;
    if (e->has_timer)
        timer_delete(e->timer);
    struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = TIMER_SIGNAL, .sigev_value.sival_ptr = e};
    ev._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    e->has_timer = timer_create(CLOCK_MONOTONIC, &ev, &e->timer) == 0;
    if (!e->has_timer)
        return -errno;
    u64 deadline = e->deadline;
    e->deadline = 0;
    engine_timer_set(a, index, deadline);
    self = e;
    return 0;
}

/* -- creation -- */

static u64 rdtsc(void)
{
    return __builtin_ia32_rdtsc();
}

/* The host's TSC frequency against its monotonic clock. */
static u64 calibrate(void)
{
    u64 best = 0, best_error = ~0ull;
    for (int i = 0; i < 3; i++) {
        u64 a0 = rdtsc(), n0 = engine_now(NULL), a1 = rdtsc();
        struct timespec t = {.tv_nsec = 5000000};
        nanosleep(&t, NULL);
        u64 b0 = rdtsc(), n1 = engine_now(NULL), b1 = rdtsc();
        u64 error = (a1 - a0) + (b1 - b0);
        if (error < best_error) {
            best_error = error;
            best = ((b0 + b1) / 2 - (a0 + a1) / 2) * 1000000ull / (n1 - n0);
        }
    }
    return best;
}

static u32 host_leaf(u32 leaf, u32 sub, unsigned reg)
{
    u32 r[4];
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
    return r[reg];
}

static int check_host(struct error *error)
{
    if (host_leaf(0, 0, 0) < 7 || !(host_leaf(7, 0, 1) & BIT(8)))
        error_set(error, -ENOTSUP,
                  "this CPU lacks BMI2 (Intel Haswell, AMD Excavator or later), which the engine needs");
    else if (!(host_leaf(1, 0, 2) & BIT(27)))
        error_set(error, -ENOTSUP, "this CPU or kernel lacks XSAVE, which the engine needs");
    else
        return 0;
    return error_hint(error, "use " SETTING("accel") " kvm");
}

static void engine_destroy(struct accel_vm *a)
{
    for (u32 i = 0; i < a->vm.vcpu_count; i++) {
        struct engine_vcpu *e = &a->vcpu[i];
        if (e->has_timer)
            timer_delete(e->timer);
        free(e->signal_stack);
        if (!e->v)
            continue;
        if (e->v->exec)
            munmap(e->v->exec, exec_size());
        if (e->v->mmu)
            munmap(e->v->mmu, mmu_size());
        if (e->v->lapic)
            munmap(e->v->lapic, lapic_size());
        if (e->v->vmx)
            munmap(e->v->vmx, vmx_size());
        if (e->v->svm)
            munmap(e->v->svm, svm_size());
        munmap(e->v, sizeof *e->v);
    }
    for (u32 i = 0; i < a->vm.ram_slots; i++)
        free(a->vm.ram[i].page_flags);
    if (a->vm.cache) {
        munmap(a->vm.cache->code, CACHE_CODE_SIZE);
        munmap(a->vm.cache->data, CACHE_DATA_SIZE);
        free(a->vm.cache);
    }
    free(a);
}

static int make_vcpu(struct accel_vm *a, u32 index, bool nested)
{
    struct vcpu *v = pages_map(sizeof *v, PROT_READ | PROT_WRITE, false);
    if (!v)
        return -ENOMEM;
    a->vcpu[index].v = v;
    a->vm.vcpu[index] = v;
    v->vm = &a->vm;
    v->index = index;
    void *exec = pages_map(exec_size(), PROT_READ | PROT_WRITE, false);
    if (!exec)
        return -ENOMEM;
    exec_init(v, exec);
    void *mmu = pages_map(mmu_size(), PROT_READ | PROT_WRITE, false);
    if (!mmu)
        return -ENOMEM;
    mmu_init(v, mmu);
    void *apic = pages_map(lapic_size(), PROT_READ | PROT_WRITE, false);
    if (!apic)
        return -ENOMEM;
    lapic_create(v, apic);
    v->gif = true;
    if (nested) {
        bool amd = a->vm.vendor == VENDOR_AMD;
        void *state = pages_map(amd ? svm_size() : vmx_size(), PROT_READ | PROT_WRITE, false);
        if (!state)
            return -ENOMEM;
        v->nested = amd ? &svm_ops : &vmx_ops;
        if (amd)
            svm_init(v, state);
        else
            vmx_init(v, state);
    }
    return 0;
}

static int set_trace(struct accel_vm *a, const char *list, struct error *error)
{
    while (list && *list) {
        size_t n = strcspn(list, ",");
        if (n != 5 || memcmp(list, "entry", 5) != 0)
            return error_set(error, -EINVAL, SETTING("trace") ": '%.*s' is not known; there is entry", (int)n, list);
        a->host.trace = engine_trace;
        list += n + (list[n] == ',');
    }
    return 0;
}

static int engine_create(const struct accel_config *config, const struct machine *machine, struct accel_vm **out,
                         struct error *error)
{
    int r = check_host(error);
    if (r)
        return r;
    struct accel_vm *a = calloc(1, sizeof *a);
    if (!a)
        goto no_memory;
    a->machine = *machine;
    a->host = (struct cpu_host){
        .opaque = a, .now_ns = engine_now, .timer_set = engine_timer_set, .wait = engine_wait, .kick = engine_kick};
    a->vm.machine = &a->machine;
    a->vm.host = &a->host;
    a->vm.upcalls = &cpu_upcalls;
    a->vm.vendor = config->nested == NESTED_AMD     ? VENDOR_AMD
                   : config->nested == NESTED_INTEL ? VENDOR_INTEL
                                                    : host_vendor();
    a->vm.tsc_khz = calibrate();
    a->vm.phys_bits = 46;
    a->vm.hypercalls = config->hypercalls;
    a->vm.features = &a->features;
    struct cpuid_config c = {.vendor = a->vm.vendor,
                             .nested = config->nested != NESTED_OFF,
                             .vcpus = config->vcpus,
                             .tsc_khz = a->vm.tsc_khz,
                             .phys_bits = a->vm.phys_bits,
                             .model = config->cpu};
    r = set_trace(a, config->trace, error);
    if (!r)
        r = cpuid_create(&a->features, &c, error);
    if (r) {
        free(a);
        return r;
    }
    a->vm.cache = calloc(1, sizeof *a->vm.cache);
    u8 *code = pages_map(CACHE_CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, true);
    u8 *data = pages_map(CACHE_DATA_SIZE, PROT_READ | PROT_WRITE, true);
    if (!a->vm.cache || !code || !data) {
        if (code)
            munmap(code, CACHE_CODE_SIZE);
        if (data)
            munmap(data, CACHE_DATA_SIZE);
        free(a->vm.cache);
        a->vm.cache = NULL;
        goto no_memory;
    }
    cache_init(a->vm.cache, code, CACHE_CODE_SIZE, data, CACHE_DATA_SIZE);
    for (u32 i = 0; i < config->vcpus; i++) {
        a->vm.vcpu_count = i + 1;
        r = make_vcpu(a, i, config->nested != NESTED_OFF);
        if (r)
            goto no_memory;
    }
    for (u32 i = 0; i < config->vcpus; i++)
        cpu_reset(a->vm.vcpu[i]);
    *out = a;
    return 0;
no_memory:
    if (a)
        engine_destroy(a);
    return error_set(error, -ENOMEM, "not enough memory for the engine's code cache and CPU state");
}

static int engine_ram_add(struct accel_vm *a, gpa_t start, u64 size, void *host, bool readonly)
{
    struct vm *vm = &a->vm;
    if (vm->ram_slots == RAM_SLOTS)
        return -ENOSPC;
    u32 *flags = calloc(size >> PAGE_SHIFT, sizeof *flags);
    if (!flags)
        return -ENOMEM;
    vm->ram[vm->ram_slots++] =
        (struct ram_slot){.start = start.a, .size = size, .host = host, .page_flags = flags, .readonly = readonly};
    return 0;
}

static void engine_ram_written(struct accel_vm *a, gpa_t start, u64 size)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* against a translator that flags the page, then reads it */
    code_written(&a->vm, self ? self->v : NULL, start, size);
}

/* -- reset and boot state -- */

static void flat(struct segment *s, u16 sel, u32 attr)
{
    *s = (struct segment){.sel = sel, .limit = 0xffffffff, .attr = attr};
}

static void load_boot_state(struct vcpu *v, const struct accel_boot *b)
{
    v->activity = ACTIVITY_ACTIVE;
    v->rip = v->next_rip = b->rip;
    v->gpr[RSP] = b->rsp;
    v->gpr[RSI] = b->rsi;
    v->gpr[RAX] = b->rax;
    v->gpr[RBX] = b->rbx;
    if (b->mode == BOOT_REAL) {
        v->seg[SEG_CS].sel = b->real_cs;
        v->seg[SEG_CS].base = (u64)b->real_cs << 4;
    } else {
        bool wide = b->mode == BOOT_LONG64;
        u32 code = SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED | SEG_G | (wide ? SEG_L : SEG_DB);
        u32 data = SEG_P | SEG_S | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED | SEG_G | SEG_DB;
        flat(&v->seg[SEG_CS], b->cs, code);
        static const u8 which[] = {SEG_DS, SEG_ES, SEG_SS, SEG_FS, SEG_GS};
        for (unsigned i = 0; i < ARRAY_LEN(which); i++)
            flat(&v->seg[which[i]], b->ds, data);
        v->seg[SEG_TR] = (struct segment){.sel = b->tr, .limit = 0x67, .attr = SEG_P | SYS_TSS_BUSY};
        v->gdtr = (struct desc_table){.base = b->gdt_base, .limit = b->gdt_limit};
        v->cr0 = (v->cr0 & ~(CR0_CD | CR0_NW)) | CR0_PE;
        if (wide) {
            v->cr0 |= CR0_PG;
            v->cr4 |= CR4_PAE;
            v->efer |= EFER_LME | EFER_LMA;
            v->cr3 = b->cr3;
        }
    }
}

static void engine_reset(struct accel_vm *a, const struct accel_boot *boot)
{
    for (u32 i = 0; i < a->vm.vcpu_count; i++) {
        struct vcpu *v = a->vm.vcpu[i];
        cpu_reset(v);
        __atomic_store_n(&v->request, 0, __ATOMIC_SEQ_CST);
        if (i == 0 && boot)
            load_boot_state(v, boot);
    }
    for (u32 i = 0; i < a->vm.ram_slots; i++) /* the loader wrote memory */
        code_written(&a->vm, NULL, GPA(a->vm.ram[i].start), a->vm.ram[i].size);
    for (u32 i = 0; i < a->vm.vcpu_count; i++) {
        mmu_flush_all(a->vm.vcpu[i]);
        mode_update(a->vm.vcpu[i]);
    }
    __atomic_store_n(&a->stop, false, __ATOMIC_SEQ_CST);
}

static enum accel_exit engine_run(struct accel_vm *a, u32 index)
{
    struct vcpu *v = a->vm.vcpu[index];
    int e = attach_thread(a, index);
    if (e) {
        error_set(&a->vcpu[index].error, e, "cannot set up a timer and a signal stack: %s", strerror(-e));
        return ACCEL_ERROR;
    }
    if (__atomic_load_n(&a->stop, __ATOMIC_SEQ_CST))
        return ACCEL_STOPPED;
    switch (cpu_run(v)) {
    case CPU_EXIT_SHUTDOWN: return ACCEL_SHUTDOWN;
    default: return ACCEL_STOPPED;
    }
}

static void engine_stop(struct accel_vm *a)
{
    __atomic_store_n(&a->stop, true, __ATOMIC_SEQ_CST);
    for (u32 i = 0; i < a->vm.vcpu_count; i++)
        request_set(a->vm.vcpu[i], REQ_STOP);
}

static void engine_resume(struct accel_vm *a)
{
    __atomic_store_n(&a->stop, false, __ATOMIC_SEQ_CST);
    for (u32 i = 0; i < a->vm.vcpu_count; i++)
        __atomic_fetch_and(&a->vm.vcpu[i]->request, ~REQ_STOP, __ATOMIC_SEQ_CST);
}

static void engine_msi(struct accel_vm *a, u64 address, u32 data)
{
    apic_msi(&a->vm, address, data);
}

static void engine_intr_line(struct accel_vm *a, bool level)
{
    apic_intr_line(&a->vm, level);
}

static void engine_describe(struct accel_vm *a, u32 index, char *buf, size_t size)
{
    const struct vcpu *v = a->vm.vcpu[index];
    const u64 *g = v->gpr;
    snprintf(
        buf, size,
        "CPU %u, %s%s: CS:RIP %04x:%016llx RFLAGS %llx CPL %u\n"
        "RAX %016llx RCX %016llx RDX %016llx RBX %016llx\n"
        "RSP %016llx RBP %016llx RSI %016llx RDI %016llx\n"
        "R8  %016llx R9  %016llx R10 %016llx R11 %016llx\n"
        "R12 %016llx R13 %016llx R14 %016llx R15 %016llx\n"
        "CR0 %llx CR2 %llx CR3 %llx CR4 %llx EFER %llx, GDT %llx IDT %llx, last exception %u\n",
        index,
        in_64bit(v)       ? "64-bit mode"
        : in_protected(v) ? (in_v86(v) ? "virtual-8086 mode" : "protected mode")
                          : "real mode",
        v->in_guest ? ", in L2" : "", v->seg[SEG_CS].sel, (unsigned long long)v->rip, (unsigned long long)rflags_get(v),
        v->cpl, (unsigned long long)g[RAX], (unsigned long long)g[RCX], (unsigned long long)g[RDX],
        (unsigned long long)g[RBX], (unsigned long long)g[RSP], (unsigned long long)g[RBP], (unsigned long long)g[RSI],
        (unsigned long long)g[RDI], (unsigned long long)g[R8], (unsigned long long)g[R9], (unsigned long long)g[R10],
        (unsigned long long)g[R11], (unsigned long long)g[R12], (unsigned long long)g[R13], (unsigned long long)g[R14],
        (unsigned long long)g[R15], (unsigned long long)v->cr0, (unsigned long long)v->cr2, (unsigned long long)v->cr3,
        (unsigned long long)v->cr4, (unsigned long long)v->efer, (unsigned long long)v->gdtr.base,
        (unsigned long long)v->idtr.base, v->fault.vector);
}

static void engine_stats(struct accel_vm *a, char *buf, size_t size)
{
    const struct cache *c = a->vm.cache;
    size_t n = 0;
    n += (size_t)snprintf(buf, size, "blocks %u, code %zu KiB hot %zu KiB cold, cache flushes %llu\n", c->block_count,
                          (size_t)(c->hot - c->code) >> 10, (size_t)(c->cold - c->hot_end) >> 10,
                          (unsigned long long)c->flushes);
    for (u32 i = 0; i < a->vm.vcpu_count && n < size; i++) {
        const u64 *s = a->vm.vcpu[i]->stat;
        n += (size_t)snprintf(buf + n, size - n, "vCPU %u:", i);
#define X(id, text)                                                                                                    \
    if (n < size)                                                                                                      \
        n += (size_t)snprintf(buf + n, size - n, " " text " %llu", (unsigned long long)s[STAT_##id]);
        STATS(X)
#undef X
        if (n < size)
            n += (size_t)snprintf(buf + n, size - n, "\n");
    }
}

static const struct error *engine_error(struct accel_vm *a, u32 index)
{
    return &a->vcpu[index].error;
}

static u64 engine_tsc_khz(struct accel_vm *a)
{
    return a->vm.tsc_khz;
}

struct vm *engine_vm(struct accel_vm *a)
{
    return &a->vm;
}

const struct accel_ops accel_engine = {
    .name = "engine",
    .create = engine_create,
    .destroy = engine_destroy,
    .ram_add = engine_ram_add,
    .ram_written = engine_ram_written,
    .reset = engine_reset,
    .run = engine_run,
    .stop = engine_stop,
    .resume = engine_resume,
    .msi = engine_msi,
    .intr_line = engine_intr_line,
    .describe = engine_describe,
    .stats = engine_stats,
    .error = engine_error,
    .tsc_khz = engine_tsc_khz,
};
