/*
 * Time of the calling thread and of the day: see thread_time.h.
 */
#include "accel/thread_time.h"

#include "base/monotonic.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static u64 wall(void *opaque)
{
    return clock_now_ns(CLOCK_REALTIME);
}

static u64 ran(void *opaque)
{
    return clock_now_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* The second number of schedstat: how long the thread waited on a run queue. It is asked for seldom, so no descriptor
 * is kept, which would have to follow the thread. */
static u64 stolen(void *opaque, u32 index)
{
    char text[128];
    int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return ~0ull;
    text[n] = 0;
    const char *space = strchr(text, ' ');
    return space ? strtoull(space, NULL, 10) : ~0ull;
}

static void yield(void *opaque)
{
    sched_yield();
}

void thread_time_init(struct cpu_host *ops)
{
    ops->wall_ns = wall;
    ops->stolen_ns = stolen;
    ops->ran_ns = ran;
    ops->yield = yield;
}
