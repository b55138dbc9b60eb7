/*
 * AMD-V for the guest: the state of one vCPU's SVM, and the functions that the files of this folder share. The rest of
 * the engine reaches them through svm_ops (core/nested.h). Everything runs on the vCPU's own thread.
 *
 * VMRUN copies the VMCB's control and state-save areas, so that what was checked is what is used; #VMEXIT writes back
 * what the manual lists. L2's registers live in the vCPU while it runs; L1's wait in `host`. The fields of
 * control.vintr that the processor changes (V_TPR, V_IRQ, V_GIF, V_NMI) are kept current in the copy.
 * Source: AMD APM volume 2, "Secure Virtual Machine".
 */
#ifndef CPU_SVM_SVM_H
#define CPU_SVM_SVM_H

#include "cpu/core/nested.h"
#include "cpu/core/vcpu.h"
#include "x86/svm_exit.h"
#include "x86/vmcb.h"

struct svm_host {
    struct segment es, cs, ss, ds;
    struct desc_table gdtr, idtr;
    u64 efer, cr0, cr3, cr4;
    u64 rflags, rip, rsp, rax;
    u64 pat;
    u64 debugctl, lbr[4]; /* with LBR virtualization */
    bool nmi_blocked;
};

struct svm {
    gpa_t vmcb; /* of the running or last guest */
    struct vmcb_control control;
    struct vmcb_save save; /* as VMRUN read it */
    struct svm_host host;
    u64 tsc_ratio;      /* 8.32 fixed point */
    u64 pause_tsc;      /* host TSC of L2's last PAUSE */
    u16 pause_left;     /* the processor's copy of PauseFilterCount */
    bool injecting_nmi; /* v->inject is an NMI that must not block NMIs */
    bool smm_guest;     /* in system management mode: L2 ran before, and goes on after RSM */
    bool probing;       /* svm_exit_bytes reads L2's code: a second-stage fault does not exit again */
};

#define TSC_RATIO_FRACTION_BITS 32
#define TSC_RATIO_ONE BIT64(TSC_RATIO_FRACTION_BITS)

static inline bool svm_intercepted(const struct svm *s, unsigned exit_code)
{
    return s->control.intercept[exit_code / 32] & BIT(exit_code % 32);
}

/* check.c: returns true if the copied VMCB breaks no rule; else v->broken_rule is the first that it breaks. */
bool svm_check(struct vcpu *v);
/* The rules of the control area alone, and of G_PAT. */
bool svm_check_control(struct vcpu *v, const struct svm *s, u64 host_cr0);
/* May this be the address of a VMCB or of a host save area: is it page-aligned and within MAXPHYADDR? */
bool svm_page_valid(const struct vcpu *v, u64 pa);

/* exit.c: #VMEXIT. Always returns CPU_NESTED_EXIT, or CPU_EXIT if L1's state cannot be loaded (shutdown). */
MUST_CHECK enum outcome svm_exit(struct vcpu *v, u64 code, u64 info1, u64 info2);
/* The same for intercepted instructions: nRIP is saved. */
MUST_CHECK enum outcome svm_exit_insn(struct vcpu *v, u64 code, u64 info1, u64 info2);
/* The same for data #PF and #NPF: the instruction's bytes are saved. */
MUST_CHECK enum outcome svm_exit_bytes(struct vcpu *v, u64 code, u64 info1, u64 info2);
/* Returns the host memory of a VMCB, or NULL if the page is not writable RAM. */
struct vmcb *svm_vmcb(struct vcpu *v, gpa_t pa);
/* VMEXIT_INVALID because of v->broken_rule: before any guest state was loaded, and after some was. */
void svm_invalid_early(struct vcpu *v);
MUST_CHECK enum outcome svm_invalid_late(struct vcpu *v);

/* intercept.c, events.c, npt.c: members of svm_ops. */
enum outcome svm_intercept(struct vcpu *v, enum intercept ic, u64 info1, u64 info2);
bool svm_user_is_plain(const struct vcpu *v);
enum outcome svm_exception(struct vcpu *v, const struct event *e);
enum outcome svm_event(struct vcpu *v, enum nested_event what);
enum outcome svm_windows(struct vcpu *v);
bool svm_intr_allowed(struct vcpu *v);
bool svm_nmi_allowed(struct vcpu *v);
enum outcome svm_stage2(struct vcpu *v, const struct stage2_fault *f);

/* events.c: GIF became 1, so the dispatcher looks at what waited for it. */
void svm_events_wake(struct vcpu *v);
/* Returns true if there is a virtual interrupt that V_TPR lets pass. */
bool svm_virq_ready(const struct svm *s);

/* vmrun.c: these two set L2's translation and TSC offset, as the control area in force says. */
void svm_load_translation(struct vcpu *v);
void svm_load_tsc(struct vcpu *v);

/* state.c: members of svm_ops. */
void svm_state_get(struct vcpu *v, struct cpu_nested *n);
const char *svm_state_refusal(struct vcpu *v, const struct cpu_nested *n);
void svm_state_set(struct vcpu *v, const struct cpu_nested *n);

/* msr.c: members of svm_ops. */
bool svm_msr_read(struct vcpu *v, u32 msr, u64 *value, enum outcome *out);
bool svm_msr_write(struct vcpu *v, u32 msr, u64 value, enum outcome *out);
u64 *svm_msr_slot(struct vcpu *v, unsigned i, u32 *msr, u64 *valid);

#endif
