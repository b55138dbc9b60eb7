/*
 * KVM's interface for guests: what CPUID offers of it, the VM's clock, hypercalls that the program performs. The work
 * is the engine's (cpu/insn/paravirt.c).
 */
#include "kvmapi/paravirt.h"

#include "x86/kvm_para.h"

#include <errno.h>
#include <stdlib.h>

/* Not offered: page faults of nested guests that L1 handles; MSIs with 15 bits of destination, which are the I/O APIC's
 * business. */
#define OFFERED                                                                                                        \
    (BIT(KVM_PARA_CLOCKSOURCE) | BIT(KVM_PARA_NOP_IO_DELAY) | BIT(KVM_PARA_CLOCKSOURCE2) | BIT(KVM_PARA_ASYNC_PF) |    \
     BIT(KVM_PARA_STEAL_TIME) | BIT(KVM_PARA_EOI) | BIT(KVM_PARA_UNHALT) | BIT(KVM_PARA_TLB_FLUSH) |                   \
     BIT(KVM_PARA_SEND_IPI) | BIT(KVM_PARA_POLL_CONTROL) | BIT(KVM_PARA_SCHED_YIELD) | BIT(KVM_PARA_ASYNC_PF_INT) |    \
     BIT(KVM_PARA_CLOCK_STABLE))

#define LEAF_SIGNATURE 0x40000000u
#define LEAF_FEATURES 0x40000001u

void paravirt_leaves(struct cpu_features *f)
{
    static const u32 signature[3] = KVM_PARA_SIGNATURE;
    u32 kept = 0, at = 0;
    for (u32 i = 0; i < f->leaf_count; i++) {
        if (f->leaf[i].leaf >> 16 == LEAF_SIGNATURE >> 16)
            continue;
        f->leaf[kept++] = f->leaf[i];
        if (f->leaf[i].leaf < LEAF_SIGNATURE)
            at = kept;
    }
    if (kept + 2 > CPUID_LEAVES)
        return;
    for (u32 i = kept; i > at; i--)
        f->leaf[i + 1] = f->leaf[i - 1];
    f->leaf[at] =
        (struct cpuid_leaf){.leaf = LEAF_SIGNATURE, .r = {LEAF_FEATURES, signature[0], signature[1], signature[2]}};
    f->leaf[at + 1] = (struct cpuid_leaf){.leaf = LEAF_FEATURES, .r = {OFFERED}};
    f->leaf_count = kept + 2;
}

/* -- the clock -- */

static long get_clock(struct api_vm *vm, struct api_arg *arg)
{
    struct kvm_clock_data *k = arg->data;
    struct cpu_clock c;
    cpu_clock_get(vm->cpus, &c);
    *k = (struct kvm_clock_data){.clock = c.ns};
    if (c.stable) {
        k->flags = KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
        k->realtime = c.wall_ns;
        k->host_tsc = c.tsc;
    }
    return 0;
}

static long set_clock(struct api_vm *vm, struct api_arg *arg)
{
    const struct kvm_clock_data *k = arg->data;
    struct cpu_clock c;
    u64 ns = k->clock;
    if (k->flags & ~(u32)(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC))
        return -EINVAL;
    cpu_clock_get(vm->cpus, &c);
    if (k->flags & KVM_CLOCK_REALTIME && c.wall_ns > k->realtime)
        ns += c.wall_ns - k->realtime; /* the time since the clock was read */
    cpu_clock_set(vm->cpus, ns);
    return 0;
}

static long kvmclock_ctrl(struct api_vcpu *v, struct api_arg *arg)
{
    return cpu_clock_stopped(v->cpu) ? 0 : -EINVAL;
}

/* -- hypercalls -- */

long paravirt_exit(struct api_vcpu *v)
{
    const struct cpu_exit_hypercall *h = cpu_hypercall(v->cpu);
    struct kvm_run *run = v->run;
    run->exit_reason = KVM_EXIT_HYPERCALL;
    run->hypercall.nr = h->number;
    for (unsigned i = 0; i < ARRAY_LEN(run->hypercall.args); i++)
        run->hypercall.args[i] = h->arg[i];
    run->hypercall.ret = 0;
    run->hypercall.longmode = h->wide;
    v->pv->hypercall = true;
    return 0;
}

static void enter(struct api_vcpu *v)
{
    if (v->pv->hypercall)
        cpu_hypercall_finish(v->cpu, v->run->hypercall.ret);
    if (v->pv->hyperv)
        cpu_hyperv_finish(v->cpu, v->run->hyperv.u.hcall.result);
    if (v->pv->debug)
        cpu_hyperv_debug_status(v->vm->cpus, v->run->hyperv.u.syndbg.status);
    v->pv->hypercall = v->pv->hyperv = v->pv->debug = false;
}

static long enable_exits(struct api_vm *vm, const struct kvm_enable_cap *cap)
{
    if (cap->args[0] & ~BIT64(KVM_CALL_MAP_GPA_RANGE))
        return -EINVAL;
    cpu_hypercall_exits(vm->cpus, cap->args[0]);
    return 0;
}

static long enable_enforcing(struct api_vcpu *v, const struct kvm_enable_cap *cap)
{
    cpu_paravirt_enforce(v->cpu, cap->args[0]);
    return 0;
}

static int vcpu_create(struct api_vcpu *v)
{
    v->pv = calloc(1, sizeof(*v->pv));
    return v->pv ? 0 : -ENOMEM;
}

static void vcpu_destroy(struct api_vcpu *v)
{
    free(v->pv);
}

static const struct api_ioctl ioctls[] = {
    API_VM(KVM_GET_CLOCK, get_clock),
    API_VM(KVM_SET_CLOCK, set_clock),
    API_VCPU(KVM_KVMCLOCK_CTRL, kvmclock_ctrl),
    {0},
};

static const struct api_cap caps[] = {
    API_CAP(KVM_CAP_CLOCKSOURCE, 1),
    API_CAP(KVM_CAP_NOP_IO_DELAY, 1),
    API_CAP(KVM_CAP_ADJUST_CLOCK, KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC),
    API_CAP(KVM_CAP_KVMCLOCK_CTRL, 1),
    API_CAP(KVM_CAP_ASYNC_PF, 1),
    API_CAP(KVM_CAP_ASYNC_PF_INT, 1),
    API_CAP(KVM_CAP_EXIT_HYPERCALL, BIT(KVM_CALL_MAP_GPA_RANGE), .enable_vm = enable_exits),
    API_CAP(KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1, .enable_vcpu = enable_enforcing),
    {0},
};

const struct api_part paravirt_part = {.name = "paravirt",
                                       .ioctls = ioctls,
                                       .caps = caps,
                                       .vcpu_create = vcpu_create,
                                       .vcpu_destroy = vcpu_destroy,
                                       .enter = enter};
