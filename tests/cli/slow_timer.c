/*
 * Preloaded: to set a timer takes SLOW_TIMER_US microseconds, as on hosts that are virtual themselves and busy.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static long now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

int timer_settime(timer_t timer, int flags, const struct itimerspec *value, struct itimerspec *old)
{
    static int (*real)(timer_t, int, const struct itimerspec *, struct itimerspec *);
    static long us;
    if (!real) {
        real = (int (*)(timer_t, int, const struct itimerspec *, struct itimerspec *))dlsym(RTLD_NEXT, "timer_settime");
        us = atol(getenv("SLOW_TIMER_US"));
    }
    for (long end = now_ns() + us * 1000; now_ns() < end;)
        ;
    return real(timer, flags, value, old);
}
