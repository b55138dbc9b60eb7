/*
 * Dirty rings of the API: each vCPU's lies behind the other pages of its descriptor, where the program takes entries.
 * ram/ring.h has what a ring is.
 */
#include "kvmapi/ring.h"

#include <errno.h>

#define RESERVE 576 /* entries behind the limit, as many as the kernel keeps */
#define BYTES_MAX (65536 * sizeof(struct kvm_dirty_gfn))

_Static_assert(sizeof(struct ram_dirty_page) == sizeof(struct kvm_dirty_gfn) &&
                   offsetof(struct ram_dirty_page, slot) == offsetof(struct kvm_dirty_gfn, slot) &&
                   offsetof(struct ram_dirty_page, offset) == offsetof(struct kvm_dirty_gfn, offset) &&
                   RAM_PAGE_DIRTY == KVM_DIRTY_GFN_F_DIRTY && RAM_PAGE_TAKEN == KVM_DIRTY_GFN_F_RESET,
               "entries are the program's");

bool ring_full(struct api_vcpu *v)
{
    if (!v->vm->ring_entries)
        return false;
    ram_ring_settle(v->vm->machine.ram, &v->dirty_ring);
    return ram_ring_full(&v->dirty_ring);
}

static int vcpu_create(struct api_vcpu *v)
{
    u32 entries = v->vm->ring_entries;
    if (!entries)
        return 0;
    v->dirty_ring.size = entries;
    v->dirty_ring.limit = entries - RESERVE;
    cpu_ring_set(v->cpu, &v->dirty_ring);
    return 0;
}

static long reset(struct api_vm *vm, struct api_arg *arg)
{
    struct ram_ring *ring[API_VCPUS_MAX];
    if (!vm->ring_entries)
        return -EINVAL;
    for (u32 i = 0; i < vm->vcpu_count; i++)
        ring[i] = &vm->vcpu[i]->dirty_ring;
    long n = ram_rings_reset(vm->machine.ram, ring, vm->vcpu_count);
    /* vCPUs that run do it themselves when they go on. */
    for (u32 i = 0; n && i < vm->vcpu_count; i++) {
        if (!pthread_mutex_trylock(&vm->vcpu[i]->mutex)) {
            ram_ring_settle(vm->machine.ram, ring[i]);
            pthread_mutex_unlock(&vm->vcpu[i]->mutex);
        }
    }
    return n;
}

static long enable(struct api_vm *vm, const struct kvm_enable_cap *cap)
{
    u64 size = cap->args[0];
    if (!size || size & (size - 1) || size < PAGE_SIZE || size < RESERVE * sizeof(struct kvm_dirty_gfn))
        return -EINVAL;
    if (size > BYTES_MAX)
        return -E2BIG;
    if (vm->ring_entries || vm->vcpu_count)
        return -EINVAL;
    vm->ring_entries = (u32)(size / sizeof(struct kvm_dirty_gfn));
    return 0;
}

static const struct api_ioctl ioctls[] = {
    API_VM(KVM_RESET_DIRTY_RINGS, reset),
    {0},
};

static const struct api_cap caps[] = {
    API_CAP(KVM_CAP_DIRTY_LOG_RING, BYTES_MAX, .enable_vm = enable),
    API_CAP(KVM_CAP_DIRTY_LOG_RING_ACQ_REL, BYTES_MAX, .enable_vm = enable),
    {0},
};

const struct api_part ring_part = {.name = "ring", .ioctls = ioctls, .caps = caps, .vcpu_create = vcpu_create};
