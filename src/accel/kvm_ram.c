/*
 * Guest memory of the kernel's VM: slots are its memory slots, with the same numbers, and the kernel logs what vCPUs
 * write. It stops vCPUs by itself where it has to.
 */
#include "accel/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

static int change_begin(void *opaque, u32 space, const struct ram_slot *old, const struct ram_slot *now)
{
    const struct accel_vm *vm = opaque;
    const struct ram_slot *s = now ? now : old;
    struct kvm_userspace_memory_region region = {
        .slot = s->id | space << 16,
        .flags = s->flags & RAM_LOG_DIRTY ? KVM_MEM_LOG_DIRTY_PAGES : 0,
        .guest_phys_addr = s->start.a,
        .memory_size = now ? now->size : 0,
        .userspace_addr = (u64)s->host,
    };
    if (s->flags & RAM_READONLY && ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_READONLY_MEM) > 0)
        region.flags |= KVM_MEM_READONLY;
    return ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) ? -errno : 0;
}

static int dirty_fetch(void *opaque, u32 space, struct ram_slot *s)
{
    const struct accel_vm *vm = opaque;
    u64 words = ((s->size >> PAGE_SHIFT) + 63) / 64;
    u64 *bitmap = malloc(words * sizeof(u64));
    if (!bitmap)
        return -ENOMEM;
    struct kvm_dirty_log log = {.slot = s->id | space << 16, .dirty_bitmap = bitmap};
    int e = ioctl(vm->vm_fd, KVM_GET_DIRTY_LOG, &log) ? -errno : 0;
    for (u64 i = 0; i < words && !e; i++)
        if (bitmap[i])
            __atomic_fetch_or(&s->dirty[i], bitmap[i], __ATOMIC_RELAXED);
    free(bitmap);
    return e;
}

const struct ram_ops kvm_ram_ops = {.change_begin = change_begin, .dirty_fetch = dirty_fetch};
