/*
 * The steps of a VM's life: one pure function, whose matrix unit/vmproc/life_test.c restates.
 */
#include "vmproc/life.h"

enum life life_next(enum life now, enum life_event event)
{
    switch (event) {
    case LIFE_EVENT_GO: return now == LIFE_STARTING ? LIFE_RUNNING : now;
    case LIFE_EVENT_RESET: return now == LIFE_RUNNING ? LIFE_RESETTING : now;
    case LIFE_EVENT_OUT: return now == LIFE_RESETTING ? LIFE_STARTING : now == LIFE_STOPPING ? LIFE_ENDED : now;
    case LIFE_EVENT_END: return now < LIFE_STOPPING ? LIFE_STOPPING : now;
    case LIFE_EVENT_LATE: return now == LIFE_STOPPING ? LIFE_STUCK : now;
    case LIFE_EVENT_COUNT: break;
    }
    return now;
}
