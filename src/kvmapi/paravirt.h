/*
 * KVM's interface for guests by the API: see paravirt.c.
 */
#ifndef KVMAPI_PARAVIRT_H
#define KVMAPI_PARAVIRT_H

#include "kvmapi/api.h"

struct pv_vcpu {
    bool hypercall; /* the program has its result when it runs the vCPU again: KVM's */
    bool hyperv;    /* Hyper-V's */
    bool debug;     /* or the status of Hyper-V's debugger */
    bool synic;     /* KVM_CAP_HYPERV_SYNIC was enabled */
};

/* The leaves that show what there is, in place of the engine's own. */
void paravirt_leaves(struct cpu_features *f);
/* CPU_EXIT_HYPERCALL: fills in kvm_run. */
long paravirt_exit(struct api_vcpu *v);

extern const struct api_part paravirt_part;

#endif
