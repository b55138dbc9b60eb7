/*
 * The VM's clock and the thread of device timers. clock_run needs the machine lock, which vCPU threads hold only for
 * the length of a device access, so one thread that sleeps on a condition with that lock is enough.
 */
#include "bus/clock.h"

#include "base/monotonic.h"

#include <sys/prctl.h>
#include <time.h>

#define NS 1000000000ull

static u64 now_ns(void *opaque)
{
    struct machine_clock *c = opaque;
    return c->held ? c->held_ns : monotonic_ns() - c->offset_ns;
}

static void rearm(void *opaque, u64 deadline_ns)
{
    struct machine_clock *c = opaque;
    bool earlier = deadline_ns && (!c->deadline_ns || deadline_ns < c->deadline_ns);
    c->deadline_ns = deadline_ns;
    if (earlier && c->started)
        pthread_cond_signal(&c->changed);
}

static void *run(void *opaque)
{
    struct machine_clock *c = opaque;
    prctl(PR_SET_NAME, "clock");
    prctl(PR_SET_TIMERSLACK, 1ul);
    pthread_mutex_lock(c->lock);
    while (!c->ending) {
        if (c->held || !c->deadline_ns) {
            pthread_cond_wait(&c->changed, c->lock);
        } else if (now_ns(c) < c->deadline_ns) {
            u64 t = c->deadline_ns + c->offset_ns;
            struct timespec until = {(time_t)(t / NS), (long)(t % NS)};
            pthread_cond_timedwait(&c->changed, c->lock, &until);
        } else {
            c->deadline_ns = clock_run(&c->clock);
        }
    }
    pthread_mutex_unlock(c->lock);
    return NULL;
}

int machine_clock_create(struct machine_clock *c, pthread_mutex_t *lock)
{
    *c = (struct machine_clock){.clock = {.now_ns = now_ns, .rearm = rearm, .opaque = c}, .lock = lock, .held = true};
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &attr);
    pthread_condattr_destroy(&attr);
    /* The thread reads `started` only through rearm(), under the lock. */
    pthread_mutex_lock(lock);
    int e = pthread_create(&c->thread, NULL, run, c);
    c->started = !e;
    pthread_mutex_unlock(lock);
    if (e)
        pthread_cond_destroy(&c->changed);
    return -e;
}

void machine_clock_destroy(struct machine_clock *c)
{
    if (!c->started)
        return;
    pthread_mutex_lock(c->lock);
    c->ending = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(c->lock);
    pthread_join(c->thread, NULL);
    pthread_cond_destroy(&c->changed);
    c->started = false;
}

void machine_clock_hold(struct machine_clock *c, bool hold)
{
    pthread_mutex_lock(c->lock);
    if (hold && !c->held) {
        c->held_ns = now_ns(c);
    } else if (!hold && c->held) {
        c->offset_ns = monotonic_ns() - c->held_ns;
    }
    c->held = hold;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(c->lock);
}
