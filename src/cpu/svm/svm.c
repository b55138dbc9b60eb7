/*
 * SVM's face to the core: creation, reset, CR8, SMM, and the table of functions that instruction handlers, the MMU and
 * event delivery call through v->nested. SVM has no root operation that blocks INIT, fixes no bits of control
 * registers, and has no monitor trap flag and no timer of its own: those members of the table are NULL.
 */
#include "cpu/svm/svm.h"

#include "cpu/core/copy.h"
#include "cpu/core/stats.h"
#include "cpu/event/lapic.h"
#include "cpu/event/perf.h"
#include "cpu/mmu/mmu.h"
#include "cpu/svm/npt.h"

/* "Virtualizing the TPR": with V_INTR_MASKING, CR8 is V_TPR. */
static u64 cr_read(struct vcpu *v, unsigned cr, u64 value)
{
    const struct svm *s = v->svm;
    return cr == 8 && (s->control.vintr & VINTR_MASKING) ? s->control.vintr & VINTR_TPR_CLASS : value;
}

static u64 cr_write(struct vcpu *v, unsigned cr, u64 value)
{
    struct svm *s = v->svm;
    if (cr != 8 || !(s->control.vintr & VINTR_MASKING))
        return value;
    s->control.vintr = (s->control.vintr & ~VINTR_TPR) | (value & VINTR_TPR_CLASS);
    if (svm_virq_ready(s))
        request_raise(v, REQ_EVENT);
    return lapic_tpr_read(v); /* the APIC's own TPR stays */
}

static void reset(struct vcpu *v)
{
    struct svm *s = v->svm;
    fill_bytes(s, 0, sizeof *s);
    s->tsc_ratio = TSC_RATIO_ONE;
    v->gif = true;
    if (v->in_guest) {
        v->in_guest = false;
        tsc_of_l1(v);
        mmu_set_stage2(v, STAGE2_NONE, 0, 0);
    }
}

/* "SMM and SVM": there is no #VMEXIT; intercepts are off in the handler, as is EFER.SVME. */
static void smm_enter(struct vcpu *v, struct smram64 *m)
{
    struct svm *s = v->svm;
    s->smm_guest = v->in_guest;
    if (!v->in_guest)
        return;
    if (m) {
        m->svm_guest = 1;
        m->svm_vmcb = s->vmcb.a;
        m->svm_vintr = s->control.vintr;
        m->svm_pat = v->pat;
        m->svm_host_efer = s->host.efer;
        m->svm_host_cr4 = s->host.cr4;
        m->svm_host_cr0 = s->host.cr0;
        m->svm_ncr3 = s->control.ncr3;
    }
    v->in_guest = false;
    perf_level_changed(v);
    tsc_of_l1(v);
    mmu_set_stage2(v, STAGE2_NONE, 0, 0);
}

static bool smm_may_leave(struct vcpu *v, u64 cr4, u64 efer)
{
    return !v->svm->smm_guest || efer & EFER_SVME;
}

static bool smm_leave(struct vcpu *v)
{
    struct svm *s = v->svm;
    if (!s->smm_guest)
        return false;
    s->smm_guest = false;
    v->in_guest = true;
    perf_level_changed(v);
    svm_load_translation(v);
    svm_load_tsc(v);
    svm_events_wake(v);
    return true;
}

static bool svm_active(const struct vcpu *v)
{
    return __atomic_load_n(&v->efer, __ATOMIC_RELAXED) & EFER_SVME && v->stat[STAT_ENTRY];
}

const struct nested_ops svm_ops = {
    .active = svm_active,
    .intercept = svm_intercept,
    .user_is_plain = svm_user_is_plain,
    .exception = svm_exception,
    .event = svm_event,
    .stage2 = svm_stage2,
    .intr_allowed = svm_intr_allowed,
    .nmi_allowed = svm_nmi_allowed,
    .windows = svm_windows,
    .cr_read = cr_read,
    .cr_write = cr_write,
    .msr_read = svm_msr_read,
    .msr_write = svm_msr_write,
    .msr_slot = svm_msr_slot,

    .stage2_walk = npt_walk,
    .reset = reset,
    .smm_enter = smm_enter,
    .smm_may_leave = smm_may_leave,
    .smm_leave = smm_leave,
    .state_get = svm_state_get,
    .state_refusal = svm_state_refusal,
    .state_set = svm_state_set,
};

size_t svm_size(void)
{
    return sizeof(struct svm);
}

void svm_init(struct vcpu *v, void *memory)
{
    v->svm = memory;
    v->nested = &svm_ops;
    reset(v);
}
