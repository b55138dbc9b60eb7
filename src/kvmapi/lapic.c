/*
 * What the KVM API has of a vCPU's local APIC, and of interrupts that the program gives where it has controllers of its
 * own: KVM_INTERRUPT, the interrupt window, and the fields of kvm_run for them.
 */
#include "kvmapi/interrupts.h"
#include "kvmapi/irqchip.h"

#include "accel/kvm_convert.h"
#include "x86/apic.h"
#include "x86/msr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LAPIC_STATE (STATE_CONTROL | STATE_APIC)

static struct cpu_state *state_new(struct api_vcpu *v)
{
    struct cpu_state *s = aligned_alloc(64, sizeof(*s));
    if (s)
        cpu_state_get(v->cpu, s, LAPIC_STATE);
    return s;
}

static long get_lapic(struct api_vcpu *v, struct api_arg *arg)
{
    if (!irqchip_exists(v->vm->chips))
        return -EINVAL;
    struct cpu_state *s = state_new(v);
    if (!s)
        return -ENOMEM;
    lapic_to_kvm(s, v->vm->chips->wide_ids, arg->data);
    free(s);
    return 0;
}

/* KVM_SET_LAPIC takes a one-shot timer without a current count, as QEMU gives it, for one that ends now. */
static void timer_begin(struct cpu_apic *a)
{
    bool one_shot = !(a->page[APIC_LVT_TIMER / 4] & (LVT_TIMER_PERIODIC | LVT_TIMER_DEADLINE));
    if (one_shot && a->page[APIC_INITIAL_COUNT / 4] && !a->page[APIC_CURRENT_COUNT / 4])
        a->page[APIC_CURRENT_COUNT / 4] = 1;
}

static long set_lapic(struct api_vcpu *v, struct api_arg *arg)
{
    bool wide = v->vm->chips->wide_ids;
    if (!irqchip_exists(v->vm->chips))
        return -EINVAL;
    struct cpu_state *s = state_new(v);
    if (!s)
        return -ENOMEM;
    lapic_from_kvm(arg->data, wide, s);
    bool foreign = wide && s->apic_base & APIC_BASE_EXTD && s->apic.page[APIC_ID / 4] != v->id;
    timer_begin(&s->apic);
    cpu_apic_clean(v->cpu, &s->apic);
    s->cr8 = s->apic.page[APIC_TPR / 4] >> 4;
    long r = foreign ? -EINVAL : api_state_set(v, s, LAPIC_STATE);
    free(s);
    return r;
}

static long interrupt(struct api_vcpu *v, struct api_arg *arg)
{
    const struct kvm_interrupt *k = arg->data;
    if (k->irq > 255)
        return -EINVAL;
    if (v->vm->chips->kind == IRQCHIP_FULL)
        return -ENXIO;
    int e = cpu_interrupt(v->cpu, (u8)k->irq);
    return v->vm->chips->kind == IRQCHIP_NONE ? 0 : e;
}

static long nmi(struct api_vcpu *v, struct api_arg *arg)
{
    cpu_nmi(v->cpu);
    return 0;
}

static long smi(struct api_vcpu *v, struct api_arg *arg)
{
    cpu_smi(v->cpu);
    return 0;
}

/*
 * The TPR by memory that the guest's patched code uses (KVM_CAP_VAPIC): programs need it when accesses to the TPR are
 * reported to them. Like KVM on hardware that virtualizes the TPR, this reports none.
 */
static long tpr_access_reporting(struct api_vcpu *v, struct api_arg *arg)
{
    const struct kvm_tpr_access_ctl *k = arg->data;
    return k->flags ? -EINVAL : 0;
}

static long set_vapic_addr(struct api_vcpu *v, struct api_arg *arg)
{
    return irqchip_exists(v->vm->chips) ? 0 : -EINVAL;
}

/* -- a vector that waits, in the state -- */

void lapic_events_shown(const struct api_vcpu *v, struct cpu_events *e)
{
    if (v->vm->chips->kind == IRQCHIP_SPLIT)
        e->pushed = false;
}

void lapic_events_given(const struct api_vcpu *v, const struct cpu_events *was, struct cpu_events *e)
{
    struct cpu_interruptibility i;
    bool injected = e->injected.valid && e->injected.type == EVENT_EXTINT;
    e->pushed = v->vm->chips->kind == IRQCHIP_SPLIT && was->pushed;
    e->pushed_vector = e->pushed ? was->pushed_vector : 0;
    if (v->vm->chips->kind != IRQCHIP_NONE || !injected)
        return;
    /* The vector waits for IF. But while L2 runs, a vector that is new here is an injection that was under way. */
    cpu_interruptibility(v->cpu, &i);
    if (i.guest && !(was->pushed && was->pushed_vector == e->injected.vector))
        return;
    e->pushed = true;
    e->pushed_vector = e->injected.vector;
    e->injected = (struct event){0};
}

/* -- kvm_run -- */

static void enter(struct api_vcpu *v)
{
    enum irqchip_kind kind = v->vm->chips->kind;
    if (kind == IRQCHIP_NONE)
        cpu_tpr_set(v->cpu, v->run->cr8 & 15);
    cpu_window_set(v->cpu, kind != IRQCHIP_FULL && v->run->request_interrupt_window);
}

static void leave(struct api_vcpu *v)
{
    struct cpu_interruptibility i;
    cpu_interruptibility(v->cpu, &i);
    v->run->if_flag = i.flag;
    v->run->cr8 = i.tpr;
    v->run->apic_base = i.apic_base;
    v->run->ready_for_interrupt_injection = v->vm->chips->kind == IRQCHIP_FULL || i.ready;
}

static const struct api_ioctl ioctls[] = {
    API_VCPU(KVM_GET_LAPIC, get_lapic),
    API_VCPU(KVM_SET_LAPIC, set_lapic),
    API_VCPU(KVM_INTERRUPT, interrupt),
    API_VCPU(KVM_NMI, nmi),
    API_VCPU(KVM_SMI, smi),
    API_VCPU(KVM_TPR_ACCESS_REPORTING, tpr_access_reporting),
    API_VCPU(KVM_SET_VAPIC_ADDR, set_vapic_addr),
    {0},
};

static const struct api_cap caps[] = {
    API_CAP(KVM_CAP_USER_NMI, 1),
    API_CAP(KVM_CAP_X86_SMM, 1),
    API_CAP(KVM_CAP_MULTI_ADDRESS_SPACE, RAM_SPACES),
    API_CAP(KVM_CAP_VAPIC, 1),
    {0},
};

const struct api_part lapic_part = {.name = "lapic", .ioctls = ioctls, .caps = caps, .enter = enter, .leave = leave};
