/*
 * Memory of a VM: regions of the program's memory, and which of their pages were written.
 */
#include "kvmapi/host.h"
#include "kvmapi/settings.h"
#include "kvmapi/vm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define PRIVATE_NOTED (32ull << 20) /* smaller memory, as that of a display, has no programs */

/* Can it be memory of a program at all? Other addresses are no page faults but general protection. */
static bool is_of_program(u64 address, u64 size)
{
    u32 a = 7, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    u64 end = BIT64(c & BIT(16) /* LA57 */ ? 56 : 47) - PAGE_SIZE;
    return address <= end && size <= end - address;
}

/* Says once if user code in this memory is to be executed directly and cannot be. */
static void say_private(struct api_vm *vm, const struct ram_region *g)
{
    u32 file;
    u64 offset;
    if (api_settings()->direct == CPU_DIRECT_OFF || vm->said_private || g->flags & RAM_READONLY ||
        g->size < PRIVATE_NOTED || direct_file(&vm->host->direct, g->host, &file, &offset))
        return;
    vm->said_private = true;
    fprintf(stderr,
            "nestbox kvm: %llu MiB of guest memory are no file that is mapped shared: user code there is translated "
            "(for direct execution, QEMU takes -object memory-backend-memfd,share=on)\n",
            (unsigned long long)(g->size >> 20));
}

static long set_region(struct api_vm *vm, struct api_arg *arg)
{
    const struct kvm_userspace_memory_region *k = arg->data;
    u32 flags = RAM_FOREIGN, space = k->slot >> 16; /* foreign: the program writes there as it likes */
    if (k->flags & ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY) || space >= RAM_SPACES)
        return -EINVAL;
    if (k->memory_size && !is_of_program(k->userspace_addr, k->memory_size))
        return -EINVAL;
    if (k->flags & KVM_MEM_LOG_DIRTY_PAGES)
        flags |= RAM_LOG_DIRTY;
    if (flags & RAM_LOG_DIRTY && !vm->ring_entries && vm->dirty_protect & KVM_DIRTY_LOG_INITIALLY_SET)
        flags |= RAM_ALL_DIRTY;
    if (k->flags & KVM_MEM_READONLY)
        flags |= RAM_READONLY;
    const struct ram_region g = {.id = (u16)k->slot,
                                 .flags = flags,
                                 .start = GPA(k->guest_phys_addr),
                                 .size = k->memory_size,
                                 .host = (void *)k->userspace_addr};
    if (g.size)
        say_private(vm, &g);
    return ram_slot_set(vm->machine.ram, space, &g);
}

static u64 region_pages(const struct api_vm *vm, u32 space, u32 id)
{
    const struct ram_space *s = &vm->machine.ram->space[space];
    for (u32 i = 0; i < s->count; i++)
        if (s->slot[i].id == id)
            return s->slot[i].size >> PAGE_SHIFT;
    return 0;
}

static long get_dirty_log(struct api_vm *vm, struct api_arg *arg)
{
    const struct kvm_dirty_log *k = arg->data;
    u32 space = k->slot >> 16, id = (u16)k->slot;
    if (space >= RAM_SPACES || vm->ring_entries)
        return vm->ring_entries ? -ENXIO : -EINVAL;
    u64 size = (region_pages(vm, space, id) + 63) / 64 * 8;
    u64 *bitmap = size ? malloc(size) : NULL;
    if (!bitmap)
        return size ? -ENOMEM : -ENOENT;
    long e = ram_dirty_get(vm->machine.ram, space, id, bitmap, vm->dirty_protect);
    if (!e)
        e = user_write((u64)k->dirty_bitmap, bitmap, size);
    free(bitmap);
    return e;
}

static long clear_dirty_log(struct api_vm *vm, struct api_arg *arg)
{
    const struct kvm_clear_dirty_log *k = arg->data;
    u32 space = k->slot >> 16, id = (u16)k->slot;
    if (space >= RAM_SPACES || vm->ring_entries)
        return vm->ring_entries ? -ENXIO : -EINVAL;
    u64 pages = region_pages(vm, space, id);
    if (!pages)
        return -ENOENT;
    if (k->first_page & 63 || k->first_page > pages || k->num_pages > pages - k->first_page ||
        (k->num_pages < pages - k->first_page && k->num_pages & 63))
        return -EINVAL;
    u64 size = (k->num_pages + 63) / 64 * 8;
    u64 *bitmap = malloc(size ? size : 1);
    if (!bitmap)
        return -ENOMEM;
    long e = user_read(bitmap, (u64)k->dirty_bitmap, size);
    if (!e)
        e = ram_dirty_clear(vm->machine.ram, space, id, k->first_page, k->num_pages, bitmap);
    free(bitmap);
    return e;
}

static long enable_protect(struct api_vm *vm, const struct kvm_enable_cap *cap)
{
    u64 flags = cap->args[0];
    if (flags & ~(u64)(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET) ||
        (flags && !(flags & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)))
        return -EINVAL;
    vm->dirty_protect = (u32)flags;
    return 0;
}

static const struct api_ioctl ioctls[] = {
    API_VM(KVM_SET_USER_MEMORY_REGION, set_region),
    API_VM(KVM_GET_DIRTY_LOG, get_dirty_log),
    API_VM(KVM_CLEAR_DIRTY_LOG, clear_dirty_log),
    {0},
};

static const struct api_cap caps[] = {
    API_CAP(KVM_CAP_USER_MEMORY, 1),
    API_CAP(KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1),
    API_CAP(KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1),
    API_CAP(KVM_CAP_READONLY_MEM, 1),
    API_CAP(KVM_CAP_SYNC_MMU, 1),
    API_CAP(KVM_CAP_NR_MEMSLOTS, RAM_SLOT_IDS),
    API_CAP(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET,
            .enable_vm = enable_protect),
    {0},
};

const struct api_part memory_part = {.name = "memory", .ioctls = ioctls, .caps = caps};
