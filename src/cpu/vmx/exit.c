/*
 * VM exit: stores guest state and exit information in the VMCS, handles the MSR lists, loads host state into the vCPU.
 * What finds a reason to exit (intercept.c, events.c, the VMX instructions) calls vmx_exit; when that returns, the vCPU
 * is L1 at its exit handler.
 * Source: Intel SDM volume 3C, "VM Exits".
 */
#include "cpu/core/stats.h"
#include "cpu/core/world.h"
#include "cpu/event/exception.h"
#include "cpu/event/lapic.h"
#include "cpu/vmx/vmx.h"
#include "x86/msr.h"

static void save_segments(const struct vcpu *v, struct vmcs *f)
{
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        f->guest_base[i] = v->seg[i].base;
        f->guest_limit[i] = v->seg[i].limit;
        f->guest_attr[i] = v->seg[i].attr;
        f->guest_sel[i] = v->seg[i].sel;
    }
    /* CPL is kept in SS.DPL. */
    f->guest_attr[SEG_SS] = (f->guest_attr[SEG_SS] & ~SEG_DPL_MASK) | v->cpl << SEG_DPL_SHIFT;
    f->guest_gdtr_base = v->gdtr.base;
    f->guest_gdtr_limit = v->gdtr.limit;
    f->guest_idtr_base = v->idtr.base;
    f->guest_idtr_limit = v->idtr.limit;
}

/* SDM "Saving Control Registers, Debug Registers, and MSRs". */
static void save_registers(const struct vcpu *v, struct vmx *x)
{
    struct vmcs *f = &x->f;
    f->guest_cr0 = v->cr0;
    f->guest_cr3 = v->cr3;
    f->guest_cr4 = v->cr4;
    if (f->exit_controls & EXITC_SAVE_DEBUG) {
        f->guest_dr7 = v->dr7;
        f->guest_debugctl = v->debugctl;
    }
    f->guest_sysenter_cs = (u32)v->sysenter_cs;
    f->guest_sysenter_esp = v->sysenter_esp;
    f->guest_sysenter_eip = v->sysenter_eip;
    if (f->exit_controls & EXITC_SAVE_PAT)
        f->guest_pat = v->pat;
    if (f->exit_controls & EXITC_SAVE_EFER)
        f->guest_efer = v->efer;
    if (x->proc2 & PROC2_EPT)
        __builtin_memcpy(f->guest_pdpte, v->pdpte, sizeof(f->guest_pdpte));
    /* IA32_VMX_MISC bit 5: the entry control follows IA32_EFER.LMA. */
    f->entry_controls = (f->entry_controls & ~ENTRYC_IA32E_GUEST) | (v->efer & EFER_LMA ? ENTRYC_IA32E_GUEST : 0);
}

/* SDM "Saving Non-Register State": a debug exception that exits is L1's, and not saved as pending for L2 too, even
 * where blocking by STI is saved. */
static u64 pending_debug(const struct vcpu *v, const struct vmcs *f)
{
    u32 info = f->exit_intr_info;
    if (f->exit_reason == EXIT_EXCEPTION_NMI && INTR_TYPE(info) == EVENT_EXCEPTION &&
        (info & INTR_VECTOR_MASK) == EXC_DB)
        return 0;
    if (v->trap_pending) {
        u64 bits = v->trap_dr6 & (PENDING_DBG_B_MASK | PENDING_DBG_BS);
        return bits | (bits & PENDING_DBG_B_MASK ? PENDING_DBG_ENABLED_BP : 0);
    }
    /* The trap that blocking by STI or MOV SS holds back. */
    return v->shadow && v->flags & FLAG_TF && !(v->debugctl & DEBUGCTL_BTF) ? PENDING_DBG_BS : 0;
}

static void save_nonregister(struct vcpu *v, struct vmx *x)
{
    struct vmcs *f = &x->f;
    static const u8 activities[] = {
        [ACTIVITY_ACTIVE] = GUEST_ACTIVE,       [ACTIVITY_HLT] = GUEST_HLT,      [ACTIVITY_SHUTDOWN] = GUEST_SHUTDOWN,
        [ACTIVITY_WAIT_SIPI] = GUEST_WAIT_SIPI, [ACTIVITY_MWAIT] = GUEST_ACTIVE, [ACTIVITY_FERR] = GUEST_ACTIVE,
    };
    f->guest_activity = activities[v->activity];
    f->guest_interruptibility = (v->shadow & SHADOW_STI ? INTERRUPTIBILITY_STI : 0) |
                                (v->shadow & SHADOW_MOVSS ? INTERRUPTIBILITY_MOVSS : 0) |
                                (v->nmi_blocked || x->nmi_held ? INTERRUPTIBILITY_NMI : 0);
    f->guest_pending_debug = pending_debug(v, f);
    if (f->exit_controls & EXITC_SAVE_PREEMPTION_TIMER)
        f->guest_preemption_timer = vmx_timer_value(v);
}

/* SDM "Information About VM Exits That Occur During Event Delivery". */
static void save_vectoring(struct vcpu *v, struct vmcs *f)
{
    const struct event *e = &v->delivering;
    if (likely(!e->valid)) {
        f->idt_info = 0;
        return;
    }
    f->idt_info = INTR_VALID | (u32)e->type << INTR_TYPE_SHIFT | e->vector | (e->has_error ? INTR_ERROR_VALID : 0);
    f->idt_error = e->error;
    if (e->type >= EVENT_SOFT_INT)
        f->exit_insn_len = e->insn_len;
}

static void load_segment(struct segment *s, u16 sel, u64 base, u32 attr)
{
    s->sel = sel;
    s->base = base;
    s->limit = 0xffffffff;
    s->attr = sel ? attr : attr | SEG_UNUSABLE;
}

/* SDM "Loading Host Segment and Descriptor-Table Registers". */
static void load_host_segments(struct vcpu *v, const struct vmcs *f)
{
    const u32 data = SEG_TYPE_WRITE | SEG_TYPE_ACCESSED | SEG_S | SEG_P | SEG_DB | SEG_G;
    const u32 code = SEG_TYPE_CODE | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED | SEG_S | SEG_P | SEG_G;
    bool host64 = f->exit_controls & EXITC_HOST_64;
    for (unsigned i = SEG_ES; i <= SEG_GS; i++)
        load_segment(&v->seg[i], f->host_sel[i], 0, data);
    v->seg[SEG_CS].attr = code | (host64 ? SEG_L : SEG_DB);
    v->seg[SEG_FS].base = f->host_fs_base;
    v->seg[SEG_GS].base = f->host_gs_base;
    v->seg[SEG_TR] = (struct segment){
        .base = f->host_tr_base, .limit = TSS_LIMIT_LEAST, .attr = SYS_TSS_BUSY | SEG_P, .sel = f->host_sel[SEG_TR]};
    v->seg[SEG_LDTR] = (struct segment){.attr = SEG_UNUSABLE};
    v->gdtr = (struct desc_table){f->host_gdtr_base, 0xffff};
    v->idtr = (struct desc_table){f->host_idtr_base, 0xffff};
    v->cpl = 0;
}

/* SDM "Loading Host Control Registers, Debug Registers, MSRs". */
static void load_host_registers(struct vcpu *v, const struct vmcs *f)
{
    bool host64 = f->exit_controls & EXITC_HOST_64;
    v->cr0 = (v->cr0 & CR0_KEPT) | (f->host_cr0 & ~CR0_KEPT);
    v->cr3 = f->host_cr3;
    v->cr4 = host64 ? f->host_cr4 | CR4_PAE : f->host_cr4 & ~CR4_PCIDE;
    v->dr7 = DR7_FIXED;
    v->debugctl = 0;
    v->sysenter_cs = f->host_sysenter_cs;
    v->sysenter_esp = f->host_sysenter_esp;
    v->sysenter_eip = f->host_sysenter_eip;
    if (f->exit_controls & EXITC_LOAD_EFER)
        v->efer = f->host_efer;
    else
        v->efer = (v->efer & ~(EFER_LMA | EFER_LME)) | (host64 ? EFER_LMA | EFER_LME : 0);
    if (f->exit_controls & EXITC_LOAD_PAT)
        v->pat = f->host_pat;
}

static enum outcome vmx_abort(struct vcpu *v, enum vmx_abort why)
{
    u32 indicator = why;
    phys_write(v, GPA(v->vmx->current + VMCS_ABORT_OFFSET), &indicator, 4);
    v->exit = CPU_EXIT_SHUTDOWN;
    return CPU_EXIT;
}

/* SDM "Loading Host State". */
static enum outcome load_host(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    if (unlikely(!(x->proc2 & PROC2_VPID))) {
        mmu_flush_space(v, 0);
        mmu_flush_space(v, SPACE_NO_VPID);
    }
    v->in_guest = v->step_owed = false;
    x->timer_on = x->mtf_pending = x->tpr_pending = x->nmi_held = false;
    tsc_of_l1(v);
    load_host_registers(v, f);
    load_host_segments(v, f);
    v->gpr[RSP] = f->host_rsp;
    v->rip = v->next_rip = f->host_rip;
    v->shadow = 0;
    v->activity = ACTIVITY_ACTIVE;
    v->trap_pending = false;
    v->inject.valid = v->delivering.valid = v->fault.valid = false;
    v->monitor_armed = false;
    mmu_set_stage2(v, STAGE2_NONE, 0, 0);
    rflags_set(v, FLAG_ONE);
    if (v->cr4 & CR4_PAE && !in_long_mode(v) && mmu_load_pdptes(v, v->cr3) != CPU_OK)
        return vmx_abort(v, VMABORT_HOST_PDPTE);
    mode_update(v);
    if (f->exit_load_count && vmx_msr_list_load(v, f->exit_msr_load, f->exit_load_count))
        return vmx_abort(v, VMABORT_LOAD_MSR);
    /* While L2 ran, L1's IF did not count. Interrupts are looked at when it becomes 1, NMIs now. */
    v->intr_masked = true;
    if (__atomic_load_n(&v->nmi_pending, __ATOMIC_RELAXED) && !v->nmi_blocked)
        request_raise(v, REQ_EVENT);
    return CPU_NESTED_EXIT;
}

static void count(struct vcpu *v)
{
    const struct vmcs *f = &v->vmx->f;
    u32 basic = f->exit_reason & EXIT_REASON_BASIC;
    exits_left(&v->exits, exits_slot(VENDOR_INTEL, basic), basic == EXIT_VMLAUNCH || basic == EXIT_VMRESUME);
    if (likely(!world_wants_exits(v)))
        return;
    struct cpu_exit_seen seen = {.level = 2 + v->exits.depth,
                                 .rip = f->guest_rip,
                                 .gpr = v->gpr,
                                 .code = f->exit_reason,
                                 .info1 = f->qualification,
                                 .info2 = f->exit_intr_info,
                                 .error = f->exit_intr_error,
                                 .gpa = f->guest_physical,
                                 .la = f->guest_linear};
    world_exited(v, &seen);
}

/* `flags`: RFLAGS to save, if no event's delivery was under way. */
static enum outcome exit_common(struct vcpu *v, u32 reason, u64 qualification, u64 flags)
{
    struct vmx *x = v->vmx;
    struct vmcs *f = &x->f;
    u64 length = v->next_rip - v->rip;
    v->stat[STAT_NESTED_EXIT]++;
    f->exit_reason = reason;
    f->qualification = qualification;
    f->exit_insn_len = length <= 15 ? (u32)length : 0;
    bool event = reason == EXIT_EXCEPTION_NMI || reason == EXIT_EXTINT;
    if (!event)
        f->exit_intr_info = 0;
    f->entry_intr_info &= ~INTR_VALID;
    if (reason == EXIT_TRIPLE_FAULT)
        v->delivering.valid = false;
    save_vectoring(v, f);
    if (v->delivering.valid && !event) /* RF is what the frame would have got */
        flags = v->delivering.rf ? flags | FLAG_RF : flags & ~FLAG_RF;
    save_registers(v, x);
    save_segments(v, f);
    f->guest_rsp = v->gpr[RSP];
    f->guest_rip = v->rip;
    f->guest_rflags = flags;
    save_nonregister(v, x);
    count(v);
    /* Blocking by NMI in L1: an NMI that exits blocks further ones; a virtual NMI never blocked any. */
    bool is_nmi = reason == EXIT_EXCEPTION_NMI && INTR_TYPE(f->exit_intr_info) == EVENT_NMI;
    v->nmi_blocked = is_nmi || (!(f->pin & PIN_VIRTUAL_NMIS) && (v->nmi_blocked || x->nmi_held));
    if (f->exit_store_count && vmx_msr_list_store(v, f->exit_msr_store, f->exit_store_count))
        return vmx_abort(v, VMABORT_SAVE_MSR);
    return load_host(v, x);
}

enum outcome vmx_exit(struct vcpu *v, u32 reason, u64 qualification)
{
    return exit_common(v, reason, qualification, rflags_get(v));
}

enum outcome vmx_exit_insn(struct vcpu *v, u32 reason, u64 qualification)
{
    return exit_common(v, reason, qualification, rflags_get(v) & ~FLAG_RF);
}

enum outcome vmx_exit_fault(struct vcpu *v, u32 reason, u64 qualification)
{
    return exit_common(v, reason, qualification, rflags_get(v) | FLAG_RF);
}

enum outcome vmx_entry_failed(struct vcpu *v, u32 reason, u64 qualification)
{
    struct vmx *x = v->vmx;
    x->f.exit_reason = reason | EXIT_REASON_ENTRY_FAILURE;
    x->f.qualification = qualification;
    count(v);
    return load_host(v, x);
}

bool vmx_iret_unblocked(struct vcpu *v)
{
    bool unblocked = v->iret_unblocks && !v->delivering.valid;
    v->iret_unblocks = false;
    if (unblocked)
        v->nmi_blocked = false;
    return unblocked;
}

enum outcome vmx_exit_event(struct vcpu *v, const struct event *e, u64 qualification)
{
    struct vmcs *f = &v->vmx->f;
    u32 info = INTR_VALID | (u32)e->type << INTR_TYPE_SHIFT | e->vector | (e->has_error ? INTR_ERROR_VALID : 0);
    if (e->vector == EXC_DF && e->type == EVENT_EXCEPTION)
        v->delivering.valid = false; /* the manual does not count a double fault as met during delivery */
    else if (e->type != EVENT_NMI && vmx_iret_unblocked(v))
        info |= INTR_NMI_UNBLOCKING;
    f->exit_intr_info = info;
    f->exit_intr_error = e->has_error ? (u16)e->error : 0;
    if (e->type == EVENT_SOFT_EXC || e->type == EVENT_PRIV_SOFT)
        v->next_rip = v->rip + e->insn_len;
    u64 flags = e->type == EVENT_NMI ? rflags_get(v) : exception_flags(v, e);
    return exit_common(v, EXIT_EXCEPTION_NMI, qualification, flags);
}
