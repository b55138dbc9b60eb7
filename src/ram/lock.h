/*
 * Private to src/ram: its two locks. A change of slots takes `change`, then has the accelerator stop its vCPUs, then
 * takes `slots` for writing. Nobody who holds `slots` waits for anything.
 */
#ifndef RAM_LOCK_H
#define RAM_LOCK_H

#include "ram/ram.h"

#include <pthread.h>

struct ram_locks {
    pthread_mutex_t change; /* one change, or end of an epoch of dirty pages, at a time */
    pthread_rwlock_t slots; /* taken for writing while an array is replaced, for reading by those who are no vCPUs */
};

#endif
