/*
 * Memory of a running VM: what it has beyond its start by virtio-mem, what is taken from it by the balloon.
 */
#ifndef WORKER_MEMORY_H
#define WORKER_MEMORY_H

#include "worker/memory_policy.h"

#include <jansson.h>

struct worker;
struct memory;

u64 memory_of_host(void);
/* NULL: no memory. */
struct memory *memory_new(struct worker *w);
void memory_free(struct memory *m);
/* Looks at what the guest needs, and, where memory is dynamic, gives or takes. Called by the pulse. */
void memory_beat(struct memory *m);
/* The guest starts anew: what it has said before is of another. */
void memory_restarted(struct memory *m);
/* Adds "memory_demand" and "memory_status" where they are known, and why nothing moves. */
void memory_report(const struct memory *m, json_t *reply);

#endif
