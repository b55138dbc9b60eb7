/*
 * Guest debugging: KVM_SET_GUEST_DEBUG and KVM_EXIT_DEBUG, in L1 and L2. The engine steps and has breakpoints of its
 * own, so the guest's debug registers and TF stay the guest's, and #DB that the guest caused itself is delivered to it.
 */
#include "kvmapi/debug.h"

#include "x86/regs.h"

#include <errno.h>
#include <stdlib.h>

#define CONTROLS                                                                                                       \
    (KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_USE_SW_BP |                 \
     KVM_GUESTDBG_INJECT_BP | KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_BLOCKIRQ)

/* Injects an exception as if the guest had met it: #BP comes after its INT3, #DB before the next instruction. */
static long inject(struct api_vcpu *v, u32 control)
{
    struct cpu_state *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    cpu_state_get(v->cpu, s, STATE_EVENTS);
    struct cpu_events *e = &s->events;
    long r = -EBUSY;
    if (!e->injected.valid && !e->raised.valid) {
        if (control & KVM_GUESTDBG_INJECT_DB)
            e->raised = (struct event){.valid = true, .vector = EXC_DB, .type = EVENT_EXCEPTION};
        else
            e->injected = (struct event){.valid = true, .vector = EXC_BP, .type = EVENT_SOFT_EXC, .insn_len = 1};
        r = api_state_set(v, s, STATE_EVENTS);
    }
    free(s);
    return r;
}

static long set_guest_debug(struct api_vcpu *v, struct api_arg *arg)
{
    const struct kvm_guest_debug *k = arg->data;
    u32 control = k->control;
    struct cpu_debug d = {0};
    if (control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)) {
        long r = inject(v, control);
        if (r)
            return r;
    }
    if (control & KVM_GUESTDBG_ENABLE) {
        d.on = (control & KVM_GUESTDBG_USE_SW_BP ? CPU_DEBUG_INT3 : 0) |
               (control & KVM_GUESTDBG_USE_HW_BP ? CPU_DEBUG_HW : 0) |
               (control & KVM_GUESTDBG_SINGLESTEP ? CPU_DEBUG_STEP : 0) |
               (control & KVM_GUESTDBG_BLOCKIRQ ? CPU_DEBUG_NO_IRQ : 0);
        for (unsigned i = 0; i < 4; i++)
            d.dr[i] = k->arch.debugreg[i];
        d.dr7 = k->arch.debugreg[7];
    }
    cpu_debug_set(v->cpu, &d);
    return 0;
}

long debug_exit(struct api_vcpu *v)
{
    const struct cpu_exit_debug *e = cpu_debug_exit(v->cpu);
    v->run->exit_reason = KVM_EXIT_DEBUG;
    v->run->debug.arch =
        (struct kvm_debug_exit_arch){.exception = e->vector, .pc = e->pc, .dr6 = e->dr6, .dr7 = e->dr7};
    return 0;
}

static const struct api_ioctl ioctls[] = {
    API_VCPU(KVM_SET_GUEST_DEBUG, set_guest_debug),
    {0},
};

static const struct api_cap caps[] = {
    API_CAP(KVM_CAP_SET_GUEST_DEBUG, 1),
    API_CAP(KVM_CAP_SET_GUEST_DEBUG2, CONTROLS),
    {0},
};

const struct api_part debug_part = {.name = "debug", .ioctls = ioctls, .caps = caps};
