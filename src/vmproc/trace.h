/*
 * What the settings trace, trace-file and symbols ask for, for one VM: where the lines go, and the kernel's symbols.
 */
#ifndef VMPROC_TRACE_H
#define VMPROC_TRACE_H

#include "accel/accel.h"
#include "vmproc/output.h"

struct trace {
    struct accel_trace to;
    struct symbols *symbols; /* NULL: none */
};

/* Returns 0 or -errno. trace_close is to be called in any case. */
int MUST_CHECK trace_open(struct trace *t, const struct run_settings *settings, struct outputs *outputs,
                          struct error *error);
/* Called when no vCPU runs. Returns 0, or -errno with an error if lines are lost. */
int MUST_CHECK trace_close(struct trace *t, struct error *error);

#endif
