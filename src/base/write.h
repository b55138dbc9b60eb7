/*
 * All of a buffer to a descriptor.
 */
#ifndef BASE_WRITE_H
#define BASE_WRITE_H

#include "base/types.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

/* Waits where a descriptor that does not block has no room. 0 or -errno; -EIO if the other end goes away meanwhile. */
static inline int MUST_CHECK write_all(int fd, const void *bytes, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t n = write(fd, (const char *)bytes + done, length - done);
        struct pollfd p = {fd, POLLOUT, 0};
        if (n > 0)
            done += (size_t)n;
        else if (n < 0 && errno != EINTR && errno != EAGAIN)
            return -errno;
        else if (n < 0 && errno == EAGAIN && poll(&p, 1, -1) > 0 && (p.revents & POLLHUP))
            return -EIO;
    }
    return 0;
}

#endif
