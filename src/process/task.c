/*
 * Runs a program in a process group of its own, so that a signal reaches all that it started, and exactly once: ours is
 * taken by a descriptor and passed on. If we are killed, the program is ended by its kernel.
 */
#include "process/task.h"

#include "process/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_BYTES 1024
#define END_MS 20000 /* for the program to clean up after a signal */
#define OUTPUT_MAX (16u << 20)

struct run {
    const struct task *task;
    pid_t pid;
    int lines, signals, ended; /* descriptors: what it prints, our signals, its end */
    bool cancelled;
    char line[LINE_BYTES], last[LINE_BYTES];
    size_t used;
};

/* -- the new process -- */

static _Noreturn void become(const struct task *task, int output, int lines, pid_t parent)
{
    sigset_t none;
    int null = open("/dev/null", O_RDWR);
    sigemptyset(&none);
    setpgid(0, 0);
    /* Without root the builder of images is in a namespace whose first process heeds nothing else. */
    if (prctl(PR_SET_PDEATHSIG, geteuid() == 0 ? SIGTERM : SIGKILL) == 0 && getppid() == parent && dup2(null, 0) == 0 &&
        dup2(output >= 0 ? output : lines, 1) == 1 && dup2(lines, 2) == 2) {
        close_range(3, ~0u, 0);
        for (int i = 1; i < 32; i++)
            if (i != SIGKILL && i != SIGSTOP)
                signal(i, SIG_DFL);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execvp(task->argv[0], (char *const *)(uintptr_t)task->argv);
    }
    _exit(errno == ENOENT ? 127 : 126);
}

/* -- what it prints -- */

static void end_line(struct run *run)
{
    run->line[run->used] = 0;
    if (run->used) {
        memcpy(run->last, run->line, run->used + 1);
        if (run->task->line)
            run->task->line(run->task, run->line);
    }
    run->used = 0;
}

/* Returns false at its end, or when there is nothing for now. */
static bool take_lines(struct run *run)
{
    char bytes[4096];
    ssize_t n = read(run->lines, bytes, sizeof(bytes));
    if (n < 0 && errno == EINTR)
        return true;
    for (ssize_t i = 0; i < n; i++) {
        if (bytes[i] == '\n' || bytes[i] == '\r')
            end_line(run);
        else if (run->used < LINE_BYTES - 1)
            run->line[run->used++] = bytes[i];
    }
    return n > 0;
}

/* -- its life -- */

static void cancel(struct run *run)
{
    struct signalfd_siginfo taken;
    if (read(run->signals, &taken, sizeof(taken)) != sizeof(taken))
        return;
    kill(-run->pid, SIGTERM);
    run->cancelled = true;
}

static int wait_for_end(struct run *run)
{
    int status = 0;
    struct pollfd fds[] = {{.fd = run->ended, .events = POLLIN},
                           {.fd = run->lines, .events = POLLIN},
                           {.fd = run->signals, .events = POLLIN}};
    for (;;) {
        int n = poll(fds, ARRAY_LEN(fds), run->cancelled ? END_MS : -1);
        if (n == 0)
            kill(-run->pid, SIGKILL);
        if (n > 0 && fds[1].revents && !take_lines(run))
            fds[1].fd = -1;
        if (n > 0 && fds[2].revents)
            cancel(run);
        if (n > 0 && fds[0].revents)
            break;
    }
    while (take_lines(run))
        ;
    end_line(run);
    while (waitpid(run->pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

static int missing(const struct task *task, struct error *error)
{
    char hint[sizeof(error->hint)];
    error_set(error, -ENOENT, "the program %s is not installed", task->argv[0]);
    snprintf(hint, sizeof(hint), "as root: apt-get install %s", task->package);
    return error_hint(error, hint);
}

static int verdict(const struct run *run, int status, struct error *error)
{
    const char *name = run->task->name ? run->task->name : run->task->argv[0];
    if (run->cancelled && status)
        return error_set(error, -ECANCELED, "%s was cancelled; nothing is left of it", name);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127 && !run->last[0])
        return missing(run->task, error);
    if (WIFSIGNALED(status))
        return error_set(error, -EIO, "%s was ended by signal %d%s%.200s", name, WTERMSIG(status),
                         run->last[0] ? ": " : "", run->last);
    if (status)
        return error_set(error, -EIO, "%s failed%s%.240s", name, run->last[0] ? ": " : "", run->last);
    return error_begin(error, 0);
}

static int start(struct run *run, int output, struct error *error)
{
    int ends[2];
    pid_t parent = getpid();
    if (pipe2(ends, O_CLOEXEC))
        return error_set(error, -errno, "%s: %s", run->task->argv[0], strerror(errno));
    run->pid = fork();
    if (run->pid == 0)
        become(run->task, output, ends[1], parent);
    int e = run->pid < 0 ? -errno : 0;
    close(ends[1]);
    run->lines = ends[0];
    if (e)
        return error_set(error, e, "%s cannot be started: %s", run->task->argv[0], strerror(-e));
    setpgid(run->pid, run->pid);
    fcntl(run->lines, F_SETFL, O_NONBLOCK);
    run->ended = (int)syscall(SYS_pidfd_open, run->pid, 0);
    return 0;
}

static const sigset_t *ending(void)
{
    static sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    return &set;
}

void task_hold_signals(sigset_t *before)
{
    sigprocmask(SIG_BLOCK, ending(), before);
}

void task_release_signals(const sigset_t *before)
{
    sigprocmask(SIG_SETMASK, before, NULL);
}

int task_cancelled(struct error *error)
{
    static const struct timespec now;
    return sigtimedwait(ending(), NULL, &now) < 0 ? 0 : error_set(error, -ECANCELED, "cancelled");
}

void task_end_signals(const sigset_t *before, int e)
{
    static const struct timespec now;
    while (!e && sigtimedwait(ending(), NULL, &now) >= 0)
        ;
    task_release_signals(before);
}

int task_run(const struct task *task, struct error *error)
{
    struct run run = {.task = task, .pid = -1, .lines = -1, .signals = -1, .ended = -1};
    int output = task->output ? memfd_create("output", MFD_CLOEXEC) : -1;
    sigset_t before;
    task_hold_signals(&before);
    run.signals = signalfd(-1, ending(), SFD_CLOEXEC | SFD_NONBLOCK);
    int e = task->output && output < 0 ? error_set(error, -errno, "no memory for what %s prints", task->argv[0])
                                       : start(&run, output, error);
    if (!e)
        e = verdict(&run, wait_for_end(&run), error);
    if (!e && task->output && !(*task->output = program_text(output, OUTPUT_MAX)))
        e = error_set(error, -ENOMEM, "no memory for what %s prints", task->argv[0]);
    for (unsigned i = 0; i < 4; i++)
        if ((int[]){run.lines, run.signals, run.ended, output}[i] >= 0)
            close((int[]){run.lines, run.signals, run.ended, output}[i]);
    task_release_signals(&before);
    return e;
}
