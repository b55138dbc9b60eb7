/*
 * The host side of a VM: see host.h.
 */
#include "kvmapi/host.h"

#include "accel/thread_time.h"
#include "base/monotonic.h"
#include "base/pages.h"
#include "kvmapi/descriptor.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* Before a vCPU's thread sleeps: see poll_wake. */
#define POLL_LEAST_NS 10000u
#define POLL_MOST_NS 200000u
#define POLL_TAKEN_NS 50000u

static void *memory_get(void *opaque, size_t size, enum cpu_memory kind)
{
    return pages_map(size, PROT_READ | PROT_WRITE | (kind == CPU_MEMORY_CODE ? PROT_EXEC : 0),
                     kind != CPU_MEMORY_SPARSE);
}

static void memory_put(void *opaque, void *memory, size_t size)
{
    munmap(memory, size);
}

KEEPS_VECTORS static u64 now_ns(void *opaque)
{
    return monotonic_ns();
}

/* Returns false if the program has closed the descriptor, by a system call that we do not see. */
KEEPS_VECTORS static bool wake_thread(struct api_host *h)
{
    const u64 one = 1;
    return syscall(SYS_write, h->wake, &one, sizeof(one)) > 0 || errno == EAGAIN;
}

/* The thread writes `until` and then looks at deadlines; this writes the deadline and then looks at `until`, so one of
 * the two sees the other. */
KEEPS_VECTORS static void timer_set(void *opaque, u32 index, u64 deadline_ns)
{
    struct api_host *h = opaque;
    u64 before = __atomic_exchange_n(&h->vcpu[index].deadline, deadline_ns, __ATOMIC_SEQ_CST);
    if (deadline_ns && deadline_ns != before && deadline_ns < __atomic_load_n(&h->until, __ATOMIC_SEQ_CST))
        wake_thread(h);
}

static bool woken(const u64 *wake)
{
    return __atomic_load_n(wake, __ATOMIC_SEQ_CST);
}

/* Looks for a while before the thread sleeps, while nobody else needs the CPU: it is offered all the time, and whoever
 * takes it for long ends this. */
static void poll_wake(struct host_vcpu *v, const u64 *wake, u64 start)
{
    for (u64 last = start, now; !woken(wake); last = now) {
        sched_yield();
        now = monotonic_ns();
        if (now - start >= v->poll_ns || now - last >= POLL_TAKEN_NS)
            return;
    }
}

/* A vCPU that is woken soon after HLT, as by its own I/O, looks longer the next time; one that slept long not at all.
 */
static void poll_adapt(struct host_vcpu *v, u64 slept_ns)
{
    if (slept_ns > POLL_MOST_NS)
        v->poll_ns = 0;
    else if (slept_ns > v->poll_ns)
        v->poll_ns = v->poll_ns ? v->poll_ns * 2 : POLL_LEAST_NS;
    if (v->poll_ns > POLL_MOST_NS)
        v->poll_ns = POLL_MOST_NS;
}

static void wait(void *opaque, u32 index, const u64 *wake)
{
    struct api_host *h = opaque;
    struct host_vcpu *v = &h->vcpu[index];
    u64 start = monotonic_ns();
    if (v->poll_ns && cpu_may_poll(v->cpu))
        poll_wake(v, wake, start);
    __atomic_store_n(&v->asleep, 1, __ATOMIC_SEQ_CST);
    while (!woken(wake))
        syscall(SYS_futex, &v->asleep, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
    __atomic_store_n(&v->asleep, 0, __ATOMIC_SEQ_CST);
    poll_adapt(v, monotonic_ns() - start);
}

KEEPS_VECTORS static void kick(void *opaque, u32 index)
{
    struct api_host *h = opaque;
    u32 *asleep = &h->vcpu[index].asleep;
    if (__atomic_exchange_n(asleep, 0, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    direct_kick(&h->direct, index);
}

/* -- the thread -- */

static u64 earliest(struct api_host *h)
{
    u64 first = ~0ull;
    for (u32 i = 0; i < CPU_VCPUS_MAX; i++) {
        u64 deadline = __atomic_load_n(&h->vcpu[i].deadline, __ATOMIC_SEQ_CST);
        if (deadline && deadline < first)
            first = deadline;
    }
    return first;
}

static void timers_run(struct api_host *h)
{
    u64 now = monotonic_ns();
    for (u32 i = 0; i < CPU_VCPUS_MAX; i++) {
        struct host_vcpu *v = &h->vcpu[i];
        u64 deadline = __atomic_load_n(&v->deadline, __ATOMIC_SEQ_CST);
        if (!deadline || deadline > now)
            continue;
        if (__atomic_compare_exchange_n(&v->deadline, &deadline, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            cpu_timer_due(v->cpu);
    }
}

/* Arms the timer for the first deadline; *armed is what it is armed for. */
static void timer_arm_next(struct api_host *h, u64 *armed)
{
    u64 first;
    do {
        first = earliest(h);
        __atomic_store_n(&h->until, first, __ATOMIC_SEQ_CST);
    } while (earliest(h) < first);
    if (first == *armed)
        return;
    *armed = first;
    struct itimerspec t = {{0}};
    if (first != ~0ull)
        t.it_value =
            (struct timespec){.tv_sec = (time_t)(first / 1000000000ull), .tv_nsec = (long)(first % 1000000000ull)};
    timerfd_settime(h->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

static void drain(struct host_watch *w, u32 events)
{
    u64 count;
    if (read(w->fd, &count, sizeof(count)) < 0)
        return;
}

static void *thread_main(void *opaque)
{
    struct api_host *h = opaque;
    struct epoll_event event[16];
    struct host_watch timer = {h->timer, drain}, wake = {h->wake, drain};
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    u64 armed = ~0ull;
    if (host_watch_add(h, &timer, EPOLLIN) || host_watch_add(h, &wake, EPOLLIN))
        return NULL;
    while (!__atomic_load_n(&h->ending, __ATOMIC_ACQUIRE)) {
        timers_run(h);
        timer_arm_next(h, &armed);
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
        int ready = epoll_wait(h->epoll, event, 1, -1);
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
        if (ready < 0 && errno != EINTR)
            break;
        __atomic_store_n(&h->until, 0, __ATOMIC_SEQ_CST);
        if (monotonic_ns() >= armed)
            armed = 0;
        /* What is ready is asked again with the lock held: a watch that was removed meanwhile is not served. */
        pthread_mutex_lock(&h->lock);
        int n = epoll_wait(h->epoll, event, ARRAY_LEN(event), 0);
        for (int i = 0; i < n; i++) {
            struct host_watch *w = event[i].data.ptr;
            if (w->ready)
                w->ready(w, event[i].events);
        }
        pthread_mutex_unlock(&h->lock);
    }
    return NULL;
}

int host_watch_add(struct api_host *h, struct host_watch *w, u32 events)
{
    struct epoll_event e = {.events = events, .data.ptr = w};
    return epoll_ctl(h->epoll, EPOLL_CTL_ADD, w->fd, &e) ? -errno : 0;
}

void host_watch_remove(struct api_host *h, struct host_watch *w)
{
    pthread_mutex_lock(&h->lock);
    epoll_ctl(h->epoll, EPOLL_CTL_DEL, w->fd, NULL);
    pthread_mutex_unlock(&h->lock);
}

int host_start(struct api_host *h)
{
    sigset_t all, before;
    if (h->running)
        return 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int e = pthread_create(&h->thread, NULL, thread_main, h);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e)
        return -e;
    h->running = true;
    pthread_setname_np(h->thread, "nestbox-kvm");
    return 0;
}

void host_stop(struct api_host *h)
{
    if (!h->running)
        return;
    __atomic_store_n(&h->ending, true, __ATOMIC_RELEASE);
    if (!wake_thread(h))
        pthread_cancel(h->thread);
    pthread_join(h->thread, NULL);
    h->running = false;
}

/* -- creation -- */

void host_destroy(struct api_host *h)
{
    if (!h)
        return;
    host_stop(h);
    file_hidden_close(h->epoll);
    file_hidden_close(h->timer);
    file_hidden_close(h->wake);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

int host_create(struct api_host **out)
{
    struct api_host *h = calloc(1, sizeof(*h));
    if (!h)
        return -ENOMEM;
    h->ops = (struct cpu_host){.opaque = h,
                               .memory_get = memory_get,
                               .memory_put = memory_put,
                               .now_ns = now_ns,
                               .timer_set = timer_set,
                               .wait = wait,
                               .kick = kick,
                               .direct = &h->direct.ops};
    direct_host_init(&h->direct);
    thread_time_init(&h->ops);
    pthread_mutex_init(&h->lock, NULL);
    h->epoll = file_hide(epoll_create1(EPOLL_CLOEXEC));
    h->timer = file_hide(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    h->wake = file_hide(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (h->epoll < 0 || h->timer < 0 || h->wake < 0) {
        int e = h->epoll < 0 ? h->epoll : h->timer < 0 ? h->timer : h->wake;
        host_destroy(h);
        return e;
    }
    *out = h;
    return 0;
}
