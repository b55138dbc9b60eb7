/*
 * Starts a command as a login would: a session of its own, perhaps with a terminal, the user's groups, home and shell,
 * and an environment that has what a login gives and what the request adds. Everything that looks at files happens in
 * the new process, so that a disk that does not answer holds nobody up but the session.
 */
#include "agent/guest/start.h"

#include "agent/guest/account.h"
#include "agent/guest/builtin.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <termios.h>
#include <unistd.h>

#define STATUS_NO_START 125
#define STATUS_CANNOT 126
#define STATUS_NONE 127
#define ROOT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define USER_PATH "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"

/* -- in the new process -- */

static void close_from(int first)
{
    if (close_range((unsigned)first, ~0u, 0)) /* before Linux 5.9 */
        for (int fd = first; fd < 4096; fd++)
            close(fd);
}

static void be_like_any(void)
{
    sigset_t none;
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); /* the agent has one that spares it */
    if (fd >= 0) {
        if (write(fd, "0", 1) < 0)
            errno = 0;
        close(fd);
    }
}

static int be_user(const struct account *a)
{
    if (a->uid == geteuid() && a->uid != 0)
        return 0;
    if (setgroups(a->groups, a->group) || setgid(a->gid) || setuid(a->uid))
        return -errno;
    return 0;
}

static void set_environment(const struct request *r, const struct account *a)
{
    clearenv();
    setenv("PATH", a->uid ? USER_PATH : ROOT_PATH, 1);
    setenv("HOME", a->home, 1);
    setenv("USER", a->name, 1);
    setenv("LOGNAME", a->name, 1);
    setenv("SHELL", a->shell, 1);
    if (r->terminal)
        setenv("TERM", "linux", 1);
    for (char **v = r->variable; *v; v++)
        putenv(*v);
}

static int run_shell(const struct account *a)
{
    const char *slash = strrchr(a->shell, '/');
    char name[ACCOUNT_TEXT + 1];
    snprintf(name, sizeof(name), "-%s", slash ? slash + 1 : a->shell);
    execl(a->shell, name, (char *)NULL);
    grumble("%s: %s", a->shell, strerror(errno));
    return STATUS_CANNOT;
}

static int become(const struct request *r)
{
    struct account account;
    if (!account_find(r->user, &account)) {
        grumble("there is no user %s in the guest", r->user ? r->user : "of this number");
        return STATUS_NO_START;
    }
    int e = be_user(&account);
    if (e) {
        grumble("cannot become user %s: %s", account.name, strerror(-e));
        return STATUS_NO_START;
    }
    if (chdir(r->folder ? r->folder : account.home) && (r->folder || chdir("/"))) {
        grumble("%s: %s", r->folder ? r->folder : "/", strerror(errno));
        return STATUS_NO_START;
    }
    set_environment(r, &account);
    if (r->builtin) {
        signal(SIGHUP, SIG_IGN); /* it finishes what it began: its streams say that nobody is there any more */
        return builtin_run(r->argument);
    }
    prctl(PR_SET_PDEATHSIG, SIGHUP); /* the session ends with the agent */
    if (!r->argument[0])
        return run_shell(&account);
    execvp(r->argument[0], r->argument);
    grumble("%s: %s", r->argument[0], strerror(errno));
    return errno == ENOENT ? STATUS_NONE : STATUS_CANNOT;
}

static void child(const struct request *r, const int fd[STREAMS])
{
    setsid();
    for (int i = 0; i < STREAMS; i++) {
        int copy = fcntl(fd[i], F_DUPFD, STREAMS); /* none of them is in another's place then */
        if (copy < 0 || dup2(copy, i + STREAMS * 100) < 0)
            _exit(STATUS_NO_START);
    }
    for (int i = 0; i < STREAMS; i++)
        dup2(i + STREAMS * 100, i);
    if (r->terminal)
        ioctl(0, TIOCSCTTY, 0);
    close_from(STREAMS); /* `begun` among them */
    be_like_any();
    int status = become(r);
    fflush(NULL);
    _exit(status);
}

/* -- streams -- */

static void close_all(const int *fd, u32 count)
{
    for (u32 i = 0; i < count; i++)
        if (fd[i] >= 0)
            close(fd[i]);
}

static int open_terminal(const struct request *r, int ours[STREAMS], int theirs[STREAMS])
{
    const struct winsize size = {.ws_row = r->rows, .ws_col = r->columns};
    int lock = 0;
    ours[STREAM_OUT] = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (ours[STREAM_OUT] < 0 || ioctl(ours[STREAM_OUT], TIOCSPTLCK, &lock))
        return -errno;
    theirs[0] = ioctl(ours[STREAM_OUT], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (theirs[0] < 0)
        return -errno;
    if (r->rows && r->columns)
        ioctl(ours[STREAM_OUT], TIOCSWINSZ, &size);
    ours[STREAM_IN] = fcntl(ours[STREAM_OUT], F_DUPFD_CLOEXEC, 3);
    theirs[1] = fcntl(theirs[0], F_DUPFD_CLOEXEC, 3);
    theirs[2] = fcntl(theirs[0], F_DUPFD_CLOEXEC, 3);
    return ours[STREAM_IN] < 0 || theirs[1] < 0 || theirs[2] < 0 ? -errno : 0;
}

static int open_pipes(const struct request *r, int ours[STREAMS], int theirs[STREAMS])
{
    for (u32 i = 0; i < STREAMS; i++) {
        int fd[2];
        if (i == STREAM_IN && !r->input) {
            theirs[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
            if (theirs[i] < 0)
                return -errno;
            continue;
        }
        if (pipe2(fd, O_CLOEXEC))
            return -errno;
        ours[i] = fd[i == STREAM_IN];
        theirs[i] = fd[i != STREAM_IN];
        if (fcntl(ours[i], F_SETFL, O_NONBLOCK))
            return -errno;
    }
    return 0;
}

int start_process(const struct request *request, struct started *started)
{
    int theirs[STREAMS] = {-1, -1, -1}, begun[2] = {-1, -1}, *ours = started->fd;
    for (u32 i = 0; i < STREAMS; i++)
        ours[i] = -1;
    int e = request->terminal ? open_terminal(request, ours, theirs) : open_pipes(request, ours, theirs);
    if (!e && pipe2(begun, O_CLOEXEC))
        e = -errno;
    started->pid = e ? -1 : fork();
    if (started->pid == 0)
        child(request, theirs);
    if (!e && started->pid < 0)
        e = -errno;
    close_all(theirs, STREAMS);
    close_all(begun + 1, 1);
    if (e) {
        close_all(ours, STREAMS);
    } else {
        /* A moment: from then on it has its group and its terminal, so that Ctrl-c and signals find it. */
        char none;
        while (read(begun[0], &none, 1) < 0 && errno == EINTR)
            ;
    }
    close_all(begun, 1);
    return e;
}
