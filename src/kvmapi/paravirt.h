/*
 * KVM's interface for guests by the API: see paravirt.c.
 */
#ifndef KVMAPI_PARAVIRT_H
#define KVMAPI_PARAVIRT_H

#include "kvmapi/api.h"

struct pv_vcpu {
    /* The program gives these when it runs the vCPU again: */
    bool hypercall; /* the result of a hypercall of KVM's */
    bool hyperv;    /* the result of a hypercall of Hyper-V's */
    bool debug;     /* the status of Hyper-V's debugger */

    bool synic; /* KVM_CAP_HYPERV_SYNIC was enabled */
};

/* Puts the leaves that show what there is in place of the engine's own. */
void paravirt_leaves(struct cpu_features *f);
/* Fills in kvm_run for CPU_EXIT_HYPERCALL. Returns 0. */
long paravirt_exit(struct api_vcpu *v);

extern const struct api_part paravirt_part;

#endif
