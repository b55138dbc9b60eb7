/*
 * One VM in the foreground, from power-on to its end.
 */
#ifndef VMPROC_VM_H
#define VMPROC_VM_H

#include "accel/accel.h"

enum vm_end_kind {
    VM_END_POWER_OFF,
    VM_END_DEBUG_EXIT,   /* code: what the guest wrote */
    VM_END_RESET,        /* a guest reset with no_reboot */
    VM_END_TRIPLE_FAULT, /* with no_reboot, or again and again */
    VM_END_TIMEOUT,
    VM_END_USER,   /* Ctrl-a x */
    VM_END_SIGNAL, /* code: the signal's number */
    VM_END_FAILED, /* our own or the host's failure */
};

struct vm_end {
    enum vm_end_kind kind;
    u32 code;
    struct error why;   /* for the user; its text is empty when there is nothing to say */
    char state[8192];   /* registers of the vCPUs concerned, or empty */
    char stats[262144]; /* with run_settings.stats: a line for each of 256 vCPUs */
};

/* Runs on the calling thread until the VM has ended. Nothing is left behind then, unless a vCPU was stuck: a line on
 * standard error has said so, and the process should exit. SIGINT and SIGTERM end it at once from then on. `accel` is
 * for tests; if it is NULL, the settings decide, and for "auto" a line on standard error says which one and why. */
void vm_run(const struct run_settings *settings, const struct accel_ops *accel, struct vm_end *end);

#endif
