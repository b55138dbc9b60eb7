/*
 * Events while L2 runs: which exceptions, interrupts, NMIs and INITs exit, when they may be taken at all, and virtual
 * interrupts and NMIs.
 *
 * Intercepted interrupts and NMIs are not acknowledged by the exit: they stay pending and L1 takes them after STGI.
 * With the intercept on, neither L2's interrupt shadow nor its NMI mask holds them back.
 * Source: AMD APM volume 2, "Exception Intercepts", "Interrupt Intercepts", "Global Interrupt Flag", "Interrupt and
 * Local APIC Support", "Virtual GIF", "NMI Virtualization".
 */
#include "cpu/event/lapic.h"
#include "cpu/svm/svm.h"

void svm_events_wake(struct vcpu *v)
{
    bool waiting = v->intr_masked || __atomic_load_n(&v->nmi_pending, __ATOMIC_RELAXED) ||
                   __atomic_load_n(&v->init_pending, __ATOMIC_RELAXED) ||
                   __atomic_load_n(&v->smi_pending, __ATOMIC_RELAXED) ||
                   (v->in_guest && (v->svm->control.vintr & (VINTR_IRQ | VINTR_NMI)));
    if (waiting) {
        v->intr_masked = false;
        request_raise(v, REQ_EVENT);
    }
}

enum outcome svm_exception(struct vcpu *v, const struct event *e)
{
    if (e->type != EVENT_EXCEPTION && e->type != EVENT_SOFT_EXC)
        return CPU_OK; /* INT n and ICEBP have intercepts of their own */
    unsigned code = SVM_EXIT_EXCP + e->vector;
    if (e->vector >= EXC_COUNT || e->vector == EXC_NMI || likely(!svm_intercepted(v->svm, code)))
        return CPU_OK;
    u64 error = e->has_error ? e->error : 0;
    switch (e->vector) {
    case EXC_PF:
        /* The faulting address is in EXITINFO2; CR2 does not change. Only data accesses of instructions have bytes. */
        if ((error & PFERR_I) || v->delivering.valid)
            return svm_exit(v, code, error, e->payload);
        return svm_exit_bytes(v, code, error, e->payload);
    case EXC_DB:
        v->dr6 = (v->dr6 & ~DR6_B_MASK) | e->payload; /* DR6 and DR7 are saved as the handler would see them */
        v->dr7 &= ~DR7_GD;
        return svm_exit(v, code, 0, 0);
    case EXC_BP:
    case EXC_OF:
    case EXC_BR: return svm_exit_insn(v, code, 0, 0);
    default: return svm_exit(v, code, error, 0);
    }
}

enum outcome svm_event(struct vcpu *v, enum nested_event what)
{
    static const u8 code[] = {
        [NEV_INIT] = SVM_EXIT_INIT,
        [NEV_SMI] = SVM_EXIT_SMI,
        [NEV_NMI] = SVM_EXIT_NMI,
        [NEV_EXTINT] = SVM_EXIT_INTR,
        [NEV_TRIPLE_FAULT] = SVM_EXIT_SHUTDOWN,
    };
    if (what >= ARRAY_LEN(code) || !code[what] || !svm_intercepted(v->svm, code[what]))
        return CPU_OK;
    if (what == NEV_NMI)
        __atomic_fetch_add(&v->nmi_pending, 1, __ATOMIC_SEQ_CST);
    if (what == NEV_INIT)
        __atomic_store_n(&v->init_pending, true, __ATOMIC_RELAXED);
    v->intr_masked = true;
    return svm_exit(v, code[what], 0, 0);
}

static bool host_if(const struct vcpu *v)
{
    const struct svm *s = v->svm;
    return (s->control.vintr & VINTR_MASKING ? s->host.rflags : v->flags) & FLAG_IF;
}

bool svm_intr_allowed(struct vcpu *v)
{
    if (!v->gif)
        return false;
    if (!v->in_guest)
        return (v->flags & FLAG_IF) && !v->shadow;
    return host_if(v) && (svm_intercepted(v->svm, SVM_EXIT_INTR) || !v->shadow);
}

bool svm_nmi_allowed(struct vcpu *v)
{
    if (!v->gif)
        return false;
    if (v->in_guest && svm_intercepted(v->svm, SVM_EXIT_NMI))
        return !v->svm->host.nmi_blocked;
    return !v->nmi_blocked && !v->shadow;
}

bool svm_virq_ready(const struct svm *s)
{
    u64 vintr = s->control.vintr;
    if (!(vintr & VINTR_IRQ))
        return false;
    return (vintr & VINTR_IGN_TPR) || VINTR_PRIO(vintr) > (vintr & VINTR_TPR_CLASS);
}

static enum outcome virtual_nmi(struct vcpu *v)
{
    struct svm *s = v->svm;
    if (v->nmi_blocked || v->shadow) {
        v->intr_masked = true;
        return CPU_OK;
    }
    s->control.vintr &= ~VINTR_NMI;
    v->inject = (struct event){.valid = true, .vector = EXC_NMI, .type = EVENT_NMI};
    return CPU_OK;
}

static enum outcome virtual_interrupt(struct vcpu *v)
{
    struct svm *s = v->svm;
    bool extint = false;
    if (!(v->flags & FLAG_IF) || v->shadow) {
        v->intr_masked = true;
        return CPU_OK;
    }
    /* Physical interrupts come first; this one is looked at again after them. */
    if (svm_intr_allowed(v) && (lapic_pending(v, &extint) >= 0 || extint)) {
        v->intr_masked = true;
        return CPU_OK;
    }
    if (svm_intercepted(s, SVM_EXIT_VINTR))
        return svm_exit(v, SVM_EXIT_VINTR, 0, 0);
    s->control.vintr &= ~VINTR_IRQ;
    v->inject =
        (struct event){.valid = true, .type = EVENT_EXTINT, .vector = (u8)(s->control.vintr >> VINTR_VECTOR_SHIFT)};
    return CPU_OK;
}

enum outcome svm_windows(struct vcpu *v)
{
    struct svm *s = v->svm;
    u64 vintr = s->control.vintr;
    if (v->inject.valid)
        return CPU_OK;
    s->injecting_nmi = false;
    if ((vintr & VINTR_GIF_ENABLE) && !(vintr & VINTR_GIF))
        return CPU_OK;
    if ((vintr & (VINTR_NMI_ENABLE | VINTR_NMI)) == (VINTR_NMI_ENABLE | VINTR_NMI))
        TRY(virtual_nmi(v));
    if (!v->inject.valid && svm_virq_ready(s))
        return virtual_interrupt(v);
    return CPU_OK;
}
