/*
 * VMX as a part of the vCPU's state: cpu/state.c calls these functions while the vCPU does not run. While L2 runs, its
 * registers are the vCPU's and L1's are the host-state area of the current VMCS, so the VMCS and a few flags are all
 * that is to be saved. The VMCS has the form of its region; the shadow VMCS is in memory only.
 */
#include "cpu/core/copy.h"
#include "cpu/event/lapic.h"
#include "cpu/vmx/checks.h"

_Static_assert(STATE_VMCS_SIZE == VMCS_SIZE, "the state has room for a VMCS region");

/* -- the region's form -- */

struct region {
    u32 revision, abort, launched, reserved;
    struct vmcs f;
    u8 rest[VMCS_SIZE - VMCS_DATA_OFFSET - sizeof(struct vmcs)];
};
_Static_assert(sizeof(struct region) == VMCS_SIZE && offsetof(struct region, f) == VMCS_DATA_OFFSET &&
                   offsetof(struct region, launched) == VMCS_LAUNCH_OFFSET,
               "the layout of vmx/vmcs.h");

void vmx_state_get(struct vcpu *v, struct cpu_nested *n)
{
    const struct vmx *x = v->vmx;
    struct region *r = (struct region *)n->vmx.vmcs;
    fill_bytes(n, 0, sizeof(*n));
    n->kind = CPU_NESTED_VMX;
    n->guest = v->in_guest;
    bool on = x->on || x->smm_on;
    n->vmx.vmxon = on ? x->vmxon : STATE_NO_POINTER;
    n->vmx.current = on ? x->current : STATE_NO_POINTER;
    n->vmx.smm_vmxe = x->smm_vmxe;
    n->vmx.smm_vmxon = x->smm_on;
    n->vmx.smm_guest = x->smm_guest;
    if (x->smm_guest)
        copy_bytes(n->vmx.smm_pdpte, v->smm.pdpte, sizeof(n->vmx.smm_pdpte));
    if (v->in_guest || x->smm_guest) {
        n->vmx.mtf_pending = x->mtf_pending;
        n->vmx.tpr_pending = x->tpr_pending;
        n->vmx.nmi_held = x->nmi_held;
        n->vmx.step_owed = v->in_guest && v->step_owed;
        n->vmx.timer_on = x->timer_on;
        n->vmx.timer_end = x->timer_on ? x->timer_end : 0;
    }
    if (n->vmx.current == STATE_NO_POINTER)
        return;
    r->revision = VMCS_REVISION | (x->shadow ? VMCS_SHADOW : 0);
    r->launched = x->launched;
    copy_bytes(&r->f, &x->f, sizeof(r->f));
}

/* -- what is refused -- */

static bool all_zero(const u8 *p, size_t n)
{
    u8 any = 0;
    while (n--)
        any |= *p++;
    return !any;
}

static const char *region_refusal(const struct vcpu *v, const struct cpu_nested *n)
{
    const struct region *r = (const struct region *)n->vmx.vmcs;
    if (n->vmx.current == STATE_NO_POINTER)
        return all_zero(n->vmx.vmcs, sizeof(n->vmx.vmcs)) ? NULL : "vmx.vmcs";
    if ((r->revision & ~VMCS_SHADOW) != VMCS_REVISION)
        return "vmx.vmcs (its layout is not the engine's)";
    if (r->revision & VMCS_SHADOW && !(v->vmx->caps->proc2 & PROC2_SHADOW_VMCS))
        return "vmx.vmcs";
    if (r->abort || r->launched > 1 || r->reserved || !all_zero(r->rest, sizeof(r->rest)))
        return "vmx.vmcs";
    return n->vmx.has_shadow ? "vmx.shadow_vmcs" : NULL;
}

/* The controls and the host-state area of the VMCS that L2 runs by, as VM entry checked them. */
static const char *guest_refusal(struct vcpu *v, const struct cpu_nested *n)
{
    const struct region *r = (const struct region *)n->vmx.vmcs;
    const struct rule *broken = v->broken_rule;
    if (n->vmx.current == STATE_NO_POINTER || !r->launched || r->revision & VMCS_SHADOW)
        return "nested.guest";
    struct vmx x = {.caps = v->vmx->caps, .cr4_may = v->vmx->cr4_may};
    copy_bytes(&x.f, &r->f, sizeof(x.f));
    x.proc2 = x.f.proc & PROC_SECONDARY ? x.f.proc2 : 0;
    x.f.tpr_threshold = 0; /* VTPR was at least the threshold at VM entry, not since */
    bool good = vmx_check_controls(v, &x) && vmx_check_host_area(v, &x);
    const char *text = good ? NULL : v->broken_rule->text;
    v->broken_rule = broken;
    return text;
}

const char *vmx_state_refusal(struct vcpu *v, const struct cpu_nested *n)
{
    const u64 vmxon = n->vmx.vmxon, current = n->vmx.current;
    if (n->kind != CPU_NESTED_VMX)
        return "nested.kind";
    if (vmxon != STATE_NO_POINTER && !rule_page(v, vmxon))
        return "vmx.vmxon";
    if (current != STATE_NO_POINTER && (vmxon == STATE_NO_POINTER || !rule_page(v, current) || current == vmxon))
        return "vmx.current";
    const char *bad = region_refusal(v, n);
    if (bad)
        return bad;
    if (n->vmx.timer_end && !n->vmx.timer_on)
        return "vmx.timer_end";
    if (n->vmx.smm_vmxon && (vmxon == STATE_NO_POINTER || !n->vmx.smm_vmxe || n->guest))
        return "vmx.smm_vmxon";
    if (n->vmx.smm_guest && !n->vmx.smm_vmxon)
        return "vmx.smm_guest";
    if (!n->vmx.smm_guest && !all_zero((const u8 *)n->vmx.smm_pdpte, sizeof(n->vmx.smm_pdpte)))
        return "vmx.smm_pdpte";
    if (n->guest || n->vmx.smm_guest)
        return guest_refusal(v, n);
    return n->vmx.mtf_pending || n->vmx.tpr_pending || n->vmx.nmi_held || n->vmx.step_owed || n->vmx.timer_on
               ? "nested.guest"
               : NULL;
}

/* -- setting -- */

void vmx_state_set(struct vcpu *v, const struct cpu_nested *n)
{
    struct vmx *x = v->vmx;
    const struct region *r = (const struct region *)n->vmx.vmcs;
    bool runs = n->guest || n->vmx.smm_guest;
    x->smm_vmxe = n->vmx.smm_vmxe;
    x->smm_on = n->vmx.smm_vmxon;
    x->smm_guest = n->vmx.smm_guest;
    copy_bytes(v->smm.pdpte, n->vmx.smm_pdpte, sizeof(v->smm.pdpte));
    x->on = n->vmx.vmxon != STATE_NO_POINTER && !x->smm_on;
    x->vmxon = n->vmx.vmxon;
    x->current = n->vmx.current;
    x->shadow = r->revision & VMCS_SHADOW;
    x->launched = r->launched;
    copy_bytes(&x->f, &r->f, sizeof(x->f));
    x->proc2 = runs && x->f.proc & PROC_SECONDARY ? x->f.proc2 : 0;
    x->mtf_pending = n->vmx.mtf_pending;
    x->tpr_pending = n->vmx.tpr_pending;
    x->nmi_held = n->vmx.nmi_held;
    v->step_owed = n->vmx.step_owed;
    x->timer_on = n->vmx.timer_on;
    x->timer_end = n->vmx.timer_end;
    vmx_tsc_changed(v);
    x->ple_first = x->ple_last = 0; /* whatever moved the state interrupted a loop of PAUSE anyway */
    v->in_guest = n->guest;
    if (n->guest) {
        vmx_load_translation(v, x);
        vmx_load_tsc(v, x);
    } else {
        mmu_set_stage2(v, STAGE2_NONE, 0, 0);
        tsc_of_l1(v);
    }
}
