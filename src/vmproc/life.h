/*
 * The life of a VM's process as one state, and what may follow what: docs/life.md has the picture. Pure; the owner of
 * the VM (vm.c) is the only one who takes a step.
 */
#ifndef VMPROC_LIFE_H
#define VMPROC_LIFE_H

enum life {
    LIFE_STARTING,  /* no vCPU runs; the machine is being put at its kernel's entry */
    LIFE_RUNNING,   /* vCPUs run */
    LIFE_RESETTING, /* vCPUs are leaving for a reset */
    LIFE_STOPPING,  /* vCPUs are leaving for the end */
    LIFE_ENDED,     /* no vCPU runs or will run: threads end, and what they used may go */
    LIFE_STUCK,     /* a vCPU did not leave: what it uses stays until the process exits */
    LIFE_COUNT,
};

enum life_event {
    LIFE_EVENT_GO,    /* the machine is at its kernel's entry */
    LIFE_EVENT_RESET, /* the guest asked for a reset, or gets one after a triple fault */
    LIFE_EVENT_OUT,   /* no vCPU is in accel_ops.run any more */
    LIFE_EVENT_END,   /* whatever ends the VM */
    LIFE_EVENT_LATE,  /* the time that vCPUs have to leave is over */
    LIFE_EVENT_COUNT,
};

/* Returns the state after an event; it is the same state if the event means nothing in it. */
enum life life_next(enum life now, enum life_event event);

#endif
