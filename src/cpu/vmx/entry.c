/*
 * VM entry: checks, loading of guest state, MSR loading, event injection. op_vmlaunch and op_vmresume call vmx_enter
 * after their own checks; on success the vCPU is L2 with RIP at L2's next instruction and the event to inject in
 * v->inject.
 * Source: Intel SDM volume 3C, "VM Entries".
 */
#include "cpu/core/rule.h"
#include "cpu/core/stats.h"
#include "cpu/event/lapic.h"
#include "cpu/insn/msr.h"
#include "cpu/vmx/ept.h"
#include "cpu/vmx/vmx.h"
#include "x86/msr.h"

struct msr_entry {
    u32 index, reserved;
    u64 value;
};

/* Returns true if a list may have this entry. SDM "Loading MSRs", "Saving MSRs". */
static bool msr_listed(const struct vcpu *v, const struct msr_entry *e, bool load)
{
    if (e->reserved)
        return false;
    if (e->index >= MSR_X2APIC_FIRST && e->index <= MSR_X2APIC_LAST)
        return false;
    return !load || (e->index != MSR_FS_BASE && e->index != MSR_GS_BASE && e->index != MSR_BIOS_UPDT_TRIG);
}

u32 vmx_msr_list_load(struct vcpu *v, u64 address, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        struct msr_entry e;
        if (i >= VMX_MSR_LIST_MAX)
            return i + 1;
        phys_read(v, GPA(address + i * 16ull), &e, sizeof(e));
        if (!msr_listed(v, &e, true))
            return i + 1;
        if (msr_write(v, e.index, e.value) != CPU_OK) {
            v->fault.valid = false;
            return i + 1;
        }
    }
    return 0;
}

u32 vmx_msr_list_store(struct vcpu *v, u64 address, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        struct msr_entry e;
        if (i >= VMX_MSR_LIST_MAX)
            return i + 1;
        phys_read(v, GPA(address + i * 16ull), &e, 8);
        if (!msr_listed(v, &e, false))
            return i + 1;
        if (e.index == MSR_TSC) {
            e.value = tsc_read_l1(v); /* L1's time, not what L2 reads */
        } else if (msr_read(v, e.index, &e.value) != CPU_OK) {
            v->fault.valid = false;
            return i + 1;
        }
        phys_write(v, GPA(address + i * 16ull + 8), &e.value, 8);
    }
    return 0;
}

static void load_segments(struct vcpu *v, const struct vmcs *f)
{
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        v->seg[i].base = f->guest_base[i];
        v->seg[i].limit = f->guest_limit[i];
        v->seg[i].attr = f->guest_attr[i];
        v->seg[i].sel = f->guest_sel[i];
    }
    v->gdtr.base = f->guest_gdtr_base;
    v->gdtr.limit = (u16)f->guest_gdtr_limit;
    v->idtr.base = f->guest_idtr_base;
    v->idtr.limit = (u16)f->guest_idtr_limit;
    v->cpl = f->guest_attr[SEG_SS] >> SEG_DPL_SHIFT & 3;
}

/* SDM "Loading Guest Control Registers, Debug Registers, and MSRs". */
static void load_registers(struct vcpu *v, const struct vmcs *f)
{
    v->cr0 = (v->cr0 & CR0_KEPT) | (f->guest_cr0 & ~CR0_KEPT);
    v->cr3 = f->guest_cr3;
    v->cr4 = f->guest_cr4;
    if (f->entry_controls & ENTRYC_LOAD_DEBUG) {
        v->dr7 = (f->guest_dr7 & ~DR7_ZERO) | DR7_FIXED;
        v->debugctl = f->guest_debugctl;
    }
    v->sysenter_cs = f->guest_sysenter_cs;
    v->sysenter_esp = f->guest_sysenter_esp;
    v->sysenter_eip = f->guest_sysenter_eip;
    if (f->entry_controls & ENTRYC_LOAD_EFER) {
        v->efer = f->guest_efer;
    } else {
        u64 mode = f->entry_controls & ENTRYC_IA32E_GUEST ? EFER_LMA | EFER_LME : 0;
        u64 bits = f->guest_cr0 & CR0_PG ? EFER_LMA | EFER_LME : EFER_LMA;
        v->efer = (v->efer & ~bits) | (mode & bits);
    }
    if (f->entry_controls & ENTRYC_LOAD_PAT)
        v->pat = f->guest_pat;
    if (f->guest_cr0 & CR0_PG && f->guest_cr4 & CR4_PAE && !(f->entry_controls & ENTRYC_IA32E_GUEST)) {
        if (v->vmx->proc2 & PROC2_EPT)
            __builtin_memcpy(v->pdpte, f->guest_pdpte, sizeof(v->pdpte));
        else
            phys_read(v, GPA(f->guest_cr3 & CR3_PAE_ADDRESS), v->pdpte, sizeof(v->pdpte));
    }
}

#define SECTION SDM("Loading MSRs")

/* *failed is the index of the entry that cannot be loaded, from 1; or 0. */
static bool load_msrs(struct vcpu *v, const struct vmcs *f, u32 *failed)
{
    *failed = f->entry_load_count ? vmx_msr_list_load(v, f->entry_msr_load, f->entry_load_count) : 0;
    RULE(!*failed, "each entry of the MSR-load area can be loaded");
    return true;
}

/* SDM "Delivery of Pending Debug Exceptions after VM Entry". */
static void load_pending_debug(struct vcpu *v, const struct vmcs *f)
{
    v->trap_pending = false;
    u64 pending = f->guest_pending_debug;
    if (likely(!(pending & (PENDING_DBG_BS | PENDING_DBG_ENABLED_BP))))
        return;
    if (f->entry_intr_info & INTR_VALID) {
        u32 type = INTR_TYPE(f->entry_intr_info);
        bool soft = type == EVENT_SOFT_INT || type == EVENT_SOFT_EXC;
        if (type != INTR_TYPE_OTHER && !(soft && f->guest_interruptibility & INTERRUPTIBILITY_MOVSS))
            return;
    } else if (f->guest_activity == GUEST_SHUTDOWN || f->guest_activity == GUEST_WAIT_SIPI) {
        return;
    }
    v->trap_pending = true;
    v->trap_dr6 = pending & (PENDING_DBG_B_MASK | PENDING_DBG_BS);
}

/* SDM "Loading Guest Non-Register State". */
static void load_nonregister(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    u32 state = f->guest_interruptibility;
    v->shadow = (state & INTERRUPTIBILITY_STI ? SHADOW_STI : 0) | (state & INTERRUPTIBILITY_MOVSS ? SHADOW_MOVSS : 0);
    bool nmi = state & INTERRUPTIBILITY_NMI;
    x->nmi_held = nmi && f->pin & PIN_NMI_EXITING && !(f->pin & PIN_VIRTUAL_NMIS);
    v->nmi_blocked = nmi && !x->nmi_held;
    static const u8 activities[] = {
        [GUEST_ACTIVE] = ACTIVITY_ACTIVE,
        [GUEST_HLT] = ACTIVITY_HLT,
        [GUEST_SHUTDOWN] = ACTIVITY_SHUTDOWN,
        [GUEST_WAIT_SIPI] = ACTIVITY_WAIT_SIPI,
    };
    bool injected = f->entry_intr_info & INTR_VALID && INTR_TYPE(f->entry_intr_info) != INTR_TYPE_OTHER;
    v->activity = injected ? ACTIVITY_ACTIVE : (enum activity)activities[f->guest_activity];
    load_pending_debug(v, f);
}

/* SDM "Event Injection". */
static void load_event(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    u32 info = f->entry_intr_info;
    x->mtf_pending = false;
    if (!(info & INTR_VALID))
        return;
    u8 type = INTR_TYPE(info), vector = info & INTR_VECTOR_MASK;
    if (type == INTR_TYPE_OTHER) {
        x->mtf_pending = true;
        return;
    }
    v->inject.valid = true;
    v->inject.has_error = info & INTR_ERROR_VALID;
    v->inject.vector = vector;
    v->inject.type = type;
    v->inject.error = f->entry_error;
    v->inject.insn_len = type >= EVENT_SOFT_INT ? (u8)f->entry_insn_len : 0;
    /* Injection changes neither CR2 nor DR6. */
    v->inject.payload = type == EVENT_EXCEPTION && vector == EXC_PF ? v->cr2 : 0;
}

/* Sets the second stage from EPTP and VPID, and the APIC-access page. SDM "Operations that Invalidate Cached Mappings".
 */
void vmx_load_translation(struct vcpu *v, const struct vmx *x)
{
    bool ept = x->proc2 & PROC2_EPT;
    u32 space = x->f.vpid;
    if (!(x->proc2 & PROC2_VPID)) {
        space = SPACE_NO_VPID;
        mmu_flush_space(v, 0);
        mmu_flush_space(v, SPACE_NO_VPID);
    }
    u64 mode_based = x->proc2 & PROC2_MODE_BASED_EXECUTE ? EPT_ROOT_MODE_BASED : 0;
    mmu_set_stage2(v, ept ? STAGE2_EPT : STAGE2_NONE, ept ? x->f.eptp | mode_based : 0, space);
    if (unlikely(x->proc2 & PROC2_APIC_ACCESSES))
        mmu_set_apic_access(v, x->f.apic_access);
}

/* SDM "Changes to Instruction Behavior in VMX Non-Root Operation", RDTSC: without an offset nothing is scaled. */
void vmx_load_tsc(struct vcpu *v, const struct vmx *x)
{
    const struct vmcs *f = &x->f;
    if (f->proc & PROC_TSC_OFFSETTING)
        tsc_of_l2(v, unlikely(x->proc2 & PROC2_TSC_SCALING) ? f->tsc_multiplier : TSC_UNSCALED, f->tsc_offset);
    else
        tsc_of_l1(v);
}

/* Makes the dispatcher look at events before L2's first instruction, if there may be any. */
static void request_events(struct vcpu *v, const struct vmx *x)
{
    const struct vmcs *f = &x->f;
    bool look = v->inject.valid || x->mtf_pending || x->timer_on || x->tpr_pending || v->intr_masked ||
                __atomic_load_n(&v->nmi_pending, __ATOMIC_RELAXED) ||
                __atomic_load_n(&v->init_pending, __ATOMIC_RELAXED) ||
                f->proc & (PROC_INTERRUPT_WINDOW | PROC_NMI_WINDOW);
    if (look) {
        v->intr_masked = false;
        request_raise(v, REQ_EVENT);
    }
}

enum outcome vmx_enter(struct vcpu *v, bool launch)
{
    struct vmx *x = v->vmx;
    const struct vmcs *f = &x->f;
    u64 l1_rip = v->rip;
    exits_entered(&v->exits, x->current);
    x->proc2 = f->proc & PROC_SECONDARY ? f->proc2 : 0;
    if (unlikely(!vmx_check_controls(v, x))) {
        rule_trace(v, l1_rip);
        return vmx_fail(v, VMERR_ENTRY_CONTROLS);
    }
    if (unlikely(!vmx_check_host(v, x))) {
        rule_trace(v, l1_rip);
        return vmx_fail(v, VMERR_ENTRY_HOST_STATE);
    }
    if (unlikely(x->proc2 & PROC2_APIC_ACCESSES && vmx_apic_page_missing(v))) {
        v->exit = CPU_EXIT_APIC_PAGE;
        return CPU_EXIT;
    }
    u64 qualification;
    if (unlikely(!vmx_check_guest(v, x, &qualification))) {
        rule_trace(v, l1_rip);
        return vmx_entry_failed(v, EXIT_ENTRY_GUEST_STATE, qualification);
    }
    load_registers(v, f);
    load_segments(v, f);
    v->gpr[RSP] = f->guest_rsp;
    v->rip = v->next_rip = f->guest_rip;
    u32 failed;
    if (unlikely(!load_msrs(v, f, &failed))) {
        rule_trace(v, l1_rip);
        return vmx_entry_failed(v, EXIT_ENTRY_MSR_LOAD, failed);
    }
    if (launch)
        x->launched = true;
    load_nonregister(v, x);
    load_event(v, x);
    vmx_load_translation(v, x);
    vmx_load_tsc(v, x);
    x->ple_first = x->ple_last = 0;
    x->tpr_pending = false;
    v->in_guest = true;
    v->stat[STAT_ENTRY]++;
    v->monitor_armed = false;
    rflags_set(v, f->guest_rflags);
    mode_update(v);
    if (f->pin & PIN_PREEMPTION_TIMER)
        vmx_timer_start(v, f->guest_preemption_timer);
    if (x->proc2 & PROC2_APIC_ACCESSES && f->proc & PROC_TPR_SHADOW) {
        const u32 *vtpr = vmx_vtpr(v);
        if (vtpr)
            vmx_tpr_changed(v, *vtpr);
    }
    request_events(v, x);
    return CPU_OK;
}
