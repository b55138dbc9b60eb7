/*
 * The list of parts, the look-up of ioctls and capabilities in their rows, and the call of a handler: locks, and copies
 * of the program's structs.
 */
#include "kvmapi/cpuid.h"
#include "kvmapi/debug.h"
#include "kvmapi/descriptor.h"
#include "kvmapi/hyperv.h"
#include "kvmapi/interrupts.h"
#include "kvmapi/msr.h"
#include "kvmapi/nested.h"
#include "kvmapi/paravirt.h"
#include "kvmapi/registers.h"
#include "kvmapi/ring.h"
#include "kvmapi/run.h"
#include "kvmapi/stats.h"
#include "kvmapi/tsc.h"
#include "kvmapi/vm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

/* A part is added here, and nowhere else. */
/* clang-format off */
const struct api_part *const api_parts[] = {
    &system_part,
    &vm_part,
    &memory_part,
    &ring_part,
    &vcpu_part,
    &run_part,
    &stats_part,
    &registers_part,
    &cpuid_part,
    &msr_part,
    &tsc_part,
    &nested_part,
    &interrupts_part,
    &lapic_part,
    &debug_part,
    &paravirt_part,
    &hyperv_part,
    NULL,
};
/* clang-format on */

#define STRUCT_MAX 8192

/* The first row of each request number, the low byte of a request. */
static const struct api_ioctl *first[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Parts with a hook of that name. */
const struct api_part *api_mmio_parts[ARRAY_LEN(api_parts)], *api_pio_parts[ARRAY_LEN(api_parts)];
const struct api_part *api_enter_parts[ARRAY_LEN(api_parts)], *api_leave_parts[ARRAY_LEN(api_parts)];

static void hooks_build(void)
{
    u32 mmio = 0, pio = 0, enter = 0, leave = 0;
    for (const struct api_part *const *p = api_parts; *p; p++) {
        if ((*p)->mmio)
            api_mmio_parts[mmio++] = *p;
        if ((*p)->pio)
            api_pio_parts[pio++] = *p;
        if ((*p)->enter)
            api_enter_parts[enter++] = *p;
        if ((*p)->leave)
            api_leave_parts[leave++] = *p;
    }
}

static void index_build(void)
{
    hooks_build();
    for (const struct api_part *const *p = api_parts; *p; p++)
        for (const struct api_ioctl *row = (*p)->ioctls; row && row->name; row++)
            if (!first[_IOC_NR(row->request)])
                first[_IOC_NR(row->request)] = row;
}

static bool has(const struct api_ioctl *row, u32 kind)
{
    switch (kind) {
    case FILE_SYSTEM: return row->system;
    case FILE_VM: return row->vm;
    case FILE_VCPU: return row->vcpu;
    default: return false;
    }
}

/* Returns the row of a request on a file of that kind, or NULL. */
static const struct api_ioctl *find(unsigned long request, u32 kind)
{
    pthread_once(&once, index_build);
    const struct api_ioctl *row = first[_IOC_NR(request)];
    if (row && row->request == request && has(row, kind))
        return row;
    for (const struct api_part *const *p = api_parts; row && *p; p++)
        for (const struct api_ioctl *r = (*p)->ioctls; r && r->name; r++)
            if (r->request == request && has(r, kind))
                return r;
    return NULL;
}

const struct api_cap *api_cap_find(u32 number)
{
    for (const struct api_part *const *p = api_parts; *p; p++)
        for (const struct api_cap *c = (*p)->caps; c && c->name; c++)
            if (c->number == number)
                return c;
    return NULL;
}

static long call(const struct api_ioctl *row, struct api_file *f, struct api_arg *arg)
{
    long r;
    if (row->system)
        return row->system(arg);
    if (row->vm) {
        struct api_vm *vm = f->object;
        if (row->unlocked)
            return row->vm(vm, arg);
        pthread_mutex_lock(&vm->lock);
        r = row->vm(vm, arg);
        pthread_mutex_unlock(&vm->lock);
        return r;
    }
    struct api_vcpu *v = f->object;
    pthread_mutex_lock(&v->mutex);
    r = row->vcpu(v, arg);
    pthread_mutex_unlock(&v->mutex);
    return r;
}

long api_dispatch(struct api_file *f, unsigned long request, u64 arg)
{
    u8 copy[STRUCT_MAX] __attribute__((aligned(64)));
    struct api_arg a = {.value = arg};
    if (f->kind != FILE_SYSTEM && file_is_foreign(f))
        return -EIO;
    const struct api_ioctl *row = find(request, f->kind);
    if (!row) {
        api_trace(API_TRACE_UNKNOWN, "ioctl %#lx (number %#lx) is not offered", request, _IOC_NR(request));
        return -ENOTTY;
    }
    size_t size = _IOC_SIZE(request);
    if (size && _IOC_DIR(request) != _IOC_NONE && !row->raw) {
        if (_IOC_DIR(request) & _IOC_WRITE) {
            if (user_read(copy, arg, size))
                return -EFAULT;
        } else {
            memset(copy, 0, size);
        }
        a.data = copy;
    }
    long r = call(row, f, &a);
    if (row->vcpu != run_vcpu && api_traced(API_TRACE_IOCTL))
        api_trace(API_TRACE_IOCTL, "%s: %ld", row->name, r);
    if (r >= 0 && a.data && _IOC_DIR(request) & _IOC_READ && user_write(arg, copy, size))
        return -EFAULT;
    return r;
}
