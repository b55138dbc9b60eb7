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
#define KEPT 16
#define SIGNALS 65

typedef int sigaction_fn(int sig, const struct sigaction *act, struct sigaction *old);
typedef int sigaltstack_fn(const stack_t *stack, stack_t *old);

static __thread struct {
    struct api_vcpu *vcpu; /* that runs; NULL: none */
    void *stack;           /* ours, while it is installed */
    bool known;            /* the program's own is known */
    stack_t program;
    sigset_t before; /* the mask that KVM_SET_SIGNAL_MASK's replaced */
    unsigned kept;
    siginfo_t keep[KEPT];
} self;

static bool active;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction program[SIGNALS]; /* what the program asked for */
static bool covered[SIGNALS];             /* ours stands, whatever that is */
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

/* -- handlers -- */

/* A fault of our own making, or of the guest: the handler returns to where it goes on. */
static bool own_fault(int sig, siginfo_t *info, ucontext_t *u)
{
    greg_t *g = u->uc_mcontext.gregs;
    if (info->si_code <= 0)
        return false;
    if (g[REG_RIP] == (greg_t)user_copy_at) {
        g[REG_RIP] = (greg_t)user_copy_end;
        return true;
    }
    if (!self.vcpu || g[REG_TRAPNO] == EXC_PF)
        return false;
    const u8 *next = cpu_signal(self.vcpu->cpu, (const u8 *)g[REG_RIP], (unsigned)g[REG_TRAPNO]);
    if (next)
        g[REG_RIP] = (greg_t)next;
    return next;
}

static void keep(const siginfo_t *info)
{
    if (self.kept < KEPT)
        self.keep[self.kept++] = *info;
    run_interrupt(self.vcpu);
}

static void by_default(int sig, const siginfo_t *info)
{
    const struct sigaction act = {.sa_handler = SIG_DFL};
    real_action()(sig, &act, NULL);
    if (info->si_code <= 0 || !is_fault(sig))
        raise(sig); /* a fault comes again by itself */
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    int saved = errno;
    if (is_fault(sig) && own_fault(sig, info, context)) {
        errno = saved;
        return;
    }
    bool fault = is_fault(sig) && info->si_code > 0;
    if (self.vcpu && !fault) {
        keep(info);
        errno = saved;
        return;
    }
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

/* -- stacks -- */

static void stack_free(void *stack)
{
    const stack_t none = {.ss_flags = SS_DISABLE};
    real_stack()(self.program.ss_sp ? &self.program : &none, NULL);
    munmap(stack, STACK_SIZE);
    self.stack = NULL;
}

/* A thread that runs vCPUs keeps our stack, unless the program's own is as large. */
static int stack_enter(void)
{
    if (self.stack)
        return 0;
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
    if (!self.stack)
        return real_stack()(stack, old);
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
    self.vcpu = v;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (mask)
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, mask, &self.before, 8);
    return 0;
}

void signals_run_end(const u64 *mask)
{
    if (mask)
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &self.before, NULL, 8);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    self.vcpu = NULL;
}

void signals_deliver(void)
{
    while (self.kept) {
        siginfo_t info = self.keep[--self.kept];
        syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), info.si_signo, &info);
    }
}
