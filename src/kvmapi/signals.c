/*
 * Signals of the program while its threads run vCPUs: see signals.h.
 */
#include "kvmapi/signals.h"

#include "kvmapi/api.h"
#include "kvmapi/run.h"
#include "kvmapi/usercopy.h"
#include "x86/regs.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK_SIZE 131072
#define KEPT 4 /* each that comes keeps all others out, but those that may be synchronous */
#define SIGNALS 65
#define RED_ZONE 128
#define TICKET 0x6e657374 /* si_errno, which is 0 in queued signals */
#define SIGNAL_CANCEL 32  /* libc's own, which its functions hide: pthread_cancel, and setuid and its kin */
#define SIGNAL_SETXID 33

typedef int sigaction_fn(int sig, const struct sigaction *act, struct sigaction *old);
typedef int sigaltstack_fn(const stack_t *stack, stack_t *old);

static __thread struct {
    bool inside;           /* in a call of the API */
    struct api_vcpu *vcpu; /* that runs; NULL: none */
    void *stack;           /* ours, while it is installed */
    stack_t program;
    bool masked; /* KVM_SET_SIGNAL_MASK's mask has replaced: */
    u64 before;  /* the program's mask */
    u64 after;   /* the mask to have when what was kept comes */
    unsigned kept;
    siginfo_t keep[KEPT];
    int queued;     /* the number of a queued signal of which a ticket waits in the kernel; 0: none */
    siginfo_t next; /* that one, or the one that came last before the ticket: its handler is next */
    sigjmp_buf out; /* of run_inside, and of signals_try */
    bool trying;    /* in signals_try */
} self;

static bool active;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction program[SIGNALS]; /* what the program asked for */
static bool covered[SIGNALS];             /* our handler is installed, whatever the program asked for */
static pthread_key_t stack_key;

static sigaction_fn *real_action(void)
{
    static sigaction_fn *f;
    if (!f)
        f = (sigaction_fn *)dlsym(RTLD_NEXT, "sigaction");
    return f;
}

static sigaltstack_fn *real_stack(void)
{
    static sigaltstack_fn *f;
    if (!f)
        f = (sigaltstack_fn *)dlsym(RTLD_NEXT, "sigaltstack");
    return f;
}

static bool is_fault(int sig)
{
    return sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL;
}

/* Is it the answer to what the thread did at that very place? */
static bool is_synchronous(int sig, const siginfo_t *info)
{
    return info->si_code > 0 && (is_fault(sig) || sig == SIGTRAP || sig == SIGSYS);
}

static u64 bit(int sig)
{
    return BIT64(sig - 1);
}

#define SYNCHRONOUS (bit(SIGSEGV) | bit(SIGBUS) | bit(SIGFPE) | bit(SIGILL) | bit(SIGTRAP) | bit(SIGSYS))

static void mask_set(u64 mask)
{
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
}

/* -- handlers -- */

sigjmp_buf *signals_way_out(void)
{
    return &self.out;
}

/* As if called by the code that faulted, with the guest's vector registers. */
KEEPS_VECTORS __attribute__((noreturn)) static void leave_engine(void)
{
    cpu_memory_gone(self.vcpu->cpu);
    siglongjmp(self.out, 1);
}

static __attribute__((noreturn)) void leave_try(void)
{
    siglongjmp(self.out, 1);
}

/* The handler returns to that function, as if the code that faulted had called it. */
static void divert(greg_t *g, void (*to)(void))
{
    g[REG_RIP] = (greg_t)to;
    g[REG_RSP] = ((g[REG_RSP] - RED_ZONE) & ~15ll) - 8;
    g[REG_EFL] &= ~(greg_t)FLAG_DF;
}

/* The array of slots stays while a vCPU runs. */
static bool is_guest_memory(const struct ram *r, const void *address)
{
    for (u32 space = 0; space < RAM_SPACES; space++)
        for (u32 i = 0; i < r->space[space].count; i++)
            if ((u64)address - (u64)r->space[space].slot[i].host < r->space[space].slot[i].size)
                return true;
    return false;
}

/* The program took memory of a slot away, or may not write there. */
static bool memory_fault(const siginfo_t *info, greg_t *g)
{
    struct vcpu *cpu = self.vcpu->cpu;
    bool poisoned = info->si_signo == SIGBUS && (info->si_code == BUS_MCEERR_AR || info->si_code == BUS_MCEERR_AO);
    if (poisoned || !cpu_may_leave(cpu) || !is_guest_memory(self.vcpu->vm->machine.ram, info->si_addr))
        return false;
    const u8 *next = cpu_signal(cpu, (const u8 *)g[REG_RIP], EXC_PF);
    if (next)
        g[REG_RIP] = (greg_t)next;
    else
        divert(g, leave_engine);
    return true;
}

/* Handles a fault of user_copy or of the guest: the handler returns to where execution goes on. */
static bool own_fault(int sig, siginfo_t *info, ucontext_t *u)
{
    greg_t *g = u->uc_mcontext.gregs;
    if (info->si_code <= 0)
        return false;
    if (g[REG_RIP] == (greg_t)user_copy_at) {
        g[REG_RIP] = (greg_t)user_copy_end;
        return true;
    }
    if (self.trying && (sig == SIGSEGV || sig == SIGBUS)) {
        divert(g, leave_try);
        return true;
    }
    if (!self.vcpu)
        return false;
    if (g[REG_TRAPNO] == EXC_PF)
        return memory_fault(info, g);
    const u8 *next = cpu_signal(self.vcpu->cpu, (const u8 *)g[REG_RIP], (unsigned)g[REG_TRAPNO]);
    if (next)
        g[REG_RIP] = (greg_t)next;
    return next;
}

bool signals_try(void (*access)(void *opaque), void *opaque)
{
    bool done = !sigsetjmp(self.out, 0);
    self.trying = done;
    if (done)
        access(opaque);
    self.trying = false;
    return done;
}

/* Its handler comes when the call ends, and so do all signals behind it: the kernel has them wait. */
static void keep(const siginfo_t *info, ucontext_t *u)
{
    const u64 all = ~SYNCHRONOUS;
    if (!self.kept)
        memcpy(&self.after, self.masked ? (void *)&self.before : &u->uc_sigmask, sizeof(u64));
    if (self.kept < KEPT)
        self.keep[self.kept++] = *info;
    memcpy(&u->uc_sigmask, &all, sizeof(u64)); /* that is what the kernel has of it */
    if (self.vcpu)
        run_interrupt(self.vcpu);
}

static void by_default(int sig, const siginfo_t *info)
{
    const struct sigaction act = {.sa_handler = SIG_DFL};
    real_action()(sig, &act, NULL);
    if (info->si_code <= 0 || !is_fault(sig))
        raise(sig); /* a fault comes again by itself */
}

/*
 * Queued signals of one number come in their order, and more of them may wait in the kernel, or come at any time, than
 * the one that was kept. So the kernel gets a ticket for that one, behind them. Each that comes before the ticket takes
 * its place, and is handled when the next one comes; the ticket stands for the last.
 */
static void in_order(siginfo_t *info)
{
    const siginfo_t next = self.next;
    if (info->si_errno == TICKET)
        self.queued = 0;
    else
        self.next = *info;
    *info = next;
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    int saved = errno;
    if (is_fault(sig) && own_fault(sig, info, context)) {
        errno = saved;
        return;
    }
    if (self.inside && !is_synchronous(sig, info)) {
        keep(info, context);
        errno = saved;
        return;
    }
    if (sig == self.queued)
        in_order(info);
    struct sigaction act = program[sig];
    if (act.sa_flags & (int)SA_RESETHAND)
        program[sig].sa_handler = SIG_DFL;
    if (act.sa_handler == SIG_DFL)
        by_default(sig, info);
    else if (act.sa_flags & SA_SIGINFO)
        act.sa_sigaction(sig, info, context);
    else if (act.sa_handler != SIG_IGN)
        act.sa_handler(sig);
}

/* -- actions -- */

static bool stands(int sig)
{
    return is_fault(sig) || covered[sig] || (program[sig].sa_handler != SIG_DFL && program[sig].sa_handler != SIG_IGN);
}

static int install(int sig)
{
    struct sigaction act = program[sig];
    if (stands(sig)) {
        act.sa_sigaction = on_signal;
        act.sa_flags = (act.sa_flags & ~(int)SA_RESETHAND) | SA_SIGINFO | SA_ONSTACK;
        if (is_fault(sig))
            act.sa_flags |= SA_NODEFER;
    }
    return real_action()(sig, &act, NULL);
}

int signals_action(int sig, const struct sigaction *act, struct sigaction *old)
{
    if (!__atomic_load_n(&active, __ATOMIC_ACQUIRE) || sig <= 0 || sig >= SIGNALS || sig == SIGKILL || sig == SIGSTOP)
        return real_action()(sig, act, old);
    int r = 0;
    sigset_t all, mask;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &mask);
    pthread_mutex_lock(&lock);
    struct sigaction before = program[sig];
    if (act) {
        program[sig] = *act;
        r = install(sig);
        if (r)
            program[sig] = before;
    }
    if (old)
        *old = before;
    int e = errno;
    pthread_mutex_unlock(&lock);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    errno = e;
    return r;
}

void signals_cover(u64 mask)
{
    pthread_mutex_lock(&lock);
    for (int sig = 1; sig < SIGNALS; sig++)
        if (!(mask & BIT64(sig - 1)) && sig != SIGKILL && sig != SIGSTOP && !covered[sig] &&
            program[sig].sa_handler == SIG_DFL && sig != SIGCHLD && sig != SIGCONT && sig != SIGURG &&
            sig != SIGWINCH && sig != SIGTSTP && sig != SIGTTIN && sig != SIGTTOU) {
            covered[sig] = true;
            install(sig);
        }
    pthread_mutex_unlock(&lock);
}

/* -- libc's own signals, whose handlers it installs past sigaction -- */

/* The kernel's struct. */
struct raw_action {
    void *handler;
    unsigned long flags;
    void (*restorer)(void);
    u64 mask;
};

/* False: libc has not installed its handler yet. */
static bool libc_cover(int sig)
{
    struct raw_action a;
    if (syscall(SYS_rt_sigaction, sig, NULL, &a, sizeof(a.mask)) || a.handler == SIG_DFL || a.handler == SIG_IGN)
        return false;
    if (a.handler == (void *)on_signal)
        return true;
    program[sig] = (struct sigaction){.sa_handler = (__sighandler_t)a.handler, .sa_flags = (int)a.flags & SA_SIGINFO};
    a.handler = (void *)on_signal;
    a.flags |= SA_SIGINFO | SA_ONSTACK;
    return !syscall(SYS_rt_sigaction, sig, &a, NULL, sizeof(a.mask));
}

static void *wait_for_end(void *opaque)
{
    for (;;)
        pause();
    return NULL;
}

void signals_cancel_begin(int (*cancel)(pthread_t))
{
    pthread_t thread;
    if (!__atomic_load_n(&active, __ATOMIC_ACQUIRE))
        return;
    pthread_mutex_lock(&lock);
    /* The first thread that is cancelled makes libc install the handler. */
    if (!libc_cover(SIGNAL_CANCEL) && !pthread_create(&thread, NULL, wait_for_end, NULL)) {
        cancel(thread);
        pthread_join(thread, NULL);
        libc_cover(SIGNAL_CANCEL);
    }
    pthread_mutex_unlock(&lock);
}

/* -- stacks -- */

static void stack_free(void *stack)
{
    const stack_t none = {.ss_flags = SS_DISABLE};
    real_stack()(self.program.ss_sp ? &self.program : &none, NULL);
    munmap(stack, STACK_SIZE);
    self.stack = NULL;
}

/* A thread that runs vCPUs keeps our stack. */
static int stack_enter(void)
{
    if (self.stack)
        return 0;
    pthread_mutex_lock(&lock);
    libc_cover(SIGNAL_CANCEL);
    libc_cover(SIGNAL_SETXID);
    pthread_mutex_unlock(&lock);
    if (real_stack()(NULL, &self.program))
        return -errno;
    if (self.program.ss_flags & SS_DISABLE)
        self.program = (stack_t){.ss_flags = SS_DISABLE};
    void *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED)
        return -ENOMEM;
    const stack_t st = {.ss_sp = stack, .ss_size = STACK_SIZE};
    if (real_stack()(&st, NULL)) {
        int e = -errno;
        munmap(stack, STACK_SIZE);
        return e;
    }
    self.stack = stack;
    pthread_setspecific(stack_key, stack);
    return 0;
}

int signals_stack(const stack_t *stack, stack_t *old)
{
    const int flags = SS_DISABLE | SS_ONSTACK | (int)BIT(31); /* the last: disarm by itself */
    if (!self.stack)
        return real_stack()(stack, old);
    if (stack && (stack->ss_flags & ~flags || (!(stack->ss_flags & SS_DISABLE) && stack->ss_size < 2048))) {
        errno = stack->ss_flags & ~flags ? EINVAL : ENOMEM;
        return -1;
    }
    if (old)
        *old = self.program;
    if (stack)
        self.program = *stack;
    return 0;
}

/* -- begin and end -- */

void signals_begin(void)
{
    pthread_mutex_lock(&lock);
    if (!active) {
        pthread_key_create(&stack_key, stack_free);
        for (int sig = 1; sig < SIGNALS; sig++) {
            if (real_action()(sig, NULL, &program[sig]) || sig == SIGKILL || sig == SIGSTOP || !stands(sig))
                continue;
            install(sig);
        }
        __atomic_store_n(&active, true, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&lock);
}

int signals_run_begin(struct api_vcpu *v, const u64 *mask)
{
    int e = stack_enter();
    if (e)
        return e;
    if (mask) {
        const u64 all = ~SYNCHRONOUS;
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &self.before, sizeof(u64));
        self.masked = !self.kept; /* what was kept before has kept the mask, too */
    }
    self.vcpu = v;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (self.kept)
        run_interrupt(v);
    else if (mask)
        mask_set(*mask);
    return 0;
}

/* No signal may come between the last look and the return to the program's mask: another would follow right behind. */
void signals_run_end(void)
{
    if (self.masked && !self.kept) {
        mask_set(~SYNCHRONOUS);
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        if (!self.kept)
            mask_set(self.before);
    }
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    self.masked = false;
    self.vcpu = NULL;
}

/* -- calls -- */

void signals_enter(void)
{
    self.inside = true;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static bool queue(const siginfo_t *info)
{
    return !syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), info->si_signo, info);
}

static void queue_or_raise(const siginfo_t *info)
{
    if (!queue(info)) /* too many wait */
        syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), info->si_signo);
}

/* If its handler is next: no other one of its number comes while that runs, and the program does not take it itself. */
static bool queue_ticket(const siginfo_t *info, u64 after)
{
    siginfo_t ticket = *info;
    if (info->si_signo < SIGRTMIN || self.queued || after & bit(info->si_signo) ||
        program[info->si_signo].sa_flags & SA_NODEFER)
        return false;
    ticket.si_errno = TICKET;
    self.queued = info->si_signo;
    self.next = *info;
    if (!queue(&ticket))
        self.queued = 0;
    return self.queued;
}

/* Those that wait in the kernel go behind the one that was kept; one that comes meanwhile may get between. */
static void queue_in_order(const siginfo_t *info)
{
    const struct timespec now = {0};
    const u64 one = bit(info->si_signo);
    siginfo_t *behind = NULL;
    size_t count = 0, room = 0;
    while (info->si_signo >= SIGRTMIN) {
        if (count == room) {
            siginfo_t *more = realloc(behind, (room + 64) * sizeof(*behind));
            if (!more)
                break;
            behind = more;
            room += 64;
        }
        if (syscall(SYS_rt_sigtimedwait, &one, &behind[count], &now, sizeof(one)) < 0)
            break;
        count++;
    }
    queue_or_raise(info);
    for (size_t i = 0; i < count; i++)
        queue_or_raise(&behind[i]);
    free(behind);
}

void signals_leave(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    self.inside = false;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    unsigned kept = self.kept;
    if (likely(!kept))
        return;
    const u64 all = ~SYNCHRONOUS, after = self.after;
    mask_set(all);
    self.kept = 0;
    while (kept--)
        if (!queue_ticket(&self.keep[kept], after))
            queue_in_order(&self.keep[kept]);
    mask_set(after); /* here they come: a handler may not return */
}
