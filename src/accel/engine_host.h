/*
 * What the engine needs of the host (struct cpu_host), for one VM: memory, time, and for each vCPU a timer, a place to
 * sleep and the handling of host signals on the thread that runs it.
 */
#ifndef ACCEL_ENGINE_HOST_H
#define ACCEL_ENGINE_HOST_H

#include "accel/direct_process.h"
#include "cpu/cpu.h"

#include <time.h>

struct engine_vcpu {
    struct vcpu *v;
    timer_t timer;
    bool has_timer;
    u64 deadline; /* that the timer is armed for, 0: none */
    u32 asleep;   /* [a] futex: 1 while the thread sleeps */
    void *signal_stack;
};

struct engine_host {
    struct cpu_host ops;
    struct engine_vcpu vcpu[CPU_VCPUS_MAX];
    struct direct_host direct;
};

void engine_host_init(struct engine_host *h);
/* No vCPU runs. The VM is destroyed after this. */
void engine_host_destroy(struct engine_host *h);
void engine_host_add(struct engine_host *h, u32 index, struct vcpu *v);

/* The calling thread is going to run this vCPU: its timer and its signals come here from now on. 0 or -errno. */
int MUST_CHECK engine_host_enter(struct engine_host *h, u32 index);

/* The rate of the host's TSC, measured against its clock; takes some 15 ms. */
u64 engine_host_tsc_khz(void);

#endif
