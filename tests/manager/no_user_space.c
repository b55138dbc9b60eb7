/*
 * Preloaded: a host that makes no user namespaces, as in a chroot, under a limit of 0, or in many containers.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

int unshare(int flags)
{
    if (!(flags & CLONE_NEWUSER))
        return (int)syscall(SYS_unshare, flags);
    errno = EPERM;
    return -1;
}
