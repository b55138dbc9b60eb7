/*
 * What a worker looks at again and again while its VM runs: the time that QEMU has used.
 */
#ifndef WORKER_PULSE_H
#define WORKER_PULSE_H

#include "process/loop.h"

#include <sys/types.h>

#define PULSE_NS 2000000000ull

/* CPU time of a process, measured between two looks. */
struct cpu_use {
    u64 at_ns, cpu_ms; /* of the last look; 0: there was none */
    u32 per_mille;     /* of one CPU, between the last two */
};

/* Milliseconds that a process has used, 0 if it has gone; bytes that it has in memory, unless that is NULL. */
u64 process_cpu_ms(pid_t process, u64 *resident);
void cpu_use_look(struct cpu_use *use, u64 now_ns, u64 cpu_ms);

#endif
