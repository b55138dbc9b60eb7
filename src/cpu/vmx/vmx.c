/*
 * VMX's face to the core: creation, reset, and the table of functions that instruction handlers, the MMU and event
 * delivery call through v->nested.
 */
#include "cpu/vmx/vmx.h"
#include "cpu/core/copy.h"
#include "cpu/event/lapic.h"
#include "cpu/mmu/cr.h"
#include "cpu/vmx/ept.h"

size_t vmx_size(void)
{
    return sizeof(struct vmx);
}

static void vmx_reset(struct vcpu *v)
{
    struct vmx *x = v->vmx;
    struct vmx_caps own = x->own;
    fill_bytes(x, 0, sizeof(*x));
    x->current = x->vmxon = VMX_NO_POINTER;
    x->own = own;
    x->caps = &x->own;
    x->cr4_may = cr4_allowed(v->vm->features);
    if (v->in_guest)
        mmu_set_stage2(v, STAGE2_NONE, 0, 0);
    v->in_guest = false;
}

static bool vmx_init_blocked(const struct vcpu *v)
{
    return v->vmx->on && !v->in_guest;
}

static bool vmx_stepping(const struct vcpu *v)
{
    return v->vmx->f.proc & PROC_MONITOR_TRAP;
}

/* SDM "Default Treatment of SMI Delivery". The fields of the VMCS stay as they are. */
static void vmx_smm_enter(struct vcpu *v, struct smram64 *m)
{
    struct vmx *x = v->vmx;
    x->smm_vmxe = v->cr4 & CR4_VMXE;
    x->smm_on = x->on;
    x->smm_guest = v->in_guest;
    v->cr4 &= ~CR4_VMXE;
    x->on = v->in_guest = false;
    if (x->smm_guest) {
        tsc_of_l1(v);
        mmu_set_stage2(v, STAGE2_NONE, 0, 0);
    }
}

/* SDM "Default Treatment of RSM". */
static bool vmx_smm_may_leave(struct vcpu *v, u64 cr4, u64 efer)
{
    return !(cr4 & CR4_VMXE);
}

static bool vmx_smm_leave(struct vcpu *v)
{
    struct vmx *x = v->vmx;
    bool guest = x->smm_guest, unrestricted = guest && x->proc2 & PROC2_UNRESTRICTED_GUEST;
    if (x->smm_vmxe)
        v->cr4 |= CR4_VMXE;
    x->on = x->smm_on;
    x->smm_vmxe = x->smm_on = x->smm_guest = false;
    if (x->on) {
        v->cr0 |= CR0_NE | (unrestricted ? 0 : CR0_PE | CR0_PG);
        if (!(v->flags & FLAG_VM) && !unrestricted) {
            u16 dpl = (v->seg[SEG_SS].attr & SEG_DPL_MASK) >> SEG_DPL_SHIFT;
            v->seg[SEG_CS].sel = (u16)((v->seg[SEG_CS].sel & ~3) | dpl);
            v->seg[SEG_SS].sel = (u16)((v->seg[SEG_SS].sel & ~3) | dpl);
        }
    }
    if (guest) {
        v->in_guest = true;
        vmx_load_translation(v, x);
        vmx_load_tsc(v, x);
        timers_update(v);
    }
    return guest;
}

static bool vmx_active(const struct vcpu *v)
{
    const struct vmx *x = v->vmx;
    return __atomic_load_n(&x->on, __ATOMIC_RELAXED);
}

const struct nested_ops vmx_ops = {
    .active = vmx_active,
    .intercept = vmx_intercept,
    .user_is_plain = vmx_user_is_plain,
    .exception = vmx_exception,
    .event = vmx_event,
    .stage2 = vmx_stage2,
    .intr_allowed = vmx_intr_allowed,
    .nmi_allowed = vmx_nmi_allowed,
    .windows = vmx_windows,
    .cr_read = vmx_cr_read,
    .cr_write = vmx_cr_write,
    .msr_read = vmx_msr_read,
    .msr_write = vmx_msr_write,

    .msr_put = vmx_msr_put,
    .cr_valid = vmx_cr_valid,
    .init_blocked = vmx_init_blocked,
    .stepping = vmx_stepping,
    .deadline = vmx_deadline,
    .timer = vmx_timer,
    .tsc_seen = vmx_tsc_seen,
    .tsc_changed = vmx_tsc_changed,
    .stage2_walk = ept_walk,
    .apic_access = vmx_apic_access,
    .apic_written = vmx_apic_written,
    .reset = vmx_reset,
    .smm_enter = vmx_smm_enter,
    .smm_may_leave = vmx_smm_may_leave,
    .smm_leave = vmx_smm_leave,
    .state_get = vmx_state_get,
    .state_refusal = vmx_state_refusal,
    .state_set = vmx_state_set,
};

void vmx_init(struct vcpu *v, void *memory)
{
    v->vmx = memory;
    v->nested = &vmx_ops;
    v->vmx->own = vmx_offered;
    vmx_reset(v);
}
