/*
 * Processes that execute a guest's user code. Each begins as a program of one page, which then unmaps all that a
 * program has at its start but this page, at a random address, and gets a filter of system calls. From then on it does
 * what its tracer, the thread of its vCPU, has it do:
 *
 * - guest code runs under PTRACE_SYSEMU: no system call of it is executed, and each signal stops it;
 * - changes of its mappings are a list that the page's code works off, under PTRACE_CONT. The list lies in a page that
 *   the process can only read. As a rule guest code goes on right behind it, so that a page that is mapped takes one
 * turn and not two: then system calls of guest code meet the filter, which stops the process as well.
 *
 * Guest code may find the page and jump into it. It makes system calls there as anywhere: they stop it, as the filter
 * lets only those through that have a secret of the process in registers. Guest code never sees that: the page's code
 * gets it in registers from the tracer, and takes the guest's registers in place of it before guest code goes on.
 */
#include "accel/direct_parts.h"

#include "base/monotonic.h"
#include "x86/regs.h"
#include "x86/xsave.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t me(void)
{
    static __thread pid_t tid;
    if (!tid)
        tid = (pid_t)syscall(SYS_gettid);
    return tid;
}

/* -- on which CPU -- */

/*
 * The process and the thread that traces it take turns. On two CPUs of the host each turn would wake up a CPU that
 * sleeps, which takes tens of microseconds, and the scheduler does put them on two if one is idle. So both are bound to
 * the CPU where the thread is, until the vCPU sleeps or leaves, or others want that CPU.
 */
#define CPUS_MAX 8192
#define BOUND_NS 16000000u /* then it is looked whether others want the CPU, or have moved the thread */

struct cpus {
    unsigned long word[CPUS_MAX / 64];
};

static __thread struct bound {
    bool is;
    int cpu;
    struct cpus before; /* where the thread might run else */
    u64 since_ns;
    u64 used_ns;     /* CPU time of the thread then */
    u64 children_ns; /* that its processes had since */
} bound;

static bool bind_to(pid_t pid, int cpu)
{
    struct cpus c = {0};
    if (cpu < 0 || cpu >= CPUS_MAX)
        return false;
    c.word[cpu / 64] = 1ul << cpu % 64;
    return !syscall(SYS_sched_setaffinity, pid, sizeof c, &c);
}

/* The thread may run anywhere again, unless somebody else has said meanwhile where it may. */
static void unbind(void)
{
    struct cpus now = {0};
    if (!bound.is)
        return;
    bound.is = false;
    if (syscall(SYS_sched_getaffinity, 0, sizeof now, &now) < 0)
        return;
    now.word[bound.cpu / 64] ^= 1ul << bound.cpu % 64;
    for (u32 i = 0; i < ARRAY_LEN(now.word); i++)
        if (now.word[i])
            return;
    syscall(SYS_sched_setaffinity, 0, sizeof bound.before, &bound.before);
}

/* Did others have the CPU for more than an eighth of the time? */
static bool others_want_it(u64 passed_ns)
{
    u64 used = clock_now_ns(CLOCK_THREAD_CPUTIME_ID) - bound.used_ns + bound.children_ns;
    return used < passed_ns - passed_ns / 8;
}

/* Before the process goes on. */
static void bind_both(struct direct_process *p)
{
    u64 now = monotonic_ns();
    bool old = bound.is && now - bound.since_ns > BOUND_NS;
    if (old && (others_want_it(now - bound.since_ns) || sched_getcpu() != bound.cpu)) {
        unbind(); /* for one turn, behind which the scheduler finds another CPU for the thread if one is idle */
        return;
    }
    if (!bound.is) {
        bound.before = (struct cpus){0};
        bound.cpu = sched_getcpu();
        bound.is = syscall(SYS_sched_getaffinity, 0, sizeof bound.before, &bound.before) > 0 && bind_to(0, bound.cpu);
        old = true;
    }
    if (old) {
        bound.since_ns = now;
        bound.used_ns = clock_now_ns(CLOCK_THREAD_CPUTIME_ID);
        bound.children_ns = 0;
    }
    if (bound.is && p->cpu != bound.cpu && bind_to(p->pid, bound.cpu))
        p->cpu = bound.cpu;
}

/* Waits until it stops. Returns the status; 0: it is dead. */
int direct_stopped(struct direct_process *p)
{
    int status;
    struct rusage use;
    while (syscall(SYS_wait4, p->pid, &status, __WALL, &use) < 0) /* libc's would be a place to cancel the thread at */
        if (errno != EINTR) {
            p->pid = 0;
            return 0;
        }
    if (WIFSTOPPED(status)) {
        u64 used = ((u64)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000 +
                    (u64)(use.ru_utime.tv_usec + use.ru_stime.tv_usec)) *
                   1000;
        bound.children_ns += used - p->used_ns;
        p->used_ns = used;
        return status;
    }
    p->pid = 0;
    return 0;
}

/* -- having it make system calls -- */

/* Signals that the processor causes: the page's code is broken. Others come from a terminal, or who knows whom. */
static bool is_fault(int number)
{
    return number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGFPE || number == SIGSYS;
}

/* Runs the page's code from `rip` on until it stops by itself. */
bool direct_stub_run(struct direct_process *p, struct user_regs_struct *r)
{
    p->loaded = false;
    if (ptrace(PTRACE_SETREGS, p->pid, 0, r))
        return false;
    bind_both(p);
    for (;;) {
        if (ptrace(PTRACE_CONT, p->pid, 0, 0))
            return false;
        int status = direct_stopped(p);
        if (!status)
            return false;
        if (WSTOPSIG(status) == SIGTRAP)
            break;
        if (is_fault(WSTOPSIG(status)))
            return false;
    }
    return !ptrace(PTRACE_GETREGS, p->pid, 0, r);
}

/* Where `at` of the page's code is in the process. */
static u64 stub_code(const struct direct_process *p, const u8 *at)
{
    return p->stub + offsetof(struct program, code) + (u64)(at - direct_stub);
}

/* Registers to run the page's code from `at` on. */
static struct user_regs_struct stub_regs(const struct direct_process *p, const u8 *at)
{
    struct user_regs_struct r = p->regs;
    r.rip = stub_code(p, at);
    r.orig_rax = ~0ull;
    r.eflags = FLAG_IF | FLAG_ONE;
    r.cs = CS_64;
    r.ss = SS_USER;
    return r;
}

/* In *r: by what the page's code executes `count` requests of the list. Then it goes on with the registers at `resume`;
 * 0: it stops. */
static void list_regs(const struct direct_process *p, struct user_regs_struct *r, u32 count, u64 resume)
{
    r->rip = stub_code(p, direct_stub);
    r->cs = CS_64;
    r->ss = SS_USER;
    r->rbx = p->stub + PAGE_SIZE;
    r->r12 = count;
    r->r13 = p->secret[0];
    r->r14 = p->secret[1];
    r->r15 = resume;
}

/* Has it execute the first `count` requests of the list. Returns how many had the result that was expected; *result is
 * the last one's. */
u32 direct_list_run(struct direct_process *p, u32 count, u64 *result)
{
    struct user_regs_struct r = stub_regs(p, direct_stub);
    list_regs(p, &r, count, 0);
    if (!direct_stub_run(p, &r))
        return 0;
    *result = r.rax;
    return count - (u32)r.r12;
}

/* Executes what waits of the list by itself, which shows what it takes. */
static bool list_finish(struct direct_process *p)
{
    u32 count = p->waiting;
    u64 result, from = p->used_ns;
    p->waiting = 0;
    if (!count)
        return true;
    if (direct_list_run(p, count, &result) != count)
        return false;
    u64 each = (p->used_ns - from) / count;
    p->request_ns = p->request_ns ? (p->request_ns * 7 + each) / 8 : each;
    return true;
}

/* ptrace leaves RFLAGS.ID as the code has it: this gives it the value of `flags`. */
static bool id_load(struct direct_process *p, u64 flags)
{
    struct user_regs_struct r = stub_regs(p, direct_stub_popf);
    r.rsp = p->stub + PAGE_SIZE;
    p->list[0].number = FLAG_IF | FLAG_ONE | (flags & FLAG_ID);
    if (!direct_stub_run(p, &r))
        return false;
    p->regs.eflags = r.eflags;
    return true;
}

static bool list_call(struct direct_process *p, struct request q)
{
    u64 result;
    p->list[0] = q;
    return direct_list_run(p, 1, &result) == 1;
}

static void destroy(struct direct_process *p)
{
    if (p->pid) {
        kill(p->pid, SIGKILL);
        while (p->pid)
            direct_stopped(p);
    }
    if (p->list)
        munmap(p->list, (STUB_PAGES - 1) * PAGE_SIZE);
    free(p);
}

static int create(struct direct_host *h, u32 index, struct direct_process **out)
{
    struct direct_process *p = aligned_alloc(64, (sizeof(*p) + 63) & ~63ul);
    if (!p)
        return -ENOMEM;
    memset(p, 0, offsetof(struct direct_process, vectors));
    p->host = h;
    p->index = index;
    p->fd = -1;
    p->cpu = -1;
    p->tracer = me();
    p->host_filter = prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 0;
    pthread_mutex_lock(&h->lock);
    p->files = h->files;
    int e = direct_start(p);
    pthread_mutex_unlock(&h->lock);
    if (!e)
        e = direct_settle_in(p);
    if (e)
        destroy(p);
    else
        *out = p;
    return e;
}

static struct direct_process *process_create(void *opaque, u32 index)
{
    struct direct_process *p = NULL;
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    int e = create(opaque, index, &p);
    pthread_setcancelstate(state, &state);
    return e ? NULL : p;
}

/* -- what it has mapped -- */

/* Moves the page away from [la, la + size). */
static bool stub_move(struct direct_process *p, u64 la, u64 size)
{
    u64 old = p->stub, to;
    do
        to = direct_stub_place();
    while (to + STUB_PAGES * PAGE_SIZE > la && to < la + size);
    p->list[0] = direct_request(SYS_mmap, to, STUB_PAGES * PAGE_SIZE, PROT_READ | PROT_EXEC,
                                MAP_SHARED | MAP_FIXED | MAP_POPULATE, STUB_FD, 0);
    p->list[0].expected = to;
    u64 result;
    if (direct_list_run(p, 1, &result) != 1)
        return false;
    p->stub = to;
    return list_call(p, direct_request(SYS_munmap, old, STUB_PAGES * PAGE_SIZE, 0, 0, 0, 0));
}

static struct request change_request(const struct direct_change *c)
{
    if (!c->rights)
        return direct_request(SYS_munmap, c->la, c->size, 0, 0, 0, 0);
    int rights = (c->rights & DIRECT_READ ? PROT_READ : 0) | (c->rights & DIRECT_WRITE ? PROT_WRITE : 0) |
                 (c->rights & DIRECT_FETCH ? PROT_EXEC : 0);
    struct request q = direct_request(SYS_mmap, c->la, c->size, (u64)rights, MAP_SHARED | MAP_FIXED | MAP_POPULATE,
                                      STUB_FD + 1 + c->file, c->offset);
    q.expected = c->la;
    return q;
}

#define LISTS_ALONE 16 /* of so many one is executed by itself, for its cost */
static bool change_all(struct direct_process *p, const struct direct_change *c, u32 count)
{
    if (!p->pid || p->tracer != me() || !list_finish(p))
        return false;
    for (u32 i = 0; i < count; i++) {
        if (c[i].rights && c[i].file >= p->files)
            return false;
        if (c[i].la < p->stub + STUB_PAGES * PAGE_SIZE && p->stub < c[i].la + c[i].size &&
            !stub_move(p, c[i].la, c[i].size))
            return false;
    }
    for (u32 i = 0; i < count; i++)
        p->list[i] = change_request(&c[i]);
    p->waiting = count;
    return (p->lists++ % LISTS_ALONE && !p->host_filter) || list_finish(p);
}

/* -- guest code -- */

static void regs_to(struct user_regs_struct *u, const struct direct_regs *r)
{
    const u64 *g = r->gpr;
    u->rax = g[0], u->rcx = g[1], u->rdx = g[2], u->rbx = g[3], u->rsp = g[4], u->rbp = g[5], u->rsi = g[6];
    u->rdi = g[7], u->r8 = g[8], u->r9 = g[9], u->r10 = g[10], u->r11 = g[11], u->r12 = g[12], u->r13 = g[13];
    u->r14 = g[14], u->r15 = g[15];
    u->rip = r->rip, u->eflags = r->flags & ~FLAG_RF, u->fs_base = r->fs_base, u->gs_base = r->gs_base;
    u->cs = r->cs, u->ss = r->ss, u->ds = r->ds, u->es = r->es, u->fs = r->fs, u->gs = r->gs;
    u->orig_rax = ~0ull;
}

static void regs_from(struct direct_regs *r, const struct user_regs_struct *u)
{
    u64 *g = r->gpr;
    g[0] = u->rax, g[1] = u->rcx, g[2] = u->rdx, g[3] = u->rbx, g[4] = u->rsp, g[5] = u->rbp, g[6] = u->rsi;
    g[7] = u->rdi, g[8] = u->r8, g[9] = u->r9, g[10] = u->r10, g[11] = u->r11, g[12] = u->r12, g[13] = u->r13;
    g[14] = u->r14, g[15] = u->r15;
    r->rip = u->rip, r->flags = u->eflags, r->fs_base = u->fs_base, r->gs_base = u->gs_base;
    r->cs = (u16)u->cs, r->ss = (u16)u->ss, r->ds = (u16)u->ds, r->es = (u16)u->es;
    r->fs = (u16)u->fs, r->gs = (u16)u->gs;
}

#define VSYSCALL_PAGE (0xffffffffff600000ull >> PAGE_SHIFT)

/* A signal that the processor caused. */
static enum direct_stop signal_stop(struct direct_process *p, int number, struct direct_regs *r, u64 *la)
{
    siginfo_t i;
    if (number == KICK)
        return DIRECT_KICKED;
    if (ptrace(PTRACE_GETSIGINFO, p->pid, 0, &i))
        return DIRECT_LOST;
    if (number == SIGSYS && i.si_code <= 0 && p->regs.orig_rax != ~0ull) /* the kernel had no memory to say so */
        return DIRECT_SYSCALL;
    if (i.si_code <= 0) /* somebody sent it */
        return DIRECT_KICKED;
    switch (number) {
    case SIGSEGV:
        *la = (u64)i.si_addr;
        return i.si_code == SEGV_MAPERR || i.si_code == SEGV_ACCERR ? DIRECT_PAGE_FAULT : DIRECT_FAULT;
    case SIGTRAP:
        if (i.si_code == TRAP_HWBKPT)
            return DIRECT_TRAPPED;
        return i.si_code == SI_KERNEL ? DIRECT_BREAKPOINT : i.si_code == TRAP_TRACE ? DIRECT_STEPPED : DIRECT_INT1;
    case SIGSYS:
        if ((u64)i.si_call_addr >> PAGE_SHIFT != VSYSCALL_PAGE)
            return DIRECT_SYSCALL;
        /* After a call of the vsyscall page the kernel has returned from it. */
        r->rip = (u64)i.si_call_addr;
        r->gpr[4] -= 8;
        return DIRECT_FAULT;
    case SIGBUS:
    case SIGILL:
    case SIGFPE: return DIRECT_FAULT;
    default: return DIRECT_KICKED;
    }
}

static struct resume *resume_of(const struct direct_process *p)
{
    return (struct resume *)(p->list + DIRECT_CHANGES);
}

/* Guest code goes on with these behind the list. */
static void resume_set(struct direct_process *p, const struct direct_regs *r)
{
    struct resume *resume = resume_of(p);
    memcpy(resume->gpr, r->gpr, sizeof resume->gpr);
    resume->rip = r->rip;
}

/* The next process of the guest may have these page tables, and guest code can read them there. */
static void resume_forget(struct direct_process *p)
{
    memset(resume_of(p), 0, sizeof(struct resume));
}

/*
 * The process has stopped by a signal in a turn that began with the list. Was that before guest code went on? Then, if
 * the list has not failed, the rest of it is executed, and *stop is what to return: guest code has done nothing.
 */
static bool stopped_in_list(struct direct_process *p, u32 count, int signal, enum direct_stop *stop)
{
    struct user_regs_struct s = p->regs;
    u64 at = s.rip - stub_code(p, direct_stub);
    if (at >= (u64)(direct_stub_popf - direct_stub))
        return false;
    const u64 *gpr = resume_of(p)->gpr;
    bool secret = s.r13 == p->secret[0] && s.r14 == p->secret[1];
    bool going = at >= (u64)(direct_stub_go - direct_stub);
    if (going ? s.r12 != gpr[12] || s.r13 != gpr[13] : !secret)
        return false; /* guest code has jumped here */
    *stop = DIRECT_KICKED;
    if (at >= (u64)(direct_stub_load - direct_stub) || !s.r12)
        return true; /* the list is done */
    s.r15 = 0;
    s.orig_rax = ~0ull;
    if (signal == SIGTRAP || s.r12 > count || !direct_stub_run(p, &s) || s.r12)
        *stop = DIRECT_UNFIT;
    return true;
}

static enum direct_stop run(struct direct_process *p, struct direct_regs *r, const u64 *request_word, u64 *la)
{
    struct user_regs_struct u = p->regs;
    u32 *running = &p->host->running[p->index];
    if (!p->pid || p->tracer != me())
        return DIRECT_UNFIT;
    bool id = (p->regs.eflags ^ r->flags) & FLAG_ID;
    /* The page's code is 64-bit code, and no step of the guest's. */
    if (unlikely(id || r->flags & FLAG_TF || r->cs != CS_64) && !list_finish(p))
        return DIRECT_UNFIT;
    if (unlikely(id) && !id_load(p, r->flags))
        return DIRECT_UNFIT;
    u32 listed = p->waiting;
    regs_to(&u, r);
    if (listed) {
        resume_set(p, r);
        list_regs(p, &u, listed, p->stub + PAGE_SIZE + DIRECT_CHANGES * sizeof(struct request));
    }
    if ((!p->loaded || listed || memcmp(&u, &p->regs, sizeof u)) && ptrace(PTRACE_SETREGS, p->pid, 0, &u))
        return DIRECT_UNFIT;
    p->loaded = false;
    bind_both(p);
    __atomic_store_n(running, (u32)p->pid, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(request_word, __ATOMIC_SEQ_CST)) {
        __atomic_store_n(running, 0, __ATOMIC_SEQ_CST);
        if (listed)
            resume_forget(p);
        return DIRECT_KICKED;
    }
    p->waiting = 0;
    p->requests_ns += listed * p->request_ns;
    if (ptrace(listed ? PTRACE_CONT : PTRACE_SYSEMU, p->pid, 0, 0)) { /* it died before it began */
        __atomic_store_n(running, 0, __ATOMIC_SEQ_CST);
        return DIRECT_UNFIT;
    }
    int status = direct_stopped(p);
    __atomic_store_n(running, 0, __ATOMIC_SEQ_CST);
    if (!status || ptrace(PTRACE_GETREGS, p->pid, 0, &p->regs))
        return DIRECT_LOST;
    enum direct_stop stop;
    bool before = listed && stopped_in_list(p, listed, WSTOPSIG(status), &stop);
    if (listed)
        resume_forget(p);
    if (before)
        return stop;
    regs_from(r, &p->regs);
    if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
        r->gpr[0] = p->regs.orig_rax;
        return DIRECT_SYSCALL;
    }
    p->loaded = p->regs.orig_rax == ~0ull;
    return signal_stop(p, WSTOPSIG(status), r, la);
}

KEEPS_VECTORS void direct_kick(struct direct_host *h, u32 index)
{
    pid_t pid = (pid_t)__atomic_load_n(&h->running[index], __ATOMIC_SEQ_CST);
    if (pid)
        syscall(SYS_tgkill, pid, pid, KICK);
}

/* -- vector state -- */

/* Bytes of an image that are the state itself: not those that the kernel uses, behind the registers of FXSAVE. */
#define FXSAVE_END 416

static bool vectors_get(struct direct_process *p, void *image, u64 size)
{
    struct iovec v = {p->vectors, sizeof p->vectors};
    if (!p->pid || ptrace(PTRACE_GETREGSET, p->pid, NT_X86_XSTATE, &v))
        return false;
    u64 end = v.iov_len < size ? v.iov_len : size;
    memcpy(image, p->vectors, FXSAVE_END);
    memcpy((u8 *)image + XSTATE_BV, p->vectors + XSTATE_BV, (end < VECTORS_OURS ? end : VECTORS_OURS) - XSTATE_BV);
    return true;
}

static bool vectors_set(struct direct_process *p, void *image, u64 size)
{
    const u64 ours = XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512;
    u64 others, in_use;
    u64 end = p->vectors_size < VECTORS_OURS ? p->vectors_size : VECTORS_OURS;
    memcpy(&others, p->vectors + XSTATE_BV, 8);
    memcpy(p->vectors, image, FXSAVE_END);
    memcpy(p->vectors + XSTATE_BV, (u8 *)image + XSTATE_BV, end - XSTATE_BV);
    memcpy(&in_use, p->vectors + XSTATE_BV, 8);
    in_use = (in_use & ours) | (others & ~ours);
    memcpy(p->vectors + XSTATE_BV, &in_use, 8);
    memset(p->vectors + XCOMP_BV, 0, 8);
    struct iovec v = {p->vectors, p->vectors_size};
    return p->pid && !ptrace(PTRACE_SETREGSET, p->pid, NT_X86_XSTATE, &v);
}

/* -- breakpoints of the host's CPU -- */

#define DR(n) offsetof(struct user, u_debugreg[n])

/* Does the process stop at a breakpoint on the page's POPF? Not every host that sets them has them. */
static bool traps_work(struct direct_process *p)
{
    struct user_regs_struct r = stub_regs(p, direct_stub_popf);
    u64 at = r.rip;
    r.rsp = p->stub + PAGE_SIZE;
    p->list[0].number = FLAG_IF | FLAG_ONE;
    return !ptrace(PTRACE_POKEUSER, p->pid, DR(0), at) && !ptrace(PTRACE_POKEUSER, p->pid, DR(7), 1ul) &&
           direct_stub_run(p, &r) && r.rip == at;
}

static bool traps(struct direct_process *p, const u64 *la)
{
    u64 enabled = 0;
    if (!p->pid || p->tracer != me() || !list_finish(p))
        return false;
    p->traps_known = p->traps_known || traps_work(p);
    if (!p->traps_known || ptrace(PTRACE_POKEUSER, p->pid, DR(7), 0ul))
        return false;
    for (u32 i = 0; i < DIRECT_TRAPS; i++) {
        if (!la[i])
            continue;
        if (ptrace(PTRACE_POKEUSER, p->pid, DR(i), la[i]))
            return false;
        enabled |= 1ull << i * 2; /* of one byte, when it is executed */
    }
    return !enabled || !ptrace(PTRACE_POKEUSER, p->pid, DR(7), enabled);
}

static bool tsc(struct direct_process *p, bool faults)
{
    int how = faults ? PR_TSC_SIGSEGV : PR_TSC_ENABLE;
    return p->pid && p->tracer == me() && list_finish(p) &&
           list_call(p, direct_request(SYS_prctl, PR_SET_TSC, (u64)how, 0, 0, 0, 0));
}

static u64 used(const struct direct_process *p, u64 *changes)
{
    *changes = p->requests_ns;
    return p->used_ns - p->requests_ns;
}

KEEPS_VECTORS static void stop(void *opaque, u32 index)
{
    direct_kick(opaque, index);
}

void direct_host_init(struct direct_host *h)
{
    pthread_mutex_init(&h->lock, NULL);
    h->ops = (struct cpu_direct_host){.opaque = h,
                                      .create = process_create,
                                      .destroy = destroy,
                                      .change = change_all,
                                      .traps = traps,
                                      .tsc = tsc,
                                      .run = run,
                                      .used = used,
                                      .rest = unbind,
                                      .stop = stop,
                                      .vectors_get = vectors_get,
                                      .vectors_set = vectors_set,
                                      .file = direct_file,
                                      .files_forget = direct_files_forget,
                                      .low = DIRECT_LOW,
                                      .high = DIRECT_HIGH};
}

/* -- may we? -- */

int direct_probe(struct error *error)
{
    struct direct_host h = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct direct_process *p = NULL;
    int e = create(&h, 0, &p);
    if (e)
        return error_set(error, e,
                         "no process can be made that executes guest code (%s): tracing, the filter of system "
                         "calls or programs in memory are forbidden here",
                         strerror(-e));
    /* At an address that is not mapped. */
    struct direct_regs r = {.rip = 0x20000, .flags = 0x202, .cs = 0x33, .ss = 0x2b};
    u64 none = 0, la = 0;
    enum direct_stop stop = run(p, &r, &none, &la);
    destroy(p);
    if (stop != DIRECT_PAGE_FAULT || la != 0x20000)
        return error_set(error, -EIO, "a process that executes guest code does not stop as it should (%d)", (int)stop);
    return 0;
}
