/*
 * Sets the host's clock for the process that it is preloaded into: by as many seconds as the file CLOCK_FILE says,
 * which may change at any time.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const char *text = "0";

/* At once: later the process may not be allowed to. */
__attribute__((constructor)) static void map_file(void)
{
    const char *path = getenv("CLOCK_FILE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (mapped != MAP_FAILED)
        text = mapped;
}

int clock_gettime(clockid_t which, struct timespec *t)
{
    static int (*next)(clockid_t which, struct timespec * t);
    if (!next)
        next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int e = next(which, t);
    if (!e && which == CLOCK_REALTIME)
        t->tv_sec += (time_t)strtoll(text, NULL, 10);
    return e;
}

time_t time(time_t *at)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (at)
        *at = t.tv_sec;
    return t.tv_sec;
}
