/*
 * Preloaded into the program under test: every thread but the first needs long to find out who has the terminal, and
 * ending the program by a signal takes longer still.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

pid_t tcgetpgrp(int fd)
{
    pid_t group;
    if (syscall(SYS_gettid) != getpid())
        usleep(200000);
    return ioctl(fd, TIOCGPGRP, &group) ? -1 : group;
}

int raise(int signal_number)
{
    usleep(300000);
    return (int)syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signal_number);
}
