/*
 * What a process sleeps on: see loop.h. There is one timer for all alarms. It may go off too early, never too late, so
 * it is set again only when it has to be earlier.
 */
#include "process/loop.h"

#include "base/monotonic.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define SECOND_NS 1000000000ull

static void timer_ready(struct watch *watch, u32 events)
{
    container_of(watch, struct loop, timer_watch)->timer_ns = NEVER;
}

static void stop_ready(struct watch *watch, u32 events)
{
}

int loop_init(struct loop *loop)
{
    list_init(&loop->sleepers);
    loop->timer_ns = NEVER;
    loop_clock(loop, monotonic_ns());
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->timer_watch = (struct watch){timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), timer_ready};
    loop->stop_watch = (struct watch){eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), stop_ready};
    if (loop->epoll < 0 || loop->timer_watch.fd < 0 || loop->stop_watch.fd < 0)
        return -errno;
    int r = loop_watch(loop, &loop->timer_watch, EPOLLIN | EPOLLET);
    return r ? r : loop_watch(loop, &loop->stop_watch, EPOLLIN | EPOLLET);
}

void loop_free(struct loop *loop)
{
    const int fd[] = {loop->epoll, loop->timer_watch.fd, loop->stop_watch.fd};
    for (u32 i = 0; i < ARRAY_LEN(fd); i++) {
        if (fd[i] >= 0)
            close(fd[i]);
    }
}

int loop_watch(struct loop *loop, struct watch *watch, u32 events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (!epoll_ctl(loop->epoll, EPOLL_CTL_MOD, watch->fd, &event))
        return 0;
    if (errno == ENOENT && !epoll_ctl(loop->epoll, EPOLL_CTL_ADD, watch->fd, &event))
        return 0;
    return -errno;
}

void loop_unwatch(struct loop *loop, struct watch *watch)
{
    epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    for (u32 i = loop->event_next; i < loop->event_count; i++) {
        if (loop->event[i].data.ptr == watch)
            loop->event[i].data.ptr = NULL;
    }
}

void loop_alarm(struct loop *loop, struct alarm *alarm, u64 at_ns)
{
    struct alarm **at;
    if (alarm->at_ns) {
        for (at = &loop->alarms; *at != alarm; at = &(*at)->next)
            ;
        *at = alarm->next;
    }
    alarm->at_ns = at_ns;
    if (!at_ns)
        return;
    for (at = &loop->alarms; *at && (*at)->at_ns <= at_ns; at = &(*at)->next)
        ;
    alarm->next = *at;
    *at = alarm;
}

void loop_sleeper(struct loop *loop, struct sleeper *sleeper)
{
    list_add(&loop->sleepers, &sleeper->link);
}

void loop_no_sleeper(struct loop *loop, struct sleeper *sleeper)
{
    list_remove(&sleeper->link);
}

static struct sleeper *sleeper_of(struct link *l)
{
    return container_of(l, struct sleeper, link);
}

void loop_clock(struct loop *loop, u64 now_ns)
{
    loop->now_ns = now_ns;
    if (loop->woke)
        loop->woke(loop);
}

void loop_ring(struct loop *loop)
{
    while (loop->alarms && loop->alarms->at_ns <= loop->now_ns) {
        struct alarm *alarm = loop->alarms;
        loop->alarms = alarm->next;
        alarm->at_ns = 0;
        alarm->ring(alarm);
    }
}

static void set_timer(struct loop *loop, u64 until_ns)
{
    if (until_ns >= loop->timer_ns)
        return;
    struct itimerspec at = {.it_value = {(time_t)(until_ns / SECOND_NS), (long)(until_ns % SECOND_NS)}};
    timerfd_settime(loop->timer_watch.fd, TFD_TIMER_ABSTIME, &at, NULL);
    loop->timer_ns = until_ns;
}

static void before_sleep(struct loop *loop)
{
    for (struct link *l = loop->sleepers.after, *after; l != &loop->sleepers; l = after) {
        after = l->after;
        sleeper_of(l)->before(sleeper_of(l));
    }
}

int loop_turn(struct loop *loop, bool wait)
{
    before_sleep(loop);
    wait = wait && !(loop->busy && loop->busy(loop));
    u64 until_ns = loop->alarms ? loop->alarms->at_ns : NEVER;
    if (wait && until_ns != NEVER)
        set_timer(loop, until_ns ? until_ns : 1);
    int n = epoll_wait(loop->epoll, loop->event, LOOP_EVENTS_MAX, wait ? -1 : 0);
    if (n < 0 && errno != EINTR)
        return -errno;
    loop_clock(loop, monotonic_ns());
    loop->event_count = n < 0 ? 0 : (u32)n;
    for (loop->event_next = 0; loop->event_next < loop->event_count;) {
        const struct epoll_event *event = &loop->event[loop->event_next++];
        struct watch *watch = event->data.ptr;
        if (watch)
            watch->ready(watch, event->events);
    }
    loop_ring(loop);
    return 0;
}

int loop_run(struct loop *loop)
{
    int e = 0;
    while (!e && !loop->stopping)
        e = loop_turn(loop, true);
    loop->stopping = false;
    return e;
}

void loop_stop(struct loop *loop)
{
    int kept = errno;
    loop->stopping = true;
    if (write(loop->stop_watch.fd, &(u64){1}, sizeof(u64)) < 0)
        loop->stopping = true; /* the counter is full: it wakes all the same */
    errno = kept;
}
