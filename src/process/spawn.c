/*
 * Processes that live on by themselves: see spawn.h.
 */
#include "process/spawn.h"

#include "base/monotonic.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_NS 20000000000ull /* nftables, dnsmasq and a busy host may take their time */
#define PROGRAM "/proc/self/exe"
#define READY "NESTBOX_READY"
#define LOG_MAX (1 << 20)

/* In the child: becomes the process, which belongs to no terminal. Errors go to `ready`. */
static void become(const char *const *argv, const char *home, const char *log, const struct ask_peer *peer, int ready)
{
    char number[16];
    struct error error;
    struct stat st;
    int null = open("/dev/null", O_RDWR);
    int out =
        open(log, O_WRONLY | O_CREAT | O_APPEND | (stat(log, &st) == 0 && st.st_size > LOG_MAX ? O_TRUNC : 0), 0600);
    umask(077);
    if (null >= 0 && out >= 0 && dup2(null, 0) == 0 && dup2(out, 1) == 1 && dup2(out, 2) == 2 && chdir("/") == 0) {
        ready = fcntl(ready, F_DUPFD, 3); /* without close-on-exec */
        if (ready > 3)
            close_range(3, (unsigned)ready - 1, 0);
        close_range((unsigned)ready + 1, ~0u, 0);
        if (getenv("NESTBOX_HOME"))
            setenv("NESTBOX_HOME", home, 1); /* it may be relative to a folder that we leave */
        snprintf(number, sizeof(number), "%d", ready);
        setenv(READY, number, 1);
        execv(PROGRAM, (char *const *)(uintptr_t)argv);
    }
    error_set(&error, -errno, "%s: cannot start its process: %s", peer->name, strerror(errno));
    (void)!write(ready, &error, sizeof(error));
    _exit(1);
}

/* Starts it as a grandchild, so that it is nobody's child that anyone here would have to wait for. */
static int start(const char *const *argv, const char *home, const char *log, const struct ask_peer *peer, int *ready,
                 struct error *error)
{
    int pipe_fd[2], status;
    if (pipe2(pipe_fd, O_CLOEXEC))
        return error_set(error, -errno, "cannot make a pipe: %s", strerror(errno));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        setsid();
        pid_t process = fork();
        if (process == 0)
            become(argv, home, log, peer, pipe_fd[1]);
        _exit(process < 0);
    }
    close(pipe_fd[1]);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        *ready = pipe_fd[0];
        return 0;
    }
    close(pipe_fd[0]);
    return error_set(error, -EAGAIN, "%s: cannot start its process: the host gives no more processes", peer->name);
}

static int hear(const char *log, const struct ask_peer *peer, int ready, struct error *error)
{
    struct error told;
    char hint[sizeof(error->hint)];
    if (!ask_wait(ready, POLLIN, monotonic_ns() + START_NS))
        return ask_no_answer(peer, error);
    if (read(ready, &told, sizeof(told)) != sizeof(told)) {
        error_set(error, -EPIPE, "%s: its process ended while it started", peer->name);
        snprintf(hint, sizeof(hint), "its log is %.110s", log);
        return error_hint(error, hint);
    }
    told.text[sizeof(told.text) - 1] = told.hint[sizeof(told.hint) - 1] = 0;
    if (told.code)
        *error = told;
    return told.code;
}

int spawn_self(const char *const *argv, const char *home, const char *log, const struct ask_peer *peer,
               struct error *error)
{
    int ready = -1, e = start(argv, home, log, peer, &ready, error);
    if (e)
        return e;
    e = hear(log, peer, ready, error);
    close(ready);
    return e;
}

int spawn_ready(void)
{
    const char *number = getenv(READY);
    int ready = number ? atoi(number) : -1;
    unsetenv(READY);
    if (ready < 3 || fcntl(ready, F_SETFD, FD_CLOEXEC) < 0)
        return -1;
    return ready;
}

void spawn_report(int ready, const struct error *error)
{
    if (ready < 0)
        return;
    (void)!write(ready, error, sizeof(*error));
    close(ready);
}

/* In the new process, between fork and exec: only what signal handlers may call, too. */
static void become_program(const char *const *argv, int log, const int *pass)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    sigset_t none;
    setsid();
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    if (null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
        return;
    for (; pass && *pass >= 0; pass++)
        if (fcntl(*pass, F_SETFD, 0) < 0)
            return;
    for (int i = 1; i < 32; i++)
        if (i != SIGKILL && i != SIGSTOP)
            signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(argv[0], (char *const *)(uintptr_t)argv);
}

pid_t spawn_program(const char *const *argv, int log, const int *pass, int *gate, void (*enter)(void *opaque),
                    void *opaque)
{
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return -errno;
    fflush(NULL);
    pid_t child = fork();
    if (child) {
        int e = child < 0 ? -errno : 0;
        close(pipes[0]);
        *gate = pipes[1];
        if (e)
            close(pipes[1]);
        return e ? e : child;
    }
    char go = 0;
    close(pipes[1]);
    while (read(pipes[0], &go, 1) < 0 && errno == EINTR)
        ;
    if (go == 'g' && enter)
        enter(opaque);
    if (go == 'g')
        become_program(argv, log, pass);
    _exit(127);
}

void spawn_go(int gate)
{
    (void)!write(gate, "g", 1);
    close(gate);
}

u64 spawn_started(pid_t pid)
{
    char path[40], text[1024];
    unsigned long long started = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    /* The name, in brackets, may have anything; the state is the third field, the start the 22nd. */
    const char *at = strrchr(text, ')');
    if (!at || at[1] != ' ' || at[2] == 'Z' || at[2] == 'X')
        return 0;
    at++;
    for (unsigned field = 2; at && field < 21; field++)
        at = strchr(at + 1, ' ');
    return at && sscanf(at, " %llu", &started) == 1 ? started : 0;
}

u64 spawn_age_ms(u64 started)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    u64 now_ms = (u64)now.tv_sec * 1000 + (u64)now.tv_nsec / 1000000,
        at_ms = started * 1000 / (u64)sysconf(_SC_CLK_TCK);
    return started && now_ms > at_ms ? now_ms - at_ms : 0;
}

int spawn_find(pid_t pid, u64 started)
{
    int fd = pid > 0 && started ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (fd >= 0 && spawn_started(pid) == started)
        return fd;
    if (fd >= 0)
        close(fd);
    return -ESRCH;
}
