/*
 * A vCPU: its creation, and the memory that the program maps. The descriptor is a memfd, which holds kvm_run, the data
 * of ports, the ring of coalesced accesses, and the dirty ring if there is one.
 */
#include "kvmapi/descriptor.h"
#include "kvmapi/system.h"
#include "kvmapi/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void release(void *object)
{
    struct api_vcpu *v = object;
    vm_put(v->vm);
}

static size_t map_size(const struct api_vm *vm)
{
    size_t ring = vm->ring_entries * sizeof(struct kvm_dirty_gfn);
    return ring ? API_PAGE_RING * PAGE_SIZE + align_up(ring, PAGE_SIZE) : API_MMAP_SIZE;
}

/* Makes the descriptor and our mapping of it. */
static int map_make(struct api_vcpu *v)
{
    size_t size = map_size(v->vm);
    int fd = system_file(SYSTEM_NAME_VCPU, size, true);
    if (fd < 0)
        return fd;
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        int e = -errno;
        close(fd);
        return e;
    }
    v->map = map;
    v->run = map;
    v->pio = (u8 *)map + API_PAGE_PIO * PAGE_SIZE;
    v->ring = (void *)((u8 *)map + API_PAGE_COALESCED * PAGE_SIZE);
    v->dirty_ring.page = (void *)((u8 *)map + API_PAGE_RING * PAGE_SIZE);
    return fd;
}

void vcpu_free(struct api_vcpu *v)
{
    for (const struct api_part *const *p = api_parts; *p; p++)
        if ((*p)->vcpu_destroy)
            (*p)->vcpu_destroy(v);
    if (v->map)
        munmap(v->map, map_size(v->vm));
    pthread_mutex_destroy(&v->mutex);
    free(v);
}

static int vcpu_make(struct api_vcpu *v)
{
    struct api_vm *vm = v->vm;
    int e = host_start(vm->host);
    if (e)
        return e;
    v->features = vm->features;
    int index = cpu_add(vm->cpus, v->id, &v->features);
    if (index < 0)
        return index;
    v->index = (u32)index;
    v->cpu = cpu_at(vm->cpus, v->index);
    vm->host->vcpu[index].cpu = v->cpu;
    for (const struct api_part *const *p = api_parts; *p && !e; p++)
        if ((*p)->vcpu_create)
            e = (*p)->vcpu_create(v);
    return e;
}

long vcpu_open(struct api_vm *vm, u64 id)
{
    if (id >= (vm->vcpu_ids ? vm->vcpu_ids : API_VCPUS_MAX))
        return -EINVAL;
    for (u32 i = 0; i < vm->vcpu_count; i++)
        if (vm->vcpu[i]->id == id)
            return -EEXIST;
    struct api_vcpu *v = aligned_alloc(64, align_up(sizeof(*v), 64));
    if (!v)
        return -ENOMEM;
    *v = (struct api_vcpu){.vm = vm, .id = (u32)id};
    pthread_mutex_init(&v->mutex, NULL);
    int fd = map_make(v), e = fd < 0 ? fd : vcpu_make(v);
    if (!e)
        e = file_add(fd, FILE_VCPU, v, release, &v->file) < 0 ? -ENOMEM : 0;
    else if (fd >= 0)
        close(fd);
    if (e) {
        vcpu_free(v);
        return e;
    }
    vm_get(vm);
    vm->vcpu[vm->vcpu_count] = v;
    __atomic_store_n(&vm->vcpu_count, vm->vcpu_count + 1, __ATOMIC_RELEASE);
    return fd;
}

static long enable_cap(struct api_vcpu *v, struct api_arg *arg)
{
    const struct kvm_enable_cap *request = arg->data;
    const struct api_cap *cap = api_cap_find(request->cap);
    if (request->flags || !cap || !cap->enable_vcpu)
        return -EINVAL;
    return cap->enable_vcpu(v, request);
}

static const struct api_ioctl ioctls[] = {
    API_VCPU(KVM_ENABLE_CAP, enable_cap),
    {0},
};

static const struct api_cap caps[] = {
    API_CAP(KVM_CAP_ENABLE_CAP, 1),
    {0},
};

const struct api_part vcpu_part = {.name = "vcpu", .ioctls = ioctls, .caps = caps};
