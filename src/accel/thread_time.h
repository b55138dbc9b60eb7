/*
 * Time of the calling thread and of the day, for struct cpu_host: what KVM's and Hyper-V's interfaces for guests show.
 */
#ifndef ACCEL_THREAD_TIME_H
#define ACCEL_THREAD_TIME_H

#include "cpu/cpu.h"

/* Fills in wall_ns, stolen_ns, ran_ns and yield. */
void thread_time_init(struct cpu_host *ops);

#endif
