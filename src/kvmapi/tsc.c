/*
 * TSCs by the API. Guests' TSCs count at the host's rate, or at one that the program gives. When a program writes those
 * of several vCPUs one after the other it means them to be the same: as in the kernel, a write that is within a second
 * of where the last one would have got to by now, or that is 0, takes over the offset of that one, if they count alike.
 */
#include "kvmapi/tsc.h"

#include <errno.h>

#define TOLERANCE_PPM 250   /* a rate this near to the host's is the host's */
#define KHZ_MAX 0x7fffffffu /* as the kernel has it with hardware that scales */

static u64 host_tsc(void)
{
    return __builtin_ia32_rdtsc();
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of every VM's struct api_tsc */

static bool is_hosts(u32 khz)
{
    u64 own = api_tsc_khz(), apart = khz > own ? khz - own : own - khz;
    return apart * 1000000 <= own * TOLERANCE_PPM;
}

/* The rate at which the vCPU's TSC counts. What other processes measured on this host differs a little from ours. */
static u32 real_khz(const struct api_vcpu *v)
{
    return is_hosts(v->tsc_khz) ? (u32)api_tsc_khz() : v->tsc_khz;
}

void tsc_write(struct api_vcpu *v, u64 value)
{
    struct api_tsc *t = &v->vm->tsc;
    u32 khz = real_khz(v);
    u64 now = host_tsc(), second = v->tsc_khz * 1000ull;
    pthread_mutex_lock(&lock);
    u64 expected = t->value + cpu_tsc_scaled(v->cpu, now - t->host);
    bool near = !value || (value < expected + second && value + second > expected);
    if (!t->written || t->khz != khz || !near)
        t->offset = value - cpu_tsc_scaled(v->cpu, now);
    t->written = true;
    t->khz = khz;
    t->value = value;
    t->host = now;
    u64 offset = t->offset;
    pthread_mutex_unlock(&lock);
    cpu_tsc_offset_set(v->cpu, offset);
}

/* -- the rate -- */

static void rate_set(struct api_vcpu *v, u32 khz)
{
    v->tsc_khz = khz;
    cpu_tsc_khz_set(v->cpu, khz, !is_hosts(khz));
}

static u32 default_khz(const struct api_vm *vm)
{
    return vm->tsc_khz ? vm->tsc_khz : (u32)api_tsc_khz();
}

static int vcpu_create(struct api_vcpu *v)
{
    rate_set(v, default_khz(v->vm));
    return 0;
}

static long get_khz(struct api_vcpu *v, struct api_arg *arg)
{
    return v->tsc_khz;
}

static long set_khz(struct api_vcpu *v, struct api_arg *arg)
{
    u32 khz = (u32)arg->value;
    if (khz >= KHZ_MAX)
        return -EINVAL;
    rate_set(v, khz ? khz : (u32)api_tsc_khz());
    return 0;
}

static long get_vm_khz(struct api_vm *vm, struct api_arg *arg)
{
    return default_khz(vm);
}

static long set_vm_khz(struct api_vm *vm, struct api_arg *arg)
{
    u32 khz = (u32)arg->value;
    if (khz >= KHZ_MAX)
        return -EINVAL;
    vm->tsc_khz = khz;
    return 0;
}

/* -- attributes -- */

static bool is_offset(const struct kvm_device_attr *a)
{
    return a->group == KVM_VCPU_TSC_CTRL && a->attr == KVM_VCPU_TSC_OFFSET;
}

static long has_attr(struct api_vcpu *v, struct api_arg *arg)
{
    return is_offset(arg->data) ? 0 : -ENXIO;
}

static long get_attr(struct api_vcpu *v, struct api_arg *arg)
{
    const struct kvm_device_attr *a = arg->data;
    u64 offset = cpu_tsc_offset(v->cpu);
    return is_offset(a) ? user_write(a->addr, &offset, sizeof(offset)) : -ENXIO;
}

static long set_attr(struct api_vcpu *v, struct api_arg *arg)
{
    const struct kvm_device_attr *a = arg->data;
    struct api_tsc *t = &v->vm->tsc;
    u64 offset;
    if (!is_offset(a))
        return -ENXIO;
    if (user_read(&offset, a->addr, sizeof(offset)))
        return -EFAULT;
    pthread_mutex_lock(&lock);
    t->written = true;
    t->offset = offset;
    t->host = host_tsc();
    t->value = cpu_tsc_scaled(v->cpu, t->host) + offset;
    t->khz = real_khz(v);
    pthread_mutex_unlock(&lock);
    cpu_tsc_offset_set(v->cpu, offset);
    return 0;
}

static const struct api_ioctl ioctls[] = {
    API_VCPU(KVM_GET_TSC_KHZ, get_khz),      API_VCPU(KVM_SET_TSC_KHZ, set_khz),
    API_VM(KVM_GET_TSC_KHZ, get_vm_khz),     API_VM(KVM_SET_TSC_KHZ, set_vm_khz),
    API_VCPU(KVM_HAS_DEVICE_ATTR, has_attr), API_VCPU(KVM_GET_DEVICE_ATTR, get_attr),
    API_VCPU(KVM_SET_DEVICE_ATTR, set_attr), {0},
};

static const struct api_cap caps[] = {
    API_CAP(KVM_CAP_GET_TSC_KHZ, 1),
    API_CAP(KVM_CAP_TSC_CONTROL, 1),
    API_CAP(KVM_CAP_VM_TSC_CONTROL, 1),
    API_CAP(KVM_CAP_VCPU_ATTRIBUTES, 1),
    {0},
};

const struct api_part tsc_part = {.name = "tsc", .ioctls = ioctls, .caps = caps, .vcpu_create = vcpu_create};
