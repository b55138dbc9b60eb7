/*
 * What all privileged SVM instructions check first: for insn.c and vmrun.c.
 */
#ifndef CPU_SVM_INSN_H
#define CPU_SVM_INSN_H

#include "cpu/core/fault.h"

/* #UD without EFER.SVME or outside protected mode, #GP(0) above CPL 0. */
MUST_CHECK enum outcome svm_privileged(struct vcpu *v);

#endif
