/*
 * A program that runs as long as the switch wants it: see child.h.
 */
#include "vswitch/child.h"

#include "base/monotonic.h"
#include "process/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_PAUSE_NS 200000000ull
#define LAST_PAUSE_NS 60000000000ull
#define STEADY_NS 10000000000ull /* who ran that long is started again soon */

struct child {
    struct vswitch *sw;
    struct watch end;      /* of the process: a pidfd */
    struct watch complain; /* what it writes to its standard error */
    struct alarm again;
    pid_t pid; /* 0: it does not run */
    u64 started_ns, pause_ns;
    char last[200]; /* line that it wrote */
    char **argv;
};

static void start(struct child *c);

/* Keeps the beginning of the last line. */
static void read_complaints(struct child *c)
{
    char text[2048];
    ssize_t n = read(c->complain.fd, text, sizeof(text) - 1);
    if (n <= 0)
        return;
    while (n > 0 && text[n - 1] == '\n')
        n--;
    text[n] = 0;
    const char *line = strrchr(text, '\n');
    snprintf(c->last, sizeof(c->last), "%.199s", line ? line + 1 : text);
}

static void complained(struct watch *watch, u32 events)
{
    struct child *c = container_of(watch, struct child, complain);
    if (events & EPOLLIN)
        read_complaints(c);
    else
        vswitch_unwatch(c->sw, watch); /* closed by the program */
}

static void forget(struct child *c)
{
    vswitch_unwatch(c->sw, &c->end);
    vswitch_unwatch(c->sw, &c->complain);
    close(c->end.fd);
    close(c->complain.fd);
    c->end.fd = c->complain.fd = -1;
    c->pid = 0;
}

static void retry(struct child *c)
{
    u64 now = monotonic_ns();
    c->pause_ns = now - c->started_ns >= STEADY_NS || !c->pause_ns ? FIRST_PAUSE_NS : c->pause_ns * 2;
    if (c->pause_ns > LAST_PAUSE_NS)
        c->pause_ns = LAST_PAUSE_NS;
    vswitch_alarm(c->sw, &c->again, now + c->pause_ns);
}

static void ended(struct watch *watch, u32 events)
{
    struct child *c = container_of(watch, struct child, end);
    read_complaints(c);
    waitpid(c->pid, NULL, WNOHANG);
    forget(c);
    retry(c);
}

static void ring(struct alarm *alarm)
{
    start(container_of(alarm, struct child, again));
}

static int launch(struct child *c)
{
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    pid_t pid = program_start((const char *const *)c->argv, -1, -1, pipes[1]);
    close(pipes[1]);
    if (pid < 0) {
        close(pipes[0]);
        return (int)pid;
    }
    c->pid = pid;
    c->complain.fd = pipes[0];
    c->end.fd = (int)syscall(SYS_pidfd_open, pid, 0);
    int err = c->end.fd < 0 ? -errno : vswitch_watch(c->sw, &c->end, EPOLLIN);
    if (!err)
        err = vswitch_watch(c->sw, &c->complain, EPOLLIN);
    if (err) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        forget(c);
    }
    return err;
}

static void start(struct child *c)
{
    c->started_ns = monotonic_ns();
    c->last[0] = 0;
    int err = launch(c);
    if (!err)
        return;
    snprintf(c->last, sizeof(c->last), "%s", strerror(-err));
    retry(c);
}

static void free_child(struct child *c)
{
    for (char **arg = c->argv; arg && *arg; arg++)
        free(*arg);
    free(c->argv);
    free(c);
}

struct child *child_start(struct vswitch *sw, const char *const *argv)
{
    u32 count = 0;
    while (argv[count])
        count++;
    struct child *c = calloc(1, sizeof(*c));
    if (c)
        c->argv = calloc(count + 1, sizeof(*c->argv));
    for (u32 i = 0; c && c->argv && i < count; i++)
        if (!(c->argv[i] = strdup(argv[i]))) {
            free_child(c);
            return NULL;
        }
    if (!c || !c->argv) {
        free(c);
        return NULL;
    }
    c->sw = sw;
    c->end = (struct watch){-1, ended};
    c->complain = (struct watch){-1, complained};
    c->again.ring = ring;
    start(c);
    return c;
}

void child_stop(struct child *c)
{
    if (!c)
        return;
    vswitch_alarm(c->sw, &c->again, 0);
    if (c->pid) {
        kill(c->pid, SIGKILL); /* it keeps nothing that must be written */
        waitpid(c->pid, NULL, 0);
        forget(c);
    }
    free_child(c);
}

void child_state(const struct child *c, struct error *error)
{
    error_begin(error, 0);
    if (!c->pid)
        error_set(error, -ECHILD, "%s ended: %s", c->argv[0], c->last[0] ? c->last : "it said nothing");
}
