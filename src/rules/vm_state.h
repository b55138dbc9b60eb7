/*
 * The life of a VM of the manager: its states, what can be asked of it, and what each state makes of each request. One
 * pure function; tests/unit/rules/vm_state_test.c restates the matrix, docs/manager.md draws it.
 */
#ifndef RULES_VM_STATE_H
#define RULES_VM_STATE_H

#include "base/error.h"

enum vm_state {
    VM_OFF,
    VM_STARTING,
    VM_RUNNING,
    VM_PAUSING,
    VM_PAUSED,
    VM_RESUMING,
    VM_SAVING,
    VM_SAVED,
    VM_STOPPING,
    VM_STATES,
};

enum vm_request {
    VM_START,
    VM_SHUT_DOWN, /* by the guest */
    VM_TURN_OFF,
    VM_SAVE,
    VM_PAUSE,
    VM_RESUME,
    VM_RESTART, /* hard reset */
    VM_DISCARD_STATE,
    VM_CHECKPOINT,
    VM_APPLY_CHECKPOINT,
    VM_DELETE,
    VM_RENAME,
    VM_EXPORT,
    VM_CLONE,
    VM_CHANGE_OFF,  /* a setting that changes only while the VM is off */
    VM_CHANGE_HOT,  /* a device or setting that a running VM takes, too */
    VM_CHANGE_LIVE, /* of cards and ports: in every state that stays */
    VM_REQUESTS,
};

enum vm_answer {
    VM_ALLOWED, /* goes to `next`, by way of `through` if that is another */
    VM_ALREADY, /* nothing to do: a warning */
    VM_REFUSED,
};

struct vm_step {
    enum vm_answer answer;
    enum vm_state through, next;
};

struct vm_step vm_step(enum vm_state state, enum vm_request request);
/* Is the state one that passes by itself? */
bool vm_state_passes(enum vm_state state);
const char *vm_state_name(enum vm_state state); /* "Running" */
/* Returns VM_STATES if there is none of that name. */
enum vm_state vm_state_find(const char *name);
/* Fills `error` for a request that was refused: names the VM, its state, and what to do first. Returns -EPERM. */
int vm_refuse(const char *vm, enum vm_state state, enum vm_request request, struct error *error);

#endif
