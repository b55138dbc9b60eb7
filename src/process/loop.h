/*
 * What a process with one thread sleeps on: watches of descriptors, alarms, and libraries with descriptors of their
 * own. All of it belongs to that thread, but loop_stop.
 */
#ifndef PROCESS_LOOP_H
#define PROCESS_LOOP_H

#include "base/list.h"
#include "base/types.h"

#include <sys/epoll.h>

#define LOOP_EVENTS_MAX 64
#define NEVER (~0ull)

/* Something to wait for. `ready` is called with the events of epoll. */
struct watch {
    int fd;
    void (*ready)(struct watch *watch, u32 events);
};

struct alarm {
    u64 at_ns; /* 0: not set */
    void (*ring)(struct alarm *alarm);
    struct alarm *next; /* of the loop's list */
};

/* Called before each sleep, for libraries with descriptors of their own (libslirp). It may set alarms. */
struct sleeper {
    void (*before)(struct sleeper *sleeper);
    struct link link; /* of the loop's list */
};

struct loop {
    u64 now_ns;                      /* CLOCK_MONOTONIC, as it was read after the last sleep */
    void (*woke)(struct loop *loop); /* called when now_ns has changed, before anything else; NULL: nobody */
    bool (*busy)(struct loop *loop); /* asked before a sleep: is there something to do? NULL: there is not */
    struct link sleepers;
    struct alarm *alarms; /* the earliest first */
    int epoll;
    u64 timer_ns; /* when the timer goes off; NEVER */
    _Atomic bool stopping;
    struct watch timer_watch, stop_watch;
    struct epoll_event event[LOOP_EVENTS_MAX]; /* of this turn */
    u32 event_next, event_count;
};

/* Of a zeroed loop. 0 or -errno; loop_free is called in either case. */
int MUST_CHECK loop_init(struct loop *loop);
void loop_free(struct loop *loop);

/* Returns 0 or -errno. A watch that is there already gets the new events. */
int MUST_CHECK loop_watch(struct loop *loop, struct watch *watch, u32 events);
/* Call it before the descriptor is closed. */
void loop_unwatch(struct loop *loop, struct watch *watch);
/* `alarm->ring` is called when `at_ns` of CLOCK_MONOTONIC has come, once. 0: not at all. */
void loop_alarm(struct loop *loop, struct alarm *alarm, u64 at_ns);
void loop_sleeper(struct loop *loop, struct sleeper *sleeper);
void loop_no_sleeper(struct loop *loop, struct sleeper *sleeper);

/* Sleeps until there is something, or not at all unless `wait`; then calls watches and alarms. 0 or -errno. */
int MUST_CHECK loop_turn(struct loop *loop, bool wait);
/* Turns until loop_stop, which may be called in a signal handler. 0 or -errno. */
int MUST_CHECK loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* Parts of a turn: what time it is; the alarms whose time has come. */
void loop_clock(struct loop *loop, u64 now_ns);
void loop_ring(struct loop *loop);

#endif
