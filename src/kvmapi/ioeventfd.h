/*
 * ioeventfd: a write of the guest to an address is a signal to the program, and KVM_RUN goes on. Writes are matched on
 * the vCPU's thread.
 */
#ifndef KVMAPI_IOEVENTFD_H
#define KVMAPI_IOEVENTFD_H

#include "kvmapi/eventfd.h"

#include <linux/kvm.h>
#include <pthread.h>

#define IOEVENTS_MAX 1000 /* as many as KVM has devices on a bus */

struct ioevent {
    u64 address, match;
    u32 size; /* 0: of any size */
    bool port, matches;
    struct event_fd event;
};

struct ioevents {
    pthread_rwlock_t lock;
    u32 count;
    struct ioevent *event; /* sorted by port and address */
};

void ioevents_init(struct ioevents *all);
void ioevents_destroy(struct ioevents *all);
/* KVM_IOEVENTFD. Returns 0, -EINVAL, -EEXIST, -ENOENT, -ENOSPC, -ENOMEM, or an error of the descriptor. */
int MUST_CHECK ioevents_change(struct ioevents *all, const struct kvm_ioeventfd *k);
/* [any] The guest wrote. Returns true if the write was a signal. */
bool ioevents_write(struct ioevents *all, bool port, u64 address, u64 value, unsigned size);

#endif
