/*
 * Registers of a vCPU by the API's structs. On any thread, with vcpu.mutex held.
 */
#include "kvmapi/registers.h"

#include "accel/kvm_convert.h"
#include "x86/regs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int api_state_set(struct api_vcpu *v, const struct cpu_state *state, u64 given)
{
    const char *bad;
    int e = cpu_state_set(v->cpu, state, given, &bad);
    if (e)
        api_trace(API_TRACE_UNKNOWN, "vCPU %u: refused: %s", v->id, bad);
    return e;
}

/* A struct cpu_state is large: one per vCPU and call, from the heap. */
static struct cpu_state *state_new(struct api_vcpu *v, u64 wanted)
{
    struct cpu_state *s = aligned_alloc(64, sizeof(*s));
    if (!s)
        return NULL;
    s->msrs = 0;
    cpu_state_get(v->cpu, s, wanted);
    return s;
}

static long get_regs(struct api_vcpu *v, struct api_arg *arg)
{
    struct cpu_state *s = state_new(v, STATE_GPRS);
    if (!s)
        return -ENOMEM;
    regs_to_kvm(s, arg->data);
    free(s);
    return 0;
}

static long set_regs(struct api_vcpu *v, struct api_arg *arg)
{
    struct cpu_state *s = state_new(v, STATE_GPRS);
    if (!s)
        return -ENOMEM;
    u64 rip = s->rip;
    regs_from_kvm(arg->data, s);
    s->rflags |= FLAG_ONE;
    int e = api_state_set(v, s, STATE_GPRS);
    if (!e && s->rip != rip)
        queue_forget(&v->queue);
    free(s);
    return e;
}

static long get_sregs2(struct api_vcpu *v, struct api_arg *arg)
{
    struct cpu_state *s = state_new(v, STATE_SEGMENTS | STATE_CONTROL);
    if (!s)
        return -ENOMEM;
    sregs_to_kvm(s, arg->data);
    free(s);
    return 0;
}

static long set_sregs2(struct api_vcpu *v, struct api_arg *arg)
{
    struct cpu_state *s = state_new(v, STATE_SEGMENTS | STATE_CONTROL);
    if (!s)
        return -ENOMEM;
    sregs_from_kvm(arg->data, s);
    int e = api_state_set(v, s, STATE_SEGMENTS | STATE_CONTROL);
    free(s);
    return e;
}

static long get_sregs(struct api_vcpu *v, struct api_arg *arg)
{
    struct kvm_sregs2 k;
    struct api_arg inner = {.data = &k};
    long e = get_sregs2(v, &inner);
    if (!e)
        sregs_to_old(&k, arg->data);
    return e;
}

static long set_sregs(struct api_vcpu *v, struct api_arg *arg)
{
    struct kvm_sregs2 k;
    struct api_arg inner = {.data = &k};
    sregs_from_old(arg->data, &k);
    return set_sregs2(v, &inner);
}

long registers_sync_in(struct api_vcpu *v)
{
    if (v->run->kvm_valid_regs || v->run->kvm_dirty_regs)
        return -EINVAL;
    return 0;
}

void registers_sync_out(struct api_vcpu *v)
{
}

static const struct api_ioctl ioctls[] = {
    API_VCPU(KVM_GET_REGS, get_regs),
    API_VCPU(KVM_SET_REGS, set_regs),
    API_VCPU(KVM_GET_SREGS, get_sregs),
    API_VCPU(KVM_SET_SREGS, set_sregs),
    API_VCPU(KVM_GET_SREGS2, get_sregs2),
    API_VCPU(KVM_SET_SREGS2, set_sregs2),
    {0},
};

static const struct api_cap caps[] = {
    API_CAP(KVM_CAP_SREGS2, 1),
    {0},
};

const struct api_part registers_part = {.name = "registers", .ioctls = ioctls, .caps = caps};
