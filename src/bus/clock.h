/*
 * The VM's clock: monotonic time that stands still while the VM is stopped, and the thread that runs device timers.
 */
#ifndef BUS_CLOCK_H
#define BUS_CLOCK_H

#include "bus/bus.h"

#include <pthread.h>

struct machine_clock {
    struct clock clock;
    pthread_mutex_t *lock; /* the machine lock: guards everything here, and is held while timers run */
    pthread_cond_t changed;
    pthread_t thread;
    bool started, ending;
    bool held; /* time stands still at held_ns */
    u64 held_ns;
    u64 offset_ns;   /* host monotonic time less VM time */
    u64 deadline_ns; /* the earliest, in VM time; 0: none */
};

/* Returns 0 or -errno. At first time stands still. */
int MUST_CHECK machine_clock_create(struct machine_clock *c, pthread_mutex_t *lock);
void machine_clock_destroy(struct machine_clock *c);
/* Stops the time of the VM, or lets it go on. Takes the machine lock. */
void machine_clock_hold(struct machine_clock *c, bool hold);

#endif
