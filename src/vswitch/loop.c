/*
 * What the switch sleeps on: watches of descriptors, alarms, and libraries with descriptors of their own. There is one
 * timer for all alarms. It may go off too early, never too late, so it is set again only when it has to be earlier.
 */
#include "base/monotonic.h"
#include "vswitch/inside.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define SECOND_NS 1000000000ull

static void timer_ready(struct watch *watch, u32 events)
{
    container_of(watch, struct vswitch, timer_watch)->timer_ns = NEVER;
}

static void stop_ready(struct watch *watch, u32 events)
{
}

int loop_init(struct vswitch *sw)
{
    list_init(&sw->sleepers);
    sw->timer_ns = NEVER;
    loop_now(sw, monotonic_ns());
    sw->epoll = epoll_create1(EPOLL_CLOEXEC);
    sw->timer_watch = (struct watch){timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), timer_ready};
    sw->stop_watch = (struct watch){eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), stop_ready};
    if (sw->epoll < 0 || sw->timer_watch.fd < 0 || sw->stop_watch.fd < 0)
        return -errno;
    int r = vswitch_watch(sw, &sw->timer_watch, EPOLLIN | EPOLLET);
    return r ? r : vswitch_watch(sw, &sw->stop_watch, EPOLLIN | EPOLLET);
}

void loop_free(struct vswitch *sw)
{
    const int fd[] = {sw->epoll, sw->timer_watch.fd, sw->stop_watch.fd};
    for (u32 i = 0; i < ARRAY_LEN(fd); i++) {
        if (fd[i] >= 0)
            close(fd[i]);
    }
}

int vswitch_watch(struct vswitch *sw, struct watch *watch, u32 events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (!epoll_ctl(sw->epoll, EPOLL_CTL_MOD, watch->fd, &event))
        return 0;
    if (errno == ENOENT && !epoll_ctl(sw->epoll, EPOLL_CTL_ADD, watch->fd, &event))
        return 0;
    return -errno;
}

void vswitch_unwatch(struct vswitch *sw, struct watch *watch)
{
    epoll_ctl(sw->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    for (u32 i = sw->event_next; i < sw->event_count; i++) {
        if (sw->event[i].data.ptr == watch)
            sw->event[i].data.ptr = NULL;
    }
}

void vswitch_alarm(struct vswitch *sw, struct alarm *alarm, u64 at_ns)
{
    struct alarm **at;
    if (alarm->at_ns) {
        for (at = &sw->alarms; *at != alarm; at = &(*at)->next)
            ;
        *at = alarm->next;
    }
    alarm->at_ns = at_ns;
    if (!at_ns)
        return;
    for (at = &sw->alarms; *at && (*at)->at_ns <= at_ns; at = &(*at)->next)
        ;
    alarm->next = *at;
    *at = alarm;
}

u64 vswitch_now(const struct vswitch *sw)
{
    return sw->now_ns;
}

void vswitch_sleeper(struct vswitch *sw, struct sleeper *sleeper)
{
    list_add(&sw->sleepers, &sleeper->link);
}

void vswitch_no_sleeper(struct vswitch *sw, struct sleeper *sleeper)
{
    list_remove(&sleeper->link);
}

static struct sleeper *sleeper_of(struct link *l)
{
    return container_of(l, struct sleeper, link);
}

void loop_now(struct vswitch *sw, u64 now_ns)
{
    sw->now_ns = sw->pool.now_ns = now_ns;
    sw->table.now_s = (u32)(now_ns / SECOND_NS);
}

void loop_ring(struct vswitch *sw)
{
    while (sw->alarms && sw->alarms->at_ns <= sw->now_ns) {
        struct alarm *alarm = sw->alarms;
        sw->alarms = alarm->next;
        alarm->at_ns = 0;
        alarm->ring(alarm);
    }
}

static void set_timer(struct vswitch *sw, u64 until_ns)
{
    if (until_ns >= sw->timer_ns)
        return;
    struct itimerspec at = {.it_value = {(time_t)(until_ns / SECOND_NS), (long)(until_ns % SECOND_NS)}};
    timerfd_settime(sw->timer_watch.fd, TFD_TIMER_ABSTIME, &at, NULL);
    sw->timer_ns = until_ns;
}

int loop_wait(struct vswitch *sw, bool wait)
{
    for (struct link *l = sw->sleepers.after, *after; l != &sw->sleepers; l = after) {
        after = l->after;
        sleeper_of(l)->before(sleeper_of(l));
    }
    u64 until_ns = sw->alarms ? sw->alarms->at_ns : NEVER;
    wait = wait && list_empty(&sw->turns) && list_empty(&sw->dirty) && list_empty(&sw->removed);
    if (wait && until_ns != NEVER)
        set_timer(sw, until_ns ? until_ns : 1);
    int n = epoll_wait(sw->epoll, sw->event, EVENTS_MAX, wait ? -1 : 0);
    if (n < 0 && errno != EINTR)
        return -errno;
    loop_now(sw, monotonic_ns());
    sw->event_count = n < 0 ? 0 : (u32)n;
    for (sw->event_next = 0; sw->event_next < sw->event_count;) {
        const struct epoll_event *event = &sw->event[sw->event_next++];
        struct watch *watch = event->data.ptr;
        if (watch)
            watch->ready(watch, event->events);
    }
    loop_ring(sw);
    return 0;
}

void vswitch_stop(struct vswitch *sw)
{
    int kept = errno;
    sw->stopping = true;
    if (write(sw->stop_watch.fd, &(u64){1}, sizeof(u64)) < 0)
        sw->stopping = true; /* the counter is full: it wakes all the same */
    errno = kept;
}
