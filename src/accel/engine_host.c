/*
 * The host side of the engine: memory by mmap, one POSIX timer per vCPU (its signal tells the vCPU), sleep and wake by
 * futex, host signals raised by copied instructions.
 *
 * Signals are handled on an alternate stack, because translated code uses RSP for its own purposes. Handlers find the
 * vCPU by a thread-local pointer.
 */
#include "accel/engine_host.h"

#include "accel/accel.h"
#include "accel/thread_time.h"
#include "base/monotonic.h"
#include "base/pages.h"
#include "x86/regs.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define SIGNAL_STACK 65536
#define ALIAS_TOUCHED 65536 /* bytes: of a larger alias the guest may not have touched all */
#define TIMER_SIGNAL ACCEL_SIGNAL_TIMER

static __thread struct engine_vcpu *self;

static void *memory_get(void *opaque, size_t size, enum cpu_memory kind)
{
    return pages_map(size, PROT_READ | PROT_WRITE | (kind == CPU_MEMORY_CODE ? PROT_EXEC : 0),
                     kind != CPU_MEMORY_SPARSE);
}

KEEPS_VECTORS static void memory_put(void *opaque, void *memory, size_t size)
{
    munmap(memory, size);
}

KEEPS_VECTORS static void *alias_space(void *opaque, u64 size)
{
    void *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* Memory of a file that is known is mapped and touched at once. Of other memory, MREMAP of 0 bytes of a shared mapping
 * leaves that where it is, and makes another one. */
KEEPS_VECTORS static bool alias(void *opaque, void *at, u64 size, void *memory, unsigned rights)
{
    struct engine_host *h = opaque;
    int prot = (rights & ALIAS_READ ? PROT_READ : 0) | (rights & ALIAS_WRITE ? PROT_WRITE : 0);
    if (!rights)
        return mmap(at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == at;
    const struct direct_file *f = memory ? direct_file_known(&h->direct, (u64)memory, size) : NULL;
    if (f)
        return mmap(at, size, prot, MAP_SHARED | MAP_FIXED | (size <= ALIAS_TOUCHED ? MAP_POPULATE : 0), f->fd,
                    (off_t)((u64)memory - f->start + f->offset)) == at;
    if (memory && mremap(memory, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, at) != at)
        return false;
    return (memory && rights & ALIAS_WRITE) || mprotect(at, size, prot) == 0;
}

KEEPS_VECTORS static u64 engine_now(void *opaque)
{
    return monotonic_ns();
}

KEEPS_VECTORS static void engine_timer_set(void *opaque, u32 index, u64 deadline_ns)
{
    struct engine_host *h = opaque;
    struct engine_vcpu *e = &h->vcpu[index];
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

static void engine_wait(void *opaque, u32 index, const u64 *wake)
{
    struct engine_host *h = opaque;
    struct engine_vcpu *e = &h->vcpu[index];
    __atomic_store_n(&e->asleep, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(wake, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &e->asleep, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
    __atomic_store_n(&e->asleep, 0, __ATOMIC_SEQ_CST);
}

KEEPS_VECTORS static void engine_kick(void *opaque, u32 index)
{
    struct engine_host *h = opaque;
    struct engine_vcpu *e = &h->vcpu[index];
    if (__atomic_exchange_n(&e->asleep, 0, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &e->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    direct_kick(&h->direct, index);
}

/* -- signals -- */

static void on_timer(int sig, siginfo_t *info, void *context)
{
    struct engine_vcpu *e = info->si_value.sival_ptr;
    int saved = errno;
    if (info->si_code != SI_TIMER) /* somebody else sent it */
        return;
    e->deadline = 0;
    cpu_timer_due(e->v);
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
    if (self && info->si_code > 0 && (sig == SIGSEGV || g[REG_TRAPNO] != EXC_PF)) {
        const u8 *rip = (const u8 *)g[REG_RIP], *next;
        int saved = errno;
        if (g[REG_TRAPNO] == EXC_PF)
            next = cpu_page_fault(self->v, rip, (u64)g[REG_CR2], (u64)g[REG_RCX], g[REG_ERR] & PFERR_W);
        else
            next = cpu_signal(self->v, rip, (unsigned)g[REG_TRAPNO]);
        errno = saved;
        if (next) {
            g[REG_RIP] = (greg_t)next;
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
                g[REG_TRAPNO], (unsigned long long)g[REG_RIP], info->si_addr,
                self ? (unsigned long long)cpu_rip(self->v) : 0ull);
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
    for (unsigned i = 0; i < ARRAY_LEN(fault_signals); i++) {
        sigaction(fault_signals[i], NULL, &previous[i]); /* on_fault() may need it at once */
        sigaction(fault_signals[i], &act, NULL);
    }
    act.sa_sigaction = on_timer;
    act.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    TIMER_SIGACTION(TIMER_SIGNAL, &act, NULL);
}

int engine_host_enter(struct engine_host *h, u32 index)
{
    struct engine_vcpu *e = &h->vcpu[index];
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
    engine_timer_set(h, index, deadline);
    self = e;
    return 0;
}

/* -- creation -- */

void engine_host_init(struct engine_host *h)
{
    h->ops = (struct cpu_host){.opaque = h,
                               .memory_get = memory_get,
                               .memory_put = memory_put,
                               .alias_space = alias_space,
                               .alias = alias,
                               .now_ns = engine_now,
                               .timer_set = engine_timer_set,
                               .wait = engine_wait,
                               .kick = engine_kick,
                               .direct = &h->direct.ops};
    direct_host_init(&h->direct);
    thread_time_init(&h->ops);
}

void engine_host_add(struct engine_host *h, u32 index, struct vcpu *v)
{
    h->vcpu[index].v = v;
}

void engine_host_destroy(struct engine_host *h)
{
    for (u32 i = 0; i < ARRAY_LEN(h->vcpu); i++) {
        struct engine_vcpu *e = &h->vcpu[i];
        if (e->has_timer)
            timer_delete(e->timer);
        free(e->signal_stack);
    }
}

static u64 rdtsc(void)
{
    return __builtin_ia32_rdtsc();
}

struct moment {
    u64 tsc, ns;
};

/* The TSC and the clock at once: of many tries that which took the shortest time. */
static struct moment moment_now(void)
{
    struct moment m = {0};
    u64 shortest = ~0ull;
    for (int i = 0; i < 32; i++) {
        u64 before = rdtsc(), now = engine_now(NULL), took = rdtsc() - before;
        if (took < shortest) {
            shortest = took;
            m = (struct moment){before + took / 2, now};
        }
    }
    return m;
}

u64 engine_host_tsc_khz(void)
{
    const struct timespec t = {.tv_nsec = 15000000};
    struct moment first = moment_now();
    nanosleep(&t, NULL);
    struct moment last = moment_now();
    return (last.tsc - first.tsc) * 1000000ull / (last.ns - first.ns);
}
