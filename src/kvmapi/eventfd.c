/*
 * eventfd(2), without waiting. Any thread.
 */
#include "kvmapi/eventfd.h"

#include "kvmapi/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static bool is_eventfd(int fd)
{
    char path[64], target[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    if (n < 0)
        return true; /* without /proc nothing says otherwise */
    target[n] = 0;
    return strcmp(target, "anon_inode:[eventfd]") == 0;
}

int eventfd_copy(struct event_fd *e, int number)
{
    int fd = fcntl(number, F_DUPFD_CLOEXEC, 3);
    *e = (struct event_fd){.fd = -1, .number = number};
    if (fd >= 0)
        fd = file_hide(fd);
    else
        fd = -errno;
    if (fd < 0)
        return fd;
    e->fd = fd;
    if (is_eventfd(fd))
        return 0;
    eventfd_close(e);
    return -EINVAL;
}

void eventfd_close(struct event_fd *e)
{
    file_hidden_close(e->fd);
    e->fd = -1;
}

static long compare(const struct event_fd *e, int number)
{
    pid_t self = getpid();
    return syscall(SYS_kcmp, self, self, KCMP_FILE, e->fd, number);
}

bool eventfd_is(const struct event_fd *e, int number)
{
    long order = compare(e, number);
    return order < 0 && errno != EBADF ? number == e->number : order == 0;
}

bool eventfd_is_surely(const struct event_fd *e, int number)
{
    return compare(e, number) == 0;
}

void eventfd_signal(const struct event_fd *e)
{
    const u64 one = 1;
    long n = syscall(SYS_write, e->fd, &one, sizeof(one)); /* a cancelled thread does not end here */
    (void)n; /* it fails if the counter is full, and then the event is signalled already */
}

bool eventfd_take(const struct event_fd *e)
{
    u64 count;
    struct iovec to = {&count, sizeof(count)};
    ssize_t n = preadv2(e->fd, &to, 1, -1, RWF_NOWAIT);
    if (n < 0 && errno != EAGAIN) { /* an old kernel */
        struct pollfd p = {.fd = e->fd, .events = POLLIN};
        n = poll(&p, 1, 0) == 1 ? read(e->fd, &count, sizeof(count)) : -1;
    }
    return n == sizeof(count);
}
