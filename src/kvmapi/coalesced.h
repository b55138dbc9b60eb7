/*
 * Coalesced writes: the guest's writes to a zone are put into a ring that the program empties when it likes, and
 * KVM_RUN goes on. KVM shows one ring in the mappings of all vCPUs. Here each mapping is the memory of its own
 * descriptor, so the ring is that of the first vCPU, where QEMU looks; programs must look there, and only there.
 */
#ifndef KVMAPI_COALESCED_H
#define KVMAPI_COALESCED_H

#include "base/types.h"

#include <linux/kvm.h>
#include <pthread.h>

#define COALESCED_ZONES_MAX 100 /* as KVM has it */

struct coalesced {
    pthread_mutex_t lock;
    u32 count;
    struct kvm_coalesced_mmio_zone zone[COALESCED_ZONES_MAX];
    struct kvm_coalesced_mmio_ring *ring; /* NULL before the first vCPU */
};

void coalesced_init(struct coalesced *c);
void coalesced_destroy(struct coalesced *c);
/* KVM_REGISTER_COALESCED_MMIO and its opposite, which takes away the zones that contain all of `zone`. They return 0,
 * -EINVAL or -ENOSPC. */
int MUST_CHECK coalesced_add(struct coalesced *c, const struct kvm_coalesced_mmio_zone *zone);
int MUST_CHECK coalesced_remove(struct coalesced *c, const struct kvm_coalesced_mmio_zone *zone);
/* [any] The guest wrote. Returns true if the write is in the ring. */
bool coalesced_write(struct coalesced *c, bool port, u64 address, const void *data, unsigned size);

#endif
