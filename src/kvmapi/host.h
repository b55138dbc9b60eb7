/*
 * What the engine needs of the host (struct cpu_host), for one VM of the API: memory, time, a place where a vCPU
 * sleeps; and the VM's one thread, which keeps the vCPUs' timers and waits on descriptors. No signal is used for it: a
 * vCPU looks at its requests by itself.
 */
#ifndef KVMAPI_HOST_H
#define KVMAPI_HOST_H

#include "accel/direct_process.h"

#include <pthread.h>

struct host_vcpu {
    struct vcpu *cpu; /* [a] NULL until there is one */
    u64 deadline;     /* [a] monotonic ns, 0: none */
    u32 asleep;       /* [a] futex: 1 while its thread sleeps */
    u32 poll_ns;      /* of its thread: for how long it looks before it sleeps */
};

/* A descriptor that the VM's thread waits on. `ready` is called on that thread with api_host.lock held: it must take no
 * lock whose holder may add or remove a watch. */
struct host_watch {
    int fd;
    void (*ready)(struct host_watch *w, u32 events);
};

struct api_host {
    struct cpu_host ops; /* what the engine calls; its opaque is this struct */
    struct vm *vm;       /* for the trace */
    struct direct_host direct;
    struct host_vcpu vcpu[CPU_VCPUS_MAX];
    pthread_mutex_t lock; /* held while watches are served */
    pthread_t thread;
    bool running, ending;
    int epoll, timer, wake;
    u64 until; /* [a] the thread sleeps until then at most */
};

/* Returns 0 or -errno. The thread runs from the first vCPU on. */
int MUST_CHECK host_create(struct api_host **h);
void host_destroy(struct api_host *h);
/* Ends the thread, when no vCPU runs: no watch is served any more. */
void host_stop(struct api_host *h);
int MUST_CHECK host_start(struct api_host *h);

/* [any] `events` are EPOLLIN and such. Returns 0 or -errno. After removal `ready` does not run and is not called. */
int MUST_CHECK host_watch_add(struct api_host *h, struct host_watch *w, u32 events);
void host_watch_remove(struct api_host *h, struct host_watch *w);

#endif
