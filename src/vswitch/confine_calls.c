/*
 * A filter of system calls (seccomp(2)), as a table. What is often called comes first, for kernels that go through the
 * filter at each call; those since 5.11 remember what is allowed whatever the arguments are.
 */
#include "vswitch/confine_calls.h"

#include "process/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define PER_RULE 6u
#define BEFORE 5u
#define DOMAINS_MAX 8u

/* clang-format off */
static const u16 calls[] = {
    /* frames */
    SYS_recvfrom, SYS_sendmsg, SYS_epoll_wait, SYS_read, SYS_write, SYS_clock_gettime, SYS_timerfd_settime,
    SYS_epoll_ctl, SYS_sendto, SYS_recvmsg, SYS_sendmmsg, SYS_recvmmsg, SYS_readv, SYS_writev, SYS_epoll_pwait,
    /* threads and memory; for mmap, mprotect and clone see below */
    SYS_futex, SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk, SYS_set_robust_list, SYS_rseq, SYS_gettid, SYS_sched_yield,
    SYS_sched_getaffinity, SYS_sched_getscheduler, SYS_membarrier, SYS_exit, SYS_exit_group, SYS_restart_syscall,
    /* signals; tgkill is abort's */
    SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack, SYS_tgkill,
    /* sockets; for socket see below */
    SYS_connect, SYS_accept, SYS_accept4, SYS_bind, SYS_listen, SYS_getsockname, SYS_getpeername, SYS_setsockopt,
    SYS_getsockopt, SYS_shutdown, SYS_socketpair,
    /* descriptors */
    SYS_close, SYS_close_range, SYS_fcntl, SYS_dup, SYS_dup2, SYS_dup3, SYS_pipe2, SYS_ioctl, SYS_poll, SYS_ppoll,
    SYS_select, SYS_pselect6, SYS_epoll_create1, SYS_eventfd2, SYS_timerfd_create, SYS_inotify_init1,
    SYS_inotify_add_watch, SYS_inotify_rm_watch,
    /* files, which Landlock limits */
    SYS_open, SYS_openat, SYS_pread64, SYS_pwrite64, SYS_lseek, SYS_fstat, SYS_stat, SYS_lstat, SYS_newfstatat,
    SYS_statx, SYS_statfs, SYS_fstatfs, SYS_access, SYS_faccessat, SYS_faccessat2, SYS_getdents64, SYS_mkdir,
    SYS_mkdirat, SYS_unlink, SYS_unlinkat, SYS_rmdir, SYS_rename, SYS_renameat, SYS_renameat2, SYS_fsync,
    SYS_fdatasync, SYS_ftruncate, SYS_fchmod, SYS_readlink, SYS_readlinkat, SYS_getcwd, SYS_umask, SYS_flock,
    /* the rest */
    SYS_nanosleep, SYS_clock_nanosleep, SYS_clock_getres, SYS_gettimeofday, SYS_time, SYS_getrandom, SYS_getpid,
    SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_uname, SYS_sysinfo, SYS_prlimit64, SYS_getrlimit,
    SYS_setrlimit, SYS_getrusage,
};

/* Allowed if an argument, masked, has the value. */
static const struct rule {
    u16 call;
    u8 argument;
    u32 mask, value;
} rules[] = {
    {SYS_mmap, 2, PROT_EXEC, 0},
    {SYS_mprotect, 2, PROT_EXEC, 0},
    {SYS_sched_setscheduler, 1, ~0u, SCHED_OTHER}, /* batch.h */
    {SYS_sched_setscheduler, 1, ~0u, SCHED_BATCH},
    {SYS_clone, 0, CLONE_THREAD, CLONE_THREAD}, /* threads, but no processes */
};
/* clang-format on */

struct filter {
    struct sock_filter step[BEFORE + 2 * ARRAY_LEN(calls) + PER_RULE * (ARRAY_LEN(rules) + DOMAINS_MAX) + 3];
    u32 steps;
};

static void step(struct filter *f, u32 code, u32 value, u8 if_true, u8 if_false)
{
    f->step[f->steps++] = (struct sock_filter){(u16)code, if_true, if_false, value};
}

static void load(struct filter *f, size_t offset)
{
    step(f, BPF_LD | BPF_W | BPF_ABS, (u32)offset, 0, 0);
}

static void finish(struct filter *f, u32 what)
{
    step(f, BPF_RET | BPF_K, what, 0, 0);
}

static void add_rule(struct filter *f, const struct rule *r)
{
    step(f, BPF_JMP | BPF_JEQ | BPF_K, r->call, 0, PER_RULE - 1);
    load(f, offsetof(struct seccomp_data, args) + r->argument * sizeof(u64)); /* the lower half */
    step(f, BPF_ALU | BPF_AND | BPF_K, r->mask, 0, 0);
    step(f, BPF_JMP | BPF_JEQ | BPF_K, r->value, 0, 1);
    finish(f, SECCOMP_RET_ALLOW);
    load(f, offsetof(struct seccomp_data, nr));
}

static void make(struct filter *f, const int *domains)
{
    load(f, offsetof(struct seccomp_data, arch));
    step(f, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    finish(f, SECCOMP_RET_KILL_PROCESS);
    load(f, offsetof(struct seccomp_data, nr));
    for (u32 i = 0; i < ARRAY_LEN(calls); i++) {
        step(f, BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
        finish(f, SECCOMP_RET_ALLOW);
    }
    for (u32 i = 0; i < ARRAY_LEN(rules); i++)
        add_rule(f, &rules[i]);
    for (u32 i = 0; domains[i] && i < DOMAINS_MAX; i++)
        add_rule(f, &(struct rule){SYS_socket, 0, ~0u, (u32)domains[i]});
    /* Its flags are in memory, where the filter cannot look. libc goes on with clone then. */
    step(f, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1);
    finish(f, SECCOMP_RET_ERRNO | ENOSYS);
    finish(f, SECCOMP_RET_ERRNO | EPERM);
}

int confine_calls(const int *domains)
{
    struct filter f = {.steps = 0};
    if (confine_has_sanitizer())
        return -ENOTSUP;
    make(&f, domains);
    struct sock_fprog program = {(unsigned short)f.steps, f.step};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) ? -errno : 0;
}
